# SPDX-License-Identifier: Apache-2.0
"""How good a model's answers are: by the data's task, and always by their distance from the host's own answers.

Everything here is arithmetic on arrays: it neither talks to a device nor reads files. Sums are exact (`math.fsum`), so
that every machine gets the same figures of the same answers.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from springbok.data.dataset import ANOMALY, CLASSIFICATION, EQUALITY, REGRESSION, Dataset
from springbok.support.errors import ModelError

THRESHOLD = 0.5  # from which the only output of a model of two classes means the second
MOST_CLASSES = 1000  # that a model's one integer may number
MOST_VALUES = 8  # of one sample that are kept as they are


@dataclass(frozen=True)
class Quality:
    """Answers of a device beside the answers of the framework on the host, for the same samples.

    ``outputs`` and ``host_outputs`` have the shape (samples, values): the output that is judged, as real values.
    ``others`` are the model's other outputs, device and host.

    >>> Quality(np.eye(2), np.eye(2)).max_abs_error
    0.0
    """

    outputs: np.ndarray
    host_outputs: np.ndarray
    others: tuple[tuple[np.ndarray, np.ndarray], ...] = field(default=(), kw_only=True)

    task = EQUALITY
    class_names = ()

    def __post_init__(self) -> None:
        for device, host in ((self.outputs, self.host_outputs), *self.others):
            if device.shape != host.shape:
                raise ModelError(
                    f"The device gave outputs of shape {device.shape}, but the host of shape {host.shape}: answers of "
                    "the same samples are compared."
                )

    @property
    def samples(self) -> int:
        """Number of samples."""
        return len(self.outputs)

    @property
    def max_abs_error(self) -> float:
        """Largest absolute difference between an output of the device and the host's; NaN counts as infinite."""
        return max(self.errors)

    @property
    def errors(self) -> list[float]:
        """The same of each output of the model, the judged one first."""
        pairs = ((self.outputs, self.host_outputs), *self.others)
        return [float(_bounded(_difference(*pair)).max(initial=0.0)) for pair in pairs]

    @property
    def mean_abs_error(self) -> float:
        """Mean absolute difference between the outputs of the device and the host's; NaN counts as infinite."""
        return float(_bounded(_difference(self.outputs, self.host_outputs)).mean())

    @property
    def outputs_sha256(self) -> str:
        """SHA-256 of every output byte of every sample, in order: equal only when all answers are bit for bit equal."""
        sha = hashlib.sha256(np.ascontiguousarray(self.outputs).tobytes())
        for device, _ in self.others:
            sha.update(np.ascontiguousarray(device).tobytes())
        return sha.hexdigest()

    def worst_sample(self) -> int:
        """Number of the sample whose outputs differ most from the host's."""
        return int(_bounded(_difference(self.outputs, self.host_outputs)).max(axis=1).argmax())

    def figures(self, *, host: bool = False) -> dict[str, float | None]:
        """What the task judges, of the device or of the host, by the names in `springbok.measuring.derived.QUALITY`.

        None where it is not defined.
        """
        del host
        return {}

    def per_sample(self) -> dict[str, list]:
        """What is right for each sample, and what device and host gave; numbers, None for what is none."""
        return {}

    def describe(self) -> str:
        """A few lines for a log."""
        distance = f"at most {self.max_abs_error:.3g}, mean {self.mean_abs_error:.3g}"
        host = self.figures(host=True)
        figures = [
            f"{name.replace('_', ' ')} {_shown(value)} (host {_shown(host[name])})"
            for name, value in self.figures().items()
        ]
        return ", ".join([*figures, f"difference of an output from the host's: {distance}"])


