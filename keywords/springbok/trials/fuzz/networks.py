# SPDX-License-Identifier: Apache-2.0
"""Small networks as data: what the differential fuzzer draws, writes as model files, and shrinks.

A network is a list of nodes, each with the numbers of the tensors that it takes: 0 is the network's input, n the result
of node n. Shapes follow from the nodes, so that any change gives a network again or is refused by `shapes`. Weights
are not kept: they follow from the network's seed and the node's number.

Shapes are as the model has them: an image is [1, row, column, channel] in a network of the layout ``nhwc`` and
[1, channel, row, column] in ``nchw``; a sequence has three dimensions, a vector two.

Example::

    network = Network("onnx", "float32", "nchw", (1, 2, 5, 5), (Node("unary", (0,), {"function": "relu"}),), seed=1)
    print(network.describe(), shapes(network))
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

FRONT_ENDS = ("onnx", "tflite", "stablehlo")
LAYOUTS = ("nhwc", "nchw")
#: The types of the tensors between the nodes that each front end's networks have.
TYPES = {
    "onnx": ("float32", "int8", "uint8"),
    "tflite": ("float32", "int8", "uint8", "int16"),
    "stablehlo": ("float32", "int32"),
}
#: A tensor has at most so many elements: small networks compile fast.
MOST_ELEMENTS = 1200
_MOST_WEIGHTS = 6000


class UnfitError(Exception):
    """A node that can't take what it is given."""


@dataclass(frozen=True)
class Node:
    """``kind`` is one of `KINDS`, ``inputs`` are numbers of tensors, ``options`` what the kind needs."""

    kind: str
    inputs: tuple[int, ...]
    options: dict[str, Any] = field(default_factory=dict)

    def get(self, name: str, default: Any = None) -> Any:
        """An option, or ``default``."""
        return self.options.get(name, default)


@dataclass(frozen=True)
class Network:
    """A network of one input. Its outputs are the tensors that no node takes."""

    front_end: str
    dtype: str
    layout: str
    shape: tuple[int, ...]
    nodes: tuple[Node, ...]
    seed: int
    number: int = 0

    @property
    def quantised(self) -> bool:
        """Whether its integers stand for real values."""
        return self.dtype in ("int8", "uint8", "int16")

    @property
    def outputs(self) -> tuple[int, ...]:
        """Numbers of the tensors that are outputs."""
        taken = {number for node in self.nodes for number in node.inputs}
        return tuple(number for number in range(1, len(self.nodes) + 1) if number not in taken)

    def describe(self) -> str:
        """A line, such as ``onnx float32 nchw [1, 2, 5, 5]: conv 3x3, relu``."""
        nodes = ", ".join(f"{label(self, number)}" for number in range(len(self.nodes)))
        return f"{self.front_end} {self.dtype} {self.layout} {list(self.shape)}: {nodes}"

    def to_json(self) -> str:
        """The network as text; `from_json` reads it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Network:
        """The network that `to_json` wrote."""
        read = json.loads(text)
        nodes = tuple(Node(each["kind"], tuple(each["inputs"]), each["options"]) for each in read["nodes"])
        return cls(**read | {"nodes": nodes, "shape": tuple(read["shape"])})


def channel_axis(layout: str, rank: int) -> int:
    """Where an image, a sequence or a vector has its channels."""
    return 1 if layout == "nchw" and rank > 2 else rank - 1


def spatial_axes(layout: str, rank: int) -> list[int]:
    """The other axes, but for the first."""
    return [axis for axis in range(1, rank) if axis != channel_axis(layout, rank)]


def label(network: Network, number: int) -> str:
    """What a node is, for people and for tables of coverage."""
    node = network.nodes[number]
    if node.kind in ("conv", "transposed"):
        channels = shapes(network)[node.inputs[0]]
        groups, kernel = node.get("groups", 1), node.get("kernel")
        in_channels = channels[channel_axis(network.layout, len(channels))]
        which = "" if groups == 1 else "depthwise " if groups == in_channels else "grouped "
        words = [f"{which}{'transposed ' if node.kind == 'transposed' else ''}conv{len(kernel)}d"]
        words += ["strided"] if max(node.get("strides")) > 1 else []
        words += ["dilated"] if max(node.get("dilations", [1])) > 1 else []
        words += ["padded"] if any(map(any, padding(network, number))) else []
        return " ".join(words)
    if node.kind in ("unary", "binary"):
        constant = f" {node.get('constant')}" if node.get("constant") else ""
        return node.get("function") + constant
    if node.kind in ("pool", "reduce"):
        return f"{node.get('mode')} {node.kind}"
    return node.kind


# ---- Shapes


def shapes(network: Network) -> list[tuple[int, ...]]:
    """The shape of every tensor, the input's first. Raises `UnfitError` where a node does not fit."""
    known = [tuple(network.shape)]
    for node in network.nodes:
        if not node.inputs or any(number >= len(known) or number < 0 for number in node.inputs):
            raise UnfitError("takes what is not there")
        shape = _SHAPES[node.kind](network, node, [known[number] for number in node.inputs])
        if math.prod(shape) > MOST_ELEMENTS or min(shape, default=1) < 1 or len(shape) > 4:
            raise UnfitError("too large, or empty")
        known.append(tuple(shape))
    return known


