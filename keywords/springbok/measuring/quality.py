# SPDX-License-Identifier: Apache-2.0
"""How good a model's answers are: accuracy, confusion matrix, and the distance from the host's own answers.

Everything here is arithmetic on arrays: it neither talks to a device nor reads files.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from springbok.support.errors import ModelError


@dataclass(frozen=True)
class Quality:
    """Answers of a device beside the answers of the framework on the host, for the same labelled samples.

    ``outputs`` and ``host_outputs`` have the shape (samples, classes); ``labels`` holds class numbers.

    >>> Quality(np.eye(2), np.eye(2), np.array([0, 0]), ("rest", "wave")).accuracy
    0.5
    """

    outputs: np.ndarray
    host_outputs: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        expected = (len(self.labels), len(self.class_names))
        for owner, outputs in (("device", self.outputs), ("host", self.host_outputs)):
            if outputs.shape != expected:
                raise ModelError(
                    f"The {owner} gave outputs of shape {outputs.shape}, but {expected[0]} samples of "
                    f"{expected[1]} classes ({', '.join(self.class_names)}) need the shape {expected}."
                )

    @property
    def samples(self) -> int:
        """Number of labelled samples."""
        return len(self.labels)

    @property
    def predictions(self) -> np.ndarray:
        """Class that the device gives each sample; of equal outputs the first wins."""
        return self.outputs.argmax(axis=1)

    @property
    def accuracy(self) -> float:
        """Share of samples (0 to 1) to which the device gives their label."""
        return float((self.predictions == self.labels).mean())

    @property
    def host_accuracy(self) -> float:
        """Share of samples (0 to 1) to which the framework on the host gives their label."""
        return float((self.host_outputs.argmax(axis=1) == self.labels).mean())

    @property
    def max_abs_error(self) -> float:
        """Largest absolute difference between an output of the device and the host's; NaN counts as infinite."""
        difference = np.abs(self.outputs.astype(np.float64) - self.host_outputs.astype(np.float64))
        return float(np.nan_to_num(difference, nan=np.inf, posinf=np.inf).max())

    @property
    def mean_abs_error(self) -> float:
        """Mean absolute difference between the outputs of the device and the host's; NaN counts as infinite."""
        difference = np.abs(self.outputs.astype(np.float64) - self.host_outputs.astype(np.float64))
        return float(np.nan_to_num(difference, nan=np.inf, posinf=np.inf).mean())

    @property
    def confusion(self) -> list[list[int]]:
        """Confusion matrix: row = true class, column = class that the device gave, entry = samples."""
        matrix = np.zeros((len(self.class_names),) * 2, dtype=int)
        np.add.at(matrix, (self.labels, self.predictions), 1)
        return matrix.tolist()

    @property
    def outputs_sha256(self) -> str:
        """SHA-256 of every output byte of every sample, in order: equal only when all answers are bit for bit equal."""
        return hashlib.sha256(np.ascontiguousarray(self.outputs).tobytes()).hexdigest()

    def worst_sample(self) -> int:
        """Number of the sample whose outputs differ most from the host's."""
        difference = np.abs(self.outputs.astype(np.float64) - self.host_outputs.astype(np.float64))
        return int(np.nan_to_num(difference, nan=np.inf).max(axis=1).argmax())

    def confusion_table(self) -> str:
        """The confusion matrix as aligned text, with class names on both sides."""
        width = max(5, *(len(name) for name in self.class_names))
        lines = [" " * width + "  " + "  ".join(f"{name:>{width}}" for name in self.class_names)]
        for name, row in zip(self.class_names, self.confusion, strict=True):
            lines.append(f"{name:>{width}}  " + "  ".join(f"{count:>{width}}" for count in row))
        return "\n".join(["rows: true class, columns: given by the device", *lines])
