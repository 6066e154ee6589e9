# SPDX-License-Identifier: Apache-2.0
"""ONNX's losses by classes, for `springbok.compiler.importers.onnx_rewriting`.

IREE has them without weights or without ignored labels only, and divides a weighted mean by the number of labels. Here
a label is compared with all classes, so that no element is looked up.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from springbok.compiler.importers.onnx_rewriting import Graph, attributes_of


def _loss(graph: Graph, node: onnx.NodeProto) -> bool | None:
    given, labels, weights = [*node.input, ""][:3]
    shape = graph.shape_of(given)
    if shape is None or graph.type_of(given) != TensorProto.FLOAT:
        return False
    attributes = attributes_of(node)
    likelihood = given
    if node.op_type == "SoftmaxCrossEntropyLoss":
        likelihood = graph.add("LogSoftmax", given, axis=1, to=(*node.output, "")[1] or None)
    of_classes = (1, shape[1], *(1 for _ in shape[2:]))
    number, class_axis = graph.numbers_like(given), graph.value(np.array([1]))
    classes = graph.cast(graph.value(np.arange(shape[1]).reshape(of_classes)), graph.type_of(labels))
    each = graph.reshape(labels, (shape[0], 1, *shape[2:]))
    chosen = graph.add("Equal", each, classes)
    if "ignore_index" in attributes:
        ignored = graph.add("Equal", each, graph.numbers_like(labels)(attributes["ignore_index"]))
        chosen = graph.add("And", chosen, graph.add("Not", ignored))
    weight = graph.reshape(weights, of_classes) if weights else number(1)
    losses = graph.add("Neg", graph.add("Mul", likelihood, weight) if weights else likelihood)
    losses = graph.add("Where", chosen, losses, number(0))
    reduction = attributes.get("reduction", b"mean")
    if reduction == b"none":
        graph.add("ReduceSum", losses, class_axis, keepdims=0, to=node.output[0])
    elif reduction == b"sum":
        graph.add("ReduceSum", losses, keepdims=0, to=node.output[0])
    else:
        total = graph.add("ReduceSum", graph.add("Where", chosen, weight, number(0)), keepdims=0)
        graph.add("Div", graph.add("ReduceSum", losses, keepdims=0), total, to=node.output[0])
    return None


REWRITINGS = dict.fromkeys(("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"), _loss)
