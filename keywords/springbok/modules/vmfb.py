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
import struct
from dataclasses import dataclass
from functools import cached_property

from springbok.support.elf import Section, layout_of
from springbok.support.errors import ModelError
from springbok.tensors import TensorSpec

#: The bytecode that this reader and the firmware understand: major 17, minor 0.
BYTECODE_VERSION = 0x00110000
#: The version of ``iree_hal_executable_library_v0`` that the kernels must have.
LIBRARY_VERSION = 6

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
class Kernels:
    """One ELF of compiled kernels. Sizes are in bytes.

    ``vector_instructions`` counts the instructions of the vector extension in the code, vset included;
    ``vlen_bits`` is the VLEN that the code was built for, 0 when it was built without vectors;
    ``exports`` are the names of the dispatches, in the order of their ordinals; ``sha256`` is that of the ELF.
    """

    sha256: str
    elf_bytes: int
    image_bytes: int
    text_bytes: int
    rodata_bytes: int
    architecture: str
    vlen_bits: int
    vector_instructions: int
    exports: tuple[str, ...]


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
        text = _Elf(data[start:]).code
        return range(start + text[0].offset, start + text[-1].offset + text[-1].size)
    except (BrokenFileError, ValueError, IndexError):
        raise ModelError("The VMFB holds no machine code of kernels that can be read.") from None


def kernel_names(elf: bytes) -> tuple[str, ...]:
    """Names of the kernels of an ELF for the chip, in the order of their ordinals. Raises :class:`ModelError`."""
    try:
        return _Elf(elf).exports()
    except BrokenFileError as error:
        raise ModelError(f"The kernels' names can't be read: {error}.") from None


class BrokenFileError(Exception):
    """What is broken in a file; the name of the file is told by who opened it."""


# The container and its flatbuffer


class CheckedBytes:
    """Bytes with checked access; ``what`` names them in errors."""

    def __init__(self, data: bytes, what: str) -> None:
        self.data = data
        self.what = what

    def slice(self, start: int, length: int) -> bytes:
        if start < 0 or length < 0 or start + length > len(self.data):
            raise BrokenFileError(f"{self.what} ends at {len(self.data)}, but {length} bytes at {start} are needed")
        return self.data[start : start + length]

    def unpack(self, layout: str, at: int) -> tuple:
        return struct.unpack("<" + layout, self.slice(at, struct.calcsize("<" + layout)))

    def u32(self, at: int) -> int:
        return self.unpack("I", at)[0]

    def text(self, at: int) -> str:
        """The zero-terminated string at ``at``."""
        end = self.data.find(b"\0", at) if 0 <= at < len(self.data) else -1
        if end < 0:
            raise BrokenFileError(f"{self.what} holds no terminated string at {at}")
        return self.data[at:end].decode("utf-8", "replace")


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
        kernels=tuple(_Elf(elf).kernels() for elf in segments if with_kernels and elf[:4] == b"\x7fELF"),
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


# The kernels


_SHT_RELA, _SHT_NOBITS, _SHT_RISCV_ATTRIBUTES = 4, 8, 0x70000003
_SHF_ALLOC, _SHF_EXECINSTR = 2, 4
_EM_RISCV, _R_RISCV_RELATIVE, _PT_LOAD = 243, 3, 1


