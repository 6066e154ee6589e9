# SPDX-License-Identifier: Apache-2.0
"""Compressed instructions are what they stand for: LLVM makes the same halfwords of the words."""

import re
import shutil
import subprocess

import pytest

from springbok.chips.opcodes import UNKNOWN, opcode_name
from springbok.engines.base import Site
from springbok.engines.compressed import expand
from springbok.timing.blocks import blocks
from springbok.timing.estimate import estimate
from springbok.timing.loading import load
from springbok.timing.operands import Unit, operation, unknown

HALFWORDS = [halfword for halfword in range(1 << 16) if halfword & 3 != 3]
IBEX = load("ibex")


@pytest.mark.parametrize(
    ("halfword", "xlen", "word"),
    [
        (0x4588, 32, 0x0085A503),  # lw a0, 8(a1)
        (0xC588, 32, 0x00A5A423),  # sw a0, 8(a1)
        (0x4532, 32, 0x00C12503),  # lw a0, 12(sp)
        (0xC62A, 32, 0x00A12623),  # sw a0, 12(sp)
        (0xA001, 32, 0x0000006F),  # j .
        (0xBFFD, 32, 0xFFFFF06F),  # j .-2
        (0x2001, 32, 0x000000EF),  # jal .
        (0x2505, 64, 0x0015051B),  # addiw a0, a0, 1
        (0xDD7D, 32, 0xFE050FE3),  # beqz a0, .-2
        (0x8082, 32, 0x00008067),  # ret
        (0x9502, 32, 0x000500E7),  # jalr a0
        (0x852E, 32, 0x00B00533),  # mv a0, a1
        (0x6588, 32, 0x0085A507),  # flw fa0, 8(a1)
        (0x6588, 64, 0x0085B503),  # ld a0, 8(a1)
        (0x0000, 32, None),
        (0x1502, 32, None),  # shifts by 32 and more are for cores of 64 bits
    ],
)
def test_what_a_halfword_stands_for(halfword, xlen, word):
    found = expand(halfword, xlen)
    assert (found and hex(found)) == (word and hex(word))


@pytest.mark.parametrize("xlen", [32, 64])
def test_every_halfword_stands_for_a_known_instruction_or_none(xlen):
    found = {halfword: expand(halfword, xlen) for halfword in HALFWORDS}
    words = {halfword: word for halfword, word in found.items() if word is not None}
    assert len(words) == {32: 45207, 64: 46743}[xlen]
    assert all(word & 3 == 3 and 0 <= word < 1 << 32 for word in words.values())
    assert UNKNOWN not in map(opcode_name, words.values())
    for halfword, word in words.items():
        assert operation(halfword, 0, 0, 0, xlen) == operation(word, 0, 0, 0, xlen)
        assert operation(0x1234 << 16 | halfword, 0, 0, 0, xlen) == operation(word, 0, 0, 0, xlen)
    assert unknown({(halfword, 0, 0): 1 for halfword in HALFWORDS}, xlen) == len(HALFWORDS) - len(words)


def _llvm(xlen, *options, text):
    command = ["llvm-mc", f"-triple=riscv{xlen}", "-mattr=+c,+m,+f,+d", *options]
    return subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=300)


def _does_something(word):
    return word >> 7 & 31 and word >> 20 & 0x3FF


def _listed(words, size):
    return "\n".join(" ".join(f"0x{byte:02x}" for byte in word.to_bytes(size, "little")) for word in words)


@pytest.mark.skipif(shutil.which("llvm-mc") is None, reason="needs LLVM's llvm-mc")
@pytest.mark.parametrize("xlen", [32, 64])
def test_llvm_compresses_each_word_to_the_halfword_that_stands_for_it(xlen):
    """All halfwords. Of hints and some others LLVM makes another encoding of the same."""
    refused = _llvm(xlen, "-disassemble", text=_listed(HALFWORDS, 2)).stderr
    places = {int(line) - 1 for line in re.findall(r"<stdin>:(\d+):\d+: warning: invalid", refused)}
    words = {halfword: word for halfword in HALFWORDS if (word := expand(halfword, xlen)) is not None}
    assert not words.keys() & {HALFWORDS[place] for place in places}
    told = _llvm(xlen, "-disassemble", "-M", "no-aliases", text=_listed(words.values(), 4)).stdout.splitlines()
    lines = [line for line in told if line.strip() and ".text" not in line]
    assert len(lines) == len(words)
    compressed = re.findall(r"encoding: \[(.*?)\]", _llvm(xlen, "-show-encoding", text="\n".join(lines)).stdout)
    assert len(compressed) == len(words)
    differ = []
    for (halfword, word), encoding in zip(words.items(), compressed, strict=True):
        found = int.from_bytes(bytes(int(byte, 16) for byte in encoding.split(",")), "little")
        if found != halfword:
            differ.append((halfword, word, expand(found, xlen)))
    # A hint writes x0, or leaves a register as it was; the stack pointer can be moved in two ways.
    others = [
        (hex(halfword), hex(word)) for halfword, word, theirs in differ if theirs != word and _does_something(word)
    ]
    assert not others
    assert 300 < len(differ) < 500


#: A loop of a load, its use and a branch: as words, and as halfwords. (address, word)
WIDE = [(0, 0x0005A503), (4, 0x00A60633), (8, 0xFFF68693), (12, 0xFE069AE3), (16, 0x00008067)]
SHORT = [(0, 0x4188), (2, 0x962A), (4, 0x16FD), (6, 0xFEED), (8, 0x8082)]


def sites(code, region=0):
    return [
        Site(pc, word, 0, 0, 1 if number == 4 else 100, 0 if number else region)
        for number, (pc, word) in enumerate(code)
    ]


def test_compressed_code_costs_what_it_stands_for():
    assert [expand(word, 32) for _, word in SHORT[:3]] == [word for _, word in WIDE[:3]]
    short, wide = (estimate(sites(code), IBEX, 0) for code in (SHORT, WIDE))
    assert short == wide
    assert short.where["load"] > 0 and short.where["branches"] >= 99
    loop = blocks(sites(SHORT), 0)[0]
    assert (loop.taken, loop.passed) == (99, 1)
    assert [each.unit for each in loop.variants[0].operations] == [Unit.LOAD, Unit.ALU, Unit.ALU, Unit.BRANCH]
