# SPDX-License-Identifier: Apache-2.0
"""What a run measures twice under one name: nothing is gone without a word, wherever the run is told of."""

import copy
import json
import re
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_runs import make_document, make_model

import PerformanceLibrary
from springbok import cli, report
from springbok.cli import run, running
from springbok.cli.text import print_table
from springbok.history import record
from springbok.history.store import opened
from springbok.measuring import metrics
from springbok.measuring.evaluation import Evaluation, Platform
from springbok.measuring.platforms import joined
from springbok.measuring.recorded import Recorded, left_out
from springbok.report import page
from springbok.report.lead import lead
from springbok.support.results_folder import Outputs


def other(model, what):
    """The model's entry as it is where one thing of it is another."""
    model = copy.deepcopy(model)
    if what == "samples":
        model["samples"] += 1
    elif what == "flags":
        model["compiler"]["flags"].append(f"--iree-opt-data-tiling=true{len(model['compiler']['flags'])}")
    elif what == "module":
        model["vmfb_sha256"] = f"{int(model['vmfb_sha256'], 16) + 1:064x}"
    elif what == "data":
        model["dataset"]["sha256"] = f"{int(model['dataset'].get('sha256', '0'), 16) + 1:064x}"
    elif what == "order":
        model["compiler"]["flags"] = [*model["compiler"]["flags"], model["compiler"]["flags"][0]]
    elif what == "timing":
        digest = f"{int(model.get('estimate', {'timing': {'sha256': '0'}})['timing']['sha256'], 16) + 1:064x}"
        model["estimate"] = {"timing": {"name": "assumed", "sha256": digest}, "estimated_cycles": 5}
    elif what == "fit":
        free = model.get("fit", [{"free_bytes": 0}])[0]["free_bytes"] + 1
        model["fit"] = [{"name": "dmem", "bytes": 2**24, "parts": {}, "free_bytes": free}]
    elif what == "counts":
        model["instructions"]["mean"] += 1
    elif what == "answers":
        model["accuracy"] /= 2
    return model


SAID = {
    "samples": "samples 30, now 31",
    "flags": "compiler flags added: --iree-opt-data-tiling=true1",
    "module": "another module",
    "data": "another data",
    "counts": "the counts",
    "answers": "the counts",
    "timing": "cycles estimated by none, now assumed",
    "fit": "another use of the chip's memories",
    "order": "compiler flags in another order",
}


@given(st.lists(st.sampled_from(["nothing", *SAID]), max_size=6))
@settings(max_examples=40, deadline=None)
def test_what_takes_anothers_place_is_told_unless_it_is_the_same(changes):
    recorded, model = Recorded(), make_model()
    documents = [make_document(model)]
    said = recorded.add(documents[0], "First")
    for number, what in enumerate(changes):
        before, model = model, other(model, what)
        documents.append(make_document(model))
        told = recorded.add(documents[-1], f"Suite {number}")
        of = "First" if number == 0 else f"Suite {number - 1}"
        assert len(told) == (what != "nothing")
        for sentence in told:
            count = f"{before['instructions']['mean']:,} instructions"
            assert f"the numbers of {of} ({count}) are left out, and those of Suite {number} are shown" in sentence
        said += told
    whole = recorded.document
    assert left_out(whole) == said
    assert metrics.problem_of(make_document(make_model()) | {"replaced": whole.get("replaced", [])}) == ""
    rest = {key: value for key, value in whole.items() if key != "replaced"}
    assert json.dumps(rest) == json.dumps(joined(documents))  # all else is as it was
    assert joined([whole, documents[0]])["replaced"] == whole["replaced"] if said else "replaced" not in whole


@pytest.mark.parametrize("what", SAID)
def test_each_difference_is_named(what):
    recorded = Recorded()
    recorded.add(make_document(make_model()), "B")
    (sentence,) = recorded.add(make_document(other(make_model(), what)), "B")
    assert SAID[what] in sentence and "those of its later evaluation are shown" in sentence


