# SPDX-License-Identifier: Apache-2.0
"""The tables of a sweep, for the terminal, its own page, and the report of a run in the same folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from springbok.measuring.derived import QUALITY
from springbok.report import charts
from springbok.report.figure import Column, Figure
from springbok.support.progress import amount

_PARAMETERS = (
    Column("type", "type"),
    Column("variant", "code"),
    Column("vlen", "VLEN", "number", none="any"),  # code without vectors
    Column("optimize", "optimize"),
    Column("flags", "flags"),
)
_METRICS = (
    Column("instructions", "instructions an inference", "count"),
    Column("estimated_cycles", "estimated cycles", "count"),
    Column("module_bytes", "module (bytes)", "count"),
    *(Column(name, title, form) for name, (title, form, _) in QUALITY.items()),
    Column("accuracy_loss", "accuracy loss", "share"),
    Column("quality_loss", "loss of quality", "error"),
    Column("lane_utilisation", "lane utilisation", "share"),
    Column("memory_peak_bytes", "memory peak (bytes)", "count"),
)
_NOTE = (
    "Pareto: nothing else of the same model has as few {}, as small a module and as little loss of accuracy "
    "(or another task's figure, against the framework with the model as it came), and less of one. The line joins them "
    "by module and {}."
)
_SOUGHT = {"instructions": ("instructions", "instructions"), "cycles": ("estimated_cycles", "estimated cycles")}
#: Rows of a model that the terminal and Robot's log show; pages have all of them.
MOST_ROWS = 40

Rows = Sequence[Mapping[str, Any]]


def sweep_figures(rows: Rows, chosen: Mapping[str, Any] | None = None, objective: str = "instructions") -> list[Figure]:
    """A table and a plot for each model of a sweep's ``rows``, the Pareto front first; ``chosen`` is the best.

    ``objective`` is the metric that the sweep seeks the least of: `instructions` or `cycles`.
    """
    models = dict.fromkeys(row["model"] for row in rows)
    return [
        _figure(model, [row for row in rows if row["model"] == model], chosen, len(models), objective)
        for model in models
    ]


def _figure(model: str, rows: Rows, chosen: Mapping[str, Any] | None, models: int, objective: str) -> Figure:
    sought, what = _SOUGHT[objective]
    shown = [_shown(row, chosen) for row in rows]
    shown.sort(key=lambda row: (not row["is_front"], row[sought] is None, row[sought] or 0))
    differing = [each for each in _PARAMETERS if len({row[each.key] for row in shown}) > 1]
    columns = [
        Column("mark", "front"),
        *(differing or _PARAMETERS[:1]),
        *(each for each in _METRICS if not _is_idle(each, shown)),
    ]
    columns += [each for each in (Column("equals", "same module as"), Column("error", "failed because"))
                if any(row[each.key] for row in shown)]  # fmt: skip
    measured = [row for row in shown if row["instructions"] is not None]
    drawn = [row for row in measured if all((row[key] or 0) > 0 for key in ("module_bytes", sought))]  # in logarithms
    for row in shown:
        row["name"] = (
            " ".join(each.shown(row) for each in differing if row[each.key] is not None).strip() or row["label"]
        )
    failed, equal = len(shown) - len(measured), sum(bool(row["equals"]) for row in shown)
    chips = " and ".join(dict.fromkeys(filter(None, (row.get("chip") for row in rows))))
    of = f" of {rows[0]['model']}{f' on {chips}' if chips else ''}"
    counts = [f"{amount(len(shown), 'configuration')}{of}, {sum(row['is_front'] for row in shown)} in front"]
    counts += [f"{failed} failed"] if failed else []
    counts += [f"{equal} with the module of another one, which was run once"] if equal else []
    titles = ("module (bytes)", f"{what} an inference")
    best = next((row["name"] for row in measured if chosen is not None and row["label"] == chosen["label"]), "")

    def front(width: int) -> dict | None:
        names = ("module_bytes", sought, "name")
        return charts.front(drawn, names, titles, "is_front", best, width) if drawn else None

    return Figure(
        "sweep" if models == 1 else f"sweep {model}",
        f"Sweep: {model}",
        tuple(columns),
        tuple(shown),
        front(charts.FRONT_WIDTH),
        f"{', '.join(counts)}. {_NOTE.format(what, what)}",
        marks="name",
        narrow=front(charts.NARROW_FRONT),
    )


def _is_idle(column: Column, shown: Rows) -> bool:
    """Whether a column is of tasks, or of estimates, that no row has."""
    is_of_a_task = column.key in QUALITY or column.key.endswith("_loss") or column.key == "estimated_cycles"
    is_usual = column.key in ("accuracy", "accuracy_loss") and all(row["quality_loss"] is None for row in shown)
    return is_of_a_task and not is_usual and all(row[column.key] is None for row in shown)


def _shown(row: Mapping[str, Any], chosen: Mapping[str, Any] | None) -> dict[str, Any]:
    found = row["metrics"] or {}
    is_best = chosen is not None and row["label"] == chosen["label"]
    marks = (["best"] if is_best else []) + (["Pareto"] if row["pareto"] else [])
    return {
        "mark": ", ".join(marks),
        "is_front": row["pareto"],
        "label": row["label"],
        **{each.key: row[each.key] for each in _PARAMETERS},
        "vlen": row["vlen"] if row["variant"] == "vector" else None,
        **{each.key: found.get(each.key) for each in _METRICS},
        "equals": row.get("equals") or "",
        "error": row["error"] or "",
    }


def sweep_table(rows: Rows, chosen: Mapping[str, Any] | None = None, objective: str = "instructions") -> str:
    """The same as aligned text; of many rows those in front."""
    return "\n\n".join(_table(figure) for figure in sweep_figures(rows, chosen, objective))


def _table(figure: Figure) -> str:
    rows = figure.rows[:MOST_ROWS]
    cells = [
        [column.title for column in figure.columns],
        *([column.shown(row) for column in figure.columns] for row in rows),
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if column.is_number else cell.ljust(width)
            for column, cell, width in zip(figure.columns, line, widths, strict=True)
        )
        for line in cells
    ]
    left = len(figure.rows) - len(rows)
    lines += [f"and {left} more, in sweep.html and sweep.csv"] if left else []
    lines += [figure.note.partition(". ")[0] + "."]
    return "\n".join([*([figure.title] if figure.key != "sweep" else []), *(line.rstrip() for line in lines)])
