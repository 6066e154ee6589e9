// SPDX-License-Identifier: Apache-2.0
#include "runtime.h"

#include "platform.h"
#include "verifier.h"

// ---- Load

// Branches and calls of a rehearsal.
#define REHEARSAL_BUDGET 1000

static bool is_references(span_t kinds, uint32_t count) {
    for (uint32_t i = 0; i < kinds.length; i++)
        if (kinds.data[i] != 'r') return false;
    return kinds.length == count;
}

static void load_signature(runtime_t *runtime) {
    const function_t *function = &runtime->module.functions[runtime->entry];
    signature_t *signature = &runtime->signature;
    signature_parse(function->declaration, signature);
    if (!is_references(function->arguments, signature->input_count) ||
        !is_references(function->results, signature->output_count))
        FAIL(DECLARED_COUNTS, signature->input_count, signature->output_count, function->arguments.length,
             function->results.length);
}

// Inputs are used where the caller has them, if they lie on the heap's alignment there; others have memory of
// their own, into which each inference copies them.
static void create_inputs(runtime_t *runtime) {
    uint32_t offset = 0;
    for (uint32_t i = 0; i < runtime->signature.input_count; i++) {
        const tensor_t *tensor = &runtime->signature.inputs[i];
        bool in_place = offset % MEMORY_ALIGNMENT == 0;
        buffer_t *buffer = buffer_create(&runtime->memory, in_place ? 0 : tensor->bytes, 0);
        if (in_place) buffer->data = NULL;
        buffer->length = tensor->bytes;
        view_t *view = view_create(&runtime->memory, buffer);
        view->element_type = tensor->element_type;
        view->rank = tensor->rank;
        for (uint32_t k = 0; k < tensor->rank; k++)
            view->dims[k] = tensor->dims[k];
        runtime->inputs[i] = view;
        offset += tensor->bytes;
    }
}

static void run_initializer(runtime_t *runtime) {
    uint32_t ordinal = module_find_export(&runtime->module, "__init");
    if (ordinal == UINT32_MAX) return;
    const function_t *function = &runtime->module.functions[ordinal];
    if (function->arguments.length != 0 || function->results.length != 0) FAIL(INITIALIZER);
    status_t status =
        interpreter_invoke(&runtime->interpreter, ordinal, runtime->operation_budget, NULL, NULL);
    if (status != STATUS_OK) platform_abandon(status);
}

// The range that holds the code of all executables.
static void find_kernels(runtime_t *runtime) {
    runtime_profile_t *profile = &runtime->profile;
    for (const executable_t *e = runtime->hal.executables; e != NULL; e = e->next) {
        const image_t *image = &e->library.image;
        uint32_t begin = (uint32_t)image->address + image->code_begin;
        uint32_t end = (uint32_t)image->address + image->code_end;
        if (profile->kernels_end == 0 || begin < profile->kernels_begin) profile->kernels_begin = begin;
        if (end > profile->kernels_end) profile->kernels_end = end;
    }
    profile->dispatches = runtime->hal.dispatches;
    profile->dispatch_count = runtime->hal.dispatch_count;
}

// Failures of a rehearsal that an inference would have too, whatever its kernels compute.
static bool is_certain(status_t status) {
    return status == FAILURE_MEMORY || status == FAILURE_BUFFER_SIZE || status == FAILURE_EXECUTABLE_LATE ||
           status == FAILURE_DISPATCH_READ_ONLY;
}

static bool is_declared(const object_t *object, const tensor_t *tensor) {
    const view_t *view = (const view_t *)object;
    if (object == NULL || object->type != OBJECT_VIEW || view->element_type != tensor->element_type ||
        view->rank != tensor->rank || view->buffer->length < tensor->bytes)
        return false;
    for (uint32_t i = 0; i < tensor->rank; i++)
        if (view->dims[i] != tensor->dims[i]) return false;
    return true;
}

// How many outputs are as declared, up to the first that is not.
static uint32_t count_declared(const signature_t *signature, object_t *const *results) {
    uint32_t count = 0;
    while (count < signature->output_count && is_declared(results[count], &signature->outputs[count]))
        count++;
    return count;
}

