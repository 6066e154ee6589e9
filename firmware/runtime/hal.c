// SPDX-License-Identifier: Apache-2.0
#include "hal.h"

#include "opcodes.h"
#include "platform.h"
#include "transfers.h"

// The only encoding of tensors that the compiler emits for this chip: dense, row-major.
#define ENCODING_DENSE 1

// ---- Operands of a call

static NOINLINE buffer_t *get_buffer(const call_t *call, uint32_t operand) {
    return (buffer_t *)get_object(call, operand, OBJECT_BUFFER);
}

static NOINLINE view_t *get_view(const call_t *call, uint32_t operand) {
    return (view_t *)get_object(call, operand, OBJECT_VIEW);
}

// What follows from it is the same every time only if it is a constant.
static span_t get_text(const call_t *call, uint32_t operand) {
    const buffer_t *buffer = get_buffer(call, operand);
    recording_t *recording = &call->hal->recording;
    if (is_recorded(recording) && buffer->read_only != CONSTANT_BYTES) recording_give_up(recording);
    return (span_t){.data = buffer->data, .length = buffer->length};
}

static void set_i32(call_t *call, uint32_t result, uint32_t value) {
    call->i32[call->results[result]] = value;
}

// ---- hal_inline: buffers

buffer_t *hal_allocate(hal_t *hal, uint64_t length, uint64_t alignment) {
    buffer_t *buffer = buffer_create(hal->memory, length, alignment);
    if (is_recorded(&hal->recording)) recording_fill(&hal->recording, buffer->data, buffer->length, 1, 0);
    return buffer;
}

void hal_fill(hal_t *hal, uint8_t *data, uint32_t count, uint32_t size, uint64_t value) {
    fill_elements(data, count, size, value);
    if (is_recorded(&hal->recording)) recording_fill(&hal->recording, data, count, size, value);
}

void hal_copy(hal_t *hal, uint8_t *target, const buffer_t *from, uint8_t *source, uint32_t bytes) {
    copy_bytes(target, source, bytes);
    if (is_recorded(&hal->recording)) recording_copy(&hal->recording, target, from, source, bytes);
}

// A buffer and its storage are one object, so both results are the same.
static void return_both(call_t *call, buffer_t *buffer) {
    buffer->object.references++;
    call->references[0] = call->references[1] = &buffer->object;
}

static void return_shared(call_t *call, buffer_t *buffer) {
    buffer->object.references++;
    call->references[0] = &buffer->object;
}

static void buffer_allocate(call_t *call) {
    return_both(call, hal_allocate(call->hal, get_i64(call, 1), get_i32(call, 0)));
}

static void buffer_allocate_initialized(call_t *call) {
    uint64_t length = get_i64(call, 3);
    const buffer_t *source = get_buffer(call, 1);
    uint8_t *data = buffer_range(source, get_i64(call, 2), length);
    buffer_t *buffer = hal_allocate(call->hal, length, get_i32(call, 0));
    hal_copy(call->hal, buffer->data, source, data, buffer->length);
    return_both(call, buffer);
}

// buffer.wrap and buffer.subspan.
static void buffer_window(call_t *call) {
    call->references[0] =
        &buffer_subspan(call->hal->memory, get_buffer(call, 0), get_i64(call, 1), get_i64(call, 2))->object;
}

static void buffer_length(call_t *call) {
    set_i64(call, 0, get_buffer(call, 0)->length);
}

static void buffer_storage(call_t *call) {
    return_shared(call, get_buffer(call, 0));
}

// ---- hal_inline: buffer views

// Reads `rank` dimensions from operands at `first`; the tensor must fit the buffer.
static void set_shape(const call_t *call, uint32_t first, uint32_t rank, view_t *view) {
    uint64_t bytes = element_bytes(view->element_type);
    for (uint32_t i = 0; i < rank; i++) {
        uint64_t dim = get_i64(call, first + i);
        if (dim > INT32_MAX) FAIL(TENSOR_DIMENSION, i, WORDS(dim));
        view->dims[i] = (uint32_t)dim;
        bytes *= dim;
        if (bytes > view->buffer->length) FAIL(TENSOR_BYTES, WORDS(bytes), view->buffer->length);
    }
    view->rank = rank;
}

