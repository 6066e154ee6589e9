# SPDX-License-Identifier: Apache-2.0
"""The commands of ``./bench``: run suites, run all tests of the project, check its style."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from springbok import trials
from springbok.compiler.optimizer import LEVELS
from springbok.exploring import sweep
from springbok.firmware import build_firmware
from springbok.gate import baseline, verdicts
from springbok.measuring import metrics
from springbok.measuring.derived import quality_of, quality_text
from springbok.support import process
from springbok.support.errors import BenchError
from springbok.support.files import build_folder, storage_errors
from springbok.support.places import KEYWORDS, RESULTS, ROOT, SUITES
from springbok.support.results_folder import Outputs, claimed, held_locks, outputs

DEFAULT_SUITE = SUITES / "gestures.robot"
# What an earlier run left of these never passes for this run's.
OWN_RESULTS = ("metrics.json", "metrics.csv", "report.md", "summary.md", "xunit.xml", verdicts.FILE_NAME)
ENGINES = ("auto", "spike", "renode", "serial")


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status, 0 only when everything passed."""
    arguments = sys.argv[1:] if arguments is None else arguments
    own, robot_options = _split(arguments)
    options = _parser().parse_args(own)
    try:
        with process.ended_by_signals(), storage_errors(Path.cwd()):
            return options.command(options, robot_options)
    except BenchError as error:
        print(f"springbok-bench: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        number = error.number if isinstance(error, process.Interrupted) else signal.SIGINT
        print(f"\nspringbok-bench: ended by {signal.Signals(number).name}.", file=sys.stderr)
        return 128 + number


def run(options: argparse.Namespace, robot_options: list[str]) -> int:
    """``./bench run``: run suites on an engine and print what came out."""
    engine = choose_engine(options.engine)
    whole_suites = not robot_options and not options.optimize  # another level has baselines of its own
    if (engine == "serial") != bool(options.port):
        raise BenchError("--engine serial and --port belong together, for instance --port /dev/ttyUSB0.")
    if options.port:
        robot_options = ["--variable", f"PORT:{options.port}", *robot_options]
    suites = [Path(suite) for suite in options.suites] or [DEFAULT_SUITE]
    for suite in suites:
        if not suite.exists():
            raise BenchError(f"There is no suite {suite}. The project's own suites are in {SUITES}.")
    firmware = build_firmware()
    print(f"Firmware: {firmware.summary()}")
    files = outputs(robot_options, Path(options.results)) if engine != "renode" else _of_renode(options, robot_options)
    if options.baseline:
        metrics.read(options.baseline)  # a baseline that can't be read is said before the run, not after it
    robot_options = [*_suite_variables(options), *robot_options]
    with claimed(files.folder):
        if engine == "renode":
            status = run_renode(suites, files.folder, [*_variables(options.data), *robot_options])
        else:
            status = run_robot(engine, suites, files.folder, options.data, robot_options)
        if (files.folder / "metrics.json").exists():
            write_reports(files.folder, files.folder, options.baseline)
        if xunit := files.xunit_there():
            write_summary(files.folder, xunit)
        print_summary(files)
        if options.update_baselines:
            status = print_updates(files.folder, engine, prune=whole_suites and status == 0) or status
    return status


def _of_renode(options: argparse.Namespace, runner_options: list[str]) -> Outputs:
    """Where a run by renode-test puts its results: it has no options of Robot's for that."""
    given = [each for each in runner_options if re.match(r"-r$|--results-dir|--outputdir", each)]
    if given:
        raise BenchError(
            f"{given[0]} behind --: with Renode, the results' place is given as ./bench run --results FOLDER."
        )
    return outputs([], Path(options.results))


def _suite_variables(options: argparse.Namespace) -> list[str]:
    """Options of a run that suites read as variables."""
    given = {
        "BASELINE": options.baseline and Path(options.baseline).resolve(),
        "BASELINES": options.baselines and Path(options.baselines).resolve(),
        "UPDATE_BASELINES": "yes" if options.update_baselines else None,
        "OPTIMIZE": options.optimize,
        "MEASURE_TRANSFORMATIONS": "yes" if options.transformations else None,
    }
    return [part for name, value in given.items() if value for part in ("--variable", f"{name}:{value}")]


def print_updates(results: Path, engine: str, prune: bool) -> int:
    """Print what became of the baselines; 1 when none was written: a gate that records nothing gates nothing."""
    updates = verdicts.read(results)["updates"]
    print("\nBaselines:")
    for update in updates:
        print(f"  {_shown(Path(update['path']))}")
        for change in update["changes"] or ["unchanged"]:
            print(f"    {change}")
    for path in baseline.prune(engine, [Path(update["path"]) for update in updates]) if prune else ():
        print(f"  {_shown(path)}\n    removed: no test measures it any more")
    if not updates:
        print("  None was written: no test of this run says 'Performance Should Not Regress'.")
    return 0 if updates else 1


def scenario(options: argparse.Namespace, robot_options: list[str]) -> int:
    """``./bench scenario``: run a scenario file of Kenning as the Robot suite that it stands for, or write that."""
    from springbok.exploring import scenario as scenarios

    read = scenarios.read_scenario(options.file, options.engine, options.port)
    print(read.describe(), flush=True)
    if options.to_suite:
        scenarios.write_suite(read, Path(options.to_suite), options.samples)
        print(f"Suite: {_shown(Path(options.to_suite))}")
        return 0
    if options.engine == "serial":
        options.port = read.port
    suite = Path(options.results) / f"{Path(options.file).stem}.robot"
    options.suites = [suite]
    with claimed(options.results):
        scenarios.write_suite(read, suite, options.samples)
        return run(options, robot_options)


def report(options: argparse.Namespace, robot_options: list[str]) -> int:
    """``./bench report``: make the reports of results anew, beside them."""
    del robot_options
    for results in map(Path, options.results):
        metrics.read(results)  # what is not there is said before its folder is made
        folder = results if results.is_dir() else results.parent
        with claimed(folder):
            for path in write_reports(results, folder, options.baseline):
                print(_shown(path))
    return 0


def compare(options: argparse.Namespace, robot_options: list[str]) -> int:
    """``./bench compare``: several results side by side, as a page, as Markdown, and as a table here."""
    del robot_options
    from springbok import report as reports

    runs = [reports.Run(label, metrics.read(path)) for label, path in _labelled(options.results)]
    with claimed(options.output):
        figure, paths = reports.write_comparison(runs, options.output)
    _print_table(
        [[column.title for column in figure.columns], *([c.shown(row) for c in figure.columns] for row in figure.rows)]
    )
    print(f"\n{figure.note}")
    for path in paths:
        print(_shown(path))
    return 0


def write_reports(results: Path, folder: Path, earlier_results: str | None) -> list[Path]:
    """Write report.html, report.md and metrics.csv of results; only here is the plotting library loaded."""
    from springbok import report as reports

    home = results if results.is_dir() else results.parent
    earlier = metrics.read(earlier_results) if earlier_results else None
    return reports.write_reports(metrics.read(results), folder, earlier, _first_figures(home))


def write_summary(results: Path, xunit: Path) -> Path:
    """Write summary.md of a run, for a CI server's job page; of one that measured nothing too."""
    from springbok import report as reports

    document = metrics.read(results) if (results / "metrics.json").exists() else None
    return reports.write_summary(results, document, _first_figures(results), xunit)


def _first_figures(folder: Path) -> list:
    """What the gate and a sweep in this folder have to say."""
    from springbok import report as reports

    figures = reports.gate_figures(verdicts.read(folder))
    if swept := sweep.read(folder):
        figures.append(reports.sweep_figure(swept["rows"]))
    return figures


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
    for name in (*OWN_RESULTS, "robot_output.xml"):
        (results / name).unlink(missing_ok=True)
    files = [file for suite in suites for file in (sorted(suite.rglob("*.robot")) if suite.is_dir() else [suite])]
    started = time.time()
    status = _call([str(renode_test()), "-r", str(results), *options, *(str(file.resolve()) for file in files)])
    if (results / "robot_output.xml").exists():
        rebot = [sys.executable, "-m", "robot.rebot", "--output", "NONE", "--log", "NONE", "--report", "NONE"]
        _call([*rebot, "--xunit", str(results / "xunit.xml"), str(results / "robot_output.xml")], quiet=True)
    verdicts.gather(results, started)
    measured = [path for path in sorted(results.glob("*/metrics.json")) if path.stat().st_mtime >= started]
    if measured:
        documents = [metrics.read(path) for path in measured]
        models = [model for document in documents for model in document["models"]]
        checks = [check for document in documents for check in document.get("rtl", [])]
        whole = {**documents[0], "models": models, **({"rtl": checks} if checks else {})}
        metrics.write(results / "metrics.json", whole)
    return status


def run_robot(engine: str, suites: list[Path], results: Path, data: str | None, robot_options: list[str]) -> int:
    """Run Robot Framework in a process of its own; what an earlier run left never passes for this one's."""
    files = outputs(robot_options, results)
    with storage_errors(files.folder, "Give the results another place: --results FOLDER."):
        files.folder.mkdir(parents=True, exist_ok=True)
        for path in (*map(files.folder.joinpath, OWN_RESULTS), files.output, files.log, files.xunit):
            if path is not None:
                path.unlink(missing_ok=True)
    command = [sys.executable, "-m", "robot", "--outputdir", str(files.folder), "--xunit", "xunit.xml"]
    command += ["--expandkeywords", "name:PerformanceLibrary.Record Metrics"]  # the plots are seen at once
    command += ["--variable", f"ENGINE:{engine}"]
    command += _variables(data)
    return _call([*command, *robot_options, *map(str, suites)])


def _variables(data: str | None) -> list[str]:
    return ["--variable", f"DATA:{Path(data).resolve()}"] if data else []


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
        print()
        if document["models"]:
            _print_table(rows, left=2)
            print()
        for check in document.get("rtl", []):
            verdict = "agrees with its model" if check["agrees"] else "was REFUSED"
            print(f"RTL:     {check['unit']} {verdict}, {sum(check['operands'].values()):,} operands")
        print(f"Engine: {document['engine']} {document['engine_version']}, VLEN {document['vlen_bits']}")
        print(f"Metrics: {_shown(file)}, metrics.csv")
        print(f"Report:  {_shown(results / 'report.html')}, report.md")
    for line in verdicts.summary(results):
        print(line)
    if log := files.log_there():
        print(f"Log:     {_shown(log)}")
    for sentence in files.missing():
        print(f"Missing: {sentence}")


def test(options: argparse.Namespace, robot_options: list[str]) -> int:
    """``./bench test``: style, Python and C tests, then the Robot suites on Spike. All run; any failure counts."""
    with claimed(build_folder() / "test-results"), claimed(build_folder() / "test-results-renode"):
        failed = [name for name, step in _test_steps(options, robot_options) if step() != 0]
    print(f"\nFailed: {', '.join(failed)}" if failed else "\nEverything passed.")
    return 1 if failed else 0


def trial(options: argparse.Namespace, robot_options: list[str]) -> int:
    """``./bench trial``: list the long trials and benchmarks, or run one with its own options."""
    del robot_options
    if options.name is None:
        _print_table([(each.name, each.line) for each in trials.TRIALS], left=2)
        return 0
    return trials.run(options.name, options.options)


def lint(options: argparse.Namespace, robot_options: list[str]) -> int:
    """``./bench lint``: check style and formatting of Python, Robot and C; with --fix mend what can be mended."""
    del robot_options
    python = [str(ROOT / name) for name in ("bench", "keywords", "models")]
    c_files = sorted(
        str(path)
        for folder in ("firmware", "platforms")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".c", ".h", ".cpp")
    )
    scripts = Path(sys.executable).parent
    fix = options.fix
    commands = [
        [scripts / "ruff", "check", *(["--fix"] if fix else []), *python],
        [scripts / "ruff", "format", *([] if fix else ["--check"]), *python],
        [scripts / "lint-imports", "--no-logo", "--no-cache", str(ROOT / "pyproject.toml")],
        [scripts / "robocop", "check", str(SUITES)],
        [scripts / "robocop", "format", *([] if fix else ["--check", "--no-overwrite"]), str(SUITES)],
        [scripts / "clang-format", *(["-i"] if fix else ["--dry-run", "--Werror"]), *c_files],
    ]
    return max(_call(list(map(str, command))) for command in commands)


