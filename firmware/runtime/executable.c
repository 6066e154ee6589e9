// SPDX-License-Identifier: Apache-2.0
#include "executable.h"

#include "platform.h"

// ELF of the core's class, as in the System V ABI and the RISC-V ELF psABI. Little endian, as the chip and
// every host of it.
typedef struct {
    uint8_t identity[16];
    uint16_t type, machine;
    uint32_t version;
    word_t entry, segments, sections;
    uint32_t flags;
    uint16_t header_bytes, segment_bytes, segment_count, section_bytes, section_count, section_names;
} elf_header_t;

#if CHIP_XLEN == 64

typedef struct {
    uint32_t type, flags;
    uint64_t offset, address, physical_address, file_bytes, memory_bytes, alignment;
} segment_t;

typedef struct {
    uint32_t name;
    uint8_t info, other;
    uint16_t section;
    uint64_t value, bytes;
} symbol_t;

_Static_assert(sizeof(elf_header_t) == 64 && sizeof(segment_t) == 56 && sizeof(symbol_t) == 24, "ELF64");

#else

typedef struct {
    uint32_t type, offset, address, physical_address, file_bytes, memory_bytes, flags, alignment;
} segment_t;

typedef struct {
    uint32_t name, value, bytes;
    uint8_t info, other;
    uint16_t section;
} symbol_t;

_Static_assert(sizeof(elf_header_t) == 52 && sizeof(segment_t) == 32 && sizeof(symbol_t) == 16, "ELF32");

#endif

typedef struct {
    word_t tag, value;
} dynamic_entry_t;

typedef struct {
    word_t offset, info, addend;
} relocation_t;

enum {
    TYPE_DYNAMIC = 3,
    MACHINE_RISCV = 243,
    FLAG_COMPRESSED = 1,
    FLAG_FLOAT_ABI = 6,
    FLAG_E_REGISTERS = 8,
    FLAGS_CHECKED = (KERNEL_CODE_ALIGNMENT == 2 ? 0 : FLAG_COMPRESSED) | FLAG_FLOAT_ABI | FLAG_E_REGISTERS,
    SEGMENT_LOAD = 1,
    SEGMENT_DYNAMIC = 2,
    SEGMENT_TLS = 7,
    SEGMENT_RISCV_ATTRIBUTES = 0x70000003,
    SEGMENT_EXECUTABLE = 1,
    RELOCATION_RELATIVE = 3,
    CLASS = CHIP_XLEN / 32,
    PAGE_BYTES = 4096,
    MAX_LOADS = 8,
};

#if CHIP_XLEN == 64
#define FAIL_CLASS(bytes) FAIL(ELF64_MAGIC, bytes)
#else
#define FAIL_CLASS(bytes) FAIL(ELF_MAGIC, bytes)
#endif
#if CHIP_XLEN == 32 && CHIP_FLOAT_ABI == 2 && KERNEL_CODE_ALIGNMENT == 4
#define FAIL_FLAGS(flags) FAIL(ELF_FLAGS, flags)
#else
#define FAIL_FLAGS(flags) FAIL_QUOTING(span_of(CHIP_ABI), ELF_ABI, flags)
#endif

// Tags of the dynamic section.
enum { HASH = 4, STRINGS = 5, SYMBOLS = 6, RELA = 7, RELA_BYTES = 8, STRING_BYTES = 10, TAGS = 11 };

typedef struct {
    span_t file;
    segment_t loads[MAX_LOADS]; // in ascending order, none over another
    uint32_t load_count;
    word_t dynamic; // range of the dynamic section in the image
    word_t dynamic_bytes;
    span_t attributes;
} elf_t;

static NOINLINE bool inside(word_t offset, word_t bytes, word_t limit) {
    return offset <= limit && bytes <= limit - offset;
}

