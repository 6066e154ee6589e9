# SPDX-License-Identifier: Apache-2.0
"""What an inference executes, and which of its dispatches do: instructions, opcodes and their classes, the roofline."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from springbok.measuring.derived import (
    RUNTIME,
    SCALAR_BELOW,
    cycles_of,
    dispatch_label,
    estimated_cycles_of,
    lane_utilisation,
    ratio,
    runtime_cycles,
    runtime_instructions,
    shown,
    tidy,
    vector_share,
)
from springbok.measuring.instruction_mix import CLASSES, VECTOR_WORK, by_class, opcode_class
from springbok.report import charts
from springbok.report.figure import Column, Figure

TOP = 10
MOST_BARS = 15
BINS = 8
#: What a column or an axis of dispatches says of their names.
DISPATCH = "dispatch (number, layer: kernel)"
KIND_COLOURS = {"vector": charts.BLUE, "scalar": charts.ORANGE, "vset": charts.GREY, RUNTIME: charts.PURPLE}


def dispatches(model: Mapping) -> Figure:
    """Which layer costs what; the runtime's own share makes it the whole inference."""
    total, cycles = model["instructions"]["mean"], cycles_of(model)
    rows, bars = [], []
    for entry in model["dispatches"]:
        vectors = entry["vector_instructions"]
        rows.append(
            {
                "dispatch": dispatch_label(entry),
                "calls": entry["calls"],
                "instructions": entry["instructions"],
                "share": ratio(entry["instructions"], total),
                "vector": vectors,
                "vector_share": vector_share(entry),
                "lanes": lane_utilisation(entry),
                "cycles": entry.get("cycles"),
                "rate": ratio(entry.get("cycles"), entry["instructions"]),
                "estimated": estimated_cycles_of(entry),
            }
        )
        label = rows[-1]["dispatch"]
        if vectors is None:
            bars.append({"dispatch": label, "kind": "instructions", "instructions": entry["instructions"]})
        else:
            bars.append({"dispatch": label, "kind": "vector", "instructions": vectors})
            scalar = tidy(entry["instructions"] - vectors)
            bars.append({"dispatch": label, "kind": "scalar", "instructions": scalar})
    own = runtime_instructions(model)
    vectors = model["vector_instructions"]["mean"]
    if vectors is not None:
        vectors = tidy(vectors - math.fsum(entry["vector_instructions"] for entry in model["dispatches"]))
    rows.append({"dispatch": RUNTIME, "calls": 1, "instructions": own, "share": ratio(own, total)})
    rows[-1].update(cycles=runtime_cycles(model), rate=ratio(runtime_cycles(model), own))
    rows[-1].update(estimated=estimated_cycles_of({"estimate": (model.get("estimate") or {}).get("runtime")}))
    rows[-1].update(vector=vectors, vector_share=None if vectors is None else ratio(vectors, own), lanes=None)
    bars.append({"dispatch": RUNTIME, "kind": RUNTIME, "instructions": own})
    return Figure(
        "dispatches",
        "Instructions by dispatch",
        (
            Column("dispatch", DISPATCH),
            Column("calls", "calls an inference", "count"),
            Column("instructions", "instructions an inference", "count"),
            Column("share", "share of the inference", "share"),
            *(
                (Column("cycles", "cycles", "count"), Column("rate", "cycles an instruction", "ratio"))
                if cycles
                else ()
            ),
            *((Column("estimated", "estimated cycles", "count"),) if "estimate" in model else ()),
            Column("vector", "vector instructions", "count"),
            Column("vector_share", "vector share", "share"),
            Column("lanes", "lane utilisation", "share"),
        ),
        tuple(rows),
        charts.bars(
            bars,
            "dispatch",
            "instructions",
            (DISPATCH, "instructions an inference"),
            series="kind",
            colours={**KIND_COLOURS, "instructions": charts.BLUE},
        ),
        f"The rows add up to the inference: {shown(total, 'count')} instructions.",
        is_wide=True,
    )


