# SPDX-License-Identifier: Apache-2.0
"""``magic_wand``: an accelerometer moved through three gestures by ten people, and other movements.

It is downloaded once, or read from a local copy.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from springbok.data.dataset import Dataset, check_split, in_turn
from springbok.data.packaged.download import download_once
from springbok.support.errors import DatasetError
from springbok.support.files import build_folder

MAGIC_WAND_URL = "https://download.tensorflow.org/models/tflite/magic_wand/data.tar.gz"
MAGIC_WAND_SHA256 = "f1363203508484c50101e4a9d4096d29bd336a7b581cefe0382d3e0cfb1026bc"
MAGIC_WAND_VARIABLE = "SPRINGBOK_MAGIC_WAND"  # environment variable: path of a local copy of the archive
MAGIC_WAND_CLASSES = ("negative", "ring", "slope", "wing")
MAGIC_WAND_STEPS = 128
# The two test people of TensorFlow Lite Micro's own split by person, and a third of the negatives' files.
MAGIC_WAND_HELD_OUT = ("liucx", "zhangxy", "negative_1", "negative_2", "negative_ccw_2")

CACHE = build_folder() / "datasets"

_SENSOR_LIMIT = 2040  # mg: the sensor clips here
_PADDING_NOISE = 10  # mg: how far a padded step may lie from the recording's end
_SAMPLE = re.compile(rb"(-?\d+\.\d+),(-?\d+\.\d+),(-?\d+\.\d+)")
_CUT_OFF_SAMPLE = re.compile(rb"-?\d[-\d.,]*")
_SEPARATOR = b"-,-,-"
_RECORDING_FILE = re.compile(r"output_(negative|ring|slope|wing)_(\w+)\.txt")
_ARCHIVE = "data.tar.gz"  # its name at MAGIC_WAND_URL
_MAX_FILE_BYTES = 4 << 20


def magic_wand(
    data: Path | str | None = None,
    split: str = "test",
    held_out: tuple[str, ...] = MAGIC_WAND_HELD_OUT,
    *,
    url: str = MAGIC_WAND_URL,
    sha256: str | None = MAGIC_WAND_SHA256,
    root: Path | None = None,
    download: bool = True,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Dataset:
    """Return the Magic Wand recordings, split by person; inputs (N, 128, 3, 1): x, y, z in mg, within ±2040.

    data      path of a local copy: the archive, or a folder that holds its files; by default what the environment
              variable SPRINGBOK_MAGIC_WAND names, else what is in ``root``
    root      a local copy as above, or a folder that holds data.tar.gz; what is not there is downloaded once from
              ``url`` into it (default: build/datasets)
    download  whether it may be downloaded
    split     ``test``: the groups in ``held_out``; ``train``: all others
    held_out  groups. A gesture's group is the person; a negative's is its file (``negative_1``, …), or the
              person when the file's name says who it was
    sha256    what the archive must have; None to take any
    seed      of the padding's noise
    progress  called with (bytes so far, bytes in all or 0 when unknown) during a download

    How recordings of other lengths become 128 steps:

    * shorter: centred; the steps before and after repeat the first and last one, with noise of at most
      ±10 mg, which depends on the seed, the file and the recording's number only;
    * a longer gesture: the middle 128 steps;
    * a longer negative (they run for minutes): consecutive windows of 128, all in the same group; a rest of
      at least 64 steps is padded, a shorter one is left out.

    Raises DatasetError when the archive is missing, unreachable, truncated, or not the expected one.

    >>> magic_wand("data.tar.gz").inputs.shape    # doctest: +SKIP
    (160, 128, 3, 1)
    """
    check_split(split)
    data = data or os.environ.get(MAGIC_WAND_VARIABLE)
    archive = Path(data) if data else _local_copy(root or CACHE)
    if archive is None and not download:
        raise DatasetError(
            f"{root or CACHE} holds no Magic Wand recordings, and nothing is downloaded here. "
            f"Put the file {MAGIC_WAND_URL} into it, called {_ARCHIVE}."
        )
    if archive is None:
        name = f"magic_wand-{(sha256 or hashlib.sha256(url.encode()).hexdigest())[:16]}.tar.gz"
        advice = (
            f"Get {MAGIC_WAND_URL} by other means and name the file: data=PATH, or the environment variable "
            f"{MAGIC_WAND_VARIABLE}=PATH."
        )
        archive = download_once(url, sha256, (root or CACHE) / name, advice, progress)
    elif not archive.is_dir():
        _check_local(archive, sha256)
    recordings, skipped = _read_magic_wand(archive)
    _check_held_out(held_out, {recording.group for recording in recordings})
    chosen = [recording for recording in recordings if (recording.group in held_out) == (split == "test")]
    samples = []
    for recording in chosen:
        windows, rest = _fit(recording, seed)
        samples += [(recording, window) for window in windows]
        if rest:
            skipped.append(
                f"{recording.file}: the last {rest} steps of recording {recording.number}, too few for a window"
            )
    if not samples:
        raise DatasetError(f"The {split} split is empty when these are held out: {', '.join(held_out) or 'none'}.")
    samples = [samples[number] for number in in_turn([recording.label for recording, _ in samples])]
    return Dataset(
        name=f"magic_wand/{split}",
        inputs=np.stack([window for _, window in samples])[..., np.newaxis],
        labels=np.array([MAGIC_WAND_CLASSES.index(recording.label) for recording, _ in samples]),
        class_names=MAGIC_WAND_CLASSES,
        groups=tuple(recording.group for recording, _ in samples),
        description=(
            f"Magic Wand, {split} split: {len(chosen)} of {len(recordings)} recordings of an accelerometer, as "
            f"{len(samples)} samples of {MAGIC_WAND_STEPS} steps, 3 channels in mg; held out for the test: "
            f"{', '.join(held_out)}"
        ),
        skipped=tuple(skipped),
    )


@dataclass(frozen=True)
class _Recording:
    label: str
    group: str
    file: str
    number: int  # within the file, from 1
    steps: np.ndarray  # float32, (length, 3)


def _read_magic_wand(archive: Path) -> tuple[list[_Recording], list[str]]:
    """Return every recording of the archive, in the files' order by name, and what was left out."""
    files, skipped = [], []
    metadata = noise = 0
    for name, content in _archive_files(archive):
        path = PurePosixPath(name)
        hidden = [part for part in path.parts if part.startswith(".")]
        matched = _RECORDING_FILE.fullmatch(path.name)
        if path.name.startswith("._"):
            metadata += 1
        elif hidden:
            skipped.append(f"{name}: an editor's copy in the hidden folder {hidden[0]}")
        elif matched is None:
            skipped.append(f"{name}: not named like a recording, output_<class>_<who>.txt")
        else:
            files.append((name, *matched.groups(), content))
    people = {who for _, label, who, _ in files if label != "negative"}
    recordings = []
    for name, label, who, content in sorted(files):
        group = who if who in people else f"{label}_{who}"
        found, remarks, noise_lines = _parse_recordings(content)
        skipped += [f"{name}: {remark}" for remark in remarks]
        noise += noise_lines
        recordings += [_Recording(label, group, name, number, steps) for number, steps in found]
    if not recordings:
        raise DatasetError(f"{archive} holds no recording: it is not the Magic Wand archive.")
    skipped += [f"{metadata} files of macOS metadata (._*)"] if metadata else []
    skipped += [f"{noise} lines of terminal output within the recordings' files"] if noise else []
    return recordings, skipped


