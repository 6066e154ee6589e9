# SPDX-License-Identifier: Apache-2.0
"""Runs that measure on several platforms, or a model at several levels: each entry is told of its own by all."""

import copy
import csv
import io
import json
from datetime import timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_runs import make_document, make_model
from test_consistency import with_everything
from test_report import Page

import PerformanceLibrary
from springbok import cli, report
from springbok.cli import bisect, run
from springbok.gate import gate, snapshots
from springbok.gate.verdicts import VerdictFile
from springbok.history import record
from springbok.history.store import Filter, opened
from springbok.measuring import metrics
from springbok.measuring.evaluation import Evaluation, Platform
from springbok.measuring.platforms import KEYS, configuration_of, joined, platform_of, platforms_in
from springbok.report import matrix, page
from springbok.report.cards import cards
from springbok.report.compare import Run, configurations
from springbok.report.earlier import find_same
from springbok.report.lead import read_lead
from springbok.report.scenario import scenario
from springbok.support import run_record
from springbok.support.results_folder import Outputs

FIRMWARES = [
    {"sha256": digit * 64, "text_bytes": size, "rodata_bytes": 2, "data_bytes": 3, "bss_bytes": 4}
    for digit, size in (("2", 1), ("3", 40_000))
]
PLATFORMS = st.fixed_dictionaries(
    {
        "engine": st.sampled_from(["spike", "renode"]),
        "engine_version": st.sampled_from(["1.0", "1.1", None]),
        "chip": st.sampled_from(["springbok", "mine"]),
        "vlen_bits": st.sampled_from([0, 128, 512]),
        "link": st.sampled_from(["socket", "pty"]),
        "firmware": st.sampled_from([*FIRMWARES, None]),
    }
)
#: What was recorded, one after the other: the model's name and variant, what of its numbers, its level, where.
RECORDINGS = st.lists(
    st.tuples(
        st.sampled_from("ab"),
        st.sampled_from(["vector", "scalar"]),
        st.integers(1, 4),
        st.sampled_from(["none", "standard", None]),
        PLATFORMS,
    ),
    min_size=1,
    max_size=6,
)


def alone(model, platform):
    """The document of one evaluation."""
    return {"schema": 1, **platform, "models": [model]}


def at_level(model, level):
    """The model as one that the optimizer has compiled at this level; None: as documents of before have it."""
    optimizer = {"level": level, "flag_set": "", "transformations": []}
    return {**model, "compiler": {**model["compiler"], **({"optimizer": optimizer} if level else {})}}


def recorded(recordings):
    return [
        alone(at_level(make_model(name, variant, seed), level), platform)
        for name, variant, seed, level, platform in recordings
    ]


@given(RECORDINGS, st.data())
@settings(max_examples=20, deadline=None)
def test_an_entry_has_the_platform_that_it_was_recorded_on(recordings, data):
    documents = recorded(recordings)
    before = copy.deepcopy(documents)
    whole = joined(documents)
    last = {configuration_of(each, each["models"][0]): each for each in documents}
    assert [configuration_of(whole, model) for model in whole["models"]] == list(last)
    for model, single in zip(whole["models"], last.values(), strict=True):
        assert platform_of(whole, model) == {key: single[key] for key in KEYS}
        assert {key: value for key, value in model.items() if key != "platform"} == single["models"][0]
    assert "platform" not in whole["models"][0]
    assert metrics.problem_of(whole) == ""
    # Whether they come one by one, or in parts that suites have joined, is the same.
    cut = data.draw(st.integers(1, len(documents)))
    parts = [joined(part) for part in (documents[:cut], documents[cut:]) if part]
    assert json.dumps(joined(parts)) == json.dumps(joined([whole])) == json.dumps(whole)
    assert documents == before


@given(RECORDINGS)
@settings(max_examples=30, deadline=None)
def test_a_document_of_one_platform_says_nothing_of_platforms(recordings):
    documents = recorded([(*recording[:4], recordings[0][4]) for recording in recordings])
    models = {(*given[:2], given[3]): each["models"][0] for given, each in zip(recordings, documents, strict=True)}
    expected = {"schema": 1, **recordings[0][4], "models": list(models.values())}
    assert json.dumps(joined(documents)) == json.dumps(expected)


