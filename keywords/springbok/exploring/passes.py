# SPDX-License-Identifier: Apache-2.0
"""Which pass makes the difference between two compilations of one model: what is behind each is compared.

`by_pass` names the first one behind which the module, and each kernel, differs; `of_kernel` all those that add to the
difference of one kernel or take from it. Kernels are paired by what they compute, as their numbers move when one is
formed otherwise. What two kernels or modules are compared by is `springbok.exploring.phases.difference`, in both.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

from springbok.exploring.phases import (
    SHORT,
    Difference,
    Side,
    computing,
    difference,
    is_operation,
    normal,
    operations_of,
    text_of_difference,
    without_kernels,
)
from springbok.support.errors import BenchError

_SERIALIZING = "iree-hal-serialize-"  # begins names of passes behind which a kernel is machine code
# What runs passes on each function: it does nothing itself, and is also written down within the pass that runs it.
_WRAPPER = "iree-op-pipeline-adaptor"
_LINKED = "_linked"  # ends the name of what holds the machine code of all kernels
_MODULE = "the module"
_ALONE = "_alone"  # ends the number of a kernel of the second compilation that the first one has not
_KERNEL = re.compile(r"(?:flow|stream|hal)_executable_(\w+)")
_COMPUTES = re.compile(r"(_func_\w+?_dispatch_\d+)_\w+")
_OPTIONS = re.compile(r"// -----// IR Dump After [^{\n]*\{(.*)\} //-----")


class _Pass(NamedTuple):
    order: tuple[int, ...]
    name: str
    options: tuple[str, ...]
    code: str


_Each = TypeVar("_Each")
_Passes = dict[str, list[_Pass]]  # by the operation that they ran on


class _Step(NamedTuple):
    """A point in the order of both compilations at which their code of ``place`` can be compared."""

    place: str
    orders: tuple[tuple[int, ...], tuple[int, ...]]
    where: str
    codes: tuple[str, str]


@dataclass(frozen=True)
class _Both:
    """What both compilations have behind each pass; kernels of the second are called as the first's."""

    one: _Passes
    other: _Passes
    by_text: bool
    kernels: tuple[dict[str, str], dict[str, str]]  # what each number computes: {"main_dispatch_1": "conv_2x3"}
    pairs: dict[str, str]  # the second's number of each of the first's kernels that both have

    @classmethod
    def of(cls, first: Side, second: Side, folder: Path) -> _Both:
        one, other = (_passes(side, folder / f"passes-{number}") for number, side in enumerate((first, second)))
        kernels = _kernels(one), _kernels(other)
        pairs = paired(*kernels)
        names = {number: number + _ALONE for number in kernels[1]} | {back: number for number, back in pairs.items()}
        return cls(_placed(one, {}), _placed(other, names), first.compiler == second.compiler, kernels, pairs)

    def label(self, kernel: str) -> str:
        """A kernel's name, with the second compilation's where that has another number."""
        number = self.pairs.get(kernel, kernel)
        return kernel if number == kernel else f"{kernel} ({number} in the second)"

    def steps(self, place: str) -> list[_Step]:
        """Where both can be compared at ``place``: the module without the code of its kernels."""
        view: Callable[[str], str] = str if _kernel_of(place) else without_kernels
        return [
            each._replace(place=place, codes=tuple(map(view, each.codes)))
            for each in _steps(self.one[place], self.other[place], self.by_text)
        ]

    def ran(self, begins: str, step: _Step) -> list[list[str]]:
        """Names of the passes of both that ran before ``step`` on what ``begins`` so: each once, in order."""
        found = []
        for passes, order in zip((self.one, self.other), step.orders, strict=True):
            ran = (each for place, all_of_it in passes.items() if _is_of(place, begins) for each in all_of_it)
            found.append(list(dict.fromkeys(each.name for each in sorted(ran) if each.order < order)))
        return found

    def formed_otherwise(self, step: _Step) -> str:
        """What is said of a kernel that differs behind the first of its passes already; nothing of all else."""
        level = step.place.partition("/")[0]
        if not _kernel_of(level) or any(self.ran(level, step)):
            return ""
        return f"formed otherwise, before its passes ({step.where.format('').removeprefix('pass ')} is the first)"

    def alone(self) -> list[Difference]:
        """The kernels that only one compilation has."""
        missing = [number for number in self.kernels[0] if number not in self.pairs]
        more = [number for number in self.kernels[1] if number not in self.pairs.values()]
        told = [
            ", ".join(f"{number}_{known[number]}".rstrip("_") for number in numbers)
            for numbers, known in zip((missing, more), self.kernels, strict=True)
        ]
        return [Difference(f"kernels only in the {side}", {}, (), names) for names, side in _by_side(told) if names]