def test_another_firmware_is_named_and_time_is_no_difference():
    recorded, document = Recorded(), make_document(make_model())
    recorded.add(document, "B")
    later = copy.deepcopy(document)
    later["models"][0]["wall_clock"]["upload_seconds"] += 1
    later["models"][0]["stack_peak_bytes"] += 8
    assert recorded.add(later, "C") == []
    later["firmware"] = {**later["firmware"], "sha256": "7" * 64}
    (sentence,) = recorded.add(later, "D")
    assert "not of the same thing (another firmware)" in sentence


def test_other_configurations_take_no_place():
    recorded = Recorded()
    for name, variant, vlen in (("a", "vector", 128), ("a", "vector", 256), ("a", "scalar", 256), ("b", "vector", 128)):
        model = make_model(name, variant)
        assert recorded.add(make_document(model, vlen=vlen), "S") == []
    assert len(recorded.document["models"]) == 4 and "replaced" not in recorded.document


def test_the_same_measured_again_on_several_platforms_is_no_difference():
    """What is kept of a second platform stands beside its entry."""
    recorded = Recorded()
    for suite in ("A", "B"):
        for vlen in (128, 256, 512):
            assert recorded.add(make_document(make_model(), vlen=vlen), suite) == []
    assert len(recorded.document["models"]) == 3 and "replaced" not in recorded.document


