# SPDX-License-Identifier: Apache-2.0
"""``./bench sweep``: measure all combinations of models, number types, vector lengths and flags."""

from __future__ import annotations

import argparse
import shutil
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from springbok import report as reports
from springbok.cli.arguments import add_platform, add_results, add_timing, use_platform, whole
from springbok.cli.text import OutputLost
from springbok.compiler.compiler import tensors_of
from springbok.compiler.optimizer import DEFAULT_LEVEL, LEVELS
from springbok.data import datasets
from springbok.data.dataset import Dataset
from springbok.data.own.content import DATA_OPTIONS, parse_options
from springbok.exploring import front
from springbok.exploring.configurations import TYPES, VARIANTS, SweepError, check, configurations
from springbok.exploring.measure import Objective
from springbok.exploring.sweep import Watcher, run_sweep
from springbok.measuring.derived import QUALITY, shown
from springbok.session import usable_timing
from springbok.support.escaping import visible
from springbok.support.places import MODELS
from springbok.support.progress import amount, duration, is_watched, pace
from springbok.support.results_folder import claimed
from springbok.support.suggestions import did_you_mean
from springbok.tensors import TensorSpec

_REFRESH_SECONDS, _LOG_SECONDS = 1.0, 60.0
_MOST_STEPS = 3  # of workers that one line shows


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("models", nargs="*", metavar="MODEL", default=[str(MODELS / "gestures.h5")], help="model files")
    parser.add_argument("--types", type=_list, default=TYPES, help="of Keras models: of float32,int8 (default: both)")
    parser.add_argument("--variants", type=_list, default=VARIANTS, help="of vector,scalar (default: both)")
    add_platform(parser)
    parser.add_argument("--vlens", type=_numbers, help="default: all of the chip, such as 128,256,512,1024")
    parser.add_argument(
        "--flags",
        action="append",
        metavar="FLAGS",
        help='for iree-compile, as --flags="--a --b"; give it again for more',
    )
    parser.add_argument(
        "--optimize", type=_list, default=(DEFAULT_LEVEL,), help=f"of {','.join(LEVELS)} (default: {DEFAULT_LEVEL})"
    )
    parser.add_argument("--shape", help="of the inputs, where the files leave them open: 1x32x32x3")
    parser.add_argument("--signature", help="which function of files that have several")
    parser.add_argument("--tolerance", help="what outputs may differ by: 0.001 of the largest, or '2 steps'")
    parser.add_argument(
        "--data",
        "--dataset",
        dest="dataset",
        default="basic_motions",
        metavar="DATA",
        help="what is inferred: a data set's name, a file, a folder, FILE.py:FUNCTION (default: basic_motions)",
    )
    parser.add_argument(
        "--data-option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"how own data are read, as Load Data Set takes it: {', '.join(DATA_OPTIONS)}; again for more",
    )
    parser.add_argument(
        "--objective",
        choices=tuple(front.SOUGHT),
        default=front.INSTRUCTIONS,
        help="what the best has the least of, and what --optimize search seeks (default: instructions)",
    )
    add_timing(parser, None)
    parser.add_argument("--samples", type=whole(), help="recordings of each (default: all)")
    parser.add_argument(
        "--limit", action="append", default=[], metavar="METRIC=VALUE", help="for the best configuration"
    )
    parser.add_argument(
        "--scheduler", metavar="ADDRESS", type=_address, help="of a Dask cluster (default: this machine's cores)"
    )
    parser.add_argument("--workers", type=whole(), help="processes on this machine (default: one a core)")
    add_results(parser, "where the table goes")


