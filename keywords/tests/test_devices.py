# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from springbok.devices.clint.model import Clint
from springbok.devices.interface import Warnings
from springbok.devices.pl011.model import CR, DR, FBRD, FR, IBRD, IFLS, IMSC, LCR_H, MIS, RIS, Pl011, UartFlag
from springbok.devices.springbok_control.model import (
    CONTROL,
    ERROR_STATUS,
    INIT_STATUS,
    INTR_ENABLE,
    INTR_STATE,
    INTR_TEST,
    ControlBlock,
    Interrupt,
)

ON, EIGHT_BITS = 0x301, 0x70


@pytest.fixture
def warnings() -> Warnings:
    return Warnings()


@pytest.fixture
def uart(warnings: Warnings) -> Pl011:
    """A UART that is set up as firmware should."""
    device = Pl011(warnings)
    device.write(LCR_H, EIGHT_BITS)
    device.write(CR, ON)
    return device


# ---- PL011


def test_uart_reset_values(warnings):
    uart = Pl011(warnings)
    assert uart.read(CR) == 0x300
    assert uart.read(LCR_H) == uart.read(IBRD) == uart.read(FBRD) == uart.read(IMSC) == 0
    assert uart.read(IFLS) == 0x12
    assert uart.read(FR) == UartFlag.TXFE | UartFlag.RXFE
    assert [uart.read(0xFE0 + 4 * i) for i in range(8)] == [0x11, 0x10, 0x14, 0x00, 0x0D, 0xF0, 0x05, 0xB1]
    assert warnings.lines() == []


def test_uart_registers_read_back(uart):
    for register, written, expected in ((IBRD, 0x1000D, 0xD), (FBRD, 0x41, 1), (LCR_H, 0x70, 0x70), (CR, 0x301, 0x301)):
        uart.write(register, written)
        assert uart.read(register) == expected


def test_uart_carries_bytes_both_ways(uart, warnings):
    uart.received.extend(b"ab")
    assert [uart.read(DR), uart.read(DR)] == list(b"ab")
    uart.write(DR, 0x1FF)
    assert uart.to_send == b"\xff"
    assert warnings.lines() == []


@pytest.mark.parametrize("control", [0, 0x300, 0x001, 0x201])
def test_uart_refuses_to_send_while_the_transmitter_is_off(uart, warnings, control):
    uart.write(CR, control)
    uart.write(DR, ord("x"))
    assert uart.to_send == b""
    assert warnings.lines() == ["UART: byte 0x78 refused, CR does not enable the transmitter (UARTEN and TXE)"]


@pytest.mark.parametrize("control", [0, 0x300, 0x001, 0x101])
def test_uart_refuses_to_receive_while_the_receiver_is_off(uart, warnings, control):
    uart.received.extend(b"x")
    uart.write(CR, control)
    assert not uart.receiving
    assert uart.read(DR) == 0
    assert warnings.lines() == ["UART: data register read refused, CR does not enable the receiver (UARTEN and RXE)"]
    uart.write(CR, ON)
    assert uart.read(DR) == ord("x")


@pytest.mark.parametrize(("line_control", "bits"), [(0x00, 5), (0x30, 6), (0x50, 7)])
def test_uart_warns_of_short_words(uart, warnings, line_control, bits):
    uart.write(LCR_H, line_control | (bits - 5) << 5)
    uart.received.extend(b"x")
    uart.read(DR)
    uart.write(DR, 1)
    assert warnings.lines() == [
        f"UART: LCR_H sets words of {bits} bits; the line carries 8 (LCR_H bits 5 and 6) (2 times)"
    ]


def test_uart_flags_follow_the_buffers(uart):
    uart.received.extend(b"x" * 15)
    assert uart.read(FR) == UartFlag.TXFE
    uart.received.extend(b"x")
    assert uart.read(FR) == UartFlag.TXFE | UartFlag.RXFF
    uart.write(DR, 0)
    assert uart.read(FR) == UartFlag.TXFE | UartFlag.BUSY | UartFlag.RXFF
    uart.to_send.extend(bytes(Pl011.BUFFER_BYTES - 1))
    assert uart.read(FR) == UartFlag.BUSY | UartFlag.TXFF | UartFlag.RXFF


def test_uart_loses_a_byte_written_while_full(uart, warnings):
    uart.to_send.extend(bytes(Pl011.BUFFER_BYTES))
    uart.write(DR, 1)
    assert len(uart.to_send) == Pl011.BUFFER_BYTES
    assert "TXFF" in warnings.lines()[0]