static void read_header(span_t file, elf_header_t *header) {
    static const uint8_t magic[7] = {0x7f, 'E', 'L', 'F', CLASS, 1 /* little endian */, 1};
    if (file.length < sizeof *header || memcmp(file.data, magic, sizeof magic) != 0) FAIL_CLASS(file.length);
    memcpy(header, file.data, sizeof *header);
    if (header->type != TYPE_DYNAMIC || header->machine != MACHINE_RISCV)
        FAIL(ELF_TYPE, header->type, header->machine);
    if ((header->flags & FLAGS_CHECKED) != CHIP_FLOAT_ABI) FAIL_FLAGS(header->flags);
    if (header->segment_bytes != sizeof(segment_t) ||
        !inside(header->segments, header->segment_count * (uint32_t)sizeof(segment_t), file.length))
        FAIL(SEGMENT_TABLE, header->segment_count, (uint32_t)header->segments, file.length);
}

// Adds a segment to the image's extent. Segments ascend and do not overlap, so none can overwrite another.
static void add_load(elf_t *elf, const segment_t *segment, uint32_t index, image_t *image) {
    word_t end;
    if (segment->file_bytes > segment->memory_bytes || segment->address < image->size ||
        __builtin_add_overflow(segment->address, segment->memory_bytes, &end) || end > INT32_MAX ||
        elf->load_count == MAX_LOADS)
        FAIL(SEGMENT_ORDER, index, (uint32_t)segment->file_bytes, (uint32_t)segment->memory_bytes,
             (uint32_t)segment->address, image->size);
    if (segment->alignment > PAGE_BYTES || (segment->alignment & (segment->alignment - 1)) != 0)
        FAIL(SEGMENT_ALIGNMENT, index, (uint32_t)segment->alignment);
    if ((segment->flags & SEGMENT_EXECUTABLE) != 0) {
        if (image->code_end == 0) image->code_begin = (uint32_t)segment->address;
        image->code_end = (uint32_t)end;
    }
    image->size = (uint32_t)end;
    elf->loads[elf->load_count++] = *segment;
}

// Checks all segments; sets the image's size and code range, and where the dynamic section and the attributes
// are.
static void measure(elf_t *elf, image_t *image) {
    elf_header_t header;
    segment_t segment;
    read_header(elf->file, &header);
    for (uint32_t i = 0; i < header.segment_count; i++) {
        memcpy(&segment, elf->file.data + header.segments + i * sizeof segment, sizeof segment);
        if (!inside(segment.offset, segment.file_bytes, elf->file.length))
            FAIL(SEGMENT_FILE, i, (uint32_t)segment.file_bytes, (uint32_t)segment.offset, elf->file.length);
        if (segment.type == SEGMENT_LOAD) add_load(elf, &segment, i, image);
        if (segment.type == SEGMENT_TLS) FAIL(SEGMENT_TLS, i);
        if (segment.type == SEGMENT_DYNAMIC) {
            elf->dynamic = segment.address;
            elf->dynamic_bytes = segment.memory_bytes;
        }
        if (segment.type == SEGMENT_RISCV_ATTRIBUTES)
            elf->attributes =
                (span_t){.data = elf->file.data + segment.offset, .length = (uint32_t)segment.file_bytes};
    }
    if (image->code_end == 0) FAIL(SEGMENT_CODE);
    if (elf->dynamic_bytes == 0 || elf->dynamic % sizeof(word_t) != 0 ||
        !inside(elf->dynamic, elf->dynamic_bytes, image->size))
        FAIL(DYNAMIC_SECTION, (uint32_t)elf->dynamic_bytes, (uint32_t)elf->dynamic, image->size);
}

// ---- The instructions that the kernels may use, from the RISC-V attributes

// The next extension of a list such as "rv32i2p1_m2p0_zvl512b1p0", without its version; length 0 at its end.
static span_t take_extension(span_t *list) {
    span_t name = *list;
    uint32_t end = 0;
    while (end < list->length && list->data[end] != '_' && list->data[end] != 0)
        end++;
    name.length = end;
    end += end < list->length && list->data[end] == '_';
    list->data += end;
    list->length -= end;
    return name;
}

