# SPDX-License-Identifier: Apache-2.0
"""What goes into a model and comes out: descriptions of tensors, and data that must fit them.

Data is one array an input (or output), with the samples as its first axis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from springbok.support.errors import ModelError
from springbok.support.suggestions import did_you_mean


@dataclass(frozen=True)
class TensorSpec:
    """An input or output: its name, its shape (batch included) and its element type as NumPy calls it.

    A quantised tensor has a ``scale``: its integers q stand for the real values (q - zero_point) * scale. ``limits``
    are the lowest and the highest real value that a floating-point input of a quantised model may have, and ``step``
    is how far one step of its integers can move a floating-point output, or what comes into the function ``behind``
    that makes the output of it (``softmax``, ``sigmoid`` or ``tanh``). Where that function's result is rounded to the
    steps of the output, ``step_before`` is one of what comes into it. ``precision`` is what the model computes a
    floating-point output in, where that is less than its own type (``float16``).
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None = None
    zero_point: int = 0
    limits: tuple[float, float] | None = None
    step: float | None = None
    behind: str | None = None
    step_before: float | None = None
    precision: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        object.__setattr__(self, "limits", None if self.limits is None else tuple(self.limits))

    @property
    def elements(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.elements * np.dtype(self.dtype).itemsize

    @property
    def is_quantised(self) -> bool:
        """Whether the elements are integers that stand for real values."""
        return self.scale is not None

    def to_raw(self, real: np.ndarray) -> np.ndarray:
        """Quantises real values: to the nearest integer, and to the first or last one what lies outside.

        >>> TensorSpec("x", (3,), "int8", scale=0.5, zero_point=-1).to_raw(np.array([0.0, 1.2, 1e9]))
        array([ -1,   1, 127], dtype=int8)
        """
        # As TensorFlow Lite's QUANTIZE: the quotient in float32, halves away from zero.
        scaled = (np.asarray(real, np.float32) / np.float32(self.scale)).astype(np.float64)
        rounded = np.trunc(scaled + np.copysign(0.5, scaled)) + self.zero_point
        integers = np.iinfo(self.dtype)
        return np.clip(rounded, integers.min, integers.max).astype(self.dtype)

    def to_real(self, raw: np.ndarray) -> np.ndarray:
        """The real values (float32) that integers stand for; the array itself if the tensor is not quantised."""
        if not self.is_quantised:
            return raw
        return (raw.astype(np.int64) - self.zero_point).astype(np.float32) * np.float32(self.scale)

    def __str__(self) -> str:
        quantised = f" (scale {self.scale:g}, zero point {self.zero_point})" if self.is_quantised else ""
        return f"'{self.name}' {self.dtype}{list(self.shape)}{quantised}"


#: One array an input, in their order or by their names; or the array alone, if there is one input.
Data = np.ndarray | Sequence[np.ndarray] | Mapping[str, np.ndarray]


def fit(model: str, specs: Sequence[TensorSpec], data: Data) -> list[np.ndarray]:
    """Returns ``data`` as ``specs`` want it: one array an input, each of the shape (samples, \\*shape of the input).

    A sample fits when its shape equals the input's but for axes of length 1, and its type can be converted without
    loss (floating-point numbers may be rounded). For a quantised input, floating-point numbers are real values, which
    are quantised, and integers are raw ones. Values outside the ``limits`` of an input become these. Raises
    :class:`ModelError` with both shapes if not; ``model`` is the name it gives.

    >>> fit("m", [TensorSpec("x", (1, 4, 1), "float32")], np.zeros((10, 4)))[0].shape
    (10, 1, 4, 1)
    """
    given = _in_order(model, specs, data) if isinstance(data, Mapping) else data
    given = [given] if isinstance(given, np.ndarray) else list(given)
    if len(given) != len(specs):
        wanted = ", ".join(map(str, specs))
        number = f"{len(specs)} input{'' if len(specs) == 1 else 's'}"
        raise ModelError(f"{model} takes {number} ({wanted}), but the data has {len(given)}: give one array an input.")
    arrays = [_numbers(model, spec, values) for spec, values in zip(specs, given, strict=True)]
    fitted = [_fit_one(model, spec, array) for spec, array in zip(specs, arrays, strict=True)]
    counts = {len(array) for array in fitted}
    if len(counts) > 1:
        raise ModelError(f"The inputs for {model} have different numbers of samples: {[len(a) for a in fitted]}.")
    if counts == {0}:
        raise ModelError(f"The data for {model} holds no samples.")
    return fitted


def _in_order(model: str, specs: Sequence[TensorSpec], data: Mapping[str, object]) -> list[object]:
    names = [spec.name for spec in specs]
    unknown = [f"{name!r}{did_you_mean(name, names)}" for name in data if name not in names]
    missing = [repr(name) for name in names if name not in data]
    if unknown or missing:
        wrong = [f"no input is named {' or '.join(unknown)}"] if unknown else []
        wrong += [f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"] if missing else []
        raise ModelError(f"The inputs of {model} are {', '.join(map(repr, names))}: {', and '.join(wrong)}.")
    return [data[name] for name in names]


def _numbers(model: str, spec: TensorSpec, values: object) -> np.ndarray:
    try:
        array = np.asarray(values)
    except ValueError:
        raise ModelError(
            f"The data does not fit {model}: its input is {spec}, but the lists in the data differ in length. "
            "Give an array without gaps."
        ) from None
    if array.dtype.kind not in "biuf":
        raise ModelError(
            f"The data does not fit {model}: its input is {spec}, but the data holds {array.dtype} values. "
            "Give numbers."
        )
    return array


def _fit_one(model: str, spec: TensorSpec, array: np.ndarray) -> np.ndarray:
    sample = array.shape[1:]
    if array.ndim == 0 or _without_ones(sample) != _without_ones(spec.shape):
        raise ModelError(
            f"The data does not fit {model}: its input is {spec}, but a sample is {array.dtype}{list(sample)}."
        )
    wanted = np.dtype(spec.dtype)
    if np.issubdtype(array.dtype, np.floating) and (spec.is_quantised or spec.limits):
        if np.isnan(array).any():
            raise ModelError(f"The data does not fit {model}: its input is {spec}, and the data holds NaN.")
        if spec.is_quantised:
            return np.ascontiguousarray(spec.to_raw(array).reshape(len(array), *spec.shape))
        array = np.clip(array, *np.float32(spec.limits))
    with np.errstate(all="ignore"):
        converted = np.ascontiguousarray(array.reshape(len(array), *spec.shape), dtype=wanted)
    if np.issubdtype(wanted, np.floating) and np.can_cast(array.dtype, wanted, "same_kind"):
        lost = np.isfinite(converted.reshape(array.shape)) != np.isfinite(array)
    else:
        lost = converted.reshape(array.shape) != array
    if lost.any():
        raise ModelError(
            f"The data does not fit {model}: its input is {spec}, and the data ({array.dtype}, {array.min()} to "
            f"{array.max()}) holds {array[lost][0]}, which {spec.dtype} can't hold. "
            f"{_remedy(wanted)}"
        )
    return converted


def _remedy(wanted: np.dtype) -> str:
    if np.issubdtype(wanted, np.floating):
        return "Scale the data."
    limits = (0, 1) if wanted == np.bool_ else (np.iinfo(wanted).min, np.iinfo(wanted).max)
    return f"Give whole numbers from {limits[0]} to {limits[1]}: round or scale the data before."


def _without_ones(shape: Sequence[int]) -> list[int]:
    return [length for length in shape if length != 1]


_NEAR_ZERO = 64


def probe_inputs(specs: Sequence[TensorSpec], samples: int = 4) -> list[np.ndarray]:
    """Made-up samples for inputs like ``specs``, always the same.

    Normally distributed floating-point numbers within the limits, some samples ten times as large; all values of 8-bit
    integers, and of larger ones that stand for real values, some samples near their zero; 0 and 1 of other integers,
    which may be indices.
    """
    random = np.random.default_rng(0)
    probes = []
    for spec in specs:
        dtype = np.dtype(spec.dtype)
        shape = (samples, *spec.shape)
        if np.issubdtype(dtype, np.floating):
            scale = np.where(np.arange(samples) % 2, 10.0, 1.0).reshape(-1, *[1] * len(spec.shape))
            values = np.clip(random.standard_normal(shape) * scale, *(spec.limits or (None, None)))
        elif dtype.itemsize == 1 and dtype != np.bool_:
            limits = np.iinfo(dtype)
            values = random.integers(limits.min, limits.max, shape, endpoint=True)
        elif spec.is_quantised:
            limits = np.iinfo(dtype)
            near = np.where(np.arange(samples) % 2, 1, _NEAR_ZERO).reshape(-1, *[1] * len(spec.shape))
            values = random.integers(limits.min, limits.max, shape, endpoint=True) // near
        else:
            values = random.integers(0, 2, shape)
        probes.append(values.astype(dtype))
    return probes
