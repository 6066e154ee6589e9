# SPDX-License-Identifier: Apache-2.0
"""Estimated cycles: what instructions read and write, the ways between blocks, the pipeline, descriptions, a model."""

import copy
import random
import re
from collections import Counter
from dataclasses import replace
from functools import reduce
from operator import getitem
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springbok.chips.description import load as load_chip
from springbok.cli.cycles import table
from springbok.compiler.compiler import compile_and_check
from springbok.engines.base import RUNTIME_SITES, Counts, InferenceCounts, Site
from springbok.engines.spike import SpikeEngine
from springbok.exploring import bare_metal, calibrate
from springbok.exploring.bare_metal import count
from springbok.firmware import build_program
from springbok.rtl.program import elf_of
from springbok.session import Session
from springbok.support.errors import EngineError
from springbok.support.places import MODELS, PLATFORMS, ROOT
from springbok.support.small_files import parse_toml
from springbok.tensors import TensorSpec
from springbok.timing import description
from springbok.timing.account import account, notes
from springbok.timing.blocks import blocks
from springbok.timing.calibration import Measurement, fit, mean_error, model_errors
from springbok.timing.description import LIKE, Calibration, CodeCache, Region, TimingError, UnitTiming, text
from springbok.timing.estimate import Limit, estimate, limit
from springbok.timing.loading import _timing, load, timing_of
from springbok.timing.microbenchmarks import TURNS, microbenchmarks, program
from springbok.timing.operands import Unit, operation
from springbok.timing.scoreboard import Pipeline, State
from springbok.timing.scoreboard import run as run_steps

E32M1, E32M2, E8MF4 = 0xD0, 0xD1, 0xC6
PLAIN, REGION = load("springbok_assumed"), Region("ddr", 0, 1, 1, 1)


class FakeSession:
    """Of a chip that counts nothing."""

    inferred = []

    def boot(self, *_, **__):
        pass

    load_model = shut_down = boot

    def need_engine(self):
        return SimpleNamespace(take_counts=lambda: None)

    def infer(self, *inputs, raw):
        self.inferred.append([each.shape for each in inputs])


def test_models_of_several_inputs_are_measured(monkeypatch):
    monkeypatch.setattr(calibrate, "Session", FakeSession)
    inputs = [TensorSpec(name, shape, "float32") for name, shape in (("a", (1, 3)), ("b", (1, 4)))]
    calibrate.inference(SimpleNamespace(inputs=inputs), "spike", 512)
    assert FakeSession.inferred == [[(1, 3), (1, 4)]] * 2


def addi(rd, rs, value):
    return (value & 0xFFF) << 20 | rs << 15 | rd << 7 | 0x13


def bne(one, other, offset):
    offset &= 0x1FFF
    high, low = offset >> 12 << 31 | (offset >> 5 & 0x3F) << 25, (offset >> 1 & 0xF) << 8 | (offset >> 11 & 1) << 7
    return high | other << 20 | one << 15 | 1 << 12 | low | 0x63


def run(operations, timing, state):
    return run_steps(Pipeline(timing).steps(operations), timing, state)


RET, LW, MUL = 0x00008067, 0x0005A503, 0x02C58533  # ret; lw a0, 0(a1); mul a0, a1, a2
MULH, WFI = 0x02C59533, 0x10500073


@pytest.mark.parametrize(
    ("word", "vtype", "name", "unit", "reads", "writes"),
    [
        (MUL, 0, "mul", Unit.MULTIPLY, "x11 x12", "x10"),
        (MULH, 0, "mulh", Unit.MULTIPLY_HIGH, "x11 x12", "x10"),
        (0x00000013, 0, "addi", Unit.ALU, "", ""),
        (LW, 0, "lw", Unit.LOAD, "x11", "x10"),
        (0x00A5A023, 0, "sw", Unit.STORE, "x11 x10", ""),
        (0x00A5A027, 0, "fsw", Unit.STORE, "x11 f10", ""),
        (0x60C58543, 0, "fmadd.s", Unit.FLOAT, "f11 f12 f12", "f10"),
        (0xE0058553, 0, "fmv.x.w", Unit.FLOAT, "f11", "x10"),
        (0xF0058553, 0, "fmv.w.x", Unit.FLOAT, "x11", "f10"),
        (0x02410457, E32M2, "vadd.vv", Unit.VECTOR_ALU, "v4 v5 v2 v3", "v8 v9"),
        (0x0205E407, E32M2, "vle32.v", Unit.VECTOR_MEMORY, "x11", "v8 v9"),
        (0x0205E427, E32M2, "vse32.v", Unit.VECTOR_MEMORY, "x11 v8 v9", ""),
        (0x42402557, E32M1, "vmv.x.s", Unit.VECTOR_PERMUTE, "v4", "x10"),
        (0x02412457, E32M2, "vredsum.vs", Unit.VECTOR_REDUCE, "v4 v5 v2", "v8"),
        (0xEE412457, E8MF4, "vwmul.vv", Unit.VECTOR_MULTIPLY, "v4 v2", "v8"),
        (0xB6412457, E32M1, "vmacc.vv", Unit.VECTOR_MULTIPLY, "v4 v2 v8", "v8"),
        (0x0005F557, 0, "vsetvli", Unit.VECTOR_CONFIGURE, "x11", "x10"),
    ],
)
def test_what_an_instruction_reads_and_writes(word, vtype, name, unit, reads, writes):
    found = operation(word, 16, vtype, 512)
    assert (found.name, found.unit) == (name, unit)
    assert (" ".join(found.reads), " ".join(found.writes)) == (reads, writes)


def test_what_a_vector_instruction_works_on():
    assert operation(0x02410457, 20, E32M2, 512).elements == 20
    assert operation(0xEE412457, 4, E8MF4, 512).bits == 16  # the product's
    assert operation(0x0AC5E407, 20, E32M2, 512).accesses == 20  # strided
    assert operation(0x0205E407, 20, E32M2, 512).accesses == 1


# ---- Blocks


