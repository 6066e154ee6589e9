// SPDX-License-Identifier: Apache-2.0
// The I/O specification of Kenning's protocol of 2026: type and shape of each tensor.
#ifndef SPRINGBOK_KENNING_SPEC_H
#define SPRINGBOK_KENNING_SPEC_H

#include "../runtime/runtime.h"
#include "messages.h"

// Refuses a specification that no model can fit: counts out of range, shapes that are not there, texts
// without an end.
void kenning_spec_check(const kenning_spec_t *spec);

// Refuses with both sides in the message unless the model takes and gives what the specification, checked
// before, says. Leading dimensions of 1 do not count.
void kenning_spec_compare(const kenning_spec_t *spec, const signature_t *signature);

#endif