def _test_steps(options: argparse.Namespace, robot_options: list[str]):
    results = build_folder() / "test-results"
    suites = sorted(SUITES.glob("*.robot"))
    yield "style (./bench lint)", lambda: _titled("Style", lambda: lint(argparse.Namespace(fix=False), []))
    yield (
        "unit tests (pytest)",
        lambda: _titled("Python and C tests", _pytest),
    )
    yield (
        "suites (Robot on Spike)",
        lambda: _titled(
            "Robot suites on Spike", lambda: run_robot("spike", suites, results, options.data, robot_options)
        ),
    )
    yield (
        "suites (renode-test)",
        lambda: _titled("Robot suites on Renode", lambda: _test_on_renode(suites, options.data)),
    )


def _pytest() -> int:
    # Its folders are for looking at what failed: they stay, where temporary files of commands don't.
    environment = {"PYTEST_DEBUG_TEMPROOT": tempfile.gettempdir()}
    return _call([sys.executable, "-m", "pytest", str(KEYWORDS / "tests")], environment=environment)


def _test_on_renode(suites: list[Path], data: str | None) -> int:
    """Run what needs Renode, and what every engine should run, where Renode is; else say what was left out."""
    own = sorted((SUITES / "renode").glob("*.robot"))
    if renode_test() is None:
        print(
            f"Skipped: {len(own)} suites that need Renode, and {len(suites)} suites a second time on it, because "
            "renode-test is not on PATH and RENODE_ROOT is not set."
        )
        return 0
    results = build_folder() / "test-results-renode"
    return run_renode([*own, *suites], results, ["-j", str(os.cpu_count() or 1), *_variables(data)])


