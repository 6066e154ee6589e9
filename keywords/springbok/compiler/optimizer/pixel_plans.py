# SPDX-License-Identifier: Apache-2.0
"""Which convolutions get vectors along their pixels, and which of their results lie as planes: see `pixel_kernels`.

Both are decided by counting, for the vectors of the target, what a kernel along the channels would need and what one
along the pixels: fewer instructions, and no more passes of the vector unit and of memory, which cycles follow from.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from iree.compiler import ir

from springbok.compiler.mlir import Generic, constant, dimensions, is_identity, owner, users
from springbok.compiler.optimizer.kernels import LARGEST_TILE, is_cheap, is_uniform, tile_of
from springbok.compiler.optimizer.planes import Pieces, Planes, are_rows
from springbok.compiler.optimizer.reductions import (
    Reduction,
    chain_of,
    is_elementwise,
    only_user,
    padding_behind,
    to_narrowest,
)
from springbok.compiler.optimizer.vector_code import GROUP, LARGE_GROUP, chunks, padding_of

#: Instructions that a kernel along the pixels must save: its code is larger.
_WORTH = 8192
#: Registers that the sums of a tile take, and the most output channels of one, whose weights are scalars.
_SUMS, _MOST_CHANNELS = 24, 8
#: What a vector of pixels costs beside its products: it is loaded and widened, and each has its configuration; and
#: what follows a sum: constants of its channel, and a store.
_LOADED, _FOLLOWING = 4, 6
#: Cycles of a kernel along the channels by those counted here, which leave out what it waits for: as estimated for
#: ResNet-8's at VLEN 512, whose sums of 32 and 64 channels take 5 to 15 % more.
_WAITS = 1.1
#: Columns of a window whose taps are all written out.
_MOST_COLUMNS = 13
#: Vectors of a plane that are written out one after the other, where each has masks of its own.
_MOST_PIECES = 6


@dataclass(frozen=True)
class PixelPlan:
    """A kernel along the pixels, with fields as of `PixelKernel`.

    ``read`` is how the planes that it reads lie if they are not there yet, None where it reads an image.
    """

    pieces: Pieces
    shared: tuple[int, ...]
    lows: tuple[int, int]
    read: Planes | None
    made: Planes | None


def plans_of(reductions: Iterable[Reduction], vlen: int) -> dict[ir.Value, PixelPlan]:
    """The plans of those that it pays for, by what they give (the sums' value)."""
    convolutions = {_sum(each): _Convolution.of(each, vlen) for each in reductions if _is_convolution(each)}
    ends = {each.end: value for value, each in convolutions.items()}
    # Those that read planes, and whether these are a copy; what can't be as hoped for is given up.
    copies = {value: each.window.source not in ends for value, each in convolutions.items() if each.window}
    while True:
        written = {convolutions[value].window.source for value, copy in copies.items() if not copy}
        chosen = {}
        for value, each in convolutions.items():
            makes = each.end in written
            pieces = each.along_planes(makes) if value in copies else None
            if each.pays(pieces, copies.get(value), makes):
                chosen[value] = pieces
            elif each.pays(each.along_rows(), None, makes):
                chosen[value] = each.along_rows()
                copies.pop(value, None)
            else:
                copies.pop(value, None)
        readers, followers = (
            {owner(value) for value in copies},
            {each for value in chosen for each in convolutions[value].chain},
        )
        windows = [convolutions[value].window for value in copies]
        left = {
            value: copy or not _can_be_written(convolutions[value].window, windows, ends, chosen, readers, followers)
            for value, copy in copies.items()
        }
        if left == copies:
            break
        copies = left
    found = {}
    for value, pieces in chosen.items():
        each = convolutions[value]
        reads = [window for window in windows if window.source == each.end and each.end in written]
        found[value] = PixelPlan(
            pieces,
            tuple(each.tile(size) for _, size, _ in pieces),
            each.window.lows if value in copies else (0, 0),
            _planes(each.window.source, [each.window]) if value in copies else None,
            _planes(each.end, reads) if reads else None,
        )
    return found


def _sum(reduction: Reduction) -> ir.Value:
    return reduction.generic.operation.results[0]


def _can_be_written(
    window: _Window,
    windows: Sequence[_Window],
    ends: Mapping[ir.Value, ir.Value],
    chosen: Container[ir.Value],
    readers: set[ir.Operation],
    followers: set[ir.Operation],
) -> bool:
    """Whether what makes a window's source can write it as planes, since all that read it take them."""
    fillings = {each.filling for each in windows if each.source == window.source} - {None}
    takes = all(_takes_planes(user, number, readers, followers) for user, number in users(window.source))
    return takes and len(fillings) <= 1 and ends[window.source] in chosen


def _planes(image: ir.Value, windows: Sequence[_Window]) -> Planes:
    """How an image lies as planes that these windows read."""
    above, below, margin = (max(values) for values in zip(*(window.beyond for window in windows), strict=True))
    filling = next((window.filling for window in windows if window.filling is not None), 0)
    as_element = int if isinstance(image.type.element_type, ir.IntegerType) else float
    return Planes((*image.type.shape, 1)[:3], above, max(above, below), margin, as_element(filling))


def _takes_planes(user: ir.Operation, number: int, readers: set[ir.Operation], followers: set[ir.Operation]) -> bool:
    """Whether operand ``number`` of ``user`` may lie as planes."""
    if user in readers:
        return True
    if user.name == "tensor.pad":
        return only_user(user.results[0]) in readers
    if not is_elementwise(user) or not is_identity(Generic(user).maps[number]):
        return False
    if user in followers:
        return True
    following = only_user(user.results[0])
    if following is None or not is_cheap(user):
        return False
    return all(_takes_planes(next_, at, set(), followers) for next_, at in users(user.results[0]))


def _is_convolution(reduction: Reduction) -> bool:
    """Whether it has constant weights, and its result is rows, columns and channels.

    It is one of bytes, or of floating point and one channel: more of them would be loaded anew for few products each.
    An image of one channel may have rows and columns only.
    """
    generic, indices = reduction.generic, reduction.indices
    if reduction.depthwise or reduction.right is None or reduction.innermost != 2:
        return False
    weights = constant(generic.operands[reduction.right])
    if owner(generic.operands[reduction.left], "tensor.extract_slice") is not None:
        return False
    kinds = {str(generic.operands[number].type.element_type) for number in (reduction.left, reduction.right)}
    if not isinstance(weights, np.ndarray) or kinds != ({"i8"} if reduction.widens else {"f32"}):
        return False
    if not reduction.widens and len(indices) > 2:
        return False
    if len(indices) not in (2, 3) or 0 not in indices[0] or 1 not in indices[1] or 1 in indices[0] or 0 in indices[1]:
        return False
    if any(len(terms) != 1 or terms.keys() & {0, 1} for terms in indices[2:]):
        return False
    return owner(generic.operands[-1], "linalg.fill") is not None and all(map(_follows, _chain(reduction)[1:]))


def _chain(reduction: Reduction) -> list[ir.Operation]:
    return to_narrowest(chain_of(reduction.generic.operation))


def _follows(operation: ir.Operation) -> bool:
    """Whether its operands are whole images, constants of the channel, or single values."""
    each = Generic(operation)
    whole = all(owner(value, "tensor.extract_slice") is None for value in each.inputs)
    return whole and all(dimensions(map_) in ([], [2], [0, 1, 2]) for map_ in each.maps)


@dataclass(frozen=True)
class _Window:
    """How a convolution of stride 1 reads an image of its own size: ``beyond`` are rows above and below, and elements
    beside it; ``filling`` is what is there, None where it reads none; ``lows`` how far it begins before its pixel;
    ``pieces`` the vectors of a plane, None where there are none."""

    source: ir.Value
    beyond: tuple[int, int, int]
    columns: int
    filling: int | None
    lows: tuple[int, int]
    pieces: Pieces | None

    @classmethod
    def of(cls, reduction: Reduction, vlen: int) -> _Window | None:
        """That of a convolution, if it has one."""
        generic, (rows, columns, _) = reduction.generic, reduction.extents[:3]
        left, taps = generic.operands[reduction.left], []
        for parallel, terms in enumerate(reduction.indices[:2]):
            others = [loop for loop in terms if loop != parallel]
            if any(times != 1 for times in terms.values()) or len(others) > 1 or -1 in others:
                return None
            taps.append(reduction.extents[others[0]] if others else 1)
        pad = owner(left, "tensor.pad")
        known = padding_of(pad) if pad is not None else None
        source, low, filling = (pad.operands[0], known[0], known[2]) if known else (left, [0, 0, 0], None)
        if list(source.type.shape[:2]) != [rows, columns] or taps[1] > _MOST_COLUMNS:
            return None
        if known and (any([*known[0][2:], *known[1][2:]]) or only_user(left) is None):
            return None
        if taps[0] + rows - 1 != left.type.shape[0]:
            return None
        if taps[1] + columns - 1 != left.type.shape[1]:
            return None
        after = [tap - 1 - first for tap, first in zip(taps, low, strict=False)]
        # What is loaded of floating point takes as many registers as a sum.
        most = (LARGE_GROUP if reduction.widens else GROUP) * vlen // 32
        pieces = _of_planes(rows, columns, most, vlen // 32, taps[1] > 1)
        spare = max((start + size * count - rows * columns for start, size, count in pieces or ()), default=0)
        beyond = (low[0], after[0], max(low[1], after[1]) + spare)
        return cls(source, beyond, taps[1], filling, (low[0], low[1]), pieces)


def _of_planes(rows: int, columns: int, most: int, whole: int, masked: bool) -> Pieces | None:
    """The vectors of a plane that need the fewest passes: of whole rows where these are as good.

    They have up to ``most`` elements, and a rest of up to ``whole`` in one piece; they may overlap, or the only one be
    longer than the plane. Where they are ``masked``, one that begins within a row has masks of its own.
    """
    pixels = rows * columns
    sizes = [each * columns for each in range(1, rows + 1) if rows % each == 0]
    fitting = [(0, size, pixels // size) for size in sizes if size <= most and size & (size - 1) == 0]
    size = min(most, 1 << (pixels - 1).bit_length())
    covering = [(0, size, max(1, pixels // size))] + ([(pixels - size, size, 1)] if pixels > size else [])
    found = min(
        fitting[-1:] or covering,
        chunks(pixels, most, whole),
        covering,
        key=lambda pieces: sum(count * (size + most // 4) for _, size, count in pieces),
    )
    apart = []
    for start, size, count in found:
        within = masked and size % columns
        apart += [(start + number * size, size, 1) for number in range(count)] if within else [(start, size, count)]
    return tuple(apart) if len(apart) <= _MOST_PIECES else None


@dataclass(frozen=True)
class _Convolution:
    """One that may get vectors along its pixels; ``end`` is what its kernel gives."""

    reduction: Reduction
    vlen: int
    chain: tuple[ir.Operation, ...]
    window: _Window | None

    @classmethod
    def of(cls, reduction: Reduction, vlen: int) -> _Convolution:
        """With what follows it."""
        return cls(reduction, vlen, tuple(_chain(reduction)), _Window.of(reduction, vlen))

    @property
    def end(self) -> ir.Value:
        return self.chain[-1].results[0]

    def along_rows(self) -> Pieces:
        """Vectors of one row: first column, elements and how many of them."""
        return tuple(chunks(self.reduction.extents[1], GROUP * self.vlen // 32, self.vlen // 32))

    def along_planes(self, makes: bool) -> Pieces | None:
        """The vectors of a plane, if there are some; ``makes`` tells whether it writes planes too."""
        columns, pieces = self.reduction.extents[1], self.window.pieces
        if pieces is None or are_rows(pieces, columns):
            return pieces
        padding = padding_behind(self.end)
        if not makes and padding and padding.operation.results[0].type.shape[1] != columns:
            return None
        return None if self._is_longer(pieces) and self._reads_images() else pieces

    def _is_longer(self, pieces: Pieces) -> bool:
        return pieces[-1][1] > math.prod(self.reduction.extents[:2])

    def _reads_images(self) -> bool:
        """Whether something beside the sums is read pixel by pixel."""
        made = {each.results[0] for each in self.chain}
        following = [Generic(each) for each in self.chain[1:]]
        return any(
            dimensions(map_) == [0, 1, 2] and value not in made and not is_uniform(value)
            for each in following
            for value, map_ in zip(each.inputs, each.maps, strict=False)
        )

    def tile(self, size: int) -> int:
        """Output channels that share a vector of so many pixels."""
        channels, registers = self.reduction.extents[2], -(-size * 32 // self.vlen)
        taken = 0 if self.reduction.widens else registers
        most = max(1, min((_SUMS - taken) // registers, _MOST_CHANNELS, channels))
        divisors = [each for each in range(1, most + 1) if channels % each == 0]
        return max(divisors) if 2 * max(divisors) > most else most

    def pays(self, pieces: Pieces | None, copy: bool | None, makes: bool) -> bool:
        """Whether fewer instructions are to be expected than with vectors along the channels, and no more cycles.

        ``copy`` tells whether the planes that it reads are a copy, and is None where it reads an image; ``makes``
        whether it writes planes.
        """
        if not pieces:
            return False
        before, after = self._along_channels(), self._along_pixels(pieces, copy, makes)
        return after[0] + _WORTH <= before[0] and after[1] <= _WAITS * before[1]

    def _passes(self, elements: int, bits: int = 32) -> int:
        return max(1, math.ceil(elements * bits / (self.vlen // 2)))

    @property
    def _products(self) -> int:
        return math.prod(self.reduction.extents[3:])

    @property
    def _operations(self) -> int:
        return sum(len(Generic(each).body) for each in self.chain[1:])

    def _along_channels(self) -> tuple[float, float]:
        rows, columns, channels = self.reduction.extents[:3]
        pixels, products, operations = rows * columns, self._products, self._operations
        instructions = cycles = 0.0
        group = LARGE_GROUP if self.reduction.widens else GROUP
        for _, size, count in chunks(channels, group * self.vlen // 32, self.vlen // 32):
            registers = -(-size * 32 // self.vlen)
            weights = max(2, registers * 3 // 4) if self.reduction.widens else 2 * registers
            tile = tile_of(columns, registers, weights, LARGEST_TILE)
            each, passes = 2 + _LOADED / tile, self._passes(size)
            following = operations + _LOADED
            instructions += pixels * count * (products * each + following)
            cycles += pixels * count * (products * max(each, passes) + max(following, operations * passes))
        return instructions, cycles

    def _along_pixels(self, pieces: Pieces, copy: bool | None, makes: bool) -> tuple[float, float]:
        rows, _, channels = self.reduction.extents[:3]
        products, operations, as_planes = self._products, self._operations, copy is not None
        instructions = cycles = 0.0
        if copy:
            elements = math.prod(self.window.source.type.shape)
            instructions, cycles = _LOADED * elements / (LARGE_GROUP * self.vlen // 32), elements
        for _, size, count in pieces:
            tile, vectors = self.tile(size), count if as_planes else rows * count
            tiles, passes = math.ceil(channels / tile), self._passes(size)
            loaded = _LOADED + (2 * (1 - 1 / self.window.columns) if as_planes else 0)
            in_memory = self._passes(size, 8 if self.reduction.widens else 32) if as_planes else size
            parts = math.ceil(size / (GROUP * self.vlen // 32))
            following = channels * parts * (operations + _FOLLOWING)
            stored = 0 if makes else channels * size
            instructions += vectors * (tiles * products * (loaded + 2 * tile) + following)
            steps = tiles * products * max(loaded + 2 * tile, in_memory + tile, tile * passes)
            cycles += vectors * (steps + max(following, channels * operations * passes) + stored)
        return instructions, cycles
