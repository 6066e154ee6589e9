# SPDX-License-Identifier: Apache-2.0
"""The kernel of a reduction and of what follows it, with vectors along the channels: see `register_tiling`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from iree.compiler import ir

from springbok.compiler.mlir import (
    Generic,
    constant,
    dimensions,
    is_copy,
    owner,
    users,
    uses,
)
from springbok.compiler.optimizer.reductions import (
    EXTENSIONS,
    PRODUCTS,
    Padding,
    Reduction,
    chain_of,
    is_elementwise,
    only_user,
    padding_behind,
    to_narrowest,
)
from springbok.compiler.optimizer.vector_code import (
    GROUP,
    LARGE_GROUP,
    RESHAPES,
    Place,
    broadcast,
    chunks,
    counted,
    counted_loop,
    create,
    extract,
    index_of,
    kernel,
    load,
    reshape,
    splat,
    store,
    vector,
)

_REGISTERS = 32
#: Outputs that share a load of weights; there are no more scalar registers.
LARGEST_TILE = 16
#: A pooling has no weights to share, and larger tiles of it were more code for hardly fewer instructions.
_POOLING_TILE = 2
#: Bits of a sum up to which a row may take more: a bias is aligned to the vector that it is loaded as, and with
#: larger ones modules were larger than stock IREE's.
_ROW_BITS = 2048
#: Products that are written out one after the other; their scalars should fit into the core's registers.
_UNROLLED = 20
#: The same of a dense layer of floating point: each has a loop of its own, and more code than stock IREE's is memory.
_UNROLLED_DENSE = 2
#: Taps of a window that are all written out.
_TAPS = 25
_SHAPES = ("tensor.extract_slice", *RESHAPES)
#: What limits floating point, and the number of the comparison (`ole`, `oge`) that says where the limit is taken.
_LIMITS = {"arith.maximumf": 5, "arith.minimumf": 3}


@dataclass
class Kernel:
    """Builds the kernel of a reduction and what follows it."""

    reduction: Reduction
    vlen: int
    _clones: dict[ir.Value, ir.Value] = field(default_factory=dict, init=False)

    def replace(self) -> str:
        """Put the kernel in place of the operations; returns what to say of it."""
        chain = to_narrowest(chain_of(self.reduction.generic.operation))
        self.chain, self.padding = chain, self._padding(chain[-1].results[0])
        padding = self.padding
        last = padding.operation if padding else chain[-1]
        with ir.InsertionPoint(last), ir.Location.fused([each.location for each in chain]):
            kind = self._goal(last.results[0].type)
            built = self._finish(kernel(kind, lambda: self._build(kind)))
        last.results[0].replace_all_uses_with(built)
        for operation in ([padding.operation] if padding else []) + chain[::-1]:
            operation.erase()
        following = f", {len(chain) - 1} operations on the registers" if len(chain) > 1 else ""
        return f"{self.tiles}{following}{', stored into its padding' if padding else ''}"

    def _padding(self, value: ir.Value) -> Padding | None:
        """The padding that the kernel's result is stored into."""
        return padding_behind(value)

    def _goal(self, kind: ir.RankedTensorType) -> ir.RankedTensorType:
        """The type of what the kernel stores into, of a result of the type ``kind``."""
        return kind

    def _finish(self, built: ir.Value) -> ir.Value:
        """The result, of what the kernel has stored into."""
        return built

    # Loops.

    def _build(self, kind: ir.RankedTensorType) -> ir.Value:
        spatial, channels = self.reduction.innermost, self.reduction.extents[self.reduction.innermost]
        result = create("tensor.empty", [kind], []).result
        self._begin = owner(result)
        if self.padding:
            result = self._fill_borders(result, kind.shape)
        self._prepare()
        descriptions = []
        row = self.reduction.is_row and LARGE_GROUP * self.vlen <= _ROW_BITS
        large = not self.reduction.depthwise and (self.reduction.widens or row)
        group = LARGE_GROUP if large else GROUP
        for start, size, count in chunks(channels, max(1, group * self.vlen // 32), self.vlen // 32):
            registers = -(-size * 32 // self.vlen)
            if self.reduction.right is None:
                loaded, largest = 2 * registers, _POOLING_TILE
            elif self.reduction.depthwise:
                loaded, largest = 2 * registers, LARGEST_TILE // 2  # a vector of each output is loaded as well
            else:
                loaded = max(2, registers * 3 // 4) if self.reduction.widens else 2 * registers
                largest = LARGEST_TILE
            extent = self.reduction.extents[spatial - 1] if spatial else 1
            tile = tile_of(extent, registers, loaded, largest)
            descriptions.append(f"{tile} x {size}")

            def over_channels(
                counter: ir.Value | None, tensor: ir.Value, start=start, size=size, tile=tile
            ) -> ir.Value:
                return self._over_space([], tensor, Place(counter, start), size, tile)

            if count == 1:
                result = over_channels(None, result)
            else:
                (result,) = counted_loop(
                    count * size, size, [result], lambda counter, carried: [over_channels(counter, carried[0])]
                )
        self.tiles = f"tiles of {', '.join(dict.fromkeys(descriptions))}"
        return result

    def _over_space(self, places: list[Place], result: ir.Value, channel: Place, size: int, tile: int) -> ir.Value:
        loop, spatial = len(places), self.reduction.innermost
        if spatial == 0:
            return self._tile([], result, channel, size, 1)
        extent = self.reduction.extents[loop]
        if loop < spatial - 1:
            body = lambda place, tensor: self._over_space([*places, place], tensor, channel, size, tile)  # noqa: E731
            return counted(extent, 1, result, body)
        body = lambda place, tensor: self._tile([*places, place], tensor, channel, size, tile)  # noqa: E731
        result = counted(extent // tile * tile, tile, result, body)
        rest = extent % tile
        return self._tile([*places, Place(None, extent - rest)], result, channel, size, rest) if rest else result

    def _fill_borders(self, result: ir.Value, shape: Sequence[int]) -> ir.Value:
        inner, low = self.chain[-1].results[0].type.shape, self.padding.low
        element, value = result.type.element_type, self.padding.filling
        # Slabs before and behind, dimension by dimension; inner ones only where outer ones are not border already.
        for axis in range(len(shape) - 1):
            for start, stop in ((0, low[axis]), (low[axis] + inner[axis], shape[axis])):
                if start == stop:
                    continue
                ranges = [
                    *((low[each], inner[each]) for each in range(axis)),
                    (start, stop - start),
                    *((0, shape[each]) for each in range(axis + 1, len(shape) - 1)),
                ]
                result = self._fill(result, ranges, [], element, value, shape[-1])
        return result

    def _fill(self, result, ranges, places, element, value, channels) -> ir.Value:
        if len(places) < len(ranges):
            start, count = ranges[len(places)]

            def body(place: Place, tensor: ir.Value) -> ir.Value:
                return self._fill(tensor, ranges, [*places, place.plus(start)], element, value, channels)

            return counted(count, 1, result, body)
        for start, size, count in chunks(channels, self.vlen // 4):
            for number in range(count):
                indices = self._at([*places, Place(None, start + number * size)])
                result = store(splat(size, element, value), result, indices)
        return result

    # One tile.

    def _prepare(self) -> None:
        """Inner dimensions that are read one after the other become one, for longer loops with less around them."""
        reduction = self.reduction
        generic, extents = reduction.generic, reduction.extents
        first = reduction.innermost + 1
        if reduction.indices == [{1: 1}] and self._read_before_flattening():
            return
        self.left = self._local(generic.operands[reduction.left])
        self.left_terms = list(reduction.indices)
        if reduction.right is not None:
            self.right = self._local(generic.operands[reduction.right])
            self.right_terms = [{loop: 1} for loop in dimensions(generic.maps[reduction.right])]
        self.loops = [(loop, extents[loop]) for loop in range(first, len(extents))]
        if reduction.depthwise or len(self.loops) < 2 or len(self.left_terms) < 2:
            return
        outer, inner = self.loops[-2][0], self.loops[-1][0]
        size, before = extents[inner], self.left_terms[-2]
        if self.left_terms[-1] != {inner: 1} or self.left.type.shape[-1] != size or before.get(outer) != 1:
            return
        if self.right_terms[-3:-1] != [{outer: 1}, {inner: 1}]:
            return
        self.left = self._collapse(self.left, len(self.left_terms) - 2)
        self.right = self._collapse(self.right, len(self.right_terms) - 3)
        merged = {loop: times * size for loop, times in before.items() if loop != outer} | {inner: 1}
        self.left_terms[-2:] = [merged]
        self.right_terms[-3:-1] = [{inner: 1}]
        self.loops[-2:] = [(inner, extents[outer] * size)]

    def _read_before_flattening(self) -> bool:
        """Whether the left operand is an image whose channel was moved to the front and that was made one row of.

        It is then read where it lies, by a loop over channels and one over pixels, in the same order.
        """
        generic = self.reduction.generic
        if dimensions(generic.maps[self.reduction.right]) != [1, 0]:
            return False
        copy = owner(generic.operands[self.reduction.left])
        while copy is not None and copy.name in RESHAPES:
            copy = owner(copy.operands[0])
        if copy is None or not is_copy(copy):
            return False
        (source, _), rank = copy.operands, copy.results[0].type.rank
        if dimensions(Generic(copy).maps[0]) != [*range(1, rank), 0]:
            return False
        *image, channels = source.type.shape
        self.left = source
        for _ in range(rank - 2):
            self.left = self._collapse(self.left, 0)
        pixels = math.prod(image)
        self.right = self._local(generic.operands[self.reduction.right])
        self.left_terms, self.right_terms = [{2: 1}, {1: 1}], [{1: pixels, 2: 1}, {0: 1}]
        self.loops = [(1, channels), (2, pixels)]
        return True

    def _collapse(self, tensor: ir.Value, axis: int) -> ir.Value:
        """``tensor`` with the dimensions ``axis`` and the next as one."""
        shape = list(tensor.type.shape)
        groups = (
            [[each] for each in range(axis)] + [[axis, axis + 1]] + [[each] for each in range(axis + 2, len(shape))]
        )
        shape[axis : axis + 2] = [shape[axis] * shape[axis + 1]]
        return reshape("collapse_shape", tensor, shape, groups)

    def _local(self, value: ir.Value) -> ir.Value:
        """``value``, with what only names a part or another shape of a tensor done inside of the kernel."""
        operation = owner(value, *_SHAPES)
        if operation is None or len(operation.operands) != 1:
            return value
        if value not in self._clones:
            source = self._local(operation.operands[0])
            with ir.InsertionPoint(self._begin):
                clone = operation.clone().operation
            clone.operands[0] = source
            self._clones[value] = clone.results[0]
        return self._clones[value]

    def _tile(self, places: list[Place], result: ir.Value, channel: Place, size: int, tile: int) -> ir.Value:
        outputs = [[*places[:-1], places[-1].plus(n), channel] if places else [channel] for n in range(tile)]
        initial = self.reduction.generic.operands[-1]
        sums = [self._operand(initial, self.reduction.generic.maps[-1], each, size, {}) for each in outputs]
        sums = self._reduce(sums, dict(enumerate(places)) | {len(places): channel}, {}, list(self.loops), size)
        for total, output in zip(sums, outputs, strict=True):
            values = {self.chain[0].results[0]: total}
            for operation in self.chain[1:]:
                values[operation.results[0]] = self._elementwise(operation, output, size, values)
            result = store(values[self.chain[-1].results[0]], result, self._indices(output))
        return result

    def _indices(self, output: Sequence[Place]) -> list[ir.Value]:
        """Where an output is in the result, which may be padded."""
        low = self.padding.low if self.padding else [0] * len(output)
        return self._at([place.plus(start) for place, start in zip(output, low, strict=True)])

    def _at(self, places: Sequence[Place]) -> list[ir.Value]:
        """The indices of an element of what the kernel stores into."""
        return [index_of([(1, place)]) for place in places]

    def _reduce(self, sums, places, steps, loops, size) -> list[ir.Value]:
        if not loops:
            return self._step(sums, places, steps, size)
        (loop, extent), *inner = loops
        dense = len(sums) == 1 and not self.reduction.widens
        most = 1 if inner else max(1, _UNROLLED_DENSE if dense else _UNROLLED // len(sums))
        if self.reduction.depthwise and math.prod(each for _, each in loops) <= _TAPS:
            most = extent
        unrolled = next(n for n in range(most, 0, -1) if extent % n == 0)

        def body(place: Place, carried: list[ir.Value]) -> list[ir.Value]:
            for number in range(unrolled):
                carried = self._reduce(carried, places, {**steps, loop: place.plus(number)}, inner, size)
            return carried

        if extent == unrolled:
            return body(Place(), sums)
        return counted_loop(extent, unrolled, sums, lambda counter, carried: body(Place(counter), carried))

    def _step(self, sums, places, steps, size) -> list[ir.Value]:
        generic, at = self.reduction.generic, {**places, **steps}
        weights = None
        if self.reduction.right is not None:
            indices = [index_of([(times, at[loop]) for loop, times in terms.items()]) for terms in self.right_terms]
            weights = self._extended(load(self.right, indices, size), self.reduction.right)
        total = owner(generic.yielded)
        result, moving = [], self.reduction.innermost - 1
        for number, value in enumerate(sums):
            here = {**at, moving: at[moving].plus(number)} if moving >= 0 else at
            here[-1] = Place(None, 1)
            indices = [index_of([(times, here[loop]) for loop, times in terms.items()]) for terms in self.left_terms]
            if self.reduction.depthwise:
                left = self._extended(load(self.left, indices, size), self.reduction.left)
            else:
                left = broadcast(self._extended(extract(self.left, indices), self.reduction.left), size)
            if weights is not None:
                left = create(PRODUCTS[total.name], [value.type], [left, weights]).result
            result.append(create(total.name, [value.type], [value, left]).result)
        return result

    def _extended(self, value: ir.Value, operand: int) -> ir.Value:
        """As the body of the reduction widens the operand."""
        argument = self.reduction.generic.block.arguments[operand]
        for operation, _ in users(argument):
            if operation.name in EXTENSIONS:
                kind = operation.results[0].type
                kind = vector(value.type.shape[0], kind) if isinstance(value.type, ir.VectorType) else kind
                return create(operation.name, [kind], [value]).result
        return value

    # Element by element.

    def _elementwise(self, operation: ir.Operation, output: list[Place], size: int, values: dict) -> ir.Value:
        generic = Generic(operation)
        known: dict[ir.Value, ir.Value] = {}
        for argument, value, map_ in zip(generic.block.arguments, generic.operands[:-1], generic.maps, strict=False):
            if uses(argument):
                known[argument] = self._operand(value, map_, output, size, values)
        for each in generic.body:
            self._vectorised(each, size, known)
        return self._as_vector(generic.yielded, size, known)

    def _vectorised(self, operation: ir.Operation, size: int, known: dict) -> None:
        if operation.name == "arith.constant":
            return
        operands = [self._as_vector(each, size, known) for each in operation.operands]
        limit = constant(operation.operands[-1]) if operation.name in _LIMITS else None
        if limit is not None and _is_comparable(operation.name, limit):
            known[operation.results[0]] = _limited(operands, _LIMITS[operation.name])
            return
        attributes = {name: operation.attributes[name] for name in operation.attributes}
        created = create(
            operation.name, [vector(size, each.type) for each in operation.results], operands, attributes=attributes
        )
        known.update(zip(operation.results, created.results, strict=True))

    @staticmethod
    def _as_vector(value: ir.Value, size: int, known: dict) -> ir.Value:
        if value not in known:
            number = constant(value)
            known[value] = broadcast(value, size) if number is None else splat(size, value.type, number)
        return known[value]

    def _operand(self, value: ir.Value, map_: ir.AffineMap, output: list[Place], size: int, values: dict) -> ir.Value:
        """The elements of ``value`` that belong to the outputs from ``output`` on."""
        if value in values:
            return values[value]
        element, made = value.type.element_type, owner(value)
        loops = dimensions(map_)
        along = self._is_along(loops, len(output) - 1)
        if made is not None and made.name == "linalg.fill":
            number = constant(made.operands[0])
            return broadcast(made.operands[0], size) if number is None else splat(size, element, number)
        at = [output[loop] for loop in loops]
        if is_elementwise(made) and along and is_cheap(made):
            return self._elementwise(made, at, size, {})
        if is_uniform(value):
            return splat(size, element, constant(value).flat[0].item())
        return self._vector(value, at, size) if along else self._splat(value, at, size)

    @staticmethod
    def _is_along(loops: Sequence[int], innermost: int) -> bool:
        """Whether an operand with these loops is read as vectors."""
        return bool(loops) and loops[-1] == innermost

    def _vector(self, value: ir.Value, at: Sequence[Place], size: int) -> ir.Value:
        return load(self._local(value), [index_of([(1, place)]) for place in at], size)

    def _splat(self, value: ir.Value, at: Sequence[Place], size: int) -> ir.Value:
        return broadcast(extract(self._local(value), [index_of([(1, place)]) for place in at]), size)


def _is_comparable(name: str, limit: float) -> bool:
    """Whether a comparison with ``limit`` says what the operation ``name`` gives, for zeros of both signs too."""
    if limit == 0:
        return (name == "arith.maximumf") == (math.copysign(1, limit) > 0)
    return not math.isnan(limit)


def _limited(operands: list[ir.Value], predicate: int) -> ir.Value:
    """The same as `arith.maximumf` or `arith.minimumf` with a constant, to the bit.

    LLVM makes three instructions and a register more of those; here it is a comparison and a merge.
    """
    value, limit = operands
    i1, i64 = ir.IntegerType.get_signless(1), ir.IntegerType.get_signless(64)
    attributes = {"predicate": ir.IntegerAttr.get(i64, predicate)}
    beyond = create("arith.cmpf", [vector(value.type.shape[0], i1)], operands, attributes=attributes).result
    return create("arith.select", [value.type], [beyond, limit, value]).result


def is_uniform(value: ir.Value) -> bool:
    """Whether it is a constant tensor whose elements are all the same."""
    known = constant(value)
    return isinstance(known, np.ndarray) and known.size > 0 and bool((known == known.flat[0]).all())


def is_cheap(operation: ir.Operation) -> bool:
    """Whether to compute it again where it is needed, as its operands take no more memory than its result."""
    generic = Generic(operation)
    if not generic.body:
        return True
    sizes = [value.type.element_type.width for value in generic.operands if isinstance(value.type, ir.RankedTensorType)]
    return only_user(operation.results[0]) is not None and max(sizes[:-1]) <= sizes[-1]


def tile_of(extent: int, registers: int, weights: int, largest: int) -> int:
    """How many neighbouring outputs share a load of weights: the cheapest of those that fit into the registers.

    A sum takes ``registers`` of them, and what is loaded ``weights``; there are no more than ``largest``.
    """
    most = min(largest, (_REGISTERS - weights - 1) // registers)

    def cost(tile: int) -> int:
        tiles = [tile] * (extent // tile) + ([extent % tile] if extent % tile else [])
        return sum(3 + 2 * each for each in tiles) + (6 if extent % tile else 0)

    return min(range(1, min(most, extent) + 1), key=cost)
