# SPDX-License-Identifier: Apache-2.0
"""Operands of single precision that lead an arithmetic unit to where it decides: ties, sticky bits, cancellation,
subnormal numbers, overflow, the edges of integers.

Bits drawn evenly meet none of these: exponents are far apart, and all but one operand is lost. Here exponents are as
far apart as a mantissa is long, at most, and mantissas are mostly a few ones or zeros.
"""

from __future__ import annotations

import random
import struct

BIAS, MANTISSA_BITS, GREATEST_EXPONENT = 127, 23, 254
_REACH = MANTISSA_BITS + 3  # beyond the mantissa lie the bits for rounding
_FRACTION = (1 << MANTISSA_BITS) - 1
_SPECIAL = (0x0000_0000, 0x3F80_0000, 0x7F80_0000, 0x7FC0_0000, 0x7F80_0001, 0x007F_FFFF, 0x0080_0000, 0x7F7F_FFFF)
_SPECIAL_SHARE = 0.08
#: Where the first operand's exponent lies, and how often.
_ZONES = ((BIAS - 30, BIAS + 30), (0, _REACH), (GREATEST_EXPONENT - _REACH, GREATEST_EXPONENT), (BIAS - 2, BIAS + 33))
_SHARES = (6, 2, 1, 3)


def operands(chooser: random.Random) -> tuple[int, int, int]:
    """Bits of three operands that belong together: of a sum or quotient the first two, of ``a * b + c`` all."""
    low, high = chooser.choices(_ZONES, _SHARES)[0]
    first = chooser.randint(low, high)
    for_sum = chooser.random() < 0.5  # the second near the first; else near 1, so that the product stays where it is
    second = first + chooser.randint(-_REACH, _REACH) if for_sum else BIAS + chooser.randint(-3, 3)
    third = first + second - BIAS + chooser.randint(-2 * _REACH, 2 * _REACH)
    numbers = [_number(chooser, exponent) for exponent in (first, second, third)]
    if chooser.random() < 0.1:  # a product just below the double of what its exponent says, and just above it
        numbers[:2] = [number | _FRACTION ^ chooser.randrange(4) for number in numbers[:2]]
        numbers[2] = _bits(_value(numbers[0]) * _value(numbers[1])) + chooser.randrange(8) ^ _little(chooser)
    if chooser.random() < 0.1:  # what is subtracted differs in the last bits alone
        numbers[1] = numbers[0] ^ _little(chooser)
    if chooser.random() < 0.2:
        numbers[2] = _bits(_value(numbers[0]) * _value(numbers[1])) ^ _little(chooser)
    if chooser.random() < 0.02:  # the greatest number, and what decides whether it is rounded to infinity
        sign = chooser.getrandbits(1) << 31
        rest = _number(chooser, GREATEST_EXPONENT - MANTISSA_BITS - 1) & ~(1 << 31)
        return sign | 0x7F7F_FFFF, sign | rest, sign | rest
    if chooser.random() < 0.02:
        return tuple(chooser.getrandbits(1) << 31 for _ in range(3))
    return tuple(
        chooser.choice(_SPECIAL) | chooser.getrandbits(1) << 31 if chooser.random() < _SPECIAL_SHARE else each
        for each in numbers
    )


def _little(chooser: random.Random) -> int:
    """Changes a number's last bits or none, and its sign or not."""
    return chooser.choice((0, 1, 2, 3)) | chooser.getrandbits(1) << 31


def _value(bits: int) -> float:
    return struct.unpack("<f", struct.pack("<I", bits))[0]


def _bits(value: float) -> int:
    """Of the nearest number; of the greatest one beyond that."""
    greatest = _value(0x7F7F_FFFF)
    return struct.unpack("<I", struct.pack("<f", min(greatest, max(-greatest, value))))[0]


def _number(chooser: random.Random, exponent: int) -> int:
    kept = min(GREATEST_EXPONENT, max(0, exponent))
    return chooser.getrandbits(1) << 31 | kept << MANTISSA_BITS | _fraction(chooser)


def _fraction(chooser: random.Random) -> int:
    ones = 0
    for _ in range(chooser.choice((0, 1, 1, 2))):
        ones |= 1 << chooser.randrange(MANTISSA_BITS)
    run = (1 << chooser.randint(0, MANTISSA_BITS)) - 1  # the lowest bits
    return chooser.choice((ones, ones, _FRACTION ^ ones, run, _FRACTION ^ run, chooser.getrandbits(MANTISSA_BITS)))
