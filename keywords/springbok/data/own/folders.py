# SPDX-License-Identifier: Apache-2.0
"""Folders: a file a sample, an image or a recording; the sub-folder is its class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from springbok.data.dataset import in_turn
from springbok.data.own import images, recordings
from springbok.data.own.content import NONE, Content, Options
from springbok.support.errors import DatasetError

_MOST_FILES = 200_000
_READERS: dict[str, Callable[[Sequence[Path], Options], Content]] = {
    **dict.fromkeys(images.SUFFIXES, images.read_images),
    **dict.fromkeys(recordings.SUFFIXES, recordings.read_recordings),
}


def read_folder(folder: Path, options: Options) -> Content:
    """Every image or recording of a folder by name, labelled by sub-folder if there are any: then classes take turns.

    Raises DatasetError that names an empty folder, or files of different kinds. What begins with a point, and what is
    of no kind that is read, is left out and told.
    """
    options.without(folder, "a folder", "inputs", "skip", "split")
    if options.label not in (None, NONE):
        raise DatasetError(f"{folder}: sub-folders are the classes; label={options.label} is for arrays and tables.")
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and not _is_hidden(path))
    alone, skipped = _files(folder)
    if classes and alone:
        raise DatasetError(
            f"{folder} holds both samples ({alone[0].name}) and sub-folders ({classes[0].name}): put each sample into "
            "the folder of its class, or all into one."
        )
    files, labels = list(alone), []
    for each in classes:
        found, left_out = _files(each)
        nested = [path for path in each.iterdir() if path.is_dir() and not _is_hidden(path)]
        if nested:
            raise DatasetError(f"{nested[0]} is a folder within a class: put its samples into {each}, or a level up.")
        if not found:
            raise DatasetError(f"{each} is empty: put samples of the class '{each.name}' there, or remove it.")
        files += found
        skipped += left_out
        labels += [each.name] * len(found)
    if not files:
        raise DatasetError(
            f"{folder} holds no samples: put {', '.join(_READERS)} there, in a sub-folder for each class."
        )
    if len(files) > _MOST_FILES:
        raise DatasetError(f"{folder} holds {len(files):,} samples: take fewer, at most {_MOST_FILES:,}.")
    kinds = {path.suffix.lower(): path for path in files}
    readers = {_READERS[suffix] for suffix in kinds}
    if len(readers) > 1 or (recordings.SUFFIXES[0] in kinds and len(kinds) > 1):
        names = ", ".join(str(path.relative_to(folder)) for path in kinds.values())
        raise DatasetError(f"{folder} holds samples of different kinds ({names}): keep one kind in a data set.")
    order = in_turn(labels) if labels else range(len(files))
    files, labels = [files[number] for number in order], [labels[number] for number in order if labels]
    content = readers.pop()(files, options)
    has_labels = bool(labels) and options.label != NONE and options.labels is None
    return replace(
        content,
        labels=np.array(labels) if has_labels else None,
        groups=tuple(str(path.relative_to(folder)) for path in files),
        what=f"{content.what} in {folder.name}",
        skipped=tuple(skipped),
    )


def _files(folder: Path) -> tuple[list[Path], list[str]]:
    """Samples in a folder, by name, and a sentence on each file that is none."""
    samples, skipped = [], []
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        if path.suffix.lower() in _READERS and not _is_hidden(path):
            samples.append(path)
        else:
            skipped.append(f"{path.relative_to(folder.parent)}: no image and no recording")
    return samples, skipped


def _is_hidden(path: Path) -> bool:
    return path.name.startswith((".", "__"))
