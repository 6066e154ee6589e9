# SPDX-License-Identifier: Apache-2.0
"""What a CI server's job summary needs of a run's tests: how many, and what the failed ones said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from springbok.support.errors import ReportError
from springbok.support.files import write_in_one_step
from springbok.support.places import command
from springbok.support.progress import amount


@dataclass(frozen=True)
class Tests:
    """Tests of a run, from ``xunit.xml``. ``failures`` are (suite and test, message); of a dry run none has run."""

    count: int
    skipped: int
    failures: tuple[tuple[str, str], ...]
    is_dry: bool = False

    @property
    def failed(self) -> int:
        """How many failed."""
        return len(self.failures)

    @property
    def headline(self) -> str:
        """``11 of 11 tests passed``, or what did not."""
        if self.is_dry:
            return f"a dry run, none of its {amount(self.count, 'test')} has run"
        if not self.count:
            return "no test has run"
        passed = self.count - self.skipped - self.failed
        parts = [f"{passed} of {self.count} tests passed"]
        parts += [f"{self.failed} failed"] if self.failed else []
        parts += [f"{self.skipped} skipped"] if self.skipped else []
        return ", ".join(parts)


def read_tests(path: Path, is_dry: bool = False) -> Tests:
    """Read Robot Framework's ``xunit.xml``, which does not tell of a dry run that it is one.

    Raises `ReportError`, also where its head counts others than it has.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise ReportError(f"{path} can't be read: {error}. '{command('run')}' writes it.") from error
    cases = root.findall(".//testcase")
    failures = []
    for case in cases:
        if found := [*case.findall("failure"), *case.findall("error")]:
            told = "\n".join(each.get("message") or each.text or "" for each in found)
            failures.append((f"{case.get('classname')}: {case.get('name')}", told))
    tests = Tests(len(cases), sum(_is_skipped(case) for case in cases), tuple(failures), is_dry)
    if wrong := _wrong_head(root.attrib, tests):
        raise ReportError(f"{path} contradicts itself: {wrong}. '{command('run')}' writes it.")
    return tests


def add_failure(path: Path, suite: str, name: str, message: str) -> None:
    """Add a test that failed to Robot Framework's ``xunit.xml``: what its own tests don't tell."""
    root = ElementTree.parse(path).getroot()
    case = ElementTree.SubElement(root, "testcase", {"classname": suite, "name": name, "time": "0"})
    ElementTree.SubElement(case, "failure", {"message": message, "type": "AssertionError"})
    for count in ("tests", "failures"):
        root.set(count, str(int(root.get(count, "0")) + 1))
    write_in_one_step(path, ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n")


def _is_skipped(case: ElementTree.Element) -> bool:
    return case.find("skipped") is not None and case.find("failure") is None and case.find("error") is None


def _wrong_head(head: Mapping[str, str], tests: Tests) -> str:
    """What the head says of its tests that they don't; empty where there is nothing. It need not say anything."""
    counts = ((("tests",), tests.count), (("skipped",), tests.skipped), (("failures", "errors"), tests.failed))
    for names, found in counts:
        told = {name: head[name] for name in names if name in head}
        if told and not (all(map(str.isdecimal, told.values())) and sum(map(int, told.values())) == found):
            said = " ".join(f'{name}="{text}"' for name, text in told.items())
            return f"its head says {said}, and its tests come to {found}"
    return ""
