# SPDX-License-Identifier: Apache-2.0
"""What models of the trial are made with: a seed's choices, inputs and constants, nodes.

A function that draws models of some operators gets a `Maker` and the operator, and asks it for what the node needs.
What the operator's schema does not allow raises :class:`UnfitError`, and another model is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import defs, helper, numpy_helper

#: Versions of the operator set that are drawn: those of exporters in use.
OPSETS = (7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26)
SAMPLES = 4
#: Element types by how often they are drawn, where an operator takes them.
_WEIGHTS = {"float32": 12, "float16": 2, "int32": 3, "int64": 2, "int8": 2, "uint8": 2, "int16": 2, "uint16": 2}
_WEIGHTS |= {"uint32": 2, "uint64": 1, "bool": 1}
_CORNERS = (0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 1.5, -1.5, 2.0, 2.5, -2.5, 3.0, -7.0, 1e-4, -1e-4, 88.0, -88.0)

Values = Callable[[np.random.Generator, tuple[int, ...], np.dtype, int], np.ndarray]


class UnfitError(Exception):
    """What was drawn is no model of the operator: draw again."""


def ordinary(random: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype, sample: int) -> np.ndarray:
    """Numbers of all sizes; the samples grow: small ones, larger ones, corners, extremes of integers."""
    if dtype.kind == "b":
        return random.integers(0, 2, shape).astype(dtype)
    if dtype.kind == "f":
        if sample == 2:
            return random.choice(_CORNERS, shape).astype(dtype)
        return (random.standard_normal(shape) * (1.0, 8.0, 1.0, 0.3)[sample % 4]).astype(dtype)
    limits = np.iinfo(dtype)
    low, high = max(limits.min, -9), min(limits.max, 9)
    if sample in (2, 3):
        low, high = limits.min, limits.max
    return random.integers(low, high, shape, dtype, endpoint=True)


def small(random: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype, sample: int) -> np.ndarray:
    """As `ordinary`, but sums and products of some of them stay far from where integers end."""
    return ordinary(random, shape, dtype, sample if dtype.kind in "fb" else 0)


def positive(random: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype, sample: int) -> np.ndarray:
    """Numbers above 0."""
    if dtype.kind == "f":
        return (random.uniform(0.05, 3.0, shape) * (1.0, 20.0, 1.0, 0.1)[sample % 4]).astype(dtype)
    most = 100 if sample < 2 else np.iinfo(dtype).max
    return random.integers(1, most, shape, dtype, endpoint=True)


def unit(random: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype, sample: int) -> np.ndarray:
    """Numbers between -1 and 1."""
    del sample
    return random.uniform(-1.0, 1.0, shape).astype(dtype)


def divisors(random: np.random.Generator, shape: tuple[int, ...], dtype: np.dtype, sample: int) -> np.ndarray:
    """As `ordinary`, but integers are neither 0 nor -1, and other numbers not 0: what they divide has an answer."""
    made = ordinary(random, shape, dtype, sample)
    return np.where(np.isin(made, (0, -1)) if dtype.kind == "i" else made == 0, 3, made).astype(dtype)


def below(limit: int, lowest: int = 0) -> Values:
    """Whole numbers from ``lowest`` to below ``limit``."""
    return lambda random, shape, dtype, sample: random.integers(lowest, limit, shape).astype(dtype)


@dataclass
class Maker:
    """A model while it is made. ``random`` draws its structure; its values come from a stream of their own."""

    operator: str
    opset: int
    random: np.random.Generator
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    inputs: list[onnx.ValueInfoProto] = field(default_factory=list)
    arrays: list[np.ndarray] = field(default_factory=list)
    constants: list[onnx.TensorProto] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        try:
            self.schema = defs.get_schema(self.operator, self.opset)
        except defs.SchemaError:
            raise UnfitError(f"there is no {self.operator} of version {self.opset}") from None
        if self.schema.deprecated:
            raise UnfitError(f"{self.operator} is deprecated in version {self.opset}")

    # ---- Choices

    def chance(self, probability: float = 0.5) -> bool:
        """True so often."""
        return bool(self.random.random() < probability)

    def pick(self, choices: Sequence):
        """One of them."""
        return choices[int(self.random.integers(len(choices)))]

    def whole(self, low: int, high: int) -> int:
        """A whole number, both ends included."""
        return int(self.random.integers(low, high, endpoint=True))

    def real(self, low: float, high: float) -> float:
        """A number with few digits."""
        return round(float(self.random.uniform(low, high)), 2)

    def shape(self, low: int = 0, high: int = 4, longest: int = 5) -> tuple[int, ...]:
        """Lengths of axes, 1 among them, of a rank from ``low`` to ``high``."""
        return tuple(1 if self.chance(0.15) else self.whole(2, longest) for _ in range(self.whole(low, high)))

    def axis(self, rank: int) -> int:
        """An axis, counted from the front or from behind."""
        if not rank:
            raise UnfitError("a scalar has no axis")
        chosen = self.whole(0, rank - 1)
        return chosen - rank if self.chance(0.4) and self.opset >= _NEGATIVE_AXES else chosen

    def axes(self, rank: int, least: int = 1) -> list[int]:
        """Some axes in any order, each counted from the front or from behind."""
        count = self.whole(min(least, rank), rank)
        chosen = [int(each) for each in self.random.permutation(rank)[:count]]
        negative = self.opset >= _NEGATIVE_AXES
        return [axis - rank if negative and self.chance(0.3) else axis for axis in chosen]

    def dtype(self, number: int = 0, of: Sequence[str] = tuple(_WEIGHTS)) -> str:
        """An element type that the operator's input ``number`` may have, of these."""
        formal = self.schema.inputs[min(number, len(self.schema.inputs) - 1)]
        allowed = {each.removeprefix("tensor(").removesuffix(")") for each in formal.types}
        allowed = {{"float": "float32", "double": "float64"}.get(each, each) for each in allowed}
        known = [each for each in of if each in allowed]
        if not known:
            raise UnfitError(f"{self.operator} takes none of {of}")
        weights = np.array([_WEIGHTS[each] for each in known], float)
        return str(self.random.choice(known, p=weights / weights.sum()))

    def floating(self, number: int = 0) -> str:
        """A floating-point type."""
        return self.dtype(number, ("float32", "float16"))

    # ---- What nodes read

    def given(self, dtype: str, shape: Sequence[int], values: Values = ordinary, constant: float | None = None) -> str:
        """A tensor that the model is given: an input, or with the probability ``constant`` a weight of the model.

        By default a second one may be a weight.
        """
        shape = tuple(shape)
        constant = (0.25 if self.inputs else 0.0) if constant is None else constant
        if math.prod(shape) > _MOST_ELEMENTS:
            raise UnfitError("it is too large")
        if self.chance(constant):
            return self.constant(values(self.random, shape, np.dtype(dtype), self.whole(0, 1)).astype(dtype))
        name = f"x{len(self.inputs)}"
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        samples = [values(self.random, shape, np.dtype(dtype), sample) for sample in range(SAMPLES)]
        self.arrays.append(np.stack(samples).astype(dtype))
        return name

    def constant(self, value) -> str:
        """A tensor that is known: an initializer, or what a node Constant gives."""
        array = np.asarray(value)
        name = f"c{len(self.constants)}"
        tensor = numpy_helper.from_array(array, name)
        self.constants.append(tensor)
        if self.chance(0.3):
            node = helper.make_node("Constant", [], [f"{name}_node"], value=tensor)
            self.nodes.append(node)
            return node.output[0]
        return name

    def lengths(self, values: Sequence[int]) -> str:
        """A constant of whole numbers of 64 bits: axes, a shape, amounts."""
        return self.constant(np.array(values, np.int64))

    def node(self, inputs: Sequence[str], outputs: int = 1, operator: str | None = None, **attributes) -> list[str]:
        """A node, by default of the model's operator, whose outputs are the model's. Attributes of None are left out.

        Inputs at the end that are left out ("") are dropped.
        """
        names = [f"y{len(self.nodes)}_{number}" for number in range(outputs)]
        inputs = list(inputs)
        while inputs and not inputs[-1]:
            inputs.pop()
        told = {name: value for name, value in attributes.items() if value is not None}
        self.nodes.append(helper.make_node(operator or self.operator, inputs, names, **told))
        self.outputs += names
        return names

    def has(self, attribute: str) -> bool:
        """Whether the operator has this attribute in this version."""
        return attribute in self.schema.attributes

    def takes(self, count: int) -> bool:
        """Whether the operator has so many inputs in this version."""
        return len(self.schema.inputs) >= count

    def maybe(self, attribute: str, value):
        """The value of an attribute that is now and then left out, and always where this version has none."""
        return value if self.has(attribute) and self.chance(0.75) else None


_NEGATIVE_AXES = 11
_MOST_ELEMENTS = 4096
