# SPDX-License-Identifier: Apache-2.0
"""Which flag, which phase and which pass makes the difference between two modules of one model: `./bench phases`.

`minimal` looks for the fewest flags that make the difference between two sets. `by_phase` compiles both with the code
of every phase written down, and holds them against each other; `by_pass` does so behind every pass, those that make
the kernels too, and `of_kernel` every pass that adds to the difference of one kernel. The two may be versions of the
compiler as well: then numbers of operations are compared, and how kernels are to be made.

Code is compared without locations and names of values, so that only what is computed, and how, counts.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from springbok.compiler import iree
from springbok.support import process
from springbok.support.errors import BenchError, CompileError

#: The phases of the compilation in order; kernels are made between the last two.
PHASES = ("input", "abi", "preprocessing", "global-optimization", "dispatch-creation", "flow", "stream", "hal")
_COMPUTING = ("affine.", "arith.", "linalg.", "llvm.", "math.", "memref.", "scf.", "tensor.", "vector.")
_CHEAP = ("arith.constant", "tensor.empty", "memref.alloca", "llvm.mlir.constant")
_MOST_LINES, _MOST_OPERATIONS, _MOST_LETTERS = 12, 8, 200


# ---- Flags


def minimal(flags: Sequence[str], makes_it: Callable[[Sequence[str]], bool]) -> tuple[str, ...]:
    """The fewest of ``flags``, in their order, with which ``makes_it`` still holds, as it does with all of them.

    None of those that are left can go alone (delta debugging, Zeller and Hildebrandt 2002).

    >>> minimal("abcdefgh", lambda kept: {"c", "g"} <= set(kept))
    ('c', 'g')
    """
    kept, parts = list(flags), 2
    while len(kept) > 1:
        size = -(-len(kept) // parts)
        pieces = [kept[at : at + size] for at in range(0, len(kept), size)]
        smaller = next((piece for piece in pieces if makes_it(piece)), None)
        if smaller is not None:
            kept, parts = smaller, 2
            continue
        rests = [[each for each in kept if each not in piece] for piece in pieces]
        smaller = next((rest for rest in rests if rest and makes_it(rest)), None) if len(pieces) > 2 else None
        if smaller is not None:
            kept, parts = smaller, max(parts - 1, 2)
        elif parts >= len(kept):
            break
        else:
            parts = min(len(kept), 2 * parts)
    return tuple(kept)


def differing(first: Sequence[str], second: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The flags of ``first`` that ``second`` has not, or otherwise, and the reverse."""
    return tuple(each for each in first if each not in second), tuple(each for each in second if each not in first)


def joined(base: Sequence[str], given: Sequence[str]) -> tuple[str, ...]:
    """``base`` with the flags ``given`` in place of those of the same names, or behind them.

    >>> joined(("--a=1", "--b"), ("--a=2", "--c"))
    ('--b', '--a=2', '--c')
    """
    names = {flag.partition("=")[0] for flag in given}
    return (*(flag for flag in base if flag.partition("=")[0] not in names), *given)


# ---- Phases and passes


@dataclass(frozen=True)
class Side:
    """One of two compilations: the compiler, the model's MLIR file, and the flags."""

    compiler: Path
    source: Path
    flags: tuple[str, ...]

    def compile(self, *looking: object) -> None:
        """Compiles with further flags. Raises `CompileError` with the compiler's first error."""
        done = iree.run_compiler([self.compiler, self.source, *self.flags, *looking])
        if done.timed_out or done.exit_code:
            errors = [line for line in done.output.splitlines() if "error:" in line]
            reason = errors[0] if errors else process.ending(done.exit_code)
            raise CompileError(f"iree-compile can't compile {self.source.name} with {' '.join(self.flags)}: {reason}")


@dataclass(frozen=True)
class Difference:
    """Where two compilations part: a phase or a pass, in which function or kernel, and what is other there.

    ``operations`` are how many more of each the second one has; ``lines`` is the beginning of the difference as text.
    """

    where: str
    operations: Mapping[str, int]
    lines: tuple[str, ...]

    def describe(self) -> str:
        """A line, then the difference."""
        changed = sorted(self.operations.items(), key=lambda item: (-abs(item[1]), item[0]))[:_MOST_OPERATIONS]
        counts = ", ".join(f"{name} {count:+}" for name, count in changed)
        return "\n".join([f"{self.where}: {counts or 'the same operations, otherwise'}", *self.lines])


