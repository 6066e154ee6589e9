# SPDX-License-Identifier: Apache-2.0
"""What accounts for a metric's value, or for its change since a baseline: lines for the gate's messages."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from springbok.gate.snapshots import Snapshot, is_scalar
from springbok.measuring.derived import (
    RUNTIME,
    dispatch_label,
    shown,
    stack_accesses,
    tidy,
    vector_share,
    whole_register_moves,
)

# How much of the explanation a message holds.
MOST_DISPATCHES, MOST_OPCODES, MOST_SAMPLES = 4, 4, 8
#: A difference below it is rounding.
ROUNDING = 1e-9


def by_instructions(measured: Snapshot, baseline: Snapshot | None) -> list[str]:
    """Dispatches by their instructions, with the opcodes that make most of them."""
    return _accounts(measured, baseline, "instructions", lambda part: part["instructions"])


def by_cycles(measured: Snapshot, baseline: Snapshot | None) -> list[str]:
    """Dispatches by their cycles, each with its cycles an instruction: what changed is seen there or in the core."""
    lines = []
    rows = [(name, new, old) for name, new, old in paired(measured, baseline) if new and new.get("cycles") is not None]

    def change(row: tuple) -> float:
        return row[1]["cycles"] - (row[2] or {}).get("cycles", 0) if baseline else row[1]["cycles"]

    for name, new, old in sorted(rows, key=lambda row: -abs(change(row)))[:MOST_DISPATCHES]:
        if not change((name, new, old)):
            continue
        before = f"{shown(old['cycles'], 'count')} -> " if old and old.get("cycles") is not None else ""
        rates = [f"{part['cycles'] / part['instructions']:.3f}" for part in (old, new) if part and _has_rate(part)]
        lines.append(
            f"{named(name, new)}: {before}{shown(new['cycles'], 'count')} cycles, {' -> '.join(rates)} an instruction"
        )
    return lines


def _has_rate(part: Mapping) -> bool:
    return bool(part.get("cycles") and part["instructions"])


def by_estimated_cycles(measured: Snapshot, baseline: Snapshot | None) -> list[str]:
    """Dispatches by their estimated cycles, with what these went to."""
    if baseline and "estimated_cycles" not in baseline["metrics"]:
        baseline = None
    rows = []
    for name, new, old in paired(measured, baseline):
        value, before = ((part or {}).get("estimated_cycles", 0) for part in (new, old))
        if change := tidy(value - before):
            rows.append((change, name, new or {}, old or {}))
    lines = []
    for change, name, new, old in sorted(rows, key=lambda row: -abs(row[0]))[:MOST_DISPATCHES]:
        value, before = (shown(part.get("estimated_cycles", 0), "count") for part in (new, old))
        told = f"{signed(change)} estimated cycles ({before} -> {value})" if baseline else f"{value} estimated cycles"
        went = opcode_change(new.get("where"), old.get("where")) if baseline else opcodes(new.get("where"))
        lines.append(f"{named(name, new or old)}: {told}{went}")
    return lines


def by_stack(measured: Snapshot, baseline: Snapshot | None) -> list[str]:
    """Dispatches by how often they load from their stack and store to it."""
    return _by_amount(measured, baseline, "loads and stores of its stack", stack_accesses)


def by_moves(measured: Snapshot, baseline: Snapshot | None) -> list[str]:
    """Dispatches by their moves of whole vector registers."""
    return _by_amount(measured, baseline, "moves of whole registers", whole_register_moves)


def by_vset(measured: Snapshot, baseline: Snapshot | None) -> list[str]:
    """Dispatches by their executions of vset*."""
    return _by_amount(measured, baseline, "vset*", _vsets, with_vectors=True)


def stack_of(part: Mapping) -> str:
    """How often a dispatch loads from its stack and stores to it."""
    loads, stores = (shown(part["stack"][kind], "count") for kind in ("loads", "stores"))
    return f"{loads} loads and {stores} stores of its stack in {_of_instructions(part)}"


def vset_of(part: Mapping) -> str:
    """A dispatch's executions of vset*, of each kind, and its vector instructions."""
    kinds = {name: count for name, count in part["opcodes"].items() if name.startswith("vset")}
    told = f"{shown(_vsets(part), 'count')} vset*{opcodes(kinds)}"
    return f"{told}; {_of_instructions(part, with_vectors=True)}"


def moves_of(part: Mapping) -> str:
    """A dispatch's moves of whole vector registers, of each kind."""
    kinds = {name: count for name, count in part["opcodes"].items() if whole_register_moves({"opcodes": {name: count}})}
    told = f"{shown(whole_register_moves(part), 'count')} moves of whole registers{opcodes(kinds)}"
    return f"{told}; {_of_instructions(part)}"


