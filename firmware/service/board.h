// SPDX-License-Identifier: Apache-2.0
// What the service asks of the chip beyond platform.h.
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

// Whether kernels can write to nothing but their stack and the tensors, and can't reach the devices.
bool board_contains(void);

// Takes what has come over the serial port, at most `capacity` bytes; never waits. Returns how many.
uint32_t board_uart_read(uint8_t *bytes, uint32_t capacity);

uint32_t board_stack_bytes(void);

// From now on platform_guarded_call() fails when it takes longer.
void board_set_time_limit(uint32_t milliseconds);

// Switches the I2C controller on. False: the chip has none.
bool board_i2c_open(void);

// Reads consecutive registers of a device, or writes one. False: it does not answer.
bool board_i2c_read(uint32_t device, uint32_t from, uint8_t *bytes, uint32_t count);
bool board_i2c_write(uint32_t device, uint32_t to, uint8_t value);

// Waits until the last answer is on the line, then starts the firmware again as after power-on.
_Noreturn void board_restart(void);

#endif
