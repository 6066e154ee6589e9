# SPDX-License-Identifier: Apache-2.0
"""Progress of long work on a terminal: one line that is written over, and nothing where nobody watches."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import TextIO

_INTERVAL_SECONDS = 0.2
_FIRST_AFTER_SECONDS = 1.0  # shorter work needs no progress


def is_watched(stream: TextIO | None = None) -> bool:
    """Whether somebody sits before a terminal: never in CI, nor where the output goes to a file."""
    stream = stream or sys.__stderr__
    return stream is not None and stream.isatty() and not os.environ.get("CI")


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
        text = f"{title}: {done:,} of {total:,} ({done / total:.0%})" if not is_last else ""
        stream.write(f"\r\033[K{text}")  # back to the line's start, and clear it
        stream.flush()

    return show
