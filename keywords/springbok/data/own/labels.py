# SPDX-License-Identifier: Apache-2.0
"""Labels of own data: read from a file beside it, and understood as what a task needs."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np

from springbok.data.dataset import ANOMALY, CLASSIFICATION, EQUALITY, NUMBER_KINDS, REGRESSION, TASKS
from springbok.data.own.arrays import npy_array
from springbok.data.own.content import Content, Options
from springbok.data.own.tables import Table, labels_of, read_table
from springbok.support.errors import DatasetError
from springbok.support.suggestions import did_you_mean

#: What a class that is no anomaly is called, if ``normal=`` says nothing else.
NORMAL_NAMES = ("normal", "ok", "good", "0", "false", "negative", "healthy")
_MOST_SHOWN = 5
_EXACT_INTEGERS = 1 << 53  # of floating-point numbers


def is_table(path: Path) -> bool:
    """Whether a file of labels is a table."""
    return path.suffix.lower() == ".csv"


def read_labels(path: Path, content: Content) -> np.ndarray:
    """The labels in ``.npy`` or ``.csv``, one a sample of ``content``; a table may name the samples' files first."""
    samples = _count(content)
    if path.suffix.lower() == ".npy":
        labels, what = npy_array(path), "labels"
    elif is_table(path):
        table = read_table(path)
        known = {Path(group).name: number for number, group in enumerate(content.groups)}
        names = [cells[0].strip() for cells in table.rows]
        if len(table.rows[0]) > 1 and Path(names[0]).name in known:
            return _by_file(path, table, names, content)
        labels, what = labels_of(table, range(len(table.rows[0]))), "rows of labels"
    else:
        raise DatasetError(f"{path} holds no labels that can be read: give an .npy or a .csv.")
    if len(labels) != samples:
        raise DatasetError(f"{path} holds {len(labels)} {what}, but there are {samples} samples: give one a sample.")
    return labels


def _by_file(path: Path, table: Table, names: list[str], content: Content) -> np.ndarray:
    given = {Path(name).name: row for row, name in enumerate(names)}
    missing = [group for group in content.groups if Path(group).name not in given]
    if missing:
        raise DatasetError(f"{path} has no label for {missing[0]}: give one for each of {len(content.groups)} files.")
    labels = labels_of(table, range(1, len(table.rows[0])))
    return labels[[given[Path(group).name] for group in content.groups]]


def understood(source: str, content: Content, options: Options) -> tuple[str, np.ndarray | None, tuple[str, ...]]:
    """Task, labels and class names of a source. Raises DatasetError where labels and task do not go together."""
    labels, task = content.labels, options.task
    if task is not None and task not in TASKS:
        raise DatasetError(f"There is no task '{task}'{did_you_mean(task, TASKS)}: choose one of {', '.join(TASKS)}.")
    if options.normal and task != ANOMALY:
        raise DatasetError(f"{source}: normal= is for task=anomaly, and the task is {task or 'not given'}.")
    if task == EQUALITY:
        return EQUALITY, None, ()
    if labels is None:
        if task:
            raise DatasetError(
                f"{source} holds no labels, which the task {task} needs: name them (label=NAME) or their file "
                "(labels=FILE)."
            )
        return EQUALITY, None, ()
    labels = np.asarray(labels)
    is_text = labels.dtype.kind not in NUMBER_KINDS
    if is_text and labels.dtype.kind not in "US":
        raise DatasetError(f"{source}: the labels are {labels.dtype}, neither numbers nor names of classes.")
    if labels.ndim == 0:
        raise DatasetError(f"{source}: the labels are a single value: give one a sample.")
    if task == ANOMALY:
        return ANOMALY, *_anomalies(source, labels, options)
    if task is None:
        task = _task_of(source, labels, content, options)
    if task == REGRESSION:
        if is_text:
            raise DatasetError(f"{source}: for a regression labels are numbers, but they are text: '{labels.flat[0]}'.")
        return REGRESSION, labels.astype(np.float64), ()
    return CLASSIFICATION, *_classes(source, labels, options.class_names)


