# SPDX-License-Identifier: Apache-2.0
"""``./bench cycles``: how many cycles an inference takes by a description of the core, by kernel, and where they go."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from springbok.chips.chip import Chip
from springbok.cli.arguments import (
    add_core,
    add_optimize,
    add_platform,
    add_timing,
    add_vlen,
    check_models,
    use_core,
    use_platform,
)
from springbok.cli.text import print_table
from springbok.compiler.compiled import CompiledModel, Target
from springbok.compiler.compiler import compile_and_check
from springbok.compiler.optimizer import DEFAULT_LEVEL
from springbok.engines.base import RUNTIME_SITES, Counts
from springbok.engines.known_defects import shown_at
from springbok.exploring.calibrate import inference
from springbok.exploring.optimizer_cycles import Pair, compare
from springbok.exploring.search import search
from springbok.measuring.derived import RUNTIME
from springbok.session import usable_timing
from springbok.support.errors import BenchError
from springbok.support.progress import working
from springbok.timing.account import Line, account, notes
from springbok.timing.description import OF_CHIP, Timing

_CAUSES = 3
_COMPARED = ("model", "instructions, stock", "optimized", "ratio", "cycles, stock", "optimized", "ratio")
_COMPARED += ("times the limit", "")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("models", nargs="+", metavar="MODEL", help="model files, or folders of SavedModels")
    parser.add_argument("--table", action="store_true", help="a line a model, beside what stock IREE makes of it")
    add_timing(parser, OF_CHIP)
    add_platform(parser)
    parser.add_argument("--variant", choices=("vector", "scalar"), help="kind of code (default: the chip's best)")
    add_vlen(parser, None, "bits of a vector register of the chip (default: as the chip is built)")
    add_optimize(parser, DEFAULT_LEVEL, f"level of the optimizer (default: {DEFAULT_LEVEL})")
    add_core(parser)
    parser.add_argument("--json", action="store_true", help="print all of it as JSON")


def run(options: argparse.Namespace) -> int:
    """Run one inference and print its cycles; beside those of the core's RTL with ``--core``."""
    if options.table and options.core:
        raise BenchError("--table compares estimates: leave --core out.")
    if options.core:
        check_models(options.models)
    engine = "rtl" if options.core else "spike"
    use_core(options, engine)
    chip = use_platform(options)
    has_vectors = chip.vector_extension and options.vlen != 0
    variant = options.variant or ("vector" if has_vectors else "scalar")
    target = Target.of(variant, options.vlen, chip)
    vlen = target.vlen if has_vectors else 0
    timing = usable_timing(options.timing, chip, engine, vlen)
    if variant == "vector" and not vlen:
        raise BenchError("Code with vectors needs a VLEN: leave --variant out, or give another --vlen than 0.")
    if options.table:
        return _compare(options, target, timing, vlen)
    accounts = []
    for path in options.models:
        with working(f"Compiling {Path(path).name}"):
            model = compile_and_check(path, target, optimize=options.optimize, choose=search)
        with working(f"Running {model.name} on {engine}"):
            accounts.append(table(model, inference(model, engine, vlen, timing), timing, vlen, chip))
        if not options.json:
            print_account(accounts[-1], timing)
    if options.json:
        print(json.dumps(accounts[0] if len(accounts) == 1 else accounts, indent=1))
    return 0


def _compare(options: argparse.Namespace, target: Target, timing: Timing, vlen: int) -> int:
    """Print the optimizer's table; 1 where a model takes more cycles than stock IREE's."""
    pairs = []
    for path in options.models:
        with working(f"Comparing {Path(path).name}"):
            pairs.append(compare(path, target, timing, vlen, options.optimize))
    if options.json:
        rows = [asdict(each) | {"cycles_ratio": each.cycles_ratio} for each in pairs]
        print(json.dumps({"timing": timing.as_json(), "optimize": options.optimize, "models": rows}, indent=1))
    else:
        print(f"estimated by {timing.name}: {timing.title} ({timing.standing})")
        print_table([_COMPARED, *map(_compared, pairs)], 1)
    return int(any(each.cycles_ratio > 1 for each in pairs))


