# SPDX-License-Identifier: Apache-2.0
"""The passes of one compilation in the order in which they ran, and those of two side by side.

The compiler writes a file behind each pass (``--mlir-print-ir-tree-dir``), in a folder for the operation that it ran
on. The numbers in its name are how often files were written of each operation around it, and of itself: so
``33_47_x.mlir`` ran behind the module's pass 33 and before its pass 34.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from springbok.exploring.alignment import Gain, side_by_side
from springbok.exploring.phases import computing, normal, operations_of, without_kernels

_SERIALIZING = "iree-hal-serialize-"  # begins names of passes behind which a kernel is machine code
# What runs passes on each function: it does nothing itself, and is also written down within the pass that runs it.
_WRAPPER = "iree-op-pipeline-adaptor"
_LINKED = "_linked"  # ends the name of what holds the machine code of all kernels
_KERNEL = re.compile(r"(?:flow|stream|hal)_executable_(?!variant_)(\w+)")
_COMPUTES = re.compile(r"(_func_\w+?_(?:dispatch|encoding)_\d+)_\w+")
_OPTIONS = re.compile(r"// -----// IR Dump After [^{\n]*\{(.*)\} //-----")
_ALIAS = re.compile(r"^([#!][A-Za-z_]\w*) = (.*)\n", re.MULTILINE)
_NAME = re.compile(r"[#!][A-Za-z_]\w*")


@dataclass(frozen=True, eq=False)
class Pass:
    """A run of a pass: where it is in the order, the operation that it ran on, and the code of that behind it."""

    order: tuple[int, ...]
    place: str
    name: str
    options: tuple[str, ...]
    code: str

    @property
    def runs_others(self) -> bool:
        """Whether the pass does nothing itself."""
        return self.name.startswith(_WRAPPER)

    @cached_property
    def key(self) -> str:
        """Its place in both compilations: a function is its kernel's, as what it computes may be what differs."""
        return _COMPUTES.sub(r"\1", self.place)

    @property
    def kernel(self) -> str:
        """The number of the kernel that it ran on; empty for the module and its functions."""
        return kernel_of(self.place)

    @cached_property
    def view(self) -> str:
        """Its code as it is compared: the module's is without that of its kernels, which are compared by themselves."""
        return self.code if self.place else without_kernels(inlined(self.code))

    @cached_property
    def text(self) -> str:
        """`view` without what is no difference."""
        return normal(self.view)

    @cached_property
    def counts(self) -> Counter[str]:
        """Operations that compute, with pipeline and tiles."""
        return computing(self.text)

    @cached_property
    def whole(self) -> str:
        """As `text`, with kernels."""
        return self.text if self.place else normal(inlined(self.code))

    @cached_property
    def whole_counts(self) -> Counter[str]:
        """As `counts`, with kernels."""
        return self.counts if self.place else computing(self.whole)

    @cached_property
    def operations(self) -> Counter[str]:
        """All operations."""
        return operations_of(self.text)

    def is_as(self, other: Pass, by_text: bool) -> bool:
        """Whether the code behind both is the same."""
        return self.text == other.text if by_text else self.counts == other.counts


def kernel_of(place: str) -> str:
    """The number of the kernel that a place is in; empty for one in none."""
    owner = _KERNEL.match(place)
    return owner[1] if owner else ""


def is_within(place: str, outer: str) -> bool:
    """Whether ``place`` is ``outer`` or nested in it; the module's is the empty one.

    >>> is_within("util_func_main", ""), is_within("a_1/b", "a_1"), is_within("a_12", "a_1")
    (True, True, False)
    """
    return not outer or f"{place}/".startswith(f"{outer}/")


def read_passes(folder: Path) -> list[Pass]:
    """The files that the compiler wrote into ``folder``, one behind each pass, in the order of execution."""
    found: list[Pass] = []
    for file in folder.rglob("*.mlir"):
        name = re.fullmatch(r"(\d+(?:_\d+)*)_(.+)\.mlir", file.name)
        place = "/".join(file.parent.relative_to(folder).parts[1:])
        if name and not name[2].startswith(_SERIALIZING) and not kernel_of(place).endswith(_LINKED):
            code = file.read_text(encoding="utf-8", errors="replace")
            options = _OPTIONS.match(code)
            order = tuple(int(number) for number in name[1].split("_"))
            found.append(Pass(order, place, name[2], tuple(options[1].split()) if options else (), code))
    return _in_order(found)


