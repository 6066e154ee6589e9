# SPDX-License-Identifier: Apache-2.0
"""Layouts of ELF files, of 32 and 64 bits, little endian: what the readers of firmware and of kernels share.

They read by a function ``unpack(layout, at)``, like `struct.unpack_from`, so that each keeps its own kind of errors.
Source: the System V ABI, chapters 4 and 5.

Example::

    layout = layout_of(image)
    sections, names = layout.sections(lambda fields, at: struct.unpack_from("<" + fields, image, at))
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

Unpack = Callable[[str, int], tuple]


class Section(NamedTuple):
    """A section's header; ``name`` is an offset in the table of names."""

    name: int
    kind: int
    flags: int
    address: int
    offset: int
    size: int
    link: int


class Segment(NamedTuple):
    """A program header; ``address`` is the physical one."""

    kind: int
    offset: int
    address: int
    file_bytes: int


class Symbol(NamedTuple):
    """An entry of a symbol table; ``name`` is an offset in its strings, ``section`` an index."""

    name: int
    value: int
    info: int
    section: int
    size: int


class Relocation(NamedTuple):
    """An entry of a table with addends; ``symbol`` is an index in the table of symbols."""

    address: int
    kind: int
    addend: int
    symbol: int


@dataclass(frozen=True)
class ElfLayout:
    """Where things are in a file of one class. ``bits`` is 32 or 64, and ``word`` the bytes of an address."""

    bits: int

    @property
    def word(self) -> int:
        return self.bits // 8

    def sections(self, unpack: Unpack) -> tuple[list[Section], int]:
        """Headers of all sections, and the index of the one that holds their names."""
        (table,) = unpack(*(("Q", 40) if self.bits == 64 else ("I", 32)))
        size, count, names = unpack("HHH", 58 if self.bits == 64 else 46)
        fields = "IIQQQQI" if self.bits == 64 else "7I"
        return [Section(*unpack(fields, table + number * size)) for number in range(count)], names

    def segments(self, unpack: Unpack) -> list[Segment]:
        """All program headers."""
        (table,) = unpack(*(("Q", 32) if self.bits == 64 else ("I", 28)))
        size, count = unpack("HH", 54 if self.bits == 64 else 42)
        found = []
        for number in range(count):
            if self.bits == 64:
                kind, _, offset, _, address, file_bytes = unpack("IIQQQQ", table + number * size)
            else:
                kind, offset, _, address, file_bytes = unpack("5I", table + number * size)
            found.append(Segment(kind, offset, address, file_bytes))
        return found

    def symbols(self, unpack: Unpack, table: Section) -> list[Symbol]:
        """All entries of the symbol table whose section is ``table``."""
        if self.bits == 64:
            entries = (unpack("IBBHQQ", at) for at in range(table.offset, table.offset + table.size - 23, 24))
            return [Symbol(name, value, info, section, size) for name, info, _, section, value, size in entries]
        entries = (unpack("IIIBBH", at) for at in range(table.offset, table.offset + table.size - 15, 16))
        return [Symbol(name, value, info, section, size) for name, value, size, info, _, section in entries]

    def relocations(self, unpack: Unpack, table: Section) -> list[Relocation]:
        """All entries of the section ``table``; ``kind`` is the low part of the information."""
        fields, size, width = ("QQq", 24, 32) if self.bits == 64 else ("IIi", 12, 8)
        entries = (unpack(fields, at) for at in range(table.offset, table.offset + table.size - size + 1, size))
        return [
            Relocation(address, info & (1 << width) - 1, addend, info >> width) for address, info, addend in entries
        ]


def layout_of(image: bytes) -> ElfLayout | None:
    """The layout of a little-endian ELF file; None for anything else.

    >>> layout_of(b"\x7fELF\x02\x01").bits
    64
    """
    bits = {b"\x7fELF\x01\x01": 32, b"\x7fELF\x02\x01": 64}.get(bytes(image[:6]))
    return None if bits is None else ElfLayout(bits)
