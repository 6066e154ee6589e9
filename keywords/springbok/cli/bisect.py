# SPDX-License-Identifier: Apache-2.0
"""``./bench bisect``: finds the commit that changed a number, by running the user's suites at commits."""

from __future__ import annotations

import argparse
import math
import os
import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path

from springbok.cli.arguments import add_history, add_vlen, results_here
from springbok.cli.keeping import tests_of
from springbok.compiler.optimizer import LEVELS
from springbok.gate import gate, verdicts
from springbok.gate.snapshots import Snapshot
from springbok.history import bisect, keeping, record, steps
from springbok.history.bisect import BisectError, Measured, Search
from springbok.history.database import is_url
from springbok.history.record import METRICS_FILE, XUNIT_FILE, Configuration
from springbok.history.store import Filter, Store, StoredRun, opened
from springbok.report.history import value_text
from springbok.support import repository
from springbok.support.errors import BenchError
from springbok.support.escaping import visible
from springbok.support.files import build_folder
from springbok.support.places import command
from springbok.support.repository import GitError
from springbok.support.suggestions import did_you_mean

_SHORT, _LONGEST = 9, 400
#: A level that is none: a configuration is the same one at any.
_ANY = "any"
_NAMES = ("model", "variant", "chip", "engine")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("suites", nargs="*", metavar="SUITE", help="what to run (default: as the step's run did)")
    parser.add_argument("--good", metavar="COMMIT", help="a commit before the step (default: from the history)")
    parser.add_argument("--bad", metavar="COMMIT", help="a commit after it (default: from the history, else HEAD)")
    parser.add_argument("--metric", default="instructions", metavar="NAME", help="the number (default: instructions)")
    parser.add_argument("--layer", default="", metavar="NAME", help="that of this layer, not of the whole inference")
    for name in _NAMES:
        parser.add_argument(f"--{name}", default="", metavar=name.upper(), help=f"of this {name}, where there are more")
    parser.add_argument(
        "--optimize",
        default="",
        choices=(*LEVELS, _ANY),
        help="at this level of the optimizer; any: at whichever each commit has, where the level is the change",
    )
    add_vlen(parser, None, "with this VLEN, where there are more")
    add_history(parser)


def run(options: argparse.Namespace) -> int:
    """0 when one commit was found, 1 when only some are left that can't be told apart."""
    top = repository.top_of(Path.cwd())
    place = keeping.place_for(results_here(), options.history)
    known = _Known(place, options)
    found = known.last_step() if options.good is None else None
    if options.good is None and found is None:
        raise BisectError(
            f"The history knows no step of {options.metric}{' here' if place else ''}: name a commit before it and "
            f"one after it: '{command('bisect', 'SUITE', '--good', 'COMMIT', '--bad', 'COMMIT')}'."
        )
    good = repository.commit_of(top, options.good or found.before.commit)
    bad = repository.commit_of(top, options.bad or (found.after.commit if found else "HEAD"))
    if good == bad or not repository.is_ancestor(top, good, bad):
        swapped = " Did you mean it the other way round?" if repository.is_ancestor(top, bad, good) else ""
        raise BisectError(f"{_named(top, good)} is no commit before {_named(top, bad)}.{swapped}")
    suites = _inside(top, options.suites or (found.after.suites if found else ()))
    with bisect.worktree(top) as worktree:
        runner = _Runner(top, worktree, suites, options, known)
        runner.configuration = found.series.configuration if found else None
        return _find(runner, good, bad)


def _inside(top: Path, suites: Sequence[str]) -> list[str]:
    """Suites as they are named from the folder of the same name in a worktree."""
    found = []
    for suite in suites:
        path = Path(suite).resolve()
        if not path.is_relative_to(top):
            raise BisectError(f"{suite} is not in the repository {top}, so earlier commits have none to run.")
        found.append(os.path.relpath(path, Path.cwd().resolve()))
    return found


def _named(top: Path, commit: str) -> str:
    return visible(f"{commit[:_SHORT]} ({repository.subject_of(top, commit)})")


