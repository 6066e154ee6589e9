# SPDX-License-Identifier: Apache-2.0
"""Random networks as StableHLO text. Networks of whole numbers take int8, compute in int32 and give int32."""

from __future__ import annotations

import math

import numpy as np

from springbok.trials.fuzz.networks import Network, Node, channel_axis, padding, shapes, spatial_axes
from springbok.trials.fuzz.weights import constant_of, weights_of

_BINARY = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "max": "maximum",
    "min": "minimum",
    "div": "divide",
}
_UNARY = {"sigmoid": "logistic", "tanh": "tanh", "abs": "abs", "neg": "negate", "exp": "exponential"}


def write(network: Network) -> str:
    """The network as a module with a function ``main``."""
    return _Writer(network).text()


class _Writer:
    def __init__(self, network: Network) -> None:
        self.network = network
        self.shapes = shapes(network)
        self.element = "f32" if network.dtype == "float32" else "i32"
        self.lines: list[str] = []

    def text(self) -> str:
        network = self.network
        tensors = ["%x"]
        taken = self.type(network.shape)
        if self.element == "i32":
            taken = taken.replace("i32", "i8")
            tensors = [self.line(f"stablehlo.convert %x : ({taken}) -> {self.type(network.shape)}")]
        for number, node in enumerate(network.nodes):
            tensors.append(getattr(self, f"_{node.kind}")(number, node, [tensors[each] for each in node.inputs]))
        types = ", ".join(self.type(self.shapes[number]) for number in network.outputs)
        given = ", ".join(tensors[number] for number in network.outputs)
        body = "\n  ".join([*self.lines, f"return {given} : {types}"])
        return f"func.func @main(%x: {taken}) -> ({types}) {{\n  {body}\n}}\n"

    def type(self, shape: tuple[int, ...] | list[int]) -> str:
        return f"tensor<{''.join(f'{length}x' for length in shape)}{self.element}>"

    def line(self, text: str) -> str:
        name = f"%v{len(self.lines)}"
        self.lines.append(f"{name} = {text}")
        return name

    def constant(self, array: np.ndarray) -> str:
        array = np.asarray(array)
        if self.element == "i32":
            literal = array.astype(np.int32).tolist()
        else:
            array = array.astype(np.float32)
            finite = np.isfinite(array).all()
            literal = array.tolist() if finite else "0xFF800000"  # minus infinity is the only other one
        return self.line(f"stablehlo.constant dense<{literal}> : {self.type(array.shape)}")

    def filled(self, value: float, shape: tuple[int, ...]) -> str:
        return self.spread(self.constant(np.array(value)), (), shape, [])

    def spread(self, name: str, shape: tuple[int, ...], to: tuple[int, ...], axes: list[int]) -> str:
        return self.line(f"stablehlo.broadcast_in_dim {name}, dims = {axes} : ({self.type(shape)}) -> {self.type(to)}")

    def call(self, kind: str, given: list[str], shape: tuple[int, ...]) -> str:
        return self.line(f"stablehlo.{kind} {', '.join(given)} : {self.type(shape)}")

    def narrow(self, given: str, shape: tuple[int, ...]) -> str:
        shifted = self.call("shift_right_arithmetic", [given, self.filled(7, shape)], shape)
        clamped = self.call("clamp", [self.filled(-128, shape), shifted, self.filled(127, shape)], shape)
        small = self.type(shape).replace("i32", "i8")
        cut = self.line(f"stablehlo.convert {clamped} : ({self.type(shape)}) -> {small}")
        return self.line(f"stablehlo.convert {cut} : ({small}) -> {self.type(shape)}")

    def narrowed(self, node: Node, given: str, which: int = 0) -> str:
        if self.element == "f32" or (node.inputs[which] == 0 and node.kind != "matmul"):
            return given
        return self.narrow(given, self.shapes[node.inputs[which]])

    def finished(self, node: Node, result: str, bias: np.ndarray | None, shape: tuple[int, ...], axis: int) -> str:
        """The result with its bias and activation."""
        if bias is not None:
            result = self.call("add", [result, self.spread(self.constant(bias), bias.shape, shape, [axis])], shape)
        if node.get("activation"):
            result = self.function(node.get("activation"), result, shape)
        return result

    # ---- Layers with weights

    def _conv(self, number: int, node: Node, given: list[str]) -> str:
        known = weights_of(self.network, number)
        pads = [list(each) for each in padding(self.network, number)]
        window = {"stride": node.get("strides"), "pad": pads}
        window["rhs_dilate"] = node.get("dilations", [1] * len(pads))
        return self.convolution(number, node, given, known.weights, known.bias, window)

    def _transposed(self, number: int, node: Node, given: list[str]) -> str:
        known = weights_of(self.network, number)
        kernel = node.get("kernel")
        flipped = np.flip(known.weights, tuple(range(len(kernel))))
        window = {"stride": [1] * len(kernel), "pad": [[size - 1, size - 1] for size in kernel]}
        window["lhs_dilate"] = node.get("strides")
        return self.convolution(number, node, given, flipped, known.bias, window)

    def convolution(
        self, number: int, node: Node, given: list[str], weights: np.ndarray, bias: np.ndarray | None, window: dict
    ) -> str:
        taken, shape = self.shapes[node.inputs[0]], self.shapes[number + 1]
        rank = len(shape)
        axis = channel_axis(self.network.layout, rank)
        spatial = [str(each) for each in range(rank - 2)]
        image = ", ".join(["b", "f", *spatial] if axis == 1 else ["b", *spatial, "f"])
        order = f"[{image}]x[{', '.join(spatial)}, i, o]->[{image}]"
        described = ", ".join(f"{name} = {value}" for name, value in window.items())
        first = self.narrowed(node, given[0])
        second = self.constant(weights)
        result = self.line(
            f"stablehlo.convolution({first}, {second}) dim_numbers = {order}, window = {{{described}}} "
            f"{{batch_group_count = 1 : i64, feature_group_count = {node.get('groups', 1)} : i64}} : "
            f"({self.type(taken)}, {self.type(weights.shape)}) -> {self.type(shape)}"
        )
        return self.finished(node, result, bias, shape, axis)

    def _dense(self, number: int, node: Node, given: list[str]) -> str:
        known = weights_of(self.network, number)
        taken, shape = self.shapes[node.inputs[0]], self.shapes[number + 1]
        first, second = self.narrowed(node, given[0]), self.constant(known.weights)
        result = self.line(
            f"stablehlo.dot_general {first}, {second}, contracting_dims = [{len(taken) - 1}] x [0] : "
            f"({self.type(taken)}, {self.type(known.weights.shape)}) -> {self.type(shape)}"
        )
        return self.finished(node, result, known.bias, shape, len(shape) - 1)

    def _matmul(self, number: int, node: Node, given: list[str]) -> str:
        first, second = (self.shapes[each] for each in node.inputs)
        taken = [self.narrowed(node, each, which) for which, each in enumerate(given)]
        return self.line(
            f"stablehlo.dot_general {', '.join(taken)}, batching_dims = [0] x [0], contracting_dims = [2] x [2] : "
            f"({self.type(first)}, {self.type(second)}) -> {self.type(self.shapes[number + 1])}"
        )

    # ---- The others

    def _pool(self, number: int, node: Node, given: list[str]) -> str:
        taken, shape = self.shapes[node.inputs[0]], self.shapes[number + 1]
        axes = spatial_axes(self.network.layout, len(shape))
        sizes, strides, pads = [1] * len(shape), [1] * len(shape), [[0, 0] for _ in shape]
        for axis, size, stride, pad in zip(
            axes, node.get("kernel"), node.get("strides"), padding(self.network, number), strict=True
        ):
            sizes[axis], strides[axis], pads[axis] = size, stride, list(pad)
        largest = node.get("mode") == "max"
        lowest = -(2**31) if self.element == "i32" else -np.inf
        start = self.constant(np.array(lowest if largest else 0))
        inner = "maximum" if largest else "add"
        scalar = self.type(())
        result = self.line(
            f'"stablehlo.reduce_window"({given[0]}, {start}) <{{window_dimensions = array<i64: {_list(sizes)}>, '
            f"window_strides = array<i64: {_list(strides)}>, padding = dense<{pads}> : tensor<{len(shape)}x2xi64>}}> "
            f"({{\n  ^bb0(%a: {scalar}, %b: {scalar}):\n    %c = stablehlo.{inner} %a, %b : {scalar}\n"
            f"    stablehlo.return %c : {scalar}\n  }}) : ({self.type(taken)}, {scalar}) -> {self.type(shape)}"
        )
        if largest:
            return result
        counts = np.ones(shape, np.float32)
        for axis in axes:
            length = taken[axis]
            inside = [
                sum(0 <= place * strides[axis] - pads[axis][0] + step < length for step in range(sizes[axis]))
                for place in range(shape[axis])
            ]
            counts *= np.float32(inside).reshape([-1 if each == axis else 1 for each in range(len(shape))])
        return self.call("divide", [result, self.constant(counts)], shape)

    def _reduce(self, number: int, node: Node, given: list[str]) -> str:
        taken, shape = self.shapes[node.inputs[0]], self.shapes[number + 1]
        axes, mode = node.get("axes"), node.get("mode")
        reduced = tuple(length for axis, length in enumerate(taken) if axis not in axes)
        limit = {"float32": np.inf, "int32": 2**31 - 1}[self.network.dtype]
        start = {"max": -limit - (self.element == "i32"), "min": limit}.get(mode, 0)
        inner = {"max": "maximum", "min": "minimum"}.get(mode, "add")
        if mode == "min" and self.element == "f32":
            first = self.constant(np.array(np.float32(3.4028235e38)))
        else:
            first = self.constant(np.array(start))
        result = self.line(
            f"stablehlo.reduce({given[0]} init: {first}) applies stablehlo.{inner} across dimensions = {axes} : "
            f"({self.type(taken)}, {self.type(())}) -> {self.type(reduced)}"
        )
        if mode == "mean":
            count = math.prod(taken[axis] for axis in axes)
            result = self.call("divide", [result, self.filled(count, reduced)], reduced)
        return self.reshaped(result, reduced, shape) if node.get("keep") else result

    def reshaped(self, name: str, shape: tuple[int, ...], to: tuple[int, ...]) -> str:
        return self.line(f"stablehlo.reshape {name} : ({self.type(shape)}) -> {self.type(to)}")

    def _unary(self, number: int, node: Node, given: list[str]) -> str:
        return self.function(node.get("function"), given[0], self.shapes[number + 1])

    def function(self, function: str, given: str, shape: tuple[int, ...]) -> str:  # noqa: PLR0911 (a table)
        zero = self.filled(0, shape) if function in ("relu", "relu6", "leaky", "elu", "hardswish") else ""
        if function == "relu":
            return self.call("maximum", [given, zero], shape)
        if function == "relu6":
            return self.call("clamp", [zero, given, self.filled(6, shape)], shape)
        if function == "narrow":
            return self.narrow(given, shape)
        if function == "square":
            return self.call("multiply", [given, given], shape)
        if function == "sqrt":
            return self.call("sqrt", [self.call("abs", [given], shape)], shape)
        if function == "hardswish":
            shifted = self.call("add", [given, self.filled(3, shape)], shape)
            gate = self.call("clamp", [zero, shifted, self.filled(6, shape)], shape)
            product = self.call("multiply", [given, gate], shape)
            return self.call("divide", [product, self.filled(6, shape)], shape)
        if function in ("leaky", "elu"):
            small = (
                self.call("multiply", [given, self.filled(0.125, shape)], shape)
                if function == "leaky"
                else self.call("exponential_minus_one", [given], shape)
            )
            flags = self.type(shape).replace("f32", "i1")
            positive = self.line(
                f"stablehlo.compare GT, {given}, {zero} : ({self.type(shape)}, {self.type(shape)}) -> {flags}"
            )
            return self.line(f"stablehlo.select {positive}, {given}, {small} : {flags}, {self.type(shape)}")
        return self.call(_UNARY[function], [given], shape)

    def _binary(self, number: int, node: Node, given: list[str]) -> str:
        shape = self.shapes[number + 1]
        if len(given) > 1:
            second = given[1]
        else:
            values = constant_of(self.network, number)
            axes = list(range(len(shape)))
            second = self.constant(values)
            if values.shape != shape:
                kept = [axis for axis in axes if values.shape[axis] != 1 or shape[axis] == 1]
                flat = tuple(values.shape[axis] for axis in kept)
                second = self.spread(self.reshaped(second, values.shape, flat), flat, shape, kept)
        return self.call(_BINARY[node.get("function")], [given[0], second], shape)

    def _softmax(self, number: int, node: Node, given: list[str]) -> str:
        shape = self.shapes[number + 1]
        largest = self.over_channels("maximum", -np.inf, given[0], shape)
        powers = self.call("exponential", [self.call("subtract", [given[0], largest], shape)], shape)
        return self.call("divide", [powers, self.over_channels("add", 0, powers, shape)], shape)

    def over_channels(self, inner: str, start: float, given: str, shape: tuple[int, ...]) -> str:
        last = len(shape) - 1
        result = self.line(
            f"stablehlo.reduce({given} init: {self.constant(np.array(start))}) applies stablehlo.{inner} across "
            f"dimensions = [{last}] : ({self.type(shape)}, {self.type(())}) -> {self.type(shape[:-1])}"
        )
        return self.spread(result, shape[:-1], shape, list(range(last)))

    def _concat(self, number: int, node: Node, given: list[str]) -> str:
        types = ", ".join(self.type(self.shapes[each]) for each in node.inputs)
        return self.line(
            f"stablehlo.concatenate {', '.join(given)}, dim = {node.get('axis')} : ({types}) -> "
            f"{self.type(self.shapes[number + 1])}"
        )

    def _transpose(self, number: int, node: Node, given: list[str]) -> str:
        taken, shape = self.shapes[node.inputs[0]], self.shapes[number + 1]
        return self.line(
            f"stablehlo.transpose {given[0]}, dims = {list(node.get('order'))} : ({self.type(taken)}) -> "
            f"{self.type(shape)}"
        )

    def _reshape(self, number: int, node: Node, given: list[str]) -> str:
        return self.reshaped(given[0], self.shapes[node.inputs[0]], self.shapes[number + 1])

    def _slice(self, number: int, node: Node, given: list[str]) -> str:
        taken = self.shapes[node.inputs[0]]
        parts = [f"0:{length}" for length in taken]
        parts[node.get("axis")] = f"{node.get('begin')}:{node.get('end')}:{node.get('step')}"
        return self.line(
            f"stablehlo.slice {given[0]} [{', '.join(parts)}] : ({self.type(taken)}) -> "
            f"{self.type(self.shapes[number + 1])}"
        )

    def _pad(self, number: int, node: Node, given: list[str]) -> str:
        taken = self.shapes[node.inputs[0]]
        low, high = ([each[side] for each in node.get("pads")] for side in (0, 1))
        zero = self.constant(np.array(0))
        return self.line(
            f"stablehlo.pad {given[0]}, {zero}, low = {low}, high = {high}, interior = {[0] * len(taken)} : "
            f"({self.type(taken)}, {self.type(())}) -> {self.type(self.shapes[number + 1])}"
        )


def _list(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