def test_a_suite_that_only_checked_rtl_gives_no_model_its_platform():
    check = {"unit": "u.v", "sha256": "4" * 64, "verilator": "5", "agrees": True, "operands": {"random": 1}}
    only_rtl = {**make_document(vlen=0), "firmware": None, "link": None, "rtl": [check]}
    measured = make_document(make_model())
    whole = joined([only_rtl, measured])
    assert whole == {**measured, "chip": "springbok", "rtl": [check]}
    assert joined([only_rtl, only_rtl]) == {**only_rtl, "rtl": [check, check]}


def three_lengths():
    """One model at three VLENs, with other numbers on each, and on another chip of the last one's VLEN."""
    places = [("springbok", 128), ("springbok", 256), ("springbok", 512), ("mine", 512)]
    parts = [
        {**make_document(make_model(seed=seed), vlen=vlen), "chip": chip} for seed, (chip, vlen) in enumerate(places)
    ]
    parts[-1]["firmware"] = FIRMWARES[1]
    return joined(parts)


LABELS = [f"gestures (vector), {what}" for what in (
    "springbok, VLEN 128", "springbok, VLEN 256", "springbok, VLEN 512", "mine, VLEN 512"
)]  # fmt: skip


def test_recorded_evaluations_keep_what_ran_them(monkeypatch, tmp_path):
    """By the keyword: the chip's VLEN changes between recordings, and back."""
    monkeypatch.setattr(metrics, "model_metrics", lambda evaluation: evaluation.model)
    monkeypatch.setattr(PerformanceLibrary.renode_test, "suite_folder", lambda: tmp_path)
    metadata = []
    robot = SimpleNamespace(
        get_variable_value=lambda name: None, set_suite_metadata=lambda name, text, top: metadata.append(text)
    )
    monkeypatch.setattr(PerformanceLibrary, "BuiltIn", lambda: robot)
    monkeypatch.setattr(page.charts, "render", lambda found: ["<svg/>" for _ in found])
    logged = []
    monkeypatch.setattr(PerformanceLibrary.logger, "info", lambda text, html: logged.append(text))
    library = PerformanceLibrary.PerformanceLibrary()
    firmware = SimpleNamespace(**FIRMWARES[0])
    for seed, vlen in ((1, 128), (2, 512), (3, 128)):
        platform = Platform("spike", "1.0", vlen, "socket", firmware)
        model = make_model(seed=seed)
        library.record_metrics(Evaluation(model, None, None, None, None, platform=platform))
        if seed == 1:
            assert "platform" not in (tmp_path / "metrics.json").read_text()
    document = metrics.read(tmp_path)
    found = [(platform_of(document, each)["vlen_bits"], each["vmfb_bytes"]) for each in document["models"]]
    assert found == [(128, 30_003), (512, 30_002)]
    assert [text.partition("<h3>")[2].partition("<")[0] for text in logged] == [
        "gestures (vector)", "gestures (vector), VLEN 512", "gestures (vector), VLEN 128"
    ]  # fmt: skip
    assert "| gestures (vector), VLEN 128 |" in metadata[-1] and "| gestures (vector), VLEN 512 |" in metadata[-1]


@given(RECORDINGS)
@settings(max_examples=12, deadline=None)
def test_all_readers_find_the_same_entries_on_the_same_platforms(recordings):
    whole = joined(recorded(recordings))
    places = [platform_of(whole, model) for model in whole["models"]]
    instructions = [model["instructions"]["mean"] for model in whole["models"]]
    wanted = [(each["engine"], each["chip"], each["vlen_bits"]) for each in places]
    expected = sorted(zip(wanted, instructions, strict=True))
    labels = [each.label for each in configurations([Run("", whole)])]
    assert len(set(labels)) == len(labels) and not any("#" in each for each in labels)
    rows = {
        (row["engine"], row["chip"], int(row["vlen_bits"]), row["model"], row["variant"], row["optimize"]): int(
            row["value"]
        )
        for row in csv.DictReader(io.StringIO(page.csv_text([Run("", whole)])))
        if (row["figure"], row["metric"]) == ("comparison", "instructions an inference")
    }
    assert sorted((key[:3], value) for key, value in rows.items()) == expected
    cells = matrix.cells_of([whole])
    found = [((each.column.engine, each.column.chip, each.column.vlen_bits), each.instructions) for each in cells]
    assert sorted(found) == expected
    kept = list(record.snapshots_in(whole))
    of_history = [((each.engine, each.chip, each.vlen_bits), it["metrics"]["instructions"]) for each, it in kept]
    assert sorted(of_history) == expected
    assert [it["made_with"]["engine_version"] for _, it in kept] == [each["engine_version"] for each in places]
    for model, platform in zip(whole["models"], places, strict=True):
        engine = scenario(whole, model)[-1]
        assert engine.name == platform["engine"]
        assert (platform["chip"] in engine.details) and (platform["engine_version"] or "") in engine.details
        firmware = platform["firmware"]
        size = f"{sum(firmware[f'{part}_bytes'] for part in ('text', 'rodata', 'data')):,}" if firmware else "unknown"
        (module,) = (each for each in cards(whole, model) if each.title == "Module")
        assert module.note == f"bytes; firmware {size}"
        assert find_same(whole, model, whole) is model


