// SPDX-License-Identifier: Apache-2.0
// IREE's executable library ABI, version 0.6 (iree_hal_executable_library_v0_t), in a loaded image. Pointers
// in its structures are read as words of the core's width at checked addresses, so that any host reads them
// as well. Only two things need the chip: asking the image for its library, and running a kernel. On a host
// the library is found by its looks, and a stand-in runs instead of the kernel.
#ifndef SPRINGBOK_LIBRARY_H
#define SPRINGBOK_LIBRARY_H

#include <stdint.h>

#include "bytes.h"
#include "core.h"
#include "status.h"

#define LIBRARY_VERSION 6
#define LIBRARY_MAX_BINDINGS 32
#define LIBRARY_MAX_CONSTANTS 64

// The kernels' image in memory. `address` is where the kernels themselves see data[0].
typedef struct {
    uint8_t *data;
    uint32_t size;
    word_t address;
    uint32_t code_begin; // executable range, relative to the image
    uint32_t code_end;
} image_t;

// iree_hal_executable_dispatch_state_v0_t: what the kernels are told of a dispatch.
typedef struct {
    uint32_t workgroup_size_x, workgroup_size_y;
    uint16_t workgroup_size_z, constant_count;
    uint32_t workgroup_count_x, workgroup_count_y;
    uint16_t workgroup_count_z;
    uint8_t max_concurrency, binding_count;
    const uint32_t *constants;
    uint8_t *const *bindings;
    const size_t *binding_lengths;
} dispatch_state_t;

// iree_hal_executable_workgroup_state_v0_t: which workgroup it is.
typedef struct {
    uint32_t x, y;
    uint16_t z, reserved;
    uint32_t processor;
    void *local_memory;
    uint32_t local_memory_bytes;
} workgroup_state_t;

// What one export of the kernels did in the last inference.
typedef struct {
    uint32_t calls;
    uint32_t workgroups;
    uint64_t instructions;
    uint64_t cycles;
    const char *name;
} dispatch_profile_t;

typedef struct {
    dispatch_state_t state; // of the next dispatch; sizes and the counts of operands never change
    word_t function;        // address
    uint32_t local_memory_pages;
    const char *name;
} export_t;

typedef struct {
    image_t image;
    export_t *exports;
    uint32_t export_count;
    uint8_t *local_memory; // for one workgroup
    uint32_t local_memory_bytes;
} library_t;

// iree_hal_executable_environment_v0_t, all zero: the kernels use nothing of it. It is no constant, so that
// it takes no read-only memory.
typedef struct {
    const uint32_t *constants;
    void *import_thunk;
    const void *import_functions;
    const void **import_contexts;
    uint64_t processor[8];
} library_environment_t;

extern library_environment_t library_environment;

// The address at which the kernels see an image that lies at `data`.
word_t library_address(const uint8_t *data);

// Address of the library's structure, from the image's query function at `query`.
word_t library_query(const image_t *image, word_t query);

// Checks the structure at `address` and sets export_count.
void library_open(library_t *library, word_t address);

// Reads and checks its exports into exports[0, export_count).
void library_read(library_t *library, word_t address);

#endif
