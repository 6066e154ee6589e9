# SPDX-License-Identifier: Apache-2.0
"""The soak's parts on several lines, each part once; and its judgement, which a loaded computer has no say in."""

import threading
from types import SimpleNamespace

import pytest

from springbok.link.extension import LinkReport
from springbok.support.errors import EngineError, LinkError, LinkTimeout, OtherHost
from springbok.trials import link_dialogues, own_time
from springbok.trials.link_dialogues import Soak, SoakResult
from springbok.trials.link_soak import PART_FAULTS, Lines
from springbok.trials.own_time import OwnTime


class Chips:
    """Stands in for the chips: notes the parts, and lets ``wanted`` of them run at once."""

    def __init__(self, wanted=1, restarts_in=None):
        self.parts, self.restarts_in = [], restarts_in
        self._together = threading.Barrier(wanted)

    def run(self, faults, seed, ended):
        self.parts.append((faults, seed))
        self._together.wait(60)
        result = SoakResult(faults=faults, operations=1, restarts=len(self.parts) == self.restarts_in)
        return result, LinkReport(requests=3)


def test_parts_run_at_once_and_come_to_the_faults_that_were_asked_for():
    chips = Chips(wanted=4)
    lines = Lines(7, chips.run)
    lines.run(4 * PART_FAULTS - 1, 4)
    assert sorted(faults for faults, _ in chips.parts) == [PART_FAULTS - 1] + 3 * [PART_FAULTS]
    assert len({seed for _, seed in chips.parts}) == 4
    assert (lines.result.faults, lines.result.operations, lines.report.requests) == (4 * PART_FAULTS - 1, 4, 12)


def test_a_run_goes_on_where_its_state_says(tmp_path):
    state, first, second = tmp_path / "state.json", Chips(), Chips()
    Lines(7, first.run, state).run(PART_FAULTS + 1, 1)
    lines = Lines(7, second.run, state)
    lines.run(2 * PART_FAULTS, 1)
    assert second.parts[0][0] == PART_FAULTS - 1
    assert second.parts[0][1] not in {seed for _, seed in first.parts}
    assert (lines.result.faults, lines.report.requests) == (2 * PART_FAULTS, 9)
    with pytest.raises(LinkError, match="of seed 7, not 8"):
        Lines(8, second.run, state)


def test_no_part_begins_after_a_chip_needed_a_restart():
    chips = Chips(restarts_in=2)
    lines = Lines(7, chips.run)
    lines.run(9 * PART_FAULTS, 1)
    assert len(chips.parts) == 2
    assert not lines.result.passed


def test_a_part_that_fails_ends_the_others():
    seen = []

    def run(faults, seed, ended):
        if len(seen) == 0:
            seen.append(ended)
            raise LinkError("no chip")
        assert ended.wait(60)
        seen.append("ended")
        return SoakResult(), LinkReport()

    with pytest.raises(LinkError, match="no chip"):
        Lines(7, run).run(2 * PART_FAULTS, 2)
    assert seen[0].is_set()


# ---- The judgement


class SlowChip:
    """A clock that stands still unless something takes time, and a chip that gets a ``share`` of that."""

    def __init__(self, share):
        self.now, self.share, self.had = 1000.0, share, 0.0

    def take(self, seconds):
        self.now += seconds
        self.had += seconds * self.share


@pytest.fixture
def judged(monkeypatch):
    """Let an operation and the recoveries after it fail, each after so many seconds; return what came of it."""

    def judge(share, failure, recoveries=()):
        chip, left = SlowChip(share), list(recoveries)
        for module in (link_dialogues, own_time):
            monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: chip.now, sleep=chip.take))
        monkeypatch.setattr(own_time, "_Stalls", lambda: SimpleNamespace(start=bool, end=bool, seconds=0.0))
        monkeypatch.setattr(Soak, "_open", lambda _: SimpleNamespace())
        soak = Soak(SimpleNamespace(disarm=bool), b"", 1, lambda: chip.had)

        def fail(error):
            chip.take(20.0 if isinstance(error, LinkTimeout) and not isinstance(error, OtherHost) else 5.0)
            raise error

        monkeypatch.setattr(Soak, "_start", lambda _: left and fail(left.pop(0)))
        soak._attempt(lambda: fail(failure))
        assert not left
        return soak.result

    return judge


@pytest.mark.parametrize("failure", [LinkTimeout("silence"), OtherHost("another")])
def test_an_operation_is_given_up_when_the_chip_had_its_time(judged, failure):
    result = judged(0.6, failure)
    assert (result.given_up, result.starved, result.restarts, result.hangs) == (1, 0, 0, 0)
    assert not result.passed


@pytest.mark.parametrize("failure", [LinkTimeout("silence"), OtherHost("another")])
def test_a_chip_that_other_programs_kept_waiting_is_asked_until_it_had_its_time(judged, failure):
    result = judged(0.02, failure, [LinkTimeout("silence")] * 9)
    assert (result.given_up, result.starved, result.restarts, result.hangs) == (0, 1, 0, 0)
    assert result.passed
    assert result.longest_seconds > link_dialogues.HANG_SECONDS


def test_a_chip_that_hangs_is_found_on_a_loaded_computer_too(judged):
    result = judged(0.2, LinkTimeout("silence"), [LinkTimeout("silence")] * 3)
    assert (result.starved, result.restarts) == (1, 1)
    assert not result.passed


def test_what_is_no_matter_of_time_counts_on_a_loaded_computer_too(judged):
    assert judged(0.0, LinkError("malformed")).given_up == 1


def test_a_chip_that_has_ended_is_kept_waiting_by_nobody(monkeypatch):
    def gone():
        raise EngineError("It has ended.")

    monkeypatch.setattr(own_time, "time", SimpleNamespace(monotonic=lambda: 1007.0))
    monkeypatch.setattr(own_time, "_Stalls", lambda: SimpleNamespace(start=bool, seconds=0.0))
    own = OwnTime(gone)
    assert own.since((1000.0, 3.0)) == 7.0
    assert own.since((1000.0, float("inf"))) == 7.0
