# SPDX-License-Identifier: Apache-2.0
"""The firmware's runtime (loader, verifier, interpreter, HAL) as a Linux program under the sanitizers.

Kernels cannot run here: a stand-in reads all their bindings and fills the last one. What the VM itself computes is
compared with Python.
"""

from __future__ import annotations

import functools
import itertools
import os
import shutil
import struct
import sys
from pathlib import Path
from typing import NamedTuple

import hostile_modules
import numpy as np
import pytest

from springbok.chips.description import load
from springbok.compiler import iree
from springbok.firmware import write_sources
from springbok.link.failures import cause, sentence
from springbok.support.places import FIRMWARE
from springbok.support.process import run

KERNELS_FORMAT = b"embedded-elf-riscv_32"
# 4 MiB, with a limit on branches and calls, since a damaged loop may have no end.
BUDGET = ("--budget", "20000")
# Of flipped bits: each tries a thousand modules and more.
SEEDS = range(1, 1 + int(os.environ.get("SPRINGBOK_LOADER_SEEDS", "1")))

MATMUL = """
func.func @main(%a: tensor<4x8xf32>, %b: tensor<8x16xf32>) -> (tensor<4x16xf32>, tensor<4x16xi8>) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x16xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x16xf32>) -> tensor<4x16xf32>
  %m = linalg.matmul ins(%a, %b : tensor<4x8xf32>, tensor<8x16xf32>) outs(%f : tensor<4x16xf32>) -> tensor<4x16xf32>
  %q = arith.fptosi %m : tensor<4x16xf32> to tensor<4x16xi8>
  return %m, %q : tensor<4x16xf32>, tensor<4x16xi8>
}
"""
MATMUL_INPUT = np.random.default_rng(1).standard_normal(4 * 8 + 8 * 16).astype(np.float32).tobytes()

TYPES = """
func.func @main(%a: tensor<i1>, %b: tensor<3xui8>, %c: tensor<1x2x1x2x1x1x1x2xi16>, %d: tensor<2xf16>, %e: tensor<i64>)
    -> (tensor<i1>, tensor<3xui8>, tensor<1x2x1x2x1x1x1x2xi16>, tensor<2xf16>, tensor<i64>) {
  return %a, %b, %c, %d, %e
    : tensor<i1>, tensor<3xui8>, tensor<1x2x1x2x1x1x1x2xi16>, tensor<2xf16>, tensor<i64>
}
"""

# A module in the VM's own dialect: @main gets 32 numbers of 64 bits and gives back 96.
VM_MODULE = """
vm.module @module {{
  vm.import private @hal_inline.buffer.allocate(%a : i32, %b : i64) -> (!vm.ref<!hal.buffer>, !vm.buffer)
  vm.import private @hal_inline.buffer.storage(%b : !vm.ref<!hal.buffer>) -> !vm.buffer
  vm.import private @hal_inline.buffer_view.buffer(%v : !vm.ref<!hal.buffer_view>) -> !vm.ref<!hal.buffer>
  vm.import private @hal_inline.buffer_view.create(%b : !vm.ref<!hal.buffer>, %o : i64, %l : i64, %t : i32,
    %e : i32, %s : i64 ...) -> !vm.ref<!hal.buffer_view>
  vm.global.i32 private mutable @g32 : i32
  vm.global.i64 private mutable @g64 : i64
  vm.global.f32 private mutable @gf32 : f32
  vm.global.ref private mutable @gref : !vm.buffer
  vm.rodata private @constant dense<[10, 20, 30, 40]> : tensor<4xi32>
  {functions}
  vm.export @main
  vm.func @main(%view: !vm.ref<!hal.buffer_view>) -> !vm.ref<!hal.buffer_view> attributes {{iree.reflection =
      {{"iree.abi.declaration" = "sync func @main(%input0: tensor<32xi64>) -> (%output0: tensor<96xi64>)"}}}} {{
    %input = vm.call @hal_inline.buffer_view.buffer(%view) : (!vm.ref<!hal.buffer_view>) -> !vm.ref<!hal.buffer>
    %in = vm.call @hal_inline.buffer.storage(%input) : (!vm.ref<!hal.buffer>) -> !vm.buffer
    %alignment = vm.const.i32 64
    %zero64 = vm.const.i64 0
    %dim = vm.const.i64 96
    %bytes = vm.const.i64 768
    %type = vm.const.i32 0x10000040
    %dense = vm.const.i32 1
    %output, %out = vm.call @hal_inline.buffer.allocate(%alignment, %bytes)
      : (i32, i64) -> (!vm.ref<!hal.buffer>, !vm.buffer)
    {body}
    %result = vm.call.variadic @hal_inline.buffer_view.create(%output, %zero64, %bytes, %type, %dense, [%dim])
      : (!vm.ref<!hal.buffer>, i64, i64, i32, i32, i64 ...) -> !vm.ref<!hal.buffer_view>
    vm.return %result : !vm.ref<!hal.buffer_view>
  }}
}}
"""


