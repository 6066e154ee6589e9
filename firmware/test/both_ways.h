// SPDX-License-Identifier: Apache-2.0
// An inference of a loaded module, played and interpreted: both must end alike, in outputs, failures and
// counts.
#ifndef SPRINGBOK_BOTH_WAYS_H
#define SPRINGBOK_BOTH_WAYS_H

#include <stdlib.h>
#include <string.h>

#include "platform.h"
#include "runtime.h"

typedef struct {
    runtime_t *runtime;
    uint8_t *input, *output; // 64-byte aligned; the input may be written to
    size_t input_bytes, output_bytes;
} inference_t;

static void call_invoke(void *argument) {
    const inference_t *job = argument;
    runtime_invoke(job->runtime, job->input, job->input_bytes, job->output, job->output_bytes);
}

// What an inference leaves besides its output.
typedef struct {
    status_t status;
    uint32_t details, calls, workgroups, allocated;
    size_t live, peak;
    uint8_t text[DETAILS_BYTES];
} traces_t;

static status_t leave_traces(inference_t *job, traces_t *traces) {
    uint32_t allocated = runtime_memory(job->runtime)->allocated;
    memset(traces, 0, sizeof *traces);
    traces->status = platform_guarded_call(call_invoke, job);
    if (traces->status != STATUS_OK) {
        traces->details = status_details().length;
        memcpy(traces->text, status_details().data, traces->details);
        status_clear();
        return traces->status;
    }
    const memory_statistics_t *memory = runtime_memory(job->runtime);
    const runtime_profile_t *profile = runtime_profile(job->runtime);
    traces->live = memory->live;
    traces->peak = memory->peak;
    traces->allocated = memory->allocated - allocated;
    for (uint32_t i = 0; i < profile->dispatch_count; i++) {
        traces->calls += profile->dispatches[i].calls;
        traces->workgroups += profile->dispatches[i].workgroups;
    }
    return STATUS_OK;
}

// Runs a module that can't be played once, and another both ways, with zeros in both. Ends the
// process where they differ.
static status_t run_both_ways(inference_t *job) {
    recording_t *recording = &job->runtime->hal.recording;
    traces_t played, interpreted;
    bool plays = recording->whole;
    status_t status = leave_traces(job, &played);
    if (!plays) return status;
    uint8_t *output = malloc(job->output_bytes + 1);
    if (output == NULL) abort();
    memcpy(output, job->output, job->output_bytes);
    memset(job->input, 0, job->input_bytes);
    memset(job->output, 0, job->output_bytes);
    recording_give_up(recording);
    leave_traces(job, &interpreted);
    if (memcmp(&played, &interpreted, sizeof played) != 0 ||
        memcmp(output, job->output, job->output_bytes) != 0)
        abort();
    free(output);
    return status;
}

#endif
