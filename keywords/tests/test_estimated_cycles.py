# SPDX-License-Identifier: Apache-2.0
"""Estimated cycles from an evaluation to metrics, reports and the gate: by dispatch, by reason, never as measured."""

import copy
import json
import struct
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jsonschema
import numpy as np
import pytest
from made_up_runs import make_document, make_model

from springbok import cli
from springbok.chips.description import load as load_chip
from springbok.cli import cycles as cycles_command
from springbok.cli import run
from springbok.compiler.compiler import compile_and_check
from springbok.data.dataset import Dataset
from springbok.engines.base import RUNTIME_SITES, Site
from springbok.engines.compressed import expand
from springbok.exploring.bare_metal import count
from springbok.exploring.optimizer_cycles import Cost, Pair
from springbok.gate import baseline, gate, snapshots, verdicts
from springbok.gate.gate import Limit
from springbok.measuring import metrics
from springbok.measuring.consistency import contradictions
from springbok.measuring.derived import estimated_cycles_of
from springbok.report import cards, compare, costs, cycles, page
from springbok.report.gate import gate_figures
from springbok.rtl.program import elf_of, load_constant
from springbok.session import Session, usable_timing
from springbok.support.errors import EngineError
from springbok.support.places import MODELS, PLATFORMS
from springbok.timing.description import VERSION, Calibration, Region, TimingError
from springbok.timing.description import text as description_text
from springbok.timing.estimate import estimate
from springbok.timing.loading import load, timing_of

TIMING = load("springbok_assumed")


@pytest.fixture(scope="module")
def evaluations():
    """The same two inferences without and with an estimate."""
    model = compile_and_check(MODELS / "gestures_int8.tflite")
    shape = model.inputs[0].shape
    recordings = Dataset("zeros", np.zeros((2, *shape[1:]), "float32"), np.zeros(2, int), ("a", "b", "c", "d"))
    found = []
    for timing in (None, "chip"):
        session = Session()
        try:
            session.boot("spike", timing=timing)
            session.load_model(model, check=False)
            found.append(session.evaluate(recordings, np.zeros((2, *model.outputs[0].shape[1:]), "float32")))
        finally:
            session.shut_down()
    return found


def test_metrics_hold_estimates_by_dispatch_and_reason(evaluations):
    document = metrics.evaluation_document(evaluations[1])
    jsonschema.validate(document, json.loads(metrics.SCHEMA_FILE.read_text(encoding="utf-8")))
    (entry,) = document["models"]
    whole = entry["estimate"]
    assert whole["timing"] == TIMING.as_json()
    assert whole["estimated_cycles"] == sum(whole["where"].values()) > whole["limit_cycles"]
    parts = [each["estimate"] for each in entry["dispatches"]] + [whole["runtime"]]
    assert sum(part["estimated_cycles"] for part in parts) == whole["estimated_cycles"]
    for part in parts:
        assert part["estimated_cycles"] == sum(part["where"].values()) >= part["limit_cycles"]
    assert "cycles" not in entry and all("cycles" not in each for each in entry["dispatches"])
    assert whole["notes"] == []
    assert list(contradictions(document)) == []
    first = document["models"][0]["dispatches"][0]["estimate"]
    first["bytes"] += 8 * 32 * max(1, first["limit_cycles"])
    assert "bytes take" in next(contradictions(document))


def test_the_rooflines_roofs_are_the_descriptions(evaluations):
    (entry,) = copy.deepcopy(metrics.evaluation_document(evaluations[1]))["models"]
    _, figure = cycles.estimated_cycles(entry)
    assert len(figure.rows) == len(entry["dispatches"]) + 1
    multiplying = [row for row in figure.rows if row["products"]]
    assert multiplying
    for row in figure.rows:
        assert row["reached"] is None or 0 <= row["reached"] <= 1
    for row in multiplying:
        assert row["roof"] <= 32  # 256 bits are 32 products of bytes
        assert row["rate"] == pytest.approx(row["reached"] * row["roof"])
    lines = figure.chart["layer"][0]["data"]["values"]
    assert {each["roof"] for each in lines} >= {"vector multiply, 32 bits: 32 bytes, 8 products"}
    assert "The roofs are those of springbok_assumed" in figure.note
    del entry["estimate"]["timing"]["peaks"]  # of an older version
    assert len(cycles.estimated_cycles(entry)) == 1


