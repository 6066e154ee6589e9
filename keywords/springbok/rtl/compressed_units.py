# SPDX-License-Identifier: Apache-2.0
"""Compressed instructions with random fields, each as halves of whole words with what it needs around it.

A unit changes x1 for a moment only, and gives it back from x9; what it jumps over is an illegal word.
"""

from __future__ import annotations

import random

from springbok.rtl.extensions import COMPRESSED

NAMES = tuple(COMPRESSED)
NOP = 0x0001
DATA, SP, KEEPS = 1, 2, 9  # registers: the data's address, and what units use
BASES = (8, *range(10, 16))
OVER = 3 << 3  # the offset of 6 in c.j, c.jal and branches: behind the next word
ILLEGAL = (0xFFFF, 0xFFFF)
AUIPC, ADDI = 0x17, 0x13


def unit(name: str, chooser: random.Random, base: int) -> list[int]:  # noqa: PLR0911, PLR0912 (a line a kind)
    """Halves of the words of an instruction, by its name; their number is even. An address is in ``base``."""
    match = COMPRESSED[name][0]
    rd, small, other = chooser.randrange(2, 31), chooser.randrange(8, 16), chooser.randrange(8, 16)
    immediate = chooser.randrange(1, 32)
    sign = chooser.randrange(2) << 12
    if name in ("c.nop", "c.ebreak"):  # a handler goes on behind the word
        return [match, NOP]
    if name in ("c.mv", "c.add"):
        return [match | rd << 7 | chooser.randrange(2, 31) << 2, NOP]
    if name in ("c.sub", "c.xor", "c.or", "c.and"):
        return [match | small - 8 << 7 | other - 8 << 2, NOP]
    if name in ("c.addi", "c.li"):
        return [match | rd << 7 | immediate << 2 | sign, NOP]
    if name == "c.lui":
        return [match | chooser.randrange(3, 31) << 7 | immediate << 2 | sign, NOP]
    if name == "c.slli":
        return [match | rd << 7 | immediate << 2, NOP]
    if name in ("c.srli", "c.srai"):
        return [match | small - 8 << 7 | immediate << 2, NOP]
    if name == "c.andi":
        return [match | small - 8 << 7 | immediate << 2 | sign, NOP]
    if name == "c.addi16sp":
        return [match | immediate << 2 | sign, NOP]
    if name == "c.addi4spn":
        return [match | chooser.randrange(1, 256) << 5 | other - 8 << 2, NOP]
    if name in ("c.lw", "c.sw"):
        offset = chooser.randrange(8) << 10 | chooser.randrange(4) << 5
        return [_move(base, DATA), match | offset | base - 8 << 7 | other - 8 << 2]
    if name == "c.lwsp":
        return [_move(SP, DATA), match | rd << 7 | immediate << 2 | sign]
    if name == "c.swsp":
        return [_move(SP, DATA), match | chooser.randrange(64) << 7 | chooser.randrange(2, 31) << 2]
    if name == "c.j":
        return [NOP, match | OVER, *ILLEGAL]
    if name in ("c.beqz", "c.bnez"):
        return [NOP, match | small - 8 << 7 | OVER, NOP, NOP]
    if name == "c.jal":
        return [_move(KEEPS, DATA), match | OVER, *ILLEGAL, _move(DATA, KEEPS), NOP]
    return [  # c.jr and c.jalr: 16 bytes on
        *_halves(AUIPC | base << 7), *_halves(16 << 20 | base << 15 | base << 7 | ADDI),
        _move(KEEPS, DATA), match | base << 7, *ILLEGAL, _move(DATA, KEEPS), NOP,
    ]  # fmt: skip


def _move(rd: int, rs: int) -> int:
    return COMPRESSED["c.mv"][0] | rd << 7 | rs << 2


def _halves(word: int) -> tuple[int, int]:
    return word & 0xFFFF, word >> 16
