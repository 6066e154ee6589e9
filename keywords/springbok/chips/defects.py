# SPDX-License-Identifier: Apache-2.0
"""Patterns of known defects that could never show: of instructions or configurations that the chip does not have.

>>> from springbok.chips.description import load
>>> list(problems(load("coralnpu")))
[]
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction
from itertools import combinations, product

from springbok.chips.chip import Chip, Defect
from springbok.chips.extensions import taken_by
from springbok.chips.opcodes import LOAD_FP, OP_V, STORE_FP, VECTOR_WIDTHS, named_words
from springbok.support.suggestions import did_you_mean

Problem = tuple[list[str | int], str]

_SEWS = (8, 16, 32, 64)
_LMULS = {**{f"mf{part}": Fraction(1, part) for part in (8, 4, 2)}, **{f"m{times}": times for times in (1, 2, 4, 8)}}
_FLOATING_CATEGORIES = (1, 5)
#: Scalar instructions on numbers of 64 bits: floats, and whole ones, which take a core of 64 bits.
_DOUBLE = re.compile(r"f.*\.d(\..*)?")
_WIDE = re.compile(r"fcvt\.(.*\.)?lu?(\..*)?|fmv\.(x\.d|d\.x)|(amo.*|lr|sc)\.d")
_NARROW = 32
_MAJORS_OF_64 = (0x1B, 0x3B)


def problems(chip: Chip) -> Iterator[Problem]:
    """Where each stands, as a path of keys in the description, and a sentence with its remedy."""
    for (_, one), (number, other) in combinations(enumerate(chip.defects), 2):
        if one.name == other.name:
            yield ["defect", number, "name"], f"there are two defects called '{one.name}'"
    for number, defect in enumerate(chip.defects):
        for key, sentence in (*_of_opcodes(chip, defect), *_of_configurations(chip, defect)):
            yield ["defect", number, key], f"{defect.name}: {sentence}"


def _of_opcodes(chip: Chip, defect: Defect) -> Iterator[tuple[str, str]]:
    try:
        pattern = re.compile(defect.opcodes)
    except re.error as error:
        yield "opcodes", f"'{defect.opcodes}' is no regular expression: {error}"
        return
    own = [each.name for each in chip.instructions if each.does != "mark"]  # marks are counted apart
    if any(map(pattern.fullmatch, own)):
        return
    named = named_words()
    matching = list(filter(pattern.fullmatch, named))
    if not matching:
        near = did_you_mean(defect.opcodes.replace("\\", ""), [*own, *named])
        yield "opcodes", f"'{defect.opcodes}' matches no instruction that counts name{near}: it would never show"
    elif not any(_executes(chip, name, word) for name in matching for word in named[name]):
        others = f" and {len(matching) - 1} more" if len(matching) > 1 else ""
        yield "opcodes", f"no '{chip.base_isa}' executes {matching[0]}{others}: it would never show"


def _executes(chip: Chip, name: str, word: int) -> bool:
    """Whether the chip's ISA has the instruction of that name, of which ``word`` is one."""
    major, funct3 = word & 0x7F, word >> 12 & 7
    if chip.xlen == _NARROW and (major in _MAJORS_OF_64 or _WIDE.fullmatch(name)):
        return False
    if _DOUBLE.fullmatch(name) and not chip.has("d"):
        return False
    if major in (LOAD_FP, STORE_FP) and VECTOR_WIDTHS.get(funct3, 0) > chip.elen > 0:
        return False
    if major == OP_V and funct3 in _FLOATING_CATEGORIES and not chip.has("f"):
        return False
    return bool(taken_by(word, 0xFFFFFFFF, chip.xlen, chip.extensions))


def _of_configurations(chip: Chip, defect: Defect) -> Iterator[tuple[str, str]]:
    given = {key: values for key in ("sew", "lmul", "vl") if (values := getattr(defect, key))}
    if not given:
        return
    if not (chip.vlens and chip.elen):
        yield next(iter(given)), f"'{chip.base_isa}' has no vectors, so no vl, sew or lmul: leave them out"
        return
    # Of a longer list, each value must be possible by itself.
    for key, values in given.items():
        alone = [each for each in values if not _possible(chip, Defect("", "", "", **{key: (each,)}))]
        if alone:
            yield key, f"{key} {alone[0]} can't be with elements of up to {chip.elen} bits and VLEN {max(chip.vlens)}"
            return
    if not _possible(chip, defect):
        told = " and ".join(f"{key} {list(values)}" for key, values in given.items())
        yield next(iter(given)), f"{told} can't be together with VLEN {max(chip.vlens)}: it would never show"


def _possible(chip: Chip, defect: Defect) -> bool:
    """Whether a vector configuration can be of a defect's."""
    return any(
        sew <= chip.elen * min(1, _LMULS[lmul]) and min(defect.vl, default=0) <= max(chip.vlens) * _LMULS[lmul] / sew
        for sew, lmul in product(defect.sew or _SEWS, defect.lmul or _LMULS)
    )
