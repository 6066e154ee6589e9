// SPDX-License-Identifier: Apache-2.0
// What the VM's instructions on numbers compute.
#ifndef SPRINGBOK_ARITHMETIC_H
#define SPRINGBOK_ARITHMETIC_H

#include <stdint.h>

// i32 and i64. Operands of i32 come without their sign's extension, and missing ones as 0; of an i32 result
// the low half counts. Fails at a division by zero.
uint64_t arithmetic_integer(uint32_t opcode, uint64_t a, uint64_t b, uint64_t c);

// f32, operands and result as bits.
uint64_t arithmetic_f32(uint32_t opcode, uint64_t x, uint64_t y, uint64_t z);

#endif