def _is_meant(configuration: Configuration, options: argparse.Namespace) -> bool:
    named = all(getattr(options, name) in ("", getattr(configuration, name)) for name in _NAMES)
    named = named and options.optimize in ("", _ANY, configuration.optimize)
    return named and options.vlen in (None, configuration.vlen_bits)


def _at_any_level(configuration: Configuration) -> Configuration:
    return replace(configuration, optimize="")


class _Known:
    """What the history knows of the number that is looked for; what is measured is added to it."""

    def __init__(self, place: str | None, options: argparse.Namespace) -> None:
        self.place = place
        self.options = options
        self.machine = record.machine()

    def last_step(self) -> steps.Found | None:
        """The newest step of the number, on the branch of the working folder if there is one."""
        branch = repository.origin_of(Path.cwd()).branch
        with self._opened() as store:
            if store is None:
                return None
            wanted = Filter(**{name: getattr(self.options, name) for name in ("chip", "engine", "model")})
            runs = store.runs(wanted)
            changed = store.changed(runs)
            runs = [each for each in runs if each.number not in changed]
            found = steps.all_steps(runs, self._chosen(store, runs, wanted))
        return next((each for each in found if each.branch == branch), next(iter(found), None))

    def _chosen(self, store: Store, runs: Sequence[StoredRun], wanted: Filter) -> list:
        """Series of the number; that of a layer stands for one of the whole, which is what steps are found in."""
        numbers = store.series(runs, wanted)
        layer, metric = self.options.layer, self.options.metric
        chosen = [each for each in numbers if _is_meant(each.configuration, self.options)]
        if layer:
            own = [each for each in chosen if (each.metric, each.layer) == (metric, layer)]
            return [replace(each, layer="") for each in own]
        return [each for each in chosen if each.layer or each.metric == metric]

    def of(self, commit: str, suites: Sequence[str], configuration: Configuration) -> str | None:
        """``metrics.json`` of a run of these suites that measured it at the commit, here and with nothing changed."""
        with self._opened() as store:
            if store is None:
                return None
            wanted = Filter(commit=commit, machine=self.machine, model=configuration.model)
            for each in reversed(store.runs(wanted)):
                if store.changed([each]):
                    continue
                text = store.documents(each.number).get(METRICS_FILE)
                is_same = not each.is_dirty and sorted(each.suites) == sorted(suites)
                if is_same and configuration in dict(record.snapshots_of(text)):
                    return text
        return None

    def add(self, run: record.Record) -> None:
        """Keep a run; that it can't be kept hinders no search."""
        if self.place is not None:
            kept = keeping.add(run, results_here(), self.place)
            if kept.problem:
                print(kept.line())

    def _opened(self) -> AbstractContextManager[Store | None]:
        there = self.place is not None and (is_url(self.place) or Path(self.place).exists())
        return opened(self.place) if there else nullcontext()


