# SPDX-License-Identifier: Apache-2.0
"""Conformance: modules that the chip must compute as IREE's own runtime does on this machine.

The modules are the files of ``models/conformance/``. For each of them IREE's ordinary compilation, run by
`iree-run-module`, answers seeded inputs; the module compiled for the chip must give the same: integers and booleans
bit for bit, floating-point numbers within `TOLERANCE` of the largest of their tensor.

Example::

    for source in sources():
        compiled, inputs, expected = prepare(source, Target())
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from springbok.compiler.compiled import CompiledModel, Target
from springbok.compiler.compiler import compile_model, framework_outputs
from springbok.modules.disassembler import disassemble, opcode_table
from springbok.session import Session
from springbok.support.errors import ModelError
from springbok.support.places import MODELS
from springbok.tensors import TensorSpec

MODULES = MODELS / "conformance"
TOLERANCE = 1e-5
SAMPLES = 4


def sources() -> list[Path]:
    """The modules' files, in alphabetical order."""
    return sorted(MODULES.glob("*.mlir"))


def purpose(source: Path) -> str:
    """What the module covers: the comment in its head."""
    match = re.search(r"^// Covers: (.+)$", source.read_text(encoding="utf-8"), re.MULTILINE)
    if not match:
        raise ModelError(f"{source} does not say what it covers: add a line '// Covers: …'.")
    return match[1]


@dataclass(frozen=True)
class Case:
    """A compiled module, `SAMPLES` inputs, and what IREE's own runtime answers: one array a tensor, samples first."""

    model: CompiledModel
    inputs: list[np.ndarray]
    expected: list[np.ndarray]


def prepare(source: Path, target: Target, output_dir: Path | None = None) -> Case:
    """Compiles a module for the chip and computes the expected outputs, or takes both from the cache."""
    model = compile_model(source, target, output_dir=output_dir)
    inputs = seeded_inputs(model.inputs)
    return Case(model, inputs, framework_outputs(source, inputs, output_dir=output_dir))


def in_turn(source: Path, targets: Sequence[Target], every: bool) -> Sequence[Target]:
    """The targets that a module is compiled for: every one, or one of them in turn, the next module the next one."""
    return targets if every else [targets[sources().index(source) % len(targets)]]


def prepare_all(targets: Sequence[Target], every: bool = True, workers: int = 2) -> None:
    """Fills the cache, several modules at a time, for the targets of `in_turn`.

    A module that can't be compiled fails when it is asked for.
    """

    def fill(source: Path) -> None:
        for target in in_turn(source, targets, every):
            prepare(source, target)

    with ThreadPoolExecutor(workers) as pool:
        for future in [pool.submit(fill, source) for source in sources()]:
            future.exception()


def seeded_inputs(specs: Iterable[TensorSpec], seed: int = 1) -> list[np.ndarray]:
    """`SAMPLES` inputs for each tensor, always the same ones.

    Integers: all values; only the extremes; small ones; a mixture of extremes and small ones. Floating-point numbers:
    normally distributed; ten times as large; halves from -8 to 8, where rounding has its ties; large, tiny and zero.
    """
    random = np.random.default_rng(seed)
    return [np.stack([_sample(spec, kind, random) for kind in range(SAMPLES)]) for spec in specs]


def _sample(spec: TensorSpec, kind: int, random: np.random.Generator) -> np.ndarray:
    dtype = np.dtype(spec.dtype)
    if dtype == np.bool_:
        return random.integers(0, 2, spec.shape).astype(dtype)
    if np.issubdtype(dtype, np.integer):
        least, most = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
        if kind == 0:
            return random.integers(least, most, spec.shape, dtype, endpoint=True)
        small = list(range(max(least, -3), 5))
        choice = {1: [least, most], 2: small, 3: [least, least + 1, most - 1, most, *small]}[kind]
        return random.choice(np.array(choice, dtype), spec.shape)
    if kind == 2:
        return (random.integers(-16, 16, spec.shape, endpoint=True) / 2).astype(dtype)
    if kind == 3:
        return random.choice(np.array([0.0, -0.0, 1.0, -1.0, 1e-4, -1e-4, 100.0, -100.0], dtype), spec.shape)
    return (random.standard_normal(spec.shape) * 10**kind).astype(dtype)


