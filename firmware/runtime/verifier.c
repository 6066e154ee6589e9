// SPDX-License-Identifier: Apache-2.0
#include "verifier.h"

#include "hal.h"
#include "opcodes.h"
#include "platform.h"

// A list of registers inside the bytecode: aligned u16 count, then the registers.
typedef struct {
    const uint8_t *data;
    uint32_t count;
} list_view_t;

typedef struct {
    const module_t *module;
    const function_t *function;
    uint32_t function_index;
    uint32_t pc;
    uint32_t at; // start of the instruction
    uint32_t opcode;
    uint32_t *blocks;  // a bit for each byte at which a block starts
    uint32_t *targets; // a bit for each byte that is branched to
    // Of the instruction, for the checks of whole calls.
    uint32_t callee;
    const import_t *import; // that is called; NULL: none
    list_view_t segments;
    list_view_t operands;
    list_view_t results;
} verifier_t;

static void report_place(const verifier_t *v) {
    if (v->import != NULL) {
        status_append(REASON(CALLING));
        status_quote(span_of(v->import->name));
    }
    status_append(REASON(AT_BYTE, v->function_index, v->at));
}

// The next `bytes` (at most 8) of the function.
static NOINLINE const uint8_t *take(verifier_t *v, uint32_t bytes) {
    uint32_t at = v->pc;
    if (v->function->length - at < bytes) FAIL(FUNCTION_END, v->function->length);
    v->pc = at + bytes;
    return v->function->code + at;
}

static NOINLINE uint32_t take_u16(verifier_t *v) {
    return read_u16(take(v, 2));
}

static NOINLINE uint32_t take_u32(verifier_t *v) {
    return read_u32(take(v, 4));
}

// An aligned list of `width`-byte elements.
static NOINLINE list_view_t take_list(verifier_t *v, uint32_t width) {
    if (v->pc % 2 != 0) take(v, 1);
    list_view_t list = {.count = take_u16(v)};
    list.data = v->function->code + v->pc;
    if (v->function->length - v->pc < list.count * width) FAIL(LIST_END, list.count);
    v->pc += list.count * width;
    return list;
}

static uint32_t list_at(const list_view_t *list, uint32_t index) {
    return read_u16(list->data + 2 * index);
}

static NOINLINE void check_register(verifier_t *v, uint32_t reg, char kind) {
    uint32_t count = v->function->i32_count, failure = FAILURE_REGISTER_I32;
    bool valid = reg < count;
    if (kind == 'r') {
        count = v->function->ref_count;
        failure = FAILURE_REGISTER_REFERENCE;
        valid = (reg & REGISTER_REF) != 0 && (reg & REGISTER_INDEX) < count;
    } else if (kind == 'I') {
        // REGISTER_LIMIT keeps reg + 1 from wrapping; a reference register is far above every count.
        failure = FAILURE_REGISTER_PAIR;
        valid = reg % 2 == 0 && reg + 1 < count;
    }
    if (!valid) status_fail(failure | 2 << 8, reg, count);
}

static void check_unmoved(verifier_t *v, uint32_t reg) {
    check_register(v, reg, 'r');
    if ((reg & REGISTER_MOVE) != 0) FAIL(REGISTER_MOVED, reg);
}

static void check_list(verifier_t *v, char kind) {
    list_view_t list = take_list(v, 2);
    for (uint32_t i = 0; i < list.count; i++)
        check_register(v, list_at(&list, i), kind);
}

static NOINLINE void check_ordinal(uint32_t ordinal, uint32_t count, phrase_t of) {
    if (ordinal >= count) FAIL(ORDINAL, of, ordinal, count);
}

static void check_global(verifier_t *v, uint32_t bytes) {
    uint32_t offset = take_u32(v), available = v->module->global_byte_count;
    if (offset % 4 != 0 || offset > available || bytes > available - offset)
        FAIL(GLOBAL_OFFSET, bytes, offset, available);
}

static void check_target(verifier_t *v) {
    uint32_t target = take_u32(v);
    if (target >= v->function->length) FAIL(BRANCH_RANGE, target, v->function->length);
    v->targets[target / 32] |= 1u << target % 32;
}

// Pairs of source and target register of the same kind.
static void check_branch_operands(verifier_t *v) {
    list_view_t pairs = take_list(v, 4);
    for (uint32_t i = 0; i < 2 * pairs.count; i += 2) {
        uint32_t source = list_at(&pairs, i), target = list_at(&pairs, i + 1);
        char kind = (source & REGISTER_REF) != 0 ? 'r' : 'i';
        check_register(v, source, kind);
        check_register(v, target, kind);
    }
}

static void check_branch_table(verifier_t *v) {
    uint32_t count = take_u16(v);
    for (uint32_t i = 0; i < count; i++) {
        check_target(v);
        check_branch_operands(v);
    }
}

