# SPDX-License-Identifier: Apache-2.0
"""``./bench report``: make the reports of results anew, beside them."""

from __future__ import annotations

import argparse
from pathlib import Path

from springbok import report as reports
from springbok.cli.arguments import results_here
from springbok.cli.text import shown
from springbok.exploring import sweep
from springbok.gate import verdicts
from springbok.measuring import metrics
from springbok.support.places import command
from springbok.support.progress import working
from springbok.support.results_folder import Outputs, claimed

EARLIER = "earlier results: what changed since them is shown"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "results", nargs="*", metavar="RESULT", default=[str(results_here())], help="folders or metrics.json files"
    )
    parser.add_argument("--earlier", metavar="RESULT", help=EARLIER)


def run(options: argparse.Namespace) -> int:
    """Write the pages of each result."""
    for results in map(Path, options.results):
        metrics.read(results)  # what is not there is said before its folder is made
        folder = results if results.is_dir() else results.parent
        with claimed(folder, f"'{command('report', 'COPY')}', where COPY is a copy of the results"):
            with working(f"Making the reports of {folder}"):
                paths = write_reports(results, folder, options.earlier)
            for path in paths:
                print(shown(path))
    return 0


def write_reports(results: Path, folder: Path, earlier: str | None, files: Outputs | None = None) -> list[Path]:
    """Write report.html, report.md and metrics.csv of results; ``earlier`` are results to show the change since.

    ``files`` is where Robot put its own, beside the results under their usual names unless it is given. Of a dry run
    there are no metrics, and the reports say so.
    """
    home = results if results.is_dir() else results.parent
    if "dry_run" in verdicts.read(home):
        nothing: dict = {"models": []}
        return reports.write_reports(
            nothing, folder, first=_first_figures(home), leading=reports.read_lead(home, None, files)
        )
    before = reports.read_earlier(earlier) if earlier else None
    document = metrics.read(results)
    leading = reports.read_lead(home, document, files)
    with metrics.telling_of([(results, document), *([(earlier, before.document)] if before else [])]):
        return reports.write_reports(document, folder, before, _first_figures(home), leading)


def write_summary(results: Path, xunit: Path, earlier: str | None = None) -> Path:
    """Write summary.md of a run, for a CI server's job page; of one that measured nothing too."""
    document = metrics.read(results) if (results / "metrics.json").exists() else None
    before = reports.read_earlier(earlier) if earlier and document else None
    with metrics.telling_of([(results, document)] if document else []):
        is_dry = "dry_run" in verdicts.read(results)
        return reports.write_summary(results, document, _first_figures(results), xunit, is_dry, before)


def _first_figures(folder: Path) -> list:
    """What the gate and a sweep in this folder have to say."""
    figures = reports.gate_figures(verdicts.known(folder))
    if swept := sweep.read(folder):
        figures += reports.sweep_figures(swept["rows"], objective=swept.get("objective", "instructions"))
    return figures
