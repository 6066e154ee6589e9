# SPDX-License-Identifier: Apache-2.0
"""Proof of `requantisation` with the SMT solver Z3: ``./bench trial proof``.

Nothing is proved about a copy of the arithmetic. TOSA rescales of every kind go through the compiler's first half and
through the transformation; the operations of their bodies, before and after, are walked and become terms. For each::

    before = after              for every x within the bounds that the transformation admits, and every multiplier
    before = TOSA's apply_scale (https://www.mlplatform.org/tosa/tosa_spec.html, "apply_scale_32")

A product of two unknown 32-bit numbers is hard for a solver, so it is proved in two steps. First that the factors
before are x and m, and after x * 2^k and m: so if p is the product before, the one after is p * 2^k. Then that both
bodies are equal for *every* p within the bounds of a product, and every x: their products are unknowns.

Of channels that differ in their doublings and roundings the same is proved, each within bounds of its own. That a
channel may get another scale rests on one fact more, which is proved of every shift: results never fall where x and p
rise, so that two scales which are equal at both ends of a piece without a step are equal all along it.

Needs the packages of requirements-test.txt.
"""

from __future__ import annotations

import argparse
import functools
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import z3
from iree.compiler import ir

from springbok.compiler import iree
from springbok.compiler.mlir import Generic, constant, operations, owner
from springbok.compiler.optimizer.channel_scales import SHIFTS, WORD, Form, Scale
from springbok.compiler.optimizer.ranges import Ranges
from springbok.compiler.optimizer.requantisation import NarrowRequantisation, narrow, read_rescale, rewrite_channels
from springbok.support.errors import BenchError
from springbok.support.files import temporary_folder

#: A multiplier that stands for any: no other constant of a body is like it.
ANY_MULTIPLIER = 1_518_500_251
_GREATEST_MULTIPLIER = (1 << 31) - 1
_SECOND_ROUNDING_ABOVE = 31
_UNSIGNED_SHIFTS = 32  # up to which a shift to the right of 64 bits leaves the same lower half, signed or not
SOLVER_LIMIT_MILLISECONDS = 20_000


class NotProved(BenchError):
    """The code before and after differ, or the solver can't tell."""


@dataclass(frozen=True)
class Case:
    """A rescale: its shifts, one a channel, or a single one for all; ``multiplier`` is None for any.

    ``twice`` is TOSA's double rounding. x is at least ``-limit`` (or 0 if ``positive``) and below ``limit``.
    """

    shifts: tuple[int, ...]
    twice: bool
    limit: int
    multiplier: int | None = None
    positive: bool = False

    @property
    def lowest(self) -> int:
        """The lowest x."""
        return 0 if self.positive else -self.limit

    @property
    def by_channel(self) -> bool:
        """Whether each channel has a multiplier and a shift of its own."""
        return len(self.shifts) > 1

    def __str__(self) -> str:
        shifts = f"shift {self.shifts[0]}" if len(set(self.shifts)) == 1 else f"shifts {self.shifts}"
        kind = " of channels" if self.by_channel else ""
        multiplier = f", multiplier {self.multiplier}" if self.multiplier is not None else ""
        rounding = "twice" if self.twice else "once"
        return f"{shifts}{kind}{multiplier}, rounding {rounding}, x from {self.lowest} to {self.limit - 1}"


def limit_of(shifts: Sequence[int], twice: bool) -> int:
    """What the docstring of `requantisation` promises to narrow: -2^(31-k) <= x < 2^(31-k)."""
    twice = twice and max(shifts) > _SECOND_ROUNDING_ABOVE
    return 1 << (31 - max(33 - min(shifts), 2 if twice else 0))


def case(*shifts: int, twice: bool, positive: bool = False) -> Case:
    """A rescale of any multiplier, of every x that is narrowed."""
    return Case(shifts, twice, limit_of(shifts, twice), positive=positive)


def one_for_all(positive: bool = False) -> list[Case]:
    """Each shift, rounding once and twice."""
    return [case(shift, twice=twice, positive=positive) for twice in (False, True) for shift in SHIFTS]


