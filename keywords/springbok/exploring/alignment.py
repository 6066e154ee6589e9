# SPDX-License-Identifier: Apache-2.0
"""Which of two sequences' elements stand side by side, in one order."""

from __future__ import annotations

from collections.abc import Callable

Gain = tuple[int, int, int]  # what decides comes first


def side_by_side(one: range, other: range, gain: Callable[[int, int], Gain | None]) -> list[tuple[int, int]]:
    """Places of ``one`` and ``other`` in one order, so that what they gain together is the most there is.

    ``gain`` says what two places gain as a pair, None if they can be none.

    >>> texts = "abc", "xbc"
    >>> side_by_side(range(3), range(3), lambda a, b: (1, 0, 0) if texts[0][a] == texts[1][b] else None)
    [(1, 1), (2, 2)]
    """
    nothing = (0, 0, 0)
    best: dict[tuple[int, int], Gain] = {}
    taken: set[tuple[int, int]] = set()
    for a in reversed(one):
        for b in reversed(other):
            best[a, b] = max(best.get((a + 1, b), nothing), best.get((a, b + 1), nothing))
            if (gained := gain(a, b)) is not None:
                first, second, third = best.get((a + 1, b + 1), nothing)
                way = first + gained[0], second + gained[1], third + gained[2]
                if way >= best[a, b]:
                    best[a, b] = way
                    taken.add((a, b))
    found, a, b = [], one.start, other.start
    while a < one.stop and b < other.stop:
        if (a, b) in taken:
            found.append((a, b))
            a, b = a + 1, b + 1
        elif best.get((a + 1, b), nothing) >= best.get((a, b + 1), nothing):
            a += 1
        else:
            b += 1
    return found
