# SPDX-License-Identifier: Apache-2.0
"""Models of operators that go along axes: reductions, products, normalisations, recurrent and quantised layers."""

from __future__ import annotations

import numpy as np

from springbok.trials.references.maker import Maker, UnfitError, below, ordinary, positive, small, unit

REDUCTIONS = (
    *("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd"),
    *("ReduceSum", "ReduceSumSquare"),
)


def reduction(maker: Maker, operator: str) -> None:
    """Of some axes, of all, of none; with lengths kept or not."""
    shape = maker.shape()
    values = positive if operator == "ReduceLogSum" else ordinary if operator in ("ReduceMax", "ReduceMin") else small
    dtype = maker.dtype()
    if operator == "ReduceProd":
        values = unit if dtype.startswith("f") else below(2 if dtype.startswith("u") else 3)
    name = maker.given(dtype, shape, values)
    told = {"keepdims": maker.maybe("keepdims", maker.whole(0, 1))}
    axes = maker.axes(len(shape)) if shape and maker.chance(0.75) else None
    if maker.takes(2):
        told["noop_with_empty_axes"] = maker.maybe("noop_with_empty_axes", maker.whole(0, 1))
        maker.node([name, maker.lengths(axes) if axes else ""], **told)
    else:
        maker.node([name], axes=axes, **told)


def extreme(maker: Maker, operator: str) -> None:
    """The place of the largest or smallest element, the first or the last one of several."""
    del operator
    shape = maker.shape(1)
    told = {"keepdims": maker.maybe("keepdims", maker.whole(0, 1)), "axis": maker.maybe("axis", maker.axis(len(shape)))}
    told["select_last_index"] = maker.maybe("select_last_index", maker.whole(0, 1))
    dtype = maker.dtype(0, ("float32", "float16", "int8", "uint8", "int32"))
    maker.node([maker.given(dtype, shape)], **told)


def cumulative(maker: Maker, operator: str) -> None:
    """Forwards, backwards, with the element itself or without."""
    shape = maker.shape(1)
    axis = maker.constant(np.array(maker.axis(len(shape)), maker.pick((np.int32, np.int64))))
    told = {key: maker.maybe(key, maker.whole(0, 1)) for key in ("exclusive", "reverse")}
    dtype = maker.dtype()
    maker.node(
        [maker.given(dtype, shape, unit if operator == "CumProd" and dtype.startswith("f") else small), axis], **told
    )


def along_axis(maker: Maker, operator: str) -> None:
    """A function of all elements of an axis."""
    shape = maker.shape(1)
    told = {"axis": maker.maybe("axis", maker.axis(len(shape)))}
    if operator == "LpNormalization":
        told["p"] = maker.maybe("p", maker.pick((1, 2)))
    maker.node([maker.given(maker.floating(), shape)], **told)


def matmul(maker: Maker, operator: str) -> None:
    """Vectors, matrices and stacks of them, which are broadcast."""
    del operator
    rows, inner, columns = (maker.whole(1, 5) for _ in range(3))
    stack = maker.shape(0, 2, 3)
    stacks = [tuple(1 if maker.chance(0.2) else each for each in stack)[maker.whole(0, len(stack)) :] for _ in range(2)]
    left = (inner,) if maker.chance(0.2) else (*stacks[0], rows, inner)
    right = (inner,) if maker.chance(0.2) else (*stacks[1], inner, columns)
    dtype = maker.dtype(0, ("float32", "float16", "int32", "int64"))
    maker.node([maker.given(dtype, left, small), maker.given(dtype, right, small, constant=0.5)])


def gemm(maker: Maker, operator: str) -> None:
    """Turned operands, factors, what is added in every shape that is broadcast."""
    del operator
    rows, inner, columns = (maker.whole(1, 5) for _ in range(3))
    turned = [maker.whole(0, 1) for _ in range(2)]
    dtype = maker.dtype(0, ("float32", "float16", "int32"))
    factors = (lambda: float(maker.whole(1, 2))) if dtype == "int32" else (lambda: maker.real(-2, 2))
    names = [
        maker.given(dtype, (inner, rows) if turned[0] else (rows, inner), small),
        maker.given(dtype, (columns, inner) if turned[1] else (inner, columns), small, constant=0.5),
    ]
    shapes = ((rows, columns), (1, columns), (rows, 1), (columns,), (1,), ())
    if maker.chance(0.7) or maker.opset < 11:
        names.append(maker.given(dtype, maker.pick(shapes), small, constant=0.5))
    told = {"alpha": maker.maybe("alpha", factors()), "beta": maker.maybe("beta", factors())}
    maker.node(names, transA=turned[0] or None, transB=turned[1] or None, **told)


