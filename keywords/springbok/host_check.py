# SPDX-License-Identifier: Apache-2.0
"""Checks a compiled module on this machine, before it is sent to a chip.

The same source is compiled with the same flags, except for those that describe the core, for this machine; it is run
here, and what it gives is compared with the framework's answers. That shows what goes wrong on the way to a module,
above all IREE's habit of losing weights, without any simulator.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from springbok import iree, optimizer
from springbok.cache import Cache, digest
from springbok.errors import CompileError
from springbok.tensors import fit
from springbok.vmfb import read_vmfb

if TYPE_CHECKING:
    from springbok.compiler import CompiledModel

TOLERANCE = 1e-5
#: How many steps a quantised output may be off. What TOSA means by its roundings is what TensorFlow Lite Micro does,
#: to the bit; TensorFlow Lite itself rounds once where they round twice, and what follows may amplify the difference.
QUANTISED_STEPS = 4
#: Each sample costs the start of a process, so a few must do.
SAMPLES = 4

WEIGHTS_DEFECT = (
    "IREE's execution model inline-dynamic loses constants unless "
    "--iree-flow-inline-constants-max-byte-length is large and --iree-opt-const-expr-hoisting=false."
)

# These describe the chip's core: they mean nothing on this machine.
_CORE_FLAGS = re.compile(r"--iree-llvmcpu-(target-|vscale-|enable-scalable|scalable)|--scalable-vectorization")


@dataclass(frozen=True)
class HostCheck:
    """How far the module's outputs were from the framework's, at most.

    ``error`` is relative to the largest output of the sample, or to 1 if that is smaller. Quantised outputs are
    judged by ``steps``, and ``error`` leaves them out; None when there are none.
    """

    samples: int
    error: float
    tolerance: float
    steps: int | None = None

    def describe(self) -> str:
        """A line for a log."""
        if self.steps is not None:
            return (
                f"checked on this machine: {self.samples} samples differ from the framework by at most {self.steps} "
                f"steps (tolerance {QUANTISED_STEPS})"
            )
        return (
            f"checked on this machine: {self.samples} samples differ from the framework by at most {self.error:.2g} "
            f"(tolerance {self.tolerance:g})"
        )


def check_on_host(
    compiled: CompiledModel,
    inputs: np.ndarray | Sequence[np.ndarray],
    expected: np.ndarray | Sequence[np.ndarray],
    tolerance: float = TOLERANCE,
    cache: Cache | None = None,
) -> HostCheck:
    """Checks the first samples of ``inputs`` against ``expected``, the framework's answers to them.

    Both are one array an input or output (or the array alone if there is one), samples first.

    Raises :class:`CompileError` with the worst difference, its place and the likely cause if an output differs by
    more than ``tolerance``, relative to the sample's largest output, or to 1 if that is smaller; a quantised output,
    by more than `QUANTISED_STEPS`.
    """
    cache = cache or Cache(compiled.vmfb.parents[1])
    given = [array[:SAMPLES] for array in fit(compiled.name, compiled.inputs, inputs)]
    wanted = [array[:SAMPLES] for array in fit(compiled.name, compiled.outputs, expected)]
    flags = host_flags(compiled.flags)

    def make(folder: Path) -> None:
        outputs, cause = _compile_and_run(compiled, flags, given, folder / "host.vmfb")
        worst, sample, output = _worst(compiled, outputs, wanted)
        if worst > tolerance:
            raise CompileError(
                f"The module compiled from {compiled.source.name} does not compute what the model does: output "
                f"'{output}' of sample {sample} differs by {worst:.3g} (tolerance {tolerance:g}).{cause} "
                f"Flags: {' '.join(flags)}"
            )
        steps = _most_steps(compiled, outputs, wanted)
        if steps is not None and steps > QUANTISED_STEPS:
            raise CompileError(
                f"The module compiled from {compiled.source.name} does not compute what the model does: a quantised "
                f"output differs by {steps} steps (tolerance {QUANTISED_STEPS}).{cause} Flags: {' '.join(flags)}"
            )
        result = HostCheck(len(given[0]), worst, tolerance, steps)
        (folder / "check.json").write_text(json.dumps(asdict(result)), encoding="utf-8")

    arrays = [part for array in (*given, *wanted) for part in (array.dtype.str, array.shape, array.tobytes())]
    plan = (compiled.plan.transformations, optimizer.VERSION)
    key = digest(
        compiled.mlir.read_bytes(), flags, plan, compiled.compiler_version, tolerance, QUANTISED_STEPS, *arrays
    )
    folder, _ = cache.entry(f"{compiled.source.stem}-check", key, make)
    return HostCheck(**json.loads((folder / "check.json").read_text(encoding="utf-8")))


def host_flags(flags: Sequence[str]) -> tuple[str, ...]:
    """``flags`` for this machine: without those that describe the chip's core."""
    return (*(flag for flag in flags if not _CORE_FLAGS.match(flag)), "--iree-llvmcpu-target-cpu=generic")


def _compile_and_run(
    compiled: CompiledModel, flags: tuple[str, ...], inputs: list[np.ndarray], module: Path
) -> tuple[list[np.ndarray], str]:
    """The module's outputs on this machine, and a sentence about the cause if they may be wrong."""
    name = compiled.source.name
    compilation, _ = optimizer.compile_module(compiled.mlir, flags, compiled.plan, module, name, for_host=True)
    cause = f" {WEIGHTS_DEFECT}" if compilation.dropped_weights_in else ""
    declared = read_vmfb(module.read_bytes(), name, with_kernels=False)
    try:
        return iree.run_samples(module, declared, inputs, inline=True), cause
    except CompileError as error:
        raise CompileError(
            f"The module compiled from {name} does not run, on this machine or on the chip: {error}{cause}"
        ) from None


def _worst(compiled: CompiledModel, outputs: list[np.ndarray], expected: list[np.ndarray]) -> tuple[float, int, str]:
    """The largest difference of an output that is not quantised, the sample and the output that it is in."""
    return max(
        (
            (float(difference_of(got[number], want[number]).max()), number, spec.name)
            for spec, got, want in zip(compiled.outputs, outputs, expected, strict=True)
            for number in range(len(want))
            if not spec.is_quantised
        ),
        default=(0.0, 0, ""),
    )


def _most_steps(compiled: CompiledModel, outputs: list[np.ndarray], expected: list[np.ndarray]) -> int | None:
    """The largest difference of a quantised output, None when there is none."""
    steps = [
        int(difference_of(got, want).max())
        for spec, got, want in zip(compiled.outputs, outputs, expected, strict=True)
        if spec.is_quantised
    ]
    return max(steps, default=None)


def difference_of(got: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Differences, element by element: of integers in steps, else relative to the largest wanted value, or to 1.

    Infinite where only one of both is a number.

    >>> difference_of(np.float32([4.0, 2.0]), np.float32([4.0, 1.0]))
    array([0.  , 0.25])
    """
    relative = not np.issubdtype(wanted.dtype, np.integer)
    got, wanted = np.asarray(got, np.float64), np.asarray(wanted, np.float64)
    largest = np.abs(wanted[np.isfinite(wanted)]).max(initial=1.0) if relative else 1.0
    same = (got == wanted) | (np.isnan(got) & np.isnan(wanted))
    with np.errstate(invalid="ignore"):
        difference = np.nan_to_num(np.abs(got - wanted), nan=np.inf, posinf=np.inf) / largest
    return np.where(same, 0.0, difference)
