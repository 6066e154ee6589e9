# SPDX-License-Identifier: Apache-2.0
"""Whether the rows of a sweep's table hang together: what its schema can't say."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from springbok.exploring.configurations import label_of
from springbok.exploring.front import SOUGHT, loss_of, mark_pareto
from springbok.gate.gate import METRICS
from springbok.measuring.consistency import wrong_length
from springbok.measuring.derived import QUALITY

Rows = Sequence[Mapping[str, Any]]

_ROUNDING = 1e-6
_OF_FIRMWARE = ("firmware_bytes", "firmware_bss_bytes")
_MOST_LOST = 1e6  # what is no number has lost the largest
#: Shares of answers, and figures that are none better than: the least and the most that they can be.
_RANGES = {"accuracy_loss": (-1.0, 1.0), "auc": (0.0, 1.0), "r_squared": (-math.inf, 1.0), "quality_loss": None}


def contradictions(rows: Rows, objective: str, mark_equal: Callable[[Rows], Rows]) -> Iterator[str]:
    """What can't be of rows as ``sweep.json`` has them, a sentence each: ``rows/0/metrics/accuracy: 2 is none``.

    ``objective`` is a key of `SOUGHT`; ``mark_equal`` gives rows with ``equals`` as it must be.
    """
    if not rows:
        yield "rows: there are none"
    for number, row in enumerate(rows):
        for place, sentence in of_row(row, objective):
            yield f"rows/{number}{place}: {sentence}"
            return  # who is in front can't be told
    yield from _of_one_sweep(rows)
    for key, found in (("pareto", mark_pareto(rows, objective)), ("equals", _equals(rows, mark_equal))):
        for number, (row, right) in enumerate(zip(rows, found, strict=True)):
            if row.get(key) != right.get(key):
                yield f"rows/{number}/{key}: {row.get(key)}, and by the rows it is {right.get(key)}"


def _equals(rows: Rows, mark_equal: Callable[[Rows], Rows]) -> Rows:
    """Of tables of before, which tell nothing of equal modules, as they are."""
    return mark_equal(rows) if all({"equals", "module_sha256"} <= {*row} for row in rows) else rows


def _of_one_sweep(rows: Rows) -> Iterator[str]:
    """Rows are each of another configuration, on one chip with one firmware; equal modules came to the same numbers."""
    first: dict[tuple[Any, ...], tuple[int, Any]] = {}

    def differs(number: int, what: tuple[Any, ...], value: Any) -> int | None:
        other, known = first.setdefault(what, (number, value))
        is_near = isinstance(value, float) and math.isclose(value, known, rel_tol=_ROUNDING, abs_tol=_ROUNDING)
        return other if known != value and not is_near else None

    labels: dict[tuple[Any, ...], int] = {}
    # Of files that are called the same, in two folders, rows don't tell which is which.
    counts = Counter(row["label"] for row in rows)
    ambiguous = {row["model"] for row in rows if counts[row["label"]] > 1}
    for number, row in enumerate(rows):
        same = labels.setdefault((row["label"], row.get("module_sha256"), row.get("dataset")), number)
        if same != number:
            yield f"rows/{number}: it is row {same} once more"
        metrics, taken = row["metrics"] or {}, (row.get("dataset"), row.get("samples"))
        facts = {("chip",): row.get("chip"), **{(name,): metrics.get(name) for name in _OF_FIRMWARE}}
        facts[("samples", *taken)] = metrics.get("samples")
        if row["model"] not in ambiguous:
            facts[("the model's own", row["model"], *taken)] = _reached(metrics)
        if row.get("module_sha256") and metrics and row["model"] not in ambiguous:
            facts[("metrics", row["module_sha256"], row["model"], row["type"], row["vlen"], *taken)] = metrics
        for what, value in facts.items():
            other = None if value is None else differs(number, what, value)
            if other is not None:
                yield f"rows/{number}: {what[0].replace('_', ' ')} is not as in row {other}, and would have to be"


def _reached(metrics: Mapping[str, Any]) -> float | None:
    """What the model as it came reached: the first figure of its task, and what was lost of it."""
    name = next((each for each in QUALITY if metrics.get(each) is not None), None)
    loss = metrics.get(loss_of(metrics)) if name else None
    if loss is None or abs(loss) > _MOST_LOST:
        return None
    return float(metrics[name] + (loss if QUALITY[name][2] == "higher" else -loss))


def of_row(row: Mapping[str, Any], objective: str) -> Iterator[tuple[str, str]]:
    """What can't be of one row, before who is in front is known: (place in it, sentence)."""
    found, vlen = row["metrics"], row["vlen"]
    if problem := wrong_length(vlen):
        yield "/vlen", problem
    parts = [row[name] for name in ("model", "type", "variant", "vlen", "optimize", "flags")]
    if row["label"] != (label := label_of(*parts)):
        yield "/label", f"{row['label']}, and what it is of is called {label}"
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
    yield from _of_metrics(row, found)


def _of_metrics(row: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """What can't be of a row's numbers, held to each other."""
    yield from _of_answers(row, found)
    runtime, whole = found.get("runtime_instructions") or 0, found["instructions"]
    # A dispatch executes an instruction at least, and each load, store or move is one.
    for name, most in (
        ("runtime_instructions", whole),
        ("stack_accesses", whole - runtime),
        ("scalar_dispatches", whole - runtime),
        ("whole_register_moves", whole),
    ):
        if (found.get(name) or 0) > most + _ROUNDING:
            yield f"/metrics/{name}", f"{found[name]} of {most:.10g} instructions"
    if found["module_bytes"] > (found.get("memory_peak_bytes") or math.inf):
        yield "/metrics/module_bytes", f"{found['module_bytes']} in {found['memory_peak_bytes']} bytes of memory"


def _of_answers(row: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    samples, asked = found.get("samples"), row.get("samples")
    if samples is not None and (samples < 1 or samples % 1 or (asked is not None and samples > asked)):
        yield "/metrics/samples", f"{samples} of {'all' if asked is None else asked}"
    elif samples and found.get("accuracy") is not None and not _is_whole(found["accuracy"] * samples):
        yield "/metrics/accuracy", f"{found['accuracy']:.6g} is no share of {samples} samples"
    if found.get("accuracy") is not None and "accuracy_loss" in found:
        expected = found["accuracy"] + found["accuracy_loss"]
        if not -_ROUNDING <= expected <= 1 + _ROUNDING:
            yield "/metrics/accuracy_loss", f"{found['accuracy_loss']:.6g} of an accuracy of {expected:.6g}"


def _is_whole(value: float) -> bool:
    return abs(value - round(value)) <= _ROUNDING * max(1.0, abs(value))


def _range(name: str) -> tuple[float, float]:
    """The least and the most that a metric can be."""
    if name in _RANGES:
        return _RANGES[name] or (-math.inf, math.inf)
    metric = METRICS.get(name)
    form = QUALITY[name][1] if name in QUALITY else metric.form if metric else ""
    return (0.0, 1.0 if form == "share" else math.inf) if form else (-math.inf, math.inf)
