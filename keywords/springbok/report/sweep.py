# SPDX-License-Identifier: Apache-2.0
"""The table of a sweep, for the terminal, its own page, and the report of a run in the same folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from springbok.measuring.derived import QUALITY
from springbok.report import charts
from springbok.report.figures import Column, Figure

_COLUMNS = (
    Column("mark", ""),
    Column("label", "configuration"),
    Column("instructions", "instructions an inference", "count"),
    Column("module_bytes", "module (bytes)", "count"),
    *(Column(name, title, form) for name, (title, form, _) in QUALITY.items()),
    Column("accuracy_loss", "accuracy loss", "share"),
    Column("quality_loss", "loss of quality", "error"),
    Column("lane_utilisation", "lane utilisation", "share"),
    Column("memory_peak_bytes", "memory peak (bytes)", "count"),
    Column("error", "failed because"),
)


def sweep_figure(rows: Sequence[Mapping[str, Any]], chosen: Mapping[str, Any] | None = None) -> Figure:
    """The table of a sweep's ``rows``: the Pareto front is marked, and ``chosen`` as the best."""
    shown = []
    for row in rows:
        found = row["metrics"] or {}
        is_best = chosen is not None and row["label"] == chosen["label"]
        marks = (["best"] if is_best else []) + (["Pareto"] if row["pareto"] else [])
        values = {column.key: found.get(column.key) for column in _COLUMNS if column.is_number}
        shown.append({**values, "mark": ", ".join(marks), "label": row["label"], "error": row["error"] or ""})
    measured = [row for row in shown if row["instructions"] is not None]
    titles = ("configuration", "instructions an inference")
    return Figure(
        "sweep",
        "Sweep",
        tuple(column for column in _COLUMNS if not _is_idle(column, shown)),
        tuple(shown),
        charts.bars(measured, "label", "instructions", titles) if measured else None,
        "Pareto: nothing else of the same model has as few instructions, as small a module and as little loss of "
        "accuracy (or another task's figure, against the framework with the model as it came), and less of one.",
    )


def _is_idle(column: Column, shown: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a column would hold nothing: no errors, or figures of tasks that no row has."""
    if column.key == "error":
        return not any(row["error"] for row in shown)
    is_of_a_task = column.key in QUALITY or column.key.endswith("_loss")
    is_usual = column.key in ("accuracy", "accuracy_loss") and all(row["quality_loss"] is None for row in shown)
    return is_of_a_task and not is_usual and all(row[column.key] is None for row in shown)


def sweep_table(rows: Sequence[Mapping[str, Any]], chosen: Mapping[str, Any] | None = None) -> str:
    """The same as aligned text."""
    figure = sweep_figure(rows, chosen)
    cells = [
        [column.title for column in figure.columns],
        *([column.shown(row) for column in figure.columns] for row in figure.rows),
    ]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if column.is_number else cell.ljust(width)
            for column, cell, width in zip(figure.columns, line, widths, strict=True)
        )
        for line in cells
    ]
    return "\n".join(line.rstrip() for line in lines)
