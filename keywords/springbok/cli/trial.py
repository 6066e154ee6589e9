# SPDX-License-Identifier: Apache-2.0
"""``./bench trial``: list the long trials and benchmarks, or run one with its own options."""

from __future__ import annotations

import argparse

from springbok import trials
from springbok.cli.text import print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("name", nargs="?", metavar="NAME", help="the trial")
    parser.add_argument("options", nargs=argparse.REMAINDER, metavar="...", help="its own options (try --help)")


def run(options: argparse.Namespace) -> int:
    """Run the trial that is named."""
    if options.name is None:
        print_table([(each.name, each.line) for each in trials.TRIALS], left=2)
        return 0
    return trials.run(options.name, options.options)
