# SPDX-License-Identifier: Apache-2.0
"""Memory, accesses to it, and what the host's clock saw."""

from __future__ import annotations

from collections.abc import Mapping

from springbok.measuring.derived import shown
from springbok.report import charts
from springbok.report.costs import binned
from springbok.report.figure import Column, Figure
from springbok.support.places import command


def memory(model: Mapping) -> Figure:
    """What of the chip's memory an inference needs, and what is sent."""
    rows = tuple(
        {"part": title, "bytes": model[key]}
        for title, key in (
            ("arena, at its peak (module included)", "memory_peak_bytes"),
            ("module (VMFB)", "vmfb_bytes"),
            ("stack, at its peak", "stack_peak_bytes"),
        )
    )
    return Figure(
        "memory",
        "Memory",
        (Column("part", "part"), Column("bytes", "bytes", "count")),
        rows,
        charts.bars(rows, "part", "bytes", ("part", "bytes")),
        f"Loading and verifying the module took {shown(model['load_instructions'], 'count')} instructions, "
        "upload excluded.",
    )


def fit(model: Mapping) -> list[Figure]:
    """What takes how much of each memory of the chip; nothing of results that do not say so."""
    rows = []
    for each in model.get("fit", ()):
        rows += [{"memory": each["name"], "part": part, "bytes": count} for part, count in each["parts"].items()]
        free = "free" if each["free_bytes"] >= 0 else "MISSING"
        rows.append({"memory": each["name"], "part": f"{free}, of {each['bytes']:,}", "bytes": abs(each["free_bytes"])})
    if not rows:
        return []
    columns = (Column("memory", "memory"), Column("part", "what takes it"), Column("bytes", "bytes", "count"))
    return [
        Figure(
            "fit",
            "The chip's memories",
            columns,
            tuple(rows),
            note=f"Known before the model runs, as '{command('fit', 'MODEL')}' says it.",
        )
    ]


def accesses(model: Mapping) -> Figure:
    """Memory and peripheral accesses over virtual time, where an engine gives them."""
    given = model.get("accesses_over_time")
    names = list(given["accesses"]) if given else []
    rows = tuple(
        {"seconds": second, **{name: given["accesses"][name][place] for name in names}}
        for place, second in enumerate(given["seconds"] if given else [])
    )
    points = [{"seconds": row["seconds"], "what": name, "accesses": row[name]} for row in rows for name in names]
    titles = ("virtual time (s)", "accesses in the slice of time")
    return Figure(
        "accesses",
        "Memory and peripheral accesses over virtual time",
        (Column("seconds", "virtual time until (s)", "seconds"), *(Column(name, name, "count") for name in names)),
        rows,
        charts.lines(points, "seconds", "accesses", "what", titles) if points else None,
        "" if given else "Unknown: the engine does not record them.",
    )


def round_trips(model: Mapping) -> Figure:
    """Upload and round trips by this machine's clock."""
    clock = model.get("wall_clock")
    values = [round(seconds * 1000, 1) for seconds in clock["round_trip_seconds"]] if clock else []
    rows = binned(values, "milliseconds", "inferences", "seconds")
    note = "Unknown: these results hold no times."
    if values:
        note = (
            f"Upload and load {clock['upload_seconds']:.2f} s, round trip {min(values):g} to {max(values):g} ms. "
            "By this machine's clock, other in every run: for information, never judged."
        )
    titles = ("round trip of one inference (ms, this machine's clock)", "inferences")
    return Figure(
        "round_trips",
        "Upload and round trips",
        (Column("milliseconds", "round trip (ms)"), Column("inferences", "inferences", "count")),
        tuple(rows),
        charts.columns(rows, "milliseconds", "inferences", titles),
        note,
    )
