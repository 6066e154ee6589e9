# SPDX-License-Identifier: Apache-2.0
"""Which operation of an ONNX model is the first whose outcome a wrong module has otherwise than the framework.

All outcomes are given out by a model made of it, which is compiled and run on this machine as the module was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from springbok.compiler import importers
from springbok.compiler.judgement import Tolerance, judge
from springbok.support.cache import Cache
from springbok.support.files import temporary_folder

if TYPE_CHECKING:
    from springbok.compiler.compiled import CompiledModel


def first_wrong(
    compiled: CompiledModel,
    run: Callable[[CompiledModel, list[np.ndarray], Path], list[np.ndarray]],
    tolerance: Tolerance | float | str | None,
) -> str:
    """A sentence that names the operation; empty where none is found, as of models in other formats.

    ``run`` compiles a model to a file and gives its outputs for inputs, both one array a tensor, samples first.
    """
    if compiled.format != "onnx":
        return ""
    from springbok.compiler.importers.onnx_inner import with_inner_outputs

    try:
        with temporary_folder() as folder:
            path = folder / f"{compiled.source.stem}.onnx"
            makers = with_inner_outputs(compiled.source, path)
            imported = importers.import_model(path, Cache(folder / "build"), compiled.selection)
            told = replace(compiled, mlir=imported.mlir, inputs=imported.inputs, outputs=imported.outputs)
            outputs = run(told, imported.probe_inputs, folder / "inner.vmfb")
            wrong = {
                spec.name
                for spec, got, wanted in zip(imported.outputs, outputs, imported.probe_outputs, strict=True)
                if not judge([spec], [got], [wanted], tolerance).passed
            }
    except Exception:  # noqa: BLE001 (what is asked for is an explanation of another error)
        return ""
    found = next((maker for name, maker in makers.items() if name in wrong), "")
    return f"The first operation whose outcome differs is that of {found}." if found else ""
