# SPDX-License-Identifier: Apache-2.0
"""What the gate says no to fails a run, whatever Robot makes of the test: skipped, ignored, left to a suite."""

import subprocess
import sys
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest

from springbok.cli import main, run
from springbok.gate import verdicts
from springbok.report.summary import read_tests
from springbok.support import run_record
from springbok.support.places import KEYWORDS

#: Keywords that judge, and fail, as those of GateLibrary do, of numbers that no chip had to count.
_JUDGES = """
from dataclasses import replace
import sys
sys.path[:0] = {path!r}
from made_up_runs import make_document, make_model
from gate_listener import verdict_file
from springbok.gate import gate, snapshots
import GateLibrary

def break_limit(compared=False):
    measured = snapshots.snapshot(make_document(make_model()), "made")
    verdict = gate.judge(measured, gate.Limit("instructions", 10))
    if compared:
        known = {{**measured, "metrics": {{**measured["metrics"], "instructions": 10}}}}
        (verdict,) = [each for each in gate.compare(measured, known) if each.has_failed]
        verdict_file().add_comparison("baseline.json", [verdict])
    else:
        verdict_file().add([verdict])
    GateLibrary._tell([verdict])

def keep_limit():
    measured = snapshots.snapshot(make_document(make_model()), "made")
    verdict_file().add([gate.judge(measured, gate.Limit("instructions", 10**9))])
"""
_HEAD = """*** Settings ***
Library    GateLibrary
Library    judges.py
{settings}

*** Test Cases ***
"""


def ran(folder, tests, *options, settings=""):
    """The exit status of ``./bench run`` of a suite with these tests; they take a second or two."""
    paths = [str(KEYWORDS), str(KEYWORDS / "tests")]
    (folder / "judges.py").write_text(_JUDGES.format(path=paths))
    (folder / "made.robot").write_text(_HEAD.format(settings=settings) + tests)
    given = ["run", str(folder / "made.robot"), "--engine", "spike", "--history", "none"]
    return main([*given, "--results", str(folder / "results"), "--", *options])


@pytest.fixture(autouse=True)
def no_firmware(monkeypatch):
    monkeypatch.setattr(run, "build_firmware", lambda chip: SimpleNamespace(built=False))
    monkeypatch.setenv("PYTHONPATH", str(KEYWORDS))


def agrees(folder, status, failed, words):
    """All that a run leaves says the same; returns the gate's outcomes."""
    results = folder / "results"
    tests = read_tests(results / "xunit.xml")
    assert (status != 0, tests.failed) == (failed > 0, failed)
    summary = (results / "summary.md").read_text().splitlines()[0]
    assert words in summary
    assert (f"{failed} failed" in summary) == (failed > 0)
    assert run_record.read(results)["verdict"] == ("failed" if failed else "passed")
    return [each["outcome"] for each in verdicts.read(results)["verdicts"]]


SKIPPED = """Skipped After It
    Run Keyword And Continue On Failure    Break Limit
    Skip    nobody has recorded it
Skipped In Its Teardown
    Run Keyword And Continue On Failure    Break Limit    ${True}
    [Teardown]    Skip    for good
Skipped On Failure
    [Tags]    x
    Break Limit    ${True}
Skipped With Nothing Broken
    Keep Limit
    Skip    it may be
Passes
    Keep Limit
"""


def test_a_skip_undoes_no_limit_that_was_not_kept(tmp_path, capfd):
    status = ran(tmp_path, SKIPPED, "--skiponfailure", "x")
    outcomes = agrees(tmp_path, status, 3, "1 of 5 tests passed, 3 failed, 1 skipped")
    assert outcomes == ["failed"] * 3 + ["passed"] * 2
    told = dict(read_tests(tmp_path / "results" / "xunit.xml").failures)
    message = told["Made: Skipped After It"]
    assert message.count("at most 10 is allowed") == 1 and "Skipped because: nobody has recorded it" in message
    assert "(in Skipped After It, Skipped In Its Teardown, Skipped On Failure)" in capfd.readouterr().out


IGNORED = """Ignored
    Run Keyword And Ignore Error    Break Limit
Expected
    Run Keyword And Expect Error    *    Break Limit
Tried
    TRY
        Break Limit
    EXCEPT
        Keep Limit
    END
"""


def test_a_test_that_passes_has_ignored_what_it_broke_and_that_is_told(tmp_path, capfd):
    status = ran(tmp_path, IGNORED, settings="Suite Setup    Run Keyword And Return Status    Break Limit")
    outcomes = agrees(tmp_path, status, 0, "3 of 3 tests passed")
    assert outcomes == ["ignored"] * 4 + ["passed"]
    assert "5 limits checked, 0 numbers compared; 4 not kept and ignored by the suite itself" in capfd.readouterr().out
    assert "ignored by the suite itself" in (tmp_path / "results" / "summary.md").read_text()


@pytest.mark.parametrize("other", ["", "Passes\n    Keep Limit\n"])
def test_what_a_suites_setup_caught_fails_no_test_that_is_skipped(tmp_path, capfd, other):
    skipped = "Skipped\n    Skip    it may be\n"
    status = ran(tmp_path, other + skipped, settings="Suite Setup    Run Keyword And Ignore Error    Break Limit")
    outcomes = agrees(tmp_path, status, 0, "1 skipped")
    assert outcomes == ["ignored", *["passed"] * bool(other)]
    assert "1 not kept and ignored by the suite itself" in capfd.readouterr().out


