// SPDX-License-Identifier: Apache-2.0
#include "archive.h"

#define ZIP_HEADER_BYTES 30
#define EXTERNAL_ALIGNMENT 64

static const uint8_t zip_magic[4] = {'P', 'K', 3, 4};
static const uint8_t identifier[4] = {'I', 'R', 'E', 'E'};

// True if [position, position + bytes) lies in the flatbuffer and begins at a multiple of `alignment`.
static bool inside(archive_t *archive, uint32_t position, uint32_t bytes, uint32_t alignment) {
    if (position <= archive->length && bytes <= archive->length - position && position % alignment == 0)
        return true;
    if (archive->bad_bytes == 0) {
        archive->bad_position = position;
        archive->bad_bytes = bytes;
    }
    return false;
}

status_t archive_check(const archive_t *archive) {
    if (archive->bad_bytes == 0) return STATUS_OK;
    return FAIL(FLATBUFFER_END, archive->bad_bytes, archive->bad_position, archive->length);
}

static NOINLINE uint32_t u16_at(archive_t *archive, uint32_t position) {
    return inside(archive, position, 2, 2) ? *(const uint16_t *)(const void *)(archive->data + position) : 0;
}

static NOINLINE uint32_t u32_at(archive_t *archive, uint32_t position) {
    return inside(archive, position, 4, 4) ? *(const uint32_t *)(const void *)(archive->data + position) : 0;
}

// Where the offset stored at `position` points, if it is not 0; past the end on overflow, which the next read
// notices.
static NOINLINE uint32_t follow(archive_t *archive, uint32_t position) {
    uint32_t target;
    if (position == 0) return 0;
    if (__builtin_add_overflow(position, u32_at(archive, position), &target)) return UINT32_MAX;
    return target;
}

// Position of a field; 0 when it is absent. The distance from a table to its vtable is signed and subtracted.
static NOINLINE uint32_t field_at(archive_t *archive, table_t table, uint32_t field) {
    if (table == 0) return 0;
    uint32_t vtable = table - u32_at(archive, table), slot = 4 + 2 * field;
    if (slot >= u16_at(archive, vtable)) return 0;
    uint32_t offset = u16_at(archive, vtable + slot);
    return offset != 0 ? table + offset : 0;
}

uint32_t archive_u32(archive_t *archive, table_t table, uint32_t field, uint32_t absent) {
    uint32_t position = field_at(archive, table, field);
    return position != 0 ? u32_at(archive, position) : absent;
}

uint64_t archive_u64(archive_t *archive, table_t table, uint32_t field) {
    uint32_t position = field_at(archive, table, field);
    if (position == 0) return 0;
    return u32_at(archive, position) | (uint64_t)u32_at(archive, position + 4) << 32;
}

uint8_t archive_u8(archive_t *archive, table_t table, uint32_t field) {
    uint32_t position = field_at(archive, table, field);
    return position != 0 && inside(archive, position, 1, 1) ? archive->data[position] : 0;
}

table_t archive_table(archive_t *archive, table_t table, uint32_t field) {
    return follow(archive, field_at(archive, table, field));
}

vector_t archive_vector(archive_t *archive, table_t table, uint32_t field, uint32_t element_bytes) {
    vector_t vector = {.position = archive_table(archive, table, field)};
    if (vector.position == 0) return vector;
    uint32_t bytes, count = u32_at(archive, vector.position);
    if (__builtin_mul_overflow(count, element_bytes, &bytes)) bytes = UINT32_MAX;
    vector.position += 4;
    if (!inside(archive, vector.position, bytes, 4)) return (vector_t){0};
    vector.data = archive->data + vector.position;
    vector.count = count;
    return vector;
}

span_t archive_span(archive_t *archive, table_t table, uint32_t field) {
    vector_t vector = archive_vector(archive, table, field, 1);
    return (span_t){.data = vector.data, .length = vector.count};
}

table_t archive_element(archive_t *archive, const vector_t *vector, uint32_t index) {
    return follow(archive, vector->position + 4 * index);
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
    if ((uintptr_t)image % EXTERNAL_ALIGNMENT != 0) return FAIL(IMAGE_ALIGNMENT, (uint32_t)(uintptr_t)image);
    if (length > INT32_MAX) return FAIL(IMAGE_SIZE, (uint32_t)length);
    size_t start;
    RETURN_IF_ERROR(zip_header(image, length, &start));
    if (start > length || length - start < 12) return FAIL(IMAGE_SHORT, (uint32_t)length);
    const uint8_t *data = image + start + 4;
    uint32_t available = (uint32_t)(length - start - 4), prefix = read_u32(data - 4);
    if (memcmp(data + 4, identifier, sizeof identifier) != 0) return FAIL(IDENTIFIER);
    if (prefix < 8 || prefix > available) return FAIL(SIZE_PREFIX, prefix, available);
    if ((uintptr_t)data % 4 != 0) return FAIL(ZIP_ALIGNMENT, (uint32_t)start);
    archive->data = data;
    archive->length = prefix;
    size_t end = (start + 4 + prefix + EXTERNAL_ALIGNMENT - 1) & ~(size_t)(EXTERNAL_ALIGNMENT - 1);
    if (end > length) end = length;
    archive->external = (span_t){.data = image + end, .length = (uint32_t)(length - end)};
    *root = u32_at(archive, 0);
    return archive_check(archive);
}
