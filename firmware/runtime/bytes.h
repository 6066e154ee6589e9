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

// The text that belongs to a code: `texts` are one after the other, each with its zero, in the order of
// `codes`. NULL if there is none. Smaller than an array of pointers.
const char *text_of_code(uint32_t code, const uint16_t *codes, uint32_t count, const char *texts);

bool span_equals(span_t span, const char *text);

// A name from a file as text for a message: cut to what fits, terminated, unprintable characters replaced.
const char *span_printable(span_t span, char *text, uint32_t capacity);

#endif