def cycles_went_to(part: Mapping) -> str:
    """What a dispatch's estimated cycles went to."""
    return f"{shown(part['estimated_cycles'], 'count')} estimated cycles{opcodes(part.get('where'))}"


def vectors_of(part: Mapping) -> str:
    """A dispatch's vector instructions, all, and its most frequent opcodes."""
    return f"{_of_instructions(part, with_vectors=True)}{opcodes(part['opcodes'])}"


def _of_instructions(part: Mapping, with_vectors: bool = False) -> str:
    vectors = part.get("vector_instructions") if with_vectors else None
    told = f"{shown(vectors, 'count')} vector instructions of " if vectors is not None else ""
    return f"{told}{shown(part['instructions'], 'count')} instructions"


def _vsets(part: Mapping) -> float | None:
    opcodes = part["opcodes"]
    return None if opcodes is None else math.fsum(count for name, count in opcodes.items() if name.startswith("vset"))


def _by_amount(
    measured: Snapshot,
    baseline: Snapshot | None,
    unit: str,
    amount: Callable[[Mapping], float | None],
    with_vectors: bool = False,
) -> list[str]:
    """The dispatches that hold most of an amount, or most of its change, with what of their instructions it is."""
    rows = []
    for name, new, old in paired(measured, baseline):
        value, before = ((amount(part) or 0) if part else 0 for part in (new, old))
        change = tidy(value - before) if baseline else value
        if change:
            rows.append((change, name, new or old, value, before))
    lines = []
    for change, name, part, value, before in sorted(rows, key=lambda row: -abs(row[0]))[:MOST_DISPATCHES]:
        counts = f"{shown(before, 'count')} -> {shown(value, 'count')}" if baseline else ""
        told = f"{signed(change)} {unit} ({counts})" if baseline else f"{shown(value, 'count')} {unit}"
        lines.append(f"{named(name, part)}: {told} in {_of_instructions(part, with_vectors)}")
    return lines


def by_runtime(measured: Snapshot, baseline: Snapshot | None) -> list[str]:
    """The runtime's instructions, with their opcodes."""
    return _accounts(
        measured, baseline, "instructions", lambda part: part["instructions"], lambda name: name == RUNTIME
    )


def by_lanes(measured: Snapshot, baseline: Snapshot | None) -> list[str]:
    """Dispatches by how much each pulls the utilisation below what it was (or below all lanes, without a baseline)."""
    known = baseline["metrics"]["lane_utilisation"] if baseline else None
    reference = 1.0 if known is None else known

    def shortfall(part: Mapping | None) -> float:
        lanes = part["lanes"] if part else None
        return reference * lanes["available"] - lanes["active"] if lanes else 0

    def used(part: Mapping | None) -> str:
        lanes = part["lanes"] if part else None
        return f"{shown(lanes['active'], 'count')} of {shown(lanes['available'], 'count')}" if lanes else "none"

    rows = sorted((shortfall(old) - shortfall(new), name, new, old) for name, new, old in paired(measured, baseline))
    return [
        f"{named(name, new or old)}: {f'{used(old)} -> ' if baseline else ''}{used(new)} lanes used"
        for change, name, new, old in rows[:MOST_DISPATCHES]
        if change < -ROUNDING
    ]


def _accounts(
    measured: Snapshot,
    baseline: Snapshot | None,
    unit: str,
    amount: Callable[[Mapping], float],
    chosen: Callable[[str], bool] = lambda name: True,
) -> list[str]:
    """The dispatches that hold most of a value, or most of its change, with their opcodes."""
    pairs = [
        (name, new, old) for name, new, old in paired(measured, baseline) if chosen(name) and (new or old) is not None
    ]
    rows = []
    for name, new, old in pairs:
        value = amount(new) if new else 0
        before = amount(old) if old else 0
        rows.append((tidy(value - before) if baseline else value, name, new, old, before, value))
    rows = sorted((row for row in rows if row[0]), key=lambda row: -abs(row[0]))
    lines = []
    for change, name, new, old, before, value in rows[:MOST_DISPATCHES]:
        where = named(name, new or old)
        if not baseline:
            lines.append(f"{where}: {shown(value, 'count')} {unit}{opcodes(new['opcodes'])}")
            continue
        kind = " (new)" if old is None else " (gone)" if new is None else ""
        counts = f"{shown(before, 'count')} -> {shown(value, 'count')}"
        difference = opcode_change((new or {}).get("opcodes"), (old or {}).get("opcodes"))
        lines.append(f"{where}{kind}: {signed(change)} {unit} ({counts}){difference}")
    rest = rows[MOST_DISPATCHES:]
    if rest:
        total = tidy(math.fsum(row[0] for row in rest))
        lines.append(f"{len(rest)} more: {signed(total) if baseline else shown(total, 'count')}")
    return lines


