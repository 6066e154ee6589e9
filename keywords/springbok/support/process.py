# SPDX-License-Identifier: Apache-2.0
"""Runs other programs, bounded: none outlives its limit or who started it, nor does anything that it started.

Each runs below a supervisor (`springbok.support.supervisor`), which sees to that whatever happens to this process.
"""

from __future__ import annotations

import os
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import MAGIC_NUMBER
from pathlib import Path

from springbok.support import supervisor

#: Of `run`, unless it is told another. A program that runs others itself gives them a smaller one, so that it is
#: still there to say which of them used it up.
TIME_LIMIT_SECONDS = float(os.environ.get("SPRINGBOK_TIME_LIMIT", "300"))
_SHARE_OF_CHILDREN = 0.8


@dataclass(frozen=True)
class Finished:
    """How a program ended: its exit code (below 0: the signal that ended it) and what it wrote."""

    exit_code: int
    output: str
    timed_out: bool = False


def run(
    command: Sequence[str | Path],
    time_limit: float | None = None,
    cwd: Path | None = None,
    environment: dict[str, str] | None = None,
) -> Finished:
    """Runs ``command`` and waits for its end; then all that it started is ended too.

    ``time_limit`` (default: `TIME_LIMIT_SECONDS`) is seconds of processor time that the program and all that it
    starts may use together, or as long a time of waiting: see `springbok.support.supervisor.Allowance`. ``environment``
    is added to this process's own. Standard output and error are taken together. The program's temporary files are
    removed.

    >>> run(["echo", "hello"]).output
    'hello\\n'
    """
    limit = TIME_LIMIT_SECONDS if time_limit is None else time_limit
    _raise_if_ended()
    with tempfile.TemporaryFile() as output:
        options = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": subprocess.STDOUT}
        shared = {"SPRINGBOK_TIME_LIMIT": f"{_SHARE_OF_CHILDREN * limit:g}"}
        options |= {"cwd": cwd, "env": os.environ | shared | (environment or {}), "start_new_session": True}
        with Supervised(command, "apart", limit, **options) as supervised, _ended_with_this_process(supervised):
            exit_code, timed_out = supervised.wait()
        output.seek(0)
        return Finished(exit_code, output.read().decode("utf-8", "replace"), timed_out)


class Interrupted(KeyboardInterrupt):  # noqa: N818
    """A signal (``number``) asked this process to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    @property
    def name(self) -> str:
        """Such as ``SIGTERM``."""
        return signal.Signals(self.number).name


class _Endings:
    """What `run` runs, in whichever thread, and the signal that has asked this process to end; 0: none has."""

    def __init__(self) -> None:
        self.running: set[Supervised] = set()
        self.number = 0


_endings = _Endings()


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Within the context SIGINT, SIGTERM and SIGHUP raise `Interrupted`, so that whatever is open is closed.

    What other threads `run` is ended, and raises it there: else who waits for a thread would wait for its program.
    """

    def interrupt(number: int, _: object) -> None:
        for each in supervisor.ENDINGS:  # whoever asks twice means at once
            signal.signal(each, signal.SIG_DFL)
        _endings.number = number
        for supervised in tuple(_endings.running):
            supervised.end()
        raise Interrupted(number)

    _endings.number = 0
    with _handling_endings(interrupt):
        yield


@contextmanager
def _ended_with_this_process(supervised: Supervised) -> Iterator[None]:
    """Raises `Interrupted` in a thread that is not the main one when a signal has asked this process to end."""
    _endings.running.add(supervised)
    try:
        _raise_if_ended()
        yield
        _raise_if_ended()
    finally:
        _endings.running.discard(supervised)


def _raise_if_ended() -> None:
    is_elsewhere = threading.current_thread() is not threading.main_thread()  # in that the signal itself raises it
    if is_elsewhere and (number := _endings.number):
        raise Interrupted(number)


def raise_if_ended() -> None:
    """Raises `Interrupted` if a signal has asked this process to end.

    For who meets an exception from a library that calls Python back: it may be what `Interrupted` has become there.
    """
    if _endings.number:
        raise Interrupted(_endings.number)


