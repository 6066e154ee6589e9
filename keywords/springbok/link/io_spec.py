# SPDX-License-Identifier: Apache-2.0
"""IOSPEC: what a model takes and gives, as the protocol of 2023 describes it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import construct as c
import numpy as np

from springbok.link.layouts import DIMENSIONS, INPUTS, IO_SPEC, NAME_BYTES, OUTPUTS, first_line, parse
from springbok.support.errors import LinkError

_WIRE_TYPES = {
    "int8": "i8", "uint8": "u8", "int16": "i16", "uint16": "u16", "int32": "i32", "uint32": "u32",
    "int64": "i64", "uint64": "u64", "float16": "f16", "float32": "f32", "float64": "f64",
}  # fmt: skip


class Tensor(Protocol):
    """What ``IoSpec.from_tensors`` needs of a tensor; a NumPy array has it."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def dtype(self) -> Any: ...


@dataclass(frozen=True)
class IoSpec:
    """What a model takes and gives, as the protocol of 2023 describes it (160 bytes).

    input_shapes       at most 2 inputs of 1 to 4 dimensions, all of the type ``dtype``
    output_lengths     elements of each output, at most 12
    output_size_bytes  bytes of an output's element; the format names no type for outputs
    dtype              i8 u8 i16 u16 i32 u32 i64 u64 f16 f32 f64
    entry_func         function to run, at most 19 bytes; empty leaves the choice to the device
    model_name         at most 19 bytes; for people

    >>> spec = IoSpec.from_tensors([np.zeros((1, 100, 6, 1), np.float32)], [np.zeros((1, 4), np.float32)])
    >>> spec.dtype, spec.input_shapes, len(spec.encode())
    ('f32', ((1, 100, 6, 1),), 160)
    """

    input_shapes: tuple[tuple[int, ...], ...]
    output_lengths: tuple[int, ...]
    output_size_bytes: int
    dtype: str
    entry_func: str = ""
    model_name: str = ""

    @classmethod
    def from_tensors(
        cls, inputs: Sequence[Tensor], outputs: Sequence[Tensor], entry: str = "", name: str = ""
    ) -> IoSpec:
        """Describe a model by its tensors (anything with ``shape`` and ``dtype``).

        A dtype may be NumPy's or a name like ``float32`` or ``f32``. Leading dimensions of 1 do not count, so
        those beyond four dimensions are dropped. A model name that is too long is cut.

        Raises LinkError where the format has no room; ``can_describe`` tells beforehand.
        """
        problem = _why_not(inputs, outputs, entry)
        if problem:
            raise LinkError(f"IOSPEC can't describe this model: {problem}. Load it without sending IOSPEC.")
        return cls(
            input_shapes=tuple(_fit_shape(tensor.shape) for tensor in inputs),
            output_lengths=tuple(math.prod(tensor.shape) for tensor in outputs),
            output_size_bytes=_element_bytes(_wire_type(outputs[0].dtype)),
            dtype=_wire_type(inputs[0].dtype),
            entry_func=entry,
            model_name=name.encode()[: NAME_BYTES - 1].decode(errors="ignore"),
        )

    @staticmethod
    def can_describe(inputs: Sequence[Tensor], outputs: Sequence[Tensor], entry: str = "") -> bool:
        """Tell whether the format has room for a model; without an IOSPEC the device asks the model itself."""
        return not _why_not(inputs, outputs, entry)

    def encode(self) -> bytes:
        """Return the 160 bytes. Raises LinkError when something does not fit."""
        count = len(self.input_shapes)
        try:
            return IO_SPEC.build(
                {
                    "num_input": count,
                    "num_input_dim": _fill([len(shape) for shape in self.input_shapes], INPUTS),
                    "input_shape": _fill(
                        [_fill(shape, DIMENSIONS) for shape in self.input_shapes], INPUTS, [0] * DIMENSIONS
                    ),
                    "input_length": _fill([math.prod(shape) for shape in self.input_shapes], INPUTS),
                    "input_size_bytes": _fill([_element_bytes(self.dtype)] * count, INPUTS),
                    "num_output": len(self.output_lengths),
                    "output_length": _fill(self.output_lengths, OUTPUTS),
                    "output_size_bytes": self.output_size_bytes,
                    "dtype": self.dtype,
                    "entry_func": _terminated(self.entry_func),
                    "model_name": _terminated(self.model_name),
                }
            )
        except c.ConstructError as error:
            raise LinkError(f"{self} does not fit an I/O specification: {first_line(error)}.") from error

    @classmethod
    def decode(cls, payload: bytes) -> IoSpec:
        """Read the 160 bytes. Raises LinkError when they contradict themselves."""
        fields = parse(IO_SPEC, payload, "I/O specification")
        ranks = fields.num_input_dim[: fields.num_input]
        if fields.num_input > INPUTS or max(ranks, default=0) > DIMENSIONS or fields.num_output > OUTPUTS:
            raise LinkError(
                f"An I/O specification has at most {INPUTS} inputs of {DIMENSIONS} dimensions and {OUTPUTS} "
                f"outputs, not {fields.num_input} of {list(ranks)} and {fields.num_output}."
            )
        return cls(
            input_shapes=tuple(
                tuple(shape[:rank]) for shape, rank in zip(fields.input_shape[: len(ranks)], ranks, strict=True)
            ),
            output_lengths=tuple(fields.output_length[: fields.num_output]),
            output_size_bytes=fields.output_size_bytes,
            dtype=fields.dtype,
            entry_func=fields.entry_func,
            model_name=fields.model_name,
        )


