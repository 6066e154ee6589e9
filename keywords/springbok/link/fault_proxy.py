# SPDX-License-Identifier: Apache-2.0
"""A bad cable: stands between a client and a device and does to the bytes what serial lines do to them.

    with FaultProxy("socket://127.0.0.1:3456", seed=1) as cable, Link(cable.url) as link:
        link.negotiate()
        cable.corrupt(1, Direction.TO_HOST)     # one bit of the next byte of an answer
        link.chip_info()                        # comes all the same
        print(link.report)

A fault is armed for a direction and strikes the bytes that come there next, ``after`` so many that pass unharmed.
Which bit flips depends on the seed alone. Armed faults wait for their bytes in the order of their arming.
"""

from __future__ import annotations

import os
import random
import select
import socket
import threading
import time
from dataclasses import dataclass
from enum import Enum
from urllib.parse import urlsplit

import serial

from springbok.support.errors import LinkError

_CHUNK_BYTES = 65536
_POLL_SECONDS = 0.5
_CONNECT_SECONDS = 10.0


class Direction(Enum):
    """Where bytes go."""

    TO_DEVICE = "device"
    TO_HOST = "host"


class Kind(Enum):
    """What happens to bytes."""

    CORRUPT = "corrupt"
    DROP = "drop"
    DUPLICATE = "duplicate"
    INSERT = "insert"
    STALL = "stall"


@dataclass
class Fault:
    """One fault that waits for its bytes: ``after`` bytes pass, then ``count`` are struck (a stall strikes none)."""

    kind: Kind
    count: int = 1
    after: int = 0
    seconds: float = 0.0
    content: bytes = b""


