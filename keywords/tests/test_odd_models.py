# SPDX-License-Identifier: Apache-2.0
"""Model files of odd kinds: each compiles to the right thing, or is refused by a sentence that says what to do."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from tiny_models import DENSE

from springbok.compiler import compiler, importers
from springbok.compiler.compiler import compile_and_check
from springbok.compiler.importers.selection import Selection
from springbok.support.cache import Cache
from springbok.support.errors import BenchError
from springbok.support.places import MODELS
from springbok.trials.fuzz import tflite_writer
from springbok.trials.fuzz.networks import Network

TESTS = Path(__file__).parent


@pytest.fixture(scope="module")
def odd(tmp_path_factory, framework_server):
    folder = tmp_path_factory.mktemp("odd files: ä")
    framework_server.run_script((TESTS / "odd_models.py").read_text(), folder)
    return folder


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    return tmp_path_factory.mktemp("build")


def refusal(path: Path, build: Path, **options) -> str:
    """What is said of a model that can't be used; the sentence has what every such sentence must have."""
    with pytest.raises(BenchError) as caught:
        compile_and_check(path, output_dir=build, **options)
    text = str(caught.value)
    first = text.splitlines()[0]
    assert path.name in first, text
    assert first.endswith((".", "?")), text
    assert "Traceback" not in text, text
    assert not re.search(r"\b\w+(?:Error|Exception): ", text), text
    assert not list(build.glob(".making-*"))
    assert ".making-" not in text, text
    return text


@pytest.mark.parametrize(
    ("name", "options", "inputs", "outputs"),
    [
        ("plain.h5", {}, ["input_layer float32 1x8"], ["dense float32 1x3"]),
        ("shouting.KERAS", {}, ["input_layer float32 1x8"], ["dense float32 1x3"]),
        ("dicts.keras", {}, ["a float32 1x3", "z float32 1x4"], ["also float32 1x1", "sum float32 1x2"]),
        ("nested.keras", {}, ["zeta float32 1x4", "inner float32 1x3"], ["d float32 1x2", "e float32 1x1"]),
        ("twice.keras", {}, ["zeta float32 1x4", "alpha float32 1x3"], ["d_0 float32 1x2", "d_1 float32 1x2"]),
        ("open.keras", {"shape": "1x8x9x3"}, ["image float32 1x8x9x3"], ["d float32 1x2"]),
        ("mixed16.keras", {}, ["input_layer_6 float32 1x8"], ["dense_7 float32 1x3"]),
        ("uint8.tflite", {}, ["keras_tensor_38 uint8 1x8"], ["StatefulPartitionedCall_1 uint8 1x4"]),
        ("int16x8.tflite", {}, ["keras_tensor_35 int16 1x8"], ["StatefulPartitionedCall_1 int16 1x4"]),
        ("int8_float_io.tflite", {}, ["keras_tensor_38 float32 1x8"], ["StatefulPartitionedCall_1 float32 1x4"]),
        ("half_weights.tflite", {}, ["keras_tensor_42 float32 1x64"], ["StatefulPartitionedCall_1 float32 1x4"]),
        (
            "dynamic_range.tflite",
            {"tolerance": "0.05"},
            ["keras_tensor_42 float32 1x64"],
            ["StatefulPartitionedCall_1 float32 1x4"],
        ),
        ("flags.tflite", {}, ["x bool 1x4"], ["PartitionedCall bool 1x4"]),
        ("image.tflite", {"shape": {"x": (1, 4, 6, 2)}}, ["x float32 1x4x6x2"], ["PartitionedCall float32 1x2"]),
        ("two_signatures.tflite", {"signature": "two"}, ["x float32 1x4"], ["PartitionedCall_1 float32 1x4"]),
        ("signatures", {"signature": "two"}, ["x float32 1x4"], ["y float32 1x4"]),
        ("open_image", {"shape": "x=1x3x4x2"}, ["x float32 1x3x4x2"], ["y float32 1x2"]),
        ("any_shape", {"shape": (1, 4)}, ["x float32 1x4"], ["y float32 1x4"]),
    ],
)
def test_these_are_imported(odd, build, name, options, inputs, outputs):
    selection = Selection.of(options.get("shape"), options.get("signature"))
    imported = importers.import_model(odd / name, Cache(build), selection)

    def described(specs):
        return [f"{spec.name} {spec.dtype} {'x'.join(map(str, spec.shape))}" for spec in specs]

    assert (described(imported.inputs), described(imported.outputs)) == (inputs, outputs)


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        ("uint8.tflite", "steps"),
        ("int8_float_io.tflite", "steps"),
        ("int16x8.tflite", "steps"),
        ("mixed16.keras", "relative"),
        ("dicts.keras", "relative"),
        ("nested.keras", "relative"),
        ("recurrent", "relative"),
        ("gelu.keras", "relative"),
        ("elu.tflite", "relative"),
        ("dense_of_pixels.tflite", "relative"),
    ],
)
def test_these_compute_what_their_framework_does_in_its_own_unit(odd, build, name, unit):
    judgement = compile_and_check(odd / name, output_dir=build).host_check
    assert judgement.worst.limit.unit == unit
    assert judgement.passed


