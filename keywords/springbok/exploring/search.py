# SPDX-License-Identifier: Apache-2.0
"""Chooses the flags of a model by counting: ``./bench trial search [--record] [MODEL…]``.

Flags that make one model faster make another one slower, and no rule was found that tells which. So a model is compiled
with each of `FLAG_SETS` and run on Spike. Its outputs must equal those of stock IREE, integers to the bit and floating
point within 1e-6, on inputs of which the first are the extremes; it must not need more memory than stock IREE or the
set `DEFAULT_FLAG_SET`. Of what is left, the fewest instructions of one warm inference win, runtime included. Inputs and
order are always the same, and the simulator is exact, so a search that was not cut short gives the same choice always.
With ``--timing`` the fewest cycles win in place of instructions, by that description of the core's pipeline.

``--record`` writes the choices to ``models/choices.json``, from which the level ``standard`` takes them. None that
needs more memory takes the place of an earlier one.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np

from springbok.chips.chip import DEFAULT
from springbok.chips.description import load
from springbok.compiler import compiler, importers, iree, optimizer
from springbok.compiler.compiled import CompiledModel, Target
from springbok.compiler.compiler import compile_model
from springbok.compiler.importers.selection import WHOLE_FILE, Selection
from springbok.compiler.judgement import difference_of
from springbok.compiler.optimizer import choices
from springbok.compiler.optimizer.choices import Candidate, Choice
from springbok.firmware import build_firmware
from springbok.measuring.cycles import estimated_cycles
from springbok.modules.vmfb import read_vmfb
from springbok.session import Session
from springbok.support.cache import Cache, digest
from springbok.support.errors import BenchError
from springbok.support.places import model_file
from springbok.tensors import TensorSpec, probe_inputs
from springbok.timing.description import Timing
from springbok.timing.loading import timing_of

#: The models of robot/models.robot: those that are measured when none is named.
NAMES = (
    *("gestures.h5", "gru.keras", "conv1d", "conv1d.tflite", "digits.onnx", "digits_jax.mlirbc", "conv1d_int8.mlirbc"),
    *("gestures_int8.tflite", "magic_wand.h5", "magic_wand_int8.tflite", "gru_int8.tflite", "ds_cnn.keras"),
    *("ds_cnn_int8.tflite", "resnet8.keras", "resnet8_int8.tflite", "autoencoder.keras", "autoencoder_int8.tflite"),
    *("mobilenet_vww.keras", "mobilenet_vww_int8.tflite"),
)
BUDGET_SECONDS = 600.0
SAMPLES = 4
FLOAT_TOLERANCE = 1e-6
#: Stock IREE needs a hundred million instructions for a model that the optimizer brings to four.
INFERENCE_LIMIT_SECONDS = 600.0


class _OutOfTime(Exception):
    """Carries what a search had counted when it was cut short: it must not be kept."""

    def __init__(self, stock: Candidate, found: Sequence[Candidate]) -> None:
        super().__init__(stock, found)
        self.stock, self.found = stock, found


def search(
    path: str | Path,
    target: Target,
    *,
    extra_flags: Sequence[str] = (),
    budget: float = BUDGET_SECONDS,
    output_dir: str | Path | None = None,
    use_cache: bool = True,
    selection: Selection = WHOLE_FILE,
    timing: Timing | None = None,
) -> Choice:
    """The best set of flags for the model file ``path`` on ``target``, measured, or from an earlier search.

    After ``budget`` seconds no other candidate is begun: those that are left are named in the choice, which is not
    kept. At least the default is measured. Raises :class:`CompileError` when stock IREE can't compile the model, or no
    candidate can be taken. With ``timing`` the fewest estimated cycles win, in place of instructions. Without
    ``use_cache`` the candidates are counted anew; neither the import of the model nor their modules are made again.
    """
    cache = Cache(Path(output_dir) if output_dir is not None else compiler.DEFAULT_OUTPUT_DIR, use_cache)
    imported = importers.import_model(path, Cache(cache.folder), selection)

    def make(folder: Path) -> None:
        stock, *found = _measured(Path(path), target, extra_flags, budget, output_dir, selection, timing)
        if any(each.outcome == choices.NOT_TRIED for each in found):
            raise _OutOfTime(stock, found)
        content = [each.as_json() for each in (stock, *found)]
        (folder / "counts.json").write_text(json.dumps(content), encoding="utf-8")

    parts = (target, tuple(extra_flags), tuple(optimizer.flag_sets(target.vectors).items()), optimizer.VERSION, SAMPLES)
    parts += (timing.sha256,) if timing else ()
    key = digest(imported.mlir.read_bytes(), *parts, iree.compiler_version(), build_firmware(chip=target.chip).sha256)
    try:
        folder, _ = cache.entry(f"{Path(path).stem}-search", key, make)
    except _OutOfTime as cut_short:
        left = [each.flag_set for each in cut_short.found if each.outcome == choices.NOT_TRIED]
        note = f"the budget of {budget:g} s ran out before {', '.join(left)}"
        return _choice(target, cut_short.stock, cut_short.found, choices.INCOMPLETE, note)
    content = json.loads((folder / "counts.json").read_text(encoding="utf-8"))
    stock, *found = (Candidate(**each) for each in content)
    return _choice(target, stock, found, choices.SEARCHED)


def _choice(target: Target, stock: Candidate, found: Sequence[Candidate], origin: str, note: str = "") -> Choice:
    winner, judged = choices.best(found, stock, next(iter(optimizer.flag_sets(target.vectors))))
    return Choice(winner.flag_set, origin, judged, stock, note)


def made_up_inputs(specs: Sequence[TensorSpec], samples: int) -> list[np.ndarray]:
    """Inputs that are the same on every run; the first two are the smallest and the largest values all over."""
    arrays = probe_inputs(specs, samples)
    for array in arrays:
        whole = np.issubdtype(array.dtype, np.integer)
        extremes = (np.iinfo(array.dtype).min, np.iinfo(array.dtype).max) if whole else (array.min(), array.max())
        for number, value in zip(range(samples), extremes, strict=False):
            array[number] = value
    return arrays


def answers_of(session: Session, model: CompiledModel, samples: int) -> list[list[np.ndarray]]:
    """Loads the model on the session's chip; its outputs for :func:`made_up_inputs`, one list a sample."""
    session.load_model(model)
    inputs = made_up_inputs(model.inputs, samples)
    return [answer_of(session, inputs, number) for number in range(samples)]


