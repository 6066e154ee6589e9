# SPDX-License-Identifier: Apache-2.0
"""Which configuration of a run is held against which of another, and what became of each of them: in any number.

It is the same configuration of the other run: the same model, variant, data set, level of the optimizer, engine, chip
and VLEN. Where there is none, it is the one that differs in as little as any and that both runs have once, so that
nobody could mean another one (a scalar build and a vector build, two VLENs), whichever run comes first; what has none
has no counterpart.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from operator import itemgetter
from typing import Any

from springbok.gate.metric import METRICS
from springbok.gate.snapshots import snapshot
from springbok.measuring.derived import QUALITY, ratio, shown, tidy
from springbok.measuring.platforms import configuration_of
from springbok.report.changes import (
    FASTER,
    SAME,
    SLOWER,
    are_of_same_samples,
    changes_figure,
    layer_changes,
    unjudged,
)
from springbok.report.configurations import Configuration
from springbok.report.figure import Column, Figure
from springbok.support.progress import amount

#: What is told by layer: more make a page that nobody reads to its end.
MOST_BY_LAYER = 10
#: As many other numbers are told of a pair, these before all others.
MOST_NUMBERS = 5
_FIRST = (*QUALITY, "cycles", "estimated_cycles", "memory_peak_bytes", "module_bytes")


@dataclass(frozen=True)
class Pair:
    """A configuration and its counterpart in an earlier run; ``moved`` is the share by which its ``layers`` changed.

    ``others`` are the numbers beside the instructions of inference and layers that changed, as people read them.
    """

    before: Configuration
    after: Configuration
    moved: float
    layers: int
    others: tuple[str, ...]

    @property
    def counts(self) -> tuple[float, float]:
        """Instructions of an inference, before and after."""
        before, after = (each.model["instructions"]["mean"] for each in (self.before, self.after))
        return before, after

    @property
    def rank(self) -> tuple[float, float, int]:
        """What changed most comes first."""
        before, after = self.counts
        return -abs(after - before) / max(before, 1), -self.moved, -len(self.others)


def pairs_of(found: Sequence[Configuration]) -> list[Pair]:
    """What of these configurations is compared, what changed most first.

    Each is held against what differs least in any earlier run, the very same first; of equals the first run's.
    """
    by_run: dict[int, list[Configuration]] = {}
    for each in found:
        by_run.setdefault(id(each.run), []).append(each)
    indexes = [_by_parts(group) for group in by_run.values()]
    pairs = []
    for number, group in enumerate(by_run.values()):
        held = [_counterparts(earlier, indexes[number]) for earlier in indexes[:number]]
        for each in group:
            candidates = [mates[each.label] for mates in held if each.label in mates]
            if candidates:
                pairs.append(_pair(min(candidates, key=itemgetter(0))[1], each))
    return sorted(pairs, key=lambda pair: pair.rank)


#: By how many parts of a key are left open: what a run has once by the others, each with its place in the key.
_ByParts = list[dict[tuple, Configuration]]


def _by_parts(group: Sequence[Configuration]) -> _ByParts:
    keys = [tuple(enumerate(configuration_of(each.run.document, each.model))) for each in group]
    found: _ByParts = []
    for open_ in range(len(keys[0])):  # the model is always the same
        parts = [
            ((key[0], *rest), each)
            for key, each in zip(keys, group, strict=True)
            for rest in combinations(key[1:], len(key) - 1 - open_)
        ]
        counts = Counter(part for part, _ in parts)
        found.append({part: each for part, each in parts if counts[part] == 1})
    return found


def _counterparts(earlier: _ByParts, later: _ByParts) -> dict[str, tuple[int, Configuration]]:
    """By labels of the later run, in how much its counterpart differs, and which it is: each nearest to the other."""
    nearest: dict[str, tuple[int, dict[str, Configuration]]] = {}
    for open_, (ours, theirs) in enumerate(zip(earlier, later, strict=True)):
        for part in ours.keys() & theirs.keys():
            for one, other in ((ours[part], theirs[part]), (theirs[part], ours[part])):
                least, others = nearest.setdefault(one.label, (open_, {}))
                if least == open_:
                    others[other.label] = other
    alone = {label: (open_, *others.values()) for label, (open_, others) in nearest.items() if len(others) == 1}
    return {
        label: (open_, other)
        for label, (open_, other) in alone.items()
        if other.label in alone and alone[other.label][1].label == label
    }


def _pair(before: Configuration, after: Configuration) -> Pair:
    changes = [row["change"] for row in layer_changes(before.model, after.model) if row["change"]]
    moved = math.fsum(map(abs, changes)) / max(before.model["instructions"]["mean"], 1)
    return Pair(before, after, moved, len(changes), tuple(_other_numbers(before, after)))


def _other_numbers(before: Configuration, after: Configuration) -> list[str]:
    """What is not equal of all that the gate judges or a report shows: ``accuracy 100.00 % → 10.00 %``."""
    old, new = (snapshot({**each.run.document, "models": [each.model]}) for each in (before, after))
    names = dict.fromkeys((*_FIRST, *METRICS, *old["metrics"], *new["metrics"]))
    values = {name: (old["metrics"].get(name), new["metrics"].get(name)) for name in names if name != "instructions"}
    found = [_number(name, pair) for name, pair in values.items() if pair[0] != pair[1]]
    if (timing := new["made_with"].get("timing")) != old["made_with"].get("timing"):
        found.append(f"cycles estimated by {'another description' if timing else 'none'}")
    if before.model.get("fit") != after.model.get("fit"):
        found.append("what the chip's memories hold")
    parts = [{title: read(each.model) for title, read in _PARTS.items()} for each in (before, after)]
    return found or [title for title in _PARTS if parts[0][title] != parts[1][title]]


#: What is told of an entry beside the numbers of the whole inference: by people's words, and how it is read.
_PARTS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "opcodes": lambda model: [model["opcodes"], model["opcode_classes"]],
    "what dispatches execute": lambda model: [_without(each, "name", "layer") for each in model["dispatches"]],
    "instructions by sample": lambda model: [model["instructions"], model["per_sample"].get("instructions")],
    "answers by sample": lambda model: [model["confusion"], _without(model["per_sample"], "instructions")],
    "the runtime's functions": lambda model: model.get("runtime_functions"),
    "the timeline": lambda model: model.get("timeline"),
    "the device's own counts": lambda model: [model["device_instructions"], model["outside_kernels"]],
}


def _without(part: Mapping[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in part.items() if name not in names}


def _number(name: str, pair: tuple[Any, Any]) -> str:
    if metric := METRICS.get(name):
        title, texts = metric.title, metric.shown_apart(*pair)
    else:
        form = "share" if name == "host_accuracy" else "count"
        title, texts = name.replace("_", " "), [shown(value, form) for value in pair]
    return f"{title} {' → '.join(texts)}"


def change_figures(found: Sequence[Configuration]) -> list[Figure]:
    """What changed from run to run: by configuration, and by layer for those that changed most."""
    changed = [pair for pair in pairs_of(found) if pair.moved]
    by_layer = [
        changes_figure((each.before.label, each.after.label), each.before.model, each.after.model)
        for each in changed[:MOST_BY_LAYER]
    ]
    table = counterparts_table(found)
    is_told = len(table.rows) == len(by_layer) == 1 and not changed[0].others
    return by_layer if is_told else [table, *by_layer]


def counterparts_table(found: Sequence[Configuration]) -> Figure:
    """A row for each pair, what changed most first, and for each configuration without a counterpart."""
    pairs = pairs_of(found)
    paired = {each.label for pair in pairs for each in (pair.before, pair.after)}
    alone = [each for each in found if each.label not in paired]
    rows = [_row(pair) for pair in pairs]
    rows += [_row_alone(each, is_first=each.run is found[0].run) for each in alone]
    changed = sum(pair.moved > 0 or bool(pair.others) for pair in pairs)
    sentences = [f"{changed} of {amount(len(pairs), 'pair')} changed."]
    if sum(pair.moved > 0 for pair in pairs) > MOST_BY_LAYER:
        sentences.append(f"By layer the {MOST_BY_LAYER} that changed most are shown; the others are in this table.")
    if alone:
        sentences.append(f"{amount(len(alone), 'configuration')} without a counterpart in another run.")
    return Figure(
        "counterparts",
        "What changed, by configuration",
        (
            Column("configuration", "configuration"),
            Column("against", "held against", none="none"),
            Column("status", "what became of it"),
            Column("before", "instructions before", "count", none="none"),
            Column("after", "instructions after", "count", none="none"),
            Column("change", "change", "count", none="none"),
            Column("ratio", "ratio", "ratio", none="none"),
            Column("layers", "layers that changed", "count", none="none"),
            Column("others", "other numbers that changed", none="none"),
        ),
        tuple(rows),
        note=" ".join(sentences),
        is_wide=True,
    )


def _row(pair: Pair) -> dict:
    before, after = pair.counts
    status = SLOWER if after > before else FASTER if after < before else SAME
    if status == SAME and (pair.moved or pair.others):
        status = "other layers" if pair.moved else "other numbers"
    if not are_of_same_samples(pair.before.model, pair.after.model):
        status = f"{unjudged(status)}, over other samples"
    more = len(pair.others) - MOST_NUMBERS
    return {
        "configuration": pair.after.label,
        "against": pair.before.label,
        "status": status,
        "before": before,
        "after": after,
        "change": tidy(after - before),
        "ratio": ratio(after, before),
        "layers": pair.layers,
        "others": "; ".join((*pair.others[:MOST_NUMBERS], *([f"and {more} more"] if more > 0 else ()))) or None,
    }


def _row_alone(configuration: Configuration, is_first: bool) -> dict:
    """``is_first``: it is of the run that the others are held against."""
    known = {"before" if is_first else "after": configuration.model["instructions"]["mean"]}
    status = f"only in {configuration.run.label}"
    keys = ("against", "before", "after", "change", "ratio", "layers", "others")
    return {"configuration": configuration.label, "status": status, **dict.fromkeys(keys), **known}
