# SPDX-License-Identifier: Apache-2.0
"""Units of random programs whose addresses come from registers that are drawn, or lie between words.

Loads and stores by any base, also one that the instruction before has loaded; jumps by any offset of a register;
branches and jumps of 32 bits from and to the second half of a word, on a core with compressed instructions. Each is a
row of words, over when its instruction has led where it should.
"""

from __future__ import annotations

import random

from springbok.rtl.extensions import COMPRESSED
from springbok.rtl.far_units import branch_bits
from springbok.rtl.program import jump

DATA = 1  # the register of the data's address
BASES = range(2, 28)  # a trap in between changes the handler's registers
NOP, ILLEGAL = 0x0001, 0xFFFF
NEAR = 64  # bytes that a base may lie beside the data's address
KEPT_AT = -4  # where a base is kept that is loaded again
MISALIGNED = 0.6  # the share of accesses that may lie at any byte
MOST_BETWEEN = 5  # bits of the number of halves that are jumped over
AUIPC, ADDI, LOAD_WORD, STORE_WORD, JALR = 0x17, 0x13, 0x2003, 0x2023, 0x67
LOAD, FLOAT_LOAD, STORE, FLOAT_STORE, BRANCH, JUMP = 0x03, 0x07, 0x23, 0x27, 0x63, 0x6F


def otherwise(word: int, chooser: random.Random, halves: bool) -> list[int]:
    """What a load, store, branch or `jal` becomes with an address that is drawn; itself where it is none of these.

    Branches and jumps are left where code has no ``halves`` of words.
    """
    opcode = word & 0x7F
    if opcode in (LOAD, FLOAT_LOAD, STORE, FLOAT_STORE):
        return access(word, chooser)
    if halves and opcode in (BRANCH, JUMP):
        return between_words(word, chooser)
    return [word]


def access(word: int, chooser: random.Random) -> list[int]:
    """The load or store ``word``, whose base is x1, by another base."""
    size = 1 << (word >> 12 & 3)
    base = chooser.choice(BASES)
    offset = chooser.randrange(-2048 + NEAR, 2048 - NEAR - 4)
    offset = offset if chooser.random() < MISALIGNED else offset & -size
    if chooser.randrange(2):
        load = (KEPT_AT & 0xFFF) << 20 | DATA << 15 | base << 7 | LOAD_WORD
        before = [_store(KEPT_AT, DATA, DATA, STORE_WORD), load]
    else:
        before = [(4 * chooser.randrange(-NEAR // 4, NEAR // 4) & 0xFFF) << 20 | DATA << 15 | base << 7 | ADDI]
    if word & 0x7F in (STORE, FLOAT_STORE):
        return [*before, _store(offset, base, word >> 20 & 31, word & 0x707F)]
    return [*before, (offset & 0xFFF) << 20 | base << 15 | word & 0x7FFF]


def register_jump(chooser: random.Random, rd: int, halves: bool) -> list[int]:
    """`jalr` by any offset, to behind what is left out: the lowest bit of the sum counts for nothing."""
    base, to = chooser.choice(BASES), 16 + 2 * (halves and chooser.randrange(2))
    offset = chooser.choice((0, -2028, 2047, chooser.randrange(-2028, 2048), chooser.randrange(-2028, 2048)))
    before = (to - offset + chooser.randrange(2) & 0xFFF) << 20 | base << 15 | base << 7 | ADDI
    words = [AUIPC | base << 7, before, (offset & 0xFFF) << 20 | base << 15 | rd << 7 | JALR, 0xFFFF_FFFF]
    return [*words, *([NOP << 16 | ILLEGAL] if to > 16 else [])]


def between_words(word: int, chooser: random.Random) -> list[int]:
    """A branch or `jal`, whose registers are those of ``word``, to any half, forward or backward."""
    is_branch = word & 0x7F == BRANCH
    fields = word & (0x01FF_F07F if is_branch else 0xFFF)
    bits = branch_bits if is_branch else lambda offset: jump(offset) & ~0xFFF
    between = [ILLEGAL] * chooser.randrange(1 << chooser.randrange(MOST_BETWEEN + 1))

    def leap(halves: int) -> tuple[int, int]:
        made = fields | bits(2 * halves)
        return made & 0xFFFF, made >> 16

    if chooser.randrange(2):  # what is not taken goes there by the jump behind it
        first = [NOP] * chooser.randrange(2)
        made = [*first, *leap(3 + len(between)), _near_jump(1 + len(between)), *between]
    else:
        begin = [_near_jump(2 + len(between)), _near_jump(3 + len(between)), *between]
        made = [*begin, *leap(1 - len(begin))]
    made += [NOP] * (1 + (len(made) + 1) % 2)
    return [low | high << 16 for low, high in zip(made[::2], made[1::2], strict=True)]


def _near_jump(halves: int) -> int:
    """`c.j` so far ahead."""
    offset, spread = 2 * halves, (11, 4, 9, 8, 10, 6, 7, 3, 2, 1, 5)
    return COMPRESSED["c.j"][0] | sum((offset >> bit & 1) << 2 + at for at, bit in enumerate(reversed(spread)))


def _store(offset: int, base: int, source: int, match: int) -> int:
    return (offset & 0xFFF) >> 5 << 25 | source << 20 | base << 15 | (offset & 31) << 7 | match
