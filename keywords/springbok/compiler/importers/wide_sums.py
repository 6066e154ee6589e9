# SPDX-License-Identifier: Apache-2.0
"""Lowers layers with 16-bit activations whose sums the compiler's first phase refuses.

Sums of such layers have 48 bits. IREE 3.13 first makes products of depthwise convolutions with a kernel of one element,
and several convolutions of strided transposed ones, and then holds what it made against the TOSA specification, which
knows no cast, reshape or product of 48 bits. Its next passes do: they are applied to what it made.

Example::

    refused = "'tosa.cast' op illegal: ... got (i16,i48)"      # of iree-compile
    if are_refused(refused):
        content = lowered(path)                                 # linalg, with sums of 64 bits
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from springbok.compiler import iree
from springbok.support import process

# What follows the validation in `iree-tosa-input-transformation-pipeline`.
_PASSES = (
    "builtin.module(func.func(tosa-to-linalg,iree-tosa-convert-i48-to-i64,tosa-to-arith{include-apply-rescale=true},"
    "tosa-to-tensor,iree-tosa-strip-signedness,canonicalize))"
)
_VALIDATION = "tosa-validate"


def are_refused(errors: str) -> bool:
    """Whether the compiler's errors are about sums of 48 bits that it made itself."""
    return "did not align with any profile" in errors and "i48" in errors


def lowered(path: Path) -> bytes | None:
    """The module of the file ``path`` as text, as the compiler's first phase would leave it; None if it can't."""
    from iree.compiler import ir, passmanager

    with tempfile.TemporaryDirectory() as folder:
        printed = Path(folder) / "printed"
        looking = ["--mlir-print-ir-after-failure", "--mlir-print-ir-module-scope", "--mlir-disable-threading"]
        looking += [f"--mlir-print-ir-tree-dir={printed}", "--mlir-print-debuginfo", "-o", Path(folder) / "none"]
        process.run([iree.tool("iree-compile"), path, "--compile-to=input", *looking])
        found = list(printed.rglob(f"*_{_VALIDATION}.mlir"))
        if len(found) != 1:
            return None
        with ir.Context():
            try:
                module = ir.Module.parse(found[0].read_bytes())
                passmanager.PassManager.parse(_PASSES).run(module.operation)
            except (ir.MLIRError, ValueError):
                return None
            return module.operation.get_asm(enable_debug_info=True).encode()
