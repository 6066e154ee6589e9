# SPDX-License-Identifier: Apache-2.0
"""How commands write to the terminal."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

_LONGEST_CELL = 120


def print_table(rows: Sequence[Sequence[str]], left: int = 1) -> None:
    """Print rows of text in columns, the first ``left`` of them aligned to the left; each row is one line."""
    rows = [[_in_a_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def _in_a_line(text: str) -> str:
    """Text without line breaks, and what else would command a terminal; cut where it is too long for any."""
    line = re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+", " ", text)
    return line if len(line) <= _LONGEST_CELL else f"{line[: _LONGEST_CELL - 1]}…"


def shown(path: Path) -> Path:
    """The path as short as it can be told from here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