def test_a_model_whose_weights_are_no_numbers_is_told_of(odd, build):
    (note,) = compile_and_check(odd / "not_numbers.keras", output_dir=build).notes
    assert "nothing but NaN in output 'dense'" in note


def test_the_second_signature_is_another_function(odd, build):
    model = compile_and_check(odd / "two_signatures.tflite", output_dir=build, signature="two")
    (answer,) = compiler.framework_outputs(model, np.float32([[[1, 2, 3, 4]]]), output_dir=build)
    assert answer.tolist() == [[[3, 6, 9, 12]]]


BIASED = {"kind": "dense", "inputs": [0], "options": {"channels": 16, "bias": True, "activation": None}}


def test_biases_of_16_bit_layers_keep_their_signs(build, tmp_path):
    described = {"front_end": "tflite", "dtype": "int16", "layout": "nhwc", "shape": [1, 3, 1, 8], "seed": 1620559761}
    network = Network.from_json(json.dumps(described | {"nodes": [BIASED], "number": 12}))
    path = tmp_path / "biased.tflite"
    path.write_bytes(tflite_writer.write(network))
    model = compile_and_check(path, output_dir=build)
    assert (model.host_check.worst.limit.unit, model.host_check.steps <= 1) == ("steps", True)
    answers = model.probes.expected[0].astype(int)
    assert answers.min() < 0 < answers.max()
    text = model.mlir.read_text(encoding="utf-8")
    assert re.search(r"dense<\[.*-\d+.*\]> : tensor<16xi64>", text)


@pytest.mark.parametrize("seed", [1, 2])  # other scales
def test_softmax_of_16_bits_takes_differences_of_any_size(build, tmp_path, seed):
    nodes = [{"kind": "softmax", "inputs": [0], "options": {}}]
    described = {"front_end": "tflite", "dtype": "int16", "layout": "nhwc", "shape": [1, 7, 17], "seed": seed}
    path = tmp_path / "softmax.tflite"
    path.write_bytes(tflite_writer.write(Network.from_json(json.dumps(described | {"nodes": nodes, "number": 0}))))
    model = compile_and_check(path, output_dir=build)
    assert model.host_check.worst.difference == 0
    spread = np.ptp(model.probes.inputs[0].astype(int)) * model.inputs[0].scale
    assert spread > 12  # the exponential's table ends at -10


