# SPDX-License-Identifier: Apache-2.0
"""An order in which blocks may have been executed, of which only is known how often each went where.

The order begins where code is entered from elsewhere and follows branches, calls and returns. At a branch the rarer way
is taken as evenly and as late as its share allows: a loop of 8 turns is left behind every eighth, and of a block in an
eighth of the turns every eighth turn has one. What comes to repeat is walked once, and counts as often as it repeats.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

from springbok.timing.blocks import Block

#: Bounds of what is walked: turns of one loop that do not come to repeat, and blocks in all.
MOST_TURNS, MOST_STEPS = 4096, 200_000
_EXACT, _TOLERANCE = 64, Fraction(1, 100)  # shares of larger denominators are taken for simpler ones as near as this
_WORTHWHILE = 4  # repetitions of what is no whole period of every branch
#: Executions of a block beyond its count, where shares were simplified.
_SLACK = 1.02


class Step(NamedTuple):
    """A block's execution: its place in the list, the place of its variant, what was under way at its begin, and
    whether it jumped. ``variant`` is None where a block was ``taken`` from elsewhere, and for the end of a walk that
    began at it."""

    block: int
    variant: int | None
    state: int
    taken: bool


class _Share:
    """Chooses one of two in a fixed share of cases, as evenly as it goes: ``at`` tells how near the next one is."""

    __slots__ = ("at", "chosen", "rare", "total")

    def __init__(self, rare: int, total: int, early: bool = False) -> None:
        share = _simple(Fraction(rare, total))
        self.rare, self.total = share.numerator, share.denominator
        self.at = self.total - self.rare if early else 0
        self.chosen = 0

    def choose(self) -> bool:
        self.at += self.rare
        if self.at < self.total:
            return False
        self.at -= self.total
        self.chosen += 1
        return True


def _simple(share: Fraction) -> Fraction:
    most = _EXACT
    while share.numerator > 1 and share.denominator > most:
        near = share.limit_denominator(most)
        if 0 < near < 1 and abs(near - share) <= _TOLERANCE * min(share, 1 - share):
            return near
        most *= 2
    return share


class _Place:
    """A block in the list: where it leads to, and what decides there."""

    def __init__(self, block: Block, numbers: dict[int, int]) -> None:
        last = block.variants[0].operations[-1]
        self.below, self.target = numbers.get(block.end), numbers.get(block.target)
        self.is_call, self.is_return = block.is_call, block.is_return
        self.is_open = last.jumps and block.target is None and not self.is_return  # through a pointer
        self.is_plain = not (self.is_call or self.is_return or self.is_open)
        self.most = block.executions * _SLACK + 1
        self.way: _Share | None = None
        self.rare_is_taken = False
        if block.taken and block.passed:
            self.rare_is_taken = block.taken < block.passed
            backward = block.target <= block.start
            rare = min(block.taken, block.passed)
            self.way = _Share(rare, block.taken + block.passed, early=backward and self.rare_is_taken)
        self.usually_taken = block.taken > 0 if self.way is None else not self.rare_is_taken
        order = sorted(range(len(block.variants)), key=lambda number: (block.variants[number].executions, number))
        left, self.variants = sum(variant.executions for variant in block.variants), []
        for number in order[:-1]:
            times = block.variants[number].executions
            self.variants.append((_Share(times, left), number))
            left -= times
        self.main_variant = order[-1]
        self.shares = [share for share, _ in self.variants] + ([self.way] if self.way else [])
        #: Passed, taken: by variant and by what was under way, the step and what is under way behind it.
        self.known: tuple[dict[tuple[int, int], tuple[Step, int]], ...] = ({}, {})

    def variant(self) -> int:
        for share, number in self.variants:
            if share.choose():
                return number
        return self.main_variant

    def is_taken(self) -> bool:
        if self.way is None:
            return self.usually_taken
        return self.way.choose() == self.rare_is_taken


class _Moment(NamedTuple):
    """A begin of a loop's turn: how long the walk was, how far each share of the loop, and how often what pointers may
    lead to was entered."""

    steps: int
    state: int
    at: tuple[int, ...]
    chosen: tuple[int, ...]
    entered: tuple[int, ...]


class _Loop:
    """Turns of what lies between a block and the last that jumps back to it."""

    def __init__(self, shares: list[_Share]) -> None:
        self.shares = shares
        self.enter()

    def enter(self) -> None:
        self.turns = 0
        self.mark: _Moment | None = None
        self.latest: dict[int, _Moment] = {}

    def moment(self, steps: int, state: int, entered: tuple[int, ...]) -> _Moment:
        at, chosen = tuple([each.at for each in self.shares]), tuple([each.chosen for each in self.shares])
        return _Moment(steps, state, at, chosen, entered)

    def repeats(self, before: _Moment, now: _Moment, most: int, exactly: bool = True) -> int:
        """How often what was done since ``before`` can follow before a share chooses otherwise than in it."""
        for share, old, new, once, again in zip(self.shares, before.at, now.at, before.chosen, now.chosen, strict=True):
            if once == again and new > old:
                most = min(most, (share.total - 1 - new) // (new - old))
            elif once != again and old != new and exactly:
                return 0
        return most

    def advance(self, before: _Moment, now: _Moment, times: int) -> None:
        for share, old, new, once, again in zip(self.shares, before.at, now.at, before.chosen, now.chosen, strict=True):
            if once == again:
                share.at += (new - old) * times


class Walk:
    """Goes through all of the blocks. ``simulate`` says what is under way behind a step, as a number.

    ``weights`` then tells how often each step was taken. ``fetch`` says how long a block waits for its code, whenever
    one is met; ``waited`` is the sum of that.
    """

    def __init__(
        self,
        found: Sequence[Block],
        simulate: Callable[[Step], int],
        idle: int,
        fetch: Callable[[int], int] | None = None,
    ) -> None:
        self.is_settled, self.waited, self._fetch = True, 0, fetch
        self._waits: list[tuple[int, int, int]] = []  # of what repeated: its places, and how long it waited for code
        self._found, self._simulate, self._idle = found, simulate, idle
        numbers = {block.start: number for number, block in enumerate(found)}
        self._places = [_Place(block, numbers) for block in found]
        self._shares = [share for place in self._places for share in place.shares]
        self._steps: list[Step] = []
        self._more: list[tuple[int, int]] = []  # of what was counted more than once: its place, how often more
        self._walked = 0
        self._visits = [0] * len(found)
        self._external = _external(found)
        self._callees = [number for number, times in enumerate(self._external) if times]
        if not any(place.is_open for place in self._places):
            self._callees = []  # no pointer leads to them
        self._entered: Counter[int] = Counter()
        self._loops: dict[int, _Loop] = {}
        last: dict[int, int] = {}
        for number, place in enumerate(self._places):
            if place.target is not None and place.target <= number and found[number].taken and not place.is_call:
                last[place.target] = number
        for head, end in last.items():
            self._loops[head] = _Loop([share for place in self._places[head : end + 1] for share in place.shares])
        self._last = last
        self._go()

    @property
    def weights(self) -> Counter[Step]:
        """How often each step was taken."""
        return self._counted(0)

    def share(self, number: int) -> float:
        """How many entries from elsewhere into a block one in the walk stands for."""
        return max(1.0, self._external[number] / self._entered[number])

    def _go(self) -> None:
        for start in self._starts():
            seen: dict[tuple[int, ...], tuple[int, int]] = {}
            while self._entered[start] < self._external[start] and self._has_room():
                key = tuple(share.at for share in self._shares)
                steps, entered = seen.get(key, (0, 0))
                left = self._external[start] - self._entered[start]
                if key in seen and (times := left // (self._entered[start] - entered)):
                    self._repeat(self._counted(steps), times, steps)
                else:
                    seen[key] = (len(self._steps), self._entered[start])
                    self._through(start)
        for number in range(len(self._found)):
            if not self._visits[number]:
                self._through(number)

    def _has_room(self) -> bool:
        self.is_settled &= self._walked < MOST_STEPS
        return self._walked < MOST_STEPS

    def _starts(self) -> Iterator[int]:
        """Where code is entered from elsewhere: first where functions are called through pointers."""
        callers = {number for number, place in enumerate(self._places) if place.is_open}
        led = set(callers)
        asked = list(callers)
        before: dict[int, list[int]] = {}
        for number, place in enumerate(self._places):
            for after in (place.below, place.target):
                if after is not None:
                    before.setdefault(after, []).append(number)
        while asked:
            for number in before.get(asked.pop(), ()):
                if number not in led:
                    led.add(number)
                    asked.append(number)
        entries = [number for number, times in enumerate(self._external) if times]
        yield from sorted(entries, key=lambda number: (number not in led, number))

    def _through(self, start: int) -> None:
        """One walk from a block that is entered from elsewhere until the code is left."""
        self._enter(start)
        state, stack = self._idle, []
        number: int | None = start
        for loop in self._loops.values():
            loop.enter()
        visits, loops, append, places, fetch = self._visits, self._loops, self._steps.append, self._places, self._fetch
        while number is not None:
            place = places[number]
            if visits[number] >= place.most:
                break
            if self._walked >= MOST_STEPS:
                self.is_settled = False
                break
            taken = place.is_taken() if place.way else place.usually_taken
            variant = place.variant() if place.variants else place.main_variant
            known = place.known[taken]
            found = known.get((variant, state))
            if found is None:
                step = Step(number, variant, state, taken)
                found = known[variant, state] = (step, self._simulate(step))
            step, state = found
            append(step)
            if fetch is not None:
                self.waited += fetch(number)
            visits[number] += 1
            self._walked += 1
            after = (place.target if taken else place.below) if place.is_plain else self._after(place, stack)
            if after in loops:
                self._turn(loops[after], after, number, state)
            number = after
        self._note(Step(start, None, state, False), 1)

    def _after(self, place: _Place, stack: list[int | None]) -> int | None:
        """Where a call, a return or a pointer leads to."""
        if place.is_return:
            return stack.pop() if stack else None
        goes_to = self._callee() if place.is_open else place.target
        if not place.is_call:
            return stack.pop() if goes_to is None and place.is_open and stack else goes_to
        if goes_to is None:
            return place.below
        stack.append(place.below)
        return goes_to

    def _callee(self) -> int | None:
        """The one of which the largest share of entries from elsewhere is left, for what a pointer may lead to."""
        left = [
            (1 - self._entered[n] / times, -n) for n, times in enumerate(self._external) if times > self._entered[n]
        ]
        if not left:
            return None
        number = -max(left)[1]
        self._enter(number)
        return number

    def _turn(self, loop: _Loop, head: int, before: int, state: int) -> None:
        if not head <= before <= self._last[head]:
            loop.enter()
            return
        loop.turns += 1
        now = loop.moment(len(self._steps), state, self._entered_callees())
        for old, least, exactly in self._earlier(loop, state):
            left = self._found[head].executions - self._visits[head]
            times = loop.repeats(old, now, left, exactly)
            if times >= least:
                times = self._with_callees(times, old, now, exactly)
            if times < least:
                continue
            done = self._counted(old.steps)
            if times := min(times, left // self._turns(done, head)):
                self._repeat(done, times, old.steps)
                self.is_settled &= exactly
                loop.advance(old, now, times)
                now = loop.moment(len(self._steps), state, self._entered_callees())
                break
        loop.latest[state] = now
        if loop.turns & (loop.turns - 1) == 0:
            loop.mark = now

    def _entered_callees(self) -> tuple[int, ...]:
        return tuple([self._entered[number] for number in self._callees]) if self._callees else ()

    def _with_callees(self, most: int, before: _Moment, now: _Moment, exactly: bool) -> int:
        """``most`` repetitions, or as often as what pointers led to since ``before`` is left: each by its share."""
        entered = [new - old for old, new in zip(before.entered, now.entered, strict=True)]
        if not any(entered):
            return most
        whole = [self._external[number] for number in self._callees]
        open_ones = [(e, w) for e, w, old in zip(entered, whole, before.entered, strict=True) if old < w]
        every, total = sum(e for e, _ in open_ones), sum(w for _, w in open_ones)
        if exactly and any(each * total != every * times for each, times in open_ones):
            return 0
        return min(most, *((w - new) // e for e, w, new in zip(entered, whole, now.entered, strict=True) if e))

    @staticmethod
    def _earlier(loop: _Loop, state: int) -> Iterator[tuple[_Moment, int, bool]]:
        """Begins of turns that this one may repeat, how often at least, and whether it must be exactly the same."""
        if loop.mark and loop.mark.state == state:
            yield loop.mark, 1, True
        if state in loop.latest:
            yield loop.latest[state], _WORTHWHILE, True
        if loop.mark and loop.turns >= MOST_TURNS and loop.turns & (loop.turns - 1) == 0:
            yield loop.mark, 1, False

    def _enter(self, number: int) -> None:
        self._entered[number] += 1
        self._note(Step(number, None, self._idle, True), 1)

    def _note(self, step: Step, times: int) -> None:
        if times != 1:
            self._more.append((len(self._steps), times - 1))
        self._steps.append(step)
        if step.variant is not None:
            self._visits[step.block] += times

    def _counted(self, since: int) -> Counter[Step]:
        counts = Counter(self._steps[since:])
        for place, more in self._more[bisect_left(self._more, (since, 0)) :]:
            counts[self._steps[place]] += more
        return counts

    def _waited_again(self, since: int) -> int:
        """How long what was done since a step waits for code in another turn, when all of it was met once."""
        waited, at = 0, since
        for begin, end, each in self._waits[bisect_left(self._waits, (since,)) :]:
            waited += self._waits_for(at, begin) + each
            at = end
        return waited + self._waits_for(at, len(self._steps))

    def _waits_for(self, begin: int, end: int) -> int:
        return sum(self._fetch(step.block) for step in self._steps[begin:end] if step.variant is not None)

    @staticmethod
    def _turns(done: Counter[Step], head: int) -> int:
        return sum(count for step, count in done.items() if step.block == head and step.variant is not None)

    def _repeat(self, done: Counter[Step], times: int, since: int) -> None:
        """Counts what was done ``since`` a step once more, so often."""
        begin = len(self._steps)
        waited = times * self._waited_again(since) if self._fetch is not None else 0
        self.waited += waited
        for step, count in done.items():
            self._note(step, count * times)
            if step.variant is None and step.taken:
                self._entered[step.block] += count * times
        self._waits.append((begin, len(self._steps), waited))


def _external(found: Sequence[Block]) -> list[int]:
    """How often each block was entered from elsewhere, without returns from what it calls."""
    returns: Counter[int] = Counter()
    for block in found:
        if block.is_call:
            returns[block.end] += block.executions
    return [max(0, block.entries.get(None, 0) - returns[block.start]) for block in found]
