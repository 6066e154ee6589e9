# SPDX-License-Identifier: Apache-2.0
"""NumPy's files. Nothing in them is ever unpickled, and no size that they claim is believed before it is checked."""

from __future__ import annotations

import math
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from springbok.data.dataset import DEFAULT_SPLIT, NUMBER_KINDS, SPLITS
from springbok.data.own.content import NONE, Content, Options, check_bytes, size_of
from springbok.support.errors import DatasetError

#: Names of the labels, if ``label=`` says no other, the first that is there.
LABEL_NAMES = ("labels", "label", "targets", "target", "y")
_MOST_ARRAYS = 1000
_UNNAMED = "arr_"  # how NumPy names arrays that were given none


def read_npz(path: Path, options: Options) -> Content:
    """The arrays of an ``.npz``: inputs by name, and labels if there are any.

    Of names such as ``x_train`` and ``x_test`` those of the split are taken.
    """
    options.without(path, "an .npz", "header")
    everything = _npz_arrays(path)
    arrays = _of_split(path, everything, options.split or DEFAULT_SPLIT)
    if arrays is everything:
        options.without(path, "arrays that are not named by splits (x_train, x_test)", "split")
    label = _label_name(path, arrays, options)
    labels = arrays.pop(label) if label else None
    arrays = _chosen(path, arrays, options)
    taken = f", labels '{label}'" if label else ""
    inputs = tuple(arrays.values()) if all(name.startswith(_UNNAMED) for name in arrays) else arrays
    return Content(
        inputs=inputs[0] if isinstance(inputs, tuple) and len(inputs) == 1 else inputs,
        labels=labels,
        what=f"arrays of {path.name}{taken}",
        advice=f"'{label}' was taken for the labels: label=none makes it an input."
        if label
        else "If one of them holds the labels, name it: label=NAME.",
    )


def read_npy(path: Path, options: Options) -> Content:
    """The one array of an ``.npy``, samples first."""
    options.without(path, "an .npy", "header", "inputs", "skip", "split")
    if options.label not in (None, NONE):
        raise DatasetError(f"{path} holds one array and no '{options.label}': give the labels as labels=FILE.")
    return Content(inputs=npy_array(path), what=f"array of {path.name}")


def npy_array(path: Path) -> np.ndarray:
    """The array of an ``.npy`` file. Raises DatasetError."""
    size = size_of(path)
    try:
        with path.open("rb") as file:
            return _array(file, size, str(path))
    except OSError as error:
        raise DatasetError(f"The data file {path} can't be read: {error}.") from error


def _npz_arrays(path: Path) -> dict[str, np.ndarray]:
    size_of(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > _MOST_ARRAYS:
                raise DatasetError(f"{path} holds {len(members)} arrays: no model has as many inputs.")
            check_bytes(f"{path}, unpacked,", sum(member.file_size for member in members))
            others = [member.filename for member in members if not member.filename.endswith(".npy")]
            if others or not members:
                raise DatasetError(f"{path} is no .npz: it holds {others[0] if others else 'no array'}.")
            arrays = {}
            for member in members:
                with archive.open(member) as file:
                    name = member.filename.removesuffix(".npy")
                    arrays[name] = _array(file, member.file_size, f"{path}, array '{name}'")
            return arrays
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError) as error:
        raise DatasetError(f"{path} is no .npz, or was not copied whole: {error}. Save it anew: np.savez().") from error


def _array(file: BinaryIO, size: int, where: str) -> np.ndarray:
    """Read an array of the ``.npy`` format that has ``size`` bytes in all."""
    formats = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        shape, is_fortran, dtype = formats[np.lib.format.read_magic(file)](file)
    except Exception as error:  # a header is Python's text, which fails in as many ways
        raise DatasetError(f"{where} is no .npy, or was not copied whole: {error}. Save it anew: np.save().") from error
    if dtype.hasobject:
        raise DatasetError(
            f"{where} holds Python objects (a pickle), which may run anything and are never read: save numbers."
        )
    nbytes = math.prod(shape) * dtype.itemsize
    there = size - file.tell()
    if not shape:
        raise DatasetError(f"{where} is a single value {dtype} and no array of samples: save an array, samples first.")
    if nbytes != there:
        raise DatasetError(
            f"{where} is an array {dtype}{list(shape)} of {nbytes:,} bytes, but {there:,} are there: it "
            "was not copied whole."
        )
    content = file.read(nbytes)
    if len(content) != nbytes:
        raise DatasetError(f"{where} was not copied whole: {len(content):,} of {nbytes:,} bytes are there.")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if is_fortran else "C")


def _of_split(path: Path, arrays: dict[str, np.ndarray], split: str) -> dict[str, np.ndarray]:
    """Only the arrays of a split, without its name, where all are called by splits."""
    split_of = {name: name.rpartition("_")[2] for name in arrays}
    if not set(split_of.values()) <= set(SPLITS):
        return arrays
    if split not in split_of.values():
        raise DatasetError(f"{path} holds no arrays of the split '{split}', but {_names(arrays)}.")
    return {name.rpartition("_")[0]: array for name, array in arrays.items() if split_of[name] == split}


def _label_name(path: Path, arrays: dict[str, np.ndarray], options: Options) -> str | None:
    if options.label:
        if options.label == NONE:
            return None
        if options.label not in arrays:
            raise DatasetError(f"{path} holds no array '{options.label}' for the labels, but {_names(arrays)}.")
        return options.label
    if options.labels:
        return None
    taken = {*options.inputs, *options.skip, *(spec.name for spec in options.model or ())}
    found = [name for name in LABEL_NAMES if name in arrays and name not in taken]
    return found[0] if found and len(arrays) > 1 else None


def _chosen(path: Path, arrays: dict[str, np.ndarray], options: Options) -> dict[str, np.ndarray]:
    unknown = [name for name in (*options.inputs, *options.skip) if name not in arrays]
    if unknown:
        raise DatasetError(f"{path} holds no array '{unknown[0]}' for an input, but {_names(arrays)}.")
    kept = {name: arrays[name] for name in options.inputs or arrays if name not in options.skip}
    wrong = [name for name, array in kept.items() if array.dtype.kind not in NUMBER_KINDS]
    if wrong or not kept:
        held = (
            f"'{wrong[0]}' of {path} holds {arrays[wrong[0]].dtype}, no numbers" if wrong else f"{path} has no inputs"
        )
        raise DatasetError(f"{held}: name what the model takes (inputs=NAME) or leave others out (skip=NAME).")
    return kept


def _names(arrays: dict[str, np.ndarray]) -> str:
    return ", ".join(f"'{name}' {array.dtype}{list(array.shape)}" for name, array in arrays.items())
