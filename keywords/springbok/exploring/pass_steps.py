# SPDX-License-Identifier: Apache-2.0
"""Where two compilations of one model can be compared: behind each pass that both ran, or one of them alone.

As long as both ran the same passes and the code behind them is equal, so it is before the next one. A pass that one
alone ran is told where it changes its operation, then.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cmp_to_key
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple, TypeVar

from springbok.exploring.kernel_pairs import Kernel, Pairing, pairing
from springbok.exploring.pass_order import Pass, aligned, is_within, kernel_of, read_passes, state_before
from springbok.exploring.phases import SHORT, Difference, Side, normal

_MODULE = "the module"
_ALONE = "_alone"  # ends the number of a kernel of the second compilation that the first one has not
_CALL = re.compile(r"\bflow\.dispatch @(\w+)::")
_COMMAND = re.compile(r"\bstream\.cmd\.dispatch @(\w+)::")  # of kernels too that stream makes, of encodings

_Each = TypeVar("_Each")
_Key = tuple[int, int]  # of a step: its place in both, or in the one that alone ran the pass


class Measured(NamedTuple):
    """What a kernel takes, if that is known, and the layers that it was made from."""

    cost: float | None = None
    layer: str = ""


Table = Mapping[str, Measured]  # by the kernel's name in its module
NOTHING: tuple[Table, Table] = ({}, {})


class Step(NamedTuple):
    """A point in the order of both compilations at which their code of ``place`` can be compared.

    ``at`` are the numbers of the passes of both that ran before. ``where`` has a place for what it is of.
    """

    place: str
    at: tuple[int, int]
    where: str
    codes: tuple[str, str]
    differs: bool
    whole_differs: bool  # with the code of kernels, for the module's
    behind: str = ""  # what only one of both ran before, as far as that can be the cause
    alone: int | None = None  # the side that alone ran the pass
    level_begins: bool = False  # nothing ran before on the kernel as it is there: flow's, stream's or hal's


def _compared(one: Step, other: Step) -> int:
    """Which of two steps is before the other: by the order of a side that ran the passes of both, if there is one."""
    sides = [side for side in range(2) if {one.alone, other.alone} <= {None, side}] or [0, 1]
    first, second = ([step.at[side] for side in sides] for step in (one, other))
    return (first > second) - (first < second)


IN_ORDER = cmp_to_key(_compared)


class _Change(NamedTuple):
    """A pass that one side alone ran, by its number too, and the code before it."""

    at: int
    ran: Pass
    before: str


@dataclass(frozen=True)
class Both:
    """What both compilations have behind each pass; kernels of the second are called as the first's."""

    sides: tuple[list[Pass], list[Pass]]
    by_text: bool
    kernels: tuple[dict[str, Kernel], dict[str, Kernel]]  # by their numbers
    pairing: Pairing
    measured: tuple[Table, Table]
    calls: tuple[Counter[str], Counter[str]]  # how often the module calls each, by their numbers

    @classmethod
    def of(cls, first: Side, second: Side, folder: Path, measured: tuple[Table, Table] = NOTHING) -> Both:
        one, other = (_passes(side, folder / f"passes-{number}") for number, side in enumerate((first, second)))
        kernels = _kernels(one, measured[0]), _kernels(other, measured[1])
        called = _called(one, kernels[0]), _called(other, kernels[1])
        calls = tuple(map(_calls, (one, other)))
        paired = pairing(*called)
        back = {there: here for here, there in paired.pairs.items()}
        numbers = {kernel_of(each.place) for each in other} - {""}
        names = {number: number + _ALONE for number in numbers} | back
        renamed = [(kernels[0][here], kernels[1][there]) for here, there in paired.pairs.items()]
        renamed = [pair for pair in renamed if pair[0].computes != pair[1].computes]
        names |= {there.name: here.number for here, there in renamed}
        sides = _placed(one, {here.name: here.number for here, _ in renamed}), _placed(other, names)
        return cls(sides, first.compiler == second.compiler, kernels, paired, measured, (calls[0], calls[1]))

    @property
    def pairs(self) -> dict[str, str]:
        """The second's number of each of the first's kernels that both have."""
        return self.pairing.pairs

    def label(self, number: str) -> str:
        """A kernel's name, with the second compilation's where that has another one."""
        if not number:
            return _MODULE
        there = self.pairs[number]
        why = self.pairing.why.get(number)
        if why:
            one, other = self.kernels[0][number].name, self.kernels[1][there].name
            return f"{one} ({other} in the second, by its {why} alone)"
        return number if number == there else f"{number} ({there} in the second)"

    def costs(self, number: str) -> tuple[float, float] | None:
        """What a kernel takes in both; None where it was not measured."""
        names = self.kernels[0][number].name, self.kernels[1][self.pairs[number]].name
        costs = [table[name].cost for table, name in zip(self.measured, names, strict=True) if name in table]
        return (costs[0], costs[1]) if len(costs) == 2 and None not in costs else None

    def own_names(self, found: Difference) -> Difference:
        """``found`` with kernels called in its lines as their own module calls them."""
        renamed = {here: there for here, there in self.pairs.items() if here != there}
        renamed |= {number + _ALONE: number for number in self.kernels[1]}
        return replace(
            found, lines=tuple(_renamed(line, renamed) if line.startswith("+") else line for line in found.lines)
        )

    def steps(self, number: str, *, every: bool = False) -> list[Step]:
        """Where both can be compared, of a kernel or the module, in order.

        Each function is walked by itself, with what ran around it: one has no order with its neighbours. Of passes
        that one side alone ran between two others it is the first that changes something, or ``every`` one.
        """
        ran_on_it = [
            [at for at, each in enumerate(side) if each.kernel == number and not each.runs_others]
            for side in self.sides
        ]
        keys = [{side[at].key for at in these} for side, these in zip(self.sides, ran_on_it, strict=True)]
        inner = [
            key
            for key in keys[0] & keys[1]
            if not any(each != key and is_within(each, key) for each in keys[0] & keys[1])
        ]
        found: dict[_Key, Step] = {}
        order: TopologicalSorter[_Key] = TopologicalSorter()
        for leaf in sorted(inner):
            ran = [
                [at for at in these if is_within(leaf, side[at].key)]
                for side, these in zip(self.sides, ran_on_it, strict=True)
            ]
            last: list[_Key] = []
            for step in self._along(ran[0], ran[1], every):
                key = (-1 - step.alone, step.at[step.alone]) if step.alone is not None else step.at
                found.setdefault(key, step)
                order.add(key, *last)
                last = [key]
        try:
            return list(_one_after_another(order, found))
        except CycleError:  # of passes of one name that stand elsewhere in each
            return sorted(found.values(), key=IN_ORDER)

    def before(self, step: Step) -> tuple[str, str] | None:
        """The code of both, without what is no difference, that a step's passes ran on; None where no file shows it."""
        states = []
        for side, (passes, at) in enumerate(zip(self.sides, step.at, strict=True)):
            ran = step.alone in (None, side)
            place = next((each.place for each in passes if each.key == step.place), None)
            state = None if place is None else state_before(passes, at if ran else at + 1, place)
            if state is None:
                return None
            states.append(normal(state))
        return states[0], states[1]

    def _along(self, first: Sequence[int], second: Sequence[int], every: bool) -> Iterator[Step]:
        """Steps of passes of both that ran in one order, by their numbers."""
        one, other = ([side[at] for at in these] for side, these in zip(self.sides, (first, second), strict=True))
        kernel = bool(one and one[0].kernel)
        unknown: tuple[list[str], list[str]] = ([], [])  # passes of one alone whose effect no file shows
        here, there = 0, 0
        for a, b in [*aligned(one, other, self.by_text), (len(one), len(other))]:
            if self.by_text:
                alone = first[here:a], second[there:b]
                ahead = [() if every else these[at:] for these, at in zip((first, second), (here, there), strict=True)]
                changes = [
                    list(self._changes(side, these, ahead[1 - side], unknown)) for side, these in enumerate(alone)
                ]
                before = [these[at - 1] if at else -1 for these, at in zip((first, second), (here, there), strict=True)]
                if every:
                    for change in changes[0]:
                        yield _alone_step((change, None), before)
                    before = [alone[0][-1] if alone[0] else before[0], before[1]]
                    for change in changes[1]:
                        yield _alone_step((None, change), before)
                elif any(changes):
                    yield _alone_step([next(iter(these), None) for these in changes], before)
            if a < len(one) and b < len(other):
                levels = [each.place.partition("/")[0] for each in (one[a], other[b])]
                begins = all(
                    not any(is_within(each.place, level) for each in ran[:at])
                    for level, ran, at in zip(levels, (one, other), (a, b), strict=True)
                )
                step = self._step(one, other, (a, b), unknown)
                yield step._replace(level_begins=kernel and begins, at=(first[a], second[b]))
            here, there = a + 1, b + 1

    def _changes(
        self, side: int, ran: Sequence[int], ahead: Sequence[int], unknown: Sequence[list[str]]
    ) -> Iterator[_Change]:
        """The passes that one side alone ``ran`` which change its operation to other than the other's next state.

        That is behind one of the passes ``ahead`` of that: what both come to, by a pass or another, is no difference.
        """
        for at in ran:
            each, before = self.sides[side][at], state_before(self.sides[side], at)
            if before is None:
                unknown[side].append(each.name)
            elif (old := normal(before)) != each.text and each.text != self._next(1 - side, ahead, each.key, old):
                yield _Change(at, each, before)

    def _next(self, side: int, ahead: Sequence[int], key: str, old: str) -> str:
        """The code of an operation behind the first of the passes ``ahead`` that leaves it other than ``old``."""
        texts = (self.sides[side][at].text for at in ahead if self.sides[side][at].key == key)
        return next((text for text in texts if text != old), "")

    def _step(
        self, one: Sequence[Pass], other: Sequence[Pass], at: tuple[int, int], unknown: Sequence[Sequence[str]]
    ) -> Step:
        first, second = one[at[0]], other[at[1]]
        if self.by_text:
            behind = _only(unknown)
        else:
            ran = [[each.name for each in side[:number]] for side, number in zip((one, other), at, strict=True)]
            behind = _only(*_told_apart(ran, [{each.name for each in side} for side in (one, other)]))
        where = f"pass {first.name}{{0}}{_other_options(first, second)}"
        whole = first.whole != second.whole if self.by_text else first.whole_counts != second.whole_counts
        differs = not first.is_as(second, self.by_text)
        return Step(first.key, at, where, (first.view, second.view), differs, differs or whole, behind)


