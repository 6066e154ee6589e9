# SPDX-License-Identifier: Apache-2.0
"""Kernels of convolutions and matrix products, tiled for the vector registers.

Reason: the compiler's own kernels load the activations as short vectors and spread them by `vrgather`, and spill the
sums: 4 to 7 instructions for one vector of products. Here each activation is one scalar load and one `vmacc.vx`, the
vectors run along the output channels, up to a whole group of registers, and a tile of neighbouring outputs shares
each load of weights. Depthwise convolutions multiply vectors of channels. What follows element by element (bias,
requantisation, the other branch of a sum) is done on the registers, and the result is stored into its padded place.

The order of summation stays, so floating point is the same too.

Precondition: static shapes, one product of two operands summed up, the second of them with the output's innermost
dimension innermost; the first indexed by sums of loops, with that dimension innermost (depthwise) or not at all.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from iree.compiler import ir

from springbok.compiler.mlir import (
    Generic,
    Terms,
    constant,
    dimensions,
    is_copy,
    is_generic,
    is_identity,
    operations,
    owner,
    sum_of_loops,
    users,
    uses,
    where,
)
from springbok.compiler.optimizer.products import generalise_vecmat, is_float
from springbok.compiler.optimizer.transformation import Change, Visits
from springbok.compiler.optimizer.vector_code import (
    RESHAPES,
    Place,
    broadcast,
    chunks,
    counted_loop,
    create,
    erase_dead,
    extract,
    index_of,
    kernel,
    load,
    padding_of,
    reshape,
    splat,
    store,
    vector,
    vector_bits,
)

_REGISTERS = 32
#: Outputs that share a load of weights; there are no more scalar registers.
_LARGEST_TILE = 16
#: A pooling has no weights to share, and larger tiles of it were more code for hardly fewer instructions.
_POOLING_TILE = 2
#: Vector registers that a sum may take, and where it may take more: weights of 8 bits are widened to 16 only, and a
#: dense layer of one row has one sum.
_GROUP, _LARGE_GROUP = 4, 8
#: Bits of a sum up to which a row may take more: a bias is aligned to the vector that it is loaded as, and with
#: larger ones modules were larger than stock IREE's.
_ROW_BITS = 2048
#: Products that are written out one after the other; their scalars should fit into the core's registers.
_UNROLLED = 20
#: The same of a dense layer of floating point: each has a loop of its own, and more code than stock IREE's is memory.
_UNROLLED_DENSE = 2
#: What a result may grow by after its narrowest value: less is not worth a kernel of its own.
_WIDENED_BYTES = 4096
#: Taps of a window that are all written out.
_TAPS = 25
_SHAPES = ("tensor.extract_slice", *RESHAPES)
_PRODUCTS = {"arith.addi": "arith.muli", "arith.addf": "arith.mulf"}
_POOLING = (*_PRODUCTS, "arith.maxsi", "arith.maximumf")
_EXTENSIONS = ("arith.extsi", "arith.extui")
#: What the vector unit rounds by itself.
_LIKE_ARITHMETIC = ("math.roundeven",)
#: What limits floating point, and the number of the comparison (`ole`, `oge`) that says where the limit is taken.
_LIMITS = {"arith.maximumf": 5, "arith.minimumf": 3}


class RegisterTiling:
    """See the module."""

    name = "register-tiling"
    vectors_only = True
    proved_on = ("3.13.0",)

    def apply(self, module: ir.Module, visits: Visits | None = None) -> list[Change]:
        """See :class:`Transformation`."""
        changes, vlen, visits = [], vector_bits(module), visits or Visits()
        for operation in visits.of(operations(module, "linalg.vecmat")):
            if not is_float(operation):
                changes.append(Change(self.name, where(operation), False, "its elements are not floating point"))
            elif uses(operation.operands[1]) > 1:
                detail = "its weights are used at other places too, and each would get a kernel of its own"
                changes.append(Change(self.name, where(operation), False, detail))
            else:
                generalise_vecmat(operation)
        erase_dead(module)
        sums = [each.operation for each in Generic.all(module) if any(each.reductions)]
        for operation in visits.of(sums):
            place, reduction = where(operation), _read(Generic(operation))
            if isinstance(reduction, str):
                changes.append(Change(self.name, place, False, reduction))
            else:
                changes.append(Change(self.name, place, True, _Kernel(reduction, vlen).replace()))
                erase_dead(module)
        return changes


@dataclass
class _Reduction:
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


def _read(generic: Generic) -> _Reduction | str:
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
        return _Reduction(generic, extents, pooled, None, indices, True)
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
        if within and (within != [len(indices) - 1] or indices[-1] != {parallel - 1: 1}):
            continue
        return _Reduction(generic, extents, left, right, indices, bool(within))
    return "no operand has the output's innermost dimension innermost"


def _pooled(generic: Generic, total: ir.Operation) -> int | None:
    """The number of the operand that is added to the output, or compared with it, by itself."""
    accumulator = generic.block.arguments[-1]
    terms = [each for each in total.operands if each != accumulator]
    if len(terms) != 1 or len(generic.body) > 2:
        return None
    extended = owner(terms[0], *_EXTENSIONS)
    return generic.argument_of(extended.operands[0] if extended else terms[0])


def _factors(generic: Generic, total: ir.Operation) -> tuple[int, int] | None:
    """The numbers of the operands whose product is added to the output."""
    accumulator = generic.block.arguments[-1]
    terms = [each for each in total.operands if each != accumulator]
    product = owner(terms[0], _PRODUCTS.get(total.name, "")) if len(terms) == 1 else None
    if product is None or len(generic.body) > 4:
        return None
    found = []
    for factor in product.operands:
        extended = owner(factor, *_EXTENSIONS)
        found.append(generic.argument_of(extended.operands[0] if extended else factor))
    return None if None in found or len(set(found)) < 2 or len(generic.inputs) in found else tuple(found)


# What follows the reduction.


def _is_elementwise(operation: ir.Operation | None) -> bool:
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


def _only_user(value: ir.Value) -> ir.Operation | None:
    found = {user for user, _ in users(value)}
    return found.pop() if len(found) == 1 else None


def _chain(reduction: ir.Operation) -> list[ir.Operation]:
    """The operations, one after the other, that are computed on the sums as soon as they are there."""
    found = [reduction]
    rank = reduction.results[0].type.rank
    while True:
        value = found[-1].results[0]
        user = _only_user(value)
        if not _is_elementwise(user) or user.results[0].type.rank != rank:
            return found
        maps = Generic(user).maps
        taken = [number for number, each in enumerate(user.operands) if each == value]
        if not all(is_identity(maps[number]) for number in taken) or len(user.operands) - 1 in taken:
            return found
        found.append(user)


def _to_narrowest(chain: list[ir.Operation]) -> list[ir.Operation]:
    """The chain up to its narrowest value, as that is what is stored, if the rest makes it much larger.

    What a mean adds up, for one, is widened at once: a whole image of 8 bits would become one of 32.
    """
    sizes = [_bytes_of(each.results[0].type) for each in chain]
    narrowest = max(number for number, size in enumerate(sizes) if size == min(sizes))
    return chain if sizes[-1] - sizes[narrowest] < _WIDENED_BYTES else chain[: narrowest + 1]


def _bytes_of(kind: ir.RankedTensorType) -> int:
    return math.prod(kind.shape) * -(-kind.element_type.width // 8)


@dataclass
class _Padding:
    """A `tensor.pad` that the result goes into."""

    operation: ir.Operation
    low: list[int]
    filling: int | float


def _padding(value: ir.Value) -> _Padding | None:
    user = _only_user(value)
    known = padding_of(user) if user else None
    if known is None or known[0][-1] or known[1][-1]:
        return None
    return _Padding(user, known[0], known[2])


# Building.


@dataclass
class _Kernel:
    """Builds the kernel of a reduction and what follows it."""

    reduction: _Reduction
    vlen: int
    _clones: dict[ir.Value, ir.Value] = field(default_factory=dict)

    def replace(self) -> str:
        """Put the kernel in place of the operations; returns what to say of it."""
        chain = _to_narrowest(_chain(self.reduction.generic.operation))
        padding = _padding(chain[-1].results[0])
        self.chain, self.padding = chain, padding
        last = padding.operation if padding else chain[-1]
        kind = last.results[0].type
        with ir.InsertionPoint(last), ir.Location.fused([each.location for each in chain]):
            built = kernel(kind, lambda: self._build(kind))
        last.results[0].replace_all_uses_with(built)
        for operation in ([padding.operation] if padding else []) + chain[::-1]:
            operation.erase()
        following = f", {len(chain) - 1} operations on the registers" if len(chain) > 1 else ""
        return f"{self.tiles}{following}{', stored into its padding' if padding else ''}"

    # Loops.

    def _build(self, kind: ir.RankedTensorType) -> ir.Value:
        spatial, channels = self.reduction.innermost, self.reduction.extents[self.reduction.innermost]
        result = create("tensor.empty", [kind], []).result
        self._begin = owner(result)
        if self.padding:
            result = self._fill_borders(result, kind.shape)
        self._prepare()
        descriptions = []
        row = self.reduction.is_row and _LARGE_GROUP * self.vlen <= _ROW_BITS
        large = not self.reduction.depthwise and (self.reduction.widens or row)
        group = _LARGE_GROUP if large else _GROUP
        for start, size, count in chunks(channels, max(1, group * self.vlen // 32), self.vlen // 32):
            registers = -(-size * 32 // self.vlen)
            if self.reduction.right is None:
                loaded, largest = 2 * registers, _POOLING_TILE
            elif self.reduction.depthwise:
                loaded, largest = 2 * registers, _LARGEST_TILE // 2  # a vector of each output is loaded as well
            else:
                loaded = max(2, registers * 3 // 4) if self.reduction.widens else 2 * registers
                largest = _LARGEST_TILE
            extent = self.reduction.extents[spatial - 1] if spatial else 1
            tile = _tile(extent, registers, loaded, largest)
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
            return self._counted(extent, 1, result, body)
        body = lambda place, tensor: self._tile([*places, place], tensor, channel, size, tile)  # noqa: E731
        result = self._counted(extent // tile * tile, tile, result, body)
        rest = extent % tile
        return self._tile([*places, Place(None, extent - rest)], result, channel, size, rest) if rest else result

    @staticmethod
    def _counted(extent: int, step: int, result: ir.Value, body: Callable) -> ir.Value:
        if extent == step:
            return body(Place(), result)
        return counted_loop(extent, step, [result], lambda counter, carried: [body(Place(counter), carried[0])])[0]

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

            return self._counted(count, 1, result, body)
        for start, size, count in chunks(channels, self.vlen // 4):
            for number in range(count):
                indices = [index_of([(1, place)]) for place in [*places, Place(None, start + number * size)]]
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
            low = self.padding.low if self.padding else [0] * len(output)
            indices = [index_of([(1, place.plus(start))]) for place, start in zip(output, low, strict=True)]
            result = store(values[self.chain[-1].results[0]], result, indices)
        return result

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
                left = create(_PRODUCTS[total.name], [value.type], [left, weights]).result
            result.append(create(total.name, [value.type], [value, left]).result)
        return result

    def _extended(self, value: ir.Value, operand: int) -> ir.Value:
        """As the body of the reduction widens the operand."""
        argument = self.reduction.generic.block.arguments[operand]
        for operation, _ in users(argument):
            if operation.name in _EXTENSIONS:
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
        if made is not None and made.name == "linalg.fill":
            number = constant(made.operands[0])
            return broadcast(made.operands[0], size) if number is None else splat(size, element, number)
        at = [output[loop] for loop in loops]
        innermost = len(output) - 1
        if _is_elementwise(made) and loops and loops[-1] == innermost and _is_cheap(made):
            return self._elementwise(made, at, size, {})
        known = constant(value)
        if isinstance(known, np.ndarray) and known.size and (known == known.flat[0]).all():
            return splat(size, element, known.flat[0].item())
        indices = [index_of([(1, place)]) for place in at]
        tensor = self._local(value)
        if loops and loops[-1] == innermost:
            return load(tensor, indices, size)
        return broadcast(extract(tensor, indices), size)


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


def _is_cheap(operation: ir.Operation) -> bool:
    """Whether to compute it again where it is needed, as its operands take no more memory than its result."""
    generic = Generic(operation)
    if not generic.body:
        return True
    sizes = [value.type.element_type.width for value in generic.operands if isinstance(value.type, ir.RankedTensorType)]
    return _only_user(operation.results[0]) is not None and max(sizes[:-1]) <= sizes[-1]


def _tile(extent: int, registers: int, weights: int, largest: int) -> int:
    """How many neighbouring outputs share a load of weights: the cheapest of those that fit into the registers.

    A sum takes ``registers`` of them, and what is loaded ``weights``; there are no more than ``largest``.
    """
    most = min(largest, (_REGISTERS - weights - 1) // registers)

    def cost(tile: int) -> int:
        tiles = [tile] * (extent // tile) + ([extent % tile] if extent % tile else [])
        return sum(3 + 2 * each for each in tiles) + (6 if extent % tile else 0)

    return min(range(1, min(most, extent) + 1), key=cost)