def scalar_dispatches(model: Mapping) -> Figure:
    """Loops that ran scalar in a build for vectors, by dispatch."""
    known = model["vector_instructions"]["mean"] is not None
    vector_build = model["variant"] != "scalar" and (not known or model["vector_instructions"]["mean"] > 0)
    rows = [
        {
            "dispatch": dispatch_label(entry),
            "instructions": entry["instructions"],
            "vector": entry["vector_instructions"],
            "vector_share": vector_share(entry),
        }
        for entry in sorted(model["dispatches"], key=lambda entry: -entry["instructions"])
        if vector_build and known and (vector_share(entry) or 0) < SCALAR_BELOW
    ]
    if not known:
        note = "Unknown: the engine does not count vector instructions."
    elif not vector_build:
        note = "This build has no vectors."
    elif rows:
        note = (
            f"Fewer than {SCALAR_BELOW:.0%} of these dispatches' instructions are vector work: their loops ran scalar."
        )
    else:
        note = f"None: vectors are at least {SCALAR_BELOW:.0%} of each dispatch's instructions."
    return Figure(
        "scalar_dispatches",
        "Dispatches that ran scalar",
        (
            Column("dispatch", DISPATCH),
            Column("instructions", "instructions an inference", "count"),
            Column("vector", "vector instructions", "count"),
            Column("vector_share", "vector share", "share"),
        ),
        tuple(rows),
        note=note,
    )


def classes(model: Mapping) -> Figure:
    """Loads, stores, arithmetic and the rest apart; ``vset*`` for itself."""
    counts = by_class(model["opcodes"]) or {}
    total = model["instructions"]["mean"]
    rows = tuple(
        {"class": name.replace("_", " "), "instructions": tidy(counts[name]), "share": ratio(counts[name], total)}
        for name in CLASSES
        if counts
    )
    vectors = [row for row in rows if row["class"].startswith("vector") or row["class"] == "vset"]
    used = any(row["instructions"] for row in vectors)
    titles = ("class of opcode", "instructions an inference")
    return Figure(
        "classes",
        "Vector instructions by class",
        (
            Column("class", "class of opcode"),
            Column("instructions", "instructions an inference", "count"),
            Column("share", "share of the inference", "share"),
        ),
        rows,
        charts.bars(vectors, "class", "instructions", titles) if used else None,
        _opcode_note(model) or ("vset* configures the vector unit and computes nothing: it is no vector work."),
    )


def opcodes(model: Mapping) -> list[Figure]:
    """The ten most used opcodes, and all: scalar and vector apart."""
    total = model["instructions"]["mean"]
    rows = [
        {"opcode": name, "kind": _kind(name), "executions": count, "share": ratio(count, total)}
        for name, count in (model["opcodes"] or {}).items()
    ]
    shown_columns = (
        Column("opcode", "opcode"),
        Column("kind", "kind"),
        Column("executions", "executions an inference", "count"),
        Column("share", "share of the inference", "share"),
    )
    titles = ("opcode", "executions an inference")

    def figure(key: str, title: str, chosen: list[dict], most: int) -> Figure:
        chart = charts.bars(chosen[:most], "opcode", "executions", titles, series="kind", colours=KIND_COLOURS)
        note = f"The chart has the {most} most used of {len(chosen)}." if len(chosen) > most else ""
        return Figure(
            key,
            title,
            shown_columns,
            tuple(chosen),
            chart,
            _opcode_note(model) or note or _none(chosen),
        )

    return [
        figure("top_opcodes", "The ten most used opcodes", rows[:TOP], TOP),
        figure("scalar_opcodes", "Scalar opcodes", [row for row in rows if row["kind"] == "scalar"], MOST_BARS),
        figure("vector_opcodes", "Vector opcodes", [row for row in rows if row["kind"] != "scalar"], MOST_BARS),
    ]


def _kind(opcode: str) -> str:
    found = opcode_class(opcode)
    return "vector" if found in VECTOR_WORK else found


def _opcode_note(model: Mapping) -> str:
    return "Unknown: the engine does not count opcodes." if model["opcodes"] is None else ""


def _none(rows: Sequence) -> str:
    return "" if rows else "None was executed."


