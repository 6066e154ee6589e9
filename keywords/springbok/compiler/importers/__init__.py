# SPDX-License-Identifier: Apache-2.0
"""Turns model files into MLIR, and asks the framework that a model comes from for its own answers.

`FORMATS` has an entry for each format: to add one, write its importer class and its line in the table.

Formats: Keras (.h5, .keras), TensorFlow's SavedModel (a folder), TensorFlow Lite (.tflite), ONNX (.onnx, which PyTorch
writes), and MLIR (.mlir, .mlirbc: StableHLO, which JAX writes, or TOSA). Their packages are imported in the process
that uses them, and only there: see `springbok.compiler.importers.frameworks`.
"""

from __future__ import annotations

import difflib
import functools
import hashlib
import importlib.metadata
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from springbok.compiler import kernel_repairs
from springbok.compiler.importers.frameworks import FolderImporter, FrameworkImporter, OnnxImporter
from springbok.compiler.importers.mlir_file import XLA, MlirImporter
from springbok.compiler.importers.selection import WHOLE_FILE, Selection
from springbok.support import packages
from springbok.support.cache import Cache, digest
from springbok.support.errors import CompileError, ModelError
from springbok.support.places import given_path
from springbok.support.small_files import lfs_pointer
from springbok.tensors import TensorSpec, fit

_HERE = Path(__file__).resolve().parent
#: What all importers' results depend on, beside their own packages: the probe inputs are NumPy's random numbers.
_PACKAGES = ("numpy",)


@dataclass(frozen=True)
class ImportedModel:
    """A model as MLIR (``mlir``), made from the file whose checksum is ``source_sha256``.

    ``probe_inputs`` and ``probe_outputs`` are made-up samples and what the framework answers to them: one array an
    input or output, with the samples as its first axis. ``seconds`` is what the import took. ``remark`` is a sentence
    about why a module may differ from the framework, for a kind of model that does; ``judged_by`` says who answers
    where that is not the framework that the format comes from, and ``note`` what should be put right about it.
    """

    format: str
    source_sha256: str
    mlir: Path
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    probe_inputs: list[np.ndarray]
    probe_outputs: list[np.ndarray]
    seconds: float
    remark: str = ""
    judged_by: str = ""
    note: str = ""


class Importer(Protocol):
    """What a format needs.

    ``packages`` are the Python packages whose versions its results depend on; they are in ``group`` of
    ``requirements.txt``.
    """

    name: str
    packages: tuple[str, ...]
    group: str

    def files(self, model: Path) -> list[Path]:
        """The files that a model consists of, which are all that is read of it: the others may be anywhere.

        Raises :class:`ModelError` when one of them is missing.
        """

    def import_model(self, model: Path, folder: Path, selection: Selection) -> dict:
        """Writes model.mlir, probe_inputs.npz and probe_outputs.npz to ``folder``; returns inputs and outputs."""

    def run(self, model: Path, folder: Path, inputs: list[np.ndarray], selection: Selection) -> list[np.ndarray]:
        """The framework's answers. ``folder`` is where the model was imported."""


def import_model(path: str | Path, cache: Cache, selection: Selection = WHOLE_FILE) -> ImportedModel:
    """Imports the model file ``path``, or takes it from ``cache``. ``selection`` tells what of it.

    Raises :class:`ModelError` when the file is missing, broken, of an unknown format, or not what was selected.
    """
    path = given_path(path)
    data, importer = _open(path)
    folder, answer, importer, note = _import(path, data, importer, cache, selection)
    return ImportedModel(
        format=importer.name,
        source_sha256=hashlib.sha256(data).hexdigest(),
        mlir=folder / "model.mlir",
        inputs=_as_specs(answer["inputs"]),
        outputs=_as_specs(answer["outputs"]),
        probe_inputs=_load(folder / "probe_inputs.npz"),
        probe_outputs=_load(folder / "probe_outputs.npz"),
        seconds=answer["seconds"],
        remark=answer.get("remark", ""),
        judged_by=answer.get("judged_by", ""),
        note=note,
    )


