# SPDX-License-Identifier: Apache-2.0
"""A bad cable: stands between a client and a device and does to the bytes what serial lines do to them.

    with FaultProxy("socket://127.0.0.1:3456", seed=1) as cable, Link(cable.url) as link:
        link.negotiate()
        cable.corrupt(1, Direction.TO_HOST)     # one bit of the next byte of an answer
        link.chip_info()                        # comes all the same
        print(link.report)

A fault is armed for a direction and strikes the bytes that come there next, ``after`` so many that pass unharmed.
Which bit flips depends on the seed alone. Armed faults wait for their bytes in the order of their arming.

A ``shared`` cable has room for several clients at once, as a line has to which two hosts are connected: the device gets
what any of them says, and each hears all of its answers.
"""

from __future__ import annotations

import math
import os
import random
import select
import socket
import threading
import time
from collections import deque
from dataclasses import dataclass
from enum import Enum
from numbers import Integral
from urllib.parse import urlsplit

import serial

from springbok.link.line import plain
from springbok.support.errors import LinkError

_CHUNK_BYTES = 65536
_POLL_SECONDS = 0.5
_CONNECT_SECONDS = 10.0
_RECENT_PIECES = 64


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
    NOISE = "noise"
    STICK = "stick"
    MISREAD = "misread"
    REORDER = "reorder"
    ECHO = "echo"


@dataclass
class Fault:
    """One fault that waits for its bytes: ``after`` bytes pass, then ``count`` are struck (a stall strikes none).

    A reordering takes twice as many; the first half is ``content`` until the second has come.
    """

    kind: Kind
    count: int = 1
    after: int = 0
    seconds: float = 0.0
    content: bytes = b""
    bit: int = 0  # that is stuck
    level: int = 0  # at which it is stuck


