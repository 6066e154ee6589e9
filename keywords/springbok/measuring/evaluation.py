# SPDX-License-Identifier: Apache-2.0
"""What came of a model on a data set: its answers judged, its inferences measured, and what ran it.

`springbok.session.Session.evaluate` makes one; metrics, gate and reports go on from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from springbok.chips.chip import DEFAULT
from springbok.compiler.compiled import CompiledModel
from springbok.data.dataset import Dataset
from springbok.firmware import Firmware
from springbok.measuring.cycles import EstimatedCycles
from springbok.measuring.fit import Fit
from springbok.measuring.performance import Performance
from springbok.measuring.quality import Quality
from springbok.modules.lifetimes import Held


@dataclass(frozen=True)
class WallClock:
    """Seconds on this machine's clock: for information, never judged, because every run has others.

    ``upload_seconds`` is sending, verifying and loading the module; a round trip is input,
    inference, output and the device's profile.
    """

    upload_seconds: float
    round_trip_seconds: tuple[float, ...]


@dataclass(frozen=True)
class Platform:
    """What ran the model: the engine, the chip, its vector length in bits, what carried the UART, and the firmware."""

    engine: str
    engine_version: str | None
    vlen_bits: int | None
    link: str | None
    firmware: Firmware | None
    chip: str = DEFAULT


@dataclass(frozen=True)
class Evaluation:
    """A compiled model, judged and measured on one data set.

    ``accesses_over_time`` are reads and writes in slices of virtual time, where an engine recorded them (see
    docs/metrics.md). ``scenario`` is what a scenario file says of it, see
    `springbok.exploring.scenario.Scenario.record`. ``breakdown`` is what each of the optimizer's transformations
    brings, where it was measured: see `springbok.exploring.breakdown`. ``output`` is the model's output that was
    judged by the data set's task. ``fit`` is what the model takes of the chip's memories, where the chip is known.
    ``tensor_memory`` is what it holds for tensors while each dispatch runs, where its module tells.
    ``estimate`` are cycles, where the chip was booted with a description of its pipeline. ``disturbance`` says what
    the chip was tried with that makes its counts others on every run, see `Engine.disturbance`. ``untold_defects`` are
    known defects of the chip that these counts can't show.
    """

    model: CompiledModel
    dataset: Dataset
    quality: Quality
    performance: Performance
    wall_clock: WallClock
    accesses_over_time: dict | None = None
    platform: Platform | None = None
    scenario: dict | None = None
    breakdown: list[dict] | None = None
    output: int = 0
    fit: Fit | None = None
    tensor_memory: Sequence[Held] | None = None
    estimate: EstimatedCycles | None = None
    disturbance: str = ""
    untold_defects: Sequence[str] = ()

    def __str__(self) -> str:
        return f"{self.model} with {self.dataset}"

    def no_comparison(self) -> str:
        """A sentence where its counts can't be held against another run's; else an empty one."""
        if not self.disturbance:
            return ""
        return f"Counts are no measurement under a seed, which changes them on every run ({self.disturbance})."

    def defects(self) -> list[str]:
        """A sentence for each known defect of the chip that a dispatch ran into."""
        return [
            f"{' + '.join(self.model.layers(dispatch.name)) or dispatch.name} executes {count:,.0f} instructions an "
            f"inference that show the chip's known defect '{name}'"
            for dispatch in self.performance.dispatches
            for name, count in dispatch.defects.items()
        ]
