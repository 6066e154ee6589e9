# SPDX-License-Identifier: Apache-2.0
"""The VMFB reader: against IREE's own dump, and against files that are broken in every place."""

import importlib.metadata
import random
import re
import struct
import subprocess

import pytest
from tiny_models import dense_vmfb

from springbok.modules.kernels_elf import vector_instructions
from springbok.modules.vmfb import _tensors, read_vmfb
from springbok.support.errors import ModelError
from springbok.tensors import TensorSpec


def test_declaration():
    module = read_vmfb(dense_vmfb())
    assert module.entry == "main"
    assert module.inputs == (TensorSpec("input0", (1, 16), "float32"),)
    assert module.outputs == (TensorSpec("output0", (1, 8), "float32"),)
    assert module.bytecode_version == 0x00110000


def test_unsigned_tensors_are_declared_by_an_attribute():
    declared = "%input0: tensor<4xi8> {iree.abi.encoding = tensor<4xui8>}, "
    declared += "%input1: tensor<2x3xi8>, %input2: tensor<f32>"
    assert _tensors(declared, declared) == (
        TensorSpec("input0", (4,), "uint8"),
        TensorSpec("input1", (2, 3), "int8"),
        TensorSpec("input2", (), "float32"),
    )


def test_vector_kernels():
    (kernels,) = read_vmfb(dense_vmfb()).kernels
    assert kernels.vlen_bits == 512
    assert kernels.vector_instructions > 0
    assert kernels.rodata_bytes > 16 * 8 * 4
    assert 0 < kernels.text_bytes < kernels.elf_bytes
    assert [re.sub(r"\d+_f32$", "", name) for name in kernels.exports] == ["main_dispatch_0_vecmat_8x"]


def test_scalar_kernels():
    (kernels,) = read_vmfb(dense_vmfb(vectors=False)).kernels
    assert kernels.vlen_bits == 0
    assert kernels.vector_instructions == 0
    assert "zve" not in kernels.architecture


def test_same_imports_and_exports_as_irees_own_dump(tmp_path):
    path = tmp_path / "dense.vmfb"
    path.write_bytes(dense_vmfb())
    tool = importlib.metadata.distribution("iree-base-runtime").locate_file("iree/_runtime_libs/iree-dump-module")
    dump = subprocess.run([tool, path], capture_output=True, text=True, check=True, timeout=600).stdout
    module = read_vmfb(dense_vmfb())
    assert re.findall(r"^ *\[ *\d+\] ((?:hal_inline|hal_loader)\.[\w.]+)\(", dump, re.MULTILINE) == list(module.imports)
    assert len(module.imports) > 0
    assert re.findall(r"^ *\[ *\d+\] (main|__init)\(", dump, re.MULTILINE)[-2:] == list(module.exports)


def test_polyglot_zip_reads_the_same():
    archive = dense_vmfb("--iree-vm-emit-polyglot-zip=true")
    assert archive.startswith(b"PK")
    assert read_vmfb(archive).dispatches == read_vmfb(dense_vmfb()).dispatches


@pytest.mark.parametrize("data", [b"", b"x", b"not a module at all", bytes(1000), b"\xff" * 1000])
def test_other_files_are_refused(data):
    with pytest.raises(ModelError, match="gestures.vmfb is not a usable VMFB file"):
        read_vmfb(data, "gestures.vmfb")


def test_every_truncation_is_refused():
    data = dense_vmfb()
    for length in [*range(0, 3000, 13), *range(3000, len(data) - 64, 37)]:
        with pytest.raises(ModelError, match=f"file size: {length} bytes"):
            read_vmfb(data[:length])


def test_damaged_bytes_never_raise_anything_else():
    data = dense_vmfb()
    chance = random.Random(1)
    refused = 0
    for _ in range(400):
        damaged = bytearray(data)
        for _ in range(3):
            damaged[chance.randrange(len(data) if chance.random() < 0.5 else 3200)] = chance.randrange(256)
        try:
            read_vmfb(bytes(damaged))
        except ModelError:
            refused += 1
    assert 50 < refused < 400


def test_another_bytecode_version_is_refused_with_both_versions():
    data = dense_vmfb().replace(struct.pack("<I", 0x00110000), struct.pack("<I", 0x00120003), 1)
    with pytest.raises(ModelError, match=r"version 18\.3, but 17\.0 is needed"):
        read_vmfb(data)


def test_another_library_version_is_refused():
    data = dense_vmfb()
    elf = data.index(b"\x7fELF")
    # The library's header: version 6, the name's place (a relocation fills it in), no features, no sanitizer.
    header = data.index(struct.pack("<4I", 6, 0, 0, 0), elf)
    with pytest.raises(ModelError, match="executable libraries of version 6"):
        read_vmfb(data[:header] + b"\x07" + data[header + 1 :])


def test_unknown_entry_is_refused_with_those_there_are():
    with pytest.raises(ModelError, match=r"exports no function 'predict'; it exports: main"):
        read_vmfb(dense_vmfb(), entry="predict")


def test_only_vector_instructions_are_counted():
    vector = [0x0D0572D7, 0x02056407, 0x02056427, 0x02A50457]  # vsetvli, vle32.v, vse32.v, vadd.vv
    others = [0x00052507, 0x00A52027, 0x00A50533]  # flw, fsw, add
    code = b"\x01\x00" + struct.pack(f"<{len(vector + others)}I", *vector, *others)  # c.nop before them
    assert vector_instructions(code) == len(vector)
