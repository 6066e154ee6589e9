# SPDX-License-Identifier: Apache-2.0
"""Checks a compiled module on this machine, before it is sent to a chip.

The same source is compiled with the same flags, except for those that describe the core, for this machine; it is run
here, and what it gives is compared with the framework's answers. That shows what goes wrong on the way to a module,
above all IREE's habit of losing weights, without any simulator.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from springbok.compiler import buffers, iree, kernel_repairs, optimizer
from springbok.compiler.first_wrong import first_wrong
from springbok.compiler.judgement import Judgement, Tolerance, judge
from springbok.modules.vmfb import read_vmfb
from springbok.support.cache import Cache, digest
from springbok.support.errors import CompileError
from springbok.support.files import temporary_folder
from springbok.tensors import fit

if TYPE_CHECKING:
    from springbok.compiler.compiled import CompiledModel

#: Each sample costs the start of a process, so a few must do.
SAMPLES = 4

WEIGHTS_DEFECT = (
    "IREE's execution model inline-dynamic loses constants unless "
    "--iree-flow-inline-constants-max-byte-length is large and --iree-opt-const-expr-hoisting=false."
)

# These describe the chip's core: they mean nothing on this machine.
_CORE_FLAGS = re.compile(r"--iree-llvmcpu-(target-|vscale-|enable-scalable|scalable)|--scalable-vectorization")


def check_on_host(
    compiled: CompiledModel,
    inputs: np.ndarray | Sequence[np.ndarray],
    expected: np.ndarray | Sequence[np.ndarray],
    tolerance: Tolerance | float | str | None = None,
    cache: Cache | None = None,
) -> Judgement:
    """Checks the first samples of ``inputs`` against ``expected``, the framework's answers to them.

    Both are one array an input or output (or the array alone if there is one), samples first.

    Raises :class:`CompileError` with the worst difference, its place and the likely cause if an output differs by
    more than ``tolerance`` allows: see :func:`springbok.compiler.judgement.judge`.
    """
    cache = cache or Cache(compiled.vmfb.parents[1])
    given = [array[:SAMPLES] for array in fit(compiled.name, compiled.inputs, inputs)]
    wanted = [array[:SAMPLES] for array in fit(compiled.name, compiled.outputs, expected)]
    flags = host_flags(compiled.flags)

    def make(folder: Path) -> None:
        outputs, cause = _compile_and_run(compiled, flags, given, folder / "host.vmfb")
        np.savez(folder / "outputs.npz", *outputs)
        (folder / "cause.txt").write_text(cause, encoding="utf-8")

    arrays = [part for array in given for part in (array.dtype.str, array.shape, array.tobytes())]
    plan = (compiled.plan.transformations, optimizer.VERSION, buffers.VERSION, kernel_repairs.VERSION)
    versions = (compiled.compiler_version, iree.runtime_version())
    key = digest(compiled.mlir.read_bytes(), flags, plan, versions, *arrays)
    folder, _ = cache.entry(f"{compiled.source.stem}-check", key, make)
    with np.load(folder / "outputs.npz") as outputs:
        judgement = judge(compiled.outputs, [outputs[name] for name in outputs.files], wanted, tolerance)
    if not judgement.passed:
        reasons = [judgement.explain(), compiled.remark, (folder / "cause.txt").read_text(encoding="utf-8")]
        reasons.append(first_wrong(compiled, lambda told, *to: _compile_and_run(told, flags, *to)[0], tolerance))
        reasons.append(_whose_defect(compiled, flags, given, wanted, tolerance))
        raise CompileError(
            f"The module compiled from {compiled.source.name} does not compute what the model does: "
            f"{' '.join(filter(None, reasons))}\nThe flags were: {' '.join(flags)}"
        )
    return judgement


def _whose_defect(
    compiled: CompiledModel,
    flags: tuple[str, ...],
    inputs: list[np.ndarray],
    wanted: list[np.ndarray],
    tolerance: Tolerance | float | str | None,
) -> str:
    """Whether a wrong module is right without the optimizer's transformations, and what somebody can do."""
    if not compiled.plan.transformations:
        return optimizer.suspicion(compiled.plan, compiled.changes)
    stock = replace(compiled, plan=replace(compiled.plan, level="none", transformations=()))
    try:
        with temporary_folder() as folder:
            outputs, _ = _compile_and_run(stock, flags, inputs, Path(folder) / "stock.vmfb")
        is_right = judge(compiled.outputs, outputs, wanted, tolerance).passed
    except CompileError:
        return optimizer.suspicion(compiled.plan, compiled.changes)
    if is_right:
        did = optimizer.whereabouts(compiled.changes)
        return f"Compiled with optimize=none, as stock IREE does it, it is right: the optimizer has a defect.{did}"
    return "Stock IREE (optimize=none) computes it otherwise too: another form of the layer may help."


def host_flags(flags: Sequence[str]) -> tuple[str, ...]:
    """``flags`` for this machine: without those that describe the chip's core."""
    return (*(flag for flag in flags if not _CORE_FLAGS.match(flag)), "--iree-llvmcpu-target-cpu=generic")


def _compile_and_run(
    compiled: CompiledModel, flags: tuple[str, ...], inputs: list[np.ndarray], module: Path
) -> tuple[list[np.ndarray], str]:
    """The module's outputs on this machine, and a sentence about the cause if they may be wrong."""
    name = compiled.source.name
    compilation, _ = optimizer.compile_module(compiled.mlir, flags, compiled.plan, module, name, for_host=True)
    causes = ([WEIGHTS_DEFECT] if compilation.dropped_weights_in else []) + list(compilation.shared_buffers)
    cause = " ".join(causes)
    declared = read_vmfb(module.read_bytes(), name, with_kernels=False)
    try:
        outputs = iree.run_samples(module, declared, inputs, inline=True)
        return [array.view(spec.dtype) for array, spec in zip(outputs, compiled.outputs, strict=True)], cause
    except CompileError as error:
        raise CompileError(
            f"The module compiled from {name} does not run, on this machine or on the chip: {error} {cause}".rstrip()
        ) from None