def random_program(draw):
    """Random straight code with branches back and forth, by address; it ends with a return."""
    length = draw(st.integers(3, 14))
    words = {}
    for place in range(length):
        if draw(st.booleans()):
            target = draw(st.integers(0, length))
            words[4 * place] = bne(5, 6, 4 * (target - place)) if target != place else addi(5, 5, 1)
        else:
            words[4 * place] = addi(5, 5, 1)
    words[4 * length] = RET
    return words


@settings(deadline=None, max_examples=200)
@given(data=st.data(), seed=st.integers(0, 1 << 30))
def test_what_enters_a_block_leaves_it(data, seed):
    """A program is executed with branches at random: the solved ways conserve the counts, and are right where the
    counts leave one answer alone."""
    words = random_program(data.draw)
    chance = random.Random(seed)
    counts, pc = Counter(), 0
    for _ in range(2000):
        counts[pc] += 1
        target = operation(words[pc], 0, 0, 0).target
        if words[pc] == RET:
            break
        pc += target if target is not None and chance.random() < 0.4 else 4
    else:
        return  # it has not ended
    found = blocks([Site(pc, words[pc], 0, 0, times) for pc, times in counts.items()], 0)
    assert sum(block.executions * len(block.variants[0].operations) for block in found) == sum(counts.values())
    for block in found:
        assert block.executions == counts[block.start]
        assert 0 <= block.taken <= block.executions and 0 <= block.passed <= block.executions
        assert all(times > 0 for times in block.entries.values())
        if block.is_conditional and block.start + 4 * len(block.variants[0].operations) in counts:
            assert block.taken + block.passed == block.executions


def loop(times):
    """A counted loop of two instructions."""
    body = [(0x104, addi(6, 6, 1)), (0x108, addi(5, 5, -1)), (0x10C, bne(5, 0, -8))]
    ends = [Site(0x100, addi(5, 0, 100), 0, 0, 1), Site(0x110, RET, 0, 0, 1)]
    return [*(Site(pc, word, 0, 0, times) for pc, word in body), *ends]


def test_a_loop_is_left_once():
    first, body, last = blocks(loop(100), 512)
    assert (body.executions, body.taken, body.passed) == (100, 99, 1)
    assert body.entries == {0x100: 1, 0x104: 99}
    assert last.entries == {0x104: 1}


# ---- The pipeline


def test_an_instruction_a_cycle_and_what_a_branch_costs():
    found = estimate(loop(100), PLAIN, 512)
    # Three instructions and a taken branch 99 times; the last one was predicted wrong.
    assert found.where["issue"] == 302
    assert found.where["branches"] == 99 * PLAIN.branch_taken + PLAIN.branch_mispredicted + PLAIN.jump


def test_a_result_is_waited_for():
    lazy, keen = addi(13, 12, 1), addi(13, 10, 1)
    for user, waited in ((lazy, 0), (keen, PLAIN.units[Unit.LOAD].latency - 1)):
        cycles, _, where = run([operation(each, 0, 0, 512) for each in (LW, user)], PLAIN, State(slots=1))
        assert cycles == 2 + waited
        assert where["load"] == waited


def test_a_group_of_registers_occupies_its_unit_as_often_longer():
    def cycles(vtype, elements):
        multiplications = [operation(0x96412457, elements, vtype, 512)] * 64  # vmul.vv
        _, state, _ = run(multiplications, PLAIN, State())
        spent, left, _ = run(multiplications, PLAIN, state)
        return spent

    assert cycles(E32M2, 32) == 2 * cycles(E32M1, 16)


def test_a_shift_is_like_other_work_where_nothing_else_is_said():
    def cycles(word, units):
        steps = [operation(each, 0, 0, 0) for each in (word, addi(13, 12, 1))]
        return run(steps, replace(PLAIN, units=PLAIN.units | units), State(slots=1))[0]

    shifts = [0x00159613, 0x0015D613, 0x4015D613, 0x00D59633, 0x00D5D633, 0x40D5D633]  # slli srli srai sll srl sra
    for word in (addi(12, 11, 1), *shifts):
        late = {Unit.SHIFT: UnitTiming(2)}
        assert (cycles(word, {}), cycles(word, late)) == (2, 2 + (word in shifts)), hex(word)


@pytest.mark.parametrize(
    ("prediction", "passed", "costs"),  # of one that is taken back, taken ahead, passed back, passed ahead
    [
        ("none", None, (6, 6, 0, 0)),
        ("none", 7, (6, 6, 0, 0)),
        ("backward taken", None, (1, 6, 5, 0)),
        ("backward taken", 7, (1, 6, 7, 0)),
    ],
)
def test_what_a_branch_costs(prediction, passed, costs):
    timing = replace(PLAIN, prediction=prediction, branch_taken=1, branch_mispredicted=5, branch_passed=passed)
    ways = ((True, True), (False, True), (True, False), (False, False))
    assert tuple(timing.way(True, True, backward, taken) for backward, taken in ways) == costs


def test_what_stalls_lets_nothing_be_issued_behind_it():
    def cycles(first, units):
        timing = replace(PLAIN, units=PLAIN.units | units)
        spent, _, where = run([operation(each, 0, 0, 512) for each in (first, *independent)], timing, State(slots=1))
        assert sum(where.values()) == spent
        return spent, where["multiply_high"]

    independent = [addi(13, 12, 1)] * 9
    slow = {Unit.MULTIPLY_HIGH: UnitTiming(5)}
    held = {Unit.MULTIPLY_HIGH: UnitTiming(5, stall=4)}
    assert cycles(MULH, {}) == cycles(MUL, {}) == cycles(MULH, slow) == (10, 0)
    assert cycles(MULH, held) == (14, 4)
    assert cycles(MUL, held) == (10, 0)


def test_a_stall_ends_with_the_result_of_what_stalled():
    units = PLAIN.units | {Unit.MULTIPLY_HIGH: UnitTiming(5, stall=4)}
    steps = [operation(each, 0, 0, 512) for each in (MULH, addi(13, 10, 1))]
    assert run(steps, replace(PLAIN, units=units), State(slots=1))[0] == 2 + 4


