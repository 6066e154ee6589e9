# SPDX-License-Identifier: Apache-2.0
"""A core's pipeline as data, as ``platforms/timing/<core>.toml`` has it: each figure with its source.

It is read by `springbok.timing.loading`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from springbok.support.cache import digest
from springbok.support.errors import BenchError
from springbok.timing.operands import Operation, Unit

TABLES = {
    "issue": ("width",),
    "branch": ("taken", "mispredicted", "jump", "prediction", "passed", "indirect"),
    "memory": ("ports", "port_bits"),
    "vector": ("queue", "queue_latency", "dispatch", "datapath_bits", "chaining", "work"),
}
#: What tables may leave out.
OPTIONAL = (("branch", "passed"), ("branch", "indirect"))
#: Counts up when the same executions and figures come to other cycles: what was estimated before is another estimate.
VERSION = 4
#: Stands for the timing that the chip's own description names.
OF_CHIP = "chip"
#: What descriptions may leave out: the figures of another unit hold for it then.
LIKE = {Unit.MULTIPLY_HIGH: Unit.MULTIPLY, Unit.SHIFT: Unit.ALU}
LIKE_FIGURES = {"branch_passed": "branch_mispredicted", "jump_indirect": "jump"}
PREDICTIONS = ("none", "backward taken")
WORKS = ("elements", "registers")
#: The vector units whose work `Timing.peaks` and limits count.
MULTIPLIES = (Unit.VECTOR_MULTIPLY, Unit.VECTOR_FLOAT)


class TimingError(BenchError):
    """A description of a pipeline that can't be used."""


@dataclass(frozen=True)
class UnitTiming:
    """``count`` of a unit: ``latency`` cycles to the (first) result, ``interval`` cycles until it can begin again, and
    ``stall`` cycles in which no instruction at all is issued behind one that a scalar unit began."""

    latency: int
    interval: int = 1
    count: int = 1
    stall: int = 0


@dataclass(frozen=True)
class Region:
    """Memory that is slower than the pipeline's own: ``wait`` cycles more for an access, which a vector's first pass
    is, and ``wait_next`` for each further pass. Addresses from ``base`` on, ``bytes`` of them."""

    name: str
    base: int
    bytes: int
    wait: int
    wait_next: int


@dataclass(frozen=True)
class CodeCache:
    """A cache for code of so many ``bytes``: a line that it lacks is waited for ``wait`` cycles. ``ways`` lines whose
    addresses are multiples of ``bytes / ways`` apart have room beside each other."""

    bytes: int
    line_bytes: int
    wait: int
    ways: int = 1


@dataclass(frozen=True)
class Calibration:
    """What a description was fitted to, and how far it is off: shares of the measured cycles, as absolute values.

    ``microbenchmark_error`` is their mean, ``error`` that of whole inferences at most, ``kernel_error`` that of kernels
    with 5 % of the cycles or more at most; None where no model was measured. ``models`` were not fitted to. ``units``
    are those that the microbenchmarks' instructions occupied. ``seed`` is that of stalls and interrupts which the core
    was tried with meanwhile, None without. ``figures`` is the description's `Timing.sha256` of then.
    """

    measured_on: str
    microbenchmarks: int
    microbenchmark_error: float
    models: tuple[str, ...] = ()
    error: float | None = None
    kernel_error: float | None = None
    units: tuple[str, ...] = ()
    seed: int | None = None
    figures: str | None = None


