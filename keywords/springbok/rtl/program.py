# SPDX-License-Identifier: Apache-2.0
"""A small program that repeats a difference without the model: registers and memory, then the instructions themselves.

It begins where the core does, sets all registers as they were some instructions before the difference, and jumps there
by ``mret``; code and data lie where they lay. It is kept as an ELF file with what else decides the run (``case.json``),
and is a regression test: ``core replay`` runs it in lockstep.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from springbok import devices
from springbok.chips.chip import Chip
from springbok.engines.elf import read_executable
from springbok.rtl import report
from springbok.rtl.core import Core
from springbok.rtl.coverage import Coverage, coverage_of
from springbok.rtl.difference import Difference
from springbok.rtl.native_machine import NativeMachine, Reason, Trial
from springbok.support import strict_json
from springbok.support.errors import RtlError
from springbok.support.files import write_in_one_step

PROGRAM, CASE, REPORT = "program.elf", "case.json", "report.txt"
MSTATUS_MIE, MSTATUS_MPIE, MSTATUS_MPP = 1 << 3, 1 << 7, 3 << 11
MEPC, MSTATUS, FCSR = 0x341, 0x300, 0x003
CSRS = {"mie": 0x304, "mtvec": 0x305, "mscratch": 0x340, "mcause": 0x342, "mtval": 0x343, "fcsr": FCSR}
MTIP, MEIP = 1 << 7, 1 << 11
NEVER = (1 << 64) - 1  # a cycle
T0, T1 = 5, 6
MRET, STAY = 0x3020_0073, 0x0000_006F
CYCLES_AN_INSTRUCTION = 400
#: Instructions behind a program's own, in its endless loop; so many more where an interrupt or trap may be waited for.
AFTER, WAIT = 64, 512
SEEDS_TRIED, SEEDS_TRIED_OFTEN = 8, 24
OFTEN = 400_000  # of a million


@dataclass(frozen=True)
class Case:
    """A program with what decides its run: how many instructions it has, what the core is tried with, after how many
    instructions interrupts come, and errors on the bus at which address, what devices answer one after the other, and
    what it showed when it was made: ``why`` it differed, at which instruction and where, see `Difference`. ``end`` is
    where it stays when it is over: so long it runs, 0 is for no longer than its instructions."""

    core: str
    instructions: int
    trial: Trial = Trial()
    interrupts: tuple[int, ...] = ()
    errors: tuple[tuple[int, int], ...] = ()
    answers: tuple[int, ...] = ()
    why: str = ""
    assembly: str = ""
    pc: int = 0
    stuck: bool = False
    end: int = 0

    @property
    def difference(self) -> Difference:
        """What it showed."""
        return Difference(self.why, self.assembly, self.pc, self.stuck)


@dataclass(frozen=True)
class Outcome:
    """Of a run: how many instructions were compared, and what differed, or None: all were the same. ``registers`` are
    the RTL's integer ones at its end, ``before`` the last instructions before what differed, in lines."""

    instructions: int
    cycles: int
    difference: Difference | None
    registers: tuple[int, ...] = ()
    before: tuple[str, ...] = ()

    @property
    def why(self) -> str | None:
        """What differed, without its instruction."""
        return self.difference.why if self.difference else None


