# SPDX-License-Identifier: Apache-2.0
"""ONNX's AffineGrid, GridSample and Resize, for `springbok.compiler.importers.onnx_rewriting`.

Of GridSample IREE has one kind, which converts places far outside to integers that no type holds. Here the neighbours
of each place are gathered, whose numbers along an axis (``padding_mode`` included) are looked up in a table.

Of Resize it lacks several kinds. Each axis by itself is then multiplied by a constant matrix: what ONNX's reference
implementation makes of that axis' unit vectors.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto

from springbok.compiler.importers import onnx_reference, onnx_windows
from springbok.compiler.importers.onnx_moving import gathered
from springbok.compiler.importers.onnx_rewriting import Graph, attributes_of

#: How far outside of the image a place may be after it was padded, neighbours included.
_MARGIN = 8
#: Beyond as many widths of the image, its reflections are no longer told apart.
_MOST_REFLECTIONS = 1 << 22
_CUBIC = -0.75
_MODES = {b"bilinear": b"linear", b"bicubic": b"cubic"}  # what they were called before version 20


@dataclass(frozen=True)
class _Axis:
    """Along an axis of ``length``: the neighbours of a place by their distance from the ``first`` one, with weights.

    Numbers count from `_MARGIN` elements before the image: ``places`` says which element each stands for, and
    ``inside`` whether it is any.
    """

    length: int
    first: str
    weights: dict[int, str]
    places: str
    inside: str


class _Sampling:
    """The attributes of a node, and the axes of what it samples."""

    def __init__(self, graph: Graph, node: onnx.NodeProto) -> None:
        attributes = attributes_of(node)
        mode = attributes.get("mode", b"linear")
        self.graph = graph
        self.mode = _MODES.get(mode, mode)
        self.padding = attributes.get("padding_mode", b"zeros")
        self.aligned = bool(attributes.get("align_corners", 0))
        self.given, self.grid = node.input
        self.shape, self.grid_shape = graph.shape_of(self.given), graph.shape_of(self.grid)

    @property
    def is_known(self) -> bool:
        """Whether it can be written out."""
        kinds = {self.graph.type_of(name) for name in (self.given, self.grid)}
        known = self.mode in (b"linear", b"nearest", b"cubic") and kinds == {TensorProto.FLOAT}
        if not known or self.shape is None or self.grid_shape is None:
            return False
        return not (self.padding == b"reflection" and self.aligned and 1 in self.shape[2:])

    def number(self, value: float) -> str:
        return self.graph.value(np.float32(value))

    def write(self, to: str) -> None:
        graph, count = self.graph, self.shape[0]
        lengths, points = self.shape[2:], int(np.prod(self.grid_shape[1:-1]))
        flat = graph.reshape(self.grid, (count, 1, points, len(lengths)))
        axes = [
            self._axis(graph.add("Gather", flat, graph.value(np.int64(len(lengths) - 1 - number)), axis=3), length)
            for number, length in enumerate(lengths)
        ]
        image = graph.reshape(self.given, (count, self.shape[1], int(np.prod(lengths))))
        sampled = self._interpolated(image, axes, None, None)
        graph.reshape(sampled, (count, self.shape[1], *self.grid_shape[1:-1]), to=to)

    def _interpolated(self, image: str, axes: list[_Axis], place: str | None, inside: str | None) -> str:
        """The samples whose number (``place``) along the axes before is known."""
        graph = self.graph
        if not axes:
            where = graph.add("Expand", place, graph.value(np.array([1, self.shape[1], 1])))
            pixels = graph.add("GatherElements", image, where, axis=2)
            return graph.add("Where", inside, pixels, self.number(0)) if inside else pixels
        axis, *others = axes
        total = None
        for distance, weight in axis.weights.items():
            number = graph.add("Add", axis.first, graph.value(np.int32(distance)))
            own = graph.add("Gather", axis.places, number)
            if place:
                own = graph.add("Add", graph.add("Mul", place, graph.value(np.int32(axis.length))), own)
            valid = graph.add("Gather", axis.inside, number) if axis.inside else inside
            if axis.inside and inside:
                valid = graph.add("And", inside, valid)
            part = self._interpolated(image, others, own, valid)
            part = graph.add("Mul", part, weight) if weight else part
            total = graph.add("Add", total, part) if total else part
        return total

    def _axis(self, normal: str, length: int) -> _Axis:
        graph = self.graph
        whole = graph.add("Add", normal, self.number(1))
        if self.aligned:
            real = graph.add("Mul", graph.add("Mul", whole, self.number(0.5)), self.number(length - 1))
        else:
            real = graph.add("Sub", graph.add("Mul", whole, self.number(length)), self.number(1))
            real = graph.add("Mul", real, self.number(0.5))
        if self.mode == b"nearest":
            real = graph.add("Round", real)
        low, high = (0.0, length - 1.0) if self.aligned else (-0.5, length - 0.5)
        real = self._padded(real, length, low, high)
        first = graph.add("Floor", real)
        numbers = range(-_MARGIN, length + _MARGIN)
        table = np.array([_place(number, length, low, high, self.padding) for number in numbers], np.int32)
        inside = graph.value(table >= 0) if self.padding == b"zeros" else ""
        return _Axis(
            length,
            graph.add("Add", graph.cast(first, TensorProto.INT32), graph.value(np.int32(_MARGIN))),
            self._weights(graph.add("Sub", real, first)),
            graph.value(np.maximum(table, 0)),
            inside,
        )

    def _padded(self, real: str, length: int, low: float, high: float) -> str:
        """A place, brought near the image where it is far from it."""
        graph = self.graph
        by_neighbour = self.padding == b"border" and self.mode == b"cubic"
        if self.padding == b"zeros" or by_neighbour:  # as far outside as any neighbour of something inside
            return graph.add("Clip", real, self.number(-4), self.number(length + 3))
        below, above = graph.add("Less", real, self.number(low)), graph.add("Greater", real, self.number(high))
        outside = graph.add("Or", below, above)
        if self.padding == b"border":
            inner = graph.add("Clip", real, self.number(0), self.number(length - 1))
            return graph.add("Where", outside, inner, real)
        width = self.number(high - low)
        before, after = graph.add("Sub", self.number(low), real), graph.add("Sub", real, self.number(high))
        distance = graph.add("Where", outside, graph.add("Where", below, before, after), self.number(0))
        times = graph.add("Min", graph.add("Div", distance, width), self.number(_MOST_REFLECTIONS))
        times = graph.cast(times, TensorProto.INT32)
        rest = graph.add("Sub", distance, graph.add("Mul", graph.cast(times, TensorProto.FLOAT), width))
        rest = graph.add("Clip", rest, self.number(0), width)
        even = graph.add("Equal", graph.add("Mod", times, graph.value(np.int32(2))), graph.value(np.int32(0)))
        from_low = graph.add("Not", graph.add("Xor", even, below))
        ends = graph.add("Add", self.number(low), rest), graph.add("Sub", self.number(high), rest)
        return graph.add("Where", outside, graph.add("Where", from_low, *ends), real)

    def _weights(self, part: str) -> dict[int, str]:
        """The weight of each neighbour, by its distance; ``part`` is where between two the place is."""
        if self.mode == b"nearest":
            return {0: ""}
        graph = self.graph
        rest = graph.add("Sub", self.number(1), part)
        if self.mode == b"linear":
            return {0: rest, 1: part}
        return {
            -1: self._far(graph.add("Add", part, self.number(1))),
            0: self._near(part),
            1: self._near(rest),
            2: self._far(graph.add("Add", rest, self.number(1))),
        }

    def _near(self, distance: str) -> str:
        """The cubic kernel up to a distance of 1."""
        return self._polynomial(distance, _CUBIC + 2, -(_CUBIC + 3), 0, 1)

    def _far(self, distance: str) -> str:
        """The cubic kernel from a distance of 1 to one of 2."""
        return self._polynomial(distance, _CUBIC, -5 * _CUBIC, 8 * _CUBIC, -4 * _CUBIC)

    def _polynomial(self, value: str, *factors: float) -> str:
        total = self.number(factors[0])
        for factor in factors[1:]:
            total = self.graph.add("Mul", total, value)
            total = self.graph.add("Add", total, self.number(factor)) if factor else total
        return total


def _place(number: int, length: int, low: float, high: float, padding: bytes) -> int:
    """Which element of an axis stands for the one of a number that may lie outside; -1 for a zero."""
    if 0 <= number < length:
        return number
    if padding == b"zeros":
        return -1
    if padding == b"border":
        return 0 if number < 0 else length - 1
    while not low <= number <= high:
        number = 2 * low - number if number < low else 2 * high - number
    return int(number)


def _grid_sample(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE samples two axes linearly only, and places far outside overflow there."""
    sampling = _Sampling(graph, node)
    if not sampling.is_known:
        return False
    sampling.write(node.output[0])
    return None


