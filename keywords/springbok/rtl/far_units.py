# SPDX-License-Identifier: Apache-2.0
"""Branches and jumps of random programs that lead backward, or far: so that each bit of their offsets counts.

A unit is a row of words, and over when its instruction has led where it should, once; between lie illegal words, which
none executes. Distances are drawn by their number of bits, so that short ones come as often as long ones.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from springbok.rtl.extensions import COMPRESSED
from springbok.rtl.program import jump

BRANCHES = {"beq": 0, "bne": 1, "blt": 4, "bge": 5, "bltu": 6, "bgeu": 7}
#: How many words may lie between, by the instruction's name: as far as its offset reaches; a jump is given 16 KiB.
REACH = {**dict.fromkeys(BRANCHES, 1021), "jal": 4095, "c.j": 509, "c.jal": 509, "c.beqz": 62, "c.bnez": 62}
ILLEGAL, NOP, DATA, KEEPS = 0xFFFF_FFFF, 0x0001, 1, 9  # c.jal writes x1, which is given back from x9


def unit(name: str, chooser: random.Random, room: int) -> list[int]:
    """The words of an instruction of `REACH` with what it leads over: ``room`` words at most are illegal ones."""
    between = chooser.randrange(1 << chooser.randrange(REACH[name].bit_length() + 1))
    padding = [ILLEGAL] * min(between, REACH[name], max(room, 0))
    word = _instruction(name, chooser)
    link = name == "c.jal"
    landing = [_move(DATA, KEEPS) | NOP << 16] if link else []
    halves = name.startswith("c.")

    def leap(distance: int) -> int:
        """The word with the instruction; compressed ones lie in its second half."""
        before = _move(KEEPS, DATA) if link else NOP
        return before | word(distance - 2) << 16 if halves else word(distance)

    out = 4 * (1 + len(padding))
    if chooser.randrange(2):  # forward; a branch that is not taken leaves by the jump behind it
        return [leap(4 + out), jump(out + 4 * len(landing)), *padding, *landing]
    begin = [*landing, jump(4 * (2 + len(padding)))]
    return [jump(4 * (1 + len(begin) + len(padding))), *begin, *padding, leap(-4 * (len(begin) + len(padding)))]


def _instruction(name: str, chooser: random.Random) -> Callable[[int], int]:
    """The instruction by its offset, with registers that are drawn."""
    rs1, rs2, rd = (chooser.choice([each for each in range(31) if each != DATA]) for _ in range(3))
    if name in BRANCHES:
        fields = rs2 << 20 | rs1 << 15 | BRANCHES[name] << 12 | 0x63
        return lambda offset: fields | branch_bits(offset)
    if name == "jal":
        return lambda offset: jump(offset) | rd << 7
    if name in ("c.j", "c.jal"):
        return lambda offset: COMPRESSED[name][0] | _spread(offset, (11, 4, 9, 8, 10, 6, 7, 3, 2, 1, 5), 2)
    fields = COMPRESSED[name][0] | rs1 % 8 << 7
    return lambda offset: fields | _spread(offset, (7, 6, 2, 1, 5), 2) | _spread(offset, (8, 4, 3), 10)


def branch_bits(offset: int) -> int:
    """A branch's offset where its word has it.

    >>> hex(branch_bits(-2048)), hex(branch_bits(20))
    ('0x80000080', '0xa00')
    """
    return (offset >> 12 & 1) << 31 | (offset >> 5 & 0x3F) << 25 | (offset >> 1 & 0xF) << 8 | (offset >> 11 & 1) << 7


def _spread(value: int, bits: tuple[int, ...], lowest: int) -> int:
    """Bits of a value, the first one highest, from the ``lowest`` bit of a word on."""
    return sum((value >> bit & 1) << lowest + at for at, bit in enumerate(reversed(bits)))


def _move(rd: int, rs: int) -> int:
    return COMPRESSED["c.mv"][0] | rd << 7 | rs << 2
