// SPDX-License-Identifier: Apache-2.0
#include "interpreter.h"

#include "arithmetic.h"
#include "opcodes.h"
#include "platform.h"

#define STACK_BYTES 4096

struct frame {
    frame_t *caller;
    const function_t *function;
    const uint8_t *resume;   // in the caller, behind the call
    const uint16_t *results; // registers of the caller
    uint32_t *i32;
    object_t **refs;
};

// ---- Frames

static size_t frame_bytes(const function_t *function) {
    size_t bytes =
        sizeof(frame_t) + function->i32_count * sizeof(uint32_t) + function->ref_count * sizeof(object_t *);
    return (bytes + 15) & ~(size_t)7; // i32_count may be odd, and a host's references need 8 bytes
}

status_t interpreter_initialize(interpreter_t *interpreter, module_t *module, hal_t *hal, memory_t *memory) {
    size_t largest = 0;
    for (uint32_t i = 0; i < module->function_count; i++) {
        size_t bytes = frame_bytes(&module->functions[i]);
        if (bytes > largest) largest = bytes;
    }
    size_t bytes = STACK_BYTES + 2 * largest;
    void *block = memory_allocate(memory, bytes, 0, PHRASE_STACK);
    if (block == NULL) return STATUS_OUT_OF_MEMORY;
    *interpreter =
        (interpreter_t){.module = module, .memory = memory, .hal = hal, .stack = block, .call = {.hal = hal}};
    interpreter->stack_end = interpreter->stack + bytes;
    return STATUS_OK;
}

static void set_frame(interpreter_t *interpreter, frame_t *frame) {
    interpreter->frame = frame;
    if (frame == NULL) return;
    interpreter->call.i32 = frame->i32;
    interpreter->call.refs = frame->refs;
}

static NOINLINE status_t push_frame(interpreter_t *interpreter, const function_t *function) {
    frame_t *caller = interpreter->frame;
    uint8_t *base = caller == NULL ? interpreter->stack : (uint8_t *)caller + frame_bytes(caller->function);
    size_t bytes = frame_bytes(function);
    if ((size_t)(interpreter->stack_end - base) < bytes)
        return FAIL(FRAME_STACK, (uint32_t)bytes, (uint32_t)(interpreter->stack_end - interpreter->stack));
    frame_t *frame = (frame_t *)base;
    *frame = (frame_t){.caller = caller, .function = function};
    frame->refs = (object_t **)(frame + 1);
    frame->i32 = (uint32_t *)(frame->refs + function->ref_count);
    platform_fill(frame->refs, 0, bytes - sizeof *frame);
    set_frame(interpreter, frame);
    return STATUS_OK;
}

static NOINLINE void pop_frame(interpreter_t *interpreter) {
    frame_t *frame = interpreter->frame;
    object_t **end = frame->refs + frame->function->ref_count;
    for (object_t **slot = frame->refs; slot < end; slot++)
        object_release(interpreter->memory, *slot);
    set_frame(interpreter, frame->caller);
}

// ---- Registers

INLINE uint64_t get_pair(const uint32_t *i32, uint32_t reg) {
    return i32[reg] | (uint64_t)i32[reg + 1] << 32;
}

INLINE void set_pair(uint32_t *i32, uint32_t reg, uint64_t value) {
    i32[reg] = (uint32_t)value;
    i32[reg + 1] = (uint32_t)(value >> 32);
}

// The register's object with a reference of its own: the register's, if it is moved.
static object_t *take_ref(object_t **refs, uint32_t reg) {
    object_t **slot = &refs[reg & REGISTER_INDEX];
    object_t *object = *slot;
    if ((reg & REGISTER_MOVE) != 0)
        *slot = NULL;
    else
        object_retain(object);
    return object;
}

// Gives the register a reference; what it held before is released.
INLINE void put_ref(memory_t *memory, object_t **slot, object_t *object) {
    object_t *previous = *slot;
    *slot = object;
    object_release(memory, previous);
}

static status_t get_buffer(object_t *const *refs, uint32_t reg, buffer_t **buffer) {
    object_t *object = refs[reg & REGISTER_INDEX];
    *buffer = (buffer_t *)object;
    return object_check(object, OBJECT_BUFFER);
}

