# SPDX-License-Identifier: Apache-2.0
"""Puts right reductions over a term that no element of a tensor goes into, as the sum of four times 127.

IREE 3.13's vectorizer gives every input of a kernel the shape of the whole iteration, but a constant has none: its
sum with the result is taken for an element-wise one, and done once in place of once an element. So it is for each
associative operation, and right by chance where once and often are the same (maximum, and). A tensor of one value
becomes such a constant when kernels are formed.

Such a reduction becomes the element-wise operation that it is taken for, with the whole of its terms at once: right for
scalar code too. Kernels of the model are seen at the end of the phase `flow`. What is computed while compiling is seen
where `iree-compile` tells it (`--iree-consteval-jit-debug`), and put right before it is computed.

Example::

    if occur(flow_phase):
        put_right(module, "the model")      # the phase `flow` as a module
"""

from __future__ import annotations

import re
from math import prod
from typing import TYPE_CHECKING

from springbok.support.errors import CompileError

if TYPE_CHECKING:
    from iree.compiler import ir

    from springbok.compiler.mlir import Generic

#: Counts up when other modules are made, so that no older cache entry is taken.
VERSION = 1

# What is idempotent needs no care, and nothing else is vectorized as a reduction.
_ASSOCIATIVE = ("arith.addi", "arith.muli", "arith.xori", "arith.addf", "arith.mulf")

_GENERIC = re.compile(
    r"linalg\.generic \{[^\n]*\"reduction\"[^\n]*?\} (?:ins\((?P<inputs>[^):]*)[^)]*\) )?outs[^\n]*\n"
    r"\s*\^bb0\((?P<arguments>[^\n]*)\):\n(?P<body>.*?)linalg\.yield",
    re.DOTALL,
)
_NAME = re.compile(r"%\w+")
_DEFINITION = re.compile(r"(%\w+) = (\S+) ?([^\n]*?)(?: : | loc\(|$)", re.MULTILINE)


def occur(text: str) -> bool:
    """Whether a phase's text holds such reductions."""
    return any(_has_constant_term(text[: match.start()], match) for match in _GENERIC.finditer(text))


def put_right(module: ir.Module, name: str) -> None:
    """Makes each such reduction an element-wise operation.

    Raises :class:`CompileError` where that can't be done; ``name`` is what it calls the model.
    """
    from springbok.compiler.mlir import Generic, operations

    for operation in operations(module, "linalg.generic"):
        generic = Generic(operation)
        if any(generic.reductions) and (steps := _constant_steps(generic)):
            step, term = steps[0]
            if len(operation.results) > 1 or generic.extents is None or generic.yielded.owner != step:
                if _takes_elements(term, generic):
                    continue  # no constant yet, and perhaps none later
                raise CompileError(
                    f"{name} reduces a constant together with other values, or over an open shape, which the compiler "
                    "does wrongly: give the model fixed shapes, or write the product in place of the sum."
                )
            _put_right(generic, step, term)


def _has_constant_term(before: str, generic: re.Match) -> bool:
    inputs = _NAME.findall(generic["inputs"] or "")
    arguments = _NAME.findall(generic["arguments"])
    outputs = set(arguments[len(inputs) :])
    same = [argument for argument, name in zip(arguments, inputs, strict=False) if _is_one_value(before, name)]
    varying = set(arguments).difference(same)
    for result, operation, operands in _DEFINITION.findall(generic["body"]):
        names = set(_NAME.findall(operands))
        if operation in _ASSOCIATIVE and names & outputs and len(names) > 1 and not (names - outputs) & varying:
            return True
        if names & varying or operation == "linalg.index":
            varying.add(result)
    return False


def _is_one_value(before: str, name: str) -> bool:
    """Whether ``name`` is a tensor of one value, by its last definition in the text ``before``."""
    definition = before[before.rfind(f"{name} = ") :].partition("\n")[0]
    return bool(re.match(r"%\w+ = (linalg\.fill|arith\.constant dense<[^\[\"])", definition))


def _constant_steps(generic: Generic) -> list[tuple[ir.Operation, ir.Value]]:
    """The operations of a body that add a constant term to a result's element, with that term."""
    from springbok.compiler.mlir import users

    found = []
    for output in list(generic.block.arguments)[-len(generic.operation.results) :]:
        for step, number in users(output):
            term = step.operands[1 - number] if step.name in _ASSOCIATIVE else output
            if term != output and not _varies(term, generic):
                found.append((step, term))
    return found


