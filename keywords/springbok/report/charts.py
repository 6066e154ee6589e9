# SPDX-License-Identifier: Apache-2.0
"""Charts as inline SVG: Vega-Lite specifications, rendered by vl-convert without a browser or a network.

Text and axes take the colour of the page around them (``currentColor``), so one chart serves light and dark pages.
Marks have the colours of Okabe and Ito, which colour-blind people can tell apart. Each mark carries its numbers as
``aria-label``: for screen readers, and for tests.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PURPLE, YELLOW, GREY = "#56B4E9", "#CC79A7", "#F0E442", "#8C8C8C"
SERIES = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION, GREY)

WIDTH = 420
FRONT_WIDTH, FRONT_HEIGHT = 760, 380
_LETTER_WIDTH, _LINE_HEIGHT = 6.6, 15  # pixels, at most
COUNT = ",.2~f"

_VEGA_LITE = "6.4"
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
    "legend": {**_INK, "orient": "top", "labelFontSize": 11, "labelLimit": 0, "columns": 4},
    "text": {"color": "currentColor", "fontSize": 11},
}
# Below this, starting processes costs more than it saves.
_CHARTS_FOR_A_POOL = 40

# Longer names are cut on an axis; tables have them whole.
_SHORT = "length(datum.label) > 56 ? slice(datum.label, 0, 55) + '…' : datum.label"

# The field that holds what a mark says of itself.
_SAYS = "says"

Rows = Sequence[Mapping[str, Any]]


def bars(
    rows: Rows,
    category: str,
    value: str,
    titles: tuple[str, str],
    *,
    series: str | None = None,
    colours: Mapping[str, str] | None = None,
    grouped: bool = False,
) -> dict:
    """Horizontal bars, in the order of the rows, with their values beside them.

    ``series`` colours the bars and stacks them, or sets them side by side when ``grouped``; a stacked bar shows
    its sum. ``titles`` are the category's and the value's.
    """
    y = {"field": category, "type": "nominal", "sort": None, "title": titles[0], "axis": {"labelExpr": _SHORT}}
    x = {"field": value, "type": "quantitative", "title": titles[1], "axis": {"format": "~s"}}
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
        if grouped:
            offset = {"field": series, "type": "nominal", "sort": list(shades)}
            bar["encoding"]["yOffset"] = text["encoding"]["yOffset"] = offset
            height = {"step": 14, "for": "offset"}
        elif len({row[category] for row in rows}) < len(rows):  # stacked: one label, at the end of the bar
            text["transform"] = [{"aggregate": [{"op": "sum", "field": value, "as": value}], "groupby": [category]}]
    return {
        "data": _data(rows, value, category, *([series] if series else [])),
        "width": WIDTH,
        "height": height,
        "layer": [bar, text],
        "encoding": {"y": y, "x": x},
    }


def columns(rows: Rows, category: str, value: str, titles: tuple[str, str]) -> dict:
    """Upright bars, one a row in the order of the rows: a distribution."""
    return {
        "data": _data(rows, value, category),
        "width": {"step": 36} if len(rows) > 1 else 80,
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
            "y": {"field": value, "type": "quantitative", "title": titles[1], "axis": {"format": "~s"}},
        },
    }


def matrix(rows: Rows, row: str, column: str, value: str, titles: tuple[str, str]) -> dict:
    """A matrix of counts; the deeper the colour, the higher the count, and the count stands in its cell."""
    highest = max((entry[value] for entry in rows), default=0) or 1
    y = {"field": row, "type": "nominal", "sort": None, "title": titles[0], "axis": {"labelExpr": _SHORT}}
    x = {
        "field": column,
        "type": "nominal",
        "sort": None,
        "title": titles[1],
        "axis": {"labelAngle": -40, "orient": "top", "labelExpr": _SHORT},
    }
    opacity = {"field": value, "type": "quantitative", "scale": {"domain": [0, highest], "range": [0.06, 1]}}
    number = {
        "text": {"field": value, "type": "quantitative"},
        "color": {
            "condition": {"test": f"datum['{value}'] > {highest * 0.8}", "value": "white"},
            "value": "currentColor",
        },
    }
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


def roofline(rows: Rows, fields: tuple[str, str, str], titles: tuple[str, str], roof: tuple[float, float]) -> dict:
    """Points under a roof: its slope is bytes an instruction, its flat top operations an instruction.

    ``fields`` are those of operations a byte, of operations an instruction, and of the point's name.
    """
    x, y, name = fields
    slope, top = roof
    lowest = min([row[x] for row in rows] + [top / slope]) / 2
    highest = max([row[x] for row in rows] + [top / slope]) * 4
    line = [{x: lowest, y: slope * lowest}, {x: top / slope, y: top}, {x: highest, y: top}]
    axis_x = {
        "field": x,
        "type": "quantitative",
        "scale": {"type": "log"},
        "title": titles[0],
        "axis": {"format": "~g", "grid": False},
    }
    axis_y = {
        "field": y,
        "type": "quantitative",
        "scale": {"type": "log"},
        "title": titles[1],
        "axis": {"format": "~g", "grid": False},
    }
    return {
        "width": WIDTH,
        "height": 260,
        "encoding": {"x": axis_x, "y": axis_y},
        "layer": [
            {"data": {"values": line}, "mark": {"type": "line", "color": GREY, "strokeWidth": 2, "aria": False}},
            {
                "data": {"values": list(rows)},
                "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
                "encoding": {
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


def front(rows: Rows, fields: tuple[str, str, str], titles: tuple[str, str], is_front: str) -> dict:
    """Points on logarithmic axes, those where ``is_front`` joined by a line; as many of these named as have room.

    ``fields`` are those of the horizontal value, of the vertical one, and of the point's name. Less is better in both.
    """
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
        return {"field": key, "type": "quantitative", "scale": scale, "title": title, "axis": {"format": "~s"}}

    def points(values: list, colour: str, size: int, opacity: float) -> dict:
        mark = {"type": "point", "filled": True, "size": size, "color": colour, "opacity": opacity}
        return {"data": {"values": values}, "mark": mark, "encoding": {"description": {"field": _SAYS}}}

    def names(values: list, align: str, distance: int) -> dict:
        mark = {"type": "text", "align": align, "dx": distance, "baseline": "middle", "aria": False}
        return {"data": {"values": values}, "mark": mark, "encoding": {"text": {"field": name}}}

    right, left = _room_for_names(foremost, fields, domains)
    line = {"type": "line", "interpolate": "step-after", "color": BLUE, "opacity": 0.5, "aria": False}
    return {
        "width": FRONT_WIDTH,
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


def _room_for_names(rows: list, fields: tuple[str, str, str], domains: Mapping[str, list]) -> tuple[list, list]:
    """Of the points ``rows``, which have room for their names on their right, and which of the others on their left."""
    x, y, name = fields

    def place(row: Mapping, key: str, length: int) -> float:
        low, high = map(math.log, domains[key])
        return length * (math.log(row[key]) - low) / (high - low)

    taken: list[tuple[float, float, float]] = []  # left, right, middle
    sides: tuple[list, list] = ([], [])
    for row in rows:
        at, middle = place(row, x, FRONT_WIDTH), FRONT_HEIGHT - place(row, y, FRONT_HEIGHT)
        wide = _LETTER_WIDTH * len(str(row[name])) + 10
        for side, box in zip(sides, ((at, at + wide, middle), (at - wide, at, middle)), strict=True):
            is_free = all(
                box[1] < begin or box[0] > end or abs(middle - other) > _LINE_HEIGHT for begin, end, other in taken
            )
            if is_free and box[0] >= 0 and box[1] <= FRONT_WIDTH:
                taken.append(box)
                side.append(row)
                break
    return sides


def lines(rows: Rows, x: str, y: str, series: str, titles: tuple[str, str]) -> dict:
    """Lines over time, one a series."""
    return {
        "data": {"values": list(rows)},
        "width": WIDTH,
        "height": 200,
        "mark": {"type": "line", "interpolate": "step-before"},
        "encoding": {
            "x": {"field": x, "type": "quantitative", "title": titles[0]},
            "y": {"field": y, "type": "quantitative", "title": titles[1], "axis": {"format": "~s"}},
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


def _data(rows: Rows, value: str, *names: str) -> dict:
    """The fields that a chart shows, and each mark's sentence: ``conv_1, vector: 4,240``."""
    values = []
    for row in rows:
        says = f"{', '.join(str(row[name]) for name in names)}: {row[value]:,}"
        values.append({**{key: row[key] for key in (*names, value)}, _SAYS: says})
    return {"values": values}


def render(specifications: Sequence[dict]) -> list[str]:
    """Return each specification's SVG. Many are shared among processes: this is most of a report's time."""
    texts = [json.dumps({**specification, "config": _CONFIG}) for specification in specifications]
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

    return vl_convert.vegalite_to_svg(specification, vl_version=_VEGA_LITE, allowed_base_urls=[])
