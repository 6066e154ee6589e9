# SPDX-License-Identifier: Apache-2.0
"""Random networks as TensorFlow Lite files: float32, int8, uint8, and int16 with int8 weights."""

from __future__ import annotations

import flatbuffers
import numpy as np

from springbok.compiler.importers import worker  # noqa: F401 - sets TensorFlow's environment before it is imported
from springbok.trials.fuzz.networks import Network, Node, channel_axis, shapes
from springbok.trials.fuzz.weights import constant_of, quantisation, quantised, weights_of

from tensorflow.lite.python import schema_py_generated as schema  # isort: skip

_TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "int8": schema.TensorType.INT8,
    "uint8": schema.TensorType.UINT8,
    "int16": schema.TensorType.INT16,
    "int32": schema.TensorType.INT32,
    "int64": schema.TensorType.INT64,
}
_ACTIVATIONS = {None: 0, "relu": 1, "relu6": 3}
_UNARY = {
    "relu": "RELU",
    "relu6": "RELU6",
    "sigmoid": "LOGISTIC",
    "tanh": "TANH",
    "abs": "ABS",
    "neg": "NEG",
    "exp": "EXP",
    "hardswish": "HARD_SWISH",
    "elu": "ELU",
    "square": "SQUARE",
}
_BINARY = {"add": "ADD", "sub": "SUB", "mul": "MUL", "max": "MAXIMUM", "min": "MINIMUM", "div": "DIV"}
_BINARY_OPTIONS = {"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div"}
_REDUCE = {"mean": "MEAN", "sum": "SUM", "max": "REDUCE_MAX", "min": "REDUCE_MIN"}


def write(network: Network) -> bytes:
    """The network as a file's content."""
    return _Writer(network).content()


