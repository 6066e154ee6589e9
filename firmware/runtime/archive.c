// SPDX-License-Identifier: Apache-2.0
#include "archive.h"

#define ZIP_HEADER_BYTES 30
#define EXTERNAL_ALIGNMENT 64

static const uint8_t zip_magic[4] = {'P', 'K', 3, 4};
static const uint8_t identifier[4] = {'I', 'R', 'E', 'E'};

// The address of [position, position + bytes), which must lie in the flatbuffer and begin at a multiple of
// `alignment`.
static NOINLINE const uint8_t *inside(const archive_t *archive, uint32_t position, uint32_t bytes,
                                      uint32_t alignment) {
    if (position > archive->length || bytes > archive->length - position || position % alignment != 0)
        FAIL(FLATBUFFER_END, bytes, position, archive->length);
    return archive->data + position;
}

static NOINLINE uint32_t u16_at(const archive_t *archive, uint32_t position) {
    return *(const uint16_t *)(const void *)inside(archive, position, 2, 2);
}

static NOINLINE uint32_t u32_at(const archive_t *archive, uint32_t position) {
    return *(const uint32_t *)(const void *)inside(archive, position, 4, 4);
}

// Where the offset stored at `position` points, if it is not 0; past the end on overflow, which the next read
// notices.
static NOINLINE uint32_t follow(const archive_t *archive, uint32_t position) {
    uint32_t target;
    if (position == 0) return 0;
    if (__builtin_add_overflow(position, u32_at(archive, position), &target)) return UINT32_MAX;
    return target;
}

// Position of a field; 0 when it is absent. The distance from a table to its vtable is signed and subtracted.
static NOINLINE uint32_t field_at(const archive_t *archive, table_t table, uint32_t field) {
    if (table == 0) return 0;
    uint32_t vtable = table - u32_at(archive, table), slot = 4 + 2 * field;
    if (slot >= u16_at(archive, vtable)) return 0;
    uint32_t offset = u16_at(archive, vtable + slot);
    return offset != 0 ? table + offset : 0;
}

uint32_t archive_u32(const archive_t *archive, table_t table, uint32_t field, uint32_t absent) {
    uint32_t position = field_at(archive, table, field);
    return position != 0 ? u32_at(archive, position) : absent;
}

uint64_t archive_u64(const archive_t *archive, table_t table, uint32_t field) {
    uint32_t position = field_at(archive, table, field);
    if (position == 0) return 0;
    return u32_at(archive, position) | (uint64_t)u32_at(archive, position + 4) << 32;
}

uint8_t archive_u8(const archive_t *archive, table_t table, uint32_t field) {
    uint32_t position = field_at(archive, table, field);
    return position != 0 ? *inside(archive, position, 1, 1) : 0;
}

table_t archive_table(const archive_t *archive, table_t table, uint32_t field) {
    return follow(archive, field_at(archive, table, field));
}

vector_t archive_vector(const archive_t *archive, table_t table, uint32_t field, uint32_t element_bytes) {
    vector_t vector = {.position = archive_table(archive, table, field)};
    if (vector.position == 0) return vector;
    uint32_t bytes, count = u32_at(archive, vector.position);
    if (__builtin_mul_overflow(count, element_bytes, &bytes)) bytes = UINT32_MAX;
    vector.position += 4;
    vector.data = inside(archive, vector.position, bytes, 4);
    vector.count = count;
    return vector;
}

span_t archive_span(const archive_t *archive, table_t table, uint32_t field) {
    vector_t vector = archive_vector(archive, table, field, 1);
    return (span_t){.data = vector.data, .length = vector.count};
}

table_t archive_element(const archive_t *archive, const vector_t *vector, uint32_t index) {
    return follow(archive, vector->position + 4 * index);
}

// Bytes of the ZIP local header in front of the module; 0 without one.
static size_t zip_header(const uint8_t *image, size_t length) {
    if (length < ZIP_HEADER_BYTES || memcmp(image, zip_magic, sizeof zip_magic) != 0) return 0;
    if (read_u16(image + 8) != 0) FAIL(ZIP_COMPRESSED);
    return (size_t)ZIP_HEADER_BYTES + read_u16(image + 26) + read_u16(image + 28);
}

table_t archive_open(archive_t *archive, const uint8_t *image, size_t length) {
    if ((uintptr_t)image % EXTERNAL_ALIGNMENT != 0) FAIL(IMAGE_ALIGNMENT, (uint32_t)(uintptr_t)image);
    if (length > INT32_MAX) FAIL(IMAGE_SIZE, (uint32_t)length);
    size_t start = zip_header(image, length);
    if (start > length || length - start < 12) FAIL(IMAGE_SHORT, (uint32_t)length);
    const uint8_t *data = image + start + 4;
    uint32_t available = (uint32_t)(length - start - 4), prefix = read_u32(data - 4);
    if (memcmp(data + 4, identifier, sizeof identifier) != 0) FAIL(IDENTIFIER);
    if (prefix < 8 || prefix > available) FAIL(SIZE_PREFIX, prefix, available);
    if ((uintptr_t)data % 4 != 0) FAIL(ZIP_ALIGNMENT, (uint32_t)start);
    archive->data = data;
    archive->length = prefix;
    size_t end = (start + 4 + prefix + EXTERNAL_ALIGNMENT - 1) & ~(size_t)(EXTERNAL_ALIGNMENT - 1);
    if (end > length) end = length;
    archive->external = (span_t){.data = image + end, .length = (uint32_t)(length - end)};
    return u32_at(archive, 0);
}