def by_pass(first: Side, second: Side, folder: Path) -> list[Difference]:
    """The first pass, up to the phase `hal`, behind which the module, and each kernel, differs: by order of passes.

    Passes that only one of both compilations has run on it before are named too. What comes first are the kernels that
    only one of them has.
    """
    both = _Both.of(first, second, folder)
    found: dict[str, tuple[_Step, Difference]] = {}  # by kernel; the module is the empty one
    for place in sorted(both.one.keys() & both.other.keys()):
        key = _kernel_of(place)
        parted = _first_difference(both, place, both.label(key) if key else place or _MODULE)
        if parted and (key not in found or parted[0].orders < found[key][0].orders):
            found[key] = parted
    for key, (step, parted) in found.items():
        ran = both.ran(key, step)
        only = [[name for name in names if name not in ran[1 - side]] for side, names in enumerate(ran)]
        formed = both.formed_otherwise(step)
        where = f"{both.label(key)} is {formed}" if formed else parted.where
        found[key] = step, replace(parted, where=where + _only(only))
    return both.alone() + [each for _, each in sorted(found.values(), key=lambda item: item[0].orders)]


def _first_difference(both: _Both, place: str, label: str) -> tuple[_Step, Difference] | None:
    for step in both.steps(place):
        found = difference(step.where.format(f" of {label}"), *step.codes, both.by_text)
        if found:
            return step, found
    return None


def of_kernel(first: Side, second: Side, folder: Path, kernel: str) -> list[Difference]:
    """Every pass that adds to the difference of one kernel or takes from it, in order, with what it adds.

    ``kernel`` is named as `by_pass` does, such as ``main_dispatch_2``, or as modules do, with what it computes. How it
    is to be made is told where it is decided, and not where that is used up. Raises `BenchError` where the compilations
    have no such kernel both, or each another one of that number.
    """
    both = _Both.of(first, second, folder)
    kernel = _wanted(both, kernel)
    places = [place for place in both.one.keys() & both.other.keys() if _kernel_of(place) == kernel]
    found: list[Difference] = []
    last, other_lines = Counter[str](), set[str]()
    for step in sorted((step for place in places for step in both.steps(place)), key=lambda step: step.orders[0]):
        one, other = map(normal, step.codes)
        count = operations_of if both.by_text else computing
        now = count(other)
        now.subtract(count(one))
        changes = {each: now[each] - last[each] for each in sorted({*now, *last}) if now[each] != last[each]}
        told = {each: by for each, by in changes.items() if is_operation(each) or abs(now[each]) > abs(last[each])}
        lines = _only_in_one(one, other) if both.by_text else []
        new = [line for line in lines if line not in other_lines] if len(lines) > len(other_lines) else []
        where = both.formed_otherwise(step) or step.where.format("")
        if not found:
            parted = difference(where, *step.codes, both.by_text)
            found += [replace(parted, lines=() if parted.operations else parted.lines)] if parted else []
        elif told or new:
            found.append(Difference(where, told, () if told else _pair(new)))
        last, other_lines = now, {*lines}
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


