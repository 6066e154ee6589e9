# SPDX-License-Identifier: Apache-2.0
"""A run of a scenario that was drawn, in a process of its own: told line by line, with progress, and stopped at will.

It is what ``./bench scenario`` does: the scenario as a Robot suite, for ``./bench run``. The suite is a temporary file,
so that nothing is written beside a scenario that was not saved.

Example::

    with ScenarioRun(scenario, Settings(results=Path("results")), print) as run:
        run.wait()
"""

from __future__ import annotations

import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from springbok.exploring.scenario import Scenario
from springbok.exploring.scenario_suite import write_suite
from springbok.support import process
from springbok.support.errors import BenchError
from springbok.support.progress import without_progress

#: What can run a scenario without more options.
ENGINES = ("auto", "spike", "renode", "serial")
_COLOURS = re.compile(r"\033\[[0-9;]*[A-Za-z]")


@dataclass(frozen=True)
class Settings:
    """How scenarios are run: as the options of ``./bench scenario`` that are called so."""

    results: Path
    engine: str = "auto"
    platform: str | None = None
    data: str | None = None
    samples: int | None = None

    def command(self, scenario: Scenario, suite: Path) -> list[str]:
        """The command that runs the scenario's suite."""
        given = {"--results": self.results, "--engine": self.engine, "--platform": self.platform, "--data": self.data}
        if self.engine == "serial":
            given["--port"] = scenario.port
        options = [part for name, value in given.items() if value for part in (name, str(value))]
        return [sys.executable, "-m", "springbok.cli", "run", str(suite), *options]


class ScenarioRun:
    """A run, from its start on. ``tell`` is called from a thread of its own with events, each an object:

    - ``{"event": "line", "text": …}``: what the run prints
    - ``{"event": "progress", "text": …, "percent": …}``: of the work that is under way
    - ``{"event": "ended", "status": …, "text": …}``: its exit status, 0 if all passed, and that in words; the last one

    Leaving the context ends the run; nothing of it is left then.
    """

    def __init__(self, scenario: Scenario, settings: Settings, tell: Callable[[dict[str, Any]], None]) -> None:
        self._scenario, self._settings, self._tell = scenario, settings, tell
        self._supervised: process.Supervised | None = None
        self._lock = threading.Lock()
        self._is_stopped = False
        self._thread = threading.Thread(target=self._run, name="scenario run", daemon=True)
        self._thread.start()

    def __enter__(self) -> ScenarioRun:
        return self

    def __exit__(self, *_: object) -> None:
        self._end(signal.SIGKILL)
        self.wait()

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it runs any more."""
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Ask the run to end; asked again, it ends at once. Its reports are written if there is something to report."""
        self._end(signal.SIGKILL if self._is_stopped else signal.SIGTERM)

    def wait(self) -> None:
        """Wait until nothing of it is left."""
        self._thread.join()

    def _end(self, number: int) -> None:
        with self._lock:
            self._is_stopped = True
            if self._supervised is not None:
                self._supervised.send_signal(number)

    def _run(self) -> None:
        status = 2
        try:
            # Beside the results, as './bench scenario' has it: the history names it, and 'bisect' runs it again.
            name = re.sub(r"[^\w.-]", "_", self._scenario.file.stem) or "scenario"
            suite = write_suite(self._scenario, self._settings.results / f"{name}.robot", self._settings.samples)
            status = self._execute(self._settings.command(self._scenario, suite))
        except (BenchError, OSError, ValueError) as error:  # ValueError: no command takes a text with a NUL
            self._tell({"event": "line", "text": f"springbok-bench: {error}"})
        finally:  # whatever it was: a run that is never told to have ended lets no other begin
            words = "passed" if status == 0 else "stopped" if self._is_stopped else f"failed, exit status {status}"
            self._tell({"event": "ended", "status": status, "text": words})

    def _execute(self, command: list[str]) -> int:
        """Run it before a terminal, since what nobody watches tells no progress."""
        ours, theirs = pty.openpty()
        try:
            colourless = f"{os.environ.get('ROBOT_OPTIONS', '')} --consolecolors off --consolemarkers off"
            environment = os.environ | {"ROBOT_OPTIONS": colourless.strip(), "CI": "", "TERM": "dumb"}
            options = {"stdin": subprocess.DEVNULL, "stdout": theirs, "stderr": theirs, "env": environment}
            with process.Supervised(command, "apart", start_new_session=True, **options) as supervised:
                with self._lock:
                    self._supervised = supervised
                    if self._is_stopped:
                        supervised.send_signal(signal.SIGKILL)
                os.close(theirs)
                theirs = -1
                self._read(ours)
                status, _ = supervised.wait()
                with self._lock:
                    self._supervised = None
            return status
        finally:
            os.close(ours)
            if theirs >= 0:
                os.close(theirs)

    def _read(self, terminal: int) -> None:
        """Tell what comes from the terminal until its other end is closed."""
        rest, told = b"", ""
        with suppress(OSError):  # EIO: nobody has the other end
            while data := os.read(terminal, 65536):
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self._tell({"event": "line", "text": _shown(line)})
                if (text := without_progress(_text(rest))[1]) and text != told:
                    told = text
                    found = re.search(r"\((\d+)%\)", text)
                    self._tell({"event": "progress", "text": text, "percent": int(found[1]) if found else None})
        if text := _shown(rest):
            self._tell({"event": "line", "text": text})


def _text(written: bytes) -> str:
    return written.decode("utf-8", "replace")


def _shown(line: bytes) -> str:
    """A line as it stands in the end: without progress and colours, and with what Robot writes over itself."""
    return _COLOURS.sub("", without_progress(_text(line))[0]).rstrip("\r").rpartition("\r")[2]
