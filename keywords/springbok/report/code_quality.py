# SPDX-License-Identifier: Apache-2.0
"""What the compiler's code spends beside the work, by dispatch."""

from __future__ import annotations

from collections.abc import Mapping

from springbok.measuring.derived import (
    dispatch_label,
    ratio,
    shown,
    stack_accesses,
    vset_per_vector,
    whole_register_moves,
)
from springbok.report.figure import Column, Figure


def code_quality(model: Mapping) -> Figure:
    """What the compiler's code spends beside the work: registers that are spilled, moved and configured."""
    rows = [
        {
            "dispatch": dispatch_label(entry),
            "instructions": entry["instructions"],
            "stack_loads": (entry.get("stack") or {}).get("loads"),
            "stack_stores": (entry.get("stack") or {}).get("stores"),
            "stack_share": ratio(stack_accesses(entry), entry["instructions"]),
            "vset_per_vector": vset_per_vector(entry),
            "moves": whole_register_moves(entry),
        }
        for entry in sorted(model["dispatches"], key=lambda entry: -(stack_accesses(entry) or 0))
    ]
    known = any(row["stack_loads"] is not None for row in rows)
    total = f"{shown(stack_accesses(model), 'count')} of the stack in all. " if known else ""
    return Figure(
        "code_quality",
        "Code quality by dispatch",
        (
            Column("dispatch", "dispatch (number, layer: kernel)"),
            Column("instructions", "instructions an inference", "count"),
            Column("stack_loads", "loads of the stack", "count"),
            Column("stack_stores", "stores to the stack", "count"),
            Column("stack_share", "share of the instructions", "share"),
            Column("vset_per_vector", "vset* a vector instruction", "ratio"),
            Column("moves", "moves of whole registers", "count"),
        ),
        tuple(rows),
        None,
        f"Loads and stores: {total}They are registers that are saved and spilled, and buffers on the stack."
        if known
        else "The engine does not tell which loads and stores are of the stack.",
        is_wide=True,
    )
