# SPDX-License-Identifier: Apache-2.0
"""ONNX's reference implementation, put right where it is not what the specification says.

Each operator here has its reason. It stands for all versions of the operator; the reference has it for some only.
"""

from __future__ import annotations

import functools

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from onnx.reference.ops._op import OpRunReduceNumpy
from onnx.reference.ops._quant_utils import reshape_input
from onnx.reference.ops.op_conv import _conv_implementation
from onnx.reference.ops.op_dequantize_linear import DequantizeLinear_25
from onnx.reference.ops.op_div import Div as ReferenceDiv
from onnx.reference.ops.op_grid_sample import GridSample as ReferenceGridSample
from onnx.reference.ops.op_loop import Loop as ReferenceLoop
from onnx.reference.ops.op_mod import Mod as ReferenceMod
from onnx.reference.ops.op_quantize_linear import QuantizeLinear_25
from onnx.reference.ops.op_resize import Resize as ReferenceResize
from onnx.reference.ops.op_reverse_sequence import ReverseSequence as ReferenceReverseSequence
from onnx.reference.ops.op_scan import Scan as ReferenceScan

from springbok.compiler.importers import onnx_recurrent, onnx_reference_functions, onnx_windows


class QuantizeLinear(QuantizeLinear_25):
    """Saturates whatever is given: the reference converts to int32 before, which wraps around."""

    op_domain = ""
    _MOST = 2.0**24  # where every type has long been at its end

    def _run(self, given, scale, zero=None, axis=1, block_size=0, **attributes):
        quotient = (given / reshape_input(scale, given.shape, axis, block_size)).astype(np.float32)
        inside = np.clip(quotient, -self._MOST, self._MOST)
        one = np.ones((), inside.dtype)
        return super()._run(inside, one, zero, axis=axis, block_size=block_size, **attributes)


class DequantizeLinear(DequantizeLinear_25):
    """The reference lacks those of versions 10 and 13."""

    op_domain = ""


class ConvInteger(OpRun):
    """The reference takes zero points of channels for two axes only."""

    op_domain = ""

    def _run(self, given, weights, given_zero=None, weight_zero=None, **attributes):
        return (_sums(given, given_zero, weights, weight_zero, attributes),)


class QLinearConv(OpRun):
    """The reference takes scales of channels for two axes only, and rounds after it has added the zero point."""

    op_domain = ""

    def _run(
        self, given, given_scale, given_zero, weights, weight_scale, weight_zero, scale, zero, bias=None, **attributes
    ):
        sums = _sums(given, given_zero, weights, weight_zero, attributes)
        channels = (-1, *[1] * (given.ndim - 2))
        if bias is not None:
            sums = sums + bias.reshape(channels)
        factor = given_scale * weight_scale / scale
        return (_requantised(sums, factor.reshape(channels) if factor.size > 1 else factor, zero),)


class QLinearMatMul(OpRun):
    """The reference rounds after it has added the zero point."""

    op_domain = ""

    def _run(self, left, left_scale, left_zero, right, right_scale, right_zero, scale, zero):
        if left_scale.ndim == 1 and left_scale.size > 1:
            left_scale, left_zero = left_scale[:, np.newaxis], left_zero[:, np.newaxis]
        sums = (left.astype(np.int32) - left_zero.astype(np.int32)) @ (right.astype(np.int32) - right_zero)
        return (_requantised(sums, left_scale * right_scale / scale, zero),)


class MatMulInteger(OpRun):
    """The reference takes no zero points of rows."""

    op_domain = ""

    def _run(self, left, right, left_zero=None, right_zero=None):
        wide, other = left.astype(np.int32), right.astype(np.int32)
        if left_zero is not None:
            zeros = left_zero.astype(np.int32)
            wide = wide - (zeros[:, np.newaxis] if zeros.ndim == 1 and zeros.size > 1 else zeros)
        if right_zero is not None:
            other = other - right_zero.astype(np.int32)
        return (wide @ other,)


class Pad(OpRun):
    """The reference takes no negative pads, which cut off."""

    op_domain = ""

    def _run(self, given, pads, value=None, axes=None, mode="constant"):
        axes = range(given.ndim) if axes is None else axes
        widths, kept = np.zeros((given.ndim, 2), np.int64), [slice(None)] * given.ndim
        for axis, before, after in zip(axes, *np.reshape(pads, (2, -1)), strict=True):
            widths[axis] = max(before, 0), max(after, 0)
            start, end = max(-before, 0), given.shape[axis] - max(-after, 0)
            if start > end:
                raise ValueError(f"it cuts off {-min(before, 0) - min(after, 0)} of {given.shape[axis]} elements")
            kept[axis] = slice(start, end)
        fill = {} if mode != "constant" else {"constant_values": 0 if value is None else np.reshape(value, ())}
        return (np.pad(given[tuple(kept)], widths, mode, **fill).astype(given.dtype),)


