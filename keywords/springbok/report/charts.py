# SPDX-License-Identifier: Apache-2.0
"""Charts as inline SVG: Vega-Lite specifications, rendered by vl-convert without a browser or a network.

Text and axes take the colour of the page around them (``currentColor``), so one chart serves light and dark pages.
Marks have the colours of Okabe and Ito, which colour-blind people can tell apart. Each mark carries its numbers as
``aria-label``: for screen readers, and for tests.
"""

from __future__ import annotations

import json
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
