# SPDX-License-Identifier: Apache-2.0
"""What of an ONNX graph is known before it runs, written out as plain operations.

That is a Loop whose count and conditions are constants (counters that it carries along are followed), a Scan, an If
whose condition is a constant, and operators that ONNX itself defines by others and IREE lacks. What is not known, or
would become too long, is left as it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnx.inliner
import onnx.shape_inference
from onnx import numpy_helper

from springbok.compiler.importers import onnx_reference
from springbok.compiler.importers.onnx_rewriting import attributes_of, constant_of, read_by

#: A graph is written out up to so many operations; beyond that, its code would not fit a chip either.
_MOST_NODES = 2000
#: Values of more elements are not computed here.
_MOST_ELEMENTS = 1 << 16
_CONTROL = ("If", "Loop", "Scan")
#: Operators that IREE lacks, as far as ONNX defines them by others.
DEFINED = ("Attention", "MeanVarianceNormalization", "RMSNormalization", "RotaryEmbedding", "SwiGLU")
#: Their values are not computed here: that something was quantised is what later steps make use of.
_QUANTISED = ("DequantizeLinear", "QuantizeLinear")


class _UnknownError(Exception):
    """The course of it is not known before it runs."""


def written_out(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without what is known before it runs, and with shapes; the model itself if it has no such thing."""
    used = {node.op_type for node in model.graph.node}
    defined = [("", operator) for operator in DEFINED if operator in used]
    if defined:
        told = {info.name for info in model.graph.value_info}
        for tensor in model.graph.initializer:  # the inliner asks for the types of all that is read
            if tensor.name not in told:
                model.graph.value_info.append(
                    onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
                )
        model = onnx.inliner.inline_selected_functions(model, defined, inline_schema_functions=True)
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    if not defined and used.isdisjoint(_CONTROL):
        return model
    return onnx.shape_inference.infer_shapes(_Writer(model).written(), strict_mode=True, data_prop=True)


