// SPDX-License-Identifier: Apache-2.0
// The float functions of the VM's f32 extension that a freestanding C compiler has no library for.
#ifndef SPRINGBOK_FLOAT_H
#define SPRINGBOK_FLOAT_H

#include "bytes.h"

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
static NOINLINE float float_truncate(float a) {
    return __builtin_fabsf(a) < 8388608.0f ? __builtin_copysignf((float)(int32_t)a, a) : a;
}

static NOINLINE float float_floor(float a) {
    float whole = float_truncate(a);
    return whole > a ? whole - 1.0f : whole;
}

static inline float float_ceil(float a) {
    return -float_floor(-a);
}

// Halves go away from zero.
static NOINLINE float float_round(float a) {
    float whole = float_truncate(a);
    return __builtin_fabsf(a - whole) >= 0.5f ? whole + __builtin_copysignf(1.0f, a) : whole;
}

// Halves go to the even neighbour.
static inline float float_round_even(float a) {
    float whole = float_truncate(a), rest = __builtin_fabsf(a - whole);
    bool odd = ((int32_t)(__builtin_fabsf(whole) < 8388608.0f ? whole : 0.0f) & 1) != 0;
    return rest > 0.5f || (rest == 0.5f && odd) ? whole + __builtin_copysignf(1.0f, a) : whole;
}

// Cut off at the ends of the range; NaN gives the largest, as the chip's own conversion does.
static inline int32_t float_to_signed(float a) {
    if (a < -2147483648.0f) return INT32_MIN;
    return a < 2147483648.0f ? (int32_t)a : INT32_MAX;
}

static inline uint32_t float_to_unsigned(float a) {
    if (a <= 0.0f) return 0;
    return a < 4294967296.0f ? (uint32_t)a : UINT32_MAX;
}

#endif