def test_notes_of_an_estimate_stand_in_its_report(evaluations):
    (entry,) = copy.deepcopy(metrics.evaluation_document(evaluations[1]))["models"]
    entry["estimate"]["notes"] = ["ibex is another one."]
    assert cycles.estimated_cycles(entry)[0].note.endswith("times the machine's limit. ibex is another one.")


def test_all_else_is_as_without_an_estimate(evaluations):
    plain, estimated = (snapshots.snapshot(metrics.evaluation_document(each), "s") for each in evaluations)
    assert estimated["made_with"].pop("timing") == {"name": "springbok_assumed", "sha256": TIMING.sha256}
    assert estimated["metrics"].pop("estimated_cycles") > 0
    for part in estimated["dispatches"].values():
        del part["estimated_cycles"], part["where"]
    assert estimated == plain


def test_reports_show_the_estimate_with_what_it_is(evaluations):
    document = metrics.evaluation_document(evaluations[1])
    (entry,) = document["models"]
    assert costs.dispatches(entry).columns[4].title == "estimated cycles"
    figure, _ = cycles.estimated_cycles(entry)
    assert sum(row["estimated"] for row in figure.rows) == estimated_cycles_of(entry)
    assert "an assumption, never calibrated" in figure.note
    assert [column.key for column in figure.columns if column.key in ("measured", "error")] == []
    assert [card.note for card in cards.cards(document, entry) if card.title == "Estimated cycles an inference"] == [
        "by springbok_assumed: an assumption, never calibrated"
    ]
    text = page.run_markdown(compare.Run("r", document))
    assert "Where the cycles go (estimated)" in text
    assert cycles.estimated_cycles(metrics.evaluation_document(evaluations[0])["models"][0]) == []


def test_an_estimate_stands_beside_what_was_measured(evaluations):
    (entry,) = copy.deepcopy(metrics.evaluation_document(evaluations[1]))["models"]
    first = entry["dispatches"][0]
    first["cycles"] = 2 * first["estimate"]["estimated_cycles"]
    figure, _ = cycles.estimated_cycles(entry)
    assert (figure.rows[0]["measured"], figure.rows[0]["error"]) == (first["cycles"], -0.5)


# ---- The gate, on made-up runs


def made_up_estimate(where, limit=10):
    return {"estimated_cycles": sum(where.values()), "where": where, "limit_cycles": limit, "limited_by": "issue"}


def estimated(by=TIMING, load_cycles=100):
    """A made-up run of 4 dispatches whose cycles were estimated; the loads of the second take ``load_cycles``."""
    model = make_model()
    for number, dispatch in enumerate(model["dispatches"]):
        dispatch["estimate"] = made_up_estimate({"issue": 1000, "load": load_cycles if number == 1 else 10})
    parts = [each["estimate"] for each in model["dispatches"]] + [made_up_estimate({"issue": 500})]
    whole = {"timing": by.as_json(), "estimated_cycles": sum(each["estimated_cycles"] for each in parts)}
    model["estimate"] = {**whole, "where": {}, "limit_cycles": 50, "runtime": parts[-1]}
    return snapshots.snapshot(make_document(model), "gestures")


def verdict_on_cycles(measured, before):
    found = [each for each in gate.compare(measured, before) if each.metric == "estimated_cycles"]
    return found[0] if found else None


def test_more_estimated_cycles_fail_and_say_where_they_went():
    verdict = verdict_on_cycles(estimated(load_cycles=180), estimated())
    assert verdict.has_failed
    assert verdict.change == "+80 (+1.73 %)"
    (line,) = verdict.accounts
    assert line.startswith("1 conv_1: ")
    assert line.endswith(": +80 estimated cycles (1,100 -> 1,180): load +80")
    assert verdict_on_cycles(estimated(), estimated(load_cycles=180)).outcome == "improved"
    assert verdict_on_cycles(estimated(), estimated()).outcome == "passed"


