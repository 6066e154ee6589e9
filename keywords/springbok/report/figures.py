# SPDX-License-Identifier: Apache-2.0
"""What a report shows of one configuration (a model, compiled one way, on one data set): cards and figures.

A figure is a table, and mostly a chart of the table's own rows, so the two can't disagree. Everything is taken from
``metrics.json``; what a key that is missing or null would tell is shown as "unknown".
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from springbok.chips.chip import DEFAULT
from springbok.measuring.derived import (
    CLASSIFICATION,
    QUALITY,
    RUNTIME,
    SCALAR_BELOW,
    UNKNOWN,
    lane_utilisation,
    mean_of,
    quality_of,
    ratio,
    runtime_instructions,
    shown,
    task_of,
    tidy,
    vector_share,
)
from springbok.measuring.instruction_mix import CLASSES, VECTOR_WORK, by_class, opcode_class
from springbok.report import charts

TOP = 10
MOST_BARS = 15
MOST_CLASSES = 30
BINS = 8
KIND_COLOURS = {"vector": charts.BLUE, "scalar": charts.ORANGE, "vset": charts.GREY, RUNTIME: charts.PURPLE}


@dataclass(frozen=True)
class Column:
    """A column of a table: the key of its values in the rows, its title with the unit, and how values are written.

    ``none`` stands where there is no value.
    """

    key: str
    title: str
    form: str = "text"
    none: str = UNKNOWN

    @property
    def is_number(self) -> bool:
        """Numbers are aligned to the right."""
        return self.form != "text"

    def shown(self, row: Mapping[str, Any]) -> str:
        """The row's value in this column as text."""
        return self.none if row[self.key] is None else shown(row[self.key], self.form)


@dataclass(frozen=True)
class Figure:
    """A titled table, with a chart of its rows where ``chart`` holds a specification; ``note`` says what to know.

    ``marks`` is the key of what the chart's marks call the rows by, so that a page can show and hide them together.
    """

    key: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Mapping[str, Any], ...]
    chart: dict | None = None
    note: str = ""
    marks: str = ""


@dataclass(frozen=True)
class Card:
    """One number worth a first look. ``change`` is since earlier results; ``verdict`` is better, worse or same."""

    title: str
    value: str
    note: str = ""
    change: str = ""
    verdict: str = ""


@dataclass(frozen=True)
class Step:
    """A box of the scenario's picture."""

    title: str
    name: str
    details: tuple[str, ...] = field(default=())


def title_of(model: Mapping[str, Any]) -> str:
    """``gestures (vector)``"""
    return f"{model['name']} ({model['variant']})"


# Cards


def cards(document: Mapping, model: Mapping, earlier: Mapping | None = None) -> list[Card]:
    """The result cards of a configuration; ``earlier`` is the same configuration in earlier results."""
    firmware = document.get("firmware")
    code = sum(firmware[f"{part}_bytes"] for part in ("text", "rodata", "data")) if firmware else None
    share, lanes = vector_share(model), lane_utilisation(model)
    vectors = shown(mean_of(model["vector_instructions"]), "count")

    def change(read, better: str, points: bool = False) -> tuple[str, str]:
        old = read(earlier) if earlier else None
        return _change(read(model), old, better, points)

    return [
        *quality_cards(model, earlier),
        Card(
            "Instructions an inference",
            shown(model["instructions"]["mean"], "count"),
            f"{shown(runtime_instructions(model), 'count')} in the runtime",
            *change(lambda m: m["instructions"]["mean"], "lower"),
        ),
        Card("Vector share", shown(share, "share"), f"{vectors} instructions", *change(vector_share, "higher", True)),
        Card(
            "Lane utilisation",
            shown(lanes, "share"),
            _lanes_note(model, lanes),
            *change(lane_utilisation, "higher", True),
        ),
        Card(
            "Memory peak",
            shown(model["memory_peak_bytes"], "count"),
            f"bytes; stack {shown(model['stack_peak_bytes'], 'count')}",
            *change(lambda m: m["memory_peak_bytes"], "lower"),
        ),
        Card(
            "Module",
            shown(model["vmfb_bytes"], "count"),
            f"bytes; firmware {shown(code, 'count')}",
            *change(lambda m: m["vmfb_bytes"], "lower"),
        ),
        Card("Largest error", shown(model["max_abs_error"], "error"), "of an output, against the host"),
    ]


def _lanes_note(model: Mapping, lanes: float | None) -> str:
    if lanes is not None:
        return "active lanes over lanes there"
    return "no vectors were used" if mean_of(model["vector_instructions"]) == 0 else "the engine does not tell vl"


def _change(new: float | None, old: float | None, better: str, points: bool) -> tuple[str, str]:
    """The change as text and its verdict. Shares change by points: 3 % of 50 % would be read as 53 %."""
    if new is None or old is None:
        return "", ""
    if new == old:
        return "unchanged", "same"
    verdict = "better" if (new > old) == (better == "higher") else "worse"
    if points or not old:
        return f"{(new - old) * 100:+.2f} points ({verdict})", verdict
    return f"{(new / old - 1) * 100:+.2f} % ({verdict})", verdict


