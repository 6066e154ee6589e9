// SPDX-License-Identifier: Apache-2.0
// The functions that an inline-dynamic module imports: modules hal_inline (buffers and buffer views) and
// hal_loader (executables and their dispatch).
#ifndef SPRINGBOK_HAL_H
#define SPRINGBOK_HAL_H

#include "executable.h"
#include "memory.h"
#include "module.h"
#include "object.h"

typedef struct {
    memory_t *memory;
    module_t *module;
    executable_t *executables; // in the order of their loading
    dispatch_profile_t *dispatches;
    uint32_t dispatch_count;
    uint32_t workgroup_budget; // workgroups that the invocation may still run
    bool rehearsing;           // see hal_rehearse()
    // Operands of the dispatch that runs.
    uint32_t constants[LIBRARY_MAX_CONSTANTS];
    uint8_t *bindings[LIBRARY_MAX_BINDINGS];
    size_t binding_lengths[LIBRARY_MAX_BINDINGS];
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
    object_t *references[2];
} call_t;

// The list of results follows that of operands, with its count between them.
static inline uint32_t call_operand_count(const call_t *call) {
    return (uint32_t)(call->results - call->operands) - 1;
}

typedef struct import {
    const char *name;
    const char *convention; // must be what the module declares
    uint8_t name_length;
    // Operands up to the last reference: those that are moved are released after the call. A dispatch
    // releases its bindings itself.
    uint8_t reference_operands;
    uint8_t reference_results;
    status_t (*function)(call_t *call);
} import_t;

// NULL if this runtime has no such import.
const import_t *hal_find_import(span_t name);

// Version of a module of imports; -1 if there is none of that name.
int hal_module_version(span_t name);

void hal_initialize(hal_t *hal, memory_t *memory, module_t *module);

// While this is on, dispatches run no kernel, and nothing that outlives an invocation may be changed: what
// would do so fails.
void hal_rehearse(hal_t *hal, bool on);

// Forgets what the last inference counted.
void hal_reset_profile(hal_t *hal);

#endif
