# SPDX-License-Identifier: Apache-2.0
"""The user's own data: what each kind of source becomes, and that whatever is wrong is said with its place."""

import io
import json
import re
import struct
import wave
import zipfile
import zlib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as numbers

import QualityLibrary
from springbok.cli import sweep as sweep_command
from springbok.data import datasets, own
from springbok.data.dataset import ANOMALY, CLASSIFICATION, EQUALITY, REGRESSION, Dataset
from springbok.data.own import content, tables
from springbok.data.own.content import Options, parse_options
from springbok.measuring.quality import (
    Anomaly,
    Classification,
    Regression,
    area_under_curve,
    check_answers,
    judged,
)
from springbok.support.errors import DatasetError, ModelError
from springbok.support.places import ROOT
from springbok.tensors import TensorSpec

# A folder is shared by the examples of a test, and how fast they are drawn decides nothing.
IN_FOLDER = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60, deadline=None
)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def load(source, **options):
    return datasets.load(source, options.pop("split", None), options=parse_options(options))


def refused(source, *words, **options):
    """Loads what must be refused; returns the sentence, which holds the words."""
    with pytest.raises(DatasetError) as raised:
        load(source, **options)
    text = str(raised.value)
    for word in words:
        assert word in text, text
    return text


def spec(shape, dtype="float32", **more):
    return TensorSpec(more.pop("name", "x"), shape, dtype, **more)


# Arrays


def test_arrays_by_name_are_inputs_and_labels():
    np.savez("motions.npz", left=np.zeros((3, 4), np.float32), right=np.ones((3, 2), np.int8), labels=[0, 1, 1])
    data = load("motions.npz")
    assert (data.name, data.task, len(data)) == ("motions", CLASSIFICATION, 3)
    assert {name: array.dtype for name, array in data.named_inputs} == {"left": np.float32, "right": np.int8}
    left, right = data.fitted("m", [spec((1, 2), "int8", name="right"), spec((1, 4), name="left")])
    assert (left.dtype, right.shape) == (np.int8, (3, 1, 4))
    assert load("motions.npz", inputs="left").named_inputs[0][0] == "left"
    assert load("motions.npz", label="none").task == EQUALITY


def test_arrays_without_names_are_in_their_order():
    np.savez("two.npz", np.zeros((2, 3)), np.ones((2, 1), np.int32))
    data = load("two.npz")
    first, second = data.fitted("m", [spec((1, 3)), spec((1, 1), "int32", name="y")])
    assert (first.sum(), second.sum()) == (0, 2)


def test_arrays_of_keras_are_split():
    np.savez("digits.npz", x_train=np.zeros((5, 2)), y_train=np.zeros(5, int), x_test=np.ones((3, 2)), y_test=[1, 0, 1])
    assert len(load("digits.npz", split="train")) == 5
    assert load("digits.npz").labels.tolist() == [1, 0, 1]


def test_labels_beside_an_array():
    np.save("inputs.npy", np.zeros((3, 4), np.float16))
    np.save("labels.npy", np.array([0.5, 1.5, 2.5]))
    Path("names.csv").write_text("label\nrun\nwalk\nrun\n")
    assert load("inputs.npy", labels="labels.npy").task == REGRESSION
    named = load("inputs.npy", labels="names.csv", class_names="walk,run")
    assert (named.labels.tolist(), named.class_names) == ([1, 0, 1], ("walk", "run"))
    assert load("inputs.npy").labels is None


TYPES = ("float16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64", "bool")


@IN_FOLDER
@given(data=st.data(), dtype=st.sampled_from(TYPES), samples=st.integers(1, 4), count=st.integers(1, 3))
def test_any_arrays_come_back_as_they_were(data, dtype, samples, count):
    shape = st.lists(st.integers(1, 3), max_size=3)
    elements = numbers.from_dtype(np.dtype(dtype), allow_nan=False, allow_infinity=False)
    saved = {
        f"input {number}": data.draw(numbers.arrays(dtype, (samples, *data.draw(shape)), elements=elements))
        for number in range(count)
    }
    np.savez("any.npz", **saved)
    loaded = load("any.npz")
    for name, array in loaded.named_inputs:
        assert array.dtype == saved[name].dtype
        np.testing.assert_array_equal(array, saved[name])
    specs = [TensorSpec(name, array.shape[1:], dtype) for name, array in saved.items()]
    for fitted, array in zip(loaded.fitted("m", specs), saved.values(), strict=True):
        np.testing.assert_array_equal(fitted, array)


class Evil:
    """What a pickle may hold: a call of anything."""

    def __reduce__(self):
        return Path.touch, (Path("ran"),)


