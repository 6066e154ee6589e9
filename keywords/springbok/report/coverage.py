# SPDX-License-Identifier: Apache-2.0
"""What random programs have covered of a core, beside what models execute: they can't vouch for the rest."""

from __future__ import annotations

from collections.abc import Mapping

from springbok.report import charts
from springbok.report.figure import Column, Figure

BY_MODELS, BY_NONE, ALL = "executed by the models too", "by no model", "executed"
_COLOURS = {BY_MODELS: charts.BLUE, BY_NONE: charts.ORANGE, ALL: charts.BLUE}


def coverage_figures(covered: Mapping[str, Mapping[str, int]], models: Mapping[str, float] | None) -> list[Figure]:
    """Tables of what random programs executed, and of what models execute and they did not.

    ``covered`` is by opcode, as `springbok.rtl.coverage.Coverage.as_json` gives it; ``models`` counts the models'
    instructions by opcode, None where no models were given.
    """
    rows = [
        {
            "opcode": name,
            "executions": each["executions"],
            "pairs": each["operand_classes"],
            "of": each["of"],
            "models": None if models is None else models.get(name, 0),
            "who": ALL if models is None else BY_MODELS if models.get(name) else BY_NONE,
        }
        for name, each in sorted(covered.items(), key=lambda item: (-item[1]["operand_classes"], item[0]))
    ]
    titles = ("opcode", "pairs of operand classes")
    columns = [
        Column("opcode", "opcode"),
        Column("executions", "executions in random programs", "count"),
        Column("pairs", "pairs of operand classes", "count"),
        Column("of", "of", "count"),
    ]
    if models is not None:
        columns.append(Column("models", "instructions of the models", "count"))
    found = [
        Figure(
            "random programs",
            "Random programs, by opcode",
            tuple(columns),
            tuple(rows),
            charts.bars(rows, "opcode", "pairs", titles, series="who", colours=_COLOURS),
            note="Pairs of the classes that the two source operands had.",
        )
    ]
    if models is not None:
        never = tuple({"opcode": name, "models": models[name]} for name in sorted(set(models) - set(covered)))
        found.append(
            Figure(
                "models alone",
                "Executed by the models, and by no random program",
                (Column("opcode", "opcode"), Column("models", "instructions of the models", "count")),
                never,
                note="" if never else "Nothing: random programs have executed all that the models do.",
            )
        )
    return found
