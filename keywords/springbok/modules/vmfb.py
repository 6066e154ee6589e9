# SPDX-License-Identifier: Apache-2.0
"""Reads IREE's VMFB files: what a module takes, gives, imports, and which kernels it carries.

Independent of IREE's own code and of the firmware's loader, so that each can be checked against the other. Every
offset is checked before it is followed: a broken file gives a :class:`ModelError`, never another exception.

The layout is that of IREE 3.13's ``bytecode_module_def.fbs`` and ``executable_library.h``.

Example::

    module = read_vmfb(Path("model.vmfb").read_bytes(), "model.vmfb")
    print(module.inputs, module.outputs)
    for kernels in module.kernels:
        print(kernels.text_bytes, kernels.vlen_bits, kernels.exports)
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from springbok.modules.kernels_elf import BrokenFileError, CheckedBytes, Kernels, KernelsElf
from springbok.support.errors import ModelError
from springbok.tensors import TensorSpec

#: The bytecode that this reader and the firmware understand: major 17, minor 0.
BYTECODE_VERSION = 0x00110000

#: Element types of what goes to the chip and comes from it, and NumPy's names of them.
ELEMENT_TYPES = {
    "f32": "float32",
    "f64": "float64",
    "f16": "float16",
    "i1": "bool",
    "i8": "int8",
    "i16": "int16",
    "i32": "int32",
    "i64": "int64",
    "si8": "int8",
    "si16": "int16",
    "si32": "int32",
    "si64": "int64",
    "ui8": "uint8",
    "ui16": "uint16",
    "ui32": "uint32",
    "ui64": "uint64",
}


@dataclass(frozen=True)
class Vmfb:
    """What a VMFB file declares. ``entry`` is its only public function besides the module's own start-up."""

    name: str
    bytecode_version: int
    entry: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    imports: tuple[str, ...]
    exports: tuple[str, ...]
    rodata_bytes: tuple[int, ...]
    kernels: tuple[Kernels, ...]

    @property
    def dispatches(self) -> tuple[str, ...]:
        """Names of all dispatches, in the order of their ordinals."""
        return tuple(name for kernels in self.kernels for name in kernels.exports)

    @property
    def kernels_sha256(self) -> str:
        """One checksum for the code and the constants of all kernels."""
        return hashlib.sha256(" ".join(kernels.sha256 for kernels in self.kernels).encode()).hexdigest()


def read_vmfb(data: bytes, name: str = "the VMFB", entry: str | None = None, with_kernels: bool = True) -> Vmfb:
    """Reads the VMFB file whose bytes are ``data``; ``name`` is what error messages call it.

    ``entry`` names the function to run: by default ``main``, or the only exported one. ``with_kernels=False`` leaves
    the kernels unread, for a module that was compiled for another machine than the chip.

    Raises :class:`ModelError` when the file is cut off, broken, of another IREE version, has no such function, or
    when the function's inputs or outputs aren't tensors of a fixed shape.
    """
    try:
        return _read(bytes(data), entry, with_kernels)
    except BrokenFileError as error:
        raise ModelError(f"{name} is not a usable VMFB file: {error} (file size: {len(data)} bytes).") from None


def kernels_code(data: bytes) -> range:
    """Where the machine code of a VMFB's kernels lies in the file.

    Raises :class:`ModelError` if there is none.
    """
    try:
        start = data.index(b"\x7fELF")
        text = KernelsElf(data[start:]).code
        return range(start + text[0].offset, start + text[-1].offset + text[-1].size)
    except (BrokenFileError, ValueError, IndexError):
        raise ModelError("The VMFB holds no machine code of kernels that can be read.") from None


def kernel_names(elf: bytes) -> tuple[str, ...]:
    """Names of the kernels of an ELF for the chip, in the order of their ordinals. Raises :class:`ModelError`."""
    try:
        return KernelsElf(elf).exports()
    except BrokenFileError as error:
        raise ModelError(f"The kernels' names can't be read: {error}.") from None


# The container and its flatbuffer


class Table:
    """A flatbuffer table. Fields go by their id; one that is absent reads as its default."""

    def __init__(self, buffer: CheckedBytes, at: int) -> None:
        self.buffer = buffer
        self.at = at
        self.vtable = at - buffer.unpack("i", at)[0]
        self.vtable_bytes = buffer.unpack("H", self.vtable)[0]

    def _where(self, field: int) -> int | None:
        entry = 4 + 2 * field
        if entry + 2 > self.vtable_bytes:
            return None
        offset = self.buffer.unpack("H", self.vtable + entry)[0]
        return self.at + offset if offset else None

    def _target(self, field: int) -> int | None:
        at = self._where(field)
        return None if at is None else at + self.buffer.u32(at)

    def number(self, field: int, layout: str) -> int:
        at = self._where(field)
        return 0 if at is None else self.buffer.unpack(layout, at)[0]

    def string(self, field: int) -> str:
        return self.bytes(field).decode("utf-8", "replace")

    def bytes(self, field: int) -> bytes:
        at = self._target(field)
        return b"" if at is None else self.buffer.slice(at + 4, self.buffer.u32(at))

    def table(self, field: int) -> Table | None:
        at = self._target(field)
        return None if at is None else Table(self.buffer, at)

    def structs(self, field: int, size: int) -> list[bytes]:
        at = self._target(field)
        if at is None:
            return []
        data = self.buffer.slice(at + 4, size * self.buffer.u32(at))
        return [data[start : start + size] for start in range(0, len(data), size)]

    def tables(self, field: int) -> list[Table]:
        at = self._target(field)
        if at is None:
            return []
        places = self.buffer.slice(at + 4, 4 * self.buffer.u32(at))
        starts = range(at + 4, at + 4 + len(places), 4)
        return [Table(self.buffer, start + self.buffer.u32(start)) for start in starts]