# What flags are written to, whatever they do; and what each file begins with.
_TARGET = re.compile(r'<"llvm-cpu", "[^"]*", \{[^{}]*\}>')
_HEAD = ("// -----//", "#device_target_", "#executable_target_")
_MACHINE_CODE = re.compile(r"(\bdata = |application/x-elf.* = )dense\w*<[^<>]*> : vector<\d+xi8>")
_LOCATION = re.compile(r" loc\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)$|^#loc.*$", re.MULTILINE)
_VALUE = re.compile(r"%[\w$.-]+(?:#\d+)?")
_OPERATION = re.compile(r"^ *(?:%[^=]*= )?\"?([a-z_]\w*(?:\.\w+)+)", re.MULTILINE)
_PIPELINE = re.compile(r"\bpipeline = (?:#iree_\w+\.pipeline<)?(?:CPU)?(\w+)")
_ENABLED = re.compile(r"\benable_\w+")
_LOWERING = re.compile(r"#iree_\w+\.lowering_config<([^>]*)>")
_SIZES = re.compile(r"\w+ = \[[^\]]*\]+")
_LONG = re.compile(r'dense(?:_resource)?<(?:"0x[0-9A-F]{64,}"|[^<>]{200,})>')


def normal(code: str) -> str:
    """MLIR's text without locations and machine code, with values numbered anew in each line, and long constants cut.

    >>> normal("%7 = arith.addi %arg0, %5 : i32 loc(#loc3)")
    '%0 = arith.addi %1, %2 : i32'
    """
    lines = []
    code = _MACHINE_CODE.sub(r"\1…", _LOCATION.sub("", code))
    for line in _TARGET.sub("<…>", _LONG.sub("dense<…>", code)).splitlines():
        known: dict[str, str] = {}
        text = _VALUE.sub(lambda found, known=known: known.setdefault(found[0], f"%{len(known)}"), line)
        if text.strip() and not text.startswith(_HEAD):
            lines.append(text.rstrip())
    return "\n".join(lines)


def operations_of(code: str) -> Counter[str]:
    """How often each operation is in MLIR's text.

    >>> operations_of("%0 = arith.addi %1, %2 : i32\\n  linalg.generic {}")["arith.addi"]
    1
    """
    return Counter(_OPERATION.findall(code))


def _computing(code: str) -> Counter[str]:
    """The operations that compute, and how a kernel is to be made of them: the same whatever version wrote it."""
    operations = operations_of(code)
    kept = {name: count for name, count in operations.items() if name.startswith(_COMPUTING) and name not in _CHEAP}
    sizes = (size for config in _LOWERING.findall(code) for size in _SIZES.findall(config))
    pipelines = Counter(f"pipeline {name}" for name in _PIPELINE.findall(code))
    return Counter(kept) + pipelines + Counter(_ENABLED.findall(code)) + Counter(sizes)


def difference(where: str, first: str, second: str, by_text: bool = True) -> Difference | None:
    """What is other in the code of two compilations at one place; None where it is the same but for names.

    Without ``by_text`` only how often each operation that computes is there counts, and by which pipeline and tiles the
    kernel is made: two versions write the rest otherwise.
    """
    one, other = normal(first), normal(second)
    before, after = map(operations_of if by_text else _computing, (one, other))
    changes = {name: after[name] - before[name] for name in sorted({*before, *after}) if after[name] != before[name]}
    if one == other or not (changes or by_text):
        return None
    unified = list(difflib.unified_diff(one.splitlines(), other.splitlines(), lineterm="", n=0))[2:]
    shown = [line[:_MOST_LETTERS] for line in unified if not line.startswith("@@")]
    more = [f"… {len(shown) - _MOST_LINES} more lines"] if len(shown) > _MOST_LINES else []
    return Difference(where, changes, tuple([*shown[:_MOST_LINES], *more]))


