# SPDX-License-Identifier: Apache-2.0
"""The gate's trial: regressions planted on purpose, each of which it has to stop and to explain.

``./bench trial gate --seed 1`` compiles, builds and runs everything for real on Spike: the gesture
model and the firmware as they are make the baselines, and again with one thing spoilt at a time. A plant counts as
caught only when the message names its cause. Runs without a change must pass, all of them. The seed decides which
weight, sample or bit is spoilt. Exit status 0: all caught, no false alarm.
"""

from __future__ import annotations

import argparse
import math
import random
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from springbok.compiler.compiled import Target
from springbok.compiler.compiler import compile_model, framework_outputs
from springbok.compiler.optimizer import DEFAULT_LEVEL, Plan, plan_for
from springbok.data import datasets
from springbok.firmware import build_firmware
from springbok.gate import baseline, gate, snapshots
from springbok.measuring import metrics
from springbok.session import Session
from springbok.support.errors import BenchError, RtlError, RtlToolNeeded
from springbok.support.files import build_folder, temporary_folder
from springbok.support.places import FIRMWARE, MODELS
from springbok.trials import rtl

MODEL = MODELS / "gestures.h5"
QUANTISED_MODEL = MODELS / "gestures_int8.tflite"
VECTORS_FLAG = "--iree-llvmcpu-loop-unrolling"
TRANSFORMATION = "requantisation"
SCALAR_PIPELINE = (
    "#iree_codegen.compilation_info<lowering_config = #iree_cpu.lowering_config<distribution = [0, 0, 0]>, "
    "translation_info = #iree_codegen.translation_info<pipeline = #iree_cpu.pipeline<Default>>>"
)


@dataclass(frozen=True)
class Configuration:
    """What is compiled and run: everything that a plant may spoil.

    Stock code by default (``optimize``), so that a plant spoils what it is meant to, whatever the optimizer mends.
    """

    name: str = "gestures"
    model: Path = MODEL
    flags: tuple[str, ...] = ()
    variant: str = "vector"
    vlen: int = 512
    firmware: Path | None = None
    optimize: str | Plan = "none"


class Bench:
    """Measures configurations and holds them against baselines. ``folder`` takes spoilt models and firmware."""

    def __init__(self, folder: Path, seed: int, samples: int | None = None) -> None:
        self.folder = folder
        self.random = random.Random(seed)
        self.dataset = datasets.load("basic_motions")
        self.host_outputs = framework_outputs(MODEL, self.dataset.inputs)[0]
        self.samples = samples
        self.session = Session()
        self._running: tuple | None = None

    def measure(self, configuration: Configuration, *, fresh: bool = False) -> snapshots.Snapshot:
        """Compile, boot unless such a chip runs already (or ``fresh``), infer, and return what it came to."""
        chip = (configuration.vlen, configuration.firmware)
        if fresh or self._running != chip:
            self.session.boot("spike", vlen=configuration.vlen, firmware=configuration.firmware)
            self._running = chip
        target = Target.of(configuration.variant, configuration.vlen)
        model = compile_model(
            configuration.model,
            target,
            name=configuration.name,
            extra_flags=configuration.flags,
            optimize=configuration.optimize,
        )
        self.session.load_model(model)
        quantised = configuration.model == QUANTISED_MODEL
        host_outputs = framework_outputs(QUANTISED_MODEL, self.dataset.inputs)[0] if quantised else self.host_outputs
        evaluation = self.session.evaluate(self.dataset, host_outputs, samples=self.samples)
        return snapshots.snapshot(metrics.evaluation_document(evaluation), "gate_trial")

    def record(self, configuration: Configuration) -> None:
        """Make what is measured the baseline."""
        baseline.write(self.folder / "baselines", self.measure(configuration))

    def complaint(self, configuration: Configuration, *, fresh: bool = False) -> str:
        """What the gate says of the configuration; empty when it passes."""
        measured = self.measure(configuration, fresh=fresh)
        try:
            known = baseline.read(self.folder / "baselines", measured)
        except baseline.NoBaseline as error:
            return str(error)
        verdicts = gate.compare(measured, known)
        if not any(verdict.has_failed for verdict in verdicts):
            return ""
        return gate.failure_text(verdicts, gate.causes_text(measured, known))

    def spoilt_firmware(self, file: str, pattern: str, replacement: str, declaration: str = "") -> Path:
        """The project's firmware with one place of its source replaced, built. Raises BenchError if it isn't there."""
        source = Path(tempfile.mkdtemp(prefix="firmware-", dir=self.folder)) / "firmware"
        shutil.copytree(FIRMWARE, source)
        path = source / file
        text, count = re.subn(pattern, replacement, path.read_text(), count=1)
        if not count:
            raise BenchError(f"{file} has no place like {pattern!r} any more: the plant has to follow the firmware.")
        last = [match.end() for match in re.finditer(r"^#include .*\n", text, re.MULTILINE)][-1]
        path.write_text(text[:last] + declaration + text[last:])
        return build_firmware(source, source.parent / "built", build_folder() / "zig-cache").elf

    def spoilt_weights(self, spoil: Callable[[str, np.ndarray], None], name: str) -> Path:
        """The gesture model with its weights changed in place by ``spoil(name of the weights, their values)``."""
        import h5py

        path = self.folder / f"{name}.h5"
        shutil.copyfile(MODEL, path)
        with h5py.File(path, "r+") as file:

            def visit(weights: str, item: object) -> None:
                if isinstance(item, h5py.Dataset):
                    values = item[...]
                    spoil(weights, values)
                    item[...] = values

            file["model_weights"].visititems(visit)
        return path

    def spoilt_graph(self, pattern: str, replacement: Callable[[re.Match], str], name: str) -> Path:
        """The gesture model as MLIR, with one operation replaced."""
        text = compile_model(MODEL).mlir.read_text(encoding="utf-8")
        text, count = re.subn(pattern, replacement, text, count=1, flags=re.MULTILINE)
        if not count:
            raise BenchError(f"The imported model has no operation like {pattern!r}: the plant has to follow it.")
        path = self.folder / f"{name}.mlir"
        path.write_text(text, encoding="utf-8")
        return path


