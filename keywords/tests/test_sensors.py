# SPDX-License-Identifier: Apache-2.0
"""The simulated accelerometer and its bus, as the firmware's driver uses them and as it should not."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from springbok.chips import accelerometer
from springbok.chips.description import load
from springbok.devices.interface import Warnings
from springbok.devices.opencores_i2c.adxl345 import FIFO, FIFO_STATUS, FORMAT, IDENTITY, POWER, Adxl345
from springbok.devices.opencores_i2c.model import (
    I2C_COMMAND,
    I2C_CONTROL,
    I2C_DATA,
    I2C_ENABLE,
    PRESCALE_HIGH,
    PRESCALE_LOW,
    I2cCommand,
    I2cStatus,
    OpenCoresI2c,
)
from springbok.engines.renode import PLATFORMS
from springbok.support.errors import ModelError
from springbok.support.places import FIRMWARE

START, STOP, READ, WRITE, LAST = I2cCommand.START, I2cCommand.STOP, I2cCommand.READ, I2cCommand.WRITE, I2cCommand.LAST
I2C = next(device for device in load("springbok").devices if device.kind == "opencores_i2c")
ADDRESS = I2C.settings["accelerometer"]


class Bus:
    """A driver like the firmware's."""

    def __init__(self) -> None:
        self.warnings = Warnings()
        self.sensor = Adxl345(self.warnings)
        self.i2c = OpenCoresI2c(self.warnings, {ADDRESS: self.sensor})
        self.i2c.write(PRESCALE_LOW, 11)
        self.i2c.write(PRESCALE_HIGH, 0)
        self.i2c.write(I2C_CONTROL, I2C_ENABLE)

    def command(self, command: int, byte: int = 0) -> bool:
        self.i2c.write(I2C_DATA, byte)
        self.i2c.write(I2C_COMMAND, command)
        return not self.i2c.read(I2C_COMMAND) & I2cStatus.NO_ACKNOWLEDGE

    def read(self, register: int, count: int = 1) -> list[int]:
        assert self.command(START | WRITE, ADDRESS << 1)
        assert self.command(WRITE, register)
        assert self.command(START | WRITE, ADDRESS << 1 | 1)
        content = []
        for left in range(count, 0, -1):
            self.command(READ if left > 1 else READ | LAST | STOP)
            content.append(self.i2c.read(I2C_DATA))
        return content

    def write(self, register: int, *content: int) -> None:
        assert self.command(START | WRITE, ADDRESS << 1)
        assert self.command(WRITE, register)
        for byte in content:
            assert self.command(WRITE, byte)
        self.command(STOP)

    def measure(self, data_format: int = 0x0B) -> None:
        self.write(FORMAT, data_format)
        self.write(FIFO, 0x80)
        self.write(POWER, 0x08)

    def sample(self) -> tuple[int, ...]:
        return tuple(np.frombuffer(bytes(self.read(0x32, 6)), "<i2").tolist())


@pytest.fixture
def bus() -> Bus:
    return Bus()


# ---- The bus


def test_identity_and_settings_are_read_over_the_bus(bus):
    assert bus.read(IDENTITY) == [0xE5]
    bus.write(0x2C, 0x0A, 0x08)  # two registers in one transfer
    assert bus.read(0x2C, 2) == [0x0A, 0x08]
    assert bus.warnings.lines() == []


def test_bus_is_busy_between_start_and_stop(bus):
    bus.command(START | WRITE, ADDRESS << 1)
    assert bus.i2c.read(I2C_COMMAND) & I2cStatus.BUSY
    bus.command(STOP)
    assert not bus.i2c.read(I2C_COMMAND) & I2cStatus.BUSY


def test_address_without_a_device_is_not_acknowledged(bus):
    assert not bus.command(START | WRITE, 0x53 << 1)
    assert not bus.command(WRITE, 0)
    bus.command(STOP)
    assert bus.warnings.lines() == ["I2C: no device at address 0x53"]
    assert bus.read(IDENTITY) == [0xE5]


def test_controller_that_is_off_does_nothing():
    warnings = Warnings()
    i2c = OpenCoresI2c(warnings, {ADDRESS: Adxl345(warnings)})
    assert [i2c.read(offset) for offset in (PRESCALE_LOW, PRESCALE_HIGH, I2C_CONTROL)] == [0xFF, 0xFF, 0]
    i2c.write(I2C_COMMAND, START | WRITE)
    assert i2c.read(I2C_COMMAND) == 0
    i2c.write(I2C_CONTROL, I2C_ENABLE)
    i2c.write(I2C_COMMAND, STOP)
    i2c.write(PRESCALE_LOW, 3)
    assert warnings.lines() == [
        "I2C: command 0x90 refused, the controller is not enabled (CTR.EN)",
        "I2C: the prescaler was never set, the bus runs at 73 Hz",
        "I2C: STOP without START",
        "I2C: prescaler written while the controller is enabled (CTR.EN)",
    ]