def test_cycles_are_told_by_what_they_went_to():
    work = [
        operation(word, 16, E32M1, 512) for word in (LW, MUL, addi(5, 10, 1), 0x96412457, 0x42402557, addi(5, 10, 1))
    ]
    cycles, _, where = run(work * 5, PLAIN, State())
    assert sum(where.values()) == cycles


VMUL, VDIV, VSE = 0x96412457, 0x82412457, 0x02058427  # vmul.vv, vdivu.vv; vse8.v
E8M8 = 0xC3


def vector_loop(word, turns, vl=512):
    """A loop of one vector instruction on a whole group of registers, and the return behind it."""
    loop_sites = [Site(0, word, vl, E8M8, turns), Site(4, addi(5, 5, -1), vl, E8M8, turns)]
    return [*loop_sites, Site(8, bne(5, 0, -8), vl, E8M8, turns), Site(12, RET, vl, E8M8, 1)]


@pytest.mark.parametrize("word", [VMUL, VSE])
@pytest.mark.parametrize(("name", "vlen"), [("springbok_assumed", 512), ("coralnpu", 128)])
@pytest.mark.parametrize("queue", [1, 8, 13, 64])
def test_a_loop_costs_what_its_turns_cost_once_the_queue_is_full(word, name, vlen, queue):
    timing, sites = replace(load(name), queue=queue), vector_loop(word, 10_000, vlen)
    assert estimate(sites, timing, vlen).cycles >= limit(sites, timing, vlen).cycles


def test_a_deep_queue_hides_no_division():
    shallow, deep = (estimate(vector_loop(VDIV, 10_000), replace(PLAIN, queue=each), 512).cycles for each in (1, 64))
    division = 16 * PLAIN.units[Unit.VECTOR_DIVIDE].interval
    assert deep >= 10_000 * division
    assert deep <= shallow + 64 * division  # what waits in the queue at the end is counted once more


@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_a_loop_takes_no_fewer_cycles_than_its_limit_however_slow_its_units_are(data):
    sites = vector_loop(data.draw(st.sampled_from([VMUL, VDIV, VSE])), 10_000)
    unit = data.draw(st.sampled_from([Unit.VECTOR_MULTIPLY, Unit.VECTOR_DIVIDE, Unit.VECTOR_MEMORY, Unit.ALU]))
    figure = data.draw(st.sampled_from(["latency", "interval"]))
    more = replace(PLAIN.units[unit], **{figure: getattr(PLAIN.units[unit], figure) + data.draw(st.integers(1, 40))})
    slower = replace(PLAIN, units=PLAIN.units | {unit: more})
    assert estimate(sites, slower, 512).cycles >= limit(sites, slower, 512).cycles


def test_an_estimate_tells_of_loops_that_did_not_come_to_repeat(monkeypatch):
    sites = vector_loop(VDIV, 10_000)
    assert estimate(sites, PLAIN, 512).is_settled
    assert estimate(loop(100), PLAIN, 512).is_settled
    monkeypatch.setattr("springbok.timing.walk.MOST_TURNS", 4)
    assert not estimate(sites, PLAIN, 512).is_settled
    counts = Counts((InferenceCounts(30_001, 0, 10_000),), sites={RUNTIME_SITES: tuple(sites), 7: tuple(loop(100))})
    found = account(counts, PLAIN, 512, 32)
    (told,) = notes(found, PLAIN, load_chip("springbok"), {RUNTIME_SITES: "the runtime", 7: "dispatch 7"})
    assert told.startswith("Loops of the runtime had not come to repeat")
    monkeypatch.setattr("springbok.timing.walk.MOST_STEPS", 0)
    assert not estimate(loop(100), PLAIN, 512).is_settled


# ---- Descriptions


@pytest.mark.parametrize(
    ("name", "chip", "vlen", "said"),
    [
        ("coralnpu", "springbok", 512, "a core with VLEN 128, and springbok runs with VLEN 512: choose VLEN 128, or"),
        ("coralnpu", "springbok", None, "springbok runs with VLEN 512: choose VLEN 128"),
        ("coralnpu", "springbok", 128, None),
        ("coralnpu", "coralnpu_soc", None, None),
        ("springbok_assumed", "coralnpu_soc", None, None),
        ("springbok_assumed", "springbok", 1024, None),
        ("ibex", "springbok", 512, "of a core without vectors, .* choose VLEN 0 and code without vectors, or another"),
        ("ibex", "springbok", 0, None),
        ("chip", "springbok", 256, None),
    ],
)
def test_a_description_of_another_vlen_is_refused_with_what_to_do(name, chip, vlen, said):
    if said is None:
        timing_of(name, load_chip(chip), vlen)
        return
    with pytest.raises(TimingError, match=said):
        timing_of(name, load_chip(chip), vlen)
    assert timing_of(replace(load(name), vlens=None), load_chip(chip), vlen).name == name


def test_a_description_of_another_chip_and_units_that_were_not_calibrated_are_told():
    fitted = replace(load("ibex"), calibration=replace(load("ibex").calibration, units=("alu", "branch")))
    counts = Counts((InferenceCounts(3, 0, 0),), sites={RUNTIME_SITES: (Site(0, LW, 0, 0, 3), Site(4, MUL, 0, 0, 2))})
    found = account(counts, fitted, 0, 32)
    other, units = notes(found, fitted, load_chip("springbok"), {RUNTIME_SITES: ""})
    assert other == "ibex is not the timing of springbok, whose description names springbok_assumed."
    assert units == "The calibration did not measure units of some of the instructions: load (3), multiply (2)."
    own, none = (replace(load_chip("springbok"), timing=each) for each in ("platforms/timing/ibex.toml", ""))
    assert notes(found, fitted, own, {RUNTIME_SITES: ""}) == [units]
    assert notes(found, fitted, none, {RUNTIME_SITES: ""})[0].endswith("whose description names none.")
    assert notes(account(counts, PLAIN, 0, 32), PLAIN, load_chip("springbok"), {RUNTIME_SITES: ""}) == []


