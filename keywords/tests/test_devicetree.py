# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import struct

from springbok.engines.devicetree import DeviceTreeWriter, chip_devicetree


def parse(blob: bytes) -> dict:
    """An independent reader: nested dicts, properties as bytes."""
    magic, total, structure, strings, reservations, version, compatible, _, strings_size, structure_size = (
        struct.unpack_from(">10I", blob)
    )
    assert (magic, version, compatible) == (0xD00DFEED, 17, 16)
    assert total == len(blob) == strings + strings_size
    assert strings == structure + structure_size
    assert reservations % 8 == 0
    assert blob[reservations : reservations + 16] == bytes(16)
    stack: list[dict] = [{}]
    position = structure
    while True:
        (token,) = struct.unpack_from(">I", blob, position)
        position += 4
        if token == 9:
            break
        if token == 1:
            end = blob.index(b"\0", position)
            node: dict = {}
            stack[-1][blob[position:end].decode()] = node
            stack.append(node)
            position = end + 4 & ~3
        elif token == 2:
            stack.pop()
        else:
            assert token == 3
            size, name = struct.unpack_from(">II", blob, position)
            start = strings + name
            key = blob[start : blob.index(b"\0", start)].decode()
            stack[-1][key] = blob[position + 8 : position + 8 + size]
            position = position + 8 + size + 3 & ~3
    assert position == structure + structure_size
    assert len(stack) == 1
    return stack[0][""]


def test_values_are_padded_and_names_are_stored_once():
    tree = DeviceTreeWriter()
    tree.begin("").property("a", "xy").property("flag").property("b", 1, "text", 0xFFFFFFFF)
    tree.begin("child").property("a", 7).end()
    tree.end()
    blob = tree.blob()
    assert parse(blob) == {
        "a": b"xy\0",
        "flag": b"",
        "b": b"\0\0\0\1text\0\xff\xff\xff\xff",
        "child": {"a": b"\0\0\0\7"},
    }
    assert blob.endswith(b"a\0flag\0b\0")


def test_chip_has_one_hart_and_its_memories():
    root = parse(chip_devicetree("rv32imf", [(0x32000000, 0x100000), (0x34000000, 0x1000000)], 24_000_000, 16))
    assert [name for name in root if name.startswith("memory")] == ["memory@32000000", "memory@34000000"]
    assert root["memory@34000000"]["reg"] == struct.pack(">4I", 0, 0x34000000, 0, 0x1000000)
    assert root["cpus"]["timebase-frequency"] == struct.pack(">I", 24_000_000)
    assert root["cpus"]["cpu@0"]["riscv,isa"] == b"rv32imf\0"
    assert root["cpus"]["cpu@0"]["interrupt-controller"]["compatible"] == b"riscv,cpu-intc\0"
