# SPDX-License-Identifier: Apache-2.0
"""Sums of products by instructions of the chip's own.

Reason: an instruction that a chip has for its kernels is of no use as long as the compiler never makes it. A function
of the chip's owner is asked about each sum of products of bytes, and says with which steps it is to be computed.

Precondition: static shapes; one sum of products of bytes along one dimension, which is innermost in the first
operand; the second operand is constant. Its elements are packed into words, in the order of the sum. Additions modulo
2^32 may come in any order, so the result is the same to the bit.

A description names the function::

    [[instruction]]
    name = "dot4"
    match = 0x0000_507B
    mask = 0xFE00_707F
    model = "ops.py:dot4"
    kernels = "ops.py:dense"

and this is the function::

    def dense(part):
        if part.is_signed and part.length >= 8:
            return part.step(lanes=4)        # rd = dot4(rs1: four of the input, rs2: four weights, rd: the sum so far)
        return None                          # the kernel stays as it is
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from iree.compiler import ir

from springbok.chips.chip import Instruction, function_of, place_of
from springbok.compiler.mlir import Generic, constant, dimensions, is_generic, operations, owner, tensor, where
from springbok.compiler.optimizer.transformation import Change, Visits
from springbok.compiler.optimizer.vector_code import (
    counted_loop,
    create,
    erase_dead,
    extract,
    index,
    kernel,
    vector,
    vector_bits,
)
from springbok.support import process
from springbok.support.errors import ChipFunctionError

NAME = "own-instructions"
#: Code for one step: it takes the sum so far, a word of the input and a word of weights, and gives the next sum.
Code = Callable[[ir.Value, ir.Value, ir.Value], ir.Value]
_WORD_LANES = 4
_NAMED = ("linalg.matmul", "linalg.vecmat")


@dataclass(frozen=True)
class Step:
    """How a sum is computed: ``lanes`` products at a time, by ``code``, or by the instruction itself."""

    lanes: int
    code: Code


@dataclass(frozen=True)
class SumOfProducts:
    """A part of a kernel that an instruction may compute: ``outputs`` sums of ``length`` products of bytes each.

    ``place`` is the layer's name, if the source gives one, and the type of the result; ``is_signed`` whether input and
    weights both are int8; ``vlen`` is the bits of the core's vector registers, 0 without vectors.
    """

    place: str
    outputs: int
    length: int
    is_signed: bool
    vlen: int
    instruction: Instruction

    def step(self, lanes: int = _WORD_LANES) -> Step:
        """The instruction itself: rd is the sum so far and the next one, rs1 a word of the input, rs2 of weights."""
        return Step(lanes, lambda total, left, right: assembly(self.instruction, total, left, right))


def assembly(instruction: Instruction, total: ir.Value, left: ir.Value, right: ir.Value) -> ir.Value:
    """An instruction of the R type with rd read and written, at the insertion point."""
    word = instruction.match
    text = f".insn r {word & 0x7F:#x}, {word >> 12 & 7}, {word >> 25}, $0, $1, $2"
    attributes = {
        "asm_string": ir.StringAttr.get(text),
        "constraints": ir.StringAttr.get("=r,r,r,0"),
        "asm_dialect": ir.IntegerAttr.get(ir.IntegerType.get_signless(64), 0),
    }
    return create("llvm.inline_asm", [total.type], [left, right, total], attributes=attributes).result


class OwnInstructions:
    """See the module."""

    name = NAME
    vectors_only = False
    proved_on = ("3.13.0",)

    def __init__(self, instructions: Sequence[Instruction]) -> None:
        self._hooks = [(each, function_of(each.kernels)) for each in instructions]

    def apply(self, module: ir.Module, visits: Visits | None = None) -> list[Change]:
        """See :class:`Transformation`."""
        changes, vlen, visits = [], vector_bits(module, default=0), visits or Visits()
        kinds = (*_NAMED, "linalg.generic")
        for operation in visits.of([each for each in operations(module) if each.name in kinds]):
            place = where(operation)
            found = _read_named(operation) if operation.name in _NAMED else _read(Generic(operation))
            if found is None:
                continue
            for instruction, function in self._hooks:
                part = SumOfProducts(place, found.outputs, found.length, all(found.signed), vlen, instruction)
                step = _asked(instruction, function, part)
                if step is not None:
                    built = _replace(found, replace(step, code=_guarded(instruction, step.code, part)))
                    _called(instruction, part, built.owner.verify)
                    detail = (
                        f"{found.outputs} sums of {found.length} products by {instruction.name}, {step.lanes} a step"
                    )
                    changes.append(Change(self.name, place, True, detail))
                    break
        erase_dead(module)  # not before: what comes later may be among it
        return changes


def _asked(instruction: Instruction, function: Callable[[SumOfProducts], Step | None], part: SumOfProducts):
    """What the chip's function says. Raises :class:`ChipFunctionError` with its place where it can't."""
    step = _called(instruction, part, function, part)
    if step is None:
        return None
    wrong = ""
    if not isinstance(step, Step):
        wrong = f"gave {step!r:.60}: it gives part.step(...), a Step, or None where the kernel stays as it is"
    elif not isinstance(step.lanes, int) or not 0 < step.lanes <= _WORD_LANES:
        wrong = f"asks for lanes={step.lanes!r:.20}: a word has 1 to {_WORD_LANES}"
    elif not callable(step.code):
        wrong = f"gave the code {step.code!r:.60}: it is a function of the sum so far, an input and weights"
    if wrong:
        raise ChipFunctionError(f"{_function_named(instruction)} {wrong}. It was asked about {part.place}.")
    return step


def _guarded(instruction: Instruction, code: Code, part: SumOfProducts) -> Code:
    """The code of a step, which the chip's owner wrote too."""

    def guarded(total: ir.Value, left: ir.Value, right: ir.Value) -> ir.Value:
        made = _called(instruction, part, code, total, left, right)
        if not isinstance(made, ir.Value) or made.type != total.type:
            raise ChipFunctionError(
                f"{_function_named(instruction)} has a code that gave {str(made):.60}: it gives the next sum, a value "
                f"of the type {total.type}. It was asked about {part.place}."
            )
        return made

    return guarded


