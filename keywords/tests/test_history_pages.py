# SPDX-License-Identifier: Apache-2.0
"""The pages of history and matrix: what they say is what the store and the results say; and in a browser."""

import json
import re
import shutil
from xml.etree import ElementTree

import pytest
import yaml
from history_runs import make_run
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_runs import make_document, make_model, make_regression

from springbok import cli
from springbok.chips.description import load
from springbok.gate import gate, snapshots, verdicts
from springbok.history.steps import all_steps
from springbok.history.store import opened
from springbok.measuring import metrics
from springbok.report import matrix
from springbok.report.history import history_page
from springbok.support.places import ROOT

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
HOSTILE = "</script><b>&\"'|`*_"


@pytest.fixture(scope="module")
def history(tmp_path_factory):
    """Runs of two branches, a step in each; texts that would end a script or begin an element."""
    with opened(tmp_path_factory.mktemp("history") / "h.db") as store:
        for number in range(12):
            branch = "topic" if number % 3 == 2 else HOSTILE
            run = make_run(number, cost=0 if number < 6 else 250)
            origin = run.origin.__class__(**{**vars(run.origin), "branch": branch, "subject": f"{HOSTILE} {number}"})
            store.add(make_run(number, cost=0 if number < 6 else 250, origin=origin))
        runs = store.runs()
        numbers = store.series(runs)
    return runs, numbers, all_steps(runs, numbers)


@pytest.fixture(scope="module")
def page(history, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "history.html"
    path.write_text(history_page(*history), encoding="utf-8")
    return path


def test_the_page_holds_every_number_of_every_run(history, page):
    runs, numbers, _ = history
    text = page.read_text(encoding="utf-8")
    content = json.loads(re.search(r'id="history">(.*?)</script>', text, re.DOTALL)[1])
    assert HOSTILE not in text
    shown = {
        (content["configurations"][place], metric, layer): along for place, metric, layer, along in content["series"]
    }
    assert len(shown) == len(numbers)
    for series in numbers:
        found = {}
        for line, along in zip(
            content["lines"], shown[series.configuration.title, series.metric, series.layer], strict=True
        ):
            values = [value for value, count in zip(along[::2], along[1::2], strict=True) for _ in range(count)]
            found |= {content["runs"][place][0]: value for place, value in zip(line["runs"], values, strict=True)}
        assert {number: value for number, value in found.items() if value is not None} == series.points
    assert len(runs) == len(content["runs"])


def test_the_page_names_commit_and_layer_of_each_step(history, page):
    text = page.read_text(encoding="utf-8")
    assert "instructions an inference: 129,820 → 130,070 (+0.19 %)" in text
    assert "conv_1: +250" in text
    assert text.count('data-choice="') == len({(each.after.number, each.series.configuration) for each in history[2]})


def test_an_empty_history_has_a_page_too():
    assert "There is no run in it yet." in history_page([], [], [])


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed here")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed here")
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def tab(browser, page):
    opened_page = browser.new_page(viewport={"width": 600, "height": 900})
    problems = []
    opened_page.on("pageerror", lambda error: problems.append(str(error)))
    opened_page.on("console", lambda message: problems.append(message.text))
    opened_page.on("request", lambda request: problems.append(request.url) if request.url != page.as_uri() else None)
    opened_page.goto(page.as_uri())
    opened_page.wait_for_selector("#chart[data-drawn]")
    yield opened_page
    assert problems == []
    opened_page.close()


def test_the_chart_is_drawn_once_when_the_page_opens(browser, page):
    opened_page = browser.new_page(color_scheme="dark")
    opened_page.add_init_script(
        """window.draws = 0;
        let embed;
        Object.defineProperty(window, "vegaEmbed", {
          get: () => embed,
          set: (given) => { embed = (...all) => { window.draws += 1; return given(...all); }; },
        });"""
    )
    opened_page.goto(page.as_uri())  # until all scripts have run
    assert opened_page.evaluate("[draws, document.documentElement.dataset.theme]") == [1, "dark"]
    opened_page.get_by_role("button", name="Dark / light").click()  # and anew where the colours change
    opened_page.wait_for_selector("html[data-theme=light]")
    assert opened_page.evaluate("draws") == 2
    opened_page.close()


