# SPDX-License-Identifier: Apache-2.0
"""Register tiling and pads by rows: small models of awkward shapes answer as they do without, and what is refused."""

import re

import numpy as np
import pytest
from iree.compiler import ir

from springbok.compiler import iree, optimizer
from springbok.compiler.compiled import Target
from springbok.compiler.flags import compiler_flags
from springbok.compiler.host_check import host_flags
from springbok.compiler.mlir import operations
from springbok.compiler.optimizer.register_tiling import RegisterTiling

TRANSFORMATIONS = ("register-tiling", "pads")

CONVOLUTION = """
func.func @main(%x: tensor<{h}x{w}x{c}x{t}>) -> tensor<{oh}x{ow}x{n}x{t}> {{
  %weights = arith.constant {weights}
  %bias = arith.constant {bias}
  %zero = arith.constant {zero} : {sum}
  %filling = arith.constant {filling} : {t}
  %padded = tensor.pad %x low[1, 2, 0] high[2, 1, 0] {{
  ^bb0(%a: index, %b: index, %d: index):
    tensor.yield %filling : {t}
  }} : tensor<{h}x{w}x{c}x{t}> to tensor<{ph}x{pw}x{c}x{t}>
  %empty = tensor.empty() : tensor<{oh}x{ow}x{n}x{sum}>
  %start = linalg.fill ins(%zero : {sum}) outs(%empty : tensor<{oh}x{ow}x{n}x{sum}>) -> tensor<{oh}x{ow}x{n}x{sum}>
  %sum = linalg.generic {{indexing_maps = [{maps}, affine_map<({loops}) -> (d0, d1, d2)>],
      iterator_types = ["parallel", "parallel", "parallel"{reductions}]}}
      ins(%padded, %weights : tensor<{ph}x{pw}x{c}x{t}>, {weight_type})
      outs(%start : tensor<{oh}x{ow}x{n}x{sum}>) {{
  ^bb0(%a: {t}, %b: {t}, %o: {sum}):
    {product}
  }} -> tensor<{oh}x{ow}x{n}x{sum}>
  %out = tensor.empty() : tensor<{oh}x{ow}x{n}x{t}>
  %r = linalg.generic {{indexing_maps = [affine_map<(d0, d1, d2) -> (d0, d1, d2)>, affine_map<(d0, d1, d2) -> (d2)>,
      affine_map<(d0, d1, d2) -> (d0, d1, d2)>], iterator_types = ["parallel", "parallel", "parallel"]}}
      ins(%sum, %bias : tensor<{oh}x{ow}x{n}x{sum}>, tensor<{n}x{sum}>) outs(%out : tensor<{oh}x{ow}x{n}x{t}>) {{
  ^bb0(%a: {sum}, %b: {sum}, %o: {t}):
    {after}
  }} -> tensor<{oh}x{ow}x{n}x{t}>
  return %r : tensor<{oh}x{ow}x{n}x{t}>
}}
"""
INTEGERS = {
    "t": "i8",
    "sum": "i32",
    "zero": "0",
    "filling": "-7",
    "product": "%p = arith.extsi %a : i8 to i32\n %q = arith.extsi %b : i8 to i32\n %m = arith.muli %p, %q : i32\n"
    " %s = arith.addi %o, %m : i32\n linalg.yield %s : i32",
    "after": "%c = arith.constant 5 : i32\n %s = arith.addi %a, %b : i32\n %h = arith.shrsi %s, %c : i32\n"
    " %n = arith.trunci %h : i32 to i8\n linalg.yield %n : i8",
}
FLOATS = {
    "t": "f32",
    "sum": "f32",
    "zero": "0.0",
    "filling": "-7.0",
    "product": "%m = arith.mulf %a, %b : f32\n %s = arith.addf %o, %m : f32\n linalg.yield %s : f32",
    "after": "%s = arith.addf %a, %b : f32\n linalg.yield %s : f32",
}


