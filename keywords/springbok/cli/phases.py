# SPDX-License-Identifier: Apache-2.0
"""``./bench phases``: which flag, phase and pass makes the difference between two modules of one model."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from springbok.cli.arguments import add_platform, add_selection, add_vlen, model_files, use_platform
from springbok.compiler import importers, iree, versions
from springbok.compiler.compiled import CompiledModel, Target
from springbok.compiler.compiler import DEFAULT_OUTPUT_DIR, compile_model
from springbok.compiler.flags import check_flags, compiler_flags, flags_of
from springbok.compiler.importers import ImportedModel
from springbok.compiler.importers.selection import Selection
from springbok.exploring.calibrate import inference
from springbok.exploring.compiler_row import LOWERED, OWN_IMPORT, Job, lowered, measured_apart
from springbok.exploring.pass_steps import Measured, Table
from springbok.exploring.passes import by_pass, of_kernel
from springbok.exploring.phases import Difference, Side, by_phase, differing, joined, minimal
from springbok.support.cache import Cache
from springbok.support.errors import BenchError, CompileError
from springbok.support.files import temporary_folder
from springbok.support.progress import working

_CRASHED_ANYWAY = "Simplify that part of the model, or leave out flags of --first"
_MOST = 6  # differences that are shown in full
_CRASHED, _ADVICE = "the compiler crashed", re.compile(r"Simplify that part of the model, or compile it with [\w=]+")
_NONE = "none, before LLVM makes machine code of the kernels"
_SHARE = 0.9  # of the difference that fewer flags must still make, and not much more
# What can be measured of a module: its name in rows of `springbok.exploring.compiler_row`, and its unit.
_METRICS = {
    "instructions": ("instructions", "instructions"),
    "code": ("kernel_text_bytes", "bytes of code"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("model", metavar="MODEL", help="a model file, also of models/, or the folder of a SavedModel")
    parser.add_argument(
        "--first", default="", metavar="FLAGS", help='for iree-compile, as --first="--a --b" (default: none)'
    )
    parser.add_argument("--second", default="", metavar="FLAGS", help="the other set of flags (default: none)")
    parser.add_argument("--versions", nargs=2, metavar="VERSION", help="two versions, with the flags of --first")
    parser.add_argument(
        "--metric", choices=tuple(_METRICS), default="instructions", help="what differs (default: instructions)"
    )
    parser.add_argument(
        "--kernel",
        metavar="NAME",
        help="all passes by which one kernel differs, such as main_dispatch_2, or the module",
    )
    parser.add_argument("--variant", choices=("vector", "scalar"), default="vector", help="kind of code")
    add_platform(parser)
    add_selection(parser)
    add_vlen(parser, None, "bits of a vector register of the chip (default: as the chip is built)")


def run(options: argparse.Namespace) -> int:
    """0 when what makes the difference was found, or there is none."""
    chip = use_platform(options)
    (options.model,) = model_files([options.model])
    first, second = flags_of(options.first), flags_of(options.second)
    if second if options.versions else not (first or second):
        raise BenchError(
            "Give flags with --first or --second, the other of which has the default ones, or --versions with two "
            "versions of the compiler and their flags with --first."
        )
    wanted = [versions.resolved(each) for each in options.versions or ()]
    if len({*wanted}) == 1:
        raise BenchError(f"{' and '.join(options.versions)} are one version, {wanted[0]}: name two.")
    target = Target.of(options.variant, options.vlen, chip)
    if not wanted:
        check_flags(target, [*first, *second])
    selection = Selection.of(options.shape, options.signature)
    imported = importers.import_model(options.model, Cache(DEFAULT_OUTPUT_DIR), selection)
    with temporary_folder() as folder:
        if wanted:
            compilers, imported, tables = _tell_versions(options, target, imported, wanted, first, Path(folder))
            second = first
        else:
            compilers = [iree.tool("iree-compile")] * 2
            needed = _tell_flags(options, target, first, second)
            if needed is None:
                return 0
            second, tables = needed
        flags = [compiler_flags(target, each)[0] for each in (first, second)]
        sides = [Side(*each) for each in zip(compilers, (imported.mlir,) * 2, flags, strict=True)]
        _tell_passes(sides, Path(folder), options.kernel, tables, _METRICS["instructions"][1])
    return 0


def _tell_passes(sides: Sequence[Side], folder: Path, kernel: str | None, tables: Sequence[Table], unit: str) -> None:
    """Print the phases that differ and the first pass of each kernel that does; of one kernel all that do."""
    measured = (tables[0], tables[1])
    if kernel:
        print(f"\nPasses of {kernel} by which it differs, and what each adds to the difference:")
        with working("Compiling both, with the kernel behind every pass"):
            found = of_kernel(*sides, folder, kernel, measured)
        print("\n".join(each.describe() for each in found) or _NONE)
        return
    with working("Compiling both, with the code behind every phase"):
        phases = by_phase(*sides, folder)
    told = ", ".join(each.where.removeprefix("phase ") for each in phases)
    print(f"\nPhases that differ: {told or 'none (what kernels are made by stands in none of them)'}")
    with working("Compiling both, with the code behind every pass"):
        found = by_pass(*sides, folder, measured, unit)
    ordered = any(each.cost is not None for table in measured for each in table.values())
    by = ", by what the difference costs" if ordered else ""
    print(f"First pass behind which the module, and each kernel, differs{by}:")
    print("\n".join(_shown(found)) or _NONE)


def _tell_rest(totals: Sequence[int | None], tables: Sequence[Table], unit: str) -> None:
    """Print what is no kernel's of both, where kernels were counted: of the differences told it is the rest."""
    kernels = [sum(each.cost or 0 for each in table.values()) for table in tables]
    if all(kernels) and None not in totals:
        rest = [round(total - sum_) for total, sum_ in zip(totals, kernels, strict=True) if total is not None]
        told = f"{kernels[0]:,.0f} to {kernels[1]:,.0f}"
        print(f"Of these in kernels: {told} {unit}; in the runtime, calls too: {rest[0]:,} to {rest[1]:,}.")


