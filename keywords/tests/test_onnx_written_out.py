# SPDX-License-Identifier: Apache-2.0
"""ONNX operations that IREE lacks, written out as others: they give what ONNX's reference implementation gives.

Most of it needs no compiler. `TestCompiled` takes one model of each kind through the compiler to the chip.
"""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springbok.compiler import compiler, importers
from springbok.compiler.importers import onnx_control_flow, worker_onnx
from springbok.compiler.importers.selection import WHOLE_FILE
from springbok.compiler.importers.worker import UnusableError
from springbok.support.cache import Cache
from springbok.support.errors import ModelError

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402
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

BOOL, INT16, UINT16, UINT32 = (getattr(TensorProto, name) for name in ("BOOL", "INT16", "UINT16", "UINT32"))
RANDOM = np.random.default_rng(5)


def body_of(nodes, inputs, outputs, constants=()):
    """The graph of a loop."""
    return model_of(nodes, inputs, outputs, constants).graph


def loop_of(count, condition, condition_node, opset=17):
    """A model: a state is halved and added to, and each iteration gives it."""
    body = body_of(
        [
            helper.make_node("Mul", ["v", "half"], ["w"]),
            helper.make_node("Add", ["w", "x"], ["vo"]),
            helper.make_node("Identity", ["vo"], ["each"]),
            *condition_node,
        ],
        {"i": (INT64, []), "c": (BOOL, []), "v": (FLOAT, [3])},
        {"co": (BOOL, []), "vo": (FLOAT, [3]), "each": (FLOAT, [3])},
        {"half": np.float32(0.5)},
    )
    constants = {"start": np.zeros(3, np.float32)}
    constants |= {"n": np.int64(count)} if count is not None else {}
    constants |= {"t": np.bool_(condition)} if condition is not None else {}
    names = ["n" if count is not None else "", "t" if condition is not None else "", "start"]
    node = helper.make_node("Loop", names, ["last", "all"], name="again", body=body)
    length = None if count is None else [count, 3]
    return model_of([node], {"x": (FLOAT, [3])}, {"last": (FLOAT, [3]), "all": (FLOAT, length)}, constants, opset)


SAME = [helper.make_node("Identity", ["c"], ["co"])]
UP_TO_TWO = [
    helper.make_node("Constant", [], ["two"], value_int=2),
    helper.make_node("Less", ["i", "two"], ["co"]),
]


def written(model):
    """The model as the importer gives it to IREE, loops and branches included."""
    prepared = worker_onnx.prepared(model)
    return rewritten(onnx_control_flow.written_out(prepared))


def equal_written(model, *arrays):
    for got, wanted in zip(answers(written(model), *arrays), answers(model, *arrays), strict=True):
        assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
        np.testing.assert_array_equal(got, wanted)


