# SPDX-License-Identifier: Apache-2.0
"""Basic blocks and the ways between them, from how often each instruction was executed.

The engines count executions by address and vector configuration, not the order. What a branch did follows from the
counts: what enters a block leaves it (Kirchhoff). Where counts alone leave several answers, a backward branch is taken
to have been taken as often as it can have been.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from springbok.engines.base import Site
from springbok.timing.operands import Operation, Unit, operation


@dataclass(frozen=True)
class Variant:
    """A block's operations under the configurations that they met together, and how often."""

    executions: int
    operations: tuple[Operation, ...]


@dataclass
class Block:
    """Instructions that are executed one after the other.

    ``taken`` and ``passed`` are how often its last one jumped, or the block below followed. ``entries`` says how often
    each other block came before it (by its first address; None is what comes from elsewhere: calls and returns).
    ``end`` is the address behind it.
    """

    start: int
    end: int
    executions: int
    variants: tuple[Variant, ...]
    target: int | None = None
    jumps: bool = False
    taken: int = 0
    passed: int = 0
    entries: dict[int | None, int] = field(default_factory=dict)

    @property
    def is_conditional(self) -> bool:
        """Whether it ends with a branch that need not be taken."""
        return self.variants[0].operations[-1].is_conditional

    @property
    def is_call(self) -> bool:
        """Whether it ends with a jump that is returned from: to the block below, as often."""
        last = self.variants[0].operations[-1]
        return last.jumps and not last.is_conditional and bool(last.writes)

    @property
    def is_return(self) -> bool:
        """Whether it ends with a jump to where a call wanted to be returned to."""
        last = self.variants[0].operations[-1]
        return last.jumps and self.target is None and not last.writes and last.reads in (("x1",), ("x5",))


def blocks(sites: Iterable[Site], vlen: int, waits: Sequence[tuple[int, int]] = (), xlen: int = 32) -> list[Block]:
    """The blocks of what was executed, by address; ``vlen`` in bits, as is ``xlen`` of the core's registers.

    ``waits`` are those of each region (see `Operation.wait`); an instruction that reached several waits their mean.
    """
    executed = _executed(sites, waits)
    words = {pc: operation(word, vl, vtype, vlen, xlen) for pc, (_, word, vl, vtype, _, _) in executed.first.items()}
    leaders = {pc + each.target for pc, each in words.items() if each.target is not None}
    groups: list[list[int]] = []
    end, times = None, 0  # of the instruction before, where another one may follow it in its block
    for pc, (_, word, _, _, count, _) in sorted(executed.first.items()):
        if pc == end and count == times and pc not in leaders:
            groups[-1].append(pc)
        else:
            groups.append([pc])
        end, times = None if words[pc].jumps else pc + _size(word), count
    made = [_block(group, executed, words, (vlen, xlen)) for group in groups]
    _find_ways(made)
    return made


@dataclass
class _Executed:
    """What was executed by address: ``first`` with all its executions, under its first configuration; each one's where
    they are ``several``; and the waits of what has some."""

    first: dict[int, Site]
    several: dict[int, list[Site]]
    waited: dict[int, tuple[int, int]]

    def configurations(self, pc: int) -> Sequence[Site]:
        return self.several.get(pc) or (self.first[pc],)


def _executed(sites: Iterable[Site], waits: Sequence[tuple[int, int]]) -> _Executed:
    """The sites by address and configuration, whatever they reached."""
    waited: dict[int, list[int]] = {}
    if waits:  # else each is there once
        executions: dict[tuple[int, int, int, int], int] = defaultdict(int)
        for site in sites:
            executions[site[:4]] += site.executions
            if site.executions and site.region:
                sums = waited.setdefault(site.pc, [0, 0])
                for place, cycles in enumerate(waits[site.region - 1]):
                    sums[place] += cycles * site.executions
        sites = [Site(*place, count) for place, count in executions.items()]
    found = _Executed({}, {}, {})
    for site in sites:
        if not site.executions:
            continue
        if site.pc in found.first:
            found.several.setdefault(site.pc, [found.first[site.pc]]).append(site)
        else:
            found.first[site.pc] = site
    for pc, met in found.several.items():
        found.first[pc] = met[0]._replace(executions=sum(site.executions for site in met))
    for pc, (one, more) in waited.items():
        total = found.first[pc].executions
        found.waited[pc] = round(one / total), round(more / total)
    return found


