# SPDX-License-Identifier: Apache-2.0
"""What the trials of the link run on: the simulated chip and a model whose answer can be computed by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from springbok.compiler import iree
from springbok.compiler.compiled import Target
from springbok.compiler.flags import compiler_flags
from springbok.engines.spike import SpikeEngine
from springbok.firmware import build_firmware
from springbok.support.files import temporary_folder

ELEMENTS = 8

_MLIR = f"""
func.func @main(%x: tensor<{ELEMENTS}xf32>) -> tensor<{ELEMENTS}xf32> {{
  %two = stablehlo.constant dense<2.0> : tensor<{ELEMENTS}xf32>
  %one = stablehlo.constant dense<1.0> : tensor<{ELEMENTS}xf32>
  %y = stablehlo.multiply %x, %two : tensor<{ELEMENTS}xf32>
  %z = stablehlo.add %y, %one : tensor<{ELEMENTS}xf32>
  return %z : tensor<{ELEMENTS}xf32>
}}
"""


def small_module() -> bytes:
    """Return the model as a VMFB for the chip: 8 numbers in, twice each and 1 more out."""
    flags, _ = compiler_flags(Target(vectors=True), ())
    with temporary_folder() as folder:
        source, module = Path(folder) / "small.mlir", Path(folder) / "small.vmfb"
        source.write_text(_MLIR)
        iree.compile_module(source, flags, module)
        return module.read_bytes()


def sample(number: int) -> tuple[bytes, bytes]:
    """Return an input of the model and its right answer; each number gives another one."""
    values = np.arange(ELEMENTS, dtype="<f4") + np.float32(number % 100_000)
    return values.tobytes(), (2 * values + 1).tobytes()


def chip(uart: str = "socket") -> SpikeEngine:
    """Return the simulated chip at its full speed, not started yet."""
    return SpikeEngine(build_firmware().elf, uart=uart, count_opcodes=False)
