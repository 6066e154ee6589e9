# SPDX-License-Identifier: Apache-2.0
"""The gate for RTL: the accelerator's instruction in Verilog against its C model, operand by operand.

Verilator makes C++ of the RTL; a bench (``platforms/rtl/bench.cpp``) runs it beside ``dot4_model.c`` on operands that
the chip recorded while it computed a real int8 layer, on corner cases and on seeded random ones.

``./bench trial rtl [RTL]`` does that and prints what was checked; its exit status is 1 when the RTL
differs. ``--renode`` runs the same layer on Renode with the RTL as the chip's instruction.

Example::

    check({RECORDED: record_layer().operands} | made_up_operands())
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import itertools
import json
import os
import re
import shutil
import struct
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from springbok.chips.description import load
from springbok.engines.base import Counts, Engine
from springbok.engines.spike import SpikeEngine
from springbok.firmware import build_program
from springbok.support.cache import Cache, digest
from springbok.support.errors import BenchError, RtlError, RtlToolNeeded
from springbok.support.files import build_folder, temporary_folder
from springbok.support.places import FIRMWARE, PLATFORMS
from springbok.support.process import Finished, run
from springbok.trials.int8_layer import Int8Layer, load_layer

RTL = PLATFORMS / "rtl"
UNIT = RTL / "dot4_cfu.v"
PROGRAM = FIRMWARE / "test" / "dense_i8.c"
RECORDED, CORNERS, RANDOM = "recorded from a real inference", "corner cases", "random"

VERILOG = (".v", ".vh", ".sv", ".svh")
TOOL_LIMIT_SECONDS = 300.0
CHIP_LIMIT_SECONDS = 300.0  # a layer takes milliseconds
# As Verilator's own makefile has them, without tracing, coverage and SystemC.
COMPILE = ("-std=gnu++17", "-O1", "-fPIC", "-DVM_COVERAGE=0", "-DVM_SC=0", "-DVM_TRACE=0", "-w")
TASK = struct.Struct("<6I")  # struct task of dense_i8.c
IDLE, COMPUTE = 0, 1
DMEM_BASE = load().holding("data").base
INPUT_AT, SUMS_AT, WEIGHTS_AT = DMEM_BASE + 0x1000, DMEM_BASE + 0x4000, DMEM_BASE + 0x8000


@dataclass(frozen=True)
class Recording:
    """A real int8 layer, computed on the chip with dot4. ``operands`` uint32 (n, 3): rs1, rs2, rd of each dot4."""

    layer: Int8Layer
    operands: np.ndarray
    counts: Counts


@dataclass(frozen=True)
class Check:
    """What was checked. ``operands``: how many of each kind; ``sha256`` is of the Verilog."""

    unit: str
    sha256: str
    verilator: str
    operands: dict[str, int]

    def __str__(self) -> str:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.operands.items())
        return f"{self.unit} computes what its model does on {sum(self.operands.values()):,} operands ({kinds})."


# ---- Operands


def record_layer(samples: int = 4) -> Recording:
    """Computes a real model's first dense int8 layer on the chip, on Spike, and records the operands of each dot4.

    Raises :class:`RtlError` when the chip's sums are not the layer's.
    """
    layer = load_layer(samples)
    with temporary_folder() as folder:
        elf = build_program(PROGRAM, Path(folder) / "dense_i8.elf")
        with SpikeEngine(elf, vlen=0) as chip:
            for sample in range(samples):
                _check_sums(layer, sample, _compute(chip, layer, sample), "Spike")
            operands = np.array(chip.take_dot4_operands(), np.uint32)
            return Recording(layer, operands, chip.take_counts())


def made_up_operands(random: int = 20_000, seed: int = 1) -> dict[str, np.ndarray]:
    """Corner cases, and ``random`` operands that the seed alone decides; each uint32 (n, 3)."""
    generator = np.random.default_rng(seed)
    return {
        CORNERS: corner_cases(),
        RANDOM: generator.integers(0, 1 << 32, (random, 3), np.uint32),
    }


def corner_cases() -> np.ndarray:
    """Extreme lanes, each alone and in every lane at once, with accumulators where they wrap. uint32 (n, 3)."""
    lanes = (-128, -127, -1, 0, 1, 127)
    accumulators = (
        0,
        1,
        0xFFFFFFFF,
        0x7FFFFFFF,
        0x80000000,
        0x7FFFFFFF - 4 * 128 * 128 + 1,
        0x80000000 + 4 * 127 * 128,
    )
    shapes = (*(1 << 8 * lane for lane in range(4)), 0x01010101)
    return np.array(
        [
            ((x & 0xFF) * shape, (y & 0xFF) * shape, accumulator)
            for x, y, shape, accumulator in itertools.product(lanes, lanes, shapes, accumulators)
        ],
        np.uint32,
    )


# ---- The layer on a chip


def _memory(layer: Int8Layer, sample: int) -> dict[int, bytes]:
    """What dense_i8.c needs, by address. Rows are filled up with zeros to whole words."""
    rows, length = layer.weights.shape
    words = -(-length // 4)
    fill = ((0, 0), (0, 4 * words - length))
    weights, given = np.pad(layer.weights, fill), np.pad(layer.inputs[sample : sample + 1], fill)
    return {
        INPUT_AT: given.tobytes(),
        WEIGHTS_AT: weights.tobytes(),
        SUMS_AT: layer.starts.astype("<i4").tobytes(),
        DMEM_BASE: TASK.pack(COMPUTE, rows, words, INPUT_AT, WEIGHTS_AT, SUMS_AT),
    }


def _compute(chip: Engine, layer: Int8Layer, sample: int) -> np.ndarray:
    for address, content in _memory(layer, sample).items():
        chip.write_memory(address, content)
    deadline = time.monotonic() + CHIP_LIMIT_SECONDS
    while chip.read_memory(DMEM_BASE, 4) != IDLE.to_bytes(4, "little"):
        if time.monotonic() > deadline:
            raise RtlError(f"The chip did not compute the layer within {CHIP_LIMIT_SECONDS:.0f} s: {chip.diagnose()}")
        time.sleep(0.005)
    return np.frombuffer(chip.read_memory(SUMS_AT, 4 * len(layer.bias)), "<i4")


def _check_sums(layer: Int8Layer, sample: int, sums: np.ndarray, where: str) -> None:
    wrong = np.flatnonzero(sums != layer.sums(sample))
    if wrong.size:
        row = int(wrong[0])
        raise RtlError(
            f"{where} computes {layer.name} wrongly: sum {row} of recording {sample} is {sums[row]}, "
            f"not {layer.sums(sample)[row]}; {wrong.size} of {len(sums)} sums differ."
        )


# ---- The RTL against its model


def check(operands: Mapping[str, np.ndarray], unit: Path = UNIT, cache: Path | None = None) -> Check:
    """Runs the RTL and its model on ``operands``, by kind, each uint32 (n, 3) of rs1, rs2, rd.

    ``unit`` is the Verilog file of the top module, which has the file's name and the signals of ``dot4_cfu.v``; other
    modules are looked for beside it. Raises :class:`RtlError` with the operands of the first mismatch, or with
    Verilator's message when the RTL doesn't build without a warning; :class:`RtlToolNeeded` without Verilator.
    """
    unit = Path(unit).resolve()
    bench = build(unit, "bench.cpp", cache) / "unit"
    kinds = {kind: np.ascontiguousarray(array, "<u4").reshape(-1, 3) for kind, array in operands.items()}
    together = np.concatenate(list(kinds.values()))
    with tempfile.NamedTemporaryFile(prefix="springbok-operands-") as file:
        file.write(together.tobytes())
        file.flush()
        done = run([bench, file.name], time_limit=TOOL_LIMIT_SECONDS)
    if done.exit_code != 0:
        raise RtlError(f"The bench of {unit.name} ended with {done.exit_code}: {done.output[-500:].strip()}")
    answer = json.loads(done.output)
    ends = list(itertools.accumulate(map(len, kinds.values())))

    def place(index: int) -> str:
        number = next(number for number, end in enumerate(ends) if index < end)
        return f"operands {index - (ends[number - 1] if number else 0)}, {list(kinds)[number]}"

    if answer["unanswered"] is not None:
        index = answer["unanswered"]
        raise RtlError(f"{unit.name} does not answer at {place(index)}: {_shown(together[index])}.")
    if answer["mismatches"]:
        index, expected, got = answer["mismatches"][0]
        raise RtlError(
            f"{unit.name} does not compute what its model does. First mismatch at {place(index)}: "
            f"{_shown(together[index])}: expected 0x{expected:08x}, got 0x{got:08x}. "
            f"{len(answer['mismatches']):,} of {answer['checked']:,} results differ."
        )
    if answer["checked"] != len(together):
        raise RtlError(f"The bench of {unit.name} checked {answer['checked']} operands of {len(together)}.")
    return describe(unit, operands)


def describe(unit: Path, operands: Mapping[str, np.ndarray]) -> Check:
    """What a check of ``unit`` on ``operands`` is a check of."""
    counts = {kind: len(array) for kind, array in operands.items()}
    return Check(Path(unit).name, _sha256_of(Path(unit)), verilator_version(), counts)


def _shown(operands: np.ndarray) -> str:
    rs1, rs2, rd = map(int, operands)
    lanes = (",".join(map(str, np.array([word], "<u4").view("i1"))) for word in (rs1, rs2))
    return f"rs1 0x{rs1:08x} ({next(lanes)}), rs2 0x{rs2:08x} ({next(lanes)}), rd 0x{rd:08x}"


def _verilog(unit: Path) -> list[Path]:
    return [unit, *sorted(path for path in unit.parent.iterdir() if path.suffix in VERILOG and path != unit)]


def _sha256_of(unit: Path) -> str:
    sha = hashlib.sha256()
    for path in _verilog(unit):
        sha.update(path.name.encode() + b"\0" + path.read_bytes())
    return sha.hexdigest()


def plant_fault(folder: Path, old: str, new: str, unit: Path = UNIT) -> Path:
    """Copies the RTL to ``folder`` with one fault: the text ``old``, wherever it is in it, becomes ``new``. Returns
    the copy of ``unit``: a gate that does not refuse it is no gate.

    Raises :class:`RtlError` when there is no such text.
    """
    folder.mkdir(parents=True, exist_ok=True)
    found = 0
    for path in _verilog(Path(unit).resolve()):
        text = path.read_text(encoding="utf-8")
        found += text.count(old)
        (folder / path.name).write_text(text.replace(old, new), encoding="utf-8")
    if not found:
        raise RtlError(f"No fault was planted: '{old}' is nowhere in the Verilog beside {unit}.")
    return folder / Path(unit).name


# ---- Tools


def verilator_version() -> str:
    """Returns Verilator's version; raises :class:`RtlToolNeeded` where it is not installed."""
    program = shutil.which("verilator")
    if not program:
        raise RtlToolNeeded("Checking RTL needs Verilator, which is not on PATH (Debian: apt install verilator).")
    return run([program, "--version"]).output.split(" rev")[0].strip()


