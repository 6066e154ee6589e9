# SPDX-License-Identifier: Apache-2.0
"""What models take with the optimizer and without: docs/optimizer.md's table, by ``./bench trial optimizer-table``.

Each model is compiled as stock IREE does it and with the default flags, and runs on Spike: a warm inference is counted,
runtime included. With ``--record`` the rows of the models that were asked for take the place of
theirs in the document.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from springbok.chips.description import load
from springbok.compiler.compiled import Target
from springbok.compiler.compiler import compile_model
from springbok.compiler.optimizer import DEFAULT_LEVEL
from springbok.exploring.search import INFERENCE_LIMIT_SECONDS
from springbok.session import Session
from springbok.support.errors import BenchError
from springbok.support.files import write_in_one_step
from springbok.support.places import ROOT, model_file
from springbok.tensors import probe_inputs

FILE = ROOT / "docs" / "optimizer.md"
FILES = (
    *("ds_cnn_int8.tflite", "mobilenet_vww_int8.tflite", "resnet8_int8.tflite", "autoencoder_int8.tflite"),
    *("autoencoder.keras", "magic_wand_int8.tflite", "magic_wand.h5", "digits.onnx"),
)
VLENS = tuple(vlen for vlen in load().vlens if vlen)
STOCK_VLEN = load().vlen  # at which stock IREE is counted too, and memory
HEADING = ("model", "stock IREE", *(f"VLEN {vlen}" for vlen in VLENS), "module", "memory")


@dataclass(frozen=True)
class Cost:
    """A warm inference's instructions, and bytes: the module's, and all that the model needs on the chip."""

    instructions: int
    module_bytes: int
    memory_bytes: int


def measure(session: Session, file: Path, vlen: int, level: str = DEFAULT_LEVEL) -> Cost:
    """Compile a model, and run it twice on the session's chip, which has this VLEN."""
    model = compile_model(file, Target.of("vector", vlen), optimize=level)
    session.load_model(model)
    inputs = [array[0] for array in probe_inputs(model.inputs, 1)]
    for _ in range(2):  # the second is warm
        session.infer(*inputs, raw=True, timeout=INFERENCE_LIMIT_SECONDS)
    profile = session.need_link().profile()
    return Cost(profile.inference_instructions, model.vmfb_bytes, profile.memory_peak_bytes)


def row_of(path: Path) -> list[str]:
    """The cells of a model's row."""
    session, costs = Session(), []
    try:
        for vlen in VLENS:
            session.boot("spike", vlen=vlen, count_opcodes=False)
            costs.append(measure(session, path, vlen))
            if vlen == STOCK_VLEN:
                stock = measure(session, path, vlen, "none")
    finally:
        session.shut_down()
    return cells(path.name, stock, costs)


def cells(name: str, stock: Cost, costs: Sequence[Cost]) -> list[str]:
    """A row: ``costs`` at each of `VLENS`."""
    here = costs[VLENS.index(STOCK_VLEN)]
    counts = (stock.instructions, *(cost.instructions for cost in costs), here.module_bytes, here.memory_bytes)
    return [f"`{name}`", *(f"{count:,}" for count in counts)]


def in_place(document: str, rows: dict[str, list[str]]) -> str:
    """The document with these rows in the place of theirs, in the order of `FILES`; others are behind.

    Raises BenchError when it has no such table.
    """
    lines = document.split("\n")
    heading = _line(HEADING)
    if heading not in lines:
        raise BenchError(f"{FILE} has no table with the heading {heading}")
    first = lines.index(heading) + 2
    end = next(at for at in range(first, len(lines)) if not lines[at].startswith("|"))
    table = {line.split("|")[1].strip(" `"): line for line in lines[first:end]}
    table |= {name: _line(row) for name, row in rows.items()}
    names = sorted(table, key=lambda name: FILES.index(name) if name in FILES else len(FILES))
    return "\n".join([*lines[:first], *(table[name] for name in names), *lines[end:]])


def _line(row: Sequence[str]) -> str:
    return f"| {' | '.join(row)} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the rows, or write them too."""
    parser = argparse.ArgumentParser(prog="./bench trial optimizer-table", description=__doc__.splitlines()[0])
    parser.add_argument(
        "models", nargs="*", metavar="MODEL", default=FILES, help="files, also of models/ (default: the table's)"
    )
    parser.add_argument("--record", action="store_true", help=f"write docs/{FILE.name}")
    options = parser.parse_args(arguments)
    sys.stdout.write(f"{_line(HEADING)}\n")
    try:
        for path in map(model_file, options.models):
            row = row_of(path)
            sys.stdout.write(f"{_line(row)}\n")
            sys.stdout.flush()
            if options.record:
                write_in_one_step(FILE, in_place(FILE.read_text(encoding="utf-8"), {path.name: row}))
    except BenchError as error:
        sys.stderr.write(f"optimizer table: {error}\n")
        return 2
    return 0
