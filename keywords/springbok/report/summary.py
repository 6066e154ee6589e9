# SPDX-License-Identifier: Apache-2.0
"""What a CI server's job summary needs of a run's tests: how many, and what the failed ones said."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from springbok.support.errors import ReportError
from springbok.support.places import PROGRAM


@dataclass(frozen=True)
class Tests:
    """Tests of a run, from ``xunit.xml``. ``failures`` are (suite and test, message)."""

    count: int
    skipped: int
    failures: tuple[tuple[str, str], ...]

    @property
    def headline(self) -> str:
        """``11 tests passed``, or what did not."""
        passed = self.count - self.skipped - len(self.failures)
        parts = [f"{passed} of {self.count} tests passed"]
        parts += [f"{len(self.failures)} failed"] if self.failures else []
        parts += [f"{self.skipped} skipped"] if self.skipped else []
        return ", ".join(parts)


def read_tests(path: Path) -> Tests:
    """Read Robot Framework's ``xunit.xml``. Raises `ReportError`."""
    try:
        cases = ElementTree.parse(path).getroot().findall(".//testcase")
    except (OSError, ElementTree.ParseError) as error:
        raise ReportError(f"{path} can't be read: {error}. '{PROGRAM} run' writes it.") from error
    failures = [
        (f"{case.get('classname')}: {case.get('name')}", failure.get("message") or failure.text or "")
        for case in cases
        for failure in (*case.findall("failure"), *case.findall("error"))
    ]
    return Tests(len(cases), sum(case.find("skipped") is not None for case in cases), tuple(failures))
