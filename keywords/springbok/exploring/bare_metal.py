# SPDX-License-Identifier: Apache-2.0
"""Runs any bare-metal program that marks what is to be counted: hand-written kernels, microbenchmarks.

A program marks as the firmware does (`springbok.engines.windows.Mark`): a window by events 1 and 2, its parts by 3 and
4 with a number each. It needs no UART, and may end as it likes: what follows the window is not waited for.

>>> counts = count(Path("kernels.elf"), load("springbok"))                                   # doctest: +SKIP
>>> counts.inferences[0].instructions                                                        # doctest: +SKIP
12034
"""

from __future__ import annotations

import time
from pathlib import Path

from springbok.chips.chip import Chip
from springbok.engines.base import Counts, Engine
from springbok.session import create_engine
from springbok.support.errors import EngineError

LIMIT_INSTRUCTIONS = 10_000_000_000
_LOOK_SECONDS = 0.02


def count(elf: Path, chip: Chip, engine: str = "spike", limit: int = LIMIT_INSTRUCTIONS, **options: object) -> Counts:
    """What the program executed in its first window, and in others that ended by the time that it was seen.

    ``limit`` is in instructions that are executed until the window's end; ``options`` are the engine's. Raises
    EngineError where no window ends within it, with what the core does.
    """
    with create_engine(engine, elf, chip=chip, count_sites=True, **options) as running:
        executed = -1
        while True:
            counts = running.take_counts()
            if counts is not None and counts.inferences:
                ended_at = counts.inferences[0].ended_at
                if ended_at > limit:  # the core is looked at now and then only
                    raise EngineError(
                        f"{elf}: its window ends after {ended_at:,} instructions: the limit is {limit:,}."
                    )
                return counts
            before, executed = executed, running.counters()["instructions"]
            if executed > limit or executed == before:
                _refuse(elf, running, min(executed, limit), counts)
            time.sleep(_LOOK_SECONDS)


def _refuse(elf: Path, running: Engine, executed: int, counts: Counts | None) -> None:
    abandoned = counts.abandoned_inferences if counts else 0
    why = "a window began and did not end" if abandoned else "no window has ended"
    raise EngineError(
        f"{elf}: {why} within {executed:,} instructions. {running.diagnose()} A window begins by mark 1 and ends by "
        "mark 2: see docs/timing.md."
    )
