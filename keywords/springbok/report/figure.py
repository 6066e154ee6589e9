# SPDX-License-Identifier: Apache-2.0
"""What a report is made of: tables with charts, cards, and boxes of a scenario's picture."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from springbok.measuring.derived import UNKNOWN, shown
from springbok.report import charts

_LONGEST_NAME = 60  # letters
#: In place of a number where it is known that there is none, which is not unknown; and where none is asked for.
NO_RATIO, NOT_ASKED = "none", "-"


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
        value = row[self.key]
        return self.none if value is None else value if value in (NO_RATIO, NOT_ASKED) else shown(value, self.form)


@dataclass(frozen=True)
class Figure:
    """A titled table, with a chart of its rows where ``chart`` holds a specification; ``note`` says what to know.

    ``marks`` is the key of what the chart's marks call the rows by, so that a page can show and hide them together.
    ``heads`` is the key of what rows are called where they are lists, if not by their first column.
    ``is_wide`` figures take a page's whole width. ``narrow`` is the chart for pages that have no room for it.
    """

    key: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[Mapping[str, Any], ...]
    chart: dict | None = None
    note: str = ""
    marks: str = ""
    is_wide: bool = False
    narrow: dict | None = None
    heads: str = ""

    @property
    def height(self) -> int:
        """Pixels that the chart takes about, so that a page has the room before it is drawn."""
        return charts.height(self.chart) if self.chart else 0


@dataclass(frozen=True)
class Card:
    """One number worth a first look. ``change`` is since earlier results; ``verdict`` better, worse, same, or more and
    fewer where the change is not judged.
    """

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
    """``gestures (vector)``; of a name that no page has room for, what :func:`in_short` leaves of it."""
    return f"{in_short(model['name'])} ({model['variant']})"


def in_short(name: str) -> str:
    """A name as pages have room for it: of a long one beginning and end, and between them what tells it from others.

    >>> len(in_short("conv" * 1000))
    60
    """
    if len(name) <= _LONGEST_NAME:
        return name
    digest, end = hashlib.sha256(name.encode()).hexdigest()[:6], _LONGEST_NAME // 3
    return f"{name[: _LONGEST_NAME - end - len(digest) - 2]}…{digest}…{name[-end:]}"
