# SPDX-License-Identifier: Apache-2.0
"""Estimated cycles by dispatch, and where they go; beside those that a core's RTL counted, where it did."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from springbok.measuring.derived import (
    RUNTIME,
    dispatch_label,
    estimated_cycles_of,
    ratio,
    runtime_cycles,
    runtime_instructions,
    shown,
    tidy,
)
from springbok.report import charts
from springbok.report.figure import Column, Figure

_CAUSES = 4
_COLOURS = {
    "issue": charts.BLUE,
    "branches": charts.VERMILLION,
    "memory": charts.ORANGE,
    "scalar units": charts.GREEN,
    "vector units": charts.PURPLE,
    "drain": charts.GREY,
    "fetch": charts.SKY,
}
_MEMORY = ("load", "store", "vector_memory")


def estimated_cycles(model: Mapping) -> list[Figure]:
    """The table and its bars, and the roofline; nothing of a run that estimated no cycles."""
    if estimated_cycles_of(model) is None:
        return []
    estimate = model["estimate"]
    parts = [(dispatch_label(entry), entry) for entry in model["dispatches"] if "estimate" in entry]
    own = {"instructions": runtime_instructions(model), "cycles": runtime_cycles(model)}
    parts += [(RUNTIME, {**own, "estimate": estimate["runtime"]})] if estimate["runtime"] else []
    rows = [_row(label, part) for label, part in parts]
    measured = any(row["measured"] is not None for row in rows)
    timing = estimate["timing"]
    return [
        Figure(
            "estimated_cycles",
            "Where the cycles go (estimated)",
            (
                Column("dispatch", "dispatch (number, layer: kernel)"),
                Column("instructions", "instructions an inference", "count"),
                Column("estimated", "estimated cycles", "count"),
                *(
                    (Column("measured", "measured cycles", "count"), Column("error", "error", "share"))
                    if measured
                    else ()
                ),
                Column("rate", "estimated cycles an instruction", "ratio"),
                Column("limit", "cycles at the machine's limit", "count"),
                Column("of_limit", "ratio to it", "ratio"),
                Column("limited_by", "set by"),
                Column("where", "what they go to"),
            ),
            tuple(rows),
            charts.bars(
                [bar for label, part in parts for bar in _bars(label, part["estimate"]["where"])],
                "dispatch",
                "cycles",
                ("dispatch (number, layer: kernel)", "estimated cycles an inference"),
                series="kind",
                colours=_COLOURS,
            ),
            f"An estimate by {timing['name']}: {timing['title']} ({timing['standing']}), no measurement. The rows "
            f"add up to {shown(estimate['estimated_cycles'], 'count')} cycles an inference, "
            f"{ratio(estimate['estimated_cycles'], estimate['limit_cycles']) or 0:.2f} times the machine's limit."
            + "".join(f" {note}" for note in estimate.get("notes", ())),
            is_wide=True,
        ),
        *_roofline(parts, timing),
    ]


def _roofline(parts: Sequence[tuple[str, Mapping]], timing: Mapping) -> list[Figure]:
    """Products against the bytes of memory's ports, under what the description's core does in a cycle at most."""
    peaks = timing.get("peaks")
    if peaks is None or not all("products" in part["estimate"] for _, part in parts):
        return []  # of an older version
    rows = [_under_roof(label, part["estimate"], peaks) for label, part in parts]
    points = [row for row in rows if row["intensity"] and row["rate"]]
    widths = {
        (unit, int(bits)) for _, part in parts for unit, each in part["estimate"]["products"].items() for bits in each
    }
    roofs = {}
    for unit, bits in sorted(widths, key=lambda each: (each[1], each[0])):
        most = peaks["product_bits"][unit] / bits
        roofs[f"{unit.replace('_', ' ')}, {bits} bits: {peaks['bytes']} bytes, {most:g} products"] = (
            float(peaks["bytes"]),
            most,
        )
    titles = ("products a byte", "products an estimated cycle")
    return [
        Figure(
            "cycles_roofline",
            "Roofline in estimated cycles",
            (
                Column("dispatch", "dispatch (number, layer: kernel)"),
                Column("products", "products an inference", "count"),
                Column("bytes", "bytes of memory's ports an inference", "count"),
                Column("intensity", "products a byte", "ratio"),
                Column("rate", "products a cycle", "ratio"),
                Column("roof", "at most, by the roofs", "ratio"),
                Column("reached", "share of it", "share"),
            ),
            tuple(rows),
            charts.roofline(points, ("intensity", "rate", "dispatch"), titles, roofs) if points else None,
            f"The roofs are those of {timing['name']}, in a cycle: bytes that memory's ports move, and multiplications "
            "of vectors by the bits of an element. A scalar access takes all of a port. What multiplies no vectors has "
            "no place in the plot.",
        )
    ]


def _under_roof(label: str, estimate: Mapping, peaks: Mapping) -> dict:
    products = math.fsum(times for widths in estimate["products"].values() for times in widths.values())
    multiplying = math.fsum(
        times * int(bits) / peaks["product_bits"][unit]
        for unit, widths in estimate["products"].items()
        for bits, times in widths.items()
    )
    rate, roof = (
        ratio(products, each) for each in (estimate["estimated_cycles"], _longest(multiplying, estimate, peaks))
    )
    return {
        "dispatch": label,
        "products": tidy(products),
        "bytes": estimate["bytes"],
        "intensity": ratio(products, estimate["bytes"]),
        "rate": rate,
        "roof": roof,
        "reached": ratio(rate, roof),
    }


def _longest(multiplying: float, estimate: Mapping, peaks: Mapping) -> float:
    """Cycles in which the roofs let all of it be done: what multiplies and what moves go on at once."""
    return max(multiplying, estimate["bytes"] / peaks["bytes"])


def _row(label: str, part: Mapping) -> dict:
    estimate, measured = part["estimate"], part.get("cycles")
    cycles = estimate["estimated_cycles"]
    most = list(estimate["where"].items())[:_CAUSES]
    return {
        "dispatch": label,
        "instructions": part["instructions"],
        "estimated": cycles,
        "measured": measured,
        "error": ratio(cycles - measured, measured) if measured else None,
        "rate": ratio(cycles, part["instructions"]),
        "limit": estimate["limit_cycles"],
        "of_limit": ratio(cycles, estimate["limit_cycles"]),
        "limited_by": estimate["limited_by"],
        "where": ", ".join(f"{name.replace('_', ' ')} {shown(each, 'count')}" for name, each in most),
    }


def _bars(label: str, where: Mapping[str, float]) -> list[dict]:
    kinds: Counter[str] = Counter()
    for name, cycles in where.items():
        kinds[_kind(name)] += cycles
    return [{"dispatch": label, "kind": kind, "cycles": tidy(kinds[kind])} for kind in _COLOURS if kinds[kind]]


def _kind(name: str) -> str:
    if name in _MEMORY:
        return "memory"
    if name in _COLOURS:
        return name
    return "vector units" if name.startswith("vector_") else "scalar units"
