// SPDX-License-Identifier: Apache-2.0
#include "instructions.h"

#include "arithmetic.h"
#include "platform.h"
#include "registers.h"

static const object_t *get_object_of(object_t *const *refs, uint32_t reg, uint32_t type) {
    object_t *object = refs[reg & REGISTER_INDEX];
    object_check(object, type);
    return object;
}

// ---- Buffers

// Elements [offset, offset + count) of 1 << `shift` bytes each.
static NOINLINE uint8_t *elements(object_t *const *refs, uint32_t reg, const uint64_t *offset, uint64_t count,
                                  uint32_t shift, bool writing) {
    const buffer_t *buffer = (const buffer_t *)get_object_of(refs, reg, OBJECT_BUFFER);
    if (writing && buffer->read_only) FAIL(BUFFER_READ_ONLY, buffer->length);
    uint32_t available = buffer->length >> shift;
    if (*offset > available || count > available - *offset)
        buffer_out_of_range(buffer, *offset << shift, count << shift);
    return buffer->data + ((uint32_t)*offset << shift);
}

static uint64_t load_element(const uint8_t *data, uint32_t size) {
    uint64_t value = 0;
    for (uint32_t k = size; k-- > 0;)
        value = value << 8 | data[k];
    return value;
}

// ---- Lists

static void list_put(memory_t *memory, value_t *value, uint32_t type, uint64_t bits, object_t *reference) {
    object_t *previous = value->reference;
    *value =
        (value_t){.type = type, .words = {(uint32_t)bits, (uint32_t)(bits >> 32)}, .reference = reference};
    object_release(memory, previous);
}

// A number read as the type that it was stored as. Integers may change their width; what was never set is 0.
static uint64_t list_number(const value_t *value, uint32_t type) {
    bool integers = (value->type == VALUE_I32 || value->type == VALUE_I64) && type != VALUE_F32;
    if (value->type != type && value->type != VALUE_NONE && !integers) FAIL(LIST_TYPE, value->type, type);
    return value->words[0] | (uint64_t)value->words[1] << 32;
}

// ---- Globals, types, constants

static uint32_t *global_range(const module_t *module, uint32_t offset, uint32_t bytes) {
    if (offset % 4 != 0 || offset > module->global_byte_count || bytes > module->global_byte_count - offset)
        FAIL(GLOBAL_RANGE, bytes, offset, module->global_byte_count);
    return &module->global_bytes[offset / 4];
}

static object_t **global_ref(const module_t *module, uint32_t index) {
    if (index >= module->global_ref_count) FAIL(GLOBAL_REFERENCE, index, module->global_ref_count);
    return &module->global_refs[index];
}

static void cast_ref(const module_t *module, const object_t *object, uint32_t type) {
    uint32_t wanted = module->types[type];
    if (object != NULL && wanted != TYPE_ANY && wanted != object->type) object_mismatch(object, wanted);
}

// ---- Operands
//
// The table of opcodes tells how their operands are encoded, so that one loop reads them all.

typedef struct {
    uint64_t value[5]; // numbers, immediates, ordinals, and register numbers of references, in order
    uint32_t target;   // register that is written
    char target_kind;  // I, L, F, R; 0 for instructions without a result
    uint64_t result;   // what is written there: a number, or
    object_t *reference;
} operands_t;