def _called(instruction: Instruction, part: SumOfProducts, function: Callable, *arguments: object) -> object:
    try:
        return function(*arguments)
    except (Exception, SystemExit) as error:
        process.raise_if_ended()
        raise ChipFunctionError(
            f"{_function_named(instruction)} failed{place_of(error)}: {type(error).__name__}: {error}. "
            f"It was asked about {part.place}."
        ) from error


def _function_named(instruction: Instruction) -> str:
    return f"The function {instruction.kernels} of the chip's instruction {instruction.name}"


@dataclass
class _Sum:
    """A matched sum. ``weights`` has the outputs' loop first; ``signed`` is of the input and of the weights.

    ``left_loops`` are the loops of the input's dimensions, ``channel`` that of the weights' first.
    """

    operation: ir.Operation
    initial: ir.Value
    left: ir.Value
    left_loops: list[int]
    weights: np.ndarray
    signed: tuple[bool, bool]
    channel: int
    parallel: list[int]
    length: int

    @property
    def outputs(self) -> int:
        return math.prod(self.parallel)


def _read_named(operation: ir.Operation) -> _Sum | None:
    """A product of matrices, or of a vector and a matrix."""
    left, right, initial = operation.operands
    weights, shape = constant(right), list(initial.type.shape)
    types = [str(each.type.element_type) for each in operation.operands]
    if not isinstance(weights, np.ndarray) or types != ["i8", "i8", "i32"] or "cast" in operation.attributes:
        return None
    rows, channel, last = list(range(len(shape) - 1)), len(shape) - 1, len(shape)
    maps = [[*rows, last], [last, channel]]
    if "indexing_maps" in operation.attributes:
        maps = [dimensions(each.value) for each in operation.attributes["indexing_maps"]][:2]
    if maps[0] != [*rows, last] or sorted(maps[1] or ()) != [channel, last] or min([*left.type.shape, *shape]) < 0:
        return None
    weights = weights if maps[1][0] == channel else weights.T
    return _Sum(operation, initial, left, maps[0], weights, (True, True), channel, shape, weights.shape[1])


def _read(generic: Generic) -> _Sum | None:
    if not is_generic(generic.operation):
        return None
    extents, reductions = generic.extents, generic.reductions
    if extents is None or reductions != [False] * (len(reductions) - 1) + [True]:
        return None
    last = len(reductions) - 1
    if dimensions(generic.maps[-1]) != list(range(last)) or str(generic.operands[-1].type.element_type) != "i32":
        return None
    total = owner(generic.yielded, "arith.addi")
    terms = [each for each in total.operands if each != generic.block.arguments[-1]] if total else []
    product = owner(terms[0], "arith.muli") if len(terms) == 1 else None
    if product is None or len(generic.body) != 4 or len(generic.inputs) != 2:
        return None
    widened = [owner(each, "arith.extsi", "arith.extui") for each in product.operands]
    numbers = [generic.argument_of(each.operands[0]) if each else None for each in widened]
    if set(numbers) != {0, 1}:
        return None
    signed = {number: each.name == "arith.extsi" for number, each in zip(numbers, widened, strict=True)}
    for left, right in ((0, 1), (1, 0)):
        loops, weights = dimensions(generic.maps[left]), constant(generic.operands[right])
        own = dimensions(generic.maps[right])
        if not isinstance(weights, np.ndarray) or loops is None or own is None or len(own) != 2 or last not in own:
            continue
        if any(str(each.type.element_type) != "i8" for each in generic.inputs) or loops[-1:] != [last]:
            continue
        channel = own[0] + own[1] - last
        weights = weights if own[1] == last else weights.T
        both = (signed[left], signed[right])
        initial, value = generic.operands[-1], generic.operands[left]
        return _Sum(generic.operation, initial, value, loops, weights, both, channel, extents[:-1], extents[-1])
    return None


