# SPDX-License-Identifier: Apache-2.0
"""Cycles of what was executed in one place, by a description of the pipeline, and where they go.

Each distinct block and configuration is simulated with what its most frequent predecessor left under way; a loop, of
one block or of several, until what is under way repeats: from there on its cost is that of the turns in between. The
estimate is a matter of counts and description alone: the same in every run.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from springbok.engines.base import Site
from springbok.timing.blocks import Block, blocks
from springbok.timing.description import MULTIPLIES, Timing
from springbok.timing.operands import Operation, Unit, operation
from springbok.timing.scoreboard import MEMORY, Pipeline, State, run

BRANCHES, DRAIN = "branches", "drain"
#: Bounds of what is simulated until it repeats. A queue of vector instructions that fills takes as many turns as it has
#: places; behind the bound the later half of the turns stands for the rest.
_MOST_ROUNDS, _MOST_TURNS = 256, 4096
_Ran = tuple[int, State, "Counter[str]"]
_IDLE = State()


@dataclass(frozen=True)
class Estimate:
    """``where`` says what the cycles went to, and sums up to them. ``is_settled`` is False where a loop had not come to
    repeat within the bound of what is simulated."""

    cycles: int
    where: dict[str, int] = field(default_factory=dict)
    is_settled: bool = True


def estimate(sites: Iterable[Site], timing: Timing, vlen: int, calls: int = 1, xlen: int = 32) -> Estimate:
    """The cycles of all executions in ``sites``; ``vlen`` and ``xlen`` (of the core's registers) in bits.

    ``calls`` is how often the code was entered.
    """
    found = blocks(sites, vlen, [(region.wait, region.wait_next) for region in timing.regions], xlen)
    runner = _Runner(timing)
    rounds, left = _rounds(found, runner)
    where: Counter[str] = Counter()
    for block in found:
        for costs in rounds:
            for name, cycles in costs[block.start].items():
                where[name] += cycles / len(rounds)
        last = block.variants[0].operations[-1]
        backward = block.target is not None and block.target <= block.start
        for taken, times in ((True, block.taken), (False, block.passed)):
            where[BRANCHES] += times * timing.way(last.jumps, last.is_conditional, backward, taken)
    if found:
        where[DRAIN] += calls * max((left[block.start].under_way for block in found if _leaves(block)), default=0)
    rounded = {name: round(cycles) for name, cycles in sorted(where.items()) if round(cycles)}
    return Estimate(sum(rounded.values()), rounded, runner.all_settled)


def turn(block: Block, timing: Timing) -> float:
    """Cycles of one execution of a block that follows itself again and again, under its most frequent configuration and
    without those of the branch."""
    turns, _, steady = _turns(_Runner(timing), block.variants[0].operations, _IDLE, _MOST_TURNS)
    repeated = turns[steady:]
    return sum(sum(each.values()) for each in repeated) / len(repeated)


def _leaves(block: Block) -> bool:
    """Whether the code may be left behind it."""
    return block.jumps and block.target is None


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


def work(sites: Iterable[Site], timing: Timing, vlen: int, xlen: int = 32) -> Work:
    """What was executed in one place has to do; ``vlen`` and ``xlen`` in bits."""
    products: Counter[tuple[Unit, int]] = Counter()
    moved = scalar = 0
    for site in sites:
        each = operation(site.word, site.vl, site.vtype, vlen, xlen)
        if each.unit in MULTIPLIES and each.elements:
            products[each.unit, each.bits] += site.executions * each.elements
        elif each.unit in MEMORY:
            moved += site.executions * (each.elements * each.bits or timing.port_bits)
        if not each.unit.is_vector:
            scalar += site.executions
    return Work(dict(sorted(products.items())), moved // 8, scalar)


def limit(sites: Iterable[Site], timing: Timing, vlen: int, xlen: int = 32) -> Limit:
    """The limit of the machine for what was executed in one place; ``vlen`` and ``xlen`` in bits."""
    return work(sites, timing, vlen, xlen).limit(timing)


class _Runner:
    """Runs of operations through a pipeline: of equal ones from equal states once. ``all_settled`` says that each loop
    that was run came to repeat."""

    def __init__(self, timing: Timing) -> None:
        self.all_settled = True
        self._pipeline = Pipeline(timing)
        self._ran: dict[tuple, _Ran] = {}

    def __call__(self, operations: tuple[Operation, ...], state: State, key: tuple) -> _Ran:
        what = (id(operations), key)
        if what not in self._ran:
            self._ran[what] = run(self._pipeline.steps(operations), self._pipeline.timing, state)
        return self._ran[what]


def _entry(block: Block, left: dict[int, State]) -> State:
    """What the block's most frequent predecessor leaves under way."""
    before = max(
        ((times, start) for start, times in block.entries.items() if start is not None and start != block.start),
        default=(0, None),
    )[1]
    return left.get(before, _IDLE)


def _rounds(found: list[Block], runner: _Runner) -> tuple[list[dict[int, dict[str, float]]], dict[int, State]]:
    """By block, what its cycles went to in each of the rounds through all blocks that repeat, and what it leaves."""
    left: dict[int, State] = {}
    entries: dict[int, tuple] = {}
    costs: dict[int, dict[str, float]] = {}
    rounds: list[dict[int, dict[str, float]]] = []
    seen: dict[tuple, int] = {}
    while len(rounds) < _MOST_ROUNDS:
        key = tuple((start, state.key) for start, state in left.items())
        if key in seen:
            return rounds[seen[key] :], left
        seen[key] = len(rounds)
        for block in found:
            entry = _entry(block, left)
            if entries.get(block.start) != entry.key:
                entries[block.start] = entry.key
                costs[block.start], left[block.start] = _cost(block, runner, entry)
        rounds.append(dict(costs))
    runner.all_settled = False
    return rounds[len(rounds) // 2 :], left


def _cost(block: Block, runner: _Runner, entry: State) -> tuple[dict[str, float], State]:
    """What the cycles of all executions of a block went to, and what is under way behind its main variant."""
    again = block.entries.get(block.start, 0)
    where, behind = Counter(), _IDLE
    for number, variant in enumerate(block.variants):
        repeats = again / block.executions * variant.executions
        turns, state, steady = _turns(runner, variant.operations, entry, _MOST_TURNS if repeats else 1)
        for share, some in ((variant.executions - repeats, turns[:1]), (repeats, turns[steady:])):
            for went in some if share else ():
                for name, times in went.items():
                    where[name] += times / len(some) * share
        if number == 0:
            behind = state
    return where, behind


def _turns(
    runner: _Runner, operations: tuple[Operation, ...], state: State, most: int
) -> tuple[list[Counter[str]], State, int]:
    """What the cycles of each turn of a loop went to, the state behind, and the turn from which on they repeat."""
    turns: list[Counter[str]] = []
    seen: dict[tuple, int] = {}
    while len(turns) < most:
        key = state.key
        if key in seen:
            return turns, state, seen[key]
        seen[key] = len(turns)
        _, state, went = runner(operations, state, key)
        turns.append(went)
    runner.all_settled &= most == 1
    return turns, state, len(turns) // 2