static void check_field(verifier_t *v, char field) {
    const module_t *module = v->module;
    switch (field) {
    case 'i':
    case 'I':
    case 'f':
    case 'F': check_register(v, take_u16(v), 'i'); break;
    case 'l':
    case 'L': check_register(v, take_u16(v), 'I'); break;
    case 'm':
    case 'R': check_register(v, take_u16(v), 'r'); break;
    case 'r': check_unmoved(v, take_u16(v)); break;
    case 'g': check_global(v, 4); break;
    case 'h': check_global(v, 8); break;
    case 'G': check_ordinal(take_u32(v), module->global_ref_count, PHRASE_GLOBAL_REFERENCE); break;
    case 't': check_ordinal(take_u32(v), module->type_count, PHRASE_TYPE); break;
    case 'd': check_ordinal(take_u32(v), module->rodata_count, PHRASE_RODATA); break;
    case 'c': take(v, 4); break;
    case 'C': take(v, 8); break;
    case 'b': check_target(v); break;
    case 'p': check_branch_operands(v); break;
    case 'T': check_branch_table(v); break;
    case 'n': v->callee = take_u32(v); break;
    case 'k': v->segments = take_list(v, 2); break;
    case 'a': v->operands = take_list(v, 2); break;
    case 'z': v->results = take_list(v, 2); break;
    case 'v': check_list(v, 'i'); break;
    case 'w': check_list(v, 'I'); break;
    case 'u':
    case 'x': check_list(v, 'r'); break;
    case 's': {
        uint32_t length = take_u16(v);
        if (v->function->length - v->pc < length) FAIL(TEXT_END, length);
        v->pc += length;
        break;
    }
    default: FAIL(FIELD); break;
    }
}

static NOINLINE void check_values(verifier_t *v, const list_view_t *list, const char *kinds, uint32_t count,
                                  phrase_t of) {
    if (list->count != count) FAIL(CALL_COUNT, list->count, of, count);
    for (uint32_t i = 0; i < count; i++)
        check_register(v, list_at(list, i), kinds[i]);
}

// Length of what comes before `end`.
static uint32_t length_until(const char *text, char end) {
    uint32_t length = 0;
    while (text[length] != 0 && text[length] != end)
        length++;
    return length;
}

// Operands against an import's convention such as "rIiiiCiDCrIID_v": each letter before the first C is an
// operand of its own, and what stands between C and D comes as often as its segment says. A call that is not
// variadic has no segments, and fits only a convention without any C.
static void check_import_operands(verifier_t *v, const char *kinds) {
    bool variadic = v->opcode == OP_CALL_VARIADIC;
    uint32_t operand = 0, segment = 0;
    for (; *kinds != '_'; segment++) {
        bool fixed = *kinds != 'C';
        uint32_t width = fixed ? 1 : length_until(++kinds, 'D');
        uint32_t count = SEGMENT_FIXED;
        if (variadic) count = segment < v->segments.count ? list_at(&v->segments, segment) : 0;
        if ((count == SEGMENT_FIXED) != fixed || (fixed ? 1 : count * width) > v->operands.count - operand)
            break;
        for (uint32_t i = 0; i < (fixed ? 1 : count * width); i++)
            check_register(v, list_at(&v->operands, operand++), kinds[i % width]);
        kinds += fixed ? 1 : width + 1;
    }
    if (*kinds != '_' || operand != v->operands.count || (variadic && segment != v->segments.count))
        FAIL(IMPORT_OPERANDS, v->operands.count);
}

static void check_import_call(verifier_t *v) {
    uint32_t ordinal = v->callee & ~FUNCTION_IMPORT;
    check_ordinal(ordinal, v->module->import_count, PHRASE_IMPORT);
    v->import = v->module->imports[ordinal];
    if (v->import == NULL) FAIL(IMPORT_CALLED, ordinal);
    const char *kinds = v->import->convention + 1;
    check_import_operands(v, kinds);
    const char *results = kinds + length_until(kinds, '_') + 1;
    check_values(v, &v->results, results, *results == 'v' ? 0 : text_length(results), PHRASE_RESULTS);
    v->import = NULL;
}

static void check_call(verifier_t *v) {
    if ((v->callee & FUNCTION_IMPORT) != 0) {
        check_import_call(v);
        return;
    }
    check_ordinal(v->callee, v->module->function_count, PHRASE_FUNCTION);
    if (v->opcode == OP_CALL_VARIADIC) FAIL(VARIADIC_INTERNAL);
    const function_t *callee = &v->module->functions[v->callee];
    check_values(v, &v->operands, (const char *)callee->arguments.data, callee->arguments.length,
                 PHRASE_OPERANDS);
    check_values(v, &v->results, (const char *)callee->results.data, callee->results.length, PHRASE_RESULTS);
}

