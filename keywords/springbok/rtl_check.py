# SPDX-License-Identifier: Apache-2.0
"""Holds the accelerator's RTL against the model that the engines execute.

Verilator (Debian's package) makes a program of ``platforms/accelerator/int8_dot.v`` and its harness; it is given the
operands that a real inference gave the instruction, corner cases, and random ones. The first answer that is not the
model's is an `RtlMismatch` with its operands.

``python -m springbok.rtl_check [FILE.v]`` checks a file from the command line.
"""

from __future__ import annotations

import argparse
import itertools
import random
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from springbok import datasets
from springbok.cache import Cache, digest
from springbok.engines.accelerator import dot4z, lanes
from springbok.engines.spike import SpikeEngine
from springbok.errors import BenchError, EngineError
from springbok.firmware import ROOT, TARGET
from springbok.process import run

FOLDER = ROOT / "platforms" / "accelerator"
RTL = FOLDER / "int8_dot.v"
GESTURES = ROOT / "models" / "gestures.h5"
RANDOM_PAIRS = 20_000
BUILD_LIMIT_SECONDS, RUN_LIMIT_SECONDS = 300, 120
CORNERS = (-128, -127, -1, 0, 1, 127)

REQUEST, INPUTS, WEIGHTS, SUMS = 0x34000000, 0x34001000, 0x34010000, 0x34008000
_STEP_LIMIT_SECONDS = 60


class VerilatorMissing(BenchError):
    """The RTL can't be checked here. Robot Framework skips the test."""

    ROBOT_SKIP_EXECUTION = True


class RtlError(BenchError):
    """The RTL does not compile, or its unit does not keep to the protocol."""


class RtlMismatch(AssertionError):
    """The RTL computes something else than its model."""

    ROBOT_SUPPRESS_NAME = True


@dataclass(frozen=True)
class Dense:
    """What the dense layer came to on the chip: sums of shape (outputs,), and instructions by each way."""

    sums: np.ndarray
    dot4z_instructions: int
    plain_instructions: int


# ---- Operands


def corner_operands() -> list[tuple[int, int]]:
    """Every pair of extreme bytes in every lane alone, and in all lanes at once."""
    pairs = []
    for one, other in itertools.product(CORNERS, repeat=2):
        left, right = one & 0xFF, other & 0xFF
        pairs += [(left << shift, right << shift) for shift in (0, 8, 16, 24)]
        pairs.append((left * 0x01010101, right * 0x01010101))
    return pairs


def random_operands(count: int = RANDOM_PAIRS, seed: int = 1) -> list[tuple[int, int]]:
    """Any words, from a seed."""
    numbers = random.Random(seed)
    return [(numbers.getrandbits(32), numbers.getrandbits(32)) for _ in range(count)]


def recorded_operands(recordings: int = 2) -> tuple[list[tuple[int, int]], list[Dense]]:
    """Operands of dot4z in real inferences: the gesture model's dense_1 in int8, on the chip, on real recordings.

    Returns them, and what each inference came to. Raises `EngineError` if the chip computes anything else than NumPy.
    """
    weights, inputs = quantised_layer(recordings)
    with tempfile.TemporaryDirectory(prefix="accelerator-") as folder:
        chip = SpikeEngine(build_program(Path(folder)), accelerator=True, count_opcodes=False)
        with chip:
            _wait_for_host_request(chip)
            results = [_infer(chip, weights, each) for each in inputs]
            operands = chip.take_operands()
    for result, each in zip(results, inputs, strict=True):
        if not np.array_equal(result.sums, weights.astype(np.int32) @ each.astype(np.int32)):
            raise EngineError(f"The chip's dense layer gave {result.sums}, which is not what its operands make.")
    return operands, results


def quantised_layer(recordings: int) -> tuple[np.ndarray, np.ndarray]:
    """Weights (outputs, 352) and inputs (recordings, 352) of dense_1, int8 with one scale each."""
    dense_inputs, kernel = _before_dense(datasets.load("basic_motions").inputs[:recordings])
    return tuple(np.round(values / np.abs(values).max() * 127).astype(np.int8) for values in (kernel.T, dense_inputs))


