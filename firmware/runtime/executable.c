// SPDX-License-Identifier: Apache-2.0
#include "executable.h"

#include "platform.h"

// ELF32, as in the System V ABI and the RISC-V ELF psABI.
enum {
    ELF_HEADER_BYTES = 52,
    SEGMENT_HEADER_BYTES = 32,
    RELOCATION_BYTES = 12,
    SYMBOL_BYTES = 16,
    TYPE_DYNAMIC = 3,
    MACHINE_RISCV = 243,
    FLAG_COMPRESSED = 1,
    FLAG_FLOAT_ABI = 6,
    FLOAT_ABI_SINGLE = 2,
    FLAG_E_REGISTERS = 8,
    SEGMENT_LOAD = 1,
    SEGMENT_DYNAMIC = 2,
    SEGMENT_TLS = 7,
    SEGMENT_RISCV_ATTRIBUTES = 0x70000003,
    SEGMENT_EXECUTABLE = 1,
    RELOCATION_RELATIVE = 3,
    PAGE_BYTES = 4096,
};

typedef struct {
    uint32_t type, offset, address, file_bytes, memory_bytes, flags, alignment;
} segment_t;

typedef struct {
    span_t file;
    uint32_t segment_offset;
    uint32_t segment_count;
    uint32_t dynamic; // range of the dynamic section in the image
    uint32_t dynamic_bytes;
    span_t attributes;
} elf_t;

// What the dynamic section tells.
typedef struct {
    uint32_t rela, rela_bytes, symbols, strings, string_bytes, hash;
} dynamic_t;

static status_t open_elf(elf_t *elf, span_t file) {
    static const uint8_t magic[7] = {0x7f, 'E', 'L', 'F', 1 /* 32 bits */, 1 /* little endian */, 1};
    *elf = (elf_t){.file = file};
    if (file.length < ELF_HEADER_BYTES || memcmp(file.data, magic, sizeof magic) != 0)
        return FAIL(ELF_MAGIC, file.length);
    uint32_t type = read_u16(file.data + 16), machine = read_u16(file.data + 18),
             flags = read_u32(file.data + 36);
    if (type != TYPE_DYNAMIC || machine != MACHINE_RISCV)
        return FAIL(ELF_TYPE, type, machine, TYPE_DYNAMIC, MACHINE_RISCV);
    if ((flags & (FLAG_COMPRESSED | FLAG_FLOAT_ABI | FLAG_E_REGISTERS)) != FLOAT_ABI_SINGLE)
        return FAIL(ELF_FLAGS, flags);
    elf->segment_offset = read_u32(file.data + 28);
    elf->segment_count = read_u16(file.data + 44);
    if (read_u16(file.data + 42) != SEGMENT_HEADER_BYTES || elf->segment_offset > file.length ||
        elf->segment_count > (file.length - elf->segment_offset) / SEGMENT_HEADER_BYTES)
        return FAIL(SEGMENT_TABLE, elf->segment_count, elf->segment_offset, file.length);
    return STATUS_OK;
}

static segment_t segment_at(const elf_t *elf, uint32_t index) {
    const uint8_t *header = elf->file.data + elf->segment_offset + SEGMENT_HEADER_BYTES * index;
    return (segment_t){.type = read_u32(header),
                       .offset = read_u32(header + 4),
                       .address = read_u32(header + 8),
                       .file_bytes = read_u32(header + 16),
                       .memory_bytes = read_u32(header + 20),
                       .flags = read_u32(header + 24),
                       .alignment = read_u32(header + 28)};
}

static NOINLINE bool inside(uint32_t offset, uint32_t bytes, uint32_t limit) {
    return offset <= limit && bytes <= limit - offset;
}

// Adds a segment to the image's extent. Segments ascend and do not overlap, so none can overwrite another.
static status_t measure_load(const segment_t *segment, uint32_t index, image_t *image) {
    uint32_t end;
    if (segment->file_bytes > segment->memory_bytes || segment->address < image->size ||
        __builtin_add_overflow(segment->address, segment->memory_bytes, &end) || end > INT32_MAX)
        return FAIL(SEGMENT_ORDER, index, segment->file_bytes, segment->memory_bytes, segment->address,
                    image->size);
    if (segment->alignment > PAGE_BYTES || (segment->alignment & (segment->alignment - 1)) != 0)
        return FAIL(SEGMENT_ALIGNMENT, index, segment->alignment, PAGE_BYTES);
    if ((segment->flags & SEGMENT_EXECUTABLE) != 0) {
        if (image->code_end == 0) image->code_begin = segment->address;
        image->code_end = end;
    }
    image->size = end;
    return STATUS_OK;
}

