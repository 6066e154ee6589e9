# SPDX-License-Identifier: Apache-2.0
"""Buffers: two allocations stay two, and what the proof of a module accepts and refuses."""

import re
import shutil
import subprocess
from contextlib import contextmanager

import numpy as np
import pytest

from springbok.compiler import buffers, iree
from springbok.compiler.buffers import Examined, examine
from springbok.compiler.compiled import Target
from springbok.compiler.compiler import compile_and_check, compile_model
from springbok.session import Session
from springbok.support.errors import CompileError

WEIGHTS = np.random.default_rng(64).standard_normal((2, 64, 64)).round(3).astype(np.float32)

#: Two dense layers whose outputs have one size: the input of the second and its output are buffers that are alike.
TWO_LAYERS = f"""
func.func @main(%x: tensor<1x64xf32>) -> tensor<1x64xf32> {{
  %v = stablehlo.constant dense<{WEIGHTS[0].tolist()}> : tensor<64x64xf32>
  %w = stablehlo.constant dense<{WEIGHTS[1].tolist()}> : tensor<64x64xf32>
  %z = stablehlo.constant dense<0.0> : tensor<1x64xf32>
  %a = stablehlo.dot_general %x, %v, contracting_dims = [1] x [0]
    : (tensor<1x64xf32>, tensor<64x64xf32>) -> tensor<1x64xf32>
  %b = stablehlo.maximum %a, %z : tensor<1x64xf32>
  %y = stablehlo.dot_general %b, %w, contracting_dims = [1] x [0]
    : (tensor<1x64xf32>, tensor<64x64xf32>) -> tensor<1x64xf32>
  return %y : tensor<1x64xf32>
}}
"""


def two_layers(x):
    return np.maximum(x.astype(np.float64) @ WEIGHTS[0], 0) @ WEIGHTS[1]


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "two_layers.mlir"
    path.write_text(TWO_LAYERS)
    return path


@contextmanager
def booted(**options):
    session = Session()
    try:
        session.boot("spike", count_opcodes=False, **options)
        yield session
    finally:
        session.shut_down()


@pytest.fixture
def as_iree_does(monkeypatch):
    monkeypatch.setattr(buffers, "mend", lambda source, _hal, _stream, output: shutil.copyfile(source, output))


@pytest.mark.parametrize("level", ["none", "standard"])
def test_two_buffers_of_one_size_stay_two_and_the_chip_is_right(source, tmp_path, level):
    model = compile_and_check(source, Target(vlen=128), output_dir=tmp_path, optimize=level)
    x = np.linspace(-3, 3, 64, dtype=np.float32).reshape(1, 64)
    with booted(vlen=128) as session:
        session.load_model(model)
        np.testing.assert_allclose(session.infer(x)[0], two_layers(x), rtol=1e-4, atol=1e-3)


def test_a_module_whose_buffers_became_one_is_refused(source, tmp_path, as_iree_does):
    with pytest.raises(CompileError) as refusal:
        compile_model(source, Target(vlen=128), output_dir=tmp_path, optimize="none")
    assert re.search(
        r"two_layers\.mlir can't be shown to keep its tensors apart.* main_dispatch_1\w* may find one buffer behind "
        r"its bindings 0 and 1, and reads one and writes the other; 2 buffers are allocated .*, but 1 in the module",
        str(refusal.value),
    )
    assert not list(tmp_path.glob("two_layers-vector-*"))


CONSTANTS = """
func.func @main(%x: tensor<1x4xf32>) -> (tensor<1x4xf32>, tensor<2x3xi32>, tensor<1x4xf32>) {
  %a = stablehlo.constant dense<[[1.0, -2.0, 3.0, 4.5]]> : tensor<1x4xf32>
  %b = stablehlo.constant dense<[[1, 2, 3], [-4, 5, 6]]> : tensor<2x3xi32>
  %y = stablehlo.add %x, %a : tensor<1x4xf32>
  return %a, %b, %y : tensor<1x4xf32>, tensor<2x3xi32>, tensor<1x4xf32>
}
"""


@pytest.fixture
def constants(tmp_path):
    path = tmp_path / "constants.mlir"
    path.write_text(CONSTANTS)
    return path


