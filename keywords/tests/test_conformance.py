# SPDX-License-Identifier: Apache-2.0
"""The conformance suite without a chip: its modules, its inputs, and how it judges outputs."""

import numpy as np
import pytest

from springbok.compiler.compiled import Target
from springbok.support.errors import ModelError
from springbok.tensors import TensorSpec
from springbok.trials import conformance
from springbok.trials.conformance import Coverage, difference, seeded_inputs, tolerance


def test_at_least_25_modules_that_say_what_they_cover():
    assert len(conformance.sources()) >= 25
    assert all(len(conformance.purpose(source)) > 10 for source in conformance.sources())


def test_a_module_without_a_purpose_is_an_error(tmp_path):
    (tmp_path / "m.mlir").write_text("func.func @main() { return }")
    with pytest.raises(ModelError, match="does not say what it covers"):
        conformance.purpose(tmp_path / "m.mlir")


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint32", "int64"])
def test_integer_inputs_reach_the_extremes(dtype):
    (samples,) = seeded_inputs([TensorSpec("x", (100,), dtype)])
    limits = np.iinfo(dtype)
    assert samples.dtype == dtype
    assert set(samples[1].tolist()) == {limits.min, limits.max}
    assert {limits.min, limits.max} <= set(samples[3].tolist())


def test_float_inputs_hold_ties_and_zeros():
    (samples,) = seeded_inputs([TensorSpec("x", (200,), "float32")])
    assert {0.5, -0.5, 2.5, 0.0} <= set(samples[2].tolist())
    assert np.signbit(samples[3][samples[3] == 0]).any()


def test_inputs_are_always_the_same():
    specs = [TensorSpec("x", (3,), "float32"), TensorSpec("y", (), "bool")]
    for first, second in zip(seeded_inputs(specs), seeded_inputs(specs), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    ("got", "expected", "distance"),
    [
        (np.int8([1, 2]), np.int8([1, 2]), 0),
        (np.int8([1, 3]), np.int8([1, 2]), 1),
        (np.array([True, False]), np.array([False, True]), 2),
        (np.float32([1, 2]), np.float32([1, 4]), 0.5),
        (np.float32([np.nan, 1]), np.float32([np.nan, 1]), 0),
        (np.float32([np.nan, 1]), np.float32([0, 1]), np.inf),
        (np.float32([np.inf, 1]), np.float32([np.inf, 1]), 0),
        (np.float32([1e-9]), np.float32([0]), np.inf),
    ],
)
def test_difference(got, expected, distance):
    assert difference(got, expected) == distance


def test_tolerance():
    assert tolerance(TensorSpec("x", (), "float32")) == 1e-5
    assert tolerance(TensorSpec("x", (), "float16")) == 2.0**-10
    assert tolerance(TensorSpec("x", (), "int8")) == 0


def test_modules_are_compiled_for_each_target_or_by_turns():
    targets = [Target(vlen=512), Target(vectors=False)]
    first, second, third, *_ = conformance.sources()
    assert conformance.in_turn(first, targets, every=True) == targets
    turns = [conformance.in_turn(each, targets, every=False) for each in (first, second, third)]
    assert turns == [targets[:1], targets[1:], targets[:1]]
    assert conformance.in_turn(second, targets[1:], every=False) == targets[1:], "on a chip without vectors"


def test_coverage(tmp_path):
    case = conformance.prepare(conformance.MODULES / "vm_lists.mlir", Target(), tmp_path)
    coverage = Coverage()
    assert coverage.covered == []
    coverage.add(case.model)
    assert {"list.alloc", "list.set.ref", "return"} <= set(coverage.covered)
    assert "buffer.compare" in coverage.never_covered
    assert "1 modules hold" in coverage.describe()
    np.testing.assert_array_equal(case.expected[1][:, 0], case.inputs[1][:, 0])
