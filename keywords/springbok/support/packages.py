# SPDX-License-Identifier: Apache-2.0
"""The Python packages that this one works with: found where another Python runs the keywords, and brought when needed.

``./bench`` installs what a command needs into ``.venv``. Where another Python of the same version runs the keywords
(renode-test brings its own), what it lacks is taken from there; what it has, Robot Framework above all, goes first.
Packages that only some models or commands need are groups of ``requirements.txt``: see `provide`.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib
import importlib.metadata
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from springbok.support import pins
from springbok.support.errors import STORAGE_CAUSES, BenchError, no_room
from springbok.support.places import IS_CHECKOUT, REQUIREMENTS, ROOT

#: Set in the environment of a process that needs nothing but the standard library and what is in its path.
ALONE = "SPRINGBOK_ALONE"
#: What to do where it can't be written.
OTHER_CACHE = "XDG_CACHE_HOME=/a/folder names another place for what is built and fetched."
_NO_ANSWER = "after connection broken by"  # pip, before it tries once more
_MOST_VERSIONS = 5  # of a package that are told
NEEDED = ("numpy", "serial", "construct")  # without these no library of this project can be imported


class NoCache(BenchError):
    """There is no place for what is built and fetched."""


def cache_folder(root: Path = ROOT) -> Path:
    """Where things go that a checkout which can't be written can't hold: a folder of the user's cache.

    That is ``$XDG_CACHE_HOME``, if it is an absolute path as it must be, or ``~/.cache``. The launcher has the same
    rule. An installed package has no checkout: everything that it builds or fetches is there. Raises `NoCache` for a
    user without a home.
    """
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        caches = (given if given.is_absolute() else Path.home() / ".cache") / "springbok-bench"
    except RuntimeError:
        raise NoCache(
            "This user has no home, where what is built and fetched would be kept: XDG_CACHE_HOME=/a/folder names a "
            "place for it."
        ) from None
    return caches / hashlib.sha256(str(root).encode()).hexdigest()[:12] if IS_CHECKOUT or root != ROOT else caches


def make_available(root: Path = ROOT) -> None:
    """Append this package and those of ``.venv`` to the import path, of programs started from here too.

    Robot has a library's folder on the path only while it imports the library. Raises ImportError that says what to do
    when packages are missing and ``.venv`` does not have them for this Python.
    """
    if os.environ.get(ALONE):
        return
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    known = [root / "keywords", root / ".venv" / "lib" / version / "site-packages"]
    with suppress(NoCache):  # much needs none
        known += [cache_folder(root) / ".venv" / "lib" / version / "site-packages", _brought(root)]
    for folder in filter(Path.is_dir, known):
        _append(folder)
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ImportError(
            f"springbok-bench misses the Python packages {', '.join(missing)} in {sys.executable} ({version}). Start "
            f"{root / 'bench'} run once with this Python version, which installs them into .venv, or install them: "
            f"{sys.executable} -m pip install --no-deps -r {root / 'requirements.txt'}"
        )


def _append(folder: Path) -> None:
    if str(folder) not in sys.path[1:]:  # what Robot puts first, it takes away again
        sys.path.append(str(folder))
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if str(folder) not in known:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (*known, str(folder))))


def _brought(root: Path = ROOT) -> Path:
    """Where `provide` installs for a Python that is not the project's own; named after version and pins."""
    pinned = REQUIREMENTS.read_bytes() if REQUIREMENTS.is_file() else b""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}-{hashlib.sha256(pinned).hexdigest()[:8]}"
    return cache_folder(root) / "packages" / name


def _tell(text: str) -> None:
    """Say it at the terminal, past Robot, which takes what keywords print."""
    if sys.__stderr__ is not None:
        sys.__stderr__.write(text + "\n")
        sys.__stderr__.flush()


def lacking(name: str) -> tuple[str, ...]:
    """The packages of the group ``name`` that this Python has not, as pip's requirements."""
    from packaging.requirements import Requirement

    group = pins.read(REQUIREMENTS.read_text(encoding="utf-8"))[name]
    lacked = []
    for line in group.lines:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate():
            try:
                importlib.metadata.version(requirement.name)
            except importlib.metadata.PackageNotFoundError:
                lacked.append(line)
    return tuple(lacked)


def version(package: str) -> str:
    """The version of a package that this Python has, or the pinned one that it would get.

    Raises PackageNotFoundError for a package that is neither there nor pinned.
    """
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        pinned = re.search(rf"^{re.escape(package)}==([\w.]+)", REQUIREMENTS.read_text(encoding="utf-8"), re.MULTILINE)
        if pinned is None:
            raise
        return pinned[1]


def provide(name: str, because: str, tell: Callable[[str], None] = _tell) -> None:
    """Installs the group ``name`` of ``requirements.txt`` if this Python lacks it, and says so.

    ``because`` tells what needs it. What is there in another version is left alone. Raises ImportError with pip's last
    words and what to do.

    >>> provide("base", "every command needs it")
    """
    lacked = lacking(name)
    if not lacked:
        return
    group = pins.read(REQUIREMENTS.read_text(encoding="utf-8"))[name]
    own = Path(sys.prefix).resolve() in ((root / ".venv").resolve() for root in (ROOT, cache_folder()))
    bring(lacked, None if own else _brought(), f"up to {group.size}: {group.title} ({because})", (), tell)
    if not own:
        _append(_brought())
    importlib.invalidate_caches()


