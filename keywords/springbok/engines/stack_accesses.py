# SPDX-License-Identifier: Apache-2.0
"""Which loads and stores of a kernel's code reach its stack: values that found no register, and buffers on it.

The code is read once, not followed while it runs. An address is the stack's where it was made from the stack pointer on
every way to the instruction: so spilled vectors are found too, whose addresses are computed (``addi``, multiples of
``vlenb``). What came from memory is taken for another's.

>>> words = (0x01010413, 0xFF842503, 0x00052583)         # addi s0, sp, 16; lw a0, -8(s0); lw a1, 0(a0)
>>> list(stack_accesses(b"".join(word.to_bytes(4, "little") for word in words)))
[0, 1, 0]
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from springbok.chips.opcodes import branch_offset, jump_offset

NONE, LOAD, STORE = 0, 1, 2

_BRANCH, _JAL, _JALR, _RETURN_ADDRESS = 0x63, 0x6F, 0x67, 1
_IMMEDIATE, _REGISTERS = 0x13, 0x33
_ACCESSES = {0x03: LOAD, 0x07: LOAD, 0x23: STORE, 0x27: STORE}
# Major opcodes that write an integer register: loads, arithmetic, upper immediates, atomics, CSRs; a chip's own may.
_WRITING = frozenset((0x03, 0x13, 0x1B, 0x17, 0x2F, 0x33, 0x37, 0x3B, 0x73, 0x0B, 0x2B, 0x5B, 0x7B))
_FLOATS, _VECTORS = 0x53, 0x57  # some do
_FLOATS_TO_INTEGER = (0x14, 0x18, 0x1C)  # comparisons, conversions, moves: the upper five bits

# Sets of registers, a bit each.
_STACK_POINTER = 1 << 2
_ALL = (1 << 32) - 2  # x0 never does
_KEPT_BY_CALLS = sum(1 << number for number in (2, 8, 9, *range(18, 28)))


class _Block(NamedTuple):
    """Words ``first`` up to ``end`` that run one after the other, and the first words of those that may follow."""

    first: int
    end: int
    next: tuple[int, ...]


@lru_cache(maxsize=4)
def stack_accesses(code: bytes) -> bytes:
    """`NONE`, `LOAD` or `STORE` for each word of ``code``, which has no compressed instructions."""
    words = memoryview(code[: len(code) // 4 * 4]).cast("I")
    blocks, entries = _blocks(words)
    followed = {number for block in blocks.values() for number in block.next}
    # Registers that hold addresses of the stack when a block begins; too many at first.
    held = {first: _ALL if first in followed and first not in entries else _STACK_POINTER for first in blocks}
    found = bytearray(len(words))
    waiting = sorted(blocks, reverse=True)
    while waiting:
        block = blocks[waiting.pop()]
        left = _run(words, block, held[block.first], found)
        for number in block.next:
            if held[number] & ~left:
                held[number] &= left
                waiting.append(number)
    return bytes(found)


def _blocks(words: memoryview) -> tuple[dict[int, _Block], set[int]]:
    """The blocks by their first words, and those that are called."""
    jumps: dict[int, tuple[int, ...]] = {}  # by word: where the core goes on
    entries = {0}
    for number, word in enumerate(words):
        major = word & 0x7F
        if major == _BRANCH:
            jumps[number] = (number + branch_offset(word) // 4, number + 1)
        elif major in (_JAL, _JALR):
            calls = word >> 7 & 31 == _RETURN_ADDRESS
            target = number + jump_offset(word) // 4 if major == _JAL else None
            if calls and target is not None:
                entries.add(target)
            jumps[number] = (number + 1,) if calls else () if target is None else (target,)
    inside = range(len(words))
    first = {*entries, *(number + 1 for number in jumps), *(to for targets in jumps.values() for to in targets)}
    starts = sorted(number for number in first if number in inside)
    blocks = {}
    for start, end in zip(starts, [*starts[1:], len(words)], strict=True):
        following = jumps.get(end - 1, (end,))
        blocks[start] = _Block(start, end, tuple(number for number in following if number in inside))
    return blocks, entries


def _run(words: memoryview, block: _Block, held: int, found: bytearray) -> int:
    """Notes the block's accesses in ``found``; returns which registers hold the stack's addresses behind it."""
    for number in range(block.first, block.end):
        word = words[number]
        major = word & 0x7F
        access = _ACCESSES.get(major)
        if access:
            found[number] = access if held >> (word >> 15 & 31) & 1 else NONE
        elif major in (_JAL, _JALR) and word >> 7 & 31:
            held &= _KEPT_BY_CALLS
        if major in _WRITING or _writes_integer(word):
            written = 1 << (word >> 7 & 31)
            held = (held | written) & _ALL if _is_address(word, held) else held & ~written | _STACK_POINTER
    return held


def _is_address(word: int, held: int) -> bool:
    """Whether the instruction makes an address of the stack of one: by adding, subtracting, or rounding down."""
    major, funct3 = word & 0x7F, word >> 12 & 7
    first, second = held >> (word >> 15 & 31) & 1, held >> (word >> 20 & 31) & 1
    if major == _IMMEDIATE:
        return bool(first and funct3 in (0, 7))
    if major != _REGISTERS or word >> 25 == 1:  # multiplication
        return False
    if funct3 == 0 and word >> 30:
        return bool(first and not second)  # the difference of two addresses is none
    return bool((first or second) and funct3 in (0, 7))


def _writes_integer(word: int) -> bool:
    """Whether it is one of the instructions on floats or vectors that do: fcvt.w.s, vset*, vmv.x.s, vcpop.m…"""
    major, funct3 = word & 0x7F, word >> 12 & 7
    if major == _FLOATS:
        return word >> 27 in _FLOATS_TO_INTEGER
    return major == _VECTORS and (funct3 == 7 or (funct3 == 2 and word >> 26 == 0x10))
