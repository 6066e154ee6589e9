# SPDX-License-Identifier: Apache-2.0
"""Charts as Vega-Lite specifications: drawn to SVG without a browser or a network, or by a page that is looked at.

Text and axes take the colour of the page around them (``currentColor``), so one chart serves light and dark pages.
Marks have the colours of Okabe and Ito, which colour-blind people can tell apart. Each mark carries its numbers as
``aria-label``: for screen readers, for who points at it, and for tests.

A chart that would show nothing is None: of fewer than two bars, or of bars that are all empty. ``usermeta`` of a
specification tells a page what can be done with the chart (see ``templates/charts.js``): the fields of its
``category``, ``value`` and ``series``, and whether it starts ``logarithmic``.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from springbok.measuring.derived import tidy
from springbok.support.escaping import visible, visible_in

BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, YELLOW, GREY = "#56B4E9", "#CC79A7", "#F0E442", "#8C8C8C"
SERIES = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION, GREY)

WIDTH = 420
FRONT_WIDTH, NARROW_FRONT, FRONT_HEIGHT = 760, 440, 380
_ABOVE = 8  # pixels from a point up to the middle of its name
_LETTER_WIDTH, _LINE_HEIGHT = 6.6, 15  # pixels, at most
COUNT = ",.2~f"

#: Version of the specifications.
VEGA_LITE = "6.4"
_INK = {"labelColor": "currentColor", "titleColor": "currentColor"}
_CONFIG = {
    "background": None,
    # Measuring text is most of the work. It is fastest with this font, and limits in pixels would double it.
    "font": "sans-serif",
    "view": {"stroke": None},
    "axis": {
        **_INK,
        "domainColor": "currentColor",
        "tickColor": "currentColor",
        "gridColor": "currentColor",
        "gridOpacity": 0.15,
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "titlePadding": 8,
        "labelLimit": 0,
        "titleLimit": 0,
    },
    "axisDiscrete": {"labelOverlap": False},
    "axisQuantitative": {"tickCount": 4},
    # Above the axis and level: beside it, long labels and a title of other fonts than measured would overlap.
    "axisY": {"titleAngle": 0, "titleAlign": "right", "titleAnchor": "end", "titleX": -6, "titleY": -12},
    "axisYQuantitative": {"titleAlign": "left"},
    "legend": {
        **_INK,
        "orient": "top",
        "labelFontSize": 11,
        "labelLimit": 0,
        "columns": 4,
        "layout": {"bottom": {"direction": "vertical", "anchor": "start"}},
    },
    "text": {"color": "currentColor", "fontSize": 11},
}
# Below this, starting processes costs more than it saves.
_CHARTS_FOR_A_POOL = 40

# Longer names are cut on an axis, so that they still differ; tables have them whole.
_LONGEST_NAME = 56

# The field that holds what a mark says of itself.
_SAYS = "says"

# Of counts: what is below 1 has no unit, and between whole numbers there is no tick. A logarithmic axis leaves most of
# its labels empty, and they stay so.
_COUNTS = {
    "labelExpr": "datum.label && format(datum.value, abs(datum.value) < 1 ? '~g' : '~s')",
    "tickMinStep": 1,
}

#: The largest over the smallest bar from which the small ones can't be read on a linear axis.
SPREAD = 20

Rows = Sequence[Mapping[str, Any]]


def short_names(names: Iterable[str], most: int = _LONGEST_NAME) -> dict[str, str]:
    """What names longer than ``most`` letters are called where there is no room, so that no two look alike: by their
    begin and end; those that have these in common by where they begin to differ; the rest by a number.

    >>> short_names(["gestures, VLEN 512, one", "gestures, VLEN 512, two"], 15)
    {'gestures, VLEN 512, one': 'gesture…12, one', 'gestures, VLEN 512, two': 'gesture…12, two'}
    >>> short_names(["gestures, VLEN 512, on a chip", "gestures, VLEN 128, on a chip"], 15)
    {'gestures, VLEN 512, on a chip': '…EN 512, on a …', 'gestures, VLEN 128, on a chip': '…EN 128, on a …'}
    """
    half = most // 2
    found = {name: f"{name[:half]}…{name[half + 1 - most :]}" for name in names if len(name) > most}
    for alike in _alike(found):
        begin = max(len(os.path.commonprefix(alike)) - most // 4, 0)
        found |= {name: f"…{name[begin : begin + most - 2]}…" for name in alike}
    rest = [name for alike in _alike(found) for name in alike]
    for number, name in enumerate(rest, 1):
        found[name] = f"{found[name][: most - len(f'… #{number}')]}… #{number}"
    return found


def _alike(found: Mapping[str, str]) -> list[list[str]]:
    """Names that are called the same."""
    groups: dict[str, list[str]] = {}
    for name, short in found.items():
        groups.setdefault(short, []).append(name)
    return [group for group in groups.values() if len(group) > 1]


def _axis_of_names(rows: Rows, field: str) -> dict[str, str]:
    """An axis that cuts long names."""
    short = short_names(dict.fromkeys(visible(row[field]) for row in rows))
    place = f"indexof({json.dumps([*short])}, datum.label)"
    shown = f"{place} < 0 ? datum.label : {json.dumps([*short.values()])}[{place}]"
    return {"labelExpr": shown} if short else {}


def bars(
    rows: Rows,
    category: str,
    value: str,
    titles: tuple[str, str],
    *,
    series: str | None = None,
    colours: Mapping[str, str] | None = None,
    grouped: bool = False,
    compares: bool = False,
) -> dict | None:
    """Horizontal bars, in the order of the rows, with their values beside them.

    ``series`` colours the bars and stacks them, or sets them side by side when ``grouped``; a stacked bar shows
    its sum. ``titles`` are the category's and the value's. Bars that are compared with each other start on a
    logarithmic axis where the small ones could not be seen beside the large ones.
    """
    if not _shows_something(rows, value):
        return None
    y = {"field": category, "type": "nominal", "sort": None, "title": titles[0], "axis": _axis_of_names(rows, category)}
    x = {"field": value, "type": "quantitative", "title": titles[1], "axis": _COUNTS}
    bar: dict = {"mark": {"type": "bar", "color": BLUE}, "encoding": {"description": {"field": _SAYS}}}
    text = {
        "mark": {"type": "text", "align": "left", "dx": 4, "aria": False},
        "encoding": {"text": {"field": value, "type": "quantitative", "format": COUNT}},
    }
    height = {"step": 18}
    if series:
        used = dict.fromkeys(row[series] for row in rows)
        shades = {name: (colours or {}).get(name, SERIES[i % len(SERIES)]) for i, name in enumerate(used)}
        scale = {"domain": list(shades), "range": list(shades.values())}
        bar["encoding"]["color"] = {"field": series, "type": "nominal", "scale": scale, "title": None}
        if len(shades) == 1:  # it would say what the title does
            bar["encoding"]["color"]["legend"] = None
        if grouped:
            offset = {"field": series, "type": "nominal", "sort": list(shades)}
            bar["encoding"]["yOffset"] = text["encoding"]["yOffset"] = offset
            height = {"step": 14, "for": "offset"}
        elif len({row[category] for row in rows}) < len(rows):  # stacked: one label, at the end of the bar
            text["transform"] = [
                {"aggregate": [{"op": "sum", "field": value, "as": value}], "groupby": [category]},
                {"calculate": f"round(datum[{json.dumps(value)}] * 1e6) / 1e6", "as": value},  # as `tidy` has it
            ]
    is_stacked = bool(series) and not grouped
    return {
        "usermeta": {
            "category": category,
            "value": value,
            "series": series,
            "logarithmic": compares and not is_stacked and _spread(rows, value) >= SPREAD,
        },
        "data": _data(rows, value, category, *([series] if series else [])),
        "width": WIDTH,
        "height": height,
        "layer": [bar, text],
        "encoding": {"y": y, "x": x},
    }


def differences(rows: Rows, category: str, value: str, kind: str, titles: tuple[str, str], colours: Mapping) -> dict:
    """Bars to the left and the right of 0, in the colour of their ``kind``."""
    scale = {"domain": list(colours), "range": list(colours.values())}
    return {
        "usermeta": {"category": category, "value": value, "series": kind, "logarithmic": None},
        "data": _data(rows, value, category, kind),
        "width": WIDTH,
        "height": {"step": 18},
        "mark": "bar",
        "encoding": {
            "description": {"field": _SAYS},
            "y": {
                "field": category,
                "type": "nominal",
                "sort": None,
                "title": titles[0],
                "axis": _axis_of_names(rows, category),
            },
            "x": {"field": value, "type": "quantitative", "title": titles[1], "axis": _COUNTS},
            "color": {"field": kind, "type": "nominal", "scale": scale, "title": None},
        },
    }


def _shows_something(rows: Rows, value: str) -> bool:
    return len(rows) > 1 and any(row[value] for row in rows)


def _spread(rows: Rows, value: str) -> float:
    values = [row[value] for row in rows if row[value] > 0]
    return max(values) / min(values) if values else 1


def columns(rows: Rows, category: str, value: str, titles: tuple[str, str]) -> dict | None:
    """Upright bars, one a row in the order of the rows: a distribution."""
    if not _shows_something(rows, value):
        return None
    return {
        "usermeta": {"category": category, "value": value, "series": None, "logarithmic": None},
        "data": _data(rows, value, category),
        "width": {"step": 36},
        "height": 160,
        "mark": {"type": "bar", "color": BLUE},
        "encoding": {
            "description": {"field": _SAYS},
            "x": {
                "field": category,
                "type": "nominal",
                "sort": None,
                "title": titles[0],
                "axis": {"labelAngle": -40},
            },
            "y": {"field": value, "type": "quantitative", "title": titles[1], "axis": _COUNTS},
        },
    }


def matrix(rows: Rows, row: str, column: str, value: str, titles: tuple[str, str]) -> dict | None:
    """A matrix of counts; the deeper the colour, the higher the count, and the count stands in its cell."""
    if not _shows_something(rows, value):
        return None
    highest = max((entry[value] for entry in rows), default=0) or 1
    y = {"field": row, "type": "nominal", "sort": None, "title": titles[0], "axis": _axis_of_names(rows, row)}
    x = {
        "field": column,
        "type": "nominal",
        "sort": None,
        "title": titles[1],
        "axis": {"labelAngle": -40, "orient": "top", **_axis_of_names(rows, column)},
    }
    # The deepest is one that the page's text can be read on, in light and dark.
    opacity = {"field": value, "type": "quantitative", "scale": {"domain": [0, highest], "range": [0.06, 0.6]}}
    number = {"text": {"field": value, "type": "quantitative"}, "color": {"value": "currentColor"}}
    return {
        "data": _data(rows, value, row, column),
        "width": {"step": 44},
        "height": {"step": 28},
        "layer": [
            {
                "mark": {"type": "rect", "color": BLUE},
                "encoding": {"fillOpacity": {**opacity, "legend": None}, "description": {"field": _SAYS}},
            },
            {"mark": {"type": "text", "aria": False}, "encoding": number},
        ],
        "encoding": {"y": y, "x": x},
    }


def roofline(
    rows: Rows, fields: tuple[str, str, str], titles: tuple[str, str], roofs: Mapping[str, tuple[float, float]]
) -> dict:
    """Points under roofs, by name: a slope is bytes an instruction, a flat top operations an instruction.

    ``fields`` are those of operations a byte, of operations an instruction, and of the point's name.
    """
    x, y, name = fields
    ridges = [top / slope for slope, top in roofs.values()]
    lowest = min([row[x] for row in rows] + ridges) / 2
    highest = max([row[x] for row in rows] + ridges) * 4
    line = [
        {x: at, y: slope * min(at, top / slope), "roof": roof}
        for roof, (slope, top) in roofs.items()
        for at in (lowest, top / slope, highest)
    ]
    points = [{**row, _SAYS: f"{row[name]}: {row[y]:.3g} at {row[x]:.3g} {titles[0]}"} for row in rows]
    scale = {"type": "log"}
    axis = {"format": "~g", "grid": False}
    return {
        "usermeta": {"category": name, "value": None, "series": None, "logarithmic": None},
        "width": WIDTH,
        "height": 260,
        "encoding": {
            "x": {"field": x, "type": "quantitative", "scale": scale, "title": f"{titles[0]} (log)", "axis": axis},
            "y": {"field": y, "type": "quantitative", "scale": scale, "title": f"{titles[1]} (log)", "axis": axis},
        },
        "layer": [
            {
                "data": {"values": line},
                "mark": {"type": "line", "color": GREY, "strokeWidth": 2, "aria": False},
                "encoding": {
                    "strokeDash": {
                        "field": "roof",
                        "type": "nominal",
                        "sort": None,
                        "title": None,
                        "legend": {"orient": "bottom", "columns": 1, "symbolStrokeColor": GREY},
                    }
                },
            },
            {
                "data": {"values": points},
                "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
                "encoding": {
                    "description": {"field": _SAYS},
                    "color": {
                        "field": name,
                        "type": "nominal",
                        "sort": None,
                        "title": None,
                        "scale": {"range": list(SERIES)},
                        "legend": {"orient": "bottom", "columns": 2},
                    },
                    "shape": {"field": name, "type": "nominal", "sort": None},
                },
            },
        ],
    }


def front(
    rows: Rows, fields: tuple[str, str, str], titles: tuple[str, str], is_front: str, best: str = "", width: int = 0
) -> dict:
    """Points on logarithmic axes, those where ``is_front`` joined by a line; as many of these named as have room.

    ``fields`` are those of the horizontal value, of the vertical one, and of the point's name; the point called
    ``best`` is named before all others. Less is better in both. ``width`` is `FRONT_WIDTH` unless it is given.
    """
    width = width or FRONT_WIDTH
    x, y, name = fields
    domains = {}
    for key in (x, y):
        values = [row[key] for row in rows]
        margin = max(max(values) / min(values), 1.2) ** 0.08
        domains[key] = [min(values) / margin, max(values) * margin]
    given = [{key: row[key] for key in (*fields, is_front)} for row in rows]
    for row in given:
        row[_SAYS] = f"{row[name]}: {row[y]:,}"
    foremost = sorted((row for row in given if row[is_front]), key=lambda row: (row[x], row[y]))
    behind = [row for row in given if not row[is_front]]

    def axis(key: str, title: str) -> dict:
        scale = {"type": "log", "domain": domains[key], "nice": False}
        looks = {"format": ".3~s", "values": _ticks(*domains[key], most=width // 90)}
        return {"field": key, "type": "quantitative", "scale": scale, "title": f"{title} (log)", "axis": looks}

    def points(values: list, colour: str, size: int, opacity: float) -> dict:
        mark = {"type": "point", "filled": True, "size": size, "color": colour, "opacity": opacity}
        return {"data": {"values": values}, "mark": mark, "encoding": {"description": {"field": _SAYS}}}

    def names(values: list, align: str, distance: int) -> dict:
        # Above the line, which goes from a point to its right.
        mark = {"type": "text", "align": align, "dx": distance, "dy": -_ABOVE, "baseline": "middle", "aria": False}
        return {"data": {"values": values}, "mark": mark, "encoding": {"text": {"field": name}}}

    right, left = _room_for_names(sorted(foremost, key=lambda row: row[name] != best), fields, domains, width)
    line = {"type": "line", "interpolate": "step-after", "color": BLUE, "aria": False}
    return {
        "usermeta": {"category": name, "value": None, "series": None, "logarithmic": None},
        "width": width,
        "height": FRONT_HEIGHT,
        "encoding": {"x": axis(x, titles[0]), "y": axis(y, titles[1])},
        "layer": [
            points(behind, GREY, 40, 0.6),
            {"data": {"values": foremost}, "mark": line},
            points(foremost, BLUE, 70, 1),
            names(right, "left", 7),
            names(left, "right", -7),
        ],
    }


def _ticks(low: float, high: float, most: int) -> list[float]:
    """Round numbers of a logarithmic axis, at most so many, but two at least: Vega's own have most of them unnamed."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    steps = [(1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)]
    steps += [tuple(part / 100 for part in range(100, 1000, step)) for step in (50, 20, 10, 5, 1)]
    for digits in steps:
        finer = sorted(round(digit * 10.0**decade, 6) for decade in decades for digit in digits)
        finer = [each for each in finer if low <= each <= high]
        if len(finer) > max(most, 2):
            return found if len(found) > 1 else [finer[0], finer[-1]]
        found = finer
    return found