// Completes the recording of a rehearsal that has come to its end: inferences may play it if the outputs are
// as declared.
static void close_recording(runtime_t *runtime, object_t *const *results, const memory_statistics_t *before) {
    recording_t *recording = &runtime->hal.recording;
    uint32_t count = runtime->signature.output_count;
    if (count_declared(&runtime->signature, results) < count) return;
    for (uint32_t i = 0; i < count; i++)
        recording_output(recording, i, ((const view_t *)results[i])->buffer);
    recording->operations = REHEARSAL_BUDGET - runtime->interpreter.budget;
    recording->memory_peak = runtime->memory.statistics.peak;
    recording->memory_allocated = runtime->memory.statistics.allocated - before->allocated;
    recording->whole = recording->open; // nothing has spoken against it, up to here
}

// Runs the entry function once without its kernels, to find out whether all that it allocates fits and what
// its dispatches are given, and records it. Its inputs are bytes of the image. Where the function goes may
// depend on what the kernels compute, so other failures don't count; neither does one that has too many
// branches, or changes what lasts. Leaves the memory as it was.
static void rehearse(runtime_t *runtime, const uint8_t *image, size_t length) {
    interpreter_t *interpreter = &runtime->interpreter;
    recording_t *recording = &runtime->hal.recording;
    object_t *arguments[MAX_TENSORS], *results[MAX_TENSORS] = {NULL};
    memory_statistics_t statistics = runtime->memory.statistics;
    bool together = runtime->signature.input_bytes <= length; // else they are all at its beginning
    uint32_t offset = 0;
    for (uint32_t i = 0; i < runtime->signature.input_count; i++) {
        buffer_t *buffer = runtime->inputs[i]->buffer;
        if (buffer->data == NULL && buffer->length <= length)
            buffer->data = (uint8_t *)image + (together ? offset : 0);
        if (buffer->data == NULL) return; // no bytes to run with
        buffer->read_only = INPUT_BYTES;
        arguments[i] = &runtime->inputs[i]->object;
        offset += buffer->length;
    }
    if (PLAYS_RECORDINGS && together)
        recording_open(recording, interpreter->stack, interpreter->stack_end, image,
                       runtime->signature.input_bytes);
    runtime->hal.rehearsing = true;
    status_t status = interpreter_invoke(interpreter, runtime->entry, REHEARSAL_BUDGET, arguments, results);
    runtime->hal.rehearsing = false;
    if (is_recorded(recording) && status == STATUS_OK) close_recording(runtime, results, &statistics);
    recording->open = false;
    for (uint32_t i = 0; i < runtime->signature.output_count; i++)
        object_release(&runtime->memory, results[i]);
    runtime->memory.statistics = statistics;
    if (is_certain(status)) platform_abandon(status);
    status_clear();
}

typedef struct {
    runtime_t *runtime;
    const uint8_t *image;
    size_t length;
    const char *entry;
} load_t;

static void load(void *argument) {
    const load_t *job = argument;
    runtime_t *runtime = job->runtime;
    memory_t *memory = &runtime->memory;
    module_load(&runtime->module, job->image, job->length, memory);
    runtime->entry = module_find_entry(&runtime->module, job->entry);
    load_signature(runtime);
    verify_module(&runtime->module, memory);
    hal_initialize(&runtime->hal, memory, &runtime->module);
    runtime->hal.arena_follows_image = runtime->arena_follows_image;
    interpreter_initialize(&runtime->interpreter, &runtime->module, &runtime->hal, memory);
    run_initializer(runtime);
    create_inputs(runtime);
    runtime->hal.initialized = true;
    find_kernels(runtime);
    memory->statistics.live_after_load = memory->statistics.live;
    rehearse(runtime, job->image, job->length);
}

