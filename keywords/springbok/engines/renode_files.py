# SPDX-License-Identifier: Apache-2.0
"""Reads what Renode writes beside the counts at the marks: its execution metrics, and its own opcode counters.

Source of the metrics' form: Renode's ``tools/metrics_analyzer``. A file is a header (names of the cores, names and
address ranges of the peripherals) and entries: ``i64`` wall clock, ``f64`` virtual time in milliseconds, ``u8`` kind,
and what the kind has.
"""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from dataclasses import dataclass

from springbok.engines.base import Counts
from springbok.support.errors import EngineError

_ENTRY = struct.Struct("<qdB")
_INSTRUCTIONS, _MEMORY, _PERIPHERAL, _EXCEPTION = range(4)
_SIZES = {_INSTRUCTIONS: 12, _MEMORY: 1, _PERIPHERAL: 9, _EXCEPTION: 8}
_IO_READ, _IO_WRITE, _READ, _WRITE = range(4)

# What Renode's patterns call otherwise than the specification does.
_OWN_NAMES = {"fmv.x.s": "fmv.x.w", "fmv.s.x": "fmv.w.x"}


def accesses_over_time(content: bytes, slices: int = 50) -> dict:
    """Return ``accesses_over_time`` of docs/metrics.md: reads and writes in equal slices of virtual time.

    Raises EngineError for content that is no such file or holds no accesses.
    """
    try:
        peripherals, place = _header(content)
        accesses = list(_accesses(content, place, peripherals))
    except (struct.error, UnicodeDecodeError, KeyError) as error:
        raise EngineError(f"Renode's execution metrics can't be read: {error}.") from error
    if not accesses:
        raise EngineError("Renode's execution metrics hold no accesses: was an inference run while they were on?")
    first, last = accesses[0][0], accesses[-1][0]
    length = max(last - first, 1e-3) / slices
    counts: dict[str, list[int]] = defaultdict(lambda: [0] * slices)
    for milliseconds, name in accesses:
        counts[name][min(slices - 1, int((milliseconds - first) / length))] += 1
    seconds = [round((number + 1) * length / 1000, 9) for number in range(slices)]
    return {"seconds": seconds, "accesses": dict(sorted(counts.items()))}


def _header(content: bytes) -> tuple[list[tuple[str, int, int]], int]:
    place = 0

    def take(form: str):
        nonlocal place
        values = struct.unpack_from("<" + form, content, place)
        place += struct.calcsize("<" + form)
        return values

    (cores,) = take("i")
    for _ in range(cores):
        _, length = take("ii")
        take(f"{length}s")
    peripherals = []
    (count,) = take("i")
    for _ in range(count):
        (length,) = take("i")
        (name,) = take(f"{length}s")
        start, end = take("QQ")
        peripherals.append((name.decode(), start, end))
    return peripherals, place


def _accesses(content: bytes, place: int, peripherals: list[tuple[str, int, int]]):
    names: dict[int, str] = {}
    while place < len(content):
        _, milliseconds, kind = _ENTRY.unpack_from(content, place)
        place += _ENTRY.size
        if kind == _MEMORY:
            operation = content[place]
            if operation in (_READ, _WRITE):
                yield milliseconds, "memory reads" if operation == _READ else "memory writes"
        elif kind == _PERIPHERAL:
            operation, address = struct.unpack_from("<BQ", content, place)
            if address not in names:
                names[address] = next((name for name, start, end in peripherals if start <= address <= end), "unknown")
            if operation in (_IO_READ, _IO_WRITE):
                yield milliseconds, f"{names[address]} {'reads' if operation == _IO_READ else 'writes'}"
        place += _SIZES[kind]


@dataclass(frozen=True)
class CounterComparison:
    """Counts by blocks beside Renode's own opcode counters, of the same inferences.

    ``without_pattern`` are opcodes that Renode's counters don't know; ``different`` are those that both count, with
    both counts.
    """

    instructions: int
    by_blocks: int
    by_counters: int
    without_pattern: dict[str, int]
    different: dict[str, tuple[int, int]]

    def problems(self) -> list[str]:
        """A sentence for each disagreement; empty where only patterns are missing."""
        problems = []
        if self.by_blocks != self.instructions:
            problems.append(
                f"The core executed {self.instructions:,} instructions, the blocks hold {self.by_blocks:,}."
            )
        for name, (blocks, counter) in self.different.items():
            problems.append(f"{name}: {blocks:,} by blocks, {counter:,} by Renode's counter.")
        rest = self.instructions - self.by_counters - sum(self.without_pattern.values())
        if rest and not problems:
            problems.append(f"{rest:,} instructions are in none of Renode's counters, and no opcode explains them.")
        return problems

    def text(self) -> str:
        """Lines for a log."""
        missing = ", ".join(f"{name} {count:,}" for name, count in self.without_pattern.items()) or "none"
        return (
            f"{self.instructions:,} instructions by the core's counter, {self.by_blocks:,} by blocks, "
            f"{self.by_counters:,} by Renode's opcode counters.\nOpcodes without a pattern: {missing}"
        )


def compare_counters(counts: Counts, own: dict[str, int]) -> CounterComparison:
    """Compare what was counted by blocks with Renode's own opcode counters."""
    counters: Counter[str] = Counter()
    for name, count in own.items():
        counters[_common_name(name)] += count
    opcodes: Counter[str] = Counter()
    for name, count in counts.opcodes.items():
        opcodes[_common_name(name)] += count
    return CounterComparison(
        sum(inference.instructions for inference in counts.inferences) + counts.unattributed_instructions,
        sum(opcodes.values()),
        sum(counters.values()),
        {name: count for name, count in sorted(opcodes.items()) if name not in counters},
        {name: (opcodes[name], count) for name, count in sorted(counters.items()) if opcodes[name] != count},
    )


def _common_name(name: str) -> str:
    """One spelling for both: ``vle32_v`` and ``vle32.v``, ``VADD.VV`` and ``vadd.vv``."""
    spelt = name.lower().replace("_", ".")
    return _OWN_NAMES.get(spelt, spelt)
