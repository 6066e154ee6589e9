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
from springbok.chips.opcodes import MARK_NAME
from springbok.engines.base import Counts, Engine
from springbok.session import create_engine
from springbok.support.errors import EngineError
from springbok.support.places import document

LIMIT_INSTRUCTIONS = 10_000_000_000
#: Waits of up to 20 ms. Nobody sends anything to a program that is measured: only its timer can end them.
MOST_IDLE_TURNS = 500
#: A program that traps so often is for another chip, and begins anew each time.
MOST_TRAPS = 10_000
_LOOK_SECONDS = 0.02
_TO_ITSELF, _SHORT_TO_ITSELF = 0x0000006F, 0xA001  # j ., c.j .


def count(elf: Path, chip: Chip, engine: str = "spike", limit: int = LIMIT_INSTRUCTIONS, **options: object) -> Counts:
    """What the program executed in its window.

    ``limit`` is in instructions that are executed until the window's end; ``options`` are the engine's. Raises
    EngineError where no window ends within it, or within `MOST_IDLE_TURNS` or `MOST_TRAPS`, or can end any more, with
    what the core does; where another one has ended by the time that it was seen; where it began again before its end;
    and where a part begins that does not end, or within another one.
    """
    with create_engine(engine, elf, chip=chip, count_sites=True, **options) as running:
        executed = -1
        while True:
            stays = _stays(running)  # asked first: what ended before is among the counts
            counts = running.take_counts()
            if counts is not None and counts.inferences:
                ended_at = counts.inferences[0].ended_at
                if ended_at > limit:  # the core is looked at now and then only
                    raise EngineError(
                        f"{elf}: its window ends after {ended_at:,} instructions: the limit is {limit:,}."
                    )
                return _checked(counts, elf)
            before, executed = executed, running.counters()["instructions"]
            if executed > limit or executed == before or running.idle_turns() > MOST_IDLE_TURNS:
                _refuse(elf, running, min(executed, limit), counts)
            if (traps := running.traps()) > MOST_TRAPS:
                _refuse(elf, running, executed, counts, f" It has trapped {traps:,} times: is it for this core?")
            if stays:
                _refuse(elf, running, executed, counts, " It jumps to itself there, and no interrupt is enabled.")
            time.sleep(_LOOK_SECONDS)


def _checked(counts: Counts, elf: Path) -> Counts:
    if len(counts.inferences) > 1:
        raise EngineError(
            f"{elf}: its window was there {len(counts.inferences)} times before it was seen, and how often is a matter "
            "of chance: let the program do nothing more behind mark 2 (for (;;) {})."
        )
    if counts.abandoned_inferences:
        raise EngineError(
            f"{elf}: its window began again before it had ended, {counts.abandoned_inferences} times: windows are not "
            "within windows; parts of one are marked by 3 and 4."
        )
    placed = sum(site.executions for sites in counts.sites.values() for site in sites)
    lost = counts.inferences[0].instructions - placed - counts.opcodes.get(MARK_NAME, 0)
    if lost > 0:
        raise EngineError(
            f"{elf}: {lost:,} instructions of its window are in a part that has no end: each mark 3 is followed by a "
            "mark 4 with the same number before the next mark 3, and before mark 2."
        )
    return counts


def _stays(running: Engine) -> bool:
    """Whether the core jumps to where it is, and nothing can take it away from there."""
    try:
        word = int.from_bytes(running.read_memory(running.registers()["pc"], 4), "little")
    except EngineError:  # no memory is there: it traps
        return False
    return (word == _TO_ITSELF or word & 0xFFFF == _SHORT_TO_ITSELF) and not running.takes_interrupts()


def _refuse(elf: Path, running: Engine, executed: int, counts: Counts | None, does: str = "") -> None:
    abandoned = counts.abandoned_inferences if counts else 0
    why = "a window began and did not end" if abandoned else "no window has ended"
    raise EngineError(
        f"{elf}: {why} within {executed:,} instructions. {running.diagnose()}{does} A window begins by mark 1 and ends "
        f"by mark 2: see {document('timing.md')}."
    )
