// SPDX-License-Identifier: Apache-2.0
#include "archive.h"

#define ZIP_HEADER_BYTES 30
#define EXTERNAL_ALIGNMENT 64

static const uint8_t zip_magic[4] = {'P', 'K', 3, 4};
static const uint8_t identifier[4] = {'I', 'R', 'E', 'E'};

static NOINLINE bool outside(archive_t *archive, uint32_t position, uint32_t bytes) {
    if (archive->status == STATUS_OK)
        archive->status = FAIL(FLATBUFFER_END, bytes, position, archive->length);
    return false;
}

// True if [position, position + bytes) lies in the flatbuffer; otherwise the archive is marked as broken.
static NOINLINE bool inside(archive_t *archive, uint32_t position, uint32_t bytes) {
    if (position <= archive->length && bytes <= archive->length - position) return true;
    return outside(archive, position, bytes);
}

static NOINLINE uint32_t u32_at(archive_t *archive, uint32_t position) {
    return inside(archive, position, 4) ? read_u32(archive->data + position) : 0;
}

// Where the offset stored at `position` points; past the end on overflow, which the next read notices.
static NOINLINE uint32_t follow(archive_t *archive, uint32_t position) {
    uint32_t target;
    if (__builtin_add_overflow(position, u32_at(archive, position), &target)) return UINT32_MAX;
    return target;
}

static NOINLINE table_t table_at(archive_t *archive, uint32_t position) {
    table_t table = {.position = position};
    // The distance to the vtable is signed and subtracted.
    int64_t vtable = (int64_t)position - (int32_t)u32_at(archive, position);
    table.vtable = vtable >= 0 && vtable <= archive->length ? (uint32_t)vtable : UINT32_MAX;
    if (inside(archive, table.vtable, 4)) {
        table.vtable_bytes = read_u16(archive->data + table.vtable);
        table.bytes = read_u16(archive->data + table.vtable + 2);
    }
    if (!inside(archive, table.vtable, table.vtable_bytes) || !inside(archive, position, table.bytes))
        return (table_t){0};
    return table;
}

static NOINLINE uint32_t bad_field(archive_t *archive, const table_t *table, uint32_t field,
                                   uint32_t offset) {
    if (archive->status == STATUS_OK) archive->status = FAIL(TABLE_END, field, offset, table->bytes);
    return 0;
}

// Position of a field of `bytes` bytes; 0 when absent or outside its table.
static NOINLINE uint32_t field_at(archive_t *archive, const table_t *table, uint32_t field, uint32_t bytes) {
    uint32_t slot = 4 + 2 * field;
    if (table->position == 0 || slot + 2 > table->vtable_bytes) return 0;
    uint32_t offset = read_u16(archive->data + table->vtable + slot);
    if (offset == 0) return 0;
    if (offset > table->bytes || bytes > table->bytes - offset)
        return bad_field(archive, table, field, offset);
    return table->position + offset;
}

uint32_t archive_u32(archive_t *archive, const table_t *table, uint32_t field, uint32_t absent) {
    uint32_t position = field_at(archive, table, field, 4);
    return position != 0 ? read_u32(archive->data + position) : absent;
}

uint64_t archive_u64(archive_t *archive, const table_t *table, uint32_t field, uint64_t absent) {
    uint32_t position = field_at(archive, table, field, 8);
    return position != 0 ? read_u64(archive->data + position) : absent;
}

uint8_t archive_u8(archive_t *archive, const table_t *table, uint32_t field, uint8_t absent) {
    uint32_t position = field_at(archive, table, field, 1);
    return position != 0 ? archive->data[position] : absent;
}

table_t archive_table(archive_t *archive, const table_t *table, uint32_t field) {
    uint32_t position = field_at(archive, table, field, 4);
    return position != 0 ? table_at(archive, follow(archive, position)) : (table_t){0};
}

vector_t archive_vector(archive_t *archive, const table_t *table, uint32_t field, uint32_t element_bytes) {
    uint32_t position = field_at(archive, table, field, 4);
    if (position == 0) return (vector_t){0};
    position = follow(archive, position);
    uint32_t count = u32_at(archive, position);
    uint32_t bytes;
    if (__builtin_mul_overflow(count, element_bytes, &bytes)) bytes = UINT32_MAX;
    if (position > UINT32_MAX - 4 || !inside(archive, position + 4, bytes)) return (vector_t){0};
    return (vector_t){.data = archive->data + position + 4, .count = count, .position = position + 4};
}

span_t archive_span(archive_t *archive, const table_t *table, uint32_t field) {
    vector_t vector = archive_vector(archive, table, field, 1);
    return (span_t){.data = vector.data, .length = vector.count};
}

table_t archive_element(archive_t *archive, const vector_t *vector, uint32_t index) {
    return table_at(archive, follow(archive, vector->position + 4 * index));
}

// Bytes of the ZIP local header in front of the module; 0 without one.
static status_t zip_header(const uint8_t *image, size_t length, size_t *bytes) {
    *bytes = 0;
    if (length < ZIP_HEADER_BYTES || memcmp(image, zip_magic, sizeof zip_magic) != 0) return STATUS_OK;
    if (read_u16(image + 8) != 0) return FAIL(ZIP_COMPRESSED);
    *bytes = (size_t)ZIP_HEADER_BYTES + read_u16(image + 26) + read_u16(image + 28);
    return STATUS_OK;
}

status_t archive_open(archive_t *archive, const uint8_t *image, size_t length, table_t *root) {
    *archive = (archive_t){0};
    *root = (table_t){0};
    if ((uintptr_t)image % EXTERNAL_ALIGNMENT != 0) return FAIL(IMAGE_ALIGNMENT, (uint32_t)(uintptr_t)image);
    if (length > INT32_MAX) return FAIL(IMAGE_SIZE, (uint32_t)length);
    size_t start;
    RETURN_IF_ERROR(zip_header(image, length, &start));
    if (start > length || length - start < 12) return FAIL(IMAGE_SHORT, (uint32_t)length);
    const uint8_t *data = image + start + 4;
    uint32_t available = (uint32_t)(length - start - 4), prefix = read_u32(data - 4);
    if (memcmp(data + 4, identifier, sizeof identifier) != 0) return FAIL(IDENTIFIER);
    if (prefix < 8 || prefix > available) return FAIL(SIZE_PREFIX, prefix, available);
    archive->data = data;
    archive->length = prefix;
    size_t end = (start + 4 + prefix + EXTERNAL_ALIGNMENT - 1) & ~(size_t)(EXTERNAL_ALIGNMENT - 1);
    if (end < length) archive->external = (span_t){.data = image + end, .length = (uint32_t)(length - end)};
    *root = table_at(archive, follow(archive, 0));
    return archive->status;
}
