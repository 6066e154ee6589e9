# SPDX-License-Identifier: Apache-2.0
"""Draws small networks at random, from a seed.

Example::

    network = draw(seed=1, number=7)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

from springbok.trials.fuzz.networks import (
    FRONT_ENDS,
    LAYOUTS,
    TYPES,
    Network,
    Node,
    UnfitError,
    channel_axis,
    shapes,
    spatial_axes,
)

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
    "int16": ("mean",),  # TensorFlow Lite's sum wraps around
    "int32": ("sum", "max", "min"),
}
#: How often each kind of node is drawn.
_SHARES = {
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
    kind = random.choices(list(_SHARES), list(_SHARES.values()))[0]
    shape = known[number]
    if kind == "matmul" and network.dtype == "uint8":
        kind = "dense"  # no framework has it
    if kind == "conv" and len(shape) == 2:
        kind = random.choice(("dense", "unary", "binary"))
    return _DRAW[kind](random, network, number, known)


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


_DRAW = {
    "conv": _draw_conv,
    "transposed": _draw_transposed,
    "dense": _draw_dense,
    "matmul": _draw_matmul,
    "pool": _draw_pool,
    "reduce": _draw_reduce,
    "unary": _draw_unary,
    "binary": _draw_binary,
    "softmax": _draw_softmax,
    "concat": _draw_concat,
    "transpose": _draw_transpose,
    "reshape": _draw_reshape,
    "slice": _draw_slice,
    "pad": _draw_pad,
}