def _room_for_names(
    rows: list, fields: tuple[str, str, str], domains: Mapping[str, list], width: int
) -> tuple[list, list]:
    """Of the points ``rows``, which have room for their names on their right, and which of the others on their left."""
    x, y, name = fields

    def place(row: Mapping, key: str, length: int) -> float:
        low, high = map(math.log, domains[key])
        return length * (math.log(row[key]) - low) / (high - low)

    taken: list[tuple[float, float, float]] = []  # left, right, middle
    sides: tuple[list, list] = ([], [])
    for row in rows:
        at, middle = place(row, x, width), FRONT_HEIGHT - place(row, y, FRONT_HEIGHT) - _ABOVE
        wide = _LETTER_WIDTH * len(str(row[name])) + 10
        for side, box in zip(sides, ((at, at + wide, middle), (at - wide, at, middle)), strict=True):
            is_free = all(
                box[1] < begin or box[0] > end or abs(middle - other) > _LINE_HEIGHT for begin, end, other in taken
            )
            if is_free and box[0] >= 0 and box[1] <= width and middle >= 0:
                taken.append(box)
                side.append(row)
                break
    return sides


def lines(rows: Rows, x: str, y: str, series: str, titles: tuple[str, str]) -> dict:
    """Lines over time, one a series."""
    return {
        "usermeta": {"category": None, "value": y, "series": series, "logarithmic": None},
        "data": {"values": list(rows)},
        "width": WIDTH,
        "height": 200,
        "mark": {"type": "line", "interpolate": "step-before"},
        "encoding": {
            "x": {"field": x, "type": "quantitative", "title": titles[0]},
            "y": {"field": y, "type": "quantitative", "title": titles[1], "axis": _COUNTS},
            "color": {
                "field": series,
                "type": "nominal",
                "sort": None,
                "title": None,
                "scale": {"range": list(SERIES)},
            },
            "strokeDash": {"field": series, "type": "nominal", "sort": None},
        },
    }