def _shown(found: Sequence[Difference]) -> list[str]:
    """Most of what matters in full, then what else differs by its name."""
    major = [each for each in found if each.short and not each.minor]
    full = (major or [each for each in found if each.short])[:_MOST]
    rest = [each for each in found if each.short and not any(each is shown for shown in full)]
    more = [each.short for each in rest if not each.minor]
    lines = [each.describe() for each in found if not each.short or any(each is shown for shown in full)]
    if lines and not major and not any(not each.short for each in found):
        lines.insert(0, "None of these makes a difference in the end:")
    if more:
        lines.append(f"and {len(more)} more, each told by --kernel: {', '.join(more)}")
    if less := [each.short for each in rest if each.minor]:
        lines.append(f"and {len(less)} that make no difference in the end: {', '.join(less)}")
    return lines


def _tell_versions(
    options: argparse.Namespace,
    target: Target,
    imported: ImportedModel,
    wanted: Sequence[str],
    flags: Sequence[str],
    folder: Path,
) -> tuple[list[Path], ImportedModel, list[Table]]:
    """Print what each version's module takes.

    Returns the compilers, the model as both of them were measured with, and what their kernels take.

    Raises `BenchError` where one of them compiles nothing.
    """
    folders = [versions.environment(each) for each in wanted]
    check_flags(target, flags, frozenset().union(*map(iree.compiler_flag_names, folders)))
    job = Job("", str(options.model), imported, "none", target.variant, target.vlen, options.platform, tuple(flags))
    job = replace(job, shape=options.shape, signature=options.signature, tolerance=options.tolerance)
    rows = _measured(job, wanted)
    refusing = [row["version"] for row in rows if {OWN_IMPORT, LOWERED} & {*row["notes"]}]
    if refusing:
        job = replace(job, imported=lowered(imported, iree.tool("iree-compile"), folder))
        rows = _measured(job, wanted)
        said = f"{refusing[0]} does not take" if len(refusing) == 1 else "Neither takes"
        print(f"{said} the model as it is imported: both compile what the pinned version's phase 'input' leaves of it.")
    key, unit = _METRICS[options.metric]
    for row in rows:
        reason = _ADVICE.sub(_CRASHED_ANYWAY, (row["error"] or "").partition("\n")[0])
        if not row["dispatches"]:
            raise BenchError(f"{row['version']} has no module to compare: {reason}")
        found = row["metrics"].get(key)
        told = f"{found:,} {unit}" if found is not None else ""
        print(f"{row['version']}: {'; '.join(filter(None, (told, reason)))}")
    by_cost = options.metric == "instructions"  # how large each kernel's code is, no module tells
    tables: list[Table] = [
        {
            kernel["name"]: Measured(kernel.get("instructions") if by_cost else None, kernel["layer"] or "")
            for kernel in row["dispatches"]
        }
        for row in rows
    ]
    _tell_rest([row["metrics"].get(key) for row in rows], tables, unit)
    compilers = [iree.tool_of(folder) if folder else iree.tool("iree-compile") for folder in folders]
    return compilers, job.imported, tables


def _measured(job: Job, wanted: Sequence[str]) -> list[dict[str, Any]]:
    rows = []
    for version in wanted:
        with working(f"Measuring {Path(job.model).name} with {version}"):
            rows.append(measured_apart(replace(job, version=version)))
    return rows


