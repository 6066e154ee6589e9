# SPDX-License-Identifier: Apache-2.0
"""Drawn ONNX models against ONNX's reference and onnxruntime: what is drawn, how it ends, a share of the trial, and
what it found.
"""

import sys
from importlib.util import find_spec

import numpy as np
import pytest
from iree.compiler import ir
from onnx_models import FLOAT, INT8, INT32, INT64, UINT8, answers, equal, helper, model_of, operators, rewritten

from springbok.compiler import importers
from springbok.compiler.importers import onnx_limits, worker_onnx
from springbok.compiler.importers.worker import UnusableError
from springbok.compiler.optimizer.vector_code import number, vector
from springbok.compiler.probes import probe
from springbok.support import packages
from springbok.tensors import TensorSpec
from springbok.trials import references
from springbok.trials.fuzz.worker import CRASH as PROCESS_CRASH
from springbok.trials.fuzz.worker import Finding
from springbok.trials.fuzz.worker import Outcome as NetworkOutcome
from springbok.trials.references import departures
from springbok.trials.references.answers import Result, Verdict, try_cases
from springbok.trials.references.drawing import DRAWN, OPERATORS, Case, draw, draw_of
from springbok.trials.references.maker import SAMPLES

onnx = pytest.importorskip("onnx")
FLOAT16, UINT16, UINT32, UINT64 = (getattr(onnx.TensorProto, n) for n in ("FLOAT16", "UINT16", "UINT32", "UINT64"))
SEED = 17
#: Operators whose models end quickly, of all kinds of drawing.
SHARE = (
    "MaxPool",
    "Gather",
    "ReduceSum",
    "Gemm",
    "QLinearConv",
    "Slice",
    "Add",
    "LSTM",
    "Softmax",
    "Clip",
    "Pow",
    "Pad",
)
with_onnxruntime = pytest.mark.skipif(find_spec("onnxruntime") is None, reason="onnxruntime is not installed here")


class TestDrawing:
    def test_the_same_seed_gives_the_same_models(self):
        for name in OPERATORS:
            one, other = draw_of(SEED, 3, name), draw_of(SEED, 3, name)
            assert one.model == other.model
            assert all(np.array_equal(*pair, equal_nan=True) for pair in zip(one.inputs, other.inputs, strict=True))
        assert draw(SEED, 5).model != draw(SEED + 1, 5).model

    def test_models_are_valid_of_their_operator_and_have_samples(self):
        for name in OPERATORS:
            case = draw_of(SEED, 0, name)
            model = onnx.ModelProto.FromString(case.model)
            onnx.checker.check_model(model, full_check=True)
            assert name in {node.op_type for node in model.graph.node}
            assert case.name == f"{name}:0"
            assert all(len(array) == SAMPLES for array in case.inputs)
            assert f"opset {case.opset}" in case.describe()

    def test_versions_types_ranks_and_what_is_left_out_come_up(self):
        cases = [draw(SEED, number) for number in range(4 * len(OPERATORS))]
        assert len({case.opset for case in cases}) > 12
        assert {array.dtype.name for case in cases for array in case.inputs} >= {
            *("float32", "float16", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "bool")
        }
        assert {array.ndim - 1 for case in cases for array in case.inputs} >= {0, 1, 2, 3, 4, 5}
        nodes = [node for case in cases for node in onnx.ModelProto.FromString(case.model).graph.node]
        assert any("" in node.input for node in nodes)
        assert any(each.name == "axis" and each.i < 0 for node in nodes for each in node.attribute)
        assert {each.s for node in nodes for each in node.attribute if each.name == "auto_pad"} > {b"VALID", b"NOTSET"}

    def test_all_that_the_importer_takes_is_drawn_but_what_is_refused(self):
        known = {schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""}
        left = known - set(OPERATORS) - set(onnx_limits._REFUSED)
        assert left == {
            *("Attention", "CausalConvWithState", "Compress", "Constant", "LinearAttention", "MaxRoiPool"),
            *("MelWeightMatrix", "SwiGLU", "TensorScatter"),
        }
        assert set(worker_onnx.REWRITINGS) - left <= set(DRAWN) | {"Attention"}


