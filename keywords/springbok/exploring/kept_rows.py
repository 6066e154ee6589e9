# SPDX-License-Identifier: Apache-2.0
"""Rows that a long command keeps in its folder of results, so that an interrupted one goes on where it was."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from springbok.support import strict_json
from springbok.support.files import storage_errors


def read(path: Path) -> dict[str, dict[str, Any]]:
    """Rows of earlier runs, by key. A last line that was cut off by an interruption does not count."""
    rows = {}
    with contextlib.suppress(FileNotFoundError):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                kept = strict_json.parse(line)
                rows[kept["key"]] = kept["row"]
    return rows


def add(path: Path, key: str, row: Mapping[str, Any]) -> None:
    """Keep a row; one with an ``error`` is tried again: the reason may have been the machine's."""
    if row["error"] is not None:
        return
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        ragged = path.exists() and not path.read_bytes().endswith(b"\n")
        with path.open("a", encoding="utf-8") as file:
            file.write(("\n" if ragged else "") + json.dumps({"key": key, "row": row}) + "\n")
