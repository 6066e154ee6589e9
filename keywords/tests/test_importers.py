# SPDX-License-Identifier: Apache-2.0
"""Model files of every format beside Keras: what they compute, which layers they name, and what is said of bad ones."""

import importlib.metadata
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from springbok.compiler import compiler, importers
from springbok.modules.layer_names import ScopedNames, readable
from springbok.support import packages, pins
from springbok.support.cache import Cache
from springbok.support.errors import CompileError, ModelError
from springbok.support.places import KEYWORDS, MODELS, REQUIREMENTS
from springbok.tensors import TensorSpec, fit, probe_inputs


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    return tmp_path_factory.mktemp("build")


@pytest.mark.parametrize(
    ("file", "format_name", "inputs", "layers"),
    [
        ("conv1d", "saved_model", "'input' float32[1, 128, 6]", ["conv_1", "pool", "conv_2", "mean", "dense"]),
        ("conv1d.tflite", "tflite", "'input' float32[1, 128, 6]", ["conv_1", "pool", "conv_2", "mean", "dense"]),
        ("gestures_int8.tflite", "tflite", "int8[1, 100, 6, 1] (scale", ["conv_1", "pool_1", "dense_2"]),
        ("digits.onnx", "onnx", "'image' float32[1, 1, 28, 28]", ["conv_1", "pool", "conv_2", "dense"]),
        ("digits_jax.mlirbc", "mlir", "float32[1, 28, 28]", ["pool", "dense_1", "dense_2", "softmax"]),
        ("conv1d_int8.mlirbc", "mlir", "int8[1, 128, 6]", []),
    ],
)
def test_format_is_compiled_with_the_names_of_its_layers(build, file, format_name, inputs, layers):
    model = compiler.compile_and_check(MODELS / file, output_dir=build)
    assert model.format == format_name
    assert inputs in str(model.inputs[0])
    named = [layer for dispatch in model.dispatches for layer in dispatch.layers]
    assert set(layers) <= {part for name in named for part in name.split(" + ")}
    assert model.host_check.error <= 1e-5
    assert not model.host_check.steps


class TestQuantised:
    SPEC = TensorSpec("x", (1, 3), "int8", scale=0.5, zero_point=-1)

    def test_real_values_become_the_nearest_integers_and_never_wrap(self):
        (raw,) = fit("m", [self.SPEC], np.float32([[0.0, 1.2, 1e9], [-0.25, 0.75, -1e9]]))
        assert raw.dtype == np.int8
        assert raw.tolist() == [[[-1, 1, 127]], [[-2, 1, -128]]]

    def test_integers_are_raw_values(self):
        (raw,) = fit("m", [self.SPEC], np.array([[1, 2, -128]]))
        assert raw.tolist() == [[[1, 2, -128]]]
        with pytest.raises(ModelError, match="can't hold"):
            fit("m", [self.SPEC], np.array([[1, 2, 128]]))

    def test_what_is_no_number_is_refused(self):
        with pytest.raises(ModelError, match="holds NaN"):
            fit("m", [self.SPEC], np.float32([[0, np.nan, 0]]))

    def test_raw_values_become_real_ones(self):
        np.testing.assert_array_equal(self.SPEC.to_real(np.int8([-1, 1, 127, -128])), np.float32([0, 1, 64, -63.5]))
        plain = TensorSpec("x", (1, 3), "float32")
        values = np.ones(3, np.float32)
        assert plain.to_real(values) is values

    def test_values_beyond_the_limits_of_a_quantised_model_are_clamped(self):
        spec = TensorSpec("x", (1, 2), "float32", limits=(-1.0, 0.5))
        (values,) = fit("m", [spec], np.float32([[7, -7]]))
        assert values.tolist() == [[[0.5, -1.0]]]
        assert np.abs(probe_inputs([spec])[0]).max() <= 1


