# SPDX-License-Identifier: Apache-2.0
"""Reports, from made-up runs: what a page, its plots, the Markdown and the CSV say is what metrics.json says."""

import csv
import json
import queue
import shutil
import subprocess
import sys
import threading
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import jsonschema
import numpy as np
import pytest
from made_up_runs import CLASSES, SAMPLES, make_document, make_model, make_regression

from springbok import cli, report
from springbok.exploring.front import mark_pareto
from springbok.measuring import metrics
from springbok.measuring.derived import RUNTIME, lane_utilisation
from springbok.report import charts, page
from springbok.report.compare import Run, comparison_table, configurations
from springbok.report.figures import cards, figures
from springbok.support import process
from springbok.support.places import KEYWORDS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
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
    """The figures of a page: rows of each table (numbers as they are in metrics.json), and what marks say."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.marks, self.titles, self.tags, self.text = {}, {}, {}, [], []
        self._figure, self._in_text_cell = None, False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
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
        self.text.append(data)
        if self._in_text_cell:
            self.tables[self._figure][-1][-1] += data


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
    table = columns_of(shown.tables["dispatches"], 3)
    assert table[RUNTIME] == (1000,)
    assert sum(count for (count,) in table.values()) == model["instructions"]["mean"]
    assert sum(shown.marks["dispatches"].values()) == model["instructions"]["mean"]


def test_plot_table_csv_and_json_of_the_dispatches_agree(model, shown, lines):
    table = columns_of(shown.tables["dispatches"], 3, 5)
    counted = csv_values(lines, "dispatches", "instructions an inference")
    vectors = csv_values(lines, "dispatches", "vector instructions")
    for dispatch in model["dispatches"]:
        name = dispatch["name"]
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
        row = next(line for line in text.splitlines() if line.startswith(f"| main\\_dispatch\\_{dispatch['name'][14]}"))
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
    assert [row["layer"] for row in figure.rows] == ["conv_3"]
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
    assert not shown.marks["top_opcodes"]
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
    table, image = report.suite_summary(make_document({**model, "name": "a|b"})).split("\n\n")
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
        assert Page(text).tags.count("script") <= 1
    shown = Page(pages[0])
    assert HOSTILE in "".join(shown.text)
    for text in ((tmp_path / "report.md").read_text(), compared[1].read_text()):
        assert "</script>" not in text
        assert all(line.replace("\\|", "").count("|") > 1 for line in text.splitlines() if line.startswith("|"))
    assert {row["model"] for row in csv.DictReader((tmp_path / "metrics.csv").open())} == {HOSTILE}


def test_ten_models_in_four_configurations_stay_small(tmp_path):
    """Equal charts are drawn once, so equal models are quick to report and as large as different ones."""
    variants = {"vector": 1, "scalar": 2, "vector-128": 3, "hand-written": 4}
    models = [make_model(f"model_{i}", variant, seed) for i in range(10) for variant, seed in variants.items()]
    written = report.write_reports(make_document(*models), tmp_path)
    assert all(path.stat().st_size < 10_000_000 for path in written)
    assert written[0].read_text().count("<svg") >= len(models) * 9


# The commands


def test_reports_are_made_anew_from_old_results(tmp_path, capsys, model):
    metrics.write(tmp_path / "old" / "metrics.json", make_document(model))
    metrics.write(tmp_path / "base.json", make_document(model))
    assert cli.main(["report", str(tmp_path / "old"), "--earlier", str(tmp_path / "base.json")]) == 0
    assert capsys.readouterr().out.split() == [
        str(tmp_path / "old" / name) for name in ("report.html", "report.md", "metrics.csv")
    ]
    assert "unchanged" in (tmp_path / "old" / "report.html").read_text()


def test_runs_are_compared_on_the_terminal_too(tmp_path, capsys, model):
    for name in ("a", "b"):
        metrics.write(tmp_path / name / "metrics.json", make_document(model))
    folders = [str(tmp_path / "a"), str(tmp_path / "b")]
    assert cli.main(["compare", *folders, "--output", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    assert "gestures (vector), a" in out
    assert "1.000" in out
    assert (tmp_path / "out" / "compare.html").exists()


def test_a_folder_without_results_is_an_error_that_names_it(tmp_path, capsys):
    assert cli.main(["report", str(tmp_path / "nothing")]) == 2
    assert "nothing" in capsys.readouterr().err


# In a browser

PROBE = """<script>
window.problems = [];
window.addEventListener("error", (event) => problems.push(String(event.message)));
window.addEventListener("securitypolicyviolation", (event) => problems.push(event.violatedDirective));
// Texts of a plot that lie on each other, or outside of it; of slanted texts only the boxes around them are known.
const overlapping = (plot) => {
  const texts = [...plot.querySelectorAll("text")].filter(
    (text) => text.textContent.trim() && !(text.getAttribute("transform") || "").includes("rotate(320)"));
  const boxes = texts.map((text) => text.getBoundingClientRect());
  const around = plot.getBoundingClientRect();
  const found = [];
  boxes.forEach((a, i) => {
    if (a.left < around.left - 4 || a.right > around.right + 4) found.push(`outside: ${texts[i].textContent}`);
    boxes.slice(i + 1).forEach((b, j) => {
      const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (width > 1 && height > 3) found.push(`${texts[i].textContent} on ${texts[i + 1 + j].textContent}`);
    });
  });
  return found;
};
const look = () => {
  for (const header of document.querySelectorAll("table.sb-table th")) header.click();
  for (const button of document.querySelectorAll("button")) button.click();
  const plots = [...document.querySelectorAll("svg.marks")];
  const empty = plots.filter((plot) => plot.getBoundingClientRect().width < 50).length;
  const overlaps = plots.flatMap(overlapping).slice(0, 50);
  let found = null;
  SEARCH
  location = "PLACE?" + encodeURIComponent(JSON.stringify({plots: plots.length, empty, overlaps, problems, found}));
};
// Robot's log builds itself after it was loaded, piece by piece, in the loop that this waits in too.
const settle = (nodes, rounds) => {
  const now = document.querySelectorAll("*").length;
  const left = now === nodes && document.querySelector("svg.marks") ? rounds - 1 : 20;
  setTimeout(left ? () => settle(now, left) : look, 25);
};
window.addEventListener("load", () => settle(0, 20));
</script>"""


class Seen(BaseHTTPRequestHandler):
    """Takes what a probe saw: it goes to a page here, which the report's security policy allows."""

    def do_GET(self):
        if self.path.startswith("/?"):
            self.server.seen.put(json.loads(unquote(self.path[2:])))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        """Silent."""


