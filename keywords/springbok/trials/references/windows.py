# SPDX-License-Identifier: Apache-2.0
"""Models of operators with windows and places: convolutions, poolings, resizing, sampling."""

from __future__ import annotations

import numpy as np

from springbok.trials.references.maker import Maker, UnfitError, ordinary, positive, unit

_PADS = ("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")


def _window(maker: Maker, rank: int, dilated: bool = True) -> dict:
    """Attributes of a window that sees something of an image of 4 to 9 elements an axis."""
    kernel = [maker.whole(1, 3) for _ in range(rank)]
    told: dict = {"kernel_shape": kernel}
    if maker.chance(0.6):
        told["strides"] = [maker.whole(1, 3) for _ in range(rank)]
    if dilated and maker.chance(0.3):
        told["dilations"] = [maker.whole(1, 2) for _ in range(rank)]
    auto = maker.pick(_PADS) if maker.chance(0.5) else None
    if auto in (None, "NOTSET") and maker.chance(0.7):
        told["pads"] = [maker.whole(0, kernel[number % rank] - 1) for number in range(2 * rank)]
    if auto:
        told["auto_pad"] = auto
    return told


def _image(maker: Maker, rank: int, channels: int) -> tuple[int, ...]:
    return (maker.pick((1, 1, 1, 2)), channels, *(maker.whole(5 if rank < 3 else 5, 9) for _ in range(rank)))


def conv(maker: Maker, operator: str) -> None:
    """One to three axes, groups, dilations, pads of each kind, with a bias or not."""
    del operator
    rank = maker.pick((1, 2, 2, 2, 3))
    group = maker.pick((1, 1, 2, 3))
    inner, outer = maker.whole(1, 2), group * maker.whole(1, 2)
    told = _window(maker, rank)
    dtype = maker.floating()
    name = maker.given(dtype, _image(maker, rank, inner * group))
    weights = maker.given(dtype, (outer, inner, *told["kernel_shape"]), unit, constant=0.8)
    bias = maker.given(dtype, (outer,), unit, constant=0.9) if maker.chance() else ""
    if maker.chance(0.3):
        del told["kernel_shape"]
    maker.node([name, weights, bias], group=group if group > 1 or maker.chance() else None, **told)


def conv_transpose(maker: Maker, operator: str) -> None:
    """One or two axes, groups, pads that are told."""
    del operator
    rank = maker.pick((1, 2, 2))
    group = maker.pick((1, 1, 2))
    inner, outer = group * maker.whole(1, 2), maker.whole(1, 2)
    told = _window(maker, rank)
    told.pop("auto_pad", None)
    strides = told.get("strides", [1] * rank)
    if maker.chance(0.3):
        told["output_padding"] = [maker.whole(0, stride - 1) for stride in strides]
    dtype = maker.floating()
    name = maker.given(dtype, _image(maker, rank, inner))
    weights = maker.given(dtype, (inner, outer, *told["kernel_shape"]), unit, constant=0.8)
    bias = maker.given(dtype, (outer * group,), unit, constant=0.9) if maker.chance() else ""
    maker.node([name, weights, bias], group=group if group > 1 else None, **told)


def pool(maker: Maker, operator: str) -> None:
    """One to three axes, pads of each kind, rounded up or down."""
    rank = maker.pick((1, 2, 2, 3))
    told = _window(maker, rank, maker.has("dilations"))
    if maker.has("ceil_mode") and maker.chance(0.4):
        told["ceil_mode"] = maker.whole(0, 1)
    if operator == "AveragePool":
        told["count_include_pad"] = maker.maybe("count_include_pad", maker.whole(0, 1))
    if operator == "LpPool":
        told["p"] = maker.maybe("p", maker.whole(1, 3))
    outputs = 2 if operator == "MaxPool" and maker.chance(0.15) and "dilations" not in told else 1
    if outputs == 2:
        told["storage_order"] = maker.maybe("storage_order", maker.whole(0, 1))
    dtype = maker.dtype(0, ("float32", "float16", "int8", "uint8"))
    maker.node([maker.given(dtype, _image(maker, rank, maker.whole(1, 3)))], outputs, **told)


def global_pool(maker: Maker, operator: str) -> None:
    """One to three axes, some of a single element."""
    told = {"p": maker.maybe("p", maker.whole(1, 3))} if operator == "GlobalLpPool" else {}
    shape = (maker.whole(1, 2), maker.whole(1, 3), *maker.shape(1, 3, 6))
    maker.node([maker.given(maker.floating(), shape)], **told)


