# SPDX-License-Identifier: Apache-2.0
"""Requantisation in 32 bits.

Reason: TOSA defines its rescale with a 64-bit product. Zve32 has no 64-bit lanes, so that becomes scalar code, element
by element: most of the time of an int8 model, and most of its code.

What is computed, with p = x * m, s the shift, and r = 2^(s-1) for rounding to nearest::

    y = (p + r) >> s                      rounding once
    y = (p + r + (x < 0 ? -2^30 : 2^30)) >> s    rounding twice (TOSA, where s > 31)

Precondition: m is a constant with 0 <= m < 2^31, s is constant, 2 <= s <= 60, and -2^(31-k) <= x < 2^(31-k), where
k = 33 - s and at least 2 if rounding is twice. Then x * 2^k does not wrap, the upper half of its product with m,
which one instruction (vmulh) gives, is h = p >> (32 - k) exactly, and the terms that are added to p are whole
multiples of 2^(32 - k), so they may be added to h instead::

    y = (h + 2^(s-1-32+k) + (x < 0 ? -2^(k-2) : 2^(k-2))) >> (s-32+k)

Where the bounds of the whole layer's x do not allow that, each channel is judged by its own, see `channel_scales`; if
channels then still differ in k or in their rounding, these are constants of the channel too.

The product itself stays 64 bits wide in MLIR (`arith.mulsi_extended`); LLVM makes a vmulh of it, but only while both
factors are widened in one place, so a multiplier that could be widened before the loop is tied to x by a maximum of
both, which is m itself since m is greater than any x; or, where some m is not, by a maximum with the sign of x.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from iree.compiler import ir

from springbok.compiler.mlir import (
    Generic,
    arith,
    constant,
    dimensions,
    is_generic,
    is_identity,
    maps_attribute,
    number,
    owner,
    tensor,
    users,
    uses,
    where,
)
from springbok.compiler.optimizer.channel_scales import SHIFTS, Form, Scale, form_of
from springbok.compiler.optimizer.ranges import Ranges
from springbok.compiler.optimizer.transformation import Change, Visits

_SIGNED_GREATER, _SIGNED_GREATER_EQUAL = 4, 5
_SECOND_ROUNDING = 1 << 30


class NarrowRequantisation:
    """See the module."""

    name = "requantisation"
    vectors_only = True
    proved_on = ("3.13.0",)

    def apply(self, module: ir.Module, visits: Visits | None = None) -> list[Change]:
        """See :class:`Transformation`."""
        ranges, changes, visits = Ranges(), [], visits or Visits()
        for operation in visits.of([each.operation for each in Generic.all(module)]):
            place = where(operation)
            for end in [each for each in Generic(operation).body if each.name == "arith.trunci"]:
                if str(end.operands[0].type) == "i64":
                    reason, detail = _narrow(Generic(end.parent.operation), end, ranges)
                    changes.append(Change(self.name, place, reason is None, reason or detail))
        return changes


def _narrow(generic: Generic, end: ir.Operation, ranges: Ranges) -> tuple[str | None, str]:
    """Narrows what ends in ``end``: the reason if that can't be, and what was done."""
    rescale = read_rescale(generic, end)
    if rescale is None:
        return "it is not a rescale by constants", ""
    elements = {each: ranges.of(value) for each, value in zip(generic.block.arguments, generic.operands, strict=True)}
    bounds = ranges.in_body(rescale.factor, elements)
    reason = _obstacle(rescale, *bounds)
    if reason is not None:
        return _narrow_channels(rescale, ranges, reason)
    result = _rewrite(rescale)
    ranges.state(result, rescale.results_within(*bounds))
    _erase_unused(generic)
    shifts = sorted(set(rescale.shifts.tolist()))
    return None, f"shift {shifts[0]}" if len(shifts) == 1 else f"shifts {shifts[0]} to {shifts[-1]}"


