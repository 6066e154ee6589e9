# SPDX-License-Identifier: Apache-2.0
"""Exploration: every combination of models, number types, code variants, vector lengths and compiler flags.

``./bench sweep`` compiles and runs each configuration on Spike, several at a time on Dask workers: processes of this
machine, or a team's cluster. What was measured is kept at once, so a sweep that was interrupted goes on where it was,
and a worker that is lost costs no more than the configuration it was at.

>>> rows = run_sweep(configurations([Path("m.h5")], vlens=(256, 512)), Path("results"))      # doctest: +SKIP
>>> best(rows, {"accuracy": 0.95})["label"]                                                  # doctest: +SKIP
'm float32 vector VLEN 512'
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import itertools
import json
import multiprocessing
import os
import pkgutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from springbok.chips.chip import VLENS
from springbok.compiler.compiled import Target
from springbok.compiler.compiler import DEFAULT_OUTPUT_DIR, compile_model, framework_outputs, tensors_of
from springbok.compiler.optimizer import DEFAULT_LEVEL, LEVELS
from springbok.data import datasets
from springbok.data.dataset import Dataset
from springbok.data.own.content import DATA_OPTIONS, parse_options
from springbok.exploring.search import search
from springbok.firmware import build_firmware
from springbok.gate import gate
from springbok.measuring import metrics
from springbok.measuring.derived import QUALITY, shown
from springbok.measuring.quality import Quality, judged
from springbok.session import Session
from springbok.support import process
from springbok.support.cache import Cache, digest
from springbok.support.errors import BenchError, ReportError
from springbok.support.files import storage_errors, temporary_folder
from springbok.support.places import KEYWORDS, MODELS
from springbok.support.progress import progress
from springbok.support.results_folder import claimed

SCHEMA_VERSION = 1
FILE_NAME, ROWS_NAME = "sweep.json", "sweep-rows.jsonl"
TYPES, VARIANTS = ("float32", "int8"), ("vector", "scalar")
AS_IT_CAME = "as it came"  # the type of a model that is no Keras model: it is not quantised here
KERAS_SUFFIXES = (".h5", ".keras")
DEFAULT_VLENS = tuple(vlen for vlen in VLENS if vlen)
SCALAR_VLEN = 512  # code without vectors is the same for every length
CALIBRATION_SAMPLES = 100
# What the Pareto front is of; each is better when lower.
OBJECTIVES = ("instructions", "module_bytes", "accuracy_loss")
LOSSES = {"accuracy": "accuracy_loss"}  # any other figure of a task loses ``quality_loss``
WORKERS_LIMIT_SECONDS = 60
_QUANTISER = KEYWORDS / "springbok" / "compiler" / "quantise_worker.py"


class SweepError(BenchError):
    """A sweep can't be started, or the workers can't do it."""


@dataclass(frozen=True)
class Configuration:
    """One point of the sweep. ``flags`` are flags for `iree-compile`, separated by spaces."""

    model: str
    type: str = "float32"
    variant: str = "vector"
    vlen: int = 512
    flags: str = ""
    dataset: str = "basic_motions"
    samples: int | None = None
    optimize: str = DEFAULT_LEVEL

    @property
    def label(self) -> str:
        """Such as ``gestures int8 vector VLEN 512 --flag=1``."""
        kind = self.type if self.type != AS_IT_CAME else ""
        width = f"VLEN {self.vlen}" if self.variant == "vector" else ""
        level = f"optimize={self.optimize}" if self.optimize != DEFAULT_LEVEL else ""
        return " ".join(filter(None, (Path(self.model).stem, kind, self.variant, width, level, self.flags)))


def configurations(
    models: Sequence[Path],
    *,
    types: Sequence[str] = TYPES,
    variants: Sequence[str] = VARIANTS,
    vlens: Sequence[int] = DEFAULT_VLENS,
    flags: Sequence[str] = ("",),
    optimize: Sequence[str] = (DEFAULT_LEVEL,),
    dataset: str = "basic_motions",
    samples: int | None = None,
) -> list[Configuration]:
    """Every combination, in order; scalar code once for all vector lengths, and models that are no Keras models in one
    type. Raises `SweepError` for what is unknown."""
    for what, given, known in (
        ("type", types, TYPES),
        ("variant", variants, VARIANTS),
        ("VLEN", vlens, DEFAULT_VLENS),
        ("optimisation level", optimize, tuple(LEVELS)),
    ):
        for each in given:
            if each not in known:
                raise SweepError(f"There is no {what} '{each}' to sweep over; known: {', '.join(map(str, known))}.")
    for model in models:
        if not Path(model).is_file():
            raise SweepError(f"The model file {model} does not exist.")
    found = [
        Configuration(str(Path(model).resolve()), *rest, dataset, samples, level)
        for model, *rest, level in itertools.product(models, types, variants, vlens, flags, optimize)
    ]
    unique = dict.fromkeys(map(_without_idle_choices, found))
    if not unique:
        raise SweepError("Nothing to sweep over: each of models, types, variants, vlens and flags needs a value.")
    return list(unique)


def _without_idle_choices(configuration: Configuration) -> Configuration:
    """The same configuration, with what makes no difference to it at one value."""
    if configuration.variant == "scalar":
        configuration = replace(configuration, vlen=SCALAR_VLEN)
    if Path(configuration.model).suffix not in KERAS_SUFFIXES:
        configuration = replace(configuration, type=AS_IT_CAME)
    return configuration


# ---- One configuration, in a worker


def measure(
    configuration: Configuration, content: bytes, firmware_sha256: str, own_data: Dataset | None = None
) -> dict[str, Any]:
    """Compile and run one configuration; the row of the table. ``content`` is the model file's.

    ``own_data`` are inferred in place of a data set by name: a worker need not have their files.

    What can't be compiled or run is a row too, with the reason in ``error``. Raises `SweepError` when this worker's
    firmware is not the one that was asked for.
    """
    firmware = build_firmware()
    if firmware.sha256 != firmware_sha256:
        raise SweepError(
            "This worker builds another firmware than the machine that asked: "
            f"sha256 {firmware.sha256[:12]}… and {firmware_sha256[:12]}…. Bring its checkout to the same state."
        )
    row = {"label": configuration.label, **asdict(configuration), "model": Path(configuration.model).stem}
    session = Session()
    try:
        dataset = (own_data or datasets.load(configuration.dataset)).first(configuration.samples)
        model = _model_file(configuration, content, own_data)
        reference = _reference(_source_file(configuration, content), dataset)
        target = Target.springbok(configuration.variant, configuration.vlen)
        name = Path(configuration.model).stem
        compiled = compile_model(
            model,
            target,
            name=name,
            extra_flags=configuration.flags.split(),
            optimize=configuration.optimize,
            choose=search,
        )
        host_outputs = framework_outputs(model, dataset.fitted(compiled.name, compiled.inputs))
        session.boot("spike", vlen=configuration.vlen)
        session.load_model(compiled)
        evaluation = session.evaluate(dataset, host_outputs)
        measured = gate.snapshot(metrics.evaluation_document(evaluation), "sweep")
    except BenchError as error:
        return {**row, "error": str(error), "metrics": None}
    finally:
        session.shut_down()
    # Nothing that another machine would measure differently: a table is the same twice.
    kept = {
        key: value
        for key, value in measured["metrics"].items()
        if key in gate.METRICS and gate.METRICS[key].is_recorded
    }
    return {**row, "error": None, "metrics": {**kept, **_loss(evaluation.quality, reference)}}


def _source_file(configuration: Configuration, content: bytes) -> Path:
    """The model as it came, in this checkout: a worker need not share a file system with who asked."""
    name = Path(configuration.model).name

    def make(folder: Path) -> None:
        (folder / name).write_bytes(content)

    folder, _ = Cache(DEFAULT_OUTPUT_DIR).entry(f"{Path(name).stem}-file", digest(name, content), make)
    return folder / name


def _model_file(configuration: Configuration, content: bytes, own_data: Dataset | None = None) -> Path:
    """The model in the number type that is wanted. int8 is made of a Keras model and its training recordings.

    Own data have no others than those that are inferred.
    """
    source = _source_file(configuration, content)
    if configuration.type != "int8":
        return source
    data = own_data or datasets.load(configuration.dataset, split="train")
    inputs = data.first(min(CALIBRATION_SAMPLES, len(data))).fitted(source.name, tensors_of(source)[0])

    def make(folder: Path) -> None:
        with temporary_folder() as given:
            np.savez(Path(given) / "inputs.npz", *inputs)
            output = folder / f"{source.stem}.tflite"
            command = [
                sys.executable,
                "-m",
                "springbok.compiler.quantise_worker",
                source,
                Path(given) / "inputs.npz",
                output,
            ]
            done = process.run(command, cwd=KEYWORDS)
            if not output.is_file():
                reason = (done.output.strip().splitlines() or ["no message"])[-1]
                raise SweepError(f"{source.name} can't be quantised: {reason}")

    versions = [importlib.metadata.version(package) for package in ("keras", "tensorflow-cpu", "numpy")]
    parts = [part for array in inputs for part in (array.dtype.str, array.shape, array.tobytes())]
    key = digest(_QUANTISER.read_bytes(), content, *parts, versions)
    folder, _ = Cache(DEFAULT_OUTPUT_DIR).entry(f"{source.stem}-int8", key, make)
    return folder / f"{source.stem}.tflite"


def _reference(model: Path, dataset: Dataset) -> Quality:
    """What the framework reaches with the model as it came: the loss is against this."""
    taken, given = tensors_of(model)
    inputs = dataset.fitted(model.name, taken)
    outputs = given[0].to_real(framework_outputs(model, inputs)[0]).reshape(len(dataset), -1)
    return judged(dataset, taken[0].to_real(inputs[0]).reshape(len(dataset), -1), outputs, outputs)


def _loss(quality: Quality, reference: Quality) -> dict[str, float]:
    """How much worse the figure of the task is than the reference's; without a task, how far answers are from the
    host's. An answer that is no number has lost everything."""
    figures, expected = quality.figures(), reference.figures()
    if not figures:
        return {"quality_loss": min(quality.max_abs_error, sys.float_info.max)}
    name = next(iter(figures))
    if figures[name] is None or expected[name] is None:
        return {"quality_loss": sys.float_info.max}
    loss = expected[name] - figures[name]
    return {LOSSES.get(name, "quality_loss"): round(loss if QUALITY[name][2] == "higher" else -loss, 9) + 0.0}