class ReverseSequence(ReferenceReverseSequence):
    """The reference takes any length, and fails or counts from the end."""

    op_domain = ""

    def _run(self, given, lengths, batch_axis=None, time_axis=None):
        most = given.shape[time_axis]
        if (lengths < 0).any() or (lengths > most).any():
            raise ValueError(f"it reverses sequences of other lengths than 0 to {most}")
        return super()._run(given, lengths, batch_axis, time_axis)


class Div(ReferenceDiv):
    """The reference answers 0 where integers are divided by 0: nothing that could be checked."""

    op_domain = ""

    def _run(self, left, right):
        _check_divisors(left, right)
        return super()._run(left, right)


class Mod(ReferenceMod):
    """As `Div`."""

    op_domain = ""

    def _run(self, left, right, fmod=None):
        _check_divisors(left, right)
        return super()._run(left, right, fmod=fmod)


def _check_divisors(left: np.ndarray, right: np.ndarray) -> None:
    if right.dtype.kind not in "iu":
        return
    if not right.all():
        raise ZeroDivisionError("it divides an integer by 0, which has no answer")
    if right.dtype.kind == "i" and ((right == -1) & (left == np.iinfo(left.dtype).min)).any():
        raise ZeroDivisionError(f"it divides the smallest integer of {left.dtype} by -1, which has no answer")


class GlobalMaxPool(OpRun):
    """The reference takes other axes than an image's where there are not two of them."""

    op_domain = ""

    def _run(self, given):
        return (given.max(axis=tuple(range(2, given.ndim)), keepdims=True),)


class GlobalLpPool(OpRun):
    """The reference lacks it."""

    op_domain = ""

    def _run(self, given, p=2):
        sums = (np.abs(given.astype(np.float64)) ** p).sum(axis=tuple(range(2, given.ndim)), keepdims=True)
        return ((sums ** (1 / p)).astype(given.dtype),)


class LpNormalization(OpRun):
    """The reference takes powers of negative numbers, and not of their sizes, which soon are 0 or infinite."""

    op_domain = ""

    def _run(self, given, axis=-1, p=2):
        size = (np.abs(given.astype(np.float64)) ** p).sum(axis=axis, keepdims=True) ** (1 / p)
        return (np.where(size == 0, 0, given / np.where(size == 0, 1, size)).astype(given.dtype),)


class LpPool(OpRun):
    """The reference counts what a window that sticks out does not see."""

    op_domain = ""

    def _run(self, given, p=2, **attributes):
        sums = _windows(np.abs(given) ** p, 0, attributes).sum(-1)
        return ((sums ** (1 / p)).astype(given.dtype),)


class Mean(OpRun):
    """The reference takes no inputs that are larger than the first one."""

    op_domain = ""

    def _run(self, *given):
        total = functools.reduce(np.add, given)
        return ((total / len(given)).astype(given[0].dtype),)


class ReduceSumSquare(OpRunReduceNumpy):
    """The reference makes 64 bits of integers."""

    op_domain = ""

    def _run(self, given, axes=None, keepdims=1, noop_with_empty_axes=0):
        axes = self.handle_axes(axes, noop_with_empty_axes)
        return (np.asarray(np.sum(np.square(given), axis=axes, keepdims=keepdims != 0, dtype=given.dtype)),)


class Gemm(OpRun):
    """The reference multiplies integers by floating-point numbers."""

    op_domain = ""

    def _run(self, left, right, added=None, alpha=1.0, beta=1.0, transA=0, transB=0, **_):  # noqa: N803
        whole = left.dtype.kind in "iu"
        if whole and not (float(alpha).is_integer() and float(beta).is_integer()):
            raise ValueError(f"it multiplies integers by alpha={alpha:g} and beta={beta:g}")
        alpha, beta = ((int if whole else float)(each) for each in (alpha, beta))
        made = np.dot(left.T if transA else left, right.T if transB else right) * alpha
        return ((made if added is None or not beta else made + added * beta).astype(left.dtype),)


