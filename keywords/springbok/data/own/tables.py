# SPDX-License-Identifier: Apache-2.0
"""Tables of comma-separated values: a row a sample (or a step of a recording), a column a feature."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from springbok.data.own.content import NONE, Content, Options, read_bytes
from springbok.support.errors import DatasetError
from springbok.support.suggestions import did_you_mean

#: Headers of the column of labels, if ``label=`` says no other; without one it is the last column.
LABEL_COLUMNS = ("label", "labels", "class", "target", "y")
DELIMITERS = ",;\t|"
#: A table's text takes many times its size while it is read.
MOST_BYTES = 128 << 20


@dataclass(frozen=True)
class Table:
    """Cells as text; ``names`` are the columns', None without a header; ``lines`` are the rows' in the file, from 1."""

    path: Path
    names: tuple[str, ...] | None
    rows: list[list[str]]
    lines: list[int]

    def where(self, row: int, column: int) -> str:
        """What to call a cell."""
        name = f" '{self.names[column]}'" if self.names else ""
        return f"{self.path}, line {self.lines[row]}, column {column}{name}"

    def numbers(self, columns: Sequence[int]) -> np.ndarray:
        """The numbers in some columns, (rows, columns): int64 where all are integers, else float64.

        Raises DatasetError that names the first cell that holds none.
        """
        integers = True
        values: list[np.ndarray] = []
        for row, cells in enumerate(self.rows):
            text = [cells[column] for column in columns]
            numbers = _integers(text) if integers else None
            integers = numbers is not None
            if numbers is None:
                numbers = _floats(text)
            if numbers is None:
                column = next(column for column in columns if not _is_number(cells[column]))
                raise DatasetError(f"{self.where(row, column)}: {_why_not(cells[column])}")
            values.append(numbers)
        return np.array(values, np.int64 if integers else np.float64).reshape(len(self.rows), len(columns))

    def column(self, name: str) -> int:
        """Number of a column that is named by its header, or by its number from 0 (or from the end as -1)."""
        count = len(self.rows[0])
        if self.names and self.names.count(name) == 1:
            return self.names.index(name)
        if self.names and self.names.count(name) > 1:
            raise DatasetError(f"{self.path} has several columns named '{name}': give its number, from 0.")
        try:
            number = int(name)
        except ValueError:
            number = count
        if not -count <= number < count:
            known = ", ".join(f"'{each}'" for each in self.names) if self.names else f"0 to {count - 1}, without names"
            near = did_you_mean(name, self.names or ())
            raise DatasetError(f"{self.path} has no column '{name}'{near}; its columns are {known}.")
        return number % count


def read_csv(path: Path, options: Options) -> Content:
    """A table: a row a sample; the label in a column, the other columns one row of the input's values."""
    options.without(path, "a table", "split")
    table = read_table(path, options.header, options.label)
    labels_elsewhere = options.labels is not None or options.label == NONE
    label = None if labels_elsewhere else label_column(table, options.label)
    skipped = {table.column(name) for name in options.skip}
    for name in (*options.inputs, *options.skip):
        if table.column(name) == label:
            raise DatasetError(
                f"{path}: the column '{name}' holds the labels: label= names another one, or none if there are none."
            )
    remarks = []
    if _is_index(table) and 0 not in skipped and not options.inputs:
        skipped.add(0)
        remarks.append(f"{path.name}: its first column, which has no name and counts the rows")
    chosen = [table.column(name) for name in options.inputs] or range(len(table.rows[0]))
    features = [column for column in chosen if column != label and column not in skipped]
    if not features:
        raise DatasetError(
            f"{path} has no column for the inputs: its {len(table.rows[0])} are the label or left out. label=none says "
            "that there is no label."
        )
    called = f", label '{table.names[label]}'" if table.names and label is not None else ""
    return Content(
        inputs=table.numbers(features),
        labels=None if label is None else labels_of(table, [label]),
        groups=tuple(f"{path.name}, line {line}" for line in table.lines),
        what=f"table {path.name}{called}",
        skipped=tuple(remarks),
        flat=True,
        written=True,
        advice=f"The {len(features)} columns of {path.name} are one sample; skip= leaves columns out, label= names the "
        "label's, and label=none says that there is none.",
    )


def labels_of(table: Table, columns: Sequence[int]) -> np.ndarray:
    """Labels in one column or more: numbers if all are, else the text of the one."""
    for row, cells in enumerate(table.rows):
        for column in columns:
            if not cells[column].strip():
                raise DatasetError(f"{table.where(row, column)}: the label is missing.")
    if len(columns) == 1 and not all(_is_number(cells[columns[0]]) for cells in table.rows):
        numbers = [_is_number(cells[columns[0]]) for cells in table.rows]
        unlike = [row for row, cells in enumerate(table.rows) if _parsed(cells[columns[0]]) is not None]
        if any(numbers) and len(unlike) == len(table.rows):  # a NaN or an infinity among numbers
            return table.numbers(columns)
        return np.array([cells[columns[0]].strip() for cells in table.rows])
    numbers = table.numbers(columns)
    return numbers[:, 0] if len(columns) == 1 else numbers


