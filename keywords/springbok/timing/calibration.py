# SPDX-License-Identifier: Apache-2.0
"""Fits the free figures of a description to measured cycles: latencies, intervals, stalls, and what branches cost.

One figure after the other is moved by some cycles as long as that brings estimates nearer to what was measured. Where
several would have to move at once that gets stuck: so the same is done from the plainest figures too, and the better
one is the result. It follows from what was measured and from the description that one begins with: the same every time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from springbok.engines.base import Site
from springbok.timing.description import LIKE, LIKE_FIGURES, PREDICTIONS, Timing, UnitTiming
from springbok.timing.estimate import estimate
from springbok.timing.operands import Unit, operation

_STEPS = (1, -1, 2, -2, 4, -4, 8, -8, 16, -16)
#: What loops seldom meet comes first: ``branch_taken`` is in each of them.
_BRANCHES = ("branch_mispredicted", "branch_passed", "branch_taken", "jump", "jump_indirect", "queue_latency")
_CODE_CACHE = "code_cache"
_MOST_ROUNDS = 12
_BIG_SHARE = 0.05


@dataclass(frozen=True)
class Measurement:
    """Executions in one place, and the cycles that the core took for them; ``xlen`` of its registers in bits."""

    name: str
    sites: tuple[Site, ...]
    cycles: int
    xlen: int = 32

    def estimate(self, timing: Timing, vlen: int) -> int:
        """The estimated cycles."""
        return estimate(self.sites, timing, vlen, self.xlen).cycles

    def error(self, timing: Timing, vlen: int) -> float:
        """Of the estimate: a share of the measured cycles."""
        return self.estimate(timing, vlen) / self.cycles - 1

    def units(self, vlen: int) -> set[Unit]:
        """What its instructions occupy."""
        return {operation(site.word, site.vl, site.vtype, vlen, self.xlen).unit for site in self.sites}


def fit(timing: Timing, measured: Sequence[Measurement], vlen: int) -> Timing:
    """The description nearest to ``measured`` that is reached by moving single figures, of those of ``timing`` and of
    the plainest (every result in the next cycle, branches that cost nothing), with each way to predict branches;
    ``vlen`` in bits."""
    units = [each.units(vlen) for each in measured]
    own = _whole(timing, set().union(*units))

    def error(found: Timing) -> float:
        return sum(each.error(found, vlen) ** 2 for each in measured)

    best = None
    for prediction in sorted(PREDICTIONS, key=lambda each: each != timing.prediction):
        for begin in (own, _plain(own, set().union(*units))):
            fitted = _moved(replace(begin, prediction=prediction), measured, units, vlen)
            if best is None or error(fitted) < error(best):
                best = fitted
            if not error(best):
                return _short(best)
    return _short(best)


def _whole(timing: Timing, units: set[Unit]) -> Timing:
    """The same with all figures of its own that may be left out, where they can show."""
    figures = {unit: timing.units[timing.named(unit)] for unit in units}
    costs = {name: timing.cost(name) for name in LIKE_FIGURES}
    return replace(timing, units=timing.units | figures, **costs)


def _short(timing: Timing) -> Timing:
    """The same without figures that would be no others if they were left out."""
    units = {unit: each for unit, each in timing.units.items() if each != timing.units.get(LIKE.get(unit))}
    prediction = timing.prediction if timing.branch_mispredicted or timing.branch_passed else "none"
    costs = {name: timing.cost(name) for name in LIKE_FIGURES}
    costs = {name: None if cost == getattr(timing, LIKE_FIGURES[name]) else cost for name, cost in costs.items()}
    if prediction == "none":
        costs["branch_passed"] = None
    return replace(timing, units=units, prediction=prediction, **costs)


def _plain(timing: Timing, units: set[Unit]) -> Timing:
    figures = {unit: UnitTiming(1, count=timing.units[unit].count) for unit in units}
    return replace(timing, units=timing.units | figures, **dict.fromkeys(_BRANCHES, 0))


def _moved(timing: Timing, measured: Sequence[Measurement], units: Sequence[set[Unit]], vlen: int) -> Timing:
    errors = [each.error(timing, vlen) ** 2 for each in measured]
    for _ in range(_MOST_ROUNDS):
        moved = False
        for figure in _figures(timing, set().union(*units)):
            concerned = [
                number for number in range(len(measured)) if figure[0] in units[number] or figure[0] not in list(Unit)
            ]
            while True:
                tried = [
                    (sum(found.values()), candidate, found)
                    for candidate in _neighbours(timing, figure)
                    for found in [{number: measured[number].error(candidate, vlen) ** 2 for number in concerned}]
                ]
                best = min(tried, key=lambda each: each[0], default=None)
                if best is None or best[0] >= sum(errors[number] for number in concerned) - 1e-12:
                    break
                timing, moved = best[1], True
                for number, error in best[2].items():
                    errors[number] = error
        if not moved:
            break
    return timing


def mean_error(timing: Timing, measured: Iterable[Measurement], vlen: int) -> float:
    """Mean of the errors' absolute values."""
    errors = [abs(each.error(timing, vlen)) for each in measured]
    return sum(errors) / len(errors)


def model_errors(timing: Timing, kernels: Sequence[Measurement], vlen: int) -> tuple[float, float]:
    """Of one inference: the error of the whole, and the largest of a kernel with 5 % of its cycles or more; both as
    absolute values."""
    whole = sum(each.cycles for each in kernels)
    estimated = sum(each.estimate(timing, vlen) for each in kernels)
    big = [abs(each.error(timing, vlen)) for each in kernels if each.cycles >= _BIG_SHARE * whole]
    return abs(estimated / whole - 1), max(big, default=0.0)


def _figures(timing: Timing, units: set[Unit]) -> Iterator[tuple[str | None, str]]:
    """The place of each figure, and its name: a unit, the cache, or neither."""
    for name in _BRANCHES:
        yield None, name
    if timing.code_cache:
        yield _CODE_CACHE, "wait"
    for unit in Unit:
        if unit in units:
            yield unit, "latency"
            yield unit, "interval"
            if not unit.is_vector:
                yield unit, "stall"


def _neighbours(timing: Timing, figure: tuple[str | None, str]) -> Iterator[Timing]:
    place, name = figure
    holder = timing.code_cache if place == _CODE_CACHE else timing.units[place] if place else timing
    now = getattr(holder, name)
    least = 1 if name in ("latency", "interval") else 0  # no result is there in the cycle that it was begun in
    values = {max(least, now + step) for step in _STEPS} - {now}
    for value in sorted(
        values, key=lambda value: (abs(value - now), value)
    ):  # of equally good ones the nearest is taken
        moved = replace(holder, **{name: value})
        if place == _CODE_CACHE:
            moved = replace(timing, code_cache=moved)
        elif place:
            moved = replace(timing, units=timing.units | {place: moved})
        yield moved
