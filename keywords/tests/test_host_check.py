# SPDX-License-Identifier: Apache-2.0
"""The check on this machine: it passes what is right, and finds IREE's loss of weights."""

from dataclasses import replace

import numpy as np
import pytest
from tiny_models import DENSE, dense

from springbok.compiler import buffers, flags, host_check, iree
from springbok.compiler.compiler import compile_and_check, compile_model
from springbok.compiler.flags import WEIGHT_FLAGS
from springbok.compiler.host_check import check_on_host, host_flags
from springbok.support.cache import Cache
from springbok.support.errors import CompileError, ModelError

INPUTS = np.linspace(-2, 2, 6 * 16, dtype=np.float32).reshape(6, 1, 16)


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    return tmp_path_factory.mktemp("build")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "dense.mlir"
    path.write_text(DENSE)
    return path


@pytest.fixture(scope="module")
def model(source, build):
    return compile_model(source, output_dir=build)


def without_weights_flags(flags):
    return tuple(flag for flag in flags if flag.partition("=")[0] not in WEIGHT_FLAGS)


def test_a_right_module_passes(model):
    result = check_on_host(model, INPUTS, dense(INPUTS))
    assert result.samples == 4
    assert 0 <= result.error < 1e-6
    assert result.tolerance == 1e-5


def test_wrong_outputs_are_found_with_their_place(model):
    expected = dense(INPUTS)
    expected[2, 0, 5] += 1
    with pytest.raises(CompileError, match=r"output 'output0' of sample 2 differs by .*\[0, 5\].*tolerance 1e-05\)"):
        check_on_host(model, INPUTS, expected)
    assert check_on_host(model, INPUTS, expected, tolerance=1.5).error > 0.01


def test_whose_defect_it_is_is_found_by_doing_without_the_optimizer(model, monkeypatch, tmp_path):
    expected = dense(INPUTS)
    expected[2, 0, 5] += 1
    with pytest.raises(CompileError, match=r"Stock IREE \(optimize=none\) computes it otherwise too: another form"):
        check_on_host(model, INPUTS, expected)
    run = iree.run_samples

    def wrong_with_the_optimizer(module, declared, inputs, **options):
        return [array + (module.name != "stock.vmfb") for array in run(module, declared, inputs, **options)]

    monkeypatch.setattr(iree, "run_samples", wrong_with_the_optimizer)
    with pytest.raises(
        CompileError, match=r"Compiled with optimize=none, .* it is right: the optimizer has a defect\."
    ):
        check_on_host(model, INPUTS, dense(INPUTS), cache=Cache(tmp_path))


def test_the_first_operation_with_another_outcome_is_named(monkeypatch, tmp_path):
    """Here values of the second one's, and what is made of them, are off by a step; its own is no output."""
    onnx = pytest.importorskip("onnx")
    from onnx_models import FLOAT, model_of

    kinds = {"Abs": "a", "Neg": "b", "Relu": "c", "Exp": "y"}
    names = ["x", *kinds.values()]
    nodes = [onnx.helper.make_node(kind, [names[n]], [to], name=f"n{n}") for n, (kind, to) in enumerate(kinds.items())]
    path = tmp_path / "chain.onnx"
    onnx.save(model_of(nodes, {"x": (FLOAT, [1, 4])}, {"y": (FLOAT, [1, 4])}), path)
    run = iree.run_samples

    def wrong_from_the_second_on(module, declared, inputs, **options):
        outputs = run(module, declared, inputs, **options)
        is_right = [len(outputs) > 1 and np.array_equal(array, np.abs(inputs[0])) for array in outputs]
        return [array if right else array + 0.01 for array, right in zip(outputs, is_right, strict=True)]

    compiled = compile_and_check(path, output_dir=tmp_path / "build")
    monkeypatch.setattr(iree, "run_samples", wrong_from_the_second_on)
    with pytest.raises(CompileError, match=r"first operation whose outcome differs is that of its operation Neg \('n1"):
        compile_and_check(path, output_dir=tmp_path / "other")
    assert compiled.format == "onnx"


def test_not_a_number_is_never_within_the_tolerance(model):
    expected = dense(INPUTS)
    expected[0, 0, 0] = np.nan
    with pytest.raises(CompileError, match="sample 0 differs by inf"):
        check_on_host(model, INPUTS, expected)


def test_not_a_number_where_the_framework_has_it_too(model):
    inputs = INPUTS.copy()
    inputs[1, 0, 3] = np.inf
    with np.errstate(invalid="ignore"):
        expected = dense(inputs)
    assert not np.isfinite(expected[1]).any()
    assert check_on_host(model, inputs, expected).error < 1e-6


@pytest.fixture
def as_iree_does(monkeypatch):
    monkeypatch.setattr(buffers, "_lost", lambda _hal: set())


def test_weights_that_were_dropped_are_found_by_running_it(model, as_iree_does):
    """The defect itself: iree-compile without the two flags says nothing, and the module is useless."""
    broken = replace(model, flags=without_weights_flags(model.flags))
    with pytest.raises(CompileError, match=r"does not run.*inline-dynamic loses constants"):
        check_on_host(broken, INPUTS, dense(INPUTS))


def test_weights_that_were_dropped_are_found_by_the_compilers_own_code(model, tmp_path, as_iree_does):
    whole = iree.compile_module(model.mlir, model.flags, tmp_path / "whole.vmfb")
    broken = iree.compile_module(model.mlir, without_weights_flags(model.flags), tmp_path / "broken.vmfb")
    assert whole.dropped_weights_in == ()
    assert broken.dropped_weights_in == ("main_dispatch_0",)


def test_a_compilation_that_drops_weights_fails_and_leaves_nothing(source, tmp_path, monkeypatch, as_iree_does):
    monkeypatch.setattr(flags, "WEIGHT_FLAGS", {})
    with pytest.raises(CompileError, match=r"dropped the weights of dense\.mlir: main_dispatch_0 would run without"):
        compile_and_check(source, output_dir=tmp_path)
    assert not list(tmp_path.glob("dense-vector-*"))


def test_flags_of_the_core_are_left_out(model):
    flags = host_flags((*model.flags, "--iree-llvmcpu-vscale-range=8,8", "--iree-opt-level=O3"))
    assert not any("riscv" in flag or "zve" in flag or "vscale" in flag or "ilp32" in flag for flag in flags)
    assert {"--iree-execution-model=inline-dynamic", "--iree-opt-level=O3"} < set(flags)
    assert {f"{name}={value}" for name, value in WEIGHT_FLAGS.items()} < set(flags)


def test_inputs_and_outputs_must_fit(model):
    with pytest.raises(ModelError, match="input0"):
        check_on_host(model, np.zeros((1, 3)), dense(INPUTS[:1]))
    with pytest.raises(ModelError, match="output0"):
        check_on_host(model, INPUTS[:1], np.zeros((1, 3)))


def test_given_inputs_are_checked_instead_of_made_up_ones(source, build):
    made_up, given = (
        compile_and_check(source, output_dir=build),
        compile_and_check(source, output_dir=build, inputs=INPUTS[:3]),
    )
    assert made_up.host_check.samples == host_check.SAMPLES
    assert given.host_check.samples == 3
