# SPDX-License-Identifier: Apache-2.0
"""What would stop every test of a run, found before anything starts, so that it is said once."""

from __future__ import annotations

import argparse
import tarfile
from pathlib import Path

from springbok.link.link import Link
from springbok.measuring import metrics
from springbok.session import BOOT_LIMIT_SECONDS
from springbok.support.errors import BenchError, LinkError


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
    if engine == "serial":
        check_board(options.port)


def _check_baselines(options: argparse.Namespace) -> None:
    if not options.baselines:
        return
    folder = Path(options.baselines)
    if not folder.exists() and not options.update_baselines:
        raise BenchError(
            f"There is no folder {folder} with baselines. --update-baselines --baselines {folder} makes it from what "
            "is measured."
        )
    if folder.exists() and not folder.is_dir():
        raise BenchError(f"--baselines {folder} is a file: name a folder.")


def check_board(port: str, baudrate: int = 115200) -> None:
    """Ask the board at ``port`` who it is. Raises `BenchError` if nothing answers."""
    try:
        with Link(port, baudrate=baudrate) as link:
            link.negotiate(timeout=BOOT_LIMIT_SECONDS)
    except LinkError as error:
        raise BenchError(
            f"No board answers at --port {port}, so nothing was run: {error}\n"
            "Is it connected, powered and running the firmware, and does no other program use the port?"
        ) from error
