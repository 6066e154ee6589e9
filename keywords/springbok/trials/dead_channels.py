# SPDX-License-Identifier: Apache-2.0
"""What dead channels cost: ``./bench trial dead-channels [NAME…]`` (./bench trial dead-channels).

Trained networks have dead channels, those of models/ with made-up weights have none. So models/dead_channels.py makes
each network again with some, and both are compiled without recorded flags and counted on Spike. The network with dead
channels must answer as stock IREE's module does, and need at most `MOST_MORE` more instructions than the one without.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from springbok.compiler.compiled import Target
from springbok.compiler.compiler import compile_model
from springbok.compiler.optimizer import Plan, plan_for
from springbok.exploring.search import answer_of, made_up_inputs
from springbok.session import Session
from springbok.support import process
from springbok.support.errors import BenchError, CompileError
from springbok.support.files import temporary_folder
from springbok.support.places import MODELS
from springbok.trials.equality import Bench, differ_by, equality_inputs

NAMES = ("mobilenet_vww", "ds_cnn", "gestures")
#: Share of instructions that dead channels may cost.
MOST_MORE = 0.1
SAMPLES = 64


@dataclass(frozen=True)
class Row:
    """Instructions of a warm inference without and with dead channels; the largest difference from stock IREE."""

    name: str
    without: int
    with_dead: int
    differ_by: float

    @property
    def more(self) -> float:
        """The share that dead channels cost."""
        return self.with_dead / self.without - 1

    @property
    def is_good(self) -> bool:
        """Whether they cost little, and change no answer."""
        return self.with_dead <= self.without * (1 + MOST_MORE) and self.differ_by == 0

    def describe(self) -> str:
        """A line of the table."""
        found = f"{self.name:20} {self.without:>12,} {self.with_dead:>12,} {self.more:>+8.1%} {self.differ_by:>6g}"
        return f"{found}  {'good' if self.is_good else 'BAD'}"


def make(name: str, output: Path) -> None:
    """Writes the network ``name`` with dead channels to the .tflite file ``output``. Raises :class:`CompileError`."""
    paths = {"PYTHONPATH": f"{MODELS.parent / 'keywords'}:{MODELS}"}
    done = process.run([sys.executable, MODELS / "dead_channels.py", name, output], environment=paths)
    if done.exit_code:
        raise CompileError(f"models/dead_channels.py can't make {name}: {done.output.strip()[-500:]}")


def compare(name: str, target: Target, samples: int = SAMPLES) -> Row:
    """Makes, compiles and counts the network ``name`` without and with dead channels."""
    plan = plan_for("standard", vectors=True, vlen=target.vlen)
    session = Session()
    with temporary_folder() as folder:
        dead = Path(folder) / f"{name}_dead_int8.tflite"
        make(name, dead)
        try:
            session.boot("spike", vlen=target.vlen, count_opcodes=False)
            counts = [_instructions(session, file, target, plan) for file in (MODELS / f"{name}_int8.tflite", dead)]
        finally:
            session.shut_down()
        with Bench(samples) as bench:
            stock = compile_model(dead, target, optimize=plan)
            inputs = equality_inputs(stock.inputs, samples)
            answers = [bench.on_host(stock, each, inputs) for each in (plan, Plan("none"))]
    return Row(name, *counts, differ_by(*answers))


def _instructions(session: Session, file: Path, target: Target, plan: Plan) -> int:
    model = compile_model(file, target, optimize=plan)
    session.load_model(model)
    inputs = made_up_inputs(model.inputs, 1)
    for _ in range(2):  # the second is warm
        answer_of(session, inputs, 0)
    return session.need_link().profile().inference_instructions


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line a network; the exit status is 1 when dead channels cost more, or change an answer."""
    parser = argparse.ArgumentParser(prog="./bench trial dead-channels", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME", help="networks of models/networks.py")
    parser.add_argument("--vlen", type=int, default=512, metavar="N", help="bits (default: 512)")
    options = parser.parse_args(arguments)
    good = True
    sys.stdout.write(f"{'network':20} {'instructions':>12} {'with dead':>12} {'more':>8} {'differ':>6}\n")
    try:
        for name in options.names:
            row = compare(name, Target.of("vector", options.vlen))
            good &= row.is_good
            sys.stdout.write(f"{row.describe()}\n")
            sys.stdout.flush()
    except BenchError as error:
        sys.stderr.write(f"dead channels: {error}\n")
        return 2
    return 0 if good else 1
