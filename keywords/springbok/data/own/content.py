# SPDX-License-Identifier: Apache-2.0
"""What a reader is asked for, and what it gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from springbok.support.errors import DatasetError
from springbok.support.places import given_path
from springbok.support.small_files import lfs_pointer
from springbok.tensors import Data, TensorSpec

#: More than this is no data set for one chip at one sample after the other, but a mistake or an attack.
MOST_BYTES = 2 << 30
NONE = "none"  # the label of data that has none


@dataclass(frozen=True)
class Options:
    """How own data are read; all of it may be left out.

    labels         file of the labels, ``.npy`` or ``.csv``, for data that holds none itself
    label          name of the labels among arrays or columns (of columns also the number, from 0, or from the end as
                   -1); ``none``: there are none
    inputs, skip   arrays or columns that are inputs; that are left out
    header         whether a table's first line are names; by default it is looked at
    task           one of `springbok.data.dataset.TASKS`; by default the labels say it
    class_names    of labels that are numbers, in their order; of others, the order of the model's outputs
    normal         for anomalies: the class that is none
    shape          of a sample: images are resized to it, recordings cut or padded, others brought into it
    raw            integers for a quantised input are quantised already
    preprocessing  steps: see `springbok.data.preprocessing`
    title          what the data set is called in metrics and baselines
    split          of sources that have splits, ``test`` by default
    model          inputs of the model, which say the size of images and the length of recordings
    """

    labels: Path | None = None
    label: str | None = None
    inputs: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    header: bool | None = None
    task: str | None = None
    class_names: tuple[str, ...] = ()
    normal: str | None = None
    shape: tuple[int, ...] | None = None
    raw: bool = False
    preprocessing: tuple[str, ...] = ()
    title: str | None = None
    split: str | None = None
    model: tuple[TensorSpec, ...] | None = None

    def changed(self, besides: Sequence[str] = ()) -> list[str]:
        """Names of the options that are not as by default, but for some."""
        given = [field.name for field in fields(self) if getattr(self, field.name) != field.default]
        return [name for name in given if name not in besides]

    def without(self, source: object, kind: str, *names: str) -> None:
        """Raises DatasetError where an option is given that has no meaning for this kind of source."""
        given = [name for name in names if name in self.changed()]
        if given:
            raise DatasetError(f"{source}: {', '.join(f'{name}=' for name in given)} is not for {kind}: leave it out.")


#: Names of the options that can be given as text; ``split`` is one of the data set's.
DATA_OPTIONS = ("split", *(field.name for field in fields(Options) if field.name not in ("split", "model")))
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")


def parse_options(given: Mapping[str, object], model: Sequence[TensorSpec] | None = None) -> Options:
    """Options as people write them: text, of which lists are separated by commas and preprocessing by semicolons.

    What is None is not given. Raises DatasetError for a text that can't be meant.

    >>> parse_options({"shape": "96,96,3", "preprocessing": "scale; mean/std"}).preprocessing
    ('scale', 'mean/std')
    """
    read: dict[str, Callable[[object], object]] = {
        "labels": lambda value: given_path(str(value)),
        "inputs": listed,
        "skip": listed,
        "class_names": listed,
        "preprocessing": lambda value: listed(value, ";"),
        "shape": _shape,
        "header": lambda value: _yes_or_no("header", value),
        "raw": lambda value: _yes_or_no("raw", value),
    }
    found = {name: read.get(name, str)(value) for name, value in given.items() if value is not None}
    for name in ("inputs", "skip", "class_names"):
        twice = [each for each, count in Counter(found.get(name, ())).items() if count > 1]
        if twice:
            raise DatasetError(f"{name}= names '{twice[0]}' twice: name each once.")
    return Options(**found, model=tuple(model) if model is not None else None)


def listed(given: object, separator: str = ",") -> tuple[str, ...]:
    """A list's items as text, or what stands between separators in a text."""
    parts = given.split(separator) if isinstance(given, str) else given
    return tuple(part for part in (str(part).strip() for part in parts) if part)


def _shape(given: object) -> tuple[int, ...] | None:
    parts = listed(given)
    if not all(part.isascii() and part.isdigit() and int(part) for part in parts):
        raise DatasetError(f"shape={given} is no shape: write the lengths of a sample, such as shape=96,96,3.")
    return tuple(map(int, parts)) or None


def _yes_or_no(name: str, given: object) -> bool:
    text = str(given).lower()
    if text not in (*_TRUE, *_FALSE):
        raise DatasetError(f"{name}={given} is neither true nor false.")
    return text in _TRUE


@dataclass(frozen=True)
class Content:
    """What a source holds. ``labels`` are numbers or text, one a sample; ``steps`` is what the reader did to values.

    ``what`` says what kind of source it is, ``is_shaped`` that the reader made the shape that was asked for,
    ``written`` that the labels were written as text, in a table; the other fields are those of
    `springbok.data.dataset.Dataset`.
    """

    inputs: Data
    labels: np.ndarray | None = None
    groups: tuple[str, ...] = ()
    what: str = ""
    steps: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    flat: bool = False
    is_shaped: bool = False
    written: bool = False
    advice: str = ""


def size_of(path: Path) -> int:
    """Size of a file that may be read, bytes.

    Raises DatasetError: it is not there, no file, empty, too large, or only Git LFS's pointer to it.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise DatasetError(f"The data file {path.absolute()} can't be read: {error.strerror}.") from error
    if not path.is_file():
        raise DatasetError(f"{path} is no file: give the path of a data file.")
    if size == 0:
        raise DatasetError(f"{path} is empty: nothing can be inferred from it.")
    check_bytes(path, size)
    try:
        pointer = lfs_pointer(path)
    except OSError as error:
        raise DatasetError(f"The data file {path.absolute()} can't be read: {error.strerror}.") from error
    if pointer:
        raise DatasetError(pointer)
    return size


def check_bytes(what: object, size: int) -> None:
    """Raises DatasetError for more bytes than a data set may have."""
    if size > MOST_BYTES:
        raise DatasetError(
            f"{what} holds {size:,} bytes, more than the {MOST_BYTES:,} of the largest data set: take fewer samples of "
            "it, for instance in a function of your own (FILE.py:FUNCTION)."
        )


def read_bytes(path: Path) -> bytes:
    """The content of a file that may be read: see `size_of`."""
    size_of(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f"The data file {path} can't be read: {error.strerror}.") from error
