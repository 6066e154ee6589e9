# SPDX-License-Identifier: Apache-2.0
"""ONNX's determinants, losses, scattered elements and tangents: written out so that IREE has them right."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springbok.compiler import compiler
from springbok.compiler.importers.worker import UnusableError

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper  # noqa: E402
from onnx_models import FLOAT, INT32, INT64, UINT8, answers, equal, model_of, operators, rewritten  # noqa: E402

LOSSES = ("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss")
seeds = st.integers(0, 1 << 16).map(np.random.default_rng)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(seeds, st.integers(1, 4), st.lists(st.integers(1, 3), max_size=2))
def test_determinants_of_small_integers(random, size, stack):
    shape = [*stack, size, size]
    model = model_of([helper.make_node("Det", ["x"], ["y"])], {"x": (FLOAT, shape)}, {"y": (FLOAT, stack)})
    assert "Det" not in operators(rewritten(model))
    equal(model, random.integers(-2, 3, shape).astype(np.float32), relative=1e-6, steps=1e-5)


def test_a_determinant_that_would_be_too_long():
    model = model_of([helper.make_node("Det", ["x"], ["y"])], {"x": (FLOAT, [5, 5])}, {"y": (FLOAT, [])})
    with pytest.raises(UnusableError, match=r"Det \('y'\) takes determinants of 5 x 5, which .* on the host"):
        rewritten(model)


@st.composite
def losses(draw):
    operator, rest = draw(st.sampled_from(LOSSES)), draw(st.lists(st.integers(1, 3), max_size=2))
    batch, classes, weighted = draw(st.integers(1, 3)), draw(st.integers(2, 4)), draw(st.booleans())
    attributes = {"reduction": draw(st.sampled_from(["none", "sum", "mean"]))}
    if draw(st.booleans()):
        attributes["ignore_index"] = draw(st.sampled_from([-1, 1]))
    kind = draw(st.sampled_from([INT32, INT64]))
    made = [batch, *rest] if attributes["reduction"] == "none" else []
    outputs = {"y": (FLOAT, made)}
    if operator == LOSSES[1] and draw(st.booleans()):
        outputs["p"] = (FLOAT, [batch, classes, *rest])
    node = helper.make_node(operator, ["x", "t", "w"][: 2 + weighted], list(outputs), **attributes)
    inputs = {"x": (FLOAT, [batch, classes, *rest]), "t": (kind, [batch, *rest])}
    weights = {"w": np.linspace(0.5, 2, classes).astype(np.float32)} if weighted else {}
    return model_of([node], inputs, outputs, weights), classes, attributes.get("ignore_index", 0)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(losses(), seeds)
def test_losses(drawn, random):
    model, classes, ignored = drawn
    shapes = [[each.dim_value for each in info.type.tensor_type.shape.dim] for info in model.graph.input]
    kind = helper.tensor_dtype_to_np_dtype(model.graph.input[1].type.tensor_type.elem_type)
    labels = random.integers(min(ignored, 0), classes, shapes[1]).astype(kind)
    assert not operators(rewritten(model)).intersection(LOSSES)
    equal(model, random.standard_normal(shapes[0]).astype(np.float32), labels, steps=1e-5)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    seeds,
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.sampled_from([FLOAT, INT32, TensorProto.BOOL, UINT8]),
    st.sampled_from(["none", "min", "max"]),
    st.booleans(),
)
def test_elements_that_are_reduced_along_an_axis(random, shape, kind, reduction, is_wide):
    axis = int(random.integers(-len(shape), len(shape)))
    made = [int(random.integers(1, length + 1)) for length in shape]
    places = np.argsort(random.random([*made[:axis], shape[axis], *made[axis % len(shape) + 1 :]]), axis)
    places = np.take(places, range(made[axis]), axis) - shape[axis] * random.integers(0, 2, made)
    node = helper.make_node("ScatterElements", ["x", "i", "u"], ["y"], axis=axis, reduction=reduction)
    inputs = {"x": (kind, shape), "u": (kind, made)}
    model = model_of([node], inputs, {"y": (kind, shape)}, {"i": places.astype(np.int64 if is_wide else np.int32)}, 18)
    assert ("ScatterElements" in operators(rewritten(model))) == (reduction == "none")
    number = helper.tensor_dtype_to_np_dtype(kind)
    equal(model, *(random.integers(0, 255, each).astype(number) for each in (shape, made)))


def test_unsigned_integers_that_would_be_compared_as_signed():
    node = helper.make_node("ScatterND", ["x", "i", "x"], ["y"], reduction="max")
    kind = (TensorProto.UINT64, [2])
    model = model_of([node], {"x": kind}, {"y": kind}, {"i": np.int64([[0], [1]])}, 18)
    with pytest.raises(UnusableError, match=r"ScatterND \('y'\) takes the max of uint64, .*: scatter int64"):
        rewritten(model)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.integers(-2000, 2000), min_size=8, max_size=8), st.sampled_from([0.0, 1e-5, -1e-3, 0.3]))
def test_tangents_near_their_poles(quarters, beside):
    """What is left of subtracted quarters of a turn has all its digits."""
    values = (np.array(quarters) * np.pi / 2 + beside).astype(np.float32)
    model = model_of([helper.make_node("Tan", ["x"], ["y"])], {"x": (FLOAT, [8])}, {"y": (FLOAT, [8])})
    (got,) = answers(rewritten(model), values)
    np.testing.assert_allclose(got, np.tan(values.astype(np.float64)), rtol=1e-6, atol=1e-12)


def everything():
    """Each of them once, of what IREE has wrong or not at all."""
    nodes = [
        helper.make_node("Det", ["x"], ["d"]),
        helper.make_node("Tan", ["x"], ["t"]),
        helper.make_node("SoftmaxCrossEntropyLoss", ["x", "labels", "w"], ["l"], ignore_index=2),
        helper.make_node("NegativeLogLikelihoodLoss", ["x", "labels"], ["n"], ignore_index=0, reduction="sum"),
        helper.make_node("ScatterElements", ["x", "places", "x"], ["e"], axis=1, reduction="max"),
        helper.make_node("Greater", ["x", "w"], ["truth"]),
        helper.make_node("ScatterND", ["truth", "rows", "more"], ["s"], reduction="min"),
        helper.make_node("Where", ["truth", "many", "few"], ["bytes"]),
        helper.make_node("ScatterND", ["bytes", "rows", "amount"], ["b"], reduction="max"),
    ]
    constants = {"w": np.float32([0.5, 1, 2]), "labels": np.int64([[0, 1, 2], [2, 1, 0]])}
    constants |= {"places": np.int64([[[0, 1, 2], [1, 2, 0], [2, 0, 1]]] * 2), "rows": np.int64([[1]])}
    constants |= {"many": np.uint8(200), "few": np.uint8(3), "amount": np.uint8([[[100] * 3] * 3])}
    constants |= {"more": np.array([[[True, False, True]] * 3])}
    outputs = {"d": (FLOAT, [2]), "t": (FLOAT, [2, 3, 3]), "l": (FLOAT, []), "n": (FLOAT, [])}
    outputs |= {"e": (FLOAT, [2, 3, 3]), "s": (TensorProto.BOOL, [2, 3, 3]), "b": (UINT8, [2, 3, 3])}
    return model_of(nodes, {"x": (FLOAT, [2, 3, 3])}, outputs, constants, 18)


def test_everything_on_the_chip(session, tmp_path):
    path, model = tmp_path / "everything.onnx", everything()
    onnx.save(model, path)
    session.load_model(compiler.compile_and_check(path, output_dir=tmp_path / "build", optimize="none"))
    values = np.float32([[[0, 1, 2], [1, 0, 3], [4, -3, 8]], [[1, 0, 0], [0, 0, 1.5], [0, 2, 0]]])
    for got, wanted in zip(session.infer(values, raw=True), answers(model, values), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)
