# SPDX-License-Identifier: Apache-2.0
"""What reports lead with: the verdict, what failed and why, and of what commit, chip and engine it is told."""

import json
import re
import subprocess
from datetime import datetime

import pytest
from made_up_runs import make_document, make_model

from springbok.cli.report import write_reports
from springbok.gate import verdicts
from springbok.gate.verdicts import VerdictFile
from springbok.history import record
from springbok.measuring import metrics
from springbok.report import summary
from springbok.report.lead import lead, read_lead
from springbok.support import run_record
from springbok.support.errors import ReportError
from springbok.support.results_folder import outputs

DOCUMENT = make_document(make_model())
VERDICT = {
    "subject": "gestures (vector)",
    "title": "instructions an inference",
    "outcome": "failed",
    "compared": True,
    "value": "40,000",
    "limit": "",
    "baseline": "30,000",
    "change": "+33 %",
    "accounts": ["conv_1: +10,000 instructions"],
}
GATE = {"verdicts": [VERDICT], "baselines": [], "updates": []}


@pytest.mark.parametrize(
    ("tests", "gate", "verdict"),
    [
        (None, None, "measured"),
        (summary.Tests(3, 1, ()), None, "passed"),
        (summary.Tests(3, 0, (("suite: test", "why"),)), None, "failed"),
        (summary.Tests(3, 0, ()), GATE, "failed"),
        (None, {**GATE, "verdicts": [{**VERDICT, "outcome": "improved"}]}, "measured"),
    ],
)
def test_the_verdict_is_of_tests_and_gate(tests, gate, verdict):
    assert lead(DOCUMENT, tests, gate).verdict == verdict


def test_what_failed_is_told_with_what_accounts_for_it_and_once():
    found = lead(DOCUMENT, None, GATE)
    assert found.failures == (
        ("gestures (vector): instructions an inference", "40,000 (+33 % since 30,000)\nconv_1: +10,000 instructions"),
    )
    told = summary.Tests(1, 0, (("suite: Should Not Regress", "gestures (vector): instructions an inference: 40,000"),))
    assert lead(DOCUMENT, told, GATE).failures == told.failures


def test_what_no_file_tells_is_not_said_to_be_so(tmp_path):
    told = read_lead(tmp_path, DOCUMENT).sentence
    assert "What the gate judged is unknown: there is no gate.json." in told
    assert "limits checked" not in told
    verdicts.begin(tmp_path)  # as a run does whose suites ask no gate
    assert "0 limits checked" in read_lead(tmp_path, DOCUMENT).sentence
    VerdictFile(tmp_path).add_update(tmp_path / "b.json", ["new"])
    verdicts.begin(tmp_path)
    assert len(verdicts.known(tmp_path)["updates"]) == 1  # what a suite said stays


def described(folder, started):
    return record.of_results(folder, started, [], True, record.Tests(), [folder]).as_json(documents=False)


def test_facts_are_of_the_record_and_what_is_not_known_is_said(tmp_path):
    facts = dict(lead(DOCUMENT).facts)
    assert (facts["Commit"], facts["Date"], facts["VLEN"], facts["Chip"]) == (
        "unknown",
        "unknown",
        "512 bits",
        "springbok",
    )
    (tmp_path / "a").write_text("1")
    git = ["git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-C", str(tmp_path)]
    for arguments in (["init", "-q", "-b", "trunk"], ["add", "a"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *arguments], check=True)
    started = datetime.fromisoformat("2026-01-02T03:04:05+00:00")
    run_record.write(tmp_path, described(tmp_path, started))
    facts = dict(read_lead(tmp_path, DOCUMENT).facts)
    assert facts["Commit"].endswith("(trunk)")
    assert facts["Date"].startswith("2026-01-0")
    (tmp_path / "a").write_text("2")
    run_record.write(tmp_path, described(tmp_path, started))
    assert dict(read_lead(tmp_path, DOCUMENT).facts)["Commit"].endswith("(trunk, with changes)")


