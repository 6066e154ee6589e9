# SPDX-License-Identifier: Apache-2.0
"""The standard's extensions: those that a chip may have, and the encodings that each takes up.

Encodings are told in blocks, a (match, mask) each: a whole major opcode, a funct3 or a funct7 of one, or a single word.
Where an extension has most of a block the block is its own. Source: the RISC-V Unprivileged ISA, version 20240411.

>>> taken_by(0x33, 0xFE00707F, 32, ("i", "m"))
'i'
>>> taken_by(0x0B, 0xFE00707F, 32, ("i", "m"))
''
"""

from __future__ import annotations

import re
from collections.abc import Iterable

Blocks = tuple[tuple[int, int], ...]

_NAMES = """
i m a f d q c b v zicsr zifencei zicclsm ziccif ziccid zicntr zihpm zicond zicbom zicbop zicboz zicfilp zicfiss
zihintpause zihintntl zimop zilsd zmmul zaamo zalrsc zabha zacas zalasr zawrs zfh zfhmin zfa zfbfmin zfinx zdinx
zhinx zhinxmin zca zcb zcd zce zcf zclsd zcmop zcmp zcmt zba zbb zbc zbs zbkb zbkc zbkx zk zkn zknd zkne zknh zkr
zks zksed zksh zkt zve32x zve32f zve64x zve64f zve64d zvfh zvfhmin zvfbfmin zvfbfwma zvbb zvbc zvkb zvkg zvkn zvknc
zvkng zvkned zvknha zvknhb zvks zvksc zvksg zvksed zvksh zvkt zvfbdot32f zvqbdot8i zvqbdot16i zvqdotq smaia smcdeleg
smcntrpmf smcsrind smdbltrp smepmp smmpm smnpm smrnmi smstateen ssaia ssccfg sscofpmf sscsrind ssdbltrp ssnpm
ssqosid sstc svade svadu svinval svnapot svpbmt svukte
"""
#: All that Spike takes in an ISA string but drafts (p) and the lengths of vectors, which vlen says.
EXTENSIONS = frozenset(_NAMES.split())

_LOAD, _LOAD_FP, _MISC, _OP_IMM, _AUIPC, _OP_IMM_32 = 0x03, 0x07, 0x0F, 0x13, 0x17, 0x1B
_STORE, _STORE_FP, _AMO, _OP, _LUI, _OP_32, _OP_FP, _OP_V = 0x23, 0x27, 0x2F, 0x33, 0x37, 0x3B, 0x53, 0x57
_BRANCH, _JALR, _JAL, _SYSTEM, _OP_VE = 0x63, 0x67, 0x6F, 0x73, 0x77
_FUSED = (0x43, 0x47, 0x4B, 0x4F)
#: Instructions that do nothing but write rd: with x0 for it they are HINTs, which a chip may give a meaning.
_HINTS = (_OP_IMM, _AUIPC, _OP_IMM_32, _OP, _LUI, _OP_32)
_RD, _NOP = 31 << 7, 0x13


def _major(*majors: int) -> Blocks:
    return tuple((major, 0x7F) for major in majors)


def _funct3(major: int, *values: int) -> Blocks:
    return tuple((major | value << 12, 0x707F) for value in values)


def _funct7(major: int, funct7: int, *values: int) -> Blocks:
    return tuple((major | value << 12 | funct7 << 25, 0xFE00707F) for value in values)


def _shifts(major: int, funct7: int, *values: int) -> Blocks:
    """By a constant: on a core of 64 bits the lowest bit of funct7 belongs to it."""
    return tuple((major | value << 12 | funct7 << 25, 0xFC00707F) for value in values)


def _words(*words: int) -> Blocks:
    return tuple((word, 0xFFFFFFFF) for word in words)


def _format(number: int) -> Blocks:
    """Arithmetic with floating-point numbers of one length."""
    return tuple((major | number << 25, 0x0600007F) for major in (_OP_FP, *_FUSED))


