# SPDX-License-Identifier: Apache-2.0
"""An in-order pipeline, as far as it decides when an instruction can begin.

A scalar core issues up to some instructions a cycle, in order, each when its operands are there and its unit is free.
Vector instructions go into a queue, from which the vector unit begins them in order; it works on a group of registers
in several passes, and a dependent instruction may begin when the first pass is through (chaining).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from springbok.timing.description import Timing
from springbok.timing.operands import Operation, Unit

#: What a cycle went to, beside waiting for a unit or its result: a new instruction began.
ISSUE = "issue"
MEMORY = (Unit.LOAD, Unit.STORE, Unit.VECTOR_MEMORY)


class Step(NamedTuple):
    """An operation as one pipeline sees it: ``duration`` is how long its unit is occupied, ``passes`` how often it goes
    through it, ``tail`` the cycles from the begin to that of the last pass, ``stall`` those in which nothing is issued
    behind it."""

    is_vector: bool
    jumps: bool
    scalar_reads: tuple[str, ...]
    vector_reads: tuple[str, ...]
    scalar_writes: tuple[str, ...]
    vector_writes: tuple[str, ...]
    unit: str
    port: str
    ports: int
    latency: int
    duration: int
    tail: int
    passes: int
    stall: int


class Pipeline:
    """A description as the scoreboard uses it: what an operation comes to is worked out once."""

    def __init__(self, timing: Timing) -> None:
        self.timing = timing
        self._steps: dict[int, tuple[Operation, Step]] = {}  # by identity: equal ones are rarely two
        self._units = {unit: _figures(unit, timing) for unit in Unit}

    def steps(self, operations: Iterable[Operation]) -> list[Step]:
        """The operations for `run`."""
        return [(self._steps.get(id(each)) or self._keep(each))[1] for each in operations]

    def _keep(self, each: Operation) -> tuple[Operation, Step]:
        vector, reads, writes, wait = each.unit.is_vector, each.reads, each.writes, each.wait
        name, port, ports, latency, interval, stall = self._units[each.unit]
        vector_reads = vector_writes = ()
        passes = 1
        if vector:
            passes = self.timing.passes(each)
            vector_reads, reads = _parted(reads)
            vector_writes, writes = _parted(writes)
        duration, tail = passes * interval, (passes - 1) * interval
        if wait or each.wait_next:
            duration, tail = duration + wait + (passes - 1) * each.wait_next, tail + (passes - 1) * each.wait_next
        step = (vector, each.jumps, reads, vector_reads, writes, vector_writes, name, port, ports)
        kept = each, Step(*step, latency + wait, duration, tail, passes, stall)
        self._steps[id(each)] = kept
        return kept


def _figures(unit: Unit, timing: Timing) -> tuple[str, str, int, int, int, int]:
    """Of each operation of the unit: names of unit and port, ports, latency, interval, stall."""
    name = timing.named(unit)
    figures = timing.units[name]
    port, ports = ("memory", timing.memory_ports) if unit in MEMORY else (name.value, figures.count)
    return name.value, port, ports, figures.latency, figures.interval, figures.stall


def _parted(registers: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Those of vectors, and others."""
    vectors = tuple([each for each in registers if each[0] == "v"])
    return vectors, registers if not vectors else tuple([each for each in registers if each[0] != "v"])


