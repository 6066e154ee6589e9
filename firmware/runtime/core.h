// SPDX-License-Identifier: Apache-2.0
// The core that kernels are compiled for, by the chip's description: on a computer, of the chip that it
// plays. What differs between cores of 32 and 64 bits in the kernels' file and tables follows from here.
#ifndef SPRINGBOK_CORE_H
#define SPRINGBOK_CORE_H

#include <stdint.h>

#include "chip.h"

// A register, and so an address, as the kernels have it; on a host of another width too.
#if CHIP_XLEN == 64
typedef uint64_t word_t;
#define KERNEL_BASE "rv64"
#define EXECUTABLE_FORMAT "embedded-elf-riscv_64"
#else
typedef uint32_t word_t;
#define KERNEL_BASE "rv32"
#define EXECUTABLE_FORMAT "embedded-elf-riscv_32"
#endif

// Compressed instructions end at any second byte.
#ifdef CHIP_HAS_C
#define KERNEL_CODE_ALIGNMENT 2
#else
#define KERNEL_CODE_ALIGNMENT 4
#endif

#endif
