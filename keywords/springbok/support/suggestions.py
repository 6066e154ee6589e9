# SPDX-License-Identifier: Apache-2.0
"""What somebody may have meant who wrote a name that does not exist."""

from __future__ import annotations

import difflib
import re
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


def misnamed(values: Iterable[object], known: Iterable[str]) -> str:
    """What is wrong with the first of a keyword's ``values`` that was meant as an argument by name; empty: nothing.

    Robot Framework gives ``vlne=128`` to the next argument where none has this name.

    >>> misnamed(["chip.toml", "vlne=128"], ["vlen", "engine"])
    "there is no argument 'vlne' (did you mean 'vlen'?)"
    >>> misnamed(["/a=b/chip.toml", "socket://host:1"], ["vlen"])
    ''
    """
    for value in values:
        if found := re.match(r"([A-Za-z_]\w*)=", value if isinstance(value, str) else ""):
            return f"there is no argument '{found[1]}'{did_you_mean(found[1], known)}"
    return ""
