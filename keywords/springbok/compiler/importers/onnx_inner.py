# SPDX-License-Identifier: Apache-2.0
"""An ONNX model that gives what each of its operations gives: to find the first one whose outcome is wrong."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnx.shape_inference

from springbok.compiler.importers import onnx_weights
from springbok.compiler.importers.onnx_limits import TYPES
from springbok.compiler.importers.onnx_rewriting import described


def with_inner_outputs(path: Path, to: Path) -> dict[str, str]:
    """Writes the model with all outcomes as outputs; returns what gives each of them, in the order of the operations.

    Raises what ONNX raises for a model that it can't load or write in one file.
    """
    model = onnx_weights.load(path)
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    values = {info.name: info for info in (*inferred.value_info, *model.graph.output)}
    given, makers = {info.name for info in model.graph.output}, {}
    for node in model.graph.node:
        for name in node.output if node.op_type != "Constant" else ():
            kind = values[name].type.tensor_type.elem_type if name in values else 0
            if onnx.TensorProto.DataType.Name(kind) in TYPES:
                makers[name] = described(node)
                model.graph.output.extend([] if name in given else [values[name]])
    onnx.save(model, to)
    return makers