// Checks all segments; sets the image's size and code range, and where the dynamic section and the attributes
// are.
static status_t measure(elf_t *elf, image_t *image) {
    for (uint32_t i = 0; i < elf->segment_count; i++) {
        segment_t segment = segment_at(elf, i);
        if (!inside(segment.offset, segment.file_bytes, elf->file.length))
            return FAIL(SEGMENT_FILE, i, segment.file_bytes, segment.offset, elf->file.length);
        if (segment.type == SEGMENT_LOAD) RETURN_IF_ERROR(measure_load(&segment, i, image));
        if (segment.type == SEGMENT_TLS) return FAIL(SEGMENT_TLS, i);
        if (segment.type == SEGMENT_DYNAMIC) {
            elf->dynamic = segment.address;
            elf->dynamic_bytes = segment.memory_bytes;
        }
        if (segment.type == SEGMENT_RISCV_ATTRIBUTES)
            elf->attributes = (span_t){.data = elf->file.data + segment.offset, .length = segment.file_bytes};
    }
    if (image->code_end == 0) return FAIL(SEGMENT_CODE);
    if (elf->dynamic_bytes == 0 || elf->dynamic % 4 != 0 ||
        !inside(elf->dynamic, elf->dynamic_bytes, image->size))
        return FAIL(DYNAMIC_SECTION, elf->dynamic_bytes, elf->dynamic, image->size);
    return STATUS_OK;
}

// ---- The instructions that the kernels may use, from the RISC-V attributes

// Reads an unsigned LEB128 number.
static bool take_uleb(span_t *span, uint32_t *value) {
    *value = 0;
    for (uint32_t shift = 0; span->length != 0 && shift < 32; shift += 7) {
        uint8_t byte = *span->data++;
        span->length--;
        *value |= (uint32_t)(byte & 0x7f) << shift;
        if (byte < 0x80) return true;
    }
    return false;
}

static bool skip(span_t *span, uint32_t bytes) {
    if (bytes > span->length) return false;
    span->data += bytes;
    span->length -= bytes;
    return true;
}

// A zero-terminated string, without its end.
static bool take_text(span_t *span, span_t *text) {
    *text = (span_t){.data = span->data};
    while (text->length < span->length && span->data[text->length] != 0)
        text->length++;
    return skip(span, text->length + 1);
}

// The string of Tag_RISCV_arch (5): 'A', u32 length, "riscv", 1 (file), u32 length, then (tag, value) pairs;
// odd tags have text values, even ones numbers.
static bool find_arch(span_t attributes, span_t *arch) {
    span_t vendor;
    if (!skip(&attributes, 5) || !take_text(&attributes, &vendor) || !span_equals(vendor, "riscv"))
        return false;
    if (attributes.length < 5 || attributes.data[0] != 1) return false;
    skip(&attributes, 5);
    uint32_t tag, number;
    while (take_uleb(&attributes, &tag)) {
        if (tag % 2 != 0 ? !take_text(&attributes, arch) : !take_uleb(&attributes, &number)) return false;
        if (tag == 5) return true;
    }
    return false;
}

static bool is_digit(uint8_t c) {
    return c >= '0' && c <= '9';
}

// "zvl512b" is 512; 0 for other extensions.
static uint32_t vector_length(span_t extension) {
    uint32_t bits = 0;
    if (extension.length < 5 || memcmp(extension.data, "zvl", 3) != 0) return 0;
    for (uint32_t i = 3; i < extension.length && is_digit(extension.data[i]) && bits < 100000; i++)
        bits = 10 * bits + (extension.data[i] - '0');
    return bits;
}

// Cuts the version off: "zve32f1p0" becomes "zve32f".
static span_t without_version(span_t extension) {
    uint32_t end = extension.length;
    while (end > 0 && is_digit(extension.data[end - 1]))
        end--;
    if (end > 1 && end < extension.length && extension.data[end - 1] == 'p' &&
        is_digit(extension.data[end - 2])) {
        end--;
        while (end > 0 && is_digit(extension.data[end - 1]))
            end--;
    }
    if (end > 0) extension.length = end;
    return extension;
}

