# SPDX-License-Identifier: Apache-2.0
"""Functions of floating-point numbers that IREE 3.13 gets wrong at their ends, written out as StableHLO and as scalars.

A function is lines of StableHLO that compute ``%r`` of ``%0`` and ``%1``. In them ``{t}`` is the type of numbers,
``{b}`` that of booleans, ``{bits}`` that of integers of as many bits, and ``{whole}`` that of integers for whole ones.
"""

from __future__ import annotations

import math
import re

#: By element type: integers of as many bits, integers for whole numbers, and a number from which on all are even ones.
FLOATS = {
    "f16": ("i16", "i32", 2.0**12),
    "bf16": ("i16", "i32", 2.0**9),
    "f32": ("i32", "i32", 2.0**25),
    "f64": ("i64", "i64", 2.0**54),
}
#: Integral exponents up to this one are powers by multiplication.
_MULTIPLIED = 16


def power(element: str, exponent: float | None) -> str:
    """The power of ``%0`` by ``%1``, which is ``exponent`` where that is known.

    IREE's is exp(e * log(x)) in effect: NaN for bases that are negative, and for 0^0 and inf^0.
    """
    whole = exponent is not None and float(exponent).is_integer()
    if whole and 0 < abs(exponent) <= _MULTIPLIED:
        return _multiplied(int(exponent))
    return _POWER + (_SIGN if whole or exponent is None else _NO_SIGN).replace("{even}", str(FLOATS[element][2]))


def _multiplied(exponent: int) -> str:
    lines, square, result = ["%one = stablehlo.constant dense<1.0> : {t}"], "%0", None
    for bit in range(abs(exponent).bit_length()):
        if bit:
            lines.append(f"%s{bit} = stablehlo.multiply {square}, {square} : {{t}}")
            square = f"%s{bit}"
        if abs(exponent) >> bit & 1:
            lines += [f"%p{bit} = stablehlo.multiply {result}, {square} : {{t}}"] if result else []
            result = f"%p{bit}" if result else square
    lines.append(f"%r = stablehlo.{'multiply %one' if exponent > 0 else 'divide %one'}, {result} : {{t}}")
    return "\n".join(lines)