def one_shift_of_channels() -> list[Case]:
    """Each shift, where channels have multipliers of their own."""
    return [case(shift, shift, twice=twice) for twice in (False, True) for shift in SHIFTS]


def shifts_of_channels() -> list[Case]:
    """Each smallest shift beside all larger ones: the form depends on the smallest."""
    found = []
    for smallest in SHIFTS:
        found.append(case(*range(smallest, SHIFTS.stop), twice=False))
        end = SHIFTS.stop if smallest > _SECOND_ROUNDING_ABOVE else _SECOND_ROUNDING_ABOVE + 1
        found.append(case(*range(smallest, end), twice=True))
    return [each for each in found if each.by_channel and each.limit > 1]


def powers_of_two() -> list[Case]:
    """Multipliers that are a shift to the left, of any x."""
    return [Case((shift,), False, 1 << 31, 1 << power) for shift in range(2, 31) for power in range(shift, 31)]


# From a case to MLIR, and through the compiler and the transformation.


def rescale_function(case_: Case, name: str, rows: int = 4, multipliers: Sequence[int] = ()) -> str:
    """A function in TOSA: x is put within the limits, and rescaled."""
    channels = len(multipliers) or len(case_.shifts)
    # Multipliers of channels are elements, any of which may be anything; they must not be less than x.
    given = _GREATEST_MULTIPLIER if case_.by_channel else ANY_MULTIPLIER
    multipliers = multipliers or [given if case_.multiplier is None else case_.multiplier] * channels
    shifts = case_.shifts if len(case_.shifts) == channels else case_.shifts[:1] * channels
    count, kind = (channels if case_.by_channel else 1), f"tensor<{rows}x{channels}xi32>"
    rounding = "DOUBLE_ROUND" if case_.twice else "SINGLE_ROUND"
    low, high = case_.lowest, case_.limit - 1

    def known(label: str, values: Iterable[int], shape: str) -> str:
        listed = ", ".join(map(str, values))
        dense = f"[{listed}]" if "x" not in shape.removesuffix("xi32").removesuffix("xi8") else f"[[{listed}]]"
        return f'  %{label} = "tosa.const"() {{values = dense<{dense}> : tensor<{shape}>}} : () -> tensor<{shape}>\n'

    constants = (
        known("low", [low], "1x1xi32")
        + known("high", [high], "1x1xi32")
        + known("m", multipliers[:count], f"{count}xi32")
        + known("s", shifts[:count], f"{count}xi8")
        + known("zero", [0], "1xi32")
    )
    return (
        f"func.func @{name}(%x: {kind}) -> {kind} {{\n{constants}"
        f"  %above = tosa.maximum %x, %low : ({kind}, tensor<1x1xi32>) -> {kind}\n"
        f"  %within = tosa.minimum %above, %high : ({kind}, tensor<1x1xi32>) -> {kind}\n"
        f'  %y = "tosa.rescale"(%within, %m, %s, %zero, %zero) <{{rounding_mode = #tosa.rounding_mode<{rounding}>, '
        f"scale32 = true, per_channel = {str(case_.by_channel).lower()}, input_unsigned = false, "
        f"output_unsigned = false}}> : ({kind}, tensor<{count}xi32>, tensor<{count}xi8>, tensor<1xi32>, "
        f"tensor<1xi32>) -> {kind}\n  return %y : {kind}\n}}\n"
    )


def first_half(cases: Sequence[Case]) -> bytes:
    """What the compiler's first half makes of the cases: MLIR bytecode with a function each."""
    with temporary_folder() as folder:
        source = Path(folder) / "rescales.mlir"
        source.write_text(
            "".join(rescale_function(each, f"case{number}") for number, each in enumerate(cases)), encoding="utf-8"
        )
        kept: list[bytes] = []

        def take(half: Path, _: Path) -> None:
            kept.append(half.read_bytes())
            raise _Taken

        try:
            flags = ["--iree-hal-target-backends=llvm-cpu", "--iree-llvmcpu-target-cpu=generic"]
            iree.compile_module(source, flags, Path(folder) / "none.vmfb", rewrite=take)
        except _Taken:
            pass
        return kept[0]


