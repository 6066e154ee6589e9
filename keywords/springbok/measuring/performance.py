# SPDX-License-Identifier: Apache-2.0
"""What an inference costs: instructions, vector instructions, dispatches, opcodes, memory.

Numbers come from two places that see the same windows: the firmware reads the core's counters and reports
them in its profile (on every engine and on a board), and a simulator may count by itself at the firmware's
marks. Where both are there, the simulator's are taken, because then every number of a row has one source,
and the firmware's are kept beside them as ``device_instructions``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from springbok.engines.base import Call, Counts, Lanes
from springbok.link.messages import Profile
from springbok.measuring.instruction_mix import work
from springbok.support.errors import EngineError

# Means of whole numbers, added up in floating point, differ by less.
_ROUNDING = 1e-3


@dataclass(frozen=True)
class DispatchCost:
    """One dispatch (a kernel that the compiler made), per inference: means over all measured inferences.

    ``vector_instructions`` is None where the engine can't tell. ``lanes`` are the vector lanes that its vector
    instructions used and the lanes that were there (``vl`` and ``VLMAX`` of each execution, added up); ``work`` is
    what it computed and moved (see `instruction_mix.work`). ``defects`` are executions of instructions that
    show a known defect of the chip, by its name. ``cycles`` are the core's own, from an engine that has its RTL.
    ``stack`` are loads and stores of the kernel's own stack.
    """

    ordinal: int
    name: str
    calls: float
    instructions: float
    vector_instructions: float | None
    opcodes: dict[str, float] | None
    lanes: tuple[float, float] | None = None
    work: dict[str, float] | None = None
    defects: dict[str, float] = field(default_factory=dict)
    cycles: float | None = None
    stack: tuple[float, float] | None = None


@dataclass(frozen=True)
class Performance:
    """Cost of each measured inference, and of the model's load; None where an engine can't tell.

    ``instructions[i]`` is what inference i executed between its two marks: no boot, no upload, no UART.
    ``vector_instructions`` leaves out ``vset*``, which configures the vector unit and computes nothing.
    ``kernel_instructions`` were executed in the model's own code; the rest of ``instructions`` is the runtime's.
    ``calls`` of dispatches are the last inference's, in their order; ``runtime_functions`` is what the first one
    executed outside of them, by function of the firmware.
    """

    instructions: tuple[int, ...]
    device_instructions: tuple[int, ...]
    vector_instructions: tuple[int, ...] | None
    kernel_instructions: tuple[int, ...] | None
    opcodes: dict[str, float] | None
    dispatches: tuple[DispatchCost, ...]
    load_instructions: int
    memory_peak_bytes: int
    stack_peak_bytes: int
    lanes: tuple[float, float] | None = None
    cycles: tuple[int, ...] | None = None
    calls: tuple[Call, ...] = ()
    runtime_functions: dict[str, int] = field(default_factory=dict)

    @property
    def outside_kernels(self) -> tuple[int, ...] | None:
        """Instructions of each inference that the runtime, not the model's kernels, executed."""
        if self.kernel_instructions is None:
            return None
        return tuple(total - kernel for total, kernel in zip(self.instructions, self.kernel_instructions, strict=True))

    @property
    def runtime_instructions(self) -> float:
        """Instructions of an inference outside of all dispatches: the VM and its runtime."""
        whole = math.fsum(self.instructions) / len(self.instructions)
        return whole - math.fsum(dispatch.instructions for dispatch in self.dispatches)

    def disagreements(self) -> list[str]:
        """Compare two independent counts: of instructions between marks, and of executions by opcode.

        Empty when each dispatch, and what is outside of them, has the same number by both. An engine that counts
        no opcodes has nothing to compare.
        """
        if self.opcodes is None:
            return []
        pairs = [(each.name, each.instructions, math.fsum(each.opcodes.values())) for each in self.dispatches]
        rest = math.fsum(self.opcodes.values()) - math.fsum(opcodes for _, _, opcodes in pairs)
        pairs.append(("outside of dispatches", self.runtime_instructions, rest))
        return [
            f"{name}: {instructions:,.2f} instructions between the marks, {opcodes:,.2f} by opcode"
            for name, instructions, opcodes in pairs
            if abs(instructions - opcodes) > _ROUNDING
        ]


