# SPDX-License-Identifier: Apache-2.0
"""The other end of the chip's UART: a TCP socket or a pseudo-terminal.

Like a serial cable: bytes that the chip sends while no client is connected are lost, bytes that a client sent
stay on the line until the chip reads them, even after the client has gone. Nothing here blocks.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable

from springbok.devices.interface import Uart

CHUNK_BYTES = 65536
GONE = select.POLLHUP | select.POLLERR | select.POLLNVAL


class SocketLine:
    """A listening socket on which one client at a time is served; a second one is turned away.

    ``on_client`` is told the descriptors of the client that has come, -1 when it has gone, and of the listening socket.
    """

    def __init__(
        self,
        listener: socket.socket,
        uart: Uart,
        warn: Callable[[str], None],
        on_client: Callable[[int, int], None] = lambda client, listener: None,
    ) -> None:
        self._listener = listener
        self._on_client = on_client
        self._client: socket.socket | None = None
        self._uart = uart
        self._warn = warn
        listener.setblocking(False)

    @property
    def waiting_for_receiver(self) -> bool:
        """Whether a client's bytes wait because the UART's receiver is off."""
        return not self._uart.receiving and self._client is not None and _readable(self._client.fileno())

    def end(self) -> None:
        """Let the client go, and whoever comes from now on: nobody is served any more."""
        if self._client is not None:
            self._client.shutdown(socket.SHUT_RDWR)
            self._disconnect()
        self._accept()
        if self._client is not None:
            self._disconnect()

    def interests(self) -> dict[int, int]:
        """What to poll for: file descriptor and events."""
        wanted = {self._listener.fileno(): select.POLLIN}
        if self._client is not None:
            wanted[self._client.fileno()] = select.POLLRDHUP | _wanted_events(self._uart)
        return wanted

    def flush(self) -> None:
        """Hand over what the chip has sent, as far as the client takes it; without a client it is lost."""
        if self._client is None:
            _lose(self._uart)
        elif content := self._uart.sending():
            try:
                self._uart.sent(self._client.send(content))
            except BlockingIOError:
                pass
            except OSError:
                self._disconnect()

    def serve(self, ready: dict[int, int]) -> None:
        """Take bytes. ``ready`` is what poll said; the client goes before a new one is accepted."""
        if self._client is not None:
            events = ready.get(self._client.fileno(), 0)
            if events & (select.POLLIN | select.POLLRDHUP | GONE):
                self._receive(gone=bool(events & (select.POLLRDHUP | GONE)))
        if ready.get(self._listener.fileno(), 0):
            self._accept()

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        if self._client is not None:
            self._warn("UART: a second client was turned away, the line has one already")
            connection.close()
            return
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._client = connection
        self._on_client(connection.fileno(), self._listener.fileno())

    def _receive(self, gone: bool) -> None:
        """Take what the client sent; all of it when the client has closed its side."""
        while (gone or self._uart.waiting < Uart.BUFFER_BYTES) and (gone or self._uart.receiving):
            try:
                received = self._client.recv(CHUNK_BYTES)
            except BlockingIOError:
                return
            except OSError:
                received = b""
            if not received:
                self._disconnect()
                return
            self._uart.receive(received)
            if not gone:
                return

    def _disconnect(self) -> None:
        self._on_client(-1, self._listener.fileno())
        self._client.close()
        self._client = None
        _lose(self._uart)


class PtyLine:
    """The master side of a pseudo-terminal; a client opens the other side by its path."""

    def __init__(self, master: int, uart: Uart) -> None:
        self._master = master
        self._uart = uart
        self._connected = False
        os.set_blocking(master, False)

    @property
    def waiting_for_receiver(self) -> bool:
        """Whether a client's bytes wait because the UART's receiver is off."""
        return not self._uart.receiving and _readable(self._master)

    def end(self) -> None:
        """Nobody is served any more."""
        self._connected = False

    def interests(self) -> dict[int, int]:
        """What to poll for. A pty without a client is always "ready", so it is left out and looked at by `flush`."""
        return {self._master: _wanted_events(self._uart)} if self._connected else {}

    def flush(self) -> None:
        """Hand over what the chip has sent, as far as the client takes it; without a client it is lost."""
        if not self._connected:
            self._connected = not self._state() & GONE
        content = self._uart.sending()
        if not content:
            return
        if not self._connected:
            _lose(self._uart)
            return
        try:
            self._uart.sent(os.write(self._master, content))
        except BlockingIOError:
            pass
        except OSError:
            self._connected = False

    def serve(self, ready: dict[int, int]) -> None:
        """Take bytes."""
        uart = self._uart
        events = ready.get(self._master, 0) if self._connected else self._state()
        try:
            if events & select.POLLIN and uart.receiving and uart.waiting < Uart.BUFFER_BYTES:
                uart.receive(os.read(self._master, CHUNK_BYTES))
            elif events & GONE:
                self._connected = False
        except BlockingIOError:
            pass
        except OSError:
            self._connected = False

    def _state(self) -> int:
        poller = select.poll()
        poller.register(self._master, select.POLLIN)
        return dict(poller.poll(0)).get(self._master, 0)


def _wanted_events(uart: Uart) -> int:
    events = select.POLLIN if uart.receiving and uart.waiting < Uart.BUFFER_BYTES else 0
    return events | (select.POLLOUT if uart.sending() else 0)


def _lose(uart: Uart) -> None:
    uart.sent(len(uart.sending()))


def _readable(descriptor: int) -> bool:
    poller = select.poll()
    poller.register(descriptor, select.POLLIN)
    return any(events & select.POLLIN for _, events in poller.poll(0))
