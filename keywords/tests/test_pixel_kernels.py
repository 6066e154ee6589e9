# SPDX-License-Identifier: Apache-2.0
"""Kernels along the pixels, images as planes, and pixels as channels: they answer as the compiler's own kernels do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from iree.compiler import ir
from test_register_tiling import FLOATS, INTEGERS, TRANSFORMATIONS, answers, convolution

from springbok.compiler.optimizer import merged_pixels, pixel_plans, register_tiling

IMAGE = "affine_map<(d0, d1, d2) -> (d0, d1, d2)>"
CHANNEL = "affine_map<(d0, d1, d2) -> (d2)>"
PARALLEL = 'iterator_types = ["parallel", "parallel", "parallel"]'
LAYER = """
  %{name}_weights = arith.constant {weights}
  %{name}_bias = arith.constant {bias}
  %{name}_empty = tensor.empty() : tensor<{shape}xi32>
  %{name}_start = linalg.fill ins(%zero : i32) outs(%{name}_empty : tensor<{shape}xi32>) -> tensor<{shape}xi32>
  %{name}_sum = linalg.generic {{indexing_maps = [
      affine_map<(d0, d1, d2, d3, d4, d5) -> (d0 * {stride} + d3, d1 * {stride} + d4, d5)>,
      affine_map<(d0, d1, d2, d3, d4, d5) -> (d3, d4, d5, d2)>, affine_map<(d0, d1, d2, d3, d4, d5) -> (d0, d1, d2)>],
      iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]}}
      ins(%{source}, %{name}_weights : tensor<{read}xi8>, tensor<{taps}xi8>)
      outs(%{name}_start : tensor<{shape}xi32>) {{
  ^bb0(%a: i8, %b: i8, %o: i32):
    %p = arith.extsi %a : i8 to i32
    %q = arith.extsi %b : i8 to i32
    %m = arith.muli %p, %q : i32
    %s = arith.addi %o, %m : i32
    linalg.yield %s : i32
  }} -> tensor<{shape}xi32>
  %{name}_out = tensor.empty() : tensor<{shape}xi8>
  %{name} = linalg.generic {{indexing_maps = [{image}, {channel}, {image}, {image}], {parallel}}}
      ins(%{name}_sum, %{name}_bias, %{other} : tensor<{shape}xi32>, tensor<{n}xi32>, tensor<{shape}xi8>)
      outs(%{name}_out : tensor<{shape}xi8>) {{
  ^bb0(%a: i32, %b: i32, %c: i8, %o: i8):
    %five = arith.constant 5 : i32
    %e = arith.extsi %c : i8 to i32
    %s = arith.addi %a, %b : i32
    %t = arith.addi %s, %e : i32
    %h = arith.shrsi %t, %five : i32
    %n = arith.trunci %h : i32 to i8
    linalg.yield %n : i8
  }} -> tensor<{shape}xi8>
"""
PAD = """
  %filling_{name} = arith.constant {filling} : i8
  %{name} = tensor.pad %{source} low[{low}, 0] high[{high}, 0] {{
  ^bb0(%a: index, %b: index, %d: index):
    tensor.yield %filling_{name} : i8
  }} : tensor<{before}xi8> to tensor<{after}xi8>
