# SPDX-License-Identifier: Apache-2.0
"""How commands write to the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def print_table(rows: Sequence[Sequence[str]], left: int = 1) -> None:
    """Print rows of text in columns, the first ``left`` of them aligned to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def shown(path: Path) -> Path:
    """The path as short as it can be told from here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
