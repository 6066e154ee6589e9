# SPDX-License-Identifier: Apache-2.0
"""Whether the rows of a sweep's table hang together: what its schema can't say."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from springbok.exploring.front import SOUGHT, loss_of, mark_pareto
from springbok.gate.gate import METRICS
from springbok.measuring.derived import QUALITY

Rows = Sequence[Mapping[str, Any]]

_ROUNDING = 1e-6
#: Shares of answers, and figures that are none better than: the least and the most that they can be.
_RANGES = {"accuracy_loss": (-1.0, 1.0), "auc": (0.0, 1.0), "r_squared": (-math.inf, 1.0), "quality_loss": None}


def contradictions(rows: Rows, objective: str, mark_equal: Callable[[Rows], Rows]) -> Iterator[str]:
    """What can't be of rows as ``sweep.json`` has them, a sentence each: ``rows/0/metrics/accuracy: 2 is none``.

    ``objective`` is a key of `SOUGHT`; ``mark_equal`` gives rows with ``equals`` as it must be.
    """
    for number, row in enumerate(rows):
        for place, sentence in of_row(row, objective):
            yield f"rows/{number}{place}: {sentence}"
            return  # who is in front can't be told
    for key, found in (("pareto", mark_pareto(rows, objective)), ("equals", _equals(rows, mark_equal))):
        for number, (row, right) in enumerate(zip(rows, found, strict=True)):
            if row.get(key) != right.get(key):
                yield f"rows/{number}/{key}: {row.get(key)}, and by the rows it is {right.get(key)}"


def _equals(rows: Rows, mark_equal: Callable[[Rows], Rows]) -> Rows:
    """Of tables of before, which tell nothing of equal modules, as they are."""
    return mark_equal(rows) if all({"equals", "module_sha256"} <= {*row} for row in rows) else rows


def of_row(row: Mapping[str, Any], objective: str) -> Iterator[tuple[str, str]]:
    """What can't be of one row, before who is in front is known: (place in it, sentence)."""
    found = row["metrics"]
    if (row["error"] is None) == (found is None):
        yield "", f"{row['label']} was {'neither measured nor has it' if found is None else 'measured and has'} failed"
        return
    if found is None:
        return
    for name in (SOUGHT[objective], loss_of(found)):
        if found.get(name) is None:
            yield f"/metrics/{name}", "it is not there, and decides on what is in front"
    for name, value in found.items():
        low, high = _range(name)
        if isinstance(value, int | float) and not low - _ROUNDING <= value <= high + _ROUNDING:
            yield f"/metrics/{name}", f"{value:.6g} is none"
    samples, asked = found.get("samples"), row.get("samples")
    if samples is not None and (samples < 1 or samples % 1 or (asked is not None and samples > asked)):
        yield "/metrics/samples", f"{samples} of {'all' if asked is None else asked}"
    elif samples and found.get("accuracy") is not None and not _is_whole(found["accuracy"] * samples):
        yield "/metrics/accuracy", f"{found['accuracy']:.6g} is no share of {samples} samples"
    if found.get("accuracy") is not None and "accuracy_loss" in found:
        expected = found["accuracy"] + found["accuracy_loss"]
        if not -_ROUNDING <= expected <= 1 + _ROUNDING:
            yield "/metrics/accuracy_loss", f"{found['accuracy_loss']:.6g} of an accuracy of {expected:.6g}"
    if (found.get("runtime_instructions") or 0) > found["instructions"] + _ROUNDING:
        yield "/metrics/runtime_instructions", f"{found['runtime_instructions']} of {found['instructions']}"


def _is_whole(value: float) -> bool:
    return abs(value - round(value)) <= _ROUNDING * max(1.0, abs(value))


def _range(name: str) -> tuple[float, float]:
    """The least and the most that a metric can be."""
    if name in _RANGES:
        return _RANGES[name] or (-math.inf, math.inf)
    metric = METRICS.get(name)
    form = QUALITY[name][1] if name in QUALITY else metric.form if metric else ""
    return (0.0, 1.0 if form == "share" else math.inf) if form else (-math.inf, math.inf)
