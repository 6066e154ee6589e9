# SPDX-License-Identifier: Apache-2.0
"""The page of a history: each number over commits, its steps, and the layers that caused them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from markupsafe import Markup

from springbok.gate.gate import METRICS
from springbok.history.record import DATA, Configuration
from springbok.history.steps import Cause, Found, in_order, same_samples
from springbok.history.store import Evaluated, Series, StoredRun
from springbok.measuring.derived import UNKNOWN, shown
from springbok.report import interactive
from springbok.report.page import render
from springbok.support.escaping import visible_in
from springbok.support.places import PROGRAM

_SHORT = 9
#: Of a step's layers, and of the table's rows: the page is read, not searched.
MOST_LAYERS, MOST_ROWS = 6, 300
#: What is looked at first.
_FIRST = ("instructions", "cycles", "accuracy", "memory_peak_bytes", "module_bytes")


def history_page(
    runs: Sequence[StoredRun], numbers: Sequence[Series], steps: Sequence[Found], without: Sequence[str] = ()
) -> str:
    """The page of ``runs``, their numbers and the steps of these (see `springbok.history.steps.all_steps`).

    ``without`` are sentences on runs that are not in it.
    """
    ordered = sorted(runs, key=lambda run: (run.committed or run.started, run.depth or 0, run.started, run.number))
    configurations = list(dict.fromkeys(each.configuration for each in numbers))
    content = {
        "runs": [_run(run) for run in ordered],
        "configurations": [each.title for each in configurations],
        "titles": {name: metric_title(name) for name in {each.metric for each in numbers}},
        "shares": sorted({each.metric for each in numbers if form_of(each.metric) == "share"}),
        "lines": (lines := lines_of(ordered)),
        "evaluated": _evaluated(configurations, numbers, lines, ordered),
        "series": [_series(each, configurations, lines, ordered) for each in sorted(numbers, key=_rank)],
        "steps": [_step(each, configurations, ordered) for each in steps],
    }
    rows = _rows(steps, configurations)
    return render(
        "history.html.j2",
        runs=ordered,
        without=without,
        last=max(runs, key=lambda run: (run.started, run.number), default=None),
        branches=sorted({run.branch for run in runs if run.branch}),
        machines=sorted({run.machine for run in runs if run.machine}),
        configurations=configurations,
        count=len(steps),
        rows=rows[:MOST_ROWS],
        left_out=len(rows[MOST_ROWS:]),
        content=Markup(json.dumps(visible_in(content), separators=(",", ":")).replace("<", "\\u003c")),
        bundle=interactive.bundle() if numbers else "",
        program=PROGRAM,
    )


#: What the gate does not judge by itself.
_TITLES = {
    "host_accuracy": "accuracy by the host",
    "kernel_text_bytes": "code of the kernels",
    "kernel_rodata_bytes": "constants of the kernels",
    "firmware_text_bytes": "firmware's code",
    "firmware_rodata_bytes": "firmware's constants",
    "firmware_data_bytes": "firmware's initialised data",
    DATA: "digest of the data",
}


def metric_title(name: str) -> str:
    """What people call a metric."""
    return METRICS[name].title if name in METRICS else _TITLES.get(name, name.replace("_", " "))


def form_of(metric: str) -> str:
    """How its values are written: `springbok.measuring.derived.shown`."""
    if metric not in METRICS:
        return "share" if metric.endswith("accuracy") else "count"
    form = METRICS[metric].form
    return "count" if form == "bytes" else form


def value_text(metric: str, value: float | str) -> str:
    """A number as it is, the begin of a digest."""
    if isinstance(value, str):
        return f"{value[:8]}…"
    return shown(value, form_of(metric))


def _rank(series: Series) -> tuple:
    metric = series.metric
    return (_FIRST.index(metric) if metric in _FIRST else len(_FIRST), metric, series.layer != "")


def _run(run: StoredRun) -> list[Any]:
    """What the page says of a run, in the order in which its script takes it."""
    commit = f"{run.commit[:_SHORT]}{'+' if run.is_dirty else ''}"
    return [run.number, commit, run.subject[:80], f"{run.started:%Y-%m-%d %H:%M}", run.verdict]


def lines_of(ordered: Sequence[StoredRun]) -> list[dict[str, Any]]:
    """Runs that belong together, as places in ``ordered``. What is of no commit alone makes no line."""
    places = {run.number: place for place, run in enumerate(ordered)}
    groups: dict[tuple, list[StoredRun]] = {}
    for run in ordered:
        told = "of no commit" if not run.commit else "changed since the commit" if run.is_dirty else ""
        groups.setdefault((run.branch, run.machine, told), []).append(run)
    return [
        {
            "name": ", ".join(filter(None, (branch, machine, told))),
            "joined": not told,
            "runs": [places[run.number] for run in (group if told else in_order(group))],
        }
        for (branch, machine, told), group in groups.items()
    ]


def _series(
    series: Series, configurations: Sequence[Configuration], lines: Sequence[dict], ordered: Sequence[StoredRun]
) -> list[Any]:
    """A series' values along each line."""
    along = []
    for line in lines:
        along.append(_in_short(series.points.get(ordered[place].number) for place in line["runs"]))
    return [configurations.index(series.configuration), series.metric, series.layer, along]