@dataclass
class State:
    """What is under way when a block begins, in cycles from then on; what is not named is ready."""

    slots: int = 0  # instructions that were issued in this cycle
    ready: dict[str, tuple[int, int, str]] = field(default_factory=dict)  # register: first pass, last, by which unit
    free: dict[str, list[int]] = field(default_factory=dict)  # when each instance of a unit can begin
    queue: list[tuple[int, str]] = field(default_factory=list)  # when each waiting instruction begins, and why then
    vector: int = 0  # when the vector unit can begin the next one
    begun: int = 0  # passes that it has begun in that cycle already

    def after(self, cycles: int) -> State:
        """The same, told from ``cycles`` later; what is over is left out."""
        return State(
            self.slots,
            {
                name: (max(0, one - cycles), last - cycles, by)
                for name, (one, last, by) in self.ready.items()
                if last > cycles
            },
            {
                name: sorted([time - cycles if time > cycles else 0 for time in times])
                for name, times in self.free.items()
                if max(times) > cycles
            },
            [(time - cycles, why) for time, why in self.queue if time > cycles],
            max(0, self.vector - cycles),
            self.begun if self.vector >= cycles else 0,
        )

    def copy(self) -> State:
        """One that can be changed for itself."""
        free = {name: [*times] for name, times in self.free.items()}
        return State(self.slots, self.ready.copy(), free, self.queue, self.vector, self.begun)

    @property
    def key(self) -> tuple:
        """Equal for states behind which everything goes on alike."""
        return (
            self.slots,
            tuple(sorted(self.ready.items())),
            tuple(sorted((name, *times) for name, times in self.free.items())),
            tuple(self.queue),
            self.vector,
            self.begun,
        )

    @property
    def under_way(self) -> int:
        """Cycles until all is done: results are there, and units can begin again."""
        free = (time for times in self.free.values() for time in times)
        return max([0, self.vector, *(last for _, last, _ in self.ready.values()), *(t for t, _ in self.queue), *free])


def run(steps: Sequence[Step], timing: Timing, state: State) -> tuple[int, State, Counter[str]]:
    """Lets the steps pass. Returns cycles, what is under way then, and what the cycles went to."""
    state = state.copy()
    now, issued, where = 0, 0, Counter()
    width, ready = timing.issue_width, state.ready
    for each in steps:
        earliest = time = now + (state.slots >= width)
        why = ISSUE
        for register in each.scalar_reads:
            if register in ready and ready[register][1] > time:
                _, time, why = ready[register]
        if each.is_vector:
            time, why = _enqueue(each, timing, state, time, why)
        else:
            time, why = _begin(each, state, time, why)
            for register in each.scalar_writes:
                done = time + each.latency
                ready[register] = (done, done, each.unit)
        issued += earliest - now
        if time > earliest:
            where[why] += time - earliest
        state.slots = width if each.jumps or each.stall else 1 if time > now else state.slots + 1
        if each.stall:
            where[each.unit] += each.stall
        now = time + each.stall
    where[ISSUE] += issued
    return now, state.after(now), +where


def _begin(each: Step, state: State, time: int, why: str) -> tuple[int, str]:
    """When an instance of the unit is free; it is occupied from then on."""
    times = state.free.get(each.port)
    if times is None:
        times = state.free[each.port] = [0] * each.ports
    if each.ports == 1:
        earliest, place = times[0], 0
    else:
        earliest = min(times)
        place = times.index(earliest)
    if earliest > time:
        time, why = earliest, each.unit
    times[place] = time + each.duration
    return time, why


def _enqueue(each: Step, timing: Timing, state: State, time: int, why: str) -> tuple[int, str]:
    """The time at which the scalar core is rid of it; the vector unit begins it when it can."""
    state.queue = [entry for entry in state.queue if entry[0] > time]
    if len(state.queue) >= timing.queue:
        time, why = state.queue[-timing.queue]
        state.queue = [entry for entry in state.queue if entry[0] > time]
    begin, cause = max(time + timing.queue_latency, state.vector), ISSUE
    ready, last_operand = state.ready, 0
    for register in each.vector_reads:
        if register in ready:
            first, last, by = ready[register]
            last_operand = max(last_operand, last)
            needed = first if timing.chaining else last
            if needed > begin:
                begin, cause = needed, by
    begin, cause = _begin(each, state, begin, cause)
    first, last = begin + each.latency, max(begin + each.tail, last_operand) + each.latency
    for register in each.vector_writes:
        ready[register] = (first, last, each.unit)
    for register in each.scalar_writes:
        ready[register] = (last, last, each.unit)
    passes = each.passes + (state.begun if begin == state.vector else 0)
    state.vector, state.begun = begin + passes // timing.dispatch, passes % timing.dispatch
    state.queue.append((begin, cause if cause != ISSUE else each.unit))
    return time, why