def test_dynamic_range_is_refused_by_its_name_unless_it_is_allowed(odd, build):
    path = odd / "dynamic_range.tflite"
    text = refusal(path, build)
    assert "dynamic-range quantisation: FULLY_CONNECTED" in text
    assert "tolerance=" in text
    judgement = compile_and_check(path, output_dir=build, tolerance="0.05").host_check
    assert 0 < judgement.error < 0.05


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("custom.keras", {}, "its layer 'mine' is of the class Swish2.*SavedModel"),
        ("custom.h5", {}, "Swish2.*SavedModel"),
        ("own_class.keras", {}, "of the class Whole"),
        ("lambda.keras", {}, "Lambda layer.*keras.ops"),
        ("lambda.h5", {}, "Lambda layer.*keras.ops"),
        ("unbuilt.keras", {}, "no inputs yet .*keras.Input"),
        ("stateful.keras", {}, r"layer 'memory' \(LSTM\) is stateful.*stateful=False"),
        ("strings.keras", {}, "input 'words' holds strings"),
        ("channels_first.keras", {}, "only supports the NHWC"),
        ("bicubic.keras", {}, r"operation ResizeBicubic \('smaller'\) as StableHLO.*\.tflite"),
        ("bf16.keras", {}, "type bfloat16"),
        ("weights.h5", {}, "weights only.*model.save"),
        ("only.weights.h5", {}, "weights only.*model.save"),
        ("cut.keras", {}, "no whole archive"),
        ("cut.h5", {}, "truncated"),
        ("other_archive.keras", {}, "no Keras model"),
        ("open.keras", {}, r"\[None, None, None, 3\].*shape=image=1x224x224x3"),
        ("open.keras", {"shape": "8x9x3"}, "which is left out is not clear.*shape=image=1x8x9x3"),
        ("open.keras", {"shape": "4x4"}, "does not suit"),
        ("open.keras", {"shape": "1x8x8x4"}, "does not suit"),
        ("open.keras", {"shape": "picture=8x8x3"}, "an input 'picture', but its inputs are image"),
        ("plain.keras", {"signature": "x"}, "no signature 'x'"),
        ("dicts.keras", {"shape": "1x4"}, "without a name, but its inputs are a, z"),
        ("image.tflite", {}, r"\[1, None, None, 2\].*shape=x=1x224x224x2"),
        ("two_signatures.tflite", {}, r"2 signatures \(one, two\).*signature=one"),
        ("two_signatures.tflite", {"signature": "three"}, r"no signature 'three'.*\(one, two\)"),
        ("loop.tflite", {}, r"WHILE \('.+'\) is a loop.*unroll"),
        ("flex.tflite", {}, r"FlexAtan \('.+'\) is one of TensorFlow's own.*TFLITE_BUILTINS"),
        ("top.tflite", {}, r"TOPK_V2 \('.+'\).*on the host"),
        ("strings.tflite", {}, "input 'x' holds strings"),
        ("counter.tflite", {}, "keeps a state"),
        ("variables.tflite", {}, r"VAR_HANDLE \('.+'\) reads a variable.*Freeze"),
        ("resized16.tflite", {}, r"RESIZE_BILINEAR \('.+'\) of int16.*10 bits.*tolerance="),
        ("counter", {}, "AssignAddVariableOp .*changes a variable"),
        ("signatures", {}, r"2 signatures \(one, two\).*signature=one"),
        ("open_image", {}, r"shape=x=1x224x224x2"),
        ("any_shape", {}, "not even its rank is known"),
        ("text", {}, "input 'x' holds strings"),
        ("no_inputs", {}, "no inputs"),
        ("no_signature", {}, "no signature.*model.export"),
        ("broken", {}, "TensorFlow can't load it"),
    ],
)
def test_these_are_refused_by_a_sentence(odd, build, name, options, said):
    assert re.search(said, refusal(odd / name, build, **options), re.DOTALL)