def _in_order(passes: Sequence[Pass]) -> list[Pass]:
    """By order: a function's own number tells nothing of its neighbour's, but its place among those of one run does."""
    runs: dict[tuple[str, tuple[int, ...]], list[Pass]] = defaultdict(list)
    for each in sorted(passes, key=lambda each: each.order):
        runs[each.place, each.order[:-1]].append(each)
    outer = {each.place.rpartition("/")[0] for each in passes if each.place}
    keys = {
        id(each): (*before, each.order[-1] if place in outer else number)
        for (place, before), ran in runs.items()
        for number, each in enumerate(ran)
    }
    return sorted(passes, key=lambda each: (keys[id(each)], each.place))


def state_before(passes: Sequence[Pass], at: int, place: str | None = None) -> str | None:
    """The code, as it is compared, on which the pass ``at`` of ``passes`` ran; None where no file shows it.

    It is that of the pass before on the same operation, or as that of an operation around it shows it. With ``place``
    it is that operation's, at that time.
    """
    place = passes[at].place if place is None else place
    behind_others = None
    for each in reversed(passes[:at]):
        if each.place == place:
            if not each.runs_others:
                return each.view
            behind_others = each.view  # the first: what runs others within the pass itself writes one of its end
        elif is_within(each.place, place) and (place or not each.kernel):
            return behind_others
        elif is_within(place, each.place) and not each.runs_others:
            return part_of(each.code if each.place else inlined(each.code), place[len(each.place) :].strip("/"))
    return behind_others


def part_of(code: str, place: str) -> str | None:
    """The operation of MLIR's text that is at ``place`` in it, as it is printed by itself; None where it is not found.

    >>> part_of("module {\\n  util.func public @f() {\\n    util.return\\n  }\\n}", "util_func_f")
    'util.func public @f() {\\n  util.return\\n}'
    """
    lines = code.splitlines()
    for part in place.split("/"):
        begin = next((at for at, line in enumerate(lines) if at and _part(line) == part), None)
        begin = 0 if begin is None and lines and _part(lines[0]) == part else begin
        if begin is None:
            return None
        indent = len(lines[begin]) - len(lines[begin].lstrip())
        end = next(
            (at for at in range(begin + 1, len(lines)) if lines[at].startswith(f"{' ' * indent}}}")), len(lines) - 1
        )
        lines = [line[indent:] for line in lines[begin : end + 1]]
    return "\n".join(lines).removeprefix("builtin.")


def _part(line: str) -> str:
    """What the folder of the operation is called that begins at a line; empty where none does."""
    found = re.match(r" *([a-z]\w*(?:\.\w+)*)\b(?:[^@(]*@([\w$.-]+))?.*\{$", line)
    if not found:
        return ""
    operation = "builtin.module" if found[1] == "module" else found[1]
    symbol = found[2] if found[2] and operation != "util.initializer" else "no-symbol-name"
    return f"{operation}_{symbol}".replace(".", "_")


def inlined(code: str) -> str:
    """A module's text with attributes and types where they are used, as those of its parts are printed.

    >>> inlined("#map = affine_map<(d0) -> (d0)>\\nmodule {\\n  a.b {map = #map}\\n}\\n")
    'module {\\n  a.b {map = affine_map<(d0) -> (d0)>}\\n}\\n'
    """
    known: dict[str, str] = {}

    def told(text: str) -> str:
        return _NAME.sub(lambda found: known.get(found[0], found[0]), text)

    for found in _ALIAS.finditer(code):
        known[found[1]] = told(found[2])
    return told(_ALIAS.sub("", code)) if known else code


def aligned(one: Sequence[Pass], other: Sequence[Pass], by_text: bool) -> list[tuple[int, int]]:
    """Places in both of passes that are one, in one order: most of those that change something, and of all others."""
    first, last = 0, 0
    shorter = min(len(one), len(other))

    def is_one(a: Pass, b: Pass) -> bool:
        return (a.key, a.name) == (b.key, b.name)

    while first < shorter and is_one(one[first], other[first]) and one[first].is_as(other[first], by_text):
        first += 1
    while last < shorter - first and is_one(one[-1 - last], other[-1 - last]):
        if not one[-1 - last].is_as(other[-1 - last], by_text):
            break
        last += 1
    ends = len(one) - last, len(other) - last
    works = _working(one, by_text), _working(other, by_text)

    def gain(a: int, b: int) -> Gain | None:
        if not is_one(one[a], other[b]):
            return None
        return works[0][a] and works[1][b], 1, one[a].is_as(other[b], by_text)

    between = side_by_side(range(first, ends[0]), range(first, ends[1]), gain)
    same_ends = [(ends[0] + at, ends[1] + at) for at in range(last)]
    return [*((at, at) for at in range(first)), *between, *same_ends]


def _working(passes: Sequence[Pass], by_text: bool) -> list[bool]:
    """Whether the code behind each is other than behind the one before on the same operation."""
    before: dict[str, Pass] = {}
    found = []
    for each in passes:
        found.append(each.key not in before or not each.is_as(before[each.key], by_text))
        before[each.key] = each
    return found
