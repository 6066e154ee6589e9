# SPDX-License-Identifier: Apache-2.0
"""Patterns of known defects that could never show: of instructions or configurations that the chip does not have.

>>> from springbok.chips.description import load
>>> list(problems(load("coralnpu")))
[]
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import combinations, product

from springbok.chips.chip import Chip, Defect
from springbok.chips.extensions import taken_by
from springbok.chips.opcodes import LOAD_FP, OP_V, STORE_FP, VECTOR_WIDTHS, csr_of, named_words
from springbok.support.suggestions import did_you_mean

Problem = tuple[list[str | int], str]

_SEWS = (8, 16, 32, 64)
_LMULS = {**{f"mf{part}": Fraction(1, part) for part in (8, 4, 2)}, **{f"m{times}": times for times in (1, 2, 4, 8)}}
_FLOATING_CATEGORIES = (1, 5)
#: Scalar instructions on numbers of 64 bits: floats, and whole ones, which take a core of 64 bits.
_DOUBLE = re.compile(r"f.*\.d(\..*)?")
_WIDE = re.compile(r"fcvt\.(.*\.)?lu?(\..*)?|fmv\.(x\.d|d\.x)|(amo.*|lr|sc)\.d")
_NARROW = 32
#: How instructions use the configuration's SEW and LMUL.
_EXTENDING = re.compile(r"v[sz]ext\.vf(\d)")
_DOUBLING = re.compile(r"vf?w.*|vf?n(clip|sra|srl|cvt).*")
_FLOATING = re.compile(r"vm?f(?!irst).*")
_OF_DOUBLE_SEW = re.compile(r"vfwcvt\.f\.xu?\.v|vfncvt\.(rtz\.)?xu?\.f\.w")  # beside integers of SEW
_OF_SEW = re.compile(r"vfwcvt\.(rtz\.)?xu?\.f\.v|vfncvt\.f\.xu?\.w")  # beside integers of 2 * SEW
_BETWEEN_FLOATS = re.compile(r"vfwcvt\.f\.f\.v|vfncvt\.(rod\.)?f\.f\.w")
_FLOATS = {"zve32f": {32}, "zve64f": {32}, "zve64d": {32, 64}, "v": {32, 64}}
_HALF = 16
_MAJORS_OF_64 = (0x1B, 0x3B)


def problems(chip: Chip) -> Iterator[Problem]:
    """Where each stands, as a path of keys in the description, and a sentence with its remedy."""
    for (_, one), (number, other) in combinations(enumerate(chip.defects), 2):
        if one.name == other.name:
            yield ["defect", number, "name"], f"there are two defects called '{one.name}'"
    for number, defect in enumerate(chip.defects):
        if error := _is_none(defect.opcodes):
            sentence = f"'{defect.opcodes}' is no regular expression: {error}"
            yield ["defect", number, "opcodes"], f"{defect.name}: {sentence}"
            continue
        for key, sentence in _never_shows(chip, defect):
            yield ["defect", number, key], f"{defect.name}: {sentence}"


def that_can_show(chip: Chip) -> tuple[Defect, ...]:
    """The chip's defects but for those that nothing of it can show; patterns that are none stay.

    >>> from springbok.chips.description import load
    >>> chip = load("coralnpu")
    >>> that_can_show(chip) == chip.defects
    True
    """
    return tuple(each for each in chip.defects if _is_none(each.opcodes) or not any(_never_shows(chip, each)))


def _is_none(pattern: str) -> str:
    """Why it is no regular expression; empty if it is one."""
    try:
        re.compile(pattern)
    except re.error as error:
        return str(error)
    return ""


def _never_shows(chip: Chip, defect: Defect) -> Iterator[tuple[str, str]]:
    """The keys by which it can't, with sentences."""
    pattern = re.compile(defect.opcodes)
    own = [each.name for each in chip.instructions if each.does != "mark"]  # marks are counted apart
    named = named_words()
    matching = list(filter(pattern.fullmatch, named))
    is_own = any(map(pattern.fullmatch, own))
    executed = [name for name in matching if any(_executes(chip, name, word) for word in named[name])]
    if not matching and not is_own:
        near = did_you_mean(defect.opcodes.replace("\\", ""), [*own, *named])
        yield "opcodes", f"'{defect.opcodes}' matches no instruction that counts name{near}: it would never show"
    elif not executed and not is_own:
        others = f" and {len(matching) - 1} more" if len(matching) > 1 else ""
        yield "opcodes", f"no '{chip.base_isa}' executes {matching[0]}{others}: it would never show"
    elif defect.csr and not any(csr_of(word) is not None for name in executed for word in named[name]):
        sentence = "reads or writes a control and status register: leave csr out"
        yield "csr", f"nothing that '{defect.opcodes}' matches {sentence}"
    else:
        absent = next((each for each in chip.registers if each.absent and {each.address} == set(defect.csr)), None)
        if absent:
            sentence = "is absent, so that what reads or writes it traps: it would never show"
            yield "csr", f"{absent.name} ({absent.address:#x}) {sentence}"
        yield from _of_configurations(chip, defect, () if is_own else executed)


