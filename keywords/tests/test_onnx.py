# SPDX-License-Identifier: Apache-2.0
"""ONNX models: what is rewritten before IREE imports it computes what ONNX defines, and what is refused says why.

Most of it needs no compiler: the rewritten model and the original one are both run by ONNX's reference implementation.
"""

import itertools
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springbok.compiler import compiler, host_check, importers, iree
from springbok.compiler.importers import onnx_control_flow, onnx_limits, worker_onnx
from springbok.compiler.importers.selection import WHOLE_FILE, Selection
from springbok.compiler.importers.worker import UnusableError
from springbok.compiler.judgement import Limit, Tolerance
from springbok.modules.vmfb import read_vmfb
from springbok.session import Session
from springbok.support.cache import Cache
from springbok.support.errors import ModelError

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper  # noqa: E402
from onnx_models import (  # noqa: E402
    FLOAT,
    INT8,
    INT32,
    INT64,
    UINT8,
    answers,
    equal,
    model_of,
    operators,
    random_array,
    rewritten,
)


class TestQuantised:
    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(
        seed=st.integers(0, 2**32 - 1),
        types=st.sampled_from(list(itertools.product((INT8, UINT8), repeat=2))),
        group=st.sampled_from([1, 2, 4]),
        axes=st.sampled_from([1, 2]),
        pads=st.sampled_from(["none", "one", "SAME_UPPER", "SAME_LOWER"]),
        stride=st.sampled_from([1, 2]),
        per_channel=st.booleans(),
        bias=st.booleans(),
    )
    def test_convolutions_of_integers(self, seed, types, group, axes, pads, stride, per_channel, bias):
        random = np.random.default_rng(seed)
        given_type, weight_type = types
        channels = 8 if per_channel else 1
        shape = () if channels == 1 else (channels,)
        weights = random_array(random, weight_type, (8, 4 // group, *[3] * axes))
        constants = {
            "xs": np.float32(random.uniform(0.01, 0.1)),
            "xz": random_array(random, given_type, ()),
            "w": weights,
            "ws": random.uniform(0.001, 0.1, shape).astype(np.float32),
            "wz": random_array(random, weight_type, ()) if channels == 1 else np.zeros(shape, weights.dtype),
            "ys": np.float32(random.uniform(0.1, 2.0)),
            "yz": random_array(random, given_type, ()),
        }
        inputs = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"]
        if bias:
            constants["b"] = random.integers(-5000, 5000, 8).astype(np.int32)
            inputs.append("b")
        window = {"none": {}, "one": {"pads": [1] * (2 * axes)}}.get(pads, {"auto_pad": pads})
        options = {"group": group, "kernel_shape": [3] * axes, "strides": [stride] * axes} | window
        length = [1, 4, *[9] * axes]
        model = model_of(
            [helper.make_node("QLinearConv", inputs, ["y"], **options)],
            {"x": (given_type, length)},
            {"y": (given_type, None)},
            constants,
        )
        equal(model, random_array(random, given_type, length), steps=1)  # halves, with an odd zero point
        assert "QLinearConv" not in operators(rewritten(model))

    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(
        seed=st.integers(0, 2**32 - 1),
        opset=st.sampled_from([10, 13, 17, 19, 21, 23, 25]),
        kind=st.sampled_from(["INT8", "UINT8", "INT16", "UINT16", "INT4", "UINT4"]),
        per_axis=st.booleans(),
    )
    def test_quantising_and_back(self, seed, opset, kind, per_axis):
        random = np.random.default_rng(seed)
        elem_type = getattr(TensorProto, kind)
        if opset < 21 and kind not in ("INT8", "UINT8"):
            return
        shape = (3,) if per_axis and opset >= 13 else ()
        zero = helper.make_tensor("z", elem_type, shape, random.integers(0, 5, int(np.prod(shape))).tolist())
        options = {"axis": 1} if shape else {}
        model = model_of(
            [
                helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], **options),
                helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"], **options),
            ],
            {"x": (FLOAT, [2, 3, 5])},
            {"y": (FLOAT, None)},
            {"s": random.uniform(0.01, 0.3, shape).astype(np.float32)},
            opset,
        )
        model.graph.initializer.append(zero)
        values = (random.standard_normal((2, 3, 5)) * 10.0 ** random.integers(-2, 12)).astype(np.float32)
        equal(model, values)

    def test_halves_go_to_the_even_integer_and_what_lies_outside_saturates(self):
        model = model_of(
            [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])],
            {"x": (FLOAT, [8])},
            {"y": (INT8, None)},
            {"s": np.float32(2), "z": np.int8(1)},
        )
        (got,) = answers(model, np.float32([1, 3, 5, -1, -3, 3e38, -np.inf, 253]))
        assert got.tolist() == [1, 3, 3, 1, -1, 127, -128, 127]
        equal(model, np.float32([1, 3, 5, -1, -3, 3e38, -np.inf, 253]))

    @pytest.mark.parametrize("transposed", [False, True])
    @pytest.mark.parametrize("operator", ["MatMul", "Gemm"])
    @pytest.mark.parametrize("per_channel", [False, True])
    def test_products_of_dequantised_values_are_products_of_integers(self, operator, transposed, per_channel):
        if operator == "MatMul" and transposed:
            pytest.skip("only Gemm transposes")
        random = np.random.default_rng(3)
        columns = 0 if transposed else 1
        scale = random.uniform(0.01, 0.1, (4,) if per_channel else ()).astype(np.float32)
        constants = {
            "xs": np.float32(0.05),
            "xz": np.uint8(120),
            "w": random_array(random, INT8, (4, 6) if transposed else (6, 4)),
            "ws": scale,
            "wz": np.zeros(scale.shape, np.int8),
            "b": random.integers(-900, 900, 4).astype(np.int32),
            "bs": (np.float32(0.05) * scale).astype(np.float32),
        }
        axis = {"axis": columns} if per_channel else {}
        last = {"transB": 1} if transposed else {}
        nodes = [
            helper.make_node("DequantizeLinear", ["x", "xs", "xz"], ["xf"]),
            helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wf"], **axis),
            helper.make_node("DequantizeLinear", ["b", "bs"], ["bf"], **({"axis": 0} if per_channel else {})),
            helper.make_node(operator, ["xf", "wf", *(["bf"] if operator == "Gemm" else [])], ["y"], **last),
        ]
        model = model_of(nodes, {"x": (UINT8, [3, 6])}, {"y": (FLOAT, None)}, constants)
        equal(model, random_array(random, UINT8, (3, 6)), relative=1e-6)
        assert "ConvInteger" in operators(rewritten(model))
        assert operator not in operators(rewritten(model))

    @pytest.mark.parametrize("types", list(itertools.product((INT8, UINT8), repeat=2)))
    def test_products_of_integers(self, types):
        random = np.random.default_rng(4)
        weights = random_array(random, types[1], (6, 4))
        zeros = {"az": random_array(random, types[0], ()), "bz": random_array(random, types[1], ())}
        nodes = [helper.make_node("MatMulInteger", ["a", "w", "az", "bz"], ["y"])]
        model = model_of(nodes, {"a": (types[0], [2, 3, 6])}, {"y": (INT32, None)}, {"w": weights, **zeros})
        equal(model, random_array(random, types[0], (2, 3, 6)))
        both = model_of(nodes, {"a": (types[0], [3, 6]), "w": (types[1], [6, 4])}, {"y": (INT32, None)}, zeros)
        equal(both, random_array(random, types[0], (3, 6)), weights)

    def test_what_is_quantised_at_run_time(self):
        outputs = {"y": (UINT8, None), "s": (FLOAT, None), "z": (UINT8, None)}
        nodes = [helper.make_node("DynamicQuantizeLinear", ["x"], ["y", "s", "z"])]
        model = model_of(nodes, {"x": (FLOAT, [3, 4])}, outputs)
        random = np.random.default_rng(5)
        for values in (random.standard_normal((3, 4)), random.uniform(1, 2, (3, 4)), np.zeros((3, 4))):
            equal(model, values.astype(np.float32))

    def test_weights_of_4_bits_and_scales_of_blocks(self):
        random = np.random.default_rng(6)
        packed = helper.make_tensor("w", TensorProto.INT4, (8, 4), random.integers(-8, 8, 32).tolist())
        nodes = [
            helper.make_node("DequantizeLinear", ["w", "s"], ["wf"], axis=0, block_size=4),
            helper.make_node("MatMul", ["x", "wf"], ["y"]),
        ]
        scales = {"s": random.uniform(0.1, 1, (2, 4)).astype(np.float32)}
        model = model_of(nodes, {"x": (FLOAT, [1, 8])}, {"y": (FLOAT, None)}, scales, 21)
        model.graph.initializer.append(packed)
        equal(model, random_array(random, FLOAT, (1, 8)), relative=1e-6)
        assert TensorProto.INT4 not in {tensor.data_type for tensor in rewritten(model).graph.initializer}

    def test_float8_is_refused_by_name(self):
        zero = helper.make_tensor("z", TensorProto.FLOAT8E4M3FN, (), [0.0])
        nodes = [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"], name="first"),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
        ]
        model = model_of(nodes, {"x": (FLOAT, [4])}, {"y": (FLOAT, None)}, {"s": np.float32(1)}, 19)
        model.graph.initializer.append(zero)
        with pytest.raises(UnusableError, match=r"QuantizeLinear \('first'\) quantises to float8e4m3fn.*int8 or uint8"):
            rewritten(model)


