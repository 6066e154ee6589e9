// SPDX-License-Identifier: Apache-2.0
// Runs the kernels; on a host, a stand-in for them. A file of its own, since it is what every inference
// spends the runtime's time on: it is compiled for speed.
#include "hal.h"
#include "platform.h"
#include "transfers.h"

// library_dispatch() runs all workgroups of entry->state between the marks of dispatch `number`, and adds the
// instructions and cycles to `profile`; each must be below 2^32. Fails when a workgroup reports an error.
#ifdef __riscv

#if CHIP_XLEN == 64
enum { DISPATCH_BYTES = 48, WORKGROUP_BYTES = 32, AT_LOCAL_MEMORY = 48, AT_FUNCTION = 48 };
#else
enum { DISPATCH_BYTES = 36, WORKGROUP_BYTES = 24, AT_LOCAL_MEMORY = 28, AT_FUNCTION = 36 };
#endif
_Static_assert(sizeof(dispatch_state_t) == DISPATCH_BYTES, "dispatch state of ABI 0.6");
_Static_assert(sizeof(workgroup_state_t) == WORKGROUP_BYTES, "workgroup state of ABI 0.6");

// What a contained run leaves. Kernels can write to it, so its numbers are for reports only.
typedef struct {
    workgroup_state_t workgroup; // that failed
    uint32_t instructions;
    uint32_t cycles;
} run_t;

_Static_assert(sizeof(run_t) <= PLATFORM_ROOM_BYTES, "results of a contained call");
_Static_assert(offsetof(library_t, local_memory) == AT_LOCAL_MEMORY &&
                   offsetof(export_t, function) == AT_FUNCTION,
               "as contained_run has them");

// Contained: runs all workgroups between the marks of dispatch `number`, up to the first that reports an
// error, and returns its result. In start.S, since it need not save the registers that it uses.
int contained_run(const library_t *library, const export_t *entry, uint32_t number, run_t *run);

INLINE void library_dispatch(const library_t *library, const export_t *entry, uint32_t number,
                             dispatch_profile_t *profile) {
    const void *room;
    int result = (int)platform_call_contained((uintptr_t)contained_run, (uintptr_t)library, (uintptr_t)entry,
                                              number, &room);
    const run_t *done = room;
    profile->cycles += done->cycles;
    profile->instructions += done->instructions;
    if (result != 0)
        FAIL_QUOTING(span_of(entry->name), KERNEL_RESULT, result, done->workgroup.x, done->workgroup.y,
                     done->workgroup.z);
}

#else

// Reads every byte of every binding and constant, and fills the last binding with what follows from them.
static void library_dispatch(const library_t *library, const export_t *entry, uint32_t number,
                             dispatch_profile_t *profile) {
    (void)library, (void)profile;
    platform_mark(MARK_DISPATCH_BEGIN, number);
    const dispatch_state_t *state = &entry->state;
    uint32_t hash = 2166136261u;
    for (const char *c = entry->name; *c != 0; c++)
        hash = (hash ^ (uint8_t)*c) * 16777619u;
    for (uint32_t i = 0; i < state->constant_count; i++)
        hash = (hash ^ state->constants[i]) * 16777619u;
    for (uint32_t i = 0; i < state->binding_count; i++)
        for (size_t k = 0; k < state->binding_lengths[i]; k++)
            hash = (hash ^ state->bindings[i][k]) * 16777619u;
    if (state->binding_count == 0) return;
    uint32_t last = state->binding_count - 1u;
    for (size_t k = 0; k < state->binding_lengths[last]; k++) {
        hash = hash * 1664525u + 1013904223u;
        state->bindings[last][k] = (uint8_t)(hash >> 24);
    }
}

#endif

// ---- Playing

INLINE void play_dispatch(hal_t *hal, const dispatch_step_t *step) {
    export_t *entry = step->entry;
    dispatch_state_t *state = &entry->state;
    dispatch_profile_t *profile = &hal->dispatches[step->number];
    dispatch_operands_t operands = step_operands(step);
    state->workgroup_count_x = step->x;
    state->workgroup_count_y = step->y;
    state->workgroup_count_z = (uint16_t)step->z;
    state->constants = operands.constants;
    state->bindings = operands.bindings;
    state->binding_lengths = operands.lengths;
    profile->workgroups += step->x * step->y * step->z;
    profile->calls++;
    hal->recording.running = step;
    library_dispatch(step->library, entry, step->number, profile);
}

static void play_fill(const fill_step_t *fill) {
    memory_reopen(fill->data, fill->count * fill->element_bytes);
    fill_elements(fill->data, fill->count, fill->element_bytes, fill->value);
}

static void play_copy(const copy_step_t *copy) {
    copy_bytes(copy->target, copy->source, copy->bytes);
}

void hal_play(hal_t *hal, const step_t *step) {
    for (; step != NULL; step = step->next) {
        if (step->kind == STEP_DISPATCH)
            play_dispatch(hal, (const dispatch_step_t *)step);
        else if (step->kind == STEP_FILL)
            play_fill((const fill_step_t *)step);
        else
            play_copy((const copy_step_t *)step);
    }
}

// ---- The imports that every dispatch calls

