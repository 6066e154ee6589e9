# SPDX-License-Identifier: Apache-2.0
"""The ports of a wrapper: what its module's header declares, and what the engine needs of them.

Only the header is read, and only what it says in numbers: a width by a parameter or a type is not judged.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

MODULE = "springbok_core"
BUS_BITS = (32, 64, 128, 256)
_RETIRE = {
    **{"rvfi_valid": 1, "rvfi_insn": 32, "rvfi_trap": 1, "rvfi_intr": 1, "rvfi_pc_rdata": 32},
    **{"rvfi_rd_addr": 5, "rvfi_rd_wdata": 32},
}
_MEMORY = {
    f"rvfi_mem_{name}": bits for name, bits in (("addr", 32), ("rmask", 4), ("wmask", 4), ("rdata", 32), ("wdata", 32))
}
_FLOATS = {"rvfi_frd_wvalid": 1, "rvfi_frd_addr": 5, "rvfi_frd_wdata": 32}
_DIRECTIONS = ("input", "output", "inout")
_DECLARED = re.compile(r"\s*(?P<words>(?:[\w:.]+(?:\s+|(?=\[)))*)(?P<ranges>(?:\[[^]]*\]\s*)*)(?P<name>\w+)")
_TYPES = {"wire", "logic", "reg", "bit", "var", "tri", "signed", "unsigned"}


@dataclass(frozen=True)
class Port:
    """A port; ``direction`` is ``input``, ``output``, ``inout``, ``bits`` its width; each None where it is not said."""

    name: str
    direction: str | None = None
    bits: int | None = None


def of(wrapper: Path) -> dict[str, Port]:
    """The ports of a core's wrapper; nothing where it has no module `MODULE`."""
    return read(wrapper.read_text(encoding="utf-8", errors="replace")) or {}


def read(text: str) -> dict[str, Port] | None:
    """The ports of the module ``springbok_core`` in a SystemVerilog text, by name; None where there is no such module.

    >>> read("module springbok_core (input logic clk, output logic [1:0][4:0] a, b);")["b"]
    Port(name='b', direction='output', bits=10)
    """
    text = re.sub(r"//[^\n]*|/\*.*?\*/|\(\*.*?\*\)", " ", text, flags=re.DOTALL)
    text = re.sub(r"^\s*`.*$", "", text, flags=re.MULTILINE)
    header = re.search(rf"\bmodule\s+(?:automatic\s+|static\s+)?{MODULE}\b(?:\s*import\b[^;]*;)*", text)
    if header is None:
        return None
    rest = text[header.end() :].lstrip()
    if rest.startswith("#"):
        rest = _behind_parentheses(rest[1:].lstrip()).lstrip()
    listed = rest[: len(rest) - len(_behind_parentheses(rest))] if rest.startswith("(") else ""
    ports: dict[str, Port] = {}
    direction, bits = None, None
    for part in _parts(listed[1:-1]):
        packed = _DECLARED.match(part)
        if packed is None:
            continue
        words = packed["words"].split()
        if words or packed["ranges"]:
            named = next((word for word in words if word in _DIRECTIONS), None)
            direction = named or direction
            own_type = set(words) - set(_DIRECTIONS) - _TYPES
            bits = None if own_type else _bits(packed["ranges"])
        unpacked = part[packed.end() :].split("=")[0].strip()
        ports[packed["name"]] = Port(packed["name"], direction, None if unpacked or direction is None else bits)
    return ports


def needed(
    ports: Mapping[str, Port], retires: int, has_floats: bool, vector_bits: int
) -> dict[str, tuple[str, int | None]]:
    """Direction and width, by name, of the ports that a wrapper with these ones must have.

    ``retires`` is of core.toml, ``vector_bits`` the chip's, 0 without vectors. A bus is as wide as its ``rdata``: what
    follows from a width that is not known is None. What is left out with a whole group is not among them.
    """
    wanted: dict[str, tuple[str, int | None]] = {"clk": ("input", 1), "rst_n": ("input", 1), "boot_addr": ("input", 32)}
    wanted |= {name: ("input", 1) for name in ("irq_software", "irq_timer", "irq_external")}
    if "irq_external" not in ports:
        del wanted["irq_external"]
    for bus in ("d", "i"):
        if bus == "i" and "i_req" not in ports:
            continue
        width = ports.get(f"{bus}_rdata", Port("")).bits
        wanted |= {f"{bus}_req": ("output", 1), f"{bus}_gnt": ("input", 1), f"{bus}_addr": ("output", 32)}
        wanted |= {f"{bus}_rvalid": ("input", 1), f"{bus}_rdata": ("input", width), f"{bus}_err": ("input", 1)}
        if bus == "d":
            lanes = width // 8 if width else None
            wanted |= {"d_we": ("output", 1), "d_be": ("output", lanes), "d_wdata": ("output", width)}
    groups = [_RETIRE]
    groups += [_MEMORY] if "rvfi_mem_addr" in ports else []
    groups += [_FLOATS] if has_floats else []
    groups += [{"rvvi_v_wb": 32, "rvvi_v_wdata": 32 * vector_bits}] if vector_bits else []
    return wanted | {name: ("output", retires * bits) for group in groups for name, bits in group.items()}


def faults(ports: Mapping[str, Port], wanted: Mapping[str, tuple[str, int | None]]) -> Iterator[str]:
    """A phrase for each port that is there, but of another direction or width than is needed."""
    for bus in ("d", "i"):
        width = ports.get(f"{bus}_rdata", Port("")).bits
        if width is not None and width not in BUS_BITS:
            yield f"{bus}_rdata is {width} bits wide, not one of {', '.join(map(str, BUS_BITS))}"
    for name, (direction, bits) in wanted.items():
        port = ports.get(name)
        if port is None:
            continue
        if port.direction not in (None, direction):
            yield f"{name} must be an {direction}, and is an {port.direction}"
        if None not in (port.bits, bits) and port.bits != bits:
            yield f"{name} must be {bits} bits wide, and is {port.bits}"


def _behind_parentheses(text: str) -> str:
    """What follows the parentheses that the text begins with."""
    depth = 0
    for at, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if depth == 0:
            return text[at + 1 :]
    return ""


def _parts(text: str) -> Iterator[str]:
    """What commas part, outside of all brackets."""
    depth, begin = 0, 0
    for at, letter in enumerate(text):
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and depth == 0:
            yield text[begin:at]
            begin = at + 1
    yield text[begin:]


def _bits(ranges: str) -> int | None:
    """The width of packed ranges such as ``[1:0][31:0]``; of none 1; None where one is not said in numbers."""
    counts = []
    for first, last in (
        each.split(":") if each.count(":") == 1 else ("", "") for each in re.findall(r"\[([^]]*)\]", ranges)
    ):
        ends = _number(first), _number(last)
        if None in ends:
            return None
        counts.append(abs(ends[0] - ends[1]) + 1)
    return math.prod(counts)


def _number(text: str) -> int | None:
    """The value of digits, sums and products such as ``2*32-1``, else None."""
    text = re.sub(r"\s|_", "", text)
    if not re.fullmatch(r"\d+([*+-]\d+)*", text):
        return None
    terms = re.findall(r"([+-]?)([\d*]+)", text)
    return sum((-1 if sign == "-" else 1) * math.prod(map(int, factors.split("*"))) for sign, factors in terms)
