# SPDX-License-Identifier: Apache-2.0
"""What changed between two configurations, by layer: what got slower, came, went, or was fused otherwise."""

import copy
import math
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_runs import make_dispatch, make_document, make_model

from springbok import report
from springbok.measuring import platforms
from springbok.measuring.derived import RUNTIME
from springbok.measuring.platforms import joined
from springbok.report import counterparts
from springbok.report.changes import changes_figure, layer_changes
from springbok.report.compare import comparison_figures
from springbok.report.counterparts import MOST_BY_LAYER


def with_dispatches(*parts):
    """A model whose dispatches are of these (layers, scale), with the runtime's 1000 instructions around them."""
    dispatches = [make_dispatch(number, scale, True) | {"layer": layer} for number, (layer, scale) in enumerate(parts)]
    opcodes = {"addi": 1000}
    for dispatch in dispatches:
        for name, count in dispatch["opcodes"].items():
            opcodes[name] = opcodes.get(name, 0) + count
    total = sum(opcodes.values())
    instructions = {"min": total, "mean": total, "max": total}
    return make_model() | {"dispatches": dispatches, "opcodes": opcodes, "instructions": instructions}


@pytest.mark.parametrize(("count", "end"), [(4, "o3 +10"), (5, ", and 1 other"), (6, ", and 2 others")])
def test_how_many_other_opcodes_changed_is_said(count, end):
    before, after = with_dispatches(("a", 1)), with_dispatches(("a", 1))
    after["dispatches"][0]["opcodes"] |= {f"o{number}": 10 for number in range(count)}
    assert {row["layer"]: row["opcodes"] for row in layer_changes(before, after)}["a"].endswith(end)


def test_each_kind_of_change_is_told_with_its_opcodes():
    before = with_dispatches(("same", 3), ("slower", 2), ("faster", 9), ("gone", 4), ("pad + conv", 5), ("relu", 1))
    after = with_dispatches(("same", 3), ("slower", 7), ("faster", 8), ("new", 4), ("pad", 1), ("conv + relu", 6))
    rows = {row["layer"]: row for row in layer_changes(before, after)}
    assert {name: row["status"] for name, row in rows.items()} == {
        "same": "the same",
        "slower": "slower",
        "faster": "faster",
        "gone": "gone",
        "new": "new",
        "pad + conv + relu": "fused otherwise, slower",
        RUNTIME: "the same",
    }
    assert rows["pad + conv + relu"]["how"] == "pad + conv | relu → conv + relu | pad"
    assert rows["slower"]["opcodes"].startswith("addi +1,500, flw +1,000")
    assert rows["slower"]["opcodes"].endswith(", and 7 others") and rows["same"]["opcodes"] == ""
    assert (rows["gone"]["after"], rows["new"]["before"], rows["new"]["ratio"]) == (None, None, None)


LAYERS = st.lists(st.tuples(st.sampled_from(["a", "b", "c", "a + b", "b + c", None]), st.integers(1, 9)), max_size=6)


@settings(max_examples=40, deadline=None)
@given(LAYERS, LAYERS)
def test_changes_add_up_to_that_of_the_inference_and_each_dispatch_is_in_one_row(parts, others):
    before, after = with_dispatches(*parts), with_dispatches(*others)
    rows = layer_changes(before, after)
    total = after["instructions"]["mean"] - before["instructions"]["mean"]
    assert math.fsum(row["change"] for row in rows) == total
    assert math.fsum(row["before"] or 0 for row in rows) == before["instructions"]["mean"]
    assert len({row["layer"] for row in rows}) == len(rows)
    back = {row["layer"]: row["change"] for row in layer_changes(after, before)}
    assert sorted(back.values()) == sorted(-row["change"] for row in rows)


def test_a_chart_of_changes_goes_both_ways_and_is_left_out_where_nothing_moved(tmp_path):
    before, after = with_dispatches(("a", 3), ("b", 5)), with_dispatches(("a", 4), ("b", 4))
    figure = changes_figure(("VLEN 128", "VLEN 512"), before, after)
    assert {row["change"] > 0 for row in figure.chart["data"]["values"]} == {True, False}
    assert changes_figure(("x", "y"), before, before).chart is None
    runs = [report.Run("x", make_document(before, vlen=128)), report.Run("y", make_document(after, vlen=512))]
    report.write_comparison(runs, tmp_path)
    assert "From gestures \\(vector\\), VLEN 128, x to" in (tmp_path / "compare.md").read_text()
    report.write_reports(make_document(after), tmp_path, earlier=report.Run("old", make_document(before)))
    assert "From the earlier results to these, by layer" in (tmp_path / "report.html").read_text()


