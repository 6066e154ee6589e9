// SPDX-License-Identifier: Apache-2.0
// The UART of OpenTitan and lowRISC.
#include "devices.h"

enum { CTRL = 0x10, STATUS = 0x14, RDATA = 0x18, WDATA = 0x1C, FIFO_CTRL = 0x20 };

#define STATUS_TXFULL (1u << 0)
#define STATUS_RXFULL (1u << 1)
#define STATUS_TXEMPTY (1u << 2)
#define STATUS_TXIDLE (1u << 3)
#define STATUS_RXEMPTY (1u << 5)
#define FIFO_BYTES 32u
#define FIFO_CTRL_RESET 3u
#define CTRL_ENABLE_TX_RX 3u
// The line's clock is the block's, times NCO, divided by 2^20.
#define NCO ((uint32_t)(((uint64_t)CHIP_UART_BAUD << 20) / CHIP_UART_CLOCK_HZ))

_Static_assert(NCO > 0 && NCO <= 0xFFFF, "the UART's clock and its baud rate");

void uart_open(void) {
    register_write(CHIP_UART_BASE + FIFO_CTRL, FIFO_CTRL_RESET);
    register_write(CHIP_UART_BASE + CTRL, NCO << 16 | CTRL_ENABLE_TX_RX);
}

// A full FIFO is read without asking again before each byte.
uint32_t board_uart_read(uint8_t *bytes, uint32_t capacity) {
    uint32_t status = register_read(CHIP_UART_BASE + STATUS);
    if (status & STATUS_RXEMPTY) return 0;
    uint32_t count = status & STATUS_RXFULL ? FIFO_BYTES : 1;
    if (count > capacity) count = capacity;
    for (uint32_t i = 0; i < count; i++)
        bytes[i] = (uint8_t)register_read(CHIP_UART_BASE + RDATA);
    return count;
}

// An empty FIFO is filled without asking again before each byte.
void platform_uart_write(const uint8_t *bytes, size_t count) {
    for (uint32_t room = 0; count > 0; count--, room--) {
        while (room == 0) {
            uint32_t status = register_read(CHIP_UART_BASE + STATUS);
            room = status & STATUS_TXEMPTY ? FIFO_BYTES : status & STATUS_TXFULL ? 0 : 1;
        }
        register_write(CHIP_UART_BASE + WDATA, *bytes++);
    }
}

void uart_drain(void) {
    while ((register_read(CHIP_UART_BASE + STATUS) & STATUS_TXIDLE) == 0) {
    }
}