def with_shapes_worked_out(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without what it computes of its shapes and of constants alone; itself if there is no such thing."""
    while True:
        made = onnx.shape_inference.infer_shapes(_Writer(model).written(), strict_mode=True, data_prop=True)
        if len(made.graph.node) == len(model.graph.node):
            return model
        model = made


class _Writer:
    """Writes a graph again: ``nodes`` are those made so far, ``known`` the values that are the same in every run."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        graph = model.graph
        infos = (*graph.value_info, *graph.input, *graph.output)
        self._shapes = {
            info.name: info.type.tensor_type.shape.dim for info in infos if info.type.HasField("tensor_type")
        }
        self._names = {name for node in graph.node for name in (*node.output, *read_by(node))} | set(self._shapes)
        self._numbers = itertools.count(1)
        self._nodes: list[onnx.NodeProto] = []
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._known: dict[str, np.ndarray] = {}
        self._shared: dict[tuple, str] = {}

    def written(self) -> onnx.ModelProto:
        for node in self._model.graph.node:
            self._write(node, {})
        model = onnx.ModelProto()
        model.CopyFrom(self._model)
        del model.graph.node[:], model.graph.initializer[:], model.graph.value_info[:]
        constant = set(self._known) - {info.name for info in self._model.graph.output}
        computed = [node for node in self._nodes if not set(node.output) <= constant]
        made = {name for node in computed for name in node.output}
        model.graph.node.extend(computed)
        model.graph.initializer.extend(self._constants.values())
        model.graph.initializer.extend(
            numpy_helper.from_array(array, name)
            for name, array in self._known.items()
            if name not in self._constants and name not in made
        )
        return model

    def _write(self, node: onnx.NodeProto, scope: Mapping[str, str]) -> None:
        """Writes a node whose names mean what ``scope`` says, or themselves."""
        made = onnx.NodeProto()
        made.CopyFrom(node)
        made.input[:] = [scope.get(name, name) for name in node.input]
        made.output[:] = [scope.get(name, name) for name in node.output]
        write = {"If": self._write_branch, "Loop": self._write_loop, "Scan": self._write_scan}.get(node.op_type)
        if write is None:
            self._nodes.append(made)
            self._note(made)
            return
        before, known = len(self._nodes), dict(self._known)
        try:
            write(made, scope)
        except _UnknownError:
            if scope:  # its graphs read names that mean something else here
                raise
            del self._nodes[before:]
            self._known = known
            self._nodes.append(made)

    def _write_branch(self, node: onnx.NodeProto, scope: Mapping[str, str]) -> None:
        condition = self._value(node.input[0])
        graph = attributes_of(node)["then_branch" if condition.all() else "else_branch"]
        self._give(node, self._inline(graph, (), scope, node))

    def _write_loop(self, node: onnx.NodeProto, scope: Mapping[str, str]) -> None:
        count, condition, *state = [*node.input, "", ""][: max(len(node.input), 2)]
        left = int(self._value(count).reshape(())) if count else None
        goes_on = bool(self._value(condition).all()) if condition else True
        body = attributes_of(node)["body"]
        listed: list[list[str]] = [[] for _ in body.output[1 + len(state) :]]
        number = 0
        while goes_on and (left is None or number < left):
            self._check_length(number)
            places = [self._constant(np.array(number, np.int64)), self._constant(np.array(goes_on))]
            goes_on_name, *made = self._inline(body, [*places, *state], scope, node)
            goes_on = bool(self._value(goes_on_name).all())
            state = made[: len(state)]
            for names, name in zip(listed, made[len(state) :], strict=True):
                names.append(name)
            number += 1
        self._give(node, [*state, *(self._stacked(names, 0, node) for names in listed)])

    def _write_scan(self, node: onnx.NodeProto, scope: Mapping[str, str]) -> None:
        attributes = attributes_of(node)
        scanned = attributes["num_scan_inputs"]
        body = attributes["body"]
        state, given = node.input[: -scanned or None], node.input[-scanned:]
        count = len(body.output) - len(state)
        axes, backwards = self._ways(attributes, "input", scanned)
        lengths = {self._length(name, axis) for name, axis in zip(given, axes, strict=True)}
        if len(lengths) != 1:
            raise _UnknownError
        length = lengths.pop()
        listed: list[list[str]] = [[] for _ in range(count)]
        self._check_length(length)
        for number in range(length):
            places = [self._constant(np.array(each)) for each in (number, length - 1 - number)]
            parts = [
                self._add("Gather", [name, places[back]], node, axis)
                for name, axis, back in zip(given, axes, backwards, strict=True)
            ]
            made = self._inline(body, [*state, *parts], scope, node)
            state = made[: len(state)]
            for names, name in zip(listed, made[len(state) :], strict=True):
                names.append(name)
        ways = self._ways(attributes, "output", count)
        stacked = [
            self._stacked(names[::-1] if back else names, axis, node)
            for names, axis, back in zip(listed, *ways, strict=True)
        ]
        self._give(node, [*state, *stacked])

    @staticmethod
    def _ways(attributes: Mapping[str, object], side: str, count: int) -> tuple[Sequence[int], Sequence[int]]:
        """The axis of each scanned input or output, and whether it is gone along backwards."""
        axes, directions = (attributes.get(f"scan_{side}_{what}", [0] * count) for what in ("axes", "directions"))
        return axes, directions

    def _inline(
        self, graph: onnx.GraphProto, given: Sequence[str], scope: Mapping[str, str], node: onnx.NodeProto
    ) -> list[str]:
        """Writes the nodes of a graph for these inputs; returns the names of its outputs."""
        inner = dict(scope) | dict(zip((info.name for info in graph.input), given, strict=True))
        for tensor in graph.initializer:
            inner[tensor.name] = self._constant(numpy_helper.to_array(tensor))
        for each in graph.node:
            if len(self._nodes) >= _MOST_NODES:
                raise _UnknownError
            inner |= {name: self._new_name(name) for name in each.output if name}
            named = onnx.NodeProto()
            named.CopyFrom(each)
            named.name = each.name or node.name
            self._write(named, inner)
        return [inner.get(info.name, info.name) for info in graph.output]

    @staticmethod
    def _check_length(iterations: int) -> None:
        if iterations > _MOST_NODES:
            raise _UnknownError

    def _stacked(self, names: Sequence[str], axis: int, node: onnx.NodeProto) -> str:
        if not names:
            raise _UnknownError  # of no iteration not even the shape is known
        axes = self._constant(np.array([axis]))
        return self._add("Concat", [self._add("Unsqueeze", [name, axes], node) for name in names], node, axis)

    def _add(self, operator: str, given: Sequence[str], node: onnx.NodeProto, axis: int | None = None) -> str:
        name = self._new_name(node.output[0] or operator)
        self._nodes.append(onnx.helper.make_node(operator, given, [name], name=node.name, axis=axis))
        self._note(self._nodes[-1])
        return name

    def _give(self, node: onnx.NodeProto, names: Sequence[str]) -> None:
        """Gives values the names of a node's outputs."""
        for name, output in zip(names, node.output, strict=False):
            if output:
                self._nodes.append(onnx.helper.make_node("Identity", [name], [output], name=node.name))
                self._note(self._nodes[-1])

    def _constant(self, array: np.ndarray) -> str:
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._shared:  # every iteration has the same weights
            self._shared[key] = self._new_name("constant")
            self._constants[self._shared[key]] = numpy_helper.from_array(array, self._shared[key])
        return self._shared[key]

    def _new_name(self, name: str) -> str:
        made = next(each for number in self._numbers if (each := f"{name}_{number}") not in self._names)
        self._names.add(made)
        return made

    def _length(self, name: str, axis: int) -> int:
        """The length of a value along an axis."""
        if name in self._constants:
            return self._constants[name].dims[axis]
        shape = self._shapes.get(name)
        if shape is None or not -len(shape) <= axis < len(shape) or not shape[axis].HasField("dim_value"):
            raise _UnknownError
        return shape[axis].dim_value

    def _value(self, name: str) -> np.ndarray:
        """What a value is in every run. Raises :class:`_UnknownError`."""
        if name in self._constants and name not in self._known:
            self._known[name] = numpy_helper.to_array(self._constants[name])
        if name not in self._known:
            raise _UnknownError
        return self._known[name]

    def _note(self, node: onnx.NodeProto) -> None:
        """Remembers what a small node gives whose inputs are known."""
        try:
            found = [np.asarray(array) for array in self._results(node)]
            if all(array.size <= _MOST_ELEMENTS for array in found):
                self._known |= dict(zip(node.output, found, strict=True))
        except Exception:  # noqa: BLE001 (what can't be computed here is not known)
            return

    def _results(self, node: onnx.NodeProto) -> Sequence[np.ndarray]:
        if node.op_type == "Constant":
            return [constant_of(node)]
        if node.op_type == "Shape":
            dims, ways = self._shapes[node.input[0]], attributes_of(node)
            lengths = [self._length(node.input[0], axis) for axis in range(len(dims))]
            return [np.array(lengths[ways.get("start", 0) : ways.get("end")], np.int64)]
        given = {name: self._value(name) for name in node.input if name}
        if node.op_type in _QUANTISED or not given or any(array.size > _MOST_ELEMENTS for array in given.values()):
            raise _UnknownError
        graph = onnx.helper.make_graph(
            [node],
            "known",
            [
                onnx.helper.make_tensor_value_info(name, onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
                for name, array in given.items()
            ],
            [onnx.helper.make_value_info(name, onnx.TypeProto()) for name in node.output],
        )
        alone = onnx.helper.make_model(graph, opset_imports=self._model.opset_import)
        return onnx_reference.evaluator(alone).run(None, given)