def _compared(pair: Pair) -> tuple[str, ...]:
    return (
        pair.model,
        f"{pair.stock.instructions:,}",
        f"{pair.optimized.instructions:,}",
        f"{pair.instructions_ratio:.3f}",
        f"{pair.stock.cycles:,}",
        f"{pair.optimized.cycles:,}",
        f"{pair.cycles_ratio:.3f}",
        f"{pair.optimized.times_the_limit:.1f}",
        "SLOWER" if pair.cycles_ratio > 1 else "",
    )


def table(model: CompiledModel, counts: Counts, timing: Timing, vlen: int, chip: Chip) -> dict[str, Any]:
    """Instructions and cycles of an inference, by kernel; measured ones where the engine has a core to measure."""
    names = {ordinal: (known.name, ", ".join(known.layers)) for ordinal, known in enumerate(model.dispatches)} | {
        RUNTIME_SITES: (RUNTIME, "")
    }
    return as_json(model.name, account(counts, timing, vlen, chip.xlen), counts, names, timing, chip)


def as_json(
    title: str,
    lines: Sequence[Line],
    counts: Counts,
    names: Mapping[int, tuple[str, str]],
    timing: Timing,
    chip: Chip,
) -> dict[str, Any]:
    """All of it; ``names`` are the name and the layer of each part."""
    measured = [line.measured for line in lines]
    parts = {ordinal: name for ordinal, (name, _) in names.items()}
    return {
        "model": title,
        "timing": timing.as_json(),
        "instructions": sum(each.instructions for each in counts.inferences),
        "estimated_cycles": sum(line.estimate.cycles for line in lines),
        "limit_cycles": sum(line.limit.cycles for line in lines),
        "measured_cycles": None if None in measured else sum(measured),
        "notes": [*notes(lines, timing, chip, parts), *defect_notes(counts, chip, parts)],
        "dispatches": [
            {
                "name": names[line.ordinal][0],
                "layer": names[line.ordinal][1],
                "instructions": line.instructions,
                "estimated_cycles": line.estimate.cycles,
                "measured_cycles": line.measured,
                "where": line.estimate.where,
                "limit_cycles": line.limit.cycles,
                "limited_by": line.limit.by,
                "unknown_instructions": line.unknown,
                "defects": shown_at(counts.sites[line.ordinal], chip),
            }
            for line in lines
        ],
    }


def defect_notes(counts: Counts, chip: Chip, names: Mapping[int, str]) -> list[str]:
    """A sentence for each known defect of the chip that a part showed; ``names`` are those of the parts."""
    reports = {defect.name: f": {defect.text}" + f" ({defect.report})" * bool(defect.report) for defect in chip.defects}
    return [
        f"{names[ordinal]} executes {times:,} instructions that show the chip's known defect '{name}'{reports[name]}."
        for ordinal, sites in counts.sites.items()
        for name, times in shown_at(sites, chip).items()
    ]


def print_account(found: dict[str, Any], timing: Timing) -> None:
    """Print it as a table."""
    measured = found["measured_cycles"]
    head = f"{found['model']}: {found['instructions']:,} instructions, {found['estimated_cycles']:,} cycles estimated"
    print(head + (f", {measured:,} measured ({_error(found)})" if measured else ""))
    print(f"estimated by {timing.name}: {timing.title} ({timing.standing})")
    columns = ("kernel", "made from", "instructions", "cycles", "an instruction", "of the limit", "where they go")
    rows = [columns if not measured else (*columns[:4], "measured", "error", *columns[4:])]
    for row in found["dispatches"]:
        most = sorted(row["where"].items(), key=lambda item: -item[1])[:_CAUSES]
        told = ", ".join(f"{name.replace('_', ' ')} {cycles:,}" for name, cycles in most)
        each = f"{row['estimated_cycles'] / max(1, row['instructions']):.2f}"
        own = (f"{row['measured_cycles']:,}", _error(row)) if measured else ()
        counts = (f"{row['instructions']:,}", f"{row['estimated_cycles']:,}")
        limit = f"{row['estimated_cycles'] / max(1, row['limit_cycles']):.1f} ({row['limited_by']})"
        rows.append((row["name"], row["layer"], *counts, *own, each, limit, told))
    print_table(rows, 2)
    for note in found["notes"]:
        print(note)


def _error(row: dict[str, Any]) -> str:
    return f"{100 * (row['estimated_cycles'] / row['measured_cycles'] - 1):+.1f} %" if row["measured_cycles"] else ""
