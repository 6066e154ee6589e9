# SPDX-License-Identifier: Apache-2.0
"""MLIR files whose right answers IREE alone does not give: what is put right, and who says what is right."""

import importlib.metadata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from iree.compiler import ir

from springbok.compiler import compiler, importers
from springbok.compiler.importers import mlir_rewriting
from springbok.compiler.importers.mlir_file import XLA
from springbok.support import packages
from springbok.support.cache import Cache


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    return tmp_path_factory.mktemp("build")


def answers(folder, text, inputs, build):
    """Compiles, checks on ``inputs`` (an array an input, samples first), and gives the framework's answers."""
    path = folder / "model.mlir"
    path.write_text(text)
    model = compiler.compile_and_check(path, output_dir=build, inputs=inputs, tolerance=1e-5)
    return model, compiler.framework_outputs(path, inputs, output_dir=build)


UPDATES = """
func.func @main(%x: tensor<8x8xf32>) -> (tensor<8x8xf32>, tensor<8x8xf32>, tensor<8x8xf32>, tensor<8x8xf32>) {
  %zero = stablehlo.constant dense<0> : tensor<i32>
  %one = stablehlo.constant dense<1> : tensor<i32>
  %four = stablehlo.constant dense<4> : tensor<i32>
  %a = stablehlo.abs %x : tensor<8x8xf32>
  %s = stablehlo.slice %a [0:8, 1:8:2] : (tensor<8x8xf32>) -> tensor<8x4xf32>
  %r0 = stablehlo.dynamic_update_slice %a, %s, %zero, %four
      : (tensor<8x8xf32>, tensor<8x4xf32>, tensor<i32>, tensor<i32>) -> tensor<8x8xf32>
  %b = stablehlo.negate %x : tensor<8x8xf32>
  %t = stablehlo.slice %b [0:7, 0:8] : (tensor<8x8xf32>) -> tensor<7x8xf32>
  %u = stablehlo.multiply %t, %t : tensor<7x8xf32>
  %r1 = stablehlo.dynamic_update_slice %b, %u, %one, %zero
      : (tensor<8x8xf32>, tensor<7x8xf32>, tensor<i32>, tensor<i32>) -> tensor<8x8xf32>
  %c = stablehlo.add %x, %x : tensor<8x8xf32>
  %v = stablehlo.slice %c [0:7, 0:8] : (tensor<8x8xf32>) -> tensor<7x8xf32>
  %r2 = stablehlo.dynamic_update_slice %c, %v, %one, %zero
      : (tensor<8x8xf32>, tensor<7x8xf32>, tensor<i32>, tensor<i32>) -> tensor<8x8xf32>
  %d = stablehlo.multiply %x, %x : tensor<8x8xf32>
  %w = stablehlo.slice %d [1:8, 0:8] : (tensor<8x8xf32>) -> tensor<7x8xf32>
  %r3 = stablehlo.dynamic_update_slice %d, %w, %zero, %zero
      : (tensor<8x8xf32>, tensor<7x8xf32>, tensor<i32>, tensor<i32>) -> tensor<8x8xf32>
  return %r0, %r1, %r2, %r3 : tensor<8x8xf32>, tensor<8x8xf32>, tensor<8x8xf32>, tensor<8x8xf32>
}
"""


def test_a_tensor_is_updated_by_a_part_of_itself(tmp_path, build):
    x = np.random.default_rng(1).normal(size=(1, 8, 8)).astype(np.float32)
    _, got = answers(tmp_path, UPDATES, [x], build)
    wanted = [np.abs(x[0]), -x[0], 2 * x[0], x[0] * x[0]]
    wanted[0][:, 4:] = np.abs(x[0])[:, 1:8:2]
    wanted[1][1:] = x[0][:-1] ** 2
    wanted[2][1:] = 2 * x[0][:-1]
    wanted[3][:-1] = x[0][1:] ** 2
    for one, right in zip(got, wanted, strict=True):
        np.testing.assert_allclose(one[0], right, rtol=1e-6)


