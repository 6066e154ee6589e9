# SPDX-License-Identifier: Apache-2.0
"""What kind of work executed opcodes are, and how much of it, told by their names.

The classes follow the chapters of the RISC-V vector extension ("V" 1.0): ``vset*`` configures and computes nothing,
so it is a class of its own and never counts as vector work.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

VECTOR_WORK = (
    "vector_load",
    "vector_store",
    "vector_arithmetic",
    "vector_reduction",
    "vector_permutation",
    "vector_mask",
)
CLASSES = ("scalar", "vset", *VECTOR_WORK)

_PATTERNS = (
    ("vset", r"vset"),
    ("vector_load", r"vl(e\d|m\.v|se\d|s?seg\d|[uo]x|\dre)"),
    ("vector_store", r"vs(e\d|m\.v|se\d|seg\d|sseg\d|[uo]x|\dr\.v)"),
    ("vector_reduction", r"vf?w?red"),
    ("vector_permutation", r"vf?slide|vrgather|vcompress|vmv\.(x\.s|s\.x)|vfmv\.(f\.s|s\.f)|vmv\dr\.v"),
    ("vector_mask", r"vm\w+\.mm$|vcpop\.m|vfirst\.m|vms[bio]f\.m|viota\.m|vid\.v"),
    ("vector_arithmetic", r"v"),
)
_CLASS = re.compile("|".join(f"(?P<{name}>{pattern})" for name, pattern in _PATTERNS))

# Bytes that one scalar load or store moves, and floating-point operations of one scalar instruction: a fused
# multiply-add is two; moves, sign injection, comparisons and conversions are none.
_LOADED = {"lb": 1, "lbu": 1, "lh": 2, "lhu": 2, "lw": 4, "flw": 4}
_STORED = {"sb": 1, "sh": 2, "sw": 4, "fsw": 4}
_FLOAT = {
    **dict.fromkeys(("fadd.s", "fsub.s", "fmul.s", "fdiv.s", "fsqrt.s", "fmin.s", "fmax.s"), 1),
    **dict.fromkeys(("fmadd.s", "fmsub.s", "fnmadd.s", "fnmsub.s"), 2),
}
# Vector instructions that compute on floats, reductions among them; a fused multiply-add is two operations again.
_VECTOR_FLOAT = re.compile(
    r"vf(?:(?P<fused>w?n?m(?:acc|sac|add|sub))|w?(?:add|sub|mul)|rsub|r?div|sqrt|min|max|w?red\w+)\."
)
_WHOLE = re.compile(r"v[ls](\d)r")
_WIDTH = re.compile(r"(?<!i)e(\d+)(?:ff)?\.v$")


def opcode_class(name: str) -> str:
    """Return which of `CLASSES` an opcode belongs to.

    >>> [opcode_class(name) for name in ("addi", "vsetvli", "vle32.v", "vfmacc.vf", "vfredosum.vs", "vslidedown.vi")]
    ['scalar', 'vset', 'vector_load', 'vector_arithmetic', 'vector_reduction', 'vector_permutation']
    """
    found = _CLASS.match(name)
    return found.lastgroup if found else "scalar"


def by_class(opcodes: Mapping[str, float] | None) -> dict[str, float] | None:
    """Add up executions by class; every class is there, with 0 where nothing was executed. None stays None."""
    if opcodes is None:
        return None
    sums: dict[str, float] = dict.fromkeys(CLASSES, 0)
    for name, count in opcodes.items():
        sums[opcode_class(name)] += count
    return sums


def work(
    opcodes: Mapping[str, float] | None, elements: Mapping[str, float] | None = None, vlen_bits: int = 0
) -> dict[str, float] | None:
    """Return float operations, and bytes loaded and stored; None where it can't be told.

    ``elements`` is how many each vector opcode worked on, in all its executions (masked-off ones too). What vector
    instructions compute and move can't be told without it, nor what indexed loads and stores move, whose names
    have the width of the index and not of the data.

    >>> work({"flw": 2, "fmadd.s": 3, "fsw": 1})
    {'float_operations': 6, 'bytes_loaded': 8, 'bytes_stored': 4}
    >>> work({"vle32.v": 1, "vfmacc.vf": 2}, {"vle32.v": 10, "vfmacc.vf": 20})
    {'float_operations': 40, 'bytes_loaded': 40, 'bytes_stored': 0}
    """
    if opcodes is None:
        return None
    sums: dict[str, float] = {"float_operations": 0, "bytes_loaded": 0, "bytes_stored": 0}
    for name, count in opcodes.items():
        kind = opcode_class(name)
        if kind == "scalar":
            for key, each in zip(sums, (_FLOAT, _LOADED, _STORED), strict=True):
                sums[key] += each.get(name, 0) * count
        elif kind in VECTOR_WORK and not elements:
            return None
        elif kind in ("vector_load", "vector_store"):
            moved = _moved(name, count, elements.get(name, 0), vlen_bits)
            if moved is None:
                return None
            sums["bytes_loaded" if kind == "vector_load" else "bytes_stored"] += moved
        elif operations := _VECTOR_FLOAT.match(name):
            sums["float_operations"] += elements.get(name, 0) * (2 if operations["fused"] else 1)
    return sums


def _moved(name: str, executions: float, elements: float, vlen_bits: int) -> float | None:
    """Bytes that a vector load or store moved; None when its name does not tell."""
    if registers := _WHOLE.match(name):
        return executions * int(registers[1]) * (vlen_bits // 8) if vlen_bits else None
    if name in ("vlm.v", "vsm.v"):  # their elements are bytes
        return elements
    width = _WIDTH.search(name)
    return elements * (int(width[1]) // 8) if width else None