static bool ends_in_digit(span_t text) {
    return text.length != 0 && text.data[text.length - 1] >= '0' && text.data[text.length - 1] <= '9';
}

// Cuts the version off: "zve32f1p0" becomes "zve32f".
static void cut_version(span_t *name) {
    while (ends_in_digit(*name))
        name->length--;
    if (name->length == 0 || name->data[name->length - 1] != 'p') return;
    span_t rest = {.data = name->data, .length = name->length - 1};
    if (!ends_in_digit(rest)) return; // a name that ends in p
    while (ends_in_digit(rest))
        rest.length--;
    *name = rest;
}

// "zvl512b" is 512; 0 for other extensions.
static uint32_t vector_length(span_t name) {
    uint32_t bits = 0;
    if (name.length < 5 || name.length > 8 || memcmp(name.data, "zvl", 3) != 0) return 0;
    for (uint32_t i = 3; i + 1 < name.length; i++)
        bits = 10 * bits + (name.data[i] - '0');
    return bits;
}

// Only extensions that the chip has, and exactly its vector length, because code for a shorter or longer one
// may compute nonsense without a trap. The attributes' one text that begins like this is the list of them.
static void check_arch(span_t list) {
    static const char *const known[] = {CHIP_EXTENSIONS}; // vectors first
    uint32_t vlen = platform_vlen_bits(), built_for = 0;
    bool vectors = false;
    while (list.length >= 4 && memcmp(list.data, KERNEL_BASE, 4) != 0) {
        list.data++;
        list.length--;
    }
    if (list.length < 4) FAIL(KERNELS_ARCH);
    for (span_t name = take_extension(&list); name.length != 0; name = take_extension(&list)) {
        cut_version(&name);
        uint32_t bits = vector_length(name), i = 0;
        if (bits > built_for) built_for = bits;
        if (bits != 0) continue;
        while (i < sizeof known / sizeof *known && !span_equals(name, known[i]))
            i++;
        if (i == sizeof known / sizeof *known) FAIL_QUOTING(name, KERNELS_EXTENSION);
        vectors |= i < CHIP_VECTOR_EXTENSIONS;
    }
    if (!vectors || built_for == vlen) return;
    if (vlen == 0) FAIL(KERNELS_VECTOR, built_for);
    FAIL(KERNELS_VLEN, built_for, vlen, vlen);
}

// ---- Loading and linking

// To a place at the same address or behind; the ranges may overlap.
static void move_up(uint8_t *to, const uint8_t *from, uint32_t bytes) {
    size_t step = (size_t)(to - from);
    while (step != 0 && bytes > 0) {
        uint32_t count = bytes < step ? bytes : (uint32_t)step;
        bytes -= count;
        platform_copy(to + bytes, from + bytes, count);
    }
}

// Brings the segments to their places, from the last on, so that the image may begin where the file does.
// What no segment fills is zero.
static void place(const elf_t *elf, const image_t *image, bool in_place) {
    uint32_t end = image->size;
    for (uint32_t i = elf->load_count; i-- > 0;) {
        const segment_t *segment = &elf->loads[i];
        uint8_t *to = image->data + segment->address;
        const uint8_t *from = elf->file.data + segment->offset;
        if (in_place)
            move_up(to, from, (uint32_t)segment->file_bytes);
        else
            platform_copy(to, from, segment->file_bytes);
        uint32_t filled = (uint32_t)(segment->address + segment->file_bytes);
        platform_fill(image->data + filled, 0, end - filled);
        end = (uint32_t)segment->address;
    }
    if (!in_place) platform_fill(image->data, 0, end);
}

