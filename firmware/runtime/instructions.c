// SPDX-License-Identifier: Apache-2.0
#include "instructions.h"

#include "arithmetic.h"
#include "platform.h"
#include "registers.h"

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

// ---- Operands
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

const uint8_t *run_decoded(interpreter_t *interpreter, uint32_t opcode, const uint8_t *p) {
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
