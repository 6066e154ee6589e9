# SPDX-License-Identifier: Apache-2.0
"""Names and kinds of instruction words: RV32 and RV64 with M, A, F, D and Zicsr, vectors (RVV 1.0), and a chip's own.

Names are the instructions' own (``addi``, ``jalr``), never an assembler's pseudo-instructions (``li``, ``ret``).
Source: the RISC-V Unprivileged ISA, version 20240411, and the instruction table of "V" 1.0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import IntEnum
from functools import lru_cache
from itertools import product

from springbok.chips.chip import Instruction


class Kind(IntEnum):
    """What an instruction counts as."""

    OTHER = 0
    VECTOR = 1  # arithmetic, load, store or permutation of vectors
    MARK = 2


UNKNOWN = "unknown"
MARK_NAME = "mark"

OP_V, LOAD_FP, STORE_FP, SYSTEM = 0x57, 0x07, 0x27, 0x73
VECTOR_WIDTHS = {0: 8, 5: 16, 6: 32, 7: 64}


def opcode_kind(word: int, own: Sequence[Instruction] = ()) -> Kind:
    """Return what the instruction counts as. ``own`` are the chip's instructions beside the standard's.

    >>> opcode_kind(0x02010057).name, opcode_kind(0x0d05f057).name  # vadd.vv, vsetvli
    ('VECTOR', 'OTHER')
    """
    found = _find(word, own)
    if found is not None:
        return Kind.MARK if found.does == "mark" else Kind.OTHER
    major, funct3 = word & 0x7F, word >> 12 & 7
    if major == OP_V:
        return Kind.OTHER if funct3 == 7 else Kind.VECTOR
    if major in (LOAD_FP, STORE_FP):
        return Kind.VECTOR if funct3 in VECTOR_WIDTHS else Kind.OTHER
    return Kind.OTHER


def csr_of(word: int) -> int | None:
    """The address of the control and status register that an instruction reads or writes; None for others.

    >>> hex(csr_of(0xC2002573)), csr_of(0x00000073)  # csrr a0, vl; ecall
    ('0xc20', None)
    """
    return word >> 20 if word & 0x7F == SYSTEM and word >> 12 & 3 else None


def opcode_name(word: int, own: Sequence[Instruction] = ()) -> str:
    """Return the instruction's name, ``unknown`` for a word that is none. ``own`` is as in `opcode_kind`.

    Reserved encodings of a known instruction may get its name: they trap, so nothing ever counts them.

    >>> opcode_name(0x00000013), opcode_name(0x02010057)
    ('addi', 'vadd.vv')
    """
    found = _find(word, own)
    if found is not None:
        return MARK_NAME if found.does == "mark" else found.name
    return _standard_name(word)


def _standard_name(word: int) -> str:  # noqa: PLR0911 (a kind of instruction each)
    major, funct3 = word & 0x7F, word >> 12 & 7
    if major == OP_V:
        return _vector_configuration(word) if funct3 == 7 else _vector_arithmetic(word)
    if major in (LOAD_FP, STORE_FP) and funct3 in VECTOR_WIDTHS:
        return _vector_memory(word)
    if major == SYSTEM and funct3 == 0:
        return _SYSTEM.get(word, UNKNOWN)
    if major in _DECODERS:
        return _DECODERS[major](word)
    entry = _SCALAR.get(major, UNKNOWN)
    if isinstance(entry, dict):
        entry = entry.get(funct3, UNKNOWN)
    if isinstance(entry, dict):
        entry = entry.get(word >> 25, UNKNOWN)
    return entry


def _find(word: int, own: Sequence[Instruction]) -> Instruction | None:
    return next((each for each in own if each.is_(word)), None)


# ---- Scalar: by major opcode, then funct3, then funct7, as far as the instruction needs it.

_SCALAR: dict[int, str | dict] = {
    0x37: "lui",
    0x17: "auipc",
    0x6F: "jal",
    0x67: {0: "jalr"},
    0x63: {0: "beq", 1: "bne", 4: "blt", 5: "bge", 6: "bltu", 7: "bgeu"},
    0x03: {0: "lb", 1: "lh", 2: "lw", 3: "ld", 4: "lbu", 5: "lhu", 6: "lwu"},
    0x23: {0: "sb", 1: "sh", 2: "sw", 3: "sd"},
    0x13: {
        **{0: "addi", 2: "slti", 3: "sltiu", 4: "xori", 6: "ori", 7: "andi"},
        # On a core of 64 bits the lowest bit of funct7 belongs to the shift.
        **{1: {0x00: "slli", 0x01: "slli"}, 5: {0x00: "srli", 0x01: "srli", 0x20: "srai", 0x21: "srai"}},
    },
    0x1B: {0: "addiw", 1: {0x00: "slliw"}, 5: {0x00: "srliw", 0x20: "sraiw"}},
    0x33: {
        0: {0x00: "add", 0x20: "sub", 0x01: "mul"},
        1: {0x00: "sll", 0x01: "mulh"},
        2: {0x00: "slt", 0x01: "mulhsu"},
        3: {0x00: "sltu", 0x01: "mulhu"},
        4: {0x00: "xor", 0x01: "div"},
        5: {0x00: "srl", 0x20: "sra", 0x01: "divu"},
        6: {0x00: "or", 0x01: "rem"},
        7: {0x00: "and", 0x01: "remu"},
    },
    0x3B: {
        0: {0x00: "addw", 0x20: "subw", 0x01: "mulw"},
        1: {0x00: "sllw"},
        4: {0x01: "divw"},
        5: {0x00: "srlw", 0x20: "sraw", 0x01: "divuw"},
        6: {0x01: "remw"},
        7: {0x01: "remuw"},
    },
    0x0F: {0: "fence", 1: "fence.i"},
    SYSTEM: {1: "csrrw", 2: "csrrs", 3: "csrrc", 5: "csrrwi", 6: "csrrsi", 7: "csrrci"},
    LOAD_FP: {2: "flw", 3: "fld"},
    STORE_FP: {2: "fsw", 3: "fsd"},
}

# Fused multiply-add, by major opcode; bits 25 and 26 are the format.
_FUSED = {0x43: "fmadd", 0x47: "fmsub", 0x4B: "fnmsub", 0x4F: "fnmadd"}
_FORMATS = {0: "s", 1: "d"}

# Atomic memory operations, by the upper five bits; funct3 is the width.
_ATOMIC = {
    **{0x02: "lr", 0x03: "sc", 0x01: "amoswap", 0x00: "amoadd", 0x04: "amoxor", 0x0C: "amoand", 0x08: "amoor"},
    **{0x10: "amomin", 0x14: "amomax", 0x18: "amominu", 0x1C: "amomaxu"},
}
_ATOMIC_WIDTHS = {2: "w", 3: "d"}

_SYSTEM = {0x00000073: "ecall", 0x00100073: "ebreak", 0x30200073: "mret", 0x10500073: "wfi"}

# By funct7 without its two bits of the format, which is the name's ending: a name, or names by funct3 (the rounding
# mode's place) or by rs2.
_FLOAT = {0x00: "fadd", 0x04: "fsub", 0x08: "fmul", 0x0C: "fdiv"}
_FLOAT_BY_FUNCT3 = {
    0x10: {0: "fsgnj", 1: "fsgnjn", 2: "fsgnjx"},
    0x14: {0: "fmin", 1: "fmax"},
    0x50: {0: "fle", 1: "flt", 2: "feq"},
}
_INTEGERS = {0: "w", 1: "wu", 2: "l", 3: "lu"}
# Moves between registers: of a single-precision number as a word.
_MOVED = {"s": "w", "d": "d"}


def _float_arithmetic(word: int) -> str:  # noqa: PLR0911
    funct7, funct3, rs2 = word >> 25 & ~3, word >> 12 & 7, word >> 20 & 31
    form = _FORMATS.get(word >> 25 & 3)
    if form is None:
        return UNKNOWN
    if funct7 in _FLOAT:
        return f"{_FLOAT[funct7]}.{form}"
    if funct7 in _FLOAT_BY_FUNCT3:
        return _ending(_FLOAT_BY_FUNCT3[funct7].get(funct3), form)
    if funct7 == 0x2C and rs2 == 0:
        return f"fsqrt.{form}"
    if funct7 == 0x20 and (form, rs2) in (("s", 1), ("d", 0)):
        return f"fcvt.{form}.{_FORMATS[rs2]}"
    if funct7 == 0x60 and rs2 in _INTEGERS:
        return f"fcvt.{_INTEGERS[rs2]}.{form}"
    if funct7 == 0x68 and rs2 in _INTEGERS:
        return f"fcvt.{form}.{_INTEGERS[rs2]}"
    moves = {(0x70, 0): f"fmv.x.{_MOVED[form]}", (0x70, 1): f"fclass.{form}", (0x78, 0): f"fmv.{_MOVED[form]}.x"}
    return moves.get((funct7, funct3), UNKNOWN) if rs2 == 0 else UNKNOWN


def _fused(word: int) -> str:
    return _ending(_FUSED[word & 0x7F], _FORMATS.get(word >> 25 & 3))


def _atomic(word: int) -> str:
    return _ending(_ATOMIC.get(word >> 27), _ATOMIC_WIDTHS.get(word >> 12 & 7))


def _ending(name: str | None, form: str | None) -> str:
    return UNKNOWN if name is None or form is None else f"{name}.{form}"


_DECODERS = {0x53: _float_arithmetic, 0x2F: _atomic, **dict.fromkeys(_FUSED, _fused)}


# ---- Vector configuration, loads and stores


def _vector_configuration(word: int) -> str:
    if not word >> 31:
        return "vsetvli"
    if word >> 30 == 3:
        return "vsetivli"
    return "vsetvl" if word >> 25 == 0x40 else UNKNOWN


def _vector_memory(word: int) -> str:  # noqa: PLR0911
    letter = "l" if word & 0x7F == LOAD_FP else "s"
    width, fields = VECTOR_WIDTHS[word >> 12 & 7], (word >> 29) + 1
    mode, unit_mode = word >> 26 & 3, word >> 20 & 31
    if word >> 28 & 1:  # mew: widths above 64 bits
        return UNKNOWN
    segments = f"seg{fields}" if fields > 1 else ""
    if mode == 2:
        return f"v{letter}s{segments}e{width}.v"
    if mode:
        order = "u" if mode == 1 else "o"
        return f"v{letter}{order}x{segments}ei{width}.v"
    if unit_mode == 0:
        return f"v{letter}{segments}e{width}.v"
    if unit_mode == 8:  # whole registers
        return f"vl{fields}re{width}.v" if letter == "l" else f"vs{fields}r.v"
    if unit_mode == 11:
        return f"v{letter}m.v"
    if unit_mode == 16 and letter == "l":
        return f"vl{segments}e{width}ff.v"
    return UNKNOWN


# ---- Vector arithmetic: by funct3 (operand category) and funct6. "vadd v x i" is a base name and the second
# operands that it exists with; the suffix follows from them. A name with a dot is complete.

_OPIVV, _OPFVV, _OPMVV, _OPIVI, _OPIVX, _OPFVF, _OPMVX = range(7)
_CATEGORY_LETTER = {_OPIVV: "v", _OPFVV: "v", _OPMVV: "v", _OPIVI: "i", _OPIVX: "x", _OPFVF: "f", _OPMVX: "x"}

_INTEGER = {  # OPIVV, OPIVX, OPIVI
    0b000000: "vadd v x i",
    0b000010: "vsub v x",
    0b000011: "vrsub x i",
    0b000100: "vminu v x",
    0b000101: "vmin v x",
    0b000110: "vmaxu v x",
    0b000111: "vmax v x",
    0b001001: "vand v x i",
    0b001010: "vor v x i",
    0b001011: "vxor v x i",
    0b001100: "vrgather v x i",
    0b001110: "vslideup x i",
    0b001111: "vslidedown x i",
    0b011000: "vmseq v x i",
    0b011001: "vmsne v x i",
    0b011010: "vmsltu v x",
    0b011011: "vmslt v x",
    0b011100: "vmsleu v x i",
    0b011101: "vmsle v x i",
    0b011110: "vmsgtu x i",
    0b011111: "vmsgt x i",
    0b100000: "vsaddu v x i",
    0b100001: "vsadd v x i",
    0b100010: "vssubu v x",
    0b100011: "vssub v x",
    0b100101: "vsll v x i",
    0b100111: "vsmul v x",
    0b101000: "vsrl v x i",
    0b101001: "vsra v x i",
    0b101010: "vssrl v x i",
    0b101011: "vssra v x i",
}
_INTEGER_NARROWING = {0b101100: "vnsrl", 0b101101: "vnsra", 0b101110: "vnclipu", 0b101111: "vnclip"}
_INTEGER_CARRY = {  # a "m" follows the suffix when vm = 0; True: vm = 1 exists too
    0b010000: ("vadc v x i", False),
    0b010001: ("vmadc v x i", True),
    0b010010: ("vsbc v x", False),
    0b010011: ("vmsbc v x", True),
}
_INTEGER_ONLY_VV = {0b001110: "vrgatherei16.vv", 0b110000: "vwredsumu.vs", 0b110001: "vwredsum.vs"}

_MULTIPLY = {  # OPMVV, OPMVX
    0b001000: "vaaddu v x",
    0b001001: "vaadd v x",
    0b001010: "vasubu v x",
    0b001011: "vasub v x",
    0b001110: "vslide1up x",
    0b001111: "vslide1down x",
    0b100000: "vdivu v x",
    0b100001: "vdiv v x",
    0b100010: "vremu v x",
    0b100011: "vrem v x",
    0b100100: "vmulhu v x",
    0b100101: "vmul v x",
    0b100110: "vmulhsu v x",
    0b100111: "vmulh v x",
    0b101001: "vmadd v x",
    0b101011: "vnmsub v x",
    0b101101: "vmacc v x",
    0b101111: "vnmsac v x",
    0b110000: "vwaddu v x",
    0b110001: "vwadd v x",
    0b110010: "vwsubu v x",
    0b110011: "vwsub v x",
    0b111000: "vwmulu v x",
    0b111010: "vwmulsu v x",
    0b111011: "vwmul v x",
    0b111100: "vwmaccu v x",
    0b111101: "vwmacc v x",
    0b111110: "vwmaccus x",
    0b111111: "vwmaccsu v x",
}
_MULTIPLY_WIDE = {0b110100: "vwaddu", 0b110101: "vwadd", 0b110110: "vwsubu", 0b110111: "vwsub"}
_MULTIPLY_ONLY_VV = {
    0b000000: "vredsum.vs",
    0b000001: "vredand.vs",
    0b000010: "vredor.vs",
    0b000011: "vredxor.vs",
    0b000100: "vredminu.vs",
    0b000101: "vredmin.vs",
    0b000110: "vredmaxu.vs",
    0b000111: "vredmax.vs",
    0b010111: "vcompress.vm",
    0b011000: "vmandn.mm",
    0b011001: "vmand.mm",
    0b011010: "vmor.mm",
    0b011011: "vmxor.mm",
    0b011100: "vmorn.mm",
    0b011101: "vmnand.mm",
    0b011110: "vmnor.mm",
    0b011111: "vmxnor.mm",
}
_MULTIPLY_UNARY = {  # funct6, then vs1
    0b010000: {0: "vmv.x.s", 16: "vcpop.m", 17: "vfirst.m"},
    0b010010: {2: "vzext.vf8", 3: "vsext.vf8", 4: "vzext.vf4", 5: "vsext.vf4", 6: "vzext.vf2", 7: "vsext.vf2"},
    0b010100: {1: "vmsbf.m", 2: "vmsof.m", 3: "vmsif.m", 16: "viota.m", 17: "vid.v"},
}

_FLOATING = {  # OPFVV, OPFVF
    0b000000: "vfadd v f",
    0b000010: "vfsub v f",
    0b000100: "vfmin v f",
    0b000110: "vfmax v f",
    0b001000: "vfsgnj v f",
    0b001001: "vfsgnjn v f",
    0b001010: "vfsgnjx v f",
    0b001110: "vfslide1up f",
    0b001111: "vfslide1down f",
    0b011000: "vmfeq v f",
    0b011001: "vmfle v f",
    0b011011: "vmflt v f",
    0b011100: "vmfne v f",
    0b011101: "vmfgt f",
    0b011111: "vmfge f",
    0b100000: "vfdiv v f",
    0b100001: "vfrdiv f",
    0b100100: "vfmul v f",
    0b100111: "vfrsub f",
    0b101000: "vfmadd v f",
    0b101001: "vfnmadd v f",
    0b101010: "vfmsub v f",
    0b101011: "vfnmsub v f",
    0b101100: "vfmacc v f",
    0b101101: "vfnmacc v f",
    0b101110: "vfmsac v f",
    0b101111: "vfnmsac v f",
    0b110000: "vfwadd v f",
    0b110010: "vfwsub v f",
    0b111000: "vfwmul v f",
    0b111011: "vfwmaccbf16 v f",
    0b111100: "vfwmacc v f",
    0b111101: "vfwnmacc v f",
    0b111110: "vfwmsac v f",
    0b111111: "vfwnmsac v f",
}
_FLOATING_WIDE = {0b110100: "vfwadd", 0b110110: "vfwsub"}
_FLOATING_ONLY_VV = {
    0b000001: "vfredusum.vs",
    0b000011: "vfredosum.vs",
    0b000101: "vfredmin.vs",
    0b000111: "vfredmax.vs",
    0b110001: "vfwredusum.vs",
    0b110011: "vfwredosum.vs",
}
_CONVERSIONS = ("xu.f", "x.f", "f.xu", "f.x", "f.f", "rod.f.f", "rtz.xu.f", "rtz.x.f")
_FLOATING_UNARY = {  # funct6, then vs1
    0b010000: {0: "vfmv.f.s"},
    0b010010: {
        **{0 + code: f"vfcvt.{name}.v" for code, name in enumerate(_CONVERSIONS) if code not in (4, 5)},
        **{8 + code: f"vfwcvt.{name}.v" for code, name in enumerate(_CONVERSIONS) if code != 5},
        **{16 + code: f"vfncvt.{name}.w" for code, name in enumerate(_CONVERSIONS)},
        **{13: "vfwcvtbf16.f.f.v", 29: "vfncvtbf16.f.f.w"},
    },
    0b010011: {0: "vfsqrt.v", 4: "vfrsqrt7.v", 5: "vfrec7.v", 16: "vfclass.v"},
}


def _vector_arithmetic(word: int) -> str:
    category, funct6, unmasked = word >> 12 & 7, word >> 26, word >> 25 & 1
    vs2, vs1 = word >> 20 & 31, word >> 15 & 31
    letter = _CATEGORY_LETTER[category]
    if category in (_OPIVV, _OPIVX, _OPIVI):
        return _integer(category, letter, funct6, unmasked, vs1)
    if category in (_OPMVV, _OPMVX):
        if letter == "x" and funct6 == 0b010000:
            return "vmv.s.x" if vs2 == 0 else UNKNOWN
        return _multiply_or_float(letter, funct6, vs1, (_MULTIPLY, _MULTIPLY_WIDE, _MULTIPLY_ONLY_VV, _MULTIPLY_UNARY))
    if letter == "f" and funct6 == 0b010000:
        return "vfmv.s.f" if vs2 == 0 else UNKNOWN
    if letter == "f" and funct6 == 0b010111:
        return "vfmv.v.f" if unmasked else "vfmerge.vfm"
    return _multiply_or_float(letter, funct6, vs1, (_FLOATING, _FLOATING_WIDE, _FLOATING_ONLY_VV, _FLOATING_UNARY))


def _integer(category: int, letter: str, funct6: int, unmasked: int, vs1: int) -> str:  # noqa: PLR0911
    if category == _OPIVV and funct6 in _INTEGER_ONLY_VV:
        return _INTEGER_ONLY_VV[funct6]
    if category == _OPIVI and funct6 == 0b100111:  # whole registers
        return {0: "vmv1r.v", 1: "vmv2r.v", 3: "vmv4r.v", 7: "vmv8r.v"}.get(vs1, UNKNOWN)
    if funct6 == 0b010111:
        return f"vmv.v.{letter}" if unmasked else f"vmerge.v{letter}m"
    if funct6 in _INTEGER_NARROWING:
        return f"{_INTEGER_NARROWING[funct6]}.w{letter}"
    if funct6 in _INTEGER_CARRY:
        entry, also_unmasked = _INTEGER_CARRY[funct6]
        name = _with_suffix(entry, letter)
        if name == UNKNOWN or (unmasked and not also_unmasked):
            return UNKNOWN
        return name if unmasked else name + "m"
    return _with_suffix(_INTEGER.get(funct6), letter)


def _multiply_or_float(letter: str, funct6: int, vs1: int, tables: tuple[dict, dict, dict, dict]) -> str:
    binary, wide, only_vv, unary = tables
    if funct6 in wide:
        return f"{wide[funct6]}.w{letter}"
    if letter == "v" and funct6 in only_vv:
        return only_vv[funct6]
    if letter == "v" and funct6 in unary:
        return unary[funct6].get(vs1, UNKNOWN)
    return _with_suffix(binary.get(funct6), letter)


def _with_suffix(entry: str | None, letter: str) -> str:
    """``vadd v x i`` and ``x`` give ``vadd.vx``."""
    if entry is None:
        return UNKNOWN
    name, *letters = entry.split()
    if letter not in letters:
        return UNKNOWN
    return f"{name}.v{letter}"


@lru_cache(maxsize=1)
def named_words() -> dict[str, tuple[int, ...]]:
    """All names of the standard's instructions, with words of each: one a format and funct7 at least.

    >>> [hex(word) for word in named_words()["mulh"]]
    ['0x20010b3']
    """
    found: dict[str, list[int]] = {}
    for word in _samples():
        if (name := _standard_name(word)) != UNKNOWN:
            found.setdefault(name, []).append(word)
    return {name: tuple(words) for name, words in found.items()}


def _samples() -> Iterator[int]:
    """Words that have every value in the bits that names depend on; rd is x1, for x0 makes HINTs."""
    yield from _SYSTEM
    rd, eight = 1 << 7, range(8)
    for major, funct3, funct7 in product(_SCALAR, eight, (0x00, 0x01, 0x20, 0x21)):
        yield funct7 << 25 | funct3 << 12 | rd | major
    for major, funct3, rs2, funct7 in product(_DECODERS, eight, range(4), range(0, 128)):
        yield funct7 << 25 | rs2 << 20 | funct3 << 12 | rd | major
    for category, vs1, upper in product(eight, range(32), range(128)):
        yield upper << 25 | vs1 << 15 | category << 12 | rd | OP_V
    for major, width, unit, upper in product((LOAD_FP, STORE_FP), VECTOR_WIDTHS, (0, 8, 11, 16), range(128)):
        yield upper << 25 | unit << 20 | width << 12 | rd | major


def branch_offset(word: int) -> int:
    """How many bytes further a branch goes; less than 0 is backward."""
    offset = (word >> 7 & 1) << 11 | (word >> 25 & 0x3F) << 5 | (word >> 8 & 0xF) << 1
    return offset - (word >> 31 << 12)


def jump_offset(word: int) -> int:
    """How many bytes further ``jal`` goes."""
    offset = (word >> 12 & 0xFF) << 12 | (word >> 20 & 1) << 11 | (word >> 21 & 0x3FF) << 1
    return offset - (word >> 31 << 20)
