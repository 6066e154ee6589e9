# SPDX-License-Identifier: Apache-2.0
"""What of a program's order its counts do not tell, or the pipeline does not know: where an estimate may be far off.

>>> uncovered(counts.sites[7], xlen=32)                                                       # doctest: +SKIP
['calls itself (986 times)']
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from springbok.engines.base import Site
from springbok.timing.blocks import Block, blocks
from springbok.timing.operands import executed

#: Words that end a trap: mret and sret.
_TRAPS_END = (0x30200073, 0x10200073)


def uncovered(sites: Iterable[Site], xlen: int) -> list[str]:
    """Of what was executed in one place, each in some words, with how often; ``xlen`` in bits."""
    sites = tuple(sites)
    found = blocks(sites, 0, xlen=xlen)
    traps = sum(times for (word, _, _), times in executed(sites).items() if word in _TRAPS_END)
    told = {
        "calls itself": _recursive(found),
        "jumps to where a table or a pointer says": _pointed(found),
        "calls what does not return there": _not_returned(found),
        "returns from traps, whose begin costs nothing here": traps,
    }
    return [f"{what} ({times:,} times)" for what, times in told.items() if times]


def order_notes(parts: Mapping[int, Sequence[Site]], xlen: int, names: Mapping[int, str]) -> list[str]:
    """A sentence for each part whose estimate may be far off; ``names`` are those of the parts."""
    return [
        f"Counts do not tell all of the order of {names[part]}, which the estimate guesses: it {', '.join(told)}."
        for part, sites in parts.items()
        if (told := uncovered(sites, xlen))
    ]


def _recursive(found: Sequence[Block]) -> int:
    """Executions of calls that lead to the function which they are in, by others or at once."""
    by_start = {block.start: block for block in found}
    reached: dict[int, set[int]] = {}

    def leads_to(start: int) -> set[int]:
        """All blocks behind one, calls and what follows them included."""
        if start not in reached:
            seen, asked = set(), [start]
            while asked:
                block = by_start.get(asked.pop())
                if block is None or block.start in seen:
                    continue
                seen.add(block.start)
                if block.target is not None:
                    asked.append(block.target)
                if block.is_call or block.is_conditional or not block.jumps:
                    asked.append(block.end)
            reached[start] = seen
        return reached[start]

    calls = [block for block in found if block.is_call and block.target in by_start]
    return sum(block.executions for block in calls if block.start in leads_to(block.target))


def _pointed(found: Sequence[Block]) -> int:
    """Executions of jumps whose target the word does not tell, and which are no returns; of calls, where they may lead
    to several."""
    starts = [block for block in found if block.entries.get(None)]
    after_calls = {block.end for block in found if block.is_call}
    several = sum(block.start not in after_calls for block in starts) > 2  # the begin, and one that is called
    return sum(
        block.executions for block in found if block.jumps and block.target is None and not block.is_return and several
    )


def _not_returned(found: Sequence[Block]) -> int:
    """Executions of calls without a return, but for one each that the code may have been left in."""
    by_start = {block.start: block for block in found}
    missing = 0
    for block in found:
        if block.is_call:
            below = by_start.get(block.end)
            missing += max(0, block.executions - (below.executions if below else 0) - 1)
    return missing
