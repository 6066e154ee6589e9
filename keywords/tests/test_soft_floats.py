# SPDX-License-Identifier: Apache-2.0
"""A core without floating point computes with functions: whatever LLVM calls for a kernel gives what the standard says.

IREE's own functions for 32 bits are empty where they use types of 64 bits, which no trap tells of.
"""

from __future__ import annotations

import itertools
import math
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_compiler_runtime import ELEMENTS, FLOATS, NO_FLOATS, floats, hold, module, vectors

from springbok.compiler import compiler_runtime, wrong_functions
from springbok.compiler.iree import tool
from springbok.session import Session


@pytest.fixture(scope="module")
def chip(tmp_path_factory):
    path = tmp_path_factory.mktemp("soft") / "none.toml"
    path.write_text(NO_FLOATS)
    session = Session()
    try:
        session.boot("spike", platform=path, count_opcodes=False)
        yield session
    finally:
        session.shut_down()


def fused(a, b, c):
    """a * b + c, rounded once: the sum in 64 bits is made odd where it is not exact, so that it decides no half."""
    product, c = a.astype(np.float64) * b, c.astype(np.float64)
    total = product + c
    rest = total - product
    rest = (product - (total - rest)) + (c - rest)
    bits = total.view(np.int64)
    even = np.isfinite(total) & (rest != 0) & (bits & 1 == 0)
    return (bits + np.where(even, np.where((rest > 0) == (total > 0), 1, -1), 0)).view(np.float64).astype(np.float32)


def _quotient(a, b):
    """The compiler's runtime library does not round quotients below the smallest normal number."""
    found = np.divide(a, b)
    return np.where(np.abs(found) < TINY, np.copysign(np.float32(0), found), found)


def _compared(name):
    return f"%c = arith.cmpf {name}, %a, %b : f32 %y = arith.extui %c : i1 to i8"


#: Any operands: also infinities, NaN, the smallest numbers.
EXACT = {
    ("sum", "f32"): ("%y = arith.addf %a, %b : f32", np.add),
    ("difference", "f32"): ("%y = arith.subf %a, %b : f32", np.subtract),
    ("product", "f32"): ("%y = arith.mulf %a, %b : f32", np.multiply),
    ("quotient", "f32"): ("%y = arith.divf %a, %b : f32", _quotient),
    ("fused", "f32"): ("%y = math.fma %a, %b, %a : f32", lambda a, b: fused(a, b, a)),
    ("fused square", "f32"): ("%y = math.fma %a, %a, %b : f32", lambda a, b: fused(a, a, b)),
    ("root", "f32"): ("%n = math.absf %a : f32 %y = math.sqrt %n : f32", lambda a, b: np.sqrt(np.abs(a))),
    ("floor", "f32"): ("%y = math.floor %a : f32", lambda a, b: np.floor(a)),
    ("ceil", "f32"): ("%y = math.ceil %a : f32", lambda a, b: np.ceil(a)),
    ("trunc", "f32"): ("%y = math.trunc %a : f32", lambda a, b: np.trunc(a)),
    ("round", "f32"): ("%y = math.round %a : f32", lambda a, b: _away(a)),
    ("round to even", "f32"): ("%y = math.roundeven %a : f32", lambda a, b: np.rint(a)),
    ("copy sign", "f32"): ("%y = math.copysign %a, %b : f32", np.copysign),
    ("maximum", "f32"): ("%y = arith.maximumf %a, %b : f32", np.maximum),
    ("minimum", "f32"): ("%y = arith.minimumf %a, %b : f32", np.minimum),
    ("less", "i8"): (_compared("olt"), np.less),
    ("at most", "i8"): (_compared("ole"), np.less_equal),
    ("greater", "i8"): (_compared("ogt"), np.greater),
    ("at least", "i8"): (_compared("oge"), np.greater_equal),
    ("equal", "i8"): (_compared("oeq"), np.equal),
    ("not equal", "i8"): (_compared("une"), np.not_equal),
    ("not at least", "i8"): (_compared("ult"), lambda a, b: ~(a >= b)),
    ("ordered", "i8"): (_compared("ord"), lambda a, b: ~(np.isnan(a) | np.isnan(b))),
}


def _away(a):
    with np.errstate(invalid="ignore"):
        return np.where(np.abs(a) < 2.0**23, np.copysign(np.floor(np.abs(a.astype(np.float64)) + 0.5), a), a)


#: Of numbers that the integers have.
CONVERSIONS = FLOATS | {
    ("to i32", "i32"): ("%y = arith.fptosi %a : f32 to i32", lambda a, b: a.astype(np.int32)),
    ("to unsigned i32", "i32"): (
        "%n = math.absf %a : f32 %y = arith.fptoui %n : f32 to i32",
        lambda a, b: np.abs(a).astype(np.uint32).view(np.int32),
    ),
    ("by i32", "f32"): (
        "%i = arith.fptosi %a : f32 to i32 %y = arith.sitofp %i : i32 to f32",
        lambda a, b: a.astype(np.int32).astype(np.float32),
    ),
    ("by bits", "f32"): (
        "%i = arith.bitcast %a : f32 to i32 %y = arith.uitofp %i : i32 to f32",
        lambda a, b: a.view(np.uint32).astype(np.float32),
    ),
}

ERF = np.vectorize(math.erf, otypes=[np.float64])


def _function(name, compute, before=""):
    given = "%n" if before else "%a"
    return f"{before} %y = math.{name} {given} : f32", lambda a, b: compute(a.astype(np.float64))


POSITIVE = "%c = arith.constant 1.0e-3 : f32 %m = math.absf %a : f32 %n = arith.addf %m, %c : f32"


