# SPDX-License-Identifier: Apache-2.0
"""Operators that move elements, for `springbok.compiler.importers.onnx_rewriting`.

Each rewriting has its reason in a line. Where elements come from is computed here as far as it is known.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import TensorProto

from springbok.compiler.importers.onnx_rewriting import HELD_WIDE, Graph, attributes_of, described
from springbok.compiler.importers.worker import UnusableError

#: Types whose values IREE's scattering takes for signed ones.
_COMPARED_AS_SIGNED = (TensorProto.BOOL, TensorProto.UINT8)


def _slice(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE has no slices with negative steps: their elements are gathered. With steps, it wants axes."""
    given, *others = node.input
    parameters = [graph.constant(name) if name else None for name in others]
    shape = graph.shape_of(given)
    if len(others) < 4 or parameters[3] is None:
        return False
    if (parameters[3] > 0).all():
        if others[2]:
            return False
        axes = graph.value(np.arange(len(parameters[3]), dtype=parameters[3].dtype))
        graph.add("Slice", given, *others[:2], axes, others[3], to=node.output[0])
        return None
    starts, ends, axes, steps = parameters
    if shape is None or starts is None or ends is None:
        raise UnusableError(f"{described(node)} goes backwards between limits that are computed: make them constants")
    axes = range(len(starts)) if axes is None else axes
    taken = {
        int(axis) % len(shape): np.arange(shape[axis])[slice(int(start), int(end), int(step))]
        for start, end, axis, step in zip(starts, ends, axes, steps, strict=True)
    }
    # An end before the first element counts from the end for NumPy, too, unless it is beyond all.
    gathered(graph, given, taken, node.output[0])
    return None


def gathered(graph: Graph, name: str, taken: dict[int, np.ndarray], to: str) -> None:
    """Takes these elements along each axis that they are not all of in their order."""
    lengths = graph.shape_of(name)
    taken = {axis: places for axis, places in taken.items() if not np.array_equal(places, np.arange(lengths[axis]))}
    if not taken:
        graph.add("Identity", name, to=to)
    last = len(taken) - 1
    for number, (axis, places) in enumerate(taken.items()):
        indices = graph.value(np.asarray(places, np.int64))
        name = graph.add("Gather", name, indices, axis=axis, to=to if number == last else None)