class TestControlFlow:
    X = np.float32([1, 2, 3])

    @pytest.mark.parametrize(("count", "condition"), [(4, None), (4, True), (1, True)])
    def test_a_loop_of_a_known_count(self, count, condition):
        model = loop_of(count, condition, SAME)
        equal_written(model, self.X)
        assert "Loop" not in operators(written(model))
        state, seen = np.zeros(3, np.float32), []
        for _ in range(count):
            state = state * np.float32(0.5) + self.X
            seen.append(state)
        last, every = answers(model, self.X)
        np.testing.assert_array_equal(last, state)
        np.testing.assert_array_equal(every, seen)

    def test_a_loop_that_ends_by_its_counter(self):
        model = loop_of(None, True, UP_TO_TWO)
        assert answers(model, self.X)[1].shape == (3, 3)
        equal_written(model, self.X)

    def test_a_loop_that_its_data_end_is_left_and_refused_by_name(self, tmp_path):
        ends = [
            helper.make_node("ReduceSum", ["vo"], ["total"], keepdims=0),
            helper.make_node("Constant", [], ["ten"], value_float=10.0),
            helper.make_node("Less", ["total", "ten"], ["co"]),
        ]
        model = loop_of(None, True, ends)
        prepared = worker_onnx.prepared(model)
        assert "Loop" in operators(onnx_control_flow.written_out(prepared))
        path = tmp_path / "loop.onnx"
        onnx.save(model, path)
        with pytest.raises(UnusableError, match=r"its operation Loop \('again'\) decides at run time .* a constant"):
            worker_onnx.load(path, WHOLE_FILE)._rewritten()

    def test_a_loop_that_would_become_too_long_is_left(self):
        prepared = worker_onnx.prepared(loop_of(5000, True, SAME))
        assert "Loop" in operators(onnx_control_flow.written_out(prepared))

    @pytest.mark.parametrize(
        ("axis", "backwards", "out_axis", "out_backwards"), list(itertools.product((0, 1), repeat=4))
    )
    def test_scans_of_every_direction(self, axis, backwards, out_axis, out_backwards):
        body = body_of(
            [helper.make_node("Add", ["s", "p"], ["so"]), helper.make_node("Mul", ["so", "p"], ["each"])],
            {"s": (FLOAT, [3]), "p": (FLOAT, [3])},
            {"so": (FLOAT, [3]), "each": (FLOAT, [3])},
        )
        ways = {"scan_input_axes": [axis], "scan_input_directions": [backwards]}
        ways |= {"scan_output_axes": [out_axis], "scan_output_directions": [out_backwards]}
        node = helper.make_node("Scan", ["x0", "x"], ["last", "y"], body=body, num_scan_inputs=1, **ways)
        shape = [4, 3] if axis == 0 else [3, 4]
        model = model_of([node], {"x0": (FLOAT, [3]), "x": (FLOAT, shape)}, {"last": (FLOAT, [3]), "y": (FLOAT, None)})
        arrays = random_array(RANDOM, FLOAT, (3,)), random_array(RANDOM, FLOAT, shape)
        equal_written(model, *arrays)
        assert "Scan" not in operators(written(model))
        steps = np.moveaxis(arrays[1], axis, 0)[:: -1 if backwards else 1]
        np.testing.assert_array_equal(answers(model, *arrays)[0], sum(steps, start=arrays[0]))

    def test_a_scan_along_a_constant(self):
        body = body_of(
            [helper.make_node("Add", ["s", "p"], ["so"]), helper.make_node("Identity", ["q"], ["each"])],
            {"s": (FLOAT, [3]), "p": (FLOAT, [3]), "q": (FLOAT, [2])},
            {"so": (FLOAT, [3]), "each": (FLOAT, [2])},
        )
        ways = {"num_scan_inputs": 2, "scan_input_axes": [0, 1], "scan_input_directions": [0, 1]}
        node = helper.make_node("Scan", ["x0", "x", "c"], ["last", "y"], body=body, **ways)
        given = {"x0": (FLOAT, [3]), "x": (FLOAT, [4, 3])}
        constant = random_array(RANDOM, FLOAT, (2, 4))
        model = model_of([node], given, {"last": (FLOAT, [3]), "y": (FLOAT, None)}, {"c": constant})
        arrays = random_array(RANDOM, FLOAT, (3,)), random_array(RANDOM, FLOAT, (4, 3))
        equal_written(model, *arrays)
        assert "Scan" not in operators(written(model))
        np.testing.assert_array_equal(answers(written(model), *arrays)[1], constant.T[::-1])

    @pytest.mark.parametrize("way", ["scan_input_directions", "scan_output_directions", "scan_output_axes"])
    def test_a_long_scan_that_goes_another_way_than_its_compiler_knows_is_refused(self, way):
        body = body_of(
            [helper.make_node("Add", ["s", "p"], ["so"]), helper.make_node("Identity", ["so"], ["each"])],
            {"s": (FLOAT, [2]), "p": (FLOAT, [2])},
            {"so": (FLOAT, [2]), "each": (FLOAT, [2])},
        )
        node = helper.make_node("Scan", ["x0", "x"], ["last", "y"], body=body, num_scan_inputs=1, **{way: [1]})
        given = {"x0": (FLOAT, [2]), "x": (FLOAT, [3000, 2])}
        model = model_of([node], given, {"last": (FLOAT, [2]), "y": (FLOAT, None)})
        with pytest.raises(
            UnusableError, match=rf"Scan .* too long to be written out, and goes another way .* \({way}\)"
        ):
            worker_onnx.OnnxModel(model, WHOLE_FILE)._rewritten()

    @pytest.mark.parametrize("condition", [True, False])
    def test_a_branch_that_is_decided_within_a_loop(self, condition):
        branches = {
            f"{name}_branch": body_of([helper.make_node(operator, ["v"], ["r"])], {}, {"r": (FLOAT, [3])})
            for name, operator in (("then", "Neg"), ("else", "Abs"))
        }
        body = body_of(
            [helper.make_node("If", ["flag"], ["vo"], **branches), helper.make_node("Identity", ["c"], ["co"])],
            {"i": (INT64, []), "c": (BOOL, []), "v": (FLOAT, [3])},
            {"co": (BOOL, []), "vo": (FLOAT, [3])},
        )
        node = helper.make_node("Loop", ["n", "", "x"], ["y"], body=body)
        constants = {"n": np.int64(3), "flag": np.bool_(condition)}
        model = model_of([node], {"x": (FLOAT, [3])}, {"y": (FLOAT, [3])}, constants)
        equal_written(model, np.float32([-1, 2, -3]))
        assert operators(written(model)).isdisjoint(("If", "Loop"))


