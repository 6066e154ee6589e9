# SPDX-License-Identifier: Apache-2.0
"""What an ISA string's extensions bring beside RV32 I, M and F: for programs that try them, and for names.

Instructions are (match, mask), as in the RISC-V Unprivileged ISA, version 20240411; those of C have 16 bits.
"""

from __future__ import annotations

import re

OPERATION, IMMEDIATE, UNARY = 0xFE00_707F, 0xFE00_707F, 0xFFF0_707F  # masks


def _operation(funct3: int, funct7: int, opcode: int = 0x33) -> tuple[int, int]:
    return funct7 << 25 | funct3 << 12 | opcode, OPERATION


def _immediate(funct3: int, funct7: int) -> tuple[int, int]:
    return _operation(funct3, funct7, 0x13)


def _unary(funct3: int, upper: int, opcode: int = 0x13) -> tuple[int, int]:
    return upper << 20 | funct3 << 12 | opcode, UNARY


#: By extension, then by name.
WORDS: dict[str, dict[str, tuple[int, int]]] = {
    "zba": {"sh1add": _operation(2, 0x10), "sh2add": _operation(4, 0x10), "sh3add": _operation(6, 0x10)},
    "zbb": {
        **{"andn": _operation(7, 0x20), "orn": _operation(6, 0x20), "xnor": _operation(4, 0x20)},
        **{"min": _operation(4, 5), "minu": _operation(5, 5), "max": _operation(6, 5), "maxu": _operation(7, 5)},
        **{"rol": _operation(1, 0x30), "ror": _operation(5, 0x30), "rori": _immediate(5, 0x30)},
        **{"clz": _unary(1, 0x600), "ctz": _unary(1, 0x601), "cpop": _unary(1, 0x602)},
        **{"sext.b": _unary(1, 0x604), "sext.h": _unary(1, 0x605), "zext.h": _unary(4, 0x080, 0x33)},
        **{"orc.b": _unary(5, 0x287), "rev8": _unary(5, 0x698)},
    },
    "zbs": {
        **{"bclr": _operation(1, 0x24), "bext": _operation(5, 0x24), "binv": _operation(1, 0x34)},
        **{"bset": _operation(1, 0x14), "bclri": _immediate(1, 0x24), "bexti": _immediate(5, 0x24)},
        **{"binvi": _immediate(1, 0x34), "bseti": _immediate(1, 0x14)},
    },
    "zbc": {"clmul": _operation(1, 5), "clmulr": _operation(2, 5), "clmulh": _operation(3, 5)},
    "zicond": {"czero.eqz": _operation(5, 7), "czero.nez": _operation(7, 7)},
    "zifencei": {"fence.i": (0x0000_100F, 0xFFFF_FFFF)},
}
#: Of C on RV32; those that are special cases of others stand before them.
COMPRESSED: dict[str, tuple[int, int]] = {
    "c.nop": (0x0001, 0xEF83), "c.addi16sp": (0x6101, 0xEF83), "c.ebreak": (0x9002, 0xFFFF),
    "c.jr": (0x8002, 0xF07F), "c.jalr": (0x9002, 0xF07F),
    "c.addi4spn": (0x0000, 0xE003), "c.lw": (0x4000, 0xE003), "c.sw": (0xC000, 0xE003),
    "c.addi": (0x0001, 0xE003), "c.jal": (0x2001, 0xE003), "c.li": (0x4001, 0xE003), "c.lui": (0x6001, 0xE003),
    "c.srli": (0x8001, 0xEC03), "c.srai": (0x8401, 0xEC03), "c.andi": (0x8801, 0xEC03),
    "c.sub": (0x8C01, 0xFC63), "c.xor": (0x8C21, 0xFC63), "c.or": (0x8C41, 0xFC63), "c.and": (0x8C61, 0xFC63),
    "c.j": (0xA001, 0xE003), "c.beqz": (0xC001, 0xE003), "c.bnez": (0xE001, 0xE003),
    "c.slli": (0x0002, 0xE003), "c.lwsp": (0x4002, 0xE003), "c.swsp": (0xC002, 0xE003),
    "c.mv": (0x8002, 0xF003), "c.add": (0x9002, 0xF003),
}  # fmt: skip
#: Of C with F: they are told apart from the others, and no program has them.
COMPRESSED_FLOATS: dict[str, tuple[int, int]] = {
    "c.flw": (0x6000, 0xE003), "c.fsw": (0xE000, 0xE003), "c.flwsp": (0x6002, 0xE003), "c.fswsp": (0xE002, 0xE003),
}  # fmt: skip
#: What an extension has of others, or is made of: as far as cores here may have the part alone.
_PARTS = {
    "i": "e", "m": "zmmul", "c": "zca", "d": "f", "a": "zaamo zalrsc", "zfh": "zfhmin", "zvfh": "zvfhmin",
    "v": "d zve64d zvl128b", "zve64d": "d zve64f", "zve64f": "zve64x zve32f", "zve32f": "f zve32x", "zve64x": "zve32x",
}  # fmt: skip
#: What names no instruction of its own: parts of others, counters, vectors' lengths, privileges, promises.
_BRINGS_NONE = re.compile(r"zicsr|zicntr|zihpm|zicc\w+|za\d+rs|zvl\d+b|zmmul|s[msv]\w*")


def extensions_of(isa: str) -> tuple[str, ...]:
    """Extensions of an ISA string, in its order; what stands for several is written out.

    >>> extensions_of("rv32imc_zicsr_zba"), extensions_of("rv32gb")[-4:]
    (('i', 'm', 'c', 'zicsr', 'zba'), ('zifencei', 'zba', 'zbb', 'zbs'))
    """
    letters = re.match(r"[a-y]*", isa.lower()[4:])[0]
    words = [each for each in isa.lower()[4 + len(letters) :].split("_") if each]
    whole = {"g": ["i", "m", "a", "f", "d", "zicsr", "zifencei"], "b": ["zba", "zbb", "zbs"]}
    return tuple(dict.fromkeys([*(each for letter in letters for each in whole.get(letter, [letter])), *words]))


def lacking(isa: str, other: str) -> list[str]:
    """Extensions of an ISA string that another one has neither by name nor as a part of what it has.

    >>> lacking("rv32im_zicsr_zmmul_zba", "rv32ic_zicsr"), lacking("rv32imf_zve32f_zvl128b", "rv32gcv")
    (['m', 'zmmul', 'zba'], [])
    """
    there = {"zicsr", *extensions_of(other)}  # Spike always has these registers
    while parts := {part for each in there for part in _PARTS.get(each, "").split()} - there:
        there |= parts
    return [each for each in extensions_of(isa) if each not in there]


def unknown(isa: str) -> list[str]:
    """Extensions of an ISA string whose instructions no program here has.

    >>> unknown("rv32imac_zicsr_zbb_zfh")
    ['a', 'zfh']
    """
    known = {*"iemfcgb", *WORDS}
    return [each for each in extensions_of(isa) if each not in known and not _BRINGS_NONE.fullmatch(each)]


def name_of(word: int) -> str | None:
    """The name of an instruction of the tables here, None for another.

    >>> name_of(0x20C5_A533), name_of(0x0000_4501), name_of(0x0000_0013)
    ('sh1add', 'c.li', None)
    """
    tables = WORDS.values() if word & 3 == 3 else (COMPRESSED, COMPRESSED_FLOATS)
    return next((name for table in tables for name, (match, mask) in table.items() if word & mask == match), None)