PRODUCTS = """
func.func @main(%x: tensor<7x33xui8>, %y: tensor<33x9xi8>, %i: tensor<1x6x6x2xui8>, %k: tensor<3x3x2x3xi8>)
    -> (tensor<7x9xi32>, tensor<1x4x4x3xi32>, tensor<7x7xi32>) {
  %a = stablehlo.convert %x : (tensor<7x33xui8>) -> tensor<7x33xi32>
  %b = stablehlo.convert %y : (tensor<33x9xi8>) -> tensor<33x9xi32>
  %r0 = stablehlo.dot_general %a, %b, contracting_dims = [1] x [0]
      : (tensor<7x33xi32>, tensor<33x9xi32>) -> tensor<7x9xi32>
  %c = stablehlo.convert %i : (tensor<1x6x6x2xui8>) -> tensor<1x6x6x2xi32>
  %d = stablehlo.convert %k : (tensor<3x3x2x3xi8>) -> tensor<3x3x2x3xi32>
  %r1 = stablehlo.convolution(%c, %d) dim_numbers = [b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f], window = {}
      {batch_group_count = 1 : i64, feature_group_count = 1 : i64}
      : (tensor<1x6x6x2xi32>, tensor<3x3x2x3xi32>) -> tensor<1x4x4x3xi32>
  %r2 = stablehlo.dot_general %x, %x, contracting_dims = [1] x [1]
      : (tensor<7x33xui8>, tensor<7x33xui8>) -> tensor<7x7xi32>
  return %r0, %r1, %r2 : tensor<7x9xi32>, tensor<1x4x4x3xi32>, tensor<7x7xi32>
}
"""


def test_bytes_without_a_sign_are_multiplied_as_such(tmp_path, build):
    random = np.random.default_rng(2)
    shapes = (((7, 33), 0), ((33, 9), -128), ((1, 6, 6, 2), 0), ((3, 3, 2, 3), -128))
    inputs = [
        random.integers(least, least + 256, (1, *shape)).astype(np.int8 if least else np.uint8)
        for shape, least in shapes
    ]
    _, got = answers(tmp_path, PRODUCTS, inputs, build)
    x, y, image, kernel = (array[0].astype(np.int32) for array in inputs)
    np.testing.assert_array_equal(got[0][0], x @ y)
    np.testing.assert_array_equal(got[2][0], x @ x.T)
    windows = np.lib.stride_tricks.sliding_window_view(image[0], (3, 3), (0, 1))
    np.testing.assert_array_equal(got[1][0, 0], np.einsum("xyikl,klio->xyo", windows, kernel))


NUMBERS = np.array([0.0, -0.0, 0.5, -0.5, 1, -1, 1.5, -1.5, 2, 3, -3, 16, np.inf, -np.inf, np.nan], np.float32)
PAIRS = [np.repeat(NUMBERS, len(NUMBERS)), np.tile(NUMBERS, len(NUMBERS))]
COUNT = len(PAIRS[0])


@np.errstate(all="ignore")
def power():
    return np.power(*PAIRS)


def same(got, wanted):
    """Whether numbers are equal, the signs of zeros too."""
    np.testing.assert_allclose(got, wanted, rtol=2e-6)
    ordinary = ~np.isnan(wanted)
    np.testing.assert_array_equal(np.signbit(got)[ordinary], np.signbit(wanted)[ordinary])


FUNCTIONS = f"""
func.func @main(%x: tensor<{COUNT}xf32>, %y: tensor<{COUNT}xf32>)
    -> (tensor<{COUNT}xf32>, tensor<{COUNT}xf32>, tensor<{COUNT}xf32>, tensor<{COUNT}xf32>, tensor<{COUNT}xf32>) {{
  %a = stablehlo.power %x, %y : tensor<{COUNT}xf32>
  %b = stablehlo.atan2 %x, %y : tensor<{COUNT}xf32>
  %c = stablehlo.cbrt %x : tensor<{COUNT}xf32>
  %three = stablehlo.constant dense<3.0> : tensor<{COUNT}xf32>
  %d = stablehlo.power %x, %three : tensor<{COUNT}xf32>
  %far = stablehlo.constant dense<1000.0> : tensor<{COUNT}xf32>
  %f = stablehlo.multiply %y, %far : tensor<{COUNT}xf32>
  %e = stablehlo.sine %f : tensor<{COUNT}xf32>
  return %a, %b, %c, %d, %e
      : tensor<{COUNT}xf32>, tensor<{COUNT}xf32>, tensor<{COUNT}xf32>, tensor<{COUNT}xf32>, tensor<{COUNT}xf32>
}}
"""


def test_functions_are_right_at_their_ends(tmp_path, build):
    _, got = answers(tmp_path, FUNCTIONS, [array[None] for array in PAIRS], build)
    with np.errstate(all="ignore"):
        wanted = [power(), np.arctan2(*PAIRS), np.cbrt(PAIRS[0]), PAIRS[0] ** 3]
        sine = np.sin(1000 * PAIRS[1])
    for one, right in zip(got, wanted, strict=False):
        same(one[0], right)
    np.testing.assert_allclose(got[4][0], sine, atol=1e-6)


