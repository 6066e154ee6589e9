# SPDX-License-Identifier: Apache-2.0
"""``./bench run``: run suites on an engine and print what came out."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from springbok.chips.chip import DEFAULT
from springbok.cli import checks
from springbok.cli.arguments import (
    add_core,
    add_history,
    add_optimize,
    add_platform,
    add_timing,
    add_vlen,
    use_core,
    use_platform,
)
from springbok.cli.keeping import keep_run, record_run, tests_of
from springbok.cli.report import EARLIER, write_reports, write_summary
from springbok.cli.running import ENGINES, choose_engine, data_variables, run_renode, run_robot, tests_file
from springbok.cli.text import print_table, shown
from springbok.firmware import build_firmware
from springbok.gate import baseline, verdicts
from springbok.history import keeping, record
from springbok.measuring import metrics
from springbok.measuring.derived import estimated_cycles_of, quality_of, quality_text
from springbok.measuring.platforms import level_of, platform_of, platforms_text, told_apart
from springbok.measuring.recorded import left_out
from springbok.report.summary import add_failure, read_tests
from springbok.session import usable_timing
from springbok.support import process
from springbok.support.errors import BenchError
from springbok.support.places import IS_CHECKOUT, SUITES, command, project_of
from springbok.support.progress import working
from springbok.support.results_folder import Outputs, claimed, outputs

#: Of this project, or of the user's, as ``init`` writes it.
DEFAULT_SUITE = SUITES / "gestures.robot" if IS_CHECKOUT else Path("suites")


#: Suite and test, in ``xunit.xml``, of what the gate said no to and no test failed for.
NOT_TOLD = ("gate", "What no test failed for")

#: Suite and test there of a run that a signal ended: no test need have failed for that.
ENDED = ("run", "Ended by a signal")

#: What the exit status of a run that a signal ended is above the signal's number.
SIGNALLED = 128


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "suites", nargs="*", metavar="SUITE", help=f"Robot suite files or folders (default: {shown(DEFAULT_SUITE)})"
    )
    add_run_options(parser)
    add_vlen(parser, None, "bits of a vector register of the chip (default: as the chip is built)")


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of whatever runs a suite."""
    add_platform(parser)
    parser.add_argument("--engine", choices=ENGINES, default="auto", help="what runs the chip (default: auto)")
    add_core(parser)
    add_timing(parser, None)
    parser.add_argument("--port", help="where the board of --engine serial is: /dev/ttyUSB0 or a pyserial URL")
    parser.add_argument("--data", metavar="PATH", help="archive of a data set that is not downloaded (Magic Wand)")
    parser.add_argument("--results", metavar="FOLDER", help="where logs and metrics go (default: results)")
    parser.add_argument("--earlier", metavar="RESULT", help=EARLIER)
    parser.add_argument(
        "--baselines", metavar="FOLDER", help="where the gate's baselines are (default: results/baselines)"
    )
    parser.add_argument(
        "--update-baselines", action="store_true", help="make what is measured the baselines, and say what changed"
    )
    add_history(parser)
    add_optimize(parser, None, "level of the optimizer (default: the suite's, standard)")
    parser.add_argument(
        "--transformations", action="store_true", help="measure what each transformation of the optimizer brings"
    )


def run(options: argparse.Namespace) -> int:
    """Run the suites; the exit status is Robot's, or 1 where something was not kept and no test failed for it, and when
    no baseline was written that should have been.
    """
    suites = [Path(suite) for suite in options.suites] or [DEFAULT_SUITE]
    if not options.suites and not DEFAULT_SUITE.exists():
        raise BenchError(f"Name the suites to run, files or folders: there is no {shown(DEFAULT_SUITE)} here.")
    checks.check_suites(suites, options.robot_options)
    options.results = options.results or str(project_of(*suites) / "results")
    return run_suites(options, suites, vlen=options.vlen)


