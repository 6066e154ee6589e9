# SPDX-License-Identifier: Apache-2.0
"""Compressed instructions: the 32-bit instruction that a halfword of RV32C or RV64C stands for.

Source: the RISC-V Unprivileged ISA, version 20240411, chapter "C" (formats and tables of 26.2 to 26.8).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

_EBREAK = 0x00100073
_Expansion = Callable[[int], "int | None"]


@lru_cache(maxsize=1 << 17)
def expand(halfword: int, xlen: int) -> int | None:
    """The word of the same instruction in 32 bits; None for what is reserved or no compressed instruction.

    Hints (operations on x0) are expanded as what they are. ``xlen`` is 32 or 64: some halfwords are others there.

    >>> hex(expand(0x4588, 32)), hex(expand(0xA001, 32))                          # lw a0, 8(a1); j .
    ('0x85a503', '0x6f')
    """
    quadrant, funct3 = halfword & 3, halfword >> 13
    found = _TABLES[xlen].get((quadrant, funct3))
    return found(halfword) if found and 0 <= halfword < 1 << 16 else None


def _bits(halfword: int, *parts: tuple[int, int, int]) -> int:
    """Bits of an immediate: from bit ``low`` on, ``count`` of them, put at bit ``at``."""
    return sum((halfword >> low & (1 << count) - 1) << at for low, count, at in parts)


def _signed(value: int, bits: int) -> int:
    return value - (value >> bits - 1 << bits)


def _i(major: int, funct3: int, rd: int, rs1: int, immediate: int) -> int:
    return (immediate & 0xFFF) << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | major


def _s(major: int, funct3: int, rs1: int, rs2: int, immediate: int) -> int:
    return immediate >> 5 << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | (immediate & 31) << 7 | major


def _r(major: int, funct7: int, funct3: int, rd: int, rs1: int, rs2: int) -> int:
    return funct7 << 25 | rs2 << 20 | rs1 << 15 | funct3 << 12 | rd << 7 | major


def _full(h: int) -> int:
    return h >> 7 & 31


def _second(h: int) -> int:
    return h >> 2 & 31


def _upper(h: int) -> int:
    """rs1' of loads and stores, rd' of arithmetic."""
    return 8 + (h >> 7 & 7)


def _lower(h: int) -> int:
    """rd' of loads, rs2' of stores and arithmetic."""
    return 8 + (h >> 2 & 7)


_OFFSET = {4: ((6, 1, 2), (10, 3, 3), (5, 1, 6)), 8: ((10, 3, 3), (5, 2, 6))}
_STACK_LOAD = {4: ((4, 3, 2), (12, 1, 5), (2, 2, 6)), 8: ((5, 2, 3), (12, 1, 5), (2, 3, 6))}
_STACK_STORE = {4: ((9, 4, 2), (7, 2, 6)), 8: ((10, 3, 3), (7, 3, 6))}


def _load(major: int, size: int) -> _Expansion:
    funct3 = size.bit_length() - 1
    return lambda h: _i(major, funct3, _lower(h), _upper(h), _bits(h, *_OFFSET[size]))


def _store(major: int, size: int) -> _Expansion:
    funct3 = size.bit_length() - 1
    return lambda h: _s(major, funct3, _upper(h), _lower(h), _bits(h, *_OFFSET[size]))


def _load_from_stack(major: int, size: int) -> _Expansion:
    funct3, is_float = size.bit_length() - 1, major == 0x07
    return lambda h: _i(major, funct3, _full(h), 2, _bits(h, *_STACK_LOAD[size])) if _full(h) or is_float else None


def _store_on_stack(major: int, size: int) -> _Expansion:
    funct3 = size.bit_length() - 1
    return lambda h: _s(major, funct3, 2, _second(h), _bits(h, *_STACK_STORE[size]))


def _six(h: int) -> int:
    return _signed(_bits(h, (2, 5, 0), (12, 1, 5)), 6)


def _addi4spn(h: int) -> int | None:
    value = _bits(h, (6, 1, 2), (5, 1, 3), (11, 2, 4), (7, 4, 6))
    return _i(0x13, 0, _lower(h), 2, value) if value else None


def _addi(h: int) -> int:
    return _i(0x13, 0, _full(h), _full(h), _six(h))


def _addiw(h: int) -> int | None:
    return _i(0x1B, 0, _full(h), _full(h), _six(h)) if _full(h) else None


def _li(h: int) -> int:
    return _i(0x13, 0, _full(h), 0, _six(h))


def _lui_or_addi16sp(h: int) -> int | None:
    if _six(h) == 0:
        return None
    if _full(h) == 2:
        return _i(0x13, 0, 2, 2, _signed(_bits(h, (6, 1, 4), (2, 1, 5), (5, 1, 6), (3, 2, 7), (12, 1, 9)), 10))
    return (_six(h) & 0xFFFFF) << 12 | _full(h) << 7 | 0x37


def _jump(link: int) -> _Expansion:
    def expanded(h: int) -> int:
        places = ((3, 3, 1), (11, 1, 4), (2, 1, 5), (7, 1, 6), (6, 1, 7), (9, 2, 8), (8, 1, 10), (12, 1, 11))
        offset = _signed(_bits(h, *places), 12)
        return _bits(offset, (20, 1, 31), (1, 10, 21), (11, 1, 20), (12, 8, 12)) | link << 7 | 0x6F

    return expanded


def _branch(funct3: int) -> _Expansion:
    def expanded(h: int) -> int:
        offset = _signed(_bits(h, (3, 2, 1), (10, 2, 3), (2, 1, 5), (5, 2, 6), (12, 1, 8)), 9)
        return _bits(offset, (12, 1, 31), (5, 6, 25), (1, 4, 8), (11, 1, 7)) | _upper(h) << 15 | funct3 << 12 | 0x63

    return expanded


#: By bit 12 and bits 5 and 6: major opcode, funct7, funct3.
_REGISTERS = {
    **{(0, 0): (0x33, 0x20, 0), (0, 1): (0x33, 0, 4), (0, 2): (0x33, 0, 6), (0, 3): (0x33, 0, 7)},
    **{(1, 0): (0x3B, 0x20, 0), (1, 1): (0x3B, 0, 0)},
}


def _arithmetic(xlen: int) -> _Expansion:
    def expanded(h: int) -> int | None:
        rd, kind, high = _upper(h), h >> 10 & 3, h >> 12 & 1
        if kind < 2:
            return None if high and xlen == 32 else _i(0x13, 5, rd, rd, (_six(h) & 63) | kind << 10)
        if kind == 2:
            return _i(0x13, 7, rd, rd, _six(h))
        found = _REGISTERS.get((high, h >> 5 & 3))
        if found is None or high and xlen == 32:
            return None
        return _r(*found, rd, rd, _lower(h))

    return expanded


def _slli(xlen: int) -> _Expansion:
    return lambda h: None if h >> 12 & 1 and xlen == 32 else _i(0x13, 1, _full(h), _full(h), _six(h) & 63)


def _moves(h: int) -> int | None:
    """c.jr, c.mv, c.ebreak, c.jalr, c.add."""
    first, second, high = _full(h), _second(h), h >> 12 & 1
    if second:
        return _r(0x33, 0, 0, first, first if high else 0, second)
    if first:
        return _i(0x67, 0, high, first, 0)
    return _EBREAK if high else None


def _table(xlen: int) -> dict[tuple[int, int], _Expansion]:
    """By quadrant and funct3."""
    wide = xlen == 64
    seventh = (0x03, 8) if wide else (0x07, 4)  # ld, or flw
    stored = (0x23, 8) if wide else (0x27, 4)
    return {
        (0, 0): _addi4spn,
        (0, 1): _load(0x07, 8),
        (0, 2): _load(0x03, 4),
        (0, 3): _load(*seventh),
        (0, 5): _store(0x27, 8),
        (0, 6): _store(0x23, 4),
        (0, 7): _store(*stored),
        (1, 0): _addi,
        (1, 1): _addiw if wide else _jump(1),
        (1, 2): _li,
        (1, 3): _lui_or_addi16sp,
        (1, 4): _arithmetic(xlen),
        (1, 5): _jump(0),
        (1, 6): _branch(0),
        (1, 7): _branch(1),
        (2, 0): _slli(xlen),
        (2, 1): _load_from_stack(0x07, 8),
        (2, 2): _load_from_stack(0x03, 4),
        (2, 3): _load_from_stack(*seventh),
        (2, 4): _moves,
        (2, 5): _store_on_stack(0x27, 8),
        (2, 6): _store_on_stack(0x23, 4),
        (2, 7): _store_on_stack(*stored),
    }


_TABLES = {xlen: _table(xlen) for xlen in (32, 64)}
