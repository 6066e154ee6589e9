# SPDX-License-Identifier: Apache-2.0
"""Compiles networks in every way that they are compared in, with few starts of the compiler.

Variants: ``none`` is stock IREE; ``constants`` is the optimizer's first transformation, which the others need; each
other one is applied with it alone; ``all`` is what users get.

Most of a small network's compilation is the same whatever it holds, so several networks are functions of one module:
it is compiled once a place for ``none`` and once for all other variants. The first half of the latter is the same for
all places but for the device that it names, so it is done once. Between the halves the optimizer gets every network by
itself, as it does for users, once a variant; what differs becomes functions of one module again. What can't be
compiled together is compiled in two parts, and these again, so that an error is that of one network and variant. A
transformation that fails is an error here, though for users it leaves the model as it was.
"""

from __future__ import annotations

import hashlib
import os
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from springbok.compiler import iree, optimizer
from springbok.compiler.compiled import Target
from springbok.compiler.flags import compiler_flags
from springbok.compiler.host_check import host_flags
from springbok.support.errors import BenchError, CompileError

HOST = "host"
PLACES = (HOST, "128", "512")
NONE, ALL = "none", "all"
VARIANTS = (NONE, *optimizer.TRANSFORMATIONS, ALL)
_HOST_VLEN = 512

# So many networks are in one module for a chip, which loads the whole of it for each function.
_TOGETHER_ON_CHIP = 4

# The compiler is faster without what it does not need here, and makes the same of a module.
_UNUSED = ("hal_target_cuda", "hal_target_metal_spirv", "hal_target_rocm", "hal_target_vulkan_spirv", "input_torch")
_UNUSED_AFTER_INPUT = ("input_stablehlo", "input_tosa")
_FASTER = ("--mlir-disable-threading", *(f"{iree.PLUGIN}-{name}" for name in _UNUSED))
_SECOND_HALF = (iree.SECOND_HALF, *(f"{iree.PLUGIN}-{name}" for name in _UNUSED_AFTER_INPUT))


@dataclass
class Compiled:
    """What became of a network's variants at one place: modules with the function to call, or an error."""

    modules: dict[str, tuple[Path, str]] = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)


@dataclass(frozen=True)
class _Part:
    """A function of a module: the network and the variants that it is, its name there, and its file of MLIR."""

    network: str
    variants: tuple[str, ...]
    function: str
    path: Path


def compile_variants(
    models: dict[str, Path], places: Sequence[str], variants: Sequence[str], folder: Path
) -> Iterator[tuple[str, dict[str, Compiled]]]:
    """Compiles imported models in these ``variants``, to files in ``folder``, for one place after the other.

    ``models`` has the MLIR file of each network by a name that is a symbol, and so has what is yielded with a place.
    """
    stock = [_Part(name, (NONE,), name, mlir) for name, mlir in models.items()]
    wanted = {each: _transformations(each) for each in variants if each != NONE}
    halves, failed = _first_halves(stock, folder / "halves") if wanted else ({}, {})
    rewritten, errors = _rewrite(halves, wanted, folder)
    for place in places:
        made = {name: Compiled(errors=dict.fromkeys(wanted, error)) for name, error in failed.items()}
        made |= {name: Compiled() for name in models if name not in failed}
        if NONE in variants:
            for number, some in enumerate(_modules(stock, place)):
                _compile(some, _flags(place, optimized=False), folder / f"none-{place}-{number}", made)
        for (name, variant), error in errors.items():
            made[name].errors[variant] = error
        parts = _for_host(rewritten, made) if place == HOST else rewritten
        flags = _flags(place)
        for number, some in enumerate(_modules(parts, place)):
            _compile(some, (*flags, *_SECOND_HALF), folder / f"rewritten-{place}-{number}", made, iree.device(flags))
        yield place, made


def _modules(parts: Sequence[_Part], place: str) -> list[list[_Part]]:
    """The parts that are compiled together for a place."""
    names = list(dict.fromkeys(part.network for part in parts))
    size = len(names) if place == HOST else _TOGETHER_ON_CHIP
    groups = [names[first : first + size] for first in range(0, len(names), size or 1)]
    return [[part for part in parts if part.network in group] for group in groups]


def _plan(vlen: int) -> optimizer.Plan:
    return optimizer.plan_for(optimizer.DEFAULT_LEVEL, vectors=True, vlen=vlen)


