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
from typing import NamedTuple, Protocol

from springbok.chips.chip import Chip
from springbok.chips.opcodes import MARK_NAME, Kind, csr_of, opcode_kind, opcode_name
from springbok.engines.base import (
    RUNTIME_SITES,
    Call,
    Counts,
    DispatchCounts,
    InferenceCounts,
    Lanes,
    Site,
    VectorConfiguration,
)
from springbok.engines.known_defects import shown
from springbok.engines.lanes import lanes, vector_type
from springbok.engines.stack_accesses import NONE, stack_accesses


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


Place = Hashable
#: vl and vtype.
Configuration = tuple[int, int]


class Part(IntEnum):
    """Whose an instruction is: the runtime's, or a kernel's; of those that reach the kernel's stack, which do."""

    RUNTIME = 0
    KERNELS = 1
    STACK_LOAD = 2
    STACK_STORE = 3


class KernelCode(NamedTuple):
    """Where the loaded kernels lie, ``begin`` up to ``end``; ``stack`` is `stack_accesses` of them, if it is known."""

    begin: int = 0
    end: int = 0
    stack: bytes = b""

    def part(self, pc: int) -> Part:
        """Whose instruction is at ``pc``."""
        if not self.begin <= pc < self.end:
            return Part.RUNTIME
        number = (pc - self.begin) >> 2
        access = self.stack[number] if number < len(self.stack) else NONE
        return Part(Part.KERNELS + access)


class Instruction(NamedTuple):
    """What is at a PC, as far as counts tell instructions apart."""

    name: str
    kind: Kind
    part: Part
    csr: int | None = None


class Histogram(Protocol):
    """Executions by PC, kept apart by place and by the vector configuration that the core had."""

    def select(self, place: Place | None) -> None:
        """Count for ``place`` from now on; None counts nothing."""

    def drain(
        self, place: Place, kernels: KernelCode, name: Callable[[int, Part], Instruction]
    ) -> Iterable[tuple[Configuration, Instruction, int]]:
        """Return (configuration, instruction, executions) of ``place``, which is not selected, and forget them.

        ``name`` makes an instruction of a word and of the part that ``kernels`` says its PC belongs to. Executions of
        equal instructions may come as one number.
        """

    def sites(self, place: Place) -> Iterable[Site]:
        """Return what was counted in ``place``, which is not selected, an instruction each, and keep it."""

    def forget_code(self) -> None:
        """There may be another word at each PC from here on; no place is selected."""

    def clear(self) -> None:
        """Forget all counts; no place is selected."""


@dataclass
class _Tally:
    """What was executed in one place."""

    vector_instructions: int = 0
    kernel_instructions: int = 0
    opcodes: Counter[str] = field(default_factory=Counter)
    used: Counter[str] = field(default_factory=Counter)
    there: Counter[str] = field(default_factory=Counter)
    configurations: Counter[Configuration] = field(default_factory=Counter)
    defects: Counter[str] = field(default_factory=Counter)
    stack: Counter[Part] = field(default_factory=Counter)

    def add(self, other: _Tally) -> None:
        self.vector_instructions += other.vector_instructions
        self.kernel_instructions += other.kernel_instructions
        self.opcodes += other.opcodes
        self.used += other.used
        self.there += other.there
        self.configurations += other.configurations
        self.defects += other.defects
        self.stack += other.stack

    @property
    def lanes(self) -> Lanes:
        return Lanes(dict(sorted(self.used.items())), dict(sorted(self.there.items())))


@dataclass
class _Dispatch:
    calls: int = 0
    instructions: int = 0
    cycles: int = 0
    tally: _Tally = field(default_factory=_Tally)


