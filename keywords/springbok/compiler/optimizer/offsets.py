# SPDX-License-Identifier: Apache-2.0
"""Bias and zero points as one constant.

Reason: after a convolution, its bias and the products of zero points with sums of weights are added one by one: a
load, a multiplication and an addition each, though all are constants of the channel.

Precondition: element-wise operations on i32 that only add or subtract what constants give, each the only use of the
one before. Sums wrap, so their order does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from iree.compiler import ir

from springbok.compiler.mlir import (
    Generic,
    arith,
    constant,
    generic,
    is_copy,
    is_identity,
    number,
    owner,
    tensor,
    uses,
    where,
)
from springbok.compiler.optimizer.transformation import Change, Visits


class OneOffset:
    """See the module."""

    name = "offsets"
    vectors_only = False
    proved_on = ("3.13.0",)

    def apply(self, module: ir.Module, visits: Visits | None = None) -> list[Change]:
        """See :class:`Transformation`."""
        changes, known, visits = [], {}, visits or Visits()
        for operation in visits.of([each.operation for each in Generic.all(module)]):
            each = Generic(operation)
            offset = _read(each)
            if offset is None:
                continue
            before = known.pop(offset.operand, None)
            if before is not None and uses(offset.operand) == 1:
                merged = before.plus(offset)
                if merged is None:
                    changes.append(Change(self.name, where(each.operation), False, "its constants differ in form"))
                else:
                    changes.append(Change(self.name, where(each.operation), True, "added to the offset before it"))
                    offset = merged
            known[each.operation.results[0]] = offset
        for result, offset in known.items():
            if offset.steps > 1 or offset.costs:
                _write(owner(result), offset)
        return changes


@dataclass
class _Offset:
    """``operand`` plus ``values``, which follow ``map_`` (None: one value for all)."""

    operand: ir.Value
    values: np.ndarray
    map_: ir.AffineMap | None
    costs: bool
    steps: int = 1

    def plus(self, later: _Offset) -> _Offset | None:
        """Both at once, on the operand of this one; None if their constants do not fit each other."""
        if self.map_ is not None and later.map_ is not None and self.map_ != later.map_:
            return None
        with np.errstate(over="ignore"):
            values = self.values + later.values
        return _Offset(self.operand, values, self.map_ or later.map_, True, self.steps + later.steps)


def _read(generic_: Generic) -> _Offset | None:
    kind = generic_.operation.results[0].type
    if any(generic_.reductions) or str(kind.element_type) != "i32" or not is_identity(generic_.maps[-1]):
        return None
    constants: dict[ir.Value, tuple[np.ndarray, ir.AffineMap]] = {}
    operand = argument = None
    inputs = zip(generic_.block.arguments, generic_.inputs, generic_.maps, strict=False)
    for element, value, map_ in inputs:
        found = _constant_operand(value, map_)
        if found is not None:
            constants[element] = found
        elif operand is None and is_identity(map_) and value.type == kind:
            operand, argument = value, element
        else:
            return None
    if operand is None or len({str(map_) for _, map_ in constants.values()}) > 1:
        return None
    arrays = {element: array for element, (array, _) in constants.items()}
    with np.errstate(over="ignore"):
        values = _offset(generic_.yielded, argument, arrays)
    if values is None:
        return None
    map_ = next((map_ for _, map_ in constants.values()), None)
    return _Offset(operand, values, map_, costs=len(generic_.body) > 1)


def _constant_operand(value: ir.Value, map_: ir.AffineMap) -> tuple[np.ndarray, ir.AffineMap] | None:
    """The constant that an operand is, or is broadcast from, and the map of its elements."""
    array = constant(value)
    if array is not None:
        return (array, map_) if hasattr(array, "shape") and array.dtype == np.int32 else None
    operation = owner(value)
    if operation is None or not is_identity(map_) or not is_copy(operation):
        return None
    broadcast = Generic(operation)
    array = constant(broadcast.inputs[0])
    if array is not None and hasattr(array, "shape") and array.dtype == np.int32:
        return array, broadcast.maps[0]
    return None


def _offset(value: ir.Value, argument: ir.Value, arrays: dict[ir.Value, np.ndarray]) -> np.ndarray | None:
    """What the body adds to ``argument``; None if it does anything else."""
    if value == argument:
        return np.zeros((), np.int32)
    operation = owner(value, "arith.addi", "arith.subi")
    if operation is None:
        return None
    left, right = operation.operands
    if operation.name == "arith.addi" and _value(left, arrays) is not None:
        left, right = right, left
    before, added = _offset(left, argument, arrays), _value(right, arrays)
    if before is None or added is None:
        return None
    return before + added if operation.name == "arith.addi" else before - added


def _value(value: ir.Value, arrays: dict[ir.Value, np.ndarray]) -> np.ndarray | None:
    """The value if it comes from constants alone."""
    if value in arrays:
        return arrays[value]
    known = constant(value)
    if isinstance(known, int):
        return np.asarray(known, np.int32)
    operation = owner(value, "arith.addi", "arith.subi", "arith.muli")
    if operation is None:
        return None
    left, right = (_value(each, arrays) for each in operation.operands)
    if left is None or right is None:
        return None
    return {"arith.addi": np.add, "arith.subi": np.subtract, "arith.muli": np.multiply}[operation.name](left, right)


def _write(operation: ir.Operation, offset: _Offset) -> None:
    """Puts one addition in place of the operation."""
    old = Generic(operation)
    kind = operation.results[0].type
    identity = old.maps[-1]
    with ir.InsertionPoint(operation), operation.location:
        if offset.map_ is None:
            new = generic(
                kind,
                [offset.operand],
                old.operands[-1],
                [identity, identity],
                old.reductions,
                lambda element, _: arith("addi", element, number(element.type, int(offset.values))),
            )
        else:
            constants = tensor(offset.values, kind.element_type)
            new = generic(
                kind,
                [offset.operand, constants],
                old.operands[-1],
                [identity, offset.map_, identity],
                old.reductions,
                lambda element, added, _: arith("addi", element, added),
            )
    operation.results[0].replace_all_uses_with(new.results[0])
    operation.erase()
