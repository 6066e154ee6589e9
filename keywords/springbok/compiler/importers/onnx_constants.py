# SPDX-License-Identifier: Apache-2.0
"""What constants of an ONNX model decide of its shapes, put in place before shapes are inferred."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.shape_inference
from onnx import numpy_helper

from springbok.compiler.importers import onnx_windows
from springbok.compiler.importers.onnx_rewriting import Graph, attributes_of


def keep_whole_lengths(model: onnx.ModelProto) -> None:
    """Makes scales whose products are whole numbers but for a last bit such that no element is lost by it."""
    for node in model.graph.node:
        if node.op_type != "Resize" or len(node.input) < 3 or not node.input[2]:
            continue
        graph = Graph(onnx.shape_inference.infer_shapes(model, data_prop=True))
        shape, scales = graph.shape_of(node.input[0]), graph.constant(node.input[2])
        if shape is None or scales is None or not scales.size:
            continue
        lengths = [shape[axis] for axis in attributes_of(node).get("axes", range(len(shape)))]
        made = onnx_windows.scales_reaching(lengths, scales)
        if not np.array_equal(made, scales):
            node.input[2] = f"{node.output[0]}/scales"
            model.graph.initializer.append(numpy_helper.from_array(made, node.input[2]))


def gather_chosen(model: onnx.ModelProto) -> None:
    """Puts a Gather where a Compress has a constant condition: ONNX infers no shape of it."""
    nodes, graph = list(model.graph.node), Graph(model)
    del model.graph.node[:]
    for node in nodes:
        condition = graph.constant(node.input[1]) if node.op_type == "Compress" else None
        if condition is None:
            model.graph.node.append(node)
            continue
        (made,), axis = node.output, attributes_of(node).get("axis")
        names = [node.input[0], f"{made}/places"]
        constants = {names[1]: np.flatnonzero(condition)}
        if axis is None:
            constants[f"{made}/flat"] = np.array([-1])
            reshape = [node.input[0], f"{made}/flat"]
            names[0] = f"{made}/row"
            model.graph.node.append(onnx.helper.make_node("Reshape", reshape, names[:1], name=node.name))
        model.graph.node.append(onnx.helper.make_node("Gather", names, [made], name=node.name, axis=axis or 0))
        model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