@pytest.mark.parametrize("name", ["ibex", "cv32e40p"])
def test_calibrated_figures_that_were_changed_have_no_error(name):
    timing = load(name)
    assert timing.calibration.figures == timing.sha256
    assert {"alu", "load", "store", "branch", "multiply", "divide"} <= set(timing.calibration.units)
    assert replace(timing, title="mine", vlens=None).standing == timing.standing
    changed = replace(timing, jump=timing.jump + 1)
    assert changed.standing.startswith("its figures were changed since it was calibrated on")
    assert (changed.as_json()["error"], changed.as_json()["kernel_error"]) == (None, None)


def test_figures_that_stayed_are_not_said_to_be_changed_where_cycles_are_reckoned_otherwise(monkeypatch):
    before = load("ibex")
    monkeypatch.setattr(description, "VERSION", description.VERSION + 1)
    assert before.standing.startswith("cycles are reckoned otherwise from its figures since it was calibrated on")
    assert before.as_json()["error"] is None
    assert replace(before, jump=before.jump + 1).standing.startswith("its figures were changed since it was")


def test_a_calibration_amid_stalls_or_without_models_says_so():
    timing = load("ibex")
    tried = replace(timing, calibration=replace(timing.calibration, seed=7))
    assert "by 25 microbenchmarks amid stalls and interrupts by seed 7; whole inferences" in tried.standing
    alone = replace(timing, calibration=Calibration("x", 15, 0.051))
    assert alone.standing == "calibrated on x by 15 microbenchmarks, 5.1 % off in the mean; no model was measured"


def test_each_description_of_the_project_is_whole_and_tells_its_sources():
    names = sorted(path.stem for path in (PLATFORMS / "timing").glob("*.toml"))
    assert names == ["coralnpu", "cv32e40p", "ibex", "springbok_assumed", "vexriscv"]
    for name in names:
        assert set(Unit) - set(load(name).units) <= set(LIKE)
    chips = [load_chip(path) for path in (*PLATFORMS.glob("*.toml"), *PLATFORMS.glob("cores/*/chip.toml"))]
    assert {chip.timing for chip in chips if chip.timing} <= set(names)


