# SPDX-License-Identifier: Apache-2.0
"""Pages of reports in a browser: they load without a network, are legible at every width, and do what they offer."""

import re
import sys

import numpy as np
import pytest
import report_picture
from browser import draw_all, needs_browser, opened, point_at, running
from history_runs import make_run
from made_up_runs import make_document, make_model, make_regression
from test_compilers import compiler_rows
from test_consistency import with_everything
from test_platforms import LABELS, three_lengths
from test_report import HOSTILE, board_model, hostile_document

from springbok import report
from springbok.exploring.front import mark_pareto
from springbok.history import store
from springbok.history.steps import all_steps
from springbok.measuring import metrics
from springbok.measuring.derived import RUNTIME, dispatch_label
from springbok.report import charts, keyword_page, summary
from springbok.report.history import history_page
from springbok.report.lead import lead
from springbok.support import process
from springbok.support.places import KEYWORDS, ROOT

pytestmark = needs_browser

# Texts of a plot that lie on each other, or outside of it; of slanted texts only the boxes around them are known.
OVERLAPS = """() => [...document.querySelectorAll("svg.marks")].flatMap((plot) => {
  const texts = [...plot.querySelectorAll("text")].filter(
    (text) => text.textContent.trim() && !(text.getAttribute("transform") || "").includes("rotate(320)"));
  const boxes = texts.map((text) => text.getBoundingClientRect());
  const around = plot.getBoundingClientRect();
  const found = [];
  boxes.forEach((a, i) => {
    if (!a.width) return;
    if (a.left < around.left - 4 || a.right > around.right + 4) found.push(`outside: ${texts[i].textContent}`);
    boxes.slice(i + 1).forEach((b, j) => {
      const width = Math.min(a.right, b.right) - Math.max(a.left, b.left);
      const height = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
      if (width > 1 && height > 3) found.push(`${texts[i].textContent} on ${texts[i + 1 + j].textContent}`);
    });
  });
  return found;
}).slice(0, 20)"""
# Contrast of each text with what is behind it, as WCAG 2 has it; the lowest ones.
CONTRASTS = """() => {
  const parts = (color) => color.match(/[\\d.]+/g).map(Number);
  const over = (top, under) => {
    const alpha = top[3] ?? 1;
    return [0, 1, 2].map((i) => top[i] * alpha + under[i] * (1 - alpha));
  };
  const behind = (element) => {
    const layers = [];
    for (let each = element; each; each = each.parentElement) {
      layers.push(parts(getComputedStyle(each).backgroundColor));
    }
    return layers.reverse().reduce((under, top) => over(top, under), [255, 255, 255]);
  };
  const light = (rgb) => {
    const linear = (part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = rgb.map((each) => linear(each / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  for (const element of document.querySelectorAll("body *:not(svg *):not(script):not(style)")) {
    const text = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!text || !element.getClientRects().length) continue;
    const paper = behind(element);
    const [a, b] = [light(over(parts(getComputedStyle(element).color), paper)), light(paper)];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    const what = `${element.tagName} ${element.textContent.trim().slice(0, 40)}`;
    if (contrast < 4.5) found.push(`${contrast.toFixed(2)}: ${what}`);
  }
  // Texts of a plot stand on the page, or on the last mark under their middle.
  for (const plot of document.querySelectorAll("svg.marks")) {
    const paper = behind(plot.parentElement);
    const bars = [...plot.querySelectorAll("[aria-roledescription=bar], [aria-roledescription='rect mark']")].map(
      (bar) => [bar.getBoundingClientRect(), getComputedStyle(bar)]);
    for (const text of plot.querySelectorAll("text")) {
      const style = getComputedStyle(text), box = text.getBoundingClientRect();
      if (!text.textContent.trim() || style.fill === "none" || !box.width || Number(style.opacity) < 1) continue;
      const x = (box.left + box.right) / 2, y = (box.top + box.bottom) / 2;
      const under = bars.filter(([bar]) => bar.left <= x && x <= bar.right && bar.top <= y && y <= bar.bottom).reduce(
        (ground, [, look]) => over([...parts(look.fill).slice(0, 3), Number(look.fillOpacity)], ground), paper);
      const [a, b] = [light(over(parts(style.fill), under)), light(under)];
      const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      if (contrast < 4.5) found.push(`${contrast.toFixed(2)}: plot's ${text.textContent}`);
    }
  }
  return found.slice(0, 20);
}"""
# What a screen reader or a keyboard could not tell: controls without a name, columns that are called the same or not.
UNNAMED = """() => [
  ...[...document.querySelectorAll("button, input, select, iframe, a[href], [tabindex='0'], [role=figure]")].filter(
    (each) => each.checkVisibility() && !(each.labels?.length || each.ariaLabel || each.title || each.textContent.trim()
      || each.querySelector("[aria-label]"))).map((each) => each.outerHTML.slice(0, 90)),
  ...[...document.querySelectorAll("table.sb-table")].flatMap((table) => {
    const titles = [...table.tHead.rows[0].cells].map((each) => each.textContent.trim());
    return titles.filter((title, i) => !title || titles.indexOf(title) !== i).map((title) => `column '${title}'`);
  })]"""