FUNCTION = "func.func @f(%x: tensor<4xf32>) -> tensor<4xf32> {{\n  %0 = {}\n  return %0 : tensor<4xf32>\n}}\n"
TWO = FUNCTION.format("stablehlo.tanh %x : tensor<4xf32>") + FUNCTION.format(
    "stablehlo.abs %x : tensor<4xf32>"
).replace("@f", "@g")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"hello", "line 1"),
        (b"\xff\xfe\x00", "UTF-16"),
        (b"ML\xefR\rMLIR23.0.0git", "can't compile"),
        ("module @x {}", "no public function"),
        (TWO, r"2 functions \(f, g\).*signature=f"),
        (
            "func.func @f() -> tensor<4xf32> {\n"
            "%0 = stablehlo.constant dense<1.0> : tensor<4xf32>\nreturn %0 : tensor<4xf32> }",
            "no inputs",
        ),
        ("func.func @f(%x: tensor<4xf32>) {\nreturn }", "no outputs"),
        ("func.func @f(%x: f32) -> f32 {\nreturn %x : f32 }", "input 0 of its function 'f' is f32.*tensor<f32>"),
        ("func.func @f(%x: tensor<4xbf16>) -> tensor<4xbf16> {\nreturn %x : tensor<4xbf16> }", "type bf16"),
        ("func.func @f(%x: tensor<?xf32>) -> tensor<?xf32> {\nreturn %x : tensor<?xf32> }", "shape is open"),
        (
            "func.func @f(%x: tensor<0x4xf32>) -> tensor<0x4xf32> {\n"
            "%0 = stablehlo.tanh %x : tensor<0x4xf32>\nreturn %0 : tensor<0x4xf32> }",
            "holds no elements",
        ),
        (FUNCTION.format('"tf.Tanh"(%x) : (tensor<4xf32>) -> tensor<4xf32>'), r"tf\.Tanh \(line 2\).*StableHLO"),
        (FUNCTION.format("stablehlo.tann %x : tensor<4xf32>"), r"operation stablehlo\.tann \(line 2\)"),
        (FUNCTION.format("stablehlo.tanh %x : tensor<5xf32>"), "line 2"),
        (
            FUNCTION.format('stablehlo.custom_call @f(%x) : (tensor<4xf32>) -> tensor<4xf32> loc("mine")'),
            r"no code for the operation stablehlo.custom_call \(the layer 'mine'\). Write that",
        ),
    ],
)
def test_mlir_that_can_not_be_used(tmp_path, content, said):
    path = tmp_path / "odd: ä.mlir"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert re.search(said, refusal(path, tmp_path), re.DOTALL)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_byte_order_marks_and_other_ends_of_lines_are_no_matter(tmp_path, encoding):
    path = tmp_path / "mark.mlir"
    path.write_bytes(TWO.replace("\n", "\r\n").encode(encoding))
    imported = importers.import_model(path, Cache(tmp_path), Selection(signature="g"))
    assert (imported.probe_outputs[0] >= 0).all()


def test_names_of_files_are_no_matter(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("-o a b: c*?é\n.mlir", f"{'x' * 240}.mlir"):
        Path(name).write_text(DENSE)
        assert importers.import_model(name, Cache(tmp_path / "build")).inputs[0].shape == (1, 16)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model.bin", b"x", "unknown format"),
        ("model.tflite", b"PK\x03\x04", "is not a TensorFlow Lite file"),
        ("model.keras", b"\x89HDF\r\n\x1a\n", "is not a Keras archive"),
        ("model.h5", b"PK\x03\x04", "is not an HDF5 file"),
        ("model.keras", b"", "is empty"),
        ("missing.tflite", None, "does not exist"),
        ("missing", None, "does not exist"),
        ("folder/missing.h5", None, "There is no folder"),
    ],
)
def test_files_that_are_something_else(tmp_path, name, content, said):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert said in refusal(tmp_path / name, tmp_path)


@pytest.mark.parametrize("name", ["model", "modle.mlir"])
def test_a_file_that_is_missing_may_be_another_one(tmp_path, name):
    (tmp_path / "model.mlir").write_text(DENSE)
    assert f"does not exist. Did you mean {tmp_path / 'model.mlir'}?" in refusal(tmp_path / name, tmp_path)


@pytest.mark.parametrize("length", [5, 40, 900, 8000])
def test_tflite_files_that_are_cut_off(tmp_path, length):
    path = tmp_path / "cut.tflite"
    path.write_bytes((MODELS / "gestures_int8.tflite").read_bytes()[:length])
    assert re.search(r"is not a|broken, perhaps cut off", refusal(path, tmp_path))