class _Taken(Exception):
    """The second half is not needed."""


# From MLIR to terms.


class Terms:
    """Z3's bit-vectors. Products of 64 bits become unknowns, whose factors are in ``products``."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.products: list[tuple[z3.BitVecRef, z3.BitVecRef, z3.BitVecRef]] = []

    def number(self, value: int, width: int) -> z3.BitVecRef:
        return z3.BitVecVal(value, width)

    def product(self, left: z3.BitVecRef, right: z3.BitVecRef) -> z3.BitVecRef:
        if left.size() == WORD:
            return left * right  # a sign with a constant of the channel, which a solver can do
        unknown = z3.BitVec(f"{self.name}{len(self.products)}", left.size())
        self.products.append((unknown, left, right))
        return unknown

    def signed(self, value: z3.BitVecRef, width: int) -> z3.BitVecRef:
        return z3.SignExt(width - value.size(), value)

    def unsigned(self, value: z3.BitVecRef, width: int) -> z3.BitVecRef:
        return z3.ZeroExt(width - value.size(), value)

    def low(self, value: z3.BitVecRef, width: int) -> z3.BitVecRef:
        return z3.Extract(width - 1, 0, value)

    def high(self, value: z3.BitVecRef, width: int) -> z3.BitVecRef:
        return z3.Extract(value.size() - 1, value.size() - width, value)

    def logical_right(self, value: z3.BitVecRef, count: z3.BitVecRef) -> z3.BitVecRef:
        return z3.LShR(value, count)

    choose = staticmethod(z3.If)

    def wrap(self, value: Any, _: int) -> Any:
        return value


class Numbers:
    """NumPy's 64-bit integers, as signed numbers of a type's width: words of at most 16 bits."""

    def number(self, value: int, width: int) -> np.ndarray:
        return self.wrap(np.asarray(value, np.int64), width)

    def product(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        return left * right

    def signed(self, value: np.ndarray, _: int) -> np.ndarray:
        return value

    def low(self, value: np.ndarray, width: int) -> np.ndarray:
        return self.wrap(value, width)

    def high(self, value: np.ndarray, width: int) -> np.ndarray:
        return value >> width

    choose = staticmethod(np.where)

    def wrap(self, value: np.ndarray, width: int) -> np.ndarray:
        return ((value + (1 << width - 1)) & ((1 << width) - 1)) - (1 << width - 1)


_BINARY: dict[str, Callable[[Any, Any, Any], Any]] = {
    "arith.addi": lambda _, a, b: a + b,
    "arith.subi": lambda _, a, b: a - b,
    "arith.shli": lambda _, a, b: a << b,
    "arith.shrsi": lambda _, a, b: a >> b,
    "arith.shrui": lambda algebra, a, b: algebra.logical_right(a, b),
    "arith.ori": lambda _, a, b: a | b,
    "arith.andi": lambda _, a, b: a & b,
    "arith.xori": lambda _, a, b: a ^ b,
    "arith.maxsi": lambda algebra, a, b: algebra.choose(a >= b, a, b),
    "arith.minsi": lambda algebra, a, b: algebra.choose(a <= b, a, b),
    "arith.muli": lambda algebra, a, b: algebra.product(a, b),
}
# arith.cmpi's predicates
_COMPARISONS: dict[int, Callable[[Any, Any], Any]] = {
    0: lambda a, b: a == b,
    1: lambda a, b: a != b,
    2: lambda a, b: a < b,
    3: lambda a, b: a <= b,
    4: lambda a, b: a > b,
    5: lambda a, b: a >= b,
}


def evaluate(value: ir.Value, algebra: Any, elements: dict[ir.Value, Any], multiplier: Any = None) -> Any:
    """The term that ``value`` is, of the terms ``elements``; `ANY_MULTIPLIER` is the term ``multiplier``.

    Raises :class:`NotProved` for an operation that it does not know.
    """
    if value in elements:
        return elements[value]
    operation, width = owner(value), value.type.width
    known = constant(value)
    if isinstance(known, int):
        anything = multiplier is not None and known == ANY_MULTIPLIER
        return algebra.signed(multiplier, width) if anything else algebra.number(known, width)
    if operation is None:
        raise NotProved(f"The value {value} of a body is not known.")
    operands = [evaluate(each, algebra, elements, multiplier) for each in operation.operands]
    name = operation.name
    if name == "arith.mulsi_extended":
        product = algebra.product(*(algebra.signed(each, 2 * width) for each in operands))
        found = [algebra.low(product, width), algebra.high(product, width)]
        elements.update(zip(operation.results, found, strict=True))
        return elements[value]
    if name in _BINARY:
        found = algebra.wrap(_BINARY[name](algebra, *operands), width)
    elif name == "arith.cmpi":
        found = _COMPARISONS[operation.attributes["predicate"].value](*operands)
    elif name == "arith.select":
        found = algebra.choose(*operands)
    elif name == "arith.extsi":
        found = algebra.signed(operands[0], width)
    elif name == "arith.extui":
        found = algebra.unsigned(operands[0], width)
    elif name == "arith.trunci":
        found = algebra.low(operands[0], width)
    else:
        raise NotProved(f"What {name} computes is not known here: teach `evaluate` of it.")
    elements[value] = found
    return found


def apply_scale(x: z3.BitVecRef, product: z3.BitVecRef, shift: int, twice: bool) -> z3.BitVecRef:
    """TOSA's rescale of ``x``, of its 64-bit product with the multiplier."""
    return z3.Extract(31, 0, _wide_result(x, product, shift, twice))


