// SPDX-License-Identifier: Apache-2.0
// Limits and roundings of float32 for kernels, on a core without floating point: LLVM calls them, and the C
// compiler's own runtime library lacks them. By IEEE 754-2019: a maximum is NaN where an operand is one, that
// of numbers is the other operand, and -0 lies below 0. Roundings are to nearest, halves to even.
#include <stdbool.h>
#include <stdint.h>

float fmaximumf(float left, float right);
float fminimumf(float left, float right);
float fmaximum_numf(float left, float right);
float fminimum_numf(float left, float right);
float roundevenf(float value);
float rintf(float value);
float nearbyintf(float value);

enum { FRACTION_BITS = 23, EXPONENT_OF_ONE = 127 };
#define SIGN 0x80000000u
#define INFINITE 0x7f800000u
#define QUIET 0x00400000u
#define ONE 0x3f800000u
#define HALF 0x3f000000u

typedef union {
    float value;
    uint32_t bits;
} number_t;

static uint32_t bits_of(float value) {
    return (number_t){.value = value}.bits;
}

static float of_bits(uint32_t bits) {
    return (number_t){.bits = bits}.value;
}

static bool is_nan(uint32_t bits) {
    return (bits & ~SIGN) > INFINITE;
}

// Integers in the order of the numbers, from -infinity by -0 and 0 to infinity.
static int32_t ordered(uint32_t bits) {
    return (int32_t)((bits & SIGN) != 0 ? bits ^ ~SIGN : bits);
}

// The one of two that is on the `upper` side.
static float limit(float left, float right, bool upper, bool of_numbers) {
    uint32_t a = bits_of(left), b = bits_of(right);
    if (is_nan(a)) return of_numbers && !is_nan(b) ? right : of_bits(a | QUIET);
    if (is_nan(b)) return of_numbers ? left : of_bits(b | QUIET);
    return (ordered(a) > ordered(b)) == upper ? left : right;
}

float fmaximumf(float left, float right) {
    return limit(left, right, true, false);
}

float fminimumf(float left, float right) {
    return limit(left, right, false, false);
}

float fmaximum_numf(float left, float right) {
    return limit(left, right, true, true);
}

float fminimum_numf(float left, float right) {
    return limit(left, right, false, true);
}

// Adding just below half of the last place that stays, or half where that place is odd, carries where it
// should.
float roundevenf(float value) {
    uint32_t bits = bits_of(value), magnitude = bits & ~SIGN;
    if (is_nan(bits)) return of_bits(bits | QUIET);
    if (magnitude < ONE) return of_bits((bits & SIGN) | (magnitude > HALF ? ONE : 0));
    uint32_t places = magnitude >> FRACTION_BITS;
    if (places >= EXPONENT_OF_ONE + FRACTION_BITS) return value;
    uint32_t shift = EXPONENT_OF_ONE + FRACTION_BITS - places, last = 1u << shift;
    bits += last / 2 - 1 + (bits >> shift & 1);
    return of_bits(bits & ~(last - 1));
}

float rintf(float value) {
    return roundevenf(value);
}

float nearbyintf(float value) {
    return roundevenf(value);
}
