# SPDX-License-Identifier: Apache-2.0
"""Made-up samples with which a compiled module is checked, and what its framework answers to them.

Four samples, always the same for the same inputs:

- two of normally distributed numbers, the second one ten times as large;
- one of numbers on which functions have their corners: zeros of both signs, negatives, whole numbers, halves, and
  integers that no floating-point number stands for, where none of them is a place, a length or an amount;
- one of extremes: infinities, NaN, the largest and the smallest numbers.

How numbers that are none count: an infinity equals itself alone, and NaN equals NaN. That is defined, and held, where
a model computes each element by itself. In any other one infinities meet in sums, whose answer depends on their order;
so there the extremes are left away, and the corners too if the framework's answer to them is not finite.

Of the extremes, only such elements count whose answer is a number, or infinite because something given is infinite.
Whether a function overflows on its way to a finite answer, and what becomes of NaN in a minimum or in a conversion
to integers, is defined nowhere: an answer near the largest number counts only where it is what was given. An answer
that the last bit of an input decides, such as the sine of the largest number, says nothing. All these elements are
given ordinary numbers instead.

Integers hold 0, which some of them may be divided by: that is defined nowhere either, and frameworks refuse it. Where
one does, the first integer input that it helps holds neither 0 nor -1, or else all of them; or 0 alone, as the only
place of an axis.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

import numpy as np

from springbok.tensors import TensorSpec, probe_inputs

#: Where functions have their corners.
CORNERS = (0.0, -0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 7.0, -0.5, -1.0, -1.5, -2.0, -2.5, -3.0, -4.0, -7.0)
_CORNERS, _EXTREMES = 2, 3
_LARGE = 3
_BEYOND_INTEGERS = 1e9
_STEADY = 1e-2
#: How near an answer is to the largest number where the order of products decides whether they overflow.
_NEAR_OVERFLOW = 2.0**-16

Arrays = list[np.ndarray]


def probe(
    specs: Sequence[TensorSpec],
    run: Callable[[Arrays], Arrays],
    *,
    nan: bool = False,
    integers: bool = False,
    any_integer: bool = False,
) -> tuple[Arrays, Arrays]:
    """The samples for inputs like ``specs``, and what ``run`` answers to them: one array a tensor, samples first.

    ``nan`` tells that the framework's answers to NaN are those of the definition, ``integers`` that the model converts
    floating-point numbers to integers inside, and ``any_integer`` that no integer is a place, a length or an amount in
    it: then the corners hold some that no floating-point number of 32 bits stands for.
    """
    random = np.random.default_rng(1)
    inputs, outputs = _answered(specs, probe_inputs(specs), run)
    by_element = _is_by_element(inputs, outputs, run, random)
    corners = [_drawn(spec, array[:1], CORNERS, random) for spec, array in zip(specs, inputs, strict=True)]
    if any_integer:
        corners = [_with_large(spec, array, random) for spec, array in zip(specs, corners, strict=True)]
    answers = run(corners)
    if by_element or all(np.isfinite(array).all() for array in answers if array.dtype.kind == "f"):
        _put(_CORNERS, inputs, corners, outputs, answers)
    if by_element:
        extremes = [array[_EXTREMES:] for array in inputs]
        try:
            extremes = _extremes(specs, extremes, run, random, nan=nan, integers=integers)
            _put(_EXTREMES, inputs, extremes, outputs, run(extremes))
        except Exception:  # noqa: BLE001 (a framework may refuse such numbers: indices of a table, a division by zero)
            return inputs, outputs
    return inputs, outputs


def _answered(specs: Sequence[TensorSpec], inputs: Arrays, run: Callable[[Arrays], Arrays]) -> tuple[Arrays, Arrays]:
    """Inputs that the framework has an answer to, and the answer."""
    try:
        return inputs, run(inputs)
    except Exception as error:  # noqa: BLE001 (whatever a framework says of a division by 0)
        refused = error
    integers = [
        number for number, spec in enumerate(specs) if np.issubdtype(spec.dtype, np.integer) and not spec.is_quantised
    ]
    for change in (_without_zeros, np.zeros_like):
        for changed in (*([number] for number in integers), integers[1:] and integers):
            others = [change(array) if number in changed else array for number, array in enumerate(inputs)]
            with suppress(Exception):
                return others, run(others)
    raise refused


def _without_zeros(array: np.ndarray) -> np.ndarray:
    """The integers with small ones in place of 0 and -1."""
    small = (1 + np.arange(array.size).reshape(array.shape) % 5).astype(array.dtype)
    undefined = np.isin(array, (0, -1)) if array.dtype.kind == "i" else array == 0
    return np.where(undefined, small, array)


def _put(number: int, inputs: Arrays, sample: Arrays, outputs: Arrays, answer: Arrays) -> None:
    for array, part in (*zip(inputs, sample, strict=True), *zip(outputs, answer, strict=True)):
        array[number] = part[0]


def _drawn(spec: TensorSpec, ordinary: np.ndarray, numbers: Sequence[float], random: np.random.Generator) -> np.ndarray:
    """A sample of ``numbers`` for a floating-point input, else the ordinary one."""
    if not np.issubdtype(spec.dtype, np.floating):
        return ordinary
    values = random.choice(np.array(numbers), ordinary.shape)
    return np.clip(values, *(spec.limits or (None, None))).astype(spec.dtype)


def _with_large(spec: TensorSpec, array: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Integers of more than 8 bits, few of them so large that a sum of them is still one."""
    dtype = np.dtype(spec.dtype)
    if dtype.kind != "i" or dtype.itemsize == 1:
        return array
    values = random.integers(-100, 101, array.shape)
    most = np.iinfo(dtype).max // (_LARGE + 1)
    places = random.choice(array.size, min(_LARGE, array.size), replace=False)
    values.flat[places] = random.integers(most // 2, most, places.size) * random.choice([-1, 1], places.size)
    return values.astype(dtype)


def _is_by_element(
    inputs: Arrays, outputs: Arrays, run: Callable[[Arrays], Arrays], random: np.random.Generator
) -> bool:
    """Whether each element of each output depends on the same element of each input alone."""
    shapes = {array.shape[1:] for array in (*inputs, *outputs)}
    if len(shapes) != 1 or not inputs or not inputs[0].size:
        return False
    taken = random.integers(0, 2, shapes.pop()).astype(bool)
    answers = run([np.where(taken, array[1:2], array[:1]) for array in inputs])
    return all(
        np.array_equal(np.where(taken, array[1:2], array[:1]), answer, equal_nan=array.dtype.kind == "f")
        for array, answer in zip(outputs, answers, strict=True)
    )


def _extremes(
    specs: Sequence[TensorSpec],
    ordinary: Arrays,
    run: Callable[[Arrays], Arrays],
    random: np.random.Generator,
    **definition: bool,
) -> Arrays:
    """A sample of extremes, with ordinary numbers where the answer to them is not defined."""
    drawn = []
    for spec, array in zip(specs, ordinary, strict=True):
        dtype = np.dtype(spec.dtype)
        if dtype.kind == "f":
            most = float(np.finfo(dtype).max)
            numbers = (*((np.inf, -np.inf) if spec.limits else (np.inf, -np.inf, np.nan)), most, -most, *CORNERS[:10])
            drawn.append(_drawn(spec, array, numbers, random))
        elif dtype == np.bool_ or spec.is_quantised:
            drawn.append(array)
        else:
            # Neither 0 nor -1: what an integer divided by them is, is defined nowhere.
            limits = np.iinfo(dtype)
            numbers = np.array([limits.min or 1, limits.max, limits.max - 1, 2, 3, 7, 100], dtype)
            drawn.append(random.choice(numbers, array.shape))
    near = [np.nextafter(array, array.dtype.type(0)) if array.dtype.kind == "f" else array for array in drawn]
    counting = _counts(drawn, run(drawn), run(near), **definition)
    return [np.where(counting, array, usual) for array, usual in zip(drawn, ordinary, strict=True)]


def _counts(inputs: Arrays, outputs: Arrays, nearby: Arrays, *, nan: bool, integers: bool) -> np.ndarray:
    """Which elements have an answer that is defined; ``nearby`` are those to inputs that differ in the last bit."""
    counting = np.ones(outputs[0].shape, bool)
    none = ~counting
    floats = [array for array in inputs if array.dtype.kind == "f"]
    with_nan = np.logical_or.reduce([np.isnan(array) for array in floats] or [none])
    infinite = np.logical_or.reduce([np.isinf(array) for array in floats] or [none])
    huge = np.logical_or.reduce([np.abs(array) > _BEYOND_INTEGERS for array in floats] or [none])
    for answer, other in zip(outputs, nearby, strict=True):
        if answer.dtype.kind == "f":
            counting &= np.isfinite(answer) | (np.isinf(answer) & infinite)
            steady = np.isclose(answer, other, rtol=_STEADY, atol=_STEADY)
            counting &= steady | infinite | with_nan
            size = np.abs(answer)
            given = np.logical_or.reduce([size == np.abs(array) for array in floats] or [none])
            counting &= (size < np.finfo(answer.dtype).max * _NEAR_OVERFLOW) | ~np.isfinite(answer) | given
        if integers or answer.dtype.kind in "iu":
            counting &= ~(with_nan | infinite | huge)
        if integers and answer.dtype.kind == "i":  # where a core ends that converts what is no integer of the type
            counting &= ~np.isin(answer, (np.iinfo(answer.dtype).min, np.iinfo(answer.dtype).max))
    return counting & ~with_nan if not nan else counting
