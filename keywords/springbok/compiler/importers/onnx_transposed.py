# SPDX-License-Identifier: Apache-2.0
"""ONNX's transposed convolutions, for `springbok.compiler.importers.onnx_rewriting`.

IREE takes pads that are the same on both sides, and filters of several channels. What else there is, is written out:
as a part of a transposed convolution without pads, or as a convolution of what is given with zeros between elements.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto

from springbok.compiler.importers import onnx_windows
from springbok.compiler.importers.onnx_moving import resized, with_pad_joined
from springbok.compiler.importers.onnx_quantised import dequantised_constant
from springbok.compiler.importers.onnx_rewriting import Graph, attributes_of, described
from springbok.compiler.importers.worker import UnusableError

#: IREE has no groups along more axes than an image's.
_AXES_OF_GROUPS = 2


def _transposed_convolution(graph: Graph, node: onnx.NodeProto) -> bool | None:
    given, weights = node.input[:2]
    shape, kernel = graph.shape_of(given), graph.shape_of(weights)
    if shape is None or kernel is None or graph.type_of(given) != TensorProto.FLOAT:
        return with_pad_joined(graph, node)
    attributes = attributes_of(node)
    try:
        window = onnx_windows.transposed(attributes, shape, kernel)
    except ValueError as error:
        raise UnusableError(f"{described(node)} can't be meant: {error}") from None
    groups, axes = window["group"], len(shape) - 2
    before, after = np.array(window["pads"]).reshape(2, axes)
    by_channel = groups > 1 and kernel[0] == groups and kernel[1] == 1
    filters = dequantised_constant(graph, weights)
    if filters is not None and (by_channel or (groups > 1 and axes > _AXES_OF_GROUPS)):
        _spread(graph, node, window, filters)
        return None
    is_even = (before == after).all()
    if is_even and attributes.keys().isdisjoint(("auto_pad", "output_shape")):
        return with_pad_joined(graph, node)
    made = onnx.NodeProto()
    made.CopyFrom(node)
    del made.attribute[:]
    options = window if is_even else window | {"pads": [0] * (2 * axes)}
    made.attribute.extend(onnx.helper.make_attribute(name, value) for name, value in options.items())
    if not is_even:
        made.output[0] = graph.new_name()
        ends = np.array(onnx_windows.reached(window, shape)) - after
        parts = map(graph.value, (before, ends, np.arange(2, 2 + axes)))
    if with_pad_joined(graph, made) is False:
        graph.keep(made)
    if not is_even:
        graph.add("Slice", made.output[0], *parts, to=node.output[0])
    return None


def _spread(graph: Graph, node: onnx.NodeProto, window: dict, filters: np.ndarray) -> None:
    """The convolution, by filters that are turned round, of what is given with zeros between its elements."""
    given, _, *bias = node.input
    shape, groups = graph.shape_of(given), window["group"]
    axes = len(shape) - 2
    strides, dilations, added = (np.array(window[name]) for name in ("strides", "dilations", "output_padding"))
    between = np.zeros((2, 2 + 2 * axes), np.int64)
    between[1, 3::2] = strides - 1
    apart = graph.reshape(given, (*shape[:2], *(each for length in shape[2:] for each in (length, 1))))
    spread = (*shape[:2], *(np.array(shape[2:]) * strides).tolist())
    apart = graph.reshape(resized(graph, apart, (), between), spread)
    reach = (np.array(filters.shape[2:]) - 1) * dilations
    before, after = reach - np.array(window["pads"]).reshape(2, axes)
    pads = np.array([[0, 0, *before], [0, 0, *(after + added - strides + 1)]])
    inner, outer = filters.shape[0] // groups, filters.shape[1]
    turned = filters.reshape(groups, inner, outer, *filters.shape[2:]).swapaxes(1, 2)
    turned = np.flip(turned, tuple(range(3, 3 + axes))).reshape(groups * outer, inner, *filters.shape[2:])
    names = [resized(graph, apart, spread, pads), graph.value(np.ascontiguousarray(turned)), *bias]
    graph.add("Conv", *names, to=node.output[0], group=groups, dilations=dilations.tolist())


REWRITINGS = {"ConvTranspose": _transposed_convolution}
