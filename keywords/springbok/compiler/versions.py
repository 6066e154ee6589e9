# SPDX-License-Identifier: Apache-2.0
"""Other versions of the compiler, each in a folder of its own beside the pinned one, which stays as it is.

A version is IREE's compiler and its runtime for this machine, as the registry has them. A process works with one when
its folder comes first in the path: every part of this project then finds that version in place of the pinned one.

>>> folder = environment("3.12.0")                                                          # doctest: +SKIP
>>> process.run([sys.executable, "-c", "…"], environment=variables("3.12.0"))                # doctest: +SKIP
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.version import Version

from springbok.compiler import finishing, iree
from springbok.support import packages
from springbok.support.errors import CompileError
from springbok.support.files import build_folder
from springbok.support.places import KEYWORDS
from springbok.support.progress import is_watched

#: A folder of one's own with a folder for each version, in place of this project's cache.
FOLDER_VARIABLE = "SPRINGBOK_COMPILERS"
NEWEST = "newest"
#: The first version that compiles models of all front ends; what those before it can't is in docs/compilers.md.
OLDEST = "3.9.0"
_MOST_TOLD = 5  # versions of the registry, where it has not the one that is asked for
_SIZE = "100 MB to fetch, 400 MB on disk"
_VERSION = re.compile(r"\d+(?:\.\d+)*(?:(?:a|b|rc|\.dev)\d+)?", re.IGNORECASE)


def place(version: str) -> Path:
    """The folder of a version, whether it is there or not. Raises `CompileError` for what is no version."""
    version = resolved(version)
    python = f"python{sys.version_info.major}.{sys.version_info.minor}"
    folder = os.environ.get(FOLDER_VARIABLE)
    return Path(folder or build_folder() / "compilers").resolve() / f"{python}-{version}"


def environment(version: str, tell: Callable[[str], None] | None = None) -> Path | None:
    """The folder of a version, fetched from the registry at the first time; None is the version that is pinned.

    Raises `CompileError` for a version that is older than `OLDEST`, where the registry has no such version for this
    Python, with pip's last words where it can't be fetched, and for a folder that holds something else.
    """
    version, folder = resolved(version), place(version)
    if version == iree.compiler_version():
        return None
    if Version(version) < Version(OLDEST):
        raise CompileError(f"The compiler's version {version} is too old: {OLDEST} is the oldest that is supported.")
    if not holds(folder, version):
        _fetch(version, folder, {} if tell is None else {"tell": tell})
    _check_starts(folder)
    return folder


def _fetch(version: str, folder: Path, told: Mapping[str, Any]) -> None:
    if folder.is_dir():
        raise CompileError(f"{folder} does not hold {_both(version)}. Delete this folder: it is fetched anew then.")
    _check_known(version)
    lines = [f"{package}=={version}" for package in (iree.COMPILER_PACKAGE, iree.RUNTIME_PACKAGE)]
    try:
        packages.bring(lines, folder, f"{_SIZE}: IREE's compiler", shows_progress=is_watched(), **told)
    except ImportError as error:
        elsewhere = f" {FOLDER_VARIABLE} names another place for it." if "can't be written" in str(error) else ""
        raise CompileError(f"The compiler's version {version} can't be had: {error}{elsewhere}") from None
    if not holds(folder, version):
        found = _versions_in(folder).get(iree.COMPILER_PACKAGE, "no compiler")
        shutil.rmtree(folder, ignore_errors=True)
        raise CompileError(f"The registry gives {found} where {_both(version)} are asked for: name another version.")


def _both(version: str) -> str:
    return f"{iree.COMPILER_PACKAGE} and {iree.RUNTIME_PACKAGE} {version}"


def _check_known(version: str) -> None:
    """Raise `CompileError` for a version that the registry has not, before anything is fetched."""
    has = released(Version(version).is_prerelease)
    if version in has:
        return
    raise CompileError(
        f"The compiler's version {version} can't be had: the registry has no {iree.COMPILER_PACKAGE}=={version} for "
        f"this Python; its newest are {', '.join(reversed(has[:_MOST_TOLD]))}."
    )


@functools.cache
def _check_starts(folder: Path) -> None:
    """Raise `CompileError` for a folder of which something is gone or cut off since it was made."""
    compiler = iree.tool_of(folder)
    try:
        done = subprocess.run([compiler, "--version"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError:
        done = None
    if done is None or done.returncode:
        raise CompileError(f"The compiler in {folder} does not start. Delete this folder: it is fetched anew then.")


def holds(folder: Path, version: str) -> bool:
    """Whether both packages of this version are in ``folder``, as their own records say."""
    found = _versions_in(folder)
    return all(found.get(package) == version for package in (iree.COMPILER_PACKAGE, iree.RUNTIME_PACKAGE))


def _versions_in(folder: Path) -> dict[str, str]:
    return {each.name: each.version for each in importlib.metadata.distributions(path=[str(folder)])}


def variables(version: str) -> dict[str, str]:
    """What is added to the environment of a process that works with this version, which is there."""
    folder = environment(version)
    if folder is None:
        return {}
    known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    path = dict.fromkeys([str(folder), str(KEYWORDS), *filter(None, known)])
    found = {"PYTHONPATH": os.pathsep.join(path)}
    if finishing.is_needed(version):
        found[finishing.VARIABLE] = str(iree.tool("iree-compile"))
        found[finishing.RUNTIME_VARIABLE] = str(iree.tool("iree-run-module"))
    return found


def newest() -> str:
    """The newest version that the registry has for this Python. Raises `CompileError` where it can't be asked."""
    return released()[0]


@functools.cache
def released(with_candidates: bool = False) -> tuple[str, ...]:
    """The versions that the registry has for this Python, the newest first; releases only, or their candidates too.

    Raises `CompileError` where it can't be asked.
    """
    command = [sys.executable, "-m", "pip", "index", "versions", iree.COMPILER_PACKAGE, "--disable-pip-version-check"]
    command += ["--pre"] if with_candidates else []
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    found = re.search(r"^Available versions: (.+)", done.stdout, re.MULTILINE)
    if done.returncode or not found:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        if "No matching distribution found" in last:
            last = "it has none for this Python, or it can't be reached. Is PIP_INDEX_URL right, if it is set?"
        last = packages.registry_silent(done.stderr) or last
        raise CompileError(f"The registry does not say which versions of {iree.COMPILER_PACKAGE} it has: {last}")
    return tuple(found[1].split(", "))


def in_order(wanted: Sequence[str]) -> list[str]:
    """Versions as the registry writes them, oldest first, each once. Raises `CompileError` as `resolved` does.

    >>> in_order(["3.13", "3.11.0", "3.13.0", "3.13.0rc1"])
    ['3.11.0', '3.13.0rc1', '3.13.0']
    """
    return sorted({resolved(version) for version in wanted}, key=Version)


def resolved(version: str) -> str:
    """A version as the registry writes it, ``newest`` by its number. Raises `CompileError` for what is no version.

    >>> resolved("3.12"), resolved("3.13.0RC20260801")
    ('3.12.0', '3.13.0rc20260801')
    """
    if version == NEWEST:
        return newest()
    if not _VERSION.fullmatch(version):
        raise CompileError(f"'{version}' is no version of {iree.COMPILER_PACKAGE}: write for example 3.12.0.")
    known = Version(version)
    parts = [known.major, known.minor, known.micro, *known.release[3:]]
    while len(parts) > 3 and parts[-1] == 0:
        parts.pop()
    return ".".join(map(str, parts)) + str(known).removeprefix(known.base_version)
