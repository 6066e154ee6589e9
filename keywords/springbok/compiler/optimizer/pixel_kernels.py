# SPDX-License-Identifier: Apache-2.0
"""Kernels of convolutions with vectors along the pixels, for channels that do not fill the vectors.

Reason: with vectors along 16 channels each product of a pixel takes a scalar load and a `vwmacc.vx` of a part of a
group of registers. Along the pixels the weights are the scalars, and a vector takes a whole row of one channel, or,
where the image lies as `planes`, several rows: eight times as many products for the same two instructions.

A row of an image with its channels innermost is read by a strided load, which takes as long as it has elements; so
that is for images of few channels. A convolution writes planes if all who read its result can take them.

Integers, whose sums are the same in any order; floating point where an image has one channel, so that there is no other
order than that of the window.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from iree.compiler import ir

from springbok.compiler.mlir import constant, dimensions, owner, tensor
from springbok.compiler.optimizer.kernels import Kernel
from springbok.compiler.optimizer.planes import Pieces, Planes, are_rows, as_image, fill_rows, origin
from springbok.compiler.optimizer.reductions import PRODUCTS, Padding
from springbok.compiler.optimizer.vector_code import (
    GROUP,
    Place,
    broadcast,
    counted,
    counted_loop,
    create,
    extract,
    gather,
    index_of,
    load,
    part,
    reshape,
    scatter,
    splat,
    store,
)

#: Products that are written out one after the other.
_WRITTEN_OUT = 40


@dataclass
class PixelKernel(Kernel):
    """Builds the kernel of a convolution, and of what follows it, with vectors along its pixels.

    ``planes`` tells of the tensors that lie as planes how; ``taken`` is the one that the convolution reads, None where
    it reads an image, and ``made`` tells of the result, None where it is an image.
    ``pieces`` are the vectors of a row, or of a plane: first pixel, elements and how many; ``shared`` the output
    channels that share what such a vector loads; ``lows`` how far a window begins before its pixel.
    """

    planes: dict[ir.Value, Planes] = field(default_factory=dict)
    taken: ir.Value | None = None
    made: Planes | None = None
    pieces: Pieces = ()
    shared: Sequence[int] = ()
    lows: tuple[int, int] = (0, 0)
    _flats: dict[ir.Value, ir.Value] = field(default_factory=dict, init=False)

    def replace(self) -> str:
        """See :class:`Kernel`."""
        detail = super().replace()
        return f"{detail}, along the pixels{', as planes' if self.made else ''}"

    def _padding(self, value: ir.Value) -> Padding | None:
        return super()._padding(value) if self.made is None else None

    def _goal(self, kind: ir.RankedTensorType) -> ir.RankedTensorType:
        # The compiler can't address elements that are apart in more than one dimension.
        self._shape = kind.shape
        elements = math.prod(kind.shape) if self.made is None else self.made.elements
        return ir.RankedTensorType.get([elements], kind.element_type)

    def _finish(self, built: ir.Value) -> ir.Value:
        if self.made is None:
            return reshape("expand_shape", built, self._shape, [list(range(len(self._shape)))])
        self.planes[built] = self.made
        return as_image(built, self.made)

    # Loops.

    def _build(self, kind: ir.RankedTensorType) -> ir.Value:
        rows, columns, channels = self.reduction.extents[:3]
        result = create("tensor.empty", [kind], []).result
        self._begin = owner(result)
        if self.made is not None:
            result = fill_rows(result, self.made, self.vlen)
        elif self.padding:
            result = self._fill_borders(result, self._shape)
        self._prepare()
        for (start, size, count), tile in zip(self.pieces, self.shared, strict=True):

            def over_channels(pixel: tuple[Place, Place], carried: ir.Value, size=size, tile=tile) -> ir.Value:
                def of_tile(channel: Place, carried: ir.Value, tile=tile) -> ir.Value:
                    return self._tile_of_channels(carried, pixel, channel, size, tile)

                whole = channels // tile * tile
                carried = counted(whole, tile, carried, of_tile)
                rest = channels - whole
                return of_tile(Place(None, whole), carried, rest) if rest else carried

            result = self._over_pixels(result, (start, size, count), over_channels)
        descriptions = [f"{tile} x {size}" for (_, size, _), tile in zip(self.pieces, self.shared, strict=True)]
        self.tiles = f"tiles of {', '.join(dict.fromkeys(descriptions))}"
        return result

    def _over_pixels(self, result: ir.Value, piece: tuple[int, int, int], body: Callable) -> ir.Value:
        """``body`` at the row and column of each vector of a piece; of a plane that is no whole rows the row is 0."""
        (start, size, count), (rows, columns) = piece, self.reduction.extents[:2]

        def over_columns(row: Place, carried: ir.Value) -> ir.Value:
            first = lambda column, carried: body((row, column.plus(start)), carried)  # noqa: E731
            return counted(count * size, size, carried, first)

        if self.taken is None:
            return counted(rows, 1, result, over_columns)
        if not are_rows(self.pieces, columns):
            return over_columns(Place(), result)
        step = size // columns
        first = lambda row, carried: body((row.plus(start // columns), Place()), carried)  # noqa: E731
        return counted(count * step, step, result, first)

    # One tile.

    def _prepare(self) -> None:
        reduction, generic = self.reduction, self.reduction.generic
        self.left_terms = list(reduction.indices)
        (self._channel,) = self.left_terms[2] if len(self.left_terms) > 2 else (None,)
        inner = range(reduction.innermost + 1, len(reduction.extents))
        # The channels of planes are far from each other, and their taps are not.
        order = sorted(inner, key=lambda loop: self.taken is not None and loop != self._channel)
        self.loops = [(loop, reduction.extents[loop]) for loop in order]
        weights = generic.operands[reduction.right]
        kept = dimensions(generic.maps[reduction.right])
        along = [reduction.innermost, *order]
        self.right = tensor(
            constant(weights).transpose([kept.index(loop) for loop in along]), weights.type.element_type
        )
        self.right_terms = [{loop: 1} for loop in along]
        self.left = self._flat(generic.operands[reduction.left]) if self.taken is None else None

    def _tile_of_channels(
        self, result: ir.Value, pixel: tuple[Place, Place], channel: Place, size: int, tile: int
    ) -> ir.Value:
        initial = self.reduction.generic.operands[-1]
        outputs = [[*pixel, channel.plus(number)] for number in range(tile)]
        sums = [self._operand(initial, self.reduction.generic.maps[-1], each, size, {}) for each in outputs]
        places = {0: pixel[0], 1: pixel[1], 2: channel, -1: Place(None, 1)}
        sums = self._products(sums, places, list(self.loops), size)
        # What follows needs more registers a sum, and what it stores lies in rows.
        rows, columns = divmod(size, self.reduction.extents[1])
        most, pixels = GROUP * self.vlen // 32, math.prod(self.reduction.extents[:2])
        piece = min(size, most if self._is_in_one_piece() or not rows else min(most, self.reduction.extents[1]))
        for total, (row, column, number) in zip(sums, outputs, strict=True):
            for start in range(0, size, piece):
                down, right = divmod(start, self.reduction.extents[1])
                here = [row.plus(down), column.plus(right), number]
                values = {self.chain[0].results[0]: part(total, start, piece)}
                for operation in self.chain[1:]:
                    values[operation.results[0]] = self._elementwise(operation, here, piece, values)
                found = values[self.chain[-1].results[0]]
                # The only vector of a plane may be longer than that.
                result = self._put(part(found, 0, min(piece, pixels - start)), result, here)
        return result

    def _is_in_one_piece(self) -> bool:
        """Whether the rows of the result lie beside each other."""
        if self.made is not None or self.padding is None:
            return True
        return self.padding.operation.results[0].type.shape[1] == self.reduction.extents[1]

    def _put(self, value: ir.Value, result: ir.Value, output: list[Place]) -> ir.Value:
        if self.made is not None:
            return store(value, result, [index_of(self.made.terms(*output))])
        return scatter(value, result, self._indices(output), self._shape[-1])

    def _at(self, places: Sequence[Place]) -> list[ir.Value]:
        return [_index_in(self._shape, [[(1, place)] for place in places])]

    def _products(self, sums: list[ir.Value], places: dict, loops: list, size: int) -> list[ir.Value]:
        if math.prod(extent for _, extent in loops) * len(sums) <= _WRITTEN_OUT or not loops:
            steps = [{}]
            for loop, extent in loops:
                steps = [{**each, loop: Place(None, number)} for each in steps for number in range(extent)]
            for each in steps:
                sums = self._step_of_pixels(sums, {**places, **each}, size)
            return sums
        (loop, extent), *inner = loops

        def body(counter: ir.Value, carried: list[ir.Value]) -> list[ir.Value]:
            return self._products(carried, {**places, loop: Place(counter)}, inner, size)

        return counted_loop(extent, 1, sums, body)

    def _step_of_pixels(self, sums: list[ir.Value], at: dict[int, Place], size: int) -> list[ir.Value]:
        pixels = self._extended(self._pixels(at, size), self.reduction.left)
        found, added = [], owner(self.reduction.generic.yielded).name
        for number, total in enumerate(sums):
            here = {**at, self.reduction.innermost: at[self.reduction.innermost].plus(number)}
            indices = [index_of([(times, here[loop]) for loop, times in terms.items()]) for terms in self.right_terms]
            weight = broadcast(self._extended(extract(self.right, indices), self.reduction.right), size)
            product = create(PRODUCTS[added], [total.type], [pixels, weight]).result
            found.append(create(added, [total.type], [total, product]).result)
        return found

    def _pixels(self, at: dict[int, Place], size: int) -> ir.Value:
        """The elements of the input that a tap meets."""
        if self.taken is None:
            shape = self.reduction.generic.operands[self.reduction.left].type.shape
            place = _index_in(
                shape, [[(times, at[loop]) for loop, times in terms.items()] for terms in self.left_terms]
            )
            return gather(self.left, [place], size, self.left_terms[1][1] * math.prod(shape[2:]))
        planes = self.planes[self.taken]
        down, right = self._taps()
        above, before = self.lows
        beside = at[right].offset - before if right is not None else 0
        channel = Place() if self._channel is None else at[self._channel]
        place = planes.terms(at[0].plus(-above), at[1].plus(beside), channel)
        place += [(planes.shape[1], at[down])] if down is not None else []
        found = load(self.taken, [index_of(place)], size)
        # Vectors that begin within a row have a place that is known.
        first = at[1].offset
        return self._masked(found, beside, first, planes) if beside else found

    def _taps(self) -> list[int | None]:
        """The loops of a window's rows and columns; None where there is one."""
        return [next((loop for loop in terms if loop not in (0, 1, -1)), None) for terms in self.left_terms[:2]]

    def _masked(self, pixels: ir.Value, right: int, first: int, planes: Planes) -> ir.Value:
        """``pixels``, from the one of this number on, with the filling where a tap ``right`` columns beside them is
        beyond the row."""
        size, columns, i1 = pixels.type.shape[0], planes.shape[1], ir.IntegerType.get_signless(1)
        beside = (first + np.arange(size)) % columns + right
        inside = (beside >= 0) & (beside < columns)
        kind = ir.VectorType.get([size], i1)
        value = ir.DenseElementsAttr.get([ir.BoolAttr.get(bool(each)) for each in inside], kind)
        mask = create("arith.constant", [kind], [], attributes={"value": value}).result
        filling = splat(size, pixels.type.element_type, planes.filling)
        return create("arith.select", [pixels.type], [mask, pixels, filling]).result

    # Element by element.

    @staticmethod
    def _is_along(loops: Sequence[int], innermost: int) -> bool:
        return list(loops) == [0, 1, 2]

    def _vector(self, value: ir.Value, at: Sequence[Place], size: int) -> ir.Value:
        lying = origin(value)
        if lying in self.planes:
            return load(lying, [index_of(self.planes[lying].terms(*at))], size)
        place = _index_in(value.type.shape, [[(1, each)] for each in at])
        return gather(self._flat(value), [place], size, value.type.shape[-1])

    def _flat(self, image: ir.Value) -> ir.Value:
        """The elements of an image in one dimension."""
        if image not in self._flats:
            local = self._local(image)
            with ir.InsertionPoint(self._begin):
                elements = [math.prod(image.type.shape)]
                self._flats[image] = reshape("collapse_shape", local, elements, [list(range(image.type.rank))])
        return self._flats[image]


def _index_in(shape: Sequence[int], places: Sequence[Sequence[tuple[int, Place]]]) -> ir.Value:
    """The number of an element of a tensor, of terms for each dimension."""
    steps = [math.prod(shape[axis + 1 :]) for axis in range(len(shape))]
    return index_of(
        [(step * times, place) for step, terms in zip(steps, places, strict=True) for times, place in terms]
    )
