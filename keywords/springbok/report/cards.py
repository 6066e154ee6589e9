# SPDX-License-Identifier: Apache-2.0
"""The numbers of a configuration that are worth a first look, with what changed since earlier results."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from springbok.measuring.derived import (
    QUALITY,
    cycles_of,
    estimated_cycles_of,
    lane_utilisation,
    mean_of,
    quality_of,
    runtime_instructions,
    shown,
    vector_share,
)
from springbok.measuring.platforms import platform_of
from springbok.report.figure import Card


def cards(document: Mapping, model: Mapping, earlier: Mapping | None = None, judged: bool = True) -> list[Card]:
    """The result cards of a configuration; ``earlier`` is the same configuration in earlier results.

    Changes that are not ``judged`` are told as more or fewer.
    """
    firmware = platform_of(document, model).get("firmware")
    code = sum(firmware[f"{part}_bytes"] for part in ("text", "rodata", "data")) if firmware else None
    share, lanes = vector_share(model), lane_utilisation(model)
    vectors = shown(mean_of(model["vector_instructions"]), "count")

    def change(read, better: str, points: bool = False) -> tuple[str, str]:
        old = read(earlier) if earlier else None
        return _change(read(model), old, better if judged else "", points)

    return [
        *quality_cards(model, earlier, judged),
        Card(
            "Instructions an inference",
            shown(model["instructions"]["mean"], "count"),
            f"{shown(runtime_instructions(model), 'count')} in the runtime",
            *change(lambda m: m["instructions"]["mean"], "lower"),
        ),
        *_cycles_card(model, change),
        *_estimate_card(model, earlier, change),
        Card("Vector share", shown(share, "share"), f"{vectors} instructions", *change(vector_share, "higher", True)),
        Card(
            "Lane utilisation",
            shown(lanes, "share"),
            _lanes_note(model, lanes),
            *change(lane_utilisation, "higher", True),
        ),
        Card(
            "Memory peak",
            shown(model["memory_peak_bytes"], "count"),
            f"bytes; stack {shown(model['stack_peak_bytes'], 'count')}",
            *change(lambda m: m["memory_peak_bytes"], "lower"),
        ),
        Card(
            "Module",
            shown(model["vmfb_bytes"], "count"),
            f"bytes; firmware {shown(code, 'count')}",
            *change(lambda m: m["vmfb_bytes"], "lower"),
        ),
        Card("Largest error", shown(model["max_abs_error"], "error"), "of an output, against the host"),
    ]


def quality_cards(model: Mapping, baseline: Mapping | None, judged: bool = True) -> list[Card]:
    """A card for each figure of the task, with what the host reaches."""
    cards = []
    for name, value in quality_of(model).items():
        title, form, better = QUALITY[name]
        old = quality_of(baseline).get(name) if baseline else None
        change = _change(value, old, better if judged else "", form == "share")
        host = f"host {shown(quality_of(model, 'host')[name], form)}, {model['samples']} samples"
        cards.append(Card(title[0].upper() + title[1:], shown(value, form), host, *change))
    return cards


def _cycles_card(model: Mapping, change: Callable) -> list[Card]:
    """What the core's RTL took, where it was there."""
    cycles = cycles_of(model)
    if cycles is None:
        return []
    rate = f"{cycles / model['instructions']['mean']:.3f} an instruction"
    return [Card("Cycles an inference", shown(cycles, "count"), rate, *change(cycles_of, "lower"))]


def _estimate_card(model: Mapping, earlier: Mapping | None, change: Callable) -> list[Card]:
    """What a description of the pipeline comes to; its change only since an estimate by the same one."""
    cycles = estimated_cycles_of(model)
    if cycles is None:
        return []
    timing = model["estimate"]["timing"]
    before = ((earlier or {}).get("estimate") or {}).get("timing") or {}
    changed = change(estimated_cycles_of, "lower") if before.get("sha256") == timing["sha256"] else ("", "")
    note = f"by {timing['name']}: {timing['standing']}"
    return [Card("Estimated cycles an inference", shown(cycles, "count"), note, *changed)]


def _lanes_note(model: Mapping, lanes: float | None) -> str:
    if lanes is not None:
        return "active lanes over lanes there"
    return "no vectors were used" if mean_of(model["vector_instructions"]) == 0 else "the engine does not tell vl"


def _change(new: float | None, old: float | None, better: str, points: bool) -> tuple[str, str]:
    """The change as text and its verdict. Shares change by points: 3 % of 50 % would be read as 53 %.

    Where neither ``higher`` nor ``lower`` is ``better``, the verdict is that it is more or fewer.
    """
    if new is None or old is None:
        return "", ""
    if new == old:
        return "unchanged", "same"
    if better:
        verdict = "better" if (new > old) == (better == "higher") else "worse"
    else:
        verdict = "more" if new > old else "fewer"
    if points or not old:
        return f"{(new - old) * 100:+.2f} points ({verdict})", verdict
    return f"{(new / old - 1) * 100:+.2f} % ({verdict})", verdict