class TestMoving:
    @settings(max_examples=30, deadline=None, derandomize=True)
    @given(
        pads=st.lists(st.integers(-3, 3), min_size=4, max_size=4),
        mode=st.sampled_from(["constant", "reflect", "edge", "wrap"]),
        value=st.booleans(),
    )
    def test_negative_pads_cut_off(self, pads, mode, value):
        constants = {"p": np.array(pads, np.int64)} | ({"v": np.float32(7)} if value and mode == "constant" else {})
        names = ["x", "p", *(["v"] if "v" in constants else [])]
        model = model_of(
            [helper.make_node("Pad", names, ["y"], mode=mode)],
            {"x": (FLOAT, [7, 8])},
            {"y": (FLOAT, None)},
            constants,
            19,
        )
        equal(model, random_array(RANDOM, FLOAT, (7, 8)))

    def test_negative_pads_of_some_axes(self):
        model = model_of(
            [helper.make_node("Pad", ["x", "p", "", "a"], ["y"])],
            {"x": (INT32, [2, 5, 6])},
            {"y": (INT32, [2, 4, 8])},
            {"p": np.int64([3, -2, -1, 1]), "a": np.int64([-1, 1])},
            18,
        )
        x = random_array(RANDOM, INT32, (2, 5, 6))
        equal(model, x)
        np.testing.assert_array_equal(answers(model, x)[0][:, :3, 3:], x[:, 2:, :5])

    def test_pads_that_cut_off_more_than_there_is(self):
        nodes = [helper.make_node("Pad", ["x", "p"], ["y"], name="cut")]
        model = model_of(nodes, {"x": (FLOAT, [3])}, {"y": (FLOAT, None)}, {"p": np.int64([-4, 3])})
        with pytest.raises(UnusableError, match=r"its operation Pad \('cut'\) cuts off more than there is"):
            rewritten(model)

    @pytest.mark.parametrize("lengths", [[4, 0, 2], [3, 3, 3], None])
    @pytest.mark.parametrize("axes", [(0, 1), (1, 0)])
    def test_sequences_reversed_up_to_their_lengths(self, lengths, axes):
        time, batch = axes
        shape = [4, 3, 2] if time == 0 else [3, 4, 2]
        inputs = {"x": (FLOAT, shape)} | ({} if lengths else {"n": (INT64, [3])})
        constants = {"n": np.array(lengths, np.int64)} if lengths else {}
        node = helper.make_node("ReverseSequence", ["x", "n"], ["y"], time_axis=time, batch_axis=batch)
        model = model_of([node], inputs, {"y": (FLOAT, shape)}, constants)
        equal(model, random_array(RANDOM, FLOAT, shape), *([] if lengths else [np.array([1, 4, 3])]))
        assert "ReverseSequence" not in operators(rewritten(model))

    @pytest.mark.parametrize(
        ("image", "block", "options"),
        [
            ([5, 5], [1, 5], {}),
            ([5, 5], [5, 1], {"pads": [0, 1, 0, 1]}),
            ([6, 7], [3, 2], {"strides": [2, 1], "pads": [1, 0, 2, 1]}),
            ([6, 6], [2, 2], {"dilations": [2, 1], "strides": [1, 3]}),
            ([9], [3], {"strides": [4]}),
        ],
    )
    def test_columns_to_images(self, image, block, options):
        axes = len(image)
        pads = np.array(options.get("pads", [0] * (2 * axes))).reshape(2, axes).sum(0)
        reach = np.array(options.get("dilations", [1] * axes)) * (np.array(block) - 1) + 1
        places = (np.array(image) + pads - reach) // np.array(options.get("strides", [1] * axes)) + 1
        shape = [2, 3 * int(np.prod(block)), int(np.prod(places))]
        constants = {"i": np.array(image, np.int64), "b": np.array(block, np.int64)}
        model = model_of(
            [helper.make_node("Col2Im", ["x", "i", "b"], ["y"], **options)],
            {"x": (FLOAT, shape)},
            {"y": (FLOAT, [2, 3, *image])},
            constants,
            18,
        )
        equal(model, random_array(RANDOM, FLOAT, shape), relative=1e-6)
        assert "Col2Im" not in operators(rewritten(model))

    @pytest.mark.parametrize(
        ("shape", "mode"),
        [((2, 1, 3, 4), "linear"), ((2, 1, 3, 4), "nearest"), ((1, 1, 3, 4), "cubic"), ((1, 1, 2, 3, 2), "linear")],
    )
    @pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
    @pytest.mark.parametrize("aligned", [0, 1])
    def test_images_sampled_at_places_near_and_far(self, mode, padding, aligned, shape):
        places = (shape[0], *[2] * (len(shape) - 2), len(shape) - 2)
        node = helper.make_node("GridSample", ["x", "g"], ["y"], mode=mode, padding_mode=padding, align_corners=aligned)
        model = model_of([node], {"x": (FLOAT, shape), "g": (FLOAT, places)}, {"y": (FLOAT, None)}, opset=20)
        for size in (0.3, 30):
            grid = random_array(RANDOM, FLOAT, places) * np.float32(size)
            equal(model, random_array(RANDOM, FLOAT, shape), grid, relative=1e-5)
        assert "GridSample" not in operators(rewritten(model))

    @pytest.mark.parametrize("aligned", [0, 1])
    def test_a_cubic_sample_at_the_border_takes_each_neighbour_from_it(self, aligned):
        """As PyTorch and onnxruntime have it: the place itself stays outside."""
        options = {"mode": "cubic", "padding_mode": "border", "align_corners": aligned}
        node = helper.make_node("GridSample", ["x", "g"], ["y"], **options)
        shapes = {"x": (FLOAT, [1, 1, 5, 4]), "g": (FLOAT, [1, 1, 60, 2])}
        model = model_of([node], shapes, {"y": (FLOAT, None)}, opset=20)
        image = RANDOM.standard_normal((1, 1, 5, 4)).astype(np.float32)
        grid = RANDOM.uniform(-2.5, 2.5, (1, 1, 60, 2)).astype(np.float32)

        def weights(part, a=-0.75):
            near, far = (lambda d: (a + 2) * d**3 - (a + 3) * d**2 + 1), (lambda d: a * (d**3 - 5 * d**2 + 8 * d - 4))
            return np.array([far(1 + part), near(part), near(1 - part), far(2 - part)])

        def neighbours(place, length):
            real = (place + 1) / 2 * (length - 1) if aligned else ((place + 1) * length - 1) / 2
            first = int(np.floor(real))
            return np.clip(np.arange(first - 1, first + 3), 0, length - 1), weights(real - first)

        expected = []
        for x, y in grid.reshape(-1, 2).astype(np.float64):
            (rows, down), (columns, along) = neighbours(y, 5), neighbours(x, 4)
            expected.append(down @ image[0, 0][np.ix_(rows, columns)] @ along)
        for made in (model, rewritten(model)):
            np.testing.assert_allclose(answers(made, image, grid)[0].ravel(), expected, atol=2e-5)

    @pytest.mark.parametrize("mode", ["linear", "cubic"])
    def test_a_single_element_is_the_first_one(self, mode):
        options = {"mode": mode, "coordinate_transformation_mode": "pytorch_half_pixel"}
        node = helper.make_node("Resize", ["x", "", "", "n"], ["y"], **options)
        sizes = {"n": np.array([1, 1, 1, 4])}
        model = model_of([node], {"x": (FLOAT, [1, 1, 5, 4])}, {"y": (FLOAT, None)}, sizes, 19)
        values = random_array(RANDOM, FLOAT, (1, 1, 5, 4))
        for made in (model, rewritten(model)):
            np.testing.assert_allclose(answers(made, values)[0], values[:, :, :1], rtol=1e-6)

    def test_corners_are_aligned_by_whole_lengths(self):
        options = {"mode": "linear", "coordinate_transformation_mode": "align_corners"}
        values, scales = np.float32([[0, 3, 1]]), {"s": np.float32([1, 1.5])}  # of 4.5 elements, 4 are made
        node = helper.make_node("Resize", ["x", "", "s"], ["y"], **options)
        model = model_of([node], {"x": (FLOAT, [1, 3])}, {"y": (FLOAT, None)}, scales, 19)
        np.testing.assert_allclose(answers(model, values)[0], [[0, 2, 7 / 3, 1]], rtol=1e-6)
        cubic = model_of(
            [helper.make_node("Resize", ["x", "", "s"], ["y"], **options | {"mode": "cubic"})],
            {"x": (FLOAT, [1, 3])},
            {"y": (FLOAT, None)},
            scales,
            19,
        )
        for made in (cubic, rewritten(cubic)):
            np.testing.assert_allclose(answers(made, values)[0][0, [0, 3]], [0, 1], atol=1e-6)

    @pytest.mark.parametrize(
        ("options", "scales"),
        [
            ({"mode": "cubic"}, [1, 1, 2, 0.6]),
            ({"mode": "cubic", "antialias": 1, "exclude_outside": 1}, [1, 1, 0.5, 0.6]),
            ({"mode": "linear", "antialias": 1, "coordinate_transformation_mode": "align_corners"}, [1, 1, 0.5, 0.6]),
            ({"mode": "linear", "coordinate_transformation_mode": "half_pixel_symmetric"}, [1, 1, 1.3, 1.7]),
            (
                {
                    "mode": "linear",
                    "coordinate_transformation_mode": "tf_crop_and_resize",
                    "extrapolation_value": 10.0,
                },
                [1, 1, 1.5, 2],
            ),
        ],
    )
    def test_images_resized_by_matrices(self, options, scales):
        constants = {"roi": np.float32([0, 0, 0.1, 0.2, 1, 1, 0.9, 1.3]), "s": np.float32(scales)}
        node = helper.make_node("Resize", ["x", "roi", "s"], ["y"], **options)
        model = model_of([node], {"x": (FLOAT, [1, 2, 4, 5])}, {"y": (FLOAT, None)}, constants, 19)
        equal(model, random_array(RANDOM, FLOAT, (1, 2, 4, 5)), relative=1e-5)
        assert "Resize" not in operators(rewritten(model))

    def test_the_older_names_of_modes(self):
        node = helper.make_node("GridSample", ["x", "g"], ["y"], mode="bicubic")
        shapes = {"x": (FLOAT, [1, 1, 4, 4]), "g": (FLOAT, [1, 2, 2, 2])}
        model = model_of([node], shapes, {"y": (FLOAT, None)}, opset=16)
        equal(model, *(random_array(RANDOM, FLOAT, shape) for _, shape in shapes.values()), relative=1e-5)


