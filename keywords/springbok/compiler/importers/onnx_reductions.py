# SPDX-License-Identifier: Apache-2.0
"""Reductions and normalisations that IREE lacks or takes otherwise, for `springbok.compiler.importers.onnx_rewriting`.

Each rewriting has its reason in a line.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto

from springbok.compiler.importers.onnx_rewriting import FLOATS, Graph, attributes_of


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


def _lp_normalization(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE divides zeros by their length."""
    (given,) = node.input
    shape, attributes = graph.shape_of(given), attributes_of(node)
    if shape is None:
        return False
    number = graph.numbers_like(given)
    reduction = "ReduceL1" if attributes.get("p", 2) == 1 else "ReduceL2"
    length = _reduced(graph, reduction, given, [attributes.get("axis", -1) % len(shape)], 1)
    divisor = graph.add("Where", graph.add("Equal", length, number(0)), number(1), length)
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


REWRITINGS = {
    "ArgMax": _argument("ReduceMax"),
    "ArgMin": _argument("ReduceMin"),
    "GlobalLpPool": _global_lp_pool,
    "GroupNormalization": _group_normalization,
    "LpNormalization": _lp_normalization,
    "ReduceLogSumExp": _log_sum_exp,
}
