// SPDX-License-Identifier: Apache-2.0
// Frames and registers of the functions that run, as the parts of the interpreter see them.
#ifndef SPRINGBOK_REGISTERS_H
#define SPRINGBOK_REGISTERS_H

#include "interpreter.h"
#include "opcodes.h"

struct frame {
    frame_t *caller;
    const function_t *function;
    const uint8_t *resume;   // in the caller, behind the call
    const uint16_t *results; // registers of the caller
    uint32_t *i32;
    object_t **refs;
};

INLINE uint64_t get_pair(const uint32_t *i32, uint32_t reg) {
    return i32[reg] | (uint64_t)i32[reg + 1] << 32;
}

INLINE void set_pair(uint32_t *i32, uint32_t reg, uint64_t value) {
    i32[reg] = (uint32_t)value;
    i32[reg + 1] = (uint32_t)(value >> 32);
}

// The register's object with a reference of its own: the register's, if it is moved.
HOT object_t *take_ref(object_t **refs, uint32_t reg) {
    object_t **slot = &refs[reg & REGISTER_INDEX];
    object_t *object = *slot;
    if ((reg & REGISTER_MOVE) != 0)
        *slot = NULL;
    else
        object_retain(object);
    return object;
}

// Gives the register a reference; what it held before is released.
HOT void put_ref(memory_t *memory, object_t **slot, object_t *object) {
    object_t *previous = *slot;
    *slot = object;
    object_release(memory, previous);
}

// An aligned list in the bytecode: *count, and the address of its first element.
static inline const uint16_t *list_begin(const uint8_t *p, uint32_t *count) {
    const uint16_t *list = (const uint16_t *)(p + ((uintptr_t)p & 1));
    *count = list[0];
    return list + 1;
}

#endif
