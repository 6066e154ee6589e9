# SPDX-License-Identifier: Apache-2.0
"""``run.json``: when a run was, of which commit. What metrics don't hold, because it is other in every run.

`springbok.history.record` says what is in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from springbok.support import strict_json
from springbok.support.files import write_in_one_step

FILE_NAME = "run.json"


def write(folder: Path, text: str) -> Path:
    """Keep a record with the results in ``folder``."""
    return write_in_one_step(folder / FILE_NAME, text)


def read(folder: Path) -> dict[str, Any]:
    """The record in ``folder``; nothing is known of results that have none, or one that can't be read."""
    try:
        content = strict_json.parse((Path(folder) / FILE_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    origin = content.get("origin") or {} if isinstance(content, dict) else None
    is_known = isinstance(origin, dict) and all(isinstance(origin.get(key) or "", str) for key in ("commit", "branch"))
    return content if is_known else {}
