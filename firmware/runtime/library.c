// SPDX-License-Identifier: Apache-2.0
#include "library.h"

#include "platform.h"

// The structures as the kernels have them: addresses are theirs, and as wide as theirs on any host. On a core
// of 64 bits each is aligned, on a host of 64 bits that plays one too.
typedef struct {
    word_t header;
    uint32_t import_count;
    word_t imports;
    uint32_t export_count;
    word_t functions, attributes, parameters, occupancy, names;
    word_t tags, parameter_names, source_locations, stage_locations;
    uint32_t constant_count;
    _Alignas(word_t) uint32_t source_count;
    word_t sources;
} library_structure_t;

typedef struct {
    uint32_t version;
    word_t name;
    uint32_t features, sanitizer;
} library_header_t;

typedef struct {
    uint32_t flags[2]; // 64 bits, at an address that need not suit them
    uint16_t local_memory_pages;
    uint8_t constant_count, binding_count;
    uint32_t workgroup_size_x, workgroup_size_y;
    uint16_t workgroup_size_z, reserved[21];
} export_attributes_t;

#if CHIP_XLEN == 64
enum { STRUCTURE_BYTES = 128, HEADER_BYTES = 24, ENVIRONMENT_BYTES = 96 };
#else
enum { STRUCTURE_BYTES = 64, HEADER_BYTES = 16, ENVIRONMENT_BYTES = 80 };
#endif
_Static_assert(sizeof(library_structure_t) == STRUCTURE_BYTES && sizeof(library_header_t) == HEADER_BYTES &&
                   sizeof(export_attributes_t) == 64,
               "library of ABI 0.6");

#define MAX_EXPORTS 4096 // an ordinal fits 16 bits

// `count` structures of `bytes` each at an address that the kernels use; NULL if they are not all inside.
static const void *at(const image_t *image, word_t address, uint32_t count, uint32_t bytes) {
    word_t offset = address - image->address;
    if (address % sizeof(word_t) != 0 || offset > image->size || count > (image->size - offset) / bytes)
        return NULL;
    return image->data + offset;
}

#define AT(image, address, count, type) ((const type *)at(image, address, count, sizeof(type)))

static _Noreturn void malformed(phrase_t what, uint32_t index) {
    FAIL(LIBRARY_EXPORT, what, index);
}

void library_open(library_t *library, word_t address) {
    const image_t *image = &library->image;
    const library_structure_t *structure = AT(image, address, 1, library_structure_t);
    if (structure == NULL) FAIL(LIBRARY_ADDRESS, (uint32_t)address);
    const library_header_t *header = AT(image, structure->header, 1, library_header_t);
    if (header == NULL) FAIL(LIBRARY_HEADER);
    if (header->version != LIBRARY_VERSION) FAIL(LIBRARY_VERSION, header->version, LIBRARY_VERSION);
    if ((header->sanitizer | header->features) != 0)
        FAIL(LIBRARY_FEATURES, header->sanitizer, header->features);
    if (structure->import_count != 0) FAIL(LIBRARY_IMPORTS, structure->import_count);
    if (structure->constant_count != 0) FAIL(LIBRARY_CONSTANTS, structure->constant_count);
    if (structure->export_count > MAX_EXPORTS) FAIL(LIBRARY_EXPORTS, structure->export_count);
    library->export_count = structure->export_count;
}

// A name that ends inside the image; NULL for any other.
static const char *read_name(const image_t *image, word_t address) {
    word_t offset = address - image->address;
    for (word_t end = offset; end < image->size; end++)
        if (image->data[end] == 0) return (const char *)image->data + offset;
    return NULL;
}

void library_read(library_t *library, word_t address) {
    const image_t *image = &library->image;
    uint32_t count = library->export_count;
    const library_structure_t *structure = AT(image, address, 1, library_structure_t);
    const word_t *functions = AT(image, structure->functions, count, word_t);
    const word_t *names = AT(image, structure->names, count, word_t);
    const export_attributes_t *attributes = AT(image, structure->attributes, count, export_attributes_t);
    if (functions == NULL || names == NULL || attributes == NULL) malformed(PHRASE_TABLE, 0);
    for (uint32_t i = 0; i < count; i++, attributes++) {
        export_t *entry = &library->exports[i];
        word_t offset = functions[i] - image->address;
        if (offset % KERNEL_CODE_ALIGNMENT != 0 || offset < image->code_begin || offset >= image->code_end)
            malformed(PHRASE_CODE, i);
        entry->function = functions[i];
        entry->name = read_name(image, names[i]);
        if (entry->name == NULL) malformed(PHRASE_NAME, i);
        if (attributes->constant_count > LIBRARY_MAX_CONSTANTS ||
            attributes->binding_count > LIBRARY_MAX_BINDINGS)
            FAIL(EXPORT_OPERANDS, i, attributes->constant_count, attributes->binding_count);
        entry->local_memory_pages = attributes->local_memory_pages;
        entry->state.workgroup_size_x = attributes->workgroup_size_x;
        entry->state.workgroup_size_y = attributes->workgroup_size_y;
        entry->state.workgroup_size_z = attributes->workgroup_size_z;
        entry->state.constant_count = attributes->constant_count;
        entry->state.max_concurrency = 1;
        entry->state.binding_count = attributes->binding_count;
    }
}

#ifdef __riscv

_Static_assert(sizeof(library_environment_t) == ENVIRONMENT_BYTES, "environment of ABI 0.6");

library_environment_t library_environment;

word_t library_address(const uint8_t *data) {
    return (word_t)data;
}

word_t library_query(const image_t *image, word_t query) {
    (void)image;
    word_t address =
        platform_call_contained(query, LIBRARY_VERSION, (uintptr_t)&library_environment, 0, NULL);
    if (address == 0) FAIL(LIBRARY_OFFER);
    return address;
}

#else

word_t library_address(const uint8_t *data) {
    (void)data;
    return 0x10000; // never 0, so that a null pointer in the image stays outside it
}

// The query function cannot run here: takes the first word that points to a header of our version, and is
// followed by tables inside the image.
word_t library_query(const image_t *image, word_t query) {
    (void)query;
    uint32_t versions[2] = {0, 0}; // a header of another version, for the message
    for (uint32_t offset = 0; offset + sizeof(library_structure_t) <= image->size; offset += sizeof(word_t)) {
        const library_structure_t *structure = AT(image, image->address + offset, 1, library_structure_t);
        const library_header_t *header = AT(image, structure->header, 1, library_header_t);
        uint32_t count = structure->export_count;
        if (header == NULL || count == 0 || count > MAX_EXPORTS) continue;
        if (AT(image, structure->functions, count, word_t) == NULL) continue;
        if (AT(image, structure->attributes, count, export_attributes_t) == NULL) continue;
        if (header->version == LIBRARY_VERSION) return image->address + offset;
        versions[0] = 1;
        versions[1] = header->version;
    }
    if (versions[0] != 0) FAIL(LIBRARY_VERSION, versions[1], LIBRARY_VERSION);
    FAIL(LIBRARY_MISSING);
}

#endif
