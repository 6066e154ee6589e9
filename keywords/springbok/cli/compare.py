# SPDX-License-Identifier: Apache-2.0
"""``./bench compare``: several results side by side, as a page, as Markdown, and as a table here."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from springbok import report as reports
from springbok.cli.arguments import OUTPUT, add_results
from springbok.cli.text import print_table, shown
from springbok.measuring import metrics
from springbok.measuring.recorded import left_out
from springbok.support.errors import ReportError
from springbok.support.escaping import visible
from springbok.support.places import command
from springbok.support.progress import working
from springbok.support.results_folder import claimed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("results", nargs="+", metavar="RESULT", help="folders or metrics.json files")
    add_results(parser, "where compare.html goes", "--output")


def run(options: argparse.Namespace) -> int:
    """Write the comparison and print its table."""
    if len(options.results) == 1:
        raise ReportError(
            f"There is nothing to compare {options.results[0]} with: name two results or more. "
            f"'{command('report', options.results[0])}' shows one."
        )
    runs = [
        reports.Run(label, metrics.read(path), reports.origin_text(path if path.is_dir() else path.parent))
        for label, path in _labelled(options.results)
    ]
    told = metrics.telling_of([(run.label, run.document) for run in runs])
    with claimed(options.output, OUTPUT), working("Comparing the results"), told:
        figure, paths = reports.write_comparison(runs, options.output)
        changed = reports.counterparts_table(reports.configurations(runs))
    for each in (changed, figure):
        titles = [column.title for column in each.columns]
        left = 3 if each is changed else 1
        print_table([titles, *([column.shown(row) for column in each.columns] for row in each.rows)], left=left)
        print(f"\n{each.note}\n")
    for each in runs:
        for sentence in left_out(each.document):
            print(f"Left out of {visible(each.label)}: {sentence}.\n")
    for path in paths:
        print(shown(path))
    return 0


def _labelled(results: Sequence[str]) -> list[tuple[str, Path]]:
    """Name each result by its folder, or by its whole path where folders have the same name."""
    paths = [Path(each) for each in results]
    folders = [(path if path.is_dir() else path.parent).resolve() for path in paths]
    names = [folder.name for folder in folders]
    return [(name if names.count(name) == 1 else str(path), path) for name, path in zip(names, paths, strict=True)]
