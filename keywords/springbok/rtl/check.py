# SPDX-License-Identifier: Apache-2.0
"""What a core's folder still lacks, in sentences: from the files alone, from Verilator, from the first instructions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from springbok.chips.chip import Chip
from springbok.rtl import build, ports, program, random_program
from springbok.rtl.core import CHIP_FILE, CORE_FILE, Core, load
from springbok.rtl.difference import Difference
from springbok.rtl.extensions import extensions_of
from springbok.rtl.native_machine import Trial
from springbok.support.errors import BenchError, RtlToolNeeded
from springbok.support.files import temporary_folder

MTVEC = 0x305
STRAIGHT = 8  # instructions of the first program
MCOUNTINHIBIT, COUNTERS = 0x320, {"minstret": 0xB02, "mcycle": 0xB00}


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
    sentences = list(of_the_wrapper(core, chip))
    yield from sentences
    if "rvfi_mem_addr" not in ports.of(core.wrapper):
        compared = "stores are compared on the bus alone" if core.stores_on_bus else "no store is compared"
        say(f"The retire port tells nothing of memory (rvfi_mem_...): {compared}.")
    if sentences:
        return
    try:
        lacking = build.what_is_missing()
        if lacking:
            raise RtlToolNeeded(lacking)
        golden = build.reference_of(core, chip)
        library = build.build(core, say).library
    except RtlToolNeeded:
        raise
    except BenchError as error:
        yield str(error)
        return
    yield from _first_instructions(core, chip, library, golden, say)


def of_the_wrapper(core: Core, chip: Chip) -> Iterator[str]:
    """What the wrapper, and what core.toml and chip.toml say of each other, lack or contradict: nothing is built."""
    text = core.wrapper.read_text(encoding="utf-8", errors="replace")
    declared = ports.read(text)
    if declared is None:
        yield f"{core.wrapper.name} has no module {ports.MODULE}."
        return
    unfilled = re.search(r"\bFILL_IN\b", re.sub(r"//.*", "", text))
    if unfilled:
        yield f"{core.wrapper.name} still says FILL_IN: put your core there."
    wanted = ports.needed(declared, core.retires, chip.has("f"), chip.vlen or 0)
    absent = [port for port in wanted if port not in declared]
    if absent:
        yield f"{core.wrapper.name} has no port {', '.join(absent)}."
    faults = list(ports.faults(declared, wanted))
    if faults:
        yield f"{core.wrapper.name}: {'; '.join(faults)}."
    vectors = _vectored_alone(core, chip)
    if vectors:
        yield vectors


def _vectored_alone(core: Core, chip: Chip) -> str | None:
    """A sentence where core.toml says of mtvec what chip.toml doesn't: the firmware's handler needs it."""
    rule = next((rule for rule in core.rules if rule.address == MTVEC), None)
    if chip.vectored or rule is None or not rule.compared or not (rule.always & 1 or ~rule.keep & 0xFC):
        return None
    return (
        f"By its rule in {CORE_FILE} mtvec is vectored alone, or aligned to more than 4 bytes: {CHIP_FILE} needs "
        "vectored = true in [core]."
    )


def hint(found: Difference) -> str:
    """What a difference of a random program may come from beside the core: what its folder says of it."""
    if "the retire port tells 0x" in found.why:
        return "Is rvfi_insn the word of what retires, as it lies in memory, and not what a compressed one stands for?"
    elsewhere = found.why.startswith(("pc:", "branch", "the branch", "the jump")) and "interrupt" not in found.why
    if found.stuck or elsewhere:
        return "Does rvfi_valid tell all that retires, and does the core take each grant and answer of its buses?"
    if found.why.startswith("on the bus"):
        return (
            "Do d_be and d_wdata lie in the lanes of the address's word, and does each store reach the bus once, in "
            "order? Else core.toml needs stores_on_bus = false."
        )
    if "interrupt" in found.why or "rvfi_intr" in found.why:
        return (
            "Are irq_software, irq_timer and irq_external the core's own interrupts of these names, and does rvfi_intr "
            "mark the first instruction of each handler, and no other?"
        )
    if re.search(r"cause [46]\b", found.why):
        return (
            "Does the core do misaligned accesses? Then isa in core.toml has _zicclsm, and has it not where they trap."
        )
    about_mtvec = (
        "Is it the core, or is a rule for mtvec missing in core.toml (keep, always)? A core that is vectored "
        "alone, or aligns mtvec to 256 bytes, needs vectored = true in chip.toml too."
    )
    about_others = "Is it the core, or is a rule for a register missing in core.toml?"
    return about_mtvec if found.assembly.endswith("mtvec") else about_others


def _first_instructions(core, chip, library: Path, golden: Path, say: Callable[[str], None]) -> Iterator[str]:
    """A few additions from the first address on, then random programs, quiet and with stalls, then errors."""
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
        if outcome.difference:
            yield f"The first instructions (addi x1, x1, 1) differ: {outcome.difference.said}."
            return
        stopped = _counters(core, chip, library, golden, folder)
        if stopped:
            yield stopped
        for what, trial in (("", Trial()), (" with stalls on the buses", Trial(stall=200_000, delay=200_000))):
            _, differing = random_program.run(library, golden, core, chip, range(1, 6), folder, 100, trial)
            if differing:
                seed, outcome = differing[0]
                found = outcome.difference
                yield f"A random program (seed {seed}){what} differs: {found.said}. {hint(found)}"
                return
        for sentence in errors_without_trap(core, chip, library, golden, folder):
            say(sentence)


def errors_without_trap(core: Core, chip: Chip, library: Path, golden: Path, folder: Path) -> Iterator[str]:
    """A sentence for each bus whose errors are no traps: there are cores that know none, so nothing is missing."""
    handler, target = chip.start + 0x400 & ~0xFF, chip.start + 0x800
    data = chip.holding("data").base
    begin = [*program.load_constant(5, handler), program.csrw(MTVEC, 5), *program.load_constant(6, data)]
    load = [*begin, 0x0003_2383, program.STAY]  # lw x7, 0(x6)
    fetch = [*begin, program.jump(target - chip.start - 4 * len(begin))]
    reads_cause = [0x3420_2E73, program.STAY]
    vectors = {handler + at: word for at, word in zip((0, 4), reads_cause, strict=True)}
    tried = {"d_err": ("load", load, data, 5)}
    tried |= {"i_err": ("fetch", fetch, target, 1)} if "i_req" in ports.of(core.wrapper) else {}
    for port, (what, words, address, cause) in tried.items():
        memory = {chip.start + 4 * at: word for at, word in enumerate(words)} | vectors | {target: program.STAY}
        elf = folder / program.PROGRAM
        elf.write_bytes(program.elf_of(memory, chip.start))
        case = program.Case(core.name, len(begin) + 2, errors=((len(begin) + 1, address),))
        outcome = program.run(library, golden, core, chip, elf, case)
        said = outcome.difference.said if outcome.difference else "the program met none"
        if outcome.difference or outcome.registers[28] != cause:
            yield (
                f"An error on the bus ({port}) of a {what} at 0x{address:x} is no trap of its kind: {said}. "
                f"Is {port} connected? A core that knows no such errors has none."
            )


def _counters(core: Core, chip: Chip, library: Path, golden: Path, folder: Path) -> str | None:
    """A sentence where counters that the firmware reads stand, or minstret leaves instructions out: each is read twice,
    and between lie additions and accesses of registers."""
    words = [program.csrw(MCOUNTINHIBIT, 0)] if chip.counters_stopped else []
    first, second = range(10, 10 + len(COUNTERS)), range(20, 20 + len(COUNTERS))
    reads = [
        [address << 20 | 2 << 12 | rd << 7 | 0x73 for rd, address in zip(registers, COUNTERS.values(), strict=True)]
        for registers in (first, second)
    ]
    between = [0x0010_8093, 0x3400_9073] * STRAIGHT  # addi x1, x1, 1; csrw mscratch, x1
    halves = [0x0085_0085] * STRAIGHT if "c" in extensions_of(core.reference_isa or chip.isa()) else []  # c.addi x1, 1
    between += halves
    words += [*reads[0], *between, *reads[1]]
    elf = folder / program.PROGRAM
    placed = {chip.start + 4 * at: word for at, word in enumerate([*words, program.STAY])}
    elf.write_bytes(program.elf_of(placed, chip.start))
    outcome = program.run(library, golden, core, chip, elf, program.Case(core.name, len(words)))
    if outcome.difference:
        return f"A program that reads {' and '.join(COUNTERS)} differs: {outcome.difference.said}."
    read = {name: [outcome.registers[at] for at in pair] for name, *pair in zip(COUNTERS, first, second, strict=True)}
    standing = [f"{name} reads {before:,} twice" for name, (before, after) in read.items() if before == after]
    if not standing:
        (before, after), retired = read["minstret"], len(COUNTERS) + len(between) + len(halves)
        if abs((after - before & 0xFFFF_FFFF) - retired) <= 1:  # it may have the one before, or not yet
            return None
        return f"minstret counts {after - before & 0xFFFF_FFFF:,} of {retired} instructions."
    advice = (
        "though mcountinhibit was cleared"
        if chip.counters_stopped
        else f"so the firmware counts nothing. If mcountinhibit comes up set, {CHIP_FILE} needs "
        "counters_stopped = true in [core]"
    )
    return f"The core's counters stand ({', '.join(standing)}), {advice}."
