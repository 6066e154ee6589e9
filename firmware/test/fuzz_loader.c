// SPDX-License-Identifier: Apache-2.0
// Entry of libFuzzer for everything that a module goes through: archive, verifier, kernels' file, an
// inference. A stand-in runs instead of the kernels. docs/testing.md has the commands.
//
// The first byte chooses between the two ways in which kernels are placed; the module follows it.
#include <stdlib.h>
#include <string.h>

#include "runtime.h"

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

static void infer(runtime_t *runtime) {
    size_t input_bytes = runtime_signature(runtime)->input_bytes;
    size_t output_bytes = runtime_signature(runtime)->output_bytes, written;
    if (input_bytes > ARENA_BYTES || output_bytes > ARENA_BYTES) return;
    uint8_t *input = allocate(input_bytes), *output = allocate(output_bytes);
    runtime_invoke(runtime, input, input_bytes, output, output_bytes, &written);
    free(input);
    free(output);
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
    if (runtime_load(&runtime, image, length, arena, ARENA_BYTES, NULL) == STATUS_OK) infer(&runtime);
    runtime_unload(&runtime);
    if (!in_place) free(arena);
    free(image);
    return 0;
}