def build(unit: Path, main: str, cache: Path | None = None, library: bool = False) -> Path:
    """Builds the RTL with ``main``, a file of ``platforms/rtl``: ``unit``, or ``unit.so`` with ``library``, in the
    folder that it returns. What was built from the same things once is not built again."""
    if not unit.is_file():
        raise RtlError(f"There is no Verilog file {unit}.")
    version, (name, *compiler) = verilator_version(), _compiler()
    entries = Cache(cache or build_folder() / "cache")
    include = Path(run(["verilator", "--getenv", "VERILATOR_ROOT"]).output.strip()) / "include"
    options = (*COMPILE, f"-I{include}", f"-I{include / 'vltstd'}")

    def make_runtime(folder: Path) -> None:
        for source in ("verilated", "verilated_threads"):
            _compile([*compiler, *options, "-c", include / f"{source}.cpp", "-o", folder / f"{source}.o"], source)

    runtime, _ = entries.entry("verilated", digest(version, name, options), make_runtime)

    def make(folder: Path) -> None:
        made = folder / "verilated"
        lint = ["-Wall", "-y", unit.parent, "--top-module", unit.stem, "--prefix", "Cfu", "--Mdir", made, "--cc", unit]
        done = run(["verilator", *lint], time_limit=TOOL_LIMIT_SECONDS)
        if done.exit_code != 0:
            raise RtlError(f"Verilator refuses {unit.name}:\n{done.output.strip()}")
        # One translation unit: most of the time goes into reading Verilator's headers.
        parts = [*(path.name for path in sorted(made.glob("*.cpp"))), str(RTL / main)]
        text = 'extern "C" {\n#include "%s"\n}\n' % (RTL / "dot4_model.c")
        text += "".join(f'#include "{part}"\n' for part in parts)
        (made / "unit.cc").write_text(text, encoding="utf-8")
        target = folder / ("unit.so" if library else "unit")
        command = [*compiler, *options, f"-I{made}", f"-I{RTL}", made / "unit.cc", *sorted(runtime.glob("*.o"))]
        _compile([*command, *(["-shared"] if library else []), "-pthread", "-o", target], unit.name)
        shutil.rmtree(made)

    sources = [path.read_bytes() for path in (*_verilog(unit), *sorted(RTL.glob("*.[ch]*")))]
    key = digest(version, name, options, unit.name, main, library, *sources)
    return entries.entry(f"rtl-{unit.stem}", key, make)[0]


