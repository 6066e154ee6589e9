# SPDX-License-Identifier: Apache-2.0
"""``./bench keywords``: one page of all keywords, with an index and a search."""

from __future__ import annotations

import argparse
from pathlib import Path

from springbok.cli.arguments import add_results
from springbok.cli.text import shown
from springbok.report import keyword_page
from springbok.support.files import write_in_one_step
from springbok.support.progress import working


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add_results(parser, "where keywords.html goes", "--output")
    parser.add_argument("--markdown", metavar="FILE", help="write the list with a line each to this file instead")


def run(options: argparse.Namespace) -> int:
    """Write the page, or the list."""
    with working("Reading the keywords"):
        if options.markdown:
            path = write_in_one_step(Path(options.markdown), keyword_page.as_markdown())
        else:
            path = keyword_page.write(Path(options.output))
    print(shown(path))
    return 0