def padding(network: Network, number: int) -> list[tuple[int, int]]:
    """What a convolution's or pooling's node adds before and after each spatial axis."""
    node = network.nodes[number]
    shape = shapes(replace(network, nodes=network.nodes[:number]))[node.inputs[0]]
    return _padding(network, node, shape)


def _padding(network: Network, node: Node, shape: Sequence[int]) -> list[tuple[int, int]]:
    given = node.get("pads", "valid")
    if given == "valid":
        return [(0, 0)] * len(node.get("kernel"))
    if given != "same":
        return [tuple(each) for each in given]
    found = []
    for axis, extent, stride in zip(
        spatial_axes(network.layout, len(shape)), _extents(node), node.get("strides"), strict=True
    ):
        total = max((-(-shape[axis] // stride) - 1) * stride + extent - shape[axis], 0)
        found.append((total // 2, total - total // 2))
    return found


def _extents(node: Node) -> list[int]:
    """How far a window reaches, dilation included."""
    dilations = node.get("dilations", [1] * len(node.get("kernel")))
    return [(size - 1) * dilation + 1 for size, dilation in zip(node.get("kernel"), dilations, strict=True)]


def _window(network: Network, node: Node, given: list[tuple[int, ...]], channels: int) -> list[int]:
    (shape,) = given
    axes = spatial_axes(network.layout, len(shape))
    if len(shape) < 3 or len(axes) != len(node.get("kernel")):
        raise UnfitError("no image of this rank")
    result = list(shape)
    pads = _padding(network, node, shape)
    for axis, extent, size, stride, (before, after) in zip(
        axes, _extents(node), node.get("kernel"), node.get("strides"), pads, strict=True
    ):
        if node.kind == "transposed":
            result[axis] = shape[axis] * stride if node.get("pads") == "same" else (shape[axis] - 1) * stride + size
            if result[axis] < shape[axis] or (node.get("pads") == "same" and size < stride):
                raise UnfitError("a window smaller than its stride")
            continue
        if before + after + shape[axis] < extent or max(before, after) >= extent:
            raise UnfitError("a window larger than its image, or only over padding")
        result[axis] = (shape[axis] + before + after - extent) // stride + 1
    result[channel_axis(network.layout, len(shape))] = channels
    return result


def _conv(network: Network, node: Node, given: list[tuple[int, ...]]) -> list[int]:
    groups, out = node.get("groups", 1), node.get("channels")
    channels = given[0][channel_axis(network.layout, len(given[0]))]
    if channels % groups or out % groups or (network.front_end == "tflite" and len(given[0]) == 3):
        raise UnfitError("channels do not fit the groups")
    if math.prod(node.get("kernel")) * channels // groups * out > _MOST_WEIGHTS:
        raise UnfitError("too many weights")
    return _window(network, node, given, out)


def _pool(network: Network, node: Node, given: list[tuple[int, ...]]) -> list[int]:
    if network.front_end == "tflite" and len(given[0]) == 3:
        raise UnfitError("no image")
    return _window(network, node, given, given[0][channel_axis(network.layout, len(given[0]))])


def _dense(network: Network, node: Node, given: list[tuple[int, ...]]) -> list[int]:
    (shape,) = given
    if len(shape) < 2 or shape[-1] * node.get("channels") > _MOST_WEIGHTS:
        raise UnfitError("no vector")
    if len(shape) > 2 and network.quantised and network.front_end != "tflite":
        raise UnfitError("no vector")
    return [*shape[:-1], node.get("channels")]


def _matmul(network: Network, node: Node, given: list[tuple[int, ...]]) -> list[int]:
    first, second = given
    if len(first) != 3 or len(second) != 3 or first[-1] != second[-1] or first[0] != second[0]:
        raise UnfitError("no two matrices")
    return [first[0], first[1], second[1]]


def _reduce(network: Network, node: Node, given: list[tuple[int, ...]]) -> list[int]:
    (shape,) = given
    axes = node.get("axes")
    if max(axes) >= len(shape) or 0 in axes or (len(shape) - len(axes) < 2 and not node.get("keep")):
        raise UnfitError("no such axis")
    kept = [1 if axis in axes else length for axis, length in enumerate(shape)]
    return kept if node.get("keep") else [length for axis, length in enumerate(shape) if axis not in axes]


def _binary(network: Network, node: Node, given: list[tuple[int, ...]]) -> tuple[int, ...]:
    if len(given) != (1 if node.get("constant") else 2) or len(set(given)) != 1:
        raise UnfitError("shapes differ")
    return given[0]


def _concat(network: Network, node: Node, given: list[tuple[int, ...]]) -> list[int]:
    axis = node.get("axis")
    if len({len(shape) for shape in given}) != 1 or not 0 < axis < len(given[0]):
        raise UnfitError("ranks differ")
    if len({shape[:axis] + shape[axis + 1 :] for shape in given}) != 1:
        raise UnfitError("shapes differ")
    result = list(given[0])
    result[axis] = sum(shape[axis] for shape in given)
    return result


def _transpose(network: Network, node: Node, given: list[tuple[int, ...]]) -> list[int]:
    if sorted(node.get("order")) != list(range(len(given[0]))) or node.get("order")[0] != 0:
        raise UnfitError("no such axis")
    return [given[0][axis] for axis in node.get("order")]


def _reshape(network: Network, node: Node, given: list[tuple[int, ...]]) -> list[int]:
    if math.prod(node.get("shape")) != math.prod(given[0]):
        raise UnfitError("another number of elements")
    return node.get("shape")


def _slice(network: Network, node: Node, given: list[tuple[int, ...]]) -> list[int]:
    axis, begin, end, step = (node.get(name) for name in ("axis", "begin", "end", "step"))
    if not 0 < axis < len(given[0]) or not 0 <= begin < end <= given[0][axis]:
        raise UnfitError("nothing left")
    return [-(-(end - begin) // step) if each == axis else length for each, length in enumerate(given[0])]


def _pad(network: Network, node: Node, given: list[tuple[int, ...]]) -> list[int]:
    if len(node.get("pads")) != len(given[0]):
        raise UnfitError("another rank")
    return [length + sum(pads) for length, pads in zip(given[0], node.get("pads"), strict=True)]


def _same(network: Network, node: Node, given: list[tuple[int, ...]]) -> tuple[int, ...]:
    return given[0]


_SHAPES = {
    "conv": _conv,
    "transposed": _conv,
    "dense": _dense,
    "matmul": _matmul,
    "pool": _pool,
    "reduce": _reduce,
    "unary": _same,
    "binary": _binary,
    "softmax": _same,
    "concat": _concat,
    "transpose": _transpose,
    "reshape": _reshape,
    "slice": _slice,
    "pad": _pad,
}
KINDS = tuple(_SHAPES)
