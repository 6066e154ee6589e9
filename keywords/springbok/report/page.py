# SPDX-License-Identifier: Apache-2.0
"""Renders documents: HTML pages, Markdown, CSV, and HTML messages for Robot's log. It computes nothing."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from springbok.measuring.platforms import level_of, platform_of
from springbok.measuring.recorded import left_out
from springbok.report import charts, interactive, timeline
from springbok.report.cards import cards
from springbok.report.changes import changes_figure
from springbok.report.compare import comparison_figures, comparison_table
from springbok.report.compilers import compilers_figures
from springbok.report.configurations import Run, configurations
from springbok.report.coverage import coverage_figures
from springbok.report.earlier import since_of, since_text
from springbok.report.figure import Figure
from springbok.report.figures import figures
from springbok.report.lead import Lead, lead
from springbok.report.left_out import left_out_figures
from springbok.report.scenario import scenario
from springbok.report.summary import read_tests
from springbok.report.sweep import sweep_figures
from springbok.support.escaping import visible, visible_in
from springbok.support.files import write_in_one_step

_CSV_PLACE = ("run", "engine", "chip", "vlen_bits", "model", "variant", "optimize", "dataset")
CSV_COLUMNS = (*_CSV_PLACE, "figure", "row", "metric", "value")

_COMPILERS_CSV = ("model", "optimize", "variant", "vlen", "version", "error", "metrics")

# Readable on white and on the dark page of Robot's log: an image does not know which one it is on.
GREY_INK = "#808080"


def write_reports(
    document: Mapping,
    folder: Path | str,
    earlier: Run | None = None,
    first: Sequence[Figure] = (),
    leading: Lead | None = None,
) -> list[Path]:
    """Write the reports of one run into ``folder``: a page, Markdown, CSV, the timelines; return their paths.

    ``leading`` is what they lead with. The figures ``first`` stand before those of the document.
    """
    folder = Path(folder)
    run = Run(folder.resolve().name, document)
    return [
        write_in_one_step(folder / "report.html", run_page(run, earlier, first, leading)),
        write_in_one_step(folder / "report.md", run_markdown(run, earlier, first, leading)),
        write_in_one_step(folder / "metrics.csv", csv_text([run])),
        *write_timelines(run, folder),
    ]


def write_timelines(run: Run, folder: Path) -> list[Path]:
    """Write the timelines of a run's inferences for Perfetto and for speedscope; nothing of a run without any."""
    models = [(each.label, each.model) for each in configurations([run]) if each.model["dispatches"]]
    files = {"timeline.trace.json": timeline.trace, "timeline.speedscope.json": timeline.speedscope}
    return [write_in_one_step(folder / name, json.dumps(make(models)) + "\n") for name, make in files.items() if models]


def write_comparison(runs: Sequence[Run], folder: Path | str) -> tuple[Figure, list[Path]]:
    """Write ``compare.html``, ``compare.md`` and ``compare.csv`` of several runs into ``folder``.

    Returns the table with the ratios, and the paths.
    """
    folder = Path(folder)
    gone = [figure for run in runs for figure in left_out_figures(run.document, run.label)]
    found = [*gone, *comparison_figures(runs, changes=True)]
    page = _page("compare.html.j2", runs=runs, figures=_for_page(found))
    return comparison_table(configurations(runs)), [
        write_in_one_step(folder / "compare.html", page),
        write_in_one_step(folder / "compare.md", render("compare.md.j2", runs=runs, figures=found)),
        write_in_one_step(folder / "compare.csv", csv_text(runs)),
    ]


def write_summary(
    folder: Path | str,
    document: Mapping | None,
    first: Sequence[Figure] = (),
    xunit: Path | None = None,
    is_dry: bool = False,
    earlier: Run | None = None,
) -> Path:
    """Write ``summary.md`` for a CI server's job page: the tests in ``xunit``, ``first``, and the comparison.

    ``earlier`` are results that the reports show the change since: it says which, of each configuration.
    ``xunit`` is ``xunit.xml`` of the folder unless it is given.
    """
    folder = Path(folder)
    found = [*left_out_figures(document or {}), *first]
    if document and document["models"]:
        found.append(comparison_table(configurations([Run("", document)])))
    since = [since_text(document, model, earlier) for model in document["models"]] if document and earlier else []
    tests = read_tests(xunit or folder / "xunit.xml", is_dry)
    text = render("summary.md.j2", tests=tests, figures=found, since=since)
    return write_in_one_step(folder / "summary.md", text)


def write_sweep(
    rows: Sequence[Mapping], chosen: Mapping | None, folder: Path | str, objective: str = "instructions"
) -> list[Path]:
    """Write ``sweep.html``, ``sweep.md`` and ``sweep.csv`` into ``folder``; return their paths."""
    folder = Path(folder)
    found = sweep_figures(rows, chosen, objective)
    return [
        write_in_one_step(folder / "sweep.html", _page("figures.html.j2", title="sweep", figures=_for_page(found))),
        write_in_one_step(folder / "sweep.md", render("figures.md.j2", title="sweep", figures=found)),
        write_in_one_step(folder / "sweep.csv", _sweep_csv(rows)),
    ]


