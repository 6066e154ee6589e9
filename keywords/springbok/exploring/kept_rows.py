# SPDX-License-Identifier: Apache-2.0
"""Rows that a long command keeps in its folder of results, so that an interrupted one goes on where it was."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
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

    A row that is not as it was written is damaged too, and one whose end is cut off. A line that does not even tell
    its row does not count: see `lost`.
    """
    kept = Kept({}, {})
    for line in _lines(path):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            found = _parsed(line)
            key = found["key"] if found else _key_of(line)
            if key not in problems or (found is None and key in kept.rows):
                continue
            problem = _problem(found, problems[key]) if found else "its end is cut off"
            kept.rows.pop(key, None)
            kept.damaged.pop(key, None)
            if problem:
                kept.damaged[key] = problem
            else:
                kept.rows[key] = found["row"]
    return kept


def whole(path: Path) -> list[dict[str, Any]]:
    """All rows that are as they were written, whatever they were measured of."""
    found = [each for line in _lines(path) if (each := _parsed(line)) and not _problem(each, lambda row: "")]
    return [each["row"] for each in found if isinstance(each["row"], dict)]


def lost(path: Path) -> int:
    """How many lines don't tell which row was in them: nobody knows what to measure anew."""
    return sum(_parsed(line) is None and _key_of(line) is None for line in _lines(path))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []


def _parsed(line: str) -> dict[str, Any] | None:
    """What a line holds; None where it holds no row."""
    with contextlib.suppress(ValueError):
        found = strict_json.parse(line)
        if isinstance(found, dict) and {"key", "row"} <= {*found}:
            return found
    return None


def _key_of(line: str) -> str | None:
    """The key of a line whose end is gone, where that is still there."""
    found = re.match(r'\{"key": ("(?:[^"\\]|\\.)*")', line)
    with contextlib.suppress(ValueError):
        return json.loads(found[1]) if found else None
    return None


def _problem(found: Mapping[str, Any], problem_of: Callable[[Mapping[str, Any]], str]) -> str:
    row = found["row"]
    is_changed = found.get("sha256", digest(row)) != digest(row)
    return "it is not as it was written" if is_changed else problem_of(row)


def digest(row: Mapping[str, Any]) -> str:
    """Of what is as JSON: it tells whether that was changed."""
    return hashlib.sha256(json.dumps(row, sort_keys=True).encode()).hexdigest()


def add(path: Path, key: str, row: Mapping[str, Any]) -> None:
    """Keep a row; one with an ``error`` is tried again: the reason may have been the machine's."""
    if row["error"] is not None:
        return
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        ragged = path.exists() and not path.read_bytes().endswith(b"\n")
        with path.open("a", encoding="utf-8") as file:
            file.write(("\n" if ragged else "") + json.dumps({"key": key, "sha256": digest(row), "row": row}) + "\n")
