// SPDX-License-Identifier: Apache-2.0
#include "memory.h"

#include <stdbool.h>

#include "bytes.h"
#include "platform.h"

// Under the address sanitizer the arena is one object, so the heap itself marks what may be touched.
#ifdef __SANITIZE_ADDRESS__
void __asan_poison_memory_region(void const volatile *address, size_t bytes);
void __asan_unpoison_memory_region(void const volatile *address, size_t bytes);
#define POISON(address, bytes) __asan_poison_memory_region(address, bytes)
#define UNPOISON(address, bytes) __asan_unpoison_memory_region(address, bytes)
#else
#define POISON(address, bytes) ((void)0)
#define UNPOISON(address, bytes) ((void)0)
#endif

#define GRANULE MEMORY_ALIGNMENT
#define HEADER 16
#define LARGEST ((size_t)0x7fffff00)

// The 16 bytes before each payload. A free block's payload holds its neighbours in the free list.
struct memory_block {
    uint32_t size;     // of header and payload, a multiple of GRANULE
    uint32_t previous; // size of the block before it in the arena; 0 for the first
    uint32_t used;
    uint32_t reserved;
};

typedef struct {
    memory_block_t *next;
    memory_block_t *previous;
} links_t;

_Static_assert(sizeof(memory_block_t) == HEADER, "the header ends where the payload begins");

static links_t *links(memory_block_t *block) {
    return (links_t *)(block + 1);
}

static memory_block_t *following(memory_block_t *block) {
    return (memory_block_t *)((uint8_t *)block + block->size);
}

static memory_block_t *preceding(memory_block_t *block) {
    return (memory_block_t *)((uint8_t *)block - block->previous);
}

static void list_insert(memory_t *memory, memory_block_t *block) {
    UNPOISON(links(block), sizeof(links_t));
    block->used = false;
    *links(block) = (links_t){.next = memory->free_list};
    if (memory->free_list != NULL) links(memory->free_list)->previous = block;
    memory->free_list = block;
}

static void list_remove(memory_t *memory, memory_block_t *block) {
    links_t *own = links(block);
    if (own->next != NULL) links(own->next)->previous = own->previous;
    if (own->previous != NULL)
        links(own->previous)->next = own->next;
    else
        memory->free_list = own->next;
}

static void set_tensors_end(memory_t *memory) {
    memory->high.data = (uint8_t *)memory->first;
    platform_set_writable(memory->low.data, memory->high.data);
}

void memory_initialize(memory_t *memory, uint8_t *arena, size_t bytes) {
    *memory = (memory_t){0};
    // The first payload is aligned; its header and the end marker take what lies around.
    size_t skip = -((uintptr_t)arena + HEADER) % GRANULE;
    if (bytes < skip + GRANULE + HEADER) return;
    UNPOISON(arena, bytes);
    size_t size = (bytes - skip - HEADER) & ~(size_t)(GRANULE - 1);
    if (size > LARGEST) size = LARGEST & ~(size_t)(GRANULE - 1);
    memory_block_t *first = (memory_block_t *)(arena + skip);
    *first = (memory_block_t){.size = (uint32_t)size};
    memory->first = first;
    memory->end = following(first);
    *memory->end = (memory_block_t){.previous = (uint32_t)size, .used = true};
    memory->statistics.capacity = size;
    POISON(first + 1, size - HEADER);
    list_insert(memory, first);
    memory->low.next = &memory->high;
    memory->high.previous = &memory->low;
    memory->low.data = (uint8_t *)first;
    set_tensors_end(memory);
}

void memory_release(memory_t *memory) {
    if (memory->end != NULL)
        UNPOISON((uint8_t *)memory->end - memory->statistics.capacity, memory->statistics.capacity);
    memory->end = NULL;
    memory->free_list = NULL;
}

// Cuts `size` bytes off the front of a block that is in no list; the rest becomes a block of its own.
static memory_block_t *split(memory_block_t *block, uint32_t size) {
    memory_block_t *rest = (memory_block_t *)((uint8_t *)block + size);
    UNPOISON(rest, HEADER);
    *rest = (memory_block_t){.size = block->size - size, .previous = size};
    following(rest)->previous = rest->size;
    block->size = size;
    return rest;
}

static _Noreturn void out_of_memory(const memory_t *memory, size_t bytes, phrase_t purpose) {
    uint32_t largest = 0;
    for (memory_block_t *block = memory->free_list; block != NULL; block = links(block)->next)
        if (block->size > largest) largest = block->size;
    FAIL(MEMORY, purpose, (uint32_t)bytes, (uint32_t)(memory->statistics.capacity - memory->statistics.live),
         (uint32_t)memory->statistics.capacity, largest);
}

static NOINLINE void count_allocation(memory_statistics_t *statistics, uint32_t size) {
    statistics->live += size;
    statistics->allocated += size;
    if (statistics->live > statistics->peak) statistics->peak = statistics->live;
}

INLINE uint32_t rounded(size_t bytes) {
    return (uint32_t)((bytes + HEADER + GRANULE - 1) & ~(size_t)(GRANULE - 1));
}