TENSOR = f"tensor<{COUNT}xf32>"


@pytest.mark.parametrize(
    "operation", [f"tosa.pow %x, %y : ({TENSOR}, {TENSOR}) -> {TENSOR}", f"math.powf %x, %y : {TENSOR}"]
)
def test_other_dialects_have_the_same_functions_and_say_who_judged(tmp_path, build, operation):
    text = f"func.func @main(%x: {TENSOR}, %y: {TENSOR}) -> {TENSOR} {{\n%r = {operation}\nreturn %r : {TENSOR} }}"
    model, (got,) = answers(tmp_path, text, [array[None] for array in PAIRS], build)
    same(got[0], power())
    assert "as judged by IREE itself: XLA answers for StableHLO alone" in model.describe()


INDICES = """
func.func @main(%x: tensor<5x3xf32>, %i: tensor<4x1xi32>, %u: tensor<4x3xf32>, %p: tensor<4x2xi32>, %b: tensor<3xui8>)
    -> (tensor<4x3xf32>, tensor<5x3xf32>, tensor<5x3xf32>, tensor<4xf32>, tensor<5x3xf32>, tensor<3x3xf32>) {
  %r0 = "stablehlo.gather"(%x, %i) <{dimension_numbers = #stablehlo.gather<offset_dims = [1],
      collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, slice_sizes = array<i64: 1, 3>}>
      : (tensor<5x3xf32>, tensor<4x1xi32>) -> tensor<4x3xf32>
  %r1 = "stablehlo.scatter"(%x, %i, %u) <{scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1],
      inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>}> ({
  ^bb0(%m: tensor<f32>, %n: tensor<f32>):
    %s = stablehlo.add %m, %n : tensor<f32>
    stablehlo.return %s : tensor<f32>
  }) : (tensor<5x3xf32>, tensor<4x1xi32>, tensor<4x3xf32>) -> tensor<5x3xf32>
  %r2 = "stablehlo.scatter"(%x, %i, %u) <{scatter_dimension_numbers = #stablehlo.scatter<update_window_dims = [1],
      inserted_window_dims = [0], scatter_dims_to_operand_dims = [0], index_vector_dim = 1>}> ({
  ^bb0(%m: tensor<f32>, %n: tensor<f32>):
    stablehlo.return %n : tensor<f32>
  }) : (tensor<5x3xf32>, tensor<4x1xi32>, tensor<4x3xf32>) -> tensor<5x3xf32>
  %r3 = "stablehlo.gather"(%x, %p) <{dimension_numbers = #stablehlo.gather<collapsed_slice_dims = [0, 1],
      start_index_map = [0, 1], index_vector_dim = 1>, slice_sizes = array<i64: 1, 1>}>
      : (tensor<5x3xf32>, tensor<4x2xi32>) -> tensor<4xf32>
  %v = stablehlo.slice %u [0:4, 0:1] : (tensor<4x3xf32>) -> tensor<4x1xf32>
  %w = stablehlo.reshape %v : (tensor<4x1xf32>) -> tensor<4xf32>
  %r4 = "stablehlo.scatter"(%x, %p, %w) <{scatter_dimension_numbers = #stablehlo.scatter<
      inserted_window_dims = [0, 1], scatter_dims_to_operand_dims = [0, 1], index_vector_dim = 1>}> ({
  ^bb0(%m: tensor<f32>, %n: tensor<f32>):
    stablehlo.return %n : tensor<f32>
  }) : (tensor<5x3xf32>, tensor<4x2xi32>, tensor<4xf32>) -> tensor<5x3xf32>
  %r5 = "stablehlo.gather"(%x, %b) <{dimension_numbers = #stablehlo.gather<offset_dims = [1],
      collapsed_slice_dims = [0], start_index_map = [0], index_vector_dim = 1>, slice_sizes = array<i64: 1, 3>}>
      : (tensor<5x3xf32>, tensor<3xui8>) -> tensor<3x3xf32>
  return %r0, %r1, %r2, %r3, %r4, %r5
      : tensor<4x3xf32>, tensor<5x3xf32>, tensor<5x3xf32>, tensor<4xf32>, tensor<5x3xf32>, tensor<3x3xf32>
}
"""


