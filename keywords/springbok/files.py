# SPDX-License-Identifier: Apache-2.0
"""Files that other programs may read while they are written."""

from __future__ import annotations

import os
from pathlib import Path


def write_in_one_step(path: Path, text: str) -> Path:
    """Write ``text`` as UTF-8, and the folders above it, so that a reader never sees half of it. Returns ``path``.

    Example::

        write_in_one_step(results / "metrics.json", json.dumps(document))
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
    return path