static status_t get_list(object_t *const *refs, uint32_t reg, list_t **list) {
    object_t *object = refs[reg & REGISTER_INDEX];
    *list = (list_t *)object;
    return object_check(object, OBJECT_LIST);
}

// ---- Buffers

// Elements [offset, offset + count) of 1 << `shift` bytes each.
static NOINLINE status_t elements(object_t *const *refs, uint32_t reg, const uint64_t *offset, uint64_t count,
                                  uint32_t shift, bool writing, uint8_t **data) {
    const object_t *object = refs[reg & REGISTER_INDEX];
    RETURN_IF_ERROR(object_check(object, OBJECT_BUFFER));
    const buffer_t *buffer = (const buffer_t *)object;
    if (writing && buffer->read_only) return FAIL(BUFFER_READ_ONLY, buffer->length);
    uint32_t available = buffer->length >> shift;
    if (*offset > available || count > available - *offset)
        return buffer_out_of_range(buffer, *offset << shift, count << shift);
    *data = buffer->data + ((uint32_t)*offset << shift);
    return STATUS_OK;
}

static uint64_t load_element(const uint8_t *data, uint32_t size) {
    uint64_t value = 0;
    for (uint32_t k = size; k-- > 0;)
        value = value << 8 | data[k];
    return value;
}

static void store_element(uint8_t *data, uint32_t size, uint64_t value) {
    for (; size > 0; size--, value >>= 8)
        *data++ = (uint8_t)value;
}

static void fill_elements(uint8_t *data, uint32_t count, uint32_t size, uint64_t value) {
    if (size == 1 || value == 0) {
        platform_fill(data, (uint8_t)value, count * size);
        return;
    }
    for (; count > 0; count--, data += size)
        store_element(data, size, value);
}

// Copies forwards or backwards when both ranges lie in one buffer.
static void copy_bytes(uint8_t *target, const uint8_t *source, size_t count) {
    if (target + count <= source || source + count <= target) {
        platform_copy(target, source, count);
    } else if (target < source) {
        for (size_t k = 0; k < count; k++)
            target[k] = source[k];
    } else {
        while (count-- > 0)
            target[count] = source[count];
    }
}

// ---- Lists

static status_t list_element(const list_t *list, uint32_t index, value_t **value) {
    if (index >= list->count) return FAIL(LIST_ELEMENT, index, list->count);
    *value = &list->values[index];
    return STATUS_OK;
}

static void list_put(memory_t *memory, value_t *value, uint32_t type, uint64_t bits, object_t *reference) {
    object_t *previous = value->reference;
    *value =
        (value_t){.type = type, .words = {(uint32_t)bits, (uint32_t)(bits >> 32)}, .reference = reference};
    object_release(memory, previous);
}

// A number read as the type that it was stored as. Integers may change their width; what was never set is 0.
static status_t list_number(const value_t *value, uint32_t type, uint64_t *bits) {
    *bits = value->words[0] | (uint64_t)value->words[1] << 32;
    bool integers = (value->type == VALUE_I32 || value->type == VALUE_I64) && type != VALUE_F32;
    if (value->type == type || value->type == VALUE_NONE || integers) return STATUS_OK;
    return FAIL(LIST_TYPE, value->type, type);
}

// ---- Globals, types, constants

static status_t global_range(const module_t *module, uint32_t offset, uint32_t bytes) {
    if (offset % 4 == 0 && offset <= module->global_byte_count && bytes <= module->global_byte_count - offset)
        return STATUS_OK;
    return FAIL(GLOBAL_RANGE, bytes, offset, module->global_byte_count);
}

static status_t global_ref(const module_t *module, uint32_t index, object_t ***slot) {
    if (index >= module->global_ref_count) return FAIL(GLOBAL_REFERENCE, index, module->global_ref_count);
    *slot = &module->global_refs[index];
    return STATUS_OK;
}

static status_t cast_ref(const module_t *module, const object_t *object, uint32_t type) {
    uint32_t wanted = module->types[type];
    if (object == NULL || wanted == TYPE_ANY || wanted == object->type) return STATUS_OK;
    return object_mismatch(object, wanted);
}

// ---- Control flow

// An aligned list in the bytecode: *count, and the address of its first element.
static const uint16_t *list_begin(const uint8_t *p, uint32_t *count) {
    const uint16_t *list = (const uint16_t *)(p + ((uintptr_t)p & 1));
    *count = list[0];
    return list + 1;
}