@dataclass(frozen=True)
class Classification(Quality):
    """Answers to samples of known classes: an output a class, or the class itself as an integer.

    The only floating-point output of a model of two classes is taken for the second one's probability.

    >>> Classification(np.eye(2), np.eye(2), np.array([0, 0]), ("rest", "wave")).accuracy
    0.5
    """

    labels: np.ndarray
    class_names: tuple[str, ...]
    task = CLASSIFICATION

    def __post_init__(self) -> None:
        super().__post_init__()
        count, values = len(self.labels), self.outputs.shape[1:]
        classes = len(self.class_names)
        gives_class = values == (1,) and (self.outputs.dtype.kind in "iu" or classes == 2)
        if len(self.outputs) != count or not (values == (classes,) or gives_class):
            raise ModelError(
                f"The device gave outputs of shape {self.outputs.shape}, but "
                f"{count} sample{'s' * (count != 1)} of {classes} class{'es' * (classes != 1)} "
                f"({', '.join(self.class_names)}) need the shape {(count, classes)}. "
                "Where not every class of the model occurs in the data, class_names= names all, in the order of its "
                "outputs; where labels are no classes: task=regression."
            )
        for owner, outputs in (("device", self.outputs), ("host", self.host_outputs)):
            given = self._classes(outputs)
            wrong = np.flatnonzero((given < 0) | (given >= classes))
            if len(wrong):
                raise ModelError(
                    f"The {owner} gave sample {wrong[0]} the class {given[wrong[0]]}, but there are {classes}: "
                    f"{', '.join(self.class_names)}."
                )

    def _classes(self, outputs: np.ndarray) -> np.ndarray:
        if outputs.shape[1] > 1 or len(self.class_names) == 1:
            return outputs.argmax(axis=1)
        if outputs.dtype.kind in "iu":
            return outputs[:, 0].astype(np.int64)
        return (outputs[:, 0] > THRESHOLD).astype(np.int64)

    @property
    def predictions(self) -> np.ndarray:
        """Class that the device gives each sample; of equal outputs the first wins."""
        return self._classes(self.outputs)

    @property
    def host_predictions(self) -> np.ndarray:
        """Class that the framework on the host gives each sample."""
        return self._classes(self.host_outputs)

    @property
    def accuracy(self) -> float:
        """Share of samples (0 to 1) to which the device gives their label."""
        return float((self.predictions == self.labels).mean())

    @property
    def host_accuracy(self) -> float:
        """Share of samples (0 to 1) to which the framework on the host gives their label."""
        return float((self.host_predictions == self.labels).mean())

    @property
    def confusion(self) -> list[list[int]]:
        """Confusion matrix: row = true class, column = class that the device gave, entry = samples."""
        matrix = np.zeros((len(self.class_names),) * 2, dtype=int)
        np.add.at(matrix, (self.labels, self.predictions), 1)
        return matrix.tolist()

    def figures(self, *, host: bool = False) -> dict[str, float | None]:
        """Accuracy."""
        return {"accuracy": self.host_accuracy if host else self.accuracy}

    def per_sample(self) -> dict[str, list]:
        """Classes."""
        return {
            "label": self.labels.tolist(),
            "device": self.predictions.tolist(),
            "host": self.host_predictions.tolist(),
        }

    def describe(self) -> str:
        """A few lines for a log, with the confusion matrix."""
        return f"{super().describe()}\n{self.confusion_table()}"

    def confusion_table(self) -> str:
        """The confusion matrix as aligned text, with class names on both sides."""
        width = max(5, *(len(name) for name in self.class_names))
        lines = [" " * width + "  " + "  ".join(f"{name:>{width}}" for name in self.class_names)]
        for name, row in zip(self.class_names, self.confusion, strict=True):
            lines.append(f"{name:>{width}}  " + "  ".join(f"{count:>{width}}" for count in row))
        return "\n".join(["rows: true class, columns: given by the device", *lines])


@dataclass(frozen=True)
class Regression(Quality):
    """Answers to samples with known values, ``targets`` (samples, values).

    >>> outputs, targets = np.array([[1.0], [3.0]]), np.array([[1.0], [2.0]])
    >>> Regression(outputs, outputs, targets).figures()["mean_absolute_error"]
    0.5
    """

    targets: np.ndarray
    task = REGRESSION

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.outputs.shape != self.targets.shape:
            raise ModelError(
                f"The device gave {self.outputs.shape[1]} values a sample, but the data set has "
                f"{self.targets.shape[1]} to compare with: give one for each output. Where labels are numbers of "
                "classes: task=classification."
            )

    def figures(self, *, host: bool = False) -> dict[str, float | None]:
        """Mean absolute error, root mean square error, and R², which is the mean of the values' own.

        R² is None where a value is the same in all samples; everything is where an answer is not finite.
        """
        outputs = (self.host_outputs if host else self.outputs).astype(np.float64)
        if not np.isfinite(outputs).all():
            return dict.fromkeys(("mean_absolute_error", "root_mean_square_error", "r_squared"))
        error = outputs - self.targets
        squares = error**2
        return {
            "mean_absolute_error": _mean(np.abs(error)),
            "root_mean_square_error": math.sqrt(_mean(squares)),
            "r_squared": self._r_squared(squares),
        }

    def _r_squared(self, squares: np.ndarray) -> float | None:
        scores = []
        for column, target in zip(squares.T, self.targets.T, strict=True):
            whole = math.fsum((target - _mean(target)) ** 2)
            if not whole:
                return None
            scores.append(1 - math.fsum(column) / whole)
        return math.fsum(scores) / len(scores)

    def per_sample(self) -> dict[str, list]:
        """Values; where there are many of a sample, none."""
        if self.targets.shape[1] > MOST_VALUES:
            return {}
        named = (("label", self.targets), ("device", self.outputs), ("host", self.host_outputs))
        return {name: _values(array) for name, array in named}