def run_in_foreground(
    command: Sequence[str | Path],
    quiet: bool = False,
    environment: dict[str, str] | None = None,
    pass_fds: Sequence[int] = (),
) -> int:
    """Runs a program at this process's terminal, without a limit; returns its exit code. Nothing of it is left.

    What asks this process to end (SIGINT, SIGTERM, SIGHUP) asks the program; when that has ended, `Interrupted` is
    raised. ``pass_fds`` stay open as long as anything of the program is there.
    """
    received: list[int] = []
    options = {"stdout": subprocess.DEVNULL if quiet else None, "env": os.environ | (environment or {})}
    with Supervised(command, "foreground", pass_fds=pass_fds, **options) as supervised:

        def pass_on(number: int, _: object) -> None:
            received.append(number)
            supervised.send_signal(signal.SIGTERM if number == signal.SIGHUP else number)  # which few programs handle

        with _handling_endings(pass_on):
            exit_code, _ = supervised.wait()
    if received:
        raise Interrupted(received[0])
    return exit_code


@contextmanager
def _handling_endings(handler: Callable[[int, object], None]) -> Iterator[None]:
    """Python calls handlers in the main thread only; what is ignored (nohup) stays so."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    found = {number: signal.getsignal(number) for number in supervisor.ENDINGS}
    previous = {number: old for number, old in found.items() if old is not None and old is not signal.SIG_IGN}
    try:
        for number in previous:
            signal.signal(number, handler)
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, old)


def ending(exit_code: int) -> str:
    """How a process ended, for people.

    >>> ending(2), ending(-11)
    ('exit code 2', 'signal SIGSEGV')
    """
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return f"signal {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"signal {-exit_code}"


def limit_text() -> str:
    """How errors speak of the limit of `run`: ``within 300 s of processor time (…)``."""
    return f"within {TIME_LIMIT_SECONDS:g} s of processor time (SPRINGBOK_TIME_LIMIT sets another limit)"


def _supervisor() -> str:
    """The supervisor's file: as Python has compiled it, where that is kept and is of this source."""
    source, compiled = Path(supervisor.__file__), Path(supervisor.__spec__.cached or "")
    with suppress(OSError):
        status = source.stat()
        times = (int(status.st_mtime) & 0xFFFFFFFF, status.st_size & 0xFFFFFFFF)
        head = MAGIC_NUMBER + struct.pack("<3I", 0, *times)
        with compiled.open("rb") as file:
            if file.read(len(head)) == head:
                return str(compiled)
    return str(source)


class Supervised:
    """A program that runs below a supervisor. Leaving the context ends it, and waits until nothing is left of it.

    ``kind`` and ``limit`` are as `springbok.support.supervisor` says; ``options`` are those of `subprocess.Popen`.
    """

    def __init__(self, command: Sequence[str | Path], kind: str, limit: float = 0, **options: object) -> None:
        words = [str(word) for word in command]
        self._name = words[0]
        self._channel, theirs = socket.socketpair()
        arguments = [str(os.getpid()), str(theirs.fileno()), str(limit), kind]
        kept = (theirs.fileno(), *options.pop("pass_fds", ()))
        try:
            with theirs:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-S", _supervisor(), *arguments, *words], pass_fds=kept, **options
                )
        except BaseException:
            self._channel.close()
            raise

    def __enter__(self) -> Supervised:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._channel.close()
        self._process.wait()

    def end(self) -> None:
        """Have it ended, which `wait` is told of. Harmless when it has ended."""
        with suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)  # which closing alone is not, while another thread waits

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it runs any more."""
        return self._process.poll() is not None

    def send_signal(self, number: int) -> None:
        """Give the program a signal, unless it came to the whole process group, and little time to end."""
        try:
            self._channel.send(bytes([number]))
        except OSError:
            return  # it has ended

    def wait(self) -> tuple[int, bool]:
        """Wait for the end; the program's exit code, and whether it was ended for its limit.

        Raises OSError if it could not be started.
        """
        told = b""
        while not told.endswith(b"\n") and (part := self._channel.recv(4096)):
            told += part
        self._process.wait()
        # Somebody may have killed the supervisor, and the program with it.
        how, number = told.decode().split() or ("ended", str(self._process.returncode or -signal.SIGKILL))
        if how == "error":
            raise OSError(int(number), os.strerror(int(number)), self._name)
        return int(number), how == "limit"
