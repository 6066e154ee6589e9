# SPDX-License-Identifier: Apache-2.0
"""Compiles networks in every way that they are compared in, for one place, with few starts of the compiler.

Variants: ``none`` is stock IREE; ``constants`` is the optimizer's first transformation, which the others need; each
other one is applied with it alone; ``all`` is what users get.

Most of a small network's compilation is the same whatever it holds, so several networks are functions of one module:
it is compiled once for ``none`` and once for all other variants. Between the halves of that compilation the optimizer
gets every network by itself, as it does for users, once a variant; what differs becomes functions of one module again.
Where networks can't be compiled together, each is compiled alone, and then each variant, so that an error is that of
its network and variant. A transformation that fails is an error here, though for users it leaves the model as it was.
"""

from __future__ import annotations

import hashlib
import os
import traceback
from collections.abc import Callable, Iterator, Sequence
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


@dataclass
class Compiled:
    """What became of a network's variants at one place: modules with the function to call, or an error."""

    modules: dict[str, tuple[Path, str]] = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)


def compile_variants(models: dict[str, Path], place: str, variants: Sequence[str], folder: Path) -> dict[str, Compiled]:
    """Compiles imported models for ``place`` in these ``variants``, to files in ``folder``.

    ``models`` has the MLIR file of each network by a name that is a symbol, and so has the result.
    """
    target = Target(vlen=_HOST_VLEN if place == HOST else int(place))
    plan = optimizer.plan_for(optimizer.DEFAULT_LEVEL, vectors=True, vlen=target.vlen)
    made = {name: Compiled() for name in models}
    if NONE in variants:
        _compile_stock(models, _flags(target, None, place), folder / f"none-{place}", made)
    wanted = {each: _transformations(each, plan) for each in variants if each != NONE}
    if wanted:
        rewriting = _Rewriting(wanted, folder / f"rewritten-{place}", place == HOST, made)
        _compile_rewritten(models, _flags(target, plan, place), rewriting)
    return made


def _flags(target: Target, plan: optimizer.Plan | None, place: str) -> tuple[str, ...]:
    flags, _ = compiler_flags(target, (), plan)
    if place != HOST:
        return flags
    # The runtime's Python bindings know no inline modules.
    return tuple(flag for flag in host_flags(flags) if not flag.startswith("--iree-execution-model="))


def _transformations(variant: str, plan: optimizer.Plan) -> tuple[str, ...]:
    if variant == ALL:
        return plan.transformations
    return tuple(name for name in plan.transformations if name in (optimizer.CONSTANTS, variant))


def _compile_stock(models: dict[str, Path], flags: tuple[str, ...], folder: Path, made: dict[str, Compiled]) -> None:
    try:
        module = _compile(models, flags, folder)
    except BenchError as error:
        if len(models) == 1:
            made[next(iter(models))].errors[NONE] = error
            return
        for name, mlir in models.items():
            _compile_stock({name: mlir}, flags, folder / name, made)
        return
    for name in models:
        made[name].modules[NONE] = (module, name)


def _compile(
    models: dict[str, Path], flags: tuple[str, ...], folder: Path, rewrite: Callable[[Path, Path], None] | None = None
) -> Path:
    """Compiles the models to one module, in a new folder; refuses what `springbok.compiler.compiler` refuses."""
    folder.mkdir(parents=True)
    source, module = folder / "source.mlirbc", folder / "module.vmfb"
    _join(list(models.items()), source)
    compilation = iree.compile_module(source, flags, module, "the network", rewrite)
    if compilation.dropped_weights_in:
        raise CompileError(f"The compiler dropped the weights of {', '.join(compilation.dropped_weights_in)}.")
    if compilation.shared_buffers:
        raise CompileError(f"Its buffers can't be proved right: {'; '.join(compilation.shared_buffers)}.")
    return module


