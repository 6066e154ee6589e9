# SPDX-License-Identifier: Apache-2.0
"""Images as planes: channel by channel, each row beside the next, so that a vector of pixels spans several rows.

Above and below each plane are rows of the filling that the next convolution pads with; those between two planes serve
both. Columns are not padded: the taps beside a row's ends read the rows beside it, and a mask puts the filling in their
place. So that they stay within the tensor there are some elements before and behind all planes, which no result depends
on; neither does any on what a vector reads there that is longer than the plane.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from iree.compiler import ir

from springbok.compiler.mlir import generic, is_copy, owner
from springbok.compiler.optimizer.vector_code import (
    LARGE_GROUP,
    Place,
    chunks,
    counted,
    create,
    gather,
    index_of,
    kernel,
    reshape,
    splat,
    store,
)

#: Vectors of a plane, or of a row: first pixel, elements and how many.
Pieces = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Planes:
    """How an image of [rows, columns, channels] lies in one dimension; ``margin`` elements are before and behind.

    ``above`` rows are in front of the first plane, and ``between`` rows behind each.
    """

    shape: tuple[int, int, int]
    above: int
    between: int
    margin: int
    filling: float

    @property
    def plane(self) -> int:
        """Elements of a plane with the rows behind it."""
        return (self.shape[0] + self.between) * self.shape[1]

    @property
    def elements(self) -> int:
        """Elements of the whole tensor."""
        return 2 * self.margin + self.above * self.shape[1] + self.shape[2] * self.plane

    def terms(self, row: Place, column: Place, channel: Place) -> list[tuple[int, Place]]:
        """Where a pixel's channel is, for `index_of`."""
        columns = self.shape[1]
        first = Place(None, self.margin + self.above * columns)
        return [(self.plane, channel), (columns, row), (1, column), (1, first)]


def are_rows(pieces: Pieces, columns: int) -> bool:
    """Whether each vector of a plane takes whole rows."""
    return all(start % columns == size % columns == 0 for start, size, _ in pieces)


def as_planes(image: ir.Value, planes: Planes, lows: tuple[int, int], vlen: int) -> ir.Value:
    """A copy, in a kernel of its own, of the image that begins ``lows`` rows and columns into ``image``."""
    rows, columns, channels = planes.shape
    length, step = image.type.shape[1], channels
    kind = ir.RankedTensorType.get([planes.elements], image.type.element_type)
    # Rows that lie beside each other are read at once.
    rows, columns = (1, rows * columns) if columns == length else (rows, columns)

    def build() -> ir.Value:
        result = fill_rows(create("tensor.empty", [kind], []).result, planes, vlen)
        elements = reshape("collapse_shape", image, [math.prod(image.type.shape)], [list(range(image.type.rank))])

        def copy_channel(channel: Place, carried: ir.Value) -> ir.Value:
            def copy_row(row: Place, carried: ir.Value) -> ir.Value:
                for start, size, count in chunks(columns, LARGE_GROUP * vlen // 32, vlen // 32):

                    def copy(first: Place, carried: ir.Value, start=start, size=size) -> ir.Value:
                        first = first.plus(start)
                        pixel = [(length * step, row.plus(lows[0])), (step, first.plus(lows[1])), (1, channel)]
                        found = gather(elements, [index_of(pixel)], size, step)
                        return store(found, carried, [index_of(planes.terms(row, first, channel))])

                    carried = counted(count * size, size, carried, copy)
                return carried

            return counted(rows, 1, carried, copy_row)

        return counted(channels, 1, result, copy_channel)

    return kernel(kind, build)


def fill_rows(tensor: ir.Value, planes: Planes, vlen: int) -> ir.Value:
    """``tensor`` with the filling above and below each plane."""
    (rows, columns, channels), element = planes.shape, tensor.type.element_type

    def fill(carried: ir.Value, channel: Place, first: int, count: int) -> ir.Value:
        for start, size, times in chunks(count * columns, vlen // 4):
            for number in range(times):
                place = planes.terms(Place(None, first), Place(None, start + number * size), channel)
                carried = store(splat(size, element, planes.filling), carried, [index_of(place)])
        return carried

    tensor = fill(tensor, Place(), -planes.above, planes.above)
    if not planes.between:
        return tensor
    return counted(channels, 1, tensor, lambda channel, carried: fill(carried, channel, rows, planes.between))


def as_image(tensor: ir.Value, planes: Planes) -> ir.Value:
    """A copy as [rows, columns, channels] of what lies as planes, for those that read nothing else."""
    rows, columns, channels = planes.shape
    element = tensor.type.element_type
    inner = _slice(tensor, [planes.margin + planes.above * columns], [channels * planes.plane])
    shape = [channels, planes.plane // columns, columns]
    apart = _slice(reshape("expand_shape", inner, shape, [[0, 1, 2]]), [0, 0, 0], [channels, rows, columns])
    kind = ir.RankedTensorType.get([rows, columns, channels], element)
    order = [ir.AffineDimExpr.get(loop) for loop in (2, 0, 1)]
    maps = [ir.AffineMap.get(3, 0, order), ir.AffineMap.get_identity(3)]
    empty = create("tensor.empty", [kind], []).result
    return generic(kind, [apart], empty, maps, [False] * 3, lambda value, _: value).results[0]


def origin(image: ir.Value) -> ir.Value | None:
    """What `as_image` has copied ``image`` from, if it has."""
    made = owner(image)
    if made is None or not is_copy(made):
        return None
    value = made.operands[0]
    for name in ("tensor.extract_slice", "tensor.expand_shape", "tensor.extract_slice"):
        part = owner(value, name)
        if part is None:
            return None
        value = part.operands[0]
    return value


def _slice(tensor: ir.Value, offsets: list[int], sizes: list[int]) -> ir.Value:
    attributes = {
        "static_offsets": ir.DenseI64ArrayAttr.get(offsets),
        "static_sizes": ir.DenseI64ArrayAttr.get(sizes),
        "static_strides": ir.DenseI64ArrayAttr.get([1] * len(sizes)),
        "operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 0, 0, 0]),
    }
    kind = ir.RankedTensorType.get(sizes, tensor.type.element_type)
    return create("tensor.extract_slice", [kind], [tensor], attributes=attributes).result