def test_a_history_of_results_without_commits_opens_without_a_warning(browser, tmp_path):
    with opened(tmp_path / "h.db") as store:
        run = make_run(0)
        store.add(make_run(0, origin=run.origin.__class__(), verdict="measured"))
        runs = store.runs()
        numbers = store.series(runs)
    (tmp_path / "history.html").write_text(history_page(runs, numbers, []), encoding="utf-8")
    said, opened_page = [], browser.new_page()
    opened_page.on("console", lambda message: said.append(message.text))
    opened_page.goto((tmp_path / "history.html").as_uri())
    opened_page.wait_for_selector("#chart[data-drawn]")
    assert said == [] and opened_page.locator("#chart svg [aria-roledescription=point]").count() == 1
    opened_page.close()


def test_the_chart_shows_the_chosen_number(tab):
    assert tab.locator("#chart svg [aria-roledescription=point]").count() == 12
    lines = tab.locator("#lines label").all_text_contents()
    assert sorted(lines) == sorted([f"{HOSTILE}, lab", "topic, lab"])
    assert "12 points, 2 steps of this number." in tab.locator("#told").text_content()
    tab.select_option("#configuration", label="gestures (vector) on springbok, spike, VLEN 512")
    tab.select_option("#metric", label="memory peak")
    drawn(tab, "memory_peak_bytes ")
    assert "12 points, 0 steps of this number." in tab.locator("#told").text_content()
    assert not tab.locator("#layer").is_visible()
    assert tab.evaluate("document.documentElement.scrollWidth") == 600


def drawn(tab, ending):
    """Waits until the chart of the chosen number is there; the page's policy forbids polling by a script."""
    tab.locator(f"#chart[data-drawn$='{ending}']").wait_for()


def test_lines_are_switched_and_the_runs_chosen_by_keyboard(tab):
    from playwright.sync_api import expect

    marks = tab.locator("#chart svg [aria-roledescription=point]")

    def press(control):
        control.focus()
        tab.keyboard.press("Space")

    press(tab.get_by_role("checkbox", name="topic, lab"))
    expect(marks).to_have_count(8)
    assert not any("topic" in each.get_attribute("aria-label") for each in marks.all())
    tab.get_by_text("Table of these points").click()
    expect(tab.locator("#points tbody tr")).to_have_count(8)
    press(tab.get_by_role("checkbox", name="topic, lab"))
    expect(marks).to_have_count(12)
    values = {each.locator("td").last.text_content() for each in tab.locator("#points tbody tr").all()}
    assert values == {"129,820", "130,070"}
    shown = (("Closer", "2.5 to 8.5"), ("Later", "5.5 to 11.5"), ("Wider", "-0.5 to 11.5"), ("Closer", "2.5 to 8.5"))
    for button, places in (*shown, ("Earlier", "-0.5 to 5.5"), ("Show all runs", "-0.5 to 11.5")):
        press(tab.get_by_role("button", name=button))
        expect(tab.locator("#chart")).to_have_attribute("data-span", places)


def test_shares_are_told_as_such(tab):
    tab.select_option("#metric", label="accuracy")
    drawn(tab, "accuracy ")
    assert " %" in tab.locator("#told").text_content()
    assert tab.locator("#chart svg .role-axis-label text", has_text="%").count()


def test_without_scripts_the_page_says_so(browser, page):
    context = browser.new_context(java_script_enabled=False)
    tab = context.new_page()
    tab.goto(page.as_uri())
    assert "The chart needs scripts" in tab.locator("noscript p").text_content()
    assert not tab.locator("select").first.is_visible()
    context.close()


def test_a_step_of_the_table_is_shown_in_the_chart(tab):
    tab.select_option("#metric", label="memory peak")
    button = tab.locator("button[data-choice]").first
    configuration, metric = json.loads(button.get_attribute("data-choice"))
    button.click()
    drawn(tab, f"{configuration} {metric} ")
    assert tab.locator("#metric").input_value() == metric
    tab.select_option("#layer", label="conv_1")
    drawn(tab, "conv_1")


# ---- The matrix


def results(folder, *models, chip="springbok", vlen=512):
    folder.mkdir(parents=True)
    document = {**make_document(*models, vlen=vlen), "chip": chip}
    (folder / "metrics.json").write_text(json.dumps(document))
    return document


def _given_by_label(model):
    pairs = list(zip(model["per_sample"]["label"], model["per_sample"]["device"], strict=True))
    return [[device for label, device in pairs if label == wanted] for wanted in range(3)]


def right(model):
    model["per_sample"]["device"] = model["per_sample"]["host"]
    model["accuracy"] = model["host_accuracy"]
    model["confusion"] = [[row.count(name) for name in range(3)] for row in _given_by_label(model)]
    return model


def too_large(model):
    model["fit"] = [{"name": "itcm", "bytes": 10, "parts": {"weights": 15}, "free_bytes": -5}]
    return model


