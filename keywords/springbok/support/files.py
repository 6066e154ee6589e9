# SPDX-License-Identifier: Apache-2.0
"""Files and folders that are written while others read, that a full disk stops, or that only last for a while."""

from __future__ import annotations

import errno
import fcntl
import glob
import itertools
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from springbok.support.errors import STORAGE_CAUSES, BenchError
from springbok.support.packages import cache_folder
from springbok.support.places import IS_CHECKOUT, ROOT
from springbok.support.supervisor import TEMPORARY_PREFIX

_numbers = itertools.count()
_REMOVALS, _REMOVAL_SECONDS = 40, 0.05
_OF_A_PLACE = (errno.EACCES, errno.EPERM, errno.ENOTDIR)  # which are told of what can't be read too


class StorageError(BenchError):
    """A file can't be written: the disk is full, read-only, or somebody else's."""


def storage_error(error: OSError, path: Path | str | None = None, remedy: str = "") -> StorageError:
    """What the error of an operating system means to who reads it, with the file it came at.

    >>> str(storage_error(OSError(errno.EROFS, "Read-only file system", "/a")))
    "/a can't be written: the file system is read-only."
    """
    where = path or error.filename or "A file"
    cause = STORAGE_CAUSES.get(error.errno, error.strerror or str(error))
    return StorageError(f"{where} can't be written: {cause}.{f' {remedy}' if remedy else ''}")


@contextmanager
def storage_errors(path: Path, remedy: str = "") -> Iterator[None]:
    """Within the context a disk that is full, read-only or somebody else's is a `StorageError` that names a file.

    What can't be read elsewhere than below ``path`` is none.
    """
    try:
        yield
    except OSError as error:
        where = Path(os.fsdecode(error.filename or path))
        is_here = where.is_relative_to(path) or path.is_relative_to(where)  # a folder above it may lack too
        if error.errno not in STORAGE_CAUSES or (error.errno in _OF_A_PLACE and not is_here):
            raise
        raise storage_error(error, error.filename or path, remedy) from error


def write_in_one_step(path: Path, content: str | bytes) -> Path:
    """Write ``content``, text as UTF-8, and the folders above it, so that a reader never sees half of it.

    A symbolic link stays one: what it leads to is written. Returns ``path``. Raises `StorageError`; nothing is left of
    the file then, and an older one is as it was.

    Example::

        write_in_one_step(results / "metrics.json", json.dumps(document))
    """
    temporary = None
    try:
        file_itself = Path(os.path.realpath(path)) if path.is_symlink() else path
        file_itself.parent.mkdir(parents=True, exist_ok=True)
        sweep(file_itself.parent, f".{glob.escape(file_itself.name)}.*")
        temporary, descriptor = _locked(lambda: _new_file(file_itself))
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            temporary.replace(file_itself)
    except OSError as error:
        raise storage_error(error, path) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
    return path


def _new_file(path: Path) -> tuple[Path, int]:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{next(_numbers)}")
    return temporary, os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)


@contextmanager
def temporary_folder(prefix: str = TEMPORARY_PREFIX, place: Path | None = None) -> Iterator[Path]:
    """A folder that is removed at the end; also by the next who makes one there, if this process is killed before."""
    place = Path(place or tempfile.gettempdir())
    with storage_errors(place):
        sweep(place, f"{glob.escape(prefix)}*")
        folder, lock = _locked(lambda: _new_folder(prefix, place))
    try:
        yield folder
    finally:
        _remove(folder)
        os.close(lock)


def _remove(folder: Path) -> None:
    """Remove a folder in which a process that is just ending may still write."""
    for _ in range(_REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(_REMOVAL_SECONDS)


def _new_folder(prefix: str, place: Path) -> tuple[Path, int]:
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    return folder, os.open(folder, os.O_RDONLY)


def _locked(make: Callable[[], tuple[Path, int]]) -> tuple[Path, int]:
    """What ``make`` gives, a path and a descriptor of it, once it is there and locked: who sweeps may come between."""
    while True:
        with suppress(FileNotFoundError):
            path, descriptor = make()
            with suppress(OSError):  # a file system without locks
                fcntl.flock(descriptor, fcntl.LOCK_EX)  # who looks at it or sweeps has it for a moment
            if path.exists():
                return path, descriptor
            os.close(descriptor)


def sweep(place: Path, pattern: str) -> None:
    """Remove what processes that are gone have left: who lives holds a lock on what is its own."""
    for path in place.glob(pattern):
        with suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()
            finally:
                os.close(descriptor)


def wait_for_others(place: Path, pattern: str) -> None:
    """Wait until nobody holds a lock on what matches ``pattern`` in ``place``. A lock goes with its holder."""
    for path in place.glob(pattern):
        with suppress(OSError):  # it is gone, or nothing is locked there
            descriptor = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH)
            finally:
                os.close(descriptor)


def build_folder(root: Path = ROOT) -> Path:
    """Where what is built goes: ``build/`` of the checkout; where that can't be written, the user's cache.

    An installed package has no checkout: it builds in the user's cache.
    """
    place = root / "build"
    if (IS_CHECKOUT or root != ROOT) and os.access(place if place.exists() else root, os.W_OK):
        return place
    return cache_folder(root) / "build"