def test_outputs_that_are_constants_are_right_on_the_chip(constants, tmp_path):
    model = compile_and_check(constants, output_dir=tmp_path, optimize="none")
    with booted() as session:
        session.load_model(model)
        for _ in range(2):
            first, second, third = session.infer(np.float32([[1, 2, 3, 4]]))
            assert first.tolist() == [[1, -2, 3, 4.5]]
            assert second.tolist() == [[1, 2, 3], [-4, 5, 6]]
            assert third.tolist() == [[2, 0, 6, 8.5]]


def test_constants_that_the_compiler_loses_do_not_run(constants, tmp_path, monkeypatch):
    monkeypatch.setattr(buffers, "_lost", lambda _hal: set())
    with pytest.raises(CompileError, match=r"constants\.mlir does not run.* null"):
        compile_and_check(constants, output_dir=tmp_path, optimize="none")


# Programs of the VM, with what the stream phase would have said of their dispatches.

IMPORTS = """
  vm.import private @hal_inline.buffer.allocate(%a : i32, %b : i64) -> (!vm.ref<!hal.buffer>, !vm.buffer)
  vm.import private @hal_inline.buffer.storage(%a : !vm.ref<!hal.buffer>) -> !vm.buffer
  vm.import private @hal_inline.buffer.subspan(%a : !vm.ref<!hal.buffer>, %b : i64, %c : i64) -> !vm.ref<!hal.buffer>
  vm.import private @hal_inline.buffer_view.buffer(%a : !vm.ref<!hal.buffer_view>) -> !vm.ref<!hal.buffer>
  vm.import private @hal_loader.executable.lookup.function(%a : !vm.ref<!hal.executable>, %b : !vm.buffer) -> i64
  vm.import private @hal_loader.executable.dispatch(%a : !vm.ref<!hal.executable>, %b : i64, %x : i32, %y : i32,
    %z : i32, %c : i32 ..., %d : tuple<!vm.buffer, i64, i64> ...)
"""

STREAM = """
  util.func public @main() {
    %1 = stream.cmd.execute with(%0 as %arg0: !t{%c}, %9 as %arg1: !t{%c}) {
      stream.cmd.dispatch @k::@kernel {
        ro %arg0[%c0 for %c64] : !t{%c},
        wo %arg1[%c0 for %c64] : !t{%c}
      }
      stream.cmd.dispatch @k::@in_place {
        ro %arg0[%c0 for %c64] : !t{%c},
        wo %arg0[%c0 for %c64] : !t{%c}
      }
    } => !stream.timepoint
  }
"""

PROGRAM = """
vm.module @made {{
  {imports}
  vm.global.ref private mutable @kept : !vm.ref<!hal.buffer>
  vm.rodata private @kernel "kernel"
  vm.rodata private @in_place "in_place"
  {functions}
  vm.export @main
  vm.func private @run(%x: !vm.buffer, %y: !vm.buffer) attributes {{inlining_policy = #util.inline.never}} {{
    %n = vm.const.i64 64
    %o = vm.const.i64.zero
    {dispatch_xy}
    vm.return
  }}
  vm.func @main(%view: !vm.ref<!hal.buffer_view>, %c: i32) {{
    %n = vm.const.i64 64
    %m = vm.const.i64 128
    %o = vm.const.i64.zero
    %align = vm.const.i32 64
    {body}
  }}
}}
"""

_NUMBERS = iter(range(1_000_000))


def dispatch(one, other, kernel="kernel", offsets=("%o", "%o")):
    number = next(_NUMBERS)
    bindings = f"({one}, {offsets[0]}, %n), ({other}, {offsets[1]}, %n)"
    return f"""
    %e{number} = vm.const.ref.zero : !vm.ref<!hal.executable>
    %s{number} = vm.const.ref.rodata @{kernel} : !vm.buffer
    %w{number} = vm.const.i32 1
    %k{number} = vm.call @hal_loader.executable.lookup.function(%e{number}, %s{number})
      : (!vm.ref<!hal.executable>, !vm.buffer) -> i64
    vm.call.variadic @hal_loader.executable.dispatch(%e{number}, %k{number}, %w{number}, %w{number}, %w{number}, [],
      [{bindings}]) : (!vm.ref<!hal.executable>, i64, i32, i32, i32, i32 ..., tuple<!vm.buffer, i64, i64> ...)
    """