def load(path, folder, search=""):
    """Load a page in Chromium; return what the probe, put into a copy of the page, saw.

    A loaded computer takes its time for that: only a browser that computes for ever, or waits, is given up.
    """
    with ThreadingHTTPServer(("127.0.0.1", 0), Seen) as server:
        server.seen = queue.SimpleQueue()
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        probe = PROBE.replace("SEARCH", search.replace("const found", "found"))
        probe = probe.replace("PLACE", f"http://127.0.0.1:{server.server_port}/")
        probed = path.with_name("probed.html")
        probed.write_text(path.read_text().replace("<title>", probe + "<title>", 1))
        command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
        command += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
        command += [f"--user-data-dir={folder}", probed.as_uri()]
        silence = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        with process.Supervised(command, "apart", 120, start_new_session=True, **silence) as browser:
            threading.Thread(target=lambda: server.seen.put(browser.wait()), daemon=True).start()
            seen = server.seen.get()
        server.shutdown()
    assert isinstance(seen, dict), f"the browser ended: {seen}"
    return seen


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: the pages are not loaded in a browser")
@pytest.mark.parametrize("name", ["report.html", "compare.html"])
def test_pages_load_without_a_script_error_and_no_text_lies_on_another(tmp_path, name):
    document = hostile_document()
    report.write_reports(document, tmp_path)
    report.write_comparison([report.Run("a", document)], tmp_path)
    seen = load(tmp_path / name, tmp_path / "profile")
    assert seen["problems"] == []
    assert seen["overlaps"] == []
    assert seen["empty"] == 0
    assert seen["plots"] >= (20 if name == "report.html" else 5)


