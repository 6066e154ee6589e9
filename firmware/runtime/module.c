// SPDX-License-Identifier: Apache-2.0
#include "module.h"

#include "hal.h"
#include "platform.h"

// Field ids of IREE's bytecode_module_def.fbs, version 17.
enum {
    MODULE_REQUIREMENTS = 2,
    MODULE_TYPES = 4,
    MODULE_DEPENDENCIES = 5,
    MODULE_IMPORTS = 6,
    MODULE_EXPORTS = 7,
    MODULE_SIGNATURES = 8,
    MODULE_RODATA = 9,
    MODULE_RWDATA = 10,
    MODULE_STATE = 11,
    MODULE_FUNCTIONS = 12,
    MODULE_BYTECODE_VERSION = 13,
    MODULE_BYTECODE = 14,
    TYPE_NAME = 0,
    DEPENDENCY_NAME = 0,
    DEPENDENCY_VERSION = 1,
    IMPORT_NAME = 0,
    IMPORT_SIGNATURE = 1,
    IMPORT_FLAGS = 2,
    EXPORT_NAME = 0,
    EXPORT_ORDINAL = 1,
    SIGNATURE_CONVENTION = 0,
    SIGNATURE_ATTRIBUTES = 1,
    ATTRIBUTE_KEY = 0,
    ATTRIBUTE_VALUE = 1,
    RODATA_COMPRESSION = 0,
    RODATA_EMBEDDED = 2,
    RODATA_EXTERNAL_OFFSET = 3,
    RODATA_EXTERNAL_LENGTH = 4,
    STATE_GLOBAL_BYTES = 0,
    STATE_GLOBAL_REFS = 1,
};

#define DESCRIPTOR_BYTES 20
#define IMPORT_OPTIONAL 2u

#define REQUIRES_F32 1u
#define REQUIRES_F64 2u
#define REQUIRES_YIELD 4u
#define REQUIRES_UNWIND 8u
#define REQUIREMENTS_MET (REQUIRES_F32 | REQUIRES_UNWIND)

static void check_requirements(uint32_t requirements) {
    uint32_t missing = requirements & ~REQUIREMENTS_MET;
    if (missing != 0) FAIL(REQUIREMENTS, missing, missing);
}

static void check_version(const archive_t *archive, table_t root) {
    uint32_t version = archive_u32(archive, root, MODULE_BYTECODE_VERSION, 0);
    uint32_t major = version >> 16, minor = version & 0xffff;
    if (major != BYTECODE_MAJOR || minor > BYTECODE_MINOR)
        FAIL(BYTECODE_VERSION, major, minor, BYTECODE_MAJOR, BYTECODE_MINOR);
    check_requirements(archive_u32(archive, root, MODULE_REQUIREMENTS, 0));
}

static bool span_starts_with(span_t span, const char *text) {
    uint32_t length = text_length(text);
    return span.length >= length && memcmp(span.data, text, length) == 0;
}

static uint8_t type_of_name(span_t name) {
    static const struct {
        char name[17];
        uint8_t type;
    } types[] = {
        {"!hal.buffer", OBJECT_BUFFER},    {"!vm.buffer", OBJECT_BUFFER},
        {"!hal.buffer_view", OBJECT_VIEW}, {"!hal.executable", OBJECT_EXECUTABLE},
        {"!vm.opaque", TYPE_ANY},          {"!vm.ref<?>", TYPE_ANY},
    };
    for (uint32_t i = 0; i < sizeof types / sizeof *types; i++)
        if (span_equals(name, types[i].name)) return types[i].type;
    return span_starts_with(name, "!vm.list<") ? OBJECT_LIST : 0;
}

static void check_limit(uint32_t count, phrase_t what) {
    if (count > ORDINAL_LIMIT) FAIL(ORDINAL_LIMIT, count, what, ORDINAL_LIMIT);
}