_BASE = (
    *_major(_LUI, _AUIPC, _JAL),
    *_funct3(_JALR, 0),
    *_funct3(_BRANCH, 0, 1, 4, 5, 6, 7),
    *_funct3(_LOAD, 0, 1, 2, 4, 5),
    *_funct3(_STORE, 0, 1, 2),
    *_funct3(_OP_IMM, 0, 2, 3, 4, 6, 7),
    *_shifts(_OP_IMM, 0x00, 1, 5),
    *_shifts(_OP_IMM, 0x20, 5),
    *_funct7(_OP, 0x00, *range(8)),
    *_funct7(_OP, 0x20, 0, 5),
    *_funct3(_MISC, 0),
    *_words(0x00000073, 0x00100073, 0x10200073, 0x10500073),  # ecall, ebreak, sret, wfi
    *_words(0x30200073, 0x7B200073),  # mret, dret
    *_funct7(_SYSTEM, 0x09, 0),  # sfence.vma
)
_BASE_64 = (
    *_funct3(_LOAD, 3, 6),
    *_funct3(_STORE, 3),
    *_funct3(_OP_IMM_32, 0),
    *_funct7(_OP_IMM_32, 0x00, 1, 5),
    *_funct7(_OP_IMM_32, 0x20, 5),
    *_funct7(_OP_32, 0x00, 0, 1, 5),
    *_funct7(_OP_32, 0x20, 0, 5),
)
_VECTORS = (*_major(_OP_V), *_funct3(_LOAD_FP, 0, 5, 6, 7), *_funct3(_STORE_FP, 0, 5, 6, 7))
_VECTOR_CRYPTOGRAPHY = (*_VECTORS, *_major(_OP_VE))
_HALF = (*_format(2), *_funct3(_LOAD_FP, 1), *_funct3(_STORE_FP, 1), *_format(0))
_MULTIPLY = (*_funct7(_OP, 0x01, 0, 1, 2, 3), *_funct7(_OP_32, 0x01, 0))
_ZBB = (
    *_funct7(_OP, 0x20, 4, 6, 7),
    *_funct7(_OP, 0x05, 4, 5, 6, 7),
    *_funct7(_OP, 0x30, 1, 5),
    *_funct7(_OP, 0x04, 4),
    *_shifts(_OP_IMM, 0x30, 1, 5),
    *_shifts(_OP_IMM, 0x14, 5),
    *_shifts(_OP_IMM, 0x34, 5),
    *_funct7(_OP_32, 0x04, 4),
    *_funct7(_OP_32, 0x30, 1, 5),
    *_funct7(_OP_IMM_32, 0x30, 1, 5),
)
_ZBKB = (*_ZBB, *_funct7(_OP, 0x04, 7), *_shifts(_OP_IMM, 0x04, 1, 5))
_ZBC = _funct7(_OP, 0x05, 1, 2, 3)
_ZBKX = _funct7(_OP, 0x14, 2, 4)
_ZBS = (
    *_funct7(_OP, 0x24, 1, 5),
    *_funct7(_OP, 0x14, 1),
    *_funct7(_OP, 0x34, 1),
    *_shifts(_OP_IMM, 0x24, 1, 5),
    *_shifts(_OP_IMM, 0x14, 1),
    *_shifts(_OP_IMM, 0x34, 1),
)
_ZBA = (
    *_funct7(_OP, 0x10, 2, 4, 6),
    *_funct7(_OP_32, 0x10, 2, 4, 6),
    *_funct7(_OP_32, 0x04, 0),
    *_shifts(_OP_IMM_32, 0x04, 1),
)
#: AES, SHA and SM: funct7 and a constant in funct3 0 of OP, and functions of one register of OP-IMM.
_CRYPTOGRAPHY = (
    *((_OP | low << 25, 0x3E00707F) for low in (0x11, 0x13, 0x15, 0x17, 0x18, 0x1A)),
    *(block for funct7 in (0x19, 0x1B, 0x1D, 0x1F, *range(0x28, 0x30), 0x3F) for block in _funct7(_OP, funct7, 0)),
    *_funct7(_OP_IMM, 0x08, 1),
    *_funct7(_OP_IMM, 0x18, 1),
)
_BLOCKS: dict[str, Blocks] = {
    "i": _BASE,
    "m": (*_funct7(_OP, 0x01, *range(8)), *_funct7(_OP_32, 0x01, 0, 4, 5, 6, 7)),
    "zmmul": _MULTIPLY,
    **dict.fromkeys(("a", "zaamo", "zalrsc", "zicfiss"), _funct3(_AMO, 2, 3)),
    **dict.fromkeys(("zabha", "zacas", "zalasr"), _major(_AMO)),
    "f": (*_format(0), *_funct3(_LOAD_FP, 2), *_funct3(_STORE_FP, 2)),
    "d": (*_format(1), *_funct3(_LOAD_FP, 3), *_funct3(_STORE_FP, 3)),
    "q": (*_format(3), *_funct3(_LOAD_FP, 4), *_funct3(_STORE_FP, 4)),
    **dict.fromkeys(("zfh", "zfhmin", "zfbfmin"), _HALF),
    "zfinx": _format(0),
    "zdinx": _format(1),
    **dict.fromkeys(("zhinx", "zhinxmin"), _format(2)),
    "zicsr": _funct3(_SYSTEM, 1, 2, 3, 5, 6, 7),
    "zifencei": _funct3(_MISC, 1),
    "zilsd": (*_funct3(_LOAD, 3), *_funct3(_STORE, 3)),
    **dict.fromkeys(("zicbom", "zicboz"), _funct3(_MISC, 2)),
    "zicbop": tuple((0x6013 | which << 20, 0x01F07FFF) for which in (0, 1, 3)),
    "zicfilp": ((0x17, 0xFFF),),
    "zihintntl": _words(0x00200033, 0x00300033, 0x00400033, 0x00500033),
    "zicond": _funct7(_OP, 0x07, 5, 7),
    **dict.fromkeys(("zimop", "zcmop"), _funct3(_SYSTEM, 4)),
    "zawrs": _words(0x00D00073, 0x01D00073),
    "smrnmi": _words(0x70200073),
    "svinval": (*_funct7(_SYSTEM, 0x0B, 0), *_funct7(_SYSTEM, 0x0C, 0)),
    "b": (*_ZBA, *_ZBB, *_ZBS),
    "zba": _ZBA,
    "zbb": _ZBB,
    "zbs": _ZBS,
    "zbkb": _ZBKB,
    **dict.fromkeys(("zbc", "zbkc"), _ZBC),
    "zbkx": _ZBKX,
    **dict.fromkeys(("zknd", "zkne", "zknh", "zksed", "zksh"), _CRYPTOGRAPHY),
    **dict.fromkeys(("zk", "zkn", "zks"), (*_ZBKB, *_ZBC, *_ZBKX, *_CRYPTOGRAPHY)),
}


