# SPDX-License-Identifier: Apache-2.0
"""``./bench calibrate``: fit a description of a pipeline to the cycles of a core's RTL, and tell how far it is off."""

from __future__ import annotations

import argparse
from pathlib import Path

from springbok.cli.arguments import add_core, add_platform, add_timing, check_models, use_core, use_platform
from springbok.cli.text import print_table, shown
from springbok.compiler.compiled import Target
from springbok.exploring.calibrate import calibrate
from springbok.rtl.engine import named_seed
from springbok.support.errors import BenchError
from springbok.support.files import write_in_one_step
from springbok.timing.description import OF_CHIP, text
from springbok.timing.loading import timing_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("models", metavar="MODEL", nargs="*", help="models to hold the fitted description against")
    add_timing(parser, OF_CHIP)
    add_platform(parser)
    add_core(parser)
    parser.add_argument("--output", metavar="FILE", type=Path, help="write the fitted description there")


def run(options: argparse.Namespace) -> int:
    """Measure, fit, print each measurement with its estimate, and write the description."""
    if options.core is None:
        raise BenchError("Cycles are measured on a core's RTL: --core FOLDER.")
    check_models(options.models)
    if options.output and not options.output.parent.is_dir():
        raise BenchError(f"--output: there is no folder {options.output.parent}.")
    if options.output and options.output.is_dir():
        raise BenchError(f"--output: {options.output} is a folder, and the description is a file.")
    use_core(options, "rtl")
    chip = use_platform(options)
    timing = timing_of(options.timing, chip)
    vlen = chip.vlen if chip.vector_extension else 0
    target = Target.of("vector" if vlen else "scalar", None, chip)
    core = Path(options.core).name
    fitted, measured = calibrate(timing, chip, target, f"{core}'s RTL", options.models, vlen, print, seed=named_seed())
    rows = [("measured", "cycles", "estimated", "error")]
    for each in measured:
        rows.append(
            (
                each.name,
                f"{each.cycles:,}",
                f"{each.estimate(fitted, vlen):,}",
                f"{100 * each.error(fitted, vlen):+.1f} %",
            )
        )
    print_table(rows, 1)
    print(f"{fitted.name}: {fitted.standing}")
    if options.output:
        write_in_one_step(options.output, text(fitted))
        print(f"Written to {shown(options.output)}")
    return 0
