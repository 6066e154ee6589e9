# SPDX-License-Identifier: Apache-2.0
"""Reductions and normalisations that IREE lacks or takes otherwise, for `springbok.compiler.importers.onnx_rewriting`.

Each rewriting has its reason in a line.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto

from springbok.compiler.importers.onnx_rewriting import FLOATS, Graph, attributes_of, described
from springbok.compiler.importers.worker import UnusableError


def _argument(reduction: str):
    def rewriting(graph: Graph, node: onnx.NodeProto) -> bool | None:
        """IREE's code for x86 takes another element than the first along an axis that is not the last one."""
        (given,) = node.input
        shape = graph.shape_of(given)
        if shape is None or graph.type_of(given) not in (TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT8):
            return False
        attributes = attributes_of(node)
        axis = attributes.get("axis", 0) % max(len(shape), 1)
        if axis == len(shape) - 1 or not shape:
            return False
        last = attributes.get("select_last_index", 0)
        lengths = [1] * len(shape)
        lengths[axis] = shape[axis]
        places = graph.value(np.arange(shape[axis], dtype=np.int32).reshape(lengths))
        beyond = graph.value(np.int32(-1 if last else shape[axis]))
        best = _reduced(graph, reduction, given, [axis], 1)
        found = graph.add("Where", graph.add("Equal", given, best), places, beyond)
        found = _reduced(graph, "ReduceMax" if last else "ReduceMin", found, [axis], attributes.get("keepdims", 1))
        graph.cast(found, TensorProto.INT64, to=node.output[0])
        return None

    return rewriting


def _reduced(graph: Graph, operator: str, name: str, axes: Sequence[int], keepdims: int) -> str:
    if not axes:  # of a scalar
        return graph.add("Identity", name)
    if graph.version >= (13 if operator == "ReduceSum" else 18):
        return graph.add(operator, name, graph.value(np.array(axes, np.int64)), keepdims=keepdims)
    return graph.add(operator, name, axes=list(axes), keepdims=keepdims)