static bool one_of(span_t name, const char *const *names) {
    for (; *names != NULL; names++)
        if (span_equals(name, *names)) return true;
    return false;
}

static status_t check_vectors(uint32_t built_for) {
    uint32_t vlen = platform_vlen_bits();
    if (vlen == 0) return FAIL(KERNELS_VECTOR, built_for);
    if (built_for != vlen) return FAIL(KERNELS_VLEN, built_for, vlen, vlen);
    return STATUS_OK;
}

// "rv32i2p1_m2p0_f2p2_…_zvl512b1p0": only extensions that the chip has, and exactly its vector length,
// because code for a shorter or longer one may compute nonsense without a trap.
static status_t check_arch(span_t attributes) {
    static const char *const scalar[] = {"rv32i", "m", "f", "zicsr", "zifencei", "zmmul", NULL};
    static const char *const vector[] = {"zve32f", "zve32x", NULL};
    span_t arch;
    if (!find_arch(attributes, &arch)) return FAIL(KERNELS_ARCH);
    bool vectors = false;
    uint32_t built_for = 0;
    while (arch.length != 0) {
        span_t extension = {.data = arch.data};
        while (extension.length < arch.length && arch.data[extension.length] != '_')
            extension.length++;
        skip(&arch, extension.length + (extension.length < arch.length ? 1 : 0));
        uint32_t bits = vector_length(extension);
        if (bits > built_for) built_for = bits;
        extension = without_version(extension);
        if (one_of(extension, vector))
            vectors = true;
        else if (bits == 0 && !one_of(extension, scalar))
            return status_quote(FAIL(KERNELS_EXTENSION), extension);
    }
    return vectors ? check_vectors(built_for) : STATUS_OK;
}

// ---- Loading and linking

// Copies the segments; what no segment fills is zero.
static void place(const elf_t *elf, const image_t *image) {
    uint32_t filled = 0;
    for (uint32_t i = 0; i < elf->segment_count; i++) {
        segment_t segment = segment_at(elf, i);
        if (segment.type != SEGMENT_LOAD) continue;
        platform_fill(image->data + filled, 0, segment.address - filled);
        platform_copy(image->data + segment.address, elf->file.data + segment.offset, segment.file_bytes);
        filled = segment.address + segment.file_bytes;
    }
    platform_fill(image->data + filled, 0, image->size - filled);
}

static status_t read_dynamic(const elf_t *elf, const image_t *image, dynamic_t *dynamic) {
    *dynamic = (dynamic_t){0};
    for (uint32_t i = 0; i < elf->dynamic_bytes / 8; i++) {
        const uint8_t *entry = image->data + elf->dynamic + 8 * i;
        uint32_t tag = read_u32(entry), value = read_u32(entry + 4);
        switch (tag) {
        case 0: return STATUS_OK;
        case 4: dynamic->hash = value; break;
        case 5: dynamic->strings = value; break;
        case 6: dynamic->symbols = value; break;
        case 7: dynamic->rela = value; break;
        case 8: dynamic->rela_bytes = value; break;
        case 10: dynamic->string_bytes = value; break;
        case 1:
        case 12:
        case 17:
        case 23:
        case 25:
        case 36: // needed, init, REL, PLT, init_array, RELR
            return FAIL(DYNAMIC_TAG, tag);
        default: break;
        }
    }
    return STATUS_OK;
}

static status_t relocate(const image_t *image, const dynamic_t *dynamic) {
    if (!inside(dynamic->rela, dynamic->rela_bytes, image->size))
        return FAIL(RELOCATION_TABLE, dynamic->rela_bytes, dynamic->rela, image->size);
    for (uint32_t i = 0; i < dynamic->rela_bytes / RELOCATION_BYTES; i++) {
        const uint8_t *relocation = image->data + dynamic->rela + RELOCATION_BYTES * i;
        uint32_t offset = read_u32(relocation), info = read_u32(relocation + 4),
                 addend = read_u32(relocation + 8);
        if (info != RELOCATION_RELATIVE) return FAIL(RELOCATION_TYPE, i, info & 0xff, RELOCATION_RELATIVE);
        if (offset % 4 != 0 || !inside(offset, 4, image->size) || addend > image->size)
            return FAIL(RELOCATION_RANGE, i, addend, offset, image->size);
        *(uint32_t *)(image->data + offset) = image->address + addend;
    }
    return STATUS_OK;
}

