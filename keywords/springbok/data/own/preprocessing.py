# SPDX-License-Identifier: Apache-2.0
"""What is done to the values of own data before a model gets them, and how it is named in reports.

A step is ``scale`` (integers to their type's full scale), ``scale FACTOR [OFFSET]``, ``mean/std`` (of this data, by
the last axis), ``mean/std MEANS DEVIATIONS`` (numbers, separated by commas), or ``FILE.py:FUNCTION``, which gets the
inputs as they are (an array, or a dictionary) and returns what the model takes.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from springbok.data.own.content import read_bytes
from springbok.data.own.functions import FUNCTION, as_inputs, find, running
from springbok.support.errors import DatasetError
from springbok.support.places import given_path
from springbok.support.suggestions import did_you_mean

_MOST_SHOWN = 8
KNOWN = "scale, scale FACTOR [OFFSET], mean/std, mean/std MEANS DEVIATIONS, FILE.py:FUNCTION"


def preprocess(source: str, inputs: Any, steps: Sequence[str]) -> tuple[Any, tuple[str, ...]]:
    """Return the inputs after the steps, and what to call each step. Raises DatasetError.

    >>> values, names = preprocess("d", np.array([[0, 255]], np.uint8), ["scale"])
    >>> values.tolist(), names
    ([[0.0, 1.0]], ('scale: times 1/255',))
    """
    names = []
    for step in steps:
        before = _count(inputs)
        function = FUNCTION.fullmatch(step.strip())
        inputs, name = _by_function(function, inputs) if function else _by_name(source, step, inputs)
        if _count(inputs) != before:
            raise DatasetError(
                f"{source}: preprocessing '{step}' made {_count(inputs)} samples of {before}: it must keep all."
            )
        names.append(name)
    return inputs, tuple(names)


def _by_function(found: re.Match, inputs: Any) -> tuple[Any, str]:
    path, name = given_path(found["file"]), found["function"]
    function = find(path, name)
    with running(path, name):
        done = function(_copies(inputs))
    sha256 = hashlib.sha256(read_bytes(path)).hexdigest()
    return as_inputs(f"{path}:{name}", done), f"{path.name}:{name} (sha256 {sha256[:12]}…)"


def _by_name(source: str, step: str, inputs: Any) -> tuple[Any, str]:
    word, *arguments = step.split() or [""]
    if word == "scale" and len(arguments) <= 2:
        return _scale(source, step, inputs, [_number(step, each) for each in arguments])
    if word == "mean/std" and len(arguments) in (0, 2):
        return _standardise(source, step, inputs, [[_number(step, n) for n in each.split(",")] for each in arguments])
    near = did_you_mean(word, ("scale", "mean/std")) if word not in ("scale", "mean/std") else ""
    raise DatasetError(
        f"{source}: there is no preprocessing '{step}'{near}. Known: {KNOWN}; several are separated by ';'."
    )


def _scale(source: str, step: str, inputs: Any, numbers: list[Fraction]) -> tuple[Any, str]:
    if numbers:
        if not numbers[0]:
            raise DatasetError(f"{source}: preprocessing '{step}' makes all values the same: its factor is 0.")
        factor, offset = float(numbers[0]), float(numbers[1] if len(numbers) > 1 else 0)
        text = f"scale: times {step.split()[1]}" + (f", plus {step.split()[2]}" if len(numbers) > 1 else "")
        return _each(inputs, lambda array: (array.astype(np.float64) * factor + offset).astype(np.float32)), text
    widths = {array.dtype for array in _arrays(inputs)}
    (dtype,) = widths if len(widths) == 1 else (None,)
    if dtype is None or dtype.kind not in "iu" or dtype.itemsize > 4:
        found = ", ".join(sorted(map(str, widths)))
        raise DatasetError(
            f"{source}: 'scale' alone is for 8- to 32-bit integers, but the data are {found}: scale FACTOR."
        )
    limits = np.iinfo(dtype)
    full = limits.max if dtype.kind == "u" else -int(limits.min)
    return _each(inputs, lambda array: (array / full).astype(np.float32)), f"scale: times 1/{full}"


def _standardise(source: str, step: str, inputs: Any, given: list[list[Fraction]]) -> tuple[Any, str]:
    if len(_arrays(inputs)) > 1:
        raise DatasetError(f"{source}: 'mean/std' is for one input: use a function for several, FILE.py:FUNCTION.")
    values = _arrays(inputs)[0].astype(np.float64)
    channels = values.shape[-1] if values.ndim > 1 else 1
    if given:
        means, deviations = (np.array([float(number) for number in each]) for each in given)
        wrong = [len(each) for each in (means, deviations) if len(each) not in (1, channels)]
        if wrong or (deviations == 0).any():
            raise DatasetError(
                f"{source}: preprocessing '{step}' needs one number, or one for each of {channels} channels (the last "
                "axis), and no deviation of 0."
            )
        origin = ""
    else:
        axes = tuple(range(values.ndim - 1)) if values.ndim > 1 else (0,)
        means, deviations = values.mean(axis=axes), values.std(axis=axes)
        deviations = np.where(deviations == 0, 1.0, deviations)  # what never changes becomes 0
        origin = " of this data"
    text = f"mean/std{origin}: mean {_shown(means)}, deviation {_shown(deviations)}"
    return _each(inputs, lambda array: ((array.astype(np.float64) - means) / deviations).astype(np.float32)), text


def _shown(numbers: np.ndarray) -> str:
    texts = [f"{number:.6g}" for number in np.atleast_1d(numbers)]
    return ", ".join(texts[:_MOST_SHOWN]) + (
        f" and {len(texts) - _MOST_SHOWN} more" if len(texts) > _MOST_SHOWN else ""
    )


def _number(step: str, text: str) -> Fraction:
    try:
        upper, _, lower = text.partition("/")
        number = Fraction(upper) / Fraction(lower or 1)
    except (ValueError, ZeroDivisionError):
        raise DatasetError(f"Preprocessing '{step}': '{text}' is no number. Write 0.5 or 1/255.") from None
    limits = np.finfo(np.float32)
    if number and not limits.tiny <= abs(number) <= limits.max:
        raise DatasetError(
            f"Preprocessing '{step}': '{text}' is beyond what float32 holds, {limits.tiny:.2g} to {limits.max:.2g}."
        )
    return number


def _arrays(inputs: Any) -> list[np.ndarray]:
    if isinstance(inputs, dict):
        return list(inputs.values())
    return list(inputs) if isinstance(inputs, tuple) else [inputs]


def _each(inputs: Any, change: Callable[[np.ndarray], np.ndarray]) -> Any:
    if isinstance(inputs, dict):
        return {name: change(array) for name, array in inputs.items()}
    return tuple(map(change, inputs)) if isinstance(inputs, tuple) else change(inputs)


def _copies(inputs: Any) -> Any:
    return _each(inputs, np.array)


def _count(inputs: Any) -> int:
    return len(_arrays(inputs)[0]) if _arrays(inputs) else 0
