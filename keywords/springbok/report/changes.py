# SPDX-License-Identifier: Apache-2.0
"""What changed from one configuration of a model to another, by layer: slower, faster, new, gone, fused otherwise.

Compilations cut and name kernels differently; what they have in common is the model's layers. Dispatches of both sides
that share a layer belong together: where these are cut alike, the layer is the same and is slower or faster, and where
they are not, it was fused otherwise.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from springbok.gate.accounts import MOST_OPCODES, kernel, opcode_change
from springbok.measuring.derived import RUNTIME, ratio, runtime_instructions, shown, tidy
from springbok.report import charts
from springbok.report.figure import Column, Figure
from springbok.support.progress import amount

SLOWER, FASTER, SAME, NEW, GONE = "slower", "faster", "the same", "new", "gone"
FUSED = "fused otherwise"
#: What is said in place of a judgement where the numbers are of other samples or platforms: these may be the cause.
UNJUDGED = {SLOWER: "more", FASTER: "fewer"}
COLOURS = {
    SLOWER: charts.VERMILLION,
    FASTER: charts.GREEN,
    f"{FUSED}, {SLOWER}": charts.ORANGE,
    f"{FUSED}, {FASTER}": charts.SKY,
    NEW: charts.PURPLE,
    GONE: charts.GREY,
}

Entry = Mapping[str, Any]


def are_of_same_samples(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Whether configurations evaluated as many samples of the same data, as far as both say it."""
    told = [(each["samples"], (each.get("dataset") or {}).get("sha256")) for each in (before, after)]
    return all(one == other or None in (one, other) for one, other in zip(*told, strict=True))


def unjudged(status: str) -> str:
    """What became of a layer, without a judgement: ``fused otherwise, more``."""
    for judged, said in UNJUDGED.items():
        status = status.replace(judged, said)
    return status


def layer_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row a group of layers, the largest change first, and the runtime's own share: they add up to the inference.

    ``how`` tells how dispatches were cut before and after where that is another way.
    """
    rows = [_row(old, new) for old, new in _groups(before["dispatches"], after["dispatches"])]
    rows.append(_change(RUNTIME, (runtime_instructions(before), runtime_instructions(after))))
    rows[-1]["opcodes"] = _by_opcodes(_runtime_opcodes(after), _runtime_opcodes(before))
    return sorted(rows, key=lambda row: -abs(row["change"]))


def changes_figure(
    titles: tuple[str, str], before: Mapping[str, Any], after: Mapping[str, Any], judged: bool = True
) -> Figure:
    """The changes from ``before`` to ``after`` (configurations, with their titles) as a table and diverging bars.

    Those of other samples are never ``judged``.
    """
    rows, colours = layer_changes(before, after), COLOURS
    of = "" if are_of_same_samples(before, after) else " Measured over other samples."
    if of or not judged:
        rows = [{**row, "status": unjudged(row["status"])} for row in rows]
        colours = {unjudged(status): colour for status, colour in COLOURS.items()}
    moved = [row for row in rows if row["change"]]
    counts = Counter(row["status"] for row in rows)
    total = math.fsum(row["change"] for row in rows)
    told = ", ".join(f"{count} {status}" for status, count in counts.items())
    axis = ("layer", "change of the instructions of an inference")
    used = {status: colour for status, colour in colours.items() if any(row["status"] == status for row in moved)}
    return Figure(
        "changes",
        f"From {titles[0]} to {titles[1]}, by layer",
        (
            Column("layer", "layer"),
            Column("status", "what became of it"),
            Column("before", f"{titles[0]}, instructions", "count", none="none"),
            Column("after", f"{titles[1]}, instructions", "count", none="none"),
            Column("change", "change", "count"),
            Column("ratio", "ratio", "ratio", none="none"),
            Column("opcodes", "by opcodes"),
            *((Column("how", "cut before → after"),) if any(row["how"] for row in rows) else ()),
        ),
        tuple(rows),
        charts.differences(moved, "layer", "change", "status", axis, used) if len(moved) > 1 else None,
        f"{'+' if total > 0 else ''}{shown(tidy(total), 'count')} instructions an inference; layers: {told}.{of}",
        is_wide=True,
    )


def _groups(before: Sequence[Entry], after: Sequence[Entry]) -> list[tuple[list[Entry], list[Entry]]]:
    """Dispatches of both sides that share a layer, also by way of others."""
    group_of: dict[str, str] = {}

    def root(layer: str) -> str:
        while group_of.setdefault(layer, layer) != layer:
            layer = group_of[layer]
        return layer

    for entry in (*before, *after):
        first, *others = _layers(entry)
        for other in others:
            group_of[root(other)] = root(first)
    groups: dict[str, tuple[list[Entry], list[Entry]]] = {}
    for side, entries in enumerate((before, after)):
        for entry in entries:
            groups.setdefault(root(_layers(entry)[0]), ([], []))[side].append(entry)
    return list(groups.values())


def _layers(entry: Entry) -> list[str]:
    """The layers of a dispatch; of one that the source says nothing of, what of its name is the kernel's own."""
    return entry["layer"].split(" + ") if entry["layer"] else [kernel(entry["name"])]


def _row(old: Sequence[Entry], new: Sequence[Entry]) -> dict[str, Any]:
    names = dict.fromkeys(layer for entry in (*old, *new) for layer in _layers(entry))
    counts = [tidy(math.fsum(entry["instructions"] for entry in side)) if side else None for side in (old, new)]
    row = _change(" + ".join(names), (counts[0], counts[1]))
    cuts = [sorted(" + ".join(_layers(entry)) for entry in side) for side in (old, new)]
    if old and new and cuts[0] != cuts[1]:
        row["status"] = f"{FUSED}, {row['status']}"
        row["how"] = " → ".join(" | ".join(cut) for cut in cuts)
    row["opcodes"] = _by_opcodes(_opcodes(new), _opcodes(old))
    return row


def _change(layer: str, counts: tuple[float | None, float | None]) -> dict[str, Any]:
    before, after = counts
    change = tidy((after or 0) - (before or 0))
    if before is None or after is None:
        status = NEW if before is None else GONE
    else:
        status = SLOWER if change > 0 else FASTER if change < 0 else SAME
    return {
        "layer": layer,
        "status": status,
        "before": before,
        "after": after,
        "change": change,
        "ratio": ratio(after, before or 0),
        "opcodes": "",
        "how": "",
    }


def _opcodes(entries: Sequence[Entry]) -> dict[str, float]:
    found: Counter[str] = Counter()
    for entry in entries:
        found.update(entry["opcodes"] or {})
    return dict(found)


def _by_opcodes(new: Mapping[str, float], old: Mapping[str, float]) -> str:
    """Those whose counts changed most, and how many others did."""
    others = sum(tidy(new.get(name, 0) - old.get(name, 0)) != 0 for name in {*new, *old}) - MOST_OPCODES
    and_more = f", and {amount(others, 'other')}" if others > 0 else ""
    return f"{opcode_change(new, old).removeprefix(': ')}{and_more}"


def _runtime_opcodes(model: Mapping[str, Any]) -> dict[str, float]:
    kernels = _opcodes(model["dispatches"])
    found = {name: tidy(count - kernels.get(name, 0)) for name, count in (model["opcodes"] or {}).items()}
    return {name: count for name, count in found.items() if count}