class _Elf:
    """A RISC-V shared object as `iree-compile` links it, for a core of 32 or 64 bits."""

    def __init__(self, data: bytes) -> None:
        self.file = CheckedBytes(data, "the kernels' ELF")
        layout = layout_of(data)
        if layout is None or self.file.unpack("H", 18)[0] != _EM_RISCV:
            raise BrokenFileError("its kernels are not 32- or 64-bit little-endian RISC-V code")
        self.layout = layout
        headers, names = layout.sections(self.file.unpack)
        if names >= len(headers):
            raise BrokenFileError("the kernels' ELF has no table of section names")
        held = self.file.slice(headers[names].offset, headers[names].size)
        strings = CheckedBytes(held, "the table of section names")
        self.sections = [(strings.text(section.name), section) for section in headers]
        for _, section in self.sections:
            if section.kind != _SHT_NOBITS:
                self.content(section)

    def content(self, section: Section) -> bytes:
        return self.file.slice(section.offset, section.size)

    @property
    def code(self) -> list[Section]:
        return [section for _, section in self.sections if section.flags & _SHF_EXECINSTR]

    def kernels(self) -> Kernels:
        text = self.code
        architecture = self.architecture()
        lengths = [int(bits) for bits in re.findall(r"_zvl([0-9]{1,9})b", architecture)]
        return Kernels(
            sha256=hashlib.sha256(self.file.data).hexdigest(),
            elf_bytes=len(self.file.data),
            image_bytes=self.image_bytes(),
            text_bytes=sum(section.size for section in text),
            rodata_bytes=sum(section.size for name, section in self.sections if name.startswith(".rodata")),
            architecture=architecture,
            vlen_bits=max(lengths, default=0),
            vector_instructions=sum(_vector_instructions(self.content(section)) for section in text),
            exports=self.exports(),
        )

    def image_bytes(self) -> int:
        """What the loaded segments take, without what is zero at their end."""
        loaded = (segment for segment in self.layout.segments(self.file.unpack) if segment.kind == _PT_LOAD)
        return max((segment.address + segment.file_bytes for segment in loaded), default=0)

    def architecture(self) -> str:
        """The ISA string, such as ``rv32i2p1_m2p0_…``, of the RISC-V attributes; empty when there are none."""
        for _, section in self.sections:
            if section.kind == _SHT_RISCV_ATTRIBUTES:
                match = re.search(rb"\x05(rv%d[0-9a-z_]+)\0" % self.layout.bits, self.content(section))
                return match[1].decode() if match else ""
        return ""

    @cached_property
    def pointers(self) -> dict[int, int]:
        """Address of each pointer in the image -> what it points at, from the relocations."""
        found = {}
        for _, section in self.sections:
            if section.kind == _SHT_RELA:
                for relocation in self.layout.relocations(self.file.unpack, section):
                    if relocation.kind == _R_RISCV_RELATIVE:
                        found[relocation.address] = relocation.addend
        return found

    def exports(self) -> tuple[str, ...]:
        """Names of the kernels, in the order of their ordinals.

        They hang on ``iree_hal_executable_library_v0_t``, to which no symbol points: it is the one place with a
        pointer to a header of the right version and, three words on, a count with pointers to as many functions and
        names.
        """
        libraries = [
            names for place, header in self.pointers.items() if (names := self._library(place, header)) is not None
        ]
        if len(libraries) != 1:
            raise BrokenFileError(
                f"its kernels hold {len(libraries)} executable libraries of version {LIBRARY_VERSION}, "
                "but one is needed: compile it with the pinned compiler"
            )
        return libraries[0]

    def _library(self, place: int, header: int) -> tuple[str, ...] | None:
        word = self.layout.word
        if self._number(header) != LIBRARY_VERSION or header + word not in self.pointers:
            return None
        functions, names = self.pointers.get(place + 4 * word), self.pointers.get(place + 8 * word)
        count = self._number(place + 3 * word)
        if functions is None or names is None or not 0 < (count or 0) <= len(self.pointers):
            return None
        if any(functions + word * number not in self.pointers for number in range(count)):
            return None
        addresses = [self.pointers.get(names + word * number) for number in range(count)]
        return None if None in addresses else tuple(self._string(address) for address in addresses)

    def _place(self, address: int) -> int | None:
        """Offset in the file of what is loaded at ``address``."""
        for _, section in self.sections:
            held = section.flags & _SHF_ALLOC and section.kind != _SHT_NOBITS
            if held and section.address <= address < section.address + section.size:
                return section.offset + address - section.address
        return None

    def _number(self, address: int) -> int | None:
        place = self._place(address)
        return None if place is None else self.file.u32(place)

    def _string(self, address: int) -> str:
        place = self._place(address)
        return self.file.text(-1 if place is None else place)


def _vector_instructions(code: bytes) -> int:
    """Counts the instructions of the vector extension in ``code``.

    They have the opcode OP-V, or a load's or store's opcode with one of the vector widths (RVV 1.0, 7.3).
    """
    count, at = 0, 0
    while at + 4 <= len(code):
        (word,) = struct.unpack_from("<I", code, at)
        if word & 3 != 3:
            at += 2
            continue
        opcode, width = word & 0x7F, word >> 12 & 7
        count += opcode == 0x57 or (opcode in (0x07, 0x27) and width in (0, 5, 6, 7))
        at += 4
    return count
