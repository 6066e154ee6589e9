// SPDX-License-Identifier: Apache-2.0
// Instructions that only read operands and write one result: arithmetic, references, globals, lists, buffers.
#ifndef SPRINGBOK_INSTRUCTIONS_H
#define SPRINGBOK_INSTRUCTIONS_H

#include "interpreter.h"

// Runs such an instruction, whose operands begin at `p`; returns what follows it.
const uint8_t *run_decoded(interpreter_t *interpreter, uint32_t opcode, const uint8_t *p);

#endif