static void load_types(module_t *module, table_t root, memory_t *memory) {
    const archive_t *archive = &module->archive;
    vector_t types = archive_vector(archive, root, MODULE_TYPES, 4);
    module->types = memory_allocate_zeroed(memory, types.count, PHRASE_TYPES);
    module->type_count = types.count;
    for (uint32_t i = 0; i < types.count; i++) {
        table_t type = archive_element(archive, &types, i);
        module->types[i] = type_of_name(archive_span(archive, type, TYPE_NAME));
    }
}

static void check_dependencies(const archive_t *archive, table_t root) {
    vector_t dependencies = archive_vector(archive, root, MODULE_DEPENDENCIES, 4);
    for (uint32_t i = 0; i < dependencies.count; i++) {
        table_t dependency = archive_element(archive, &dependencies, i);
        span_t name = archive_span(archive, dependency, DEPENDENCY_NAME);
        uint32_t version = archive_u32(archive, dependency, DEPENDENCY_VERSION, 0);
        int provided = hal_module_version(name);
        if (provided < 0) FAIL_QUOTING(name, MODULE_NEEDED);
        if (version > (uint32_t)provided) FAIL_QUOTING(name, MODULE_VERSION, version, provided);
    }
}

static void load_import(module_t *module, table_t table, uint32_t index) {
    const archive_t *archive = &module->archive;
    span_t name = archive_span(archive, table, IMPORT_NAME);
    table_t signature = archive_table(archive, table, IMPORT_SIGNATURE);
    span_t convention = archive_span(archive, signature, SIGNATURE_CONVENTION);
    uint32_t flags = archive_u32(archive, table, IMPORT_FLAGS, 0);
    const import_t *import = hal_find_import(name);
    if (import == NULL && (flags & IMPORT_OPTIONAL) == 0) FAIL_QUOTING(name, IMPORT_MISSING, index);
    if (import != NULL && !span_equals(convention, import->convention)) {
        status_t status = status_report(REASON(IMPORT_DECLARATION, index));
        status_quote(name);
        status_quote(span_of(import->convention));
        platform_abandon(status);
    }
    module->imports[index] = import;
}

static void load_imports(module_t *module, table_t root, memory_t *memory) {
    const archive_t *archive = &module->archive;
    check_dependencies(archive, root);
    vector_t imports = archive_vector(archive, root, MODULE_IMPORTS, 4);
    check_limit(imports.count, PHRASE_IMPORTS);
    module->imports =
        memory_allocate_zeroed(memory, imports.count * sizeof *module->imports, PHRASE_MODULE_IMPORTS);
    module->import_count = imports.count;
    for (uint32_t i = 0; i < imports.count; i++) {
        table_t import = archive_element(archive, &imports, i);
        load_import(module, import, i);
    }
}

// Splits "0rI_i" into "rI" and "i"; "v" stands for nothing.
static void split_convention(span_t convention, uint32_t index, function_t *function) {
    uint32_t split = 1;
    while (split < convention.length && convention.data[split] != '_')
        split++;
    bool valid = convention.length > split && convention.data[0] == '0';
    for (uint32_t i = 1; valid && i < convention.length; i++) {
        uint8_t c = convention.data[i];
        valid = i == split || c == 'i' || c == 'I' || c == 'f' || c == 'r' || c == 'v';
    }
    if (!valid) FAIL(CALLING_CONVENTION, index);
    function->arguments = (span_t){.data = convention.data + 1, .length = split - 1};
    function->results =
        (span_t){.data = convention.data + split + 1, .length = convention.length - split - 1};
    if (span_equals(function->arguments, "v")) function->arguments.length = 0;
    if (span_equals(function->results, "v")) function->results.length = 0;
}