PLAIN = Configuration()
SCALAR = Configuration(variant="scalar")
OPTIMISED = Configuration(name="gestures_int8", model=QUANTISED_MODEL, optimize=DEFAULT_LEVEL)
UNROLLED = Configuration(name="gestures_unrolled", flags=(f"{VECTORS_FLAG}=true",))


@dataclass(frozen=True)
class Plant:
    """A regression. ``spoil`` gives the message of what had to stop it; ``names`` have to be in it."""

    name: str
    spoil: Callable[[Bench], str]
    names: tuple[str, ...]


# ---- The plants


def _flag_lost(bench: Bench) -> str:
    return bench.complaint(Configuration(name=UNROLLED.name, flags=(f"{VECTORS_FLAG}=false",)))


def _transformation_lost(bench: Bench) -> str:
    plan = plan_for(DEFAULT_LEVEL, vectors=True, vlen=OPTIMISED.vlen)
    return bench.complaint(replace(OPTIMISED, optimize=plan.without(TRANSFORMATION)))


def _vectors_off(bench: Bench) -> str:
    return bench.complaint(Configuration(flags=("--iree-llvmcpu-target-cpu-features=+m,+f",)))


def _narrow_vectors(bench: Bench) -> str:
    return bench.complaint(Configuration(flags=("--iree-llvmcpu-target-vector-width-in-bytes=16",)))


def _layer_scalarised(bench: Bench) -> str:
    def scalar(found: re.Match) -> str:
        result, left, right, left_type, right_type, result_type, place = found.groups()
        return (
            f"%planted_zero = arith.constant 0.0 : f32\n%planted_empty = tensor.empty() : {result_type} {place}\n"
            f"%planted_fill = linalg.fill ins(%planted_zero : f32) outs(%planted_empty : {result_type}) "
            f"-> {result_type} {place}\n{result} = linalg.matmul {{compilation_info = {SCALAR_PIPELINE}}} "
            f"ins({left}, {right} : {left_type}, {right_type}) outs(%planted_fill : {result_type}) "
            f"-> {result_type} {place}"
        )

    dot = r"(%\w+) = stablehlo\.dot (%\w+), (%\w+),.*?: \((tensor<[^)]*>), (tensor<[^)]*>)\) -> (tensor<\S+>) (loc.*)$"
    return bench.complaint(Configuration(model=bench.spoilt_graph(dot, scalar, "scalarised")))


def _fusion_lost(bench: Bench) -> str:
    def barrier(found: re.Match) -> str:
        operation, result, kind = found[0], found[1], found[2]
        kept = operation.replace(f"{result} =", "%planted_sum =", 1)
        return f"{kept}\n{result} = util.optimization_barrier %planted_sum : {kind}"

    convolution = r"(%\w+) = stablehlo\.convolution\(.*-> (tensor<1x33x\S+>) loc.*$"
    return bench.complaint(Configuration(model=bench.spoilt_graph(convolution, barrier, "unfused")))