def test_pickles_are_never_read():
    np.save("evil.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    np.savez("evil.npz", x=np.array([Evil()], dtype=object))
    refused("evil.npy", "evil.npy holds Python objects (a pickle)")
    refused("evil.npz", "evil.npz, array 'x' holds Python objects (a pickle)")
    assert not Path("ran").exists()


def npy(shape, dtype="<f4", data=b""):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": dtype, "fortran_order": False, "shape": shape})
    return file.getvalue() + data


def test_sizes_are_not_believed(monkeypatch):
    Path("vast.npy").write_bytes(npy((1 << 40, 1 << 10), data=b"1234"))
    refused("vast.npy", "but 4 are there", "not copied whole")
    with zipfile.ZipFile("bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", npy((1 << 18,), data=bytes(1 << 20)))
    assert Path("bomb.npz").stat().st_size < 4000
    monkeypatch.setattr(content, "MOST_BYTES", 1 << 20)
    refused("bomb.npz", "bomb.npz, unpacked, holds 1,048,", "more than the 1,048,576")
    Path("large.csv").write_text("1,2\n" * (1 << 18 | 1))
    refused("large.csv", "large.csv holds 1,048,580 bytes")
    monkeypatch.setattr(content, "MOST_BYTES", 1 << 30)
    monkeypatch.setattr(tables, "MOST_BYTES", 1 << 20)
    refused("large.csv", "more than the 1,048,576 of the largest table")


@IN_FOLDER
@given(damage=st.data(), kind=st.sampled_from(("npz", "npy", "wav", "csv")))
def test_damaged_files_are_data_or_a_sentence(damage, kind):
    if kind == "npz":
        np.savez("d.npz", x=np.arange(12.0).reshape(3, 4), labels=[0, 1, 2])
    elif kind == "npy":
        np.save("d.npy", np.arange(12.0).reshape(3, 4))
    elif kind == "csv":
        Path("d.csv").write_text("a,b,label\n1,2,x\n3,4,y\n")
    else:
        Path("w").mkdir(exist_ok=True)
        sound(Path("w/d.wav"), np.arange(12, dtype=np.int16))
    path = Path(f"d.{kind}") if kind != "wav" else Path("w/d.wav")
    whole = bytearray(path.read_bytes())
    for _ in range(damage.draw(st.integers(1, 4))):
        whole[damage.draw(st.integers(0, len(whole) - 1))] = damage.draw(st.integers(0, 255))
    path.write_bytes(whole[: damage.draw(st.integers(0, len(whole)))])
    try:
        load("w" if kind == "wav" else str(path))
    except DatasetError as error:
        assert path.name in str(error)


@pytest.mark.parametrize(
    ("arrays", "options", "words"),
    [
        ({"x": np.zeros((2, 2)), "labels": np.zeros(3)}, {}, ["2 samples, but 3 labels"]),
        ({"x": np.zeros((2, 2)), "y": np.zeros(2)}, {"label": "z"}, ["no array 'z' for the labels", "'y' float64[2]"]),
        ({"x": np.zeros((2, 2))}, {"inputs": "z"}, ["no array 'z' for an input"]),
        ({"x": np.array([[0.0, 1], [np.nan, 1]])}, {}, ["input 'x' is not finite (nan) in sample 1 at [0]"]),
        ({"x": np.float64(5)}, {}, ["array 'x' is a single value float64 and no array of samples"]),
        ({"x": np.zeros((2, 2)), "labels": [0, -1]}, {}, ["sample 1 has -1"]),
        ({"x": np.zeros((2, 2)), "labels": [0, 7]}, {"class_names": "a,b"}, ["lie in 0..1 (a, b)", "sample 1 has 7"]),
        ({"x": np.zeros((2, 2)), "labels": ["a", "c"]}, {"class_names": "a,b"}, ["sample 1 is labelled 'c'"]),
        (
            {"x": np.zeros((2, 2)), "labels": [0, 1]},
            {"task": "clasification"},
            ["no task 'clasification' (did you mean"],
        ),
        ({"x": np.zeros((2, 2))}, {"task": "regression"}, ["no labels, which the task regression needs"]),
        ({"x": np.zeros((2, 2)), "labels": ["a", "b"]}, {"task": "regression"}, ["labels are numbers", "'a'"]),
        ({"x": np.zeros((2, 2)), "labels": ["a", "b"]}, {"task": "anomaly"}, ["no anomaly", "normal=CLASS"]),
        (
            {"x": np.zeros((2, 2)), "labels": ["fine", "b"]},
            {"task": "anomaly", "normal": "fein"},
            ["normal=fein is no class (did you mean 'fine'?). There are b, fine."],
        ),
        ({"x": np.zeros((2, 2)), "labels": [0, 2]}, {"task": "anomaly"}, ["0 (normal) or 1", "normal=VALUE"]),
        ({"x": np.zeros((2, 2)), "labels": [0.5, 1]}, {"task": "classification"}, ["one whole number"]),
        ({"x": np.array(["a", "b"])}, {}, ["'x' of d.npz holds <U1, no numbers"]),
        ({"x": np.zeros((2, 3))}, {"shape": "2,2"}, ["a sample has 3 values", "has 4"]),
        ({"x": np.zeros((2, 3))}, {"shape": "a"}, ["shape=a is no shape"]),
        ({"x": np.zeros((2, 3))}, {"raw": "True"}, ["holds no integers, so raw=True has no meaning"]),
        ({"x": np.zeros((2, 3))}, {"raw": "perhaps"}, ["raw=perhaps is neither"]),
        ({"x": np.zeros((2, 3))}, {"split": "train"}, ["split= is not for arrays that are not named by splits"]),
        ({"x": np.zeros((2, 3))}, {"split": "test"}, ["split= is not for arrays that are not named by splits"]),
        ({"x": np.zeros((2, 3))}, {"header": True}, ["header= is not for an .npz"]),
    ],
)
def test_what_is_wrong_with_arrays_is_said(arrays, options, words):
    np.savez("d.npz", **arrays)
    refused("d.npz", *words, **options)


# Tables


def table(text, **options):
    Path("t.csv").write_text(text)
    return load("t.csv", **options)


def test_a_table_with_a_header():
    data = table("\ufeffa;b;state\n1;2.5;run\n\n3;4;walk\n")
    assert data.inputs.tolist() == [[1, 2.5], [3, 4]]
    assert (data.labels.tolist(), data.class_names) == ([0, 1], ("run", "walk"))
    assert data.groups == ("t.csv, line 2", "t.csv, line 4")


@pytest.mark.parametrize(
    ("text", "options", "inputs", "labels"),
    [
        ("1,2,0\n3,4,1\n", {}, [[1, 2], [3, 4]], [0, 1]),
        ("1,2,run\n3,4,walk\n", {}, [[1, 2], [3, 4]], [0, 1]),
        ("label,b,c\n1,2,3\n0,5,6\n", {}, [[2, 3], [5, 6]], [1, 0]),
        ("a,b,c\n1,2,3\n0,5,6\n", {"label": "a", "skip": "b"}, [[3], [6]], [1, 0]),
        ("a,b,c\n1,2,3\n0,5,6\n", {"label": "0"}, [[2, 3], [5, 6]], [1, 0]),
        ("a,b,c\n1,2,3\n0,5,6\n", {"label": "none"}, [[1, 2, 3], [0, 5, 6]], None),
        ("0,1,2\n1,2,1\n0,5,0\n", {"header": True}, [[1, 2], [0, 5]], [1, 0]),
        (",a,label\n0,5,1\n1,6,0\n", {}, [[5], [6]], [1, 0]),
        ("# a b,label\n5,1\n6,0\n", {}, [[5], [6]], [1, 0]),
        ("a\tb\n5\t0.5\n6\t1.5\n", {}, [[5], [6]], [[0.5], [1.5]]),
        ("a,b\n5,1\n6,2\n", {"task": "regression"}, [[5], [6]], [[1], [2]]),
        ("a,b\n16777217,0\n5,1\n", {}, [[16777217], [5]], [0, 1]),
        ("a,b\n9223372036854775808,0\n 5 ,1\n", {}, [[2.0**63], [5]], [0, 1]),
    ],
)
def test_tables_of_all_kinds(text, options, inputs, labels):
    data = table(text, **options)
    assert data.inputs.tolist() == inputs
    assert (None if data.labels is None else data.labels.tolist()) == labels


@IN_FOLDER
@given(
    rows=st.integers(1, 5).flatmap(
        lambda count: st.lists(
            st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=count, max_size=count), min_size=1
        )
    ),
    header=st.booleans(),
)
def test_any_numbers_come_back_from_a_table(rows, header):
    lines = [",".join(f"column {number}" for number in range(len(rows[0])))] if header else []
    Path("t.csv").write_text("\n".join([*lines, *(",".join(map(repr, row)) for row in rows)]))
    assert load("t.csv", label="none", header=header).inputs.tolist() == rows


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("", {}, ["t.csv is empty"]),
        ("\n\n", {}, ["t.csv holds no rows"]),
        ("a,b\n", {"header": True}, ["a header and no rows"]),
        ("1,2,0\n3,1\n", {}, ["t.csv, line 2 has 2 columns, but line 1 has 3"]),
        ("a,b,c\n1,x,0\n", {}, ["t.csv, line 2, column 1 'b': 'x' is no number"]),
        ("a,b,c\n1,,0\n", {}, ["t.csv, line 2, column 1 'b': the value is missing"]),
        ("a,b,c\n1,nan,0\n", {}, ["t.csv, line 2, column 1 'b': 'nan' is not finite"]),
        ("a,b,c\n1,2,\n", {}, ["t.csv, line 2, column 2 'c': the label is missing"]),
        ("a,c\n1,0.5\n1,nan\n", {}, ["t.csv, line 3, column 1 'c': 'nan' is not finite"]),
        ("a;b;c\n1;0,5;0\n", {}, ["'0,5' is no number. Write decimal points"]),
        ("a,b,c\n1,1_0,0\n", {}, ["'1_0' is no number"]),
        ("a,b,c\n1,2,0\n", {"label": "d"}, ["no column 'd'; its columns are 'a', 'b', 'c'"]),
        ("speed,load,state\n1,2,0\n", {"label": "stat"}, ["no column 'stat' (did you mean 'state'?)"]),
        ("1,2,0\n3,4,1\n", {"label": "7"}, ["no column '7'; its columns are 0 to 2"]),
        ("a,a,c\n1,2,0\n", {"skip": "a"}, ["several columns named 'a'"]),
        ("a\n0\n1\n", {}, ["no column for the inputs"]),
        ('a,b\n1,"2\n', {}, ["no comma-separated values"]),
        ("a\0b,1\n", {}, ["zero byte"]),
        ("a,b\n1,0\n", {"split": "train"}, ["split= is not for a table"]),
        ("a,b\n1,0\n", {"split": "test"}, ["split= is not for a table"]),
        ("version https://git-lfs.github.com/spec/v1\n", {}, ["pointer to the file, not the file itself"]),
        ("a,b,c\n1,2,0\n", {"skip": "c"}, ["the column 'c' holds the labels: label= names another one"]),
        ("a,b,c\n1,2,0\n", {"inputs": "a,-1"}, ["the column '-1' holds the labels"]),
        ("a,b,c\n1,2,0\n", {"inputs": "a,a"}, ["inputs= names 'a' twice"]),
        ("a,b,c\n1,2,0\n", {"class_names": "x,y,x"}, ["class_names= names 'x' twice"]),
        ("a,b,c\n1,2,0\n", {"label": "c", "labels": "l.npy"}, ["both labels=l.npy and label=c name labels"]),
        ("a,b,c\n1,2,0\n", {"label": "none", "task": "anomaly"}, ["no labels, which the task anomaly needs"]),
        ("a,b,c\n1,2,0\n", {"preprocessing": "scale 0 5"}, ["'scale 0 5' makes all values the same"]),
        ("a,b,c\n1,2,0\n", {"preprocessing": "scale 1e-60"}, ["'1e-60' is beyond what float32 holds"]),
        ("a,b,c\n1,2,0\n", {"preprocessing": "scale 1e400"}, ["'1e400' is beyond what float32 holds"]),
        ("a,b,c\n1,2,0\n", {"preprocessing": "mean/std 0 1e-400"}, ["'1e-400' is beyond what float32 holds"]),
        ("a,y\n1,1\n2,1.0\n3,2\n", {}, ["the labels are whole (1, 2 …)", "task=classification or task=regression"]),
        ("a,b\n1,0\n", {"normal": "0"}, ["normal= is for task=anomaly"]),
        ("a,b\n1,0\n", {"preprocessing": "scael"}, ["no preprocessing 'scael'", "Known: scale,"]),
    ],
)
def test_what_is_wrong_with_a_table_is_said_with_its_place(text, options, words):
    Path("t.csv").write_text(text)
    refused("t.csv", *words, **options)