@dataclass(frozen=True)
class _Rewriting:
    """What happens between the halves: the transformations of each variant, and where the results go."""

    wanted: dict[str, tuple[str, ...]]
    folder: Path
    for_host: bool
    made: dict[str, Compiled]

    def alone(self) -> list[_Rewriting]:
        """The same, a variant each."""
        return [
            replace(self, wanted={variant: names}, folder=self.folder / variant)
            for variant, names in self.wanted.items()
        ]

    def rewrite(self, name: str, half: Path, folder: Path) -> dict[str, tuple[str, Path]]:
        """The function that each variant of a network became, and its file; equal ones are one function."""
        distinct: dict[str, tuple[str, Path]] = {}
        found = {}
        for variant, names in self.wanted.items():
            output = folder / f"{name}-{variant}.mlirbc"
            try:
                with _strict():
                    optimizer.rewrite(half, output, names, for_host=self.for_host)
            except Exception as error:  # noqa: BLE001 (whatever it is, it is what the trial looks for)
                self.made[name].errors[variant] = OptimizerError(error)
                continue
            digest = hashlib.sha256(output.read_bytes()).hexdigest()
            found[variant] = distinct.setdefault(digest, (f"{name}_{len(distinct)}", output))
        return found


def _compile_rewritten(models: dict[str, Path], flags: tuple[str, ...], rewriting: _Rewriting) -> None:
    functions: dict[str, dict[str, tuple[str, Path]]] = {}
    folder = rewriting.folder if len(models) > 1 else rewriting.folder / next(iter(models))

    def between(half: Path, rewritten: Path) -> None:
        for name in models:
            alone = folder / f"{name}.mlirbc"
            _extract(half, name, alone)
            functions[name] = rewriting.rewrite(name, alone, folder)
        parts = dict(part for found in functions.values() for part in found.values())
        if not parts:
            raise CompileError("No variant is left to be compiled.")
        _join(list(parts.items()), rewritten)

    try:
        module = _compile(models, flags, folder, between)
    except BenchError as error:
        if len(models) > 1:
            for name, mlir in models.items():
                _compile_rewritten({name: mlir}, flags, rewriting)
        elif functions and len(rewriting.wanted) > 1:
            for each in rewriting.alone():
                _compile_rewritten(models, flags, each)
        else:  # a variant alone, or the first half, which is the same for all
            for variant in rewriting.wanted:
                rewriting.made[next(iter(models))].errors.setdefault(variant, error)
        return
    for name, found in functions.items():
        for variant, (function, _) in found.items():
            rewriting.made[name].modules[variant] = (module, function)


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


def _join(parts: list[tuple[str, Path]], output: Path) -> None:
    """Writes one module with the public function of each file under its new name."""
    from iree.compiler import ir

    with ir.Context():
        modules = [_read(path) for _, path in parts]
        for number, ((name, _), module) in enumerate(zip(parts, modules, strict=True)):
            _rename(module, name, is_first=number == 0)
        whole = modules[0]
        for module in modules[1:]:
            for operation in list(module.body.operations):
                operation.detach_from_parent()
                whole.body.append(operation)
        whole.operation.verify()
        with output.open("wb") as file:
            whole.operation.write_bytecode(file)


def _extract(source: Path, name: str, output: Path) -> None:
    """Writes the module with the public function ``name`` alone, and what that needs."""
    from iree.compiler import ir, passmanager

    with ir.Context():
        module = _read(source)
        for operation in list(module.body.operations):
            if _is_public_function(operation) and _symbol(operation) != name:
                operation.erase()
        passmanager.PassManager.parse("builtin.module(symbol-dce)").run(module.operation)
        with output.open("wb") as file:
            module.operation.write_bytecode(file)


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

    symbols = {}
    for operation in list(module.body.operations):
        if "sym_name" not in operation.attributes:
            continue
        if operation.operation.name == "util.global" and "device" in str(operation.attributes["type"]):
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
