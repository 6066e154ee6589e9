# SPDX-License-Identifier: Apache-2.0
"""Reports, from made-up runs: what a page, its plots, the Markdown and the CSV say is what metrics.json says."""

import csv
import json
import re
import shutil
from html.parser import HTMLParser

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_runs import CLASSES, SAMPLES, make_document, make_model, make_regression

from springbok import cli, report
from springbok.measuring import metrics
from springbok.measuring.derived import RUNTIME, dispatch_label, lane_utilisation
from springbok.report import charts, page
from springbok.report.cards import cards
from springbok.report.compare import Run, comparison_table, configurations
from springbok.report.figures import figures
from springbok.support import run_record

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
REPORTS = ("report.html", "report.md", "metrics.csv", "timeline.trace.json", "timeline.speedscope.json")
HOSTILE = "</script><b>&\"'|`*_"


def board_model():
    """What a board gives: no opcodes, no vector instructions."""
    model = make_model()
    for part in (model, *model["dispatches"]):
        part.update(opcodes=None, opcode_classes=None)
    for dispatch in model["dispatches"]:
        dispatch.update(vector_instructions=None, work=None)
    model.update(vector_instructions={"mean": None}, outside_kernels={"mean": None})
    return model


class Page(HTMLParser):
    """The figures of a page: rows of each table (numbers as in metrics.json), and what marks say or will say."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.marks, self.titles, self.tags, self.text = {}, {}, {}, [], []
        self._figure, self._in_text_cell, self._script = None, False, ""
        self.charts = {}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        self._script = attributes.get("type", "text/javascript") if tag == "script" else ""
        if tag == "section":
            self._figure = attributes["data-figure"]
            self.tables[self._figure], self.marks[self._figure], self.titles[self._figure] = [], {}, []
        elif tag == "tr" and self._figure:
            self.tables[self._figure].append([])
        elif tag == "td" and self._figure:
            value = attributes.get("data-value")
            self._in_text_cell = value is None
            self.tables[self._figure][-1].append("" if value is None else float(value or "nan"))
        says = attributes.get("aria-label", "")
        if attributes.get("aria-roledescription") in ("bar", "rect mark"):
            name, _, value = says.rpartition(": ")
            self.marks[self._figure][name] = float(value.replace(",", ""))
        elif attributes.get("aria-roledescription") == "axis":
            self.titles[self._figure].append(says)

    def handle_endtag(self, tag):
        if tag == "td":
            self._in_text_cell = False

    def handle_data(self, data):
        if self._script:
            if self._script == "application/json" and "data" in data:
                self._chart(json.loads(data))
            return
        self.text.append(data)
        if self._in_text_cell:
            self.tables[self._figure][-1][-1] += data

    def _chart(self, specification):
        self.charts[self._figure] = specification
        for part in (specification, *specification.get("layer", ()), *specification.get("vconcat", ())):
            for row in part.get("data", {}).get("values", ()):
                name, _, value = row.get("says", "").rpartition(": ")
                if re.fullmatch(r"-?[\d,.]+", value):
                    self.marks[self._figure][name] = float(value.replace(",", ""))
            self.titles[self._figure] += [
                f"titled {axis['title']}"
                for axis in map(part.get("encoding", {}).get, "xy")
                if axis and axis.get("title")
            ]


def columns_of(table, *places):
    return {row[0]: tuple(row[place] for place in places) for row in table if row}


@pytest.fixture(scope="module")
def model():
    return make_model()


@pytest.fixture(scope="module")
def written(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    document = make_document(model)
    jsonschema.validate(document, json.loads(metrics.SCHEMA_FILE.read_text()))
    metrics.write(folder / "metrics.json", document)
    report.write_reports(document, folder)
    return folder


@pytest.fixture(scope="module")
def shown(written):
    return Page((written / "report.html").read_text())


@pytest.fixture(scope="module")
def lines(written):
    return list(csv.DictReader((written / "metrics.csv").open()))


def csv_values(lines, figure, metric):
    return {
        line["row"]: float(line["value"] or "nan")
        for line in lines
        if line["figure"] == figure and line["metric"] == metric
    }


# Numbers agree


def test_dispatches_and_the_runtimes_share_are_the_inference(model, shown):
    table = columns_of(shown.tables["dispatches"], 2)
    assert table[RUNTIME] == (1000,)
    assert sum(count for (count,) in table.values()) == model["instructions"]["mean"]
    assert sum(shown.marks["dispatches"].values()) == model["instructions"]["mean"]


def test_plot_table_csv_and_json_of_the_dispatches_agree(model, shown, lines):
    table = columns_of(shown.tables["dispatches"], 2, 4)
    counted = csv_values(lines, "dispatches", "instructions an inference")
    vectors = csv_values(lines, "dispatches", "vector instructions")
    for dispatch in model["dispatches"]:
        name = dispatch_label(dispatch)
        expected = (dispatch["instructions"], dispatch["vector_instructions"])
        assert table[name] == (counted[name], vectors[name]) == expected
        bars = [value for label, value in shown.marks["dispatches"].items() if f"{dispatch['layer']}:" in label]
        assert sum(bars) == dispatch["instructions"]


@pytest.mark.parametrize("key", ["scalar_opcodes", "vector_opcodes"])
def test_plot_table_csv_and_json_of_the_opcodes_agree(model, shown, lines, key):
    table = {name: count for name, (count,) in columns_of(shown.tables[key], 2).items()}
    marks = {label.partition(",")[0]: value for label, value in shown.marks[key].items()}
    assert table == marks == csv_values(lines, key, "executions an inference")
    assert table == {name: model["opcodes"][name] for name in table}
    assert set(table) == {name for name in model["opcodes"] if name.startswith("v") == (key == "vector_opcodes")}


def test_the_ten_most_used_are_the_first_ten(model, shown):
    table = columns_of(shown.tables["top_opcodes"], 2)
    assert list(table) == list(model["opcodes"])[:10]


def test_the_confusion_matrix_agrees(model, shown, lines):
    for number, name in enumerate(CLASSES):
        row = columns_of(shown.tables["confusion"], 1, 2, 3)[name]
        assert list(row) == model["confusion"][number]
        assert [shown.marks["confusion"][f"{name}, {given}"] for given in CLASSES] == model["confusion"][number]
        assert csv_values(lines, "confusion", f"given: {name}") == {
            true: model["confusion"][place][number] for place, true in enumerate(CLASSES)
        }


def test_memory_and_samples_agree(model, shown, lines):
    parts = {name: value for name, (value,) in columns_of(shown.tables["memory"], 1).items()}
    assert parts == shown.marks["memory"] == csv_values(lines, "memory", "bytes")
    assert sorted(parts.values()) == sorted(
        model[key] for key in ("memory_peak_bytes", "vmfb_bytes", "stack_peak_bytes")
    )
    for key in ("distribution", "round_trips"):
        assert sum(shown.marks[key].values()) == SAMPLES


def test_the_markdown_has_the_tables_numbers(model, written):
    text = (written / "report.md").read_text()
    for dispatch in model["dispatches"]:
        name = dispatch_label(dispatch).replace("_", "\\_")
        row = next(line for line in text.splitlines() if line.startswith(f"| {name}"))
        assert f"| {dispatch['instructions']:,} |" in row


def test_every_plot_has_titles_on_both_axes(shown):
    plots = [key for key, titles in shown.titles.items() if titles]
    assert len(plots) >= 9
    for key in plots:
        assert sum("titled" in title for title in shown.titles[key]) == 2, key


# What is derived, and what is unknown


def test_vset_is_no_vector_work(model):
    classes = next(figure for figure in figures(model) if figure.key == "classes")
    found = {row["class"]: row["instructions"] for row in classes.rows}
    assert found["vset"] == model["opcodes"]["vsetvli"]
    vectors = sum(count for name, count in found.items() if name.startswith("vector"))
    assert vectors == model["vector_instructions"]["mean"]
    assert sum(found.values()) == model["instructions"]["mean"]


def test_a_dispatch_that_ran_scalar_in_a_vector_build_is_named(model):
    (figure,) = (figure for figure in figures(model) if figure.key == "scalar_dispatches")
    assert [row["dispatch"] for row in figure.rows] == [dispatch_label(model["dispatches"][3])]
    (figure,) = (figure for figure in figures(make_model(variant="scalar")) if figure.key == "scalar_dispatches")
    assert (figure.rows, figure.note) == ((), "This build has no vectors.")


def test_lane_utilisation_is_active_lanes_over_lanes_there(model):
    assert lane_utilisation(model) is None
    assert lane_utilisation({**model, "lanes": {"active": 30, "available": 40}}) == 0.75
    shown_cards = {card.title: card.value for card in cards(make_document(model), model)}
    assert shown_cards["Lane utilisation"] == "unknown"


def test_the_roofline_has_only_what_is_known(model):
    (figure,) = (figure for figure in figures(model) if figure.key == "roofline")
    assert [row["operations"] is None for row in figure.rows] == [True, True, True, False]
    assert len(figure.chart["layer"][1]["data"]["values"]) == 1
    assert figure.rows[3]["intensity"] == (2 * 180) / (4 * 260)


def test_a_board_that_counts_no_opcodes_gives_a_report_without_inventions():
    text = page.run_page(report.Run("board", make_document(board_model(), engine="serial")))
    shown = Page(text)
    assert sum(shown.marks["dispatches"].values()) == board_model()["instructions"]["mean"]
    assert "top_opcodes" not in shown.tables
    assert "the engine does not count opcodes" in text


def test_results_without_the_newer_keys_are_reported():
    model = make_model()
    for key in ("per_sample", "wall_clock", "inputs", "dataset", "accesses_over_time", "lanes"):
        del model[key]
    document = make_document(model)
    del document["link"]
    shown = Page(page.run_page(report.Run("old", document)))
    assert sum(shown.marks["dispatches"].values()) == model["instructions"]["mean"]


def test_a_run_that_measured_nothing_is_said_so():
    run = report.Run("none", make_document())
    assert "measured no model" in page.run_page(run)
    assert page.csv_text([run]).splitlines() == [",".join(page.CSV_COLUMNS)]


def test_accesses_over_time_are_drawn_where_an_engine_gives_them(model):
    given = {"seconds": [0.5, 1.0], "accesses": {"memory reads": [10, 20], "uart0 writes": [1, 2]}}
    (figure,) = (figure for figure in figures({**model, "accesses_over_time": given}) if figure.key == "accesses")
    assert [row["memory reads"] for row in figure.rows] == [10, 20]
    assert "virtual time (s)" in charts.render([figure.chart])[0]


def test_cards_show_the_change_against_the_baseline(model):
    baseline = {**model, "instructions": {**model["instructions"], "mean": model["instructions"]["mean"] * 2}}
    changes = {card.title: (card.change, card.verdict) for card in cards(make_document(model), model, baseline)}
    assert changes["Instructions an inference"] == ("-50.00 % (better)", "better")
    assert changes["Memory peak"] == ("unchanged", "same")
    assert all(card.change == "" for card in cards(make_document(model), model))


# Comparison


def test_a_comparison_has_ratios_and_labels_that_differ(tmp_path):
    narrow = make_document(make_model(), make_model(variant="scalar"), vlen=128)
    wide = make_document(make_model(seed=2), vlen=512)
    figure, paths = report.write_comparison([report.Run("a", narrow), report.Run("b", wide)], tmp_path)
    labels = [row["configuration"] for row in figure.rows]
    assert labels == [
        "gestures (vector), VLEN 128, a",
        "gestures (scalar), VLEN 128, a",
        "gestures (vector), VLEN 512, b",
    ]
    counts = [row["instructions"] for row in figure.rows]
    assert [row["ratio"] for row in figure.rows] == [count / counts[0] for count in counts]
    shown = Page(paths[0].read_text())
    assert {name: count for name, (count,) in columns_of(shown.tables["comparison"], 2).items()} == (
        shown.marks["comparison"]
    )
    layers = columns_of(shown.tables["layer"], 1, 2, 3)
    for dispatch, other in zip(narrow["models"][0]["dispatches"], narrow["models"][1]["dispatches"], strict=True):
        ratio = other["instructions"] / dispatch["instructions"]
        assert layers[dispatch["layer"]] == (dispatch["instructions"], other["instructions"], ratio)


def optimised(level, **optimizer):
    model = make_model(seed=1 if level == "none" else 2)
    model["compiler"]["optimizer"] = {"level": level, "flag_set": "fast", "transformations": [], **optimizer}
    return model


def test_levels_of_the_optimizer_tell_configurations_apart():
    runs = [report.Run("a", make_document(optimised("none"))), report.Run("b", make_document(optimised("standard")))]
    labels = [row["configuration"] for row in report.comparison_table(page.configurations(runs)).rows]
    assert labels == ["gestures (vector), optimize=none, a", "gestures (vector), optimize=standard, b"]


def test_the_flags_that_were_counted_are_shown_with_the_chosen_ones():
    counted = [
        {"flag_set": "plain", "instructions": None, "memory_bytes": None, "outcome": "does not compile"},
        {"flag_set": "fast", "instructions": 50, "memory_bytes": 7, "outcome": ""},
    ]
    stock = {"flag_set": "", "instructions": 200, "memory_bytes": 9, "outcome": ""}
    choice = {"flag_set": "fast", "origin": "searched", "stock": stock, "candidates": counted, "note": ""}
    document = make_document(optimised("search", choice=choice))
    jsonschema.validate(document, json.loads(metrics.SCHEMA_FILE.read_text()))
    shown = Page(page.run_page(report.Run("a", document)))
    assert columns_of(shown.tables["flag_sets"], 1, 2)["fast"] == (50, 0.25)
    text = page.run_markdown(report.Run("a", document))
    assert "| plain | unknown | unknown | unknown | does not compile |" in text
    assert "fast, chosen of 1 by count" in text
    measured = document["models"][0]["instructions"]["mean"]
    assert f"fast came to 50 instructions, and comes to {measured:,} in this run" in " ".join(text.split())
    counted[1]["instructions"] = measured
    assert "with the firmware of then" not in page.run_markdown(report.Run("a", document))


def test_what_each_transformation_brings_is_a_table_by_layer():
    parts = (
        ("", 60, {"conv": 40, "dense": 10}),
        ("offsets", 75, {"conv": 55, "dense": 10}),
        ("all", 300, {"conv": 280}),
    )
    breakdown = [
        {
            "without": name,
            "instructions": count,
            "memory_bytes": 5,
            "kernel_text_bytes": 4,
            "layers": layers,
            "error": "",
        }
        for name, count, layers in parts
    ]
    failed = dict.fromkeys(("instructions", "memory_bytes", "kernel_text_bytes"))
    breakdown.append({"without": "constants", **failed, "layers": {}, "error": "it does not compile"})
    document = make_document(optimised("standard", breakdown=breakdown))
    jsonschema.validate(document, json.loads(metrics.SCHEMA_FILE.read_text()))
    (figure,) = (each for each in figures(document["models"][0]) if each.key == "transformations")
    assert [column.title for column in figure.columns[1:]] == [
        "optimised", "without offsets", "stock IREE", "without constants"
    ]  # fmt: skip
    rows = {row["layer"]: [row[f"count {number}"] for number in range(4)] for row in figure.rows}
    assert rows["conv"] == [40, 55, 280, None]
    assert rows[RUNTIME] == [10, 10, 20, None]
    assert rows["the whole inference"] == [60, 75, 300, None]
    assert "offsets 15" in figure.note
    assert "without constants: it does not compile." in figure.note
    assert "What each transformation of the optimizer brings" in page.run_page(report.Run("a", document))


def test_different_models_are_compared_with_the_first():
    document = make_document(make_model("a", seed=1), make_model("b", seed=2))
    figure = report.comparison_table(page.configurations([report.Run("run", document)]))
    first, second = (row["instructions"] for row in figure.rows)
    assert [row["ratio"] for row in figure.rows] == [1, second / first]


# Robot's log


def test_the_log_message_needs_no_script_and_no_network(model):
    message = report.log_message(make_document(model), model)
    shown = Page(message)
    assert "script" not in shown.tags
    assert shown.tags.count("svg") >= 9
    assert not any(word in message for word in ('src="http', "url(", "@import"))


def test_the_suites_summary_is_a_table_and_an_image(model):
    other = make_model(variant="scalar")
    table, image = report.suite_summary(make_document({**model, "name": "a|b"}, other)).split("\n\n")
    assert all(line.startswith("| ") and line.endswith(" |") for line in table.splitlines())
    assert "| a¦b (vector) |" in table
    assert image.startswith("[data:image/svg+xml;base64,")


# Hostile names, many models


def hostile_document():
    model = make_model(HOSTILE)
    model["class_names"] = [HOSTILE, "b", "c"]
    model["dispatches"][0].update(name=HOSTILE, layer=HOSTILE)
    model["compiler"]["flags"] = [HOSTILE]
    model["dataset"] = {"name": HOSTILE, "description": f"x: {HOSTILE}"}
    return make_document(model, make_model(HOSTILE, "scalar"))


def test_names_are_never_markup(tmp_path):
    document = hostile_document()
    pages = [path.read_text() for path in report.write_reports(document, tmp_path)[:1]]
    _, compared = report.write_comparison([report.Run(HOSTILE, document)], tmp_path)
    pages += [compared[0].read_text(), report.log_message(document, document["models"][0])]
    for text in pages:
        assert "</script><b>" not in text
        assert not any(HOSTILE in script for script in re.findall("<script.*?</script>", text, re.DOTALL))
    shown = Page(pages[0])
    assert HOSTILE in "".join(shown.text)
    for text in ((tmp_path / "report.md").read_text(), compared[1].read_text()):
        assert "</script>" not in text
        assert all(line.replace("\\|", "").count("|") > 1 for line in text.splitlines() if line.startswith("|"))
    assert {row["model"] for row in csv.DictReader((tmp_path / "metrics.csv").open())} == {HOSTILE}


def test_ten_models_in_four_configurations_stay_small(tmp_path):
    variants = {"vector": 1, "scalar": 2, "vector-128": 3, "hand-written": 4}
    models = [make_model(f"model_{i}", variant, seed) for i in range(10) for variant, seed in variants.items()]
    written = report.write_reports(make_document(*models), tmp_path)
    assert all(path.stat().st_size < 10_000_000 for path in written)
    assert written[0].read_text().count('class="sb-plot"') >= len(models) * 9


@settings(max_examples=6, deadline=None)
@given(st.lists(st.integers(0, 9), min_size=2, max_size=4).filter(any), st.sampled_from(["bars", "columns"]))
def test_an_axis_of_counts_has_whole_numbers_only(counts, kind):
    rows = [{"class": f"class {number}", "samples": count} for number, count in enumerate(counts)]
    drawn = charts.render([getattr(charts, kind)(rows, "class", "samples", ("class", "samples"))])[0]
    axis = re.search(r'aria-label="[XY]-axis titled \'samples\'.*?role-axis-label.*?</g></g>', drawn, re.S)[0]
    labels = re.findall(r"<text[^>]*>([^<]+)</text>", axis)
    assert labels[0] == "0" and {*labels[:-1]} <= {*map(str, range(11))}


def test_what_is_below_one_has_no_unit_on_a_logarithmic_axis():
    rows = [{"opcode": "addi", "executions": 0.2}, {"opcode": "vadd", "executions": 50}]
    chart = charts.bars(rows, "opcode", "executions", ("opcode", "executions"), compares=True)
    chart["encoding"]["x"]["scale"] = {"type": "log"}
    chart["layer"][0]["mark"] = "point"  # as the page has it there
    labels = re.findall(r"<text[^>]*>([^<]+)</text>", charts.render([chart])[0])
    assert {"0.1", "1", "10", "100"} <= {*labels}


# The commands


def test_reports_are_made_anew_from_old_results(tmp_path, capsys, model):
    metrics.write(tmp_path / "old" / "metrics.json", make_document(model))
    metrics.write(tmp_path / "base.json", make_document(model))
    assert cli.main(["report", str(tmp_path / "old"), "--earlier", str(tmp_path / "base.json")]) == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "old" / name) for name in REPORTS]
    assert "unchanged" in (tmp_path / "old" / "report.html").read_text()


def test_runs_are_compared_on_the_terminal_too(tmp_path, capsys, model):
    for name in ("a", "b"):
        metrics.write(tmp_path / name / "metrics.json", make_document(model))
    record = {"started": "2026-01-02T03:04:05+00:00", "origin": {"commit": "c0ffee" * 6, "branch": "topic"}}
    run_record.write(tmp_path / "a", json.dumps(record))
    folders = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert cli.main(["compare", *folders, "--output", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "gestures (vector), a" in out
    assert "1.000" in out
    text = (tmp_path / "out" / "compare.html").read_text()
    assert "commit c0ffeec0ff (topic), of 2026-01-02" in " ".join(text.split())
    assert "cut before" not in text  # where no layer was cut otherwise


def test_a_folder_without_results_is_an_error_that_names_it(tmp_path, capsys):
    assert cli.main(["report", str(tmp_path / "nothing")]) == 2
    assert "nothing" in capsys.readouterr().err


def test_values_are_shown_in_place_of_classes():
    model = make_regression()
    model["per_sample"]["host"] = [None, *model["per_sample"]["host"][1:]]  # not a finite number
    model["quality"]["host"] = dict.fromkeys(model["quality"]["device"])
    document = make_document(model)
    jsonschema.validate(document, json.loads(metrics.SCHEMA_FILE.read_text()))
    titles = {card.title: card for card in cards(document, model, make_regression(error=0.5))}
    assert (titles["Mean absolute error"].value, titles["Mean absolute error"].verdict) == ("0.25", "better")
    assert "host unknown" in titles["R²"].note
    keys = [figure.key for figure in figures(model)]
    assert {"quality", "answers"} <= set(keys) and not {"confusion", "predictions", "mistakes"} & set(keys)
    table = comparison_table(configurations([Run("r", document)]))
    assert (table.columns[1].title, table.rows[0]["mean_absolute_error"]) == ("mean absolute error", 0.25)


def test_without_labels_nothing_is_said_of_them():
    model = make_regression()
    model["quality"] = {"task": "equality", "device": {}, "host": {}}
    model["per_sample"] = {"instructions": model["per_sample"]["instructions"]}
    assert [card.title for card in cards(make_document(model), model)][0] == "Instructions an inference"
    assert not {"quality", "answers", "confusion"} & {figure.key for figure in figures(model)}


def without(*names):
    """A change that takes keys away."""
    return lambda document: [document["models"][0].pop(name) for name in names]


def with_value(name, value):
    return lambda document: document["models"][0].update({name: value})


BROKEN = {
    "nothing of dispatches": without("dispatches"),
    "no memory": without("memory_peak_bytes"),
    "a word for a share": with_value("accuracy", "high"),
    "a list for a mapping": with_value("instructions", [1, 2]),
    "a call of nothing": with_value(
        "timeline", {"instructions": 5, "calls": {"dispatch": [99], "begin": [0], "instructions": [5]}}
    ),
}


def change_model(change):
    return lambda document: change(document["models"][0])


#: What the schema allows, and can't be.
CONTRADICTIONS = {
    "a layer larger than the inference": change_model(lambda m: m["dispatches"][1].update(instructions=999_999)),
    "dispatches many times": change_model(lambda m: m["dispatches"].extend(m["dispatches"] * 300)),
    "more vectors than instructions": change_model(
        lambda m: m["dispatches"][0].update(vector_instructions=m["dispatches"][0]["instructions"] + 1)
    ),
    "a table of other classes": with_value("confusion", [[1]]),
    "a table of other samples": with_value("confusion", [[1, 0, 0]] * 3),
    "a class that is not there": change_model(lambda m: m["per_sample"]["device"].__setitem__(0, 3)),
    "answers of other samples": change_model(lambda m: m["per_sample"]["host"].pop()),
    "other samples": with_value("samples", 7),
    "a number beyond all counting": change_model(lambda m: m["instructions"].update(mean=1e308, max=1e308)),
    "a mean above the most": change_model(lambda m: m["instructions"].update(max=1)),
    "an accuracy that its table does not have": with_value("accuracy", 1.0),
    "a table that its samples do not make": change_model(lambda m: m["confusion"].reverse()),
    "an accuracy of the host that its answers do not have": with_value("host_accuracy", 0.5),
    "more lanes used than there are": with_value("lanes", {"active": 10, "available": 1}),
    "more lanes than its vectors have": with_value("lanes", {"active": 1, "available": 1e12}),
    "opcodes beyond the instructions": change_model(lambda m: m["opcodes"].update(addi=10**9)),
    "classes that are not the opcodes'": change_model(lambda m: m["opcode_classes"].update(vset=0)),
    "vectors beyond the opcodes": with_value("vector_instructions", {"mean": 10**9}),
    "nothing but the runtime": with_value("outside_kernels", {"mean": 10**9}),
    "no name": with_value("name", ""),
    "classes of one name": with_value("class_names", ["a"] * 3),
    "calls of uneven lists": with_value(
        "timeline", {"instructions": 5, "calls": {"dispatch": [0], "begin": [0, 1], "instructions": [5]}}
    ),
}


@pytest.mark.parametrize("change", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_results_that_contradict_themselves_are_refused_by_every_reader(change, tmp_path, capsys):
    document = make_document(make_model())
    assert not metrics.problem_of(document)
    change(document)
    (tmp_path / "metrics.json").write_text(json.dumps(document))
    for command in (["report"], ["matrix", "--output", str(tmp_path)], ["history", "--history", "h.db", "add"]):
        assert cli.main([*command, str(tmp_path)]) == 2
        assert re.search(r"are not whole: models/0/\w+", capsys.readouterr().err)


@pytest.mark.parametrize("vlen", [-7, 7, 2**20, 512.0])
def test_a_register_of_no_length_is_refused(vlen):
    assert "vlen_bits: " in metrics.problem_of(make_document(make_model(), vlen=vlen))


def test_a_model_that_is_there_twice_is_refused():
    twice = make_document(make_model(), make_model(seed=2), make_model(variant="scalar"))
    assert metrics.problem_of(twice) == "models/1: gestures (vector) with motions/test is there twice"


@given(st.integers(0, 2**20), st.sampled_from(["vector", "scalar"]))
@settings(max_examples=20, deadline=None)
def test_results_that_hang_together_are_not_refused(seed, variant):
    for model in (make_model(seed=seed, variant=variant), make_regression(), board_model()):
        assert not metrics.problem_of(make_document(model))


@pytest.mark.parametrize("change", BROKEN.values(), ids=BROKEN)
def test_results_that_are_not_whole_are_said_and_not_a_crash(change, tmp_path, capsys):
    document = make_document(make_model())
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "metrics.json").write_text(json.dumps(document))
    change(document)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "metrics.json").write_text(json.dumps(document))
    broken, whole = str(tmp_path / "broken"), str(tmp_path / "whole")
    assert cli.main(["report", broken]) == 2
    told = capsys.readouterr().err
    assert "not whole: models/0" in told or "'dispatches' is a required property" in told or "required" in told
    for command in (["report", whole, "--earlier", broken], ["compare", whole, broken, "--output", str(tmp_path)]):
        assert cli.main(command) in (0, 2)
        assert "Traceback" not in capsys.readouterr().err
    assert cli.main(["matrix", broken, "--output", str(tmp_path / "matrix")]) in (0, 2)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"schema": 1}', '{"schema": 1, "models": [NaN]}'])
def test_what_are_no_results_is_said(text, tmp_path, capsys):
    (tmp_path / "metrics.json").write_text(text)
    assert cli.main(["report", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith(f"springbok-bench: {tmp_path / 'metrics.json'} is not ")


@given(st.lists(st.text("ab ", max_size=60), unique=True, max_size=30))
def test_names_that_are_cut_on_an_axis_differ_and_have_room(names):
    found = charts.short_names(names, 20)
    assert found.keys() == {name for name in names if len(name) > 20}
    assert len({found.get(name, name) for name in names}) == len(names)
    assert all(len(short) <= 20 for short in found.values())


def test_bars_of_two_runs_with_long_names_are_called_otherwise():
    labels = [
        f"pump (vector), a long data set, springbok, VLEN 512, optimize=standard, {run}" for run in ("one", "two")
    ]
    chart = charts.bars([{"a": each, "b": 1} for each in labels], "a", "b", ("a", "b"))
    drawn = charts.render([chart])[0]
    shown = re.findall(r">(pump[^<]*…[^<]*)<", drawn)
    assert len(shown) == 2 and shown[0].endswith("standard, one") and shown[1].endswith("standard, two")


def test_tables_in_csv_hold_no_letters_that_command():
    model = {**make_model(name="a\u202eb"), "dataset": {"name": "c\u2066d", "description": ""}}
    text = page.csv_text([report.Run("e\u202ef", make_document(model))]) + page._sweep_csv([
        {"label": "g\u202eh", "metrics": {"instructions": 1}}
    ])  # fmt: skip
    assert not re.search("[\u202a-\u202e\u2066-\u2069]", text)
    assert "a\\u202eb" in text and "g\\u202eh" in text and "e\\u202ef" in text
