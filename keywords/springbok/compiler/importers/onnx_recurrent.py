# SPDX-License-Identifier: Apache-2.0
"""ONNX's LSTM, GRU and RNN: rewritten for IREE, and as a reference.

Both IREE and the package's reference leave out lengths of sequences and limits of sums, which is refused here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import onnx
from onnx.reference.ops.op_gru import CommonGRU as ReferenceGRU
from onnx.reference.ops.op_lstm import CommonLSTM as ReferenceLSTM
from onnx.reference.ops.op_rnn import CommonRNN as ReferenceRNN

from springbok.compiler.importers.onnx_rewriting import Graph, attributes_of, described
from springbok.compiler.importers.worker import UnusableError

_LENGTHS, _PEEPHOLES = 4, 7  # the places of sequence_lens and P among the inputs
#: Those that IREE computes as they are meant, and by these names alone.
_ACTIVATIONS = {
    "Tanh": np.tanh,
    "Sigmoid": lambda values: 1 / (1 + np.exp(-values)),
    "Relu": lambda values: np.maximum(values, 0),
}


def _lengths_of(node: onnx.NodeProto) -> str:
    """The name of sequence_lens, or nothing."""
    return node.input[_LENGTHS] if len(node.input) > _LENGTHS else ""


def reason_against(node: onnx.NodeProto) -> str | None:
    """Why IREE does not compute what a recurrent operation says: attributes that it leaves out or takes otherwise."""
    attributes = attributes_of(node)
    if node.op_type == "LSTM" and len(node.input) > _PEEPHOLES and node.input[_PEEPHOLES]:
        return "has peepholes (P), which IREE leaves out: export it without"
    if attributes.get("clip"):
        return "limits its sums (clip), which IREE leaves out: export it without"
    names = [each.decode() for each in attributes.get("activations", ())]
    unknown = [name for name in names if name not in _ACTIVATIONS]
    if unknown:
        return f"has the activation {unknown[0]}, which IREE computes wrongly: use {', '.join(_ACTIVATIONS)}"
    half = len(names) // 2
    if attributes.get("direction") == b"bidirectional" and names[:half] != names[half:]:
        return "has other activations backwards than forwards: use the same"
    return None


def _check_lengths(graph: Graph, node: onnx.NodeProto, batch_axis: int) -> None:
    """Raises :class:`UnusableError` where sequences have lengths of their own: IREE goes through all steps of each."""
    name, shape = _lengths_of(node), graph.shape_of(node.input[0])
    lengths = graph.constant(name) if name else None
    if name and (lengths is None or shape is None or (lengths != shape[1 - batch_axis]).any()):
        raise UnusableError(
            f"{described(node)} goes through sequences of several lengths ('{name}'), and IREE through all steps of "
            "each: give it sequences of one length"
        )


def rewritten(graph: Graph, node: onnx.NodeProto) -> bool | None:
    """IREE goes through sequences forwards only: others are turned around before and after."""
    attributes = attributes_of(node)
    _check_lengths(graph, node, batch_axis=0 if attributes.get("layout", 0) else 1)
    direction = attributes.pop("direction", b"forward")
    if direction == b"forward":
        if _lengths_of(node):
            whole = onnx.NodeProto()
            whole.CopyFrom(node)
            whole.input[_LENGTHS] = ""
            graph.keep(whole)
            return None
        return False
    if graph.shape_of(node.input[0]) is None or attributes.get("layout", 0):
        raise UnusableError(
            f"{described(node)} goes backwards: give it sequences of one length, steps first (layout=0)"
        )
    outputs = [name for name in node.output if name]
    if direction == b"reverse":
        made = _one_way(graph, node, attributes, None, backwards=True)
        for name in outputs:
            graph.add("Identity", made[name], to=name)
        return None
    ways = [_one_way(graph, node, attributes, number, backwards=bool(number)) for number in (0, 1)]
    for name in outputs:
        axis = 1 if name == node.output[0] else 0
        graph.add("Concat", *(way[name] for way in ways), axis=axis, to=name)
    return None


def _one_way(graph: Graph, node: onnx.NodeProto, attributes: dict, number: int | None, *, backwards: bool) -> dict:
    """One direction of a recurrent node, of several the one of this ``number``: its outputs by their own names."""
    given, *others = (name if place != _LENGTHS else "" for place, name in enumerate(node.input))
    made = onnx.NodeProto()
    made.CopyFrom(node)
    del made.attribute[:], made.input[:], made.output[:]
    halves = {name: values for name, values in attributes.items() if name.startswith("activation")}
    for name, values in attributes.items():
        if name in halves and number is not None:
            half = len(values) // 2
            values = values[number * half :][:half]  # noqa: PLW2901 (its own half)
        made.attribute.append(onnx.helper.make_attribute(name, values))
    turned = graph.value(np.arange(graph.shape_of(given)[0])[::-1].copy())
    place = graph.value(np.array([number or 0]))
    made.input.append(graph.add("Gather", given, turned, axis=0) if backwards else given)
    made.input.extend(
        graph.apply("Gather", lambda array, taken: array[taken], name, place) if name and number is not None else name
        for name in others
    )
    outputs = {}
    for name in node.output:
        made.output.append(f"{name}_way_{number or 0}" if name else "")
        outputs[name] = made.output[-1]
    graph.keep(made)
    if backwards and node.output[0]:
        outputs[node.output[0]] = graph.add("Gather", outputs[node.output[0]], turned, axis=0)
    return outputs


class LSTM(ReferenceLSTM):
    """The reference has its own activations, whatever the model says."""

    op_domain = ""

    def _run(self, *given, activations=None, **attributes):
        self.f, self.g, self.h = _functions(activations or ("Sigmoid", "Tanh", "Tanh"))[:3]
        return super()._run(*given, **attributes)


class GRU(ReferenceGRU):
    """As `LSTM`."""

    op_domain = ""

    def _run(self, *given, activations=None, **attributes):
        self.f, self.g = _functions(activations or ("Sigmoid", "Tanh"))[:2]
        return super()._run(*given, **attributes)


class RNN(ReferenceRNN):
    """The reference knows Tanh alone, and one that IREE does not."""

    op_domain = ""

    def choose_act(self, name, alpha, beta):
        """What the reference asks for its activation."""
        del alpha, beta
        return _functions([name])[0]


def _functions(names: Sequence[str]) -> list[Callable[[np.ndarray], np.ndarray]]:
    return [_ACTIVATIONS[name] for name in names]