@pytest.mark.parametrize("name", ["ibex", "cv32e40p", "vexriscv"])
def test_what_is_calibrated_keeps_the_limits_on_models_that_it_was_not_fitted_to(name):
    found = load(name).calibration
    assert found.models
    assert found.error <= 0.05
    assert found.kernel_error <= 0.15


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("width = 1", "width = 0", r"\[issue\] width is a whole number from 1 to 64, not 0"),
        ("width = 1", "widht = 1", r"'widht' is nothing that \[issue\] has \(did you mean 'width'\?\)"),
        ("chaining = true", 'chaining = "yes"', "chaining is true or false"),
        ('prediction = "backward taken"', 'prediction = "perfect"', "prediction is one of 'none', 'backward taken'"),
        ("divide = { latency = 34, interval = 34 }", "", "lacks 'divide'"),
        ("latency = 34", "latency = -1", "latency is a whole number from 0 to 1,048,576, not -1"),
        ("latency = 34", "latency = 1000000000", "from 0 to 1,048,576, not 1000000000"),
        ("alu = { latency = 1 }", "alu = [1, 2]", r"\[unit\] alu is a table such as \{ latency = 1 \}, not \[1, 2\]"),
        ("vector_alu = { latency = 2", "vector_alu = { stall = 2", r"'stall' is nothing that \[unit\] vector_alu has"),
        ("alu = { latency = 1 }", "alu = { interval = 1 }", r"\[unit\] alu lacks 'latency'"),
        ("datapath_bits = 256", "datapath_bits = 12", "datapath_bits is a power of two, not 12"),
        ("datapath_bits = 256", "datapath_bits = 7", "datapath_bits is a whole number from 8"),
        ("assumed = true", 'assumed = "maybe"', "assumed is true or false, not 'maybe'"),
        ("title = ", "title = 3 # ", "title is a text, not 3"),
        ('issue = "assumption', 'issue = "" # "assumption', "must say where the figures of 'issue' come from"),
        ("[memory]", "[memory", "can't be read"),
    ],
)
def test_a_mistake_is_named(tmp_path, old, new, error):
    text = (PLATFORMS / "timing" / "springbok_assumed.toml").read_text(encoding="utf-8")
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(TimingError, match=error):
        load(path)


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("kernel_error = ", "# ", "models, error and kernel_error together, or none of them"),
        ('models = ["gestures_int8"', 'models = [] # "', "models, error and kernel_error together"),
        ("\nerror = ", "\nerror = nan # ", r"\[calibration\] error is a number from 0 to 1,048,576, not nan"),
        ("\nerror = ", "\nerror = -0.5 # ", "error is a number from 0"),
        ("\nerror = ", f"\nerror = {'9' * 400} # ", "error is a number from 0"),
        ("\nerror = ", "\nerror = inf # ", "error is a number from 0"),
        ("vlens = []", "vlens = 128", r"vlens is a list of the bits of vector registers"),
        ("vlens = []", "vlens = [100]", "each of vlens is a power of two, not 100"),
        ('units = ["alu"', 'units = ["al"', "units is a list of names of"),
        ("microbenchmarks = ", "seed = -1\nmicrobenchmarks = ", "seed is a whole number from 0"),
        ('figures = "', 'figures = "x', "figures is a digest of 64"),
        ("microbenchmarks = ", "microbenchmarks = 0 # ", "microbenchmarks is a whole number from 1"),
        ("microbenchmarks = ", "microbenchmarks = 1.5 # ", "microbenchmarks is a whole number from 1"),
        ('"ibex\'s RTL"', '" "', "measured_on is empty"),
        ('"ibex\'s RTL"', "2026-01-01", "measured_on is a text"),
        ('["gestures_int8"', '[""', "models is a list of names"),
        ("[source]", "[source]\nwhen = 2026-01-01", r"'when' is nothing that \[source\] has"),
        ("[source]", '[source]\n"my key" = "x"', "'my key' is nothing"),
        ("[source]", "[source]\nregion = 2026-01-01", "region is a text"),
        ("title = ", 'title = "a\\u007Fb" # ', "title has characters that can't be shown"),
    ],
)
def test_a_mistake_in_calibration_and_sources_is_named(tmp_path, old, new, error):
    text = (PLATFORMS / "timing" / "ibex.toml").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(TimingError, match=error):
        load(path)


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("wait = 17", "", r"\[code_cache\] lacks 'wait'"),
        ("wait = 17", "wait = 17\nline = 1", r"'line' is nothing that \[code_cache\] has"),
        ("line_bytes = 32", "line_bytes = 12", "line_bytes is a power of two, not 12"),
        ("line_bytes = 32", "line_bytes = 32\nways = 3", "ways is a power of two, not 3"),
        ("line_bytes = 32", "line_bytes = 32\nways = 0", "ways is a whole number from 1 to 64, not 0"),
        ("bytes = 4096", "bytes = 64\nways = 4", "of 64 bytes has no room for 4 ways of lines of 32 bytes"),
        ("[code_cache]", "[[code_cache]]", r"\[code_cache\] is a table, with bytes, line_bytes, wait, ways"),
        ("code_cache = ", "# ", "must say where the figures of 'code_cache' come from"),
        ("passed = 3", "passed = -1", r"\[branch\] passed is a whole number from 0"),
        ("indirect = 3", "indirect = 0.5", r"\[branch\] indirect is a whole number from 0"),
    ],
)
def test_a_mistake_in_what_may_be_left_out_is_named(tmp_path, old, new, error):
    whole = (PLATFORMS / "timing" / "vexriscv.toml").read_text(encoding="utf-8")
    whole = re.sub(r"(?m)^wait = \d+$", "wait = 17", whole)
    assert old in whole
    path = tmp_path / "mine.toml"
    path.write_text(whole.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(TimingError, match=error):
        load(path)


VALUES = st.one_of(
    st.text(max_size=5),
    st.floats(),
    st.integers(),
    st.booleans(),
    st.dates(),
    st.lists(st.text(max_size=3), max_size=2),
)
CALIBRATIONS = st.fixed_dictionaries(
    {"measured_on": st.text() | VALUES, "microbenchmarks": st.integers(1, 99) | VALUES, "microbenchmark_error": VALUES},
    optional={
        "units": st.lists(st.sampled_from([unit.value for unit in Unit]), max_size=2) | VALUES,
        "seed": VALUES,
        "figures": st.just("0" * 64) | VALUES,
        "models": st.lists(st.text(), max_size=2),
        "error": VALUES,
        "kernel_error": VALUES,
    },
)


@settings(deadline=None, max_examples=300)
@given(
    calibration=CALIBRATIONS | st.none(),
    sources=st.dictionaries(st.sampled_from(["region", "unit", "when", "a key"]), VALUES, max_size=1),
    title=st.text(),
)
def test_what_is_loaded_is_written_and_loaded_again(calibration, sources, title):
    document = parse_toml(text(load("ibex")))
    document["title"], document["source"] = title, {**document["source"], **sources}
    del document["calibration"]
    if calibration is not None:
        document["calibration"] = calibration
    try:
        found = _timing(document, Path("ibex.toml"))
    except TimingError:
        return
    assert found.standing
    assert _timing(parse_toml(text(found)), Path("ibex.toml")) == found


def places(value, *keys):
    """Where something stands in a document: its keys."""
    yield keys
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inside:
        yield from places(each, *keys, key)


def test_what_stands_anywhere_is_taken_as_it_is_or_refused():
    slow = replace(load("ibex"), regions=(Region("ddr", 0, 1, 1, 1),))
    document = parse_toml(text(replace(slow, sources={**slow.sources, "region": "made up"})))
    refused = 0
    for *above, last in filter(None, places(document)):
        for value in (True, 1.5, -1, 1 << 70, "x", [], [1], {}, {"x": 1}):
            changed = copy.deepcopy(document)
            reduce(getitem, above, changed)[last] = value
            try:
                found = _timing(changed, Path("mine.toml"))
            except TimingError:
                refused += 1
            else:
                again = parse_toml(text(found))
                assert again == changed or (last, value) in (("region", []), ("units", []))
                assert value == [] or type(reduce(getitem, above, again)[last]) is type(value)
    assert refused > 400


def test_a_description_may_begin_as_windows_editors_write_it(tmp_path):
    path = tmp_path / "springbok_assumed.toml"
    path.write_text((PLATFORMS / "timing" / path.name).read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert load(path) == PLAIN


def test_the_documents_table_names_all_that_a_description_has():
    """What `text` writes of one that has everything, but for what `./bench calibrate` adds."""
    page = (ROOT / "docs" / "timing.md").read_text(encoding="utf-8").partition("## A description")[2]
    page = page.partition("\n## ")[0]
    whole = replace(PLAIN, regions=(REGION,), branch_passed=1, jump_indirect=1, code_cache=CodeCache(64, 8, 1))
    written = parse_toml(text(whole))
    told = page.split("\n\n")[2]
    names = {name for name, value in written.items() if not isinstance(value, dict | list)}
    names |= {name for table in ("issue", "branch", "memory", "vector", "code_cache") for name in written[table]}
    names |= {"latency", "interval", "count", "stall", *(unit.value for unit in LIKE)} | {
        f"[{table}]" for table in written if isinstance(written[table], dict)
    }
    missing = {name for name in names if not re.search(rf"`{re.escape(name)}`", told)}
    assert missing == set()
    assert "`[[region]]`" in told


def test_an_unknown_description_is_told_the_known_ones():
    with pytest.raises(TimingError, match=r"There is no timing 'ibx' \(did you mean 'ibex'\?\)"):
        load("ibx")


def test_a_description_is_written_as_it_is_read(tmp_path):
    for path in (PLATFORMS / "timing").glob("*.toml"):
        timing = load(path)
        copy = tmp_path / path.name
        copy.write_text(text(timing), encoding="utf-8")
        assert load(copy) == timing


def test_every_estimate_says_how_far_it_can_be_trusted():
    assert PLAIN.standing == "an assumption, never calibrated"
    told = "from its documents, but for assumptions (issue, branch, memory, vector, unit), never calibrated"
    assert replace(PLAIN, is_assumed=False).standing == told
    documented = dict.fromkeys(PLAIN.sources, "its data sheet")
    documented = replace(PLAIN, is_assumed=False, sources=documented)
    assert documented.standing == "from its documents, never calibrated"
    assert load("ibex").standing.startswith("calibrated on ibex's RTL by 25 microbenchmarks; whole inferences of")


# ---- Calibration


@pytest.fixture(scope="module")
def benchmarks(tmp_path_factory):
    """Microbenchmarks as they are executed on a chip with vectors: chip, names, counts."""
    chip = load_chip("springbok")
    found = microbenchmarks(chip)
    elf = tmp_path_factory.mktemp("microbenchmarks") / "all.elf"
    elf.write_bytes(elf_of(program(chip, found), chip.start))
    return found, count(elf, chip, vlen=128)


def test_a_microbenchmark_is_executed_as_often_as_it_says(benchmarks):
    found, counts = benchmarks
    assert len(counts.dispatches) == len(found)
    for number, each in enumerate(found):
        loop = each.turns * (len(each.words) + 2)
        jumped = {"jump": TURNS * 8, "branch taken": TURNS * 8}.get(each.name, 0)
        assert counts.dispatches[number].instructions == loop + 2 - jumped, each.name


def test_hidden_figures_are_found_by_what_they_cost(benchmarks):
    """The cycles of another pipeline are taken for measured ones: the fit explains each of them."""
    found, counts = benchmarks
    scalar = [number for number, each in enumerate(found) if " m" not in each.name or " m2" in each.name]
    units = dict(PLAIN.units)
    for unit, latency, interval in (("load", 5, 1), ("multiply", 2, 2), ("float", 6, 1), ("vector_multiply", 7, 2)):
        units[Unit(unit)] = UnitTiming(latency, interval)
    hidden = replace(PLAIN, units=units, branch_taken=3, branch_mispredicted=5, jump=2)
    measured = [
        Measurement(found[number].name, counts.sites[number], estimate(counts.sites[number], hidden, 128).cycles)
        for number in scalar
    ]
    assert mean_error(PLAIN, measured, 128) > 0.1
    fitted = fit(PLAIN, measured, 128)
    assert mean_error(fitted, measured, 128) == 0
    assert fitted.units[Unit.LOAD] == units[Unit.LOAD]
    assert (fitted.branch_taken, fitted.jump) == (3, 2)


@pytest.mark.parametrize(("begin", "name"), [("ibex", "vexriscv"), ("vexriscv", "ibex"), ("ibex", "cv32e40p")])
def test_one_core_is_found_from_another_ones_figures(benchmarks, begin, name):
    """What it predicts of branches, what is late, what stalls, and what code is waited for, among it."""
    found, counts = benchmarks
    scalar = [number for number, each in enumerate(found) if each.words and not each.name.startswith(("v", "f"))]
    hidden = load(name)
    measured = [
        Measurement(found[number].name, counts.sites[number], estimate(counts.sites[number], hidden, 0).cycles)
        for number in scalar
    ]
    cache = hidden.code_cache and replace(hidden.code_cache, wait=1)
    fitted = fit(replace(load(begin), code_cache=cache), measured, 0)
    assert mean_error(fitted, measured, 0) < 0.001
    assert fitted.code_cache == hidden.code_cache
    assert (fitted.jump, fitted.cost("jump_indirect")) == (hidden.jump, hidden.cost("jump_indirect"))
    assert fitted.prediction == hidden.prediction
    for taken, backward in ((True, True), (True, False), (False, True), (False, False)):
        assert fitted.way(True, True, backward, taken) == hidden.way(True, True, backward, taken)
    for unit in (Unit.ALU, Unit.SHIFT, Unit.MULTIPLY, Unit.MULTIPLY_HIGH, Unit.LOAD, Unit.DIVIDE):
        ours, theirs = (each.units[each.named(unit)] for each in (fitted, hidden))
        assert ours.stall == theirs.stall, unit
        assert max(ours.latency, ours.stall + 1) == max(theirs.latency, theirs.stall + 1), unit


def test_a_divider_that_stalls_is_told_from_one_that_does_not(benchmarks):
    """By the work behind a division: a chain of them costs the same on both."""
    found, counts = benchmarks
    names = ("div, chain", "div, each", "div, before others", "add, each")
    numbers = [number for number, each in enumerate(found) if each.name in names]
    stalling = replace(PLAIN, units=PLAIN.units | {Unit.DIVIDE: UnitTiming(34, 34, stall=33)})
    for hidden, other in ((stalling, PLAIN), (PLAIN, stalling)):
        cycles = [estimate(counts.sites[number], hidden, 128).cycles for number in numbers]
        measured = [
            Measurement(found[number].name, counts.sites[number], each)
            for number, each in zip(numbers, cycles, strict=True)
        ]
        fitted = fit(other, measured, 128)
        assert fitted.units[Unit.DIVIDE].stall == hidden.units[Unit.DIVIDE].stall
        assert mean_error(fitted, measured, 128) == 0


def test_what_a_core_fetches_once_moves_no_figure(benchmarks):
    """As the first turn of each loop does where code comes into a cache: by 40 cycles, as on VexRiscv's RTL."""
    found, counts = benchmarks
    scalar = [number for number, each in enumerate(found) if each.words and not each.name.startswith(("v", "f"))]
    hidden = load("ibex")
    measured = [
        Measurement(found[number].name, counts.sites[number], estimate(counts.sites[number], hidden, 0).cycles + 40)
        for number in scalar
    ]
    fitted = fit(hidden, measured, 0)
    assert fitted.units == hidden.units
    assert (fitted.branch_taken, fitted.branch_mispredicted, fitted.jump) == (1, 0, 1)


@pytest.mark.parametrize("figure", [1, 50])
def test_figures_are_found_from_absurd_ones(benchmarks, figure):
    """With a branch that stalls for what one that is taken costs, single figures do not get further."""
    found, counts = benchmarks
    hidden = load("ibex")
    names = ("add, each", "div, before others", "load, used at once", "branch taken", "branch not taken", "jump")
    numbers = [number for number, each in enumerate(found) if each.name in names]
    measured = [
        Measurement(found[number].name, counts.sites[number], estimate(counts.sites[number], hidden, 0).cycles)
        for number in numbers
    ]
    units = {each: UnitTiming(figure, figure, stall=0 if each.is_vector else figure) for each in hidden.units}
    costs = dict.fromkeys(("branch_taken", "branch_mispredicted", "jump"), figure)
    fitted = fit(replace(hidden, units=units, **costs), measured, 0)
    assert mean_error(fitted, measured, 0) == 0
    assert (fitted.branch_taken + fitted.branch_mispredicted, fitted.jump) == (1, 1)
    assert (fitted.units[Unit.LOAD].latency, fitted.units[Unit.DIVIDE].stall) == (2, 36)


@pytest.mark.parametrize(("chip", "vlens"), [("springbok", (512,)), ("platforms/cores/ibex/chip.toml", ())])
def test_a_calibration_records_what_it_was_made_of(tmp_path, monkeypatch, benchmarks, chip, vlens):
    found, counts = benchmarks
    scalar = {number: each.name for number, each in enumerate(found) if each.name in ("add, chain", "load, each")}
    measured = [Measurement(name, counts.sites[number], 100) for number, name in scalar.items()]
    monkeypatch.setattr(calibrate, "measure_microbenchmarks", lambda *_: measured)
    fitted, _ = calibrate.calibrate(PLAIN, load_chip(chip), None, "x", [], *vlens or (0,), lambda _: None, seed=3)
    assert (fitted.is_assumed, fitted.vlens, fitted.calibration.seed) == (False, vlens, 3)
    assert fitted.calibration.units == ("alu", "load", "branch")
    path = tmp_path / "springbok_assumed.toml"
    path.write_text(text(fitted), encoding="utf-8")
    assert load(path) == fitted
    assert not fitted.is_changed


def test_errors_of_a_model_are_those_of_its_large_kernels():
    sites = tuple(Site(4 * at, addi(5, 6, 1), 0, 0, 1) for at in range(100))
    own = estimate(sites, PLAIN, 0).cycles
    kernels = [Measurement("large", sites, round(own / 1.1)), Measurement("small", sites[:2], 1)]
    whole, largest = model_errors(PLAIN, kernels, 0)
    assert largest == pytest.approx(0.1, abs=0.01)
    assert whole == pytest.approx(0.1, abs=0.02)


# ---- Programs of one's own


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ([0x0000006F], "no window has ended"),
        ([addi(5, 0, 1), 0x0002C07B, 0x0000006F], "a window began and did not end|no window has ended"),
        ([0xFFFFFFFF], "no window has ended"),
    ],
)
def test_a_program_without_a_window_is_told_what_it_lacks(tmp_path, words, error):
    chip = load_chip("springbok")
    elf = tmp_path / "mine.elf"
    elf.write_bytes(elf_of({chip.start + 4 * at: word for at, word in enumerate(words)}, chip.start))
    with pytest.raises(EngineError, match=error):
        count(elf, chip, limit=100_000)