@pytest.mark.parametrize(
    ("labels", "options", "task"),
    [
        ("1 1.0 2", {"task": "classification"}, "classification"),
        ("1 1.0 2", {"class_names": "0,1,2"}, "classification"),
        ("1 1.0 2", {"task": "regression"}, "regression"),
        ("1 1.5 2", {}, "regression"),
        ("1 1 2", {}, "classification"),
    ],
)
def test_numbers_are_classes_or_quantities_as_they_are_written_or_as_is_said(labels, options, task):
    Path("t.csv").write_text("a,y\n" + "".join(f"0,{label}\n" for label in labels.split()))
    found = own.load("t.csv", parse_options(options))
    assert found.task == task
    assert np.ravel(found.labels).tolist() == [float(label) for label in labels.split()]


def test_other_encodings_are_named():
    Path("t.csv").write_bytes("a,b\n1,2\n".encode("utf-16"))
    refused("t.csv", "t.csv is no UTF-8 text: byte 0")


def test_a_row_takes_the_models_shape():
    data = table("1,2,3,4,0\n5,6,7,8,1\n")
    (fitted,) = data.fitted("m", [spec((1, 2, 2, 1))])
    assert fitted[1, 0, :, :, 0].tolist() == [[5, 6], [7, 8]]
    with pytest.raises(ModelError, match=r"Data set t: .*float32\[1, 5\], but a sample is int64\[4\]\. The 4 columns"):
        data.fitted("m", [spec((1, 5))])
    assert table("1,2,3,4,0\n5,6,7,8,1\n", shape="2,2").inputs.shape == (2, 2, 2)