def test_indices_outside_read_the_edge_and_write_nothing(tmp_path, build):
    random = np.random.default_rng(3)
    x, u = random.normal(size=(5, 3)).astype(np.float32), random.normal(size=(4, 3)).astype(np.float32)
    i = np.array([[-1], [1_000_000], [2], [5]], np.int32)
    p = np.array([[0, 3], [-7, 1], [4, 2], [9, 0]], np.int32)
    b = np.array([0, 200, 3], np.uint8)
    _, got = answers(tmp_path, INDICES, [each[None] for each in (x, i, u, p, b)], build)
    rows = np.clip(i[:, 0], 0, 4)
    added, put, points = x.copy(), x.copy(), x.copy()
    added[2] += u[2]
    put[2] = u[2]
    points[4, 2] = u[2, 0]
    wanted = (x[rows], added, put, x[np.clip(p[:, 0], 0, 4), np.clip(p[:, 1], 0, 2)], points, x[np.minimum(b, 4)])
    for one, right in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(one[0], right)


SORT = """
func.func @main(%x: tensor<4x7xf32>, %y: tensor<4x7xf32>)
    -> (tensor<4x7xf32>, tensor<4x7xi32>, tensor<4x7xi32>, tensor<4x7xi32>) {
  %i = stablehlo.iota dim = 1 : tensor<4x7xi32>
  %r:2 = "stablehlo.sort"(%x, %i) <{dimension = 1 : i64, is_stable = true}> ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>, %c: tensor<i32>, %d: tensor<i32>):
    %p = stablehlo.compare LT, %a, %b : (tensor<f32>, tensor<f32>) -> tensor<i1>
    stablehlo.return %p : tensor<i1> }) : (tensor<4x7xf32>, tensor<4x7xi32>) -> (tensor<4x7xf32>, tensor<4x7xi32>)
  %s:2 = "stablehlo.sort"(%x, %i) <{dimension = 1 : i64, is_stable = false}> ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>, %c: tensor<i32>, %d: tensor<i32>):
    %p = stablehlo.compare GT, %a, %b : (tensor<f32>, tensor<f32>) -> tensor<i1>
    stablehlo.return %p : tensor<i1> }) : (tensor<4x7xf32>, tensor<4x7xi32>) -> (tensor<4x7xf32>, tensor<4x7xi32>)
  %t:2 = "stablehlo.sort"(%y, %i) <{dimension = 1 : i64, is_stable = true}> ({
  ^bb0(%a: tensor<f32>, %b: tensor<f32>, %c: tensor<i32>, %d: tensor<i32>):
    %p = stablehlo.compare LT, %a, %b, TOTALORDER : (tensor<f32>, tensor<f32>) -> tensor<i1>
    stablehlo.return %p : tensor<i1> }) : (tensor<4x7xf32>, tensor<4x7xi32>) -> (tensor<4x7xf32>, tensor<4x7xi32>)
  return %r#0, %r#1, %s#1, %t#1 : tensor<4x7xf32>, tensor<4x7xi32>, tensor<4x7xi32>, tensor<4x7xi32>
}
"""


def test_what_is_equal_keeps_its_order(tmp_path, build):
    random = np.random.default_rng(4)
    x = random.integers(0, 3, (2, 4, 7)).astype(np.float32)
    y = random.choice(NUMBERS, (2, 4, 7))
    model, got = answers(tmp_path, SORT, [x, y], build)
    np.testing.assert_array_equal(got[0], np.sort(x))
    np.testing.assert_array_equal(got[1], np.argsort(x, kind="stable"))
    np.testing.assert_array_equal(got[2], np.argsort(-x, kind="stable"))
    bits = y.view(np.int32)
    np.testing.assert_array_equal(got[3], np.argsort(bits ^ (bits >> 31) & 0x7FFFFFFF, kind="stable"))
    assert "as judged by XLA" in model.describe()


FIRST = """
func.func @main(%x: tensor<4x7xf32>, %n: tensor<5xi32>) -> (tensor<4x3xf32>, tensor<4x3xi32>, tensor<4x5xf32>) {
  %r:2 = chlo.top_k(%x, k = 3) : tensor<4x7xf32> -> (tensor<4x3xf32>, tensor<4x3xi32>)
  %s = "stablehlo.torch_index_select"(%x, %n) <{dim = 1 : i64, batch_dims = 0 : i64}>
      : (tensor<4x7xf32>, tensor<5xi32>) -> tensor<4x5xf32>
  return %r#0, %r#1, %s : tensor<4x3xf32>, tensor<4x3xi32>, tensor<4x5xf32>
}
"""