class Outcome(NamedTuple):
    exit_code: int
    text: str

    @property
    def values(self) -> dict[str, int]:
        """The numbers that the program printed as name=number."""
        assert self.exit_code == 0, self.text
        pairs = (part.split("=", 1) for part in self.text.split() if "=" in part)
        return {name: int(value) for name, value in pairs if name != "output"}

    @property
    def output(self) -> bytes:
        assert self.exit_code == 0, self.text
        return bytes.fromhex(self.text.split("output=")[1])


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runtime, built for this machine; with sanitizers where its own compiler is there."""
    path = tmp_path_factory.mktemp("runtime") / "run_module"
    flags = ["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-Iruntime"]
    flags.append(f"-I{write_sources(load(), path.parent)}")
    sources = [*sorted((FIRMWARE / "runtime").glob("*.c")), "port/host.c", "test/run_module.c"]
    if compiler := shutil.which("cc"):
        command = [compiler, "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    else:
        command = [sys.executable, "-m", "ziglang", "cc"]
    done = run([*command, *flags, *sources, "-lm", "-o", path], time_limit=120, cwd=FIRMWARE)
    assert done.exit_code == 0, done.output
    return path


def start(program: Path, folder: Path, *arguments: object, vlen: int = 512) -> Outcome:
    environment = {"SPRINGBOK_VLEN": str(vlen)}
    done = run([program, *map(str, arguments)], time_limit=60, cwd=folder, environment=environment)
    assert done.exit_code in (0, 1), done.output
    text = done.output.strip()
    if done.exit_code == 1:
        details = bytes.fromhex(text.removeprefix("FAILED: "))
        text = f"{cause(details)[1]}: {sentence(details)}"
    return Outcome(done.exit_code, text)


@pytest.fixture
def play(program: Path, tmp_path: Path):
    """Loads a module and, if an input is given, runs it: play(module, input, *options, vlen=512)."""

    def play(module: bytes, data: bytes | None = None, *options: object, vlen: int = 512) -> Outcome:
        files = [tmp_path / "module.vmfb"]
        files[0].write_bytes(module)
        if data is not None:
            files.append(tmp_path / "input.bin")
            files[1].write_bytes(data)
        return start(program, tmp_path, *BUDGET, *options, *files, vlen=vlen)

    return play


def iree_compile(source: str, folder: Path, *flags: str) -> bytes:
    path, module = folder / "source.mlir", folder / "module.vmfb"
    path.write_text(source)
    common = ("--iree-hal-target-backends=llvm-cpu", "--iree-vm-bytecode-module-strip-source-map=true")
    done = run([iree.tool("iree-compile"), path, "-o", module, *common, *flags], time_limit=60)
    assert done.exit_code == 0, done.output
    return module.read_bytes()


@pytest.fixture(scope="session")
def compile_tensors(tmp_path_factory: pytest.TempPathFactory):
    """Compiles tensor programs for the chip, as models are; each once."""

    @functools.cache
    def compile_tensors(source: str, features: str = "+m,+f,+zvl512b,+zve32x,+zve32f", *flags: str) -> bytes:
        return iree_compile(
            source,
            tmp_path_factory.mktemp("tensors"),
            "--iree-execution-model=inline-dynamic",
            "--iree-llvmcpu-target-triple=riscv32-unknown-unknown-eabi-elf",
            "--iree-llvmcpu-target-abi=ilp32f",
            "--iree-llvmcpu-target-cpu=generic-rv32",
            f"--iree-llvmcpu-target-cpu-features={features}",
            "--iree-llvmcpu-debug-symbols=false",
            *(flags or ("--iree-vm-emit-polyglot-zip=false",)),
        )

    return compile_tensors


@pytest.fixture(scope="session")
def compile_vm(tmp_path_factory: pytest.TempPathFactory):
    """Compiles the body of a VM function (and other functions) as it stands."""

    @functools.cache
    def compile_vm(body: str, functions: str = "") -> bytes:
        return iree_compile(
            VM_MODULE.format(body=body, functions=functions),
            tmp_path_factory.mktemp("vm"),
            "--compile-from=vm",
            "--iree-vm-emit-polyglot-zip=false",
            "--iree-vm-target-extension-f32",
            "--iree-vm-target-extension-f64",
        )

    return compile_vm


@pytest.fixture
def matmul(compile_tensors) -> bytes:
    return compile_tensors(MATMUL)


# ---- Models


def test_a_model_loads_and_tells_its_signature(play, matmul):
    values = play(matmul).values
    assert (values["inputs"], values["outputs"]) == (2, 2)


def test_inputs_reach_the_kernels_and_outputs_come_back(play, matmul):
    first, again = play(matmul, MATMUL_INPUT).output, play(matmul, MATMUL_INPUT).output
    other = play(matmul, MATMUL_INPUT[::-1]).output
    assert len(first) == 4 * 16 * 4 + 4 * 16
    assert first == again != other


def test_kernels_linked_in_place_compute_the_same_in_less_memory(play, matmul):
    copied, in_place = play(matmul, MATMUL_INPUT), play(matmul, MATMUL_INPUT, "--in-place", 1, "--runs", 3)
    assert in_place.output == copied.output
    assert in_place.values["peak"] < copied.values["peak"]


def test_many_inferences_leave_the_memory_as_the_load_left_it(play, matmul):
    once, often = play(matmul, MATMUL_INPUT).values, play(matmul, MATMUL_INPUT, "--runs", 1000).values
    assert (once["inferences"], often["inferences"]) == (1, 1000)
    assert all(once[name] == often[name] for name in ("live", "live_after_load", "peak", "capacity"))
    assert often["live"] == often["live_after_load"] < often["peak"]


def test_a_polyglot_zip_is_a_module_too(play, compile_tensors, matmul):
    archive = compile_tensors(MATMUL, "+m,+f,+zvl512b,+zve32x,+zve32f", "--iree-vm-emit-polyglot-zip=true")
    assert archive.startswith(b"PK")
    assert play(archive, MATMUL_INPUT).output == play(matmul, MATMUL_INPUT).output


def test_tensors_of_many_types_and_ranks_pass_unchanged(play, compile_tensors):
    data = bytes(range(1, 1 + 1 + 3 + 16 + 4 + 8))
    assert play(compile_tensors(TYPES), data).output == data


@pytest.mark.parametrize("size", [0, 639, 641])
def test_an_input_of_another_size_is_refused(play, matmul, size):
    outcome = play(matmul, bytes(size))
    assert outcome.exit_code == 1
    assert f"SESSION_INPUT: {size} bytes of input, the model takes 640" in (outcome.text)


# ---- What the VM computes


def signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> bits - 1 else value


def quotient(a: int, b: int) -> int:
    """Division as C does it: towards zero."""
    return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)


def unsigned(value: int, bits: int) -> int:
    return value & ((1 << bits) - 1)


def integer_operations(bits: int) -> dict[str, object]:
    def u(value):
        return unsigned(value, bits)

    return {
        "add": lambda a, b: a + b,
        "sub": lambda a, b: a - b,
        "mul": lambda a, b: a * b,
        "div.s": quotient,
        "div.u": lambda a, b: u(a) // u(b),
        "rem.s": lambda a, b: a - quotient(a, b) * b,
        "rem.u": lambda a, b: u(a) % u(b),
        "and": lambda a, b: a & b,
        "or": lambda a, b: a | b,
        "xor": lambda a, b: a ^ b,
        "min.s": min,
        "min.u": lambda a, b: min(u(a), u(b)),
        "max.s": max,
        "max.u": lambda a, b: max(u(a), u(b)),
    }


INTEGER_COMPARISONS = {
    "eq": lambda a, b, u: a == b,
    "ne": lambda a, b, u: a != b,
    "lt.s": lambda a, b, u: a < b,
    "lt.u": lambda a, b, u: u(a) < u(b),
}


def mnemonic(operation: str, kind: str) -> str:
    """'div.s' and 'i32' make 'div.i32.s'."""
    name, _, sign = operation.partition(".")
    return f"vm.{name}.{kind}" + (f".{sign}" if sign else "")


class Program:
    """Collects VM instructions that store into the output, one 64-bit slot after the other, and what to expect."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.expected: list[int] = []
        self.count = 0

    def constant(self, kind: str, value: object) -> str:
        name = f"%c{len(self.lines)}"
        self.lines.append(f"{name} = vm.const.{kind} {value}")
        return name

    def store(self, value: str, kind: str, expected: int) -> None:
        """Stores an i32, i64 or f32; the expected value is the slot's bits."""
        if kind != "i64":
            index = self.constant("i64", 2 * len(self.expected))
        else:
            index = self.constant("i64", len(self.expected))
        self.lines.append(f"vm.buffer.store.{kind} {value}, %out[{index}] : {kind} -> !vm.buffer")
        self.expected.append(unsigned(expected, 64 if kind == "i64" else 32))

    def add(self, line: str, kind: str, expected: int) -> None:
        name = f"%v{len(self.lines)}"
        self.lines.append(f"{name} = {line}")
        self.store(name, kind, expected)

    def load(self, kind: str, slot: int) -> str:
        index = self.constant("i64", slot if kind == "i64" else 2 * slot)
        name = f"%v{len(self.lines)}"
        self.lines.append(f"{name} = vm.buffer.load.{kind} %in[{index}] : !vm.buffer -> {kind}")
        return name

    @property
    def body(self) -> str:
        assert len(self.expected) <= 96
        return "\n".join(self.lines)


