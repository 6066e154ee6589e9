# SPDX-License-Identifier: Apache-2.0
"""A sweep's table: what is written can be read, and what is of another form or contradicts itself is refused."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_runs import make_document, make_model, make_regression
from test_sweep import failed_row, row

from springbok.exploring import sweep
from springbok.exploring.front import mark_pareto
from springbok.exploring.measure import recorded
from springbok.gate import snapshots
from springbok.support.errors import ReportError


@pytest.mark.parametrize("model", [make_model(), make_regression()])
def test_a_table_of_what_is_recorded_can_be_read(tmp_path, model):
    metrics = recorded(snapshots.snapshot(make_document(model)))
    rows = mark_pareto([{**row("a", 1, 1), "metrics": {"accuracy_loss": 0.0, **metrics}}])
    whole = {"schema": 1, "firmware_sha256": "0", "rows": rows}
    (tmp_path / sweep.FILE_NAME).write_text(json.dumps(whole))
    assert sweep.read(tmp_path) == whole


@pytest.mark.parametrize(
    "damage",
    [
        {"rows": None},
        {"rows": [3]},
        {"rows": [{}]},
        {"objective": "energy"},
        {"rows": [{**row("a", 1, 1), "pareto": None}]},
        {"rows": [{**row("a", 1, 1), "pareto": True, "metrics": []}]},
        {"rows": [{**row("a", -1, 1), "pareto": True}]},
        {"rows": [{**row("a", "1", 1), "pareto": True}]},
    ],
)
def test_a_table_of_another_shape_is_no_good(tmp_path, damage):
    whole = {"schema": 1, "firmware_sha256": "0", "rows": mark_pareto([row("a", 1, 1), failed_row("b")])}
    (tmp_path / sweep.FILE_NAME).write_text(json.dumps(whole))
    assert sweep.read(tmp_path) == whole
    (tmp_path / sweep.FILE_NAME).write_text(json.dumps({**whole, **damage}))
    with pytest.raises(ReportError, match=r"sweep\.json is no good: "):
        sweep.read(tmp_path)


def measured(label, instructions, size, **others):
    found = {"samples": 10, "accuracy": 0.9, "accuracy_loss": 0.1, "lane_utilisation": 0.5, "runtime_instructions": 1}
    found |= {"memory_peak_bytes": 9, "stack_accesses": 0, "outputs_sha256": "0" * 64}
    whole = row(label, instructions, size)
    return {
        **whole,
        "samples": 10,
        "equals": None,
        "module_sha256": label,
        "metrics": {**whole["metrics"], **found, **others},
    }


TABLE = mark_pareto(
    [
        measured("a", 10, 50),
        {**measured("b", 10, 50), "module_sha256": "a", "equals": "a"},
        measured("c", 30, 5),
        measured("d", 30, 50, r_squared=-3.0),
        {**failed_row("e"), "equals": None, "module_sha256": None},
    ]
)


@pytest.mark.parametrize("unknown", ["", "accuracy", "samples", "runtime_instructions", "lane_utilisation"])
def test_a_table_that_hangs_together_is_read(tmp_path, unknown):
    first = {**TABLE[0], "metrics": {**TABLE[0]["metrics"], **({unknown: None} if unknown else {})}}
    whole = {"schema": 1, "firmware_sha256": "0", "rows": [first, *TABLE[1:]]}
    (tmp_path / sweep.FILE_NAME).write_text(json.dumps(whole))
    assert sweep.read(tmp_path) == whole


@pytest.mark.parametrize(
    ("damage", "place"),
    [
        ({"metrics": {"accuracy": 11}}, "rows/0/metrics/accuracy: 11 is none"),
        ({"metrics": {"accuracy": -1}}, "rows/0/metrics/accuracy: -1 is none"),
        ({"metrics": {"accuracy": 0.95}}, "rows/0/metrics/accuracy: 0.95 is no share of 10 samples"),
        ({"metrics": {"lane_utilisation": 10.9}}, "rows/0/metrics/lane_utilisation: 10.9 is none"),
        ({"metrics": {"memory_peak_bytes": -1}}, "rows/0/metrics/memory_peak_bytes: -1 is none"),
        ({"metrics": {"samples": -1}}, "rows/0/metrics/samples: "),
        ({"metrics": {"samples": 20}}, "rows/0/metrics/samples: 20 of 10"),
        ({"metrics": {"accuracy_loss": 0.3}}, "rows/0/metrics/accuracy_loss: 0.3 of an accuracy of 1.2"),
        ({"metrics": {"accuracy_loss": None}}, "rows/0/metrics/accuracy_loss: it is not there"),
        ({"metrics": {"r_squared": 1.5}}, "rows/0/metrics/r_squared: 1.5 is none"),
        ({"metrics": {"mean_absolute_error": -0.5}}, "rows/0/metrics/mean_absolute_error: -0.5 is none"),
        ({"metrics": {"runtime_instructions": 11}}, "rows/0/metrics/runtime_instructions: 11 of 10"),
        ({"pareto": False}, "rows/0/pareto: False, and by the rows it is True"),
        ({"equals": "zzz"}, "rows/0/equals: zzz, and by the rows it is None"),
        ({"module_sha256": "other"}, "rows/1/equals: a, and by the rows it is None"),
        ({"error": "zzz"}, "rows/0: a was measured and has failed"),
    ],
)
def test_a_table_that_contradicts_itself_is_no_good(tmp_path, damage, place):
    first = {**TABLE[0], **damage, "metrics": {**TABLE[0]["metrics"], **damage.get("metrics", {})}}
    (tmp_path / sweep.FILE_NAME).write_text(json.dumps({"schema": 1, "rows": [first, *TABLE[1:]]}))
    with pytest.raises(ReportError, match=re.escape(f"sweep.json is no good: {place}")):
        sweep.read(tmp_path)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("mn"), st.integers(1, 4), st.integers(1, 4), st.integers(0, 2)), max_size=9))
def test_in_front_is_what_no_other_row_of_the_model_beats(points):
    rows = [
        {
            **row(str(i), count, size, model=model),
            "metrics": {"instructions": count, "module_bytes": size, "accuracy_loss": loss / 10},
        }
        for i, (model, count, size, loss) in enumerate(points)
    ]
    expected = [
        not any(
            other[0] == own[0] and other[1:] != own[1:] and all(a <= b for a, b in zip(other[1:], own[1:], strict=True))
            for other in points
        )
        for own in points
    ]
    assert [each["pareto"] for each in mark_pareto(rows)] == expected
