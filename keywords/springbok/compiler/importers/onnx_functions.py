# SPDX-License-Identifier: Apache-2.0
"""Operators that IREE expands wrongly or not at all, for `springbok.compiler.importers.onnx_rewriting`.

Each rewriting has its reason in a line. Numbers mean what IEEE 754 and C say, infinities and NaN included.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto

from springbok.compiler.importers import onnx_recurrent, onnx_windows
from springbok.compiler.importers.onnx_integers import widened
from springbok.compiler.importers.onnx_rewriting import FLOATS, Graph, attributes_of, described
from springbok.compiler.importers.worker import UnusableError

#: Integral exponents up to this one are powers by multiplication.
_MULTIPLIED = 16
#: Larger powers of an integer are 0, 1 or -1, or larger than any integer; odd, as the sign of -1 tells.
_MOST_INTEGRAL = 63
#: From here on, all floating-point numbers are even integers.
_ALL_EVEN = 2.0**25
#: Beyond it, 1 is nothing beside a number's square.
_SQUARES = 1e5
_TURN = 2 * np.pi
#: IREE pools integers along so many axes, and convolves groups.
_MOST_INTEGER_AXES = _MOST_GROUPED_AXES = 2
#: Beyond it, exp(-x) is nothing beside exp(x), of every type of numbers.
_ROOTS_ALONE = 10.0


def _pow(graph: Graph, node: onnx.NodeProto) -> None:
    """IREE's power is exp(e * log(x)) in effect: NaN for bases that are negative, and for 0^0 and inf^0."""
    base, exponent = node.input
    kind = graph.type_of(base)
    known = graph.constant(exponent)
    if kind not in FLOATS:
        _integer_power(graph, base, exponent, node.output[0])
    elif known is not None and known.size == 1 and float(known.reshape(())).is_integer():
        whole = int(known.reshape(()))
        if 0 < abs(whole) <= _MULTIPLIED and known.ndim <= graph.rank_of(base):
            _multiplied(graph, base, whole, node.output[0])
            return
        _power(graph, base, _as(graph, exponent, kind), node.output[0])
    else:
        _power(graph, base, _as(graph, exponent, kind), node.output[0])


def _as(graph: Graph, name: str, kind: int) -> str:
    return name if graph.type_of(name) == kind else graph.cast(name, kind)


def _multiplied(graph: Graph, base: str, exponent: int, to: str) -> None:
    factors, square = [], base
    for bit in range(abs(exponent).bit_length()):
        if bit:
            square = graph.add("Mul", square, square)
        if abs(exponent) >> bit & 1:
            factors.append(square)
    result = factors[0]
    for factor in factors[1:]:
        result = graph.add("Mul", result, factor)
    graph.add("Reciprocal" if exponent < 0 else "Identity", result, to=to)


def _power(graph: Graph, base: str, exponent: str, to: str | None = None) -> str:
    """The power by its magnitude, where the base's is neither 0 nor infinite, and by its sign."""
    kind = graph.type_of(base)
    number = onnx.helper.tensor_dtype_to_np_dtype(kind)
    zero, one, infinity, nan = (graph.value(np.asarray(each, number)) for each in (0, 1, np.inf, np.nan))
    size, power = graph.add("Abs", base), graph.apply("Abs", np.abs, exponent)
    ends = graph.add("Or", graph.add("Equal", size, zero), graph.add("Equal", size, infinity))
    ends = graph.add("Or", ends, graph.add("Equal", power, infinity))
    numbers = graph.add("Not", graph.add("Or", graph.add("IsNaN", base), graph.add("IsNaN", exponent)))
    ends = graph.add("And", ends, numbers)
    is_one = graph.add("And", graph.add("Equal", size, one), numbers)
    is_one = graph.add("Or", is_one, graph.add("Or", graph.add("Equal", exponent, zero), graph.add("Equal", base, one)))
    grows = graph.add("Not", graph.add("Xor", graph.add("Greater", size, one), graph.add("Greater", exponent, zero)))
    logarithm = graph.add("Log", graph.add("Where", ends, one, size))
    inner = graph.add("Exp", graph.add("Mul", graph.add("Where", ends, one, exponent), logarithm))
    magnitude = graph.add("Where", ends, graph.add("Where", grows, infinity, zero), inner)
    magnitude = graph.add("Where", is_one, one, magnitude)

    # By way of integers: LLVM makes a function of the comparison with a floor, which modules have none of.
    least_even = graph.value(np.asarray(_ALL_EVEN, number))
    small = graph.add("Where", graph.add("Less", power, least_even), exponent, zero)
    whole = graph.add("Equal", _without_fraction(graph, small, kind), small)
    half = graph.add("Mul", small, graph.value(np.asarray(0.5, number)))
    odd = graph.add("And", whole, graph.add("Not", graph.add("Equal", _without_fraction(graph, half, kind), half)))
    below = graph.add("Less", base, zero)
    negative = graph.add("Or", below, graph.add("Less", graph.add("Reciprocal", base), zero))  # -0 too
    undefined = graph.add("And", below, graph.add("Not", whole))
    undefined = graph.add("And", undefined, graph.add("Less", size, infinity))
    signed = graph.add("Where", graph.add("And", negative, odd), graph.add("Neg", magnitude), magnitude)
    return graph.add("Where", undefined, nan, signed, to=to)