static void read_dynamic(const elf_t *elf, const image_t *image, word_t *values) {
    const dynamic_entry_t *entry = (const dynamic_entry_t *)(const void *)(image->data + elf->dynamic);
    // Needed, init, REL, PLT, init_array, and RELR, which is 36.
    const uint32_t unsupported = 1u << 1 | 1u << 12 | 1u << 17 | 1u << 23 | 1u << 25;
    for (uint32_t i = 0; i < elf->dynamic_bytes / sizeof *entry && entry->tag != 0; i++, entry++) {
        if (entry->tag == 36 || (entry->tag < 32 && (unsupported >> entry->tag & 1) != 0))
            FAIL(DYNAMIC_TAG, (uint32_t)entry->tag);
        if (entry->tag < TAGS) values[entry->tag] = entry->value;
    }
}

static void relocate(const image_t *image, const word_t *dynamic) {
    if (dynamic[RELA] % sizeof(word_t) != 0 || !inside(dynamic[RELA], dynamic[RELA_BYTES], image->size))
        FAIL(RELOCATION_TABLE, (uint32_t)dynamic[RELA_BYTES], (uint32_t)dynamic[RELA], image->size);
    const relocation_t *relocation = (const relocation_t *)(const void *)(image->data + dynamic[RELA]);
    for (uint32_t i = 0; i < dynamic[RELA_BYTES] / sizeof *relocation; i++, relocation++) {
        if (relocation->info != RELOCATION_RELATIVE)
            FAIL(RELOCATION_TYPE, i, (uint32_t)relocation->info & 0xff);
        word_t offset = relocation->offset;
        if (offset % sizeof(word_t) != 0 || offset > image->size - sizeof(word_t) ||
            relocation->addend > image->size)
            FAIL(RELOCATION_RANGE, i, (uint32_t)relocation->addend, (uint32_t)offset, image->size);
        *(word_t *)(void *)(image->data + offset) = image->address + relocation->addend;
    }
}

// Address of the one function that the kernels export. Undefined symbols are refused.
static word_t find_query(const image_t *image, const word_t *dynamic) {
    static const char name[] = "iree_hal_executable_library_query";
    uint32_t count = 0;
    if (dynamic[HASH] % 4 == 0 && inside(dynamic[HASH], 8, image->size))
        count = ((const uint32_t *)(const void *)(image->data + dynamic[HASH]))[1];
    if (dynamic[SYMBOLS] % sizeof(word_t) != 0 || dynamic[SYMBOLS] > image->size ||
        count > (image->size - dynamic[SYMBOLS]) / sizeof(symbol_t) ||
        !inside(dynamic[STRINGS], dynamic[STRING_BYTES], image->size))
        FAIL(SYMBOL_TABLE, count, (uint32_t)dynamic[STRING_BYTES]);
    const symbol_t *symbol = (const symbol_t *)(const void *)(image->data + dynamic[SYMBOLS]);
    for (uint32_t i = 1; i < count; i++) {
        symbol++;
        if (symbol->section == 0) FAIL(SYMBOL_UNDEFINED, i);
        if (!inside(symbol->name, sizeof name, dynamic[STRING_BYTES]) ||
            memcmp(image->data + dynamic[STRINGS] + symbol->name, name, sizeof name) != 0)
            continue;
        if (symbol->value % KERNEL_CODE_ALIGNMENT != 0 || symbol->value < image->code_begin ||
            symbol->value >= image->code_end)
            FAIL(QUERY_ADDRESS, (uint32_t)symbol->value);
        return image->address + symbol->value;
    }
    FAIL(QUERY_MISSING);
}

// Returns the address of the library's query function.
static word_t link(const elf_t *elf, const image_t *image) {
    word_t dynamic[TAGS] = {0};
    read_dynamic(elf, image, dynamic);
    relocate(image, dynamic);
    word_t query = find_query(image, dynamic);
    platform_code_barrier();
    return query;
}

