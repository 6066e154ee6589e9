# SPDX-License-Identifier: Apache-2.0
"""What an instruction word reads, writes and occupies, as far as a pipeline's timing depends on it.

Source: the RISC-V Unprivileged ISA, version 20240411, and "V" 1.0 (register groups in 3.4.2 and 5.2).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import Enum
from functools import lru_cache
from typing import NamedTuple

from springbok.chips.opcodes import UNKNOWN, branch_offset, jump_offset, opcode_name
from springbok.engines.base import Site
from springbok.engines.compressed import expand


class Unit(str, Enum):
    """The part of a core that executes an instruction; its value is the name in descriptions and reports.

    ``is_vector`` says whether the vector unit executes it, behind its queue.
    """

    def __init__(self, name: str) -> None:
        self.is_vector = name.startswith("vector_") and name != "vector_configure"

    ALU = "alu"
    SHIFT = "shift"
    MULTIPLY = "multiply"
    MULTIPLY_HIGH = "multiply_high"
    DIVIDE = "divide"
    LOAD = "load"
    STORE = "store"
    BRANCH = "branch"
    FLOAT = "float"
    FLOAT_DIVIDE = "float_divide"
    VECTOR_CONFIGURE = "vector_configure"
    VECTOR_ALU = "vector_alu"
    VECTOR_MULTIPLY = "vector_multiply"
    VECTOR_DIVIDE = "vector_divide"
    VECTOR_REDUCE = "vector_reduce"
    VECTOR_PERMUTE = "vector_permute"
    VECTOR_FLOAT = "vector_float"
    VECTOR_FLOAT_DIVIDE = "vector_float_divide"
    VECTOR_FLOAT_REDUCE = "vector_float_reduce"
    VECTOR_MEMORY = "vector_memory"


class Operation(NamedTuple):
    """An instruction for a scoreboard.

    Registers are ``x1`` to ``x31``, ``f0`` to ``f31``, ``v0`` to ``v31``; a group is each of its registers.
    ``elements`` of ``bits`` each are what a vector instruction works on: of its widest operand. ``accesses`` are those
    of memory: 1 for what lies densely, else one an element. ``jumps`` tells a jump or branch, ``target`` is where to,
    relative, if the word says so. ``wait`` and ``wait_next`` are cycles that the memory which it reaches adds to its
    first pass and to each further one.
    """

    name: str
    unit: Unit
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    elements: int = 0
    bits: int = 0
    accesses: int = 0
    jumps: bool = False
    is_conditional: bool = False
    target: int | None = None
    wait: int = 0
    wait_next: int = 0


_LOADS, _STORES = ("lb", "lh", "lw", "ld", "lbu", "lhu", "lwu", "flw", "fld"), ("sb", "sh", "sw", "sd", "fsw", "fsd")
_OF_VECTORS = (0x57, 0x07, 0x27)  # and loads and stores of floats
_BRANCHES = ("beq", "bne", "blt", "bge", "bltu", "bgeu")
_REDUCTION = re.compile(r"v(f?)w?red\w+\.vs")
_PERMUTATION = re.compile(
    r"v(rgather\w*|f?slide\w+|compress)\.\w+|vcpop\.m|vfirst\.m|viota\.m|vid\.v|vmv\.x\.s|vfmv\.f\.s|vms[bio]f\.m"
)
_MULTIPLICATION = re.compile(r"vw?mul\w*\.\w+|vw?macc\w*\.\w+|vn?m(add|sub|sac)\.\w+|vsmul\.\w+|vnmsac\.\w+|vmadd\.\w+")
_DIVISION = re.compile(r"v(div|rem)u?\.\w+")
_FLOAT_DIVISION = re.compile(r"vfr?div\.\w+|vfsqrt\.v")
_WIDE_RESULT = re.compile(r"v(fw|w)(?!red)(?!\w+\.\w+\.w\b)")
_NARROWING = re.compile(r"v(nsr[la]|nclipu?|fncvt)\.")
_WIDE_SOURCE = re.compile(r"v(f?w(?:add|sub)u?)\.w")
_EXTENSION = re.compile(r"v[sz]ext\.vf([248])")
_COMPARISON = re.compile(r"vmf?(s?(eq|ne|lt|le|gt|ge)u?)\.|vmadc\.|vmsbc\.")
_TO_SCALAR = {"vmv.x.s": "x", "vcpop.m": "x", "vfirst.m": "x", "vfmv.f.s": "f"}
_ONE_ELEMENT = ("vmv.s.x", "vfmv.s.f", "vmv.x.s", "vfmv.f.s")
_MEMORY = re.compile(r"v[ls](?P<mode>s|ux|ox)?(?:seg(?P<fields>\d))?ei?(?P<width>\d+)(?:ff)?\.v")
_WHOLE_MEMORY = re.compile(r"v[ls](?P<count>\d)r(?:e\d+)?\.v")
_WHOLE_MOVE = re.compile(r"vmv(\d)r\.v")
_LMUL = {0: 1.0, 1: 2.0, 2: 4.0, 3: 8.0, 5: 0.125, 6: 0.25, 7: 0.5}
_FLOAT_TO_INTEGER = re.compile(r"f(eq|lt|le)\.\w|fcvt\.[wl]u?\.\w|fmv\.x\.\w|fclass\.\w")
_INTEGER_TO_FLOAT = re.compile(r"fcvt\.[sd]\.[wl]u?|fmv\.[wd]\.x")
_SCALAR_DIVISION = re.compile(r"(div|rem)u?w?")
_SCALAR_MULTIPLICATION = re.compile(r"mul\w*")
_SCALAR_SHIFT = re.compile(r"(sll|srl|sra|rol|ror)i?w?")


def operation(word: int, vl: int, vtype: int, vlen: int, xlen: int = 32) -> Operation:
    """The word as an operation under a vector configuration; ``vlen`` in bits.

    A compressed one is what it stands for on a core of ``xlen`` bits. What is no instruction known here is one of the
    ``alu`` by the name ``unknown``, of which `unknown` tells.

    >>> mul = operation(0x02C58533, 0, 0, 0)                  # mul a0, a1, a2
    >>> mul.unit.value, mul.reads, mul.writes
    ('multiply', ('x11', 'x12'), ('x10',))
    """
    if word & 0x7F not in _OF_VECTORS:  # the same under each configuration
        vl = vtype = vlen = 0
    return _operation(word, vl, vtype, vlen, xlen)


@lru_cache(maxsize=1 << 17)
def _named(word: int, xlen: int) -> tuple[int, str]:
    """The word of 32 bits that it stands for, and its name."""
    if word & 3 != 3:
        word = expand(word & 0xFFFF, xlen) or 0  # engines may read the halfword behind it too
    return word, opcode_name(word)


@lru_cache(maxsize=1 << 17)
def _operation(  # noqa: PLR0911, PLR0912 (a kind of instruction each)
    word: int, vl: int, vtype: int, vlen: int, xlen: int
) -> Operation:
    word, name = _named(word, xlen)
    if name == UNKNOWN:
        return Operation(name, Unit.ALU, (), ())
    major, rd, rs1, rs2 = word & 0x7F, word >> 7 & 31, word >> 15 & 31, word >> 20 & 31
    if name.startswith("vset"):
        reads = _x(*((rs1,) if name != "vsetivli" else ()), *((rs2,) if name == "vsetvl" else ()))
        return Operation(name, Unit.VECTOR_CONFIGURE, reads, _x(rd))
    if major == 0x57:
        return _vector(name, word, vl, vtype, vlen)
    if major in (0x07, 0x27) and name.startswith("v"):
        return _vector_memory(name, word, vl, vtype, vlen)
    if name in _BRANCHES:
        return Operation(
            name, Unit.BRANCH, _x(rs1, rs2), (), jumps=True, is_conditional=True, target=branch_offset(word)
        )
    if name == "jal":
        return Operation(name, Unit.BRANCH, (), _x(rd), jumps=True, target=jump_offset(word))
    if name == "jalr":
        return Operation(name, Unit.BRANCH, _x(rs1), _x(rd), jumps=True)
    if name in _LOADS:
        return Operation(name, Unit.LOAD, _x(rs1), (f"f{rd}",) if name[0] == "f" else _x(rd), accesses=1)
    if name in _STORES:
        stored = (f"f{rs2}",) if name[0] == "f" else _x(rs2)
        return Operation(name, Unit.STORE, (*_x(rs1), *stored), (), accesses=1)
    if major in (0x53, 0x43, 0x47, 0x4B, 0x4F):
        return _scalar_float(name, word)
    if major == 0x2F:
        return Operation(name, Unit.LOAD, _x(rs1, rs2), _x(rd), accesses=1)
    unit = Unit.ALU
    if _SCALAR_DIVISION.fullmatch(name):
        unit = Unit.DIVIDE
    elif _SCALAR_MULTIPLICATION.fullmatch(name):
        unit = Unit.MULTIPLY_HIGH if name.startswith("mulh") else Unit.MULTIPLY
    elif _SCALAR_SHIFT.fullmatch(name):
        unit = Unit.SHIFT
    reads = () if major in (0x37, 0x17) else _x(rs1) if major in (0x13, 0x1B, 0x73) else _x(rs1, rs2)
    return Operation(name, unit, reads, _x(rd))


#: Executions by word, vl and vtype: of unrolled code far fewer than sites.
Executed = Mapping[tuple[int, int, int], int]


def executed(sites: Iterable[Site]) -> Executed:
    """What the sites executed, wherever it lies."""
    found: dict[tuple[int, int, int], int] = {}
    for _, word, vl, vtype, executions, _ in sites:
        key = word, vl, vtype
        found[key] = found.get(key, 0) + executions
    return found


def unknown(done: Executed, xlen: int) -> int:
    """Executions of instructions that are not known here: what they cost is not known either."""
    return sum(times for (word, _, _), times in done.items() if _named(word, xlen)[1] == UNKNOWN)


def _x(*numbers: int) -> tuple[str, ...]:
    return tuple(f"x{number}" for number in numbers if number)


def _scalar_float(name: str, word: int) -> Operation:
    rd, rs1, rs2, rs3 = word >> 7 & 31, word >> 15 & 31, word >> 20 & 31, word >> 27
    unit = Unit.FLOAT_DIVIDE if name.startswith(("fdiv", "fsqrt")) else Unit.FLOAT
    writes = _x(rd) if _FLOAT_TO_INTEGER.fullmatch(name) else (f"f{rd}",)
    if _INTEGER_TO_FLOAT.fullmatch(name):
        return Operation(name, unit, _x(rs1), writes)
    one_operand = name.startswith(("fsqrt", "fcvt", "fmv", "fclass"))
    fused = (f"f{rs3}",) if word & 0x7F != 0x53 else ()
    return Operation(name, unit, (f"f{rs1}", *(() if one_operand else (f"f{rs2}",)), *fused), writes)


def _group(first: int, registers: float) -> tuple[str, ...]:
    return tuple(f"v{(first + number) & 31}" for number in range(max(1, int(registers))))


def _vector(name: str, word: int, vl: int, vtype: int, vlen: int) -> Operation:  # noqa: PLR0912
    vd, vs1, vs2 = word >> 7 & 31, word >> 15 & 31, word >> 20 & 31
    category, masked = word >> 12 & 7, not word >> 25 & 1
    sew, lmul = 8 << (vtype >> 3 & 7), _LMUL.get(vtype & 7, 1.0)
    if whole := _WHOLE_MOVE.fullmatch(name):
        count = int(whole[1])
        return Operation(name, Unit.VECTOR_ALU, _group(vs2, count), _group(vd, count), count * vlen // 8, 8)
    destination = source = first = lmul
    bits = sew
    if _WIDE_RESULT.match(name):
        destination, bits = 2 * lmul, 2 * sew
    if _WIDE_SOURCE.match(name) or _NARROWING.match(name):
        source, bits = 2 * lmul, 2 * sew
    if extension := _EXTENSION.fullmatch(name):
        source = lmul / int(extension[1])
    if _COMPARISON.match(name):
        destination = 1
    reduces = _REDUCTION.fullmatch(name)
    if reduces:
        destination = first = 1
    to_scalar = _TO_SCALAR.get(name)
    elements = 1 if name in _ONE_ELEMENT else vl
    reads: list[str] = ["v0"] if masked else []
    unary = category in (0b010, 0b001) and (to_scalar or extension or re.match(r"vfn?w?cvt|vfsqrt|vfr|vfclass", name))
    if not name.startswith(("vmv.v", "vmv.s", "vfmv.v", "vfmv.s", "vid")):
        reads += _group(vs2, 1 if name in _ONE_ELEMENT else source)
    if category in (0b000, 0b001, 0b010) and not unary and name != "vid.v":
        reads += _group(vs1, first)
    elif category in (0b100, 0b110):
        reads += _x(vs1)
    elif category == 0b101:
        reads.append(f"f{vs1}")
    if re.match(r"v(f?w?n?m(acc|sac|add|sub)|fw?nm|wmacc)", name) or masked:
        reads += _group(vd, destination)
    writes = (f"f{vd}",) if to_scalar == "f" else _x(vd) if to_scalar == "x" else _group(vd, destination)
    return Operation(name, _vector_unit(name, reduces), tuple(dict.fromkeys(reads)), writes, elements, bits)


def _vector_unit(name: str, reduces: re.Match | None) -> Unit:
    if reduces:
        return Unit.VECTOR_FLOAT_REDUCE if reduces[1] else Unit.VECTOR_REDUCE
    if _FLOAT_DIVISION.fullmatch(name):
        return Unit.VECTOR_FLOAT_DIVIDE
    if _DIVISION.fullmatch(name):
        return Unit.VECTOR_DIVIDE
    if _PERMUTATION.fullmatch(name):
        return Unit.VECTOR_PERMUTE
    if _MULTIPLICATION.fullmatch(name):
        return Unit.VECTOR_MULTIPLY
    return Unit.VECTOR_FLOAT if re.match(r"v(mf|f)(?!mv|merge)", name) else Unit.VECTOR_ALU


def _vector_memory(name: str, word: int, vl: int, vtype: int, vlen: int) -> Operation:
    vd, rs1, rs2 = word >> 7 & 31, word >> 15 & 31, word >> 20 & 31
    loads, masked = word & 0x7F == 0x07, not word >> 25 & 1
    sew, lmul = 8 << (vtype >> 3 & 7), _LMUL.get(vtype & 7, 1.0)
    if whole := _WHOLE_MEMORY.fullmatch(name):
        registers, elements, width, mode, fields = int(whole["count"]), int(whole["count"]) * vlen // 8, 8, None, 1
    elif memory := _MEMORY.fullmatch(name):
        mode, fields, width = memory["mode"], int(memory["fields"] or 1), int(memory["width"])
        data = sew if mode in ("ux", "ox") else width
        registers, elements = fields * max(1.0, lmul * data / sew), fields * vl
        width = data
    else:  # masks
        registers, elements, width, mode = 1, -(-vl // 8), 8, None
    group = _group(vd, registers)
    reads = [*_x(rs1), *(_x(rs2) if mode == "s" else ()), *(("v0",) if masked else ())]
    if mode in ("ux", "ox"):
        index = int(_MEMORY.fullmatch(name)["width"])
        reads += _group(rs2, lmul * index / sew)
    reads += () if loads and not masked else group
    accesses = elements if mode else 1
    return Operation(name, Unit.VECTOR_MEMORY, tuple(reads), group if loads else (), elements, width, accesses)
