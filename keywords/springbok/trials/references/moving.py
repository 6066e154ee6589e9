# SPDX-License-Identifier: Apache-2.0
"""Models of operators that move elements: shapes, places, pads, selections."""

from __future__ import annotations

import math

import numpy as np
from onnx import numpy_helper

from springbok.trials.references.maker import Maker, UnfitError, below, ordinary


def reshape(maker: Maker, operator: str) -> None:
    """To a shape with a length kept (0), one left open (-1), or both."""
    del operator
    given = maker.shape(1)
    wanted = [int(each) for each in maker.random.permutation(given)]
    if len(wanted) > 1 and maker.chance():
        joined = wanted[0] * wanted[1]
        wanted = [joined, *wanted[2:]]
    told = {}
    if maker.chance() and len(wanted) <= len(given) and wanted[0] == given[0]:
        wanted[0] = 0
        told["allowzero"] = maker.maybe("allowzero", 0)
    if maker.chance():
        wanted[-1] = -1
    maker.node([maker.given(maker.dtype(), given), maker.lengths(wanted)], **told)


def flatten(maker: Maker, operator: str) -> None:
    """Any axis, that behind the last one too."""
    del operator
    given = maker.shape(1)
    axis = maker.pick((len(given), maker.axis(len(given))))
    maker.node([maker.given(maker.dtype(), given)], axis=maker.maybe("axis", axis))


def transpose(maker: Maker, operator: str) -> None:
    """Any permutation."""
    del operator
    given = maker.shape()
    order = [int(each) for each in maker.random.permutation(len(given))]
    maker.node([maker.given(maker.dtype(), given)], perm=maker.maybe("perm", order or None))


def squeeze(maker: Maker, operator: str) -> None:
    """Some axes of length 1, or all; new ones in any order."""
    given = maker.shape(0, 3)
    count = maker.whole(1, 2)
    rank = len(given) + count
    places = sorted(int(each) for each in maker.random.permutation(rank)[:count])
    longer = list(given)
    for place in places:
        longer.insert(place, 1)
    told = [place - rank if maker.chance(0.3) and maker.opset >= 11 else place for place in places]
    if operator == "Unsqueeze" and maker.opset >= 13 and maker.chance(0.3):
        told.reverse()
    none = operator == "Squeeze" and maker.chance(0.2)
    name = maker.given(maker.dtype(), longer if operator == "Squeeze" else given)
    if maker.takes(2):
        maker.node([name, "" if none else maker.lengths(told)])
    else:
        maker.node([name], axes=None if none else told)


def expand(maker: Maker, operator: str) -> None:
    """To a larger shape, also one that is itself broadcast."""
    del operator
    whole = maker.shape()
    given = tuple(1 if maker.chance(0.4) else each for each in whole)
    wanted = [1 if maker.chance(0.2) else each for each in whole]
    maker.node([maker.given(maker.dtype(), given[maker.whole(0, len(given)) :]), maker.lengths(wanted)])


def tile(maker: Maker, operator: str) -> None:
    """Each axis up to three times."""
    del operator
    given = maker.shape(1, 3)
    maker.node([maker.given(maker.dtype(), given), maker.lengths([maker.whole(1, 3) for _ in given])])


def concat(maker: Maker, operator: str) -> None:
    """One tensor to four."""
    del operator
    given = maker.shape(1, 4)
    axis, dtype = maker.axis(len(given)), maker.dtype()
    names = []
    for _ in range(maker.whole(1, 4)):
        shape = list(given)
        shape[axis] = maker.whole(1, 4)
        names.append(maker.given(dtype, shape))
    maker.node(names, axis=axis)


def split(maker: Maker, operator: str) -> None:
    """In equal parts, in parts that are told, or with a last one that is smaller."""
    del operator
    given = list(maker.shape(1, 4))
    axis, count = maker.axis(len(given)), maker.whole(1, 4)
    parts = [maker.whole(1, 3) for _ in range(count)]
    equal = maker.chance(0.4)
    given[axis] = count * parts[0] if equal else sum(parts)
    name = maker.given(maker.dtype(), given)
    told = {"axis": axis if maker.chance(0.8) or axis else None}
    if equal:
        if maker.has("num_outputs"):
            told["num_outputs"] = count
        maker.node([name], count, **told)
    elif maker.takes(2):
        maker.node([name, maker.lengths(parts)], count, **told)
    else:
        maker.node([name], count, split=parts, **told)


