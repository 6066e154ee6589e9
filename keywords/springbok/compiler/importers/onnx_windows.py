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


def pooled(attributes: dict, shape: Sequence[int]) -> tuple[dict[str, object], list[int], list[int]]:
    """The `window` of a pooling of ``shape``, its places along each axis, and how far the last one sticks out there.

    Places that would begin in the padding at the end are none. Sticking out is counted from the end of what is given,
    and may be negative.

    >>> pooled({"kernel_shape": (2,), "strides": (2,), "ceil_mode": 1}, (1, 1, 5))[1:]
    ([3], [1])
    """
    kernel = attributes["kernel_shape"]
    found = window(attributes, shape, (1, 1, *kernel))
    axes = len(kernel)
    counts, beyond = [], []
    for axis, length in enumerate(shape[2:]):
        before, after = found["pads"][axis], found["pads"][axes + axis]
        stride = found["strides"][axis]
        reach = (kernel[axis] - 1) * found["dilations"][axis] + 1
        room = before + length + after - reach
        count = (-(-room // stride) if attributes.get("ceil_mode") else room // stride) + 1
        if attributes.get("ceil_mode") and (count - 1) * stride >= before + length:
            count -= 1
        counts.append(count)
        beyond.append((count - 1) * stride + reach - before - length)
    return found, counts, beyond
