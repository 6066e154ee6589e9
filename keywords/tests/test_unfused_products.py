# SPDX-License-Identifier: Apache-2.0
"""What is rounded to integers gets there with every rounding on its way: products are not fused with sums."""

import numpy as np
import onnx
import pytest
from iree.compiler import ir
from onnx import TensorProto, helper, numpy_helper

from springbok.compiler import unfused_products
from springbok.compiler.compiled import Target
from springbok.compiler.compiler import compile_and_check
from springbok.compiler.mlir import operations
from springbok.session import Session
from springbok.trials.fuzz.networks import Network, Node
from springbok.trials.fuzz.variants import NONE
from springbok.trials.fuzz.worker import Bench

SHAPE = (1, 3, 4, 10)
CHANNELS = np.float32([0.5, 1.5, 0.3]).reshape(1, 3, 1, 1)
SHIFTS = np.float32([0.1, 0.3, 0.05]).reshape(1, 3, 1, 1)


def test_the_mean_of_two_neighbours_is_rounded_as_its_framework_does():
    options = {"mode": "average", "kernel": [1, 2], "strides": [2, 2], "pads": "valid"}
    network = Network("onnx", "uint8", "nchw", (1, 2, 4, 4), (Node("pool", (0,), options),), 376433885)
    bench = Bench()
    try:
        assert bench.try_network(network, (NONE, "constants"), ("128",)).findings == []
    finally:
        bench.close()


