# SPDX-License-Identifier: Apache-2.0
"""``./bench pipeline-manager``: scenarios in Antmicro's Pipeline Manager, as its files and behind its buttons."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from springbok.cli.arguments import PORT
from springbok.cli.studio import add_scenario_settings, settings_of
from springbok.cli.text import shown
from springbok.exploring.pipeline_manager.application import connect
from springbok.exploring.pipeline_manager.format import dataflow_of, graph_of_dataflow, specification
from springbok.exploring.scenario_file import parse, read_content
from springbok.exploring.scenario_graph import document_text, graph_of
from springbok.support import coroutines
from springbok.support.errors import BenchError
from springbok.support.files import write_in_one_step

ACTIONS = ("connect", "specification", "export", "import")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "action",
        choices=ACTIONS,
        help="connect: validate and run what is drawn there; specification: write the blocks for it; export: a "
        "scenario as its graph; import: its graph as a scenario",
    )
    parser.add_argument("files", nargs="*", metavar="FILE", help="of export and import: what is read, what is written")
    parser.add_argument("--host", default="127.0.0.1", help="of connect: where it runs (default: this computer)")
    parser.add_argument(
        "--port", type=PORT, default=9000, metavar="N", help="of connect: its port for us (default: 9000)"
    )
    parser.add_argument("--folder", metavar="FOLDER", help="of connect: what paths are relative to (default: here)")
    add_scenario_settings(parser)


def run(options: argparse.Namespace) -> int:
    """0 when the files are written; connect goes on until Ctrl-C."""
    wanted = {"connect": (), "specification": ("FILE.json",), "export": ("SCENARIO", "GRAPH.json")}
    names = wanted.get(options.action, ("GRAPH.json", "SCENARIO"))
    if len(options.files) != len(names):
        raise BenchError(f"pipeline-manager {options.action} takes {' '.join(names) or 'no file'}.")
    files = [Path(file) for file in options.files]
    if options.action == "connect":
        return _connect(options)
    if options.action == "specification":
        content = specification()
    elif options.action == "export":
        content = dataflow_of(graph_of(parse(read_content(files[0]), files[0])), files[0].stem)
    else:
        document = graph_of_dataflow(parse(read_content(files[0]), Path("graph.json"))).document()
        print(f"Scenario: {shown(write_in_one_step(files[1], document_text(document, files[1])))}")
        return 0
    print(f"Written: {shown(write_in_one_step(files[-1], json.dumps(content, indent=2, ensure_ascii=False)))}")
    return 0


def _connect(options: argparse.Namespace) -> int:
    folder = Path(options.folder) if options.folder else Path.cwd()
    if not folder.is_dir():
        raise BenchError(f"There is no folder {folder}.")
    settings = settings_of(options)
    coroutines.run(connect(options.host, options.port, folder, settings, lambda text: print(text, flush=True)))
    return 0