def _one_after_another(order: TopologicalSorter[_Key], steps: Mapping[_Key, Step]) -> Iterator[Step]:
    """``steps`` in their order, and those of different functions as they ran."""
    order.prepare()
    ready: list[_Key] = []
    while order.is_active():
        ready += order.get_ready()
        first = min(ready, key=lambda key: steps[key].at)
        if any(_compared(steps[key], steps[first]) < 0 for key in ready):
            none_before = (key for key in ready if all(_compared(steps[key], steps[each]) <= 0 for each in ready))
            first = next(none_before, first)  # there is none where both ran them in other orders
        ready.remove(first)
        order.done(first)
        yield steps[first]


def _alone_step(changes: Sequence[_Change | None], before: Sequence[int]) -> Step:
    """Of a pass of one side, or one of each, that the other did not run there; both ran the ones ``before``."""
    found = next(each for each in changes if each)
    codes = tuple(each.ran.view if each else found.before for each in changes)
    told = [f"{each.ran.name}{{0}} only in the {side}" for each, side in by_side(changes) if each]
    at = tuple(each.at if each else number for each, number in zip(changes, before, strict=True))
    alone = None if all(changes) else int(changes[0] is None)
    where = f"pass {'; '.join(told)}"
    return Step(found.ran.key, (at[0], at[1]), where, (codes[0], codes[1]), True, True, alone=alone)


