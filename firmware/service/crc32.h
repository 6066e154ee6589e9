// SPDX-License-Identifier: Apache-2.0
// CRC-32 as in IEEE 802.3, zlib and PNG.
#ifndef SPRINGBOK_CRC32_H
#define SPRINGBOK_CRC32_H

#include <stddef.h>
#include <stdint.h>

// Goes on from `crc`, 0 at the start: crc32(crc32(0, a, n), b, m) is that of both together.
uint32_t crc32(uint32_t crc, const void *bytes, size_t count);

#endif
