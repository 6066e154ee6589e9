# SPDX-License-Identifier: Apache-2.0
"""What changed between two configurations, by layer: what got slower, came, went, or was fused otherwise."""

import math

from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_runs import make_dispatch, make_document, make_model

from springbok import report
from springbok.measuring.derived import RUNTIME
from springbok.report.changes import changes_figure, layer_changes
from springbok.report.compare import comparison_figures


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
    report.write_reports(make_document(after), tmp_path, earlier=make_document(before))
    assert "From the earlier results to these, by layer" in (tmp_path / "report.html").read_text()


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
