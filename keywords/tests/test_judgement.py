# SPDX-License-Identifier: Apache-2.0
"""The measure of right and wrong outputs, and what people may give as a tolerance, a shape and data."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from springbok.compiler.importers.selection import Selection, SelectionError
from springbok.compiler.judgement import QUANTISED_STEPS, Tolerance, difference_of, judge
from springbok.support.errors import ModelError
from springbok.tensors import TensorSpec, fit

FLOAT = TensorSpec("y", (3,), "float32")
INT8 = TensorSpec("q", (3,), "int8", scale=0.5, zero_point=3)
LAST_STEP = TensorSpec("d", (3,), "float32", step=0.25)
HALF = TensorSpec("h", (3,), "float16")
HALF_INSIDE = TensorSpec("f", (3,), "float32", precision="float16")
MOST_OF_ONE_STEP = 32  # of 1/128, by a step of 0.25 in front of a tanh
INDEX = TensorSpec("i", (3,), "int64")


def judged(spec, got, wanted, tolerance=None):
    return judge([spec], [np.array([got], spec.dtype)], [np.array([wanted], spec.dtype)], tolerance)


class TestUnits:
    @pytest.mark.parametrize(
        ("spec", "near", "far"),
        [
            (FLOAT, [1, 2, 100.0009], [1, 2, 100.0011]),
            (INT8, [1, 2, 7], [1, 2, 8]),
            (LAST_STEP, [0, 1, 101], [0, 1, 101.25]),
            (HALF, [0, 0, 100.5], [0, 0, 101]),
            (HALF_INSIDE, [0, 0, 100.7], [0, 0, 100.8]),
            (INDEX, [1, 2, 100], [1, 2, 101]),
        ],
        ids=lambda value: value.name if isinstance(value, TensorSpec) else "",
    )
    def test_each_kind_has_its_own_limit(self, spec, near, far):
        wanted = [*near[:2], 3 if spec is INT8 else 100]
        assert judged(spec, near, wanted).passed
        assert not judged(spec, far, wanted).passed

    def test_what_was_compared_is_told(self):
        text = judged(INT8, [1, 2, 12], [1, 2, 3], tolerance="2 steps").explain()
        assert text.startswith(
            "output 'q' of sample 0 differs by 9 steps: element [2] is 12, where the framework gives 3"
        )
        assert "a step is 0.5; tolerance 2 steps" in text
        assert text.endswith("allow it with tolerance=9.")

    @pytest.mark.parametrize(
        ("spec", "got"),
        [(FLOAT, [1, 2, 9]), (FLOAT, [1, 2, -50]), (FLOAT, [1, 2, 2.5]), (INT8, [1, 2, 40]), (LAST_STEP, [1, 2, 99])],
    )
    def test_no_tolerance_is_told_that_would_accept_anything(self, spec, got):
        text = judged(spec, got, [1, 2, 3]).explain()
        assert text.endswith("So much is no matter of rounding, and no tolerance makes it right.")
        assert "tolerance=" not in text

    def test_the_tolerance_that_is_told_is_enough(self):
        wanted = [1.0, 2.0, 81.3]
        told = judged(FLOAT, [1.0, 2.0, 77.7], wanted).explain().rpartition("tolerance=")[2].rstrip(".")
        assert judged(FLOAT, [1.0, 2.0, 77.7], wanted, told).passed

    def test_not_a_number_is_never_near(self):
        judgement = judged(FLOAT, [np.nan, 2, 3], [1, 2, 3], tolerance=0.999)
        assert not judgement.passed
        assert "allow" not in judgement.explain()
        assert judged(FLOAT, [np.nan, np.inf, 3], [np.nan, np.inf, 3]).passed

    def test_large_integers_are_compared_exactly(self):
        assert difference_of(np.int64([2**62 + 1]), np.int64([2**62])).tolist() == [1.0]
        assert difference_of(np.int64([2**63 - 1]), np.int64([-(2**63)])).tolist() == [float(2**64 - 1)]
        assert difference_of(np.uint64([0]), np.uint64([2**64 - 1])).tolist() == [float(2**64 - 1)]

    def test_the_worst_output_is_the_furthest_beyond_its_own_limit(self):
        specs = [INT8, FLOAT]
        wanted = [np.zeros((2, 3), np.int8), np.zeros((2, 3), np.float32)]
        got = [wanted[0] + np.int8(3), wanted[1] + np.float32(1e-3)]
        judgement = judge(specs, got, wanted)
        assert (judgement.worst.output, judgement.worst.limit.unit, judgement.steps) == ("y", "relative", 3)


SQUASHING = {
    "softmax": lambda given: np.exp(given) / np.exp(given).sum(),
    "sigmoid": lambda given: 1 / (1 + np.exp(np.negative(given))),
    "tanh": np.tanh,
}


class TestTolerance:
    def test_a_whole_number_is_steps_where_there_are_any(self):
        assert judged(INT8, [9, 0, 0], [3, 0, 0], 6).passed
        assert not judged(INT8, [4, 0, 0], [3, 0, 0], 0).passed
        assert judged(LAST_STEP, [1.5, 0, 0], [0, 0, 0], "6").passed

    def test_a_share_is_of_the_largest_real_value(self):
        assert judged(INT8, [23, 103, 3], [19, 103, 3], "0.05").passed  # 2 of 50
        assert not judged(INT8, [29, 103, 3], [19, 103, 3], 0.05).passed  # 5 of 50

    @given(st.lists(st.floats(-6, 6), min_size=3, max_size=3), st.integers(0, 2), st.floats(-12, 12))
    def test_behind_a_function_steps_are_those_in_front_of_it(self, given, place, moved):
        for name, compute in SQUASHING.items():
            spec = replace(LAST_STEP, step=0.5, behind=name)
            other = [each + 0.5 * moved * (number == place) for number, each in enumerate(given)]
            difference = np.abs(compute(other) - compute(given)).max()
            assert judged(spec, compute(other), compute(given)).passed or abs(moved) > 3.9 * (1 + (name == "softmax"))
            if name != "softmax" and difference > 1e-3 and abs(moved) > 4.2:
                assert not judged(spec, compute(other), compute(given)).passed

    @pytest.mark.parametrize("grid", [{"dtype": "int8", "scale": 1 / 128}, {"dtype": "float32", "step": 1 / 128}])
    @given(st.floats(-6, 6), st.integers(-3, 3) | st.integers(-90, 90), st.sampled_from([-1, 0, 1]))
    def test_a_step_in_front_of_what_is_rounded_again_is_no_difference(self, grid, given, more, moved):
        """Some more steps of the finer grid may lie between them, as between any others."""
        for name in ("sigmoid", "tanh"):
            spec = TensorSpec("y", (1,), **grid, behind=name, step_before=0.25)
            wanted = SQUASHING[name](np.array([given, given + 0.25 * moved]))
            first, second = np.round(wanted * 128) + [0, more]
            values = np.array([first, second]) if spec.scale else np.array([first, second]) / 128
            values = np.clip(values, -128, 127) if spec.scale else values
            judgement = judged(spec, values[1:], values[:1])
            assert judgement.passed or abs(more) > QUANTISED_STEPS - 1
            if np.abs(np.diff(values)[0] / (1 if spec.scale else spec.step)) > MOST_OF_ONE_STEP + QUANTISED_STEPS + 1:
                assert not judgement.passed

    def test_no_softmax_is_right_outside_of_its_range(self):
        spec = replace(LAST_STEP, step=0.5, behind="softmax")
        assert not judged(spec, [0.267, -0.067, 0.8], [0.237, 0.053, 0.71]).passed
        assert not judged(spec, [1.01, 0.0, 0.0], [0.9, 0.05, 0.05]).passed
        assert judged(spec, [0.24, 0.05, 0.71], [0.237, 0.053, 0.71]).passed

    def test_the_chip_may_be_off_by_a_step_more_than_this_machine(self):
        limits = [Tolerance(most=most).limit_of(LAST_STEP).value for most in (1, 2.5, 9)]
        assert limits == [1, 2.5, QUANTISED_STEPS]
        assert Tolerance(most=1).limit_of(INT8).value == QUANTISED_STEPS
        assert Tolerance(steps=3, most=1).limit_of(LAST_STEP).value == 3

    def test_steps_leave_other_outputs_alone(self):
        assert not judged(FLOAT, [1, 2, 3.1], [1, 2, 3], "9 steps").passed
        assert Tolerance.of(None).limit_of(INT8).value == QUANTISED_STEPS

    @pytest.mark.parametrize("text", ["much", "-1", "nan", "1.2.3", "", "1e999"])
    def test_anything_else_is_refused(self, text):
        with pytest.raises(ModelError, match=r"can't be understood: give a number of steps"):
            Tolerance.of(text)


class TestSelection:
    @given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.data())
    def test_what_is_open_takes_any_length_and_what_is_fixed_its_own(self, shape, data):
        is_open = data.draw(st.lists(st.booleans(), min_size=len(shape), max_size=len(shape)))
        declared = [None if hidden else length for length, hidden in zip(shape, is_open, strict=True)]
        selection = Selection.of("x".join(map(str, shape)))
        assert selection.fixed_shape("any", declared) == tuple(shape)
        assert Selection.of({"any": shape}).fixed_shape("any", declared) == tuple(shape)
        fixed = [number for number, hidden in enumerate(is_open) if not hidden]
        if fixed:
            other = [length + (number == fixed[0]) for number, length in enumerate(shape)]
            with pytest.raises(SelectionError, match="does not suit"):
                Selection.of(other).fixed_shape("any", declared)

    def test_only_the_batch_is_chosen_silently(self):
        assert Selection().fixed_shape("x", [None, 4]) == (1, 4)
        assert Selection.of("6x4").fixed_shape("x", [None, 6, 4]) == (1, 6, 4)
        with pytest.raises(SelectionError, match=r"which is left out is not clear.*shape=x=1x6x4"):
            Selection.of("6x4").fixed_shape("x", [None, None, 4])
        for shape in ([None, None, 4], [1, None], None):
            with pytest.raises(SelectionError, match="such as shape=x=1x"):
                Selection().fixed_shape("x", shape)

    @pytest.mark.parametrize("shape", ["x", "1x-2", "1x", "a=", 5, (1.5,), "1xNone"])
    def test_what_is_no_shape_is_refused(self, shape):
        with pytest.raises(ModelError, match="can't be understood"):
            Selection.of(shape).fixed_shape("a", [None])


class TestFit:
    SPECS = (TensorSpec("image", (1, 2), "uint8"), TensorSpec("mask", (1,), "bool"))

    def test_inputs_by_their_names(self):
        image, mask = fit("m", self.SPECS, {"mask": [[True]], "image": [[[3, 255]]]})
        assert (image.dtype, mask.dtype) == (np.uint8, np.bool_)

    @pytest.mark.parametrize(
        ("data", "said"),
        [
            ({"image": [[1, 2]]}, "'mask' is missing"),
            ({"image": [[1, 2]], "mask": [1], "more": [1]}, "no input is named 'more'"),
            ({"image": [[1, 2]], "maks": [1]}, r"no input is named 'maks' \(did you mean 'mask'\?\), and 'mask' is"),
            ([[[1, 2]]], r"takes 2 inputs .*but the data has 1"),
            ([[[1, 256]], [1]], "can't hold"),
            ([[[1, 2]], [2]], "can't hold"),
            ([[[1, 2], [3]], [1]], "differ in length"),
            ([[["a", "b"]], [1]], "Give numbers"),
            ([[[1j, 2]], [1]], "Give numbers"),
            ([[[1, 2, 3]], [1]], r"a sample is int64\[3\]"),
        ],
    )
    def test_what_does_not_fit_is_told(self, data, said):
        with pytest.raises(ModelError, match=said):
            fit("m", self.SPECS, data)

    def test_half_precision_never_becomes_infinite(self):
        spec = TensorSpec("x", (1,), "float16")
        assert fit("m", [spec], np.float32([[1.0004]]))[0].dtype == np.float16
        assert np.isinf(fit("m", [spec], np.float32([[np.inf]]))[0])
        with pytest.raises(ModelError, match="can't hold"):
            fit("m", [spec], np.float32([[1e6]]))


@pytest.mark.parametrize("given", [1, 2, "3"])
def test_steps_of_an_output_without_steps_are_refused(given):
    spec = TensorSpec("y", (1,), "float32")
    with pytest.raises(ModelError, match="of the largest number of the output 'y', which has no steps"):
        judge([spec], [np.float32([[1.0]])], [np.float32([[9.0]])], Tolerance.of(given))