def _wanted(both: _Both, name: str) -> str:
    """The first's number of the kernel called ``name``, by its number or its whole name in one of both."""
    whole = [{f"{number}_{computes}".rstrip("_"): number for number, computes in side.items()} for side in both.kernels]
    back = {number: first for first, number in both.pairs.items()}
    as_first, as_second = (side.get(name, name) for side in whole)
    found = {each for each in (as_first, back.get(as_second)) if each in both.pairs}
    if not found:
        known = [each for each, number in whole[0].items() if number in both.pairs]
        raise BenchError(f"There is no kernel {name} in both: {', '.join(known) or 'there is none'}.")
    if all(name in side for side in both.kernels) and both.pairs.get(name) != name:
        names = [f"{name}_{side[name]}".rstrip("_") + f" in the {which}" for side, which in _by_side(both.kernels)]
        raise BenchError(f"{name} is {' and '.join(names)}: give the whole name of one.")
    return as_first if as_first in found else found.pop()


def paired(first: Mapping[str, str], second: Mapping[str, str]) -> dict[str, str]:
    """Kernels of two modules that are one, in their order: by what they compute, by its shape, by their place.

    >>> paired({"m_dispatch_0": "pad", "m_dispatch_1": "conv_2x3"}, {"m_dispatch_0": "conv_2x3"})
    {'m_dispatch_1': 'm_dispatch_0'}
    """
    one, other = (list(side.items()) for side in (first, second))
    found, at = {}, (0, 0)
    for here, there in [*_aligned([name for _, name in one], [name for _, name in other]), (len(one), len(other))]:
        if here - at[0] == there - at[1]:  # as many between: these are one by their place
            found |= {a: b for (a, _), (b, _) in zip(one[at[0] : here], other[at[1] : there], strict=True)}
        found |= {a: b for (a, _), (b, _) in zip(one[here : here + 1], other[there : there + 1], strict=True)}
        at = here + 1, there + 1
    return found


def _aligned(one: Sequence[str], other: Sequence[str]) -> list[tuple[int, int]]:
    """Places in both of most names that are the same, or else of one shape, in the same order in both."""
    best: dict[tuple[int, int], tuple[int, int, list[tuple[int, int]]]] = {}
    nothing = (0, 0, [])
    for a in reversed(range(len(one))):
        for b in reversed(range(len(other))):
            same, alike, pairs = best.get((a + 1, b + 1), nothing)
            is_same, is_alike = one[a] == other[b], _shape(one[a]) == _shape(other[b])
            ways = [best.get((a + 1, b), nothing), best.get((a, b + 1), nothing)]
            ways += [(same + is_same, alike + 1, [(a, b), *pairs])] if is_alike else []
            best[a, b] = max(ways, key=lambda way: way[:2])
    return best.get((0, 0), nothing)[2]


def _shape(computes: str) -> str:
    found = re.search(r"\d\w*", computes)
    return found[0] if found else computes


def _by_number(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]


def _kernels(passes: _Passes) -> dict[str, str]:
    """What each kernel computes, by its number, in their order."""
    found: dict[str, str] = {}
    for place in passes:
        number = _kernel_of(place)
        function = re.search(rf"_func_{re.escape(number)}_(\w+)$", place)
        if number:
            found[number] = function[1] if function else found.get(number, "")
    return {number: found[number] for number in sorted(found, key=_by_number)}


def _kernel_of(place: str) -> str:
    owner = _KERNEL.match(place)
    return owner[1] if owner else ""


def _is_of(place: str, begins: str) -> bool:
    """Whether ``place`` is below the place or kernel ``begins``; the empty one is all that is no kernel's."""
    return _kernel_of(place) == begins or bool(begins) and f"{place}/".startswith(f"{begins}/")


