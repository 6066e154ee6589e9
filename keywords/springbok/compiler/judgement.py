# SPDX-License-Identifier: Apache-2.0
"""Judges what a module computed by what the framework answers: one measure, for this machine and for the chip.

Each output is judged in the unit that its numbers have:

- in **steps** where the model rounds it to a grid: integers that stand for real values (``scale``), and floating-point
  numbers that a quantised model gives (``step``). Behind a softmax, a sigmoid or a tanh these are the steps in front
  of it that make such a difference: some, of a coarse grid, may be wider than all that it gives;
- **relative** to the largest number of the sample, or to 1 if that is smaller: other floating-point numbers, by the
  precision that the model computes in;
- other integers and booleans must be equal.

Example::

    judgement = judge(model.outputs, outputs, expected)
    if not judgement.passed:
        raise CompileError(f"The module is wrong: {judgement.explain()}")
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from springbok.support.errors import ModelError
from springbok.tensors import TensorSpec

#: What a floating-point output may differ by, of its largest number, by the precision that the model computes in. Of
#: half precision: 8 of the distances between two of its numbers at 1, as sums of it are rounded at every addition.
PRECISION = {"float64": 1e-5, "float32": 1e-5, "float16": 2.0**-7, "bfloat16": 2.0**-4}
#: How many steps a quantised output may be off. What TOSA means by its roundings is what TensorFlow Lite Micro does,
#: to the bit; TensorFlow Lite itself rounds once where they round twice, and what follows may amplify the difference.
QUANTISED_STEPS = 4
#: What an output behind a softmax, a sigmoid or a tanh may differ by in any case: these are not computed alike.
SQUASHED = 1e-4
_LEAST = 1e-7
#: Differences that somebody may want to allow: up to about a tenth of an output's range.
_MOST_TOLD = {"steps": 25, "relative": 0.1}


@dataclass(frozen=True)
class Tolerance:
    """What somebody allows: ``relative`` to an output's largest number, or ``steps``; None where the default does.

    ``factor`` widens what is relative; ``most`` is the default for floating-point outputs with steps.
    """

    relative: float | None = None
    steps: float | None = None
    factor: float = field(default=1.0, repr=False)
    most: float = field(default=QUANTISED_STEPS, repr=False)

    @classmethod
    def of(cls, given: Tolerance | float | str | None) -> Tolerance:
        """Understands a number or its text. A whole number allows so many steps where an output has steps, else, as
        any other number, it is relative; ``2 steps`` leaves outputs without steps to the default.

        Raises :class:`ModelError` when it is no such thing.

        >>> Tolerance.of("0.01"), Tolerance.of(2), Tolerance.of("2 steps")
        (Tolerance(relative=0.01, steps=None), Tolerance(relative=2.0, steps=2.0), Tolerance(relative=None, steps=2.0))
        """
        if given is None or isinstance(given, Tolerance):
            return given or cls()
        number = re.fullmatch(r"\s*([\d.]+(?:e[+-]?\d+)?)\s*(steps?)?\s*", str(given), re.IGNORECASE)
        try:
            value = float(number[1]) if number else math.nan
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ModelError(
                f"The tolerance '{given}' can't be understood: give a number of steps, such as 2, for quantised "
                "outputs, or a share of the largest number of an output, such as 0.001."
            )
        if number[2]:
            return cls(steps=value)
        return cls(relative=value, steps=value if value.is_integer() else None)

    def limit_of(self, spec: TensorSpec) -> Limit:
        """What the output ``spec`` may differ by. Raises :class:`ModelError` for steps where there are none."""
        if spec.scale or spec.step:
            if self.steps is not None or self.relative is None:
                default = QUANTISED_STEPS if spec.scale else min(QUANTISED_STEPS, self.most)
                return Limit("steps", default if self.steps is None else self.steps)
            return Limit("relative", self.relative * self.factor)
        if np.issubdtype(spec.dtype, np.floating):
            if self.relative is not None and self.relative >= 1 and self.steps is not None:
                raise ModelError(
                    f"The tolerance {self.relative:g} would be {self.relative:.0%} of the largest number of the "
                    f"output '{spec.name}', which has no steps: give a share, such as 0.001, or say "
                    f"'{self.relative:g} steps'."
                )
            default = max(PRECISION[spec.dtype], PRECISION[spec.precision or spec.dtype])
            return Limit("relative", (default if self.relative is None else self.relative) * self.factor)
        return Limit("absolute", self.steps or 0.0)


@dataclass(frozen=True)
class Limit:
    """The largest difference that is allowed, and its unit: ``steps``, ``relative`` or ``absolute``."""

    unit: str
    value: float

    def __str__(self) -> str:
        return f"{self.value:g} steps" if self.unit == "steps" else f"{self.value:g}"


@dataclass(frozen=True)
class Worst:
    """The element that is nearest to its limit, or furthest beyond it. ``difference`` is in the unit of ``limit``."""

    output: str
    sample: int
    element: tuple[int, ...]
    got: float
    wanted: float
    difference: float
    limit: Limit
    step: float | None

    def __str__(self) -> str:
        amount = f"{self.difference:.3g}"
        if self.limit.unit == "steps":
            amount += " step" if self.difference == 1 else " steps"
        elif self.limit.unit == "relative":
            amount += " (relative to the largest number of the sample, or to 1)"
        grid = f"a step is {self.step:.4g}; " if self.limit.unit == "steps" and self.step else ""
        got, wanted = (f"{each}" if isinstance(each, int) else f"{each:.9g}" for each in (self.got, self.wanted))
        return (
            f"output '{self.output}' of sample {self.sample} differs by {amount}: element {list(self.element)} is "
            f"{got}, where the framework gives {wanted} ({grid}tolerance {self.limit})"
        )


@dataclass(frozen=True)
class Judgement:
    """How far outputs are from the framework's, at most.

    ``error`` is the largest difference of outputs without steps: relative, or that of integers. ``steps`` is the
    largest one of outputs that have steps, None when there are none. ``worst`` decides: None if all outputs are empty.
    """

    samples: int
    error: float
    steps: float | None
    worst: Worst | None

    @property
    def passed(self) -> bool:
        """Whether no element differs by more than it may."""
        return self.worst is None or self.worst.difference <= self.worst.limit.value

    @property
    def tolerance(self) -> float:
        """What the worst element may differ by, in its own unit."""
        return self.worst.limit.value if self.worst else 0.0

    def describe(self) -> str:
        """What was compared, for a log."""
        if self.worst is None:
            return f"{self.samples} samples, whose outputs are empty"
        limit = self.worst.limit
        most = f"{self.steps:g} steps" if limit.unit == "steps" else f"{self.worst.difference:.2g}"
        return f"{self.samples} samples differ from the framework by at most {most} (tolerance {limit})"

    def explain(self) -> str:
        """A sentence about the worst element, and one about how to allow it, if it may be a matter of rounding."""
        if self.worst is None:
            return ""
        if not math.isfinite(self.worst.difference) or self.worst.limit.unit == "absolute":
            return f"{self.worst}."  # what must be equal is not made right by a tolerance
        enough = math.ceil(self.worst.difference) if self.worst.limit.unit != "relative" else None
        if enough is None:
            digits = 1 - math.floor(math.log10(self.worst.difference)) if self.worst.difference else 0
            enough = math.ceil(self.worst.difference * 10**digits) / 10**digits
        if enough > _MOST_TOLD[self.worst.limit.unit]:
            return f"{self.worst}. So much is no matter of rounding, and no tolerance makes it right."
        return f"{self.worst}. If the model may differ by so much, allow it with tolerance={enough:g}."


def judge(
    specs: Sequence[TensorSpec],
    outputs: Sequence[np.ndarray],
    expected: Sequence[np.ndarray],
    tolerance: Tolerance | float | str | None = None,
) -> Judgement:
    """Compares ``outputs`` with ``expected``, the framework's; both one array an output of ``specs``, samples first.

    ``tolerance`` is what :meth:`Tolerance.of` understands; by default each output has the limit of its kind.
    """
    tolerance = Tolerance.of(tolerance)
    worst, error, steps = None, 0.0, None
    for spec, got, wanted in zip(specs, outputs, expected, strict=True):
        limit = tolerance.limit_of(spec)
        for sample in range(len(wanted)):
            differences = _differences(spec, limit, got[sample], wanted[sample])
            if not differences.size:
                continue
            element = np.unravel_index(int(differences.argmax()), differences.shape)
            largest = float(differences[element])
            if limit.unit == "steps":
                steps = max(steps or 0.0, largest)
            else:
                error = max(error, largest)
            if worst is None or _excess(largest, limit) > _excess(worst.difference, worst.limit):
                place = tuple(int(index) for index in element)
                pair = (got[sample][element], wanted[sample][element])
                numbers = [each.item() if each.dtype.kind in "iu" else float(each) for each in pair]
                worst = Worst(spec.name, sample, place, *numbers, largest, limit, spec.scale or spec.step)
    return Judgement(max(map(len, expected), default=0), error, steps, worst)


def _excess(difference: float, limit: Limit) -> tuple[float, float]:
    """Orders differences by how far beyond their limits they are."""
    return (difference / limit.value if limit.value else math.inf if difference else 0.0, difference)


def _differences(spec: TensorSpec, limit: Limit, got: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Differences of one sample, element by element, in the unit of ``limit``."""
    if limit.unit == "steps" and spec.step_before:
        real, framework = (spec.to_real(each).astype(np.float64) for each in (got, wanted))
        beyond = np.maximum(_absolute(real, framework) - _moved(spec, framework), 0)
        return np.round(beyond / (spec.scale or spec.step), 2)
    if limit.unit == "steps" and not spec.is_quantised:
        # Where the steps go through further operations, such as a softmax, it is no whole number of them.
        return np.round(_steps(spec, got, wanted), 2)
    if limit.unit == "relative":
        return difference_of(spec.to_real(got), spec.to_real(wanted))
    return _absolute(got, wanted)


