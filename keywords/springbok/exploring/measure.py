# SPDX-License-Identifier: Apache-2.0
"""Measures one configuration of a sweep, in a worker: compiles it, checks it on this machine, runs it on Spike.

The two steps are jobs of their own, so that modules that are equal run once.
"""

from __future__ import annotations

import importlib.metadata
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from springbok.chips.description import load
from springbok.compiler import importers
from springbok.compiler.compiled import CompiledModel, Target
from springbok.compiler.compiler import DEFAULT_OUTPUT_DIR, compile_and_check
from springbok.compiler.flags import flags_of
from springbok.data import datasets
from springbok.data.dataset import Dataset
from springbok.exploring import front
from springbok.exploring.configurations import Configuration, SweepError
from springbok.exploring.model_files import ModelFiles
from springbok.exploring.search import search
from springbok.exploring.workers import tell
from springbok.firmware import build_firmware
from springbok.gate import gate, snapshots
from springbok.measuring import metrics
from springbok.measuring.derived import QUALITY
from springbok.measuring.quality import Quality, judged
from springbok.session import Session
from springbok.support import process
from springbok.support.cache import Cache, digest
from springbok.support.errors import BenchError
from springbok.support.files import temporary_folder
from springbok.support.places import KEYWORDS
from springbok.timing.description import Timing

CALIBRATION_SAMPLES = 100
LOSSES = {"accuracy": "accuracy_loss"}  # any other figure of a task loses ``quality_loss``
_QUANTISER = KEYWORDS / "springbok" / "compiler" / "quantise_worker.py"
_ROUNDING = 2.0**-23  # of float32, in which models answer
_TELL_SECONDS = 1.0  # between two times that a worker says how far it is


@dataclass(frozen=True)
class Objective:
    """What a sweep seeks the least of, a key of `springbok.exploring.front.SOUGHT`; with ``timing`` every row has
    estimated cycles, whatever is sought."""

    name: str = front.INSTRUCTIONS
    timing: Timing | None = None

    def __post_init__(self) -> None:
        if self.name not in front.SOUGHT:
            raise SweepError(f"There is no objective '{self.name}': choose one of {', '.join(front.SOUGHT)}.")
        if self.name != front.INSTRUCTIONS and self.timing is None:
            raise SweepError("Cycles are estimated by a description of the core's pipeline: give --timing.")

    @property
    def searched_by(self) -> Timing | None:
        """What a search of flags estimates by; None where it is for instructions."""
        return None if self.name == front.INSTRUCTIONS else self.timing


INSTRUCTIONS = Objective()


def measure(
    configuration: Configuration,
    content: ModelFiles,
    firmware_sha256: str,
    own_data: Dataset | None = None,
    objective: Objective = INSTRUCTIONS,
) -> dict[str, Any]:
    """Compile and run one configuration; the row of the table. ``content`` are the model's files.

    ``own_data`` are inferred in place of a data set by name: a worker need not have their files. ``objective`` tells
    whether cycles are estimated, and whether a search of flags is for them.

    What can't be compiled or run is a row too, with the reason in ``error``. Raises `SweepError` when this worker's
    firmware is not the one that was asked for.
    """
    given = (configuration, content, firmware_sha256, own_data, objective)
    compiled = compile_step(*given)
    ran = compiled if compiled["error"] else run_step(*given)
    return row_of(configuration, compiled, ran)


def row_of(configuration: Configuration, compiled: dict[str, Any], ran: dict[str, Any]) -> dict[str, Any]:
    """The row of a configuration whose module came from `compile_step`; ``ran`` is of an equal module's `run_step`."""
    described = {**asdict(configuration), "model": Path(configuration.model).stem}
    measured = {"error": ran["error"], "metrics": ran.get("metrics")}
    described["chip"] = load().name
    return {"label": configuration.label, **described, "module_sha256": compiled.get("module_sha256"), **measured}


def compile_step(
    configuration: Configuration,
    content: ModelFiles,
    firmware_sha256: str,
    own_data: Dataset | None = None,
    objective: Objective = INSTRUCTIONS,
) -> dict[str, Any]:
    """Compile a configuration and check it on this machine: the ``module_sha256``, or the reason in ``error``."""
    _check_firmware(firmware_sha256)
    tell(configuration.label, "compiling")
    try:
        return {"error": None, "module_sha256": _compiled(configuration, content, own_data, objective)[1].vmfb_sha256}
    except BenchError as error:
        return {"error": str(error)}


def run_step(
    configuration: Configuration,
    content: ModelFiles,
    firmware_sha256: str,
    own_data: Dataset | None = None,
    objective: Objective = INSTRUCTIONS,
) -> dict[str, Any]:
    """Run a configuration, compiled as `compile_step` did it: its ``metrics``, or the reason in ``error``."""
    _check_firmware(firmware_sha256)
    session = Session()
    try:
        model, compiled = _compiled(configuration, content, own_data, objective)
        dataset = (own_data or datasets.load(configuration.dataset)).first(configuration.samples)
        reference = _reference(configuration, content, dataset)
        inputs = dataset.fitted(compiled.name, compiled.inputs)
        host_outputs = importers.framework_outputs(model, inputs, Cache(DEFAULT_OUTPUT_DIR), compiled.selection)
        tell(configuration.label, "starting the chip")
        session.boot("spike", vlen=configuration.vlen, timing=objective.timing)
        session.load_model(compiled)
        show = _telling(configuration.label)
        evaluation = session.evaluate(dataset, host_outputs, progress=show)
        measured = snapshots.snapshot(metrics.evaluation_document(evaluation), "sweep")
    except BenchError as error:
        return {"error": str(error)}
    finally:
        session.shut_down()
    return {"error": None, "metrics": {**recorded(measured), **_loss(evaluation.quality, reference)}}


