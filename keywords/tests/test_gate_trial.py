# SPDX-License-Identifier: Apache-2.0
"""A bounded share of the gate's trial: three real regressions on Spike, runs without one, and a trial that can fail."""

from springbok.trials import gate_trial
from springbok.trials.gate_trial import PLANTS, Plant, run_trial

SHARE = ("accuracy down by one sample", "firmware: one call more a dispatch", "VLEN wrong")


def test_the_plants_are_many_and_each_says_what_its_message_has_to_name():
    assert len(PLANTS) >= 12
    assert len({plant.name for plant in PLANTS}) == len(PLANTS)
    assert all(plant.names for plant in PLANTS)
    assert {plant.name for plant in PLANTS} >= set(SHARE)


def test_regressions_are_caught_and_nothing_else():
    said = []
    plants = [plant for plant in PLANTS if plant.name in SHARE]
    result = run_trial(seed=3, unchanged_runs=2, samples=6, plants=plants, say=said.append)
    assert result.missed == {}, said
    assert result.false_alarms == []
    assert len(result.messages) == len(SHARE)
    assert result.is_good


class SilentBench:
    """A bench that measures nothing, and of which the gate says always the same."""

    complaint_text = ""

    def __init__(self, *_):
        self.session = self

    def record(self, configuration):
        pass

    def complaint(self, configuration, fresh=False):
        return self.complaint_text if fresh else ""

    def shut_down(self):
        pass


def test_a_gate_that_says_nothing_fails_the_trial(monkeypatch):
    monkeypatch.setattr(gate_trial, "Bench", SilentBench)
    monkeypatch.setattr(gate_trial, "_quantised", lambda bench, bits: None)
    plants = [Plant("silent", lambda bench: bench.complaint(None), ("the cause",))]
    result = run_trial(1, 1, plants=plants)
    assert result.missed == {"silent": ["the cause"]}
    assert not result.is_good


def test_a_gate_that_cries_wolf_fails_the_trial(monkeypatch):
    monkeypatch.setattr(gate_trial, "Bench", SilentBench)
    monkeypatch.setattr(gate_trial, "_quantised", lambda bench, bits: gate_trial.PLAIN)
    monkeypatch.setattr(SilentBench, "complaint_text", "wolf")
    result = run_trial(1, 3, plants=[])
    assert result.false_alarms == ["wolf"] * 3
    assert not result.is_good
