# SPDX-License-Identifier: Apache-2.0
"""Reads the files that people write: descriptions of chips, cores, timings. No pipes, devices, huge files."""

from __future__ import annotations

import errno
import stat
from pathlib import Path
from typing import Any

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

TOMLDecodeError = tomllib.TOMLDecodeError
MOST_BYTES = 1 << 20
_LFS = b"version https://git-lfs.github.com/spec/"


def read_text(path: Path) -> str:
    """The text of a regular file of at most `MOST_BYTES`, in UTF-8.

    Raises OSError, whose ``strerror`` is the reason, and UnicodeDecodeError.
    """
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        raise OSError(errno.EISDIR, "it is a folder", str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    if found.st_size > MOST_BYTES:
        raise OSError(errno.EFBIG, f"it has {found.st_size:,} bytes, more than {MOST_BYTES:,}", str(path))
    return path.read_text(encoding="utf-8-sig")


def lfs_pointer(path: Path) -> str:
    """What to do where a file is what stands for it in a clone without Git LFS, as a sentence; empty: it is none.

    >>> lfs_pointer(Path(__file__))
    ''
    """
    with path.open("rb") as file:
        is_one = file.read(len(_LFS)) == _LFS
    return f"{path} is Git LFS's pointer to the file, not the file itself: git lfs pull brings it." if is_one else ""


def parse_toml(text: str) -> dict[str, Any]:
    """What a TOML text says. Raises `TOMLDecodeError`, also for values that are nested too deeply.

    >>> parse_toml("vlen = 256")
    {'vlen': 256}
    """
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise TOMLDecodeError("its values are nested too deeply") from None