SEARCH = """
document.querySelectorAll("table.sb-table th")[4].click();
const input = document.querySelector("input.sb-filter");
input.value = "int8 flag_1";
input.dispatchEvent(new Event("input"));
const rows = [...document.querySelectorAll("table.sb-table tbody tr")].filter((row) => !row.hidden);
const points = [...document.querySelectorAll("svg [aria-roledescription=point]")];
const seen = points.filter((point) => !point.classList.contains("sb-hidden"));
const found = {
  rows: rows.map((row) => row.cells[3].textContent),
  count: input.nextElementSibling.textContent,
  points: seen.map((point) => point.querySelector("title").textContent.replace(/:.*/, "")),
  first: rows.map((row) => Number(row.cells[4].dataset.value)),
};
input.value = "";
input.dispatchEvent(new Event("input"));
found.all = document.querySelectorAll("table.sb-table tbody tr:not([hidden])").length;
"""


def many_rows(count):
    """Rows of a sweep, every second one of int8; the last one failed."""
    random = np.random.default_rng(1)
    rows = []
    for number, (instructions, size) in enumerate(10 ** random.uniform((4, 4), (6, 5), (count, 2))):
        found = {"instructions": int(instructions), "module_bytes": int(size), "accuracy_loss": 0.0, "accuracy": 1.0}
        kind = ("float32", "int8")[number % 2]
        rows.append({"model": "m", "type": kind, "variant": "vector", "vlen": (128, 512)[number % 3 % 2]})
        rows[-1] |= {"optimize": "standard", "flags": f"flag_{number}", "label": f"m {kind} flag_{number}"}
        rows[-1] |= {"error": None, "metrics": found, "equals": None}
    rows[-1] |= {"error": HOSTILE, "metrics": None}
    return mark_pareto(rows)


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: the pages are not loaded in a browser")
def test_a_sweep_of_500_rows_is_legible_sorted_and_filtered(tmp_path):
    rows = many_rows(500)
    page, *_ = report.write_sweep(rows, None, tmp_path)
    assert page.stat().st_size < 1_000_000
    seen = load(page, tmp_path / "profile", SEARCH)
    assert seen["problems"] == []
    assert seen["overlaps"] == []
    assert (seen["plots"], seen["empty"]) == (1, 0)
    found = seen["found"]
    wanted = {row["flags"] for row in rows if row["type"] == "int8" and row["flags"].startswith("flag_1")}
    assert set(found["rows"]) == wanted
    assert found["count"] == f"{len(wanted)} of 500 rows"
    assert sorted(found["points"]) == sorted(
        " ".join((row["type"], str(row["vlen"]), row["flags"])) for row in rows if row["flags"] in wanted
    )
    assert found["all"] == 500
    assert found["first"] == sorted(found["first"], reverse=True)  # after a click on its head


ROBOT_LIBRARY = """
import json
from robot.api import logger
from robot.libraries.BuiltIn import BuiltIn
from springbok import report

def log_a_report(path):
    document = json.load(open(path))
    logger.info(report.log_message(document, document["models"][0]), html=True)
    BuiltIn().set_suite_metadata("Performance", report.suite_summary(document), top=True)
"""
ROBOT_SUITE = """*** Settings ***
Library    {library}

*** Test Cases ***
Should Report
    Log A Report    {document}
"""


def robot(tool, *arguments, folder):
    command = [sys.executable, "-m", f"robot.{'run' if tool == 'robot' else tool}", "--outputdir", folder, *arguments]
    environment = {"PYTHONPATH": str(KEYWORDS)}
    done = process.run(command, environment=environment)
    assert done.exit_code == 0, done.output


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH: the log is not loaded in a browser")
def test_robots_log_shows_the_plots_after_merging(tmp_path):
    metrics.write(tmp_path / "metrics.json", hostile_document())
    (tmp_path / "Reporter.py").write_text(ROBOT_LIBRARY)
    suite = ROBOT_SUITE.format(library=tmp_path / "Reporter.py", document=tmp_path / "metrics.json")
    (tmp_path / "one.robot").write_text(suite)
    robot("robot", "--log", "none", "--report", "none", tmp_path / "one.robot", folder=tmp_path)
    expand = ("--expandkeywords", "name:Reporter.Log A Report", "--output", "merged.xml", "--report", "none")
    output = tmp_path / "output.xml"
    robot("rebot", *expand, "--name", "Merged", output, output, folder=tmp_path)
    seen = load(tmp_path / "log.html", tmp_path / "profile")
    assert seen["problems"] == []
    assert seen["overlaps"] == []
    assert seen["plots"] >= 2 * 9
    assert seen["empty"] == 0


def test_values_are_shown_in_place_of_classes():
    model = make_regression()
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