@dataclass(frozen=True)
class Archive:
    """An opened VMFB file: its bytes, the root table of its flatbuffer, where its external read-only data begins."""

    file: CheckedBytes
    root: Table
    rodata_start: int

    @property
    def bytecode_version(self) -> int:
        """Major version in the upper 16 bits, minor in the lower."""
        return self.root.number(13, "I")

    def rodata(self) -> list[bytes]:
        """The read-only segments."""
        return _rodata(self.file, self.root.tables(9), self.rodata_start)


def open_archive(data: bytes) -> Archive:
    """Opens a VMFB file. Raises :class:`BrokenFileError` when it is none, or of another bytecode version."""
    file = CheckedBytes(data, "the file")
    # `iree-compile --iree-vm-emit-polyglot-zip` puts a ZIP local file header before the flatbuffer.
    start = 0
    if data[:4] == b"PK\x03\x04":
        start = 30 + sum(file.unpack("HH", 26))
    length = file.u32(start)
    flatbuffer = CheckedBytes(file.slice(start + 4, length), "the flatbuffer")
    if flatbuffer.slice(4, 4) != b"IREE":
        raise BrokenFileError("it does not begin with a flatbuffer of the kind 'IREE'")
    # External rodata begins at the first multiple of 64 after the flatbuffer.
    archive = Archive(file, Table(flatbuffer, flatbuffer.u32(0)), (start + 4 + length + 63) // 64 * 64)
    version = archive.bytecode_version
    if version >> 16 != BYTECODE_VERSION >> 16 or version > BYTECODE_VERSION:
        raise BrokenFileError(
            f"its bytecode has version {version >> 16}.{version & 0xFFFF}, but "
            f"{BYTECODE_VERSION >> 16}.{BYTECODE_VERSION & 0xFFFF} is needed: compile it with the pinned compiler"
        )
    return archive


def _read(data: bytes, entry: str | None, with_kernels: bool) -> Vmfb:
    archive = open_archive(data)
    root = archive.root
    exports = {table.string(0): table.number(1, "i") for table in root.tables(7)}
    public = [export for export in exports if not export.startswith("__")]
    entry = entry or ("main" if "main" in public or len(public) != 1 else public[0])
    if entry not in public:
        raise BrokenFileError(f"it exports no function '{entry}'; it exports: {', '.join(public) or 'nothing'}")
    inputs, outputs = _declaration(root, exports[entry], entry)
    segments = archive.rodata()
    return Vmfb(
        name=root.string(0),
        bytecode_version=archive.bytecode_version,
        entry=entry,
        inputs=inputs,
        outputs=outputs,
        imports=tuple(table.string(0) for table in root.tables(6)),
        exports=tuple(exports),
        rodata_bytes=tuple(len(segment) for segment in segments),
        kernels=tuple(KernelsElf(elf).kernels() for elf in segments if with_kernels and elf[:4] == b"\x7fELF"),
    )


def _rodata(archive: CheckedBytes, tables: list[Table], start: int) -> list[bytes]:
    segments, total = [], 0
    for table in tables:
        compression = table.number(0, "B")
        if compression:
            raise BrokenFileError(f"a read-only segment is compressed (kind {compression}), which is not supported")
        segments.append(table.bytes(2) or archive.slice(start + table.number(3, "Q"), table.number(4, "Q")))
        total += len(segments[-1])
        if total > len(archive.data):
            raise BrokenFileError("its read-only segments overlap")
    return segments


def _declaration(root: Table, ordinal: int, entry: str) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    signatures = root.tables(8)
    if not 0 <= ordinal < len(signatures):
        raise BrokenFileError(f"the export '{entry}' is function {ordinal}, but there are {len(signatures)}")
    attributes = {table.string(0): table.string(1) for table in signatures[ordinal].tables(1)}
    declaration = attributes.get("iree.abi.declaration", "")
    match = re.fullmatch(r"(?:a?sync) func @[^(]*\((.*)\) -> \((.*)\)", declaration, re.DOTALL)
    if not match:
        raise BrokenFileError(f"the function '{entry}' declares no inputs and outputs (iree.abi.declaration)")
    return _tensors(match[1], declaration), _tensors(match[2], declaration)


def _tensors(text: str, declaration: str) -> tuple[TensorSpec, ...]:
    # Unsigned tensors carry their element type in an attribute: %x: tensor<4xi8> {iree.abi.encoding = tensor<4xui8>}
    text = re.sub(r"tensor<[^>]*> {iree\.abi\.encoding = (tensor<[^>]*>)}", r"\1", text)
    found = re.findall(r"%(\w+): (\w+)(?:<([^>]*)>)?", text)
    if len(found) != text.count("%"):
        raise BrokenFileError(f"its declaration can't be read: {declaration}")
    specs = []
    for name, kind, inner in found:
        *dims, element = inner.split("x")
        if kind != "tensor" or element not in ELEMENT_TYPES or not all(re.fullmatch("[0-9]{1,9}", dim) for dim in dims):
            shown = f"{kind}<{inner}>" if inner else kind
            why = "only tensors of a fixed shape can be sent to the chip"
            if kind == "tensor" and element not in ELEMENT_TYPES:
                why = f"elements of the type {element} can't be sent to the chip"
            raise BrokenFileError(f"'{name}' is {shown}, but {why}")
        specs.append(TensorSpec(name, tuple(map(int, dims)), ELEMENT_TYPES[element]))
    return tuple(specs)