def _wide_result(x: z3.BitVecRef, product: z3.BitVecRef, shift: int, twice: bool) -> z3.BitVecRef:
    rounded = product + (1 << shift - 1)
    if twice and shift > _SECOND_ROUNDING_ABOVE:
        rounded += z3.If(x >= 0, z3.BitVecVal(1 << 30, 64), z3.BitVecVal(-1 << 30, 64))
    return rounded >> shift


# The proof.


@dataclass(frozen=True)
class _Body:
    """The result of a body for one channel, as a term of its product, which is that of two factors."""

    result: z3.BitVecRef
    products: list[tuple[z3.BitVecRef, z3.BitVecRef, z3.BitVecRef]]


def _read(
    generic: Generic, result: ir.Value, name: str, channel: int, multipliers: int = _GREATEST_MULTIPLIER
) -> _Body:
    """``multipliers`` is what the elements are that stand for any."""
    algebra = Terms(name)
    x, multiplier = z3.BitVecs("x m", 32)
    elements: dict[ir.Value, Any] = {}
    for argument, operand in zip(generic.block.arguments, generic.operands, strict=True):
        known = constant(operand)
        if known is None or not hasattr(known, "reshape") or known.dtype.kind != "i":
            elements[argument] = x
        elif str(argument.type) == "i32" and (known == multipliers).all():
            elements[argument] = multiplier
        else:
            elements[argument] = z3.BitVecVal(int(known.reshape(-1)[channel]), argument.type.width)
    return _Body(evaluate(result, algebra, elements, multiplier), algebra.products)


def prove(cases: Sequence[Case], half: bytes | None = None) -> int:
    """Proves every case; returns how many identities that were, one a channel with another shift.

    Raises :class:`NotProved` with a counterexample, or with the reason why a case was left as it was.
    """
    count = 0
    with ir.Context():
        module = ir.Module.parse(half or first_half(cases))
        found = [each for each in Generic.all(module) if any(op.name == "arith.trunci" for op in each.body)]
        if len(found) != len(cases):
            raise NotProved(f"The compiler made {len(found)} rescales of {len(cases)} cases.")
        for case_, generic in zip(cases, found, strict=True):
            if case_.positive:
                _as_unsigned(generic, max(case_.shifts))
        channels = [dict(zip(each.shifts, range(len(each.shifts)), strict=True)) for each in cases]
        before = [
            {shift: _read(generic, generic.yielded, "p", channel) for shift, channel in places.items()}
            for generic, places in zip(found, channels, strict=True)
        ]
        changes = NarrowRequantisation().apply(module)
        for case_, generic, places, wide, change in zip(cases, found, channels, before, changes, strict=True):
            if not change.applied:
                raise NotProved(f"{case_}: left as it was: {change.detail}")
            for shift, channel in places.items():
                _prove_one(case_, shift, wide[shift], _read(generic, generic.yielded, "q", channel))
                count += 1
    return count


