# SPDX-License-Identifier: Apache-2.0
"""Checks a loaded module on the chip itself: what it answers there to the samples of the check on this machine.

This machine can't see what depends on the chip's own code: the order of loads and stores, the length of its vectors,
the firmware. What a simulator answered is kept in the cache, by module, firmware and chip; a board is asked once a
session, as nothing tells which firmware it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from springbok.compiler.judgement import QUANTISED_STEPS, Judgement, judge
from springbok.compiler.optimizer import suspicion
from springbok.modules.disassembler import disassemble
from springbok.support.cache import Cache, digest
from springbok.support.errors import CompileError

if TYPE_CHECKING:
    from springbok.compiler.compiled import CompiledModel

#: So many samples are enough: what they show is wrong in every inference, or nearly.
SAMPLES = 2
#: No further sample is run when the one before executed more instructions: a model may take its time.
INSTRUCTIONS = 5_000_000

#: The chip adds floating-point numbers in another order than this machine, and may fuse a product with a sum: what that
#: changes is small, but more than where one machine is compared with itself. What the check is for is large.
ROUNDING = 10.0
#: So many steps more than this machine may the chip be off in a floating-point output of a quantised model.
STEPS = 1

#: Runs one sample, an array an input; returns its outputs and the instructions that it executed.
Inference = Callable[[Sequence[np.ndarray]], tuple[list[np.ndarray], int]]


def check_on_chip(
    model: CompiledModel, chip: Sequence[object], run: Inference, cache: Cache | None
) -> tuple[Judgement, bool]:
    """Compares what the chip answers to the model's probes with the framework's answers; whether it ran for that.

    ``chip`` is everything that tells this chip and its firmware from others; without ``cache`` it always runs.

    Raises :class:`CompileError` with the worst difference and its place if an output differs by more than the model's
    tolerance, `ROUNDING` times as wide for floating-point numbers, and of `STEPS` more than on this machine where
    they have steps.
    """
    probes = model.probes
    if cache is None:
        outputs, ran = _answers(model, run), True
    else:

        def make(folder: Path) -> None:
            np.savez(folder / "outputs.npz", *_answers(model, run))

        arrays = [part for array in probes.inputs for part in (array.dtype.str, array.shape, array.tobytes())]
        key = digest(model.vmfb_sha256, SAMPLES, INSTRUCTIONS, *chip, *arrays)
        folder, cached = cache.entry(f"{model.source.stem}-chip", key, make)
        with np.load(folder / "outputs.npz") as stored:
            outputs, ran = [stored[name] for name in stored.files], not cached
    expected = [array[: len(got)] for array, got in zip(probes.expected, outputs, strict=True)]
    host = model.host_check.steps if model.host_check else None
    tolerance = replace(model.tolerance, factor=ROUNDING, most=QUANTISED_STEPS if host is None else host + STEPS)
    judgement = judge(model.outputs, outputs, expected, tolerance)
    if not judgement.passed:
        raise CompileError(
            f"The module compiled from {model.source.name} was right on this machine, but on the chip "
            f"({', '.join(map(str, chip[:3]))}) it does not compute what the framework does: "
            f"{' '.join(filter(None, (str(judgement.worst), model.remark)))} {suspicion(model.plan, model.changes)} "
            f"To use it all the same: check=False (Load Model).\nThe flags were: {' '.join(model.flags)}"
        )
    return judgement, ran


def _answers(model: CompiledModel, run: Inference) -> list[np.ndarray]:
    """The chip's outputs for the first samples, an array an output."""
    samples: list[list[np.ndarray]] = []
    for sample in list(zip(*model.probes.inputs, strict=True))[: 1 if _keeps_state(model) else SAMPLES]:
        outputs, instructions = run(sample)
        samples.append(outputs)
        if instructions > INSTRUCTIONS:
            break
    return [np.stack(arrays) for arrays in zip(*samples, strict=True)]


def _keeps_state(model: CompiledModel) -> bool:
    """Whether an inference may leave something to the next one, where the framework begins anew."""
    functions = disassemble(model.vmfb.read_bytes(), model.vmfb.name).reachable(model.entry)
    return any(step.opcode.mnemonic.startswith("global.store") for each in functions for step in each.instructions)
