# SPDX-License-Identifier: Apache-2.0
"""The commands of ``./bench``, one file each.

To add one, write its module with ``add_arguments(parser)`` and ``run(options)``, which returns an exit status, and its
line in `COMMANDS`. Only the module of the command that is run is imported: ``--help`` needs none.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import re
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from springbok.cli.arguments import Parser
from springbok.cli.text import OutputLost, output_told
from springbok.starter import version
from springbok.support import process
from springbok.support.errors import BenchError
from springbok.support.files import storage_errors
from springbok.support.places import DOCS, IS_CHECKOUT, PROGRAM, given_path
from springbok.support.suggestions import did_you_mean


@dataclass(frozen=True)
class Command:
    """A command: its name, which is its module's too (with ``_`` for ``-``), what it does in a line, whether ``--``
    begins options of Robot Framework's, and whether it is for this project's own checkout."""

    name: str
    line: str
    takes_robot_options: bool = False
    needs_checkout: bool = False

    @property
    def module(self) -> ModuleType:
        """The module, imported."""
        return importlib.import_module(f"{__name__}.{self.name.replace('-', '_')}")

    def parse(self, arguments: Sequence[str]) -> argparse.Namespace:
        """The command's options; what follows ``--`` is in ``robot_options``."""
        own, robot_options = _split(arguments) if self.takes_robot_options else (list(arguments), [])
        parser = Parser(prog=f"{PROGRAM} {self.name}", description=f"{self.line[0].upper()}{self.line[1:]}.")
        self.module.add_arguments(parser)
        options = parser.parse_args([_at_home(word) for word in own])
        options.robot_options = robot_options
        return options


COMMANDS = {
    command.name: command
    for command in (
        Command("init", "write a small repository of one's own: suite, model, data, baselines, CI"),
        Command("run", "run suites; what follows -- goes to Robot", True),
        Command("scenario", "run a scenario file of Kenning (JSON or YAML)", True),
        Command("studio", "draw, change, run and save scenarios in a browser of this computer"),
        Command("pipeline-manager", "scenarios in Antmicro's Pipeline Manager: its files, and what its buttons do"),
        Command("compile", "compile a model and say what it takes: size, kernels, memory; no chip is needed"),
        Command("cycles", "estimate the cycles of an inference by kernel, and where they go"),
        Command("calibrate", "fit a description of a pipeline to the cycles of a core's RTL"),
        Command("measure", "count a bare-metal program that marks windows, and estimate its cycles"),
        Command("core", "a core's RTL for --engine rtl: begin, check, try with random programs, repeat kept ones"),
        Command("platform", "write a chip's Renode platform, C header and linker script"),
        Command("mlperf", "MLPerf Tiny: its models' cost and quality beside the targets, or a chip for its own runner"),
        Command("fit", "tell whether models fit a chip, by memory; no chip is needed"),
        Command("models", "list the models that come with this project"),
        Command("data", "list the data sets"),
        Command("keywords", "write a page of all keywords, with an index and a search"),
        Command("report", "write report.html, report.md and metrics.csv from results"),
        Command("compare", "put several results side by side"),
        Command("matrix", "write models by chips and vector lengths as static files, with badges"),
        Command("history", "list the runs that were, the steps of their numbers, and make old reports again"),
        Command("bisect", "find the commit of a step by running suites at commits; what follows -- goes to run", True),
        Command("sweep", "measure all combinations of models, types, vector lengths and flags"),
        Command("compilers", "compile models with several versions of the compiler, and say what changed between them"),
        Command("phases", "say which flag, phase and pass makes the difference between two modules of a model"),
        Command("test", "run all tests of this project", True, needs_checkout=True),
        Command("trial", "run a long trial or benchmark; without a name, list them", needs_checkout=True),
        Command("lint", "check style and formatting of this project", needs_checkout=True),
    )
    if IS_CHECKOUT or not command.needs_checkout
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status, 0 only when everything passed.

    Who reads its output may go before the end, as ``head`` does: that ends it without a word.
    """
    try:
        with output_told():
            return _run(sys.argv[1:] if arguments is None else arguments)
    except OutputLost as lost:
        if lost.was_closed:
            return 128 + signal.SIGPIPE
        print(f"springbok-bench: {lost}", file=sys.stderr)
        return 2


def _run(arguments: Sequence[str]) -> int:
    try:
        with process.ended_by_signals(), storage_errors(Path.cwd()):
            # Held back by the launcher until there is somebody to say a sentence.
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            if not arguments or arguments[0] in ("-h", "--help"):
                print(overview())
                return 0
            if arguments[0] in ("-V", "--version"):
                print(f"springbok-bench {version()}")
                return 0
            command = find(arguments[0])
            options = command.parse(arguments[1:])
            return command.module.run(options)
    except BenchError as error:
        print(f"springbok-bench: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        print(f"springbok-bench: {error.filename!s:.60}… is too long for a file's name.", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        number = error.number if isinstance(error, process.Interrupted) else signal.SIGINT
        print(f"\nspringbok-bench: ended by {signal.Signals(number).name}.", file=sys.stderr)
        return 128 + number


def entry() -> NoReturn:
    """The console script ``springbok-bench`` of the installed package."""
    sys.exit(main())


def find(name: str) -> Command:
    """The command of this name. Raises `BenchError` with the nearest one."""
    if name not in COMMANDS:
        raise BenchError(
            f"There is no command '{name}'{did_you_mean(name, COMMANDS)}. Commands: {', '.join(COMMANDS)}; "
            f"{PROGRAM} --help says what they do."
        )
    return COMMANDS[name]


def overview() -> str:
    """All commands with a line each."""
    width = max(map(len, COMMANDS))
    return "\n".join(
        [
            f"usage: {PROGRAM} COMMAND [options]",
            "",
            "Tests RISC-V AI silicon: compiles models, runs them on a simulated chip, judges and measures.",
            "",
            *(f"  {command.name:{width}}  {command.line}" for command in COMMANDS.values()),
            "",
            f"{PROGRAM} COMMAND --help tells a command's options. Documents: {DOCS}",
        ]
    )


def _at_home(word: str) -> str:
    """A word of the command line with ``~`` as a path: shells leave it in quotes, and in ``--option=~/file``."""
    option, equals, value = word.partition("=") if re.match(r"--[\w-]+=~", word) else ("", "", word)
    return f"{option}{equals}{given_path(value)}" if value.startswith("~") else word


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    arguments = list(arguments)
    if "--" not in arguments:
        return arguments, []
    place = arguments.index("--")
    return arguments[:place], arguments[place + 1 :]
