# SPDX-License-Identifier: Apache-2.0
"""``run.json``: when a run was, of which commit. What metrics don't hold, because it is other in every run.

`springbok.history.record` says what is in it; its form is ``run.schema.json`` beside this file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from springbok.support import json_schema, strict_json
from springbok.support.files import write_in_one_step

FILE_NAME = "run.json"
SCHEMA_FILE = Path(__file__).with_name("run.schema.json")


def write(folder: Path, text: str) -> Path:
    """Keep a record with the results in ``folder``."""
    return write_in_one_step(folder / FILE_NAME, text)


def read(folder: Path) -> dict[str, Any]:
    """The record in ``folder``; nothing is known of results that have none, or one that can't be read."""
    return examine(folder)[0]


def examine(folder: Path) -> tuple[dict[str, Any], str]:
    """The record in ``folder``, and what is wrong with it: of one that is damaged nothing is known but that.

    >>> examine(Path("/nowhere"))
    ({}, '')
    """
    try:
        content = strict_json.parse((Path(folder) / FILE_NAME).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}, ""
    except (OSError, ValueError) as error:
        return {}, f"{FILE_NAME} can't be read: {error}"
    problem = json_schema.problem_of(content, SCHEMA_FILE)
    return ({}, f"{FILE_NAME} is no good: {problem}") if problem else (content, "")
