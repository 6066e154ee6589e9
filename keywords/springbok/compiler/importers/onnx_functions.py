# SPDX-License-Identifier: Apache-2.0
"""Operators that IREE expands wrongly or not at all, for `springbok.compiler.importers.onnx_rewriting`.

Each rewriting has its reason in a line. Numbers mean what IEEE 754 and C say, infinities and NaN included.
"""

from __future__ import annotations

import itertools

import numpy as np
import onnx
from onnx import TensorProto

from springbok.compiler.importers import onnx_recurrent, onnx_reference
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
#: Beyond it, exp(-x) is nothing beside exp(x), of every type of numbers.
_ROOTS_ALONE = 10.0
#: Determinants of matrices up to this size are written out; the number of products is its factorial.
_MOST_WRITTEN_OUT = 4


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
    graph.add(node.op_type, _without_turns(graph, given, _TURN, (10, 10, 10))[1], to=node.output[0])
    return None


def _tangent(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE's loses digits near its poles, too: whole quarters of a turn are subtracted, every other one turns it."""
    (given,) = node.input
    if graph.type_of(given) != TensorProto.FLOAT:
        return False
    number = graph.numbers_like(given)
    quarters, rest = _without_turns(graph, given, _TURN / 4, (8, 8, 8, 8))
    pairs = graph.add("Round", graph.add("Mul", quarters, number(0.5)))
    left = graph.add("Abs", graph.add("Sub", quarters, graph.add("Mul", pairs, number(2))))
    tangent = graph.add("Tan", rest)
    turned = graph.add("Neg", graph.add("Reciprocal", tangent))
    graph.add("Where", graph.add("Greater", left, number(0.5)), turned, tangent, to=node.output[0])
    return None


def _without_turns(graph: Graph, given: str, turn: float, parts: tuple[int, ...]) -> tuple[str, str]:
    """How many whole ``turn`` the numbers hold, and what is left; subtracted in ``parts`` of so many bits."""
    number = graph.numbers_like(given)
    turns = graph.add("Round", graph.add("Mul", given, number(1 / turn)))
    rest, left = given, turn
    for bits in parts:
        part = _leading_bits(left, bits)
        left -= part
        rest = graph.add("Sub", rest, graph.add("Mul", turns, number(part)))
    return turns, graph.add("Sub", rest, graph.add("Mul", turns, number(left)))


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
    above = graph.add(
        "Where", graph.add("Greater", given, number(limit)), graph.add("Sub", given, number(bias)), number(0)
    )
    below = graph.add("Less", given, number(-limit))
    graph.add("Where", below, graph.add("Add", given, number(bias)), above, to=node.output[0])
    return None


def _window(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE lacks them: of a known size they are constants."""
    size = graph.constant(node.input[0])
    if size is None:
        return False
    made = onnx.helper.make_graph(
        [node],
        "window",
        [onnx.helper.make_tensor_value_info(node.input[0], graph.type_of(node.input[0]), ())],
        [onnx.helper.make_tensor_value_info(node.output[0], graph.declared_type(node.output[0]), None)],
    )
    model = onnx.helper.make_model(made, opset_imports=[onnx.helper.make_opsetid("", graph.version)])
    (values,) = onnx_reference.evaluator(model).run(None, {node.input[0]: size.reshape(())})
    graph.add("Identity", graph.value(values), to=node.output[0])
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


def _determinant(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE takes no pivots, so that it is NaN where one is 0, and one stack of matrices only."""
    (given,) = node.input
    shape = graph.shape_of(given)
    if shape is None:
        return False
    *stack, _, size = shape
    if size > _MOST_WRITTEN_OUT:
        raise UnusableError(
            f"{described(node)} takes determinants of {size} x {size}, which the compiler does without pivots, so that "
            f"they are NaN where one is 0: take those beyond {_MOST_WRITTEN_OUT} x {_MOST_WRITTEN_OUT} on the host"
        )
    orders = np.array(list(itertools.permutations(range(size))))
    swapped = [sum(one > other for one, other in itertools.combinations(order, 2)) for order in orders]
    elements = graph.reshape(given, (*stack, size * size))
    product = graph.numbers_like(given)(np.where(np.array(swapped) % 2, -1, 1))
    for row, columns in enumerate(orders.T):
        product = graph.add("Mul", product, graph.add("Gather", elements, graph.value(row * size + columns), axis=-1))
    graph.add("ReduceSum", product, graph.value(np.array([-1])), keepdims=0, to=node.output[0])
    return None


REWRITINGS = {
    "Acosh": _acosh,
    "Asinh": _asinh,
    "Cos": _periodic,
    "Cosh": _hyperbolic,
    "Det": _determinant,
    "GRU": onnx_recurrent.rewritten,
    "Gelu": _gelu,
    "LSTM": onnx_recurrent.rewritten,
    "MatMul": _matmul_of_vectors,
    "Mod": _mod,
    "Pow": _pow,
    "RNN": onnx_recurrent.rewritten,
    "Shrink": _shrink,
    "Sin": _periodic,
    "Sinh": _hyperbolic,
    "Softsign": _softsign,
    "Swish": _swish,
    "Tan": _tangent,
    **dict.fromkeys(("BlackmanWindow", "HammingWindow", "HannWindow"), _window),
}