# ---- All of them


def run_sweep(
    wanted: Sequence[Configuration],
    folder: Path,
    *,
    own_data: Dataset | None = None,
    scheduler: str | None = None,
    workers: int | None = None,
    report: Callable[[dict[str, Any], int, int], None] = lambda row, done, total: None,
) -> list[dict[str, Any]]:
    """Measure what ``folder`` does not hold yet; returns all rows in the order of ``wanted``, and writes sweep.json.

    ``own_data`` are inferred by all of them, in place of data sets by name; they are sent to the workers.
    ``report`` is called with each new row, how many are done, and of how many. Raises `SweepError`.
    """
    firmware = build_firmware()
    contents = {model: Path(model).read_bytes() for model in {each.model for each in wanted}}
    keys = {each: _key(each, contents[each.model], firmware.sha256, own_data) for each in wanted}
    rows = _kept_rows(folder)
    left = [each for each in wanted if keys[each] not in rows]
    if left:
        jobs = [(each, contents[each.model], firmware.sha256, _needed(own_data, each)) for each in left]
        with _client(scheduler, workers or min(os.cpu_count() or 1, len(left))) as client:
            for number, row in _measured(client, jobs):
                rows[keys[left[number]]] = row
                _keep_row(folder, keys[left[number]], row)
                report(row, sum(key in rows for key in keys.values()), len(wanted))
    table = mark_pareto([rows[keys[each]] for each in wanted])
    content = {"schema": SCHEMA_VERSION, "firmware_sha256": firmware.sha256, "rows": table}
    metrics.write(folder / FILE_NAME, content)
    return table