def _without_fraction(graph: Graph, name: str, kind: int) -> str:
    return graph.cast(graph.cast(name, TensorProto.INT32), kind)


def _integer_power(graph: Graph, base: str, exponent: str, to: str) -> None:
    kind = graph.type_of(base)
    if graph.type_of(exponent) not in FLOATS:
        graph.add("Identity", _squared(graph, base, exponent), to=to)
        return
    # Whole powers that the type holds are exact; what is left is a fraction, whose digits go.
    real = _power(graph, graph.cast(base, TensorProto.FLOAT), graph.cast(exponent, TensorProto.FLOAT))
    zero, most = graph.numbers_like(exponent)(0), graph.numbers_like(exponent)(_MOST_INTEGRAL)
    amount = graph.apply("Floor", np.floor, exponent)
    amount = graph.apply("Min", np.minimum, graph.apply("Max", np.maximum, amount, zero), most)
    beyond = float(np.iinfo(onnx.helper.tensor_dtype_to_np_dtype(kind)).max)
    whole = graph.add("Equal", amount, exponent)
    whole = graph.add("And", whole, graph.add("Less", graph.add("Abs", real), graph.value(np.float32(beyond))))
    exact = _squared(graph, base, graph.cast(amount, TensorProto.INT32), _MOST_INTEGRAL)
    graph.add("Where", whole, exact, graph.cast(real, kind), to=to)


def _squared(graph: Graph, base: str, exponent: str, most: int | None = None) -> str:
    """The power of integers by squares of the base; the exponent is no larger than ``most``."""
    number = onnx.helper.tensor_dtype_to_np_dtype(graph.type_of(base))
    known, exponent_type = graph.constant(exponent), onnx.helper.tensor_dtype_to_np_dtype(graph.type_of(exponent))
    most = int(np.iinfo(exponent_type).max) if most is None else most
    largest = most if known is None else int(known.max(initial=1))
    counter = np.int32 if largest < 1 << 31 else np.int64
    single, two = (graph.value(np.asarray(each, counter)) for each in (1, 2))
    left = _as(graph, exponent, onnx.helper.np_dtype_to_tensor_dtype(np.dtype(counter)))
    square, result = base, graph.value(np.asarray(1, number))
    for bit in range(largest.bit_length()):
        if bit:
            square = graph.add("Mul", square, square)
            left = graph.add("Div", left, two)
        taken = graph.add("Equal", graph.add("Mod", left, two), single)
        result = graph.add("Where", taken, graph.add("Mul", result, square), result)
    return result


