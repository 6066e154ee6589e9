# SPDX-License-Identifier: Apache-2.0
"""What would stop every test of a run, found before anything starts, so that it is said once."""

from __future__ import annotations

import argparse
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path

from springbok.compiler.importers import FORMATS
from springbok.link.link import Link
from springbok.measuring import metrics
from springbok.session import BOOT_LIMIT_SECONDS
from springbok.support.errors import BenchError, LinkError
from springbok.support.places import SUITES, command
from springbok.support.suggestions import did_you_mean

#: Endings of suites: Robot's own form, text around it, and JSON.
_SUITES = (".robot", ".rst", ".rest", ".txt", ".tsv", ".json", ".rbt")
_OTHER_SUITES = ("-F", "--ext", "--parse")  # options of Robot's with which other files are suites


def check_suites(suites: Sequence[Path], robot_options: Sequence[str]) -> None:
    """Check that each of ``suites`` is there and can be one. Raises `BenchError`."""
    for suite in suites:
        ending = suite.suffix.lower()
        if not suite.exists():
            own = f" The project's own suites are in {SUITES}." if SUITES.is_dir() else ""
            near = did_you_mean(suite.name, {path.name for path in suite.parent.glob("*")} - {suite.name})
            raise BenchError(f"There is no suite {suite}{near}.{own}")
        if ending in FORMATS:
            raise BenchError(
                f"{suite} is a model and no suite: a suite compiles and judges it, "
                f"'{command('compile', suite)}' tells what it takes."
            )
        if any(option.startswith(_OTHER_SUITES) for option in robot_options):
            continue
        if suite.is_dir() and not any(path.suffix in _SUITES[:2] for path in suite.rglob("*")):
            raise BenchError(f"There is no suite in the folder {suite}: a suite is a file that ends with .robot.")
        if not suite.is_dir() and (ending not in _SUITES or not suite.is_file()):
            raise BenchError(
                f"{suite} is no suite: a file that ends with .robot is meant, or a folder of such. Models and data are "
                "named in suites, by Compile Model and Load Data Set."
            )


def namesakes(suites: Sequence[Path], project: Path) -> list[Path]:
    """Suites of ``project`` that are none of ``suites``, nor in one of these folders, and called as one that is."""
    known, others = set(), []
    ran = [suite.resolve() for suite in suites]
    for folder, folders, names in os.walk(project.resolve()):
        folders[:] = [each for each in folders if not each.startswith((".", "__"))]
        for path in (Path(folder, name) for name in names if Path(name).suffix in _SUITES):
            if any(path.is_relative_to(each) for each in ran):
                known.add(path.stem)
            else:
                others.append(path)
    return sorted(path for path in others if path.stem in known | {each.stem for each in ran})


def check_inputs(options: argparse.Namespace, engine: str) -> None:
    """Check what the options of a run name. Raises `BenchError`."""
    if (engine == "serial") != bool(options.port):
        raise BenchError("--engine serial and --port belong together, for instance --port /dev/ttyUSB0.")
    if options.data and not Path(options.data).exists():
        raise BenchError(f"There is no archive {options.data}: --data names a file, or the folder that it holds.")
    if options.data and Path(options.data).is_file() and not tarfile.is_tarfile(options.data):
        raise BenchError(
            f"{options.data} is no archive: --data names the Magic Wand recordings (data.tar.gz), for suites that take "
            "them as ${DATA}. Other data are named in a suite, by Load Data Set."
        )
    if options.earlier:
        metrics.read(options.earlier)
    _check_baselines(options)


def _check_baselines(options: argparse.Namespace) -> None:
    if not options.baselines:
        return
    folder = Path(options.baselines)
    if not folder.exists() and not options.update_baselines:
        raise BenchError(
            f"There is no folder {folder} with baselines. --update-baselines --baselines {folder} makes it from what "
            "is measured."
        )
    for place in (folder, *folder.parents):
        if place.exists() and not place.is_dir():
            raise BenchError(f"--baselines {folder}: {place} is a file: name a folder.")


def check_board(port: str, baudrate: int = 115200) -> None:
    """Ask the board at ``port`` who it is. Raises `BenchError` if nothing answers."""
    try:
        with Link(port, baudrate=baudrate) as link:
            link.negotiate(timeout=BOOT_LIMIT_SECONDS)
    except LinkError as error:
        raise BenchError(
            f"No board answers at --port {port}, so nothing was run: {error}\nIs it powered and running the firmware?"
        ) from error