@lru_cache(maxsize=1 << 16)
def _waiting(each: Operation, wait: int, wait_next: int) -> Operation:
    return each._replace(wait=wait, wait_next=wait_next)


def _size(word: int) -> int:
    return 4 if word & 3 == 3 else 2


def _block(pcs: Sequence[int], executed: _Executed, words: dict[int, Operation], widths: tuple[int, int]) -> Block:
    last = words[pcs[-1]]
    target = pcs[-1] + last.target if last.target is not None else None
    end = pcs[-1] + _size(executed.first[pcs[-1]].word)
    variants = _variants(pcs, executed, words, widths)
    return Block(pcs[0], end, executed.first[pcs[0]].executions, variants, target, last.jumps)


def _variants(
    pcs: Sequence[int], executed: _Executed, words: dict[int, Operation], widths: tuple[int, int]
) -> tuple[Variant, ...]:
    """Between two ``vset*`` all vector instructions have one configuration; which of one segment goes with which of the
    next one is not counted: the most frequent with the most frequent."""
    first, waited = executed.first, executed.waited
    segments: list[list[int]] = [[]]
    for pc in pcs:
        segments[-1].append(pc)
        if words[pc].unit is Unit.VECTOR_CONFIGURE:
            segments.append([])
    choices = []  # of each segment: configurations with their executions, most frequent first
    for segment in segments:
        vector = next((pc for pc in segment if words[pc].unit.is_vector), None)
        met = executed.configurations(vector) if vector is not None else ()
        choices.append(sorted(((site.executions, (site.vl, site.vtype)) for site in met), reverse=True))
    left = [[count for count, _ in choice] for choice in choices]
    variants = []
    total = first[pcs[0]].executions
    while total > 0:
        which = [next((n for n, count in enumerate(counts) if count), None) for counts in left]
        times = min([counts[n] for counts, n in zip(left, which, strict=True) if n is not None] + [total])
        operations = []
        for segment, choice, number in zip(segments, choices, which, strict=True):
            vl, vtype = choice[number][1] if number is not None else (0, 0)
            for pc in segment:
                each = words[pc]
                if each.unit.is_vector and first[pc][2:4] != (vl, vtype):
                    each = operation(first[pc].word, vl, vtype, *widths)
                operations.append(_waiting(each, *waited[pc]) if pc in waited else each)
        variants.append(Variant(times, tuple(operations)))
        total -= times
        for counts, number in zip(left, which, strict=True):
            if number is not None:
                counts[number] -= times
    return tuple(variants)


def _find_ways(all_blocks: list[Block]) -> None:
    """Solves how often each branch was taken, and fills in what comes from where."""
    by_start = {block.start: block for block in all_blocks}
    below = {block.start: by_start.get(block.end) for block in all_blocks}
    known: dict[int, int] = {}  # times taken, by the block's start
    for block in all_blocks:
        if not block.jumps:
            known[block.start] = 0
        elif not block.is_conditional:
            known[block.start] = block.executions
        elif block.target not in by_start:  # with nothing below either it leads out, as branches do that are taken
            known[block.start] = 0 if below[block.start] is not None else block.executions
    comes_from = defaultdict(list)
    for block in all_blocks:
        if block.target in by_start:
            comes_from[block.target].append(block)
    _solve(all_blocks, known, comes_from, below)
    for block in all_blocks:
        block.taken = min(block.executions, max(0, known[block.start]))
        block.passed = block.executions - block.taken
        if block.jumps and not block.is_conditional:
            block.passed = 0
        if block.passed and below[block.start] is not None:
            below[block.start].entries[block.start] = block.passed
        if block.taken and block.target in by_start:
            entries = by_start[block.target].entries
            entries[block.start] = entries.get(block.start, 0) + block.taken
    for block in all_blocks:
        others = block.executions - sum(block.entries.values())
        if others > 0:
            block.entries[None] = others


