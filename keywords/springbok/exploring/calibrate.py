# SPDX-License-Identifier: Apache-2.0
"""Measures microbenchmarks and models on a core's RTL, and fits a description of its pipeline to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from springbok.chips.chip import Chip
from springbok.compiler.compiled import CompiledModel, Target
from springbok.compiler.compiler import compile_and_check
from springbok.engines.base import RUNTIME_SITES, Counts
from springbok.exploring.bare_metal import count
from springbok.exploring.search import search
from springbok.rtl.program import elf_of
from springbok.session import Session
from springbok.support.errors import BenchError
from springbok.support.files import temporary_folder, write_in_one_step
from springbok.timing.calibration import Measurement, fit, mean_error, model_errors
from springbok.timing.description import Calibration, Timing
from springbok.timing.microbenchmarks import microbenchmarks, program
from springbok.timing.operands import Unit


def measure_microbenchmarks(chip: Chip, engine: str, vlen: int) -> list[Measurement]:
    """Each with the cycles that the engine's core takes for it."""
    benchmarks = microbenchmarks(chip)
    with temporary_folder() as folder:
        elf = write_in_one_step(folder / "microbenchmarks.elf", elf_of(program(chip, benchmarks), chip.start))
        counts = count(elf, chip, engine, vlen=vlen)
    return _measurements(counts, {number: each.name for number, each in enumerate(benchmarks)}, chip.xlen)


def measure_model(path: str, target: Target, engine: str, vlen: int) -> list[Measurement]:
    """The kernels of a warm inference of zeros, and the runtime, with the cycles that the core takes for them."""
    model = compile_and_check(path, target, choose=search)
    counts = inference(model, engine, vlen)
    names = {ordinal: f"{model.name}: {each.name}" for ordinal, each in enumerate(model.dispatches)}
    (whole,) = counts.inferences
    kernels = _measurements(counts, names, target.chip.xlen)
    rest = whole.cycles - sum(each.cycles for each in kernels)
    runtime = Measurement(f"{model.name}: runtime", counts.sites[RUNTIME_SITES], rest, target.chip.xlen)
    return [*kernels, runtime]


def inference(model: CompiledModel, engine: str, vlen: int, timing: Timing | None = None) -> Counts:
    """The counts, with sites, of a second inference, when everything is as in all that follow; inputs are zeros.

    With ``timing`` the sites tell which of its regions they reached.
    """
    session = Session()
    try:
        session.boot(engine, vlen=vlen, timing=timing, count_sites=True)
        session.load_model(model)
        inputs = [np.zeros(spec.shape, spec.dtype) for spec in model.inputs]
        for _ in range(2):
            session.need_engine().take_counts()
            session.infer(*inputs, raw=True)
        return session.need_engine().take_counts()
    finally:
        session.shut_down()


def calibrate(
    timing: Timing,
    chip: Chip,
    target: Target,
    measured_on: str,
    models: Sequence[str],
    vlen: int,
    tell: Callable[[str], None],
    engine: str = "rtl",
    seed: int | None = None,
) -> tuple[Timing, list[Measurement]]:
    """The description fitted to microbenchmarks, with what it is off by for ``models``, and all that was measured.

    ``seed`` is that of the stalls and interrupts which the engine tries the core with, if it does.
    """
    if timing.regions:
        raise BenchError(f"{timing.name} has regions: calibrate the core's own pipeline, without them.")
    benchmarks = measure_microbenchmarks(chip, engine, vlen)
    tell(f"{len(benchmarks)} microbenchmarks measured; {_off(mean_error(timing, benchmarks, vlen))} before")
    fitted = fit(timing, benchmarks, vlen)
    error = mean_error(fitted, benchmarks, vlen)
    tell(f"{_off(error)} after the fit")
    measured, errors, names = [*benchmarks], [], []
    for path in models:
        kernels = measure_model(path, target, engine, vlen)
        errors.append(model_errors(fitted, kernels, vlen))
        names.append(Path(path).stem)
        tell(f"{names[-1]}: {_off(errors[-1][0])}, its kernels at most {_off(errors[-1][1])}")
        measured += kernels
    known = Calibration(
        measured_on,
        len(benchmarks),
        round(error, 4),
        tuple(names),
        *((round(max(each), 4) for each in zip(*errors, strict=True)) if errors else (None, None)),
        tuple(unit.value for unit in Unit if any(unit in each.units(vlen) for each in benchmarks)),
        seed,
        fitted.sha256,
    )
    vlens = (vlen,) if vlen else ()
    return replace(fitted, is_assumed=False, vlens=vlens, calibration=known), measured


def _measurements(counts: Counts, names: dict[int, str], xlen: int) -> list[Measurement]:
    if any(each.cycles is None for each in counts.dispatches.values()):
        raise BenchError("This engine has no core that counts cycles: calibrate on RTL, --core FOLDER.")
    return [
        Measurement(names[ordinal], counts.sites[ordinal], each.cycles, xlen)
        for ordinal, each in counts.dispatches.items()
    ]


def _off(error: float) -> str:
    return f"{100 * error:.1f} % off"
