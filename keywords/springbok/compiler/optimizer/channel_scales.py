# SPDX-License-Identifier: Apache-2.0
"""Scales of channels, brought to a form that all channels of a layer share.

Reason: one channel may lie far from all others. Trained networks have dead ones: their weights are nearly zero, so a
quantiser gives them a tiny scale, and a bias of up to 2^30 in it. The layer's form of `requantisation` follows its
smallest shift and its greatest input, so that a single channel took the whole layer out of it.

What is done: each channel is judged by itself, with the bounds of its own inputs. A channel that does not fit into the
form of the most gets another scale and another offset, with the same results for every input that it can have. Where
that can't be, each channel keeps its own number of doublings.

Why that is exact: a scale is a monotone function of x (`proof` shows it of every shift). It is constant between the
inputs where its result changes, so two of them are equal everywhere if they are equal at both ends of each piece.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

#: Shifts that the narrow form is exact for, beyond which its rounding term does not fit.
SHIFTS = range(2, 61)
WORD = 32
_SECOND_ROUNDING = 1 << 30
_SECOND_ROUNDING_ABOVE = 31
_LIMIT = 1 << 31
#: Results below this don't wrap when a zero point is added to them.
_RESULTS = 1 << 30
#: Pieces up to which two scales are compared.
_MOST_PIECES = 512


@dataclass(frozen=True)
class Scale:
    """TOSA's rescale by ``multiplier`` and ``shift``, for an x from ``low`` to ``high``; ``twice``: how it rounds.

    Results are cut at ``limits``, which is what the layer does with them next.

    >>> Scale(1 << 30, 31, False, -8, 7).of(5)
    3
    """

    multiplier: int
    shift: int
    twice: bool
    low: int
    high: int
    limits: tuple[int, int] = (-_LIMIT, _LIMIT - 1)

    def before_limits(self, x: int) -> int:
        """The result for ``x`` before it is cut."""
        second = (_SECOND_ROUNDING if x >= 0 else -_SECOND_ROUNDING) if self.twice else 0
        return (x * self.multiplier + second + (1 << self.shift - 1)) >> self.shift

    def of(self, x: int) -> int:
        """The result for ``x``."""
        return min(max(self.before_limits(x), self.limits[0]), self.limits[1])

    @property
    def doublings(self) -> int:
        """k of `requantisation`, at least."""
        return max(WORD + 1 - self.shift, 2 if self.twice else 0)

    @property
    def most_doublings(self) -> int:
        """k, so that no x of the bounds wraps, at most; less than 0 if any would."""
        most = WORD - 1
        while most >= 0 and not -(_LIMIT >> most) <= self.low <= self.high < _LIMIT >> most:
            most -= 1
        return most

    def fits(self, doublings: int, twice: bool) -> bool:
        """Whether the narrow form with ``doublings``, which rounds ``twice`` or once, is exact for it."""
        known = self.shift in SHIFTS and 0 <= self.multiplier < _LIMIT
        return known and self.twice == twice and self.doublings <= doublings <= self.most_doublings

    @property
    def ties(self) -> bool:
        """Whether the multiplier is its maximum with any x."""
        return self.multiplier >= self.high

    def first(self, result: int) -> int:
        """The lowest x of the bounds whose result is at least ``result``, which that of ``high`` is."""
        low, high = self.low, self.high
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self.of(middle) >= result else (middle + 1, high)
        return low

    @cached_property
    def pieces(self) -> list[tuple[int, int]] | None:
        """The bounds, cut where the result changes; None if these are too many, or a result wraps."""
        if not -_RESULTS <= self.before_limits(self.low) <= self.before_limits(self.high) < _RESULTS:
            return None
        found, start, highest = [], self.low, self.of(self.high)
        while (result := self.of(start)) < highest and len(found) < _MOST_PIECES:
            following = self.first(result + 1)
            found.append((start, following - 1))
            start = following
        return [*found, (start, self.high)] if len(found) < _MOST_PIECES else None

    def moved(self, offset: int) -> Scale:
        """The same scale of an x that is greater by ``offset``."""
        return replace(self, low=self.low + offset, high=self.high + offset)


def is_equal(scale: Scale, other: Scale) -> bool:
    """Whether ``other``, whose bounds may be moved, gives for each x of its bounds what ``scale`` gives for its own."""
    pieces, offset = scale.pieces, other.low - scale.low
    return pieces is not None and all(scale.of(x) == other.of(x + offset) for piece in pieces for x in piece)


@dataclass(frozen=True)
class Form:
    """Scales in a form that they share: ``scales`` are equal to those before where x is greater by ``offsets``.

    ``doublings`` and ``twice`` are of each channel; if all are the same, one number does. ``replaced`` counts the
    channels that got another scale.
    """

    scales: tuple[Scale, ...]
    offsets: tuple[int, ...]
    doublings: tuple[int, ...]
    twice: tuple[bool, ...]
    replaced: int

    @property
    def is_shared(self) -> bool:
        """Whether all channels have the same doublings and round alike."""
        return len(set(self.doublings)) == len(set(self.twice)) == 1

    def describe(self) -> str:
        """A few words for a report."""
        shifts = sorted({each.shift for each in self.scales})
        known = f"shift {shifts[0]}" if len(shifts) == 1 else f"shifts {shifts[0]} to {shifts[-1]}"
        alone = "" if self.is_shared else ", rounded by channel"
        others = f"; {self.replaced} of {len(self.scales)} channels got another scale" if self.replaced else ""
        return f"{known}{alone}{others}"


def form_of(scales: Sequence[Scale]) -> Form | int:
    """The form that ``scales`` are brought to, or the number of a channel that stands in its way."""
    for doublings, twice in _candidates(scales):
        found = _shared(scales, doublings, twice)
        if isinstance(found, Form):
            return found
    return _of_each(scales)


def _candidates(scales: Sequence[Scale]) -> list[tuple[int, bool]]:
    """Doublings and rounding, those that fit the most channels first; only such as fit one."""
    known = {(each.doublings, each.twice) for each in scales}
    fitting = {candidate: sum(each.fits(*candidate) for each in scales) for candidate in known}
    return sorted((each for each in known if fitting[each]), key=lambda each: (-fitting[each], each))


def _shared(scales: Sequence[Scale], doublings: int, twice: bool) -> Form | int:
    shifts = {each.shift for each in scales if each.fits(doublings, twice)}
    others = [_fitting(each, doublings, twice, shifts) for each in scales]
    if None in others:
        return others.index(None)
    return _form(scales, others, (doublings,) * len(scales), (twice,) * len(scales))


def _of_each(scales: Sequence[Scale]) -> Form | int:
    found = []
    for number, scale in enumerate(scales):
        ways = [(scale.doublings, scale.twice)]
        ways += [(doublings, twice) for twice in (scale.twice, not scale.twice) for doublings in range(WORD - 1)]
        fitting = ((_fitting(scale, *way, set()), *way) for way in ways)
        first = next((each for each in fitting if each[0] is not None), None)
        if first is None:
            return number
        found.append(first)
    others, doublings, twice = zip(*found, strict=True)
    return _form(scales, others, doublings, twice)


def _form(scales: Sequence[Scale], others: Sequence[Scale], doublings: Sequence[int], twice: Sequence[bool]) -> Form:
    pairs = list(zip(scales, others, strict=True))
    offsets = tuple(other.low - scale.low for scale, other in pairs)
    return Form(tuple(others), offsets, tuple(doublings), tuple(twice), sum(one != other for one, other in pairs))


def _fitting(scale: Scale, doublings: int, twice: bool, shifts: set[int]) -> Scale | None:
    """``scale`` if it fits, or another one with the same results, whose bounds are moved by what must be added to x.

    One of the ``shifts`` if there is but one, so that no shifts of channels are needed where there were none.
    """
    if scale.fits(doublings, twice):
        return scale
    pieces = scale.pieces
    others = _others(scale, pieces, doublings, twice, shifts) if pieces else ()
    return next(
        (other for other in others if other.fits(doublings, twice) and other.ties and is_equal(scale, other)), None
    )


def _others(
    scale: Scale, pieces: list[tuple[int, int]], doublings: int, twice: bool, shifts: set[int]
) -> Iterator[Scale]:
    """Scales to try."""
    lowest = max(SHIFTS.start, WORD + 1 - doublings, _SECOND_ROUNDING_ABOVE + 1 if twice else 0)
    if len(pieces) <= 2:
        # Nearly constant: any slope that puts all inputs on one piece, or on both sides of one step.
        for chosen in (*(shifts if len(shifts) == 1 else ()), None):
            for flatness in range(SHIFTS.stop - 2, -1, -1):
                shift = chosen or min(max(WORD - 2 + flatness, lowest), SHIFTS.stop - 1)
                if lowest <= shift and 0 <= shift - flatness < WORD - 1:
                    other = replace(scale, multiplier=1 << shift - flatness, shift=shift, twice=twice)
                    yield other
                    yield from _moved(other, scale, pieces)
    for shift in range(lowest, SHIFTS.stop):  # of the same slope
        by = shift - scale.shift
        multiplier = scale.multiplier << by if by >= 0 else scale.multiplier >> -by
        yield replace(scale, multiplier=multiplier, shift=shift, twice=twice)


def _moved(other: Scale, scale: Scale, pieces: list[tuple[int, int]]) -> Iterator[Scale]:
    """``other`` with bounds moved to where its results are those of ``scale``, which has one step at most."""
    result = scale.of(scale.low)
    everywhere = replace(other, low=-_LIMIT, high=_LIMIT - 1, limits=(-_LIMIT, _LIMIT - 1))
    if everywhere.of(-_LIMIT) <= result < everywhere.of(_LIMIT - 1):
        start, following = everywhere.first(result), everywhere.first(result + 1)
        if len(pieces) == 1:
            yield other.moved((start + following - 1 - scale.low - scale.high) // 2)
        else:
            yield other.moved(following - pieces[1][0])