def _narrow_channels(rescale: _Rescale, ranges: Ranges, reason: str) -> tuple[str | None, str]:
    """The same for channels one by one, where the layer as a whole can't be, for a ``reason``."""
    generic, loop = rescale.generic, rescale.channel_loop
    if loop is None or uses(generic.block.arguments[-1]) or rescale.multipliers.min() < 0:
        return reason, ""
    bounds = [ranges.in_body(rescale.factor, each) for each in ranges.elements_of_channels(generic, loop)]
    if rescale.unsigned and min(low for low, _ in bounds) < 0:
        return reason, ""
    limits = _limits_behind(rescale.end)
    constants = np.broadcast_arrays(rescale.multipliers, rescale.shifts, rescale.rounds_twice, np.zeros(len(bounds)))
    scales = [
        Scale(int(multiplier), int(shift), bool(twice), *within, limits)
        for multiplier, shift, twice, within in zip(*constants[:3], bounds, strict=True)
    ]
    form = form_of(scales)
    if isinstance(form, int):
        low, high = bounds[form]
        return f"{reason}; and channel {form} by itself can't be either, with an input of {low} to {high}", ""
    results = [each.before_limits(x) for each in scales for x in (each.low, each.high)]
    ranges.state(rewrite_channels(rescale, form, loop, ranges), (min(results), max(results)))
    return None, form.describe()


@dataclass
class _Rescale:
    """A rescale of the body: ``end`` gives its result. Arrays have one element, or one a channel.

    ``multiplier_argument`` and ``shift_argument`` are the body's arguments where the constants come from, None if
    they are the body's own. ``twice``: rounding is twice where the shift is more than 31, or None of them.
    """

    generic: Generic
    end: ir.Operation
    factor: ir.Value
    multipliers: np.ndarray
    multiplier: ir.Value
    shifts: np.ndarray
    shift_argument: ir.Value | None
    twice: bool
    unsigned: bool

    @property
    def channel_loop(self) -> int | None:
        """The loop of the channel: the one that the constants follow, or the innermost; None if there is none."""
        loops = set()
        for argument in (self.multiplier, self.shift_argument):
            place = self.generic.argument_of(argument) if argument is not None else None
            if place is not None:
                loops.add(tuple(dimensions(self.generic.maps[place]) or ()))
        found = loops or {(len(self.generic.reductions) - 1,)}
        (loop, *others), *more = found.pop() or (-1,), *found
        known = not others and not more and loop >= 0 and not any(self.generic.reductions)
        return loop if known and self.generic.extents else None

    @property
    def left_shift(self) -> int | None:
        """What x is shifted to the left if m is a power of two that leaves nothing to round; None if not."""
        multiplier, shift = int(self.multipliers[0]), int(self.shifts[0])
        if self.multipliers.size > 1 or self.shifts.size > 1 or self.twice or multiplier < 1 << shift:
            return None
        power = multiplier.bit_length() - 1
        return power - shift if multiplier == 1 << power else None

    def results_within(self, low: int, high: int) -> tuple[int, int]:
        """Bounds of the result for an x from ``low`` to ``high``."""
        products = [x * int(m) for x in (low, high) for m in (self.multipliers.min(), self.multipliers.max())]
        second = _SECOND_ROUNDING if self.twice else 0
        results = [
            (product + sign * second + (1 << int(s) - 1)) >> int(s)
            for product in (min(products), max(products))
            for s in (self.shifts.min(), self.shifts.max())
            for sign in (-1, 1)
        ]
        return min(results), max(results)

    @property
    def doublings(self) -> int:
        """k: how often x is doubled before it is multiplied."""
        return max(33 - int(self.shifts.min()), 2 if self.rounds_twice.any() else 0)

    @property
    def rounds_twice(self) -> np.ndarray:
        """For each shift whether rounding is twice."""
        return (self.shifts > 31) & self.twice


def _obstacle(rescale: _Rescale, low: int, high: int) -> str | None:
    """Why the precondition does not hold for an x from ``low`` to ``high``; None if it does."""
    if rescale.unsigned and low < 0:
        return "its input is widened as if unsigned, but may be negative"
    if rescale.left_shift is not None:
        return None
    shifts, multipliers = rescale.shifts, rescale.multipliers
    if shifts.min() < SHIFTS.start or shifts.max() >= SHIFTS.stop:
        return f"a shift of {shifts.min()} or {shifts.max()} is beyond {SHIFTS.start} to {SHIFTS.stop - 1}"
    if multipliers.min() < 0:
        return "a multiplier is negative"
    if rescale.rounds_twice.any() and not rescale.rounds_twice.all():
        return "some of its channels round once and some twice"
    limit = 1 << (31 - rescale.doublings)
    if low < -limit or high >= limit:
        return f"its input may be {low} to {high}, but must be {-limit} to {limit - 1}"
    if multipliers.size > 1 and multipliers.min() < max(high, 0):
        return "a multiplier is less than its input may be"
    return None


# Reading. A rescale ends in `trunci (shrsi sum, shift)`.


