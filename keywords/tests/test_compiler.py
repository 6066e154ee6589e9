# SPDX-License-Identifier: Apache-2.0
"""Compilation: flags, results, the cache, Keras models, and what is said when something is wrong."""

import importlib.metadata
import json
import logging
import os
import shutil
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from tiny_models import DENSE, dense

from springbok.compiler import iree, optimizer
from springbok.compiler.compiled import Target
from springbok.compiler.compiler import check_fits, compile_and_check, compile_model, framework_outputs
from springbok.compiler.flags import compiler_flags
from springbok.support import process
from springbok.support.errors import CompileError, ModelError
from springbok.tensors import TensorSpec, fit, probe_inputs


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """The output folder that the tests of this file share."""
    return tmp_path_factory.mktemp("build")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "dense.mlir"
    path.write_text(DENSE)
    return path


@pytest.fixture(scope="module")
def model(source, build):
    return compile_and_check(source, output_dir=build)


class TestFlags:
    def test_vector_target(self):
        flags, notes = compiler_flags(Target(vlen=256))
        assert "--iree-llvmcpu-target-cpu-features=+m,+f,+zvl256b,+zve32x,+zve32f" in flags
        assert "--iree-execution-model=inline-dynamic" in flags
        assert notes == ()

    def test_scalar_target(self):
        flags, _ = compiler_flags(Target.of("scalar"))
        assert "--iree-llvmcpu-target-cpu-features=+m,+f" in flags

    @pytest.mark.parametrize("extra", [[], ["--iree-opt-level=O3"], ["--iree-opt-const-expr-hoisting=false"]])
    def test_the_weights_flags_are_always_there(self, extra):
        flags, _ = compiler_flags(Target(), extra)
        assert flags.count("--iree-flow-inline-constants-max-byte-length=100000000") == 1
        assert flags.count("--iree-opt-const-expr-hoisting=false") == 1

    @pytest.mark.parametrize(
        "flag",
        [
            "--iree-opt-const-expr-hoisting=true",
            "--iree-opt-const-expr-hoisting",
            "iree-opt-const-expr-hoisting=1",
            "-iree-opt-const-expr-hoisting=true",
            "--iree-flow-inline-constants-max-byte-length=256",
        ],
    )
    def test_the_weights_flags_can_not_be_dropped(self, flag):
        with pytest.raises(CompileError, match="without the model's weights"):
            compiler_flags(Target(), [flag])

    @pytest.mark.parametrize("flag", ["-o=x.vmfb", "--compile-to=vm", "--iree-execution-model=async-internal"])
    def test_what_the_firmware_decides_can_not_be_changed(self, flag):
        with pytest.raises(CompileError, match="is refused"):
            compiler_flags(Target(), [flag])

    def test_other_flags_are_replaced_or_added(self):
        flags, _ = compiler_flags(Target(), ["--iree-llvmcpu-debug-symbols=true", "--iree-opt-level=O3"])
        assert "--iree-llvmcpu-debug-symbols=true" in flags
        assert "--iree-llvmcpu-debug-symbols=false" not in flags
        assert "--iree-opt-level=O3" in flags

    def test_names_of_2023_are_translated_with_a_note(self):
        flags, notes = compiler_flags(
            Target(), ["iree-llvm-target-cpu=generic-rv32", "iree-vm-emit-polyglot-zip=false", "--iree-input-type=mhlo"]
        )
        assert "--iree-llvmcpu-target-cpu=generic-rv32" in flags
        assert "--iree-input-type=stablehlo" in flags
        assert len(notes) == 2
        assert "--iree-llvm-target-cpu=generic-rv32 is called --iree-llvmcpu-target-cpu=generic-rv32" in notes[0]

    @pytest.mark.parametrize("vlen", [0, 31, 500, 131072])
    def test_impossible_vlen(self, vlen):
        with pytest.raises(CompileError, match=f"not {vlen}"):
            Target(vlen=vlen)

    def test_unknown_variant(self):
        with pytest.raises(CompileError, match="'vector' or 'scalar'"):
            Target.of("simd")


