# SPDX-License-Identifier: Apache-2.0
"""Products of vectors and matrices as `linalg.generic`, which the transformations read.

Dense layers of floating point come as `linalg.vecmat`, and those of PyTorch, whose weights lie as [out, in], as a
`linalg.matmul` of one row.
"""

from __future__ import annotations

from iree.compiler import ir

from springbok.compiler.mlir import arith, generic, owner, users
from springbok.compiler.optimizer.vector_code import refilled, reshape


def is_float(product: ir.Operation) -> bool:
    """Whether it multiplies and adds up 32-bit floating point."""
    return all(isinstance(value.type.element_type, ir.F32Type) for value in product.operands)


def generalise_vecmat(product: ir.Operation) -> None:
    """Put a `linalg.generic` in the place of a `linalg.vecmat`."""
    with ir.InsertionPoint(product), product.location:
        result = _sum_of_products(*product.operands, weights=[1, 0])
    product.results[0].replace_all_uses_with(result)
    product.erase()


def generalise_row(product: ir.Operation) -> None:
    """Put a `linalg.generic` of vectors in the place of a `linalg.matmul` with one row and weights as [out, in]."""
    row, weights, initial = product.operands
    kind = product.results[0].type
    with ir.InsertionPoint(product), product.location:
        flat = ir.RankedTensorType.get(kind.shape[1:], kind.element_type)
        fill = owner(initial, "linalg.fill")
        initial = refilled(fill, flat) if fill else reshape("collapse_shape", initial, flat.shape, [[0, 1]])
        row = reshape("collapse_shape", row, row.type.shape[1:], [[0, 1]])
        result = _sum_of_products(row, weights, initial, weights=[0, 1])
        for user, _ in users(product.results[0]):
            if user.name == "tensor.collapse_shape" and user.results[0].type == flat:
                user.results[0].replace_all_uses_with(result)
        product.results[0].replace_all_uses_with(reshape("expand_shape", result, kind.shape, [[0, 1]]))
    product.erase()


def _sum_of_products(left: ir.Value, right: ir.Value, initial: ir.Value, *, weights: list[int]) -> ir.Value:
    """``weights`` names the loops of the right operand's dimensions: the output is 0, and the sum runs along 1."""
    maps = [ir.AffineMap.get(2, 0, [ir.AffineDimExpr.get(loop) for loop in loops]) for loops in ([1], weights, [0])]

    def body(one: ir.Value, other: ir.Value, total: ir.Value) -> ir.Value:
        return arith("addf", total, arith("mulf", one, other))

    return generic(initial.type, [left, right], initial, maps, [False, True], body).results[0]