// Copies a branch's operands, one after the other: the compiler breaks cycles with scratch registers.
static NOINLINE void copy_operands(memory_t *memory, uint32_t *i32, object_t **refs, const uint8_t *p) {
    uint32_t count;
    const uint16_t *pair = list_begin(p, &count);
    for (; count > 0; count--, pair += 2) {
        if ((pair[0] & REGISTER_REF) != 0)
            put_ref(memory, &refs[pair[1] & REGISTER_INDEX], take_ref(refs, pair[0]));
        else
            i32[pair[1]] = i32[pair[0]];
    }
}

static NOINLINE const uint8_t *skip_operands(const uint8_t *p) {
    uint32_t count;
    return (const uint8_t *)(list_begin(p, &count) + 2 * (size_t)count);
}

// Address of the target and operands of the case that `index` chooses.
static NOINLINE const uint8_t *choose_case(const uint8_t *p, uint32_t index) {
    const uint8_t *fallback = p;
    p = skip_operands(p + 4);
    uint32_t count = read_u16(p);
    if (index >= count) return fallback;
    for (p += 2; index > 0; index--)
        p = skip_operands(p + 4);
    return p;
}

// Goes to the target at `p`, whose operands follow it.
static const uint8_t *take_branch(memory_t *memory, uint32_t *i32, object_t **refs, const uint8_t *code,
                                  const uint8_t *p) {
    copy_operands(memory, i32, refs, p + 4);
    return code + read_u32(p);
}

static NOINLINE const uint8_t *discard(memory_t *memory, object_t **refs, const uint8_t *p) {
    uint32_t count;
    const uint16_t *registers = list_begin(p, &count);
    for (uint32_t i = 0; i < count; i++)
        put_ref(memory, &refs[registers[i] & REGISTER_INDEX], NULL);
    return (const uint8_t *)(registers + count);
}

static NOINLINE status_t spend(interpreter_t *interpreter) {
    if (--interpreter->budget != 0) return STATUS_OK;
    interpreter->budget = 1;
    return FAIL(OPERATION_BUDGET);
}

// Calls an import with the operands of interpreter->call.
INLINE status_t call_import(interpreter_t *interpreter, const import_t *import) {
    call_t *call = &interpreter->call;
    RETURN_IF_ERROR(import->function(call));
    const uint16_t *reg = call->operands, *end = reg + import->reference_operands;
    for (; reg < end; reg++)
        if (*reg >= (REGISTER_REF | REGISTER_MOVE))
            put_ref(interpreter->memory, &call->refs[*reg & REGISTER_INDEX], NULL);
    object_t **result = call->references;
    for (reg = call->results, end = reg + import->reference_results; reg < end; reg++)
        put_ref(interpreter->memory, &call->refs[*reg & REGISTER_INDEX], *result++);
    return STATUS_OK;
}

// Enters a function of the module with the operands of interpreter->call: they go to the first registers of
// their kind.
static NOINLINE status_t enter(interpreter_t *interpreter, const function_t *function,
                               const uint8_t *resume) {
    frame_t *caller = interpreter->frame;
    const uint16_t *operands = interpreter->call.operands;
    RETURN_IF_ERROR(spend(interpreter));
    RETURN_IF_ERROR(push_frame(interpreter, function));
    frame_t *frame = interpreter->frame;
    frame->results = interpreter->call.results;
    frame->resume = resume;
    uint32_t i32 = 0, refs = 0;
    for (uint32_t i = 0; i < function->arguments.length; i++) {
        uint32_t reg = operands[i];
        switch (function->arguments.data[i]) {
        case 'r': frame->refs[refs++] = take_ref(caller->refs, reg); break;
        case 'I':
            i32 = (i32 + 1) & ~1u;
            set_pair(frame->i32, i32, get_pair(caller->i32, reg));
            i32 += 2;
            break;
        default: frame->i32[i32++] = caller->i32[reg]; break;
        }
    }
    return STATUS_OK;
}

