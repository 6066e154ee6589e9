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

// How to round to an integer, numbered as the rounding modes of RISC-V. AWAY: to the nearest, halves away
// from zero; EVEN: to the nearest, halves to the even neighbour.
typedef enum { ROUND_EVEN = 0, ROUND_DOWN = 2, ROUND_UP = 3, ROUND_AWAY = 4 } rounding_t;

#ifdef __riscv_flen

static inline int32_t float_in_mode(float a, rounding_t mode) {
    int32_t whole;
    __asm__("fsrm zero, %2\n\tfcvt.w.s %0, %1, dyn\n\tfsrm zero" : "=&r"(whole) : "f"(a), "r"(mode));
    return whole;
}

// To the nearest, halves away from zero; cut off at the ends of the range, and NaN gives the largest.
static inline int32_t float_to_signed(float a) {
    int32_t whole;
    __asm__("fcvt.w.s %0, %1, rmm" : "=r"(whole) : "f"(a));
    return whole;
}

static inline uint32_t float_to_unsigned(float a) {
    uint32_t whole;
    __asm__("fcvt.wu.s %0, %1, rmm" : "=r"(whole) : "f"(a));
    return whole;
}

#else

static inline int32_t float_in_mode(float a, rounding_t mode) {
    int32_t whole = (int32_t)a;
    float rest = __builtin_fabsf(a - (float)whole);
    int32_t outwards = a < 0.0f ? -1 : 1;
    switch (mode) {
    case ROUND_DOWN: return (float)whole > a ? whole - 1 : whole;
    case ROUND_UP: return (float)whole < a ? whole + 1 : whole;
    case ROUND_AWAY: return rest >= 0.5f ? whole + outwards : whole;
    default: return rest > 0.5f || (rest == 0.5f && whole % 2 != 0) ? whole + outwards : whole;
    }
}

static inline int32_t float_to_signed(float a) {
    if (a < -2147483648.0f) return INT32_MIN;
    if (!(a < 2147483648.0f)) return INT32_MAX;
    return __builtin_fabsf(a) < 8388608.0f ? float_in_mode(a, ROUND_AWAY) : (int32_t)a;
}

static inline uint32_t float_to_unsigned(float a) {
    if (a <= -0.5f) return 0;
    if (!(a < 4294967296.0f)) return UINT32_MAX;
    return a < 8388608.0f ? (uint32_t)float_in_mode(a, ROUND_AWAY) : (uint32_t)a;
}

#endif

// To the nearest step of an int8 tensor, halves away from zero; what lies outside becomes its first or last.
HOT int8_t float_quantised(float value, float scale, int32_t zero_point) {
    int32_t zero = (int8_t)zero_point, steps = float_to_signed(value / scale);
    if (steps < INT8_MIN - zero) steps = INT8_MIN - zero;
    if (steps > INT8_MAX - zero) steps = INT8_MAX - zero;
    return (int8_t)(steps + zero);
}

// From 2^23 on every float is an integer; NaN and infinity come back as they are.
static inline float float_rounded(float a, rounding_t mode) {
    return __builtin_fabsf(a) < 8388608.0f ? __builtin_copysignf((float)float_in_mode(a, mode), a) : a;
}

#endif
