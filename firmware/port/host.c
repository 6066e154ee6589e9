// SPDX-License-Identifier: Apache-2.0
// The chip on a computer, for tests: a silent line, no traps, counters and a clock that stand still. Each
// function is weak: a program that plays a part of the chip itself (the line, the time) defines that part.
// Environment variable SPRINGBOK_VLEN (default 512; 0 = no vectors) is the vector length of the chip it
// plays.
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "../runtime/platform.h"
#include "../service/board.h"

#define ARENA_BYTES (4u << 20)
#define WEAK __attribute__((weak))

WEAK uint32_t board_uart_read(uint8_t *bytes, uint32_t capacity) {
    (void)bytes, (void)capacity;
    return 0;
}

WEAK void platform_uart_write(const uint8_t *bytes, size_t count) {
    (void)bytes, (void)count;
}

WEAK uint64_t platform_time_us(void) {
    return 0;
}

WEAK uint64_t platform_instructions(void) {
    return 0;
}

WEAK uint64_t platform_cycles(void) {
    return 0;
}

WEAK void platform_mark(uint32_t event, uint32_t value) {
    (void)event, (void)value;
}

WEAK uint32_t platform_vlen_bits(void) {
    const char *text = getenv("SPRINGBOK_VLEN");
    return text != NULL ? (uint32_t)strtoul(text, NULL, 10) : 512;
}

WEAK void platform_code_barrier(void) {}

WEAK void platform_set_writable(uint8_t *begin, uint8_t *end) {
    (void)begin, (void)end;
}

WEAK void platform_set_input(uint8_t *begin, uint8_t *end) {
    (void)begin, (void)end;
}

WEAK uint32_t platform_stack_peak(void) {
    return 4096;
}

WEAK void platform_fill(void *destination, uint8_t value, size_t count) {
    memset(destination, value, count);
}

WEAK void platform_copy(void *destination, const void *source, size_t count) {
    memcpy(destination, source, count);
}

WEAK uint8_t *platform_arena(size_t *bytes) {
    _Alignas(64) static uint8_t arena[ARENA_BYTES];
    *bytes = sizeof arena;
    return arena;
}

WEAK uint8_t *platform_kernels(size_t *bytes) {
    _Alignas(64) static uint8_t kernels[ARENA_BYTES];
    *bytes = sizeof kernels;
    return kernels;
}

WEAK void platform_place_code(uint8_t *destination, const uint8_t *source, size_t count) {
    memcpy(destination, source, count);
}

static jmp_buf *innermost;

WEAK status_t platform_attempt(attempt_fn fn, void *argument) {
    jmp_buf here, *outer = innermost;
    innermost = &here;
    status_t status = (status_t)setjmp(here);
    if (status == STATUS_OK) fn(argument);
    innermost = outer;
    return status;
}

WEAK _Noreturn void platform_abandon(status_t status) {
    longjmp(*innermost, (int)status);
}

// No trap is caught here: a bad access must end the process, so that the sanitizers report it.
WEAK status_t platform_guarded_call(attempt_fn fn, void *argument) {
    return platform_attempt(fn, argument);
}

WEAK uint32_t board_elen_bits(void) {
    return 32;
}

WEAK bool board_marks(void) {
    return false;
}

WEAK bool board_contains(void) {
    return false;
}

WEAK uint32_t board_stack_bytes(void) {
    return 1u << 17;
}

WEAK void board_set_time_limit(uint32_t milliseconds) {
    (void)milliseconds;
}

WEAK bool board_i2c_open(void) {
    return false;
}

WEAK bool board_i2c_read(uint32_t device, uint32_t from, uint8_t *bytes, uint32_t count) {
    (void)device, (void)from, (void)bytes, (void)count;
    return false;
}

WEAK bool board_i2c_write(uint32_t device, uint32_t to, uint8_t value) {
    (void)device, (void)to, (void)value;
    return false;
}

WEAK _Noreturn void board_restart(void) {
    abort();
}
