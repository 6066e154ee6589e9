# SPDX-License-Identifier: Apache-2.0
"""An inference in the order of its execution, to scale: layers, the dispatches in them, and the runtime between these.

The axis is executed instructions, and the core's cycles where an engine has them. Results that hold no single calls
(a board's, or those of an older version) give each dispatch once, in the order of the module, and the runtime last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from springbok.measuring.derived import (
    RUNTIME,
    SCALAR_BELOW,
    cycles_of,
    dispatch_label,
    shown,
    tidy,
    vector_share,
)
from springbok.report import charts
from springbok.report.figure import Column, Figure

INSTRUCTIONS, CYCLES = "instructions", "cycles"
#: A bar this short, of the whole, has no room for its name.
_ROOM_FOR_A_NAME = 0.07
LAYERS, DISPATCHES = "layer", "dispatch"


class Span(NamedTuple):
    """A part of an inference on the axis; ``place`` is of its dispatch in the document, None of the runtime."""

    name: str
    layer: str
    place: int | None
    begin: float
    end: float

    @property
    def length(self) -> float:
        """How long it is."""
        return tidy(self.end - self.begin)


def is_exact(model: Mapping[str, Any]) -> bool:
    """Whether the single calls are known."""
    return "timeline" in model


def units(model: Mapping[str, Any]) -> tuple[str, ...]:
    """The axes that are known."""
    known = "cycles" in model["timeline"] if is_exact(model) else cycles_of(model) is not None
    return (INSTRUCTIONS, CYCLES) if known else (INSTRUCTIONS,)


def spans(model: Mapping[str, Any], unit: str = INSTRUCTIONS) -> list[Span]:
    """Calls of dispatches, and the runtime between them: without a gap from 0 to the end of the inference."""
    found: list[Span] = []
    at = 0.0
    for place, begin, length in _calls(model, unit):
        if begin > at:
            found.append(Span(RUNTIME, "", None, tidy(at), tidy(begin)))
        entry = model["dispatches"][place]
        at = tidy(begin + length)
        found.append(Span(dispatch_label(entry), entry["layer"] or "", place, tidy(begin), at))
    end = _end(model, unit)
    return [*found, Span(RUNTIME, "", None, tidy(at), end)] if end > at else found


def _calls(model: Mapping, unit: str) -> list[tuple[int, float, float]]:
    """Place, begin and length of each call, in their order."""
    if is_exact(model):
        calls = model["timeline"]["calls"]
        begin = "begin" if unit == INSTRUCTIONS else "cycle_begin"
        return list(zip(calls["dispatch"], calls[begin], calls[unit], strict=True))
    found, at = [], 0.0
    for place, entry in enumerate(model["dispatches"]):
        found.append((place, at, entry.get(unit) or 0))
        at += found[-1][2]
    return found


def _end(model: Mapping, unit: str) -> float:
    if is_exact(model):
        return model["timeline"][unit]
    return model["instructions"]["mean"] if unit == INSTRUCTIONS else cycles_of(model) or 0


def layers(found: Sequence[Span]) -> list[Span]:
    """Spans of one layer that follow each other, with the runtime between them, as one."""
    called = [each for each in found if each.place is not None]
    groups = [list(group) for _, group in groupby(called, key=lambda each: each.layer or each.name)]
    return [
        Span(group[0].layer or group[0].name, group[0].layer, None, group[0].begin, group[-1].end) for group in groups
    ]


def timeline(model: Mapping[str, Any]) -> Figure:
    """The inference as a picture, with a row a span."""
    axes = units(model)
    found = {unit: spans(model, unit) for unit in axes}
    rows = [
        {
            "dispatch": each.name,
            **{f"{unit} begin": found[unit][number].begin for unit in axes},
            **{unit: found[unit][number].length for unit in axes},
        }
        for number, each in enumerate(found[INSTRUCTIONS])
        if all(number < len(found[unit]) for unit in axes)
    ]
    columns = [Column("dispatch", "dispatch (number, layer: kernel), in the order of execution")]
    for unit in axes:
        columns += [Column(f"{unit} begin", f"{unit} before it", "count"), Column(unit, unit, "count")]
    notes = [
        "The last inference, call by call."
        if is_exact(model)
        else "The single calls are not known: each dispatch is shown once, in the module's order, and the runtime last."
    ]
    memory = tensor_memory(model)
    peak = shown(model["memory_peak_bytes"], "count")
    notes.append(f"{_told(memory)} The peak, with the module and the runtime: {peak} bytes.")
    notes.append("timeline.trace.json opens in Perfetto, timeline.speedscope.json in speedscope.")
    bars = {unit: _bars(model, found[unit]) for unit in axes}
    return Figure(
        "timeline",
        "Timeline of an inference",
        tuple(columns),
        tuple(rows) if model["dispatches"] else (),
        charts.timeline(bars, "dispatch", memory if len(memory) > 1 else ()) if model["dispatches"] else None,
        " ".join(notes) if model["dispatches"] else "Unknown: no dispatch was measured.",
        is_wide=True,
    )


def tensor_memory(model: Mapping[str, Any]) -> list[dict[str, float]]:
    """``begin``, ``end`` and ``bytes`` for tensors along the executed instructions; one span where it is always the
    same, none where it is not known.
    """
    calls = model.get("timeline", {}).get("calls", {})
    if not calls.get("tensor_bytes"):
        return []
    found: list[dict[str, float]] = []
    for begin, held in zip([0, *calls["begin"][1:]], calls["tensor_bytes"], strict=True):
        if found and found[-1]["bytes"] == held:
            continue
        if found:
            found[-1]["end"] = begin
        found.append({"begin": begin, "end": _end(model, INSTRUCTIONS), "bytes": held})
    return found


def _told(memory: Sequence[Mapping[str, float]]) -> str:
    if not memory:
        return "How much memory is in use when, is not known."
    most = f"{max(each['bytes'] for each in memory):,} bytes"
    if len(memory) == 1:
        return f"Memory for tensors: {most} from the first dispatch to the last, as the module allocates it."
    return f"Memory for tensors, as the module allocates it: {most} at most."


def _bars(model: Mapping, found: Sequence[Span]) -> list[dict[str, Any]]:
    end = found[-1].end if found else 0
    rows = [_bar(LAYERS, LAYERS, each, end) for each in layers(found)]
    for each in found:
        kind = RUNTIME
        if each.place is not None:
            share = vector_share(model["dispatches"][each.place])
            kind = "instructions" if share is None else "scalar" if share < SCALAR_BELOW else "vector"
        rows.append(_bar(DISPATCHES, kind, each, end))
    return rows


def _bar(lane: str, kind: str, span: Span, end: float) -> dict[str, Any]:
    has_room = end and span.length / end >= _ROOM_FOR_A_NAME
    return {
        "lane": lane,
        "kind": kind,
        "dispatch": span.name,
        "begin": span.begin,
        "end": span.end,
        "middle": (span.begin + span.end) / 2,
        "name": span.name.partition(":")[0] if has_room else "",
        "share": span.length / end if end else 0,
    }


# Files for other programs


def trace(models: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """Chrome's trace format, which Perfetto opens: a process for each (label, model) and axis.

    An instruction, or a cycle, takes the place of a microsecond.
    """
    events: list[dict[str, Any]] = []
    number = 0
    for label, model in models:
        for unit in units(model):
            number += 1
            events.append({"ph": "M", "name": "process_name", "pid": number, "args": {"name": f"{label}: {unit}"}})
            for depth, span in _nested(model, unit):
                arguments = {unit: span.length}
                if span.place is not None:
                    entry = model["dispatches"][span.place]
                    arguments |= {"kernel": entry["name"], "vector share": shown(vector_share(entry), "share")}
                category = ("inference", "layer", "dispatch")[depth]
                events.append(
                    {
                        "ph": "X",
                        "cat": category,
                        "name": span.name,
                        "pid": number,
                        "tid": 1,
                        "ts": span.begin,
                        "dur": span.length,
                        "args": arguments,
                    }
                )
            for at in (0, _end(model, unit)):
                counted = {"bytes, at the peak": model["memory_peak_bytes"]}
                events.append({"ph": "C", "name": "memory", "pid": number, "tid": 1, "ts": at, "args": counted})
            events += [
                {"ph": "C", "name": "tensors", "pid": number, "tid": 1, "ts": at, "args": {"bytes": held}}
                for at, held in _tensor_events(model, unit)
            ]
    return {"displayTimeUnit": "ns", "otherData": {"unit": "1 us is one instruction or cycle"}, "traceEvents": events}


def _tensor_events(model: Mapping, unit: str) -> list[tuple[float, float]]:
    """Where the memory for tensors changes on an axis, and to how many bytes."""
    calls = model.get("timeline", {}).get("calls", {})
    begins = calls.get("begin" if unit == INSTRUCTIONS else "cycle_begin", ())
    found = list(zip([0, *begins[1:]], calls.get("tensor_bytes", ()), strict=False))
    return [each for last, each in zip([None, *found], found, strict=False) if last is None or last[1] != each[1]]


def speedscope(models: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """The format of speedscope: a profile for each (label, model) and axis, and one of the runtime's functions."""
    frames: dict[str, int] = {}

    def frame(name: str) -> int:
        return frames.setdefault(name, len(frames))

    profiles = []
    for label, model in models:
        for unit in units(model):
            events: list[dict[str, Any]] = []
            open_ones: list[Span] = []
            for depth, span in _nested(model, unit):
                while len(open_ones) > depth:
                    last = open_ones.pop()
                    events.append({"type": "C", "frame": frame(last.name), "at": last.end})
                events.append({"type": "O", "frame": frame(span.name), "at": span.begin})
                open_ones.append(span)
            while open_ones:
                last = open_ones.pop()
                events.append({"type": "C", "frame": frame(last.name), "at": last.end})
            profiles.append(_profile("evented", f"{label}: {unit}", _end(model, unit), events=events))
        functions = model.get("runtime_functions") or {}
        if functions:
            samples = [[frame(RUNTIME), frame(name)] for name in functions]
            weights = list(functions.values())
            name = f"{label}: functions of the runtime"
            profiles.append(_profile("sampled", name, sum(weights), samples=samples, weights=weights))
    return {
        "$schema": "https://www.speedscope.app/file-format-schema.json",
        "exporter": "springbok-bench",
        "shared": {"frames": [{"name": name} for name in frames]},
        "profiles": profiles,
    }


