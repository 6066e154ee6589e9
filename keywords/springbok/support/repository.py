# SPDX-License-Identifier: Apache-2.0
"""What git says of a folder: which commit a run measured, on which branch, and whether something was changed since."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from springbok.support.errors import BenchError

#: What a CI server or a user calls the branch: its checkouts are of a commit, and on none.
BRANCH_VARIABLES = (
    "SPRINGBOK_BRANCH",
    "GITHUB_HEAD_REF",
    "GITHUB_REF_NAME",
    "CI_COMMIT_REF_NAME",
    "GIT_LOCAL_BRANCH",
    "GIT_BRANCH",
)
#: What CI servers say of the commit, for jobs whose sources hold no history.
COMMIT_VARIABLES = ("GITHUB_SHA", "CI_COMMIT_SHA", "BUILD_SOURCEVERSION", "GIT_COMMIT")
# What hooks of git have set: another repository than the folder's.
_OTHER_REPOSITORY = (
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_COMMON_DIR",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
)
_FIELDS = "%H%n%ct%n%s"


class GitError(BenchError):
    """Git is not there, or refuses what it is asked for."""


@dataclass(frozen=True)
class Origin:
    """A commit, and how the folder stood to it. ``depth`` is how many commits lead to it, itself included.

    Outside of a repository there is what a CI server tells; ``depth`` is None in a clone without all commits.
    """

    commit: str = ""
    committed: datetime | None = None
    depth: int | None = None
    subject: str = ""
    branch: str = ""
    is_dirty: bool = False


def git(folder: Path, *arguments: str) -> str:
    """What git writes. Raises `GitError`: outside of a repository, or with git's own words."""
    environment = {name: value for name, value in os.environ.items() if name not in _OTHER_REPOSITORY}
    environment |= {"LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            check=False,
            env=environment,
            stdin=subprocess.DEVNULL,
        )
    except OSError as error:
        raise GitError(f"git can't be started: {error.strerror}. Install it, or put it on PATH.") from error
    if done.returncode:
        words = done.stderr.decode("utf-8", "replace").strip().removeprefix("fatal: ")
        if words.startswith("not a git repository"):
            raise GitError(f"{folder} is in no Git repository: go to one, or make one with git init and a commit.")
        raise GitError(f"git {arguments[0]} failed in {folder}: {words or 'it says nothing'}.")
    return done.stdout.decode("utf-8", "replace")


def origin_of(folder: Path) -> Origin:
    """Where what is in ``folder`` comes from; an empty `Origin` outside of a repository.

    Files that git does not know make nothing dirty: results and notes lie about everywhere.
    """
    try:
        commit, seconds, subject = git(folder, "log", "-1", f"--format={_FIELDS}").split("\n")[:3]
        shallow = git(folder, "rev-parse", "--is-shallow-repository").strip() == "true"
        depth = None if shallow else int(git(folder, "rev-list", "--count", "HEAD"))
        changed = git(folder, "status", "--porcelain", "--untracked-files=no")
        branch = _first(BRANCH_VARIABLES) or git(folder, "rev-parse", "--abbrev-ref", "HEAD").strip()
    except (GitError, ValueError):
        return Origin(_first(COMMIT_VARIABLES), branch=_first(BRANCH_VARIABLES))
    committed = datetime.fromtimestamp(int(seconds), timezone.utc)
    return Origin(commit, committed, depth, subject, "" if branch == "HEAD" else branch, bool(changed.strip()))


def _first(names: Sequence[str]) -> str:
    return next(filter(None, map(os.environ.get, names)), "")


def top_of(folder: Path) -> Path:
    """The repository's uppermost folder. Raises `GitError`."""
    return Path(git(folder, "rev-parse", "--show-toplevel").rstrip("\n"))


def commit_of(folder: Path, name: str) -> str:
    """The whole id of the commit that ``name`` stands for. Raises `GitError`."""
    try:
        return git(folder, "rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}").strip()
    except GitError as error:
        raise GitError(f"There is no commit '{name}' in {folder}: {error}") from error


def subject_of(folder: Path, commit: str) -> str:
    """The first line of a commit's message."""
    return git(folder, "log", "-1", "--format=%s", commit).strip()


def author_of(folder: Path, commit: str) -> str:
    """Who made a commit, and when."""
    return git(folder, "log", "-1", "--format=%an <%ae>, %ad", "--date=iso", commit).strip()


def parents_of(folder: Path, commit: str) -> list[str]:
    """The commits that a commit follows."""
    return git(folder, "log", "-1", "--format=%P", commit).split()


def ancestors_of(folder: Path, commit: str) -> list[str]:
    """The commits that lead to a commit, the nearest first; none where git or the commit is not there."""
    try:
        return git(folder, "rev-list", "--topo-order", "--end-of-options", commit).split()[1:]
    except GitError:
        return []


def is_ancestor(folder: Path, older: str, newer: str) -> bool:
    """Whether ``newer`` holds all that ``older`` does."""
    return git(folder, "merge-base", "--all", older, newer).split() == [older]


def suspects(folder: Path, bad: str, good: Sequence[str]) -> list[str]:
    """The commits that are in ``bad`` and in none of ``good``: the one that halves them best first, ``bad`` last."""
    lines = git(folder, "rev-list", "--bisect-all", bad, "--not", *good).splitlines()
    return [line.split()[0] for line in lines if line]