def recorded(measured: snapshots.Snapshot) -> dict[str, Any]:
    """The metrics of a snapshot that no other machine would measure differently: a table is the same twice."""
    return {
        key: value
        for key, value in measured["metrics"].items()
        if key in gate.METRICS and gate.METRICS[key].is_recorded
    }


def _check_firmware(sha256: str) -> None:
    firmware = build_firmware()
    if firmware.sha256 != sha256:
        raise SweepError(
            "This worker builds another firmware than the machine that asked: "
            f"sha256 {firmware.sha256[:12]}… and {sha256[:12]}…. Bring its checkout to the same state."
        )


def _telling(label: str) -> Callable[[int, int], None]:
    told = 0.0

    def show(done: int, total: int) -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= _TELL_SECONDS:
            told = now
            tell(label, f"running, {done} of {total}")

    return show


def _compiled(
    configuration: Configuration, content: ModelFiles, own_data: Dataset | None, objective: Objective
) -> tuple[Path, CompiledModel]:
    """The model's file in the number type that is wanted, and what it is compiled to."""
    model = _model_file(configuration, content, own_data)
    quantised = configuration.type == "int8"  # which is another file, with one signature of its own
    return model, compile_and_check(
        model,
        Target.of(configuration.variant, configuration.vlen),
        name=Path(configuration.model).stem,
        extra_flags=flags_of(configuration.flags),
        optimize=configuration.optimize,
        choose=partial(search, timing=objective.searched_by),
        shape=configuration.shape,
        signature=None if quantised else configuration.signature,
        tolerance=configuration.tolerance,
    )


def _source_file(configuration: Configuration, content: ModelFiles) -> Path:
    """The model as it came, in this checkout: a worker need not share a file system with who asked."""
    name = f"{Path(configuration.model).stem}-file"
    folder, _ = Cache(DEFAULT_OUTPUT_DIR).entry(name, content.sha256, content.write)
    return folder / content.name


def _model_file(configuration: Configuration, content: ModelFiles, own_data: Dataset | None = None) -> Path:
    """The model in the number type that is wanted. int8 is made of a Keras model and its training recordings.

    Own data have no others than those that are inferred.
    """
    source = _source_file(configuration, content)
    if configuration.type != "int8":
        return source
    data = own_data or datasets.load(configuration.dataset, split="train")
    inputs = data.first(min(CALIBRATION_SAMPLES, len(data))).fitted(
        source.name, _imported(source, configuration).inputs
    )

    def make(folder: Path) -> None:
        with temporary_folder() as given:
            np.savez(Path(given) / "inputs.npz", *inputs)
            output = folder / f"{source.stem}.tflite"
            command = [
                sys.executable,
                "-m",
                "springbok.compiler.quantise_worker",
                source,
                Path(given) / "inputs.npz",
                output,
            ]
            done = process.run(command, cwd=KEYWORDS)
            if not output.is_file():
                reason = (done.output.strip().splitlines() or ["no message"])[-1]
                raise SweepError(f"{source.name} can't be quantised: {reason}")

    versions = [importlib.metadata.version(package) for package in ("keras", "tensorflow-cpu", "numpy")]
    parts = [part for array in inputs for part in (array.dtype.str, array.shape, array.tobytes())]
    key = digest(_QUANTISER.read_bytes(), content.sha256, *parts, versions)
    folder, _ = Cache(DEFAULT_OUTPUT_DIR).entry(f"{source.stem}-int8", key, make)
    return folder / f"{source.stem}.tflite"


def _reference(configuration: Configuration, content: ModelFiles, dataset: Dataset) -> Quality:
    """What the framework reaches with the model as it came: the loss is against this."""
    source = _source_file(configuration, content)
    imported = _imported(source, configuration)
    inputs = dataset.fitted(source.name, imported.inputs)
    answers = importers.framework_outputs(source, inputs, Cache(DEFAULT_OUTPUT_DIR), configuration.selection)
    outputs = imported.outputs[0].to_real(answers[0]).reshape(len(dataset), -1)
    return judged(dataset, imported.inputs[0].to_real(inputs[0]).reshape(len(dataset), -1), outputs, outputs)


def _imported(source: Path, configuration: Configuration) -> importers.ImportedModel:
    return importers.import_model(source, Cache(DEFAULT_OUTPUT_DIR), configuration.selection)


def _loss(quality: Quality, reference: Quality) -> dict[str, float]:
    """How much worse the figure of the task is than the reference's; without a task, how far answers are from the
    host's. An answer that is no number has lost everything."""
    figures, expected = quality.figures(), reference.figures()
    if not figures:
        return {"quality_loss": min(quality.max_abs_error, sys.float_info.max)}
    name = next(iter(figures))
    if figures[name] is None or expected[name] is None:
        return {"quality_loss": sys.float_info.max}
    loss = expected[name] - figures[name]
    if abs(loss) <= _ROUNDING * abs(expected[name]):  # which every other order of the same sums makes
        loss = 0.0
    return {LOSSES.get(name, "quality_loss"): round(loss if QUALITY[name][2] == "higher" else -loss, 9) + 0.0}