@dataclass(frozen=True)
class Anomaly(Quality):
    """Scores of samples, of which ``labels`` says which are anomalies (1): the higher the score, the more so.

    ``scores`` and ``host_scores`` have the shape (samples,).

    >>> scores = np.array([0.1, 0.4, 0.3])
    >>> Anomaly(np.eye(3), np.eye(3), np.array([0, 1, 1]), scores, scores).auc
    1.0
    """

    labels: np.ndarray
    scores: np.ndarray
    host_scores: np.ndarray
    class_names: tuple[str, ...] = ("normal", "anomaly")
    task = ANOMALY

    @property
    def auc(self) -> float | None:
        """Area under the receiver operating characteristic: see `area_under_curve`."""
        return area_under_curve(self.scores, self.labels)

    def figures(self, *, host: bool = False) -> dict[str, float | None]:
        """The area under the receiver operating characteristic."""
        return {"auc": area_under_curve(self.host_scores, self.labels) if host else self.auc}

    def per_sample(self) -> dict[str, list]:
        """Labels and scores."""
        scores = {"device": self.scores, "host": self.host_scores}
        return {"label": self.labels.tolist(), **{key: _values(array[:, None]) for key, array in scores.items()}}


def area_under_curve(scores: np.ndarray, labels: np.ndarray) -> float | None:
    """Chance that an anomaly (1) has a higher score than a normal sample (0); equal scores count half.

    None where only one of both is there, or a score is no number.

    >>> area_under_curve(np.array([0.1, 0.3, 0.3]), np.array([0, 0, 1]))
    0.75
    """
    scores = np.asarray(scores, np.float64)
    normal, anomalies = np.sort(scores[labels == 0]), scores[labels == 1]
    if not len(normal) or not len(anomalies) or np.isnan(scores).any():
        return None
    below = np.searchsorted(normal, anomalies, "left").sum()
    not_above = np.searchsorted(normal, anomalies, "right").sum()
    return float(below + not_above) / (2 * len(normal) * len(anomalies))


def judged(
    dataset: Dataset,
    inputs: np.ndarray,
    outputs: np.ndarray,
    host_outputs: np.ndarray,
    others: Sequence[tuple[np.ndarray, np.ndarray]] = (),
) -> Quality:
    """Judge answers to all samples of a data set by its task.

    ``inputs`` are the model's first input and ``outputs`` the output that is judged, as real values of the shape
    (samples, values); ``others`` the model's other outputs.
    """
    rest = tuple(others)
    if dataset.task == CLASSIFICATION:
        names = _named_classes(dataset, outputs, host_outputs)
        return Classification(outputs, host_outputs, dataset.labels, names, others=rest)
    if dataset.task == REGRESSION:
        return Regression(outputs, host_outputs, dataset.labels, others=rest)
    if dataset.task == ANOMALY:
        scores = [_scores(dataset, inputs, each) for each in (outputs, host_outputs)]
        return Anomaly(outputs, host_outputs, dataset.labels, *scores, others=rest)
    return Quality(outputs, host_outputs, others=rest)


def _named_classes(dataset: Dataset, outputs: np.ndarray, host_outputs: np.ndarray) -> tuple[str, ...]:
    """The class names; where they are but numbers, the model may give more of them than these samples have."""
    names, count = tuple(dataset.class_names), outputs.shape[1]
    is_numbered = names == tuple(map(str, range(len(names))))
    if is_numbered and count == 1:
        top = int(max(outputs.max(initial=0), host_outputs.max(initial=0))) if outputs.dtype.kind in "iu" else 1
        count = min(max(2, top + 1), MOST_CLASSES)
    return tuple(map(str, range(count))) if is_numbered and count > len(names) else names


def _scores(dataset: Dataset, inputs: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """The only output of each sample, or how far outputs are from the input that they reconstruct: mean square."""
    if outputs.shape[1] == 1:
        return outputs[:, 0].astype(np.float64)
    if outputs.shape[1] != inputs.shape[1]:
        raise ModelError(
            f"The model gives {outputs.shape[1]} values a sample: for {dataset.name} (task anomaly) it must give one "
            f"score, or as many as its first input has ({inputs.shape[1]}), which they reconstruct."
        )
    squares = (outputs.astype(np.float64) - inputs.astype(np.float64)) ** 2
    return np.array([_mean(row) for row in squares])


def _difference(device: np.ndarray, host: np.ndarray) -> np.ndarray:
    device, host = device.astype(np.float64), host.astype(np.float64)
    with np.errstate(invalid="ignore"):  # of infinities
        return np.where(device == host, 0.0, np.abs(device - host))


def _bounded(difference: np.ndarray) -> np.ndarray:
    return np.nan_to_num(difference, nan=np.inf, posinf=np.inf)


def _mean(values: np.ndarray) -> float:
    return math.fsum(values.reshape(-1).tolist()) / values.size


def _values(array: np.ndarray) -> list:
    """A number a sample, or a list of them; None for what is not finite."""
    rows = [[value if math.isfinite(value) else None for value in row] for row in array.astype(np.float64).tolist()]
    return [row[0] for row in rows] if array.shape[1] == 1 else rows


def _shown(value: float | None) -> str:
    return "undefined" if value is None else f"{value:.4f}"
