# SPDX-License-Identifier: Apache-2.0
"""``./bench compilers``: models compiled by several versions of the compiler, run on Spike, side by side."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from springbok import report as reports
from springbok.cli.arguments import (
    add_platform,
    add_results,
    add_selection,
    add_vlen,
    model_files,
    use_platform,
    whole,
)
from springbok.cli.sweep import Terminal, shown_while
from springbok.compiler.flags import flags_of
from springbok.compiler.optimizer import LEVELS
from springbok.compiler.versions import OLDEST, in_order, resolved
from springbok.exploring.compilers import ROWS_NAME, compare
from springbok.exploring.search import NAMES
from springbok.support.results_folder import claimed
from springbok.support.suggestions import did_you_mean
from springbok.timing.description import OF_CHIP
from springbok.timing.loading import timing_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("versions", nargs="+", metavar="VERSION", help=f"such as 3.12.0, or newest; from {OLDEST} on")
    parser.add_argument("--models", nargs="+", metavar="MODEL", help=f"files, also of models/ (default: {len(NAMES)})")
    levels = f"of {','.join(LEVELS[:2])}: without the optimizer and with it (default: none)"
    parser.add_argument("--optimize", type=_levels, default=("none",), metavar="LEVELS", help=levels)
    parser.add_argument("--variant", choices=("vector", "scalar"), default="vector", help="kind of code")
    add_platform(parser)
    add_vlen(parser, None, "bits of a vector register of the chip (default: as the chip is built)")
    parser.add_argument("--flags", default="", metavar="FLAGS", help='for iree-compile, as --flags="--a --b"')
    add_selection(parser)
    parser.add_argument("--workers", type=whole(), help="processes at a time (default: one a core)")
    add_results(parser, "where the table goes")


def run(options: argparse.Namespace) -> int:
    """0 when every version compiled every model, and rightly."""
    chip = use_platform(options)
    models = model_files(options.models or NAMES)
    wanted = in_order(options.versions)
    if wanted != [resolved(version) for version in options.versions]:
        print(f"Compared oldest first, each once: {', '.join(wanted)}.", flush=True)
    variant = options.variant if chip.vector_extension else "scalar"
    folder = Path(options.results)
    vlen = options.vlen or chip.vlen or 128
    timing = timing_of(OF_CHIP, chip, vlen) if chip.timing else None
    with claimed(folder):
        try:
            with shown_while(_Terminal) as terminal:
                rows = compare(
                    wanted,
                    models,
                    folder,
                    levels=options.optimize,
                    count=options.workers,
                    watcher=terminal,
                    variant=variant,
                    vlen=vlen,
                    chip=options.platform,
                    flags=flags_of(options.flags),
                    timing=timing,
                    shape=options.shape,
                    signature=options.signature,
                    tolerance=options.tolerance,
                )
        except KeyboardInterrupt:
            goes_on = " The same command goes on from the rows that are whole." * (folder / ROWS_NAME).is_file()
            print(f"\nInterrupted.{goes_on}", flush=True)
            raise
        paths = reports.write_compilers(rows, folder)
    print("\n" + reports.compilers_table(rows))
    for path in paths:
        print(path)
    return int(any(row["error"] for row in rows))


class _Terminal(Terminal):
    NOUN = "row"

    def describe(self, row: Mapping[str, Any]) -> str:
        """The row in a line."""
        if row["error"]:
            return f"{row['label']}: failed: {row['error'].splitlines()[0]}"
        found = row["metrics"]
        spills = f", {found['stack_accesses']:,.0f} accesses of stacks" if found["stack_accesses"] is not None else ""
        return (
            f"{row['label']}: {found['instructions']:,.0f} instructions, "
            f"{found['kernel_text_bytes']:,} bytes of code{spills}"
        )


def _levels(text: str) -> tuple[str, ...]:
    levels = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for level in levels:
        if level not in LEVELS[:2]:
            near = did_you_mean(level, LEVELS[:2])
            raise argparse.ArgumentTypeError(f"there is no level '{level}' here{near}: {', '.join(LEVELS[:2])}")
    return levels