static void buffer_view_create(call_t *call) {
    memory_t *memory = call->hal->memory;
    uint32_t rank = call_operand_count(call) - 5;
    if (rank > MAX_RANK) FAIL(TENSOR_RANK, rank, MAX_RANK);
    if (get_i32(call, 4) != ENCODING_DENSE) FAIL(TENSOR_ENCODING, get_i32(call, 4));
    buffer_t *window = buffer_subspan(memory, get_buffer(call, 0), get_i64(call, 1), get_i64(call, 2));
    call->unfinished = &window->object;
    view_t *view = view_create(memory, window);
    call->unfinished = call->references[0] = &view->object;
    view->element_type = get_i32(call, 3);
    set_shape(call, 5, rank, view);
    call->unfinished = NULL;
}

static _Noreturn void shape_mismatch(const call_t *call, phrase_t what, uint32_t got, uint32_t expected) {
    FAIL_QUOTING(get_text(call, 1), TENSOR_MISMATCH, what, got, expected);
}

static void buffer_view_assert(call_t *call) {
    const view_t *view = get_view(call, 0);
    uint32_t rank = call_operand_count(call) - 4;
    if (view->element_type != get_i32(call, 2))
        shape_mismatch(call, PHRASE_ELEMENT_TYPE, view->element_type, get_i32(call, 2));
    if (get_i32(call, 3) != ENCODING_DENSE)
        shape_mismatch(call, PHRASE_ENCODING, ENCODING_DENSE, get_i32(call, 3));
    if (view->rank != rank) shape_mismatch(call, PHRASE_RANK, view->rank, rank);
    for (uint32_t i = 0; i < rank; i++)
        if (view->dims[i] != get_i64(call, 4 + i))
            shape_mismatch(call, PHRASE_DIMENSION, view->dims[i], (uint32_t)get_i64(call, 4 + i));
}

static void buffer_view_buffer(call_t *call) {
    return_shared(call, get_view(call, 0)->buffer);
}

// ---- hal_loader

#if CHIP_XLEN == 64
#define FAIL_FORMAT() FAIL(KERNELS64_FORMAT)
#else
#define FAIL_FORMAT() FAIL(KERNELS_FORMAT)
#endif

static void executable_query_support(call_t *call) {
    set_i32(call, 0, span_equals(get_text(call, 0), EXECUTABLE_FORMAT));
}

// Makes room for the exports of one more executable.
static void extend_profile(hal_t *hal, executable_t *executable) {
    const library_t *library = &executable->library;
    uint32_t count = hal->dispatch_count + library->export_count;
    dispatch_profile_t *dispatches =
        memory_allocate_zeroed(hal->memory, count * sizeof *dispatches, PHRASE_PROFILE);
    if (hal->dispatch_count != 0)
        platform_copy(dispatches, hal->dispatches, hal->dispatch_count * sizeof *dispatches);
    for (uint32_t i = 0; i < library->export_count; i++)
        dispatches[hal->dispatch_count + i].name = library->exports[i].name;
    memory_free(hal->memory, hal->dispatches);
    executable->first_ordinal = hal->dispatch_count;
    hal->dispatches = dispatches;
    hal->dispatch_count = count;
}

// Constants that are names of the executable's functions learn their ordinals now, so that no inference
// searches.
static void resolve_names(module_t *module, const executable_t *executable) {
    for (uint32_t k = 0; k < executable->library.export_count; k++) {
        const char *text = executable->library.exports[k].name;
        uint32_t length = text_length(text);
        if (length == 0) continue;
        for (uint32_t i = 0; i < module->rodata_count; i++) {
            buffer_t *name = &module->rodata[i];
            // Most names of equal length differ at their ends alone.
            if (name->length != length || name->data[length - 1] != text[length - 1] ||
                name->resolved != NULL || memcmp(name->data, text, length) != 0)
                continue;
            name->resolved = &executable->object;
            name->ordinal = (uint16_t)k;
        }
    }
}

