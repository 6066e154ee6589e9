# SPDX-License-Identifier: Apache-2.0
"""Products without zero points.

Reason: quantised layers of ONNX, and those with 8-bit numbers without sign, come as sums of (x - zero point of x) times
(w - zero point of w), the zero points as scalars beside the tensors. No transformation reads those, and the compiler's
own kernels subtract them in every product.

What is done: conversions to 8 bits and back, which are operations of their own, become arithmetic by the compiler's own
pass, so that they are done where the numbers are. Scalars go into the bodies that use them. The weights' zero point is
subtracted from the weights, which are constant; that of x, times the sum of the weights of a channel, from the sum.
Sums wrap, so this is exact.

Precondition: constant zero points; and constant weights, where a zero point is not 0, which are within 16 bits without
theirs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from iree.compiler import ir
from iree.compiler.passmanager import PassManager

from springbok.compiler.mlir import (
    ELEMENT_TYPES,
    Generic,
    arith,
    constant,
    dimensions,
    generic,
    operations,
    owner,
    rebuilt,
    tensor,
    where,
)
from springbok.compiler.optimizer.transformation import Change, Visits
from springbok.compiler.optimizer.vector_code import create

_EXTENSIONS = ("arith.extsi", "arith.extui")
_CONVERSIONS = ("iree_linalg_ext.quantize_affine", "iree_linalg_ext.dequantize_affine")
# The compiler runs it too, when it has formed the kernels.
_AS_ARITHMETIC = (
    f"builtin.module(util.func(iree-linalg-ext-decompose-aggregated-ops{{filter-ops={','.join(_CONVERSIONS)}}}))"
)


class ZeroPoints:
    """See the module."""

    name = "zero-points"
    vectors_only = False
    proved_on = ("3.13.0",)

    def apply(self, module: ir.Module, visits: Visits | None = None) -> list[Change]:
        """See :class:`Transformation`."""
        changes = []
        if any(operations(module, name) for name in _CONVERSIONS):
            with module.context:
                PassManager.parse(_AS_ARITHMETIC).run(module.operation)
        for operation in (visits or Visits()).of(operations(module, "linalg.generic")):
            if len(operation.results) != 1:
                continue
            place, each = where(operation), _with_scalars_inside(Generic(operation))
            product = _read(each) if any(each.reductions) else None
            if isinstance(product, str):
                changes.append(Change(self.name, place, False, product))
            elif product is not None:
                product.replace()
                detail = f"of {product.left.zero_point} and {product.right.zero_point}, out of the sum"
                changes.append(Change(self.name, place, True, detail))
        return changes


def _with_scalars_inside(each: Generic) -> Generic:
    """The operation with operands that are no tensors taken from outside by its body."""
    scalars = [number for number, value in enumerate(each.inputs) if not isinstance(value.type, ir.RankedTensorType)]
    return rebuilt(each, {number: each.inputs[number] for number in scalars}) if scalars else each


@dataclass(frozen=True)
class _Factor:
    """A factor: an operand, how it is widened, and what is subtracted from it."""

    operand: int
    extension: str
    zero_point: int


@dataclass(frozen=True)
class _Product:
    """A sum of products; ``right`` are the weights."""

    generic: Generic
    left: _Factor
    right: _Factor
    #: The weights as they are multiplied, and the loop of the output's channel, None if all outputs have the same.
    weights: np.ndarray
    channel: int | None

    def replace(self) -> None:
        """Put a sum without zero points in its place."""
        old, (left, right) = self.generic, (self.left.operand, self.right.operand)
        operation = old.operation
        element = old.operands[-1].type.element_type
        with ir.InsertionPoint(operation), operation.location:
            weights = tensor(self.weights, ir.IntegerType.get_signless(self.weights.dtype.itemsize * 8))

            def body(x: ir.Value, w: ir.Value, total: ir.Value) -> ir.Value:
                factors = (create(self.left.extension, [element], [x]), create("arith.extsi", [element], [w]))
                return arith("addi", total, arith("muli", *(factor.result for factor in factors)))

            kind, maps = operation.results[0].type, [old.maps[left], old.maps[right], old.maps[-1]]
            inputs = [old.operands[left], weights]
            result = generic(kind, inputs, old.operands[-1], maps, old.reductions, body).results[0]
            if self.left.zero_point:
                result = self._less_zero_points(result)
        operation.results[0].replace_all_uses_with(result)
        operation.erase()

    def _less_zero_points(self, sums: ir.Value) -> ir.Value:
        old, kind, rank = self.generic, sums.type, sums.type.rank
        loops = dimensions(old.maps[self.right.operand])
        within = tuple(axis for axis, loop in enumerate(loops) if loop != self.channel)
        outside = [size for loop, size in enumerate(old.extents) if old.reductions[loop] and loop not in loops]
        totals = self.weights.astype(np.int64).sum(axis=within) * (-self.left.zero_point * math.prod(outside))
        constants = tensor(totals.astype(np.int32), kind.element_type)
        identity = ir.AffineMap.get_identity(rank)
        axes = [] if self.channel is None else [ir.AffineDimExpr.get(dimensions(old.maps[-1]).index(self.channel))]
        maps = [identity, ir.AffineMap.get(rank, 0, axes), identity]
        empty = create("tensor.empty", [kind], []).result
        return generic(
            kind, [sums, constants], empty, maps, [False] * rank, lambda total, added, _: arith("addi", total, added)
        ).results[0]


def _read(each: Generic) -> _Product | str | None:
    """The product if it has zero points or unsigned weights; why they stay; None if it has none."""
    total, accumulator = owner(each.yielded, "arith.addi"), each.block.arguments[-1]
    if total is None or accumulator not in list(total.operands) or len(each.inputs) != 2:
        return None
    first, second = total.operands
    product = owner(second if first == accumulator else first, "arith.muli")
    factors = [_factor(each, operand) for operand in product.operands] if product else []
    if len(factors) != 2 or None in factors or {factor.operand for factor in factors} != {0, 1}:
        return None
    plain = len(each.body) == len(_EXTENSIONS) + 2
    known = [isinstance(constant(each.inputs[factor.operand]), np.ndarray) for factor in factors]
    left, right = factors if known[1] or not known[0] else factors[::-1]
    if plain and (not any(known) or right.extension == "arith.extsi"):
        return None
    if not any(known):
        return "its weights are not known when compiling"
    if str(each.operands[-1].type.element_type) != "i32":
        return "its sums have other than 32 bits"
    loops, sums = dimensions(each.maps[right.operand]), dimensions(each.maps[-1])
    parallel = [loop for loop in loops or () if not each.reductions[loop]]
    if loops is None or sums is None or each.extents is None or len(parallel) > 1:
        return "its weights do not follow one channel"
    weights = _widened(constant(each.inputs[right.operand]), right)
    if weights is None:
        return "its weights less their zero point are beyond 16 bits"
    return _Product(each, left, right, weights, *(parallel or [None]))


def _factor(each: Generic, value: ir.Value) -> _Factor | None:
    """What a factor is made of, None if it is made of anything else."""
    difference = owner(value, "arith.subi")
    zero_point = constant(difference.operands[1]) if difference else 0
    extended = owner(difference.operands[0] if difference else value, *_EXTENSIONS)
    operand = each.argument_of(extended.operands[0]) if extended else None
    if operand is None or operand == len(each.inputs) or not isinstance(zero_point, int):
        return None
    return _Factor(operand, extended.name, zero_point)


def _widened(weights: np.ndarray, factor: _Factor) -> np.ndarray | None:
    if factor.extension == "arith.extui":
        weights = weights.view(f"u{weights.dtype.name}")
    values = weights.astype(np.int64) - factor.zero_point
    for dtype in (ELEMENT_TYPES["i8"], ELEMENT_TYPES["i16"]):
        if np.iinfo(dtype).min <= values.min(initial=0) and values.max(initial=0) <= np.iinfo(dtype).max:
            return values.astype(dtype)
    return None