def run(
    library: Path,
    golden: Path,
    core: Core,
    chip: Chip,
    elf: Path,
    case: Case,
    plusargs: Sequence[str] = (),
    covered: Coverage | None = None,
    wave: Path | None = None,
) -> Outcome:
    """Run a program on the core in lockstep. Devices give the case's answers, and 0 behind them.

    A run in which fewer instructions retire than the program has is a difference: the rest was not compared. What it
    executes is added to ``covered``; ``wave`` gets the waveform (VCD), from a build that can write one. The RTL can
    tell it from a model's run by ``$test$plusargs("program")``.
    """
    native = NativeMachine(library, chip, chip.start, [*plusargs, "program"])
    try:
        ranges = _add_devices(native, chip, case.answers)
        native.try_with(case.trial, core.fetch_waits)
        isa = core.reference_isa or chip.isa()
        native.hold_against(golden, isa, core.privilege, core.rules, core.stores_on_bus, chip.start, ranges)
        for address, content in read_executable(elf, chip).segments:
            native.write(address, content)
        for count in case.interrupts:
            native.interrupt_at(count)
        for count, address in case.errors:
            native.refuse_at(count, address)
        native.allow(errors=True, interrupts=False)
        if covered is not None:
            native.keep_classes()
            native.count_for(1)
        if wave is not None:
            native.wave(wave, 0)
        native.reset()
        reason, ended = _run(native, case)
        if reason is Reason.MISMATCH:
            return _differs(native, native.why)
        state = native.state
        if state.instructions >= case.instructions and ended and reason is not Reason.STUCK:
            return Outcome(state.instructions, state.cycles, None, tuple(state.x))
        why = f"{state.instructions} of {case.instructions} instructions retired in {state.cycles:,} cycles"
        if state.instructions == 0:
            return Outcome(0, state.cycles, Difference(f"{why}: none was compared", stuck=True))
        if reason is not Reason.STUCK and state.instructions >= case.instructions:
            return _differs(native, f"{why}, and its end at 0x{case.end:x} was not reached", stuck=True)
        why += "; behind this one none retires any more, or too slowly"
        return _differs(native, report.waiting(native, why), stuck=True)
    finally:
        if covered is not None:
            covered.add(coverage_of(native, 1))
        native.close()


def _run(native: NativeMachine, case: Case) -> tuple[Reason, bool]:
    """Run it to its end and behind: why it did not go on, and whether it came to its end."""
    reason, ended = Reason.TIME, not case.end
    last_one = case.instructions + AFTER + (WAIT if case.interrupts or case.errors else 0)
    limit = last_one * CYCLES_AN_INSTRUCTION
    while native.state.cycles < limit and (native.state.instructions < last_one or not ended):
        reason = native.run(min(256, limit))
        if reason in (Reason.MISMATCH, Reason.STUCK):
            break
        if not ended and native.state.pc == case.end:
            ended, last_one = True, native.state.instructions + AFTER + WAIT
    return reason, ended


def _differs(native: NativeMachine, why: str, stuck: bool = False) -> Outcome:
    state, before = native.state, report.history(native)
    wrong = before[-1 if stuck else -1 - native.behind()]
    difference = Difference(why, wrong["assembly"], wrong["pc"], stuck)
    return Outcome(state.instructions, state.cycles, difference, tuple(state.x), tuple(report.listed(before)))


def _add_devices(native: NativeMachine, chip: Chip, answers: Sequence[int]) -> list[tuple[int, int]]:
    """Devices that only give answers, one after the other; returns where they lie.

    What is stored into a CLINT's first word are the timer's and the external line, by mip's bits; the software line
    comes by the case's moments, and a store takes it away.
    """
    left = iter(answers)

    def write(number: int, offset: int, value: int, _: int) -> None:
        if chip.devices[number].kind == "clint" and offset == 0:  # what a handler answers an interrupt by
            native.acknowledge()
            native.set_lines(False, bool(value & MEIP), 0 if value & MTIP else NEVER)

    native.call(lambda *_: next(left, 0), write, lambda *_: None)
    ranges = [(device.base, devices.find(device.kind).size(device.settings)) for device in chip.devices]
    for base, size in ranges:
        native.add_device(base, size)
    return ranges


def make(
    windows: Sequence[Mapping],
    chip: Chip,
    core: Core,
    trial: Trial,
    found: Difference,
    folder: Path,
    tries: Callable[[Path, Case], Outcome],
) -> tuple[Case, Outcome] | None:
    """Write the shortest program that repeats a difference into ``folder``, or one that shows another where none does;
    None where none shows any. Which of both it is, is to be asked: ``case.difference.is_like(found)``.

    ``tries`` runs one. Where the core is stuck a program has one more instruction, which does not retire.
    Stalls come at other moments than in the long run: a few seeds are tried.
    """
    elf, another = folder / PROGRAM, None
    for window in windows:
        count = _write(window, chip, elf)
        interrupts = tuple(count + at for at in window["interrupts"])
        errors = tuple((count + at, address) for at, address in window["errors"])
        for tried in _trials(trial):
            last = count + window["steps"] + found.stuck
            case = Case(core.name, last, tried, interrupts, errors, tuple(window["answers"]))
            outcome = tries(elf, case)
            if outcome.difference is None:
                continue
            if outcome.difference.is_like(found):
                return write_case(folder, case, outcome), outcome
            another = another or (elf.read_bytes(), case, outcome)
    elf.unlink(missing_ok=True)
    if another is None:
        return None
    content, case, outcome = another
    write_in_one_step(elf, content)
    return write_case(folder, case, outcome), outcome


