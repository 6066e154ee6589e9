# SPDX-License-Identifier: Apache-2.0
"""How commands write to the terminal."""

from __future__ import annotations

import errno
import io
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

from springbok.support.escaping import visible
from springbok.support.files import storage_error
from springbok.support.places import told_path

_LONGEST_CELL = 120


class OutputLost(Exception):
    """What a command writes reaches nobody: its reader has gone (then it ``was_closed``), or the disk is full."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(storage_error(error, "The output")))
        self.was_closed = error.errno == errno.EPIPE


class _Told:
    """A stream whose errors are `OutputLost`, so that nobody takes them for those of a file."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """As the stream's."""
        return self._tried(self._stream.write, text)

    def flush(self) -> None:
        """As the stream's."""
        self._tried(self._stream.flush)

    def _tried(self, function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except OSError as error:
            # What is left goes nowhere: Python would try again at its end.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
            raise OutputLost(error) from error


@contextmanager
def output_told() -> Iterator[None]:
    """Within the context, and at its end, output that can't be written is `OutputLost`, whoever wrote it."""
    streams = sys.stdout, sys.stderr
    # A stream is None where it was closed from the start. One that lacks a letter's code writes it as \\x….
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.stdout, sys.stderr = (_Told(each) if each else each for each in streams)
    try:
        try:
            yield
        finally:
            if sys.stdout:
                sys.stdout.flush()
    finally:
        sys.stdout, sys.stderr = streams


def print_table(rows: Sequence[Sequence[str]], left: int = 1) -> None:
    """Print rows of text in columns, the first ``left`` of them aligned to the left; each row is one line."""
    rows = [[_in_a_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def _in_a_line(text: str) -> str:
    """Text without line breaks, and what else would command a terminal; cut where it is too long for any."""
    line = visible(re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", text))
    return line if len(line) <= _LONGEST_CELL else f"{line[: _LONGEST_CELL - 1]}…"


def shown(path: Path) -> Path:
    """The path as short as it can be told from here."""
    return told_path(path)
