# SPDX-License-Identifier: Apache-2.0
"""Writes out the letters that no document and no terminal is to get: those that command instead of being read."""

from __future__ import annotations

import re

# Controls but tab and line breaks; what turns the direction of writing; halves of characters; what no XML may hold.
_COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


def visible(text: object) -> str:
    r"""The text, as Python writes letters that command: such as ``\x1b``. XML, Markdown and terminals can have it.

    >>> print(visible("a\x1b[31mb"))
    a\x1b[31mb
    """
    return _COMMANDS.sub(lambda found: ascii(found[0])[1:-1], str(text))
