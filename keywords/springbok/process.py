# SPDX-License-Identifier: Apache-2.0
"""Runs other programs, bounded: none outlives its time limit, nor do its children."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

TIME_LIMIT_SECONDS = 300.0


@dataclass(frozen=True)
class Finished:
    """How a program ended: its exit code (below 0: the signal that ended it) and what it wrote."""

    exit_code: int
    output: str
    timed_out: bool = False


def run(
    command: list[str | Path],
    time_limit: float | None = None,
    cwd: Path | None = None,
    environment: dict[str, str] | None = None,
) -> Finished:
    """Runs ``command`` and waits for its end, at most ``time_limit`` seconds (default: `TIME_LIMIT_SECONDS`); then it
    is killed with its children.

    ``environment`` is added to this process's own. Standard output and error are taken together.

    >>> run(["echo", "hello"]).output
    'hello\\n'
    """
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=cwd,
            env=os.environ | (environment or {}),
            start_new_session=True,
        )
        timed_out = False
        try:
            process.wait(TIME_LIMIT_SECONDS if time_limit is None else time_limit)
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            _kill_session(process)
        output.seek(0)
        return Finished(process.returncode, output.read().decode("utf-8", "replace"), timed_out)


def _kill_session(process: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
