# SPDX-License-Identifier: Apache-2.0
"""Judges the rows of a sweep: which are in front, which is the best under limits, which limits are not kept.

>>> best(rows, {"accuracy": 0.95})["label"]                                                  # doctest: +SKIP
'm float32 vector VLEN 512'
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

from springbok.exploring.configurations import SweepError
from springbok.gate import gate
from springbok.support.suggestions import did_you_mean

# What the Pareto front is of, beside what a sweep is for; each is better when lower.
OBJECTIVES = ("module_bytes", "accuracy_loss")
#: What a sweep can be for, by how people call it: the metric that is to be least.
SOUGHT = {"instructions": "instructions", "cycles": "estimated_cycles"}
INSTRUCTIONS = "instructions"


def mark_pareto(rows: Sequence[Mapping[str, Any]], objective: str = INSTRUCTIONS) -> list[dict[str, Any]]:
    """The rows with ``pareto``: no other row of the same model is as good in ``objective`` (a key of `SOUGHT`) and all
    `OBJECTIVES`, and better in one.

    Failed rows are never in front.
    """

    found = [_objectives(row["metrics"], objective) if row["metrics"] else None for row in rows]
    of_models: dict[str, set[tuple]] = {}
    for row, values in zip(rows, found, strict=True):
        if values is not None:
            of_models.setdefault(row["model"], set()).add(values)

    def beaten(model: str, values: tuple) -> bool:
        others = of_models[model]
        return any(each != values and all(map(operator.le, each, values)) for each in others)

    return [
        {**row, "pareto": values is not None and not beaten(row["model"], values)}
        for row, values in zip(rows, found, strict=True)
    ]


def best(
    rows: Sequence[Mapping[str, Any]], limits: Mapping[str, float], objective: str = INSTRUCTIONS
) -> Mapping[str, Any] | None:
    """The row with the least ``objective`` of those that keep every limit (metric: bound); None when none does.

    Raises SweepError for a metric that does not exist, and GateError for a bound that everything or nothing keeps.
    """
    for name, bound in limits.items():
        gate.check_bound(_metric(name), bound)
    kept = [row for row in rows if row["metrics"] and not broken_limits(row, limits)]
    return min(kept, key=lambda row: _objectives(row["metrics"], objective), default=None)


def _objectives(found: Mapping[str, Any], objective: str) -> tuple:
    return tuple(found[name] for name in (SOUGHT[objective], *OBJECTIVES[:-1], loss_of(found)))


def loss_of(found: Mapping[str, Any]) -> str:
    """What a row's metrics tell the loss by, which depends on the task."""
    return OBJECTIVES[-1] if OBJECTIVES[-1] in found else "quality_loss"


def broken_limits(row: Mapping[str, Any], limits: Mapping[str, float]) -> list[str]:
    """A sentence for each limit that a row does not keep; one for a row that could not be measured."""
    if row["error"]:
        return [f"{row['label']} could not be measured: {row['error']}"]
    sentences = []
    for name, bound in limits.items():
        metric, value = _metric(name), row["metrics"].get(name)
        if value is None or metric.is_worse(value, bound):
            told, allowed = metric.shown_apart(value, bound)
            sentences.append(f"{row['label']}: {metric.title}: {told}; {metric.relation} {allowed}.")
    return sentences


def _metric(name: str) -> gate.Metric:
    known = {key: metric for key, metric in gate.METRICS.items() if metric.is_recorded and metric.form != "digest"}
    if name not in known:
        hint = did_you_mean(name, known)
        raise SweepError(f"There is no metric '{name}' to limit{hint}. Metrics: {', '.join(known)}.")
    return known[name]