def slice_(maker: Maker, operator: str) -> None:
    """Starts and ends of both signs and beyond the ends; steps, also backwards."""
    del operator
    given = maker.shape(1, 4, 6)
    axes = maker.axes(len(given))
    starts, ends, steps = [], [], []
    for axis in axes:
        length = given[axis]
        step = maker.pick((1, 1, 2, 3, -1, -2)) if maker.opset >= 10 else 1
        first = maker.whole(0, length - 1)
        last = maker.whole(first + 1, length + 3) if step > 0 else maker.whole(-length - 3, -length + first - 1)
        starts.append(first - length if maker.chance(0.4) else first)
        ends.append(last if step > 0 or last < -length else last)
        if step > 0 and maker.chance(0.3):
            ends[-1] = maker.pick((2**31 - 1, 2**63 - 1, last - length if last < length else 2**31 - 1))
        steps.append(step)
    name = maker.given(maker.dtype(), given)
    if not maker.takes(3):
        maker.node([name], starts=starts, ends=ends, axes=axes)
        return
    all_axes = axes == list(range(len(given)))
    told = [starts, ends, None if all_axes and maker.chance() else axes, steps if set(steps) != {1} else None]
    kind = maker.pick((np.int64, np.int32))
    limit = np.iinfo(kind).max
    names = ["" if each is None else maker.constant(np.array(np.minimum(each, limit), kind)) for each in told]
    maker.node([name, *names])


def pad(maker: Maker, operator: str) -> None:
    """All modes; of some axes, and negative amounts."""
    del operator
    given = maker.shape(1, 4)
    modes = ["constant", "reflect", "edge"] + ["wrap"] * (maker.opset >= 19)
    mode = maker.pick(modes)
    axes = maker.axes(len(given)) if maker.takes(4) and maker.chance(0.4) else None
    amounts = []
    for length in [given[axis] for axis in axes] if axes else given:
        most = min(length - 1, 3) if mode == "reflect" else length if mode == "wrap" else 3
        amounts.append([maker.whole(-1 if length > 3 and mode == "constant" else 0, most) for _ in range(2)])
    pads = [pair[0] for pair in amounts] + [pair[1] for pair in amounts]
    dtype = maker.dtype()
    name = maker.given(dtype, given)
    if not maker.takes(2):
        maker.node([name], pads=pads, mode=maker.maybe("mode", mode), value=maker.maybe("value", maker.real(-2, 2)))
        return
    fill = maker.constant(np.array(maker.whole(0, 3), dtype)) if maker.chance() and mode == "constant" else ""
    told = "constant" if mode == "constant" and maker.chance() else mode
    maker.node([name, maker.lengths(pads), fill, maker.lengths(axes) if axes else ""], mode=told)


def gather(maker: Maker, operator: str) -> None:
    """Indices as weights or inputs, of both signs, of any rank."""
    given = maker.shape(1, 3)
    axis = maker.axis(len(given))
    length = given[axis]
    lowest = -length if maker.opset >= 11 and maker.chance(0.4) else 0
    kind = maker.pick(("int64", "int32"))
    name = maker.given(maker.dtype(), given)
    if operator == "Gather":
        indices = maker.given(kind, maker.shape(0, 2), below(length, lowest), constant=0.5)
    else:
        shape = [maker.whole(1, each) for each in given]
        shape[axis] = maker.whole(1, 5)
        indices = maker.given(kind, shape, below(length, lowest), constant=0.5)
    maker.node([name, indices], axis=axis if axis or maker.chance() else None)


def gather_nd(maker: Maker, operator: str) -> None:
    """Tuples of indices, behind batch axes or not; scattered ones are distinct."""
    given = maker.shape(1, 3)
    batch = maker.whole(0, len(given) - 1) if operator == "GatherND" and maker.opset >= 12 else 0
    depth = maker.whole(1, len(given) - batch)
    lengths = np.array(given[batch : batch + depth])
    lowest = -lengths if maker.opset >= 11 and maker.chance(0.3) else 0 * lengths
    name = maker.given(maker.dtype(), given)
    if operator == "GatherND":
        shape = (*given[:batch], *maker.shape(0, 2, 3), depth)
        indices = maker.given(
            "int64", shape, lambda random, shape, dtype, _: random.integers(lowest, lengths, shape).astype(dtype), 0.5
        )
        maker.node([name, indices], batch_dims=batch or None)
        return
    reduction = maker.maybe("reduction", maker.pick(("none", "add", "mul", *("min", "max") * (maker.opset >= 18))))
    places = maker.random.permutation(math.prod(lengths))[: maker.whole(1, 4)]
    tuples = np.stack(np.unravel_index(places, lengths), -1).astype(np.int64)
    updates = maker.given(_type_of(maker), (len(tuples), *given[depth:]))
    maker.node([name, maker.constant(tuples), updates], reduction=reduction)


