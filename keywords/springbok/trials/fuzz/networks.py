# SPDX-License-Identifier: Apache-2.0
"""Small networks at random, as data: what the differential fuzzer draws, writes as model files, and shrinks.

A network is a list of nodes, each with the numbers of the tensors that it takes: 0 is the network's input, n the result
of node n. Shapes follow from the nodes, so that any change gives a network again or is refused by `shapes`. Weights
are not kept: they follow from the network's seed and the node's number.

Shapes are as the model has them: an image is [1, row, column, channel] in a network of the layout ``nhwc`` and
[1, channel, row, column] in ``nchw``; a sequence has three dimensions, a vector two.

Example::

    network = draw(seed=1, number=7)
    print(network.describe(), shapes(network))
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from random import Random
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

# ---- What may be drawn

_FLOAT_UNARY = ("relu", "relu6", "leaky", "sigmoid", "tanh", "abs", "neg", "exp", "hardswish", "elu", "sqrt", "square")
_UNARY = {
    "float32": _FLOAT_UNARY,
    "int8": ("relu", "relu6", "leaky", "sigmoid", "tanh", "hardswish", "abs", "neg"),
    "uint8": ("relu", "relu6", "leaky", "sigmoid", "tanh", "hardswish"),
    "int16": ("relu", "relu6", "leaky", "sigmoid", "tanh", "abs"),
    "int32": ("relu", "abs", "neg", "narrow"),
}
# What TensorFlow Lite's reference kernels, or the converter to TOSA, do not have.
_UNARY_MISSING = {("tflite", "float32"): ("elu",), ("tflite", "int8"): ("abs", "neg"), ("tflite", "int16"): ("abs",)}
_BINARY = {
    "float32": ("add", "sub", "mul", "max", "min", "div"),
    "int8": ("add", "sub", "mul", "max", "min"),
    "uint8": ("add", "sub", "mul", "max", "min"),
    "int16": ("add", "sub", "mul"),
    "int32": ("add", "sub", "max", "min"),
}
_REDUCE = {
    "float32": ("mean", "sum", "max", "min"),
    "int8": ("mean", "sum", "max", "min"),
    "uint8": ("mean", "sum", "max"),
    "int16": ("mean", "sum"),
    "int32": ("sum", "max", "min"),
}
_WEIGHTS = {
    "conv": 9,
    "transposed": 1.2,
    "dense": 2.5,
    "matmul": 1,
    "pool": 3,
    "reduce": 2,
    "unary": 3,
    "binary": 4,
    "softmax": 1.2,
    "concat": 1.5,
    "transpose": 1.5,
    "reshape": 1.5,
    "slice": 1,
    "pad": 1,
}
_CHANNELS = (1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 20, 24, 31, 32, 33, 48, 64)


def draw(seed: int, number: int, front_ends: Sequence[str] = FRONT_ENDS) -> Network:
    """The network of this number in the sequence of ``seed``: always the same."""
    random = Random(f"{seed} {number}")
    while True:
        front_end = random.choice(front_ends)
        dtype = random.choices(TYPES[front_end], [3] + [2] * (len(TYPES[front_end]) - 1))[0]
        layout = random.choices(LAYOUTS, [1, 1] if front_end != "tflite" else [5, 1])[0]
        network = Network(front_end, dtype, layout, _draw_shape(random, layout), (), random.getrandbits(32), number)
        wanted = random.choices((1, 2, 3, 4, 5), (3, 4, 4, 2, 1))[0]
        for _ in range(12 * wanted):
            if len(network.nodes) == wanted:
                break
            longer = replace(network, nodes=(*network.nodes, _draw_node(random, network)))
            try:
                if len(longer.outputs) <= 2 or len(longer.nodes) < wanted:
                    shapes(longer)
                    network = longer
            except UnfitError:
                continue
        if network.nodes and len(network.outputs) <= 3:
            return network


def _draw_shape(random: Random, layout: str) -> tuple[int, ...]:
    rank = random.choices((4, 3, 2), (6, 2, 2))[0]
    channels = random.choice(_CHANNELS[:13] if rank > 2 else _CHANNELS)
    if rank == 2:
        return (1, random.choice((*_CHANNELS, 100, 128)))
    longest = 9 if rank == 4 else 20
    spatial = [random.randint(1, longest) for _ in range(rank - 2)]
    if rank == 4 and random.random() < 0.4:
        spatial[1] = spatial[0]
    return (1, *spatial, channels) if layout == "nhwc" else (1, channels, *spatial)


def _draw_node(random: Random, network: Network) -> Node:
    known = shapes(network)
    last = len(known) - 1
    number = last if random.random() < 0.75 else random.randrange(len(known))
    kind = random.choices(list(_WEIGHTS), list(_WEIGHTS.values()))[0]
    shape = known[number]
    if kind == "matmul" and network.dtype == "uint8":
        kind = "dense"  # no framework has it
    if kind == "conv" and len(shape) == 2:
        kind = random.choice(("dense", "unary", "binary"))
    make = globals()[f"_draw_{kind}"]
    return make(random, network, number, known)


def _draw_window(random: Random, network: Network, shape: tuple[int, ...], largest: int = 4) -> dict[str, Any]:
    rank = max(len(shape) - 2, 1)
    lengths = [shape[axis] for axis in spatial_axes(network.layout, len(shape))] or [1]
    kernel = [min(random.randint(1, largest), length + 1) for length in lengths]
    if random.random() < 0.5:
        kernel = [kernel[0]] * rank
    strides = [random.choices((1, 2, 3), (6, 3, 1))[0] for _ in range(rank)]
    if random.random() < 0.7:
        strides = [strides[0]] * rank
    pads: Any = random.choice(("valid", "same", "same"))
    if network.front_end != "tflite" and random.random() < 0.3:
        pads = [[random.randint(0, 2), random.randint(0, 2)] for _ in range(rank)]
    return {"kernel": kernel, "strides": strides, "pads": pads}


def _draw_activation(random: Random, network: Network) -> str | None:
    allowed = ("relu",) if network.dtype == "int32" else ("relu", "relu6")
    return random.choice((None, *allowed))


def _draw_conv(random: Random, network: Network, number: int, known: list) -> Node:
    shape = known[number]
    channels = shape[channel_axis(network.layout, len(shape))]
    options = _draw_window(random, network, shape)
    out = random.choice(_CHANNELS)
    groups = 1
    which = random.random()
    if which < 0.3:
        groups, out = channels, channels * random.choice((1, 1, 1, 2, 3))
    elif which < 0.42:
        groups = random.choice([each for each in range(1, channels + 1) if channels % each == 0])
        out = groups * random.randint(1, 8)
    if random.random() < 0.2 and max(options["strides"]) == 1:
        options["dilations"] = [random.choice((1, 2, 3)) for _ in options["kernel"]]
    options |= {"channels": out, "groups": groups, "bias": random.random() < 0.7}
    options["activation"] = _draw_activation(random, network)
    return Node("conv", (number,), options)


def _draw_transposed(random: Random, network: Network, number: int, known: list) -> Node:
    options = _draw_window(random, network, known[number])
    options["pads"] = random.choice(("valid", "same")) if network.front_end == "tflite" else "valid"
    channels = random.choice(_CHANNELS[:10])
    return Node("transposed", (number,), options | {"channels": channels, "bias": random.random() < 0.5})


def _draw_dense(random: Random, network: Network, number: int, known: list) -> Node:
    options = {"channels": random.choice((*_CHANNELS, 10, 128)), "bias": random.random() < 0.7}
    return Node("dense", (number,), options | {"activation": _draw_activation(random, network)})


def _draw_matmul(random: Random, network: Network, number: int, known: list) -> Node:
    return Node("matmul", (number, random.randrange(len(known))), {})


def _draw_pool(random: Random, network: Network, number: int, known: list) -> Node:
    options = _draw_window(random, network, known[number], 3)
    mode = "max" if network.dtype == "int32" else random.choice(("max", "average"))
    return Node("pool", (number,), {"mode": mode} | options)


def _draw_reduce(random: Random, network: Network, number: int, known: list) -> Node:
    rank = len(known[number])
    axes = sorted(random.sample(range(1, rank), random.randint(1, rank - 1)))
    if random.random() < 0.4:
        axes = spatial_axes(network.layout, rank) or axes
    mode = random.choice(_REDUCE[network.dtype])
    return Node("reduce", (number,), {"mode": mode, "axes": axes, "keep": random.random() < 0.5})


def _draw_unary(random: Random, network: Network, number: int, known: list) -> Node:
    missing = _UNARY_MISSING.get((network.front_end, network.dtype), ())
    known_ones = [function for function in _UNARY[network.dtype] if function not in missing]
    return Node("unary", (number,), {"function": random.choice(known_ones)})


def _draw_binary(random: Random, network: Network, number: int, known: list) -> Node:
    function = random.choice(_BINARY[network.dtype])
    others = [other for other in range(len(known)) if other != number and known[other] == known[number]]
    if others and function != "div" and random.random() < 0.7:
        return Node("binary", (number, random.choice(others)), {"function": function})
    if network.quantised and function in ("max", "min", "div"):
        function = "add"
    constant = random.choice(("scalar", "channel", "full"))
    return Node("binary", (number,), {"function": function, "constant": constant})


def _draw_softmax(random: Random, network: Network, number: int, known: list) -> Node:
    if network.dtype == "int32":
        return _draw_unary(random, network, number, known)
    return Node("softmax", (number,), {})


def _draw_concat(random: Random, network: Network, number: int, known: list) -> Node:
    others = [other for other in range(len(known)) if len(known[other]) == len(known[number])]
    chosen = [number, *random.choices(others, k=random.randint(1, 2))]
    random.shuffle(chosen)
    return Node("concat", tuple(chosen), {"axis": random.randrange(1, len(known[number]))})


def _draw_transpose(random: Random, network: Network, number: int, known: list) -> Node:
    rest = list(range(1, len(known[number])))
    random.shuffle(rest)
    return Node("transpose", (number,), {"order": [0, *rest]})


def _draw_reshape(random: Random, network: Network, number: int, known: list) -> Node:
    elements = math.prod(known[number])
    rank = random.choice((2, 2, 3, 4))
    shape = [1]
    for _ in range(rank - 2):
        shape.append(random.choice([each for each in range(1, elements + 1) if elements % each == 0]))
        elements //= shape[-1]
    return Node("reshape", (number,), {"shape": [*shape, elements]})


def _draw_slice(random: Random, network: Network, number: int, known: list) -> Node:
    axis = random.randrange(1, len(known[number]))
    begin = random.randrange(known[number][axis])
    end = random.randint(begin + 1, known[number][axis])
    return Node("slice", (number,), {"axis": axis, "begin": begin, "end": end, "step": random.choice((1, 1, 2))})


def _draw_pad(random: Random, network: Network, number: int, known: list) -> Node:
    pads = [[0, 0], *([random.randint(0, 2), random.randint(0, 2)] for _ in known[number][1:])]
    return Node("pad", (number,), {"pads": pads})
