# SPDX-License-Identifier: Apache-2.0
"""What somebody may have meant who wrote a name that does not exist."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The nearest of ``known`` as the end of a sentence's part, empty where none is near; case makes no difference.

    >>> did_you_mean("basic_motion", ["watch", "basic_motions"])
    " (did you mean 'basic_motions'?)"
    >>> did_you_mean("xyz", ["watch"])
    ''
    """
    by_lower_case = {each.lower(): each for each in reversed(list(known))}
    near = difflib.get_close_matches(name.lower(), by_lower_case, 1)
    return f" (did you mean '{by_lower_case[near[0]]}'?)" if near else ""