def read_rescale(generic: Generic, end: ir.Operation) -> _Rescale | None:
    """The rescale by constants that ends in ``end``, if it is one."""
    shifted = owner(end.operands[0], "arith.shrsi", "arith.shrui")
    if shifted is None or str(end.results[0].type) != "i32":
        return None
    total, shift = shifted.operands
    shifts, shift_argument = _constants(generic, shift, "arith.extui")
    choice = owner(total, "arith.select")
    with_second, without = (choice.operands[1], choice.operands[2]) if choice else (total, None)
    terms = _terms(with_second)
    product = next((each for each in map(lambda term: owner(term, "arith.muli"), terms) if each), None)
    if shifts is None or product is None:
        return None
    if shifted.name == "arith.shrui" and shifts.max() > 32:
        return None  # zeros would come into the lower half
    factor, multiplier, multipliers, unsigned = _factors(generic, product)
    if multipliers is None:
        return None
    rest = [each for each in terms if each != product.result]
    second = [each for each in rest if _is_second_rounding(each, factor)]
    rounding = [each for each in rest if each not in second]
    if len(second) > 1 or len(rounding) != 1 or not _is_rounding(rounding[0], shift, shifts):
        return None
    if choice is not None:
        same = sorted(map(hash, _terms(without))) == sorted(map(hash, [product.result, *rounding]))
        if not (second and same and _is_more_than_31(choice.operands[0], shift)):
            return None
    elif second and shifts.min() <= 31:
        return None
    return _Rescale(generic, end, factor, multipliers, multiplier, shifts, shift_argument, bool(second), unsigned)


def _constants(generic: Generic, value: ir.Value, extension: str) -> tuple[np.ndarray | None, ir.Value | None]:
    """The constants that ``value`` takes, and the body's argument that they come from if it is one."""
    known = constant(value)
    if isinstance(known, int):
        return np.array([known]), None
    extended = owner(value, extension)
    argument = extended.operands[0] if extended else None
    place = None if argument is None else generic.argument_of(argument)
    known = None if place is None else constant(generic.operands[place])
    if known is None or not hasattr(known, "dtype"):
        return None, None
    return known.reshape(-1).astype(np.int64), argument


def _factors(generic: Generic, product: ir.Operation) -> tuple:
    """x, the multiplier, its constants, and whether x is widened as if unsigned, of their product in 64 bits."""
    for first, second in (product.operands, reversed(list(product.operands))):
        extended = owner(first, "arith.extsi", "arith.extui")
        if extended is None or str(extended.operands[0].type) != "i32":
            continue
        multipliers, argument = _constants(generic, second, "arith.extsi")
        if multipliers is None or multipliers.max() >= 1 << 31:
            continue
        return extended.operands[0], argument, multipliers, extended.name == "arith.extui"
    return None, None, None, False


def _terms(value: ir.Value) -> list[ir.Value]:
    """What is added up."""
    addition = owner(value, "arith.addi")
    return [value] if addition is None else [term for each in addition.operands for term in _terms(each)]


def _is_rounding(value: ir.Value, shift: ir.Value, shifts: np.ndarray) -> bool:
    """Whether ``value`` is 2^(shift - 1)."""
    known = constant(value)
    if isinstance(known, int):
        return shifts.size == 1 and known == 1 << (int(shifts[0]) - 1)
    halved = owner(value, "arith.shrui")
    power = owner(halved.operands[0], "arith.shli") if halved and constant(halved.operands[1]) == 1 else None
    return power is not None and constant(power.operands[0]) == 1 and power.operands[1] == shift


def _is_second_rounding(value: ir.Value, factor: ir.Value) -> bool:
    """Whether ``value`` is 2^30 with the sign of ``factor``."""
    choice = owner(value, "arith.select")
    test = owner(choice.operands[0], "arith.cmpi") if choice else None
    if test is None or test.attributes["predicate"].value != _SIGNED_GREATER_EQUAL:
        return False
    values = constant(choice.operands[1]), constant(choice.operands[2])
    return (
        values == (_SECOND_ROUNDING, -_SECOND_ROUNDING)
        and test.operands[0] == factor
        and constant(test.operands[1]) == 0
    )


def _is_more_than_31(condition: ir.Value, shift: ir.Value) -> bool:
    test, extended = owner(condition, "arith.cmpi"), owner(shift, "arith.extui")
    if test is None or extended is None or test.attributes["predicate"].value != _SIGNED_GREATER:
        return False
    compared = owner(test.operands[0], "arith.extui")
    return compared is not None and compared.operands[0] == extended.operands[0] and constant(test.operands[1]) == 31


