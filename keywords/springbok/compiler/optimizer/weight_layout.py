# SPDX-License-Identifier: Apache-2.0
"""Weights with the output channel innermost.

Reason: the vectors of a kernel run along the output's innermost dimension. Weights stored as [out, in] are then
loaded one by one and put together by slides, some four instructions a multiplication; stored as [in, out] they are
one load of consecutive bytes. Where that dimension is another, such as the columns of an image that kept its channels
outermost, each weight is a scalar for a whole vector. What LLVM makes of it was counted for 3 x 3 convolutions at VLEN
128 to 512: rows of whole vectors of 16 lanes need a third to a half of the instructions with the new layout, all others
up to seven times as many.

Precondition: the output's innermost dimension of more than one element is a channel of the weights, or such a row; a
constant operand of a reduction whose dimensions are single loops, parallel ones first and a reduction last, or the
weights that only one `linalg.matmul` of one row uses, of floating point. The constant and the operand's indexing map
are permuted alike, so every element meets the same others.
"""

from __future__ import annotations

from iree.compiler import ir

from springbok.compiler.mlir import (
    Generic,
    constant,
    dimensions,
    maps_attribute,
    operations,
    tensor,
    uses,
    where,
)
from springbok.compiler.optimizer.products import generalise_row, is_float
from springbok.compiler.optimizer.transformation import Change, Visits
from springbok.compiler.optimizer.vector_code import vector_bits

#: Vectors with so many lanes of 32 bits gain from weights that lie apart: see the module.
LONG_LANES = 16


class OutputChannelInnermost:
    """See the module."""

    name = "weight-layout"
    vectors_only = True
    proved_on = ("3.13.0",)

    def apply(self, module: ir.Module, visits: Visits | None = None) -> list[Change]:
        """See :class:`Transformation`."""
        changes, visits, lanes = [], visits or Visits(), vector_bits(module) // 32
        for operation in visits.of(operations(module, "linalg.matmul")):
            if _is_row_by_transposed(operation):
                generalise_row(operation)
        for operation in visits.of([each.operation for each in Generic.all(module)]):
            generic = Generic(operation)
            if any(generic.reductions):
                for number in range(len(generic.inputs)):
                    change = self._permute(generic, number, lanes)
                    changes += [change] if change else []
        return changes

    def _permute(self, generic: Generic, number: int, lanes: int) -> Change | None:
        value, maps = generic.operands[number], generic.maps
        weights, loops = constant(value), dimensions(maps[number])
        if weights is None or not hasattr(weights, "shape") or len(weights.shape) < 2:
            return None
        operation = generic.operation
        if loops is None:
            return Change(self.name, where(operation), False, "the weights' dimensions are not single loops")
        reductions = [generic.reductions[loop] for loop in loops]
        if not any(reductions) or all(reductions) or not reductions[-1]:
            return None  # the innermost dimension is parallel already
        if reductions[0]:
            return Change(self.name, where(operation), False, "its output channel is not the outermost dimension")
        if not _gains(generic, loops, lanes):
            return Change(self.name, where(operation), False, "its vectors run along another dimension of the output")
        order = sorted(range(len(loops)), key=lambda place: not reductions[place])
        with ir.InsertionPoint(operation), operation.location:
            operation.operands[number] = tensor(weights.transpose(order), value.type.element_type)
        maps[number] = ir.AffineMap.get(maps[number].n_dims, 0, [maps[number].results[place] for place in order])
        operation.attributes["indexing_maps"] = maps_attribute(maps)
        shapes = " to ".join("x".join(map(str, shape)) for shape in (weights.shape, weights.transpose(order).shape))
        return Change(self.name, where(operation), True, f"weights from {shapes}")


def _gains(generic: Generic, channels: list[int], lanes: int) -> bool:
    """Whether the output's innermost dimension is one of the loops ``channels``, or long vectors fill its rows."""
    outputs, extents = dimensions(generic.maps[-1]), generic.extents
    if outputs is None or extents is None:
        return True
    inner = next((loop for loop in reversed(outputs) if extents[loop] != 1), None)
    return inner is None or inner in channels or (lanes >= LONG_LANES and extents[inner] % lanes == 0)


def _is_row_by_transposed(matmul: ir.Operation) -> bool:
    """Whether one row of floating point is multiplied with constant weights that lie as [out, in], and are its own."""
    row, weights, _ = matmul.operands
    if "indexing_maps" not in matmul.attributes or not is_float(matmul) or uses(weights) > 1:
        return False
    maps = [dimensions(attribute.value) for attribute in matmul.attributes["indexing_maps"]]
    return row.type.shape[0] == 1 and constant(weights) is not None and maps == [[0, 2], [1, 2], [0, 1]]