void executable_lookup_function(call_t *call) {
    const object_t *executable = call->refs[call->operands[0] & REGISTER_INDEX];
    const buffer_t *name = (const buffer_t *)call->refs[call->operands[1] & REGISTER_INDEX];
    if (executable == NULL || name == NULL || name->object.type != OBJECT_BUFFER ||
        name->resolved != executable) {
        executable_resolve(call);
        return;
    }
    set_i64(call, 0, name->ordinal);
}

enum { SEGMENT_CONSTANTS = 5, SEGMENT_BINDINGS = 6 };

static _Noreturn void constant_as_result(const export_t *entry) {
    FAIL_QUOTING(span_of(entry->name), DISPATCH_READ_ONLY);
}

// Sets constants and bindings. Returns whether a binding's reference is moved. The module does not tell which
// bindings a kernel writes to, but the compiler puts results last.
INLINE bool set_operands(const call_t *call, const dispatch_step_t *step) {
    const dispatch_state_t *state = &step->entry->state;
    const uint32_t *i32 = call->i32;
    object_t *const *refs = call->refs;
    const uint16_t *operand = call->operands + DISPATCH_CONSTANTS;
    dispatch_operands_t operands = step_operands(step);
    uint32_t registers = 0;
    const buffer_t *buffer = NULL;
    for (const uint16_t *end = operand + state->constant_count; operand < end; operand++)
        *operands.constants++ = i32[*operand];
    for (const uint16_t *end = operand + 3 * state->binding_count; operand < end; operand += 3) {
        registers |= operand[0];
        const object_t *object = refs[operand[0] & REGISTER_INDEX];
        object_check(object, OBJECT_BUFFER);
        buffer = (const buffer_t *)object;
        const uint32_t *offset = &i32[operand[1]], *length = &i32[operand[2]];
        if ((offset[1] | length[1]) != 0 || offset[0] > buffer->length ||
            length[0] > buffer->length - offset[0])
            buffer_out_of_range(buffer, offset[0] | (uint64_t)offset[1] << 32,
                                length[0] | (uint64_t)length[1] << 32);
        *operands.bindings++ = buffer->data + offset[0];
        *operands.lengths++ = length[0];
    }
    if (buffer != NULL && buffer->read_only == CONSTANT_BYTES) constant_as_result(step->entry);
    return (registers & REGISTER_MOVE) != 0;
}

static NOINLINE void release_bindings(const call_t *call) {
    const uint16_t *operand = call->operands + DISPATCH_CONSTANTS + call->segments[SEGMENT_CONSTANTS];
    const uint16_t *end = operand + 3 * call->segments[SEGMENT_BINDINGS];
    for (; operand < end; operand += 3) {
        if ((operand[0] & REGISTER_MOVE) == 0) continue;
        object_t **slot = &call->refs[operand[0] & REGISTER_INDEX], *object = *slot;
        *slot = NULL;
        object_release(call->hal->memory, object);
    }
}

static _Noreturn void wrong_operands(const export_t *entry, uint32_t constants, uint32_t bindings) {
    const dispatch_state_t *state = &entry->state;
    FAIL_QUOTING(span_of(entry->name), DISPATCH_OPERANDS, constants, bindings, state->constant_count,
                 state->binding_count);
}

// Operand 1 and the segments of a dispatch, against the export that it names. Returns its ordinal.
INLINE uint32_t find_export(const call_t *call, const library_t *library) {
    const uint32_t *function = &call->i32[call->operands[DISPATCH_FUNCTION]];
    if (function[1] != 0 || function[0] >= library->export_count)
        FAIL(DISPATCH_FUNCTION, WORDS(get_i64(call, 1)), library->export_count);
    const export_t *entry = &library->exports[function[0]];
    uint32_t constants = call->segments[SEGMENT_CONSTANTS], bindings = call->segments[SEGMENT_BINDINGS];
    if (constants != entry->state.constant_count || bindings != entry->state.binding_count)
        wrong_operands(entry, constants, bindings);
    return function[0];
}

// Holds the count of workgroups against the invocation's budget.
INLINE void spend_workgroups(hal_t *hal, const dispatch_step_t *step) {
    uint32_t total, z = step->z;
    if (z > UINT16_MAX || !count_workgroups(step, &total)) FAIL(DISPATCH_WORKGROUPS, step->x, step->y, z);
    if (total > hal->workgroup_budget) FAIL(WORKGROUP_BUDGET, total, hal->workgroup_budget);
    hal->workgroup_budget -= total;
}

// A dispatch that is interpreted is played as well, as a list of one step.
void executable_dispatch(call_t *call) {
    hal_t *hal = call->hal;
    const executable_t *executable = (executable_t *)get_object(call, 0, OBJECT_EXECUTABLE);
    const library_t *library = &executable->library;
    uint32_t ordinal = find_export(call, library);
    dispatch_step_t *step = &hal->called.step;
    step->library = library;
    step->entry = &library->exports[ordinal];
    step->number = executable->first_ordinal + ordinal;
    step->x = get_i32(call, DISPATCH_WORKGROUPS);
    step->y = get_i32(call, DISPATCH_WORKGROUPS + 1);
    step->z = get_i32(call, DISPATCH_WORKGROUPS + 2);
    bool moved = set_operands(call, step);
    if (!hal->rehearsing) {
        spend_workgroups(hal, step);
        hal_play(hal, &step->step);
    } else if (is_recorded(&hal->recording)) {
        recording_dispatch(&hal->recording, call);
    }
    if (moved) release_bindings(call);
}
