# SPDX-License-Identifier: Apache-2.0
"""Models that are small enough to be compiled in a test, and compiled once for all tests of a run."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path

import numpy as np

from springbok.compiler import iree
from springbok.compiler.compiled import Target
from springbok.compiler.flags import compiler_flags

RANDOM = np.random.default_rng(7)
WEIGHTS = RANDOM.standard_normal((16, 8)).astype(np.float32)
BIAS = RANDOM.standard_normal(8).astype(np.float32)

#: One dense layer with a bias: 1x16 -> 1x8, in layers named 'first' and 'second'.
DENSE = f"""
func.func @main(%x: tensor<1x16xf32>) -> tensor<1x8xf32> {{
  %w = stablehlo.constant dense<{WEIGHTS.tolist()}> : tensor<16x8xf32>
  %b = stablehlo.constant dense<{[BIAS.tolist()]}> : tensor<1x8xf32>
  %y = stablehlo.dot_general %x, %w, contracting_dims = [1] x [0]
    : (tensor<1x16xf32>, tensor<16x8xf32>) -> tensor<1x8xf32> loc("first")
  %z = stablehlo.add %y, %b : tensor<1x8xf32> loc("second")
  return %z : tensor<1x8xf32>
}}
"""


def dense(x: np.ndarray) -> np.ndarray:
    """What `DENSE` computes, for samples of the shape (1, 16)."""
    return (x.astype(np.float64) @ WEIGHTS + BIAS).astype(np.float32)


@functools.cache
def dense_vmfb(*extra_flags: str, vectors: bool = True) -> bytes:
    """`DENSE` as a VMFB file for the chip."""
    flags, _ = compiler_flags(Target(vectors=vectors), extra_flags)
    with tempfile.TemporaryDirectory() as folder:
        source, module = Path(folder) / "dense.mlir", Path(folder) / "dense.vmfb"
        source.write_text(DENSE)
        iree.compile_module(source, flags, module)
        return module.read_bytes()