class LRN(OpRun):
    """The reference goes through as many channels as there are images."""

    op_domain = ""

    def _run(self, given, alpha=0.0001, beta=0.75, bias=1.0, size=1):
        before = (size - 1) // 2
        pads = [(0, 0), (before, size - 1 - before), *[(0, 0)] * (given.ndim - 2)]
        squares = np.lib.stride_tricks.sliding_window_view(np.pad(given**2, pads), size, axis=1).sum(-1)
        return ((given / (bias + alpha / size * squares) ** beta).astype(given.dtype),)


class ConvTranspose(OpRun):
    """The reference fails where there are groups, a shape of the output, or more added to it than a stride."""

    op_domain = ""

    def _run(self, given, weights, bias=None, group=1, **attributes):
        told = {name: value for name, value in attributes.items() if value is not None}
        told["auto_pad"] = str(told.get("auto_pad", "NOTSET")).encode()
        window = onnx_windows.transposed(told, given.shape, weights.shape)
        reached = onnx_windows.reached(window, given.shape)
        parts = given.reshape(given.shape[0], group, -1, *given.shape[2:])
        filters = weights.reshape(group, -1, *weights.shape[1:])
        made = np.zeros((given.shape[0], group, weights.shape[1], *reached))
        for place in np.ndindex(*window["kernel_shape"]):
            own = filters[(..., *place)]
            seen = (
                slice(index * dilation, index * dilation + (length - 1) * stride + 1, stride)
                for index, dilation, length, stride in zip(
                    place, window["dilations"], given.shape[2:], window["strides"], strict=True
                )
            )
            made[(..., *seen)] += np.einsum("ngc...,gcm->ngm...", parts, own, dtype=np.float64)
        made = made.reshape(given.shape[0], -1, *reached)
        if bias is not None:
            made += bias.reshape(-1, *[1] * len(reached))
        before, after = np.reshape(window["pads"], (2, -1))
        kept = (slice(first, length - last) for first, last, length in zip(before, after, reached, strict=True))
        return (made[(..., *kept)].astype(given.dtype),)


class MaxPool(OpRun):
    """The reference mixes up paddings that differ from side to side, and auto_pad with strides."""

    op_domain = ""

    def _run(self, given, storage_order=0, **attributes):
        floating = np.issubdtype(given.dtype, np.floating)
        lowest = -np.inf if floating else np.iinfo(given.dtype).min - 1  # no place of a padding is chosen
        windows = _windows(given if floating else given.astype(np.int64), lowest, attributes)
        largest = windows.max(-1).astype(given.dtype)
        if len(self.onnx_node.output) < 2:
            return (largest,)
        length = int(np.prod(given.shape[2:]))
        order = "F" if storage_order else "C"
        places = np.arange(length).reshape(given.shape[2:], order=order)
        places = places + length * np.arange(given.shape[0] * given.shape[1]).reshape(
            *given.shape[:2], *[1] * places.ndim
        )
        chosen = windows.argmax(-1)[..., np.newaxis]
        return largest, np.take_along_axis(_windows(places, -1, attributes), chosen, -1)[..., 0]


class AveragePool(OpRun):
    """As `MaxPool`; in the reference, windows that stick out after the padding count what is not there."""

    op_domain = ""

    def _run(self, given, count_include_pad=0, **attributes):
        inside = np.ones((1, 1, *given.shape[2:]), given.dtype)
        counts = _windows(inside, 0, attributes, padding=1 if count_include_pad else 0)
        return ((_windows(given, 0, attributes).sum(-1) / np.maximum(counts.sum(-1), 1)).astype(given.dtype),)


def _windows(given: np.ndarray, fill: float, attributes: dict, padding: float | None = None) -> np.ndarray:
    """What each window of a pooling sees: its elements as a last axis. ``fill`` is what lies outside.

    ``padding`` is what lies in the paddings, where that differs from what lies beyond them.
    """
    told = {name: value for name, value in attributes.items() if value is not None}
    told["auto_pad"] = str(told.get("auto_pad", "NOTSET")).encode()
    found, counts, beyond = onnx_windows.pooled(told, given.shape)
    axes = len(counts)
    before, after = found["pads"][:axes], found["pads"][axes:]
    none = [(0, 0), (0, 0)]
    inner = [*none, *zip(before, after, strict=True)]
    outer = [*none, *((0, max(end - pad, 0)) for end, pad in zip(beyond, after, strict=True))]
    padded = np.pad(given, inner, constant_values=fill if padding is None else padding)
    padded = np.pad(padded, outer, constant_values=fill)
    reach = [
        (size - 1) * dilation + 1 for size, dilation in zip(found["kernel_shape"], found["dilations"], strict=True)
    ]
    seen = np.lib.stride_tricks.sliding_window_view(padded, reach, tuple(range(2, 2 + axes)))
    starts = (
        slice(0, (count - 1) * stride + 1, stride) for count, stride in zip(counts, found["strides"], strict=True)
    )
    seen = seen[(slice(None), slice(None), *starts, *(slice(None, None, dilation) for dilation in found["dilations"]))]
    return seen.reshape(*seen.shape[: 2 + axes], -1)