OF_SAMPLES = st.tuples(st.sampled_from([20, 40]), st.sampled_from([None, "a" * 64, "b" * 64]))


@settings(max_examples=30, deadline=None)
@given(OF_SAMPLES, OF_SAMPLES, st.integers(1, 9), st.integers(1, 9))
def test_what_was_measured_over_other_samples_is_told_and_not_judged(first, second, scale, other):
    models = []
    for (samples, digest), size in ((first, scale), (second, other)):
        made = with_dispatches(("a", size), ("b + c", 2))
        models.append(made | {"samples": samples, "dataset": {**made["dataset"], "sha256": digest}})
    runs = [report.Run(name, make_document(model)) for name, model in zip("xy", models, strict=True)]
    (row,) = counterparts.counterparts_table(report.configurations(runs)).rows
    figure = changes_figure(("x", "y"), *models)
    told = " ".join([row["status"], figure.note, *(each["status"] for each in figure.rows)])
    is_same = first[0] == second[0] and (first[1] == second[1] or None in (first[1], second[1]))
    assert ("over other samples" in told) != is_same
    assert bool(re.search("slower|faster", told)) == (is_same and scale != other)
    assert row["change"] == models[1]["instructions"]["mean"] - models[0]["instructions"]["mean"]


def test_a_ratio_to_nothing_is_none_and_to_what_is_not_told_unknown():
    first, second, third = make_model(variant="scalar"), make_model(), make_model(variant="untold")
    third["opcodes"] = None
    found = comparison_figures([report.Run("a", make_document(first, second, third))])
    figure = next(each for each in found if each.key == "opcode")
    columns = {column.title: column for column in figure.columns}
    assert list(columns) == ["opcode", "scalar", "vector", "vector: ratio", "untold", "untold: ratio"]
    row = next(row for row in figure.rows if row["opcode"].startswith("v"))
    assert [columns[name].shown(row) for name in list(columns)[1:]][0::2] == ["0", "none", "unknown"]
    assert columns["untold"].shown(row) == "unknown"
    known = next(row for row in figure.rows if row["opcode"] == "addi")
    assert float(columns["vector: ratio"].shown(known)) == 1.0
    assert figure.is_wide and "to 0 there is none" in figure.note


def test_tables_of_many_configurations_have_the_pages_width():
    for count, is_wide in ((2, False), (3, True), (4, True)):
        models = [make_model(variant=f"v{number}", seed=number + 1) for number in range(count)]
        found = comparison_figures([report.Run("a", make_document(*models))])
        assert [each.is_wide for each in found if each.key in ("layer", "opcode")] == [is_wide, is_wide]


# From run to run


VLENS, LEVELS = (128, 256, 512), ("none", "standard")


def at(level, vlen, scale=3, variant="vector"):
    """A document of one configuration whose first layer costs by ``scale``."""
    model = with_dispatches(("a", scale), ("b", 5)) | {"variant": variant}
    optimizer = {"level": level, "flag_set": "", "transformations": []}
    return make_document(model | {"compiler": {**model["compiler"], "optimizer": optimizer}}, vlen=vlen)


CONFIGURATIONS = st.lists(
    st.tuples(st.sampled_from(LEVELS), st.sampled_from(VLENS), st.sampled_from(["vector", "scalar"])),
    unique=True,
    min_size=1,
)


