# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections import defaultdict

import pytest

from springbok.engines.base import Counts, DispatchCounts, InferenceCounts, Lanes, VectorConfiguration
from springbok.engines.windows import Mark, WindowCounter

NOP, CSRR, VADD, MARK = 0x00000013, 0xB0202573, 0x02860457, 0x00B5407B
E32_M2 = 0xD1


class FakeCore:
    """Executes words at made-up addresses: counts instructions, and PCs by key as a histogram does."""

    def __init__(self) -> None:
        self.memory: dict[int, int] = {}
        self.instructions = 0
        self._key = None
        self._counts: dict = defaultdict(lambda: defaultdict(int))
        self.counter = WindowCounter(
            self, self.memory.__getitem__, counted=lambda word: 2 if word == CSRR else 1, vlen=512
        )

    def select(self, key):
        self._key = key

    def drain(self, key):
        return list(self._counts.pop(key, {}).items())

    def execute(self, pc: int, word: int, times: int = 1) -> None:
        self.memory[pc] = word
        self.instructions += times
        if self._key is not None:
            self._counts[self._key][pc] += times

    def mark(self, event: int, value: int = 0) -> None:
        self.counter.mark(event, value, self.instructions)
        self.execute(0x100, MARK)


@pytest.fixture
def core() -> FakeCore:
    return FakeCore()


def test_an_inference_is_split_by_dispatch_and_by_place(core):
    core.mark(Mark.KERNELS_BEGIN, 0x8000)
    core.mark(Mark.KERNELS_END, 0x8010)
    core.execute(0x0, NOP, 50)
    core.mark(Mark.INFERENCE_BEGIN)
    core.execute(0x0, NOP, 3)
    for ordinal in (4, 2, 4):
        core.mark(Mark.DISPATCH_BEGIN, ordinal)
        core.execute(0x4, NOP, 2)
        core.counter.configure(5 * ordinal, E32_M2)
        core.execute(0x8000, VADD, 5)
        core.execute(0x8010, NOP)  # just behind the kernels
        core.mark(Mark.DISPATCH_END, ordinal)
    core.mark(Mark.INFERENCE_END)
    core.execute(0x0, NOP, 50)
    assert core.counter.take() == Counts(
        inferences=(InferenceCounts(instructions=33, kernel_instructions=15, vector_instructions=15),),
        opcodes={"addi": 12, "mark": 6, "vadd.vv": 15},
        lanes=Lanes({"vadd.vv": 5 * 10 + 10 * 20}, {"vadd.vv": 15 * 32}),
        configurations=(VectorConfiguration(10, 32, "m2", 5), VectorConfiguration(20, 32, "m2", 10)),
        dispatches={
            2: DispatchCounts(1, 8, 5, {"addi": 3, "vadd.vv": 5}, Lanes({"vadd.vv": 50}, {"vadd.vv": 160})),
            4: DispatchCounts(2, 16, 10, {"addi": 6, "vadd.vv": 10}, Lanes({"vadd.vv": 200}, {"vadd.vv": 320})),
        },
    )
    assert core.counter.take() == Counts()


def test_load_is_counted_between_its_marks(core):
    core.mark(Mark.LOAD_BEGIN)
    core.execute(0x0, NOP, 7)
    assert core.counter.place == "while loading a model"
    core.mark(Mark.LOAD_END)
    assert core.counter.take() == Counts(load_instructions=7)


def test_new_code_at_an_old_address_gets_its_own_name(core):
    for word in (VADD, NOP):
        core.mark(Mark.LOAD_BEGIN)
        core.mark(Mark.LOAD_END)
        core.mark(Mark.INFERENCE_BEGIN)
        core.execute(0x8000, word)
        core.mark(Mark.INFERENCE_END)
    assert core.counter.take().opcodes == {"addi": 1, "vadd.vv": 1}


@pytest.mark.parametrize("next_event", [Mark.INFERENCE_BEGIN, Mark.LOAD_BEGIN])
def test_an_inference_that_never_ended_is_only_reported(core, next_event):
    core.mark(Mark.INFERENCE_BEGIN)
    core.mark(Mark.DISPATCH_BEGIN, 1)
    core.execute(0x0, NOP, 5)
    core.mark(Mark.DISPATCH_END, 1)
    core.mark(Mark.DISPATCH_BEGIN, 2)
    assert core.counter.place == "in dispatch 2"
    core.execute(0x0, NOP, 9)
    core.mark(next_event)
    if next_event != Mark.INFERENCE_BEGIN:
        core.mark(Mark.INFERENCE_BEGIN)
    core.execute(0x0, NOP, 2)
    assert core.counter.place == "in inference"
    core.mark(Mark.INFERENCE_END)
    assert core.counter.place == ""
    assert core.counter.take() == Counts(
        inferences=(InferenceCounts(2, 0, 0),), opcodes={"addi": 2}, abandoned_inferences=1
    )


def test_marks_outside_of_an_inference_and_unknown_ones_count_nothing(core):
    for event in (0, Mark.DISPATCH_BEGIN, Mark.DISPATCH_END, Mark.INFERENCE_END, Mark.LOAD_END, 99):
        core.mark(event, 1)
    assert core.counter.take() == Counts()


def test_what_the_histogram_counts_twice_is_halved(core):
    core.mark(Mark.INFERENCE_BEGIN)
    core.execute(0x0, CSRR, 6)
    core.instructions -= 3
    core.mark(Mark.INFERENCE_END)
    counts = core.counter.take()
    assert counts.opcodes == {"csrrs": 3}
    assert counts.unattributed_instructions == 0


def test_a_difference_between_the_two_counts_is_reported(core):
    core.mark(Mark.INFERENCE_BEGIN)
    core.execute(0x0, NOP, 6)
    core.instructions += 4
    core.mark(Mark.INFERENCE_END)
    assert core.counter.take().unattributed_instructions == 4


def test_a_configuration_stays_over_marks_until_the_next(core):
    core.counter.configure(7, E32_M2)
    core.mark(Mark.INFERENCE_BEGIN)
    core.mark(Mark.DISPATCH_BEGIN, 0)
    core.execute(0x8000, VADD, 2)
    core.counter.configure(3, E32_M2)
    core.execute(0x8000, VADD)
    core.mark(Mark.DISPATCH_END, 0)
    core.execute(0x8000, VADD)
    core.mark(Mark.INFERENCE_END)
    counts = core.counter.take()
    assert counts.dispatches[0].lanes == Lanes({"vadd.vv": 2 * 7 + 3}, {"vadd.vv": 3 * 32})
    assert counts.lanes == Lanes({"vadd.vv": 2 * 7 + 2 * 3}, {"vadd.vv": 4 * 32})
    assert counts.lanes.utilisation == 20 / 128
