# SPDX-License-Identifier: Apache-2.0
"""TensorFlow functions as StableHLO, for `springbok.importers.worker`: what Keras models and SavedModels share.

TensorFlow itself writes the StableHLO (``experimental_get_compiler_ir``), from the graph that it would run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from springbok.importers.worker import UnusableError, first_line
from springbok.layer_names import ScopedNames

_LOCATION = re.compile(r'\bloc\("((?:[^"\\]|\\.)*)"(?::\d+:\d+)?')
_CALLS = re.compile(r"(?:Stateful)?PartitionedCall/")


def stablehlo(traced, specs: list[tf.TensorSpec], layer_of: Callable[[str], str | None] | None = None) -> str:
    """The concrete function ``traced`` as StableHLO text with a function ``main``, its weights inside.

    ``layer_of`` tells the layer of an operation by TensorFlow's name of it; by default the name's scopes do. All other
    locations are dropped: they hold paths.
    """
    frozen = convert_variables_to_constants_v2(traced, lower_control_flow=False)
    try:
        exporter = tf.function(lambda *arguments: frozen(*arguments), jit_compile=True)  # noqa: PLW0108 (its arguments)
        text = exporter.experimental_get_compiler_ir(*specs)(stage="stablehlo")
    except Exception as error:
        raise UnusableError(f"TensorFlow can't write it as StableHLO: {first_line(error)}") from error

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
