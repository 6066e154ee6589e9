# SPDX-License-Identifier: Apache-2.0
"""`arith.mulsi_extended` written as a product of 64-bit numbers, for the check on this machine.

LLVM's dialect has no such operation on vectors of more than one dimension, which the compiler makes here but not for
the chip's core. The two halves are the same by the operation's definition.
"""

from __future__ import annotations

from iree.compiler import ir

from springbok.compiler.mlir import arith, number, operations


def widen(module: ir.Module) -> None:
    """Replace every `arith.mulsi_extended` of two i32 in ``module``; those of vectors have one dimension and stay."""
    for operation in operations(module, "arith.mulsi_extended"):
        if isinstance(operation.operands[0].type, ir.VectorType):
            continue
        with ir.InsertionPoint(operation), operation.location:
            i32, i64 = operation.operands[0].type, ir.IntegerType.get_signless(64)
            product = arith("muli", *(_cast("extsi", operand, i64) for operand in operation.operands))
            low = _cast("trunci", product, i32)
            high = _cast("trunci", arith("shrsi", product, number(i64, 32)), i32)
        for result, half in zip(operation.results, (low, high), strict=True):
            result.replace_all_uses_with(half)
        operation.erase()


def _cast(name: str, value: ir.Value, kind: ir.Type) -> ir.Value:
    return ir.Operation.create(f"arith.{name}", results=[kind], operands=[value]).result