void runtime_load(runtime_t *runtime, uint8_t *image, size_t length, uint8_t *arena, size_t arena_bytes,
                  const char *entry) {
    load_t job = {runtime, image, length, entry};
    runtime_unload(runtime);
    memory_initialize(&runtime->memory, arena, arena_bytes);
    platform_mark(MARK_LOAD_BEGIN, 0);
    uint64_t instructions = platform_instructions();
    status_t status = platform_attempt(load, &job);
    runtime->profile.load_instructions = platform_instructions() - instructions;
    platform_mark(MARK_LOAD_END, 0);
    if (status != STATUS_OK) {
        runtime_unload(runtime);
        platform_abandon(status);
    }
    platform_mark(MARK_KERNELS_BEGIN, runtime->profile.kernels_begin);
    platform_mark(MARK_KERNELS_END, runtime->profile.kernels_end);
    runtime->loaded = true;
}

void runtime_unload(runtime_t *runtime) {
    memory_release(&runtime->memory);
    *runtime = (runtime_t){.operation_budget = runtime->operation_budget,
                           .arena_follows_image = runtime->arena_follows_image,
                           .memory = runtime->memory};
}

// ---- Inference

// The compiler may let a kernel work in the input's own place: a sort, for example.
static void set_inputs(runtime_t *runtime, const uint8_t *input) {
    platform_set_input((uint8_t *)input, (uint8_t *)input + runtime->signature.input_bytes);
    for (uint32_t i = 0; i < runtime->signature.input_count; i++) {
        buffer_t *buffer = runtime->inputs[i]->buffer;
        buffer->read_only = WRITABLE;
        if ((uintptr_t)input % MEMORY_ALIGNMENT == 0)
            buffer->data = (uint8_t *)input;
        else
            platform_copy(buffer->data, input, buffer->length);
        input += buffer->length;
    }
}

// Copies outputs out. Returns how many there are.
static uint32_t copy_outputs(const signature_t *signature, uint8_t *const *addresses, uint32_t count,
                             uint8_t *output) {
    for (uint32_t i = 0; i < count; i++) {
        platform_copy(output, addresses[i], signature->outputs[i].bytes);
        output += signature->outputs[i].bytes;
    }
    return count;
}

// Copies the outputs out and releases them. Returns how many were as declared, up to the first that was not.
static uint32_t take_outputs(runtime_t *runtime, object_t *const *results, uint8_t *output) {
    const signature_t *signature = &runtime->signature;
    uint8_t *addresses[MAX_TENSORS];
    uint32_t taken = count_declared(signature, results);
    for (uint32_t i = 0; i < taken; i++)
        addresses[i] = ((const view_t *)results[i])->buffer->data;
    copy_outputs(signature, addresses, taken, output);
    for (uint32_t i = 0; i < signature->output_count; i++)
        object_release(&runtime->memory, results[i]);
    return taken;
}

// A model that keeps an input would read the caller's memory later, when it may hold something else: it is
// unloaded. Returns the input's number, NO_INDEX if there is none.
static uint32_t drop_if_input_is_kept(runtime_t *runtime) {
    for (uint32_t i = 0; i < runtime->signature.input_count; i++) {
        const view_t *view = runtime->inputs[i];
        if (view->object.references == 1 && view->buffer->object.references == 1) continue;
        runtime_unload(runtime);
        return i;
    }
    return NO_INDEX;
}

static void check_sizes(const runtime_t *runtime, const uint8_t *input, size_t input_bytes,
                        size_t output_capacity) {
    const signature_t *signature = &runtime->signature;
    if (!runtime->loaded) FAIL(NOT_LOADED);
    if (input_bytes != signature->input_bytes)
        FAIL(INPUT_BYTES, (uint32_t)input_bytes, signature->input_bytes);
    if ((uintptr_t)input % MEMORY_ALIGNMENT != 0)
        FAIL(INPUT_ALIGNMENT, (uint32_t)(uintptr_t)input, MEMORY_ALIGNMENT);
    if (output_capacity < signature->output_bytes)
        FAIL(OUTPUT_ROOM, (uint32_t)output_capacity, signature->output_bytes);
}