def numbers(*values: int | float) -> bytes:
    """The input of a VM module: each number in a slot of 64 bits."""
    slots = b"".join(
        struct.pack("<f4x", value) if isinstance(value, float) else struct.pack("<q", value) for value in values
    )
    return slots.ljust(256, b"\0")


def check(play, compile_vm, program: Program, data: bytes, functions: str = "") -> None:
    outcome = play(compile_vm(program.body, functions), data)
    result = struct.unpack("<96Q", outcome.output)[: len(program.expected)]
    wrong = [(i, got, want) for i, (got, want) in enumerate(zip(result, program.expected, strict=True)) if got != want]
    assert wrong == [], program.body


def integer_program(bits: int, a: int, b: int) -> Program:
    kind, program = f"i{bits}", Program()
    left, right = program.load(kind, 0), program.load(kind, 1)
    amount = program.load("i32", 2)
    for name, compute in integer_operations(bits).items():
        program.add(f"{mnemonic(name, kind)} {left}, {right} : {kind}", kind, compute(a, b))
    for name, compute in INTEGER_COMPARISONS.items():
        line = f"{mnemonic(f'cmp.{name}', kind)} {left}, {right} : {kind}"
        line = line.replace(f"vm.cmp.{kind}.", "vm.cmp.").replace(name, f"{name.split('.')[0]}.{kind}" + name[2:], 1)
        program.add(line, "i32", int(compute(a, b, lambda value: unsigned(value, bits))))
    program.add(f"vm.not.{kind} {left} : {kind}", kind, ~a)
    program.add(f"vm.abs.{kind} {left} : {kind}", kind, abs(a))
    program.add(f"vm.ctlz.{kind} {right} : {kind}", kind, bits - unsigned(b, bits).bit_length())
    program.add(f"vm.fma.{kind} {left}, {right}, {left} : {kind}", kind, a * b + a)
    program.add(f"vm.shl.{kind} {left}, {amount} : {kind}", kind, a << 5)
    program.add(f"vm.shr.{kind}.s {left}, {amount} : {kind}", kind, a >> 5)
    program.add(f"vm.shr.{kind}.u {left}, {amount} : {kind}", kind, unsigned(a, bits) >> 5)
    program.add(f"vm.cmp.nz.{kind} {left} : {kind}", "i32", int(a != 0))
    program.add(f"vm.select.{kind} {amount}, {left}, {right} : {kind}", kind, a)
    return program


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize(("a", "b"), [(7, 3), (-7, 3), ("smallest", -1), ("largest", -2)])
def test_integer_arithmetic(play, compile_vm, bits, a, b):
    a = {"smallest": -(1 << bits - 1), "largest": (1 << bits - 1) - 1}.get(a, a)
    check(play, compile_vm, integer_program(bits, a, b), numbers(a, b, 5))


def test_conversions_between_integers(play, compile_vm):
    value = -0x7EDCBA9876543210
    program = Program()
    wide, narrow = program.load("i64", 0), program.load("i32", 0)
    low = signed(value, 32)
    program.add(f"vm.trunc.i64.i32 {wide} : i64 -> i32", "i32", low)
    program.add(f"vm.trunc.i32.i8 {narrow} : i32 -> i32", "i32", low & 0xFF)
    program.add(f"vm.trunc.i32.i16 {narrow} : i32 -> i32", "i32", low & 0xFFFF)
    program.add(f"vm.ext.i8.i32.s {narrow} : i32 -> i32", "i32", signed(low, 8))
    program.add(f"vm.ext.i8.i32.u {narrow} : i32 -> i32", "i32", low & 0xFF)
    program.add(f"vm.ext.i16.i32.s {narrow} : i32 -> i32", "i32", signed(low, 16))
    program.add(f"vm.ext.i16.i32.u {narrow} : i32 -> i32", "i32", low & 0xFFFF)
    program.add(f"vm.ext.i32.i64.s {narrow} : i32 -> i64", "i64", low)
    program.add(f"vm.ext.i32.i64.u {narrow} : i32 -> i64", "i64", unsigned(low, 32))
    check(play, compile_vm, program, numbers(value))


def f32(value: float) -> int:
    return int(np.float32(value).view(np.uint32))


@pytest.mark.parametrize(("a", "b"), [(2.5, 3.75), (-2.5, -0.5), (1e9, -3.0)])
def test_f32_arithmetic(play, compile_vm, a, b):
    program = Program()
    x, y = program.load("f32", 0), program.load("f32", 1)
    half_away = np.copysign(np.floor(abs(a) + 0.5), a)
    results = {
        "add": a + b, "sub": a - b, "mul": a * b, "div": np.float32(a) / np.float32(b),
        "min": min(a, b), "max": max(a, b),
    }  # fmt: skip
    for name, value in results.items():
        program.add(f"vm.{name}.f32 {x}, {y} : f32", "f32", f32(value))
    unary = {"abs": abs(a), "neg": -a, "ceil": np.ceil(a), "floor": np.floor(a), "round": half_away}
    for name, value in unary.items():
        program.add(f"vm.{name}.f32 {x} : f32", "f32", f32(value))
    program.add(f"vm.round.f32.even {x} : f32", "f32", f32(np.round(a)))
    program.add(f"vm.fma.f32 {x}, {y}, {x} : f32", "f32", f32(a * b + a))
    for name, value in {"eq": a == b, "ne": a != b, "lt": a < b, "lte": a <= b}.items():
        program.add(f"vm.cmp.{name}.f32.o {x}, {y} : f32", "i32", int(value))
        program.add(f"vm.cmp.{name}.f32.u {x}, {y} : f32", "i32", int(value))
    program.add(f"vm.cmp.nan.f32 {x} : f32", "i32", 0)
    program.add(f"vm.cast.f32.si32 {x} : f32 -> i32", "i32", int(half_away))
    program.add(f"vm.cast.f32.ui32 {x} : f32 -> i32", "i32", max(0, int(half_away)))
    program.add(f"vm.bitcast.f32.i32 {x} : f32 -> i32", "i32", f32(a))
    integer = program.load("i32", 2)
    program.add(f"vm.cast.si32.f32 {integer} : i32 -> f32", "f32", f32(-5))
    program.add(f"vm.cast.ui32.f32 {integer} : i32 -> f32", "f32", f32(2**32 - 5))
    program.add(f"vm.bitcast.i32.f32 {integer} : i32 -> f32", "f32", 2**32 - 5)
    program.add(f"vm.select.f32 {integer}, {x}, {y} : f32", "f32", f32(a))
    check(play, compile_vm, program, numbers(a, b, -5))