def allocate(name, size="%n"):
    kinds = "(i32, i64) -> (!vm.ref<!hal.buffer>, !vm.buffer)"
    return f"%{name}:2 = vm.call @hal_inline.buffer.allocate(%align, {size}) : {kinds}\n"


def part(name, buffer, offset):
    kinds = "(!vm.ref<!hal.buffer>, i64, i64) -> !vm.ref<!hal.buffer>"
    return (
        f"%{name}_part = vm.call @hal_inline.buffer.subspan({buffer}, {offset}, %n) : {kinds}\n"
        f"%{name} = vm.call @hal_inline.buffer.storage(%{name}_part) : (!vm.ref<!hal.buffer>) -> !vm.buffer\n"
    )


BUFFER = "!vm.buffer"
INPUT = """
    %given = vm.call @hal_inline.buffer_view.buffer(%view) : (!vm.ref<!hal.buffer_view>) -> !vm.ref<!hal.buffer>
    %x = vm.call @hal_inline.buffer.storage(%given) : (!vm.ref<!hal.buffer>) -> !vm.buffer
"""
MEET = "kernel may find one buffer behind its bindings 0 and 1, and reads one and writes the other"

ACCEPTED = {
    "two allocations": allocate("a") + allocate("b") + dispatch("%a#1", "%b#1") + "vm.return",
    "an input and an allocation": INPUT + allocate("a") + dispatch("%x", "%a#1") + "vm.return",
    "parts of one buffer": allocate("a", "%m")
    + part("p", "%a#0", "%o")
    + part("q", "%a#0", "%n")
    + dispatch("%p", "%q")
    + "vm.return",
    "ranges of one buffer": allocate("a", "%m") + dispatch("%a#1", "%a#1", offsets=("%n", "%o")) + "vm.return",
    "what the stream phase has in place": allocate("a") + dispatch("%a#1", "%a#1", "in_place") + "vm.return",
    "a buffer anew in each round": allocate("a")
    + f"vm.br ^loop(%a#1 : {BUFFER})\n^loop(%old: {BUFFER}):\n"
    + allocate("b")
    + dispatch("%old", "%b#1")
    + f"vm.cond_br %c, ^loop(%b#1 : {BUFFER}), ^end\n^end:\nvm.return",
    "a function with two buffers": allocate("a")
    + allocate("b")
    + f"vm.call @run(%a#1, %b#1) : ({BUFFER}, {BUFFER}) -> ()\nvm.return",
    "the buffer of an earlier call": "%was = vm.global.load.ref @kept : !vm.ref<!hal.buffer>\n"
    "%x = vm.call @hal_inline.buffer.storage(%was) : (!vm.ref<!hal.buffer>) -> !vm.buffer\n"
    + allocate("a")
    + "vm.global.store.ref %a#0, @kept : !vm.ref<!hal.buffer>\n"
    + dispatch("%x", "%a#1")
    + "vm.return",
}

REFUSED = {
    "one allocation": (allocate("a") + dispatch("%a#1", "%a#1") + "vm.return", MEET),
    "overlapping parts": (
        allocate("a", "%m")
        + "%h = vm.const.i64 32\n"
        + part("p", "%a#0", "%o")
        + part("q", "%a#0", "%h")
        + dispatch("%p", "%q")
        + "vm.return",
        MEET,
    ),
    "a branch that may bring both": (
        allocate("a")
        + allocate("b")
        + f"vm.cond_br %c, ^go(%a#1 : {BUFFER}), ^go(%b#1 : {BUFFER})\n^go(%y: {BUFFER}):\n"
        + dispatch("%a#1", "%y")
        + "vm.return",
        MEET,
    ),
    "a choice": (
        allocate("a")
        + allocate("b")
        + f"%y = vm.select.ref %c, %a#1, %b#1 : {BUFFER}\n"
        + dispatch("%a#1", "%y")
        + "vm.return",
        MEET,
    ),
    "the buffer of the round before, not copied": (
        allocate("a") + f"vm.br ^loop(%a#1, %a#1 : {BUFFER}, {BUFFER})\n"
        f"^loop(%one: {BUFFER}, %two: {BUFFER}):\n"
        + dispatch("%one", "%two")
        + allocate("b")
        + f"vm.cond_br %c, ^loop(%b#1, %b#1 : {BUFFER}, {BUFFER}), ^end\n^end:\nvm.return",
        MEET,
    ),
    "a function with one buffer": (
        allocate("a") + f"vm.call @run(%a#1, %a#1) : ({BUFFER}, {BUFFER}) -> ()\nvm.return",
        MEET,
    ),
    "the buffer of this call, by a global": (
        allocate("a") + "vm.global.store.ref %a#0, @kept : !vm.ref<!hal.buffer>\n"
        "%was = vm.global.load.ref @kept : !vm.ref<!hal.buffer>\n"
        "%x = vm.call @hal_inline.buffer.storage(%was) : (!vm.ref<!hal.buffer>) -> !vm.buffer\n"
        + dispatch("%x", "%a#1")
        + "vm.return",
        MEET,
    ),
    "a constant as an output": (
        allocate("a") + f"%y = vm.const.ref.rodata @kernel : {BUFFER}\n" + dispatch("%a#1", "%y") + "vm.return",
        "kernel writes into a constant (binding 1)",
    ),
    "a kernel that the stream phase does not know": (
        allocate("a") + allocate("b") + dispatch("%a#1", "%b#1", "unknown") + "vm.return",
        "unknown is not called as in the compiler's phase stream",
    ),
}