def _needed(own_data: Dataset | None, configuration: Configuration) -> Dataset | None:
    """What of own data a configuration takes: for inference, and to find the ranges of its values."""
    if own_data is None or configuration.samples is None:
        return own_data
    return own_data.first(min(len(own_data), max(configuration.samples, CALIBRATION_SAMPLES)))


def _key(configuration: Configuration, content: bytes, firmware_sha256: str, own_data: Dataset | None = None) -> str:
    """Names what a row was measured of; the code that measures is part of it by its compiler and firmware."""
    from springbok.compiler import iree

    named = {**asdict(configuration), "model": Path(configuration.model).name}
    data = [] if own_data is None else [own_data.sha256]
    return digest(SCHEMA_VERSION, sorted(named.items()), content, firmware_sha256, iree.compiler_version(), *data)


def _kept_rows(folder: Path) -> dict[str, dict[str, Any]]:
    """Rows of earlier sweeps in this folder. A last line that was cut off by an interruption does not count."""
    rows = {}
    with contextlib.suppress(FileNotFoundError):
        for line in (folder / ROWS_NAME).read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):
                kept = json.loads(line)
                rows[kept["key"]] = kept["row"]
    return rows


def _keep_row(folder: Path, key: str, row: Mapping[str, Any]) -> None:
    if row["error"] is not None:  # it is tried again: the reason may have been the machine's
        return
    path = folder / ROWS_NAME
    with storage_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
        ragged = path.exists() and not path.read_bytes().endswith(b"\n")
        with path.open("a", encoding="utf-8") as file:
            file.write(("\n" if ragged else "") + json.dumps({"key": key, "row": row}) + "\n")