# Tables that have to be scrolled to the side.
SCROLLED = """() => [...document.querySelectorAll(".sb-scroll")].filter(
  (each) => each.querySelector("table") && each.scrollWidth > each.clientWidth + 1).map(
  (each) => each.closest("section")?.dataset.figure)"""
# Buttons far wider than what they say.
STRETCHED = """() => [...document.querySelectorAll("button")].filter((button) => {
  const text = document.createRange();
  text.selectNodeContents(button);
  return button.getBoundingClientRect().width > text.getBoundingClientRect().width + 40;
}).map((button) => button.textContent)"""
# Titles of figures that stand closely below another figure.
CROWDED = """() => [...document.querySelectorAll("section[data-figure] > :is(h3, h4)")].filter((title) => {
  const box = title.getBoundingClientRect();
  const others = [...document.querySelectorAll("section[data-figure] :is(button, table, p, summary)")];
  return box.height && others.some((each) => {
    const other = each.getBoundingClientRect();
    const isAbove = other.height && other.left < box.right && other.right > box.left && other.bottom <= box.top;
    return isAbove && other.bottom > box.top - 12;
  });
}).map((title) => title.textContent)"""
# Cells far wider than what they hold, of a table of names and values.
SPREAD = """() => [...document.querySelectorAll(".sb-matrix dl")].filter(
  (each) => innerWidth > 800 && each.clientWidth > 420).map((each) => each.textContent)"""
# What reaches out of the page, where nothing lets it be scrolled to.
CUT_OFF = """() => [...document.querySelectorAll("body *:not(svg *)")].filter((element) => {
  const box = element.getBoundingClientRect();
  return box.width && box.right > innerWidth + 1 && !element.closest(".sb-scroll, .sb-plot, pre, .sb-wide thead");
}).map((element) => `${element.tagName} ${element.className}`).slice(0, 10)"""


