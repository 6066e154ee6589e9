# SPDX-License-Identifier: Apache-2.0
"""Estimated cycles by dispatch, and where they go; beside those that a core's RTL counted, where it did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from springbok.measuring.derived import (
    RUNTIME,
    dispatch_label,
    estimated_cycles_of,
    ratio,
    runtime_cycles,
    runtime_instructions,
    shown,
    tidy,
)
from springbok.report import charts
from springbok.report.figure import Column, Figure

_CAUSES = 4
_COLOURS = {
    "issue": charts.BLUE,
    "branches": charts.VERMILLION,
    "memory": charts.ORANGE,
    "scalar units": charts.GREEN,
    "vector units": charts.PURPLE,
    "drain": charts.GREY,
}
_MEMORY = ("load", "store", "vector_memory")


def estimated_cycles(model: Mapping) -> list[Figure]:
    """The table and its bars; nothing of a run that estimated no cycles."""
    if estimated_cycles_of(model) is None:
        return []
    estimate = model["estimate"]
    parts = [(dispatch_label(entry), entry) for entry in model["dispatches"] if "estimate" in entry]
    own = {"instructions": runtime_instructions(model), "cycles": runtime_cycles(model)}
    parts += [(RUNTIME, {**own, "estimate": estimate["runtime"]})] if estimate["runtime"] else []
    rows = [_row(label, part) for label, part in parts]
    measured = any(row["measured"] is not None for row in rows)
    timing = estimate["timing"]
    return [
        Figure(
            "estimated_cycles",
            "Where the cycles go (estimated)",
            (
                Column("dispatch", "dispatch (number, layer: kernel)"),
                Column("instructions", "instructions an inference", "count"),
                Column("estimated", "estimated cycles", "count"),
                *(
                    (Column("measured", "measured cycles", "count"), Column("error", "error", "share"))
                    if measured
                    else ()
                ),
                Column("rate", "estimated cycles an instruction", "ratio"),
                Column("limit", "cycles at the machine's limit", "count"),
                Column("of_limit", "ratio to it", "ratio"),
                Column("limited_by", "set by"),
                Column("where", "what they go to"),
            ),
            tuple(rows),
            charts.bars(
                [bar for label, part in parts for bar in _bars(label, part["estimate"]["where"])],
                "dispatch",
                "cycles",
                ("dispatch (number, layer: kernel)", "estimated cycles an inference"),
                series="kind",
                colours=_COLOURS,
            ),
            f"An estimate by {timing['name']}: {timing['title']} ({timing['standing']}), no measurement. The rows "
            f"add up to {shown(estimate['estimated_cycles'], 'count')} cycles an inference, "
            f"{ratio(estimate['estimated_cycles'], estimate['limit_cycles']) or 0:.2f} times the machine's limit.",
            is_wide=True,
        )
    ]


def _row(label: str, part: Mapping) -> dict:
    estimate, measured = part["estimate"], part.get("cycles")
    cycles = estimate["estimated_cycles"]
    most = list(estimate["where"].items())[:_CAUSES]
    return {
        "dispatch": label,
        "instructions": part["instructions"],
        "estimated": cycles,
        "measured": measured,
        "error": ratio(cycles - measured, measured) if measured else None,
        "rate": ratio(cycles, part["instructions"]),
        "limit": estimate["limit_cycles"],
        "of_limit": ratio(cycles, estimate["limit_cycles"]),
        "limited_by": estimate["limited_by"],
        "where": ", ".join(f"{name.replace('_', ' ')} {shown(each, 'count')}" for name, each in most),
    }


def _bars(label: str, where: Mapping[str, float]) -> list[dict]:
    kinds: Counter[str] = Counter()
    for name, cycles in where.items():
        kinds[_kind(name)] += cycles
    return [{"dispatch": label, "kind": kind, "cycles": tidy(kinds[kind])} for kind in _COLOURS if kinds[kind]]


def _kind(name: str) -> str:
    if name in _MEMORY:
        return "memory"
    if name in _COLOURS:
        return name
    return "vector units" if name.startswith("vector_") else "scalar units"