#: Lanes of a timeline, from above.
LANES = ("layer", "dispatch")
KINDS = {"layer": GREY, "vector": BLUE, "scalar": ORANGE, "instructions": BLUE}
_ON_BLUE = f"indexof({[kind for kind, colour in KINDS.items() if colour == BLUE]}, datum.kind) >= 0"


def timeline(lanes: Mapping[str, Rows], name: str, memory: Rows = ()) -> dict:
    """Bars from ``begin`` to ``end``, by their ``lane``, in the colour of their ``kind``; a picture for each axis.

    ``lanes`` are the bars by the title of the axis; ``name`` is the field of a bar's whole name, and those with room
    have a short one in ``name`` too. ``memory`` are spans of the first axis with the ``bytes`` that are in use then.
    """
    pictures = [_timeline(rows, unit, name) for unit, rows in lanes.items()]
    pictures += [_memory(memory, next(iter(lanes)))] if memory else []
    meta = {"category": name, "value": None, "series": None, "logarithmic": None}
    return {"usermeta": meta, "vconcat": pictures, "spacing": 14}


def _timeline(rows: Rows, unit: str, name: str) -> dict:
    kinds = dict.fromkeys(row["kind"] for row in rows)
    scale = {"domain": list(kinds), "range": [KINDS.get(kind, PURPLE) for kind in kinds]}
    says = [
        {**row, _SAYS: f"{row[name]}, from {row['begin']:,}, {row['share']:.1%}: {tidy(row['end'] - row['begin']):,}"}
        for row in rows
    ]
    end = max((row["end"] for row in rows), default=1)
    axis = {
        "field": "begin",
        "type": "quantitative",
        "title": f"{unit} of the inference",
        "axis": _COUNTS,
        "scale": {"domain": [0, end], "nice": False},
    }
    lane = {"field": "lane", "type": "nominal", "sort": list(LANES), "title": None}

    def edge(field: str) -> str:
        return f"scale('{unit}_x', datum.{field})"

    return {
        "name": unit,
        "data": {"values": says},
        "width": FRONT_WIDTH,
        "height": {"step": 34},
        "layer": [
            {
                "mark": {"type": "bar", "stroke": "white", "strokeWidth": 0.5, "height": 28},
                "encoding": {
                    "description": {"field": _SAYS},
                    "x": axis,
                    "x2": {"field": "end"},
                    "color": {"field": "kind", "type": "nominal", "sort": None, "title": None, "scale": scale},
                },
            },
            {
                "mark": {"type": "text", "aria": False, "limit": {"expr": f"{edge('end')} - {edge('begin')} - 6"}},
                "encoding": {
                    "x": {"field": "middle", "type": "quantitative"},
                    "text": {"field": "name"},
                    "color": {"condition": {"test": _ON_BLUE, "value": "white"}, "value": "black"},
                },
            },
        ],
        "encoding": {"y": lane},
    }