// Hands the returned values to the caller's registers.
static NOINLINE void leave(interpreter_t *interpreter, const uint16_t *values) {
    frame_t *frame = interpreter->frame, *caller = frame->caller;
    for (uint32_t i = 0; i < frame->function->results.length; i++) {
        uint32_t from = values[i], to = frame->results[i];
        switch (frame->function->results.data[i]) {
        case 'r':
            put_ref(interpreter->memory, &caller->refs[to & REGISTER_INDEX], take_ref(frame->refs, from));
            break;
        case 'I': set_pair(caller->i32, to, get_pair(frame->i32, from)); break;
        default: caller->i32[to] = frame->i32[from]; break;
        }
    }
    pop_frame(interpreter);
}

static NOINLINE status_t fail_instruction(uint32_t code, const uint8_t *text) {
    span_t span = {.data = text + 2, .length = read_u16(text)};
    return status_quote(FAIL(MODEL_FAILED, code), span);
}

// ---- Instructions that only read operands and write one result
//
// The table of opcodes tells how their operands are encoded, so that one loop reads them all.

typedef struct {
    uint64_t value[5]; // numbers, immediates, ordinals, and register numbers of references, in order
    uint32_t result;   // register that is written
    char result_kind;  // I, L, F, R; 0 for instructions without a result
} operands_t;

static const uint8_t *decode(const char *fields, const uint32_t *i32, const uint8_t *p,
                             operands_t *operands) {
    uint64_t *value = operands->value;
    operands->result_kind = 0;
    for (; *fields != 0; fields++) {
        uint32_t field = read_u16(p);
        p += 2;
        switch (*fields) {
        case 'i':
        case 'f': *value++ = i32[field]; break;
        case 'l': *value++ = get_pair(i32, field); break;
        case 'r':
        case 'm': *value++ = field; break;
        case 'I':
        case 'L':
        case 'F':
        case 'R':
            operands->result = field;
            operands->result_kind = *fields;
            break;
        default: // the ordinals and offsets of 4 bytes
            *value++ = field | (uint32_t)read_u16(p) << 16;
            p += 2;
            break;
        }
    }
    return p;
}

static uint64_t extend8(uint64_t value) {
    return (uint64_t)(int8_t)value;
}

static uint64_t extend16(uint64_t value) {
    return (uint64_t)(int16_t)value;
}

static uint64_t extend32(uint64_t value) {
    return (uint64_t)(int32_t)value;
}

// Elements that a load, store or fill works on have 1 << this many bytes; 0 for other instructions.
static uint32_t element_shift(uint32_t opcode) {
    // F32's loads, stores and fills are those of I32; from load.i8.u to store.i64, and from fill.i8 on.
    static const uint8_t shifts[] = {0, 0, 1, 1, 2, 3, 0, 1, 2, 3};
    if (opcode >= OPCODE_F32) return 2;
    if (opcode <= OP_BUFFER_STORE_I64) return shifts[opcode - OP_BUFFER_LOAD_I8U];
    return opcode >= OP_BUFFER_FILL_I8 ? opcode - OP_BUFFER_FILL_I8 : 0;
}

