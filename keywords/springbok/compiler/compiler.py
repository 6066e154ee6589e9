# SPDX-License-Identifier: Apache-2.0
"""Compiles models for the chip: a model file in, a VMFB module out, with what there is to know about it.

Example::

    model = compile_and_check("gestures.h5", target=Target.springbok("vector"))
    print(model.describe())
    expected = framework_outputs(model, inputs)

What was compiled before with the same source, flags and compiler is taken from ``build/models/``.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from springbok.compiler import buffers, compiler_runtime, host_check, importers, iree, optimizer
from springbok.compiler.importers import ImportedModel
from springbok.compiler.importers.selection import WHOLE_FILE, Selection, Shape
from springbok.compiler.judgement import Judgement, Tolerance
from springbok.compiler.optimizer import DEFAULT_LEVEL, Change, Plan, choices
from springbok.modules.vmfb import Vmfb, read_vmfb
from springbok.support.cache import Cache, digest
from springbok.support.errors import CompileError
from springbok.support.files import build_folder
from springbok.tensors import TensorSpec, fit

DEFAULT_OUTPUT_DIR = build_folder() / "models"
#: Counts up when what is recorded about a compiled model changes, so that no older cache entry is taken.
RECORD_VERSION = 5

#: Inputs, and outputs, that a model may have: MAX_TENSORS of firmware/runtime/signature.h.
MOST_TENSORS = 8

_log = logging.getLogger(__name__)

#: Without these, IREE 3.12 and 3.13 compile a model without its weights and say nothing: the execution model
#: inline-dynamic loses constants that were packed or hoisted out of the kernels. With them the weights stay inside.
WEIGHT_FLAGS = {
    "--iree-flow-inline-constants-max-byte-length": "100000000",
    "--iree-opt-const-expr-hoisting": "false",
}

#: What the firmware's runtime is made for.
_RUNTIME_FLAGS = {
    "--iree-execution-model": "inline-dynamic",
    "--iree-hal-target-backends": "llvm-cpu",
    "--iree-vm-bytecode-module-strip-source-map": "true",
    "--iree-vm-emit-polyglot-zip": "false",
}

# Decided by this module or by the firmware, so nobody else may.
_FIXED_FLAGS = {
    "-o": "the module goes to the cache",
    "--compile-to": "the chip needs a whole module",
    "--compile-from": "the optimizer halves the compilation",
    "--output-format": "the chip needs a VMFB file",
    "--iree-execution-model": "the firmware runs inline-dynamic modules",
    "--iree-hal-target-backends": "the chip runs kernels of the backend llvm-cpu",
    "--iree-hal-target-device": "the chip runs kernels of the backend llvm-cpu",
    "--iree-input-demote-f64-to-f32": "the chip has no doubles, and IREE's own floor of them is empty there",
    "--iree-llvmcpu-vscale-range": "it follows the target's VLEN",
    "--dump-compilation-phases-to": "the compiler's phases are read here",
}


# What `iree-compile` does without them too, so that it may be said.
_DEFAULTS = {"--iree-input-demote-f64-to-f32": "true"}


@dataclass(frozen=True)
class Target:
    """The core that code is made for: RV32IMF, with vectors of ``vlen`` bits (Zve32f) or without any.

    >>> Target().variant
    'vector'
    """

    vlen: int = 512
    vectors: bool = True

    def __post_init__(self) -> None:
        if not (32 <= self.vlen <= 65536 and self.vlen & (self.vlen - 1) == 0):
            raise CompileError(f"VLEN must be a power of two from 32 to 65536 bits, not {self.vlen}.")

    @classmethod
    def springbok(cls, variant: str = "vector", vlen: int = 512) -> Target:
        """The Springbok core; ``variant`` is ``vector`` or ``scalar``."""
        if variant not in ("vector", "scalar"):
            raise CompileError(f"There is no variant '{variant}' of the code: use 'vector' or 'scalar'.")
        return cls(vlen=vlen, vectors=variant == "vector")

    @property
    def variant(self) -> str:
        """``vector`` or ``scalar``."""
        return "vector" if self.vectors else "scalar"

    @property
    def flags(self) -> dict[str, str]:
        """The flags of `iree-compile` that describe this core.

        LLVM makes vector code only if it is told a VLEN: without ``+zvl…b``, ``+zve32f`` alone has no effect.
        """
        features = f"+m,+f,+zvl{self.vlen}b,+zve32x,+zve32f" if self.vectors else "+m,+f"
        return {
            "--iree-llvmcpu-target-triple": "riscv32-unknown-unknown-eabi-elf",
            "--iree-llvmcpu-target-abi": "ilp32f",
            "--iree-llvmcpu-target-cpu": "generic-rv32",
            "--iree-llvmcpu-target-cpu-features": features,
            "--iree-llvmcpu-debug-symbols": "false",
        }


@dataclass(frozen=True)
class Dispatch:
    """A kernel of the module: its ordinal, its name, and the layers of the model that it was made from.

    ``layers`` is empty when the model file names none.
    """

    ordinal: int
    name: str
    layers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Probes:
    """What a module is checked with, and the framework's answers: an array an input or output, samples first."""

    inputs: tuple[np.ndarray, ...]
    expected: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class CompiledModel:
    """A module for the chip and what is known about it.

    Sizes are in bytes, times in seconds (of the run that did the work). ``kernel_text_bytes`` and
    ``kernel_rodata_bytes`` are sections of the kernels' ELF; the weights lie in the latter. ``vlen_bits`` is what
    the kernels were built for, 0 if without vectors. ``plan`` is what the optimizer was to do, and ``changes`` what it
    did at each place. ``cached`` tells that nothing had to be compiled. ``selection`` is what was
    compiled of the file. ``remark`` is a sentence about why the module may differ from the framework, if the model is
    of such a kind; ``tolerance`` is how far it may.
    """

    name: str
    variant: str
    format: str
    source: Path
    source_sha256: str
    mlir: Path
    vmfb: Path
    vmfb_bytes: int
    vmfb_sha256: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    entry: str
    compiler_version: str
    flags: tuple[str, ...]
    notes: tuple[str, ...]
    dispatches: tuple[Dispatch, ...]
    kernel_text_bytes: int
    kernel_rodata_bytes: int
    vector_instructions: int
    vlen_bits: int
    import_seconds: float
    compile_seconds: float
    plan: Plan
    changes: tuple[Change, ...]
    cached: bool
    selection: Selection = WHOLE_FILE
    remark: str = ""
    tolerance: Tolerance = field(default=Tolerance(), compare=False)
    host_check: Judgement | None = field(default=None, compare=False)
    probes: Probes | None = field(default=None, compare=False, repr=False)

    @property
    def has_vector_instructions(self) -> bool:
        """Whether the kernels hold any instruction of the vector extension."""
        return self.vector_instructions > 0

    def layers(self, dispatch: str) -> tuple[str, ...]:
        """The layers of the model that the kernel named ``dispatch`` was made from."""
        return next((known.layers for known in self.dispatches if known.name == dispatch), ())

    def describe(self) -> str:
        """A few lines for a log."""
        vectors = f"{self.vector_instructions} vector instructions for VLEN {self.vlen_bits}"
        lines = [
            f"{self.name} ({self.variant}) from {self.source.name}: {self.vmfb_bytes} bytes, "
            f"sha256 {self.vmfb_sha256[:16]}…, iree-compile {self.compiler_version}",
            f"inputs {', '.join(map(str, self.inputs))}; outputs {', '.join(map(str, self.outputs))}",
            f"kernels: {len(self.dispatches)}, {self.kernel_text_bytes} bytes of code, "
            f"{self.kernel_rodata_bytes} of constants, {vectors if self.vector_instructions else 'no vectors'}",
            f"import {self.import_seconds:.1f} s, compilation {self.compile_seconds:.1f} s"
            + (" (earlier: taken from the cache)" if self.cached else ""),
            optimizer.describe(self.plan, self.changes),
            *([f"checked on this machine: {self.host_check.describe()}"] if self.host_check else []),
            *self.notes,
        ]
        return "\n".join(lines)


