# SPDX-License-Identifier: Apache-2.0
"""Padding by rows.

Reason: the compiler copies a tensor into its padded place pixel by pixel, a few channels at a time. Here a row, which
lies in one piece before and after, is copied in vectors of a whole group of registers.

Precondition: static shapes, a constant filling, and rows of at least 64 elements: shorter ones do not pay.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from iree.compiler import ir

from springbok.compiler.mlir import operations, where
from springbok.compiler.optimizer.transformation import Change, Visits
from springbok.compiler.optimizer.vector_code import (
    Place,
    chunks,
    counted_loop,
    create,
    index_of,
    kernel,
    load,
    padding_of,
    reshape,
    splat,
    store,
    vector_bits,
)

_SHORTEST_ROW = 64


class PadsByRows:
    """See the module."""

    name = "pads"
    vectors_only = True
    proved_on = ("3.13.0",)

    def apply(self, module: ir.Module, visits: Visits | None = None) -> list[Change]:
        """See :class:`Transformation`."""
        changes, vlen, visits = [], vector_bits(module), visits or Visits()
        for operation in visits.of(operations(module, "tensor.pad")):
            place, known = where(operation), padding_of(operation)
            if known is None:
                changes.append(Change(self.name, place, False, "its shape or its filling is not known"))
                continue
            low, high, filling = known
            row = max((axis for axis in range(len(low)) if low[axis] or high[axis]), default=len(low) - 1)
            if math.prod(operation.operands[0].type.shape[row:]) < _SHORTEST_ROW:
                changes.append(Change(self.name, place, False, f"its rows are shorter than {_SHORTEST_ROW} elements"))
                continue
            with ir.InsertionPoint(operation), operation.location:
                result = _by_rows(operation, low, filling, row, vlen)
            operation.results[0].replace_all_uses_with(result)
            operation.erase()
            changes.append(Change(self.name, place, True, f"rows from dimension {row} on in one piece"))
        return changes


def _by_rows(operation: ir.Operation, low: Sequence[int], filling: int | float, row: int, vlen: int) -> ir.Value:
    source, kind = operation.operands[0], operation.results[0].type
    shape, padded = list(source.type.shape), list(kind.shape)
    groups = [[axis] for axis in range(row)] + [list(range(row, len(shape)))]
    inner = math.prod(shape[row + 1 :])
    flat = [*padded[:row], padded[row] * inner]
    if len(groups) < len(shape):
        source = reshape("collapse_shape", source, [*shape[:row], shape[row] * inner], groups)
    element, most = kind.element_type, 8 * vlen // kind.element_type.width

    def fill(tensor: ir.Value, places: Sequence[Place], start: int, stop: int) -> ir.Value:
        def write(place: Place, size: int, carried: ir.Value) -> ir.Value:
            return store(splat(size, element, filling), carried, indices(places, place))

        return in_pieces(tensor, start, stop, write)

    def in_pieces(tensor: ir.Value, start: int, stop: int, write) -> ir.Value:
        for begin, size, count in chunks(stop - start, most):
            if count == 1:
                tensor = write(Place(None, start + begin), size, tensor)
                continue
            (tensor,) = counted_loop(
                count * size,
                size,
                [tensor],
                lambda counter, carried, begin=begin, size=size: [
                    write(Place(counter, start + begin), size, carried[0])
                ],
            )
        return tensor

    def indices(places: Sequence[Place], last: Place) -> list[ir.Value]:
        return [index_of([(1, place)]) for place in [*places, last]]

    def rows(tensor: ir.Value, places: list[Place]) -> ir.Value:
        axis = len(places)
        if axis == row:
            before, length = low[row] * inner, shape[row] * inner
            tensor = fill(tensor, places, 0, before)
            origin = [place.plus(-low[each]) for each, place in enumerate(places)]

            def copy(place: Place, size: int, carried: ir.Value) -> ir.Value:
                values = load(source, indices(origin, place.plus(-before)), size)
                return store(values, carried, indices(places, place))

            tensor = in_pieces(tensor, before, before + length, copy)
            return fill(tensor, places, before + length, flat[row])
        parts = (
            (0, low[axis], False),
            (low[axis], low[axis] + shape[axis], True),
            (low[axis] + shape[axis], padded[axis], False),
        )
        for start, stop, inside in parts:
            if start == stop:
                continue
            (tensor,) = counted_loop(
                stop - start,
                1,
                [tensor],
                lambda counter, carried, start=start, inside=inside: [
                    (rows if inside else borders)(carried[0], [*places, Place(counter, start)])
                ],
            )
        return tensor

    def borders(tensor: ir.Value, places: list[Place]) -> ir.Value:
        axis = len(places)
        if axis == row:
            return fill(tensor, places, 0, flat[row])
        (tensor,) = counted_loop(
            padded[axis], 1, [tensor], lambda counter, carried: [borders(carried[0], [*places, Place(counter)])]
        )
        return tensor

    flat_kind = ir.RankedTensorType.get(flat, element)
    result = kernel(flat_kind, lambda: rows(create("tensor.empty", [flat_kind], []).result, []))
    return reshape("expand_shape", result, padded, groups) if len(groups) < len(shape) else result
