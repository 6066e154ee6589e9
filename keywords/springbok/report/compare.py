# SPDX-License-Identifier: Apache-2.0
"""Configurations side by side: of one run, or of several (scalar and vector, models, engines, vector lengths)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from springbok.measuring.derived import (
    QUALITY,
    RUNTIME,
    estimated_cycles_of,
    lane_utilisation,
    quality_of,
    ratio,
    runtime_instructions,
    tidy,
    vector_share,
)
from springbok.measuring.instruction_mix import VECTOR_WORK, by_class
from springbok.report import charts
from springbok.report.configurations import Configuration, Run, configurations
from springbok.report.costs import TOP
from springbok.report.counterparts import change_figures
from springbok.report.figure import NO_RATIO, NOT_ASKED, Column, Figure, title_of

#: Of a table that has room beside another one.
_COLUMNS_OF_A_HALF = 5
CLASS_COLOURS = dict(
    zip(
        (name.replace("_", " ") for name in VECTOR_WORK),
        (charts.SKY, charts.BLUE, charts.GREEN, charts.VERMILLION, charts.PURPLE, charts.YELLOW),
        strict=True,
    )
)


def comparison_figures(runs: Sequence[Run], changes: bool = False) -> list[Figure]:
    """The table with ratios, instructions, vector classes and memory overlaid; then each model's layers and opcodes.

    With ``changes``, what changed from run to run, by configuration and by layer, comes before all of these.
    """
    found = configurations(runs)
    overlaid = {name: group for name, group in _by_model(found).items() if 1 < len(group) <= len(charts.SERIES)}
    figures = [*(change_figures(found) if changes else ()), comparison_table(found)]
    if len(found) > 1:
        figures += [_vector_classes(found), _memory(found)]
    for name, group in overlaid.items():
        figures += [_layers(name, group), _top_opcodes(name, group)]
    return figures


def comparison_table(found: Sequence[Configuration]) -> Figure:
    """A row a configuration, with ratios to the first one of the same model, or of all if each model is alone."""
    groups = _by_model(found)
    alone = all(len(group) == 1 for group in groups.values())
    judged = {name for each in found for name in quality_of(each.model)}
    rows = []
    for each in found:
        model = each.model
        reference = (found if alone else groups[model["name"]])[0].model
        rows.append(
            {
                "configuration": each.label,
                **{name: quality_of(model).get(name, NOT_ASKED) for name in QUALITY},
                "instructions": model["instructions"]["mean"],
                "ratio": ratio(model["instructions"]["mean"], reference["instructions"]["mean"]),
                "estimated": estimated_cycles_of(model),
                "runtime": runtime_instructions(model),
                "vector_share": vector_share(model),
                "lanes": lane_utilisation(model),
                "memory": model["memory_peak_bytes"],
                "memory_ratio": ratio(model["memory_peak_bytes"], reference["memory_peak_bytes"]),
                "module": model["vmfb_bytes"],
                "error": model["max_abs_error"],
            }
        )
    titles = ("configuration", "instructions an inference")
    reference = found[0].label if alone and found else "the first configuration of the same model"
    return Figure(
        "comparison",
        "Comparison",
        (
            Column("configuration", "configuration"),
            *(
                Column(name, title, form)
                for name, (title, form, _) in QUALITY.items()
                if name in judged or (name == "accuracy" and not judged)
            ),
            Column("instructions", "instructions an inference", "count"),
            Column("ratio", "ratio of instructions", "ratio"),
            Column("runtime", "instructions in the runtime", "count"),
            *(
                (Column("estimated", _estimated_by(found), "count"),)
                if any("estimate" in e.model for e in found)
                else ()
            ),
            Column("vector_share", "vector share", "share"),
            Column("lanes", "lane utilisation", "share"),
            Column("memory", "memory peak (bytes)", "count"),
            Column("memory_ratio", "ratio of memory", "ratio"),
            Column("module", "module (bytes)", "count"),
            Column("error", "largest error", "error"),
        ),
        tuple(rows),
        charts.bars(rows, "configuration", "instructions", titles, compares=True),
        f"Ratios are to {reference}.",
        is_wide=True,
    )


def _estimated_by(found: Sequence[Configuration]) -> str:
    """The title of estimated cycles, with the descriptions that they are by."""
    timings = [each.model["estimate"]["timing"] for each in found if "estimate" in each.model]
    names, digests = dict.fromkeys(each["name"] for each in timings), {each["sha256"] for each in timings}
    differing = "; some of another version, not comparable" if len(digests) > len(names) else ""
    return f"estimated cycles (by {', '.join(names)}{differing})"


def _by_model(found: Sequence[Configuration]) -> dict[str, list[Configuration]]:
    groups: dict[str, list[Configuration]] = {}
    for each in found:
        groups.setdefault(each.model["name"], []).append(each)
    return groups


def _vector_classes(found: Sequence[Configuration]) -> Figure:
    counted = [(each.label, by_class(each.model["opcodes"])) for each in found]
    rows = tuple(
        {"configuration": label, **{name: tidy(counts[name]) if counts else None for name in VECTOR_WORK}}
        for label, counts in counted
    )
    bars = [
        {"configuration": row["configuration"], "class": name.replace("_", " "), "instructions": row[name]}
        for row in rows
        for name in VECTOR_WORK
        if row[name]
    ]
    titles = ("configuration", "vector instructions an inference")
    chart = charts.bars(bars, "configuration", "instructions", titles, series="class", colours=CLASS_COLOURS)
    return Figure(
        "vector_classes",
        "Vector instructions by class",
        (
            Column("configuration", "configuration"),
            *(Column(name, name.replace("_", " "), "count") for name in VECTOR_WORK),
        ),
        rows,
        chart if len({row["configuration"] for row in bars}) > 1 else None,
        "vset* is no vector work and left out.",
    )


def _memory(found: Sequence[Configuration]) -> Figure:
    parts = (("memory", "memory peak", "memory_peak_bytes"), ("module", "module", "vmfb_bytes"))
    rows = tuple(
        {"configuration": each.label, **{key: each.model[source] for key, _, source in parts}} for each in found
    )
    bars = [
        {"configuration": row["configuration"], "part": title, "bytes": row[key]}
        for row in rows
        for key, title, _ in parts
    ]
    titles = ("configuration", "bytes")
    return Figure(
        "memory",
        "Memory",
        (
            Column("configuration", "configuration"),
            *(Column(key, f"{title} (bytes)", "count") for key, title, _ in parts),
        ),
        rows,
        charts.bars(bars, "configuration", "bytes", titles, series="part", grouped=True) if len(rows) > 1 else None,
    )


def _layers(name: str, group: Sequence[Configuration]) -> Figure:
    """Layers are what configurations have in common: kernels are cut and named differently by each compilation."""
    costs = []
    for each in group:
        sums: dict[str, float] = {}
        for entry in each.model["dispatches"]:
            layer = entry["layer"] or entry["name"]
            sums[layer] = tidy(sums.get(layer, 0) + entry["instructions"])
        costs.append({**sums, RUNTIME: runtime_instructions(each.model)})
    layers = [layer for layer in dict.fromkeys(layer for each in costs for layer in each) if layer != RUNTIME]
    title = f"{name}: instructions by layer"
    unit = "instructions an inference"
    return _overlaid(title, [*layers, RUNTIME], what="layer", unit=unit, group=group, costs=costs)


def _top_opcodes(name: str, group: Sequence[Configuration]) -> Figure:
    costs = [each.model["opcodes"] or {} for each in group]
    names = dict.fromkeys(opcode for each in costs for opcode in list(each)[:TOP])
    most = sorted(names, key=lambda opcode: -max(each.get(opcode, 0) for each in costs))[:TOP]
    title = f"{name}: the ten most used opcodes"
    return _overlaid(title, most, what="opcode", unit="executions an inference", group=group, costs=costs)


def _overlaid(
    title: str, names: Sequence[str], *, what: str, unit: str, group: Sequence[Configuration], costs: Sequence[Mapping]
) -> Figure:
    rows = []
    for name in names:
        row: dict[str, Any] = {what: name}
        for number, each in enumerate(costs):
            known = bool(each)
            row[f"count {number}"] = each.get(name, 0) if known else None
            if number:
                row[f"ratio {number}"] = _ratio(row[f"count {number}"], row["count 0"])
        rows.append(row)
    columns = [Column(what, what)]
    for number, each in enumerate(group):
        label = _within(each)
        columns.append(Column(f"count {number}", label, "count"))
        if number:
            columns.append(Column(f"ratio {number}", f"{label}: ratio", "ratio"))
    bars = [
        {what: row[what], "configuration": each.label, "count": row[f"count {number}"]}
        for row in rows
        for number, each in enumerate(group)
        if row[f"count {number}"] is not None
    ]
    chart = charts.bars(bars, what, "count", (what, unit), series="configuration", grouped=True, compares=True)
    note = f"{unit[0].upper()}{unit[1:]}. Ratios are to {group[0].label}; to 0 there is none."
    return Figure(what, title, tuple(columns), tuple(rows), chart, note, is_wide=len(columns) > _COLUMNS_OF_A_HALF)


def _within(configuration: Configuration) -> str:
    """The label, in a table that is of one model: ``scalar, VLEN 256``."""
    model, title = configuration.model, title_of(configuration.model)
    return f"{model['variant']}{configuration.label.removeprefix(title)}"


def _ratio(count: float | None, reference: float | None) -> float | str | None:
    """None where one is not known; to nothing there is no ratio."""
    return NO_RATIO if reference == 0 and count is not None else ratio(count, reference or 0)
