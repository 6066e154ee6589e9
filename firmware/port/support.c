// SPDX-License-Identifier: Apache-2.0
// What compiled C calls without being asked: memory functions and unsigned 64-bit division. The compiler's
// own library has them too, made for speed, which takes 3 kB; here they are rare (platform.h has fast ones)
// and small. -ffreestanding keeps the compiler from turning these loops into calls of themselves.
#include <stddef.h>
#include <stdint.h>

void *memcpy(void *destination, const void *source, size_t count);
void *memset(void *destination, int value, size_t count);
int memcmp(const void *left, const void *right, size_t count);
uint64_t __udivmoddi4(uint64_t dividend, uint64_t divisor, uint64_t *rest);
uint64_t __udivdi3(uint64_t dividend, uint64_t divisor);

// Whole words when all is aligned, as structures and the heap's blocks are.
void *memcpy(void *destination, const void *source, size_t count) {
    uint8_t *to = destination;
    const uint8_t *from = source;
    if ((((uintptr_t)to | (uintptr_t)from) & 3) == 0)
        for (; count >= 4; count -= 4, to += 4, from += 4)
            *(uint32_t *)(void *)to = *(const uint32_t *)(const void *)from;
    for (; count > 0; count--)
        *to++ = *from++;
    return destination;
}

void *memset(void *destination, int value, size_t count) {
    uint8_t *to = destination;
    uint32_t word = (uint8_t)value * 0x01010101u;
    if (((uintptr_t)to & 3) == 0)
        for (; count >= 4; count -= 4, to += 4)
            *(uint32_t *)(void *)to = word;
    for (; count > 0; count--)
        *to++ = (uint8_t)value;
    return destination;
}

int memcmp(const void *left, const void *right, size_t count) {
    const uint8_t *a = left, *b = right;
    for (; count > 0; count--, a++, b++)
        if (*a != *b) return *a - *b;
    return 0;
}

// One bit of the quotient a round, from the highest.
uint64_t __udivmoddi4(uint64_t dividend, uint64_t divisor, uint64_t *rest) {
    uint64_t quotient = dividend, remainder = 0;
    for (int bit = 0; bit < 64; bit++) {
        uint32_t out = (uint32_t)(remainder >> 63);
        remainder = remainder << 1 | quotient >> 63;
        quotient <<= 1;
        if (out != 0 || remainder >= divisor) {
            remainder -= divisor;
            quotient |= 1;
        }
    }
    *rest = remainder;
    return quotient;
}

uint64_t __udivdi3(uint64_t dividend, uint64_t divisor) {
    uint64_t rest;
    return __udivmoddi4(dividend, divisor, &rest);
}