class TestVerdicts:
    def test_another_answer_is_wrong_with_its_place_and_the_model(self, monkeypatch):
        case = made("Neg", (INT32, [3]), np.int32([[1, -2, 3]]))
        monkeypatch.setattr(
            "springbok.trials.references.answers._onnxruntime", lambda _: ([np.int32([[-1, 2, 4]])], "")
        )
        (result,) = try_cases([case])
        assert result.verdict is Verdict.WRONG
        assert "at [2] is -3, not 4, held against onnxruntime" in str(result)
        assert "Neg(int32[3])" in str(result)
        assert result.reference

    def test_a_refusal_is_one_only_in_a_sentence(self):
        (refused,) = try_cases([made("Mod", (FLOAT, [3]), np.ones((1, 3), np.float32), (np.float32(2),), fmod=1)])
        assert refused.verdict is Verdict.REFUSED
        assert "remainder of floating-point numbers" in refused.reason

    def test_an_exception_of_python_is_a_crash(self, monkeypatch):
        def fails(*_):
            raise KeyError("x")

        monkeypatch.setattr(worker_onnx, "load", fails)
        (result,) = try_cases([made("Neg", (INT32, [3]), np.int32([[1, -2, 3]]))])
        assert result.verdict is Verdict.CRASH
        assert result.reason.startswith("KeyError")

    def test_a_process_that_ends_is_a_crash_of_its_model(self, monkeypatch):
        finding = Finding(PROCESS_CRASH, "all variants", "import", "the process ended with exit code -11")

        class Ended:
            def __init__(self, *_, **__):
                pass

            def __enter__(self):
                return self

            def __exit__(self, *_):
                pass

            def try_networks(self, cases, *_):
                return [NetworkOutcome(case, [finding]) for case in cases]

        monkeypatch.setattr(references, "Worker", Ended)
        (result,) = references.tried([draw(SEED, 0)])
        assert result.verdict is Verdict.CRASH
        assert "exit code -11" in result.reason

    def test_what_onnxruntime_computes_otherwise_passes_with_its_reason_and_nothing_else(self):
        case = made(
            "MaxPool",
            (FLOAT, [1, 1, 5]),
            np.ones((1, 1, 1, 5), np.float32),
            kernel_shape=[2],
            dilations=[2],
            auto_pad="SAME_UPPER",
        )
        assert "not dilated" in departures.reason("MaxPool", case.model, [])
        case = made("MaxPool", (FLOAT, [1, 1, 5]), np.ones((1, 1, 1, 5), np.float32), kernel_shape=[2])
        assert departures.reason("MaxPool", case.model, []) == ""
        assert all(operator in DRAWN and each.reason for each in departures.DEPARTURES for operator in each.operators)

    def test_the_table_counts_by_operator(self):
        case = draw_of(SEED, 0, "Abs")
        results = [
            Result(case, Verdict.RIGHT),
            Result(case, Verdict.WRONG, "x", reference="y"),
            Result(case, Verdict.RIGHT),
        ]
        lines = references.table(results).splitlines()
        assert lines[1].split() == ["Abs", "2", "0", "0", "1", "0"]
        assert lines[2] == "3 models of 1 operators: 2 right, 0 refused, 0 told wrong, 1 wrong, 0 crash"
        assert lines[3].startswith(
            "the reference is not onnxruntime's in 1, of which the module answers as onnxruntime in 0"
        )

    @pytest.mark.parametrize(("verdict", "status"), [(Verdict.WRONG, 1), (Verdict.CRASH, 1), (Verdict.TOLD, 0)])
    def test_wrong_without_a_word_makes_the_trial_fail(self, monkeypatch, capsys, verdict, status):
        monkeypatch.setattr(packages, "provide", lambda *_: None)
        monkeypatch.setattr(references, "tried", lambda cases, _: (Result(case, verdict, "so") for case in cases))
        assert references.main(["Abs", "--count", "1"]) == status
        assert "Abs:0" in capsys.readouterr().out

    def test_operators_and_cases_that_there_are_none_of(self, capsys):
        with pytest.raises(SystemExit):
            references.main(["Abz", "--case", "Ad:3"])
        assert "there are no models of Abz, Ad" in capsys.readouterr().err

    def test_without_a_registry_it_says_so(self, monkeypatch, capsys):
        def fails(*_):
            raise ImportError("pip could not install it")

        monkeypatch.setattr(packages, "provide", fails)
        assert references.main(["Abs"]) == 2
        assert "pip could not install it" in capsys.readouterr().err


