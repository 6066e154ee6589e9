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

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from springbok import iree
from springbok.errors import CompileError
from springbok.optimizer.choices import Choice
from springbok.optimizer.transformation import Change, Transformation

#: Counts up when a transformation makes other code, so that no older cache entry is taken.
VERSION = 6

#: What ``optimize`` may be: stock IREE; all transformations, with the flags that are recorded for the model or the
#: default ones; the same, with flags that are measured if they are not known (see `springbok.optimizer.search`).
LEVELS = ("none", "standard", "search")
DEFAULT_LEVEL = "standard"

#: The transformations, in the order in which they are applied.
CONSTANTS = "constants"  # which the first half of the compilation leaves to the optimizer, so it is never left out
TRANSFORMATIONS = (CONSTANTS, "channels-last", "weight-layout", "offsets", "requantisation", "register-tiling", "pads")

_WHOLE = {"--iree-llvmcpu-disable-distribution": "true"}
_FIXED = _WHOLE | {"--scalable-vectorization": "off"}
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

# A vector of the code is vscale times 64 bits.
_SCALE_FLAG = "--iree-llvmcpu-vscale-range"
_BITS_OF_SCALE = 64

_VECTOR_FLAGS = {
    "--iree-llvmcpu-loop-vectorization": "true",
    "--iree-llvmcpu-slp-vectorization": "true",
    "--iree-llvmcpu-loop-unrolling": "true",
    "--iree-llvmcpu-enable-scalable-vectorization": "true",
}


@dataclass(frozen=True)
class Plan:
    """What is done to a model: names of transformations, and flags for `iree-compile`.

    ``flag_set`` names the flags in reports; it is empty for stock IREE. ``choice`` is how they were chosen.
    """

    level: str
    transformations: tuple[str, ...] = ()
    flag_set: str = ""
    flags: tuple[tuple[str, str], ...] = ()
    choice: Choice | None = field(default=None, compare=False)

    @property
    def vlen(self) -> int | None:
        """The VLEN that the flags are for; None if they are for any."""
        scale = dict(self.flags).get(_SCALE_FLAG)
        return None if scale is None else int(scale.partition(",")[0]) * _BITS_OF_SCALE

    def without(self, *names: str) -> Plan:
        """The same plan with these transformations switched off."""
        for name in names:
            if name not in TRANSFORMATIONS:
                raise CompileError(f"There is no transformation '{name}'. Known are: {', '.join(TRANSFORMATIONS)}.")
        left = tuple(each for each in self.transformations if each not in names)
        if left and CONSTANTS not in left:
            raise CompileError(f"Without '{CONSTANTS}' no other transformation is possible: switch all of them off.")
        return replace(self, transformations=left)


def plan_for(
    level: str, *, vectors: bool, vlen: int, flag_set: str = DEFAULT_FLAG_SET, choice: Choice | None = None
) -> Plan:
    """The plan of a level for a core with vectors of ``vlen`` bits, or without; ``choice`` goes before ``flag_set``.

    Raises :class:`CompileError` for an unknown level.
    """
    if level not in LEVELS:
        raise CompileError(f"There is no optimization level '{level}'. Known are: {', '.join(LEVELS)}.")
    if level == "none":
        return Plan(level)
    chosen = tuple(name for name in TRANSFORMATIONS if vectors or not _transformation(name).vectors_only)
    if not has_flags(vectors, vlen):
        return Plan(level, chosen, "scalar", ())
    # The firmware refuses kernels of any other VLEN than the chip's.
    scale = vlen // _BITS_OF_SCALE
    flag_set = choice.flag_set if choice else flag_set
    flags = _VECTOR_FLAGS | {_SCALE_FLAG: f"{scale},{scale}"} | FLAG_SETS[flag_set]
    return Plan(level, chosen, flag_set, tuple(flags.items()), choice)


def has_flags(vectors: bool, vlen: int) -> bool:
    """Whether there are flags to choose: they are of use to vectors that LLVM can scale."""
    return vectors and vlen >= _BITS_OF_SCALE


def compile_module(
    source: Path, flags: Sequence[str], plan: Plan, output: Path, name: str | None = None, *, for_host: bool = False
) -> tuple[iree.Compilation, list[Change]]:
    """Compiles as :func:`springbok.iree.compile_module`, with the plan's transformations between the halves.

    ``for_host`` is for the check on this machine: see `wide_products`.
    """
    changes: list[Change] = []
    if not plan.transformations:
        return iree.compile_module(source, flags, output, name), changes

    def between(half: Path, rewritten: Path) -> None:
        changes.extend(rewrite(half, rewritten, plan.transformations, for_host=for_host))

    return iree.compile_module(source, flags, output, name, between), changes


def describe(plan: Plan, changes: Sequence[Change]) -> str:
    """A few lines for a log: what each transformation did, and where it left the model as it was."""
    if not plan.transformations:
        return "optimizer: off, stock IREE"
    how = f": {plan.choice.describe()}" if plan.choice else ""
    lines = [f"optimizer: level {plan.level}, flags '{plan.flag_set}'{how}"]
    for name in plan.transformations:
        own = [change for change in changes if change.transformation == name]
        left = [change for change in own if not change.applied]
        lines.append(f"  {name}: applied at {len(own) - len(left)} places")
        lines += [f"    left as it was: {change.place}: {change.detail}" for change in left]
    return "\n".join(lines)


def rewrite(source: Path, output: Path, transformations: Sequence[str], *, for_host: bool = False) -> list[Change]:
    """Applies the transformations of these names to the MLIR file ``source``; writes MLIR bytecode to ``output``.

    Raises :class:`CompileError` when the result is not valid MLIR.
    """
    from iree.compiler import ir

    with ir.Context():
        module = ir.Module.parse(source.read_bytes())
        changes = [change for name in transformations for change in _transformation(name).apply(module)]
        if for_host:
            from springbok.optimizer.wide_products import widen

            widen(module)
        try:
            module.operation.verify()
        except ir.MLIRError as error:
            raise CompileError(f"The optimizer made invalid code of {source.name}: {error}") from None
        with output.open("wb") as file:
            module.operation.write_bytecode(file)
    return changes


def _transformation(name: str) -> Transformation:
    # The compiler's bindings take a while to load, and stock IREE needs none of them.
    from springbok.optimizer.channels_last import ChannelsLast
    from springbok.optimizer.constants import ConstantsInPlace
    from springbok.optimizer.offsets import OneOffset
    from springbok.optimizer.pads import PadsByRows
    from springbok.optimizer.register_tiling import RegisterTiling
    from springbok.optimizer.requantisation import NarrowRequantisation
    from springbok.optimizer.weight_layout import OutputChannelInnermost

    known = (
        *(ConstantsInPlace(), ChannelsLast(), OutputChannelInnermost(), OneOffset()),
        *(NarrowRequantisation(), RegisterTiling(), PadsByRows()),
    )
    return next(each for each in known if each.name == name)