def _tell_flags(
    options: argparse.Namespace, target: Target, first: Sequence[str], second: Sequence[str]
) -> tuple[tuple[str, ...], list[Table]] | None:
    """Print what both sets give, and the fewest flags that make the difference.

    Returns ``first`` with these alone, and what the kernels of both take; None where there is no difference.
    """
    measure = _Measure(options, target)
    before, after = measure(first), measure(second)
    _, unit = _METRICS[options.metric]
    print(f"first:  {before:,} {unit}: {' '.join(first) or 'the default flags'}")
    print(f"second: {after:,} {unit}: {' '.join(second) or 'the default flags'}")
    if before == after:
        others = [f"--metric {name}" for name in _METRICS if name != options.metric]
        print(f"No difference in {unit}. Nothing else of the two modules was compared: {' or '.join(others)} does.")
        return None
    gone, gained = differing(first, second)

    def with_these(kept: Sequence[str]) -> tuple[str, ...]:
        left = [flag for flag in first if flag not in kept]
        return joined(left, [flag for flag in kept if flag in gained])

    def makes_it(kept: Sequence[str]) -> bool:
        value = measure(with_these(kept))
        return value is not None and abs(value - after) <= (1 - _SHARE) * abs(after - before)

    names = {flag.partition("=")[0] for flag in gained}
    needed = minimal([*gained, *(flag for flag in gone if flag.partition("=")[0] not in names)], makes_it)
    told = [flag if flag in gained else f"without {flag}" for flag in needed]
    value = measure(with_these(needed))
    each = [(flag, measure(with_these([one]))) for one, flag in zip(needed, told, strict=True)]
    alone = "" if value == after else f": {value:,} {unit} by that alone"
    print(f"Made by: {' '.join(told)} ({measure.count} modules measured){alone}")
    if len(each) > 1:
        shares = (f"{'no module' if one is None else f'{one:,}'} by {flag}" for flag, one in each)
        print(f"Each alone makes: {', '.join(shares)}")
    tables = [measure.table(each) for each in (first, with_these(needed))]
    _tell_rest([before, value], tables, unit)
    return with_these(needed), tables


def _remedy(flags: Sequence[str]) -> str:
    """What to do where the compiler crashes with ``flags`` and not without; it was without the optimizer already."""
    if not flags:
        return "It does so with its default flags: simplify that part of the model"
    return f"It does not without {' '.join(flags)}: leave that out, or give it another value"


class _Measure:
    """What stock IREE's module of the model takes with flags; None where it does not compile or run."""

    def __init__(self, options: argparse.Namespace, target: Target) -> None:
        self._options, self._target = options, target
        self._known: dict[tuple[str, ...], int | None] = {}
        self._tables: dict[tuple[str, ...], Table] = {}

    @property
    def count(self) -> int:
        """How many modules were measured."""
        return len(self._known)

    def table(self, flags: Sequence[str]) -> Table:
        """What each kernel takes, of a module that can be measured."""
        self(flags)
        return self._tables[tuple(sorted(flags))]

    def __call__(self, flags: Sequence[str]) -> int | None:
        key = tuple(sorted(flags))
        if key not in self._known:
            try:
                with working(f"Measuring {Path(self._options.model).name}, module {self.count + 1}"):
                    self._known[key] = self._measured(flags)
            except BenchError as error:
                if self.count < 2:  # one of the two sets that were given
                    if _CRASHED in str(error):
                        raise CompileError(_ADVICE.sub(_remedy(self._crashing(flags)), str(error))) from error
                    raise
                self._known[key] = None
        return self._known[key]

    def _crashing(self, flags: Sequence[str]) -> tuple[str, ...]:
        """The fewest of ``flags`` with which the compiler crashes; none where it does without any."""

        def crashes(kept: Sequence[str]) -> bool:
            try:
                self._compiled(kept)
            except BenchError as error:
                return _CRASHED in str(error)
            return False

        with working("Looking for the flag with which the compiler crashes"):
            return () if crashes(()) else minimal(flags, crashes)

    def _compiled(self, flags: Sequence[str]) -> CompiledModel:
        selection = {"shape": self._options.shape, "signature": self._options.signature}
        return compile_model(self._options.model, self._target, extra_flags=flags, optimize="none", **selection)

    def _measured(self, flags: Sequence[str]) -> int:
        model = self._compiled(flags)
        table = {each.name: Measured(None, " + ".join(each.layers)) for each in model.dispatches}
        self._tables[tuple(sorted(flags))] = table
        if self._options.metric == "code":
            return model.kernel_text_bytes
        counts = inference(model, "spike", self._target.vlen)
        for each in model.dispatches:
            if each.ordinal in counts.dispatches:
                table[each.name] = table[each.name]._replace(cost=counts.dispatches[each.ordinal].instructions)
        (counted,) = counts.inferences
        return counted.instructions
