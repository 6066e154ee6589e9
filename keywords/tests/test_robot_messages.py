# SPDX-License-Identifier: Apache-2.0
"""What names from outside do in Robot's log: they are shown, whatever is in them, and never become HTML of it."""

import ast
import os
import sys
from xml.etree import ElementTree

import pytest
from made_up_runs import make_document, make_model

from springbok.measuring import metrics
from springbok.support import process
from springbok.support.errors import ModelError, plain
from springbok.support.places import KEYWORDS

# What the name of a file can be; Robot shows a message that begins so as HTML.
HOSTILE = "*HTML*<script>alert(1)<!--<img src=x onerror=alert(2)>"

LIBRARY = f"""
import json
from robot.api import logger
from robot.libraries.BuiltIn import BuiltIn
import GateLibrary
from springbok.gate import gate, snapshots
from springbok import report
from springbok.support.errors import ModelError

HOSTILE = {HOSTILE!r}

def document():
    with open("document.json") as file:
        return json.load(file)

def log_a_report():
    content = document()
    logger.info(report.log_message(content, content["models"][0]), html=True)
    BuiltIn().set_suite_metadata("Performance", report.suite_summary(content), top=True)

def break_a_limit(metric, bound):
    measured = snapshots.snapshot(document(), HOSTILE)
    GateLibrary._settle([gate.judge(measured, gate.Limit(metric, float(bound)))], HOSTILE)

def raise_an_error(text):
    raise ModelError(text)
"""
SUITE = """*** Settings ***
Library    {folder}/Hostile.py
Library    {libraries}/CompilerLibrary.py

*** Test Cases ***
Should Report
    Log A Report

Should Say Which Limit Is Broken
    Break A Limit    instructions    1

Should Say What Is Wrong
    Raise An Error    {name} is broken

Should Say Which Model Has No Format
    Compile Model    {name}.xyz

Should Say Everything That Is Wrong
    Run Keyword And Continue On Failure    Raise An Error    {name} is broken
    Run Keyword And Continue On Failure    Raise An Error    {name} is broken too
    [Teardown]    Raise An Error    {name} is broken after all
"""


def hostile_document():
    model = make_model()
    model.update(name=HOSTILE, variant=HOSTILE, class_names=[f"{HOSTILE}{n}" for n in range(len(model["class_names"]))])
    model["dataset"].update(name=HOSTILE, description=HOSTILE)
    for dispatch in model["dispatches"]:
        dispatch["layer"] = HOSTILE
    return make_document(model)


def test_names_are_no_html_in_robots_log(tmp_path):
    metrics.write(tmp_path / "document.json", hostile_document())
    (tmp_path / "Hostile.py").write_text(LIBRARY)
    suite = tmp_path / f"{HOSTILE}.robot"
    suite.write_text(SUITE.format(folder=tmp_path, libraries=KEYWORDS, name=HOSTILE))
    command = [sys.executable, "-m", "robot", "--outputdir", tmp_path / "results", suite]
    done = process.run(command, cwd=tmp_path, environment={"PYTHONPATH": os.pathsep.join(sys.path)})
    assert "5 tests, 1 passed, 4 failed" in done.output, done.output
    output = ElementTree.parse(tmp_path / "results" / "output.xml").getroot()
    said = [status.text for status in output.iter("status") if status.text]
    assert len(said) >= 8
    assert [text for text in said if text.startswith("*HTML*")] == []
    assert any(text.startswith("'*HTML*'<script>") for text in said)
    as_html = [message.text for message in output.iter("msg") if message.get("html") == "true"]
    assert len(as_html) == 1  # the report
    assert "alert(1)" in as_html[0]
    assert "<script" not in as_html[0]
    assert "<img src=x" not in as_html[0]
    (summary,) = (meta.text for meta in output.iter("meta") if meta.get("name") == "Performance")
    assert "*HTML*" in summary


def test_only_the_mark_itself_is_quoted():
    assert str(ModelError(f"{HOSTILE} is broken")) == f"'*HTML*'{HOSTILE.removeprefix('*HTML*')} is broken"
    for text in ("", "a *HTML* b", "*html*", "plain"):
        assert plain(text) == text


def test_every_failure_of_a_keyword_begins_with_words_of_its_own():
    found = []
    for path in sorted(KEYWORDS.glob("*Library.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
                name = getattr(node.exc.func, "id", "")
                can_be_html = name in ("AssertionError", "SkipExecution", "Failure", "RuntimeError") and node.exc.args
                if can_be_html and not _has_own_words(node.exc.args[0]):
                    found.append(f"{path.name}:{node.lineno}")
    assert found == []


def _has_own_words(text: ast.expr) -> bool:
    if isinstance(text, ast.BinOp):
        return _has_own_words(text.left)
    if isinstance(text, ast.JoinedStr):
        return _has_own_words(text.values[0])
    if isinstance(text, ast.Call):  # the text of a BenchError is plain too
        return getattr(text.func, "id", "") in ("plain", "str")
    return isinstance(text, ast.Constant)


@pytest.mark.parametrize("name", ["CrossCheckLibrary", "RenodeLibrary", "PerformanceLibrary"])
def test_html_is_logged_where_it_is_known_to_be_escaped(name):
    """Whoever logs HTML in another library finds this test, and escapes the names in it."""
    assert "html=True" in (KEYWORDS / f"{name}.py").read_text()
    others = {path.stem for path in KEYWORDS.glob("*Library.py") if "html=True" in path.read_text()}
    assert others == {"CrossCheckLibrary", "RenodeLibrary", "PerformanceLibrary"}
