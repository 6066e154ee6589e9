# SPDX-License-Identifier: Apache-2.0
"""Compiles a network in every way that it is compared in, for one place, with few starts of the compiler.

Variants: ``none`` is stock IREE; ``constants`` is the optimizer's first transformation, which the others need; each
other one is applied with it alone; ``all`` is what users get. The compiler is started twice a place: once for ``none``,
once for all others. The halves between which the optimizer works are those of `springbok.optimizer`: between them, the
variants are made of the first half's result one by one, and those that differ become functions of one module. So code
that variants share is made once.
"""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from springbok import iree, optimizer
from springbok.compiler import Target, compiler_flags
from springbok.errors import BenchError, CompileError
from springbok.host_check import host_flags
from springbok.vmfb import read_vmfb

HOST = "host"
PLACES = (HOST, "128", "512")
NONE, ALL = "none", "all"
VARIANTS = (NONE, *optimizer.TRANSFORMATIONS, ALL)
_HOST_VLEN = 512


@dataclass
class Compiled:
    """What became of the variants at one place: modules with the function to call, or an error."""

    modules: dict[str, tuple[Path, str]] = field(default_factory=dict)
    errors: dict[str, Exception] = field(default_factory=dict)
    dropped: dict[str, tuple[str, ...]] = field(default_factory=dict)


def compile_variants(mlir: Path, place: str, variants: Sequence[str], folder: Path) -> Compiled:
    """Compiles the imported model ``mlir`` for ``place`` in these ``variants``, to files in ``folder``."""
    target = Target(vlen=_HOST_VLEN if place == HOST else int(place))
    plan = optimizer.plan_for(optimizer.DEFAULT_LEVEL, vectors=True, vlen=target.vlen)
    made = Compiled()
    if NONE in variants:
        module = folder / f"none-{place}.vmfb"
        try:
            compilation = iree.compile_module(mlir, _flags(target, None, place), module, "the network")
            made.modules[NONE] = (module, read_vmfb(module.read_bytes(), "the network", with_kernels=False).entry)
            made.dropped[NONE] = compilation.dropped_weights_in
        except BenchError as error:
            made.errors[NONE] = error
    wanted = {each: _transformations(each, plan) for each in variants if each != NONE}
    if wanted:
        _compile_rewritten(mlir, place, wanted, _flags(target, plan, place), folder, made)
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


def _compile_rewritten(
    mlir: Path, place: str, wanted: dict[str, tuple[str, ...]], flags: tuple[str, ...], folder: Path, made: Compiled
) -> None:
    functions: dict[str, str] = {}

    def between(half: Path, rewritten: Path) -> None:
        distinct: dict[str, tuple[str, Path]] = {}
        for variant, names in wanted.items():
            output = folder / f"{variant}-{place}.mlirbc"
            try:
                optimizer.rewrite(half, output, names, for_host=place == HOST)
            except Exception as error:  # noqa: BLE001 (whatever it is, it is what the trial looks for)
                made.errors[variant] = OptimizerError(error)
                continue
            digest = hashlib.sha256(output.read_bytes()).hexdigest()
            functions[variant], _ = distinct.setdefault(digest, (f"v{len(distinct)}", output))
        if not distinct:
            raise CompileError("No variant is left to be compiled.")
        _join(list(distinct.values()), rewritten)

    module = folder / f"rewritten-{place}.vmfb"
    try:
        compilation = iree.compile_module(mlir, flags, module, "the network", between)
    except BenchError as error:
        made.errors.update({variant: error for variant in wanted if variant not in made.errors})
        return
    for variant, function in functions.items():
        made.modules[variant] = (module, function)
        made.dropped[variant] = compilation.dropped_weights_in


class OptimizerError(Exception):
    """An exception inside the optimizer; says where."""

    def __init__(self, error: Exception) -> None:
        frames = traceback.extract_tb(error.__traceback__)
        place = f"{Path(frames[-1].filename).name}, {frames[-1].name}" if frames else "?"
        own = [frame for frame in frames if "springbok/optimizer" in frame.filename]
        if own:
            place = f"{Path(own[-1].filename).name}, {own[-1].name}"
        super().__init__(f"{type(error).__name__} in {place}: {str(error).strip()[:300]}")


def _join(parts: list[tuple[str, Path]], output: Path) -> None:
    """Writes one module with the function ``main`` of each file under its new name."""
    from iree.compiler import ir

    with ir.Context():
        modules = [ir.Module.parse(path.read_bytes()) for _, path in parts]
        for (name, _), module in zip(parts, modules, strict=True):
            _rename(module, name)
        whole = modules[0]
        for module in modules[1:]:
            for operation in list(module.body.operations):
                operation.detach_from_parent()
                whole.body.append(operation)
        whole.operation.verify()
        with output.open("wb") as file:
            whole.operation.write_bytecode(file)


def _rename(module, name: str) -> None:
    """Gives every symbol of the module a name of its own; its public function becomes ``name``."""
    from iree.compiler import ir

    symbols = {}
    for operation in list(module.body.operations):
        if "sym_name" not in operation.attributes:
            continue
        old = ir.StringAttr(operation.attributes["sym_name"]).value
        if operation.name == "util.global" and "device" in str(operation.attributes["type"]):
            # Devices are the same in all parts, and the module's attributes speak of them.
            if name != "v0":
                operation.erase()
            continue
        public = operation.name == "util.func" and "sym_visibility" not in operation.attributes
        symbols[old] = name if public else f"{old}_{name}"

    def visit(operation):
        for key in list(operation.attributes):
            value = operation.attributes[key]
            if key == "sym_name" and ir.StringAttr(value).value in symbols:
                operation.attributes[key] = ir.StringAttr.get(symbols[ir.StringAttr(value).value])
            elif isinstance(value, ir.FlatSymbolRefAttr) and value.value in symbols:
                operation.attributes[key] = ir.FlatSymbolRefAttr.get(symbols[value.value])
        return ir.WalkResult.ADVANCE

    for operation in module.body.operations:
        operation.operation.walk(visit)
