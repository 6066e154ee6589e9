# SPDX-License-Identifier: Apache-2.0
"""Counting between the firmware's marks.

The firmware marks where an inference, a dispatch and a model's load begin and end (``.insn r 0x7b, 4, 0, x0, rs1,
rs2``: event in rs1, value in rs2). A window is what the core executed after its first mark, up to but not
including its last. Marks inside an inference belong to the inference and to no dispatch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from springbok.chips.chip import Chip
from springbok.chips.description import load
from springbok.engines.base import Counts, DispatchCounts, InferenceCounts, Lanes, VectorConfiguration
from springbok.engines.lanes import lanes, vector_type
from springbok.engines.opcodes import MARK_NAME, Kind, opcode_kind, opcode_name


class Mark(IntEnum):
    """Events, as in the firmware's ``platform.h``; 0 is its probe and means nothing."""

    INFERENCE_BEGIN = 1
    INFERENCE_END = 2
    DISPATCH_BEGIN = 3
    DISPATCH_END = 4
    LOAD_BEGIN = 5
    LOAD_END = 6
    KERNELS_BEGIN = 7
    KERNELS_END = 8


class Histogram(Protocol):
    """Executions by PC, kept apart by key."""

    def select(self, key: Hashable | None) -> None:
        """Count for ``key`` from now on; None counts nothing."""

    def drain(self, key: Hashable) -> Iterable[tuple[int, int]]:
        """Return (PC, executions) of ``key`` and forget them."""


@dataclass
class _Tally:
    """What was executed in one place."""

    vector_instructions: int = 0
    kernel_instructions: int = 0
    opcodes: Counter[str] = field(default_factory=Counter)
    used: Counter[str] = field(default_factory=Counter)
    there: Counter[str] = field(default_factory=Counter)
    configurations: Counter[tuple[int, int]] = field(default_factory=Counter)
    defects: Counter[str] = field(default_factory=Counter)

    def add(self, other: _Tally) -> None:
        self.vector_instructions += other.vector_instructions
        self.kernel_instructions += other.kernel_instructions
        self.opcodes += other.opcodes
        self.used += other.used
        self.there += other.there
        self.configurations += other.configurations
        self.defects += other.defects

    @property
    def lanes(self) -> Lanes:
        return Lanes(dict(sorted(self.used.items())), dict(sorted(self.there.items())))


@dataclass
class _Dispatch:
    calls: int = 0
    instructions: int = 0
    tally: _Tally = field(default_factory=_Tally)


