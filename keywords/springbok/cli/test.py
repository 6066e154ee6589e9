# SPDX-License-Identifier: Apache-2.0
"""``./bench test``: style, Python and C tests, and beside them the Robot suites on Spike. All run; any failure counts.

Each kind waits now and then, for a chip or for a time limit: where both run, the processors always have work.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from springbok.cli.lint import lint
from springbok.cli.running import call, data_variables, renode_test, run_renode
from springbok.history.keeping import by_whoever_started
from springbok.support import process
from springbok.support.errors import BenchError
from springbok.support.files import build_folder, temporary_folder
from springbok.support.places import KEYWORDS, SUITES
from springbok.support.results_folder import claimed, held_locks

MOST_PROCESSES = 4
MOST_SUITES = 2
#: Suites that are begun first, so that none is left at the end.
LONGEST = ("models", "sensor", "sweep", "link", "gestures")
#: The program that has the frameworks for all tests.
_FRAMEWORKS = KEYWORDS / "springbok" / "trials" / "framework_server.py"
_LOOK_SECONDS = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("--data", metavar="PATH", help="archive of the Magic Wand data set")


def run(options: argparse.Namespace) -> int:
    """Run every step."""
    results, on_renode = (build_folder() / name for name in ("test-results", "test-results-renode"))
    suites = sorted(SUITES.glob("*.robot"))
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # thousands of processes would compile what they import
    with claimed(results), claimed(on_renode), by_whoever_started(), temporary_folder() as folder:
        place = folder / "frameworks"
        command = _team(suites, results, options.data, [*_listener(place), *options.robot_options])
        with Beside([sys.executable, str(_FRAMEWORKS), str(place)], results / "frameworks.txt") as frameworks:
            frameworks.wait_for(place)
            with Beside(command, results / "console.txt") as team:
                failed = [name for name, step in _steps(suites, options.data, team, place) if step() != 0]
    print(f"\nFailed: {', '.join(failed)}" if failed else "\nEverything passed.")
    return 1 if failed else 0


class Beside:
    """A program that runs beside others of this process; what it writes waits in the file ``written``.

    Leaving the context ends it.
    """

    def __init__(self, command: list[str], written: Path) -> None:
        self._written = written
        with written.open("wb") as file:
            streams = {"stdin": subprocess.DEVNULL, "stdout": file, "stderr": subprocess.STDOUT}
            self._program = process.Supervised(command, "foreground", pass_fds=held_locks(), **streams)

    def __enter__(self) -> Beside:
        return self

    def __exit__(self, *error: object) -> None:
        self._program.__exit__(*error)

    def wait_for(self, path: Path) -> None:
        """Wait until it has made ``path``; raises `BenchError` with what it wrote if it ends before."""
        while not path.exists():
            if self._program.has_ended:
                raise BenchError(f"A program that tests need has ended: {self._written.read_text(errors='replace')}")
            time.sleep(_LOOK_SECONDS)

    def show_to_its_end(self) -> int:
        """Show what it wrote, and what it still writes; its exit code."""
        with process.ended_by_signals(), self._written.open(encoding="utf-8", errors="replace") as written:
            has_ended = False
            while not has_ended:
                has_ended = self._program.has_ended
                sys.stdout.write(written.read())
                sys.stdout.flush()
                if not has_ended:
                    time.sleep(_LOOK_SECONDS)
            return self._program.wait()[0]


def _steps(
    suites: list[Path], data: str | None, team: Beside, frameworks: Path
) -> Iterator[tuple[str, Callable[[], int]]]:
    yield "style (./bench lint)", lambda: _titled("Style", lint)
    yield "unit tests (pytest)", lambda: _titled("Python and C tests", lambda: _pytest(frameworks))
    yield "suites (Robot on Spike)", lambda: _titled("Robot suites on Spike", team.show_to_its_end)
    yield "suites (renode-test)", lambda: _titled("Robot suites on Renode", lambda: _test_on_renode(suites, data))


def _listener(frameworks: Path) -> list[str]:
    """Robot's options with which suites import models by the process that listens there."""
    return ["--listener", f"{KEYWORDS / 'tests' / 'shared_frameworks.py'};{frameworks}"]


def _pytest(frameworks: Path) -> int:
    # Its folders are for looking at what failed: they stay, where temporary files of commands don't.
    environment = {"PYTEST_DEBUG_TEMPROOT": tempfile.gettempdir()}
    # A file's tests share what they have compiled; the longest files begin first (conftest.py).
    team = ["-n", str(_processes()), "--dist", "loadfile", "--no-loadscope-reorder", "--frameworks", str(frameworks)]
    return call([sys.executable, "-m", "pytest", str(KEYWORDS / "tests"), *team], environment=environment)


def _team(suites: list[Path], results: Path, data: str | None, robot_options: list[str]) -> list[str]:
    """The command that runs the suites, some at once, on Spike."""
    longest_first = sorted(
        suites, key=lambda suite: LONGEST.index(suite.stem) if suite.stem in LONGEST else len(LONGEST)
    )
    options = ["--variable", "ENGINE:spike", *data_variables(data), *robot_options]
    team = [sys.executable, "-m", "springbok.cli.team", str(results), str(min(_processes(), MOST_SUITES))]
    return [*team, *options, "--", *map(str, longest_first)]


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