def run_suites(options: argparse.Namespace, suites: Sequence[Path], vlen: int | None = None) -> int:
    """Run suites with the options of `add_run_options`. What would stop every test is an error before anything runs."""
    robot_options = list(options.robot_options)
    engine = choose_engine(options.engine)
    whole_suites = not robot_options and not options.optimize  # another level has baselines of its own
    checks.check_inputs(options, engine)
    use_core(options, engine)
    chip = use_platform(options)
    if vlen is None and chip.name != DEFAULT:
        vlen = chip.vlen
    chip.check_vlen(chip.vlen if vlen is None else vlen)
    if options.timing is not None:
        usable_timing(options.timing, chip, engine, vlen)
    if engine == "serial":
        checks.check_board(options.port)
    with working("Building the firmware"):
        firmware = build_firmware(chip=chip)
    if firmware.built:
        print(f"Firmware: {firmware.summary()}")
    files = outputs(robot_options, Path(options.results)) if engine != "renode" else _of_renode(options, robot_options)
    robot_options = [*suite_variables(options, vlen), *robot_options]
    history, started = keeping.place_for(files.folder, options.history), record.now()
    with claimed(files.folder):
        status, asked = _run_to_its_end(engine, list(suites), files, options.data, robot_options)
        died = max(0, -status)
        with _raised_at_the_end(asked):
            with tests_file(files) as xunit:
                tests = _with_ending(xunit, asked.number if asked else died)
                if xunit:
                    status = _end_gate(files, xunit, "--nostatusrc" in robot_options) or status
                    tests = tests_of(xunit)
                run = record_run(files, started, suites, status == 0, tests)
                if (files.folder / "metrics.json").exists() or files.is_dry:
                    with working("Making the reports"):
                        write_reports(files.folder, files.folder, options.earlier, files)
                if xunit:
                    write_summary(files.folder, xunit, options.earlier)
            print_summary(files)
            if not files.is_dry:
                keep_run(run, files.folder, history)
        if options.update_baselines:
            passed = status == 0
            prune = suites if whole_suites and passed else ()
            status = print_updates(files.folder, engine, prune=prune, passed=passed) or status
        if died:
            print(_death(died, files.output))
    return SIGNALLED + died if died else status


def _run_to_its_end(
    engine: str, suites: list[Path], files: Outputs, data: str | None, robot_options: list[str]
) -> tuple[int, process.Interrupted | None]:
    """Run suites; the exit status, and what asked this process to end meanwhile, which keeps what was measured."""
    with keeping.by_whoever_started():
        try:
            if engine == "renode":
                return run_renode(suites, files.folder, [*data_variables(data), *robot_options]), None
            return run_robot(engine, suites, files.folder, data, robot_options), None
        except process.Interrupted as asked:
            return SIGNALLED + asked.number, asked


@contextmanager
def _raised_at_the_end(asked: process.Interrupted | None) -> Iterator[None]:
    """What asked this process to end is raised when the context ends; what goes wrong there is said, and no more."""
    try:
        yield
    except BenchError as error:
        if asked is None:
            raise
        print(f"springbok-bench: {error}", file=sys.stderr)
    if asked is not None:
        raise asked


def _with_ending(xunit: Path | None, number: int) -> record.Tests:
    """The tests of a run, with one that failed for the signal that ended it, in ``xunit.xml`` too; 0: none did."""
    if not number:
        return tests_of(xunit)
    told = f"{process.ending(-number)} ended the run: what it had not measured until then is missing."
    told = told[0].upper() + told[1:]
    if xunit is None:
        return record.Tests(1, 0, (record.Failure(": ".join(ENDED), told),))
    add_failure(xunit, *ENDED, told)
    return tests_of(xunit)


def _end_gate(files: Outputs, xunit: Path, obeys_nostatusrc: bool) -> int:
    """Let the gate of a run that has ended say what it said no to and no test has failed for: 1 where there is such."""
    not_kept = verdicts.end(files.folder, files.is_dry)
    if not not_kept or read_tests(xunit).failed:  # as a rule Robot says so itself
        return 0
    add_failure(xunit, *NOT_TOLD, "\n".join(each.text() for each in not_kept))
    return int(not obeys_nostatusrc)


def _death(number: int, output: Path | None) -> str:
    """What is said of a run whose process a signal ended, which nobody sent from here: a library's fault, as a rule."""
    name = process.ending(-number).removeprefix("signal ")
    unfinished = f", and {shown(output)} is cut short" if output and output.is_file() else ""
    return (
        f"The run died by signal {number} ({name}): its test did not end, and no later one has run. There is no log"
        f"{unfinished}; what the process said last is above, below the name of the test."
    )


def _of_renode(options: argparse.Namespace, runner_options: list[str]) -> Outputs:
    """Where a run by renode-test puts its results: it has no options of Robot's for that."""
    given = [each for each in runner_options if re.match(r"-r$|--results-dir|--outputdir", each)]
    if given:
        raise BenchError(
            f"{given[0]} behind --: with Renode, the results' place is given as "
            f"'{command('run', 'SUITE', '--results', 'FOLDER')}'."
        )
    return outputs([], Path(options.results))


def suite_variables(options: argparse.Namespace, vlen: int | None = None) -> list[str]:
    """Options of a run that suites read as variables."""
    given = {
        "EARLIER": options.earlier and Path(options.earlier).resolve(),
        "BASELINES": options.baselines and Path(options.baselines).resolve(),
        "UPDATE_BASELINES": "yes" if options.update_baselines else None,
        "OPTIMIZE": options.optimize,
        "MEASURE_TRANSFORMATIONS": "yes" if options.transformations else None,
        "TIMING": _named_file(options.timing),
        "PORT": options.port,
        "PLATFORM": _named_file(options.platform),
        "VLEN": vlen,
    }
    return [part for name, value in given.items() if value or value == 0 for part in ("--variable", f"{name}:{value}")]


def _named_file(given: str | None) -> str | Path | None:
    """A file of one's own is told by where it is, for suites that run elsewhere."""
    return Path(given).resolve() if given and given.endswith(".toml") else given


