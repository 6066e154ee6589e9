# SPDX-License-Identifier: Apache-2.0
"""Springbok's control block, through which a host processor starts and stops the core."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntFlag

from springbok.devices.interface import Surroundings, Warn


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


SERVES = "control"
SETTINGS: dict[str, int] = {}


def create(surroundings: Surroundings, settings: dict[str, int]) -> ControlBlock:
    """The device of a chip's description."""
    del settings
    return ControlBlock(surroundings.warn, surroundings.on_start)
