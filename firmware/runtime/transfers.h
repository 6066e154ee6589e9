// SPDX-License-Identifier: Apache-2.0
// What the VM itself does to the bytes of buffers.
#ifndef SPRINGBOK_TRANSFERS_H
#define SPRINGBOK_TRANSFERS_H

#include <stddef.h>
#include <stdint.h>

// Sets `count` elements of `size` bytes, at most 8, to the lower bytes of `value`.
void fill_elements(uint8_t *data, uint32_t count, uint32_t size, uint64_t value);

// The ranges may overlap.
void copy_bytes(uint8_t *target, const uint8_t *source, size_t count);

#endif
