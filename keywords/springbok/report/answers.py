# SPDX-License-Identifier: Apache-2.0
"""What a model answered: quality, confusion, predictions and mistakes, or the figures of another task."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping

from springbok.measuring.derived import QUALITY, quality_of, ratio, shown, task_of
from springbok.report import charts
from springbok.report.figure import Column, Figure

MOST_CLASSES = 30


def quality_figures(model: Mapping) -> list[Figure]:
    """What is shown of a classification."""
    return [confusion(model), per_class(model), predictions(model), mistakes(model)]


def own_task_figures(model: Mapping) -> list[Figure]:
    """What is shown of other tasks: their figures, and each sample's answers if they are numbers; nothing of none."""
    device, host = quality_of(model), quality_of(model, "host")
    task = task_of(model)
    if not device:
        return []
    table = Figure(
        "quality",
        f"Quality ({task})",
        (Column("figure", "figure"), Column("device", "device", "value"), Column("host", "host", "value")),
        tuple({"figure": QUALITY[name][0], "device": device[name], "host": host[name]} for name in device),
        note="Unknown is what is not defined for these answers." if None in device.values() else "",
    )
    samples = model.get("per_sample") or {}
    answers = list(zip(*(samples.get(key, ()) for key in ("label", "device", "host")), strict=True))
    if not answers or any(isinstance(value, list) for value in answers[0]):
        return [table]
    titles = {"regression": ("right value", "given"), "anomaly": ("anomaly (1)", "score")}[task]
    return [
        table,
        Figure(
            "answers",
            "Answers",
            (
                Column("sample", "sample", "count"),
                Column("label", titles[0], "value"),
                Column("device", f"{titles[1]} by the device", "value"),
                Column("host", f"{titles[1]} by the host", "value"),
            ),
            tuple(
                {"sample": number, "label": label, "device": device, "host": host}
                for number, (label, device, host) in enumerate(answers)
            ),
        ),
    ]


def confusion(model: Mapping) -> Figure:
    """Rows are true classes, columns what the device gave."""
    names = [f"{name}" for name in model["class_names"]]
    cells = [
        {"true": true, "given": given, "samples": count}
        for true, row in zip(names, model["confusion"], strict=True)
        for given, count in zip(names, row, strict=True)
    ]
    rows = tuple(
        {"true": true, **{f"given {number}": count for number, count in enumerate(row)}}
        for true, row in zip(names, model["confusion"], strict=True)
    )
    chart = charts.matrix(cells, "true", "given", "samples", ("true class", "class given by the device (samples)"))
    return Figure(
        "confusion",
        "Confusion matrix",
        (
            Column("true", "true class"),
            *(Column(f"given {number}", f"given: {name}", "count") for number, name in enumerate(names)),
        ),
        rows,
        chart if 0 < len(names) <= MOST_CLASSES else None,
    )


def per_class(model: Mapping) -> Figure:
    """Precision, sensitivity and F1 of each class, and their means."""
    matrix = model["confusion"]
    rows = []
    for number, name in enumerate(model["class_names"]):
        right = matrix[number][number]
        sensitivity = ratio(right, sum(matrix[number]))
        precision = ratio(right, sum(row[number] for row in matrix))
        f1 = ratio(2 * right, sum(matrix[number]) + sum(row[number] for row in matrix))
        rows.append({"class": name, "precision": precision, "sensitivity": sensitivity, "f1": f1})

    def mean(key: str) -> float | None:
        known = [row[key] for row in rows if row[key] is not None]
        return math.fsum(known) / len(known) if known else None

    known = [row["sensitivity"] for row in rows if row["sensitivity"] is not None]
    g_mean = math.prod(known) ** (1 / len(known)) if known else None
    rows.append({"class": "mean", **{key: mean(key) for key in ("precision", "sensitivity", "f1")}})
    return Figure(
        "per_class",
        "Quality by class",
        (
            Column("class", "class"),
            Column("precision", "precision", "share"),
            Column("sensitivity", "sensitivity", "share"),
            Column("f1", "F1", "share"),
        ),
        tuple(rows),
        note=f"Accuracy {shown(model['accuracy'], 'share')}, G-mean {shown(g_mean, 'share')}. A class that was never "
        "given has no precision.",
    )


def predictions(model: Mapping) -> Figure:
    """How often each class is true, given by the device, and given by the host."""
    samples = model.get("per_sample")
    names = model["class_names"]
    counts = {key: Counter(samples[key]) for key in ("label", "device", "host")} if samples else {}
    rows = tuple(
        {"class": name, **{key: counts[key][number] for key in counts}} for number, name in enumerate(names) if counts
    )
    titles = {"label": "true", "device": "device", "host": "host"}
    bars = [{"class": row["class"], "by": title, "samples": row[key]} for row in rows for key, title in titles.items()]
    few = 0 < len(rows) <= MOST_CLASSES
    return Figure(
        "predictions",
        "Predictions",
        (
            Column("class", "class"),
            Column("label", "true (samples)", "count"),
            Column("device", "given by the device", "count"),
            Column("host", "given by the host", "count"),
        ),
        rows,
        charts.bars(bars, "class", "samples", ("class", "samples"), series="by", grouped=True) if few else None,
        "" if samples else "Unknown: these results hold no single predictions.",
    )


def mistakes(model: Mapping) -> Figure:
    """The samples that the device got wrong, or answered other than the host."""
    samples = model.get("per_sample") or {"label": [], "device": [], "host": []}
    names = model["class_names"]
    answers = list(zip(samples["label"], samples["device"], samples["host"], strict=True))
    wrong = [
        {"sample": number, "true": names[label], "device": names[device], "host": names[host]}
        for number, (label, device, host) in enumerate(answers)
        if not label == device == host
    ]
    note = f"{len(wrong)} of {model['samples']} samples." if answers else "Unknown: no single predictions are recorded."
    return Figure(
        "mistakes",
        "Samples answered wrongly, or differently by device and host",
        (
            Column("sample", "sample", "count"),
            Column("true", "true class"),
            Column("device", "given by the device"),
            Column("host", "given by the host"),
        ),
        tuple(wrong),
        note=note,
    )