def test_results_without_a_record_or_with_a_damaged_one_are_reported(tmp_path):
    (tmp_path / run_record.FILE_NAME).write_text('{"started": 5, "origin": ')
    assert run_record.read(tmp_path) == {}
    (tmp_path / run_record.FILE_NAME).write_text('{"started": 5, "origin": null}')
    assert dict(read_lead(tmp_path, DOCUMENT).facts)["Date"] == "unknown"


# Robot's log


@pytest.mark.parametrize(
    ("options", "written", "address"),
    [
        ((), (), None),
        ((), ("log.html",), "log.html"),
        (("--log", "logs/a b"), ("log.html", "logs/a b.html"), "logs/a%20b.html"),
        (("--log", "NONE"), ("log.html",), None),  # an earlier run's
        (("--output", "NONE"), ("log.html",), None),
    ],
)
def test_a_report_leads_to_the_runs_own_log_or_to_none(tmp_path, options, written, address):
    folder = tmp_path / "results"
    metrics.write(folder / "metrics.json", DOCUMENT)
    for name in written:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    write_reports(folder, folder, None, outputs(options, folder))
    top = re.search(r'<header class="sb-lead.*?</header>', (folder / "report.html").read_text(), re.DOTALL)[0]
    assert re.findall('href="(.*?)"', top) == ([address] if address else [])


def test_a_report_tells_of_the_runs_own_tests_or_of_none(tmp_path):
    (tmp_path / "xunit.xml").write_text('<testsuite><testcase classname="S" name="a"/></testsuite>')
    assert dict(read_lead(tmp_path, DOCUMENT).facts)["Tests"] == "1 of 1 tests passed"
    earlier = outputs(["--xunit", "other.xml"], tmp_path)
    assert dict(read_lead(tmp_path, DOCUMENT, earlier).facts)["Tests"] == "none recorded"


KEPT = {
    **VERDICT,
    "metric": "instructions",
    "limit": "at most 30,000 is allowed (the baseline's)",
    "change": "+10,000 (+33.33 %)",
}


@pytest.mark.parametrize("content", ["", "<testsuite><testcase", "\0"])
def test_tests_that_can_not_be_read_have_not_passed(tmp_path, content):
    (tmp_path / "xunit.xml").write_text(content)
    with pytest.raises(ReportError, match=r"xunit\.xml can't be read"):
        read_lead(tmp_path, None)


@pytest.mark.parametrize(
    "damage",
    [
        {"updates": [{"x": 1}]},
        {"updates": None},
        {"baselines": [{"path": "b"}]},
        {"baselines": [{"path": "b", "read": False}]},
        {"verdicts": [{}]},
        {"verdicts": [{**KEPT, "outcome": "FAILED"}]},
        {"verdicts": [{**KEPT, "title": None}]},
        {"verdicts": [{**KEPT, "accounts": None}]},
    ],
)
def test_a_gates_file_of_another_shape_is_no_good(tmp_path, damage):
    whole = {"schema": 1, "verdicts": [KEPT], "baselines": [{"path": "b", "read": True}], "updates": []}
    (tmp_path / "gate.json").write_text(json.dumps(whole))
    assert verdicts.known(tmp_path)["verdicts"][0]["outcome"] == KEPT["outcome"]
    (tmp_path / "gate.json").write_text(json.dumps({**whole, **damage}))
    with pytest.raises(ReportError, match=r"gate\.json is no good: "):
        verdicts.known(tmp_path)


@pytest.mark.parametrize("content", ['{"origin": "abc"}', '{"origin": {"commit": 5}}', "[]", "3", "{"])
def test_a_record_that_can_not_be_read_says_nothing(tmp_path, content):
    (tmp_path / run_record.FILE_NAME).write_text(content)
    assert dict(read_lead(tmp_path, DOCUMENT).facts)["Commit"] == "unknown"