@with_onnxruntime
def test_a_share_of_the_trial():
    results = list(references.tried([draw(SEED, number, SHARE) for number in range(len(SHARE))]))
    bad = [str(result) for result in results if result.verdict not in (Verdict.RIGHT, Verdict.REFUSED)]
    assert not bad, "\n".join(bad)
    assert sum(result.verdict is Verdict.RIGHT for result in results) > len(results) / 2
    assert not all(result.oracle for result in results)
    assert "onnxruntime" not in sys.modules  # it is the process of the trial that has it


# ---- What the trial found


def made(operator, given, samples, constants=(), outputs=1, opset=17, before=None, **attributes) -> Case:
    """A case of one node: ``given`` is type and shape of its first input, ``constants`` are its others."""
    names = [f"c{place}" for place in range(len(constants))]
    nodes = [
        helper.make_node(operator, ["h" if before else "x", *names], [f"y{n}" for n in range(outputs)], **attributes)
    ]
    if before:
        nodes.insert(0, helper.make_node(before, ["x"], ["h"]))
    values = dict(zip(names, constants, strict=True))
    model = model_of(
        nodes,
        {"x": given},
        {},
        values,
        opset,
        ir_version=helper.find_min_ir_version_for([helper.make_opsetid("", opset)]),
    )
    model.graph.output.extend(onnx.ValueInfoProto(name=name) for name in nodes[-1].output)
    model = onnx.shape_inference.infer_shapes(model)
    dtype = helper.tensor_dtype_to_np_dtype(given[0])
    return Case(0, 0, operator, opset, model.SerializeToString(), (np.asarray(samples, dtype),))


def numbers(dtype, *shape, low=-120, high=120):
    return np.random.default_rng(1).integers(low, high, (SAMPLES, *shape)).astype(dtype)


def below_zero(dtype, *shape):
    return numbers(dtype, *shape, low=-100, high=-5)