def test_comparisons_with_nan_are_iree_s(play, compile_vm):
    program = Program()
    nan, one = program.load("f32", 0), program.load("f32", 1)
    ordered = {"eq": 0, "ne": 1, "lt": 0, "lte": 0}
    for name, value in ordered.items():
        program.add(f"vm.cmp.{name}.f32.o {nan}, {one} : f32", "i32", value)
        program.add(f"vm.cmp.{name}.f32.u {nan}, {one} : f32", "i32", 1)
    program.add(f"vm.cmp.nan.f32 {nan} : f32", "i32", 1)
    check(play, compile_vm, program, numbers(float("nan"), 1.0))


FIBONACCI = """
vm.func private @fibonacci(%n: i32, %unused: i64, %buffer: !vm.buffer) -> (i64, i32) {
  %a = vm.const.i64 0
  %b = vm.const.i64 1
  %one = vm.const.i32 1
  %zero = vm.const.i32 0
  vm.br ^loop(%a, %b, %zero : i64, i64, i32)
^loop(%x: i64, %y: i64, %i: i32):
  %more = vm.cmp.lt.i32.s %i, %n : i32
  %sum = vm.add.i64 %x, %y : i64
  %next = vm.add.i32 %i, %one : i32
  vm.cond_br %more, ^loop(%y, %sum, %next : i64, i64, i32), ^done(%x : i64)
^done(%result: i64):
  vm.return %result, %i : i64, i32
}
vm.func private @exchange(%n: i32, %left: !vm.buffer, %right: !vm.buffer) -> (!vm.buffer) {
  %one = vm.const.i32 1
  vm.br ^loop(%left, %right, %n : !vm.buffer, !vm.buffer, i32)
^loop(%x: !vm.buffer, %y: !vm.buffer, %i: i32):
  %next = vm.sub.i32 %i, %one : i32
  vm.cond_br %i, ^loop(%y, %x, %next : !vm.buffer, !vm.buffer, i32), ^done
^done:
  vm.return %x : !vm.buffer
}
vm.func private @choose(%i: i32) -> i32 {
  %a = vm.const.i32 100
  %b = vm.const.i32 200
  %c = vm.const.i32 300
  vm.br_table %i {
    default: ^bb1(%a : i32),
    0: ^bb1(%b : i32),
    1: ^bb1(%c : i32)
  }
^bb1(%r: i32):
  vm.return %r : i32
}
"""


def test_branches_loops_and_calls(play, compile_vm):
    program = Program()
    n, wide = program.load("i32", 0), program.load("i64", 0)
    program.lines.append(f"%fib:2 = vm.call @fibonacci({n}, {wide}, %in) : (i32, i64, !vm.buffer) -> (i64, i32)")
    program.store("%fib#0", "i64", 12586269025)
    program.store("%fib#1", "i32", 50)
    constant = "%constant = vm.const.ref.rodata @constant : !vm.buffer"
    program.lines.append(constant)
    program.lines.append(
        f"%swapped = vm.call @exchange({n}, %in, %constant) : (i32, !vm.buffer, !vm.buffer) -> !vm.buffer"
    )
    program.add("vm.cmp.eq.ref %swapped, %in : !vm.buffer", "i32", 1)
    for index, expected in enumerate([200, 300, 100]):
        name = program.constant("i32", index)
        program.add(f"vm.call @choose({name}) : (i32) -> i32", "i32", expected)
    for index, expected in enumerate([20, 30, 10]):
        name, *values = [program.constant("i32", value) for value in (index, 20, 30)]
        default = program.constant("i32", 10)
        program.add(f"vm.switch.i32 {name}[{', '.join(values)}] else {default} : i32", "i32", expected)
    check(play, compile_vm, program, numbers(50), FIBONACCI)


def test_globals(play, compile_vm):
    program = Program()
    for kind, name, bits in (("i32", "g32", -3), ("i64", "g64", -(2**40)), ("f32", "gf32", f32(1.5))):
        slot = {"i32": 0, "i64": 1, "f32": 2}[kind]
        program.add(f"vm.global.load.{kind} @{name} : {kind}", kind, 0)
        program.lines.append(f"vm.global.store.{kind} {program.load(kind, slot)}, @{name} : {kind}")
        program.add(f"vm.global.load.{kind} @{name} : {kind}", kind, bits)
    program.lines.append("vm.global.store.ref %out, @gref : !vm.buffer")
    program.lines.append("%loaded = vm.global.load.ref @gref : !vm.buffer")
    program.add("vm.cmp.eq.ref %loaded, %out : !vm.buffer", "i32", 1)
    program.lines.append("%nothing = vm.const.ref.zero : !vm.buffer\nvm.global.store.ref %nothing, @gref : !vm.buffer")
    check(play, compile_vm, program, numbers(-3, -(2**40), 1.5))