@contextlib.contextmanager
def _client(scheduler: str | None, workers: int) -> Iterator[Any]:
    """A Dask client: of the team's scheduler, or of as many processes of this machine, which end with it."""
    import dask
    from distributed import Client, LocalCluster

    dask.config.set({"distributed.logging.distributed": "critical", "distributed.scheduler.allowed-failures": 3})
    if scheduler:
        try:
            with Client(scheduler, timeout=WORKERS_LIMIT_SECONDS) as client:
                client.wait_for_workers(1, timeout=WORKERS_LIMIT_SECONDS)
                yield client
        except OSError as error:
            raise SweepError(f"There is no Dask scheduler with workers at {scheduler}: {error}") from error
        return
    with temporary_folder() as scratch, _children_allowed():
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            memory_limit=0,
            local_directory=str(scratch),
            silence_logs="CRITICAL",
        )
        with cluster, Client(cluster) as client:
            yield client


@contextlib.contextmanager
def _children_allowed() -> Iterator[None]:
    """`renode-test -j` runs suites in daemonic processes, which multiprocessing lets have no children.

    Dask's end by themselves when this process does.
    """
    options = multiprocessing.current_process()._config
    daemonic = options.get("daemon")
    options["daemon"] = False
    try:
        yield
    finally:
        options["daemon"] = daemonic


def _check_workers(client: Any) -> None:
    """Raise SweepError where a worker can't import this module: it would never answer a job, and not refuse it."""
    answers = client.run(pkgutil.resolve_name, f"{__name__}:SCHEMA_VERSION", on_error="return")
    for address, answer in answers.items():
        if answer != SCHEMA_VERSION:
            raise SweepError(
                f"The Dask worker at {address} can't import {__name__}: {answer}. Start it inside .venv of the same "
                "checkout, with PYTHONPATH=keywords."
            )


