# SPDX-License-Identifier: Apache-2.0
"""Inputs as MLPerf Tiny's runner has them in a folder: ``DIR/kws01/y_labels.csv`` and the files that it names.

A line of ``y_labels.csv`` is file, number of classes, class, and for a recording of which windows are sent: bytes of a
window and of the step to the next. A stream's folder has WAV files, and a truth file that says where words are in one.
Nothing of the benchmark's data comes with this project.

Example::

    for each in read(Path("datasets"), "kws01"):
        print(each.name, each.label, [len(piece) for piece in each.pieces])
"""

from __future__ import annotations

import csv
import json
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from springbok.data.packaged.wake_word import RATE, Recording
from springbok.support.errors import DatasetError

LABELS = "y_labels.csv"
STREAM_TRUTH, STREAM_SOUND = "sww_long_test.json", "long_wav.wav"  # as the runner's scripts and truth files name them
_SAMPLE_BYTES = 2
_FULL_SCALE = 1 << 8 * _SAMPLE_BYTES - 1
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


def read_sound(path: Path) -> np.ndarray:
    """The first channel of a WAV file of 16 bits at 16 kHz, from -1 to 1.

    Raises DatasetError when it is another, or can't be read.
    """
    try:
        with wave.open(str(path)) as file:
            kind = (file.getsampwidth(), file.getframerate())
            channels, data = file.getnchannels(), file.readframes(file.getnframes())
    except OSError as error:
        raise DatasetError(f"{path} can't be read: {error.strerror}.") from error
    except (wave.Error, EOFError) as error:
        raise DatasetError(f"{path} is no WAV file: {str(error) or 'it ends too early'}") from error
    if kind != (_SAMPLE_BYTES, RATE):
        raise DatasetError(f"{path} has samples of {8 * kind[0]} bits at {kind[1]} Hz, not of 16 bits at {RATE} Hz.")
    return np.frombuffer(data, "<i2")[::channels] / _FULL_SCALE


def write_stream(folder: Path, recording: Recording) -> None:
    """Make a stream's folder of a recording, for the runner's scripts as they are; two channels, as its own has.

    Raises DatasetError when the folder has something in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise DatasetError(f"{folder} is not empty: a made-up recording gets a folder of its own.")
        with wave.open(str(folder / STREAM_SOUND), "wb") as file:
            file.setnchannels(2)
            file.setsampwidth(_SAMPLE_BYTES)
            file.setframerate(RATE)
            file.writeframes(np.repeat(recording.sound, 2).astype("<i2").tobytes())
        truth = {
            "wav_file": STREAM_SOUND,
            "sample_rate": RATE,
            "length_sec": len(recording.sound) / RATE,
            "detection_windows": recording.words,
        }
        (folder / STREAM_TRUTH).write_text(json.dumps([truth], indent=1), encoding="utf-8")
    except OSError as error:
        raise DatasetError(f"{folder} can't be written: {error.strerror}.") from error


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
