# SPDX-License-Identifier: Apache-2.0
"""A sweep's table: what is written can be read, and what is of another form or contradicts itself is refused."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_runs import make_document, make_model, make_regression
from test_sweep import row as unnamed_row

from springbok.exploring import kept_rows, row_consistency, sweep
from springbok.exploring.front import mark_pareto
from springbok.exploring.measure import recorded
from springbok.gate import snapshots
from springbok.support.errors import ReportError


def row(flags, instructions, size, model="m", **others):
    """A row as a sweep names it."""
    found = unnamed_row(flags, instructions, size, model=model, **others)
    return {**found, "label": f"{model} float32 vector VLEN 512 {flags}"}


def failed_row(flags):
    return {**row(flags, 1, 1), "error": "iree-compile can't compile it", "metrics": None}


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
    found |= {"memory_peak_bytes": 90, "stack_accesses": 0, "outputs_sha256": "0" * 64}
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
        {**measured("b", 10, 50), "module_sha256": "a", "equals": "m float32 vector VLEN 512 a"},
        measured("c", 30, 5),
        measured("d", 30, 50, r_squared=-3.0),
        {**failed_row("e"), "equals": None, "module_sha256": None},
    ]
)


@pytest.mark.parametrize("unknown", ["", "accuracy", "samples", "runtime_instructions", "lane_utilisation"])
def test_a_table_that_hangs_together_is_read(tmp_path, unknown):
    gone = {unknown: None} if unknown else {}
    equal = [{**each, "metrics": {**each["metrics"], **gone}} for each in TABLE[:2]]
    whole = {"schema": 1, "firmware_sha256": "0", "rows": [*equal, *TABLE[2:]]}
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
        ({"metrics": {"runtime_instructions": 11}}, "rows/0/metrics/runtime_instructions: 11 of 10 instructions"),
        ({"pareto": False}, "rows/0/pareto: False, and by the rows it is True"),
        ({"equals": "zzz"}, "rows/0/equals: zzz, and by the rows it is None"),
        ({"module_sha256": "other"}, "rows/1/equals: m float32 vector VLEN 512 a, and by the rows it is None"),
        ({"error": "zzz"}, "rows/0: m float32 vector VLEN 512 a was measured and has failed"),
    ],
)
def test_a_table_that_contradicts_itself_is_no_good(tmp_path, damage, place):
    first = {**TABLE[0], **damage, "metrics": {**TABLE[0]["metrics"], **damage.get("metrics", {})}}
    (tmp_path / sweep.FILE_NAME).write_text(json.dumps({"schema": 1, "rows": [first, *TABLE[1:]]}))
    with pytest.raises(ReportError, match=re.escape(f"sweep.json is no good: {place}")):
        sweep.read(tmp_path)


#: Of a row that stands alone, what nothing else tells.
ALONE = {"instructions", "module_bytes", "memory_peak_bytes", "lane_utilisation", "stack_accesses", "r_squared"}
ALONE |= {"runtime_instructions", "outputs_sha256"}


def changes(part, place=()):
    """The place of every number and text."""
    if isinstance(part, dict | list):
        for name, each in part.items() if isinstance(part, dict) else enumerate(part):
            yield from changes(each, (*place, name))
    elif part is not None and not isinstance(part, bool):
        yield place


def damaged(part, place, value):
    (name, *rest) = place
    new = damaged(part[name], rest, value) if rest else value
    return {**part, name: new} if isinstance(part, dict) else [*part[:name], new, *part[name + 1 :]]


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_changed_number_of_a_table_passes_where_another_row_tells(data):
    """Rows of one module have all numbers twice; of the others, those of the firmware, and what the model reached."""
    place = data.draw(st.sampled_from([each for each in changes(TABLE) if each[1] not in ("error", "module_sha256")]))
    value = TABLE[place[0]][place[1]] if len(place) == 2 else TABLE[place[0]][place[1]][place[2]]
    others = ["zorp", "b"] if isinstance(value, str) else [0, 1, 3, 10**7, value + 1, value * 2, value / 2, -value]
    new = data.draw(st.sampled_from([each for each in others if each != value]))
    rows = damaged(TABLE, place, new)
    is_asked = place[1:] == ("samples",)  # how many were wanted at most
    stands_alone = is_asked or (place[0] > 1 and place[-1] in ALONE)
    is_seen = sweep._misfit({"schema": 1, "rows": rows}) or any(
        row_consistency.contradictions(rows, "instructions", sweep._mark_equal)
    )
    assert is_seen or stands_alone, f"{place} is now {new!r}"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ({"vlen": 3}, "rows/2/vlen: 3 is no length"),
        ({"chip": "zorp"}, "rows/2: chip is not as in row 0"),
        ({"label": "m scalar"}, "rows/2/label: m scalar, and what it is of is called m float32 vector VLEN 512 c"),
        ({"metrics": {"module_bytes": 91}}, "rows/2/metrics/module_bytes: 91 in 90 bytes of memory"),
        ({"metrics": {"stack_accesses": 30}}, "rows/2/metrics/stack_accesses: 30 of 29 instructions"),
        ({"metrics": {"scalar_dispatches": 1000}}, "rows/2/metrics/scalar_dispatches: 1000 of 29 instructions"),
        ({"metrics": {"firmware_bytes": 6}}, "rows/2: firmware bytes is not as in row 0"),
    ],
)
def test_what_no_sweep_writes_is_said_with_its_row(damage, said):
    rows = [{**each, "chip": "springbok"} for each in TABLE]
    rows = [
        each if not each["metrics"] else {**each, "metrics": {**each["metrics"], "firmware_bytes": 5}} for each in rows
    ]
    first = next(row_consistency.contradictions(rows, "instructions", sweep._mark_equal), "")
    assert first == ""
    rows[2] = {**rows[2], **damage, "metrics": {**rows[2]["metrics"], **damage.get("metrics", {})}}
    assert next(row_consistency.contradictions(rows, "instructions", sweep._mark_equal)).startswith(said)


@pytest.mark.parametrize(
    ("rows", "said"), [([], "rows: there are none"), ([*TABLE, TABLE[2]], "rows/5: it is row 2 once")]
)
def test_a_table_without_rows_or_with_one_twice_is_none(rows, said):
    assert next(row_consistency.contradictions(rows, "instructions", sweep._mark_equal)).startswith(said)


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


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_changed_number_of_a_table_is_told_by_the_rows_that_were_kept(tmp_path_factory, data):
    """Also where the table has no digest, as those of before; rows of other sweeps of the folder hinder nothing."""
    folder = tmp_path_factory.mktemp("sweep")
    kept = [measured("z", 99, 99), measured("a", 77, 50), *TABLE]
    for number, each in enumerate(kept):
        kept_rows.add(folder / sweep.ROWS_NAME, str(number), {key: each[key] for key in each if key != "pareto"})
    whole = {"schema": 1, "firmware_sha256": "0", "rows": TABLE}
    (folder / sweep.FILE_NAME).write_text(json.dumps(whole))
    assert sweep.read(folder) == whole
    place = data.draw(st.integers(2, 3))  # its equals are told by each other
    name = data.draw(st.sampled_from(sorted(TABLE[place]["metrics"].keys() & ALONE - {"outputs_sha256"})))
    metrics = {**TABLE[place]["metrics"], name: data.draw(st.sampled_from([0.25, 2, 3, 4]))}
    if metrics == TABLE[place]["metrics"]:
        return
    rows = mark_pareto([{**each, "metrics": metrics} if each is TABLE[place] else each for each in TABLE])
    (folder / sweep.FILE_NAME).write_text(json.dumps({**whole, "rows": rows}))
    with pytest.raises(ReportError, match=r"sweep\.json is no good: "):
        sweep.read(folder)