def test_uart_warns_of_reading_nothing_and_of_unknown_registers(uart, warnings):
    assert uart.read(DR) == 0
    assert uart.read(0x80) == 0
    uart.write(0x84, 7)
    uart.write(FR, 1)
    assert warnings.lines() == [
        "UART: data register read while the receive FIFO is empty",
        "UART: read of unknown register 0x80",
        "UART: write of 0x7 to unknown or read-only register 0x84",
        "UART: write of 0x1 to unknown or read-only register 0x18",
    ]


def test_uart_interrupt_status_is_masked(uart):
    uart.received.append(1)
    uart.write(IMSC, 0x10)
    assert (uart.read(RIS), uart.read(MIS)) == (0x30, 0x10)


def test_uart_tells_when_the_core_only_polls(warnings):
    polled = []
    uart = Pl011(warnings, on_polling=lambda: polled.append(1))
    uart.write(LCR_H, EIGHT_BITS)
    uart.write(CR, ON)
    for _ in range(Pl011.POLLS_BEFORE_IDLE):
        uart.read(FR)
    assert not polled
    uart.read(FR)
    assert polled
    uart.write(DR, 1)  # a core that sends is busy
    uart.read(FR)
    assert len(polled) == 1


def test_uart_sees_a_byte_that_came_while_it_slept(uart):
    uart._on_polling = lambda: uart.received.append(7)
    for _ in range(Pl011.POLLS_BEFORE_IDLE):
        assert uart.read(FR) & UartFlag.RXFE
    assert not uart.read(FR) & UartFlag.RXFE


# ---- Control block


def test_control_block_comes_up_halted_and_starts_on_zero(warnings):
    starts = []
    block = ControlBlock(warnings, on_control=starts.append)
    assert block.read(CONTROL) == 3
    assert block.halted
    block.write(CONTROL, 0)
    assert not block.halted
    assert starts == [0]


def test_control_block_starts_at_an_offset(warnings):
    starts = []
    block = ControlBlock(warnings, on_control=starts.append)
    block.write(CONTROL, 0x1000)
    assert starts == [0x1000]
    assert block.read(CONTROL) == 0x1000


def test_control_block_freezes_without_restarting(warnings):
    starts = []
    block = ControlBlock(warnings, on_control=starts.append)
    block.write(CONTROL, 0)
    block.write(CONTROL, 1)
    assert block.halted
    block.write(CONTROL, 0)
    assert starts == [0, None, None]


def test_control_block_interrupts(warnings):
    block = ControlBlock(warnings)
    assert block.read(INTR_STATE) == block.read(INTR_ENABLE) == 0
    block.write(INTR_TEST, 0b1100)
    block.raise_interrupt(Interrupt.FINISH)
    assert block.read(INTR_STATE) == 0b1110
    block.write(INTR_ENABLE, 0b10010)
    assert block.read(INTR_ENABLE) == 0b0010
    block.write(INTR_STATE, 0b0110)  # writing 1 clears
    assert block.read(INTR_STATE) == 0b1000
    assert block.read(INTR_TEST) == 0
    assert warnings.lines() == []


def test_control_block_status_and_unknown_registers(warnings):
    block = ControlBlock(warnings)
    assert (block.read(ERROR_STATUS), block.read(INIT_STATUS)) == (0, 2)
    block.write(INIT_STATUS, 1)
    assert block.read(0x40) == 0
    assert warnings.lines() == [
        "control block: write of 0x1 to unknown or read-only register 0x20",
        "control block: read of unknown register 0x40",
    ]


# ---- CLINT


def test_clint_time_and_comparator(warnings):
    now = 0x1_0000_0005
    clint = Clint(warnings, now=lambda: now)
    assert (clint.read(0xBFF8), clint.read(0xBFFC)) == (5, 1)
    assert not clint.timer_interrupt()
    clint.write(0x4000, 6)
    clint.write(0x4004, 1)
    assert (clint.read(0x4000), clint.read(0x4004)) == (6, 1)
    assert not clint.timer_interrupt()
    now += 1
    assert clint.timer_interrupt()
    clint.write(0xBFF8, 0)
    clint.write(0xBFFC, 0)
    assert clint.time == 0
    now += 3
    assert clint.time == 3


def test_clint_software_interrupt_and_unknown_registers(warnings):
    clint = Clint(warnings, now=lambda: 0)
    clint.write(0, 3)
    assert clint.software_interrupt
    assert clint.read(0) == 1
    clint.read(4)
    assert warnings.lines() == ["CLINT: read of unknown register 0x4"]


def test_warnings_are_counted_and_bounded():
    warnings = Warnings()
    for number in range(2 * Warnings.LIMIT):
        warnings(f"warning {number}")
    warnings("warning 0")
    assert len(warnings.lines()) == Warnings.LIMIT
    assert warnings.lines()[0] == "warning 0 (2 times)"
