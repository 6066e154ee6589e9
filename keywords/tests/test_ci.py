# SPDX-License-Identifier: Apache-2.0
"""What CI servers get of a run, and the kits in docs/ci: they parse, and call what exists."""

import re
import shutil
import subprocess

import pytest
import yaml
from made_up_runs import make_document, make_model

from springbok.cli.report import write_reports, write_summary
from springbok.gate import gate, snapshots, verdicts
from springbok.measuring import metrics
from springbok.report.summary import read_tests
from springbok.support.errors import ReportError
from springbok.support.places import ROOT

KITS = ROOT / "docs" / "ci"
XUNIT = """<?xml version="1.0" encoding="UTF-8"?>
<testsuite name="Gestures" tests="3" errors="0" failures="1" skipped="1">
<testcase classname="Gestures" name="Should Pass" time="1.0"/>
<testcase classname="Gestures" name="Should Not Regress" time="1.0">
<failure message="instructions an inference: 12 &lt;b&gt;&#10;    ```main_dispatch_1: +4" type="AssertionError"/>
</testcase>
<testcase classname="Gestures" name="Should Skip" time="1.0"><skipped message="no baseline"/></testcase>
</testsuite>"""


@pytest.fixture
def results(tmp_path):
    document = make_document(make_model())
    metrics.write(tmp_path / "metrics.json", document)
    (tmp_path / "xunit.xml").write_text(XUNIT)
    before = snapshots.snapshot(document, "gestures")
    slower = snapshots.snapshot({**document, "firmware": {**document["firmware"], "text_bytes": 10**6}}, "gestures")
    verdicts.VerdictFile(tmp_path, "Gestures", "Should Not Regress").add_comparison(
        tmp_path / "baseline.json", gate.compare(slower, before)
    )
    verdicts.VerdictFile(tmp_path, "Gestures").add([gate.judge(before, gate.Limit("module_bytes", 10**6))])
    return tmp_path


def test_the_summary_has_the_failures_the_changes_and_the_comparison(results):
    text = write_summary(results, results / "xunit.xml").read_text()
    assert text.startswith("# springbok-bench: 1 of 3 tests passed, 1 failed, 1 skipped")
    assert "    instructions an inference: 12 <b>\n        ```main_dispatch_1: +4" in text
    rows = [line for line in text.splitlines() if line.startswith("| failed |")]
    assert len(rows) == 1 and "firmware \\(code and constants\\)" in rows[0]
    assert re.search(r"1 baseline read: \d+ numbers compared, 1 worse, 0 better; 1 limit checked", text)
    assert "| passed |" not in text
    assert "| gestures \\(vector\\) |" in text


def test_a_run_without_metrics_has_a_summary_too(tmp_path):
    (tmp_path / "xunit.xml").write_text(XUNIT)
    assert "1 failed" in write_summary(tmp_path, tmp_path / "xunit.xml").read_text()


def test_reports_and_summary_say_when_nothing_was_compared(tmp_path):
    metrics.write(tmp_path / "metrics.json", make_document(make_model()))
    (tmp_path / "xunit.xml").write_text(XUNIT)
    verdicts.end(tmp_path)  # as a run does at its end
    write_reports(tmp_path, tmp_path, None)
    for text in ((tmp_path / "report.html").read_text(), (tmp_path / "report.md").read_text()):
        assert "No baseline was read: 0 limits checked, 0 numbers compared." in text
    text = write_summary(tmp_path, tmp_path / "xunit.xml").read_text()
    assert "No baseline was read: 0 limits checked, 0 numbers compared." in text


def test_numbers_that_became_the_baseline_are_shown_as_changes(tmp_path):
    metrics.write(tmp_path / "metrics.json", make_document(make_model()))
    verdicts.VerdictFile(tmp_path, "Gestures").add_update(tmp_path / "m-vector.json", ["instructions: 1 -> 2 (worse)"])
    write_reports(tmp_path, tmp_path, None)
    for name in ("report.html", "report.md"):
        text = (tmp_path / name).read_text()
        assert "1 baseline written, 1 change" in text
        assert "instructions: 1 -" in text


def test_a_broken_xunit_file_is_named(tmp_path):
    (tmp_path / "xunit.xml").write_text("<testsuite>")
    with pytest.raises(ReportError, match=r"xunit.xml can't be read"):
        read_tests(tmp_path / "xunit.xml")


def test_the_reports_begin_with_what_changed(results):
    write_reports(results, results, None)
    page = (results / "report.html").read_text()
    assert page.index("✗ Failed") < page.index("Gate: what changed") < page.index("Instructions by dispatch")
    assert "## Gate: what changed" in (results / "report.md").read_text()


@pytest.mark.parametrize("name", ["github-actions.yml", "gitlab-ci.yml"])
def test_workflows_parse_and_run_suites_that_exist(name):
    content = yaml.safe_load((KITS / name).read_text())
    assert "gate" in (content.get("jobs") or content)
    (command,) = re.findall(r"bash (docs/ci/run\.sh .*)", (KITS / name).read_text())
    script, *suites = command.split()
    assert all((ROOT / path).is_file() for path in (script, *suites))


def run_script(folder, status, *suites):
    """The plain script in a copy of the project that has a stand-in for ./bench."""
    (folder / "docs" / "ci").mkdir(parents=True)
    shutil.copy(KITS / "run.sh", folder / "docs" / "ci" / "run.sh")
    commands = (
        "mkdir -p results",
        'echo "$@" > results/arguments',
        "echo changed > results/summary.md",
        f"exit {status}",
    )
    (folder / "bench").write_text("\n".join(("#!/bin/sh", *commands)))
    (folder / "bench").chmod(0o755)
    for tool in ("verilator", "bash", "dirname", "id", "cat", "mkdir", "sh"):
        (folder / "bin").mkdir(exist_ok=True)
        (folder / "bin" / tool).symlink_to(shutil.which(tool) or "/bin/true")
    environment = {"PATH": str(folder / "bin"), "GITHUB_STEP_SUMMARY": str(folder / "job.md")}
    done = subprocess.run(["bash", folder / "docs/ci/run.sh", *suites], env=environment, check=False, timeout=600)
    return done.returncode, (folder / "results" / "arguments").read_text().split()


@pytest.mark.parametrize("status", [0, 3])
def test_the_script_passes_the_gates_answer_on_and_writes_the_job_summary(tmp_path, status):
    returned, arguments = run_script(tmp_path, status, "robot/a.robot", "robot/b.robot")
    assert (returned, arguments) == (status, ["run", "robot/a.robot", "robot/b.robot"])
    assert (tmp_path / "job.md").read_text() == "changed\n"


def test_the_script_has_a_suite_of_its_own(tmp_path):
    _, arguments = run_script(tmp_path, 0)
    assert arguments == ["run", "robot/gestures.robot"]
    assert (ROOT / arguments[1]).is_file()