#: Elements that stand for any multiplier, where some are less than x: no 2^(k-2) is like it.
_ANY_OF_CHANNELS = 7


def mixed_channels() -> list[Case]:
    """Every shift beside the others, where each has its own doublings, and rounds once or twice."""
    return [Case(tuple(range(start, SHIFTS.stop, 2)), twice, 1 << 30) for twice in (False, True) for start in (2, 3)]


def prove_mixed(cases: Sequence[Case]) -> int:
    """Proves the form of channels that differ in their doublings, each within the bounds of its own; returns how many
    identities that were. The multipliers are any, also less than x.

    Raises :class:`NotProved` with a counterexample.
    """
    count = 0
    with ir.Context():
        module = ir.Module.parse(first_half(cases))
        found = [each for each in Generic.all(module) if any(op.name == "arith.trunci" for op in each.body)]
        for case_, generic in zip(cases, found, strict=True):
            wide = [_read(generic, generic.yielded, "p", channel) for channel in range(len(case_.shifts))]
            (end,) = (each for each in generic.body if each.name == "arith.trunci")
            limits = [limit_of([shift], case_.twice) for shift in case_.shifts]
            scales = tuple(
                Scale(_ANY_OF_CHANNELS, shift, case_.twice and shift > _SECOND_ROUNDING_ABOVE, -limit, limit - 1)
                for shift, limit in zip(case_.shifts, limits, strict=True)
            )
            doublings, twice = (tuple(getattr(each, name) for each in scales) for name in ("doublings", "twice"))
            form = Form(scales, (0,) * len(scales), doublings, twice, 0)
            result = rewrite_channels(read_rescale(generic, end), form, 1, Ranges())
            after = Generic(owner(result).parent.operation)
            for channel, (shift, limit) in enumerate(zip(case_.shifts, limits, strict=True)):
                within = replace(case_, limit=limit)
                narrow_ = _read(after, after.yielded, "q", channel, _ANY_OF_CHANNELS)
                _prove_one(within, shift, wide[channel], narrow_, ties=False)
                count += 1
    return count


def prove_monotone(shifts: Iterable[int] = range(2, 63)) -> int:
    """Proves that no result falls where x and its product rise, for every shift, rounding once and twice; returns for
    how many."""
    x, later = z3.BitVecs("x y", 32)
    product, higher = z3.BitVecs("p q", 64)
    # Of numbers below 2^31 in magnitude; a product has the sign of x.
    known = [x <= later, product <= higher, product >= -(1 << 62), higher <= 1 << 62]
    count = 0
    for twice in (False, True):
        for shift in shifts:
            case_ = Case((shift,), twice, 1 << 31)
            falls = _wide_result(x, product, shift, twice) > _wide_result(later, higher, shift, twice)
            _never(case_, "results never fall", known, falls)
            count += 1
    return count


def _as_unsigned(generic: Generic, shift: int) -> None:
    """Makes the body what the compiler may make of it where it knows that x is not negative."""
    others = {"arith.extsi": "arith.extui"} | ({"arith.shrsi": "arith.shrui"} if shift <= _UNSIGNED_SHIFTS else {})
    for operation in generic.body:
        if operation.name in others:
            with ir.InsertionPoint(operation), operation.location:
                kinds, operands = [each.type for each in operation.results], list(operation.operands)
                new = ir.Operation.create(others[operation.name], results=kinds, operands=operands)
            operation.results[0].replace_all_uses_with(new.result)
            operation.erase()


