# SPDX-License-Identifier: Apache-2.0
"""The optimizer: rewrites a model between two halves of `iree-compile`, so that its kernels need fewer instructions.

The first half (``--compile-to=global-optimization``) leaves a model as `linalg` operations on tensors, with what
depends on constants alone already computed. Here it is rewritten, with the compiler's own Python bindings for MLIR;
the second half makes kernels of it. Every transformation is exact: for integers bit for bit, and floating-point
operations keep their order.

Each transformation is a module of its own, with its reason and its precondition. Outside its precondition it leaves
the model as it was, and says so. To add one, write its class and its line in `TRANSFORMATIONS`.

Example::

    plan = plan_for("standard", vectors=True, vlen=512)
    changes = rewrite(Path("half.mlirbc"), Path("rewritten.mlirbc"), plan.transformations)
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from springbok.chips.chip import Chip, Instruction
from springbok.compiler import iree
from springbok.compiler.optimizer import choices, guard
from springbok.compiler.optimizer.choices import Choice
from springbok.compiler.optimizer.transformation import WHOLE, Change, Transformation
from springbok.support.errors import ChipFunctionError, CompileError, CompilerDidNotEnd
from springbok.support.files import temporary_folder

#: Counts up when a transformation makes other code, so that no older cache entry is taken.
VERSION = 14

#: What ``optimize`` may be: stock IREE; all transformations, with the flags that are recorded for the model or the
#: default ones; the same, with flags that are measured if they are not known (see `springbok.exploring.search`).
LEVELS = ("none", "standard", "search")
_MOST_PLACES = 6  # of a model that messages name
DEFAULT_LEVEL = "standard"
_MUCH_LARGER = 4 / 3

#: The transformations, in the order in which they are applied.
CONSTANTS = "constants"  # which the first half of the compilation leaves to the optimizer, so it is never left out
ZERO_POINTS = "zero-points"
TRANSFORMATIONS = (
    *(CONSTANTS, ZERO_POINTS, "channels-last", "weight-layout", "offsets", "requantisation"),
    *("register-tiling", "pads"),
)

#: Sums of products by instructions of the chip's own, where its description says how.
OWN = "own-instructions"
_ORDER = (*TRANSFORMATIONS[:-2], OWN, *TRANSFORMATIONS[-2:])

_WHOLE = {"--iree-llvmcpu-disable-distribution": "true"}
_FIXED = _WHOLE | {"--scalable-vectorization": "off"}
_UNROLLED = {"--iree-llvmcpu-loop-unrolling": "true"}
_COMPACT = {"--unroll-threshold": "50", "--unroll-allow-partial": "true", "--unroll-runtime": "true"}

#: Sets of flags that a model may be better with. Which one is best differs from model to model; the first is the
#: default.
FLAG_SETS = {
    # LLVM unrolls as it likes: with vectors of fixed length, of any length, and loops cut into workgroups.
    "fixed": _FIXED,
    "whole": _WHOLE,
    "distributed": {},
    # Loops are unrolled to small bodies, so that their code stays small and its vectors in registers.
    "compact": _FIXED | _COMPACT,
    "scalable compact": _WHOLE | _COMPACT,
    # LLVM unrolls nothing, or in full only loops of four iterations at most: to small bodies, to its limit, to more.
    "rolled": _FIXED | {"--iree-llvmcpu-loop-unrolling": "false"},
    "short compact": _FIXED | _COMPACT | {"--unroll-full-max-count": "4"},
    "short": _FIXED | {"--unroll-full-max-count": "4"},
    "short deep": _FIXED | {"--unroll-full-max-count": "4", "--unroll-threshold": "400"},
    # Less memory for activations, mostly for more instructions.
    "fused pads": {"--iree-dispatch-creation-enable-fuse-padding-into-linalg-consumer-ops": "true"},
}
#: Taken where nothing is known of a model; a set that needs more memory than this one is not chosen.
DEFAULT_FLAG_SET = next(iter(FLAG_SETS))

#: The same for code without vectors: the first is as stock IREE has it, which unrolls nothing.
SCALAR_FLAG_SETS = {
    "scalar": {},
    "scalar unrolled": _UNROLLED,
    "scalar compact": _UNROLLED | _COMPACT,
    "scalar short": _UNROLLED | {"--unroll-full-max-count": "4"},
}

# A vector of the code is vscale times 64 bits.
_SCALE_FLAG = "--iree-llvmcpu-vscale-range"
_BITS_OF_SCALE = 64

_VECTOR_FLAGS = {
    "--iree-llvmcpu-loop-vectorization": "true",
    "--iree-llvmcpu-slp-vectorization": "true",
    "--iree-llvmcpu-loop-unrolling": "true",
    "--iree-llvmcpu-enable-scalable-vectorization": "true",
}


class Unreadable(CompileError):
    """The bindings can't read the model, so that nothing can be rewritten."""


