# SPDX-License-Identifier: Apache-2.0
"""Models on a chip that the runtime does not fit: a host does the VM's part, the chip runs one kernel at a time.

``./bench trial kernels-alone MODEL…`` says by memory what each kernel takes. Where all fit, the model runs on Spike,
its outputs are held against the framework's, and its kernels' instructions are counted. ``--record`` writes the table
to ``docs/kernels-alone.md``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from springbok.chips.description import load
from springbok.compiler.chip_check import ROUNDING
from springbok.compiler.judgement import judge
from springbok.measuring.fit import Fit
from springbok.measuring.kernels_alone import KernelsAlone, compile_alone
from springbok.support.errors import BenchError, CompileError
from springbok.support.files import write_in_one_step
from springbok.support.places import ROOT, model_file

FILE = ROOT / "docs" / "kernels-alone.md"
CHIP = "coralnpu"
FILES = (
    *("conv1d_int8.mlirbc", "digits_jax.mlirbc", "gestures_int8.tflite", "magic_wand_int8.tflite"),
    *("gru_int8.tflite", "ds_cnn_int8.tflite", "autoencoder_int8.tflite"),
)
_HEAD = """\
# Kernels alone

Made by `./bench trial kernels-alone --record`: models on `{chip}` ({title}),
which the runtime does not fit. A host does the VM's part; the chip runs one kernel at a time, whose code, constants and
tensors are put into its memories before ([chips.md](chips.md)). Bytes are the largest of all kernels', beside a program
of {program} bytes and a stack of {stack}; Spike's own debug module takes {below} bytes of the code's memory.
Instructions are the kernels' of one inference on Spike, whose outputs were the framework's. What does not fit did not
run: its first kernel that lacks something is named.
"""


@dataclass(frozen=True)
class Row:
    """A model. What did not run has no ``instructions``; ``worst`` is the largest of each kind of bytes."""

    file: str
    fits: tuple[Fit, ...]
    instructions: int | None = None
    stack_peak_bytes: int | None = None

    def largest(self, part: str) -> int:
        """The most bytes of a kind that a kernel takes."""
        return max(sum(memory.parts.get(part, 0) for memory in fit.memories) for fit in self.fits)

    @property
    def lack(self) -> str:
        """Which kernel lacks how much; empty if all fit."""
        for found in self.fits:
            if not found.fits:
                lacks = ", ".join(f"{memory.name} {-memory.free_bytes:,}" for memory in found.missing)
                return f"{found.model.split(', ')[1].removesuffix(' alone')}: {lacks}"
        return ""

    def cells(self) -> list[str]:
        """A line of the table."""
        parts = ("kernel's code", "kernel's constants", "tensors")
        counts = (self.instructions, self.stack_peak_bytes)
        return [
            *(self.file, str(len(self.fits))),
            *(f"{self.largest(part):,}" for part in parts),
            *("" if count is None else f"{count:,}" for count in counts),
            self.lack,
        ]


_HEADING = ("model", "dispatches", "code", "constants", "tensors", "instructions", "stack", "lacks")


def measure(file: str, chip_name: str = CHIP) -> Row:
    """Compile a model, by its path or a name in ``models/``, and run it if all of its kernels fit.

    Raises BenchError, also for outputs that differ.
    """
    chip = load(chip_name)
    model = compile_alone(model_file(file), chip)
    alone = KernelsAlone(model, chip)
    if not all(found.fits for found in alone.fits):
        return Row(file, alone.fits)
    inputs, expected = model.probes.inputs, model.probes.expected
    with alone:
        outputs = alone.infer(
            *(array[:1].reshape(spec.shape) for array, spec in zip(inputs, model.inputs, strict=True))
        )
        counts = alone.take_counts()
    wanted = [array[:1] for array in expected]
    got = [array.reshape(like.shape) for array, like in zip(outputs, wanted, strict=True)]
    judgement = judge(model.outputs, got, wanted, replace(model.tolerance, factor=ROUNDING))
    if not judgement.passed:
        raise CompileError(f"{file}: the kernels alone do not compute what the framework does: {judgement.worst}")
    instructions = sum(each.kernel_instructions for each in counts.inferences)
    return Row(file, alone.fits, instructions, alone.stack_peak_bytes)


def document(rows: Sequence[Row], chip_name: str = CHIP) -> str:
    """The page."""
    chip, first = load(chip_name), rows[0]
    sizes = {name: f"{first.largest(name):,}" for name in ("program", "stack", "below the first instruction")}
    head = _HEAD.format(
        chip=chip.name,
        title=chip.title,
        program=sizes["program"],
        stack=sizes["stack"],
        below=sizes["below the first instruction"],
    )
    lines = [_HEADING, (":--", *["--:"] * 6, ":--"), *(row.cells() for row in rows)]
    return head + "\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table, or write it."""
    parser = argparse.ArgumentParser(prog="./bench trial kernels-alone", description=__doc__.splitlines()[0])
    parser.add_argument(
        "models", nargs="*", metavar="MODEL", default=FILES, help="files, also of models/ (default: some)"
    )
    parser.add_argument("--platform", default=CHIP, metavar="CHIP", help=f"name or file of a chip (default: {CHIP})")
    parser.add_argument("--record", action="store_true", help=f"write docs/{FILE.name}")
    options = parser.parse_args(arguments)
    rows = []
    try:
        for file in options.models:
            rows.append(measure(file, options.platform))
            sys.stdout.write(f"{', '.join(rows[-1].cells())}\n")
            sys.stdout.flush()
            for found in rows[-1].fits:
                if not found.fits:
                    sys.stdout.write(f"  {found.describe()}\n")
    except BenchError as error:
        sys.stderr.write(f"kernels-alone: {error}\n")
        return 2
    if options.record:
        write_in_one_step(Path(FILE), document(rows, options.platform))
    else:
        sys.stdout.write(document(rows, options.platform))
    return 0
