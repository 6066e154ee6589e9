// SPDX-License-Identifier: Apache-2.0
// The accelerator's custom instruction: custom-3 (0x7b), funct3 5, funct7 0.
//     rd += rs1[0] * rs2[0] + rs1[1] * rs2[1] + rs1[2] * rs2[2] + rs1[3] * rs2[3]    modulo 2**32
// The lanes of rs1 and rs2 are signed bytes, lane 0 in the lowest bits: four elements as they lie in memory.
#ifndef SPRINGBOK_DOT4_H
#define SPRINGBOK_DOT4_H

#include <stdint.h>

static inline int32_t dot4(int32_t accumulator, uint32_t a, uint32_t b) {
    __asm__(".insn r 0x7b, 5, 0, %0, %1, %2" : "+r"(accumulator) : "r"(a), "r"(b));
    return accumulator;
}

#endif