@dataclass(frozen=True)
class Plan:
    """What is done to a model: names of transformations, and flags for `iree-compile`.

    ``flag_set`` names the flags in reports; it is empty for stock IREE. ``choice`` is how they were chosen. ``own`` are
    the chip's instructions that the transformation `OWN` may use.
    """

    level: str
    transformations: tuple[str, ...] = ()
    flag_set: str = ""
    flags: tuple[tuple[str, str], ...] = ()
    choice: Choice | None = field(default=None, compare=False)
    own: tuple[Instruction, ...] = ()

    @property
    def vlen(self) -> int | None:
        """The VLEN that the flags are for; None if they are for any."""
        scale = dict(self.flags).get(_SCALE_FLAG)
        return None if scale is None else int(scale.partition(",")[0]) * _BITS_OF_SCALE

    @property
    def holds_memory(self) -> bool:
        """Whether what would need more memory than stock IREE is left out: of what was counted, memory was too."""
        return self.choice is not None and self.choice.origin not in choices.COUNTED

    def with_own(self, chip: Chip) -> Plan:
        """The plan with what a chip's description says of its own instructions; the same where it says nothing."""
        own = tuple(each for each in chip.instructions if each.kernels)
        if not own or not self.transformations:
            return self
        names = tuple(each for each in _ORDER if each in (*self.transformations, OWN))
        return replace(self, transformations=names, own=own)

    def without(self, *names: str) -> Plan:
        """The same plan with these transformations switched off."""
        for name in names:
            if name not in _ORDER:
                raise CompileError(f"There is no transformation '{name}'. Known are: {', '.join(TRANSFORMATIONS)}.")
        left = tuple(each for each in self.transformations if each not in names)
        if left and CONSTANTS not in left:
            raise CompileError(f"Without '{CONSTANTS}' no other transformation is possible: switch all of them off.")
        return replace(self, transformations=left)


def plan_for(
    level: str, *, vectors: bool, vlen: int, flag_set: str | None = None, choice: Choice | None = None
) -> Plan:
    """The plan of a level for a core with vectors of ``vlen`` bits, or without; ``choice`` goes before ``flag_set``.

    Raises :class:`CompileError` for an unknown level.
    """
    if level not in LEVELS:
        raise CompileError(f"There is no optimization level '{level}'. Known are: {', '.join(LEVELS)}.")
    if level == "none":
        return Plan(level)
    chosen = tuple(name for name in TRANSFORMATIONS if vectors or not _transformation(name).vectors_only)
    sets = flag_sets(vectors)
    flag_set = choice.flag_set if choice else flag_set or next(iter(sets))
    if not vectors:
        return Plan(level, chosen, flag_set, tuple(sets[flag_set].items()), choice)
    if not has_flags(vectors, vlen):
        return Plan(level, chosen, "scalar", ())
    # The firmware refuses kernels of any other VLEN than the chip's.
    scale = vlen // _BITS_OF_SCALE
    flags = _VECTOR_FLAGS | {_SCALE_FLAG: f"{scale},{scale}"} | sets[flag_set]
    return Plan(level, chosen, flag_set, tuple(flags.items()), choice)


def has_flags(vectors: bool, vlen: int) -> bool:
    """Whether there are flags to choose: for vectors that LLVM can scale, and for none."""
    return not vectors or vlen >= _BITS_OF_SCALE


def flag_sets(vectors: bool) -> Mapping[str, Mapping[str, str]]:
    """The sets of flags that there are for code with vectors, or without; the first is the default."""
    return FLAG_SETS if vectors else SCALAR_FLAG_SETS


def proved_on(name: str) -> tuple[str, ...]:
    """The versions of the compiler on which the transformation of this name was proved."""
    return _transformation(name).proved_on