@settings(max_examples=60, deadline=None)
@given(CONFIGURATIONS, CONFIGURATIONS, st.data())
def test_each_configuration_is_held_against_the_same_of_the_other_run(first, second, data):
    scales = st.integers(1, 9)
    parts = [[at(level, vlen, data.draw(scales), variant) for level, vlen, variant in run] for run in (first, second)]
    runs = [report.Run(name, joined(part)) for name, part in zip("ab", parts, strict=True)]
    found = report.configurations(runs)
    labels = {(each.run.label, *key): each.label for each, key in zip(found, [*first, *second], strict=True)}
    rows = {row["configuration"]: row for row in report.counterparts_table(found).rows}
    for key in second:
        row = rows[labels[("b", *key)]]
        if key in first:
            assert row["against"] == labels[("a", *key)]
        elif row["against"] is not None:  # nobody could mean another one
            (other,) = [each for each in first if labels[("a", *each)] == row["against"]]
            same = [place for place in range(3) if other[place] == key[place]]
            for run in (first, second):
                assert sum(all(each[place] == key[place] for place in same) for each in run) == 1
    told = {label for label, row in rows.items()} | {row["against"] for row in rows.values()}
    assert told - {None} == set(labels.values())  # each is in a pair, or said to have no counterpart
    alone = [row for row in rows.values() if row["against"] is None]
    assert all(row["status"].startswith("only in ") and row["change"] is None for row in alone)


def against(*parts):
    """What each configuration of these runs (one list of places a run) is held against, both as (run, *place)."""
    runs = [
        report.Run(str(number), joined([at(*place[:2], 3, *place[2:]) for place in part]))
        for number, part in enumerate(parts)
    ]
    found = report.configurations(runs)
    places = [(number, *place) for number, part in enumerate(parts) for place in part]
    named = {each.label: place for each, place in zip(found, places, strict=True)}
    rows = report.counterparts_table(found).rows
    return {named[row["configuration"]]: named[row["against"]] for row in rows if row["against"]}


def test_the_same_of_any_earlier_run_comes_before_a_near_one():
    held = against([("none", 128)], [("none", 256)], [("none", 256)])
    assert held == {(1, "none", 256): (0, "none", 128), (2, "none", 256): (1, "none", 256)}
    held = against([("standard", 128)], [("none", 128)], [("none", 256)])  # of near ones the nearest
    assert held[2, "none", 256] == (1, "none", 128)


@settings(max_examples=60, deadline=None)
@given(CONFIGURATIONS, CONFIGURATIONS)
def test_turned_round_the_same_pairs_are_made_and_each_is_in_one(first, second):
    held, turned = against(first, second), against(second, first)
    assert {(later[1:], earlier[1:]) for later, earlier in held.items()} == {
        (earlier[1:], later[1:]) for later, earlier in turned.items()
    }
    assert len({*held.values()}) == len(held)


def test_two_that_differ_from_one_as_little_are_held_against_nothing():
    one, two = [("none", 512)], [("none", 512, "scalar"), ("none", 128)]
    assert against(one, two) == against(two, one) == {}


def test_of_each_configuration_is_read_once_what_it_is(monkeypatch):
    """Five runs of sixty configurations, no two on one chip: what is asked grows as they do, not by pairs of them."""
    asked = []
    monkeypatch.setattr(
        counterparts, "configuration_of", lambda *each: asked.append(each) or platforms.configuration_of(*each)
    )
    runs = []
    for number in range(5):
        document = make_document(*(make_model(f"m{place % 20}", f"v{place // 20}") for place in range(60)))
        runs.append(report.Run(str(number), {**document, "chip": f"chip{number}"}))
    table = report.counterparts_table(report.configurations(runs))
    assert len(asked) == 300 and sum(row["against"] is not None for row in table.rows) == 240


def test_what_changed_most_is_told_by_layer_first_and_the_rest_in_a_table(tmp_path):
    """Twelve configurations of a model, of which eleven changed; one of each run has no counterpart."""
    places = [(level, vlen, variant) for level in LEVELS for vlen in VLENS for variant in ("vector", "scalar")]
    before = joined([at(level, vlen, 20, variant) for level, vlen, variant in places] + [at("none", 64)])
    after = joined([at(level, vlen, 20 + number, variant) for number, (level, vlen, variant) in enumerate(places)])
    after = joined([after, at("standard", 1024)])
    runs = [report.Run("a", before), report.Run("b", after)]
    table, *figures = comparison_figures(runs, changes=True)
    rows = table.rows
    assert [row["status"] for row in rows] == ["slower"] * 11 + ["the same", "only in a", "only in b"]
    changes = [row["change"] for row in rows[:11]]
    assert changes == sorted(changes, reverse=True) and changes[-1] > 0
    by_layer = [each.title for each in figures if each.key == "changes"]
    pairs = [f"From {row['against']} to {row['configuration']}, by layer" for row in rows[:MOST_BY_LAYER]]
    assert by_layer == pairs and all("optimize=standard, a to gestures" in each for each in by_layer[:5])
    assert "11 of 12 pairs changed. By layer the 10 that changed most are shown" in table.note
    assert "2 configurations without a counterpart" in table.note
    report.write_comparison(runs, tmp_path)
    text = (tmp_path / "compare.html").read_text()
    assert text.index("What changed, by configuration") < text.index("by layer")