def compile_model(
    path: str | Path,
    target: Target | None = None,
    *,
    name: str | None = None,
    output_dir: str | Path | None = None,
    extra_flags: Sequence[str] = (),
    optimize: str | Plan = DEFAULT_LEVEL,
    search_seconds: float | None = None,
    use_cache: bool = True,
    shape: Shape | None = None,
    signature: str | None = None,
) -> CompiledModel:
    """Compiles the model file ``path`` for ``target`` (default: Springbok with vectors).

    ``extra_flags`` are flags of `iree-compile`, added or in place of the default ones; names of 2023
    (``--iree-llvm-target-…``) are translated. ``optimize`` is a level of `optimizer.LEVELS`, or a plan; a search ends
    after ``search_seconds`` (default: `optimizer.search.BUDGET_SECONDS`) with the best of what was tried by then.
    ``output_dir`` holds the results (default: ``build/models``).
    ``name`` is what logs and metrics call it (default: the file's). ``shape`` gives the inputs' shapes where the file
    leaves them open, and ``signature`` says which function of the file is meant: see `importers.selection`.

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
        search_seconds=search_seconds,
        use_cache=use_cache,
        selection=Selection.of(shape, signature),
    )[0]


def compile_and_check(
    path: str | Path,
    target: Target | None = None,
    *,
    name: str | None = None,
    output_dir: str | Path | None = None,
    extra_flags: Sequence[str] = (),
    optimize: str | Plan = DEFAULT_LEVEL,
    search_seconds: float | None = None,
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
        search_seconds=search_seconds,
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
    search_seconds: float | None,
    use_cache: bool,
    selection: Selection,
) -> tuple[CompiledModel, ImportedModel, Cache]:
    path = Path(path)
    if not isinstance(optimize, Plan) and optimize not in optimizer.LEVELS:
        optimizer.plan_for(optimize, vectors=target.vectors, vlen=target.vlen)  # says what there is
    version = iree.compiler_version()
    cache = _cache(output_dir, use_cache)
    compiler_flags(target, extra_flags)  # refuses flags before the model is imported
    imported = importers.import_model(path, cache, selection)
    for kind, tensors in (("inputs", imported.inputs), ("outputs", imported.outputs)):
        if len(tensors) > MOST_TENSORS:
            raise CompileError(
                f"{path} has {len(tensors)} {kind}, but the chip's runtime takes models of at most {MOST_TENSORS}: "
                "join some of them inside the model, or leave some out."
            )
    plan = optimize
    if not isinstance(plan, Plan):
        choice = _choice(optimize, imported.source_sha256, path, target, extra_flags, search_seconds, cache, selection)
        plan = optimizer.plan_for(optimize, vectors=target.vectors, vlen=target.vlen, choice=choice)
    flags, notes = compiler_flags(target, extra_flags, plan)
    notes = (*notes, *_notes_about_answers(imported, path.name))
    name = name or path.stem

    def make(folder: Path) -> None:
        record = _compile_for_chip(imported, flags, plan, target, folder / "model.vmfb", path.name)
        (folder / "model.json").write_text(json.dumps(record, indent=1), encoding="utf-8")

    versions = (optimizer.VERSION, version, buffers.VERSION, compiler_runtime.version(), RECORD_VERSION)
    parts = (imported.inputs, imported.outputs, flags, plan.transformations, plan.holds_memory, target, versions)
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
    search_seconds: float | None,
    cache: Cache,
    selection: Selection,
) -> choices.Choice | None:
    """Which of the optimizer's flags the model gets at this level; None where there is nothing to choose."""
    if level == "none" or not optimizer.has_flags(target.vectors, target.vlen):
        return None
    if level == "search":
        from springbok.exploring.search import BUDGET_SECONDS, search  # which compiles models itself

        budget = BUDGET_SECONDS if search_seconds is None else search_seconds
        return search(
            path,
            target,
            extra_flags=extra_flags,
            budget=budget,
            output_dir=cache.folder,
            use_cache=cache.use,
            selection=selection,
        )
    return choices.recorded(
        source_sha256, vlen=target.vlen, known=tuple(optimizer.FLAG_SETS), compiler=iree.compiler_version()
    )


