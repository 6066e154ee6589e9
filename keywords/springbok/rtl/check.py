# SPDX-License-Identifier: Apache-2.0
"""What a core's folder still lacks, in sentences: from the files alone, from Verilator, from the first instructions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from springbok.chips.chip import Chip, is_of_vectors
from springbok.rtl import build, ports, program, random_program
from springbok.rtl.core import CHIP_FILE, CORE_FILE, Core, load
from springbok.rtl.difference import Difference
from springbok.rtl.extensions import lacking
from springbok.rtl.native_machine import Trial
from springbok.support.errors import BenchError, RtlToolNeeded
from springbok.support.files import temporary_folder

MTVEC = 0x305
STRAIGHT, EACH = 8, 16  # instructions of the first program, and of a kind that a counter may leave out
LOAD, STORE = 0x0003_2383, 0x0013_2023  # lw x7, 0(x6); sw x1, 0(x6)
FS, SET_MSTATUS = 0x6000, 0x3002_A073  # csrs mstatus, x5
#: The registers that the firmware or a short program that repeats a difference uses on every core.
MACHINE_MODE = ("mstatus", "mie", "mtvec", "mscratch", "mepc", "mcause", "mtval", "mcycle", "minstret")
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
    if left := not_compared(core, chip):
        say(left)
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
    yield from filter(None, (_vectored_alone(core, chip), _not_in_the_reference(core, chip)))


def _not_in_the_reference(core: Core, chip: Chip) -> str | None:
    """A sentence where programs are made for more than the reference executes: it would trap there."""
    if not (core.reference_isa and lacking(chip.isa(), core.reference_isa)):
        return None
    return (
        f"isa in {CHIP_FILE} is {chip.isa()}, and isa of [reference] in {CORE_FILE} is {core.reference_isa}, without "
        f"{', '.join(lacking(chip.isa(), core.reference_isa))}: add to {CORE_FILE} what the core executes, and take "
        f"the rest out of {CHIP_FILE}."
    )


def not_compared(core: Core, chip: Chip) -> str | None:
    """A sentence where the reference has registers that the chip's description lacks: no port is asked for them."""
    more = lacking(core.reference_isa or chip.isa(), chip.isa())
    kinds = {"floating-point": "f" in more, "vector": any(map(is_of_vectors, more))}
    if not any(kinds.values()):
        return None
    return (
        f"isa of [reference] in {CORE_FILE} is {core.reference_isa}, and isa in {CHIP_FILE} is {chip.isa()}: "
        f"{' and '.join(filter(kinds.get, kinds))} registers are not compared, and no program uses them."
    )


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
    return _hint_of_a_register(found)


def _hint_of_a_register(found: Difference) -> str:
    register = re.match(r"csr\w+ .*?\b(m[a-z]+)\b", found.assembly)
    if register is None:
        return "Is it the core, or is a rule for a register missing in core.toml?"
    if found.why.startswith("trapped"):
        return f"Has the core {register[1]}? It needs {', '.join(MACHINE_MODE)}: no rule stands for one that it lacks."
    sentence = f"Is it the core, or is a rule for {register[1]} missing in core.toml (keep, always, reset)?"
    if register[1] != "mtvec":
        return sentence
    return (
        f"{sentence} A core that is vectored alone, or aligns mtvec to 256 bytes, needs vectored = true in chip.toml "
        "too."
    )


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
            begins = f"The core begins elsewhere than at start of {CHIP_FILE}, 0x{chip.start:x}. "
            elsewhere = outcome.instructions <= 1 and outcome.why.startswith("pc:")
            yield (
                f"{begins if elsewhere else ''}The first instructions (addi x1, x1, 1) differ: "
                f"{outcome.difference.said}."
            )
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
    fetch = [*begin, program.jump(target - chip.start - 4 * len(begin))]
    reads_cause = [0x3420_2E73, program.STAY]
    vectors = {handler + at: word for at, word in zip((0, 4), reads_cause, strict=True)}
    tried = [
        ("d_err", "load", [*begin, LOAD, program.STAY], data, 5),
        ("d_err", "store", [*begin, STORE, program.STAY], data, 7),
    ]
    tried += [("i_err", "fetch", fetch, target, 1)] if "i_req" in ports.of(core.wrapper) else []
    for port, what, words, address, cause in tried:
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


