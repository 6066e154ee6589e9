# SPDX-License-Identifier: Apache-2.0
"""A run's folder of results: who uses it, and where Robot's options say that it and the files in it are."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TextIO

from springbok.support.errors import BenchError
from springbok.support.files import storage_error
from springbok.support.places import PROGRAM

LOCK_NAME = ".lock"
NONE = "NONE"

# Folders that this process has claimed, by path: a command may call another one of the same folder.
_held: dict[Path, TextIO] = {}


class ResultsInUse(BenchError):
    """Another process writes its results to the same folder."""


@contextmanager
def claimed(folder: Path | str, option: str = "--results FOLDER") -> Iterator[None]:
    """Keeps the folder, which is made if it is not there, for this process; a lock that ends with it, however it does.
    A folder that was made goes again if nothing was written there.

    ``option`` is what names another folder. Raises `ResultsInUse` with who has the folder, and
    `springbok.support.files.StorageError`.

    >>> with claimed("results"):  # doctest: +SKIP
    ...     write_reports()
    """
    folder = Path(folder).resolve()
    if folder in _held:
        yield
        return
    path = folder / LOCK_NAME
    for place in (folder, *folder.parents):
        if place.exists() and not place.is_dir():
            raise BenchError(f"The results can't go to {folder}: {place} is a file. Name a folder: {option}.")
    made = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = _lock(path, option)
    except OSError as error:
        raise storage_error(error, folder, f"Give the results another place: {option}.") from error
    _held[folder] = file
    try:
        yield
    finally:
        del _held[folder]
        with suppress(OSError):
            path.unlink()
            for place in made:
                place.rmdir()  # fails where something was written
        file.close()


def held_locks() -> list[int]:
    """Descriptors of the locks of this process: a child that inherits them holds the folders too."""
    return [file.fileno() for file in _held.values()]


def _lock(path: Path, option: str) -> TextIO:
    while True:
        file = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read()
            file.close()
            remedy = f"Wait for its end, or give this one a folder of its own: {option}."
            raise ResultsInUse(f"{_holder(path.parent, holder)} {remedy}") from None
        except OSError:
            pass  # a file system without locks: nobody can be kept out
        with suppress(FileNotFoundError):
            if os.fstat(file.fileno()).st_ino == path.stat().st_ino:  # else its last holder has just removed it
                break
        file.close()
    program = Path(sys.argv[0])
    is_bench = program.name == "__main__.py" and program.parent.name == "cli"
    command = shlex.join([PROGRAM if is_bench else program.name, *sys.argv[1:]])
    since = datetime.now().astimezone().isoformat(" ", "seconds")
    file.truncate(0)
    file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname(), "command": command, "since": since}))
    file.flush()
    return file


def _holder(folder: Path, content: str) -> str:
    try:
        known = json.loads(content)
        where = "" if known["host"] == socket.gethostname() else f" on {known['host']}"
        return (
            f"The results folder {folder} is in use by process {known['pid']}{where}, since {known['since']}: "
            f"{known['command']}."
        )
    except (ValueError, LookupError, TypeError):  # it has only just got it
        return f"The results folder {folder} is in use by another process."


@dataclass(frozen=True)
class Outputs:
    """Where Robot Framework puts what a run gives; None for what its options switch off. A dry run runs nothing."""

    folder: Path
    output: Path | None
    log: Path | None
    xunit: Path | None
    have_times: bool = False
    is_dry: bool = False

    @classmethod
    def usual(cls, folder: Path) -> Outputs:
        """Where a run of ``folder`` puts them when no option says otherwise."""
        return cls(folder, *(folder / name for name in ("output.xml", "log.html", "xunit.xml")))

    def log_there(self) -> Path | None:
        """The log, if this run has written one."""
        return self._there(self.log)

    def xunit_there(self) -> Path | None:
        """The results for a CI server, if this run has written them."""
        return self._there(self.xunit)

    def output_there(self) -> Path | None:
        """Robot's own output, if this run has written it."""
        return self._there(self.output)

    def missing(self) -> list[str]:
        """A sentence on each file that people look for and that Robot's options left out."""
        if self.output is None:
            return [
                "--output NONE: without Robot's output.xml there are no log.html, xunit.xml and summary.md, and "
                "neither the reports nor the history know how the tests ended."
            ]
        return [f"--log {NONE}: there is no log.html."] if self.log is None else []

    def _there(self, path: Path | None) -> Path | None:
        if path is None or self.output is None:
            return None
        named = f"{path.stem}-*{path.suffix}" if self.have_times else path.name
        found = [each for each in path.parent.glob(named) if each.is_file()]
        return max(found, key=lambda each: each.stat().st_mtime, default=None)


def outputs(options: Sequence[str], folder: Path) -> Outputs:
    """Where Robot's own command line ``options`` put the files of a run whose folder is ``folder`` unless they say so.

    >>> outputs(["--outputdir", "/tmp/a", "--log", "NONE"], Path("results")).folder.as_posix()
    '/tmp/a'
    """
    from robot.errors import DataError, Information
    from robot.run import RobotFramework

    given = {}
    with suppress(DataError, Information):  # Robot says itself what is wrong with them
        given, _ = RobotFramework().parse_arguments([*options, "suite.robot"])
    place = Path(given.get("outputdir") or folder).absolute()

    def path(option: str, default: str) -> Path | None:
        name = str(given.get(option) or default)
        return None if name.upper() == NONE else place / (name if Path(name).suffix else name + Path(default).suffix)

    return Outputs(
        place,
        path("output", "output.xml"),
        path("log", "log.html"),
        path("xunit", "xunit.xml"),
        bool(given.get("timestampoutputs")),
        bool(given.get("dryrun")),
    )
