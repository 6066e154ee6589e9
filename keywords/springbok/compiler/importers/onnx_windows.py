# SPDX-License-Identifier: Apache-2.0
"""The window of an ONNX convolution or pooling, with every attribute as numbers."""

from __future__ import annotations

from collections.abc import Sequence


def window(attributes: dict, shape: Sequence[int], kernel: Sequence[int]) -> dict[str, object]:
    """The attributes of a convolution of these shapes, all of them, with numbers in place of ``auto_pad``.

    >>> window({"auto_pad": b"SAME_UPPER"}, (1, 1, 4, 4), (1, 1, 2, 2))["pads"]
    (0, 0, 1, 1)
    """
    axes = len(shape) - 2
    strides = tuple(attributes.get("strides", (1,) * axes))
    dilations = tuple(attributes.get("dilations", (1,) * axes))
    pads = tuple(attributes.get("pads", (0,) * (2 * axes)))
    automatic = attributes.get("auto_pad", b"NOTSET")
    if automatic.startswith(b"SAME"):
        before, after = [], []
        for length, size, stride, dilation in zip(shape[2:], kernel[2:], strides, dilations, strict=True):
            total = max((-(-length // stride) - 1) * stride + (size - 1) * dilation + 1 - length, 0)
            first = total // 2 if automatic == b"SAME_UPPER" else total - total // 2
            before.append(first)
            after.append(total - first)
        pads = (*before, *after)
    elif automatic == b"VALID":
        pads = (0,) * (2 * axes)
    found = {"strides": strides, "dilations": dilations, "pads": pads, "kernel_shape": tuple(kernel[2:])}
    return found | {"group": attributes.get("group", 1)}
