# SPDX-License-Identifier: Apache-2.0
"""The UART of OpenTitan and lowRISC. Source: the OpenTitan documentation of its block ``uart``."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntFlag

from springbok.devices.interface import Problem, Surroundings, Uart, Warn, line_rate_problem

INTR_STATE, INTR_ENABLE, INTR_TEST, ALERT_TEST, CTRL, STATUS = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14
RDATA, WDATA, FIFO_CTRL, FIFO_STATUS, OVRD, VAL, TIMEOUT_CTRL = 0x18, 0x1C, 0x20, 0x24, 0x28, 0x2C, 0x30


class Control(IntFlag):
    TX = 1 << 0
    RX = 1 << 1


class Status(IntFlag):
    TXFULL = 1 << 0
    RXFULL = 1 << 1
    TXEMPTY = 1 << 2
    TXIDLE = 1 << 3
    RXIDLE = 1 << 4
    RXEMPTY = 1 << 5


class OpenTitanUart(Uart):
    """OpenTitan's UART; NCO, the upper half of CTRL, is the baud rate's divisor."""

    NAME = "UART"
    SIZE = 0x1000
    FIFO = 32
    FULL = "STATUS.TXFULL"
    _RESET = {INTR_ENABLE: 0, CTRL: 0, FIFO_CTRL: 0, OVRD: 0, TIMEOUT_CTRL: 0}
    _MASKS = {INTR_ENABLE: 0xFF, CTRL: 0xFFFF03F7, OVRD: 0x3, TIMEOUT_CTRL: 0x80FFFFFF}

    def __init__(self, warn: Warn, on_polling: Callable[[], None] = lambda: None) -> None:
        super().__init__(warn, on_polling)
        self._registers = dict(self._RESET)

    @property
    def receiving(self) -> bool:
        return bool(self._registers[CTRL] & Control.RX)

    def read(self, offset: int) -> int:
        if offset == STATUS:
            self._polled()
            return int(self._status())
        if offset == RDATA:
            return self._read_data()
        if offset in self._registers:
            return self._registers[offset]
        if offset == INTR_STATE:
            return 0
        if offset == FIFO_STATUS:
            return min(len(self.received), self.FIFO) << 16 | (0 if self._has_room() else self.FIFO)
        self._warn(f"UART: read of unknown or write-only register 0x{offset:x}")
        return 0

    def write(self, offset: int, value: int) -> None:
        if offset == WDATA:
            self._write_data(value)
        elif offset in self._MASKS:
            self._registers[offset] = value & self._MASKS[offset]
        elif offset == FIFO_CTRL:
            if value & 1:
                self.received.clear()
            self._registers[offset] = value & 0xFC
        elif offset not in (INTR_STATE, INTR_TEST, ALERT_TEST):
            self._warn(f"UART: write of 0x{value:x} to unknown or read-only register 0x{offset:x}")

    def _has_room(self) -> bool:
        """Whether the line takes a burst: then the transmit FIFO is empty, else it is full."""
        return len(self.to_send) <= self.BUFFER_BYTES - self.FIFO

    def _status(self) -> Status:
        status = Status.TXEMPTY if self._has_room() else Status.TXFULL
        if not self.to_send:
            status |= Status.TXIDLE
        if not self.received:
            return status | Status.RXEMPTY | Status.RXIDLE
        return status | (Status.RXFULL if len(self.received) >= self.FIFO else Status(0))

    def _read_data(self) -> int:
        if not self.receiving:
            self._warn("UART: RDATA read refused, CTRL does not enable the receiver (RX)")
            return 0
        return self._take_byte()

    def _write_data(self, value: int) -> None:
        control = self._registers[CTRL]
        if not control & Control.TX:
            self._warn(f"UART: byte 0x{value & 0xFF:02x} refused, CTRL does not enable the transmitter (TX)")
            return
        if not control >> 16:
            self._warn("UART: byte sent while CTRL.NCO is 0: the line has no baud rate")
        self._give_byte(value)


SERVES = "uart"
#: Feeds the baud rate's divisor; the rate itself.
SETTINGS = {"clock_hz": 50_000_000, "baud": 115_200}


def problem(settings: dict[str, int]) -> Problem:
    """A divisor that the driver can't set."""
    return line_rate_problem(settings, lambda clock, baud: (baud << 20) // clock, range(1, 1 << 16))


def create(surroundings: Surroundings, settings: dict[str, int]) -> OpenTitanUart:
    """The device of a chip's description."""
    del settings
    return OpenTitanUart(surroundings.warn, surroundings.on_polling)