class GridSample(ReferenceGridSample):
    """The reference knows the modes as version 20 calls them, and brings a place of a cubic one to the border in place
    of each of its neighbours.
    """

    op_domain = ""
    _OUTSIDE = 4  # from where on all neighbours are outside

    def _run(self, given, grid, mode=None, padding_mode=None, align_corners=None):
        mode = {"bilinear": "linear", "bicubic": "cubic"}.get(mode, mode)
        self._by_neighbour = mode == "cubic" and padding_mode == "border"
        return super()._run(given, grid, mode, padding_mode, align_corners)

    def _clamp(self, val, lo, hi):
        if self._by_neighbour and not isinstance(val, int):
            return super()._clamp(val, lo - self._OUTSIDE, hi + self._OUTSIDE)
        return super()._clamp(val, lo, hi)


class Resize(ReferenceResize):
    """The reference takes the length that is made for what the scales give before it is cut to a whole number, and the
    place -0.5 for 0 where `pytorch_half_pixel` makes a single element. It computes nearest places in double precision,
    where what lies between two elements is rounded otherwise than by whoever runs models.
    """

    op_domain = ""

    def _run(self, given, roi=None, scales=None, sizes=None, axes=None, **attributes):
        mode = attributes.get("coordinate_transformation_mode")
        if attributes.get("keep_aspect_ratio_policy", "stretch") not in (None, "stretch"):
            return super()._run(given, roi, scales, sizes, axes=axes, **attributes)
        own = [axis % given.ndim for axis in (range(given.ndim) if axes is None else axes)]
        lengths = np.array([given.shape[axis] for axis in own])
        by_scale = scales is not None and scales.size > 0
        made = np.floor(lengths * scales).astype(np.int64) if by_scale else np.asarray(sizes)
        if attributes.get("mode") == "nearest" and mode != "tf_crop_and_resize" and not attributes.get("antialias"):
            factors = scales if by_scale else np.float32(made) / np.float32(lengths)
            for axis, length, *how in zip(own, lengths, factors, made, strict=True):
                places = onnx_windows.nearest_places(length, *how, mode, attributes.get("nearest_mode"))
                given = given.take(places, axis)
            return (given,)
        if mode in ("align_corners", "tf_crop_and_resize") and by_scale and not attributes.get("antialias"):
            return super()._run(given, roi, None, made, axes=axes, **attributes)
        single = made == 1
        if mode != "pytorch_half_pixel" or not single.any():
            return super()._run(given, roi, scales, sizes, axes=axes, **attributes)
        for mode_, chosen in ((mode, ~single), ("asymmetric", single)):  # which takes the place 0
            if chosen.any():
                parts = [None if each is None or not each.size else each[chosen] for each in (scales, sizes)]
                several = [axis for axis, wanted in zip(own, chosen, strict=True) if wanted]
                told = attributes | {"coordinate_transformation_mode": mode_}
                (given,) = super()._run(given, None, *parts, axes=several, **told)
        return (given,)


class Loop(ReferenceLoop):
    """The reference takes a condition that is left out for false, and joins what iterations give along other axes."""

    op_domain = ""

    def _run(self, count, condition, *carried, context=None, attributes=None, bindings=None, **others):
        del others
        state, condition, number, listed = list(carried), condition is None or bool(condition), 0, []
        names = self.body.input_names
        while condition and (count is None or number < count):
            given = dict(context or {}) | dict(zip(names[2:], state, strict=True))
            given |= {names[0]: np.array(number, np.int64), names[1]: np.array(condition)}
            made = self._run_body(given, attributes=attributes, bindings=bindings)
            condition, state = bool(made[0]), made[1 : 1 + len(state)]
            listed.append(made[1 + len(state) :])
            number += 1
        if not listed and len(self.body.output_names) > 1 + len(state):
            raise ValueError("it gives a list of what its iterations give, and has none")
        return (*state, *(np.stack(each) for each in zip(*listed, strict=True)))


