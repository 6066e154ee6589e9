# SPDX-License-Identifier: Apache-2.0
"""Command lines: options that don't exist are named with the nearest that do, and options of several commands."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from springbok.support.errors import BenchError
from springbok.support.places import IS_CHECKOUT, ROOT
from springbok.support.suggestions import did_you_mean

if TYPE_CHECKING:
    from springbok.chips.chip import Chip

# What people may still write, and what it is now.
_OTHER_NAMES = {
    "--baseline": "--earlier RESULT shows what changed since earlier results, --baselines FOLDER is where the gate's "
    "baselines are",
}


class Parser(argparse.ArgumentParser):
    """Takes options by their whole names only: ``--baseline`` would stand for ``--baselines`` otherwise."""

    def __init__(self, **settings: object) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def parse_args(self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None):
        """As `argparse.ArgumentParser.parse_args`; raises `BenchError` for what is unknown."""
        options, unknown = self.parse_known_args(args, namespace)
        if unknown:
            name = unknown[0].partition("=")[0]
            if not name.startswith("-"):
                raise BenchError(f"{self.prog} takes no further argument '{name}'. {self.prog} --help lists them.")
            hint = did_you_mean(name, self._option_string_actions)
            if name in _OTHER_NAMES:
                hint = f": {_OTHER_NAMES[name]}"
            raise BenchError(f"{self.prog} takes no option '{name}'{hint}. {self.prog} --help lists what it takes.")
        return options

    def error(self, message: str) -> NoReturn:
        """A sentence, as all errors of commands are."""
        chosen = re.fullmatch(r"argument (.*?): invalid choice: (.*?) \(choose from (.*)\)", message)
        if chosen:
            known = [each.strip(" '") for each in chosen[3].split(",")]
            given = chosen[2].strip("'")
            hint = "" if given.isdecimal() else did_you_mean(given, known)
            message = f"{chosen[1]} can't be '{given}'{hint}: choose from {', '.join(known)}"
        raise BenchError(f"{self.prog}: {message}. {self.prog} --help lists what it takes.")


def add_results(parser: argparse.ArgumentParser, text: str, name: str = "--results") -> None:
    """Add ``--results FOLDER``."""
    parser.add_argument(name, metavar="FOLDER", default=str(results_here()), help=f"{text} (default: results)")


def results_here() -> Path:
    """Where results are if nothing else is said: in the checkout that one is in, else in the working folder."""
    return (ROOT if IS_CHECKOUT and Path.cwd().is_relative_to(ROOT) else Path.cwd()) / "results"


def add_vlen(parser: argparse.ArgumentParser, default: int | None, text: str) -> None:
    """Add ``--vlen N``."""
    parser.add_argument("--vlen", type=int, metavar="BITS", default=default, help=text)


def add_platform(parser: argparse.ArgumentParser) -> None:
    """Add ``--platform CHIP``."""
    text = "the chip: a name of platforms/, or a description of your own, FILE.toml (default: springbok)"
    parser.add_argument("--platform", metavar="CHIP", help=text)


def use_platform(options: argparse.Namespace) -> Chip:
    """The chip of ``--platform``, from now on that of this process and of all that it starts."""
    from springbok.chips.description import VARIABLE, load

    chip = load(options.platform)
    if options.platform:
        os.environ[VARIABLE] = str(Path(options.platform).resolve()) if chip.name != options.platform else chip.name
    return chip


def add_optimize(parser: argparse.ArgumentParser, default: str | None, text: str) -> None:
    """Add ``--optimize LEVEL``."""
    from springbok.compiler.optimizer import LEVELS

    parser.add_argument("--optimize", choices=LEVELS, default=default, help=text)
