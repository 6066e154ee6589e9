# SPDX-License-Identifier: Apache-2.0
"""One kernel alone: its code and the constants that it uses, taken out of all kernels of a module and linked anew.

A module's kernels are one ELF. Linked with ``--emit-relocs`` it keeps its symbols and relocations, which tell what
each function refers to: so a kernel can be placed without the others, its code in one memory, its constants in
another.

Example::

    parts = KernelParts(KernelsElf(segment))
    needed = parts.of(parts.entries["main_dispatch_0"])
    content, function = needed.placed(code_at=0x1400, constants_at=0x11000)
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from springbok.modules.kernels_elf import BrokenFileError, KernelEntry, KernelsElf

_SYMBOL_TABLE, _RELOCATIONS = 2, 4
_OBJECT, _FUNCTION = 1, 2
_MOST_ALIGNMENT = 64
#: Relocations of code for any address, by the RISC-V psABI, chapter "Relocations".
_BRANCH, _JAL, _CALL, _CALL_PLT, _HIGH, _LOW_I, _LOW_S = 16, 17, 18, 19, 23, 24, 25
_WITHIN = {_BRANCH, 43, 44, 45, 51}  # of one function, or about what a linker may leave out


class Reference(NamedTuple):
    """An instruction that means ``target``; of the lower part of an address, ``upper`` is where its upper part is."""

    address: int
    kind: int
    target: int
    upper: int


class Piece(NamedTuple):
    """A function or a constant of the ELF."""

    address: int
    content: bytes
    is_code: bool
    references: tuple[Reference, ...]

    @property
    def alignment(self) -> int:
        """Of its address, as far as it may matter."""
        return min(self.address & -self.address or _MOST_ALIGNMENT, _MOST_ALIGNMENT)


def _laid_out(pieces: Iterable[Piece], base: int) -> tuple[dict[int, int], int]:
    """Where each piece lies from ``base`` on: old address -> new one; and the end."""
    places = {}
    for piece in pieces:
        base += -base % piece.alignment
        places[piece.address] = base
        base += len(piece.content)
    return places, base


@dataclass(frozen=True)
class KernelAlone:
    """What one kernel takes: ``code`` (its own function first), ``constants``, and those that lie behind the code."""

    code: tuple[Piece, ...]
    constants: tuple[Piece, ...]
    behind_code: tuple[Piece, ...] = ()

    def moved(self, lacking: int, free: int) -> KernelAlone:
        """The same with as many constants behind the code as free ``lacking`` bytes, if ``free`` ones are there."""
        moved: list[Piece] = []
        for piece in sorted(self.constants, key=lambda each: len(each.content), reverse=True):
            room = len(piece.content) + _MOST_ALIGNMENT
            if lacking > 0 and room <= free:
                moved.append(piece)
                lacking, free = lacking - len(piece.content), free - room
        stay = tuple(piece for piece in self.constants if piece not in moved)
        return replace(self, constants=stay, behind_code=(*self.behind_code, *moved))

    def ends(self, code_at: int, constants_at: int) -> tuple[int, int, int]:
        """Where code, constants behind it, and the other constants end, if they begin at these addresses."""
        code_end = _laid_out(self.code, code_at)[1]
        return code_end, _laid_out(self.behind_code, code_end)[1], _laid_out(self.constants, constants_at)[1]

    def placed(self, code_at: int, constants_at: int) -> tuple[list[tuple[int, bytes]], int]:
        """(address, content) of all that is loaded, linked for these addresses; and the function's address."""
        places, code_end = _laid_out(self.code, code_at)
        places |= _laid_out(self.behind_code, code_end)[0] | _laid_out(self.constants, constants_at)[0]
        pieces = (*self.code, *self.behind_code, *self.constants)
        return [(places[piece.address], linked(piece, places)) for piece in pieces], places[self.code[0].address]


