// SPDX-License-Identifier: Apache-2.0
// The functions that an inline-dynamic module imports: modules hal_inline (buffers and buffer views) and
// hal_loader (executables and their dispatch).
#ifndef SPRINGBOK_HAL_H
#define SPRINGBOK_HAL_H

#include "executable.h"
#include "memory.h"
#include "module.h"
#include "object.h"

// What one export of the kernels did in the last inference.
typedef struct {
    uint32_t calls;
    uint32_t workgroups;
    uint64_t instructions;
    uint64_t cycles;
    const char *name;
} dispatch_profile_t;

typedef struct {
    memory_t *memory;
    module_t *module;
    executable_t *executables; // in the order of their loading
    dispatch_profile_t *dispatches;
    uint32_t dispatch_count;
    uint32_t workgroup_budget; // workgroups that the invocation may still run
} hal_t;

// A call of an import. Operands were verified against the import's convention; the registers they name are
// read with the functions below. Results: scalars with set_i32/set_i64, references in `references`, owned.
typedef struct {
    hal_t *hal;
    uint32_t *i32;
    object_t **refs;
    const uint16_t *operands;
    const uint16_t *results;
    const uint16_t *segments; // of a variadic call
    uint32_t operand_count;
    object_t *references[2];
} call_t;

typedef struct import {
    const char *name;
    const char *convention; // must be what the module declares
    uint32_t reference_results;
    status_t (*function)(call_t *call);
} import_t;

// NULL if this runtime has no such import.
const import_t *hal_find_import(span_t name);

// Version of a module of imports; -1 if there is none of that name.
int hal_module_version(span_t name);

void hal_initialize(hal_t *hal, memory_t *memory, module_t *module);

// Forgets what the last inference counted.
void hal_reset_profile(hal_t *hal);

#endif
