# SPDX-License-Identifier: Apache-2.0
"""Steps: where a number changed from commit to commit, and what changed with it.

Counts of a simulator are exact, and each change is a step. Those of a board are not: what several runs of one commit
differ by is noise, and no smaller change is a step.

>>> points = [Point(1, "a", 100), Point(2, "b", 100), Point(3, "c", 120)]
>>> [(step.before.commit, step.after.commit, step.new - step.old) for step in find_steps(points)]
[('b', 'c', 20)]
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

from springbok.gate.accounts import ROUNDING
from springbok.gate.gate import AT_LEAST, AT_MOST, METRICS
from springbok.history.record import Configuration
from springbok.history.store import Evaluated, Series, StoredRun
from springbok.measuring.derived import tidy

#: Metrics that layers add up to, and those of the layers.
OF_LAYERS = {
    "instructions": "instructions",
    "runtime_instructions": "instructions",
    "vector_instructions": "vector_instructions",
    "cycles": "cycles",
}
BETTER, WORSE, OTHER = "better", "worse", "other"


class Point(NamedTuple):
    """A number (or digest) that a run of a commit gave."""

    run: int
    commit: str
    value: float | str


@dataclass(frozen=True)
class Step:
    """The number was ``old`` up to the run ``before``, and is ``new`` from the run ``after`` on."""

    before: Point
    after: Point
    old: float | str
    new: float | str


@dataclass(frozen=True)
class Cause:
    """A layer, and by how much its number changed."""

    layer: str
    change: float
    is_new: bool = False
    is_gone: bool = False


@dataclass(frozen=True)
class Found:
    """A step in the history: of which numbers, between which runs, by how many commits at most, because of what."""

    series: Series
    branch: str
    machine: str
    step: Step
    before: StoredRun
    after: StoredRun
    commits: int | None
    causes: tuple[Cause, ...]

    @property
    def verdict(self) -> str:
        """Whether it is `BETTER` or `WORSE`, `OTHER` where neither is."""
        return judged(self.series.metric, self.step.old, self.step.new)


def judged(metric: str, old: float | str, new: float | str) -> str:
    """What a change is: `BETTER`, `WORSE` or `OTHER`."""
    relation = METRICS[metric].relation if metric in METRICS else AT_MOST if metric.endswith("bytes") else ""
    if relation not in (AT_LEAST, AT_MOST) or isinstance(new, str) or isinstance(old, str):
        return OTHER
    return BETTER if (new > old) == (relation == AT_LEAST) else WORSE


def find_steps(points: Sequence[Point]) -> list[Step]:
    """The steps among points, which are in the order of their commits; those of one commit stand together.

    A commit's number is the median of its runs. It is held against the median of all commits since the last step, so
    that many small changes of one direction are found too.
    """
    if len({point.value for point in points}) < 2:  # as most are, and for years
        return []
    groups = _by_commit(points)
    noise = max((_spread(group) for group in groups), default=0.0)
    steps: list[Step] = []
    level: list[float | str] = []  # in order of size
    for place, group in enumerate(groups):
        value = _middle(sorted(point.value for point in group))
        if level and _differ(_middle(level), value, noise):
            steps.append(Step(groups[place - 1][-1], group[0], _middle(level), value))
            level = []
        insort(level, value)
    return steps


def _by_commit(points: Iterable[Point]) -> list[list[Point]]:
    groups: list[list[Point]] = []
    for point in points:
        if groups and groups[-1][0].commit == point.commit:
            groups[-1].append(point)
        else:
            groups.append([point])
    return groups


def _spread(group: Sequence[Point]) -> float:
    values = [point.value for point in group]
    return 0.0 if any(isinstance(value, str) for value in values) else max(values) - min(values)


def _middle(ordered: Sequence[float | str]) -> float | str:
    """The median; of digests, one of those in the middle."""
    low, high = ordered[(len(ordered) - 1) // 2], ordered[len(ordered) // 2]
    return high if low == high or isinstance(high, str) else (low + high) / 2


def _differ(old: float | str, new: float | str, noise: float) -> bool:
    if isinstance(old, str) or isinstance(new, str):
        return old != new
    return abs(new - old) > noise + ROUNDING * max(abs(old), abs(new))


def in_order(runs: Sequence[StoredRun]) -> list[StoredRun]:
    """Runs of one branch in the order of their commits; those of a commit by their time.

    How many commits lead to one is the order that a clock can't disturb. A clone without all of them does not know it.
    """
    if all(run.depth is not None for run in runs):
        return sorted(runs, key=lambda run: (run.depth, run.committed, run.commit, run.started, run.number))
    return sorted(runs, key=lambda run: (run.committed or run.started, run.commit, run.started, run.number))


def lines_of(runs: Sequence[StoredRun]) -> dict[tuple[str, str], list[StoredRun]]:
    """Runs that can be compared from commit to commit, by branch and machine.

    What was changed since its commit is left out, and what is of no commit.
    """
    found: dict[tuple[str, str], list[StoredRun]] = {}
    for run in runs:
        if run.commit and not run.is_dirty:
            found.setdefault((run.branch, run.machine), []).append(run)
    return {key: in_order(group) for key, group in found.items()}


def all_steps(
    runs: Sequence[StoredRun], numbers: Sequence[Series], ancestors: Callable[[str], Sequence[str]] | None = None
) -> list[Found]:
    """Every step of every number of the whole inference, the newest first.

    ``ancestors`` gives the commits that lead to one, the nearest first (see `repository.ancestors_of`). With it a
    branch's first commit is held against the nearest one before it that was measured on the same machine: that which
    the branch left, mostly.
    """
    layers: dict[tuple, dict[str, Series]] = {}
    for each in numbers:
        if each.layer:
            layers.setdefault((each.configuration, each.metric), {})[each.layer] = each
    found = []
    lines = lines_of(runs)
    for (branch, machine), own in lines.items():
        line = [*_left(own[0], lines, ancestors), *own] if ancestors else own
        by_number = {run.number: run for run in line}
        parts: dict[Configuration, dict[Evaluated, list[StoredRun]]] = {}
        for each in numbers:
            if each.layer:
                continue
            if each.configuration not in parts:
                parts[each.configuration] = same_samples(line, each)
            points = [
                [Point(run.number, run.commit, each.points[run.number]) for run in part if run.number in each.points]
                for part in parts[each.configuration].values()
            ]
            for step in chain.from_iterable(map(find_steps, points)):
                before, after = by_number[step.before.run], by_number[step.after.run]
                of_layers = layers.get((each.configuration, OF_LAYERS.get(each.metric, "instructions")), {})
                why = tuple(causes(of_layers, before.number, after.number))
                found.append(Found(each, branch, machine, step, before, after, _commits(before, after), why))
    return sorted(found, key=lambda each: (each.after.started, each.series.metric), reverse=True)


def same_samples(line: Sequence[StoredRun], numbers: Series) -> dict[Evaluated, list[StoredRun]]:
    """The runs of a line by what they evaluated: a number of other samples is no change of a commit's.

    Runs of before did not keep the data: they are of that of the runs beside them that have as many samples.
    """
    found: dict[int, Evaluated] = {}
    last: dict[float | None, str | None] = {}
    for run in (*line, *reversed(line)):
        told = found.get(run.number) or numbers.evaluated.get(run.number, Evaluated())
        found[run.number] = told if told.data else told._replace(data=last.get(told.samples))
        last[told.samples] = found[run.number].data
    parts: dict[Evaluated, list[StoredRun]] = {}
    for run in line:
        parts.setdefault(found[run.number], []).append(run)
    return parts


def _left(
    first: StoredRun, lines: Mapping[tuple[str, str], Sequence[StoredRun]], ancestors: Callable[[str], Sequence[str]]
) -> list[StoredRun]:
    """The runs, on other branches and the same machine, of the nearest commit before a branch's ``first`` run."""
    there: dict[str, list[StoredRun]] = {}
    for (branch, machine), line in lines.items():
        if branch != first.branch and machine == first.machine:
            for run in line:
                there.setdefault(run.commit, []).append(run)
    if not there or first.commit in there:  # measured on both: there is nothing between
        return []
    return next((there[commit] for commit in ancestors(first.commit) if commit in there), [])


def causes(layers: Mapping[str, Series], before: int, after: int) -> list[Cause]:
    """The layers whose numbers differ between two runs, what changed most first."""
    found = []
    for layer, series in layers.items():
        old, new = series.points.get(before), series.points.get(after)
        change = tidy((new or 0) - (old or 0))
        if change and math.isfinite(change):
            found.append(Cause(layer, change, old is None, new is None))
    return sorted(found, key=lambda cause: (-abs(cause.change), cause.layer))


def _commits(before: StoredRun, after: StoredRun) -> int | None:
    """How many commits lie between, the later one included; None where that is not known."""
    if before.depth is None or after.depth is None or after.depth <= before.depth:
        return None
    return after.depth - before.depth
