# SPDX-License-Identifier: Apache-2.0
"""Running in a Python that is not the project's own."""

import os
import sys

import pytest

from springbok.support import packages


@pytest.fixture
def venv(tmp_path, monkeypatch):
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    installed = tmp_path / ".venv" / "lib" / version / "site-packages"
    installed.mkdir(parents=True)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("PYTHONPATH", "before")
    return installed


def test_what_this_python_lacks_comes_from_the_projects_own(venv, tmp_path, monkeypatch):
    (venv / "a_package_of_the_venv.py").touch()
    monkeypatch.setattr(packages, "NEEDED", ("a_package_of_the_venv",))
    packages.make_available(tmp_path)
    assert sys.path[-1] == str(venv)
    assert os.environ["PYTHONPATH"] == f"before{os.pathsep}{venv}"
    packages.make_available(tmp_path)
    assert sys.path.count(str(venv)) == 1


def test_this_package_is_found_by_what_is_started_later(venv, tmp_path, monkeypatch):
    keywords = tmp_path / "keywords"
    keywords.mkdir()
    monkeypatch.setattr(packages, "NEEDED", ())
    sys.path.insert(0, str(keywords))  # as Robot does while it imports a library
    for _ in range(2):
        packages.make_available(tmp_path)
    sys.path.remove(str(keywords))
    added = [str(keywords), str(venv)]
    assert sys.path[-2:] == added
    assert os.environ["PYTHONPATH"] == os.pathsep.join(("before", *added))


def test_what_is_nowhere_is_an_error_that_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(packages, "NEEDED", ("no_such_package",))
    with pytest.raises(ImportError, match=r"misses the Python packages no_such_package .*bench run once"):
        packages.make_available(tmp_path)
