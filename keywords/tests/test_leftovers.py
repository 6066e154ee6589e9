# SPDX-License-Identifier: Apache-2.0
"""Images with rows that no window reaches: they are cut off where IREE can't compile them, and nowhere else."""

import numpy as np
import pytest
from iree.compiler import ir

from springbok.compiler import leftovers
from springbok.compiler.compiler import compile_and_check
from springbok.compiler.mlir import operations
from springbok.support.errors import CompileError

_CONVOLUTION = """
func.func @main(%x: tensor<1x{rows}x{columns}x1xi8>) -> tensor<1x{high}x{wide}x1xi32> {{
  %w = stablehlo.constant dense<[[[[7]], [[-93]]], [[[5]], [[11]]]]> : tensor<2x2x1x1xi8>
  %r = stablehlo.convolution(%x, %w) dim_numbers = [b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f],
    window = {{stride = [3, 3], rhs_dilate = [{dilation}, 1]}}
    {{batch_group_count = 1 : i64, feature_group_count = 1 : i64}}
    : (tensor<1x{rows}x{columns}x1xi8>, tensor<2x2x1x1xi8>) -> tensor<1x{high}x{wide}x1xi32>
  return %r : tensor<1x{high}x{wide}x1xi32>
}}
"""
POOLING = """
func.func @main(%x: tensor<1x{rows}x{columns}x2xf32>) -> tensor<1x{high}x{wide}x2xf32> {{
  %low = arith.constant -3.0e+38 : f32
  %e = tensor.empty() : tensor<1x{high}x{wide}x2xf32>
  %i = linalg.fill ins(%low : f32) outs(%e : tensor<1x{high}x{wide}x2xf32>) -> tensor<1x{high}x{wide}x2xf32>
  %window = tensor.empty() : tensor<2x2xf32>
  %r = linalg.pooling_nhwc_max
    {{dilations = dense<[{dilation}, 1]> : tensor<2xi64>, strides = dense<3> : tensor<2xi64>}}
    ins(%x, %window : tensor<1x{rows}x{columns}x2xf32>, tensor<2x2xf32>)
    outs(%i : tensor<1x{high}x{wide}x2xf32>) -> tensor<1x{high}x{wide}x2xf32>
  return %r : tensor<1x{high}x{wide}x2xf32>
}}
"""
_KERNEL = np.array([[7, -93], [5, 11]])


def formatted(text, rows, columns, dilation=1):
    high, wide = (rows - dilation - 1) // 3 + 1, (columns - 2) // 3 + 1
    return text.format(rows=rows, columns=columns, high=high, wide=wide, dilation=dilation)


@pytest.mark.parametrize(
    ("rows", "columns", "dilation", "kept"),
    [
        (3, 3, 1, [1, 2, 2, 2]),
        (4, 7, 1, [1, 2, 7, 2]),  # two windows side by side reach all but the last column, which is no hindrance
        (5, 5, 1, None),
        (2, 2, 1, None),
        (5, 3, 2, [1, 5, 2, 2]),
    ],
)
def test_only_what_is_in_the_way_is_cut_off(tmp_path, rows, columns, dilation, kept):
    source, output = tmp_path / "source.mlir", tmp_path / "cut.mlirbc"
    source.write_text(formatted(POOLING, rows, columns, dilation))
    assert leftovers.cut_off(source, output) == (kept is not None)
    with ir.Context():
        module = ir.Module.parse(output.read_bytes())
        (pooling,) = operations(module, "linalg.pooling_nhwc_max")
        assert list(pooling.operands[0].type.shape) == (kept or [1, rows, columns, 2])


def test_a_convolution_with_rows_left_over(tmp_path):
    path = tmp_path / "convolution.mlir"
    path.write_text(formatted(_CONVOLUTION, 4, 6))
    model = compile_and_check(path, output_dir=tmp_path / "build")
    wide = model.outputs[0].shape[2]
    for given, answer in zip(model.probes.inputs[0], model.probes.expected[0], strict=True):
        windows = [given[0, :2, 3 * place : 3 * place + 2, 0].astype(int) for place in range(wide)]
        assert answer[0, 0, :, 0].tolist() == [(window * _KERNEL).sum() for window in windows]


def test_a_pooling_with_rows_left_over(tmp_path):
    path = tmp_path / "pooling.mlir"
    path.write_text(formatted(POOLING, 4, 3))
    model = compile_and_check(path, output_dir=tmp_path / "build", optimize="none")
    for given, answer in zip(model.probes.inputs[0], model.probes.expected[0], strict=True):
        assert np.array_equal(answer[0, 0, 0], given[0, :2, :2].max((0, 1)))


def test_what_the_compiler_says_of_other_faults_stays(tmp_path):
    assert leftovers.are_in_the_way(
        "'linalg.generic' op inferred input/output operand #1 has shape's dimension #0 to be 3, but found 2"
    )
    assert not leftovers.are_in_the_way("'linalg.generic' op has no rows")
    path = tmp_path / "broken.mlir"
    path.write_text(formatted(POOLING, 3, 3).replace("%x, %window", "%window, %window"))
    with pytest.raises(CompileError, match=r"iree-compile can't compile broken\.mlir"):
        compile_and_check(path, output_dir=tmp_path / "build")