// Buffers. Offsets and lengths of loads, stores and fills count elements, those of the others bytes.
static status_t run_buffer(interpreter_t *interpreter, uint32_t opcode, const uint64_t *value,
                           uint64_t *result, object_t **reference) {
    object_t **refs = interpreter->frame->refs;
    uint32_t shift = element_shift(opcode), first = (uint32_t)value[0];
    uint8_t *data, *source;
    buffer_t *buffer;
    switch (opcode_encoding(opcode)) {
    case ENCODING_BUFFER_LOAD_I32:
    case ENCODING_BUFFER_LOAD_I64:
        RETURN_IF_ERROR(elements(refs, first, &value[1], 1, shift, false, &data));
        *result = load_element(data, 1u << shift);
        if (opcode == OP_BUFFER_LOAD_I8S) *result = extend8(*result);
        if (opcode == OP_BUFFER_LOAD_I16S) *result = extend16(*result);
        return STATUS_OK;
    case ENCODING_BUFFER_STORE_I32:
    case ENCODING_BUFFER_STORE_I64:
        RETURN_IF_ERROR(elements(refs, first, &value[1], 1, shift, true, &data));
        store_element(data, 1u << shift, value[2]);
        return STATUS_OK;
    case ENCODING_BUFFER_FILL_I32:
    case ENCODING_BUFFER_FILL_I64:
        RETURN_IF_ERROR(elements(refs, first, &value[1], value[2], shift, true, &data));
        fill_elements(data, (uint32_t)value[2], 1u << shift, value[3]);
        return STATUS_OK;
    case ENCODING_BUFFER_ALLOC:
        RETURN_IF_ERROR(buffer_create(interpreter->memory, value[0], value[1], &buffer));
        *reference = &buffer->object;
        return STATUS_OK;
    case ENCODING_BUFFER_CLONE:
        RETURN_IF_ERROR(elements(refs, first, &value[1], value[2], 0, false, &source));
        RETURN_IF_ERROR(buffer_create(interpreter->memory, value[2], value[3], &buffer));
        platform_copy(buffer->data, source, buffer->length);
        *reference = &buffer->object;
        return STATUS_OK;
    case ENCODING_BUFFER_LENGTH:
        RETURN_IF_ERROR(get_buffer(refs, first, &buffer));
        *result = buffer->length;
        return STATUS_OK;
    default: // BUFFER_COPY, BUFFER_COMPARE
        RETURN_IF_ERROR(elements(refs, first, &value[1], value[4], 0, false, &source));
        RETURN_IF_ERROR(
            elements(refs, (uint32_t)value[2], &value[3], value[4], 0, opcode == OP_BUFFER_COPY, &data));
        if (opcode == OP_BUFFER_COPY)
            copy_bytes(data, source, (size_t)value[4]);
        else
            *result = memcmp(source, data, (size_t)value[4]) == 0;
        return STATUS_OK;
    }
}

// Lists.
static status_t run_list(interpreter_t *interpreter, uint32_t opcode, const uint64_t *value, uint64_t *result,
                         object_t **reference) {
    object_t **refs = interpreter->frame->refs;
    memory_t *memory = interpreter->memory;
    list_t *list;
    value_t *element = NULL;
    if (opcode == OP_LIST_ALLOC) { // type, capacity
        RETURN_IF_ERROR(list_create(memory, (uint32_t)value[1], &list));
        *reference = &list->object;
        return STATUS_OK;
    }
    RETURN_IF_ERROR(get_list(refs, (uint32_t)value[0], &list));
    if (opcode >= OP_LIST_GET_I32) RETURN_IF_ERROR(list_element(list, (uint32_t)value[1], &element));
    switch (opcode) {
    case OP_LIST_RESERVE: return list_reserve(memory, list, (uint32_t)value[1]);
    case OP_LIST_RESIZE: return list_resize(memory, list, (uint32_t)value[1]);
    case OP_LIST_SIZE: *result = list->count; return STATUS_OK;
    case OP_LIST_GET_I32: return list_number(element, VALUE_I32, result);
    case OP_LIST_GET_I64: return list_number(element, VALUE_I64, result);
    case OP_LIST_GET_F32: return list_number(element, VALUE_F32, result);
    case OP_LIST_SET_I32: list_put(memory, element, VALUE_I32, extend32(value[2]), NULL); return STATUS_OK;
    case OP_LIST_SET_I64: list_put(memory, element, VALUE_I64, value[2], NULL); return STATUS_OK;
    case OP_LIST_SET_F32: list_put(memory, element, VALUE_F32, value[2], NULL); return STATUS_OK;
    case OP_LIST_GET_REF:
        RETURN_IF_ERROR(cast_ref(interpreter->module, element->reference, (uint32_t)value[2]));
        *reference = element->reference;
        object_retain(*reference);
        return STATUS_OK;
    default: // LIST_SET_REF
        list_put(memory, element, VALUE_REF, 0, take_ref(refs, (uint32_t)value[2]));
        return STATUS_OK;
    }
}

// Whether an instruction changes a global, or takes an object out of one that could be changed through it.
static NOINLINE bool is_lasting(const module_t *module, uint32_t opcode, uint32_t ordinal) {
    if (opcode != OP_GLOBAL_LOAD_REF) return true; // loads of numbers are rare: not worth telling apart
    const object_t *object = module->global_refs[ordinal];
    return object != NULL && object->type != OBJECT_EXECUTABLE;
}