@pytest.fixture(scope="module")
def browser():
    with running() as started:
        yield started


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Every page: two configurations, of which a test failed; the same under hostile names; what has nothing; …"""
    folder = tmp_path_factory.mktemp("pages")
    document = make_document(make_model(), make_model(variant="scalar"))
    tests = summary.Tests(3, 0, (("gestures: Should Not Cost More", "12,000 instructions more: conv_1"),))
    record = {"started": "2026-01-02T03:04:05+00:00", "origin": {"commit": "c0ffee" * 6, "branch": "main"}}
    report.write_reports(document, folder, leading=lead(document, tests, None, record))
    report.write_comparison([report.Run("a", document), report.Run("b", make_document(make_model(seed=2)))], folder)
    report.write_reports(hostile_document(), folder / "hostile")
    report.write_comparison([report.Run("a", hostile_document())], folder / "hostile")
    report.write_reports(make_document(board_model(), engine="serial"), folder / "board")
    report.write_reports(make_document(), folder / "empty")
    timed = make_document(with_everything(make_model()), with_everything(make_model(variant="scalar")))
    wrong = ("run.json: VLEN 256, metrics.json: VLEN 512",)
    report.write_reports(timed, folder / "timed", leading=lead(timed, tests, None, record, wrong))
    runs = [report.Run(f"v{vlen}", make_document(*timed["models"], vlen=vlen)) for vlen in (256, 512)]
    report.write_comparison(runs, folder / "four")
    report.write_reports(three_lengths(), folder / "platforms")
    report.write_compilers(compiler_rows(), folder / "compilers")
    report.write_sweep(many_rows(30), None, folder / "sweep")
    report.write_matrix([document, make_document(make_regression(), vlen=128)], folder / "matrix")
    keyword_page.write(folder / "keywords")
    with store.opened(folder / "history" / "h.db") as kept:
        for number in range(4):
            kept.add(make_run(number, cost=250 * (number > 1)))
        runs = kept.runs()
        numbers = kept.series(runs)
    pages = {"history": (runs, numbers, all_steps(runs, numbers)), "empty": ([], [], [])}
    for name, content in pages.items():
        (folder / "history" / f"{name}.html").write_text(history_page(*content), encoding="utf-8")
    return folder


PAGES = (
    "report.html",
    "compare.html",
    "board/report.html",
    "empty/report.html",
    "timed/report.html",
    "four/compare.html",
    "platforms/report.html",
    "compilers/compilers.html",
    "hostile/report.html",
    "hostile/compare.html",
    "matrix/matrix.html",
    "history/history.html",
    "history/empty.html",
    "sweep/sweep.html",
    "keywords/keywords.html",
)


@pytest.mark.parametrize("width", [1280, 600])
@pytest.mark.parametrize("name", PAGES)
def test_pages_are_whole_and_legible(browser, folder, name, width):
    with opened(browser, folder / name, width, "light") as (page, problems):
        page.evaluate("for (const each of document.querySelectorAll('details')) each.open = true")
        assert page.evaluate(OVERLAPS) == []
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.wait_for_selector(f"html[data-theme={scheme}]", state="attached")
            assert page.evaluate(CONTRASTS) == [], scheme
        assert page.evaluate(CUT_OFF) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(UNNAMED) == []
        assert page.evaluate(STRETCHED) == []
        assert page.evaluate(CROWDED) == []
        assert page.evaluate(SPREAD) == []
        if "hostile" not in name:
            assert page.evaluate(SCROLLED) == []
        page.evaluate("for (const each of document.querySelectorAll('button, table.sb-table th')) each.click()")
        assert problems == []


def test_the_first_screen_says_what_failed_and_of_what(browser, folder):
    with opened(browser, folder / "report.html", draws=False) as (page, _):
        screen = [each.text_content() for each in page.locator(".sb-lead *").all() if each.bounding_box()["y"] < 800]
        for wanted in (
            "✗ Failed",
            "2 of 3 tests passed",
            "12,000 instructions more",
            "c0ffeec0ff",
            "2026-01-02",
            "512",
        ):
            assert any(wanted in text for text in screen), wanted


def test_the_documents_picture_is_made_by_its_command(browser, folder, tmp_path):
    report_picture.take(browser, folder / "report.html", tmp_path / "picture.png")
    assert (tmp_path / "picture.png").read_bytes()[16:24] == (1280).to_bytes(4, "big") + (1400).to_bytes(4, "big")
    assert "report_picture.py" in (ROOT / "docs" / "report.md").read_text()


def marks(page, figure):
    labels = page.locator(f".sb-model:not([hidden]) [data-figure={figure}] svg [aria-roledescription=bar]")
    return [each.get_attribute("aria-label") for each in labels.all()]


def redrawn(page, action):
    """Do something that draws charts anew, and wait for them."""
    action()
    draw_all(page)


def test_a_chart_shows_values_switches_series_and_has_a_logarithmic_axis(browser, folder):
    with opened(browser, folder / "report.html") as (page, problems):
        model = page.locator(".sb-model:not([hidden])")
        figure = model.locator("[data-figure=dispatches]")
        whole = marks(page, "dispatches")
        bar = figure.locator("svg [aria-roledescription=bar]").first
        point_at(page, bar)
        assert page.locator("#vg-tooltip-element").text_content() == bar.get_attribute("aria-label") == whole[0]
        redrawn(page, lambda: figure.get_by_label("scalar", exact=True).uncheck())
        assert marks(page, "dispatches") == [each for each in whole if ", scalar: " not in each]
        redrawn(page, lambda: figure.get_by_label("largest first").check())
        values = [int(each.rpartition(": ")[2].replace(",", "")) for each in marks(page, "dispatches")]
        redrawn(page, lambda: figure.get_by_label("logarithmic axis").check())
        assert marks(page, "dispatches") == []  # a bar's length would mean nothing
        assert figure.locator("svg [aria-roledescription=point]").count() == sum(value > 0 for value in values)
        assert problems == []


def test_a_search_over_layers_and_another_model_by_keyboard(browser, folder):
    with opened(browser, folder / "report.html") as (page, _):
        redrawn(page, lambda: page.get_by_label("Search layers").fill("conv_2"))
        assert page.locator("#sb-found").text_content() == "1 of 5 dispatches"
        assert {each.partition(",")[0] for each in marks(page, "dispatches")} == {
            dispatch_label(make_model()["dispatches"][2])
        }
        redrawn(page, lambda: page.get_by_label("Search layers").fill(""))
        page.locator("#sb-model").focus()
        page.keyboard.press("ArrowDown")
        page.wait_for_selector("#model-2:not([hidden])")
        assert page.locator("#model-1").is_hidden()
        header = page.locator("#model-2 [data-figure=dispatches] th").nth(2)
        header.focus()
        page.keyboard.press("Enter")
        assert header.get_attribute("aria-sort") == "descending"
        cells = page.locator("#model-2 [data-figure=dispatches] td:nth-child(3)").all()
        values = [float(each.get_attribute("data-value")) for each in cells]
        assert values == sorted(values, reverse=True)
        assert RUNTIME in page.locator("#model-2 [data-figure=dispatches]").text_content()


def test_a_model_at_several_vector_lengths_is_chosen_by_its_own(browser, folder):
    """Also by a link to it."""
    address = (folder / "platforms" / "report.html").as_uri()
    for number, label in enumerate(LABELS, 1):
        with opened(browser, f"{address}#model-{number}", draws=False) as (page, problems):
            shown = page.locator(".sb-model:not([hidden])")
            assert shown.get_attribute("aria-label") == label
            assert page.locator("#sb-model option:checked").text_content() == label
            details = shown.locator(".sb-step").last.locator("small").all_text_contents()
            assert f"gestures (vector), {', '.join(details[-2:])}" == label
            assert problems == []


@pytest.mark.parametrize("width", [1280, 600])
def test_a_search_for_what_is_not_there_leaves_no_chart_and_no_wider_page(browser, folder, width):
    """Every chart with names says that nothing is left: also those whose roofs or axes would still be there."""
    with opened(browser, folder / "timed" / "report.html", width) as (page, problems):
        before = page.locator(".sb-model:not([hidden]) .sb-plot svg.marks").count()
        for words in ("zzz", "conv_1 zzz"):
            redrawn(page, lambda words=words: page.get_by_label("Search layers").fill(words))
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            for key in ("dispatches", "timeline", "roofline"):
                figure = page.locator(f".sb-model:not([hidden]) [data-figure={key}]")
                assert "Nothing is left to show" in figure.locator(".sb-plot").text_content(), key
        redrawn(page, lambda: page.get_by_label("Search layers").fill(""))
        assert page.locator(".sb-model:not([hidden]) .sb-plot svg.marks").count() == before
        assert problems == []


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


def test_a_sweep_of_500_rows_is_legible_sorted_and_filtered(browser, tmp_path):
    rows = many_rows(500)
    path, *_ = report.write_sweep(rows, None, tmp_path)
    assert path.stat().st_size < 1_000_000
    with opened(browser, path) as (page, problems):
        assert page.evaluate(OVERLAPS) == []
        assert page.locator("svg.marks:visible").count() == 1
        page.locator("table.sb-table th").nth(4).click()
        page.locator("input.sb-filter").fill("int8 flag_1")
        wanted = {row["flags"] for row in rows if row["type"] == "int8" and row["flags"].startswith("flag_1")}
        found = page.evaluate(
            """() => {
          const rows = [...document.querySelectorAll("table.sb-table tbody tr")].filter((row) => !row.hidden);
          const marks = ".sb-on-wide svg [aria-roledescription=point]:not(.sb-hidden)";
          const points = [...document.querySelectorAll(marks)];
          return {
            rows: rows.map((row) => row.cells[3].textContent),
            first: rows.map((row) => Number(row.cells[4].dataset.value)),
            points: points.map((point) => point.querySelector("title").textContent.replace(/:.*/, ""))};
        }"""
        )
        assert set(found["rows"]) == wanted
        assert page.locator("output").text_content() == f"{len(wanted)} of 500 rows"
        assert sorted(found["points"]) == sorted(
            " ".join((row["type"], str(row["vlen"]), row["flags"])) for row in rows if row["flags"] in wanted
        )
        assert found["first"] == sorted(found["first"], reverse=True)  # after a click on its head
        page.locator("input.sb-filter").fill("")
        assert page.locator("table.sb-table tbody tr:not([hidden])").count() == 500
        assert problems == []


def test_on_a_narrow_page_a_sweep_is_whole_and_names_its_rows(browser, folder, tmp_path):
    rows = many_rows(8)
    best = next(row for row in rows if row["pareto"])
    path, *_ = report.write_sweep(rows, best, tmp_path)
    with opened(browser, path, 600) as (page, _):
        plot = page.locator("svg.marks:visible")
        box = plot.bounding_box()
        assert plot.count() == 1 and box["x"] + box["width"] <= 600
        assert page.evaluate(OVERLAPS) == []
        names = plot.locator("text").all_text_contents()
        name = f"{best['type']} {best['vlen']} {best['flags']}"
        assert name in names and sum("(log)" in each for each in names) == 2
        heads = page.evaluate(
            """() => [...document.querySelectorAll("tr[data-mark]")].map(
                 (row) => getComputedStyle(row, "::before").content)"""
        )
        assert f'"{name}"' in heads and len(set(heads)) == len(rows)


@pytest.mark.parametrize(("width", "is_list"), [(1280, False), (600, True)])
def test_on_a_narrow_page_what_is_left_out_is_a_list(browser, tmp_path, width, is_list):
    model = make_model()
    entry = {"model": model["name"], "variant": model["variant"], "suite": "first", "by": "second"}
    entry |= {"instructions": 7, "differing": ["samples"]}
    report.write_reports(make_document(model) | {"replaced": [entry]}, tmp_path)
    with opened(browser, tmp_path / "report.html", width) as (page, _):
        table = page.locator("[data-figure=left_out] table")
        assert table.locator("td").first.is_visible()
        assert table.locator("thead").is_hidden() == is_list


@pytest.mark.parametrize("decades", [(1.0, 6.0), (4.48, 4.56), (4.003, 4.016), (3.9, 5.1)])
@pytest.mark.parametrize("most", [4, 8])
def test_a_logarithmic_axis_names_two_places_at_least(decades, most):
    low, high = (10**each for each in decades)
    found = charts._ticks(low, high, most)
    assert 2 <= len(found) <= max(most, 2) and low <= min(found) < max(found) <= high


def test_a_model_of_the_address_is_not_hidden_below_the_bar(browser, folder):
    for width in (1280, 600):
        with opened(browser, f"{(folder / 'report.html').as_uri()}#model-2", width) as (page, _):
            page.wait_for_selector("#model-2:not([hidden])")
            for _ in range(200):  # the page is scrolled when what is above is drawn
                bar, head = (page.locator(each).bounding_box() for each in (".sb-picker", "#model-2 h3"))
                if bar["y"] == 0 and bar["height"] <= head["y"] < 200:
                    break
                page.wait_for_timeout(50)
            else:
                raise AssertionError(f"the head is at {head}, the bar at {bar}")


def test_charts_and_tables_are_told_apart_and_lists_are_put_in_order(browser, folder):
    with opened(browser, folder / "report.html", 600) as (page, problems):
        model = page.locator(".sb-model:not([hidden])")
        titles = [each.text_content() for each in model.locator("section:has(svg.marks) :is(h3, h4)").all()]
        names = [each.get_attribute("aria-label") for each in model.locator("[role=graphics-document]").all()]
        assert names == titles and len(set(names)) == len(names) > 5
        groups = [each.get_attribute("aria-label") for each in model.locator(".sb-controls").all()]
        assert len(set(groups)) == len(groups)
        figure = model.locator("[data-figure=dispatches]")
        assert figure.locator("table").get_attribute("aria-label") == figure.locator("h4").text_content()
        assert not any(each.is_visible() for each in figure.locator("th").all())
        figure.get_by_label("Order of").select_option(label="instructions an inference: smallest first")
        values = [float(each.get_attribute("data-value")) for each in figure.locator("td:nth-child(3)").all()]
        assert values == sorted(values)
        assert problems == []


def test_a_chart_follows_its_tables_filter_and_says_when_nothing_is_left(browser, tmp_path):
    models = [make_model(f"model{number}", seed=number + 1) for number in range(14)]
    report.write_reports(make_document(*models), tmp_path)
    with opened(browser, tmp_path / "report.html") as (page, _):
        figure = page.locator("[data-figure=comparison]")
        bars = figure.locator("svg [aria-roledescription=bar], svg [aria-roledescription=point]")
        assert bars.count() == 14
        redrawn(page, lambda: figure.get_by_label("Filter Comparison").fill("model3"))
        assert bars.count() == 1
        redrawn(page, lambda: figure.get_by_label("Filter Comparison").fill("nothing"))
        assert "Nothing is left to show" in figure.locator(".sb-plot").text_content()
        redrawn(page, lambda: figure.get_by_label("Filter Comparison").fill(""))
        assert bars.count() == 14


def test_numbers_of_a_stacked_chart_do_not_lie_on_each_other_on_a_logarithmic_axis(browser, folder):
    with opened(browser, folder / "report.html") as (page, _):
        figure = page.locator(".sb-model:not([hidden]) [data-figure=dispatches]")
        redrawn(page, lambda: figure.get_by_label("logarithmic axis").check())
        assert page.evaluate(OVERLAPS) == []


def test_a_timeline_is_zoomed_by_keyboard(browser, folder):
    with opened(browser, folder / "report.html") as (page, _):
        figure = page.locator(".sb-model:not([hidden]) [data-figure=timeline]")

        def widths():
            return [each.bounding_box()["width"] for each in figure.locator("svg [aria-roledescription=bar]").all()]

        before = max(widths())
        figure.get_by_role("button", name="Closer").focus()
        redrawn(page, lambda: page.keyboard.press("Enter"))
        assert max(widths()) > before
        redrawn(page, figure.get_by_role("button", name="All").click)
        assert max(widths()) == pytest.approx(before, abs=1)


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


def test_robots_log_shows_the_plots_after_merging(browser, tmp_path):
    metrics.write(tmp_path / "metrics.json", hostile_document())
    (tmp_path / "Reporter.py").write_text(ROBOT_LIBRARY)
    suite = ROBOT_SUITE.format(library=tmp_path / "Reporter.py", document=tmp_path / "metrics.json")
    (tmp_path / "one.robot").write_text(suite)
    robot("robot", "--log", "none", "--report", "none", tmp_path / "one.robot", folder=tmp_path)
    expand = ("--expandkeywords", "name:Reporter.Log A Report", "--output", "merged.xml", "--report", "none")
    output = tmp_path / "output.xml"
    robot("rebot", *expand, "--name", "Merged", output, output, folder=tmp_path)
    with opened(browser, tmp_path / "log.html") as (page, problems):
        page.wait_for_function("document.querySelectorAll('svg.marks').length >= 2 * 9")
        assert page.evaluate(OVERLAPS) == []
        assert problems == []
        assert not re.search("<script", page.locator(".sb").first.inner_html())
