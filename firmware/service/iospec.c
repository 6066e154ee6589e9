// SPDX-License-Identifier: Apache-2.0
#include "iospec.h"

#include "../runtime/bytes.h"

static const struct {
    char name[4];
    uint8_t class;
    uint8_t bytes;
} dtypes[] = {
    {"i8", CLASS_SIGNED, 1},    {"u8", CLASS_UNSIGNED, 1},  {"i16", CLASS_SIGNED, 2},
    {"u16", CLASS_UNSIGNED, 2}, {"i32", CLASS_SIGNED, 4},   {"u32", CLASS_UNSIGNED, 4},
    {"i64", CLASS_SIGNED, 8},   {"u64", CLASS_UNSIGNED, 8}, {"f16", CLASS_FLOAT, 2},
    {"f32", CLASS_FLOAT, 4},    {"f64", CLASS_FLOAT, 8},
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

void iospec_check_range(uint32_t value, uint32_t most, phrase_t field, uint32_t index) {
    if (value < 1 || value > most) FAIL(SPEC_RANGE, field, index, value, most);
}

void iospec_check_text(const char *text, phrase_t field) {
    if (bounded_text(text, IOSPEC_NAME_BYTES).length == IOSPEC_NAME_BYTES) FAIL(SPEC_TEXT, field);
}

static void check_input(const io_spec_t *spec, uint32_t i, uint32_t element_bytes) {
    uint32_t rank = spec->num_input_dim[i],
             product = element_bytes; // in bytes, so that those do not overflow
    iospec_check_range(rank, IOSPEC_INPUT_DIMS, PHRASE_NUM_INPUT_DIM, i);
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
    iospec_check_range(spec->num_output, IOSPEC_OUTPUTS, PHRASE_NUM_OUTPUT, NO_INDEX);
    if (bytes != 1 && bytes != 2 && bytes != 4 && bytes != 8) FAIL(OUTPUT_ELEMENT, bytes);
    for (uint32_t i = 0; i < spec->num_output; i++)
        iospec_check_range(spec->output_length[i], UINT32_MAX / bytes, PHRASE_OUTPUT_LENGTH, i);
}

void iospec_check(const io_spec_t *spec) {
    uint32_t dtype = find_dtype(spec);
    iospec_check_range(spec->num_input, IOSPEC_INPUTS, PHRASE_NUM_INPUT, NO_INDEX);
    if (dtype == DTYPE_COUNT) FAIL_QUOTING(dtype_text(spec), DTYPE);
    iospec_check_text(spec->entry_func, PHRASE_ENTRY_FUNC);
    iospec_check_text(spec->model_name, PHRASE_MODEL_NAME);
    for (uint32_t i = 0; i < spec->num_input; i++)
        check_input(spec, i, dtypes[dtype].bytes);
    check_outputs(spec);
}

bool iospec_type_agrees(uint32_t said_class, uint32_t said_bits, uint32_t element_type) {
    uint32_t class = element_type >> 24;
    bool any_sign = class == CLASS_INTEGER && (said_class == CLASS_SIGNED || said_class == CLASS_UNSIGNED);
    return (element_type & 0xff) == said_bits && (class == said_class || any_sign);
}

static const uint32_t *squeeze(const uint32_t *dims, uint32_t *rank) {
    while (*rank > 0 && *dims == 1) {
        dims++;
        --*rank;
    }
    return dims;
}

void iospec_compare_shape(phrase_t side, uint32_t index, const uint32_t *said, uint32_t said_rank,
                          const tensor_t *tensor) {
    uint32_t rank = tensor->rank;
    const uint32_t *dims = squeeze(tensor->dims, &rank);
    said = squeeze(said, &said_rank);
    if (said_rank != rank) FAIL(SAID_RANK, side, index, said_rank, rank);
    for (; rank > 0; rank--, said++, dims++)
        if (*said != *dims) FAIL(SAID_DIMENSION, side, index, rank - 1, *said, *dims);
}

void iospec_compare_counts(uint32_t inputs, uint32_t outputs, const signature_t *signature) {
    if (inputs != signature->input_count || outputs != signature->output_count)
        FAIL(SAID_COUNTS, inputs, outputs, signature->input_count, signature->output_count);
}

static void compare_input(const io_spec_t *spec, uint32_t i, const tensor_t *tensor) {
    uint32_t dtype = find_dtype(spec);
    if (!iospec_type_agrees(dtypes[dtype].class, dtypes[dtype].bytes * 8u, tensor->element_type))
        FAIL_QUOTING(dtype_text(spec), SAID_TYPE, i, tensor->element_type);
    iospec_compare_shape(PHRASE_INPUT, i, spec->input_shape[i], spec->num_input_dim[i], tensor);
}

void iospec_compare(const io_spec_t *spec, const signature_t *signature) {
    iospec_compare_counts(spec->num_input, spec->num_output, signature);
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
