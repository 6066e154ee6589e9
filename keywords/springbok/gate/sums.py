# SPDX-License-Identifier: Apache-2.0
"""Whether the numbers of a snapshot hang together: a baseline that was changed by hand at one place does not.

Its parts are held to what holds of those of a metrics document; here is what is a snapshot's own: the runtime is a part
too, so that all come to the whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from springbok.gate.snapshots import Snapshot, is_scalar
from springbok.measuring.consistency import of_part
from springbok.measuring.derived import CLASSIFICATION, RUNTIME, shown, stack_accesses, whole_register_moves

#: Means of dispatches and of the whole are rounded each by itself.
_ROUNDING = 1e-3
#: Metrics that the dispatches, the runtime among them, add up to; of these what the runtime alone came to.
_SUMS = ("instructions", "vector_instructions", "cycles", "estimated_cycles")
#: Of shares, which are stored with nine digits.
_SHARE_ROUNDING = 1e-6
#: No memory of a chip is larger: all lie below 4 GiB.
_MOST_BYTES = 1 << 32
_ACCURACIES = ("accuracy", "host_accuracy")


def contradiction(measured: Snapshot) -> str:
    """What can't be, such as ``its dispatches come to 12 instructions, the inference to 10``; empty where all agrees.

    Of what a snapshot lacks nothing is said: older ones have less.
    """
    return next(_contradictions(measured), "")


def _contradictions(measured: Snapshot) -> Iterator[str]:
    metrics, dispatches = measured["metrics"], measured["dispatches"]
    if RUNTIME not in dispatches:
        yield f"it has no '{RUNTIME}' among its dispatches"
        return
    for name, part in dispatches.items():
        for _, told in of_part(part, vlen=measured["subject"].get("vlen_bits")):
            yield f"'{name}': {told}"
    for name in _SUMS:
        whole, parts = metrics.get(name), [part.get(name) for part in dispatches.values()]
        if whole is None or None in parts:
            continue
        found = math.fsum(parts)
        if abs(found - whole) > _ROUNDING * (1 + len(parts)):
            title = name.replace("_", " ")
            yield f"its dispatches come to {shown(found, 'count')} {title}, the inference to {shown(whole, 'count')}"
    yield from _other_sums(metrics, dispatches)
    yield from _shares(measured)
    yield from _bytes(metrics)
    own, runtime = metrics.get("runtime_instructions"), dispatches[RUNTIME]["instructions"]
    if own is not None and abs(own - runtime) > _ROUNDING:
        yield f"'{RUNTIME}' has {shown(runtime, 'count')} instructions, its metric says {shown(own, 'count')}"


def _other_sums(metrics: Mapping[str, Any], dispatches: Mapping[str, Any]) -> Iterator[str]:
    """What follows from what the dispatches have: the runtime's own stack is none of a kernel's."""
    kernels = [part for name, part in dispatches.items() if name != RUNTIME]
    scalar = [is_scalar(part) if part.get("vector_instructions") is not None else None for part in kernels]
    for name, parts in (
        ("stack_accesses", [stack_accesses(part) for part in kernels]),
        ("whole_register_moves", [whole_register_moves(part) for part in dispatches.values()]),
        ("scalar_dispatches", scalar),
    ):
        told = metrics.get(name)
        if told is None or None in parts:
            continue
        found = math.fsum(parts)
        if abs(found - told) > _ROUNDING * (1 + len(parts)):
            yield f"{name} is {shown(told, 'count')}, but of its dispatches {shown(found, 'count')}"


def _shares(measured: Snapshot) -> Iterator[str]:
    """Accuracies are those of whole samples, the device's that of its mistakes; lanes are those of the dispatches."""
    metrics, samples = measured["metrics"], measured["metrics"].get("samples")
    right = {name: metrics[name] * samples for name in _ACCURACIES if samples and metrics.get(name) is not None}
    for name, count in right.items():
        if not 0 <= round(count) <= samples or abs(count - round(count)) > _SHARE_ROUNDING * samples:
            yield f"{name} is {shown(metrics[name], 'share')}, which no number of {samples} samples is"
            return
    if "accuracy" in right and measured["subject"].get("task", CLASSIFICATION) == CLASSIFICATION:
        wrong = samples - round(right["accuracy"])
        if wrong != len(measured["mistakes"]):
            told = shown(metrics["accuracy"], "share")
            yield f"accuracy is {told} of {samples} samples, but {len(measured['mistakes'])} are named as mistakes"
    yield from _lanes(measured)


def _lanes(measured: Snapshot) -> Iterator[str]:
    """What the runtime's vector instructions use of their lanes is not told, but how many there are at most."""
    told, vlen = measured["metrics"].get("lane_utilisation"), measured["subject"].get("vlen_bits")
    dispatches = measured["dispatches"]
    lanes = [part.get("lanes") for name, part in dispatches.items() if name != RUNTIME]
    runtime = dispatches[RUNTIME].get("vector_instructions")
    if told is None or not vlen or runtime is None or None in lanes:
        return
    active, available = (math.fsum(each[key] for each in lanes) for key in ("active", "available"))
    more = runtime * vlen
    if not available + more:
        return
    least, most = active / (available + more), (active + more) / (available + more)
    if not least - _SHARE_ROUNDING <= told <= most + _SHARE_ROUNDING:
        between = f"{shown(least, 'share')} to {shown(most, 'share')}"
        yield f"lane_utilisation is {shown(told, 'share')}, and by its dispatches it is {between}"


def _bytes(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Parts against their whole, and all against what a chip can have."""
    for name, value in metrics.items():
        if name.endswith("_bytes") and value is not None and not 0 <= value <= _MOST_BYTES:
            yield f"{name} is {shown(value, 'count')}, more than any memory has"
            return
    for whole, names, exactly in (
        ("module_bytes", ("kernel_text_bytes", "kernel_rodata_bytes"), False),
        ("firmware_bytes", ("firmware_text_bytes", "firmware_rodata_bytes", "firmware_data_bytes"), True),
    ):
        parts = [metrics.get(name) for name in names]
        told = metrics.get(whole)
        if told is None or None in parts:
            continue
        if sum(parts) > told or (exactly and sum(parts) != told):
            yield f"{whole} is {shown(told, 'count')}, and its parts come to {shown(sum(parts), 'count')}"
