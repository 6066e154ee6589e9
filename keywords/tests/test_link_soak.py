# SPDX-License-Identifier: Apache-2.0
"""The soak's parts on several lines: so many faults in all, each part once, also when a run goes on where one ended."""

import threading

import pytest

from springbok.link.extension import LinkReport
from springbok.support.errors import LinkError
from springbok.trials.link_dialogues import SoakResult
from springbok.trials.link_soak import PART_FAULTS, Lines


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
