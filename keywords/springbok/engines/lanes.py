# SPDX-License-Identifier: Apache-2.0
"""How many lanes of the vector unit an executed instruction used, and how many there were.

A lane is room for one element: an instruction has VLMAX = VLEN * LMUL / SEW of them, and uses vl. Masks are not
looked at: a masked-off element counts as used. Source: RISC-V "V" 1.0, sections 3.4 and 6.
"""

from __future__ import annotations

import re
from functools import lru_cache

_LMUL_EIGHTHS = {0: 8, 1: 16, 2: 32, 3: 64, 5: 1, 6: 2, 7: 4}
_LMUL_NAMES = {1: "mf8", 2: "mf4", 4: "mf2", 8: "m1", 16: "m2", 32: "m4", 64: "m8"}
_ILLEGAL = 1 << 31

_WHOLE_REGISTERS = re.compile(r"vmv([1248])r\.v|vl([1248])re\d+\.v|vs([1248])r\.v")
_SEGMENTS = re.compile(r"v[ls](?:ux|ox|s)?seg([2-8])e")
_ONE_ELEMENT = frozenset(("vmv.x.s", "vmv.s.x", "vfmv.f.s", "vfmv.s.f"))
_MASK_BYTES = frozenset(("vlm.v", "vsm.v"))


def vector_type(vtype: int) -> tuple[int, str]:
    """Return SEW in bits and the name of LMUL.

    >>> vector_type(0xd1)
    (32, 'm2')
    """
    return 8 << (vtype >> 3 & 7), _LMUL_NAMES[_LMUL_EIGHTHS[vtype & 7]]


@lru_cache(maxsize=4096)
def lanes(name: str, vl: int, vtype: int, vlen: int) -> tuple[int, int]:
    """Return (lanes used, lanes there) of one execution of the vector instruction ``name``.

    >>> lanes("vadd.vv", 10, 0xd1, 512)    # 10 elements of 32 bits in two registers of 512
    (10, 32)
    """
    if vtype & _ILLEGAL:
        return 0, 0
    sew = 8 << (vtype >> 3 & 7)
    whole = _WHOLE_REGISTERS.fullmatch(name)
    if whole:
        count = int(next(filter(None, whole.groups()))) * vlen // sew
        return count, count
    there = vlen * _LMUL_EIGHTHS[vtype & 7] // 8 // sew
    if name in _ONE_ELEMENT:
        return 1, there
    if name in _MASK_BYTES:
        return -(-vl // 8), -(-there // 8)
    segments = _SEGMENTS.match(name)
    fields = int(segments[1]) if segments else 1
    return fields * vl, fields * there
