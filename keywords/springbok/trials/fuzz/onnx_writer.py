# SPDX-License-Identifier: Apache-2.0
"""Random networks as ONNX models. Quantised ones have QuantizeLinear and DequantizeLinear around every operation."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from springbok.trials.fuzz.networks import Network, Node, padding, shapes
from springbok.trials.fuzz.weights import constant_of, quantisation, quantised, weights_of

#: Operator sets that models are written for; a network's seed decides. The reference knows quantisation from 19 on.
OPSETS = (17, 17, 14, 19, 21)
_REFERENCE_OPSET = 19
_TYPES = {
    "float32": TensorProto.FLOAT,
    "int8": TensorProto.INT8,
    "uint8": TensorProto.UINT8,
    "float64": TensorProto.DOUBLE,
}
_BINARY = {"add": "Add", "sub": "Sub", "mul": "Mul", "max": "Max", "min": "Min", "div": "Div"}
_UNARY = {
    "relu": ("Relu", {}),
    "leaky": ("LeakyRelu", {"alpha": 0.125}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "abs": ("Abs", {}),
    "neg": ("Neg", {}),
    "exp": ("Exp", {}),
    "hardswish": ("HardSwish", {}),
    "elu": ("Elu", {}),
}


def write(network: Network, for_reference: bool = False) -> onnx.ModelProto:
    """The network as a model.

    ``for_reference``: as ONNX's reference implementation computes it right. Whole numbers (int32) are then in double
    precision, and max poolings get their padding from an operation of its own: it mistakes pads that are not the same
    on all sides.
    """
    return _Writer(network, for_reference).model()


class _Writer:
    def __init__(self, network: Network, for_reference: bool) -> None:
        self.network = network
        self.for_reference = for_reference
        self.opset = _REFERENCE_OPSET if for_reference else OPSETS[network.seed % len(OPSETS)]
        self.real = real = "float64" if network.dtype == "int32" else "float32"
        self.shapes = shapes(network)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.scales = quantisation(network) if network.quantised else None
        self.type = _TYPES[network.dtype if network.quantised else real]

    def model(self) -> onnx.ModelProto:
        network = self.network
        tensors = ["x"]
        for number, node in enumerate(network.nodes):
            given = [self.as_real(each, tensors[each]) for each in node.inputs]
            result = getattr(self, f"_{node.kind}")(number, node, given)
            tensors.append(self.as_stored(number + 1, result))
        outputs = [
            helper.make_tensor_value_info(tensors[number], self.type, self.shapes[number]) for number in network.outputs
        ]
        graph = helper.make_graph(
            self.nodes,
            "network",
            [helper.make_tensor_value_info("x", self.type, network.shape)],
            outputs,
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=9)
        onnx.checker.check_model(model)
        return model

    def node(self, kind: str, given: list[str], **options: object) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, given, [name], name=f"{kind}_{name}", **options))
        return name

    def constant(self, array: np.ndarray) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def real_constant(self, array: np.ndarray) -> str:
        return self.constant(np.asarray(array).astype(self.real))

    def as_real(self, number: int, name: str) -> str:
        if self.scales is None:
            return name
        scale, zero_point = self.scales[number]
        return self.dequantised(name, scale, np.array(zero_point, self.network.dtype))

    def as_stored(self, number: int, name: str) -> str:
        if self.scales is None:
            return name
        scale, zero_point = self.scales[number]
        given = [name, self.constant(np.float32(scale)), self.constant(np.array(zero_point, self.network.dtype))]
        return self.node("QuantizeLinear", given)

    def dequantised(self, name: str, scale: object, zero_point: np.ndarray, **options: object) -> str:
        given = [name, self.constant(np.asarray(scale, np.float32)), self.constant(zero_point)]
        return self.node("DequantizeLinear", given, **options)

    # ---- Layers with weights

    def weights(self, number: int, order: list[int] | None) -> tuple[str, list[str]]:
        """Names of the weights, their axes in ``order``, and of the bias, if there is one."""
        known = weights_of(self.network, number)
        order = list(range(known.weights.ndim)) if order is None else order
        array = known.weights.transpose(order)
        if self.scales is None:
            bias = [] if known.bias is None else [self.real_constant(known.bias)]
            return self.real_constant(array), bias
        in_scale, _ = self.scales[self.network.nodes[number].inputs[0]]
        dtype = self.network.dtype
        if len(set(known.scales.tolist())) == 1:
            scale, zero, options = known.scales[0], np.array(known.zero_point, dtype), {}
        else:
            options = {"axis": order.index(known.weights.ndim - 1)}
            scale, zero = known.scales, np.full(len(known.scales), known.zero_point, dtype)
        name = self.dequantised(self.constant(array.astype(dtype)), scale, zero, **options)
        if known.bias is None:
            return name, []
        scales = (np.float32(in_scale) * known.scales).astype(np.float32)
        zeros = np.zeros(len(scales), np.int32)
        return name, [self.dequantised(self.constant(known.bias.astype(np.int32)), scales, zeros, axis=0)]

    def narrowed(self, number: int, given: str) -> str:
        """Whole numbers cut to 8 bits, before they are multiplied."""
        if self.real != "float64" or self.network.nodes[number].inputs[0] == 0:
            return given
        return self.narrow(given)

    def narrow(self, given: str) -> str:
        divided = self.node("Floor", [self.node("Div", [given, self.real_constant(128)])])
        return self.node("Clip", [divided, self.real_constant(-128), self.real_constant(127)])

    def activated(self, node: Node, result: str) -> str:
        if node.get("activation") == "relu":
            return self.node("Relu", [result])
        if node.get("activation") == "relu6":
            return self.node("Clip", [result, self.real_constant(0), self.real_constant(6)])
        return result

    def channels_second(self, rank: int, given: str) -> str:
        return given if self.network.layout == "nchw" else self.node("Transpose", [given], perm=_second(rank))

    def channels_back(self, rank: int, given: str) -> str:
        return given if self.network.layout == "nchw" else self.node("Transpose", [given], perm=_last(rank))

    def _conv(self, number: int, node: Node, given: list[str]) -> str:
        rank = len(self.shapes[node.inputs[0]])
        spatial = list(range(rank - 2))
        weights, bias = self.weights(number, [rank - 1, rank - 2, *spatial])
        options = {"group": node.get("groups", 1), "kernel_shape": node.get("kernel"), "strides": node.get("strides")}
        options |= {"dilations": node.get("dilations", [1] * len(spatial)), "pads": self.pads(number)}
        taken = self.channels_second(rank, self.narrowed(number, given[0]))
        result = self.node("Conv", [taken, weights, *bias], **options)
        return self.activated(node, self.channels_back(rank, result))

    def pads(self, number: int) -> list[int]:
        pads = padding(self.network, number)
        return [before for before, _ in pads] + [after for _, after in pads]

    def _transposed(self, number: int, node: Node, given: list[str]) -> str:
        rank = len(self.shapes[node.inputs[0]])
        weights, bias = self.weights(number, [rank - 2, rank - 1, *range(rank - 2)])
        taken = self.channels_second(rank, self.narrowed(number, given[0]))
        options = {"kernel_shape": node.get("kernel"), "strides": node.get("strides")}
        return self.channels_back(rank, self.node("ConvTranspose", [taken, weights, *bias], **options))

    def _dense(self, number: int, node: Node, given: list[str]) -> str:
        weights, bias = self.weights(number, None)
        taken = self.narrowed(number, given[0])
        if len(self.shapes[node.inputs[0]]) == 2:
            result = self.node("Gemm", [taken, weights, *bias])
        else:
            result = self.node("MatMul", [taken, weights])
            result = self.node("Add", [result, *bias]) if bias else result
        return self.activated(node, result)

    def _matmul(self, number: int, node: Node, given: list[str]) -> str:
        first, second = given
        if self.real == "float64":
            first, second = self.narrow(first), self.narrow(second)
        return self.node("MatMul", [first, self.node("Transpose", [second], perm=[0, 2, 1])])

    # ---- The others

    def _pool(self, number: int, node: Node, given: list[str]) -> str:
        rank = len(self.shapes[node.inputs[0]])
        kind = "MaxPool" if node.get("mode") == "max" else "AveragePool"
        options = {"kernel_shape": node.get("kernel"), "strides": node.get("strides"), "pads": self.pads(number)}
        taken = self.channels_second(rank, given[0])
        if self.for_reference and kind == "MaxPool":
            half = len(options["pads"]) // 2
            pads = self.constant(np.int64([0, 0, *options["pads"][:half], 0, 0, *options["pads"][half:]]))
            taken = self.node("Pad", [taken, pads, self.real_constant(-np.inf)])
            del options["pads"]
        return self.channels_back(rank, self.node(kind, [taken], **options))

    def _reduce(self, number: int, node: Node, given: list[str]) -> str:
        axes, keep, mode = node.get("axes"), int(node.get("keep")), node.get("mode")
        if mode == "sum" or self.opset >= 18:
            return self.node(f"Reduce{mode.capitalize()}", [given[0], self.constant(np.int64(axes))], keepdims=keep)
        return self.node(f"Reduce{mode.capitalize()}", given, axes=axes, keepdims=keep)

    def _unary(self, number: int, node: Node, given: list[str]) -> str:
        function = node.get("function")
        if function == "relu6":
            return self.node("Clip", [given[0], self.real_constant(0), self.real_constant(6)])
        if function == "narrow":
            return self.narrow(given[0])
        if function == "sqrt":
            return self.node("Sqrt", [self.node("Abs", given)])
        if function == "square":
            return self.node("Mul", [given[0], given[0]])
        kind, options = _UNARY[function]
        return self.node(kind, given, **options)

    def _binary(self, number: int, node: Node, given: list[str]) -> str:
        second = given[1] if len(given) > 1 else self.operand(number)
        return self.node(_BINARY[node.get("function")], [given[0], second])

    def operand(self, number: int) -> str:
        values = constant_of(self.network, number)
        if self.scales is None:
            return self.real_constant(values)
        zero_point = 128 if self.network.dtype == "uint8" else 0
        integers = quantised(values, 1 / 40, zero_point, self.network.dtype)
        return self.dequantised(self.constant(integers), 1 / 40, np.array(zero_point, self.network.dtype))

    def _softmax(self, number: int, node: Node, given: list[str]) -> str:
        return self.node("Softmax", given, axis=-1)

    def _concat(self, number: int, node: Node, given: list[str]) -> str:
        return self.node("Concat", given, axis=node.get("axis"))

    def _transpose(self, number: int, node: Node, given: list[str]) -> str:
        return self.node("Transpose", given, perm=node.get("order"))

    def _reshape(self, number: int, node: Node, given: list[str]) -> str:
        return self.node("Reshape", [given[0], self.constant(np.int64(node.get("shape")))])

    def _slice(self, number: int, node: Node, given: list[str]) -> str:
        bounds = [self.constant(np.int64([node.get(name)])) for name in ("begin", "end", "axis", "step")]
        return self.node("Slice", [given[0], *bounds])

    def _pad(self, number: int, node: Node, given: list[str]) -> str:
        pads = [before for before, _ in node.get("pads")] + [after for _, after in node.get("pads")]
        return self.node("Pad", [given[0], self.constant(np.int64(pads)), self.real_constant(0)])


def _second(rank: int) -> list[int]:
    """The order of axes that brings the last one, the channels, to the second place."""
    return [0, rank - 1, *range(1, rank - 1)]


def _last(rank: int) -> list[int]:
    return [0, *range(2, rank), 1]
