// SPDX-License-Identifier: Apache-2.0
// The I/O specification that a client may send before a model: 160 bytes, read and checked against the model.
//
//   num_input u32 | num_input_dim u32[2] | input_shape u32[2][4] | input_length u32[2] (elements)
//   | input_size_bytes u32[2] (of an element) | num_output u32 | output_length u32[12] | output_size_bytes
//   u32 | dtype char[4] | entry_func char[20] | model_name char[20]
#ifndef SPRINGBOK_IOSPEC_H
#define SPRINGBOK_IOSPEC_H

#include "../runtime/runtime.h"

#define IOSPEC_BYTES 160
#define IOSPEC_INPUTS 2
#define IOSPEC_INPUT_DIMS 4
#define IOSPEC_OUTPUTS 12
#define IOSPEC_NAME_BYTES 20

typedef struct {
    uint32_t input_count;
    uint32_t input_rank[IOSPEC_INPUTS];
    uint32_t input_shape[IOSPEC_INPUTS][IOSPEC_INPUT_DIMS];
    uint32_t output_count;
    uint32_t output_length[IOSPEC_OUTPUTS];
    uint32_t element_bytes; // of the inputs, as dtype says
    uint32_t output_element_bytes;
    char dtype[4];                 // terminated, one of the known names
    char entry[IOSPEC_NAME_BYTES]; // terminated; "" when the client leaves the choice to the model
} iospec_t;

// Reads and checks a specification. On an error *iospec is unchanged.
status_t iospec_parse(const uint8_t bytes[IOSPEC_BYTES], iospec_t *iospec);

// Refuses with both sides in the message unless the model takes and gives what the specification says.
// Leading dimensions of 1 do not count. dtype is that of the inputs; outputs are compared by elements and
// their size, since the specification has no type of their own for them.
status_t iospec_check(const iospec_t *iospec, const signature_t *signature);

#endif
