# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest

from springbok.measuring.quality import Classification
from springbok.support.errors import ModelError

NAMES = ("rest", "wave")


def quality(outputs, labels, host=None):
    outputs = np.array(outputs, dtype=np.float32)
    return Classification(
        outputs, outputs if host is None else np.array(host, dtype=np.float32), np.array(labels), NAMES
    )


def test_accuracy_is_the_share_of_right_answers():
    judged = quality([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3], [0.2, 0.8]], [0, 1, 1, 1])
    assert judged.accuracy == 0.75
    assert judged.confusion == [[1, 0], [1, 2]]
    assert judged.samples == 4


def test_the_host_is_judged_by_its_own_answers():
    judged = quality([[1, 0], [1, 0]], [0, 1], host=[[1, 0], [0, 1]])
    assert (judged.accuracy, judged.host_accuracy) == (0.5, 1.0)


def test_the_worst_difference_names_its_sample():
    judged = quality([[0.5, 0.5], [0.5, 0.25]], [0, 0], host=[[0.5, 0.5], [0.5, 0.5]])
    assert judged.max_abs_error == 0.25
    assert judged.worst_sample() == 1


def test_equal_infinities_are_no_difference():
    judged = quality([[0.5, np.inf]], [0], host=[[0.5, np.inf]])
    assert (judged.max_abs_error, judged.mean_abs_error) == (0.0, 0.0)
    assert quality([[0.5, np.inf]], [0], host=[[0.5, -np.inf]]).max_abs_error == np.inf


def test_nan_is_never_close_to_the_host():
    judged = quality([[0.5, np.nan]], [0], host=[[0.5, 0.5]])
    assert judged.max_abs_error == np.inf


def test_the_confusion_table_names_the_classes():
    table = quality([[1, 0], [1, 0]], [0, 1]).confusion_table().splitlines()
    assert table[1].split() == ["rest", "wave"]
    assert table[2].split() == ["rest", "1", "0"]
    assert table[3].split() == ["wave", "1", "0"]


def test_outputs_that_do_not_fit_the_classes_are_refused():
    with pytest.raises(ModelError, match=r"device gave outputs of shape \(1, 3\)"):
        quality([[1, 0, 0]], [0])


def test_classes_that_the_data_lack_are_asked_for_by_their_names():
    with pytest.raises(
        ModelError, match=r"1 sample of 2 classes .*class_names= names all, in the order of its outputs"
    ):
        quality([[0.5, 0.25, 0.25]], [0])
