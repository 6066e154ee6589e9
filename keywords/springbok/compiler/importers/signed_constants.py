# SPDX-License-Identifier: Apache-2.0
"""Puts right the constants of 48 bits that the compiler's first phase widens to 64 bits without their signs.

TOSA's biases of layers with 16-bit activations have 48 bits. IREE 3.13 computes them in 64, and takes the lower 48 bits
of a negative one for a number of 2^48 less its magnitude.

Example::

    mlir = corrected(mlir, [np.array([-3, 5])])
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_BITS = 48


def corrected(mlir: bytes, constants: Sequence[np.ndarray]) -> bytes:
    """The module ``mlir`` as text, with every one of ``constants``, which are of the model, as it is there."""
    from iree.compiler import ir

    from springbok.compiler.mlir import constant, operations, tensor

    right = {_without_signs(array).tobytes(): array for array in constants}
    with ir.Context():
        module = ir.Module.parse(mlir)
        for operation in operations(module, "arith.constant"):
            kind, array = operation.results[0].type, constant(operation.results[0])
            if str(getattr(kind, "element_type", "")) != "i64" or array is None:
                continue
            found = right.get(np.ascontiguousarray(array).tobytes())
            if found is not None:
                with ir.InsertionPoint(operation), operation.location:
                    signed = tensor(found.reshape(kind.shape), kind.element_type)
                operation.results[0].replace_all_uses_with(signed)
        return module.operation.get_asm(enable_debug_info=True).encode()


def _without_signs(array: np.ndarray) -> np.ndarray:
    return array & ((1 << _BITS) - 1)
