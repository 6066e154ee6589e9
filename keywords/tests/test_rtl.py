# SPDX-License-Identifier: Apache-2.0
"""The gate for RTL: it passes what is right, and finds each of the planted faults."""

import ctypes
import json
import os
import re
import shutil
import subprocess
import sys

import jsonschema
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from RtlLibrary import RtlLibrary
from springbok.engines.dot4 import dot4
from springbok.measuring import metrics
from springbok.support.errors import RtlError, RtlToolNeeded
from springbok.trials import rtl

needs_verilator = pytest.mark.skipif(not shutil.which("verilator"), reason="needs Verilator (apt install verilator)")
needs_renode = pytest.mark.skipif(
    not (os.environ.get("RENODE_ROOT") or shutil.which("renode")), reason="needs Renode (RENODE_ROOT, or on PATH)"
)
WORDS = st.integers(0, 0xFFFFFFFF)

# What becomes what, and what the check must say of it.
FAULTS = {
    "bit flipped in the adder": (".addend(accumulator)", ".addend(accumulator ^ 32'h00000400)", "operands 0, recorded"),
    "top bit lost": (".addend(accumulator)", ".addend(accumulator & 32'h7fffffff)", "expected 0x"),
    "subtracts": ("result + x * y", "result - x * y", "operands 0, recorded"),
    "sign extension lost": ("{SIGN_COPIES{a[lane*LANE_BITS+LANE_BITS-1]}}", "{SIGN_COPIES{1'b0}}", "expected 0x"),
    "lane order swapped": ("b[lane*", "b[(LANES-1-lane)*", "operands 0, recorded"),
    "last lane lost": ("lane < LANES;", "lane < LANES - 1;", "expected 0x"),
    "extreme product wrong": ("+ x * y", "+ (x * y == 32'sd16384 ? 32'sd0 : x * y)", "corner cases"),
    "accumulates without a request": ("(cmd_valid && rsp_ready", "(rsp_ready", "operands"),
    "accumulates while it waits": ("(cmd_valid && rsp_ready", "(cmd_valid", "operands"),
    "accumulates at other functions": ("== DOT4", "== DOT4 || cmd_payload_function_id == 10'd3", "operands"),
    "reset ignored": ("if (reset) accumulator <= 32'd0;\n        else if", "if", "Verilator refuses"),
    "never answers": ("rsp_valid = cmd_valid", "rsp_valid = cmd_valid && 1'b0", "does not answer at operands 0"),
    "narrow wire": ("wire [31:0] sum", "wire [30:0] sum", "Verilator refuses"),
}


@pytest.fixture(scope="module")
def operands():
    return {rtl.RECORDED: rtl.record_layer(1).operands} | rtl.made_up_operands(random=500)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The C model, for Python."""
    library = tmp_path_factory.mktemp("model") / "model.so"
    command = [sys.executable, "-m", "ziglang", "cc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([*command, str(rtl.RTL / "dot4_model.c"), "-o", str(library)], check=True)
    function = ctypes.CDLL(str(library)).dot4
    function.restype, function.argtypes = ctypes.c_uint32, [ctypes.c_uint32] * 3
    return function


def test_the_engines_dot4_is_the_models(model):
    for rs1, rs2, rd in rtl.corner_cases().tolist():
        assert dot4(rs1, rs2, rd) == model(rs1, rs2, rd)

    @given(WORDS, WORDS, WORDS)
    def agrees(rs1, rs2, rd):
        assert dot4(rs1, rs2, rd) == model(rs1, rs2, rd)

    agrees()


def test_the_model_by_hand(model):
    assert model(0x80808080, 0x80808080, 0x7FFFFFFF) == 0x8000FFFF
    assert model(0x04030201, 0x01010101, 0xFFFFFFFF) == 9
    assert model(0x000000FF, 0x00000001, 0) == 0xFFFFFFFF


def test_the_layer_on_the_chip_is_the_models_own():
    recording = rtl.record_layer(2)
    layer = recording.layer
    rows, length = layer.weights.shape
    assert (layer.name, rows, length) == ("the first dense layer of gestures_int8.tflite", 16, 352)
    assert recording.counts.opcodes["dot4"] == len(recording.operands) == 2 * rows * length // 4
    for sample in range(2):  # TensorFlow Lite's own outputs, from sums that the chip was held to
        assert np.array_equal(layer.rescaled(layer.sums(sample)), layer.outputs[sample])
    assert len(np.unique(recording.operands, axis=0)) > 1000


def test_a_layer_that_the_chip_computes_wrongly_is_no_recording(monkeypatch):
    monkeypatch.setattr(
        rtl, "_compute", lambda chip, layer, sample: layer.sums(sample) + np.eye(1, 16, 3, dtype=int)[0]
    )
    with pytest.raises(
        RtlError,
        match=r"Spike computes .* wrongly: sum 3 of recording 0 .* 1 of 16 sums differ",
    ):
        rtl.record_layer(1)


def test_seed_decides():
    first, again, other = (rtl.made_up_operands(100, seed)[rtl.RANDOM] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@needs_verilator
def test_the_rtl_is_what_its_model_is(operands):
    check = rtl.check(operands)
    assert check.operands == {rtl.RECORDED: 1408, rtl.CORNERS: 1260, rtl.RANDOM: 500}
    assert "3,168 operands" in str(check)


@needs_verilator
@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(tmp_path, operands, cache, fault):
    old, new, message = FAULTS[fault]
    with pytest.raises(RtlError) as caught:
        rtl.check(operands, rtl.plant_fault(tmp_path, old, new), cache)
    assert message in str(caught.value)
    if "expected" in str(caught.value):
        assert_names_a_real_mismatch(str(caught.value))


def assert_names_a_real_mismatch(text: str) -> None:
    """The message's operands give what it expects, and what it got is something else."""
    words = [int(word, 16) for word in re.findall("0x([0-9a-f]{8})", text)]
    rs1, rs2, rd, expected, got = words
    assert dot4(rs1, rs2, rd) == expected != got