class _Way:
    """One direction of the cable: the faults that wait, and the bytes that a stall holds back."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.held = bytearray()
        self.stalled_until = 0.0
        self.injected = 0
        self.passed = 0

    def strike(self, data: bytes, choose: random.Random) -> bytes:
        """Return what becomes of bytes that come through; the rest is held when a stall begins."""
        out = bytearray()
        while data and self.faults:
            fault = self.faults[0]
            if fault.after:
                unharmed, data = data[: fault.after], data[fault.after :]
                fault.after -= len(unharmed)
                out += unharmed
                continue
            if fault.kind in (Kind.STALL, Kind.INSERT):
                self._finish()
                out += fault.content
                if fault.kind is Kind.STALL:
                    self.stalled_until = time.monotonic() + fault.seconds
                    self.held += data
                    return bytes(out)
                continue
            struck, data = data[: fault.count], data[fault.count :]
            fault.count -= len(struck)
            if fault.kind is Kind.CORRUPT:
                out += bytes(byte ^ 1 << choose.randrange(8) for byte in struck)
            elif fault.kind is Kind.DUPLICATE:
                out += bytes(byte for byte in struck for _ in range(2))
            if not fault.count:
                self._finish()
        return bytes(out) + data

    def _finish(self) -> None:
        self.faults.pop(0)
        self.injected += 1


class FaultProxy:
    """The cable between a client, which connects to `url`, and the device at ``upstream``.

    upstream  ``socket://host:port`` or the path of a port or pty
    seed      decides which bits flip
    baudrate  of a real port

    One client at a time; it may come and go. Raises LinkError when the device can't be reached.
    """

    def __init__(self, upstream: str, seed: int = 0, baudrate: int = 115200) -> None:
        self._random = random.Random(seed)
        self._upstream = upstream
        self._baudrate = baudrate
        self._ways = {direction: _Way() for direction in Direction}
        self._lock = threading.Lock()
        self._device = self._open_device()
        self._client: socket.socket | None = None
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=4)
        self._wake_reader, self._wake_writer = os.pipe()
        self._cut = False
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="fault proxy", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where the client connects."""
        return f"socket://127.0.0.1:{self._listener.getsockname()[1]}"

    @property
    def injected(self) -> int:
        """How many faults have struck."""
        return sum(way.injected for way in self._ways.values())

    @property
    def waiting(self) -> int:
        """How many armed faults still wait for their bytes."""
        return sum(len(way.faults) for way in self._ways.values())

    def corrupt(self, count: int, direction: Direction, after: int = 0) -> None:
        """Flip one bit in each of the next ``count`` bytes."""
        self._arm(direction, Fault(Kind.CORRUPT, count, after))

    def drop(self, count: int, direction: Direction, after: int = 0) -> None:
        """Lose the next ``count`` bytes."""
        self._arm(direction, Fault(Kind.DROP, count, after))

    def duplicate(self, count: int, direction: Direction, after: int = 0) -> None:
        """Let each of the next ``count`` bytes come twice."""
        self._arm(direction, Fault(Kind.DUPLICATE, count, after))

    def insert(self, content: bytes, direction: Direction, after: int = 0) -> None:
        """Put bytes before the next one: noise, or a frame that nobody sent."""
        self._arm(direction, Fault(Kind.INSERT, after=after, content=content))

    def stall(self, seconds: float, direction: Direction, after: int = 0) -> None:
        """Hold the next byte and all behind it back for a while."""
        self._arm(direction, Fault(Kind.STALL, after=after, seconds=seconds))

    def cut(self) -> None:
        """Pull the plug on the client's side. It may connect again."""
        self._cut = True
        self._wake()

    def disarm(self) -> None:
        """Forget all faults that still wait."""
        with self._lock:
            for way in self._ways.values():
                way.faults.clear()

    def close(self) -> None:
        """End the cable; nothing is left behind. Harmless when it is closed."""
        if self._closing:
            return
        self._closing = True
        self._wake()
        self._thread.join(5)
        for end in (self._client, self._listener, self._device):
            if end is not None:
                end.close()
        os.close(self._wake_reader)
        os.close(self._wake_writer)

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Inside

    def _arm(self, direction: Direction, fault: Fault) -> None:
        if fault.count < 1 or fault.after < 0 or fault.seconds < 0:
            raise ValueError(f"A fault strikes at least 1 byte, after 0 or more, for 0 s or longer, not so: {fault}.")
        with self._lock:
            self._ways[direction].faults.append(fault)

    def _wake(self) -> None:
        os.write(self._wake_writer, b"\0")

    def _open_device(self) -> socket.socket | serial.Serial:
        try:
            if "://" not in self._upstream:
                return serial.Serial(self._upstream, self._baudrate, write_timeout=_CONNECT_SECONDS, exclusive=True)
            url = urlsplit(self._upstream)
            connection = socket.create_connection((url.hostname, url.port), timeout=_CONNECT_SECONDS)
        except (OSError, ValueError) as error:
            raise LinkError(f"The device at {self._upstream} can't be reached: {error}.") from error
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(_CONNECT_SECONDS)
        return connection

    def _run(self) -> None:
        while not self._closing:
            readers = [self._wake_reader, self._listener, self._device]
            if self._client is not None:
                readers.append(self._client)
            ready = select.select(readers, [], [], self._time_to_wait())[0]
            if self._wake_reader in ready:
                os.read(self._wake_reader, 4096)
            if self._cut:
                self._cut = False
                self._hang_up()
                continue
            if self._device in ready and not self._pass_on(self._device, Direction.TO_HOST):
                return  # the device is gone: so is the cable
            if self._client in ready and not self._pass_on(self._client, Direction.TO_DEVICE):
                self._hang_up()
            if self._listener in ready:
                self._hang_up()
                self._client = self._listener.accept()[0]
                self._client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._client.settimeout(_CONNECT_SECONDS)
            self._release()

    def _time_to_wait(self) -> float:
        ends = [way.stalled_until for way in self._ways.values() if way.held]
        return max(0.0, min([_POLL_SECONDS, *(end - time.monotonic() for end in ends)]))

    def _pass_on(self, source: socket.socket | serial.Serial, direction: Direction) -> bool:
        try:
            data = os.read(source.fileno(), _CHUNK_BYTES)
        except OSError:
            data = b""
        way = self._ways[direction]
        if way.held:
            way.held += data
        else:
            self._deliver(data, direction)
        return bool(data)

    def _deliver(self, data: bytes, direction: Direction) -> None:
        way = self._ways[direction]
        with self._lock:
            data = way.strike(data, self._random)
        way.passed += len(data)
        target = self._device if direction is Direction.TO_DEVICE else self._client
        if target is None or not data:
            return  # like a cable: what nobody takes is lost
        try:
            if isinstance(target, socket.socket):
                target.sendall(data)
            else:
                target.write(data)
        except OSError:  # pyserial's errors are OSErrors too
            if target is self._client:
                self._hang_up()

    def _release(self) -> None:
        for direction, way in self._ways.items():
            if way.held and time.monotonic() >= way.stalled_until:
                data, way.held = bytes(way.held), bytearray()
                self._deliver(data, direction)

    def _hang_up(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None
