# SPDX-License-Identifier: Apache-2.0
"""The overhead benchmark: what the firmware's runtime costs beside the models' own kernels.

``./bench trial overhead`` compiles eight models of models/, runs each once on Spike (VLEN 512) and
prints what the runtime executed outside the kernels and when it loaded the model, beside the figures of IREE's own
runtime and the bound that is kept. The chip's answers are compared with the framework's.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from springbok.compiler.compiled import Target
from springbok.compiler.compiler import compile_model, framework_outputs
from springbok.measuring.performance import summarise
from springbok.session import Session
from springbok.support.errors import BenchError, ModelError
from springbok.support.places import MODELS
from springbok.tensors import probe_inputs
from springbok.trials.conformance import difference, tolerance

#: IREE's C runtime of August 2026, built bare-metal for rv32imf and run on Spike with VLEN 512: instructions of one
#: inference outside the kernels (-O3, LTO, trimmed, no verifier), and the peak of its heap in bytes (-Os build), which
#: does not hold the module's file. Measured with these architectures; weights and compiler version differ.
UPSTREAM_SOURCE = "IREE's C runtime, main of August 2026, measured by this project on the same simulator"
LOAD_LIMIT = 100_000


@dataclass(frozen=True)
class Benchmark:
    """A model of the table. ``upstream`` and ``upstream_memory`` are IREE's own figures, None: not measured."""

    network: str
    dtype: str
    upstream: int
    upstream_memory: int | None = None
    limit: int | None = None

    @property
    def name(self) -> str:
        """Such as ``magic_wand_f32``."""
        return f"{self.network}_{self.dtype}"

    @property
    def file(self) -> Path:
        """The model's file, or the folder of a SavedModel."""
        names = [f"{self.network}_int8.tflite"]
        if self.dtype == "f32":
            names = [f"{self.network}{suffix}" for suffix in (".h5", ".keras", "")]
        return next((MODELS / name for name in names if (MODELS / name).exists()), MODELS / names[0])

    @property
    def bound(self) -> int:
        """Instructions outside the kernels that are allowed: a sixth of upstream's, or less if that was promised."""
        return min(self.limit or self.upstream, self.upstream // 6)


BENCHMARKS = (
    # The network that was measured did not scale its inputs: 1,536 bytes for the scaled ones come on top.
    Benchmark("magic_wand", "f32", 50_653, 55_388 + 1_536, limit=8_000),
    Benchmark("magic_wand", "i8", 69_736),
    Benchmark("ds_cnn", "f32", 198_190, 257_228),
    Benchmark("ds_cnn", "i8", 157_125),
    Benchmark("resnet8", "f32", 319_190, 658_416),
    Benchmark("resnet8", "i8", 190_659),
    Benchmark("conv1d", "f32", 40_590),
    Benchmark("autoencoder", "f32", 52_892),
)


@dataclass(frozen=True)
class Overhead:
    """What was measured: instructions of one inference and of the load, and bytes of memory.

    ``memory_peak`` is what the runtime took besides the module's file, which lies in the chip's memory too.
    """

    name: str
    kernels: int
    outside: int
    load: int
    memory_peak: int
    file: int
    stack_peak: int
    bound: int
    upstream: int
    upstream_memory: int | None

    @property
    def failures(self) -> list[str]:
        """A sentence for each bound that is not kept."""
        found = []
        if self.outside > self.bound:
            found.append(f"{self.name}: {self.outside:,} instructions outside the kernels, bound {self.bound:,}")
        if self.name == "magic_wand_f32" and self.load > LOAD_LIMIT:
            found.append(f"{self.name}: {self.load:,} instructions to load it, bound {LOAD_LIMIT:,}")
        if self.upstream_memory and self.memory_peak > self.upstream_memory:
            found.append(f"{self.name}: {self.memory_peak:,} bytes of memory, upstream {self.upstream_memory:,}")
        return found


def measure(session: Session, benchmark: Benchmark, target: Target | None = None) -> Overhead:
    """Loads the model on the session's chip and runs it once. Raises :class:`ModelError` when its answer is wrong."""
    path = benchmark.file
    model = compile_model(path, target, name=benchmark.name)
    probe = probe_inputs(model.inputs, samples=1)
    expected = framework_outputs(path, probe)
    session.load_model(model)
    session.need_engine().take_counts()
    outputs = session.infer(*(samples[0] for samples in probe), timeout=600, raw=True)
    for spec, got, wanted in zip(model.outputs, outputs, expected, strict=True):
        distance = difference(got, wanted[0])
        if distance > tolerance(spec):
            raise ModelError(
                f"{benchmark.name} gives another answer than its framework: {spec} differs by {distance:g}"
            )
    cost = summarise([session.need_link().profile()], session.need_engine().take_counts(), session.chip.vlen_bits)
    if cost.outside_kernels is None:
        raise ModelError("The engine counts no instructions: use Spike.")
    return Overhead(
        name=benchmark.name,
        kernels=cost.kernel_instructions[0],
        outside=cost.outside_kernels[0],
        load=cost.load_instructions,
        memory_peak=cost.memory_peak_bytes - model.vmfb_bytes,
        file=model.vmfb_bytes,
        stack_peak=cost.stack_peak_bytes,
        bound=benchmark.bound,
        upstream=benchmark.upstream,
        upstream_memory=benchmark.upstream_memory,
    )


_TITLES = ("model", "kernels", "outside", "bound", "upstream", "load", "file", "memory", "upstream", "stack", "")


def table(rows: Sequence[Overhead]) -> str:
    """The rows as text: instructions, and bytes of memory and stack."""
    cells = [_TITLES]
    for row in rows:
        numbers = [row.kernels, row.outside, row.bound, row.upstream, row.load, row.file]
        numbers += [row.memory_peak, row.upstream_memory, row.stack_peak]
        shown = ["-" if number is None else f"{number:,}" for number in numbers]
        cells.append((row.name, *shown, "too much" if row.failures else "ok"))
    widths = [max(len(line[column]) for line in cells) for column in range(len(_TITLES))]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:-1], widths[1:-1]), line[-1]]).rstrip()
        for line in cells
    )


def main(arguments: list[str] | None = None) -> int:
    """``./bench trial overhead``: 0 when every bound is kept."""
    parser = argparse.ArgumentParser(prog="./bench trial overhead", description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(b.name for b in BENCHMARKS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file too")
    options = parser.parse_args(arguments)
    unknown = set(options.models) - {benchmark.name for benchmark in BENCHMARKS}
    if unknown:
        parser.error(f"unknown models: {', '.join(sorted(unknown))}")
    chosen = [benchmark for benchmark in BENCHMARKS if not options.models or benchmark.name in options.models]
    try:
        rows = _measure_all(chosen)
    except BenchError as error:
        sys.stderr.write(f"springbok-bench: {error}\n")
        return 2
    sys.stdout.write(
        "Instructions of one inference (in the kernels and outside) and of the load; bytes of the module's file,\n"
        f"of the memory taken besides it, and of stack since boot. Upstream: {UPSTREAM_SOURCE}.\n\n"
    )
    sys.stdout.write(table(rows) + "\n")
    for line in [failure for row in rows for failure in row.failures]:
        sys.stdout.write(line + "\n")
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")
    return int(any(row.failures for row in rows))


def _measure_all(chosen: Sequence[Benchmark]) -> list[Overhead]:
    rows = []
    session = Session()
    session.boot("spike")
    try:
        for benchmark in chosen:
            rows.append(measure(session, benchmark))
            sys.stderr.write(f"{benchmark.name} measured\n")
    finally:
        session.shut_down()
    return rows
