# SPDX-License-Identifier: Apache-2.0
"""``./bench studio``: draw, change, run and save scenarios in a browser of this computer."""

from __future__ import annotations

import argparse
import webbrowser
from pathlib import Path

from springbok.cli.arguments import ANY_PORT, add_platform, use_platform, whole
from springbok.cli.running import choose_engine
from springbok.exploring.scenario_run import ENGINES, Settings
from springbok.support import coroutines
from springbok.support.errors import BenchError
from springbok.support.packages import provide
from springbok.support.places import project_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("scenario", nargs="?", metavar="SCENARIO", help="a scenario file, JSON or YAML")
    parser.add_argument(
        "--folder", metavar="FOLDER", help="where scenarios are opened and saved (default: SCENARIO's folder, or here)"
    )
    parser.add_argument(
        "--port", type=ANY_PORT, default=0, metavar="N", help="of the page, on 127.0.0.1 (default: a free one)"
    )
    parser.add_argument("--open", action="store_true", help="open the page in the default browser")
    add_scenario_settings(parser)


def add_scenario_settings(parser: argparse.ArgumentParser) -> None:
    """Add how scenarios are run."""
    add_platform(parser)
    parser.add_argument("--engine", choices=ENGINES, default="auto", help="what runs the chip (default: auto)")
    parser.add_argument("--data", metavar="PATH", help="archive of a data set that is not downloaded (Magic Wand)")
    parser.add_argument("--samples", type=whole(), metavar="N", help="how many samples a run infers (default: all)")
    parser.add_argument("--results", metavar="FOLDER", help="where logs and reports go (default: results)")


def settings_of(options: argparse.Namespace, *scenarios: Path) -> Settings:
    """How scenarios are run, by the options; what would stop every run is an error."""
    choose_engine(options.engine)
    if options.data and not Path(options.data).exists():
        raise BenchError(f"--data {options.data}: there is no such file.")
    use_platform(options)
    results = Path(options.results) if options.results else project_of(*scenarios) / "results"
    return Settings(results.resolve(), options.engine, options.platform, options.data, options.samples)


def run(options: argparse.Namespace) -> int:
    """Serve the page until Ctrl-C."""
    provide("studio", "it is the page's node editor and its server")
    from springbok.exploring.studio.server import Server

    scenario = Path(options.scenario) if options.scenario else None
    folder = Path(options.folder) if options.folder else scenario.parent if scenario else Path.cwd()
    if not folder.is_dir():
        raise BenchError(f"There is no folder {folder}.")
    if scenario and scenario.parent.resolve() != folder.resolve():
        raise BenchError(f"{scenario} is not in {folder}: leave --folder out, or name a scenario that is there.")
    server = Server(folder.resolve(), settings_of(options, *filter(None, [scenario])), options.port)
    try:
        if scenario:
            server.desk.open(scenario.name)

        def ready() -> None:
            print(f"Studio: {server.address}\nScenarios in {folder.resolve()}. Ctrl-C ends it.", flush=True)
            if options.open:
                webbrowser.open(server.address)

        coroutines.run(server.serve(ready))
    finally:
        server.close()
    return 0