def test_buffers(play, compile_vm):
    program = Program()
    program.lines.append("%four = vm.const.i64 4")
    program.lines.append("%sixteen = vm.const.i64 16")
    program.lines.append("%c3 = vm.const.i64 3")
    program.lines.append("%one64 = vm.const.i64 1")
    program.lines.append("%align = vm.const.i32 16")
    program.lines.append("%constant = vm.const.ref.rodata @constant : !vm.buffer")
    program.lines.append("%fresh = vm.buffer.alloc %sixteen, %align : !vm.buffer")
    program.add("vm.buffer.load.i64 %fresh[%one64] : !vm.buffer -> i64", "i64", 0)
    program.add("vm.buffer.length %constant : !vm.buffer -> i64", "i64", 16)
    program.add("vm.buffer.load.i32 %constant[%c3] : !vm.buffer -> i32", "i32", 40)
    program.lines.append("%clone = vm.buffer.clone %constant, %four, %four, %align : !vm.buffer -> !vm.buffer")
    program.add("vm.buffer.load.i32 %clone[%zero64] : !vm.buffer -> i32", "i32", 20)
    program.lines.append("vm.buffer.copy %constant, %four, %fresh, %zero64, %four : !vm.buffer -> !vm.buffer")
    program.add("vm.buffer.load.i32 %fresh[%zero64] : !vm.buffer -> i32", "i32", 20)
    line = "vm.buffer.compare %clone, %zero64, %fresh, {0}, %four : !vm.buffer, !vm.buffer"
    program.add(line.format("%zero64"), "i32", 1)
    program.add(line.format("%four"), "i32", 0)
    # Offsets and lengths of loads, stores and fills count elements.
    value = program.load("i32", 0)
    program.lines.append(f"vm.buffer.fill.i16 %fresh, %one64, %c3, {value} : i32 -> !vm.buffer")
    program.add("vm.buffer.load.i64 %fresh[%zero64] : !vm.buffer -> i64", "i64", 0x80F180F180F10014)
    program.lines.append(f"vm.buffer.fill.i8 %fresh, %zero64, %one64, {value} : i32 -> !vm.buffer")
    program.add("vm.buffer.load.i8.s %fresh[%zero64] : !vm.buffer -> i32", "i32", -15)
    program.add("vm.buffer.load.i8.u %fresh[%zero64] : !vm.buffer -> i32", "i32", 0xF1)
    program.add("vm.buffer.load.i16.s %fresh[%one64] : !vm.buffer -> i32", "i32", signed(0x80F1, 16))
    program.add("vm.buffer.load.i16.u %fresh[%one64] : !vm.buffer -> i32", "i32", 0x80F1)
    program.lines.append(f"vm.buffer.store.i16 {value}, %fresh[%zero64] : i32 -> !vm.buffer")
    program.lines.append(f"vm.buffer.store.i8 {value}, %fresh[%c3] : i32 -> !vm.buffer")
    program.add("vm.buffer.load.i32 %fresh[%zero64] : !vm.buffer -> i32", "i32", 0xF1F180F1)
    check(play, compile_vm, program, numbers(0x1234_80F1))


def test_lists(play, compile_vm):
    program = Program()
    program.lines.append("%one = vm.const.i32 1\n%two = vm.const.i32 2\n%three = vm.const.i32 3")
    program.lines.append("%list = vm.list.alloc %one : (i32) -> !vm.list<i64>")
    program.lines.append("vm.list.resize %list, %three : (!vm.list<i64>, i32)")
    program.add("vm.list.size %list : (!vm.list<i64>) -> i32", "i32", 3)
    program.lines.append(f"vm.list.set.i64 %list, %two, {program.load('i64', 0)} : (!vm.list<i64>, i32, i64)")
    program.add("vm.list.get.i64 %list, %two : (!vm.list<i64>, i32) -> i64", "i64", -9)
    program.add("vm.list.get.i64 %list, %one : (!vm.list<i64>, i32) -> i64", "i64", 0)
    program.lines.append("%refs = vm.list.alloc %one : (i32) -> !vm.list<?>")
    program.lines.append("vm.list.resize %refs, %two : (!vm.list<?>, i32)")
    program.lines.append("vm.list.set.ref %refs, %one, %in : (!vm.list<?>, i32, !vm.buffer)")
    program.lines.append("%back = vm.list.get.ref %refs, %one : (!vm.list<?>, i32) -> !vm.buffer")
    program.add("vm.cmp.eq.ref %back, %in : !vm.buffer", "i32", 1)
    check(play, compile_vm, program, numbers(-9))


# ---- Failures in an inference

FAILURES = {
    "VM_DIVIDE": (
        "%n = vm.buffer.load.i32 %in[%zero64] : !vm.buffer -> i32\n%q = vm.div.i32.u %dense, %n : i32\n"
        "vm.buffer.store.i32 %q, %out[%zero64] : i32 -> !vm.buffer",
        "division by zero",
    ),
    "VM_BOUNDS": (
        "%q = vm.buffer.load.i32 %in[%bytes] : !vm.buffer -> i32\n"
        "vm.buffer.store.i32 %q, %out[%zero64] : i32 -> !vm.buffer",
        "4 bytes at offset 3072 of a buffer of 256 bytes",
    ),
    "VM_READ_ONLY": (
        "%r = vm.const.ref.rodata @constant : !vm.buffer\nvm.buffer.store.i32 %dense, %r[%zero64] : i32 -> !vm.buffer",
        "write to a constant of 16 bytes",
    ),
    "VM_NULL": (
        "%r = vm.global.load.ref @gref : !vm.buffer\nvm.buffer.store.i32 %dense, %r[%zero64] : i32 -> !vm.buffer",
        "null reference instead of a buffer",
    ),
    "VM_BUDGET": ("vm.br ^again\n^again:\nvm.call @again() : () -> ()\nvm.br ^again", "more branches and calls"),
    "VM_STACK": ("vm.call @deep(%dense) : (i32) -> ()", "does not fit the stack"),
    "VM_FAIL": ("vm.call @failing(%dense) : (i32) -> ()", "the model failed with code 1: something was wrong"),
    "OUT_OF_MEMORY": (
        "%n = vm.const.i64 1000000000000\n%b = vm.buffer.alloc %n, %dense : !vm.buffer\n"
        "vm.buffer.store.i32 %dense, %b[%zero64] : i32 -> !vm.buffer",
        "a buffer needs 1000000000000 bytes",
    ),
}
# Where the globals of VM_MODULE lie.
G32, G64, GREF = 0, 8, 0