static void check_control(verifier_t *v) {
    if (v->opcode == OP_CALL || v->opcode == OP_CALL_VARIADIC) check_call(v);
    if (v->opcode == OP_RETURN)
        check_values(v, &v->operands, (const char *)v->function->results.data, v->function->results.length,
                     PHRASE_RETURNED);
    if (v->opcode == OP_IMPORT_RESOLVED)
        check_ordinal(v->callee & ~FUNCTION_IMPORT, v->module->import_count, PHRASE_IMPORT);
}

static void check_instruction(verifier_t *v) {
    encoding_t encoding = v->opcode < OPCODE_COUNT ? opcode_encoding(v->opcode) : ENCODING_REFUSED;
    if (encoding == ENCODING_REFUSED) FAIL(OPCODE, v->opcode);
    for (const char *field = encoding_fields[encoding]; *field != 0; field++)
        check_field(v, *field);
    if (encoding_families[encoding] == FAMILY_CONTROL) check_control(v);
    if (encoding_families[encoding] == FAMILY_READING)
        v->module->functions[v->function_index].reads_bytes = true;
}

static bool is_terminator(uint32_t opcode) {
    return opcode == OP_BRANCH || opcode == OP_COND_BRANCH || opcode == OP_BRANCH_TABLE ||
           opcode == OP_RETURN || opcode == OP_FAIL;
}

// Arguments arrive in the first registers of their kind; an i64 takes an even one and the next.
static void check_arguments(verifier_t *v) {
    const function_t *function = v->function;
    uint32_t i32_needed = 0, ref_needed = 0;
    for (uint32_t i = 0; i < function->arguments.length; i++) {
        uint8_t kind = function->arguments.data[i];
        if (kind == 'r')
            ref_needed++;
        else if (kind == 'I')
            i32_needed = ((i32_needed + 1) & ~1u) + 2;
        else
            i32_needed++;
    }
    if (i32_needed > function->i32_count || ref_needed > function->ref_count)
        FAIL(ARGUMENT_REGISTERS, i32_needed, ref_needed, function->i32_count, function->ref_count);
}

static void check_targets(verifier_t *v) {
    for (uint32_t word = 0; word <= v->function->length / 32; word++) {
        uint32_t wrong = v->targets[word] & ~v->blocks[word];
        if (wrong != 0) FAIL(BRANCH_TARGET, 32 * word + (uint32_t)__builtin_ctz(wrong));
    }
}

static void check_code(verifier_t *v) {
    bool in_block = false;
    uint32_t blocks = 0;
    while (v->pc < v->function->length) {
        v->at = v->pc;
        v->opcode = *take(v, 1);
        if ((v->opcode == OP_BLOCK) == in_block)
            FAIL(BLOCK_EDGE, in_block ? PHRASE_BLOCK_OPEN : PHRASE_BLOCK_NONE);
        if (!in_block) {
            v->blocks[v->at / 32] |= 1u << v->at % 32;
            blocks++;
            in_block = true;
            continue;
        }
        if (v->opcode == OPCODE_PREFIX_F32) v->opcode = OPCODE_F32 + *take(v, 1);
        check_instruction(v);
        in_block = !is_terminator(v->opcode);
    }
    if (in_block || blocks == 0) FAIL(BLOCK_LAST);
    if (blocks != v->function->block_count) FAIL(BLOCK_COUNT, blocks, v->function->block_count);
    check_targets(v);
}

static void verify_function(verifier_t *v) {
    uint32_t map_bytes = v->function->length / 32 * 4 + 4;
    platform_fill(v->blocks, 0, map_bytes);
    platform_fill(v->targets, 0, map_bytes);
    v->pc = v->at = v->opcode = 0;
    check_arguments(v);
    check_code(v);
}

static void verify_functions(void *verifier) {
    verifier_t *v = verifier;
    for (; v->function_index < v->module->function_count; v->function_index++) {
        v->function = &v->module->functions[v->function_index];
        verify_function(v);
    }
}

void verify_module(const module_t *module, memory_t *memory) {
    uint32_t longest = 0;
    for (uint32_t i = 0; i < module->function_count; i++)
        if (module->functions[i].length > longest) longest = module->functions[i].length;
    uint32_t map_bytes = longest / 32 * 4 + 4;
    uint32_t *maps = memory_allocate(memory, 2 * (size_t)map_bytes, PHRASE_VERIFICATION);
    verifier_t verifier = {.module = module, .blocks = maps, .targets = maps + map_bytes / 4};
    status_t status = platform_attempt(verify_functions, &verifier);
    if (status != STATUS_OK) {
        report_place(&verifier);
        platform_abandon(status);
    }
    memory_free(memory, maps);
}