def label_column(table: Table, label: str | None) -> int:
    """Number of the column of labels: the one that was named, that is called so, or the last."""
    if label is not None:
        return table.column(label)
    names = [name.lower() for name in table.names or ()]
    known = [names.index(name) for name in LABEL_COLUMNS if name in names]
    return known[0] if known else len(table.rows[0]) - 1


def read_table(path: Path, header: bool | None = None, label: str | None = None) -> Table:
    """Read the cells. Raises DatasetError: no text, ragged rows, no rows.

    Columns may be separated by commas, semicolons, tabulators or bars. ``label`` is the one column that may hold text
    in a table without a header.
    """
    content = read_bytes(path)
    if len(content) > MOST_BYTES:
        raise DatasetError(
            f"{path} holds {len(content):,} bytes, more than the {MOST_BYTES:,} of the largest table: save it as .npz, "
            "or read it in a function of your own, FILE.py:FUNCTION."
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is no UTF-8 text: byte {error.start} can't be read. Save it as UTF-8.") from error
    if "\0" in text:
        raise DatasetError(f"{path} is no text: it holds a zero byte. Save it as comma-separated values in UTF-8.")
    first = text.lstrip().partition("\n")[0]
    delimiter = max(DELIMITERS, key=first.count)
    rows, lines = [], []
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, skipinitialspace=True, strict=True)
    try:
        for cells in reader:
            if any(cell.strip() for cell in cells):
                rows.append(cells)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise DatasetError(f"{path}, line {reader.line_num}: no comma-separated values: {error}.") from error
    if not rows:
        raise DatasetError(f"{path} holds no rows.")
    for cells, line in zip(rows, lines, strict=True):
        if len(cells) != len(rows[0]):
            raise DatasetError(
                f"{path}, line {line} has {len(cells)} columns, but line {lines[0]} has {len(rows[0])}: give every row "
                "as many, separated in the same way."
            )
    comment = rows[0][0].startswith("#")
    if comment:  # as numpy.savetxt writes it
        rows[0][0] = rows[0][0].lstrip("# ")
    names = None
    if header or (header is None and (comment or _is_header(rows, label))):
        names = tuple(cell.strip() for cell in rows[0])
        rows, lines = rows[1:], lines[1:]
        if not rows:
            raise DatasetError(f"{path} holds a header and no rows.")
    return Table(path, names, rows, lines)


def _is_header(rows: list[list[str]], label: str | None) -> bool:
    """Whether the first row are names: a column that is no label's begins with text, or its label looks like a name."""
    first = rows[0]
    if label not in (None, NONE) and not label.lstrip("-").isdigit():
        return True  # only a header has a name
    text = [number for number, cell in enumerate(first) if _parsed(cell) is None]
    place = len(first) - 1  # the label's, None without one
    if label is not None:
        place = int(label) % len(first) if label != NONE else None
    if any(number != place for number in text):
        return any(first[number].strip() or number == 0 for number in text if number != place)
    if not text or len(rows) == 1:
        return bool(text) and first[place].strip().lower() in LABEL_COLUMNS
    return first[place].strip().lower() in LABEL_COLUMNS or _parsed(rows[1][place]) is not None


def _is_index(table: Table) -> bool:
    """Whether the first column is the row numbers that pandas writes: without a name, counting from 0."""
    if not table.names or table.names[0] or len(table.names) == 1:
        return False
    return all(cells[0].strip() == str(number) for number, cells in enumerate(table.rows))


def _parsed(cell: str) -> float | None:
    try:
        return None if "_" in cell else float(cell)
    except ValueError:
        return None


def _is_number(cell: str) -> bool:
    number = _parsed(cell)
    return number is not None and math.isfinite(number)


def _integers(text: Sequence[str]) -> np.ndarray | None:
    """Integers that text stands for; None where one is none, or none of 64 bits."""
    try:
        return None if "_" in "".join(text) else np.array([int(cell) for cell in text], np.int64)
    except (ValueError, OverflowError):
        return None


def _floats(text: Sequence[str]) -> np.ndarray | None:
    """Finite numbers that text stands for; None where one is none."""
    try:
        numbers = np.array([float(cell) for cell in text])
    except ValueError:
        return None
    return numbers if "_" not in "".join(text) and np.isfinite(numbers).all() else None


def _why_not(cell: str) -> str:
    shown = cell.strip()[:40]
    if not shown:
        return "the value is missing. Fill it in, leave the row out, or leave the column out (skip=)."
    if _parsed(cell) is not None:
        return f"'{shown}' is not finite. Put a number there, leave the row out, or leave the column out (skip=)."
    comma = " Write decimal points, not commas." if _parsed(cell.replace(",", ".")) is not None else ""
    return f"'{shown}' is no number.{comma} Correct it, or leave the column out (skip=)."
