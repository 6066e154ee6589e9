# SPDX-License-Identifier: Apache-2.0
"""Runs suites, by Robot Framework or by renode-test: what several commands do."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from springbok.gate import verdicts
from springbok.measuring import metrics
from springbok.measuring.recorded import Recorded
from springbok.support import process, run_record
from springbok.support.errors import BenchError
from springbok.support.files import storage_errors, temporary_folder
from springbok.support.results_folder import Outputs, held_locks, outputs

# What an earlier run left of these never passes for this run's.
OWN_RESULTS = (
    "metrics.json",
    "metrics.csv",
    "report.html",
    "report.md",
    "summary.md",
    "xunit.xml",
    "timeline.trace.json",
    "timeline.speedscope.json",
    run_record.FILE_NAME,
    verdicts.FILE_NAME,
)
REBOT = (sys.executable, "-m", "robot.rebot", "--output", "NONE", "--log", "NONE", "--report", "NONE")
ROBOT = (sys.executable, "-m", "springbok.support.robot_process")
ENGINES = ("auto", "spike", "renode", "serial", "rtl")


def choose_engine(name: str) -> str:
    """Return the engine that ``auto`` stands for here, or the named one; raises BenchError when it is not here."""
    if name == "auto":
        return "renode" if renode_test() else "spike"
    if name == "renode" and not renode_test():
        raise BenchError("--engine renode needs Renode: put renode-test on PATH or set RENODE_ROOT to its folder.")
    return name


def renode_test() -> Path | None:
    """Return Renode's test runner: in ``RENODE_ROOT``, else on PATH; None without Renode."""
    root = os.environ.get("RENODE_ROOT")
    if root:
        runner = Path(root) / "renode-test"
        if not runner.exists():
            raise BenchError(f"RENODE_ROOT is {root}, but there is no renode-test in it.")
        return runner
    found = shutil.which("renode-test")
    return Path(found) if found else None


def run_renode(suites: list[Path], results: Path, options: list[str]) -> int:
    """Run suites by renode-test; the results are where and what Robot's own would be, metrics of all suites together.

    ``options`` are renode-test's.
    """
    results = results.resolve()
    results.mkdir(parents=True, exist_ok=True)
    for name in (*OWN_RESULTS, "robot_output.xml", "log.html"):
        (results / name).unlink(missing_ok=True)
    files = [file for suite in suites for file in (sorted(suite.rglob("*.robot")) if suite.is_dir() else [suite])]
    started = time.time()
    command = [str(renode_test()), "-r", str(results), *options, *(str(file.resolve()) for file in files)]
    try:
        return call(command, environment={"PYTHONPATH": _without_robot(os.environ.get("PYTHONPATH", ""))})
    finally:  # a run that is asked to end has measured something too
        _gather(results, started)


def _gather(results: Path, started: float) -> None:
    """Put what renode-test left of a run that began at ``started`` where Robot's own would be."""
    if (results / "robot_output.xml").exists():
        call([*REBOT, "--xunit", str(results / "xunit.xml"), str(results / "robot_output.xml")], quiet=True)
    verdicts.gather(results, started)
    measured = [path for path in sorted(results.glob("*/metrics.json")) if path.stat().st_mtime >= started]
    if measured:
        recorded = Recorded()
        for path in measured:
            recorded.add(metrics.read(path), path.parent.name)
        metrics.write(results / "metrics.json", recorded.document)


@contextmanager
def tests_file(files: Outputs) -> Iterator[Path | None]:
    """Within the context, how the tests of a run ended, as ``xunit.xml``; None where Robot has left nothing of them.

    Where Robot's options leave that file out, it is made of Robot's output, and is gone at the end.
    """
    found = files.xunit_there()
    if found or files.xunit or not files.output_there():
        yield found
        return
    with temporary_folder("springbok-bench-tests-") as folder:
        made = folder / "xunit.xml"
        call([*REBOT, "--xunit", str(made), str(files.output_there())], quiet=True)
        yield made if made.is_file() else None


def _without_robot(path: str) -> str:
    """``PYTHONPATH`` without folders that have a Robot Framework of their own: Renode's Python keeps Renode's Robot."""
    folders = filter(None, path.split(os.pathsep))
    return os.pathsep.join(each for each in folders if not (Path(each) / "robot").is_dir())


def run_robot(engine: str, suites: list[Path], results: Path, data: str | None, robot_options: list[str]) -> int:
    """Run Robot Framework in a process of its own; what an earlier run left never passes for this one's."""
    files = outputs(robot_options, results)
    with storage_errors(files.folder, "Give the results another place: --results FOLDER."):
        files.folder.mkdir(parents=True, exist_ok=True)
        for path in (*map(files.folder.joinpath, OWN_RESULTS), files.output, files.log, files.xunit):
            if path is not None:
                path.unlink(missing_ok=True)
    command = [*ROBOT, "--outputdir", str(files.folder), "--xunit", "xunit.xml"]
    command += ["--expandkeywords", "name:PerformanceLibrary.Record Metrics"]  # the plots are seen at once
    command += ["--variable", f"ENGINE:{engine}"]
    command += data_variables(data)
    return call([*command, *robot_options, *map(str, suites)])


def data_variables(data: str | None) -> list[str]:
    """Robot's options for the archive of a data set."""
    return ["--variable", f"DATA:{Path(data).resolve()}"] if data else []


def call(command: list[str], quiet: bool = False, environment: dict[str, str] | None = None) -> int:
    """Run a command in the foreground, with the locks of this process; nothing of it is left, however it ends."""
    return process.run_in_foreground(command, quiet, environment, pass_fds=held_locks())