def write_compilers(rows: Sequence[Mapping], folder: Path | str) -> list[Path]:
    """Write ``compilers.html``, ``compilers.md`` and ``compilers.csv`` into ``folder``; return their paths."""
    folder = Path(folder)
    found = compilers_figures(rows)
    flat = [{name: row[name] for name in _COMPILERS_CSV} | {"error": _first_line(row["error"])} for row in rows]
    page = _page("figures.html.j2", title="compilers", figures=_for_page(found))
    return [
        write_in_one_step(folder / "compilers.html", page),
        write_in_one_step(folder / "compilers.md", render("figures.md.j2", title="compilers", figures=found)),
        write_in_one_step(folder / "compilers.csv", _sweep_csv(flat)),
    ]


def write_coverage(
    covered: Mapping[str, Mapping[str, int]], models: Mapping[str, float] | None, folder: Path | str
) -> list[Path]:
    """Write ``coverage.html`` and ``coverage.md`` into ``folder``; return their paths. See `coverage_figures`."""
    folder = Path(folder)
    found, title = coverage_figures(covered, models), "coverage of random programs"
    return [
        write_in_one_step(folder / "coverage.html", render("figures.html.j2", title=title, figures=_drawn(found))),
        write_in_one_step(folder / "coverage.md", render("figures.md.j2", title=title, figures=found)),
    ]


def _first_line(text: str | None) -> str | None:
    return text and text.partition("\n")[0]


def _sweep_csv(rows: Sequence[Mapping]) -> str:
    """Every parameter and every metric of every row, in the order of the sweep."""
    metrics = list(dict.fromkeys(name for row in rows for name in row["metrics"] or ()))
    parameters = list(dict.fromkeys(name for row in rows for name in row if name != "metrics"))
    titles = [f"{name}_asked_for" if name in metrics else name for name in parameters]  # the samples
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(visible_in([*titles, *metrics]))
    for row in rows:
        found = row["metrics"] or {}
        cells = [*(row.get(name) for name in parameters), *(found.get(name) for name in metrics)]
        writer.writerow(visible_in(cells))
    return target.getvalue()


def run_page(run: Run, earlier: Run | None = None, first: Sequence[Figure] = (), leading: Lead | None = None) -> str:
    """The page of one run: the lead, the configurations side by side, then each with its figures."""
    overlaid, sections = _sections(run, earlier)
    for section in sections:
        section["figures"], section["nothing"] = _with_something(section["figures"])
        section["figures"] = _for_page(section["figures"])
    return _page(
        "report.html.j2",
        run=run,
        lead=leading or lead(run.document),
        first=_for_page([*left_out_figures(run.document), *first]),
        overlaid=_for_page(overlaid),
        sections=sections,
    )


def run_markdown(
    run: Run, earlier: Run | None = None, first: Sequence[Figure] = (), leading: Lead | None = None
) -> str:
    """The same for a pull request: tables only, the long ones folded."""
    overlaid, sections = _sections(run, earlier)
    top, first = leading or lead(run.document), [*left_out_figures(run.document), *first]
    return render("report.md.j2", run=run, lead=top, first=first, overlaid=overlaid, sections=sections)


def log_message(document: Mapping, model: Mapping, earlier: Run | None = None) -> str:
    """HTML of one configuration for a message in Robot's log: no scripts, styles of its own, safe to merge."""
    label = next(each.label for each in configurations([Run("", document)]) if each.model == model)
    section = _section(document, model, earlier, label)
    found, nothing = _with_something(section["figures"])
    return render("log.html.j2", section={**section, "figures": _drawn(found), "nothing": nothing})


def suite_summary(document: Mapping) -> str:
    """The comparison's table and chart in Robot's own documentation format, for a suite's metadata.

    That format takes no HTML but images: the chart is one, in a grey that light and dark pages both show.
    """
    figure = comparison_table(configurations([Run("", document)]))
    chosen = [column for column in figure.columns if column.key not in ("runtime", "memory_ratio")]
    lines = [[f"*{column.title}*" for column in chosen]]
    lines += [[_robot_text(column.shown(row)) for column in chosen] for row in figure.rows]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    table += "".join(f"\n\nLeft out: {_robot_text(sentence)}." for sentence in left_out(document))
    if figure.chart is None:
        return table
    (drawing,) = charts.render([figure.chart])
    image = base64.b64encode(drawing.replace("currentColor", GREY_INK).encode()).decode()
    return f"{table}\n\n[data:image/svg+xml;base64,{image}|Instructions an inference, by configuration]"


