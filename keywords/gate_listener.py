# SPDX-License-Identifier: Apache-2.0
"""Makes Robot say no where the gate does: a skip undoes no limit that was not kept before."""

from pathlib import Path

from robot.api.interfaces import ListenerV3
from robot.libraries.BuiltIn import BuiltIn
from robot.running.context import EXECUTION_CONTEXTS

import renode_test
from springbok.gate.verdicts import FILE_NAME, VerdictFile
from springbok.support.errors import plain

#: Folders of results to which this run has begun to write.
_begun: set[Path] = set()


def verdict_file() -> VerdictFile:
    """Where verdicts of the test that runs are kept, or outside of tests those of the suite; nothing of another run."""
    robot, folder = BuiltIn(), renode_test.suite_folder()
    if folder not in _begun:
        _begun.add(folder)
        (folder / FILE_NAME).unlink(missing_ok=True)
    return VerdictFile(
        folder,
        suite=robot.get_variable_value("${SUITE NAME}", default=""),
        test=robot.get_variable_value("${TEST NAME}", default="") or "",
    )


class GateListener(ListenerV3):
    """A library's listener: fails tests that are skipped although a limit was not kept, and keeps which are ignored.

    Robot lets a skip win over all that failed before it in the test. A test that passes after a limit was not kept has
    caught the failure itself (``Run Keyword And Ignore Error``, ``TRY``): that is the suite's wish, and told.
    """

    ROBOT_LISTENER_API_VERSION = 3
    ROBOT_LISTENER_PRIORITY = 100  # before the listeners that count what failed

    def end_test(self, data, result) -> None:
        """Judge the test by what the gate said in it, and in the set-ups of its suites."""
        del data
        if EXECUTION_CONTEXTS.current.dry_run:
            return
        verdicts = verdict_file()
        if result.skipped and (broken := verdicts.not_kept()):
            untold = [each.text() for each in broken if each.text() not in result.message]
            said = f"A skip does not undo what was not kept. Skipped because: {result.message}"
            result.status, result.message = "FAIL", plain("\n\n".join([*untold, said]))
        elif result.passed:
            verdicts.ignore()

    def end_suite(self, data, result) -> None:
        """What a suite's set-up or teardown caught is ignored: where one of them fails or skips, no test passes."""
        del data
        if any(test.passed for test in result.all_tests) and not EXECUTION_CONTEXTS.current.dry_run:
            verdict_file().ignore()