# Folders


def sound(path, values, rate=8000, width=2, channels=1):
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(values.tobytes())


def recording(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(",".join(map(str, row)) for row in rows))


def test_recordings_in_class_folders_take_turns():
    for number in range(2):
        recording(Path(f"moves/wave/{number}.csv"), [[number, 1], [2, 3], [4, 5]])
        recording(Path(f"moves/rest/{number}.csv"), [["x", "y"], [0, 0], [0, 0], [0, 0]])
    Path("moves/rest/notes.txt").write_text("")
    data = load("moves")
    assert (data.inputs.shape, data.class_names, data.labels.tolist()) == ((4, 3, 2), ("rest", "wave"), [0, 1, 0, 1])
    assert data.groups[1] == "wave/0.csv"
    assert data.skipped == ("rest/notes.txt: no image and no recording",)


def test_recordings_of_other_lengths_are_cut_and_padded_where_the_length_is_known():
    recording(Path("moves/a/1.csv"), [[1, 1], [2, 2], [3, 3], [4, 4]])
    recording(Path("moves/a/2.csv"), [[5, 5], [6, 6]])
    refused("moves", "2.csv has 2 steps", "1.csv has 4", "shape=STEPS,CHANNELS or model=")
    data = load("moves", shape="3,2")
    assert data.inputs[..., 0].tolist() == [[1, 2, 3], [5, 6, 6]]
    assert data.preprocessing == (
        "the middle 3 steps of 1 longer recordings",
        "1 shorter recordings padded to 3 steps with their first and last step",
    )
    model = datasets.load("moves", options=parse_options({}, model=[spec((1, 2, 2, 1))]))
    assert model.inputs.shape == (2, 2, 2)


@pytest.mark.parametrize(("width", "dtype", "full"), [(1, "u1", 128), (2, "<i2", 32768), (4, "<i4", 1 << 31)])
def test_sounds_of_all_widths(width, dtype, full):
    values = np.array([0, 1, 5], dtype)
    sound(Path("s/a.wav"), values, width=width)
    expected = (values.astype(float) - (128 if width == 1 else 0)) / full
    np.testing.assert_array_equal(load("s", preprocessing="scale").inputs[0], expected.astype(np.float32))


def test_sounds_of_24_bits_and_two_channels():
    sound(Path("s/a.wav"), np.frombuffer(b"\0\0\x40\0\0\xc0", "u1"), width=3, channels=2)
    data = load("s", preprocessing="scale")
    assert data.inputs.tolist() == [[[0.5, -0.5]]]
    assert "at 8,000 Hz" in data.description


def test_what_is_wrong_with_folders_is_said():
    Path("empty/a").mkdir(parents=True)
    refused("empty", "empty/a is empty")
    Path("none").mkdir()
    refused("none", "none holds no samples")
    sound(Path("mixed/a/1.wav"), np.zeros(4, np.int16))
    recording(Path("mixed/b/1.csv"), [[1, 2]])
    refused("mixed", "different kinds", "a/1.wav, b/1.csv")
    sound(Path("rates/1.wav"), np.zeros(4, np.int16))
    sound(Path("rates/2.wav"), np.zeros(4, np.int16), rate=16000)
    refused("rates", "2.wav has 16000 Hz and 16 bits", "1.wav has 8000 Hz")
    recording(Path("wide/1.csv"), [[1, 2]])
    recording(Path("wide/2.csv"), [[1, 2, 3]])
    refused("wide", "2.csv has 3 channels, but", "has 2")
    recording(Path("both/1.csv"), [[1]])
    recording(Path("both/a/1.csv"), [[1]])
    refused("both", "both samples (1.csv) and sub-folders (a)")
    recording(Path("deep/a/b/1.csv"), [[1]])
    refused("deep", "deep/a/b is a folder within a class")
    recording(Path("gaps/a/1.csv"), [[1, 2], ["", 3]])
    refused("gaps", "1.csv, line 2, column 0: the value is missing")
    Path("silent").mkdir()
    Path("silent/1.wav").write_bytes(b"RIFF")
    refused("silent", "1.wav is no WAV of uncompressed integers")
    refused("wide", "label=x is for arrays and tables", label="x")


