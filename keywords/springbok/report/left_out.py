# SPDX-License-Identifier: Apache-2.0
"""What a run has measured and does not hold any more, since a later suite measured something else of the same name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from springbok.measuring.recorded import ADVICE, configuration_text
from springbok.report.figure import Column, Figure

_COLUMNS = (
    Column("configuration", "configuration"),
    Column("suite", "left out are the numbers of"),
    Column("instructions", "its instructions an inference", "count"),
    Column("by", "those that are shown are of"),
    Column("differing", "in which it differs"),
)


def left_out_figures(document: Mapping[str, Any], of: str = "this report") -> list[Figure]:
    """A table of a document's ``replaced`` entries, before all other figures; nothing where there are none.

    ``of`` is what they are left out of.
    """
    rows = [
        {**each, "configuration": configuration_text(each), "differing": "; ".join(each["differing"])}
        for each in document.get("replaced", ())
    ]
    note = f"These measured something else under the same name, and the last one is shown. {ADVICE}."
    return [Figure("left_out", f"Left out of {of}", _COLUMNS, tuple(rows), note=note, is_wide=True)] if rows else []
