# SPDX-License-Identifier: Apache-2.0
"""Poolings, and convolutions of groups, for `springbok.compiler.importers.onnx_rewriting`.

Each rewriting has its reason in a line.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto

from springbok.compiler.importers import onnx_windows
from springbok.compiler.importers.onnx_integers import widened
from springbok.compiler.importers.onnx_rewriting import FLOATS, Graph, attributes_of

#: IREE pools integers along so many axes, and convolves groups.
_MOST_INTEGER_AXES = _MOST_GROUPED_AXES = 2


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


def _max_unpool(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE lacks it: values go to their places among zeros, which are counted through the whole tensor."""
    given, places, wanted = [*node.input, ""][:3]
    known = graph.constant(wanted) if wanted else None
    shape = graph.shape_of(node.output[0]) if known is None else known.tolist()
    if shape is None:
        return False
    zeros = graph.reshape(graph.numbers_like(given)(np.zeros(shape)), [-1])
    flat = graph.add("ScatterElements", zeros, graph.reshape(places, [-1]), graph.reshape(given, [-1]), axis=0)
    graph.reshape(flat, shape, to=node.output[0])
    return None


REWRITINGS = {
    "AveragePool": _average_pool,
    "Conv": _grouped_convolution,
    "MaxPool": _max_pool,
    "MaxUnpool": _max_unpool,
}
