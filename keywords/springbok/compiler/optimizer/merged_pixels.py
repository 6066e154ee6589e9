# SPDX-License-Identifier: Apache-2.0
"""Depthwise convolutions with few channels, with several pixels in one vector.

Reason: vectors along 8 channels fill an eighth of a group of registers, and cost as much as full ones. Pixels that lie
beside each other in a row are one piece of memory with their channels, and at stride 1 so are the inputs of a tap. So
they count as channels here: weights, bias and constants of the requantisation are repeated for each.

Precondition: a depthwise sum of products of bytes (of floating point mobilenet_vww.keras needed fewer instructions at
VLEN 512, and more memory and cycles), of stride 1, whose sums begin with one value, whose weights are constant and
whose result is not stored into a padding; what follows it element by element has constants of its channel, single
values, or tensors of its own shape. And it must pay, as the repeated constants make the module larger.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from iree.compiler import ir

from springbok.compiler.mlir import (
    Generic,
    constant,
    dimensions,
    is_identity,
    maps_attribute,
    owner,
    tensor,
    uses,
)
from springbok.compiler.optimizer.reductions import Reduction, chain_of, padding_behind, read
from springbok.compiler.optimizer.vector_code import chunks, create, refilled, reshape

#: Instructions that must be saved, as constants are repeated; and those of a tap: two loads, widening, the product.
_WORTH, _TAP = 8192, 4


def merge(reduction: Reduction, lanes: int, whole: int) -> Reduction | None:
    """The same with pixels as channels, put in its place; None where that can't be, or needs as many vectors.

    A vector has up to ``lanes`` sums, and a rest of up to ``whole`` in one piece.
    """
    column, channel = reduction.innermost - 1, reduction.innermost
    if not reduction.depthwise or not reduction.widens or reduction.right is None or column < 0:
        return None
    chain = [Generic(each) for each in chain_of(reduction.generic.operation)]
    pixels = _pixels(reduction, sum(len(each.body) for each in chain[1:]), lanes, whole)
    if pixels == 1 or reduction.indices[-2].get(column) != 1 or padding_behind(_result(chain[-1])) is not None:
        return None
    made = [_operands(each, reduction.left if each is chain[0] else None, channel, pixels) for each in chain]
    if None in made:
        return None
    merged: dict[ir.Value, ir.Value] = {}
    for each, operands in zip(chain, made, strict=True):
        merged[_result(each)] = _with_pixels(each, operands, merged)
    sums = Generic(owner(merged[_result(chain[0])]))
    _read_along_rows(sums, reduction, pixels)
    last = _result(chain[-1])
    with ir.InsertionPoint(chain[-1].operation), chain[-1].operation.location:
        last.replace_all_uses_with(_reshaped(merged[last], last.type.shape))
    for each in reversed(chain):
        each.operation.erase()
    return read(sums)


def _result(each: Generic) -> ir.Value:
    return each.operation.results[0]


def _pixels(reduction: Reduction, operations: int, lanes: int, whole: int) -> int:
    """How many pixels one vector takes, so that the fewest vectors are needed; 1 where that saves too little."""
    *_, columns, channels = reduction.extents[: reduction.innermost + 1]

    def vectors(pixels: int) -> int:
        return columns // pixels * sum(count for *_, count in chunks(pixels * channels, lanes, whole))

    most = min(max(1, lanes // channels), columns)
    found = min((each for each in range(1, most + 1) if columns % each == 0), key=vectors)
    rows = math.prod(reduction.extents[: reduction.innermost - 1])
    taps = math.prod(reduction.extents[reduction.innermost + 1 :])
    saved = rows * (vectors(1) - vectors(found)) * (_TAP * taps + operations)
    return found if saved >= _WORTH else 1


def _operands(each: Generic, left: int | None, channel: int, pixels: int) -> list[Callable[[], ir.Value]] | None:
    """How to make the operands with pixels as channels, or None where one can't be made so; ``left`` is made later."""
    found = []
    for number, (value, map_) in enumerate(zip(each.operands, each.maps, strict=True)):
        loops, known = dimensions(map_), constant(value)
        if number == len(each.inputs):
            made = _initial(each, pixels)
        elif number == left or not isinstance(value.type, ir.RankedTensorType) or loops == []:
            made = lambda value=value: value  # noqa: E731
        elif isinstance(known, np.ndarray) and loops and loops[-1] == channel and channel - 1 not in loops:
            element = value.type.element_type
            made = lambda known=known, element=element: tensor(np.tile(known, pixels), element)  # noqa: E731
        elif is_identity(map_):
            made = lambda value=value: _reshaped(value, _shape(value, pixels))  # noqa: E731
        else:
            made = None
        found.append(made)
    return None if None in found else found


def _initial(each: Generic, pixels: int) -> Callable[[], ir.Value] | None:
    value = each.operands[-1]
    fill = owner(value, "linalg.fill")
    if fill is None and uses(each.block.arguments[-1]):
        return None

    def made() -> ir.Value:
        kind = ir.RankedTensorType.get(_shape(value, pixels), value.type.element_type)
        return create("tensor.empty", [kind], []).result if fill is None else refilled(fill, kind)

    return made


def _shape(value: ir.Value, pixels: int) -> list[int]:
    *outer, columns, channels = value.type.shape
    return [*outer, columns // pixels, pixels * channels]


def _reshaped(value: ir.Value, shape: list[int]) -> ir.Value:
    """The same elements with the last two dimensions cut otherwise, so that the shape is ``shape``."""
    row, groups = _in_rows(value)
    return reshape("expand_shape", row, shape, groups)


def _in_rows(value: ir.Value) -> tuple[ir.Value, list[list[int]]]:
    """The same elements with the last two dimensions as one, and which dimensions went into which."""
    *outer, columns, channels = value.type.shape
    groups = [*([axis] for axis in range(len(outer))), [len(outer), len(outer) + 1]]
    return reshape("collapse_shape", value, [*outer, columns * channels], groups), groups


def _with_pixels(each: Generic, operands: list[Callable[[], ir.Value]], merged: dict[ir.Value, ir.Value]) -> ir.Value:
    """The result of a copy of the operation with these operands, or with those of them that are ``merged`` already."""
    operation = each.operation
    with ir.InsertionPoint(operation), operation.location:
        made = [merged.get(value) or make() for value, make in zip(each.operands, operands, strict=True)]
        copy = operation.clone().operation
        for number, value in enumerate(made):
            copy.operands[number] = value
        copy.results[0].set_type(made[-1].type)
    return copy.results[0]


def _read_along_rows(merged: Generic, reduction: Reduction, pixels: int) -> None:
    """Lets the sum read rows of pixels with their channels."""
    operation, maps, left, value = merged.operation, merged.maps, reduction.left, merged.operands[reduction.left]
    channels = value.type.shape[-1]
    with ir.InsertionPoint(operation), operation.location:
        operation.operands[left] = _in_rows(value)[0]
    place = ir.AffineDimExpr.get(reduction.innermost)
    for loop, times in reduction.indices[-2].items():
        step = times * channels * (pixels if loop == reduction.innermost - 1 else 1)
        place = place + (ir.AffineConstantExpr.get(step) if loop < 0 else ir.AffineDimExpr.get(loop) * step)
    maps[left] = ir.AffineMap.get(maps[left].n_dims, 0, [*list(maps[left].results)[:-2], place])
    operation.attributes["indexing_maps"] = maps_attribute(maps)
