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

#endif
