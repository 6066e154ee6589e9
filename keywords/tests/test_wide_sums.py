# SPDX-License-Identifier: Apache-2.0
"""Layers with 16-bit activations whose sums the compiler's first phase makes and refuses; sums that are warned of."""

import pytest

from springbok.compiler.importers import wide_sums
from springbok.trials.fuzz.networks import Network, Node
from springbok.trials.fuzz.worker import Bench

_POINTWISE = {"kernel": [1, 1], "strides": [1, 1], "pads": "valid", "channels": 6, "groups": 3, "activation": None}
_TRANSPOSED = {"kernel": [3, 3], "strides": [2, 1], "pads": "same", "channels": 3}


@pytest.fixture(scope="module")
def bench():
    bench = Bench()
    yield bench
    bench.close()


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("kind", "options"), [("conv", _POINTWISE), ("transposed", _TRANSPOSED)])
def test_layers_of_16_bits_that_the_compiler_takes_apart_are_right(bench, kind, options, bias):
    node = Node(kind, (0,), options | {"bias": bias})
    outcome = bench.try_network(Network("tflite", "int16", "nhwc", (1, 2, 3, 3), (node,), 5), ("none",), ("host",))
    assert outcome.modules == 1
    assert not outcome.findings


def test_other_errors_of_the_compiler_are_left():
    assert not wide_sums.are_refused("'tosa.add' op illegal: did not align with any profile, got (i8,i8,i8)")
    assert wide_sums.are_refused("'tosa.cast' op illegal: did not align with any profile, got (i16,i48)")


def test_what_can_not_be_read_is_none(tmp_path):
    path = tmp_path / "model.mlir"
    path.write_text("func.func @main() { return }\n")
    assert wide_sums.lowered(path) is None


def test_a_quantised_sum_is_refused_by_its_name(bench):
    node = Node("reduce", (0,), {"mode": "sum", "axes": [1], "keep": True})
    outcome = bench.try_network(Network("tflite", "int8", "nhwc", (1, 6, 4), (node,), 5), ("none",), ("host",))
    assert "SUM ('sum_0_" in outcome.refusal
    assert "Use MEAN" in outcome.refusal
