// SPDX-License-Identifier: Apache-2.0
#include "iospec.h"

#include "../runtime/bytes.h"

// Numerical class of IREE's element types, bits 31 to 24; the low byte is the width in bits.
enum { ELEMENT_INTEGER = 0x10, ELEMENT_SIGNED = 0x11, ELEMENT_UNSIGNED = 0x12, ELEMENT_FLOAT = 0x21 };

static const struct {
    char name[4];
    uint8_t kind; // a signless integer of the model agrees with both signs
    uint8_t bytes;
} dtypes[] = {
    {"i8", ELEMENT_SIGNED, 1},    {"u8", ELEMENT_UNSIGNED, 1},  {"i16", ELEMENT_SIGNED, 2},
    {"u16", ELEMENT_UNSIGNED, 2}, {"i32", ELEMENT_SIGNED, 4},   {"u32", ELEMENT_UNSIGNED, 4},
    {"i64", ELEMENT_SIGNED, 8},   {"u64", ELEMENT_UNSIGNED, 8}, {"f16", ELEMENT_FLOAT, 2},
    {"f32", ELEMENT_FLOAT, 4},    {"f64", ELEMENT_FLOAT, 8},
};
#define DTYPE_COUNT (sizeof dtypes / sizeof dtypes[0])

// Looks a dtype up by its four bytes; DTYPE_COUNT when it is none.
static uint32_t find_dtype(const char name[4]) {
    uint32_t index = 0;
    while (index < DTYPE_COUNT && memcmp(dtypes[index].name, name, 4) != 0)
        index++;
    return index;
}

static bool is_terminated(const char *text) {
    for (uint32_t i = 0; i < IOSPEC_NAME_BYTES; i++)
        if (text[i] == 0) return true;
    return false;
}

static status_t fail_dtype(const char bytes[4]) {
    uint32_t length = 0;
    while (length < 4 && bytes[length] != 0)
        length++;
    return status_quote(FAIL(DTYPE), (span_t){.data = (const uint8_t *)bytes, .length = length});
}

static bool is_element_size(uint32_t bytes) {
    return bytes == 1 || bytes == 2 || bytes == 4 || bytes == 8;
}

static status_t parse_input(const io_spec_t *sent, uint32_t i, iospec_t *iospec) {
    uint32_t rank = sent->num_input_dim[i];
    uint32_t length = sent->input_length[i];
    uint32_t element_bytes = sent->input_size_bytes[i];
    if (rank < 1 || rank > IOSPEC_INPUT_DIMS) return FAIL(INPUT_RANK, i, rank, IOSPEC_INPUT_DIMS);
    if (element_bytes != iospec->element_bytes)
        return status_quote(FAIL(INPUT_ELEMENT, i, element_bytes, iospec->element_bytes),
                            span_of(iospec->dtype));
    uint32_t product = element_bytes; // in bytes, so that this does not overflow either
    iospec->input_rank[i] = rank;
    for (uint32_t d = 0; d < rank; d++) {
        uint32_t dim = sent->input_shape[i][d];
        iospec->input_shape[i][d] = dim;
        if (dim == 0 || __builtin_mul_overflow(product, dim, &product)) return FAIL(INPUT_SHAPE, i, d, dim);
    }
    if (product / element_bytes != length) return FAIL(INPUT_LENGTH, i, length, product / element_bytes);
    return STATUS_OK;
}

static status_t parse_outputs(const io_spec_t *sent, iospec_t *iospec) {
    iospec->output_count = sent->num_output;
    iospec->output_element_bytes = sent->output_size_bytes;
    if (iospec->output_count < 1 || iospec->output_count > IOSPEC_OUTPUTS)
        return FAIL(OUTPUT_COUNT, iospec->output_count, IOSPEC_OUTPUTS);
    if (!is_element_size(iospec->output_element_bytes))
        return FAIL(OUTPUT_ELEMENT, iospec->output_element_bytes);
    for (uint32_t i = 0; i < iospec->output_count; i++) {
        uint32_t length = sent->output_length[i];
        uint32_t total;
        if (length == 0 || __builtin_mul_overflow(length, iospec->output_element_bytes, &total))
            return FAIL(OUTPUT_LENGTH, i, length);
        iospec->output_length[i] = length;
    }
    return STATUS_OK;
}