def by_phase(first: Side, second: Side, folder: Path) -> list[Difference]:
    """The phases whose code differs, in order; empty where all are equal: kernels are made otherwise then."""
    by_text = first.compiler == second.compiler
    one, other = (_phases(side, folder / f"phases-{number}") for number, side in enumerate((first, second)))
    there = [name for name in PHASES if name in one and name in other]
    found = (difference(f"phase {name}", one[name], other[name], by_text) for name in there)
    return [each for each in found if each]


def _phases(side: Side, folder: Path) -> dict[str, str]:
    side.compile(
        "--compile-to=hal", f"--dump-compilation-phases-to={folder}", "-o", folder.with_suffix(".mlir"), *_SHORT
    )
    return {name: file.read_text(encoding="utf-8") for name in PHASES for file in folder.glob(f"*.{name}.mlir")}


_SHORT = ("--mlir-elide-elementsattrs-if-larger=64", "--mlir-elide-resource-strings-if-larger=64")
_SERIALIZING = "iree-hal-serialize-"  # begins names of passes behind which a kernel is machine code
_LINKED = "_linked"  # ends the name of what holds the machine code of all kernels
_COMPUTES = re.compile(r"(/\w+_func_\w*?_dispatch_\d+)_\w+")
_MODULE = "the module"
_EXECUTABLE = re.compile(r"^( +)(?:flow|stream|hal)\.executable\b[^\n]*\{\n(?:\1[ ][^\n]*\n|\n)*\1\}\n", re.MULTILINE)
_Pass = tuple[tuple[int, ...], str, str]  # order, name, the code behind it
_Orders = tuple[tuple[int, ...], tuple[int, ...]]  # of a pass in both compilations


def by_pass(first: Side, second: Side, folder: Path) -> list[Difference]:
    """The first pass, up to the phase `hal`, behind which the module, and each kernel, differs: by order of passes.

    Passes that only one of both compilations has run on it before are named too.
    """
    by_text = first.compiler == second.compiler
    one, other = (_passes(side, folder / f"passes-{number}") for number, side in enumerate((first, second)))
    found: dict[str, tuple[_Orders, Difference]] = {}  # by kernel; the module is the empty one
    for place in sorted(one.keys() & other.keys()):
        if not by_text and _kernel_of(place).endswith(_LINKED):
            continue  # the code of kernels that were compared
        parted = _where_they_part(_kernel_of(place) or place or _MODULE, one[place], other[place], by_text)
        key = _kernel_of(place)
        if parted and (key not in found or parted[0] < found[key][0]):
            found[key] = parted
    for key, (orders, parted) in found.items():
        ran = [_before(key, *each) for each in zip((one, other), orders, strict=True)]
        alone = [[name for name in names if name not in ran[1 - side]] for side, names in enumerate(ran)]
        found[key] = orders, replace(parted, where=parted.where + _only(alone))
    return [each for _, each in sorted(found.values(), key=lambda item: item[0])]


def of_kernel(first: Side, second: Side, folder: Path, kernel: str) -> list[Difference]:
    """Every pass that adds to the difference of one kernel or takes from it, in order, with what it adds.

    ``kernel`` is named as `by_pass` does, such as ``main_dispatch_2``, or as modules do, with what it computes. Only
    operations that compute count, and how the kernel is to be made. Raises `BenchError` where a compilation has no such
    kernel.
    """
    one, other = (_passes(side, folder / f"passes-{number}") for number, side in enumerate((first, second)))
    places = one.keys() & other.keys()
    known = sorted({each for each in map(_kernel_of, places) if each and not each.endswith(_LINKED)}, key=_by_number)
    kernel = next((each for each in known if f"{kernel}_".startswith(f"{each}_")), kernel)
    if kernel not in known:
        raise BenchError(f"There is no kernel {kernel} in both: {', '.join(known) or 'there is none'}.")
    pairs = []
    for place in (each for each in places if _kernel_of(each) == kernel):
        for block in _matching([one[place], other[place]]):
            ends = block.a + block.size, block.b + block.size
            pairs += zip(one[place][block.a : ends[0]], other[place][block.b : ends[1]], strict=True)
    found, last = [], Counter[str]()
    for (_, name, code), (_, _, other_code) in sorted(pairs):
        now = _computing(normal(other_code))
        now.subtract(_computing(normal(code)))
        changes = {each: now[each] - last[each] for each in sorted({*now, *last}) if now[each] != last[each]}
        if changes:
            found.append(Difference(f"pass {name}", changes, ()))
        last = now
    return found


