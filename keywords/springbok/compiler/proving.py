# SPDX-License-Identifier: Apache-2.0
"""The optimizer on versions of the compiler that it was not made for.

A transformation matches what one version leaves of a model, and says on which versions it was proved (``proved_on``).
On any other it proves itself on each model, at first use: compiled for this machine, the model must answer its probes
as stock IREE of that version does, integers to the bit, floating point within `FLOAT_TOLERANCE`. What does not stays
out, with a line that says so. Flags that a version does not know are left out too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from springbok.compiler import host_check, iree, optimizer
from springbok.compiler.compiled import Target
from springbok.compiler.flags import compiler_flags
from springbok.compiler.importers import ImportedModel
from springbok.compiler.judgement import difference_of
from springbok.compiler.optimizer import CONSTANTS, Plan
from springbok.modules.vmfb import read_vmfb
from springbok.support.cache import Cache, digest
from springbok.support.errors import CompileError
from springbok.support.files import temporary_folder

FLOAT_TOLERANCE = 1e-6


def for_version(
    plan: Plan, version: str, target: Target, imported: ImportedModel, cache: Cache, name: str
) -> tuple[Plan, tuple[str, ...]]:
    """What of ``plan`` is of use to this version of the compiler, and a sentence about each part that is not."""
    if version == iree.PINNED_VERSION or not (plan.transformations or plan.flags):
        return plan, ()
    plan, reasons = _with_known_flags(plan, version)
    unproved = [each for each in plan.transformations if version not in optimizer.proved_on(each)]
    if not unproved:
        return plan, reasons
    flags = host_check.host_flags(compiler_flags(target, (), plan)[0])
    inputs = [array[: host_check.SAMPLES] for array in imported.probe_inputs]

    def make(folder: Path) -> None:
        found = _Proof(imported, flags, replace(plan, flags=()), inputs, name).result(plan.transformations)
        (folder / "proof.json").write_text(json.dumps(found), encoding="utf-8")

    arrays = [part for array in inputs for part in (array.dtype.str, array.shape, array.tobytes())]
    key = digest(imported.mlir.read_bytes(), flags, plan.transformations, optimizer.VERSION, version, *arrays)
    folder, _ = cache.entry(f"{Path(name).stem}-proof", key, make)
    out = json.loads((folder / "proof.json").read_text(encoding="utf-8"))
    kept = tuple(each for each in plan.transformations if each not in out)
    told = {reason: [each for each in out if out[each] == reason] for reason in out.values()}
    lines = (f"The optimizer's {', '.join(names)}: not proved on IREE {version}: {why}." for why, names in told.items())
    return replace(plan, transformations=kept), (*reasons, *lines)


def _with_known_flags(plan: Plan, version: str) -> tuple[Plan, tuple[str, ...]]:
    known = iree.compiler_flag_names()
    unknown = [flag for flag, _ in plan.flags if flag.lstrip("-") not in known]
    if not unknown:
        return plan, ()
    left = tuple((flag, value) for flag, value in plan.flags if flag not in unknown)
    return replace(plan, flags=left), (f"IREE {version} has no flag {', '.join(unknown)}: compiled without.",)


class _Proof:
    """Tries transformations of one model on this machine."""

    def __init__(
        self, imported: ImportedModel, flags: Sequence[str], plan: Plan, inputs: Sequence[np.ndarray], name: str
    ) -> None:
        self._imported, self._flags, self._plan, self._inputs, self._name = imported, flags, plan, inputs, name

    def result(self, transformations: Sequence[str]) -> dict[str, str]:
        """Those that stay out, and why."""
        try:
            wanted = self._answers(())
        except CompileError as error:
            return dict.fromkeys(transformations, f"stock IREE does not run here: {_short(error)}")
        if not self._wrong(transformations, wanted):
            return {}
        out = {}
        for each in transformations:
            if each != CONSTANTS:
                why = self._wrong((CONSTANTS, each), wanted)
                out |= {each: why} if why else {}
        kept = tuple(each for each in transformations if each not in out)
        why = self._wrong(kept, wanted)
        return dict.fromkeys(transformations, why) | out if why else out

    def _wrong(self, transformations: Sequence[str], wanted: Sequence[np.ndarray]) -> str:
        """What is wrong with the answers; empty when they are as they should be."""
        try:
            answers = self._answers(transformations)
        except CompileError as error:
            return f"it does not compile or run here: {_short(error)}"
        for got, expected in zip(answers, wanted, strict=True):
            worst = float(difference_of(got, expected).max(initial=0))
            allowed = 0 if np.issubdtype(expected.dtype, np.integer) else FLOAT_TOLERANCE
            if worst > allowed:
                asked = f"allowed is {allowed:g}, which versions where it is proved are not asked for"
                return f"it differs from stock IREE by {worst:.3g} on the probes ({asked})"
        return ""

    def _answers(self, transformations: Sequence[str]) -> list[np.ndarray]:
        plan = replace(self._plan, transformations=tuple(transformations))
        with temporary_folder() as folder:
            module = Path(folder) / "host.vmfb"
            optimizer.compile_module(self._imported.mlir, self._flags, plan, module, self._name, for_host=True)
            declared = read_vmfb(module.read_bytes(), self._name, with_kernels=False)
            return iree.run_samples(module, declared, list(self._inputs), inline=True)


def _short(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".; ")
