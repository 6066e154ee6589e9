# SPDX-License-Identifier: Apache-2.0
"""Cuts off the rows of an image that no window reaches, where IREE can't compile the convolution or pooling with them.

IREE 3.13 drops loops that run once. Where a window stands at one place only along an axis, its rows are then the only
loop over the image's, and the verifier wants as many of one as of the other: a kernel of 2 rows with a stride of 3 on
an image of 3 rows is refused. Without the rows that are left over it means the same, and compiles.

Example::

    if are_in_the_way(message):
        cut = cut_off(input_phase, output)
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iree.compiler import ir


def are_in_the_way(message: str) -> bool:
    """Whether the compiler's ``message`` may be about such rows."""
    return bool(re.search(r"inferred input/output operand #\d+ has shape's dimension #\d+ to be \d+", message))


def cut_off(source: Path, output: Path) -> bool:
    """Writes the file ``source``, of the phase `input`, to ``output`` without these rows; whether there were any."""
    from iree.compiler import ir
    from iree.compiler.dialects import linalg

    from springbok.compiler.mlir import operations, write

    with ir.Context(), ir.Location.unknown():
        module = ir.Module.parse(source.read_bytes())
        found = False
        for operation in operations(module):
            maps = linalg.get_indexing_maps(operation) if operation.name.startswith("linalg.") else None
            for number, kept in _needed(operation, [each.value for each in maps]).items() if maps else ():
                operation.operands[number] = _beginning(operation, operation.operands[number], kept)
                found = True
        write(module, output)
    return found


def _needed(operation: ir.Operation, maps: list[ir.AffineMap]) -> dict[int, list[int]]:
    """The shapes that are enough for operands, by their numbers, where rows of them are in the way."""
    from iree.compiler import ir

    from springbok.compiler.mlir import loop_of, sum_of_loops

    extents, windows = {}, []
    for number, (value, map_) in enumerate(zip(operation.operands, maps, strict=True)):
        if not isinstance(value.type, ir.RankedTensorType):
            continue
        for axis, (size, expression) in enumerate(zip(value.type.shape, map_.results, strict=True)):
            if (loop := loop_of(expression)) is not None:
                extents[loop] = size
            else:
                windows.append((number, axis, sum_of_loops(expression)))
    found: dict[int, list[int]] = {}
    for number, axis, terms in windows:
        if terms is None or any(extents.get(loop, -1) < 0 for loop in terms if loop >= 0):
            continue
        running = [loop for loop in terms if loop >= 0 and extents[loop] > 1]
        shape = list(operation.operands[number].type.shape)
        # With a factor the loop is no plain index, and IREE compiles it.
        if len(terms) > 1 and len(running) == 1 and terms[running[0]] == 1 and extents[running[0]] < shape[axis]:
            found.setdefault(number, shape)[axis] = extents[running[0]]
    return found


def _beginning(operation: ir.Operation, value: ir.Value, shape: list[int]) -> ir.Value:
    """The first elements of ``value`` along each axis, ahead of ``operation``."""
    from iree.compiler import ir

    attributes = {
        "operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 0, 0, 0]),
        "static_offsets": ir.DenseI64ArrayAttr.get([0] * len(shape)),
        "static_sizes": ir.DenseI64ArrayAttr.get(shape),
        "static_strides": ir.DenseI64ArrayAttr.get([1] * len(shape)),
    }
    kind = ir.RankedTensorType.get(shape, value.type.element_type)
    with ir.InsertionPoint(operation), operation.location:
        return ir.Operation.create("tensor.extract_slice", [kind], [value], attributes).result