def _flags(place: str, optimized: bool = True) -> tuple[str, ...]:
    target = Target(vlen=_HOST_VLEN if place == HOST else int(place))
    flags, _ = compiler_flags(target, (), _plan(target.vlen) if optimized else None)
    if place != HOST:
        return (*flags, *_FASTER)
    flags = (*host_flags(flags), *_FASTER)
    # The runtime's Python bindings know no inline modules.
    return tuple(flag for flag in flags if not flag.startswith("--iree-execution-model="))


def _transformations(variant: str) -> tuple[str, ...]:
    every = _plan(_HOST_VLEN).transformations
    return every if variant == ALL else tuple(name for name in every if name in (optimizer.CONSTANTS, variant))


# ---- The halves of a compilation


def _first_halves(parts: Sequence[_Part], folder: Path) -> tuple[dict[str, Path], dict[str, Exception]]:
    """The first half's result for each network, in a file of its own, or the error."""
    folder.mkdir(parents=True)
    whole = folder / "whole.mlirbc"

    def work() -> dict[str, Path]:
        _join(parts, folder / "source.mlirbc")
        iree.first_half(folder / "source.mlirbc", _flags(HOST), whole, "the network")
        halves = {part.network: folder / f"{part.network}.mlirbc" for part in parts}
        for name, path in halves.items():
            _extract(whole, name, path)
        return halves

    try:
        return work(), {}
    except BenchError as error:
        if len(parts) == 1:
            return {}, {parts[0].network: error}
    halves, failed = {}, {}
    for number, some in enumerate(_two(parts)):
        more, errors = _first_halves(some, folder / str(number))
        halves |= more
        failed |= errors
    return halves, failed


def _rewrite(
    halves: dict[str, Path], wanted: dict[str, tuple[str, ...]], folder: Path
) -> tuple[list[_Part], dict[tuple[str, str], Exception]]:
    """What each network becomes by the transformations of each variant, equal ones once; errors by both."""
    parts, errors = [], {}
    for name, half in halves.items():
        distinct: dict[str, list[str]] = {}
        for variant, names in wanted.items():
            output = folder / f"{name}-{variant}.mlirbc"
            try:
                with _strict():
                    optimizer.rewrite(half, output, names)
            except Exception as error:  # noqa: BLE001 (whatever it is, it is what the trial looks for)
                errors[name, variant] = OptimizerError(error)
                continue
            distinct.setdefault(hashlib.sha256(output.read_bytes()).hexdigest(), []).append(variant)
        for number, alike in enumerate(distinct.values()):
            function = f"{name}_{number}" if number else name
            parts.append(_Part(name, tuple(alike), function, folder / f"{name}-{alike[0]}.mlirbc"))
    return parts, errors


def _for_host(parts: Sequence[_Part], made: dict[str, Compiled]) -> list[_Part]:
    """The same parts as this machine's check gets them; an error of one is put down in ``made``."""
    found = []
    for part in parts:
        path = part.path.with_suffix(f".{HOST}.mlirbc")
        try:
            optimizer.rewrite(part.path, path, (), for_host=True)
        except BenchError as error:
            made[part.network].errors.update(dict.fromkeys(part.variants, OptimizerError(error)))
            continue
        found.append(replace(part, path=path))
    return found


def _compile(
    parts: Sequence[_Part],
    flags: tuple[str, ...],
    folder: Path,
    made: dict[str, Compiled],
    device: str | None = None,
) -> None:
    """Compiles the parts to one module in a new folder, for ``device`` in place of theirs; in two where that fails."""
    folder.mkdir(parents=True)
    module = folder / "module.vmfb"
    try:
        _join(parts, folder / "source.mlirbc", device)
        compilation = iree.compile_module(folder / "source.mlirbc", flags, module, "the network")
        _refuse_what_users_are_refused(compilation)
    except BenchError as error:
        if len(parts) > 1:
            for number, some in enumerate(_two(parts)):
                _compile(some, flags, folder / str(number), made, device)
        else:
            (part,) = parts
            made[part.network].errors.update(dict.fromkeys(part.variants, error))
        return
    for part in parts:
        made[part.network].modules.update(dict.fromkeys(part.variants, (module, part.function)))


