# SPDX-License-Identifier: Apache-2.0
"""What the transformations share: reading and building MLIR with the compiler's own Python bindings."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from iree.compiler import ir

_Kind = TypeVar("_Kind", bound=ir.AffineExpr)

#: numpy's types of the element types that constants are rewritten in.
ELEMENT_TYPES = {"i8": np.int8, "i16": np.int16, "i32": np.int32, "i64": np.int64, "f32": np.float32}


def operations(module: ir.Module, name: str | None = None) -> list[ir.Operation]:
    """All operations of the module, outer ones first, or those called ``name``. Bodies of functions only."""
    found: list[ir.Operation] = []

    def visit(operation: ir.Operation) -> ir.WalkResult:
        if name is None or operation.name == name:
            found.append(operation)
        return ir.WalkResult.ADVANCE

    module.operation.walk(visit, ir.WalkOrder.PRE_ORDER)
    return found


def owner(value: ir.Value, *names: str) -> ir.Operation | None:
    """The operation that gives ``value``, if there is one and it is called one of ``names`` (if any are given)."""
    source = value.owner  # the value's own class does not tell: before IREE 3.11 operands are plain values
    if isinstance(source, ir.Block):
        return None
    operation = source.operation if isinstance(source, ir.OpView) else source
    return operation if not names or operation.name in names else None


def users(value: ir.Value) -> list[tuple[ir.Operation, int]]:
    """Who takes ``value``, and as which of its operands."""
    found = ((use.owner, use.operand_number) for use in value.uses)
    return [(user.operation if isinstance(user, ir.OpView) else user, number) for user, number in found]


def constant(value: ir.Value) -> np.ndarray | int | float | None:
    """The value if it is an `arith.constant`: an array, or a Python number; None for what is not known."""
    operation = owner(value, "arith.constant")
    if operation is None:
        return None
    attribute = operation.attributes["value"]
    if isinstance(attribute, (ir.IntegerAttr, ir.FloatAttr)):
        return attribute.value
    kind = value.type
    if not isinstance(kind, ir.RankedTensorType) or str(kind.element_type) not in ELEMENT_TYPES:
        return None
    dtype = ELEMENT_TYPES[str(kind.element_type)]
    if isinstance(attribute, ir.DenseElementsAttr):
        if attribute.is_splat:
            return np.full(kind.shape, attribute.get_splat_value().value, dtype)
        return np.array(attribute).astype(dtype, copy=False).reshape(kind.shape)
    return None


def number(kind: ir.Type, value: int) -> ir.Value:
    """A new integer constant at the current insertion point."""
    attribute = ir.IntegerAttr.get(kind, value)
    return ir.Operation.create("arith.constant", results=[kind], attributes={"value": attribute}).result


def tensor(array: np.ndarray, element_type: ir.Type) -> ir.Value:
    """A new constant tensor at the current insertion point."""
    kind = ir.RankedTensorType.get(array.shape, element_type)
    attribute = ir.DenseElementsAttr.get(np.ascontiguousarray(array), type=kind)
    return ir.Operation.create("arith.constant", results=[kind], attributes={"value": attribute}).result


def arith(name: str, *operands: ir.Value) -> ir.Value:
    """A new operation ``arith.name`` of two operands of one type, at the current insertion point."""
    return ir.Operation.create(f"arith.{name}", results=[operands[0].type], operands=list(operands)).result


def is_generic(operation: ir.Operation) -> bool:
    """Whether it is a `linalg.generic` with one result, as `Generic` reads it."""
    return operation.name == "linalg.generic" and len(operation.results) == 1


def maps_attribute(maps: Sequence[ir.AffineMap]) -> ir.ArrayAttr:
    """The attribute ``indexing_maps``."""
    return ir.ArrayAttr.get([ir.AffineMapAttr.get(each) for each in maps])


@dataclass(frozen=True)
class Generic:
    """A `linalg.generic` read once: its operands, maps and body."""

    operation: ir.Operation

    @staticmethod
    def all(module: ir.Module) -> Iterator[Generic]:
        """Those of the module that have tensors and one result, in order."""
        return (Generic(operation) for operation in operations(module, "linalg.generic") if is_generic(operation))

    @property
    def operands(self) -> list[ir.Value]:
        """Inputs, then the output's initial value."""
        return list(self.operation.operands)

    @property
    def inputs(self) -> list[ir.Value]:
        """The inputs alone."""
        return self.operands[:-1]

    @property
    def maps(self) -> list[ir.AffineMap]:
        """The indexing map of each operand."""
        return [attribute.value for attribute in self.operation.attributes["indexing_maps"]]

    @property
    def reductions(self) -> list[bool]:
        """Whether each loop is a reduction."""
        return ["reduction" in str(kind) for kind in self.operation.attributes["iterator_types"]]

    @property
    def block(self) -> ir.Block:
        """The body."""
        return self.operation.regions[0].blocks[0]

    @property
    def body(self) -> list[ir.Operation]:
        """The operations of the body, without its `linalg.yield`."""
        return [each.operation for each in self.block.operations][:-1]

    @property
    def yielded(self) -> ir.Value:
        """What the body gives."""
        return list(self.block.operations)[-1].operation.operands[0]

    def argument_of(self, value: ir.Value) -> int | None:
        """The number of the operand that ``value`` is an element of, if it is an argument of the body."""
        return ir.BlockArgument(value).arg_number if value.owner == self.block else None

    @property
    def extents(self) -> list[int] | None:
        """How often each loop runs; None if a shape is not known."""
        found: dict[int, int] = {}
        for value, map_ in zip(self.operands, self.maps, strict=True):
            if not isinstance(value.type, ir.RankedTensorType):
                continue
            for size, expression in zip(value.type.shape, map_.results, strict=True):
                if (loop := loop_of(expression)) is not None:
                    found[loop] = size
        loops = len(self.reductions)
        if set(found) != set(range(loops)) or any(size < 0 for size in found.values()):
            return None
        return [found[loop] for loop in range(loops)]