def _placed(passes: _Passes, names: Mapping[str, str]) -> _Passes:
    """``passes`` with other numbers of kernels; a function is its kernel's, as what it computes may be what differs."""

    moved = {number: name for number, name in names.items() if number != name}
    numbers = re.compile(rf"(?:{'|'.join(map(re.escape, moved))})(?!\d)")

    def renamed(text: str) -> str:
        return numbers.sub(lambda found: moved[found[0]], text) if moved else text

    return {
        _COMPUTES.sub(r"\1", renamed(place)): [each._replace(code=renamed(each.code)) for each in ran]
        for place, ran in passes.items()
    }


def _steps(one: Sequence[_Pass], other: Sequence[_Pass], with_those_alone: bool) -> Iterator[_Step]:
    """Behind each pass that both ran in the same order, and behind those that only one of them ran between these.

    Two versions have passes of one kind in other places: there it is the next one that both ran.
    """
    seen = (0, 0)
    for block in difflib.SequenceMatcher(
        None, *([each.name for each in side] for side in (one, other)), autojunk=False
    ).get_matching_blocks():
        starts = list(zip((one, other), seen, (block.a, block.b), strict=True))
        only = [[each.name for each in side[before:after]] for side, before, after in starts]
        if with_those_alone and any(only) and block.a and block.b:
            last = [side[after - 1] for side, _, after in starts]
            yield _step(f"the passes{{}}{_only(only)}", *last)
        for first, second in zip(
            one[block.a : block.a + block.size], other[block.b : block.b + block.size], strict=True
        ):
            yield _step(f"pass {first.name}{{}}{_other_options(first, second)}", first, second)
        seen = block.a + block.size, block.b + block.size


def _step(where: str, first: _Pass, second: _Pass) -> _Step:
    return _Step("", (first.order, second.order), where, (first.code, second.code))


def _other_options(first: _Pass, second: _Pass) -> str:
    """Options that only one of two runs of a pass has; older versions write none."""
    if not (first.options and second.options) or first.options == second.options:
        return ""
    gone = [each for each in first.options if each not in second.options]
    come = [each for each in second.options if each not in first.options]
    told = [f"{' '.join(each)} in the {side}" for each, side in _by_side((gone, come)) if each]
    return f" ({', '.join(told)})".replace("{", "{{").replace("}", "}}")


def _by_side(both: Sequence[_Each]) -> Iterator[tuple[_Each, str]]:
    return zip(both, ("first", "second"), strict=True)


def _only(passes: Sequence[Sequence[str]]) -> str:
    """Passes that stand before, in one of both compilations."""
    told = [f"{', '.join(names)} only in the {side}" for names, side in _by_side(passes) if names]
    return f" (behind {'; '.join(told)})" if told else ""


def _passes(side: Side, folder: Path) -> _Passes:
    """What is behind each pass but those that only run others, by the operation that it ran on."""
    side.compile(
        *("--compile-to=hal", "--mlir-print-ir-after-all", f"--mlir-print-ir-tree-dir={folder}", *SHORT),
        *("-o", folder.with_suffix(".mlir")),
    )
    return read_passes(folder)


def read_passes(folder: Path) -> _Passes:
    """The files that the compiler wrote into ``folder``, one behind each pass."""
    found: _Passes = {}
    for file in folder.rglob("*.mlir"):
        name = re.fullmatch(r"(\d+(?:_\d+)*)_(.+)\.mlir", file.name)
        place = "/".join(file.parent.relative_to(folder).parts[1:])
        if name and not name[2].startswith((_SERIALIZING, _WRAPPER)) and not _kernel_of(place).endswith(_LINKED):
            order = tuple(int(number) for number in name[1].split("_"))
            code = file.read_text(encoding="utf-8", errors="replace")
            options = _OPTIONS.match(code)
            known = tuple(options[1].split()) if options else ()
            found.setdefault(place, []).append(_Pass(order, name[2], known, code))
    return {place: sorted(ran) for place, ran in found.items()}