def test_wrong_turns_of_the_bus_are_told(bus):
    bus.command(START | WRITE, ADDRESS << 1)
    bus.command(READ)
    assert bus.i2c.read(I2C_DATA) == 0xFF
    bus.command(START | WRITE, ADDRESS << 1 | 1)
    assert not bus.command(WRITE, 7)
    bus.command(READ | LAST)
    bus.command(READ)
    assert bus.i2c.read(0x14) == 0
    bus.i2c.write(0x14, 1)
    assert bus.warnings.lines() == [
        "I2C: byte read outside a transfer that reads (2 times)",
        "I2C: byte written in a transfer that reads",
        "I2C: read of unknown register 0x14",
        "I2C: write of 0x1 to unknown register 0x14",
    ]


# ---- The sensor


def test_samples_come_in_order_and_the_fifo_shows_at_most_32(bus):
    bus.measure()
    bus.sensor.feed([(4 * i, -4 * i, 1024) for i in range(40)])
    assert bus.read(FIFO_STATUS) == [32]
    assert [bus.sample() for _ in range(40)] == [(i, -i, 256) for i in range(40)]
    assert bus.read(FIFO_STATUS) == [0]
    assert bus.warnings.lines() == []


@pytest.mark.parametrize(
    ("data_format", "one_g", "largest"),
    [(0x0B, 256, 4095), (0x08, 256, 511), (0x00, 256, 511), (0x01, 128, 511), (0x02, 64, 511), (0x03, 32, 511)],
)
def test_range_and_resolution(bus, data_format, one_g, largest):
    bus.measure(data_format)
    bus.sensor.feed([(1024, -1024, 0), (32767, -32768, 0)])
    assert bus.sample() == (one_g, -one_g, 0)
    assert bus.sample() == (largest, -largest - 1, 0)


def test_nothing_is_measured_in_standby(bus):
    bus.sensor.feed([(4, 4, 4)])
    assert bus.read(FIFO_STATUS) == [0]
    assert bus.sample() == (0, 0, 0)
    assert bus.warnings.lines() == [
        "ADXL345: asked for samples in standby or with the FIFO bypassed (POWER_CTL, FIFO_CTL)",
        "ADXL345: data read, but there are no samples",
    ]
    bus.measure()
    assert bus.sample() == (1, 1, 1)


def test_unknown_and_read_only_registers(bus):
    bus.write(IDENTITY, 1)
    assert bus.read(0x10) == [0]
    assert bus.warnings.lines() == [
        "ADXL345: write of 0x1 to unknown or read-only register 0x0",
        "ADXL345: read of unknown register 0x10",
    ]


def test_asking_in_vain_is_noticed_until_a_sample_comes():
    asked = []
    sensor = Adxl345(Warnings(), lambda: asked.append(1))
    sensor._registers |= {POWER: 0x08, FIFO: 0x80}

    def entries() -> int:
        sensor.address(FIFO_STATUS)
        return sensor.read()

    assert [entries() for _ in range(Adxl345.POLLS_BEFORE_IDLE)] == [0] * Adxl345.POLLS_BEFORE_IDLE
    assert not asked
    entries()
    assert asked == [1]
    sensor.feed([(0, 0, 0)])
    assert entries() == sensor.waiting == 1
    assert asked == [1]


# ---- What the host makes of a motion


@given(st.lists(st.tuples(*[st.floats(-40000, 40000)] * 3), min_size=1, max_size=40))
def test_host_and_sensor_agree_on_the_readings(motion):
    bus = Bus()
    bus.measure()
    steps = accelerometer.readings(np.array(motion), per_g=1000)
    bus.sensor.feed(accelerometer.counts(steps))
    assert [bus.sample() for _ in motion] == [tuple(step) for step in steps.tolist()]


@pytest.mark.parametrize("shape", [(3,), (1, 3), (1, 1, 3, 1)])
def test_axes_of_length_one_do_not_count(shape):
    assert accelerometer.readings(np.ones(shape)).shape == (1, 3)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((128, 6)), r"shape \(samples, 3\), not \(128, 6\)"),
        (np.zeros(4), "not"),
        (np.zeros((0, 3)), "not"),
        (np.zeros((2, 5, 3)), r"one recording of shape \(samples, 3\), not \(2, 5, 3\)"),
        ([[0, 0, float("nan")]], "NaN or infinity"),
    ],
)
def test_what_is_no_motion_is_refused(samples, message):
    with pytest.raises(ModelError, match=message):
        accelerometer.readings(np.asarray(samples))


# ---- One address everywhere


def test_bus_and_sensor_are_at_the_same_addresses_in_engines_platform_and_firmware():
    platform = (PLATFORMS / "springbok.repl").read_text()
    assert int(re.search(r"^i2c0: .* sysbus (\w+)", platform, re.MULTILINE)[1], 0) == I2C.base
    assert int(re.search(r"^accelerometer: .* i2c0 (\w+)", platform, re.MULTILINE)[1], 0) == ADDRESS
    driver = (FIRMWARE / "service/sensor.c").read_text()
    assert int(re.search(r"ADXL345 (0x\w+?)u", driver)[1], 0) == ADDRESS
