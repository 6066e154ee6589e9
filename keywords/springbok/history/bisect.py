# SPDX-License-Identifier: Apache-2.0
"""Finds the commit of a step by running the user's suites at commits between a good one and a bad one.

Commits are checked out into a worktree of its own in a temporary folder, one after the other; the user's files and
checkout are left alone, and nothing stays behind. Git says which commit halves the suspects best, so histories with
merges are searched as ``git bisect`` would. What can't be run is skipped.
"""

from __future__ import annotations

import glob
import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from springbok.gate.snapshots import Snapshot
from springbok.history import keeping
from springbok.support import process, repository
from springbok.support.errors import BenchError
from springbok.support.files import temporary_folder
from springbok.support.places import KEYWORDS
from springbok.support.repository import GitError, git

#: How the folder with the worktree begins, and what the worktree in it is called.
PREFIX, WORKTREE = "springbok-bench-bisect-", "commit"
LAUNCHER, VENV, BUILT = "bench", ".venv", ("build/models", "build/zig-cache")


class BisectError(BenchError):
    """There is no step to find between the two commits, or it can't be found."""


@dataclass(frozen=True)
class Measured:
    """What a commit came to: the number, or ``why`` there is none; ``snapshot`` is all that was measured."""

    commit: str
    value: float | str | None
    why: str = ""
    snapshot: Snapshot | None = field(default=None, repr=False, compare=False)


@dataclass
class Search:
    """The commits that are known. ``is_bad`` judges a number."""

    repository: Path
    is_bad: Callable[[float | str], bool]
    good: list[Measured]
    bad: Measured
    skipped: list[Measured] = field(default_factory=list)

    def suspects(self) -> list[str]:
        """Commits of which any may have brought the step: the best to try next first, the known bad one last."""
        found = repository.suspects(self.repository, self.bad.commit, [each.commit for each in self.good])
        return [commit for commit in found if commit != self.bad.commit] + [self.bad.commit]

    def next(self) -> str | None:
        """The commit to try; None when no more can be told."""
        known = {each.commit for each in self.skipped} | {self.bad.commit}
        return next((commit for commit in self.suspects() if commit not in known), None)

    def learn(self, measured: Measured) -> None:
        """Take what a commit came to."""
        if measured.value is None:
            self.skipped.append(measured)
        elif self.is_bad(measured.value):
            self.bad = measured
        else:
            self.good.append(measured)


def search(found: Search, measure: Callable[[str], Measured], tell: Callable[[Search, Measured], None]) -> Search:
    """Measure commits until the first bad one is found, or only such are left as can't be measured."""
    while (commit := found.next()) is not None:
        measured = measure(commit)
        found.learn(measured)
        tell(found, measured)
    return found


def between(good: float | str, bad: float | str) -> Callable[[float | str], bool]:
    """What is nearer to the bad number than to the good one is bad; of digests, what is not the good one.

    >>> is_bad = between(100, 140)
    >>> is_bad(110), is_bad(150), between(140, 100)(101)
    (False, True, True)
    """
    if isinstance(good, str) or isinstance(bad, str):
        return lambda value: value != good
    return lambda value: abs(value - bad) < abs(value - good)


@contextmanager
def worktree(top: Path) -> Iterator[Path]:
    """A worktree of the repository ``top`` in a temporary folder, on no commit's branch; it is gone at the end.

    What a search that was killed has left is removed too.
    """
    _clear(top)
    with temporary_folder(PREFIX) as folder:
        place = folder / WORKTREE
        try:
            git(top, "worktree", "add", "--detach", "--no-checkout", "--quiet", str(place), "HEAD")
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)
            with suppress(GitError):
                git(top, "worktree", "remove", "--force", str(place))
            _forget(top, place)


def _clear(top: Path) -> None:
    """Worktrees of searches whose process is gone: their folder is not locked any more, or gone as well."""
    lines = git(top, "worktree", "list", "--porcelain").splitlines()
    for path in (Path(line.removeprefix("worktree ")) for line in lines if line.startswith("worktree ")):
        if path.name == WORKTREE and path.parent.name.startswith(PREFIX) and not path.exists():
            _forget(top, path)