def print_updates(results: Path, engine: str, prune: Sequence[Path], passed: bool) -> int:
    """Print what became of the baselines; 1 when none was written: a gate that records nothing gates nothing.

    What the suites ``prune`` do not measure any more is removed, but for what another suite of the same name may.
    """
    updates = verdicts.read(results)["updates"]
    print("\nBaselines:")
    if updates and not passed:
        print("  Not all tests of this run passed: look at them before you commit what was written.")
    for update in updates:
        print(f"  {shown(Path(update['path']))}")
        for change in update["changes"] or ["unchanged"]:
            print(f"    {change}")
    namesakes = checks.namesakes(prune, project_of(*prune)) if prune and updates else {}
    kept = {baseline.folder_name(suite): suite for suite in namesakes}
    written = [Path(update["path"]) for update in updates]
    for name in sorted(kept.keys() & {path.parent.name for path in written}):
        print(f"  Nothing is removed from {name}/, where the baselines of {shown(kept[name])} are too.")
    for path in baseline.prune(engine, written, kept) if prune else ():
        print(f"  {shown(path)}\n    removed: no test measures it any more")
    if not updates:
        print("  None was written: no test of this run came past 'Performance Should Not Regress'.")
    return 0 if updates else 1


def print_summary(files: Outputs) -> None:
    """Print the short table of a run from its metrics.json, and where the log is, or why there is none."""
    results = files.folder
    file = results / "metrics.json"
    if file.exists():
        document = metrics.read(file)
        header = (
            "model",
            "variant",
            "samples",
            "accuracy",
            "host",
            "max error",
            "instructions",
            "vector",
            "dispatches",
        )
        rows = [header, *(_row(model) for model in document["models"])]
        for title, cells in _columns(document).items():
            rows = [(*row, cell) for row, cell in zip(rows, (title, *cells), strict=True)]
        print()
        if document["models"]:
            print_table(rows, left=2)
            print()
        for sentence in left_out(document):
            print(f"Left out: {sentence}.")
        for check in document.get("rtl", []):
            verdict = "agrees with its model" if check["agrees"] else "was REFUSED"
            print(f"RTL:     {check['unit']} {verdict}, {sum(check['operands'].values()):,} operands")
        for platform in platforms_text(document):
            print(f"Engine:  {platform}")
        timings = {each["name"]: each["standing"] for each in _timings(document)}
        for name, standing in timings.items():
            print(f"Cycles:  estimated by {name} ({standing})")
        estimates = [model["estimate"] for model in document["models"] if "estimate" in model]
        for note in dict.fromkeys(note for each in estimates for note in each.get("notes", ())):
            print(f"         {note}")
        print(f"Metrics: {shown(file)}, metrics.csv")
        print(f"Report:  {shown(results / 'report.html')}, report.md")
    tests = read_tests(xunit, files.is_dry) if (xunit := files.xunit_there()) else None
    if tests and (tests.is_dry or not tests.count):
        print(f"Tests:   {tests.headline}")
    for line in verdicts.summary(results):
        print(line)
    if log := files.log_there():
        print(f"Log:     {shown(log)}")
    for sentence in files.missing():
        print(f"Missing: {sentence}")


def _timings(document: dict) -> list[dict]:
    return [model["estimate"]["timing"] for model in document["models"] if "estimate" in model]


def _columns(document: dict) -> dict[str, list[str]]:
    """What some runs' models have more, and what tells a run's models apart where that differs, by the title."""
    models, found = document["models"], {}
    places = told_apart([platform_of(document, model) for model in models])
    if any(places):
        found["platform"] = places
    if any("estimate" in model for model in models):
        estimates = (estimated_cycles_of(model) for model in models)
        found["estimated cycles"] = ["none" if each is None else f"{each:,.0f}" for each in estimates]
    parts = {
        "optimize": [level_of(model) or "unknown" for model in models],
        "data": [model["dataset"]["name"] for model in models],
    }
    return found | {title: cells for title, cells in parts.items() if len(set(cells)) > 1}


def _row(model: dict) -> tuple[str, ...]:
    vectors = model["vector_instructions"]["mean"]
    error = model["max_abs_error"]
    return (
        model["name"],
        model["variant"],
        str(model["samples"]),
        _quality_cell(model, "device"),
        _quality_cell(model, "host"),
        "not finite" if error is None else f"{error:.1e}",
        f"{model['instructions']['mean']:,.0f}",
        "unknown" if vectors is None else f"{vectors:,.0f}",
        str(len(model["dispatches"])),
    )


def _quality_cell(model: dict, owner: str) -> str:
    """What the task judges, such as ``95.00%`` or ``AUC 0.98``; a dash where there is only the host to compare with."""
    accuracy = quality_of(model, owner).get("accuracy")
    return quality_text(model, owner) or "-" if accuracy is None else f"{accuracy:.2%}"
