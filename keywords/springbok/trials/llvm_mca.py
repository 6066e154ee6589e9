# SPDX-License-Identifier: Apache-2.0
"""Single blocks by a timing and by LLVM's model of a SiFive X280: ``./bench trial llvm-mca``.

Both are models of nothing that was measured here: the trial shows where they see a block otherwise, not who is right.
The X280 has vectors of 512 bits and a datapath of 256, as `springbok_assumed` has. LLVM's model takes every vector
instruction for one on whole groups of registers, whatever vl is, and knows no memory; so the sum leaves out blocks that
work on less. Each block is taken to follow itself, without what its branch costs.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from springbok.chips.chip import Chip
from springbok.chips.description import load as load_chip
from springbok.compiler.compiled import Target
from springbok.compiler.compiler import compile_and_check
from springbok.engines.base import Site
from springbok.exploring.calibrate import inference
from springbok.exploring.search import search
from springbok.support import process
from springbok.support.errors import BenchError
from springbok.support.files import temporary_folder
from springbok.support.places import model_file
from springbok.timing.blocks import blocks
from springbok.timing.description import Timing
from springbok.timing.estimate import turn
from springbok.timing.loading import timing_of
from springbok.timing.operands import operation

CORE, VLEN = "sifive-x280", 512
MODEL, TIMING, BLOCKS = "gestures_int8.tflite", "springbok_assumed", 12
ITERATIONS = 200
_NEWEST, _OLDEST = 40, 17  # versions of LLVM that are looked for; the X280's model is in none before
_LINE = "{:<34} {:>10} {:>8} {:>12} {:>5} {:>8} {:>8} {:>5}\n"
_LMUL = {0: "M1", 1: "M2", 2: "M4", 3: "M8", 5: "MF8", 6: "MF4", 7: "MF2"}


@dataclass(frozen=True)
class Hot:
    """A block of a dispatch: its machine code, how often it was executed, the cycles of a turn by the timing.

    ``vtype`` is that of its first vector instruction, None where it has none; ``is_whole`` says that vl is as many
    elements as the groups hold in each.
    """

    dispatch: str
    start: int
    code: bytes
    instructions: int
    executions: int
    cycles: float
    vtype: int | None
    is_whole: bool


def tools() -> tuple[str, str]:
    """``llvm-mca`` and ``llvm-mc`` of one version, the newest on PATH. Raises :class:`BenchError` without one."""
    for ending in (*(f"-{version}" for version in range(_NEWEST, _OLDEST - 1, -1)), ""):
        found = shutil.which(f"llvm-mca{ending}"), shutil.which(f"llvm-mc{ending}")
        if all(found) and (ending or _version(found[0]) >= _OLDEST):
            return found
    raise BenchError(
        f"This trial needs llvm-mca and llvm-mc of LLVM {_OLDEST} or newer on PATH (Debian: llvm-22): they know {CORE}."
    )


def _version(program: str) -> int:
    found = re.search(r"LLVM version (\d+)", process.run([program, "--version"]).output)
    return int(found[1]) if found else 0


def hot_blocks(dispatch: str, sites: Sequence[Site], timing: Timing, vlen: int) -> list[Hot]:
    """The blocks of what was executed in one dispatch; ``vlen`` in bits."""
    met: dict[int, list[Site]] = {}
    for site in sites:
        met.setdefault(site.pc, []).append(site)
    made = []
    for block in blocks(sites, vlen):
        most, code = [], b""
        for _ in block.variants[0].operations:
            most.append(max(met[block.start + len(code)], key=lambda site: site.executions))
            word = most[-1].word
            code += word.to_bytes(4 if word & 3 == 3 else 2, "little")
        vectors = [site for site in most if operation(site.word, site.vl, site.vtype, vlen).unit.is_vector]
        made.append(
            Hot(
                dispatch,
                block.start,
                code,
                len(most),
                block.executions,
                turn(block, timing),
                vectors[0].vtype if vectors else None,
                all(site.vl == _most_elements(site.vtype, vlen) for site in vectors),
            )
        )
    return made


def _most_elements(vtype: int, vlen: int) -> int:
    lmul = vtype & 7
    return (vlen << lmul if lmul < 4 else vlen >> 8 - lmul) // (8 << (vtype >> 3 & 7))


def by_llvm(found: Sequence[Hot]) -> list[float]:
    """Cycles of a turn of each block by LLVM's model. Raises :class:`BenchError` where it can't take them."""
    mca, mc = tools()
    with temporary_folder() as folder:
        program = folder / "blocks.s"
        program.write_text("".join(_region(number, each, mc, folder) for number, each in enumerate(found)))
        done = process.run([mca, "-mtriple=riscv64", f"-mcpu={CORE}", f"-iterations={ITERATIONS}", "-json", program])
    begin = done.output.find("{")
    if done.exit_code or begin < 0:
        raise BenchError(f"llvm-mca can't take these blocks for {CORE}:\n{done.output.strip()}")
    regions = {each["Name"]: each["SummaryView"] for each in json.loads(done.output[begin:])["CodeRegions"]}
    return [regions[str(number)]["TotalCycles"] / ITERATIONS for number in range(len(found))]


def _region(number: int, block: Hot, mc: str, folder: Path) -> str:
    """A block as llvm-mca's text; registers and effects are those of 32 bits, which time alike."""
    encoded = folder / "words"
    encoded.write_text(" ".join(f"0x{octet:02x}" for octet in block.code))
    done = process.run([mc, "--disassemble", "-triple=riscv64", f"-mcpu={CORE}", encoded])
    if done.exit_code or "invalid" in done.output:
        raise BenchError(f"{CORE} lacks an instruction of the block at 0x{block.start:x}:\n{done.output.strip()}")
    told = []
    if block.vtype is not None:
        told.append(f"# LLVM-MCA-RISCV-LMUL {_LMUL[block.vtype & 7]}")
        told.append(f"# LLVM-MCA-RISCV-SEW E{8 << (block.vtype >> 3 & 7)}")
    return "\n".join([f"# LLVM-MCA-BEGIN {number}", *told, done.output, f"# LLVM-MCA-END {number}", ""])