def _memory(rows: Rows, unit: str) -> dict:
    said = [{**row, _SAYS: f"from {row['begin']:,}: {row['bytes']:,} bytes for tensors"} for row in rows]
    scale = {"domain": [0, max(row["end"] for row in rows)], "nice": False}
    title = f"{unit} of the inference"
    return {
        "name": "memory",
        "data": {"values": said},
        "width": FRONT_WIDTH,
        "height": 70,
        "layer": [
            {
                "mark": {"type": "rect", "color": GREEN, "opacity": 0.7},
                "encoding": {
                    "description": {"field": _SAYS},
                    "x": {"field": "begin", "type": "quantitative", "title": title, "axis": _COUNTS, "scale": scale},
                    "x2": {"field": "end"},
                    "y": {"field": "bytes", "type": "quantitative", "title": "bytes for tensors", "axis": _COUNTS},
                    "y2": {"datum": 0},
                },
            }
        ],
        "encoding": {},
    }


def _data(rows: Rows, value: str, *names: str) -> dict:
    """The fields that a chart shows, and each mark's sentence: ``conv_1, vector: 4,240``."""
    values = []
    for row in rows:
        says = f"{', '.join(str(row[name]) for name in names)}: {row[value]:,}"
        values.append({**{key: row[key] for key in (*names, value)}, _SAYS: says})
    return {"values": values}


