# SPDX-License-Identifier: Apache-2.0
"""Reads JSON that anybody may have written, or broken: whatever can't be worked with is one kind of error."""

from __future__ import annotations

import json
from typing import Any

_BEYOND = 2**63
_MOST_DIGITS = len(str(-_BEYOND))


def parse(text: str | bytes) -> Any:
    """What the text says, and JSON can say again.

    Raises ValueError for what is no JSON or too deep, for a key that an object has twice, for numbers that are none,
    not finite or integers of more than 64 bits, which no database takes, and for halves of characters, which no file
    can hold.

    >>> parse('{"models": []}')
    {'models': []}
    """
    try:
        found = json.loads(text, parse_int=_integer, parse_constant=_no_number, object_pairs_hook=_object)
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None
    except UnicodeEncodeError as error:
        raise ValueError(f"a text in it holds half a character, {ascii(error.object[error.start])}") from None
    return found


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in found if keys.count(key) > 1)
        raise ValueError(f"the key '{twice:.60}' is there twice in one object")
    return found


def _integer(text: str) -> int:
    if len(text) <= _MOST_DIGITS and -_BEYOND <= (number := int(text)) < _BEYOND:
        return number
    raise ValueError(f"{text:.30} is too large a number")


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")
