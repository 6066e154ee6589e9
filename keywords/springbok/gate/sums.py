# SPDX-License-Identifier: Apache-2.0
"""Whether the numbers of a snapshot hang together: a baseline that was changed by hand at one place does not.

Its parts are held to what holds of those of a metrics document; here is what is a snapshot's own: the runtime is a part
too, so that all come to the whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from springbok.gate.snapshots import Snapshot
from springbok.measuring.consistency import of_part
from springbok.measuring.derived import RUNTIME, shown

#: Means of dispatches and of the whole are rounded each by itself.
_ROUNDING = 1e-3
#: Metrics that the dispatches, the runtime among them, add up to; of these what the runtime alone came to.
_SUMS = ("instructions", "vector_instructions", "cycles")


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
    own, runtime = metrics.get("runtime_instructions"), dispatches[RUNTIME]["instructions"]
    if own is not None and abs(own - runtime) > _ROUNDING:
        yield f"'{RUNTIME}' has {shown(runtime, 'count')} instructions, its metric says {shown(own, 'count')}"