def _limits_behind(end: ir.Operation) -> tuple[int, int]:
    """What the result is cut at next, before anything else is done with it but an addition of a constant."""
    value, added, low, high = end.results[0], 0, -(1 << 31), (1 << 31) - 1
    while True:
        following = [user for user, _ in users(value)]
        name = following[0].name if len(following) == 1 else ""
        known = constant(following[0].operands[1]) if name in ("arith.addi", "arith.maxsi", "arith.minsi") else None
        if not isinstance(known, int):
            return low, high
        if name == "arith.addi" and (low, high) == (-(1 << 31), (1 << 31) - 1) and abs(known) < 1 << 16:
            added += known
        elif name == "arith.maxsi" and high == (1 << 31) - 1:
            low = max(low, known - added)
        elif name == "arith.minsi":
            high = min(high, known - added)
        else:
            return low, high
        value = following[0].results[0]


# Writing.


def narrow(
    factor: ir.Value,
    multiplier: ir.Value,
    tie: bool,
    twice: bool | ir.Value,
    doublings: int | ir.Value,
    shift: int | ir.Value,
    *,
    by_sign: bool = False,
) -> ir.Value:
    """The narrow form, at the insertion point; all values are i32.

    ``shift`` is s, or, where channels differ, a value that is s - 33 + ``doublings``. ``tie`` ties the multiplier to
    the factor, or to its sign. Where channels differ in ``doublings``, ``twice`` is a value: 2^(k-2), or 0 where
    rounding is once. Of another integer type it is the same for words of that width, which `proof` tries exhaustively.
    """
    word, bits = factor.type, factor.type.width
    tied = multiplier
    if tie:
        tied = arith("maxsi", multiplier, arith("shrsi", factor, number(word, bits - 1)) if by_sign else factor)
    steps = number(word, doublings) if isinstance(doublings, int) else doublings
    doubled = factor if doublings == 0 else arith("shli", factor, steps)
    upper = ir.Operation.create("arith.mulsi_extended", results=[word, word], operands=[doubled, tied]).results[1]
    if not isinstance(twice, bool) or twice:
        sign = arith("ori", arith("shrsi", factor, number(word, bits - 1)), number(word, 1))
        if not isinstance(twice, bool):
            sign = arith("muli", sign, twice)
        elif doublings > 2:
            sign = arith("shli", sign, number(word, doublings - 2))
        upper = arith("addi", upper, sign)
    if isinstance(shift, int):
        rest = shift - bits + doublings
        return arith("shrsi", arith("addi", upper, number(word, 1 << (rest - 1))), number(word, rest))
    halves = arith("addi", arith("shrsi", upper, shift), number(word, 1))
    return arith("shrsi", halves, number(word, 1))


def _rewrite(rescale: _Rescale) -> ir.Value:
    """Puts the narrow form in place of the rescale; returns its result."""
    generic, end, factor = rescale.generic, rescale.end, rescale.factor
    uniform = np.unique(rescale.shifts).size == 1
    if not uniform:
        place = generic.argument_of(rescale.shift_argument)
        value = generic.operands[place]
        with ir.InsertionPoint(generic.operation), generic.operation.location:
            rest = constant(value).astype(np.int64) - 33 + rescale.doublings
            generic.operation.operands[place] = tensor(rest.astype(np.int8), value.type.element_type)
    with ir.InsertionPoint(end), end.location:
        if rescale.left_shift is not None:
            result = arith("shli", factor, number(factor.type, rescale.left_shift))
        else:
            multiplier = rescale.multiplier or number(factor.type, int(rescale.multipliers[0]))
            shift = int(rescale.shifts[0]) if uniform else _widened(rescale.shift_argument, factor.type)
            tie, twice = rescale.multipliers.size > 1, bool(rescale.rounds_twice.all())
            result = narrow(factor, multiplier, tie, twice, rescale.doublings, shift)
    end.results[0].replace_all_uses_with(result)
    return result


