# SPDX-License-Identifier: Apache-2.0
"""Whether what a metrics document says of a model's answers is what its samples come to."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from springbok.measuring.derived import CLASSIFICATION, shown, task_of

_Found = Iterator[tuple[str, str]]
_EXACT = 1e-6  # of figures that are sums of the same floating-point numbers


def wrong_answers(model: Mapping[str, Any]) -> _Found:
    """Places of ``model`` (see docs/metrics.md), a sentence each, that its samples contradict. It may lack anything."""
    samples, given = model.get("samples"), model.get("per_sample") or {}
    if len({len(column) for column in given.values()}) > 1:
        yield "/per_sample", "its lists are not of one length"
        return
    for name, column in given.items():
        if samples is not None and len(column) != samples:
            yield f"/per_sample/{name}", f"{len(column)} of {samples} samples"
            return
    device, host, error = given.get("device"), given.get("host"), model.get("max_abs_error")
    if device and host and error is not None and (found := _distance(device, host)) > error * (1 + _EXACT):
        if task_of(model) == "regression":
            yield "/max_abs_error", f"{error:.3g}, but of its samples {found:.3g}"
        elif not error:
            yield "/max_abs_error", "none, but device and host gave other answers"
    yield from (_classes if task_of(model) == CLASSIFICATION else _figures)(model, given)


def _distance(device: Sequence[Any], host: Sequence[Any]) -> float:
    """Largest difference of two answers; None, which is no finite number, has none."""
    pairs = zip(_flat(device), _flat(host), strict=False)
    return max((abs(one - other) for one, other in pairs if one is not None and other is not None), default=0)


def _flat(column: Sequence[Any]) -> list[Any]:
    return [each for row in column for each in (row if isinstance(row, list) else (row,))]


def _classes(model: Mapping[str, Any], given: Mapping[str, Sequence[Any]]) -> _Found:
    names, table, samples = model.get("class_names"), model.get("confusion", ()), model.get("samples")
    if names is None:
        return
    if len(set(names)) != len(names):
        yield "/class_names", "a class is there twice"
    for name in ("label", "device", "host"):
        if any(not isinstance(each, int) or not 0 <= each < len(names) for each in given.get(name, ())):
            yield f"/per_sample/{name}", f"a class that is none of the {len(names)}"
            return
    if len(table) not in (0, len(names)) or any(len(row) != len(names) for row in table):
        yield "/confusion", f"it is no table of {len(names)} by {len(names)} classes"
        return
    if table and samples is not None and (found := sum(map(sum, table))) != samples:
        yield "/confusion", f"it has {found} of {samples} samples"
        return
    label, device, host = (given.get(name) for name in ("label", "device", "host"))
    if table and label and device:
        pairs = Counter(zip(label, device, strict=True))
        if any(count != pairs[row, column] for row, line in enumerate(table) for column, count in enumerate(line)):
            yield "/confusion", "it is not the table of its samples' classes"
    if table and samples:
        right = sum(line[row] for row, line in enumerate(table))
        yield from _share("accuracy", model, right / samples, "by its table of classes")
    for name, answers in (("accuracy", device), ("host_accuracy", host)):
        if label and answers:
            yield from _share(name, model, sum(map(int.__eq__, label, answers)) / len(label), "of its samples")


def _share(name: str, model: Mapping[str, Any], found: float, where: str) -> _Found:
    told = model.get(name, found)
    if told is None or abs(told - found) > _EXACT:
        yield f"/{name}", f"{shown(told, 'share')}, but {where} {shown(found, 'share')}"


def _figures(model: Mapping[str, Any], given: Mapping[str, Sequence[Any]]) -> _Found:
    """What other tasks judge, as far as their samples are there."""
    for name in ("accuracy", "host_accuracy"):
        if model.get(name) is not None:
            yield f"/{name}", f"the task {task_of(model)} has none"
    label = given.get("label")
    for owner in ("device", "host"):
        told, answers = model["quality"][owner], given.get(owner)
        if not label or not answers or None in (*_flat(label), *_flat(answers)):
            continue
        for name, found in _FIGURES.get(task_of(model), lambda *_: {})(label, answers).items():
            if name not in told or not math.isfinite(found or 0):
                continue
            value = told[name]
            if (value is None) != (found is None) or not math.isclose(
                value or 0, found or 0, rel_tol=_EXACT, abs_tol=_EXACT
            ):
                yield f"/quality/{owner}/{name}", f"{shown(value, 'value')}, but of its samples {shown(found, 'value')}"


def _regression(label: Sequence[Any], answers: Sequence[Any]) -> dict[str, float | None]:
    columns = [[list(each) for each in zip(*map(_row, rows), strict=False)] for rows in (label, answers)]
    errors = [[given - right for right, given in zip(*pair, strict=True)] for pair in zip(*columns, strict=False)]
    count = sum(map(len, errors))
    scores: list[float] = []
    for right, missed in zip(columns[0], errors, strict=False):
        mean = math.fsum(right) / len(right)
        spread = math.fsum((each - mean) * (each - mean) for each in right)
        if spread:
            scores.append(1 - math.fsum(each * each for each in missed) / spread)
    return {
        "mean_absolute_error": math.fsum(abs(each) for column in errors for each in column) / count,
        "root_mean_square_error": math.sqrt(math.fsum(each * each for column in errors for each in column) / count),
        "r_squared": math.fsum(scores) / len(scores) if len(scores) == len(errors) else None,
    }


def _row(answer: Any) -> Sequence[float]:
    return answer if isinstance(answer, list) else (answer,)


def _anomaly(label: Sequence[float], answers: Sequence[float]) -> dict[str, float | None]:
    """The area under the curve, by ranks; equal scores share theirs."""
    scores = [(score, kind) for score, kind in zip(answers, label, strict=True)]
    anomalies, normal = (sum(kind == wanted for kind in label) for wanted in (1, 0))
    if not anomalies or not normal:
        return {"auc": None}
    ranks: dict[float, list[int]] = {}
    for place, score in enumerate(sorted(score for score, _ in scores), 1):
        ranks.setdefault(score, []).append(place)
    above = math.fsum(sum(ranks[score]) / len(ranks[score]) for score, kind in scores if kind == 1)
    return {"auc": (above - anomalies * (anomalies + 1) / 2) / (anomalies * normal)}


_FIGURES = {"regression": _regression, "anomaly": _anomaly}
