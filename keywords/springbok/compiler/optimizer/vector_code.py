# SPDX-License-Identifier: Apache-2.0
"""Building kernels that name their vectors themselves: what the transformations share that make such code.

Vectors are of fixed length, which LLVM maps to a group of vector registers. It is a power of two, but for what remains
and fits into one register: LLVM pads constants of other lengths to the next power of two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from iree.compiler import ir

from springbok.compiler.mlir import constant, operations, uses

#: VLEN in bits when the module does not name it, as on the host.
_VLEN = 512
#: Vector registers that a sum may take, and where it may take more: weights of 8 bits are widened to 16 only, and a
#: dense layer of one row has one sum.
GROUP, LARGE_GROUP = 4, 8
#: The same elements in another shape.
RESHAPES = ("tensor.collapse_shape", "tensor.expand_shape")


def vector_bits(module: ir.Module, default: int = _VLEN) -> int:
    """VLEN of the device that the module is for; where it names none, a length that any code may be tried with."""
    found = (re.search(r"\+zvl(\d+)b", str(each)) for each in operations(module, "util.global"))
    return next((int(each[1]) for each in found if each), default)


def create(name: str, results: Sequence[ir.Type], operands: Sequence[ir.Value], **options: object) -> ir.Operation:
    return ir.Operation.create(name, results=list(results), operands=list(operands), **options)


def index(value: int) -> ir.Value:
    kind = ir.IndexType.get()
    attributes = {"value": ir.IntegerAttr.get(kind, value)}
    return create("arith.constant", [kind], [], attributes=attributes).result


def vector(size: int, element: ir.Type) -> ir.VectorType:
    return ir.VectorType.get([size], element)


def splat(size: int, element: ir.Type, value: object) -> ir.Value:
    kind = vector(size, element)
    attributes = {"value": ir.DenseElementsAttr.get_splat(kind, number(element, value))}
    return create("arith.constant", [kind], [], attributes=attributes).result


def number(element: ir.Type, value: object) -> ir.Attribute:
    """``value`` as an attribute; of a type that is not its own, the bindings would make one without an error."""
    if isinstance(element, ir.FloatType):
        return ir.FloatAttr.get(element, float(value))
    return ir.IntegerAttr.get(element, value)


def counted_loop(extent: int, step: int, carried: Sequence[ir.Value], body: Callable) -> list[ir.Value]:
    """`scf.for` from 0; ``body`` gets the counter and the carried values, and gives their next ones."""
    operation = create(
        "scf.for", [v.type for v in carried], [index(0), index(extent), index(step), *carried], regions=1
    )
    kinds = [ir.IndexType.get(), *(value.type for value in carried)]
    block = operation.regions[0].blocks.append(*kinds, arg_locs=[operation.location] * len(kinds))
    with ir.InsertionPoint(block):
        create("scf.yield", [], body(block.arguments[0], list(block.arguments)[1:]))
    return list(operation.results)


@dataclass(frozen=True)
class Place:
    """A number of a loop: its counter, if it is one that runs, and a constant."""

    counter: ir.Value | None = None
    offset: int = 0

    def plus(self, offset: int) -> Place:
        return Place(self.counter, self.offset + offset)


def counted(extent: int, step: int, carried: ir.Value, body: Callable[[Place, ir.Value], ir.Value]) -> ir.Value:
    """What ``body`` makes of ``carried`` at each of the places from 0 on; without a loop where there is one."""
    if extent == step:
        return body(Place(), carried)
    return counted_loop(extent, step, [carried], lambda counter, values: [body(Place(counter), values[0])])[0]


def index_of(terms: Sequence[tuple[int, Place]]) -> ir.Value:
    """The number that factors times places give."""
    offset = sum(times * place.offset for times, place in terms)
    value = None
    for times, place in terms:
        if place.counter is None:
            continue
        term = (
            place.counter
            if times == 1
            else create("arith.muli", [ir.IndexType.get()], [place.counter, index(times)]).result
        )
        value = term if value is None else create("arith.addi", [term.type], [value, term]).result
    if value is None:
        return index(offset)
    return create("arith.addi", [value.type], [value, index(offset)]).result if offset else value


def extract(tensor: ir.Value, indices: Sequence[ir.Value]) -> ir.Value:
    return create("tensor.extract", [tensor.type.element_type], [tensor, *indices]).result


def _transfer(rank: int) -> dict[str, ir.Attribute]:
    last = ir.AffineMap.get(rank, 0, [ir.AffineDimExpr.get(rank - 1)])
    return {"permutation_map": ir.AffineMapAttr.get(last), "in_bounds": ir.ArrayAttr.get([ir.BoolAttr.get(True)])}


def load(tensor: ir.Value, indices: Sequence[ir.Value], size: int) -> ir.Value:
    element = tensor.type.element_type
    filling = create("arith.constant", [element], [], attributes={"value": number(element, 0)}).result
    attributes = _transfer(len(indices)) | {"operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, len(indices), 1, 0])}
    return create(
        "vector.transfer_read", [vector(size, element)], [tensor, *indices, filling], attributes=attributes
    ).result


def store(vector: ir.Value, tensor: ir.Value, indices: Sequence[ir.Value]) -> ir.Value:
    attributes = _transfer(len(indices)) | {"operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 1, len(indices), 0])}
    return create("vector.transfer_write", [tensor.type], [vector, tensor, *indices], attributes=attributes).result


def gather(tensor: ir.Value, indices: Sequence[ir.Value], size: int, step: int) -> ir.Value:
    """As `load`, of elements that are ``step`` apart."""
    if step == 1:
        return load(tensor, indices, size)
    element = tensor.type.element_type
    operands = [tensor, *indices, *_places(size, step), splat(size, element, 0)]
    return create("vector.gather", [vector(size, element)], operands).result


def scatter(values: ir.Value, tensor: ir.Value, indices: Sequence[ir.Value], step: int) -> ir.Value:
    """As `store`, of elements that are ``step`` apart."""
    if step == 1:
        return store(values, tensor, indices)
    operands = [tensor, *indices, *_places(values.type.shape[0], step), values]
    return create("vector.scatter", [tensor.type], operands).result


def _places(size: int, step: int) -> list[ir.Value]:
    """The places of elements that are ``step`` apart, and the mask that takes all of them."""
    i32, i1 = ir.IntegerType.get_signless(32), ir.IntegerType.get_signless(1)
    values = [ir.IntegerAttr.get(i32, number * step) for number in range(size)]
    attributes = {"value": ir.DenseElementsAttr.get(values, vector(size, i32))}
    places = create("arith.constant", [vector(size, i32)], [], attributes=attributes).result
    return [places, splat(size, i1, True)]


def part(values: ir.Value, start: int, size: int) -> ir.Value:
    """The elements from ``start`` on."""
    if values.type.shape[0] == size:
        return values
    i64 = ir.IntegerType.get_signless(64)
    attributes = {
        name: ir.ArrayAttr.get([ir.IntegerAttr.get(i64, number)])
        for name, number in (("offsets", start), ("sizes", size), ("strides", 1))
    }
    kind = vector(size, values.type.element_type)
    return create("vector.extract_strided_slice", [kind], [values], attributes=attributes).result


def broadcast(value: ir.Value, size: int) -> ir.Value:
    return create("vector.broadcast", [vector(size, value.type)], [value]).result


def chunks(extent: int, most: int, whole: int = 0) -> list[tuple[int, int, int]]:
    """``extent`` in powers of two: (start, size, how many); a rest of up to ``whole`` stays in one piece.

    >>> chunks(27, 16, 16)
    [(0, 16, 1), (16, 11, 1)]
    """
    found, start, size = [], 0, most
    while start < extent:
        rest = extent - start
        while size > rest > whole:
            size //= 2
        size = min(size, rest)
        found.append((start, size, rest // size))
        start += size * (rest // size)
    return found


def kernel(kind: ir.RankedTensorType, body: Callable[[], ir.Value]) -> ir.Value:
    """A dispatch of its own at the insertion point, whose result is what ``body`` builds inside of it."""
    segments = {"operandSegmentSizes": ir.DenseI32ArrayAttr.get([0, 0])}
    region = create("flow.dispatch.region", [kind], [], attributes=segments, regions=2)
    with ir.InsertionPoint(region.regions[0].blocks.append()):
        create("flow.return", [], [body()])
    with ir.InsertionPoint(region.regions[1].blocks.append()):
        one = index(1)
        create("flow.return", [], [one, one, one])
    return region.results[0]


def reshape(name: str, tensor: ir.Value, shape: Sequence[int], groups: Sequence[Sequence[int]]) -> ir.Value:
    """`tensor.collapse_shape` or `tensor.expand_shape`: the same elements in another shape."""
    i64 = ir.IntegerType.get_signless(64)
    reassociation = [ir.ArrayAttr.get([ir.IntegerAttr.get(i64, each) for each in group]) for group in groups]
    attributes = {"reassociation": ir.ArrayAttr.get(reassociation)}
    if name == "expand_shape":
        attributes |= {"static_output_shape": ir.DenseI64ArrayAttr.get(list(shape))}
    kind = ir.RankedTensorType.get(list(shape), tensor.type.element_type)
    return create(f"tensor.{name}", [kind], [tensor], attributes=attributes).result


def refilled(fill: ir.Operation, kind: ir.RankedTensorType) -> ir.Value:
    """A tensor of another type with what the `linalg.fill` puts into its own."""
    empty = create("tensor.empty", [kind], []).result
    clone = fill.clone().operation
    clone.operands[1] = empty
    clone.results[0].set_type(kind)
    return clone.results[0]


def erase_dead(module: ir.Module) -> None:
    """Erase operations on tensors whose results nobody uses."""
    for operation in reversed(operations(module)):
        on_tensors = operation.name.startswith(("linalg.", "tensor.")) and len(operation.results)
        if on_tensors and not any(uses(result) for result in operation.results):
            operation.erase()


def padding_of(operation: ir.Operation) -> tuple[list[int], list[int], int | float] | None:
    """Of a `tensor.pad`: what is added before and behind each dimension, and with which constant; None if not known."""
    if operation.name != "tensor.pad" or len(operation.operands) != 1:
        return None
    filling = constant(list(operation.regions[0].blocks[0].operations)[-1].operation.operands[0])
    low, high = (
        [int(each) for each in ir.DenseI64ArrayAttr(operation.attributes[name])]
        for name in ("static_low", "static_high")
    )
    shapes = [*operation.operands[0].type.shape, *low, *high]
    return None if filling is None or min(shapes) < 0 else (low, high, filling)
