# SPDX-License-Identifier: Apache-2.0
"""What the gate said, as tables of the report: what changed against the baselines, and which limits were not kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from springbok.report.figures import Column, Figure

_COLUMNS = (
    Column("outcome", "verdict"),
    Column("subject", "configuration"),
    Column("title", "metric"),
    Column("value", "measured"),
    Column("limit", "limit"),
    Column("baseline", "baseline"),
    Column("change", "change"),
    Column("accounts", "accounted for by"),
)
_ORDER = ("failed", "improved", "passed")


def gate_figures(content: Mapping[str, Any]) -> list[Figure]:
    """The table of ``gate.json`` (see `springbok.gate.verdicts`), failures first; nothing without verdicts."""
    verdicts = content["verdicts"]
    if not verdicts:
        return []
    moved = [
        each
        for each in verdicts
        if each["outcome"] != "passed" or (each["baseline"] and each["change"] not in ("", "unchanged"))
    ]
    rows = sorted(
        ({**each, "accounts": "; ".join(each["accounts"])} for each in moved),
        key=lambda row: _ORDER.index(row["outcome"]),
    )
    failed = sum(each["outcome"] == "failed" for each in verdicts)
    improved = sum(each["outcome"] == "improved" for each in verdicts)
    note = (
        f"{len(verdicts)} limits, {failed} not kept, {improved} better than the baseline. Other numbers are the same."
    )
    return [Figure("gate", "Gate: what changed", _COLUMNS, tuple(rows), note=note)]
