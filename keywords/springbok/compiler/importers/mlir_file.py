# SPDX-License-Identifier: Apache-2.0
"""MLIR files, as text or bytecode, in any dialect that `iree-compile` takes (StableHLO, TOSA, linalg, …).

StableHLO is answered by XLA. The framework of all others, and of StableHLO where XLA can't be had, is IREE itself with
its ordinary execution model on this machine: what it takes for something else than the model means can't be seen then.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from springbok.compiler import iree
from springbok.compiler.importers.frameworks import FrameworkImporter
from springbok.compiler.importers.selection import WHOLE_FILE, Selection, SelectionError
from springbok.compiler.probes import probe
from springbok.modules.vmfb import ELEMENT_TYPES, Vmfb, read_vmfb
from springbok.support.errors import CompileError, ModelError

#: Of the module that answers for a model.
FLAGS = ("--iree-hal-target-backends=llvm-cpu", "--iree-llvmcpu-target-cpu=generic")
_BYTECODE = b"ML\xefR"


XLA = FrameworkImporter("stablehlo", "xla", "XLA", ("jaxlib",), group="xla")


@dataclass(frozen=True)
class MlirImporter:
    """See :class:`springbok.compiler.importers.Importer`. ``judge`` answers for models that it knows."""

    judge: FrameworkImporter | None = None

    name = "mlir"
    group = "run"

    @property
    def packages(self) -> tuple[str, ...]:
        """See :class:`springbok.compiler.importers.Importer`."""
        return (iree.COMPILER_PACKAGE, iree.RUNTIME_PACKAGE, *(self.judge.packages if self.judge else ()))

    def files(self, model: Path) -> list[Path]:
        """See :class:`springbok.compiler.importers.Importer`."""
        return [model]

    def import_model(self, model: Path, folder: Path, selection: Selection) -> dict:
        """See :class:`springbok.compiler.importers.Importer`."""
        source, reference = folder / "model.mlir", folder / "reference.vmfb"
        source.write_bytes(_without_mark(model))
        selected = _select(model, source, selection)
        try:
            iree.compile_module(source, FLAGS, reference, model.name)
        except CompileError as error:
            raise ModelError(selected.problem) if selected.problem else error from None
        module = self._declared(model, reference)
        answer, reason = None, "XLA answers for StableHLO alone"
        if self.judge is not None and selected.asked is not None:
            answer, reason = self._ask(selected, module, folder)
        if answer is not None:
            return answer | {"judged_by": self.judge.title}
        probes, outputs = probe(module.inputs, lambda arrays: iree.run_samples(reference, module, arrays, inline=False))
        np.savez(folder / "probe_inputs.npz", *probes)
        np.savez(folder / "probe_outputs.npz", *outputs)
        return {
            "inputs": [asdict(spec) for spec in module.inputs],
            "outputs": [asdict(spec) for spec in module.outputs],
            "judged_by": f"IREE itself: {reason}",
            "remark": f"The answers that it is held against are IREE's own ({reason}).",
        }

    def _ask(self, selected: Selected, module: Vmfb, folder: Path) -> tuple[dict | None, str]:
        """XLA's answer to the job of importing, or None and why there is none."""
        from springbok.compiler.importers import stablehlo_reference

        asked = stablehlo_reference.describe(folder, *selected.asked, module, selected.types)
        try:
            return self.judge.work("import", asked, folder, WHOLE_FILE), ""
        except ModelError as error:
            for file in folder.glob("stablehlo*"):
                file.unlink()
            said = re.sub(r"^.*?XLA", "XLA", str(error), count=1, flags=re.DOTALL)
            return None, said.partition(". Check whether")[0].partition("\n")[0].rstrip(".")

    def run(self, model: Path, folder: Path, inputs: list[np.ndarray], selection: Selection) -> list[np.ndarray]:
        """See :class:`springbok.compiler.importers.Importer`."""
        del selection  # what was imported is what was selected
        if self.judge is not None and (folder / "stablehlo.mlir").is_file():
            return self.judge.run(folder / "stablehlo.mlir", folder, inputs, WHOLE_FILE)
        reference = folder / "reference.vmfb"
        return iree.run_samples(reference, self._declared(model, reference), inputs, inline=False)

    @staticmethod
    def _declared(model: Path, reference: Path) -> Vmfb:
        return read_vmfb(reference.read_bytes(), model.name, with_kernels=False)


def _without_mark(model: Path) -> bytes:
    """The file's content as UTF-8 without a byte order mark, which some editors and shells write."""
    content = model.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return content.decode("utf-16").encode()
        except UnicodeDecodeError:
            raise ModelError(
                f"{model} can't be used: it begins as UTF-16 text and is none. Save it as UTF-8."
            ) from None
    if not content.startswith(_BYTECODE) and not _is_text(content, strict=model.suffix.lower() == ".mlirbc"):
        raise ModelError(
            f"{model} can't be used: it begins with {content[:8]!r} and is neither MLIR's bytecode, which begins with "
            f"{_BYTECODE!r}, nor text. Check whether it is another file, or was damaged on its way."
        )
    return content.removeprefix(codecs.BOM_UTF8)