class _Runner:
    """Measures commits: from the history where it knows them, else by running the suites in the worktree."""

    def __init__(self, top: Path, place: Path, suites: list[str], options: argparse.Namespace, known: _Known) -> None:
        self.top, self.place, self.suites, self.options, self.known = top, place, suites, options, known
        self.branch = repository.origin_of(top).branch
        self.configuration: Configuration | None = None

    def shown(self, measured: Measured) -> str:
        """The number as people read it."""
        assert measured.value is not None
        return value_text(self.options.metric, measured.value)

    def measure(self, commit: str) -> Measured:
        """What the commit comes to."""
        text = None
        if self.configuration and not self.options.robot_options:
            text = self.known.of(commit, self.suites, self.configuration)
        return self._read(commit, text) if text else self._run(commit)

    def _run(self, commit: str) -> Measured:
        results = self.place.parent / "results"
        shutil.rmtree(results, ignore_errors=True)
        try:
            bisect.check_out(self.place, commit, self.top, build_folder() / "bisect")
        except GitError as error:
            return Measured(commit, None, str(error).rstrip("."))
        folder = self.place / Path.cwd().resolve().relative_to(self.top.resolve())
        if not folder.is_dir():
            return Measured(commit, None, f"it has no folder {folder.relative_to(self.place)}")
        program, environment = bisect.command_of(folder, self.place)
        command = [*program, "run", *self.suites, "--results", str(results), *self.options.robot_options]
        started = record.now()
        exit_code, said = bisect.run(command, folder, self.place.parent / "console.txt", environment)
        if not (results / METRICS_FILE).is_file():
            why = _unrecorded(results) or _why(results, said) or "it said nothing"
            return Measured(commit, None, f"it left no metrics (exit code {exit_code}): {why}")
        found = self._read(commit, (results / METRICS_FILE).read_text(encoding="utf-8"))
        tests = tests_of(results / XUNIT_FILE)
        run = record.of_results(results, started, self.suites, exit_code == 0, tests, [self.place])
        if run.origin.commit == commit:
            self.known.add(record.on_branch(run, self.branch))
        return found

    def _read(self, commit: str, text: str) -> Measured:
        try:
            models = list(record.snapshots_of(text))
        except ValueError as error:
            return Measured(commit, None, f"its metrics can't be read: {error}")
        if self.configuration is None:
            self.configuration = self._choose(models)
        measured = self._meant(models)
        if measured is None:
            others = "; ".join(each.title for each, _ in models) or "no models"
            why = f"it does not measure {self.configuration.title}, but {others}"
            if _at_any_level(self.configuration) in {_at_any_level(each) for each, _ in models}:
                why += f"; if the level is the change, say --optimize {_ANY}"
            return Measured(commit, None, why)
        value = record.value_of(measured, self.options.metric, self.options.layer)
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            of = f" of {self.options.layer}" if self.options.layer else ""
            return Measured(commit, None, f"{self.options.metric}{of} is not known")
        return Measured(commit, value, snapshot=measured)

    def _meant(self, models: list) -> Snapshot | None:
        """What a commit came to in the configuration; with any level the only one where that one is not there."""
        exact = dict(models).get(self.configuration)
        if exact is not None or self.options.optimize != _ANY:
            return exact
        wanted = _at_any_level(self.configuration)
        others = [measured for each, measured in models if _at_any_level(each) == wanted]
        return others[0] if len(others) == 1 else None

    def _choose(self, models: list) -> Configuration:
        """The configuration that is meant, from the first commit that runs. Raises `BisectError`."""
        fitting = [(each, measured) for each, measured in models if _is_meant(each, self.options)]
        titles = "; ".join(each.title for each, _ in models)
        if not fitting:
            raise BisectError(f"Nothing that was measured is meant. There are: {titles or 'no models'}.")
        known = {each.metric for _, measured in fitting for each in record.numbers_of(measured) if not each.layer}
        if self.options.metric not in known:
            hint = did_you_mean(self.options.metric, known)
            raise BisectError(
                f"There is no metric '{self.options.metric}'{hint}. There are: {', '.join(sorted(known))}."
            )
        if len(fitting) > 1:
            # The first is what most suites are about; that another one is meant can be said.
            others = f"{', '.join(f'--{name}' for name in _NAMES)}, --optimize, --vlen name another"
            print(f"Of {len(fitting)} configurations: {fitting[0][0].title} ({others}).")
        return fitting[0][0]


def _unrecorded(results: Path) -> str:
    """That a run measured and kept nothing of it, with what else failed; empty where nothing tells that it measured.

    What the gate did not let pass is a number, and no reason to have none.
    """
    judged, failures = None, []
    with suppress(BenchError):
        judged, failures = verdicts.known(results), tests_of(results / XUNIT_FILE).failures
    if not judged or not (judged["verdicts"] or judged["baselines"]):
        return ""
    failed = [each["subject"] for each in judged["verdicts"] if each["outcome"] == "failed"]
    others = [each for each in failures if not any(subject in each.message for subject in failed)]
    told = f"; {_first(others)}" if others else ""
    return f"its suites measured something, and none recorded it: 'Record Metrics' keeps numbers{told}"


