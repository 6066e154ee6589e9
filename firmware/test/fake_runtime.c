// SPDX-License-Identifier: Apache-2.0
// A runtime for the tests of the service: loads a made-up model file and computes something simple.
//
//   "FAKE" | char entry[20] | u8 input_count | u8 output_count
//   | per tensor, inputs first: u32 element_type, u8 rank, u32 dims[rank]
//
// Output byte i is input byte i (modulo the input's size) plus 1. The first input byte can ask for something
// else, see misbehave() and the copy in runtime_invoke().
#include "../runtime/bytes.h"
#include "../runtime/platform.h"
#include "../runtime/runtime.h"

#define ENTRY_BYTES 20

static signature_t signature;
static dispatch_profile_t dispatches[3];
static runtime_profile_t profile;
static memory_statistics_t memory;
static uint8_t *free_memory;
static size_t free_bytes;

#define LIVE_BYTES 6144

static const uint8_t *read_tensor(const uint8_t *at, const uint8_t *end, tensor_t *tensor) {
    memset(tensor, 0, sizeof *tensor);
    if (end - at < 5) return NULL;
    tensor->element_type = read_u32(at);
    tensor->rank = at[4];
    at += 5;
    if (tensor->rank > MAX_RANK || end - at < 4 * (ptrdiff_t)tensor->rank) return NULL;
    tensor->bytes = element_bytes(tensor->element_type);
    for (uint32_t d = 0; d < tensor->rank; d++, at += 4) {
        tensor->dims[d] = read_u32(at);
        tensor->bytes *= tensor->dims[d];
    }
    return at;
}

void runtime_load(runtime_t *runtime, uint8_t *image, size_t length, uint8_t *arena, size_t arena_bytes,
                  const char *entry) {
    const uint8_t *end = image + length, *at = image + 4 + ENTRY_BYTES + 2;
    runtime->loaded = false;
    if (at > end || memcmp(image, "FAKE", 4) != 0) FAIL(IDENTIFIER);
    const char *name = (const char *)image + 4;
    if (entry != NULL && !span_equals((span_t){image + 4, text_length(name)}, entry))
        FAIL_QUOTING(span_of(entry), ENTRY_MISSING);
    memset(arena, 0xA5, arena_bytes); // whatever the service keeps there would be lost
    signature.input_count = at[-2];
    signature.output_count = at[-1];
    if (signature.input_count > MAX_TENSORS || signature.output_count > MAX_TENSORS) FAIL(IDENTIFIER);
    for (uint32_t i = 0; at != NULL && i < signature.input_count; i++)
        at = read_tensor(at, end, &signature.inputs[i]);
    for (uint32_t i = 0; at != NULL && i < signature.output_count; i++)
        at = read_tensor(at, end, &signature.outputs[i]);
    if (at == NULL) FAIL(IMAGE_SHORT, (uint32_t)length);
    signature.input_bytes = signature.output_bytes = 0;
    for (uint32_t i = 0; i < signature.input_count; i++)
        signature.input_bytes += signature.inputs[i].bytes;
    for (uint32_t i = 0; i < signature.output_count; i++)
        signature.output_bytes += signature.outputs[i].bytes;
    dispatches[0] = (dispatch_profile_t){.name = "main_dispatch_0", .calls = 0};
    dispatches[1] = (dispatch_profile_t){.name = "not_called"};
    dispatches[2] =
        (dispatch_profile_t){.name = "main_dispatch_2_with_a_name_that_is_longer_than_the_record_has_"
                                     "room_for_so_that_it_has_to_be_cut_somewhere_before_its_end"};
    profile = (runtime_profile_t){.load_instructions = 1000,
                                  .kernels_begin = 0x34001000,
                                  .kernels_end = 0x34002000,
                                  .dispatch_count = 3,
                                  .dispatches = dispatches};
    free_memory = arena + LIVE_BYTES;
    free_bytes = arena_bytes - LIVE_BYTES;
    memory = (memory_statistics_t){.live = LIVE_BYTES, .peak = 4096, .allocated = 8192};
    runtime->loaded = true;
}

void runtime_unload(runtime_t *runtime) {
    runtime->loaded = false;
}

const signature_t *runtime_signature(const runtime_t *runtime) {
    return runtime->loaded ? &signature : NULL;
}

// On the chip only: on a computer these would end the process.
static void misbehave(uint8_t how) {
    switch (how) {
    case 0xE0: __asm__ volatile(".4byte 0"); break;              // not an instruction
    case 0xE1: *(volatile uint32_t *)(uintptr_t)0x10 = 1; break; // no memory there
    case 0xE2: ((void (*)(void))(uintptr_t)0x20)(); break;       // no code there
    case 0xE3:                                                   // more stack than there is
        for (volatile uint8_t *low = __builtin_alloca(135000), *end = low + 130000; low < end; low++)
            *low = how;
        break;
    }
}

size_t runtime_invoke(runtime_t *runtime, const uint8_t *input, size_t input_bytes, uint8_t *output,
                      size_t output_capacity) {
    if (input[0] == 0xEE) FAIL_QUOTING(span_of("asked to fail"), MODEL_FAILED, 1u);
    if (input[0] == 0xEF) {
        runtime_unload(runtime);
        FAIL(INPUT_RETAINED, 0u);
    }
    if (signature.output_bytes > output_capacity)
        FAIL(OUTPUT_ROOM, (uint32_t)output_capacity, signature.output_bytes);
    misbehave(input[0]);
    for (size_t i = 0; i < signature.output_bytes; i++)
        output[i] = (uint8_t)((input_bytes != 0 ? input[i % input_bytes] : 0) + 1);
    if (input[0] == 0xC0) { // u8 0xC0, u8 from, u8 to, u8 count, ...: a copy within a filled output
        platform_fill(output, 0x5A, signature.output_bytes);
        platform_copy(output + input[2], input + input[1], input[3]);
    }
    profile.inferences++;
    profile.inference_instructions = 5000;
    profile.inference_cycles = 6000;
    for (uint32_t i = 0; i < 3; i += 2) {
        dispatches[i].calls = i + 1;
        dispatches[i].workgroups = 10 * (i + 1);
        dispatches[i].instructions = 100 * (i + 1);
        dispatches[i].cycles = 200 * (i + 1);
    }
    return signature.output_bytes;
}

const runtime_profile_t *runtime_profile(const runtime_t *runtime) {
    return runtime->loaded ? &profile : NULL;
}

const memory_statistics_t *runtime_memory(const runtime_t *runtime) {
    (void)runtime;
    return &memory;
}

uint8_t *runtime_free_memory(const runtime_t *runtime, size_t *bytes) {
    (void)runtime;
    *bytes = free_bytes;
    return free_memory;
}
