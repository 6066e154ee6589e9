# SPDX-License-Identifier: Apache-2.0
"""Quantised ONNX operators as integer arithmetic, for `springbok.compiler.importers.onnx_rewriting`.

Both ways of writing a quantised model are understood: operators that take scales (QLinearConv, QLinearMatMul, …), and
pairs of QuantizeLinear and DequantizeLinear around floating-point ones (QDQ). A convolution or product of dequantised
values becomes one of integers, whose sums are exact, and is scaled after it. Everything else between the pairs stays
floating-point, as ONNX defines it.

Rounding is that of the specification: a quotient to the nearest integer, halves to the even one; then the zero point
is added, and what lies outside becomes the first or last value.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto

from springbok.compiler.importers import onnx_windows
from springbok.compiler.importers.onnx_rewriting import PACKED, Graph, attributes_of, described
from springbok.compiler.importers.worker import UnusableError

#: Types of quantised values, with the first and the last one.
_RANGES = {
    TensorProto.INT8: (-128, 127),
    TensorProto.UINT8: (0, 255),
    TensorProto.INT16: (-32768, 32767),
    TensorProto.UINT16: (0, 65535),
    TensorProto.INT4: (-8, 7),
    TensorProto.UINT4: (0, 15),
    TensorProto.INT2: (-2, 1),
    TensorProto.UINT2: (0, 3),
}
_SMALL = (TensorProto.INT8, TensorProto.UINT8)


@dataclass(frozen=True)
class Quantised:
    """A dequantised value: its integers are ``name``, with constant scales and zero points along ``axis``."""

    name: str
    scale: np.ndarray
    zero: np.ndarray
    axis: int

    @property
    def is_per_tensor(self) -> bool:
        """Whether it has one scale and one zero point."""
        return self.scale.size == self.zero.size == 1


def dequantised(graph: Graph, name: str) -> Quantised | None:
    """What a DequantizeLinear with constant parameters gives as ``name``; None if it is anything else."""
    node = graph.producer(name)
    if node is None or node.op_type != "DequantizeLinear":
        return None
    attributes = attributes_of(node)
    scale = graph.constant(node.input[1])
    given = node.input[2] if len(node.input) > 2 else ""
    zero = graph.constant(given) if given else np.zeros((), np.int32)
    if scale is None or zero is None or scale.dtype != np.float32 or attributes.get("block_size"):
        return None
    return Quantised(node.input[0], scale, zero.astype(np.int64), attributes.get("axis", 1))


def dequantised_constant(graph: Graph, name: str) -> np.ndarray | None:
    """The value of a floating-point constant, which may be dequantised; None for what is computed."""
    own = dequantised(graph, name)
    array = graph.constant(own.name if own else name)
    if own is None or array is None:
        return array
    along = [1] * array.ndim
    if not own.is_per_tensor:
        along[own.axis] = -1
    zero, scale = (each.reshape(along if each.size > 1 else ()) for each in (own.zero, own.scale))
    return (array.astype(np.int64) - zero).astype(np.float32) * scale


def scale_of(graph: Graph, name: str) -> tuple[float, int] | None:
    """The scale and the zero point that a quantised value is given with or read with; None where there is no one."""
    node = graph.producer(name)
    while node is not None and node.op_type in _MOVING:
        name = node.input[0]
        node = graph.producer(name)
    places = {"QuantizeLinear": (1, 2), "QLinearConv": (6, 7), "QLinearMatMul": (6, 7)}
    if node is None or node.op_type not in places:
        return None
    return _scale_and_zero(graph, node, *places[node.op_type])


def scale_read(graph: Graph, name: str, readers: list[onnx.NodeProto]) -> tuple[float, int] | None:
    """The scale and the zero point with which all its readers take a quantised input; None where they have no one."""
    found = set()
    for node in readers:
        places = {"DequantizeLinear": {0: (1, 2)}, "QLinearConv": {0: (1, 2)}, "QLinearMatMul": {0: (1, 2), 3: (4, 5)}}
        for number, read in enumerate(node.input):
            if read == name:
                place = places.get(node.op_type, {}).get(number)
                found.add(_scale_and_zero(graph, node, *place) if place else None)
    return found.pop() if len(found) == 1 else None


#: Operations that move values and leave them what they are.
_MOVING = ("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "MaxPool", "Slice", "Gather")


#: Operations into a narrow range, by the names of `TensorSpec.behind`.
_SQUASHING = {"Softmax": "softmax", "Sigmoid": "sigmoid", "Tanh": "tanh"}


def _scale_and_zero(graph: Graph, node: onnx.NodeProto, scale: int, zero: int) -> tuple[float, int] | None:
    scales = graph.constant(node.input[scale])
    zeros = graph.constant(node.input[zero]) if len(node.input) > zero and node.input[zero] else np.zeros(1)
    if scales is None or zeros is None or scales.size != 1 or zeros.size != 1:
        return None
    return float(scales.reshape(())), int(zeros.reshape(()))


def step_of(graph: Graph, name: str) -> float | None:
    """How far one step of a quantised value inside the model can move the floating-point value ``name``, at most.

    None where nothing is quantised, or only what is given to the model, which is rounded alike everywhere.
    """
    found, pending, seen = 0.0, [(name, 1.0)], {}
    while pending:
        name, gain = pending.pop()
        node = graph.producer(name)
        if node is None or graph.constant(name) is not None or seen.get(name, 0.0) >= gain:
            continue
        seen[name] = gain
        if node.op_type == "DequantizeLinear":
            if _is_computed(graph, node.input[0]):
                scales = graph.constant(node.input[1])
                found = max(found, gain * float(np.max(scales))) if scales is not None else found
            continue
        values = [each for each in node.input if each]
        weights = [size for each in values if (size := _largest(graph, each)) is not None]
        if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul", "Mul") and weights:
            gain *= weights[0]
        pending += [(each, gain) for each in values]
    return found or None


def behind(graph: Graph, name: str) -> str | None:
    """The function that makes the value ``name`` of what one step moves, where it is one of `_SQUASHING`."""
    node = graph.producer(name)
    while node is not None and node.op_type in _MOVING:
        node = graph.producer(node.input[0])
    return _SQUASHING.get(node.op_type) if node is not None else None


def rounded_behind(graph: Graph, name: str) -> tuple[str, float] | None:
    """The function whose result is rounded to what is read as ``name``, and the step of what comes into it."""
    node = graph.producer(name)
    while node is not None and node.op_type in ("DequantizeLinear", "QuantizeLinear", *_MOVING):
        name = node.input[0]
        node = graph.producer(name)
    step = step_of(graph, node.input[0]) if node is not None and node.op_type in _SQUASHING else None
    return (_SQUASHING[node.op_type], step) if step else None


def _is_computed(graph: Graph, name: str) -> bool:
    """Whether quantised values are of something that the model computes."""
    node = graph.producer(name)
    while node is not None and node.op_type in ("QuantizeLinear", *_MOVING):
        name = node.input[0]
        node = graph.producer(name)
    return node is not None and graph.constant(name) is None


def _largest(graph: Graph, name: str) -> float | None:
    """The largest magnitude of a constant, which may be dequantised."""
    own = dequantised(graph, name)
    array = graph.constant(own.name if own else name)
    if array is None or not array.size:
        return None
    if own is None:
        return float(np.abs(array.astype(np.float64)).max())
    zero = own.zero if own.zero.size == 1 else own.zero.min()
    return float(np.abs(array.astype(np.float64) - zero).max() * np.max(own.scale))


# The operators. Each rewriting returns False where it leaves a node as it is.


def _quantize(graph: Graph, node: onnx.NodeProto) -> None:
    attributes = attributes_of(node)
    given, scale = node.input[:2]
    zero = node.input[2] if len(node.input) > 2 else ""
    wanted = graph.type_of(node.output[0])
    _check_type(node, wanted)
    precision = attributes.get("precision") or TensorProto.FLOAT
    if precision != TensorProto.FLOAT:
        raise UnusableError(f"{described(node)} divides with another precision than float32: leave 'precision' away")
    if graph.type_of(given) not in (TensorProto.FLOAT, TensorProto.FLOAT16):
        given = graph.cast(given, TensorProto.FLOAT)
    if graph.type_of(scale) != graph.type_of(given) and graph.type_of(scale):
        scale = graph.cast(scale, TensorProto.FLOAT)
    scale, zero = (_spread(graph, node, each, given_shape=node.input[0]) for each in (scale, zero))
    parts = [graph.constant(each) if each else np.zeros((), np.int64) for each in (given, scale, zero)]
    if all(part is not None for part in parts) and wanted not in PACKED:
        kind = onnx.helper.tensor_dtype_to_np_dtype(wanted)
        rounded = np.rint(parts[0] / parts[1]).astype(np.float64) + parts[2].astype(np.int64)
        graph.fold(node.output[0], np.clip(rounded, *_RANGES[wanted]).astype(kind))
        return
    quotient = graph.add("Div", given, scale)
    if graph.type_of(given) == TensorProto.FLOAT16:
        quotient = graph.cast(quotient, TensorProto.FLOAT)
    _to_integers(graph, quotient, zero, wanted, node.output[0])


def _to_integers(graph: Graph, real: str, zero: str, wanted: int, to: str) -> None:
    """Rounds float32 values and makes them integers of the type ``wanted``."""
    low, high = _RANGES[wanted]
    rounded = graph.add("Round", real)
    if zero and not _is_zero(graph, zero):
        rounded = graph.add("Add", rounded, graph.cast(zero, TensorProto.FLOAT))
    limits = [graph.value(np.float32(limit)) for limit in (low, high)]
    inside = graph.add("Clip", rounded, *limits)
    wide = graph.cast(inside, TensorProto.INT32)  # IREE converts to signed integers only
    graph.cast(wide, PACKED.get(wanted, wanted), to=to)


def _dequantize(graph: Graph, node: onnx.NodeProto) -> None:
    given, scale = node.input[:2]
    zero = node.input[2] if len(node.input) > 2 else ""
    if graph.type_of(given) != TensorProto.INT32:
        _check_type(node, graph.type_of(given))
    scale, zero = (_spread(graph, node, each, given_shape=given) for each in (scale, zero))
    parts = [graph.constant(each) if each else np.zeros((), np.int32) for each in (given, scale, zero)]
    if all(part is not None for part in parts):
        real = (parts[0].astype(np.int32) - parts[2].astype(np.int32)).astype(np.float32) * parts[1]
        wanted = graph.type_of(node.output[0]) or TensorProto.FLOAT
        graph.fold(node.output[0], real.astype(onnx.helper.tensor_dtype_to_np_dtype(wanted)))
        return
    values = given
    if zero and not _is_zero(graph, zero):
        values = graph.add("Sub", graph.cast(given, TensorProto.INT32), graph.cast(zero, TensorProto.INT32))
    wanted = graph.type_of(node.output[0]) or TensorProto.FLOAT
    if graph.type_of(scale) not in (TensorProto.FLOAT, 0):
        scale = graph.cast(scale, TensorProto.FLOAT)
    real = graph.cast(values, TensorProto.FLOAT)
    if wanted == TensorProto.FLOAT:
        graph.add("Mul", real, scale, to=node.output[0])
    else:
        graph.cast(graph.add("Mul", real, scale), wanted, to=node.output[0])


def _check_type(node: onnx.NodeProto, elem_type: int) -> None:
    if elem_type not in _RANGES:
        name = TensorProto.DataType.Name(elem_type).lower()
        raise UnusableError(
            f"{described(node)} quantises to {name}, which the chip has no arithmetic for: quantise to int8 or uint8"
        )


def _spread(graph: Graph, node: onnx.NodeProto, name: str, given_shape: str) -> str:
    """A scale or zero point of QuantizeLinear or DequantizeLinear in a shape that fits its data."""
    shape = graph.shape_of(name) if name else ()
    if not name or shape == ():
        return name
    attributes = attributes_of(node)
    axis, block = attributes.get("axis", 1), attributes.get("block_size", 0)
    rank = graph.rank_of(given_shape)
    if shape is not None and math.prod(shape) == 1:
        return graph.reshape(name, ())
    if block:
        array, data = graph.constant(name), graph.shape_of(given_shape)
        if array is None or data is None:
            raise UnusableError(f"{described(node)} has scales of blocks that are computed: make them constants")
        lengths = [slice(None)] * rank
        lengths[axis] = slice(data[axis])
        return graph.value(array.repeat(block, axis)[tuple(lengths)])
    lengths = [1] * rank
    lengths[axis] = -1
    return graph.reshape(name, lengths)


def _is_zero(graph: Graph, name: str) -> bool:
    array = graph.constant(name)
    return array is not None and not array.any()


def _dynamic_quantize(graph: Graph, node: onnx.NodeProto) -> None:
    (given,) = node.input
    zero, one, steps = (graph.value(np.float32(value)) for value in (0, 1, 255))
    most = graph.add("Max", graph.add("ReduceMax", given, keepdims=0), zero)
    least = graph.add("Min", graph.add("ReduceMin", given, keepdims=0), zero)
    extent = graph.add("Sub", most, least)
    extent = graph.add("Where", graph.add("Equal", extent, zero), one, extent)
    outputs = [*node.output, "", ""][:3]
    scale = graph.add("Div", extent, steps, to=outputs[1] or None)
    offset = graph.add("Sub", zero, graph.add("Div", least, scale))
    offset = graph.add("Round", graph.add("Clip", offset, zero, steps))
    _to_integers(graph, graph.add("Div", given, scale), offset, TensorProto.UINT8, outputs[0])
    if outputs[2]:
        graph.cast(graph.cast(offset, TensorProto.INT32), TensorProto.UINT8, to=outputs[2])


def _qlinear_conv(graph: Graph, node: onnx.NodeProto) -> None:
    given, given_scale, given_zero, weights, weight_scale, weight_zero, scale, zero = node.input[:8]
    bias = node.input[8] if len(node.input) > 8 else ""
    sums = _convolution(graph, node, given, given_zero, weights, weight_zero)
    rank = graph.rank_of(given)
    if bias:
        sums = graph.add("Add", sums, graph.reshape(bias, [-1] + [1] * (rank - 2)))
    _requantise(graph, sums, [given_scale, _along_channels(graph, weight_scale, rank)], scale, zero, node.output[0])


def _along_channels(graph: Graph, name: str, rank: int) -> str:
    shape = graph.shape_of(name)
    if shape is not None and math.prod(shape) == 1:
        return graph.reshape(name, ())
    return graph.reshape(name, [-1] + [1] * (rank - 2))


def _requantise(graph: Graph, sums: str, factors: list[str], scale: str, zero: str, to: str) -> None:
    factors = [graph.cast(each, TensorProto.FLOAT) for each in factors]
    scale = graph.cast(scale, TensorProto.FLOAT)
    product = graph.apply("Mul", np.multiply, *factors)
    factor = graph.apply("Div", np.divide, product, graph.reshape(scale, ()) if _is_single(graph, scale) else scale)
    scaled = graph.add("Mul", graph.cast(sums, TensorProto.FLOAT), factor)
    zero = graph.reshape(zero, ()) if zero and _is_single(graph, zero) else zero
    _to_integers(graph, scaled, zero, graph.type_of(to), to)


def _is_single(graph: Graph, name: str) -> bool:
    shape = graph.shape_of(name)
    return shape is not None and math.prod(shape) == 1


def _qlinear_matmul(graph: Graph, node: onnx.NodeProto) -> None:
    left, left_scale, left_zero, right, right_scale, right_zero, scale, zero = node.input
    sums = _product(graph, node, left, left_zero, right, right_zero)
    left_scale = _by_rows(graph, left_scale)
    right_scale = graph.reshape(right_scale, ()) if _is_single(graph, right_scale) else right_scale
    _requantise(graph, sums, [left_scale, right_scale], scale, zero, node.output[0])


def _by_rows(graph: Graph, name: str) -> str:
    """A parameter of a product's left side: for all of it, or one a row."""
    shape = graph.shape_of(name)
    if shape is None or len(shape) > 1:
        return name
    return graph.reshape(name, () if math.prod(shape) == 1 else (-1, 1))