def _first(failures: Sequence[record.Failure]) -> str:
    """The first failure of a run's tests, in a line."""
    return visible(f"{failures[0].test}: {' '.join(failures[0].message.split())}")[:_LONGEST].rstrip(".")


def _why(results: Path, said: str) -> str:
    """Why a run left no numbers: the first failure of its tests, else what it ended with; nothing of files now gone."""
    with suppress(BenchError):
        if failures := tests_of(results / XUNIT_FILE).failures:
            return _first(failures)
        if (results / XUNIT_FILE).is_file():
            return "its suites have passed and recorded no numbers: 'Record Metrics' keeps them"
    lines = [line.strip() for line in said.splitlines() if line.strip() and str(results.parent) not in line]
    told = next((line for line in reversed(lines) if "springbok-bench:" in line), lines[-1] if lines else "")
    return visible(told)[:_LONGEST].rstrip(".")


def _find(runner: _Runner, good: str, bad: str) -> int:
    ends = []
    for commit, what in ((bad, "bad"), (good, "good")):
        measured = runner.measure(commit)
        if measured.value is None:
            raise BisectError(f"The {what} commit {_named(runner.top, commit)} can't be measured: {measured.why}.")
        print(f"{what:4}  {_named(runner.top, commit)}: {runner.shown(measured)}", flush=True)
        ends.append(measured)
    after, before = ends
    if after.value == before.value:
        raise BisectError(f"Both commits come to {runner.shown(after)}: there is no step between them.")
    found = Search(runner.top, bisect.between(before.value, after.value), [before], after)
    count = len(found.suspects())
    print(f"{count} commits, about {math.ceil(math.log2(count))} to measure.", flush=True)
    bisect.search(found, runner.measure, lambda search, measured: _tell(runner, search, measured))
    return _print_answer(runner, found, before, after)


def _tell(runner: _Runner, found: Search, measured: Measured) -> None:
    if measured.value is None:
        text = f"skipped: {measured.why}"
    else:
        text = f"{runner.shown(measured)}, {'bad' if found.bad is measured else 'good'}"
    left = len(found.suspects())
    print(f"      {_named(runner.top, measured.commit)}: {text}; {left} left", flush=True)


def _print_answer(runner: _Runner, found: Search, before: Measured, after: Measured) -> int:
    left = found.suspects()
    title = f"{runner.options.metric}{f' of {runner.options.layer}' if runner.options.layer else ''}"
    if len(left) > 1:
        print(f"\nOne of these commits changed {title}; those between could not be measured:")
        for commit in left:
            print(f"  {_named(runner.top, commit)}")
        return 1
    bad = found.bad
    parents = repository.parents_of(runner.top, bad.commit)
    last = next((each for each in found.good if each.commit in parents), before)
    print(f"\n{bad.commit} is the commit: {repository.subject_of(runner.top, bad.commit)}")
    print(f"  {repository.author_of(runner.top, bad.commit)}")
    print(f"  {title}: {runner.shown(last)} -> {runner.shown(bad)}, {_titled(runner)}")
    if bad.value != after.value or last.value != before.value:
        whole = f"{runner.shown(before)} -> {runner.shown(after)}"
        print(f"  The whole change was {whole}: other commits have changed it too.")
    for line in _accounts(runner, last, bad):
        print(f"    {line}")
    return 0


def _titled(runner: _Runner) -> str:
    chosen = runner.configuration
    return (_at_any_level(chosen) if runner.options.optimize == _ANY else chosen).title


def _accounts(runner: _Runner, last: Measured, bad: Measured) -> list[str]:
    """The layers and opcodes that make the change, and what else is other than it was."""
    if last.snapshot is None or bad.snapshot is None:
        return []
    name = runner.options.metric
    lines = gate.METRICS[name].explain(bad.snapshot, last.snapshot) if name in gate.METRICS else []
    levels = [each["subject"]["optimize"] for each in (last.snapshot, bad.snapshot)]
    lines += [f"optimizer: level {levels[0]} -> {levels[1]}"] if levels[0] != levels[1] else []
    return [*lines, *gate.causes(bad.snapshot, last.snapshot)]
