# SPDX-License-Identifier: Apache-2.0
"""Activations with the channel innermost.

Reason: PyTorch and ONNX lay images out as [channel, row, column]. The vectors of a kernel run along the innermost
dimension, so there they are as short as a row is, and each tap of a window loads another. With the channel innermost,
one vector of weights meets one element of the image.

What a convolution makes is laid out anew, and so is what follows it: operations element by element, poolings,
depthwise convolutions and pads. Anything else gets a copy in the old order; a dense layer reads it by itself, see
`register_tiling`. Sums stay in their order.

Precondition: static shapes; a sum whose constant weights have the output channel as their only parallel loop, which is
the output's first dimension and not its last (with a batch of one it is: IREE drops that dimension). And it must pay:
where rows fill vectors, few channels do not, and fewer than fill one are not worth a copy in the old order.
"""

from __future__ import annotations

from collections.abc import Sequence

from iree.compiler import ir

from springbok.compiler.mlir import (
    Generic,
    constant,
    dimensions,
    generic,
    is_copy,
    is_generic,
    maps_attribute,
    operations,
    owner,
    sum_of_loops,
    users,
    uses,
    where,
)
from springbok.compiler.optimizer.transformation import Change, Visits
from springbok.compiler.optimizer.vector_code import RESHAPES, create, erase_dead, padding_of, refilled, vector_bits


class ChannelsLast:
    """See the module."""

    name = "channels-last"
    vectors_only = True
    proved_on = ("3.13.0",)

    def apply(self, module: ir.Module, visits: Visits | None = None) -> list[Change]:
        """See :class:`Transformation`."""
        changes, channels, lanes = [], {}, vector_bits(module) // 32
        for operation in (visits or Visits()).of(operations(module)):
            if _is_pad(operation):
                channel = channels.get(operation.operands[0])
            elif is_generic(operation):
                channel = _channel_of(Generic(operation), channels)
            else:
                continue
            place, begins = where(operation), not any(value in channels for value in operation.operands)
            if channel is not None and begins and not _pays(operation.results[0], lanes):
                changes.append(Change(self.name, place, False, "its rows fill the vectors, and its channels do not"))
                continue
            if is_generic(operation):
                _move_loops(Generic(operation), channel, channels)
            elif channel is not None:
                _move_pad(operation, channel)
            if channel is not None:
                (result,), shape = operation.results, operation.results[0].type.shape
                channels[result] = channel
                _lay_out(result, channel)
                detail = " to ".join("x".join(map(str, each)) for each in (shape, result.type.shape))
                changes.append(Change(self.name, place, True, f"from {detail}"))
        erase_dead(module)
        return changes


def _is_pad(operation: ir.Operation) -> bool:
    return padding_of(operation) is not None


def _moved(rank: int, channel: int) -> list[int]:
    """The numbers of ``rank`` dimensions with ``channel`` as the last."""
    return [*(each for each in range(rank) if each != channel), channel]


def _move_loops(each: Generic, channel: int | None, channels: dict[ir.Value, int]) -> None:
    """Read operands as they now lie, and make the channel the last parallel loop, if there is one to move.

    ``channels`` has the values that are laid out anew, with the dimension that went behind all others.
    """
    operands, maps = each.operands, each.maps
    for number, value in enumerate(each.inputs):
        if value in channels:
            order = _moved(len(maps[number].results), channels[value])
            maps[number] = _map(each, [maps[number].results[place] for place in order])
        elif channel is not None:
            operands[number], maps[number] = _spread(each, number)
    if channel is not None:
        outer = dimensions(maps[-1])
        order = [outer[place] for place in _moved(len(outer), channel)]
        order += [loop for loop in range(len(each.reductions)) if loop not in outer]
        renamed = _map(each, [ir.AffineDimExpr.get(order.index(loop)) for loop in range(len(order))])
        maps = [_map(each, [place.compose(renamed) for place in map_.results]) for map_ in maps]
        maps[-1] = _map(each, [ir.AffineDimExpr.get(loop) for loop in range(len(outer))])
        operands[-1] = _initial(each, channel)
        kinds = list(each.operation.attributes["iterator_types"])
        each.operation.attributes["iterator_types"] = ir.ArrayAttr.get([kinds[loop] for loop in order])
    for number, value in enumerate(operands):
        each.operation.operands[number] = value
    each.operation.attributes["indexing_maps"] = maps_attribute(maps)


def _map(each: Generic, results: Sequence[ir.AffineExpr]) -> ir.AffineMap:
    return ir.AffineMap.get(len(each.reductions), 0, list(results))