def test_the_matrix_tells_what_runs_is_equal_accurate_and_fits(tmp_path, capsys):
    results(tmp_path / "in" / "a", right(make_model()), make_model("other"), make_regression())
    results(tmp_path / "in" / "b" / "c", too_large(right(make_model())), chip="coralnpu_soc", vlen=128)
    assert cli.main(["matrix", str(tmp_path / "in"), "--output", str(tmp_path / "out")]) == 0
    assert "gestures (vector)  coralnpu_soc, VLEN 128  does not fit       129,820" in capsys.readouterr().out
    cells = {
        (each["model"], each["column"]["chip"]): each for each in json.loads((tmp_path / "out/matrix.json").read_text())
    }
    assert {key: each["state"] for key, each in cells.items()} == {
        ("gestures (vector)", "springbok"): "good",
        ("gestures (vector)", "coralnpu_soc"): "does not fit",
        ("other (vector)", "springbok"): "differs",
        ("wear (vector)", "springbok"): "good",
    }
    assert cells["gestures (vector)", "springbok"]["instructions"] == 129_820
    page = (tmp_path / "out" / "matrix.html").read_text()
    assert "<b>2 of 4 run, equal and fit</b>" in page
    assert page.count("not measured") == 2
    assert "itcm: 5 bytes MISSING" in page
    text = (tmp_path / "out" / "matrix.md").read_text()
    assert "| gestures \\(vector\\) | ✗ does not fit 129,820 instructions, 100.00 % | ✓ 129,820 instructions" in text
    badges = sorted(path.name for path in (tmp_path / "out" / "badges").iterdir())
    assert badges == ["all.svg", "gestures-vector-coralnpu_soc-vlen-128.svg", "gestures-vector-springbok-vlen-512.svg",
                      "other-vector-springbok-vlen-512.svg", "wear-vector-springbok-vlen-512.svg"]  # fmt: skip


def test_of_a_cell_the_last_result_counts():
    cells = matrix.cells_of([make_document(make_model()), make_document(right(make_model()))])
    assert [cell.state for cell in cells] == ["good"]


def test_badges_are_svg_whatever_names_hold():
    for state in ("good", "differs", "does not fit", "not measured"):
        root = ElementTree.fromstring(matrix.badge(HOSTILE, "<&>", state))
        assert root.get("aria-label") == f"{HOSTILE}: <&>"
        assert int(root.get("width")) > 0
    assert matrix.badge_name("../../a", "b/..") == "a-b.svg"


def test_badges_of_any_names_have_files_of_their_own(tmp_path):
    models = ["a b", "a-b", "模型", "モデル", "x" * 3000, "x" * 2999, "../../etc", "plain"]
    names = matrix.badge_names([(model, model, "springbok, VLEN 512") for model in models])
    assert len(set(names.values())) == len(models)
    assert all(len(name) < 160 and "/" not in name and not name.startswith(".") for name in names.values())
    assert names["plain"] == matrix.badge_name("plain", "springbok, VLEN 512")
    results(tmp_path / "in", *(make_model(model) for model in models))
    assert cli.main(["matrix", str(tmp_path / "in"), "--output", str(tmp_path / "out")]) == 0
    assert len(list((tmp_path / "out" / "badges").iterdir())) == len(models) + 1


NAMES = st.text("ab_(), ", min_size=1, max_size=60)
PLACES = st.builds(matrix.Column, NAMES, st.sampled_from([0, 64, 512, 65536]), st.sampled_from(["spike", "renode"]))


@settings(max_examples=60, deadline=None)
@given(st.sets(st.tuples(NAMES, PLACES), max_size=8))
def test_badges_show_the_vlen_and_no_two_look_alike(cells):
    labels = matrix.badge_labels([(cell, f"{cell[1].vlen}, {cell[1].engine}") for cell in cells])
    shown = {matrix.badge("x" * 99, "", matrix.GOOD, label).rpartition("<g ")[2] for label in labels.values()}
    assert len(shown) == len({(f"{model}, {column.chip}", column.vlen, column.engine) for model, column in cells})
    for (_, column), label in labels.items():
        assert label.endswith(f", {column.vlen}, {column.engine}") and len(label) <= matrix._LONGEST_LABEL


