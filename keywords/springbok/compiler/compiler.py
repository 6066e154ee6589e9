# SPDX-License-Identifier: Apache-2.0
"""Compiles models for the chip: a model file in, a VMFB module out, with what there is to know about it.

Example::

    model = compile_and_check("gestures.h5", target=Target.of("vector"))
    print(model.describe())
    expected = framework_outputs(model, inputs)

What was compiled before with the same source, flags and compiler is taken from ``build/models/``.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from springbok.chips.chip import DEFAULT, source_of
from springbok.chips.description import load
from springbok.compiler import (
    buffers,
    compiler_runtime,
    host_check,
    importers,
    iree,
    kernel_repairs,
    optimizer,
    proving,
    wrong_functions,
)
from springbok.compiler.compiled import CompiledModel, Dispatch, Probes, Target
from springbok.compiler.flags import compiler_flags
from springbok.compiler.importers import ImportedModel
from springbok.compiler.importers.selection import WHOLE_FILE, Selection, Shape
from springbok.compiler.judgement import Tolerance
from springbok.compiler.optimizer import DEFAULT_LEVEL, Change, Plan, choices
from springbok.compiler.optimizer.transformation import WHOLE
from springbok.modules.vmfb import Vmfb, read_vmfb
from springbok.support.cache import Cache, digest
from springbok.support.errors import CompileError
from springbok.support.files import build_folder
from springbok.support.places import given_path
from springbok.tensors import TensorSpec, fit

DEFAULT_OUTPUT_DIR = build_folder() / "models"
#: Counts up when what is recorded about a compiled model changes, so that no older cache entry is taken.
RECORD_VERSION = 6

#: Inputs, and outputs, that a model may have: MAX_TENSORS of firmware/runtime/signature.h.
MOST_TENSORS = 8

#: What chooses the optimizer's flags of a model file for a target by measuring; further arguments are those of
#: `springbok.exploring.search.search`.
Choose = Callable[..., choices.Choice]

_log = logging.getLogger(__name__)


def compile_model(
    path: str | Path,
    target: Target | None = None,
    *,
    name: str | None = None,
    output_dir: str | Path | None = None,
    extra_flags: Sequence[str] = (),
    optimize: str | Plan = DEFAULT_LEVEL,
    choose: Choose | None = None,
    use_cache: bool = True,
    shape: Shape | None = None,
    signature: str | None = None,
    imported: ImportedModel | None = None,
) -> CompiledModel:
    """Compiles the model file ``path`` for ``target`` (default: Springbok with vectors).

    ``extra_flags`` are flags of `iree-compile`, added or in place of the default ones; names of 2023
    (``--iree-llvm-target-…``) are translated. ``optimize`` is a level of `optimizer.LEVELS`, or a plan; at the level
    ``search``, ``choose`` chooses the flags, as `springbok.exploring.search.search` does. ``output_dir`` holds the
    results (default: ``build/models``).
    ``name`` is what logs and metrics call it (default: the file's). ``shape`` gives the inputs' shapes where the file
    leaves them open, and ``signature`` says which function of the file is meant: see `importers.selection`.
    ``imported`` is the model as it was imported before, by another version of the compiler for instance.

    Raises :class:`ModelError` when the file can't be used, and :class:`CompileError` when it can't be compiled, when
    weights were dropped, or when the code does not suit the target.
    """
    return _compile(
        path,
        target or Target(),
        name=name,
        output_dir=output_dir,
        extra_flags=extra_flags,
        optimize=optimize,
        choose=choose,
        use_cache=use_cache,
        selection=Selection.of(shape, signature),
        imported=imported,
    )[0]


def compile_and_check(
    path: str | Path,
    target: Target | None = None,
    *,
    name: str | None = None,
    output_dir: str | Path | None = None,
    extra_flags: Sequence[str] = (),
    optimize: str | Plan = DEFAULT_LEVEL,
    choose: Choose | None = None,
    use_cache: bool = True,
    shape: Shape | None = None,
    signature: str | None = None,
    inputs: np.ndarray | Sequence[np.ndarray] | None = None,
    tolerance: Tolerance | float | str | None = None,
) -> CompiledModel:
    """Compiles as :func:`compile_model`, and checks that the module computes what the model does.

    The same source is compiled with the same flags for this machine, run here and compared with the framework: on
    the first samples of ``inputs``, or on made-up ones. The result is in ``host_check`` of the model returned.
    ``tolerance`` is what outputs may differ by: see `judgement`.

    Raises what :func:`compile_model` raises, and :class:`CompileError` when the outputs differ.
    """
    tolerance = Tolerance.of(tolerance)
    model, imported, cache = _compile(
        path,
        target or Target(),
        name=name,
        output_dir=output_dir,
        extra_flags=extra_flags,
        optimize=optimize,
        choose=choose,
        use_cache=use_cache,
        selection=Selection.of(shape, signature),
    )
    if inputs is None:
        inputs, expected = imported.probe_inputs, imported.probe_outputs
    else:
        inputs = [array[: host_check.SAMPLES] for array in fit(model.name, model.inputs, inputs)]
        expected = importers.framework_outputs(path, inputs, cache, model.selection)
    judgement = host_check.check_on_host(model, inputs, expected, tolerance, cache)
    probes = Probes(tuple(inputs), tuple(expected))
    return replace(model, tolerance=tolerance, host_check=judgement, probes=probes)


def framework_outputs(
    model: CompiledModel | str | Path,
    inputs: np.ndarray | Sequence[np.ndarray],
    *,
    output_dir: str | Path | None = None,
    use_cache: bool = True,
) -> list[np.ndarray]:
    """What the framework of a compiled model, or of a model file, itself answers to ``inputs``, one sample at a time.

    See :func:`springbok.compiler.importers.framework_outputs`: one array an output, samples first.
    """
    path, selection = (model.source, model.selection) if isinstance(model, CompiledModel) else (model, WHOLE_FILE)
    return importers.framework_outputs(path, inputs, _cache(output_dir, use_cache), selection)


def tensors_of(model: str | Path) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """What a model file takes, and what it gives."""
    imported = importers.import_model(Path(model), _cache(None, True))
    return tuple(imported.inputs), tuple(imported.outputs)


def check_fits(compiled: CompiledModel, inputs: np.ndarray | Sequence[np.ndarray]) -> None:
    """Raises :class:`ModelError` with both shapes if ``inputs`` can't be given to the model.

    ``inputs`` is one array an input (or the array alone, if there is one input), samples first.
    """
    fit(compiled.name, compiled.inputs, inputs)


def _cache(output_dir: str | Path | None, use_cache: bool) -> Cache:
    return Cache(Path(output_dir) if output_dir is not None else DEFAULT_OUTPUT_DIR, use_cache)


def _compile(
    path: str | Path,
    target: Target,
    *,
    name: str | None,
    output_dir: str | Path | None,
    extra_flags: Sequence[str],
    optimize: str | Plan,
    choose: Choose | None,
    use_cache: bool,
    selection: Selection,
    imported: ImportedModel | None = None,
) -> tuple[CompiledModel, ImportedModel, Cache]:
    path = given_path(path)
    if not isinstance(optimize, Plan) and optimize not in optimizer.LEVELS:
        optimizer.plan_for(optimize, vectors=target.vectors, vlen=target.vlen)  # says what there is
    version = iree.compiler_version()
    cache = _cache(output_dir, use_cache)
    compiler_flags(target, extra_flags)  # refuses flags before the model is imported
    imported = imported or importers.import_model(path, cache, selection)
    for kind, tensors in (("inputs", imported.inputs), ("outputs", imported.outputs)):
        if len(tensors) > MOST_TENSORS:
            raise CompileError(
                f"{path} has {len(tensors)} {kind}, but the chip's runtime takes models of at most {MOST_TENSORS}: "
                "join some of them inside the model, or leave some out."
            )
    plan = optimize
    if not isinstance(plan, Plan):
        choice = _choice(optimize, imported.source_sha256, path, target, extra_flags, choose, cache, selection)
        plan = optimizer.plan_for(optimize, vectors=target.vectors, vlen=target.vlen, choice=choice)
    plan = plan.with_own(target.chip)
    plan, reasons = proving.for_version(plan, version, target, imported, cache, path.name)
    flags, notes = compiler_flags(target, extra_flags, plan)
    notes = (*notes, *filter(None, [imported.note]), *_notes_about_answers(imported, path.name), *reasons)
    name = name or path.stem

    def make(folder: Path) -> None:
        record = _compile_for_chip(imported, flags, plan, target, folder / "model.vmfb", path.name)
        (folder / "model.json").write_text(json.dumps(record, indent=1), encoding="utf-8")

    versions = (
        optimizer.VERSION,
        version,
        buffers.VERSION,
        kernel_repairs.VERSION,
        compiler_runtime.version(),
        wrong_functions.VERSION,
        RECORD_VERSION,
    )
    parts = (imported.inputs, imported.outputs, flags, plan.transformations, plan.holds_memory, target, versions)
    if plan.own:
        parts = (*parts, plan.own, *(source_of(each.kernels) for each in plan.own))
    key = digest(imported.mlir.read_bytes(), *parts)
    folder, cached = cache.entry(f"{name}-{target.variant}", key, make)
    record = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    dispatches, changes, kernels_sha256 = (record.pop(key) for key in ("dispatches", "changes", "kernels_sha256"))
    changes = tuple(Change(**change) for change in changes)
    plan = optimizer.applied(plan, changes)
    if plan.choice and not extra_flags:
        plan = replace(plan, choice=plan.choice.checked(kernels_sha256))
    if plan.choice and plan.choice.origin in (choices.OUTDATED, choices.INCOMPLETE):
        notes = (*notes, f"The optimizer's flags for {path.name} are '{plan.flag_set}': {plan.choice.describe()}.")
    notes = (*notes, *_notes_about_own_instructions(changes, path.name))
    for note in notes:
        _log.warning("%s", note)
    vmfb = (folder / "model.vmfb").read_bytes()
    model = CompiledModel(
        name=name,
        variant=target.variant,
        format=imported.format,
        source=path,
        source_sha256=imported.source_sha256,
        mlir=imported.mlir,
        vmfb=folder / "model.vmfb",
        vmfb_bytes=len(vmfb),
        vmfb_sha256=hashlib.sha256(vmfb).hexdigest(),
        inputs=imported.inputs,
        outputs=imported.outputs,
        compiler_version=version,
        flags=flags,
        notes=notes,
        dispatches=tuple(
            Dispatch(number, dispatch, tuple(layers)) for number, (dispatch, layers) in enumerate(dispatches)
        ),
        import_seconds=imported.seconds,
        remark=imported.remark,
        judged_by=imported.judged_by,
        plan=plan,
        changes=changes,
        cached=cached,
        selection=selection,
        **record,
    )
    return model, imported, cache


def _choice(
    level: str,
    source_sha256: str,
    path: Path,
    target: Target,
    extra_flags: Sequence[str],
    choose: Choose | None,
    cache: Cache,
    selection: Selection,
) -> choices.Choice | None:
    """Which of the optimizer's flags the model gets at this level; None where there is nothing to choose."""
    if level == "none" or not optimizer.has_flags(target.vectors, target.vlen):
        return None
    if level == "search":
        if choose is None:
            raise CompileError("The level 'search' needs what measures (the argument choose): use 'standard'.")
        return choose(
            path,
            target,
            extra_flags=extra_flags,
            output_dir=cache.folder,
            use_cache=cache.use,
            selection=selection,
        )
    found = choices.recorded(
        source_sha256,
        vlen=target.vlen if target.vectors else choices.NO_VECTORS,
        known=tuple(optimizer.flag_sets(target.vectors)),
        compiler=iree.compiler_version(),
    )
    if not target.vectors and (found.origin == choices.DEFAULT or target.chip.name != DEFAULT):
        return None  # as stock IREE has it
    return found if target.chip.name == DEFAULT else found.borrowed(load(DEFAULT).title)


def _notes_about_answers(imported: ImportedModel, name: str) -> list[str]:
    """A note about each output for which the framework itself has no number: comparing it would show nothing."""
    return [
        f"The framework itself answers nothing but NaN in output '{spec.name}' of {name}: look at its weights."
        for spec, answers in zip(imported.outputs, imported.probe_outputs, strict=True)
        if np.issubdtype(answers.dtype, np.floating) and np.isnan(answers).all()
    ]


def _notes_about_own_instructions(changes: Sequence[Change], name: str) -> list[str]:
    """A note where the chip's own instructions are left out of the whole model."""
    return [
        f"No kernel of {name} has the chip's own instructions: {change.detail}."
        for change in changes
        if (change.transformation, change.place, change.applied) == (optimizer.OWN, WHOLE, False)
    ]


def _compile_for_chip(
    imported: ImportedModel, flags: tuple[str, ...], plan: Plan, target: Target, output: Path, name: str
) -> dict[str, object]:
    """Compiles to the file ``output``; returns what to record about it."""
    start = time.monotonic()
    compilation, changes = optimizer.compile_module(imported.mlir, flags, plan, output, name)
    seconds = time.monotonic() - start
    if compilation.dropped_weights_in:
        raise CompileError(
            f"The compiler dropped the weights of {name}: {', '.join(compilation.dropped_weights_in)} would run "
            f"without them. {host_check.WEIGHTS_DEFECT} Flags: {' '.join(flags)}"
        )
    if compilation.shared_buffers:
        raise CompileError(
            f"The module compiled from {name} can't be shown to keep its tensors apart, so it may silently compute "
            f"wrong numbers: {'; '.join(compilation.shared_buffers)}. Flags: {' '.join(flags)}"
        )
    module = read_vmfb(output.read_bytes(), name)
    _check_module(module, imported, target, name)
    return {
        "entry": module.entry,
        "dispatches": [(dispatch, compilation.layers.get(dispatch, ())) for dispatch in module.dispatches],
        "kernels_sha256": module.kernels_sha256,
        "kernel_text_bytes": sum(kernels.text_bytes for kernels in module.kernels),
        "kernel_rodata_bytes": sum(kernels.rodata_bytes for kernels in module.kernels),
        "vector_instructions": sum(kernels.vector_instructions for kernels in module.kernels),
        "vlen_bits": max((kernels.vlen_bits for kernels in module.kernels), default=0),
        "changes": [asdict(change) for change in changes],
        "compile_seconds": round(seconds, 3),
    }


def _check_module(module: Vmfb, imported: ImportedModel, target: Target, name: str) -> None:
    for declared, known in ((module.inputs, imported.inputs), (module.outputs, imported.outputs)):
        if list(map(_layout, declared)) != list(map(_layout, known)):
            raise CompileError(
                f"The module compiled from {name} takes or gives {', '.join(map(str, declared)) or 'nothing'}, but the "
                f"model {', '.join(map(str, known)) or 'nothing'}: IREE has changed a type or a shape. Let the model "
                "take and give what is on the left."
            )
    for kernels in module.kernels:
        if kernels.vector_instructions and not target.vectors:
            raise CompileError(
                f"The code of {name} holds {kernels.vector_instructions} vector instructions, but the target has no "
                "vectors: leave the flag --iree-llvmcpu-target-cpu-features to the target."
            )
        if kernels.vlen_bits > target.vlen:
            raise CompileError(
                f"The code of {name} was made for VLEN {kernels.vlen_bits}, but the target has {target.vlen}: "
                "it would silently compute wrong numbers. Set the target's VLEN instead of compiler features."
            )


def _layout(spec: TensorSpec) -> tuple[tuple[int, ...], str]:
    """What the bytes of a tensor are. The integers of IREE's modules have no sign: the model knows theirs."""
    return spec.shape, spec.dtype.removeprefix("u") if spec.dtype.startswith("uint") else spec.dtype
