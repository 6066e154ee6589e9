# SPDX-License-Identifier: Apache-2.0
"""Which values integers of a model can take: bounds by interval arithmetic over its operations.

The bounds hold for every input. Whatever is not known here has the bounds of its type.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from iree.compiler import ir

from springbok.compiler.mlir import Generic, constant, dimensions, is_generic, owner

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
    _by_channel: dict[tuple[ir.Value, int], list[Range]] = field(default_factory=dict)
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

    def by_channel(self, value: ir.Value, axis: int) -> list[Range]:
        """Bounds of a tensor's integers at each place of the dimension ``axis``."""
        if (value, axis) not in self._by_channel:
            whole, limits = self.of(value), of_type(value.type)
            found = self._channels(value, axis) or [whole] * value.type.shape[axis]
            known = [whole if each is None or _within(each, limits) != each else _both(each, whole) for each in found]
            self._by_channel[value, axis] = known
        return self._by_channel[value, axis]

    def forget(self, value: ir.Value) -> None:
        """Takes back what was found of a tensor that goes or changes."""
        self._known.pop(value, None)
        for key in [each for each in self._by_channel if each[0] == value]:
            del self._by_channel[key]

    def _channels(self, value: ir.Value, axis: int) -> list[Range | None] | None:
        known, operation = constant(value), owner(value)
        if isinstance(known, np.ndarray) and known.dtype.kind == "i" and known.size:
            rows = np.moveaxis(known, axis, 0).reshape(known.shape[axis], -1)
            return [(int(row.min()), int(row.max())) for row in rows]
        if operation is None or not is_generic(operation):
            return None
        generic = Generic(operation)
        if generic.extents is None:
            return None
        loop = dimensions(ir.AffineMap.get(len(generic.reductions), 0, [generic.maps[-1].results[axis]]))
        if loop is None:
            return None
        (loop,) = loop
        if any(generic.reductions):
            return self._sums_of_channels(generic, loop)
        elements = self.elements_of_channels(generic, loop)
        return [self.in_body(generic.yielded, each) for each in elements]

    def elements_of_channels(self, generic: Generic, loop: int) -> list[dict[ir.Value, Range | None]]:
        """Of each place of ``loop``: bounds of the body's arguments."""
        places: list[list[Range | None]] = []
        size = generic.extents[loop]
        for value, map_ in zip(generic.operands, generic.maps, strict=True):
            axes = [axis for axis, each in enumerate(map_.results) if each == ir.AffineDimExpr.get(loop)]
            places.append(self.by_channel(value, axes[0]) if axes else [self.of(value)] * size)
        return [dict(zip(generic.block.arguments, each, strict=True)) for each in zip(*places, strict=True)]

    def _sums_of_channels(self, generic: Generic, loop: int) -> list[Range | None] | None:
        """Bounds of sums of products with constant weights, which are known one by one."""
        total, accumulator = owner(generic.yielded, "arith.addi"), generic.block.arguments[-1]
        extents = generic.extents
        if total is None or extents is None or accumulator not in list(total.operands):
            return None
        left, right = total.operands
        product = owner(right if left == accumulator else left, "arith.muli")
        if product is None or generic.reductions[loop]:
            return None
        for factor, weights in (product.operands, reversed(list(product.operands))):
            extended = owner(weights, "arith.extsi")
            place = generic.argument_of(extended.operands[0]) if extended else None
            known = None if place is None else constant(generic.operands[place])
            loops = None if place is None else dimensions(generic.maps[place])
            if not isinstance(known, np.ndarray) or known.dtype.kind != "i" or not loops or loop not in loops:
                continue
            if any(not generic.reductions[each] for each in loops if each != loop):
                continue
            rows = np.moveaxis(known.astype(np.int64), loops.index(loop), 0).reshape(extents[loop], -1)
            reduced = (size for each, size in enumerate(extents) if generic.reductions[each] and each not in loops)
            times = math.prod(reduced)
            above, below = (np.where(keep, rows, 0).sum(axis=1) * times for keep in (rows > 0, rows < 0))
            found = []
            for elements, up, down in zip(
                self.elements_of_channels(generic, loop), above.tolist(), below.tolist(), strict=True
            ):
                bounds, initial = self.in_body(factor, elements), elements[accumulator]
                if bounds is None or initial is None:
                    return None
                low, high = bounds
                found.append((initial[0] + up * low + down * high, initial[1] + up * high + down * low))
            return found
        return None

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


def _both(one: Range, other: Range | None) -> Range:
    """The bounds of what is within both."""
    return one if other is None else (max(one[0], other[0]), min(one[1], other[1]))


def _within(found: Range | None, limits: Range | None) -> Range | None:
    """``found`` if no such value wraps in its type, else the type's bounds."""
    if limits is None or found is None:
        return limits
    return found if limits[0] <= found[0] and found[1] <= limits[1] else limits