def _kinds(chip: Chip, isa: str) -> dict[str, list[int]]:
    """Words of sixteen instructions of each kind; x6 holds an address of data. A counter may leave out any of them."""
    kinds = {
        "additions": [0x0010_8093],  # addi x1, x1, 1
        "accesses of registers": [0x3400_9073],  # csrw mscratch, x1
        "branches that are taken": [0x0000_0263],  # beq x0, x0, 4
        "branches that are not taken": [0x0000_1263],  # bne x0, x0, 4
        "jumps": [0x0040_006F],  # jal x0, 4
        "jumps by a register": [0x0000_0E97, 0x008E_8067],  # auipc x29, 0; jalr x0, 8(x29)
        "stores": [STORE],
        "loads": [LOAD],
    }
    if not lacking("rv32im", isa):
        kinds |= {"multiplications": [0x0210_83B3], "divisions": [0x0210_C3B3]}  # mul, div x7, x1, x1
    if not lacking("rv32ic", isa):
        kinds["compressed additions"] = [0x0085_0085]  # c.addi x1, 1, twice
    if chip.has("f"):
        kinds["floating-point moves"] = [0xF000_00D3]  # fmv.w.x f1, x0
    return {name: words * (EACH // (len(words) * (1 + (words[0] & 3 != 3)))) for name, words in kinds.items()}


def _counters(core: Core, chip: Chip, library: Path, golden: Path, folder: Path) -> str | None:
    """A sentence where counters that the firmware reads stand, or minstret leaves instructions of a kind out: each is
    read at the begin and the end, and minstret before and behind each kind."""
    kinds = _kinds(chip, core.reference_isa or chip.isa())
    words = [program.csrw(MCOUNTINHIBIT, 0)] if chip.counters_stopped else []
    words += [*program.load_constant(6, chip.holding("data").base)]
    words += [*program.load_constant(5, FS), SET_MSTATUS] if chip.has("f") else []
    first, last = range(10, 10 + len(COUNTERS)), range(12, 12 + len(COUNTERS))
    words += [_read(address, rd) for rd, address in zip(first, COUNTERS.values(), strict=True)]
    counted = dict(zip(kinds, range(14, 14 + len(kinds)), strict=True))
    for name, rd in counted.items():
        between = [_read(COUNTERS["minstret"], 30), *kinds[name], _read(COUNTERS["minstret"], 31)]
        words += [*between, 30 << 20 | 31 << 15 | rd << 7 | 0x4000_0033]  # sub rd, x31, x30
    words += [_read(address, rd) for rd, address in zip(last, COUNTERS.values(), strict=True)]
    elf = folder / program.PROGRAM
    placed = {chip.start + 4 * at: word for at, word in enumerate([*words, program.STAY])}
    elf.write_bytes(program.elf_of(placed, chip.start))
    case = program.Case(core.name, len(words), end=chip.start + 4 * len(words))
    outcome = program.run(library, golden, core, chip, elf, case)
    if outcome.difference:
        return f"A program that reads {' and '.join(COUNTERS)} differs: {outcome.difference.said}."
    read = {name: [outcome.registers[at] for at in pair] for name, *pair in zip(COUNTERS, first, last, strict=True)}
    standing = [f"{name} reads {before:,} twice" for name, (before, after) in read.items() if before == after]
    if standing:
        advice = (
            "though mcountinhibit was cleared"
            if chip.counters_stopped
            else f"so the firmware counts nothing. If mcountinhibit comes up set, {CHIP_FILE} needs "
            "counters_stopped = true in [core]"
        )
        return f"The core's counters stand ({', '.join(standing)}), {advice}."
    for name, rd in counted.items():
        # A read may have those that retire with it already, or not have the ones before it yet.
        if abs(outcome.registers[rd] - EACH - 1) > core.retires:
            return f"minstret counts {outcome.registers[rd]:,} of {EACH + 1} instructions where they are {name}."
    return None


def _read(address: int, rd: int) -> int:
    return address << 20 | 2 << 12 | rd << 7 | 0x73