def _matmul_integer(graph: Graph, node: onnx.NodeProto) -> None:
    left, right, left_zero, right_zero = [*node.input, "", ""][:4]
    _product(graph, node, left, left_zero, right, right_zero, to=node.output[0])


def _conv_integer(graph: Graph, node: onnx.NodeProto) -> None:
    given, weights, given_zero, weight_zero = [*node.input, "", ""][:4]
    _convolution(graph, node, given, given_zero, weights, weight_zero, to=node.output[0])


def _conv(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """A convolution of dequantised values."""
    given, weights = (dequantised(graph, name) for name in node.input[:2])
    if given is None or weights is None or not given.is_per_tensor:
        return False
    if graph.type_of(given.name) not in _SMALL or graph.constant(weights.name) is None:
        return False
    rank = graph.rank_of(node.input[0])
    if not weights.is_per_tensor and weights.axis % rank != 0:
        return False
    if _signed_weights(graph.constant(weights.name), weights.zero, 0) is None:
        return False
    sums = _convolution(
        graph, node, given.name, graph.value(given.zero.reshape(())), weights.name, graph.value(weights.zero)
    )
    scale = (given.scale.reshape(-1) * weights.scale.reshape(-1)).astype(np.float32)
    _scaled(graph, sums, scale, node.input[2] if len(node.input) > 2 else "", [-1] + [1] * (rank - 2), node.output[0])
    return None


def _matmul(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """A product of dequantised values with weights."""
    return _dense(graph, node, node.input[0], node.input[1], "", transposed=False)


def _gemm(graph: Graph, node: onnx.NodeProto) -> bool | None:
    attributes = attributes_of(node)
    if attributes.get("transA") or attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0:
        return False
    bias = node.input[2] if len(node.input) > 2 else ""
    return _dense(graph, node, node.input[0], node.input[1], bias, transposed=bool(attributes.get("transB")))


def _dense(graph: Graph, node: onnx.NodeProto, left: str, right: str, bias: str, *, transposed: bool) -> bool | None:
    given, weights = dequantised(graph, left), dequantised(graph, right)
    if given is None or weights is None or not given.is_per_tensor or graph.type_of(given.name) not in _SMALL:
        return False
    array = graph.constant(weights.name)
    columns = 0 if transposed else 1
    if array is None or array.ndim != 2 or (not weights.is_per_tensor and weights.axis % 2 != columns):
        return False
    if transposed:
        array = array.T
    if _signed_weights(array, weights.zero, 1) is None:
        return False
    zeros = (graph.value(given.zero.reshape(())), graph.value(weights.zero))
    sums = _product(graph, node, given.name, zeros[0], graph.value(array), zeros[1])
    scale = (given.scale.reshape(-1) * weights.scale.reshape(-1)).astype(np.float32)
    _scaled(graph, sums, scale, bias, [-1], node.output[0])
    return None


def _scaled(graph: Graph, sums: str, scale: np.ndarray, bias: str, shape: list[int], to: str) -> None:
    """Sums as real numbers, with a bias that is of their own scale (then it is added before) or floating-point."""
    own = dequantised(graph, bias) if bias else None
    integers = graph.constant(own.name) if own else None
    if integers is not None and not own.zero.any() and np.allclose(own.scale, scale, rtol=1e-6, atol=0):
        # One number a channel, or, of a Gemm, what ONNX stretches over rows and columns as it is.
        integers = integers.reshape(shape) if integers.ndim == 1 else integers
        sums = graph.add("Add", sums, graph.value(integers.astype(np.int32)))
        bias = ""
    factor = graph.value(scale.reshape(shape) if scale.size > 1 else scale.reshape(()))
    real = graph.cast(sums, TensorProto.FLOAT)
    if not bias:
        graph.add("Mul", real, factor, to=to)
        return
    known = graph.shape_of(bias)
    if known is not None and len(known) == 1:
        bias = graph.reshape(bias, shape)
    graph.add("Add", graph.add("Mul", real, factor), bias, to=to)


# Sums of products of integers. IREE has them for 8-bit values in convolutions, with one zero point an operand.


def _convolution(
    graph: Graph,
    node: onnx.NodeProto,
    given: str,
    given_zero: str,
    weights: str,
    weight_zero: str,
    to: str | None = None,
) -> str:
    """The sums of a convolution of integers, int32."""
    shape, kernel = graph.shape_of(given), graph.shape_of(weights)
    if shape is None or kernel is None:
        raise UnusableError(f"{described(node)} has operands whose shape can't be told before it runs")
    attributes = onnx_windows.window(attributes_of(node), shape, kernel)
    array = graph.constant(weights)
    zero = graph.constant(weight_zero) if weight_zero else np.zeros((), np.int64)
    small = None if array is None or zero is None else _signed_weights(array, zero.astype(np.int64), 0)
    offset = graph.constant(given_zero) if given_zero else np.zeros((), np.int64)
    if small is None or offset is None or offset.size != 1 or len(shape) not in (3, 4):
        return _wide_convolution(graph, node, given, given_zero, weights, weight_zero, attributes, to)
    taken, shift = small
    kind = onnx.helper.tensor_dtype_to_np_dtype(graph.type_of(given))
    zeros = [graph.value(np.asarray(int(offset.reshape(())), kind)), graph.value(np.int8(shift))]
    axes = len(shape) - 2
    pads = _pads_read(attributes, shape)
    if pads[:axes] != pads[axes:]:  # IREE has as many zeros before as after: others are written out
        given = graph.add("Pad", given, graph.value(np.array([0, 0, *pads[:axes], 0, 0, *pads[axes:]])), zeros[0])
        shape = (*shape[:2], *map(sum, zip(shape[2:], pads[:axes], pads[axes:], strict=True)))
        pads = (0,) * (2 * axes)
    attributes["pads"] = pads
    if len(shape) == 4:
        return graph.add("ConvInteger", given, graph.value(taken), *zeros, to=to, **attributes)
    # A convolution along one axis is one of an image of height 1.
    image = graph.reshape(given, (*shape[:2], 1, shape[2]))
    (before, after) = attributes["pads"]
    attributes |= {"kernel_shape": (1, *attributes["kernel_shape"]), "pads": (0, before, 0, after)}
    attributes |= {name: (1, *attributes[name]) for name in ("strides", "dilations")}
    filters = graph.value(taken.reshape(*kernel[:2], 1, kernel[2]))
    sums = graph.add("ConvInteger", image, filters, *zeros, **attributes)
    return graph.add("Squeeze", sums, graph.value(np.array([2])), to=to)


def _pads_read(attributes: dict, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The pads, without those at the ends that strides leave unread: IREE's compiler fails with some of them."""
    axes = len(shape) - 2
    before, after = attributes["pads"][:axes], list(attributes["pads"][axes:])
    if tuple(before) == tuple(after):
        return attributes["pads"]
    for axis, size in enumerate(attributes["kernel_shape"]):
        reach = (size - 1) * attributes["dilations"][axis] + 1
        room = shape[2 + axis] + before[axis] + after[axis] - reach
        after[axis] = max(after[axis] - room % attributes["strides"][axis], 0)
    return (*before, *after)


def _signed_weights(array: np.ndarray, zero: np.ndarray, axis: int) -> tuple[np.ndarray, int] | None:
    """The weights as int8, and their one zero point; None if there are no such. ``axis`` is that of several ones."""
    wide = array.astype(np.int64)
    if zero.size == 1:
        offset = int(zero.reshape(()))
        if array.dtype == np.uint8:
            wide, offset = wide - 128, offset - 128
    else:
        lengths = [1] * array.ndim
        lengths[axis] = -1
        wide, offset = wide - zero.reshape(lengths), 0
    if wide.size and (wide.min() < -128 or wide.max() > 127 or not -128 <= offset <= 127):
        return None
    return wide.astype(np.int8), offset


def _wide_convolution(graph: Graph, node, given, given_zero, weights, weight_zero, attributes, to) -> str:
    values = _without_zero(graph, given, given_zero, None)
    rank = len(graph.shape_of(weights))
    filters = _without_zero(graph, weights, weight_zero, [-1] + [1] * (rank - 1))
    return graph.add("Conv", values, filters, to=to, **attributes)


def _without_zero(graph: Graph, name: str, zero: str, shape: list[int] | None) -> str:
    """Integers with their zero point subtracted, int32."""
    values = graph.cast(name, TensorProto.INT32)
    if not zero or _is_zero(graph, zero):
        return values
    if _is_single(graph, zero):
        zero = graph.reshape(zero, ())
    elif shape is not None and len(graph.shape_of(zero) or ()) == 1:
        zero = graph.reshape(zero, shape)
    return graph.apply("Sub", np.subtract, values, graph.cast(zero, TensorProto.INT32))


def _product(
    graph: Graph, node: onnx.NodeProto, left: str, left_zero: str, right: str, right_zero: str, to: str | None = None
) -> str:
    """The sums of a matrix product of integers, int32."""
    shape, array = graph.shape_of(left), graph.constant(right)
    zero = graph.constant(right_zero) if right_zero else np.zeros((), np.int64)
    offset = graph.constant(left_zero) if left_zero else np.zeros((), np.int64)
    small = None
    if array is not None and array.ndim == 2 and zero is not None:
        small = _signed_weights(array, zero.astype(np.int64), 1)
    if small is None or not shape or offset is None or offset.size != 1:
        values = _without_zero(graph, left, left_zero, [-1, 1])
        return graph.add("MatMul", values, _without_zero(graph, right, right_zero, None), to=to)
    # A product with weights is a convolution of images of one point.
    taken, shift = small
    kind = onnx.helper.tensor_dtype_to_np_dtype(graph.type_of(left))
    zeros = [graph.value(np.asarray(int(offset.reshape(())), kind)), graph.value(np.int8(shift))]
    inner, columns = array.shape
    points = graph.reshape(left, (math.prod(shape[:-1]), inner, 1, 1))
    filters = graph.value(np.ascontiguousarray(taken.T).reshape(columns, inner, 1, 1))
    sums = graph.add("ConvInteger", points, filters, *zeros, kernel_shape=(1, 1))
    return graph.reshape(sums, (*shape[:-1], columns), to=to)


REWRITINGS = {
    "Conv": _conv,
    "ConvInteger": _conv_integer,
    "DequantizeLinear": _dequantize,
    "DynamicQuantizeLinear": _dynamic_quantize,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "MatMulInteger": _matmul_integer,
    "QLinearConv": _qlinear_conv,
    "QLinearMatMul": _qlinear_matmul,
    "QuantizeLinear": _quantize,
}
