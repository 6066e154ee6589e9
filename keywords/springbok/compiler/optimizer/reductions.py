# SPDX-License-Identifier: Apache-2.0
"""Reading sums of products and poolings, what follows them element by element, and the padding that it goes into."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from iree.compiler import ir

from springbok.compiler.mlir import (
    Generic,
    Terms,
    dimensions,
    is_generic,
    is_identity,
    owner,
    sum_of_loops,
    users,
    uses,
)
from springbok.compiler.optimizer.vector_code import padding_of

PRODUCTS = {"arith.addi": "arith.muli", "arith.addf": "arith.mulf"}
EXTENSIONS = ("arith.extsi", "arith.extui")
_POOLING = (*PRODUCTS, "arith.maxsi", "arith.maximumf")
#: What the vector unit rounds by itself.
_LIKE_ARITHMETIC = ("math.roundeven",)
#: What a result may grow by after its narrowest value: less is not worth a kernel of its own.
_WIDENED_BYTES = 4096


@dataclass
class Reduction:
    """A sum of products, or a pooling, read once.

    ``left`` and ``right`` are the numbers of the operands; ``right`` is None for a pooling.
    """

    generic: Generic
    extents: list[int]
    left: int
    right: int | None
    # Of each dimension of the left operand: which loops, times what, and the constant (at -1).
    indices: list[Terms]
    depthwise: bool

    @property
    def widens(self) -> bool:
        """Whether bytes are multiplied."""
        return str(self.generic.operands[self.left].type.element_type) == "i8"

    @property
    def is_row(self) -> bool:
        """Whether the output is one row of channels."""
        return math.prod(self.extents[: self.innermost]) == 1

    @property
    def innermost(self) -> int:
        """The loop of the output's innermost dimension."""
        return self.generic.reductions.index(True) - 1


def read(generic: Generic) -> Reduction | str:
    """The reduction, or why it is not one that this is for."""
    extents, parallel = generic.extents, generic.reductions.index(True)
    if extents is None or any(not isinstance(value.type, ir.RankedTensorType) for value in generic.operands):
        return "a shape is not known"
    if parallel == 0 or not all(generic.reductions[parallel:]):
        return "its loops are not parallel ones first"
    if dimensions(generic.maps[-1]) != list(range(parallel)):
        return "its result is permuted"
    total = owner(generic.yielded)
    if total is None or total.name not in _POOLING:
        return "it is neither a sum nor a maximum"
    pooled = _pooled(generic, total)
    if pooled is not None:
        indices = [sum_of_loops(each) for each in generic.maps[pooled].results]
        if None in indices or indices[-1] != {parallel - 1: 1} or any(parallel - 1 in each for each in indices[:-1]):
            return "its channels are not innermost"
        return Reduction(generic, extents, pooled, None, indices, True)
    factors = _factors(generic, total)
    if factors is None:
        return "it is neither a sum of products nor a pooling"
    for left, right in (factors, factors[::-1]):
        last = dimensions(generic.maps[right])
        indices = [sum_of_loops(each) for each in generic.maps[left].results]
        if not last or last[-1] != parallel - 1 or None in indices:
            continue
        if len(set(last)) != len(last) or any(loop < parallel - 1 for loop in last):
            continue
        within = [number for number, terms in enumerate(indices) if parallel - 1 in terms]
        if within and (within != [len(indices) - 1] or indices[-1][parallel - 1] != 1):
            continue
        return Reduction(generic, extents, left, right, indices, bool(within))
    return "no operand has the output's innermost dimension innermost"


def _pooled(generic: Generic, total: ir.Operation) -> int | None:
    """The number of the operand that is added to the output, or compared with it, by itself."""
    accumulator = generic.block.arguments[-1]
    terms = [each for each in total.operands if each != accumulator]
    if len(terms) != 1 or len(generic.body) > 2:
        return None
    extended = owner(terms[0], *EXTENSIONS)
    return generic.argument_of(extended.operands[0] if extended else terms[0])


def _factors(generic: Generic, total: ir.Operation) -> tuple[int, int] | None:
    """The numbers of the operands whose product is added to the output."""
    accumulator = generic.block.arguments[-1]
    terms = [each for each in total.operands if each != accumulator]
    product = owner(terms[0], PRODUCTS.get(total.name, "")) if len(terms) == 1 else None
    if product is None or len(generic.body) > 4:
        return None
    found = []
    for factor in product.operands:
        extended = owner(factor, *EXTENSIONS)
        found.append(generic.argument_of(extended.operands[0] if extended else factor))
    return None if None in found or len(set(found)) < 2 or len(generic.inputs) in found else tuple(found)


# What follows the reduction.


def is_elementwise(operation: ir.Operation | None) -> bool:
    """Whether it is computed element by element, with arithmetic alone and in the order of its result."""
    if operation is None or not is_generic(operation):
        return False
    generic = Generic(operation)
    if any(generic.reductions) or not is_identity(generic.maps[-1]) or generic.extents is None:
        return False
    if any(uses(argument) for argument in list(generic.block.arguments)[-1:]):
        return False
    if any(dimensions(map_) is None or not _is_ordered(dimensions(map_)) for map_ in generic.maps):
        return False
    return all(each.name.startswith("arith.") or each.name in _LIKE_ARITHMETIC for each in generic.body)


def _is_ordered(loops: Sequence[int]) -> bool:
    return list(loops) == sorted(set(loops))


def only_user(value: ir.Value) -> ir.Operation | None:
    found = {user for user, _ in users(value)}
    return found.pop() if len(found) == 1 else None


def chain_of(reduction: ir.Operation) -> list[ir.Operation]:
    """The operations, one after the other, that are computed on the sums as soon as they are there."""
    found = [reduction]
    rank = reduction.results[0].type.rank
    while True:
        value = found[-1].results[0]
        user = only_user(value)
        if not is_elementwise(user) or user.results[0].type.rank != rank:
            return found
        maps = Generic(user).maps
        taken = [number for number, each in enumerate(user.operands) if each == value]
        if not all(is_identity(maps[number]) for number in taken) or len(user.operands) - 1 in taken:
            return found
        found.append(user)


def to_narrowest(chain: list[ir.Operation]) -> list[ir.Operation]:
    """The chain up to its narrowest value, as that is what is stored, if the rest makes it much larger.

    What a mean adds up, for one, is widened at once: a whole image of 8 bits would become one of 32.
    """
    sizes = [_bytes_of(each.results[0].type) for each in chain]
    narrowest = max(number for number, size in enumerate(sizes) if size == min(sizes))
    return chain if sizes[-1] - sizes[narrowest] < _WIDENED_BYTES else chain[: narrowest + 1]


def _bytes_of(kind: ir.RankedTensorType) -> int:
    return math.prod(kind.shape) * -(-kind.element_type.width // 8)


@dataclass
class Padding:
    """A `tensor.pad` that the result goes into."""

    operation: ir.Operation
    low: list[int]
    filling: int | float


def padding_behind(value: ir.Value) -> Padding | None:
    user = only_user(value)
    known = padding_of(user) if user else None
    if known is None or known[0][-1] or known[1][-1]:
        return None
    return Padding(user, known[0], known[2])