def _measured(
    client: Any, jobs: Sequence[tuple], function: Callable[..., dict[str, Any]] = measure
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (number of the job, its row) as they are finished. A lost worker's job goes to another one."""
    from distributed import as_completed

    _check_workers(client)
    futures = [client.submit(function, *job, pure=False, retries=2) for job in jobs]
    numbers = {future.key: number for number, future in enumerate(futures)}
    for future in as_completed(futures):
        try:
            row = future.result()
        except BenchError:
            raise
        except Exception as error:
            label = getattr(jobs[numbers[future.key]][0], "label", jobs[numbers[future.key]][0])
            raise SweepError(f"{label} could not be measured by any worker: {error}") from error
        yield numbers[future.key], row


def read(folder: Path) -> dict[str, Any] | None:
    """The content of ``folder/sweep.json``, None without one. Raises `ReportError` for another form."""
    path = Path(folder) / FILE_NAME
    if not path.exists():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ReportError(f"{path} is not JSON: {error}. './bench sweep' writes it anew.") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA_VERSION:
        raise ReportError(f"{path} is not of form {SCHEMA_VERSION}. './bench sweep' writes it anew.")
    return content


# ---- Judging


def mark_pareto(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows with ``pareto``: no other row of the same model is as good in all `OBJECTIVES` and better in one.

    Failed rows are never in front.
    """

    def values(row: Mapping[str, Any]) -> tuple:
        return _objectives(row["metrics"])

    def beaten(row: Mapping[str, Any]) -> bool:
        return any(
            other["metrics"]
            and other["model"] == row["model"]
            and values(other) != values(row)
            and all(one <= own for one, own in zip(values(other), values(row), strict=True))
            for other in rows
        )

    return [{**row, "pareto": bool(row["metrics"]) and not beaten(row)} for row in rows]


def best(rows: Sequence[Mapping[str, Any]], limits: Mapping[str, float]) -> Mapping[str, Any] | None:
    """The row with the fewest instructions of those that keep every limit (metric: bound); None when none does."""
    for name in limits:
        _metric(name)
    kept = [row for row in rows if row["metrics"] and not broken_limits(row, limits)]
    return min(kept, key=lambda row: _objectives(row["metrics"]), default=None)


def _objectives(found: Mapping[str, Any]) -> tuple:
    loss = OBJECTIVES[-1] if OBJECTIVES[-1] in found else "quality_loss"
    return tuple(found[name] for name in (*OBJECTIVES[:-1], loss))


def broken_limits(row: Mapping[str, Any], limits: Mapping[str, float]) -> list[str]:
    """A sentence for each limit that a row does not keep; one for a row that could not be measured."""
    if row["error"]:
        return [f"{row['label']} could not be measured: {row['error']}"]
    sentences = []
    for name, bound in limits.items():
        metric, value = _metric(name), row["metrics"].get(name)
        if value is None or metric.is_worse(value, bound):
            sentences.append(
                f"{row['label']}: {metric.title}: {metric.shown(value)}; {metric.relation} {metric.shown(bound)}."
            )
    return sentences


def _metric(name: str) -> gate.Metric:
    known = {key: metric for key, metric in gate.METRICS.items() if metric.is_recorded and metric.form != "digest"}
    if name not in known:
        raise SweepError(f"There is no metric '{name}' to limit. Metrics: {', '.join(known)}.")
    return known[name]


# ---- ./bench sweep


def add_command(commands: argparse._SubParsersAction, results: Path) -> None:
    """Add the command ``sweep`` to the parser of ``./bench``."""
    parser = commands.add_parser("sweep", help="measure all combinations of models, types, vector lengths and flags")
    parser.add_argument("models", nargs="*", metavar="MODEL", default=[str(MODELS / "gestures.h5")], help="model files")
    parser.add_argument("--types", type=_list, default=TYPES, help="of float32,int8 (default: both)")
    parser.add_argument("--variants", type=_list, default=VARIANTS, help="of vector,scalar (default: both)")
    parser.add_argument("--vlens", type=_numbers, default=DEFAULT_VLENS, help="default: 128,256,512,1024")
    parser.add_argument(
        "--flags",
        action="append",
        metavar="FLAGS",
        help='for iree-compile, as --flags="--a --b"; give it again for more',
    )
    parser.add_argument(
        "--optimize", type=_list, default=(DEFAULT_LEVEL,), help=f"of {','.join(LEVELS)} (default: {DEFAULT_LEVEL})"
    )
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
    parser.add_argument("--samples", type=int, help="recordings of each (default: all)")
    parser.add_argument(
        "--limit", action="append", default=[], metavar="METRIC=VALUE", help="for the best configuration"
    )
    parser.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster (default: this machine's cores)")
    parser.add_argument("--workers", type=int, help="processes on this machine (default: one a core)")
    parser.add_argument("--results", metavar="FOLDER", default=str(results), help="where the table goes")
    parser.set_defaults(command=command)


def command(options: argparse.Namespace, robot_options: list[str]) -> int:
    """``./bench sweep``: 0 when every configuration was measured and, if there are limits, one keeps them."""
    del robot_options
    from springbok import report as reports

    limits = dict(map(_limit, options.limit))
    best([], limits)  # a limit that does not exist is said before the sweep, not after it
    wanted = configurations(
        [Path(model) for model in options.models],
        types=options.types,
        variants=options.variants,
        vlens=options.vlens,
        flags=options.flags or [""],
        optimize=options.optimize,
        dataset=options.dataset,
        samples=options.samples,
    )
    own_data = _own_data(options)
    if own_data is not None:
        own_data.first(options.samples)  # too many samples are said before the sweep
        wanted = [replace(each, dataset=own_data.name) for each in wanted]
    folder = Path(options.results)
    show = progress("Sweeping, configurations")

    def report(row: Mapping[str, Any], done: int, total: int) -> None:
        _say(f"\r\033[K[{done:3}/{total}] {_line(row)}" if sys.stdout.isatty() else f"[{done:3}/{total}] {_line(row)}")
        show(done, total)

    with claimed(folder):
        try:
            rows = run_sweep(
                wanted,
                folder,
                own_data=own_data,
                scheduler=options.scheduler,
                workers=options.workers,
                report=report,
            )
        except KeyboardInterrupt:
            _say("\nInterrupted. What was measured is kept: the same command goes on from here.")
            raise
        chosen = best(rows, limits)
        paths = reports.write_sweep(rows, chosen, folder)
    _say("\n" + reports.sweep_table(rows, chosen))
    if chosen is not None:
        _say(f"\nBest{' under the limits' if limits else ''}: {chosen['label']}: {_line(chosen).partition(': ')[2]}")
    else:
        _say("\nNo configuration keeps the limits.")
    for path in paths:
        _say(str(path))
    return int(any(row["error"] for row in rows) or chosen is None)


def _own_data(options: argparse.Namespace) -> Dataset | None:
    """The data set of ``--data``, unless it is one by name, which each worker has."""
    given = dict(map(_data_option, options.data_option))
    loaded = datasets.load(options.dataset, given.pop("split", "test"), options=parse_options(given))
    return None if options.dataset in datasets.NAMES else loaded


def _data_option(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or name not in DATA_OPTIONS:
        raise SweepError(f"--data-option '{text}' is none: write NAME=VALUE, NAME one of {', '.join(DATA_OPTIONS)}.")
    return name, value


def _line(row: Mapping[str, Any]) -> str:
    if row["error"]:
        return f"{row['label']}: failed: {row['error'].splitlines()[0]}"
    found = row["metrics"]
    return (
        f"{row['label']}: {found['instructions']:,.0f} instructions, module {found['module_bytes']:,} bytes, "
        f"{_quality_of(found)}"
    )


def _quality_of(found: Mapping[str, Any]) -> str:
    for name, (title, form, _) in QUALITY.items():
        if found.get(name) is not None:
            return f"{title} {found[name]:.2%}" if form == "share" else f"{title} {shown(found[name], form)}"
    return f"largest error {found['quality_loss']:.2e}" if "quality_loss" in found else "quality unknown"


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _list(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _numbers(text: str) -> list[int]:
    return [int(part) for part in _list(text)]


def _limit(text: str) -> tuple[str, float]:
    name, separator, value = text.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise SweepError(f"The limit '{text}' is none: write METRIC=VALUE, for instance accuracy=0.95.") from None