// Globals, at offsets and ordinals that the verifier checked, or that come from registers.
static status_t run_global(interpreter_t *interpreter, uint32_t opcode, const uint64_t *value,
                           uint64_t *result, object_t **reference) {
    const module_t *module = interpreter->module;
    uint32_t at = (uint32_t)value[0];
    uint32_t *number;
    object_t **slot;
    if (interpreter->hal->rehearsing && is_lasting(module, opcode, at)) return FAIL(REHEARSAL);
    switch (opcode) {
    case OP_GLOBAL_LOAD_I64:
    case OP_GLOBAL_LOAD_INDIRECT_I64:
        RETURN_IF_ERROR(global_range(module, at, 8));
        *result = get_pair(&module->global_bytes[at / 4], 0);
        return STATUS_OK;
    case OP_GLOBAL_STORE_I64:
    case OP_GLOBAL_STORE_INDIRECT_I64:
        RETURN_IF_ERROR(global_range(module, at, 8));
        set_pair(&module->global_bytes[at / 4], 0, value[1]);
        return STATUS_OK;
    case OP_GLOBAL_LOAD_REF:
    case OP_GLOBAL_LOAD_INDIRECT_REF: // ordinal, type
        RETURN_IF_ERROR(global_ref(module, at, &slot));
        RETURN_IF_ERROR(cast_ref(module, *slot, (uint32_t)value[1]));
        object_retain(*slot);
        *reference = *slot;
        return STATUS_OK;
    case OP_GLOBAL_STORE_REF:
    case OP_GLOBAL_STORE_INDIRECT_REF: // ordinal, type, value
        RETURN_IF_ERROR(global_ref(module, at, &slot));
        put_ref(interpreter->memory, slot, take_ref(interpreter->frame->refs, (uint32_t)value[2]));
        return STATUS_OK;
    default: break;
    }
    RETURN_IF_ERROR(global_range(module, at, 4));
    number = &module->global_bytes[at / 4];
    if (opcode_encoding(opcode) == ENCODING_GLOBAL_STORE_32 ||
        opcode_encoding(opcode) == ENCODING_STORE_INDIRECT_I32)
        *number = (uint32_t)value[1];
    else
        *result = *number;
    return STATUS_OK;
}

// References: casts, copies and comparisons.
static status_t run_reference(interpreter_t *interpreter, uint32_t opcode, const uint64_t *value,
                              uint64_t *result, object_t **reference) {
    object_t **refs = interpreter->frame->refs;
    uint32_t first = (uint32_t)value[0], second = (uint32_t)value[1];
    switch (opcode) {
    case OP_CONST_REF_ZERO: break;
    case OP_CAST_ANY_REF: // value, type
        RETURN_IF_ERROR(cast_ref(interpreter->module, refs[first & REGISTER_INDEX], second));
        *reference = take_ref(refs, first);
        break;
    case OP_ASSIGN_REF: *reference = take_ref(refs, first); break;
    case OP_CMP_NZ_REF: *result = refs[first & REGISTER_INDEX] != NULL; break;
    case OP_CMP_EQ_REF: *result = refs[first & REGISTER_INDEX] == refs[second & REGISTER_INDEX]; break;
    case OP_CMP_NE_REF: *result = refs[first & REGISTER_INDEX] != refs[second & REGISTER_INDEX]; break;
    default: { // SELECT_REF: condition, type, values
        object_t *yes = take_ref(refs, (uint32_t)value[2]), *no = take_ref(refs, (uint32_t)value[3]);
        *reference = value[0] != 0 ? yes : no;
        object_release(interpreter->memory, value[0] != 0 ? no : yes);
        break;
    }
    }
    return STATUS_OK;
}