class _Writer:
    def __init__(self, network: Network) -> None:
        self.network = network
        self.shapes = shapes(network)
        self.scales = quantisation(network) if network.quantised else None
        self.tensors: list[schema.TensorT] = []
        self.operators: list[schema.OperatorT] = []
        self.codes: list[int] = []
        self.buffers = [schema.BufferT()]

    def content(self) -> bytes:
        network = self.network
        known = [self.tensor("x", network.shape, self.scale(0))]
        for number, node in enumerate(network.nodes):
            known.append(getattr(self, f"_{node.kind}")(number, node, [known[each] for each in node.inputs]))
        graph = schema.SubGraphT()
        graph.tensors, graph.operators = self.tensors, self.operators
        graph.inputs, graph.outputs = [known[0]], [known[number] for number in network.outputs]
        model = schema.ModelT()
        model.version, model.subgraphs, model.buffers = 3, [graph], self.buffers
        model.operatorCodes = [_code(code) for code in self.codes]
        builder = flatbuffers.Builder(1 << 14)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def scale(self, number: int) -> tuple[float, int] | None:
        return self.scales[number] if self.scales else None

    def tensor(
        self, name: str, shape: tuple[int, ...] | list[int], scale: tuple | None = None, dtype: str | None = None
    ) -> int:
        """A new tensor; ``scale`` is its scale and zero point, or (scales, zero point, axis)."""
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = f"{name}_{len(self.tensors)}", list(shape), 0
        tensor.type = _TYPES[dtype or self.network.dtype]
        if scale is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = np.atleast_1d(np.asarray(scale[0], np.float32))
            tensor.quantization.zeroPoint = np.full(len(tensor.quantization.scale), scale[1], np.int64)
            tensor.quantization.quantizedDimension = scale[2] if len(scale) > 2 else 0
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def constant(self, array: np.ndarray, scale: tuple | None = None) -> int:
        number = self.tensor("c", array.shape, scale, array.dtype.name)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
        self.buffers.append(buffer)
        self.tensors[number].buffer = len(self.buffers) - 1
        return number

    def operator(self, name: str, given: list[int], result: int, options: str = "", **values: object) -> int:
        code = getattr(schema.BuiltinOperator, name)
        if code not in self.codes:
            self.codes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = self.codes.index(code), given, [result]
        if options:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(schema, f"{options}T")()
            for key, value in values.items():
                setattr(operator.builtinOptions, key, value)
        self.operators.append(operator)
        return result

    def result(self, number: int, node: Node) -> int:
        name = node.get("function") or node.get("mode") or node.kind
        return self.tensor(f"{name}_{number}", self.shapes[number + 1], self.scale(number + 1))

    def like(self, number: int, given: int, scale: tuple | None) -> int:
        """The tensor ``given`` with another scale, where it has another."""
        quantization = self.tensors[given].quantization
        if scale is None or (quantization.scale[0], quantization.zeroPoint[0]) == (np.float32(scale[0]), scale[1]):
            return given
        return self.operator("QUANTIZE", [given], self.tensor("requantised", self.tensors[given].shape, scale))

    # ---- Layers with weights, and other windows

    def window(self, number: int, node: Node, given: int, name: str, more: list[int], options: str, **values) -> int:
        """An operation on an image with its channels last, whatever the network's layout."""
        shape = self.shapes[number + 1]
        strides = dict(zip(("strideH", "strideW"), node.get("strides"), strict=True))
        values |= strides | {"padding": int(node.get("pads", "valid") == "valid")}
        if self.network.layout == "nhwc":
            return self.operator(name, self.operands(name, given, more), self.result(number, node), options, **values)
        taken = self.turned(given, [0, 2, 3, 1])
        last = self.tensor("last", [shape[axis] for axis in (0, 2, 3, 1)], self.scale(number + 1))
        self.operator(name, self.operands(name, taken, more), last, options, **values)
        order = self.constant(np.int32([0, 3, 1, 2]))
        return self.operator("TRANSPOSE", [last, order], self.result(number, node), "TransposeOptions")

    def operands(self, name: str, given: int, more: list[int]) -> list[int]:
        return [*more[:2], given, *more[2:]] if name == "TRANSPOSE_CONV" else [given, *more]

    def turned(self, given: int, order: list[int]) -> int:
        tensor = self.tensors[given]
        scale = tensor.quantization and (tensor.quantization.scale[0], tensor.quantization.zeroPoint[0])
        result = self.tensor("turned", [tensor.shape[axis] for axis in order], scale)
        return self.operator("TRANSPOSE", [given, self.constant(np.int32(order))], result, "TransposeOptions")

    def weights(self, number: int, order: list[int]) -> list[int]:
        """The tensors of the weights, their axes in ``order``, and of the bias, if there is one."""
        known = weights_of(self.network, number)
        array = known.weights.transpose(order)
        bias = known.bias
        if bias is None and self.network.nodes[number].kind == "conv":  # TensorFlow Lite wants one
            bias = np.zeros(array.shape[0] if order[0] == len(order) - 1 else array.shape[-1], _bias_type(self.network))
        if self.scales is None:
            return [self.constant(array), *([] if bias is None else [self.constant(bias)])]
        dtype = "uint8" if self.network.dtype == "uint8" else "int8"
        scales = known.scales
        if len(set(scales.tolist())) == 1:
            scales = scales[:1]
        axis = order.index(len(order) - 1)
        found = [self.constant(array.astype(dtype), (scales, known.zero_point, axis))]
        if bias is not None:
            in_scale = np.float32(self.scales[self.network.nodes[number].inputs[0]][0])
            found.append(self.constant(bias, (in_scale * scales, 0, 0)))
        return found

    def _conv(self, number: int, node: Node, given: list[int]) -> int:
        shape = self.shapes[node.inputs[0]]
        channels = shape[channel_axis(self.network.layout, len(shape))]
        dilations = node.get("dilations", [1, 1])
        values = {"fusedActivationFunction": _ACTIVATIONS[node.get("activation")]}
        values |= dict(zip(("dilationHFactor", "dilationWFactor"), dilations, strict=True))
        if node.get("groups", 1) == channels and channels > 1:
            # [row, column, 1, channel] is [1, row, column, channel] but for the order of its axes.
            weights = self.weights(number, [2, 0, 1, 3])
            values["depthMultiplier"] = node.get("channels") // channels
            return self.window(number, node, given[0], "DEPTHWISE_CONV_2D", weights, "DepthwiseConv2DOptions", **values)
        return self.window(
            number, node, given[0], "CONV_2D", self.weights(number, [3, 0, 1, 2]), "Conv2DOptions", **values
        )

    def _transposed(self, number: int, node: Node, given: list[int]) -> int:
        shape = self.shapes[number + 1]
        if self.network.layout == "nchw":
            shape = tuple(shape[axis] for axis in (0, 2, 3, 1))
        more = [self.constant(np.int32(shape)), *self.weights(number, [3, 0, 1, 2])]
        return self.window(number, node, given[0], "TRANSPOSE_CONV", more, "TransposeConvOptions")

    def _pool(self, number: int, node: Node, given: list[int]) -> int:
        name = "MAX_POOL_2D" if node.get("mode") == "max" else "AVERAGE_POOL_2D"
        values = dict(zip(("filterHeight", "filterWidth"), node.get("kernel"), strict=True))
        return self.window(number, node, given[0], name, [], "Pool2DOptions", **values)

    def _dense(self, number: int, node: Node, given: list[int]) -> int:
        values = {
            "fusedActivationFunction": _ACTIVATIONS[node.get("activation")],
            "keepNumDims": len(self.shapes[node.inputs[0]]) > 2,
        }
        operands = [given[0], *self.weights(number, [1, 0])]
        return self.operator("FULLY_CONNECTED", operands, self.result(number, node), "FullyConnectedOptions", **values)

    def _matmul(self, number: int, node: Node, given: list[int]) -> int:
        return self.operator("BATCH_MATMUL", given, self.result(number, node), "BatchMatMulOptions", adjY=True)

    # ---- The others

    def _reduce(self, number: int, node: Node, given: list[int]) -> int:
        axes = self.constant(np.int32(node.get("axes")))
        name = _REDUCE[node.get("mode")]
        result = self.result(number, node)
        return self.operator(name, [given[0], axes], result, "ReducerOptions", keepDims=node.get("keep"))

    def _unary(self, number: int, node: Node, given: list[int]) -> int:
        function = node.get("function")
        if function == "leaky":
            return self.operator("LEAKY_RELU", given, self.result(number, node), "LeakyReluOptions", alpha=0.125)
        if function == "sqrt":
            positive = self.operator("ABS", given, self.tensor("positive", self.shapes[number + 1]))
            return self.operator("SQRT", [positive], self.result(number, node))
        return self.operator(_UNARY[function], given, self.result(number, node))

    def _binary(self, number: int, node: Node, given: list[int]) -> int:
        function = node.get("function")
        second = given[1] if len(given) > 1 else self.operand(number)
        first = given[0]
        if function in ("max", "min"):
            second = self.like(number, second, self.scale(number + 1))
        options = f"{_BINARY_OPTIONS[function]}Options" if function in _BINARY_OPTIONS else "MaximumMinimumOptions"
        return self.operator(_BINARY[function], [first, second], self.result(number, node), options)

    def operand(self, number: int) -> int:
        values = constant_of(self.network, number)
        if self.scales is None:
            return self.constant(values)
        scale = 1 / (40 if self.network.dtype != "int16" else 9000)
        zero_point = 128 if self.network.dtype == "uint8" else 0
        return self.constant(quantised(values, scale, zero_point, self.network.dtype), (scale, zero_point))

    def _softmax(self, number: int, node: Node, given: list[int]) -> int:
        return self.operator("SOFTMAX", given, self.result(number, node), "SoftmaxOptions", beta=1.0)

    def _concat(self, number: int, node: Node, given: list[int]) -> int:
        taken = [self.like(number, each, self.scale(number + 1)) for each in given]
        result = self.result(number, node)
        return self.operator("CONCATENATION", taken, result, "ConcatenationOptions", axis=node.get("axis"))

    def _transpose(self, number: int, node: Node, given: list[int]) -> int:
        order = self.constant(np.int32(node.get("order")))
        return self.operator("TRANSPOSE", [given[0], order], self.result(number, node), "TransposeOptions")

    def _reshape(self, number: int, node: Node, given: list[int]) -> int:
        shape = list(node.get("shape"))
        operands = [given[0], self.constant(np.int32(shape))]
        return self.operator("RESHAPE", operands, self.result(number, node), "ReshapeOptions", newShape=shape)

    def _slice(self, number: int, node: Node, given: list[int]) -> int:
        shape = self.shapes[node.inputs[0]]
        begin, end, step = [0] * len(shape), list(shape), [1] * len(shape)
        axis = node.get("axis")
        begin[axis], end[axis], step[axis] = node.get("begin"), node.get("end"), node.get("step")
        operands = [given[0], *(self.constant(np.int32(each)) for each in (begin, end, step))]
        return self.operator("STRIDED_SLICE", operands, self.result(number, node), "StridedSliceOptions")

    def _pad(self, number: int, node: Node, given: list[int]) -> int:
        operands = [given[0], self.constant(np.int32(node.get("pads")))]
        return self.operator("PAD", operands, self.result(number, node), "PadOptions")


def _bias_type(network: Network) -> str:
    return {"float32": "float32", "int16": "int64"}.get(network.dtype, "int32")


def _code(builtin: int) -> schema.OperatorCodeT:
    code = schema.OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode, code.version = builtin, min(builtin, 127), 1
    return code
