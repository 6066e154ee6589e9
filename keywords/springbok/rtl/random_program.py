# SPDX-License-Identifier: Apache-2.0
"""Short random programs of a core's own instructions, from a seed, and what they and models have covered.

Registers begin with values of all classes (`coverage.CLASSES`), and most floating-point operations load operands of
their own (`float_operands`). Loads and stores stay in a piece of data memory, which x1 points at; branches and jumps go
forward, or backward once, so that every program ends; illegal words, environment calls and misaligned accesses trap
into a handler that reads cause, address and value of the trap and goes on behind it; a chip that takes software
interrupts gets some, a program by one of its lines each; user mode, where the core has it, lasts for some instructions.

A program is a row of units of whole words. A branch leads to the begin of one; within one stand what belongs together,
such as the two halves of compressed instructions.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from springbok.chips.chip import Chip
from springbok.rtl import address_units, far_units, ports, program, system_units
from springbok.rtl import compressed_units as c
from springbok.rtl.core import Core
from springbok.rtl.coverage import Coverage, takes_floats
from springbok.rtl.extensions import WORDS, extensions_of
from springbok.rtl.float_operands import operands
from springbok.rtl.native_machine import Trial
from springbok.support.files import temporary_folder, write_in_one_step

_VALUES = (0, 1, 0xFFFF_FFFF, 0x8000_0000, 0x7FFF_FFFF)
_FLOAT_VALUES = (0x3F80_0000, 0xBF80_0000, 0x7F80_0000)  # 1, -1, infinite
DATA, HANDLER = 1, 31  # registers: of the data's address; of nothing else
DATA_BYTES = 4096
SKIPPED = 3  # units that a branch leads beyond, at most
FARTHEST = 4094  # bytes
FAR = 0.3  # the share of branches and jumps that lead backward, or far
OTHERWISE = 0.4  # the share of accesses, branches and jumps that `address_units` has
ACROSS_WORDS = 0.25  # the share of instructions that lie across two words, on a core with compressed ones
FROM_REGISTERS = 0.25  # the share of floating-point operations whose operands are what registers hold
R, IMMEDIATE, LOAD, STORE, BRANCH, UPPER, JUMP, CSR, TRAP, FLOAT, FUSED, FLAGS, FLOAT_LOAD, FLOAT_STORE = range(14)
REGISTER_JUMP, FIXED, EXTENSION, COMPRESSED, RETURN, USER, LINE, CHANGE = range(14, 22)
#: What extensions bring is much, so that others would get rare by it; floats have the most operands to decide on.
_SHARES = {COMPRESSED: 0.3, EXTENSION: 0.3, FLOAT: 1.5, FUSED: 1.5, FLAGS: 4}
_ANYWHERE = (R, IMMEDIATE, LOAD, STORE, UPPER, FIXED, EXTENSION)  # kinds that may lie across two words
_R_TYPE = {
    name: (0, funct3, funct7)
    for name, funct3, funct7 in (
        *(("add", 0, 0), ("sub", 0, 0x20), ("sll", 1, 0), ("slt", 2, 0), ("sltu", 3, 0), ("xor", 4, 0)),
        *(("srl", 5, 0), ("sra", 5, 0x20), ("or", 6, 0), ("and", 7, 0)),
    )
}
_M_TYPE = {
    name: (0, funct3, 1) for funct3, name in enumerate(("mul", "mulh", "mulhsu", "mulhu", "div", "divu", "rem", "remu"))
}
_I_TYPE = {"addi": 0, "slti": 2, "sltiu": 3, "xori": 4, "ori": 6, "andi": 7}
_SHIFTS = {"slli": (1, 0), "srli": (5, 0), "srai": (5, 0x20)}
_LOADS = {"lb": 0, "lh": 1, "lw": 2, "lbu": 4, "lhu": 5}
_STORES = {"sb": 0, "sh": 1, "sw": 2}
# funct7, what stands in place of the rounding mode, and in place of the second operand: None where it is drawn.
_FLOATS = {
    **{name: (4 * at, None, None) for at, name in enumerate(("fadd.s", "fsub.s", "fmul.s", "fdiv.s"))},
    **{name: (0x10, at, None) for at, name in enumerate(("fsgnj.s", "fsgnjn.s", "fsgnjx.s"))},
    **{name: (0x14, at, None) for at, name in enumerate(("fmin.s", "fmax.s"))},
    **{name: (0x50, at, None) for at, name in enumerate(("fle.s", "flt.s", "feq.s"))},
    **{"fsqrt.s": (0x2C, None, 0), "fcvt.w.s": (0x60, None, 0), "fcvt.wu.s": (0x60, None, 1)},
    **{"fcvt.s.w": (0x68, None, 0), "fcvt.s.wu": (0x68, None, 1)},
    **{"fmv.x.w": (0x70, 0, 0), "fclass.s": (0x70, 1, 0), "fmv.w.x": (0x78, 0, 0)},
}
_FUSED = {"fmadd.s": 0x43, "fmsub.s": 0x47, "fnmsub.s": 0x4B, "fnmadd.s": 0x4F}
_ROUNDINGS = (0, 1, 2, 3, 4, 7)
_FIXED = {"fence": 0x0FF0_000F, "ecall": 0x0000_0073}
NEVER_COMPRESSED = ("c.ebreak",)  # of its trap cores may tell two values
MTVEC = 0x305
INTERRUPTS, MASKS = 3, 4  # in a program: interrupts, and changes of what lines are on
REGISTERS_EVERY = 15  # instructions: accesses of registers of control and status beside those that weights bring
PENDING = 0.3  # the share of stays in user mode, with MIE 0, that an interrupt is pending for
MOST_WORDS = 40  # of a unit
BYTES_OF = {"b": 1, "h": 2, "w": 4}  # of a load or store, by the second letter of its name


def generate(
    chip: Chip, seed: int, length: int, weights: Mapping[str, float] | None = None, isa: str = "", privilege: str = "m",
    line: str | None = None, changes_code: bool = True,
) -> tuple[dict[int, int], int]:  # fmt: skip
    """Words by address, and how many instructions the program has before and with its random part, at least.

    ``weights`` are by opcode's name, such as the counts of a model; what they do not name has the least of them.
    ``isa`` is what the core executes, where that is more than the chip's, ``privilege`` core.toml's. Interrupts come by
    ``line``, of `system_units.LINES`, from the program itself; those of the software line are up to who runs it.
    """
    chooser = random.Random(seed)
    isa = isa or chip.isa()
    menu = menu_of(chip, isa)
    drawn = _weighed(menu, weights)
    code = chip.holding("code")
    begin = chip.start
    handler = begin + 0x400 & ~0xFF
    base = chip.holding("data").base + 0x1000
    further, latest = (random.Random(f"{when} {seed}") for when in ("further", "latest"))  # what came before stays
    words = _start(chip, chooser, further, handler, base + DATA_BYTES // 2)
    clint = _interrupts(chip)
    menu |= {"register": CSR, "line": LINE, "user": USER}
    menu |= {"fence.i": CHANGE} if "fence.i" in menu and changes_code else {}
    names = _names(drawn, chooser, further, length, line not in (None, "software"), "u" in privilege)
    for _ in range(MASKS if line else 0):
        names.insert(latest.randrange(len(names) + 1), "mask")
    first = handler + 0x200
    numbers: list[int] = []  # operands of floating-point operations, from the begin of the data on
    compressed = "c" in extensions_of(isa)
    room = (code.end - first) // 4 - MOST_WORDS * len(names)  # for what far branches and jumps lead over
    units: list[list[int]] = []  # from the last one on, so that each knows how far it is to those behind it
    for name in names:
        if name == "mask":
            unit = system_units.masking_unit(latest, line)
        elif menu[name] == CHANGE:
            unit = system_units.changed_code_unit(chooser, latest.randrange(4))
        elif menu[name] in (RETURN, USER, LINE, CSR, TRAP):
            unit = _system_unit(name, menu[name], chooser, further, privilege, line, clint)
        else:
            unit = _unit(name, menu[name], chooser, units, latest, compressed)
        if name in far_units.REACH and further.random() < FAR:
            unit = far_units.unit(name, further, room)
            room -= unit.count(far_units.ILLEGAL)
        if compressed and len(unit) == 1 and menu[name] in _ANYWHERE and chooser.random() < ACROSS_WORDS:
            unit = words_of([c.NOP, unit[0] & 0xFFFF, unit[0] >> 16, c.NOP])
        if len(unit) == 1 and latest.random() < OTHERWISE:
            unit = address_units.otherwise(unit[0], latest, compressed)
        if len(unit) == 1:
            unit = [*_loads_of(unit[0], menu[name], chooser, numbers), *unit]
        units.append(unit)
    body = [word for unit in reversed(units) for word in unit] + (system_units.all_lines_unit() if line else [])
    memory = {begin + 4 * at: word for at, word in enumerate([*words, program.jump(first - begin - 4 * len(words))])}
    memory |= {first + 4 * at: word for at, word in enumerate([*body, program.STAY])}
    memory |= _handler(chip, handler)
    values = (*_VALUES, *_FLOAT_VALUES) if chip.has("f") else _VALUES
    memory |= {base + at: chooser.choice((*values, chooser.getrandbits(32))) for at in range(0, DATA_BYTES, 4)}
    memory |= {base + 4 * at: number for at, number in enumerate(numbers)}
    assert max(each for each in memory if each < code.end) < code.end
    return memory, len(words) + 1 + sum(word != far_units.ILLEGAL for word in body)


def run(
    library: Path, golden: Path, core: Core, chip: Chip, seeds: Iterable[int], folder: Path, length: int = 200,
    trial: Trial | None = None, weights: Mapping[str, float] | None = None, plusargs: Sequence[str] = (),
) -> tuple[Coverage, list[tuple[int, program.Outcome]]]:  # fmt: skip
    """Run a program a seed in lockstep; returns what was covered, and the seeds whose programs differed.

    The programs that differed are kept in ``folder``.
    """
    covered, differing = Coverage(), []
    isa, lines = core.reference_isa or chip.isa(), lines_of(core, chip)
    for seed in seeds:
        line = lines[seed % len(lines)] if lines else None
        memory, instructions = generate(chip, seed, length, weights, isa, core.privilege, line, core.changes_code)
        moments = random.Random(seed).sample(range(instructions), INTERRUPTS) if line == "software" else ()
        end = max(address for address, word in memory.items() if word == program.STAY)
        case = program.Case(core.name, instructions, trial or Trial(seed), tuple(sorted(moments)), end=end)
        with temporary_folder() as made:
            elf = write_in_one_step(made / program.PROGRAM, program.elf_of(memory, chip.start))
            outcome = program.run(library, golden, core, chip, elf, case, plusargs, covered)
            if outcome.difference is None:
                continue
            differing.append((seed, outcome))
            place = folder / f"random-{seed}"
            write_in_one_step(place / program.PROGRAM, elf.read_bytes())
        program.write_case(place, case, outcome)
        said = f"{core.name}'s RTL differs from Spike: random program {seed}, {outcome.difference.said}."
        write_in_one_step(place / program.REPORT, "\n".join([said, *outcome.before, ""]))
    return covered, differing


def lines_of(core: Core, chip: Chip) -> list[str]:
    """The lines by which programs are interrupted: none where the chip takes no software interrupts."""
    if _interrupts(chip) is None:
        return []
    there = ports.of(core.wrapper)
    return [name for name in system_units.LINES if f"irq_{name}" in there]


def menu_of(chip: Chip, isa: str) -> dict[str, int]:
    """What a program may have: names of instructions, with their kinds."""
    has = extensions_of(isa)
    kinds = {**dict.fromkeys(_R_TYPE, R), **dict.fromkeys((*_I_TYPE, *_SHIFTS), IMMEDIATE)}
    kinds |= dict.fromkeys(_LOADS, LOAD) | dict.fromkeys(_STORES, STORE) | dict.fromkeys(far_units.BRANCHES, BRANCH)
    kinds |= {"lui": UPPER, "auipc": UPPER, "jal": JUMP, "jalr": REGISTER_JUMP, "illegal": TRAP, "mret": RETURN}
    kinds |= dict.fromkeys(system_units.WRITES, CSR) | dict.fromkeys(_FIXED, FIXED)
    if "m" in has:
        kinds |= dict.fromkeys(_M_TYPE, R)
    elif "zmmul" in has:
        kinds |= {name: R for name in _M_TYPE if name.startswith("mul")}
    for extension in has:
        kinds |= dict.fromkeys(WORDS.get(extension, ()), EXTENSION)
    if "c" in has:
        kinds |= dict.fromkeys((name for name in c.NAMES if name not in NEVER_COMPRESSED), COMPRESSED)
    if chip.has("f"):
        kinds |= dict.fromkeys(_FLOATS, FLOAT) | dict.fromkeys(_FUSED, FUSED)
        kinds |= {"frflags": FLAGS, "flw": FLOAT_LOAD, "fsw": FLOAT_STORE}
    return kinds


def _weighed(menu: Mapping[str, int], weights: Mapping[str, float] | None) -> dict[str, float]:
    """What is drawn of, with its shares."""
    least = min(weights.values(), default=1) if weights else 1
    return {name: max((weights or {}).get(name, least), least) * _SHARES.get(kind, 1) for name, kind in menu.items()}


def _names(
    drawn: Mapping[str, float], chooser: random.Random, further: random.Random, length: int, lines: bool, users: bool
) -> list[str]:
    """What a program consists of, in a random order: what is drawn, with what each has beside that."""
    names = chooser.choices([*drawn], [*drawn.values()], k=length)
    for _ in range(INTERRUPTS if lines else 0):
        names.insert(chooser.randrange(len(names) + 1), "line")
    if users:
        names += chooser.choices(["user"], k=1 + length // 50)
        chooser.shuffle(names)
    for _ in range(length // REGISTERS_EVERY):
        names.insert(further.randrange(len(names) + 1), "register")
    return names


def _unit(
    name: str, kind: int, chooser: random.Random, behind: Sequence[Sequence[int]], latest: random.Random, halves: bool
) -> list[int]:
    """An instruction with what it needs; ``behind`` are the units that follow, the next one last. Jumps may lead to
    ``halves`` of words."""
    if kind == COMPRESSED:
        return words_of(c.unit(name, chooser, latest.choice(c.BASES)))
    if kind == REGISTER_JUMP:
        return address_units.register_jump(latest, _register(chooser), halves)
    if kind == FIXED:
        return [_FIXED[name]]
    if kind == EXTENSION:
        match, mask = next(each[name] for each in WORDS.values() if name in each)
        free = {7: _register(chooser), 15: _register(chooser), 20: chooser.randrange(32) if match & 0x7F == 0x13 else
                _register(chooser)}  # fmt: skip
        return [match | sum(value << at for at, value in free.items() if not mask >> at & 31)]
    over = chooser.randint(0, min(SKIPPED, len(behind)))
    ahead = 4 + 4 * sum(map(len, behind[len(behind) - over :]))
    if ahead > FARTHEST:
        ahead = 4 + 4 * len(behind[-1]) if len(behind[-1]) <= far_units.REACH["beq"] else 4
    return [_word(name, kind, chooser, ahead)]


def _system_unit(  # noqa: PLR0911 (a line a kind)
    name: str, kind: int, chooser: random.Random, further: random.Random, privilege: str, line: str | None,
    clint: int | None,
) -> list[int]:  # fmt: skip
    if name == "register":
        access, rd, rs1 = further.choice([*system_units.WRITES]), _register(further), _register(further)
        return system_units.csr_unit(access, further, privilege, rd, rs1)
    if kind == TRAP:
        return [system_units.illegal(further)]
    if kind == RETURN:
        return system_units.return_unit(chooser)
    if kind == LINE:
        return system_units.line_unit(line, clint)
    if kind == USER:
        inside = chooser.choices([*_R_TYPE, *_I_TYPE, *_LOADS, *_STORES], k=chooser.randrange(1, 6))
        kinds = {**dict.fromkeys(_R_TYPE, R), **dict.fromkeys(_I_TYPE, IMMEDIATE), **dict.fromkeys(_LOADS, LOAD)}
        words = [_word(each, kinds.get(each, STORE), chooser, 4) for each in inside]
        masked = further.random() < 0.5
        raised = masked and line not in (None, "software") and further.random() < PENDING
        return system_units.user_unit(chooser, words, masked, system_units.line_unit(line, clint) if raised else ())
    return system_units.csr_unit(name, chooser, privilege, _register(chooser), _register(chooser))


def _register(chooser: random.Random) -> int:
    return chooser.choice([each for each in range(31) if each != DATA])


def _word(name: str, kind: int, chooser: random.Random, ahead: int) -> int:  # noqa: PLR0911 (a line a kind)
    rd, rs1, rs2 = (_register(chooser) for _ in range(3))
    offset = chooser.randrange(-DATA_BYTES // 2, DATA_BYTES // 2 - 4)
    size = BYTES_OF[name.removeprefix("f")[1]] if kind in (LOAD, STORE, FLOAT_LOAD, FLOAT_STORE) else 4
    aligned = offset if chooser.random() < 0.1 else offset & -size  # of bytes and halves in all lanes
    if kind == R:
        _, funct3, funct7 = {**_R_TYPE, **_M_TYPE}[name]
        return funct7 << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | 0x33
    if kind == IMMEDIATE:
        if name in _SHIFTS:
            funct3, funct7 = _SHIFTS[name]
            return funct7 << 25 | chooser.randrange(32) << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | 0x13
        immediate = chooser.choice((0, 1, -1, 2047, -2048, chooser.randrange(-2048, 2048)))
        return (immediate & 0xFFF) << 20 | rs1 << 15 | _I_TYPE[name] << 12 | rd << 7 | 0x13
    if kind in (LOAD, FLOAT_LOAD):
        opcode, funct3 = (0x07, 2) if kind == FLOAT_LOAD else (0x03, _LOADS[name])
        return _load(aligned, rd, funct3, opcode)
    if kind in (STORE, FLOAT_STORE):
        opcode, funct3 = (0x27, 2) if kind == FLOAT_STORE else (0x23, _STORES[name])
        high, low = (aligned & 0xFFF) >> 5, aligned & 31
        return high << 25 | rs2 << 20 | DATA << 15 | funct3 << 12 | low << 7 | opcode
    if kind == BRANCH:
        return far_units.branch_bits(ahead) | rs2 << 20 | rs1 << 15 | far_units.BRANCHES[name] << 12 | 0x63
    if kind == UPPER:
        return chooser.getrandbits(20) << 12 | rd << 7 | (0x37 if name == "lui" else 0x17)
    if kind == JUMP:
        return program.jump(ahead) | rd << 7
    if kind == FLOAT:
        funct7, rounding, second = _FLOATS[name]
        rounding = chooser.choice(_ROUNDINGS) if rounding is None else rounding
        second = rs2 if second is None else second
        return funct7 << 25 | second << 20 | rs1 << 15 | rounding << 12 | rd << 7 | 0x53
    if kind == FUSED:
        third, rounding = chooser.randrange(32), chooser.choice(_ROUNDINGS)
        return third << 27 | rs2 << 20 | rs1 << 15 | rounding << 12 | rd << 7 | _FUSED[name]
    if kind == FLAGS:
        return 0x001 << 20 | chooser.choice((1, 2)) << 12 | rd << 7 | 0x73  # csrrw with zero clears them: they stick
    return 0xFFFF_FFFF


def _loads_of(word: int, kind: int, chooser: random.Random, numbers: list[int]) -> list[int]:
    """Loads of an operation's own operands, which are added to ``numbers``; none in a share, where registers hold what
    was computed before, and where the data is full."""
    if kind not in (FLOAT, FUSED) or chooser.random() < FROM_REGISTERS or 4 * len(numbers) + 12 > DATA_BYTES:
        return []
    first = 4 * len(numbers) - DATA_BYTES // 2
    numbers += operands(chooser)
    registers = (word >> 15 & 31, word >> 20 & 31, word >> 27)[: 3 if kind == FUSED else 2]
    if not takes_floats(word):  # integers become floats: their bits are as good as any
        return [_load(first, registers[0], 2, 0x03)] if registers[0] not in (0, DATA, HANDLER) else []
    return [_load(first + 4 * at, register, 2, 0x07) for at, register in enumerate(registers)]


def _load(offset: int, rd: int, width: int, opcode: int) -> int:
    return (offset & 0xFFF) << 20 | DATA << 15 | width << 12 | rd << 7 | opcode


def _start(chip: Chip, chooser: random.Random, further: random.Random, handler: int, data: int) -> list[int]:
    # mtvec is read back, also where its value is not aligned to 256 bytes, or another place in the code: what a core
    # keeps of it decides every trap.
    words, code = [], chip.holding("code")
    for value in (handler | 0xFC, further.randrange(code.base, code.end) & ~0xFF, handler):
        words += [*program.load_constant(5, value), program.csrw(MTVEC, 5), MTVEC << 20 | 2 << 12 | 5 << 7 | 0x73]
    if chip.has("f"):
        words += [*program.load_constant(5, 0x2000), 0x3002_A073, *program.load_constant(5, data)]
        words += [4 * number << 20 | 5 << 15 | 2 << 12 | number << 7 | 0x07 for number in range(32)]
    for number in range(2, 32):
        small = chooser.randrange(2, 64)
        words += program.load_constant(number, chooser.choice((*_VALUES, small, chooser.getrandbits(32))))
    words += program.load_constant(DATA, data)
    if _interrupts(chip) is not None:
        words += system_units.enabling()
    return words


def _interrupts(chip: Chip) -> int | None:
    """Where a software interrupt of the chip is answered; None where it takes none."""
    return next((device.base for device in chip.devices if device.kind == "clint" and chip.software_interrupts), None)


def _handler(chip: Chip, handler: int) -> dict[int, int]:
    clint = next((device.base for device in chip.devices if device.kind == "clint"), None)
    words = system_units.handler(clint)
    memory = {handler + 4 * at: program.jump(0x100 - 4 * at) for at in range(16)}
    return memory | {handler + 0x100 + 4 * at: word for at, word in enumerate(words)}


def words_of(halves: Sequence[int]) -> list[int]:
    """Halves of words as words, the lower one first."""
    return [low | high << 16 for low, high in zip(halves[::2], halves[1::2], strict=True)]


def weights_of(opcodes: Mapping[str, float]) -> dict[str, float]:
    """Weights of a model's counts: their roots, so that what is rare comes too.

    >>> weights_of({"addi": 100, "mul": 4})
    {'addi': 10.0, 'mul': 2.0}
    """
    return {name: count**0.5 for name, count in opcodes.items()}