def einsum(maker: Maker, operator: str) -> None:
    """Sums and products of one tensor or two."""
    del operator
    equation, *operands = maker.pick(_EINSUMS)
    lengths = {letter: maker.whole(1, 4) for letter in "bijk"}
    dtype = maker.dtype(0, ("float32", "int32"))
    shapes = [[lengths[letter] for letter in each] for each in operands]
    maker.node([maker.given(dtype, shape, small) for shape in shapes], equation=equation)


_EINSUMS = (
    ("ij,jk->ik", "ij", "jk"),
    ("bij,bjk->bik", "bij", "bjk"),
    ("bij, bkj -> bik", "bij", "bkj"),
    ("ij->ji", "ij"),
    ("ij->i", "ij"),
    ("ij->", "ij"),
    ("i,i->", "i", "i"),
    ("i,j->ij", "i", "j"),
    ("...ij,...jk->...ik", "bij", "bjk"),
    ("ij,ij->ij", "ij", "ij"),
    ("bij,j->bi", "bij", "j"),
)


def normalisation(maker: Maker, operator: str) -> None:
    """With weights of channels."""
    groups, channels = maker.whole(1, 3), maker.whole(1, 2)
    shape = (maker.whole(1, 2), channels * groups, *maker.shape(0 if operator == "BatchNormalization" else 1, 3))
    dtype = maker.floating()
    name = maker.given(dtype, shape)
    told = {"epsilon": maker.maybe("epsilon", maker.pick((1e-5, 1e-3, 0.1)))}
    count = groups if operator == "GroupNormalization" and maker.opset < 21 else channels * groups
    weights = [maker.given(dtype, (count,), unit, constant=0.9) for _ in range(2)]
    if operator == "GroupNormalization":
        maker.node([name, *weights], num_groups=groups, **told)
    elif operator == "InstanceNormalization":
        maker.node([name, *weights], **told)
    else:
        means, variances = (maker.given(dtype, (count,), each, constant=1) for each in (unit, positive))
        maker.node([name, *weights, means, variances], **told)


def layer_normalisation(maker: Maker, operator: str) -> None:
    """From any axis on, with a bias or not."""
    shape = maker.shape(1)
    axis = maker.axis(len(shape))
    dtype = maker.floating()
    own = shape[axis:]
    names = [maker.given(dtype, shape), maker.given(dtype, own, unit, constant=0.9)]
    if operator == "LayerNormalization" and maker.chance():
        names.append(maker.given(dtype, own, unit, constant=0.9))
    told = {"axis": axis if axis not in (-1,) or maker.chance() else None}
    maker.node(names, epsilon=maker.maybe("epsilon", maker.pick((1e-5, 0.1))), **told)


def lrn(maker: Maker, operator: str) -> None:
    """Odd numbers of channels."""
    del operator
    told = {"alpha": maker.maybe("alpha", maker.real(0.01, 1)), "beta": maker.maybe("beta", maker.real(0.3, 1))}
    told["bias"] = maker.maybe("bias", maker.real(0.5, 2))
    shape = (maker.whole(1, 2), maker.whole(1, 5), *maker.shape(1, 2))
    maker.node([maker.given(maker.floating(), shape)], size=maker.pick((1, 3, 5)), **told)


def mean_variance(maker: Maker, operator: str) -> None:
    """Of the default axes or others."""
    del operator
    shape = (maker.whole(1, 2), maker.whole(1, 3), maker.whole(2, 4), maker.whole(2, 4))
    maker.node([maker.given("float32", shape)], axes=maker.maybe("axes", maker.axes(4)))


def recurrent(maker: Maker, operator: str) -> None:
    """Forwards, backwards and both ways; initial states, some outputs left out."""
    gates = {"RNN": 1, "GRU": 3, "LSTM": 4}[operator]
    steps, batch, given, hidden = maker.whole(1, 4), maker.whole(1, 2), maker.whole(1, 3), maker.whole(1, 3)
    direction = maker.pick(("forward", "reverse", "bidirectional"))
    ways = 2 if direction == "bidirectional" else 1
    names = [maker.given("float32", (steps, batch, given), unit)]
    names += [maker.given("float32", (ways, gates * hidden, size), unit, constant=1) for size in (given, hidden)]
    names.append(maker.given("float32", (ways, 2 * gates * hidden), unit, constant=1) if maker.chance() else "")
    names.append("")  # the lengths of sequences
    names.append(maker.given("float32", (ways, batch, hidden), unit, constant=0.5) if maker.chance() else "")
    if operator == "LSTM":
        names.append(maker.given("float32", (ways, batch, hidden), unit, constant=0.5) if maker.chance() else "")
    told = {"direction": direction if ways == 2 or direction == "reverse" or maker.chance() else None}
    if operator == "GRU":
        told["linear_before_reset"] = maker.maybe("linear_before_reset", maker.whole(0, 1))
    if operator == "RNN" and ways == 1:
        told["activations"] = maker.maybe("activations", [maker.pick(("Tanh", "Relu", "Sigmoid"))])
    maker.node(names, maker.whole(1, 3 if operator == "LSTM" else 2), hidden_size=hidden, **told)


