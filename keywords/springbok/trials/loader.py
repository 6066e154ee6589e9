# SPDX-License-Identifier: Apache-2.0
"""libFuzzer on the loader: ``./bench trial loader --seconds 600``; needs Clang.

All that a module goes through in the runtime (archive, verifier, kernels' file, an inference, played and interpreted)
is built for this machine with sanitizers, a stand-in in place of the kernels. It begins with modules of the conformance
suite, in both placements of kernels. What makes it crash, hang or end otherwise the second way is kept as a file.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from springbok.chips.description import load
from springbok.compiler.compiled import Target
from springbok.firmware import write_sources
from springbok.support import process
from springbok.support.errors import BenchError, FirmwareError
from springbok.support.files import build_folder
from springbok.support.places import FIRMWARE
from springbok.trials import conformance, mutation

SANITIZERS = ("fuzzer", "address", "undefined")
#: Modules to begin with: small, and with every kind of instruction of the VM between them.
SEEDS = (*mutation.BASES, "branch_table", "globals", "vm_buffers", "vm_conversions", "residual_i8")
LONGEST_BYTES = 40_000
SECONDS_AN_INPUT = 10


def build(program: Path, compiler: str = "clang", sanitizers: Sequence[str] = SANITIZERS, *flags: str) -> Path:
    """Builds the fuzzer with ``compiler``; returns the program. Raises :class:`FirmwareError`."""
    if not (found := shutil.which(compiler)):
        raise FirmwareError(f"The loader's fuzzer needs Clang with libFuzzer, but there is no '{compiler}' on PATH.")
    made = write_sources(load(), program.with_suffix(".chip"))
    options = [f"-fsanitize={','.join(sanitizers)}", "-fno-sanitize-recover=all", "-Iruntime", f"-I{made}", *flags]
    sources = [*sorted((FIRMWARE / "runtime").glob("*.c")), "port/host.c", "test/fuzz_loader.c"]
    done = process.run([found, "-std=gnu11", "-O1", "-g", *options, *sources, "-lm", "-o", program], cwd=FIRMWARE)
    if done.exit_code:
        raise FirmwareError(f"{compiler} can't build the loader's fuzzer:\n{done.output.strip()}")
    return program


def write_seeds(folder: Path, names: Sequence[str] = SEEDS) -> None:
    """Writes each module twice: the byte before it says whether kernels are copied, or linked where they lie."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        module = conformance.prepare(conformance.MODULES / f"{name}.mlir", Target()).model.vmfb.read_bytes()
        for placement in (0, 1):
            (folder / f"{name}.{placement}").write_bytes(bytes([placement]) + module)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what libFuzzer says at the end; the exit status is 1 when it found something."""
    parser = argparse.ArgumentParser(prog="./bench trial loader", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=int, default=600, help="how long (default: 600)")
    parser.add_argument("--seed", type=int, default=1, help="other seeds give other inputs (default: 1)")
    parser.add_argument("--output", type=Path, default=build_folder() / "loader", metavar="FOLDER", help="for inputs")
    options = parser.parse_args(arguments)
    folder = options.output.resolve()
    (folder / "corpus").mkdir(parents=True, exist_ok=True)
    try:
        program = build(folder / "fuzz_loader")
        write_seeds(folder / "seeds")
    except BenchError as error:
        sys.stderr.write(f"loader: {error}\n")
        return 2
    limits = [f"-max_total_time={options.seconds}", f"-max_len={LONGEST_BYTES + 1}", f"-timeout={SECONDS_AN_INPUT}"]
    said = [f"-seed={options.seed}", f"-artifact_prefix={folder}/", "-print_final_stats=1"]
    done = process.run([program, *limits, *said, folder / "corpus", folder / "seeds"], options.seconds + 120)
    lines = done.output.splitlines()
    sys.stdout.write("\n".join(lines[-60 if done.exit_code else -10 :]) + "\n")
    sys.stdout.write(f"found something: its input is in {folder}\n" if done.exit_code else "no finding\n")
    return int(done.exit_code != 0)
