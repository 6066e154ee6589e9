// SPDX-License-Identifier: Apache-2.0
// What the service tells about the chip beyond platform.h.
#ifndef SPRINGBOK_BOARD_H
#define SPRINGBOK_BOARD_H

#include <stdbool.h>
#include <stdint.h>

// Called once, before anything else: serial port, probes of what the chip can do.
void board_init(void);

// Bits of the widest vector element; 0 without vectors.
uint32_t board_elen_bits(void);

// Whether platform_mark() reaches a simulator.
bool board_marks(void);

#endif
