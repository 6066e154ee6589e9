# SPDX-License-Identifier: Apache-2.0
"""Models of operators that compute each element by itself: functions, arithmetic, comparisons, bits, casts."""

from __future__ import annotations

import numpy as np

from springbok.trials.references.maker import Maker, UnfitError, below, divisors, ordinary, positive, small, unit

_POSITIVE = ("Log", "Sqrt", "Reciprocal", "Acosh")
_UNIT = ("Acos", "Asin", "Atanh")
#: Attributes of functions: their name, and from where to where they are drawn.
_ATTRIBUTES = {
    "Celu": {"alpha": (0.3, 3)},
    "Elu": {"alpha": (0.3, 3)},
    "HardSigmoid": {"alpha": (0.1, 0.6), "beta": (0.1, 0.9)},
    "LeakyRelu": {"alpha": (-0.5, 2)},
    "Selu": {"alpha": (0.5, 3), "gamma": (0.5, 3)},
    "Shrink": {"bias": (-1, 1), "lambd": (0, 2)},
    "Swish": {"alpha": (-1, 2)},
    "ThresholdedRelu": {"alpha": (-1, 2)},
}
_WHOLE_ATTRIBUTES = {"IsInf": ("detect_negative", "detect_positive"), "BitShift": ()}
FUNCTIONS = (
    *("Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Ceil", "Celu", "Cos", "Cosh", "Elu"),
    *("Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "Identity", "IsInf", "IsNaN", "LeakyRelu", "Log"),
    *("Mish", "Neg", "Not", "Reciprocal", "Relu", "Round", "Selu", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh"),
    *("Softplus", "Softsign", "Sqrt", "Swish", "Tan", "Tanh", "ThresholdedRelu"),
)
BINARY = (
    *("Add", "And", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater", "GreaterOrEqual", "Less"),
    *("LessOrEqual", "Mod", "Mul", "Or", "PRelu", "Pow", "Sub", "Xor", "BitShift"),
)
VARIADIC = ("Max", "Mean", "Min", "Sum")


def function(maker: Maker, operator: str) -> None:
    """A function of one tensor."""
    values = positive if operator in _POSITIVE else unit if operator in _UNIT else ordinary
    if operator == "Acosh":
        values = _above_one
    if operator in ("IsInf", "IsNaN"):
        values = _with_extremes
    name = maker.given(maker.dtype(), maker.shape(), values)
    told = {key: maker.maybe(key, maker.real(*ends)) for key, ends in _ATTRIBUTES.get(operator, {}).items()}
    told |= {key: maker.maybe(key, maker.whole(0, 1)) for key in _WHOLE_ATTRIBUTES.get(operator, ())}
    if operator == "Gelu":
        told["approximate"] = maker.maybe("approximate", maker.pick(("none", "tanh")))
    maker.node([name], **told)


def _above_one(random, shape, dtype, sample):
    return 1 + np.abs(ordinary(random, shape, dtype, sample))


def _with_extremes(random, shape, dtype, sample):
    return random.choice([np.inf, -np.inf, np.nan, 0.0, -2.5, np.finfo(dtype).max], shape).astype(dtype)


def binary(maker: Maker, operator: str) -> None:
    """Two tensors, of which each may have to be broadcast."""
    left, right = _two_shapes(maker)
    if operator == "PRelu":
        left = np.broadcast_shapes(left, right)
    dtype = maker.dtype()
    told: dict[str, object] = {}
    values, other, bases = ordinary, dtype, ordinary
    if operator in ("Div", "Mod"):
        values = divisors
    if operator == "Mod":
        told["fmod"] = maker.maybe("fmod", 1 if dtype.startswith("float") else maker.whole(0, 1))
        if dtype.startswith("float") and not told["fmod"]:
            raise UnfitError("of floating-point numbers it is one kind only")
    if operator == "Pow":
        other = maker.dtype(1, ("float32", "int32", "int64")) if maker.opset > 11 else dtype
        bases = below(9, 1) if dtype.startswith("int") else _bases
        values = _exponents
        if dtype.startswith("int") and maker.chance():  # a fraction of a negative integer has no answer
            values, bases = _whole_exponents, small
    if operator == "BitShift":
        told["direction"] = maker.pick(("LEFT", "RIGHT"))
        values = below(8 * np.dtype(dtype).itemsize)
    first = maker.given(dtype, left, bases)
    second = maker.given(other, right, values, constant=0.4)
    maker.node([first, second], **told)


def _bases(random, shape, dtype, sample):
    return positive(random, shape, dtype, 0) if sample % 2 else small(random, shape, dtype, 0)


def _exponents(random, shape, dtype, sample):
    if dtype.kind in "iu":
        return random.integers(0, 4, shape).astype(dtype)
    return random.uniform(-2, 2, shape).astype(dtype) if sample % 2 else random.integers(-2, 4, shape).astype(dtype)


def _whole_exponents(random, shape, dtype, sample):
    del sample
    return random.integers(0, 5, shape).astype(dtype)


def _two_shapes(maker: Maker) -> list[tuple[int, ...]]:
    whole = maker.shape()
    made = []
    for _ in range(2):
        shape = tuple(1 if maker.chance(0.2) else length for length in whole)
        made.append(shape[maker.whole(0, len(shape)) :] if maker.chance(0.3) else whole if maker.chance() else shape)
    return made


def variadic(maker: Maker, operator: str) -> None:
    """One tensor to four."""
    del operator
    dtype = maker.dtype()
    whole = maker.shape()
    rare = 0.2 if maker.opset > 7 else 0  # which broadcasts none
    shapes = [tuple(1 if maker.chance(rare) else each for each in whole) for _ in range(maker.whole(1, 4))]
    maker.node([maker.given(dtype, shape) for shape in shapes])


def clip(maker: Maker, operator: str) -> None:
    """With both ends, one, or none; a weight or an input."""
    del operator
    dtype = maker.dtype()
    name = maker.given(dtype, maker.shape())
    whole = not dtype.startswith("float")
    low, high = (0 if dtype.startswith("u") else maker.whole(-5, 1)), maker.whole(2, 6)
    if maker.has("min"):
        maker.node([name], min=maker.maybe("min", float(low)), max=maker.maybe("max", float(high)))
        return
    ends = [end if whole else end + 0.25 for end in (low, high)]
    names = ["" if maker.chance(0.25) else maker.constant(np.array(end, dtype)) for end in ends]
    maker.node([name, *names])


def cast(maker: Maker, operator: str) -> None:
    """Between all types, of numbers that the other type has a place for."""
    source, made = maker.dtype(), str(maker.pick(_CAST_TYPES))
    numbers = np.dtype(made)

    def values(random, shape, dtype, sample):
        given = ordinary(random, shape, dtype, sample)
        if dtype.kind == "f" and numbers.kind in "iu":  # others have no defined answer
            limits = np.iinfo(numbers)
            return np.clip(given * dtype.type(4), max(limits.min, -2000), min(limits.max, 2000)).astype(dtype)
        return np.clip(given, *((-1000, 1000) if made == "float16" and dtype.kind == "i" else (None, None)))

    name = maker.given(source, maker.shape(), values if source != "bool" else ordinary)
    if operator == "CastLike":
        maker.node([name, maker.given(made, maker.shape(), constant=0.5)])
    else:
        from onnx import helper

        maker.node([name], to=helper.np_dtype_to_tensor_dtype(numbers))


_CAST_TYPES = ("float32", "float16", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "bool")


def where(maker: Maker, operator: str) -> None:
    """Three tensors that are broadcast."""
    del operator
    whole = maker.shape()
    dtype = maker.dtype(1)
    shapes = [tuple(1 if maker.chance(0.2) else each for each in whole) for _ in range(3)]
    condition = maker.given("bool", shapes[0])
    maker.node([condition, *(maker.given(dtype, shape) for shape in shapes[1:])])


DRAWN = {
    **dict.fromkeys(FUNCTIONS, function),
    **dict.fromkeys(BINARY, binary),
    **dict.fromkeys(VARIADIC, variadic),
    **{"Clip": clip, "Cast": cast, "CastLike": cast, "Where": where},
}