def test_instructions_that_no_compiler_emits_for_a_model(play, compile_vm):
    """Globals by an address in a register, casts of references, imports that may be missing: not in any conformance
    module, since the compiler refuses the first in a model and removes the others."""
    program = Program()
    g32, g64, gref = (program.load("i32", slot) for slot in range(3))
    a, b = program.load("i32", 3), program.load("i64", 4)
    for kind, value, address in (("i32", a, g32), ("i64", b, g64)):
        program.lines.append(f"vm.global.store.indirect.{kind} {value}, {address} : {kind} -> i32")
    program.add("vm.global.load.i32 @g32 : i32", "i32", -7)
    program.add("vm.global.load.i64 @g64 : i64", "i64", 1 << 40)
    program.add(f"vm.global.load.indirect.i32 {g32} : i32 -> i32", "i32", -7)
    program.add(f"vm.global.load.indirect.i64 {g64} : i32 -> i64", "i64", 1 << 40)
    program.lines += [
        "%constant = vm.const.ref.rodata @constant : !vm.buffer",
        f"vm.global.store.indirect.ref %constant, {gref} : !vm.buffer -> i32",
        f"%again = vm.global.load.indirect.ref {gref} : i32 -> !vm.ref<?>",
        "%cast = vm.cast.any.ref %again : !vm.ref<?> -> !vm.buffer",
        "%second = vm.const.i64 1",
    ]
    program.add("vm.buffer.load.i32 %cast[%second] : !vm.buffer -> i32", "i32", 20)
    program.add("vm.import.resolved @hal_inline.absent : i32", "i32", 0)
    absent = "vm.import private optional @hal_inline.absent(%a : i32) -> i32"
    check(play, compile_vm, program, numbers(G32, G64, GREF, -7, 1 << 40), absent)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("%x = vm.global.load.indirect.i32 %at : i32 -> i32", "4 bytes at offset 4096 of"),
        ("%x = vm.global.load.indirect.i64 %at : i32 -> i64", "8 bytes at offset 4096 of"),
        ("%x = vm.global.load.indirect.ref %at : i32 -> !vm.buffer", "global reference 4096 of 1"),
    ],
)
def test_an_address_of_no_global_is_refused(play, compile_vm, line, message):
    body = f"%at = vm.const.i32 4096\n{line}\nvm.global.store.i32 %alignment, @g32 : i32"
    outcome = play(compile_vm(body), bytes(256))
    assert outcome.text.startswith("VM_BOUNDS: ") and message in outcome.text, outcome.text


FAILING_FUNCTIONS = """
vm.func private @again() attributes {inlining_policy = #util.inline.never} {
  vm.return
}
vm.func private @deep(%n: i32) {
  vm.call @deep(%n) : (i32) -> ()
  vm.return
}
vm.func private @failing(%n: i32) {
  vm.fail %n, "something was wrong"
}
"""


@pytest.mark.parametrize("name", FAILURES)
def test_a_failing_inference_says_what_failed_and_where(play, compile_vm, name):
    body, message = FAILURES[name]
    if name == "VM_BUDGET":
        body = "vm.call @endless() : () -> ()"
    endless = "vm.func private @endless() {\n  vm.br ^again\n^again:\n  vm.br ^again\n}\n"
    outcome = play(compile_vm(body, FAILING_FUNCTIONS + endless), bytes(256))
    assert outcome.exit_code == 1
    assert outcome.text.startswith(f"{name}: "), outcome.text
    assert message in outcome.text
    assert ", in functions[" in outcome.text


# ---- Refusals at load


def u32_at(data: bytes, position: int) -> int:
    return struct.unpack_from("<I", data, position)[0]


def root_field(module: bytes, field: int) -> int:
    """Position of a field of the module's root table; the module is no ZIP."""
    table = 4 + u32_at(module, 4)
    vtable = table - struct.unpack_from("<i", module, table)[0]
    return table + struct.unpack_from("<H", module, vtable + 4 + 2 * field)[0]


def bytecode_start(module: bytes) -> int:
    """Position of the first instruction of the first function."""
    field = root_field(module, 14)
    return field + u32_at(module, field) + 4


def patched(module: bytes, position: int, content: bytes) -> bytes:
    assert module[position : position + len(content)] != content
    return module[:position] + content + module[position + len(content) :]


def replaced(module: bytes, old: bytes, new: bytes) -> bytes:
    assert len(old) == len(new)
    assert old in module
    return module.replace(old, new, 1)


def with_version(version: int):
    return lambda module: patched(module, root_field(module, 13), struct.pack("<I", version))


def first_call(module: bytes) -> int:
    """Position of the first call of import 3 (buffer.storage) in @main of MATMUL: opcode 0x58, u32 ordinal."""
    return module.index(b"\x58\x01\x00\x00\x80", bytecode_start(module))


def elf(module: bytes) -> int:
    return module.index(b"\x7fELF")


def elf_relocations(module: bytes) -> int:
    """Position of the kernels' first relocation: the first (offset, R_RISCV_RELATIVE, addend)."""
    start = elf(module)
    return next(p for p in range(start, len(module), 4) if u32_at(module, p + 4) == 3 and u32_at(module, p) > 0x2000)


LIBRARY_HEADER = struct.pack("<4I", 6, 0, 0, 0)  # version; the name is filled in by a relocation

