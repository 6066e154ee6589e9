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
from springbok.timing.description import Timing
from springbok.timing.operands import Operation, Unit, operation
from springbok.timing.scoreboard import MEMORY, Pipeline, State, run

BRANCHES, DRAIN = "branches", "drain"
#: Bounds of what is simulated until it repeats. A queue of vector instructions that fills takes as many turns as it has
#: places; behind the bound the later half of the turns stands for the rest.
_MOST_ROUNDS, _MOST_TURNS = 256, 4096
_Ran = tuple[int, State, "Counter[str]"]
_IDLE = State()
_MULTIPLIES, _BYTES = (Unit.VECTOR_MULTIPLY, Unit.VECTOR_FLOAT), "bytes"


@dataclass(frozen=True)
class Estimate:
    """``where`` says what the cycles went to, and sums up to them."""

    cycles: int
    where: dict[str, int] = field(default_factory=dict)


def estimate(sites: Iterable[Site], timing: Timing, vlen: int, calls: int = 1, xlen: int = 32) -> Estimate:
    """The cycles of all executions in ``sites``; ``vlen`` and ``xlen`` (of the core's registers) in bits.

    ``calls`` is how often the code was entered.
    """
    found = blocks(sites, vlen, [(region.wait, region.wait_next) for region in timing.regions], xlen)
    rounds, left = _rounds(found, _Runner(timing))
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
    return Estimate(sum(rounded.values()), rounded)


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


def limit(sites: Iterable[Site], timing: Timing, vlen: int, xlen: int = 32) -> Limit:
    """The limit of the machine for what was executed in one place; ``vlen`` and ``xlen`` in bits."""
    bits: Counter[str] = Counter()
    for site in sites:
        each = operation(site.word, site.vl, site.vtype, vlen, xlen)
        if each.unit in _MULTIPLIES:
            bits[each.unit] += site.executions * each.elements * each.bits
        elif each.unit in MEMORY:
            bits[_BYTES] += site.executions * (each.elements * each.bits or timing.port_bits)
        if not each.unit.is_vector:
            bits["issue"] += site.executions
    found = {
        "products": sum(bits[unit] / (timing.datapath_bits * timing.units[unit].count) for unit in _MULTIPLIES),
        _BYTES: bits[_BYTES] / (timing.port_bits * timing.memory_ports),
        "issue": bits["issue"] / timing.issue_width,
    }
    by = max(found, key=found.__getitem__)
    return Limit(math.ceil(found[by]), by)


class _Runner:
    """Runs of operations through a pipeline: of equal ones from equal states once."""

    def __init__(self, timing: Timing) -> None:
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
    return turns, state, len(turns) // 2