def _weight_changed(bench: Bench) -> str:
    def spoil(weights: str, values: np.ndarray) -> None:
        if "conv_2" in weights and weights.endswith("kernel"):
            largest = np.argsort(np.abs(values), axis=None)[-20:]
            values.flat[bench.random.choice(list(largest))] *= 1 + bench.random.uniform(0.01, 0.1)

    return bench.complaint(Configuration(model=bench.spoilt_weights(spoil, "weight")))


def _quantised(bench: Bench, bits: int) -> Configuration:
    def spoil(weights: str, values: np.ndarray) -> None:
        if weights.endswith("kernel"):
            step = np.abs(values).max() / (2 ** (bits - 1) - 1)
            values[...] = np.round(values / step) * step

    return Configuration(name="gestures_quantised", model=bench.spoilt_weights(spoil, f"quantised{bits}"))


def _coarser_quantisation(bench: Bench) -> str:
    return bench.complaint(_quantised(bench, bench.random.choice((3, 4, 5))))


def _one_sample_wrong(bench: Bench) -> str:
    """A shift of one output's bias, large enough for the sample nearest to that class, too small for the next one."""
    labels = bench.dataset.labels[: bench.samples]
    outputs = np.log(np.maximum(bench.host_outputs.reshape(len(bench.host_outputs), -1), 1e-30))[: len(labels)]
    chosen = bench.random.randrange(outputs.shape[1])
    gaps = sorted(
        float(outputs[sample, label] - outputs[sample, chosen])
        for sample, label in enumerate(labels)
        if label != chosen and outputs[sample].argmax() == label
    )
    shift = (gaps[0] + gaps[1]) / 2

    def spoil(weights: str, values: np.ndarray) -> None:
        if "dense_2" in weights and weights.endswith("bias"):
            values[chosen] += shift

    return bench.complaint(Configuration(model=bench.spoilt_weights(spoil, "one_wrong")))


def _module_larger(bench: Bench) -> str:
    return bench.complaint(Configuration(flags=("--iree-llvmcpu-debug-symbols=true",)))


def _vlen_wrong(bench: Bench) -> str:
    return bench.complaint(Configuration(vlen=256))


def _firmware(bench: Bench, *place: str) -> str:
    return bench.complaint(Configuration(firmware=bench.spoilt_firmware(*place)))


_CALL = "static volatile uint32_t planted;\n__attribute__((noinline)) static void planted_call(void) { planted++; }\n"
_TABLE = "static const uint8_t planted_table[512] = {1, 2, 3};\nstatic volatile uint32_t planted;\n"


def _one_call_a_dispatch(bench: Bench) -> str:
    run = r"(    int result = \(int\)platform_call_contained\()"
    return _firmware(bench, "runtime/dispatch.c", run, r"    planted_call();\n\1", _CALL)


def _verified_twice(bench: Bench) -> str:
    call = r"(    verify_module\(.*?\);\n)"
    return _firmware(bench, "runtime/runtime.c", call, r"\1\1")


def _allocations_larger(bench: Bench) -> str:
    start = r"(void \*memory_allocate\([^{;]*\{\n)"
    return _firmware(bench, "runtime/memory.c", start, r"\1    bytes += 64;\n")


def _firmware_larger(bench: Bench) -> str:
    start = r"(\nvoid runtime_load\([^{;]*\{\n)"
    use = r"\1    planted = planted_table[planted & 511];\n"
    return _firmware(bench, "runtime/runtime.c", start, use, _TABLE)


def _output_cut_short(bench: Bench) -> str:
    copy = r"platform_copy\(output, (.*?), bytes\);"
    return _firmware(bench, "runtime/runtime.c", copy, r"platform_copy(output, \1, bytes - 4);")


def _rtl_bit_flipped(bench: Bench) -> str:
    flipped = f"(result + x * y) ^ 32'h{1 << bench.random.randrange(32):08x}"
    unit = rtl.plant_fault(bench.folder / "rtl", "result + x * y", flipped)
    try:
        rtl.check({rtl.RECORDED: rtl.record_layer(1).operands}, unit)
    except RtlToolNeeded:
        raise
    except RtlError as error:
        return str(error)
    return ""