class _Way:
    """One direction of the cable: the faults that wait, and the bytes that a stall holds back."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []
        self.held = bytearray()
        self.echo = bytearray()  # for the side that it came from
        self.recent: deque[bytes] = deque(maxlen=_RECENT_PIECES)
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
            if fault.kind is Kind.REORDER:
                size = 2 * fault.count
                data = fault.content + data
                fault.content, data = data[:size], data[size:]
                if len(fault.content) == size:
                    out += fault.content[fault.count :] + fault.content[: fault.count]
                    self._finish()
                continue
            struck, data = data[: fault.count], data[fault.count :]
            fault.count -= len(struck)
            out += self._harmed(fault, struck, choose)
            if not fault.count:
                self._finish()
        return bytes(out) + data

    def _harmed(self, fault: Fault, struck: bytes, choose: random.Random) -> bytes:
        mask = 1 << fault.bit
        harms = {
            Kind.CORRUPT: lambda byte: bytes([byte ^ 1 << choose.randrange(8)]),
            Kind.DROP: lambda _: b"",
            Kind.DUPLICATE: lambda byte: bytes([byte, byte]),
            Kind.NOISE: lambda _: choose.randbytes(1),
            Kind.STICK: lambda byte: bytes([byte | mask if fault.level else byte & ~mask]),
            Kind.MISREAD: lambda _: choose.randbytes(choose.randrange(3)),
            Kind.ECHO: lambda byte: bytes([byte]),
        }
        if fault.kind is Kind.ECHO:
            self.echo += struck
        return b"".join(map(harms[fault.kind], struck))

    def disarm(self) -> None:
        """Forget the faults that wait and end a stall; what one of them keeps goes its way."""
        self.stalled_until = 0.0
        self.held[:0] = b"".join(fault.content for fault in self.faults if fault.kind is Kind.REORDER)
        self.faults.clear()

    def _finish(self) -> None:
        self.faults.pop(0)
        self.injected += 1


class FaultProxy:
    """The cable between a client, which connects to `url`, and the device at ``upstream``.

    upstream  ``socket://host:port`` or the path of a port or pty
    seed      decides which bits flip
    baudrate  of a real port
    shared    several clients at once; else the next one takes the place of the last

    Clients may come and go. Raises LinkError when the device can't be reached.
    """

    def __init__(self, upstream: str, seed: int = 0, baudrate: int = 115200, *, shared: bool = False) -> None:
        self._random = random.Random(seed)
        self._upstream = upstream
        self._baudrate = baudrate
        self._ways = {direction: _Way() for direction in Direction}
        self._lock = threading.Lock()
        self._device = self._open_device()
        self._shared = shared
        self._clients: list[socket.socket] = []
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

    def noise(self, count: int, direction: Direction, after: int = 0) -> None:
        """Make anything of the next ``count`` bytes: a burst of noise."""
        self._arm(direction, Fault(Kind.NOISE, count, after))

    def stick(self, count: int, direction: Direction, after: int = 0, *, bit: int = 0, level: int = 0) -> None:
        """Hold one bit of each of the next ``count`` bytes at a level."""
        self._arm(direction, Fault(Kind.STICK, count, after, bit=bit, level=level))

    def misread(self, count: int, direction: Direction, after: int = 0) -> None:
        """Make none, one or two wrong bytes of each of the next ``count``, as a wrong baud rate does."""
        self._arm(direction, Fault(Kind.MISREAD, count, after))

    def reorder(self, count: int, direction: Direction, after: int = 0) -> None:
        """Let the next ``count`` bytes come behind as many that follow them; 1 swaps two bytes."""
        self._arm(direction, Fault(Kind.REORDER, count, after))

    def echo(self, count: int, direction: Direction, after: int = 0) -> None:
        """Send the next ``count`` bytes back to where they come from, too."""
        self._arm(direction, Fault(Kind.ECHO, count, after))

    def recent(self, direction: Direction) -> list[bytes]:
        """What was sent in a direction last, before any fault, in the pieces in which it came; the newest last."""
        with self._lock:
            return list(self._ways[direction].recent)

    def stall(self, seconds: float, direction: Direction, after: int = 0) -> None:
        """Hold the next byte and all behind it back for a while."""
        self._arm(direction, Fault(Kind.STALL, after=after, seconds=seconds))

    def cut(self) -> None:
        """Pull the plug on the client's side. It may connect again."""
        self._cut = True
        self._wake()

    def disarm(self) -> None:
        """Forget all faults that still wait, and end a stall that has begun."""
        with self._lock:
            for way in self._ways.values():
                way.disarm()
        self._wake()

    def close(self) -> None:
        """End the cable; nothing is left behind. Harmless when it is closed."""
        if self._closing:
            return
        self._closing = True
        self._wake()
        self._thread.join(5)
        for end in (*self._clients, self._listener, self._device):
            end.close()
        os.close(self._wake_reader)
        os.close(self._wake_writer)

    def __enter__(self) -> FaultProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Inside

    def _arm(self, direction: Direction, fault: Fault) -> None:
        fault.content = plain(fault.content)
        counts = (fault.count, fault.after, fault.bit, fault.level)
        if not all(isinstance(count, Integral) for count in counts) or not math.isfinite(fault.seconds):
            raise ValueError(f"A fault strikes whole numbers of bytes, for a finite time, not so: {fault}.")
        if fault.count < 1 or fault.after < 0 or fault.seconds < 0:
            raise ValueError(f"A fault strikes at least 1 byte, after 0 or more, for 0 s or longer, not so: {fault}.")
        if fault.bit not in range(8) or fault.level not in range(2):
            raise ValueError(f"Bits 0 to 7 are stuck, at 0 or 1, not so: bit {fault.bit} at {fault.level}.")
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
            readers = [self._wake_reader, self._listener, self._device, *self._clients]
            ready = select.select(readers, [], [], self._time_to_wait())[0]
            if self._wake_reader in ready:
                os.read(self._wake_reader, 4096)
            if self._cut:
                self._cut = False
                self._hang_up(*self._clients)
                continue
            if self._device in ready and not self._pass_on(self._device, Direction.TO_HOST):
                return  # the device is gone: so is the cable
            for client in [each for each in self._clients if each in ready]:
                if client in self._clients and not self._pass_on(client, Direction.TO_DEVICE):
                    self._hang_up(client)
            if self._listener in ready:
                self._accept()
            self._release()

    def _accept(self) -> None:
        if not self._shared:
            self._hang_up(*self._clients)
        client = self._listener.accept()[0]
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.settimeout(_CONNECT_SECONDS)
        self._clients.append(client)

    def _time_to_wait(self) -> float:
        ends = [way.stalled_until for way in self._ways.values() if way.held]
        return max(0.0, min([_POLL_SECONDS, *(end - time.monotonic() for end in ends)]))

    def _pass_on(self, source: socket.socket | serial.Serial, direction: Direction) -> bool:
        try:
            data = os.read(source.fileno(), _CHUNK_BYTES)
        except OSError:
            data = b""
        way = self._ways[direction]
        if data:
            with self._lock:
                way.recent.append(data)
        if way.held:
            way.held += data
        else:
            self._deliver(data, direction)
        return bool(data)

    def _deliver(self, data: bytes, direction: Direction) -> None:
        way = self._ways[direction]
        with self._lock:
            data = way.strike(data, self._random)
            echo, way.echo = bytes(way.echo), bytearray()
        way.passed += len(data)
        self._write(data, direction)
        self._write(echo, Direction.TO_HOST if direction is Direction.TO_DEVICE else Direction.TO_DEVICE)

    def _write(self, data: bytes, direction: Direction) -> None:
        """Like a cable: what nobody takes is lost."""
        targets = [self._device] if direction is Direction.TO_DEVICE else list(self._clients)
        for target in targets if data else ():
            try:
                if isinstance(target, socket.socket):
                    target.sendall(data)
                else:
                    target.write(data)
            except OSError:  # pyserial's errors are OSErrors too
                if target is not self._device:
                    self._hang_up(target)

    def _release(self) -> None:
        for direction, way in self._ways.items():
            if way.held and time.monotonic() >= way.stalled_until:
                with self._lock:
                    data, way.held = bytes(way.held), bytearray()
                self._deliver(data, direction)

    def _hang_up(self, *clients: socket.socket) -> None:
        for client in clients:
            self._clients.remove(client)
            client.close()
