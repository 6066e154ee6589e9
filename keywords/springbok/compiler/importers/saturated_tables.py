# SPDX-License-Identifier: Apache-2.0
"""Keeps the differences of a 16-bit softmax within the table of its exponential.

TensorFlow Lite cuts the difference to the largest element off where the exponential is 0. Its converter writes a cast
to 16 bits, which in TOSA and in IREE drops the upper bits: an element far below the largest one counts as one near it.

Example::

    path.write_bytes(corrected(path.read_bytes()))
"""

from __future__ import annotations

_LOWEST = -(2**15)


def corrected(mlir: bytes) -> bytes:
    """The module ``mlir`` of TOSA, with a lower bound before each cast of a sum to 16 bits that goes to a table."""
    from iree.compiler import ir

    from springbok.compiler.mlir import operations, owner

    with ir.Context():
        module = ir.Module.parse(mlir)
        for table in operations(module, "tosa.table"):
            cast = owner(table.operands[0], "tosa.cast")
            if cast is not None and owner(cast.operands[0], "tosa.add"):
                with ir.InsertionPoint(cast), cast.location:
                    cast.operands[0] = _at_least(cast.operands[0])
        module.operation.verify()
        return module.operation.get_asm(enable_debug_info=True).encode()


def _at_least(total):
    """The larger one of each element of ``total``, a tensor of 32 bits, and `_LOWEST`."""
    from iree.compiler import ir

    one = ir.RankedTensorType.get([1] * total.type.rank, total.type.element_type)
    value = ir.DenseElementsAttr.get_splat(one, ir.IntegerAttr.get(total.type.element_type, _LOWEST))
    bound = ir.Operation.create("tosa.const", results=[one], attributes={"values": value}).result
    return ir.Operation.create("tosa.maximum", results=[total.type], operands=[total, bound]).result