def _titled(title: str, step) -> int:
    print(f"\n== {title} ==", flush=True)
    return step()


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


def _print_table(rows: list, left: int = 1) -> None:
    """Print rows of text in columns, the first ``left`` of them aligned to the left."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())


def _labelled(results: list[str]) -> list[tuple[str, Path]]:
    """Name each result by its folder, or by its whole path where folders have the same name."""
    paths = [Path(each) for each in results]
    folders = [(path if path.is_dir() else path.parent).resolve() for path in paths]
    names = [folder.name for folder in folders]
    return [(name if names.count(name) == 1 else str(path), path) for name, path in zip(names, paths, strict=True)]


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _split(arguments: list[str]) -> tuple[list[str], list[str]]:
    if "--" not in arguments:
        return arguments, []
    place = arguments.index("--")
    return arguments[:place], arguments[place + 1 :]


def _call(command: list[str], quiet: bool = False, environment: dict[str, str] | None = None) -> int:
    """Run a command in the foreground, with the locks of this process; nothing of it is left, however it ends."""
    return process.run_in_foreground(command, quiet, environment, pass_fds=held_locks())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./bench",
        description="Tests RISC-V AI silicon: compiles models, runs them on a simulated chip, judges and measures.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    runner = commands.add_parser(
        "run", help="run suites (default: robot/gestures.robot); what follows -- goes to Robot"
    )
    runner.add_argument("suites", nargs="*", metavar="SUITE", help="Robot suite files or folders")
    _add_run_options(runner)
    runner.set_defaults(command=run)

    scenarios = commands.add_parser("scenario", help="run a scenario file of Kenning (JSON or YAML)")
    scenarios.add_argument("file", metavar="FILE", help="the scenario")
    scenarios.add_argument("--to-suite", metavar="SUITE", help="write it as a Robot suite instead of running it")
    scenarios.add_argument("--samples", type=int, metavar="N", help="how many recordings to infer (default: all)")
    _add_run_options(scenarios)
    scenarios.set_defaults(command=scenario)

    reporter = commands.add_parser("report", help="write report.html, report.md and metrics.csv from results")
    reporter.add_argument(
        "results", nargs="*", metavar="RESULT", default=[str(RESULTS)], help="folders or metrics.json files"
    )
    reporter.add_argument("--baseline", metavar="RESULT", help="earlier results; the report shows the change")
    reporter.set_defaults(command=report)

    comparer = commands.add_parser("compare", help="put several results side by side")
    comparer.add_argument("results", nargs="+", metavar="RESULT", help="folders or metrics.json files")
    comparer.add_argument(
        "--output", metavar="FOLDER", default=str(RESULTS), help="where compare.html goes (default: results)"
    )
    comparer.set_defaults(command=compare)

    sweep.add_command(commands, RESULTS)

    tester = commands.add_parser("test", help="run all tests of this project")
    tester.add_argument("--data", metavar="PATH", help="archive of the Magic Wand data set")
    tester.set_defaults(command=test)

    trier = commands.add_parser("trial", help="run a long trial or benchmark; without a name, list them")
    trier.add_argument("name", nargs="?", metavar="NAME", help="the trial")
    trier.add_argument("options", nargs=argparse.REMAINDER, metavar="...", help="its own options (try --help)")
    trier.set_defaults(command=trial)

    linter = commands.add_parser("lint", help="check style and formatting of this project")
    linter.add_argument("--fix", action="store_true", help="mend what can be mended")
    linter.set_defaults(command=lint)
    return parser


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--engine", choices=ENGINES, default="auto", help="what runs the chip (default: auto)")
    parser.add_argument("--port", help="where the board of --engine serial is: /dev/ttyUSB0 or a pyserial URL")
    parser.add_argument("--data", metavar="PATH", help="archive of a data set that is not downloaded (Magic Wand)")
    parser.add_argument(
        "--results", metavar="FOLDER", default=str(RESULTS), help="where logs and metrics go (default: results)"
    )
    parser.add_argument("--baseline", metavar="RESULT", help="earlier results; the log and the report show the change")
    parser.add_argument(
        "--update-baselines", action="store_true", help="make what is measured the baselines, and say what changed"
    )
    parser.add_argument("--optimize", choices=LEVELS, help="level of the optimizer (default: the suite's, standard)")
    parser.add_argument(
        "--transformations", action="store_true", help="measure what each transformation of the optimizer brings"
    )
    parser.add_argument("--baselines", metavar="FOLDER", help="where baselines are (default: results/baselines)")


if __name__ == "__main__":
    sys.exit(main())
