# SPDX-License-Identifier: Apache-2.0
"""ONNX's reference implementation, put right where it is not what the specification says.

Each operator here has its reason. It stands for all versions of the operator; the reference has it for some only.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from onnx.reference.ops._quant_utils import reshape_input
from onnx.reference.ops.op_conv import _conv_implementation
from onnx.reference.ops.op_dequantize_linear import DequantizeLinear_25
from onnx.reference.ops.op_quantize_linear import QuantizeLinear_25


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


def evaluator(model: onnx.ModelProto) -> ReferenceEvaluator:
    """The reference implementation of a model. Raises what ONNX raises for operators that it does not have."""
    own = [QuantizeLinear, DequantizeLinear, ConvInteger, QLinearConv, QLinearMatMul]
    return ReferenceEvaluator(model, new_ops=own)