def framework_outputs(
    path: str | Path, inputs: np.ndarray | Sequence[np.ndarray], cache: Cache, selection: Selection = WHOLE_FILE
) -> list[np.ndarray]:
    """What the framework of the model file ``path`` itself answers to ``inputs``, one sample at a time.

    ``inputs`` is one array an input (or the array alone, if the model has one input), with the samples as its first
    axis. Returns one array an output, of the shape (samples, \\*shape of the output). ``selection`` tells what of the
    file answers.

    An MLIR file has no framework: XLA answers for StableHLO, and for other dialects IREE's ordinary execution model on
    this machine.
    """
    path = given_path(path)
    data, importer = _open(path)
    folder, answer, importer, _ = _import(path, data, importer, cache, selection)
    arrays = fit(path.name, _as_specs(answer["inputs"]), inputs)
    parts = [part for array in arrays for part in (array.dtype.str, array.shape, array.tobytes())]

    def outputs(importer: Importer) -> list[np.ndarray]:
        def make(made: Path) -> None:
            _provide_judge(importer, path)
            np.savez(made / "outputs.npz", *importer.run(path, folder, arrays, selection))

        entry, _ = cache.entry(f"{path.stem}-outputs", digest(_key(data, importer), selection, *parts), make)
        return _load(entry / "outputs.npz")

    try:
        return outputs(importer)
    except _NoJudgeError:
        return outputs(MLIR)


def files_of(path: str | Path) -> list[Path]:
    """The files that the model ``path`` consists of: itself, those that it names, or all of its folder.

    Raises :class:`ModelError` where one is missing, and for a format that is unknown.
    """
    path = given_path(path)
    return _importer_of(path).files(path)


def _open(path: Path) -> tuple[bytes, Importer]:
    """What the model consists of, as bytes that change when anything of it does; and what imports it.

    Of one file it is the content; of several, also their names, and of those beside the first one digests.
    """
    importer = _importer_of(path)
    files = importer.files(path)
    if importer is SAVED_MODEL:
        return b"".join(f"{file.relative_to(path)}\0".encode() + file.read_bytes() for file in files), importer
    data = path.read_bytes()
    if not data:
        raise ModelError(f"The model file {path} is empty.")
    if pointer := lfs_pointer(path):
        raise ModelError(pointer)
    if importer is MLIR and any(dialect in data.replace(b"\0", b"") for dialect in (b"stablehlo", b"chlo", b"vhlo")):
        importer = STABLEHLO  # text of 16 bits a letter too
    beside = [f"\0{file.relative_to(path.parent)}\0{_digest_of(file)}".encode() for file in files if file != path]
    return data + b"".join(beside), importer


def _importer_of(path: Path) -> Importer:
    if (path / "saved_model.pb").is_file():
        return SAVED_MODEL
    if path.is_dir():
        raise ModelError(f"The folder {path} is no SavedModel: it holds no saved_model.pb.")
    if not path.is_file():
        raise ModelError(f"The model file {path} does not exist. {_beside(path)}".rstrip())
    importer = FORMATS.get(path.suffix.lower())
    if importer is None:
        raise ModelError(
            f"{path} has an unknown format ('{path.suffix}'). Known are: {', '.join(FORMATS)} (Keras, TensorFlow Lite "
            "and ONNX models, and MLIR, such as StableHLO or TOSA), and folders of TensorFlow SavedModels."
        )
    return importer


def _beside(path: Path) -> str:
    """What may have been meant: a file of the same name with the ending of a format, or one that is called alike."""
    if not path.parent.is_dir():
        return f"There is no folder {path.parent} either."
    known = [each.name for each in sorted(path.parent.iterdir()) if each.suffix.lower() in FORMATS]
    same = [name for name in known if Path(name).stem == path.name]
    near = same or difflib.get_close_matches(path.name, known, 1)
    return f"Did you mean {path.with_name(near[0])}?" if near else ""


def _digest_of(file: Path) -> str:
    sha = hashlib.sha256()
    with file.open("rb") as opened:
        while part := opened.read(1 << 20):
            sha.update(part)
    return sha.hexdigest()


def _provide(importer: Importer, path: Path) -> None:
    """Installs what the format needs where it is missing. Raises :class:`CompileError` where that fails."""
    try:
        packages.provide(importer.group, f"for {path.name}")
    except ImportError as error:
        raise CompileError(f"{path} can't be compiled: {error}") from None


class _NoJudgeError(Exception):
    """What answers for a model can't be had; the text says why."""


