# SPDX-License-Identifier: Apache-2.0
"""ONNX models, for `springbok.compiler.importers.worker`: by IREE's importer and the compiler's own first phase.

The answers are those of ONNX's reference implementation, which is written in NumPy.
"""

from __future__ import annotations

import operator
import re
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnx.inliner
import onnx.shape_inference
import onnx.version_converter

from springbok.compiler import iree
from springbok.compiler.importers import (
    onnx_constants,
    onnx_control_flow,
    onnx_functions,
    onnx_integers,
    onnx_limits,
    onnx_losses,
    onnx_moving,
    onnx_pooling,
    onnx_quantised,
    onnx_reductions,
    onnx_reference,
    onnx_sampling,
    onnx_transforms,
    onnx_transposed,
    onnx_weights,
)
from springbok.compiler.importers.onnx_rewriting import Graph, attributes_of, described, joined, version_of
from springbok.compiler.importers.selection import Selection
from springbok.compiler.importers.worker import UnusableError, first_line
from springbok.support import process
from springbok.support.errors import ModelError
from springbok.tensors import TensorSpec

#: Models of an older operator set are brought to this one: IREE's importer knows its operations best.
_OPSET = 17
#: The version since which a pooling with ``ceil_mode`` has no windows that begin in its padding, as PyTorch means it.
_CEILING_OPSET = 22
#: Since it Softmax and its kind are along one axis.
_AXIS_OPSET = 13
#: Since it a resize says which places it takes; before, those of Upsample, as onnxruntime has them.
_PLACES_OPSET = 11
#: Of the graph: kernels and files of the compiler are called by it.
_MOST_NAME = 60
#: The flag of IREE's front end for functions that wait for nobody; since 3.12.
_SYNCHRONOUS = "--iree-torch-emit-async-entry-points"
#: Operations that are defined for all integers, and take them for no places, lengths or amounts.
_OF_ANY_INTEGER = (
    *("Abs", "Add", "And", "ArgMax", "ArgMin", "BitwiseAnd", "BitwiseNot", "BitwiseOr", "BitwiseXor", "Cast", "Clip"),
    *("Concat", "Constant", "CumSum", "Equal", "Expand", "Flatten", "Greater", "GreaterOrEqual", "Identity"),
    *("Less", "LessOrEqual", "MatMul", "Max", "Min", "Mul", "Neg", "Not", "Or", "Pad", "ReduceMax", "ReduceMin"),
    *("ReduceProd", "ReduceSum", "ReduceSumSquare", "Relu", "Reshape", "Sign", "Slice", "Split", "Squeeze", "Sub"),
    *("Sum", "Tile", "TopK", "Transpose", "Unsqueeze", "Where", "Xor"),
)
REWRITINGS = joined(
    onnx_quantised.REWRITINGS,
    onnx_integers.REWRITINGS,
    onnx_functions.REWRITINGS,
    onnx_losses.REWRITINGS,
    onnx_moving.REWRITINGS,
    onnx_pooling.REWRITINGS,
    onnx_reductions.REWRITINGS,
    onnx_sampling.REWRITINGS,
    onnx_transforms.REWRITINGS,
    onnx_transposed.REWRITINGS,
)