REFUSALS = {
    "a newer major": (with_version(18 << 16), "MODULE_VERSION", "bytecode 18.0, this runtime executes 17.0"),
    "an older major": (with_version(16 << 16), "MODULE_VERSION", "bytecode 16.0, this runtime executes 17.0"),
    "a newer minor": (with_version(17 << 16 | 1), "MODULE_VERSION", "bytecode 17.1, this runtime executes 17.0"),
    "f64": (
        lambda m: patched(m, root_field(m, 2), struct.pack("<I", 10)), "MODULE_FEATURE", "requires f64 arithmetic",
    ),
    "no module": (lambda m: replaced(m, b"IREE", b"IRE?"), "ARCHIVE_FORMAT", "file identifier is not IREE"),
    "nothing": (lambda m: b"", "ARCHIVE_FORMAT", "0 bytes are too few for a module"),
    "half a module": (lambda m: m[:1000], "ARCHIVE_BOUNDS", "truncated?"),
    "half the kernels": (lambda m: m[:-1000], "ARCHIVE_BOUNDS", "of external data: truncated?"),
    "an unknown import": (
        lambda m: replaced(m, b"hal_inline.buffer.storage", b"hal_inline.buffer.sausage"),
        "MODULE_IMPORT", "imports[1]: hal_inline.buffer.sausage is not provided",
    ),
    "an import of another kind": (
        lambda m: replaced(m, b"0iI_rr", b"0II_rr"),
        "MODULE_IMPORT", 'hal_inline.buffer.allocate is declared in another way than "0iI_rr"',
    ),
    "an unknown dependency": (
        lambda m: replaced(m, b"\x0a\x00\x00\x00hal_inline\x00", b"\x0a\x00\x00\x00hal_onlyme\x00"),
        "MODULE_IMPORT", "module hal_onlyme is needed",
    ),
    "an unknown instruction": (
        lambda m: patched(m, bytecode_start(m) + 1, b"\xcc"),
        "VERIFY_OPCODE", "instruction 0xcc is unknown, in functions[0] at byte 1",
    ),
    "an instruction left out": (
        lambda m: patched(m, bytecode_start(m) + 1, b"\x84"),
        "VERIFY_OPCODE",
        "instruction 0x84 buffer.hash is left out of this runtime, in functions[0] at byte 1",
    ),
    "an f32 instruction left out": (
        lambda m: patched(m, bytecode_start(m) + 1, b"\xe0\x1e"),
        "VERIFY_OPCODE",
        "instruction 0x11e exp.f32 is left out of this runtime, in functions[0] at byte 1",
    ),
    "a register too high": (
        lambda m: patched(m, bytecode_start(m) + 6, b"\xff\x3f"), "VERIFY_REGISTER", "0x3fff is not one of the",
    ),
    "a reference register for a number": (
        lambda m: patched(m, bytecode_start(m) + 6, b"\x00\x80"), "VERIFY_REGISTER", "0x8000 is not one of the",
    ),
    "a call with too few operands": (
        lambda m: patched(m, first_call(m) + 1, struct.pack("<I", 0x80000008)),
        "VERIFY_CALL", "1 operands do not fit the import, calling hal_loader.executable.lookup.function",
    ),
    "a call with operands of another kind": (
        lambda m: patched(m, first_call(m) + 1, struct.pack("<I", 0x80000000)),
        "VERIFY_REGISTER", "is not one of the 22 i32 registers, calling hal_inline.buffer.allocate",
    ),
    "a call of an unknown import": (
        lambda m: patched(m, first_call(m) + 1, struct.pack("<I", 0x80000063)), "VERIFY_ORDINAL", "import 99 of 9",
    ),
    "a call of an unknown function": (
        lambda m: patched(m, first_call(m) + 1, struct.pack("<I", 99)), "VERIFY_ORDINAL", "function 99 of 2",
    ),
    "a dynamic shape": (
        lambda m: replaced(m, b"%output1: tensor<4x16xi8>", b"%output1: tensor<4x??xi8>"),
        "MODULE_SIGNATURE", "a dynamic dimension",
    ),
    "an asynchronous function": (
        lambda m: replaced(m, b"sync func @main", b"coro func @main"), "MODULE_SIGNATURE", "an asynchronous function",
    ),
    "no ELF": (lambda m: replaced(m, b"\x7fELF", b"\x7fELK"), "ELF_FORMAT", "no 32-bit little-endian ELF"),
    "another machine": (
        lambda m: patched(m, elf(m) + 18, b"\x28"), "ELF_FORMAT", "for machine 40, needed are 3 and 243",
    ),
    "compressed instructions": (lambda m: patched(m, elf(m) + 36, b"\x03"), "ELF_FORMAT", "without extension c"),
    "an extension that the chip lacks": (
        lambda m: replaced(m, b"_zmmul1p0", b"_zacas1p0"), "ELF_FORMAT", "extension zacas, which this chip lacks",
    ),
    "a segment outside the ELF": (
        lambda m: patched(m, elf(m) + 52 + 32 + 4, b"\xff\xff"), "ELF_SEGMENT", "of kernels",
    ),
    "an unknown relocation": (
        lambda m: patched(m, elf_relocations(m) + 4, b"\x05"), "ELF_RELOCATION", "has type 5, only 3 is supported",
    ),
    "a relocation outside the image": (
        lambda m: patched(m, elf_relocations(m) + 2, b"\xff"), "ELF_RELOCATION", "relocation 0:",
    ),
    "no query function": (
        lambda m: replaced(m, b"iree_hal_executable_library_query", b"iree_hal_executable_library_quern"),
        "ELF_SYMBOL", "do not export iree_hal_executable_library_query",
    ),
    "another library version": (
        lambda m: replaced(m, LIBRARY_HEADER, struct.pack("<4I", 7, 0, 0, 0)),
        "LIBRARY_VERSION", "library version 7, this runtime needs 6",
    ),
    "a sanitizer in the kernels": (
        lambda m: replaced(m, LIBRARY_HEADER, struct.pack("<4I", 6, 0, 0, 1)), "LIBRARY_FORMAT", "need a sanitizer (1)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_at_load_name_what_is_wrong(play, matmul, name):
    change, status, message = REFUSALS[name]
    outcome = play(change(matmul))
    assert outcome.exit_code == 1
    assert outcome.text.startswith(f"{status}: "), outcome.text
    assert message in outcome.text


def attributes_relocation(module: bytes) -> int:
    """Position of the relocation that fills in where the library's export attributes are.

    That is word 5 of its structure, where words 0 and 4 are addresses too, but 1 to 3 are not.
    """
    entries = range(elf_relocations(module), len(module) - 12, 12)
    relocations = itertools.takewhile(lambda position: u32_at(module, position + 4) == 3, entries)
    places = {u32_at(module, position): position for position in relocations}
    pattern = (True, False, False, False, True, True)
    starts = (place for place in places if tuple(place + 4 * word in places for word in range(6)) == pattern)
    return places[next(starts) + 20]


def test_export_attributes_at_an_address_that_does_not_suit_64_bits_are_read(play, matmul):
    addend = attributes_relocation(matmul) + 8
    outcome = play(patched(matmul, addend, struct.pack("<I", u32_at(matmul, addend) - 4)))
    assert outcome.exit_code == 0 or outcome.text.startswith("LIBRARY_FORMAT: ")


def test_a_branch_into_the_middle_of_a_block_is_refused(play, matmul):
    # __init's conditional branch: opcode 0x57, condition register 1, target.
    branch = matmul.index(b"\x57\x01\x00", bytecode_start(matmul))
    outcome = play(patched(matmul, branch + 3, struct.pack("<I", u32_at(matmul, branch + 3) + 1)))
    assert "VERIFY_BRANCH" in outcome.text
    assert "is not the start of a block" in outcome.text


def test_a_missing_entry_function_is_refused(play, matmul):
    outcome = play(matmul, None, "--entry", "predict")
    assert 'MODULE_ENTRY: the module has no function "predict"' in outcome.text


@pytest.mark.parametrize(
    ("vlen", "message"),
    [(128, "VLEN: kernels built for VLEN 512, this chip has 128"),
     (1024, "kernels built for VLEN 512, this chip has 1024"),
     (0, "NO_VECTORS: kernels built with vectors of 512 bits")],
)  # fmt: skip
def test_kernels_for_another_vector_length_are_refused(play, matmul, vlen, message):
    assert message in play(matmul, vlen=vlen).text


@pytest.mark.parametrize("vlen", [0, 128, 512])
def test_scalar_kernels_run_on_every_chip(play, compile_tensors, vlen):
    assert play(compile_tensors(MATMUL, "+m,+f"), MATMUL_INPUT, vlen=vlen).exit_code == 0


# ---- Modules that are well formed and do what they should not


@pytest.fixture
def input_of_double() -> bytes:
    return bytes(hostile_modules.INPUT_BYTES)


def test_the_model_from_which_hostile_ones_are_made_runs(play, input_of_double):
    assert len(play(hostile_modules.double(), input_of_double).output) == hostile_modules.INPUT_BYTES


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (hostile_modules.load_in_inference, "MODULE_FEATURE: kernels are loaded after __init"),
        (hostile_modules.constant_is_output,
         "VM_READ_ONLY: main_dispatch_0_elementwise_8_f32 is to write its result to a constant"),
        (hostile_modules.bytecode_is_output, "ARCHIVE_BOUNDS: rodata[0] lies over the bytecode"),
    ],
)  # fmt: skip
def test_hostile_modules_are_refused_at_load(play, module, message):
    outcome = play(module())
    assert outcome.exit_code == 1
    assert outcome.text.startswith(message)