def _prove_one(case_: Case, shift: int, wide: _Body, narrow_: _Body, *, ties: bool = True) -> None:
    x, multiplier = z3.BitVecs("x m", 32)
    known = [multiplier >= 0, x >= case_.lowest, x <= case_.limit - 1]
    if case_.by_channel and ties:
        known.append(multiplier >= x)  # which the transformation asks of tied multipliers
    if len(wide.products) != 1:
        raise NotProved(f"{case_}: the wide form has {len(wide.products)} products.")
    ((p, left, right),) = wide.products
    other = z3.SignExt(32, multiplier) if case_.multiplier is None else z3.BitVecVal(case_.multiplier, 64)
    _prove_factors(case_, known, (left, right), other, doublings=0)
    within = list(known)
    # A product of numbers below 2^31 does not wrap in 64 bits, so these are its bounds.
    greatest = case_.multiplier or _GREATEST_MULTIPLIER
    within += [p >= case_.lowest * greatest, p <= case_.limit * greatest]
    wanted = apply_scale(x, p, shift, case_.twice)
    _never(case_, f"the form before is TOSA's for shift {shift}", within, wide.result != wanted)
    after = narrow_.result
    if case_.multiplier is not None:
        within.append(p == z3.SignExt(32, x) * other)
    for q, first, second in narrow_.products:
        doublings = _doublings(first, second)
        _prove_factors(case_, known, (first, second), other, doublings)
        after = z3.substitute(after, (q, p << doublings))
    _never(case_, f"the forms before and after are equal for shift {shift}", within, wide.result != after)


def _prove_factors(
    case_: Case,
    known: Sequence[z3.BoolRef],
    factors: tuple[z3.BitVecRef, z3.BitVecRef],
    multiplier: z3.BitVecRef,
    doublings: int,
) -> None:
    """Proves that the factors are x * 2^k and the multiplier, in any order."""
    x, m = z3.BitVecs("x m", 32)
    left, right = factors
    if x.decl() not in _unknowns(left) or m.decl() in _unknowns(left):
        left, right = right, left
    _never(case_, f"a factor is x * 2^{doublings}", known, left != z3.SignExt(32, x) << doublings)
    _never(case_, "a factor is the multiplier", known, right != multiplier)


def _doublings(left: z3.BitVecRef, right: z3.BitVecRef) -> int:
    """k: the product is -2^k for x = -1 and m = 1."""
    x, m = z3.BitVecs("x m", 32)
    chosen = [(x, z3.BitVecVal(-1, 32)), (m, z3.BitVecVal(1, 32))]
    product = z3.simplify(z3.substitute(left * right, *chosen)).as_signed_long()
    return abs(product).bit_length() - 1 if product else 0


def _unknowns(term: z3.ExprRef) -> set[z3.FuncDeclRef]:
    found, pending = set(), [term]
    while pending:
        each = pending.pop()
        pending += each.children()
        if z3.is_const(each) and each.decl().kind() == z3.Z3_OP_UNINTERPRETED:
            found.add(each.decl())
    return found


def _never(case_: Case, claim: str, known: Sequence[z3.BoolRef], violation: z3.BoolRef) -> None:
    """Raises unless ``violation`` is impossible where all of ``known`` holds."""
    solver = z3.Solver()
    solver.set("timeout", SOLVER_LIMIT_MILLISECONDS)
    solver.add(*known, violation)
    answer = solver.check()
    if answer == z3.sat:
        model = solver.model()
        values = ", ".join(f"{each} = {model[each].as_signed_long()}" for each in model.decls())
        raise NotProved(f"{case_}: it is wrong that {claim}: {values}")
    if answer != z3.unsat:
        raise NotProved(f"{case_}: the solver can't tell whether {claim}: {solver.reason_unknown()}")


# Small widths, exhaustively: the same code, emitted for words of few bits.


def try_all(bits: int) -> Iterator[tuple[int, bool, int]]:
    """Compares the narrow form for words of ``bits`` with exact numbers, for every x and every multiplier.

    Gives each shift, whether rounding is twice, and how many pairs were compared. Shifts go as far beyond the
    word's width as 60 is beyond 32. Raises :class:`NotProved` with a pair for which they differ.
    """
    for twice in (False, True):
        for shift in range(2, 2 * bits - 3):
            yield shift, twice, _try_shift(bits, shift, twice and shift > bits - 1)