def _compiler() -> list[str]:
    """Name with version, then the command: this machine's C++ compiler, or the one that pip installs."""
    program = shutil.which("c++")
    if program:
        return [run([program, "--version"]).output.splitlines()[0], program]
    return [f"ziglang {importlib.metadata.version('ziglang')}", sys.executable, "-m", "ziglang", "c++"]


def _compile(command: list[str | Path], what: str) -> None:
    zig_cache = str(build_folder() / "zig-cache")
    environment = {"ZIG_GLOBAL_CACHE_DIR": zig_cache, "ZIG_LOCAL_CACHE_DIR": zig_cache}
    done: Finished = run(command, time_limit=TOOL_LIMIT_SECONDS, environment=environment)
    if done.exit_code != 0:
        raise RtlError(f"The C++ that Verilator made of {what} does not build:\n{done.output[-2000:].strip()}")


# ---- Renode


def cosimulate(
    unit: Path = UNIT, samples: int = 1, cache: Path | None = None, renode_root: Path | None = None
) -> Int8Layer:
    """Computes the layer on Renode's core with the RTL as its instruction, and returns the layer.

    Raises :class:`RtlError` when the sums are not the layer's; :class:`RtlToolNeeded` without Renode (in
    ``renode_root``, else ``$RENODE_ROOT``, else ``renode`` on PATH), its co-simulation plugin, or Verilator.
    """
    renode = renode_program(renode_root)
    library = build(Path(unit).resolve(), "renode/library.cpp", cache, library=True) / "unit.so"
    layer = load_layer(samples)
    with temporary_folder() as name:
        folder = Path(name)
        elf = build_program(PROGRAM, folder / "dense_i8.elf")
        script = [f"$unit={_quoted(library)}", f"$program={_quoted(elf)}", f"include {_quoted(RTL)}/renode/dot4.resc"]
        for sample in range(samples):
            for address, content in _memory(layer, sample).items():
                file = folder / f"{sample}-{address:x}"
                file.write_bytes(content)
                script.append(f"sysbus LoadBinary {_quoted(file)} 0x{address:x}")
            script.append('emulation RunFor "0.01"')
            addresses = (DMEM_BASE, *(SUMS_AT + 4 * row for row in range(len(layer.bias))))
            script += [f"sysbus ReadDoubleWord 0x{address:x}" for address in addresses]
        (folder / "run.resc").write_text("\n".join([*script, "quit", ""]), encoding="utf-8")
        command = [renode, "--disable-xwt", "--console", "--plain", "-e", f"include {_quoted(folder / 'run.resc')}"]
        done = run(command, time_limit=TOOL_LIMIT_SECONDS, environment={"XDG_CONFIG_HOME": name})
    words = [int(line, 16) for line in done.output.splitlines() if re.fullmatch("0x[0-9A-F]{8}", line.strip())]
    rows = len(layer.bias) + 1
    if len(words) != rows * samples or any(words[::rows]):
        if "resolve type" in done.output and "CoSimulatedCFU" in done.output:
            raise RtlToolNeeded(f"{renode} has no co-simulation plugin (CoSimulated.CoSimulatedCFU).")
        raise RtlError(f"Renode did not compute the layer:\n{done.output[-2000:].strip()}")
    for sample in range(samples):
        sums = np.array(words[rows * sample + 1 : rows * (sample + 1)], np.uint32).view(np.int32)
        _check_sums(layer, sample, sums, f"Renode with {Path(unit).name}")
    return layer