def _classes(source: str, labels: np.ndarray, class_names: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    if _are_whole(labels):  # 1.0 is the class 1
        labels = labels.astype(np.int64)
    if labels.dtype.kind not in NUMBER_KINDS or _are_names(labels, class_names):
        return _named(source, labels, class_names)
    return labels, class_names


def _task_of(source: str, labels: np.ndarray, content: Content, options: Options) -> str:
    """What labels are for that say it themselves. Names of classes say it too.

    An array's type is what its maker wants it to be; a table's is made of what stands there.
    """
    if labels.dtype.kind not in "fc" or _is_one_hot(labels) or options.class_names:
        return CLASSIFICATION
    if content.written and _are_whole(labels):
        found = ", ".join(f"{label:g}" for label in np.unique(labels)[:_MOST_SHOWN])
        raise DatasetError(
            f"{source}: the labels are whole ({found} …), but not all are written as integers, so that they may be "
            "classes or quantities: say which, task=classification or task=regression."
        )
    return REGRESSION


def _are_whole(labels: np.ndarray) -> bool:
    """Whether floating-point labels, one a sample, are all integers: pandas writes integers so beside a gap."""
    if labels.dtype.kind != "f" or labels.size != len(labels):
        return False
    return bool((np.isfinite(labels) & (np.abs(labels) < _EXACT_INTEGERS) & (labels == np.floor(labels))).all())


def _is_one_hot(labels: np.ndarray) -> bool:
    return (
        labels.ndim == 2
        and labels.shape[1] > 1
        and set(np.unique(labels)) <= {0, 1}
        and bool((labels.sum(axis=1) == 1).all())
    )


def _are_names(labels: np.ndarray, class_names: tuple[str, ...]) -> bool:
    """Whether numbers are meant as names: all are among the names, which are numbers too."""
    return bool(class_names) and labels.ndim == 1 and {str(label) for label in labels.tolist()} <= set(class_names)


def _named(source: str, labels: np.ndarray, class_names: tuple[str, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    texts = [_text(label) for label in labels.reshape(len(labels), -1)[:, 0].tolist()]
    names = tuple(map(_text, class_names)) or tuple(sorted(set(texts)))
    unknown = sorted(set(texts) - set(names))
    if unknown:
        sample = texts.index(unknown[0])
        raise DatasetError(
            f"{source}: sample {sample} is labelled '{unknown[0]}', which is none of {', '.join(names)}."
        )
    return np.array([names.index(text) for text in texts], np.int64), tuple(names)


def _text(label: object) -> str:
    """A label as text, in the one form (NFC) that letters with marks have: macOS gives the other one to folders."""
    text = label.decode(errors="replace") if isinstance(label, bytes) else str(label)
    return unicodedata.normalize("NFC", text)


def _anomalies(source: str, labels: np.ndarray, options: Options) -> tuple[np.ndarray, tuple[str, ...]]:
    """1 for whatever is not normal."""
    if labels.dtype.kind in NUMBER_KINDS and options.normal is None:
        wrong = np.flatnonzero(
            (labels.reshape(len(labels), -1)[:, 0] != 0) & (labels.reshape(len(labels), -1)[:, 0] != 1)
        )
        if len(wrong) or labels.size != len(labels):
            raise DatasetError(
                f"{source}: for task=anomaly a label is 0 (normal) or 1, but they are {labels.dtype}"
                f"{list(labels.shape)} with {np.unique(labels)[:5].tolist()}…: name the normal one, normal=VALUE."
            )
        return labels.reshape(len(labels)).astype(np.int64), ("normal", "anomaly")
    texts = [_text(label) for label in labels.reshape(len(labels), -1)[:, 0].tolist()]
    known = [name for name in sorted(set(texts)) if name.lower() in NORMAL_NAMES]
    normal = (options.normal and _text(options.normal)) or (known[0] if len(known) == 1 else None)
    if normal not in texts:
        there = sorted(set(texts))
        question = f"which class is no anomaly? There are {', '.join(there)}: name it, normal=CLASS"
        if options.normal:
            question = f"normal={normal} is no class{did_you_mean(normal, there)}. There are {', '.join(there)}"
        raise DatasetError(f"{source}: {question}.")
    return np.array([text != normal for text in texts], np.int64), ("normal", "anomaly")


def _count(content: Content) -> int:
    inputs = content.inputs
    arrays = list(inputs.values()) if isinstance(inputs, dict) else inputs if isinstance(inputs, tuple) else [inputs]
    return len(arrays[0]) if arrays else 0
