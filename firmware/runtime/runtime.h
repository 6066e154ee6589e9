// SPDX-License-Identifier: Apache-2.0
// The runtime's public face: loads a VMFB (IREE 3.13, --iree-execution-model=inline-dynamic) and runs it.
//
//   static runtime_t runtime;
//
//   static void infer(void *unused) {
//       runtime_load(&runtime, image, image_bytes, arena, arena_bytes, NULL);
//       output_bytes = runtime_invoke(&runtime, input, input_bytes, output, sizeof output);
//   }
//
//   status_t status = platform_guarded_call(infer, NULL);
//   if (status != STATUS_OK) send(status_details());
#ifndef SPRINGBOK_RUNTIME_H
#define SPRINGBOK_RUNTIME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hal.h"
#include "interpreter.h"
#include "memory.h"
#include "module.h"
#include "signature.h"
#include "status.h"

// Instructions and cycles are of the last inference; load_instructions of the load.
typedef struct {
    uint64_t inference_instructions;
    uint64_t inference_cycles;
    uint64_t load_instructions;
    uint32_t inferences;                  // completed since load
    uint32_t kernels_begin;               // address range of the kernels' code
    uint32_t kernels_end;                 // one past it
    uint32_t dispatch_count;              // entries of `dispatches`: one an export, in the order of ordinals
    const dispatch_profile_t *dispatches; // calls == 0: it did not run in the last inference
} runtime_profile_t;

typedef struct {
    bool loaded;
    uint32_t operation_budget; // branches and calls, and workgroups, of an invocation; 0 = 2^32 - 1
    bool arena_follows_image;  // the arena begins at the first 64-byte boundary behind the image
    module_t module;
    memory_t memory;
    hal_t hal;
    interpreter_t interpreter;
    signature_t signature;
    uint32_t entry;              // ordinal of the entry function
    view_t *inputs[MAX_TENSORS]; // objects that stand for the inputs in every inference
    runtime_profile_t profile;
} runtime_t;

// Loads the module in image[0, length), which must be 64-byte aligned and belongs to the runtime until
// unload: kernels are linked where they lie in it if the arena follows it. The runtime owns [arena, arena +
// arena_bytes): all that it allocates comes from there. `entry` names the function to run; NULL means "main"
// or the only public export. Everything that can be verified is verified here, and a rehearsal without
// kernels finds out whether the memory suffices for an inference; a failure leaves the runtime unloaded and
// ready for the next load. *runtime must be zero before the first load, but for operation_budget and
// arena_follows_image, which the caller may set at any time. Kernels are native code: run this and
// runtime_invoke() in platform_guarded_call(), and zero *runtime after a trap.
void runtime_load(runtime_t *runtime, uint8_t *image, size_t length, uint8_t *arena, size_t arena_bytes,
                  const char *entry);

// Drops the module. Allowed at any time, also when nothing is loaded.
void runtime_unload(runtime_t *runtime);

// Inputs and outputs that the module declares for its entry function. NULL when nothing is loaded.
const signature_t *runtime_signature(const runtime_t *runtime);

// Runs the entry function once. `input` holds all inputs one after the other and is 64-byte aligned; `output`
// receives all outputs one after the other. The counted part is setting up the arguments, the VM and the
// kernels; copying the results out comes after it. An error leaves the model loaded, unless it kept a
// reference to an input.
size_t runtime_invoke(runtime_t *runtime, const uint8_t *input, size_t input_bytes, uint8_t *output,
                      size_t output_capacity);

// Counters of the last load and inference. NULL when nothing is loaded.
const runtime_profile_t *runtime_profile(const runtime_t *runtime);

// Memory of the arena since the load began. Valid also after unload or a refused load (peak of that attempt).
const memory_statistics_t *runtime_memory(const runtime_t *runtime);

// Memory of the arena that the loaded model does not use between inferences, and how many bytes.
uint8_t *runtime_free_memory(const runtime_t *runtime, size_t *bytes);

#endif
