# SPDX-License-Identifier: Apache-2.0
"""Which pass makes the difference between two compilations of one model: what is behind each is compared.

`by_pass` names the first one behind which the module, and each kernel, differs to the end; `of_kernel` all those that
add to the difference of one kernel or take from it. `springbok.exploring.pass_order` has the order of passes,
`springbok.exploring.pass_steps` where both can be compared, `springbok.exploring.kernel_pairs` which kernels are one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from springbok.exploring.kernel_pairs import Kernel
from springbok.exploring.pass_order import is_within
from springbok.exploring.pass_steps import IN_ORDER, NOTHING, Both, Measured, Step, Table, by_side
from springbok.exploring.phases import (
    Difference,
    Side,
    computing,
    difference,
    is_operation,
    normal,
    operations_of,
    text_of_difference,
    without_addresses,
)
from springbok.support.errors import BenchError

MODULE = "module"  # names what calls the kernels, where a kernel is asked for


def by_pass(
    first: Side, second: Side, folder: Path, measured: tuple[Table, Table] = NOTHING, unit: str = ""
) -> list[Difference]:
    """The first pass, up to the phase `hal`, behind which the module, and each kernel, differs.

    First come the kernels that only one of both has, then the module if it differs before its kernels do, then kernels
    by what the difference costs, as far as ``measured`` tells, else in order of their calls. Those that come to cost
    the same are `Difference.minor` and the last; where no cost is known, those are that a later pass leaves equal
    again, or that differ in addresses.
    """
    both = Both.of(first, second, folder, measured)
    found = []
    begun: list[tuple[int, int]] = []  # where kernels begin to differ: the module before that, or as it uses them
    for order, number in enumerate((*both.pairs, "")):
        step, taken_by = _cause(both, number)
        costs = both.costs(number) if number else None
        by = costs[1] - costs[0] if costs else 0.0
        if step or by:
            told = _told(both, number, step, taken_by, costs, unit)
            at = step.at if step else (0, 0)
            place = 1 if number else 0 if at < min(begun, default=(at[0] + 1, 0)) else 2
            found.append(((told.minor, place, -abs(by), order), told))
            begun += [at] if number and step else []
    return _without_pair(both, unit) + [told for _, told in sorted(found, key=lambda item: item[0])]


def _told(
    both: Both, number: str, step: Step | None, taken_by: str, costs: tuple[float, float] | None, unit: str
) -> Difference:
    label = both.label(number)
    if costs and costs[0] != costs[1]:
        label += f" ({costs[0]:,.0f} to {costs[1]:,.0f} {unit}{_with_work_of(both, number)})"
    if step is None:
        return Difference(label, {}, (), "the same before LLVM makes machine code of it", short=label)
    if not number and step.place:
        label = step.place
    addresses, formed = _before_passes(step, both.by_text)
    where = f"{label} is {formed}" if formed else step.where.format(f" of {label}") + step.behind
    where += f" (taken away again: pass {taken_by} leaves it equal)" if taken_by else ""
    made = difference(where, *step.codes, both.by_text) or Difference(where, {}, ())
    minor = costs[0] == costs[1] if costs else addresses or bool(taken_by)
    return both.own_names(replace(made, minor=minor, short=label))


def _with_work_of(both: Both, number: str) -> str:
    """Of a kernel that does the work of others too, in one of both: which these are."""
    of_first, of_second = both.pairing.merged
    in_first = [each for each, by in of_second.items() if by == number]
    in_second = [each for each, by in of_first.items() if by == both.pairs[number]]
    told = by_side((in_first, in_second))
    return "".join(f", with the work of {', '.join(others)} in the {which}" for others, which in told if others)


def _cause(both: Both, number: str) -> tuple[Step | None, str]:
    """The first step from which on both differ, and nothing; or one whose difference the named pass takes away."""
    firsts: dict[str, Step] = {}  # by place
    taken: tuple[Step | None, str] = (None, "")
    elsewhere: Step | None = None  # buffers that lie elsewhere
    for step in both.steps(number):
        if step.differs and step.level_begins and _only_addresses(step, both.by_text):
            elsewhere = elsewhere or step
        elif step.differs and not (elsewhere and _only_addresses(step, both.by_text)):
            # What is nested in an operation differs there too.
            if not any(is_within(each, step.place) for each in firsts):
                firsts[step.place] = step
        elif not step.whole_differs and (number or both.by_text):  # of a module numbers can be equal by chance
            for place in [each for each in firsts if is_within(each, step.place)]:
                gone = firsts.pop(place)
                taken = taken if taken[0] else (gone, _name_of(step))
    if firsts:
        return min(firsts.values(), key=IN_ORDER), ""
    return (elsewhere, "") if elsewhere else taken


def _name_of(step: Step) -> str:
    return step.where.partition("{0}")[0].removeprefix("pass ")


def _only_addresses(step: Step, by_text: bool) -> bool:
    """Whether a difference is none but for where buffers lie."""
    one, other = (without_addresses(code, lowered=not step.level_begins) for code in step.codes)
    return one == other if by_text else computing(one) == computing(other)


def _before_passes(step: Step, by_text: bool) -> tuple[bool, str]:
    """Of a kernel that differs before its passes: whether in addresses alone, and what is said of it; or nothing."""
    if not step.level_begins:
        return False, ""
    name = _name_of(step)
    addresses = _only_addresses(step, by_text)
    said = "given its buffers at other addresses" if addresses else "formed otherwise"
    return addresses, f"{said}, before its passes ({name} is the first)"


def _without_pair(both: Both, unit: str) -> list[Difference]:
    """The kernels of one compilation that have no pair: what stands in their place, or does their work."""

    def named(side: int, kernels: Iterable[Kernel]) -> str:
        told = []
        for each in kernels:
            cost = both.measured[side].get(each.name, Measured()).cost
            about = [] if cost is None else [f"{cost:,.0f} {unit}"]
            calls = both.calls[side][each.number]
            about += [f"at {calls} places together"] * (calls > 1)
            told.append(f"{each.name} ({', '.join(about)})" if about else each.name)
        return ", ".join(told)

    found = []
    only: tuple[list[Kernel], list[Kernel]] = ([], [])
    for gone, come in both.pairing.groups:
        if gone and come:
            said = f"the second has {named(1, come)}"
            found.append(Difference(f"in place of {named(0, gone)}", {}, (), said))
        for side, these in enumerate((gone, come) if not (gone and come) else ()):
            only[side].extend(these)
    for side, (merged, which) in enumerate(by_side(both.pairing.merged)):
        for number, by in merged.items():
            whole = both.kernels[side][number]
            said = f"{both.kernels[1 - side][by].name} of the other does its work too"
            found.append(Difference(f"{named(side, [whole])} is only in the {which}", {}, (), said))
    alone = [
        Difference(f"kernels only in the {which}", {}, (), named(side, each))
        for side, (each, which) in enumerate(by_side(only))
        if each
    ]
    return alone + found


def of_kernel(
    first: Side, second: Side, folder: Path, kernel: str, measured: tuple[Table, Table] = NOTHING
) -> list[Difference]:
    """Every pass that adds to the difference of one kernel or takes from it, in order, with what it adds.

    ``kernel`` is named as `by_pass` does, such as ``main_dispatch_2``, or as modules do, with what it computes;
    ``module`` is what calls them. How it is to be made is told where it is decided, and not where that is used up.
    Raises `BenchError` where the compilations have no such kernel both, or each another one of that number.
    """
    both = Both.of(first, second, folder, measured)
    number = "" if kernel == MODULE else _wanted(both, kernel)
    found: list[Difference] = []
    standing = _Standing(both)
    for step in both.steps(number, every=True):
        where = (_before_passes(step, both.by_text)[1] if step.differs else "") or step.where.format("")
        told, lines = standing.behind(step)
        if not found:
            parted = difference(where, *step.codes, both.by_text)
            found += [replace(parted, lines=() if parted.operations else parted.lines)] if parted else []
        elif told or lines:
            found.append(Difference(where, told, () if told else _pair(lines)))
    return [both.own_names(each) for each in found]


class _Standing:
    """What is other in both, step by step, of the operation that passes ran on: numbers of operations, and lines."""

    def __init__(self, both: Both) -> None:
        self._both, self._count = both, operations_of if both.by_text else computing
        self._place = ""
        self._more: dict[str, Counter[str]] = {}  # that the second has of each operation, by places
        self._lines, self._lines_known = set[str](), True  # of one alone

    def behind(self, step: Step) -> tuple[dict[str, int], list[str]]:
        """What a step adds to the numbers of operations, and lines that only one has since, as far as that is known."""
        before = self._enter(step)
        one, other = map(normal, step.codes)
        alone = step.alone is not None
        now = self._by_which(one, other)
        if alone:  # its codes are one side's, before and behind
            now.update(before)
        changes = {each: now[each] - before[each] for each in sorted({*now, *before}) if now[each] != before[each]}
        told = {each: by for each, by in changes.items() if is_operation(each) or abs(now[each]) > abs(before[each])}
        lines = _only_in_one(one, other) if self._both.by_text else []
        counts = self._lines_known and (alone or len(lines) > len(self._lines))
        new = [line for line in lines if line not in self._lines] if counts else []
        # What is added within is added around it too.
        self._more = {place: more for place, more in self._more.items() if not is_within(place, step.place)}
        for place, more in self._more.items():
            if is_within(step.place, place):
                more.update(changes)
        self._more[step.place] = now
        self._lines = self._lines | {*lines} if alone else {*lines}
        self._lines_known = self._lines_known or not alone
        return told, new

    def _enter(self, step: Step) -> Counter[str]:
        """What the second has more of before a step; lines too, where that is at another place than the one before."""
        last, self._place = self._place, step.place
        known = self._more.get(step.place)
        if not self._more or (last == step.place and known is not None):
            return known or Counter()
        before = self._both.before(step)
        self._lines_known = before is not None
        if before:
            self._lines = {*_only_in_one(*before)} if self._both.by_text else set()
        if known is not None:
            return known
        return self._by_which(*before) if before else self._more[last]

    def _by_which(self, first: str, second: str) -> Counter[str]:
        """What the second has more of, or less."""
        found = self._count(second)
        found.subtract(self._count(first))
        return found


def _only_in_one(first: str, second: str) -> list[str]:
    """Lines that only one of both has, wherever it has them."""
    one, other = (Counter(line.strip() for line in code.splitlines()) for code in (first, second))
    return [f"-{line}" for line in one - other] + [f"+{line}" for line in other - one]


def _pair(lines: Sequence[str]) -> tuple[str, ...]:
    """A line of both, of those that `_only_in_one` gives."""
    gone, come = ([line[1:] for line in lines if line[0] == sign] for sign in "-+")
    more = [f"… {len(lines) - 2} more lines"] if len(lines) > 2 else []
    return (*text_of_difference(gone[:1], come[:1]), *more)


def _wanted(both: Both, name: str) -> str:
    """The first's number of the kernel called ``name``, by its number or its whole name in one of both."""
    whole = [{kernel.name: number for number, kernel in side.items()} for side in both.kernels]
    back = {number: first for first, number in both.pairs.items()}
    as_first, as_second = (side.get(name, name) for side in whole)
    found = {each for each in (as_first, back.get(as_second)) if each in both.pairs}
    # Both have one of that whole name, and each another one's number: as everywhere, numbers are the first's.
    as_named = {name} if len({side[name].name for side in both.kernels if name in side}) == 1 else set()
    if not found:
        known = [each for each, number in whole[0].items() if number in both.pairs]
        raise BenchError(f"There is no kernel {name} in both: {', '.join(known) or 'there is none'}.")
    if all(name in side for side in both.kernels) and both.pairs.get(name) != name and name not in as_named:
        names = [f"{side[name].name} in the {which}" for side, which in by_side(both.kernels)]
        raise BenchError(f"{name} is {' and '.join(names)}: give the whole name of one.")
    return as_first if as_first in found else found.pop()
