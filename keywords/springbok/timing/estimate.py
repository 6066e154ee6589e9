# SPDX-License-Identifier: Apache-2.0
"""Cycles of what was executed in one place, by a description of the pipeline, and where they go.

The blocks pass through the pipeline in an order in which they may have been executed (`springbok.timing.walk`), and
what one leaves under way meets the next. A block's cycles are the mean of its executions in that order, times how often
it was executed. The estimate is a matter of counts and description alone: the same in every run.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from springbok.engines.base import Site
from springbok.timing.blocks import Block, blocks
from springbok.timing.code_cache import Fetching
from springbok.timing.description import MULTIPLIES, Timing
from springbok.timing.operands import Executed, Unit, executed, operation
from springbok.timing.scoreboard import ISSUE, MEMORY, Pipeline, State, run
from springbok.timing.walk import Step, Walk

BRANCHES, DRAIN, FETCH = "branches", "drain", "fetch"
_MOST_TURNS = 4096
_IDLE = State()
#: Sums of shares are as exact as floating point.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Estimate:
    """``where`` says what the cycles went to, and sums up to them. ``is_settled`` is False where a loop had not come to
    repeat within the bound of what is simulated."""

    cycles: int
    where: dict[str, int] = field(default_factory=dict)
    is_settled: bool = True


def estimate(sites: Iterable[Site], timing: Timing, vlen: int, xlen: int = 32) -> Estimate:
    """The cycles of all executions in ``sites``; ``vlen`` and ``xlen`` (of the core's registers) in bits.

    What is under way where the code is left is waited for, in ``drain``. They are no fewer than those of the `limit`:
    where an order stands for many executions, its mean could be less by some.
    """
    sites = tuple(sites)
    return estimate_above(limit(sites, timing, vlen, xlen), sites, Pipeline(timing), vlen, xlen)


def estimate_above(least: Limit, sites: Sequence[Site], pipeline: Pipeline, vlen: int, xlen: int) -> Estimate:
    """The same where the `limit` is known, and by a pipeline that other places may share."""
    found = along_an_order(sites, pipeline, vlen, xlen)
    if (missing := least.cycles - found.cycles) <= 0:
        return found
    where = {**found.where, DRAIN: found.where.get(DRAIN, 0) + missing}
    return Estimate(found.cycles + missing, dict(sorted(where.items())), found.is_settled)


def along_an_order(sites: Iterable[Site], pipeline: Pipeline, vlen: int, xlen: int = 32) -> Estimate:
    """The cycles that an order of the executions comes to."""
    timing = pipeline.timing
    found = blocks(sites, vlen, [(region.wait, region.wait_next) for region in timing.regions], xlen)
    runner = _Runner(found, pipeline)
    fetching = Fetching(timing.code_cache, found) if timing.code_cache else None
    walk = Walk(found, runner.pass_through, runner.number(_IDLE), fetching and fetching.fetch)
    where: Counter[str] = Counter({FETCH: walk.waited} if fetching else {})
    for (number, variant), went in _means(walk, runner).items():
        for name, cycles in went.items():
            where[name] += cycles * found[number].variants[variant].executions
    for block in found:
        for taken, times in ((True, block.taken), (False, block.passed)):
            where[BRANCHES] += times * _way(block, timing, taken)
    for step, times in walk.weights.items():
        if step.variant is None and not step.taken:
            times *= walk.share(step.block)  # noqa: PLW2901 (the end of so many)
            where[ISSUE] += times
            where[DRAIN] += times * max(0, runner.states[step.state].under_way - 1)
    return Estimate(*_whole(where), walk.is_settled)


def _means(walk: Walk, runner: _Runner) -> dict[tuple[int, int], Counter[str]]:
    """What an execution of each variant of each block goes to."""
    sums: dict[tuple[int, int], Counter[str]] = {}
    weights: Counter[tuple[int, int]] = Counter()
    for step, times in walk.weights.items():
        if step.variant is not None:
            weights[step.block, step.variant] += times
            into = sums.setdefault((step.block, step.variant), Counter())
            for name, cycles in runner.went(step).items():
                into[name] += cycles * times
    found = {}
    for number, block in enumerate(runner.found):
        for variant in range(len(block.variants)):
            place = number, variant
            if place not in sums:  # too rare to be met in the order
                sums[place], weights[place] = runner.went(Step(*place, runner.number(_IDLE), False)), 1
            found[place] = Counter({name: cycles / weights[place] for name, cycles in sums[place].items()})
    return found


def _whole(where: Counter[str]) -> tuple[int, dict[str, int]]:
    """Cycles, rounded up, and what they went to: whole numbers that sum up to them."""
    cycles = math.ceil(sum(where.values()) - _ROUNDING)
    whole = {name: math.floor(times + _ROUNDING) for name, times in where.items()}
    missing = cycles - sum(whole.values())
    for name in sorted(where, key=lambda name: (whole[name] - where[name], name))[:missing]:
        whole[name] += 1
    return cycles, {name: times for name, times in sorted(whole.items()) if times}


def _way(block: Block, timing: Timing, taken: bool) -> int:
    """Cycles that the way out of a block costs beside the instruction."""
    backward = block.target is not None and block.target <= block.start
    return timing.way(block.jumps, block.is_conditional, backward, taken, block.target is None)


def turn(block: Block, timing: Timing) -> float:
    """Cycles of one execution of a block that follows itself again and again, under its most frequent configuration and
    without those of the branch."""
    steps, state = Pipeline(timing).steps(block.variants[0].operations), _IDLE
    seen: dict[tuple, int] = {}
    turns: list[int] = []
    while state.key not in seen and len(turns) < _MOST_TURNS:
        seen[state.key] = len(turns)
        cycles, state, _ = run(steps, timing, state)
        turns.append(cycles)
    repeated = turns[seen.get(state.key, len(turns) // 2) :]
    return sum(repeated) / len(repeated)


@dataclass(frozen=True)
class Limit:
    """The fewest cycles in which a machine of these units could do what was executed, and what sets them.

    ``by`` is ``products`` (multiplications, divided by the lanes that multiply), ``bytes`` (divided by the ports of
    memory), or ``issue`` (scalar instructions, divided by the width).
    """

    cycles: int
    by: str


@dataclass(frozen=True)
class Work:
    """What sets the limit: ``products`` by unit and by the bits of an element, ``bytes`` of the ports' accesses (a
    scalar one takes all of a port), and ``scalar`` instructions."""

    products: dict[tuple[Unit, int], int]
    bytes: int
    scalar: int

    def limit(self, timing: Timing) -> Limit:
        """The fewest cycles for it."""
        peaks = timing.peaks
        found = {
            "products": sum(
                times * bits / peaks["product_bits"][unit.value] for (unit, bits), times in self.products.items()
            ),
            "bytes": self.bytes / peaks["bytes"],
            "issue": self.scalar / timing.issue_width,
        }
        by = max(found, key=found.__getitem__)
        return Limit(math.ceil(found[by]), by)


def work(done: Executed, timing: Timing, vlen: int, xlen: int = 32) -> Work:
    """What was executed in one place has to do; ``vlen`` and ``xlen`` in bits."""
    products: Counter[tuple[Unit, int]] = Counter()
    moved = scalar = 0
    for (word, vl, vtype), times in done.items():
        each = operation(word, vl, vtype, vlen, xlen)
        if each.unit in MULTIPLIES and each.elements:
            products[each.unit, each.bits] += times * each.elements
        elif each.unit in MEMORY:
            moved += times * (each.elements * each.bits or timing.port_bits)
        if not each.unit.is_vector:
            scalar += times
    return Work(dict(sorted(products.items())), moved // 8, scalar)


def limit(sites: Iterable[Site], timing: Timing, vlen: int, xlen: int = 32) -> Limit:
    """The limit of the machine for what was executed in one place; ``vlen`` and ``xlen`` in bits."""
    return work(executed(sites), timing, vlen, xlen).limit(timing)


class _Runner:
    """Steps through a pipeline: of each distinct one once. What is under way is told by its number in ``states``."""

    def __init__(self, found: list[Block], pipeline: Pipeline) -> None:
        self.found, self.states = found, []
        self._timing = timing = pipeline.timing
        self._operations = [[pipeline.steps(variant.operations) for variant in block.variants] for block in found]
        self._ways = [(_way(block, timing, False), _way(block, timing, True)) for block in found]
        self._numbers: dict[tuple, int] = {}
        self._ran: dict[Step, tuple[int, Counter[str]]] = {}

    def number(self, state: State) -> int:
        """Equal for states behind which everything goes on alike."""
        found = self._numbers.setdefault(state.key, len(self.states))
        if found == len(self.states):
            self.states.append(state)
        return found

    def pass_through(self, step: Step) -> int:
        """What is under way behind a step and its branch."""
        ran = self._ran.get(step)
        if ran is None:
            operations = self._operations[step.block][step.variant]
            _, state, went = run(operations, self._timing, self.states[step.state])
            way = self._ways[step.block][step.taken]
            ran = self.number(state.after(way) if way else state), went
            self._ran[step] = ran
        return ran[0]

    def went(self, step: Step) -> Counter[str]:
        """What the cycles of a step went to, without those of its branch."""
        self.pass_through(step)
        return self._ran[step][1]
