// SPDX-License-Identifier: Apache-2.0
// What the drivers in keywords/springbok/devices offer to chip.c, and what they need. A chip has one driver a
// service; addresses and settings are in chip.h, which is generated from the chip's description.
#ifndef SPRINGBOK_DEVICES_H
#define SPRINGBOK_DEVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../runtime/platform.h"
#include "../service/board.h"
#include "chip.h"

static inline uint32_t register_read(uintptr_t address) {
    return *(volatile uint32_t *)address;
}

static inline void register_write(uintptr_t address, uint32_t value) {
    *(volatile uint32_t *)address = value;
}

// High and low halves of a running 64-bit count make one value only if no carry came between them.
#define READ_COUNTER(read_high, read_low)                                                                    \
    ({                                                                                                       \
        uint32_t high_, low_;                                                                                \
        do {                                                                                                 \
            high_ = (read_high);                                                                             \
            low_ = (read_low);                                                                               \
        } while (high_ != (read_high));                                                                      \
        (uint64_t)high_ << 32 | low_;                                                                        \
    })

// Between the two, instructions that trap are skipped. The second returns whether none did.
void board_probe_begin(void);
bool board_probe_end(void);

// uart: these, board_uart_read() and platform_uart_write().
void uart_open(void);
void uart_drain(void); // waits until the last byte is on the line
// Of one that PLACES_CODE: has the host copy it, and waits.
void host_places_code(uintptr_t destination, const uint8_t *source, size_t count);

// timer: ticks of CHIP_TIMER_FREQUENCY_HZ, and the timer's interrupt from a moment on.
uint64_t timer_ticks(void);
void timer_set_alarm(uint64_t ticks);

// control: tells the host processor of a trap outside any request.
void control_report_trap(uint32_t mcause);

// i2c: board_i2c_open(), board_i2c_read() and board_i2c_write().

#endif
