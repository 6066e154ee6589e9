# SPDX-License-Identifier: Apache-2.0
"""Measures one model with one version of the compiler: compiles it, runs it on Spike, counts, estimates cycles.

A version is found first in the path, so this runs in a process of its own:
``python -m springbok.exploring.compiler_row job.pickle row.json``, which `measured_apart` starts. The model comes as
the pinned version imported it, so that all versions compile the same; where one can't read that, it imports the model
itself, and the row says so.
"""

from __future__ import annotations

import importlib
import json
import math
import pickle
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from springbok.chips.description import load
from springbok.compiler import finishing, importers, iree, versions
from springbok.compiler.chip_check import ROUNDING
from springbok.compiler.compiled import CompiledModel, Target
from springbok.compiler.compiler import compile_model
from springbok.compiler.importers import ImportedModel
from springbok.compiler.importers.selection import Selection
from springbok.compiler.judgement import Tolerance, judge
from springbok.exploring.workers import tell
from springbok.measuring.derived import stack_accesses, vset_per_vector, whole_register_moves
from springbok.measuring.performance import Performance, summarise
from springbok.session import Session
from springbok.support import process
from springbok.support.cache import Cache
from springbok.support.errors import BenchError
from springbok.support.files import temporary_folder
from springbok.support.places import KEYWORDS
from springbok.timing.account import account
from springbok.timing.description import Timing

TIME_LIMIT_SECONDS = 3600.0
INFERENCE_LIMIT_SECONDS = 1800.0
_EARLY = "The process for this row ended early"
SAMPLES = 2  # that are judged; the second one is counted


@dataclass(frozen=True)
class Job:
    """A model, a version of the compiler, and how the model is compiled. ``timing`` estimates cycles, if there is one.

    ``title`` is the model's in tables, where its file's name does not tell it from the others.
    ``shape``, ``signature``, ``tolerance`` and ``flags`` are as `compile_model` takes them.
    """

    version: str
    model: str
    imported: ImportedModel | None
    optimize: str = "none"
    variant: str = "vector"
    vlen: int = 512
    chip: str | None = None
    flags: tuple[str, ...] = ()
    timing: Timing | None = None
    shape: str | None = None
    signature: str | None = None
    tolerance: str | None = None
    title: str = ""

    @property
    def model_name(self) -> str:
        """The model's in tables."""
        return self.title or Path(self.model).name

    @property
    def name(self) -> str:
        """Such as ``gestures.h5, 3.12.0, optimize=standard``."""
        level = f", optimize={self.optimize}" if self.optimize != "none" else ""
        return f"{self.model_name}, {self.version}{level}"


def measured_apart(job: Job) -> dict[str, Any]:
    """The job's row, made in a process that works with the job's version, which this machine fetches if it must."""
    tell(job.name, "compiling and running")
    with temporary_folder() as folder:
        given, made = Path(folder) / "job.pickle", Path(folder) / "row.json"
        given.write_bytes(pickle.dumps(job))
        command = [sys.executable, "-m", "springbok.exploring.compiler_row", given, made]
        try:
            environment = versions.variables(job.version)
        except BenchError as error:
            return row_of(job, error=str(error))
        done = process.run(command, TIME_LIMIT_SECONDS, KEYWORDS, environment)
        if not made.is_file():
            if done.timed_out:
                return row_of(job, error=f"{_EARLY}: it used {TIME_LIMIT_SECONDS:g} s of processor time")
            last = (done.output.strip().splitlines() or ["no message"])[-1].rstrip(".")
            why = f"it was ended by {signal.Signals(-done.exit_code).name}" if done.exit_code < 0 else last
            return row_of(job, error=f"{_EARLY}: {why}. {_damaged(job.version)}".rstrip())
        return json.loads(made.read_text(encoding="utf-8"))