static const uint8_t *decode(const char *fields, const uint32_t *i32, const uint8_t *p,
                             operands_t *operands) {
    uint64_t *value = operands->value;
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
            operands->target = field;
            operands->target_kind = *fields;
            break;
        default: // the ordinals and offsets of 4 bytes
            *value++ = field | (uint32_t)read_u16(p) << 16;
            p += 2;
            break;
        }
    }
    return p;
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
static void run_buffer(interpreter_t *interpreter, uint32_t opcode, operands_t *operands) {
    object_t **refs = interpreter->frame->refs;
    const uint64_t *value = operands->value;
    uint32_t shift = element_shift(opcode), first = (uint32_t)value[0];
    const buffer_t *from = (const buffer_t *)refs[first & REGISTER_INDEX];
    hal_t *hal = interpreter->hal;
    uint8_t *data, *source;
    buffer_t *buffer;
    switch (opcode_encoding(opcode)) {
    case ENCODING_BUFFER_LOAD_I32:
    case ENCODING_BUFFER_LOAD_I64:
        data = elements(refs, first, &value[1], 1, shift, false);
        operands->result = load_element(data, 1u << shift);
        if (opcode == OP_BUFFER_LOAD_I8S) operands->result = (uint32_t)(int8_t)operands->result;
        if (opcode == OP_BUFFER_LOAD_I16S) operands->result = (uint32_t)(int16_t)operands->result;
        break;
    case ENCODING_BUFFER_STORE_I32:
    case ENCODING_BUFFER_STORE_I64:
        data = elements(refs, first, &value[1], 1, shift, true);
        hal_fill(hal, data, 1, 1u << shift, value[2]);
        break;
    case ENCODING_BUFFER_FILL_I32:
    case ENCODING_BUFFER_FILL_I64:
        data = elements(refs, first, &value[1], value[2], shift, true);
        hal_fill(hal, data, (uint32_t)value[2], 1u << shift, value[3]);
        break;
    case ENCODING_BUFFER_ALLOC: operands->reference = &hal_allocate(hal, value[0], value[1])->object; break;
    case ENCODING_BUFFER_CLONE:
        source = elements(refs, first, &value[1], value[2], 0, false);
        buffer = hal_allocate(hal, value[2], value[3]);
        hal_copy(hal, buffer->data, from, source, buffer->length);
        operands->reference = &buffer->object;
        break;
    case ENCODING_BUFFER_LENGTH:
        operands->result = ((const buffer_t *)get_object_of(refs, first, OBJECT_BUFFER))->length;
        break;
    default: // BUFFER_COPY, BUFFER_COMPARE
        source = elements(refs, first, &value[1], value[4], 0, false);
        data = elements(refs, (uint32_t)value[2], &value[3], value[4], 0, opcode == OP_BUFFER_COPY);
        if (opcode == OP_BUFFER_COPY)
            hal_copy(hal, data, from, source, (uint32_t)value[4]);
        else
            operands->result = memcmp(source, data, (size_t)value[4]) == 0;
        break;
    }
}

_Static_assert(OP_LIST_GET_I64 == OP_LIST_GET_I32 + 2 && OP_LIST_SET_I32 == OP_LIST_GET_I32 + 1 &&
                   OP_LIST_SET_I64 == OP_LIST_GET_I64 + 1 && OP_LIST_SET_F32 == OP_LIST_GET_F32 + 1 &&
                   OP_LIST_GET_F32 % 2 == OP_LIST_GET_I32 % 2 && VALUE_I64 == VALUE_I32 + 1,
               "as run_list() takes them apart");

// Lists.
static void run_list(interpreter_t *interpreter, uint32_t opcode, operands_t *operands) {
    object_t **refs = interpreter->frame->refs;
    const uint64_t *value = operands->value;
    memory_t *memory = interpreter->memory;
    uint32_t type;
    if (opcode == OP_LIST_ALLOC) { // type, capacity: a hint
        operands->reference = &list_create(memory)->object;
        return;
    }
    list_t *list = (list_t *)get_object_of(refs, (uint32_t)value[0], OBJECT_LIST);
    uint32_t index = (uint32_t)value[1];
    value_t *element = list->values;
    if (opcode >= OP_LIST_GET_I32) { // all that follow name an element
        if (index >= list->count) FAIL(LIST_ELEMENT, index, list->count);
        element += index;
    }
    switch (opcode) {
    case OP_LIST_RESERVE: list_reserve(memory, list, index); break;
    case OP_LIST_RESIZE: list_resize(memory, list, index); break;
    case OP_LIST_SIZE: operands->result = list->count; break;
    case OP_LIST_GET_REF:
        cast_ref(interpreter->module, element->reference, (uint32_t)value[2]);
        object_retain(operands->reference = element->reference);
        break;
    case OP_LIST_SET_REF: list_put(memory, element, VALUE_REF, 0, take_ref(refs, (uint32_t)value[2])); break;
    default: // gets and sets of numbers, in pairs: i32, i64; and f32
        type = opcode >= OPCODE_F32 ? VALUE_F32 : VALUE_I32 + (opcode - OP_LIST_GET_I32) / 2;
        if (opcode % 2 == OP_LIST_GET_I32 % 2)
            operands->result = list_number(element, type);
        else
            list_put(memory, element, type, type == VALUE_I64 ? value[2] : extend32(value[2]), NULL);
        break;
    }
}

// Whether an instruction changes a global, or takes an object out of one that could be changed through it.
static NOINLINE bool is_lasting(const module_t *module, uint32_t opcode, uint32_t ordinal) {
    if (opcode != OP_GLOBAL_LOAD_REF) return true; // loads of numbers are rare: not worth telling apart
    const object_t *object = module->global_refs[ordinal];
    return object != NULL && object->type != OBJECT_EXECUTABLE;
}