def resize(maker: Maker, operator: str) -> None:
    """All modes and places, by scales and by sizes, to a single element too."""
    del operator
    rank = maker.pick((1, 2, 2))
    lengths = [maker.whole(1, 6) for _ in range(rank)]
    shape = (1, maker.whole(1, 2), *lengths)
    mode = maker.pick(("nearest", "linear", "cubic"))
    if maker.opset < 11:
        scales = [1.0, 1.0, *(float(maker.pick((1, 2, 3))) for _ in lengths)]
        if mode == "cubic":
            mode = "nearest"
        name = maker.given(maker.dtype(0, ("float32", "uint8", "int8", "int32")), shape)
        maker.node([name, maker.constant(np.float32(scales))], mode=mode)
        return
    if mode == "cubic" and rank == 1:
        mode = "linear"
    places = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
    places += ["half_pixel_symmetric"] * (maker.opset >= 19)
    told = {"mode": mode, "coordinate_transformation_mode": maker.pick(places) if maker.chance(0.8) else None}
    if mode == "nearest":
        choices = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
        told["nearest_mode"] = maker.maybe("nearest_mode", maker.pick(choices))
    if mode == "cubic":
        told["cubic_coeff_a"] = maker.maybe("cubic_coeff_a", maker.pick((-0.5, -0.75)))
        told["exclude_outside"] = maker.maybe("exclude_outside", maker.whole(0, 1))
    if mode != "nearest" and maker.has("antialias") and maker.chance(0.2):
        told["antialias"] = 1
    name = maker.given(maker.dtype(0, ("float32",) if mode != "nearest" else ("float32", "int8", "uint8")), shape)
    if maker.chance():
        chosen = [float(maker.pick((0.5, 1.0, 1.5, 2.0, 2.6, 0.7))) for _ in lengths]
        if any(int(length * scale) < 1 for length, scale in zip(lengths, chosen, strict=True)):
            raise UnfitError("nothing would be left")
        maker.node([name, "", maker.constant(np.float32([1, 1, *chosen]))], **told)
    else:
        maker.node([name, "", "", maker.lengths([*shape[:2], *(maker.whole(1, 9) for _ in lengths)])], **told)


def upsample(maker: Maker, operator: str) -> None:
    """Whole factors."""
    del operator
    shape = (1, maker.whole(1, 2), maker.whole(1, 4), maker.whole(1, 4))
    scales = [1.0, 1.0, *(float(maker.whole(1, 3)) for _ in range(2))]
    name = maker.given("float32", shape)
    mode = maker.maybe("mode", maker.pick(("nearest", "linear")))
    if maker.takes(2):
        maker.node([name, maker.constant(np.float32(scales))], mode=mode)
    else:
        maker.node([name], scales=scales, mode=mode)


def grid_sample(maker: Maker, operator: str) -> None:
    """All modes and paddings, at places inside and outside."""
    del operator
    old = maker.opset < 20
    modes = ("bilinear", "nearest", "bicubic") if old else ("linear", "nearest", "cubic")
    rank = 2 if old else maker.pick((2, 2, 3))
    mode = maker.pick(modes if rank == 2 else modes[:2])
    batch = maker.whole(1, 2)
    name = maker.given("float32", (batch, maker.whole(1, 2), *(maker.whole(1, 5) for _ in range(rank))))
    places = (batch, *(maker.whole(1, 4) for _ in range(rank)), rank)
    grid = maker.given("float32", places, lambda random, shape, dtype, _: random.uniform(-1.6, 1.6, shape), 0.3)
    padding = maker.maybe("padding_mode", maker.pick(("zeros", "border", "reflection")))
    maker.node(
        [name, grid], mode=mode, padding_mode=padding, align_corners=maker.maybe("align_corners", maker.whole(0, 1))
    )