def test_a_long_models_badges_for_two_vlens_show_which_is_which(tmp_path):
    for vlen in (256, 512):
        results(tmp_path / "in" / str(vlen), make_model("gestures_int8_of_a_long_name"), vlen=vlen)
    assert cli.main(["matrix", str(tmp_path / "in"), "--output", str(tmp_path / "out")]) == 0
    badges = [path.read_text() for path in (tmp_path / "out" / "badges").glob("gestures*.svg")]
    labels = {ElementTree.fromstring(text).findall(".//{*}text")[0].text for text in badges}
    assert labels == {f"gestures_int8_o…or), springbok, VLEN {vlen}" for vlen in (256, 512)}


def contrast(colour, other="#FFFFFF"):
    def luminance(text):
        parts = [int(text[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(colour), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_texts_of_badges_can_be_read():
    for colour in (*matrix._COLOURS.values(), matrix._LABEL_COLOUR):
        assert contrast(colour) >= 4.5


def test_what_a_later_result_of_a_cell_leaves_out_is_said(tmp_path, capsys):
    for name, seed in (("ten", 1), ("pass", 2), ("same", 2)):
        metrics.write(tmp_path / name / "metrics.json", make_document(right(make_model(seed=seed))))
    folders = [str(tmp_path / name) for name in ("ten", "pass", "same")]
    assert cli.main(["matrix", *folders, "--output", str(tmp_path / "out")]) == 0
    cells = [matrix.cells_of([metrics.read(tmp_path / name)])[0] for name in ("ten", "pass")]
    told = (
        f"gestures (vector) on springbok, VLEN 512: {cells[1].message}, of {folders[1]}; "
        f"another result of {folders[0]} is left out: {cells[0].message}."
    )
    assert capsys.readouterr().out.count(" is left out") == 1  # equal results leave nothing out
    assert told in (tmp_path / "out" / "matrix.html").read_text()
    assert " is left out" in (tmp_path / "out" / "matrix.md").read_text()


def test_the_matrix_says_which_run_failed_and_for_what(tmp_path, capsys):
    for name in ("good", "bad"):
        document = results(tmp_path / name, right(make_model()))
    too_many = gate.judge(snapshots.snapshot(document, "gestures"), gate.Limit("instructions", 10))
    verdicts.VerdictFile(tmp_path / "bad", "Two").add([too_many])
    assert cli.main(["matrix", str(tmp_path), "--output", str(tmp_path / "out")]) == 0
    told = f"{tmp_path / 'bad' / 'metrics.json'}: the run failed: {too_many.subject}: {too_many.title}."
    said = [line for line in capsys.readouterr().out.splitlines() if "the run failed" in line]
    assert said == [told]
    assert told in (tmp_path / "out" / "matrix.html").read_text()
    (tmp_path / "bad" / "gate.json").write_text("{")
    assert cli.main(["matrix", str(tmp_path), "--output", str(tmp_path / "out")]) == 0
    assert "whether the run has failed is unknown" in capsys.readouterr().out


def test_a_model_measured_on_several_sets_of_data_has_a_row_for_each():
    other = right(make_model(seed=2))
    other["dataset"]["name"] = "wave/train"
    documents = [make_document(right(make_model())), make_document(other)]
    names = ["gestures (vector), motions/test", "gestures (vector), wave/train"]
    assert [each.model for each in matrix.cells_of(documents)] == names
    assert matrix.replaced(documents, ["a", "b"]) == []


def test_the_matrix_of_a_history_is_of_its_newest_runs(tmp_path):
    with opened(tmp_path / "h.db") as store:
        for number in range(3):
            store.add(make_run(number, cost=number))
    assert cli.main(["matrix", "--history", str(tmp_path / "h.db"), "--output", str(tmp_path / "out")]) == 0
    (found,) = (
        each
        for each in json.loads((tmp_path / "out" / "matrix.json").read_text())
        if each["model"] == "gestures (vector)"
    )
    assert found["instructions"] == 129_822


def test_the_workflow_that_publishes_it_calls_what_exists():
    text = (ROOT / "docs" / "ci" / "matrix-github-actions.yml").read_text(encoding="utf-8")
    jobs = yaml.safe_load(text)["jobs"]
    chips = jobs["chip"]["strategy"]["matrix"]["chip"]
    assert {load(chip).name for chip in chips} == set(chips)
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    for command in commands:
        program, name, *arguments = command.replace("${{ matrix.chip }}", chips[0]).split()
        assert program == "./bench"
        cli.COMMANDS[name].parse(arguments)
    assert len(commands) == 2


def test_a_folder_without_results_is_said(tmp_path, capsys):
    assert cli.main(["matrix", str(tmp_path), "--output", str(tmp_path / "out")]) == 2
    assert "There are no metrics in" in capsys.readouterr().err
