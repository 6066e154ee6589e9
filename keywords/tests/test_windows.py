# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections import defaultdict

import pytest

from springbok.chips.description import load
from springbok.engines.base import Call, Counts, DispatchCounts, InferenceCounts, Lanes, VectorConfiguration
from springbok.engines.windows import Mark, WindowCounter

NOP, VADD, MARK = 0x00000013, 0x02860457, 0x00B5407B
E32_M2 = 0xD1


class FakeCore:
    """Executes words at made-up addresses: counts instructions, and PCs as a histogram does."""

    def __init__(self) -> None:
        self.memory: dict[int, int] = {}
        self.instructions = 0
        self._place = None
        self._configuration = (0, 0)
        self._counts: dict = defaultdict(lambda: defaultdict(int))
        self.counter = WindowCounter(self, 512, load())

    def select(self, place):
        self._place = place

    def drain(self, place, kernels, name):
        counts = self._counts.pop(place, {}).items()
        return [
            (configuration, name(self.memory[pc], kernels.part(pc)), count) for (configuration, pc), count in counts
        ]

    def forget_code(self):
        pass

    def clear(self):
        self._counts.clear()

    def configure(self, vl: int, vtype: int) -> None:
        self._configuration = (vl, vtype)

    def execute(self, pc: int, word: int, times: int = 1) -> None:
        self.memory[pc] = word
        self.instructions += times
        if self._place is not None:
            self._counts[self._place][self._configuration, pc] += times

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
        core.configure(5 * ordinal, E32_M2)
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
        calls=(Call(4, 4, 8), Call(2, 14, 8), Call(4, 24, 8)),
    )
    assert core.counter.take() == Counts()


def test_calls_are_those_of_the_last_inference_and_none_of_one_with_too_many(core, monkeypatch):
    monkeypatch.setattr(WindowCounter, "MOST_CALLS", 2)
    for calls, kept in ((3, ()), (2, (Call(7, 1, 1), Call(7, 4, 1)))):
        core.mark(Mark.INFERENCE_BEGIN)
        for _ in range(calls):
            core.mark(Mark.DISPATCH_BEGIN, 7)
            core.execute(0x0, NOP)
            core.mark(Mark.DISPATCH_END, 7)
        core.mark(Mark.INFERENCE_END)
        assert core.counter.take().calls == kept


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


def test_a_difference_between_the_two_counts_is_reported(core):
    core.mark(Mark.INFERENCE_BEGIN)
    core.execute(0x0, NOP, 6)
    core.instructions += 4
    core.mark(Mark.INFERENCE_END)
    assert core.counter.take().unattributed_instructions == 4


def test_a_dispatch_that_did_not_end_belongs_to_no_other_inference(core):
    core.mark(Mark.INFERENCE_BEGIN)
    core.mark(Mark.DISPATCH_BEGIN, 0)
    core.execute(0x0, NOP, 3)
    core.mark(Mark.INFERENCE_END)
    core.mark(Mark.INFERENCE_BEGIN)
    core.mark(Mark.DISPATCH_BEGIN, 0)
    core.execute(0x0, NOP, 2)
    core.mark(Mark.DISPATCH_END, 0)
    core.mark(Mark.INFERENCE_END)
    counts = core.counter.take()
    assert counts.dispatches[0].opcodes == {"addi": 2}


def test_a_configuration_stays_over_marks_until_the_next(core):
    core.configure(7, E32_M2)
    core.mark(Mark.INFERENCE_BEGIN)
    core.mark(Mark.DISPATCH_BEGIN, 0)
    core.execute(0x8000, VADD, 2)
    core.configure(3, E32_M2)
    core.execute(0x8000, VADD)
    core.mark(Mark.DISPATCH_END, 0)
    core.execute(0x8000, VADD)
    core.mark(Mark.INFERENCE_END)
    counts = core.counter.take()
    assert counts.dispatches[0].lanes == Lanes({"vadd.vv": 2 * 7 + 3}, {"vadd.vv": 3 * 32})
    assert counts.lanes == Lanes({"vadd.vv": 2 * 7 + 2 * 3}, {"vadd.vv": 4 * 32})
    assert counts.lanes.utilisation == 20 / 128