def test_labels_of_a_folder_by_its_files():
    for number in (1, 2, 3):
        recording(Path(f"runs/{number}.csv"), [[number]])
    Path("wear.csv").write_text("file,wear\n3.csv,0.3\n1.csv,0.1\n2.csv,0.2\n")
    data = load("runs", labels="wear.csv")
    assert (data.task, data.labels[:, 0].tolist()) == (REGRESSION, [0.1, 0.2, 0.3])
    Path("wear.csv").write_text("file,wear\n3.csv,0.3\n1.csv,0.1\n")
    refused("runs", "wear.csv has no label for 2.csv", labels="wear.csv")
    Path("wear.csv").write_text("0.3\n0.1\n")
    refused("runs", "wear.csv holds 2 rows of labels, but there are 3 samples", labels="wear.csv")
    refused("runs", "which.txt holds no labels that can be read", labels="which.txt")


def png(path, pixels):
    """Write an image of 8 bits, grey (height, width) or colour (height, width, 3), without a library."""
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = pixels.shape[:2]
    kind = 0 if pixels.ndim == 2 else 2

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + row.tobytes() for row in pixels.astype(np.uint8))
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    parts = [chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def test_images_are_as_the_model_takes_them():
    pytest.importorskip("PIL")
    red = np.zeros((4, 6, 3), np.uint8)
    red[..., 0] = 200
    for number in range(2):
        png(Path(f"faces/cat/{number}.png"), red)
        png(Path(f"faces/dog/{number}.png"), np.full((4, 6), 100))
    same = load("faces")
    assert (same.inputs.shape, same.inputs.dtype, same.labels.tolist()) == ((4, 4, 6, 3), np.uint8, [0, 1, 0, 1])
    assert same.inputs[0, 0, 0].tolist() == [200, 0, 0]
    assert same.preprocessing == ()
    small = datasets.load("faces", options=parse_options({}, model=[spec((1, 2, 3, 3))]))
    assert (small.inputs.shape, small.inputs[1].max()) == ((4, 2, 3, 3), 100)
    assert small.preprocessing == ("4 of 4 images resized to 2x3 (bilinear)",)
    first = datasets.load("faces", options=parse_options({}, model=[spec((1, 3, 4, 6))]))
    assert first.inputs.shape == (4, 3, 4, 6)
    assert load("faces", shape="2,2", preprocessing="scale").inputs.shape == (4, 2, 2, 3)
    assert load("faces", shape="2,2,1").inputs.shape == (4, 2, 2, 1)
    with pytest.raises(ModelError, match=r"but a sample is uint8\[4, 6, 3\]\. Images take the size and the order"):
        same.fitted("m", [spec((1, 8, 8, 3))])
    png(Path("faces/dog/2.png"), np.zeros((5, 6), np.uint8))
    refused("faces", "2.png has 5x6 pixels", "4x6", "shape=HEIGHT,WIDTH")
    refused("faces", "shape= has the shape [5, 6, 7]", shape="5,6,7")
    png(Path("faces/dog/2.png"), np.random.default_rng(0).integers(0, 255, (4, 6)))
    Path("faces/dog/2.png").write_bytes(Path("faces/dog/2.png").read_bytes()[:60])
    refused("faces", "2.png is broken, or was not copied whole")
    Path("faces/dog/2.png").write_bytes(b"GIF89a")
    refused("faces", "2.png is no PNG or JPEG image")


def test_an_image_that_unpacks_to_too_much_is_refused():
    image = pytest.importorskip("PIL.Image")
    png(Path("vast/a/1.png"), np.zeros((2, 2), np.uint8))
    whole = bytearray(Path("vast/a/1.png").read_bytes())
    whole[16:24] = struct.pack(">II", 1 << 15, 1 << 15)
    whole[29:33] = struct.pack(">I", zlib.crc32(whole[12:29]))
    Path("vast/a/1.png").write_bytes(whole)
    assert image.MAX_IMAGE_PIXELS < 1 << 30
    refused("vast", "1.png unpacks to too large an image")


# Functions and preprocessing

CODE = """
import numpy as np
from springbok.data.dataset import Dataset

def alone():
    return np.zeros((2, 3), np.float32)

def labelled(split):
    return [[1, 2], [3, 4]], ["a", split]

def named():
    return {"x": np.zeros((2, 3)), "t": np.ones((2, 1), np.int32)}, [0.5, 1.5]

def in_order():
    return (np.zeros((2, 3)), np.ones((2, 1)), np.ones((2, 2))), None

def whole():
    return Dataset("mine", np.zeros((2, 3)), np.array([0, 1]), class_names=("n", "y"), preprocessing=("by hand",))

def fails():
    return 1 / 0

def text():
    return "nothing"

def ragged():
    return [[1, 2], [3]]

def double(inputs):
    return inputs * 2

def parts(rows):
    return {"left": rows[:, :1], "right": rows[:, 1:]}

def fewer(rows):
    return rows[1:]
"""


@pytest.fixture
def code():
    Path("mine.py").write_text(CODE)


def test_functions_return_inputs_and_labels(code):
    assert load("mine.py:alone").task == EQUALITY
    assert load("mine.py:labelled").class_names == ("a", "test")
    assert load("mine.py:labelled", split="train").class_names == ("a", "train")
    named = load("mine.py:named")
    assert (named.name, named.task, [name for name, _ in named.named_inputs]) == ("mine.named", REGRESSION, ["x", "t"])
    assert len(load("mine.py:in_order").fitted("m", [spec((1, n)) for n in (3, 1, 2)])) == 3
    whole = load("mine.py:whole", preprocessing="scale 2", class_names="y,n")
    assert (whole.name, whole.class_names, whole.labels.tolist()) == ("mine", ("y", "n"), [1, 0])
    assert whole.preprocessing == ("by hand", "scale: times 2")


@pytest.mark.parametrize(
    ("source", "options", "words"),
    [
        ("mine.py:fails", {}, ["mine.py:fails failed in line 21: ZeroDivisionError: division by zero"]),
        ("mine.py:missing", {}, ["mine.py has no function 'missing'; its functions: alone"]),
        ("mine.py:text", {}, ["the inputs that it returned are str", "return an array with the samples first"]),
        ("mine.py:ragged", {}, ["the inputs that it returned are no array"]),
        ("mine.py:alone", {"split": "train"}, ["split= is not for a function without a parameter 'split'"]),
        ("mine.py:alone", {"split": "test"}, ["split= is not for a function without a parameter 'split'"]),
        ("mine.py:alone", {"label": "x"}, ["label= is not for a function"]),
        ("mine.py:whole", {"task": "regression"}, ["returns a Dataset, which says itself what it is: leave task out"]),
        ("other.py:alone", {}, ["other.py can't be read"]),
        ("mine.py:alone", {"preprocessing": "mine.py:fewer"}, ["made 1 samples of 2"]),
        ("mine.py:alone", {"preprocessing": "mine.py:fails"}, ["TypeError"]),
    ],
)
def test_what_is_wrong_with_functions_is_said(code, source, options, words):
    refused(source, *words, **options)


def test_a_file_with_an_error_is_named():
    Path("bad.py").write_text("import nothing_of_this_name\n")
    refused("bad.py:load", "bad.py failed in line 1: ModuleNotFoundError")
    Path("bad.py").write_text("def load(:\n")
    refused("bad.py:load", "bad.py failed in line 1: SyntaxError")
    Path("bad.py").write_text("raise SystemExit(3)\n")
    refused("bad.py:load", "SystemExit: 3")


def test_a_function_is_run_anew_and_finds_its_neighbours():
    Path("beside.py").write_text("VALUE = 4\n")
    Path("mine.py").write_text("import beside\ndef load():\n    return [[beside.VALUE]]\n")
    before = load("mine.py:load")
    Path("mine.py").write_text("import beside\ndef load():\n    return [[beside.VALUE + 1]]\n")
    after = load("mine.py:load")
    assert (before.inputs.tolist(), after.inputs.tolist()) == ([[4]], [[5]])
    assert before.sha256 != after.sha256


def test_preprocessing_is_named_and_in_order(code):
    data = table("1,2,0\n3,4,1\n", preprocessing="mine.py:double; scale 1/2 -1")
    assert data.inputs.tolist() == [[0, 1], [2, 3]]
    assert data.preprocessing[1] == "scale: times 1/2, plus -1"
    assert re.fullmatch(r"mine\.py:double \(sha256 \w{12}…\)", data.preprocessing[0])
    two = table("1,2,0\n3,4,1\n", preprocessing="mine.py:parts")
    assert [name for name, _ in two.named_inputs] == ["left", "right"]
    standard = table("1,7,0\n3,7,1\n", preprocessing="mean/std")
    assert standard.inputs.tolist() == [[-1, 0], [1, 0]]
    assert standard.preprocessing == ("mean/std of this data: mean 2, 7, deviation 1, 1",)
    given = table("1,2,0\n3,4,1\n", preprocessing="mean/std 1,2 2,1/2")
    assert given.inputs.tolist() == [[0, 0], [1, 4]]


@pytest.mark.parametrize("step", ["scale", "scale x", "scale 1/0", "scale 1 2 3", "mean/std 1", "mean/std 1,2,3 1", ""])
def test_preprocessing_that_can_not_be_meant_is_refused(step):
    Path("t.csv").write_text("1.5,2,0\n3,4,1\n")
    if step:
        refused(
            "t.csv",
            "reprocessing" if step != "scale" else "'scale' alone is for 8- to 32-bit integers",
            preprocessing=step,
        )
    else:
        assert load("t.csv", preprocessing=step).preprocessing == ()


# Types, raw and real values


@IN_FOLDER
@given(numbers.arrays(np.uint8, (3, 4)))
def test_integers_are_real_values_unless_they_are_raw(values):
    quantised = spec((1, 4), "int8", scale=2.0, zero_point=-128)
    (real,) = Dataset("d", values).fitted("m", [quantised])
    np.testing.assert_array_equal(real[:, 0], quantised.to_raw(values.astype(np.float32)))
    raw = (values.astype(np.int16) - 128).astype(np.int8)
    (kept,) = Dataset("d", raw, raw=True).fitted("m", [quantised])
    np.testing.assert_array_equal(kept[:, 0], raw)


def test_raw_data_are_integers():
    with pytest.raises(ModelError, match="is raw, but holds float64 .*: give its integers"):
        Dataset("d", np.zeros((1, 4)), raw=True).fitted("m", [spec((1, 4), "int8", scale=1.0)])


def test_inputs_that_do_not_fit_name_the_data_set():
    two = Dataset("d", {"a": np.zeros((2, 3)), "b": np.zeros((2, 1))})
    with pytest.raises(ModelError, match=r"Data set d: The inputs of m are 'x': no input is named 'a' or 'b'"):
        two.fitted("m", [spec((1, 3))])
    with pytest.raises(ModelError, match=r"Data set d: m takes 2 inputs"):
        Dataset("d", np.zeros((2, 3))).fitted("m", [spec((1, 3)), spec((1, 1))])


def test_a_pair_that_a_function_returns_is_inputs_and_labels(tmp_path):
    source = "import numpy as np\nA, B = np.zeros((2, 3)), np.zeros((2, 1))\n"
    source += "def pair():\n    return A, B\ndef inputs():\n    return (A, B), None\n"
    (tmp_path / "own.py").write_text(source)
    specs = [spec((1, 3)), spec((1, 1))]
    found = [own.load(f"{tmp_path}/own.py:{name}", Options()) for name in ("pair", "inputs")]
    with pytest.raises(ModelError, match=r"inputs without labels are \(first, second\), None\.$"):
        found[0].fitted("m", specs)
    assert [array.shape for array in found[1].fitted("m", specs)] == [(2, 1, 3), (2, 1, 1)]


def test_labels_in_either_form_of_a_letter_are_one_class():
    Path("u.csv").write_text("a,label\n1,gru\u0308n\n2,rot\n3,gr\u00fcn\n", encoding="utf-8")
    assert load("u.csv").class_names == ("gr\u00fcn", "rot")
    found = load("u.csv", class_names="rot,gru\u0308n")
    assert (found.labels.tolist(), found.class_names) == ([1, 0, 1], ("rot", "gr\u00fcn"))
    assert load("u.csv", task="anomaly", normal="gru\u0308n").labels.tolist() == [0, 1, 0]


def test_a_shape_that_a_function_of_ones_own_made_is_said_to_be_its():
    Path("t.csv").write_text("a,b,c\n1,2,3\n4,5,6\n")
    Path("cut.py").write_text("def cut(x):\n    return x[:, :1]\n")
    data = load("t.csv", label="none", preprocessing="scale 2;cut.py:cut")
    with pytest.raises(
        ModelError, match=r"a sample is float32\[1\]\. That is what preprocessing=cut\.py:cut returned\."
    ):
        data.fitted("m", [spec((1, 3))])
    plain = load("t.csv", label="none", preprocessing="scale 2")
    with pytest.raises(ModelError, match=r"The 3 columns of t\.csv are one sample"):
        plain.fitted("m", [spec((1, 4))])


def test_what_a_task_can_not_judge_is_said_by_the_models_shape_alone():
    classes = Dataset("d", np.zeros((6, 4)), np.array([0, 1, 2] * 2), class_names=("a", "b", "c"))
    check_answers(classes, spec((1, 4)), spec((1, 3)))
    check_answers(classes, spec((1, 4)), spec((1, 1), "int32"))
    with pytest.raises(ModelError, match=r"outputs have the shape \(1, 1\), but 1 sample of 3 classes"):
        check_answers(classes, spec((1, 4)), spec((1, 1)))
    check_answers(Dataset("d", np.zeros((6, 4)), np.array([0, 1] * 3), task=ANOMALY), spec((1, 4)), spec((1, 4)))
    values = Dataset("d", np.zeros((6, 4)), np.zeros((6, 2)), task=REGRESSION)
    with pytest.raises(ModelError):
        check_answers(values, spec((1, 4)), spec((1, 3)))


def test_the_digest_is_of_the_data_not_of_their_place():
    first, copy = table("1,2,0\n3,4,1\n"), None
    Path("elsewhere.csv").write_text("1,2,0\n3,4,1\n")
    copy = load("elsewhere.csv")
    assert first.sha256 == copy.sha256
    assert first.sha256 != table("1,2,0\n3,5,1\n").sha256
    assert first.sha256 != table("1,2,0\n3,4,0\n").sha256


def test_arguments_of_keywords_that_are_none_suggest_the_nearest():
    library = QualityLibrary.QualityLibrary()
    with pytest.raises(DatasetError, match=r"there is no argument 'lable' \(did you mean 'label'\?\)"):
        library.load_data_set("x.csv", lable="a")
    with pytest.raises(DatasetError, match=r"there is no argument 'sample' \(did you mean 'samples'\?\)"):
        library.evaluate_model(None, None, sample=3)


def test_names_that_are_none_suggest_the_nearest():
    refused("basic_motion", "Did you mean 'basic_motions'?", "FILE.py:FUNCTION")
    refused("missing.csv", "missing.csv can't be read: No such file")
    Path("notes.txt").write_text("x")
    refused("notes.txt", "notes.txt is no data that can be read")
    refused("basic_motions", "is read as it is and takes no label", label="x")
    with pytest.raises(DatasetError, match="are for magic_wand"):
        datasets.load("notes.csv", data=Path("x"))


# Judging


def test_regressions():
    outputs = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 30.0]])
    targets = np.array([[1.0, 10.0], [2.0, 22.0], [3.0, 30.0]])
    quality = judged(Dataset("d", outputs, targets), outputs, outputs, outputs)
    assert isinstance(quality, Regression)
    figures = quality.figures()
    assert figures["mean_absolute_error"] == pytest.approx(0.5)
    assert figures["root_mean_square_error"] == pytest.approx((5 / 6) ** 0.5)
    means = targets.mean(axis=0)
    expected = 1 - ((outputs - targets) ** 2).sum(axis=0) / ((targets - means) ** 2).sum(axis=0)
    assert figures["r_squared"] == pytest.approx(expected.mean())
    assert quality.per_sample()["label"][1] == [2.0, 22.0]
    with pytest.raises(ModelError, match=r"gave 1 values a sample, but the data set has 2 .* task=classification"):
        judged(Dataset("d", outputs, targets), outputs, outputs[:, :1], outputs[:, :1])