def run(options: argparse.Namespace) -> int:
    """0 when every configuration was measured and, if there are limits, one keeps them."""
    chip = use_platform(options)
    timing = None
    for vlen in (options.vlens or chip.vlens or [0]) if options.timing else ():
        timing = usable_timing(options.timing, chip, "spike", vlen)
    objective = Objective(options.objective, timing)
    limits = dict(map(_limit, options.limit))
    front.best([], limits)  # a limit that is none is said before the sweep, not after it
    if options.workers is not None and options.scheduler:
        raise SweepError("--workers is a number of processes of this machine; a scheduler has workers of its own.")
    wanted = configurations(
        [Path(model) for model in options.models],
        types=options.types,
        variants=options.variants,
        vlens=options.vlens,
        flags=options.flags or [""],
        optimize=options.optimize,
        dataset=options.dataset,
        samples=options.samples,
        shape=options.shape,
        signature=options.signature,
        tolerance=options.tolerance,
    )
    own_data = _own_data(options)
    if own_data is not None:
        wanted = [replace(each, dataset=own_data.name) for each in wanted]
    check(wanted, own_data)
    folder = Path(options.results)
    with claimed(folder):
        try:
            with shown_while() as terminal:
                rows = run_sweep(
                    wanted,
                    folder,
                    own_data=own_data,
                    objective=objective,
                    scheduler=options.scheduler,
                    count=options.workers,
                    watcher=terminal,
                )
        except KeyboardInterrupt:
            print("\nInterrupted. The same command goes on from the rows that are whole.", flush=True)
            raise
        chosen = front.best(rows, limits, objective.name)
        paths = reports.write_sweep(rows, chosen, folder, objective.name)
    print("\n" + reports.sweep_table(rows, chosen, objective.name))
    if timing:
        print(f"Cycles estimated by {timing.name}: {timing.title} ({timing.standing})")
    if chosen is not None:
        print(f"\nBest{' under the limits' if limits else ''}: {chosen['label']}: {_line(chosen).partition(': ')[2]}")
    else:
        print("\nNo configuration keeps the limits.")
    for path in paths:
        print(path)
    return int(any(row["error"] for row in rows) or chosen is None)


class Terminal(Watcher):
    """Prints each row, and below them how fast it goes, how long it takes, and what the workers are at.

    Where nobody watches, that is a line a minute.
    """

    NOUN = "configuration"

    def __init__(self, is_terminal: bool) -> None:
        self.is_terminal = is_terminal
        self._lock = threading.Lock()
        self._kept = self._count = self._total = 0
        self._steps: dict[str, tuple[str, float]] = {}
        self._started = self._logged = time.monotonic()

    def damaged(self, label: str, problem: str) -> None:
        self._print(f"{label}: its kept row is damaged, and measured anew: {visible(problem)}")

    def lost(self, name: str, count: int) -> None:
        self._print(f"{name}: {amount(count, 'line')} cut or emptied: what was kept in such a line is measured anew")

    def begin(self, kept: int, total: int) -> None:
        with self._lock:
            self._steps.clear()
        self._kept = self._count = kept
        self._total = total
        kept_text = f", {kept} of {total} kept from before" if kept else ""
        self._print(f"{amount(total, self.NOUN)}{kept_text}.")

    def step(self, label: str, step: str) -> None:
        with self._lock:
            _, since = self._steps.get(label, ("", time.monotonic()))
            self._steps[label] = (step, since)

    def row(self, row: Mapping[str, Any], count: int, total: int) -> None:
        with self._lock:
            self._steps.pop(row["label"], None)
            self._count = count
        self._print(f"[{count:3}/{total}] {self.describe(row)}")
        self.refresh()

    def describe(self, row: Mapping[str, Any]) -> str:
        """The row in a line."""
        return _line(row)

    def refresh(self) -> None:
        """Show how it stands; on a terminal in place of what was shown before."""
        now = time.monotonic()
        if not self._total and not self._steps:
            return
        if self.is_terminal:
            sys.stdout.write(f"\r\033[K{self.status(now)[: _columns()]}")
            sys.stdout.flush()
        elif now - self._logged >= _LOG_SECONDS:
            self._print(self.status(now))

    def status(self, now: float) -> str:
        """Such as ``120 of 500, 4 a minute, 95 min left; m int8 scalar: compiling (12 s)``; steps alone before rows."""
        with self._lock:
            steps = sorted(self._steps.items(), key=lambda item: item[1][1])
        at = [f"{label}: {step} ({duration(now - since)})" for label, (step, since) in steps[:_MOST_STEPS]]
        more = [f"{len(steps) - _MOST_STEPS} more"] if len(steps) > _MOST_STEPS else []
        how = pace(self._count - self._kept, now - self._started, self._total - self._count)
        so_far = [", ".join(filter(None, (f"{self._count} of {self._total}", how)))] if self._total else []
        return "; ".join([*so_far, *at, *more])

    def _print(self, text: str) -> None:
        self._logged = time.monotonic()
        sys.stdout.write(f"\r\033[K{text}\n" if self.is_terminal else f"{text}\n")
        sys.stdout.flush()


