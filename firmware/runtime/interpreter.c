// SPDX-License-Identifier: Apache-2.0
#include "interpreter.h"

#include "float.h"
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
    void *block;
    RETURN_IF_ERROR(memory_allocate(memory, bytes, 0, "the interpreter's stack", &block));
    *interpreter = (interpreter_t){.module = module, .memory = memory, .hal = hal, .stack = block};
    interpreter->stack_end = interpreter->stack + bytes;
    return STATUS_OK;
}

static status_t push_frame(interpreter_t *interpreter, const function_t *function) {
    frame_t *caller = interpreter->frame;
    uint8_t *base = caller == NULL ? interpreter->stack : (uint8_t *)caller + frame_bytes(caller->function);
    size_t bytes = frame_bytes(function);
    if ((size_t)(interpreter->stack_end - base) < bytes)
        return status_fail(STATUS_VM_STACK, "a frame of %u bytes does not fit the stack of %u",
                           (uint32_t)bytes, (uint32_t)(interpreter->stack_end - interpreter->stack));
    frame_t *frame = (frame_t *)base;
    *frame = (frame_t){.caller = caller, .function = function};
    frame->refs = (object_t **)(frame + 1);
    frame->i32 = (uint32_t *)(frame->refs + function->ref_count);
    for (uint32_t i = 0; i < function->ref_count; i++)
        frame->refs[i] = NULL;
    for (uint32_t i = 0; i < function->i32_count; i++)
        frame->i32[i] = 0;
    interpreter->frame = frame;
    return STATUS_OK;
}

static void pop_frame(interpreter_t *interpreter) {
    frame_t *frame = interpreter->frame;
    for (uint32_t i = 0; i < frame->function->ref_count; i++)
        object_release(interpreter->memory, frame->refs[i]);
    interpreter->frame = frame->caller;
}

// ---- Registers

static uint64_t get_pair(const uint32_t *i32, uint32_t reg) {
    return i32[reg] | (uint64_t)i32[reg + 1] << 32;
}

