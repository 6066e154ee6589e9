# SPDX-License-Identifier: Apache-2.0
"""National Semiconductor's 16550 UART, as most systems on a chip have it. Source: TI's data sheet of the PC16550D."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntFlag

from springbok.devices.interface import Problem, Surroundings, Uart, Warn, line_rate_problem

DATA, INTERRUPT_ENABLE, FIFO_CONTROL, LINE_CONTROL, MODEM_CONTROL, LINE_STATUS, MODEM_STATUS, SCRATCH = range(8)


class LineStatus(IntFlag):
    DATA_READY = 1 << 0
    THR_EMPTY = 1 << 5
    TRANSMITTER_EMPTY = 1 << 6


LATCH, EIGHT_BITS, FIFO_ENABLE = 0x80, 0x03, 0x01


class Ns16550(Uart):
    """The 16550. ``stride`` is the bytes from one of its registers to the next: 1 or 4."""

    NAME = "UART"
    FIFO = 16
    FULL = "LSR.THRE"

    def __init__(self, warn: Warn, on_polling: Callable[[], None] = lambda: None, stride: int = 4) -> None:
        super().__init__(warn, on_polling)
        self.SIZE = 0x1000
        #: The bytes of an access: with registers side by side a wider one would reach several.
        self.ACCESS_BYTES = stride
        self._stride = stride
        self._registers = {INTERRUPT_ENABLE: 0, LINE_CONTROL: 0, MODEM_CONTROL: 0, SCRATCH: 0}
        self._fifo_control = 0
        self._divisor = 0

    @property
    def receiving(self) -> bool:
        return self._divisor != 0  # the 16550 has no switch; without a divisor its line stands still

    def read(self, offset: int) -> int:
        register = offset // self._stride
        if register == LINE_STATUS:
            self._polled()
            status = LineStatus.DATA_READY if self.received else LineStatus(0)
            if len(self.to_send) <= self.BUFFER_BYTES - self.FIFO:
                status |= LineStatus.THR_EMPTY
            return int(status if self.to_send else status | LineStatus.TRANSMITTER_EMPTY)
        if self._latched and register in (DATA, INTERRUPT_ENABLE):
            return self._divisor >> 8 * register & 0xFF
        if register == DATA:
            return self._read_data()
        constant = {
            FIFO_CONTROL: 0xC1 if self._fifo_control & FIFO_ENABLE else 0x01,  # which interrupt: none is pending
            MODEM_STATUS: 0xB0,  # clear to send, data set ready, carrier: the line is always there
        }
        known = {**self._registers, **constant}
        if register in known:
            return known[register]
        self._warn(f"UART: read of unknown register 0x{offset:x}")
        return 0

    def write(self, offset: int, value: int) -> None:
        register, value = offset // self._stride, value & 0xFF
        if self._latched and register in (DATA, INTERRUPT_ENABLE):
            self._divisor = self._divisor & ~(0xFF << 8 * register) | value << 8 * register
        elif register == DATA:
            self._write_data(value)
        elif register == FIFO_CONTROL:
            if value & 2:
                self.received.clear()
            self._fifo_control = value & 0xC9
        elif register in self._registers:
            self._registers[register] = value
        else:
            self._warn(f"UART: write of 0x{value:x} to unknown or read-only register 0x{offset:x}")

    @property
    def _latched(self) -> bool:
        return bool(self._registers[LINE_CONTROL] & LATCH)

    def _is_set_up(self, what: str) -> bool:
        if not self._divisor:
            self._warn(f"UART: {what} refused, the divisor latch was never set: the line has no baud rate")
            return False
        if self._registers[LINE_CONTROL] & EIGHT_BITS != EIGHT_BITS:
            bits = 5 + (self._registers[LINE_CONTROL] & EIGHT_BITS)
            self._warn(f"UART: LCR sets words of {bits} bits; the line carries 8 (LCR bits 0 and 1)")
        return True

    def _read_data(self) -> int:
        return self._take_byte() if self._is_set_up("data register read") else 0

    def _write_data(self, value: int) -> None:
        if self._is_set_up(f"byte 0x{value:02x}"):
            self._give_byte(value)


SERVES = "uart"
#: Feeds the baud rate's divisor; the rate itself; bytes from one register to the next.
SETTINGS = {"clock_hz": 24_000_000, "baud": 115_200, "stride": 4}
ALLOWED = {"stride": (1, 4)}


def problem(settings: dict[str, int]) -> Problem:
    """A divisor that the driver can't set."""
    return line_rate_problem(settings, lambda clock, baud: (clock + 8 * baud) // (16 * baud), range(1, 1 << 16))


def create(surroundings: Surroundings, settings: dict[str, int]) -> Ns16550:
    """The device of a chip's description."""
    return Ns16550(surroundings.warn, surroundings.on_polling, settings["stride"])