def test_answers_that_are_no_numbers_have_no_figures():
    outputs = np.array([[1.0], [np.nan]])
    quality = judged(Dataset("d", np.zeros((2, 1)), np.array([1.0, 1.0])), outputs, outputs, np.ones((2, 1)))
    assert set(quality.figures().values()) == {None}
    assert quality.figures(host=True) == {"mean_absolute_error": 0, "root_mean_square_error": 0, "r_squared": None}
    json.dumps(quality.per_sample(), allow_nan=False)


@IN_FOLDER
@given(
    st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30).filter(
        lambda pairs: len({anomaly for _, anomaly in pairs}) == 2
    )
)
def test_the_auc_is_the_share_of_pairs_in_order(pairs):
    scores, labels = (np.array(column) for column in zip(*pairs, strict=True))
    above = [
        (one > other) + (one == other) / 2
        for one, is_anomaly in pairs
        for other, is_other in pairs
        if is_anomaly and not is_other
    ]
    assert area_under_curve(scores, labels.astype(int)) == pytest.approx(np.mean(above))


def test_anomalies_score_by_what_is_not_reconstructed():
    inputs = np.array([[1.0, 1.0], [1.0, 1.0], [5.0, 0.0]])
    outputs = np.array([[1.0, 1.0], [1.0, 0.5], [1.0, 1.0]])
    quality = judged(Dataset("d", inputs, np.array([0, 0, 1]), task=ANOMALY), inputs, outputs, outputs)
    assert isinstance(quality, Anomaly)
    assert (quality.scores.tolist(), quality.auc) == ([0, 0.125, 8.5], 1.0)
    only = judged(Dataset("d", inputs, np.array([0, 0, 0]), task=ANOMALY), inputs, outputs, outputs)
    assert only.figures() == {"auc": None}
    with pytest.raises(ModelError, match="must give one score, or as many as its first input has"):
        judged(Dataset("d", inputs, np.array([0, 0, 1]), task=ANOMALY), inputs, np.zeros((3, 4)), np.zeros((3, 4)))