def paired(measured: Snapshot, baseline: Snapshot | None) -> list[tuple[str, Mapping | None, Mapping | None]]:
    """Dispatches of two snapshots: by name; where names changed, by what of them is the kernel's own, or by layer."""
    new, old = dict(measured["dispatches"]), dict(baseline["dispatches"]) if baseline else {}
    pairs = [(name, new.pop(name), old.pop(name)) for name in list(new) if name in old]
    for same in (
        lambda name, other: kernel(name) == kernel(other),
        lambda name, other: measured["dispatches"][name]["layer"] == baseline["dispatches"][other]["layer"],
    ):
        for name in list(new):
            found = next((other for other in old if same(name, other)), None)
            if found is not None:
                pairs.append((name, new.pop(name), old.pop(found)))
    return [*pairs, *((name, part, None) for name, part in new.items()), *((name, None, old[name]) for name in old)]


def kernel(name: str) -> str:
    """What of a dispatch's name is the kernel's own."""
    return re.sub(r"^.*?_dispatch_\d+_", "", name)


def named(name: str, part: Mapping) -> str:
    """What a dispatch is called wherever people read of it."""
    return dispatch_label({"name": name, "layer": part["layer"]})


def opcodes(opcodes: Mapping[str, float] | None) -> str:
    """The most frequent opcodes, as the end of a line."""
    most = sorted((opcodes or {}).items(), key=lambda item: (-item[1], item[0]))[:MOST_OPCODES]
    return ", of these " + ", ".join(f"{name} {shown(count, 'count')}" for name, count in most) if most else ""


def opcode_change(new: Mapping[str, float] | None, old: Mapping[str, float] | None) -> str:
    """The opcodes whose counts changed most, as the end of a line."""
    new, old = new or {}, old or {}
    changes = {name: tidy(new.get(name, 0) - old.get(name, 0)) for name in {*new, *old}}
    most = sorted((item for item in changes.items() if item[1]), key=lambda item: (-abs(item[1]), item[0]))
    text = ", ".join(f"{name} {signed(count)}" for name, count in most[:MOST_OPCODES])
    return f": {text}" if text else ""


def by_scalar_dispatches(measured: Snapshot, baseline: Snapshot | None) -> list[str]:
    """The dispatches that run scalar, or that do so since the baseline."""
    lines = []
    for name, new, old in paired(measured, baseline):
        if name == RUNTIME or new is None or not is_scalar(new) or (old is not None and is_scalar(old)):
            continue
        before = f"{shown(vector_share(old), 'share')} -> " if old else ""
        share = f"{before}{shown(vector_share(new), 'share')} of its instructions are vector work"
        change = opcode_change(new["opcodes"], old["opcodes"]) if old else opcodes(new["opcodes"])
        lines.append(f"{named(name, new)}: {share}{change}")
    return lines


def by_sizes(*parts: tuple[str, str]) -> Callable[[Snapshot, Snapshot | None], list[str]]:
    """Accounts for a size by metrics that are parts of it: ``(metric, what it is)``."""

    def explain(measured: Snapshot, baseline: Snapshot | None) -> list[str]:
        lines = []
        for name, what in parts:
            new = measured["metrics"].get(name)
            old = baseline["metrics"].get(name) if baseline else None
            if new is None or (baseline and new == old):
                continue
            change = f": {signed(new - old)}" if old is not None else ""
            was = f"{shown(old, 'count')} -> " if old is not None else ""
            lines.append(f"{what}{change} ({was}{shown(new, 'count')} bytes)")
        return lines

    return explain


def by_mistakes(measured: Snapshot, baseline: Snapshot | None) -> list[str]:
    """The samples that are answered wrongly, or otherwise than in the baseline."""
    known = baseline["mistakes"] if baseline else {}
    new = {number: text for number, text in measured["mistakes"].items() if known.get(number) != text}
    word = "now answered" if baseline else "answered"
    lines = [f"sample {number} is {word} {text}" for number, text in list(new.items())[:MOST_SAMPLES]]
    return lines + ([f"{len(new) - MOST_SAMPLES} more"] if len(new) > MOST_SAMPLES else [])


def by_nothing(measured: Snapshot, baseline: Snapshot | None) -> list[str]:
    """Nothing accounts for it but itself."""
    del measured, baseline
    return []


def signed(number: float) -> str:
    """A count with its sign, as a change is told."""
    return ("+" if number > 0 else "-" if number < 0 else "") + shown(abs(number), "count")
