# SPDX-License-Identifier: Apache-2.0
"""Reading of a program's ELF file: what to load where, and which function an address belongs to."""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from springbok.chips.chip import Chip
from springbok.support.elf import ElfLayout, Unpack, layout_of
from springbok.support.errors import EngineError

ET_EXEC, EM_RISCV, PT_LOAD, SHT_SYMTAB = 2, 243, 1, 2
STT_NOTYPE, STT_FUNC = 0, 2


@dataclass(frozen=True)
class Executable:
    """``segments`` are (address, content) pairs, ``symbols`` (address, name) pairs in order of address."""

    segments: tuple[tuple[int, bytes], ...]
    symbols: tuple[tuple[int, str], ...]

    def describe(self, address: int) -> str:
        """Return the address with the function that it lies in, when the file has symbols.

        >>> Executable(((0x100, bytes(16)),), ((0x100, "main"),)).describe(0x104)
        '0x104 (main+0x4)'
        """
        index = bisect_right(self.symbols, (address, "\U0010ffff")) - 1
        loaded = any(base <= address < base + len(content) for base, content in self.segments)
        if index < 0 or not loaded:
            return f"0x{address:x}"
        base, name = self.symbols[index]
        return f"0x{address:x} ({name}+0x{address - base:x})"

    def by_function(self, counts: Mapping[int, int]) -> dict[str, int]:
        """Add up what was counted by address, for each function: the largest first.

        >>> Executable((), ((0x100, "main"),)).by_function({0x100: 2, 0x104: 3, 0x10: 1})
        {'main': 5, 'no function': 1}
        """
        found: Counter[str] = Counter()
        for address, count in counts.items():
            index = bisect_right(self.symbols, (address, "\U0010ffff")) - 1
            found[self.symbols[index][1] if index >= 0 else "no function"] += count
        return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def read_executable(path: Path, chip: Chip) -> Executable:
    """Read a little-endian RISC-V executable of the core's width whose segments lie in the chip's memories.

    Raises EngineError when the file is missing, is something else, or does not fit the chip's memories.
    """
    try:
        image = path.read_bytes()
    except OSError as error:
        raise EngineError(
            f"Can't read the program {path}: {error.strerror}. Build it, or give another ELF file."
        ) from error
    if image[:4] != b"\x7fELF" or len(image) < 52:
        raise EngineError(f"{path} is not an ELF file. The chip needs its program as an ELF executable.")
    kind, machine = struct.unpack_from("<HH", image, 16)
    layout = layout_of(image)
    if layout is None or layout.bits != chip.xlen or machine != EM_RISCV or kind != ET_EXEC:
        bits = {1: "32-bit", 2: "64-bit"}.get(image[4], "unknown class")
        order = {1: "little endian", 2: "big endian"}.get(image[5], "unknown byte order")
        raise EngineError(
            f"{path} does not fit the chip: it is {bits}, {order}, ELF machine {machine}, type {kind}; needed is a "
            f"{chip.xlen}-bit little-endian RISC-V executable (machine {EM_RISCV}, type {ET_EXEC}). "
            f"Build it for riscv{chip.xlen}."
        )
    try:
        segments = tuple(_segments(image, layout))
        symbols = tuple(sorted(_function_symbols(image, layout)))
    except (struct.error, IndexError, ValueError) as error:
        raise EngineError(
            f"{path} is a damaged ELF file: what its tables name lies beyond the end of the file. Build it again."
        ) from error
    for address, content in segments:
        if not any(base <= address and address + len(content) <= base + size for base, size in chip.ranges):
            where = ", ".join(f"0x{base:x} to 0x{base + size - 1:x}" for base, size in chip.ranges)
            raise EngineError(
                f"{path} has a segment of {len(content)} bytes at 0x{address:x}, where the chip has no memory. "
                f"Memories: {where}. Link it with the chip's linker script."
            )
    if not segments:
        raise EngineError(f"{path} has nothing to load. Link it with the chip's linker script.")
    return Executable(segments, symbols)


def _segments(image: bytes, layout: ElfLayout):
    for segment in layout.segments(_unpack(image)):
        if segment.kind == PT_LOAD and segment.file_bytes:
            content = image[segment.offset : segment.offset + segment.file_bytes]
            if len(content) != segment.file_bytes:
                raise IndexError("a segment lies beyond the end of the file")
            yield segment.address, content


def _function_symbols(image: bytes, layout: ElfLayout):
    sections, _ = layout.sections(_unpack(image))
    for table in sections:
        if table.kind != SHT_SYMTAB:
            continue
        strings = sections[table.link].offset
        for symbol in layout.symbols(_unpack(image), table):
            if symbol.info & 15 in (STT_NOTYPE, STT_FUNC) and symbol.name and 0 < symbol.section < 0xFF00:
                begin = strings + symbol.name
                text = image[begin : image.index(b"\0", begin)].decode(errors="replace")
                if not text.startswith(("$", ".L")):
                    yield symbol.value, text


def _unpack(image: bytes) -> Unpack:
    return lambda fields, at: struct.unpack_from("<" + fields, image, at)
