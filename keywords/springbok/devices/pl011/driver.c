// SPDX-License-Identifier: Apache-2.0
// ARM's PL011 UART.
#include "devices.h"

enum { DR = 0x00, FR = 0x18, IBRD = 0x24, FBRD = 0x28, LCR_H = 0x2C, CR = 0x30 };

#define FR_BUSY (1u << 3)
#define FR_RXFE (1u << 4)
#define FR_TXFF (1u << 5)
#define FR_RXFF (1u << 6)
#define FR_TXFE (1u << 7)
#define FIFO_BYTES 16u
#define LCR_H_8N1_FIFO 0x70u
#define CR_ENABLE_TX_RX 0x301u
// The baud rate's divisor of 16 times the rate, in 64ths.
#define DIVISOR ((CHIP_UART_CLOCK_HZ * 4 + CHIP_UART_BAUD / 2) / CHIP_UART_BAUD)

void uart_open(void) {
    register_write(CHIP_UART_BASE + CR, 0); // the divisors may only change while it is off
    register_write(CHIP_UART_BASE + IBRD, DIVISOR / 64);
    register_write(CHIP_UART_BASE + FBRD, DIVISOR % 64);
    register_write(CHIP_UART_BASE + LCR_H, LCR_H_8N1_FIFO);
    register_write(CHIP_UART_BASE + CR, CR_ENABLE_TX_RX);
}

// A full FIFO is read without asking again before each byte.
uint32_t board_uart_read(uint8_t *bytes, uint32_t capacity) {
    uint32_t flags = register_read(CHIP_UART_BASE + FR);
    if (flags & FR_RXFE) return 0;
    uint32_t count = flags & FR_RXFF ? FIFO_BYTES : 1;
    if (count > capacity) count = capacity;
    for (uint32_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)register_read(CHIP_UART_BASE + DR);
    return count;
}

// An empty FIFO is filled without asking again before each byte.
void platform_uart_write(const uint8_t *bytes, size_t count) {
    for (uint32_t room = 0; count > 0; count--, room--) {
        while (room == 0) {
            uint32_t flags = register_read(CHIP_UART_BASE + FR);
            room = flags & FR_TXFE ? FIFO_BYTES : flags & FR_TXFF ? 0 : 1;
        }
        register_write(CHIP_UART_BASE + DR, *bytes++);
    }
}

void uart_drain(void) {
    while (register_read(CHIP_UART_BASE + FR) & FR_BUSY) {
    }
}