class KernelParts:
    """All kernels of an ELF, which keeps its relocations.

    Raises BrokenFileError where it does not, or where a kernel can't be taken out alone.
    """

    def __init__(self, elf: KernelsElf) -> None:
        self._elf = elf
        self.entries: dict[str, KernelEntry] = {entry.name: entry for entry in elf.entries()}
        unpack = elf.file.unpack
        table = next((section for _, section in elf.sections if section.kind == _SYMBOL_TABLE), None)
        self._symbols = elf.layout.symbols(unpack, table) if table else []
        placed = [each for each in self._symbols if each.size and each.info & 15 in (_OBJECT, _FUNCTION)]
        known = {each.value: each for each in sorted(placed, key=lambda each: each.size)}
        self._known = [known[address] for address in sorted(known)]
        self._addresses = sorted(known)
        self._relocations = sorted(
            relocation
            for name, section in elf.sections
            if section.kind == _RELOCATIONS and name == ".rela.text"
            for relocation in elf.layout.relocations(unpack, section)
        )
        if not self._relocations:
            raise BrokenFileError("the kernels keep no relocations: they were not linked to be taken apart")

    def of(self, entry: KernelEntry) -> KernelAlone:
        """The kernel with everything that it refers to, directly or not."""
        found: dict[int, Piece] = {}
        pending = [entry.function]
        while pending:
            piece = self._piece(pending.pop(), entry.name)
            if piece.address not in found:
                found[piece.address] = piece
                pending += [each.target for each in piece.references]
        first = found[entry.function]
        code = [piece for piece in found.values() if piece.is_code and piece is not first]
        constants = [found[address] for address in sorted(found) if not found[address].is_code]
        return KernelAlone((first, *code), tuple(constants))

    def _piece(self, address: int, kernel: str) -> Piece:
        number = bisect_right(self._addresses, address) - 1
        symbol = self._known[number] if number >= 0 else None
        if symbol is None or not symbol.value <= address < symbol.value + symbol.size:
            raise BrokenFileError(f"{kernel} refers to 0x{address:x}, where no function or constant is known")
        begin, end = symbol.value, symbol.value + symbol.size
        is_code = symbol.info & 15 == _FUNCTION
        if not is_code and any(begin <= place < end for place in self._elf.pointers):
            raise BrokenFileError(f"{kernel} uses a constant that holds addresses (0x{begin:x})")
        references = tuple(self._references(begin, end, kernel)) if is_code else ()
        return Piece(begin, self._elf.loaded(begin, symbol.size), is_code, references)

    def _references(self, begin: int, end: int, kernel: str) -> Iterable[Reference]:
        meant: dict[int, int] = {}
        for address, kind, addend, number in self._relocations:
            if not begin <= address < end or kind == 0 or kind in _WITHIN:
                continue
            target = upper = self._symbols[number].value + addend
            if kind == _JAL and begin <= target < end:
                continue
            if kind == _HIGH:
                meant[address] = target
            elif kind in (_LOW_I, _LOW_S):  # its symbol is the instruction with the upper part
                target = meant.get(upper, -1)
            elif kind not in (_JAL, _CALL, _CALL_PLT):
                raise BrokenFileError(f"{kernel} has a relocation of kind {kind} at 0x{address:x}")
            if target < 0:
                raise BrokenFileError(f"{kernel} has half an address at 0x{address:x}")
            yield Reference(address, kind, target, upper)


def linked(piece: Piece, places: dict[int, int]) -> bytes:
    """The piece's content, with its references to where others lie now."""
    content = bytearray(piece.content)
    known = sorted(places)
    distances: dict[int, int] = {}  # by the address of the upper part
    for address, kind, target, upper in piece.references:
        owner = known[bisect_right(known, target) - 1]
        at = address - piece.address
        distance = places[owner] + target - owner - (places[piece.address] + at)
        if kind in (_LOW_I, _LOW_S):
            distance = distances[upper]
        elif kind == _HIGH:
            distances[address] = distance
        if kind in (_HIGH, _CALL, _CALL_PLT):
            _patch(content, at, 0xFFFFF000, distance + 0x800)
        if kind in (_CALL, _CALL_PLT):
            at += 4
        if kind in (_LOW_I, _CALL, _CALL_PLT):
            _patch(content, at, 0xFFF00000, distance << 20)
        elif kind == _LOW_S:
            _patch(content, at, 0xFE000F80, (distance & 0xFE0) << 20 | (distance & 0x1F) << 7)
        elif kind == _JAL:
            bits = (distance >> 20 & 1) << 31 | (distance >> 1 & 0x3FF) << 21
            _patch(content, at, 0xFFFFF000, bits | (distance >> 11 & 1) << 20 | distance & 0xFF000)
    return bytes(content)


def _patch(content: bytearray, at: int, mask: int, bits: int) -> None:
    (word,) = struct.unpack_from("<I", content, at)
    struct.pack_into("<I", content, at, word & ~mask | bits & mask)
