# SPDX-License-Identifier: Apache-2.0
"""Functions of weights alone, computed to the nearest number before XLA folds them.

XLA folds them by the kernels that it would run here, which are approximations: a reciprocal square root, as each batch
normalisation has one, differs in its last bit between processors, and with it the module.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

# What IEEE 754 gives one answer for, in the type of its operands.
_EXACT = {
    "Add": np.add,
    "AddV2": np.add,
    "Identity": np.positive,
    "Maximum": np.maximum,
    "Minimum": np.minimum,
    "Mul": np.multiply,
    "Neg": np.negative,
    "RealDiv": np.divide,
    "Sqrt": np.sqrt,
    "Square": np.square,
    "Sub": np.subtract,
}
# What is approximated, here in float64 and rounded once.
_ROUNDED = {
    "Exp": np.exp,
    "Expm1": np.expm1,
    "Inv": np.reciprocal,
    "Log": np.log,
    "Log1p": np.log1p,
    "Reciprocal": np.reciprocal,
    "Rsqrt": lambda number: 1 / np.sqrt(number),
    "Sigmoid": lambda number: 1 / (1 + np.exp(-number)),
    "Softplus": lambda number: np.logaddexp(number, 0),
    "Tanh": np.tanh,
}
_TYPES = ("float16", "bfloat16", "float32")


def folded(frozen):
    """The concrete function ``frozen``, whose weights are constants, with approximated functions of them as constants.

    Without any, it is ``frozen`` itself.

    Example::

        frozen = folded(convert_variables_to_constants_v2(traced, lower_control_flow=False))
    """
    graph = frozen.graph.as_graph_def()
    values: dict[str, np.ndarray] = {}
    found = False
    with np.errstate(all="ignore"):
        for node in graph.node:  # operands come first
            if node.op == "Const":
                array = tf.make_ndarray(node.attr["value"].tensor)
                if array.dtype.name in _TYPES:
                    values[node.name] = array
                continue
            operands = [values.get(name.removesuffix(":0")) for name in node.input]
            if node.op not in _EXACT.keys() | _ROUNDED.keys() or any(each is None for each in operands):
                continue
            if node.op in _EXACT:
                values[node.name] = _EXACT[node.op](*operands)
                continue
            (number,) = operands
            value = np.asarray(_ROUNDED[node.op](number.astype(np.float64))).astype(number.dtype)
            values[node.name] = value
            found = True
            constant = tf.compat.v1.NodeDef(name=node.name, op="Const")
            constant.attr["dtype"].CopyFrom(node.attr["T"])
            constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value))
            node.CopyFrom(constant)
    if not found:
        return frozen
    wrapped = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph, name=""), [])
    sides = (frozen.inputs, frozen.outputs)
    return wrapped.prune(*([wrapped.graph.get_tensor_by_name(each.name) for each in side] for side in sides))
