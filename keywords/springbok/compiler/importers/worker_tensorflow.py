# SPDX-License-Identifier: Apache-2.0
"""TensorFlow functions as StableHLO, for `springbok.compiler.importers.worker`: what Keras models and SavedModels
share.

TensorFlow itself writes the StableHLO (``experimental_get_compiler_ir``), from the graph that it would run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from springbok.compiler.importers import loops, tensorflow_constants
from springbok.compiler.importers.worker import UnusableError, first_line
from springbok.modules.layer_names import ScopedNames

_LOCATION = re.compile(r'\bloc\("((?:[^"\\]|\\.)*)"(?::\d+:\d+)?')
_CALLS = re.compile(r"(?:Stateful)?PartitionedCall/")
# XLA leaves the error function, of which an exact GELU is made, in a dialect that IREE does not have.
_ERROR_FUNCTION = re.compile(r"= mhlo\.erf (%\w+) : (tensor<[^>]*>)")
_UNKNOWN_TO_XLA = re.compile(r"(\w+) \(No registered .*?\{\{node (\S+?)\}\}")

_REFUSED = (
    (
        re.compile(r"Assign\w*VariableOp|Assign\w*|ResourceScatter\w+"),
        "changes a variable, so that an inference depends on those before it, which a module can't. Make the state an "
        "input and an output",
    ),
    (re.compile(r"(?:Eager)?PyFunc\w*"), "runs Python code, which is not in the file. Use TensorFlow's operations"),
    (
        re.compile(r"Random\w+|TruncatedNormal|Multinomial|StatefulRandom\w+|StatefulUniform\w*"),
        "draws random numbers, so that no answer can be compared. Give the model the numbers as an input",
    ),
    (re.compile(r"(?:LookupTable|HashTable|String|Decode|Parse)\w*"), "works on strings or tables. Do it on the host"),
)


def _refuse_operations(traced, layer_of: Callable[[str], str | None] | None) -> None:
    """Refuses what is no function of the inputs, by the operation and its layer."""
    functions = traced.graph.as_graph_def().library.function
    operations = [(each.type, each.name) for each in traced.graph.get_operations()]
    operations += [(node.op, node.name) for function in functions for node in function.node_def]
    for kind, name in operations:
        for pattern, why in _REFUSED:
            if pattern.fullmatch(kind):
                layer = (layer_of and layer_of(name)) or name
                raise UnusableError(f"its operation {kind} ('{layer}') {why}")


def _why_not(error: str, layer_of: Callable[[str], str | None] | None) -> str:
    """A sentence about why TensorFlow can't write a function as StableHLO, from what it says."""
    found = dict(_UNKNOWN_TO_XLA.findall(error))
    if not found:
        return f"TensorFlow can't write it as StableHLO: {first_line(error)}"
    named = [f"{kind} ('{(layer_of and layer_of(name)) or name}')" for kind, name in found.items()]
    return (
        f"TensorFlow can't write its operation {', '.join(named)} as StableHLO, since XLA has none. Use another one "
        "there, or write the model as .tflite"
    )


def stablehlo(traced, specs: list[tf.TensorSpec], layer_of: Callable[[str], str | None] | None = None) -> str:
    """The concrete function ``traced`` as StableHLO text with a function ``main``, its weights inside.

    ``layer_of`` tells the layer of an operation by TensorFlow's name of it; by default the name's scopes do. All other
    locations are dropped: they hold paths.
    """
    _refuse_operations(traced, layer_of)
    frozen = tensorflow_constants.folded(convert_variables_to_constants_v2(traced, lower_control_flow=False))
    try:
        exporter = tf.function(lambda *arguments: frozen(*arguments), jit_compile=True)  # noqa: PLW0108 (its arguments)
        text = exporter.experimental_get_compiler_ir(*specs)(stage="stablehlo")
    except Exception as error:
        raise UnusableError(_why_not(str(error), layer_of)) from error
    text = loops.written_out(_ERROR_FUNCTION.sub(r"= chlo.erf \1 : \2 -> \2", text))

    if layer_of is None:
        # One name holds a path (of this package), which has a colon and a line number after it.
        names = ScopedNames([_CALLS.sub("", found[1]) for found in _LOCATION.finditer(text) if found[0].endswith('"')])

        def layer_of(operation: str) -> str | None:
            return names.layer_of(_CALLS.sub("", operation))

    def located(match: re.Match) -> str:
        layer = layer_of(match[1])
        return f"loc({json.dumps(layer)}" if layer else "loc(unknown"

    # The module's name holds a counter, and it would be the kernels' name in the VMFB.
    text = re.sub(r"^module @\S+", "module @model", text, count=1, flags=re.MULTILINE)
    return _LOCATION.sub(located, text)
