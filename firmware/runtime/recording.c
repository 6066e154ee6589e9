// SPDX-License-Identifier: Apache-2.0
#include "recording.h"

#include "hal.h"
#include "platform.h"

#define STEP_ALIGNMENT 8

void recording_open(recording_t *recording, uint8_t *stack, uint8_t *end, const uint8_t *inputs,
                    uint32_t bytes) {
    *recording = (recording_t){
        .open = true, .begin = end, .frames_end = stack, .inputs = inputs, .input_bytes = bytes};
}

void recording_give_up(recording_t *recording) {
    recording->open = recording->whole = false;
}

void recording_enter(recording_t *recording, const function_t *function, const uint8_t *end) {
    if (end > recording->frames_end) recording->frames_end = end;
    if (function->reads_bytes || recording->begin < recording->frames_end) recording_give_up(recording);
}

// Room for a part of the list; NULL if there is none, or the recording was given up.
static void *take(recording_t *recording, uint32_t bytes) {
    bytes = (bytes + STEP_ALIGNMENT - 1) & ~(uint32_t)(STEP_ALIGNMENT - 1);
    if (!recording->open || (size_t)(recording->begin - recording->frames_end) < bytes) {
        recording_give_up(recording);
        return NULL;
    }
    return recording->begin -= bytes;
}

// Adds a copy of a step to the list.
static void *add(recording_t *recording, const step_t *step, uint32_t bytes) {
    step_t *copy = take(recording, bytes);
    if (copy == NULL) return NULL;
    platform_copy(copy, step, bytes);
    if (recording->last != NULL)
        recording->last->next = copy;
    else
        recording->first = copy;
    recording->last = copy;
    return copy;
}

// Sets an address of a step to `data` in `buffer`.
static void set_address(recording_t *recording, uint8_t **address, const buffer_t *buffer, uint8_t *data) {
    *address = data;
    uintptr_t offset = (uintptr_t)data - (uintptr_t)recording->inputs;
    // An input that has memory of its own lies elsewhere.
    if (buffer->read_only != INPUT_BYTES || offset > recording->input_bytes) return;
    input_use_t *use = take(recording, sizeof *use);
    if (use == NULL) return;
    *use = (input_use_t){.next = recording->uses, .address = address, .offset = (uint32_t)offset};
    recording->uses = use;
}

void recording_fill(recording_t *recording, uint8_t *data, uint32_t count, uint32_t element_bytes,
                    uint64_t value) {
    fill_step_t fill = {{.kind = STEP_FILL}, data, count, element_bytes, value};
    add(recording, &fill.step, sizeof fill);
}

void recording_copy(recording_t *recording, uint8_t *target, const buffer_t *buffer, uint8_t *source,
                    uint32_t bytes) {
    copy_step_t copy = {{.kind = STEP_COPY}, target, source, bytes};
    copy_step_t *step = add(recording, &copy.step, sizeof copy);
    if (step != NULL) set_address(recording, &step->source, buffer, source);
}

void recording_dispatch(recording_t *recording, const call_t *call) {
    dispatch_step_t *called = &call->hal->called.step, *step;
    uint32_t bindings = called->entry->state.binding_count, constants = called->entry->state.constant_count;
    uint32_t total, bytes = (uint32_t)(sizeof *step + bindings * (sizeof(uint8_t *) + sizeof(size_t)) +
                                       constants * sizeof(uint32_t));
    if (called->z > UINT16_MAX || !count_workgroups(called, &total) ||
        __builtin_add_overflow(recording->workgroups, total, &recording->workgroups))
        recording_give_up(recording); // the inference will fail there, or not come so far
    called->function = (uint32_t)(call->function - call->hal->module->functions);
    called->at = (uint32_t)(call->at - call->function->code);
    step = add(recording, &called->step, bytes);
    if (step == NULL) return;
    uint8_t **binding = step_operands(step).bindings;
    const uint16_t *operand = call->operands + DISPATCH_CONSTANTS + constants;
    for (uint32_t i = 0; i < bindings; i++, operand += 3, binding++)
        set_address(recording, binding, (const buffer_t *)call->refs[*operand & REGISTER_INDEX], *binding);
}

void recording_output(recording_t *recording, uint32_t output, const buffer_t *buffer) {
    set_address(recording, &recording->outputs[output], buffer, buffer->data);
}
