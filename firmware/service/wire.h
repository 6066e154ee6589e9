// SPDX-License-Identifier: Apache-2.0
// Little-endian writes to any address; the reads are the runtime's.
#ifndef SPRINGBOK_WIRE_H
#define SPRINGBOK_WIRE_H

#include "../runtime/bytes.h"

static inline void put_u16(uint8_t *bytes, uint32_t value) {
    bytes[0] = (uint8_t)value;
    bytes[1] = (uint8_t)(value >> 8);
}

static inline void put_u32(uint8_t *bytes, uint32_t value) {
    put_u16(bytes, value);
    put_u16(bytes + 2, value >> 16);
}

static inline void put_u64(uint8_t *bytes, uint64_t value) {
    put_u32(bytes, (uint32_t)value);
    put_u32(bytes + 4, (uint32_t)(value >> 32));
}

#endif
