# SPDX-License-Identifier: Apache-2.0
"""The table of `./bench compilers`: versions of the compiler side by side, and what changed between neighbours.

A row is one model, compiled by one version; see `springbok.exploring.compiler_row`.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from springbok.gate.accounts import kernel, opcode_change, paired, signed
from springbok.measuring.derived import shown, stack_accesses, tidy
from springbok.report import charts
from springbok.report.figure import Column, Figure
from springbok.support.progress import amount

Row = Mapping[str, Any]

#: What a row tells by number: key, title, form, and whether a page shows the change since the neighbour.
METRICS = (
    ("instructions", "instructions an inference", "count"),
    ("cycles", "cycles (estimated)", "count"),
    ("kernel_text_bytes", "code of the kernels (bytes)", "count"),
    ("memory_peak_bytes", "memory peak (bytes)", "count"),
    ("stack_accesses", "loads and stores of stacks", "count"),
    ("vset_per_vector", "vset* a vector instruction", "ratio"),
    ("whole_register_moves", "moves of whole registers", "count"),
)
_MOST_TILES, _MOST_LETTERS = 2, 220
_REASON_LETTERS = 300


def compilers_figures(rows: Sequence[Row]) -> list[Figure]:
    """The table of all rows, then what changed between neighbours, a table for each model."""
    found = [_table(rows)]
    for (model, level), series in _series(rows):
        title = f"{model}{f', optimize={level}' if level != 'none' else ''}"
        changes = [line for old, new in itertools.pairwise(series) for line in _change_rows(old, new)]
        notes = [
            f"{', '.join(row['version'] for row in series if note in row['notes'])}: {note}"
            for note in dict.fromkeys(note for row in series for note in row["notes"])
        ]
        columns = (
            Column("versions", "versions"),
            Column("layer", "layer"),
            Column("before", "instructions before", "count", none="-"),
            Column("after", "after", "count", none="-"),
            Column("change", "change"),
            Column("what", "what is other"),
        )
        if len(series) > 1 and any(row["dispatches"] for row in series):
            found.append(Figure(f"changes {title}", f"Changes: {title}", columns, tuple(changes), note=" ".join(notes)))
    return found


def _table(rows: Sequence[Row]) -> Figure:
    columns = [Column("model", "model"), Column("optimize", "optimize"), Column("version", "version")]
    several_levels = len({row["optimize"] for row in rows}) > 1
    if not several_levels:
        columns.pop(1)
    columns += [Column(key, title, form, none="-") for key, title, form in METRICS]
    columns.append(Column("kernels", "kernels", "number", none="-"))
    columns += [Column("error", "why not")] if any(row["error"] for row in rows) else []
    table = []
    for row in rows:
        numbers = {key: row["metrics"].get(key) for key, *_ in METRICS}
        kernels = len(row["dispatches"]) or None
        named = {key: row[key] for key in ("model", "optimize", "version")}
        name = ", ".join(named[column.key] for column in columns[: 3 if several_levels else 2])
        table.append({**named, **numbers, "kernels": kernels, "error": _reason(row), "name": name})
    failed = sum(bool(row["error"]) for row in rows)
    versions = list(dict.fromkeys(row["version"] for row in rows))
    note = f"{amount(len(rows), 'row')} of {amount(len(versions), 'version')}: {', '.join(versions)}; {failed} failed."
    note += " Cycles are estimated." if any(row["cycles"] is not None for row in table) else ""
    bars = [
        {
            "model": f"{row['model']}, {row['optimize']}" if several_levels else row["model"],
            "version": row["version"],
            "instructions": row["instructions"],
        }
        for row in table
        if row["instructions"] is not None
    ]
    titles = ("model", "instructions an inference")
    chart = charts.bars(bars, "model", "instructions", titles, series="version", grouped=True, compares=True)
    return Figure("compilers", "Compilers", tuple(columns), tuple(table), chart, note, is_wide=True, heads="name")


def _reason(row: Row) -> str:
    return _cut((row["error"] or "").partition("\n")[0], _REASON_LETTERS)


def _series(rows: Sequence[Row]) -> Iterator[tuple[tuple[str, str], list[Row]]]:
    """Rows of one model and level, in the order of versions."""
    for key in dict.fromkeys((row["model"], row["optimize"]) for row in rows):
        yield key, [row for row in rows if (row["model"], row["optimize"]) == key]


def _change_rows(old: Row, new: Row) -> list[dict[str, Any]]:
    """What changed from one version to the next: the whole, then kernels, the largest change first."""
    versions = f"{old['version']} → {new['version']}"
    for row in (old, new):
        if not row["dispatches"]:
            return [_line(versions, "the whole", None, None, f"{row['version']} has none: {_reason(row)}")]
    before, after = (row["metrics"].get("instructions") for row in (old, new))
    found = []
    for one, other in matched(old["dispatches"], new["dispatches"]):
        what = differences(one, other)
        counts = [(part or {}).get("instructions") for part in (one, other)]
        if what:
            part = other or one
            line = _line(versions, part["layer"] or part["name"], *counts, "; ".join(what))
            found.append((line, kernel(part["name"])))
    layers = Counter(line["layer"] for line, _ in found)
    for line, name in found:
        line["layer"] += f" ({name})" if layers[line["layer"]] > 1 else ""
    changed = sorted((line for line, _ in found), key=lambda line: -abs((line["after"] or 0) - (line["before"] or 0)))
    sizes = _sizes(old, new) or ("" if changed else "nothing")
    return [_line(versions, "the whole", before, after, sizes), *changed]


def _line(versions: str, layer: str, before: float | None, after: float | None, what: str) -> dict[str, Any]:
    change = ""
    if before is not None and after is not None and before != after:
        share = f"{(after - before) / before:+.1%}" if before else ""
        change = signed(tidy(after - before)) + (f" ({share})" if share.strip("+-0.%") else "")
    return {"versions": versions, "layer": layer, "before": before, "after": after, "change": change, "what": what}


def _sizes(old: Row, new: Row) -> str:
    kernels = f"{len(old['dispatches'])} → {len(new['dispatches'])} kernels"
    parts = [kernels if len(old["dispatches"]) != len(new["dispatches"]) else ""]
    for key, title, form in METRICS[1:]:
        before, after = old["metrics"].get(key), new["metrics"].get(key)
        if before is not None and after is not None and (told := shown(before, form)) != shown(after, form):
            parts.append(f"{title} {told} → {shown(after, form)}")
    return "; ".join(filter(None, parts))


def matched(
    old: Sequence[Mapping[str, Any]], new: Sequence[Mapping[str, Any]]
) -> list[tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]]:
    """Kernels of two versions that are of one layer, in pairs; None where one has none."""
    sides = [{"dispatches": {each["name"]: each for each in side}} for side in (new, old)]
    return [(before, after) for _, after, before in paired(*sides)]


def differences(old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> list[str]:
    """What is other in a kernel: how it was formed, its tiles, opcodes, stack and cycles. Empty where nothing is.

    >>> part = {"name": "main_dispatch_0_conv_8", "layer": "conv", "tiles": ["[1, 7]"], "opcodes": {"addi": 3}}
    >>> differences(part, {**part, "name": "main_dispatch_1_conv_8x1", "opcodes": {"addi": 3, "vadd.vv": 2}})
    ['formed otherwise: conv_8 → conv_8x1', 'opcodes vadd.vv +2']
    """
    if old is None or new is None:
        part, word = (new, "new kernel") if old is None else (old, "no such kernel any more")
        return [f"{word}: {kernel(part['name'])}"]
    found = []
    names = [kernel(part["name"]) for part in (old, new)]
    if names[0] != names[1]:
        found.append(f"formed otherwise: {' → '.join(names)}")
    tiles = [[_spelled(each) for each in part["tiles"]] for part in (old, new)]
    if tiles[0] != tiles[1]:
        found.append(f"other tile sizes: {_tiles(*tiles)}")
    opcodes = opcode_change(new.get("opcodes"), old.get("opcodes")).removeprefix(": ")
    if opcodes and old.get("opcodes") and new.get("opcodes"):
        found.append(f"opcodes {opcodes}")
    stacks = [stack_accesses(part) for part in (old, new)]
    if None not in stacks and stacks[0] != stacks[1]:
        found.append(f"stack {shown(stacks[0], 'count')} → {shown(stacks[1], 'count')}")
    cycles = [part.get("cycles") for part in (old, new)]
    if None not in cycles and shown(cycles[0], "count") != shown(cycles[1], "count"):
        found.append(f"cycles {shown(cycles[0], 'count')} → {shown(cycles[1], 'count')}")
    return found


def _spelled(tiles: str) -> str:
    """As older versions and newer ones both may write it.

    >>> _spelled("pipeline = CPUDoubleTilingExpert"), _spelled("pipeline = #iree_cpu.pipeline<DoubleTilingExpert>")
    ('pipeline = DoubleTilingExpert', 'pipeline = DoubleTilingExpert')
    """
    return re.sub(r"\bCPU(?=\w)", "", re.sub(r"#\w+\.pipeline<(\w+)>", r"\1", tiles))


def _tiles(old: Sequence[str], new: Sequence[str]) -> str:
    """Those that only one of both has."""
    lost = [each for each in old if each not in new][:_MOST_TILES]
    gained = [each for each in new if each not in old][:_MOST_TILES]
    return " → ".join(_cut(", ".join(each) or "none", _MOST_LETTERS) for each in (lost, gained))


def _cut(text: str, most: int) -> str:
    return f"{text[:most]}…" if len(text) > most else text


def compilers_table(rows: Sequence[Row]) -> str:
    """The first table as aligned text, for a terminal."""
    figure = _table(rows)
    cells = [[column.title for column in figure.columns]]
    cells += [[column.shown(row) for column in figure.columns] for row in figure.rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for line in cells:
        aligned = (
            cell.rjust(width) if column.is_number else cell.ljust(width)
            for column, cell, width in zip(figure.columns, line, widths, strict=True)
        )
        lines.append("  ".join(aligned).rstrip())
    return "\n".join([*lines, figure.note])