def find_same(model: Mapping, document: Mapping | None) -> Mapping | None:
    """The entry of the same model, variant and data set in another document."""
    wanted = _identity(model)
    return next((entry for entry in (document or {}).get("models", []) if _identity(entry) == wanted), None)


def _identity(model: Mapping) -> tuple:
    return model["name"], model["variant"], (model.get("dataset") or {}).get("name")


# The scenario


def scenario(document: Mapping, model: Mapping) -> list[Step]:
    """From the data to the chip, with the parameters of each step; of a scenario file, its blocks where it has them."""
    dataset = model.get("dataset") or {"name": UNKNOWN, "description": ""}
    shapes = [f"{entry['name']}: {entry['dtype']} {entry['shape']}" for entry in model.get("inputs", [])]
    flags = model["compiler"]["flags"]
    features = [_flag(flags, "target-cpu-features")]
    optimizer = model["compiler"].get("optimizer") or {}
    choice = optimizer.get("choice")
    compilation = (
        model["variant"],
        *([f"optimize={optimizer['level']}"] if optimizer else []),
        *([f"flags: {flags_chosen(choice)}"] if choice else []),
        f"{len(flags)} flags, see below",
    )
    target = [_flag(flags, "target-triple"), _flag(flags, "target-abi"), *features]
    firmware = document.get("firmware")
    code = f"{shown(firmware['text_bytes'], 'count')} bytes of code" if firmware else "firmware not built here"
    steps = [
        Step("Data set", dataset["name"], (f"{model['samples']} samples", _judged_by(model))),
        Step(
            "Preprocessing",
            "model input",
            (*shapes, *dataset.get("preprocessing", ()), dataset["description"].partition(": ")[2]),
        ),
        Step("Model", model["name"], (model["format"], f"sha256 {model['sha256'][:12]}…")),
        Step("Compiler", f"IREE {model['compiler']['version']}", compilation),
        Step("Target", _flag(flags, "target-cpu") or "RISC-V", tuple(filter(None, target))),
        Step("Runtime", "springbok-bench", (code, f"module {shown(model['vmfb_bytes'], 'count')} bytes")),
        Step("Link", "UART", (f"over {document['link']}" if document.get("link") else "carrier unknown",)),
        Step(
            "Engine",
            document["engine"],
            (document["engine_version"] or "", document.get("chip", DEFAULT), f"VLEN {document['vlen_bits']} bits"),
        ),
    ]
    blocks = {_BLOCK_STEPS[block["block"]]: block for block in model.get("scenario", {}).get("blocks", [])}
    return [_with_block(step, blocks[step.title]) if step.title in blocks else step for step in steps]


def _judged_by(model: Mapping) -> str:
    task = task_of(model)
    return f"{len(model['class_names'])} classes" if task == CLASSIFICATION else task


_BLOCK_STEPS = {
    "dataset": "Data set",
    "model_wrapper": "Model",
    "optimizers": "Compiler",
    "runtime": "Runtime",
    "protocol": "Link",
    "runtime_protocol": "Link",
    "platform": "Engine",
}


def _with_block(step: Step, block: Mapping) -> Step:
    """The step under the name of its block, which stands before what the run was like."""
    parameters = [f"{name}: {_short(value)}" for name, value in block["parameters"].items()]
    return Step(block["block"], block["type"].rpartition(".")[2], (*parameters, f"→ {step.name}", *step.details))


def _short(value: Any) -> str:
    return f"{len(value)} of them" if isinstance(value, list) else str(value)


def _flag(flags: Sequence[str], name: str) -> str:
    return next((flag.partition("=")[2] for flag in flags if flag.partition("=")[0].endswith(name)), "")


# Figures


def figures(model: Mapping) -> list[Figure]:
    """Every figure of a configuration, in the order of the report."""
    return [
        dispatches(model),
        *optimizer_figures(model),
        scalar_dispatches(model),
        classes(model),
        *opcodes(model),
        roofline(model),
        distribution(model),
        *(quality_figures(model) if task_of(model) == CLASSIFICATION else own_task_figures(model)),
        memory(model),
        accesses(model),
        round_trips(model),
    ]


def quality_cards(model: Mapping, baseline: Mapping | None) -> list[Card]:
    """A card for each figure of the task, with what the host reaches."""
    cards = []
    for name, value in quality_of(model).items():
        title, form, better = QUALITY[name]
        old = quality_of(baseline).get(name) if baseline else None
        change = _change(value, old, better, form == "share")
        host = f"host {shown(quality_of(model, 'host')[name], form)}, {model['samples']} samples"
        cards.append(Card(title[0].upper() + title[1:], shown(value, form), host, *change))
    return cards


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


def dispatch_label(entry: Mapping) -> str:
    """A short name for a chart's axis: the layer, and what of the kernel's name is its own.

    >>> dispatch_label({"name": "main_dispatch_5_vecmat_16x352_f32", "layer": "dense_1"})
    '5 dense_1: vecmat_16x352_f32'
    """
    found = re.fullmatch(r".*?_dispatch_(\d+)_(.*)", entry["name"])
    number, name = (found[1] + " ", found[2]) if found else ("", entry["name"])
    return f"{number}{entry['layer']}: {name}" if entry["layer"] else f"{number}{name}"


