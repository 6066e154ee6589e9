# SPDX-License-Identifier: Apache-2.0
"""Draws ONNX models of one node, or of a short chain, from a seed: the same seed and number give the same model."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from springbok.trials.references import control, elementwise, layers, moving, windows
from springbok.trials.references.maker import OPSETS, Maker, UnfitError

#: What draws models of an operator.
DRAWN = elementwise.DRAWN | moving.DRAWN | windows.DRAWN | layers.DRAWN | control.DRAWN
OPERATORS = tuple(sorted(DRAWN))
_MOST_TRIES = 200
_MOST_BYTES = 1 << 16


@dataclass(frozen=True)
class Case:
    """A drawn model: the bytes of its file, and its inputs, samples first."""

    seed: int
    number: int
    operator: str
    opset: int
    model: bytes
    inputs: tuple[np.ndarray, ...]

    @property
    def name(self) -> str:
        """What it is called, as ``--case`` takes it."""
        return f"{self.operator}:{self.number}"

    def describe(self) -> str:
        """Its nodes with their attributes, its inputs and its constants."""
        graph = onnx.ModelProto.FromString(self.model).graph
        shown = {info.name: _typed(info) for info in graph.input}
        shown |= {each.name: _valued(onnx.numpy_helper.to_array(each)) for each in graph.initializer}
        for node in graph.node:
            if node.op_type == "Constant":
                shown[node.output[0]] = _valued(onnx.numpy_helper.to_array(node.attribute[0].t))
        words = []
        for node in graph.node:
            if node.op_type != "Constant":
                told = [f"{each.name}={helper.get_attribute_value(each)!r}" for each in node.attribute]
                read = [shown.get(name, name) or "-" for name in node.input]
                words.append(f"{node.op_type}({', '.join([*read, *told])})")
        return f"opset {self.opset}: {' -> '.join(words)}"


def _typed(info: onnx.ValueInfoProto) -> str:
    tensor = info.type.tensor_type
    kind = helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    return f"{kind}{[each.dim_value for each in tensor.shape.dim]}"


def _valued(array: np.ndarray) -> str:
    values = np.array2string(array, threshold=6, edgeitems=1, precision=3, separator=",").replace("\n", "")
    return f"{array.dtype}{list(array.shape)}={values}"


def draw(seed: int, number: int, operators: Sequence[str] = OPERATORS) -> Case:
    """The model of this number: they go through the operators in turn."""
    return draw_of(seed, number, operators[number % len(operators)])


def draw_of(seed: int, number: int, operator: str) -> Case:
    """The model of ``operator`` with this number. Raises :class:`UnfitError` where none can be made."""
    for attempt in range(_MOST_TRIES):
        random = np.random.default_rng([seed, number, attempt, zlib.crc32(operator.encode())])
        try:
            maker = Maker(operator, int(random.choice(OPSETS)), random)
            DRAWN[operator](maker, operator)
            if not maker.inputs:
                continue
            _lengthen(maker)
            model = _model(maker)
        except UnfitError:
            continue
        if sum(array.nbytes for array in maker.arrays) <= _MOST_BYTES:
            return Case(seed, number, operator, maker.opset, model.SerializeToString(), tuple(maker.arrays))
    raise UnfitError(f"no model of {operator} can be drawn")


def _lengthen(maker: Maker) -> None:
    """Now and then puts a node before the first input, and one behind the first output."""
    info = maker.inputs[0]
    kind = info.type.tensor_type.elem_type
    floating = kind == onnx.TensorProto.FLOAT
    if maker.operator == "GroupNormalization":  # whose output ONNX knows no shape of
        return
    if maker.chance(0.15):
        before = maker.pick(("Identity", "Transpose", "Relu") if floating else ("Identity", "Transpose"))
        for node in maker.nodes:
            for place, name in enumerate(node.input):
                if name == info.name:
                    node.input[place] = f"{name}_first"
        maker.nodes.insert(0, helper.make_node(before, [info.name], [f"{info.name}_first"]))
        if before == "Transpose":
            shape = [each.dim_value for each in info.type.tensor_type.shape.dim][::-1]
            maker.inputs[0] = helper.make_tensor_value_info(info.name, kind, shape)
            array = maker.arrays[0]
            maker.arrays[0] = np.ascontiguousarray(array.transpose(0, *range(array.ndim - 1, 0, -1)))
    if maker.chance(0.15):
        after = maker.pick(("Identity", "Transpose", "Flatten"))
        maker.nodes.append(helper.make_node(after, [maker.outputs[0]], ["last"]))
        maker.outputs[0] = "last"


def _model(maker: Maker) -> onnx.ModelProto:
    """The model, checked, with the types of its outputs."""
    versions = [helper.make_opsetid("", maker.opset)]
    graph = helper.make_graph(
        maker.nodes, "drawn", maker.inputs, [onnx.ValueInfoProto(name=name) for name in maker.outputs], maker.constants
    )
    used = {name for node in maker.nodes for name in node.input}
    kept = [each for each in graph.initializer if each.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    try:
        version = max(8, helper.find_min_ir_version_for(versions))
        made = helper.make_model(graph, opset_imports=versions, ir_version=version, producer_name="springbok-bench")
        made = onnx.shape_inference.infer_shapes(made, strict_mode=True, data_prop=True)
        for info in made.graph.output:
            if not info.type.HasField("tensor_type"):  # of a normalisation by groups, ONNX infers none
                info.type.CopyFrom(made.graph.input[0].type)
        del made.graph.value_info[:]
        onnx.checker.check_model(made, full_check=True)
    except Exception as error:  # noqa: BLE001 (checker and inference have errors of their own)
        raise UnfitError(str(error)) from None
    return made