// Address of the one function that the kernels export. Undefined symbols are refused.
static status_t find_query(const image_t *image, const dynamic_t *dynamic, uint32_t *address) {
    static const char name[] = "iree_hal_executable_library_query";
    uint32_t count = 0;
    if (dynamic->hash != 0 && inside(dynamic->hash, 8, image->size))
        count = read_u32(image->data + dynamic->hash + 4);
    if (!inside(dynamic->symbols, 0, image->size) ||
        count > (image->size - dynamic->symbols) / SYMBOL_BYTES ||
        !inside(dynamic->strings, dynamic->string_bytes, image->size))
        return FAIL(SYMBOL_TABLE, count, dynamic->string_bytes);
    for (uint32_t i = 1; i < count; i++) {
        const uint8_t *symbol = image->data + dynamic->symbols + SYMBOL_BYTES * i;
        uint32_t name_offset = read_u32(symbol), value = read_u32(symbol + 4);
        if (read_u16(symbol + 14) == 0) return FAIL(SYMBOL_UNDEFINED, i);
        if (!inside(name_offset, sizeof name, dynamic->string_bytes)) continue;
        if (memcmp(image->data + dynamic->strings + name_offset, name, sizeof name) != 0) continue;
        if (value % 4 != 0 || value < image->code_begin || value >= image->code_end)
            return FAIL(QUERY_ADDRESS, value);
        *address = image->address + value;
        return STATUS_OK;
    }
    return FAIL(QUERY_MISSING);
}

static status_t read_library(memory_t *memory, const elf_t *elf, library_t *library) {
    image_t *image = &library->image;
    dynamic_t dynamic;
    uint32_t query, address;
    place(elf, image);
    RETURN_IF_ERROR(read_dynamic(elf, image, &dynamic));
    RETURN_IF_ERROR(relocate(image, &dynamic));
    RETURN_IF_ERROR(find_query(image, &dynamic, &query));
    platform_code_barrier();
    RETURN_IF_ERROR(library_query(image, query, &address));
    RETURN_IF_ERROR(library_read(library, address));
    void *block = memory_allocate_zeroed(memory, library->export_count * sizeof(export_t), PHRASE_EXPORTS);
    if (block == NULL) return STATUS_OUT_OF_MEMORY;
    library->exports = block;
    RETURN_IF_ERROR(library_read(library, address));
    uint32_t pages = 0;
    for (uint32_t i = 0; i < library->export_count; i++)
        if (library->exports[i].local_memory_pages > pages) pages = library->exports[i].local_memory_pages;
    if (pages == 0) return STATUS_OK;
    block = memory_allocate_zeroed(memory, pages * PAGE_BYTES, PHRASE_LOCAL_MEMORY);
    if (block == NULL) return STATUS_OUT_OF_MEMORY;
    library->local_memory = block;
    library->local_memory_bytes = pages * PAGE_BYTES;
    return STATUS_OK;
}

status_t executable_load(memory_t *memory, span_t data, executable_t **result) {
    elf_t elf;
    image_t image = {0};
    RETURN_IF_ERROR(open_elf(&elf, data));
    RETURN_IF_ERROR(measure(&elf, &image));
    RETURN_IF_ERROR(check_arch(elf.attributes));
    void *block = memory_allocate(memory, image.size, PAGE_BYTES, PHRASE_IMAGE);
    if (block == NULL) return STATUS_OUT_OF_MEMORY;
    image.data = block;
    image.address = library_address(block);
    status_t status = STATUS_OUT_OF_MEMORY;
    executable_t *executable = memory_allocate_zeroed(memory, sizeof(executable_t), PHRASE_EXECUTABLE);
    if (executable != NULL) {
        executable->object = (object_t){.references = 1, .type = OBJECT_EXECUTABLE};
        executable->library.image = image;
        status = read_library(memory, &elf, &executable->library);
    }
    if (status != STATUS_OK) {
        if (executable != NULL) memory_free(memory, executable->library.exports);
        memory_free(memory, executable);
        memory_free(memory, image.data);
        return status;
    }
    *result = executable;
    return STATUS_OK;
}

status_t executable_find(const executable_t *executable, span_t name, uint16_t *ordinal) {
    for (uint32_t i = 0; i < executable->library.export_count; i++) {
        if (!span_equals(name, executable->library.exports[i].name)) continue;
        *ordinal = (uint16_t)i;
        return STATUS_OK;
    }
    return status_quote(FAIL(EXPORT_NAME), name);
}
