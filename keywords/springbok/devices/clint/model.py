# SPDX-License-Identifier: Apache-2.0
"""The core-local interruptor of one hart. Source: SiFive's CLINT, as in the RISC-V ACLINT specification."""

from __future__ import annotations

from collections.abc import Callable

from springbok.devices.interface import Problem, Surroundings, Warn


class Clint:
    """Core-local interruptor of one hart: software interrupt, timer and its comparator.

    ``now()`` gives the time in ticks. ``software_interrupt`` and ``timer_interrupt()`` are the two lines to the core;
    ``on_change`` is called when a write may have changed them.
    """

    NAME = "CLINT"
    SIZE = 0xC000
    MSIP, MTIMECMP, MTIME = 0x0000, 0x4000, 0xBFF8

    def __init__(
        self,
        warn: Warn,
        now: Callable[[], int],
        on_change: Callable[[], None] = lambda: None,
        frequency_hz: int = 24_000_000,
    ) -> None:
        self._warn = warn
        self._frequency_hz = frequency_hz
        self._now = now
        self._on_change = on_change
        self._offset = 0
        self.software_interrupt = False
        self.compare = (1 << 64) - 1

    @property
    def time(self) -> int:
        return self._now() + self._offset & (1 << 64) - 1

    def seconds_left(self) -> float:
        """Until the timer's interrupt; below 0 when it is raised."""
        return (self.compare - self.time) / self._frequency_hz

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


SERVES = "timer"
MEGAHERTZ = 1_000_000
#: Ticks of mtime a second: whole megahertz.
SETTINGS = {"frequency_hz": 24_000_000}


def problem(settings: dict[str, int]) -> Problem:
    """A frequency that tells no microseconds."""
    frequency = settings["frequency_hz"]
    if frequency < MEGAHERTZ:
        return "frequency_hz", "frequency_hz is from 1,000,000 up, so that it tells microseconds"
    if frequency % MEGAHERTZ:
        near = " or ".join(f"{frequency // MEGAHERTZ + more:,},000,000" for more in (0, 1))
        return "frequency_hz", f"frequency_hz is whole megahertz, so that it tells microseconds: {near}"
    return None


def create(surroundings: Surroundings, settings: dict[str, int]) -> Clint:
    """The device of a chip's description."""
    frequency = settings["frequency_hz"]
    return Clint(surroundings.warn, lambda: surroundings.now(frequency), surroundings.on_interrupts, frequency)