def test_a_page_tells_the_vector_lengths_apart(tmp_path):
    document = three_lengths()
    report.write_reports(document, tmp_path)
    text = (tmp_path / "report.html").read_text()
    shown = Page(text)
    assert [row[0] for row in shown.tables["comparison"] if row] == LABELS
    for number, label in enumerate(LABELS, 1):
        assert f'id="model-{number}" aria-label="{label}"' in text
    assert "128 bits, 256 bits, 512 bits" in shown.text and "springbok, mine" in shown.text
    markdown = (tmp_path / "report.md").read_text()
    for label in LABELS:
        escaped = label.replace("(", "\\(").replace(")", "\\)")
        assert f"## {escaped}\n" in markdown
    names = {each["name"] for each in json.loads((tmp_path / "timeline.speedscope.json").read_text())["profiles"]}
    assert all(any(label in name for name in names) for label in LABELS)


def test_a_comparison_names_every_platform_of_a_run(tmp_path):
    runs = [Run("a", three_lengths()), Run("b", make_document(make_model()))]
    figure, paths = report.write_comparison(runs, tmp_path)
    assert [row["configuration"] for row in figure.rows] == [*(f"{each}, a" for each in LABELS), f"{LABELS[2]}, b"]
    told = "a: spike 1.0, VLEN 128; spike 1.0, VLEN 256; spike 1.0, VLEN 512; spike 1.0, mine, VLEN 512;"
    assert told in paths[0].read_text()


def test_the_change_is_since_the_same_platform():
    earlier, later = three_lengths(), three_lengths()
    for number, model in enumerate(later["models"]):
        assert find_same(later, model, earlier) is earlier["models"][number]
    wide = make_document(make_model(), vlen=1024)
    assert find_same(wide, wide["models"][0], earlier) is None  # which of the four would it be?
    other = make_document(make_model(), vlen=64)
    assert find_same(wide, wide["models"][0], other) is other["models"][0]  # each side has it once
    assert find_same(wide, wide["models"][0], None) is None


def test_a_run_is_in_the_history_with_all_that_it_ran_on(tmp_path, capsys):
    """Its files agree, it is found by each chip, and each number is a point of its own configuration."""
    folder, place = tmp_path / "run", str(tmp_path / "h.db")
    document = three_lengths()
    metrics.write(folder / "metrics.json", document)
    said = VerdictFile(folder, "S", "a")
    for _, measured in record.snapshots_in(document):
        said.add([gate.judge(measured, gate.Limit("max_abs_error", 1e-5))])
    content = json.loads((folder / "gate.json").read_text())
    subjects = [each["subject"] for each in content["verdicts"]]
    assert subjects == [f"gestures (vector) on {what}" for what in (
        *(f"springbok, spike, VLEN {vlen}" for vlen in (128, 256, 512)), "mine, spike, VLEN 512"
    )]  # fmt: skip
    kept = record.of_results(folder, record.now() - timedelta(minutes=1), ["S"], True, record.Tests(1, 0), [folder])
    assert (kept.engine, kept.chip, kept.vlen_bits) == ("spike", "springbok, mine", None)
    assert kept.versions["firmware"] == f"{'2' * 16}, {'3' * 16}"
    run_record.write(folder, kept.as_json(documents=False))
    assert read_lead(folder, document).wrong == ()
    told = json.loads((folder / "run.json").read_text())
    for key, value in (("chip", "springbok"), ("vlen_bits", 128), ("engine_version", "1.1")):
        (folder / "run.json").write_text(json.dumps({**told, key: value}))
        assert any(f"metrics.json: {what}" in read_lead(folder, document).wrong[0] for what in (
            "chip springbok, mine", "VLEN none", "version of the engine 1.0"
        ))  # fmt: skip
    (folder / "run.json").write_text(json.dumps(told))
    assert cli.main(["history", "add", str(folder), "--history", place]) == 0
    with opened(place) as store:
        assert [run.number for run in store.runs(Filter(chip="mine"))] == [1]
        found = {
            (each.configuration.chip, each.configuration.vlen_bits): each.points[1]
            for each in store.series(store.runs())
            if (each.metric, each.layer) == ("instructions", "")
        }
    assert found == {
        (platform_of(document, each)["chip"], platform_of(document, each)["vlen_bits"]): each["instructions"]["mean"]
        for each in document["models"]
    }
    capsys.readouterr()
    assert cli.main(["history", "show", "1", "--history", place]) == 0
    out = capsys.readouterr().out
    assert "gestures (vector) on mine, spike, VLEN 512" in out and "on springbok, spike, VLEN 128" in out


