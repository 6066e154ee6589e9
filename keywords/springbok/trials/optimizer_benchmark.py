# SPDX-License-Identifier: Apache-2.0
"""What the optimizer brings: ``./bench trial optimizer [--samples N] [MODEL…]``.

Each model of models/ is compiled for a chip with VLEN 512 at every level: as IREE does it by itself (``none``), with
the default or recorded flags (``standard``), and with flags chosen by count (``search``). The outputs of all must be
equal: 8-bit ones to the bit, floating point within 1e-6, on inputs of which the first ones are the extremes. Printed is
what one warm inference costs on Spike, runtime included, and the processor's seconds for the compilation, search
excluded, also as a multiple of stock IREE's. ``--transformations`` adds what each transformation brings, by layer.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from springbok.compiler import optimizer
from springbok.compiler.compiled import CompiledModel, Target
from springbok.compiler.compiler import compile_model
from springbok.compiler.optimizer import LEVELS
from springbok.exploring import breakdown
from springbok.exploring.search import (
    NAMES,
    SAMPLES,
    answer_of,
    answers_of,
    difference,
    made_up_inputs,
    search,
)
from springbok.session import Session
from springbok.support.errors import BenchError
from springbok.support.files import temporary_folder
from springbok.support.places import model_file

__all__ = ["compare", "made_up_inputs", "main"]

TARGET = Target.of("vector", 512)
TIME_LIMIT_RATIO = 3.0


@dataclass(frozen=True)
class Row:
    """A model at one level: what its inference costs. ``wrong`` is what is not as stock IREE computes it.

    ``memory_bytes`` is the arena's peak, module included, and the stack's. ``module_bytes`` is the module with its
    constants, of which ``code_bytes`` are code; ``compile_seconds`` is the processor's time without any cache, which
    other work on this machine does not lengthen.
    """

    flag_set: str
    instructions: int
    memory_bytes: int
    module_bytes: int
    code_bytes: int
    vector_share: float
    lane_utilisation: float | None
    compile_seconds: float
    wrong: str


def compare(session: Session, file: Path, samples: int) -> dict[str, Row]:
    """Returns what the model costs at each level, stock IREE first."""
    rows: dict[str, Row] = {}
    wanted: list[list[np.ndarray]] = []
    for level in LEVELS:
        model = compile_model(file, TARGET, optimize=level, choose=search)
        same = next((row for row in rows.values() if row.flag_set == model.plan.flag_set), None)
        if same:
            rows[level] = same
            continue
        seconds = _compile_seconds(model)
        session.reset()  # the stack's peak is since the start
        answers = answers_of(session, model, samples)
        wanted = wanted or answers
        rows[level] = _row(session, model, seconds, difference(answers, wanted))
    return rows


def _row(session: Session, model: CompiledModel, seconds: float, wrong: str) -> Row:
    session.engine.take_counts()
    answer_of(session, made_up_inputs(model.inputs, SAMPLES), SAMPLES - 1)  # the one that a search counts
    counts = session.engine.take_counts()
    profile = session.need_link().profile()
    (inference,) = counts.inferences
    return Row(
        model.plan.flag_set,
        profile.inference_instructions,
        profile.memory_peak_bytes + profile.stack_peak_bytes,
        model.vmfb_bytes,
        model.kernel_text_bytes,
        inference.vector_instructions / inference.instructions,
        counts.lanes.utilisation,
        seconds,
        wrong,
    )


def _compile_seconds(model: CompiledModel) -> float:
    with temporary_folder() as folder:
        started = _processor_seconds()
        optimizer.compile_module(model.mlir, model.flags, model.plan, Path(folder) / "model.vmfb", model.name)
        return _processor_seconds() - started


def _processor_seconds() -> float:
    """Of this process and those that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


_LINE = "{:24} {:9} {:12} {:>12} {:>6} {:>9} {:>9} {:>9} {:>8} {:>7} {:>7} {:>7}  {}\n"
_HEADER = (
    *("model", "optimize", "flags", "instructions", "ratio", "memory", "module", "code", "vectors", "lanes"),
    *("seconds", "ratio", "wrong"),
)


def _lines(name: str, rows: dict[str, Row]) -> str:
    stock = rows["none"]
    return "".join(
        _LINE.format(
            name if level == "none" else "",
            level,
            row.flag_set or "-",
            f"{row.instructions:,}",
            f"{row.instructions / stock.instructions:.3f}",
            f"{row.memory_bytes:,}",
            f"{row.module_bytes:,}",
            f"{row.code_bytes:,}",
            f"{row.vector_share:.1%}",
            "-" if row.lane_utilisation is None else f"{row.lane_utilisation:.1%}",
            f"{row.compile_seconds:.1f}",
            f"{row.compile_seconds / stock.compile_seconds:.2f}",
            row.wrong,
        )
        for level, row in rows.items()
    )


def problems(name: str, rows: dict[str, Row]) -> list[str]:
    """What a model must not have: other answers, more instructions or memory than stock IREE, or a long compilation."""
    stock, found = rows["none"], []
    for level, row in rows.items():
        where = f"{name}, optimize={level}"
        found += [f"{where}: {row.wrong}"] if row.wrong else []
        for what, one, limit in (
            ("instructions", row.instructions, stock.instructions),
            ("bytes of memory", row.memory_bytes, stock.memory_bytes),
        ):
            found += [f"{where}: {one:,} {what}, stock IREE needs {limit:,}"] if one > limit else []
        ratio = row.compile_seconds / stock.compile_seconds
        found += [f"{where}: compilation takes {ratio:.2f} times stock IREE's"] if ratio > TIME_LIMIT_RATIO else []
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; the exit status is 1 when a model has one of `problems`."""
    parser = argparse.ArgumentParser(prog="./bench trial optimizer", description=__doc__.splitlines()[0])
    parser.add_argument(
        "models", nargs="*", default=NAMES, metavar="MODEL", help=f"files, also of models/ (default: {len(NAMES)})"
    )
    parser.add_argument("--samples", type=int, default=4, help="inputs on which outputs must be equal (default: 4)")
    parser.add_argument("--transformations", action="store_true", help="what each transformation brings, by layer")
    options = parser.parse_args(arguments)
    session, wrong = Session(), []
    sys.stdout.write(_LINE.format(*_HEADER))
    try:
        session.boot("spike", vlen=TARGET.vlen)
        for name in options.models:
            rows = compare(session, model_file(name), options.samples)
            wrong += problems(name, rows)
            sys.stdout.write(_lines(name, rows))
            if options.transformations:
                sys.stdout.write(breakdown.describe(breakdown.measure(compile_model(model_file(name), TARGET))))
            sys.stdout.flush()
    except BenchError as error:
        sys.stderr.write(f"optimizer benchmark: {error}\n")
        return 2
    finally:
        session.shut_down()
    sys.stdout.write("".join(f"WRONG: {each}\n" for each in wrong))
    return 1 if wrong else 0