def _damaged(version: str) -> str:
    """What to do where a compiler's own code crashes or can't be loaded as it starts."""
    folder = versions.place(version)
    return f"If it ends so again, delete {folder}: it is fetched anew then." if folder.is_dir() else ""


def row_of(job: Job, **values: Any) -> dict[str, Any]:
    """A row of the table: what was compiled, how, and what came of it."""
    named = {"version": job.version, "model": job.model_name, "optimize": job.optimize, "variant": job.variant}
    empty = {"error": None, "notes": [], "metrics": {}, "dispatches": [], "transformations": {}}
    return {**named, "vlen": job.vlen, "flags": list(job.flags), **empty, **values}


def measure(job: Job) -> dict[str, Any]:
    """The job's row, with the version that this process works with. What fails is a row with its reason."""
    notes: list[str] = []
    if iree.compiler_version() != job.version:
        return row_of(job, error=f"The compiler here is {iree.compiler_version()}, not {job.version}.")
    with temporary_folder() as folder, iree.tiles_told() as tiles:
        try:
            model, imported = _compiled(job, Path(folder), notes)
        except BenchError as error:
            return row_of(job, error=str(error), notes=notes)
        notes += model.notes
        if finishing.finisher():
            notes.append(_FINISHED)
        sizes = {
            "kernel_text_bytes": model.kernel_text_bytes,
            "kernel_rodata_bytes": model.kernel_rodata_bytes,
            "module_bytes": model.vmfb_bytes,
        }
        places = [(each.transformation, each.applied) for each in model.changes]
        found = row_of(
            job,
            notes=notes,
            metrics=sizes,
            transformations={name: places.count((name, True)) for name in model.plan.transformations},
            dispatches=[_kernel(each.name, each.layers, tiles) for each in model.dispatches],
        )
        try:
            return {**found, **_ran(job, model, imported, found)}
        except BenchError as error:
            return {**found, "error": str(error)}


def _compiled(job: Job, folder: Path, notes: list[str]) -> tuple[CompiledModel, ImportedModel]:
    options = {"target": Target.of(job.variant, job.vlen, load(job.chip)), "extra_flags": job.flags}
    options |= {"optimize": job.optimize, "output_dir": folder, "name": Path(job.model).stem}
    options |= {"shape": job.shape, "signature": job.signature}
    try:
        return compile_model(job.model, imported=job.imported, **options), job.imported
    except BenchError as error:
        if iree.compiler_version() == iree.PINNED_VERSION:
            raise
        refused = error
    notes.append(f"The pinned version's import does not compile: {_first_line(refused)}")
    for given, note in ((_own_import, OWN_IMPORT), (_lowered, LOWERED)):
        try:
            imported = given(job, folder)
            model = compile_model(job.model, imported=imported, **options)
        except BenchError:
            continue
        notes.append(note)
        return model, job.imported
    raise refused


_FINISHED = "The pinned version finished the module: kernels are this version's, the VM's bytecode is not."
OWN_IMPORT = "Imported by this version itself."
LOWERED = "Compiled from the pinned version's phase 'input': its own front end does not take the model."


def _own_import(job: Job, folder: Path) -> ImportedModel:
    return importers.import_model(job.model, Cache(folder), Selection.of(job.shape, job.signature))


def _lowered(job: Job, folder: Path) -> ImportedModel:
    compiler = finishing.finisher()
    if compiler is None:
        raise BenchError("There is no pinned compiler.")
    return lowered(job.imported, compiler, folder)