def test_a_window_that_ends_behind_the_limit_is_refused_whenever_it_is_seen(tmp_path):
    chip = load_chip("springbok")
    mark = 0x0062C07B  # mark t0, t1
    words = [addi(5, 0, 1), addi(6, 0, 0), mark, *[addi(7, 7, 1)] * 50, addi(5, 0, 2), mark, 0x0000006F]
    elf = tmp_path / "mine.elf"
    elf.write_bytes(elf_of({chip.start + 4 * at: word for at, word in enumerate(words)}, chip.start))
    (window,) = count(elf, chip, limit=len(words) - 2).inferences
    assert (window.instructions, window.ended_at) == (51, len(words) - 2)
    with pytest.raises(EngineError, match="its window ends after 54 instructions: the limit is 53"):
        count(elf, chip, limit=len(words) - 3)
    with pytest.raises(EngineError, match="no window has ended within 1,000 instructions"):
        elf.write_bytes(elf_of({chip.start: addi(7, 7, 1), chip.start + 4: 0xFFDFF06F}, chip.start))  # j .-4
        count(elf, chip, limit=1000)


def test_a_program_that_stays_where_no_interrupt_reaches_it_is_refused_at_once(tmp_path):
    chip = load_chip("springbok")
    elf = tmp_path / "mine.elf"
    elf.write_bytes(elf_of({chip.start: 0x0000006F}, chip.start))
    with pytest.raises(EngineError, match="It jumps to itself there, and no interrupt is enabled"):
        count(elf, chip)


