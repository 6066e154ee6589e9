# SPDX-License-Identifier: Apache-2.0
"""``./bench platform``: write what follows from a chip's description: Renode's files, C header, linker script."""

from __future__ import annotations

import argparse
from pathlib import Path

from springbok.chips import sources
from springbok.cli.arguments import add_platform, use_platform
from springbok.cli.text import shown
from springbok.engines import renode_platform
from springbok.support.errors import BenchError, EngineError
from springbok.support.files import storage_errors, write_in_one_step


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("folder", metavar="FOLDER", help="where the files go")
    add_platform(parser)


def run(options: argparse.Namespace) -> int:
    """Write the files; 1 when Renode has no model of a device."""
    chip, folder = use_platform(options), Path(options.folder)
    if folder.exists() and not folder.is_dir():
        raise BenchError(f"{folder} is a file: name the folder that the files go to.")
    files = {f"{chip.name}.h": sources.header(chip), f"{chip.name}.ld": sources.linker_script(chip)}
    missing = ""
    try:
        files[f"{chip.name}.repl"] = renode_platform.repl(chip)
        files[f"{chip.name}.resc"] = renode_platform.resc(chip, f"$ORIGIN/{chip.name}.repl")
        files |= renode_platform.beside(chip)
    except EngineError as error:
        missing = str(error)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            write_in_one_step(folder / name, content)
            print(shown(folder / name))
    if missing:
        print(missing)
    return int(bool(missing))
