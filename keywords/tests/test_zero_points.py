# SPDX-License-Identifier: Apache-2.0
"""Zero points leave the sums, exactly; and conversions to 8 bits are done on the registers."""

import numpy as np
import pytest
from iree.compiler import ir

from springbok.compiler import iree, optimizer
from springbok.compiler.compiled import Target
from springbok.compiler.flags import compiler_flags
from springbok.compiler.host_check import host_flags
from springbok.compiler.optimizer.zero_points import ZeroPoints

PRODUCT = """
func.func @main(%x: tensor<{k}xi8>) -> tensor<{n}xi32> {{
  %weights = arith.constant {weights}
  %zero = arith.constant 0 : i32
  %zx = arith.constant {zx} : i32
  %zw = arith.constant {zw} : i32
  %empty = tensor.empty() : tensor<{n}xi32>
  %start = linalg.fill ins(%zero : i32) outs(%empty : tensor<{n}xi32>) -> tensor<{n}xi32>
  %sum = linalg.generic {{indexing_maps = [affine_map<(d0, d1) -> (d1)>, affine_map<(d0, d1) -> (d1, d0)>,
      affine_map<(d0, d1) -> ()>, affine_map<(d0, d1) -> ()>, affine_map<(d0, d1) -> (d0)>],
      iterator_types = ["parallel", "reduction"]}}
      ins(%x, %weights, %zx, %zw : tensor<{k}xi8>, tensor<{k}x{n}xi8>, i32, i32) outs(%start : tensor<{n}xi32>) {{
  ^bb0(%a: i8, %b: i8, %za: i32, %zb: i32, %o: i32):
    %p = arith.{x_extension} %a : i8 to i32
    %q = arith.subi %p, %za : i32
    %r = arith.{w_extension} %b : i8 to i32
    %s = arith.subi %r, %zb : i32
    %m = arith.muli %q, %s : i32
    %t = arith.addi %o, %m : i32
    linalg.yield %t : i32
  }} -> tensor<{n}xi32>
  return %sum : tensor<{n}xi32>
}}
"""


def product(k, n, zx, zw, x_extension, w_extension):
    weights = np.random.default_rng(k).integers(-128, 128, (k, n)).tolist()
    fields = {"k": k, "n": n, "zx": zx, "zw": zw, "x_extension": x_extension, "w_extension": w_extension}
    return PRODUCT.format(weights=f"dense<{weights}> : tensor<{k}x{n}xi8>", **fields), np.array(weights)


def exact(x, weights, zx, zw, x_extension, w_extension):
    x, weights = (
        each.astype(np.int64) % 256 if extension == "extui" else each.astype(np.int64)
        for each, extension in ((x, x_extension), (weights, w_extension))
    )
    return (x - zx) @ (weights - zw)


def answer(text, x, transformations, folder):
    source, rewritten, module = folder / "half.mlir", folder / "rewritten.mlirbc", folder / "module.vmfb"
    source.write_text(text)
    changes = optimizer.rewrite(source, rewritten, transformations, for_host=True)
    flags = host_flags(compiler_flags(Target.of("vector", 512))[0])
    iree._run([rewritten, *flags, "-o"], module, [], "test")
    return iree.run_module(module, "main", [x], 1, inline=True)[0], changes


@pytest.mark.parametrize(
    ("zx", "zw", "x_extension", "w_extension", "detail"),
    [
        (0, 0, "extsi", "extsi", "of 0 and 0, out of the sum"),
        (-128, 0, "extsi", "extsi", "of -128 and 0, out of the sum"),
        (255, 128, "extui", "extui", "of 255 and 128, out of the sum"),
        (3, 255, "extui", "extui", "of 3 and 255, out of the sum"),
        (127, -128, "extsi", "extsi", "of 127 and -128, out of the sum"),
    ],
)
def test_sums_are_the_same_without_zero_points(zx, zw, x_extension, w_extension, detail, tmp_path):
    text, weights = product(19, 7, zx, zw, x_extension, w_extension)
    x = np.random.default_rng(1).integers(-128, 128, 19).astype(np.int8)
    x[:4] = -128, 127, 0, -1
    found, changes = answer(text, x, ("zero-points", "register-tiling"), tmp_path)
    assert np.array_equal(found, exact(x, weights, zx, zw, x_extension, w_extension))
    own = {each.transformation: each for each in changes}
    assert own["zero-points"].detail == detail
    assert own["register-tiling"].applied


def test_what_it_is_not_for_stays_and_is_said():
    text, _ = product(5, 3, 1, 2, "extsi", "extsi")
    start, end = text.index("  %weights"), text.index("  %zero =")
    unknown = text[:start] + text[end:]
    unknown = unknown.replace("(%x: tensor<5xi8>)", "(%x: tensor<5xi8>, %weights: tensor<5x3xi8>)")
    with ir.Context():
        module = ir.Module.parse(unknown)
        (change,) = ZeroPoints().apply(module)
        assert module.operation.verify()
    assert not change.applied
    assert change.detail == "its weights are not known when compiling"


CONVERSION = """
func.func @main(%x: tensor<4x48xf32>) -> tensor<4x48xi8> {
  %scale = arith.constant 0.03 : f32
  %zero = arith.constant 5 : i8
  %empty = tensor.empty() : tensor<4x48xi8>
  %q = iree_linalg_ext.quantize_affine <indexing_maps = [affine_map<(d0, d1) -> (d0, d1)>, affine_map<(d0, d1) -> ()>,
      affine_map<(d0, d1) -> ()>, affine_map<(d0, d1) -> (d0, d1)>], quant_min = -128, quant_max = 127>
      ins(%x, %scale, %zero : tensor<4x48xf32>, f32, i8) outs(%empty : tensor<4x48xi8>) -> tensor<4x48xi8>
  return %q : tensor<4x48xi8>
}
"""


def test_conversions_to_8_bits_become_arithmetic(tmp_path):
    with ir.Context():
        module = ir.Module.parse(CONVERSION.replace("func.func", "util.func public").replace("return", "util.return"))
        ZeroPoints().apply(module)
        text = str(module)
    assert "quantize_affine" not in text
    assert "ins(%arg0 : tensor<4x48xf32>)" in text, "the scalars are inside"