def _profile(kind: str, name: str, end: float, **content: Any) -> dict[str, Any]:
    return {"type": kind, "name": name, "unit": "none", "startValue": 0, "endValue": end, **content}


def _nested(model: Mapping, unit: str) -> list[tuple[int, Span]]:
    """The inference (depth 0), its layers (1), and what is in them (2) or beside them (1), by where they begin."""
    found = spans(model, unit)
    whole = Span("inference", "", None, 0, _end(model, unit))
    around = layers(found)
    rows = [(0, whole), *((1, each) for each in around)]
    for each in found:
        inside = any(layer.begin <= each.begin and each.end <= layer.end for layer in around)
        rows.append((2 if inside else 1, each))
    return sorted(rows, key=lambda row: (row[1].begin, row[0]))


def runtime_functions(model: Mapping[str, Any]) -> Figure:
    """Which functions of the runtime take its own share, where the engine tells by function."""
    functions = model.get("runtime_functions") or {}
    whole = sum(functions.values())
    rows = tuple(
        {"function": name, "instructions": count, "share": count / whole} for name, count in functions.items() if whole
    )
    titles = ("function", "instructions of an inference")
    return Figure(
        "runtime_functions",
        "The runtime's own share, by function",
        (
            Column("function", "function"),
            Column("instructions", "instructions of an inference", "count"),
            Column("share", "share of the runtime", "share"),
        ),
        rows,
        charts.bars(rows[:15], "function", "instructions", titles),
        "What the first inference executed outside of its dispatches, by the firmware's symbols, marks left out."
        if rows
        else "Unknown: the engine does not tell by function.",
    )
