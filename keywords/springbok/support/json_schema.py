# SPDX-License-Identifier: Apache-2.0
"""Holds what a JSON file says against its schema, the file beside the code that reads it."""

from __future__ import annotations

import json
from collections.abc import Set
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # only files that are read need it
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

_LONGEST_MESSAGE = 200


def problem_of(content: Any, schema: Path, forgiven: Set[str] = frozenset()) -> str:
    """The worst of what ``content`` has or lacks otherwise than its schema says; empty where there is nothing.

    What is to be an integer is none with a point in it, though JSON Schema takes ``3.0`` for one.
    ``forgiven`` are rules of JSON schemas that may be broken, such as ``required``.
    """
    from jsonschema.exceptions import best_match

    worst = best_match(each for each in _validator(schema).iter_errors(content) if not _is_forgiven(each, forgiven))
    if worst is None:
        return ""
    place = "/".join(map(str, worst.absolute_path)) or "the document"
    return f"{place}: {worst.message[:_LONGEST_MESSAGE]}"


@cache
def _validator(schema: Path) -> Validator:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    # JSON Schema takes 3.0 for an integer; who reads it counts, indexes and shifts by it.
    whole = Draft202012Validator.TYPE_CHECKER.redefine("integer", lambda _, value: type(value) is int)
    return extend(Draft202012Validator, type_checker=whole)(json.loads(schema.read_text(encoding="utf-8")))


def _is_forgiven(error: ValidationError, forgiven: Set[str]) -> bool:
    """Of alternatives, one that has nothing else against it suffices."""
    if error.validator != "anyOf":
        return error.validator in forgiven
    alternatives: dict[object, bool] = {}
    for each in error.context:
        number = each.relative_schema_path[0]
        alternatives[number] = alternatives.get(number, True) and _is_forgiven(each, forgiven)
    return any(alternatives.values())