@dataclass(frozen=True)
class Timing:
    """A pipeline. ``is_assumed`` says that its figures are guesses; ``calibration`` is None where nobody held it
    against cycles of the core's own. ``vlens`` are the bits of vector registers that the figures are for, none for a
    core without vectors; None where that is not said. ``branch_passed`` is what a branch costs that is not
    taken though it was predicted so, ``jump_indirect`` a jump to where a register points; None where those of
    `LIKE_FIGURES` hold. Without a ``code_cache`` no code is waited for."""

    name: str
    title: str
    is_assumed: bool
    issue_width: int
    units: dict[Unit, UnitTiming]
    branch_taken: int
    branch_mispredicted: int
    jump: int
    prediction: str
    memory_ports: int
    port_bits: int
    queue: int
    queue_latency: int
    dispatch: int
    datapath_bits: int
    chaining: bool
    work: str
    sources: dict[str, str]
    calibration: Calibration | None = None
    regions: tuple[Region, ...] = ()
    vlens: tuple[int, ...] | None = None
    branch_passed: int | None = None
    jump_indirect: int | None = None
    code_cache: CodeCache | None = None

    @property
    def watched(self) -> tuple[tuple[int, int], ...]:
        """The addresses of the regions: begin and end."""
        return tuple((region.base, region.base + region.bytes) for region in self.regions)

    @property
    def standing(self) -> str:
        """How far its estimates can be trusted, for people."""
        found = self.calibration
        if found is None:
            guessed = [table for table, source in self.sources.items() if "assum" in source.lower()]
            but = f", but for assumptions ({', '.join(guessed)})" if guessed else ""
            told = "an assumption" if self.is_assumed else f"from its documents{but}"
            return f"{told}, never calibrated"
        told = f"calibrated on {found.measured_on} by {found.microbenchmarks} microbenchmarks"
        if found.seed is not None:
            told += f" amid stalls and interrupts by seed {found.seed}"
        if self.is_changed:
            return f"{self._changed} since it was {told}: how far it is off is not known"
        if found.error is None:
            return f"{told}, {100 * found.microbenchmark_error:.1f} % off in the mean; no model was measured"
        return (
            f"{told}; whole inferences of {', '.join(found.models)} are within {100 * found.error:.1f} %, kernels with "
            f"5 % of the cycles within {100 * found.kernel_error:.1f} %"
        )

    @property
    def sha256(self) -> str:
        """Of its figures, and of how cycles are reckoned from them: estimates of equal ones can be compared."""
        return self._digest(VERSION)

    def _digest(self, version: int) -> str:
        return digest(
            version, text(replace(self, title="", is_assumed=False, sources={}, calibration=None, vlens=None))
        )

    @property
    def is_changed(self) -> bool:
        """Whether its figures, or how cycles are reckoned from them, are others than those that were calibrated, as far
        as that is told."""
        return bool(self.calibration and self.calibration.figures) and self.calibration.figures != self.sha256

    @property
    def _changed(self) -> str:
        """Of which two, for people."""
        if self.calibration.figures in map(self._digest, range(1, VERSION)):
            return "cycles are reckoned otherwise from its figures"
        return "its figures were changed"

    @property
    def peaks(self) -> dict[str, Any]:
        """What the core does in a cycle at most: ``bytes`` moved, and ``product_bits`` by unit (a multiplication has
        those of its elements)."""
        bits = {unit.value: self.datapath_bits * self.units[unit].count for unit in MULTIPLIES}
        return {"bytes": self.memory_ports * self.port_bits // 8, "product_bits": bits}

    def as_json(self) -> dict[str, Any]:
        """What every estimate says of the description that it was made by; errors are None where nobody measured."""
        found = None if self.is_changed else self.calibration
        return {
            "name": self.name,
            "title": self.title,
            "sha256": self.sha256,
            "is_assumed": self.is_assumed,
            "standing": self.standing,
            "error": found and found.error,
            "kernel_error": found and found.kernel_error,
            "peaks": self.peaks,
        }

    def named(self, unit: Unit) -> Unit:
        """The unit whose figures hold for what ``unit`` does: itself, if the description has them."""
        return unit if unit in self.units else LIKE[unit]

    def passes(self, each: Operation) -> int:
        """How often a vector instruction goes through its unit."""
        if each.unit is Unit.VECTOR_MEMORY:
            return each.accesses if each.accesses > 1 else max(1, -(-each.elements * each.bits // self.port_bits))
        registers = sum(register[0] == "v" for register in each.writes) if self.work == "registers" else 0
        return max(1, registers, -(-each.elements * each.bits // self.datapath_bits))

    def cost(self, name: str) -> int:
        """What a branch or jump costs: the field of this name, or the one that it is like."""
        own = getattr(self, name)
        return getattr(self, LIKE_FIGURES[name]) if own is None else own

    def way(self, jumps: bool, is_conditional: bool, backward: bool, taken: bool, indirect: bool = False) -> int:
        """Cycles that the way out of a block costs beside the instruction."""
        if not jumps:
            return 0
        if not is_conditional:
            return self.cost("jump_indirect") if indirect else self.jump
        predicted = self.prediction == "backward taken" and backward
        if taken:
            return self.branch_taken + (0 if predicted else self.branch_mispredicted)
        return self.cost("branch_passed") if predicted else 0


def text(timing: Timing) -> str:
    """The description as a file's text, from which `load` makes the same."""
    tables = {
        "issue": {"width": timing.issue_width},
        "branch": {
            "prediction": timing.prediction,
            "taken": timing.branch_taken,
            "mispredicted": timing.branch_mispredicted,
            "passed": timing.branch_passed,
            "jump": timing.jump,
            "indirect": timing.jump_indirect,
        },
        "memory": {"ports": timing.memory_ports, "port_bits": timing.port_bits},
        "vector": {name: getattr(timing, name) for name in TABLES["vector"]},
        **({"code_cache": vars(timing.code_cache)} if timing.code_cache else {}),
        "source": timing.sources,
    }
    if timing.calibration:
        tables["calibration"] = {
            name: value
            for name, value in vars(timing.calibration).items()
            if value not in (None, ()) or name == "models"
        }
    lines = ["# SPDX-License-Identifier: Apache-2.0", f"title = {_toml(timing.title)}"]
    lines.append(f"assumed = {_toml(timing.is_assumed)}")
    lines += [] if timing.vlens is None else [f"vlens = {_toml(timing.vlens)}"]
    for table, values in tables.items():
        written = {name: value for name, value in values.items() if value is not None}
        lines += ["", f"[{table}]", *(f"{name} = {_toml(value)}" for name, value in written.items())]
        if table == "vector":
            lines += ["", "[unit]", *(_unit_line(unit, timing.units[unit]) for unit in Unit if unit in timing.units)]
    for region in timing.regions:
        lines += ["", "[[region]]", *(f"{name} = {_toml(value)}" for name, value in vars(region).items())]
    return "\n".join(lines) + "\n"


def _unit_line(unit: Unit, figures: UnitTiming) -> str:
    parts = [f"latency = {figures.latency}"]
    parts += [f"interval = {figures.interval}"] if figures.interval != 1 else []
    parts += [f"count = {figures.count}"] if figures.count != 1 else []
    parts += [f"stall = {figures.stall}"] if figures.stall else []
    return f"{unit.value} = {{ {', '.join(parts)} }}"


def _toml(value: Any) -> str:
    """Strings, truth values, numbers and lists of them are in TOML as in JSON."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