def _scale(maker: Maker, count: int | None = None) -> np.ndarray:
    return np.float32(maker.random.uniform(0.01, 0.3, () if count is None else count))


def _zero(maker: Maker, dtype: str, count: int | None = None) -> np.ndarray:
    limits = np.iinfo(dtype)
    shape = () if count is None else count
    return maker.random.integers(max(limits.min, -128) // 2, min(limits.max, 255) // 2, shape).astype(dtype)


def quantise(maker: Maker, operator: str) -> None:
    """With a scale of the tensor or of an axis, with a zero point or without."""
    shape = maker.shape(1)
    axis = maker.axis(len(shape))
    by_axis = maker.chance(0.4) and maker.has("axis")
    count = shape[axis] if by_axis else None
    told = {"axis": axis if by_axis else None}
    if operator == "QuantizeLinear":
        kind = maker.dtype(2, ("int8", "uint8", "int16", "uint16"))
        without = kind == "uint8" and maker.chance(0.4)
        zeros = [] if without else [maker.constant(_zero(maker, kind, count))]
        maker.node([maker.given("float32", shape), maker.constant(_scale(maker, count)), *zeros], **told)
    else:
        kind = maker.dtype(0, ("int8", "uint8", "int16", "uint16"))
        zeros = [maker.constant(_zero(maker, kind, count))] if maker.chance(0.7) else []
        maker.node([maker.given(kind, shape), maker.constant(_scale(maker, count)), *zeros], **told)


def dynamic_quantise(maker: Maker, operator: str) -> None:
    """Its three outputs."""
    del operator
    maker.node([maker.given("float32", maker.shape(1))], 3)


def quantised_matmul(maker: Maker, operator: str) -> None:
    """Zero points and scales of tensors or of rows and columns."""
    rows, inner, columns = (maker.whole(1, 5) for _ in range(3))
    left, right = maker.pick(("int8", "uint8")), maker.pick(("int8", "uint8"))
    stack = maker.shape(0, 1, 3)
    names = [maker.given(left, (*stack, rows, inner)), maker.given(right, (inner, columns), constant=0.8)]
    zeros = [maker.constant(_zero(maker, each)) for each in (left, right)]
    if operator == "MatMulInteger":
        maker.node([*names, *(each if maker.chance(0.7) else "" for each in zeros)])
        return
    made = maker.pick(("int8", "uint8"))
    scales = [maker.constant(_scale(maker)) for _ in range(2)]
    ends = [maker.constant(np.float32(_scale(maker) * 20)), maker.constant(_zero(maker, made))]
    maker.node([names[0], scales[0], zeros[0], names[1], scales[1], zeros[1], *ends])


def quantised_conv(maker: Maker, operator: str) -> None:
    """Groups, pads, scales of channels, with a bias or not."""
    group = maker.pick((1, 1, 2))
    inner, outer, kernel = maker.whole(1, 2), group * maker.whole(1, 2), maker.whole(1, 3)
    left, right = "uint8", maker.pick(("int8", "uint8"))
    if operator == "QLinearConv" and right == "int8" and maker.chance():
        left = "int8"
    shape = (1, inner * group, maker.whole(4, 6), maker.whole(4, 6))
    names = [maker.given(left, shape), maker.given(right, (outer, inner, kernel, kernel), constant=1)]
    told = {"group": group if group > 1 else None, "kernel_shape": [kernel, kernel]}
    if maker.chance():
        told["pads"] = [maker.whole(0, kernel - 1) for _ in range(4)]
    if maker.chance():
        told["strides"] = [maker.whole(1, 2) for _ in range(2)]
    zeros = [maker.constant(_zero(maker, left)), maker.constant(_zero(maker, right))]
    if operator == "ConvInteger":
        maker.node([*names, *(each if maker.chance(0.7) else "" for each in zeros)], **told)
        return
    count = outer if maker.chance(0.4) and right == "int8" else None
    own = np.zeros(outer, right) if count else _zero(maker, right)
    ends = [maker.constant(np.float32(_scale(maker) * 20)), maker.constant(_zero(maker, left))]
    bias = [maker.constant(maker.random.integers(-500, 500, outer, np.int32))] if maker.chance() else []
    read = [names[0], maker.constant(_scale(maker)), zeros[0], names[1], maker.constant(_scale(maker, count))]
    maker.node([*read, maker.constant(own), *ends, *bias], **told)


def det(maker: Maker, operator: str) -> None:
    """Matrices and stacks of them."""
    del operator
    size = maker.whole(1, 4)
    maker.node([maker.given("float32", (*maker.shape(0, 2, 3), size, size), unit)])


def loss(maker: Maker, operator: str) -> None:
    """With weights of classes or not, all ways to reduce."""
    batch, classes, rest = maker.whole(1, 3), maker.whole(2, 4), maker.shape(0, 2, 3)
    names = [
        maker.given("float32", (batch, classes, *rest)),
        maker.given(
            "int64", (batch, *rest), lambda random, shape, dtype, _: random.integers(0, classes, shape), constant=0.6
        ),
    ]
    if maker.chance(0.4):
        names.append(maker.given("float32", (classes,), positive, constant=1))
    told = {"reduction": maker.maybe("reduction", maker.pick(("none", "sum", "mean")))}
    told["ignore_index"] = maker.maybe("ignore_index", maker.pick((0, -1)))
    maker.node(names, **told)


def rotary(maker: Maker, operator: str) -> None:
    """Of three axes and of four, interleaved or not, with places or without."""
    del operator
    batch, heads, steps, half = maker.whole(1, 2), maker.whole(1, 2), maker.whole(1, 3), maker.whole(1, 2)
    four = maker.chance()
    shape = (batch, heads, steps, 2 * half) if four else (batch, steps, heads * 2 * half)
    names = [maker.given("float32", shape)]
    with_places = maker.chance()
    known = (5, half) if with_places else (batch, steps, half)
    names += [maker.given("float32", known, unit, constant=1) for _ in range(2)]
    if with_places:
        names.append(maker.given("int64", (batch, steps), below(5), constant=0.5))
    told = {"interleaved": maker.maybe("interleaved", maker.whole(0, 1))}
    maker.node(names, num_heads=None if four else heads, **told)


def transform(maker: Maker, operator: str) -> None:
    """Of real numbers, all or half of them."""
    del operator
    batch, length = maker.whole(1, 2), maker.whole(1, 6)
    name = maker.given("float32", (batch, length, 1))
    told = {"onesided": maker.maybe("onesided", maker.whole(0, 1))}
    if maker.takes(3):
        maker.node([name, "", maker.constant(np.array(1, np.int64))], **told)
    else:
        maker.node([name], axis=1, **told)


def short_transform(maker: Maker, operator: str) -> None:
    """Frames of a signal of real numbers, with a window or the length of one."""
    del operator
    batch, frame, step = maker.whole(1, 2), maker.whole(2, 6), maker.whole(1, 4)
    name = maker.given("float32", (batch, frame + maker.whole(0, 9), 1))
    window = maker.constant(maker.random.uniform(0.1, 1.0, frame).astype(np.float32)) if maker.chance() else ""
    length = maker.constant(np.array(frame, np.int64)) if not window or maker.chance() else ""
    told = {"onesided": maker.whole(0, 1)}  # without it ONNX infers another shape than it gives
    maker.node([name, maker.constant(np.array(step, np.int64)), window, length], **told)


def dropout(maker: Maker, operator: str) -> None:
    """As in inference."""
    del operator
    told = {"ratio": 0.3} if maker.has("ratio") and maker.chance() else {}
    name = maker.given(maker.floating(), maker.shape())
    ratio = maker.constant(np.float32(0.4)) if not maker.has("ratio") and maker.chance() else ""
    if maker.opset < 7:
        raise UnfitError("it was for training")
    maker.node([name, ratio], **told)


DRAWN = {
    **dict.fromkeys(REDUCTIONS, reduction),
    **dict.fromkeys(("ArgMax", "ArgMin"), extreme),
    **dict.fromkeys(("CumSum", "CumProd"), cumulative),
    **dict.fromkeys(("Hardmax", "LogSoftmax", "LpNormalization", "Softmax"), along_axis),
    **{"MatMul": matmul, "Gemm": gemm, "Einsum": einsum, "LRN": lrn, "MeanVarianceNormalization": mean_variance},
    **dict.fromkeys(("BatchNormalization", "GroupNormalization", "InstanceNormalization"), normalisation),
    **dict.fromkeys(("LayerNormalization", "RMSNormalization"), layer_normalisation),
    **dict.fromkeys(("GRU", "LSTM", "RNN"), recurrent),
    **{"QuantizeLinear": quantise, "DequantizeLinear": quantise, "DynamicQuantizeLinear": dynamic_quantise},
    **{"MatMulInteger": quantised_matmul, "QLinearMatMul": quantised_matmul},
    **{"ConvInteger": quantised_conv, "QLinearConv": quantised_conv, "Det": det, "Dropout": dropout},
    **{"DFT": transform, "STFT": short_transform, "RotaryEmbedding": rotary},
    **dict.fromkeys(("NegativeLogLikelihoodLoss", "SoftmaxCrossEntropyLoss"), loss),
}