def renode_program(root: Path | None = None) -> Path:
    """Returns Renode's program; raises :class:`RtlToolNeeded` where there is none."""
    root = root or os.environ.get("RENODE_ROOT")
    program = shutil.which("renode", path=root) if root else shutil.which("renode")
    if not program:
        raise RtlToolNeeded("Co-simulation needs Renode: put renode on PATH or set RENODE_ROOT to its folder.")
    return Path(program)


def _quoted(path: Path) -> str:
    """The path as Renode's monitor reads one."""
    return "@" + str(path).replace(" ", "\\ ")


def main(arguments: list[str] | None = None) -> int:
    """``./bench trial rtl``: 0 when the RTL agrees, 1 when it does not, 2 when that could not be found
    out."""
    parser = argparse.ArgumentParser(prog="./bench trial rtl", description=__doc__.split("\n")[0])
    parser.add_argument("unit", nargs="?", type=Path, default=UNIT, help="Verilog file of the top module")
    parser.add_argument("--samples", type=int, default=4, help="recordings whose operands are taken (default: 4)")
    parser.add_argument("--random", type=int, default=20_000, help="random operands (default: 20000)")
    parser.add_argument("--seed", type=int, default=1, help="of the random operands (default: 1)")
    parser.add_argument("--renode", action="store_true", help="also compute a layer on Renode with the RTL")
    options = parser.parse_args(arguments)
    try:
        operands = {RECORDED: record_layer(options.samples).operands}
        result = check(operands | made_up_operands(options.random, options.seed), options.unit)
        sys.stdout.write(f"{result}\n{result.verilator}, sha256 {result.sha256[:12]}\n")
        if options.renode:
            layer = cosimulate(options.unit)
            sys.stdout.write(f"Renode with {options.unit.name} computes {layer.name} as the model does.\n")
    except BenchError as error:
        sys.stderr.write(f"springbok-bench: {error}\n")
        return 1 if type(error) is RtlError else 2
    return 0