def scatter(maker: Maker, operator: str) -> None:
    """Along an axis, at places that are distinct unless they are added up."""
    given = maker.shape(1, 3)
    axis = maker.axis(len(given))
    shape = [maker.whole(1, each) for each in given]
    reduction = None
    if operator == "ScatterElements":
        reduction = maker.maybe("reduction", maker.pick(("none", "add", "mul", *("min", "max") * (maker.opset >= 18))))
    name = maker.given(maker.dtype(), given)
    places = np.argsort(maker.random.random([*shape[:axis], given[axis], *shape[axis % len(shape) + 1 :]]), axis=axis)
    indices = np.take(places, range(shape[axis]), axis=axis).astype(maker.pick((np.int64, np.int32)))
    updates = maker.given(_type_of(maker), shape)
    maker.node(
        [name, maker.constant(indices), updates], axis=axis if axis or maker.chance() else None, reduction=reduction
    )


def _type_of(maker: Maker) -> str:
    """The element type of the first input."""
    return maker.arrays[0].dtype.name


def depth_to_space(maker: Maker, operator: str) -> None:
    """Both modes."""
    block = maker.whole(1, 3)
    batch, channels, height, width = maker.whole(1, 2), maker.whole(1, 3), maker.whole(1, 3), maker.whole(1, 3)
    dtype = maker.dtype(0, ("float32", "float16", "int8", "uint8", "int32"))
    if operator == "SpaceToDepth":
        maker.node([maker.given(dtype, (batch, channels, height * block, width * block))], blocksize=block)
    else:
        name = maker.given(dtype, (batch, channels * block**2, height, width))
        maker.node([name], blocksize=block, mode=maker.maybe("mode", maker.pick(("DCR", "CRD"))))


def one_hot(maker: Maker, operator: str) -> None:
    """Indices of both signs and outside; any axis."""
    del operator
    depth = maker.whole(2, 5)
    shape = maker.shape(0, 3)
    axis = maker.whole(-len(shape) - 1, len(shape))
    indices = maker.given(maker.dtype(0, ("int64", "int32", "uint8")), shape, _maybe_outside(depth))
    kind = maker.dtype(2, ("float32", "int32", "int64"))
    count = maker.constant(np.array(depth, maker.pick((np.int64, np.int32))).reshape(maker.pick(((), (), (1,)))))
    maker.node(
        [indices, count, maker.constant(np.array([maker.whole(-1, 0), 3], kind))], axis=maker.maybe("axis", axis)
    )


def _maybe_outside(depth: int):
    def values(random, shape, dtype, _):
        return random.integers(0 if dtype.kind == "u" else -depth - 1, depth + 2, shape).astype(dtype)

    return values


def trilu(maker: Maker, operator: str) -> None:
    """Both triangles, with any diagonal."""
    del operator
    name = maker.given(maker.dtype(), maker.shape(2, 4))
    diagonal = maker.constant(np.array(maker.whole(-4, 4), np.int64)) if maker.chance(0.7) else ""
    maker.node([name, diagonal], upper=maker.maybe("upper", maker.whole(0, 1)))


def eye_like(maker: Maker, operator: str) -> None:
    """A diagonal, whatever is given."""
    del operator
    from onnx import TensorProto

    name = maker.given(maker.dtype(0, ("float32", "int32")), maker.shape(2, 2))
    kind = maker.pick((TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64))
    maker.node([name], k=maker.maybe("k", maker.whole(-2, 2)), dtype=maker.maybe("dtype", kind))


def shape_of(maker: Maker, operator: str) -> None:
    """Of a tensor that something else is computed of too."""
    given = maker.shape(1)
    name = maker.given("float32", given)
    told = {key: maker.maybe(key, maker.whole(-1, 1)) for key in ("start",) if operator == "Shape"}
    (made,) = maker.node([name], **told)
    cast = [f"{made}_real"]
    from onnx import TensorProto, helper

    maker.nodes.append(helper.make_node("Cast", [made], cast, to=TensorProto.FLOAT))
    maker.nodes.append(helper.make_node("ReduceMax", [name], [f"{made}_most"], keepdims=0))
    maker.outputs.remove(made)
    maker.node([cast[0], f"{made}_most"], operator="Mul")


