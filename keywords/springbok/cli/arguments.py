# SPDX-License-Identifier: Apache-2.0
"""Command lines: options that don't exist are named with the nearest that do, and options of several commands."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from springbok.support.errors import BenchError
from springbok.support.places import IS_CHECKOUT, ROOT, command, model_file
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
        if any(not each.startswith("-") for each in unknown) and self._may_mix:
            options, unknown = self.parse_known_intermixed_args(args, namespace)
        if unknown:
            name = unknown[0].partition("=")[0]
            if not name.startswith("-"):
                raise BenchError(f"{self.prog} takes no further argument '{name}'. {self.prog} --help lists them.")
            hint = did_you_mean(name, self._option_string_actions)
            if name in _OTHER_NAMES:
                hint = f": {_OTHER_NAMES[name]}"
            raise BenchError(f"{self.prog} takes no option '{name}'{hint}. {self.prog} --help lists what it takes.")
        self._check_empty(options)
        return options

    def _check_empty(self, options: argparse.Namespace) -> None:
        """What is empty stands for a variable that is not set, except where nothing is what an option says already."""
        for action in self._actions:
            given = getattr(options, action.dest, None)
            takes_nothing = action.default == "" or action.dest == "flags"
            if not takes_nothing and "" in (given if isinstance(given, list | tuple) else [given]):
                name = " or ".join(action.option_strings) or action.metavar or action.dest
                raise BenchError(f"{self.prog}: {name} is empty. If a variable was meant there, it is not set.")

    @property
    def _may_mix(self) -> bool:
        """Whether options may stand between what has no name: ``history add --history FILE FOLDER``."""
        return all(action.nargs != argparse.REMAINDER for action in self._get_positional_actions())

    def error(self, message: str) -> NoReturn:
        """A sentence, as all errors of commands are."""
        if lacking := re.fullmatch(r"argument (\S+): expected one argument", message):
            message = f'{lacking[1]} lacks its value, which is given as {lacking[1]}="…" where it begins with a dash'
        chosen = re.fullmatch(r"argument (.*?): invalid choice: (.*?) \(choose from (.*)\)", message)
        if chosen:
            known = [each.strip(" '") for each in chosen[3].split(",")]
            given = chosen[2].strip("'")
            hint = "" if given.isdecimal() else did_you_mean(given, known)
            message = f"{chosen[1]} can't be '{given}'{hint}: choose from {', '.join(known)}"
        raise BenchError(f"{self.prog}: {message}. {self.prog} --help lists what it takes.")


def whole(least: int = 1, most: int = 2**31 - 1) -> Callable[[str], int]:
    """The type of an option that is a whole number from ``least`` to ``most``: anything else is refused by the parser.

    >>> whole()("12")
    12
    """

    def read(text: str) -> int:
        number = int(text) if re.fullmatch(r"[+-]?[0-9]{1,1000}", text) else None
        if number is not None and least <= number <= most:
            return number
        bound = f"to {most}" if number is not None and number > most or most < 2**31 - 1 else "on"
        raise argparse.ArgumentTypeError(f"{text:.40}: a number from {least} {bound} is meant")

    return read


#: What names another folder where a command only writes pages.
OUTPUT = "--output FOLDER"
#: The types of a port's number, and of one that may be any free one, by 0.
PORT, ANY_PORT = whole(1, 65535), whole(0, 65535)


def add_results(parser: argparse.ArgumentParser, text: str, name: str = "--results") -> None:
    """Add ``--results FOLDER``."""
    parser.add_argument(name, metavar="FOLDER", default=str(results_here()), help=f"{text} (default: results)")


def results_here() -> Path:
    """Where results are if nothing else is said: in the checkout that one is in, else in the working folder."""
    return (ROOT if IS_CHECKOUT and Path.cwd().is_relative_to(ROOT) else Path.cwd()) / "results"


def add_vlen(parser: argparse.ArgumentParser, default: int | None, text: str) -> None:
    """Add ``--vlen N``."""
    parser.add_argument("--vlen", type=whole(0), metavar="BITS", default=default, help=text)


def add_platform(parser: argparse.ArgumentParser) -> None:
    """Add ``--platform CHIP``."""
    text = "the chip: a name of platforms/, or a description of your own, FILE.toml (default: springbok)"
    parser.add_argument("--platform", metavar="CHIP", help=text)


def add_timing(parser: argparse.ArgumentParser, default: str | None, without: str = "") -> None:
    """Add ``--timing TIMING``; ``without`` is what else it takes, for no estimate."""
    own = "the chip's own" if default else "no estimate of cycles"
    other = f"; {without} for counts alone" if without else ""
    parser.add_argument(
        "--timing",
        metavar="TIMING",
        default=default,
        help="the core's pipeline: a name of platforms/timing/, FILE.toml of your own, or chip for the one that the "
        f"chip's description names{other} (default: {own})",
    )


def use_platform(options: argparse.Namespace) -> Chip:
    """The chip of ``--platform``, from now on that of this process and of all that it starts."""
    from springbok.chips.description import VARIABLE, load

    chip = load(options.platform)
    if options.platform:
        os.environ[VARIABLE] = str(Path(options.platform).resolve()) if chip.name != options.platform else chip.name
    return chip


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Add what says how model files are taken: ``--shape``, ``--signature``, ``--tolerance``."""
    parser.add_argument("--shape", help="of the inputs, where the files leave them open: 1x32x32x3")
    parser.add_argument("--signature", help="which function of files that have several")
    text = "what outputs may differ by: 0.001 of the largest (the chip's: ten times that), or '2 steps'"
    parser.add_argument("--tolerance", help=text)


