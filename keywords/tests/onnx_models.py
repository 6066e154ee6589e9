# SPDX-License-Identifier: Apache-2.0
"""ONNX models that tests make, what ONNX answers to them, and what the importer makes of them."""

import numpy as np
import pytest

from springbok.compiler.importers import onnx_reference, worker_onnx
from springbok.compiler.importers.onnx_rewriting import Graph

pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

FLOAT, INT8, UINT8, INT32, INT64 = (getattr(TensorProto, name) for name in ("FLOAT", "INT8", "UINT8", "INT32", "INT64"))


def model_of(nodes, inputs, outputs, constants=(), opset=17, **options):
    """A model: ``inputs`` and ``outputs`` are tables of names to types and shapes, ``constants`` of names to values."""
    values = [[helper.make_tensor_value_info(name, *how) for name, how in each.items()] for each in (inputs, outputs)]
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in dict(constants).items()]
    graph = helper.make_graph(nodes, "graph", *values, weights)
    options = {"opset_imports": [helper.make_opsetid("", opset)], "ir_version": 10} | options
    return helper.make_model(graph, **options)


def rewritten(model):
    """The model as the importer gives it to IREE."""
    return Graph(worker_onnx.prepared(model)).rewrite(worker_onnx.REWRITINGS)


def answers(model, *arrays):
    """ONNX's own answers."""
    with np.errstate(all="ignore"):
        return onnx_reference.evaluator(model).run(
            None, dict(zip([info.name for info in model.graph.input], arrays, strict=True))
        )


def operators(model):
    return {node.op_type for node in model.graph.node}


def equal(model, *arrays, steps=0, relative=0.0):
    """Checks that the rewritten model answers as the model does; integers may differ by ``steps``."""
    for got, wanted in zip(answers(rewritten(model), *arrays), answers(model, *arrays), strict=True):
        assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
        difference = np.abs(got.astype(np.float64) - wanted.astype(np.float64))
        allowed = steps + relative * np.abs(wanted[np.isfinite(wanted)].astype(np.float64)).max(initial=0)
        same = (got == wanted) | ((got != got) & (wanted != wanted))  # noqa: PLR0124 (NaN)
        assert (same | (difference <= allowed)).all()


def random_array(random, elem_type, shape):
    dtype = helper.tensor_dtype_to_np_dtype(elem_type)
    if dtype.kind == "f":
        return (random.standard_normal(shape) * 3).astype(dtype)
    limits = np.iinfo(dtype)
    return random.integers(limits.min, limits.max, shape, dtype, endpoint=True)
