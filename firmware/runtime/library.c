// SPDX-License-Identifier: Apache-2.0
#include "library.h"

// Offsets in iree_hal_executable_library_v0_t and in what it points to.
enum {
    LIBRARY_HEADER = 0,
    LIBRARY_IMPORT_COUNT = 4,
    LIBRARY_EXPORT_COUNT = 12,
    LIBRARY_EXPORT_FUNCTIONS = 16,
    LIBRARY_EXPORT_ATTRIBUTES = 20,
    LIBRARY_EXPORT_NAMES = 32,
    LIBRARY_CONSTANT_COUNT = 52,
    LIBRARY_BYTES = 64,
    HEADER_VERSION = 0,
    HEADER_FEATURES = 8,
    HEADER_SANITIZER = 12,
    HEADER_BYTES = 16,
    ATTRIBUTES_LOCAL_MEMORY_PAGES = 8,
    ATTRIBUTES_CONSTANT_COUNT = 10,
    ATTRIBUTES_BINDING_COUNT = 11,
    ATTRIBUTES_WORKGROUP_X = 12,
    ATTRIBUTES_WORKGROUP_Y = 16,
    ATTRIBUTES_WORKGROUP_Z = 20,
    ATTRIBUTES_BYTES = 64,
};

#define MAX_EXPORTS 4096 // an ordinal fits 16 bits

// The image's bytes at an address that the kernels use; NULL if they are not all inside.
static const uint8_t *at(const image_t *image, uint32_t address, uint32_t bytes) {
    uint32_t offset = address - image->address;
    if (address % 4 != 0 || offset > image->size || bytes > image->size - offset) return NULL;
    return image->data + offset;
}

static status_t malformed(phrase_t what, uint32_t index) {
    return FAIL(LIBRARY_EXPORT, what, index);
}

static status_t check_header(const image_t *image, const uint8_t *library) {
    const uint8_t *header = at(image, read_u32(library + LIBRARY_HEADER), HEADER_BYTES);
    if (header == NULL) return FAIL(LIBRARY_HEADER);
    if (read_u32(header + HEADER_VERSION) != LIBRARY_VERSION)
        return FAIL(LIBRARY_VERSION, read_u32(header + HEADER_VERSION), LIBRARY_VERSION);
    if (read_u32(header + HEADER_SANITIZER) != 0 || read_u32(header + HEADER_FEATURES) != 0)
        return FAIL(LIBRARY_FEATURES, read_u32(header + HEADER_SANITIZER),
                    read_u32(header + HEADER_FEATURES));
    if (read_u32(library + LIBRARY_IMPORT_COUNT) != 0)
        return FAIL(LIBRARY_IMPORTS, read_u32(library + LIBRARY_IMPORT_COUNT));
    if (read_u32(library + LIBRARY_CONSTANT_COUNT) != 0)
        return FAIL(LIBRARY_CONSTANTS, read_u32(library + LIBRARY_CONSTANT_COUNT));
    return STATUS_OK;
}

static status_t read_name(const image_t *image, uint32_t address, uint32_t index, const char **name) {
    uint32_t offset = address - image->address;
    *name = (const char *)image->data + offset;
    for (; offset < image->size; offset++)
        if (image->data[offset] == 0) return STATUS_OK;
    return malformed(PHRASE_NAME, index);
}

