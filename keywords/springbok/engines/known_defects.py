# SPDX-License-Identifier: Apache-2.0
"""Executed instructions that show known defects of the chip, as its description has them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from springbok.chips.chip import Chip, Defect
from springbok.chips.opcodes import csr_of, opcode_name
from springbok.engines.base import Site
from springbok.engines.compressed import expand
from springbok.engines.lanes import vector_type

_NO_CONFIGURATION = (0, "")


def shown(defects: Sequence[Defect], name: str, vl: int, vtype: int, csr: int | None = None) -> Iterator[str]:
    """Names of the defects that an instruction of this name shows under a vector configuration (``vtype`` as a core
    of 32 bits has it); where none is set, those that ask for no SEW and no LMUL. ``csr`` is the address of the control
    and status register that it reads or writes.

    >>> list(shown([Defect("slow", "", "div.*")], "divu", 0, 1 << 31))
    ['slow']
    """
    sew, lmul = _NO_CONFIGURATION if vtype >> 8 else vector_type(vtype)
    return (defect.name for defect in defects if defect.shows_in(name, vl, sew, lmul, csr))


def shown_at(sites: Iterable[Site], chip: Chip) -> dict[str, int]:
    """How often each known defect of the chip showed, by its name; those that did not are left out."""
    found: Counter[str] = Counter()
    for site in sites if chip.defects else ():
        expanded = expand(site.word & 0xFFFF, chip.xlen) if site.word & 3 != 3 else None
        word = site.word if expanded is None else expanded
        name = opcode_name(word, chip.instructions)
        for defect in shown(chip.defects, name, site.vl, site.vtype, csr_of(word)):
            found[defect] += site.executions
    return dict(sorted(found.items()))
