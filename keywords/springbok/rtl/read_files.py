# SPDX-License-Identifier: Apache-2.0
"""What Verilator read for a build, by its own word, and what it would have read in its place: a build is the same while
all of that is as it was.

Its list (``Vcore__verFiles.dat``) has every file that it opened: sources, what they include, file lists within file
lists. What was found in a folder by name can be found elsewhere next time: in a folder that is searched too, by another
ending. These places are kept with it, most of them as places where nothing is.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import zip_longest
from pathlib import Path

from springbok.support.cache import digest
from springbok.support.errors import RtlError

LIST = "Vcore__verFiles.dat"
#: Kept beside a build.
FILE = "read.json"
_ENDINGS = ("", ".v", ".sv")
_FOLDERS = ("-I", "+incdir+")
_CORE = "@core@"  # the same core elsewhere is the same core
#: What Verilator skips in a file list, and how a word of it ends.
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_SOURCE = re.compile(r"[^-+].*\.s?vh?")
_TAKES_NO_SOURCE = re.compile(r"--?(o|Mdir|CFLAGS|LDFLAGS|MAKEFLAGS|[\w-]+-output)|-y")

States = Mapping[str, str | None]


def states(paths: Iterable[str], core: Path) -> dict[str, str | None]:
    """By path a digest of the file's content, or None where no file is; those in ``core`` begin with ``@core@``."""
    return {_named(path, core): _state(Path(path)) for path in sorted({*paths})}


def after(made: Path, arguments: Sequence[str], core: Path, since_ns: int) -> dict[str, str | None]:
    """What Verilator, called with ``arguments``, says in ``made`` that it read, with the places that it searched.

    Raises RtlError where one of the files was changed after ``since_ns``: which content it read can't be known then.
    """
    read = listed(made)
    changed = [path for path in read if Path(path).is_file() and Path(path).stat().st_ctime_ns > since_ns]
    if changed:
        raise RtlError(f"{', '.join(changed)} changed while Verilator read it: run this again.")
    return states({*read, *others(read, arguments)}, core)


def same(kept: States, core: Path) -> bool:
    """Whether all is as it was."""
    return all(_state(Path(name.replace(_CORE, str(core), 1))) == state for name, state in kept.items())


def kept_in(folder: Path) -> tuple[str, dict[str, str | None]] | None:
    """What `keep` has put into a folder, or None."""
    try:
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return content["base"], dict(content["states"])
    except (OSError, ValueError, LookupError, TypeError):
        return None


def keep(folder: Path, base: str, kept: States) -> None:
    """Put it beside a build; ``base`` is a digest of what else the build is made of."""
    (folder / FILE).write_text(json.dumps({"base": base, "states": kept}, indent=1), encoding="utf-8")


def listed(made: Path) -> list[str]:
    """The files that Verilator opened, from the list that it wrote into ``made``. Raises RtlError without one."""
    try:
        lines = (made / LIST).read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        raise RtlError("Verilator did not say which files it read: the build can't be kept.") from None
    return [found[1] for found in map(partial(re.match, r'S .*"([^"]*)"$'), lines) if found]


def others(read: Sequence[str], arguments: Sequence[str]) -> Iterator[str]:
    """Where a file of the same name as one that was read would be found too, or instead."""
    folders, endings = searched(arguments)
    endings = dict.fromkeys((*_ENDINGS, *endings))
    for path in map(os.path.normpath, read):
        for folder in folders:
            if folder and not path.startswith(f"{folder}/"):
                continue
            name = path[len(folder) + 1 :] if folder else path
            stem = name.removesuffix(Path(name).suffix)
            for other in folders:
                yield from (str(Path(other, f"{stem}{ending}")) for ending in endings)
                yield str(Path(other, name))


def searched(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The folders that Verilator searches, the one that it runs in first (""), and endings beyond its usual ones."""
    folders, endings = [""], []
    for word, value in words(arguments):
        prefix = next((each for each in _FOLDERS if word.startswith(each)), "")
        if word == "-y":
            folders.append(value)
        elif prefix:
            folders += filter(None, (word[len(prefix) :], *word[len(prefix) :].split("+")))  # by versions
        elif word.startswith("+libext+"):
            endings += filter(None, word.split("+")[2:])
    normal = ("" if Path(folder) == Path() else os.path.normpath(folder) for folder in folders)
    return list(dict.fromkeys(normal)), endings


def absent(arguments: Sequence[str]) -> list[str]:
    """Sources and lists of a call, also in lists that it names, that are nowhere where Verilator searches."""
    given = list(words(arguments))
    folders, endings = searched(arguments)
    values = {following for word, following in given if _TAKES_NO_SOURCE.fullmatch(word)}
    places = [(folder, ending) for folder in folders for ending in (*_ENDINGS, *endings)]
    return [
        word
        for word in dict.fromkeys(word for word, _ in given)
        if (Path(word).is_absolute() or _SOURCE.fullmatch(word))
        and word not in values
        and not any(Path(folder, word + ending).exists() for folder, ending in places)
    ]


def words(arguments: Sequence[str], seen: frozenset[str] = frozenset()) -> Iterator[tuple[str, str]]:
    """The words of a call with the one that follows each, those of file lists in their place."""
    for word, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        yield word, following
        if word in ("-f", "-F") and following not in seen and Path(following).is_file():
            text = _COMMENT.sub(" ", Path(following).read_text(encoding="utf-8", errors="replace"))
            inner = os.path.expandvars(text).split()
            if word == "-F":
                inner = [_beside(each, Path(following).parent) for each in inner]
            yield from words(inner, seen | {following})


def _beside(word: str, folder: Path) -> str:
    prefix = next((each for each in _FOLDERS if word.startswith(each)), "")
    return word if word[:1] in "-+" and not prefix else f"{prefix}{Path(folder, word[len(prefix) :])}"


def _named(path: str, core: Path) -> str:
    return path.replace(str(core), _CORE, 1) if path.startswith(f"{core}/") else path


def _state(path: Path) -> str | None:
    try:
        return digest(path.read_bytes())
    except OSError:
        return None
