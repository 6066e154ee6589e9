# SPDX-License-Identifier: Apache-2.0
"""Where other versions of the compiler are, and which the registry has: with stand-ins, without a registry."""

import itertools
import subprocess
from pathlib import Path

import pytest
from compiler_stand_ins import stand_in
from hypothesis import given
from hypothesis import strategies as st
from packaging.version import Version

from springbok.cli import main
from springbok.compiler import finishing, host_check, iree, versions
from springbok.compiler.compiled import Target
from springbok.compiler.flags import compiler_flags
from springbok.compiler.importers import mlir_file
from springbok.support import packages
from springbok.support.errors import CompileError
from springbok.trials import newest

RELEASED = ("3.99.0", "3.13.0", "3.12.0", "3.11.0", "3.10.0", "3.9.0", "3.8.0")
CANDIDATES = ("4.0.0rc2",)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where versions are, of a registry that has those of `RELEASED`."""
    path = tmp_path / "versions"
    monkeypatch.setenv(versions.FOLDER_VARIABLE, str(path))
    monkeypatch.setattr(versions, "released", lambda with_candidates=False: (*CANDIDATES[:with_candidates], *RELEASED))
    return path


@pytest.mark.parametrize("text", ["", "latest", "3.12 ", "../3.12.0", "3.12.0; echo", "3.12.0+local", "1!3.12"])
def test_what_is_no_version_is_refused(folder, text):
    with pytest.raises(CompileError, match="is no version of iree-base-compiler"):
        versions.environment(text)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("3.12", "3.12.0"),
        ("3", "3.0.0"),
        ("3.12.0.0", "3.12.0"),
        ("03.12.0", "3.12.0"),
        ("3.13.0RC20260801", "3.13.0rc20260801"),
        ("3.13rc1", "3.13.0rc1"),
        ("3.7.1", "3.7.1"),
    ],
)
def test_a_version_is_what_the_registry_calls_it(folder, given, meant):
    assert versions.resolved(given) == meant
    assert versions.place(given) == versions.place(meant)


def test_the_pinned_version_is_known_by_a_short_number_too(folder):
    assert versions.environment(iree.PINNED_VERSION.removesuffix(".0")) is None


def test_the_pinned_version_needs_no_folder(folder):
    assert versions.environment(iree.PINNED_VERSION) is None
    assert versions.variables(iree.PINNED_VERSION) == {}


def test_a_version_is_fetched_once_with_its_runtime(folder, monkeypatch):
    fetched = []

    def bring(lines, place, what, shows_progress):
        fetched.append((lines, place))
        stand_in("3.99.0")

    monkeypatch.setattr(packages, "bring", bring)
    place = versions.environment("3.99.0")
    assert versions.environment("3.99.0") == place == versions.place("3.99.0")
    assert fetched == [(["iree-base-compiler==3.99.0", "iree-base-runtime==3.99.0"], place)]
    assert versions.variables("3.99.0")["PYTHONPATH"].split(":")[0] == str(place)


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("3.8.0", "3.8.0 is too old: 3.9.0 is the oldest that is supported."),
        ("2.9", "2.9.0 is too old: 3.9.0 is the oldest that is supported."),
        (
            "3.77",
            "3.77.0 can't be had: the registry has no iree-base-compiler==3.77.0 for this Python; its newest are "
            "3.10.0, 3.11.0, 3.12.0, 3.13.0, 3.99.0.",
        ),
        (
            "4.0rc1",
            "4.0.0rc1 can't be had: the registry has no iree-base-compiler==4.0.0rc1 for this Python; its newest are "
            "3.11.0, 3.12.0, 3.13.0, 3.99.0, 4.0.0rc2.",
        ),
    ],
)
def test_what_can_not_be_used_is_said_before_anything_is_fetched(folder, version, said):
    with pytest.raises(CompileError) as refused:
        versions.environment(version, tell=pytest.fail)
    assert str(refused.value) == f"The compiler's version {said}"
    assert not folder.exists()


def test_the_document_names_the_oldest_version():
    assert f"The oldest version is {versions.OLDEST}: " in newest.FILE.read_text(encoding="utf-8")


@pytest.mark.parametrize("version", ["3.99.0", CANDIDATES[0]])
def test_pips_last_words_are_told(folder, monkeypatch, version):
    def bring(*_, **__):
        raise ImportError("pip could not install what is needed: broken pipe")

    monkeypatch.setattr(packages, "bring", bring)
    with pytest.raises(CompileError, match=f"version {version} can't be had: pip could not .*: broken pipe"):
        versions.environment(version)


def test_where_the_registry_gives_something_else_nothing_is_left(folder, monkeypatch):
    monkeypatch.setattr(packages, "bring", lambda lines, place, *_, **__: stand_in("3.99.0rc1").rename(place))
    with pytest.raises(CompileError, match="registry gives 3.99.0rc1 where iree-base-compiler and .* 3.99.0 are asked"):
        versions.environment("3.99.0")
    assert list(folder.iterdir()) == []


def test_a_place_that_can_not_be_written_is_said_with_what_names_another(folder, tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv(versions.FOLDER_VARIABLE, str(file))
    with pytest.raises(CompileError, match=f"{file} can't be written: .* SPRINGBOK_COMPILERS names another place"):
        versions.environment("3.12.0")


@pytest.mark.parametrize("command", ["compilers 3.12.0 --models MODEL", "phases MODEL --versions 3.12.0 3.13.0"])
def test_a_folder_that_holds_another_version_is_not_used(folder, command, tmp_path, capsys):
    model = tmp_path / "m.mlir"
    model.write_text("func.func @main(%x: tensor<4xf32>) -> tensor<4xf32> {\n  return %x : tensor<4xf32>\n}\n")
    place = stand_in("3.11.0").rename(versions.place("3.12.0"))
    results = ["--results", str(tmp_path / "results")] if command.startswith("compilers") else []
    assert main([*command.replace("MODEL", str(model)).split(), *results]) == 2
    said = f"{place} does not hold iree-base-compiler and iree-base-runtime 3.12.0. Delete this folder: it is fetched"
    assert said in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


@given(st.lists(st.sampled_from(["3.9", "3.9.0", "3.10.0", "3.13.0rc1", "3.13.0", "3.13", "3.99.0"])))
def test_versions_are_in_order_each_once(wanted):
    found = versions.in_order(wanted)
    assert set(found) == set(map(versions.resolved, wanted))
    assert all(Version(one) < Version(other) for one, other in itertools.pairwise(found))


@pytest.fixture
def pip(monkeypatch):
    """What pip answers in place of the registry: an exit code, what it wrote, and its errors."""

    def answers(code, output, errors):
        done = subprocess.CompletedProcess([], code, output, errors)
        monkeypatch.setattr(versions.subprocess, "run", lambda *_, **__: done)
        return versions.released.__wrapped__

    return answers


def test_the_registry_tells_its_versions(pip):
    output = "iree-base-compiler (3.13.0)\nAvailable versions: 3.13.0, 3.12.0, 3.9.0\n  INSTALLED: 3.13.0\n"
    assert pip(0, output, "")() == ("3.13.0", "3.12.0", "3.9.0")


@pytest.mark.parametrize(
    ("errors", "said"),
    [
        (
            "ERROR: No matching distribution found for iree-base-compiler",
            "it has none for this Python, or it can't be ",
        ),
        ("WARNING: Retrying after connection broken by 'X: [Errno 111] Refused')': /a\nERROR: No", "can't be reached"),
        ("ERROR: something\nERROR: unknown command", "ERROR: unknown command"),
        ("", "no message"),
    ],
)
def test_a_registry_that_tells_no_versions_is_a_sentence(pip, errors, said):
    with pytest.raises(CompileError) as refused:
        pip(1, "", errors)()
    assert str(refused.value).startswith("The registry does not say which versions of iree-base-compiler it has: ")
    assert said in str(refused.value)


@pytest.mark.parametrize("damage", ["exit 127", None])
def test_a_folder_that_was_damaged_is_named(folder, damage):
    place = stand_in("3.9.0", iree_compile=f"#!/bin/sh\n{damage}\n")
    if damage is None:
        iree.tool_of(place).unlink()
    with pytest.raises(CompileError, match=f"The compiler in {place} does not start. Delete this folder"):
        versions.environment("3.9.0")


def test_an_older_versions_modules_are_finished_by_the_pinned_one(folder):
    stand_in("3.9.0")
    found = versions.variables("3.9.0")
    assert found[finishing.VARIABLE] == str(iree.tool("iree-compile"))
    assert found[finishing.RUNTIME_VARIABLE] == str(iree.tool("iree-run-module"))


def test_a_module_that_only_this_machine_runs_is_finished_by_the_version_that_began_it(monkeypatch):
    """The pinned one does not read an older one's command buffers."""
    monkeypatch.setenv(finishing.VARIABLE, "/somewhere/iree-compile")
    flags = compiler_flags(Target())[0]
    assert finishing.finisher(flags) == finishing.finisher(host_check.host_flags(flags)) == finishing.finisher()
    assert finishing.finisher() == Path("/somewhere/iree-compile")
    assert finishing.finisher(mlir_file.FLAGS) is None


def test_what_is_finished_by_the_pinned_one_has_the_kernels_names(monkeypatch):
    """Modules of this machine too: the optimizer proves itself there."""
    assert "--iree-llvmcpu-debug-symbols=true" not in compiler_flags(Target())[0]
    monkeypatch.setenv(finishing.VARIABLE, "/somewhere/iree-compile")
    for own in ((), ("--iree-llvmcpu-debug-symbols=false",)):
        flags = host_check.host_flags(compiler_flags(Target(), own)[0])
        assert [flag for flag in flags if "debug-symbols" in flag] == ["--iree-llvmcpu-debug-symbols=true"]