PLANTS = (
    Plant("a compiler flag lost", _flag_lost, ("instructions an inference", f"flag lost: {VECTORS_FLAG}=true")),
    Plant(
        "an optimizer's transformation lost",
        _transformation_lost,
        ("instructions an inference", f"optimizer: {TRANSFORMATION} applied at 0 places"),
    ),
    Plant("vectors off", _vectors_off, ("dispatches that run scalar", "(dense_1)", "features=+m,+f")),
    Plant(
        "vectors of a quarter of the width", _narrow_vectors, ("instructions an inference", "lane", "width-in-bytes=16")
    ),
    Plant("a layer scalarised", _layer_scalarised, ("dispatches that run scalar", "matmul_1x16x352_f32 (dense_1)")),
    Plant("a fusion lost", _fusion_lost, ("instructions an inference", "dispatch new: ", "(conv_2)")),
    Plant("a weight changed", _weight_changed, ("digest of all outputs", "model file")),
    Plant("quantisation coarser", _coarser_quantisation, ("digest of all outputs", "model file")),
    Plant("accuracy down by one sample", _one_sample_wrong, ("accuracy", "sample ", "is now answered")),
    Plant("a larger module", _module_larger, ("module:", "debug-symbols")),
    Plant("VLEN wrong", _vlen_wrong, ("VLEN 256", "vlen512")),
    Plant("firmware: one call more a dispatch", _one_call_a_dispatch, ("runtime (VM): +", "jal +", "firmware: its")),
    Plant("firmware: modules verified twice", _verified_twice, ("instructions of loading the module", "firmware: its")),
    Plant("firmware: allocations larger", _allocations_larger, ("memory peak", "firmware: its")),
    Plant("firmware: larger by a table", _firmware_larger, ("firmware (code and constants)", ".rodata: +512")),
    Plant("firmware: an output cut short", _output_cut_short, ("digest of all outputs", "firmware: its")),
    Plant("an RTL bit flipped", _rtl_bit_flipped, ("First mismatch", "rs1", "rs2")),
)


# ---- The trial


@dataclass
class Result:
    """What came out: by plant, the message that stopped it, and what of its cause the message left out."""

    messages: dict[str, str] = field(default_factory=dict)
    missed: dict[str, list[str]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    unchanged_runs: int = 0
    false_alarms: list[str] = field(default_factory=list)

    @property
    def is_good(self) -> bool:
        """Whether every plant was caught, and nothing else."""
        return not self.missed and not self.false_alarms


def run_trial(
    seed: int,
    unchanged_runs: int = 20,
    samples: int | None = None,
    plants: Sequence[Plant] = PLANTS,
    say: Callable[[str], None] = lambda text: None,
) -> Result:
    """Plant every regression, then run so often without any, each time on a chip that was just started."""
    result = Result(unchanged_runs=unchanged_runs)
    with temporary_folder() as folder:
        bench = Bench(Path(folder), seed, samples)
        try:
            bases = [PLAIN, SCALAR, UNROLLED, OPTIMISED, _quantised(bench, 8)]
            for configuration in bases:
                bench.record(configuration)
            for plant in plants:
                _try(bench, plant, result, say)
            for number in range(unchanged_runs):
                configuration = bases[number % len(bases)]
                if complaint := bench.complaint(configuration, fresh=True):
                    result.false_alarms.append(complaint)
                    say(f"FALSE ALARM in run {number + 1} of {configuration.name}:\n{complaint}")
        finally:
            bench.session.shut_down()
    return result


def _try(bench: Bench, plant: Plant, result: Result, say: Callable[[str], None]) -> None:
    try:
        message = plant.spoil(bench)
    except RtlToolNeeded as error:
        result.skipped[plant.name] = str(error)
        say(f"skipped  {plant.name}: {error}")
        return
    result.messages[plant.name] = message
    left_out = [name for name in plant.names if name not in message]
    if left_out:
        result.missed[plant.name] = left_out
        say(f"MISSED   {plant.name}: the message does not name {', '.join(left_out)}\n{message or '(it passed)'}")
    else:
        say(f"caught   {plant.name}\n" + "\n".join(f"    {line}" for line in message.splitlines()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trial and print what the gate said of each plant."""
    parser = argparse.ArgumentParser(prog="./bench trial gate", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--unchanged", type=int, default=20, metavar="RUNS", help="runs without a change (default: 20)")
    parser.add_argument("--samples", type=int, help="recordings a run (default: all 40)")
    parser.add_argument("--only", metavar="TEXT", default="", help="only plants whose name has this in it")
    options = parser.parse_args(arguments)
    plants = [plant for plant in PLANTS if options.only in plant.name]

    def say(text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    result = run_trial(options.seed, options.unchanged, options.samples, plants, say)
    caught = len(result.messages) - len(result.missed)
    say(
        f"\n{caught} of {len(plants)} planted regressions caught and explained, {len(result.missed)} missed, "
        f"{len(result.skipped)} skipped; {len(result.false_alarms)} false alarms in {result.unchanged_runs} runs."
    )
    return 0 if result.is_good and not math.isclose(caught, 0) else 1
