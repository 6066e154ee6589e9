# SPDX-License-Identifier: Apache-2.0
"""Names of layers, from the names that frameworks give to operations: ``model/conv_1/Relu`` is of layer ``conv_1``."""

from __future__ import annotations

import os.path
from collections.abc import Sequence


def readable(location: str) -> str | None:
    """The layer that a location in a module tells; None if it tells of none.

    >>> readable("jit(main)/dense_1/dot_general"), readable("conv_1"), readable("graph:main")
    ('dense_1', 'conv_1', None)
    """
    if location == "main" or location.startswith("graph:"):
        return None  # the whole function, in the TOSA of .tflite files and in ONNX
    if location.startswith("jit("):
        # JAX: the compiled function, then named scopes and functions, then the operation.
        return "/".join(part for part in location.split("/")[:-1] if "(" not in part) or None
    return location.removesuffix(":0")


class ScopedNames:
    """Knows a model's operations by their names, ``scope/…/layer/operation``, and tells their layers.

    What all names have in common before the layer is the model. Keras's exports call every layer a second time, which
    adds ``_1`` to each part of each name: it is dropped when it is everywhere.

    >>> names = ScopedNames(["model_1/conv_1/Conv2D", "model_1/dense_1/MatMul"])
    >>> names.layer_of("model_1/conv_1/Relu;model_1/conv_1/Conv2D")
    'conv'
    """

    def __init__(self, operations: Sequence[str]) -> None:
        every = [part for operation in operations for part in operation.split(";")]
        scopes = [operation.split("/")[:-1] for operation in every if "/" in operation]
        self._common = min((_common_length(scopes[0], scope) for scope in scopes), default=0)
        if scopes:
            # With one layer only, its own name is common too.
            self._common = min(self._common, min(map(len, scopes)) - 1)
        named = {part for scope in scopes for part in scope[: self._common + 1]}
        self._counted = bool(named) and all(part.endswith("_1") for part in named)
        self._prefix = scopes[0][: self._common] if scopes else []

    def layer_of(self, operation: str) -> str | None:
        """The layer of an operation; several, joined by `` + ``, of operations that were fused into one (``a;b``)."""
        layers: dict[str, None] = {}
        for part in reversed(operation.split(";")):
            scope = part.split("/")[:-1]
            if len(scope) > self._common and scope[: self._common] == self._prefix:
                name = scope[self._common]
                layers[name.removesuffix("_1") if self._counted else name] = None
        return " + ".join(layers) or None


def _common_length(one: list[str], other: list[str]) -> int:
    return len(os.path.commonprefix([one, other]))