@pytest.mark.parametrize(
    ("arguments", "label"),
    [(["--vlen", "256"], LABELS[1]), (["--chip", "mine"], LABELS[3]), (["--vlen", "512"], LABELS[2]), ([], LABELS[0])],
)
def test_a_search_for_a_commit_is_of_the_named_configuration(arguments, label, capsys):
    options = cli.COMMANDS["bisect"].parse(arguments)
    found = bisect._Runner._choose(SimpleNamespace(options=options), list(record.snapshots_in(three_lengths())))
    assert f"gestures (vector), {found.chip}, VLEN {found.vlen_bits}" == label
    assert ("--vlen name another" in capsys.readouterr().out) == (arguments in ([], ["--vlen", "512"]))


@pytest.mark.parametrize("number", range(4))
def test_a_gate_that_judged_other_numbers_of_one_length_is_found(tmp_path, number):
    """Nothing else tells: the folder has no record. Verdicts of before do not name the chip."""
    document = three_lengths()
    said = VerdictFile(tmp_path, "S", "a")
    for _, measured in record.snapshots_in(document):
        said.add([gate.judge(measured, gate.Limit("instructions", 10**9))])
    metrics.write(tmp_path / "metrics.json", document)
    assert read_lead(tmp_path, document).wrong == ()
    content = json.loads((tmp_path / "gate.json").read_text())
    changed = copy.deepcopy(content)
    changed["verdicts"][number] |= {"value": "7", "change": "-999,999,993 (-100.00 %)"}
    (tmp_path / "gate.json").write_text(json.dumps(changed))
    (wrong,) = read_lead(tmp_path, document).wrong
    assert wrong.startswith(f"{content['verdicts'][number]['subject']}: instructions an inference: 7 in gate.json, ")
    only = {**content, "verdicts": content["verdicts"][number : number + 1]}
    (tmp_path / "gate.json").write_text(json.dumps(only))
    assert read_lead(tmp_path, document).wrong == ()  # the others were recorded, and not judged
    for each in content["verdicts"]:
        each["subject"] = each["subject"].replace("mine, ", "")
        del each["evaluation"]
    (tmp_path / "gate.json").write_text(json.dumps(content))
    assert read_lead(tmp_path, document).wrong == ()


def test_the_terminal_tells_the_platforms_apart(tmp_path, capsys):
    metrics.write(tmp_path / "metrics.json", three_lengths())
    run.print_summary(Outputs.usual(tmp_path))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-3:] for line in lines if line.startswith("gestures")] == [
        [*label.split()[-3:]] for label in LABELS
    ]
    assert [line for line in lines if line.startswith("Engine:")] == [
        "Engine:  spike 1.0, VLEN 128",
        "Engine:  spike 1.0, VLEN 256",
        "Engine:  spike 1.0, VLEN 512",
        "Engine:  spike 1.0, mine, VLEN 512",
    ]


def with_long_vectors(name="gestures"):
    """More lanes than registers of 128 bits have, and fewer than those of 512."""
    model = with_everything(make_model(name))
    for part in (model, *model["dispatches"]):
        part["lanes"] = part["lanes"] and {key: lanes * 12 for key, lanes in part["lanes"].items()}
    return model


def test_lanes_are_held_against_the_entrys_own_vectors():
    narrow, wide = (make_document(with_long_vectors(), vlen=vlen) for vlen in (128, 512))
    assert "models/0/" in metrics.problem_of(narrow) and metrics.problem_of(wide) == ""
    first = {vlen: make_document(make_model("first"), vlen=vlen) for vlen in (128, 512)}
    assert "lanes" in (problem := metrics.problem_of(joined([first[512], narrow]))) and "models/1/" in problem
    assert metrics.problem_of(joined([first[128], wide])) == ""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda platform: platform.update(vlen_bits=7), "models/1/platform/vlen_bits: 7 is no length"),
        (lambda platform: platform.update(engine="qemu"), "models/1/platform/engine: 'qemu' is not one of"),
        (lambda platform: platform.pop("chip"), "models/1/platform: 'chip' is a required property"),
        (
            lambda platform: platform.update(vlen_bits=128),
            "models/1: gestures (vector) with motions/test is",
        ),
        (lambda platform: platform["firmware"].pop("sha256"), "models/1/platform/firmware: "),
    ],
)
def test_a_platform_that_is_none_is_refused(change, said):
    document = copy.deepcopy(three_lengths())
    change(document["models"][1]["platform"])
    assert metrics.problem_of(document).startswith(said)


