# SPDX-License-Identifier: Apache-2.0
"""Functions and what goes along axes in ONNX's reference implementation, put right: see `onnx_reference`."""

from __future__ import annotations

import numpy as np
from onnx.reference.op_run import OpRun
from onnx.reference.ops._op import OpRunReduceNumpy
from onnx.reference.ops.op_one_hot import OneHot as ReferenceOneHot
from onnx.reference.ops.op_reduce_log_sum_exp import ReduceLogSumExp_18 as ReferenceLogSumExp


class LogSoftmax(OpRun):
    """The reference takes the logarithm of a share that may be 0."""

    op_domain = ""

    def _run(self, given, axis=-1):
        less = given - given.max(axis=axis, keepdims=True)
        return ((less - np.log(np.exp(less).sum(axis=axis, keepdims=True))).astype(given.dtype),)


class Softsign(OpRun):
    """The reference fails with scalars."""

    op_domain = ""

    def _run(self, given):
        return ((given / (1 + np.abs(given))).astype(given.dtype),)


class OneHot(ReferenceOneHot):
    """The reference takes no depth that is a list of one number."""

    op_domain = ""

    def _run(self, indices, depth, values, axis=-1):
        return super()._run(indices, np.reshape(depth, ()), values, axis=axis)


class GatherElements(OpRun):
    """The reference takes no fewer indices than there are elements along other axes, and of long axes the first one."""

    op_domain = ""

    def _run(self, given, indices, axis=0):
        axis %= given.ndim
        within = tuple(slice(None if each == axis else length) for each, length in enumerate(indices.shape))
        length = given.shape[axis]
        if indices.size and not -length <= indices.min() <= indices.max() < length:
            raise IndexError(f"it takes elements at places that an axis of {length} does not have")
        return (np.take_along_axis(given[within], np.where(indices < 0, indices + length, indices), axis),)


class ReduceMean(OpRunReduceNumpy):
    """The reference adds integers up in their own type, which does not hold the sum."""

    op_domain = ""

    def _run(self, given, axes=None, keepdims=1, noop_with_empty_axes=0):
        axes = self.handle_axes(axes, noop_with_empty_axes)
        whole = given.dtype.kind in "iu"
        made = np.mean(given, axis=axes, keepdims=keepdims != 0, dtype=np.longdouble if whole else given.dtype)
        return (np.asarray(np.trunc(made) if whole else made, given.dtype),)


class ReduceLogSumExp(ReferenceLogSumExp):
    """As `Softsign`."""

    op_domain = ""

    def _run(self, given, axes=None, keepdims=1, noop_with_empty_axes=0):
        return super()._run(given, axes, keepdims, noop_with_empty_axes) if given.ndim else (given,)


OWN = (LogSoftmax, ReduceLogSumExp, ReduceMean, Softsign, OneHot, GatherElements)