static void load_signature(const archive_t *archive, table_t signature, uint32_t index,
                           function_t *function) {
    split_convention(archive_span(archive, signature, SIGNATURE_CONVENTION), index, function);
    vector_t attributes = archive_vector(archive, signature, SIGNATURE_ATTRIBUTES, 4);
    for (uint32_t i = 0; i < attributes.count; i++) {
        table_t attribute = archive_element(archive, &attributes, i);
        if (span_equals(archive_span(archive, attribute, ATTRIBUTE_KEY), "iree.abi.declaration"))
            function->declaration = archive_span(archive, attribute, ATTRIBUTE_VALUE);
    }
}

static void load_descriptor(const uint8_t *descriptor, uint32_t index, span_t bytecode,
                            function_t *function) {
    uint32_t offset = read_u32(descriptor), length = read_u32(descriptor + 4);
    check_requirements(read_u32(descriptor + 8));
    if (length == 0 || offset > bytecode.length || length > bytecode.length - offset)
        FAIL(BYTECODE_RANGE, index, length, offset, bytecode.length);
    function->code = bytecode.data + offset;
    function->length = length;
    function->block_count = read_u16(descriptor + 14);
    function->i32_count = read_u16(descriptor + 16);
    function->ref_count = read_u16(descriptor + 18);
    if ((uintptr_t)function->code % 2 != 0) FAIL(BYTECODE_ODD, index, offset);
    if (function->i32_count >= REGISTER_LIMIT || function->ref_count >= REGISTER_LIMIT)
        FAIL(REGISTER_COUNT, index, function->i32_count, function->ref_count, REGISTER_LIMIT);
}

static void load_functions(module_t *module, table_t root, memory_t *memory) {
    const archive_t *archive = &module->archive;
    vector_t descriptors = archive_vector(archive, root, MODULE_FUNCTIONS, DESCRIPTOR_BYTES);
    vector_t signatures = archive_vector(archive, root, MODULE_SIGNATURES, 4);
    span_t bytecode = archive_span(archive, root, MODULE_BYTECODE);
    check_limit(descriptors.count, PHRASE_FUNCTIONS);
    if (signatures.count != descriptors.count) FAIL(SIGNATURE_COUNT, descriptors.count, signatures.count);
    module->functions =
        memory_allocate_zeroed(memory, descriptors.count * sizeof(function_t), PHRASE_MODULE_FUNCTIONS);
    module->function_count = descriptors.count;
    for (uint32_t i = 0; i < descriptors.count; i++) {
        table_t signature = archive_element(archive, &signatures, i);
        load_signature(archive, signature, i, &module->functions[i]);
        load_descriptor(descriptors.data + DESCRIPTOR_BYTES * i, i, bytecode, &module->functions[i]);
    }
}

static void load_rodata_segment(const archive_t *archive, table_t segment, uint32_t index, span_t bytecode,
                                buffer_t *buffer) {
    if (archive_u8(archive, segment, RODATA_COMPRESSION) != 0) FAIL(RODATA_COMPRESSED, index);
    span_t data = archive_span(archive, segment, RODATA_EMBEDDED);
    if (data.data == NULL) {
        uint64_t offset = archive_u64(archive, segment, RODATA_EXTERNAL_OFFSET);
        uint64_t length = archive_u64(archive, segment, RODATA_EXTERNAL_LENGTH);
        uint32_t available = archive->external.length;
        if (offset > available || length > available - offset)
            FAIL(RODATA_RANGE, index, WORDS(length), WORDS(offset), available);
        data = (span_t){.data = archive->external.data + (uint32_t)offset, .length = (uint32_t)length};
    }
    if (data.data < bytecode.data + bytecode.length && bytecode.data < data.data + data.length)
        FAIL(RODATA_OVERLAP, index);
    *buffer = (buffer_t){.object = {.references = 1, .type = OBJECT_BUFFER},
                         .data = (uint8_t *)data.data,
                         .length = data.length,
                         .read_only = CONSTANT_BYTES};
}

