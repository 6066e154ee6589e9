# SPDX-License-Identifier: Apache-2.0
"""The model of the accelerator's instruction: what engines execute, and what its RTL is held against.

``dot4z rd, rs1, rs2`` (custom-3, funct3 6) is the sum of four products of signed bytes: dot4 that starts from zero.
The RTL is ``platforms/accelerator/int8_dot.v``.
"""

from __future__ import annotations

DOT4Z_FUNCT3 = 6


def lanes(word: int) -> list[int]:
    """The four signed bytes of a 32-bit word, lowest first.

    >>> lanes(0x7f8001ff)
    [-1, 1, -128, 127]
    """
    return [(word >> shift & 0xFF ^ 0x80) - 0x80 for shift in (0, 8, 16, 24)]


def dot4z(left: int, right: int) -> int:
    """The sum of the products of the lanes, as a signed number.

    >>> dot4z(0x80808080, 0x80808080), dot4z(0x000000ff, 0x00000005)
    (65536, -5)
    """
    return sum(one * other for one, other in zip(lanes(left), lanes(right), strict=True))