class TestCompiledModel:
    def test_what_is_known(self, model, source):
        assert (model.name, model.variant, model.format, model.entry) == ("dense", "vector", "mlir", "main")
        assert model.source == source
        assert model.compiler_version == importlib.metadata.version("iree-base-compiler")
        assert model.vmfb_bytes == model.vmfb.stat().st_size
        assert model.inputs == (TensorSpec("input0", (1, 16), "float32"),)
        assert model.outputs == (TensorSpec("output0", (1, 8), "float32"),)
        assert model.has_vector_instructions
        assert model.vlen_bits == 512
        assert model.kernel_rodata_bytes > model.inputs[0].nbytes * 8
        assert "dense (vector) from dense.mlir" in model.describe()
        assert "checked on this machine: 4 samples" in model.describe()

    def test_dispatches_name_their_layers(self, model):
        assert [dispatch.ordinal for dispatch in model.dispatches] == [0]
        assert model.dispatches[0].layers == ("first", "second")
        assert model.layers(model.dispatches[0].name) == ("first", "second")

    def test_scalar_code_has_no_vectors(self, source, build):
        model = compile_model(source, Target.of("scalar"), output_dir=build)
        assert not model.has_vector_instructions
        assert model.vlen_bits == 0
        assert "no vectors" in model.describe()

    def test_code_for_a_longer_vlen_than_the_targets_is_refused(self, source, build):
        flag = "--iree-llvmcpu-target-cpu-features=+m,+f,+zvl1024b,+zve32x,+zve32f"
        with pytest.raises(CompileError, match="made for VLEN 1024, but the target has 512"):
            compile_model(source, output_dir=build, extra_flags=[flag], optimize="none")

    def test_vector_code_for_a_scalar_target_is_refused(self, source, build):
        flag = "--iree-llvmcpu-target-cpu-features=+m,+f,+zvl512b,+zve32x,+zve32f"
        with pytest.raises(CompileError, match="the target has no vectors"):
            compile_model(source, Target(vectors=False), output_dir=build, extra_flags=[flag])

    def test_translated_flags_are_noted_and_logged(self, source, build, caplog):
        with caplog.at_level(logging.WARNING):
            model = compile_model(source, output_dir=build, extra_flags=["iree-llvm-debug-symbols=false"])
        assert len(model.notes) == 1
        assert model.notes[0] in caplog.text
        assert model.notes[0] in model.describe()


