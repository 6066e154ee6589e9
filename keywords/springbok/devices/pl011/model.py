# SPDX-License-Identifier: Apache-2.0
"""ARM's PL011 UART. Source: ARM DDI 0183G."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntFlag

from springbok.devices.interface import Problem, Surroundings, Uart, Warn, line_rate_problem


class UartFlag(IntFlag):
    BUSY = 1 << 3
    RXFE = 1 << 4  # receive FIFO empty
    TXFF = 1 << 5  # transmit FIFO full
    RXFF = 1 << 6
    TXFE = 1 << 7


class UartControl(IntFlag):
    UARTEN = 1 << 0
    TXE = 1 << 8
    RXE = 1 << 9


_BUSY, _RXFE, _RXFF, _TXFE = (int(flag) for flag in (UartFlag.BUSY, UartFlag.RXFE, UartFlag.RXFF, UartFlag.TXFE))
_BUSY_TXFF = int(UartFlag.BUSY | UartFlag.TXFF)

DR, RSR, FR, IBRD, FBRD, LCR_H, CR = 0x00, 0x04, 0x18, 0x24, 0x28, 0x2C, 0x30
IFLS, IMSC, RIS, MIS, ICR, DMACR = 0x34, 0x38, 0x3C, 0x40, 0x44, 0x48


class Pl011(Uart):
    """ARM's PL011."""

    NAME = "UART"
    SIZE = 0x1000
    FIFO = 16
    FULL = "FR.TXFF"
    _IDENTIFICATION = {0xFE0 + 4 * i: byte for i, byte in enumerate((0x11, 0x10, 0x14, 0x00, 0x0D, 0xF0, 0x05, 0xB1))}
    _RESET = {RSR: 0, IBRD: 0, FBRD: 0, LCR_H: 0, CR: 0x300, IFLS: 0x12, IMSC: 0, DMACR: 0}
    _MASKS = {IBRD: 0xFFFF, FBRD: 0x3F, LCR_H: 0xFF, CR: 0xFFFF, IFLS: 0x3F, IMSC: 0x7FF, DMACR: 0x7}

    def __init__(self, warn: Warn, on_polling: Callable[[], None] = lambda: None) -> None:
        super().__init__(warn, on_polling)
        self._registers = dict(self._RESET)
        self._update_enables()

    @property
    def receiving(self) -> bool:
        return self._can_receive

    def read(self, offset: int) -> int:  # noqa: PLR0911
        # The first two are read for every byte: plain numbers and no further calls.
        if offset == FR:
            self.polls += 1
            if self.polls > self.POLLS_BEFORE_IDLE:
                self._on_polling()
            sending, waiting = len(self.to_send), len(self.received)
            # The line takes whole bursts, so the transmit FIFO is empty as long as the line has room for one.
            flags = _TXFE if sending <= self.BUFFER_BYTES - self.FIFO else 0
            if sending:
                flags |= _BUSY if sending < self.BUFFER_BYTES else _BUSY_TXFF
            if waiting == 0:
                return flags | _RXFE
            return flags | _RXFF if waiting >= self.FIFO else flags
        if offset == DR:
            if self._reads_cleanly and self.received:
                self.polls = 0
                return self.received.popleft()
            return self._read_data()
        if offset in self._registers:
            return self._registers[offset]
        if offset in (RIS, MIS):
            raised = (0x10 if self.received else 0) | (0 if self.to_send else 0x20)
            return raised if offset == RIS else raised & self._registers[IMSC]
        if offset in self._IDENTIFICATION:
            return self._IDENTIFICATION[offset]
        self._warn(f"UART: read of unknown register 0x{offset:x}")
        return 0

    def write(self, offset: int, value: int) -> None:
        if offset == DR:
            self._write_data(value)
        elif offset in self._MASKS:
            self._registers[offset] = value & self._MASKS[offset]
            self._update_enables()
        elif offset in (RSR, ICR):
            pass  # clear errors, clear interrupts: there is nothing to clear
        else:
            self._warn(f"UART: write of 0x{value:x} to unknown or read-only register 0x{offset:x}")

    def _read_data(self) -> int:
        if not self._can_receive:
            self._warn("UART: data register read refused, CR does not enable the receiver (UARTEN and RXE)")
            return 0
        if not self._eight_bits:
            self._warn_word_length()
        return self._take_byte()

    def _write_data(self, value: int) -> None:
        if not self._can_send:
            self._warn(f"UART: byte 0x{value & 0xFF:02x} refused, CR does not enable the transmitter (UARTEN and TXE)")
            return
        if not self._eight_bits:
            self._warn_word_length()
        self._give_byte(value)

    def _warn_word_length(self) -> None:
        bits = 5 + (self._registers[LCR_H] >> 5 & 3)
        self._warn(f"UART: LCR_H sets words of {bits} bits; the line carries 8 (LCR_H bits 5 and 6)")

    def _update_enables(self) -> None:
        control = self._registers[CR]
        self._can_send = control & 0x101 == UartControl.UARTEN | UartControl.TXE
        self._can_receive = control & 0x201 == UartControl.UARTEN | UartControl.RXE
        self._eight_bits = self._registers[LCR_H] & 0x60 == 0x60
        self._reads_cleanly = self._can_receive and self._eight_bits


SERVES = "uart"
#: Feeds the baud rate's divisor; the rate itself.
SETTINGS = {"clock_hz": 24_000_000, "baud": 115_200}


def problem(settings: dict[str, int]) -> Problem:
    """A divisor that the driver can't set."""
    return line_rate_problem(settings, lambda clock, baud: (4 * clock + baud // 2) // baud, range(1 << 6, 1 << 22))


def create(surroundings: Surroundings, settings: dict[str, int]) -> Pl011:
    """The device of a chip's description."""
    del settings
    return Pl011(surroundings.warn, surroundings.on_polling)