class Scan(ReferenceScan):
    """The reference goes along the first axis only, and forwards."""

    op_domain = ""

    def __init__(self, onnx_node, run_params):
        OpRun.__init__(self, onnx_node, run_params)

    def _run(self, *given, context=None, num_scan_inputs=None, bindings=None, **ways):
        count = len(given) - num_scan_inputs
        state, scanned = given[:count], given[count:]
        ways = {name: value for name, value in ways.items() if value}
        sides = [
            (ways.get(f"scan_{side}_axes", [0] * length), ways.get(f"scan_{side}_directions", [0] * length))
            for side, length in (("input", len(scanned)), ("output", len(self.body.output_names) - count))
        ]
        parts = [
            np.moveaxis(array, axis, 0)[:: -1 if backwards else 1]
            for array, axis, backwards in zip(scanned, *sides[0], strict=True)
        ]
        listed = []
        for part in zip(*parts, strict=True):
            values = dict(context or {}) | dict(zip(self.body.input_names, (*state, *part), strict=True))
            made = self._run_body(values, bindings=bindings)
            state = made[:count]
            listed.append(made[count:])
        if not listed:
            raise ValueError("it scans along an axis of length 0")
        made = [np.stack(each) for each in zip(*listed, strict=True)]
        return (
            *state,
            *(
                np.moveaxis(array[:: -1 if backwards else 1], 0, axis)
                for array, axis, backwards in zip(made, *sides[1], strict=True)
            ),
        )


def _sums(given, given_zero, weights, weight_zero, attributes) -> np.ndarray:
    wide, filters = given.astype(np.int32), weights.astype(np.int32)
    if given_zero is not None:
        wide = wide - given_zero.astype(np.int32)
    if weight_zero is not None:
        channels = (-1, *[1] * (weights.ndim - 1)) if weight_zero.size > 1 else ()
        filters = filters - weight_zero.astype(np.int32).reshape(channels)
    names = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
    return _conv_implementation(wide, filters, None, *(attributes.get(name) for name in names)).astype(np.int32)


def _requantised(sums: np.ndarray, factor: np.ndarray, zero: np.ndarray) -> np.ndarray:
    limits = np.iinfo(zero.dtype)
    rounded = np.rint(sums * factor.astype(np.float32)) + zero
    return np.clip(rounded, limits.min, limits.max).astype(zero.dtype)


_OWN = [
    *(QuantizeLinear, DequantizeLinear, ConvInteger, QLinearConv, QLinearMatMul, MatMulInteger),
    *(Gemm, GlobalLpPool, GlobalMaxPool, LpNormalization, LpPool, LRN, ConvTranspose, Mean, MaxPool, AveragePool),
    *(ReduceSumSquare, Div, Mod, Pad, ReverseSequence, GridSample, Resize, Loop, Scan),
    *(onnx_recurrent.LSTM, onnx_recurrent.GRU, onnx_recurrent.RNN),
    *onnx_reference_functions.OWN,
]


def evaluator(model: onnx.ModelProto) -> ReferenceEvaluator:
    """The reference implementation of a model. Raises what ONNX raises for operators that it does not have."""
    return ReferenceEvaluator(model, new_ops=_OWN)


def answer(node: onnx.NodeProto, version: int, given: dict[str, np.ndarray]) -> np.ndarray:
    """What the only output of a node is, of the operator set ``version``, whose inputs have these names and values."""
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UNDEFINED, None) for name in node.output]
    kinds = {name: onnx.helper.np_dtype_to_tensor_dtype(np.asarray(array).dtype) for name, array in given.items()}
    inputs = [onnx.helper.make_tensor_value_info(name, kind, None) for name, kind in kinds.items()]
    graph = onnx.helper.make_graph([node], "node", inputs, values)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", version)])
    return evaluator(model).run(None, given)[0]


def failed_node(error: Exception) -> onnx.NodeProto | None:
    """The model's node in which the reference implementation raised ``error``."""
    trace = error.__traceback__
    while trace is not None:
        node = trace.tb_frame.f_locals.get("node")
        if isinstance(node, OpRun):
            return node.onnx_node
        trace = trace.tb_next
    return None