def main(arguments: Sequence[str] | None = None) -> int:
    """Print each block with both figures; the exit status is 2 where there is no LLVM that can."""
    parser = argparse.ArgumentParser(prog="./bench trial llvm-mca", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default=MODEL, help=f"a file, also of models/ (default {MODEL})")
    parser.add_argument("--timing", default=TIMING, help=f"a timing, or a file (default {TIMING})")
    parser.add_argument("--blocks", type=int, default=BLOCKS, help=f"those with the most cycles (default {BLOCKS})")
    options = parser.parse_args(arguments)
    try:
        tools()
        chip = load_chip()
        found = _hottest(options.model, timing_of(options.timing, chip), chip)[: max(1, options.blocks)]
        told = by_llvm(found)
    except BenchError as error:
        sys.stderr.write(f"llvm-mca: {error}\n")
        return 2
    sys.stdout.write(_LINE.format("dispatch", "block", "times", "instructions", "vl", "timing", "x280", "ratio"))
    for each, cycles in zip(found, told, strict=True):
        vl = "" if each.vtype is None else "whole" if each.is_whole else "part"
        figures = (f"{each.cycles:.1f}", f"{cycles:.1f}", f"{each.cycles / cycles:.2f}")
        cells = (each.dispatch, f"0x{each.start:x}", f"{each.executions:,}", each.instructions, vl, *figures)
        sys.stdout.write(_LINE.format(*cells))
    whole = [(each, cycles) for each, cycles in zip(found, told, strict=True) if each.is_whole]
    own, llvms = (sum(each.executions * (each.cycles, cycles)[which] for each, cycles in whole) for which in (0, 1))
    sys.stdout.write(f"{len(whole)} blocks of whole groups or none: {own:,.0f} cycles and {llvms:,.0f} cycles\n")
    return 0


def _hottest(path: str, timing: Timing, chip: Chip) -> list[Hot]:
    """The blocks of a warm inference's dispatches, most cycles first."""
    model = compile_and_check(model_file(path), Target.of("vector", VLEN, chip), choose=search)
    counts = inference(model, "spike", VLEN)
    found = [
        block
        for ordinal, known in enumerate(model.dispatches)
        for block in hot_blocks(known.name, counts.sites.get(ordinal, ()), timing, VLEN)
    ]
    return sorted(found, key=lambda each: (-each.executions * each.cycles, each.dispatch, each.start))