@pytest.mark.parametrize(
    ("then", "message"),
    [("fail", "VM_FAIL: the model failed with code 1: on purpose"),
     ("return", "HAL_RETAINED: input 0 is still in use"),
     ("undeclared", "HAL_RETAINED: input 0 is still in use")],
)  # fmt: skip
def test_a_model_that_keeps_its_input_is_dropped(play, input_of_double, then, message):
    outcome = play(hostile_modules.keeps_its_input(then), input_of_double)
    assert outcome.exit_code == 1
    assert message in outcome.text
    assert "the model is dropped" in outcome.text


# ---- Memory


def test_every_size_of_arena_either_suffices_or_is_refused_as_too_small(play, matmul):
    outcomes = {size: play(matmul, MATMUL_INPUT, "--arena", size) for size in range(0, 24000, 640)}
    verdicts = [outcome.exit_code == 0 for outcome in outcomes.values()]
    assert verdicts == sorted(verdicts), "a larger arena failed where a smaller one sufficed"
    assert True in verdicts
    for outcome in outcomes.values():
        assert outcome.exit_code == 0 or outcome.text.startswith("OUT_OF_MEMORY: "), outcome.text


def test_a_model_that_does_not_fit_is_told_what_it_needs_and_what_there_is(play, matmul):
    text = play(matmul, None, "--arena", 16000).text
    assert "the kernels' image needs 12288 bytes; " in text
    assert "of 15936 are free" in text


def test_what_an_inference_lacks_is_found_at_load(play, matmul):
    for size in range(13000, 24000, 640):
        loads, runs = play(matmul, None, "--arena", size), play(matmul, MATMUL_INPUT, "--arena", size)
        assert loads.exit_code == runs.exit_code, size


TOO_LARGE = "%huge = vm.const.i64 1000000000\n%b = vm.buffer.alloc %huge, %dense : !vm.buffer\n"


@pytest.mark.parametrize(
    ("before", "refused"),
    [
        ("", True),
        # Where this one goes depends on the input, which is not there yet; and no rehearsal may change a global.
        ("%f = vm.buffer.load.i8.u %in[%zero64] : !vm.buffer -> i32\nvm.cond_fail %f\n", False),
        ("vm.global.store.i32 %dense, @g32 : i32\n", False),
    ],
)
def test_only_what_is_certain_is_refused_at_load(play, compile_vm, before, refused):
    body = before + TOO_LARGE + "vm.buffer.store.i32 %dense, %b[%zero64] : i32 -> !vm.buffer"
    outcome = play(compile_vm(body))
    assert (outcome.exit_code == 1) == refused, outcome.text
    assert not refused or "a buffer needs 1000000000 bytes" in outcome.text


# ---- Damage


def damage(program: Path, folder: Path, module: bytes, *arguments: object) -> dict[str, int]:
    path = folder / "module.vmfb"
    path.write_bytes(module)
    return start(program, folder, *BUDGET, *arguments, path).values


def test_every_truncation_is_refused(program, tmp_path, matmul):
    values = damage(program, tmp_path, matmul, "--truncate", 3)
    assert values == {"refused": -(-len(matmul) // 3), "failed": 0, "ran": 0}


@pytest.mark.parametrize("seed", SEEDS)
def test_flipped_bits_before_the_kernels_do_no_harm(program, tmp_path, matmul, seed):
    values = damage(program, tmp_path, matmul, "--mutate", seed, 1500, 0, elf(matmul))
    assert sum(values.values()) == 1500
    assert values["refused"] > 500


@pytest.mark.parametrize("seed", SEEDS)
def test_flipped_bits_in_the_kernels_file_do_no_harm(program, tmp_path, matmul, seed):
    values = damage(program, tmp_path, matmul, "--mutate", seed, 1500, elf(matmul), len(matmul))
    assert sum(values.values()) == 1500
    assert values["refused"] > 50


@pytest.mark.parametrize("seed", SEEDS)
def test_flipped_bits_do_no_harm_where_kernels_are_linked_in_place(program, tmp_path, matmul, seed):
    values = damage(program, tmp_path, matmul, "--in-place", 1, "--mutate", seed, 1500, elf(matmul), len(matmul))
    assert sum(values.values()) == 1500
    assert values["refused"] > 50


@pytest.mark.parametrize("seed", SEEDS)
def test_flipped_bits_in_loops_lists_and_calls_do_no_harm(program, tmp_path, compile_vm, seed):
    body = "%n = vm.const.i32 5\n%f:2 = vm.call @fibonacci(%n, %bytes, %in) : (i32, i64, !vm.buffer) -> (i64, i32)\n"
    body += "vm.buffer.store.i64 %f#0, %out[%zero64] : i64 -> !vm.buffer\n"
    body += "%list = vm.list.alloc %n : (i32) -> !vm.list<?>\n"
    body += "vm.list.resize %list, %n : (!vm.list<?>, i32)\n"
    body += "vm.list.set.ref %list, %dense, %in : (!vm.list<?>, i32, !vm.buffer)\n"
    body += "%b = vm.list.get.ref %list, %dense : (!vm.list<?>, i32) -> !vm.buffer\n"
    body += "vm.buffer.copy %b, %zero64, %out, %dim, %dim : !vm.buffer -> !vm.buffer\n"
    body += "%x = vm.call @exchange(%n, %b, %out) : (i32, !vm.buffer, !vm.buffer) -> !vm.buffer\n"
    body += "%k = vm.call @choose(%n) : (i32) -> i32\nvm.buffer.store.i32 %k, %x[%zero64] : i32 -> !vm.buffer"
    module = compile_vm(body, FIBONACCI)
    values = damage(program, tmp_path, module, "--mutate", seed, 2000, 0, len(module))
    assert sum(values.values()) == 2000
    assert values["refused"] > 500
