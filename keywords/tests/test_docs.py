# SPDX-License-Identifier: Apache-2.0
"""What the documents name is there: links, files of this project, commands, and keywords of the libraries."""

import re
from pathlib import Path

import pytest
from robot.libdocpkg import LibraryDocumentation

from springbok.cli import COMMANDS
from springbok.report import keyword_page
from springbok.support.places import ROOT
from springbok.trials import TRIALS

DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "models" / "README.md"])
FOLDERS = ("keywords", "robot", "firmware", "platforms", "models", "docs")


def ids(path):
    return path.name


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_links_lead_somewhere(document):
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text(encoding="utf-8"))
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_every_document_is_linked_from_the_readme():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [path.name for path in (ROOT / "docs").glob("*.md") if f"(docs/{path.name})" not in readme] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_files_that_are_named_are_there(document):
    folders = "|".join(FOLDERS)
    named = re.findall(rf"`((?:{folders})/[\w./-]+)`", document.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name.rstrip(".")).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_commands_and_trials_are_there(document):
    text = document.read_text(encoding="utf-8")
    commands = set(re.findall(r"(?:\./bench|springbok-bench) ([a-z]+(?:-[a-z]+)*)(?=[\s`])", text)) - {
        "and",
        "is",
        "in",
    }
    assert commands <= set(COMMANDS)
    trials = set(re.findall(r"\./bench trial ([a-z][a-z-]*)", text))
    assert trials <= {trial.name for trial in TRIALS}


@pytest.fixture(scope="module")
def known():
    """The names of all keywords, in small letters."""
    others = map(LibraryDocumentation, ("BuiltIn", "Collections", "OperatingSystem", "Process"))
    return {keyword.name.lower() for library in (*keyword_page.libraries(), *others) for keyword in library.keywords}


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_keywords_that_are_shown_are_there(document, known):
    blocks = re.findall(r"```robotframework\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
    for block in blocks:
        own = set(re.findall(r"^(\w[\w ]+)$", block, re.MULTILINE))
        steps = re.findall(r"^ {4}(?:\$\{[\w ]+\}=? {4,})?([A-Z][\w' ]*?)(?: {4}|$)", block, re.MULTILINE)
        unknown = [step for step in steps if step.lower() not in known and step not in own]
        assert unknown == [], Path(document).name