def convolution(kind, h, w, c, n, stride, *, depthwise=False):
    generator = np.random.default_rng(h * w + n)
    taps = (3, 2, n) if depthwise else (3, 2, c, n)
    maximum = 127 if kind is INTEGERS else 1

    def dense(shape, element):
        values = generator.integers(-maximum - 1, maximum + 1, shape).tolist()
        text = str(values) if element != "f32" else str(np.array(values, float).tolist())
        return f"dense<{text}> : tensor<{'x'.join(map(str, shape))}x{element}>"

    ph, pw = h + 3, w + 3
    first = f"d0 * {stride} + d3, d1 * {stride} + d4, {'d2' if depthwise else 'd5'}"
    loops = "d0, d1, d2, d3, d4" + ("" if depthwise else ", d5")
    second = "d3, d4, d2" if depthwise else "d3, d4, d5, d2"
    fields = {
        **kind,
        **{"h": h, "w": w, "c": c, "n": n, "ph": ph, "pw": pw, "loops": loops},
        **{"oh": (ph - 3) // stride + 1, "ow": (pw - 2) // stride + 1},
        "maps": f"affine_map<({loops}) -> ({first})>, affine_map<({loops}) -> ({second})>",
        "reductions": ', "reduction"' * (2 if depthwise else 3),
        "weights": dense(taps, kind["t"]),
        "bias": dense((n,), kind["sum"]),
        "weight_type": f"tensor<{'x'.join(map(str, taps))}x{kind['t']}>",
    }
    dtype = np.int8 if kind is INTEGERS else np.float32
    x = generator.integers(-maximum - 1, maximum + 1, (h, w, c)).astype(dtype)
    x.flat[: 2 * c] = np.repeat([-maximum - 1, maximum], c)
    return CONVOLUTION.format(**fields), x


def answers(text, x, transformations, folder):
    source, rewritten, module = folder / "half.mlir", folder / "rewritten.mlirbc", folder / "module.vmfb"
    source.write_text(text)
    changes = optimizer.rewrite(source, rewritten, transformations, for_host=True)
    flags = host_flags(compiler_flags(Target.of("vector", 512))[0])
    iree._run([rewritten if transformations else source, *flags, "-o"], module, [], "test")
    return iree.run_module(module, "main", [x], 1, inline=True)[0], changes


@pytest.mark.parametrize(
    ("kind", "h", "w", "c", "n", "stride", "depthwise"),
    [
        (INTEGERS, 3, 7, 3, 12, 1, False),  # channels that are no power of two, a rest of the tile
        (INTEGERS, 2, 40, 5, 16, 2, False),  # several tiles, a stride, a number of inputs that is not unrolled
        (INTEGERS, 2, 2, 64, 80, 1, False),  # two chunks of channels
        (FLOATS, 3, 5, 4, 10, 1, False),
        (INTEGERS, 4, 19, 6, 6, 2, True),
        (FLOATS, 3, 6, 70, 70, 1, True),
    ],
)
def test_kernels_answer_as_the_compilers_own(kind, h, w, c, n, stride, depthwise, tmp_path):
    text, x = convolution(kind, h, w, c, n, stride, depthwise=depthwise)
    expected, _ = answers(text, x, (), tmp_path)
    found, changes = answers(text, x, TRANSFORMATIONS, tmp_path)
    assert any(change.transformation == "register-tiling" and change.applied for change in changes)
    assert np.array_equal(found, expected)


DENSE = """
func.func @main(%x: tensor<{k}xf32>) -> tensor<{n}xf32> {{
  %weights = arith.constant {weights}
  %zero = arith.constant 0.0 : f32
  %limit = arith.constant {limit} : f32
  %empty = tensor.empty() : tensor<{n}xf32>
  %start = linalg.fill ins(%zero : f32) outs(%empty : tensor<{n}xf32>) -> tensor<{n}xf32>
  %sum = linalg.vecmat ins(%x, %weights : tensor<{k}xf32>, tensor<{k}x{n}xf32>) outs(%start : tensor<{n}xf32>)
      -> tensor<{n}xf32>
  %r = linalg.generic {{indexing_maps = [affine_map<(d0) -> (d0)>, affine_map<(d0) -> (d0)>],
      iterator_types = ["parallel"]}} ins(%sum : tensor<{n}xf32>) outs(%empty : tensor<{n}xf32>) {{
  ^bb0(%a: f32, %o: f32):
    %m = arith.{operation} %a, %limit : f32
    linalg.yield %m : f32
  }} -> tensor<{n}xf32>
  return %r : tensor<{n}xf32>
}}
"""


def dense(k, n, operation="maximumf", limit="0.0"):
    weights = np.random.default_rng(k * n).uniform(-1, 1, (k, n)).astype(np.float32).tolist()
    return DENSE.format(k=k, n=n, operation=operation, limit=limit, weights=f"dense<{weights}> : tensor<{k}x{n}xf32>")


@pytest.mark.parametrize(("k", "n"), [(9, 7), (40, 80), (3, 130), (16, 1)])
def test_dense_layers_answer_as_the_compilers_own(k, n, tmp_path):
    x = np.random.default_rng(k).uniform(-2, 2, k).astype(np.float32)
    expected, _ = answers(dense(k, n), x, (), tmp_path)
    found, (change,) = answers(dense(k, n), x, TRANSFORMATIONS[:1], tmp_path)
    assert change.applied
    assert np.abs(found - expected).max() <= 1e-6 * max(1, np.abs(expected).max())


@pytest.mark.parametrize(("vlen", "size"), [(128, 32), (256, 64), (512, 64), (1024, 128)])
def test_the_sums_of_a_row_take_more_registers_where_these_are_short(vlen, size):
    with ir.Context():
        target = f'#hal.executable.target<"llvm-cpu", "embedded-elf-riscv_32", {{cpu_features = "+zvl{vlen}b"}}>'
        device = f'util.global private @device = #hal.device.target<"local", [{target}]> : !hal.device'
        module = ir.Module.parse(device + dense(4, 128))
        (change,) = RegisterTiling().apply(module)
    assert change.detail.startswith(f"tiles of 1 x {size}, ")


@pytest.mark.parametrize(
    ("operation", "limit"),
    [("maximumf", "0.0"), ("maximumf", "-0.0"), ("maximumf", "0x7FC00000"), ("minimumf", "6.0"), ("minimumf", "-0.0")],
)
def test_limits_are_the_same_to_the_bit(operation, limit, tmp_path):
    special = np.array([0.0, -0.0, 6.0, -1.5, np.inf, -np.inf, np.nan, 7.5, -3.25, 1e-40, -1e-40, 5.999], np.float32)
    # One times a number, added to minus zero, is the number itself.
    text = dense(1, len(special), operation, limit).replace("constant 0.0", "constant -0.0", 1)
    weights = f'dense<"0x{special.tobytes().hex().upper()}">'
    text = text.replace(text[text.index("dense<") : text.index(" : tensor<1x12xf32>")], weights)
    one = np.ones(1, np.float32)
    expected, _ = answers(text, one, (), tmp_path)
    found, (change,) = answers(text, one, TRANSFORMATIONS[:1], tmp_path)
    assert change.applied
    known = ~np.isnan(expected)
    assert np.array_equal(np.isnan(found), ~known)
    assert found[known].tobytes() == expected[known].tobytes()


def test_shared_weights_get_no_kernel_for_each_place():
    text = dense(8, 8).replace("%start = ", "%begin = ").replace("outs(%start", "outs(%begin")
    twice = text.replace(
        "  %r = ",
        "  %again = linalg.vecmat ins(%sum, %weights : tensor<8xf32>, tensor<8x8xf32>) outs("
        "%begin : tensor<8xf32>) -> tensor<8xf32>\n  %r = ",
    ).replace("ins(%sum : t", "ins(%again : t")
    with ir.Context():
        changes = RegisterTiling().apply(ir.Module.parse(twice))
    assert [change.applied for change in changes] == [False, False]
    assert "used at other places" in changes[0].detail


WIDENING = """  %wide = tensor.empty() : tensor<{shape}xi32>
  %w = linalg.generic {{indexing_maps = [affine_map<(d0, d1, d2) -> (d0, d1, d2)>,
      affine_map<(d0, d1, d2) -> (d0, d1, d2)>], iterator_types = ["parallel", "parallel", "parallel"]}}
      ins(%r : tensor<{shape}xi8>) outs(%wide : tensor<{shape}xi32>) {{
  ^bb0(%a: i8, %o: i32):
    %e = arith.extsi %a : i8 to i32
    linalg.yield %e : i32
  }} -> tensor<{shape}xi32>
  return %w : tensor<{shape}xi32>
"""


@pytest.mark.parametrize(("size", "stored"), [(3, "i32"), (12, "i8")])
def test_what_is_stored_is_the_narrowest_value_of_what_follows(size, stored):
    text, _ = convolution(INTEGERS, size, size, 4, 16, 1)
    (shape,) = re.findall(r"return %r : tensor<(.*)xi8>", text)
    text = text.replace(f"  return %r : tensor<{shape}xi8>\n", WIDENING.format(shape=shape))
    text = text.replace(f") -> tensor<{shape}xi8> {{", f") -> tensor<{shape}xi32> {{", 1)
    with ir.Context():
        module = ir.Module.parse(text)
        (change,) = RegisterTiling().apply(module)
        (region,) = operations(module, "flow.dispatch.region")
        assert str(region.results[0].type) == f"tensor<{shape}x{stored}>"
    assert change.applied


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("x16xi8>, ", "x16xi8>, ", None),
        ("arith.addi %o, %m", "arith.muli %o, %m", "it is neither a sum nor a maximum"),
        ("-> (d3, d4, d5, d2)", "-> (d3, d4, d2, d5)", "no operand has the output's innermost dimension innermost"),
    ],
)
def test_what_it_is_not_for_stays_and_is_said(before, after, reason):
    text, _ = convolution(INTEGERS, 3, 4, 16, 16, 1)
    assert before in text
    with ir.Context():
        module = ir.Module.parse(text.replace(before, after))
        (change,) = RegisterTiling().apply(module)
        assert module.operation.verify()
        assert ("linalg.generic" in str(module)) is not change.applied
    assert change.applied is (reason is None)
    assert reason is None or change.detail == reason