class TestCache:
    def test_the_same_bytes_twice_and_elsewhere(self, model, source, tmp_path):
        elsewhere = tmp_path / "some where else"
        elsewhere.mkdir()
        copy = Path(shutil.copy(source, elsewhere))
        again = compile_model(copy, output_dir=tmp_path / "build")
        assert not again.cached
        assert again.vmfb_sha256 == model.vmfb_sha256

    def test_second_time_nothing_is_compiled(self, model, source, build, monkeypatch):
        monkeypatch.setattr(process, "run", lambda *_: pytest.fail("a program was started"))
        again = compile_and_check(source, output_dir=build)
        assert again.cached
        assert (again.vmfb, again.vmfb_sha256, again.dispatches) == (model.vmfb, model.vmfb_sha256, model.dispatches)
        assert again.host_check == model.host_check

    def test_another_source_flag_or_target_is_another_entry(self, model, source, build, tmp_path):
        changed = tmp_path / "dense.mlir"
        changed.write_text(DENSE.replace("stablehlo.add", "stablehlo.subtract"))
        others = [
            compile_model(changed, output_dir=build),
            compile_model(source, output_dir=build, extra_flags=["--iree-opt-level=O1"]),
            compile_model(source, Target(vlen=128), output_dir=build),
        ]
        assert len({model.vmfb, *(other.vmfb for other in others)}) == 4

    @pytest.mark.parametrize("file", ["model.vmfb", "model.json", "checksums.json"])
    def test_a_broken_entry_is_made_anew(self, model, source, file, tmp_path):
        shutil.copytree(model.vmfb.parents[1], tmp_path / "build")
        path = tmp_path / "build" / model.vmfb.parent.name / file
        path.write_bytes(path.read_bytes()[:-9])
        self.assert_made_anew(model, source, tmp_path / "build")

    def test_an_entry_without_its_module_is_made_anew(self, model, source, tmp_path):
        shutil.copytree(model.vmfb.parents[1], tmp_path / "build")
        (tmp_path / "build" / model.vmfb.parent.name / "model.vmfb").unlink()
        self.assert_made_anew(model, source, tmp_path / "build")

    def assert_made_anew(self, model, source, folder):
        again = compile_model(source, output_dir=folder)
        assert not again.cached
        assert again.vmfb_sha256 == model.vmfb_sha256
        assert compile_model(source, output_dir=folder).cached

    def test_without_the_cache_it_is_compiled_again(self, model, source, tmp_path):
        folder = tmp_path / "build"
        first = compile_model(source, output_dir=folder)
        second = compile_model(source, output_dir=folder, use_cache=False)
        assert not second.cached
        assert second.vmfb == first.vmfb
        assert second.vmfb_sha256 == model.vmfb_sha256

    def test_runs_beside_each_other(self, model, source, tmp_path):
        found = []
        threads = [
            threading.Thread(target=lambda: found.append(compile_model(source, output_dir=tmp_path / "build")))
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {one.vmfb_sha256 for one in found} == {model.vmfb_sha256}
        assert len(found) == 3
        assert not list((tmp_path / "build").glob(".*"))


class TestFrameworkOutputs:
    def test_mlir_answers_by_ordinary_iree(self, source, build):
        inputs = np.linspace(-1, 1, 3 * 16, dtype=np.float32).reshape(3, 16)
        (outputs,) = framework_outputs(source, inputs, output_dir=build)
        assert outputs.shape == (3, 1, 8)
        np.testing.assert_allclose(outputs, dense(inputs.reshape(3, 1, 16)), atol=1e-5)

    def test_second_time_they_come_from_the_cache(self, source, build, monkeypatch):
        inputs = np.ones((2, 1, 16))
        first = framework_outputs(source, inputs, output_dir=build)
        monkeypatch.setattr(process, "run", lambda *_: pytest.fail("a program was started"))
        np.testing.assert_array_equal(framework_outputs(source, inputs, output_dir=build), first)

    def test_other_inputs_give_other_outputs(self, source, build):
        first, second = (framework_outputs(source, np.full((1, 16), x), output_dir=build)[0] for x in (1.0, 2.0))
        assert (first != second).all()


class TestFit:
    SPECS = (TensorSpec("x", (1, 4, 3, 1), "float32"),)

    @pytest.mark.parametrize("shape", [(5, 4, 3), (5, 4, 3, 1), (5, 1, 4, 3, 1)])
    def test_axes_of_length_one_do_not_matter(self, shape):
        assert fit("m", self.SPECS, np.zeros(shape))[0].shape == (5, 1, 4, 3, 1)

    @pytest.mark.parametrize("shape", [(5, 3, 4), (5, 12), (5, 4, 3, 2), ()])
    def test_other_shapes_are_refused_with_both(self, model, shape):
        with pytest.raises(ModelError) as error:
            fit("m", self.SPECS, np.zeros(shape))
        assert "'x' float32[1, 4, 3, 1]" in str(error.value)
        assert str(list(shape[1:])) in str(error.value)

    def test_check_fits(self, model):
        check_fits(model, np.zeros((2, 16)))
        with pytest.raises(
            ModelError, match=r"dense: its input is 'input0' float32\[1, 16\], but a sample is .*\[15\]"
        ):
            check_fits(model, np.zeros((2, 15)))

    def test_values_that_the_type_can_not_hold(self):
        with pytest.raises(ModelError, match="0 to 300"):
            fit("m", [TensorSpec("x", (2,), "int8")], np.array([[0, 300]]))
        with pytest.raises(ModelError, match="can't hold"):
            fit("m", [TensorSpec("x", (2,), "int8")], np.array([[0.5, 1]]))
        assert fit("m", [TensorSpec("x", (2,), "int8")], np.array([[-128.0, 1]]))[0].dtype == np.int8

    def test_numbers_of_inputs_and_samples(self):
        specs = [TensorSpec("a", (1, 2), "float32"), TensorSpec("b", (1, 3), "float32")]
        assert [len(array) for array in fit("m", specs, [np.zeros((4, 2)), np.zeros((4, 3))])] == [4, 4]
        with pytest.raises(ModelError, match="takes 2 inputs"):
            fit("m", specs, np.zeros((4, 2)))
        with pytest.raises(ModelError, match=r"different numbers of samples: \[4, 5\]"):
            fit("m", specs, [np.zeros((4, 2)), np.zeros((5, 3))])
        with pytest.raises(ModelError, match="no samples"):
            fit("m", specs, [np.zeros((0, 2)), np.zeros((0, 3))])

    @pytest.mark.parametrize("dtype", ["float32", "int8", "uint8", "int32", "bool"])
    def test_probe_inputs_fit_and_never_change(self, dtype):
        specs = [TensorSpec("x", (1, 50), dtype)]
        (first,), (second,) = probe_inputs(specs), probe_inputs(specs)
        assert first.shape == (4, 1, 50)
        assert first.dtype == dtype
        np.testing.assert_array_equal(first, second)
        assert len(np.unique(first)) > 1

    def test_probes_of_quantised_integers_hold_all_of_their_range(self):
        (probes,) = probe_inputs([TensorSpec("x", (1, 500), "int16", scale=0.001, zero_point=0)])
        assert probes.min() < -32000
        assert probes.max() > 32000
        assert np.abs(probes[0].astype(int)).max() <= 512  # a table has another entry each 128


class TestErrors:
    def test_missing_file(self, tmp_path):
        with pytest.raises(ModelError, match=r"gone\.h5 does not exist"):
            compile_model(tmp_path / "gone.h5", output_dir=tmp_path)

    def test_unknown_format(self, tmp_path):
        (tmp_path / "model.docx").touch()
        with pytest.raises(
            ModelError,
            match=r"unknown format \('\.docx'\)\. Known are: \.h5, \.keras, \.tflite, \.onnx, \.mlir, \.mlirbc",
        ):
            compile_model(tmp_path / "model.docx", output_dir=tmp_path)

    @pytest.mark.parametrize("suffix", [".h5", ".keras", ".tflite", ".onnx", ".mlir"])
    def test_empty_file(self, tmp_path, suffix):
        path = tmp_path / f"model{suffix}"
        path.touch()
        with pytest.raises(ModelError, match="is empty"):
            compile_model(path, output_dir=tmp_path)

    @pytest.mark.parametrize("suffix", [".h5", ".onnx"])
    def test_pointer_of_git_lfs(self, tmp_path, suffix):
        path = tmp_path / f"model{suffix}"
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab\nsize 12345\n")
        with pytest.raises(ModelError, match="is Git LFS's pointer to the file, not the file itself: git lfs pull"):
            compile_model(path, output_dir=tmp_path)

    @pytest.mark.parametrize(
        ("suffix", "kind"),
        [(".h5", "an HDF5 file"), (".keras", "a Keras archive"), (".tflite", "a TensorFlow Lite file")],
    )
    def test_other_files_are_refused_without_the_framework(self, tmp_path, suffix, kind, monkeypatch):
        monkeypatch.setattr(process, "run", lambda *_: pytest.fail("the framework was started"))
        path = tmp_path / f"model{suffix}"
        path.write_text("not found")
        with pytest.raises(ModelError, match=f"is not {kind}: it begins with"):
            compile_model(path, output_dir=tmp_path)

    def test_broken_mlir_gives_the_compilers_message_and_the_command(self, tmp_path):
        path = tmp_path / "model.mlir"
        path.write_text(DENSE.replace("stablehlo.add", "stablehlo.ad"))
        with pytest.raises(
            CompileError, match=r"(?s)can't compile model\.mlir: .*stablehlo\.ad.*The command was: iree-compile"
        ):
            compile_model(path, output_dir=tmp_path)
        assert not list(tmp_path.glob("*-import-*"))

    def test_unknown_compiler_flag(self, source, build):
        with pytest.raises(CompileError, match="--iree-no-such-flag"):
            compile_model(source, output_dir=build, extra_flags=["--iree-no-such-flag"])

    def test_dynamic_shapes(self, tmp_path):
        path = tmp_path / "model.mlir"
        path.write_text("func.func @main(%x: tensor<?xf32>) -> tensor<?xf32> {\n  return %x : tensor<?xf32>\n}")
        with pytest.raises(ModelError, match=r"tensor<\?xf32>, whose shape is open, but the chip needs fixed shapes"):
            compile_model(path, output_dir=tmp_path)

    def test_compiler_not_installed(self, source, tmp_path, monkeypatch):
        def missing(package):
            raise importlib.metadata.PackageNotFoundError(package)

        monkeypatch.setattr(importlib.metadata, "distribution", missing)
        with pytest.raises(CompileError, match=r"python -m pip install iree-base-compiler==\d+\.\d+\.\d+"):
            compile_model(source, output_dir=tmp_path)

    def test_compiler_without_its_program(self, source, tmp_path, monkeypatch):
        monkeypatch.setitem(iree._TOOLS, "iree-compile", ("iree-base-compiler", "iree/gone"))
        with pytest.raises(CompileError, match="force-reinstall iree-base-compiler"):
            compile_model(source, output_dir=tmp_path)

    @pytest.mark.parametrize("where", ["the compiler", "temporary files"])
    def test_a_shell_would_take_the_path_apart(self, where, source, model, tmp_path, monkeypatch):
        place = tmp_path / "It's mine (new) [1] $HOME ü"
        place.mkdir()
        if where == "the compiler":
            installed = iree.tool("iree-compile").parent
            for name in ("iree-compile", "iree-lld"):
                shutil.copy(installed / name, place)
            (place / "libIREECompiler.so").symlink_to(installed / "libIREECompiler.so")
            monkeypatch.setattr(iree, "tool", lambda name: place / name)
        else:
            monkeypatch.setenv("TMPDIR", str(place))
            monkeypatch.setattr(tempfile, "tempdir", None)
        assert compile_model(source, output_dir=tmp_path / "built").vmfb_sha256 == model.vmfb_sha256

    def test_time_limit(self, source, tmp_path, monkeypatch):
        monkeypatch.setattr(process, "TIME_LIMIT_SECONDS", 0.01)
        with pytest.raises(CompileError, match=r"did not end with dense\.mlir within 0\.01 s"):
            compile_model(source, output_dir=tmp_path)


class TestProcess:
    def test_output_and_exit_code(self):
        done = process.run([sys.executable, "-c", "import sys; print('out'); sys.exit('err')"])
        assert done.exit_code == 1
        assert sorted(done.output.split()) == ["err", "out"]

    def test_children_end_with_a_program_that_is_too_slow(self, tmp_path):
        child = tmp_path / "child"
        start = time.monotonic()
        done = process.run(["sh", "-c", f"sleep 60 & echo $! > {child}; wait"], time_limit=1)
        assert done.timed_out
        assert time.monotonic() - start < 20
        assert _ends(int(child.read_text()))

    def test_children_end_with_a_program_that_leaves_them(self, tmp_path):
        child = tmp_path / "child"
        assert not process.run(["sh", "-c", f"sleep 60 & echo $! > {child}"]).timed_out
        assert _ends(int(child.read_text()))


def _ends(pid: int) -> bool:
    """Whether the process ends soon. One that ended but that nobody waited for yet counts."""
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                return True
            os.kill(pid, 0)
        except OSError:
            return True
        time.sleep(0.05)
    return False


# Also does some imports itself.
MAKE_KERAS_MODELS = """
import json, pathlib, h5py, keras
from keras import layers
from springbok.compiler.importers import worker
keras.utils.set_random_seed(3)
motion, context = keras.Input((4, 3), name="motion"), keras.Input((2,), name="context", dtype="int32")
words = layers.Flatten(name="flat")(layers.Embedding(4, 3, name="words")(context))
both = layers.Concatenate(name="join")([layers.GRU(3, name="recurrent")(motion), words])
keras.Model(
    [motion, context], [layers.Dense(2, name="score")(both), layers.Softmax(name="share")(both)]
).save("two.keras")

image = keras.Input((6, 6, 2), name="image")
x = layers.DepthwiseConv2D(3, name="depth", bias_initializer="normal")(image)
x = layers.BatchNormalization(name="norm", moving_mean_initializer="normal")(x)
keras.Model(image, layers.Dense(4, name="last")(layers.Flatten()(x))).save("keras2.h5")
# Keras 2 wrote an argument that Keras 3 does not take.
with h5py.File("keras2.h5", "r+") as file:
    config = json.loads(file.attrs["model_config"])
    config["config"]["layers"][1]["config"]["groups"] = 1
    file.attrs["model_config"] = json.dumps(config)

keras.Sequential([keras.Input((None, 3), name="motion"), layers.GRU(2)]).save("open.h5")
keras.Sequential([keras.Input((3,)), layers.Dense(2)]).save_weights("only.weights.h5")
for name in ("open.h5", "only.weights.h5", "two.keras"):
    folder = pathlib.Path("imported", name)
    folder.mkdir(parents=True)
    job = {"do": "import", "framework": "keras", "model": name, "folder": str(folder), "shapes": [], "signature": None}
    pathlib.Path("job.json").write_text(json.dumps(job))
    worker.main("job.json")
"""


@pytest.fixture(scope="module")
def keras_models(tmp_path_factory, framework_server):
    folder = tmp_path_factory.mktemp("keras")
    framework_server.run_script(MAKE_KERAS_MODELS, folder)
    return folder


class TestKeras:
    def test_two_inputs_two_outputs_and_a_recurrent_layer(self, keras_models, build):
        imported = "tensorflow" in sys.modules
        model = compile_and_check(keras_models / "two.keras", output_dir=build)
        assert [str(spec) for spec in model.inputs] == ["'motion' float32[1, 4, 3]", "'context' int32[1, 2]"]
        assert [str(spec) for spec in model.outputs] == ["'score' float32[1, 2]", "'share' float32[1, 9]"]
        layers = {layer for dispatch in model.dispatches for layer in dispatch.layers}
        assert (
            {"recurrent", "words", "score", "share"}
            <= layers
            <= {"recurrent", "words", "flat", "join", "score", "share"}
        )
        assert model.host_check.samples == 4
        assert ("tensorflow" in sys.modules) == imported

    def test_keras_2_file_with_its_own_outputs(self, keras_models, build):
        path = keras_models / "keras2.h5"
        images = np.random.default_rng(1).standard_normal((4, 6, 6, 2)).astype(np.float32)
        model = compile_and_check(path, output_dir=build, inputs=images)
        assert model.dispatches[0].layers[0] == "depth"
        (outputs,) = framework_outputs(path, images, output_dir=build)
        assert outputs.shape == (4, 1, 4)
        assert np.abs(outputs).max() > 0.01

    def test_the_import_holds_no_paths_and_is_always_the_same(self, keras_models, build):
        mlir = compile_model(keras_models / "two.keras", output_dir=build).mlir.read_bytes()
        assert mlir == (keras_models / "imported" / "two.keras" / "model.mlir").read_bytes()
        assert b'.py"' not in mlir

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("open.h5", "its input 'motion' has the shape [None, None, 3]: only the batch may be open"),
            ("only.weights.h5", "it holds weights only: save the whole model with model.save()"),
        ],
    )
    def test_what_can_not_be_used(self, keras_models, name, message):
        assert message in json.loads((keras_models / "imported" / name / "answer.json").read_text())["error"]

    def test_cut_off_file(self, keras_models, build, tmp_path):
        path = tmp_path / "cut.h5"
        path.write_bytes((keras_models / "keras2.h5").read_bytes()[:2000])
        with pytest.raises(ModelError, match=r"cut\.h5 can't be used: Keras can't load it"):
            compile_model(path, output_dir=build)


