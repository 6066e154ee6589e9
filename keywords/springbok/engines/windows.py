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

from springbok.engines.base import Counts, DispatchCounts, InferenceCounts
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
class _Dispatch:
    calls: int = 0
    instructions: int = 0
    vector_instructions: int = 0
    opcodes: Counter[str] = field(default_factory=Counter)

    def add(self, other: _Dispatch) -> None:
        self.calls += other.calls
        self.instructions += other.instructions
        self.vector_instructions += other.vector_instructions
        self.opcodes += other.opcodes


class WindowCounter:
    """Turns marks and a histogram into `Counts`.

    ``word_at(pc)`` gives the instruction word in memory. Words are remembered until a model is loaded, because a
    load puts new code where old code was. ``counted(word)`` is how often the histogram counts one execution of it.
    """

    OUTSIDE_DISPATCHES = "outside"

    def __init__(self, histogram: Histogram, word_at: Callable[[int], int], counted: Callable[[int], int]) -> None:
        self._histogram = histogram
        self._word_at = word_at
        self._counted = counted
        self._decoded: dict[int, tuple[str, Kind, int]] = {}
        self._kernels = [0, 0]
        self._inference_start: int | None = None
        self._dispatch: int | None = None
        self._dispatch_start = 0
        self._load_start: int | None = None
        self._marks = 0
        self._open: dict[int, _Dispatch] = {}
        self._clear()

    @property
    def place(self) -> str:
        """Where the core is by its marks, for a sentence: ``in dispatch 3``, or nothing outside of all windows."""
        if self._dispatch is not None:
            return f"in dispatch {self._dispatch}"
        if self._inference_start is not None:
            return "in inference"
        return "while loading a model" if self._load_start is not None else ""

    def mark(self, event: int, value: int, instructions: int) -> None:
        """Handle one mark; ``instructions`` is how many the core has executed before it."""
        if event == Mark.INFERENCE_BEGIN:
            self._abandon()
            self._load_start = None  # a load that failed has no end
            self._inference_start = instructions
            self._histogram.select(self.OUTSIDE_DISPATCHES)
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
            self._histogram.select(value)
        elif event == Mark.DISPATCH_END and self._dispatch is not None:
            dispatch = self._open.setdefault(self._dispatch, _Dispatch())
            dispatch.calls += 1
            dispatch.instructions += instructions - self._dispatch_start - 1
            self._dispatch = None
            self._histogram.select(self.OUTSIDE_DISPATCHES)

    def take(self) -> Counts:
        """Return what was counted in inferences that have ended, and start from zero."""
        counts = Counts(
            inferences=tuple(self._inferences),
            opcodes=dict(sorted(self._opcodes.items())),
            dispatches={
                ordinal: DispatchCounts(
                    dispatch.calls,
                    dispatch.instructions,
                    dispatch.vector_instructions,
                    dict(sorted(dispatch.opcodes.items())),
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
        self._opcodes: Counter[str] = Counter()
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
        keys = [self.OUTSIDE_DISPATCHES, *self._open, *([] if self._dispatch is None else [self._dispatch])]
        self._close_inference()
        for key in keys:
            for _ in self._histogram.drain(key):
                pass

    def _close_inference(self) -> None:
        self._histogram.select(None)
        self._inference_start = self._dispatch = None
        self._marks, self._open = 0, {}

    def _end_inference(self, instructions: int) -> None:
        executed = instructions - self._inference_start - 1
        marks, dispatches = self._marks, self._open
        self._close_inference()
        opcodes, vector, kernel = self._tally(self.OUTSIDE_DISPATCHES)
        opcodes[MARK_NAME] += marks
        for ordinal, dispatch in dispatches.items():
            dispatch.opcodes, dispatch.vector_instructions, in_kernels = self._tally(ordinal)
            opcodes += dispatch.opcodes
            vector += dispatch.vector_instructions
            kernel += in_kernels
            self._dispatches.setdefault(ordinal, _Dispatch()).add(dispatch)
        self._inferences.append(InferenceCounts(executed, kernel, vector))
        self._opcodes += opcodes  # drops names that were not executed
        self._unattributed += executed - sum(opcodes.values())

    def _tally(self, key: Hashable) -> tuple[Counter[str], int, int]:
        """Opcodes, vector instructions and instructions in the kernels of one key; marks are left out."""
        opcodes: Counter[str] = Counter()
        vector = kernel = 0
        begin, end = self._kernels
        decoded = self._decoded
        for pc, seen in self._histogram.drain(key):
            if pc not in decoded:
                word = self._word_at(pc)
                decoded[pc] = (opcode_name(word), opcode_kind(word), self._counted(word))
            name, kind, counted = decoded[pc]
            if kind is Kind.MARK:
                continue
            count = seen // counted
            opcodes[name] += count
            if kind is Kind.VECTOR:
                vector += count
            if begin <= pc < end:
                kernel += count
        return opcodes, vector, kernel
