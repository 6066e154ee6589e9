# SPDX-License-Identifier: Apache-2.0
"""Earlier results that a report shows the change since: which they are, and whether the change can be judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from springbok.measuring import metrics
from springbok.measuring.platforms import configuration_of, configuration_title, model_of, platform_of, told_apart
from springbok.report.changes import are_of_same_samples
from springbok.report.configurations import Run
from springbok.report.figure import title_of
from springbok.report.lead import origin_text


@dataclass(frozen=True)
class Since:
    """The entry ``model`` of earlier results that a configuration is held against.

    ``sentence`` tells which it is; ``titles`` call both sides by what they ran on, where that differs. Numbers that are
    not ``judged`` are of another platform or other data: more or fewer is neither better nor worse.
    """

    model: Mapping[str, Any]
    sentence: str
    titles: tuple[str, str]
    judged: bool


def read_earlier(path: Path | str) -> Run:
    """Earlier results, a folder or its ``metrics.json``, called as they are given, with their commit and date."""
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    return Run(str(path), metrics.read(path), origin_text(folder))


def named(earlier: Run) -> str:
    """``main (commit c0ffee0123 (main), of 2026-01-02 03:04 +0000)``"""
    return f"{earlier.label} ({earlier.origin})" if earlier.origin else earlier.label


def since_of(document: Mapping[str, Any], model: Mapping[str, Any], earlier: Run | None) -> Since | None:
    """What a configuration is held against; None where nothing of the earlier results is the same."""
    before = find_same(document, model, earlier.document if earlier else None)
    if earlier is None or before is None:
        return None
    name, variant, _, level, engine, chip, vlen = configuration_of(earlier.document, before)
    parts = told_apart([platform_of(earlier.document, before), platform_of(document, model)])
    others = [f"on another platform ({parts[0]} → {parts[1]})"] if parts[0] else []
    others += [] if are_of_same_samples(before, model) else ["over other samples"]
    sentence = f"Changes are since {named(earlier)}: {configuration_title(name, variant, level, chip, engine, vlen)}."
    sentence += f" Measured {' and '.join(others)}, so more or fewer is not judged." if others else ""
    sides = zip(("the earlier results", "these"), parts, strict=True)
    titles = [f"{side} ({part})" if part else side for side, part in sides]
    return Since(before, sentence, (titles[0], titles[1]), not others)


def since_text(document: Mapping[str, Any], model: Mapping[str, Any], earlier: Run | None) -> str:
    """The sentence on what a configuration is held against, or that it is nothing; empty without earlier results."""
    if since := since_of(document, model, earlier):
        return since.sentence
    return f"{named(earlier)} has nothing that {title_of(model)} is held against." if earlier else ""


def find_same(document: Mapping, model: Mapping, earlier: Mapping | None) -> Mapping | None:
    """The entry of ``earlier`` results of the same model, variant, data set, level, engine, chip and VLEN.

    Where both sides have the model once, the level and what it ran on may be others.
    """
    if earlier is None:
        return None
    ours, theirs = (
        [(configuration_of(each, entry), entry) for entry in each["models"] if model_of(entry) == model_of(model)]
        for each in (document, earlier)
    )
    wanted = configuration_of(document, model)
    same = next((entry for configuration, entry in theirs if configuration == wanted), None)
    return theirs[0][1] if same is None and len(ours) == len(theirs) == 1 else same
