# SPDX-License-Identifier: Apache-2.0
"""Whether the numbers of a metrics document hang together: what its schema can't say.

Of what a document lacks nothing is said: older ones have less.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from springbok.measuring.derived import CLASSIFICATION, shown, task_of

#: No run executes as many of anything: ten years of a chip at 1 GHz. What is beyond was never counted.
MOST = 10**18
#: Means of parts and of the whole are rounded each by itself.
_ROUNDING = 1e-3


def contradictions(document: Mapping[str, Any]) -> Iterator[str]:
    """What can't be, a sentence each: ``models/0/dispatches: they come to 12 instructions, the inference to 10``.

    ``document`` has the form that its schema asks for, but for what it lacks.
    """
    for number, model in enumerate(document["models"]):
        for place, sentence in (*_counts(model), *_dispatches(model), *_timeline(model), *_answers(model)):
            yield f"models/{number}{place}: {sentence}"


def _counts(model: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for place, value in _numbers(model, ""):
        if not math.isfinite(value) or abs(value) > MOST:
            yield place, f"{value:.3g} is no number that was counted"
            return
    spread = [model.get("instructions", {}).get(name) for name in ("min", "mean", "max")]
    if None not in spread and not spread[0] - _ROUNDING <= spread[1] <= spread[2] + _ROUNDING:
        yield "/instructions", "the mean is not between the least and the most"


def _numbers(part: Any, place: str) -> Iterator[tuple[str, float]]:
    """Every number, with its place. Those of answers are a model's own, of whatever size."""
    if isinstance(part, int | float) and not isinstance(part, bool):
        yield place, part
    elif isinstance(part, Mapping):
        for name, each in part.items():
            if name not in ("per_sample", "quality", "max_abs_error"):
                yield from _numbers(each, f"{place}/{name}")
    elif isinstance(part, Sequence) and not isinstance(part, str):
        for number, each in enumerate(part):
            yield from _numbers(each, f"{place}/{number}")


def _dispatches(model: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    dispatches = model.get("dispatches", ())
    for place, each in enumerate(dispatches):
        whole, vectors = each.get("instructions"), each.get("vector_instructions")
        if vectors is not None and whole is not None and vectors > whole + _ROUNDING:
            told = f"{shown(vectors, 'count')} vector instructions of {shown(whole, 'count')}"
            yield f"/dispatches/{place}", told
    for name, title in (("instructions", "instructions"), ("vector_instructions", "vector instructions")):
        whole = (model.get(name) or {}).get("mean")
        parts = [each.get(name) for each in dispatches]
        if whole is None or None in parts:
            continue
        if (found := math.fsum(parts)) > whole + _ROUNDING * (1 + len(parts)):
            told = f"they come to {shown(found, 'count')} {title}, the inference to {shown(whole, 'count')}"
            yield "/dispatches", told


def _timeline(model: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    calls = model.get("timeline", {}).get("calls", {})
    if any(place >= len(model.get("dispatches", ())) for place in calls.get("dispatch", ())):
        yield "/timeline", "it calls a dispatch that is not there"
    if len({len(column) for column in calls.values()}) > 1:
        yield "/timeline", "its lists are not of one length"


def _answers(model: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    samples, given = model.get("samples"), model.get("per_sample") or {}
    if len({len(column) for column in given.values()}) > 1:
        yield "/per_sample", "its lists are not of one length"
        return
    for name, column in given.items():
        if samples is not None and len(column) != samples:
            yield f"/per_sample/{name}", f"{len(column)} of {samples} samples"
    names = model.get("class_names")
    if names is None or task_of(model) != CLASSIFICATION:
        return
    table = model.get("confusion", ())
    if len(table) not in (0, len(names)) or any(len(row) != len(names) for row in table):
        yield "/confusion", f"it is no table of {len(names)} by {len(names)} classes"
    elif table and samples is not None and (found := sum(map(sum, table))) != samples:
        yield "/confusion", f"it has {found} of {samples} samples"
    for name in ("label", "device", "host"):
        if any(not isinstance(each, int) or not 0 <= each < len(names) for each in given.get(name, ())):
            yield f"/per_sample/{name}", f"a class that is none of the {len(names)}"
