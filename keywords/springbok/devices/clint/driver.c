// SPDX-License-Identifier: Apache-2.0
// The core-local interruptor of hart 0.
#include "devices.h"

enum { MTIMECMP_LOW = 0x4000, MTIMECMP_HIGH = 0x4004, MTIME_LOW = 0xBFF8, MTIME_HIGH = 0xBFFC };

uint64_t timer_ticks(void) {
    return READ_COUNTER(register_read(CHIP_TIMER_BASE + MTIME_HIGH),
                        register_read(CHIP_TIMER_BASE + MTIME_LOW));
}

void timer_set_alarm(uint64_t ticks) {
    register_write(CHIP_TIMER_BASE + MTIMECMP_HIGH, 0xFFFFFFFFu); // so that no half-written value rings
    register_write(CHIP_TIMER_BASE + MTIMECMP_LOW, (uint32_t)ticks);
    register_write(CHIP_TIMER_BASE + MTIMECMP_HIGH, (uint32_t)(ticks >> 32));
}
