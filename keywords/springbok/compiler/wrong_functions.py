# SPDX-License-Identifier: Apache-2.0
"""Takes functions that IREE gives kernels and that compute nothing out of objects, before they are linked.

IREE links a C library of its own, in LLVM's bitcode, into all kernels; LLVM calls it where the core has no instruction.
In the library for cores of 32 bits, types of 64 bits were 32 wide when it was made. So its functions that compute with
the bits of doubles are empty, or return anything: a core without floating point that calls ``fmaf`` gets the product
without what is to be added to it, and exp, tanh, sin and whatever else is a polynomial there is wrong with it.

Where a kernel calls one, its object gets a symbol without a definition in place of it. So the linker takes the function
from the compiler's runtime library (`compiler_runtime`), or says that there is none. This file is a program of its own,
which the linker's command starts with the linker's arguments; it changes objects where they are.

>>> mended(b"no object")
b'no object'
"""

import struct
import sys
from pathlib import Path

#: Counts up when other modules are made, so that no older cache entry is taken.
VERSION = 1

#: Those of the C library for 32 bits that use types of 64 bits.
NAMES = (b"exp", b"expf", b"floor", b"fmaf", b"log", b"powf", b"round")

_ELF32 = b"\x7fELF\x01\x01"
_SECTION, _SYMBOL, _RELOCATION = (struct.Struct(each) for each in ("<10I", "<IIIBBH", "<III"))
_SYMBOLS, _RELOCATIONS = 2, 4  # kinds of sections
_ALLOCATED = 2
_GLOBAL, _UNDEFINED = 0x10, 0


def mended(content: bytes) -> bytes:
    """An object of 32 bits, as it is or with functions taken out that are called; anything else as it is."""
    if not content.startswith(_ELF32):
        return content
    data = bytearray(content)
    (place,) = struct.unpack_from("<I", data, 0x20)
    (count,) = struct.unpack_from("<H", data, 0x30)
    headers = [_SECTION.unpack_from(data, place + _SECTION.size * number) for number in range(count)]
    for number, header in enumerate(headers):
        if header[1] == _SYMBOLS:
            relocations = [each for each in headers if each[1] == _RELOCATIONS and each[6] == number]
            names = headers[header[6]]
            local = _take_out(data, header, relocations, data[names[4] : names[4] + names[5]], headers)
            struct.pack_into("<I", data, place + _SECTION.size * number + 28, local)
    return bytes(data)


def _take_out(data: bytearray, table: tuple, relocations: list, names: bytes, headers: list) -> int:
    """Makes symbols undefined; returns how many of the table are local then, which are its first."""
    at, size, local = table[4], table[5], table[7]
    called = {
        info >> 8
        for section in relocations
        if headers[section[7]][2] & _ALLOCATED
        for _, info, _ in _RELOCATION.iter_unpack(data[section[4] : section[4] + section[5]])
    }
    symbols = list(_SYMBOL.iter_unpack(data[at : at + size]))
    order = list(range(len(symbols)))
    for number in reversed(range(local)):
        name, _, _, _, _, section = symbols[number]
        if section != _UNDEFINED and number in called and names[name : names.index(b"\0", name)] in NAMES:
            local -= 1
            symbols[number] = (name, 0, 0, _GLOBAL, 0, _UNDEFINED)
            order[number], order[local] = order[local], order[number]
    data[at : at + size] = b"".join(_SYMBOL.pack(*symbols[number]) for number in order)
    if local != table[7]:
        moved = {number: place for place, number in enumerate(order)}
        for section in relocations:
            for offset in range(section[4], section[4] + section[5], _RELOCATION.size):
                where, info, addend = _RELOCATION.unpack_from(data, offset)
                _RELOCATION.pack_into(data, offset, where, moved[info >> 8] << 8 | info & 0xFF, addend)
    return local


def main(arguments: list[str]) -> None:
    """Mends the objects among a linker's arguments."""
    for path in (Path(each) for each in arguments if each.endswith(".o")):
        content = path.read_bytes()
        if (changed := mended(content)) != content:
            path.write_bytes(changed)


if __name__ == "__main__":
    main(sys.argv[1:])
