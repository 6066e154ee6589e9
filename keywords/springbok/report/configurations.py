# SPDX-License-Identifier: Apache-2.0
"""Runs that are shown together, and what each configuration of theirs is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from springbok.measuring.platforms import level_text, platform_of, platforms_text, told_apart
from springbok.report.figure import title_of


@dataclass(frozen=True)
class Run:
    """A run's document, what to call it (its folder's name), and of which commit and date it is where that is known."""

    label: str
    document: Mapping[str, Any]
    origin: str = ""

    @property
    def platforms(self) -> str:
        """What its models ran on, as people read it."""
        return "; ".join(platforms_text(self.document))


@dataclass(frozen=True)
class Configuration:
    """One model of one run, with a label that tells it from all others of the comparison."""

    label: str
    run: Run
    model: Mapping[str, Any]


def configurations(runs: Sequence[Run]) -> list[Configuration]:
    """Every model of every run; a label says no more than what differs."""
    pairs = [(run, model) for run in runs for model in run.document["models"]]
    columns = (
        [(model.get("dataset") or {}).get("name") or "" for _, model in pairs],
        told_apart([platform_of(run.document, model) for run, model in pairs]),
        [level_text(model) for _, model in pairs],
        [run.label for run, _ in pairs],
    )
    telling = [column for column in columns if len(set(column)) > 1]
    labels: dict[str, int] = {}
    found = []
    for (run, model), *parts in zip(pairs, *telling, strict=True):
        label = ", ".join(filter(None, (title_of(model), *parts)))
        labels[label] = labels.get(label, 0) + 1
        found.append(Configuration(label if labels[label] == 1 else f"{label} #{labels[label]}", run, model))
    return found
