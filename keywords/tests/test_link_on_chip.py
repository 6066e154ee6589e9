# SPDX-License-Identifier: Apache-2.0
"""The link to the whole firmware on the simulated chip: many inferences, many faults, a kernel that never ends."""

from __future__ import annotations

import re

import pytest

from springbok.link.link import Dialect, Link
from springbok.support.errors import DeviceError, LinkError
from springbok.support.places import ROOT
from springbok.trials.link_rig import chip, sample, small_module
from springbok.trials.link_soak import soak


@pytest.fixture(scope="module")
def module() -> bytes:
    return small_module()


def test_ten_thousand_inferences_neither_leak_nor_drift(module):
    with chip() as engine, Link(engine.uart_url, diagnose=engine.diagnose) as link:
        link.negotiate()
        assert link.dialect is Dialect.EXTENDED
        link.load_model(module)
        data, expected = sample(1)
        link.infer(data)
        first = link.measure(data)
        before = link.statistics()
        outputs = set()
        for _ in range(312):
            outputs.update(link.infer_batch([data] * 32))
        for _ in range(14):
            outputs.add(link.infer(data))
        last = link.measure(data)
        after = link.statistics()
        assert outputs == {expected} == {first[0]} == {last[0]}
        assert last[1].inferences == 10_001
        assert last[1].inference_instructions == first[1].inference_instructions
        assert (after.device_peak, after.device_allocated - after.device_freed) == (
            before.device_peak,
            before.device_allocated - before.device_freed,
        )
        assert link.report.damaged_answers == link.report.dropped_bytes == 0


def test_faults_are_survived():
    result, report = soak(faults=120, seed=2)
    assert result.passed, result.problems
    assert result.faults >= 120
    assert report.retransmissions > 0


def test_batch_beyond_the_time_limit_is_stopped(module):
    with chip() as engine, Link(engine.uart_url, diagnose=engine.diagnose) as link:
        link.negotiate(time_limit=0.005)
        with pytest.raises(LinkError, match="No model is loaded, so that there is nothing to infer"):
            link.infer_batch([bytes(32)] * 2)
        link.load_model(module)
        data, expected = sample(1)
        with pytest.raises(DeviceError, match=r"TIME_LIMIT: stopped at the time limit of 5 ms, mepc 0x3[24]"):
            link.infer_batch([data] * 1000)
        room = link.limits.output_capacity // len(expected)
        with pytest.raises(LinkError, match=rf"give it {room:,} at a time"):
            link.infer_batch([data] * (room + 1))
        link.negotiate()
        link.load_model(module)
        assert link.infer(data) == expected


def test_the_documents_example_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8"), re.DOTALL)
    exec(compile(code, "protocol.md", "exec"), {})
    assert capsys.readouterr().out == "VLEN 512\n"
