# SPDX-License-Identifier: Apache-2.0
"""The chip's devices: PL011 UART, control block, CLINT. Plain Python without a simulator.

Each has ``read(offset) -> int`` and ``write(offset, value)`` for its 32-bit registers. What a real device or
Renode's model would refuse is refused here too, with a warning, so that firmware which works here works there.
Sources: ARM DDI 0183G (PL011), SiFive's CLINT, Springbok's memory map.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import IntFlag

Warn = Callable[[str], None]


class Warnings:
    """Warnings of all devices; one that repeats is counted, not repeated.

    >>> warnings = Warnings()
    >>> warnings("UART: off"); warnings("UART: off")
    >>> warnings.lines()
    ['UART: off (2 times)']
    """

    LIMIT = 100

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def __call__(self, text: str) -> None:
        if text in self._counts or len(self._counts) < self.LIMIT:
            self._counts[text] = self._counts.get(text, 0) + 1

    def lines(self) -> list[str]:
        return [text if count == 1 else f"{text} ({count} times)" for text, count in self._counts.items()]


# ---- PL011


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


class Pl011:
    """ARM's PL011 UART between the core and a line's two buffers.

    ``received`` holds bytes for the core, ``to_send`` bytes of the core; whoever drives the line fills and empties
    them. ``on_polling`` is called when the core polls the flags and nothing else happens, so that the simulator
    can sleep until something does.
    """

    NAME = "UART"
    SIZE = 0x1000
    POLLS_BEFORE_IDLE = 16
    # A real FIFO is 16 deep. The line's buffers are bigger: the simulator hands bytes over in bursts.
    BUFFER_BYTES = 0x10000
    FIFO = 16
    _IDENTIFICATION = {0xFE0 + 4 * i: byte for i, byte in enumerate((0x11, 0x10, 0x14, 0x00, 0x0D, 0xF0, 0x05, 0xB1))}
    _RESET = {RSR: 0, IBRD: 0, FBRD: 0, LCR_H: 0, CR: 0x300, IFLS: 0x12, IMSC: 0, DMACR: 0}
    _MASKS = {IBRD: 0xFFFF, FBRD: 0x3F, LCR_H: 0xFF, CR: 0xFFFF, IFLS: 0x3F, IMSC: 0x7FF, DMACR: 0x7}

    def __init__(self, warn: Warn, on_polling: Callable[[], None] = lambda: None) -> None:
        self._warn = warn
        self._on_polling = on_polling
        self.received: deque[int] = deque()
        self.to_send = bytearray()
        self.polls = 0
        self._registers = dict(self._RESET)
        self._update_enables()

    @property
    def receiving(self) -> bool:
        """Whether the receiver is on; while it is off, bytes wait on the line."""
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
        self.polls = 0
        if not self.received:
            self._warn("UART: data register read while the receive FIFO is empty")
            return 0
        return self.received.popleft()

    def _write_data(self, value: int) -> None:
        if not self._can_send:
            self._warn(f"UART: byte 0x{value & 0xFF:02x} refused, CR does not enable the transmitter (UARTEN and TXE)")
            return
        if not self._eight_bits:
            self._warn_word_length()
        self.polls = 0
        if len(self.to_send) >= self.BUFFER_BYTES:
            self._warn("UART: byte lost, it was written while the transmit FIFO was full (FR.TXFF)")
            return
        self.to_send.append(value & 0xFF)

    def _warn_word_length(self) -> None:
        bits = 5 + (self._registers[LCR_H] >> 5 & 3)
        self._warn(f"UART: LCR_H sets words of {bits} bits; the line carries 8 (LCR_H bits 5 and 6)")

    def _update_enables(self) -> None:
        control = self._registers[CR]
        self._can_send = control & 0x101 == UartControl.UARTEN | UartControl.TXE
        self._can_receive = control & 0x201 == UartControl.UARTEN | UartControl.RXE
        self._eight_bits = self._registers[LCR_H] & 0x60 == 0x60
        self._reads_cleanly = self._can_receive and self._eight_bits


# ---- Control block


class Interrupt(IntFlag):
    HOST_REQUEST = 1 << 0
    FINISH = 1 << 1
    INSTRUCTION_FAULT = 1 << 2
    DATA_FAULT = 1 << 3


INTR_STATE, INTR_ENABLE, INTR_TEST, CONTROL = 0x00, 0x04, 0x08, 0x0C
MEMORY_BANK_CONTROL, ERROR_STATUS, INIT_START, INIT_END, INIT_STATUS = 0x10, 0x14, 0x18, 0x1C, 0x20


class ControlBlock:
    """The block through which a host processor starts and stops the vector core.

    Control: bit 0 freezes the core, bit 1 holds it in reset, the bits above are the offset of the start PC in the
    instruction memory. It comes up as 3, so the core stands still until 0 is written. ``on_control(start)`` is
    called after each change of the two bits; ``start`` is the offset when the core leaves reset, else None.
    """

    NAME = "control block"
    SIZE = 0x400
    FREEZE, RESET = 1, 2

    def __init__(self, warn: Warn, on_control: Callable[[int | None], None] = lambda start: None) -> None:
        self._warn = warn
        self._on_control = on_control
        self.interrupt_state = Interrupt(0)
        self._registers = {INTR_ENABLE: 0, CONTROL: 3, MEMORY_BANK_CONTROL: 0, INIT_START: 0, INIT_END: 0}

    @property
    def halted(self) -> bool:
        """Whether the core is frozen or held in reset."""
        return bool(self._registers[CONTROL] & (self.FREEZE | self.RESET))

    def raise_interrupt(self, interrupt: Interrupt) -> None:
        self.interrupt_state |= interrupt

    def hold_in_reset(self) -> None:
        """What the core's ``finish`` instruction does to it."""
        self._registers[CONTROL] |= self.FREEZE | self.RESET

    def read(self, offset: int) -> int:
        if offset == INTR_STATE:
            return int(self.interrupt_state)
        if offset in self._registers:
            return self._registers[offset]
        if offset in (INTR_TEST, ERROR_STATUS):
            return 0
        if offset == INIT_STATUS:
            return 2  # memory is clear at power-on: done
        self._warn(f"control block: read of unknown register 0x{offset:x}")
        return 0

    def write(self, offset: int, value: int) -> None:
        if offset == INTR_STATE:
            self.interrupt_state &= ~Interrupt(value & 0xF)
        elif offset == INTR_TEST:
            self.interrupt_state |= Interrupt(value & 0xF)
        elif offset == CONTROL:
            self._write_control(value)
        elif offset == INTR_ENABLE:
            self._registers[offset] = value & 0xF
        elif offset in self._registers:
            self._registers[offset] = value & 0xFFFFFFFF
        elif offset == ERROR_STATUS:
            pass  # nothing sets an error
        else:
            self._warn(f"control block: write of 0x{value:x} to unknown or read-only register 0x{offset:x}")

    def _write_control(self, value: int) -> None:
        was_in_reset = self._registers[CONTROL] & self.RESET
        self._registers[CONTROL] = value & 0xFFFFFFFF
        leaves_reset = was_in_reset and not value & self.RESET
        self._on_control(value & ~3 & 0xFFFFFFFF if leaves_reset else None)


