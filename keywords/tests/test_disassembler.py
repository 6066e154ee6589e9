# SPDX-License-Identifier: Apache-2.0
"""The disassembler: against IREE's own dump, on every module of the project, and on files that are broken."""

import contextlib
import importlib.metadata
import re
import struct
import subprocess

import pytest
from tiny_models import dense_vmfb

from springbok.compiler import compiler, iree
from springbok.modules.disassembler import RUNTIME, disassemble, main, opcode_table
from springbok.modules.vmfb import open_archive
from springbok.support.errors import ModelError
from springbok.trials import conformance

# A module with a loop, an internal call, a switch, lists and constants of every kind; it need not run.
PROGRAM = """
vm.module @made {
  vm.func private @callee(%a: i32, %b: i64) -> (i32, i64) attributes {inlining_policy = #util.inline.never} {
    %s = vm.mul.i32 %a, %a : i32
    vm.return %s, %b : i32, i64
  }
  vm.export @main
  vm.func @main(%a: i32, %b: i64, %f: f32) -> i64 {
    %half = vm.const.f32 0.5
    %big = vm.const.i64 81985529216486895
    %minus = vm.const.i32 -7
    %g = vm.add.f32 %f, %half : f32
    %list = vm.list.alloc %a : (i32) -> !vm.list<i32>
    vm.list.set.i32 %list, %a, %minus : (!vm.list<i32>, i32, i32)
    %lower = vm.cmp.lt.f32.o %g, %f : f32
    vm.cond_br %lower, ^low(%a : i32), ^high(%b : i64)
  ^low(%x: i32):
    %c:2 = vm.call @callee(%x, %big) : (i32, i64) -> (i32, i64)
    %chosen = vm.switch.i32 %c#0[%a, %x] else %minus : i32
    vm.list.set.i32 %list, %chosen, %minus : (!vm.list<i32>, i32, i32)
    vm.br ^high(%c#1 : i64)
  ^high(%y: i64):
    vm.return %y : i64
  }
}
"""


@pytest.fixture(scope="session")
def program(tmp_path_factory):
    """`PROGRAM` as a VMFB file, of which the compiler may not remove anything."""
    folder = tmp_path_factory.mktemp("program")
    (folder / "made.mlir").write_text(PROGRAM)
    command = [iree.tool("iree-compile"), "--compile-mode=vm", "--iree-vm-target-extension-f32"]
    command += ["--iree-vm-emit-polyglot-zip=false", folder / "made.mlir", "-o", folder / "made.vmfb"]
    subprocess.run(command, check=True, timeout=600, capture_output=True)
    return (folder / "made.vmfb").read_bytes()


def test_table_is_the_firmwares():
    rows = [line for line in (RUNTIME / "opcodes.def").read_text().splitlines() if line.startswith("OPCODE")]
    assert len(opcode_table()) == len(rows)
    assert opcode_table()[0x22].mnemonic == "add.i32"
    assert opcode_table()[0x22].fields == "iiI"
    assert opcode_table()[0x11E].fields is None, "exp.f32 is known by name only"


def test_instructions_read_as_they_were_written(program):
    text = disassemble(program).text()
    assert re.search(r"i\d+ = const\.f32 0\.5$", text, re.MULTILINE)
    assert re.search(r"i\d+:\d+ = const\.i64 81985529216486895$", text, re.MULTILINE)
    assert re.search(r"i\d+ = const\.i32 -7$", text, re.MULTILINE)
    assert re.search(r"i\d+, i\d+ = call function_0\(i\d+, i\d+\)$", text, re.MULTILINE)
    assert re.search(r"i\d+ = switch\.i32 i\d+, i\d+, \[i\d+, i\d+\]$", text, re.MULTILINE)
    assert re.search(r"r\d+ = list\.alloc type \d+, i\d+$", text, re.MULTILINE)


def test_branches_lead_to_labels(program):
    text = disassemble(program).text()
    labels = set(re.findall(r"^  (L\d+):$", text, re.MULTILINE))
    targets = set(re.findall(r"br .*?(L\d+)", text)) | set(re.findall(r"L\d+(?=,|$| \()", text))
    assert len(labels) == 4
    assert targets <= labels
    assert re.search(r"cond_br i\d+, L\d+, .*L\d+", text)


def test_calls_make_functions_reachable(program):
    module = disassemble(program)
    assert [function.name for function in module.reachable("main")] == ["function_0", "main"]
    assert module.reachable("no such export") == ()