def answer_of(session: Session, inputs: Sequence[np.ndarray], number: int) -> list[np.ndarray]:
    """The loaded model's outputs for one sample of ``inputs``."""
    return session.infer(*(array[number] for array in inputs), raw=True, timeout=INFERENCE_LIMIT_SECONDS)


def difference(answers: Sequence[Sequence[np.ndarray]], wanted: Sequence[Sequence[np.ndarray]]) -> str:
    """What is wrong with ``answers``, in a few words; empty when they are what is ``wanted``."""
    for sample, (given, expected) in enumerate(zip(answers, wanted, strict=True)):
        for one, other in zip(given, expected, strict=True):
            worst = float(difference_of(one, other).max(initial=0))
            allowed = 0 if np.issubdtype(other.dtype, np.integer) else FLOAT_TOLERANCE
            if worst > allowed:
                return f"differs from stock IREE by {worst:.3g} in sample {sample} (allowed is {allowed:g})"
    return ""


def _measured(
    path: Path,
    target: Target,
    extra_flags: Sequence[str],
    budget: float,
    output_dir: str | Path | None,
    selection: Selection,
    timing: Timing | None = None,
) -> Iterator[Candidate]:
    """Stock IREE, and every candidate in the order of its flag sets; while one runs, others are compiled."""
    limit = time.monotonic() + budget
    options = {"extra_flags": extra_flags, "output_dir": output_dir}
    options |= {"shape": dict(selection.shapes), "signature": selection.signature}

    def compiled(flag_set: str) -> CompiledModel:
        plan = optimizer.plan_for("search", vectors=target.vectors, vlen=target.vlen, flag_set=flag_set)
        return compile_model(path, target, optimize=plan, **options)

    stock = compile_model(path, target, optimize="none", **options)
    session = Session()
    pool = ThreadPoolExecutor(os.cpu_count() or 1)
    try:
        platform = target.chip.source
        session.boot("spike", platform=platform, vlen=target.vlen, timing=timing, count_opcodes=timing is not None)
        waiting = {name: pool.submit(compiled, name) for name in optimizer.flag_sets(target.vectors)}
        wanted = answers_of(session, stock, SAMPLES)
        yield _cost(session, "", "")
        for number, (name, model) in enumerate(waiting.items()):
            if number and time.monotonic() > limit:
                yield Candidate(name, outcome=choices.NOT_TRIED)
            else:
                yield _candidate(session, name, model, wanted)
    finally:
        pool.shutdown(cancel_futures=True)
        session.shut_down()


def _candidate(
    session: Session, name: str, waiting: Future[CompiledModel], wanted: Sequence[Sequence[np.ndarray]]
) -> Candidate:
    try:
        model = waiting.result()
        session.reset()  # the stack's peak is since the start
        wrong = difference(answers_of(session, model, SAMPLES), wanted)
        return _cost(session, name, wrong)
    except BenchError as error:
        return Candidate(name, outcome=str(error).partition("\n")[0])


def _cost(session: Session, name: str, outcome: str) -> Candidate:
    profile = session.need_link().profile()
    memory = profile.memory_peak_bytes + profile.stack_peak_bytes
    return Candidate(name, profile.inference_instructions, memory, outcome, _cycles(session))


def _cycles(session: Session) -> int | None:
    """Estimated for one more inference of the last sample, if the session has a timing."""
    if session.timing is None:
        return None
    inputs = made_up_inputs(session.need_model().inputs, SAMPLES)
    session.need_engine().take_counts()
    answer_of(session, inputs, SAMPLES - 1)
    counts = session.need_engine().take_counts()
    return estimated_cycles(counts, session.timing, session.chip.vlen_bits, session.description).whole()[
        "estimated_cycles"
    ]


