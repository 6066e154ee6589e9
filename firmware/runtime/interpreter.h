// SPDX-License-Identifier: Apache-2.0
// Executes verified bytecode.
#ifndef SPRINGBOK_INTERPRETER_H
#define SPRINGBOK_INTERPRETER_H

#include "hal.h"
#include "memory.h"
#include "module.h"

typedef struct frame frame_t;

typedef struct {
    module_t *module;
    memory_t *memory;
    hal_t *hal;
    uint8_t *stack; // frames of the functions that are running
    uint8_t *stack_end;
    frame_t *frame;  // the innermost; NULL when nothing runs
    uint32_t budget; // branches and calls of functions that the invocation may still take
    call_t call;     // that is being made; its function and registers are the innermost frame's
} interpreter_t;

// Allocates a stack for frames that suits the module.
void interpreter_initialize(interpreter_t *interpreter, module_t *module, hal_t *hal, memory_t *memory);

// Runs function `ordinal`, whose arguments and results must all be references. Arguments stay the caller's;
// results are the caller's from then on, one reference each. Of a failure the status comes back, and
// everything that the functions held is released. `operation_budget` limits branches and calls of functions
// together, and workgroups; 0 = no limit.
status_t interpreter_invoke(interpreter_t *interpreter, uint32_t ordinal, uint32_t operation_budget,
                            object_t *const *arguments, object_t **results);

#endif
