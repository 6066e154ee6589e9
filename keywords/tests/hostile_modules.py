# SPDX-License-Identifier: Apache-2.0
"""Modules that are well formed and do what no compiler emits: IREE's own text of a model, edited and compiled on."""

from __future__ import annotations

import functools
import re
import struct
import tempfile
from pathlib import Path

from springbok.compiler import iree
from springbok.compiler.compiled import Target
from springbok.compiler.flags import compiler_flags
from springbok.support.process import run

DOUBLE = """
func.func @main(%x: tensor<8xf32>) -> tensor<8xf32> {
  %y = arith.addf %x, %x : tensor<8xf32>
  return %y : tensor<8xf32>
}
"""
INPUT_BYTES = 32
SPARE_BYTES = 520  # of a constant that takes the bytecode's place: about as much as there is


@functools.cache
def double(vectors: bool = True) -> bytes:
    """The model as it should be."""
    return _compiled(DOUBLE, vectors=vectors)


@functools.cache
def load_in_inference() -> bytes:
    """``main`` loads its kernels again, behind the dispatch."""
    init = _text().index("@__init()")
    load = re.search(r"vm\.call @hal_loader\.executable\.load\(.*", _text()[init:])[0]
    constants = re.findall(r"(%\w+) = (vm\.const\.ref\.(?:rodata @\w+|zero) : !vm\.buffer)", _text()[init:])
    lines = [f"{name} = {value}" for name, value in constants if name in load]
    return _compiled(_before_return("\n".join([*lines, f"%again = {load}"])), "--compile-from=vm")


@functools.cache
def constant_is_output() -> bytes:
    """A dispatch is given a constant to write its result to."""
    text = _text(f"vm.rodata private @spare dense<7> : vector<{SPARE_BYTES}xi8>")
    dispatch = re.search(r"vm\.call\.variadic @hal_loader\.executable\.dispatch.*", text)[0]
    wrong = re.sub(r"\(%ref_0#1, %zero, %c32\)", "(%spare, %at, %c32)", dispatch)
    assert wrong != dispatch
    constant = f"%spare = vm.const.ref.rodata @spare : !vm.buffer\n%at = vm.const.i64 {SPARE_BYTES - 32}\n"
    return _compiled(text.replace(dispatch, f"{dispatch}\n{constant}{wrong}"), "--compile-from=vm")


def bytecode_is_output() -> bytes:
    """The same, where that constant's bytes are the bytecode's."""
    module = constant_is_output()
    bytecode = _follow(module, _root_field(module, 14))
    segments = _follow(module, _root_field(module, 9))
    for index in range(_u32(module, segments)):
        segment = _follow(module, segments + 4 + 4 * index)
        field = _field(module, segment, 2)
        if field and _u32(module, _follow(module, field)) == SPARE_BYTES:
            return module[:field] + struct.pack("<I", bytecode - field) + module[field + 4 :]
    raise AssertionError("the module has no such constant")


@functools.cache
def keeps_its_input(then: str = "fail") -> bytes:
    """Puts its input into a global; ``then``: it fails, returns, or returns what it does not declare."""
    keep = "vm.global.store.ref %arg0, @kept : !vm.ref<!hal.buffer_view>"
    text = _before_return(keep, "vm.global.ref private mutable @kept : !vm.ref<!hal.buffer_view>")
    if then == "fail":
        text = text.replace(keep, f'{keep}\nvm.fail %c1, "on purpose"', 1)
        text = re.sub(r'(on purpose")\n\s*vm\.return .*', r"\1", text)
    if then == "undeclared":
        keep_and_lie = f"{keep}\n%none = vm.const.ref.zero : !vm.ref<!hal.buffer_view>"
        text = text.replace(keep, keep_and_lie, 1).replace("vm.return %ref_1", "vm.return %none", 1)
    return _compiled(text, "--compile-from=vm")


@functools.cache
def name_in_a_buffer() -> bytes:
    """The name of the kernel is looked up where anybody could have written another one."""
    text = _text()
    lookup = re.search(r"vm\.call @hal_loader\.executable\.lookup\.function\((%\w+), (%\w+)\)", text)
    start = text.rindex("\n", 0, lookup.start()) + 1
    copy = f"""%from = vm.const.i64.zero
    %name_bytes = vm.buffer.length {lookup[2]} : !vm.buffer -> i64
    %one = vm.const.i32 1
    %name = vm.buffer.clone {lookup[2]}, %from, %name_bytes, %one : !vm.buffer -> !vm.buffer
    """
    text = text[:start] + copy + text[start:].replace(f"({lookup[1]}, {lookup[2]})", f"({lookup[1]}, %name)", 1)
    return _compiled(text, "--compile-from=vm")


def _before_return(lines: str, declaration: str = "") -> str:
    text = _text(declaration)
    end = text.index("vm.return %ref_1")
    return text[:end] + lines + "\n" + text[end:]


def _text(declaration: str = "") -> str:
    """The model in the VM's dialect, with one more declaration."""
    text = _model_text()
    start = text.index("vm.global.ref private mutable")
    return text[:start] + declaration + "\n" + text[start:]


@functools.cache
def _model_text() -> str:
    return _compiled(DOUBLE, "--compile-to=vm").decode()


def _compiled(text: str, *phases: str, vectors: bool = True) -> bytes:
    flags, _ = compiler_flags(Target(vectors=vectors))
    with tempfile.TemporaryDirectory() as folder:
        source, module = Path(folder) / "source.mlir", Path(folder) / "module.vmfb"
        source.write_text(text)
        done = run([iree.tool("iree-compile"), source, "-o", module, *flags, *phases], time_limit=60)
        assert done.exit_code == 0, done.output
        return module.read_bytes()


def _u32(module: bytes, position: int) -> int:
    return struct.unpack_from("<I", module, position)[0]


def _follow(module: bytes, position: int) -> int:
    return position + _u32(module, position)


def _field(module: bytes, table: int, field: int) -> int:
    """Position of a field of a table; 0 when it is absent."""
    vtable = table - struct.unpack_from("<i", module, table)[0]
    if 4 + 2 * field >= struct.unpack_from("<H", module, vtable)[0]:
        return 0
    offset = struct.unpack_from("<H", module, vtable + 4 + 2 * field)[0]
    return table + offset if offset else 0


def _root_field(module: bytes, field: int) -> int:
    return _field(module, 4 + _u32(module, 4), field)
