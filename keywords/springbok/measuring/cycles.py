# SPDX-License-Identifier: Apache-2.0
"""Estimated cycles of an inference, as metrics hold them: by dispatch, with what they went to and by which description.

They are no measurement, and stand in fields of their own: never in those of cycles that a core's RTL counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from springbok.chips.chip import Chip
from springbok.engines.base import RUNTIME_SITES, Counts
from springbok.measuring.performance import exact_mean
from springbok.timing.account import Line, account, notes
from springbok.timing.description import Timing


@dataclass(frozen=True)
class EstimatedCycles:
    """Means over ``inferences``, by ``timing``. ``lines`` are those of dispatches and of the runtime."""

    timing: Timing
    inferences: int
    lines: Mapping[int, Line]
    notes: Sequence[str] = ()

    def of_dispatch(self, ordinal: int) -> dict[str, Any] | None:
        """A dispatch's (or `RUNTIME_SITES`): cycles, ``where`` they go, and the limit; None where it did not run."""
        line = self.lines.get(ordinal)
        if line is None:
            return None
        return {
            "estimated_cycles": self._mean(line.estimate.cycles),
            "where": self._where(line.estimate.where),
            "limit_cycles": self._mean(line.limit.cycles),
            "limited_by": line.limit.by,
            "bytes": self._mean(line.work.bytes),
            "products": self._products(line),
        }

    def _products(self, line: Line) -> dict[str, dict[str, float]]:
        """By unit and by the bits of an element."""
        found: dict[str, dict[str, float]] = {}
        for (unit, bits), times in line.work.products.items():
            found.setdefault(unit.value, {})[str(bits)] = self._mean(times)
        return found

    def whole(self) -> dict[str, Any]:
        """The inference's, with the description, and the runtime's own share."""
        where: Counter[str] = Counter()
        for line in self.lines.values():
            where.update(line.estimate.where)
        return {
            "timing": self.timing.as_json(),
            "estimated_cycles": self._mean(sum(where.values())),
            "where": self._where(where),
            "limit_cycles": self._mean(sum(line.limit.cycles for line in self.lines.values())),
            "runtime": self.of_dispatch(RUNTIME_SITES),
            "notes": list(self.notes),
        }

    def _where(self, cycles: Mapping[str, int]) -> dict[str, float]:
        return {name: self._mean(each) for name, each in sorted(cycles.items(), key=lambda item: (-item[1], item[0]))}

    def _mean(self, cycles: int) -> float:
        return exact_mean(cycles, self.inferences)


def estimated_cycles(counts: Counts, timing: Timing, vlen: int, chip: Chip) -> EstimatedCycles:
    """The cycles of all inferences in ``counts``, which have sites; ``vlen`` of the ``chip``'s registers in bits."""
    lines = {line.ordinal: line for line in account(counts, timing, vlen, chip.xlen)}
    names = {ordinal: f"dispatch {ordinal}" for ordinal in lines} | {RUNTIME_SITES: "the runtime"}
    said = notes(list(lines.values()), timing, chip, names)
    return EstimatedCycles(timing, len(counts.inferences), lines, said)
