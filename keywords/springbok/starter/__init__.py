# SPDX-License-Identifier: Apache-2.0
"""A repository of one's own: what ``springbok-bench init`` writes, which runs at once.

The files are in ``template/``; they are a whole project, with a model, data, a suite, its baseline and CI. Names that
begin with a dot begin with ``dot-`` there.
"""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from springbok.support.errors import BenchError
from springbok.support.files import storage_errors, write_in_one_step

TEMPLATE = Path(__file__).with_name("template")
_LEFT_OUT = {"__pycache__", ".DS_Store"}


def files() -> dict[Path, bytes]:
    """The files of a new repository: path relative to it, and content."""
    found = {}
    for path in sorted(TEMPLATE.rglob("*")):
        relative = path.relative_to(TEMPLATE)
        if path.is_file() and not _LEFT_OUT & set(relative.parts):
            parts = [f".{part[4:]}" if part.startswith("dot-") else part for part in relative.parts]
            found[Path(*parts)] = path.read_bytes().replace(b"@VERSION@", version().encode())
    return found


def version() -> str:
    """This package's version: what the new repository pins."""
    try:
        return importlib.metadata.version("springbok-bench")
    except importlib.metadata.PackageNotFoundError:  # a checkout
        return "0.1.0"


def create(folder: Path) -> list[Path]:
    """Writes a new repository into ``folder``; returns its files. Nothing that is there is overwritten.

    Raises :class:`BenchError` that names what is in the way.

    >>> create(Path("/tmp/mine"))                                                            # doctest: +SKIP
    [PosixPath('/tmp/mine/.github/workflows/bench.yml'), …]
    """
    content = files()
    if folder.exists() and not folder.is_dir():
        raise BenchError(f"{folder} is a file. Name a new folder, or one that holds none of the files to be written.")
    there = [str(path) for path in content if (folder / path).exists()]
    if there:
        raise BenchError(f"{folder} holds {', '.join(there)} already, and nothing is overwritten. Name another folder.")
    with storage_errors(folder):
        for path, data in content.items():
            write_in_one_step(folder / path, data)
    return [folder / path for path in content]
