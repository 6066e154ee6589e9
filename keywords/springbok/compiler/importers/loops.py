# SPDX-License-Identifier: Apache-2.0
"""Writes out loops of StableHLO that run a known number of times, as those of recurrent layers do.

IREE 3.13 crashes on the loops that TensorFlow makes of recurrent layers. In a Keras file such a layer is unrolled
before it is traced; a SavedModel holds the loop itself. How often it runs follows from counters: integers that begin
with constants and are counted up by constants.

Example::

    text = written_out(text)                # StableHLO as it was, if it has no such loop
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping

from iree.compiler import ir, passmanager

from springbok.compiler.mlir import operations, owner

#: A loop that would become more operations than this stays one.
_MOST_OPERATIONS = 20_000
_FUNCTIONS_INSIDE = "builtin.module(inline,symbol-dce,canonicalize,cse)"

_FUNCTIONS: dict[str, Callable[..., int]] = {
    "stablehlo.add": operator.add,
    "stablehlo.subtract": operator.sub,
    "stablehlo.and": operator.and_,
    "stablehlo.or": operator.or_,
    "stablehlo.maximum": max,
    "stablehlo.minimum": min,
    "stablehlo.reshape": int,
}
_COMPARED = {name: getattr(operator, name.lower()) for name in ("LT", "LE", "GT", "GE", "EQ", "NE")}

Known = Mapping[ir.Value, int | None]


def written_out(text: str) -> str:
    """The StableHLO ``text`` without the loops whose number of turns is known."""
    if "stablehlo.while" not in text:
        return text
    with ir.Context():
        module = ir.Module.parse(text)
        passmanager.PassManager.parse(_FUNCTIONS_INSIDE).run(module.operation)
        changed = False
        while any(map(_write_out, operations(module, "stablehlo.while"))):  # a loop may hold others
            changed = True
        if not changed:
            return text
        passmanager.PassManager.parse("builtin.module(canonicalize,cse)").run(module.operation)
        return module.operation.get_asm(enable_debug_info=True)


def _write_out(loop: ir.Operation) -> bool:
    """Puts the turns of a loop in its place, and tells whether it could."""
    condition, body = (region.blocks[0] for region in loop.regions)
    turns = _turns(condition, body, [_integer(value, {}) for value in loop.operands])
    if turns is None or turns * len(list(body.operations)) > _MOST_OPERATIONS:
        return False
    values = list(loop.operands)
    for _ in range(turns):
        known = dict(zip(body.arguments, values, strict=True))
        with ir.InsertionPoint(loop):
            for each in list(body.operations)[:-1]:
                made = each.operation.clone().operation
                _take(made, known)
                known.update(zip(each.operation.results, made.results, strict=True))
        values = [known.get(value, value) for value in _given(body)]
    for result, value in zip(loop.results, values, strict=True):
        result.replace_all_uses_with(value)
    loop.erase()
    return True


def _take(operation: ir.Operation, known: Mapping[ir.Value, ir.Value]) -> None:
    """Lets an operation, and all inside it, take the values ``known`` in place of others."""

    def visit(each: ir.Operation) -> ir.WalkResult:
        for number, operand in enumerate(each.operands):
            if operand in known:
                each.operands[number] = known[operand]
        return ir.WalkResult.ADVANCE

    operation.walk(visit)


def _turns(condition: ir.Block, body: ir.Block, state: list[int | None]) -> int | None:
    """How often a loop runs that begins with these integers; None if that depends on anything else."""
    turns = 0
    while turns <= _MOST_OPERATIONS:
        goes_on = _integer(_given(condition)[0], dict(zip(condition.arguments, state, strict=True)))
        if goes_on is None:
            return None
        if not goes_on:
            return turns
        known = dict(zip(body.arguments, state, strict=True))
        state = [_integer(value, known) for value in _given(body)]
        turns += 1
    return None


def _given(block: ir.Block) -> list[ir.Value]:
    return list(list(block.operations)[-1].operation.operands)


def _integer(value: ir.Value, known: Known) -> int | None:
    """The value of a scalar integer or boolean; None where it is none, or is not known."""
    if value in known:
        return known[value]
    maker = owner(value)
    if maker is None or value.type.rank or not isinstance(value.type.element_type, ir.IntegerType):
        return None
    if maker.name == "stablehlo.constant":
        return int(maker.attributes["value"].get_splat_value().value)
    operands = [_integer(each, known) for each in maker.operands]
    compute = _function(maker)
    if compute is None or None in operands:
        return None
    result = int(compute(*operands))
    return result if result.bit_length() < max(value.type.element_type.width, 2) else None  # it wraps around


def _function(operation: ir.Operation) -> Callable[..., int] | None:
    if operation.name != "stablehlo.compare":
        return _FUNCTIONS.get(operation.name)
    direction = str(operation.attributes["comparison_direction"]).rpartition(" ")[2]
    return _COMPARED[direction.rstrip(">")]
