# SPDX-License-Identifier: Apache-2.0
"""OpenCores' I2C controller. Source: OpenCores' I2C-Master specification."""

from __future__ import annotations

from enum import IntFlag
from typing import Protocol

from springbok.devices.interface import MOST_HZ, Problem, Surroundings, Warn
from springbok.devices.opencores_i2c.adxl345 import Adxl345


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
        #: What a simulated motion is fed to, where there is one.
        self.accelerometer: Adxl345 | None = None
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


SERVES = "i2c"
#: The accelerometer's address on the bus; what feeds the bus clock's divisor.
SETTINGS = {"accelerometer": 0x1D, "clock_hz": 24_000_000}


def problem(settings: dict[str, int]) -> Problem:
    """An address that no device has, or a clock that the bus can't be made of."""
    if settings["accelerometer"] not in range(0x08, 0x78):
        return "accelerometer", f"accelerometer is an address from 0x08 to 0x77, not 0x{settings['accelerometer']:02x}"
    if not 2_000_000 <= settings["clock_hz"] <= MOST_HZ:  # five times the 400 kHz of the bus
        return "clock_hz", f"clock_hz is from 2,000,000 to {MOST_HZ:,}, not {settings['clock_hz']:,}"
    return None


def create(surroundings: Surroundings, settings: dict[str, int]) -> OpenCoresI2c:
    """The device of a chip's description, with an accelerometer on its bus if there is to be one."""
    if not surroundings.sensor:
        return OpenCoresI2c(surroundings.warn, {})
    accelerometer = Adxl345(surroundings.warn, surroundings.on_polling)
    bus = OpenCoresI2c(surroundings.warn, {settings["accelerometer"]: accelerometer})
    bus.accelerometer = accelerometer
    return bus
