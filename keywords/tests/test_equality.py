# SPDX-License-Identifier: Apache-2.0
"""The comparison of optimised modules with stock ones: its inputs, its verdicts, and a share of its runs."""

import re

import numpy as np
import pytest

from springbok.compiler.compiler import compile_model
from springbok.compiler.optimizer import DEFAULT_FLAG_SET, FLAG_SETS, TRANSFORMATIONS, Plan, requantisation
from springbok.exploring.search import NAMES
from springbok.support.cache import Cache
from springbok.support.errors import CompileError
from springbok.support.places import MODELS, SUITES
from springbok.tensors import TensorSpec
from springbok.trials import equality
from springbok.trials.equality import DATA_SETS, HOST, Bench, Row, Variant, equality_inputs, variants_on

SHARE = 32
INT8 = TensorSpec("x", (1, 6, 4), "int8", scale=0.5, zero_point=-3)


def test_no_model_of_the_matrix_is_left_out():
    suite = (SUITES / "models.robot").read_text(encoding="utf-8")
    cases = suite.partition("*** Test Cases ***")[2].partition("*** Keywords ***")[0]
    assert re.findall(r"^Should .*?\s{4}(\S+)", cases, re.MULTILINE) == list(NAMES)


@pytest.mark.parametrize("spelled", ["gestures.h5", str(MODELS / "gestures.h5")])
def test_models_are_named_or_files(spelled, monkeypatch, capsys):
    asked = []

    def compare(_bench, file, dataset, variant, place):
        asked.append((file, dataset))
        return Row(file.name, variant.name, place, 1, 0.0, 0.0, 0.0)

    monkeypatch.setattr(Bench, "compare", compare)
    assert equality.main([spelled, "--on", HOST, "--variants", "standard"]) == 0
    assert asked == [(MODELS / "gestures.h5", "basic_motions")]
    assert capsys.readouterr().out.startswith("gestures.h5 ")


def test_every_transformation_and_every_set_of_flags_is_a_variant():
    on_chip, on_host = ({variant.name for variant in variants_on(place)} for place in ("512", HOST))
    assert {"standard", "scalar", *(f"without {name}" for name in TRANSFORMATIONS[1:])} <= on_chip
    assert {f"flags '{name}'" for name in FLAG_SETS if name != DEFAULT_FLAG_SET} <= on_chip
    assert {f"{name} alone" for name in TRANSFORMATIONS} <= on_host
    assert variants_on("1024")[0].plan(1024).vlen == 1024
    assert variants_on(HOST)[-1].plan(512).transformations == TRANSFORMATIONS[:1]


@pytest.mark.parametrize(
    "spec", [INT8, TensorSpec("x", (1, 5), "float32"), TensorSpec("x", (3,), "float32", limits=(-1.0, 2.0))], ids=str
)
def test_inputs_hold_the_extremes_and_are_the_same_twice(spec):
    (inputs,) = equality_inputs([spec], 256)
    assert (inputs.shape, inputs.dtype) == ((256, *spec.shape), np.dtype(spec.dtype))
    assert np.array_equal(inputs, equality_inputs([spec], 256)[0])
    low, high = equality._bounds(spec)
    assert all((inputs == value).reshape(256, -1).all(axis=1).any() for value in (low, high, spec.zero_point))
    assert len(np.unique(inputs.reshape(256, -1), axis=0)) > 200
    if spec.limits:
        assert (inputs.min(), inputs.max()) == spec.limits


def test_real_data_is_among_the_inputs():
    real = np.full((40, 6, 4), 7, np.int8)
    (inputs,) = equality_inputs([INT8], 64, real)
    assert (inputs == 7).reshape(64, -1).all(axis=1).sum() == 16


@pytest.mark.parametrize(
    ("differ_by", "allowed", "equal"), [(0, 0, True), (1, 0, False), (1e-6, 1e-6, True), (2e-6, 1e-6, False)]
)
def test_verdicts(differ_by, allowed, equal):
    row = Row("m", "standard", HOST, 256, differ_by, allowed, 1.0)
    assert row.is_equal == equal
    assert row.describe().endswith("  equal" if equal else "  DIFFERENT")


@pytest.fixture(scope="module")
def bench():
    with Bench(SHARE) as bench:
        yield bench


@pytest.mark.parametrize(
    ("file", "name", "place"),
    [
        ("gestures_int8.tflite", "standard", "128"),
        ("gestures_int8.tflite", "scalar", "512"),
        ("magic_wand.h5", "standard", "512"),
        ("magic_wand.h5", "scalar", "512"),
    ],
)
def test_a_share_on_the_chip(bench, file, name, place):
    variant = next(each for each in variants_on(place) if each.name == name)
    row = bench.compare(MODELS / file, DATA_SETS.get(file), variant, place)
    assert row.is_equal, row.describe()
    assert row.samples == SHARE


def test_outputs_are_not_all_the_same(bench):
    """Or equality would show nothing."""
    stock = compile_model(MODELS / "gestures_int8.tflite", optimize="none")
    (outputs,) = bench.on_host(stock, Plan("none"), equality_inputs(stock.inputs, SHARE))
    assert len(np.unique(outputs.reshape(SHARE, -1), axis=0)) > SHARE // 4


def test_a_wrong_transformation_is_found(monkeypatch, tmp_path):
    real = requantisation.arith
    monkeypatch.setattr(requantisation, "arith", lambda name, *of: real("subi" if name == "addi" else name, *of))
    with Bench(SHARE, Cache(tmp_path)) as bench:
        (standard, *_) = variants_on(HOST)
        row = bench.compare(MODELS / "gestures_int8.tflite", "basic_motions", standard, HOST)
    assert row.differ_by >= 1
    assert not row.is_equal


def test_what_does_not_compile_is_said(monkeypatch, tmp_path):
    def refuse(_):
        raise CompileError("no such plan")

    with Bench(SHARE, Cache(tmp_path)) as bench:
        row = bench.compare(MODELS / "gestures.h5", None, Variant("broken", refuse), "512")
    assert not row.is_equal
    assert row.describe().endswith("  not compiled: no such plan")
