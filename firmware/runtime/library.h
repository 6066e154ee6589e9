// SPDX-License-Identifier: Apache-2.0
// IREE's executable library ABI, version 0.6 for 32-bit targets (iree_hal_executable_library_v0_t), in a
// loaded image. All of its structures are read as 32-bit words at checked addresses, so that a 64-bit host
// reads them as well. Only two things need the chip: asking the image for its library, and running a kernel.
// On a host the library is found by its looks, and a stand-in runs instead of the kernel.
#ifndef SPRINGBOK_LIBRARY_H
#define SPRINGBOK_LIBRARY_H

#include <stdint.h>

#include "bytes.h"
#include "status.h"

#define LIBRARY_VERSION 6
#define LIBRARY_MAX_BINDINGS 32
#define LIBRARY_MAX_CONSTANTS 64

// The kernels' image in memory. `address` is where the kernels themselves see data[0].
typedef struct {
    uint8_t *data;
    uint32_t size;
    uint32_t address;
    uint32_t code_begin; // executable range, relative to the image
    uint32_t code_end;
} image_t;

typedef struct {
    uint32_t function; // address
    uint16_t local_memory_pages;
    uint8_t constant_count;
    uint8_t binding_count;
    uint32_t workgroup_size[3];
    const char *name;
} export_t;

typedef struct {
    image_t image;
    export_t *exports;
    uint32_t export_count;
    uint8_t *local_memory; // for one workgroup
    uint32_t local_memory_bytes;
} library_t;

typedef struct {
    uint32_t workgroups[3];
    const uint32_t *constants;
    uint8_t *bindings[LIBRARY_MAX_BINDINGS];
    size_t binding_lengths[LIBRARY_MAX_BINDINGS];
} dispatch_t;

// The address at which the kernels see an image that lies at `data`.
uint32_t library_address(const uint8_t *data);

// Address of the library's structure, from the image's query function at `query`.
status_t library_query(const image_t *image, uint32_t query, uint32_t *address);

// Reads and checks the structure at `address`: export_count, and exports[0, export_count) unless `exports` is
// NULL.
status_t library_read(library_t *library, uint32_t address);

// Runs all workgroups of an export; STATUS_HAL_KERNEL when one of them reports an error.
status_t library_dispatch(const library_t *library, const export_t *entry, const dispatch_t *dispatch);

#endif