class WindowCounter:
    """Turns marks and a histogram into `Counts`.

    ``vlen`` is the chip's, in bits, and ``chip`` (the run's unless given) knows its own instructions and defects. The
    histogram is kept apart by place and by vector configuration (vl and vtype): so each instruction is known together
    with the vl, SEW and LMUL that it met. ``keeps_sites`` keeps `Counts.sites` too, and ``keeps_runtime``
    `Counts.runtime`. ``read(address, count)`` is the chip's memory: without it nothing is known of kernels' stacks.
    """

    OUTSIDE_DISPATCHES = "outside"
    MOST_NAMES = 1 << 18  # that are kept over loads
    MOST_CALLS = 10_000  # of an inference that are kept one by one

    def __init__(
        self,
        histogram: Histogram,
        vlen: int,
        chip: Chip,
        keeps_sites: bool = False,
        keeps_runtime: bool = False,
        read: Callable[[int, int], bytes] | None = None,
    ) -> None:
        self._keeps_sites, self._keeps_runtime = keeps_sites, keeps_runtime
        self._own, self._defects = chip.instructions, chip.defects
        self._histogram = histogram
        self._vlen = vlen
        self._named: dict[tuple[int, Part], Instruction] = {}
        self._read = read
        self._kernels = KernelCode()
        self._inference_start: int | None = None
        self._dispatch: int | None = None
        self._dispatch_start = 0
        self._cycles = self._inference_cycles = self._dispatch_cycles = 0
        self._load_start: int | None = None
        self._marks = 0
        self._open: dict[int, _Dispatch] = {}
        self._calls: list[Call] = []
        self._clear()

    def believe(self, vlen: int, kernels: tuple[int, int] | None = None) -> None:
        """Take the chip's word for its VLEN in bits, and for the addresses of a model that was loaded unseen."""
        self._vlen = vlen
        if kernels is not None:
            self._kernels = KernelCode(*kernels)

    def forget_kernels_code(self) -> None:
        """There is more to read of the kernels' code than there was."""
        self._kernels = self._kernels._replace(stack=b"")

    @property
    def place(self) -> str:
        """Where the core is by its marks, for a sentence: ``in dispatch 3``, or nothing outside of all windows."""
        if self._dispatch is not None:
            return f"in dispatch {self._dispatch}"
        if self._inference_start is not None:
            return "in inference"
        return "while loading a model" if self._load_start is not None else ""

    def mark(self, event: int, value: int, instructions: int, cycles: int = 0) -> None:
        """Handle one mark; ``instructions`` is how many the core has executed before it, ``cycles`` when it was.

        Cycles are counted where the engine knows them: a window's are those between its two marks.
        """
        self._cycles = cycles
        if event == Mark.INFERENCE_BEGIN:
            self._abandon()
            self._load_start = None  # a load that failed has no end
            self._inference_start, self._inference_cycles = instructions, cycles
            self._histogram.select(self.OUTSIDE_DISPATCHES)
            return
        if event in (Mark.LOAD_BEGIN, Mark.LOAD_END):
            self._load(event, instructions)
            return
        if event in (Mark.KERNELS_BEGIN, Mark.KERNELS_END):
            begin, end, _ = self._kernels
            self._kernels = KernelCode(*((value, end) if event == Mark.KERNELS_BEGIN else (begin, value)))
        if self._inference_start is None:
            return
        if event == Mark.INFERENCE_END:
            self._end_inference(instructions)
            return
        self._marks += 1
        if event == Mark.DISPATCH_BEGIN:
            self._dispatch, self._dispatch_start, self._dispatch_cycles = value, instructions, cycles
            self._histogram.select(value)
        elif event == Mark.DISPATCH_END and value == self._dispatch:
            dispatch = self._open.setdefault(self._dispatch, _Dispatch())
            dispatch.calls += 1
            dispatch.instructions += instructions - self._dispatch_start - 1
            dispatch.cycles += cycles - self._dispatch_cycles
            self._keep_call(instructions, cycles)
            self._dispatch = None
            self._histogram.select(self.OUTSIDE_DISPATCHES)

    def _keep_call(self, instructions: int, cycles: int) -> None:
        """Keep the call of a dispatch that ends now; one more than the most, to tell that there were too many."""
        if len(self._calls) > self.MOST_CALLS:
            return
        begin, length = self._dispatch_start - self._inference_start, instructions - self._dispatch_start - 1
        times = (self._dispatch_cycles - self._inference_cycles, cycles - self._dispatch_cycles) if cycles else ()
        self._calls.append(Call(self._dispatch, begin, length, *times))

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
                    dispatch.cycles or None,
                    self._stack_of(dispatch.tally),
                )
                for ordinal, dispatch in sorted(self._dispatches.items())
            },
            load_instructions=self._load_instructions,
            unattributed_instructions=self._unattributed,
            abandoned_inferences=self._abandoned,
            sites={
                ordinal: tuple(
                    Site(*place, executions, region) for (*place, region), executions in sorted(sites.items())
                )
                for ordinal, sites in sorted(self._sites.items())
            },
            calls=self._last_calls,
            runtime=dict(sorted(self._runtime.items())),
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
        self._last_calls: tuple[Call, ...] = ()
        self._runtime: Counter[int] = Counter()
        self._sites: dict[int, Counter[tuple[int, int, int, int, int]]] = {}

    def _load(self, event: int, instructions: int) -> None:
        self._abandon()
        self._histogram.forget_code()
        if len(self._named) > self.MOST_NAMES:
            self._named.clear()
        if event == Mark.LOAD_BEGIN:
            self._kernels = KernelCode()
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
        self._histogram.clear()

    def _close_inference(self) -> None:
        self._histogram.select(None)
        self._inference_start = self._dispatch = None
        self._marks, self._open, self._calls = 0, {}, []

    def _end_inference(self, instructions: int) -> None:
        executed = instructions - self._inference_start - 1
        marks, dispatches = self._marks, self._open
        self._last_calls = tuple(self._calls) if len(self._calls) <= self.MOST_CALLS else ()
        self._close_inference()
        self._read_kernels()
        inference = self._tally(self.OUTSIDE_DISPATCHES)
        inference.opcodes[MARK_NAME] += marks
        for ordinal, dispatch in dispatches.items():
            dispatch.tally = self._tally(ordinal)
            inference.add(dispatch.tally)
            total = self._dispatches.setdefault(ordinal, _Dispatch())
            total.calls += dispatch.calls
            total.instructions += dispatch.instructions
            total.cycles += dispatch.cycles
            total.tally.add(dispatch.tally)
        cycles = self._cycles - self._inference_cycles
        self._inferences.append(
            InferenceCounts(
                executed, inference.kernel_instructions, inference.vector_instructions, cycles or None, instructions
            )
        )
        self._histogram.clear()  # a dispatch that has not ended belongs to no other inference
        self._total.add(inference)  # drops names that were not executed
        self._unattributed += executed - sum(inference.opcodes.values())

    def _read_kernels(self) -> None:
        """Find the accesses of the stack in the kernels' code, once a load."""
        begin, end, stack = self._kernels
        if self._read is not None and begin < end and not stack:
            self._kernels = KernelCode(begin, end, stack_accesses(self._read(begin, end - begin)))

    def _stack_of(self, tally: _Tally) -> tuple[int, int] | None:
        return None if self._read is None else (tally.stack[Part.STACK_LOAD], tally.stack[Part.STACK_STORE])

    def _tally(self, place: Place) -> _Tally:
        """What was executed in one place; marks are left out."""
        if self._keeps_sites:
            sites = self._sites.setdefault(RUNTIME_SITES if place == self.OUTSIDE_DISPATCHES else place, Counter())
            for site in self._histogram.sites(place):
                if self._name(site.word, Part.RUNTIME).kind is not Kind.MARK:
                    sites[(*site[:4], site.region)] += site.executions
        if self._keeps_runtime and place == self.OUTSIDE_DISPATCHES and not self._inferences:
            for site in self._histogram.sites(place):
                if self._name(site.word, Part.RUNTIME).kind is not Kind.MARK:
                    self._runtime[site.pc] += site.executions
        tally = _Tally()
        drained = self._histogram.drain(place, self._kernels, self._name)
        for configuration, (name, kind, part, csr), count in drained:
            if kind is Kind.MARK:
                continue
            tally.opcodes[name] += count
            if kind is Kind.VECTOR:
                used, there = lanes(name, *configuration, self._vlen)
                tally.vector_instructions += count
                tally.used[name] += count * used
                tally.there[name] += count * there
                tally.configurations[configuration] += count
            if self._defects:
                for defect in shown(self._defects, name, *configuration, csr):
                    tally.defects[defect] += count
            if part is not Part.RUNTIME:
                tally.kernel_instructions += count
                tally.stack[part] += count
        return tally

    def _name(self, word: int, part: Part) -> Instruction:
        key = (word, part)
        if key not in self._named:
            own = self._own
            self._named[key] = Instruction(opcode_name(word, own), opcode_kind(word, own), part, csr_of(word))
        return self._named[key]