// Any instruction of this kind; returns what follows it, or NULL with interpreter->status set.
static NOINLINE const uint8_t *run_decoded(interpreter_t *interpreter, uint32_t opcode, const uint8_t *p) {
    status_t status = STATUS_OK;
    operands_t operands;
    const uint64_t *value = operands.value;
    uint64_t result = 0;
    object_t *reference = NULL;
    uint32_t *i32 = interpreter->frame->i32;
    encoding_t encoding = opcode_encoding(opcode);
    // Not all instructions have three values, but arithmetic is handed as many.
    operands.value[0] = operands.value[1] = operands.value[2] = 0;
    p = decode(encoding_fields[encoding], i32, p, &operands);
    switch (encoding_families[encoding]) {
    case FAMILY_GLOBAL: status = run_global(interpreter, opcode, value, &result, &reference); break;
    case FAMILY_LIST: status = run_list(interpreter, opcode, value, &result, &reference); break;
    case FAMILY_BUFFER: status = run_buffer(interpreter, opcode, value, &result, &reference); break;
    case FAMILY_REFERENCE: status = run_reference(interpreter, opcode, value, &result, &reference); break;
    case FAMILY_FLOAT: result = arithmetic_f32(opcode, value[0], value[1], value[2]); break;
    default: status = arithmetic_integer(opcode, value[0], value[1], value[2], &result); break;
    }
    if (status != STATUS_OK) {
        interpreter->status = status;
        return NULL;
    }
    switch (operands.result_kind) {
    case 0: break;
    case 'L': set_pair(i32, operands.result, result); break;
    case 'R':
        put_ref(interpreter->memory, &interpreter->frame->refs[operands.result & REGISTER_INDEX], reference);
        break;
    default: i32[operands.result] = (uint32_t)result; break;
    }
    return p;
}

// switch: index, default, values, result. A reference's type comes before its default.
static NOINLINE const uint8_t *run_switch(uint32_t opcode, memory_t *memory, uint32_t *i32, object_t **refs,
                                          const uint8_t *p) {
    uint32_t count, index = i32[read_u16(p)];
    p += opcode == OP_SWITCH_REF ? 6 : 2;
    uint32_t fallback = read_u16(p);
    const uint16_t *values = list_begin(p + 2, &count);
    uint32_t chosen = index < count ? values[index] : fallback, result = values[count];
    if (opcode == OP_SWITCH_I64) {
        set_pair(i32, result, get_pair(i32, chosen));
    } else if (opcode != OP_SWITCH_REF) {
        i32[result] = i32[chosen];
    } else {
        object_t *object = take_ref(refs, chosen & ~(uint32_t)REGISTER_MOVE);
        for (uint32_t i = 0; i <= count; i++) { // what is moved leaves its register, chosen or not
            uint32_t reg = i < count ? values[i] : fallback;
            if ((reg & REGISTER_MOVE) != 0) put_ref(memory, &refs[reg & REGISTER_INDEX], NULL);
        }
        put_ref(memory, &refs[result & REGISTER_INDEX], object);
    }
    return (const uint8_t *)(values + count + 1);
}

// ---- Calls and the loop

// Field n of 16 bits of the instruction whose fields start at `p`, and the number register that it names.
#define U16(n) read_u16(p + 2 * (n))
#define U32(n) (U16(n) | (uint32_t)U16((n) + 1) << 16)
#define I32(n) i32[U16(n)]

// Reads the lists of a call; returns what follows them.
INLINE const uint8_t *read_call(call_t *call, uint32_t opcode, const uint8_t *p) {
    const uint16_t *list = (const uint16_t *)(p + ((uintptr_t)p & 1));
    if (opcode == OP_CALL_VARIADIC) {
        call->segments = list + 1;
        list += 1 + list[0];
    }
    call->operands = list + 1;
    list += 1 + list[0];
    call->results = list + 1;
    return (const uint8_t *)(list + 1 + list[0]);
}

// Returns from the innermost function; NULL when it was the outermost.
static NOINLINE const uint8_t *run_return(interpreter_t *interpreter, const uint8_t *p, object_t **outputs) {
    uint32_t count;
    const uint16_t *values = list_begin(p, &count);
    frame_t *frame = interpreter->frame;
    p = frame->resume;
    if (frame->caller != NULL) {
        leave(interpreter, values);
        return p;
    }
    for (uint32_t i = 0; i < count; i++)
        outputs[i] = take_ref(frame->refs, values[i]);
    pop_frame(interpreter);
    return NULL;
}

#define TRY(expression)                                                                                      \
    do {                                                                                                     \
        status = (expression);                                                                               \
        if (status != STATUS_OK) goto failed;                                                                \
    } while (0)