def _solve(
    all_blocks: list[Block], known: dict[int, int], comes_from: dict[int, list[Block]], below: dict[int, Block | None]
) -> None:
    """A block that is entered by known ways but one tells that one; what stays open is guessed, backward ones first."""
    by_start = {block.start: block for block in all_blocks}
    above = {under.start: by_start[start] for start, under in below.items() if under is not None}
    unknown = [block for block in all_blocks if block.start not in known]
    guesses = iter(sorted(unknown, key=lambda block: (block.target > block.start, block.start)))
    asked = deque(all_blocks[1:])  # what comes first is entered from elsewhere
    while len(known) < len(all_blocks):
        if asked:
            block = asked.popleft()
            start = _tells(block, known, comes_from[block.start], above)
        else:
            guessed = next(block for block in guesses if block.start not in known)
            start, jumps = guessed.start, guessed.target <= guessed.start or below[guessed.start] is None
            known[start] = _most(guessed, by_start[guessed.target], known, comes_from, above) if jumps else 0
        if start is not None:
            reached = (by_start.get(by_start[start].target), below[start])
            asked.extend(block for block in reached if block is not None and block is not all_blocks[0])


def _most(
    guessed: Block, head: Block, known: dict[int, int], comes_from: dict[int, list[Block]], above: dict[int, Block]
) -> int:
    """How often a branch can have been taken, as far as the other ways to where it leads are known. A loop is entered
    once at least: its head has been executed before it is jumped back to. A branch right before the head that could
    pass it by is taken to have never done so: the loop's guard, against no turn at all."""
    backward = sum(known.get(each.start, 0) for each in comes_from[head.start] if each.start >= head.start)
    entered = sum(known.get(each.start, 0) for each in comes_from[head.start] if each.start < head.start)
    over = above.get(head.start)
    is_backward = guessed.start >= head.start
    falls = over is not None and over is not guessed and not over.is_call
    if falls and (over.start in known or (is_backward and _is_loop(head, guessed, comes_from))):
        entered += over.executions - known.get(over.start, 0)
    if is_backward:
        entered = max(entered, 1)
    return max(0, min(guessed.executions, head.executions - backward - entered))


def _is_loop(head: Block, latch: Block, comes_from: dict[int, list[Block]]) -> bool:
    """Whether nothing jumps in between from outside, as to what was only moved out of the way."""
    return all(
        head.start <= each.start <= latch.start
        for start, sources in comes_from.items()
        if head.start < start <= latch.start
        for each in sources
    )


def _tells(block: Block, known: dict[int, int], comes_from: list[Block], above: dict[int, Block]) -> int | None:
    """The block whose way into this one was the only one not known: it follows from executions, and is known now."""
    ways = [(each.start, 0, 1) for each in comes_from]  # taken: executions are what is sought
    over = above.get(block.start)
    if over is not None and not (over.jumps and not over.is_conditional):
        ways.append((over.start, over.executions, -1))  # passed: executions without what was taken
    open_ways = {start for start, _, _ in ways if start not in known}
    if len(open_ways) != 1:
        return None
    (start,) = open_ways
    factor = sum(sign for each, _, sign in ways if each == start)
    if factor == 0:
        return None
    returned = over.executions if over is not None and over.is_call else 0
    sum_of_known = returned + sum(base + sign * known.get(each, 0) for each, base, sign in ways)
    known[start] = (block.executions - sum_of_known) // factor
    return start