"""

ONE_CHANNEL = """
func.func @main(%x: tensor<{h}x{w}x{t}>) -> tensor<{h}x{w}x{n}x{t}> {{
  %weights = arith.constant dense<{weights}> : tensor<3x3x{n}x{t}>
  %bias = arith.constant dense<{bias}> : tensor<{n}x{sum}>
  %zero = arith.constant {zero} : {sum}
  %filling = arith.constant {filling} : {t}
  %padded = tensor.pad %x low[1, 1] high[1, 1] {{
  ^bb0(%a: index, %b: index):
    tensor.yield %filling : {t}
  }} : tensor<{h}x{w}x{t}> to tensor<{ph}x{pw}x{t}>
  %empty = tensor.empty() : tensor<{h}x{w}x{n}x{sum}>
  %start = linalg.fill ins(%zero : {sum}) outs(%empty : tensor<{h}x{w}x{n}x{sum}>) -> tensor<{h}x{w}x{n}x{sum}>
  %sum = linalg.generic {{indexing_maps = [affine_map<(d0, d1, d2, d3, d4) -> (d0 + d3, d1 + d4)>,
      affine_map<(d0, d1, d2, d3, d4) -> (d3, d4, d2)>, affine_map<(d0, d1, d2, d3, d4) -> (d0, d1, d2)>],
      iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction"]}}
      ins(%padded, %weights : tensor<{ph}x{pw}x{t}>, tensor<3x3x{n}x{t}>)
      outs(%start : tensor<{h}x{w}x{n}x{sum}>) {{
  ^bb0(%a: {t}, %b: {t}, %o: {sum}):
    {product}
  }} -> tensor<{h}x{w}x{n}x{sum}>
  %out = tensor.empty() : tensor<{h}x{w}x{n}x{t}>
  %r = linalg.generic {{indexing_maps = [affine_map<(d0, d1, d2) -> (d0, d1, d2)>, affine_map<(d0, d1, d2) -> (d2)>,
      affine_map<(d0, d1, d2) -> (d0, d1, d2)>], iterator_types = ["parallel", "parallel", "parallel"]}}
      ins(%sum, %bias : tensor<{h}x{w}x{n}x{sum}>, tensor<{n}x{sum}>) outs(%out : tensor<{h}x{w}x{n}x{t}>) {{
  ^bb0(%a: {sum}, %b: {sum}, %o: {t}):
    {after}
  }} -> tensor<{h}x{w}x{n}x{t}>
  return %r : tensor<{h}x{w}x{n}x{t}>
}}
"""


def written(shape):
    return "x".join(map(str, shape))


class Network:
    """Convolutions of bytes, written as MLIR; weights and biases are made up."""

    def __init__(self, h, w, c):
        self.random = np.random.default_rng(h * w + c)
        self.body, self.shapes = "\n  %zero = arith.constant 0 : i32\n", {"x": (h, w, c)}
        self.x = self.random.integers(-128, 128, (h, w, c)).astype(np.int8)
        self.x.flat[: 2 * c] = np.repeat([-128, 127], c)

    def pad(self, name, source, low, high, filling):
        before = self.shapes[source]
        after = (before[0] + low[0] + high[0], before[1] + low[1] + high[1], before[2])
        sides = {"low": ", ".join(map(str, low)), "high": ", ".join(map(str, high))}
        shapes = {"before": written(before), "after": written(after)}
        self.body += PAD.format(name=name, source=source, filling=filling, **sides, **shapes)
        self.shapes[name] = after

    def constant(self, shape, low, high, kind):
        values = self.random.integers(low, high, shape).tolist()
        return f"dense<{values}> : tensor<{written(shape)}x{kind}>"

    def layer(self, name, source, n, taps, stride=1, other=None):
        h, w, c = self.shapes[source]
        shape = ((h - taps[0]) // stride + 1, (w - taps[1]) // stride + 1, n)
        if other is None:
            other = f"{name}_nothing"
            self.body += f"  %{other} = arith.constant dense<0> : tensor<{written(shape)}xi8>\n"
        names = {"name": name, "source": source, "other": other, "n": n, "stride": stride}
        shapes = {"shape": written(shape), "read": written((h, w, c)), "taps": written((*taps, c, n))}
        weights = self.constant((*taps, c, n), -128, 128, "i8")
        maps = {"image": IMAGE, "channel": CHANNEL, "parallel": PARALLEL}
        bias = self.constant((n,), -999, 999, "i32")
        self.body += LAYER.format(**names, **shapes, **maps, weights=weights, bias=bias)
        self.shapes[name] = shape

    def text(self, result):
        kinds = [f"tensor<{written(self.shapes[each])}xi8>" for each in ("x", result)]
        return f"func.func @main(%x: {kinds[0]}) -> {kinds[1]} {{{self.body}  return %{result} : {kinds[1]}\n}}\n"


@pytest.fixture
def everywhere(monkeypatch):
    """Kernels along the pixels wherever they are possible."""
    monkeypatch.setattr(merged_pixels, "_WORTH", 0)
    monkeypatch.setattr(pixel_plans, "_WORTH", -(1 << 30))
    monkeypatch.setattr(pixel_plans, "_WAITS", 1 << 30)


def block(h, w, c, n, taps, low, filling, padded):
    """A convolution, and another of its result, to which this is added; the sum may be padded."""
    network = Network(h, w, c)
    high = [tap - 1 - first for tap, first in zip(taps, low, strict=True)]

    def read(source):
        if taps == (1, 1):
            return source
        network.pad(f"{source}_padded", source, low, high, filling)
        return f"{source}_padded"

    network.layer("first", read("x"), n, taps)
    network.layer("second", read("first"), n, taps, other="first")
    if padded:
        network.pad("after", "second", (0, 1), (1, 2), 3)
    return network.text("after" if padded else "second"), network.x


@pytest.mark.parametrize("vlen", [128, 512])
@pytest.mark.parametrize(
    ("h", "w", "c", "n", "taps", "low", "filling", "padded"),
    [
        (8, 8, 3, 5, (3, 3), (1, 1), -128, True),
        (4, 16, 2, 4, (3, 3), (0, 2), 7, False),  # nothing above and before, or behind
        (16, 4, 1, 3, (2, 5), (1, 2), -1, True),  # windows larger than a row
        (4, 8, 4, 3, (1, 1), (0, 0), 0, False),  # no padding
        (11, 6, 2, 3, (3, 4), (0, 2), 5, False),  # vectors that begin within a row
    ],
)
def test_several_rows_in_a_vector(h, w, c, n, taps, low, filling, padded, vlen, everywhere, monkeypatch, tmp_path):
    monkeypatch.setattr(register_tiling, "vector_bits", lambda module: vlen)
    text, x = block(h, w, c, n, taps, low, filling, padded)
    expected, _ = answers(text, x, (), tmp_path)
    found, changes = answers(text, x, TRANSFORMATIONS, tmp_path)
    details = [change.detail for change in changes if change.transformation == "register-tiling"]
    assert [detail.endswith("along the pixels, as planes") for detail in details] == [True, False]
    assert details[1].endswith("along the pixels")
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(("h", "w"), [(9, 5), (25, 3), (5, 23)])
def test_vectors_of_a_plane_that_are_no_whole_rows(h, w, everywhere, tmp_path):
    network = Network(h, w, 3)
    network.layer("first", "x", 4, (1, 1))
    network.pad("padded", "first", (1, 1), (1, 1), -7)
    network.layer("second", "padded", 3, (3, 3))
    expected, _ = answers(network.text("second"), network.x, (), tmp_path)
    found, changes = answers(network.text("second"), network.x, TRANSFORMATIONS, tmp_path)
    details = [change.detail for change in changes if change.transformation == "register-tiling"]
    assert [detail.endswith("along the pixels, as planes") for detail in details] == [True, False]
    assert details[1].endswith("along the pixels")
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("vlen", [256, 512])
@pytest.mark.parametrize(("kind", "h", "w"), [(INTEGERS, 43, 3), (INTEGERS, 7, 5), (FLOATS, 25, 3), (FLOATS, 8, 4)])
def test_an_image_of_one_channel(kind, h, w, vlen, everywhere, monkeypatch, tmp_path):
    monkeypatch.setattr(register_tiling, "vector_bits", lambda module: vlen)
    random, n = np.random.default_rng(h), 4
    as_written = int if kind is INTEGERS else float
    weights, bias = (random.integers(-99, 99, shape).astype(as_written).tolist() for shape in ((3, 3, n), n))
    sides = {"h": h, "w": w, "ph": h + 2, "pw": w + 2, "n": n, "weights": weights, "bias": bias}
    x = random.integers(-128, 128, (h, w)).astype(np.int8 if kind is INTEGERS else np.float32)
    expected, _ = answers(ONE_CHANNEL.format(**sides, **kind), x, (), tmp_path)
    found, (change, *_) = answers(ONE_CHANNEL.format(**sides, **kind), x, TRANSFORMATIONS, tmp_path)
    assert change.detail.endswith("along the pixels")
    assert np.array_equal(found, expected)


@given(st.integers(1, 200), st.integers(1, 40), st.sampled_from([32, 64, 128]), st.booleans())
def test_vectors_cover_a_plane(rows, columns, most, masked):
    pieces = pixel_plans._of_planes(rows, columns, most, most // 8, masked)
    if pieces is None:
        assert masked and rows * columns > most
        return
    ends = [(first, first + size) for start, size, n in pieces for first in range(start, start + n * size, size)]
    assert set().union(*(range(*each) for each in ends)) >= set(range(rows * columns))
    assert all(first >= 0 and last - first <= most for first, last in ends)
    assert max(last for _, last in ends) <= rows * columns or len(ends) == 1
    assert all(n == 1 or not masked or size % columns == 0 for _, size, n in pieces)


@pytest.mark.parametrize(("w", "c", "stride"), [(23, 3, 2), (48, 1, 1), (6, 5, 1)])
def test_a_row_in_a_vector(w, c, stride, everywhere, tmp_path):
    network = Network(5, w, c)
    network.layer("result", "x", 3, (3, 2), stride)
    network.pad("after", "result", (1, 1), (0, 1), -5)
    expected, _ = answers(network.text("after"), network.x, (), tmp_path)
    found, (change, *_) = answers(network.text("after"), network.x, TRANSFORMATIONS, tmp_path)
    assert change.detail.endswith("stored into its padding, along the pixels")
    assert np.array_equal(found, expected)


def test_planes_are_copied_where_another_reads_the_image(everywhere, tmp_path):
    network = Network(4, 8, 2)
    network.layer("first", "x", 2, (1, 1))
    network.pad("padded", "first", (1, 1), (1, 1), 9)
    network.layer("second", "padded", 3, (3, 3))
    network.layer("third", "first", 3, (1, 1), other="second")
    network.pad("wide", "first", (1, 1), (1, 1), 8)  # with another filling
    network.layer("last", "wide", 3, (3, 3), other="third")
    expected, _ = answers(network.text("last"), network.x, (), tmp_path)
    found, changes = answers(network.text("last"), network.x, TRANSFORMATIONS, tmp_path)
    assert not any("as planes" in change.detail for change in changes)
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("kind", "h", "w", "c", "size"),
    [
        (INTEGERS, 4, 14, 8, "64"),  # 16 columns of 8 channels
        (INTEGERS, 3, 13, 5, "15"),  # 15 of 5 channels: three pixels fit into one register
        (FLOATS, 3, 7, 24, "16"),  # 9 columns of 24 channels: nothing is gained
        (FLOATS, 3, 10, 16, "16"),  # bytes only
    ],
)
def test_pixels_as_channels(kind, h, w, c, size, everywhere, tmp_path):
    text, x = convolution(kind, h, w, c, c, 1, depthwise=True)
    expected, _ = answers(text, x, (), tmp_path)
    found, (change, *_) = answers(text, x, TRANSFORMATIONS, tmp_path)
    assert change.applied and f" x {size}" in change.detail.partition(", ")[0]
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("vlen", [128, 256, 512, 1024])
def test_small_layers_keep_their_kernels(vlen):
    text, _ = block(4, 8, 3, 4, (3, 3), (1, 1), -128, False)
    with ir.Context():
        target = f'#hal.executable.target<"llvm-cpu", "embedded-elf-riscv_32", {{cpu_features = "+zvl{vlen}b"}}>'
        device = f'util.global private @device = #hal.device.target<"local", [{target}]> : !hal.device'
        changes = register_tiling.RegisterTiling().apply(ir.Module.parse(f"{device}\n{text}"))
    assert not any("along the pixels" in change.detail for change in changes)