def constant_of_shape(maker: Maker, operator: str) -> None:
    """A value in a shape, added to an input."""
    del operator
    given = maker.shape(1, 3)
    kind = maker.pick((np.float32, np.int32))
    value = numpy_helper.from_array(np.array([maker.whole(-3, 3)], kind))
    (made,) = maker.node([maker.lengths(given)], value=value)
    maker.outputs.remove(made)
    maker.node([made, maker.given(np.dtype(kind).name, given)], operator="Add" if maker.chance() else "Mul")


def reverse_sequence(maker: Maker, operator: str) -> None:
    """Lengths as weights or inputs."""
    del operator
    time, batch, rest = maker.whole(2, 5), maker.whole(1, 4), maker.shape(0, 2)
    turned = maker.chance()
    shape = (batch, time, *rest) if turned else (time, batch, *rest)
    lengths = maker.given("int64", (batch,), below(time + 1, 1), constant=0.6)
    name = maker.given(maker.dtype(), shape, constant=0 if not maker.inputs else 0.2)
    maker.node([name, lengths], batch_axis=0 if turned else 1, time_axis=1 if turned else 0)


def center(maker: Maker, operator: str) -> None:
    """To lengths larger and smaller than those given."""
    del operator
    given = maker.shape(1, 3, 6)
    axes = maker.axes(len(given)) if maker.chance() else None
    wanted = [maker.whole(1, 7) for _ in (axes or given)]
    maker.node([maker.given(maker.dtype(), given), maker.lengths(wanted)], axes=axes)


def window(maker: Maker, operator: str) -> None:
    """Of a constant size, times an input."""
    del operator
    size = maker.whole(1, 9)
    (made,) = maker.node(
        [maker.constant(np.array(size, np.int64))], periodic=maker.maybe("periodic", maker.whole(0, 1))
    )
    maker.outputs.remove(made)
    maker.node([made, maker.given("float32", (size,), ordinary)], operator="Mul")


def bit_cast(maker: Maker, operator: str) -> None:
    """Between types of the same width."""
    del operator
    from onnx import helper

    source, made = maker.pick((("int32", "float32"), ("int8", "uint8"), ("int16", "float16"), ("uint32", "int32")))
    name = maker.given(source, maker.shape(), below(100))
    maker.node([name], to=helper.np_dtype_to_tensor_dtype(np.dtype(made)))


def range_(maker: Maker, operator: str) -> None:
    """Constant ends, times an input."""
    del operator
    dtype = maker.dtype(0, ("float32", "int32", "int64", "int16"))
    start, step, count = maker.whole(-5, 5), maker.pick((1, 2, -1, 3)), maker.whole(1, 7)
    ends = [np.array(each, dtype) for each in (start, start + step * count, step)]
    (made,) = maker.node([maker.constant(each) for each in ends])
    maker.outputs.remove(made)
    maker.node([made, maker.given(dtype, (count,), ordinary)], operator="Mul")


def top_k(maker: Maker, operator: str) -> None:
    """Largest and smallest, of values that are all distinct."""
    del operator
    given = maker.shape(1, 3, 6)
    axis = maker.axis(len(given))
    count = maker.whole(1, given[axis])

    def distinct(random, shape, dtype, sample):
        del sample
        return (random.permutation(math.prod(shape)).reshape(shape) - (3 if dtype.kind != "u" else 0)).astype(dtype)

    if math.prod(given) > 120:
        raise UnfitError("not all values would be distinct")
    name = maker.given(maker.dtype(), given, distinct)
    told = {"axis": axis if axis % len(given) != len(given) - 1 or maker.chance() else None}
    told["largest"] = maker.maybe("largest", maker.whole(0, 1))
    if maker.takes(2):
        maker.node([name, maker.lengths([count])], 2, **told)
    else:
        maker.node([name], 2, k=count, **told)


DRAWN = {
    **{"Reshape": reshape, "Flatten": flatten, "Transpose": transpose, "Squeeze": squeeze, "Unsqueeze": squeeze},
    **{"Expand": expand, "Tile": tile, "Concat": concat, "Split": split, "Slice": slice_, "Pad": pad},
    **{"Gather": gather, "GatherElements": gather, "GatherND": gather_nd, "ScatterND": gather_nd},
    **{"ScatterElements": scatter, "Scatter": scatter, "DepthToSpace": depth_to_space, "SpaceToDepth": depth_to_space},
    **{"OneHot": one_hot, "Trilu": trilu, "EyeLike": eye_like, "Shape": shape_of, "Size": shape_of},
    **{"ConstantOfShape": constant_of_shape, "ReverseSequence": reverse_sequence, "CenterCropPad": center},
    **{"Range": range_, "TopK": top_k, "BitCast": bit_cast},
    **dict.fromkeys(("BlackmanWindow", "HammingWindow", "HannWindow"), window),
}