def optimizer_figures(model: Mapping) -> list[Figure]:
    """Which flags were tried, and what each transformation brings; those of the two that the document tells."""
    optimizer = model["compiler"].get("optimizer") or {}
    choice, breakdown = optimizer.get("choice"), optimizer.get("breakdown")
    return [
        *([_flag_sets(choice)] if choice and choice["candidates"] else []),
        *([_transformations(breakdown)] if breakdown else []),
    ]


def _flag_sets(choice: Mapping) -> Figure:
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
        "Compiler flags, chosen by count",
        (
            Column("flag_set", "set of flags"),
            Column("instructions", "instructions of a warm inference", "count"),
            Column("ratio", "ratio", "ratio"),
            Column("memory", "memory (bytes)", "count"),
            Column("outcome", "outcome"),
        ),
        rows,
        note=f"Flags: {flags_chosen(choice)}. Ratios are to stock IREE.",
    )


def flags_chosen(choice: Mapping) -> str:
    """Such as ``rolled, chosen of 5 by count (recorded)``."""
    measured = sum(each["instructions"] is not None for each in choice["candidates"])
    how = f"chosen of {measured} by count ({choice['origin']})" if measured else "the default"
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


def dispatches(model: Mapping) -> Figure:
    """Which layer costs what; the runtime's own share makes it the whole inference."""
    total = model["instructions"]["mean"]
    rows, bars = [], []
    for entry in model["dispatches"]:
        vectors = entry["vector_instructions"]
        rows.append(
            {
                "dispatch": entry["name"],
                "layer": entry["layer"] or "",
                "calls": entry["calls"],
                "instructions": entry["instructions"],
                "share": ratio(entry["instructions"], total),
                "vector": vectors,
                "vector_share": vector_share(entry),
                "lanes": lane_utilisation(entry),
            }
        )
        label = dispatch_label(entry)
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
    rows.append({"dispatch": RUNTIME, "layer": "", "calls": 1, "instructions": own, "share": ratio(own, total)})
    rows[-1].update(vector=vectors, vector_share=None if vectors is None else ratio(vectors, own), lanes=None)
    bars.append({"dispatch": RUNTIME, "kind": RUNTIME, "instructions": own})
    return Figure(
        "dispatches",
        "Instructions by dispatch",
        (
            Column("dispatch", "dispatch"),
            Column("layer", "layer"),
            Column("calls", "calls an inference", "count"),
            Column("instructions", "instructions an inference", "count"),
            Column("share", "share of the inference", "share"),
            Column("vector", "vector instructions", "count"),
            Column("vector_share", "vector share", "share"),
            Column("lanes", "lane utilisation", "share"),
        ),
        tuple(rows),
        charts.bars(
            bars,
            "dispatch",
            "instructions",
            ("dispatch (layer: kernel)", "instructions an inference"),
            series="kind",
            colours={**KIND_COLOURS, "instructions": charts.BLUE},
        ),
        f"The rows add up to the inference: {shown(total, 'count')} instructions.",
    )


def scalar_dispatches(model: Mapping) -> Figure:
    """Loops that ran scalar in a build for vectors, by dispatch."""
    known = model["vector_instructions"]["mean"] is not None
    vector_build = model["variant"] != "scalar" and (not known or model["vector_instructions"]["mean"] > 0)
    rows = [
        {
            "dispatch": entry["name"],
            "layer": entry["layer"] or "",
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
            Column("dispatch", "dispatch"),
            Column("layer", "layer"),
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
            chart if chosen else None,
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


def roofline(model: Mapping) -> Figure:
    """Operations against bytes moved, by dispatch, where both are known."""
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
            }
        )
    points = [row for row in rows if row["intensity"] and row["rate"]]
    titles = ("float operations a byte moved (log)", "float operations an instruction (log)")
    roof = (4.0, 2.0)  # one scalar instruction moves 4 bytes at most, or is a fused multiply-add
    known = [row for row in rows if row["operations"] is not None]
    notes = []
    if points:
        notes.append("The roof is a scalar core's: an instruction moves at most 4 bytes or does at most 2 operations.")
        if vector_share(model):
            notes.append("Dispatches with vector instructions may lie above it.")
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
            Column("dispatch", "dispatch"),
            Column("operations", "float operations an inference", "count"),
            Column("bytes", "bytes moved an inference", "count"),
            Column("intensity", "operations a byte", "ratio"),
            Column("rate", "operations an instruction", "ratio"),
        ),
        tuple(rows if known else ()),
        charts.roofline(points, ("intensity", "rate", "dispatch"), titles, roof) if points else None,
        " ".join(notes),
    )


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
        charts.columns(rows, "instructions", "inferences", titles) if rows else None,
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
        charts.columns(rows, "milliseconds", "inferences", titles) if rows else None,
        note,
    )