def _provide_judge(importer: Importer, path: Path) -> None:
    """Installs what answers for the model, if that is not what imports it."""
    if importer is not STABLEHLO:
        return
    try:
        packages.provide(XLA.group, f"for the right answers of {path.name}")
        importlib.metadata.version(*XLA.packages)
    except ImportError as error:
        raise _NoJudgeError(str(error)) from None


def _key(data: bytes, importer: Importer) -> str:
    versions = [packages.version(package) for package in (*importer.packages, *_PACKAGES)]
    return digest(data, importer.name, versions, sys.version_info[:2], _code(), kernel_repairs.VERSION)


@functools.cache
def _code() -> str:
    """A digest of the code that imports models, so that what an older one wrote is not taken."""
    modules = (
        *sorted(_HERE.glob("*.py")),
        _HERE.parent / "probes.py",
        _HERE.parents[1] / "tensors.py",
        _HERE.parents[1] / "modules" / "layer_names.py",
    )
    return digest(*(module.read_bytes() for module in modules))


def _import(
    path: Path, data: bytes, importer: Importer, cache: Cache, selection: Selection
) -> tuple[Path, dict, Importer, str]:
    """The folder with the imported model, what its importer told, that importer, and a note about it."""
    _provide(importer, path)

    def imported(importer: Importer) -> tuple[Path, dict]:
        def make(folder: Path) -> None:
            _provide_judge(importer, path)
            start = time.monotonic()
            answer = importer.import_model(path, folder, selection)
            if _open(path)[0] != data:
                raise ModelError(f"The model {path} was changed while it was imported: compile it again.")
            _check_tensors(path, answer)
            answer["seconds"] = round(time.monotonic() - start, 3)
            (folder / "answer.json").write_text(json.dumps(answer), encoding="utf-8")

        folder, _ = cache.entry(f"{path.stem}-import", digest(_key(data, importer), selection), make)
        return folder, json.loads((folder / "answer.json").read_text(encoding="utf-8"))

    try:
        return *imported(importer), importer, ""
    except _NoJudgeError as error:
        note = f"{path.name} is judged by IREE itself, as XLA can't be had here: {error}"
        return *imported(MLIR), MLIR, note


def _check_tensors(path: Path, answer: dict) -> None:
    """Refuses models that nothing can be given to or taken from."""
    for what in ("inputs", "outputs"):
        if not answer[what]:
            raise ModelError(f"{path} can't be used: it has no {what}: a model for the chip takes and gives tensors.")
        for spec in _as_specs(answer[what]):
            if not spec.elements:
                raise ModelError(
                    f"{path} can't be used: its {what[:-1]} {spec} holds no elements, so there is nothing to send. "
                    "Leave it out of the model, or give it another shape."
                )


def _as_specs(described: list) -> tuple[TensorSpec, ...]:
    return tuple(TensorSpec(**spec) for spec in described)


def _load(path: Path) -> list[np.ndarray]:
    with np.load(path) as arrays:
        return [arrays[name] for name in arrays.files]


def _keras(kind: str, magic: bytes) -> FrameworkImporter:
    return FrameworkImporter("keras", "keras", "Keras", ("keras", "tensorflow-cpu"), kind, magic)


MLIR = MlirImporter()
#: The same for files that hold StableHLO.
STABLEHLO = MlirImporter(XLA)

FORMATS: dict[str, Importer] = {
    ".h5": _keras("an HDF5 file", b"\x89HDF\r\n\x1a\n"),
    ".keras": _keras("a Keras archive", b"PK\x03\x04"),
    ".tflite": FrameworkImporter(
        "tflite",
        "tflite",
        "TensorFlow Lite",
        ("tensorflow-cpu", "tosa-converter-for-tflite", "iree-base-compiler"),
        "a TensorFlow Lite file",
        b"TFL3",
        magic_offset=4,
    ),
    ".onnx": OnnxImporter("onnx", "onnx", "ONNX", ("onnx", "protobuf", "ml_dtypes", "iree-base-compiler"), group="run"),
    ".mlir": MLIR,
    ".mlirbc": MLIR,
}
SAVED_MODEL = FolderImporter("saved_model", "saved_model", "TensorFlow", ("tensorflow-cpu",))
