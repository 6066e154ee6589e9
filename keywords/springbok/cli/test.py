# SPDX-License-Identifier: Apache-2.0
"""``./bench test``: style, Python and C tests, then the Robot suites on Spike. All run; any failure counts."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from springbok.cli.lint import lint
from springbok.cli.running import call, data_variables, renode_test, run_renode, run_robot
from springbok.support.files import build_folder
from springbok.support.places import KEYWORDS, SUITES
from springbok.support.results_folder import claimed

MOST_PROCESSES = 4


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--data", metavar="PATH", help="archive of the Magic Wand data set")


def run(options: argparse.Namespace) -> int:
    """Run every step."""
    with claimed(build_folder() / "test-results"), claimed(build_folder() / "test-results-renode"):
        failed = [name for name, step in _steps(options.data, options.robot_options) if step() != 0]
    print(f"\nFailed: {', '.join(failed)}" if failed else "\nEverything passed.")
    return 1 if failed else 0


def _steps(data: str | None, robot_options: list[str]) -> Iterator[tuple[str, Callable[[], int]]]:
    results = build_folder() / "test-results"
    suites = sorted(SUITES.glob("*.robot"))
    yield "style (./bench lint)", lambda: _titled("Style", lint)
    yield "unit tests (pytest)", lambda: _titled("Python and C tests", _pytest)
    yield (
        "suites (Robot on Spike)",
        lambda: _titled("Robot suites on Spike", lambda: run_robot("spike", suites, results, data, robot_options)),
    )
    yield "suites (renode-test)", lambda: _titled("Robot suites on Renode", lambda: _test_on_renode(suites, data))


def _pytest() -> int:
    # Its folders are for looking at what failed: they stay, where temporary files of commands don't.
    environment = {"PYTEST_DEBUG_TEMPROOT": tempfile.gettempdir()}
    # A file's tests share what they have compiled; each process may hold TensorFlow, so there are not many.
    processes = min(os.cpu_count() or 1, MOST_PROCESSES)
    command = [sys.executable, "-m", "pytest", str(KEYWORDS / "tests"), "-n", str(processes), "--dist", "loadfile"]
    return call(command, environment=environment)


def _test_on_renode(suites: list[Path], data: str | None) -> int:
    """Run what needs Renode, and what every engine should run, where Renode is; else say what was left out."""
    own = sorted((SUITES / "renode").glob("*.robot"))
    if renode_test() is None:
        print(
            f"Skipped: {len(own)} suites that need Renode, and {len(suites)} suites a second time on it, because "
            "renode-test is not on PATH and RENODE_ROOT is not set."
        )
        return 0
    results = build_folder() / "test-results-renode"
    return run_renode([*own, *suites], results, ["-j", str(os.cpu_count() or 1), *data_variables(data)])


def _titled(title: str, step: Callable[[], int]) -> int:
    print(f"\n== {title} ==", flush=True)
    return step()