# A model that quantises its own inputs, one with an open batch, one with a loop.
MAKE_MODELS = """
import pathlib, keras, numpy as np, tensorflow as tf
keras.utils.set_random_seed(3)
given = keras.Input((8,), batch_size=1)
model = keras.Model(given, keras.layers.Dense(4, name="only")(given))
converter = tf.lite.TFLiteConverter.from_keras_model(model)
converter.optimizations = [tf.lite.Optimize.DEFAULT]
random = np.random.default_rng(1)
converter.representative_dataset = lambda: ([random.standard_normal((1, 8)).astype(np.float32)] for _ in range(20))
pathlib.Path("float_io.tflite").write_bytes(converter.convert())
open_batch = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4)])
pathlib.Path("open.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(open_batch).convert())
open_batch.export("open", verbose=False)

class Ragged(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([1, None])])
    def __call__(self, x):
        return {"y": x + 1}
ragged = Ragged()
tf.saved_model.save(ragged, "ragged", signatures={"serving_default": ragged.__call__})
tf.saved_model.save(tf.Module(), "bare")
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory, framework_server):
    folder = tmp_path_factory.mktemp("made")
    framework_server.run_script(MAKE_MODELS, folder)
    return folder


class TestTensorFlow:
    def test_a_model_that_quantises_its_inputs_is_never_given_what_would_wrap(self, made, build):
        model = compiler.compile_and_check(made / "float_io.tflite", output_dir=build, inputs=np.float32([[1e6] * 8]))
        low, high = model.inputs[0].limits
        assert -8 < low < 0 < high < 8
        assert model.host_check.error <= 1e-5

    @pytest.mark.parametrize("name", ["open.tflite", "open"])
    def test_an_open_batch_is_1(self, made, build, name):
        model = compiler.compile_and_check(made / name, output_dir=build)
        assert model.inputs[0].shape == (1, 8)

    @pytest.mark.parametrize(
        ("name", "reason"),
        [
            ("ragged", r"\[1, None\]: only the batch may be open"),
            ("bare", "it has no signature"),
            (".", "no saved_model"),
        ],
    )
    def test_unusable_saved_models(self, made, build, name, reason):
        with pytest.raises(ModelError, match=reason):
            compiler.compile_model(made / name, output_dir=build)

    @pytest.mark.own_framework
    def test_a_process_of_its_own_imports_and_is_ended(self, tmp_path):
        path = tmp_path / "cut.tflite"
        path.write_bytes((MODELS / "gestures_int8.tflite").read_bytes()[:900])
        with pytest.raises(ModelError, match=r"cut\.tflite"):
            compiler.compile_model(path, output_dir=tmp_path)

    @pytest.mark.parametrize("length", [12, 900, 8000])
    def test_a_truncated_tflite_file(self, tmp_path, length):
        path = tmp_path / "cut.tflite"
        path.write_bytes((MODELS / "gestures_int8.tflite").read_bytes()[:length])
        with pytest.raises(ModelError, match=r"cut\.tflite"):
            compiler.compile_model(path, output_dir=tmp_path)


class TestOnnx:
    def test_a_truncated_file(self, tmp_path):
        path = tmp_path / "cut.onnx"
        path.write_bytes((MODELS / "digits.onnx").read_bytes()[:5000])
        with pytest.raises(ModelError, match="ONNX can't load it"):
            compiler.compile_model(path, output_dir=tmp_path)

    def test_open_shapes(self, tmp_path):
        onnx = pytest.importorskip("onnx")
        path = tmp_path / "open.onnx"
        values = [
            onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, ["batch", "length"]) for name in "xy"
        ]
        graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", values[:1], values[1:])
        onnx.save(onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)]), path)
        with pytest.raises(ModelError, match="only the batch may be open"):
            compiler.compile_model(path, output_dir=tmp_path)


@pytest.mark.parametrize(
    ("file", "package", "group"),
    [
        ("digits.onnx", "onnx", "run"),
        ("gestures_int8.tflite", "tosa-converter-for-tflite", "frameworks"),
        ("conv1d", "tensorflow-cpu", "frameworks"),
        ("digits_jax.mlirbc", "iree-base-compiler", "run"),
    ],
)
def test_what_a_format_needs_is_installed_when_it_is_first_needed(tmp_path, monkeypatch, file, package, group):
    real = importlib.metadata.version

    def version(name):
        if name == package:
            raise importlib.metadata.PackageNotFoundError(name)
        return real(name)

    def bring(lines, place, what, *_):
        assert [line.partition("==")[0] for line in lines] == [package]
        raise ImportError(f"no network; {what}")

    monkeypatch.setattr(importlib.metadata, "version", version)
    monkeypatch.setattr(packages, "bring", bring)
    with pytest.raises(CompileError, match=f"{file} can't be compiled: no network; .*for {file}") as raised:
        compiler.compile_model(MODELS / file, output_dir=tmp_path)
    assert pins.read(REQUIREMENTS.read_text())[group].title in str(raised.value)


def test_no_framework_is_imported_where_it_is_not_used(tmp_path):
    program = (
        "import sys; from springbok.compiler import compiler\n"
        f"compiler.framework_outputs({str(MODELS / 'digits_jax.mlirbc')!r}, __import__('numpy').zeros((1, 28, 28)))\n"
        "print([name for name in ('tensorflow', 'keras', 'onnx', 'tosa_converter_for_tflite') if name in sys.modules])"
    )
    environment = os.environ | {"PYTHONPATH": str(KEYWORDS)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True, timeout=600
    )
    assert done.stdout.strip() == "[]"


def test_the_source_of_a_folder_is_all_of_its_files(build, tmp_path):
    imported = importers.import_model(MODELS / "conv1d", Cache(build))
    other = tmp_path / "conv1d"
    for path in (MODELS / "conv1d").rglob("*"):
        if path.is_file():
            target = other / path.relative_to(MODELS / "conv1d")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes() + (b"\0" if path.suffix == ".index" else b""))
    data, _ = importers._open(other)
    assert len(json.dumps(imported.source_sha256)) == 66
    assert data != importers._open(MODELS / "conv1d")[0]


class TestLayerNames:
    def test_what_all_names_have_in_common_is_the_model(self):
        names = ScopedNames(["net/conv_1/Conv2D", "net/conv_1/Relu", "net/dense/MatMul/weights"])
        assert names.layer_of("net/conv_1/Relu") == "conv_1"
        assert names.layer_of("net/dense/MatMul") == "dense"
        assert names.layer_of("elsewhere/x/y") is None

    def test_a_fused_operation_is_of_several_layers(self):
        names = ScopedNames(["m/conv/Conv2D", "m/norm/mul"])
        assert names.layer_of("m/norm/mul;m/conv/Conv2D") == "conv + norm"

    def test_the_counter_of_an_export_is_dropped_only_when_it_is_everywhere(self):
        assert ScopedNames(["m_1/conv_1/a", "m_1/pool_1/a"]).layer_of("m_1/conv_1/a") == "conv"
        assert ScopedNames(["m_1/conv_1/a", "m_1/pool/a"]).layer_of("m_1/conv_1/a") == "conv_1"

    def test_one_layer_alone(self):
        assert ScopedNames(["m/conv/a", "m/conv/b"]).layer_of("m/conv/a") == "conv"
        assert ScopedNames([]).layer_of("x") is None

    @pytest.mark.parametrize(
        ("location", "layer"),
        [("jit(main)/dense/add", "dense"), ("jit(main)/add", None), ("main", None), ("pool", "pool"), ("y:0", "y")],
    )
    def test_readable(self, location, layer):
        assert readable(location) == layer
