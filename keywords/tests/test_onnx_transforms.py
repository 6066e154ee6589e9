# SPDX-License-Identifier: Apache-2.0
"""ONNX's transposed convolutions, resizings, sums of products and transforms, held against what NumPy makes of them."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from springbok.compiler import compiler
from springbok.compiler.importers import onnx_control_flow, onnx_limits, worker_onnx
from springbok.compiler.importers.selection import WHOLE_FILE
from springbok.compiler.importers.worker import UnusableError
from springbok.compiler.judgement import judge

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper  # noqa: E402
from onnx_models import FLOAT, INT8, answers, equal, model_of, operators, random_array, rewritten  # noqa: E402

RANDOM = np.random.default_rng(17)


def written(model):
    """The model as the importer gives it to IREE, with what ONNX defines by other operations written out."""
    return rewritten(onnx_control_flow.written_out(worker_onnx.prepared(model)))


def transposed(image, filters, bias, groups, strides, dilations, added, pads):
    """A transposed convolution, element by element."""
    axes, inner, outer = image.ndim - 2, filters.shape[0] // groups, filters.shape[1]
    lengths = [
        (image.shape[2 + axis] - 1) * strides[axis] + (filters.shape[2 + axis] - 1) * dilations[axis] + 1 + added[axis]
        for axis in range(axes)
    ]
    made = np.zeros((1, groups * outer, *lengths))
    for channel in range(filters.shape[0]):
        group = channel // inner
        for place in np.ndindex(*image.shape[2:]):
            for tap in np.ndindex(*filters.shape[2:]):
                where = tuple(np.multiply(place, strides) + np.multiply(tap, dilations))
                own = filters[(channel, slice(None), *tap)]
                made[(0, slice(group * outer, (group + 1) * outer), *where)] += image[(0, channel, *place)] * own
    kept = (slice(before, length - after) for before, after, length in zip(*pads, lengths, strict=True))
    return made[(..., *kept)] + bias.reshape(1, -1, *[1] * axes)


@st.composite
def transposed_convolutions(draw):
    axes = draw(st.sampled_from([1, 2, 2, 3]))
    groups, inner, outer = draw(st.sampled_from([(1, 2, 3), (2, 2, 1), (3, 1, 1), (2, 1, 2)]))

    def numbers(low, high):
        return draw(st.lists(st.integers(low, high), min_size=axes, max_size=axes))

    kernel, strides, dilations, image = numbers(1, 3), numbers(1, 3), numbers(1, 2), numbers(1, 4)
    added = [min(each, max(pair) - 1) for each, *pair in zip(numbers(0, 2), strides, dilations, strict=True)]
    whole = [(image[n] - 1) * strides[n] + (kernel[n] - 1) * dilations[n] + 1 + added[n] for n in range(axes)]
    attributes = {"strides": strides, "dilations": dilations, "output_padding": added}
    pads = [[0] * axes, [0] * axes]
    how = draw(st.sampled_from(["pads", "SAME_UPPER", "SAME_LOWER", "VALID", "shape", "shape SAME_UPPER"]))
    if how == "pads":
        pads = [numbers(0, 2), numbers(0, 2)]
        attributes["pads"] = sum(pads, [])
    elif how == "VALID":
        attributes["auto_pad"] = how
    else:
        wanted = [length * step for length, step in zip(image, strides, strict=True)]
        if how.startswith("shape"):
            wanted = [draw(st.integers(1, length)) for length in whole]
            attributes["output_shape"] = wanted
        attributes |= {"auto_pad": how.rpartition(" ")[2]} if "SAME" in how else {}
        totals = [most - length for most, length in zip(whole, wanted, strict=True)]
        assume(min(totals) >= 0)
        pads = [[total // 2 for total in totals], [total - total // 2 for total in totals]]
        pads = pads if "SAME_UPPER" in how else pads[::-1]
    assume(all(length > sum(cut) for length, *cut in zip(whole, *pads, strict=True)))
    return (groups, inner, outer), image, kernel, attributes, pads


class TestTransposedConvolutions:
    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(transposed_convolutions())
    def test_every_attribute(self, drawn):
        (groups, inner, outer), image, kernel, attributes, pads = drawn
        filters = RANDOM.standard_normal((groups * inner, outer, *kernel)).astype(np.float32)
        bias = RANDOM.standard_normal(groups * outer).astype(np.float32)
        shape = (1, groups * inner, *image)
        constants = {"w": filters, "b": bias}
        node = helper.make_node("ConvTranspose", ["x", "w", "b"], ["y"], group=groups, **attributes)
        model = model_of([node], {"x": (FLOAT, shape)}, {"y": (FLOAT, None)}, constants)
        values = random_array(RANDOM, FLOAT, shape)
        numbers = (attributes[name] for name in ("strides", "dilations", "output_padding"))
        wanted = transposed(values.astype(np.float64), filters, bias, groups, *numbers, pads)
        for made in (model, rewritten(model)):
            np.testing.assert_allclose(answers(made, values)[0], wanted, rtol=1e-4, atol=1e-4)
        for left in rewritten(model).graph.node:
            if left.op_type == "ConvTranspose":
                told = {each.name: list(each.ints) for each in left.attribute if each.ints}
                before, after = np.reshape(told.get("pads", [0] * (2 * len(image))), (2, -1))
                assert (before == after).all()
                assert groups == 1 or (len(image) < 3 and (inner, outer) != (1, 1))

    def test_filters_of_a_channel_that_are_dequantised(self):
        nodes = [
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"], axis=0),
            helper.make_node("ConvTranspose", ["x", "w"], ["y"], group=3, strides=[2, 2]),
        ]
        constants = {"q": random_array(RANDOM, INT8, (3, 1, 2, 3)), "s": np.float32([0.1, 0.2, 0.3])}
        constants["z"] = np.int8([0, 1, -2])
        model = model_of(nodes, {"x": (FLOAT, [1, 3, 4, 5])}, {"y": (FLOAT, None)}, constants)
        equal(model, random_array(RANDOM, FLOAT, (1, 3, 4, 5)), relative=1e-6)
        assert "ConvTranspose" not in operators(rewritten(model))

    @pytest.mark.parametrize("options", [{"auto_pad": "SAME_UPPER"}, {"output_shape": [13]}])
    def test_more_than_the_filters_reach(self, options):
        model = model_of(
            [helper.make_node("ConvTranspose", ["x", "w"], ["y"], name="up", strides=[3], **options)],
            {"x": (FLOAT, [1, 1, 4])},
            {"y": (FLOAT, None)},
            {"w": np.ones((1, 1, 2), np.float32)},
        )
        with pytest.raises(UnusableError, match=r"ConvTranspose \('up'\).* and reaches \[11\]: add output_padding"):
            rewritten(model)


class TestResizing:
    SCALES = (0.7, 1.4, 2.3, 2.6, 3, 0.5)

    @pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
    @pytest.mark.parametrize("scale", SCALES)
    def test_lengths_of_scales_that_no_binary_number_is(self, mode, scale):
        """As onnxruntime and PyTorch have them: 5 times 2.6 is 13."""
        for length in (5, 10, 7):
            values = random_array(RANDOM, FLOAT, (1, 1, 2, length))
            node = helper.make_node("Resize", ["x", "", "s"], ["y"], mode=mode)
            scales = {"s": np.float32([1, 1, 1, scale])}
            model = model_of([node], {"x": (FLOAT, values.shape)}, {"y": (FLOAT, None)}, scales, 19)
            for made in (worker_onnx.prepared(model), rewritten(model)):
                assert answers(made, values)[0].shape[-1] == round(10 * scale) * length // 10
            equal(worker_onnx.prepared(model), values, relative=1e-5)

    @pytest.mark.parametrize("rounding", ["floor", "ceil", "round_prefer_floor", "round_prefer_ceil"])
    @pytest.mark.parametrize("places", ["half_pixel", "asymmetric", "align_corners", "half_pixel_symmetric"])
    def test_nearest_elements_by_no_whole_scale(self, places, rounding):
        options = {"mode": "nearest", "coordinate_transformation_mode": places, "nearest_mode": rounding}
        node = helper.make_node("Resize", ["x", "", "s"], ["y"], **options)
        model = model_of(
            [node], {"x": (FLOAT, [1, 1, 7, 5])}, {"y": (FLOAT, None)}, {"s": np.float32([1, 1, 2.6, 1.3])}, 19
        )
        equal(model, random_array(RANDOM, FLOAT, (1, 1, 7, 5)))
        assert operators(rewritten(model)) == {"Gather"}

    def test_a_place_that_is_an_element_is_that_one(self):
        """In double precision 13 divided by the nearest number to 2.6 is a bit more than 5."""
        options = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "ceil"}
        node = helper.make_node("Resize", ["x", "", "s"], ["y"], **options)
        values = np.arange(7, dtype=np.float32)
        model = model_of([node], {"x": (FLOAT, [7])}, {"y": (FLOAT, None)}, {"s": np.float32([2.6])}, 19)
        for made in (model, rewritten(model)):
            np.testing.assert_array_equal(answers(made, values)[0][[0, 1, 12, 13, 14]], [0, 1, 5, 5, 6])

    def test_whole_scales_are_left_to_iree(self):
        node = helper.make_node("Resize", ["x", "", "s"], ["y"], mode="nearest")
        model = model_of([node], {"x": (FLOAT, [1, 1, 4, 5])}, {"y": (FLOAT, None)}, {"s": np.float32([1, 1, 2, 3])})
        assert operators(rewritten(model)) == {"Resize"}


class TestEinsum:
    @pytest.mark.parametrize(
        ("equation", "shapes"),
        [
            ("ij,jk", [(2, 3), (3, 4)]),
            ("ba,bc", [(3, 2), (3, 4)]),
            ("ba", [(3, 4)]),
            ("ii", [(3, 3)]),
            ("...ij,...jk", [(2, 3, 4), (2, 4, 5)]),
            ("...ij,jk", [(2, 3, 4), (4, 5)]),
            ("i...,j...->ij...", [(2, 1, 3), (4, 5, 3)]),
            (" i j , i j , j -> i ", [(3, 4), (3, 4), (4,)]),
            ("ab,bc,cd,de", [(2, 3), (3, 4), (4, 5), (5, 2)]),
            ("aB,Bc", [(2, 3), (3, 2)]),
        ],
    )
    def test_equations_of_every_form(self, equation, shapes):
        names = [f"x{number}" for number in range(len(shapes))]
        node = helper.make_node("Einsum", names, ["y"], equation=equation)
        inputs = {name: (FLOAT, shape) for name, shape in zip(names, shapes, strict=True)}
        model = model_of([node], inputs, {"y": (FLOAT, None)})
        arrays = [random_array(RANDOM, FLOAT, shape) for shape in shapes]
        (got,) = answers(rewritten(model), *arrays)
        np.testing.assert_allclose(got, np.einsum(equation.replace(" ", ""), *arrays), rtol=1e-5, atol=1e-4)
        for made in rewritten(model).graph.node:
            if made.op_type != "Einsum":
                continue
            (told,) = (each.s.decode() for each in made.attribute)
            assert "->" in told
            assert "." not in told
            assert " " not in told
            assert len(made.input) < 3


class TestFourier:
    @pytest.mark.parametrize(("parts", "inverse", "onesided"), [(1, 0, 0), (1, 0, 1), (2, 0, 0), (2, 1, 0)])
    @pytest.mark.parametrize("length", [None, 6, 11])
    @pytest.mark.parametrize("opset", [17, 20])
    def test_a_transform_is_a_product(self, parts, inverse, onesided, length, opset):
        values = random_array(RANDOM, FLOAT, (2, 8, 3, parts))
        options = {"inverse": inverse, "onesided": onesided} | ({"axis": 1} if opset == 17 else {})
        constants = {"n": np.int64(length)} if length else {}
        constants |= {"a": np.int64(1)} if opset > 17 else {}
        names = ["x", "n" if length else "", *(["a"] if opset > 17 else [])]
        node = helper.make_node("DFT", names, ["y"], **options)
        model = model_of([node], {"x": (FLOAT, values.shape)}, {"y": (FLOAT, None)}, constants, opset)
        wide = values.astype(np.float64)
        numbers = wide[..., 0] + (1j * wide[..., 1] if parts > 1 else 0)
        function = np.fft.ifft if inverse else np.fft.fft
        wanted = function(numbers, length or 8, 1)[:, : (length or 8) // 2 + 1 if onesided else None]
        (got,) = answers(rewritten(model), values)
        np.testing.assert_allclose(got[..., 0] + 1j * got[..., 1], wanted, atol=1e-4)
        assert "DFT" not in operators(rewritten(model))

    def test_an_axis_that_is_computed(self):
        node = helper.make_node("DFT", ["x", "", "a"], ["y"], name="waves")
        inputs = {"x": (FLOAT, [2, 8, 1]), "a": (TensorProto.INT64, [])}
        model = model_of([node], inputs, {"y": (FLOAT, [2, 8, 2])}, opset=20)
        with pytest.raises(UnusableError, match=r"DFT \('waves'\) takes its axis or its length from what is computed"):
            rewritten(model)


class TestFrames:
    @settings(max_examples=20)
    @given(
        parts=st.sampled_from([1, 2]),
        frame=st.integers(1, 6),
        more=st.integers(0, 9),
        step=st.integers(1, 4),
        half=st.sampled_from([None, 0, 1]),
        with_window=st.booleans(),
    )
    def test_a_transform_of_frames_is_a_convolution(self, parts, frame, more, step, half, with_window):
        assume(parts == 1 or half == 0)  # of complex numbers there is no half
        window = RANDOM.uniform(0.1, 1, frame).astype(np.float32)
        constants = {"step": np.array(step, np.int64), "window": window, "frame": np.array(frame, np.int64)}
        names = ["x", "step", "window"] if with_window else ["x", "step", "", "frame"]
        node = helper.make_node("STFT", names, ["y"], **({} if half is None else {"onesided": half}))
        constants = {name: array for name, array in constants.items() if name in names}
        model = model_of([node], {"x": (FLOAT, [2, frame + more, parts])}, {"y": (FLOAT, None)}, constants)
        signal = random_array(RANDOM, FLOAT, (2, frame + more, parts))
        (told,) = answers(written(model), signal)
        assert "STFT" not in operators(written(model))
        numbers = signal[..., 0] + (1j * signal[..., 1] if parts == 2 else 0)
        frames = np.stack([numbers[:, at : at + frame] for at in range(0, more + 1, step)], 1)
        wanted = np.fft.fft(frames * (window if with_window else 1))[..., : frame if half == 0 else frame // 2 + 1]
        np.testing.assert_allclose(told, np.stack([wanted.real, wanted.imag], -1), atol=1e-4)

    def test_frames_of_a_computed_step_are_refused(self, tmp_path):
        node = helper.make_node("STFT", ["x", "step", "", "frame"], ["y"], onesided=1)
        given = {"x": (FLOAT, [1, 9, 1]), "step": (TensorProto.INT64, [])}
        model = model_of([node], given, {"y": (FLOAT, None)}, {"frame": np.array(4, np.int64)})
        with pytest.raises(
            UnusableError, match=r"STFT .* takes its step, its window or its length from what is computed"
        ):
            rewritten(worker_onnx.prepared(model))


@pytest.mark.parametrize("wanted", [None, (1, 2, 7, 6)])
def test_a_pooling_taken_back_puts_values_where_they_were(tmp_path, wanted):
    """As ONNX's reference has it: places are counted through the whole tensor."""
    places = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [helper.make_node("MaxPool", ["x"], ["v", "at"], **places)]
    nodes.append(helper.make_node("MaxUnpool", ["v", "at", *(["shape"] if wanted else [])], ["y"], **places))
    shape = wanted or (1, 2, 6, 6)
    constants = {"shape": np.array(shape, np.int64)} if wanted else {}
    model = model_of(nodes, {"x": (FLOAT, list(shape))}, {"y": (FLOAT, list(shape))}, constants)
    assert "MaxUnpool" not in operators(written(model))
    path = tmp_path / "unpooled.onnx"
    onnx.save(model, path)
    assert compiler.compile_and_check(path, output_dir=tmp_path / "build").host_check.error == 0


