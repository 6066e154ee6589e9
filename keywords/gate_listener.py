# SPDX-License-Identifier: Apache-2.0
"""Makes Robot say no where the gate does: a skip undoes no limit that was not kept before."""

import re
from pathlib import Path

from robot.api.interfaces import ListenerV3
from robot.libraries.BuiltIn import BuiltIn
from robot.running.context import EXECUTION_CONTEXTS

import renode_test
from springbok.gate import verdicts
from springbok.gate.verdicts import FILE_NAME, VerdictFile
from springbok.support.errors import plain

#: Folders of results to which this run has begun to write.
_begun: set[Path] = set()
#: How many verdicts a folder had when a test, or a suite, first asked for it, by Robot's numbers of these.
_counts: dict[tuple[Path, str, str], int] = {}
# What Robot says of a test that did not run, or did in vain, for its suite's set-up or teardown.
_BY_SUITE = re.compile(r"parent suite (?:setup|teardown)", re.IGNORECASE)


def verdict_file() -> VerdictFile:
    """Where verdicts of the test that runs are kept, or outside of tests those of the suite; nothing of another run."""
    robot, folder = BuiltIn(), renode_test.suite_folder()
    if folder not in _begun:
        _begun.add(folder)
        (folder / FILE_NAME).unlink(missing_ok=True)
    now = EXECUTION_CONTEXTS.current
    place = folder, now.suite.id, now.test.id if now.test else ""
    if place not in _counts:
        _counts[place] = len(verdicts.read(folder)["verdicts"])
    return VerdictFile(
        folder,
        suite=robot.get_variable_value("${SUITE NAME}", default=""),
        test=robot.get_variable_value("${TEST NAME}", default="") or "",
        since=_counts[place],
    )


class GateListener(ListenerV3):
    """A library's listener: fails tests that are skipped although a limit was not kept, and keeps which are ignored.

    Robot lets a skip win over all that failed before it in the test. A test that passes after a limit was not kept has
    caught the failure itself (``Run Keyword And Ignore Error``, ``TRY``): that is the suite's wish, and told.
    """

    ROBOT_LISTENER_API_VERSION = 3
    ROBOT_LISTENER_PRIORITY = 100  # before the listeners that count what failed

    def end_test(self, data, result) -> None:
        """Judge the test by what the gate said in it, and in the set-up of a suite that skipped it."""
        del data
        if EXECUTION_CONTEXTS.current.dry_run:
            return
        kept = verdict_file()
        with_suites = bool(_BY_SUITE.search(result.message))
        if result.skipped and (broken := kept.not_kept(with_suites)):
            untold = [each.text() for each in broken if each.text() not in result.message]
            said = f"A skip does not undo what was not kept. Skipped because: {result.message}"
            result.status, result.message = "FAIL", plain("\n\n".join([*untold, said]))
        elif result.passed:
            kept.ignore()

    def end_suite(self, data, result) -> None:
        """What a suite's set-up or teardown caught is ignored: where one of them fails or skips, all tests say so."""
        del data
        if EXECUTION_CONTEXTS.current.dry_run or all(_BY_SUITE.search(test.message) for test in result.all_tests):
            return
        verdict_file().ignore()
