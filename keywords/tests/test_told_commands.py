# SPDX-License-Identifier: Apache-2.0
"""What messages tell to do can be done as it is printed: commands are those of the program, documents are there."""

import ast
import functools
import re
import shlex
from pathlib import Path

import pytest

from springbok.chips.description import load
from springbok.cli import COMMANDS, overview
from springbok.firmware import FirmwareTooLarge, build_firmware
from springbok.support import places
from springbok.support.places import DOCS, KEYWORDS, PLATFORMS, PROGRAM, command, document, told_path

PACKAGE = KEYWORDS / "springbok"
#: Trials are of the checkout alone and write its documents.
SOURCES = [path for path in sorted(PACKAGE.rglob("*.py")) if PACKAGE / "trials" not in path.parents]
#: What begins a command line of its own accord, and what is only looked up.
NAMES_THE_PROGRAM = ("support/places.py", "cli/__init__.py", "report/history.py", "support/results_folder.py")


@functools.cache
def trees():
    return [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in SOURCES]


def imported(tree):
    """What a file has from `springbok.support.places`."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module == places.__name__]
    return {each.name for node in found for each in node.names}


def called(tree, name):
    """The calls of a function of `springbok.support.places`."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name))
    return [node for node in calls if node.func.id == name and name in imported(tree)]


def told(path, tree):
    """The commands that a file tells: their words, '1' for what only a run knows."""
    for node in called(tree, "command"):
        words = [each.value if isinstance(each, ast.Constant) else "1" for each in node.args]
        words[1:2] = ["list"] if words[:2] == ["history", "1"] else words[1:2]
        yield f"{path.relative_to(PACKAGE).as_posix()}:{node.lineno}", words


TOLD = dict(each for path, tree in trees() for each in told(path, tree))


def texts(tree):
    """Texts that people may read, with {} for what is put in: all but documentation strings."""
    documentation = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for each in body if isinstance(body, list) else ():
            if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant):
                documentation.add(each.value)
    others = documentation | {
        each for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for each in node.values
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(each.value if isinstance(each, ast.Constant) else "{}" for each in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in others:
            yield node.value


def test_commands_are_told():
    assert len(TOLD) > 25
    assert {"run", "fit", "history", "report", "compile", "platform"} <= {words[0] for words in TOLD.values()}


@pytest.mark.parametrize("place", TOLD)
def test_a_command_that_is_told_is_one_of_the_program(place):
    name, *words = TOLD[place]
    COMMANDS[name].parse(words)


def test_a_command_that_is_none_would_be_found():
    with pytest.raises(Exception, match="takes no option '--platfrom'"):
        COMMANDS["fit"].parse(["m.onnx", "--platfrom", "x"])


def test_the_program_is_named_by_its_commands_alone():
    """Elsewhere its name would stand before words that nothing checks, or be that of a checkout."""
    checkouts = "|".join(name for name, each in COMMANDS.items() if each.needs_checkout)
    for path, tree in trees():
        if path.relative_to(PACKAGE).as_posix() not in NAMES_THE_PROGRAM:
            assert "PROGRAM" not in imported(tree), path
            assert [
                text for text in texts(tree) if re.search(rf"\./bench(?! (?:{checkouts})|[` ]*keywords`)", text)
            ] == [], path


def test_words_with_blanks_reach_a_shell_as_they_are():
    words = ["fit", "my net.onnx", "--platform", "it's mine.toml"]
    assert shlex.split(command(*words)) == [PROGRAM, *words]


def test_documents_that_are_told_are_there():
    found = []
    for path, tree in trees():
        found += [node.args[0].value for node in called(tree, "document")]
        assert [text for text in texts(tree) if "docs/" in text] == [], path
    assert [name for name in found if not document(name).is_file()] == []
    assert {"chips.md", "timing.md"} <= set(found)
    assert str(DOCS) in overview()


def test_a_chip_is_told_as_it_can_be_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = Path("my chips/small one.toml")
    own.parent.mkdir()
    own.write_text((PLATFORMS / "rv64gcv.toml").read_text())
    for given in (own, Path("../") / tmp_path.name / own, own.resolve()):
        assert load(given).argument == str(own)
    assert load("rv64gcv").argument == "rv64gcv"
    monkeypatch.chdir("/")
    assert load(load(tmp_path / own).argument) == load(tmp_path / own)
    assert told_path(Path("/a")) == Path("a")


def test_what_is_too_large_for_a_chip_is_told_with_a_command_that_runs(tmp_path, monkeypatch):
    """Also when the build of before knew it, which was of a file of another place."""
    text = (PLATFORMS / "coralnpu.toml").read_text()
    for name in ("one folder", "another"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "tiny.toml").write_text(text)
        monkeypatch.chdir(folder)
        with pytest.raises(FirmwareTooLarge) as error:
            build_firmware(chip=load("tiny.toml"), output=tmp_path / "build")
        (line,) = re.findall(r"'(.*)' says what takes how much", str(error.value))
        program, told_name, *words = shlex.split(line)
        assert (program, COMMANDS[told_name].parse(words).platform) == (PROGRAM, "tiny.toml")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FirmwareTooLarge, match=re.escape("--platform 'one folder/tiny.toml'' says")):
        build_firmware(chip=load("one folder/tiny.toml"), output=tmp_path / "build")