static void read_library(memory_t *memory, library_t *library, word_t query) {
    word_t address = library_query(&library->image, query);
    uint32_t pages = 0;
    library_open(library, address);
    library->exports =
        memory_allocate_zeroed(memory, library->export_count * sizeof(export_t), PHRASE_EXPORTS);
    library_read(library, address);
    for (uint32_t i = 0; i < library->export_count; i++)
        if (library->exports[i].local_memory_pages > pages) pages = library->exports[i].local_memory_pages;
    if (pages == 0) return;
    library->local_memory_bytes = pages * PAGE_BYTES;
    library->local_memory = buffer_create(memory, library->local_memory_bytes, 0)->data;
}

// Whether the image can be where the file is: no segment moves down, and what the image is longer by comes
// from the arena, which begins right behind the file.
static bool claim_in_place(memory_t *memory, const elf_t *elf, const image_t *image) {
    for (uint32_t i = 0; i < elf->load_count; i++)
        if (elf->loads[i].address < elf->loads[i].offset) return false;
    if (elf->loads[0].address != elf->loads[0].offset || (uintptr_t)elf->file.data % MEMORY_ALIGNMENT != 0)
        return false;
    return memory_take_front(memory, elf->file.data + image->size);
}

#if CHIP_KERNELS_APART

// Where the image will lie for good: in the kernels' own memory, behind those of this module so far.
static uint8_t *find_home(memory_t *memory, const image_t *image) {
    size_t capacity, taken = memory->kernel_bytes;
    uint8_t *kernels = platform_kernels(&capacity);
    uint32_t room = (uint32_t)(capacity - taken);
    if (image->size > room) FAIL(MEMORY, PHRASE_IMAGE, image->size, room, (uint32_t)capacity, room);
    memory->kernel_bytes += ((size_t)image->size + MEMORY_ALIGNMENT - 1) & ~(size_t)(MEMORY_ALIGNMENT - 1);
    if (memory->kernel_bytes > capacity) memory->kernel_bytes = capacity;
    return kernels + taken;
}

// Brings the linked image home from where it was made, and gives that up.
static void move_home(memory_t *memory, executable_t *executable, uint8_t *home) {
    image_t *image = &executable->library.image;
    platform_place_code(home, image->data, image->size);
    platform_code_barrier();
    memory_free(memory, executable->block);
    executable->block = NULL;
    image->data = home;
}

#endif

static void load(memory_t *memory, buffer_t *file, bool in_place, executable_t *executable) {
    elf_t elf = {.file = {.data = file->data, .length = file->length}};
    image_t *image = &executable->library.image;
    measure(&elf, image);
    check_arch(elf.attributes);
    in_place = in_place && claim_in_place(memory, &elf, image);
    if (in_place)
        file->length = 0; // it is no ELF any more
    else
        executable->block = memory_allocate(memory, image->size, PHRASE_IMAGE);
    image->data = in_place ? file->data : executable->block;
#if CHIP_KERNELS_APART
    uint8_t *home = find_home(memory, image);
    image->address = library_address(home);
#else
    image->address = library_address(image->data);
#endif
    place(&elf, image, in_place);
    word_t query = link(&elf, image);
#if CHIP_KERNELS_APART
    move_home(memory, executable, home);
#endif
    read_library(memory, &executable->library, query);
}

executable_t *executable_load(memory_t *memory, buffer_t *file, bool in_place) {
    executable_t *executable = memory_allocate_zeroed(memory, sizeof *executable, PHRASE_EXECUTABLE);
    executable->object = (object_t){.references = 1, .type = OBJECT_EXECUTABLE};
    load(memory, file, in_place, executable);
    return executable;
}

uint16_t executable_find(const executable_t *executable, span_t name) {
    for (uint32_t i = 0; i < executable->library.export_count; i++)
        if (span_equals(name, executable->library.exports[i].name)) return (uint16_t)i;
    FAIL_QUOTING(name, EXPORT_NAME);
}
