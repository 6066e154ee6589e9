# SPDX-License-Identifier: Apache-2.0
"""Which kernel of one module is which of another one of the same model, whatever their numbers are.

Modules are aligned by the calls of their kernels, in order: one that is called twice can do the work of two. Kernels of
one name are one, and those that alone are of a layer in both; of those between two such, the ones that have something
in common. Others are no pair: what stands at one place in both modules is told as that.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from springbok.exploring.alignment import Gain, side_by_side

# Kinds of kernels, by IREE's names, that move or round numbers: of a convolution's shape one is still no convolution.
_MOVING = ("copy", "elementwise", "generic", "pack", "pad", "slow_memcpy", "transpose", "unpack")

LAYERS = " + "  # between the names of a kernel's layers


@dataclass(frozen=True)
class Kernel:
    """A kernel: its number, such as ``main_dispatch_2``, what it computes by its name, and its layers, if known.

    >>> kernel = Kernel("main_dispatch_2", "matmul_1x8x149_f32")
    >>> kernel.name, kernel.kind, kernel.shape
    ('main_dispatch_2_matmul_1x8x149_f32', 'matmul', '1x8x149_f32')
    """

    number: str
    computes: str
    layer: str = ""

    @property
    def name(self) -> str:
        """As modules call it."""
        return f"{self.number}_{self.computes}".rstrip("_")

    @property
    def shape(self) -> str:
        """Its sizes and types; empty without any."""
        found = re.search(r"(?<![A-Za-z0-9])\d\w*", self.computes)
        return found[0] if found else ""

    @property
    def kind(self) -> str:
        """What stands before its sizes."""
        return self.computes.removesuffix(self.shape).rstrip("_")

    def in_common(self, other: Kernel) -> str:
        """What makes it likely that ``other`` is this kernel of another module; empty where nothing does."""
        if (self.kind in _MOVING) != (other.kind in _MOVING):
            return ""
        if self.shape and self.shape == other.shape:
            return "shape"
        if self.layer and self.layer == other.layer:
            return "layer"
        return "kind" if self.kind and self.kind == other.kind else ""


_Site = tuple[Kernel, Kernel, str]  # a kernel of both, and by what they are one if not by name


@dataclass
class Pairing:
    """``pairs`` are numbers of kernels that are one, the second module's by the first's.

    ``why`` says by what those are paired that have not one name. ``merged`` are the kernels without a pair whose work
    one does that has a pair, of the first and of the second module. ``groups`` are all others, by the places where they
    stand in both; one of the two can be empty. One that is called at several places is in the group of each.
    """

    pairs: dict[str, str] = field(default_factory=dict)
    why: dict[str, str] = field(default_factory=dict)
    merged: tuple[dict[str, str], dict[str, str]] = field(default_factory=lambda: ({}, {}))
    groups: list[tuple[tuple[Kernel, ...], tuple[Kernel, ...]]] = field(default_factory=list)


def pairing(first: Sequence[Kernel], second: Sequence[Kernel]) -> Pairing:
    """Which are one, of the kernels that two modules call, in order of their calls; the same from either side.

    >>> one = [Kernel("m_dispatch_0", "pad"), Kernel("m_dispatch_1", "conv_2x3")]
    >>> pairing(one, [Kernel("m_dispatch_0", "conv_2x3")]).pairs
    {'m_dispatch_1': 'm_dispatch_0'}
    """
    turned = _known_by(first) > _known_by(second)  # of ways that are as good, both sides find one
    found = _turned(_paired(second, first)) if turned else _paired(first, second)
    order = {each.number: at for at, each in reversed(list(enumerate(first)))}
    found.pairs = dict(sorted(found.pairs.items(), key=lambda pair: order[pair[0]]))
    return found


def _known_by(kernels: Sequence[Kernel]) -> list[tuple[str, str]]:
    return [(each.computes, each.layer) for each in kernels]


def _turned(found: Pairing) -> Pairing:
    return Pairing(
        {other: one for one, other in found.pairs.items()},
        {found.pairs[one]: why for one, why in found.why.items()},
        (found.merged[1], found.merged[0]),
        [(there, here) for here, there in found.groups],
    )


def _paired(first: Sequence[Kernel], second: Sequence[Kernel]) -> Pairing:
    aligned = _aligned(first, second)
    sites: list[_Site] = [
        (first[a], second[b], "layer" * (first[a].computes != second[b].computes)) for a, b in aligned
    ]
    gaps = list(_gaps(first, second, aligned))
    for one, other in gaps:
        sites += _between(one, other)
    found = Pairing()
    # A kernel that stands at the places of several is the one of its own number, if there is that.
    for one, other, why in sorted(sites, key=lambda site: (site[2] != "", site[0].number != site[1].number)):
        if one.number not in found.pairs and other.number not in found.pairs.values():
            found.pairs[one.number] = other.number
            found.why |= {one.number: why} if why else {}
    for one, other, _ in sites:
        if one.number not in found.pairs:
            found.merged[0].setdefault(one.number, other.number)
        if other.number not in found.pairs.values():
            found.merged[1].setdefault(other.number, one.number)
    found.groups = _groups(gaps, sites)
    return found


def _groups(
    gaps: Sequence[tuple[Sequence[Kernel], Sequence[Kernel]]], sites: Sequence[_Site]
) -> list[tuple[tuple[Kernel, ...], tuple[Kernel, ...]]]:
    """What is left at each place; what has nothing in its place is told once, and only if it is told nowhere else."""
    known = [{site[side].number for site in sites} for side in range(2)]
    left = [
        [
            tuple(each for each in dict.fromkeys(side) if each.number not in there)
            for side, there in zip(gap, known, strict=True)
        ]
        for gap in gaps
    ]
    told = [{each.number for group in left if all(group) for each in group[side]} for side in range(2)]
    found = []
    for both in left:
        alone = [
            tuple(each for each in side if each.number not in there) for side, there in zip(both, told, strict=True)
        ]
        one, other = both if all(both) else alone
        for side, there in zip((one, other), told, strict=True):
            there |= {each.number for each in side}
        found += [(one, other)] if one or other else []
    return found


def _aligned(one: Sequence[Kernel], other: Sequence[Kernel]) -> list[tuple[int, int]]:
    """Places in both of kernels that are one, in one order: as many as can be, of those that have most in common."""
    alone = _alone_of_a_layer(one) & _alone_of_a_layer(other)

    def gain(a: int, b: int) -> Gain | None:
        here, there = one[a], other[b]
        weight = _weight(here, there, by_layer=here.layer in alone and here.layer == there.layer)
        return (weight, _share(here, there), here.number == there.number) if weight else None

    return side_by_side(range(len(one)), range(len(other)), gain)


def _alone_of_a_layer(kernels: Sequence[Kernel]) -> set[str]:
    """Layers that one kernel alone computes."""
    found = Counter(each.layer for each in {*kernels} if each.kind not in _MOVING)
    return {layer for layer, count in found.items() if layer and count == 1}


def _weight(here: Kernel, there: Kernel, *, by_layer: bool) -> int:
    """How sure it is that two are one; 0 for no reason to think so."""
    if here.computes != there.computes:
        return 3 if by_layer and (here.kind in _MOVING) == (there.kind in _MOVING) else 0
    if not (here.layer and there.layer):
        return 3
    if here.layer == there.layer:
        return 4
    return 2 if _share(here, there) else 1


def _share(here: Kernel, there: Kernel) -> int:
    """Of their layers, those of both, in hundredths."""
    layers = [{*each.layer.split(LAYERS)} for each in (here, there)]
    return 100 * len(layers[0] & layers[1]) // len(layers[0] | layers[1])


def _gaps(
    first: Sequence[Kernel], second: Sequence[Kernel], aligned: Sequence[tuple[int, int]]
) -> Iterator[tuple[Sequence[Kernel], Sequence[Kernel]]]:
    """What stands between each two places of ``aligned``, in both."""
    at = (0, 0)
    for a, b in [*aligned, (len(first), len(second))]:
        yield first[at[0] : a], second[at[1] : b]
        at = a + 1, b + 1


def _between(one: Sequence[Kernel], other: Sequence[Kernel]) -> list[_Site]:
    """Pairs of what stands at one place in both modules: as many as have something in common, or one alone."""
    if len(one) == len(other):
        likely = [(a, b, a.in_common(b)) for a, b in zip(one, other, strict=True)]
        return [(a, b, why or "place") for a, b, why in likely if why or len(one) == 1]
    places = sorted(
        pair for key in {*map(_size, one)} & {*map(_size, other)} - {None} for pair in _in_order(one, other, key)
    )
    rest = [
        each
        for side, at in ((one, 0), (other, 1))
        for number, each in enumerate(side)
        if all(number != place[at] for place in places)
    ]
    # Where one is made into several by which something is computed, none of them is it, unless its kind says so.
    split = min(len(one), len(other)) == 1 and any(each.kind not in _MOVING for each in rest)
    split = split and not all(_of_one_kind(one[a], other[b]) for a, b in places)
    ordered = places == sorted(places, key=lambda pair: pair[1])
    return [] if split or not ordered else [(one[a], other[b], "shape") for a, b in places]


def _size(kernel: Kernel) -> tuple[str, bool] | None:
    return (kernel.shape, kernel.kind in _MOVING) if kernel.shape else None


def _in_order(
    one: Sequence[Kernel], other: Sequence[Kernel], size: tuple[str, bool] | None
) -> Iterator[tuple[int, int]]:
    """Places of kernels of one size, if both have as many."""
    these = [[at for at, each in enumerate(side) if _size(each) == size] for side in (one, other)]
    return zip(*these, strict=True) if len(these[0]) == len(these[1]) else iter(())


def _of_one_kind(one: Kernel, other: Kernel) -> bool:
    """Whether one's kind is the other's, or a variant of it, as ``matmul_like`` is of ``matmul``."""
    return f"{one.kind}_".startswith(f"{other.kind}_") or f"{other.kind}_".startswith(f"{one.kind}_")
