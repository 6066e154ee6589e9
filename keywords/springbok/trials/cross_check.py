# SPDX-License-Identifier: Apache-2.0
"""Compares one evaluation on two engines: the same firmware and module must do the same on both, bit for bit.

Where they don't, one of the simulators (or what this project made of it) is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import numpy as np

from springbok.measuring.evaluation import Evaluation

_ROUNDING = 1e-3  # means of whole numbers, added up in floating point


@dataclass(frozen=True)
class Difference:
    """One number that two engines don't agree on, an inference."""

    what: str
    first: float
    second: float


@dataclass(frozen=True)
class CrossCheck:
    """What two engines did with the same samples.

    ``samples_that_differ`` are those whose outputs are not the same bytes. ``opcodes`` and ``others`` (instructions,
    lanes) hold what differs only. ``unexplained`` is the difference of the instructions that the opcodes' differences
    do not add up to.
    """

    engines: tuple[str, str]
    samples: int
    samples_that_differ: tuple[int, ...]
    instructions: Difference
    opcodes: tuple[Difference, ...]
    others: tuple[Difference, ...]

    @property
    def counts_are_equal(self) -> bool:
        return not self.opcodes and not self.others and self.instructions.first == self.instructions.second

    @property
    def unexplained(self) -> float:
        explained = sum(row.first - row.second for row in self.opcodes)
        rest = self.instructions.first - self.instructions.second - explained
        return 0.0 if abs(rest) < _ROUNDING else rest

    def problems(self) -> list[str]:
        """What is wrong, a sentence each; empty where the outputs are the same and each difference is explained."""
        problems = []
        if self.samples_that_differ:
            shown = ", ".join(map(str, self.samples_that_differ[:10]))
            problems.append(
                f"{len(self.samples_that_differ)} of {self.samples} samples have other output bytes on "
                f"{self.engines[0]} than on {self.engines[1]}: {shown}."
            )
        if self.unexplained:
            problems.append(
                f"{self.engines[0]} executes {self.instructions.first:,} instructions an inference, {self.engines[1]} "
                f"{self.instructions.second:,}; {self.unexplained:,} of the difference are in no opcode's count."
            )
        return problems

    def table(self) -> str:
        """HTML for a log: the instructions, and a row for each number that differs."""
        rows = [self.instructions, *self.others, *self.opcodes]
        cells = "".join(
            f"<tr><td>{escape(row.what)}</td><td>{row.first:,}</td><td>{row.second:,}</td>"
            f"<td>{row.first - row.second:+,}</td></tr>"
            for row in rows
        )
        first, second = map(escape, self.engines)
        verdict = "everything else is equal" if self.counts_are_equal else "these differ, everything else is equal"
        return (
            f"<table><tr><th>an inference</th><th>{first}</th><th>{second}</th><th>difference</th></tr>{cells}</table>"
            f"<p>{self.samples} samples, {verdict}; outputs "
            f"{'differ' if self.samples_that_differ else 'are the same bytes'}.</p>"
        )


def compare(first: Evaluation, second: Evaluation, engines: tuple[str, str]) -> CrossCheck:
    """Compare two evaluations of the same module on the same samples.

    >>> compare(on_renode, on_spike, ("renode", "spike")).problems()  # doctest: +SKIP
    []
    """
    one, other = first.performance, second.performance
    pairs = zip(first.quality.outputs, second.quality.outputs, strict=True)
    opcodes = _differences(one.opcodes or {}, other.opcodes or {})
    others = _differences(_numbers(one), _numbers(other))
    return CrossCheck(
        engines,
        len(first.quality.outputs),
        tuple(number for number, (a, b) in enumerate(pairs) if np.asarray(a).tobytes() != np.asarray(b).tobytes()),
        Difference("instructions", _mean(one.instructions), _mean(other.instructions)),
        opcodes,
        others,
    )


def _mean(values: tuple[int, ...]) -> float:
    total = sum(values)
    return total // len(values) if total % len(values) == 0 else total / len(values)


def _numbers(performance) -> dict[str, float]:
    """What else must be the same, by name."""
    numbers = {f"instructions of inference {place}": count for place, count in enumerate(performance.instructions)}
    for name in ("vector_instructions", "kernel_instructions"):
        values = getattr(performance, name)
        if values is not None:
            numbers[name.replace("_", " ")] = _mean(values)
    if performance.lanes:
        numbers["lanes used"], numbers["lanes there"] = performance.lanes
    numbers["peak of memory (bytes)"] = performance.memory_peak_bytes
    numbers["instructions of the load"] = performance.load_instructions
    for dispatch in performance.dispatches:
        numbers[f"instructions of {dispatch.name}"] = dispatch.instructions
        if dispatch.lanes:
            numbers[f"lanes used by {dispatch.name}"] = dispatch.lanes[0]
    return numbers


def _differences(first: dict[str, float], second: dict[str, float]) -> tuple[Difference, ...]:
    names = [*first, *(name for name in second if name not in first)]
    return tuple(
        Difference(name, first.get(name, 0), second.get(name, 0))
        for name in names
        if abs(first.get(name, 0) - second.get(name, 0)) >= _ROUNDING
    )
