// SPDX-License-Identifier: Apache-2.0
// Entry of libFuzzer for everything that a module goes through: archive, verifier, kernels' file, an
// inference, both ways if it can be played. A stand-in runs instead of the kernels. docs/testing.md has the
// commands.
//
// The first byte chooses between the two ways in which kernels are placed; the module follows it.
#include <stdlib.h>
#include <string.h>

#include "both_ways.h"

#define ARENA_BYTES (1u << 20)
#define OPERATIONS 2000 // branches and calls of an invocation: a damaged loop may have no end

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// 64-byte aligned memory that ends exactly at its end, so that the sanitizer sees an access past it.
static uint8_t *allocate(size_t bytes) {
    void *block = NULL;
    if (posix_memalign(&block, 64, bytes != 0 ? bytes : 1) != 0) abort();
    memset(block, 0, bytes);
    return block;
}

typedef struct {
    runtime_t *runtime;
    uint8_t *image, *arena;
    size_t length;
} job_t;

static void load(void *argument) {
    const job_t *job = argument;
    runtime_load(job->runtime, job->image, job->length, job->arena, ARENA_BYTES, NULL);
}

static void infer(runtime_t *runtime) {
    const signature_t *signature = runtime_signature(runtime);
    inference_t job = {
        .runtime = runtime, .input_bytes = signature->input_bytes, .output_bytes = signature->output_bytes};
    if (job.input_bytes > ARENA_BYTES || job.output_bytes > ARENA_BYTES) return;
    job.input = allocate(job.input_bytes);
    job.output = allocate(job.output_bytes);
    run_both_ways(&job);
    free(job.input);
    free(job.output);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static runtime_t runtime;
    if (size < 1) return 0;
    bool in_place = data[0] % 2 != 0;
    size_t length = size - 1, rounded = (length + 63) & ~(size_t)63;
    uint8_t *image = allocate(in_place ? rounded + ARENA_BYTES : length);
    uint8_t *arena = in_place ? image + rounded : allocate(ARENA_BYTES);
    if (length != 0) memcpy(image, data + 1, length);
    runtime.operation_budget = OPERATIONS;
    runtime.arena_follows_image = in_place;
    job_t job = {.runtime = &runtime, .image = image, .arena = arena, .length = length};
    if (platform_guarded_call(load, &job) == STATUS_OK) infer(&runtime);
    runtime_unload(&runtime);
    if (!in_place) free(arena);
    free(image);
    return 0;
}