static status_t read_exports(library_t *library, const uint8_t *structure) {
    const image_t *image = &library->image;
    uint32_t count = library->export_count;
    const uint8_t *functions = at(image, read_u32(structure + LIBRARY_EXPORT_FUNCTIONS), 4 * count);
    const uint8_t *names = at(image, read_u32(structure + LIBRARY_EXPORT_NAMES), 4 * count);
    const uint8_t *attributes =
        at(image, read_u32(structure + LIBRARY_EXPORT_ATTRIBUTES), ATTRIBUTES_BYTES * count);
    if (functions == NULL || names == NULL || attributes == NULL) return malformed(PHRASE_TABLE, 0);
    for (uint32_t i = 0; i < count; i++, attributes += ATTRIBUTES_BYTES) {
        export_t *entry = &library->exports[i];
        entry->function = read_u32(functions + 4 * i);
        uint32_t offset = entry->function - image->address;
        if (entry->function % 4 != 0 || offset < image->code_begin || offset >= image->code_end)
            return malformed(PHRASE_CODE, i);
        RETURN_IF_ERROR(read_name(image, read_u32(names + 4 * i), i, &entry->name));
        entry->local_memory_pages = read_u16(attributes + ATTRIBUTES_LOCAL_MEMORY_PAGES);
        entry->state = (dispatch_state_t){
            .workgroup_size_x = read_u32(attributes + ATTRIBUTES_WORKGROUP_X),
            .workgroup_size_y = read_u32(attributes + ATTRIBUTES_WORKGROUP_Y),
            .workgroup_size_z = read_u16(attributes + ATTRIBUTES_WORKGROUP_Z),
            .constant_count = attributes[ATTRIBUTES_CONSTANT_COUNT],
            .max_concurrency = 1,
            .binding_count = attributes[ATTRIBUTES_BINDING_COUNT],
        };
        uint32_t constants = entry->state.constant_count, bindings = entry->state.binding_count;
        if (constants > LIBRARY_MAX_CONSTANTS || bindings > LIBRARY_MAX_BINDINGS)
            return FAIL(EXPORT_OPERANDS, i, constants, bindings, LIBRARY_MAX_CONSTANTS, LIBRARY_MAX_BINDINGS);
    }
    return STATUS_OK;
}

status_t library_read(library_t *library, uint32_t address) {
    const uint8_t *structure = at(&library->image, address, LIBRARY_BYTES);
    if (structure == NULL) return FAIL(LIBRARY_ADDRESS, address);
    RETURN_IF_ERROR(check_header(&library->image, structure));
    library->export_count = read_u32(structure + LIBRARY_EXPORT_COUNT);
    if (library->export_count > MAX_EXPORTS) return FAIL(LIBRARY_EXPORTS, library->export_count, MAX_EXPORTS);
    return library->exports != NULL ? read_exports(library, structure) : STATUS_OK;
}

#ifdef __riscv

_Static_assert(sizeof(library_environment_t) == 80, "environment of ABI 0.6");

typedef const uint32_t *(*query_fn)(uint32_t version, const library_environment_t *environment);

const library_environment_t library_environment;

uint32_t library_address(const uint8_t *data) {
    return (uint32_t)data;
}

status_t library_query(const image_t *image, uint32_t query, uint32_t *address) {
    (void)image;
    *address = (uint32_t)((query_fn)query)(LIBRARY_VERSION, &library_environment);
    if (*address == 0) return FAIL(LIBRARY_OFFER, LIBRARY_VERSION);
    return STATUS_OK;
}

#else

uint32_t library_address(const uint8_t *data) {
    (void)data;
    return 0x10000; // never 0, so that a null pointer in the image stays outside it
}

// The query function cannot run here: takes the first word that points to a header of our version, and is
// followed by tables inside the image.
status_t library_query(const image_t *image, uint32_t query, uint32_t *address) {
    (void)query;
    uint32_t versions[2] = {0, 0}; // a header of another version, for the message
    for (uint32_t offset = 0; offset + LIBRARY_BYTES <= image->size; offset += 4) {
        const uint8_t *structure = image->data + offset;
        const uint8_t *header = at(image, read_u32(structure), HEADER_BYTES);
        if (header == NULL) continue;
        uint32_t count = read_u32(structure + LIBRARY_EXPORT_COUNT);
        if (count == 0 || count > MAX_EXPORTS) continue;
        if (at(image, read_u32(structure + LIBRARY_EXPORT_FUNCTIONS), 4 * count) == NULL) continue;
        if (at(image, read_u32(structure + LIBRARY_EXPORT_ATTRIBUTES), ATTRIBUTES_BYTES * count) == NULL)
            continue;
        if (read_u32(header) == LIBRARY_VERSION) {
            *address = image->address + offset;
            return STATUS_OK;
        }
        versions[0] = 1;
        versions[1] = read_u32(header);
    }
    if (versions[0] != 0) return FAIL(LIBRARY_VERSION, versions[1], LIBRARY_VERSION);
    return FAIL(LIBRARY_MISSING);
}

#endif