def _by_number(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]


def _kernels(passes: Sequence[Pass], measured: Table) -> dict[str, Kernel]:
    """The kernels that the module has in the end, by their numbers, in the order of these."""
    found: dict[str, str] = {}
    for each in passes:
        number = each.kernel
        function = re.search(rf"_func_{re.escape(number)}_(\w+)$", each.place)
        if number and each.place.startswith("hal_executable_"):
            found[number] = function[1] if function else found.get(number, "")
    names = {number: Kernel(number, found[number]) for number in sorted(found, key=_by_number)}
    return {
        number: replace(kernel, layer=measured.get(kernel.name, Measured()).layer or "")
        for number, kernel in names.items()
    }


def _named_last(passes: Sequence[Pass], call: re.Pattern[str]) -> list[str]:
    """The kernels that the module calls behind the last of its passes that leaves it with such calls."""
    found = (call.findall(each.code) for each in reversed(passes) if not each.kernel)
    return next(filter(None, found), [])


def _calls(passes: Sequence[Pass]) -> Counter[str]:
    """How often the module calls each kernel."""
    return Counter(_named_last(passes, _COMMAND)) | Counter(_named_last(passes, _CALL))


def _called(passes: Sequence[Pass], kernels: Mapping[str, Kernel]) -> list[Kernel]:
    """Kernels in the order of their calls; those that the model does not call itself stand behind, by their numbers."""
    calls = _named_last(passes, _CALL)
    return [
        kernels[number] for number in (*calls, *(each for each in kernels if each not in calls)) if number in kernels
    ]


