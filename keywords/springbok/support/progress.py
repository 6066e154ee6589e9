# SPDX-License-Identifier: Apache-2.0
"""Progress of long work on a terminal: one line that is written over, and nothing where nobody watches.

It is the line below the cursor's, and the cursor stays where it is: Robot Framework begins a line with a test's name,
and ends it when the test has.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TextIO, TypeVar

T = TypeVar("T")

_INTERVAL_SECONDS = 0.2
_FIRST_AFTER_SECONDS = 1.0  # shorter work needs no progress

# Down and up again, which makes room for a line at the screen's end; keep the place; clear the line below. And back.
_BELOW, _BACK = "\033D\033[A\0337\033[B\r\033[K", "\0338"
_WRITTEN = re.compile(f"{re.escape(_BELOW)}(.*?){re.escape(_BACK)}", re.DOTALL)


def _write(stream: TextIO, text: str) -> None:
    """Show ``text`` in place of what was shown before; a line that went on in the next one would scroll the screen."""
    stream.write(f"{_BELOW}{text[: shutil.get_terminal_size().columns - 1]}{_BACK}")
    stream.flush()


def without_progress(written: str) -> tuple[str, str]:
    """What was ``written`` to a terminal beside progress, and the last progress that was shown; empty where none was.

    >>> without_progress(f"A test {_BELOW}Sending: 5 of 9{_BACK}| PASS |")
    ('A test | PASS |', 'Sending: 5 of 9')
    """
    shown = _WRITTEN.findall(written)
    return _WRITTEN.sub("", written), shown[-1] if shown else ""


def is_watched(stream: TextIO | None = None) -> bool:
    """Whether somebody sits before a terminal: never in CI, nor where the output goes to a file."""
    stream = stream or sys.__stderr__
    return stream is not None and stream.isatty() and not os.environ.get("CI")


def pace(done: int, seconds: float, left: int) -> str:
    """How fast ``done`` pieces of work were done in ``seconds``, and how long ``left`` more take; empty before any.

    >>> pace(12, 180.0, 36), pace(100_000, 10.0, 50_000), pace(0, 5.0, 3)
    ('4 a minute, 9 min left', '10,000 a second, 5 s left', '')
    """
    if not done or seconds <= 0:
        return ""
    rate, unit = (done / seconds, "second") if done >= seconds else (60 * done / seconds, "minute")
    shown = f"{rate:.3g}" if rate < 1000 else f"{rate:,.0f}"
    return f"{shown} a {unit}, {duration(left * seconds / done)} left"


def duration(seconds: float) -> str:
    """A time as people say it.

    >>> duration(7.4), duration(540), duration(5400)
    ('7 s', '9 min', '1 h 30 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def amount(count: int, noun: str) -> str:
    """How many there are, as people say it.

    >>> amount(1, "row"), amount(1200, "row")
    ('1 row', '1,200 rows')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def progress(title: str, stream: TextIO | None = None) -> Callable[[int, int], None]:
    """Return a function to call with (done, total). In CI, or without a terminal, it does nothing.

    >>> report = progress("Sending gestures.vmfb")
    >>> report(1024, 33656)
    """
    stream = stream or sys.__stderr__
    if not is_watched(stream):
        return lambda done, total: None
    started = written = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal written
        now = time.monotonic()
        is_last = done >= total
        if now - started < _FIRST_AFTER_SECONDS or (now - written < _INTERVAL_SECONDS and not is_last):
            return
        written = now
        parts = [f"{title}: {done:,} of {total:,} ({done / total:.0%})", pace(done, now - started, total - done)]
        text = ", ".join(filter(None, parts)) if not is_last else ""
        _write(stream, text)

    return show


def counted(title: str, items: Sequence[T], stream: TextIO | None = None) -> Iterator[T]:
    """The items one after the other, with progress of how many of them are done.

    >>> [item for item in counted("Compiling, models", ["a", "b"])]
    ['a', 'b']
    """
    show = progress(title, stream)
    for number, item in enumerate(items):
        yield item
        show(number + 1, len(items))


@contextmanager
def working(title: str, stream: TextIO | None = None) -> Iterator[None]:
    """Within the context, a terminal shows what is done and for how long: of work whose end can't be foreseen.

    >>> with working("Compiling gestures.h5"):
    ...     pass
    """
    stream = stream or sys.__stderr__
    if not is_watched(stream):
        yield
        return
    ended, started = threading.Event(), time.monotonic()

    def show() -> None:
        is_shown = False
        while not ended.wait(_INTERVAL_SECONDS):
            seconds = time.monotonic() - started
            if seconds >= _FIRST_AFTER_SECONDS:
                is_shown = True
                _write(stream, f"{title}: {duration(seconds)}")
        if is_shown:
            _write(stream, "")

    shower = threading.Thread(target=show, daemon=True)
    shower.start()
    try:
        yield
    finally:
        ended.set()
        shower.join()
