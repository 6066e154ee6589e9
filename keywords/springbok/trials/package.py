# SPDX-License-Identifier: Apache-2.0
"""The package as its users get it: built, installed into a bare environment, and run in a repository of its own.

``./bench trial package [--python PYTHON …]``. For each interpreter: a new environment, the wheel and what it needs from
PyPI, ``springbok-bench init``, and the run that its README names, all outside of this checkout and with empty caches.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from springbok.support.errors import BenchError
from springbok.support.files import temporary_folder
from springbok.support.places import ROOT


@dataclass(frozen=True)
class Installed:
    """An environment that has the package: its folder, and the variables of programs in it."""

    folder: Path
    environment: dict[str, str]

    def run(self, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Runs a program of the environment, or one that is there anyway; standard output and error are together."""
        program = self.folder / "bin" / words[0]
        command = [str(program) if program.exists() else words[0], *words[1:]]
        return subprocess.run(
            command, cwd=cwd, env=self.environment, text=True, check=False, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip


def build_wheel(folder: Path) -> Path:
    """Builds the wheel of this checkout into ``folder``. Raises :class:`BenchError` with the builder's words."""
    build = "from hatchling import build; import sys; build.build_wheel(sys.argv[1])"
    done = subprocess.run(
        [sys.executable, "-c", build, folder], cwd=ROOT, capture_output=True, text=True, check=False
    )  # fmt: skip
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        raise BenchError(f"The wheel can't be built: {done.stderr.strip() or done.stdout.strip()}")
    return wheels[0]


def install(wheel: Path, folder: Path, python: str = sys.executable, borrow: bool = False) -> Installed:
    """Makes an environment in ``folder`` and installs the wheel there.

    ``borrow``: what the wheel needs is taken from this Python's packages instead of being installed too. The
    environment knows nothing of this checkout. Raises :class:`BenchError` with pip's words.
    """
    venv = folder / "venv"
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "HOME", "TMPDIR")}
    kept |= {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "UV_"))}
    installed = Installed(venv, {**kept, "XDG_CACHE_HOME": str(folder / "cache")})
    steps = [
        [python, "-m", "venv", str(venv)],
        [str(venv / "bin" / "python"), "-m", "pip", "install", "-q", *(["--no-deps"] if borrow else []), str(wheel)],
    ]
    for step in steps:
        done = subprocess.run(step, env=installed.environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(f"'{' '.join(step)}' failed: {done.stderr.strip() or done.stdout.strip()}")
    if borrow:
        packages = next((venv / "lib").glob("python*")) / "site-packages"
        # Behind the environment's own packages: the launcher's folder of this checkout is not among them.
        own = [path for path in sys.path if path.endswith("site-packages")]
        (packages / "borrowed.pth").write_text("\n".join(own) + "\n", encoding="utf-8")
    return installed


def try_it(wheel: Path, python: str) -> tuple[bool, list[tuple[str, str]]]:
    """Installs, begins a repository and runs it; whether all went well, and a row a step."""
    rows = []
    with temporary_folder() as folder:
        began = time.monotonic()
        installed = install(wheel, folder, python)
        rows.append(("install", f"{time.monotonic() - began:.0f} s"))
        for words, where in (
            (("springbok-bench", "init", "mine"), folder),
            (("springbok-bench", "run", "suites"), folder / "mine"),
            (("springbok-bench", "run", "suites"), folder / "mine"),
        ):
            began = time.monotonic()
            done = installed.run(*words, cwd=where)
            rows.append((" ".join(words), f"{time.monotonic() - began:.0f} s, exit status {done.returncode}"))
            if done.returncode:
                rows.append(("said", done.stdout[-2000:]))
                return False, rows
    return True, rows


def main(arguments: Sequence[str] | None = None) -> int:
    """``./bench trial package``: 0 when the package works with every interpreter."""
    parser = argparse.ArgumentParser(prog="./bench trial package", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--python", nargs="+", default=[sys.executable], help="interpreters (default: this one)")
    options = parser.parse_args(arguments)
    good = True
    with temporary_folder() as folder:
        wheel = build_wheel(folder)
        sys.stdout.write(f"{wheel.name}: {wheel.stat().st_size:,} bytes\n")
        for python in options.python:
            fine, rows = try_it(wheel, python)
            good = good and fine
            sys.stdout.write("\n".join([python, *(f"  {name:30} {value}" for name, value in rows)]) + "\n")
            sys.stdout.flush()
    return 0 if good else 1