def _log_sum_exp(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE's overflows beyond 88: the largest is subtracted before, and added behind."""
    attributes = attributes_of(node)
    given, *rest = node.input
    shape = graph.shape_of(given)
    axes = graph.constant(rest[0]) if rest and rest[0] else np.array(attributes.get("axes", ()), np.int64)
    if shape is None or axes is None or graph.type_of(given) not in FLOATS:
        return False
    if not axes.size and attributes.get("noop_with_empty_axes"):
        return False
    axes = sorted(int(axis) % len(shape) for axis in axes) or range(len(shape))
    number = graph.numbers_like(given)
    most = _reduced(graph, "ReduceMax", given, axes, 1)
    most = graph.add("Where", graph.add("Equal", graph.add("Abs", most), number(np.inf)), number(0), most)
    sums = _reduced(graph, "ReduceSum", graph.add("Exp", graph.add("Sub", given, most)), axes, 1)
    result = graph.add("Add", graph.add("Log", sums), most)
    keeps = attributes.get("keepdims", 1)
    lengths = [1 if axis in axes else length for axis, length in enumerate(shape) if keeps or axis not in axes]
    graph.reshape(result, lengths, to=node.output[0])
    return None


def _mean(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE has means of floating-point numbers only; those of integers lose their fraction."""
    kind, attributes = graph.declared_type(node.input[0]), attributes_of(node)
    given, *rest = node.input
    shape = graph.shape_of(given)
    axes = graph.constant(rest[0]) if rest and rest[0] else np.array(attributes.get("axes", ()), np.int64)
    if kind in FLOATS or kind == TensorProto.UINT64 or shape is None or axes is None:
        return False
    if not axes.size and attributes.get("noop_with_empty_axes"):
        return False
    axes = [int(axis) % len(shape) for axis in axes] or list(range(len(shape)))
    sums = _reduced(graph, "ReduceSum", graph.cast(given, TensorProto.INT64), axes, attributes.get("keepdims", 1))
    count = graph.value(np.int64(np.prod([shape[axis] for axis in axes])))
    graph.cast(graph.add("Div", sums, count), kind, to=node.output[0])
    return None


_OF_ONE = {"ReduceL2": "Abs", "ReduceLogSum": "Log"}


def _of_one(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE takes roots and logarithms of floating-point numbers only, and crashes where a single one is added up."""
    if graph.declared_type(node.input[0]) not in FLOATS:
        raise UnusableError(
            f"{described(node)} takes a square root or a logarithm of integers: cast them to float32 before"
        )
    shape, made = graph.shape_of(node.input[0]), graph.shape_of(node.output[0])
    if shape is None or made is None or np.prod(shape) != np.prod(made):
        return False
    graph.reshape(graph.add(_OF_ONE[node.op_type], node.input[0]), made, to=node.output[0])
    return None


def _lp_normalization(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE divides zeros by their length, and squares of float16 soon are 0."""
    (given,), kind = node.input, graph.type_of(node.input[0])
    shape, attributes = graph.shape_of(given), attributes_of(node)
    if shape is None:
        return False
    if kind == TensorProto.FLOAT16:
        given = graph.cast(given, TensorProto.FLOAT)
    number = graph.numbers_like(given)
    reduction = "ReduceL1" if attributes.get("p", 2) == 1 else "ReduceL2"
    axis = attributes.get("axis", -1) % len(shape)
    length = graph.add("Abs", given) if shape[axis] == 1 else _reduced(graph, reduction, given, [axis], 1)
    divisor = graph.add("Where", graph.add("Equal", length, number(0)), number(1), length)
    if kind == TensorProto.FLOAT16:
        graph.cast(graph.add("Div", given, divisor), kind, to=node.output[0])
    else:
        graph.add("Div", given, divisor, to=node.output[0])
    return None


def _global_lp_pool(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE lacks it: it is a norm along the axes of an image."""
    (given,) = node.input
    shape, power = graph.shape_of(given), attributes_of(node).get("p", 2)
    if shape is None:
        return False
    axes, number = range(2, len(shape)), graph.numbers_like(given)
    if power in (1, 2):
        made = _reduced(graph, f"ReduceL{power}", given, axes, 1)
    else:  # of sizes that are at most 1, whose powers are numbers
        size = graph.add("Abs", given)
        most = _reduced(graph, "ReduceMax", size, axes, 1)
        divisor = graph.add("Where", graph.add("Equal", most, number(0)), number(1), most)
        powers = graph.add("Pow", graph.add("Div", size, divisor), number(power))
        sums = _reduced(graph, "ReduceSum", powers, axes, 1)
        made = graph.add("Mul", graph.add("Pow", sums, number(1 / power)), most)
    graph.add("Identity", made, to=node.output[0])
    return None


def _group_normalization(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE lacks it: each group is normalised as if it were a channel."""
    given, scale, bias = node.input
    shape, attributes = graph.shape_of(given), attributes_of(node)
    if shape is None:
        return False
    number, groups = graph.numbers_like(given), attributes["num_groups"]
    ones, zeros = (graph.value(np.full(groups, each, graph.constant(number(0)).dtype)) for each in (1, 0))
    parts = graph.reshape(given, (shape[0], groups, -1))
    parts = graph.add("InstanceNormalization", parts, ones, zeros, epsilon=attributes.get("epsilon", 1e-5))
    parts = graph.reshape(parts, (*shape[:2], -1))
    scale, bias = (graph.reshape(name, (1, shape[1], 1)) for name in (scale, bias))
    graph.reshape(graph.add("Add", graph.add("Mul", parts, scale), bias), shape, to=node.output[0])
    return None


def _cumulative_sum(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE's without the element itself is the sum with it less the element: digits go, and infinities become NaN."""
    (given, axis), attributes = node.input, attributes_of(node)
    shape, known = graph.shape_of(given), graph.constant(axis)
    if not attributes.pop("exclusive", 0) or shape is None or known is None or graph.type_of(given) not in FLOATS:
        return False
    axis = int(known.reshape(())) % len(shape)
    backwards, count = attributes.get("reverse", 0), shape[axis] - 1
    dtype = onnx.helper.tensor_dtype_to_np_dtype(graph.type_of(given))
    zeros = graph.value(np.zeros([1 if each == axis else n for each, n in enumerate(shape)], dtype))
    if not count:
        graph.add("Identity", zeros, to=node.output[0])
        return None
    first, last, along = (graph.value(np.array([n])) for n in (backwards, backwards + count, axis))
    others = graph.add("Slice", given, first, last, along)
    shifted = graph.add("Concat", *((others, zeros) if backwards else (zeros, others)), axis=axis)
    graph.add("CumSum", shifted, node.input[1], to=node.output[0], **attributes)
    return None


REWRITINGS = {
    "ArgMax": _argument("ReduceMax"),
    "ArgMin": _argument("ReduceMin"),
    "CumSum": _cumulative_sum,
    "GlobalLpPool": _global_lp_pool,
    "GroupNormalization": _group_normalization,
    "LpNormalization": _lp_normalization,
    "ReduceLogSumExp": _log_sum_exp,
    "ReduceMean": _mean,
    **dict.fromkeys(_OF_ONE, _of_one),
}
