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


def scalar_work(opcodes: Mapping[str, float] | None) -> dict[str, float] | None:
    """Return float operations and bytes loaded and stored; None where vector instructions were executed.

    How much a vector instruction computes or moves depends on ``vl`` at that moment, which opcode counts don't tell.

    >>> scalar_work({"flw": 2, "fmadd.s": 3, "fsw": 1})
    {'float_operations': 6, 'bytes_loaded': 8, 'bytes_stored': 4}
    """
    if opcodes is None or any(opcode_class(name) in VECTOR_WORK for name in opcodes):
        return None
    return {
        key: sum(each.get(name, 0) * count for name, count in opcodes.items())
        for key, each in (("float_operations", _FLOAT), ("bytes_loaded", _LOADED), ("bytes_stored", _STORED))
    }