static void executable_load_import(call_t *call) {
    hal_t *hal = call->hal;
    buffer_t *data = get_buffer(call, 1);
    const object_t *constants = call->refs[call->operands[2] & REGISTER_INDEX];
    if (!span_equals(get_text(call, 0), EXECUTABLE_FORMAT)) FAIL_FORMAT();
    if (hal->initialized) FAIL(EXECUTABLE_LATE);
    if (constants != NULL) FAIL(EXECUTABLE_CONSTANTS);
    // Behind the flatbuffer, where no bytecode is. Only once: other constants may share its bytes.
    const span_t *external = &hal->module->archive.external;
    bool last = external->length != 0 && data->data >= external->data && data->read_only == CONSTANT_BYTES &&
                data->data + data->length == external->data + external->length;
    bool in_place = last && hal->arena_follows_image && hal->executables == NULL;
    executable_t *executable = executable_load(hal->memory, data, in_place);
    // The list keeps the kernels until unload: the profile shows their names.
    executable_t **end = &hal->executables;
    while (*end != NULL)
        end = &(*end)->next;
    *end = executable;
    extend_profile(hal, executable);
    resolve_names(hal->module, executable);
    executable->object.references++;
    call->references[0] = &executable->object;
}

// Finds the ordinal of a name that resolve_names() did not meet.
void executable_resolve(call_t *call) {
    object_t *executable = get_object(call, 0, OBJECT_EXECUTABLE);
    buffer_t *name = get_buffer(call, 1);
    name->ordinal = executable_find((const executable_t *)executable, get_text(call, 1));
    name->resolved = name->read_only == CONSTANT_BYTES ? executable : NULL; // other bytes may change
    set_i64(call, 0, name->ordinal);
}

// ---- The table of imports: all that models of static shape need. Others are refused by name at load.

#define IMPORT(name, convention, operands, results, function)                                                \
    {name, convention, sizeof name - 1, operands, results, function}

static const import_t imports[] = {
    IMPORT("hal_loader.executable.dispatch", "0rIiiiCiDCrIID_v", 1, 0, executable_dispatch),
    IMPORT("hal_inline.buffer.allocate", "0iI_rr", 0, 2, buffer_allocate),
    IMPORT("hal_inline.buffer.allocate.initialized", "0irII_rr", 2, 2, buffer_allocate_initialized),
    IMPORT("hal_inline.buffer.wrap", "0rII_r", 1, 1, buffer_window),
    IMPORT("hal_inline.buffer.subspan", "0rII_r", 1, 1, buffer_window),
    IMPORT("hal_inline.buffer.length", "0r_I", 1, 0, buffer_length),
    IMPORT("hal_inline.buffer.storage", "0r_r", 1, 1, buffer_storage),
    IMPORT("hal_inline.buffer_view.create", "0rIIiiCID_r", 1, 1, buffer_view_create),
    IMPORT("hal_inline.buffer_view.assert", "0rriiCID_v", 2, 0, buffer_view_assert),
    IMPORT("hal_inline.buffer_view.buffer", "0r_r", 1, 1, buffer_view_buffer),
    IMPORT("hal_loader.executable.query_support", "0r_i", 1, 0, executable_query_support),
    IMPORT("hal_loader.executable.load", "0rrr_r", 3, 1, executable_load_import),
    IMPORT("hal_loader.executable.lookup.function", "0rr_I", 2, 0, executable_lookup_function),
};

#undef IMPORT

const import_t *hal_find_import(span_t name) {
    for (uint32_t i = 0; i < sizeof imports / sizeof *imports; i++)
        if (imports[i].name_length == name.length && memcmp(imports[i].name, name.data, name.length) == 0)
            return &imports[i];
    return NULL;
}

int hal_module_version(span_t name) {
    if (span_equals(name, "hal_inline")) return 0;
    if (span_equals(name, "hal_loader")) return 1;
    return -1;
}

void hal_initialize(hal_t *hal, memory_t *memory, module_t *module) {
    *hal = (hal_t){.memory = memory, .module = module, .workgroup_budget = UINT32_MAX};
    hal->called.step.step.kind = STEP_DISPATCH;
}

void hal_reset_profile(hal_t *hal) {
    for (uint32_t i = 0; i < hal->dispatch_count; i++) {
        dispatch_profile_t *profile = &hal->dispatches[i];
        profile->calls = profile->workgroups = 0;
        profile->instructions = profile->cycles = 0;
    }
}
