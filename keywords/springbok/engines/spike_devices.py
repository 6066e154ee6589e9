# SPDX-License-Identifier: Apache-2.0
"""Devices' models in Python on Spike's bus."""

from __future__ import annotations

from collections.abc import Callable

from riscv import dev

from springbok.devices.interface import Model

# Plain functions in closures: they are called for every byte of the line.


def register(name: str, device: Model, on_tick: Callable[[], None]) -> None:
    """Put a device on Spike's bus; ``on_tick`` is called between two turns of the core."""
    narrow = getattr(device, "ACCESS_BYTES", 4) == 1
    put = _memory if hasattr(device, "load") else _bytes if narrow else _words
    put(name, device, on_tick)


def _words(name: str, device: Model, on_tick: Callable[[], None]) -> None:
    """Registers of 32 bits, where narrow accesses reach their bytes."""
    read, write = device.read, device.write
    small_words = [value.to_bytes(4, "little") for value in range(256)]

    @dev.register(name, size=device.SIZE)
    class Bridge(dev.MMIO):
        def load(self, offset: int, length: int) -> bytes:
            value = read(offset & ~3)
            if length == 4 and value < 256:
                return small_words[value]
            return (value >> 8 * (offset & 3) & (1 << 8 * length) - 1).to_bytes(length, "little")

        def store(self, offset: int, content: bytes) -> None:
            write(offset & ~3, int.from_bytes(content, "little") << 8 * (offset & 3))

        def tick(self, _: int) -> None:
            on_tick()


def _memory(name: str, device: Model, on_tick: Callable[[], None]) -> None:
    """Memory, which is reached as wide as the core does."""
    load_, store_ = device.load, device.store

    @dev.register(name, size=device.SIZE)
    class Bridge(dev.MMIO):
        def load(self, offset: int, length: int) -> bytes:
            return load_(offset, length)

        def store(self, offset: int, content: bytes) -> None:
            store_(offset, content)

        def tick(self, _: int) -> None:
            on_tick()


def _bytes(name: str, device: Model, on_tick: Callable[[], None]) -> None:
    """Registers of 8 bits, side by side."""
    read, write = device.read, device.write

    @dev.register(name, size=device.SIZE)
    class Bridge(dev.MMIO):
        def load(self, offset: int, length: int) -> bytes:
            return bytes(read(offset + number) for number in range(length))

        def store(self, offset: int, content: bytes) -> None:
            for number, value in enumerate(content):
                write(offset + number, value)

        def tick(self, _: int) -> None:
            on_tick()