def _before_dense(recordings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What the gesture model computes up to dense_1, in NumPy, and that layer's kernel."""
    import h5py

    with h5py.File(GESTURES) as file:
        found: dict[str, np.ndarray] = {}
        file["model_weights"].visititems(
            lambda name, item: found.update({name: item[...]}) if isinstance(item, h5py.Dataset) else None
        )

    def weights(layer: str, kind: str) -> np.ndarray:
        return next(values for name, values in found.items() if f"{layer}/" in name and name.endswith(kind))

    x = recordings.astype(np.float32) * 0.1
    for layer, pool in (("conv_1", (3, 3)), ("conv_2", (3, 1))):
        x = np.maximum(_convolve(x, weights(layer, "kernel")) + weights(layer, "bias"), 0)
        x = _pool(x, *pool)
    return x.reshape(len(x), -1), weights("dense_1", "kernel")


def _convolve(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    height, width = kernel.shape[:2]
    top, left = (height - 1) // 2, (width - 1) // 2
    padded = np.pad(x, ((0, 0), (top, height - 1 - top), (left, width - 1 - left), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(1, 2))
    return np.einsum("nyxchw,hwco->nyxo", windows, kernel)


def _pool(x: np.ndarray, height: int, width: int) -> np.ndarray:
    samples, rows, columns, channels = x.shape
    x = x[:, : rows // height * height, : columns // width * width]
    return x.reshape(samples, rows // height, height, columns // width, width, channels).max(axis=(2, 4))


# ---- The chip's program


def build_program(folder: Path, opcode: int = 0x7B) -> Path:
    """``dense.c`` for the chip; ``opcode`` 0x0b is for Renode's custom function unit 0. Raises BenchError."""
    program, element = folder / "dense.elf", folder / "dense.o"
    cache = {name: str(ROOT / "build" / "zig-cache") for name in ("ZIG_GLOBAL_CACHE_DIR", "ZIG_LOCAL_CACHE_DIR")}
    flags = [
        "-std=gnu11",
        "-O2",
        "-ffreestanding",
        "-fno-sanitize=all",
        "-fno-unroll-loops",
        f"-DDOT4Z_OPCODE={opcode}",
    ]
    places = ["--section-start=.boot=0x32000000", "-Ttext=0x32000100", "-e", "_start", "-N", "-static"]
    for command in (
        ["cc", *TARGET, *flags, "-c", str(FOLDER / "dense.c"), "-o", str(element)],
        ["ld.lld", *places, "-z", "norelro", str(element), "-o", str(program)],
    ):
        done = run([sys.executable, "-m", "ziglang", *command], environment=cache)
        if done.exit_code:
            raise BenchError(f"{FOLDER / 'dense.c'} does not build:\n{done.output.strip()}")
    return program


def _infer(chip: SpikeEngine, weights: np.ndarray, inputs: np.ndarray) -> Dense:
    results, length = weights.shape
    chip.write_memory(INPUTS, inputs.tobytes())
    chip.write_memory(WEIGHTS, np.ascontiguousarray(weights).tobytes())
    chip.write_memory(REQUEST, struct.pack("<5I", results, length // 4, INPUTS, WEIGHTS, SUMS))
    chip.resume()
    _wait_for_host_request(chip)
    answer = np.frombuffer(chip.read_memory(SUMS, 4 * (results + 2)), "<i4")
    if answer[-1] < 0:
        raise EngineError("On the chip dot4z and plain multiplications give different sums.")
    return Dense(answer[:-2], int(answer[-2]), int(answer[-1]))


def _wait_for_host_request(chip: SpikeEngine) -> None:
    limit = time.monotonic() + _STEP_LIMIT_SECONDS
    while "requested the host" not in (said := chip.diagnose()):
        chip.counters()  # raises when the simulator is dead
        if time.monotonic() > limit or "trapped" in said:
            raise EngineError(f"The dense layer did not end on the chip. {said}")
        time.sleep(0.01)


# ---- The RTL


def build(rtl: Path = RTL) -> Path:
    """The RTL with its harness as a program of this machine; built once for the same sources.

    Raises `VerilatorMissing`, or `RtlError` with what Verilator or the compiler says.
    """
    missing = [tool for tool in ("verilator", "g++", "make") if shutil.which(tool) is None]
    if missing:
        raise VerilatorMissing(
            f"The RTL is not checked: {', '.join(missing)} is not here. Debian: apt install verilator g++ make"
        )
    version = run(["verilator", "--version"]).output.strip()
    harness = FOLDER / "harness.cpp"

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="rtl-") as work:
            source = Path(work) / RTL.name  # the module's name is the file's
            shutil.copyfile(rtl, source)
            command = [
                "verilator",
                "--cc",
                "--exe",
                "--build",
                "-Wno-fatal",
                "-O1",
                "-j",
                "2",
                "--Mdir",
                f"{work}/made",
            ]
            done = run([*command, str(source), str(harness), "-o", "int8_dot"], time_limit=BUILD_LIMIT_SECONDS)
            if done.exit_code:
                raise RtlError(f"{rtl.name} does not build with {version}:\n{done.output.replace(work, '').strip()}")
            shutil.copy(Path(work) / "made" / "int8_dot", folder / "int8_dot")

    key = digest(rtl.read_bytes(), harness.read_bytes(), version)
    folder, _ = Cache(ROOT / "build" / "rtl").entry("int8_dot", key, make)
    return folder / "int8_dot"


def answers(program: Path, operands: Sequence[tuple[int, int]]) -> list[int]:
    """What the RTL answers to each pair, unsigned."""
    given = b"".join(struct.pack("<2I", *pair) for pair in operands)
    try:
        done = subprocess.run([program], input=given, capture_output=True, timeout=RUN_LIMIT_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise RtlError(f"The RTL did not answer {len(operands)} requests within {RUN_LIMIT_SECONDS} s.") from None
    if done.returncode:
        raise RtlError(f"The RTL does not keep to the protocol: {done.stderr.decode(errors='replace').strip()}")
    return [word for (word,) in struct.iter_unpack("<I", done.stdout)]


def check(rtl: Path, operands: dict[str, Sequence[tuple[int, int]]]) -> int:
    """Hold the RTL against the model on every kind of ``operands``; returns how many pairs were the same.

    Raises `RtlMismatch` with the first operands that were not, and `RtlError`.
    """
    program = build(rtl)
    for kind, pairs in operands.items():
        found = answers(program, pairs)
        if len(found) != len(pairs):
            raise RtlError(f"The RTL gave {len(found)} answers to {len(pairs)} requests.")
        for number, ((left, right), answer) in enumerate(zip(pairs, found, strict=True)):
            expected = dot4z(left, right) & 0xFFFFFFFF
            if answer != expected:
                wrong = sum(dot4z(*pair) & 0xFFFFFFFF != other for pair, other in zip(pairs, found, strict=True))
                raise RtlMismatch(
                    f"{rtl.name}: first mismatch at {kind} operands {number} of {len(pairs)}: "
                    f"rs1 0x{left:08x} {lanes(left)}, rs2 0x{right:08x} {lanes(right)}: the RTL gives 0x{answer:08x}, "
                    f"the model 0x{expected:08x} ({dot4z(left, right)}); they differ in bits "
                    f"0x{answer ^ expected:08x}. {wrong} of these operands have other answers."
                )
    return sum(map(len, operands.values()))


def planted_complaint(folder: Path, numbers: random.Random) -> str:
    """Flip one bit of the RTL, and return what the check says of it; empty if it passes."""
    text = RTL.read_text(encoding="utf-8")
    flips = (
        ("product_2 + product_3;", f"(product_2 + product_3) ^ 32'd{1 << numbers.randrange(16)};"),
        ("inputs_0[15:8]", "inputs_0[14:7]"),
        ("inputs_1[31:24]", "inputs_1[30:23]"),
    )
    right, wrong = numbers.choice(flips)
    flipped = folder / "flipped.v"
    flipped.write_text(text.replace(right, wrong, 1), encoding="utf-8")
    try:
        check(flipped, {"corner": corner_operands(), "random": random_operands()})
    except RtlMismatch as error:
        return str(error)
    return ""


def main(arguments: Sequence[str] | None = None) -> int:
    """Check a file and print what was compared."""
    parser = argparse.ArgumentParser(prog="python -m springbok.rtl_check", description=__doc__.splitlines()[0])
    parser.add_argument("rtl", nargs="?", type=Path, default=RTL, help="default: the project's own")
    parser.add_argument("--random", type=int, default=RANDOM_PAIRS, metavar="COUNT", help="random pairs of operands")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    try:
        recorded, results = recorded_operands()
        operands = {"recorded": recorded, "corner": corner_operands()}
        operands["random"] = random_operands(options.random, options.seed)
        count = check(options.rtl, operands)
    except (BenchError, AssertionError) as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, VerilatorMissing) else 1
    kinds = ", ".join(f"{len(pairs):,} {kind}" for kind, pairs in operands.items())
    sys.stdout.write(
        f"{options.rtl.name}: {count:,} answers are the model's ({kinds}).\n"
        f"dense_1 in int8 on the chip: {results[0].dot4z_instructions:,} instructions with dot4z, "
        f"{results[0].plain_instructions:,} without.\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