def _pad(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE lacks negative pads, some modes, and its compiler never ends with the mode 'wrap': elements are gathered."""
    mode = attributes_of(node).get("mode", b"constant").decode()
    given = node.input[0]
    pads = graph.constant(node.input[1])
    shape = graph.shape_of(given)
    if mode == "constant" and (pads is None or (pads >= 0).all()):
        return False
    if pads is None or shape is None:
        raise UnusableError(f"{described(node)} pads by amounts that are computed: make them constants")
    axes = graph.constant(node.input[3]) if len(node.input) > 3 and node.input[3] else np.arange(len(shape))
    if axes is None:
        raise UnusableError(f"{described(node)} pads axes that are computed: make them constants")
    axes, (before, after) = axes % len(shape), pads.reshape(2, -1)
    lengths = np.array(shape)[axes]
    starts, ends = np.maximum(-before, 0), lengths - np.maximum(-after, 0)
    if (starts > ends).any():
        raise UnusableError(f"{described(node)} cuts off more than there is, by negative pads: make them smaller")
    added = np.maximum([before, after], 0)
    if mode == "constant":
        to = None if added.any() else node.output[0]
        cut = graph.add("Slice", given, *map(graph.value, (starts, ends, axes)), to=to)
        if added.any():
            value = node.input[2] if len(node.input) > 2 else ""
            whole = np.zeros((2, len(shape)), np.int64)
            whole[:, axes] = added
            graph.add("Pad", cut, graph.value(whole.reshape(-1)), value, to=node.output[0])
        return None
    taken = {
        int(axis): np.pad(np.arange(start, end), tuple(pad), mode)
        for axis, start, end, length, pad in zip(axes, starts, ends, lengths, added.T, strict=True)
        if pad.any() or end - start != length
    }
    gathered(graph, given, taken, node.output[0])
    return None


def with_pad_joined(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE loses a pad before a transposed convolution with strides: what it adds is joined on instead."""
    pad = graph.producer(node.input[0])
    if pad is None or pad.op_type != "Pad" or not any(step > 1 for step in attributes_of(node).get("strides", ())):
        return False
    name, *rest = pad.input
    lengths, amounts = list(graph.shape_of(name) or ()), graph.constant(rest[0])
    value = graph.constant(rest[1]) if len(rest) > 1 and rest[1] else np.zeros(())
    is_plain = attributes_of(pad).get("mode", b"constant") == b"constant" and len(rest) < 3
    if not lengths or amounts is None or value is None or not is_plain or (amounts < 0).any():
        return False
    number = graph.numbers_like(name)
    for axis, (before, after) in enumerate(amounts.reshape(2, -1).T):
        ends = [
            number(np.full([*lengths[:axis], count, *lengths[axis + 1 :]], value.reshape(())))
            for count in (before, after)
        ]
        joined = [each for each, count in ((ends[0], before), (name, 1), (ends[1], after)) if count]
        name = graph.add("Concat", *joined, axis=axis) if len(joined) > 1 else name
        lengths[axis] += int(before + after)
    made = onnx.NodeProto()
    made.CopyFrom(node)
    made.input[0] = name
    graph.keep(made)
    return None


def _reverse_sequence(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE takes sequences apart, whose shapes are open then: the place of each element is computed."""
    given, lengths = node.input
    attributes = attributes_of(node)
    shape = graph.shape_of(given)
    if shape is None:
        return False
    batch, time = attributes.get("batch_axis", 1) % len(shape), attributes.get("time_axis", 0) % len(shape)
    steps = np.arange(shape[time]).reshape([-1 if axis == time else 1 for axis in range(len(shape))])
    of_batch = [shape[batch] if axis == batch else 1 for axis in range(len(shape))]
    known = graph.constant(lengths)
    if known is not None:
        ends = known[:1] if len(set(known.tolist())) == 1 else known.reshape(of_batch)
        places = np.where(steps < ends, ends - 1 - steps, steps)
        if places.size == shape[time]:
            gathered(graph, given, {time: places.reshape(-1)}, node.output[0])
            return None
        places = graph.value(np.ascontiguousarray(np.broadcast_to(places, shape)))
    else:
        ends = graph.reshape(lengths, of_batch)
        back = graph.add("Sub", ends, graph.value(steps + 1))
        places = graph.add("Where", graph.add("Less", graph.value(steps), ends), back, graph.value(steps))
        places = graph.add("Expand", places, graph.value(np.array(shape)))
    graph.add("GatherElements", given, places, axis=time, to=node.output[0])
    return None


def _columns_to_image(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE lacks it: it is a transposed convolution whose filters move each row of a column to its own place."""
    given, image, block = node.input
    lengths, kernel, shape = graph.constant(image), graph.constant(block), graph.shape_of(given)
    if lengths is None or kernel is None or shape is None or graph.type_of(given) != TensorProto.FLOAT:
        return False
    attributes = attributes_of(node)
    axes, area = len(kernel), int(np.prod(kernel))
    pads = np.array(attributes.get("pads", [0] * (2 * axes))).reshape(2, axes)
    strides, dilations = (np.array(attributes.get(name, [1] * axes)) for name in ("strides", "dilations"))
    room = lengths + pads.sum(0) - dilations * (kernel - 1) - 1
    places = room // strides + 1
    channels = shape[1] // area
    columns = graph.reshape(given, (shape[0] * channels, area, *places))
    filters = np.eye(area, dtype=np.float32).reshape(area, 1, *kernel)
    made = graph.add(
        "ConvTranspose",
        columns,
        graph.value(filters),
        strides=strides.tolist(),
        dilations=dilations.tolist(),
        kernel_shape=kernel.tolist(),
    )
    whole = (places - 1) * strides + dilations * (kernel - 1) + 1
    added = np.array([-pads[0], lengths + pads[0] - whole])  # pads are cut off
    rest = [[0, 0, *side] for side in added.tolist()]
    made = resized(graph, made, (shape[0] * channels, 1, *whole), np.array(rest))
    graph.reshape(made, (shape[0], channels, *lengths), to=node.output[0])
    return None


def resized(graph: Graph, name: str, shape: tuple[int, ...], pads: np.ndarray) -> str:
    """Zeros added at the ends of each axis, or elements cut off: ``pads`` are those before and those after."""
    cut, added = np.maximum(-pads, 0), np.maximum(pads, 0)
    if cut.any():
        axes = np.flatnonzero(cut.any(0))
        starts, ends = cut[0][axes], np.array(shape)[axes] - cut[1][axes]
        name = graph.add("Slice", name, *map(graph.value, (starts, ends, axes)))
    return graph.add("Pad", name, graph.value(added.reshape(-1))) if added.any() else name


def _depth_to_space(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE mixes up channels and blocks of the mode CRD, which PyTorch's PixelShuffle is."""
    attributes = attributes_of(node)
    shape = graph.shape_of(node.input[0])
    if attributes.get("mode") != b"CRD" or shape is None:
        return False
    count, channels, rows, columns = shape
    size = attributes["blocksize"]
    made = channels // size**2
    blocks = graph.reshape(node.input[0], (count, made, size, size, rows, columns))
    turned = graph.add("Transpose", blocks, perm=[0, 1, 4, 2, 5, 3])
    graph.reshape(turned, (count, made, rows * size, columns * size), to=node.output[0])
    return None


def _center_crop_pad(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE lacks it, and ONNX's own definition has no shapes: cut, then filled up, as both are known."""
    given, size = node.input
    shape, wanted = graph.shape_of(given), graph.constant(size)
    if shape is None or wanted is None:
        return False
    axes = [axis % len(shape) for axis in attributes_of(node).get("axes", range(len(shape)))]
    made = dict(zip(axes, map(int, wanted), strict=True))
    places = {axis: np.arange(n) + max(shape[axis] - n, 0) // 2 for axis, n in made.items() if n < shape[axis]}
    ends = np.zeros((2, len(shape)), np.int64)
    for axis, length in made.items():
        more = max(length - shape[axis], 0)
        ends[:, axis] = more // 2, more - more // 2
    kept = given
    for axis, own in places.items():
        kept = graph.add("Gather", kept, graph.value(own), axis=axis)
    graph.add("Pad", kept, graph.value(ends.reshape(-1)), graph.numbers_like(given)(0), to=node.output[0])
    return None


def _held(rewriting: Callable[[Graph, onnx.NodeProto], bool | None]) -> Callable:
    """The rewriting for values that are held in wider integers inside the model, too."""

    def of_wide(graph: Graph, node: onnx.NodeProto) -> bool | None:
        kind = graph.declared_type(node.output[0])
        if kind not in HELD_WIDE:
            return rewriting(graph, node)
        made = onnx.NodeProto()
        made.CopyFrom(node)
        for number, name in enumerate(node.input):
            if name and graph.declared_type(name) == kind:
                made.input[number] = graph.cast(name, HELD_WIDE[kind])
                if graph.constant(name) is None:
                    graph.declare_like(made.input[number], name)
        made.output[0] = f"{node.output[0]}_held"
        graph.declare_like(made.output[0], node.output[0])
        graph.give_bits(made.output[0], HELD_WIDE[kind])
        if rewriting(graph, made) is False:
            return False
        graph.cast(made.output[0], kind, to=node.output[0])
        return None

    return of_wide


def _scatter(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """With ``min`` and ``max`` IREE takes unsigned values for signed ones, and has no ScatterElements.

    That becomes ScatterND by the coordinates of all elements.
    """
    given, indices, updates = node.input
    attributes = attributes_of(node)
    reduction, kind = attributes.get("reduction", b"none"), graph.type_of(given)
    shape, made = graph.shape_of(given), graph.shape_of(indices)
    if reduction not in (b"max", b"min") or None in (shape, made):
        return False
    if kind == TensorProto.UINT64:
        raise UnusableError(
            f"{described(node)} takes the {reduction.decode()} of uint64, which the compiler compares as signed "
            "integers: scatter int64"
        )
    if node.op_type == "ScatterElements":
        axis = attributes.get("axis", 0) % len(shape)
        indices = graph.cast(indices, TensorProto.INT64)
        below = graph.add("Less", indices, graph.value(np.int64(0)))
        indices = graph.add("Where", below, graph.add("Add", indices, graph.value(np.int64(shape[axis]))), indices)
        places = [graph.reshape(graph.value(each), (-1, 1)) for each in np.indices(made)]
        places[axis] = graph.reshape(indices, (-1, 1))
        indices = graph.add("Concat", *places, axis=1)
        updates = graph.reshape(updates, (-1,))
    if kind not in _COMPARED_AS_SIGNED:
        graph.add("ScatterND", given, indices, updates, reduction=reduction.decode(), to=node.output[0])
        return None
    given, updates = (graph.cast(name, TensorProto.INT32) for name in (given, updates))
    result = graph.add("ScatterND", given, indices, updates, reduction=reduction.decode())
    graph.cast(result, kind, to=node.output[0])
    return None


REWRITINGS = {
    "CenterCropPad": _held(_center_crop_pad),
    "Col2Im": _columns_to_image,
    "DepthToSpace": _held(_depth_to_space),
    "Pad": _held(_pad),
    "ReverseSequence": _held(_reverse_sequence),
    "Slice": _held(_slice),
    **dict.fromkeys(("ScatterElements", "ScatterND"), _held(_scatter)),
}