def model_files(names: Sequence[str]) -> list[Path]:
    """Model files by their paths, or by their names in ``models/``. Raises `BenchError` for those that are not there.

    >>> [each.name for each in model_files(["gestures.h5"])]
    ['gestures.h5']
    """
    models = [model_file(name) for name in names]
    check_models(models)
    return models


def check_models(models: Sequence[str | Path]) -> None:
    """Raise `BenchError` for model files that are not there, before work is done for any of them."""
    missing = [str(model) for model in models if not Path(model).exists()]
    if missing:
        raise BenchError(f"There is no model file {', '.join(missing)}.")


def add_core(parser: argparse.ArgumentParser) -> None:
    """Add what ``--engine rtl`` takes."""
    parser.add_argument(
        "--core", metavar="FOLDER", help="the core of --engine rtl: wrapper, file list, core.toml, chip.toml"
    )
    parser.add_argument("--no-lockstep", action="store_true", help="do not hold the core's instructions against Spike")
    parser.add_argument(
        "--seed", type=whole(0), metavar="N", help="try the core with stalls and interrupts by this seed"
    )


def use_core(options: argparse.Namespace, engine: str) -> None:
    """Set the core of ``--core`` for this process and all that it starts, and its chip unless another one is named."""
    given = [name for name, value in (("--core", options.core), ("--seed", options.seed)) if value is not None]
    if engine != "rtl":
        if given or options.no_lockstep:
            raise BenchError(f"{(given or ['--no-lockstep'])[0]} is for --engine rtl.")
        return
    from springbok.chips.description import load as load_chip
    from springbok.rtl import build
    from springbok.rtl.core import load
    from springbok.rtl.engine import CORE_VARIABLE, LOCKSTEP_VARIABLE, SEED_VARIABLE, named_seed
    from springbok.session import usable_timing
    from springbok.support.errors import RtlToolNeeded

    if options.core is None:
        raise BenchError(
            f"--engine rtl needs the core: --core FOLDER. '{command('core', 'init', 'FOLDER')}' writes one to fill in."
        )
    core = load(options.core)
    options.platform = options.platform or str(core.chip_file)
    if getattr(options, "timing", None):  # what can't be used is said before minutes of work
        usable_timing(options.timing, load_chip(options.platform), engine, getattr(options, "vlen", None))
    missing = build.what_is_missing()
    if missing:
        raise RtlToolNeeded(missing)
    os.environ[CORE_VARIABLE] = str(core.folder)
    os.environ[LOCKSTEP_VARIABLE] = "no" if options.no_lockstep else "yes"
    if options.seed is not None:
        os.environ[SEED_VARIABLE] = str(options.seed)
    named_seed()  # what is none is said before minutes of work
    build.build(core, print)


def add_history(parser: argparse.ArgumentParser) -> None:
    """Add ``--history STORE``."""
    parser.add_argument(
        "--history",
        metavar="STORE",
        help="the history: a file, postgresql://user@host/database, or none (default: SPRINGBOK_HISTORY, or "
        "history.db beside the results)",
    )


def add_optimize(parser: argparse.ArgumentParser, default: str | None, text: str) -> None:
    """Add ``--optimize LEVEL``."""
    from springbok.compiler.optimizer import LEVELS

    parser.add_argument("--optimize", choices=LEVELS, default=default, help=text)