class WindowCounter:
    """Turns marks and a histogram into `Counts`.

    ``word_at(pc)`` gives the instruction word in memory. Words are remembered until a model is loaded, because a
    load puts new code where old code was. ``counted(word)`` is how often the histogram counts one execution of it.
    ``vlen`` is the chip's, in bits, and ``chip`` (the run's unless given) knows its own instructions and defects. The
    histogram is kept apart by place and by vector configuration (vl and vtype): so each instruction is known together
    with the vl, SEW and LMUL that it met.
    """

    OUTSIDE_DISPATCHES = "outside"

    def __init__(
        self,
        histogram: Histogram,
        word_at: Callable[[int], int],
        counted: Callable[[int], int],
        vlen: int = 0,
        chip: Chip | None = None,
    ) -> None:
        chip = chip or load()
        self._own, self._defects = chip.instructions, chip.defects
        self._histogram = histogram
        self._word_at = word_at
        self._counted = counted
        self._vlen = vlen
        self._configuration = (0, 0)
        self._place: Hashable | None = None
        self._keys: dict[Hashable, set[tuple[int, int]]] = {}
        self._decoded: dict[int, tuple[str, Kind, int]] = {}
        self._kernels = [0, 0]
        self._inference_start: int | None = None
        self._dispatch: int | None = None
        self._dispatch_start = 0
        self._load_start: int | None = None
        self._marks = 0
        self._open: dict[int, _Dispatch] = {}
        self._clear()

    def believe(self, vlen: int, kernels: tuple[int, int] | None = None) -> None:
        """Take the chip's word for its VLEN in bits, and for the addresses of a model that was loaded unseen."""
        self._vlen = vlen
        if kernels is not None:
            self._kernels = list(kernels)

    @property
    def place(self) -> str:
        """Where the core is by its marks, for a sentence: ``in dispatch 3``, or nothing outside of all windows."""
        if self._dispatch is not None:
            return f"in dispatch {self._dispatch}"
        if self._inference_start is not None:
            return "in inference"
        return "while loading a model" if self._load_start is not None else ""

    def configure(self, vl: int, vtype: int) -> None:
        """Note that the core has a new vector configuration from here on."""
        self._configuration = (vl, vtype)
        if self._place is not None:
            self._select(self._place)

    def expect(self, place: Hashable, configuration: tuple[int, int]) -> None:
        """Note that the histogram holds executions of this place and configuration, without the core being there."""
        self._keys.setdefault(place, set()).add(configuration)

    def _select(self, place: Hashable | None) -> None:
        self._place = place
        if place is None:
            self._histogram.select(None)
            return
        self.expect(place, self._configuration)
        self._histogram.select((place, self._configuration))

    def mark(self, event: int, value: int, instructions: int) -> None:
        """Handle one mark; ``instructions`` is how many the core has executed before it."""
        if event == Mark.INFERENCE_BEGIN:
            self._abandon()
            self._load_start = None  # a load that failed has no end
            self._inference_start = instructions
            self._select(self.OUTSIDE_DISPATCHES)
            return
        if event in (Mark.LOAD_BEGIN, Mark.LOAD_END):
            self._load(event, instructions)
            return
        if event in (Mark.KERNELS_BEGIN, Mark.KERNELS_END):
            self._kernels[event - Mark.KERNELS_BEGIN] = value
        if self._inference_start is None:
            return
        if event == Mark.INFERENCE_END:
            self._end_inference(instructions)
            return
        self._marks += 1
        if event == Mark.DISPATCH_BEGIN:
            self._dispatch, self._dispatch_start = value, instructions
            self._select(value)
        elif event == Mark.DISPATCH_END and self._dispatch is not None:
            dispatch = self._open.setdefault(self._dispatch, _Dispatch())
            dispatch.calls += 1
            dispatch.instructions += instructions - self._dispatch_start - 1
            self._dispatch = None
            self._select(self.OUTSIDE_DISPATCHES)

    def take(self) -> Counts:
        """Return what was counted in inferences that have ended, and start from zero."""
        counts = Counts(
            inferences=tuple(self._inferences),
            opcodes=dict(sorted(self._total.opcodes.items())),
            lanes=self._total.lanes,
            configurations=tuple(
                VectorConfiguration(vl, *vector_type(vtype), instructions)
                for (vl, vtype), instructions in sorted(self._total.configurations.items())
            ),
            dispatches={
                ordinal: DispatchCounts(
                    dispatch.calls,
                    dispatch.instructions,
                    dispatch.tally.vector_instructions,
                    dict(sorted(dispatch.tally.opcodes.items())),
                    dispatch.tally.lanes,
                    dict(sorted(dispatch.tally.defects.items())),
                )
                for ordinal, dispatch in sorted(self._dispatches.items())
            },
            load_instructions=self._load_instructions,
            unattributed_instructions=self._unattributed,
            abandoned_inferences=self._abandoned,
        )
        self._clear()
        return counts

    def _clear(self) -> None:
        self._inferences: list[InferenceCounts] = []
        self._total = _Tally()
        self._dispatches: dict[int, _Dispatch] = {}
        self._load_instructions: int | None = None
        self._unattributed = 0
        self._abandoned = 0

    def _load(self, event: int, instructions: int) -> None:
        self._abandon()
        self._decoded.clear()
        if event == Mark.LOAD_BEGIN:
            self._kernels = [0, 0]
            self._load_start = instructions
        elif self._load_start is not None:
            self._load_instructions = instructions - self._load_start - 1
            self._load_start = None

    def _abandon(self) -> None:
        """Drop an inference that never ended."""
        if self._inference_start is None:
            return
        self._abandoned += 1
        self._close_inference()
        for place in list(self._keys):
            for _ in self._drain(place):
                pass

    def _close_inference(self) -> None:
        self._select(None)
        self._inference_start = self._dispatch = None
        self._marks, self._open = 0, {}

    def _end_inference(self, instructions: int) -> None:
        executed = instructions - self._inference_start - 1
        marks, dispatches = self._marks, self._open
        self._close_inference()
        inference = self._tally(self.OUTSIDE_DISPATCHES)
        inference.opcodes[MARK_NAME] += marks
        for ordinal, dispatch in dispatches.items():
            dispatch.tally = self._tally(ordinal)
            inference.add(dispatch.tally)
            total = self._dispatches.setdefault(ordinal, _Dispatch())
            total.calls += dispatch.calls
            total.instructions += dispatch.instructions
            total.tally.add(dispatch.tally)
        self._inferences.append(InferenceCounts(executed, inference.kernel_instructions, inference.vector_instructions))
        self._total.add(inference)  # drops names that were not executed
        self._unattributed += executed - sum(inference.opcodes.values())

    def _drain(self, place: Hashable) -> Iterable[tuple[tuple[int, int], int, int]]:
        """Yield (configuration, PC, executions) of one place and forget them."""
        for configuration in self._keys.pop(place, ()):
            for pc, seen in self._histogram.drain((place, configuration)):
                yield configuration, pc, seen

    def _tally(self, place: Hashable) -> _Tally:
        """What was executed in one place; marks are left out."""
        tally = _Tally()
        begin, end = self._kernels
        decoded = self._decoded
        for configuration, pc, seen in self._drain(place):
            if pc not in decoded:
                word = self._word_at(pc)
                decoded[pc] = (opcode_name(word, self._own), opcode_kind(word, self._own), self._counted(word))
            name, kind, counted = decoded[pc]
            if kind is Kind.MARK:
                continue
            count = seen // counted
            tally.opcodes[name] += count
            if kind is Kind.VECTOR:
                used, there = lanes(name, *configuration, self._vlen)
                tally.vector_instructions += count
                tally.used[name] += count * used
                tally.there[name] += count * there
                tally.configurations[configuration] += count
            if self._defects:
                self._look_for_defects(tally, name, configuration, count)
            if begin <= pc < end:
                tally.kernel_instructions += count
        return tally

    def _look_for_defects(self, tally: _Tally, name: str, configuration: tuple[int, int], count: int) -> None:
        """Add executions that show one of the chip's known defects."""
        vl, vtype = configuration
        if vtype >> 8:  # no valid configuration
            return
        for defect in self._defects:
            if defect.shows_in(name, vl, *vector_type(vtype)):
                tally.defects[defect.name] += count