class Layers:
    """Layers between DequantizeLinear and QuantizeLinear, and what they are by NumPy, one rounding after the other."""

    def __init__(self) -> None:
        self.nodes, self.constants = [], []

    def constant(self, array) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(array), f"c{len(self.constants)}"))
        return self.constants[-1].name

    def node(self, kind: str, given: list[str], to: str | None = None, **options) -> str:
        name = to or f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, given, [name], **options))
        return name

    def model(self, scales, zeros, scale) -> onnx.ModelProto:
        def quantisation(scale, zero):
            return [self.constant(np.float32(scale)), self.constant(np.uint8(zero))]

        x, y = (
            self.node("DequantizeLinear", [name, *quantisation(*each)])
            for name, each in zip("xy", zip(scales, zeros, strict=True), strict=True)
        )
        scaled = self.node("Mul", [x, self.constant(CHANNELS)])
        made = {
            "pairs": self.node("AveragePool", [x], kernel_shape=[1, 2], strides=[1, 2]),
            "borders": self.node("AveragePool", [x], kernel_shape=[2, 3], pads=[1, 1, 1, 1]),
            "channels": self.node("ReduceMean", [x], axes=[1], keepdims=1),
            "row": self.node("ReduceMean", [x], axes=[3], keepdims=1),
            "sum": self.node("Add", [x, y]),
            "difference": self.node("Sub", [y, x]),
            "affine": self.node("Add", [scaled, self.constant(SHIFTS)]),
            "product": self.node("Sub", [self.node("Mul", [x, y]), y]),
        }
        for name, value in made.items():
            self.node("QuantizeLinear", [value, *quantisation(scale, zeros[0])], to=name)
        given = [helper.make_tensor_value_info(name, TensorProto.UINT8, SHAPE) for name in "xy"]
        outputs = [helper.make_tensor_value_info(name, TensorProto.UINT8, None) for name in made]
        graph = helper.make_graph(self.nodes, "layers", given, outputs, self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        return onnx.shape_inference.infer_shapes(model)


def answers(x, y, scales, zeros, scale) -> dict[str, np.ndarray]:
    x, y = (
        (array.astype(np.int32) - zero).astype(np.float32) * np.float32(each)
        for array, each, zero in zip((x, y), scales, zeros, strict=True)
    )
    padded, ones = (np.pad(each, ((0, 0), (0, 0), (1, 1), (1, 1))) for each in (x, np.ones_like(x)))
    window = [np.s_[:, :, row : row + 5, column : column + 10] for row in (0, 1) for column in (0, 1, 2)]
    real = {
        "pairs": (x[..., ::2] + x[..., 1::2]) / np.float32(2),
        "borders": sum(padded[each] for each in window) / sum(ones[each] for each in window),
        "channels": (x[:, :1] + x[:, 1:2] + x[:, 2:]) / np.float32(3),
        "row": sum(x[..., column : column + 1] for column in range(x.shape[-1])) / np.float32(x.shape[-1]),
        "sum": x + y,
        "difference": y - x,
        "affine": x * CHANNELS + SHIFTS,
        "product": x * y - y,
    }
    rounded = {name: np.rint(value / np.float32(scale)) + zeros[0] for name, value in real.items()}
    return {name: np.clip(value, 0, 255).astype(np.uint8) for name, value in rounded.items()}


@pytest.mark.parametrize(
    ("vlen", "optimize", "scales", "zeros", "scale"),
    [
        (128, "standard", (0.05, 0.1), (128, 3), 0.1),
        (128, "none", (0.05, 0.07), (128, 3), 0.05),
        (512, "standard", (0.3, 0.1), (0, 255), 0.2),
    ],
)
def test_quantised_layers_round_after_each_operation(tmp_path, vlen, optimize, scales, zeros, scale):
    path = tmp_path / "layers.onnx"
    path.write_bytes(Layers().model(scales, zeros, scale).SerializeToString())
    session = Session()
    session.boot("spike", vlen=vlen, count_opcodes=False, sensor=False)
    try:
        session.load_model(compile_and_check(path, Target.of("vector", vlen), optimize=optimize, output_dir=tmp_path))
        random = np.random.default_rng(1)
        for _ in range(6):
            x, y = random.integers(0, 256, (2, *SHAPE), np.uint8)
            wanted = answers(x, y, scales, zeros, scale)
            for (name, right), got in zip(wanted.items(), session.infer(x, y, raw=True), strict=True):
                np.testing.assert_array_equal(got, right, name)
    finally:
        session.shut_down()


KERNEL = """
#same = affine_map<(d0) -> (d0)>
#whole = affine_map<(d0) -> ()>
#none = affine_map<() -> ()>
func.func @kernel(%x: tensor<4xf32>, %y: tensor<4xf32>, %sum: tensor<f32>, %to: tensor<TYPE>) -> tensor<TYPE> {{
  %scale = arith.constant 3.0 : f32
  %total = linalg.generic {{indexing_maps = [#same, #same, #whole], iterator_types = ["reduction"]}}
      ins(%x, %y : tensor<4xf32>, tensor<4xf32>) outs(%sum : tensor<f32>) {{
  ^bb0(%a: f32, %b: f32, %c: f32):
    %product = arith.mulf %a, {factor} : f32
    %added = arith.addf %c, %product : f32
    linalg.yield %added : f32
  }} -> tensor<f32>
  %result = linalg.generic {{indexing_maps = [#none, #none], iterator_types = []}}
      ins(%total : tensor<f32>) outs(%to : tensor<TYPE>) {{
  ^bb0(%a: f32, %c: TYPE):
    {rounded}
    linalg.yield %d : TYPE
  }} -> tensor<TYPE>
  return %result : tensor<TYPE>
}}
"""
ROUNDED = {"i8": "%d = arith.fptosi %a : f32 to i8", "f32": "%d = arith.negf %a : f32"}


@pytest.mark.parametrize(
    ("factor", "kind", "left"),
    [("%scale", "i8", 0), ("%b", "i8", 1), ("%scale", "f32", 1)],
)
def test_only_products_before_a_rounding_change_and_no_sums_of_products(factor, kind, left):
    text = KERNEL.format(factor=factor, rounded=ROUNDED[kind]).replace("TYPE", kind)
    with ir.Context(), ir.Location.unknown():
        module = ir.Module.parse(text)
        assert unfused_products.put_right(module) is (left == 0)
        assert module.operation.verify()
        assert len(operations(module, "arith.mulf")) == left
        assert len(operations(module, "math.fma")) == 1 - left
