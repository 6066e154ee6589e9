# SPDX-License-Identifier: Apache-2.0
"""``./bench init``: write a small repository of one's own, which runs at once."""

from __future__ import annotations

import argparse
from pathlib import Path

from springbok import starter
from springbok.cli.text import shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("folder", metavar="FOLDER", help="where it is written; nothing that is there is overwritten")


def run(options: argparse.Namespace) -> int:
    """Write it and name its files."""
    for path in starter.create(Path(options.folder)):
        print(shown(path))
    return 0
