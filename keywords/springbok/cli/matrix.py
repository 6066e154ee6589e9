# SPDX-License-Identifier: Apache-2.0
"""``./bench matrix``: models by chips and vector lengths, as static files: a page, Markdown, JSON, and badges."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from springbok import report as reports
from springbok.cli.arguments import OUTPUT, add_history, add_results, results_here
from springbok.cli.text import print_table, shown
from springbok.history import keeping
from springbok.history.database import HistoryError
from springbok.history.record import FAILED, METRICS_FILE
from springbok.history.store import Filter, opened
from springbok.measuring import derived, metrics, recorded
from springbok.report.matrix import GOOD, replaced
from springbok.support.errors import ReportError
from springbok.support.escaping import visible
from springbok.support.places import command
from springbok.support.results_folder import claimed

#: Of a history: what was measured before these runs is of old.
LAST = 200

#: Of a run that failed, so many failures are named.
MOST_FAILURES = 3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "results",
        nargs="*",
        metavar="RESULT",
        help="folders of results, or of such folders, or metrics.json files (default: the newest of the history)",
    )
    parser.add_argument("--branch", default="", metavar="BRANCH", help="of the history: what ran on this branch")
    add_history(parser)
    add_results(parser, "where matrix.html, matrix.md, matrix.json and badges/ go", "--output")


def run(options: argparse.Namespace) -> int:
    """Write the matrix, and print it; 1 where runs of the history are left out, for they were changed there."""
    documents, left_out = (_given(options.results), []) if options.results else _of_history(options)
    status = int(bool(left_out))  # runs that are not as they were
    with claimed(options.output, OUTPUT), metrics.telling_of(documents):
        contents, names = [document for _, document in documents], [str(place) for place, _ in documents]
        results = zip(names, contents, strict=True)
        left_out += [f"{name}: {sentence}." for name, content in results for sentence in recorded.left_out(content)]
        if options.results:  # of a history, older ones are meant to go
            left_out += [*replaced(contents, names), *_failed_ones(documents)]
        cells, paths = reports.write_matrix(contents, options.output, left_out)
    rows = []
    for cell in cells:
        state, count = "runs" if cell.state == GOOD else cell.state, derived.shown(cell.instructions, "count")
        rows.append((cell.model, cell.column.title, state, count))
    print_table([("model", "chip", "state", "instructions"), *rows], left=3)
    print()
    for sentence in left_out:
        print(visible(sentence))
    for path in paths[:3]:
        print(shown(path))
    print(f"{shown(paths[3].parent)}: {len(paths) - 3} badges")
    return status


def _given(results: Sequence[str]) -> list[tuple[Path, dict[str, Any]]]:
    """Where each document is, and the document."""
    found = []
    for path in map(Path, results):
        if path.is_dir() and not (path / METRICS_FILE).exists():
            below = sorted(path.rglob(METRICS_FILE))
            if not below:
                raise ReportError(f"There are no metrics in {path} or below. '{command('run')}' writes them.")
            found += [(each, metrics.read(each)) for each in below]
        else:
            found.append((path, metrics.read(path)))
    return found


def _failed_ones(documents: Sequence[tuple[Path, dict[str, Any]]]) -> list[str]:
    """A sentence on each run that failed: what it measured is shown all the same."""
    found = []
    for place, document in documents:
        try:
            lead = reports.read_lead(place if place.is_dir() else place.parent, document)
        except ReportError as error:
            found.append(f"{place}: whether the run has failed is unknown. {error}")
            continue
        names = [name for name, _ in lead.failures if lead.verdict == FAILED]
        more = f" and {len(names) - MOST_FAILURES} more" if len(names) > MOST_FAILURES else ""
        if names:
            found.append(f"{place}: the run failed: {'; '.join(names[:MOST_FAILURES])}{more}.")
    return found


def _of_history(options: argparse.Namespace) -> tuple[list[tuple[object, dict[str, Any]]], list[str]]:
    """What the newest runs measured, the oldest first, with their numbers; and of which it is left out, and why."""
    place = keeping.place_for(results_here(), options.history)
    if place is None:
        raise HistoryError("Name the results: the history is switched off.")
    with opened(place, create=False) as store:
        runs = store.runs(Filter(options.branch, last=LAST))
        changed = store.changed(runs)
        texts = [
            (f"run {each.number}", store.documents(each.number).get(METRICS_FILE))
            for each in runs
            if each.number not in changed
        ]
    return [(place, json.loads(text)) for place, text in texts if text], [f"{each}." for each in changed.values()]
