# SPDX-License-Identifier: Apache-2.0
"""Which values integers of a model can take: bounds by interval arithmetic over its operations.

The bounds hold for every input. Whatever is not known here has the bounds of its type.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from iree.compiler import ir

from springbok.optimizer.mlir import Generic, constant, is_generic, owner

Range = tuple[int, int]

# Operations that only move or copy elements of their first operand.
_MOVES = frozenset(
    {
        "tensor.collapse_shape",
        "tensor.expand_shape",
        "tensor.extract_slice",
        "tensor.cast",
        "iree_tensor_ext.compute_barrier.start",
        "iree_tensor_ext.compute_barrier.end",
    }
)


def of_type(kind: ir.Type) -> Range | None:
    """The bounds of a signless integer type (or of a tensor of it), read as signed; None for other types."""
    kind = kind.element_type if isinstance(kind, ir.RankedTensorType) else kind
    if not isinstance(kind, ir.IntegerType):
        return None
    if kind.width == 1:
        return 0, 1
    return -(1 << kind.width - 1), (1 << kind.width - 1) - 1


def _union(*ranges: Range) -> Range:
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _product(left: Range, right: Range) -> Range:
    corners = [a * b for a in left for b in right]
    return min(corners), max(corners)


_ARITHMETIC: dict[str, Callable[[Range, Range], Range]] = {
    "arith.addi": lambda a, b: (a[0] + b[0], a[1] + b[1]),
    "arith.subi": lambda a, b: (a[0] - b[1], a[1] - b[0]),
    "arith.muli": _product,
    "arith.maxsi": lambda a, b: (max(a[0], b[0]), max(a[1], b[1])),
    "arith.minsi": lambda a, b: (min(a[0], b[0]), min(a[1], b[1])),
    "arith.shli": lambda a, b: _product(a, (1 << b[0], 1 << b[1])) if 0 <= b[0] <= b[1] < 64 else (-math.inf, math.inf),
    "arith.shrsi": lambda a, b: _union(*((v >> s, v >> s) for v in a for s in b)) if 0 <= b[0] <= b[1] < 64 else a,
}


@dataclass
class Ranges:
    """Bounds of the values of a module, found once each."""

    _known: dict[ir.Value, Range | None] = field(default_factory=dict)
    _stated: dict[ir.Value, Range] = field(default_factory=dict)

    def state(self, value: ir.Value, bounds: Range) -> None:
        """Says what is known otherwise of a value inside a body."""
        self._stated[value] = _within(bounds, of_type(value.type))

    def of(self, value: ir.Value) -> Range | None:
        """Bounds of a tensor's elements, or of a number outside of a body; None unless they are integers."""
        if value not in self._known:
            limits = of_type(value.type)
            self._known[value] = limits  # what is asked for again on the way is not known yet
            self._known[value] = _within(self._find(value), limits)
        return self._known[value]

    def _find(self, value: ir.Value) -> Range | None:
        known, operation = constant(value), owner(value)
        if isinstance(known, int):
            return known, known
        if known is not None and getattr(known, "size", 0) and known.dtype.kind == "i":
            return int(known.min()), int(known.max())
        if operation is None:
            return None
        if operation.name in _MOVES or operation.name == "linalg.fill":
            return self.of(operation.operands[0])
        if operation.name == "tensor.pad":
            filling = list(operation.regions[0].blocks[0].operations)[-1].operation.operands[0]
            ranges = [self.of(operation.operands[0]), self.of(filling)]
            return None if None in ranges else _union(*ranges)
        if is_generic(operation):
            return self._of_generic(Generic(operation))
        return None

    def _of_generic(self, generic: Generic) -> Range | None:
        elements = {
            argument: self.of(value) for argument, value in zip(generic.block.arguments, generic.operands, strict=True)
        }
        if not any(generic.reductions):
            return self.in_body(generic.yielded, elements)
        # A reduction: what is added or compared at each step.
        step, accumulator = owner(generic.yielded, "arith.addi", "arith.maxsi"), generic.block.arguments[-1]
        extents = generic.extents
        if step is None or extents is None or accumulator not in list(step.operands):
            return None
        left, right = step.operands
        term = self.in_body(right if left == accumulator else left, {**elements, accumulator: None})
        initial = self.of(generic.operands[-1])
        if term is None or initial is None:
            return None
        if step.name == "arith.maxsi":
            return _union(initial, (max(initial[0], term[0]), max(initial[1], term[1])))
        count = math.prod(size for size, reduced in zip(extents, generic.reductions, strict=True) if reduced)
        total = initial[0] + count * term[0], initial[1] + count * term[1]
        # Partial sums must not wrap either.
        return _union(initial, total)

    def in_body(self, value: ir.Value, elements: dict[ir.Value, Range | None]) -> Range | None:
        """Bounds of a value inside a body, whose arguments have the bounds ``elements``."""
        if value in elements:
            return elements[value]
        if value in self._stated:
            return self._stated[value]
        known, operation = constant(value), owner(value)
        if isinstance(known, int):
            return known, known
        if operation is None:
            return None
        limits = of_type(value.type)
        name, operands = operation.name, [self.in_body(each, elements) for each in operation.operands]
        if name in ("arith.extsi", "arith.trunci"):
            return _within(operands[0], limits)
        if name == "arith.extui":
            source = of_type(operation.operands[0].type)
            return operands[0] if operands[0] and operands[0][0] >= 0 else (0, source[1] - source[0])
        if name == "arith.select":
            return _within(None if None in operands[1:] else _union(*operands[1:]), limits)
        if name in _ARITHMETIC:
            filled = [each or of_type(other.type) for each, other in zip(operands, operation.operands, strict=True)]
            return None if None in filled else _within(_ARITHMETIC[name](*filled), limits)
        return limits


def _within(found: Range | None, limits: Range | None) -> Range | None:
    """``found`` if no such value wraps in its type, else the type's bounds."""
    if limits is None or found is None:
        return limits
    return found if limits[0] <= found[0] and found[1] <= limits[1] else limits
