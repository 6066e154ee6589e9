// SPDX-License-Identifier: Apache-2.0
// Inputs and outputs of a function, from the declaration that the compiler leaves in the module:
//   sync func @main(%input0: tensor<1x128x3x1xf32>) -> (%output0: tensor<1x4xf32>)
#ifndef SPRINGBOK_SIGNATURE_H
#define SPRINGBOK_SIGNATURE_H

#include "bytes.h"
#include "object.h"
#include "status.h"

#define MAX_TENSORS 8

// IREE's code of an element type: class << 24 | bits.
#define ELEMENT_BOOL 0x13000008u
#define ELEMENT_F32 0x21000020u
enum {
    CLASS_INTEGER = 0x10, // of either sign
    CLASS_SIGNED = 0x11,
    CLASS_UNSIGNED = 0x12,
    CLASS_BOOL = 0x13,
    CLASS_FLOAT = 0x21,
    CLASS_BFLOAT = 0x22
};

typedef struct {
    uint32_t element_type;
    uint32_t rank; // 0 .. MAX_RANK
    uint32_t dims[MAX_RANK];
    uint32_t bytes;
} tensor_t;

typedef struct {
    uint32_t input_count;
    uint32_t output_count;
    tensor_t inputs[MAX_TENSORS];
    tensor_t outputs[MAX_TENSORS];
    uint32_t input_bytes; // of all inputs together
    uint32_t output_bytes;
} signature_t;

HOT bool is_i8(uint32_t element_type) {
    return element_type == (CLASS_INTEGER << 24 | 8) || element_type == (CLASS_SIGNED << 24 | 8);
}

static inline uint32_t element_bytes(uint32_t element_type) {
    return ((element_type & 0xff) + 7) / 8;
}

// Fails for dynamic shapes, other element types than bool, i8..i64, f16, bf16 and f32,
// encodings, asynchronous functions, and arguments that are no tensors.
void signature_parse(span_t declaration, signature_t *signature);

#endif