def test_a_snapshot_is_of_the_entrys_platform():
    document = three_lengths()
    last = {**document, "models": document["models"][-1:]}
    assert snapshots.snapshot(last)["subject"]["chip"] == "mine"
    assert snapshots.snapshot(last)["made_with"]["firmware_sha256"] == "3" * 64
    assert [each["vlen_bits"] for each in platforms_in(document)] == [128, 256, 512, 512]


# ---- Levels of the optimizer


def two_levels():
    """A model as stock IREE compiles it, and optimized: on one platform."""
    models = [at_level(make_model(seed=seed), level) for seed, level in ((1, "none"), (2, "standard"))]
    return joined([make_document(model) for model in models])


def test_the_levels_of_a_model_are_told_apart(tmp_path, capsys):
    document, place = two_levels(), str(tmp_path / "h.db")
    counts = [model["instructions"]["mean"] for model in document["models"]]
    labels = [f"gestures (vector), optimize={level}" for level in ("none", "standard")]
    report.write_reports(document, tmp_path)
    shown = Page((tmp_path / "report.html").read_text())
    assert [row[0] for row in shown.tables["comparison"] if row] == labels
    metrics.write(tmp_path / "metrics.json", document)
    run.print_summary(Outputs.usual(tmp_path))
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if line.startswith("gestures")]
    assert [(line[6], line[-1]) for line in lines] == [(f"{counts[0]:,}", "none"), (f"{counts[1]:,}", "standard")]
    assert [(cell.model, cell.instructions) for cell in matrix.cells_of([document])] == [
        *zip(labels, counts, strict=True)
    ]
    said = VerdictFile(tmp_path, "S", "a")
    for _, measured in record.snapshots_in(document):
        said.add([gate.judge(measured, gate.Limit("instructions", 10**9))])
    content = json.loads((tmp_path / "gate.json").read_text())
    named = [f"gestures (vector, {level}) on springbok, spike, VLEN 512" for level in ("none", "standard")]
    assert [each["subject"] for each in content["verdicts"]] == named
    assert read_lead(tmp_path, document).wrong == ()
    # Verdicts of before named neither the usual level nor the usual chip, and long before no level at all.
    for levels in ((", none", ""), ("", "")):
        for each, level in zip(content["verdicts"], levels, strict=True):
            each["subject"] = f"gestures (vector{level}) on spike, VLEN 512"
            each.pop("evaluation", None)
        (tmp_path / "gate.json").write_text(json.dumps(content))
        assert read_lead(tmp_path, document).wrong == ()
    for each in content["verdicts"]:
        each["subject"] = "gestures (vector) on spike, VLEN 128"
    (tmp_path / "gate.json").write_text(json.dumps(content))
    assert "gate.json judged gestures (vector) on spike, VLEN 128" in read_lead(tmp_path, document).wrong[0]
    (tmp_path / "gate.json").unlink()
    assert cli.main(["history", "add", str(tmp_path), "--history", place]) == 0
    with opened(place) as store:
        found = {
            each.configuration.optimize: each.points[1]
            for each in store.series(store.runs())
            if (each.metric, each.layer) == ("instructions", "")
        }
    assert found == {"none": counts[0], "standard": counts[1]}


def test_the_change_is_since_the_same_level():
    """What each side has once is compared also where the level is another: that is the change then."""
    both, single = two_levels(), [make_document(model) for model in two_levels()["models"]]
    for number, model in enumerate(both["models"]):
        assert find_same(both, model, copy.deepcopy(both))["vmfb_bytes"] == model["vmfb_bytes"]
        assert find_same(both, model, single[1 - number]) is None
    assert find_same(single[1], single[1]["models"][0], single[0]) is single[0]["models"][0]


def test_one_level_twice_is_refused():
    document = two_levels()
    assert metrics.problem_of(document) == ""
    document["models"][1]["compiler"] = document["models"][0]["compiler"]
    assert "models/1: gestures (vector) with motions/test is there twice" in metrics.problem_of(document)
