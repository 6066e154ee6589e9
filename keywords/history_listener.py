# SPDX-License-Identifier: Apache-2.0
"""Adds a run to the history that no ``./bench`` started: by renode-test, or by robot itself."""

import sys
from pathlib import Path

from robot.api.interfaces import ListenerV3
from robot.running.context import EXECUTION_CONTEXTS

import renode_test
from springbok.history import keeping, record


class HistoryListener(ListenerV3):
    """A library's listener: counts the tests of the library's suites, and adds the run when they all have ended."""

    ROBOT_LISTENER_API_VERSION = 3

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._started = record.now()
        self._folder: Path | None = None
        self._suites: list[Path] = []
        self._count = self._skipped = 0
        self._failures: list[record.Failure] = []

    def start_test(self, data, result) -> None:
        """Where results go is known within a run only. A dry run measures nothing, and leaves nothing."""
        del result
        if EXECUTION_CONTEXTS.current.dry_run:
            return
        if self._folder is None:
            self._started, self._folder = record.now(), renode_test.suite_folder()
        if data.source and Path(data.source) not in self._suites:
            self._suites.append(Path(data.source))

    def end_test(self, data, result) -> None:
        """Count it."""
        self._count += 1
        self._skipped += result.skipped
        if result.failed:
            self._failures.append(record.Failure(f"{data.parent.name}: {data.name}", result.message))

    def close(self) -> None:
        """All suites have ended."""
        folder, place = self._folder, None if self._folder is None else keeping.place_for(self._folder)
        if folder is not None and place is not None:
            tests = record.Tests(self._count, self._skipped, tuple(self._failures))
            names = [path.stem for path in self._suites]
            sources = [path.parent for path in self._suites]
            run = record.of_results(folder, self._started, names, not self._failures, tests, sources)
            sys.__stdout__.write(f"{keeping.keep(run, folder, place).line()}\n")
        self._begin()
