# SPDX-License-Identifier: Apache-2.0
"""Makes a network that fails as small as it can be while it fails in the same way.

Greedy: the first smaller network that still fails is taken, and the search starts again from it, until none does.
Hypothesis shrinks what a property draws, one example after the other in one process; here every step compiles, crashes
are expected, and a step knows what is smaller about a network: so the candidates are made of the network itself.

Example::

    smallest = shrink(network, lambda candidate: "conv" in candidate.describe())
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

from springbok.trials.fuzz.networks import Network, Node, UnfitError, shapes

MOST_STEPS = 120


def shrink(network: Network, fails: Callable[[Network], bool], most_steps: int = MOST_STEPS) -> Network:
    """The smallest network found for which ``fails`` is true, as it is for ``network``; at most so many are tried."""
    tried = {network.to_json()}
    smaller = True
    while smaller:
        smaller = False
        for candidate in candidates(network):
            key = candidate.to_json()
            if key in tried:
                continue
            if len(tried) > most_steps:
                return network
            tried.add(key)
            if fails(candidate):
                network, smaller = candidate, True
                break
    return network


def size(network: Network) -> int:
    """What shrinking makes smaller: nodes first, then elements, then what is special about nodes."""
    known = shapes(network)
    special = sum(_special(value) for node in network.nodes for value in node.options.values())
    return 10**8 * len(network.nodes) + 10**3 * sum(math.prod(shape) for shape in known) + special


def _special(value: object) -> int:
    """How far an option is from the plainest one."""
    if isinstance(value, (list, tuple)):
        return sum(map(_special, value))
    if isinstance(value, str):
        return int(value not in ("valid", "scalar"))
    return int(value or 0)


def candidates(network: Network) -> Iterator[Network]:
    """Smaller networks, the smallest first; each is well-formed and has a node at least."""
    found = {}
    for candidate in _changed(network):
        try:
            if candidate.nodes and size(candidate) < size(network):
                found[candidate.to_json()] = candidate
        except (UnfitError, ZeroDivisionError):
            continue
    yield from sorted(found.values(), key=size)


def _changed(network: Network) -> Iterator[Network]:
    yield from _without_nodes(network)
    for axis, length in enumerate(network.shape[1:], 1):
        for smaller in sorted({1, 2, length // 2, length - 1}):
            if 0 < smaller < length:
                shape = (*network.shape[:axis], smaller, *network.shape[axis + 1 :])
                yield replace(network, shape=shape)
    for number, node in enumerate(network.nodes):
        for options in _simpler(node):
            yield _with_node(network, number, replace(node, options=node.options | options))
        if len(node.inputs) > 2:
            yield _with_node(network, number, replace(node, inputs=node.inputs[:2]))


def _without_nodes(network: Network) -> Iterator[Network]:
    """One node less: what took its result takes one of its inputs; or the network begins or ends elsewhere."""
    known = shapes(network)
    for number in range(len(network.nodes) - 1, -1, -1):
        yield replace(network, nodes=network.nodes[:number])
        # As if the node's result were the network's input.
        rest = [
            replace(node, inputs=tuple(max(each - number - 1, 0) for each in node.inputs))
            for node in network.nodes[number + 1 :]
        ]
        yield replace(network, nodes=tuple(rest), shape=known[number + 1])
        for taken in dict.fromkeys(network.nodes[number].inputs):
            kept = []
            for node in (*network.nodes[:number], *network.nodes[number + 1 :]):
                moved = [taken if each == number + 1 else each - (each > number + 1) for each in node.inputs]
                kept.append(replace(node, inputs=tuple(moved)))
            yield replace(network, nodes=tuple(kept))


def _with_node(network: Network, number: int, node: Node) -> Network:
    return replace(network, nodes=(*network.nodes[:number], node, *network.nodes[number + 1 :]))


def _simpler(node: Node) -> Iterator[dict]:
    """Options of a node that make it simpler, a few at a time."""
    ones = [1] * len(node.get("kernel", ()))
    plain = {"activation": None, "bias": False, "pads": "valid", "strides": ones, "dilations": ones, "groups": 1}
    plain |= {"kernel": ones}
    for name, value in plain.items():
        if name in node.options and node.options[name] != value and not (name == "pads" and node.kind == "pad"):
            yield {name: value}
    if node.kind == "pad":
        yield {"pads": [[0, min(sum(each), 1)] for each in node.get("pads")]}
    for length in sorted({1, 2, node.get("channels", 1) // 2, node.get("channels", 1) - 1}):
        if 0 < length < node.get("channels", 1):
            yield {"channels": length}
    for axis, length in enumerate(node.get("kernel", ())):
        if length > 1:
            yield {"kernel": [each - (place == axis) for place, each in enumerate(node.get("kernel"))]}
    if node.get("constant") in ("channel", "full"):
        yield {"constant": "scalar"}