// Globals, at offsets and ordinals that the verifier checked, or that come from registers.
static void run_global(interpreter_t *interpreter, uint32_t opcode, operands_t *operands) {
    const module_t *module = interpreter->module;
    const uint64_t *value = operands->value;
    uint32_t at = (uint32_t)value[0], *number;
    object_t **slot;
    if (interpreter->hal->rehearsing && is_lasting(module, opcode, at)) FAIL(REHEARSAL);
    switch (opcode) {
    case OP_GLOBAL_LOAD_I64:
    case OP_GLOBAL_LOAD_INDIRECT_I64: operands->result = get_pair(global_range(module, at, 8), 0); return;
    case OP_GLOBAL_STORE_I64:
    case OP_GLOBAL_STORE_INDIRECT_I64: set_pair(global_range(module, at, 8), 0, value[1]); return;
    case OP_GLOBAL_LOAD_REF:
    case OP_GLOBAL_LOAD_INDIRECT_REF: // ordinal, type
        slot = global_ref(module, at);
        cast_ref(module, *slot, (uint32_t)value[1]);
        object_retain(operands->reference = *slot);
        return;
    case OP_GLOBAL_STORE_REF:
    case OP_GLOBAL_STORE_INDIRECT_REF: // ordinal, type, value
        slot = global_ref(module, at);
        put_ref(interpreter->memory, slot, take_ref(interpreter->frame->refs, (uint32_t)value[2]));
        return;
    default: break;
    }
    number = global_range(module, at, 4);
    if (opcode_encoding(opcode) == ENCODING_GLOBAL_STORE_32 ||
        opcode_encoding(opcode) == ENCODING_STORE_INDIRECT_I32)
        *number = (uint32_t)value[1];
    else
        operands->result = *number;
}

// References: casts, copies and comparisons.
static void run_reference(interpreter_t *interpreter, uint32_t opcode, operands_t *operands) {
    object_t **refs = interpreter->frame->refs;
    const uint64_t *value = operands->value;
    uint32_t first = (uint32_t)value[0], second = (uint32_t)value[1];
    object_t **left = &refs[first & REGISTER_INDEX], **right = &refs[second & REGISTER_INDEX];
    switch (opcode) {
    case OP_CONST_REF_ZERO: break;
    case OP_CAST_ANY_REF: // value, type
        cast_ref(interpreter->module, *left, second);
        __attribute__((fallthrough));
    case OP_ASSIGN_REF: operands->reference = take_ref(refs, first); break;
    case OP_CMP_NZ_REF: operands->result = *left != NULL; break;
    case OP_CMP_EQ_REF: operands->result = *left == *right; break;
    case OP_CMP_NE_REF: operands->result = *left != *right; break;
    default: { // SELECT_REF: condition, type, values
        object_t *yes = take_ref(refs, (uint32_t)value[2]), *no = take_ref(refs, (uint32_t)value[3]);
        operands->reference = value[0] != 0 ? yes : no;
        object_release(interpreter->memory, value[0] != 0 ? no : yes);
        break;
    }
    }
}

const uint8_t *run_decoded(interpreter_t *interpreter, uint32_t opcode, const uint8_t *p) {
    // Not all instructions have three values, but arithmetic is handed as many.
    operands_t operands = {0};
    const uint64_t *value = operands.value;
    uint32_t *i32 = interpreter->frame->i32;
    encoding_t encoding = opcode_encoding(opcode);
    p = decode(encoding_fields[encoding], i32, p, &operands);
    switch (encoding_families[encoding]) {
    case FAMILY_GLOBAL: run_global(interpreter, opcode, &operands); break;
    case FAMILY_LIST: run_list(interpreter, opcode, &operands); break;
    case FAMILY_BUFFER:
    case FAMILY_READING: run_buffer(interpreter, opcode, &operands); break;
    case FAMILY_REFERENCE: run_reference(interpreter, opcode, &operands); break;
    case FAMILY_FLOAT: operands.result = arithmetic_f32(opcode, value[0], value[1], value[2]); break;
    default: operands.result = arithmetic_integer(opcode, value[0], value[1], value[2]); break;
    }
    switch (operands.target_kind) {
    case 0: break;
    case 'L': set_pair(i32, operands.target, operands.result); break;
    case 'R':
        put_ref(interpreter->memory, &interpreter->frame->refs[operands.target & REGISTER_INDEX],
                operands.reference);
        break;
    default: i32[operands.target] = (uint32_t)operands.result; break;
    }
    return p;
}