def _steps(spec: TensorSpec, got: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """How many steps, in front of what is ``behind`` them, make such differences."""
    change = _absolute(got, wanted)
    if spec.behind is None:
        return change / spec.step
    lowest = _lowest(spec)
    with np.errstate(invalid="ignore"):
        inside = (got >= lowest - SQUASHED) & (got <= 1 + SQUASHED)
    steps = np.abs(_logits(spec, got) - _logits(spec, wanted)) / _reach(spec, spec.step)
    return np.where(change <= SQUASHED, 0.0, np.where(inside, steps, np.inf))


def _lowest(spec: TensorSpec) -> float:
    """The end of the range of what the output is behind of."""
    return -1.0 if spec.behind == "tanh" else 0.0


def _logits(spec: TensorSpec, real: np.ndarray) -> np.ndarray:
    """What a sigmoid makes such shares of the range of."""
    lowest = _lowest(spec)
    share = np.clip((real.astype(np.float64) - lowest) / (1 - lowest), _LEAST, 1 - _LEAST)
    return np.log(share) - np.log1p(-share)


def _reach(spec: TensorSpec, step: float) -> float:
    """How far a step moves it: a tanh is a sigmoid of twice as much; a softmax one of a number less the others, which
    a step moves both.
    """
    return step * (1 if spec.behind == "sigmoid" else 2)


def _moved(spec: TensorSpec, wanted: np.ndarray) -> np.ndarray:
    """What one step in front of the function can make of its results ``wanted``, more or less."""
    logits, reach = _logits(spec, wanted), _reach(spec, spec.step_before)
    shares = [1 / (1 + np.exp(-each)) for each in (logits - reach, logits, logits + reach)]
    return np.diff(shares, axis=0).max(0) * (1 - _lowest(spec))


def difference_of(got: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Differences, element by element: of integers in steps, else relative to the largest wanted value, or to 1.

    Infinite where only one of both is a number; the largest number of a type counts as infinite.

    >>> difference_of(np.float32([4.0, 2.0]), np.float32([4.0, 1.0]))
    array([0.  , 0.25])
    """
    got, wanted = _unbounded(np.asarray(got)), _unbounded(np.asarray(wanted))
    difference = _absolute(got, wanted)
    if not np.issubdtype(wanted.dtype, np.floating):
        return difference
    numbers = np.abs(wanted[np.isfinite(wanted)].astype(np.float64))
    return difference / numbers.max(initial=1.0)


def _unbounded(array: np.ndarray) -> np.ndarray:
    """TensorFlow Lite ends at a type's largest number where others become infinite."""
    if not np.issubdtype(array.dtype, np.floating):
        return array
    return np.where(np.abs(array) >= np.finfo(array.dtype).max, np.copysign(np.inf, array), array).astype(array.dtype)


def _absolute(got: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    if np.issubdtype(wanted.dtype, np.integer) and got.dtype == wanted.dtype:
        # Subtracted without rounding and without overflow: both are of the same 64 bits.
        high, low = (extreme(got, wanted) for extreme in (np.maximum, np.minimum))
        return (high.astype(np.uint64) - low.astype(np.uint64)).astype(np.float64)
    got, wanted = got.astype(np.float64), wanted.astype(np.float64)
    same = (got == wanted) | (np.isnan(got) & np.isnan(wanted))
    with np.errstate(invalid="ignore"):
        difference = np.nan_to_num(np.abs(got - wanted), nan=np.inf, posinf=np.inf)
    return np.where(same, 0.0, difference)
