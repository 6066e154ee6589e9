# SPDX-License-Identifier: Apache-2.0
"""Formats whose framework does the work, in a process of its own: see `springbok.compiler.importers.worker`."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from springbok.compiler.importers.selection import Selection
from springbok.support import process
from springbok.support.errors import ModelError
from springbok.support.files import temporary_folder
from springbok.support.places import KEYWORDS


@dataclass(frozen=True)
class FrameworkImporter:
    """An :class:`springbok.compiler.importers.Importer` that asks the module ``worker_FRAMEWORK``.

    ``title`` is what errors call the framework. A file of the format holds ``magic`` at ``magic_offset``; what it is
    then, ``kind`` says. A folder (a SavedModel) has no magic. ``group`` of ``requirements.txt`` is installed when a
    model of the format is first imported.
    """

    name: str
    framework: str
    title: str
    packages: tuple[str, ...]
    kind: str = ""
    magic: bytes = b""
    magic_offset: int = 0
    group: str = "frameworks"

    def files(self, model: Path) -> list[Path]:
        """See :class:`springbok.compiler.importers.Importer`."""
        return [model]

    def import_model(self, model: Path, folder: Path, selection: Selection) -> dict:
        """See :class:`springbok.compiler.importers.Importer`."""
        return self.work("import", model, folder, selection)

    def run(self, model: Path, folder: Path, inputs: list[np.ndarray], selection: Selection) -> list[np.ndarray]:
        """See :class:`springbok.compiler.importers.Importer`."""
        del folder
        with temporary_folder() as temporary:
            np.savez(Path(temporary) / "inputs.npz", *inputs)
            self.work("run", model, Path(temporary), selection)
            with np.load(Path(temporary) / "outputs.npz") as arrays:
                return [arrays[name] for name in arrays.files]

    def work(self, what: str, model: Path, folder: Path, selection: Selection) -> dict:
        """Lets the worker do ``import`` or ``run``, with and in ``folder``; returns its answer.

        Raises :class:`ModelError` with what the framework says when it can't.
        """
        self._check_magic(model)
        job, answer = folder / "job.json", folder / "answer.json"
        described = {"do": what, "framework": self.framework, "model": str(model.absolute()), "folder": str(folder)}
        described |= {"shapes": selection.shapes, "signature": selection.signature}
        job.write_text(json.dumps(described), encoding="utf-8")
        # The working folder is where Python looks for the package; the caller's may hold anything.
        done = process.run([sys.executable, "-m", "springbok.compiler.importers.worker", job], cwd=KEYWORDS)
        job.unlink()
        if done.timed_out:
            raise ModelError(f"{self.title} did not end with {model.name} {process.limit_text()}.")
        if not answer.is_file():
            last = done.output.strip().splitlines()[-1:] or ["no message"]
            raise ModelError(
                f"{model} can't be used: {self.title} crashed with it ({process.ending(done.exit_code)}), and said "
                f"last: {last[0].rstrip('.')}. Check whether the file is whole, and whether {self.title} itself "
                "can run it."
            )
        told = json.loads(answer.read_text(encoding="utf-8"))
        if "error" in told:
            raise ModelError(f"{model} can't be used: {told['error']}.")
        if "failure" in told:
            raise ModelError(
                f"{model} can't be used: {self.title} fails with it: {told['failure']}. "
                f"Check whether {self.title} itself can run it; if so, write it in another format, such as ONNX."
            )
        return told

    def _check_magic(self, model: Path) -> None:
        if not self.magic:
            return
        with model.open("rb") as file:
            file.seek(self.magic_offset)
            begin = file.read(len(self.magic))
        if begin != self.magic:
            where = f" at byte {self.magic_offset}" if self.magic_offset else ""
            raise ModelError(f"{model} is not {self.kind}: it begins with {begin!r} instead of {self.magic!r}{where}.")


class FolderImporter(FrameworkImporter):
    """A format whose models are folders."""

    def files(self, model: Path) -> list[Path]:
        """See :class:`springbok.compiler.importers.Importer`."""
        return sorted(file for file in model.rglob("*") if file.is_file())


class OnnxImporter(FrameworkImporter):
    """ONNX, whose models may have their weights in files beside them."""

    def files(self, model: Path) -> list[Path]:
        """See :class:`springbok.compiler.importers.Importer`."""
        data = model.read_bytes()
        if b"location" not in data:  # the word that comes before each file's name
            return [model]
        try:
            from springbok.compiler.importers import onnx_weights
        except ModuleNotFoundError:  # without the package nothing will be imported
            return [model]
        return [model, *onnx_weights.files(model, data)]
