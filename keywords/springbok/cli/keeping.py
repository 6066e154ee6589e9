# SPDX-License-Identifier: Apache-2.0
"""How a command that has run suites adds the run to the history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from springbok.cli.text import shown
from springbok.history import keeping, record
from springbok.report.summary import read_tests
from springbok.support import run_record
from springbok.support.places import project_of
from springbok.support.results_folder import Outputs


def tests_of(xunit: Path | None) -> record.Tests:
    """How the tests of ``xunit.xml`` ended; nothing is known without the file."""
    if xunit is None or not xunit.is_file():
        return record.Tests()
    read = read_tests(xunit)
    return record.Tests(read.count, read.skipped, tuple(record.Failure(*each) for each in read.failures))


def record_run(
    files: Outputs, started: datetime, suites: Sequence[Path], passed: bool, tests: record.Tests
) -> record.Record:
    """What a run that has ended has left; ``run.json`` in its folder, for its reports. A dry run judges nothing."""
    names = [str(shown(suite.absolute())) for suite in suites]
    sources = [suites[0] if suites[0].is_dir() else suites[0].parent, project_of(*suites)]
    passed = passed and not tests.failed  # Robot's --nostatusrc ends with 0 whatever failed
    folder = files.folder
    run = record.of_results(folder, started, names, passed, tests, sources, files.xunit_there())
    if files.is_dry and run.verdict == record.PASSED:
        run = replace(run, verdict=record.MEASURED)
    if folder.is_dir():
        run_record.write(folder, run.as_json(documents=False))
    return run


def keep_run(run: record.Record, folder: Path, place: str | None) -> None:
    """Add a run to the history, and say so; one that measured and tested nothing is no run."""
    if place is not None and run.documents:
        print(keeping.keep(run, folder, place).line().replace(f"{Path.cwd()}/", ""))
