# SPDX-License-Identifier: Apache-2.0
"""The accelerometer on the bus: Analog Devices' ADXL345, after its data sheet."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from springbok.devices.interface import Warn

AXES = 3
IDENTITY, RATE, POWER, FORMAT, DATA, FIFO, FIFO_STATUS = 0x00, 0x2C, 0x2D, 0x31, 0x32, 0x38, 0x39
_MEASURE, _FULL_RESOLUTION, _RANGE = 0x08, 0x08, 0x03


class Adxl345:
    """Analog Devices' three-axis accelerometer. `feed` is the motion that it will measure, a sample after another.

    Samples are there as soon as they are fed, whatever the output data rate, and none is lost: the FIFO shows at most
    its 32 entries and fills up again when it is read. In standby (as after power-on), or with the FIFO bypassed,
    nothing is measured. ``on_polling`` is called when the core asks again and again for samples and there are none.
    """

    FIFO_ENTRIES = 32
    POLLS_BEFORE_IDLE = 4
    _RESET = {RATE: 0x0A, POWER: 0, FORMAT: 0, FIFO: 0}
    # Those of 0x1D to 0x2F that hold what was written to them; nothing here depends on them.
    _PLAIN = frozenset(range(0x1D, 0x30)) - {0x2B}

    def __init__(self, warn: Warn, on_polling: Callable[[], None] = lambda: None) -> None:
        self._warn = warn
        self._on_polling = on_polling
        self._registers = dict.fromkeys(self._PLAIN, 0) | self._RESET
        self._register = 0
        self._motion: deque[tuple[int, int, int]] = deque()
        self._sample = bytes(2 * AXES)
        self._polls = 0

    @property
    def waiting(self) -> int:
        """Samples that were fed and not read."""
        return len(self._motion)

    def feed(self, samples: Iterable[tuple[int, int, int]]) -> None:
        """Add samples of x, y, z in 1/1024 g, 16 bits each."""
        self._motion.extend(tuple(sample) for sample in samples)

    def address(self, register: int) -> None:
        self._register = register

    def read(self) -> int:
        register, self._register = self._register, self._register + 1 & 0xFF
        if register == IDENTITY:
            return 0xE5
        if register == FIFO_STATUS:
            return self._entries()
        if DATA <= register < DATA + 2 * AXES:
            if register == DATA:
                self._next_sample()
            return self._sample[register - DATA]
        if register in self._registers:
            return self._registers[register]
        self._warn(f"ADXL345: read of unknown register 0x{register:x}")
        return 0

    def write(self, value: int) -> None:
        register, self._register = self._register, self._register + 1 & 0xFF
        if register in self._registers:
            self._registers[register] = value
        else:
            self._warn(f"ADXL345: write of 0x{value:x} to unknown or read-only register 0x{register:x}")

    def _entries(self) -> int:
        measures = self._registers[POWER] & _MEASURE and self._registers[FIFO] >> 6
        if not measures:
            self._warn("ADXL345: asked for samples in standby or with the FIFO bypassed (POWER_CTL, FIFO_CTL)")
        entries = min(len(self._motion), self.FIFO_ENTRIES) if measures else 0
        self._polls = 0 if entries else self._polls + 1
        if self._polls > self.POLLS_BEFORE_IDLE:
            self._on_polling()
        return entries

    def _next_sample(self) -> None:
        if not self._registers[POWER] & _MEASURE or not self._motion:
            self._warn("ADXL345: data read, but there are no samples")
            self._sample = bytes(2 * AXES)
            return
        control = self._registers[FORMAT]
        shift = 2 if control & _FULL_RESOLUTION else 2 + (control & _RANGE)
        highest = (2048 << (control & _RANGE)) - 1  # in counts: 2 to 16 g
        clipped = (max(-highest - 1, min(highest, axis)) for axis in self._motion.popleft())
        self._sample = b"".join((axis >> shift).to_bytes(2, "little", signed=True) for axis in clipped)