// Runs until the outermost function, entered before, returns.
static status_t run(interpreter_t *interpreter, const uint8_t *p, object_t **outputs) {
    const module_t *module = interpreter->module;
    memory_t *memory = interpreter->memory;
    const uint8_t *at = p, *code = p;
    uint32_t *i32 = interpreter->frame->i32, opcode, callee;
    object_t **refs = interpreter->frame->refs, *object;
    bool is_import;
    status_t status;
    for (;;) {
        at = p;
        opcode = *p++;
        switch (opcode_encoding(opcode)) {
        case ENCODING_NONE: continue; // BLOCK
        case ENCODING_PREFIX:
            opcode = OPCODE_F32 + *p++;
            if (opcode == OP_SWITCH_F32) {
                p = run_switch(opcode, memory, i32, refs, p);
                continue;
            }
            goto decoded;
        case ENCODING_ZERO_I32:
            I32(0) = 0;
            p += 2;
            continue;
        case ENCODING_CONST_32:
            I32(2) = U32(0);
            p += 6;
            continue;
        case ENCODING_ZERO_I64:
            set_pair(i32, U16(0), 0);
            p += 2;
            continue;
        case ENCODING_CONST_64: {
            uint32_t *pair = &I32(4);
            pair[0] = U32(0);
            pair[1] = U32(2);
            p += 10;
            continue;
        }
        case ENCODING_CONST_RODATA: // ORDINAL_LIMIT: the ordinal's upper half is 0
            object = &module->rodata[U16(0)].object;
            object->references++;
            put_ref(memory, &refs[U16(2) & REGISTER_INDEX], object);
            p += 6;
            continue;
        case ENCODING_SWITCH_I32:
        case ENCODING_SWITCH_I64:
        case ENCODING_SWITCH_REF: p = run_switch(opcode, memory, i32, refs, p); continue;
        case ENCODING_BRANCH:
            TRY(spend(interpreter));
            p = take_branch(memory, i32, refs, code, p);
            continue;
        case ENCODING_COND_BRANCH:
            TRY(spend(interpreter));
            p = take_branch(memory, i32, refs, code, I32(0) != 0 ? p + 2 : skip_operands(p + 6));
            continue;
        case ENCODING_BRANCH_TABLE:
            TRY(spend(interpreter));
            p = take_branch(memory, i32, refs, code, choose_case(p + 2, I32(0)));
            continue;
        case ENCODING_CALL:
        case ENCODING_CALL_VARIADIC:
            // ORDINAL_LIMIT: of the callee's ordinal, only the lower half and the highest bit are not 0.
            callee = U16(0);
            is_import = p[3] != 0;
            p = read_call(&interpreter->call, opcode, p + 4);
            if (is_import) {
                TRY(call_import(interpreter, module->imports[callee]));
                continue;
            }
            TRY(enter(interpreter, &module->functions[callee], p));
            p = module->functions[callee].code;
            goto another_frame;
        case ENCODING_RETURN:
            p = run_return(interpreter, p, outputs);
            if (p == NULL) return STATUS_OK;
        another_frame:
            code = interpreter->frame->function->code;
            i32 = interpreter->frame->i32;
            refs = interpreter->frame->refs;
            continue;
        case ENCODING_FAIL: TRY(fail_instruction(I32(0), p + 2)); continue;
        case ENCODING_IMPORT_RESOLVED:
            i32[U16(2)] = module->imports[U16(0)] != NULL;
            p += 6;
            continue;
        case ENCODING_DISCARD: p = discard(memory, refs, p); continue;
        default:
        decoded:
            p = run_decoded(interpreter, opcode, p);
            if (p == NULL) {
                status = interpreter->status;
                goto failed;
            }
            continue;
        }
    }
failed:;
    const function_t *function = interpreter->frame->function;
    return status_append(
        status, REASON(AT_BYTE, (uint32_t)(function - module->functions), (uint32_t)(at - function->code)));
}

status_t interpreter_invoke(interpreter_t *interpreter, uint32_t ordinal, uint32_t operation_budget,
                            object_t *const *arguments, object_t **results) {
    const function_t *function = &interpreter->module->functions[ordinal];
    interpreter->budget = operation_budget != 0 ? operation_budget : UINT32_MAX;
    interpreter->hal->workgroup_budget = interpreter->budget;
    RETURN_IF_ERROR(push_frame(interpreter, function));
    for (uint32_t i = 0; i < function->arguments.length; i++) {
        object_retain(arguments[i]);
        interpreter->frame->refs[i] = arguments[i];
    }
    status_t status = run(interpreter, function->code, results);
    while (interpreter->frame != NULL)
        pop_frame(interpreter);
    return status;
}