def _two(parts: Sequence[_Part]) -> tuple[Sequence[_Part], Sequence[_Part]]:
    return parts[: len(parts) // 2], parts[len(parts) // 2 :]


def _refuse_what_users_are_refused(compilation: iree.Compilation) -> None:
    if compilation.dropped_weights_in:
        raise CompileError(f"The compiler dropped the weights of {', '.join(compilation.dropped_weights_in)}.")
    if compilation.shared_buffers:
        raise CompileError(f"Its buffers can't be proved right: {'; '.join(compilation.shared_buffers)}.")


@contextmanager
def _strict() -> Iterator[None]:
    """Lets exceptions of transformations pass, which would leave the model as it was."""
    from springbok.compiler.optimizer import guard

    before = os.environ.get(guard.STRICT_VARIABLE, "")
    os.environ[guard.STRICT_VARIABLE] = "1"
    try:
        yield
    finally:
        os.environ[guard.STRICT_VARIABLE] = before


class OptimizerError(Exception):
    """An exception inside the optimizer; says where."""

    def __init__(self, error: Exception) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        own = [frame for frame in frames if "springbok/compiler/optimizer" in frame.filename] or frames
        place = f"{Path(own[-1].filename).name}, {own[-1].name}" if own else "?"
        super().__init__(f"{type(error).__name__} in {place}: {str(error).strip()[:300]}")


# ---- Modules of several functions


def _join(parts: Sequence[_Part], output: Path, device: str | None = None) -> None:
    """Writes one module with the public function of each part under its name there, for ``device`` if it is given."""
    from iree.compiler import ir

    from springbok.compiler import mlir

    with ir.Context():
        modules = [_read(part.path) for part in parts]
        for number, (part, module) in enumerate(zip(parts, modules, strict=True)):
            _rename(module, part.function, is_first=number == 0)
        whole = modules[0]
        if device is not None:
            mlir.device_global(whole).attributes["initial_value"] = ir.Attribute.parse(device)
        for module in modules[1:]:
            for operation in list(module.body.operations):
                operation.detach_from_parent()
                whole.body.append(operation)
        whole.operation.verify()
        mlir.write(whole, output)


def _extract(source: Path, name: str, output: Path) -> None:
    """Writes the module with the public function ``name`` alone, and what that needs."""
    from iree.compiler import ir, passmanager

    from springbok.compiler import mlir

    with ir.Context():
        module = _read(source)
        for operation in list(module.body.operations):
            if _is_public_function(operation) and _symbol(operation) != name:
                operation.erase()
        passmanager.PassManager.parse("builtin.module(symbol-dce)").run(module.operation)
        mlir.write(module, output)


def _read(path: Path):
    """The module of a file, in the context that is in force."""
    from iree.compiler import ir

    try:
        return ir.Module.parse(path.read_bytes())
    except ir.MLIRError as error:
        cause = str(error).partition("error: ")[2].partition("\n")[0]
        raise CompileError(f"The compiler's bindings can't read the network: {cause}") from None


def _is_public_function(operation) -> bool:
    hidden = "sym_visibility" in operation.attributes and operation.attributes["sym_visibility"].value != "public"
    return operation.operation.name in ("func.func", "util.func") and not hidden


def _symbol(operation) -> str:
    return operation.attributes["sym_name"].value


def _rename(module, name: str, is_first: bool) -> None:
    """Gives every symbol of the module a name of its own; its public function becomes ``name``.

    Devices are the same in all parts, and the module's attributes speak of them: they stay in the first part only.
    """
    from iree.compiler import ir

    from springbok.compiler import mlir

    symbols = {}
    for operation in list(module.body.operations):
        if "sym_name" not in operation.attributes:
            continue
        if mlir.is_device(operation):
            if not is_first:
                operation.erase()
            continue
        old = _symbol(operation)
        symbols[old] = name if _is_public_function(operation) else f"{old}_{name}"

    def visit(operation):
        for key in list(operation.attributes):
            value = operation.attributes[key]
            if key == "sym_name" and value.value in symbols:
                operation.attributes[key] = ir.StringAttr.get(symbols[value.value])
            elif isinstance(value, ir.FlatSymbolRefAttr) and value.value in symbols:
                operation.attributes[key] = ir.FlatSymbolRefAttr.get(symbols[value.value])
        return ir.WalkResult.ADVANCE

    for operation in module.body.operations:
        operation.operation.walk(visit)
