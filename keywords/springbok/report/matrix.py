# SPDX-License-Identifier: Apache-2.0
"""The matrix: which model runs on which chip with which VLEN, how it answers there, what it costs, whether it fits.

A cell is one model on one chip; of several results of the same cell the last one counts. Each has a badge, a small SVG
for a README.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

from springbok.measuring.derived import (
    CLASSIFICATION,
    QUALITY,
    cycles_of,
    quality_of,
    quality_text,
    shown,
    task_of,
    vlen_text,
)
from springbok.measuring.platforms import level_text, platform_of
from springbok.report.charts import short_names
from springbok.report.figure import title_of
from springbok.report.page import render
from springbok.support.escaping import visible
from springbok.support.files import write_in_one_step

BADGES = "badges"
#: What a cell comes to, the best first, and its badge's colour: white on it has a contrast of 4.5 at least.
GOOD, DIFFERS, TOO_LARGE, MISSING = "good", "differs", "does not fit", "not measured"
_COLOURS = {GOOD: "#006B4E", DIFFERS: "#A33F00", TOO_LARGE: "#A33F00", MISSING: "#595959"}
_LABEL_COLOUR = "#3C3C3C"
# Answers that are numbers, of device and host, are the same within this.
_SAME = 1e-4
#: Of a badge's file; file systems take some 250 bytes.
_LONGEST_LABEL = 40  # letters: with what came out, a badge is no wider than a telephone
_LONGEST_NAME = 120
_LETTER, _PADDING, _HEIGHT = 6.2, 7, 20


@dataclass(frozen=True)
class Column:
    """A chip with a VLEN, as one engine runs it."""

    chip: str
    vlen_bits: int
    engine: str

    @property
    def title(self) -> str:
        """``springbok, VLEN 512``"""
        return f"{self.chip}, {self.vlen}"

    @property
    def vlen(self) -> str:
        """``VLEN 512``"""
        return vlen_text(self.vlen_bits)


@dataclass(frozen=True)
class Cell:
    """A model on a chip: what is None is not known."""

    model: str
    column: Column
    equal: bool | None
    largest_error: float | None
    accurate: bool | None
    quality: str
    host_quality: str
    instructions: float
    cycles: float | None
    fits: bool | None
    free_bytes: dict[str, int]

    @property
    def state(self) -> str:
        """`GOOD`, or the first thing that is not."""
        if self.fits is False:
            return TOO_LARGE
        return DIFFERS if False in (self.equal, self.accurate) else GOOD

    @property
    def message(self) -> str:
        """For the badge."""
        if self.state == TOO_LARGE:
            return TOO_LARGE
        count = f"{shown(self.instructions, 'count')} instructions"
        if self.equal is False:
            return f"{count}, other answers than the host"
        return f"{count}, less accurate than the host" if self.accurate is False else count


def cells_of(documents: Sequence[Mapping[str, Any]]) -> list[Cell]:
    """The cells of results, which are contents of ``metrics.json``: of several of one cell the last."""
    found: dict[tuple[str, Column], Cell] = {}
    for cell, _ in _measured(documents):
        found.pop((cell.model, cell.column), None)
        found[cell.model, cell.column] = cell
    return list(found.values())


def replaced(documents: Sequence[Mapping[str, Any]], names: Sequence[str]) -> list[str]:
    """A sentence on each cell that a later one of the results, called ``names``, took the place of with other numbers.

    >>> replaced([], [])
    []
    """
    sentences = []
    known: dict[tuple[str, Column], tuple[Cell, int]] = {}
    for cell, number in _measured(documents):
        earlier, of = known.get((cell.model, cell.column), (cell, number))
        if earlier != cell:
            sentences.append(
                f"{cell.model} on {cell.column.title}: {cell.message}, of {names[number]}; another result of "
                f"{names[of]} is left out: {earlier.message}."
            )
        known[cell.model, cell.column] = (cell, number)
    return sentences


def _measured(documents: Sequence[Mapping[str, Any]]) -> list[tuple[Cell, int]]:
    """Every model of every document as a cell, with the document's number.

    Where one was measured on several sets of data, or by several of the optimizer's levels, its name has those too.
    """
    several: dict[str, dict[Callable, set[str]]] = defaultdict(lambda: defaultdict(set))
    for model in (model for document in documents for model in document["models"]):
        for part in _PARTS:
            several[title_of(model)][part].add(part(model))
    found = []
    for number, document in enumerate(documents):
        for model in document["models"]:
            platform = platform_of(document, model)
            column = Column(platform["chip"], platform["vlen_bits"] or 0, platform["engine"])
            title = title_of(model)
            parts = [part(model) for part in _PARTS if len(several[title][part]) > 1]
            found.append((_cell(", ".join(filter(None, (title, *parts))), model, column), number))
    return found


def _data_of(model: Mapping[str, Any]) -> str:
    return (model.get("dataset") or {}).get("name") or "no data"


#: What tells entries of one name and variant apart, whatever they ran on.
_PARTS = (_data_of, level_text)


def _cell(title: str, model: Mapping[str, Any], column: Column) -> Cell:
    memories = model.get("fit")
    return Cell(
        title,
        column,
        _is_equal(model),
        model["max_abs_error"],
        _is_accurate(model),
        quality_text(model),
        quality_text(model, "host"),
        model["instructions"]["mean"],
        cycles_of(model),
        None if memories is None else all(each["free_bytes"] >= 0 for each in memories),
        {each["name"]: each["free_bytes"] for each in memories or ()},
    )


def _is_equal(model: Mapping[str, Any]) -> bool | None:
    """Whether device and host give each sample the same answer; an error that is no number is a difference."""
    given = model.get("per_sample")
    if model["max_abs_error"] is None:
        return False
    if not given or "device" not in given:
        return None
    if task_of(model) == CLASSIFICATION:
        return given["device"] == given["host"]
    pairs = zip(given["device"], given["host"], strict=True)
    return all(math.isclose(one, other, rel_tol=_SAME, abs_tol=_SAME) for one, other in pairs)


def _is_accurate(model: Mapping[str, Any]) -> bool | None:
    """Whether the device is as good as the host, by the first figure that the task has."""
    host = quality_of(model, "host")
    for name, value in quality_of(model).items():
        if value is None or host.get(name) is None:
            continue
        better = value - host[name] if QUALITY[name][2] == "higher" else host[name] - value
        return better >= -_SAME
    return None


def write_matrix(
    documents: Sequence[Mapping[str, Any]], folder: Path | str, left_out: Sequence[str] = ()
) -> tuple[list[Cell], list[Path]]:
    """Write ``matrix.html``, ``matrix.md``, ``matrix.json`` and badges into ``folder``; the cells, and the paths.

    ``left_out`` are sentences on what is not shown, as `replaced` has them, and on what else is to be told.
    """
    folder, cells = Path(folder), cells_of(documents)
    columns = sorted({cell.column for cell in cells}, key=lambda each: (each.chip, each.vlen_bits, each.engine))
    several_engines = len({each.engine for each in columns}) > 1
    titles = {each: f"{each.title}{f', {each.engine}' if several_engines else ''}" for each in columns}
    models = list(dict.fromkeys(sorted(cell.model for cell in cells)))
    by_place = {(cell.model, cell.column): cell for cell in cells}
    rows = [(model, [by_place.get((model, column)) for column in columns]) for model in models]
    names = badge_names([(place, place[0], titles[place[1]]) for place in by_place])
    short = badge_labels([(place, titles[place[1]].removeprefix(f"{place[1].chip}, ")) for place in by_place])
    good = sum(cell.state == GOOD for cell in cells)
    whole = f"{good} of {len(cells)} run, equal and fit"
    values = {
        "rows": rows,
        "columns": [(column, titles[column]) for column in columns],
        "names": names,
        "cells": cells,
        "whole": whole,
        "left_out": left_out,
        "count": lambda number: shown(number, "count"),
        "badge": lambda cell: badge(
            f"{cell.model}, {titles[cell.column]}", cell.message, cell.state, short[cell.model, cell.column]
        ),
    }
    paths = [
        write_in_one_step(folder / "matrix.html", render("matrix.html.j2", **values)),
        write_in_one_step(folder / "matrix.md", render("matrix.md.j2", **values)),
        write_in_one_step(folder / "matrix.json", _as_json(cells)),
        write_in_one_step(folder / BADGES / "all.svg", badge("models on chips", whole, _worst(cells))),
    ]
    for place, cell in by_place.items():
        paths.append(write_in_one_step(folder / BADGES / names[place], values["badge"](cell)))
    return cells, paths


def _worst(cells: Sequence[Cell]) -> str:
    states = {cell.state for cell in cells}
    return next((each for each in (TOO_LARGE, DIFFERS, GOOD) if each in states), MISSING)


def _as_json(cells: Sequence[Cell]) -> str:
    entries = [{**asdict(cell), "state": cell.state} for cell in cells]
    return json.dumps(entries, indent=1, allow_nan=False) + "\n"


def badge_name(model: str, column: str) -> str:
    """The file of a cell's badge.

    >>> badge_name("gestures (vector)", "springbok, VLEN 512")
    'gestures-vector-springbok-vlen-512.svg'
    """
    return f"{_plain_name(model, column)}.svg"


def _plain_name(model: str, column: str) -> str:
    return re.sub(r"[^a-z0-9_.]+", "-", f"{model} {column}".lower()).strip("-.")


def badge_names(cells: Iterable[tuple[Hashable, str, str]]) -> dict[Hashable, str]:
    """The files of (cell, model, column): no two of one name, none longer than a file system takes."""
    cells = list(cells)
    plain = Counter(_plain_name(model, column) for _, model, column in cells)
    found = {}
    for cell, model, column in cells:
        name = _plain_name(model, column)
        if plain[name] > 1 or not name or len(name) > _LONGEST_NAME:
            digest = hashlib.sha256(f"{model} {column}".encode("utf-8", "surrogatepass")).hexdigest()[:8]
            name = f"{name[:_LONGEST_NAME]}-{digest}".strip("-.")
        found[cell] = f"{name}.svg"
    return found


def badge_labels(cells: Iterable[tuple[tuple[str, Column], str]]) -> dict[tuple[str, Column], str]:
    """What badges of (model, column), with the end of the column's title, are about: all of the end, no two alike."""
    by_end: dict[str, list[tuple[str, Column]]] = defaultdict(list)
    for cell, end in cells:
        by_end[end].append(cell)
    found = {}
    for end, group in by_end.items():
        begins = {cell: visible(f"{cell[0]}, {cell[1].chip}") for cell in group}
        short = short_names(dict.fromkeys(begins.values()), _LONGEST_LABEL - len(f", {end}"))
        found |= {cell: f"{short.get(begin, begin)}, {end}" for cell, begin in begins.items()}
    return found


