// SPDX-License-Identifier: Apache-2.0
// Checks a module's bytecode once, so that the interpreter need not. After it the interpreter cannot leave
// the bytecode, the registers, the tables of the module, or the arity of a call, whatever path it takes.
// Values (offsets, lengths, null references, types of objects) are checked on use.
#ifndef SPRINGBOK_VERIFIER_H
#define SPRINGBOK_VERIFIER_H

#include "module.h"

// Scratch memory comes from `memory` and goes back before the return.
// Messages end with "in functions[i] at byte n".
void verify_module(const module_t *module, memory_t *memory);

#endif
