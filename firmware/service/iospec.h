// SPDX-License-Identifier: Apache-2.0
// The I/O specification that a client may send before a model, read and checked against the model.
#ifndef SPRINGBOK_IOSPEC_H
#define SPRINGBOK_IOSPEC_H

#include "../runtime/runtime.h"
#include "messages.h"

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
status_t iospec_parse(const io_spec_t *sent, iospec_t *iospec);

// Refuses with both sides in the message unless the model takes and gives what the specification says.
// Leading dimensions of 1 do not count. dtype is that of the inputs; outputs are compared by elements and
// their size, since the specification has no type of their own for them.
status_t iospec_check(const iospec_t *iospec, const signature_t *signature);

#endif