// Whether the inference can be played with what the caller allows.
static bool may_play(const runtime_t *runtime) {
    const recording_t *recording = &runtime->hal.recording;
    uint32_t budget = runtime->operation_budget != 0 ? runtime->operation_budget : UINT32_MAX;
    return PLAYS_RECORDINGS && recording->whole && recording->operations < budget &&
           recording->workgroups <= budget;
}

static void play_list(void *hal) {
    hal_play(hal, ((hal_t *)hal)->recording.first);
}

static status_t play(hal_t *hal, uint8_t *inputs) {
    for (const input_use_t *use = hal->recording.uses; use != NULL; use = use->next)
        *use->address = inputs + use->offset;
    status_t status = platform_attempt(play_list, hal);
    const dispatch_step_t *step = hal->recording.running;
    if (status != STATUS_OK) status_append(REASON(AT_BYTE, step->function, step->at));
    return status;
}

static status_t interpret(runtime_t *runtime, object_t **results) {
    object_t *arguments[MAX_TENSORS];
    recording_give_up(&runtime->hal.recording); // frames will lie where its list is
    for (uint32_t i = 0; i < runtime->signature.input_count; i++)
        arguments[i] = &runtime->inputs[i]->object;
    return interpreter_invoke(&runtime->interpreter, runtime->entry, runtime->operation_budget, arguments,
                              results);
}

// Tells the memory that an inference took which is played.
static void count_memory(memory_statistics_t *statistics, const recording_t *recording) {
    statistics->allocated += recording->memory_allocated;
    if (statistics->peak < recording->memory_peak) statistics->peak = recording->memory_peak;
}

static void infer(runtime_t *runtime, const uint8_t *input, object_t **results, bool playing) {
    runtime_profile_t *profile = &runtime->profile;
    hal_reset_profile(&runtime->hal);
    platform_mark(MARK_INFERENCE_BEGIN, 0);
    uint64_t instructions = platform_instructions(), cycles = platform_cycles();
    set_inputs(runtime, input);
    status_t status = playing ? play(&runtime->hal, (uint8_t *)input) : interpret(runtime, results);
    profile->inference_cycles = platform_cycles() - cycles;
    profile->inference_instructions = platform_instructions() - instructions;
    platform_mark(MARK_INFERENCE_END, 0);
    if (playing) count_memory(&runtime->memory.statistics, &runtime->hal.recording);
    if (status == STATUS_OK) return;
    uint32_t kept = drop_if_input_is_kept(runtime);
    if (kept != NO_INDEX) status_append(REASON(INPUT_KEPT, kept));
    platform_abandon(status);
}

size_t runtime_invoke(runtime_t *runtime, const uint8_t *input, size_t input_bytes, uint8_t *output,
                      size_t output_capacity) {
    object_t *results[MAX_TENSORS] = {NULL};
    check_sizes(runtime, input, input_bytes, output_capacity);
    bool playing = may_play(runtime);
    infer(runtime, input, results, playing);
    const signature_t *signature = &runtime->signature;
    uint8_t *const *recorded = runtime->hal.recording.outputs;
    uint32_t taken = playing ? copy_outputs(signature, recorded, signature->output_count, output)
                             : take_outputs(runtime, results, output);
    uint32_t kept = drop_if_input_is_kept(runtime);
    if (kept != NO_INDEX) FAIL(INPUT_RETAINED, kept);
    if (taken < runtime->signature.output_count) FAIL(OUTPUT_UNDECLARED, taken);
    runtime->profile.inferences++;
    return runtime->signature.output_bytes;
}

// ---- Questions

const signature_t *runtime_signature(const runtime_t *runtime) {
    return runtime->loaded ? &runtime->signature : NULL;
}

const runtime_profile_t *runtime_profile(const runtime_t *runtime) {
    return runtime->loaded ? &runtime->profile : NULL;
}

const memory_statistics_t *runtime_memory(const runtime_t *runtime) {
    return &runtime->memory.statistics;
}

uint8_t *runtime_free_memory(const runtime_t *runtime, size_t *bytes) {
    return memory_free_middle(&runtime->memory, bytes);
}
