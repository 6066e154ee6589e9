# SPDX-License-Identifier: Apache-2.0
"""A run that a signal ends keeps what it measured, and says everywhere that it was ended."""

import json
import os
import signal
from types import SimpleNamespace

import pytest
from made_up_runs import make_document, make_model

from springbok import cli
from springbok.cli import run
from springbok.history.store import opened
from springbok.report.summary import read_tests
from springbok.support.errors import BenchError

LIBRARY = """
import os, pathlib, time

def measure(folder):
    pathlib.Path(folder, "metrics.json").write_text({metrics!r})

def end():
    os.kill({pid}, {number:d})
    time.sleep(60)
"""
SUITE = """*** Settings ***
Library    Ending.py

*** Test Cases ***
Is Measured
    Measure    ${OUTPUT_DIR}

Is Ended
    End

Is Never Begun
    No Operation
"""


def end_a_run(monkeypatch, tmp_path, asked):
    """The command's exit status, and the folder of the results."""
    monkeypatch.setattr(run, "build_firmware", lambda chip: SimpleNamespace(built=False, summary=lambda: ""))
    pid = "os.getpid()" if asked == signal.SIGKILL else os.getpid()
    model = make_model()
    model["wall_clock"] = {"upload_seconds": 0, "round_trip_seconds": [0] * model["samples"]}
    content = json.dumps(make_document(model))
    (tmp_path / "Ending.py").write_text(LIBRARY.format(metrics=content, pid=pid, number=asked))
    (tmp_path / "ended.robot").write_text(SUITE)
    folder, history = tmp_path / "results", tmp_path / "h.db"
    arguments = ["run", str(tmp_path / "ended.robot"), "--engine", "spike", "--results", str(folder)]
    return cli.main([*arguments, "--history", str(history), "--update-baselines"]), folder


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_a_signal_ends_is_kept_as_ended_by_it(monkeypatch, tmp_path, capfd, asked):
    """Whoever got it: the command, which passes it on, or the run's own process, which dies of it."""
    status, folder = end_a_run(monkeypatch, tmp_path, asked)
    assert status == 128 + asked
    errors = capfd.readouterr().err
    assert (f"springbok-bench: ended by {asked.name}." in errors) == (asked != signal.SIGKILL)
    sentence = f"Signal {asked.name} ended the run: what it had not measured until then is missing."
    record = json.loads((folder / "run.json").read_text())
    assert record["verdict"] == "failed" and ["run: Ended by a signal", sentence] in record["tests"]["failures"]
    assert cli.main(["report", str(folder)]) == 0
    names = ["report.html", "report.md", *(["summary.md"] if asked != signal.SIGKILL else [])]
    for name in names:
        text = (folder / name).read_text().replace("\\", "")
        assert sentence in text and "contradicts itself" not in text and "gestures" in text, name
    if asked != signal.SIGKILL:
        assert read_tests(folder / "xunit.xml").count == 4
    with opened(tmp_path / "h.db") as store:
        (kept,) = store.runs()
        assert kept.verdict == "failed" and sentence in [each.message for each in store.failures(kept.number)]


@pytest.mark.parametrize("asked", [signal.SIGINT, signal.SIGTERM])
def test_what_goes_wrong_behind_the_end_changes_nothing_of_it(monkeypatch, tmp_path, capfd, asked):
    def write_reports(*_):
        raise BenchError("The disk is full.")

    monkeypatch.setattr(run, "write_reports", write_reports)
    assert end_a_run(monkeypatch, tmp_path, asked)[0] == 128 + asked
    assert capfd.readouterr().err.endswith(
        f"springbok-bench: The disk is full.\n\nspringbok-bench: ended by {asked.name}.\n"
    )