IMAGE = [1, 2, 6, 7]
UNEVEN = {"kernel_shape": [3, 2], "pads": [2, 0, 0, 1]}
#: A model of each kind, by what it is about.
KINDS = {
    "max of int8, uneven pads": made("MaxPool", (INT8, IMAGE), below_zero(np.int8, *IMAGE), dilations=[2, 2], **UNEVEN),
    "max of int8, pads by name": made(
        "MaxPool",
        (INT8, IMAGE),
        below_zero(np.int8, *IMAGE),
        kernel_shape=[3, 3],
        strides=[2, 2],
        auto_pad="SAME_UPPER",
    ),
    "max of int8 along three axes": made(
        "MaxPool", (INT8, [1, 1, 3, 3, 3]), below_zero(np.int8, 1, 1, 3, 3, 3), kernel_shape=[2, 2, 2]
    ),
    "max of float16, pads": made("MaxPool", (FLOAT16, IMAGE), below_zero(np.float16, *IMAGE), **UNEVEN),
    "places of a max, uneven pads": made("MaxPool", (FLOAT, IMAGE), numbers(np.float32, *IMAGE), outputs=2, **UNEVEN),
    "places by columns": made(
        "MaxPool", (FLOAT, IMAGE), numbers(np.float32, *IMAGE), outputs=2, kernel_shape=[2, 2], storage_order=1
    ),
    "a window beyond the end": made(
        "MaxPool", (FLOAT, IMAGE), numbers(np.float32, *IMAGE), kernel_shape=[1, 2], strides=[3, 3], ceil_mode=1
    ),
    "ceil_mode and pads by name": made(
        "AveragePool",
        (FLOAT, IMAGE),
        numbers(np.float32, *IMAGE),
        opset=15,
        kernel_shape=[2, 2],
        strides=[3, 2],
        ceil_mode=1,
        auto_pad="VALID",
    ),
    "means along three axes": made(
        "AveragePool",
        (FLOAT, [1, 2, 3, 4, 3]),
        numbers(np.float32, 1, 2, 3, 4, 3),
        kernel_shape=[2, 2, 2],
        pads=[1, 0, 0, 0, 1, 0],
    ),
    "means of float16 along three axes": made(
        "AveragePool",
        (FLOAT16, [1, 1, 6, 8, 9]),
        numbers(np.float16, 1, 1, 6, 8, 9),
        kernel_shape=[2, 1, 1],
        pads=[1, 0, 0, 1, 0, 0],
        strides=[3, 2, 1],
        count_include_pad=1,
    ),
    "groups along three axes": made(
        "Conv",
        (FLOAT, [1, 4, 3, 4, 3]),
        numbers(np.float32, 1, 4, 3, 4, 3),
        (numbers(np.float32, 2, 2, 2, 1) / 50,),
        group=2,
    ),
    "places of one image": made(
        "AffineGrid", (FLOAT, [1, 2, 3]), numbers(np.float32, 1, 2, 3), (np.array([1, 1, 3, 4]),), opset=20
    ),
    "places from corner to corner": made(
        "AffineGrid",
        (FLOAT, [2, 3, 4]),
        numbers(np.float32, 2, 3, 4),
        (np.array([2, 1, 2, 3, 4]),),
        opset=20,
        align_corners=1,
    ),
    "powers of negative integers": made("Pow", (INT64, [5]), [[-6, 3, -2, 5001, 7]], (np.float32([1, 3, 5, 2, 0]),)),
    "several that are broadcast": made(
        "Max", (FLOAT, [2, 1]), numbers(np.float32, 2, 1), (np.float32([[3, -9]]), np.float32([[[1]], [[2]]]))
    ),
    "a mean of several": made(
        "Mean", (FLOAT, [1, 2]), numbers(np.float32, 1, 2), (np.float32([[3], [4]]), np.float32([1, 2]))
    ),
    "unsigned ones of several": made(
        "Min",
        (UINT8, [2, 1]),
        numbers(np.uint8, 2, 1, low=0, high=255),
        (np.uint8([[3, 200]]), np.uint8([[[100]], [[250]]])),
    ),
    "sums without the element": made("CumSum", (FLOAT, [3, 1]), [[[1e30], [1], [2]]], (np.int64(0),), exclusive=1),
    "sums without it, backwards": made("CumSum", (FLOAT, [3]), [[2, 1, 1e30]], (np.int64(0),), exclusive=1, reverse=1),
    "sums of nothing": made("CumSum", (FLOAT, [1, 2]), [[[1, 2]]], (np.int64(0),), exclusive=1),
    "means of integers": made("ReduceMean", (INT32, [2, 3]), numbers(np.int32, 2, 3), axes=[1]),
    "means of unsigned integers": made("ReduceMean", (UINT8, [2, 3]), numbers(np.uint8, 2, 3, low=100, high=255)),
    "cut and filled up": made(
        "CenterCropPad", (UINT16, [2, 5]), numbers(np.uint16, 2, 5, low=0, high=2**16), (np.array([5, 2]),), opset=18
    ),
    "shrunk": made("Shrink", (FLOAT, [9]), numbers(np.float32, 9, low=-4, high=5), lambd=1.5, bias=0.5),
    "reversed, of what is held wide": made(
        "ReverseSequence",
        (UINT16, [3, 2]),
        numbers(np.uint16, 3, 2, low=0, high=2**16),
        (np.array([3, 2]),),
        before="Identity",
    ),
    "wrapped, of what is held wide": made(
        "Pad",
        (UINT32, [4]),
        numbers(np.uint32, 4, low=0, high=2**32),
        (np.array([2, 1]),),
        opset=19,
        before="Identity",
        mode="wrap",
    ),
    "backwards, of what is held wide": made(
        "Slice",
        (UINT16, [4]),
        numbers(np.uint16, 4, low=0, high=2**16),
        (np.array([3]), np.array([-9]), np.array([0]), np.array([-1])),
        before="Identity",
    ),
    "logarithms of no share": made("LogSoftmax", (FLOAT, [1, 2]), [[[200, -50]], [[0, 1]]]),
    "places of a shorter list": made(
        "GatherElements", (FLOAT, [2, 3]), numbers(np.float32, 2, 3), (np.array([[2, 0]]),), axis=1
    ),
    "a scalar": made("Softsign", (FLOAT, []), np.float32([3, -4])),
    "short vectors of float16": made("LpNormalization", (FLOAT16, [2]), [[1e-4, 0], [3, 4]]),
    "unsigned integers like others": made("CastLike", (FLOAT, [2]), [[200.5, 3], [255, 0]], (np.uint8(0),)),
    "vectors of one number": made("LpNormalization", (FLOAT, [3, 1]), [[[3], [-4], [0]]], opset=18),
    "lengths of vectors of one number": made(
        "ReduceL2", (FLOAT, [3, 1]), [[[3], [-4], [0]]], (np.array([1]),), opset=18
    ),
    "logarithms of one number": made("ReduceLogSum", (FLOAT, [2, 1]), [[[3], [4]]], (np.array([1]),), opset=18),
    "a scalar's mean": made("ReduceMean", (INT32, []), np.int32([3, -4])),
    "filled up, of what is held wide": made(
        "Pad", (UINT16, [3]), numbers(np.uint16, 3, low=0, high=2**16), (np.array([2, 1]), np.uint16(2**16 - 1))
    ),
    "a scalar's logarithm": made("ReduceLogSumExp", (FLOAT, []), np.float32([3, -4])),
    "a window of a known size": made(
        "Mul", (FLOAT, [6]), np.full((1, 6), 1e30, np.float32), (np.blackman(6).astype(np.float32),)
    ),
    "unsigned 64 bits": made("Abs", (UINT64, [2]), np.uint64([[2**64 - 1, 3]])),
}


