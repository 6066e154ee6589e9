# SPDX-License-Identifier: Apache-2.0
"""The packages that this project pins, by group. Only the standard library: the launcher reads them too.

A group begins with a line ``# [NAME] SIZE: TITLE`` of ``requirements.txt``; its packages are the lines up to the next
group.

>>> read("# [base] 230 MB: what every command needs\\nnumpy==2.4.6\\n")["base"].lines
('numpy==2.4.6',)
"""

import re
from typing import NamedTuple

_GROUP = re.compile(r"# \[(\w+)\] ([\d.]+ [MG]B): (.+)")


class Group(NamedTuple):
    """What is installed together: its size on disk, in words, what it is for, and pip's requirements."""

    name: str
    size: str
    title: str
    lines: tuple


def read(text: str) -> dict:
    """The groups of a requirements file by name. Raises ValueError for a package that is in none."""
    found: dict = {}
    group = None
    for line in text.splitlines():
        head = _GROUP.fullmatch(line)
        if head:
            group = found[head[1]] = Group(*head.groups(), ())
        elif re.match(r"[\w.-]+==", line):
            if group is None:
                raise ValueError(f"'{line}' stands before the first group")
            group = found[group.name] = group._replace(lines=(*group.lines, line))
    return found
