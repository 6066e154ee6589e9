# SPDX-License-Identifier: Apache-2.0
"""The chip's accelerometer and the bus that it is on: OpenCores' I2C controller, an ADXL345. Without a simulator.

What a real device or Renode's models would refuse is refused here too, with a warning, as in
`springbok.engines.devices`. Sources: OpenCores' I2C-Master specification, Analog Devices' ADXL345 data sheet.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from enum import IntFlag
from typing import Protocol

from springbok.engines.devices import Warn

# ---- I2C


class I2cDevice(Protocol):
    """Something on the bus. Register by register; the bus begins and ends its transfers."""

    def address(self, register: int) -> None:
        """Choose a register."""

    def read(self) -> int:
        """Give the chosen register, and go on to the next."""

    def write(self, value: int) -> None:
        """Change the chosen register, and go on to the next."""


class I2cCommand(IntFlag):
    START = 1 << 7
    STOP = 1 << 6
    READ = 1 << 5
    WRITE = 1 << 4
    LAST = 1 << 3  # do not acknowledge what was read: the device must not send more


class I2cStatus(IntFlag):
    NO_ACKNOWLEDGE = 1 << 7
    BUSY = 1 << 6
    INTERRUPT = 1 << 0


PRESCALE_LOW, PRESCALE_HIGH, I2C_CONTROL, I2C_DATA, I2C_COMMAND = 0x00, 0x04, 0x08, 0x0C, 0x10
I2C_ENABLE = 0x80


class OpenCoresI2c:
    """OpenCores' I2C master, its byte registers four bytes apart. ``devices`` by their 7-bit addresses.

    Nothing takes time: a transfer is done when its command is written.
    """

    NAME = "I2C"
    SIZE = 0x1000

    def __init__(self, warn: Warn, devices: dict[int, I2cDevice]) -> None:
        self._warn = warn
        self._devices = devices
        self._registers = {PRESCALE_LOW: 0xFF, PRESCALE_HIGH: 0xFF, I2C_CONTROL: 0}
        self._transmit = self._receive = 0
        self._status = I2cStatus(0)
        self._device: I2cDevice | None = None
        self._reading = False
        self._fresh = False  # addressed for writing: what comes next is the register's number

    def read(self, offset: int) -> int:
        if offset in self._registers:
            return self._registers[offset]
        if offset == I2C_DATA:
            return self._receive
        if offset == I2C_COMMAND:
            return int(self._status)
        self._warn(f"I2C: read of unknown register 0x{offset:x}")
        return 0

    def write(self, offset: int, value: int) -> None:
        value &= 0xFF
        if offset == I2C_DATA:
            self._transmit = value
        elif offset == I2C_COMMAND:
            self._execute(value)
        elif offset == I2C_CONTROL:
            self._registers[offset] = value & 0xC0
        elif offset in self._registers:
            if self._registers[I2C_CONTROL] & I2C_ENABLE:
                self._warn("I2C: prescaler written while the controller is enabled (CTR.EN)")
            self._registers[offset] = value
        else:
            self._warn(f"I2C: write of 0x{value:x} to unknown register 0x{offset:x}")

    def _execute(self, command: int) -> None:
        if not self._registers[I2C_CONTROL] & I2C_ENABLE:
            self._warn(f"I2C: command 0x{command:x} refused, the controller is not enabled (CTR.EN)")
            return
        if self._registers[PRESCALE_LOW] == self._registers[PRESCALE_HIGH] == 0xFF:
            self._warn("I2C: the prescaler was never set, the bus runs at 73 Hz")
        self._status = I2cStatus.INTERRUPT | self._status & I2cStatus.BUSY
        if command & I2cCommand.WRITE:
            self._send(bool(command & I2cCommand.START))
        elif command & I2cCommand.READ:
            self._fetch(bool(command & I2cCommand.LAST))
        if command & I2cCommand.STOP:
            if not self._status & I2cStatus.BUSY:
                self._warn("I2C: STOP without START")
            self._status &= ~I2cStatus.BUSY
            self._device = None

    def _send(self, start: bool) -> None:
        if start:
            self._status |= I2cStatus.BUSY
            self._device = self._devices.get(self._transmit >> 1)
            self._reading = bool(self._transmit & 1)
            self._fresh = not self._reading
            if self._device is None:
                self._warn(f"I2C: no device at address 0x{self._transmit >> 1:x}")
        if self._device is None:
            self._status |= I2cStatus.NO_ACKNOWLEDGE
        elif not start and self._reading:
            self._warn("I2C: byte written in a transfer that reads")
            self._status |= I2cStatus.NO_ACKNOWLEDGE
        elif self._fresh and not start:
            self._fresh = False
            self._device.address(self._transmit)
        elif not start:
            self._device.write(self._transmit)

    def _fetch(self, last: bool) -> None:
        if self._device is None or not self._reading:
            self._warn("I2C: byte read outside a transfer that reads")
            self._receive = 0xFF  # nobody pulls the line down
            return
        self._receive = self._device.read()
        if last:  # the device lets go of the bus
            self._reading, self._device = False, None


# ---- ADXL345

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
