# SPDX-License-Identifier: Apache-2.0
"""A model's files with their content, so that who measures it need not share a file system with who asks.

>>> files = ModelFiles.read("m.onnx")                                                        # doctest: +SKIP
>>> files.write(Path("elsewhere"))                                                           # doctest: +SKIP
PosixPath('elsewhere/m.onnx')
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from springbok.compiler import importers
from springbok.support.cache import digest


@dataclass(frozen=True)
class ModelFiles:
    """The model called ``name``, a file or a folder: the content of all that it consists of, by relative path."""

    name: str
    content: tuple[tuple[str, bytes], ...]
    sha256: str

    @classmethod
    def read(cls, path: str | Path) -> ModelFiles:
        """What a format's importer reads of the model ``path``. Raises `ModelError` where some of it is missing."""
        path = Path(path)
        content = tuple(
            (file.relative_to(path.parent).as_posix(), file.read_bytes()) for file in importers.files_of(path)
        )
        return cls(path.name, content, digest(*(part for name, data in content for part in (name, data))))

    def write(self, folder: Path) -> Path:
        """Put the files into ``folder``; returns where the model is."""
        for name, data in self.content:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        return folder / self.name
