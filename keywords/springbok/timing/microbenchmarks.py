# SPDX-License-Identifier: Apache-2.0
"""Small loops that each show one figure of a pipeline: what follows what, and how soon.

Each is a part (marks 3 and 4) of one window of one program. A ``chain`` needs its own last result in each step, and
shows a latency; an ``each`` needs nothing, and shows how soon a unit can begin again. What stands ``before others``
has work behind it that needs none of its result, and shows whether that must wait.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from springbok.chips.chip import Chip
from springbok.engines.windows import Mark
from springbok.rtl.program import STAY, load_constant
from springbok.support.errors import BenchError

COPIES, TURNS = 8, 200  # what a core does once, as fetching code into a cache, then has little weight
_LONG = 512  # instructions that are met once: what fetching them takes has weight then
_JUMP = 0x0080006F  # jal zero, +8
_COUNT, _EVENT, _VALUE, _DATA, _FAR = 5, 6, 7, 8, 9  # registers that the program itself needs
_FIRST, _SECOND, _RESULTS = 10, 11, tuple(range(12, 20))


@dataclass(frozen=True)
class Microbenchmark:
    """``before`` is done once, ``words`` are the body of a loop of so many ``turns``."""

    name: str
    words: tuple[int, ...]
    before: tuple[int, ...] = ()
    turns: int = TURNS


def _r(funct7: int, rs2: int, rs1: int, funct3: int, rd: int, opcode: int) -> int:
    return funct7 << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | opcode


def _addi(rd: int, rs1: int, value: int) -> int:
    return (value & 0xFFF) << 20 | rs1 << 15 | rd << 7 | 0x13


def _branch(rs1: int, rs2: int, funct3: int, offset: int) -> int:
    high, low = (offset >> 12 & 1) << 31 | (offset >> 5 & 0x3F) << 25, (offset >> 1 & 15) << 8 | (offset >> 11 & 1) << 7
    return high | rs2 << 20 | rs1 << 15 | funct3 << 12 | low | 0x63


def _store(width: int, rs2: int, offset: int, opcode: int = 0x23) -> int:
    return offset >> 5 << 25 | rs2 << 20 | _DATA << 15 | width << 12 | (offset & 31) << 7 | opcode


def _load(width: int, rd: int, offset: int, opcode: int = 0x03, base: int = _DATA) -> int:
    return offset << 20 | base << 15 | width << 12 | rd << 7 | opcode


def _pair(name: str, funct7: int, funct3: int, opcode: int = 0x33) -> Iterator[Microbenchmark]:
    """A scalar operation of two registers, as a chain and each for itself."""
    yield Microbenchmark(f"{name}, chain", (_r(funct7, _SECOND, _FIRST, funct3, _FIRST, opcode),) * COPIES)
    each = tuple(_r(funct7, _SECOND, _FIRST, funct3, rd, opcode) for rd in _RESULTS)
    yield Microbenchmark(f"{name}, each", each[:COPIES])


def _before_others(name: str, word: int, others: int) -> Microbenchmark:
    """A long operation, and so many additions behind it as it could take cycles."""
    return Microbenchmark(f"{name}, before others", (word, *(_addi(20, 0, 1),) * others) * 2)


def _scalars(chip: Chip) -> Iterator[Microbenchmark]:
    use = [_r(0, _SECOND, rd, 0, rd, 0x33) for rd in _RESULTS]
    loads = [_load(2, rd, 4 * at) for at, rd in enumerate(_RESULTS)]
    yield from _pair("add", 0, 0)
    yield from _pair("sll", 0, 1)
    if chip.has("m"):
        yield from _pair("mul", 1, 0)
        yield from _pair("div", 1, 4)
        mixed = [word for rd in _RESULTS for word in (_r(1, _SECOND, _FIRST, 0, rd, 0x33), _addi(20, 0, 1))]
        yield Microbenchmark("mul and add", tuple(mixed))
        yield from _pair("mulh", 1, 1)
        yield _before_others("mulh", _r(1, _SECOND, _FIRST, 1, _RESULTS[0], 0x33), 8)
        yield _before_others("div", _r(1, _SECOND, _FIRST, 4, _RESULTS[0], 0x33), 40)
    yield Microbenchmark("load, each", tuple(loads))
    yield Microbenchmark("load, used at once", tuple(word for pair in zip(loads, use, strict=True) for word in pair))
    yield _before_others("load", loads[0], 6)
    yield Microbenchmark("load, chain", (_load(2, _FAR, 0, base=_FAR),) * COPIES, (_store_own_address(),))
    yield Microbenchmark("store", tuple(_store(2, _FIRST, 4 * at) for at in range(COPIES)))
    yield Microbenchmark("store and load", tuple(w for at in range(8) for w in (_store(2, _FIRST, 4 * at), loads[at])))
    yield Microbenchmark("branch not taken", (_branch(0, 0, 1, 8), _addi(20, 0, 1)) * COPIES)
    yield Microbenchmark("branch back, not taken", (_addi(20, 0, 1), _branch(0, 0, 1, -4)) * COPIES)
    yield Microbenchmark("branch taken", (_branch(0, 0, 0, 8), _addi(20, 0, 1), _addi(21, 0, 1)) * COPIES)
    yield Microbenchmark("jump", (_JUMP, _addi(20, 0, 1), _addi(21, 0, 1)) * COPIES)
    call_and_return = (0x008000EF, _JUMP, 0x00008067)  # jal ra, +8; it comes back to what jumps over the return
    yield Microbenchmark("call and return", (*call_and_return, _addi(20, 0, 1)) * COPIES)
    yield Microbenchmark("code once", (_addi(20, 0, 1),) * _LONG, turns=1)


def _store_own_address() -> int:
    """sw s1, 0(s1): a load from there leads there again."""
    return _FAR << 20 | _FAR << 15 | 2 << 12 | 0x23


def _floats() -> Iterator[Microbenchmark]:
    # fcvt.s.w fa0, a0; lui s4, 0x3f900; fmv.w.x fa1, s4: 3 and 1.125, since zero is divided at once
    before = (0xD0050553, 0x3F900A37, 0xF00A05D3)
    for name, funct7 in (("fadd.s", 0x00), ("fmul.s", 0x08), ("fdiv.s", 0x0C)):
        for each in _pair(name, funct7, 7, 0x53):
            yield Microbenchmark(each.name, each.words, before)
    division = _before_others("fdiv.s", _r(0x0C, _SECOND, _FIRST, 7, _RESULTS[0], 0x53), 40)
    yield Microbenchmark(division.name, division.words, before)
    loads = [_load(2, rd, 4 * at, 0x07) for at, rd in enumerate(_RESULTS)]
    use = [_r(0, _SECOND, rd, 7, rd, 0x53) for rd in _RESULTS]
    yield Microbenchmark("flw, used at once", tuple(w for pair in zip(loads, use, strict=True) for w in pair), before)
    yield Microbenchmark("fmv.x.w, used at once", (0xE0050653, _addi(20, 12, 1)) * COPIES, before)  # fmv.x.w a2, fa0


_OPIVV, _OPFVV, _OPMVV = 0, 1, 2
_VECTORS = {  # name: funct6, category
    "vadd.vv": (0x00, _OPIVV),
    "vmul.vv": (0x25, _OPMVV),
    "vmacc.vv": (0x2D, _OPMVV),
    "vdivu.vv": (0x20, _OPMVV),
    "vslidedown.vi": (0x0F, 3),
    "vredsum.vs": (0x00, _OPMVV),
}
_FLOAT_VECTORS = {"vfadd.vv": (0x00, _OPFVV), "vfmacc.vv": (0x2C, _OPFVV), "vfdiv.vv": (0x20, _OPFVV)}
_FLOAT_VECTORS |= {"vfredusum.vs": (0x01, _OPFVV)}


def _vectors(chip: Chip) -> Iterator[Microbenchmark]:
    known = _VECTORS | (_FLOAT_VECTORS if chip.has("f") else {})
    for lmul in (0, 1, 2, 3):
        group, before = 1 << lmul, (_all_elements(lmul),)
        spread = range(8, 32, group)
        for name, (funct6, category) in known.items():
            if lmul == 3 and name.startswith("vred"):
                continue
            chain = tuple(_v(funct6, 8, 8, category, 8) for _ in range(COPIES))
            each = tuple(_v(funct6, 0, 0, category, spread[at % len(spread)]) for at in range(COPIES))
            yield Microbenchmark(f"{name} m{group}, chain", chain, before)
            yield Microbenchmark(f"{name} m{group}, each", each, before)
        loads = tuple(0x02006007 | _DATA << 15 | spread[at % len(spread)] << 7 for at in range(COPIES))  # vle32.v
        yield Microbenchmark(f"vle32.v m{group}", loads, before)
        stores = tuple(0x02006027 | _DATA << 15 | spread[at % len(spread)] << 7 for at in range(COPIES))
        yield Microbenchmark(f"vse32.v m{group}", stores, before)
        strided = tuple(0x0A006007 | _SECOND << 20 | _DATA << 15 | spread[at % len(spread)] << 7 for at in range(4))
        yield Microbenchmark(f"vlse32.v m{group}", strided, (*before, _addi(_SECOND, 0, 4)))
        used = (loads[0], _v(0, 8, 8, _OPIVV, 16)) * 4
        yield Microbenchmark(f"vle32.v m{group}, used at once", used, before)
    to_scalar = (0x42802557, _addi(20, 10, 1)) * 4  # vmv.x.s a0, v8; addi s4, a0, 1
    yield Microbenchmark("vmv.x.s, used at once", to_scalar, (_all_elements(0),))


def _all_elements(lmul: int) -> int:
    """vsetvli s5, zero, e32, ta, ma"""
    return (0xD0 | lmul) << 20 | 21 << 7 | 0x7057


def _v(funct6: int, vs2: int, vs1: int, category: int, vd: int) -> int:
    return funct6 << 26 | 1 << 25 | vs2 << 20 | vs1 << 15 | category << 12 | vd << 7 | 0x57


def microbenchmarks(chip: Chip) -> list[Microbenchmark]:
    """Those for the chip's own instructions; a part's number is its place in the list."""
    found = list(_scalars(chip))
    if chip.has("f"):
        found += _floats()
    if chip.vector_extension:
        found += _vectors(chip)
    return found


def program(chip: Chip, benchmarks: list[Microbenchmark]) -> dict[int, int]:
    """Words by address, from `Chip.start` on. Raises BenchError for a chip without an instruction that marks."""
    mark = chip.doing("mark")
    if mark is None:
        raise BenchError(f"{chip.name} has no instruction that marks, so no program can say what is to be counted.")
    marked = mark.match | _EVENT << 15 | _VALUE << 20
    data = chip.holding("data").base + 0x1000
    words: list[int] = []

    def tell(event: int, value: int = 0) -> None:
        words.extend((_addi(_EVENT, 0, event), _addi(_VALUE, 0, value), marked))

    if chip.has("f") or chip.vector_extension:  # mstatus.FS and mstatus.VS
        words += [*load_constant(_COUNT, 0x2200), 0x30000073 | _COUNT << 15 | 2 << 12]
    tell(Mark.INFERENCE_BEGIN)
    for number, each in enumerate(benchmarks):
        words += [*load_constant(_DATA, data), *load_constant(_FAR, data + 0x400)]
        words += [_addi(_FIRST, 0, 3), _addi(_SECOND, 0, 1)]
        words += [*each.before, _addi(_COUNT, 0, each.turns)]
        tell(Mark.DISPATCH_BEGIN, number)
        words += [*each.words, _addi(_COUNT, _COUNT, -1), _branch(_COUNT, 0, 1, -4 * len(each.words) - 4)]
        tell(Mark.DISPATCH_END, number)
    tell(Mark.INFERENCE_END)
    words.append(STAY)
    return {chip.start + 4 * at: word for at, word in enumerate(words)}