def _put_right(old: Generic, step: ir.Operation, term: ir.Value) -> None:
    from iree.compiler import ir

    from springbok.compiler.mlir import arith, generic

    times = prod(extent for extent, reduces in zip(old.extents, old.reductions, strict=True) if reduces)
    initial = old.operands[-1]

    def body(element: ir.Value) -> ir.Value:
        numbers = range(len(old.inputs))
        known = {old.block.arguments[number]: value for number in numbers if (value := _one_value(old, number))}
        for each in old.body:
            if all(not _varies(value, old) for value in each.operands):
                clone = each.clone().operation
                for number, operand in enumerate(each.operands):
                    clone.operands[number] = known.get(operand, operand)
                known.update(zip(each.results, clone.results, strict=True))
        return arith(step.name.removeprefix("arith."), element, _reduced(step.name, known.get(term, term), times))

    with ir.InsertionPoint(old.operation), old.operation.location:
        kind = old.operation.results[0].type
        rank = len(kind.shape)
        new = generic(kind, [], initial, [ir.AffineMap.get_identity(rank)], [False] * rank, body)
    old.operation.results[0].replace_all_uses_with(new.results[0])
    old.operation.erase()


def _varies(value: ir.Value, generic: Generic) -> bool:
    """Whether an input's element, unless all are the same, or the place in the iteration goes into ``value``."""
    number = generic.argument_of(value)
    if number is not None:
        return number >= len(generic.inputs) or not _is_filled(generic.inputs[number])
    operation = _inside(value, generic)
    if operation is None:
        return False
    return operation.name == "linalg.index" or any(_varies(each, generic) for each in operation.operands)


def _takes_elements(value: ir.Value, generic: Generic) -> bool:
    """Whether an input's element goes into ``value``."""
    operation = _inside(value, generic)
    operands = operation.operands if operation is not None else ()
    return generic.argument_of(value) is not None or any(_takes_elements(each, generic) for each in operands)


def _inside(value: ir.Value, generic: Generic) -> ir.Operation | None:
    """The operation of the body that gives ``value``."""
    from springbok.compiler.mlir import owner

    operation = owner(value)
    return operation if operation is not None and operation.block == generic.block else None


def _is_filled(tensor: ir.Value) -> bool:
    """Whether all elements are one value."""
    from iree.compiler import ir

    from springbok.compiler.mlir import owner

    if owner(tensor, "linalg.fill") is not None:
        return True
    constant = owner(tensor, "arith.constant")
    attribute = constant.attributes["value"] if constant is not None else None
    return isinstance(attribute, ir.DenseElementsAttr) and attribute.is_splat


def _one_value(generic: Generic, number: int) -> ir.Value | None:
    """The value of all elements of an input, at the current insertion point."""
    from iree.compiler import ir

    from springbok.compiler.mlir import owner

    tensor = generic.inputs[number]
    if not _is_filled(tensor):
        return None
    if (fill := owner(tensor, "linalg.fill")) is not None:
        return fill.operands[0]
    value = owner(tensor).attributes["value"].get_splat_value()
    return ir.Operation.create("arith.constant", [tensor.type.element_type], attributes={"value": value}).result


def _reduced(name: str, term: ir.Value, count: int) -> ir.Value:
    """The reduction of ``count`` times the term by the operation ``name``."""
    from springbok.compiler.mlir import arith

    if name == "arith.xori":
        return arith("muli", term, _number(term.type, count % 2))
    if name in ("arith.addi", "arith.addf"):
        return arith("mul" + name[-1], term, _number(term.type, count))
    result, power = None, term
    while count:
        if count & 1:
            result = power if result is None else arith("mul" + name[-1], result, power)
        count >>= 1
        power = arith("mul" + name[-1], power, power) if count else power
    return _number(term.type, 1) if result is None else result


def _number(kind: ir.Type, value: float) -> ir.Value:
    from iree.compiler import ir

    attribute = (
        ir.IntegerAttr.get(kind, int(value)) if isinstance(kind, ir.IntegerType) else ir.FloatAttr.get(kind, value)
    )
    return ir.Operation.create("arith.constant", results=[kind], attributes={"value": attribute}).result
