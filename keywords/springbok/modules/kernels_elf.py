# SPDX-License-Identifier: Apache-2.0
"""Reads the kernels of a module: an ELF of machine code as `iree-compile` links it, with IREE's executable library.

Every offset is checked before it is followed: what is broken gives a :class:`BrokenFileError`, never another exception.

Example::

    elf = KernelsElf(segment)
    for entry in elf.entries():
        print(entry.name, hex(entry.function), entry.bindings)
"""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from springbok.support.elf import Section, layout_of

#: The version of ``iree_hal_executable_library_v0`` that the kernels must have.
LIBRARY_VERSION = 6


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


class BrokenFileError(Exception):
    """What is broken in a file; the name of the file is told by who opened it."""


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


_SHT_RELA, _SHT_NOBITS, _SHT_RISCV_ATTRIBUTES = 4, 8, 0x70000003
_SHF_ALLOC, _SHF_EXECINSTR = 2, 4
_EM_RISCV, _R_RISCV_RELATIVE, _PT_LOAD = 243, 3, 1
_ATTRIBUTES_BYTES = 64


class KernelEntry(NamedTuple):
    """A kernel as the library declares it: its function's address, and what it is called with."""

    name: str
    function: int
    local_memory_pages: int
    constants: int
    bindings: int
    workgroup_x: int
    workgroup_y: int
    workgroup_z: int


class KernelsElf:
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
            vector_instructions=sum(vector_instructions(self.content(section)) for section in text),
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
        """Names of the kernels, in the order of their ordinals."""
        return tuple(entry.name for entry in self.entries())

    def entries(self) -> tuple[KernelEntry, ...]:
        """The kernels, in the order of their ordinals.

        They hang on ``iree_hal_executable_library_v0_t``, to which no symbol points: it is the one place with a
        pointer to a header of the right version and, three words on, a count with pointers to as many functions and
        names.
        """
        libraries = [
            entries for place, header in self.pointers.items() if (entries := self._library(place, header)) is not None
        ]
        if len(libraries) != 1:
            raise BrokenFileError(
                f"its kernels hold {len(libraries)} executable libraries of version {LIBRARY_VERSION}, "
                "but one is needed: compile it with the pinned compiler"
            )
        return libraries[0]

    def _library(self, place: int, header: int) -> tuple[KernelEntry, ...] | None:
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
        attributes = self._place(self.pointers.get(place + 5 * word, -1))
        if None in addresses or attributes is None:
            return None
        return tuple(
            KernelEntry(
                self._string(address),
                self.pointers[functions + word * number],
                *self.file.unpack("8xHBBIIH", attributes + _ATTRIBUTES_BYTES * number),
            )
            for number, address in enumerate(addresses)
        )

    def _place(self, address: int) -> int | None:
        """Offset in the file of what is loaded at ``address``."""
        for _, section in self.sections:
            held = section.flags & _SHF_ALLOC and section.kind != _SHT_NOBITS
            if held and section.address <= address < section.address + section.size:
                return section.offset + address - section.address
        return None

    def loaded(self, address: int, count: int) -> bytes:
        """Bytes that are loaded at ``address``."""
        place = self._place(address)
        return self.file.slice(-1 if place is None else place, count)

    def _number(self, address: int) -> int | None:
        place = self._place(address)
        return None if place is None else self.file.u32(place)

    def _string(self, address: int) -> str:
        place = self._place(address)
        return self.file.text(-1 if place is None else place)


def vector_instructions(code: bytes) -> int:
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