status_t iospec_parse(const io_spec_t *sent, iospec_t *iospec) {
    iospec_t parsed = {.input_count = sent->num_input};
    if (parsed.input_count < 1 || parsed.input_count > IOSPEC_INPUTS)
        return FAIL(INPUT_COUNT, parsed.input_count, IOSPEC_INPUTS);
    memcpy(parsed.dtype, sent->dtype, sizeof parsed.dtype);
    uint32_t dtype = find_dtype(parsed.dtype);
    if (dtype == DTYPE_COUNT) return fail_dtype(sent->dtype);
    parsed.element_bytes = dtypes[dtype].bytes;
    if (!is_terminated(sent->entry_func)) return FAIL(ENTRY_UNTERMINATED, IOSPEC_NAME_BYTES);
    if (!is_terminated(sent->model_name)) return FAIL(NAME_UNTERMINATED, IOSPEC_NAME_BYTES);
    memcpy(parsed.entry, sent->entry_func, sizeof parsed.entry);
    for (uint32_t i = 0; i < parsed.input_count; i++)
        RETURN_IF_ERROR(parse_input(sent, i, &parsed));
    RETURN_IF_ERROR(parse_outputs(sent, &parsed));
    *iospec = parsed;
    return STATUS_OK;
}

static bool type_agrees(uint32_t dtype, uint32_t element_type) {
    uint32_t kind = element_type >> 24;
    return (element_type & 0xff) == dtypes[dtype].bytes * 8u &&
           (kind == dtypes[dtype].kind || (kind == ELEMENT_INTEGER && dtypes[dtype].kind != ELEMENT_FLOAT));
}

// Drops leading dimensions of 1.
static const uint32_t *squeeze(const uint32_t *dims, uint32_t *rank) {
    while (*rank > 0 && *dims == 1) {
        dims++;
        --*rank;
    }
    return dims;
}

static status_t check_input(const iospec_t *iospec, uint32_t i, const tensor_t *tensor) {
    if (!type_agrees(find_dtype(iospec->dtype), tensor->element_type))
        return status_quote(FAIL(SAID_TYPE, i, tensor->element_type), span_of(iospec->dtype));
    uint32_t said_rank = iospec->input_rank[i], rank = tensor->rank;
    const uint32_t *said = squeeze(iospec->input_shape[i], &said_rank);
    const uint32_t *dims = squeeze(tensor->dims, &rank);
    if (said_rank != rank) return FAIL(SAID_RANK, i, said_rank, rank);
    for (uint32_t d = 0; d < rank; d++)
        if (said[d] != dims[d]) return FAIL(SAID_DIMENSION, i, rank - 1 - d, said[d], dims[d]);
    return STATUS_OK;
}

status_t iospec_check(const iospec_t *iospec, const signature_t *signature) {
    if (iospec->input_count != signature->input_count || iospec->output_count != signature->output_count)
        return FAIL(SAID_COUNTS, iospec->input_count, iospec->output_count, signature->input_count,
                    signature->output_count);
    for (uint32_t i = 0; i < signature->input_count; i++)
        RETURN_IF_ERROR(check_input(iospec, i, &signature->inputs[i]));
    for (uint32_t i = 0; i < signature->output_count; i++) {
        const tensor_t *tensor = &signature->outputs[i];
        if (element_bytes(tensor->element_type) != iospec->output_element_bytes ||
            tensor->bytes != iospec->output_length[i] * iospec->output_element_bytes)
            return FAIL(SAID_OUTPUT, i, iospec->output_length[i], iospec->output_element_bytes, tensor->bytes,
                        tensor->element_type);
    }
    return STATUS_OK;
}
