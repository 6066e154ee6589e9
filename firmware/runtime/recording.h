// SPDX-License-Identifier: Apache-2.0
// A recorded inference. If no number that a function computes with comes out of a buffer, or out of what
// lasts between inferences, then it does the same every time, whatever its inputs hold: see
// docs/architecture.md. The rehearsal of such an entry function leaves a list of what it does to memory and
// of its dispatches, with addresses in place of registers, and inferences play the list.
#ifndef SPRINGBOK_RECORDING_H
#define SPRINGBOK_RECORDING_H

#include "executable.h"
#include "module.h"
#include "object.h"
#include "signature.h"

#ifndef PLAYS_RECORDINGS
#define PLAYS_RECORDINGS 1 // 0: every inference is interpreted
#endif

typedef struct call call_t;

typedef enum { STEP_FILL, STEP_COPY, STEP_DISPATCH } step_kind_t;

typedef struct step {
    struct step *next;
    step_kind_t kind;
} step_t;

typedef struct {
    step_t step;
    uint8_t *data;
    uint32_t count, element_bytes;
    uint64_t value;
} fill_step_t;

typedef struct {
    step_t step;
    uint8_t *target;
    uint8_t *source;
    uint32_t bytes;
} copy_step_t;

// Behind it are its bindings, their lengths and its constants, as kernels take them.
typedef struct {
    step_t step;
    const library_t *library;
    export_t *entry;
    uint32_t number;       // of its profile
    uint32_t x, y, z;      // workgroups
    uint32_t function, at; // that calls it, and the byte of the call
} dispatch_step_t;

// What is behind a dispatch.
typedef struct {
    uint8_t **bindings;
    size_t *lengths;
    uint32_t *constants;
} dispatch_operands_t;

INLINE dispatch_operands_t step_operands(const dispatch_step_t *step) {
    uint32_t count = step->entry->state.binding_count;
    uint8_t **bindings = (uint8_t **)(step + 1);
    size_t *lengths = (size_t *)(bindings + count);
    return (dispatch_operands_t){bindings, lengths, (uint32_t *)(lengths + count)};
}

// How many workgroups a dispatch has; false if that is no number of 32 bits.
INLINE bool count_workgroups(const dispatch_step_t *step, uint32_t *total) {
    return !__builtin_mul_overflow(step->x, step->y, total) &&
           !__builtin_mul_overflow(*total, step->z, total);
}

// A place of a step that holds an address in the inputs, which may lie elsewhere each time.
typedef struct input_use {
    struct input_use *next;
    uint8_t **address;
    uint32_t offset;
} input_use_t;

typedef struct {
    bool open;  // the rehearsal goes on, and nothing has spoken against playing it
    bool whole; // inferences may play it
    // The list grows downwards in the upper part of the stack for frames, which nothing else needs then.
    uint8_t *begin;
    const uint8_t *frames_end; // the highest that any frame had
    const uint8_t *inputs;     // that the rehearsal uses
    uint32_t input_bytes;
    step_t *first, *last;
    input_use_t *uses;
    uint8_t *outputs[MAX_TENSORS];
    const dispatch_step_t *running;  // the last that was played
    uint32_t operations, workgroups; // of the whole, against the invocation's budget
    size_t memory_peak;              // that the rehearsal had
    uint32_t memory_allocated;
} recording_t;

// Whether what happens now is recorded.
INLINE bool is_recorded(const recording_t *recording) {
    return PLAYS_RECORDINGS && recording->open;
}

// Opens a recording whose list lies in [stack, end), with frames. All inputs are in [inputs, inputs + bytes),
// one after the other.
void recording_open(recording_t *recording, uint8_t *stack, uint8_t *end, const uint8_t *inputs,
                    uint32_t bytes);

// The inference can't be played: it depends on data, or there is no room.
void recording_give_up(recording_t *recording);

// What is recorded, while it is. A function is entered; its frame ends at `end`.
void recording_enter(recording_t *recording, const function_t *function, const uint8_t *end);

void recording_fill(recording_t *recording, uint8_t *data, uint32_t count, uint32_t element_bytes,
                    uint64_t value);
void recording_copy(recording_t *recording, uint8_t *target, const buffer_t *buffer, uint8_t *source,
                    uint32_t bytes);
// The dispatch is what the HAL has prepared.
void recording_dispatch(recording_t *recording, const call_t *call);

// The next output is what `buffer` holds then.
void recording_output(recording_t *recording, uint32_t output, const buffer_t *buffer);

#endif
