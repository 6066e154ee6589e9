// SPDX-License-Identifier: Apache-2.0
// What a reference register can hold, with reference counts. A HAL buffer and its storage (!vm.buffer) are
// the same object here.
#ifndef SPRINGBOK_OBJECT_H
#define SPRINGBOK_OBJECT_H

#include <stdbool.h>
#include <stdint.h>

#include "bytes.h"
#include "memory.h"
#include "status.h"

#define MAX_RANK 8

typedef enum {
    OBJECT_BUFFER = 1,
    OBJECT_VIEW = 2,
    OBJECT_EXECUTABLE = 3,
    OBJECT_LIST = 4,
} object_type_t;

typedef struct object {
    uint32_t references;
    uint32_t type;
    struct object *next; // of the objects waiting to be freed
} object_t;

// What the bytes of a buffer are that nothing may write to: of inputs, only while a rehearsal borrows them.
enum { WRITABLE, INPUT_BYTES, CONSTANT_BYTES };

typedef struct {
    object_t object;
    uint8_t *data;
    uint32_t length;
    uint8_t read_only;        // one of the above
    uint16_t ordinal;         // of the function whose name the bytes are, in `resolved`
    object_t *parent;         // owner of the bytes; NULL when they are the buffer's own or the module's
    const object_t *resolved; // executable in which the bytes, as a name, were looked up; NULL: not yet
} buffer_t;

typedef struct {
    object_t object;
    buffer_t *buffer;
    uint32_t element_type;
    uint32_t rank;
    uint32_t dims[MAX_RANK];
} view_t;

typedef struct {
    uint32_t type; // value_type_t
    uint32_t words[2];
    object_t *reference;
} value_t;

typedef enum { VALUE_NONE, VALUE_I32, VALUE_I64, VALUE_F32, VALUE_REF } value_type_t;

typedef struct {
    object_t object;
    value_t *values;
    uint32_t count;
    uint32_t capacity;
} list_t;

HOT void object_retain(object_t *object) {
    if (object != NULL) object->references++;
}

// Frees the object and what it alone holds.
void object_destroy(memory_t *memory, object_t *object);

HOT void object_release(memory_t *memory, object_t *object) {
    if (object != NULL && --object->references == 0) object_destroy(memory, object);
}

_Noreturn void object_mismatch(const object_t *object, uint32_t type);

// Fails unless the object is of the type.
HOT void object_check(const object_t *object, uint32_t type) {
    if (object == NULL || object->type != type) object_mismatch(object, type);
}

// New objects come with one reference, the caller's. The bytes of a new buffer are zero.
buffer_t *buffer_create(memory_t *memory, uint64_t length, uint64_t alignment);
// A window on source[offset, offset + length); keeps `source` alive.
buffer_t *buffer_subspan(memory_t *memory, buffer_t *source, uint64_t offset, uint64_t length);
// Takes over the caller's reference of `buffer`.
view_t *view_create(memory_t *memory, buffer_t *buffer);
list_t *list_create(memory_t *memory);
void list_reserve(memory_t *memory, list_t *list, uint32_t capacity);
void list_resize(memory_t *memory, list_t *list, uint32_t count);

_Noreturn void buffer_out_of_range(const buffer_t *buffer, uint64_t offset, uint64_t length);

// The address of buffer[offset, offset + length), which must be inside.
HOT uint8_t *buffer_range(const buffer_t *buffer, uint64_t offset, uint64_t length) {
    if (offset > buffer->length || length > buffer->length - offset)
        buffer_out_of_range(buffer, offset, length);
    return buffer->data + (uint32_t)offset;
}

#endif