def test_a_program_that_traps_again_and_again_is_refused(monkeypatch, tmp_path):
    """As one for another core does, whose handler begins it anew."""
    monkeypatch.setattr(SpikeEngine, "traps", lambda _: 10_001)
    chip = load_chip("springbok")
    elf = tmp_path / "mine.elf"
    elf.write_bytes(elf_of({chip.start: addi(7, 7, 1), chip.start + 4: 0xFFDFF06F}, chip.start))
    with pytest.raises(EngineError, match="It has trapped 10,001 times: is it for this core"):
        count(elf, chip)


def marking(*steps, behind):
    """A program for Springbok: marks (event, value), and numbers of other instructions between them."""
    words = []
    for step in steps:
        words += (
            [addi(7, 7, 1)] * step if isinstance(step, int) else [addi(5, 0, step[0]), addi(6, 0, step[1]), 0x0062C07B]
        )
    return [*words, *behind]


@pytest.mark.parametrize(
    ("steps", "lost"),
    [
        ([(1, 0), 10, (3, 7), 20, (2, 0)], 22),
        ([(1, 0), (3, 1), 10, (3, 2), 20, (4, 2), 5, (4, 1), (2, 0)], 12),
        ([(1, 0), (3, 7), 10, (4, 9), 5, (2, 0)], 19),
        ([(1, 0), (3, 1), 10, (4, 1), 5, (3, 1), 20, (4, 1), (2, 0)], 0),
    ],
)
def test_a_part_without_an_end_is_refused(tmp_path, steps, lost):
    chip = load_chip("springbok")
    elf = tmp_path / "mine.elf"
    words = marking(*steps, behind=[0x0000006F])
    elf.write_bytes(elf_of({chip.start + 4 * at: word for at, word in enumerate(words)}, chip.start))
    if lost:
        with pytest.raises(EngineError, match=f"{lost} instructions of its window are in a part that has no end"):
            count(elf, chip)
    else:
        assert count(elf, chip).dispatches[1].calls == 2