def test_the_keyword_warns_and_everything_that_tells_of_the_run_says_it(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(metrics, "model_metrics", lambda evaluation: evaluation.model)
    monkeypatch.setattr(PerformanceLibrary.renode_test, "suite_folder", lambda: tmp_path)
    monkeypatch.setattr(page.charts, "render", lambda found: ["<svg/>" for _ in found])
    metadata, warned = [], []
    suites = iter(("Suites.B", "Suites.C"))
    robot = SimpleNamespace(
        get_variable_value=lambda name: next(suites) if name == "${SUITE NAME}" else None,
        set_suite_metadata=lambda name, text, top: metadata.append(text),
    )
    monkeypatch.setattr(PerformanceLibrary, "BuiltIn", lambda: robot)
    monkeypatch.setattr(PerformanceLibrary.logger, "info", lambda text, html: None)
    monkeypatch.setattr(PerformanceLibrary.logger, "warn", warned.append)
    library = PerformanceLibrary.PerformanceLibrary()
    firmware = SimpleNamespace(sha256="2" * 64, text_bytes=1, rodata_bytes=2, data_bytes=3, bss_bytes=4)
    for model in (make_model(), make_model(seed=2) | {"vmfb_sha256": "5" * 64}):
        platform = Platform("spike", "1.0", 512, "socket", firmware)
        library.record_metrics(Evaluation(model, None, None, None, None, platform=platform))
    (sentence,) = warned
    assert "the numbers of Suites.B (129,820 instructions) are left out, and those of Suites.C are shown" in sentence
    assert f"Left out: {sentence}." in metadata[-1].replace("¦", "|") and "Left out" not in metadata[0]
    document = metrics.read(tmp_path)
    run.print_summary(Outputs.usual(tmp_path))
    assert f"Left out: {sentence}.\n" in capsys.readouterr().out
    report.write_reports(document, tmp_path)
    for name in ("report.html", "report.md"):
        text = (tmp_path / name).read_text()
        assert "Left out of this report" in text and "Suites.B" in text and "129,820" in text
    (tmp_path / "xunit.xml").write_text('<testsuite tests="1"><testcase classname="S" name="t"/></testsuite>')
    assert "Left out of this report" in report.write_summary(tmp_path, document).read_text()
    place = str(tmp_path / "h.db")
    assert cli.main(["history", "add", str(tmp_path), "--history", place]) == 0
    assert cli.main(["history", "show", "1", "--history", place]) == 0
    assert f"Left out: {sentence}.\n" in capsys.readouterr().out
    assert cli.main(["matrix", str(tmp_path), "--output", str(tmp_path / "matrix")]) == 0
    assert sentence in capsys.readouterr().out
    assert "Suites.B" in (tmp_path / "matrix" / "matrix.md").read_text()


def test_suites_that_renode_runs_apart_are_held_against_each_other_too(monkeypatch, tmp_path):
    for name, what in (("b", "nothing"), ("c", "flags")):
        metrics.write(tmp_path / name / "metrics.json", make_document(other(make_model(), what)))
    monkeypatch.setattr(running, "renode_test", lambda: tmp_path / "renode-test")
    monkeypatch.setattr(running, "call", lambda *_, **__: 0)
    monkeypatch.setattr(running.time, "time", lambda: 0.0)
    assert running.run_renode([tmp_path / "b.robot"], tmp_path, []) == 0
    (replaced,) = metrics.read(tmp_path)["replaced"]
    assert (replaced["suite"], replaced["by"]) == ("b", "c")


def test_results_without_a_record_are_neither_passed_nor_failed_and_no_version_is_made_up(tmp_path, capsys):
    metrics.write(tmp_path / "metrics.json", make_document(make_model()))
    place = str(tmp_path / "h.db")
    assert cli.main(["history", "add", str(tmp_path), "--history", place]) == 0
    with opened(place) as store:
        (found,) = store.runs()
    assert found.verdict == record.MEASURED and {*found.versions} == {"compiler", "firmware"}
    assert cli.main(["history", "page", "--history", place, "--output", str(tmp_path)]) == 0
    assert '<b class="sb-mark-none">measured</b>' in (tmp_path / "history.html").read_text()


def test_a_limit_is_told_as_the_gate_has_it():
    verdict = {"outcome": "failed", "subject": "m", "title": "samples", "value": "28", "baseline": "8", "change": "+20"}
    judged = [{**verdict, "limit": "at most 8 is allowed (the baseline's)", "accounts": [], "compared": True}]
    gate = {"verdicts": judged, "baselines": [], "updates": []}
    assert ("m: samples", "28 (+20 since 8); at most 8 is allowed (the baseline's)") in lead(None, gate=gate).failures


def test_a_matrix_rounds_as_its_badges_do(tmp_path):
    model = make_model()
    model["instructions"]["mean"] = 1841.5666667
    report.write_matrix([make_document(model)], tmp_path)
    texts = [(tmp_path / f"matrix.{ending}").read_text() for ending in ("html", "md")]
    assert all("1,841.57" in text and "1,841.5666" not in text for text in texts)


def test_a_name_that_turns_the_direction_of_writing_is_shown_as_what_it_is(tmp_path, capsys):
    document = make_document(make_model("pump\u202e", seed=1))
    document["models"][0]["dispatches"][0]["layer"] = "conv\u2066"
    report.write_reports(document, tmp_path)
    runs = [report.Run("a", document), report.Run("b", make_document(make_model("pump\u202e", seed=2)))]
    report.write_comparison(runs, tmp_path)
    report.write_matrix([document], tmp_path)
    for name in ("report.html", "report.md", "compare.html", "compare.md", "matrix.html", "matrix.md"):
        text = (tmp_path / name).read_text()
        assert not re.search("[\u202a-\u202e\u2066-\u2069]", text), name
        assert "u202e" in text and not re.search(
            r"(?<!\\)\\u202e", "".join(re.findall("<script type.*?</script>", text))
        )
    print_table([["pump\u202e"]])
    assert "pump\\u202e" in capsys.readouterr().out


def test_an_estimate_that_is_gone_is_told():
    recorded = Recorded()
    recorded.add(make_document(other(make_model(), "timing")), "B")
    (sentence,) = recorded.add(make_document(make_model()), "C")
    assert "cycles estimated by assumed, now none" in sentence


def test_a_comparison_says_of_which_run_numbers_are_left_out(tmp_path, capsys):
    recorded = Recorded()
    recorded.add(make_document(make_model()), "Suites.B")
    (sentence,) = recorded.add(make_document(other(make_model(), "samples")), "Suites.C")
    with_replaced = {**make_document(make_model()), "replaced": recorded.document["replaced"]}
    metrics.write(tmp_path / "one" / "metrics.json", with_replaced)
    metrics.write(tmp_path / "two" / "metrics.json", make_document(make_model()))
    folders = [str(tmp_path / name) for name in ("one", "two")]
    assert cli.main(["compare", *folders, "--output", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert f"Left out of one: {sentence}.\n" in out and "Left out of two" not in out
    for name in ("compare.html", "compare.md"):
        text = (tmp_path / "out" / name).read_text()
        assert "Left out of one" in text and "Suites.B" in text and "Left out of two" not in text
