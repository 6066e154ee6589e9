// SPDX-License-Identifier: Apache-2.0
// The memory of one arena: in front tensors, the bytes of buffers, which kernels may write to; behind them a
// heap for everything else, which only the runtime does. So nothing that the runtime follows lies in reach of
// a kernel. Both are multiples of 64 bytes and 64-byte aligned, which is what the kernels expect of buffers;
// neighbouring free pieces are merged, so that equal work leaves equal memory.
#ifndef SPRINGBOK_MEMORY_H
#define SPRINGBOK_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chip.h"
#include "status.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

#define MEMORY_ALIGNMENT 64

// All in bytes of the arena, block headers and rounding included.
typedef struct {
    size_t capacity;
    size_t live;
    size_t live_after_load;
    size_t peak;        // the most that was live at a time
    uint32_t allocated; // by all allocations together, modulo 2^32; what is not live was freed
} memory_statistics_t;

typedef struct memory_block memory_block_t;

// A place among the tensors. What describes it lies in the heap.
typedef struct memory_tensor {
    struct memory_tensor *next, *previous; // in the order of addresses
    uint8_t *data;
    uint32_t bytes; // rounded, with a gap behind it
} memory_tensor_t;

typedef struct {
    memory_block_t *free_list;
    memory_block_t *first;
    memory_block_t *end;       // the block after the last one: always in use, of size 0
    memory_tensor_t low, high; // the ends of the tensors' memory, as neighbours of the outer ones
    memory_statistics_t statistics;
#if CHIP_KERNELS_APART
    size_t kernel_bytes; // taken of the kernels' own memory
#endif
} memory_t;

// Where a tensor may be, before it is there.
typedef struct {
    memory_tensor_t *before;
    uint8_t *data;
    uint32_t bytes;   // of the tensor
    uint32_t rounded; // with the gap behind it
} memory_room_t;

// Takes over [arena, arena + bytes), which may begin and end anywhere.
void memory_initialize(memory_t *memory, uint8_t *arena, size_t bytes);

// Gives the arena back to its owner; the statistics stay.
void memory_release(memory_t *memory);

// What is free between the tensors and the heap, and how many bytes; nothing may be allocated while it is
// used.
uint8_t *memory_free_middle(const memory_t *memory, size_t *bytes);

// A block of the heap. Contents are undefined. Fails if there is no room, and tells `purpose`, the bytes
// wanted and the largest piece there is.
void *memory_allocate(memory_t *memory, size_t bytes, phrase_t purpose);
void *memory_allocate_zeroed(memory_t *memory, size_t bytes, phrase_t purpose);

// Gives back what memory_allocate() gave; NULL is allowed.
void memory_free(memory_t *memory, void *payload);

// Room for a tensor, at the lowest place that there is. `alignment` is a power of two; less than 64 counts as
// 64. Fails if there is none.
memory_room_t memory_find_room(memory_t *memory, size_t bytes, size_t alignment);
void memory_place(memory_t *memory, memory_tensor_t *tensor, const memory_room_t *room);
void memory_displace(memory_t *memory, memory_tensor_t *tensor);

// Tells the address sanitizer, where there is one, that a recording has a tensor there again.
#ifdef __SANITIZE_ADDRESS__
void memory_reopen(void *address, size_t bytes);
#else
static inline void memory_reopen(const void *address, size_t bytes) {
    (void)address, (void)bytes;
}
#endif

// Gives up the arena before `end`, for ever; false if something is allocated there, or there were tensors.
bool memory_take_front(memory_t *memory, const uint8_t *end);

#endif
