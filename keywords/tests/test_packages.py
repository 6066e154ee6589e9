# SPDX-License-Identifier: Apache-2.0
"""Running in a Python that is not the project's own."""

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from springbok.firmware import build_firmware
from springbok.support import packages
from springbok.support.errors import BenchError
from springbok.support.places import KEYWORDS, REQUIREMENTS

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")


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


@pytest.mark.parametrize("given", ["", "caches", "../caches"])
def test_a_relative_place_for_caches_is_none(monkeypatch, tmp_path, given):
    monkeypatch.setenv("XDG_CACHE_HOME", given)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert packages.cache_folder().is_relative_to(tmp_path / ".cache" / "springbok-bench")


def test_a_user_without_a_home_gets_help_and_a_sentence(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", without_home)
    monkeypatch.setattr(packages, "NEEDED", ())
    packages.make_available(tmp_path)
    with pytest.raises(BenchError, match="This user has no home, .*: XDG_CACHE_HOME=/a/folder names a place"):
        packages.cache_folder()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert packages.cache_folder().is_relative_to(tmp_path)


def without_home():
    raise RuntimeError("Could not determine home directory.")


def test_a_cache_that_can_not_be_is_a_sentence(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    with pytest.raises(
        BenchError, match="/dev/null.* can't be written: .*XDG_CACHE_HOME=/a/folder names another place"
    ):
        build_firmware(output=packages.cache_folder())


def pinned():
    """Each pin with the Python versions that get it and, where it is installed here, those that it can have."""
    for line in REQUIREMENTS.read_text().splitlines():
        if line and not line.startswith("#"):
            pin = Requirement(line)
            takers = [each for each in PYTHONS if pin.marker is None or pin.marker.evaluate(environment(each))]
            try:
                there = importlib.metadata.distribution(pin.name)
            except importlib.metadata.PackageNotFoundError:
                continue
            if pin.specifier.contains(there.version):
                yield line, takers, SpecifierSet(there.metadata.get("Requires-Python") or "")


def environment(python):
    return {"python_version": python, "python_full_version": f"{python}.0"}


def test_every_python_that_gets_a_package_can_have_it():
    found = list(pinned())
    assert len(found) > 30
    assert [line for line, takers, possible in found if not all(map(possible.contains, takers))] == []


def test_what_is_nowhere_is_an_error_that_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(packages, "NEEDED", ("no_such_package",))
    with pytest.raises(ImportError, match=r"misses the Python packages no_such_package .*bench run once"):
        packages.make_available(tmp_path)


@pytest.fixture
def pip(monkeypatch):
    """What pip does in place of installing: a function of the folder it is to install into."""
    given = {"does": lambda target: (target / "a_package").mkdir(parents=True), "targets": []}

    def run(command, **_):
        target = Path(command[command.index("--target") + 1])
        given["targets"].append(target)
        given["does"](target)
        return subprocess.CompletedProcess(command, given.get("code", 0), "", "no space left")

    monkeypatch.setattr(packages.subprocess, "run", run)
    return given


def test_a_new_folder_appears_in_one_step(pip, tmp_path):
    place = tmp_path / "versions" / "3.99.0"

    def fill(target):
        (target / "a_package").mkdir(parents=True)
        assert not place.exists()

    pip["does"] = fill
    packages.bring(["a==1"], place, "1 MB", tell=str)
    packages.bring(["a==1"], place, "1 MB", tell=str)
    assert len(pip["targets"]) == 1
    assert [path.name for path in place.iterdir()] == ["a_package"]
    pip["does"] = lambda target: (target / "another").mkdir()
    packages.bring(["b==1"], place, "1 MB", tell=str)  # joins what is there
    assert pip["targets"][1] == place


def test_what_fails_or_is_killed_leaves_no_folder(pip, tmp_path):
    place = tmp_path / "3.99.0"

    def killed(target):
        (target / "half").mkdir(parents=True)
        raise KeyboardInterrupt

    pip["does"] = killed
    with pytest.raises(KeyboardInterrupt):
        packages.bring(["a==1"], place, "1 MB", tell=str)
    assert not place.exists()
    pip |= {"does": lambda target: (target / "a_package").mkdir(parents=True), "code": 1}
    with pytest.raises(ImportError, match=f"no space left Install it yourself, .*--target {place} "):
        packages.bring(["a==1"], place, "1 MB", tell=str)
    assert not any(path.is_dir() for path in tmp_path.iterdir())
    pip["code"] = 0
    packages.bring(["a==1"], place, "1 MB", tell=str)
    assert [path.name for path in place.iterdir()] == ["a_package"]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "shutil.Error: [('/a', '/b/c', \"[Errno 28] No space left on device: '/b/c'\")]",
            "/b/c can't be written: the disk is full. Free some space, then start again.",
        ),
        (
            "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError('<x at 0x7f>: Failed to "
            "establish a new connection: [Errno 111] Connection refused')': /simple/a/\n"
            "ERROR: Could not find a version that satisfies the requirement a==1 (from versions: none)",
            "the registry can't be reached ([Errno 111] Connection refused).",
        ),
        (f"{sys.executable}: No module named pip\n", "this environment has no pip. "),
        (
            "ERROR: Could not find a version that satisfies the requirement a==9 (from versions: none)",
            "the registry has no a==9 for this Python, nor any other version, or it can't be reached.",
        ),
        (
            "ERROR: Could not find a version that satisfies the requirement a==9 (from versions: 1.0, 1.1, 1.2)\n"
            "ERROR: No matching distribution found for a==9",
            "the registry has no a==9 for this Python; it has 1.0, 1.1, 1.2.",
        ),
        (
            "ERROR: Could not find a version that satisfies the requirement a==9 (from versions: 1, 2, 3, 4, 5, 6)",
            "the registry has no a==9 for this Python; its newest are 2, 3, 4, 5, 6.",
        ),
        (
            "ERROR: Could not install packages due to an OSError: [Errno 27] File too large",
            "FOLDER can't be written: the file is larger than this process may write. Raise the limit (ulimit -f), ",
        ),
        (
            "OSError: [Errno 28] No space left on device: 'FOLDER/.temporary-1/pip-target-2/lib/x.so'",
            "FOLDER can't be written: the disk is full. Free some space, then start again.",
        ),
    ],
)
def test_what_pip_says_is_told_with_what_to_do(tmp_path, monkeypatch, said, told):
    said, told = (text.replace("FOLDER", str(tmp_path)) for text in (said, told))  # where it installs
    monkeypatch.setattr(
        packages.subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 1, "", said)
    )
    with pytest.raises(ImportError) as refused:
        packages.bring(["a==9"], tmp_path / "a", "1 MB", tell=str)
    assert str(refused.value).startswith(f"pip could not install what is needed: {told}")
    assert "Install it yourself" not in str(refused.value)


def test_a_place_that_can_not_be_written_is_a_sentence(tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ImportError, match=f"{file}.* can't be written: "):
        packages.bring(["a==1"], file / "3.99.0", "1 MB", tell=str)


SUITE = """\
*** Settings ***
Resource       {resource}
Suite Setup    Start Bench


*** Test Cases ***
First
    Log    never
"""
WITHOUT_PACKAGES = """\
import importlib.util, sys
real = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name in ("numpy", "serial") else real(name, *rest)
from robot import run_cli
run_cli(sys.argv[1:])
"""


def test_missing_packages_are_one_sentence_at_the_first_keyword(tmp_path):
    suite = tmp_path / "suite.robot"
    suite.write_text(SUITE.format(resource=KEYWORDS / "springbok" / "bench.resource"))
    command = [sys.executable, "-c", WITHOUT_PACKAGES, "--output", "NONE", "--log", "NONE", "--report", "NONE"]
    done = subprocess.run([*command, str(suite)], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 1
    assert "Suite setup failed:\nspringbok-bench misses the Python packages numpy, serial" in done.stdout
    assert "No keyword with name" not in done.stdout