def dimensions(map_: ir.AffineMap) -> list[int] | None:
    """The loops that a map names one by one, such as [0, 2] for (d0, d1, d2) -> (d0, d2); None for other maps."""
    loops = [loop_of(each) for each in map_.results]
    return None if None in loops else loops


def is_identity(map_: ir.AffineMap) -> bool:
    """Whether the map names all loops in order."""
    return dimensions(map_) == list(range(map_.n_dims))


def loop_of(expression: ir.AffineExpr) -> int | None:
    """The number of the loop that ``expression`` is, if it is one alone."""
    loop = _as(ir.AffineDimExpr, expression)
    return None if loop is None else loop.position


#: Loops with factors, and a constant at -1.
Terms = dict[int, int]


def sum_of_loops(expression: ir.AffineExpr) -> Terms | None:
    """``expression`` as loops with factors, if it is such a sum."""
    if (loop := loop_of(expression)) is not None:
        return {loop: 1}
    if (fixed := _as(ir.AffineConstantExpr, expression)) is not None:
        return {-1: fixed.value}
    if (added := _as(ir.AffineAddExpr, expression)) is not None:
        both = [sum_of_loops(added.lhs), sum_of_loops(added.rhs)]
        if None in both or set(both[0]) & set(both[1]):
            return None
        return both[0] | both[1]
    if (product := _as(ir.AffineMulExpr, expression)) is not None:
        for factor, other in ((product.lhs, product.rhs), (product.rhs, product.lhs)):
            fixed, inner = _as(ir.AffineConstantExpr, factor), sum_of_loops(other)
            if fixed is not None and inner is not None:
                return {loop: times * fixed.value for loop, times in inner.items()}
    return None


def _as(kind: type[_Kind], expression: ir.AffineExpr) -> _Kind | None:
    """``expression`` of the class ``kind``, if it is of it: before IREE 3.11 the bindings leave that open."""
    try:
        return kind(expression)
    except ValueError:
        return None


