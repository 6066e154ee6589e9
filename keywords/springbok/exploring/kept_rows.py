# SPDX-License-Identifier: Apache-2.0
"""Rows that a long command keeps in its folder of results, so that an interrupted one goes on where it was."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from springbok.support import strict_json
from springbok.support.files import storage_errors


class Kept(NamedTuple):
    """Rows of earlier runs by key, and of those that are damaged by key what is wrong with them."""

    rows: dict[str, dict[str, Any]]
    damaged: dict[str, str]


def read(path: Path, problems: Mapping[str, Callable[[Mapping[str, Any]], str]]) -> Kept:
    """The rows that are wanted: ``problems`` says by key what is wrong with one, nothing where it is whole.

    A line that is none, as the last one that an interruption has cut off, does not count. A row that is not as it was
    written is damaged too.
    """
    kept = Kept({}, {})
    with contextlib.suppress(FileNotFoundError):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                found = strict_json.parse(line)
                key, row = found["key"], found["row"]
                if key not in problems:
                    continue
                changed = "it is not as it was written" if found.get("sha256", _digest(row)) != _digest(row) else ""
                kept.rows.pop(key, None)
                kept.damaged.pop(key, None)
                if problem := changed or problems[key](row):
                    kept.damaged[key] = problem
                else:
                    kept.rows[key] = row
    return kept


def _digest(row: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()


def add(path: Path, key: str, row: Mapping[str, Any]) -> None:
    """Keep a row; one with an ``error`` is tried again: the reason may have been the machine's."""
    if row["error"] is not None:
        return
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        ragged = path.exists() and not path.read_bytes().endswith(b"\n")
        with path.open("a", encoding="utf-8") as file:
            file.write(("\n" if ragged else "") + json.dumps({"key": key, "sha256": _digest(row), "row": row}) + "\n")
