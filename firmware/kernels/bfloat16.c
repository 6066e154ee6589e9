// SPDX-License-Identifier: Apache-2.0
// Conversions to bfloat16, the upper half of a float32, for kernels: LLVM calls them where the core has no
// instruction for them, and the C compiler's own runtime library lacks them. To nearest, halves to even.
#include <stdint.h>

__bf16 __truncsfbf2(float value);
__bf16 __truncdfbf2(double value);

static __bf16 of_bits(uint32_t bits) {
    union {
        uint16_t bits;
        __bf16 value;
    } result = {.bits = (uint16_t)bits};
    return result.value;
}

// Adding half of the last place carries into the exponent where it should: the largest numbers become
// infinity.
__bf16 __truncsfbf2(float value) {
    union {
        float value;
        uint32_t bits;
    } number = {.value = value};
    uint32_t bits = number.bits, last = bits >> 16 & 1;
    if ((bits & 0x7fffffff) > 0x7f800000) return of_bits(bits >> 16 | 0x40); // a quiet NaN of the same sign
    return of_bits((bits + 0x7fff + last) >> 16);
}

// By way of a float32 whose last bit is also set when anything was cut off: rounding to nearest itself would
// make a half of what is only close to one, and round again.
__bf16 __truncdfbf2(double value) {
    union {
        double value;
        uint64_t bits;
    } number = {.value = value};
    union {
        uint32_t bits;
        float value;
    } narrow;
    uint32_t sign = (uint32_t)(number.bits >> 32) & 0x80000000;
    uint64_t magnitude = number.bits & INT64_MAX;
    int32_t exponent = (int32_t)(magnitude >> 52) - 1023;
    uint64_t fraction = (magnitude & 0xfffffffffffff) | (magnitude >> 52 != 0 ? 1ull << 52 : 0);
    if (magnitude > 0x7ffull << 52) return of_bits(sign >> 16 | 0x7fc0);
    if (exponent > 127) return of_bits(sign >> 16 | 0x7f80);
    uint32_t cut = exponent < -126 ? 29 + (uint32_t)(-126 - exponent) : 29;
    if (cut > 63) cut = 63;
    uint32_t kept = (uint32_t)(fraction >> cut) | ((fraction & ((1ull << cut) - 1)) != 0);
    narrow.bits = sign | (exponent < -126 ? kept : ((uint32_t)(exponent + 127) << 23 | (kept & 0x7fffff)));
    return __truncsfbf2(narrow.value);
}
