# SPDX-License-Identifier: Apache-2.0
"""The accelerator's custom instruction, for simulators in Python. It must equal ``platforms/rtl/dot4_model.c``."""

from __future__ import annotations

DOT4_FUNCT3 = 5
DOT4_MATCH, DOT4_MASK = 0x7B | DOT4_FUNCT3 << 12, 0xFE00707F


def dot4(rs1: int, rs2: int, rd: int) -> int:
    """Return the new rd: rd plus the products of the four signed bytes of rs1 and rs2, modulo 2**32.

    >>> dot4(0x0000_01FF, 0x0000_0202, 10)  # 10 + -1 * 2 + 1 * 2
    10
    """
    for shift in (0, 8, 16, 24):
        # Flipping a byte's sign bit and taking 128 off gives its signed value.
        rd += ((rs1 >> shift & 0xFF ^ 0x80) - 0x80) * ((rs2 >> shift & 0xFF ^ 0x80) - 0x80)
    return rd & 0xFFFFFFFF
