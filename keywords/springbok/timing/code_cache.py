# SPDX-License-Identifier: Apache-2.0
"""A cache for code: what each block of an order waits for, as lines come and go."""

from __future__ import annotations

from collections.abc import Sequence

from springbok.timing.blocks import Block
from springbok.timing.description import CodeCache


class Fetching:
    """A cache that is empty at first. Of a set's lines the one that was used longest ago makes room."""

    def __init__(self, cache: CodeCache, found: Sequence[Block]) -> None:
        self._wait, self._ways = cache.wait, cache.ways
        self._sets: list[list[int]] = [[] for _ in range(cache.bytes // (cache.line_bytes * cache.ways))]
        size = cache.line_bytes
        self._lines = [range(block.start // size, (block.end - 1) // size + 1) for block in found]

    def fetch(self, number: int) -> int:
        """The cycles that a block waits for its code; ``number`` is its place in the list."""
        waited = 0
        for line in self._lines[number]:
            held = self._sets[line % len(self._sets)]
            if held and held[-1] == line:
                continue
            if line in held:
                held.remove(line)
            else:
                waited += self._wait
                if len(held) == self._ways:
                    del held[0]
            held.append(line)
        return waited
