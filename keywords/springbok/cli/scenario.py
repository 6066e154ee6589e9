# SPDX-License-Identifier: Apache-2.0
"""``./bench scenario``: run a scenario file of Kenning as the Robot suite that it stands for, or write that."""

from __future__ import annotations

import argparse
from pathlib import Path

from springbok.cli.arguments import whole
from springbok.cli.checks import check_board
from springbok.cli.run import add_run_options, run_suites
from springbok.cli.text import shown
from springbok.compiler.importers.selection import Selection
from springbok.compiler.judgement import Tolerance
from springbok.exploring.scenario import read_scenario
from springbok.exploring.scenario_suite import write_suite
from springbok.support.places import project_of
from springbok.support.results_folder import claimed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("file", metavar="FILE", help="the scenario")
    parser.add_argument("--to-suite", metavar="SUITE", help="write it as a Robot suite instead of running it")
    parser.add_argument("--samples", type=whole(), metavar="N", help="how many recordings to infer (default: all)")
    parser.add_argument("--shape", help="of the model's inputs, where its file leaves them open: 1x32x32x3")
    parser.add_argument("--signature", help="which function of a model file that has several")
    parser.add_argument("--tolerance", help="what outputs may differ by: 0.001 of the largest, or '2 steps'")
    add_run_options(parser)


def run(options: argparse.Namespace) -> int:
    """Write the suite; run it unless only that is wanted."""
    read = read_scenario(options.file, options.engine, options.port)
    print(read.describe(), flush=True)
    compiling = {name: getattr(options, name) for name in ("shape", "signature", "tolerance")}
    Selection.of(options.shape, options.signature)
    Tolerance.of(options.tolerance)
    if options.to_suite:
        write_suite(read, Path(options.to_suite), options.samples, compiling)
        print(f"Suite: {shown(Path(options.to_suite))}")
        return 0
    if options.engine == "serial":
        options.port = read.port
    elif read.engine == "serial":
        check_board(read.port, read.baudrate)
    options.results = options.results or str(project_of(Path(options.file)) / "results")
    suite = Path(options.results) / f"{Path(options.file).stem}.robot"
    with claimed(options.results):
        write_suite(read, suite, options.samples, compiling)
        return run_suites(options, [suite])
