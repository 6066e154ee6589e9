# SPDX-License-Identifier: Apache-2.0
"""The serial line that a link talks over: bytes out and in, each call with the moment by which it ends.

line = Line("socket://localhost:3456")
line.write("INFO", frame, time.monotonic() + 1.0)
header = line.read("INFO", 6, time.monotonic() + 1.0)
line.close()
"""

from __future__ import annotations

import functools
import math
import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from numbers import Integral, Real
from typing import ParamSpec, TypeVar

from springbok.link.ports import open_port
from springbok.support.errors import LinkError, LinkTimeout

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")
Progress = Callable[[int, int], None]

_TELLING_SECONDS = 0.1  # bytes that come in less say nothing of a line that never falls silent
_POLL_SECONDS = 0.02
_FOREIGN_SECONDS = 1.0
_READ_BYTES = 4096
_MOST_BYTES = 1 << 63
_PROGRESS_BYTES = 1024  # so often it is told how far a write is


def seconds_of(limit: float, name: str = "timeout") -> float:
    """A limit that a caller gives. Raises LinkError for what is no finite number: such a time would never be over.

    >>> seconds_of(3)
    3.0
    """
    if type(limit) is float and math.isfinite(limit):  # so it nearly always is
        return limit
    with suppress(OverflowError):
        if isinstance(limit, Real) and math.isfinite(seconds := float(limit)):
            return seconds
    raise LinkError(f"{name} takes a finite number of seconds, for example {name}=10.")


def shown(seconds: float) -> str:
    """Seconds as they are told.

    >>> shown(10.04), shown(0.0001)
    ('10.0', '0.0001')
    """
    return f"{seconds:.1f}" if seconds >= 0.05 else f"{seconds:.1g}"


def plain(data: bytes) -> bytes:
    """What a line carries. Raises TypeError, with what to do, for what is no bytes."""
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(
            f"The link carries bytes, not {type(data).__name__}: of an array array.tobytes(), of a file "
            "Path(file).read_bytes(), and several arrays' bytes one after the other."
        )
    return data if isinstance(data, bytes) else bytes(data)


class Turn:
    """Whose call goes on.

    It ends with its call even where that was interrupted on the way to the end: the call has its token, and this only a
    weak reference.
    """

    class Token:
        """A call's."""

    def __init__(self) -> None:
        self.process = os.getpid()  # whose line it is: a child that was forked has the same one open
        self._call: weakref.ref[Turn.Token] | None = None
        self._lock = threading.RLock()  # a signal's handler may come amid what it guards, and ask for the turn

    def take(self, token: Token) -> bool:
        """Whether the turn is this call's now."""
        with self._lock:
            if self._call is None or self._call() in (None, token):
                self._call = weakref.ref(token)
                return True
            return False

    def leave(self, token: Token) -> None:
        """Give it up; harmless for who has not got it."""
        with self._lock:
            if self._call is not None and self._call() is token:
                self._call = None