class TestDefinedByOthers:
    def test_a_normalisation_by_the_root_of_squares(self):
        values, scale = random_array(RANDOM, FLOAT, (2, 3, 8)), random_array(RANDOM, FLOAT, (3, 8))
        node = helper.make_node("RMSNormalization", ["x", "s"], ["y"], axis=1, epsilon=1e-3)
        model = model_of([node], {"x": (FLOAT, values.shape)}, {"y": (FLOAT, None)}, {"s": scale}, 23)
        wanted = values / np.sqrt((values**2).mean((1, 2), keepdims=True) + 1e-3) * scale
        np.testing.assert_allclose(answers(written(model), values)[0], wanted, rtol=1e-5)
        assert "RMSNormalization" not in operators(written(model))

    @pytest.mark.parametrize("opset", [23, 24])
    @pytest.mark.parametrize("causal", [0, 1])
    @pytest.mark.parametrize("heads", [2, 4])
    def test_attention(self, causal, heads, opset):
        """Of as many heads of keys and values, or of one for two."""
        query = random_array(RANDOM, FLOAT, (1, heads, 4, 8))
        key, value = (random_array(RANDOM, FLOAT, (1, 2, 4, 8)) for _ in "kv")
        node = helper.make_node("Attention", ["q", "k", "v"], ["y"], is_causal=causal)
        inputs = {name: (FLOAT, array.shape) for name, array in zip("qkv", (query, key, value), strict=True)}
        model = model_of([node], inputs, {"y": (FLOAT, None)}, opset=opset)
        keys, values = (np.repeat(array.astype(np.float64), heads // 2, 1) for array in (key, value))
        scores = query @ keys.swapaxes(-1, -2) / np.sqrt(8)
        scores = np.where(np.tril(np.ones((4, 4))) > 0, scores, -np.inf) if causal else scores
        shares = np.exp(scores - scores.max(-1, keepdims=True))
        wanted = shares / shares.sum(-1, keepdims=True) @ values
        np.testing.assert_allclose(answers(written(model), query, key, value)[0], wanted, rtol=1e-4, atol=1e-5)
        assert "Attention" not in operators(written(model))


class TestChosenByConstants:
    @pytest.mark.parametrize("axis", [None, 0, -1])
    def test_elements_that_a_constant_chooses(self, axis):
        options = {} if axis is None else {"axis": axis}
        node = helper.make_node("Compress", ["x", "c"], ["y"], **options)
        constants = {"c": np.array([True, False, True])}
        model = model_of([node], {"x": (FLOAT, [3, 4])}, {"y": (FLOAT, None)}, constants)
        values = random_array(RANDOM, FLOAT, (3, 4))
        wanted = np.compress([True, False, True], values, axis)
        for made in (worker_onnx.prepared(model), rewritten(model)):
            np.testing.assert_array_equal(answers(made, values)[0], wanted)
        onnx_limits.check(model)

    def test_elements_that_are_chosen_as_it_runs(self):
        node = helper.make_node("Compress", ["x", "c"], ["y"], name="some")
        inputs = {"x": (FLOAT, [3]), "c": (TensorProto.BOOL, [3])}
        with pytest.raises(UnusableError, match=r"Compress \('some'\) gives as many .* its condition a constant"):
            onnx_limits.check(model_of([node], inputs, {"y": (FLOAT, None)}))


@pytest.mark.parametrize("power", [1, 2, 3])
def test_norms_of_whole_images(power):
    node = helper.make_node("GlobalLpPool", ["x"], ["y"], p=power)
    model = model_of([node], {"x": (FLOAT, [1, 2, 3, 4])}, {"y": (FLOAT, [1, 2, 1, 1])})
    for size in (1, 1e15):
        values = random_array(RANDOM, FLOAT, (1, 2, 3, 4)) * np.float32(size)
        wide = np.abs(values.astype(np.float64)) ** power
        wanted = wide.sum((2, 3), keepdims=True) ** (1 / power)
        for made in (model, rewritten(model)):
            np.testing.assert_allclose(answers(made, values)[0], wanted, rtol=1e-5)
    assert "GlobalLpPool" not in operators(rewritten(model))


def test_what_has_no_answers_is_named(tmp_path):
    path = tmp_path / "m.onnx"
    node = helper.make_node("MaxRoiPool", ["x", "r"], ["y"], name="regions", pooled_shape=[1, 1])
    inputs = {"x": (FLOAT, [1, 1, 4, 4]), "r": (FLOAT, [1, 5])}
    onnx.save(model_of([node], inputs, {"y": (FLOAT, [1, 1, 1, 1])}), path)
    with pytest.raises(UnusableError, match=r"operation MaxRoiPool \('regions'\) is none that .*: write it with other"):
        worker_onnx.load(path, WHOLE_FILE)


@pytest.mark.parametrize("function", ["Sigmoid", "Tanh"])
@pytest.mark.parametrize("is_float", [False, True])
def test_a_step_in_front_of_a_function_whose_result_is_rounded(function, is_float):
    """The step is told, so that sums at a half of the coarser grid are no difference of the finer one."""
    make = helper.make_node
    nodes = [
        make("QuantizeLinear", ["x", "s"], ["a"]),
        make("DequantizeLinear", ["a", "s"], ["b"]),
        make("DequantizeLinear", ["w", "s"], ["v"]),
        make("MatMul", ["b", "v"], ["c"]),
        make("QuantizeLinear", ["c", "coarse", "zero"], ["d"]),
        make("DequantizeLinear", ["d", "coarse", "zero"], ["e"]),
        make(function, ["e"], ["f"]),
        make("QuantizeLinear", ["f", "fine", "zero"], ["g" if is_float else "y"]),
        *([make("DequantizeLinear", ["g", "fine", "zero"], ["y"])] if is_float else []),
    ]
    constants = {"s": np.float32(0.02), "coarse": np.float32(0.1), "fine": np.float32(1 / 128), "zero": np.int8(0)}
    constants["w"] = RANDOM.integers(0, 255, (8, 9)).astype(np.uint8)
    model = model_of(nodes, {"x": (FLOAT, [4, 8])}, {"y": (FLOAT if is_float else INT8, [4, 9])}, constants, 21)
    (spec,) = worker_onnx.OnnxModel(model, WHOLE_FILE).describe_outputs(
        [np.zeros((4, 9), np.float32 if is_float else np.int8)]
    )
    assert (spec.step if is_float else spec.scale) == pytest.approx(1 / 128)
    assert (spec.behind, spec.step_before) == (function.lower(), pytest.approx(0.1))
    for number in range(40):
        values = random_array(np.random.default_rng(number), FLOAT, (4, 8))
        pair = [answers(made, values)[0][np.newaxis] for made in (rewritten(model), model)]
        assert judge([spec], pair[:1], pair[1:]).passed


def everything():
    """A model of one operation of each kind, one behind the other."""
    numbers = np.random.default_rng(1)
    nodes = [
        helper.make_node("ConvTranspose", ["x", "w"], ["up"], group=2, strides=[2, 2], auto_pad="SAME_UPPER"),
        helper.make_node("ConvTranspose", ["up", "v"], ["wide"], strides=[2, 1], auto_pad="SAME_LOWER"),
        helper.make_node("Resize", ["wide", "", "s"], ["more"], nearest_mode="ceil"),
        helper.make_node("Einsum", ["more", "m"], ["sums"], equation="...ij,jk"),
        helper.make_node("Compress", ["sums", "c"], ["some"], axis=2),
        helper.make_node("Reshape", ["some", "shape"], ["rows"]),
        helper.make_node("DFT", ["rows", "", "a"], ["waves"]),
        helper.make_node("RMSNormalization", ["waves", "two"], ["norm"]),
        helper.make_node("Attention", ["norm", "norm", "norm"], ["y"]),
    ]
    constants = {"w": numbers.standard_normal((2, 1, 3, 3)).astype(np.float32), "a": np.int64(1)}
    constants |= {"v": numbers.standard_normal((2, 1, 3, 2)).astype(np.float32), "s": np.float32([1, 1, 1, 2.6])}
    constants |= {"m": numbers.standard_normal((26, 4)).astype(np.float32), "two": np.float32([1, 2])}
    constants |= {"c": np.arange(12) % 3 > 0, "shape": np.int64([1, 8, 4, 1])}
    return model_of(nodes, {"x": (FLOAT, [1, 2, 3, 5])}, {"y": (FLOAT, None)}, constants, 23)


def test_everything_on_the_chip(session, tmp_path):
    path, model = tmp_path / "everything.onnx", everything()
    onnx.save(model, path)
    session.load_model(compiler.compile_and_check(path, output_dir=tmp_path / "build", optimize="none"))
    values = random_array(np.random.default_rng(2), FLOAT, (1, 2, 3, 5))
    (got,) = session.infer(values, raw=True)
    np.testing.assert_allclose(got, answers(worker_onnx.prepared(model), values)[0], rtol=1e-4, atol=1e-4)