def test_imports_and_constants_of_a_compiled_model():
    module = disassemble(dense_vmfb())
    text = module.text()
    assert ("hal_loader.executable.dispatch", "0rIiiiCiDCrIID_v") in module.imports
    assert "sync func @main(%input0: tensor<1x16xf32>) -> (%output0: tensor<1x8xf32>)" in text
    assert re.search(r"bytes: kernels \(ELF\)$", text, re.MULTILINE)
    assert '"main_dispatch_0' in text
    assert re.search(r"call\.variadic hal_loader\.executable\.dispatch\(segments \[- - - - - 0 2\], ", text)


def test_same_functions_as_irees_own_dump(tmp_path):
    path = tmp_path / "dense.vmfb"
    path.write_bytes(dense_vmfb())
    tool = importlib.metadata.distribution("iree-base-runtime").locate_file("iree/_runtime_libs/iree-dump-module")
    dump = subprocess.run([tool, path], capture_output=True, text=True, check=True, timeout=600).stdout
    for name, ordinal in disassemble(dense_vmfb()).exports:
        assert re.search(rf"^ *\[ *{ordinal}\] {name}\(", dump, re.MULTILINE)


def test_a_conformance_module_decodes_to_its_end(tmp_path):
    model = compiler.compile_model(conformance.MODULES / "vm_buffers.mlir", output_dir=tmp_path)
    for function in disassemble(model.vmfb.read_bytes()).functions:
        assert function.instructions[-1].opcode.mnemonic in ("return", "fail")
        assert function.undecoded == 0


def descriptor_at(vmfb: bytes) -> int:
    """Where the descriptor of function 0 is: first in the root table's field 12, behind the size prefix and a count."""
    return open_archive(vmfb).root._target(12) + 4 + 4


def test_truncated_bytecode_is_an_error(program):
    at = descriptor_at(program) + 4
    (length,) = struct.unpack_from("<i", program, at)
    ends = {instruction.at for instruction in disassemble(program).functions[0].instructions}
    for cut in range(1, length):
        changed = program[:at] + struct.pack("<i", cut) + program[at + 4 :]
        if cut in ends:
            assert disassemble(changed).functions[0].instructions
        else:
            with pytest.raises(ModelError, match=r"cut\.vmfb can.t .*function 0 \(function_0\) ends at byte \d+, in"):
                disassemble(changed, "cut.vmfb")


def test_bytecode_outside_the_file_is_an_error(program):
    at = descriptor_at(program)
    for offset, length in ((1 << 20, 8), (0, 1 << 20), (-8, 8), (0, -1)):
        changed = program[:at] + struct.pack("<ii", offset, length) + program[at + 8 :]
        with pytest.raises(ModelError, match="the bytecode ends at"):
            disassemble(changed)


def first_instruction(vmfb: bytes) -> int:
    """Where the first instruction of function 0 of `PROGRAM` is: mul.i32 after a block."""
    return vmfb.index(b"\x79\x24") + 1


def test_unknown_instruction_is_an_error(program):
    at = first_instruction(program)
    changed = program[:at] + b"\xcc" + program[at + 1 :]
    with pytest.raises(ModelError, match=r"function 0 \(function_0\) holds the unknown instruction 0xcc at byte 1"):
        disassemble(changed)


def test_refused_instruction_is_named(program):
    at = first_instruction(program)
    function = disassemble(program[:at] + b"\x84" + program[at + 1 :]).functions[0]
    assert function.instructions[-1].text == "buffer.hash"
    assert function.undecoded == function.length - 2
    assert "left out of this runtime" in "\n".join(function.lines())


def test_damaged_bytes_never_raise_anything_else(program):
    for at in range(0, len(program), 3):
        value = (0x00, 0xFF)[at % 2]
        with contextlib.suppress(ModelError):
            disassemble(program[:at] + bytes([value]) + program[at + 1 :]).text()


def test_command(tmp_path, program, capsys):
    path = tmp_path / "made.vmfb"
    path.write_bytes(program)
    assert main([str(path)]) == 0
    assert "module made: bytecode 17.0" in capsys.readouterr().out
    path.write_bytes(program[:100])
    assert main([str(path)]) == 2
    assert "made.vmfb can't be disassembled" in capsys.readouterr().err
    assert main([str(tmp_path / "missing.vmfb")]) == 2
