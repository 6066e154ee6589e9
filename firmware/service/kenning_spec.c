// SPDX-License-Identifier: Apache-2.0
#include "kenning_spec.h"

#include "iospec.h"
#include "requests.h"

#if SERVES_KENNING

// By DLPack's codes of types: the class of IREE's element types that agrees with each; 0: none.
enum { CODE_INT = 0, CODE_UINT = 1, CODE_FLOAT = 2, CODE_BFLOAT = 4, CODE_BOOL = 6, CODES };
static const uint8_t class_of[CODES] = {[CODE_INT] = CLASS_SIGNED,
                                        [CODE_UINT] = CLASS_UNSIGNED,
                                        [CODE_FLOAT] = CLASS_FLOAT,
                                        [CODE_BFLOAT] = CLASS_BFLOAT,
                                        [CODE_BOOL] = CLASS_BOOL};

// The inputs, or the outputs: what they are called, and the most that there may be. In the specification
// their count stands first, then a rank for each of the most, then dimensions one after the other, as many as
// they may have together, where zeros are room that was not used; then a type for each of the most.
typedef struct {
    phrase_t name, count, rank;
    uint32_t most;
} side_t;

static const side_t inputs = {PHRASE_INPUT, PHRASE_NUM_INPUT, PHRASE_NUM_INPUT_DIM, IOSPEC_INPUTS};
static const side_t outputs = {PHRASE_OUTPUT, PHRASE_NUM_OUTPUT, PHRASE_NUM_OUTPUT_DIM, IOSPEC_OUTPUTS};

static void compare_type(const side_t *side, uint32_t i, kenning_type_t type, uint32_t element_type) {
    if (type.code >= CODES || !iospec_type_agrees(class_of[type.code], type.bits, element_type))
        FAIL(SAID_ELEMENT, side->name, i, type.code, type.bits, element_type);
}

// Checks a side in itself, and against the model's tensors unless they are NULL.
static void check_side(const side_t *side, const uint32_t *said, const tensor_t *tensors) {
    const uint32_t *ranks = said + 1, *shape = ranks + side->most;
    const uint32_t *end = shape + side->most * IOSPEC_INPUT_DIMS;
    const kenning_type_t *types = (const kenning_type_t *)(const void *)end;
    iospec_check_range(*said, side->most, side->count, NO_INDEX);
    for (uint32_t i = 0; i < *said; i++) {
        uint32_t dims[IOSPEC_INPUT_DIMS], found = 0;
        if (ranks[i] != 0) iospec_check_range(ranks[i], IOSPEC_INPUT_DIMS, side->rank, i);
        for (; found < ranks[i] && shape < end; shape++)
            if (*shape != 0) dims[found++] = *shape;
        if (found != ranks[i]) FAIL(SAID_SHAPE, side->name, i, found, ranks[i]);
        if (tensors == NULL) continue;
        compare_type(side, i, types[i], tensors[i].element_type);
        iospec_compare_shape(side->name, i, dims, found, &tensors[i]);
    }
}

void kenning_spec_check(const kenning_spec_t *spec) {
    check_side(&inputs, &spec->num_input, NULL);
    check_side(&outputs, &spec->num_output, NULL);
    iospec_check_text(spec->entry_func, PHRASE_ENTRY_FUNC);
}

void kenning_spec_compare(const kenning_spec_t *spec, const signature_t *signature) {
    iospec_compare_counts(spec->num_input, spec->num_output, signature);
    check_side(&inputs, &spec->num_input, signature->inputs);
    check_side(&outputs, &spec->num_output, signature->outputs);
}

#endif