# The power by its magnitude, where the base's is neither 0 nor infinite.
_POWER = """
    %zero = stablehlo.constant dense<0.0> : {t}
    %one = stablehlo.constant dense<1.0> : {t}
    %big = stablehlo.constant dense<2.0> : {t}
    %inf = stablehlo.divide %one, %zero : {t}
    %size = stablehlo.abs %0 : {t}
    %power = stablehlo.abs %1 : {t}
    %e0 = stablehlo.compare EQ, %size, %zero : ({t}, {t}) -> {b}
    %e1 = stablehlo.compare EQ, %size, %inf : ({t}, {t}) -> {b}
    %e2 = stablehlo.compare EQ, %power, %inf : ({t}, {t}) -> {b}
    %e3 = stablehlo.or %e0, %e1 : {b}
    %e4 = stablehlo.or %e3, %e2 : {b}
    %n0 = stablehlo.compare EQ, %0, %0 : ({t}, {t}) -> {b}
    %n1 = stablehlo.compare EQ, %1, %1 : ({t}, {t}) -> {b}
    %numbers = stablehlo.and %n0, %n1 : {b}
    %ends = stablehlo.and %e4, %numbers : {b}
    %o0 = stablehlo.compare EQ, %size, %one : ({t}, {t}) -> {b}
    %o1 = stablehlo.and %o0, %numbers : {b}
    %o2 = stablehlo.compare EQ, %1, %zero : ({t}, {t}) -> {b}
    %o3 = stablehlo.compare EQ, %0, %one : ({t}, {t}) -> {b}
    %o4 = stablehlo.or %o2, %o3 : {b}
    %is_one = stablehlo.or %o1, %o4 : {b}
    %g0 = stablehlo.compare GT, %size, %one : ({t}, {t}) -> {b}
    %g1 = stablehlo.compare GT, %1, %zero : ({t}, {t}) -> {b}
    %shrinks = stablehlo.xor %g0, %g1 : {b}
    %base = stablehlo.select %ends, %big, %size : {b}, {t}
    %exponent = stablehlo.select %ends, %one, %1 : {b}, {t}
    %inner = stablehlo.power %base, %exponent : {t}
    %end = stablehlo.select %shrinks, %zero, %inf : {b}, {t}
    %m0 = stablehlo.select %ends, %end, %inner : {b}, {t}
    %magnitude = stablehlo.select %is_one, %one, %m0 : {b}, {t}
    %below = stablehlo.compare LT, %0, %zero : ({t}, {t}) -> {b}
    %finite = stablehlo.compare LT, %size, %inf : ({t}, {t}) -> {b}
    %nan = stablehlo.subtract %inf, %inf : {t}
"""
# Its sign. By way of integers: LLVM makes a function of the comparison with a floor, which modules have none of.
_SIGN = """
    %even = stablehlo.constant dense<{even}> : {t}
    %half = stablehlo.constant dense<0.5> : {t}
    %s0 = stablehlo.compare LT, %power, %even : ({t}, {t}) -> {b}
    %small = stablehlo.select %s0, %1, %zero : {b}, {t}
    %w0 = stablehlo.convert %small : ({t}) -> {whole}
    %w1 = stablehlo.convert %w0 : ({whole}) -> {t}
    %is_whole = stablehlo.compare EQ, %w1, %small : ({t}, {t}) -> {b}
    %h0 = stablehlo.multiply %small, %half : {t}
    %h1 = stablehlo.convert %h0 : ({t}) -> {whole}
    %h2 = stablehlo.convert %h1 : ({whole}) -> {t}
    %h3 = stablehlo.compare NE, %h2, %h0 : ({t}, {t}) -> {b}
    %odd = stablehlo.and %is_whole, %h3 : {b}
    %bits = stablehlo.bitcast_convert %0 : ({t}) -> {bits}
    %none = stablehlo.constant dense<0> : {bits}
    %sign = stablehlo.compare LT, %bits, %none : ({bits}, {bits}) -> {b}
    %turned = stablehlo.and %sign, %odd : {b}
    %negative = stablehlo.negate %magnitude : {t}
    %signed = stablehlo.select %turned, %negative, %magnitude : {b}, {t}
    %u0 = stablehlo.not %is_whole : {b}
    %u1 = stablehlo.and %below, %u0 : {b}
    %undefined = stablehlo.and %u1, %finite : {b}
    %r = stablehlo.select %undefined, %nan, %signed : {b}, {t}
"""
_NO_SIGN = """
    %undefined = stablehlo.and %below, %finite : {b}
    %r = stablehlo.select %undefined, %nan, %magnitude : {b}, {t}
"""

#: The angle of a point. IREE's is that of the quotient: NaN where both are 0 or infinite, and without the sign of a 0.
ATAN2 = """
    %zero = stablehlo.constant dense<0.0> : {t}
    %one = stablehlo.constant dense<1.0> : {t}
    %pi = stablehlo.constant dense<3.141592653589793> : {t}
    %inf = stablehlo.divide %one, %zero : {t}
    %y = stablehlo.abs %0 : {t}
    %x = stablehlo.abs %1 : {t}
    %z0 = stablehlo.compare EQ, %y, %zero : ({t}, {t}) -> {b}
    %z1 = stablehlo.compare EQ, %x, %zero : ({t}, {t}) -> {b}
    %zeros = stablehlo.and %z0, %z1 : {b}
    %i0 = stablehlo.compare EQ, %y, %inf : ({t}, {t}) -> {b}
    %i1 = stablehlo.compare EQ, %x, %inf : ({t}, {t}) -> {b}
    %infinite = stablehlo.and %i0, %i1 : {b}
    %y1 = stablehlo.select %infinite, %one, %y : {b}, {t}
    %x0 = stablehlo.or %zeros, %infinite : {b}
    %x1 = stablehlo.select %x0, %one, %x : {b}, {t}
    %quadrant = stablehlo.atan2 %y1, %x1 : {t}
    %none = stablehlo.constant dense<0> : {bits}
    %xb = stablehlo.bitcast_convert %1 : ({t}) -> {bits}
    %xs = stablehlo.compare LT, %xb, %none : ({bits}, {bits}) -> {b}
    %yb = stablehlo.bitcast_convert %0 : ({t}) -> {bits}
    %ys = stablehlo.compare LT, %yb, %none : ({bits}, {bits}) -> {b}
    %left = stablehlo.subtract %pi, %quadrant : {t}
    %upper = stablehlo.select %xs, %left, %quadrant : {b}, {t}
    %lower = stablehlo.negate %upper : {t}
    %r = stablehlo.select %ys, %lower, %upper : {b}, {t}
"""
#: The cube root. IREE's has NaN for infinities.
CUBE_ROOT = """
    %size = stablehlo.abs %0 : {t}
    %one = stablehlo.constant dense<1.0> : {t}
    %zero = stablehlo.constant dense<0.0> : {t}
    %inf = stablehlo.divide %one, %zero : {t}
    %endless = stablehlo.compare EQ, %size, %inf : ({t}, {t}) -> {b}
    %x = stablehlo.select %endless, %one, %0 : {b}, {t}
    %root = stablehlo.cbrt %x : {t}
    %r = stablehlo.select %endless, %0, %root : {b}, {t}
"""


