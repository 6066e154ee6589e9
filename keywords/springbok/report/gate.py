# SPDX-License-Identifier: Apache-2.0
"""What the gate said, as tables of the report: what changed against the baselines, and which limits were not kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import Any

from springbok.gate.gate import FAILED, IGNORED, NOT_COMPARED
from springbok.gate.verdicts import headline, once
from springbok.report.figure import Column, Figure
from springbok.support.progress import amount

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
_ORDER = (FAILED, IGNORED, NOT_COMPARED, "improved", "passed")


_UPDATES = (Column("suite", "suite"), Column("name", "baseline"), Column("change", "change"))


def gate_figures(content: Mapping[str, Any] | None) -> list[Figure]:
    """What ``gate.json`` (see `springbok.gate.verdicts`) tells: how much was judged at all, failures first.

    None is a run of which it is not known.
    """
    if content is None:
        return []
    moved = [
        each
        for each in once(content["verdicts"])
        if each["outcome"] != "passed" or (each["baseline"] and each["change"] not in ("", "unchanged"))
    ]
    rows = sorted(
        ({**each, "accounts": "; ".join(each["accounts"])} for each in moved),
        key=lambda row: _ORDER.index(row["outcome"]),
    )
    told = headline(content)
    missing = sorted({each["subject"] for each in content["baselines"] if not each["read"]})
    sentences = [f"{told[0].upper()}{told[1:]}."]
    sentences += [f"Without a baseline: {', '.join(missing)}."] if missing else []
    sentences += ["Other numbers are the same."] if any(each["compared"] for each in content["verdicts"]) else []
    figures = [Figure("gate", "Gate: what changed", _COLUMNS, tuple(rows), note=" ".join(sentences))]
    if content["updates"]:
        figures.append(_updates(content["updates"]))
    return figures


def _updates(updates: Sequence[Mapping[str, Any]]) -> Figure:
    rows = [
        {"suite": update["suite"], "name": PurePath(update["path"]).stem, "change": change}
        for update in updates
        for change in update["changes"] or ["unchanged"]
    ]
    note = f"{amount(len(updates), 'baseline')} written. What this run measured is what later ones are compared with."
    return Figure("updates", "Gate: baselines that were written", _UPDATES, tuple(rows), note=note)