static void set_pair(uint32_t *i32, uint32_t reg, uint64_t value) {
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
static void put_ref(memory_t *memory, object_t **slot, object_t *object) {
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

// Elements [offset, offset + count) of `size` bytes each.
static status_t elements(object_t *const *refs, uint32_t reg, uint64_t offset, uint64_t count, uint32_t size,
                         bool writing, uint8_t **data) {
    buffer_t *buffer;
    RETURN_IF_ERROR(get_buffer(refs, reg, &buffer));
    if (writing && buffer->read_only)
        return status_fail(STATUS_VM_READ_ONLY, "write to a constant of %u bytes", buffer->length);
    // Larger numbers are outside every buffer, and would overflow below.
    if (offset > UINT32_MAX || count > UINT32_MAX) return buffer_out_of_range(buffer, offset, count);
    return buffer_range(buffer, offset * size, count * size, data);
}

static uint64_t load_element(const uint8_t *data, uint32_t size) {
    uint64_t value = 0;
    for (uint32_t k = 0; k < size; k++)
        value |= (uint64_t)data[k] << 8 * k;
    return value;
}

static void store_element(uint8_t *data, uint32_t size, uint64_t value) {
    for (uint32_t k = 0; k < size; k++)
        data[k] = (uint8_t)(value >> 8 * k);
}

static void fill_elements(uint8_t *data, uint64_t count, uint32_t size, uint64_t value) {
    if (size == 1 || value == 0) {
        platform_fill(data, (uint8_t)value, (size_t)(count * size));
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

// Bytes of an element that a buffer instruction loads, stores or fills with.
static uint32_t element_size(uint32_t opcode) {
    switch (opcode) {
    case OP_BUFFER_LOAD_I8U:
    case OP_BUFFER_LOAD_I8S:
    case OP_BUFFER_STORE_I8:
    case OP_BUFFER_FILL_I8: return 1;
    case OP_BUFFER_LOAD_I16U:
    case OP_BUFFER_LOAD_I16S:
    case OP_BUFFER_STORE_I16:
    case OP_BUFFER_FILL_I16: return 2;
    case OP_BUFFER_LOAD_I64:
    case OP_BUFFER_STORE_I64:
    case OP_BUFFER_FILL_I64: return 8;
    default: return 4;
    }
}

static uint64_t extend_element(uint32_t opcode, uint64_t value) {
    if (opcode == OP_BUFFER_LOAD_I8S) return (uint64_t)(int8_t)value;
    if (opcode == OP_BUFFER_LOAD_I16S) return (uint64_t)(int16_t)value;
    return value;
}

// ---- Lists

static status_t list_element(object_t *const *refs, uint32_t reg, uint32_t index, value_t **value) {
    list_t *list;
    RETURN_IF_ERROR(get_list(refs, reg, &list));
    if (index >= list->count)
        return status_fail(STATUS_VM_BOUNDS, "element %u of a list of %u", index, list->count);
    *value = &list->values[index];
    return STATUS_OK;
}

static void list_put(memory_t *memory, value_t *value, uint32_t type, uint64_t bits, object_t *reference) {
    object_t *previous = value->reference;
    *value =
        (value_t){.type = type, .words = {(uint32_t)bits, (uint32_t)(bits >> 32)}, .reference = reference};
    object_release(memory, previous);
}

// A number read as the type that it was stored as; integers may change their width, and what was never set is
// 0.
static status_t list_number(const value_t *value, uint32_t type, uint64_t *bits) {
    *bits = value->words[0] | (uint64_t)value->words[1] << 32;
    bool integers = (value->type == VALUE_I32 || value->type == VALUE_I64) && type != VALUE_F32;
    if (value->type == type || value->type == VALUE_NONE || integers) return STATUS_OK;
    return status_fail(STATUS_VM_TYPE, "a list element of type %u read as type %u", value->type, type);
}

// ---- Globals, types, constants

static status_t global_range(const module_t *module, uint32_t offset, uint32_t bytes) {
    if (offset % 4 == 0 && offset <= module->global_byte_count && bytes <= module->global_byte_count - offset)
        return STATUS_OK;
    return status_fail(STATUS_VM_BOUNDS, "%u bytes at offset %u of %u bytes of globals", bytes, offset,
                       module->global_byte_count);
}

static status_t global_ref(const module_t *module, uint32_t index, object_t ***slot) {
    if (index >= module->global_ref_count)
        return status_fail(STATUS_VM_BOUNDS, "global reference %u of %u", index, module->global_ref_count);
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
static void copy_operands(memory_t *memory, uint32_t *i32, object_t **refs, const uint8_t *p) {
    uint32_t count;
    const uint16_t *pair = list_begin(p, &count);
    for (; count > 0; count--, pair += 2) {
        if ((pair[0] & REGISTER_REF) != 0)
            put_ref(memory, &refs[pair[1] & REGISTER_INDEX], take_ref(refs, pair[0]));
        else
            i32[pair[1]] = i32[pair[0]];
    }
}

static const uint8_t *skip_operands(const uint8_t *p) {
    uint32_t count;
    return (const uint8_t *)(list_begin(p, &count) + 2 * (size_t)count);
}

// Address of the target and operands of the case that `index` chooses.
static const uint8_t *choose_case(const uint8_t *p, uint32_t index) {
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

static const uint8_t *discard(memory_t *memory, object_t **refs, const uint8_t *p) {
    uint32_t count;
    const uint16_t *registers = list_begin(p, &count);
    for (uint32_t i = 0; i < count; i++)
        put_ref(memory, &refs[registers[i] & REGISTER_INDEX], NULL);
    return (const uint8_t *)(registers + count);
}

static status_t spend(interpreter_t *interpreter) {
    if (--interpreter->budget != 0) return STATUS_OK;
    interpreter->budget = 1;
    return status_fail(STATUS_VM_BUDGET, "the invocation takes more branches and calls than allowed");
}

static status_t call_import(interpreter_t *interpreter, const import_t *import, call_t *call) {
    RETURN_IF_ERROR(import->function(call));
    for (uint32_t i = 0; i < call->operand_count; i++) {
        uint32_t reg = call->operands[i];
        if (reg >= (REGISTER_REF | REGISTER_MOVE))
            put_ref(interpreter->memory, &call->refs[reg & REGISTER_INDEX], NULL);
    }
    for (uint32_t i = 0; i < import->reference_results; i++)
        put_ref(interpreter->memory, &call->refs[call->results[i] & REGISTER_INDEX], call->references[i]);
    return STATUS_OK;
}

// Enters a function of the module: its arguments go to the first registers of their kind.
static status_t enter(interpreter_t *interpreter, const function_t *function, const uint16_t *operands,
                      const uint16_t *results, const uint8_t *resume) {
    frame_t *caller = interpreter->frame;
    RETURN_IF_ERROR(push_frame(interpreter, function));
    frame_t *frame = interpreter->frame;
    frame->results = results;
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
static void leave(interpreter_t *interpreter, const uint16_t *values) {
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

static status_t fail_instruction(uint32_t code, const uint8_t *text) {
    span_t span = {.data = text + 2, .length = read_u16(text)};
    return status_fail(STATUS_VM_FAIL, "the model failed with code %u: %s", code,
                       span_printable(span, (char[100]){0}, 100));
}

// ---- Numbers: what an instruction computes from operands that are read already

static uint32_t unary_i32(uint32_t opcode, uint32_t a) {
    switch (opcode) {
    case OP_NOT_I32: return ~a;
    case OP_TRUNC_I32_I8:
    case OP_EXT_I8_I32U: return a & 0xff;
    case OP_TRUNC_I32_I16:
    case OP_EXT_I16_I32U: return a & 0xffff;
    case OP_EXT_I8_I32S: return (uint32_t)(int8_t)a;
    case OP_EXT_I16_I32S: return (uint32_t)(int16_t)a;
    case OP_CTLZ_I32: return a != 0 ? (uint32_t)__builtin_clz(a) : 32;
    case OP_ABS_I32: return (int32_t)a < 0 ? 0 - a : a;
    case OP_CMP_NZ_I32: return a != 0;
    default: return a; // the bitcasts between i32 and f32
    }
}

// Division by zero was refused before; the one overflow wraps.
static uint32_t binary_i32(uint32_t opcode, uint32_t a, uint32_t b) {
    int32_t signed_a = (int32_t)a, signed_b = (int32_t)b;
    switch (opcode) {
    case OP_ADD_I32: return a + b;
    case OP_SUB_I32: return a - b;
    case OP_MUL_I32: return a * b;
    case OP_DIV_I32S: return signed_b == -1 ? 0 - a : (uint32_t)(signed_a / signed_b);
    case OP_DIV_I32U: return a / b;
    case OP_REM_I32S: return signed_b == -1 ? 0 : (uint32_t)(signed_a % signed_b);
    case OP_REM_I32U: return a % b;
    case OP_AND_I32: return a & b;
    case OP_OR_I32: return a | b;
    case OP_XOR_I32: return a ^ b;
    case OP_SHL_I32: return a << (b & 31);
    case OP_SHR_I32S: return (uint32_t)(signed_a >> (b & 31));
    case OP_SHR_I32U: return a >> (b & 31);
    case OP_CMP_EQ_I32: return a == b;
    case OP_CMP_NE_I32: return a != b;
    case OP_CMP_LT_I32S: return signed_a < signed_b;
    case OP_CMP_LT_I32U: return a < b;
    case OP_MIN_I32S: return signed_a < signed_b ? a : b;
    case OP_MIN_I32U: return a < b ? a : b;
    case OP_MAX_I32S: return signed_a > signed_b ? a : b;
    default: return a > b ? a : b; // MAX_I32U
    }
}

static uint64_t unary_i64(uint32_t opcode, uint64_t a) {
    if (opcode == OP_NOT_I64) return ~a;
    if (opcode == OP_CTLZ_I64) return a != 0 ? (uint64_t)__builtin_clzll(a) : 64;
    return (int64_t)a < 0 ? 0 - a : a; // ABS_I64
}

static uint64_t binary_i64(uint32_t opcode, uint64_t a, uint64_t b) {
    int64_t signed_a = (int64_t)a, signed_b = (int64_t)b;
    switch (opcode) {
    case OP_ADD_I64: return a + b;
    case OP_SUB_I64: return a - b;
    case OP_MUL_I64: return a * b;
    case OP_DIV_I64S: return signed_b == -1 ? 0 - a : (uint64_t)(signed_a / signed_b);
    case OP_DIV_I64U: return a / b;
    case OP_REM_I64S: return signed_b == -1 ? 0 : (uint64_t)(signed_a % signed_b);
    case OP_REM_I64U: return a % b;
    case OP_AND_I64: return a & b;
    case OP_OR_I64: return a | b;
    case OP_XOR_I64: return a ^ b;
    case OP_MIN_I64S: return signed_a < signed_b ? a : b;
    case OP_MIN_I64U: return a < b ? a : b;
    case OP_MAX_I64S: return signed_a > signed_b ? a : b;
    default: return a > b ? a : b; // MAX_I64U
    }
}

static uint64_t shift_i64(uint32_t opcode, uint64_t a, uint32_t amount) {
    if (opcode == OP_SHL_I64) return a << (amount & 63);
    if (opcode == OP_SHR_I64S) return (uint64_t)((int64_t)a >> (amount & 63));
    return a >> (amount & 63); // SHR_I64U
}

static bool compare_i64(uint32_t opcode, uint64_t a, uint64_t b) {
    switch (opcode) {
    case OP_CMP_EQ_I64: return a == b;
    case OP_CMP_NE_I64: return a != b;
    case OP_CMP_LT_I64S: return (int64_t)a < (int64_t)b;
    default: return a < b; // CMP_LT_I64U
    }
}

static float unary_f32(uint32_t opcode, float a) {
    switch (opcode) {
    case OP_ABS_F32: return __builtin_fabsf(a);
    case OP_NEG_F32: return -a;
    case OP_CEIL_F32: return float_ceil(a);
    case OP_FLOOR_F32: return float_floor(a);
    case OP_ROUND_F32: return float_round(a);
    default: return float_round_even(a); // ROUND_F32_EVEN
    }
}

static float binary_f32(uint32_t opcode, float a, float b) {
    switch (opcode) {
    case OP_ADD_F32: return a + b;
    case OP_SUB_F32: return a - b;
    case OP_MUL_F32: return a * b;
    case OP_DIV_F32: return a / b;
    case OP_MIN_F32: return b < a ? b : a;
    default: return a < b ? b : a; // MAX_F32
    }
}

// O is false and U true when an operand is not a number, but for "not equal", which is always true then: as
// in IREE.
static bool compare_f32(uint32_t opcode, float a, float b) {
    bool unordered = a != a || b != b;
    switch (opcode) {
    case OP_CMP_EQ_F32O: return a == b;
    case OP_CMP_EQ_F32U: return a == b || unordered;
    case OP_CMP_NE_F32O:
    case OP_CMP_NE_F32U: return a != b;
    case OP_CMP_LT_F32O: return a < b;
    case OP_CMP_LT_F32U: return a < b || unordered;
    case OP_CMP_LTE_F32O: return a <= b;
    default: return a <= b || unordered; // CMP_LTE_F32U
    }
}

// Numbers become integers by rounding to the nearest, halves away from zero: as in IREE.
static uint32_t f32_to_i32(uint32_t opcode, float a) {
    if (opcode == OP_CMP_NAN_F32) return a != a;
    return opcode == OP_CAST_F32_SI32 ? (uint32_t)float_to_signed(float_round(a), 31)
                                      : (uint32_t)float_to_unsigned(float_round(a), 32);
}

static bool divides(uint32_t opcode) {
    return (opcode >= OP_DIV_I32S && opcode <= OP_REM_I32U) ||
           (opcode >= OP_DIV_I64S && opcode <= OP_REM_I64U);
}

// ---- The instructions
//
// `p` is behind the opcode. U16(n) is the n-th of the instruction's 16-bit fields; I32, F32 and I64 read the
// register that it names. Every case is for an encoding, so that it decodes what the verifier checked.

#define NEXT(bytes)                                                                                          \
    p += (bytes);                                                                                            \
    break

#define U16(n) read_u16(p + 2 * (n))
#define I32(n) i32[U16(n)]
#define I64(n) get_pair(i32, U16(n))
#define F32(n) float_of(I32(n))
#define SLOT(n) (&refs[U16(n) & REGISTER_INDEX])
#define SET_I64(n, value) set_pair(i32, U16(n), value)
#define SET_F32(n, value) (I32(n) = bits_of(value))

// Instructions on numbers, whose encoding tells how to read and write. *next is behind the instruction.
static status_t run_numeric(uint32_t opcode, uint32_t *i32, const uint8_t *p, const uint8_t **next) {
    if (divides(opcode) && I32(1) == 0 && (opcode < OP_ADD_I64 || I64(1) == 0))
        return status_fail(STATUS_VM_DIVIDE, "division by zero");
    switch (opcode_encoding(opcode)) {
    case ENCODING_UNARY_I32: I32(1) = unary_i32(opcode, I32(0)); NEXT(4);
    case ENCODING_BINARY_I32: I32(2) = binary_i32(opcode, I32(0), I32(1)); NEXT(6);
    case ENCODING_TERNARY_I32:
        if (opcode == OP_FMA_I32)
            I32(3) = I32(0) * I32(1) + I32(2);
        else // SELECT_I32, SELECT_F32
            I32(3) = I32(0) != 0 ? I32(1) : I32(2);
        NEXT(8);
    case ENCODING_UNARY_I64: SET_I64(1, unary_i64(opcode, I64(0))); NEXT(4);
    case ENCODING_BINARY_I64: SET_I64(2, binary_i64(opcode, I64(0), I64(1))); NEXT(6);
    case ENCODING_TERNARY_I64: SET_I64(3, I64(0) * I64(1) + I64(2)); NEXT(8); // FMA_I64
    case ENCODING_SELECT_I64: SET_I64(3, I32(0) != 0 ? I64(1) : I64(2)); NEXT(8);
    case ENCODING_SHIFT_I64: SET_I64(2, shift_i64(opcode, I64(0), I32(1))); NEXT(6);
    case ENCODING_COMPARE_I64: I32(2) = compare_i64(opcode, I64(0), I64(1)); NEXT(6);
    case ENCODING_I32_TO_I64:
        SET_I64(1, opcode == OP_EXT_I32_I64S ? (uint64_t)(int32_t)I32(0) : I32(0));
        NEXT(4);
    case ENCODING_I64_TO_I32: I32(1) = opcode == OP_CMP_NZ_I64 ? I64(0) != 0 : (uint32_t)I64(0); NEXT(4);
    case ENCODING_UNARY_F32: SET_F32(1, unary_f32(opcode, F32(0))); NEXT(4);
    case ENCODING_BINARY_F32: SET_F32(2, binary_f32(opcode, F32(0), F32(1))); NEXT(6);
    case ENCODING_TERNARY_F32: SET_F32(3, F32(0) * F32(1) + F32(2)); NEXT(8); // FMA_F32
    case ENCODING_COMPARE_F32: I32(2) = compare_f32(opcode, F32(0), F32(1)); NEXT(6);
    case ENCODING_I32_TO_F32:
        SET_F32(1, opcode == OP_CAST_SI32_F32 ? (float)(int32_t)I32(0) : (float)I32(0));
        NEXT(4);
    case ENCODING_F32_TO_I32: I32(1) = f32_to_i32(opcode, F32(0)); NEXT(4);
    case ENCODING_I64_TO_F32:
        SET_F32(1, opcode == OP_CAST_SI64_F32 ? (float)(int64_t)I64(0) : (float)I64(0));
        NEXT(4);
    case ENCODING_F32_TO_I64:
        SET_I64(1, opcode == OP_CAST_F32_SI64 ? (uint64_t)float_to_signed(float_round(F32(0)), 63)
                                              : float_to_unsigned(float_round(F32(0)), 64));
        NEXT(4);
    default: return status_fail(STATUS_VERIFY_OPCODE, "instruction 0x%x", opcode);
    }
    *next = p;
    return STATUS_OK;
}

// Instructions on the bytes of buffers.
static status_t run_buffer(uint32_t opcode, memory_t *memory, uint32_t *i32, object_t **refs,
                           const uint8_t *p, const uint8_t **next) {
    uint32_t size = element_size(opcode);
    uint8_t *data, *source;
    buffer_t *buffer;
    switch (opcode_encoding(opcode)) {
    case ENCODING_BUFFER_LOAD_I32:
        RETURN_IF_ERROR(elements(refs, U16(0), I64(1), 1, size, false, &data));
        I32(2) = (uint32_t)extend_element(opcode, load_element(data, size));
        NEXT(6);
    case ENCODING_BUFFER_LOAD_I64:
        RETURN_IF_ERROR(elements(refs, U16(0), I64(1), 1, size, false, &data));
        SET_I64(2, load_element(data, size));
        NEXT(6);
    case ENCODING_BUFFER_STORE_I32:
    case ENCODING_BUFFER_STORE_I64:
        RETURN_IF_ERROR(elements(refs, U16(0), I64(1), 1, size, true, &data));
        store_element(data, size, size == 8 ? I64(2) : I32(2));
        NEXT(6);
    case ENCODING_BUFFER_FILL_I32:
    case ENCODING_BUFFER_FILL_I64:
        RETURN_IF_ERROR(elements(refs, U16(0), I64(1), I64(2), size, true, &data));
        fill_elements(data, I64(2), size, size == 8 ? I64(3) : I32(3));
        NEXT(8);
    case ENCODING_BUFFER_ALLOC:
        RETURN_IF_ERROR(buffer_create(memory, I64(0), I32(1), &buffer));
        put_ref(memory, SLOT(2), &buffer->object);
        NEXT(6);
    case ENCODING_BUFFER_CLONE:
        RETURN_IF_ERROR(elements(refs, U16(0), I64(1), I64(2), 1, false, &source));
        RETURN_IF_ERROR(buffer_create(memory, I64(2), I32(3), &buffer));
        platform_copy(buffer->data, source, buffer->length);
        put_ref(memory, SLOT(4), &buffer->object);
        NEXT(10);
    case ENCODING_BUFFER_LENGTH:
        RETURN_IF_ERROR(get_buffer(refs, U16(0), &buffer));
        SET_I64(1, buffer->length);
        NEXT(4);
    case ENCODING_BUFFER_COPY:
        RETURN_IF_ERROR(elements(refs, U16(0), I64(1), I64(4), 1, false, &source));
        RETURN_IF_ERROR(elements(refs, U16(2), I64(3), I64(4), 1, true, &data));
        copy_bytes(data, source, (size_t)I64(4));
        NEXT(10);
    default: // BUFFER_COMPARE
        RETURN_IF_ERROR(elements(refs, U16(0), I64(1), I64(4), 1, false, &source));
        RETURN_IF_ERROR(elements(refs, U16(2), I64(3), I64(4), 1, false, &data));
        I32(5) = memcmp(source, data, (size_t)I64(4)) == 0;
        NEXT(12);
    }
    *next = p;
    return STATUS_OK;
}

// Instructions on lists.
static status_t run_list(uint32_t opcode, interpreter_t *interpreter, const uint8_t *p,
                         const uint8_t **next) {
    memory_t *memory = interpreter->memory;
    uint32_t *i32 = interpreter->frame->i32;
    object_t **refs = interpreter->frame->refs;
    value_type_t type = opcode == OP_LIST_GET_F32 || opcode == OP_LIST_SET_F32 ? VALUE_F32 : VALUE_I32;
    list_t *list;
    value_t *value;
    uint64_t bits;
    switch (opcode_encoding(opcode)) {
    case ENCODING_LIST_ALLOC:
        RETURN_IF_ERROR(list_create(memory, I32(2), &list));
        put_ref(memory, SLOT(3), &list->object);
        NEXT(8);
    case ENCODING_LIST_SIZED:
        RETURN_IF_ERROR(get_list(refs, U16(0), &list));
        RETURN_IF_ERROR(opcode == OP_LIST_RESIZE ? list_resize(memory, list, I32(1))
                                                 : list_reserve(memory, list, I32(1)));
        NEXT(4);
    case ENCODING_LIST_SIZE:
        RETURN_IF_ERROR(get_list(refs, U16(0), &list));
        I32(1) = list->count;
        NEXT(4);
    case ENCODING_LIST_GET_I32:
        RETURN_IF_ERROR(list_element(refs, U16(0), I32(1), &value));
        RETURN_IF_ERROR(list_number(value, type, &bits));
        I32(2) = (uint32_t)bits;
        NEXT(6);
    case ENCODING_LIST_GET_I64:
        RETURN_IF_ERROR(list_element(refs, U16(0), I32(1), &value));
        RETURN_IF_ERROR(list_number(value, VALUE_I64, &bits));
        // An i32 is stored without its sign's extension.
        SET_I64(2, value->type == VALUE_I32 ? (uint64_t)(int32_t)bits : bits);
        NEXT(6);
    case ENCODING_LIST_SET_I32:
        RETURN_IF_ERROR(list_element(refs, U16(0), I32(1), &value));
        list_put(memory, value, type, I32(2), NULL);
        NEXT(6);
    case ENCODING_LIST_SET_I64:
        RETURN_IF_ERROR(list_element(refs, U16(0), I32(1), &value));
        list_put(memory, value, VALUE_I64, I64(2), NULL);
        NEXT(6);
    case ENCODING_LIST_GET_REF:
        RETURN_IF_ERROR(list_element(refs, U16(0), I32(1), &value));
        RETURN_IF_ERROR(cast_ref(interpreter->module, value->reference, read_u32(p + 4)));
        object_retain(value->reference);
        put_ref(memory, SLOT(4), value->reference);
        NEXT(10);
    default: // LIST_SET_REF
        RETURN_IF_ERROR(list_element(refs, U16(0), I32(1), &value));
        list_put(memory, value, VALUE_REF, 0, take_ref(refs, U16(2)));
        NEXT(6);
    }
    *next = p;
    return STATUS_OK;
}

// Instructions on the module's globals that hold numbers.
static status_t run_global(uint32_t opcode, const module_t *module, uint32_t *i32, const uint8_t *p,
                           const uint8_t **next) {
    uint32_t *globals = module->global_bytes;
    switch (opcode_encoding(opcode)) {
    case ENCODING_GLOBAL_LOAD_32: i32[U16(2)] = globals[read_u32(p) / 4]; NEXT(6);
    case ENCODING_GLOBAL_STORE_32: globals[read_u32(p) / 4] = i32[U16(2)]; NEXT(6);
    case ENCODING_GLOBAL_LOAD_64: SET_I64(2, get_pair(globals, read_u32(p) / 4)); NEXT(6);
    case ENCODING_GLOBAL_STORE_64: set_pair(globals, read_u32(p) / 4, I64(2)); NEXT(6);
    case ENCODING_LOAD_INDIRECT_I32:
        RETURN_IF_ERROR(global_range(module, I32(0), 4));
        I32(1) = globals[I32(0) / 4];
        NEXT(4);
    case ENCODING_STORE_INDIRECT_I32:
        RETURN_IF_ERROR(global_range(module, I32(0), 4));
        globals[I32(0) / 4] = I32(1);
        NEXT(4);
    case ENCODING_LOAD_INDIRECT_I64:
        RETURN_IF_ERROR(global_range(module, I32(0), 8));
        SET_I64(1, get_pair(globals, I32(0) / 4));
        NEXT(4);
    default: // STORE_INDIRECT_I64
        RETURN_IF_ERROR(global_range(module, I32(0), 8));
        set_pair(globals, I32(0) / 4, I64(1));
        NEXT(4);
    }
    *next = p;
    return STATUS_OK;
}

// Instructions on constants and references that cannot fail.
static const uint8_t *run_constant(uint32_t opcode, memory_t *memory, uint32_t *i32, object_t **refs,
                                   const uint8_t *p) {
    uint32_t count, index;
    const uint16_t *values;
    object_t *yes, *no;
    switch (opcode_encoding(opcode)) {
    case ENCODING_ZERO_I32: I32(0) = 0; NEXT(2);
    case ENCODING_CONST_32: I32(2) = read_u32(p); NEXT(6);
    case ENCODING_ZERO_I64: SET_I64(0, 0); NEXT(2);
    case ENCODING_CONST_64: SET_I64(4, read_u64(p)); NEXT(10);
    case ENCODING_ZERO_REF: put_ref(memory, SLOT(0), NULL); NEXT(2);
    case ENCODING_ASSIGN_REF: put_ref(memory, SLOT(1), take_ref(refs, U16(0))); NEXT(4);
    case ENCODING_TEST_REF: I32(1) = *SLOT(0) != NULL; NEXT(4);
    case ENCODING_COMPARE_REF: I32(2) = (*SLOT(0) == *SLOT(1)) == (opcode == OP_CMP_EQ_REF); NEXT(6);
    case ENCODING_SELECT_REF: // condition, type, values, result
        yes = take_ref(refs, U16(3));
        no = take_ref(refs, U16(4));
        put_ref(memory, SLOT(5), I32(0) != 0 ? yes : no);
        object_release(memory, I32(0) != 0 ? no : yes);
        NEXT(12);
    case ENCODING_SWITCH_I32: // index, default, values, result
        index = I32(0);
        values = list_begin(p + 4, &count);
        i32[values[count]] = index < count ? i32[values[index]] : I32(1);
        p = (const uint8_t *)(values + count + 1);
        break;
    case ENCODING_SWITCH_I64:
        index = I32(0);
        values = list_begin(p + 4, &count);
        set_pair(i32, values[count], get_pair(i32, index < count ? values[index] : U16(1)));
        p = (const uint8_t *)(values + count + 1);
        break;
    default: // SWITCH_REF: index, type, default, values, result. What is moved leaves its register, chosen or
             // not.
        index = I32(0);
        values = list_begin(p + 8, &count);
        yes = take_ref(refs, (index < count ? values[index] : U16(3)) & ~REGISTER_MOVE);
        for (uint32_t i = 0; i <= count; i++) {
            uint32_t reg = i < count ? values[i] : U16(3);
            if ((reg & REGISTER_MOVE) != 0) put_ref(memory, &refs[reg & REGISTER_INDEX], NULL);
        }
        put_ref(memory, &refs[values[count] & REGISTER_INDEX], yes);
        p = (const uint8_t *)(values + count + 1);
        break;
    }
    return p;
}

// Instructions on the module's global references and constants, and casts.
static status_t run_reference(uint32_t opcode, interpreter_t *interpreter, const uint8_t *p,
                              const uint8_t **next) {
    const module_t *module = interpreter->module;
    memory_t *memory = interpreter->memory;
    const uint32_t *i32 = interpreter->frame->i32;
    object_t **refs = interpreter->frame->refs, **slot;
    switch (opcode_encoding(opcode)) {
    case ENCODING_GLOBAL_LOAD_REF: // ordinal, type, result
        slot = &module->global_refs[read_u32(p)];
        RETURN_IF_ERROR(cast_ref(module, *slot, read_u32(p + 4)));
        object_retain(*slot);
        put_ref(memory, SLOT(4), *slot);
        NEXT(10);
    case ENCODING_GLOBAL_STORE_REF: // ordinal, type, value
        put_ref(memory, &module->global_refs[read_u32(p)], take_ref(refs, U16(4)));
        NEXT(10);
    case ENCODING_LOAD_INDIRECT_REF: // ordinal in a register, type, result
        RETURN_IF_ERROR(global_ref(module, I32(0), &slot));
        RETURN_IF_ERROR(cast_ref(module, *slot, read_u32(p + 2)));
        object_retain(*slot);
        put_ref(memory, SLOT(3), *slot);
        NEXT(8);
    case ENCODING_STORE_INDIRECT_REF: // ordinal in a register, type, value
        RETURN_IF_ERROR(global_ref(module, I32(0), &slot));
        put_ref(memory, slot, take_ref(refs, U16(3)));
        NEXT(8);
    case ENCODING_CONST_RODATA: // ordinal, result
        object_retain(&module->rodata[read_u32(p)].object);
        put_ref(memory, SLOT(2), &module->rodata[read_u32(p)].object);
        NEXT(6);
    default: // CAST_REF: value, type, result
        RETURN_IF_ERROR(cast_ref(module, *SLOT(0), read_u32(p + 2)));
        put_ref(memory, SLOT(3), take_ref(refs, U16(0)));
        NEXT(8);
    }
    *next = p;
    return STATUS_OK;
}

// Calls import or function; returns where to go on, or NULL after a failure.
static const uint8_t *run_call(uint32_t opcode, interpreter_t *interpreter, const uint8_t *p,
                               status_t *status) {
    uint32_t callee = read_u32(p), segment_count, result_count;
    call_t call = {.hal = interpreter->hal, .i32 = interpreter->frame->i32, .refs = interpreter->frame->refs};
    p += 4;
    if (opcode == OP_CALL_VARIADIC) {
        call.segments = list_begin(p, &segment_count);
        p = (const uint8_t *)(call.segments + segment_count);
    }
    call.operands = list_begin(p, &call.operand_count);
    call.results = list_begin((const uint8_t *)(call.operands + call.operand_count), &result_count);
    p = (const uint8_t *)(call.results + result_count);
    if ((callee & FUNCTION_IMPORT) != 0) {
        *status = call_import(interpreter, interpreter->module->imports[callee & ~FUNCTION_IMPORT], &call);
        return p;
    }
    const function_t *function = &interpreter->module->functions[callee];
    *status = enter(interpreter, function, call.operands, call.results, p);
    return function->code;
}

// Returns from the innermost function; NULL when it was the outermost.
static const uint8_t *run_return(interpreter_t *interpreter, const uint8_t *p, object_t **outputs) {
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

// Runs until the outermost function, entered before, returns.
static status_t run(interpreter_t *interpreter, const uint8_t *p, object_t **outputs) {
    const module_t *module = interpreter->module;
    memory_t *memory = interpreter->memory;
    const uint8_t *at = p, *code = p;
    uint32_t *i32 = interpreter->frame->i32;
    object_t **refs = interpreter->frame->refs;
    status_t status = STATUS_OK;
    for (;;) {
        at = p;
        uint32_t opcode = *p++;
        if (opcode == OPCODE_PREFIX_F32) opcode = OPCODE_F32 + *p++;
        switch (opcode_encoding(opcode)) {
        case ENCODING_NONE: break; // BLOCK
        case ENCODING_ZERO_I32:
        case ENCODING_CONST_32:
        case ENCODING_ZERO_I64:
        case ENCODING_CONST_64:
        case ENCODING_ZERO_REF:
        case ENCODING_ASSIGN_REF:
        case ENCODING_TEST_REF:
        case ENCODING_COMPARE_REF:
        case ENCODING_SELECT_REF:
        case ENCODING_SWITCH_I32:
        case ENCODING_SWITCH_I64:
        case ENCODING_SWITCH_REF: p = run_constant(opcode, memory, i32, refs, p); break;
        case ENCODING_GLOBAL_LOAD_REF:
        case ENCODING_GLOBAL_STORE_REF:
        case ENCODING_LOAD_INDIRECT_REF:
        case ENCODING_STORE_INDIRECT_REF:
        case ENCODING_CONST_RODATA:
        case ENCODING_CAST_REF: status = run_reference(opcode, interpreter, p, &p); break;
        case ENCODING_GLOBAL_LOAD_32:
        case ENCODING_GLOBAL_STORE_32:
        case ENCODING_GLOBAL_LOAD_64:
        case ENCODING_GLOBAL_STORE_64:
        case ENCODING_LOAD_INDIRECT_I32:
        case ENCODING_LOAD_INDIRECT_I64:
        case ENCODING_STORE_INDIRECT_I32:
        case ENCODING_STORE_INDIRECT_I64: status = run_global(opcode, module, i32, p, &p); break;
        case ENCODING_LIST_ALLOC:
        case ENCODING_LIST_SIZED:
        case ENCODING_LIST_SIZE:
        case ENCODING_LIST_GET_I32:
        case ENCODING_LIST_SET_I32:
        case ENCODING_LIST_GET_I64:
        case ENCODING_LIST_SET_I64:
        case ENCODING_LIST_GET_REF:
        case ENCODING_LIST_SET_REF: status = run_list(opcode, interpreter, p, &p); break;
        case ENCODING_BUFFER_LOAD_I32:
        case ENCODING_BUFFER_LOAD_I64:
        case ENCODING_BUFFER_STORE_I32:
        case ENCODING_BUFFER_STORE_I64:
        case ENCODING_BUFFER_FILL_I32:
        case ENCODING_BUFFER_FILL_I64:
        case ENCODING_BUFFER_ALLOC:
        case ENCODING_BUFFER_CLONE:
        case ENCODING_BUFFER_LENGTH:
        case ENCODING_BUFFER_COPY:
        case ENCODING_BUFFER_COMPARE: status = run_buffer(opcode, memory, i32, refs, p, &p); break;
        case ENCODING_BRANCH:
            status = spend(interpreter);
            p = take_branch(memory, i32, refs, code, p);
            break;
        case ENCODING_COND_BRANCH:
            status = spend(interpreter);
            p = take_branch(memory, i32, refs, code, I32(0) != 0 ? p + 2 : skip_operands(p + 6));
            break;
        case ENCODING_BRANCH_TABLE:
            status = spend(interpreter);
            p = take_branch(memory, i32, refs, code, choose_case(p + 2, I32(0)));
            break;
        case ENCODING_CALL:
        case ENCODING_CALL_VARIADIC:
        case ENCODING_RETURN:
            if (opcode == OP_RETURN) {
                p = run_return(interpreter, p, outputs);
                if (p == NULL) return STATUS_OK;
            } else {
                status = spend(interpreter);
                if (status == STATUS_OK) p = run_call(opcode, interpreter, p, &status);
            }
            code = interpreter->frame->function->code;
            i32 = interpreter->frame->i32;
            refs = interpreter->frame->refs;
            break;
        case ENCODING_FAIL: status = fail_instruction(I32(0), p + 2); break;
        case ENCODING_IMPORT_RESOLVED:
            i32[U16(2)] = module->imports[read_u32(p) & ~FUNCTION_IMPORT] != NULL;
            p += 6;
            break;
        case ENCODING_DISCARD: p = discard(memory, refs, p); break;
        default: status = run_numeric(opcode, i32, p, &p); break;
        }
        if (status != STATUS_OK) break;
    }
    const function_t *function = interpreter->frame->function;
    return status_append(status, ", in functions[%u] at byte %u", (uint32_t)(function - module->functions),
                         (uint32_t)(at - function->code));
}

status_t interpreter_invoke(interpreter_t *interpreter, uint32_t ordinal, uint64_t operation_budget,
                            object_t *const *arguments, object_t **results) {
    const function_t *function = &interpreter->module->functions[ordinal];
    interpreter->budget = operation_budget != 0 ? operation_budget : UINT64_MAX;
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
