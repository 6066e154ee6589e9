# SPDX-License-Identifier: Apache-2.0
"""Every figure of one configuration (a model, compiled one way, on one data set), in the order of a report.

A figure is a table, and mostly a chart of the table's own rows, so the two can't disagree. Everything is taken from
``metrics.json``; what a key that is missing or null would tell is shown as "unknown".
"""

from __future__ import annotations

from collections.abc import Mapping

from springbok.measuring.derived import CLASSIFICATION, task_of
from springbok.report.answers import own_task_figures, quality_figures
from springbok.report.code_quality import code_quality
from springbok.report.costs import classes, dispatches, distribution, opcodes, roofline, scalar_dispatches
from springbok.report.cycles import estimated_cycles
from springbok.report.figure import Figure
from springbok.report.memory import accesses, fit, memory, round_trips
from springbok.report.optimizer import optimizer_figures
from springbok.report.timeline import runtime_functions, timeline


def figures(model: Mapping, vlen: int | None = None) -> list[Figure]:
    """Every figure of a configuration, in the order of the report; ``vlen`` is the chip's, in bits."""
    return [
        dispatches(model),
        *estimated_cycles(model),
        timeline(model),
        *optimizer_figures(model),
        scalar_dispatches(model),
        code_quality(model),
        runtime_functions(model),
        classes(model),
        *opcodes(model),
        roofline(model, vlen),
        distribution(model),
        *(quality_figures(model) if task_of(model) == CLASSIFICATION else own_task_figures(model)),
        memory(model),
        *fit(model),
        accesses(model),
        round_trips(model),
    ]
