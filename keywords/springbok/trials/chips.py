# SPDX-License-Identifier: Apache-2.0
"""Every model of the project on every chip of the project: does it fit, and what does an inference cost?

``./bench trial chips`` compiles each model for each chip with vectors. What fits runs on Spike, where its answers are
held against the framework's; what does not is told by memory. ``--record`` writes the tables to ``docs/fit.md``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from springbok.chips.chip import DEFAULT, Chip
from springbok.chips.description import load, names
from springbok.compiler.compiled import Target
from springbok.compiler.compiler import compile_and_check
from springbok.firmware import FirmwareTooLarge
from springbok.measuring.fit import Fit, MemoryUse, fit, runtime_fit
from springbok.session import Session
from springbok.support.errors import BenchError
from springbok.support.files import write_in_one_step
from springbok.support.places import ROOT, model_file
from springbok.tensors import probe_inputs

FILE = ROOT / "docs" / "fit.md"
#: Models of the table; what they are says models/README.md.
FILES = (
    *("autoencoder.keras", "autoencoder_int8.tflite", "conv1d", "conv1d.tflite", "conv1d_int8.mlirbc"),
    *("digits.onnx", "digits_jax.mlirbc", "ds_cnn.keras", "ds_cnn_int8.tflite", "gestures.h5", "gestures_int8.tflite"),
    *("gru.keras", "gru_int8.tflite", "magic_wand.h5", "magic_wand_int8.tflite"),
    *("mobilenet_vww.keras", "mobilenet_vww_int8.tflite", "resnet8.keras", "resnet8_int8.tflite"),
)
INFERENCE_LIMIT_SECONDS = 1800
_HEAD = """\
# Which model fits which chip

Made by `./bench trial chips --record`, with vectors, at the optimizer's default level. Instructions are those of one
warm inference on Spike, runtime included; the answers were the framework's. Memory is the peak of the models' memory,
module included. Free is what each memory has left beside the runtime, below 0 what it lacks, as `./bench fit` says it.
What does not fit did not run. The parts by which a memory is filled: `./bench fit MODEL --platform CHIP`.
Where the runtime does not fit, kernels run alone: [kernels-alone.md](kernels-alone.md).
"""


@dataclass(frozen=True)
class Row:
    """A model on a chip. What did not run has neither ``instructions`` nor ``memory_bytes``."""

    file: str
    fit: Fit
    instructions: int | None = None
    memory_bytes: int | None = None

    def cells(self) -> list[str]:
        """A line of the table."""
        counts = ("" if count is None else f"{count:,}" for count in (self.instructions, self.memory_bytes))
        free = (f"{memory.free_bytes:,}" for memory in self.fit.memories)
        return [self.file, "yes" if self.fit.fits else "no", *counts, *free]


def measure(session: Session, file: str, chip: Chip) -> Row:
    """Compile a model for the session's chip, and run it if it fits."""
    model = compile_and_check(model_file(file), Target.of(chip=chip))
    found = fit(model, chip)
    if not found.fits or session.engine is None:
        return Row(file, found)
    session.load_model(model)
    inputs = probe_inputs(model.inputs, 1)
    for _ in range(2):  # the second is warm
        session.infer(*(array[0] for array in inputs), raw=True, timeout=INFERENCE_LIMIT_SECONDS)
    profile = session.need_link().profile()
    return Row(file, found, profile.inference_instructions, profile.memory_peak_bytes)


def rows_of(chip: Chip, files: Sequence[str] = FILES) -> Iterator[Row]:
    """The rows of a chip's table."""
    session = Session()
    try:
        with suppress(FirmwareTooLarge):  # the table says what lacks
            session.boot("spike", platform=chip.source, count_opcodes=False)
        for file in files:
            yield measure(session, file, chip)
    finally:
        session.shut_down()


def table(chip: Chip, rows: Sequence[Row]) -> str:
    """A chip's section of the document."""
    alone = runtime_fit(chip)
    heading = ["model", "fits", "instructions", "memory", *(f"free in {memory.name}" for memory in alone.memories)]
    lines = [heading, [":--", ":--", *["--:"] * (len(heading) - 2)], *(row.cells() for row in rows)]
    takes = "; ".join(map(_taken, alone.memories))
    return "\n".join(
        [f"## {chip.title}", "", f"`{chip.name}`, VLEN {chip.vlen}. Before any model: {takes}.", ""]
        + [f"| {' | '.join(line)} |" for line in lines]
    )


def _in_place(sections: Sequence[str]) -> list[str]:
    """The document's sections of chips, with the rows of these in the place of theirs."""
    known = FILE.read_text(encoding="utf-8").split("\n## ")[1:] if FILE.is_file() else []
    by_title = {each.partition("\n")[0]: f"## {each.strip()}" for each in known}
    for section in sections:
        title = section.partition("\n")[0].removeprefix("## ")
        head, rows = _split(section)
        rows = _split(by_title.get(title, ""))[1] | rows
        by_title[title] = "\n".join([*head, *(rows[name] for name in sorted(rows))])
    return list(by_title.values())


def _split(section: str) -> tuple[list[str], dict[str, str]]:
    """A section's lines before its rows, and its rows by their models."""
    lines = section.splitlines()
    begin = next((number for number, line in enumerate(lines, 1) if line.startswith("| :--")), len(lines))
    return lines[:begin], {line.split(" | ")[0]: line for line in lines[begin:]}


def _taken(memory: MemoryUse) -> str:
    parts = ", ".join(f"{name} {count:,}" for name, count in memory.parts.items() if count)
    return f"{memory.name} of {memory.bytes:,} bytes: {parts or 'nothing'}"


def chips() -> list[str]:
    """All chips, Springbok first."""
    return sorted(names(), key=lambda name: (name != DEFAULT, name))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables, or write them."""
    parser = argparse.ArgumentParser(prog="./bench trial chips", description=__doc__.splitlines()[0])
    parser.add_argument(
        "models", nargs="*", metavar="MODEL", default=FILES, help="files, also of models/ (default: all)"
    )
    parser.add_argument("--chips", nargs="+", metavar="CHIP", default=chips(), help="names or files (default: all)")
    parser.add_argument("--record", action="store_true", help=f"write docs/{FILE.name}")
    options = parser.parse_args(arguments)
    sections = [_HEAD.rstrip()]
    try:
        for name in options.chips:
            chip, rows = load(name), []
            for row in rows_of(chip, options.models):
                rows.append(row)
                sys.stdout.write(f"{chip.name}: {', '.join(row.cells())}\n")
                sys.stdout.flush()
            sections.append(table(chip, rows))
    except BenchError as error:
        sys.stderr.write(f"chips: {error}\n")
        return 2
    if options.record:
        write_in_one_step(Path(FILE), "\n\n".join([sections[0], *_in_place(sections[1:])]) + "\n")
    else:
        sys.stdout.write("\n\n".join(sections) + "\n")
    return 0