#: Extensions whose encodings lie in what others have taken up, as halfwords, or in their unused formats.
_WITHIN_OTHERS = ("zfa", "zca", "zcb", "zcd", "zce", "zcf", "zclsd", "zcmp", "zcmt")


def taken_by(match: int, mask: int, xlen: int, extensions: Iterable[str]) -> str:
    """The extension whose encodings have a word in common with these; empty if none has.

    A HINT, which is an instruction of the base that writes x0, is free, unless it has the nop.
    """
    is_hint = mask & _RD == _RD and not match & _RD and mask & 0x7F == 0x7F and match & 0x7F in _HINTS
    for extension in extensions:
        if extension == "i" and is_hint and (_NOP ^ match) & mask:
            continue
        if any(not (match ^ word) & mask & bits for word, bits in _blocks(extension, xlen)):
            return extension
    return ""


def adds_instructions(extension: str) -> bool:
    """Whether an extension has encodings of its own beside those of the base and the vectors' configurations.

    >>> adds_instructions("zfa"), adds_instructions("zicntr"), adds_instructions("zve32x")
    (True, False, False)
    """
    return extension in (*_BLOCKS, *_WITHIN_OTHERS) or re.fullmatch(r"zv(?!e\d|kt|l\d).*", extension) is not None


def _blocks(extension: str, xlen: int) -> Blocks:
    if extension.startswith("zvk"):
        return _VECTOR_CRYPTOGRAPHY
    if extension == "v" or extension.startswith("zv"):
        return _VECTORS
    return (*_BLOCKS.get(extension, ()), *(_BASE_64 if extension == "i" and xlen == 64 else ()))