def _try_shift(bits: int, shift: int, twice: bool) -> int:
    doublings = max(bits + 1 - shift, 2 if twice else 0)
    limit = 1 << (bits - 1 - doublings) if doublings < bits else 1
    x = np.arange(-limit, limit, dtype=np.int64)[:, np.newaxis]
    multiplier = np.arange(1 << bits - 1, dtype=np.int64)[np.newaxis, :]
    second = np.where(x >= 0, 1, -1) << bits - 2 if twice else 0
    exact = x * multiplier + (1 << shift - 1) + second >> shift
    exact = Numbers().wrap(exact, bits)
    for tie in (False, True):
        for late in (False, True):
            got = _emitted(bits, tie, twice, doublings, shift, late)(x, multiplier)
            wrong = (np.broadcast_to(got, exact.shape) != exact) & ((multiplier >= x) | (not tie))
            if wrong.any():
                row, column = np.argwhere(wrong)[0]
                raise NotProved(
                    f"{bits} bits, shift {shift}, rounding {'twice' if twice else 'once'}: x = {x[row, 0]}, m = "
                    f"{multiplier[0, column]} gives {np.broadcast_to(got, exact.shape)[row, column]}, "
                    f"not {exact[row, column]}"
                )
    return exact.size


def _emitted(bits: int, tie: bool, twice: bool, doublings: int, shift: int, late: bool) -> Callable[..., np.ndarray]:
    """What the transformation emits for words of ``bits``, as a function of x and the multiplier.

    ``late``: the shift is a value, as where channels differ, in place of a constant.
    """

    def run(x: np.ndarray, multiplier: np.ndarray) -> np.ndarray:
        with ir.Context(), ir.Location.unknown():
            kind = f"i{bits}"
            arguments = ", ".join(f"%{name}: {kind}" for name in ("x", "m", "s"))
            module = ir.Module.parse(f"func.func @emitted({arguments}) {{ return }}")
            (function,) = operations(module, "func.func")
            block = function.regions[0].blocks[0]
            factor, multiplied, value = block.arguments
            with ir.InsertionPoint.at_block_begin(block):
                result = narrow(factor, multiplied, tie, twice, doublings, value if late else shift)
            rest = np.asarray(shift - bits - 1 + doublings, np.int64)
            return evaluate(result, Numbers(), {factor: x, multiplied: multiplier, value: rest})

    return run


# The command.

KINDS: dict[str, Callable[[], list[Case]]] = {
    "one multiplier and shift": one_for_all,
    "x not negative": functools.partial(one_for_all, positive=True),
    "multipliers of channels, one shift": one_shift_of_channels,
    "multipliers and shifts of channels": shifts_of_channels,
    "powers of two": powers_of_two,
}
WIDTHS = (4, 5, 6, 7, 8, 9, 10)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prove everything and print what was proved; the exit status is 1 when something is not."""
    parser = argparse.ArgumentParser(prog="./bench trial proof", description=(__doc__ or "").splitlines()[0])
    parser.parse_args(arguments)
    try:
        for name, cases in KINDS.items():
            started = time.monotonic()
            count = prove(cases())
            _say(f"proved: {name}: {count} identities in {time.monotonic() - started:.1f} s")
        started = time.monotonic()
        count = prove_mixed(mixed_channels())
        _say(f"proved: doublings and roundings of channels: {count} identities in {time.monotonic() - started:.1f} s")
        started = time.monotonic()
        _say(f"proved: no result falls: {prove_monotone()} shifts in {time.monotonic() - started:.1f} s")
        for bits in WIDTHS:
            started = time.monotonic()
            pairs = sum(count for _, _, count in try_all(bits))
            _say(f"exhaustive: words of {bits} bits: {pairs:,} pairs in {time.monotonic() - started:.1f} s")
    except BenchError as error:
        sys.stderr.write(f"optimizer proof: {error}\n")
        return 1
    return 0


_say: Callable[[str], object] = functools.partial(print, flush=True)
