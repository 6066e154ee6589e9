# SPDX-License-Identifier: Apache-2.0
"""A pseudo-terminal for MLPerf Tiny's runner, before the line of a chip that is slower than a board.

The runner gives up when no line comes for 5 s; a simulated chip may infer for longer. While it works at a command, the
runner is sent empty lines, which it passes over. All other bytes go through as they are.

Example::

    with RunnerPort("socket://127.0.0.1:3456") as port:
        print(port.path)
        while True:
            port.serve(0.5)
"""

from __future__ import annotations

import os
import select
import socket
import time
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from springbok.support.errors import LinkError

PATIENCE_SECONDS = 2.0

_READY = b"m-ready"
_CHUNK_BYTES = 4096
_GONE = select.POLLHUP | select.POLLERR | select.POLLNVAL
_TEXT = frozenset(range(0x20, 0x7F)) | frozenset(b"\t\r\n")


class Terminal:
    """Our end of a pseudo-terminal, whose other one at ``path`` somebody may open, and close, and open again."""

    def __init__(self) -> None:
        self._master, slave = os.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        os.close(slave)

    def close(self) -> None:
        """Give it up. Harmless when it is done."""
        if self._master >= 0:
            os.close(self._master)
        self._master = -1

    def fileno(self) -> int:
        """For `select.poll`."""
        return self._master

    def is_open(self) -> bool:
        """Whether somebody has the other end, or has left bytes there."""
        poller = select.poll()
        poller.register(self, select.POLLIN)
        events = dict(poller.poll(0)).get(self._master, 0)
        return bool(events & select.POLLIN) or not events & _GONE

    def read(self) -> bytes:
        """What has come; waits until something has."""
        return os.read(self._master, _CHUNK_BYTES)

    def write(self, content: bytes) -> None:
        """What is said while nobody listens is lost, as on a cable."""
        while content and self.is_open():
            try:
                content = content[os.write(self._master, content) :]
            except OSError:
                return


class RunnerPort:
    """A pseudo-terminal at ``path`` and the chip's line at ``url``, ``socket://HOST:PORT``; closed by `close`.

    ``listen`` is called with all bytes of the chip's answers.
    """

    def __init__(
        self, url: str, patience: float = PATIENCE_SECONDS, listen: Callable[[bytes], None] | None = None
    ) -> None:
        self._url = url
        self._chip = self._connected()
        self._runner = Terminal()
        self.path = self._runner.path
        self._patience = patience
        self._listen = listen
        self._working = False  # a command was sent, and its answer has not ended
        self._said = b"\n"  # the last bytes that the runner was sent
        self._heard_at = time.monotonic()

    def __enter__(self) -> RunnerPort:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give both ends up. Harmless when it is done."""
        self._chip.close()
        self._runner.close()

    @contextmanager
    def lent(self) -> Iterator[str]:
        """The URL of the chip's line, which is somebody else's meanwhile; what the runner sends waits."""
        self._chip.close()
        try:
            yield self._url
        finally:
            self._chip = self._connected()

    def serve(self, seconds: float) -> None:
        """Move bytes for so long. Raises LinkError when the chip has left its line."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            ready = self._wait(min(left, self._patience / 4))
            if ready.get(self._runner.fileno(), 0) & select.POLLIN:
                self._ask(self._runner.read())
            if ready.get(self._chip.fileno(), 0):
                self._answer(self._chip.recv(_CHUNK_BYTES))
            if self._working and time.monotonic() - self._heard_at >= self._patience and self._said.endswith(b"\n"):
                self._tell(b"\r\n")

    def _connected(self) -> socket.socket:
        place = urlsplit(self._url)
        try:
            return socket.create_connection((place.hostname, place.port))
        except OSError as error:
            raise LinkError(f"The chip's line at {self._url} can't be opened: {error}.") from error

    def _wait(self, seconds: float) -> dict[int, int]:
        """What poll says; a terminal that nobody has open is always "ready", so it is not waited for."""
        poller = select.poll()
        poller.register(self._chip, select.POLLIN)
        if self._runner.is_open():
            poller.register(self._runner, select.POLLIN)
        return dict(poller.poll(1000 * seconds))

    def _ask(self, content: bytes) -> None:
        if b"%" in content and _TEXT.issuperset(content):
            self._working, self._heard_at = True, time.monotonic()
        self._chip.sendall(content)

    def _answer(self, content: bytes) -> None:
        if not content:
            raise LinkError("The chip has left its line.")
        self._tell(content)
        if self._listen:
            self._listen(content)
        self._said = (self._said + content)[-2 * len(_READY) :]
        if _READY in self._said:
            self._working, self._said = False, self._said[-1:]

    def _tell(self, content: bytes) -> None:
        self._heard_at = time.monotonic()
        self._runner.write(content)