def _executes(chip: Chip, name: str, word: int) -> bool:
    """Whether the chip's ISA has the instruction of that name, of which ``word`` is one."""
    major, funct3 = word & 0x7F, word >> 12 & 7
    if chip.xlen == _NARROW and (major in _MAJORS_OF_64 or _WIDE.fullmatch(name)):
        return False
    if _DOUBLE.fullmatch(name) and not chip.has("d"):
        return False
    if major in (LOAD_FP, STORE_FP) and VECTOR_WIDTHS.get(funct3, 0) > chip.elen > 0:
        return False
    is_floating = major == OP_V and funct3 in _FLOATING_CATEGORIES
    if is_floating and not (chip.has("f") and chip.vlens and _possible(chip, Defect("", "", ""), [name])):
        return False
    return bool(taken_by(word, 0xFFFFFFFF, chip.xlen, chip.extensions))


def _of_configurations(chip: Chip, defect: Defect, executed: Sequence[str]) -> Iterator[tuple[str, str]]:
    """``executed`` are the instructions of which it is; without any, configurations are not asked of them."""
    given = {key: values for key in ("sew", "lmul", "vl") if (values := getattr(defect, key))}
    if not given:
        return
    if not (chip.vlens and chip.elen):
        yield next(iter(given)), f"'{chip.base_isa}' has no vectors, so no vl, sew or lmul: leave them out"
        return
    # Of a longer list, each value must be possible by itself.
    single = [(key, each, Defect("", "", "", **{key: (each,)})) for key, values in given.items() for each in values]
    for key, each, alone in single:
        if not _possible(chip, alone):
            yield key, f"{key} {each} can't be with elements of up to {chip.elen} bits and VLEN {max(chip.vlens)}"
            return
    told = " and ".join(f"{key} {list(values)}" for key, values in given.items())
    if not _possible(chip, defect):
        yield next(iter(given)), f"{told} can't be together with VLEN {max(chip.vlens)}: it would never show"
    elif executed:
        dead = next((each for each in single if not _possible(chip, each[2], executed)), None)
        if dead or not _possible(chip, defect, executed):
            key, told = (dead[0], f"{dead[0]} {dead[1]}") if dead else (next(iter(given)), told)
            yield key, f"no '{chip.base_isa}' executes {executed[0]} with {told}: it would never show"


def _possible(chip: Chip, defect: Defect, executed: Sequence[str] = ("",)) -> bool:
    """Whether a vector configuration can be of a defect's, and one of these instructions be executed with it."""
    return any(
        sew <= chip.elen * min(1, _LMULS[lmul])
        and min(defect.vl, default=0) <= max(chip.vlens) * _LMULS[lmul] / sew
        and any(_takes(chip, name, sew, _LMULS[lmul]) for name in executed)
        for sew, lmul in product(defect.sew or _SEWS, defect.lmul or _LMULS)
    )


def _takes(chip: Chip, name: str, sew: int, lmul: Fraction) -> bool:
    """Whether the configuration is none that is reserved for an instruction of that name."""
    if extending := _EXTENDING.fullmatch(name):
        part = int(extending[1])
        return sew // part >= min(_SEWS) and lmul / part >= min(_LMULS.values())
    is_sum = "red" in name  # into one element, whose register is none of a group
    if _DOUBLING.fullmatch(name) and (2 * sew > chip.elen or (2 * lmul > max(_LMULS.values()) and not is_sum)):
        return False
    if not _FLOATING.fullmatch(name):
        return True
    if "bf16" in name:
        return sew == _HALF
    floats = _FLOATS.get(chip.vector_extension, set()) | ({_HALF} if chip.has("zvfh") else set())
    if _OF_DOUBLE_SEW.fullmatch(name):
        return 2 * sew in floats
    if _BETWEEN_FLOATS.fullmatch(name) and chip.has("zvfhmin"):
        floats = floats | {_HALF}
    return sew in floats and (_OF_SEW.fullmatch(name) or not _DOUBLING.fullmatch(name) or 2 * sew in floats)