def periodic(name: str) -> str:
    """Sine, cosine or tangent (``name``) of float32. IREE's loses digits far from 0.

    Whole turns are subtracted here, in parts whose products with their number are exact.
    """
    lines = [
        f"%turn = stablehlo.constant dense<{1 / _TURN!r}> : {{t}}",
        "%q = stablehlo.multiply %0, %turn : {t}",
        "%turns = stablehlo.round_nearest_even %q : {t}",
    ]
    rest, left = "%0", _TURN
    for number in range(4):
        part = left if number == 3 else _leading_bits(left, 10)
        left -= part
        lines += [
            f"%c{number} = stablehlo.constant dense<{part!r}> : {{t}}",
            f"%p{number} = stablehlo.multiply %turns, %c{number} : {{t}}",
            f"%x{number} = stablehlo.subtract {rest}, %p{number} : {{t}}",
        ]
        rest = f"%x{number}"
    return "\n".join([*lines, f"%r = stablehlo.{name} {rest} : {{t}}"])


_TURN = 2 * math.pi


def _leading_bits(value: float, bits: int) -> float:
    scale = 2.0 ** (bits - 1 - math.floor(math.log2(value)))
    return math.floor(value * scale) / scale


_ARITH = {
    "add": "arith.addf",
    "subtract": "arith.subf",
    "multiply": "arith.mulf",
    "divide": "arith.divf",
    "negate": "arith.negf",
    "or": "arith.ori",
    "and": "arith.andi",
    "xor": "arith.xori",
    "abs": "math.absf",
    "power": "math.powf",
    "atan2": "math.atan2",
    "cbrt": "math.cbrt",
    "sine": "math.sin",
    "cosine": "math.cos",
    "tan": "math.tan",
    "round_nearest_even": "math.roundeven",
}
_LINE = re.compile(r"\s*(%\w+) = stablehlo\.(\w+) (.*?) : (.*)")


def in_arith(lines: str, tensors: bool) -> str:
    """The lines of a function in the dialects `arith` and `math`, of tensors or of scalars."""
    made = []
    for name, operation, operands, types in _LINE.findall(lines):
        kinds = re.findall(r"{\w+}", types)
        if operation == "constant":
            value = operands if tensors else operands.removeprefix("dense<").removesuffix(">")
            made.append(f"{name} = arith.constant {value} : {types}")
        elif operation == "compare":
            direction, _, values = operands.partition(", ")
            real = f"cmpf {'u' if direction == 'NE' else 'o'}" if kinds[0] == "{t}" else "cmpi s"
            made.append(f"{name} = arith.{real}{direction.lower()}, {values} : {kinds[0]}")
        elif operation == "not":
            made.append(f"{name}_true = arith.constant {'dense<true> : {b}' if tensors else 'true'}")
            made.append(f"{name} = arith.xori {operands}, {name}_true : {{b}}")
        elif operation == "select":
            condition = f"{kinds[0]}, " if tensors else ""
            made.append(f"{name} = arith.select {operands} : {condition}{kinds[1]}")
        elif operation in ("convert", "bitcast_convert"):
            change = "bitcast" if operation == "bitcast_convert" else "fptosi" if kinds[0] == "{t}" else "sitofp"
            made.append(f"{name} = arith.{change} {operands} : {kinds[0]} to {kinds[1]}")
        else:
            made.append(f"{name} = {_ARITH[operation]} {operands} : {types}")
    return "\n".join(made)