# ---- The command


def table(choice: Choice) -> str:
    """The candidates as lines of text, the chosen one marked."""
    lines = []
    for each in (replace(choice.stock, flag_set="(stock IREE)"), *choice.candidates):
        counts = [f"{value:,}" if value is not None else "-" for value in (each.instructions, each.memory_bytes)]
        counts += [f"{each.estimated_cycles:,}"] if each.estimated_cycles is not None else []
        mark = "*" if each.flag_set == choice.flag_set else " "
        cells = " ".join(f"{cell:>{width}}" for cell, width in zip(counts, (14, 11, 14), strict=False))
        lines.append(f"  {mark} {each.flag_set:20} {cells}  {each.outcome}".rstrip())
    return "\n".join(lines)


def no_larger(choice: Choice, before: str) -> Choice:
    """The choice among what needs no more memory than the set of flags ``before``, if that can be taken today."""
    earlier = next((each for each in choice.candidates if each.flag_set == before and not each.outcome), None)
    if earlier is None:
        return choice
    limit = replace(choice.stock, memory_bytes=min(choice.stock.memory_bytes, earlier.memory_bytes))
    winner, judged = choices.best(choice.candidates, limit, before)
    return replace(choice, flag_set=winner.flag_set, candidates=judged)


def _recorded_before(file: Path, target: Target) -> str:
    """The set of flags that is recorded for a model file, or the default one's name."""
    return choices.recorded(
        importers.import_model(file, Cache(compiler.DEFAULT_OUTPUT_DIR)).source_sha256,
        vlen=_entry_vlen(target),
        compiler=iree.compiler_version(),
        known=tuple(optimizer.flag_sets(target.vectors)),
    ).flag_set


def _entry_vlen(target: Target) -> int:
    return target.vlen if target.vectors else choices.NO_VECTORS


def _record(choice: Choice, file: Path, target: Target) -> None:
    plan = optimizer.plan_for("standard", vectors=target.vectors, vlen=target.vlen, choice=choice)
    model = compile_model(file, target, optimize=plan)
    choices.record(
        choice,
        name=file.name,
        source_sha256=model.source_sha256,
        vlen=_entry_vlen(target),
        compiler=model.compiler_version,
        kernels_sha256=read_vmfb(model.vmfb.read_bytes(), file.name).kernels_sha256,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Search for each model and VLEN and print its candidates; 1 when a search was cut short."""
    parser = argparse.ArgumentParser(prog="./bench trial search", description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"files, also of models/ (default: {len(NAMES)})")
    parser.add_argument("--variant", choices=("vector", "scalar"), default="vector", help="kind of code")
    parser.add_argument("--vlen", type=int, nargs="+", metavar="N", help="bits (default: as the chip is built)")
    parser.add_argument("--platform", metavar="CHIP", help=f"name or file of the chip (default: {DEFAULT})")
    parser.add_argument("--budget", type=float, default=BUDGET_SECONDS, metavar="SECONDS", help="for each search")
    parser.add_argument("--timing", metavar="TIMING", help="choose by cycles, estimated by this timing (or chip)")
    parser.add_argument("--record", action="store_true", help=f"write the choices to models/{choices.FILE.name}")
    options = parser.parse_args(arguments)
    files = [model_file(model) for model in options.models or NAMES]
    whole = True
    if options.record and options.platform not in (None, DEFAULT):
        parser.error(f"--record keeps what is counted on {DEFAULT} alone: leave --platform out")
    if options.record and options.timing:
        parser.error("--record keeps what is chosen by instructions: leave --timing out")
    cycles = f" {'cycles':>14}" if options.timing else ""
    sys.stdout.write("    {:20} {:>14} {:>11}{}\n".format("flags", "instructions", "memory", cycles))
    try:
        chip = load(options.platform)
        vlens, timing = options.vlen or [chip.vlen], None
        for vlen in vlens if options.timing else ():
            timing = timing_of(options.timing, chip, vlen)
        if timing:
            sys.stdout.write(f"cycles estimated by {timing.name}: {timing.title} ({timing.standing})\n")
        for file, vlen in ((file, vlen) for file in files for vlen in vlens):
            target = Target.of(options.variant, vlen, chip)
            choice = search(file, target, budget=options.budget, timing=timing)
            if options.record:
                choice = no_larger(choice, _recorded_before(file, target))
            what = f"VLEN {vlen}" if target.vectors else "no vectors"
            sys.stdout.write(f"{file.name}, {what}: '{choice.flag_set}', {choice.describe()}\n{table(choice)}\n")
            sys.stdout.flush()
            if choice.origin == choices.INCOMPLETE:
                whole = False
            elif options.record:
                _record(choice, file, target)
    except BenchError as error:
        sys.stderr.write(f"optimizer search: {error}\n")
        return 2
    return 0 if whole else 1