static void load_rodata(module_t *module, table_t root, memory_t *memory) {
    const archive_t *archive = &module->archive;
    vector_t segments = archive_vector(archive, root, MODULE_RODATA, 4);
    span_t bytecode = archive_span(archive, root, MODULE_BYTECODE);
    check_limit(segments.count, PHRASE_CONSTANTS);
    module->rodata =
        memory_allocate_zeroed(memory, segments.count * sizeof(buffer_t), PHRASE_MODULE_CONSTANTS);
    module->rodata_count = segments.count;
    for (uint32_t i = 0; i < segments.count; i++) {
        table_t segment = archive_element(archive, &segments, i);
        load_rodata_segment(archive, segment, i, bytecode, &module->rodata[i]);
    }
    if (archive_vector(archive, root, MODULE_RWDATA, 4).count != 0) FAIL(RWDATA);
}

static void load_state(module_t *module, table_t root, memory_t *memory) {
    const archive_t *archive = &module->archive;
    table_t state = archive_table(archive, root, MODULE_STATE);
    uint32_t bytes = archive_u32(archive, state, STATE_GLOBAL_BYTES, 0);
    uint32_t refs = archive_u32(archive, state, STATE_GLOBAL_REFS, 0);
    if (bytes > memory->statistics.capacity || refs > memory->statistics.capacity / sizeof(object_t *))
        FAIL(GLOBALS_SIZE, bytes, refs, (uint32_t)memory->statistics.capacity);
    module->global_bytes = memory_allocate_zeroed(memory, (size_t)bytes + 8, PHRASE_GLOBALS);
    module->global_byte_count = bytes;
    module->global_refs = memory_allocate_zeroed(memory, refs * sizeof(object_t *), PHRASE_GLOBAL_REFERENCES);
    module->global_ref_count = refs;
}

static void check_exports(module_t *module) {
    const archive_t *archive = &module->archive;
    for (uint32_t i = 0; i < module->exports.count; i++) {
        table_t entry = archive_element(archive, &module->exports, i);
        uint32_t ordinal = archive_u32(archive, entry, EXPORT_ORDINAL, 0);
        if (ordinal >= module->function_count) FAIL(EXPORT_FUNCTION, i, ordinal, module->function_count);
    }
}

void module_load(module_t *module, const uint8_t *image, size_t length, memory_t *memory) {
    archive_t *archive = &module->archive;
    table_t root = archive_open(archive, image, length);
    check_version(archive, root);
    load_types(module, root, memory);
    load_imports(module, root, memory);
    load_functions(module, root, memory);
    load_rodata(module, root, memory);
    load_state(module, root, memory);
    module->exports = archive_vector(archive, root, MODULE_EXPORTS, 4);
    check_exports(module);
}

static span_t export_name(module_t *module, uint32_t index, uint32_t *ordinal) {
    table_t entry = archive_element(&module->archive, &module->exports, index);
    *ordinal = archive_u32(&module->archive, entry, EXPORT_ORDINAL, 0);
    return archive_span(&module->archive, entry, EXPORT_NAME);
}

uint32_t module_find_export(module_t *module, const char *name) {
    for (uint32_t i = 0; i < module->exports.count; i++) {
        uint32_t ordinal;
        if (span_equals(export_name(module, i, &ordinal), name)) return ordinal;
    }
    return UINT32_MAX;
}

uint32_t module_find_entry(module_t *module, const char *name) {
    uint32_t ordinal = module_find_export(module, name != NULL ? name : "main");
    if (ordinal != UINT32_MAX) return ordinal;
    if (name != NULL) FAIL_QUOTING(span_of(name), ENTRY_MISSING);
    uint32_t found = 0;
    for (uint32_t i = 0; i < module->exports.count; i++) {
        uint32_t candidate;
        span_t candidate_name = export_name(module, i, &candidate);
        if (span_starts_with(candidate_name, "__")) continue; // __init and its like are not for users
        ordinal = candidate;
        found++;
    }
    if (found != 1) FAIL(ENTRY_UNCLEAR, found);
    return ordinal;
}
