// SPDX-License-Identifier: Apache-2.0
// Little-endian reads from any address, and the three memory functions that a freestanding C11 compiler
// expects its runtime library to have.
#ifndef SPRINGBOK_RUNTIME_BYTES_H
#define SPRINGBOK_RUNTIME_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// For small functions with many callers, each of which would get a copy of them at -O2.
#define NOINLINE __attribute__((noinline))
// For the few that every instruction of an inference runs.
#define INLINE static inline __attribute__((always_inline))
// The same, of those with several instructions: copies are for sources that are compiled for speed, with
// FOR_SPEED; the linker leaves one for all others.
#ifdef FOR_SPEED
#define HOT INLINE
#else
#define HOT static NOINLINE __attribute__((unused))
#endif

void *memcpy(void *destination, const void *source, size_t count);
void *memset(void *destination, int value, size_t count);
int memcmp(const void *left, const void *right, size_t count);

// Bytes inside something that outlives the reader; text is not terminated.
typedef struct {
    const uint8_t *data;
    uint32_t length;
} span_t;

INLINE uint16_t read_u16(const uint8_t *bytes) {
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

uint32_t read_u32(const uint8_t *bytes);
uint64_t read_u64(const uint8_t *bytes);

// Bytes before the terminating zero.
uint32_t text_length(const char *text);

// A text that ends with a zero, without it.
span_t span_of(const char *text);

bool span_equals(span_t span, const char *text);

#endif
