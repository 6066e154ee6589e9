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
from springbok.cli.running import call, data_variables, renode_test, run_renode
from springbok.support.files import build_folder
from springbok.support.places import KEYWORDS, SUITES
from springbok.support.results_folder import claimed

MOST_PROCESSES = 4
#: Suites that are begun first, so that none is left at the end.
LONGEST = ("models", "sensor", "sweep", "link", "gestures")


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
        lambda: _titled("Robot suites on Spike", lambda: _robot(suites, results, data, robot_options)),
    )
    yield "suites (renode-test)", lambda: _titled("Robot suites on Renode", lambda: _test_on_renode(suites, data))


def _pytest() -> int:
    # Its folders are for looking at what failed: they stay, where temporary files of commands don't.
    environment = {"PYTEST_DEBUG_TEMPROOT": tempfile.gettempdir()}
    # A file's tests share what they have compiled; the longest files begin first (conftest.py).
    team = ["-n", str(_processes()), "--dist", "loadfile", "--no-loadscope-reorder"]
    return call([sys.executable, "-m", "pytest", str(KEYWORDS / "tests"), *team], environment=environment)


def _robot(suites: list[Path], results: Path, data: str | None, robot_options: list[str]) -> int:
    """Run the suites, some at once, on Spike."""
    longest_first = sorted(
        suites, key=lambda suite: LONGEST.index(suite.stem) if suite.stem in LONGEST else len(LONGEST)
    )
    options = ["--variable", "ENGINE:spike", *data_variables(data), *robot_options]
    team = [sys.executable, "-m", "springbok.cli.team", str(results), str(_processes())]
    return call([*team, *options, "--", *map(str, longest_first)])


def _processes() -> int:
    """How many run beside each other: each may hold TensorFlow, so they are not many."""
    return min(os.cpu_count() or 1, MOST_PROCESSES)


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