def _placed(passes: Sequence[Pass], names: Mapping[str, str]) -> list[Pass]:
    """``passes`` with other numbers of kernels."""
    moved = {number: name for number, name in names.items() if number != name}
    return [replace(each, place=_renamed(each.place, moved), code=_renamed(each.code, moved)) for each in passes]


def _renamed(text: str, names: Mapping[str, str]) -> str:
    if not names:
        return text
    known = "|".join(map(re.escape, sorted(names, key=len, reverse=True)))
    return re.sub(rf"(?:{known})(?!\d)", lambda found: names[found[0]], text)


def _told_apart(ran: Sequence[Sequence[str]], whole: Sequence[set[str]]) -> tuple[list[list[str]], list[list[str]]]:
    """Of the passes that ran before: those that the other compilation never runs, and those that it runs later."""
    before = [list(dict.fromkeys(each for each in side if each not in ran[1 - at])) for at, side in enumerate(ran)]
    only = [[each for each in names if each not in whole[1 - at]] for at, names in enumerate(before)]
    sooner = [[each for each in names if each in whole[1 - at]] for at, names in enumerate(before)]
    return only, sooner


def _other_options(first: Pass, second: Pass) -> str:
    """Options that only one of two runs of a pass has; older versions write none."""
    if not (first.options and second.options) or first.options == second.options:
        return ""
    gone = [each for each in first.options if each not in second.options]
    come = [each for each in second.options if each not in first.options]
    told = [f"{' '.join(each)} in the {side}" for each, side in by_side((gone, come)) if each]
    return f" ({', '.join(told)})".replace("{", "{{").replace("}", "}}")


def by_side(both: Sequence[_Each]) -> Iterator[tuple[_Each, str]]:
    return zip(both, ("first", "second"), strict=True)


def _only(passes: Sequence[Sequence[str]], sooner: Sequence[Sequence[str]] = ((), ())) -> str:
    """Passes that stand before, in one of both compilations."""
    told = [f"{', '.join(names)} only in the {side}" for names, side in by_side(passes) if names]
    told += [f"{', '.join(names)} sooner in the {side}" for names, side in by_side(sooner) if names]
    return f" (behind {'; '.join(told)})" if told else ""


def _passes(side: Side, folder: Path) -> list[Pass]:
    """What is behind each pass."""
    side.compile(
        *("--compile-to=hal", "--mlir-print-ir-after-all", f"--mlir-print-ir-tree-dir={folder}", *SHORT),
        *("-o", folder.with_suffix(".mlir")),
    )
    return read_passes(folder)