def examined(body, tmp_path, hal=""):
    source, module = tmp_path / "made.mlir", tmp_path / "made.vmfb"
    unknown = '  vm.rodata private @unknown "unknown"\n' if "@unknown" in body else ""
    text = PROGRAM.format(imports=IMPORTS + unknown, functions="", dispatch_xy=dispatch("%x", "%y"), body=body)
    source.write_text(text)
    command = [iree.tool("iree-compile"), "--compile-mode=vm", "--iree-vm-emit-polyglot-zip=false"]
    subprocess.run([*command, source, "-o", module], check=True, timeout=60, capture_output=True)
    return examine(module.read_bytes(), STREAM, hal)


@pytest.mark.parametrize("body", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_what_can_be_proved_is_accepted(body, tmp_path):
    assert examined(body, tmp_path) == Examined()


@pytest.mark.parametrize(("body", "clause"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cant_be_proved_is_named(body, clause, tmp_path):
    assert examined(body, tmp_path) == Examined(shared=(clause,))


def test_a_dispatch_without_a_buffer_is_named(tmp_path):
    body = allocate("a") + f"%none = vm.const.ref.zero : {BUFFER}\n" + dispatch("%none", "%a#1") + "vm.return"
    assert examined(body, tmp_path) == Examined(without_weights=("kernel",))


def test_fewer_allocations_than_the_compiler_made_are_named(tmp_path):
    hal = """
  util.func private @twice() {
    hal_inline.buffer.allocate alignment(%c64) : !hal.buffer{%c64} in !util.buffer
  }
  util.func public @main() {
    %0:2 = hal_inline.buffer.allocate alignment(%c64) : !hal.buffer{%c64} in !util.buffer
    util.call @twice() : () -> ()
    util.call @twice() : () -> ()
  }
"""
    body = allocate("a") + allocate("b") + dispatch("%a#1", "%b#1") + "vm.return"
    found = examined(body, tmp_path, hal)
    assert found.shared == ("3 buffers are allocated in the compiler's phase hal, but 2 in the module",)
    assert examined(body, tmp_path, hal.replace("    hal_inline.buffer.allocate", "", 1)) == Examined()


def test_a_resource_is_the_same_under_its_other_names():
    stream = """
  util.func public @main() {
    %4:2 = stream.timepoint.await %3 => %result, %other : !t{%c}, !t{%c}
    %5 = stream.resource.subview %4#1[%c0] : !t{%c} -> !t{%c}
    %1 = stream.cmd.execute with(%5 as %arg0: !t{%c}, %other as %arg1: !t{%c}, %result as %arg2: !t{%c}) {
      stream.cmd.dispatch @k::@kernel[%n](%7 : i32) {
        ro %arg0[%c0 for %c64] : !t{%c},
        rw %arg1[%c0 for %c64] : !t{%c},
        wo %arg2[%c0 for %c64] : !t{%c}
      }
    } => !stream.timepoint
  }
"""
    (bindings,) = buffers.declared_bindings(stream).values()
    assert (bindings.count, bindings.written, bindings.together) == (3, {1, 2}, {(0, 1)})