def test_of_equals_the_first_are_taken_and_places_outside_are_the_edges(tmp_path, build):
    x = np.random.default_rng(5).integers(0, 3, (2, 4, 7)).astype(np.float32)
    x[0, 0, :4] = [-0.0, 0.0, np.nan, np.inf]
    places = np.array([[-3, 0, 6, 7, 100]] * 2, np.int32)
    model, got = answers(tmp_path, FIRST, [x, places], build)
    wanted = np.argsort(-x, kind="stable")[1][:, :3]
    np.testing.assert_array_equal(got[1][1], wanted)
    np.testing.assert_array_equal(got[2], np.take(x, places[0], axis=2, mode="clip"))
    assert "as judged by XLA" in model.describe()


OPEN = """
func.func @main(%x: tensor<64xi32>, %y: tensor<64xi32>, %f: tensor<64xf32>) -> (tensor<64xi32>, tensor<64xi32>) {
  %a = stablehlo.divide %x, %y : tensor<64xi32>
  %b = stablehlo.shift_left %x, %y : tensor<64xi32>
  %c = stablehlo.convert %f : (tensor<64xf32>) -> tensor<64xi32>
  %d = stablehlo.add %b, %c : tensor<64xi32>
  return %a, %d : tensor<64xi32>, tensor<64xi32>
}
"""


def test_what_is_defined_nowhere_refuses_no_model(tmp_path, build):
    (tmp_path / "open.mlir").write_text(OPEN)
    model = compiler.compile_and_check(tmp_path / "open.mlir", output_dir=build)
    assert "as judged by XLA" in model.describe()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(-300, 300), min_size=1, max_size=8), st.integers(0, 300), st.integers(0, 300))
def test_bounds_of_indices_are_true(values, low, more):
    text = f"""
    func.func @main(%x: tensor<{len(values)}xi32>) -> tensor<{2 * len(values)}xi32> {{
      %low = stablehlo.constant dense<{low}> : tensor<i32>
      %high = stablehlo.constant dense<{low + more}> : tensor<i32>
      %c = stablehlo.clamp %low, %x, %high : (tensor<i32>, tensor<{len(values)}xi32>, tensor<i32>) -> tensor<{len(values)}xi32>
      %i = stablehlo.iota dim = 0 : tensor<{len(values)}xi32>
      %r = stablehlo.concatenate %c, %i, dim = 0 : (tensor<{len(values)}xi32>, tensor<{len(values)}xi32>) -> tensor<{2 * len(values)}xi32>
      return %r : tensor<{2 * len(values)}xi32>
    }}"""  # noqa: E501
    with ir.Context():
        module = ir.Module.parse(text)
        returned = list(module.body.operations[0].regions[0].blocks[0].operations)[-1].operands[0]
        least, most = mlir_rewriting.bounds(returned)
    right = np.concatenate([np.clip(values, low, low + more), np.arange(len(values))])
    assert least <= right.min()
    assert right.max() <= most


def test_a_model_without_such_operations_stays_as_it_is(tmp_path):
    text = (
        "func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {\n"
        "  %r = stablehlo.tanh %x : tensor<4xf32>\n  return %r : tensor<4xf32>\n}\n"
    )
    (tmp_path / "plain.mlir").write_text(text)
    imported = importers.import_model(tmp_path / "plain.mlir", Cache(tmp_path / "build"))
    assert imported.mlir.read_text() == text
    assert imported.judged_by == "XLA"


def test_without_xla_iree_answers_and_says_so(tmp_path, monkeypatch):
    path = tmp_path / "plain.mlir"
    path.write_text(
        "func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {\n"
        "  %r = stablehlo.abs %x : tensor<4xf32>\n  return %r : tensor<4xf32>\n}\n"
    )
    real = importlib.metadata.version

    def version(name):
        if name in XLA.packages:
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    def bring(lines, place, what, *_):
        raise ImportError(f"no network; {what}")

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(packages, "bring", bring)
    imported = importers.import_model(path, Cache(tmp_path / "build"))
    assert imported.judged_by.startswith("IREE itself")
    assert "plain.mlir is judged by IREE itself, as XLA can't be had here: no network; up to " in imported.note
    (got,) = importers.framework_outputs(path, np.full((2, 4), -1.5, np.float32), Cache(tmp_path / "build"))
    np.testing.assert_array_equal(got, np.full((2, 4), 1.5, np.float32))
