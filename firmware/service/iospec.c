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

// Looks the dtype up; DTYPE_COUNT when it is none.
static uint32_t find_dtype(const io_spec_t *spec) {
    uint32_t index = 0;
    while (index < DTYPE_COUNT && memcmp(dtypes[index].name, spec->dtype, 4) != 0)
        index++;
    return index;
}

// A text of `capacity` bytes at most, which need not end with a zero.
static span_t bounded_text(const char *text, uint32_t capacity) {
    span_t span = {.data = (const uint8_t *)text};
    while (span.length < capacity && text[span.length] != 0)
        span.length++;
    return span;
}

static span_t dtype_text(const io_spec_t *spec) {
    return bounded_text(spec->dtype, sizeof spec->dtype);
}

static void check_range(uint32_t value, uint32_t most, phrase_t field, uint32_t index) {
    if (value < 1 || value > most) FAIL(SPEC_RANGE, field, index, value, most);
}

static void check_text(const char *text, phrase_t field) {
    if (bounded_text(text, IOSPEC_NAME_BYTES).length == IOSPEC_NAME_BYTES) FAIL(SPEC_TEXT, field);
}

static void check_input(const io_spec_t *spec, uint32_t i, uint32_t element_bytes) {
    uint32_t rank = spec->num_input_dim[i],
             product = element_bytes; // in bytes, so that those do not overflow
    check_range(rank, IOSPEC_INPUT_DIMS, PHRASE_NUM_INPUT_DIM, i);
    if (spec->input_size_bytes[i] != element_bytes)
        FAIL_QUOTING(dtype_text(spec), INPUT_ELEMENT, i, spec->input_size_bytes[i], element_bytes);
    for (uint32_t d = 0; d < rank; d++) {
        uint32_t dim = spec->input_shape[i][d];
        if (dim == 0 || __builtin_mul_overflow(product, dim, &product)) FAIL(INPUT_SHAPE, i, d, dim);
    }
    if (product / element_bytes != spec->input_length[i])
        FAIL(INPUT_LENGTH, i, spec->input_length[i], product / element_bytes);
}

static void check_outputs(const io_spec_t *spec) {
    uint32_t bytes = spec->output_size_bytes;
    check_range(spec->num_output, IOSPEC_OUTPUTS, PHRASE_NUM_OUTPUT, NO_INDEX);
    if (bytes == 0 || bytes > 8 || (bytes & (bytes - 1)) != 0) FAIL(OUTPUT_ELEMENT, bytes);
    for (uint32_t i = 0; i < spec->num_output; i++)
        check_range(spec->output_length[i], UINT32_MAX / bytes, PHRASE_OUTPUT_LENGTH, i);
}

void iospec_check(const io_spec_t *spec) {
    uint32_t dtype = find_dtype(spec);
    check_range(spec->num_input, IOSPEC_INPUTS, PHRASE_NUM_INPUT, NO_INDEX);
    if (dtype == DTYPE_COUNT) FAIL_QUOTING(dtype_text(spec), DTYPE);
    check_text(spec->entry_func, PHRASE_ENTRY_FUNC);
    check_text(spec->model_name, PHRASE_MODEL_NAME);
    for (uint32_t i = 0; i < spec->num_input; i++)
        check_input(spec, i, dtypes[dtype].bytes);
    check_outputs(spec);
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

static void compare_input(const io_spec_t *spec, uint32_t i, const tensor_t *tensor) {
    if (!type_agrees(find_dtype(spec), tensor->element_type))
        FAIL_QUOTING(dtype_text(spec), SAID_TYPE, i, tensor->element_type);
    uint32_t said_rank = spec->num_input_dim[i], rank = tensor->rank;
    const uint32_t *said = squeeze(spec->input_shape[i], &said_rank);
    const uint32_t *dims = squeeze(tensor->dims, &rank);
    if (said_rank != rank) FAIL(SAID_RANK, i, said_rank, rank);
    for (; rank > 0; rank--, said++, dims++)
        if (*said != *dims) FAIL(SAID_DIMENSION, i, rank - 1, *said, *dims);
}

void iospec_compare(const io_spec_t *spec, const signature_t *signature) {
    if (spec->num_input != signature->input_count || spec->num_output != signature->output_count)
        FAIL(SAID_COUNTS, spec->num_input, spec->num_output, signature->input_count, signature->output_count);
    for (uint32_t i = 0; i < signature->input_count; i++)
        compare_input(spec, i, &signature->inputs[i]);
    for (uint32_t i = 0; i < signature->output_count; i++) {
        const tensor_t *tensor = &signature->outputs[i];
        if (element_bytes(tensor->element_type) != spec->output_size_bytes ||
            tensor->bytes != spec->output_length[i] * spec->output_size_bytes)
            FAIL(SAID_OUTPUT, i, spec->output_length[i], spec->output_size_bytes, tensor->bytes,
                 tensor->element_type);
    }
}