def test_the_first_half_is_done_once_for_all_cores_and_makes_the_same_modules(tmp_path, monkeypatch):
    source, module = tmp_path / "dense.mlir", tmp_path / "module.vmfb"
    source.write_text(DENSE)
    iree._shared_half.cache_clear()
    for target in (Target(vectors=False), Target(vlen=128), Target(vlen=512)):
        plan = optimizer.plan_for("standard", vectors=target.vectors, vlen=target.vlen)
        flags, _ = compiler_flags(target, (), plan)
        shared, own = tmp_path / "shared.mlirbc", tmp_path / "own.mlirbc"
        iree.first_half(source, flags, shared, "dense")
        iree._run_source(source, [*flags, *iree._FIRST_HALF], own, iree._LOCATIONS, "dense")
        modules = []
        for half in (shared, own):
            iree.compile_module(half, [*flags, iree.SECOND_HALF], module)
            modules.append(module.read_bytes())
        assert modules[0] == modules[1]
    assert iree._shared_half.cache_info().misses == 1
    made = shared.read_bytes()
    iree._shared_half.cache_clear()  # as in another process
    monkeypatch.setattr(iree, "_halve", lambda *_: pytest.fail("it was done again"))
    iree.first_half(source, flags, shared, "dense")
    assert shared.read_bytes() == made


def test_an_error_of_the_first_half_tells_all_flags(tmp_path):
    source = tmp_path / "broken.mlir"
    source.write_text("func.func @main(")
    with pytest.raises(CompileError, match=r"(?s)iree-compile can't compile broken: .*zvl512b"):
        iree.first_half(source, compiler_flags(Target())[0], tmp_path / "half.mlirbc", "broken")