def _trials(trial: Trial) -> Iterator[Trial]:
    """What a short program is tried with: the run's own, where its buses stall by other seeds, and then often."""
    if not (trial.stall or trial.delay):
        yield replace(trial, seed=1)
        return
    yield from (replace(trial, seed=seed) for seed in range(1, SEEDS_TRIED + 1))
    often = replace(trial, stall=OFTEN if trial.stall else 0, delay=OFTEN if trial.delay else 0)
    yield from (replace(often, seed=seed) for seed in range(1, SEEDS_TRIED_OFTEN + 1))


def write_case(folder: Path, case: Case, outcome: Outcome) -> Case:
    """Keep what decides a program's run, and what differed in it, beside it; returns what is kept."""
    kept = replace(case, **asdict(outcome.difference)) if outcome.difference else case
    write_in_one_step(folder / CASE, json.dumps(asdict(kept), indent=1) + "\n")
    return kept


def repeated(case: Case, outcome: Outcome) -> str:
    """What a kept program shows now: what differs, and whether that is another fault than the one it was kept for."""
    now, kept_for = outcome.difference, case.difference
    if now is None:
        return "nothing differs"
    if now.is_like(kept_for) or not kept_for.assembly:
        return now.said
    return f"another difference than it was kept for: {now.said}. It was kept for: {kept_for.said}"


def read_case(folder: Path) -> Case:
    """The case of a folder. Raises RtlError."""
    if (folder / REPORT).is_file() and not (folder / CASE).is_file():
        raise RtlError(f"{folder} holds a report and no program: no short one repeats what differed.")
    try:
        content = strict_json.parse((folder / CASE).read_text(encoding="utf-8"))
        lists = {name: tuple(content.get(name, ())) for name in ("interrupts", "answers")}
        errors = tuple((count, address) for count, address in content.get("errors", ()))
        case = Case(**{**content, **lists, "trial": Trial(**content["trial"]), "errors": errors})
        _check_types(case)
        return case
    except FileNotFoundError as error:
        raise RtlError(f"{folder} holds no kept program: it has no {CASE}.") from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RtlError(f"{folder} holds no kept program: {error}.") from error


def _check_types(case: Case) -> None:
    """Raise ValueError where another kind of value stands than is meant, or a number that none can be."""
    found, meant = asdict(case), asdict(Case("", 1))
    values = [(name, found[name], type(meant[name])) for name in found if isinstance(meant[name], str | int)]
    values += [(f"trial.{name}", value, int) for name, value in found["trial"].items()]
    values += [(name, value, int) for name in ("interrupts", "answers") for value in found[name]]
    values += [("errors", value, int) for pair in found["errors"] for value in pair]
    for name, value, kind in values:
        least = int(name == "instructions")
        if type(value) is not kind or (kind is int and not least <= value < 1 << 63):
            wanted = {str: "a text", bool: "true or false", int: f"a whole number from {least} on"}[kind]
            raise ValueError(f"{name} in {CASE} is {value!r:.40}, and {wanted} is meant")


def _write(window: Mapping, chip: Chip, elf: Path) -> int:
    """Write the program; returns how many instructions it needs before the window."""
    memory = {int(address, 0): word for address, word in window["memory"].items()}
    last = max(window["code"][-1:], default=window["pc"])
    memory.setdefault(last + 4 & ~3, STAY)
    tables = b"".join(struct.pack("<I", value) for value in window["f"]) + base64.b64decode(window["vectors"])
    has_floats, vector_bytes = chip.has("f"), len(base64.b64decode(window["vectors"])) // 32
    setup = _setup(window, 0, has_floats, vector_bytes)
    place = _free_place(chip, memory, 4 * len(setup) + len(tables) + 64)
    table = place + 4 * len(setup)
    setup = _setup(window, table, has_floats, vector_bytes)
    segments = dict(memory)
    segments.update((place + 4 * number, word) for number, word in enumerate(setup))
    segments.update((table + at, int.from_bytes(tables[at : at + 4], "little")) for at in range(0, len(tables), 4))
    first = int(place != chip.start)  # an instruction that leads to the others
    if first:
        segments[chip.start] = jump(place - chip.start)
    write_in_one_step(elf, elf_of(segments, chip.start))
    return len(setup) + first


