# SPDX-License-Identifier: Apache-2.0
"""The overhead benchmark's bounds and its table; the measuring itself needs minutes and is a command."""

from dataclasses import replace

import pytest

from springbok.trials.overhead import BENCHMARKS, Overhead, main, table

GOOD = Overhead("magic_wand_f32", 394_638, 7_999, 99_999, 55_000, 25_567, 1_664, 8_000, 50_653, 55_388)


def test_eight_models_each_with_a_bound():
    assert len(BENCHMARKS) == 8
    assert all(benchmark.file.exists() for benchmark in BENCHMARKS)
    bounds = {benchmark.name: benchmark.bound for benchmark in BENCHMARKS}
    assert bounds["magic_wand_f32"] == 8_000
    assert bounds["ds_cnn_f32"] == 198_190 // 6


@pytest.mark.parametrize(
    ("changed", "failure"),
    [
        ({"outside": 8_001}, "8,001 instructions outside the kernels, bound 8,000"),
        ({"load": 100_001}, "100,001 instructions to load it, bound 100,000"),
        ({"memory_peak": 60_000}, "60,000 bytes of memory, upstream 55,388"),
    ],
)
def test_every_bound_is_judged(changed, failure):
    assert GOOD.failures == []
    assert replace(GOOD, **changed).failures == [f"magic_wand_f32: {failure}"]


def test_only_magic_wand_has_a_bound_of_the_load():
    assert replace(GOOD, name="ds_cnn_f32", load=200_000).failures == []


def test_table():
    lines = table([GOOD, replace(GOOD, name="conv1d_f32", outside=9_000, upstream_memory=None)]).splitlines()
    assert lines[0].split()[:3] == ["model", "kernels", "outside"]
    assert lines[1].endswith("ok")
    assert lines[2].endswith("too much")
    assert " - " in lines[2]


def test_unknown_model_is_an_error(capsys):
    with pytest.raises(SystemExit):
        main(["no_such_model"])
    assert "no_such_model" in capsys.readouterr().err