def csv_text(runs: Sequence[Run]) -> str:
    """Every number of every figure, one a line."""
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for run in runs:
        for model in run.document["models"]:
            platform = platform_of(run.document, model)
            place = (
                run.label,
                platform["engine"],
                platform["chip"],
                platform["vlen_bits"],
                model["name"],
                model["variant"],
                level_of(model),
                (model.get("dataset") or {}).get("name"),
            )
            summary = comparison_table(configurations([Run(run.label, {**run.document, "models": [model]})]))
            for figure in (summary, *figures(model, platform["vlen_bits"])):
                writer.writerows(visible_in((*place, *line)) for line in _csv_lines(figure))
    return target.getvalue()


def _csv_lines(figure: Figure) -> list[tuple]:
    name, *_ = figure.columns
    return [
        (figure.key, row[name.key], column.title, row[column.key])
        for row in figure.rows
        for column in figure.columns
        if column.is_number and column is not name
    ]


def _sections(run: Run, earlier: Run | None) -> tuple[list[Figure], list[dict[str, Any]]]:
    sections = [_section(run.document, each.model, earlier, each.label) for each in configurations([run])]
    return comparison_figures([run]) if len(sections) > 1 else [], sections


def _section(document: Mapping, model: Mapping, earlier: Run | None, title: str) -> dict[str, Any]:
    since = since_of(document, model, earlier)
    changed = [changes_figure(since.titles, since.model, model, since.judged)] if since else []
    return {
        "title": title,
        "model": model,
        "cards": cards(document, model, since.model, since.judged) if since else cards(document, model),
        "since": since_text(document, model, earlier),
        "scenario": scenario(document, model),
        "figures": [*changed, *figures(model, platform_of(document, model)["vlen_bits"])],
    }


def _with_something(found: Sequence[Figure]) -> tuple[list[Figure], list[Figure]]:
    """Figures that show something, and those of which there is only a note to read."""
    return [each for each in found if each.rows], [each for each in found if not each.rows]


def _page(template: str, *, figures: Sequence[Mapping] = (), **values: Any) -> str:
    """A page that draws its charts itself, if it has any."""
    shown = [*figures, *values.get("first", ()), *values.get("overlaid", ())]
    shown += [figure for section in values.get("sections", ()) for figure in section["figures"]]
    scripts = interactive.bundle() if any(figure["specification"] for figure in shown) else ""
    return render(template, figures=figures, vega=scripts, config=charts.with_config({})["config"], **values)


def _for_page(found: Sequence[Figure]) -> list[dict[str, Any]]:
    """Figures whose charts the page draws; those whose marks and rows belong together are drawn here."""
    drawn = iter(_drawn([figure for figure in found if figure.marks], for_narrow=True))
    return [
        {**next(drawn), "specification": ""}
        if figure.marks
        else {
            **vars(figure),
            "height": figure.height,
            "chart": None,
            "narrow": None,
            "specification": Markup(_script_text(figure.chart)) if figure.chart else "",
        }
        for figure in found
    ]


def _script_text(specification: Mapping[str, Any]) -> str:
    """JSON that no name in it can end, inside of a script element."""
    return json.dumps(visible_in(specification), separators=(",", ":")).replace("<", "\\u003c")


def _drawn(found: Sequence[Figure], for_narrow: bool = False) -> list[dict[str, Any]]:
    """Figures with their charts' SVG in place of the specification; ``for_narrow`` those for narrow pages too."""
    kinds = ("chart", "narrow") if for_narrow else ("chart",)
    wanted = [(place, kind) for place, figure in enumerate(found) for kind in kinds if getattr(figure, kind)]
    rendered = charts.render([getattr(found[place], kind) for place, kind in wanted])
    drawings = {where: Markup(drawing) for where, drawing in zip(wanted, rendered, strict=True)}
    return [
        {**vars(figure), **{kind: drawings.get((place, kind)) for kind in ("chart", "narrow")}, "specification": ""}
        for place, figure in enumerate(found)
    ]


def _markdown(text: object) -> str:
    """Text in a cell of a Markdown table: nothing in it is markup."""
    escaped = "".join(f"\\{letter}" if letter in "\\`*_{}[]()#+!|~" else letter for letter in visible(text))
    return " ".join(escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split())


def _code_block(text: object) -> str:
    """Text as an indented block, which needs no fence that the text could close."""
    return "\n".join(f"    {line}" for line in visible(text).splitlines())


def _robot_text(text: str) -> str:
    """Text in a cell of a table in Robot's documentation format, which knows no escape for the bar."""
    return " ".join(visible(text).replace("|", "¦").split())


def render(template: str, **values: object) -> str:
    """The text of a template of `templates/` with these values."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=jinja2.select_autoescape(enabled_extensions=("html.j2",)),
        undefined=jinja2.StrictUndefined,
        # A name that turns the direction of writing would turn the numbers behind it too.
        finalize=lambda value: visible(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["markdown"] = _markdown
    environment.filters["code_block"] = _code_block
    return environment.get_template(template).render(**values)