def test_classes_by_one_output():
    data = Dataset("d", np.zeros((3, 1)), np.array([0, 1, 1]))
    probability = judged(data, data.inputs, np.array([[0.2], [0.9], [0.4]]), np.array([[0.2], [0.9], [0.6]]))
    assert isinstance(probability, Classification)
    assert (probability.predictions.tolist(), probability.host_accuracy) == ([0, 1, 0], 1.0)
    number = judged(data, data.inputs, np.array([[0], [1], [7]]), np.array([[0], [1], [1]]))
    assert number.predictions.tolist() == [0, 1, 7]
    named = Dataset("d", np.zeros((3, 1)), np.array([0, 1, 1]), class_names=("a", "b"))
    with pytest.raises(ModelError, match="device gave sample 2 the class 7, but there are 2: a, b"):
        judged(named, named.inputs, np.array([[0], [1], [7]]), np.array([[0], [1], [1]]))


def test_a_model_may_know_more_classes_than_the_samples_have():
    data = Dataset("d", np.zeros((2, 1)), np.array([0, 2]))
    quality = judged(data, data.inputs, np.eye(5)[:2], np.eye(5)[:2])
    assert len(quality.class_names) == 5


def test_all_outputs_are_held_against_the_hosts():
    data = Dataset("d", np.zeros((2, 1)))
    ones = np.ones((2, 1), np.float32)
    quality = judged(data, data.inputs, ones, ones, [(ones, ones * 3)])
    assert quality.errors == [0, 2]
    assert quality.max_abs_error == 2
    alone = judged(data, data.inputs, ones, ones)
    assert alone.outputs_sha256 != quality.outputs_sha256


