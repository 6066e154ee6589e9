# SPDX-License-Identifier: Apache-2.0
"""The accelerator: its model, its instruction on the chip, and the check that holds its RTL against the model."""

import random
import shutil

import numpy as np
import pytest
from chip_programs import A0, A1, A2, Program
from hypothesis import given
from hypothesis import strategies as st

from springbok import process, rtl_check
from springbok.compiler import framework_outputs
from springbok.datasets import load
from springbok.engines.accelerator import dot4z, lanes
from springbok.engines.opcodes import opcode_name
from springbok.engines.spike import SpikeEngine

WORDS = st.integers(0, 2**32 - 1)
needs_verilator = pytest.mark.skipif(
    not all(map(shutil.which, ("verilator", "g++", "make"))), reason="Verilator is not installed: apt install verilator"
)


@given(left=WORDS, right=WORDS)
def test_the_model_is_a_dot_product_of_signed_bytes(left, right):
    one, other = (np.array([word], "<u4").view("i1").astype(int) for word in (left, right))
    assert lanes(left) == one.tolist()
    assert dot4z(left, right) == one @ other


def test_the_front_of_the_gesture_model_is_what_the_framework_computes():
    dataset = load("basic_motions")
    inputs, kernel = rtl_check._before_dense(dataset.inputs[:3])
    assert inputs.shape == (3, 352) and kernel.shape == (352, 16)
    import h5py

    with h5py.File(rtl_check.GESTURES) as file:
        found = {}
        file["model_weights"].visititems(lambda name, item: found.update({name: item}))
        weights = {
            (layer, kind): next(item[...] for name, item in found.items() if layer in name and name.endswith(kind))
            for layer in ("dense_1", "dense_2")
            for kind in ("kernel", "bias")
        }
    hidden = np.maximum(inputs @ kernel + weights["dense_1", "bias"], 0)
    logits = hidden @ weights["dense_2", "kernel"] + weights["dense_2", "bias"]
    softmax = np.exp(logits - logits.max(axis=1, keepdims=True))
    softmax /= softmax.sum(axis=1, keepdims=True)
    assert softmax == pytest.approx(
        framework_outputs(rtl_check.GESTURES, dataset.inputs)[0][:3].reshape(3, -1), abs=1e-5
    )


def test_the_instruction_is_there_only_on_a_chip_with_the_accelerator(tmp_path):
    program = Program()
    program.li(A0, 0x80FF0102).li(A1, 0x7F03FF05).custom3(6, A2, A0, A1).custom3(3, 0, A2)
    elf = program.write_elf(tmp_path / "dot.elf")
    assert opcode_name(0x0000607B) == "dot4z"
    with SpikeEngine(elf, accelerator=True) as chip:
        expected = dot4z(0x80FF0102, 0x7F03FF05) & 0xFFFFFFFF
        assert f"finished with code {expected} " in wait_for(chip, "finished")
        assert chip.take_operands() == [(0x80FF0102, 0x7F03FF05)]
        assert chip.take_operands() == []
    with SpikeEngine(elf) as chip:
        assert "trapped" in wait_for(chip, "trapped")


def wait_for(chip, text):
    for _ in range(200):
        if text in (said := chip.diagnose()):
            return said
    return said


def test_a_real_layer_is_recorded_and_computed_right():
    operands, results = rtl_check.recorded_operands(1)
    weights, inputs = rtl_check.quantised_layer(1)
    assert len(operands) == 16 * 352 // 4
    assert results[0].sums.tolist() == (weights.astype(int) @ inputs[0].astype(int)).tolist()
    assert sum(dot4z(*pair) for pair in operands[:88]) == results[0].sums[0]


@needs_verilator
def test_the_rtl_answers_what_the_model_does_and_has_no_lint():
    assert rtl_check.check(rtl_check.RTL, {"corner": rtl_check.corner_operands()}) == 180
    done = process.run(["verilator", "--lint-only", "-Wall", rtl_check.RTL])
    assert (done.exit_code, done.output) == (0, "")


@needs_verilator
def test_a_flipped_bit_is_told_with_the_operands_of_the_first_mismatch(tmp_path):
    text = rtl_check.planted_complaint(tmp_path, random.Random(2))
    assert "first mismatch at corner operands" in text
    assert "rs1 0x" in text and "rs2 0x" in text and "the model 0x" in text


@needs_verilator
@pytest.mark.parametrize(
    ("right", "wrong", "said"),
    [
        ("endmodule", "endmodul", "does not build"),
        ("rsp_valid <= cmd_valid;", "rsp_valid <= 1'b0;", "does not answer at request 0"),
    ],
)
def test_rtl_that_does_not_work_at_all_says_why(tmp_path, right, wrong, said):
    broken = tmp_path / "broken.v"
    broken.write_text(rtl_check.RTL.read_text().replace(right, wrong))
    with pytest.raises(rtl_check.RtlError, match=said):
        rtl_check.check(broken, {"corner": rtl_check.corner_operands()})


def test_without_verilator_it_is_said_in_one_line(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        rtl_check.VerilatorMissing, match=r"^The RTL is not checked: verilator, .*apt install verilator"
    ):
        rtl_check.build()