SPECIAL = [
    0.0,
    -0.0,
    1,
    -1,
    2,
    -2,
    3,
    -3,
    0.5,
    -0.5,
    2.5,
    -2.5,
    np.inf,
    -np.inf,
    np.nan,
    3.4e38,
    -3.4e38,
    7,
    -7,
    2.0**24,
]


class TestFunctions:
    def test_powers_of_every_kind_of_numbers(self):
        bases, exponents = (np.float32(each) for each in zip(*itertools.product(SPECIAL, SPECIAL), strict=True))
        sizes = {"x": (FLOAT, [len(bases)]), "e": (FLOAT, [len(bases)])}
        model = model_of([helper.make_node("Pow", ["x", "e"], ["y"])], sizes, {"y": (FLOAT, None)})
        (got,), (wanted,) = answers(rewritten(model), bases, exponents), answers(model, bases, exponents)
        np.testing.assert_allclose(got, wanted, rtol=2e-5)

    @pytest.mark.parametrize("exponent", [-3, -1, 1, 2, 3, 5, 16])
    def test_whole_exponents_are_products(self, exponent):
        model = model_of(
            [helper.make_node("Pow", ["x", "e"], ["y"])],
            {"x": (FLOAT, [7])},
            {"y": (FLOAT, None)},
            {"e": np.float32(exponent)},
        )
        assert not {"Pow", "Exp"} & operators(rewritten(model))
        values = np.float32([-2.5, -1, 0, 1, 3, np.inf, -np.inf])
        (got,), (wanted,) = answers(rewritten(model), values), answers(model, values)
        np.testing.assert_allclose(got, wanted, rtol=1e-6)

    def test_powers_of_integers(self):
        sizes = {"x": (INT32, [6]), "e": (INT32, [6])}
        model = model_of([helper.make_node("Pow", ["x", "e"], ["y"])], sizes, {"y": (INT32, None)})
        equal(model, np.int32([-3, 0, 2, 1, -1, 7]), np.int32([3, 0, 30, 60, 61, 5]))

    def test_powers_of_integers_by_any_exponent(self):
        sizes = {"x": (INT32, [6]), "e": (TensorProto.UINT8, [6])}
        model = model_of([helper.make_node("Pow", ["x", "e"], ["y"])], sizes, {"y": (INT32, None)})
        equal(model, np.int32([0, 0, 2, 2, 3, -3]), np.uint8([64, 255, 64, 31, 77, 200]))

    def test_names_of_the_model_are_not_taken_for_new_ones(self):
        nodes = [helper.make_node("Pow", ["rewritten_1", "e"], ["rewritten_2"])]
        nodes += [helper.make_node("Sin", ["rewritten_2"], ["y"])]
        constants = {"e": np.float32(3)}
        model = model_of(nodes, {"rewritten_1": (FLOAT, [4])}, {"y": (FLOAT, None)}, constants)
        (got,), (wanted,) = (answers(each, np.float32([-1, 0.5, 0, 1])) for each in (rewritten(model), model))
        np.testing.assert_allclose(got, wanted, atol=1e-6)

    def test_unsigned_integers_of_64_bits_inside_the_model_are_refused(self):
        nodes = [
            helper.make_node("Cast", ["x"], ["i"], to=TensorProto.UINT64),
            helper.make_node("Cast", ["i"], ["y"], to=FLOAT),
        ]
        with pytest.raises(UnusableError, match="unsigned integers of 64 bits inside the model.*cast to int64"):
            rewritten(model_of(nodes, {"x": (FLOAT, [4])}, {"y": (FLOAT, None)}))

    def test_remainder_of_floats_is_refused(self):
        nodes = [helper.make_node("Mod", ["x", "d"], ["y"], fmod=1)]
        model = model_of(nodes, {"x": (FLOAT, [4])}, {"y": (FLOAT, None)}, {"d": np.float32(0.1)})
        with pytest.raises(UnusableError, match="remainder of floating-point numbers"):
            rewritten(model)

    @pytest.mark.parametrize("mode", ["wrap", "reflect", "edge"])
    def test_padding_by_elements(self, mode):
        pads = {"p": np.array([0, 1, 2, 0, 2, 1])}
        nodes = [helper.make_node("Pad", ["x", "p"], ["y"], mode=mode)]
        model = model_of(nodes, {"x": (FLOAT, [2, 3, 4])}, {"y": (FLOAT, None)}, pads, 19)
        equal(model, np.arange(24, dtype=np.float32).reshape(2, 3, 4))
        assert "Pad" not in operators(rewritten(model))

    @settings(max_examples=40, deadline=None, derandomize=True)
    @given(start=st.integers(-12, 12), end=st.integers(-12, 12), step=st.sampled_from([-3, -2, -1]))
    def test_slices_backwards(self, start, end, step):
        constants = {"s": [start, 8], "e": [end, 0], "a": [1, 0], "t": [step, -1]}
        constants = {name: np.array(value) for name, value in constants.items()}
        model = model_of(
            [helper.make_node("Slice", ["x", *constants], ["y"])],
            {"x": (FLOAT, [9, 10])},
            {"y": (FLOAT, None)},
            constants,
        )
        if answers(model, np.zeros((9, 10), np.float32))[0].size:
            equal(model, np.arange(90, dtype=np.float32).reshape(9, 10))

    @pytest.mark.parametrize("operator", ["ArgMin", "ArgMax"])
    @pytest.mark.parametrize("last", [0, 1])
    @pytest.mark.parametrize("keepdims", [0, 1])
    @pytest.mark.parametrize("opset", [17, 18])
    def test_places_of_extremes_along_any_axis(self, operator, last, keepdims, opset):
        options = {"axis": 1, "select_last_index": last, "keepdims": keepdims}
        nodes = [helper.make_node(operator, ["x"], ["y"], **options)]
        model = model_of(nodes, {"x": (FLOAT, [2, 3, 4])}, {"y": (INT64, None)}, opset=opset)
        equal(model, np.random.default_rng(1).integers(0, 2, (2, 3, 4)).astype(np.float32))

    @pytest.mark.parametrize("operator", ["LSTM", "GRU", "RNN"])
    def test_sequences_backwards(self, operator):
        gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[operator]
        random = np.random.default_rng(2)
        constants = {
            "w": random_array(random, FLOAT, (1, gates * 5, 3)),
            "r": random_array(random, FLOAT, (1, gates * 5, 5)),
        }
        nodes = [helper.make_node(operator, ["x", "w", "r"], ["y", "h"], hidden_size=5, direction="reverse")]
        model = model_of(nodes, {"x": (FLOAT, [4, 1, 3])}, {"y": (FLOAT, None), "h": (FLOAT, None)}, constants)
        values = random_array(random, FLOAT, (4, 1, 3))
        forward = model_of(
            [helper.make_node(operator, ["x", "w", "r"], ["y", "h"], hidden_size=5)],
            {"x": (FLOAT, [4, 1, 3])},
            {"y": (FLOAT, None), "h": (FLOAT, None)},
            constants,
        )
        output, state = answers(forward, values[::-1].copy())
        got = answers(rewritten(model), values)
        np.testing.assert_array_equal(got[0], output[::-1])
        np.testing.assert_array_equal(got[1], state)

    @pytest.mark.parametrize("opset", [11, 17, 18])
    @pytest.mark.parametrize("axes", [[1], [-1, 0], [], None])
    @pytest.mark.parametrize("keepdims", [0, 1])
    def test_sums_of_exponentials_beyond_the_largest_number(self, opset, axes, keepdims):
        options, constants = {"keepdims": keepdims}, {}
        if axes is not None and opset < 18:
            options |= {"axes": axes} if axes else {}
        elif axes is not None:
            constants = {"axes": np.array(axes, np.int64)}
        nodes = [helper.make_node("ReduceLogSumExp", ["x", *constants], ["y"], **options)]
        model = model_of(nodes, {"x": (FLOAT, [2, 3])}, {"y": (FLOAT, None)}, constants, opset=opset)
        for values in (
            [[200, 201, -5], [-300, -301, -302]],
            [[np.inf, 1, 2], [-np.inf, 0, 1]],
            [[1, 2, 3], [0, -1, np.nan]],
        ):
            equal(model, np.float32(values), relative=1e-6)
        assert {node.op_type for node in rewritten(model).graph.node} >= {"ReduceMax", "Exp"}

    @pytest.mark.parametrize("kind", [INT8, TensorProto.INT16, TensorProto.INT32, INT64])
    def test_the_least_integer_has_no_opposite(self, kind):
        model = model_of([helper.make_node("Neg", ["x"], ["y"])], {"x": (kind, [5])}, {"y": (kind, None)})
        assert "Sub" in operators(rewritten(model))
        limits = np.iinfo(helper.tensor_dtype_to_np_dtype(kind))
        equal(model, np.array([limits.min, limits.max, limits.max - 1, 0, -1], limits.dtype))

    @pytest.mark.parametrize("axis", [None, 0, 1, 2, -1, -3])
    def test_hardmax_of_old_takes_all_axes_from_its_own_on_for_one(self, axis):
        nodes = [helper.make_node("Hardmax", ["x"], ["y"], **({} if axis is None else {"axis": axis}))]
        model = model_of(nodes, {"x": (FLOAT, [2, 3, 4])}, {"y": (FLOAT, None)}, opset=11)
        values = np.random.default_rng(2).permutation(24).astype(np.float32).reshape(2, 3, 4)
        rows = values.reshape(int(np.prod(values.shape[: (1 if axis is None else axis) % 3])), -1)
        expected = (rows == rows.max(1, keepdims=True)).reshape(values.shape)
        for made in (worker_onnx.prepared(model), rewritten(model)):
            np.testing.assert_array_equal(answers(made, values)[0], expected)

    @pytest.mark.parametrize("shape", [(1, 12, 3, 4), (2, 18, 2, 1)])
    def test_blocks_of_channels_become_pixels(self, shape):
        """The mode CRD, which PyTorch's PixelShuffle is exported as: channels first, then places in the block."""
        size = 2 if shape[1] == 12 else 3
        nodes = [helper.make_node("DepthToSpace", ["x"], ["y"], blocksize=size, mode="CRD")]
        model = model_of(nodes, {"x": (FLOAT, shape)}, {"y": (FLOAT, None)})
        assert "DepthToSpace" not in operators(rewritten(model))
        equal(model, random_array(np.random.default_rng(3), FLOAT, shape))

    def test_the_reference_is_what_the_specification_says(self):
        """Where ONNX's own is not: larger inputs that come later, integers, windows that stick out."""
        number, row = np.arange(6, dtype=np.int32).reshape(2, 3), np.float32([[[1, 2, 3]]])
        large, real = number + 2**24 + 1, number.astype(np.float32)
        cases = [
            ("Mean", {}, [real[:1], real], [[0, 1, 2], [1.5, 2.5, 3.5]]),
            ("ReduceSumSquare", {"axes": [1]}, [number], [[5], [50]]),
            ("Gemm", {"beta": 2.0}, [large, number.T, number[:, :2]], large @ number.T + 2 * number[:, :2]),
            ("LpPool", {"kernel_shape": [2], "ceil_mode": 1, "p": 1, "strides": [2]}, [row], [3, 3]),
        ]
        for operator, attributes, arrays, expected in cases:
            names = [f"x{number}" for number in range(len(arrays))]
            kind = helper.np_dtype_to_tensor_dtype(arrays[0].dtype)
            inputs = {name: (kind, array.shape) for name, array in zip(names, arrays, strict=True)}
            node = helper.make_node(operator, names, ["y"], **attributes)
            opset = 18 if operator == "LpPool" else 12
            model = worker_onnx.prepared(model_of([node], inputs, {"y": (kind, None)}, opset=opset))
            (answer,) = answers(model, *arrays)
            assert answer.dtype == arrays[0].dtype
            np.testing.assert_array_equal(answer, np.reshape(expected, answer.shape), operator)

    def test_what_onnx_defines_by_others_takes_constants(self, tmp_path):
        nodes = [helper.make_node("CenterCropPad", ["x", "n"], ["y"], axes=[1, 2])]
        model = model_of(nodes, {"x": (FLOAT, [1, 7, 4])}, {"y": (FLOAT, None)}, {"n": np.array([4, 6])}, opset=18)
        path = tmp_path / "cropped.onnx"
        onnx.save(model, path)
        assert compiler.compile_and_check(path, output_dir=tmp_path / "build").outputs[0].shape == (1, 4, 6)

    def test_a_constant_may_be_a_list_of_numbers(self, tmp_path):
        nodes = [
            helper.make_node("Constant", [], ["c"], value_floats=[1.0, 2.5]),
            helper.make_node("Add", ["x", "c"], ["y"]),
        ]
        path = tmp_path / "listed.onnx"
        onnx.save(model_of(nodes, {"x": (FLOAT, [3, 2])}, {"y": (FLOAT, None)}), path)
        assert compiler.compile_and_check(path, output_dir=tmp_path / "build").dispatches

    @pytest.mark.parametrize("p", [1, 2])
    def test_zeros_have_no_length(self, p):
        nodes = [helper.make_node("LpNormalization", ["x"], ["y"], p=p, axis=0)]
        model = model_of(nodes, {"x": (FLOAT, [2, 3])}, {"y": (FLOAT, None)})
        values = np.float32([[0, -3, 1], [0, 4, -1]])
        length = {1: [1, 7, 2], 2: [1, 5, np.sqrt(2)]}[p]
        for each in (model, rewritten(model)):
            np.testing.assert_allclose(answers(each, values)[0], values / np.float32(length), rtol=1e-6)

    def test_places_of_the_largest_are_those_of_the_whole(self):
        nodes = [helper.make_node("MaxPool", ["x"], ["y", "i"], kernel_shape=[2, 2], strides=[2, 2])]
        model = model_of(nodes, {"x": (FLOAT, [1, 3, 4, 4])}, {"y": (FLOAT, None), "i": (INT64, None)})
        (*_, pool, add) = [node.op_type for node in rewritten(model).graph.node]
        assert (pool, add) == ("MaxPool", "Add")
        values = np.random.default_rng(1).permutation(48).astype(np.float32).reshape(1, 3, 4, 4)
        largest, places = answers(model, values)
        np.testing.assert_array_equal(values.ravel()[places], largest)

    @pytest.mark.parametrize("operator", ["Upsample", "Resize"])
    @pytest.mark.parametrize("mode", ["nearest", "linear"])
    def test_a_resize_of_old_takes_the_places_that_it_took_then(self, operator, mode):
        nodes = [helper.make_node(operator, ["x", "s"], ["y"], mode=mode)]
        opset = 9 if operator == "Upsample" else 10
        scales = {"s": np.float32([1, 1, 1, 2])}
        model = model_of(nodes, {"x": (FLOAT, [1, 1, 1, 3])}, {"y": (FLOAT, None)}, scales, opset=opset)
        (answer,) = answers(worker_onnx.prepared(model), np.float32([[[[0, 2, 4]]]]))
        assert answer.ravel().tolist() == ([0, 0, 2, 2, 4, 4] if mode == "nearest" else [0, 1, 2, 3, 4, 4])
        if mode == "nearest" and operator == "Resize":
            model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(np.float32([1, 2, 1, 0.5]), "s"))
            with pytest.raises(UnusableError, match="gets longer and another one that gets shorter"):
                worker_onnx.prepared(model)

    @pytest.mark.parametrize("value", [0.0, 1.5])
    def test_a_pad_before_a_transposed_convolution_is_not_lost(self, value, tmp_path):
        random = np.random.default_rng(7)
        constants = {
            "w": random_array(random, FLOAT, (2, 3, 2, 2)),
            "p": np.array([0, 0, 1, 0, 0, 0, 1, 2]),
            "v": np.float32(value),
        }
        nodes = [
            helper.make_node("Pad", ["x", "p", "v"], ["padded"]),
            helper.make_node("ConvTranspose", ["padded", "w"], ["y"], strides=[2, 3]),
        ]
        path = tmp_path / "padded.onnx"
        onnx.save(model_of(nodes, {"x": (FLOAT, [1, 2, 3, 4])}, {"y": (FLOAT, None)}, constants), path)
        for level in ("none", "standard"):
            compiler.compile_and_check(path, output_dir=tmp_path / "build", optimize=level)

    def test_a_normalisation_by_groups(self, tmp_path):
        random = np.random.default_rng(6)
        constants = {name: random_array(random, FLOAT, (6,)) for name in ("s", "b")}
        nodes = [
            helper.make_node("GroupNormalization", ["x", "s", "b"], ["n"], num_groups=2),
            helper.make_node("Relu", ["n"], ["y"]),
        ]
        model = model_of(nodes, {"x": (FLOAT, [1, 6, 3, 3])}, {"y": (FLOAT, None)}, constants, opset=21)
        equal(worker_onnx.prepared(model), random_array(random, FLOAT, (1, 6, 3, 3)), relative=1e-5)
        path = tmp_path / "groups.onnx"
        onnx.save(model, path)
        assert compiler.compile_and_check(path, output_dir=tmp_path / "build").dispatches

    @pytest.mark.parametrize("name", ["n" * 300, "名前" * 40])
    def test_a_long_name_of_the_graph_is_cut(self, name, tmp_path):
        model = model_of([helper.make_node("Relu", ["x"], ["y"])], {"x": (FLOAT, [2])}, {"y": (FLOAT, None)})
        model.graph.name = name
        path = tmp_path / "named.onnx"
        onnx.save(model, path)
        assert compiler.compile_and_check(path, output_dir=tmp_path / "build", optimize="none").dispatches

    def test_what_shapes_decide_is_worked_out(self):
        nodes = [
            helper.make_node("Shape", ["x"], ["lengths"], start=1),
            helper.make_node("Gather", ["lengths", "first"], ["length"]),
            helper.make_node("Range", ["from", "length", "step"], ["places"]),
            helper.make_node("Cast", ["places"], ["numbers"], to=FLOAT),
            helper.make_node("Add", ["x", "numbers"], ["y"]),
        ]
        constants = {"first": np.array(0), "from": np.array(0), "step": np.array(1)}
        model = model_of(nodes, {"x": (FLOAT, [2, 5])}, {"y": (FLOAT, None)}, constants)
        fixed = onnx_control_flow.with_shapes_worked_out(worker_onnx.prepared(model))
        assert operators(fixed) == {"Add"}
        values = np.ones((2, 5), np.float32)
        np.testing.assert_array_equal(answers(fixed, values)[0], values + np.arange(5))

    def test_the_reference_follows_the_specification_where_its_package_does_not(self):
        random = np.random.default_rng(5)
        image = random_array(random, FLOAT, (1, 6, 5))
        alone = {"x": (FLOAT, [1, 6, 5])}, {"y": (FLOAT, None)}
        (largest,) = answers(model_of([helper.make_node("GlobalMaxPool", ["x"], ["y"])], *alone), image)
        np.testing.assert_array_equal(largest, image.max(2, keepdims=True))
        node = helper.make_node("LRN", ["x"], ["y"], size=3, alpha=0.3, beta=0.5, bias=2.0)
        (normal,) = answers(model_of([node], *alone), image)
        squares = np.pad(image**2, [(0, 0), (1, 1), (0, 0)])
        sums = squares[:, :-2] + squares[:, 1:-1] + squares[:, 2:]
        np.testing.assert_allclose(normal, image / np.sqrt(2 + 0.1 * sums), rtol=1e-6)
        weights = {"w": random_array(random, FLOAT, (6, 2, 3)), "b": random_array(random, FLOAT, (4,))}
        node = helper.make_node("ConvTranspose", ["x", "w", "b"], ["y"], group=2, strides=[2])
        (wide,) = answers(model_of([node], *alone, weights), image)
        wanted = np.zeros((1, 4, 11)) + weights["b"][:, np.newaxis]
        for group, place, step in np.ndindex(2, 5, 3):
            part = slice(3 * group, 3 * group + 3)
            wanted[0, 2 * group : 2 * group + 2, 2 * place + step] += (
                image[0, part, place] @ weights["w"][part, :, step]
            )
        np.testing.assert_allclose(wide, wanted, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("operator", ["Sinh", "Cosh"])
    def test_hyperbolic_functions_up_to_the_largest_number(self, operator, tmp_path):
        values = np.float32(
            [-89.4, -88.8, -20, -10, -9.99, -1, -0.0, 0.0, 1e-6, 3, 10.01, 88.8, 89.4, 100, -100, np.inf]
        )
        path = tmp_path / "hyperbolic.onnx"
        onnx.save(
            model_of([helper.make_node(operator, ["x"], ["y"])], {"x": (FLOAT, [16])}, {"y": (FLOAT, None)}), path
        )
        model = compiler.compile_and_check(path, output_dir=tmp_path / "build", optimize="none")
        with np.errstate(over="ignore"):
            wanted = getattr(np, operator.lower())(values.astype(np.float64)).astype(np.float32)
        (answer,) = iree_answers(model, values[np.newaxis], "y", tmp_path).view(np.float32)
        np.testing.assert_allclose(answer, wanted, rtol=2e-6, atol=1e-7)

    @pytest.mark.parametrize(("operator", "gates", "functions"), [("LSTM", 4, 3), ("GRU", 3, 2), ("RNN", 1, 1)])
    @pytest.mark.parametrize("ways", [1, 2])
    def test_recurrent_layers_have_the_activations_that_they_name(self, operator, gates, functions, ways, tmp_path):
        random = np.random.default_rng(4)
        constants = {
            "w": random_array(random, FLOAT, (ways, gates * 4, 3)),
            "r": random_array(random, FLOAT, (ways, gates * 4, 4)),
            "n": np.array([5, 5], np.int32),
        }

        def made(**options):
            options |= {"hidden_size": 4, "direction": "bidirectional" if ways == 2 else "forward"}
            nodes = [helper.make_node(operator, ["x", "w", "r", "", "n"], ["y"], name="memory", **options)]
            return model_of(nodes, {"x": (FLOAT, [5, 2, 3])}, {"y": (FLOAT, None)}, constants)

        values = random_array(random, FLOAT, (5, 2, 3))
        found = [
            answers(made(activations=[name] * functions * ways), values)[0] for name in ("Tanh", "Relu", "Sigmoid")
        ]
        assert not any(np.allclose(found[one], found[other]) for one, other in ((0, 1), (0, 2), (1, 2)))
        path = tmp_path / "recurrent.onnx"
        onnx.save(made(activations=["Relu", "Sigmoid", "Tanh"][:functions] * ways), path)
        compiler.compile_and_check(path, output_dir=tmp_path / "build", optimize="none")
        for options, refused in (
            ({"activations": ["HardSigmoid"] * functions * ways}, "has the activation HardSigmoid, which IREE"),
            ({"clip": 0.5}, "limits its sums"),
        ):
            with pytest.raises(UnusableError, match=f"'memory'.*{refused}"):
                onnx_limits.check(made(**options))
        constants["n"] = np.array([5, 4], np.int32)
        with pytest.raises(UnusableError, match=r"sequences of several lengths \('n'\)"):
            rewritten(made())

    @pytest.mark.parametrize("operator", ["Div", "Max", "Min", "Mod"])
    def test_unsigned_integers_count_by_their_values(self, operator):
        sizes = {"x": (UINT8, [6]), "k": (UINT8, [6])}
        model = model_of([helper.make_node(operator, ["x", "k"], ["y"])], sizes, {"y": (UINT8, None)})
        arrays = np.uint8([200, 255, 3, 128, 127, 250]), np.uint8([7, 2, 200, 255, 129, 251])
        equal(model, *arrays)
        assert UINT8 not in {made.attribute[0].i for made in rewritten(model).graph.node[:2] if made.op_type == "Cast"}

    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(
        seed=st.integers(0, 2**32 - 1),
        operator=st.sampled_from(["MaxPool", "AveragePool"]),
        lengths=st.lists(st.integers(4, 8), min_size=1, max_size=2),
        kernel=st.integers(1, 3),
        stride=st.integers(1, 3),
        dilation=st.integers(1, 2),
        padding=st.sampled_from(["none", "drawn", "SAME_UPPER", "SAME_LOWER"]),
        ceil=st.booleans(),
        opset=st.sampled_from([17, 22]),
        inside=st.booleans(),
    )
    def test_poolings(self, seed, operator, lengths, kernel, stride, dilation, padding, ceil, opset, inside):
        random, axes = np.random.default_rng(seed), len(lengths)
        options = {"kernel_shape": [kernel] * axes, "strides": [stride] * axes, "ceil_mode": int(ceil)}
        if operator == "MaxPool" or opset == 22:
            options["dilations"] = [dilation] * axes
        if operator == "AveragePool":
            options["count_include_pad"] = int(inside)
        if padding == "drawn":
            options["pads"] = random.integers(0, kernel, 2 * axes).tolist()
        elif padding != "none":
            options |= {"auto_pad": padding, "ceil_mode": 0}
        model = model_of(
            [helper.make_node(operator, ["x"], ["y"], **options)],
            {"x": (FLOAT, [1, 2, *lengths])},
            {"y": (FLOAT, None)},
            opset=opset,
        )
        given_array = random_array(random, FLOAT, (1, 2, *lengths))
        (got,) = answers(model, given_array)
        np.testing.assert_allclose(got, pooled_by_hand(operator, options, given_array), rtol=1e-5, atol=1e-6)
        equal(model, given_array, relative=1e-6)

    def test_the_places_of_a_pooling(self):
        nodes = [helper.make_node("MaxPool", ["x"], ["y", "i"], kernel_shape=[2, 2], pads=[1, 0, 0, 1])]
        for order in (0, 1):
            nodes[0].attribute.append(helper.make_attribute("storage_order", order))
            model = model_of(nodes, {"x": (FLOAT, [1, 2, 3, 4])}, {"y": (FLOAT, None), "i": (INT64, None)})
            nodes[0].attribute.pop()
            values = np.random.default_rng(order).permutation(24).astype(np.float32).reshape(1, 2, 3, 4)
            largest, places = answers(model, values)
            flat = (values.swapaxes(2, 3) if order else values).ravel()
            np.testing.assert_array_equal(flat[places], largest)

    @pytest.mark.parametrize("operator", ["Div", "Mod"])
    def test_integers_that_have_no_quotient(self, operator):
        sizes = {"x": (INT32, [2]), "d": (INT32, [2])}
        model = model_of([helper.make_node(operator, ["x", "d"], ["y"])], sizes, {"y": (INT32, None)})
        for wrong in (0, -1):
            with pytest.raises(ZeroDivisionError):
                answers(model, np.int32([-(2**31), 3]), np.int32([wrong, 2]))
        assert (
            answers(model, np.int32([-7, 7]), np.int32([2, -2]))[0].tolist()
            == {"Div": [-3, -3], "Mod": [1, -1]}[operator]
        )


def pooled_by_hand(operator, options, given_array):
    """One element after the other, as the specification says it."""
    axes, lengths = given_array.ndim - 2, given_array.shape[2:]
    kernel, strides = options["kernel_shape"], options["strides"]
    dilations = options.get("dilations", [1] * axes)
    reach = [(size - 1) * dilation + 1 for size, dilation in zip(kernel, dilations, strict=True)]
    pads = list(options.get("pads", [0] * (2 * axes)))
    counts = []
    for axis, length in enumerate(lengths):
        if "auto_pad" in options:
            count = -(-length // strides[axis])
            total = max((count - 1) * strides[axis] + reach[axis] - length, 0)
            halves = [total // 2, total - total // 2]
            pads[axis], pads[axis + axes] = halves if options["auto_pad"] == "SAME_UPPER" else halves[::-1]
        else:
            room = length + pads[axis] + pads[axis + axes] - reach[axis]
            count = (-(-room // strides[axis]) if options["ceil_mode"] else room // strides[axis]) + 1
            while (count - 1) * strides[axis] >= length + pads[axis]:
                count -= 1
        counts.append(count)
    result = np.zeros((1, 2, *counts))
    for place in np.ndindex(*result.shape):
        seen, padding = [], 0
        for inner in np.ndindex(*kernel):
            at = [
                index * stride + each * dilation - pad
                for index, stride, each, dilation, pad in zip(place[2:], strides, inner, dilations, pads, strict=False)
            ]
            if all(0 <= each < length for each, length in zip(at, lengths, strict=True)):
                seen.append(given_array[(*place[:2], *at)])
            elif all(-b <= each < n + a for each, n, b, a in zip(at, lengths, pads, pads[axes:], strict=False)):
                padding += 1
        number = len(seen) + (padding if options.get("count_include_pad") else 0)
        result[place] = max(seen, default=-np.inf) if operator == "MaxPool" else sum(seen) / max(number, 1)
    return result


class TestCompiled:
    """What IREE makes of it, in one model with many outputs."""

    def test_divisors_that_are_inputs_and_poolings(self, tmp_path):
        nodes = [
            helper.make_node("MaxPool", ["x"], ["a"], kernel_shape=[3, 3], pads=[1, 0, 0, 2], strides=[2, 1]),
            helper.make_node(
                "MaxPool", ["x"], ["b"], kernel_shape=[3, 3], pads=[1, 0, 2, 1], strides=[2, 3], ceil_mode=1
            ),
            helper.make_node(
                "AveragePool", ["x"], ["c"], kernel_shape=[3, 3], pads=[1, 0, 2, 1], strides=[2, 3], ceil_mode=1
            ),
            helper.make_node("Div", ["n", "d"], ["e"]),
            helper.make_node("Mod", ["n", "d"], ["f"]),
            helper.make_node("Mod", ["n", "d"], ["g"], fmod=1),
            helper.make_node("Shape", ["x"], ["h"]),
        ]
        inputs = {"x": (FLOAT, [1, 1, 7, 8]), "n": (INT32, [9]), "d": (INT32, [9])}
        outputs = {name: (FLOAT if name in "abc" else INT64 if name == "h" else INT32, None) for name in "abcefgh"}
        path = tmp_path / "model.onnx"
        onnx.save(model_of(nodes, inputs, outputs), path)
        model = compiler.compile_and_check(path, output_dir=tmp_path / "build", optimize="none")
        assert model.probes.inputs[2].all()
        assert [spec.shape[2:] for spec in model.outputs[:3]] == [(3, 8), (4, 3), (4, 3)]

    def test_integers_of_every_type_from_floats(self, tmp_path):
        kinds = ("UINT8", "INT8", "UINT16", "INT16", "UINT32", "INT32", "INT64", "UINT64")
        nodes = [
            helper.make_node("Cast", ["x"], [kind], name=kind, to=getattr(TensorProto, kind)) for kind in kinds[1:]
        ]
        inside = [
            helper.make_node("Cast", ["x"], ["i"], to=TensorProto.UINT16),
            helper.make_node("Cast", ["i"], ["f"], to=FLOAT),
        ]
        outputs = {kind: (getattr(TensorProto, kind), None) for kind in kinds[1:]} | {"f": (FLOAT, None)}
        path = tmp_path / "casts.onnx"
        onnx.save(model_of([*nodes, *inside], {"x": (FLOAT, [20])}, outputs), path)
        model = compiler.compile_and_check(path, output_dir=tmp_path / "build", optimize="none")
        assert {spec.name: spec.dtype for spec in model.outputs}["UINT64"] == "uint64"
        large = np.float32([[2.0**63, 2.0**64 - 2.0**40, 5.0, *[0.0] * 17]])
        (answer,) = iree_answers(model, large, "UINT64", tmp_path)
        assert answer[:3].tolist() == [2**63, 2**64 - 2**40, 5]

    def test_sequences_backwards_and_both_ways_on_the_chip(self, tmp_path):
        random, nodes, constants = np.random.default_rng(3), [], {}
        for operator, gates, direction, ways in (("LSTM", 4, "bidirectional", 2), ("GRU", 3, "reverse", 1)):
            names = [f"{operator}{each}" for each in ("w", "r", "b")]
            shapes = ((ways, gates * 5, 3), (ways, gates * 5, 5), (ways, 2 * gates * 5))
            constants |= {name: random_array(random, FLOAT, size) for name, size in zip(names, shapes, strict=True)}
            outputs = [f"{operator}_all", f"{operator}_last"]
            options = {"hidden_size": 5, "direction": direction}
            nodes.append(helper.make_node(operator, ["x", *names], outputs, **options))
        outputs = {name: (FLOAT, None) for node in nodes for name in node.output}
        path = tmp_path / "sequences.onnx"
        onnx.save(model_of(nodes, {"x": (FLOAT, [4, 1, 3])}, outputs, constants), path)
        model = compiler.compile_and_check(path, output_dir=tmp_path / "build")
        session = Session()
        try:
            session.boot("spike", count_opcodes=False)
            session.load_model(model)  # which compares what the chip answers
            for sample, expected in zip(model.probes.inputs[0], zip(*model.probes.expected, strict=True), strict=True):
                for got, wanted in zip(session.infer(sample), expected, strict=True):
                    np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-5)
        finally:
            session.shut_down()


def iree_answers(model, inputs, name, tmp_path):
    """What the model's code answers on this machine to other inputs, in the output ``name``."""
    number = [spec.name for spec in model.outputs].index(name)
    flags = host_check.host_flags(model.flags)
    iree.compile_module(model.mlir, flags, tmp_path / "host.vmfb")
    declared = read_vmfb((tmp_path / "host.vmfb").read_bytes(), "host", with_kernels=False)
    return iree.run_samples(tmp_path / "host.vmfb", declared, [inputs], inline=True)[number].view(np.uint64)


def test_a_pointwise_convolution_without_chosen_flags_is_not_slower_than_stock(tmp_path):
    random = np.random.default_rng(8)
    constants = {
        "w": random_array(random, INT8, (41, 13, 1, 1)),
        "ws": random.uniform(0.001, 0.01, 41).astype(np.float32),
        "wz": np.zeros(41, np.int8),
        **{"xs": np.float32(0.02), "xz": np.int8(-5), "ys": np.float32(0.1), "yz": np.int8(3)},
    }
    nodes = [
        helper.make_node("DequantizeLinear", ["x", "xs", "xz"], ["xf"]),
        helper.make_node("DequantizeLinear", ["w", "ws", "wz"], ["wf"], axis=0),
        helper.make_node("Conv", ["xf", "wf"], ["c"]),
        helper.make_node("QuantizeLinear", ["c", "ys", "yz"], ["y"]),
    ]
    path = tmp_path / "pointwise.onnx"
    onnx.save(model_of(nodes, {"x": (INT8, [1, 13, 9, 9])}, {"y": (INT8, None)}, constants), path)
    counts, sizes = {}, {}
    session = Session()
    try:
        session.boot("spike", count_opcodes=False)
        for level in ("none", "standard"):
            model = compiler.compile_and_check(path, output_dir=tmp_path / "build", optimize=level)
            session.load_model(model)
            session.infer(np.zeros((1, 13, 9, 9), np.int8))
            counts[level] = session.need_link().profile().inference_instructions
            sizes[level] = model.vmfb_bytes
    finally:
        session.shut_down()
    assert counts["standard"] <= counts["none"]
    assert sizes["standard"] <= sizes["none"]


def test_what_only_computes_with_integers_is_held_exactly():
    random = np.random.default_rng(4)
    nodes = [
        helper.make_node("MatMulInteger", ["x", "w", "z"], ["a"]),
        helper.make_node("Add", ["a", "n"], ["b"]),
        helper.make_node("Gather", ["x", "places"], ["c"], axis=1),
        helper.make_node("Cast", ["b"], ["d"], to=INT64),
    ]
    constants = {"w": random_array(random, INT8, (4, 3)), "z": np.int8(3), "n": np.int32([1, 2, 3]), "places": [1, 0]}
    outputs = {"a": (INT32, None), "b": (INT32, None), "c": (INT8, None), "d": (INT64, None)}
    model = worker_onnx.OnnxModel(model_of(nodes, {"x": (INT8, [2, 4])}, outputs, constants), WHOLE_FILE)
    arrays = model.run([random_array(random, INT8, (2, 4))])
    for spec in model.describe_outputs(arrays):
        assert Tolerance().limit_of(spec) == Limit("absolute", 0.0)


class TestRefusals:
    """Every sentence names the operation or the value, and what can be done."""

    @staticmethod
    def refusal(model, tmp_path, name="m.onnx"):
        path = tmp_path / name
        path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        with pytest.raises((UnusableError, ModelError)) as error:
            loaded = worker_onnx.load(path, WHOLE_FILE)
            loaded.write_mlir(tmp_path / "model.mlir")
        return str(error.value)

    def test_a_compiler_without_the_flag_for_synchronous_functions(self, tmp_path, monkeypatch):
        monkeypatch.setattr(worker_onnx, "_SYNCHRONOUS", "--iree-torch-no-such-flag")
        model = model_of([helper.make_node("Relu", ["x"], ["y"])], {"x": (FLOAT, [1, 8])}, {"y": (FLOAT, [1, 8])})
        said = self.refusal(model, tmp_path)
        assert said.startswith(f"IREE {iree.compiler_version()} has no flag --iree-torch-no-such-flag: ")

    def test_a_compiler_that_crashes(self, tmp_path, monkeypatch):
        crash = [sys.executable, "-c", "import os; os.kill(os.getpid(), 11)"]
        monkeypatch.setattr(worker_onnx.process, "run", lambda _, run=worker_onnx.process.run: run(crash))
        model = model_of([helper.make_node("Relu", ["x"], ["y"])], {"x": (FLOAT, [1, 8])}, {"y": (FLOAT, [1, 8])})
        said = self.refusal(model, tmp_path)
        assert "operation Relu ('y') is beyond" in said
        assert said.endswith("IREE says: its compiler crashed (signal SIGSEGV)")

    def test_an_output_that_is_listed_twice(self, tmp_path):
        model = model_of([helper.make_node("Relu", ["x"], ["y"])], {"x": (FLOAT, [1, 8])}, {"y": (FLOAT, [1, 8])})
        model.graph.output.append(model.graph.output[0])
        assert "its output 'y' is listed 2 times: list it once" in self.refusal(model, tmp_path)

    def test_operators_of_others(self, tmp_path):
        nodes = [helper.make_node("QLinearAdd", ["x", "x"], ["y"], domain="com.microsoft", name="sum")]
        domains = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        model = model_of(nodes, {"x": (FLOAT, [1])}, {"y": (FLOAT, [1])}, opset_imports=domains)
        text = self.refusal(model, tmp_path)
        assert "com.microsoft::QLinearAdd ('sum') is none of ONNX's own" in text
        assert "QDQ" in text

    @pytest.mark.parametrize(
        ("operator", "reason"),
        [("NonZero", "as many values as its data decide"), ("RandomUniformLike", "draws random numbers")],
    )
    def test_operators_whose_answer_is_not_fixed(self, tmp_path, operator, reason):
        outputs = {"y": (INT64 if operator == "NonZero" else FLOAT, None)}
        model = model_of([helper.make_node(operator, ["x"], ["y"], name="n")], {"x": (FLOAT, [4])}, outputs)
        text = self.refusal(model, tmp_path)
        assert f"{operator} ('n')" in text
        assert reason in text

    @pytest.mark.parametrize("kind", ["STRING", "BFLOAT16", "DOUBLE", "FLOAT8E4M3FN", "INT4"])
    def test_types_that_no_chip_takes(self, tmp_path, kind):
        how = (getattr(TensorProto, kind), [4])
        model = model_of([helper.make_node("Identity", ["x"], ["y"])], {"x": how}, {"y": how}, opset=21)
        assert f"its input 'x' is of the type {kind.lower()}" in self.refusal(model, tmp_path)

    def test_a_shape_that_is_computed(self, tmp_path):
        model = model_of(
            [helper.make_node("Reshape", ["x", "s"], ["y"], name="turn")],
            {"x": (FLOAT, [4]), "s": (INT64, [2])},
            {"y": (FLOAT, None)},
        )
        assert "Reshape ('turn') gives 'y', whose shape depends on what is computed" in self.refusal(model, tmp_path)

    def test_operators_of_the_future(self, tmp_path):
        model = model_of([helper.make_node("Relu", ["x"], ["y"])], {"x": (FLOAT, [1])}, {"y": (FLOAT, [1])}, opset=99)
        assert "it uses version 99 of ONNX's operators" in self.refusal(model, tmp_path)

    def test_a_byte_order_mark(self, tmp_path):
        assert "it begins with b'\\xef\\xbb\\xbf" in self.refusal(b"\xef\xbb\xbfnot a model", tmp_path)

    def test_no_inputs(self, tmp_path):
        model = model_of([helper.make_node("Constant", [], ["y"], value_float=1.0)], {}, {"y": (FLOAT, [])})
        assert "it has no inputs" in self.refusal(model, tmp_path)

    def test_what_only_the_compiler_finds_is_put_down_to_its_node(self, tmp_path):
        regions = {"regions": np.float32([[0, 0, 3, 3]]), "images": np.int64([0])}
        nodes = [
            helper.make_node("Relu", ["x"], ["r"]),
            helper.make_node("RoiAlign", ["r", *regions], ["y"], name="largest", mode="max"),
        ]
        model = model_of(nodes, {"x": (FLOAT, [1, 1, 6, 6])}, {"y": (FLOAT, None)}, regions, 22)
        text = self.refusal(model, tmp_path)
        assert "its operation RoiAlign ('largest') is beyond what IREE can import" in text
        assert "mode=b'max'" in text


def with_weights_beside(path, values, location="weights.bin"):
    """Saves a model that multiplies by ``values``, which lie in a file beside it."""
    model = model_of(
        [helper.make_node("Mul", ["x", "w"], ["y"])],
        {"x": (FLOAT, [4])},
        {"y": (FLOAT, [4])},
        {"w": np.float32(values)},
    )
    (tensor,) = model.graph.initializer
    (path.parent / location).parent.mkdir(parents=True, exist_ok=True)
    (path.parent / location).write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    path.write_bytes(model.SerializeToString())


class TestWeightsBeside:
    """What an importer reads is what its cache entries are of."""

    ONES = np.ones((1, 4), np.float32)

    def outputs(self, path, build):
        (array,) = importers.framework_outputs(path, self.ONES, Cache(build))
        imported = importers.import_model(path, Cache(build))
        return array[0].tolist(), imported

    def test_weights_that_are_replaced_are_the_ones_that_count(self, tmp_path):
        path = tmp_path / "m.onnx"
        with_weights_beside(path, [1, 2, 3, 4])
        first = compiler.compile_and_check(path, output_dir=tmp_path / "build")
        content = path.read_bytes()
        with_weights_beside(path, [5, 6, 7, 8])  # in a file of the same name and size
        assert path.read_bytes() == content
        second = compiler.compile_and_check(path, output_dir=tmp_path / "build")
        assert not second.cached
        assert first.vmfb_sha256 != second.vmfb_sha256
        assert first.source_sha256 != second.source_sha256
        assert self.outputs(path, tmp_path / "build")[0] == [5, 6, 7, 8]

    def test_weights_in_folders_count_too(self, tmp_path):
        path = tmp_path / "m.onnx"
        keys = []
        for values in ([1, 2, 3, 4], [5, 6, 7, 8]):
            with_weights_beside(path, values, "data/deep/weights.bin")
            keys.append(importers._open(path)[0])
        assert keys[0] != keys[1]

    def test_links_are_followed(self, tmp_path):
        (tmp_path / "blobs").mkdir()
        with_weights_beside(tmp_path / "blobs" / "m.onnx", [1, 2, 3, 4])
        (tmp_path / "snapshot").mkdir()
        for name in ("m.onnx", "weights.bin"):
            (tmp_path / "snapshot" / name).symlink_to(tmp_path / "blobs" / name)
        path = tmp_path / "snapshot" / "m.onnx"
        assert self.outputs(path, tmp_path / "build")[0] == [1, 2, 3, 4]
        (tmp_path / "blobs" / "weights.bin").write_bytes(np.float32([4, 3, 2, 1]).tobytes())
        assert self.outputs(path, tmp_path / "build")[0] == [4, 3, 2, 1]

    @pytest.mark.parametrize("location", ["../weights.bin", "/weights.bin", ""])
    def test_a_name_that_leads_out_of_the_folder(self, tmp_path, location):
        (tmp_path / "models").mkdir()
        path = tmp_path / "models" / "m.onnx"
        with_weights_beside(path, [1, 2, 3, 4])
        model = onnx.load(path, load_external_data=False)
        model.graph.initializer[0].external_data[0].value = location
        path.write_bytes(model.SerializeToString())
        with pytest.raises(ModelError, match="'w' in '.*', which is not below the model's folder"):
            importers.import_model(path, Cache(tmp_path / "build"))

    def test_a_missing_file_is_named_with_its_weights(self, tmp_path):
        path = tmp_path / "m.onnx"
        with_weights_beside(path, [1, 2, 3, 4])
        (tmp_path / "weights.bin").unlink()
        with pytest.raises(ModelError, match=r"m\.onnx has its weights 'w' in the file .*weights\.bin, which does not"):
            importers.import_model(path, Cache(tmp_path / "build"))

    def test_a_file_that_is_too_short(self, tmp_path):
        path = tmp_path / "m.onnx"
        with_weights_beside(path, [1, 2, 3, 4])
        model = onnx.load(path, load_external_data=False)
        for key, value in (("offset", "0"), ("length", "16")):
            model.graph.initializer[0].external_data.add(key=key, value=value)
        path.write_bytes(model.SerializeToString())
        (tmp_path / "weights.bin").write_bytes(b"\0" * 12)
        with pytest.raises(ModelError, match=r"weights\.bin, which has 12 bytes"):
            importers.import_model(path, Cache(tmp_path / "build"))

    def test_a_model_that_changes_while_it_is_imported_is_refused(self, tmp_path, monkeypatch):
        path = tmp_path / "m.onnx"
        with_weights_beside(path, [1, 2, 3, 4])
        importer = importers.FORMATS[".onnx"]
        real = type(importer).import_model

        def import_model(self, *arguments, **options):
            answer = real(self, *arguments, **options)
            (tmp_path / "weights.bin").write_bytes(np.float32([9, 9, 9, 9]).tobytes())
            return answer

        monkeypatch.setattr(type(importer), "import_model", import_model)
        with pytest.raises(ModelError, match="was changed while it was imported"):
            importers.import_model(path, Cache(tmp_path / "build"))

    def test_other_code_or_packages_take_no_older_entry(self, tmp_path, monkeypatch):
        path = tmp_path / "m.onnx"
        with_weights_beside(path, [1, 2, 3, 4])
        data, importer = importers._open(path)
        before = importers._key(data, importer)
        real = importers.importlib.metadata.version
        monkeypatch.setattr(
            importers.importlib.metadata, "version", lambda name: real(name) + ("+" if name == "numpy" else "")
        )
        assert importers._key(data, importer) != before
        monkeypatch.undo()
        monkeypatch.setattr(importers, "_code", lambda: "other")
        assert importers._key(data, importer) != before


def test_a_signature_is_refused_where_there_is_none(tmp_path):
    with pytest.raises(UnusableError, match="no signature 'foo': an ONNX model has one function only"):
        worker_onnx.load(tmp_path / "m.onnx", Selection.of(None, "foo"))