@contextmanager
def shown_while(kind: type[Terminal] = Terminal) -> Iterator[Terminal]:
    """A terminal that is refreshed, also while no row comes."""
    terminal, ended = kind(is_watched(sys.stdout)), threading.Event()

    def refresh() -> None:
        while not ended.wait(_REFRESH_SECONDS):
            with suppress(OutputLost):  # the next row says so
                terminal.refresh()

    thread = threading.Thread(target=refresh, daemon=True)
    thread.start()
    try:
        yield terminal
    finally:
        ended.set()
        thread.join()
        if terminal.is_terminal:
            sys.stdout.write("\r\033[K")


def _columns() -> int:
    return shutil.get_terminal_size().columns - 1


def _own_data(options: argparse.Namespace) -> Dataset | None:
    """The data set of ``--data``, unless it is one by name, which each worker has."""
    given = dict(map(_data_option, options.data_option))
    inputs = _inputs_of(options.models) if Path(options.dataset).is_dir() and "shape" not in given else None
    loaded = datasets.load(options.dataset, given.pop("split", None), options=parse_options(given, inputs))
    return None if options.dataset in datasets.NAMES else loaded


def _inputs_of(models: Sequence[str]) -> tuple[TensorSpec, ...] | None:
    """What all the models take: the size of images and the length of recordings. None where they differ."""
    inputs = [tensors_of(model)[0] for model in models]
    shapes = {tuple(spec.shape for spec in each) for each in inputs}
    return inputs[0] if len(shapes) == 1 else None


def _data_option(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or name not in DATA_OPTIONS:
        near = did_you_mean(name, DATA_OPTIONS)
        known = ", ".join(DATA_OPTIONS)
        wrong = f"lacks a value: write {name}=VALUE" if name in DATA_OPTIONS else f"names no option of data{near}"
        raise SweepError(f"--data-option '{text}' {wrong}. It is NAME=VALUE, NAME one of {known}.")
    return name, value


def _line(row: Mapping[str, Any]) -> str:
    if row["error"]:
        return f"{row['label']}: failed: {row['error'].splitlines()[0]}"
    found = row["metrics"]
    cycles = f"{found['estimated_cycles']:,.0f} estimated cycles, " if "estimated_cycles" in found else ""
    return (
        f"{row['label']}: {found['instructions']:,.0f} instructions, {cycles}module {found['module_bytes']:,} bytes, "
        f"{_quality_of(found)}"
    )


def _quality_of(found: Mapping[str, Any]) -> str:
    for name, (title, form, _) in QUALITY.items():
        if found.get(name) is not None:
            return f"{title} {found[name]:.2%}" if form == "share" else f"{title} {shown(found[name], form)}"
    return f"largest error {found['quality_loss']:.2e}" if "quality_loss" in found else "quality unknown"


def _list(text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts:
        raise argparse.ArgumentTypeError(f"'{text}' names nothing")
    return parts


def _address(text: str) -> str:
    try:
        found = urlsplit(text if "://" in text else f"tcp://{text}")
        if found.hostname and found.port:
            return text
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"'{text}' is no address such as tcp://10.0.0.5:8786")


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in _list(text)]
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no list of numbers such as 256,512") from None


def _limit(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise SweepError(f"--limit '{text}' is no METRIC=VALUE with a number, such as accuracy=0.95.") from None