@pytest.mark.parametrize(
    ("measured", "why"),
    [
        (estimated(load("coralnpu")), "the baseline was estimated by springbok_assumed, and this run by coralnpu"),
        (estimated(replace(TIMING, jump=7)), "springbok_assumed is another version than the baseline's"),
        (snapshots.snapshot(make_document(make_model()), "gestures"), "this run estimated none: --timing springbok_"),
    ],
)
def test_estimates_of_different_descriptions_are_not_compared_and_it_is_said(tmp_path, measured, why):
    found = gate.compare(measured, estimated(load_cycles=1))
    verdict = next(each for each in found if each.metric == "estimated_cycles")
    assert verdict.outcome == gate.NOT_COMPARED
    assert verdict.change.startswith(why)
    assert not any(each.has_failed for each in found)
    verdicts.VerdictFile(tmp_path, "s", "t").add_comparison(tmp_path / "b.json", found)
    (line,) = [line for line in verdicts.summary(tmp_path) if "not compared" in line]
    assert why in line
    assert f": {len(found) - 1} numbers compared, 0 worse" in verdicts.summary(tmp_path)[0]
    (row,) = gate_figures(verdicts.read(tmp_path))[0].rows
    assert row["change"].startswith(why)


def test_a_comparison_says_that_some_estimates_are_of_another_version():
    def title(*timings):
        found = [SimpleNamespace(model={"estimate": {"timing": each.as_json()}}) for each in timings]
        return compare._estimated_by(found)

    assert title(TIMING, TIMING, load("coralnpu")) == "estimated cycles (by springbok_assumed, coralnpu)"
    assert title(TIMING, replace(TIMING, jump=7)).endswith(
        "(by springbok_assumed; some of another version, not comparable)"
    )


def test_baselines_without_estimates_stay_as_they_are(tmp_path):
    plain = snapshots.snapshot(make_document(make_model()), "gestures")
    baseline.write(tmp_path, plain)
    text = baseline.path_of(tmp_path, plain).read_text(encoding="utf-8")
    assert "estimate" not in text and "timing" not in text
    verdict = verdict_on_cycles(estimated(), baseline.read(tmp_path, plain))
    assert (verdict.outcome, verdict.change) == (gate.NOT_COMPARED, "the baseline holds none")
    assert baseline.path_of(tmp_path, estimated()) == baseline.path_of(tmp_path, plain)


def test_a_limit_on_estimated_cycles_is_of_the_whole_or_of_dispatches():
    measured = estimated()
    assert not gate.judge(measured, Limit("estimated_cycles", 4630)).has_failed
    verdict = gate.judge(measured, Limit("estimated_cycles", 4629))
    assert verdict.has_failed
    assert "1,100 estimated cycles, of these issue 1,000, load 100" in verdict.accounts[0]
    (verdict,) = gate.judge_dispatches(measured, "conv_1", 1099, "estimated_cycles")
    assert verdict.has_failed
    plain = snapshots.snapshot(make_document(make_model()), "gestures")
    for verdict in (
        gate.judge(plain, Limit("estimated_cycles", 5)),
        *gate.judge_dispatches(plain, "*", 5, "estimated_cycles"),
    ):
        assert verdict.has_failed
        assert "--timing" in verdict.text()


# ---- Descriptions and engines


def test_a_description_is_the_same_where_its_figures_are():
    assert replace(TIMING, title="other", sources={}).sha256 == TIMING.sha256
    assert replace(TIMING, calibration=Calibration("x", 1, 0.5)).sha256 == TIMING.sha256
    assert replace(TIMING, queue_latency=2).sha256 != TIMING.sha256
    assert load("ibex").as_json()["error"] == load("ibex").calibration.error > 0
    assert VERSION >= 1


def test_an_engine_that_tells_nothing_to_estimate_from_is_refused():
    with pytest.raises(EngineError, match="which the engine 'renode' does not tell: use spike or rtl"):
        Session().boot("renode", timing="ibex")
    with pytest.raises(TimingError, match="coralnpu is of a core with VLEN 128, and springbok runs with VLEN 512"):
        Session().boot("spike", timing="coralnpu")
    with pytest.raises(TimingError, match="ibex is of a core without vectors, and springbok runs with VLEN 256"):
        Session().boot("spike", timing="ibex", vlen=256)
    with pytest.raises(TimingError, match="rv64gcv names no timing"):
        Session().boot("spike", platform="rv64gcv", timing="chip")