def _positive(a):
    return np.abs(a) + np.float32(1e-3)


#: Polynomials, mostly, which are made of the others.
FUNCTIONS = {
    ("exp", "f32"): _function("exp", np.exp),
    ("exp2", "f32"): _function("exp2", np.exp2),
    ("expm1", "f32"): _function("expm1", np.expm1),
    ("tanh", "f32"): _function("tanh", np.tanh),
    ("sin", "f32"): _function("sin", np.sin),
    ("cos", "f32"): _function("cos", np.cos),
    ("atan", "f32"): _function("atan", np.arctan),
    ("erf", "f32"): _function("erf", ERF),
    ("log", "f32"): _function("log", lambda a: np.log(_positive(a)), POSITIVE),
    ("log2", "f32"): _function("log2", lambda a: np.log2(_positive(a)), POSITIVE),
    ("log1p", "f32"): _function("log1p", lambda a: np.log1p(_positive(a)), POSITIVE),
    ("rsqrt", "f32"): _function("rsqrt", lambda a: 1 / np.sqrt(_positive(a)), POSITIVE),
    ("power", "f32"): (
        POSITIVE + " %y = math.powf %n, %b : f32",
        lambda a, b: _positive(a.astype(np.float64)) ** b,
    ),
    ("sigmoid", "f32"): (
        "%m = arith.negf %a : f32 %e = math.exp %m : f32 %c = arith.constant 1.0 : f32 %s = arith.addf %e, %c : f32 "
        "%y = arith.divf %c, %s : f32",
        lambda a, b: 1 / (1 + np.exp(-a.astype(np.float64))),
    ),
}

TINY = np.finfo(np.float32).tiny
SPECIAL = [0.0, -0.0, 0.5, -0.5, 1.0, -1.5, 2.5, 0.49999997, 8388607.5, 8388608.0, 2.0**31, 1e-45, 1.1754944e-38]
SPECIAL += [3.4028235e38, -3.4028235e38, 1.0000001, -16777215.0, np.inf, -np.inf, np.nan]


def _pairs(numbers):
    """All pairs, in arrays of the length that a module takes."""
    pairs = np.array(list(itertools.product(numbers, repeat=2)), np.float32).T
    count = -(-pairs.shape[1] // ELEMENTS)
    return zip(*(np.resize(each, (count, ELEMENTS)) for each in pairs), strict=True)


def _same(answer, wanted, what):
    if what.startswith("quotient"):
        answer = np.where(np.abs(answer) < TINY, np.copysign(np.float32(0), answer), answer)
    np.testing.assert_array_equal(answer, wanted, err_msg=what)


def _near(answer, wanted, what):
    np.testing.assert_allclose(answer, wanted, rtol=4e-6, atol=2e-6, err_msg=what)


def test_arithmetic_and_roundings_are_exact(chip):
    chip.send_module(module(EXACT, "f32", "scalar", "none", chip.description))
    any_numbers = vectors(np.float32, st.one_of(st.sampled_from(SPECIAL).map(np.float32), floats(32)))
    hold(chip, EXACT, any_numbers, any_numbers, _pairs(SPECIAL), _same)


def test_conversions_are_exact(chip):
    chip.send_module(module(CONVERSIONS, "f32", "scalar", "none", chip.description))
    halves = st.one_of(floats(16, 60000.0), floats(32, 2.0**30)).map(lambda each: each if abs(each) > 2.0**-13 else 0.0)
    numbers = vectors(np.float32, halves)
    hold(chip, CONVERSIONS, numbers, vectors(np.float32, halves.map(lambda each: each or 1.0)))


def test_functions_are_near(chip):
    chip.send_module(module(FUNCTIONS, "f32", "scalar", "none", chip.description))
    numbers = vectors(np.float32, floats(32, 6.0))
    hold(chip, FUNCTIONS, numbers, numbers, compare=_near)


NAMES = [each.decode() for each in wrong_functions.NAMES]


@settings(max_examples=8, deadline=None)
@given(
    order=st.permutations([*NAMES, "mine", "floorf"]),
    called=st.sets(st.sampled_from([*NAMES, "mine", "floorf"])),
    first=st.booleans(),
)
def test_wrong_functions_are_taken_out_where_they_are_called_alone(tmp_path_factory, order, called, first):
    folder = tmp_path_factory.mktemp("object")
    source, made = folder / "made.c", folder / "made.o"
    functions = [f"LOCAL float {name}(float x) {{ return x * {number}.f; }}" for number, name in enumerate(order)]
    user = f"float use(float x) {{ return x{''.join(f' + {each}(x)' for each in sorted(called))}; }}"
    declared = [f"static float {name}(float);" for name in order]
    lines = [*declared, *((user, *functions) if first else (*functions, user))]
    source.write_text("#define LOCAL static __attribute__((noinline, used))\n" + "\n".join(lines) + "\n")
    options = ("-target", "riscv32-freestanding-none", "-mcpu=generic_rv32+m", "-O0", "-fno-builtin")
    compiler_runtime._zig("cc", "-c", source, *options, "-ffunction-sections", "-o", made, cwd=folder)
    content = made.read_bytes()
    mended = wrong_functions.mended(content)
    made.write_bytes(mended)
    assert wrong_functions.mended(mended) == mended
    taken_out = called & set(NAMES)
    assert (mended == content) == (not taken_out)
    command = [tool("iree-lld"), "-flavor", "gnu", "--entry=use", made, "-o", folder / "linked"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    missing = {name for name in (*NAMES, "mine", "floorf") if f"undefined symbol: {name}\n" in done.stderr + "\n"}
    assert missing == taken_out
