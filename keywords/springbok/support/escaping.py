# SPDX-License-Identifier: Apache-2.0
"""Writes out the letters that no document and no terminal is to get: those that command instead of being read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

# Controls but tab and line breaks; what turns the direction of writing; halves of characters; what no XML may hold.
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def visible(text: object) -> str:
    r"""The text, as Python writes letters that command: such as ``\x1b``. XML, Markdown and terminals can have it.

    >>> print(visible("a\x1b[31mb"))
    a\x1b[31mb
    """
    return _COMMANDS.sub(lambda found: ascii(found[0])[1:-1], str(text))


def visible_in(content: Any) -> Any:
    r"""The same of every text in objects and lists, however deep; of keys too.

    >>> visible_in({"name": ["a\u202eb", 7]})
    {'name': ['a\\u202eb', 7]}
    """
    if isinstance(content, str):
        return visible(content)
    if isinstance(content, Mapping):
        return {visible_in(key): visible_in(value) for key, value in content.items()}
    return [visible_in(each) for each in content] if isinstance(content, list | tuple) else content