def col2im(maker: Maker, operator: str) -> None:
    """Two axes."""
    del operator
    kernel, image = [maker.whole(1, 3) for _ in range(2)], [maker.whole(3, 6) for _ in range(2)]
    strides, dilations = [maker.whole(1, 2) for _ in range(2)], [maker.whole(1, 2) for _ in range(2)]
    pads = [maker.whole(0, 1) for _ in range(4)]
    counts = [
        (image[axis] + pads[axis] + pads[axis + 2] - dilations[axis] * (kernel[axis] - 1) - 1) // strides[axis] + 1
        for axis in range(2)
    ]
    if min(counts) < 1:
        raise UnfitError("no window fits")
    shape = (1, maker.whole(1, 2) * kernel[0] * kernel[1], counts[0] * counts[1])
    name = maker.given("float32", shape)
    told = {"strides": strides, "dilations": dilations, "pads": pads}
    maker.node([name, maker.lengths(image), maker.lengths(kernel)], **{k: maker.pick((v, v)) for k, v in told.items()})


def roi_align(maker: Maker, operator: str) -> None:
    """Windows that are given."""
    del operator
    shape = (maker.whole(1, 2), maker.whole(1, 2), maker.whole(4, 7), maker.whole(4, 7))
    count = maker.whole(1, 3)

    def boxes(random, shape, dtype, _):
        corner, size = random.uniform(0, 3, (shape[0], 2)), random.uniform(1, 4, (shape[0], 2))
        return np.concatenate([corner, corner + size], 1).astype(dtype)

    images = maker.constant(maker.random.integers(0, shape[0], count))
    told = {key: maker.maybe(key, maker.whole(1, 3)) for key in ("output_height", "output_width", "sampling_ratio")}
    told["mode"] = maker.maybe("mode", maker.pick(("avg", "max")))
    told["spatial_scale"] = maker.maybe("spatial_scale", maker.pick((1.0, 0.5)))
    names = [maker.given("float32", shape, ordinary), maker.given("float32", (count, 4), boxes, constant=0.5), images]
    maker.node(names, **told)


def deform_conv(maker: Maker, operator: str) -> None:
    """Small offsets, with a mask or not."""
    del operator
    kernel, group = maker.whole(1, 3), maker.pick((1, 2))
    size, channels = maker.whole(4, 6), 2
    made = size - kernel + 1
    names = [maker.given("float32", (1, channels, size, size))]
    names.append(maker.given("float32", (2, channels // group, kernel, kernel), unit, constant=0.8))
    names.append(maker.given("float32", (1, 2 * kernel**2, made, made), unit))
    names.append(maker.given("float32", (2,), constant=1) if maker.chance() else "")
    names.append(maker.given("float32", (1, kernel**2, made, made), positive) if maker.chance() else "")
    maker.node(names, group=group if group > 1 else None, kernel_shape=[kernel, kernel], pads=[0] * 4)


def affine_grid(maker: Maker, operator: str) -> None:
    """Two and three axes."""
    del operator
    rank, batch = maker.pick((2, 3)), maker.whole(1, 2)
    size = [batch, 1, *(maker.whole(2, 4) for _ in range(rank))]
    name = maker.given("float32", (batch, rank, rank + 1), unit)
    maker.node([name, maker.lengths(size)], align_corners=maker.maybe("align_corners", maker.whole(0, 1)))


def max_unpool(maker: Maker, operator: str) -> None:
    """Behind the pooling whose places it takes; with and without the shape that is wanted."""
    rank = maker.pick((1, 2, 2))
    kernel = [maker.whole(1, 3) for _ in range(rank)]
    told: dict = {"kernel_shape": kernel, "strides": [max(length, maker.whole(1, 3)) for length in kernel]}
    if maker.chance(0.3):
        told["pads"] = [maker.whole(0, kernel[number % rank] - 1) for number in range(2 * rank)]
    shape = _image(maker, rank, maker.whole(1, 3))
    pooled = maker.node([maker.given(maker.floating(), shape)], 2, operator="MaxPool", **told)
    maker.outputs = []
    steps = zip(shape[2:], kernel, told["strides"], strict=True)
    exact = all((length - size) % stride == 0 for length, size, stride in steps)
    wanted = "" if exact and "pads" not in told and maker.chance() else maker.lengths(shape)
    maker.node([*pooled, wanted], operator=operator, **told)


DRAWN = {
    **{"Conv": conv, "ConvTranspose": conv_transpose, "AveragePool": pool, "MaxPool": pool, "LpPool": pool},
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"), global_pool),
    **{"Resize": resize, "Upsample": upsample, "GridSample": grid_sample, "Col2Im": col2im, "RoiAlign": roi_align},
    **{"DeformConv": deform_conv, "AffineGrid": affine_grid, "MaxUnpool": max_unpool},
}