def _channel_of(each: Generic, channels: dict[ir.Value, int]) -> int | None:
    """The dimension of the result that is to be its innermost, if it is not that already."""
    outer = dimensions(each.maps[-1])
    if each.extents is None or not outer or any(operation.name == "linalg.index" for operation in each.body):
        return None
    loop = outer[0] if _has_weights_of(outer[0], each) else None
    for value, map_ in zip(each.inputs, each.maps, strict=False):
        if loop is None and value in channels:
            (loop,) = dimensions(_map(each, [map_.results[channels[value]]])) or [None]
    return outer.index(loop) if loop in outer[:-1] else None


def _has_weights_of(loop: int, each: Generic) -> bool:
    """Whether it sums up products with constant weights, one set for each place of the parallel ``loop``."""
    indices = [[sum_of_loops(place) for place in map_.results] for map_ in each.maps[:-1]]
    if not any(each.reductions) or any(None in places for places in indices):
        return False
    taken = [number for number, places in enumerate(indices) if any(loop in place for place in places)]
    if len(taken) != 1 or constant(each.inputs[taken[0]]) is None:
        return False
    loops = dimensions(each.maps[taken[0]])
    return loops is not None and [one for one in loops if not each.reductions[one]] == [loop]


def _pays(result: ir.Value, lanes: int) -> bool:
    """Whether fewer instructions are to be expected than with vectors along the rows; ``lanes`` of 32 bits.

    Measured on convolutions of 3 x 3 at VLEN 512: where a row is no multiple of the lanes, vectors along it need 4 to
    60 times as many instructions; where it is, a copy in the old order costs more than up to 16 channels gain.
    """
    channels, *_, row = result.type.shape
    if row % lanes or channels > lanes:
        return True
    return 2 * channels >= lanes and _is_summed_up(result)


def _is_summed_up(value: ir.Value) -> bool:
    """Whether another sum or pooling follows, which reads any layout."""
    for user, number in users(value):
        if user.name in ("linalg.matmul", "linalg.vecmat") or (is_generic(user) and any(Generic(user).reductions)):
            return True
        follows = _reads_any_layout(user, number) or user.name in RESHAPES
        if follows and _is_summed_up(user.results[0]):
            return True
    return False


def _spread(each: Generic, number: int) -> tuple[ir.Value, ir.AffineMap]:
    """An operand and its map; of one that is only spread over more dimensions, such as a bias, what is spread."""
    value, map_ = each.inputs[number], each.maps[number]
    made = owner(value)
    if made is None or not is_copy(made):
        return value, map_
    spread = Generic(made)
    return spread.inputs[0], _map(each, [place.compose(map_) for place in spread.maps[0].results])


def _initial(each: Generic, channel: int) -> ir.Value:
    """The result's initial value in the new layout."""
    value = each.operands[-1]
    with ir.InsertionPoint(each.operation), each.operation.location:
        kind = _laid_out(value.type, channel)
        if not uses(each.block.arguments[-1]):
            return create("tensor.empty", [kind], []).result
        fill = owner(value, "linalg.fill")
        return _copy(value, kind, _moved(kind.rank, channel)) if fill is None else refilled(fill, kind)


def _copy(value: ir.Value, kind: ir.RankedTensorType, order: Sequence[int]) -> ir.Value:
    """``value`` with its dimensions in ``order``, of the type ``kind``."""
    rank = len(order)
    read = ir.AffineMap.get(rank, 0, [ir.AffineDimExpr.get(list(order).index(each)) for each in range(rank)])
    identity = ir.AffineMap.get_identity(rank)
    empty = create("tensor.empty", [kind], []).result
    copy = generic(kind, [value], empty, [read, identity], [False] * rank, lambda element, _: element)
    return copy.results[0]


def _laid_out(kind: ir.RankedTensorType, channel: int) -> ir.RankedTensorType:
    return ir.RankedTensorType.get([kind.shape[each] for each in _moved(kind.rank, channel)], kind.element_type)


def _move_pad(pad: ir.Operation, channel: int) -> None:
    for name in ("static_low", "static_high"):
        amounts = list(ir.DenseI64ArrayAttr(pad.attributes[name]))
        pad.attributes[name] = ir.DenseI64ArrayAttr.get([amounts[each] for each in _moved(len(amounts), channel)])


def _lay_out(result: ir.Value, channel: int) -> None:
    """Gives ``result`` its new type, and a copy in the old order to those who can't read it so."""
    made, kind = owner(result), result.type
    others = [(user, number) for user, number in users(result) if not _reads_any_layout(user, number)]
    with made.location:
        result.set_type(_laid_out(kind, channel))
    if not others:
        return
    with ir.InsertionPoint.after(made), made.location:
        back = sorted(range(kind.rank), key=_moved(kind.rank, channel).__getitem__)
        copy = _copy(result, kind, back)
    for user, number in others:
        user.operands[number] = copy


def _reads_any_layout(user: ir.Operation, number: int) -> bool:
    """Whether it is one of those that are changed when their turn comes."""
    return _is_pad(user) or (is_generic(user) and number < len(user.operands) - 1)
