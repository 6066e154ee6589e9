# SPDX-License-Identifier: Apache-2.0
"""What goes into a model and comes out: descriptions of tensors, and data that must fit them.

Data is one array an input (or output), with the samples as its first axis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from springbok.errors import ModelError


@dataclass(frozen=True)
class TensorSpec:
    """An input or output: its name, its shape (batch included) and its element type as NumPy calls it."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def elements(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.elements * np.dtype(self.dtype).itemsize

    def __str__(self) -> str:
        return f"'{self.name}' {self.dtype}{list(self.shape)}"


def fit(model: str, specs: Sequence[TensorSpec], data: np.ndarray | Sequence[np.ndarray]) -> list[np.ndarray]:
    """Returns ``data`` as ``specs`` want it: one array an input, each of the shape (samples, \\*shape of the input).

    A sample fits when its shape equals the input's but for axes of length 1, and its type can be converted without
    loss (floating-point numbers may be rounded). Raises :class:`ModelError` with both shapes if not; ``model`` is
    the name it gives.

    >>> fit("m", [TensorSpec("x", (1, 4, 1), "float32")], np.zeros((10, 4)))[0].shape
    (10, 1, 4, 1)
    """
    arrays = [data] if isinstance(data, np.ndarray) else [np.asarray(array) for array in data]
    if len(arrays) != len(specs):
        wanted = ", ".join(map(str, specs))
        raise ModelError(f"{model} takes {len(specs)} inputs ({wanted}), but the data has {len(arrays)}.")
    fitted = [_fit_one(model, spec, array) for spec, array in zip(specs, arrays, strict=True)]
    counts = {len(array) for array in fitted}
    if len(counts) > 1:
        raise ModelError(f"The inputs for {model} have different numbers of samples: {[len(a) for a in fitted]}.")
    if counts == {0}:
        raise ModelError(f"The data for {model} holds no samples.")
    return fitted


def _fit_one(model: str, spec: TensorSpec, array: np.ndarray) -> np.ndarray:
    sample = array.shape[1:]
    if array.ndim == 0 or _without_ones(sample) != _without_ones(spec.shape):
        raise ModelError(
            f"The data does not fit {model}: its input is {spec}, but a sample is {array.dtype}{list(sample)}."
        )
    wanted = np.dtype(spec.dtype)
    with np.errstate(all="ignore"):
        converted = np.ascontiguousarray(array.reshape(len(array), *spec.shape), dtype=wanted)
    exact = np.issubdtype(wanted, np.floating) and np.can_cast(array.dtype, wanted, "same_kind")
    if not exact and not np.array_equal(converted.reshape(array.shape), array):
        raise ModelError(
            f"The data does not fit {model}: its input is {spec}, and values of the data ({array.dtype}, "
            f"{array.min()} to {array.max()}) can't be converted to {spec.dtype} without loss."
        )
    return converted


def _without_ones(shape: Sequence[int]) -> list[int]:
    return [length for length in shape if length != 1]


def probe_inputs(specs: Sequence[TensorSpec], samples: int = 4) -> list[np.ndarray]:
    """Made-up samples for inputs like ``specs``, always the same.

    Normally distributed floating-point numbers, some samples ten times as large; all values of 8-bit integers; 0 and
    1 of other integers, which may be indices.
    """
    random = np.random.default_rng(0)
    probes = []
    for spec in specs:
        dtype = np.dtype(spec.dtype)
        shape = (samples, *spec.shape)
        if np.issubdtype(dtype, np.floating):
            scale = np.where(np.arange(samples) % 2, 10.0, 1.0).reshape(-1, *[1] * len(spec.shape))
            values = random.standard_normal(shape) * scale
        elif dtype.itemsize == 1 and dtype != np.bool_:
            limits = np.iinfo(dtype)
            values = random.integers(limits.min, limits.max, shape, endpoint=True)
        else:
            values = random.integers(0, 2, shape)
        probes.append(values.astype(dtype))
    return probes
