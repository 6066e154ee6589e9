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
from springbok.timing.description import Timing, UnitTiming
from springbok.timing.estimate import estimate
from springbok.timing.operands import Unit, operation

_STEPS = (1, -1, 2, -2, 4, -4, 8, -8, 16, -16)
_BRANCHES = ("branch_taken", "branch_mispredicted", "jump", "queue_latency")
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
    the plainest (every result in the next cycle, branches that cost nothing); ``vlen`` in bits."""
    units = [{timing.named(unit) for unit in each.units(vlen)} for each in measured]

    def error(found: Timing) -> float:
        return sum(each.error(found, vlen) ** 2 for each in measured)

    fitted = _moved(timing, measured, units, vlen)
    if not error(fitted):
        return fitted
    return min(fitted, _moved(_plain(timing, set().union(*units)), measured, units, vlen), key=error)


def _plain(timing: Timing, units: set[Unit]) -> Timing:
    figures = {unit: UnitTiming(1, count=timing.units[unit].count) for unit in units}
    return replace(timing, units=timing.units | figures, **dict.fromkeys(_BRANCHES, 0))


def _moved(timing: Timing, measured: Sequence[Measurement], units: Sequence[set[Unit]], vlen: int) -> Timing:
    errors = [each.error(timing, vlen) ** 2 for each in measured]
    for _ in range(_MOST_ROUNDS):
        moved = False
        for figure in _figures(set().union(*units)):
            concerned = [number for number in range(len(measured)) if figure[0] is None or figure[0] in units[number]]
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


def _figures(units: set[Unit]) -> Iterator[tuple[Unit | None, str]]:
    for name in _BRANCHES:
        yield None, name
    for unit in Unit:
        if unit in units:
            yield unit, "latency"
            yield unit, "interval"
            if not unit.is_vector:
                yield unit, "stall"


def _neighbours(timing: Timing, figure: tuple[Unit | None, str]) -> Iterator[Timing]:
    unit, name = figure
    now = getattr(timing if unit is None else timing.units[unit], name)
    least = 0 if unit is None or name == "stall" else 1  # no result is there in the cycle that it was begun in
    values = {max(least, now + step) for step in _STEPS} - {now}
    for value in sorted(
        values, key=lambda value: (abs(value - now), value)
    ):  # of equally good ones the nearest is taken
        if unit is None:
            yield replace(timing, **{name: value})
        else:
            yield replace(timing, units={**timing.units, unit: replace(timing.units[unit], **{name: value})})
