# SPDX-License-Identifier: Apache-2.0
"""A cache of folders: what was made from the same things once is not made again.

An entry is a folder whose name ends in a digest of everything that it was made from. It appears in one step
(a rename), so runs beside each other never see half of one; who needs what another one is making waits for that. Its
files' checksums are kept in it, so an entry that somebody changed or broke is made anew. What a run that was killed had
begun, the next one clears away.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from springbok.support.files import storage_errors, sweep, temporary_folder, wait_for_others

_CHECKSUMS = "checksums.json"
#: How the folder of an entry in the making begins.
MAKING = ".making-"
_REPLACED = ".replaced-"
_REMEDY = "Models that were compiled are kept there; XDG_CACHE_HOME, or output_dir= in Python, names another place."


def digest(*parts: object) -> str:
    """SHA-256 of ``parts``, which must be bytes or have a stable ``repr``. Hexadecimal.

    >>> digest("flags", 1) == digest("flags", 1)
    True
    """
    sha = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else repr(part).encode()
        sha.update(f"{len(data)}:".encode() + data)
    return sha.hexdigest()


class Cache:
    """Entries below ``folder``. With ``use=False`` every entry is made anew (and replaces the old one)."""

    def __init__(self, folder: Path, use: bool = True) -> None:
        self.folder = Path(folder).resolve()
        self.use = use

    def entry(self, name: str, key: str, make: Callable[[Path], None]) -> tuple[Path, bool]:
        """Returns the folder of the entry and whether it was there already.

        ``make`` is called with an empty folder if it was not; ``name`` is for people, ``key`` (a :func:`digest`)
        decides. What ``make`` raises is passed on, and no entry is left.
        """
        # Model files have any name; the file system takes 255 bytes and no slash.
        readable = re.sub(r"[^\w.-]+", "_", name).encode()[:100].decode(errors="ignore")
        final = self.folder / f"{readable}-{key[:16]}"
        if self.use and _is_whole(final, key):
            return final, True
        with storage_errors(self.folder, _REMEDY):
            self.folder.mkdir(parents=True, exist_ok=True)
            for left in (_REPLACED, MAKING):
                sweep(self.folder, f"{left}*")
            own = f"{MAKING}{key[:16]}-"
            if self.use:
                wait_for_others(self.folder, f"{own}*")
                if _is_whole(final, key):
                    return final, True
            with temporary_folder(own, self.folder) as made:
                make(made)
                checksums = {path.name: _checksum(path) for path in made.iterdir()}
                text = json.dumps({"key": key, "files": checksums}, indent=1)
                (made / _CHECKSUMS).write_text(text, encoding="utf-8")
                made.chmod(0o755)
                self._publish(made, final, key)
        return final, False

    def keep_newest(self, count: int) -> None:
        """Remove the entries that were made first, until there are no more than ``count``."""
        with storage_errors(self.folder, _REMEDY):
            made = {}
            for entry in self.folder.glob("[!.]*"):
                with suppress(FileNotFoundError):  # another process removes them too
                    made[entry] = entry.stat().st_mtime_ns
            for entry in sorted(made, key=made.get)[:-count]:
                with temporary_folder(_REPLACED, self.folder) as old, suppress(FileNotFoundError):
                    entry.rename(old)

    def _publish(self, made: Path, final: Path, key: str) -> None:
        # Another run may publish the same entry at any moment: both made the same, so either may stay.
        for _ in range(10):
            try:
                made.rename(final)
                return
            except OSError:
                if not final.is_dir():
                    raise
            if self.use and _is_whole(final, key):
                return
            with temporary_folder(_REPLACED, self.folder) as old, suppress(FileNotFoundError):
                final.rename(old)
        raise OSError(f"{final} can't be replaced: other runs write it all the time.")


def _is_whole(entry: Path, key: str) -> bool:
    try:
        recorded = json.loads((entry / _CHECKSUMS).read_text(encoding="utf-8"))
        files = recorded["files"].items()
        return recorded["key"] == key and all(_checksum(entry / name) == checksum for name, checksum in files)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False


def _checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