def test_nothing_that_changed_is_said_too():
    runs = [report.Run(name, at("none", 128)) for name in "ab"]
    table, *others = comparison_figures(runs, changes=True)
    assert table.note == "0 of 1 pair changed." and "changes" not in {each.key for each in others}


def with_(model, name):
    """The model's entry with another number of that name, or as it is."""
    model = copy.deepcopy(model)
    if name in ("memory_peak_bytes", "vmfb_bytes", "load_instructions", "stack_peak_bytes", "accuracy"):
        model[name] = model[name] / 10 if name == "accuracy" else model[name] * 3
    elif name == "cycles":
        model["cycles"] = {"mean": 7_000}
    elif name == "opcodes":
        model["opcodes"] = {**model["opcodes"], "addi": model["opcodes"]["addi"] - 1, "sub": 1}
    elif name == "swapped":
        for dispatch, more in zip(model["dispatches"], (1, -1), strict=False):
            dispatch["opcodes"] |= {
                "addi": dispatch["opcodes"]["addi"] + more,
                "bne": dispatch["opcodes"]["bne"] - more,
            }
    elif name == "spread":
        model["per_sample"]["instructions"].reverse()
    elif name == "fit":
        model["fit"] = [{"name": "dmem", "bytes": 2**24, "parts": {}, "free_bytes": 5}]
    elif name in ("timing", "estimate"):
        model = estimated(model, "9" if name == "timing" else "1", 5_000 + (name == "estimate"))
    return model


def estimated(model, digest="1", cycles=5_000):
    """The model with cycles by a description of that digest."""
    return model | {"estimate": {"timing": {"name": "assumed", "sha256": digest * 64}, "estimated_cycles": cycles}}


NUMBERS = {
    "accuracy": "accuracy ",
    "memory_peak_bytes": "memory peak 100,001 bytes → 300,003 bytes",
    "vmfb_bytes": "module 30,001 bytes → 90,003 bytes",
    "load_instructions": "instructions of loading the module 78,058 → 234,174",
    "stack_peak_bytes": "stack peak 1,792 bytes → 5,376 bytes",
    "cycles": "cycles an inference unknown → 7,000",
    "opcodes": "opcodes",
    "timing": "cycles estimated by another description",
    "estimate": "estimated cycles an inference 5,000 → 5,001",
    "fit": "what the chip's memories hold",
    "swapped": "what dispatches execute",
    "spread": "instructions by sample",
}


@pytest.mark.parametrize("name", NUMBERS)
def test_the_same_is_said_only_where_every_number_is(name):
    before = estimated(make_model()) if name in ("timing", "estimate") else make_model()
    after = with_(make_model(), name)
    found = [report.Run(label, make_document(each)) for label, each in (("a", before), ("b", after))]
    table = report.counterparts_table(report.configurations(found))
    (row,) = table.rows
    assert row["status"] == "other numbers" and table.note == "1 of 1 pair changed."
    assert row["others"].startswith(NUMBERS[name]) and row["change"] == 0
    same = report.counterparts_table(report.configurations([found[0], report.Run("c", found[0].document)]))
    assert same.note == "0 of 1 pair changed." and same.rows[0]["others"] is None


def test_what_else_changed_is_told_beside_the_instructions_and_counted():
    model = with_dispatches(("a", 3))
    after = with_dispatches(("a", 4)) | {"accuracy": model["accuracy"] / 10}
    runs = [report.Run("a", make_document(model)), report.Run("b", make_document(after))]
    table, layers, *_ = comparison_figures(runs, changes=True)
    assert table.rows[0]["status"] == "slower" and layers.key == "changes"
    assert table.rows[0]["others"].startswith("accuracy ")
    for name in NUMBERS:
        after = with_(after, name)
    others = report.counterparts_table(report.configurations([runs[0], report.Run("b", make_document(after))]))
    assert re.search(r"memory peak .*; module .*; and \d+ more$", others.rows[0]["others"])