def _counted(lines: Sequence[str]) -> str:
    return "a package" if len(lines) == 1 else f"{len(lines)} packages"


def bring(
    lines: Sequence[str],
    place: Path | None,
    what: str,
    options: Sequence[str] = (),
    tell: Callable[[str], None] = _tell,
    shows_progress: bool = False,
) -> None:
    """Installs pip's requirements ``lines`` into the folder ``place``, or this Python's own; at most once.

    ``what`` is for the line that says so, ``options`` are pip's, whose own progress can be shown. A folder that was not
    there appears in one step, whole. Raises ImportError as `provide` does.
    """

    def command(target: Path | None) -> list[str]:
        pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--disable-pip-version-check", "--no-input"]
        pip += ["--progress-bar", "on" if shows_progress else "off"]
        return [*pip, *(["--upgrade", "--target", str(target)] if target else []), *options, *lines]

    stamp = hashlib.sha256("\n".join([*lines, str(place), *options]).encode()).hexdigest()[:16]
    folder = place.parent if place else Path(sys.prefix)
    done = folder / f".{place.name if place else 'packages'}-{stamp}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / ".installing.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                tell(f"Waiting for another process, which installs into {folder} ...")
                fcntl.flock(lock, fcntl.LOCK_EX)
            if place and done.exists() and place.is_dir():
                return
            tell(f"Installing {_counted(lines)} once{f' into {place}' if place else ''}, {what} ...")
            making = place.with_name(f".making-{place.name}") if place and not place.exists() else None
            temporary = folder / f".temporary-{stamp}"  # pip's: on the same disk, and found again by who comes next
            unfinished = [each for each in (making, temporary) if each]
            _remove(unfinished)  # of one who was killed
            try:
                temporary.mkdir()
                _run_pip(command(making or place), command(place), shows_progress, folder, temporary)
                if making:
                    making.rename(place)
            finally:
                _remove(unfinished)
            done.touch()
    except OSError as error:
        cause = STORAGE_CAUSES.get(error.errno, error.strerror)
        raise ImportError(f"{error.filename or folder} can't be written: {cause}. {OTHER_CACHE}") from error


def _remove(folders: Sequence[Path]) -> None:
    for each in folders:
        shutil.rmtree(each, ignore_errors=True)


def _run_pip(command: Sequence[str], told: Sequence[str], shows_progress: bool, folder: Path, temporary: Path) -> None:
    """Raises ImportError with pip's last words, and the command as it is ``told`` to people.

    ``folder`` is where it installs; its own files, of which it removes none when it is killed, go to ``temporary``.
    """
    said = {"stdout": None if shows_progress else subprocess.PIPE, "stderr": subprocess.PIPE}
    said["env"] = os.environ | {"TMPDIR": str(temporary)}
    ended = subprocess.run(command, stdin=subprocess.DEVNULL, text=True, check=False, **said)
    if ended.returncode:
        why = _why(ended.stderr, folder)
        if why is None:
            last = " ".join((ended.stderr.strip() or (ended.stdout or "").strip()).splitlines()[-2:])
            why = f"{last} Install it yourself, then start again: {shlex.join(told)}"
        raise ImportError(f"pip could not install what is needed: {why}")


def _why(said: str, folder: Path) -> str | None:
    """What pip's errors mean, and what to do, where that is known; ``folder`` is where it installs."""
    if full := no_room(said):
        place = re.search(rf"{re.escape(full[0])}: \\?'([^'\\]+)", said)
        elsewhere = place and not Path(place[1]).is_relative_to(folder)
        return f"{place[1] if elsewhere else folder} can't be written: {full[1]}."
    if said.rstrip().endswith("No module named pip"):
        python = shlex.quote(sys.executable)
        return f"this environment has no pip. {python} -m ensurepip makes it; or install by what made the environment."
    lacking = re.search(r"requirement (\S+) \(from versions: (.*?)\)", said)
    if _NO_ANSWER in said and (lacking is None or lacking[2] == "none"):
        return registry_silent(said)
    if lacking:
        has = lacking[2].split(", ")
        if has == ["none"]:
            return f"the registry has no {lacking[1]} for this Python, nor any other version, or it can't be reached."
        word = "its newest are" if len(has) > _MOST_VERSIONS else "it has"
        return f"the registry has no {lacking[1]} for this Python; {word} {', '.join(has[-_MOST_VERSIONS:])}."
    return None


def registry_silent(said: str) -> str | None:
    """A sentence where pip did not reach the registry, by what it ``said``; None where it did."""
    if _NO_ANSWER not in said:
        return None
    found = re.search(rf"{_NO_ANSWER}.*: ([^:'\"]+)['\")]*: /", said)
    why = f" ({found[1].strip()})" if found else ""
    return f"the registry can't be reached{why}. Is there a network, and is PIP_INDEX_URL right, if it is set?"
