# SPDX-License-Identifier: Apache-2.0
"""Does what needs a framework, in a process of its own: ``python -m springbok.compiler.importers.worker job.json``.

The process that asks needn't import TensorFlow (seconds, and hundreds of megabytes), whatever a framework does can be
ended after a time limit, and the settings below can't disturb anybody. `springbok.compiler.importers.frameworks` starts
it.

Two jobs:

- ``import``: the model as MLIR in model.mlir, with the names of its layers as locations; and its answers to probe
  inputs.
- ``run``: the model's answers to given inputs, one sample at a time.

The answer goes to ``answer.json`` in the job's folder: ``{"error": …}``, or the descriptions of inputs and outputs.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import sys
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Protocol

import numpy as np

from springbok.compiler.importers.selection import Selection, SelectionError
from springbok.compiler.probes import probe
from springbok.tensors import TensorSpec

# Before TensorFlow is imported: another Keras backend may be configured, there may be a graphics card, and oneDNN's
# kernels round differently on different processors.
os.environ |= {
    "KERAS_BACKEND": "tensorflow",
    "CUDA_VISIBLE_DEVICES": "-1",
    "TF_ENABLE_ONEDNN_OPTS": "0",
    "TF_CPP_MIN_LOG_LEVEL": "3",
}


class UnusableError(Exception):
    """A model that can't be used; the text says why, and what can be done."""


class Model(Protocol):
    """A loaded model. A module ``worker_FRAMEWORK`` has a function ``load(path, selection)`` that gives one.

    A model of a kind that differs from its framework on the chip has a ``remark`` about it; ``answers_nan``,
    ``makes_integers`` and ``takes_any_integer`` say what `probes` asks for. ``known_outputs`` are descriptions of
    outputs, as far as they are known before it runs.
    """

    inputs: list[TensorSpec]

    def run(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        """The answers to one sample: an array an input in, an array an output out."""

    def write_mlir(self, path: Path) -> None:
        """Writes the model as MLIR. Called after `run`."""

    def describe_outputs(self, arrays: list[np.ndarray]) -> list[TensorSpec]:
        """The outputs, of which ``arrays`` is an example. Called after `write_mlir`."""


def main(job_file: str) -> int:
    """Does the job that ``job_file`` describes. Returns the exit code."""
    job = json.loads(Path(job_file).read_text(encoding="utf-8"))
    folder = Path(job["folder"])
    selection = Selection.of(dict(job["shapes"]), job["signature"])
    try:
        worker = importlib.import_module(f"springbok.compiler.importers.worker_{job['framework']}")
        model = worker.load(Path(job["model"]), selection)
        selection.check_names([spec.name for spec in model.inputs])
        if job["do"] == "import":
            answer = _import(model, folder)
        else:
            with np.load(folder / "inputs.npz") as given:
                arrays = [given[name] for name in given.files]
            np.savez(folder / "outputs.npz", *_run(model, arrays))
            answer = {}
    except (UnusableError, SelectionError) as error:
        answer = {"error": str(error)}
    except Exception as error:  # noqa: BLE001 (a framework raises anything; its trace goes to the output)
        traceback.print_exc()
        answer = {"failure": first_line(error)}
    (folder / "answer.json").write_text(json.dumps(answer), encoding="utf-8")
    return 0


def _import(model: Model, folder: Path) -> dict:
    if not model.inputs:
        raise UnusableError("it has no inputs: a model for the chip takes at least one tensor")
    _check_sizes([*model.inputs, *getattr(model, "known_outputs", ())])
    names = {"nan": "answers_nan", "integers": "makes_integers", "any_integer": "takes_any_integer"}
    definition = {name: getattr(model, attribute, False) for name, attribute in names.items()}
    probes, outputs = probe(model.inputs, lambda arrays: _run(model, arrays), **definition)
    model.write_mlir(folder / "model.mlir")
    np.savez(folder / "probe_inputs.npz", *probes)
    np.savez(folder / "probe_outputs.npz", *outputs)
    described = model.describe_outputs([array[0] for array in outputs])
    return {
        "inputs": [asdict(spec) for spec in model.inputs],
        "outputs": [asdict(spec) for spec in described],
        "remark": getattr(model, "remark", ""),
    }


def _check_sizes(specs: list[TensorSpec]) -> None:
    """Refuses tensors so large that already the check's samples would take minutes and gigabytes."""
    total, largest = sum(spec.nbytes for spec in specs), max(specs, key=lambda spec: spec.nbytes)
    if total > _MOST_BYTES:
        raise UnusableError(
            f"what it takes and gives is {total:,} bytes, of which {largest} is most, and more than {_MOST_BYTES:,} "
            "are neither sent to a chip nor held by one: give it smaller tensors, or parts of them one after another"
        )


def _run(model: Model, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """The model's answers to ``inputs`` (one array an input, samples first): one array an output, samples first."""
    answers = [model.run(list(sample)) for sample in zip(*inputs, strict=True)]
    return [np.stack(arrays) for arrays in zip(*answers, strict=True)]


#: Inputs and outputs together are at most so large.
_MOST_BYTES = 1 << 27
_INTEGERS = frozenset(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))
_ELEMENT_TYPES = _INTEGERS | {"bool", "float16", "float32", "float64"}


def check_element_type(what: str, dtype: str) -> None:
    """Raises :class:`UnusableError` if ``what``, an input or output, holds elements that the chip can't take."""
    if dtype in _ELEMENT_TYPES:
        return
    if dtype in ("str", "string", "object"):
        raise UnusableError(f"its {what} holds strings: look them up on the host, and give the model numbers")
    raise UnusableError(
        f"its {what} holds elements of the type {dtype}, but the host and the chip exchange only "
        f"{', '.join(sorted(_ELEMENT_TYPES))}: convert them inside the model, for example to float32"
    )


_CAUSE = re.compile(r"^(?!Graph execution|Detected at|Stack trace|<stack|File )([^\s\[].*)", re.MULTILINE)


def first_line(error: Exception | str) -> str:
    """What an error says, in a line without a full stop."""
    lines = (str(error).strip() or type(error).__name__).splitlines()
    if lines[0] == "Graph execution error:":  # TensorFlow tells the place and a trace before the cause
        lines = _CAUSE.findall(str(error))[-1:] or lines
    # Where a sentence announces something in the next line, that is told too.
    line = " ".join(lines[: 2 if lines[0].endswith(":") else 1])
    return re.sub(r"^(?:\w+\.)*\w*(?:Error|Exception): ", "", line).rstrip(". :")


if __name__ == "__main__":
    # As a program, this module exists twice; the workers know the other one.
    sys.exit(importlib.import_module("springbok.compiler.importers.worker").main(*sys.argv[1:]))
