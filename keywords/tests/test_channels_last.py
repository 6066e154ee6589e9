# SPDX-License-Identifier: Apache-2.0
"""Channels innermost: networks as PyTorch exports them answer as they do without, on this machine and on the chip."""

import numpy as np
import onnx
import pytest
from iree.compiler import ir
from onnx import TensorProto, helper, numpy_helper

from springbok.compiler.compiler import compile_model
from springbok.compiler.optimizer import CONSTANTS, TRANSFORMATIONS, channels_last, plan_for
from springbok.compiler.optimizer.channels_last import ChannelsLast
from springbok.compiler.optimizer.weight_layout import OutputChannelInnermost
from springbok.session import Session
from springbok.support.cache import Cache
from springbok.trials.equality import HOST, Bench, Variant

SAMPLES = 32
OTHERS = [name for name in TRANSFORMATIONS if name not in (CONSTANTS, "channels-last")]
STANDARD = Variant("standard", lambda vlen: plan_for("standard", vectors=True, vlen=vlen))
ALONE = Variant("alone", lambda vlen: plan_for("standard", vectors=True, vlen=vlen).without(*OTHERS))


class Network:
    """An ONNX graph that grows layer by layer; ``value`` is the name of the last one's result."""

    def __init__(self, *shape: int) -> None:
        self.shape, self.value = shape, "x"
        self.nodes, self.weights = [], []
        self._random = np.random.default_rng(11)

    def add(self, kind: str, *inputs: str, **attributes: object) -> str:
        self.value = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [self.value], **attributes))
        return self.value

    def constant(self, *shape: int) -> str:
        values = self._random.normal(0, 0.5, shape).astype(np.float32)
        self.weights.append(numpy_helper.from_array(values, f"w{len(self.weights)}"))
        return self.weights[-1].name

    def convolution(self, into: int, per_group: int, *kernel: int, source: str | None = None, **attributes) -> str:
        return self.add(
            "Conv", source or self.value, self.constant(into, per_group, *kernel), self.constant(into), **attributes
        )

    def dense(self, inner: int, into: int) -> str:
        self.add("Flatten", self.value, axis=1)
        return self.add("Gemm", self.value, self.constant(into, inner), self.constant(into), transB=1)

    def save(self, path):
        ends = [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)]
        ends.append(helper.make_tensor_value_info(self.value, TensorProto.FLOAT, None))
        graph = helper.make_graph(self.nodes, "network", ends[:1], ends[1:], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
        onnx.save(onnx.shape_inference.infer_shapes(model), path)
        return path


def classifier() -> Network:
    network = Network(1, 3, 11, 9)
    network.convolution(10, 3, 3, 3, pads=[1] * 4)
    network.add("Relu", network.value)
    network.add("MaxPool", network.value, kernel_shape=[2, 2], strides=[2, 2])
    network.dense(10 * 5 * 4, 6)
    network.add("Softmax", network.value)
    return network


def residual() -> Network:
    network = Network(1, 3, 8, 10)
    network.convolution(12, 3, 3, 3, pads=[1] * 4, strides=[2, 2])
    network.add("Mul", network.value, network.constant(1, 12, 1, 1))
    shortcut = network.add("Relu", network.value)
    network.convolution(12, 1, 3, 3, pads=[1] * 4, group=12)
    network.add("Clip", network.value)
    network.convolution(12, 12, 1, 1)
    network.add("Add", network.value, shortcut)
    network.add("GlobalAveragePool", network.value)
    network.dense(12, 5)
    return network


def branches() -> Network:
    """Copies in the old order are needed, and one of the layers is the output."""
    network = Network(1, 4, 6, 6)
    left = network.convolution(8, 4, 3, 3)
    right = network.convolution(6, 2, 3, 3, source="x", group=2)
    joined = network.add("Concat", left, right, axis=1)
    network.convolution(5, 14, 2, 2, source=joined)
    network.add("Transpose", network.value, perm=[0, 2, 1, 3])
    return network


def sequence() -> Network:
    network = Network(1, 3, 20)
    network.convolution(8, 3, 5, strides=[2])
    network.add("Relu", network.value)
    network.add("AveragePool", network.value, kernel_shape=[2], strides=[2])
    network.convolution(9, 8, 3, pads=[1, 1])
    network.dense(9 * 4, 4)
    return network


def batch() -> Network:
    """What it leaves as it is."""
    network = Network(2, 3, 6, 6)
    network.convolution(8, 3, 3, 3)
    network.add("Relu", network.value)
    return network


#: With where all transformations together are tried.
NETWORKS = [(classifier, "512"), (residual, "128"), (branches, "512"), (sequence, "128"), (batch, HOST)]


@pytest.fixture(scope="module")
def bench():
    with Bench(SAMPLES) as bench:
        yield bench


@pytest.mark.parametrize(("network", "place"), NETWORKS)
def test_answers_are_those_of_stock_iree(bench, network, place, tmp_path):
    file = network().save(tmp_path / f"{network.__name__}.onnx")
    for variant, where in ((ALONE, HOST), (STANDARD, place)):
        row = bench.compare(file, None, variant, where)
        assert row.is_equal, row.describe()


def moved(network: Network, tmp_path) -> tuple[list[str], list[str]]:
    """What the transformation says of the network's layers, and the names of its kernels that only copy."""
    plan = plan_for("standard", vectors=True, vlen=512)  # as it is, whatever memory it takes
    model = compile_model(network.save(tmp_path / "network.onnx"), optimize=plan)
    copies = [each.name for each in model.dispatches if "transpose" in each.name]
    return [each.detail for each in model.changes if each.transformation == "channels-last"], copies


def test_layers_after_a_convolution_follow_it(tmp_path):
    network = Network(1, 3, 4, 6)
    network.convolution(8, 3, 1, 1)
    network.convolution(8, 1, 3, 3, pads=[1] * 4, group=8)
    network.add("MaxPool", network.value, kernel_shape=[2, 2], strides=[2, 2])
    network.add("GlobalAveragePool", network.value)
    details, copies = moved(network, tmp_path)
    shapes = ["4x6x8", "6x8x8", "2x3x8"]
    assert {each.rpartition(" ")[2] for each in details} == set(shapes)
    assert copies == []


def test_a_dense_layer_reads_the_image_where_it_lies(tmp_path):
    _, copies = moved(classifier(), tmp_path)
    assert copies == []


def test_what_needs_the_old_order_gets_a_copy(tmp_path):
    details, copies = moved(branches(), tmp_path)
    assert "from 8x4x4 to 4x4x8" in details
    assert len(copies) == 2


@pytest.mark.parametrize(
    ("channels", "row", "pooled", "moves"),
    [(4, 32, True, False), (8, 32, True, True), (8, 32, False, False), (17, 32, False, True), (4, 30, False, True)],
)
def test_few_channels_move_only_where_it_pays(channels, row, pooled, moves, tmp_path):
    network = Network(1, 2, 5, row + 2)
    network.convolution(channels, 2, 3, 3)
    network.add("Relu", network.value)
    if pooled:
        network.add("GlobalAveragePool", network.value)
    details, copies = moved(network, tmp_path)
    assert (details[0] == "its rows fill the vectors, and its channels do not") != moves
    assert len(copies) == (moves and not pooled)


def test_a_batch_stays_as_it_is(tmp_path):
    details, _ = moved(batch(), tmp_path)
    assert details == []


def test_a_body_that_counts_places_stays_as_it_is():
    text = """
func.func @main(%x: tensor<4x4xf32>) -> tensor<3x4xf32> {
  %w = arith.constant dense<[[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0], [9.0, 10.0, 11.0, 12.0]]> : tensor<3x4xf32>
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<3x4xf32>
  %start = linalg.fill ins(%zero : f32) outs(%empty : tensor<3x4xf32>) -> tensor<3x4xf32>
  %r = linalg.generic {indexing_maps = [affine_map<(d0, d1, d2) -> (d0, d2)>, affine_map<(d0, d1, d2) -> (d2, d1)>,
      affine_map<(d0, d1, d2) -> (d0, d1)>], iterator_types = ["parallel", "parallel", "reduction"]}
      ins(%w, %x : tensor<3x4xf32>, tensor<4x4xf32>) outs(%start : tensor<3x4xf32>) {
  ^bb0(%a: f32, %b: f32, %o: f32):
    BODY
  } -> tensor<3x4xf32>
  return %r : tensor<3x4xf32>
}
"""
    product = "%m = arith.mulf %a, %b : f32\n %s = arith.addf %o, %m : f32\n linalg.yield %s : f32"
    counted = "%i = linalg.index 0 : index\n %j = arith.index_cast %i : index to i32\n"
    counted += "%f = arith.sitofp %j : i32 to f32\n %s = arith.addf %o, %f : f32\n linalg.yield %s : f32"
    with ir.Context():
        assert len(ChannelsLast().apply(ir.Module.parse(text.replace("BODY", product)))) == 1
        assert ChannelsLast().apply(ir.Module.parse(text.replace("BODY", counted))) == []


IMAGE = """
func.func @main(%x: tensor<3x{rows}x{rows}xf32>) -> tensor<16x{row}x{row}xf32> {{
  %w = arith.constant dense<1.0> : tensor<16x3x3x3xf32>
  %zero = arith.constant 0.0 : f32
  %empty = tensor.empty() : tensor<16x{row}x{row}xf32>
  %start = linalg.fill ins(%zero : f32) outs(%empty : tensor<16x{row}x{row}xf32>) -> tensor<16x{row}x{row}xf32>
  %r = linalg.generic {{indexing_maps = [affine_map<(f, h, w, c, y, x) -> (c, h + y, w + x)>,
      affine_map<(f, h, w, c, y, x) -> (f, c, y, x)>, affine_map<(f, h, w, c, y, x) -> (f, h, w)>],
      iterator_types = ["parallel", "parallel", "parallel", "reduction", "reduction", "reduction"]}}
      ins(%x, %w : tensor<3x{rows}x{rows}xf32>, tensor<16x3x3x3xf32>) outs(%start : tensor<16x{row}x{row}xf32>) {{
  ^bb0(%a: f32, %b: f32, %o: f32):
    %m = arith.mulf %a, %b : f32
    %s = arith.addf %o, %m : f32
    linalg.yield %s : f32
  }} -> tensor<16x{row}x{row}xf32>
  return %r : tensor<16x{row}x{row}xf32>
}}
"""


@pytest.mark.parametrize(("row", "turned"), [(1, True), (8, False), (10, False), (16, True), (20, False), (32, True)])
def test_weights_of_images_that_keep_their_order_stay_too(row, turned):
    """But for a row of one element, whose vectors run along the channels, and one that fills vectors of 16 lanes."""
    with ir.Context():
        (change,) = OutputChannelInnermost().apply(ir.Module.parse(IMAGE.format(row=row, rows=row + 2)))
    assert change.applied == turned
    assert turned or change.detail == "its vectors run along another dimension of the output"


def test_an_image_that_keeps_its_order_costs_no_more_than_with_stock_iree(tmp_path):
    """As stock IREE makes it, it needs no memory between layers, so channels-last is left out."""
    network = Network(1, 3, 12, 12)
    network.convolution(16, 3, 3, 3)
    file = network.save(tmp_path / "network.onnx")
    session, counts = Session(), {}
    try:
        session.boot("spike", count_opcodes=False)
        for level in ("none", "standard"):
            model = compile_model(file, output_dir=tmp_path / level, optimize=level)
            session.load_model(model)
            session.infer(np.ones((1, 3, 12, 12), np.float32))
            counts[level] = session.need_link().profile().inference_instructions
    finally:
        session.shut_down()
    assert [change.applied for change in model.changes if change.transformation == "channels-last"] == [False]
    assert counts["standard"] <= counts["none"]


def test_a_wrong_order_is_found(monkeypatch, tmp_path):
    """Or the comparison would show nothing."""
    real = channels_last._copy
    monkeypatch.setattr(channels_last, "_copy", lambda value, kind, order: real(value, kind, [order[0], *order[:0:-1]]))
    network = Network(1, 4, 6, 6)
    network.convolution(5, 4, 3, 3)
    file = network.save(tmp_path / "network.onnx")
    with Bench(SAMPLES, Cache(tmp_path)) as bench:
        row = bench.compare(file, None, ALONE, HOST)
    assert row.differ_by > 1e-3
    assert not row.is_equal
