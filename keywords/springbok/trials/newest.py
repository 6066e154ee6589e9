# SPDX-License-Identifier: Apache-2.0
"""The main job and all models on another version of the compiler: ``./bench trial newest``.

Runs ``robot/gestures.robot`` and ``robot/models.robot`` on Spike with the registry's newest version of IREE's compiler,
or with those that ``--versions`` names, each with the optimizer and without, and says what breaks: which test, and why.
Tests are told as they end: the whole takes some quarter of an hour of processor time for each version, the main job
alone (``--suites``) a minute.
What is pinned stays as it is. ``--record`` writes a table in ``docs/compilers.md``, and leaves its other rows alone.
"""

from __future__ import annotations

import argparse
import itertools
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.version import Version
from robot.api import ExecutionResult, ResultVisitor
from robot.errors import DataError

from springbok.compiler import versions
from springbok.compiler.importers import FORMATS
from springbok.support import process
from springbok.support.errors import BenchError
from springbok.support.files import write_in_one_step
from springbok.support.places import ROOT, SUITES
from springbok.support.results_folder import claimed

#: What `--optimize` may be, and how the document calls it.
LEVELS = {"none": "without", "standard": "with"}
FILE = ROOT / "docs" / "compilers.md"
HEAD = (
    "| version | optimizer | passed | skipped | broken | what breaks |",
    "|---|---|---:|---:|---:|---|",
)
_FOLDER = ROOT / "results" / "newest"
_MOST_LETTERS = 240
_MODEL = re.compile(rf".*({'|'.join(map(re.escape, FORMATS))})\b")


@dataclass(frozen=True)
class Outcome:
    """What became of one version at one level: tests that passed, were skipped, and broke, with their reasons."""

    version: str
    optimize: str
    passed: int = 0
    skipped: int = 0
    broken: tuple[tuple[str, str], ...] = ()

    def describe(self) -> str:
        """A line, and below it one for each test that breaks."""
        skipped = f", {self.skipped} skipped" if self.skipped else ""
        head = f"{self.version} optimize={self.optimize}: {self.passed} passed{skipped}, {len(self.broken)} broken"
        return "\n".join([head, *(f"    {name}: {reason}" for name, reason in self.broken)])

    def cells(self) -> tuple[str, ...]:
        """A line of the document's table. Tests that break alike, but for their model and what follows on, share it."""
        causes: dict[str, list[tuple[str, str]]] = {}
        for name, told in self.broken:
            reason = " ".join(_MODEL.sub("the model", word) for word in told.rstrip(".").split(" "))
            causes.setdefault(reason.partition("; ")[0], []).append((name, reason))
        what = "; ".join(
            f"{', '.join(name for name, _ in tests)}: {cause if len(tests) > 1 else tests[0][1]}"
            for cause, tests in causes.items()
        )
        counts = (str(count) for count in (self.passed, self.skipped, len(self.broken)))
        return (self.version, LEVELS[self.optimize], *counts, re.sub(r"([|<*_`\\])", r"\\\1", what))


def recorded(text: str, outcomes: Sequence[Outcome]) -> str:
    """The document with these outcomes in its table, in the place of those of the same version and level.

    The table is at the end where there was none.
    """
    lines = text.splitlines()
    if HEAD[0] not in lines:
        lines += ["", *HEAD]
    begin = lines.index(HEAD[0]) + len(HEAD)
    known = list(itertools.takewhile(lambda line: line.startswith("|"), lines[begin:]))
    rows = {row[:2]: row for row in [*map(cells_of, known), *(outcome.cells() for outcome in outcomes)]}
    levels = list(LEVELS.values())
    order = sorted(rows, key=lambda place: (Version(place[0]), levels.index(place[1])))
    lines[begin : begin + len(known)] = [f"| {' | '.join(rows[place])} |" for place in order]
    return "\n".join(lines) + "\n"


def cells_of(line: str) -> tuple[str, ...]:
    """What is in a line of the table, as it is written there."""
    return tuple(re.split(r" ?(?<!\\)\| ?", line)[1:-1])


class _Tests(ResultVisitor):
    def __init__(self) -> None:
        self.passed = self.skipped = 0
        self.broken: list[tuple[str, str]] = []

    def visit_test(self, test: object) -> None:
        self.passed += test.status == "PASS"
        self.skipped += test.status == "SKIP"
        if test.status == "FAIL":
            self.broken.append((test.name, _short(test.message)))


def _short(message: str) -> str:
    """What a test says, in a line; of several failures the first."""
    lines = [line.strip() for line in message.strip().splitlines() if line.strip()]
    if lines and lines[0] == "Several failures occurred:":
        lines = lines[1:]
    line = lines[0] if lines else "no message"
    return f"{line[:_MOST_LETTERS]}…" if len(line) > _MOST_LETTERS else line


def outcome_of(version: str, optimize: str, output: Path, exit_code: int) -> Outcome:
    """What the ``output.xml`` of a run tells. A run that left none is broken as a whole."""
    if not output.is_file():
        why = f"it wrote no {output.name}: {process.ending(exit_code)}"
        return Outcome(version, optimize, broken=(("the whole run", why),))
    tests = _Tests()
    try:
        ExecutionResult(output).visit(tests)
    except DataError as error:  # it ended in the middle
        return Outcome(version, optimize, broken=(("the whole run", _short(str(error))),))
    return Outcome(version, optimize, tests.passed, tests.skipped, tuple(tests.broken))


def run(version: str, optimize: str, suites: Sequence[Path], folder: Path) -> Outcome:
    """Runs the suites with one version, in processes that work with it."""
    results = folder / f"{version}-{optimize}"
    command = [sys.executable, "-m", "springbok.cli", "run", *suites, "--engine", "spike", "--optimize", optimize]
    command += ["--results", results, "--", "--variable", "LARGE:vector,scalar"]  # of robot/models.robot
    (results / "output.xml").unlink(missing_ok=True)
    code = process.run_in_foreground(command, environment=versions.variables(version))
    return outcome_of(version, optimize, results / "output.xml", code)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when nothing breaks."""
    parser = argparse.ArgumentParser(prog="./bench trial newest", description=__doc__.splitlines()[0])
    parser.add_argument("--versions", nargs="+", default=[versions.NEWEST], metavar="VERSION")
    parser.add_argument(
        "--optimize", nargs="+", choices=LEVELS, default=tuple(LEVELS), help="without the optimizer, with it"
    )
    suites = [SUITES / "gestures.robot", SUITES / "models.robot"]
    parser.add_argument("--suites", nargs="+", type=Path, default=suites, metavar="SUITE")
    parser.add_argument("--results", type=Path, default=_FOLDER, metavar="FOLDER")
    parser.add_argument("--record", action="store_true", help=f"write the table of docs/{FILE.name}")
    options = parser.parse_args(arguments)
    broken = False
    try:
        with claimed(options.results):
            for version in dict.fromkeys(map(versions.resolved, options.versions)):
                versions.environment(version)
                for optimize in dict.fromkeys(options.optimize):
                    outcome = run(version, optimize, options.suites, options.results)
                    broken = broken or bool(outcome.broken)
                    sys.stdout.write(outcome.describe() + "\n")
                    sys.stdout.flush()
                    if options.record:
                        write_in_one_step(FILE, recorded(FILE.read_text(encoding="utf-8"), [outcome]))
    except BenchError as error:
        sys.stderr.write(f"newest: {error}\n")
        return 2
    return int(broken)
