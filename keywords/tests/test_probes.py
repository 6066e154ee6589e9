# SPDX-License-Identifier: Apache-2.0
"""The made-up samples of the host check: which numbers they hold, and which of them count."""

import numpy as np
import pytest

from springbok.compiler.probes import CORNERS, probe
from springbok.tensors import TensorSpec

LARGE = TensorSpec("x", (1, 200), "float32")


def of(function):
    def run(arrays):
        with np.errstate(all="ignore"):
            return [np.asarray(function(*arrays))]

    return run


def test_a_function_of_elements_is_asked_for_corners_and_extremes():
    (given,), (answer,) = probe([LARGE], of(np.tanh))
    assert set(np.float32(CORNERS)) == set(given[2].ravel())
    assert {np.inf, -np.inf, np.float32(3.4028235e38)} <= set(given[3].ravel())
    np.testing.assert_array_equal(answer, np.tanh(given))


@pytest.mark.parametrize(("function", "counts"), [(lambda x: x * np.float32(0.7), False), (np.negative, True)])
def test_an_answer_near_the_largest_number_counts_only_where_it_is_what_was_given(function, counts):
    (given,), _ = probe([LARGE], of(function))
    assert (np.float32(3.4028235e38) in given[3]) == counts
    assert np.isinf(given[3]).any()


def test_where_elements_meet_nothing_infinite_is_asked():
    (given,), _ = probe([LARGE], of(lambda x: x - x.mean(axis=-1, keepdims=True)))
    assert np.isfinite(given).all()
    assert set(given[2].ravel()) == set(np.float32(CORNERS))


def test_corners_that_such_a_model_has_no_finite_answer_to_are_left_away():
    (given,), (answer,) = probe([LARGE], of(lambda x: np.log(np.abs(x)).sum(axis=-1, keepdims=True) + 0 * x))
    assert np.isfinite(answer).all()
    assert 0 not in given


@pytest.mark.parametrize("nan", [False, True])
def test_nan_counts_where_the_framework_defines_its_answer(nan):
    (bases, exponents), (answer,) = probe([LARGE, LARGE], of(np.power), nan=nan)
    counting = np.isnan(bases[3]) & (exponents[3] == 0)
    assert counting.any() == nan
    assert (answer[3][counting] == 1).all()
    assert (np.isinf(bases[3]) & (exponents[3] == 0)).any()


def test_what_extremes_are_as_integers_is_not_asked():
    (given,), _ = probe([LARGE], of(lambda x: np.trunc(np.clip(x, -1e6, 1e6)).astype(np.int32)))
    assert np.isfinite(given).all()


def test_integers_hold_the_extremes_of_their_type_but_nothing_that_can_be_no_divisor():
    spec = TensorSpec("x", (1, 64), "int32")
    (given,), _ = probe([spec], of(lambda x: x // 7))
    assert {2**31 - 1, -(2**31)} <= set(given[3].ravel())
    assert not {0, -1} & set(given[3].ravel())


def test_indices_stay_what_they_are():
    table = np.arange(2, dtype=np.float32)
    (given,), _ = probe([TensorSpec("x", (1, 64), "int32")], of(lambda x: table[x]))
    assert set(given.ravel()) == {0, 1}


@pytest.mark.parametrize("dtype", ["int16", "int32", "int64"])
def test_integers_that_are_no_places_are_beyond_those_that_floating_point_numbers_stand_for(dtype):
    spec = TensorSpec("x", (1, 64), dtype)
    (given,), _ = probe([spec], of(lambda x: x.sum(axis=-1, keepdims=True)), any_integer=True)
    large, digits = given[2].astype(object), 24 if dtype != "int16" else 10
    assert abs(large).max() > 2**digits
    assert sum(abs(large).ravel()) <= np.iinfo(dtype).max
    assert set(given[[0, 1, 3]].ravel()) == {0, 1}


def test_the_samples_are_always_the_same_and_within_their_limits():
    spec = TensorSpec("x", (1, 50), "float32", limits=(-1.0, 0.5))
    first, second = (probe([spec], of(np.exp))[0][0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert (first.min(), first.max()) == (-1, 0.5)


def refusing_zeros(function):
    def run(arrays):
        with np.errstate(all="raise"):
            return [np.asarray(function(*arrays))]

    return run


def test_an_integer_input_that_something_is_divided_by_holds_no_zero():
    spec = TensorSpec("x", (1, 64), "int32")
    (number, divisor, place), _ = probe([spec] * 3, refusing_zeros(lambda x, d, i: x // d + np.arange(2)[i]))
    assert not {0, -1} & set(divisor[:3].ravel())
    assert 0 in number
    assert set(place[:3].ravel()) == {0, 1}


def test_several_inputs_may_be_divisors():
    bytes_ = TensorSpec("x", (1, 300), "uint8")
    (one, other), _ = probe([bytes_] * 2, refusing_zeros(lambda x, d: 200 // x + 200 // d))
    assert one.all()
    assert other.all()


def test_what_the_framework_says_is_told_where_nothing_helps():
    def fails(arrays):
        raise ValueError("it has no answer")

    with pytest.raises(ValueError, match="it has no answer"):
        probe([TensorSpec("x", (1, 4), "int32")], fails)