def _by_number(name: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", name)]


def _matching(sides: Sequence[Sequence[_Pass]]) -> list[difflib.Match]:
    """Where both compilations have the same passes in the same order."""
    names = [[name for _, name, _ in side] for side in sides]
    return difflib.SequenceMatcher(None, *names, autojunk=False).get_matching_blocks()


def _without_kernels(code: str) -> str:
    """A module without the code of its kernels, which are compared by themselves.

    >>> _without_kernels("module {\\n  hal.executable private @a {\\n    arith.addi\\n  }\\n  util.global @b\\n}")
    'module {\\n  util.global @b\\n}'
    """
    return _EXECUTABLE.sub("", code)


def _kernel_of(place: str) -> str:
    owner = re.match(r"hal_executable_(\w+)", place)
    return owner[1] if owner else ""


def _before(kernel: str, passes: Mapping[str, Sequence[_Pass]], order: tuple[int, ...]) -> list[str]:
    """Names of the passes that ran on a kernel, or the module, before ``order``: each once, in order."""
    ran = (each for place, all_of_it in passes.items() if _kernel_of(place) == kernel for each in all_of_it)
    return list(dict.fromkeys(name for _, name, _ in sorted(each for each in ran if each[0] < order)))


def _where_they_part(
    place: str, one: Sequence[_Pass], other: Sequence[_Pass], by_text: bool
) -> tuple[_Orders, Difference] | None:
    """The first pass of one place that differs, of those that both compilations have in the same order."""
    seen = (0, 0)  # passes of both that were compared, or stand before those
    for block in _matching((one, other)):
        starts = zip((one, other), seen, (block.a, block.b), strict=True)
        only = [[name for _, name, _ in side[before:after]] for side, before, after in starts]
        if by_text and any(only):
            orders = tuple(side[min(at, len(side) - 1)][0] for side, at in zip((one, other), seen, strict=True))
            return orders, Difference(f"the passes of {place}{_only(only)}", {}, ())
        for (order, name, code), (other_order, _, other_code) in zip(
            one[block.a : block.a + block.size], other[block.b : block.b + block.size], strict=True
        ):
            if not by_text and place == _MODULE:
                found = difference(f"pass {name} of {place}", *map(_without_kernels, (code, other_code)), by_text)
            else:
                found = difference(f"pass {name} of {place}", code, other_code, by_text)
            if found:
                return (order, other_order), found
        seen = (block.a + block.size, block.b + block.size)
    return None


def _only(passes: Sequence[Sequence[str]]) -> str:
    """Passes that stand before, in one of both compilations."""
    told = [
        f"{', '.join(names)} only in the {side}"
        for names, side in zip(passes, ("first", "second"), strict=True)
        if names
    ]
    return f" (behind {'; '.join(told)})" if told else ""


def _passes(side: Side, folder: Path) -> dict[str, list[_Pass]]:
    """What is behind each pass, by the operation that it ran on."""
    side.compile(
        *("--compile-to=hal", "--mlir-print-ir-after-all", f"--mlir-print-ir-tree-dir={folder}", *_SHORT),
        *("-o", folder.with_suffix(".mlir")),
    )
    found: dict[str, list[_Pass]] = {}
    for file in folder.rglob("*.mlir"):
        name = re.fullmatch(r"(\d+(?:_\d+)*)_(.+)\.mlir", file.name)
        if name and not name[2].startswith(_SERIALIZING):
            order = tuple(int(number) for number in name[1].split("_"))
            # A function is named by what it computes, which may be what differs: its kernel's number tells it.
            place = _COMPUTES.sub(r"\1", "/".join(file.parent.relative_to(folder).parts[1:]))
            found.setdefault(place, []).append((order, name[2], file.read_text(encoding="utf-8", errors="replace")))
    return {place: sorted(passes) for place, passes in found.items()}