def test_one_test_that_passes_ignores_nothing_of_another_of_its_name(tmp_path):
    """Robot only warns of two names alike, and suites of several folders may have one."""
    twice = "A\n    Break Limit\nA\n    Keep Limit\n"
    status = ran(tmp_path, twice, settings="Suite Teardown    Skip    the end")
    assert status == 1
    assert [each["outcome"] for each in verdicts.read(tmp_path / "results")["verdicts"]] == ["failed", "passed"]


def test_suites_of_one_name_are_two(tmp_path):
    folders = [tmp_path / name for name in ("x", "y")]
    for folder, keyword in zip(folders, ("Break Limit", "Keep Limit"), strict=True):
        folder.mkdir()
        (folder / "judges.py").write_text(_JUDGES.format(path=[str(KEYWORDS), str(KEYWORDS / "tests")]))
        (folder / "made.robot").write_text(
            _HEAD.format(settings="Suite Teardown    Skip    end") + f"T\n    {keyword}\n"
        )
    suites = [str(folder / "made.robot") for folder in folders]
    status = main(["run", *suites, "--engine", "spike", "--history", "none", "--results", str(tmp_path / "results")])
    assert status == 1
    assert [each["outcome"] for each in verdicts.read(tmp_path / "results")["verdicts"]] == ["failed", "passed"]


BROKEN_SETUP = "Suite Setup    Run Keywords    Run Keyword And Continue On Failure    Break Limit    AND    Skip    no"
BROKEN_TEARDOWN = BROKEN_SETUP.replace("Setup", "Teardown")


@pytest.mark.parametrize("settings", [BROKEN_SETUP, BROKEN_TEARDOWN])
def test_a_suite_that_is_skipped_after_a_broken_limit_fails(tmp_path, settings):
    status = ran(tmp_path, "One\n    Keep Limit\n", settings=settings)
    results = tmp_path / "results"
    assert status == 1
    assert read_tests(results / "xunit.xml").failed == 1
    assert "1 failed" in (results / "summary.md").read_text().splitlines()[0]
    assert run_record.read(results)["verdict"] == "failed"


@pytest.mark.parametrize("settings", ["", BROKEN_TEARDOWN])
def test_robots_own_failures_stay_and_nostatusrc_is_obeyed(tmp_path, settings):
    test = "Keep Limit" if settings else "Break Limit"
    assert ran(tmp_path, f"One\n    {test}\n", "--nostatusrc", settings=settings) == 0
    assert run_record.read(tmp_path / "results")["verdict"] == "failed"


def test_plain_robot_says_no_too(tmp_path):
    ran(tmp_path, "One\n    Keep Limit\n")
    (tmp_path / "made.robot").write_text(_HEAD.format(settings="") + SKIPPED)
    done = subprocess.run(
        [sys.executable, "-m", "robot", "--outputdir", str(tmp_path / "plain"), str(tmp_path / "made.robot")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert len(verdicts.read(tmp_path / "plain")["verdicts"]) == 5
    (tmp_path / "made.robot").write_text(_HEAD.format(settings="") + "Skipped After It\n    Skip    now\n")
    again = [sys.executable, "-m", "robot", "--outputdir", str(tmp_path / "plain"), str(tmp_path / "made.robot")]
    assert subprocess.run(again, capture_output=True, check=False).returncode == 0  # of before nothing is asked


def test_a_dry_run_says_that_it_is_one(tmp_path, capfd):
    status = ran(tmp_path, IGNORED, "--dryrun")
    results = tmp_path / "results"
    out = capfd.readouterr().out
    assert status == 0
    assert "Tests:   a dry run, none of its 3 tests has run" in out
    assert "Gate:    a dry run: no keyword ran" in out
    assert (results / "summary.md").read_text().startswith("# springbok-bench: a dry run, none of its 3 tests has run")
    assert run_record.read(results)["verdict"] == "measured"
    for name in ("report.md", "report.html"):  # in the place of Robot's own, which says that all tests passed
        text = (results / name).read_text()
        assert "Nothing measured" in text and "a dry run, none of its 3 tests has run" in text.replace("A dry", "a dry")


def test_a_run_without_tests_says_so(tmp_path, capfd):
    assert ran(tmp_path, IGNORED, "--runemptysuite", "--include", "nope") == 0
    assert "Tests:   no test has run" in capfd.readouterr().out
    assert "no test has run" in (tmp_path / "results" / "summary.md").read_text().splitlines()[0]


def test_a_failure_that_is_added_leaves_the_file_whole(tmp_path):
    path = tmp_path / "xunit.xml"
    head = '<testsuite name="A" tests="1" errors="0" failures="0" skipped="0">'
    path.write_text(f'{head}<testcase classname="A" name="b"/></testsuite>')
    run.add_failure(path, "gate", "limits", "<b> & more")
    assert read_tests(path).failures == (("gate: limits", "<b> & more"),)
    assert ElementTree.parse(path).getroot().get("tests") == "2"