def _forget(top: Path, place: Path) -> None:
    """Take a worktree that is gone out of git's list."""
    common = Path(git(top, "rev-parse", "--path-format=absolute", "--git-common-dir").rstrip("\n"))
    for known in common.glob(f"worktrees/{glob.escape(WORKTREE)}*/gitdir"):
        with suppress(OSError):
            if Path(known.read_text(encoding="utf-8").strip()).parent == place and not place.exists():
                shutil.rmtree(known.parent, ignore_errors=True)


def check_out(place: Path, commit: str, top: Path, cache: Path) -> None:
    """Put the files of ``commit`` into the worktree, as a fresh checkout has them, and links to the caches of ``top``.

    Only a commit with a launcher of its own needs them. Raises `GitError` where its submodules can't be had.
    """
    if (place / VENV).is_symlink():
        (place / VENV).unlink()
    git(place, "reset", "--hard", "--quiet", commit)
    git(place, "clean", "-ffdxq")
    if (place / ".gitmodules").is_file():
        git(place, "submodule", "update", "--init", "--recursive", "--force", "--quiet")
    if (place / LAUNCHER).is_file():
        for name, target in _caches(place, top, cache):
            link = place / name
            if target.exists() and not link.exists():
                link.parent.mkdir(exist_ok=True)
                link.symlink_to(target)


def _caches(place: Path, top: Path, cache: Path) -> list[tuple[str, Path]]:
    """Of a checkout: compiled models and objects, whose names are their contents' digests, and ``.venv``.

    A commit with other requirements than ``top`` gets a ``.venv`` below ``cache``, which the next one with these has
    again. Firmware is built anew: it has one place, which another run may be using.
    """
    needed = _requirements(place)
    environment = top / VENV
    if needed != _requirements(top):
        environment = cache / f"venv-{hashlib.sha256(needed).hexdigest()[:12]}"
        environment.mkdir(parents=True, exist_ok=True)
    return [(VENV, environment), *((name, top / name) for name in BUILT)]


def _requirements(folder: Path) -> bytes:
    """What a checkout's ``.venv`` is to hold."""
    paths = (folder / name for name in ("requirements.txt", "requirements-test.txt"))
    return b"".join(path.read_bytes() for path in paths if path.is_file())


def run(command: Sequence[str], folder: Path, log: Path, environment: dict[str, str]) -> tuple[int, str]:
    """Run a suite's command in ``folder``, without a limit of time; its exit code, and what it wrote (to ``log``).

    What asks this process to end asks the command first; nothing of it is left.
    """
    with log.open("wb") as output:
        options = {"cwd": folder, "stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
        options |= {"start_new_session": True, "env": environment}
        with process.Supervised(command, "apart", **options) as supervised:
            try:
                exit_code, _ = supervised.wait()
            except KeyboardInterrupt:
                supervised.send_signal(signal.SIGINT)
                supervised.wait()
                raise
    return exit_code, log.read_text(encoding="utf-8", errors="replace")


def command_of(folder: Path, place: Path) -> tuple[list[str], dict[str, str]]:
    """How commands are run at a commit, and in which environment: by its own ``bench`` where it has one.

    Then it is the commit's own code that runs, and nothing of this one's is imported. ``folder`` is in ``place``.
    """
    environment = {**os.environ, keeping.VARIABLE: keeping.NONE}
    own = next((each / LAUNCHER for each in (folder, place) if (each / LAUNCHER).is_file()), None)
    if own is None:
        paths = [str(KEYWORDS), *filter(None, [os.environ.get("PYTHONPATH")])]
        return [sys.executable, "-m", "springbok.cli"], environment | {"PYTHONPATH": os.pathsep.join(paths)}
    parts = filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    kept = [part for part in parts if Path(part).resolve() != KEYWORDS]
    return [sys.executable, str(own)], environment | {"PYTHONPATH": os.pathsep.join(kept)}
