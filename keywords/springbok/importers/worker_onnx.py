# SPDX-License-Identifier: Apache-2.0
"""ONNX models, for `springbok.importers.worker`: by IREE's importer and the compiler's own first phase.

The answers are those of ONNX's reference implementation, which is written in NumPy.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnx.shape_inference
import onnx.version_converter
from onnx.reference import ReferenceEvaluator

from springbok import iree, process
from springbok.importers.selection import Selection
from springbok.importers.worker import UnusableError, first_line
from springbok.tensors import TensorSpec

#: Models of an older operator set are brought to this one: IREE's importer knows its operations best.
_OPSET = 17


class OnnxModel:
    """The graph of an ONNX file, with batch 1."""

    def __init__(self, model: onnx.ModelProto, selection: Selection) -> None:
        weights = {initializer.name for initializer in model.graph.initializer}
        given = [value for value in model.graph.input if value.name not in weights]
        self.inputs = [_spec(value, selection) for value in given]
        for value, spec in zip(given, self.inputs, strict=True):
            for dimension, length in zip(value.type.tensor_type.shape.dim, spec.shape, strict=True):
                dimension.dim_value = length
        for value in model.graph.output:
            value.type.tensor_type.ClearField("shape")  # it told of the open batch
        del model.graph.value_info[:]
        for node in model.graph.node:
            node.name = _layer(node)  # the importer makes locations of the names
        try:
            version = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
            if version < _OPSET:
                model = onnx.version_converter.convert_version(model, _OPSET)
            self._model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
            self._evaluator = ReferenceEvaluator(self._model)
        except Exception as error:  # noqa: BLE001 (each of its steps has errors of its own)
            raise UnusableError(f"ONNX can't use it: {first_line(error)}") from error

    def run(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """See :class:`springbok.importers.worker.Model`."""
        given = {spec.name: array for spec, array in zip(self.inputs, inputs, strict=True)}
        return [np.asarray(answer) for answer in self._evaluator.run(None, given)]

    def write_mlir(self, path: Path) -> None:
        """See :class:`springbok.importers.worker.Model`."""
        from iree.compiler.extras import onnx_importer
        from iree.compiler.ir import Context

        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "model.mlir"
            try:
                info = onnx_importer.ModelInfo(self._model)
                module = info.create_module(context=Context()).operation
                onnx_importer.NodeImporter.define_function(info.main_graph, module).import_all()
                module.verify()
            except Exception as error:  # noqa: BLE001
                raise UnusableError(f"IREE can't import it: {first_line(error)}") from error
            source.write_text(module.get_asm(enable_debug_info=True, assume_verified=True), encoding="utf-8")
            # Torch's dialect needs a flag that the later compilation would have to know of.
            command = [iree.tool("iree-compile"), source, "--compile-to=input", "--mlir-print-debuginfo", "-o", path]
            done = process.run([*command, "--iree-torch-emit-async-entry-points=false"])
            if done.exit_code or done.timed_out:
                errors = [line for line in done.output.splitlines() if "error:" in line] or ["no message"]
                raise UnusableError(f"IREE can't import it: {errors[0].partition('error: ')[2] or errors[0]}")

    def describe_outputs(self, arrays: list[np.ndarray]) -> list[TensorSpec]:
        """See :class:`springbok.importers.worker.Model`."""
        return [
            TensorSpec(value.name, array.shape, array.dtype.name)
            for value, array in zip(self._model.graph.output, arrays, strict=True)
        ]


def _spec(value: onnx.ValueInfoProto, selection: Selection) -> TensorSpec:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        raise UnusableError(f"its input '{value.name}' has no shape: the chip needs fixed shapes")
    shape = [dimension.dim_value or None for dimension in tensor.shape.dim]
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
    return TensorSpec(value.name, selection.fixed_shape(value.name, shape), np.dtype(dtype).name)


def _layer(node: onnx.NodeProto) -> str:
    """The module of a PyTorch model that a node is of, where its exporter tells, else the node's name."""
    scopes = next((entry.value for entry in node.metadata_props if entry.key == "pkg.torch.onnx.name_scopes"), "")
    modules = [name for name in re.findall(r"'([^']*)'", scopes)[:-1] if name]  # the last one is the operation
    return modules[-1] if modules else node.name


def load(path: Path, selection: Selection) -> OnnxModel:
    """Loads an .onnx file, with the weights that lie beside it if it has any."""
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except Exception as error:  # noqa: BLE001
        raise UnusableError(f"ONNX can't load it: {first_line(error)}") from error
    return OnnxModel(model, selection)
