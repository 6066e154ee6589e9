// SPDX-License-Identifier: Apache-2.0
#include "object.h"

#include "platform.h"

// A model never needs more, and a corrupted one shall not take the whole arena.
#define LIST_LIMIT 4096

void object_mismatch(const object_t *object, uint32_t type) {
    if (object == NULL) FAIL(REFERENCE_NULL, type);
    FAIL(REFERENCE_TYPE, object->type, type);
}

// A buffer whose bytes are its own.
typedef struct {
    buffer_t buffer;
    memory_tensor_t tensor;
} owner_t;

// Drops one reference; an object that loses its last one joins `waiting`.
static object_t *drop(object_t *object, object_t *waiting) {
    if (object == NULL || --object->references != 0) return waiting;
    object->next = waiting;
    return object;
}

void object_destroy(memory_t *memory, object_t *object) {
    object->next = NULL;
    // A list of lists can be as deep as the model likes, so this is a loop and no recursion.
    for (object_t *waiting = object; waiting != NULL;) {
        object = waiting;
        waiting = object->next;
        if (object->type == OBJECT_BUFFER) {
            owner_t *owner = (owner_t *)object;
            if (owner->buffer.parent == NULL)
                memory_displace(memory, &owner->tensor);
            else
                waiting = drop(owner->buffer.parent, waiting);
        }
        if (object->type == OBJECT_VIEW) waiting = drop((object_t *)((view_t *)object)->buffer, waiting);
        if (object->type == OBJECT_LIST) {
            list_t *list = (list_t *)object;
            for (uint32_t i = 0; i < list->count; i++)
                waiting = drop(list->values[i].reference, waiting);
            memory_free(memory, list->values);
        }
        memory_free(memory, object);
    }
}

// Field by field: the compiler would clear a whole structure with memset.
static void initialize(buffer_t *buffer, uint8_t *data, uint32_t length, uint8_t read_only,
                       object_t *parent) {
    buffer->object.references = 1;
    buffer->object.type = OBJECT_BUFFER;
    buffer->data = data;
    buffer->length = length;
    buffer->read_only = read_only;
    buffer->parent = parent;
    buffer->resolved = NULL;
}

buffer_t *buffer_create(memory_t *memory, uint64_t length, uint64_t alignment) {
    if (length > memory->statistics.capacity || alignment > memory->statistics.capacity ||
        (alignment & (alignment - 1)) != 0)
        FAIL(BUFFER_SIZE, WORDS(length), WORDS(alignment), (uint32_t)memory->statistics.capacity);
    memory_room_t room = memory_find_room(memory, (size_t)length, (size_t)alignment);
    owner_t *owner = memory_allocate(memory, sizeof *owner, PHRASE_BUFFER);
    memory_place(memory, &owner->tensor, &room);
    initialize(&owner->buffer, room.data, (uint32_t)length, WRITABLE, NULL);
    platform_fill(room.data, 0, (size_t)length);
    return &owner->buffer;
}

buffer_t *buffer_subspan(memory_t *memory, buffer_t *source, uint64_t offset, uint64_t length) {
    uint8_t *data = buffer_range(source, offset, length);
    if (length == source->length) {
        object_retain(&source->object);
        return source;
    }
    buffer_t *window = memory_allocate(memory, sizeof *window, PHRASE_SUBSPAN);
    object_t *owner = source->parent != NULL ? source->parent : &source->object;
    object_retain(owner);
    initialize(window, data, (uint32_t)length, source->read_only, owner);
    return window;
}

view_t *view_create(memory_t *memory, buffer_t *buffer) {
    view_t *view = memory_allocate(memory, sizeof *view, PHRASE_VIEW);
    view->object.references = 1;
    view->object.type = OBJECT_VIEW;
    view->buffer = buffer;
    view->rank = 0;
    return view;
}

list_t *list_create(memory_t *memory) {
    list_t *list = memory_allocate(memory, sizeof *list, PHRASE_LIST);
    *list = (list_t){.object = {.references = 1, .type = OBJECT_LIST}};
    return list;
}

void list_reserve(memory_t *memory, list_t *list, uint32_t capacity) {
    if (capacity <= list->capacity) return;
    if (capacity > LIST_LIMIT) FAIL(LIST_SIZE, capacity, LIST_LIMIT);
    void *block = memory_allocate_zeroed(memory, capacity * sizeof(value_t), PHRASE_LIST_ELEMENTS);
    if (list->count != 0) platform_copy(block, list->values, list->count * sizeof(value_t));
    memory_free(memory, list->values);
    list->values = block;
    list->capacity = capacity;
}

void list_resize(memory_t *memory, list_t *list, uint32_t count) {
    list_reserve(memory, list, count);
    while (list->count > count) {
        value_t *value = &list->values[--list->count];
        object_t *dropped = value->reference;
        *value = (value_t){0};
        object_release(memory, dropped);
    }
    list->count = count;
}

void buffer_out_of_range(const buffer_t *buffer, uint64_t offset, uint64_t length) {
    FAIL(BUFFER_RANGE, WORDS(length), WORDS(offset), buffer->length);
}