def badge(label: str, message: str, state: str, short: str = "") -> str:
    """A badge: what it is about, in ``short`` where that has no room, and what came out, in the colour of ``state``."""
    label, message = visible(label), visible(message)
    title = escape(f"{label}: {message}")
    label = label if len(label) <= _LONGEST_LABEL else short or f"{label[: _LONGEST_LABEL - 1]}…"
    widths = [round(_LETTER * len(text) + 2 * _PADDING) for text in (label, message)]
    whole = sum(widths)
    texts = "".join(
        f'<text x="{x + _PADDING}" y="14" textLength="{width - 2 * _PADDING}">{escape(text)}</text>'
        for x, width, text in ((0, widths[0], label), (widths[0], widths[1], message))
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{whole}" height="{_HEIGHT}" role="img" aria-label="{title}">'
        f"<title>{title}</title>"
        f'<rect width="{whole}" height="{_HEIGHT}" rx="3" fill="{_LABEL_COLOUR}"/>'
        f'<path d="M{widths[0]} 0h{widths[1] - 3}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3H{widths[0]}z" '
        f'fill="{_COLOURS[state]}"/>'
        f'<g fill="#fff" font-family="Verdana, DejaVu Sans, sans-serif" font-size="11">{texts}</g></svg>\n'
    )
