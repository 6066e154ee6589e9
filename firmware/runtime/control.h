// SPDX-License-Identifier: Apache-2.0
// What moves control between blocks and between functions of a module, and the frames of these.
#ifndef SPRINGBOK_CONTROL_H
#define SPRINGBOK_CONTROL_H

#include "interpreter.h"

// A frame for `function`, all its registers zero, becomes the innermost.
void push_frame(interpreter_t *interpreter, const function_t *function);
// Releases what the innermost frame holds; its caller's is the innermost then.
void pop_frame(interpreter_t *interpreter);

// Counts an operation against the invocation's budget.
void spend(interpreter_t *interpreter);

// The functions below read operands at `p` and return where execution goes on.

// A branch whose target and operands are at `p`.
const uint8_t *take_branch(interpreter_t *interpreter, const uint8_t *p);
// Skips the operands of a branch.
const uint8_t *skip_operands(const uint8_t *p);
// The target and operands of the case that `index` chooses.
const uint8_t *choose_case(const uint8_t *p, uint32_t index);
const uint8_t *run_switch(interpreter_t *interpreter, uint32_t opcode, const uint8_t *p);

// Enters a function of the module with the operands of interpreter->call.
void enter(interpreter_t *interpreter, const function_t *function, const uint8_t *resume);
// Returns from the innermost function; NULL when it was the outermost, whose results go to `outputs`.
const uint8_t *run_return(interpreter_t *interpreter, const uint8_t *p, object_t **outputs);

// The model's own failure: a code and a text at `text`.
_Noreturn void fail_instruction(uint32_t code, const uint8_t *text);

#endif
