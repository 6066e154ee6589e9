# SPDX-License-Identifier: Apache-2.0
"""What a core's folder still lacks, in sentences: from the files alone, from Verilator, from the first instructions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from springbok.rtl import build, program, random_program
from springbok.rtl.core import load
from springbok.rtl.native_machine import Trial
from springbok.support.errors import BenchError, RtlToolNeeded
from springbok.support.files import temporary_folder

#: Ports of the wrapper that must be there, and those that add to what is compared.
CLOCK = ("clk", "rst_n", "boot_addr", "irq_software", "irq_timer")
DATA_BUS = ("d_req", "d_gnt", "d_we", "d_be", "d_addr", "d_wdata", "d_rvalid", "d_rdata", "d_err")
INSTRUCTION_BUS = ("i_req", "i_gnt", "i_addr", "i_rvalid", "i_rdata", "i_err")
RETIRE = ("rvfi_valid", "rvfi_insn", "rvfi_trap", "rvfi_intr", "rvfi_pc_rdata", "rvfi_rd_addr", "rvfi_rd_wdata")
MEMORY = ("rvfi_mem_addr", "rvfi_mem_rmask", "rvfi_mem_wmask", "rvfi_mem_rdata", "rvfi_mem_wdata")
FLOATS = ("rvfi_frd_wvalid", "rvfi_frd_addr", "rvfi_frd_wdata")
VECTORS = ("rvvi_v_wb", "rvvi_v_wdata")
STRAIGHT = 8  # instructions of the first program


def missing(folder: Path, say: Callable[[str], None]) -> Iterator[str]:
    """Yield a sentence for each thing that is missing or wrong; ``say`` gets what is being done.

    Raises RtlToolNeeded where the tools are not here: whether the core works can't be said then.
    """
    try:
        core = load(folder)
        chip = core.chip()
    except BenchError as error:
        yield str(error)
        return
    if not core.wrapper.is_file():
        yield f"There is no wrapper {core.wrapper.name}: it is the module springbok_core."
        return
    text = re.sub(r"//.*|/\*.*?\*/", "", core.wrapper.read_text(encoding="utf-8", errors="replace"))
    ports = set(re.findall(r"\b\w+\b", text))
    if "springbok_core" not in ports:
        yield f"{core.wrapper.name} has no module springbok_core."
    if "FILL_IN" in ports:
        yield f"{core.wrapper.name} still says FILL_IN: put your core there."
    wanted = [*CLOCK, *DATA_BUS, *RETIRE]
    wanted += INSTRUCTION_BUS if "i_req" in ports else ()
    wanted += FLOATS if chip.has("f") else ()
    wanted += VECTORS if chip.vlen else ()
    absent = [port for port in wanted if port not in ports]
    if absent:
        yield f"{core.wrapper.name} has no port {', '.join(absent)}."
    if any(port not in ports for port in MEMORY):
        say("The retire port tells nothing of memory (rvfi_mem_...): stores are compared on the bus alone.")
    if absent or "FILL_IN" in ports:
        return
    try:
        library, golden = build.build(core, say).library, build.build_golden()
    except RtlToolNeeded:
        raise
    except BenchError as error:
        yield str(error)
        return
    yield from _first_instructions(core, chip, library, golden)


def _first_instructions(core, chip, library: Path, golden: Path) -> Iterator[str]:
    """A few additions from the first address on, then random programs, quiet and with stalls."""
    with temporary_folder() as folder:
        elf = folder / program.PROGRAM
        words = {chip.start + 4 * at: 0x0010_8093 for at in range(STRAIGHT)} | {chip.start + 4 * STRAIGHT: program.STAY}
        elf.write_bytes(program.elf_of(words, chip.start))
        outcome = program.run(library, golden, core, chip, elf, program.Case(core.name, STRAIGHT))
        if outcome.instructions == 0:
            yield (
                f"Nothing retires: does the core begin at 0x{chip.start:x} (start of chip.toml), is it out of reset "
                "when rst_n is 1, and is rvfi_valid connected?"
            )
            return
        if outcome.why:
            where = f"{outcome.assembly} at 0x{outcome.pc:x}"
            yield f"The first instructions (addi x1, x1, 1) differ: {outcome.why}, {where}."
            return
        for what, trial in (("", Trial()), (" with stalls on the buses", Trial(stall=200_000, delay=200_000))):
            _, differing = random_program.run(library, golden, core, chip, range(1, 6), folder, 100, trial)
            if differing:
                seed, outcome = differing[0]
                where = f"{outcome.assembly} at 0x{outcome.pc:x}"
                yield (
                    f"A random program (seed {seed}){what} differs: {where}: {outcome.why}. "
                    "Is it the core, or is a rule for a register missing in core.toml?"
                )
                return
