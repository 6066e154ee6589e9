# SPDX-License-Identifier: Apache-2.0
"""The user's own data: arrays, tables, folders of images or recordings, or what a function of theirs returns.

Each kind has a reader, which gives what the source holds as `Content`; what is common to all is done here, in this
order: labels of another file, shape, preprocessing, task.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from springbok.data.dataset import DEFAULT_SPLIT, EQUALITY, Dataset, check_split
from springbok.data.own.arrays import read_npy, read_npz
from springbok.data.own.content import NONE, Content, Options
from springbok.data.own.folders import read_folder
from springbok.data.own.functions import FUNCTION, read_function
from springbok.data.own.labels import is_table, read_labels, understood
from springbok.data.own.preprocessing import preprocess
from springbok.data.own.tables import read_csv
from springbok.support.errors import DatasetError
from springbok.support.places import given_path

#: Endings of files that are read, each with its reader.
KINDS: dict[str, Callable[[Path, Options], Content | Dataset]] = {".npz": read_npz, ".npy": read_npy, ".csv": read_csv}


def is_own(source: str) -> bool:
    """Whether ``source`` is a path that is there, is written like a file that is read, or names a function."""
    path = given_path(source)
    return bool(FUNCTION.fullmatch(source)) or path.suffix.lower() in KINDS or path.exists()


def load(source: str, options: Options) -> Dataset:
    """Return the data set at ``source``. Raises DatasetError that names file, place and remedy.

    >>> load("motions.npz", Options(label="y", preprocessing=("scale 1/255",)))      # doctest: +SKIP
    """
    check_split(options.split or DEFAULT_SPLIT)
    if options.labels and options.label not in (None, NONE):
        raise DatasetError(f"{source}: both labels={options.labels} and label={options.label} name labels: keep one.")
    if options.label == NONE and not options.labels and options.task not in (None, EQUALITY):
        raise DatasetError(f"{source}: label=none says that there are no labels, which the task {options.task} needs.")
    found = FUNCTION.fullmatch(source)
    path = given_path(found["file"] if found else source)
    content = read_function(path, found["function"], options) if found else _read(path, options)
    if isinstance(content, Dataset):
        return _of_function(content, source, options)
    if options.labels:
        if content.labels is not None:
            raise DatasetError(
                f"{source} has labels of its own, but labels={options.labels} was given too: keep one of them."
            )
        content = replace(content, labels=read_labels(options.labels, content), written=is_table(options.labels))
    inputs, steps = content.inputs, content.steps
    if not content.is_shaped:
        inputs = _shaped(source, inputs, options)
    inputs, done = preprocess(source, inputs, options.preprocessing)
    if options.raw and not _holds_integers(inputs):
        raise DatasetError(f"{source} holds no integers, so raw=True has no meaning: leave it out.")
    task, labels, class_names = understood(source, content, options)
    return Dataset(
        name=options.title or _title(source, found),
        inputs=inputs,
        labels=labels,
        class_names=class_names,
        groups=content.groups,
        description=_described(content, inputs, labels, task),
        skipped=content.skipped,
        task=task,
        preprocessing=(*steps, *done),
        raw=options.raw,
        flat=content.flat and options.shape is None and not options.preprocessing,
        advice=_as_prepared(options.preprocessing) or content.advice,
    )


def _as_prepared(steps: Sequence[str]) -> str:
    """Whose shape samples have: of the source as it is, only where nothing of one's own has made another of it."""
    own = [step for step in steps if FUNCTION.fullmatch(step.strip())]
    return f"That is what preprocessing={own[-1]} returned." if own else ""


def _holds_integers(inputs: Any) -> bool:
    arrays = (
        inputs.values() if isinstance(inputs, Mapping) else inputs if isinstance(inputs, list | tuple) else [inputs]
    )
    return any(np.asarray(array).dtype.kind in "biu" for array in arrays)


def _read(path: Path, options: Options) -> Content | Dataset:
    if path.is_dir():
        return read_folder(path, options)
    reader = KINDS.get(path.suffix.lower())
    if reader is None:
        raise DatasetError(
            f"{path} is no data that can be read: give {', '.join(KINDS)}, a folder of images or recordings, or a "
            "function that reads it, FILE.py:FUNCTION."
        )
    return reader(path, options)


def _of_function(found: Dataset, source: str, options: Options) -> Dataset:
    """A data set that a function made is as it wants; only preprocessing and a title are added."""
    refused = options.changed(besides=("preprocessing", "title", "model", "split", "class_names"))
    if refused:
        raise DatasetError(f"{source} returns a Dataset, which says itself what it is: leave {', '.join(refused)} out.")
    inputs, done = preprocess(source, found.inputs, options.preprocessing)
    name = options.title or found.name
    found = replace(found, name=name, inputs=inputs, preprocessing=(*found.preprocessing, *done))
    found = replace(found, advice=_as_prepared(options.preprocessing) or found.advice)
    return found.with_classes(options.class_names) if options.class_names else found


def _title(source: str, function: re.Match | None) -> str:
    path = Path(function["file"]) if function else Path(source).absolute()
    return f"{path.stem}.{function['function']}" if function else path.stem


def _shaped(source: str, inputs: object, options: Options) -> object:
    """The only input in the shape that was asked for, a sample."""
    if options.shape is None:
        return inputs
    if isinstance(inputs, dict) and len(inputs) == 1:
        return {name: _shaped(source, array, options) for name, array in inputs.items()}
    if not isinstance(inputs, np.ndarray):
        raise DatasetError(f"{source} holds several inputs: shape= is for one. Shape them in a function of your own.")
    wanted = int(np.prod(options.shape))
    if inputs[0].size != wanted:
        raise DatasetError(
            f"{source}: a sample has {inputs[0].size} values {list(inputs.shape[1:])}, but the shape "
            f"{list(options.shape)} has {wanted}: give the shape of a sample, without the number of samples."
        )
    return inputs.reshape(len(inputs), *options.shape)


def _described(content: Content, inputs: object, labels: np.ndarray | None, task: str) -> str:
    arrays = list(inputs.values()) if isinstance(inputs, dict) else inputs if isinstance(inputs, tuple) else [inputs]
    shapes = ", ".join(f"{np.asarray(array).dtype}{list(np.shape(array)[1:])}" for array in arrays)
    return (
        f"{content.what}: {len(np.asarray(arrays[0]))} samples of {shapes}, {'no labels' if labels is None else task}"
    )