def _archive_files(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each file in the archive, or in its unpacked folder. Nothing is written to the disk."""
    try:
        if archive.is_dir():
            for path in sorted(path for path in archive.rglob("*") if path.is_file()):
                _check_file_size(archive, path.name, path.stat().st_size)
                yield path.relative_to(archive).as_posix(), path.read_bytes()
            return
        with tarfile.open(archive, "r:gz") as tar:
            for member in tar:
                if not member.isfile():
                    continue
                _check_file_size(archive, member.name, member.size)
                yield str(PurePosixPath(member.name)), tar.extractfile(member).read()
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DatasetError(f"{archive} is truncated or no .tar.gz archive: {error}.") from error


def _check_file_size(archive: Path, name: str, size: int) -> None:
    if size > _MAX_FILE_BYTES:
        raise DatasetError(f"{archive}: {name} is {size} bytes; no recording is that large.")


def _parse_recordings(content: bytes) -> tuple[list[tuple[int, np.ndarray]], list[str], int]:
    """Return the numbered recordings of one file, remarks on samples that were left out, and lines of noise.

    The files are logs of a terminal: recordings, each after a line ``-,-,-``, among escape codes, prompts and
    bytes that are no text at all. A line counts when it is a separator or a whole sample.
    """
    recordings: list[list[tuple[float, ...]]] = []
    orphans = cut_off = noise = 0
    for line in content.split(b"\n"):
        stripped = line.strip()
        sample = _SAMPLE.fullmatch(stripped)
        if stripped == _SEPARATOR:
            recordings.append([])
        elif sample and recordings:
            recordings[-1].append(tuple(map(float, sample.groups())))
        elif sample:
            orphans += 1
        elif _CUT_OFF_SAMPLE.fullmatch(stripped):
            cut_off += 1
        elif stripped:
            noise += 1
    found = [(number, np.array(steps, np.float32)) for number, steps in enumerate(recordings, start=1) if steps]
    remarks = [
        (len(recordings) - len(found), "empty recording(s)"),
        (orphans, "sample(s) before the first separator"),
        (cut_off, "sample(s) cut off within a number"),
    ]
    return found, [f"{count} {what}" for count, what in remarks if count], noise


def _fit(recording: _Recording, seed: int) -> tuple[list[np.ndarray], int]:
    """Return the recording as windows of 128 steps, and how many steps at its end were left out."""
    length = len(recording.steps)
    if length <= MAGIC_WAND_STEPS:
        return [_pad(recording.steps, f"{seed} {recording.file} {recording.number}")], 0
    if recording.label != "negative":
        first = (length - MAGIC_WAND_STEPS) // 2
        return [recording.steps[first : first + MAGIC_WAND_STEPS]], 0
    pieces = [recording.steps[first : first + MAGIC_WAND_STEPS] for first in range(0, length, MAGIC_WAND_STEPS)]
    rest = len(pieces[-1]) if len(pieces[-1]) < MAGIC_WAND_STEPS // 2 else 0
    if rest:
        pieces.pop()
    return [_pad(piece, f"{seed} {recording.file} {recording.number}") for piece in pieces], rest


def _pad(steps: np.ndarray, seed: str) -> np.ndarray:
    before = (MAGIC_WAND_STEPS - len(steps)) // 2
    padded = np.pad(steps, ((before, MAGIC_WAND_STEPS - len(steps) - before), (0, 0)), mode="edge")
    # random() of a seeded Random gives the same numbers in every version of Python; NumPy promises less.
    generator = random.Random(seed)
    noise = np.array([generator.random() for _ in range(padded.size)]).reshape(padded.shape)
    noise = np.rint((2 * noise - 1) * _PADDING_NOISE)
    noise[before : before + len(steps)] = 0
    return np.clip(padded + noise, -_SENSOR_LIMIT, _SENSOR_LIMIT).astype(np.float32)


def _check_held_out(held_out: tuple[str, ...], groups: set[str]) -> None:
    unknown = [group for group in held_out if group not in groups]
    if unknown:
        raise DatasetError(
            f"Can't hold out {', '.join(unknown)}: the archive's groups are {', '.join(sorted(groups))}."
        )


def _local_copy(root: Path) -> Path | None:
    """What ``root`` is or holds: the archive, or its files; None when there is neither."""
    if root.is_file():
        return root
    if (root / _ARCHIVE).is_file():
        return root / _ARCHIVE
    return root if any(root.rglob("output_*_*.txt")) else None


def _check_local(archive: Path, sha256: str | None) -> None:
    try:
        content = archive.read_bytes()
    except OSError as error:
        raise DatasetError(f"The Magic Wand archive can't be read: {error}.") from error
    actual = hashlib.sha256(content).hexdigest()
    if sha256 not in (None, actual):
        raise DatasetError(
            f"{archive} ({len(content)} bytes) is not the expected archive, or was not copied whole: "
            f"its sha256 is {actual}, expected {sha256}."
        )