def compile_module(
    source: Path, flags: Sequence[str], plan: Plan, output: Path, name: str | None = None, *, for_host: bool = False
) -> tuple[iree.Compilation, list[Change]]:
    """Compiles as :func:`springbok.compiler.iree.compile_module`, with the plan's transformations between the halves.

    ``for_host`` is for the check on this machine: see `wide_products`.
    """
    compilation, changes = _compiled(source, flags, plan, output, name, for_host)
    if for_host or not plan.holds_memory or not applied(plan, changes).transformations:
        return compilation, changes
    stock_bytes = iree.planned_bytes(source, flags, name or source.name)
    if compilation.transient_bytes <= stock_bytes or _is_smaller(output, compilation, source, flags, name):
        return compilation, changes
    fewer = _within(stock_bytes, source, flags, applied(plan, changes), name or source.name)
    detail = (
        f"with it values between the layers need {compilation.transient_bytes:,} bytes, and as stock IREE makes them "
        f"{stock_bytes:,}"
    )
    left = [Change(each, WHOLE, False, detail) for each in plan.transformations if each not in fewer]
    compilation, changes = _compiled(source, flags, replace(plan, transformations=fewer), output, name, for_host)
    if ZERO_POINTS not in fewer:
        return compilation, [*changes, *left]
    kept = tuple(each for each in fewer if each != ZERO_POINTS)
    with temporary_folder() as folder:
        # Pixels of a pointwise convolution no longer lie side by side: its module is 1.7 to 8 times as large, and takes
        # 3 to 8 times stock IREE's instructions. Those of wider ones are 0.9 to 1.1 times as large, and faster.
        smaller = Path(folder) / "smaller.vmfb"
        without = _compiled(source, flags, replace(plan, transformations=kept), smaller, name, for_host)
        sizes = [file.stat().st_size for file in (output, smaller)]
        if sizes[0] > _MUCH_LARGER * sizes[1]:
            shutil.copyfile(smaller, output)
            compilation, changes = without
            detail = f"without channels-last it makes the module {sizes[0]:,} bytes in place of {sizes[1]:,}"
            left.append(Change(ZERO_POINTS, WHOLE, False, detail))
    return compilation, [*changes, *left]


def applied(plan: Plan, changes: Sequence[Change]) -> Plan:
    """The plan without the transformations that were left out as a whole."""
    left = {change.transformation for change in changes if change.place == WHOLE and not change.applied}
    return replace(plan, transformations=tuple(each for each in plan.transformations if each not in left))


def suspicion(plan: Plan, changes: Sequence[Change]) -> str:
    """What somebody can do whose module is wrong: what the optimizer did in it, by layers, and how to do without."""
    if plan.level == "none":
        return "It is as stock IREE compiles it (optimize=none): other flags, or another form of the layer, may help."
    return (
        "Compile it with optimize=none, as stock IREE does it: what is right then is a defect of the optimizer."
        f"{whereabouts(changes)}"
    )


def whereabouts(changes: Sequence[Change]) -> str:
    """A sentence on what the optimizer did, by layers, with a blank before it; nothing if it did nothing."""
    places: dict[str, list[str]] = {}
    for change in changes:
        if change.applied:
            places.setdefault(change.place.partition(" ")[0], []).append(change.transformation)
    named = [f"{place} ({', '.join(dict.fromkeys(names))})" for place, names in list(places.items())[:_MOST_PLACES]]
    more = f" and {len(places) - _MOST_PLACES} more layers" if len(places) > _MOST_PLACES else ""
    return f" The optimizer changed {', '.join(named)}{more}." if named else ""


def _is_smaller(
    module: Path, compilation: iree.Compilation, source: Path, flags: Sequence[str], name: str | None
) -> bool:
    """Whether the module, with what it needs between its layers, is no larger than stock IREE's."""
    with temporary_folder() as folder:
        stock = Path(folder) / "stock.vmfb"
        plain = iree.compile_module(source, flags, stock, name)
        needed, limit = (
            file.stat().st_size + each.transient_bytes for file, each in ((module, compilation), (stock, plain))
        )
    return needed <= limit


def _within(limit: int, source: Path, flags: Sequence[str], plan: Plan, name: str) -> tuple[str, ...]:
    """The most of the plan's transformations whose values between the layers need at most ``limit`` bytes."""
    widest = ("channels-last", "register-tiling", "pads")
    for left in ((OWN,), ("channels-last",), ("register-tiling", "pads"), widest, (OWN, *widest)):
        fewer = tuple(each for each in plan.transformations if each not in left)

        def between(half: Path, rewritten: Path, fewer=fewer) -> None:
            rewrite(half, rewritten, fewer, own=plan.own)

        if fewer != plan.transformations and iree.planned_bytes(source, flags, name, between) <= limit:
            return fewer
    return ()


