# SPDX-License-Identifier: Apache-2.0
"""What a model is judged on: samples of its inputs, and what is right for them.

>>> Dataset("d", np.zeros((3, 8), np.float32), np.array([0, 1, 1])).task
'classification'
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from springbok.support.errors import DatasetError, ModelError
from springbok.tensors import Data, TensorSpec, fit

SPLITS = ("train", "test")
DEFAULT_SPLIT = "test"

CLASSIFICATION, REGRESSION, ANOMALY, EQUALITY = "classification", "regression", "anomaly", "equality"
#: What can be judged of answers; all are held against the host's, and `EQUALITY` is nothing else.
TASKS = (CLASSIFICATION, REGRESSION, ANOMALY, EQUALITY)
NUMBER_KINDS = "biuf"  # of NumPy's types: what models take


@dataclass(frozen=True)
class Dataset:
    """Inputs of a model, one sample an inference, with what is right for each, if that is known.

    name           which data set and split, e.g. ``basic_motions/test``
    inputs         numbers of any type, samples first: an array for a model of one input; several by name, or as a tuple
                   in their order; not writable
    labels         by task: int64 (N,), an index into ``class_names``; numbers (N,) or (N, values); 0 and 1, where 1 is
                   an anomaly; None; not writable
    class_names    one name a class; by default the labels' numbers
    groups         one a sample: whom or which recording it is from; a group is never in two splits. Errors name
                   samples by it
    description    what it is, how many recordings, how they were brought to one length
    skipped        what of the source was left out and why, one sentence each; empty when all was used
    task           one of `TASKS`; by default classification if the labels are integers, else regression
    preprocessing  what was done to the values, a phrase each, in order
    raw            integers for a quantised input are quantised already; else they are real values
    flat           a sample is one row of values, which the model's input takes in its own shape
    advice         what to do where a sample's shape is not the model's
    """

    name: str
    inputs: Data
    labels: np.ndarray | None = None
    class_names: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    description: str = ""
    skipped: tuple[str, ...] = ()
    task: str = ""
    preprocessing: tuple[str, ...] = ()
    raw: bool = False
    flat: bool = False
    advice: str = ""

    def __post_init__(self) -> None:
        self._set("inputs", self._as_arrays())
        counts = {name: len(array) for name, array in self.named_inputs}
        if len(set(counts.values())) != 1 or 0 in counts.values():
            found = ", ".join(f"{count} of {_quoted(name)}" for name, count in counts.items())
            raise DatasetError(f"{self.name} holds {found or 'no inputs'}: give one sample or more, as many of each.")
        self._set("groups", tuple(self.groups) or tuple(f"sample {number}" for number in range(len(self))))
        if len(self.groups) != len(self):
            raise DatasetError(f"{self.name}: {len(self)} inputs and {len(self.groups)} groups: give as many of each.")
        for name, array in self.named_inputs:
            self._check_finite(f"input {_quoted(name)}", array)
            array.setflags(write=False)
        self._check_task()
        if self.labels is not None:
            self.labels.setflags(write=False)

    def __str__(self) -> str:
        return self.name

    def _set(self, field: str, value: object) -> None:
        object.__setattr__(self, field, value)

    def _as_arrays(self) -> Data:
        if isinstance(self.inputs, Mapping):
            return {str(name): self._array(f"input {_quoted(name)}", each) for name, each in self.inputs.items()}
        if isinstance(self.inputs, tuple):
            return tuple(self._array(f"input {number}", each) for number, each in enumerate(self.inputs))
        return self._array("input", self.inputs)

    def _array(self, what: str, values: object) -> np.ndarray:
        try:
            array = np.asarray(values)
        except ValueError:
            raise DatasetError(
                f"{self.name}: the samples of the {what} differ in length: give an array without gaps."
            ) from None
        if array.dtype.kind not in NUMBER_KINDS or array.ndim == 0:
            raise DatasetError(
                f"{self.name}: the {what} is {array.dtype}{list(array.shape)}: give an array of numbers, samples first."
            )
        return array.view()  # whoever gave it may still write to it

    def _check_finite(self, what: str, array: np.ndarray) -> None:
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            where = np.argwhere(~np.isfinite(array))[0]
            place = f" at {where[1:].tolist()}" if len(where) > 1 else ""
            raise DatasetError(
                f"{self.name}: {what} is not finite ({array[tuple(where)]}) in {self.place_of(int(where[0]))}{place}. "
                "Put a number there, or leave the sample out."
            )

    def _check_task(self) -> None:
        labels = None if self.labels is None else self._array("labels", self.labels)
        if not self.task:
            numbers = labels is not None and labels.dtype.kind == "f"
            self._set("task", EQUALITY if labels is None else REGRESSION if numbers else CLASSIFICATION)
        if self.task not in TASKS:
            raise DatasetError(f"There is no task '{self.task}': choose one of {', '.join(TASKS)}.")
        if (labels is None) != (self.task == EQUALITY):
            given = "without labels" if labels is None else "with labels"
            raise DatasetError(
                f"{self.name} is {given}, but its task is {self.task}: "
                + ("give them (labels=, label=)." if labels is None else "leave them out (label=none).")
            )
        if labels is None:
            return
        if len(labels) != len(self):
            raise DatasetError(
                f"{self.name}: {len(self)} samples, but {len(labels)} labels: there must be as many of each."
            )
        self._check_finite("the label", labels)
        self._set("labels", self._numbers(labels) if self.task == REGRESSION else self._indices(labels))

    def _numbers(self, labels: np.ndarray) -> np.ndarray:
        return labels.astype(np.float64).reshape(len(labels), -1)

    def _indices(self, labels: np.ndarray) -> np.ndarray:
        """Labels as class numbers; a row of zeros and one 1 is the number of its 1."""
        if labels.ndim == 2 and labels.shape[1] > 1 and ((labels == 0) | (labels == 1)).all():
            if (labels.sum(axis=1) != 1).any():
                first = int(np.flatnonzero(labels.sum(axis=1) != 1)[0])
                raise DatasetError(
                    f"{self.name}: {self.place_of(first)} has {int(labels[first].sum())} classes: one is wanted."
                )
            labels = labels.argmax(axis=1)
        if labels.size != len(labels) or (labels != np.trunc(labels)).any():
            raise DatasetError(
                f"{self.name}: for the task {self.task} a label is one whole number, but they are "
                f"{labels.dtype}{list(labels.shape)}. For numbers of any kind: task=regression."
            )
        labels = labels.reshape(len(labels)).astype(np.int64)
        names = tuple(map(str, self.class_names))
        if self.task == ANOMALY:
            names = names or ("normal", "anomaly")
        self._set("class_names", names or tuple(map(str, range(max(0, int(labels.max())) + 1))))
        wrong = np.flatnonzero((labels < 0) | (labels >= len(self.class_names)))
        if len(wrong):
            raise DatasetError(
                f"{self.name}: labels must lie in 0..{len(self.class_names) - 1} ({', '.join(self.class_names)}), but "
                f"{self.place_of(int(wrong[0]))} has {labels[wrong[0]]}."
            )
        return labels

    def __len__(self) -> int:
        return len(self.named_inputs[0][1]) if self.named_inputs else 0

    @property
    def named_inputs(self) -> list[tuple[str, np.ndarray]]:
        """The inputs, each with its name or its number as such."""
        if isinstance(self.inputs, Mapping):
            return list(self.inputs.items())
        arrays = self.inputs if isinstance(self.inputs, tuple) else (self.inputs,)
        return [(str(number), array) for number, array in enumerate(arrays)]

    def place_of(self, sample: int) -> str:
        """What to call a sample: its number from 0, and where it is from."""
        group = self.groups[sample]
        return group if group == f"sample {sample}" else f"sample {sample} ({group})"

    def first(self, samples: int | None = None) -> Dataset:
        """Return the data set of the first ``samples``, by default of all. Raises ModelError for others than it has."""
        count = len(self) if samples is None else samples
        if not 0 < count <= len(self):
            raise ModelError(f"{self.name} holds {len(self)} recordings; {count} can't be taken of them.")
        if count == len(self):
            return self
        arrays = [array[:count] for _, array in self.named_inputs]
        labels = None if self.labels is None else self.labels[:count]
        return replace(self, inputs=self._like_inputs(arrays), labels=labels, groups=self.groups[:count])

    def _like_inputs(self, arrays: Sequence[np.ndarray]) -> Data:
        if isinstance(self.inputs, Mapping):
            return dict(zip(self.inputs, arrays, strict=True))
        return tuple(arrays) if isinstance(self.inputs, tuple) else arrays[0]

    def fitted(self, model: str, specs: Sequence[TensorSpec]) -> list[np.ndarray]:
        """Return the inputs as a model takes them: one array for each of ``specs``, in their shape and type.

        Raises ModelError with both shapes where they don't fit; ``model`` is the name it gives.
        """
        if isinstance(self.inputs, Mapping) and (len(specs) > 1 or len(self.inputs) > 1):
            by_name = {spec.name: spec for spec in specs}
            data: Data = {name: self._meant(array, by_name.get(name)) for name, array in self.inputs.items()}
        else:
            paired = [*specs, *[None] * len(self.named_inputs)]
            data = [self._meant(array, spec) for (_, array), spec in zip(self.named_inputs, paired, strict=False)]
        try:
            return fit(model, specs, data)
        except ModelError as error:
            advice = f" {self.advice}" if self.advice else ""
            raise ModelError(f"Data set {self.name}: {error}{advice}") from error

    def _meant(self, array: np.ndarray, spec: TensorSpec | None) -> np.ndarray:
        """The array in the input's shape if it is one row a sample, and of real values unless it is raw."""
        if spec is None:
            return array
        if self.flat and array.ndim == 2 and array.shape[1] == spec.elements:
            array = array.reshape(len(array), *spec.shape)
        is_float = array.dtype.kind == "f"
        if not self.raw:
            return array if is_float or not (spec.is_quantised or spec.limits) else array.astype(np.float32)
        if spec.is_quantised and is_float:
            raise ModelError(
                f"Data set {self.name} is raw, but holds {array.dtype} for the input {spec}: give its integers, or "
                "leave raw=True out."
            )
        return array

    @cached_property
    def sha256(self) -> str:
        """Digest of all inputs and labels: the same only for the same data, wherever it lies."""
        sha = hashlib.sha256(repr((self.task, self.class_names, self.raw, self.flat)).encode())
        arrays = [*self.named_inputs, *([] if self.labels is None else [("labels", self.labels)])]
        for name, array in arrays:
            sha.update(repr((name, array.dtype.str, array.shape)).encode())
            sha.update(np.ascontiguousarray(array).tobytes())
        return sha.hexdigest()

    def with_classes(self, class_names: Sequence[str]) -> Dataset:
        """Return the same samples, labelled for a model whose outputs are the same classes in another order.

        >>> Dataset("d", np.zeros((2, 1)), np.array([0, 1]), ("rest", "wave")).with_classes(["wave", "rest"]).labels
        array([1, 0])
        """
        if sorted(class_names) != sorted(self.class_names):
            raise DatasetError(
                f"{self.name} has the classes {', '.join(self.class_names)}, not {', '.join(map(str, class_names))}."
            )
        places = np.array([class_names.index(name) for name in self.class_names])
        return replace(self, labels=places[self.labels], class_names=tuple(class_names))


def _quoted(name: object) -> str:
    return f"'{name}'"


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