@needs_verilator
def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(RtlError, match=r"There is no Verilog file .*none\.v"):
        RtlLibrary().rtl_should_match_model(tmp_path / "none.v", samples=1)


def test_a_fault_that_is_not_there_is_not_planted(tmp_path):
    with pytest.raises(RtlError, match="'no such text' is nowhere"):
        rtl.plant_fault(tmp_path, "no such text", "")


def test_without_a_host_compiler_the_one_of_pip_is_taken(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    name, *command = rtl._compiler()
    assert name.startswith("ziglang")
    assert command == [sys.executable, "-m", "ziglang", "c++"]


def test_without_verilator_it_says_so(operands, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RtlToolNeeded, match="needs Verilator, which is not on PATH"):
        rtl.check(operands)
    assert rtl.main(["--random", "10", "--samples", "1"]) == 2
    assert "needs Verilator" in capsys.readouterr().err


def test_without_renode_it_says_so(monkeypatch):
    monkeypatch.delenv("RENODE_ROOT", raising=False)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(RtlToolNeeded, match="Co-simulation needs Renode"):
        rtl.cosimulate()


def test_the_renode_that_runs_the_suite_goes_first(tmp_path, monkeypatch):
    monkeypatch.setenv("RENODE_ROOT", "/nowhere")
    program = tmp_path / "renode"
    program.touch(mode=0o755)
    assert rtl.renode_program(tmp_path) == program


@needs_verilator
def test_command(tmp_path, capsys):
    assert rtl.main(["--random", "10", "--samples", "1"]) == 0
    assert "on 2,678 operands (1,408 recorded from a real inference" in capsys.readouterr().out
    broken = rtl.plant_fault(tmp_path, "result + x * y", "result - x * y")
    assert rtl.main([str(broken), "--random", "10", "--samples", "1"]) == 1
    assert "First mismatch at operands 0" in capsys.readouterr().err
    assert rtl.main([str(tmp_path / "none.v"), "--samples", "1"]) == 1
    assert "There is no Verilog file" in capsys.readouterr().err


def test_metrics_hold_the_checks_of_this_run_beside_the_models(tmp_path):
    path = tmp_path / "metrics.json"
    path.write_text("of another run")
    entry = {"unit": "dot4_cfu.v", "sha256": "0" * 64, "verilator": "5", "agrees": True, "operands": {"random": 3}}
    metrics.add_rtl_check(path, entry, "spike", "1")
    without = {key: value for key, value in metrics.read(path).items() if key != "rtl"}
    metrics.write(path, metrics.with_rtl_checks(path, without))
    assert metrics.read(path) == without | {"rtl": [entry]}
    metrics.add_rtl_check(path, entry, "spike", "1")
    assert metrics.read(path) == without | {"rtl": [entry, entry]}
    jsonschema.validate(metrics.read(path), json.loads(metrics.SCHEMA_FILE.read_text()))


@needs_verilator
@needs_renode
def test_renode_computes_with_the_rtl_and_not_without(tmp_path):
    assert len(rtl.cosimulate().bias) == 16
    broken = rtl.plant_fault(tmp_path, "result + x * y", "result - x * y")
    with pytest.raises(RtlError, match=r"Renode with dot4_cfu.v computes the .* wrongly: sum 0 of recording 0"):
        rtl.cosimulate(broken)
