# SPDX-License-Identifier: Apache-2.0
"""Keeps a product that is rounded to an integer later apart from the sum behind it.

IREE marks all products and sums of its kernels `contract`, so LLVM makes one instruction of both where they are in
one kernel and the core has it (`vfmacc.vv`, `fmadd.s`): the product is not rounded any more. In a sum of products of
floating-point numbers that is as good as anything. The real values of a quantised model are integers times a scale,
though: what is made of them lies on a half of the next grid all the time (the mean of two neighbours), and each
rounding decides on which side it falls. With a product unrounded, an element is a step off what the framework gives,
and this machine, and the same layer in a kernel of another shape.

So in modules that make integers of floating-point numbers, each product that may meet a sum in its kernel becomes a
fused multiply-add of its factors and -0.0. LLVM makes a product of that again, one that is not marked. Products of two
elements that a reduction sums up stay as they are, and so do modules without such a conversion.

Example::

    if occur(flow_phase):
        changed = put_right(module)         # the phase `flow` as a module
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from iree.compiler import ir

#: Counts up when other modules are made, so that no older cache entry is taken.
VERSION = 1

_TO_INTEGERS = ("arith.fptosi", "arith.fptoui")
_FROM_INTEGERS = ("arith.sitofp", "arith.uitofp")
_SUMS = ("arith.addf", "arith.subf", "arith.negf")
#: Dialects whose operations are written out later, mostly with sums, and those of them that add nothing.
_WRITTEN_OUT = ("linalg.", "iree_linalg_ext.", "math.")
_WITHOUT_SUMS = (
    *("linalg.generic", "linalg.fill", "linalg.index", "linalg.yield", "linalg.transpose", "linalg.copy"),
    *("math.absf", "math.ceil", "math.copysign", "math.floor", "math.roundeven", "math.sqrt", "math.trunc"),
)


def occur(flow: str) -> bool:
    """Whether the text of the phase `flow` may hold such products. It is quick, and may be wrong only by saying yes."""
    return "arith.mulf" in flow and any(name in flow for name in _TO_INTEGERS)


def put_right(module: ir.Module) -> bool:
    """Keeps them apart, and tells whether there were any."""
    from springbok.compiler.mlir import operations

    changed = False
    if not any(operations(module, name) for name in _TO_INTEGERS):
        return changed
    for function in operations(module, "func.func"):
        inside = operations(function)
        if not any(map(_adds, inside)):
            continue
        for product in inside:
            if _is_product(product) and _may_meet_a_sum(product) and _is_by_element(product):
                _keep_apart(product)
                changed = True
    return changed


def _is_product(operation: ir.Operation) -> bool:
    """Whether it is one of 32 bits: narrower ones the core computes with these and rounds, or not at all."""
    return operation.name == "arith.mulf" and str(operation.results[0].type).endswith(("f32", "f32>"))


def _adds(operation: ir.Operation) -> bool:
    written_out = operation.name.startswith(_WRITTEN_OUT) and operation.name not in _WITHOUT_SUMS
    return operation.name in _SUMS or written_out


def _may_meet_a_sum(product: ir.Operation) -> bool:
    """Whether a sum takes it, or whatever takes the result of the body that it is in."""
    from springbok.compiler.mlir import users

    return any(_adds(user) or user.name == "linalg.yield" for user, _ in users(product.results[0]))


def _is_by_element(product: ir.Operation) -> bool:
    """Whether it is no product of two elements that a reduction sums up."""
    from springbok.compiler.mlir import owner

    around = product.parent.operation
    if around.name == "linalg.generic" and "reduction" not in str(around.attributes["iterator_types"]):
        return True
    return any(_is_scale(product, factor) or owner(factor, *_FROM_INTEGERS) for factor in product.operands)


def _is_scale(product: ir.Operation, factor: ir.Value) -> bool:
    """Whether a factor is the same for all elements."""
    from springbok.compiler.mlir import owner

    maker = owner(factor)
    return maker is not None and (maker.name == "arith.constant" or maker.block != product.block)


def _keep_apart(product: ir.Operation) -> None:
    from iree.compiler import ir

    kind = product.results[0].type
    with ir.InsertionPoint(product), product.location:
        scalar = "-0.0" if isinstance(kind, ir.FloatType) else "dense<-0.0>"
        nothing = ir.Operation.create(
            "arith.constant", [kind], attributes={"value": ir.Attribute.parse(f"{scalar} : {kind}")}
        ).result
        fused = ir.Operation.create("math.fma", [kind], [*product.operands, nothing])
    product.results[0].replace_all_uses_with(fused.result)
    product.erase()