def _compiled(
    source: Path, flags: Sequence[str], plan: Plan, output: Path, name: str | None, for_host: bool
) -> tuple[iree.Compilation, list[Change]]:
    """Compiles with as many of the transformations as the compiler takes."""
    left: list[Change] = []
    refused: CompileError | None = None
    tries = _fewer_and_fewer(plan.transformations)
    for number, fewer in enumerate(tries):
        halves: list[Path] = []
        changes: list[Change] = []

        def between(half: Path, rewritten: Path, fewer=fewer, halves=halves, changes=changes) -> None:
            halves.append(half)
            changes += rewrite(half, rewritten, fewer, for_host=for_host, own=plan.own)

        try:
            compilation = iree.compile_module(source, flags, output, name, between if fewer else None)
            if refused and number == 1:
                raise _of_own(plan.own, refused)
            return compilation, [*changes, *left]
        except Unreadable as error:
            changes = [Change(each, WHOLE, False, str(error)) for each in plan.transformations]
            return iree.compile_module(source, flags, output, name), changes
        except (CompilerDidNotEnd, ChipFunctionError):
            raise
        except CompileError as error:
            # An error of the first half, or of stock IREE, is the model's.
            if not halves or guard.is_strict():
                raise
            refused = error if any(each.transformation == OWN and each.applied for each in changes) else refused
            detail = f"the compiler refuses what it makes, a defect of the optimizer: {error}".partition("\n")[0]
            kept = tries[number + 1] if number + 1 < len(tries) else ()
            left += [Change(each, WHOLE, False, detail, failed=True) for each in fewer if each not in kept]
    raise AssertionError("stock IREE compiles the model, or raises")


def _of_own(own: Sequence[Instruction], error: CompileError) -> ChipFunctionError:
    """The error where the compiler takes the model without the chip's own instructions alone."""
    names = " or ".join(f"{each.kernels} (instruction {each.name})" for each in own)
    return ChipFunctionError(
        f"The compiler takes the model, and refuses what the chip's function {names} makes of it: {error}"
    )


def _fewer_and_fewer(transformations: Sequence[str]) -> list[Sequence[str]]:
    """What to try one after the other when the compiler refuses what was made: at last stock IREE."""
    found = [transformations]
    for gone in ((OWN,), ("register-tiling", "pads"), TRANSFORMATIONS[1:], TRANSFORMATIONS):
        left = tuple(each for each in found[-1] if each not in gone)
        found += [left] if left != tuple(found[-1]) else []
    return found


def describe(plan: Plan, changes: Sequence[Change]) -> str:
    """A few lines for a log: what each transformation did, and where it left the model as it was."""
    if not plan.transformations and not changes:
        return "optimizer: off, stock IREE"
    how = f": {plan.choice.describe()}" if plan.choice else ""
    lines = [f"optimizer: level {plan.level}, flags '{plan.flag_set}'{how}"]
    for name in _ORDER:
        own = [change for change in changes if change.transformation == name]
        left = [change for change in own if not change.applied]
        if name in plan.transformations or own:
            lines.append(f"  {name}: applied at {len(own) - len(left)} places")
        lines += [f"    left as it was: {change.place}: {change.detail}" for change in left]
    return "\n".join(lines)


def rewrite(
    source: Path,
    output: Path,
    transformations: Sequence[str],
    *,
    for_host: bool = False,
    own: Sequence[Instruction] = (),
) -> list[Change]:
    """Applies the transformations of these names to the MLIR file ``source``; writes MLIR bytecode to ``output``.

    This machine has none of the chip's ``own`` instructions.
    Where a transformation fails the model stays as it was, see `guard`. Raises :class:`Unreadable` when ``source``
    holds what the bindings don't know.
    """
    from iree.compiler import ir

    from springbok.compiler.mlir import write

    with ir.Context():
        content = source.read_bytes()

        def read() -> ir.Module:
            try:
                return ir.Module.parse(content)
            except ir.MLIRError as error:
                cause = str(error).partition("error: ")[2].partition("\n")[0]
                raise Unreadable(f"the compiler's bindings can't read what its first half made: {cause}") from None

        names = [name for name in transformations if name != OWN or not for_host]
        module, changes = guard.rewritten(read, [_transformation(name, own) for name in names])
        if for_host:
            from springbok.compiler.optimizer.wide_products import widen

            widen(module)
        write(module, output)
    return changes


def _transformation(name: str, own: Sequence[Instruction] = ()) -> Transformation:
    # The compiler's bindings take a while to load, and stock IREE needs none of them.
    from springbok.compiler.optimizer.channels_last import ChannelsLast
    from springbok.compiler.optimizer.constants import ConstantsInPlace
    from springbok.compiler.optimizer.offsets import OneOffset
    from springbok.compiler.optimizer.pads import PadsByRows
    from springbok.compiler.optimizer.register_tiling import RegisterTiling
    from springbok.compiler.optimizer.requantisation import NarrowRequantisation
    from springbok.compiler.optimizer.weight_layout import OutputChannelInnermost
    from springbok.compiler.optimizer.zero_points import ZeroPoints

    if name == OWN:
        from springbok.compiler.optimizer.own_instructions import OwnInstructions

        return OwnInstructions(own)
    known = (
        *(ConstantsInPlace(), ZeroPoints(), ChannelsLast(), OutputChannelInnermost(), OneOffset()),
        *(NarrowRequantisation(), RegisterTiling(), PadsByRows()),
    )
    return next(each for each in known if each.name == name)