def _gelu(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE's approximation by tanh differs by 3e-5: it is written out here."""
    if attributes_of(node).get("approximate", b"none") != b"tanh" or graph.type_of(node.input[0]) != TensorProto.FLOAT:
        return False
    (given,) = node.input
    half, one, cubic, root = (graph.value(np.float32(each)) for each in (0.5, 1, 0.044715, np.sqrt(2 / np.pi)))
    cube = graph.add("Mul", graph.add("Mul", graph.add("Mul", given, given), given), cubic)
    inner = graph.add("Tanh", graph.add("Mul", graph.add("Add", given, cube), root))
    graph.add("Mul", graph.add("Mul", given, half), graph.add("Add", inner, one), to=node.output[0])
    return None


def _hyperbolic(graph: Graph, node: onnx.NodeProto) -> None:
    """IREE's overflow where the exponential function does, at half of their largest numbers."""
    (given,) = node.input
    number = graph.numbers_like(given)
    size = graph.add("Abs", given)
    root = graph.add("Exp", graph.add("Mul", size, number(0.5)))
    large = graph.add("Mul", graph.add("Mul", root, number(0.5)), root)
    if node.op_type == "Sinh":
        large = graph.add("Where", graph.add("Less", given, number(0)), graph.add("Neg", large), large)
    inside = graph.add("Less", size, number(_ROOTS_ALONE))
    graph.add("Where", inside, graph.add(node.op_type, given), large, to=node.output[0])


def _swish(graph: Graph, node: onnx.NodeProto) -> None:
    """IREE lacks it."""
    (given,) = node.input
    inner = graph.add("Mul", given, graph.numbers_like(given)(attributes_of(node).get("alpha", 1.0)))
    graph.add("Mul", given, graph.add("Sigmoid", inner), to=node.output[0])


def _asinh(graph: Graph, node: onnx.NodeProto) -> None:
    """IREE's loses all digits of negative numbers, and overflows."""
    (given,) = node.input
    number = graph.numbers_like(given)
    size = graph.add("Abs", given)
    large = graph.add("Greater", size, number(_SQUARES))
    inner = graph.add("Where", large, number(1), size)
    root = graph.add("Sqrt", graph.add("Add", graph.add("Mul", inner, inner), number(1)))
    argument = graph.add("Where", large, size, graph.add("Add", inner, root))
    logarithm = graph.add("Log", argument)
    logarithm = graph.add("Add", logarithm, graph.add("Where", large, number(np.log(2)), number(0)))
    negative = graph.add("Less", given, number(0))
    graph.add("Where", negative, graph.add("Neg", logarithm), logarithm, to=node.output[0])


def _acosh(graph: Graph, node: onnx.NodeProto) -> None:
    """IREE's overflows, and gives infinities below 1."""
    (given,) = node.input
    number = graph.numbers_like(given)
    large = graph.add("Greater", given, number(_SQUARES))
    inner = graph.add("Where", large, number(1), given)
    root = graph.add("Sqrt", graph.add("Sub", graph.add("Mul", inner, inner), number(1)))
    logarithm = graph.add("Log", graph.add("Where", large, given, graph.add("Add", inner, root)))
    logarithm = graph.add("Add", logarithm, graph.add("Where", large, number(np.log(2)), number(0)))
    below = graph.add("Less", given, number(1))
    graph.add("Where", below, number(np.nan), logarithm, to=node.output[0])


def _periodic(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE's loses digits far from 0: whole turns are subtracted here, in parts whose products are exact."""
    (given,) = node.input
    if graph.type_of(given) != TensorProto.FLOAT:
        return False
    number = graph.numbers_like(given)
    turns = graph.add("Round", graph.add("Mul", given, number(1 / _TURN)))
    rest, left = given, _TURN
    for bits in (10, 10, 10):
        part = _leading_bits(left, bits)
        left -= part
        rest = graph.add("Sub", rest, graph.add("Mul", turns, number(part)))
    rest = graph.add("Sub", rest, graph.add("Mul", turns, number(left)))
    graph.add(node.op_type, rest, to=node.output[0])
    return None


def _leading_bits(value: float, bits: int) -> float:
    scale = 2.0 ** (bits - 1 - np.floor(np.log2(value)))
    return float(np.floor(value * scale) / scale)


def _mod(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE rounds the quotient, so that a remainder just below the divisor becomes 0: only integers are exact."""
    if graph.type_of(node.input[0]) in FLOATS:
        raise UnusableError(
            f"{described(node)} takes the remainder of floating-point numbers (fmod=1), which the compiler computes "
            "from a rounded quotient: wrong by as much as the divisor. Take it on the host, or of integers"
        )
    return widened(graph, node)


def _softsign(graph: Graph, node: onnx.NodeProto) -> None:
    """IREE knows it only as version 22 defines it."""
    (given,) = node.input
    graph.add("Div", given, graph.add("Add", graph.numbers_like(given)(1), graph.add("Abs", given)), to=node.output[0])


def _shrink(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE lacks it for most types and attributes."""
    (given,), attributes = node.input, attributes_of(node)
    bias, limit = attributes.get("bias", 0.0), attributes.get("lambd", 0.5)
    if graph.type_of(given) not in FLOATS:
        return False
    number = graph.numbers_like(given)
    above = graph.add("Where", graph.add("Greater", given, number(limit)), graph.add("Sub", given, number(bias)), number(0))
    below = graph.add("Less", given, number(-limit))
    graph.add("Where", below, graph.add("Add", given, number(bias)), above, to=node.output[0])
    return None


def _matmul_of_vectors(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE multiplies no vector with a stack of matrices: a vector becomes a matrix of one row or one column."""
    left, right = node.input
    shapes = graph.shape_of(left), graph.shape_of(right)
    if None in shapes or 1 not in map(len, shapes) or max(map(len, shapes)) < 3:
        return False
    (first, second), squeezed = shapes, []
    if len(first) == 1:
        left, squeezed = graph.reshape(left, (1, *first)), [-2]
    if len(second) == 1:
        right, squeezed = graph.reshape(right, (*second, 1)), [*squeezed, -1]
    graph.add("Squeeze", graph.add("MatMul", left, right), graph.value(np.array(squeezed)), to=node.output[0])
    return None


def _average_pool(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE counts wrongly where windows stick out, and in 64 bits: sums are divided by constants here."""
    (given,) = node.input
    shape = graph.shape_of(given)
    attributes = attributes_of(node)
    if shape is None or graph.type_of(given) != TensorProto.FLOAT:
        return False
    kernel = attributes["kernel_shape"]
    window, places, beyond = onnx_windows.pooled(attributes, shape)
    if not any(window["pads"]) and not attributes.get("ceil_mode") and set(window["dilations"]) == {1}:
        return False
    axes = len(kernel)
    before, after = window["pads"][:axes], window["pads"][axes:]
    ends = [max(each, 0) for each in beyond]
    counted = np.zeros([before[axis] + shape[2 + axis] + max(ends[axis], after[axis]) for axis in range(axes)])
    inside = attributes.get("count_include_pad", 0)
    counted[
        tuple(
            slice(0, before[axis] + shape[2 + axis] + after[axis])
            if inside
            else slice(before[axis], before[axis] + shape[2 + axis])
            for axis in range(axes)
        )
    ] = 1
    counts = np.ones(places)
    for place in np.ndindex(*places):
        taken = tuple(
            slice(index * stride, index * stride + (size - 1) * dilation + 1, dilation)
            for index, stride, size, dilation in zip(place, window["strides"], kernel, window["dilations"], strict=True)
        )
        counts[place] = counted[taken].sum()
    pads = [0, 0, *before, 0, 0, *ends]
    padded = graph.add("Pad", given, graph.value(np.array(pads, np.int64)))
    options = {"kernel_shape": kernel, "strides": window["strides"], "dilations": window["dilations"]}
    if axes > _MOST_GROUPED_AXES:
        lengths = [shape[2 + axis] + before[axis] + ends[axis] for axis in range(axes)]
        images = graph.reshape(padded, (shape[0] * shape[1], 1, *lengths))
        sums = graph.add("Conv", images, graph.value(np.ones((1, 1, *kernel), np.float32)), **options)
        sums = graph.reshape(sums, (*shape[:2], *places))
    else:
        ones = np.ones((shape[1], 1, *kernel), np.float32)
        sums = graph.add("Conv", padded, graph.value(ones), group=shape[1], **options)
    # One rounding: a mean of quantised values lies on a half of their grid now and then.
    graph.add("Div", sums, graph.value(np.maximum(counts, 1).astype(np.float32)), to=node.output[0])
    return None


def _grouped_convolution(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE has groups along two axes at most: each group by itself, then joined."""
    attributes = attributes_of(node)
    group, shape = attributes.pop("group", 1), graph.shape_of(node.input[0])
    if group == 1 or shape is None or len(shape) - 2 <= _MOST_GROUPED_AXES:
        return False
    made = []
    for number in range(group):
        inputs = []
        for name, axis in zip(node.input, (1, 0, 0), strict=False):
            size = graph.shape_of(name)[axis] // group
            ends = (graph.value(np.array([each * size])) for each in (number, number + 1))
            inputs.append(graph.add("Slice", name, *ends, graph.value(np.array([axis]))))
        made.append(graph.add("Conv", *inputs, **attributes))
    graph.add("Concat", *made, axis=1, to=node.output[0])
    return None


def _max_pool(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE counts windows that begin in the padding in ceil_mode, and places within each channel's own image; it fills
    up integers with 0 where pads differ from side to side, and float16 with numbers that it lacks.

    Paddings up to the last window say what is meant; the places of the images' beginnings are added.
    """
    attributes, given = attributes_of(node), node.input[0]
    shape, kind = graph.shape_of(given), graph.type_of(given)
    if shape is None:
        return widened(graph, node)
    window, _, beyond = onnx_windows.pooled(attributes, shape)
    axes = len(beyond)
    before, after = window["pads"][:axes], window["pads"][axes:]
    if attributes.pop("ceil_mode", 0):
        after = tuple(max(each, 0) for each in beyond)
        attributes |= {"pads": [*before, *after], "auto_pad": b"NOTSET"}
    has_places = len(node.output) > 1 and node.output[1]
    by_columns = attributes.pop("storage_order", 0)
    as_float = kind == TensorProto.FLOAT16 and any((*before, *after))
    as_float |= kind == TensorProto.INT8 and axes > _MOST_INTEGER_AXES
    as_float |= bool(has_places) and kind != TensorProto.FLOAT
    given = graph.cast(given, TensorProto.FLOAT) if as_float else given
    lengths = [start + length + end for start, length, end in zip(before, shape[2:], after, strict=True)]
    if any((*before, *after)) if has_places else kind == TensorProto.INT8 and before != after:
        ends = graph.value(np.array([0, 0, *before, 0, 0, *after], np.int64))
        lowest = -np.inf if kind in FLOATS else np.iinfo(onnx.helper.tensor_dtype_to_np_dtype(kind)).min - as_float
        given = graph.add("Pad", given, ends, graph.numbers_like(given)(lowest))
        attributes |= {"pads": [0] * (2 * axes), "auto_pad": b"NOTSET"}
    outputs = [f"{node.output[0]}_wide" if as_float else node.output[0]]
    if has_places:
        outputs.append(f"{node.output[1]}_of_its_image")
        graph.declare_like(outputs[1], node.output[1])
    made = onnx.helper.make_node("MaxPool", [given], outputs, name=node.name, **attributes)
    if as_float or widened(graph, made) is False:
        graph.keep(made)
    if as_float:
        rounded = graph.cast(outputs[0], TensorProto.INT32) if kind == TensorProto.UINT8 else outputs[0]
        graph.cast(rounded, kind, to=node.output[0])
    if has_places:
        images = np.arange(shape[0] * shape[1], dtype=np.int64) * int(np.prod(shape[2:]))
        first = graph.value(images.reshape(*shape[:2], *[1] * (len(shape) - 2)))
        place = _place(graph, outputs[1], lengths, before, shape[2:], by_columns)
        graph.add("Add", place, first, to=node.output[1])
    return None


def _place(
    graph: Graph, name: str, padded: Sequence[int], before: Sequence[int], lengths: Sequence[int], by_columns: int
) -> str:
    """Places within an image, counted by rows or columns, of those within what it was padded to, counted by rows."""
    if list(padded) == list(lengths) and not by_columns:
        return name
    order = range(len(lengths)) if by_columns else range(len(lengths) - 1, -1, -1)
    factors, step = {}, 1
    for axis in order:
        factors[axis], step = step, step * lengths[axis]
    total, left = graph.value(np.int64(-sum(start * factors[axis] for axis, start in enumerate(before)))), name
    for axis in range(len(lengths) - 1, -1, -1):
        length = graph.value(np.int64(padded[axis]))
        own = graph.add("Mod", left, length)
        total = graph.add("Add", graph.add("Mul", own, graph.value(np.int64(factors[axis]))), total)
        left = graph.add("Div", left, length)
    return total


REWRITINGS = {
    "Acosh": _acosh,
    "Asinh": _asinh,
    "AveragePool": _average_pool,
    "Conv": _grouped_convolution,
    "Cos": _periodic,
    "Cosh": _hyperbolic,
    "GRU": onnx_recurrent.rewritten,
    "Gelu": _gelu,
    "LSTM": onnx_recurrent.rewritten,
    "MatMul": _matmul_of_vectors,
    "MaxPool": _max_pool,
    "Mod": _mod,
    "Pow": _pow,
    "RNN": onnx_recurrent.rewritten,
    "Shrink": _shrink,
    "Sin": _periodic,
    "Sinh": _hyperbolic,
    "Softsign": _softsign,
    "Swish": _swish,
    "Tan": _periodic,
}
