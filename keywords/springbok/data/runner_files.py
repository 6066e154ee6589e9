# SPDX-License-Identifier: Apache-2.0
"""Inputs as MLPerf Tiny's runner has them in a folder: ``DIR/kws01/y_labels.csv`` and the files that it names.

A line of ``y_labels.csv`` is file, number of classes, class, and for a recording of which windows are sent: bytes of a
window and of the step to the next. Nothing of the benchmark's data comes with this project.

Example::

    for each in read(Path("datasets"), "kws01"):
        print(each.name, each.label, [len(piece) for piece in each.pieces])
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from springbok.support.errors import DatasetError

LABELS = "y_labels.csv"
_COLUMNS = ("file", "classes", "class", "window", "step")


@dataclass(frozen=True)
class RunnerFile:
    """A file of the benchmark: its class, and what the runner sends of it, one input each."""

    name: str
    label: int
    pieces: tuple[bytes, ...]


def read(folder: Path, task: str, most: int | None = None) -> list[RunnerFile]:
    """The files of a task, or ``most`` of them, evenly from all.

    Raises DatasetError with the file and line when they are not as the runner has them.
    """
    path = folder / task / LABELS
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = [row for row in csv.DictReader(file, fieldnames=_COLUMNS) if row["file"]]
    except OSError as error:
        raise DatasetError(
            f"{path} can't be read: {error.strerror}. MLPerf Tiny's runner has its inputs there: a folder a task, with "
            f"{LABELS} in it."
        ) from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} is no CSV file in UTF-8: {error}") from error
    if not rows:
        raise DatasetError(f"{path} names no file.")
    count = len(rows) if most is None else min(most, len(rows))
    places = [number * len(rows) // count for number in range(count)]
    return [_file(path, place + 1, rows[place]) for place in places]


def _file(path: Path, line: int, row: dict[str, str]) -> RunnerFile:
    label = _number(path, line, row, "class", least=0)
    source = path.parent / row["file"].strip()
    try:
        data = source.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}, line {line}: {source} can't be read: {error.strerror}.") from error
    if not row["window"]:
        return RunnerFile(row["file"], label, (data,))
    window, step = (_number(path, line, row, name, least=1) for name in ("window", "step"))
    if window > len(data):
        raise DatasetError(f"{path}, line {line}: a window of {window} bytes, but {source} has {len(data)}.")
    starts = range(0, len(data) - window + 1, step)
    return RunnerFile(row["file"], label, tuple(data[start : start + window] for start in starts))


def _number(path: Path, line: int, row: dict[str, str], name: str, least: int) -> int:
    text = (row[name] or "").strip()
    if not text.isdecimal() or int(text) < least:
        raise DatasetError(f"{path}, line {line}: {name} is '{text}', which is no whole number from {least}.")
    return int(text)