def test_one_hot_labels_are_classes():
    assert Dataset("d", np.zeros((2, 1)), np.array([[0, 1], [1, 0]])).labels.tolist() == [1, 0]
    with pytest.raises(DatasetError, match="sample 1 has 2 classes"):
        Dataset("d", np.zeros((2, 1)), np.array([[0, 1], [1, 1]]))


# The documentation


def snippets():
    """Each block of Robot or shell text in docs/data.md."""
    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    return re.findall(r"```robotframework\n(.*?)```", text, re.DOTALL)


def test_the_documentations_snippets_load(tmp_path):
    """`Load Data Set` of every snippet, as Robot reads it, with files of the kinds that they name."""
    from robot.api import TestSuite

    from QualityLibrary import QualityLibrary

    make_the_files_of_the_documentation()
    loaded = 0
    for snippet in snippets():
        suite = TestSuite.from_string(f"*** Test Cases ***\nSnippet\n{snippet}")
        for call in (item for item in suite.tests[0].body if item.name == "Load Data Set"):
            source, *options = (str(argument).replace("${CURDIR}", str(tmp_path)) for argument in call.args)
            named = dict(option.split("=", 1) for option in options)
            named.pop("model", None)  # of which there is none here
            assert len(QualityLibrary().load_data_set(source, **named)) > 1
            loaded += 1
    assert loaded >= 8


def make_the_files_of_the_documentation():
    """What docs/data.md speaks of, tiny."""
    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    (python,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    Path("data.py").write_text(python)
    np.savez("motions.npz", x=np.zeros((4, 3), np.float32), y=[0, 1, 0, 1])
    np.savez("motions_q.npz", x=np.zeros((4, 3), np.int8), y=[0, 1, 0, 1])
    np.save("inputs.npy", np.zeros((3, 4), np.float32))
    Path("labels.csv").write_text("label\nrun\nwalk\nrun\n")
    Path("pump.csv").write_text("time,vibration,current,state\n0,12,3.5,running\n1,2,0.5,idle\n")
    Path("wear.csv").write_text("vibration,current,wear\n12,3.5,0.5\n2,0.5,0.25\n")
    for kind in ("cat", "dog"):
        png(Path(f"faces/{kind}/1.png"), np.zeros((96, 96), np.uint8))
    for kind in ("normal", "broken"):
        sound(Path(f"sounds/{kind}/1.wav"), np.zeros(16000, np.int16), rate=16000)


def test_a_sweep_asks_for_images_of_the_size_that_its_models_take(monkeypatch):
    pytest.importorskip("PIL")
    for number, kind in enumerate(("cat", "dog")):
        png(Path(f"faces/{kind}/a.png"), np.full((4, 6), number))
    takes = {"small": [spec((1, 2, 3, 1))], "same": [spec((1, 2, 3, 1))], "other": [spec((1, 4, 6, 1))]}
    monkeypatch.setattr(sweep_command, "tensors_of", lambda model: (tuple(takes[model]), ()))

    def shape(models, *options):
        given = SimpleNamespace(models=models, dataset="faces", data_option=options)
        return sweep_command._own_data(given).inputs.shape[1:]

    assert shape(["small", "same"]) == (2, 3, 1)
    assert shape(["small"], "shape=1,1,1") == (1, 1, 1)
    assert shape(["small", "other"]) == (4, 6, 1), "as they are, where the models differ"
