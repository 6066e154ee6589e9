# SPDX-License-Identifier: Apache-2.0
"""The chip's flattened device tree (DTB).

Spike takes its number of harts, their ISA and their PMP regions from a device tree and would call the program
``dtc`` to make one. Writing the few nodes that it reads needs no ``dtc``. Format: the Devicetree Specification,
release v0.4, chapter 5. All numbers are big endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

MAGIC = 0xD00DFEED
VERSION, LAST_COMPATIBLE_VERSION = 17, 16
BEGIN_NODE, END_NODE, PROPERTY, END = 1, 2, 3, 9
HEADER_BYTES = 40


class DeviceTreeWriter:
    """Writes nodes and properties in order; `blob` gives the finished DTB.

    >>> tree = DeviceTreeWriter()
    >>> tree.begin("").property("#address-cells", 1).end()
    >>> tree.blob()[:4].hex()
    'd00dfeed'
    """

    def __init__(self) -> None:
        self._structure = bytearray()
        self._strings = bytearray()
        self._string_offsets: dict[str, int] = {}

    def begin(self, name: str) -> DeviceTreeWriter:
        """Open a node; the root's name is empty."""
        self._structure += struct.pack(">I", BEGIN_NODE) + name.encode() + b"\0"
        self._pad()
        return self

    def property(self, name: str, *values: int | str) -> DeviceTreeWriter:
        """Add a property: 32-bit cells and strings, one after another; none at all for an empty property."""
        content = b"".join(
            value.encode() + b"\0" if isinstance(value, str) else struct.pack(">I", value) for value in values
        )
        self._structure += struct.pack(">III", PROPERTY, len(content), self._string_offset(name)) + content
        self._pad()
        return self

    def end(self) -> None:
        """Close the node that was opened last."""
        self._structure += struct.pack(">I", END_NODE)

    def blob(self) -> bytes:
        """Return the DTB: header, empty reservation map, structure, strings."""
        reservations = bytes(16)
        structure = bytes(self._structure) + struct.pack(">I", END)
        structure_offset = HEADER_BYTES + len(reservations)
        strings_offset = structure_offset + len(structure)
        header = struct.pack(
            ">10I",
            MAGIC,
            strings_offset + len(self._strings),
            structure_offset,
            strings_offset,
            HEADER_BYTES,
            VERSION,
            LAST_COMPATIBLE_VERSION,
            0,  # boot CPU
            len(self._strings),
            len(structure),
        )
        return header + reservations + structure + bytes(self._strings)

    def _pad(self) -> None:
        self._structure += bytes(-len(self._structure) % 4)

    def _string_offset(self, name: str) -> int:
        if name not in self._string_offsets:
            self._string_offsets[name] = len(self._strings)
            self._strings += name.encode() + b"\0"
        return self._string_offsets[name]


def chip_devicetree(isa: str, memories: Iterable[tuple[int, int]], timebase_hz: int, pmp_regions: int) -> bytes:
    """Return the DTB of a chip with one hart.

    ``memories`` are (base, size) pairs. Devices are not named: the simulator is given them directly, and one that
    it found here it would model itself.
    """
    tree = DeviceTreeWriter()
    tree.begin("").property("#address-cells", 2).property("#size-cells", 2).property("compatible", "springbok")
    tree.begin("cpus").property("#address-cells", 1).property("#size-cells", 0)
    tree.property("timebase-frequency", timebase_hz)
    tree.begin("cpu@0").property("device_type", "cpu").property("reg", 0).property("compatible", "riscv")
    tree.property("riscv,isa", isa).property("mmu-type", "riscv,sbare")
    tree.property("riscv,pmpregions", pmp_regions).property("riscv,pmpgranularity", 4)
    tree.begin("interrupt-controller").property("#interrupt-cells", 1).property("interrupt-controller")
    tree.property("compatible", "riscv,cpu-intc").end()
    tree.end()
    tree.end()
    for base, size in memories:
        tree.begin(f"memory@{base:x}").property("device_type", "memory").property("reg", 0, base, 0, size).end()
    tree.begin("soc").property("compatible", "simple-bus").property("ranges").end()
    tree.end()
    return tree.blob()
