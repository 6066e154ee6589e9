# SPDX-License-Identifier: Apache-2.0
"""Timelines of an inference: to scale, without gaps, nested, and as other programs read them."""

import json

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_runs import make_document, make_model

from springbok import report
from springbok.measuring import metrics
from springbok.measuring.derived import RUNTIME, dispatch_label
from springbok.report import timeline


def timed(gaps, lengths, cycles=2):
    """A model whose dispatches are called one after the other, again and again, with the runtime's ``gaps`` between."""
    model = make_model()
    begins, at = [], 0
    for gap, length in zip(gaps, lengths, strict=False):
        begins.append(at + gap)
        at += gap + length
    calls = {
        "dispatch": [number % len(model["dispatches"]) for number in range(len(begins))],
        "begin": begins,
        "instructions": list(lengths[: len(begins)]),
    }
    calls |= {"cycle_begin": [cycles * each for each in calls["begin"]]}
    calls |= {"cycles": [cycles * each for each in calls["instructions"]]}
    end = at + gaps[-1]
    model["timeline"] = {"instructions": end, "cycles": cycles * end, "calls": calls}
    return model


counts = st.lists(st.integers(0, 10**6), min_size=2, max_size=12)


@settings(max_examples=40, deadline=None)
@given(counts, counts)
def test_spans_follow_each_other_from_the_begin_to_the_end(gaps, lengths):
    model = timed(gaps, lengths)
    for unit, scale in (("instructions", 1), ("cycles", 2)):
        spans = timeline.spans(model, unit)
        assert [each.begin for each in spans] == [0, *(each.end for each in spans)][: len(spans)]
        assert (spans[-1].end if spans else 0) == scale * model["timeline"]["instructions"]
        calls = model["timeline"]["calls"]
        assert [(each.place, each.length) for each in spans if each.place is not None] == list(
            zip(calls["dispatch"], calls[unit], strict=True)
        )


@settings(max_examples=40, deadline=None)
@given(counts, counts)
def test_speedscope_opens_and_closes_each_frame_in_its_turn(gaps, lengths):
    content = timeline.speedscope([("a", timed(gaps, lengths))])
    assert [profile["name"] for profile in content["profiles"]] == ["a: instructions", "a: cycles"]
    for profile in content["profiles"]:
        open_ones, at = [], profile["startValue"]
        for event in profile["events"]:
            assert event["at"] >= at
            at = event["at"]
            if event["type"] == "O":
                open_ones.append(event["frame"])
            else:
                assert open_ones.pop() == event["frame"]
        assert open_ones == []
        assert at == profile["endValue"]


def test_perfetto_shows_dispatches_in_their_layer_and_the_runtime_beside_it():
    model = timed([10, 20, 30, 40, 50], [100, 200, 300, 400, 500])
    model["dispatches"][1]["layer"] = model["dispatches"][0]["layer"]
    events = timeline.trace([("gestures", model)])["traceEvents"]
    assert [each["args"]["name"] for each in events if each["ph"] == "M"] == [
        "gestures: instructions",
        "gestures: cycles",
    ]
    parts = {each["cat"]: [] for each in events if each["ph"] == "X"}
    for each in events:
        if each["ph"] == "X" and each["pid"] == 1:
            parts[each["cat"]].append((each["name"], each["ts"], each["dur"]))
    names = [dispatch_label(each) for each in model["dispatches"]]
    assert parts["inference"] == [("inference", 0, 1700)]
    assert parts["layer"][:3] == [(RUNTIME, 0, 10), ("conv_0", 10, 320), (RUNTIME, 330, 30)]
    assert parts["dispatch"][:3] == [(names[0], 10, 100), (RUNTIME, 110, 20), (names[1], 130, 200)]
    memory = [each["args"] for each in events if each["ph"] == "C"]
    assert memory[0] == {"bytes, at the peak": model["memory_peak_bytes"]}


def test_without_single_calls_each_dispatch_is_shown_once_and_the_page_says_so():
    model = make_model()
    spans = timeline.spans(model)
    assert [each.name for each in spans] == [*map(dispatch_label, model["dispatches"]), RUNTIME]
    assert spans[-1].end == model["instructions"]["mean"]
    assert "not known" in timeline.timeline(model).note


def test_the_runtimes_functions_are_a_figure_and_a_profile():
    model = make_model() | {"runtime_functions": {"vm_run": 700, "memcpy": 300}}
    jsonschema.validate(make_document(model), json.loads(metrics.SCHEMA_FILE.read_text()))
    assert [row["share"] for row in timeline.runtime_functions(model).rows] == [0.7, 0.3]
    profile = timeline.speedscope([("a", model)])["profiles"][-1]
    assert (profile["type"], profile["weights"], profile["endValue"]) == ("sampled", [700, 300], 1000)


@pytest.mark.parametrize("model", [make_model(), timed([1, 2, 3], [4, 5, 6])])
def test_the_files_lie_beside_the_report(model, tmp_path):
    document = make_document(model)
    jsonschema.validate(document, json.loads(metrics.SCHEMA_FILE.read_text()))
    names = [path.name for path in report.write_reports(document, tmp_path)]
    assert names[-2:] == ["timeline.trace.json", "timeline.speedscope.json"]
    assert json.loads((tmp_path / names[-2]).read_text())["traceEvents"]
    assert (tmp_path / "report.html").read_text().count("timeline.speedscope.json") >= 1


def test_memory_for_tensors_is_told_and_drawn_where_it_changes():
    model = timed([10, 20, 30, 40, 50], [100, 200, 300, 400, 500])
    calls = model["timeline"]["calls"]
    calls["tensor_bytes"] = [64] * len(calls["begin"])
    assert [each["bytes"] for each in timeline.tensor_memory(model)] == [64]
    figure = timeline.timeline(model)
    assert "Memory for tensors: 64 bytes from the first dispatch to the last" in figure.note
    assert all(each["name"] != "memory" for each in figure.chart["vconcat"])
    calls["tensor_bytes"][-1] = 100
    jsonschema.validate(make_document(model), json.loads(metrics.SCHEMA_FILE.read_text()))
    spans, end = timeline.tensor_memory(model), calls["begin"][-1]
    assert spans == [{"begin": 0, "end": end, "bytes": 64}, {"begin": end, "end": 1700, "bytes": 100}]
    drawn = timeline.timeline(model).chart["vconcat"][-1]
    assert [each["says"] for each in drawn["data"]["values"]] == [
        "from 0: 64 bytes for tensors",
        f"from {end:,}: 100 bytes for tensors",
    ]
    events = timeline.trace([("gestures", model)])["traceEvents"]
    told = [(each["ts"], each["args"]["bytes"]) for each in events if each["name"] == "tensors" and each["pid"] == 1]
    assert told == [(0, 64), (end, 100)]