def lowered(imported: ImportedModel, compiler: Path, folder: Path) -> ImportedModel:
    """The model as the front end of ``compiler`` leaves it: operations that change less from version to version.

    Raises `BenchError` where it does not take the model.
    """
    written = folder / "lowered.mlir"
    command = [compiler, imported.mlir, "--compile-to=input", "--mlir-print-debuginfo", "-o", written]
    done = process.run(command)
    if done.exit_code or not written.is_file():
        raise BenchError(f"The pinned compiler does not lower {imported.mlir.name}.")
    return replace(imported, mlir=written)


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _kernel(name: str, layers: tuple[str, ...], tiles: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    return {"name": name, "layer": " + ".join(layers) or None, "tiles": list(tiles.get(name, ()))}


def _ran(job: Job, model: CompiledModel, imported: ImportedModel, found: Mapping[str, Any]) -> dict[str, Any]:
    """What a run adds to the row."""
    session = Session()
    try:
        session.boot("spike", platform=job.chip, vlen=job.vlen, timing=job.timing)
        session.load_model(model, check=False)
        inputs = [array[:SAMPLES] for array in imported.probe_inputs]
        answers = []
        for sample in zip(*inputs, strict=True):
            session.need_engine().take_counts()
            answers.append(session.infer(*sample, raw=True, timeout=INFERENCE_LIMIT_SECONDS))
        counts, profile = session.need_engine().take_counts(), session.need_link().profile()
        outputs = [np.stack(arrays) for arrays in zip(*answers, strict=True)]
        expected = [array[: len(got)] for array, got in zip(imported.probe_outputs, outputs, strict=True)]
        tolerance = replace(Tolerance.of(job.tolerance), factor=ROUNDING)
        judgement = judge(model.outputs, outputs, expected, tolerance)
        performance = summarise([profile], counts, session.chip.vlen_bits)
    finally:
        session.shut_down()
    cycles = {
        line.ordinal: line.estimate.cycles
        for line in (account(counts, job.timing, job.vlen, load(job.chip).xlen) if job.timing else ())
    }
    ran = {"metrics": {**found["metrics"], **_metrics(performance, cycles)}}
    ran["dispatches"] = [
        {**kernel, **_cost(performance, number, cycles)} for number, kernel in enumerate(found["dispatches"])
    ]
    if not judgement.passed:
        ran["error"] = f"It computes something else than the framework: {judgement.worst}"
    return ran


def _metrics(performance: Performance, cycles: Mapping[int, int]) -> dict[str, Any]:
    parts = [
        {"stack": _stack(each.stack), "opcodes": each.opcodes, "vector_instructions": each.vector_instructions}
        for each in performance.dispatches
    ]
    (instructions,), (vectors,) = performance.instructions, performance.vector_instructions
    whole = {"dispatches": parts, "opcodes": performance.opcodes, "vector_instructions": vectors}
    return {
        "instructions": instructions,
        "kernel_instructions": math.fsum(each.instructions for each in performance.dispatches),
        "vector_instructions": vectors,
        "cycles": sum(cycles.values()) if cycles else None,
        "memory_peak_bytes": performance.memory_peak_bytes,
        "stack_peak_bytes": performance.stack_peak_bytes,
        "stack_accesses": stack_accesses(whole),
        "vset_per_vector": vset_per_vector(whole),
        "whole_register_moves": whole_register_moves(whole),
    }


def _cost(performance: Performance, number: int, cycles: Mapping[int, int]) -> dict[str, Any]:
    """Nothing for a kernel that did not run."""
    for each in performance.dispatches:
        if each.ordinal == number:
            return {
                "calls": each.calls,
                "instructions": each.instructions,
                "vector_instructions": each.vector_instructions,
                "cycles": cycles.get(number),
                "stack": _stack(each.stack),
                "opcodes": each.opcodes,
            }
    return {}


def _stack(stack: tuple[float, float] | None) -> dict[str, float] | None:
    return {"loads": stack[0], "stores": stack[1]} if stack else None


def main(job_file: str, row_file: str) -> int:
    """Does the job of ``job_file`` and writes its row."""
    job = pickle.loads(Path(job_file).read_bytes())  # written by `measured_apart`
    Path(row_file).write_text(json.dumps(measure(job)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    # As a program this module exists twice; the job is of the other one.
    sys.exit(importlib.import_module("springbok.exploring.compiler_row").main(*sys.argv[1:]))