# ---- CLINT


class Clint:
    """Core-local interruptor of one hart: software interrupt, timer and its comparator.

    ``now()`` gives the time in ticks. ``software_interrupt`` and ``timer_interrupt()`` are the two lines to the core;
    ``on_change`` is called when a write may have changed them.
    """

    NAME = "CLINT"
    SIZE = 0xC000
    MSIP, MTIMECMP, MTIME = 0x0000, 0x4000, 0xBFF8

    def __init__(self, warn: Warn, now: Callable[[], int], on_change: Callable[[], None] = lambda: None) -> None:
        self._warn = warn
        self._now = now
        self._on_change = on_change
        self._offset = 0
        self.software_interrupt = False
        self.compare = (1 << 64) - 1

    @property
    def time(self) -> int:
        return self._now() + self._offset & (1 << 64) - 1

    def timer_interrupt(self) -> bool:
        return self.time >= self.compare

    def read(self, offset: int) -> int:
        if offset == self.MTIME:
            return self.time & 0xFFFFFFFF
        if offset == self.MTIME + 4:
            return self.time >> 32
        if offset == self.MSIP:
            return int(self.software_interrupt)
        if offset in (self.MTIMECMP, self.MTIMECMP + 4):
            return self.compare >> 8 * (offset & 4) & 0xFFFFFFFF
        self._warn(f"CLINT: read of unknown register 0x{offset:x}")
        return 0

    def write(self, offset: int, value: int) -> None:
        if offset == self.MSIP:
            self.software_interrupt = bool(value & 1)
        elif offset in (self.MTIMECMP, self.MTIMECMP + 4):
            self.compare = _with_half(self.compare, offset & 4, value)
        elif offset in (self.MTIME, self.MTIME + 4):
            self._offset = _with_half(self.time, offset & 4, value) - self._now()
        else:
            self._warn(f"CLINT: write of 0x{value:x} to unknown register 0x{offset:x}")
        self._on_change()


def _with_half(value: int, byte: int, half: int) -> int:
    """``value`` with 32 of its 64 bits replaced: the low ones (``byte`` 0) or the high ones (4)."""
    shift = 8 * byte
    return value & ~(0xFFFFFFFF << shift) | (half & 0xFFFFFFFF) << shift