def roofline(model: Mapping, vlen: int | None = None) -> Figure:
    """Operations against bytes moved, by dispatch, where both are known; ``vlen`` is the chip's, in bits."""
    rows = []
    for entry in model["dispatches"]:
        work = entry.get("work")
        moved = work["bytes_loaded"] + work["bytes_stored"] if work else None
        operations = work["float_operations"] if work else None
        rows.append(
            {
                "dispatch": dispatch_label(entry),
                "operations": operations,
                "bytes": moved,
                "intensity": ratio(operations, moved) if work else None,
                "rate": ratio(operations, entry["instructions"]) if work else None,
                "has_vectors": bool(entry["vector_instructions"]),
            }
        )
    points = [row for row in rows if row["intensity"] and row["rate"]]
    titles = ("float operations a byte moved", "float operations an instruction")
    known = [row for row in rows if row["operations"] is not None]
    notes = []
    if points:
        notes.append("A roof is what an instruction can do at most: move bytes, or compute (a multiply-add is two).")
    if len(known) < len(rows):
        notes.append(
            f"Unknown for {len(rows) - len(known)} of {len(rows)} dispatches: what vector instructions compute and "
            "move depends on vl, which is not known for all of them."
        )
    if len(points) < len(known):
        notes.append("Dispatches without float operations have no place in the plot.")
    return Figure(
        "roofline",
        "Roofline",
        (
            Column("dispatch", DISPATCH),
            Column("operations", "float operations an inference", "count"),
            Column("bytes", "bytes moved an inference", "count"),
            Column("intensity", "operations a byte", "ratio"),
            Column("rate", "operations an instruction", "ratio"),
        ),
        tuple(rows if known else ()),
        charts.roofline(points, ("intensity", "rate", "dispatch"), titles, _roofs(points, vlen)) if points else None,
        " ".join(notes),
    )


def _roofs(points: Sequence[Mapping], vlen: int | None) -> dict[str, tuple[float, float]]:
    """Bytes and operations that one instruction reaches at most, by the kinds of instructions that the points have."""
    have_vectors = {row["has_vectors"] for row in points}
    roofs = {}
    if False in have_vectors:
        roofs["scalar instruction: 4 bytes, 2 operations"] = (4.0, 2.0)
    if True in have_vectors and vlen:
        for registers, name in ((1, "one vector register"), (8, "eight vector registers (LMUL 8)")):
            size, lanes = registers * vlen // 8, registers * vlen // 32
            roofs[f"{name}: {size} bytes, {2 * lanes} operations"] = (float(size), 2.0 * lanes)
    return roofs


def distribution(model: Mapping) -> Figure:
    """How the inferences differ in their number of instructions."""
    values = (model.get("per_sample") or {}).get("instructions")
    rows = binned(values or [], "instructions", "inferences")
    spread = [model["instructions"][key] for key in ("min", "mean", "max")]
    if values is None:
        note = f"Minimum, mean, maximum: {', '.join(shown(value, 'count') for value in spread)}; no more is recorded."
    elif len(rows) == 1:
        note = f"All {len(values)} inferences executed exactly {shown(values[0], 'count')} instructions."
    else:
        ordered = sorted(values)
        middle = tidy((ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2)
        deviation = math.sqrt(math.fsum((value - spread[1]) ** 2 for value in values) / len(values))
        named = zip(
            ("minimum", "median", "mean", "maximum", "standard deviation", "first"),
            (spread[0], middle, spread[1], spread[2], round(deviation, 2), values[0]),
            strict=True,
        )
        note = ", ".join(f"{name} {shown(value, 'count')}" for name, value in named)
    titles = ("instructions of one inference", "inferences")
    return Figure(
        "distribution",
        "Instructions from inference to inference",
        (Column("instructions", "instructions of one inference"), Column("inferences", "inferences", "count")),
        tuple(rows),
        charts.columns(rows, "instructions", "inferences", titles),
        note,
    )


def binned(values: Sequence[float], key: str, count_key: str, form: str = "count") -> list[dict]:
    """Count values: each by itself when there are few, else in bins of one width, named by their bounds."""
    distinct = Counter(values)
    if len(distinct) <= BINS:
        return [{key: shown(value, form), count_key: distinct[value]} for value in sorted(distinct)]
    low, high = min(values), max(values)
    width = (high - low) / BINS
    places = Counter(min(int((value - low) / width), BINS - 1) for value in values)
    edges = [low + number * width for number in range(BINS + 1)]
    if all(isinstance(value, int) for value in values):
        edges = [math.ceil(edge) for edge in edges]
    return [
        {key: f"{shown(edges[place], form)} – {shown(edges[place + 1], form)}", count_key: places[place]}
        for place in range(BINS)
    ]