def _replace(found: _Sum, step: Step) -> ir.Value:
    operation = found.operation
    kind = operation.results[0].type
    with ir.InsertionPoint(operation), operation.location:
        built = kernel(kind, lambda: _build(found, step, kind))
    operation.results[0].replace_all_uses_with(built)
    operation.erase()
    return built


def _build(found: _Sum, step: Step, kind: ir.RankedTensorType) -> ir.Value:
    words = _packed(found.weights, step.lanes)
    i32 = ir.IntegerType.get_signless(32)
    packed = tensor(words, i32)
    rest = tensor(found.weights, ir.IntegerType.get_signless(8)) if found.length % step.lanes else None
    result = create("tensor.empty", [kind], []).result

    def at(places: Sequence[ir.Value], place: ir.Value) -> list[ir.Value]:
        return [*(places[loop] for loop in found.left_loops[:-1]), place]

    def one(places: list[ir.Value], tensor_: ir.Value) -> ir.Value:
        channel = places[found.channel]

        def products(number: ir.Value, carried: list[ir.Value]) -> list[ir.Value]:
            start = create("arith.muli", [number.type], [number, index(step.lanes)]).result
            left = _word(found.left, at(places, start), step.lanes)
            return [step.code(carried[0], left, extract(packed, [channel, number]))]

        total = [_start(found.initial, places, i32)]
        whole = found.length // step.lanes
        if whole:
            total = counted_loop(whole, 1, total, products)
        for place in range(whole * step.lanes, found.length):
            pair = (extract(found.left, at(places, index(place))), extract(rest, [channel, index(place)]))
            left, right = (
                create("arith.extsi" if signed else "arith.extui", [i32], [value]).result
                for value, signed in zip(pair, found.signed, strict=True)
            )
            product = create("arith.muli", [i32], [left, right]).result
            total = [create("arith.addi", [i32], [total[0], product]).result]
        return create("tensor.insert", [kind], [total[0], tensor_, *places]).result

    def over(places: list[ir.Value], tensor_: ir.Value) -> ir.Value:
        if len(places) == len(found.parallel):
            return one(places, tensor_)
        extent = found.parallel[len(places)]
        return counted_loop(extent, 1, [tensor_], lambda number, carried: [over([*places, number], carried[0])])[0]

    return over([], result)


def _start(initial: ir.Value, places: Sequence[ir.Value], i32: ir.Type) -> ir.Value:
    fill = owner(initial, "linalg.fill")
    known = constant(fill.operands[0]) if fill else None
    if known is not None:
        return create("arith.constant", [i32], [], attributes={"value": ir.IntegerAttr.get(i32, int(known))}).result
    return extract(initial, list(places))


def _packed(weights: np.ndarray, lanes: int) -> np.ndarray:
    """Words of ``lanes`` weights each, the first in the lowest byte; what is behind the last whole one is left out."""
    rows, length = weights.shape
    whole = np.zeros((rows, length // lanes, _WORD_LANES), np.uint8)
    whole[:, :, :lanes] = weights[:, : length // lanes * lanes].view(np.uint8).reshape(rows, -1, lanes)
    return np.ascontiguousarray(whole).view("<i4").reshape(rows, -1)


def _word(source: ir.Value, indices: list[ir.Value], lanes: int) -> ir.Value:
    """``lanes`` neighbouring bytes as a word."""
    i8, i32 = ir.IntegerType.get_signless(8), ir.IntegerType.get_signless(32)
    zero = create("arith.constant", [i8], [], attributes={"value": ir.IntegerAttr.get(i8, 0)}).result
    last = ir.AffineMap.get(len(indices), 0, [ir.AffineDimExpr.get(len(indices) - 1)])
    attributes = {
        "permutation_map": ir.AffineMapAttr.get(last),
        "in_bounds": ir.ArrayAttr.get([ir.BoolAttr.get(True)]),
        "operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, len(indices), 1, 0]),
    }
    loaded = create("vector.transfer_read", [vector(lanes, i8)], [source, *indices, zero], attributes=attributes).result
    if lanes < _WORD_LANES:
        empty = create(
            "arith.constant",
            [vector(_WORD_LANES, i8)],
            [],
            attributes={"value": ir.DenseElementsAttr.get_splat(vector(_WORD_LANES, i8), ir.IntegerAttr.get(i8, 0))},
        ).result
        place = {"offsets": _numbers([0]), "strides": _numbers([1])}
        loaded = create("vector.insert_strided_slice", [empty.type], [loaded, empty], attributes=place).result
    word = create("vector.bitcast", [vector(1, i32)], [loaded]).result
    return create("vector.extract", [i32], [word], attributes={"static_position": ir.DenseI64ArrayAttr.get([0])}).result


def _numbers(values: Sequence[int]) -> ir.ArrayAttr:
    i64 = ir.IntegerType.get_signless(64)
    return ir.ArrayAttr.get([ir.IntegerAttr.get(i64, each) for each in values])