def difference(got: np.ndarray, expected: np.ndarray) -> float:
    """How far one output is from the expected one, by the measure that its type has.

    Integers and booleans: the number of elements that differ. Floating-point numbers: the largest difference relative
    to the largest expected number of the tensor; infinite where only one of the two is a number.

    >>> difference(np.float32([1, 2]), np.float32([1, 4]))
    0.5
    """
    if not np.issubdtype(expected.dtype, np.floating):
        return float(np.count_nonzero(got != expected))
    wanted, given = expected.astype(np.float64), got.astype(np.float64)
    same = (wanted == given) | (np.isnan(wanted) & np.isnan(given))
    if same.all():
        return 0.0
    if not (np.isfinite(wanted[~same]).all() and np.isfinite(given[~same]).all()):
        return float("inf")
    scale = np.abs(wanted[np.isfinite(wanted)]).max()
    return float(np.abs(wanted - given)[~same].max() / scale) if scale else float("inf")


def tolerance(spec: TensorSpec) -> float:
    """What `difference` may be: nothing for integers; half precision can't be nearer than its own rounding."""
    return {"float32": TOLERANCE, "float16": 2.0**-10}.get(spec.dtype, 0.0)


def check_on_chip(session: Session, case: Case) -> list[str]:
    """Runs every sample on the session's chip; returns a sentence for each output that is wrong."""
    session.load_model(case.model)
    wrong = []
    for sample in range(SAMPLES):
        outputs = session.infer(*(array[sample] for array in case.inputs))
        for spec, got, wanted in zip(case.model.outputs, outputs, case.expected, strict=True):
            distance = difference(got, wanted[sample])
            if distance > tolerance(spec):
                unit = "elements differ" if tolerance(spec) == 0 else "is the largest relative difference"
                wrong.append(f"sample {sample}, output {spec}: {distance:g} {unit}")
    return wrong


@dataclass
class Coverage:
    """Which of the firmware's VM instructions the modules hold, by mnemonic, in functions that can be reached."""

    modules: dict[str, frozenset[str]] = field(default_factory=dict)

    def add(self, model: CompiledModel) -> None:
        """Counts the instructions of a module in. Raises :class:`ModelError` when one of them can't be decoded."""
        module = disassemble(model.vmfb.read_bytes(), model.name)
        for function in module.functions:
            if function.undecoded:
                last = function.instructions[-1].opcode.mnemonic
                raise ModelError(f"{model.name} uses {last}, which the firmware leaves out, in {function.name}.")
        functions = module.reachable(model.entry, "__init")
        self.modules[model.name] = frozenset(step.opcode.mnemonic for each in functions for step in each.instructions)

    @property
    def covered(self) -> list[str]:
        """Instructions that at least one module holds, in the order of their codes."""
        held = frozenset().union(*self.modules.values())
        return [opcode.mnemonic for opcode in _supported() if opcode.mnemonic in held]

    @property
    def never_covered(self) -> list[str]:
        """Instructions of the firmware that no module holds."""
        held = frozenset().union(*self.modules.values())
        return [opcode.mnemonic for opcode in _supported() if opcode.mnemonic not in held]

    def describe(self) -> str:
        """The count, and what is missing, for a log."""
        total = len(self.covered) + len(self.never_covered)
        return (
            f"{len(self.modules)} modules hold {len(self.covered)} of the {total} VM instructions that the firmware "
            f"executes. Never covered: {', '.join(self.never_covered) or 'none'}."
        )


def _supported():
    return [opcode for opcode in opcode_table().values() if opcode.fields is not None]
