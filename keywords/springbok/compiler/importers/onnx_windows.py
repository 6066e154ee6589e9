# SPDX-License-Identifier: Apache-2.0
"""The window of an ONNX convolution or pooling, with every attribute as numbers, and the places of a resizing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


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


def transposed(attributes: dict, shape: Sequence[int], kernel: Sequence[int]) -> dict[str, object]:
    """As `window`, of a transposed convolution: with ``output_padding``, and numbers in place of ``output_shape`` too.

    Raises ValueError where more is to be given than the filters reach, which ONNX and onnxruntime take differently.

    >>> transposed({"auto_pad": b"SAME_UPPER", "strides": (2,)}, (1, 1, 4), (1, 1, 3))["pads"]
    (0, 1)
    """
    automatic = attributes.get("auto_pad", b"NOTSET")
    plain = {name: value for name, value in attributes.items() if name != "auto_pad" or automatic == b"VALID"}
    found = window(plain, shape, kernel)
    added = tuple(attributes.get("output_padding") or (0,) * (len(shape) - 2))
    wanted = attributes.get("output_shape")
    if wanted is None and automatic.startswith(b"SAME"):
        wanted = [length * stride for length, stride in zip(shape[2:], found["strides"], strict=True)]
    found["output_padding"] = added
    if wanted is not None:
        reach = reached(found, shape)
        totals = [most - length for most, length in zip(reach, wanted, strict=True)]
        if min(totals) < 0:
            raise ValueError(f"it is to give {list(wanted)} elements an axis, and reaches {reach}: add output_padding")
        halves = [total // 2 for total in totals]
        rests = [total - half for total, half in zip(totals, halves, strict=True)]
        found["pads"] = (*halves, *rests) if automatic == b"SAME_UPPER" else (*rests, *halves)
    return found


def reached(window: dict[str, object], shape: Sequence[int]) -> list[int]:
    """How many elements an axis a transposed convolution gives before its pads are cut off."""
    sizes = (window[name] for name in ("strides", "kernel_shape", "dilations", "output_padding"))
    return [
        (length - 1) * stride + (size - 1) * dilation + 1 + more
        for length, stride, size, dilation, more in zip(shape[2:], *sizes, strict=True)
    ]


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


def scales_reaching(lengths: Sequence[int], scales: np.ndarray) -> np.ndarray:
    """Scales whose products with these lengths are, in double precision too, what they are in single precision.

    onnxruntime and PyTorch make 13 of 5 times 2.6; ONNX and IREE 12, since the nearest number is a bit less.

    >>> 5 * np.float32(2.6) < 13 <= 5 * scales_reaching([5], np.float32([2.6]))[0]
    True
    """
    scales, lengths = np.float32(scales), np.asarray(lengths)
    made = np.floor(lengths.astype(np.float32) * scales)
    return np.where(lengths * scales.astype(np.float64) < made, np.nextafter(scales, np.float32(np.inf)), scales)


def nearest_places(length: int, scale: float, size: int, mode: str, nearest: str | None) -> np.ndarray:
    """Which of ``length`` elements each of ``size`` takes, in single precision as onnxruntime computes it.

    ``mode`` and ``nearest`` are the attributes ``coordinate_transformation_mode`` and ``nearest_mode`` of a Resize.

    >>> nearest_places(7, 2.6, 18, "asymmetric", "ceil")[[12, 13, 14]]
    array([5, 5, 6])
    """
    scale, half, numbers = np.float32(scale), np.float32(0.5), np.arange(size, dtype=np.float32)
    real = (numbers + half) / scale - half
    if mode == "asymmetric":
        real = numbers / scale
    elif mode == "align_corners":
        real = numbers * np.float32(length - 1) / np.float32(max(size - 1, 1))
    elif mode == "half_pixel_symmetric":
        real += np.float32(length / 2) * (1 - np.float32(size) / (scale * np.float32(length)))
    elif mode == "pytorch_half_pixel" and size == 1:
        real = np.zeros_like(numbers)
    rounded = {
        "ceil": np.ceil,
        "floor": np.floor,
        "round_prefer_ceil": lambda each: np.floor(each + 0.5),
    }.get(nearest, lambda each: np.ceil(each - 0.5))
    return np.clip(rounded(real.astype(np.float64)).astype(np.int64), 0, length - 1)