@pytest.mark.parametrize(
    ("behind", "does"),
    [
        ([WFI, 0xFFDFF06F], "waits for an interrupt"),  # j .-4
        ([0x400002B7, 0x0182A303, 0xFFDFF06F], "is waiting for the UART"),  # lui t0, 0x40000; lw t1, 24(t0); j .-4
    ],
)
@pytest.mark.parametrize("native", [True, False])
def test_a_program_that_waits_for_what_nobody_sends_is_refused(tmp_path, monkeypatch, behind, does, native):
    monkeypatch.setattr(bare_metal, "MOST_IDLE_TURNS", 5)
    chip = load_chip("springbok")
    elf = tmp_path / "mine.elf"
    words = marking((1, 0), 10, behind=behind)
    elf.write_bytes(elf_of({chip.start + 4 * at: word for at, word in enumerate(words)}, chip.start))
    with pytest.raises(EngineError, match=f"no window has ended within .* instructions. The core {does}"):
        count(elf, chip, native=native)


def test_windows_that_repeat_are_refused(tmp_path):
    chip = load_chip("springbok")
    elf = tmp_path / "mine.elf"
    window = marking((1, 0), 10, (2, 0), behind=[])
    words = [*window, *window, 0x0000006F]
    elf.write_bytes(elf_of({chip.start + 4 * at: word for at, word in enumerate(words)}, chip.start))
    with pytest.raises(EngineError, match="its window was there 2 times before it was seen"):
        count(elf, chip)


def test_a_window_within_a_window_is_refused(tmp_path):
    chip = load_chip("springbok")
    elf = tmp_path / "mine.elf"
    words = marking((1, 0), 10, (1, 0), 20, (2, 0), 5, (2, 0), behind=[0x0000006F])
    elf.write_bytes(elf_of({chip.start + 4 * at: word for at, word in enumerate(words)}, chip.start))
    with pytest.raises(EngineError, match="its window began again before it had ended, 1 times"):
        count(elf, chip)


def test_the_documents_program_is_measured(tmp_path):
    """As docs/timing.md writes it, with a kernel of 16 turns."""
    page = (ROOT / "docs" / "timing.md").read_text(encoding="utf-8")
    snippet = re.search(r"```c\n(.*?)```", page, re.DOTALL)[1]
    around = r"""
void my_kernel(void);
void measured(void);
__asm__(".section .text.start, \"ax\"\n.globl _start\n_start: la sp, stack\ncall measured\n1: j 1b\n"
        "my_kernel: li t0, 16\n1: addi t0, t0, -1\nbnez t0, 1b\nret\n"
        ".bss\n.balign 16\n.space 1024\nstack:\n");
"""
    source = tmp_path / "kernels.c"
    source.write_text(around + snippet, encoding="utf-8")
    elf = build_program(source, tmp_path / "kernels.elf", load_chip("springbok"))
    counts = count(elf, load_chip("springbok"))
    assert counts.dispatches[7].opcodes["bne"] == 16


def test_a_limit_says_what_sets_it():
    multiplications = [Site(4 * at, 0x96412457, 16, E32M1, 10) for at in range(8)]  # vmul.vv
    assert limit(multiplications, PLAIN, 512) == Limit(8 * 10 * 16 * 32 // PLAIN.datapath_bits, "products")
    loads = [Site(4 * at, 0x0205E407, 16, E32M1, 10) for at in range(8)]  # vle32.v
    assert limit(loads, PLAIN, 512) == Limit(8 * 10 * 16 * 32 // PLAIN.port_bits, "bytes")
    assert limit([Site(0, addi(5, 5, 1), 0, 0, 7)], PLAIN, 512) == Limit(7, "issue")


# ---- A model


@pytest.fixture(scope="module")
def magic_wand_model():
    return compile_and_check(MODELS / "magic_wand_int8.tflite")


@pytest.mark.parametrize("native", [True, False])
def test_every_instruction_of_an_inference_has_its_place(magic_wand_model, native):
    session = Session()
    try:
        session.boot("spike", count_sites=True, native=native)
        session.load_model(magic_wand_model, check=False)
        session.infer([0 * array[0] for array in magic_wand_model.probes.inputs], raw=True)
        counts = session.engine.take_counts()
    finally:
        session.shut_down()
    for ordinal, dispatch in counts.dispatches.items():
        assert sum(site.executions for site in counts.sites[ordinal]) == dispatch.instructions
    executed = sum(site.executions for sites in counts.sites.values() for site in sites)
    marks = counts.opcodes["mark"]
    assert executed + marks == counts.inferences[0].instructions
    found = table(magic_wand_model, counts, PLAIN, 512, load_chip("springbok"))
    assert sum(row["instructions"] for row in found["dispatches"]) == found["instructions"]
    assert found == table(magic_wand_model, counts, PLAIN, 512, load_chip("springbok"))
    for row in found["dispatches"]:
        assert row["estimated_cycles"] == sum(row["where"].values()) >= row["instructions"] - marks
    assert RUNTIME_SITES in counts.sites