// From the end of a free block, so that the front of the heap stays free for tensors.
void *memory_allocate(memory_t *memory, size_t bytes, phrase_t purpose) {
    uint32_t size = bytes < LARGEST - GRANULE ? rounded(bytes) : LARGEST;
    memory_block_t *block = memory->free_list;
    while (block != NULL && block->size < size)
        block = links(block)->next;
    if (block == NULL) out_of_memory(memory, bytes, purpose);
    if (block->size == size)
        list_remove(memory, block);
    else
        block = split(block, block->size - size); // what is before it stays in the list
    block->used = true;
    count_allocation(&memory->statistics, size);
    POISON(block + 1, size - HEADER);
    UNPOISON(block + 1, bytes);
    return block + 1;
}

void *memory_allocate_zeroed(memory_t *memory, size_t bytes, phrase_t purpose) {
    void *block = memory_allocate(memory, bytes, purpose);
    platform_fill(block, 0, bytes);
    return block;
}

void memory_free(memory_t *memory, void *payload) {
    if (payload == NULL) return;
    memory_block_t *block = (memory_block_t *)payload - 1;
    memory->statistics.live -= block->size;
    memory_block_t *next = following(block);
    if (!next->used) {
        list_remove(memory, next);
        block->size += next->size;
    }
    if (block->previous != 0 && !preceding(block)->used) {
        memory_block_t *front = preceding(block);
        list_remove(memory, front);
        front->size += block->size;
        block = front;
    }
    following(block)->previous = block->size;
    POISON(block + 1, block->size - HEADER);
    list_insert(memory, block);
}

uint8_t *memory_free_middle(const memory_t *memory, size_t *bytes) {
    memory_block_t *first = memory->first;
    uint32_t kept = HEADER + sizeof(links_t);
    *bytes = first->used ? 0 : first->size - kept;
    return (uint8_t *)first + kept;
}

// ---- The front of the arena

// Moves the heap's beginning up to `end`; false if something of it is there.
static bool cut_front(memory_t *memory, const uint8_t *end) {
    memory_block_t *first = memory->first;
    ptrdiff_t wanted = end - (const uint8_t *)first;
    if (wanted <= 0) return true;
    uint32_t size = ((uint32_t)wanted + GRANULE - 1) & ~(uint32_t)(GRANULE - 1);
    if (first->used || first->size <= size) return false;
    list_remove(memory, first);
    memory->first = split(first, size);
    memory->first->previous = 0;
    list_insert(memory, memory->first);
    return true;
}

bool memory_take_front(memory_t *memory, const uint8_t *end) {
    uint8_t *front = memory->low.data;
    if (front != memory->high.data || !cut_front(memory, end)) return false;
    memory->low.data = (uint8_t *)memory->first;
    uint32_t size = (uint32_t)(memory->low.data - front);
    count_allocation(&memory->statistics, size);
    UNPOISON(front, size);
    set_tensors_end(memory);
    return true;
}

// The lowest place behind a tensor.
INLINE uint8_t *behind(const memory_tensor_t *tensor, size_t alignment) {
    return (uint8_t *)(((uintptr_t)tensor->data + tensor->bytes + alignment - 1) &
                       ~(uintptr_t)(alignment - 1));
}

memory_room_t memory_find_room(memory_t *memory, size_t bytes, size_t alignment) {
    if (alignment < GRANULE) alignment = GRANULE;
    memory_room_t room = {.before = &memory->low, .bytes = (uint32_t)bytes, .rounded = rounded(bytes)};
    for (;; room.before = room.before->next) {
        room.data = behind(room.before, alignment);
        const memory_tensor_t *next = room.before->next;
        if (room.data <= next->data && room.rounded <= (size_t)(next->data - room.data)) return room;
        if (next == &memory->high) break;
    }
    uint8_t *front = memory->high.data;
    if ((size_t)((uint8_t *)memory->end - front) < room.rounded + alignment ||
        !cut_front(memory, room.data + room.rounded))
        out_of_memory(memory, bytes, PHRASE_BUFFER);
    POISON(front, (uint8_t *)memory->first - front);
    set_tensors_end(memory);
    return room;
}

void memory_place(memory_t *memory, memory_tensor_t *tensor, const memory_room_t *room) {
    memory_tensor_t *next = room->before->next;
    tensor->previous = room->before;
    tensor->next = next;
    room->before->next = next->previous = tensor;
    tensor->data = room->data;
    tensor->bytes = room->rounded;
    count_allocation(&memory->statistics, room->rounded);
    UNPOISON(room->data, room->bytes);
}

void memory_displace(memory_t *memory, memory_tensor_t *tensor) {
    tensor->previous->next = tensor->next;
    tensor->next->previous = tensor->previous;
    memory->statistics.live -= tensor->bytes;
    POISON(tensor->data, tensor->bytes);
}

#ifdef __SANITIZE_ADDRESS__
void memory_reopen(void *address, size_t bytes) {
    UNPOISON(address, bytes);
}
#endif
