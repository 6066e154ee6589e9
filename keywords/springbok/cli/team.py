# SPDX-License-Identifier: Apache-2.0
"""Runs Robot suites in several processes, a suite each, and makes one log of them all: what `./bench test` does.

A program of its own, ``python -m springbok.cli.team FOLDER PROCESSES OPTION… -- SUITE…``, so that whatever ends the
command ends all of it (`springbok.support.process`). Suites are begun in the order in which they are given.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from springbok.cli.running import ROBOT

_LOOK_SECONDS = 0.2
_REBOT = [sys.executable, "-m", "robot.rebot", "--name", "Suites"]


def main(arguments: Sequence[str]) -> int:
    """Run the suites; the exit status is Robot's for all of them: how many tests failed, at most 250."""
    folder, processes, *others = arguments
    end = others.index("--")
    return run(Path(folder), int(processes), others[:end], [Path(suite) for suite in others[end + 1 :]])


def run(folder: Path, processes: int, options: Sequence[str], suites: Sequence[Path]) -> int:
    """Run ``suites`` with Robot's ``options``, at most so many at once; results go to ``folder``, a folder a suite.

    What a suite wrote to the console is shown when it has ended. A suite that left no results is a failure, whatever
    the others did.
    """
    waiting, running, lost = list(suites), {}, []
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                suite = waiting.pop(0)
                running[_start(folder / suite.stem, options, suite)] = suite
            process = _next_of(list(running))
            suite = running.pop(process)
            sys.stdout.write((folder / suite.stem / "console.txt").read_text(encoding="utf-8", errors="replace"))
            sys.stdout.flush()
            if not (folder / suite.stem / "output.xml").is_file():
                lost.append(suite.name)
    except KeyboardInterrupt:
        for process in running:
            process.send_signal(signal.SIGINT)
        for process in running:
            process.wait()
        raise
    sys.stdout.flush()
    files = [folder / suite.stem / "output.xml" for suite in suites if suite.name not in lost]
    results = ["--outputdir", str(folder), "--output", "output.xml", "--xunit", "xunit.xml"]
    status = subprocess.run([*_REBOT, *results, *map(str, files)], check=False).returncode if files else 0
    for name in lost:
        sys.stdout.write(f"{name} ended without results: its words are above.\n")
    return status or len(lost)


def _start(folder: Path, options: Sequence[str], suite: Path) -> subprocess.Popen:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "output.xml").unlink(missing_ok=True)
    own = ["--outputdir", str(folder), "--log", "NONE", "--report", "NONE"]
    with (folder / "console.txt").open("wb") as console:
        command = [*ROBOT, *options, *own, str(suite)]
        return subprocess.Popen(command, stdout=console, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)


def _next_of(running: Sequence[subprocess.Popen]) -> subprocess.Popen:
    """Waits until one of the processes has ended; that one."""
    while True:
        for process in running:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_LOOK_SECONDS)
                return process


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
