# SPDX-License-Identifier: Apache-2.0
"""What the compiler's optimizer tried and chose, and what each of its transformations brings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from springbok.measuring.derived import RUNTIME, ratio, shown
from springbok.report import charts
from springbok.report.figure import Column, Figure

#: Inferences of a run and the warm one of a choice differ by this share at most where they are of one firmware.
_SAME = 0.005


def optimizer_figures(model: Mapping) -> list[Figure]:
    """Which flags were tried, and what each transformation brings; those of the two that the document tells."""
    optimizer = model["compiler"].get("optimizer") or {}
    choice, breakdown = optimizer.get("choice"), optimizer.get("breakdown")
    return [
        *([_flag_sets(choice, model["instructions"]["mean"])] if choice and choice["candidates"] else []),
        *([_transformations(breakdown)] if breakdown else []),
    ]


def _flag_sets(choice: Mapping, measured: float) -> Figure:
    """What was counted when the flags were chosen; ``measured`` is what an inference of this run executes."""
    stock = choice["stock"]
    rows = tuple(
        {
            "flag_set": each["flag_set"] or "(stock IREE)",
            "instructions": each["instructions"],
            "ratio": ratio(each["instructions"], stock["instructions"]) if each["instructions"] is not None else None,
            "memory": each["memory_bytes"],
            "outcome": "chosen" if each["flag_set"] == choice["flag_set"] else each["outcome"],
        }
        for each in (stock, *choice["candidates"])
    )
    return Figure(
        "flag_sets",
        f"Compiler flags, chosen by {_sought(choice)}",
        (
            Column("flag_set", "set of flags"),
            Column("instructions", "instructions of a warm inference, when chosen", "count"),
            Column("ratio", "ratio", "ratio"),
            Column("memory", "memory when chosen (bytes)", "count"),
            Column("outcome", "outcome"),
        ),
        rows,
        note=f"Flags: {flags_chosen(choice)}. Ratios are to stock IREE.{_then_and_now(choice, measured)}",
    )


def _then_and_now(choice: Mapping, measured: float) -> str:
    """What tells counts of the choice from those of this run, where they are not the same."""
    then = next((each["instructions"] for each in choice["candidates"] if each["flag_set"] == choice["flag_set"]), None)
    if then is None or math.isclose(then, measured, rel_tol=_SAME):
        return ""
    return (
        f" These counts are of the time when the flags were chosen, with the firmware of then: {choice['flag_set']} "
        f"came to {shown(then, 'count')} instructions, and comes to {shown(measured, 'count')} in this run."
    )


_UNCOUNTED = {"borrowed": "borrowed"}


def _sought(choice: Mapping) -> str:
    return "estimated cycles" if any("estimated_cycles" in each for each in choice["candidates"]) else "count"


def flags_chosen(choice: Mapping) -> str:
    """Such as ``rolled, chosen of 5 by count (recorded)``."""
    measured = sum(each["instructions"] is not None for each in choice["candidates"])
    how = (
        f"chosen of {measured} by {_sought(choice)} ({choice['origin']})"
        if measured
        else _UNCOUNTED.get(choice["origin"], "the default")
    )
    return f"{choice['flag_set']}, {how}" + (f"; {choice['note']}" if choice["note"] else "")


def _transformations(breakdown: Sequence[Mapping]) -> Figure:
    """A row a layer; what a transformation brings is what the inference needs without it, less what it needs."""
    whole = breakdown[0]
    names = {"": "optimised", "transformations": "flags only", "all": "stock IREE"}
    titles = [names.get(each["without"], f"without {each['without']}") for each in breakdown]
    costs = [{**each["layers"], RUNTIME: _beside(each)} for each in breakdown]
    layers = dict.fromkeys(layer for each in costs for layer in each if layer != RUNTIME)
    rows = [
        {"layer": layer, **{f"count {number}": each.get(layer) for number, each in enumerate(costs)}}
        for layer in (*layers, RUNTIME)
    ]
    for key, title in (("instructions", "the whole inference"), ("memory_bytes", "memory (bytes)")):
        rows.append({"layer": title, **{f"count {number}": each[key] for number, each in enumerate(breakdown)}})
    gains = [
        {"left out": title, "instructions": each["instructions"]}
        for title, each in zip(titles, breakdown, strict=True)
        if each["instructions"] is not None
    ]
    errors = [f"{title}: {each['error']}." for title, each in zip(titles, breakdown, strict=True) if each["error"]]
    brings = [
        f"{each['without']} {shown(each['instructions'] - whole['instructions'], 'count')}"
        for each in breakdown
        if each["without"] not in names and None not in (each["instructions"], whole["instructions"])
    ]
    note = f"Fewer instructions by it, with all others in place: {', '.join(brings)}." if brings else ""
    return Figure(
        "transformations",
        "What each transformation of the optimizer brings",
        (
            Column("layer", "instructions of a warm inference, by layer"),
            *(Column(f"count {number}", title, "count") for number, title in enumerate(titles)),
        ),
        tuple(rows),
        charts.bars(gains, "left out", "instructions", ("compiled", "instructions of a warm inference")),
        " ".join((note, *errors)).strip(),
    )


def _beside(entry: Mapping) -> int | None:
    """What an entry of a breakdown spends outside of its layers."""
    return None if entry["instructions"] is None else entry["instructions"] - sum(entry["layers"].values())