@pytest.fixture(scope="module")
def endings():
    return dict(zip(KINDS, try_cases(list(KINDS.values())), strict=True))


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_wrong_is_right(endings, kind):
    assert endings[kind].verdict is Verdict.RIGHT, endings[kind]
    assert not endings[kind].reference, endings[kind]


def test_slices_with_steps_may_leave_out_axes():
    nodes = [helper.make_node("Slice", ["x", "s", "e", "", "t"], ["y"])]
    constants = {"s": np.array([1]), "e": np.array([9]), "t": np.array([2])}
    model = model_of(nodes, {"x": (FLOAT, [6])}, {"y": (FLOAT, None)}, constants)
    equal(model, np.arange(6, dtype=np.float32))
    assert all(node.input[3] for node in rewritten(model).graph.node if node.op_type == "Slice")


def test_a_depth_may_be_a_list_of_one_number():
    nodes = [helper.make_node("OneHot", ["x", "d", "v"], ["y"])]
    model = model_of(nodes, {"x": (INT64, [2])}, {"y": (FLOAT, None)}, {"d": np.array([3]), "v": np.float32([0, 1])})
    assert answers(model, np.array([-1, 1]))[0].tolist() == [[0, 0, 1], [0, 1, 0]]


def test_no_place_of_a_padding_is_chosen():
    nodes = [helper.make_node("MaxPool", ["x"], ["y", "i"], kernel_shape=[2], pads=[1, 0])]
    model = model_of(nodes, {"x": (UINT8, [1, 1, 2])}, {"y": (UINT8, None), "i": (INT64, None)})
    assert answers(model, np.zeros((1, 1, 2), np.uint8))[1].tolist() == [[[0, 0]]]


def test_an_axis_of_one_element_has_one_place(tmp_path):
    nodes = [helper.make_node("GatherElements", ["x", "i"], ["y"], axis=0)]
    model = model_of(nodes, {"x": (FLOAT, [1, 2]), "i": (INT64, [3, 2])}, {"y": (FLOAT, [3, 2])})
    path = tmp_path / "places.onnx"
    onnx.save(model, path)
    loaded = worker_onnx.load(path, importers.WHOLE_FILE)

    def run(arrays):
        return [np.stack([loaded.run(list(each))[0] for each in zip(*arrays, strict=True)])]

    inputs, _ = probe(loaded.inputs, run)
    assert not inputs[1].any()
    assert inputs[0].any()