def height(specification: Mapping[str, Any]) -> int:
    """Pixels that the chart takes about, with its axes and its legend."""
    frame = 70
    if "vconcat" in specification:
        return sum(height(each) for each in specification["vconcat"])
    size = specification["height"]
    if not isinstance(size, Mapping):
        return size + frame
    field = specification.get("encoding", {}).get("y", {}).get("field")
    names = {row[field] for row in specification["data"]["values"]} if field else ()
    per = len(specification["data"]["values"]) if size.get("for") == "offset" else len(names)
    return size["step"] * per + frame


def with_config(specification: dict) -> dict:
    """The specification with the looks that all charts share."""
    return {**specification, "config": _CONFIG}


def render(specifications: Sequence[dict]) -> list[str]:
    """Return each specification's SVG. Many are shared among processes: this is most of a report's time."""
    texts = [json.dumps(visible_in(with_config(specification))) for specification in specifications]
    distinct = list(dict.fromkeys(texts))
    workers = min(os.cpu_count() or 1, 4)
    if len(distinct) < _CHARTS_FOR_A_POOL or workers == 1:
        drawn = [_svg(text) for text in distinct]
    else:
        with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _end_with_parent) as pool:
            drawn = list(pool.map(_svg, distinct, chunksize=8))
    known = dict(zip(distinct, drawn, strict=True))
    return [known[text] for text in texts]


def _end_with_parent() -> None:
    """A worker whose parent is killed would wait for ever for its next chart."""

    def wait() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _svg(specification: str) -> str:
    import vl_convert

    return vl_convert.vegalite_to_svg(specification, vl_version=VEGA_LITE, allowed_base_urls=[])
