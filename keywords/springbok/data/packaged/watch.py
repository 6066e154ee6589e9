# SPDX-License-Identifier: Apache-2.0
"""``watch``: exercises of the shoulder with a smart watch, of the PyPI package seglearn."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np

from springbok.data.dataset import Dataset, check_split, in_turn
from springbok.data.packaged.package_files import package_folder, unreadable
from springbok.support.errors import DatasetError

WATCH_PACKAGE = "seglearn"

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
        raise DatasetError(unreadable("the watch's recordings", WATCH_PACKAGE, error)) from error
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