def generic(
    result: ir.RankedTensorType,
    inputs: Sequence[ir.Value],
    initial: ir.Value,
    maps: Sequence[ir.AffineMap],
    reductions: Sequence[bool],
    body: Callable[..., ir.Value],
) -> ir.Operation:
    """A new `linalg.generic` at the current insertion point; ``body`` gets the elements and returns the result's."""
    kinds = ["reduction" if each else "parallel" for each in reductions]
    operation = ir.Operation.create(
        "linalg.generic",
        results=[result],
        operands=[*inputs, initial],
        attributes={
            "indexing_maps": maps_attribute(maps),
            "iterator_types": ir.ArrayAttr.get(
                [ir.Attribute.parse(f"#linalg.iterator_type<{kind}>") for kind in kinds]
            ),
            "operandSegmentSizes": ir.DenseI32ArrayAttr.get([len(inputs), 1]),
        },
        regions=1,
    )
    elements = [value.type.element_type for value in (*inputs, initial)]
    block = operation.regions[0].blocks.append(*elements, arg_locs=[operation.location] * len(elements))
    with ir.InsertionPoint(block):
        ir.Operation.create("linalg.yield", operands=[body(*block.arguments)])
    return operation


def rebuilt(old: Generic, taken: Mapping[int, ir.Value]) -> Generic:
    """Puts an operation in place of ``old`` that has no inputs of the numbers ``taken``, whose elements its body takes
    from outside."""
    operation = old.operation
    kept = [number for number in range(len(old.inputs)) if number not in taken]

    def body(*elements: ir.Value) -> ir.Value:
        known = dict(zip([old.block.arguments[number] for number in (*kept, -1)], elements, strict=True))
        known |= {old.block.arguments[number]: value for number, value in taken.items()}
        for each in old.body:
            clone = each.clone().operation
            for number, operand in enumerate(each.operands):
                clone.operands[number] = known.get(operand, operand)
            known.update(zip(each.results, clone.results, strict=True))
        return known.get(old.yielded, old.yielded)

    with ir.InsertionPoint(operation), operation.location:
        maps = [old.maps[number] for number in (*kept, -1)]
        inputs = [old.inputs[number] for number in kept]
        new = generic(operation.results[0].type, inputs, old.operands[-1], maps, old.reductions, body)
    operation.results[0].replace_all_uses_with(new.results[0])
    operation.erase()
    return Generic(new)


def is_copy(operation: ir.Operation) -> bool:
    """Whether it is a `linalg.generic` that gives the elements of its only input, in any order, or spread."""
    if not is_generic(operation):
        return False
    copy = Generic(operation)
    return len(copy.inputs) == 1 and copy.argument_of(copy.yielded) == 0 and is_identity(copy.maps[-1])


def uses(value: ir.Value) -> int:
    """How many operands ``value`` is."""
    return sum(1 for _ in value.uses)


def where(operation: ir.Operation) -> str:
    """What a report calls the operation: its layer's name if the source gave one, and the type of its result."""
    return described(operation.location, operation.results[0].type if len(operation.results) else operation.name)


def described(location: ir.Location, kind: ir.Type | str) -> str:
    """The same of an operation that is gone by now, by its location and the type of its result."""
    names = re.findall(r'loc\("([^"]+)"(?!:\d)|"([^"]+)"\(', str(location))
    shown = next((first or second for first, second in names), "")
    return f"{shown} {kind}".strip()


class UnreadableError(Exception):
    """The bindings can't read what the compiler has written."""


def device(half: bytes) -> str:
    """The device that a compilation's first half, in MLIR bytecode, names; as MLIR's text."""
    with ir.Context():
        return str(device_global(_read(half)).attributes["initial_value"])


def with_device(half: bytes, device: str) -> bytes:
    """The first half with another device in place of its own: all else of it is the same for all of them."""
    with ir.Context():
        module = _read(half)
        named = device_global(module)
        if str(named.attributes["initial_value"]) == device:
            return half
        named.attributes["initial_value"] = ir.Attribute.parse(device)
        written = io.BytesIO()
        module.operation.write_bytecode(written)
        return written.getvalue()


def device_global(module: ir.Module) -> ir.Operation:
    """Where the module names its device."""
    for operation in module.body.operations:
        if is_device(operation):
            return operation
    raise UnreadableError("The module names no device.")


def write(module: ir.Module, output: Path) -> None:
    """Writes the module to a file, as MLIR bytecode."""
    with output.open("wb") as file:
        module.operation.write_bytecode(file)


def is_device(operation: ir.Operation) -> bool:
    """Whether the operation names a device."""
    return operation.operation.name == "util.global" and "hal.device" in str(operation.attributes["type"])


def _read(content: bytes) -> ir.Module:
    try:
        return ir.Module.parse(content)
    except ir.MLIRError as error:
        raise UnreadableError(str(error)) from None
