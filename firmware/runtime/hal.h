// SPDX-License-Identifier: Apache-2.0
// The functions that an inline-dynamic module imports: modules hal_inline (buffers and buffer views) and
// hal_loader (executables and their dispatch), and playing an inference that was recorded.
#ifndef SPRINGBOK_HAL_H
#define SPRINGBOK_HAL_H

#include "executable.h"
#include "memory.h"
#include "module.h"
#include "object.h"
#include "opcodes.h"
#include "recording.h"

typedef struct {
    memory_t *memory;
    module_t *module;
    executable_t *executables; // in the order of their loading
    dispatch_profile_t *dispatches;
    uint32_t dispatch_count;
    uint32_t workgroup_budget; // workgroups that the invocation may still run
    bool rehearsing;           // dispatches run no kernel, and what would change what lasts fails
    bool initialized;          // no more executables may be loaded: what is told of them lasts until unload
    bool arena_follows_image;  // see runtime_t
    recording_t recording;
    struct {
        dispatch_step_t step;
        uint8_t *bindings[LIBRARY_MAX_BINDINGS]; // room for all operands
        size_t lengths[LIBRARY_MAX_BINDINGS];
        uint32_t constants[LIBRARY_MAX_CONSTANTS];
    } called; // the dispatch that is called by the interpreter
} hal_t;

// A call of an import. Operands were verified against the import's convention; the registers they name are
// read with the functions below. Results: scalars with set_i32/set_i64, references in `references`, owned.
typedef struct call {
    hal_t *hal;
    const function_t *function; // that makes the call
    const uint8_t *at;          // the instruction that runs
    uint32_t *i32;
    object_t **refs;
    const uint16_t *operands;
    const uint16_t *results;
    const uint16_t *segments; // of a variadic call
    object_t *references[2];
    object_t *unfinished; // that the import holds while it may fail; NULL: nothing
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
    void (*function)(call_t *call);
} import_t;

// Operands and results of a call.
INLINE uint32_t get_i32(const call_t *call, uint32_t operand) {
    return call->i32[call->operands[operand]];
}

INLINE uint64_t get_i64(const call_t *call, uint32_t operand) {
    const uint32_t *pair = &call->i32[call->operands[operand]];
    return pair[0] | (uint64_t)pair[1] << 32;
}

// The operand's object, which stays the caller's.
HOT object_t *get_object(const call_t *call, uint32_t operand, uint32_t type) {
    object_t *object = call->refs[call->operands[operand] & REGISTER_INDEX];
    object_check(object, type);
    return object;
}

INLINE void set_i64(call_t *call, uint32_t result, uint64_t value) {
    uint32_t *pair = &call->i32[call->results[result]];
    pair[0] = (uint32_t)value;
    pair[1] = (uint32_t)(value >> 32);
}

// Operands of a dispatch: executable, function, workgroups x, y, z, constants, then three a binding.
enum { DISPATCH_FUNCTION = 1, DISPATCH_WORKGROUPS = 2, DISPATCH_CONSTANTS = 5 };

// Imports of hal_loader. Those that every dispatch calls are in dispatch.c; executable_resolve() does the
// look-up of a name that is not known yet.
void executable_lookup_function(call_t *call);
void executable_resolve(call_t *call);
void executable_dispatch(call_t *call);

// NULL if this runtime has no such import.
const import_t *hal_find_import(span_t name);

// Version of a module of imports; -1 if there is none of that name.
int hal_module_version(span_t name);

void hal_initialize(hal_t *hal, memory_t *memory, module_t *module);

// What the module does to buffers, recorded if it is rehearsed: a new one; a fill, as fill_elements() does
// it; a copy of `source`, which lies in `from`.
buffer_t *hal_allocate(hal_t *hal, uint64_t length, uint64_t alignment);
void hal_fill(hal_t *hal, uint8_t *data, uint32_t count, uint32_t size, uint64_t value);
void hal_copy(hal_t *hal, uint8_t *target, const buffer_t *from, uint8_t *source, uint32_t bytes);

// Plays the list that begins with `step`.
void hal_play(hal_t *hal, const step_t *step);

// Forgets what the last inference counted.
void hal_reset_profile(hal_t *hal);

#endif
