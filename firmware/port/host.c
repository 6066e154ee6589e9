// SPDX-License-Identifier: Apache-2.0
// The platform on a computer, for tests: no UART, no traps, counters that stand still. Environment variable
// SPRINGBOK_VLEN (default 512; 0 = no vectors) is the vector length of the chip that the host plays.
#include <stdlib.h>
#include <string.h>

#include "platform.h"

int platform_uart_read(uint8_t *byte) {
    (void)byte;
    return 0;
}

void platform_uart_write(const uint8_t *bytes, size_t count) {
    (void)bytes;
    (void)count;
}

uint64_t platform_time_us(void) {
    return 0;
}

uint64_t platform_instructions(void) {
    return 0;
}

uint64_t platform_cycles(void) {
    return 0;
}

void platform_mark(uint32_t event, uint32_t value) {
    (void)event;
    (void)value;
}

uint32_t platform_vlen_bits(void) {
    const char *text = getenv("SPRINGBOK_VLEN");
    return text != NULL ? (uint32_t)strtoul(text, NULL, 10) : 512;
}

void platform_code_barrier(void) {}

uint32_t platform_stack_peak(void) {
    return 0;
}

void platform_fill(void *destination, uint8_t value, size_t count) {
    memset(destination, value, count);
}

void platform_copy(void *destination, const void *source, size_t count) {
    memcpy(destination, source, count);
}

uint8_t *platform_arena(size_t *bytes) {
    _Alignas(64) static uint8_t arena[1 << 20];
    *bytes = sizeof arena;
    return arena;
}

status_t platform_guarded_call(platform_guarded_fn fn, void *argument, int *result) {
    *result = fn(argument);
    return STATUS_OK;
}