def summarise(profiles: Sequence[Profile], counts: Counts | None, vlen_bits: int) -> Performance:
    """Make one Performance of a device's profile after each inference and an engine's counts over all of them.

    ``vlen_bits`` is what the chip says of itself.

    Raises EngineError when the two disagree on how many inferences there were.
    """
    if not profiles:
        raise EngineError("No inference was measured: run at least one before asking what it cost.")
    last = profiles[-1]
    device_instructions = tuple(profile.inference_instructions for profile in profiles)
    if counts is None:
        return Performance(
            instructions=device_instructions,
            device_instructions=device_instructions,
            vector_instructions=None,
            kernel_instructions=None,
            opcodes=None,
            dispatches=_device_dispatches(profiles),
            load_instructions=last.load_instructions,
            memory_peak_bytes=last.memory_peak_bytes,
            stack_peak_bytes=last.stack_peak_bytes,
        )
    if len(counts.inferences) != len(profiles):
        raise EngineError(
            f"The simulator saw {len(counts.inferences)} inferences between the firmware's marks, but the device "
            f"answered {len(profiles)}: the firmware's marks do not reach the simulator."
        )
    return Performance(
        instructions=tuple(inference.instructions for inference in counts.inferences),
        device_instructions=device_instructions,
        vector_instructions=tuple(inference.vector_instructions for inference in counts.inferences),
        kernel_instructions=tuple(inference.kernel_instructions for inference in counts.inferences),
        opcodes=_per_inference(counts.opcodes, len(profiles)),
        dispatches=_engine_dispatches(profiles, counts, vlen_bits),
        load_instructions=last.load_instructions,
        memory_peak_bytes=last.memory_peak_bytes,
        stack_peak_bytes=last.stack_peak_bytes,
        lanes=_mean_lanes(counts.lanes, len(profiles)),
        cycles=_known(tuple(inference.cycles for inference in counts.inferences)),
        calls=counts.calls,
        runtime_functions=counts.runtime_functions,
    )


def _known(values: tuple[int | None, ...]) -> tuple[int, ...] | None:
    return None if None in values else values


def _device_dispatches(profiles: Sequence[Profile]) -> tuple[DispatchCost, ...]:
    names, calls, instructions = {}, {}, {}
    for profile in profiles:
        for record in profile.dispatches:
            names[record.ordinal] = record.name
            calls[record.ordinal] = calls.get(record.ordinal, 0) + record.calls
            instructions[record.ordinal] = instructions.get(record.ordinal, 0) + record.instructions
    count = len(profiles)
    return tuple(
        DispatchCost(
            ordinal,
            names[ordinal],
            exact_mean(calls[ordinal], count),
            exact_mean(instructions[ordinal], count),
            None,
            None,
        )
        for ordinal in sorted(names)
    )


def _engine_dispatches(profiles: Sequence[Profile], counts: Counts, vlen_bits: int) -> tuple[DispatchCost, ...]:
    names = {record.ordinal: record.name for profile in profiles for record in profile.dispatches}
    count = len(profiles)
    return tuple(
        DispatchCost(
            ordinal,
            names.get(ordinal, f"dispatch {ordinal}"),
            exact_mean(dispatch.calls, count),
            exact_mean(dispatch.instructions, count),
            exact_mean(dispatch.vector_instructions, count),
            _per_inference(dispatch.opcodes, count),
            _mean_lanes(dispatch.lanes, count),
            work(_per_inference(dispatch.opcodes, count), _per_inference(dispatch.lanes.used, count), vlen_bits),
            _per_inference(dispatch.defects, count),
            None if dispatch.cycles is None else exact_mean(dispatch.cycles, count),
            None if dispatch.stack is None else tuple(exact_mean(each, count) for each in dispatch.stack),
        )
        for ordinal, dispatch in sorted(counts.dispatches.items())
    )


def _mean_lanes(lanes: Lanes, inferences: int) -> tuple[float, float] | None:
    """Lanes used and there, an inference; None where no vector instruction met a known configuration."""
    there = sum(lanes.there.values())
    return (exact_mean(sum(lanes.used.values()), inferences), exact_mean(there, inferences)) if there else None


def _per_inference(totals: dict[str, int], inferences: int) -> dict[str, float]:
    return {
        name: exact_mean(total, inferences)
        for name, total in sorted(totals.items(), key=lambda item: (-item[1], item[0]))
    }


def exact_mean(total: int, count: int) -> float:
    """Mean that stays a whole number where it is one, so that equal runs give equal text.

    >>> exact_mean(6, 3), exact_mean(3, 2)
    (2, 1.5)
    """
    return total // count if total % count == 0 else total / count
