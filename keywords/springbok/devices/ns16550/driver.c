// SPDX-License-Identifier: Apache-2.0
// National Semiconductor's 16550 UART. Its registers are bytes, CHIP_UART_STRIDE apart.
#include "devices.h"

enum {
    DATA,
    DIVISOR_LOW = 0,
    INTERRUPT_ENABLE,
    DIVISOR_HIGH = 1,
    FIFO_CONTROL,
    LINE_CONTROL,
    LINE_STATUS = 5
};

#define LINE_STATUS_READY (1u << 0)
#define LINE_STATUS_THR_EMPTY (1u << 5)
#define LINE_STATUS_ALL_SENT (1u << 6)
#define LINE_CONTROL_8N1 0x03u
#define LINE_CONTROL_LATCH 0x80u
#define FIFO_BYTES 16u
#define FIFO_CONTROL_RESET 0x07u
#define DIVISOR ((CHIP_UART_CLOCK_HZ + 8 * CHIP_UART_BAUD) / (16 * CHIP_UART_BAUD))

_Static_assert(DIVISOR > 0 && DIVISOR <= 0xFFFF, "the UART's clock and its baud rate");

static uint32_t get(uint32_t number) {
    return *(volatile uint8_t *)(uintptr_t)(CHIP_UART_BASE + number * CHIP_UART_STRIDE);
}

static void set(uint32_t number, uint32_t value) {
    *(volatile uint8_t *)(uintptr_t)(CHIP_UART_BASE + number * CHIP_UART_STRIDE) = (uint8_t)value;
}

void uart_open(void) {
    set(LINE_CONTROL, LINE_CONTROL_8N1 | LINE_CONTROL_LATCH);
    set(DIVISOR_LOW, DIVISOR & 0xFF);
    set(DIVISOR_HIGH, DIVISOR >> 8);
    set(LINE_CONTROL, LINE_CONTROL_8N1);
    set(INTERRUPT_ENABLE, 0);
    set(FIFO_CONTROL, FIFO_CONTROL_RESET);
}

uint32_t board_uart_read(uint8_t *bytes, uint32_t capacity) {
    uint32_t count = 0;
    while (count < capacity && (get(LINE_STATUS) & LINE_STATUS_READY) != 0)
        bytes[count++] = (uint8_t)get(DATA);
    return count;
}

// An empty FIFO is filled without asking again before each byte.
void platform_uart_write(const uint8_t *bytes, size_t count) {
    for (uint32_t room = 0; count > 0; count--, room--) {
        while (room == 0)
            room = get(LINE_STATUS) & LINE_STATUS_THR_EMPTY ? FIFO_BYTES : 0;
        set(DATA, *bytes++);
    }
}

void uart_drain(void) {
    while ((get(LINE_STATUS) & LINE_STATUS_ALL_SENT) == 0) {
    }
}