def _resize(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE has neither cubic nor filtered resizing, nor some ways of counting places; by scales that are no whole
    numbers it takes other nearest elements.
    """
    attributes = attributes_of(node)
    places = attributes.get("coordinate_transformation_mode", b"half_pixel")
    given, roi, scales, sizes = [*node.input, "", "", ""][:4]
    shape, made = graph.shape_of(given), graph.shape_of(node.output[0])
    if None in (shape, made) or attributes.get("keep_aspect_ratio_policy", b"stretch") != b"stretch":
        return False
    axes = [axis % len(shape) for axis in attributes.pop("axes", range(len(shape)))]
    numbers = [graph.constant(name) if name else None for name in (roi, scales, sizes)]
    if any(name and array is None for name, array in zip((roi, scales, sizes), numbers, strict=True)):
        return False
    roi, scales, _ = (None if array is None or not array.size else array for array in numbers)
    cropped, filtered = places == b"tf_crop_and_resize", bool(attributes.get("antialias"))
    lengths, becomes = (np.array([each[axis] for axis in axes]) for each in (shape, made))
    factors = np.float32(becomes) / np.float32(lengths) if scales is None else scales
    if attributes.get("mode", b"nearest") == b"nearest" and not (cropped or filtered):
        if (lengths * factors == becomes).all() and not (becomes % lengths).any():
            return False
        nearest = attributes.get("nearest_mode", b"round_prefer_floor").decode()
        ways = zip(axes, lengths, factors, becomes, strict=True)
        taken = {axis: onnx_windows.nearest_places(*how, places.decode(), nearest) for axis, *how in ways}
        gathered(graph, given, taken, node.output[0])
        return None
    known = not (attributes.get("mode") == b"cubic" or filtered or cropped or places == b"half_pixel_symmetric")
    if known or graph.type_of(given) != TensorProto.FLOAT:
        return False
    roi = np.tile([[0.0], [1.0]], len(axes)) if roi is None else roi.reshape(2, -1)
    value, inside = given, np.ones(made, np.float32)
    for number, axis in enumerate(axes):
        scale = scales[number] if scales is not None else None
        own = {"roi": roi[:, number], "scale": scale, "size": made[axis]}
        matrix = _matrix(attributes, graph.version, shape[axis], **own)
        if np.array_equal(matrix, np.eye(shape[axis])):
            continue
        value = _multiplied(graph, value, matrix, axis, len(shape))
        inside *= matrix.any(1).reshape([-1 if each == axis else 1 for each in range(len(shape))])
    outside = attributes.get("extrapolation_value", 0.0) * (1 - inside)
    if outside.any():
        value = graph.add("Add", graph.add("Mul", value, graph.value(inside)), graph.value(outside))
    graph.add("Identity", value, to=node.output[0])
    return None


def _matrix(
    attributes: dict, version: int, length: int, *, roi: np.ndarray, scale: float | None, size: int
) -> np.ndarray:
    """The shares (size, length) that each element of an axis has in each element of what it becomes."""
    extents = {"roi": np.float32([0, roi[0], 1, roi[1]])}
    if scale is not None:
        extents["scales"] = np.float32([1, scale])
    else:
        extents["sizes"] = np.int64([length, size])
    names = ["x", "roi", "scales" if scale is not None else "", "" if scale is not None else "sizes"]
    own = {name: value for name, value in attributes.items() if name != "extrapolation_value"}
    node = onnx.helper.make_node("Resize", names, ["y"], **own)
    return onnx_reference.answer(node, version, {"x": np.eye(length, dtype=np.float32)} | extents).T


def _multiplied(graph: Graph, value: str, matrix: np.ndarray, axis: int, rank: int) -> str:
    """The matrix times the axis of a value."""
    if axis == rank - 1:
        return graph.add("MatMul", value, graph.value(np.ascontiguousarray(matrix.T)))
    order = [each for each in range(rank) if each != axis]
    order.insert(rank - 2, axis)
    turned = value if axis == rank - 2 else graph.add("Transpose", value, perm=order)
    made = graph.add("MatMul", graph.value(np.ascontiguousarray(matrix)), turned)
    return made if axis == rank - 2 else graph.add("Transpose", made, perm=np.argsort(order).tolist())


def _affine_grid(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE lacks it, and ONNX's own definition fails with a single image: all places times each matrix."""
    matrices, size = node.input
    lengths, shape = graph.constant(size), graph.shape_of(matrices)
    corners = attributes_of(node).get("align_corners", 0)
    if lengths is None or shape is None or (corners and 1 in lengths[2:]):
        return False
    lengths = [int(length) for length in lengths[2:]]
    axes = [np.linspace(-1, 1, n) if corners else (2 * np.arange(n) + 1) / n - 1 for n in lengths]
    places = [*np.meshgrid(*axes, indexing="ij")[::-1], np.ones(lengths)]
    dtype = onnx.helper.tensor_dtype_to_np_dtype(graph.type_of(matrices))
    flat = graph.value(np.stack(places, -1).reshape(1, -1, len(places)).astype(dtype))
    made = graph.add("MatMul", flat, graph.add("Transpose", matrices, perm=[0, 2, 1]))
    graph.reshape(made, (shape[0], *lengths, len(lengths)), to=node.output[0])
    return None


REWRITINGS = {"AffineGrid": _affine_grid, "GridSample": _grid_sample, "Resize": _resize}
