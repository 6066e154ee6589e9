// SPDX-License-Identifier: Apache-2.0
// The float functions of the VM's f32 extension that a freestanding C compiler has no library for.
#ifndef SPRINGBOK_FLOAT_H
#define SPRINGBOK_FLOAT_H

#include <stdbool.h>
#include <stdint.h>

static inline float float_of(uint32_t bits) {
    float value;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t bits_of(float value) {
    uint32_t bits;
    __builtin_memcpy(&bits, &value, sizeof bits);
    return bits;
}

// Towards zero. From 2^23 on every float is an integer; NaN and infinity come back as they are.
static inline float float_truncate(float a) {
    return __builtin_fabsf(a) < 8388608.0f ? __builtin_copysignf((float)(int32_t)a, a) : a;
}

static inline float float_floor(float a) {
    float whole = float_truncate(a);
    return whole > a ? whole - 1.0f : whole;
}

static inline float float_ceil(float a) {
    return -float_floor(-a);
}

// Halves go away from zero.
static inline float float_round(float a) {
    float whole = float_truncate(a);
    return __builtin_fabsf(a - whole) >= 0.5f ? whole + __builtin_copysignf(1.0f, a) : whole;
}

// Halves go to the even neighbour.
static inline float float_round_even(float a) {
    float whole = float_truncate(a), rest = __builtin_fabsf(a - whole);
    bool odd = ((int32_t)(__builtin_fabsf(whole) < 8388608.0f ? whole : 0.0f) & 1) != 0;
    return rest > 0.5f || (rest == 0.5f && odd) ? whole + __builtin_copysignf(1.0f, a) : whole;
}

// The integer nearest to a in [-2^bits, 2^bits - 1]; NaN gives the largest, as the chip's own conversion
// does.
static inline int64_t float_to_signed(float a, uint32_t bits) {
    float limit = (float)(1ull << bits);
    if (a < -limit) return (int64_t)(-(1ull << (bits - 1)) * 2);
    return a < limit ? (int64_t)a : (int64_t)((1ull << bits) - 1);
}

// In [0, 2^bits - 1].
static inline uint64_t float_to_unsigned(float a, uint32_t bits) {
    float limit = 2.0f * (float)(1ull << (bits - 1));
    if (a <= 0.0f) return 0;
    return a < limit ? (uint64_t)a : ~0ull >> (64 - bits);
}

#endif
