// SPDX-License-Identifier: Apache-2.0
// The kernels: loads their ELF into the arena, relocates it, and reads IREE's executable library from it.
#ifndef SPRINGBOK_EXECUTABLE_H
#define SPRINGBOK_EXECUTABLE_H

#include "library.h"
#include "memory.h"
#include "object.h"
#include "status.h"

typedef struct executable {
    object_t object;
    struct executable *next;
    library_t library;
    void *block;            // that holds the image; NULL when it is where the file was
    uint32_t first_ordinal; // of its exports among those of all executables
} executable_t;

// Loads the ELF in `file`. Everything is checked: class, machine, flags, extensions, vector length, segments,
// relocations, symbols, library version and tables. `in_place`: nothing but the arena of `memory` is behind
// the file, and nothing else needs its bytes, so the kernels and their constants may be used where they lie;
// the file is empty afterwards. Otherwise, or where that can't be, they are copied. What it has allocated
// when it fails stays so: a load that fails gives the whole arena back.
executable_t *executable_load(memory_t *memory, buffer_t *file, bool in_place);

// Ordinal of the function of that name.
uint16_t executable_find(const executable_t *executable, span_t name);

#endif
