// SPDX-License-Identifier: Apache-2.0
// The VMFB's container: an optional ZIP local header, a u32 size prefix, a flatbuffer with identifier "IREE",
// and external read-only data after it. Every read is checked against the flatbuffer's end.
//
// A read that leaves the flatbuffer gives zero or an empty span and is remembered (the first one stays), so a
// group of reads needs one check after it:
//   uint32_t count = archive_u32(archive, table, 1, 0);
//   vector_t names = archive_vector(archive, table, 2, 4);
//   RETURN_IF_ERROR(archive_check(archive));
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
    span_t external;       // from the 64-byte boundary after the flatbuffer to the end of the image
    uint32_t bad_position; // of the first read that left it
    uint32_t bad_bytes;    // 0: none did
} archive_t;

// Positions are relative to the flatbuffer. 0: the table is absent, and so is all in it.
typedef uint32_t table_t;

typedef struct {
    const uint8_t *data;
    uint32_t count;
    uint32_t position; // of the first element
} vector_t;

// `image` must be 64-byte aligned. Sets `root` to the root table.
status_t archive_open(archive_t *archive, const uint8_t *image, size_t length, table_t *root);

// STATUS_ARCHIVE_BOUNDS if a read left the flatbuffer.
status_t archive_check(const archive_t *archive);

// Fields by id; absent ones give the default, an absent table, or an empty vector.
uint32_t archive_u32(archive_t *archive, table_t table, uint32_t field, uint32_t absent);
uint64_t archive_u64(archive_t *archive, table_t table, uint32_t field);
uint8_t archive_u8(archive_t *archive, table_t table, uint32_t field);
table_t archive_table(archive_t *archive, table_t table, uint32_t field);
vector_t archive_vector(archive_t *archive, table_t table, uint32_t field, uint32_t element_bytes);
// A string or a vector of bytes.
span_t archive_span(archive_t *archive, table_t table, uint32_t field);

// Element `index` (< count) of a vector of tables, element size 4.
table_t archive_element(archive_t *archive, const vector_t *vector, uint32_t index);

#endif