def _is_text(content: bytes, *, strict: bool) -> bool:
    """Whether it may be text, whose comments may be in any encoding unless that is to be held ``strict``."""
    try:
        return "\0" not in content.decode(errors="strict" if strict else "replace")
    except UnicodeDecodeError:
        return False


@dataclass(frozen=True)
class Selected:
    """What was selected of a file: what XLA is asked (see `stablehlo_reference.texts`), if it knows all of it, and the
    element types of the inputs. ``problem`` is a sentence about what IREE's own parser does not know, for the case that
    the compiler does not either."""

    asked: tuple[str, str | None] | None = None
    types: tuple[str, ...] = ()
    problem: str | None = None


def _select(model: Path, source: Path, selection: Selection) -> Selected:
    """Leaves one public function in the file ``source``, whose inputs and outputs the chip can take, and puts right
    there what IREE computes otherwise than the model means.

    Raises :class:`ModelError` when that can't be done. What IREE's own parser does not know is left to the compiler.
    """
    from iree.compiler import ir

    from springbok.compiler.importers import mlir_rewriting, stablehlo_reference

    content = source.read_bytes()
    with ir.Context():
        try:
            module = ir.Module.parse(content)
        except ir.MLIRError as error:
            return Selected(problem=_unknown(model, content, str(error)))
        functions = {name: function for function in module.body.operations if (name := _public_name(function))}
        if not functions:
            raise ModelError(f"{model} can't be used: it has no public function with a body. Write one, such as @main.")
        try:
            chosen = selection.choose(list(functions), default="main", kind="functions")
            if selection.shapes:
                raise SelectionError(
                    "an MLIR file's shapes are its own, so shape= can't choose them: write the file again with those "
                    "you want"
                )
        except SelectionError as error:
            raise ModelError(f"{model} can't be used: {error}.") from None
        kind = ir.FunctionType(ir.TypeAttr(functions[chosen].attributes["function_type"]).value)
        for what, types in (("input", kind.inputs), ("output", kind.results)):
            _check_types(model, chosen, what, [str(each) for each in types])
        others = [function for name, function in functions.items() if name != chosen]
        for function in others:
            function.attributes["sym_visibility"] = ir.StringAttr.get("private")
        asked = stablehlo_reference.texts(module, chosen) if stablehlo_reference.knows(module) else None
        if mlir_rewriting.put_right(module) or others:
            source.write_text(module.operation.get_asm(enable_debug_info=True), encoding="utf-8")
    return Selected(asked, tuple(str(each.element_type) for each in map(ir.RankedTensorType, kind.inputs)))


def _public_name(function) -> str | None:
    attributes = function.attributes
    if "function_type" not in attributes or "sym_name" not in attributes or not len(function.regions[0].blocks):
        return None
    visibility = attributes["sym_visibility"].value if "sym_visibility" in attributes else "public"
    return attributes["sym_name"].value if visibility == "public" else None


def _check_types(model: Path, function: str, what: str, types: Sequence[str]) -> None:
    if not types:
        raise ModelError(
            f"{model} can't be used: its function '{function}' has no {what}s: the chip takes and gives some."
        )
    for number, text in enumerate(types):
        tensor = re.fullmatch(r"tensor<((?:[?\d]+x)*)([^,>]+)(?:,.*)?>", text)
        where = f"{model} can't be used: {what} {number} of its function '{function}' is {text}"
        if tensor is None:
            raise ModelError(
                f"{where}, but only tensors can be sent to the chip. Make it a tensor, such as tensor<f32>."
            )
        if tensor[2] not in ELEMENT_TYPES:
            raise ModelError(
                f"{where}, whose elements have the type {tensor[2]}, but the host and the chip exchange only "
                f"{', '.join(ELEMENT_TYPES)}. Convert them inside the model, for example to f32."
            )
        if "?" in tensor[1]:
            raise ModelError(
                f"{where}, whose shape is open, but the chip needs fixed shapes. shape= can't choose them: an MLIR "
                "file's operations hold them too. Write the file again with numbers in place of '?', in JAX by "
                "lowering the function for arguments of fixed shapes."
            )


def _unknown(model: Path, content: bytes, error: str) -> str | None:
    """A sentence about an operation of a dialect that IREE does not know, if that is the parser's ``error``."""
    place = re.search(r'"-":(\d+):(\d+): (?:operation being parsed|.*created) with an? unregistered dialect', error)
    if not place or content.startswith(_BYTECODE):
        dialect = re.search(r"dialect '(\w+)' is unknown", error)
        return (
            f"{model} can't be used: it holds operations of the dialect '{dialect[1]}', which IREE does not know. "
            "Write the model as StableHLO, TOSA or linalg."
            if dialect
            else None
        )
    line, column = int(place[1]), int(place[2])
    text = content.decode("utf-8", "replace").splitlines()[line - 1]
    operation = re.search(r'"(\w+\.[\w.]+)"', text)
    return (
        f"{model} can't be used: its operation {operation[1] if operation else text[column - 1 :]} (line {line}) is of "
        "a dialect that IREE does not know. Write the model as StableHLO, TOSA or linalg."
    )
