// SPDX-License-Identifier: Apache-2.0
// The I/O specification that a client may send before a model, checked in itself and against the model.
#ifndef SPRINGBOK_IOSPEC_H
#define SPRINGBOK_IOSPEC_H

#include "../runtime/runtime.h"
#include "messages.h"

// Refuses a specification that no model can fit: counts and sizes out of range, an unknown dtype, texts
// without an end, lengths that the shapes do not give.
void iospec_check(const io_spec_t *spec);

// Refuses with both sides in the message unless the model takes and gives what the specification, checked
// before, says. Leading dimensions of 1 do not count. dtype is that of the inputs; outputs are compared by
// elements and their size, since the specification has no type of their own for them.
void iospec_compare(const io_spec_t *spec, const signature_t *signature);

// The parts of these that every kind of specification shares. The checks refuse a value that is 0 or above
// the most, and a text without an end; the comparisons what differs, leading dimensions of 1 apart.
void iospec_check_range(uint32_t value, uint32_t most, phrase_t field, uint32_t index);
void iospec_check_text(const char *text, phrase_t field);
void iospec_compare_counts(uint32_t inputs, uint32_t outputs, const signature_t *signature);
void iospec_compare_shape(phrase_t side, uint32_t index, const uint32_t *said, uint32_t said_rank,
                          const tensor_t *tensor);

// Whether the specification's class and width are those of the element type.
bool iospec_type_agrees(uint32_t said_class, uint32_t said_bits, uint32_t element_type);

#endif
