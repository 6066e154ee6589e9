// SPDX-License-Identifier: Apache-2.0
// The VMFB's container: an optional ZIP local header, a u32 size prefix, a flatbuffer with identifier "IREE",
// and external read-only data after it. Every read is checked against the flatbuffer's end.
#ifndef SPRINGBOK_ARCHIVE_H
#define SPRINGBOK_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bytes.h"
#include "status.h"

typedef struct {
    const uint8_t *data; // the flatbuffer
    uint32_t length;
    span_t external; // from the 64-byte boundary after the flatbuffer to the end of the image
} archive_t;

// Positions are relative to the flatbuffer. 0: the table is absent, and so is all in it.
typedef uint32_t table_t;

typedef struct {
    const uint8_t *data;
    uint32_t count;
    uint32_t position; // of the first element
} vector_t;

// `image` must be 64-byte aligned. Returns the root table.
table_t archive_open(archive_t *archive, const uint8_t *image, size_t length);

// Fields by id; absent ones give the default, an absent table, or an empty vector.
uint32_t archive_u32(const archive_t *archive, table_t table, uint32_t field, uint32_t absent);
uint64_t archive_u64(const archive_t *archive, table_t table, uint32_t field);
uint8_t archive_u8(const archive_t *archive, table_t table, uint32_t field);
table_t archive_table(const archive_t *archive, table_t table, uint32_t field);
vector_t archive_vector(const archive_t *archive, table_t table, uint32_t field, uint32_t element_bytes);
// A string or a vector of bytes.
span_t archive_span(const archive_t *archive, table_t table, uint32_t field);

// Element `index` (< count) of a vector of tables, element size 4.
table_t archive_element(const archive_t *archive, const vector_t *vector, uint32_t index);

#endif