def rewrite_channels(rescale: _Rescale, form: Form, loop: int, ranges: Ranges) -> ir.Value:
    """Puts the narrow form, with constants of each channel, in place of the rescale; returns its result."""
    end, factor, scales = rescale.end, rescale.factor, form.scales
    shifts = {each.shift for each in scales}
    shared = form.is_shared
    arrays = {"multipliers": np.array([each.multiplier for each in scales], np.int32)}
    if not shared or len(shifts) > 1:
        rests = [each.shift - 33 + doublings for each, doublings in zip(scales, form.doublings, strict=True)]
        arrays["rests"] = np.array(rests, np.int8)
    if not shared:
        arrays["doublings"] = np.array(form.doublings, np.int8)
        seconds = [
            twice << doublings - 2 if twice else 0 for twice, doublings in zip(form.twice, form.doublings, strict=True)
        ]
        arrays["seconds"] = np.array(seconds, np.int32)
    if any(form.offsets) and not _add_before(rescale, loop, form.offsets, ranges):
        arrays["offsets"] = np.array(form.offsets, np.int64).astype(np.int32)
    elements = dict(zip(arrays, _new_inputs(rescale.generic, list(arrays.values()), loop, ranges), strict=True))
    with ir.InsertionPoint(end), end.location:
        values = {
            name: element if element.type == factor.type else _widened(element, factor.type)
            for name, element in elements.items()
        }
        moved = arith("addi", factor, values["offsets"]) if "offsets" in values else factor
        result = narrow(
            moved,
            values["multipliers"],
            True,
            form.twice[0] if shared else values["seconds"],
            form.doublings[0] if shared else values["doublings"],
            values["rests"] if "rests" in values else shifts.pop(),
            by_sign=not all(each.ties for each in scales),
        )
    end.results[0].replace_all_uses_with(result)
    _erase_unused(Generic(end.parent.operation))
    return result


def _add_before(rescale: _Rescale, loop: int, offsets: Sequence[int], ranges: Ranges) -> bool:
    """Adds ``offsets`` to the constants that are added to x just before, if they are x's alone; tells whether."""
    place = rescale.generic.argument_of(rescale.factor)
    value = rescale.generic.operands[place] if place is not None else None
    before = owner(value) if value is not None else None
    if before is None or not is_generic(before) or uses(value) > 1 or not is_identity(rescale.generic.maps[place]):
        return False
    addition = Generic(before)
    if len(addition.body) != 1 or addition.body[0].name != "arith.addi" or not is_identity(addition.maps[-1]):
        return False
    for number_, (known, map_) in enumerate(zip(map(constant, addition.inputs), addition.maps, strict=False)):
        if isinstance(known, np.ndarray) and dimensions(map_) == [loop] and known.dtype == np.int32:
            with ir.InsertionPoint(before), before.location:
                moved = (known.astype(np.int64) + np.array(offsets, np.int64)).astype(np.int32)
                before.operands[number_] = tensor(moved, addition.inputs[number_].type.element_type)
            ranges.forget(value)
            return True
    return False


def _new_inputs(generic: Generic, arrays: Sequence[np.ndarray], loop: int, ranges: Ranges) -> list[ir.Value]:
    """Gives the operation an input for each of ``arrays``, which follow ``loop``; returns the body's arguments."""
    operation, maps = generic.operation, generic.maps
    along = ir.AffineMap.get(len(generic.reductions), 0, [ir.AffineDimExpr.get(loop)])
    with ir.InsertionPoint(operation), operation.location as location:
        kinds = [ir.IntegerType.get_signless(array.dtype.itemsize * 8) for array in arrays]
        inputs = [*generic.inputs, *(tensor(array, kind) for array, kind in zip(arrays, kinds, strict=True))]
        attributes = {name: operation.attributes[name] for name in operation.attributes} | {
            "indexing_maps": maps_attribute([*maps[:-1], *[along] * len(arrays), maps[-1]]),
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get([len(inputs), 1]),
        }
        results, operands = [each.type for each in operation.results], [*inputs, generic.operands[-1]]
        new = ir.Operation.create(
            "linalg.generic", results=results, operands=operands, attributes=attributes, regions=1
        )
        block, count = generic.block, len(generic.inputs)
        out = block.arguments[-1].type  # nobody uses the last argument: it becomes the first of the new ones
        block.arguments[-1].set_type(kinds[0])
        for kind in (*kinds[1:], out):
            block.add_argument(kind, location)
        block.append_to(new.regions[0])
    ranges.forget(operation.results[0])
    operation.results[0].replace_all_uses_with(new.results[0])
    operation.erase()
    return list(new.regions[0].blocks[0].arguments)[count : count + len(arrays)]


def _widened(value: ir.Value, kind: ir.Type) -> ir.Value:
    return ir.Operation.create("arith.extui", results=[kind], operands=[value]).result


def _erase_unused(generic: Generic) -> None:
    for operation in reversed(generic.body):
        if not any(next(iter(result.uses), None) is not None for result in operation.results):
            operation.erase()