class OnnxModel:
    """The graph of an ONNX file, with batch 1. NumPy answers NaN as the definition does (see `probes`)."""

    answers_nan = True

    def __init__(self, model: onnx.ModelProto, selection: Selection) -> None:
        weights = {initializer.name for initializer in model.graph.initializer}
        given = [value for value in model.graph.input if value.name not in weights]
        selection.check_names([value.name for value in given])
        self.inputs = [_spec(value, selection) for value in given]
        for value, spec in zip(given, self.inputs, strict=True):
            elem_type = value.type.tensor_type.elem_type
            value.type.CopyFrom(onnx.helper.make_tensor_type_proto(elem_type, spec.shape))
        declared = onnx.GraphProto()
        declared.CopyFrom(model.graph)
        _forget_shapes(model)  # they told of the open batch
        for node in model.graph.node:
            node.name = _layer(node)  # the importer makes locations of the names
        try:
            self._model = prepared(model)
            self._evaluator = onnx_reference.evaluator(self._model)
        except UnusableError:
            raise
        except Exception as error:  # noqa: BLE001 (each of its steps has errors of its own)
            raise UnusableError(onnx_limits.without_answers(model, first_line(error))) from error
        onnx_limits.check_outputs(declared, self._model.graph)
        self._graph = Graph(self._model)
        self.makes_integers = any(map(self._makes_integers, self._model.graph.node))
        self.takes_any_integer = all(map(self._takes_any_integer, self._model.graph.node))
        self.inputs = [self._with_scale(spec) for spec in self.inputs]

    @property
    def known_outputs(self) -> list[TensorSpec]:
        """See :class:`springbok.compiler.importers.worker.Model`."""
        shapes = ((info, self._graph.shape_of(info.name)) for info in self._model.graph.output)
        return [
            TensorSpec(info.name, shape, _dtype(info.type.tensor_type.elem_type)) for info, shape in shapes if shape
        ]

    def _with_scale(self, spec: TensorSpec) -> TensorSpec:
        """An input as what quantised operations take it for."""
        readers = [node for node in self._model.graph.node if spec.name in node.input]
        found = onnx_quantised.scale_read(self._graph, spec.name, readers)
        return replace(spec, scale=found[0], zero_point=found[1]) if found else spec

    def _takes_any_integer(self, node: onnx.NodeProto) -> bool:
        """Whether it answers any integers by integers, without overflows on the way that are defined nowhere."""
        made = self._graph.type_of(node.output[0])
        return node.op_type in _OF_ANY_INTEGER and made in (*onnx_integers.SIGNED, onnx.TensorProto.BOOL)

    def _makes_integers(self, node: onnx.NodeProto) -> bool:
        """Whether it converts floating-point numbers, of which some have no integer that is defined."""
        if node.op_type not in ("Cast", "CastLike", "Pow"):
            return False
        given = node.input[1 if node.op_type == "Pow" else 0]  # whole numbers to the power of others
        types = [self._graph.type_of(name) for name in (given, node.output[0])]
        if not all(types):
            return False
        given, made = (onnx.helper.tensor_dtype_to_np_dtype(each).kind for each in types)
        return given == "f" and made in "iu"

    def run(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """See :class:`springbok.compiler.importers.worker.Model`."""
        given = {spec.name: array for spec, array in zip(self.inputs, inputs, strict=True)}
        try:
            return [np.asarray(answer) for answer in self._evaluator.run(None, given)]
        except Exception as error:  # noqa: BLE001 (whatever NumPy or an operator raises)
            node = onnx_reference.failed_node(error)
            where = f", at {described(node)}" if node is not None else ""
            raise UnusableError(
                f"ONNX's own implementation of its operations fails with it{where}: {first_line(_cause(error))}. Check "
                "what it is given, and its attributes"
            ) from error

    def write_mlir(self, path: Path) -> None:
        """See :class:`springbok.compiler.importers.worker.Model`."""
        model = self._rewritten()
        message = _import_to(model, path)
        if message:
            raise UnusableError(onnx_limits.explain(model, message, lambda other: _import_to(other, path)))

    def _rewritten(self) -> onnx.ModelProto:
        try:
            return _for_iree(self._model)
        except UnusableError:
            fixed = onnx_control_flow.with_shapes_worked_out(self._model)
            if fixed is self._model:
                raise
            return _for_iree(fixed)

    def describe_outputs(self, arrays: list[np.ndarray]) -> list[TensorSpec]:
        """See :class:`springbok.compiler.importers.worker.Model`."""
        return [
            self._described(TensorSpec(value.name, array.shape, array.dtype.name))
            for value, array in zip(self._model.graph.output, arrays, strict=True)
        ]

    def _described(self, spec: TensorSpec) -> TensorSpec:
        """An output with its scale, or with the step of what is quantised inside the model."""
        graph, name = self._graph, spec.name
        found = onnx_quantised.scale_of(graph, name)
        if np.issubdtype(spec.dtype, np.floating):
            step = onnx_quantised.step_of(graph, name)
            spec = replace(spec, step=step, behind=onnx_quantised.behind(graph, name) if step else None)
        elif found:
            spec = replace(spec, scale=found[0], zero_point=found[1])
        rounded = onnx_quantised.rounded_behind(graph, name) if spec.behind is None else None
        if rounded and (spec.step or spec.scale):
            spec = replace(spec, behind=rounded[0], step_before=rounded[1])
        return spec


def _cause(error: Exception) -> Exception:
    """What an operator raised, which the reference implementation tells in words of its own program."""
    return error.__cause__ if isinstance(error.__cause__, Exception) else error


def _for_iree(model: onnx.ModelProto) -> onnx.ModelProto:
    try:
        made = Graph(onnx_control_flow.written_out(model)).rewrite(REWRITINGS)
        made = onnx.shape_inference.infer_shapes(made, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        used = ", ".join(sorted({node.op_type for node in model.graph.node}))
        raise UnusableError(
            f"ONNX finds no shapes in what stands for one of its operations ({used}), as it is used here: "
            f"{first_line(error).rpartition('] ')[2]}. Write it with other operations, or with other attributes"
        ) from error
    onnx_limits.check_shapes(made)
    onnx_limits.check_scans(made)
    return made


def prepared(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without functions of its own, in a version that IREE knows, with the shapes of all its values."""
    model = onnx.inliner.inline_local_functions(model)
    model.graph.name = re.sub(r"^__|[^\w$.-]", "n", model.graph.name, flags=re.ASCII)[:_MOST_NAME]
    for node in model.graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value_floats":  # which IREE does not take
            values = onnx.numpy_helper.from_array(np.float32(node.attribute[0].floats))
            node.attribute[0].CopyFrom(onnx.helper.make_attribute("value", values))
        if node.op_type in (*onnx_control_flow.DEFINED, "STFT"):
            _tell_defaults(node, version_of(model))
    onnx_constants.gather_chosen(model)
    wanted = _CEILING_OPSET if any(map(_rounds_up_beyond, model.graph.node)) else _OPSET
    before = version_of(model)
    if before < _AXIS_OPSET:
        _flatten_hardmax(model)
    if before < wanted:
        model = onnx.version_converter.convert_version(model, wanted)
        if before < _PLACES_OPSET:
            _keep_old_places(model)
        _forget_shapes(model)  # those of the old version, where a pooling rounded up otherwise
    _tell_shapes_of_groups(model)
    onnx_constants.keep_whole_lengths(model)
    return onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)


def _tell_defaults(node: onnx.NodeProto, version: int) -> None:
    """Gives a node the attributes that it leaves out: ONNX's inliner takes the definition without their defaults, and
    its inference of shapes an STFT."""
    told = {attribute.name for attribute in node.attribute}
    for name, attribute in onnx.defs.get_schema(node.op_type, version).attributes.items():
        if name not in told and attribute.default_value.name:
            node.attribute.append(attribute.default_value)


def _tell_shapes_of_groups(model: onnx.ModelProto) -> None:
    """ONNX infers none for a normalisation by groups, whose result is like what it is given."""
    for node in model.graph.node:
        if node.op_type != "GroupNormalization":
            continue
        graph = Graph(onnx.shape_inference.infer_shapes(model, data_prop=True))
        shape = graph.shape_of(node.input[0])
        if shape is not None:
            like = onnx.helper.make_tensor_type_proto(graph.type_of(node.input[0]), shape)
            outputs = [info for info in model.graph.output if info.name == node.output[0]]
            for info in outputs or [model.graph.value_info.add(name=node.output[0])]:
                info.type.CopyFrom(like)


def _flatten_hardmax(model: onnx.ModelProto) -> None:
    """Before it had an axis of its own, Hardmax took all from that axis on for one, as Softmax did; ONNX's converter
    tells only of that one.
    """
    nodes = list(model.graph.node)
    del model.graph.node[:]
    for node in nodes:
        if node.op_type != "Hardmax" or node.domain not in ("", "ai.onnx"):
            model.graph.node.append(node)
            continue
        (given,), (made,) = node.input, node.output
        names = [f"{made}/{part}" for part in ("flat", "chosen", "shape")]
        model.graph.node.extend(
            onnx.helper.make_node(operator, inputs, outputs, name=node.name, **attributes)
            for operator, inputs, outputs, attributes in (
                ("Flatten", [given], names[:1], {"axis": attributes_of(node).get("axis", 1)}),
                ("Hardmax", names[:1], names[1:2], {"axis": 1}),
                ("Shape", [given], names[2:], {}),
                ("Reshape", names[1:], [made], {}),
            )
        )


def _keep_old_places(model: onnx.ModelProto) -> None:
    """Says what a resize of old means: the converter leaves it to defaults that came later."""
    graph = Graph(model)
    for node in model.graph.node:
        if node.op_type != "Resize":
            continue
        scales = graph.constant(node.input[2]) if len(node.input) > 2 else None
        larger, smaller = (scales is not None and (scales >= 1).all(), scales is not None and (scales <= 1).all())
        if attributes_of(node).get("mode", b"nearest") == b"nearest" and not (larger or smaller):
            raise UnusableError(
                f"{described(node)} takes nearest values, of an axis that gets longer and another one that gets "
                f"shorter, or by what is computed: before version {_PLACES_OPSET} of ONNX's operators that has no one "
                "meaning. Export the model with a newer one"
            )
        added = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor" if larger else "ceil"}
        node.attribute.extend(onnx.helper.make_attribute(name, value) for name, value in added.items())


def _forget_shapes(model: onnx.ModelProto) -> None:
    """Drops the shapes of all values but the inputs'."""
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]


def _rounds_up_beyond(node: onnx.NodeProto) -> bool:
    attributes = attributes_of(node)
    pools = node.op_type in ("AveragePool", "MaxPool")
    if not pools or not attributes.get("ceil_mode"):
        return False
    leaps = any(map(operator.lt, attributes["kernel_shape"], attributes.get("strides", ())))  # beyond the end
    return leaps or any(attributes.get("pads", ())) or attributes.get("auto_pad", b"NOTSET") != b"NOTSET"


def _import_to(model: onnx.ModelProto, path: Path) -> str:
    """Writes a model as MLIR in IREE's own dialects; returns why it can't be, or nothing."""
    from iree.compiler.extras import onnx_importer
    from iree.compiler.ir import Context

    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "model.mlir"
        try:
            info = onnx_importer.ModelInfo(model)
            module = info.create_module(context=Context()).operation
            onnx_importer.NodeImporter.define_function(info.main_graph, module).import_all()
            module.verify()
        except Exception as error:  # noqa: BLE001 (whatever its steps raise)
            return first_line(error)
        source.write_text(module.get_asm(enable_debug_info=True, assume_verified=True), encoding="utf-8")
        # Torch's dialect needs a flag that the later compilation would have to know of.
        command = [iree.tool("iree-compile"), source, "--compile-to=input", "--mlir-print-debuginfo", "-o", path]
        done = process.run([*command, f"{_SYNCHRONOUS}=false"])
        if done.timed_out:
            return f"it did not end {process.limit_text()}"
        if "Unknown command line argument" in done.output:
            raise UnusableError(
                f"IREE {iree.compiler_version()} has no flag {_SYNCHRONOUS}: functions that it makes of an ONNX model "
                "wait for fences, which a chip has not. Take IREE 3.12 or a newer one"
            )
        if not done.exit_code:
            return ""
        error = next((line for line in done.output.splitlines() if "error:" in line), None)
        if error is None:
            return f"its compiler crashed ({process.ending(done.exit_code)})"
        return " ".join(filter(None, map(str.strip, error.split("error:"))))


def _spec(value: onnx.ValueInfoProto, selection: Selection) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = [max(dim.dim_value, 0) or None for dim in tensor.shape.dim] if tensor.HasField("shape") else None
    known = [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
    if 0 in known[1:] and not selection.names(value.name):
        raise UnusableError(
            f"its input '{value.name}' has the shape {known}, which holds no elements, so there is nothing to send. "
            f"Leave it out of the model; if 0 stands for an open length, say which, as in shape={value.name}="
            f"{'x'.join(str(length or 8) for length in known)}"
        )
    return TensorSpec(value.name, selection.fixed_shape(value.name, shape), _dtype(tensor.elem_type))


def _dtype(elem_type: int) -> str:
    return np.dtype(onnx.helper.tensor_dtype_to_np_dtype(elem_type)).name


def _layer(node: onnx.NodeProto) -> str:
    """The module of a PyTorch model that a node is of, where its exporter tells, else the node's name."""
    scopes = next((entry.value for entry in node.metadata_props if entry.key == "pkg.torch.onnx.name_scopes"), "")
    modules = [name for name in re.findall(r"'([^']*)'", scopes)[:-1] if name]  # the last one is the operation
    return modules[-1] if modules else node.name


def load(path: Path, selection: Selection) -> OnnxModel:
    """Loads an .onnx file, with the weights that lie beside it if it has any."""
    if selection.signature is not None:
        raise UnusableError(f"it has no signature '{selection.signature}': an ONNX model has one function only")
    try:
        model = onnx_weights.load(path)
    except ModelError as error:
        raise UnusableError(str(error).rstrip(".")) from error
    except Exception as error:  # noqa: BLE001 (protobuf's own)
        begin = path.read_bytes()[:8]
        raise UnusableError(
            f"ONNX can't load it: it is no ONNX file, or not whole (it begins with {begin!r}; {first_line(error)})"
        ) from error
    onnx_limits.check(model)
    untold = {info.name for info in model.graph.output if not info.type.tensor_type.HasField("shape")}
    try:
        if untold:
            _tell_shapes_of_groups(model)
            model = onnx.shape_inference.infer_shapes(model)  # ONNX itself demands it, exporters leave it away
        onnx.checker.check_model(model)
    except Exception as error:  # noqa: BLE001 (each of its checks has errors of its own)
        raise UnusableError(f"it is no valid ONNX model: {first_line(error)}") from error
    for info in model.graph.output:
        if info.name in untold:
            info.type.tensor_type.ClearField("shape")
    return OnnxModel(model, selection)