def _setup(window: Mapping, table: int, has_floats: bool, vector_bytes: int) -> list[int]:
    words = []
    mstatus = window["csrs"]["mstatus"]
    interrupts = MSTATUS_MPIE if mstatus & MSTATUS_MIE else 0
    mstatus = mstatus & ~(MSTATUS_MIE | MSTATUS_MPIE | MSTATUS_MPP) | interrupts | window["privilege"] << 11
    values = {MSTATUS: mstatus, MEPC: window["pc"]}
    values |= {CSRS[name]: window["csrs"][name] for name in CSRS if name != "fcsr" or has_floats}
    for address, value in values.items():
        words += [*load_constant(T0, value), csrw(address, T0)]
    if has_floats:
        words += load_constant(T0, table)
        words += [4 * number << 20 | T0 << 15 | 2 << 12 | number << 7 | 0x07 for number in range(32)]
    if vector_bytes:
        words += load_constant(T0, table + 128)
        words.append(0x0C30_7057 | T1 << 7)  # vsetvli t1, zero, e8, m8
        for register in range(0, 32, 8):
            words += [
                0x0200_0007 | T0 << 15 | register << 7,
                *load_constant(T1, 8 * vector_bytes),
                T1 << 20 | T0 << 15 | T0 << 7 | 0x33,
            ]
        words += [
            *load_constant(T0, window["vl"]),
            *load_constant(T1, window["vtype"]),
            0x8000_7057 | T1 << 20 | T0 << 15,
        ]
    for number in range(1, 32):
        words += load_constant(number, window["x"][number])
    return [*words, MRET]


def load_constant(register: int, value: int) -> list[int]:
    """lui and addi."""
    upper = value + 0x800 & 0xFFFF_F000
    return [upper | register << 7 | 0x37, (value & 0xFFF) << 20 | register << 15 | register << 7 | 0x13]


def csrw(address: int, register: int) -> int:
    return address << 20 | register << 15 | 1 << 12 | 0x73


def jump(offset: int) -> int:
    bits = (
        (offset >> 20 & 1) << 31 | (offset >> 1 & 0x3FF) << 21 | (offset >> 11 & 1) << 20 | (offset >> 12 & 0xFF) << 12
    )
    return bits | 0x6F


def _free_place(chip: Chip, memory: Mapping[int, int], count: int) -> int:
    code = chip.holding("code")
    begin = chip.start
    while begin + count < min(code.end, chip.start + 0xF_F000):
        taken = [address for address in memory if begin - 4 < address < begin + count]
        if not taken:
            return begin
        begin = max(taken) + 64 & ~63
    raise RtlError("there is no room for a program beside the code that it repeats")


def elf_of(words: Mapping[int, int], start: int) -> bytes:
    """An executable of 32 bits: a segment for each piece of memory."""
    pieces: list[tuple[int, bytearray]] = []
    for address in sorted(words):
        if not pieces or pieces[-1][0] + len(pieces[-1][1]) != address:
            pieces.append((address, bytearray()))
        pieces[-1][1].extend(struct.pack("<I", words[address] & 0xFFFF_FFFF))
    at = 52 + 32 * len(pieces)
    headers, content = b"", b""
    for address, piece in pieces:
        headers += struct.pack("<8I", 1, at + len(content), address, address, len(piece), len(piece), 7, 4)
        content += piece
    begin = b"\x7fELF" + bytes((1, 1, 1)) + bytes(9)
    rest = struct.pack("<HHIIIIIHHHHHH", 2, 243, 1, start, 52, 0, 0, 52, 32, len(pieces), 40, 0, 0)
    return begin + rest + headers + content
