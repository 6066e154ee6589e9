# SPDX-License-Identifier: Apache-2.0
"""Cycles of a window by its parts: each dispatch, and what is in none; estimated, and measured where the core counts.

>>> lines = account(counts, load("ibex"), vlen=0)                                            # doctest: +SKIP
>>> [(line.ordinal, line.estimate.cycles, line.measured) for line in lines]                  # doctest: +SKIP
[(0, 1204332, 1200126), (-1, 10231, 10277)]
"""

from __future__ import annotations

from dataclasses import dataclass

from springbok.engines.base import RUNTIME_SITES, Counts
from springbok.timing.description import Timing
from springbok.timing.estimate import Estimate, Limit, estimate, limit
from springbok.timing.operands import unknown


@dataclass(frozen=True)
class Line:
    """A dispatch, or `RUNTIME_SITES`. ``measured`` cycles are None where the engine has no core's own to count;
    ``unknown`` are executions of instructions that the estimate can only take for one of the ``alu``."""

    ordinal: int
    instructions: int
    estimate: Estimate
    limit: Limit
    measured: int | None
    unknown: int = 0

    @property
    def error(self) -> float | None:
        """Estimated over measured cycles, less one."""
        return self.estimate.cycles / self.measured - 1 if self.measured else None


def account(counts: Counts, timing: Timing, vlen: int, xlen: int = 32) -> list[Line]:
    """A line a part of all windows in ``counts``, most cycles first. ``vlen`` and ``xlen`` are in bits.

    ``counts`` have sites. What is in no dispatch has the marks of dispatches too: so instructions of lines sum up to
    those of the windows.
    """
    rest = sum(each.instructions for each in counts.inferences)
    rest -= sum(each.instructions for each in counts.dispatches.values())
    lines, whole = [], _sum_or_none([inference.cycles for inference in counts.inferences])
    for ordinal, sites in counts.sites.items():
        dispatch = counts.dispatches.get(ordinal)
        measured = dispatch.cycles if dispatch else None
        if ordinal == RUNTIME_SITES and whole is not None:
            measured = whole - sum(each.cycles or 0 for each in counts.dispatches.values())
        calls = dispatch.calls if dispatch else len(counts.inferences)
        executed = dispatch.instructions if dispatch else rest
        lines.append(
            Line(
                ordinal,
                executed,
                estimate(sites, timing, vlen, calls, xlen),
                limit(sites, timing, vlen, xlen),
                measured,
                unknown(sites, xlen),
            )
        )
    return sorted(lines, key=lambda line: (-line.estimate.cycles, line.ordinal))


def _sum_or_none(values: list[int | None]) -> int | None:
    return None if None in values else sum(values)