def test_places_of_long_lists_are_gathered():
    nodes = [helper.make_node("GatherElements", ["x", "i"], ["y"], axis=1)]
    model = model_of(nodes, {"x": (INT32, [2, 90]), "i": (INT64, [2, 2])}, {"y": (INT32, None)})
    given = np.arange(180, dtype=np.int32).reshape(2, 90)
    assert answers(model, given, np.array([[3, -1], [80, 0]]))[0].tolist() == [[3, 89], [170, 90]]
    with pytest.raises(Exception, match="does not have"):
        answers(model, given, np.array([[3, 90], [80, 0]]))


def test_a_node_gets_the_defaults_that_its_definition_lacks():
    model = model_of(
        [helper.make_node("RotaryEmbedding", ["x", "c", "s"], ["y"])],
        {"x": (FLOAT, [1, 1, 2, 4])},
        {"y": (FLOAT, None)},
        {name: np.ones((1, 2, 2), np.float32) for name in "cs"},
        opset=23,
    )
    (node,) = worker_onnx.prepared(model).graph.node
    assert {each.name for each in node.attribute} >= {"interleaved", "rotary_embedding_dim"}


@pytest.mark.parametrize(
    ("operator", "given", "constants", "attributes", "said"),
    [
        ("Mod", UINT64, (np.uint64([3]),), {}, "unsigned integers of 64 bits"),
        ("BitShift", UINT64, (np.uint64([3]),), {"direction": "RIGHT"}, "unsigned integers of 64 bits"),
        ("Cast", UINT64, (), {"to": FLOAT}, "unsigned integers of 64 bits"),
        ("ReduceL2", INT32, (), {}, "takes a square root or a logarithm of integers: cast"),
        ("ReduceLogSum", INT32, (), {}, "does not support integer input"),
    ],
)
def test_what_is_refused_says_why(tmp_path, operator, given, constants, attributes, said):
    case = made(operator, (given, [1]), np.ones((1, 1)), constants, **attributes)
    path = tmp_path / "model.onnx"
    path.write_bytes(case.model)
    with pytest.raises(UnusableError, match=said) as raised:
        model = worker_onnx.load(path, importers.WHOLE_FILE)
        model.run([np.ones([1], helper.tensor_dtype_to_np_dtype(given))])
        model._rewritten()
    assert "Issues with types" not in str(raised.value)


def test_shapes_that_a_definition_does_not_find_are_a_sentence(tmp_path):
    names = {name: np.ones((1, 2, 2), np.float32) for name in ("c0", "c1")}
    case = made("RotaryEmbedding", (FLOAT, [1, 1, 2, 4]), [], tuple(names.values()), opset=23, interleaved=1)
    path = tmp_path / "model.onnx"
    path.write_bytes(case.model)
    with pytest.raises(UnusableError, match=r"ONNX finds no shapes in what stands for .* \(RotaryEmbedding\)"):
        worker_onnx.load(path, importers.WHOLE_FILE)._rewritten()


def test_windows_of_a_known_size_are_constants():
    nodes = [helper.make_node("HannWindow", ["n"], ["w"]), helper.make_node("Mul", ["x", "w"], ["y"])]
    model = model_of(nodes, {"x": (FLOAT, [5])}, {"y": (FLOAT, None)}, {"n": np.int64(5)})
    equal(model, np.ones(5, np.float32))
    assert operators(rewritten(model)) <= {"Identity", "Mul"}


@pytest.mark.parametrize("kind", ["f16", "f32", "bf16", "i8", "i32"])
def test_a_number_is_one_of_its_own_type(kind):
    with ir.Context(), ir.Location.unknown():
        element = ir.Type.parse(kind)
        made_of = number(element, 0)
        assert made_of.type == element
        assert ir.DenseElementsAttr.get_splat(vector(4, element), made_of).is_splat


def test_where_a_conversion_ends_an_integer_does_not_count():
    def run(inputs):
        with np.errstate(all="ignore"):
            return [(inputs[0].astype(np.float64) ** 7).astype(np.int32)]

    specs = [TensorSpec("x", (64,), "int32")]
    for integers in (False, True):
        _, outputs = probe(specs, run, integers=integers)
        assert (outputs[0][3] == np.iinfo(np.int32).min).any() != integers
