# SPDX-License-Identifier: Apache-2.0
"""What counting costs: the time of an inference with counts, of the same without: ``./bench trial counting``.

The simulator counts executions by instruction, place and vector configuration in a helper in C++ where there is a
compiler, else in Python: the trial times both, and holds their counts against each other. The model is stock IREE's
DS-CNN in int8 with vectors. Times are the simulator's processor time, and the least of some inferences counts: other
programs only ever slow one down.
"""

from __future__ import annotations

import argparse
import sys

from springbok.compiler.compiled import CompiledModel
from springbok.compiler.compiler import compile_model
from springbok.engines import spike_native
from springbok.engines.base import Counts
from springbok.session import Session
from springbok.support.errors import BenchError
from springbok.support.places import model_file
from springbok.tensors import probe_inputs

MODEL = "ds_cnn_int8.tflite"
TURNS, MOST_RATIO = 5, 1.5
TIMEOUT_SECONDS = 600
WITHOUT, NATIVE, PYTHON = "without counts", "counts in C++", "counts in Python"
OPTIONS = {
    WITHOUT: {"count_opcodes": False},
    NATIVE: {"count_opcodes": True},
    PYTHON: {"count_opcodes": True, "native": False},
}


def main(arguments: list[str] | None = None) -> int:
    """Measure and print; the exit status is 1 when counting costs more than it may or two ways differ."""
    parser = argparse.ArgumentParser(prog="./bench trial counting", description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=MODEL, help=f"a file, also of models/ (default {MODEL})")
    parser.add_argument("--turns", type=int, default=TURNS, help=f"inferences of each (default {TURNS})")
    options = parser.parse_args(arguments)
    missing = spike_native.what_is_missing()
    if missing:
        sys.stderr.write(f"springbok-bench: {missing}\n")
        return 2
    try:
        model = compile_model(model_file(options.model), optimize="none")
        figures = {name: measure(model, options.turns, **chosen) for name, chosen in OPTIONS.items()}
    except BenchError as error:
        sys.stderr.write(f"springbok-bench: {error}\n")
        return 2
    least = figures[WITHOUT][0]
    for name, (seconds, counts) in figures.items():
        executed = f"{counts.inferences[0].instructions:,} instructions" if counts else ""
        sys.stdout.write(f"{name:<17} {1000 * seconds:9.1f} ms  ratio {seconds / least:5.2f}  {executed}\n")
    same = figures[NATIVE][1] == figures[PYTHON][1]
    sys.stdout.write(f"both ways count {'the same' if same else 'differently'}; at most {MOST_RATIO} is allowed\n")
    return 0 if same and figures[NATIVE][0] <= MOST_RATIO * least else 1


def measure(model: CompiledModel, turns: int, **options: object) -> tuple[float, Counts | None]:
    """Seconds of the fastest inference, and the counts of one."""
    inputs = [samples[0] for samples in probe_inputs(model.inputs, samples=1)]
    session = Session()
    engine = session.boot("spike", **options)
    try:
        session.load_model(model)
        engine.take_counts()
        times = []
        for _ in range(turns):
            started = engine.processor_seconds()
            session.infer(*inputs, timeout=TIMEOUT_SECONDS, raw=True)
            times.append(engine.processor_seconds() - started)
            counts = engine.take_counts()
        return min(times), counts
    finally:
        session.shut_down()
