# SPDX-License-Identifier: Apache-2.0
"""Weights and quantisation of a random network: both follow from its seed.

Weights of convolutions have the shape [row, column, input channel of the group, output channel] (sequences have no
row), those of dense layers [input, output].
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from springbok.trials.fuzz.networks import Network, Node, channel_axis, shapes

_INTEGERS = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767), "int32": (-128, 127)}
#: What goes into a sum of products is about so large, in steps: integers at random have this deviation.
_DEVIATION = {"int8": 74.0, "uint8": 74.0, "int16": 19000.0}
#: Operations whose result has the scale of what they take.
_KEEPING = ("pool", "reshape", "transpose", "slice", "pad", "concat")
_UNIT_RANGE = {"int8": (1 / 256, -128), "uint8": (1 / 256, 0), "int16": (1 / 32768, 0)}
_SIGNED_RANGE = {"int8": (1 / 128, 0), "uint8": (1 / 128, 128), "int16": (1 / 32768, 0)}


@dataclass(frozen=True)
class Weights:
    """Weights and bias (or None) of a node. Quantised, they are integers with a scale an output channel."""

    weights: np.ndarray
    bias: np.ndarray | None
    scales: np.ndarray | None = None
    zero_point: int = 0


def random_of(network: Network, number: int, purpose: int = 0) -> np.random.Generator:
    """The source of chance for node ``number``."""
    return np.random.default_rng([network.seed, number, purpose])


def weights_of(network: Network, number: int) -> Weights:
    """The weights of a convolution or dense layer, in floating point or as plain integers (int32)."""
    node = network.nodes[number]
    given = shapes(network)[node.inputs[0]]
    random = random_of(network, number)
    shape = _weight_shape(network, node, given)
    channels = shape[-1]
    fan_in = math.prod(shape[:-1])
    bias = node.get("bias", False)
    if network.dtype == "float32":
        weights = (random.standard_normal(shape) / math.sqrt(fan_in)).astype(np.float32)
        return Weights(weights, random.standard_normal(channels).astype(np.float32) if bias else None)
    if network.dtype == "int32":
        weights = random.integers(-128, 128, shape).astype(np.int32)
        return Weights(weights, random.integers(-5000, 5000, channels).astype(np.int32) if bias else None)
    low, high = (0, 255) if network.dtype == "uint8" else (-127, 127)
    integers = random.integers(low, high, shape, endpoint=True)
    scales = np.full(channels, 0.004) if network.dtype == "uint8" or node.kind == "dense" else None
    if scales is None:
        scales = 0.004 * np.exp(random.uniform(-1, 1, channels))
    zero_point = int(random.integers(100, 156)) if network.dtype == "uint8" else 0
    reach = _DEVIATION[network.dtype] * 74 * math.sqrt(fan_in)
    wide = np.int64 if network.dtype == "int16" else np.int32
    biases = random.normal(0, reach / 2, channels).astype(wide) if bias else None
    if bias and network.dtype != "uint8" and node.kind == "conv" and random.random() < 0.1:
        dead = int(random.integers(channels))  # as training leaves channels that nothing reaches
        integers[..., dead] = 0
        scales[dead] *= 1e-5
        biases[dead] = 1 << 30
    return Weights(integers, biases, scales.astype(np.float32), zero_point)


def _weight_shape(network: Network, node: Node, given: tuple[int, ...]) -> tuple[int, ...]:
    if node.kind == "dense":
        return (given[-1], node.get("channels"))
    channels = given[channel_axis(network.layout, len(given))]
    return (*node.get("kernel"), channels // node.get("groups", 1), node.get("channels"))


def constant_of(network: Network, number: int) -> np.ndarray:
    """The second operand of a node that has a constant one, of a shape that broadcasts. Real values, or int32."""
    node = network.nodes[number]
    shape = shapes(network)[number + 1]
    kind = node.get("constant")
    if kind == "scalar":
        shape = (1,) * len(shape)
    elif kind == "channel":
        axis = channel_axis(network.layout, len(shape))
        shape = tuple(length if each == axis else 1 for each, length in enumerate(shape))
    random = random_of(network, number)
    if network.dtype == "int32":
        return random.integers(-1000, 1000, shape).astype(np.int32)
    values = random.standard_normal(shape).astype(np.float32)
    if node.get("function") == "div":
        values = np.where(values < 0, values - 0.5, values + 0.5).astype(np.float32)
    return values


def quantisation(network: Network) -> list[tuple[float, int]]:
    """Scale and zero point of every tensor of a quantised network, the input's first."""
    known = shapes(network)
    random = random_of(network, 0, 1)
    scale = float(random.choice([0.02, 0.05, 0.5])) / (256 if network.dtype == "int16" else 1)  # values are as large
    found = [(scale, _zero_point(network, random))]
    for number, node in enumerate(network.nodes):
        random = random_of(network, number + 1, 1)
        scale, zero_point = _result(network, number, node, found, known, random)
        found.append((float(np.float32(scale)), zero_point))
    return found


def _zero_point(network: Network, random: np.random.Generator) -> int:
    if network.dtype == "int16":
        return 0
    low, high = _INTEGERS[network.dtype]
    middle = (low + high + 1) // 2
    return int(random.choice([low, high, middle, middle + int(random.integers(-60, 60))]))


def _result(  # noqa: PLR0911 (a table)
    network: Network, number: int, node: Node, found: list, known: list, random: np.random.Generator
) -> tuple[float, int]:
    given = [found[each] for each in node.inputs]
    scale = given[0][0]
    function = node.get("function") or node.get("mode")
    if node.kind in _KEEPING or function in ("relu", "relu6", "max", "min"):
        return given[0]
    if node.kind == "softmax" or function == "sigmoid":
        return _UNIT_RANGE[network.dtype]
    if function == "tanh":
        return _SIGNED_RANGE[network.dtype]
    zero_point = _zero_point(network, random)
    jitter = math.exp(random.uniform(-1, 1))
    if node.kind in ("conv", "dense", "transposed"):
        fan_in = math.prod(_weight_shape(network, node, known[node.inputs[0]])[:-1])
        return scale * 0.004 * 110 * math.sqrt(fan_in) * jitter, zero_point
    if node.kind == "matmul":
        return scale * given[1][0] * _DEVIATION[network.dtype] * 1.5 * math.sqrt(known[node.inputs[0]][-1]), zero_point
    second = given[1][0] if len(given) > 1 else 1 / 60
    if function == "mul":
        return scale * second * _DEVIATION[network.dtype] * jitter, zero_point
    if function in ("add", "sub"):
        return math.hypot(scale, second) * jitter, zero_point
    if function == "sum":
        return scale * math.sqrt(math.prod(known[node.inputs[0]]) / math.prod(known[number + 1])), zero_point
    return scale, zero_point


def quantised(values: np.ndarray, scale: float, zero_point: int, dtype: str) -> np.ndarray:
    """Real values as integers of ``dtype``, saturated."""
    return np.clip(np.rint(values / scale) + zero_point, *_INTEGERS[dtype]).astype(dtype)