def _why_not(inputs: Sequence[Tensor], outputs: Sequence[Tensor], entry: str) -> str:
    """Say why the format can't describe a model; empty when it can."""
    return next(_obstacles(inputs, outputs, entry), "")


def _obstacles(inputs: Sequence[Tensor], outputs: Sequence[Tensor], entry: str) -> Iterator[str]:
    if not 1 <= len(inputs) <= INPUTS or not 1 <= len(outputs) <= OUTPUTS:
        yield f"it has {len(inputs)} inputs and {len(outputs)} outputs, the format 1 to {INPUTS} and 1 to {OUTPUTS}"
    unknown = {str(tensor.dtype) for tensor in (*inputs, *outputs) if _wire_type(tensor.dtype) is None}
    if unknown:
        yield f"it has tensors of type {', '.join(sorted(unknown))}, the format knows {', '.join(_WIRE_TYPES)}"
    if len({_wire_type(tensor.dtype) for tensor in inputs}) > 1:
        yield "its inputs are not all of one type"
    if len({_element_bytes(_wire_type(tensor.dtype)) for tensor in outputs}) > 1:
        yield "its outputs' elements are not all of one size"
    if any(len(_fit_shape(tensor.shape)) > DIMENSIONS for tensor in inputs):
        yield f"an input has more than {DIMENSIONS} dimensions"
    if any(dimension < 1 for tensor in (*inputs, *outputs) for dimension in tensor.shape):
        yield "a tensor has a dimension below 1"
    if len(entry.encode()) >= NAME_BYTES:
        yield f"the function's name '{entry}' has more than {NAME_BYTES - 1} bytes"


def _fit_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """Drop leading ones beyond four dimensions; a scalar becomes one element."""
    shape = tuple(int(dimension) for dimension in shape) or (1,)
    while len(shape) > DIMENSIONS and shape[0] == 1:
        shape = shape[1:]
    return shape


def _wire_type(dtype: Any) -> str | None:
    # Names of the wire come first: to NumPy "i8" is an integer of 8 bytes.
    if isinstance(dtype, str) and dtype in _WIRE_TYPES.values():
        return dtype
    try:
        return _WIRE_TYPES.get(np.dtype(dtype).name)
    except TypeError:
        return None


def _element_bytes(wire_type: str) -> int:
    return int(wire_type.strip("iuf")) // 8


def _terminated(name: str) -> str:
    if len(name.encode()) >= NAME_BYTES:
        raise LinkError(f"The name '{name}' has more than {NAME_BYTES - 1} bytes.")
    return name


def _fill(values: Sequence, length: int, filler: Any = 0) -> list:
    return [*values, *[filler] * (length - len(values))]
