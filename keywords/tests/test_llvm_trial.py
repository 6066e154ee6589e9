# SPDX-License-Identifier: Apache-2.0
"""The trial that holds single blocks against LLVM's model of a core: which LLVM it takes, and what it asks of it."""

import sys

import pytest

from springbok.engines.base import Site
from springbok.support.errors import BenchError
from springbok.timing.loading import load
from springbok.trials import llvm_mca

PLAIN = load("springbok_assumed")
E32M2 = 0xD1
ADD, VADD, BACK, LEAVE = 0x00158593, 0x02A50457, 0xFE0508E3, 0x00008067  # addi a1, a1, 1; vadd.vv; beqz a0, -16; ret
LOOP = (0x100, 0x104, 0x108, 0x10C, 0x110)


def loop(elements):
    """Four instructions and a branch, 100 times."""
    body = zip(LOOP, (ADD, VADD, ADD, ADD, BACK), strict=True)
    return [*(Site(pc, word, elements, E32M2, 100) for pc, word in body), Site(0x114, LEAVE, 0, 0, 1)]


def put(folder, name, text):
    program = folder / name
    program.write_text(f"#!{sys.executable}\n{text}")
    program.chmod(0o755)


@pytest.fixture
def path(tmp_path, monkeypatch):
    """The only folder in which programs are looked for, with an LLVM that is too old."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    for name in ("llvm-mca", "llvm-mc"):
        put(folder, name, "print('Debian LLVM version 14.0.6')")
        put(folder, f"{name}-14", "raise SystemExit(1)")
    return folder


def test_without_a_new_llvm_it_says_what_it_needs(path, capsys):
    assert llvm_mca.main([]) == 2
    said = capsys.readouterr().err
    assert "LLVM 17 or newer" in said
    assert said.count("\n") == 1


def test_the_newest_llvm_that_is_whole_is_taken(path):
    for name in ("llvm-mca-19", "llvm-mc-19", "llvm-mca-18", "llvm-mc-18", "llvm-mca-22"):
        put(path, name, "")
    assert llvm_mca.tools() == (str(path / "llvm-mca-19"), str(path / "llvm-mc-19"))


@pytest.mark.parametrize(("elements", "is_whole"), [(32, True), (31, False)])
def test_a_block_tells_its_code_its_configuration_and_its_cycles(elements, is_whole):
    hot = max(llvm_mca.hot_blocks("one", loop(elements), PLAIN, 512), key=lambda each: each.executions)
    assert hot.code == b"".join(word.to_bytes(4, "little") for word in (ADD, VADD, ADD, ADD, BACK))
    assert (hot.start, hot.instructions, hot.executions, hot.vtype) == (0x100, 5, 100, E32M2)
    assert hot.is_whole == is_whole
    assert hot.cycles >= 5 / PLAIN.issue_width


def test_llvm_is_asked_under_the_blocks_configuration(path, tmp_path):
    put(path, "llvm-mc-22", "print('nop')")
    kept = tmp_path / "asked"
    answer = '{"CodeRegions": [{"Name": "0", "SummaryView": {"TotalCycles": 1300}}]}'
    asked = f"import sys; open({str(kept)!r}, 'w').write(open(sys.argv[-1]).read()); print({answer!r})"
    put(path, "llvm-mca-22", asked)
    hot = max(llvm_mca.hot_blocks("one", loop(32), PLAIN, 512), key=lambda each: each.executions)
    assert llvm_mca.by_llvm([hot]) == [6.5]
    told = [line for line in kept.read_text().splitlines() if line]
    assert told == [
        "# LLVM-MCA-BEGIN 0",
        "# LLVM-MCA-RISCV-LMUL M2",
        "# LLVM-MCA-RISCV-SEW E32",
        "nop",
        "# LLVM-MCA-END 0",
    ]


def test_an_instruction_that_the_core_lacks_is_named_by_its_block(path):
    put(path, "llvm-mca-22", "")
    put(path, "llvm-mc-22", "print('warning: invalid instruction encoding')")
    with pytest.raises(BenchError, match="lacks an instruction of the block at 0x100"):
        llvm_mca.by_llvm(llvm_mca.hot_blocks("one", loop(32), PLAIN, 512))


def test_llvms_own_model_takes_groups_of_registers():
    try:
        llvm_mca.tools()
    except BenchError as error:
        pytest.skip(str(error))
    hot = max(llvm_mca.hot_blocks("one", loop(32), PLAIN, 512), key=lambda each: each.executions)
    (cycles,) = llvm_mca.by_llvm([hot])
    assert 4 <= cycles <= 12  # a group of two registers of 512 bits passes a datapath of 256 bits in four