def alone(method: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """A method of what has a line, of which one call at a time may go on: answers are in the order of requests.

    Its object has a ``turn``, a `Turn`. Raises LinkError where another call goes on, of another thread or of
    this one, which a signal's handler has interrupted, and in a process that was forked from the object's.
    """

    @functools.wraps(method)
    def call(*given: Arguments.args, **named: Arguments.kwargs) -> Result:
        turn, token = given[0].turn, Turn.Token()
        if turn.process != os.getpid():
            raise LinkError(
                f"{method.__name__} was called in another process than the one that opened the line, of which this one "
                "was forked: each would take the other's answers. Open a link of its own here, after the first has "
                "ended, or start processes by multiprocessing's 'spawn'."
            )
        try:
            if turn.take(token):
                return method(*given, **named)
        finally:
            turn.leave(token)
            del token  # a traceback may keep this frame
        raise LinkError(
            f"{method.__name__} was called while another call goes on: a line carries one dialogue. Let threads take "
            "turns, by a lock around each whole exchange, and call nothing from a signal's handler but close."
        )

    return call


class LineBusy(LinkTimeout):
    """The line did not fall silent. ``heard`` are the last bytes that came."""

    def __init__(self, message: str, heard: bytes) -> None:
        self.heard = heard
        super().__init__(message)


class Line:
    """An open port, pseudo-terminal or socket.

    url       port or pyserial URL
    baudrate  of a real port; simulators ignore it
    diagnose  gives a text for an error's end, e.g. the simulator's view of the core

    Raises LinkError when the port can't be opened, and from every method when the connection is lost.
    """

    def __init__(self, url: str, *, baudrate: int = 115200, diagnose: Callable[[], str] = str) -> None:
        self.url = url
        self._diagnose = diagnose
        self._busy_at = 0.0  # when a byte last came or went
        self._come = bytearray()  # what nobody has read yet
        if not isinstance(baudrate, Integral) or baudrate <= 0:
            raise LinkError("The baud rate is a whole number, 1 or more.")
        try:
            self._port = open_port(url, baudrate)
        except (OSError, ValueError, OverflowError) as error:  # pyserial's are OSErrors
            raise LinkError(
                f"{url or 'A port without a name'} can't be opened: {_reason(error)}. {_advice(url)}"
            ) from error

    @property
    def is_open(self) -> bool:
        """Whether ``close`` was not called."""
        return self._port.is_open

    def close(self) -> None:
        """Close the line. Harmless when it is closed."""
        self._port.close()

    def seconds_for(self, count: int) -> float:
        """Return twice the time that so many bytes of 10 bits are on a line of the baud rate.

        Raises LinkError for what is no number of bytes.
        """
        if not (type(count) is int or isinstance(count, Integral)) or not 0 <= count < _MOST_BYTES:
            raise LinkError("The size of an answer is a whole number of bytes, 0 or more.")
        return 20 * count / self._port.baudrate

    def has_bytes(self, request: str) -> bool:
        """Tell whether bytes have come that nobody has read."""
        with self._guard(request):
            return bool(self._come) or self._port.has_bytes()

    def write(
        self, request: str, data: bytes, deadline: float, stall: float = math.inf, progress: Progress | None = None
    ) -> float:
        """Write all of ``data``; return the seconds that ``progress`` took: by them the deadline is later.

        Raises LinkTimeout when the other side has not taken it by the deadline, or takes nothing for ``stall`` seconds.
        """
        told = 0.0
        written, piece = 0, min(self._port.piece_bytes, _PROGRESS_BYTES) if progress else self._port.piece_bytes
        with self._guard(request):
            while written < len(data):
                left = min(stall, deadline + told - time.monotonic())
                taken = self._port.send(data[written : written + piece], left) if left > 0 else 0
                if left <= 0 and not written:
                    raise LinkTimeout(f"The time was over before {request} could be sent.{self._diagnose()}")
                if not taken:
                    raise LinkTimeout(
                        f"The device stopped taking {request}: {written} of {len(data)} bytes were written, then it "
                        f"took nothing until the time was over.{self._diagnose()}"
                    )
                written += taken
                self._busy_at = time.monotonic()
                if progress:
                    progress(written, len(data))
                    told += time.monotonic() - self._busy_at
        return told

    def read(self, request: str, count: int, deadline: float, most: int = 0) -> bytes:
        """Return ``count`` bytes, or fewer when the time is over; of what has come behind them, up to ``most`` in all.

        All that has come is taken from the port at once, and what nobody asked for is kept.
        """
        come = self._come
        with self._guard(request):
            while len(come) < count and (left := deadline - time.monotonic()) > 0:
                part = self._port.receive(max(_READ_BYTES, count - len(come)), left)
                if part:
                    self._busy_at = time.monotonic()
                    come += part
        taken = max(count, most)
        data = bytes(come[:taken])
        del come[:taken]
        return data

    def drain(self, silence: float, deadline: float, foreign: bytes = b"") -> int:
        """Throw away what comes until nothing has been on the line for ``silence`` seconds; return how much it was.

        Silence before the call counts. Raises LineBusy when the line is not silent by the deadline, and after a second
        where ``foreign`` is heard, which will not end.
        """
        thrown_away, heard = 0, b""
        started = time.monotonic()
        while (now := time.monotonic()) < deadline:
            silent_at = self._busy_at + silence
            if now >= silent_at and not self.has_bytes("resynchronisation"):
                return thrown_away
            until = min(max(silent_at, now + _POLL_SECONDS), deadline)
            data = self.read("resynchronisation", _READ_BYTES, until)
            thrown_away, heard = thrown_away + len(data), (heard + data)[-_READ_BYTES:]
            if foreign and foreign in heard and now - started >= _FOREIGN_SECONDS:
                deadline = now
        waited = max(0.0, deadline - started)
        if not thrown_away or waited < max(silence, _TELLING_SECONDS):
            raise LineBusy(
                f"The time was over before {self.url} could be silent for {shown(silence)} s, which tells late "
                f"answers from this request's: {shown(waited)} s were left. What came before was not understood: "
                "check the baud rate and that the device runs springbok-bench's firmware, and allow more time.",
                heard,
            )
        raise LineBusy(
            f"{self.url} does not fall silent: {thrown_away} bytes came in {waited:.1f} s "
            "without a request. Check the baud rate and that the device runs springbok-bench's firmware.",
            heard,
        )

    @contextmanager
    def _guard(self, request: str) -> Iterator[None]:
        """Turn what a port raises when a connection is lost into a LinkError."""
        try:
            yield
        except OSError as error:  # pyserial's are OSErrors too
            raise LinkError(
                f"The connection to {self.url} was lost during {request}: {error}. Open the link anew; if the device "
                f"was restarted, its model must be loaded again.{self._diagnose()}"
            ) from error


def _reason(error: Exception) -> str:
    """Why a port can't be opened; pyserial's own sentence says that it can't, and which one, two times more."""
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)


def _advice(url: str) -> str:
    if "://" in url:
        return "Check the URL, e.g. socket://localhost:3456, and that the simulator runs and listens there."
    return "Check that the device is plugged in, that you may use it, and that no other program has it open."
