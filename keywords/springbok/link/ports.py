# SPDX-License-Identifier: Apache-2.0
"""What a line is opened at: pyserial's ports, and sockets, which a simulated chip has.

pyserial's own socket takes several calls of the system for each part that it reads or writes, and sleeps when it is
closed: here one call waits, and one takes all that has come.

>>> port = open_port("socket://localhost:3456", 115200)    # doctest: +SKIP
>>> port.send(b"request", seconds=1.0)                     # doctest: +SKIP
7
>>> port.receive(4096, seconds=1.0)                        # doctest: +SKIP
b'answer'
"""

from __future__ import annotations

import os
import queue
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol
from urllib.parse import urlsplit

import serial

_POLL_SECONDS = 0.02
_CONNECT_SECONDS = 5.0
_LONGEST_WAIT = 1e6  # seconds that poll and select can be told
_SCHEME = "socket://"


class Port(Protocol):
    """An open port. Every method raises OSError when the connection is lost."""

    baudrate: int
    piece_bytes: int  # so many are sent at once

    @property
    def is_open(self) -> bool:
        """Whether ``close`` was not called."""

    def has_bytes(self) -> bool:
        """Whether there are bytes to receive."""

    def receive(self, most: int, seconds: float) -> bytes:
        """What has come, at most so much; nothing when nothing comes for so long, or for a while."""

    def send(self, data: bytes, seconds: float) -> int:
        """Send of these bytes what the other side takes, and say how many; 0 when it takes none for so long."""

    def close(self) -> None:
        """Close it."""


def open_port(url: str, baudrate: int) -> Port:
    """Open a port by its path or pyserial URL. Raises OSError or ValueError."""
    is_plain_socket = url.startswith(_SCHEME) and "?" not in url  # settings behind it are pyserial's
    return SocketPort(url, baudrate) if is_plain_socket else SerialPort(url, baudrate)


class SerialPort:
    """A port that pyserial opens."""

    piece_bytes = 1024  # they take 0.1 s at 115200 baud

    def __init__(self, url: str, baudrate: int) -> None:
        options = {} if "://" in url else {"exclusive": True}
        try:
            self._port = serial.serial_for_url(url, baudrate=baudrate, timeout=_POLL_SECONDS, **options)
        except KeyError as error:  # so pyserial refuses some
            raise ValueError(f"a setting behind the '?' has a value that pyserial does not know: {error}") from error
        self.baudrate = self._port.baudrate
        self._is_closed = False
        self._going: select.poll | None = None
        if url.startswith("rfc2217:"):  # whose every setting is a dialogue of its own, and whose limit is pyserial's
            self._going = select.poll()
            self._going.register(self._port._socket, select.POLLOUT)  # noqa: SLF001 (pyserial has no public way)

    @property
    def is_open(self) -> bool:
        return not self._is_closed and self._port.is_open

    def has_bytes(self) -> bool:
        with self._opened():
            return self._port.in_waiting > 0

    def receive(self, most: int, seconds: float) -> bytes:
        del seconds  # each setting would be a call of the system's
        with self._opened():
            return self._port.read(max(1, min(self._port.in_waiting, most)))

    def send(self, data: bytes, seconds: float) -> int:
        with self._opened():
            seconds = min(seconds, _LONGEST_WAIT)
            if self._going is None:
                self._port.write_timeout = seconds
            elif not self._going.poll(1000 * seconds):
                return 0
            try:
                return self._port.write(data)
            except (serial.SerialTimeoutException, queue.Full):  # the latter is of loop://
                return 0

    def close(self) -> None:
        self._is_closed = True  # before pyserial says so: it is closed piece by piece
        self._port.close()

    @contextmanager
    def _opened(self) -> Iterator[None]:
        """pyserial has errors of many kinds for a port that was closed, or that another thread closes meanwhile."""
        try:
            if not self.is_open:
                raise ConnectionError("it was closed")
            yield
        except (TypeError, ValueError, OSError) as error:
            if self.is_open:
                raise
            raise ConnectionError("it was closed") from error


class SocketPort:
    """A connection by TCP. ``baudrate`` is what the other side is taken to have."""

    piece_bytes = 1 << 16

    def __init__(self, url: str, baudrate: int) -> None:
        place = urlsplit(url)
        if not place.hostname or place.port is None or place.query or place.path:
            raise ValueError("a socket is named by host and port")
        self.baudrate = baudrate
        self._is_closed, self._process = False, os.getpid()
        self._socket = socket.create_connection((place.hostname, place.port), timeout=_CONNECT_SECONDS)
        self._socket.setblocking(False)
        # Else each request waits 40 ms for an acknowledgement (Nagle).
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._coming, self._going = select.poll(), select.poll()
        self._coming.register(self._socket, select.POLLIN)
        self._going.register(self._socket, select.POLLOUT)

    @property
    def is_open(self) -> bool:
        return not self._is_closed

    def has_bytes(self) -> bool:
        return self._is_ready(self._coming, 0)

    def receive(self, most: int, seconds: float) -> bytes:
        if not self._is_ready(self._coming, seconds):
            return b""
        try:
            data = self._socket.recv(most)
        except OSError:
            self._check_open()  # the system knows a closed socket by its number alone
            raise
        if not data:
            self._check_open()
            raise ConnectionError("the other side closed it, as a simulated chip does that has another client")
        return data

    def send(self, data: bytes, seconds: float) -> int:
        try:
            try:
                return self._socket.send(data)
            except BlockingIOError:
                return self._socket.send(data) if self._is_ready(self._going, seconds) else 0
        except OSError:
            self._check_open()  # the system knows a closed socket by its number alone
            raise

    def close(self) -> None:
        self._is_closed = True
        if self._process == os.getpid():  # a child that was forked ends its own end alone
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # wakes another thread's call
        self._socket.close()

    def _is_ready(self, poller: select.poll, seconds: float) -> bool:
        self._check_open()
        return bool(poller.poll(1000 * min(seconds, _LONGEST_WAIT)))

    def _check_open(self) -> None:
        if not self.is_open:  # its number may be another file's by now
            raise ConnectionError("it was closed")
