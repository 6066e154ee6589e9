# SPDX-License-Identifier: Apache-2.0
"""Descriptions whose words are all known, of chips that can't be: each is refused with its line and a remedy."""

from __future__ import annotations

import pytest
from test_chips import MAC, MINE

from springbok.chips.description import load, names
from springbok.support.errors import ChipError

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
        ("frequency_hz = 1_000_000", "frequency_hz = 1", 25, "frequency_hz is from 1,000,000 to"),
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
