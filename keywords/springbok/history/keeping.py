# SPDX-License-Identifier: Apache-2.0
"""Keeps a run: in its own folder, and in the history; what the history can't take now waits beside it.

A record is a file before it is in the store, and the file goes when the store has it. So a run is lost neither when
the server is away or the disk full, nor when the process is killed between.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from springbok.history import record
from springbok.history.record import Record, RecordError
from springbok.support import run_record
from springbok.support.errors import BenchError
from springbok.support.files import write_in_one_step
from springbok.support.places import command

#: Names the store for all commands: a file, a URL, or `NONE`.
VARIABLE = "SPRINGBOK_HISTORY"
NONE = "none"
FILE_NAME = "history.db"
_RESULTS = "results"
_WAITING = ".waiting"


@dataclass(frozen=True)
class Kept:
    """What became of a run: its number in the store at ``place``, or the ``problem`` that kept it out."""

    number: int | None
    place: str
    problem: str = ""

    def line(self) -> str:
        """For the terminal, behind the other results of a run."""
        return f"History: {self.problem}" if self.problem else f"History: run {self.number} in {self.place}"


def place_for(folder: Path, given: str | None = None) -> str | None:
    """The store of results in ``folder``: as ``given``, or as ``SPRINGBOK_HISTORY`` says, or beside the results.

    Beside them is in the folder ``results`` that they are in, or in their own. None where there is to be no history.

    >>> place_for(Path("/mine/results/vlen512"))
    '/mine/results/history.db'
    """
    named = given or os.environ.get(VARIABLE)
    if named:
        return None if named.lower() == NONE else named
    return str(_file_beside(folder))


@contextmanager
def by_whoever_started() -> Iterator[None]:
    """Within the context, what this process starts leaves no record of its own."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = NONE
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before


def keep(run: Record, folder: Path, place: str) -> Kept:
    """Write ``run.json`` into the run's folder, and add the run to the store at ``place``, with all that wait there.

    Nothing that goes wrong is an error: the run has its results.
    """
    with suppress(BenchError):  # where there is no room for files, the store may be elsewhere
        run_record.write(folder, run.as_json(documents=False))
    return add(run, folder, place, f"When that is mended: '{command('history', 'add', folder)}'")


def add(run: Record, folder: Path, place: str, remedy: str = "") -> Kept:
    """The same, of a run whose results are not in ``folder``: beside that it only waits if need be."""
    name, waits = place, None
    try:
        from springbok.history.database import shown_place

        name = shown_place(place)
        with suppress(BenchError):
            waits = write_in_one_step(_waiting_file(folder, place, run), run.as_json())
        return Kept(add_waiting(folder, place, run), name)
    except (BenchError, ImportError, OSError) as error:
        later = f"It waits in {waits.parent}, and goes in with the next run that can be added" if waits else remedy
        return Kept(None, name, f"this run is not in it yet. {error}{f' {later}.' if later else ''}")


def add_waiting(folder: Path, place: str, own: Record | None = None) -> int | None:
    """Add the runs that wait for ``place`` beside ``folder``, and ``own``; its number. Raises `HistoryError`."""
    from springbok.history.store import opened

    number = None
    with opened(place) as store:
        for path in sorted(_waiting_folder(folder, place).glob("*.json")):
            with suppress(FileNotFoundError):  # another process has been here
                try:
                    waiting = record.read_json(path.read_text(encoding="utf-8"))
                except (RecordError, UnicodeDecodeError):
                    path.replace(path.with_suffix(".broken"))
                    continue
                added = store.add(waiting)
                if own is not None and waiting.uid == own.uid:
                    number = added
                path.unlink()
        if own is not None and number is None:
            number = store.add(own)
    with suppress(OSError):
        _waiting_folder(folder, place).rmdir()
    return number


def take_in(folder: Path, place: str) -> None:
    """Add what waits, if anything does and it can be added now."""
    with suppress(BenchError, OSError):
        if _waiting_folder(folder, place).is_dir():
            add_waiting(folder, place)


def _waiting_folder(folder: Path, place: str) -> Path:
    """Where runs wait: beside the file, or beside the results where the store is a server."""
    from springbok.history.database import is_url

    if not is_url(place):
        path = Path(place).absolute()
        return path.with_name(path.name + _WAITING)
    of_server = hashlib.sha256(place.encode()).hexdigest()[:8]
    return _file_beside(folder).with_name(f"{FILE_NAME}-{of_server}{_WAITING}")


def _file_beside(folder: Path) -> Path:
    folder = folder.absolute()
    home = next((each for each in (folder, *folder.parents) if each.name == _RESULTS), folder)
    return home / FILE_NAME


def _waiting_file(folder: Path, place: str, run: Record) -> Path:
    return _waiting_folder(folder, place) / f"{run.started:%Y%m%dT%H%M%S}-{run.uid}.json"
