// SPDX-License-Identifier: Apache-2.0
// Memory that core and host share, in the place of a UART: two rings of bytes and a request to place code.
// model.py says what lies where. Each word has one writer; counts of bytes run on, modulo 2^32.
#include "devices.h"

enum {
    STATE = 0x00,
    TO_CHIP_HEAD = 0x04,
    TO_CHIP_TAIL = 0x08,
    TO_HOST_HEAD = 0x0C,
    TO_HOST_TAIL = 0x10,
    SOURCE = 0x14,
    DESTINATION = 0x18,
    BYTES = 0x1C,
    ASKED = 0x20,
    DONE = 0x24,
    TO_CHIP = 0x400,
    TO_HOST = 0x800,
    RING_BYTES = 0x400,
};

#define READY 0x4d61696cu
#define ORDER() __asm__ volatile("fence" ::: "memory")

static uint32_t get(uint32_t offset) {
    return register_read(CHIP_UART_BASE + offset);
}

static void set(uint32_t offset, uint32_t value) {
    register_write(CHIP_UART_BASE + offset, value);
}

static volatile uint8_t *ring(uint32_t offset, uint32_t number) {
    return (volatile uint8_t *)(uintptr_t)(CHIP_UART_BASE + offset + number % RING_BYTES);
}

void uart_open(void) {
    set(STATE, READY);
}

uint32_t board_uart_read(uint8_t *bytes, uint32_t capacity) {
    uint32_t tail = get(TO_CHIP_TAIL), count = get(TO_CHIP_HEAD) - tail;
    if (count == 0) return 0;
    if (count > capacity) count = capacity;
    ORDER();
    for (uint32_t i = 0; i < count; i++)
        bytes[i] = *ring(TO_CHIP, tail + i);
    ORDER();
    set(TO_CHIP_TAIL, tail + count);
    return count;
}

void platform_uart_write(const uint8_t *bytes, size_t count) {
    uint32_t head = get(TO_HOST_HEAD);
    while (count > 0) {
        uint32_t room = RING_BYTES - (head - get(TO_HOST_TAIL));
        for (; room > 0 && count > 0; room--, count--)
            *ring(TO_HOST, head++) = *bytes++;
        ORDER();
        set(TO_HOST_HEAD, head);
    }
}

void uart_drain(void) {
    while (get(TO_HOST_TAIL) != get(TO_HOST_HEAD)) {
    }
}

void host_places_code(uintptr_t destination, const uint8_t *source, size_t count) {
    uint32_t number = get(ASKED) + 1;
    set(SOURCE, (uint32_t)(uintptr_t)source);
    set(DESTINATION, (uint32_t)destination);
    set(BYTES, (uint32_t)count);
    ORDER();
    set(ASKED, number);
    while (get(DONE) != number) {
    }
    ORDER();
}
