# SPDX-License-Identifier: Apache-2.0
"""Puts right how kernels read single elements of a part of a tensor, as after a slice along the last axis.

Where a kernel picks elements by computed indices (`tensor.extract`: gathers, resizing, reversing) IREE 3.13 makes
vector code of it: it computes each element's place from the shape of what is read, as if that lay densely, and forgets
that the rows of a part are as far from each other as those of the whole. The answer is wrong, and not on every machine.

The phase `flow` still says what is a part of what: there such reads become reads of the whole tensor, whose rows are
where their shape says. All other kernels stay what they are.

Example::

    if occur(flow_phase):
        put_right(module, "the model")      # the phase `flow` as a module
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from springbok.support.errors import CompileError

if TYPE_CHECKING:
    from iree.compiler import ir

#: Counts up when other modules are made, so that no older cache entry is taken.
VERSION = 1

_LOAD = "iree_tensor_ext.dispatch.tensor.load"
_PARTS = (_LOAD, "tensor.extract_slice")
_RESHAPES = ("tensor.expand_shape", "tensor.collapse_shape")


def occur(flow: str) -> bool:
    """Whether the text of the phase `flow` may hold such reads: a kernel that reads elements, and a part of a tensor.

    It is quick, and may be wrong only by saying yes.
    """
    for body in re.findall(r"^  flow\.executable .*?^  }", flow, re.MULTILINE | re.DOTALL):
        if "tensor.extract %" not in body:
            continue
        loads = re.findall(rf"{re.escape(_LOAD)} .*<\w+:(tensor<.*)>\S* -> (tensor<.*?>)(?: loc\(.*\))?$", body, re.M)
        if "tensor.extract_slice" in body or any(whole != taken for whole, taken in loads):
            return True
    return False


def put_right(module: ir.Module, name: str) -> None:
    """Lets such reads read the whole tensor.

    Raises :class:`CompileError` where that can't be done; ``name`` is what it calls the model.
    """
    from springbok.compiler.mlir import operations

    for extract in operations(module, "tensor.extract"):
        _put_right(extract, name)


def _put_right(extract: ir.Operation, name: str) -> None:
    from iree.compiler import ir

    from springbok.compiler.mlir import owner

    read, strided = extract.operands[0], False
    way = []
    while (source := owner(read, *_PARTS, *_RESHAPES)) is not None:
        way.append(source)
        strided |= source.name in _PARTS and not _is_dense(source)
        if source.name == _LOAD:
            break
        read = source.operands[0]
    if not strided:
        return
    with ir.InsertionPoint(extract), extract.location:
        indices = list(extract.operands)[1:]
        for each in way:
            if any(size < 0 for size in (*each.results[0].type.shape, *_whole(each).shape)):
                raise CompileError(
                    f"{name} picks elements of a part of a tensor whose shape is open ({each.results[0].type}), which "
                    "the compiler does wrongly: give the model fixed shapes."
                )
            indices = (_of_reshape if each.name in _RESHAPES else _of_part)(each, indices)
        whole = _load_of_all(way[-1]) if way[-1].name == _LOAD else way[-1].operands[0]
        made = ir.Operation.create("tensor.extract", [extract.results[0].type], [whole, *indices])
    extract.results[0].replace_all_uses_with(made.result)
    extract.erase()


def _whole(part: ir.Operation) -> ir.RankedTensorType:
    """The type of what is reshaped, or of what a part is taken of."""
    from iree.compiler import ir

    kind = part.operands[0].type
    if part.name != _LOAD:
        return kind
    return ir.RankedTensorType(ir.Type.parse(re.fullmatch(r"\S+<\w+:(tensor<.*>)>", str(kind))[1]))


def _numbers(part: ir.Operation, name: str) -> list[int]:
    from iree.compiler import ir

    return list(ir.DenseI64ArrayAttr(part.attributes[f"static_{name}"]))


def _is_dense(part: ir.Operation) -> bool:
    """Whether the elements of a part lie beside each other as its shape says: all of its inner axes are whole."""
    sizes, strides = _numbers(part, "sizes"), _numbers(part, "strides")
    inner_is_part = False
    for size, stride, length in zip(reversed(sizes), reversed(strides), reversed(_whole(part).shape), strict=True):
        if size != 1 and (inner_is_part or stride != 1):
            return False
        inner_is_part |= size != length
    return True


def _of_part(part: ir.Operation, indices: Sequence[ir.Value]) -> list[ir.Value]:
    """The indices of the whole for those of a part of it."""
    from iree.compiler import ir

    from springbok.compiler.mlir import arith, number

    index = ir.IndexType.get()
    segments = list(ir.DenseI32ArrayAttr(part.attributes["operandSegmentSizes"]))
    # The operands: what is read, the sizes of it that are computed (of a load), then offsets, sizes, strides.
    first = {name: sum(segments[: number - 3]) for number, name in enumerate(("offsets", "sizes", "strides"))}

    def values(name: str) -> list[ir.Value | int]:
        computed = iter(list(part.operands)[first[name] :])
        return [next(computed) if each == _COMPUTED else each for each in _numbers(part, name)]

    left, shape = list(indices), list(part.results[0].type.shape)
    found = []
    for offset, size, stride in zip(values("offsets"), values("sizes"), values("strides"), strict=True):
        if shape and shape[0] == size:
            shape.pop(0)
            place = left.pop(0)
        else:  # an axis of length 1 that the part does not have
            place = number(index, 0)
        if stride != 1:
            place = arith("muli", place, number(index, stride) if isinstance(stride, int) else stride)
        if offset != 0:
            place = arith("addi", place, number(index, offset) if isinstance(offset, int) else offset)
        found.append(place)
    return found


_COMPUTED = -(2**63)


def _of_reshape(reshape: ir.Operation, indices: Sequence[ir.Value]) -> list[ir.Value]:
    """The indices of what is reshaped for those of the result."""
    from iree.compiler import ir

    from springbok.compiler.mlir import arith, number

    index = ir.IndexType.get()
    groups = [[axis.value for axis in group] for group in reshape.attributes["reassociation"]]
    expands = reshape.name == "tensor.expand_shape"
    shape = (reshape.results[0] if expands else reshape.operands[0]).type.shape
    found = []
    for group, collapsed in zip(groups, [None] * len(groups) if expands else indices, strict=True):
        place = None
        if expands:
            for axis in group:
                place = indices[axis] if place is None else arith("muli", place, number(index, shape[axis]))
                place = place if axis == group[0] else arith("addi", place, indices[axis])
            found.append(place)
            continue
        rest, places = collapsed, []
        for axis in reversed(group[1:]):
            length = number(index, shape[axis])
            places.append(arith("remui", rest, length))
            rest = arith("divui", rest, length)
        found += [rest, *reversed(places)]
    return found


def _load_of_all(load: ir.Operation) -> ir.Value:
    """A load of the whole of what ``load`` reads a part of, beside it."""
    from iree.compiler import ir

    whole = _whole(load)
    rank = len(whole.shape)
    attributes = {
        "operandSegmentSizes": ir.DenseI32ArrayAttr.get([1, 0, 0, 0, 0]),
        "static_offsets": ir.DenseI64ArrayAttr.get([0] * rank),
        "static_sizes": ir.DenseI64ArrayAttr.get(list(whole.shape)),
        "static_strides": ir.DenseI64ArrayAttr.get([1] * rank),
    }
    with ir.InsertionPoint(load), load.location:
        return ir.Operation.create(_LOAD, [whole], [load.operands[0]], attributes).result