class TestIntegers:
    @pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
    @pytest.mark.parametrize("kind", [UINT8, UINT16, UINT32])
    def test_shifts_by_any_amount(self, direction, kind):
        node = helper.make_node("BitShift", ["x", "n"], ["s"], direction=direction)
        model = model_of(
            [node, helper.make_node("Cast", ["s"], ["y"], to=FLOAT)],
            {"x": (kind, [40]), "n": (kind, [40])},
            {"y": (FLOAT, None)},
        )
        amounts = np.arange(40).astype(helper.tensor_dtype_to_np_dtype(kind))
        equal(model, random_array(RANDOM, kind, (40,)), amounts)

    @pytest.mark.parametrize("operator", ["Add", "Sub", "Mul"])
    @pytest.mark.parametrize("kind", [UINT16, UINT32])
    def test_sums_and_products_wrap_around_inside_the_model(self, operator, kind):
        nodes = [helper.make_node(operator, ["a", "b"], ["c"]), helper.make_node("Reshape", ["c", "s"], ["r"])]
        nodes += [helper.make_node("Div", ["r", "k"], ["d"]), helper.make_node("Cast", ["d"], ["y"], to=FLOAT)]
        constants = {"s": np.int64([5, 4]), "k": helper.tensor_dtype_to_np_dtype(kind).type(3)}
        model = model_of(nodes, {"a": (kind, [20]), "b": (kind, [20])}, {"y": (FLOAT, None)}, constants)
        equal(model, *(random_array(RANDOM, kind, (20,)) for _ in "ab"))

    def test_an_output_that_the_model_reads_too_keeps_its_value_inside(self):
        nodes = [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["a"]),
            helper.make_node("DequantizeLinear", ["a", "s", "z"], ["y"]),
        ]
        constants = {"s": np.float32(0.01), "z": np.uint16(65535)}
        model = model_of(nodes, {"x": (FLOAT, [9])}, {"a": (UINT16, [9]), "y": (FLOAT, [9])}, constants, 21)
        x = random_array(RANDOM, FLOAT, (9,))
        got, wanted = answers(rewritten(model), x), answers(model, x)
        np.testing.assert_array_equal(got[0].view(np.uint16), wanted[0])
        np.testing.assert_array_equal(got[1], wanted[1])

    def test_products_with_zero_points_of_rows(self):
        for shape in ((4,), (4, 1)):
            model = model_of(
                [helper.make_node("MatMulInteger", ["x", "w", "xz", "wz"], ["y"])],
                {"x": (UINT8, [4, 6])},
                {"y": (INT32, [4, 5])},
                {
                    "w": random_array(RANDOM, INT8, (6, 5)),
                    "xz": np.uint8([0, 255, 128, 9]).reshape(shape),
                    "wz": np.int8([-128, 127, 0, 3, -7]),
                },
            )
            x = random_array(RANDOM, UINT8, (4, 6))
            equal(model, x)
            constants = {tensor.name: numpy_helper.to_array(tensor).astype(int) for tensor in model.graph.initializer}
            wide = (x.astype(int) - constants["xz"].reshape(4, 1)) @ (constants["w"] - constants["wz"])
            np.testing.assert_array_equal(answers(model, x)[0], wide)

    @settings(max_examples=20, deadline=None, derandomize=True)
    @given(
        pads=st.lists(st.integers(0, 2), min_size=4, max_size=4), axes=st.sampled_from([1, 2]), quantised=st.booleans()
    )
    def test_convolutions_of_integers_with_any_pads(self, pads, axes, quantised):
        names = ["x", "w", "xz", "wz"]
        constants = {"w": random_array(RANDOM, UINT8, (3, 2, *[3] * axes)), "xz": np.uint8(200), "wz": np.uint8(13)}
        node = helper.make_node("ConvInteger", names, ["y"], pads=pads[: 2 * axes], strides=[2] * axes)
        kind, inputs = INT32, {"x": (UINT8, [1, 2, *[6] * axes])}
        if quantised:
            names = ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"]
            constants |= {"xs": np.float32(0.02), "ws": np.float32(0.01), "ys": np.float32(0.5), "yz": np.uint8(9)}
            node = helper.make_node("QLinearConv", names, ["y"], pads=pads[: 2 * axes], strides=[2] * axes)
            kind = UINT8
        model = model_of([node], inputs, {"y": (kind, None)}, constants)
        equal(model, random_array(RANDOM, UINT8, inputs["x"][1]), steps=int(quantised))
        sums = [each for each in rewritten(model).graph.node if each.op_type == "ConvInteger"]
        told = next((attribute.ints for each in sums for attribute in each.attribute if attribute.name == "pads"), [])
        assert list(told[: len(told) // 2]) == list(told[len(told) // 2 :])


def quantised_model():
    """Convolutions with uneven pads, a product with zero points of rows, and a pooling of uint8."""
    constants = {"s": np.float32(0.02), "z": np.uint8(128), "ws": np.float32(0.01), "wz": np.int8(0)}
    constants |= {"w": random_array(RANDOM, INT8, (4, 3, 3, 3)), "w1": random_array(RANDOM, INT8, (2, 3, 4))}
    constants |= {
        "m": random_array(RANDOM, INT8, (6, 5)),
        "rows": np.uint8([0, 255, 128, 9]),
        "flat": np.int64([1, 3, 12]),
    }
    constants |= {"matrix": np.int64([6, 6]), "four": np.int64([4]), "zero": np.int64([0])}
    pads = {"pads": [0, 0, 1, 1], "strides": [2, 2]}
    nodes = [
        helper.make_node("QLinearConv", ["x", "s", "z", "w", "ws", "wz", "ys", "z"], ["a"], **pads),
        helper.make_node("Reshape", ["x", "flat"], ["line"]),
        helper.make_node("QLinearConv", ["line", "s", "z", "w1", "ws", "wz", "ys", "z"], ["b"], auto_pad="SAME_LOWER"),
        helper.make_node("Reshape", ["x", "matrix"], ["square"]),
        helper.make_node("Slice", ["square", "zero", "four", "zero"], ["part"]),
        helper.make_node("MatMulInteger", ["part", "m", "rows"], ["c"]),
        helper.make_node("MaxPool", ["x"], ["d"], kernel_shape=[1, 2], pads=[0, 1, 0, 0]),
    ]
    constants["ys"] = np.float32(0.05)
    outputs = {"a": (UINT8, None), "b": (UINT8, None), "c": (INT32, None), "d": (UINT8, None)}
    return model_of(nodes, {"x": (UINT8, [1, 3, 3, 4])}, outputs, constants)


def moving_model():
    """A loop, a scan, a negative pad, a sequence reversed, an image sampled, and columns made an image."""
    body = body_of(
        [
            helper.make_node("Mul", ["v", "half"], ["w"]),
            helper.make_node("Add", ["w", "x"], ["vo"]),
            helper.make_node("Identity", ["c"], ["co"]),
            helper.make_node("Identity", ["vo"], ["each"]),
        ],
        {"i": (INT64, []), "c": (BOOL, []), "v": (FLOAT, [4, 4])},
        {"co": (BOOL, []), "vo": (FLOAT, [4, 4]), "each": (FLOAT, [4, 4])},
        {"half": np.float32(0.5)},
    )
    scanned = body_of(
        [helper.make_node("Add", ["s", "p"], ["so"]), helper.make_node("Identity", ["so"], ["each"])],
        {"s": (FLOAT, [4]), "p": (FLOAT, [4])},
        {"so": (FLOAT, [4]), "each": (FLOAT, [4])},
    )
    nodes = [
        helper.make_node("Loop", ["three", "", "x"], ["", "a"], body=body),
        helper.make_node("Scan", ["start", "x"], ["", "b"], body=scanned, num_scan_inputs=1, scan_input_directions=[1]),
        helper.make_node("Pad", ["x", "pads"], ["c"]),
        helper.make_node("ReverseSequence", ["x", "lengths"], ["d"]),
        helper.make_node("Reshape", ["x", "image"], ["one"]),
        helper.make_node("GridSample", ["one", "grid"], ["e"], padding_mode="reflection"),
        helper.make_node("Reshape", ["x", "columns"], ["column"]),
        helper.make_node("Col2Im", ["column", "size", "block"], ["f"], strides=[1, 1], pads=[0, 1, 0, 1]),
    ]
    constants = {"three": np.int64(3), "start": np.float32([1, 2, 3, 4]), "pads": np.int64([0, -1, 1, 2])}
    constants |= {"image": np.int64([1, 1, 4, 4]), "columns": np.int64([1, 4, 4]), "size": np.int64([3, 1])}
    constants |= {"block": np.int64([2, 2])}
    inputs = {"x": (FLOAT, [4, 4]), "lengths": (INT64, [4]), "grid": (FLOAT, [1, 3, 2, 2])}
    return model_of(nodes, inputs, {name: (FLOAT, None) for name in "abcdef"}, constants, 20)


def integer_model():
    """Conversions between integers inside the model, shifts by any amount, and what is quantised to 16 bits."""
    nodes = [
        helper.make_node("Cast", ["x"], ["u8"], to=UINT8),
        helper.make_node("Cast", ["u8"], ["a"], to=INT16),
        helper.make_node("Cast", ["x"], ["b"], to=INT16),
        helper.make_node("Cast", ["x"], ["c"], to=UINT16),
        helper.make_node("Cast", ["c"], ["d"], to=FLOAT),
        helper.make_node("Cast", ["n"], ["n8"], to=UINT8),
        helper.make_node("BitShift", ["u8", "n8"], ["e"], direction="LEFT"),
        helper.make_node("BitShift", ["u8", "n8"], ["f"], direction="RIGHT"),
        helper.make_node("QuantizeLinear", ["r", "s", "z"], ["g"]),
        helper.make_node("DequantizeLinear", ["g", "s", "z"], ["h"]),
    ]
    kinds = {"a": INT16, "b": INT16, "c": UINT16, "d": FLOAT, "e": UINT8, "f": UINT8, "g": UINT16, "h": FLOAT}
    inputs = {"x": (INT32, [12]), "n": (INT32, [12]), "r": (FLOAT, [12])}
    constants = {"s": np.float32(0.01), "z": np.uint16(65000)}
    return model_of(nodes, inputs, {name: (kind, None) for name, kind in kinds.items()}, constants, 21)


#: Inputs that not any numbers will do for: amounts to shift by, and lengths of sequences.
CHOSEN = {"n": np.arange(12, dtype=np.int32), "lengths": np.int64([1, 4, 0, 3])}


class TestCompiled:
    """Through the compiler, and on the chip: loading compares what it answers with ONNX's answers."""

    @pytest.mark.parametrize("make", [quantised_model, moving_model, integer_model])
    def test_on_the_chip(self, session, tmp_path, make):
        path = tmp_path / f"{make.__name__}.onnx"
        model = make()
        onnx.save(model, path)
        compiled = compiler.compile_and_check(path, output_dir=tmp_path / "build", optimize="none")
        session.load_model(compiled)
        given = [CHOSEN.get(info.name, random_array(RANDOM, *kind_and_shape(info))) for info in model.graph.input]
        for got, wanted in zip(session.infer(*given, raw=True), answers(model, *given), strict=True):
            assert got.dtype == wanted.dtype
            np.testing.assert_allclose(got, wanted, rtol=1e-5, atol=1e-5)


def kind_and_shape(info):
    tensor = info.type.tensor_type
    return tensor.elem_type, [dimension.dim_value for dimension in tensor.shape.dim]


class TestRefusals:
    """Every sentence names the file's own operation or value, the cause, and what can be done."""

    @staticmethod
    def refusal(tmp_path, model):
        path = tmp_path / "m.onnx"
        path.write_bytes(model.SerializeToString())
        with pytest.raises(ModelError) as error:
            importers.import_model(path, Cache(tmp_path / "build"))
        return str(error.value)

    def test_a_value_that_nothing_gives(self, tmp_path):
        model = model_of([helper.make_node("Relu", ["q"], ["y"], name="r")], {"x": (FLOAT, [3])}, {"y": (FLOAT, [3])})
        assert "its operation Relu ('r') reads 'q', which nothing gives" in self.refusal(tmp_path, model)

    def test_operations_out_of_order(self, tmp_path):
        nodes = [helper.make_node("Relu", ["q"], ["y"]), helper.make_node("Abs", ["x"], ["q"])]
        model = model_of(nodes, {"x": (FLOAT, [3])}, {"y": (FLOAT, [3])})
        assert "reads 'q', which only a later operation gives: list operations" in self.refusal(tmp_path, model)

    def test_an_output_that_nothing_gives(self, tmp_path):
        model = model_of([helper.make_node("Relu", ["x"], ["y"])], {"x": (FLOAT, [3])}, {"z": (FLOAT, [3])})
        assert "its output 'z' is given by no operation" in self.refusal(tmp_path, model)

    def test_an_output_of_another_shape_than_declared(self, tmp_path):
        model = model_of([helper.make_node("Relu", ["x"], ["y"])], {"x": (FLOAT, [3])}, {"y": (FLOAT, [4])})
        text = self.refusal(tmp_path, model)
        assert "its output 'y' is declared with the shape [4], but what its operations give has the shape [3]" in text

    def test_an_input_without_elements(self, tmp_path):
        model = model_of(
            [helper.make_node("Concat", ["e", "x"], ["y"], axis=1)],
            {"e": (FLOAT, [2, 0]), "x": (FLOAT, [2, 4])},
            {"y": (FLOAT, [2, 4])},
        )
        text = self.refusal(tmp_path, model)
        assert "its input 'e' has the shape [2, 0], which holds no elements" in text

    def test_tensors_that_no_chip_holds(self, tmp_path):
        model = model_of([helper.make_node("Relu", ["x"], ["y"])], {"x": (FLOAT, [1 << 26])}, {"y": (FLOAT, None)})
        text = self.refusal(tmp_path, model)
        assert "what it takes and gives is 536,870,912 bytes" in text
        assert "'x' float32[67108864]" in text

    def test_the_operation_that_onnx_fails_in(self, tmp_path):
        nodes = [helper.make_node("Abs", ["x"], ["r"]), helper.make_node("Div", ["r", "none"], ["y"], name="ratio")]
        model = model_of(nodes, {"x": (INT32, [3])}, {"y": (INT32, [3])}, {"none": np.int32(0)})
        text = self.refusal(tmp_path, model)
        assert "fails with it, at its operation Div ('ratio'): it divides an integer by 0" in text

    def test_an_operation_that_the_compiler_does_not_name(self):
        nodes = [helper.make_node("Relu", [f"v{number}"], [f"v{number + 1}"], name=f"n{number}") for number in range(9)]
        model = model_of(nodes, {"v0": (FLOAT, [3])}, {"v9": (FLOAT, [3])})
        model = onnx.shape_inference.infer_shapes(model)

        def compile_again(part):
            return "failed to legalize" if any("v6" in node.output for node in part.graph.node) else ""

        text = worker_onnx.onnx_limits.explain(model, "failed to legalize", compile_again)
        assert text.startswith("its operation Relu ('n5') is beyond what IREE can import")

    def test_bytes_that_are_no_mlir(self, tmp_path):
        path = tmp_path / "noise.mlirbc"
        path.write_bytes(np.random.default_rng(0).bytes(3000))
        with pytest.raises(ModelError, match=r"noise.mlirbc can't be used: it begins with b'.*neither MLIR's bytecode"):
            importers.import_model(path, Cache(tmp_path / "build"))