def _notes_about_answers(imported: ImportedModel, name: str) -> list[str]:
    """A note about each output for which the framework itself has no number: comparing it would show nothing."""
    return [
        f"The framework itself answers nothing but NaN in output '{spec.name}' of {name}: look at its weights."
        for spec, answers in zip(imported.outputs, imported.probe_outputs, strict=True)
        if np.issubdtype(answers.dtype, np.floating) and np.isnan(answers).all()
    ]


def compiler_flags(
    target: Target, extra_flags: Sequence[str] = (), plan: Plan | None = None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The flags for `iree-compile`, ``extra_flags`` applied; and notes about flags that were translated.

    ``plan`` is the optimizer's (default: stock IREE).

    Raises :class:`CompileError` for an extra flag that would drop the weights or that is not the caller's to set, and
    for a plan that was made for vectors of another length.
    """
    if plan and plan.vlen not in (None, target.vlen if target.vectors else 0):
        raise CompileError(
            f"The optimizer's plan is for VLEN {plan.vlen}, but the target has "
            f"{f'VLEN {target.vlen}' if target.vectors else 'no vectors'}: it would silently compute wrong numbers. "
            "Make the plan for the target (plan_for)."
        )
    flags = _RUNTIME_FLAGS | target.flags | WEIGHT_FLAGS | dict(plan.flags if plan else ())
    notes = []
    for given in extra_flags:
        flag, note = translated(given.strip())
        if note:
            notes.append(note)
        name, _, value = flag.partition("=")
        if name in WEIGHT_FLAGS and value != WEIGHT_FLAGS[name]:
            raise CompileError(
                f"The flag {flag} is refused: with anything but {name}={WEIGHT_FLAGS[name]} this compiler may make "
                "modules without the model's weights, and says nothing."
            )
        if name in _FIXED_FLAGS and value != flags.get(name, _DEFAULTS.get(name)):
            raise CompileError(f"The flag {flag} is refused: {_FIXED_FLAGS[name]}.")
        flags[name] = value
    return tuple(f"{name}={value}" if value else name for name, value in flags.items()), tuple(notes)


def translated(flag: str) -> tuple[str, str]:
    """The flag with its dashes and its present name, and a note if that is another one."""
    # LLVM takes one dash as well as two, and flags are often written down without any.
    flag = flag.lstrip("-")
    flag = f"-{flag}" if flag.startswith("o=") else f"--{flag}"
    # IREE renamed iree-llvm-… to iree-llvmcpu-… in 2023, and MHLO gave way to StableHLO.
    present = re.sub(r"^--iree-llvm-", "--iree-llvmcpu-", flag)
    present = re.sub(r"^--iree-input-type=mhlo$", "--iree-input-type=stablehlo", present)
    return present, "" if present == flag else f"The flag {flag} is called {present} by now: translated."


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
