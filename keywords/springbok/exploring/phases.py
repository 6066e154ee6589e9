# SPDX-License-Identifier: Apache-2.0
"""Which flag, which phase and which pass makes the difference between two modules of one model: `./bench phases`.

`minimal` looks for the fewest flags that make the difference between two sets. `by_phase` compiles both with the code
of every phase written down, and holds them against each other; `springbok.exploring.passes` does so behind every pass.
The two may be versions of the compiler as well: then numbers of operations are compared, and how kernels are to be
made.

Code is compared without locations and names of values, so that only what is computed, and how, counts.
"""

from __future__ import annotations

import difflib
import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from springbok.compiler import iree
from springbok.support import process
from springbok.support.errors import CompileError

#: The phases of the compilation in order; kernels are made between the last two.
PHASES = ("input", "abi", "preprocessing", "global-optimization", "dispatch-creation", "flow", "stream", "hal")
#: Flags for dumps without the values of long constants.
SHORT = ("--mlir-elide-elementsattrs-if-larger=64", "--mlir-elide-resource-strings-if-larger=64")
_COMPUTING = ("affine.", "arith.", "linalg.", "llvm.", "math.", "memref.", "scf.", "tensor.", "vector.")
_LEADING = ("iree_linalg_ext.", "linalg.", "vector.")
_CHEAP = ("arith.constant", "tensor.empty", "memref.alloca", "llvm.mlir.constant")
_MOST_LINES, _MOST_OPERATIONS, _MOST_LETTERS = 12, 12, 200


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

    ``operations`` are how many more of each the second one has; ``lines`` is the beginning of the difference as text;
    ``said`` is what there is to say where it is none of operations. A ``minor`` one makes nothing slower or larger;
    ``short`` is what it is of, empty where ``where`` is as short.
    """

    where: str
    operations: Mapping[str, int]
    lines: tuple[str, ...]
    said: str = "the same operations, otherwise"
    minor: bool = False
    short: str = ""

    def describe(self) -> str:
        """A line, then the difference: operations of matrices and vectors first, how they are to be made last."""
        changed = sorted(self.operations.items(), key=lambda item: (_rank(item[0]), -abs(item[1]), item[0]))
        counts = [f"{name} {count:+}" for name, count in changed[:_MOST_OPERATIONS]]
        counts += [f"… {len(changed) - len(counts)} more"] if len(changed) > len(counts) else []
        return "\n".join([f"{self.where}: {', '.join(counts) or self.said}", *self.lines])


def is_operation(name: str) -> bool:
    """Whether a name of `Difference.operations` is an operation's, and not how a kernel is to be made.

    >>> is_operation("linalg.generic"), is_operation("distribution = [32, 0]")
    (True, False)
    """
    return re.fullmatch(r"\w+(?:\.\w+)+", name) is not None


def _rank(name: str) -> int:
    return 0 if name.startswith(_LEADING) else 1 if is_operation(name) else 2


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
_EXECUTABLE = re.compile(r"^( +)(?:flow|stream|hal)\.executable\b[^\n]*\{\n(?:\1[ ][^\n]*\n|\n)*\1\}\n", re.MULTILINE)
# What only addresses are computed by; then a number of which one can be computed, if nothing else uses it.
_ADDRESS = re.compile(r" *(?:%[^=]*= )?(?:hal\.interface\.|util\.assume|memref\.assume_alignment|arith\.index_cast)")
_INDEX = re.compile(r" *(%[\w$.-]+) = arith\.constant \d+ : index\b")
_LOWERED_ADDRESS = re.compile(
    r" *(?:%[^=]*= )?(?:hal\.interface\.|util\.assume|affine\.apply|arith\.(?:constant [^:]*: (?:index|i32|i64)$"
    r"|addi|muli|index_cast)|memref\.(?:assume_alignment|extract_strided_metadata|reinterpret_cast|subview)"
    r"|llvm\.(?:mlir\.constant|add|mul|udiv|shl|lshr|getelementptr|ptrtoint|inttoptr)\b)"
)
_LAYOUT = re.compile(r", (?:strided<[^>]*>|affine_map<[^>]*->[^>]*>)(?=[,>])")
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


def without_addresses(code: str, lowered: bool = False) -> str:
    """A kernel's code as `normal` gives it, without how it computes where its buffers lie.

    Of ``lowered`` code, in which addresses are computed as all else, that is all that could be such computing.

    >>> code = "%c = arith.constant {} : index\\n%0 = hal.interface.binding.subspan binding(0) offset(%c) : memref<i8>"
    >>> without_addresses(code.format(0)) == without_addresses(code.format(1152))
    True
    """
    if lowered:
        kept = (line for line in normal(code).splitlines() if not _LOWERED_ADDRESS.match(line))
        return _LAYOUT.sub("", "\n".join(kept))
    lines = [line for line in code.splitlines() if not _ADDRESS.match(line)]
    used = Counter(name for line in lines for name in set(_VALUE.findall(line)))
    kept = (line for line in lines if not ((found := _INDEX.match(line)) and used[found[1]] == 1))
    return normal("\n".join(kept))


def operations_of(code: str) -> Counter[str]:
    """How often each operation is in MLIR's text.

    >>> operations_of("%0 = arith.addi %1, %2 : i32\\n  linalg.generic {}")["arith.addi"]
    1
    """
    return Counter(_OPERATION.findall(code))


def computing(code: str) -> Counter[str]:
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
    before, after = map(operations_of if by_text else computing, (one, other))
    changes = {name: after[name] - before[name] for name in sorted({*before, *after}) if after[name] != before[name]}
    if one == other or not (changes or by_text):
        return None
    return Difference(where, changes, text_of_difference(one.splitlines(), other.splitlines()))


def text_of_difference(first: Sequence[str], second: Sequence[str], most: int = _MOST_LINES) -> tuple[str, ...]:
    """The lines that only one of both has, ``most`` of them, each where it differs from the one in its place.

    >>> text_of_difference(["a", "b"], ["a", "c", "d"])
    ('-b', '+c', '+d')
    """
    shown = []
    for tag, a, b, c, d in difflib.SequenceMatcher(None, first, second).get_opcodes():
        if tag != "equal":
            gone, come = first[a:b], second[c:d]
            shown += [f"-{_cut(line, come[at : at + 1])}" for at, line in enumerate(gone)]
            shown += [f"+{_cut(line, gone[at : at + 1])}" for at, line in enumerate(come)]
    more = [f"… {len(shown) - most} more lines"] if len(shown) > most else []
    return (*shown[:most], *more)


def _cut(line: str, other: Sequence[str]) -> str:
    """A long line, cut to where it differs from the ``other`` one."""
    if len(line) <= _MOST_LETTERS:
        return line
    same = len(os.path.commonprefix([line, *other])) if other else 0
    start = max(0, min(same - _MOST_LETTERS // 4, len(line) - _MOST_LETTERS))
    end = start + _MOST_LETTERS
    return f"{'…' * (start > 0)}{line[start:end]}{'…' * (end < len(line))}"


def by_phase(first: Side, second: Side, folder: Path) -> list[Difference]:
    """The phases whose code differs, in order; empty where all are equal: kernels are made otherwise then."""
    by_text = first.compiler == second.compiler
    one, other = (_phases(side, folder / f"phases-{number}") for number, side in enumerate((first, second)))
    there = [name for name in PHASES if name in one and name in other]
    found = []
    for name in there:
        apart = difference(f"phase {name}", *map(without_kernels, (one[name], other[name])), by_text)
        found.append(apart or difference(f"phase {name} (in its kernels alone)", one[name], other[name], by_text))
    return [each for each in found if each]


def _phases(side: Side, folder: Path) -> dict[str, str]:
    side.compile(
        "--compile-to=hal", f"--dump-compilation-phases-to={folder}", "-o", folder.with_suffix(".mlir"), *SHORT
    )
    return {name: file.read_text(encoding="utf-8") for name in PHASES for file in folder.glob(f"*.{name}.mlir")}


def without_kernels(code: str) -> str:
    """A module without the code of its kernels, which are compared by themselves.

    >>> without_kernels("module {\\n  hal.executable private @a {\\n    arith.addi\\n  }\\n  util.global @b\\n}")
    'module {\\n  util.global @b\\n}'
    """
    return _EXECUTABLE.sub("", code)
