# SPDX-License-Identifier: Apache-2.0
"""Reads JSON that anybody may have written, or broken: whatever can't be worked with is one kind of error."""

from __future__ import annotations

import json
from typing import Any

_BEYOND = 2**63
_MOST_DIGITS = len(str(-_BEYOND))


def parse(text: str | bytes, **hooks: Any) -> Any:
    """What the text says, and JSON can say again. ``hooks`` are those of `json.loads`.

    Raises ValueError for what is no JSON or too deep, for numbers that are none, not finite or integers of more than
    64 bits, which no database takes, and for halves of characters, which no file can hold.

    >>> parse('{"models": []}')
    {'models': []}
    """
    try:
        found = json.loads(text, parse_int=_integer, parse_constant=_no_number, **hooks)
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    except RecursionError:
        raise ValueError("its values are nested too deeply") from None
    except UnicodeEncodeError as error:
        raise ValueError(f"a text in it holds half a character, {ascii(error.object[error.start])}") from None
    return found


def _integer(text: str) -> int:
    if len(text) <= _MOST_DIGITS and -_BEYOND <= (number := int(text)) < _BEYOND:
        return number
    raise ValueError(f"{text:.30} is too large a number")


def _no_number(text: str) -> float:
    raise ValueError(f"{text} is no number")
