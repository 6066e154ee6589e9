# SPDX-License-Identifier: Apache-2.0
"""Cycles of a window by its parts: each dispatch, and what is in none; estimated, and measured where the core counts.

>>> lines = account(counts, load("ibex"), vlen=0, xlen=32)                                   # doctest: +SKIP
>>> [(line.ordinal, line.estimate.cycles, line.measured) for line in lines]                  # doctest: +SKIP
[(0, 1204332, 1200126), (-1, 10231, 10277)]
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from springbok.chips.chip import Chip
from springbok.chips.opcodes import UNKNOWN
from springbok.engines.base import RUNTIME_SITES, Counts
from springbok.timing.description import Timing
from springbok.timing.estimate import Estimate, Limit, Work, estimate_above, work
from springbok.timing.operands import Executed, Unit, executed, operation, unknown
from springbok.timing.scoreboard import Pipeline


@dataclass(frozen=True)
class Line:
    """A dispatch, or `RUNTIME_SITES`. ``measured`` cycles are None where the engine has no core's own to count;
    ``unknown`` are executions of instructions that the estimate can only take for one of the ``alu``, and ``unfitted``
    those of units that the description's calibration did not measure, by unit."""

    ordinal: int
    instructions: int
    estimate: Estimate
    work: Work
    limit: Limit
    measured: int | None
    unknown: int
    unfitted: Mapping[Unit, int]

    @property
    def error(self) -> float | None:
        """Estimated over measured cycles, less one."""
        return self.estimate.cycles / self.measured - 1 if self.measured else None


def account(counts: Counts, timing: Timing, vlen: int, xlen: int) -> list[Line]:
    """A line a part of all windows in ``counts``, most cycles first. ``vlen`` and ``xlen`` are in bits.

    ``counts`` have sites. What is in no dispatch has the marks of dispatches too: so instructions of lines sum up to
    those of the windows.
    """
    with _uncollected():
        return _account(counts, timing, vlen, xlen)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without Python's collector: it would search all sites for cycles again and again, and nothing here makes one."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _account(counts: Counts, timing: Timing, vlen: int, xlen: int) -> list[Line]:
    rest = sum(each.instructions for each in counts.inferences)
    rest -= sum(each.instructions for each in counts.dispatches.values())
    lines, pipeline, whole = [], Pipeline(timing), _sum_or_none([inference.cycles for inference in counts.inferences])
    for ordinal, sites in counts.sites.items():
        dispatch = counts.dispatches.get(ordinal)
        measured = dispatch.cycles if dispatch else None
        if ordinal == RUNTIME_SITES and whole is not None:
            measured = whole - sum(each.cycles or 0 for each in counts.dispatches.values())
        done = executed(sites)
        to_do = work(done, timing, vlen, xlen)
        least = to_do.limit(timing)
        lines.append(
            Line(
                ordinal,
                dispatch.instructions if dispatch else rest,
                estimate_above(least, sites, pipeline, vlen, xlen),
                to_do,
                least,
                measured,
                unknown(done, xlen),
                _unfitted(done, timing, xlen),
            )
        )
    return sorted(lines, key=lambda line: (-line.estimate.cycles, line.ordinal))


def _unfitted(done: Executed, timing: Timing, xlen: int) -> Counter[Unit]:
    found: Counter[Unit] = Counter()
    fitted = timing.calibration.units if timing.calibration else ()
    for (word, _, _), times in done.items() if fitted else ():
        each = operation(word, 0, 0, 0, xlen)
        if each.name != UNKNOWN and each.unit.value not in fitted:
            found[each.unit] += times
    return found


def notes(lines: Sequence[Line], timing: Timing, chip: Chip, names: Mapping[int, str]) -> list[str]:
    """What to keep in mind of an estimate for a chip, a sentence each; ``names`` are those of the lines."""
    found = []
    own = Path(chip.timing).stem
    if timing.name != own:
        named = f"names {own}" if own else "names none"
        found.append(f"{timing.name} is not the timing of {chip.name}, whose description {named}.")
    if unsettled := [names[line.ordinal] for line in lines if not line.estimate.is_settled]:
        found.append(
            f"Loops of {', '.join(unsettled)} had not come to repeat when the simulation ended: the later half of what "
            "was simulated stands for the rest of them."
        )
    if not_known := sum(line.unknown for line in lines):
        found.append(
            f"{not_known:,} of the instructions are not known to the estimate, which takes each for one of the alu "
            "that waits for nothing: cycles are too few where they take longer."
        )
    unfitted = sum((line.unfitted for line in lines), Counter())
    if unfitted:
        told = ", ".join(f"{unit.value} ({times:,})" for unit, times in sorted(unfitted.items()))
        found.append(f"The calibration did not measure units of some of the instructions: {told}.")
    return found


def _sum_or_none(values: list[int | None]) -> int | None:
    return None if None in values else sum(values)
