# SPDX-License-Identifier: Apache-2.0
"""Where onnxruntime computes otherwise than ONNX specifies: answers of the module and of the reference are right there.

Each entry has its reason; nothing else that differs from onnxruntime passes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx

from springbok.compiler.importers.onnx_rewriting import attributes_of


@dataclass(frozen=True)
class Departure:
    """Operators, what of a node and of onnxruntime's answers tells it, and the reason."""

    operators: tuple[str, ...]
    applies: Callable[[dict[str, object], list[np.ndarray]], bool]
    reason: str


DEPARTURES = (
    Departure(
        ("AveragePool", "LpPool", "MaxPool"),
        lambda told, _: str(told.get("auto_pad")).startswith("b'SAME") and max(told.get("dilations", [1])) > 1,
        "it pads for SAME_UPPER and SAME_LOWER as if windows were not dilated",
    ),
    Departure(
        ("InstanceNormalization",),
        lambda *_: True,
        "it scales before it takes the mean away, which leaves few digits where numbers are nearly alike",
    ),
    Departure(
        ("MeanVarianceNormalization",),
        lambda _, answers: bool(np.isnan(answers[0]).any()),
        "it leaves out the 1e-9 with which numbers that are all alike become 0",
    ),
)


def reason(operator: str, model: bytes, answers: list[np.ndarray]) -> str:
    """Why onnxruntime's ``answers`` to the model are not what is specified, or nothing."""
    nodes = [node for node in onnx.ModelProto.FromString(model).graph.node if node.op_type == operator]
    for each in DEPARTURES:
        if operator in each.operators and any(each.applies(attributes_of(node), answers) for node in nodes):
            return each.reason
    return ""
