# SPDX-License-Identifier: Apache-2.0
"""Images, PNG or JPEG, in the size and with the channels that a model takes."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from springbok.data.own.content import Content, Options, check_bytes, size_of
from springbok.support import packages
from springbok.support.errors import DatasetError

SUFFIXES = (".png", ".jpg", ".jpeg")

_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def read_images(files: Sequence[Path], options: Options) -> Content:
    """Images as uint8, 0 to 255, (N, height, width, channels), or channels first where the model has them so.

    They are resized to the shape that was asked for, else to the model's only input. Without either all must be of one
    size.
    """
    shape, wanted_by = _wanted(options)
    height, width, channels, channels_first = _layout(files[0].parent, shape, wanted_by)
    first, arrays, resized = None, [], 0
    for path in files:
        with _opened(path) as image:
            if channels is None:
                channels = 1 if image.mode in ("1", "L") else 3
            own_size = (image.height, image.width)
            first = first or (path, own_size)
            size = (height, width) if height else first[1]
            if not height and own_size != first[1]:
                raise DatasetError(
                    f"{path} has {own_size[0]}x{own_size[1]} pixels (height x width), but {first[0]} has "
                    f"{first[1][0]}x{first[1][1]}: say the model's size, shape=HEIGHT,WIDTH or model=${{model}}."
                )
            if not arrays:
                check_bytes(f"The images in {path.parent}", len(files) * size[0] * size[1] * channels)
            arrays.append(_pixels(path, image, size, channels))
            resized += own_size != size
    values = np.stack(arrays)
    if shape is not None and len(shape) == 2:
        values = values[..., 0] if channels == 1 else values
    steps = [f"{resized} of {len(files)} images resized to {size[0]}x{size[1]} (bilinear)"] if resized else []
    return Content(
        inputs=np.moveaxis(values, -1, 1) if channels_first else values,
        what=f"images ({_MODES[channels]})",
        steps=tuple(steps),
        is_shaped=True,
        advice="Images take the size and the order of channels that model=${model} has, or that shape= says: "
        "HEIGHT,WIDTH,CHANNELS, or CHANNELS,HEIGHT,WIDTH as PyTorch has them.",
    )


def _wanted(options: Options) -> tuple[tuple[int, ...] | None, str]:
    if options.shape is not None:
        return options.shape, "shape="
    if options.model is None:
        return None, ""
    if len(options.model) != 1:
        raise DatasetError(
            f"The model has {len(options.model)} inputs, and a folder of images is data for one: load it with a "
            "function of your own, FILE.py:FUNCTION."
        )
    return tuple(options.model[0].shape[1:]), f"the model's input {options.model[0]}"


def _layout(
    folder: Path, shape: tuple[int, ...] | None, wanted_by: str
) -> tuple[int | None, int | None, int | None, bool]:
    """Height, width, channels, and whether these stand first."""
    if shape is None:
        return None, None, None, False
    if len(shape) == 2:
        return *shape, None if wanted_by == "shape=" else 1, False
    for channels in (1, 3), (4,):
        if len(shape) == 3 and shape[2] in channels:
            return *shape, False
        if len(shape) == 3 and shape[0] in channels:
            return *shape[1:], shape[0], True
    raise DatasetError(
        f"{folder} holds images, but {wanted_by} has the shape {list(shape)}, which is none of an image: "
        "[height, width], with 1, 3 or 4 channels last or first. Shape them in a function of your own."
    )


def _opened(path: Path) -> Any:
    try:
        packages.provide("images", f"{path.name} is an image")
        from PIL import Image, UnidentifiedImageError
    except ImportError as error:
        raise DatasetError(f"{path} is an image, and what reads images is not there: {error}") from error
    size_of(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return Image.open(path, formats=("PNG", "JPEG"))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise DatasetError(f"{path} is no PNG or JPEG image: {error}.") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise DatasetError(f"{path} unpacks to too large an image: {error}") from error


def _pixels(path: Path, image: Any, size: tuple[int, int], channels: int) -> np.ndarray:
    from PIL import Image

    if image.mode.startswith(("I", "F")):
        raise DatasetError(
            f"{path} has more than 8 bits a pixel (mode {image.mode}): convert it, or read it in a function of your "
            "own, FILE.py:FUNCTION."
        )
    try:
        converted = image.convert(_MODES[channels])
        if (image.height, image.width) != size:
            converted = converted.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    except (OSError, ValueError, SyntaxError) as error:
        raise DatasetError(f"{path} is broken, or was not copied whole: {error}.") from error
    return np.asarray(converted, np.uint8).reshape(*size, channels)