def _in_short(values: Iterable[Any]) -> list[Any]:
    """Values, each with how often it comes again: most numbers stay for long."""
    return [part for value, same in groupby(values) for part in (value, sum(1 for _ in same))]


def _evaluated(
    configurations: Sequence[Configuration],
    numbers: Sequence[Series],
    lines: Sequence[dict],
    ordered: Sequence[StoredRun],
) -> list[list[Any]]:
    """What a configuration's numbers are of, in the form of a series' values; data has a name where there are others.

    Points of other samples are joined by no line.
    """
    any_of = {each.configuration: each for each in numbers}
    found = []
    for configuration in configurations:
        along = []
        parts = [same_samples([ordered[place] for place in line["runs"]], any_of[configuration]) for line in lines]
        data = {each.data for part in parts for each in part if each.data}
        for line, part in zip(lines, parts, strict=True):
            told = {run.number: _of_what(each, data) for each, runs in part.items() for run in runs}
            along.append(_in_short(told[ordered[place].number] for place in line["runs"]))
        found.append(along)
    return found


def _of_what(evaluated: Evaluated, data: set[str]) -> str:
    """``8 samples``, with the begin of their data's digest where there are several."""
    samples = "unknown" if evaluated.samples is None else f"{evaluated.samples:,g}"
    of = f" of {(evaluated.data or UNKNOWN)[:8]}" if len(data) > 1 else ""
    return f"{samples} samples{of}"


def _step(found: Found, configurations: Sequence[Configuration], ordered: Sequence[StoredRun]) -> list[Any]:
    place = next(place for place, run in enumerate(ordered) if run.number == found.after.number)
    layers = "; ".join(map(cause_text, found.causes[:MOST_LAYERS]))
    old, new = found.step.old, found.step.new
    return [
        configurations.index(found.series.configuration),
        found.series.metric,
        place,
        old,
        new,
        found.verdict,
        layers,
    ]


def cause_text(cause: Cause) -> str:
    """``conv_1: +1,024``"""
    kind = " (new)" if cause.is_new else " (gone)" if cause.is_gone else ""
    sign = "+" if cause.change > 0 else "-"
    return f"{cause.layer}{kind}: {sign}{shown(abs(cause.change), 'count')}"


def _rows(steps: Sequence[Found], configurations: Sequence[Configuration]) -> list[dict[str, Any]]:
    """The table: what one commit did to one configuration is one row."""
    groups: dict[tuple, list[Found]] = {}
    for each in steps:
        key = (each.after.number, each.branch, each.machine, each.series.configuration)
        groups.setdefault(key, []).append(each)
    rows = []
    for group in groups.values():
        first = min(group, key=lambda each: _rank(each.series))
        verdicts = {each.verdict for each in group}
        rows.append(
            {
                "commit": first.after.commit[:_SHORT],
                "subject": first.after.subject,
                "since": first.before.commit[:_SHORT],
                "commits": first.commits,
                "time": _times(first.after),
                "where": ", ".join(filter(None, (first.branch, first.machine))),
                "configuration": first.series.configuration.title,
                "choice": [configurations.index(first.series.configuration), first.series.metric],
                "verdict": next((each for each in ("worse", "better", "other") if each in verdicts), ""),
                "changes": [_change(each) for each in sorted(group, key=lambda each: _rank(each.series))],
                "layers": [cause_text(cause) for cause in first.causes[:MOST_LAYERS]],
                "more": len(first.causes[MOST_LAYERS:]),
            }
        )
    return rows


def _times(run: StoredRun) -> str:
    """When the commit was made, and when it ran."""
    ran = f"run {run.number} of {run.started:%Y-%m-%d %H:%M}"
    return f"of {run.committed:%Y-%m-%d %H:%M}, {ran}" if run.committed else ran


def _change(found: Found) -> str:
    old, new, metric = found.step.old, found.step.new, found.series.metric
    text = f"{metric_title(metric)}: {value_text(metric, old)} → {value_text(metric, new)}"
    if isinstance(old, str) or isinstance(new, str):
        return text
    if form_of(metric) == "share":
        return f"{text} ({(new - old) * 100:+.2f} points)"
    return f"{text} ({(new - old) / abs(old) * 100:+.2f} %)" if old else text
