// SPDX-License-Identifier: Apache-2.0
// A heap inside one arena. Blocks are multiples of 64 bytes and their payloads 64-byte aligned, which is what
// the kernels expect of buffers; neighbouring free blocks are merged, so that equal work leaves equal memory.
#ifndef SPRINGBOK_MEMORY_H
#define SPRINGBOK_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "status.h"

#define MEMORY_ALIGNMENT 64

// All in bytes of the arena, block headers and rounding included.
typedef struct {
    size_t capacity;
    size_t live;
    size_t live_after_load;
    size_t peak;        // the most that was live at a time
    uint64_t allocated; // by all allocations together
    uint64_t freed;     // by all frees together
} memory_statistics_t;

typedef struct memory_block memory_block_t;

typedef struct {
    memory_block_t *free_list;
    memory_block_t *first;
    memory_block_t *end; // the block after the last one: always in use, of size 0
    memory_statistics_t statistics;
} memory_t;

// Takes over [arena, arena + bytes), which may begin and end anywhere.
void memory_initialize(memory_t *memory, uint8_t *arena, size_t bytes);

// Gives the arena back to its owner; the statistics stay.
void memory_release(memory_t *memory);

// Contents are undefined. `alignment` is a power of two; less than 64 counts as 64. Fails if there is no
// room, and tells `purpose`, the bytes wanted and the largest piece there is.
void *memory_allocate(memory_t *memory, size_t bytes, size_t alignment, phrase_t purpose);
void *memory_allocate_zeroed(memory_t *memory, size_t bytes, phrase_t purpose);

// Gives up the arena before `end`, for ever; false if something is allocated there.
bool memory_take_front(memory_t *memory, const uint8_t *end);

// Gives back what memory_allocate() gave; NULL is allowed.
void memory_free(memory_t *memory, void *payload);

#endif
