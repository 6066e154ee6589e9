# SPDX-License-Identifier: Apache-2.0
"""Models of operators with graphs of their own, which are run once, or as often as is known."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from springbok.trials.references.maker import Maker, UnfitError, small

_KINDS = ("float32", "int32")
#: Operators of one operand, by element type, that a body may be made of.
_STEPS = {"float32": ("Tanh", "Abs", "Neg", "Relu", "Identity"), "int32": ("Abs", "Neg", "Identity")}


def _info(name: str, dtype: str, shape: tuple[int, ...] | None) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)


def _known(maker: Maker, name: str, dtype: str, shape: tuple[int, ...]) -> onnx.NodeProto:
    """A constant within a graph."""
    array = small(maker.random, shape, np.dtype(dtype), 0)
    return helper.make_node("Constant", [], [name], value=numpy_helper.from_array(array, name))


def _chain(maker: Maker, given: str, to: str, dtype: str, shape: tuple[int, ...], outer: str = "") -> list:
    """Nodes from ``given`` to ``to``, of the same shape: one or two, of a constant or of what lies outside too."""
    kind = maker.pick((*_STEPS[dtype], "Add", "Mul", "Sub"))
    if kind in _STEPS[dtype]:
        return [helper.make_node(kind, [given], [to])]
    if outer and maker.chance():
        return [helper.make_node(kind, [given, outer], [to])]
    return [_known(maker, f"{to}_c", dtype, shape), helper.make_node(kind, [given, f"{to}_c"], [to])]


def _outside(maker: Maker, dtype: str, shape: tuple[int, ...]) -> str:
    """A value that graphs take without being given it."""
    return maker.node([maker.given(dtype, shape, small, constant=0.0)], operator="Identity")[0]


def _only(maker: Maker, outputs: list[str]) -> None:
    """These are the outputs of the model, some of the node's left out."""
    kept = [name for name in outputs if maker.chance(0.8)]
    maker.outputs = kept or outputs[:1]


def conditional(maker: Maker, operator: str) -> None:
    """``If`` by a constant; both graphs take what lies outside."""
    del operator
    dtype, shape = maker.pick(_KINDS), maker.shape(1, 3)
    outer = _outside(maker, dtype, shape)
    branches = {}
    for branch in ("then_branch", "else_branch"):
        nodes = [*_chain(maker, outer, f"{branch}_a", dtype, shape)]
        nodes += _chain(maker, f"{branch}_a", f"{branch}_b", dtype, shape, outer)
        branches[branch] = helper.make_graph(nodes, branch, [], [_info(f"{branch}_b", dtype, shape)])
    maker.outputs = []
    maker.node([maker.constant(np.array(maker.chance()))], **branches)


def loop(maker: Maker, operator: str) -> None:
    """``Loop`` as often as a constant says, with one or two values carried along, and outcomes of each turn."""
    del operator
    dtype, shape = maker.pick(_KINDS), maker.shape(1, 3)
    outer = _outside(maker, dtype, shape)
    carried = maker.whole(1, 2)
    names = [maker.given(dtype, shape, small) for _ in range(carried)]
    inputs = [_info("turn", "int64", ()), _info("goes_on", "bool", ())]
    inputs += [_info(f"in_{number}", dtype, shape) for number in range(carried)]
    nodes = [helper.make_node("Identity", ["goes_on"], ["still"])]
    outputs = [_info("still", "bool", ())]
    for number in range(carried):
        of = f"in_{maker.whole(0, carried - 1)}"
        nodes += _chain(maker, of, f"step_{number}", dtype, shape, outer)
        if maker.chance(0.4):  # the number of the turn
            kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
            nodes.append(helper.make_node("Cast", ["turn"], [f"turn_{number}"], to=kind))
            nodes.append(helper.make_node("Add", [f"step_{number}", f"turn_{number}"], [f"out_{number}"]))
        else:
            nodes.append(helper.make_node("Identity", [f"step_{number}"], [f"out_{number}"]))
        outputs.append(_info(f"out_{number}", dtype, shape))
    scans = maker.whole(0, 2)
    for number in range(scans):
        nodes += _chain(maker, f"out_{maker.whole(0, carried - 1)}", f"scan_{number}", dtype, shape)
        outputs.append(_info(f"scan_{number}", dtype, shape))
    body = helper.make_graph(nodes, "body", inputs, outputs)
    goes_on = "" if maker.chance() else maker.constant(np.array(True))
    turns = maker.constant(np.array(maker.whole(1, 4), np.int64))
    maker.outputs = []
    _only(maker, maker.node([turns, goes_on, *names], carried + scans, body=body))


def scan(maker: Maker, operator: str) -> None:
    """``Scan`` along one or two sequences, forwards or backwards, with a state."""
    del operator
    if maker.opset < _SCAN_WITHOUT_BATCH:
        raise UnfitError("it has a batch in older versions")
    dtype, shape, turns = maker.pick(_KINDS), maker.shape(1, 2), maker.whole(1, 4)
    count = maker.whole(1, 2)
    axes = [maker.whole(0, len(shape)) for _ in range(count)]
    state = maker.given(dtype, shape, small)
    sequences = [
        maker.given(dtype, (*shape[:axis], turns, *shape[axis:]), small, constant=None if number else 0.0)
        for number, axis in enumerate(axes)
    ]
    inputs = [_info("state", dtype, shape), *(_info(f"element_{number}", dtype, shape) for number in range(count))]
    nodes = [helper.make_node(maker.pick(("Add", "Sub")), ["state", "element_0"], ["sum"])]
    nodes += _chain(maker, "sum", "new_state", dtype, shape)
    nodes += _chain(maker, f"element_{count - 1}", "outcome", dtype, shape)
    body = helper.make_graph(nodes, "body", inputs, [_info("new_state", dtype, shape), _info("outcome", dtype, shape)])
    told: dict = {"num_scan_inputs": count}
    if any(axes) or maker.chance(0.3):
        told["scan_input_axes"] = axes
    for attribute, number, most in (
        ("scan_input_directions", count, 1),
        ("scan_output_directions", 1, 1),
        ("scan_output_axes", 1, len(shape)),
    ):
        if maker.chance(0.4):
            told[attribute] = [maker.whole(0, most) for _ in range(number)]
    maker.outputs = []
    _only(maker, maker.node([state, *sequences], 2, body=body, **told))


_SCAN_WITHOUT_BATCH = 9

DRAWN = {"If": conditional, "Loop": loop, "Scan": scan}
