# SPDX-License-Identifier: Apache-2.0
"""Lets these keywords run in a Python that is not the project's own: renode-test brings its own.

``./bench`` installs all that the project needs into ``.venv``. Where another Python of the same version runs the
keywords, what it lacks is taken from there; what it has, Robot Framework above all, goes first.
"""

from __future__ import annotations

import hashlib
import os
import sys
from importlib.util import find_spec
from pathlib import Path

from springbok.support.places import ROOT

NEEDED = ("numpy", "serial", "construct")  # without these no library of this project can be imported


def cache_folder(root: Path = ROOT) -> Path:
    """Where things go that a checkout which can't be written can't hold: a folder of the user's cache.

    That is ``$XDG_CACHE_HOME`` or ``~/.cache``. The launcher has the same rule.
    """
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return caches / "springbok-bench" / hashlib.sha256(str(root).encode()).hexdigest()[:12]


def make_available(root: Path = ROOT) -> None:
    """Append this package and those of ``.venv`` to the import path, of programs started from here too.

    Robot has a library's folder on the path only while it imports the library. Raises ImportError that says what to do
    when packages are missing and ``.venv`` does not have them for this Python.
    """
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    installed = [venv / "lib" / version / "site-packages" for venv in (root / ".venv", cache_folder(root) / ".venv")]
    for folder in filter(Path.is_dir, (root / "keywords", *installed)):
        if str(folder) not in sys.path[1:]:  # what Robot puts first, it takes away again
            sys.path.append(str(folder))
        known = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        if str(folder) not in known:
            os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (*known, str(folder))))
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise ImportError(
            f"springbok-bench misses the Python packages {', '.join(missing)} in {sys.executable} ({version}). Start "
            f"{root / 'bench'} run once with this Python version, which installs them into .venv, or install them: "
            f"{sys.executable} -m pip install --no-deps -r {root / 'requirements.txt'}"
        )