def test_the_option_of_a_run_reaches_its_suites(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for given, told in (("chip", "chip"), ("coralnpu", "coralnpu"), ("mine.toml", str(tmp_path / "mine.toml"))):
        options = cli.COMMANDS["run"].parse(("--timing", given))
        assert run.suite_variables(options) == ["--variable", f"TIMING:{Path(told)}"]


@pytest.mark.parametrize(
    "command",
    [
        ("cycles", "MODEL", "--timing", "coralnpu"),
        ("cycles", "MODEL", "--timing", "coralnpu", "--vlen", "256"),
        ("sweep", "MODEL", "--timing", "coralnpu", "--vlens", "128,256"),
        ("sweep", "MODEL", "--timing", "coralnpu"),
        ("mlperf", "ic01", "--timing", "coralnpu"),
        ("measure", "MODEL", "--timing", "coralnpu"),
        ("trial", "search", "MODEL", "--timing", "coralnpu", "--vlen", "128", "256"),
    ],
)
def test_commands_refuse_another_vlens_timing_before_they_begin(command, capfd):
    model = str(MODELS / "gestures_int8.tflite")
    assert cli.main([model if each == "MODEL" else each for each in command]) == 2
    assert "The timing coralnpu is of a core with VLEN 128, and springbok runs with VLEN" in capfd.readouterr().err


# ---- The optimizer's table


def test_the_optimizers_table_tells_what_is_slower_in_cycles(monkeypatch, capsys):
    pairs = {
        "wide": Pair("wide", Cost(1000, 1200, 300), Cost(500, 1300, 260)),
        "fine": Pair("fine", Cost(1000, 1200, 300), Cost(500, 600, 300)),
    }
    monkeypatch.setattr(cycles_command, "compare", lambda path, *_: pairs[path])
    assert cli.main(["cycles", "--table", "fine"]) == 0
    assert "SLOWER" not in capsys.readouterr().out
    assert cli.main(["cycles", "--table", "fine", "wide"]) == 1
    head, columns, *lines = capsys.readouterr().out.splitlines()[-4:]
    assert head == "estimated by springbok_assumed: Springbok, assumed (an assumption, never calibrated)"
    assert lines[0].split() == ["fine", "1,000", "500", "0.500", "1,200", "600", "0.500", "2.0"]
    assert lines[1].split() == ["wide", "1,000", "500", "0.500", "1,200", "1,300", "1.083", "5.0", "SLOWER"]
    assert columns.startswith("model ")
    assert cli.main(["cycles", "--table", "wide", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["models"][0]["optimized"]["cycles"] == 1300
    assert cli.main(["cycles", "--table", "wide", "--core", "x"]) == 2


# ---- Memory that is slower than the pipeline's own

REGION = '\n[[region]]\nname = "ddr"\nbase = 0x34080000\nbytes = 0x1000\nwait = 10\nwait_next = 2\n'


def with_region(folder, text=REGION):
    """Springbok's timing with a slow region."""
    own = (PLATFORMS / "timing" / "springbok_assumed.toml").read_text(encoding="utf-8")
    path = folder / "slow.toml"
    path.write_text(own + 'region = "made up"\n' + text, encoding="utf-8")
    return path


def test_a_region_is_read_written_and_told_apart(tmp_path):
    timing = load(with_region(tmp_path))
    assert timing.watched == ((0x34080000, 0x34081000),)
    assert timing.sha256 != TIMING.sha256
    copy_of = tmp_path / "slow_copy.toml"
    copy_of.write_text(description_text(timing), encoding="utf-8")
    assert replace(load(copy_of), name="slow") == timing


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (REGION.replace("wait = 10\n", ""), r"\[\[region\]\] ddr lacks 'wait'"),
        (REGION.replace("wait = 10", "wait = -1"), "ddr wait is a whole number from 0 to 1,048,576, not -1"),
        (REGION.replace("bytes = 0x1000", "bytes = 0"), "ddr bytes is a whole number from 1 to .*, not 0"),
        (REGION.replace("wait_next", "wait_nxt"), r"'wait_nxt' is nothing that .* has \(did you mean 'wait_next'\?\)"),
        (REGION + REGION, "the regions 'ddr' and 'ddr' overlap"),
        (REGION + REGION.replace("0x3408", "0x3409"), "two regions have the name 'ddr'"),
        ("", r"\[source\] says where the figures of 'region' come from, and there is no \[\[region\]\]"),
        ("region = 3\n", "must say|twice|overwrite|Cannot"),
    ],
)
def test_a_mistake_in_a_region_is_named(tmp_path, text, said):
    with pytest.raises(TimingError, match=said):
        load(with_region(tmp_path, text))


def test_a_region_ends_where_the_chips_addresses_do(tmp_path):
    last = REGION.replace("bytes = 0x1000", "bytes = 0xCBF80000")
    assert timing_of(with_region(tmp_path, last), load_chip("springbok")).regions
    beyond = with_region(tmp_path, last.replace("bytes = 0xCBF80000", "bytes = 0xCBF80001"))
    assert timing_of(beyond, load_chip("rv64gcv")).regions
    with pytest.raises(
        TimingError, match="the region 'ddr' ends beyond the addresses of springbok, which have 32 bits"
    ):
        timing_of(beyond, load_chip("springbok"))


def test_a_region_where_the_chip_has_no_memory_is_refused(tmp_path):
    elsewhere = with_region(tmp_path, REGION.replace("0x34080000", "0x94080000"))
    with pytest.raises(TimingError, match="the region 'ddr' lies where springbok has no memory, .* 0x34000000 to"):
        timing_of(elsewhere, load_chip("springbok"))


def test_an_access_waits_for_its_region_alone():
    loads = [Site(4 * at, 0x0005A503, 0, 0, 7, 1 - at % 2) for at in range(8)]  # lw a0, 0(a1)
    slow = replace(TIMING, regions=(Region("ddr", 0, 1, 10, 10),))
    plain, waiting = estimate(loads, TIMING, 0), estimate(loads, slow, 0)
    assert waiting.cycles - plain.cycles == pytest.approx(4 * 10 * 7, abs=20)
    assert estimate([site._replace(region=0) for site in loads], slow, 0) == plain
    mixed = [Site(0, 0x0005A503, 0, 0, 5, 0), Site(0, 0x0005A503, 0, 0, 5, 1)]
    assert estimate(mixed, slow, 0) == estimate([Site(0, 0x0005A503, 0, 0, 10, 1)], replace(
        slow, regions=(Region("ddr", 0, 1, 5, 5),)), 0)  # fmt: skip


def test_a_vectors_passes_wait_each():
    loads = [Site(4 * at, 0x0205E407, 64, 0xD2, 10, 1) for at in range(32)]  # vle32.v of 64 elements: 8 passes each
    plain, first, each = (
        estimate(loads, replace(TIMING, regions=(Region("ddr", 0, 1, *waits),)), 512).cycles
        for waits in ((0, 0), (10, 0), (10, 2))
    )
    assert (first - plain) / 320 == pytest.approx(10, rel=0.3)
    assert (each - first) / 320 == pytest.approx(7 * 2, rel=0.3)


def test_engines_tell_what_a_program_reaches(tmp_path):
    """A loop that loads from the watched page as often as from another one."""
    chip = load_chip("springbok")
    data = chip.holding("data").base + 0x8_0000
    lui = data >> 12 << 12
    words = [lui | 8 << 7 | 0x37, (lui + 0x1000) | 9 << 7 | 0x37]  # s0: watched, s1: behind it
    words += [0x00100293, 0x00000313, 0x0062C07B]  # li t0, 1; li t1, 0; mark t0, t1
    words += [
        0x00A00393,
        0x00042503,
        0xFFC4A583,
        0x0044A603,
        0xFFF38393,
        0xFE0398E3,
    ]
    words += [0x00200293, 0x0062C07B, 0x0000006F]
    elf = tmp_path / "loads.elf"
    elf.write_bytes(elf_of({chip.start + 4 * at: word for at, word in enumerate(words)}, chip.start))
    counts = count(elf, chip, watched=((data, data + 0x1000),))
    loads = {(site.word, site.region): site.executions for site in counts.sites[RUNTIME_SITES] if site.word & 0x7F == 3}
    assert loads == {(0x00042503, 1): 10, (0xFFC4A583, 1): 10, (0x0044A603, 0): 10}
    plain = count(elf, chip)
    assert plain.opcodes == counts.opcodes
    assert {site.region for site in plain.sites[RUNTIME_SITES]} == {0}
    with pytest.raises(EngineError, match="only by the simulator's helper in C"):
        count(elf, chip, watched=((data, data + 0x1000),), native=False)


#: Loads and stores, by s0 and by sp, as halfwords.
SHORT_ACCESSES = {
    32: (0x4008, 0x4048, 0xC008, 0xC44C, 0x4502, 0x4512, 0xC02A, 0xD62A, 0x6008, 0x2008, 0xE008, 0xF02A),
    64: (
        0x4008,
        0x4048,
        0xC008,
        0xC44C,
        0x4502,
        0x4512,
        0xC02A,
        0xD62A,
        0x6008,
        0x6408,
        0xE008,
        0xE42A,
        0x6502,
        0xF02A,
    ),
}


def elf64_of(words, start):
    """An executable of 64 bits, one segment."""
    code = struct.pack(f"<{len(words)}I", *words.values())
    rest = struct.pack("<HHIQQQIHHHHHH", 2, 243, 1, start, 64, 0, 0, 64, 56, 1, 64, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 7, 120, start, start, len(code), len(code), 4)
    return b"\x7fELF" + bytes((2, 1, 1)) + bytes(9) + rest + segment + code


@pytest.mark.parametrize(("name", "xlen"), [("springbok", 32), ("rv64gcv", 64)])
def test_compressed_accesses_reach_what_they_stand_for(tmp_path, name, xlen):
    """The same accesses as words and as halfwords, at addresses on both sides of what is watched."""
    chip = load_chip(name)
    chip = replace(chip, base_isa=chip.base_isa.replace("rv32imf_", "rv32imfdc_"))
    mark = chip.doing("mark").match | 5 << 15 | 6 << 20
    data = chip.holding("data").base + 0x8_0000
    reached = []
    for wide in (True, False):
        halves = []
        begin = [0x00002537, 0x30051073, *load_constant(8, data), *load_constant(2, data + 0x40)]  # mstatus.FS, s0, sp
        if xlen == 64:  # slli and srli by 32, since a constant's sign was extended
            begin += [0x02041413, 0x02045413, 0x02011113, 0x02015113]
        for word in begin:
            halves += [word & 0xFFFF, word >> 16]
        for event, accesses in ((1, SHORT_ACCESSES[xlen]), (2, ())):
            for word in (0x00000293 | event << 20, 0x00000313, mark):
                halves += [word & 0xFFFF, word >> 16]
            for each in accesses:
                word = expand(each, xlen)
                halves += [word & 0xFFFF, word >> 16] if wide else [each]
            halves += [] if wide or len(accesses) % 2 == 0 else [1]
        halves += [0x006F, 0]
        words = {chip.start + 2 * at: halves[at] | halves[at + 1] << 16 for at in range(0, len(halves), 2)}
        elf = tmp_path / "loads.elf"
        elf.write_bytes((elf_of if xlen == 32 else elf64_of)(words, chip.start))
        counts = count(elf, chip, watched=((data, data + 4), (data + 8, data + 0x44)))
        sites = counts.sites[RUNTIME_SITES]
        found = [
            (word, site.region) for site in sites if (word := site.word if wide else expand(site.word & 0xFFFF, xlen))
        ]
        reached.append([each for each in found if each[0] & 0x7F in (0x03, 0x23, 0x07, 0x27)])
    assert reached[0] == reached[1]
    assert len(reached[0]) == len(SHORT_ACCESSES[xlen])
    assert {region for _, region in reached[0]} == {0, 1, 2}


def test_an_engine_that_tells_no_addresses_is_refused_for_regions(tmp_path):
    with pytest.raises(EngineError, match="has regions, and which memory a program reaches is not told by .* 'rtl'"):
        usable_timing(with_region(tmp_path), load_chip("springbok"), "rtl")
