# SPDX-License-Identifier: Apache-2.0
"""Exploration: many configurations of models, compiled and run on Spike.

Several are measured at a time by Dask workers: processes of this machine, or a team's cluster. What was measured is
kept at once, so a sweep that was interrupted goes on where it was, and a worker that is lost costs no more than the
configuration it was at. Modules that are equal run once.

>>> rows = run_sweep(configurations([Path("m.h5")], vlens=(256, 512)), Path("results"))      # doctest: +SKIP
>>> best(rows, {"accuracy": 0.95})["label"]                                                  # doctest: +SKIP
'm float32 vector VLEN 512'
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from springbok.compiler import iree
from springbok.data.dataset import Dataset
from springbok.exploring import kept_rows
from springbok.exploring.configurations import Configuration
from springbok.exploring.front import mark_pareto
from springbok.exploring.measure import CALIBRATION_SAMPLES, INSTRUCTIONS, Objective, compile_step, row_of, run_step
from springbok.exploring.model_files import ModelFiles
from springbok.exploring.row_consistency import contradictions, of_row
from springbok.exploring.workers import Job, done, listen, workers
from springbok.firmware import build_firmware
from springbok.measuring import metrics
from springbok.support import json_schema, strict_json
from springbok.support.cache import digest
from springbok.support.errors import ReportError
from springbok.support.places import command

SCHEMA_VERSION = 1
#: Counts up when rows hold something else, so that none that was kept before is taken.
ROWS_VERSION = 3
FILE_NAME, ROWS_NAME = "sweep.json", "sweep-rows.jsonl"
_DIGEST = "sha256"  # of all else that stands in the file


class Watcher:
    """Is told how a sweep goes on; this one tells nobody."""

    def begin(self, kept: int, total: int) -> None:
        """``kept`` of the ``total`` rows are there from before."""

    def step(self, label: str, step: str) -> None:
        """A worker is at this ``step`` of the configuration ``label``; comes from another thread.

        Before ``begin`` it is what is done ahead of all of them.
        """

    def damaged(self, label: str, problem: str) -> None:
        """The row that was kept of the configuration ``label`` is no good: it is measured anew. Before ``begin``."""

    def lost(self, name: str, count: int) -> None:
        """So many lines of the file ``name`` of kept rows tell nothing. Before ``begin``."""

    def row(self, row: Mapping[str, Any], count: int, total: int) -> None:
        """A row is there, the ``count``-th of ``total``."""


def run_sweep(
    wanted: Sequence[Configuration],
    folder: Path,
    *,
    own_data: Dataset | None = None,
    objective: Objective = INSTRUCTIONS,
    scheduler: str | None = None,
    count: int | None = None,
    watcher: Watcher | None = None,
) -> list[dict[str, Any]]:
    """Measure what ``folder`` does not hold yet; returns all rows in the order of ``wanted``, and writes sweep.json.

    ``own_data`` are inferred by all of them, in place of data sets by name; they are sent to the workers. ``objective``
    is what the Pareto front is of, beside size and loss.
    ``scheduler`` is the address of a team's; without one, ``count`` processes of this machine work. Raises
    `SweepError`.
    """
    watcher = watcher or Watcher()
    firmware = build_firmware()
    contents = {model: ModelFiles.read(model) for model in {each.model for each in wanted}}
    keys = {each: _key(each, contents[each.model], firmware.sha256, own_data, objective) for each in wanted}
    checks = {key: partial(_problem_of, each, objective) for each, key in keys.items()}
    rows, damaged = kept_rows.read(folder / ROWS_NAME, checks)
    for each, key in keys.items():
        if key in damaged:
            watcher.damaged(each.label, damaged[key])
    left = [each for each in wanted if keys[each] not in rows]
    if left and (lost := kept_rows.lost(folder / ROWS_NAME)):
        watcher.lost(ROWS_NAME, lost)
    watcher.begin(len(wanted) - len(left), len(wanted))
    if left:
        arguments = {
            each: (each, contents[each.model], firmware.sha256, _needed(own_data, each), objective) for each in left
        }
        known = {
            _equality(each, contents[each.model], rows[keys[each]]["module_sha256"]): rows[keys[each]]
            for each in wanted
            if keys[each] in rows
        }
        with workers(scheduler, count or min(os.cpu_count() or 1, len(left))) as client:
            listen(client, watcher.step)
            for configuration, row in _measured(client, arguments, known):
                rows[keys[configuration]] = row
                kept_rows.add(folder / ROWS_NAME, keys[configuration], row)
                watcher.row(row, sum(keys[each] in rows for each in wanted), len(wanted))
    table = mark_pareto(_mark_equal([rows[keys[each]] for each in wanted]), objective.name)
    content = {"schema": SCHEMA_VERSION, "firmware_sha256": firmware.sha256, "rows": table}
    if objective.timing:
        content |= {"objective": objective.name, "timing": objective.timing.as_json()}
    content = json.loads(json.dumps(content))  # as it is read again
    metrics.write(folder / FILE_NAME, content | {_DIGEST: kept_rows.digest(content)})
    return table


def _measured(client: Any, arguments: Mapping[Configuration, tuple], known: dict[tuple, Mapping[str, Any]]):
    """Yield (configuration, row) as they come: all are compiled, and of equal modules one is run.

    ``known`` are rows by `_equality`.
    """
    compiled: dict[Configuration, dict[str, Any]] = {}
    waiting: dict[tuple, list[Configuration]] = {}

    def run_of_new(job: Job, result: dict[str, Any]) -> list[Job]:
        configuration, content, *_ = job.arguments
        if job.function is run_step or result["error"]:
            return []
        equality = _equality(configuration, content, result["module_sha256"])
        compiled[configuration] = result
        waiting.setdefault(equality, []).append(configuration)
        if equality in known or len(waiting[equality]) > 1:
            return []
        return [Job(job.name, run_step, job.arguments, priority=1)]

    jobs = [Job(each.label, compile_step, given) for each, given in arguments.items()]
    for job, result in done(client, jobs, run_of_new):
        configuration, content, *_ = job.arguments
        if job.function is compile_step and result["error"]:
            yield configuration, row_of(configuration, result, result)
            continue
        equality = _equality(configuration, content, compiled[configuration]["module_sha256"])
        if job.function is run_step:
            known[equality] = result
        if equality in known:
            for each in waiting.pop(equality, ()):
                yield each, row_of(each, compiled[each], dict(known[equality]))


def _problem_of(configuration: Configuration, objective: Objective, row: Any) -> str:
    """What is wrong with a row that was kept of a configuration; empty where nothing is."""
    if not isinstance(row, dict) or not isinstance(row.get("module_sha256"), str):
        return "it is no row"
    described = {"label": configuration.label, **asdict(configuration), "model": Path(configuration.model).stem}
    for name, value in json.loads(json.dumps(described, default=str)).items():
        if row.get(name) != value:
            return f"{name}: it is of another configuration"
    whole = {"schema": SCHEMA_VERSION, "rows": [{**row, "pareto": False}]}
    if problem := _misfit(whole):
        return problem.removeprefix("rows/0/")
    return next((f"{place.lstrip('/') or 'row'}: {sentence}" for place, sentence in of_row(row, objective.name)), "")


def _misfit(content: Mapping[str, Any]) -> str:
    return json_schema.problem_of(content, Path(__file__).with_name("sweep.schema.json"))


def _equality(configuration: Configuration, content: ModelFiles, module_sha256: str | None) -> tuple:
    """Two configurations with the same of this are measured by one run."""
    kept = ("type", "vlen", "dataset", "samples", "shape", "signature")
    return (module_sha256, content.sha256, *(getattr(configuration, name) for name in kept))


def _mark_equal(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows with ``equals``: the label of the first row that has the same module and metrics, None for that one."""
    first: dict[tuple, str] = {}
    marked = []
    for row in rows:
        what = (row["module_sha256"], row["model"], row["type"], row["vlen"])
        is_first = row["metrics"] is None or first.setdefault(what, row["label"]) == row["label"]
        marked.append({**row, "equals": None if is_first else first[what]})
    return marked


def _needed(own_data: Dataset | None, configuration: Configuration) -> Dataset | None:
    """What of own data a configuration takes: for inference, and to find the ranges of its values."""
    if own_data is None or configuration.samples is None:
        return own_data
    return own_data.first(min(len(own_data), max(configuration.samples, CALIBRATION_SAMPLES)))


def _key(
    configuration: Configuration,
    content: ModelFiles,
    firmware_sha256: str,
    own_data: Dataset | None = None,
    objective: Objective = INSTRUCTIONS,
) -> str:
    """Names what a row was measured of; the code that measures is part of it by its compiler and firmware."""
    named = {**asdict(configuration), "model": Path(configuration.model).name}
    data = [] if own_data is None else [own_data.sha256]
    data += [objective.name, objective.timing.sha256] if objective.timing else []
    return digest(ROWS_VERSION, sorted(named.items()), content.sha256, firmware_sha256, iree.compiler_version(), *data)


def read(folder: Path) -> dict[str, Any] | None:
    """The content of ``folder/sweep.json``, None without one. Raises `ReportError` for another form."""
    path = Path(folder) / FILE_NAME
    if not path.exists():
        return None
    try:
        content = strict_json.parse(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ReportError(f"{path} is not JSON: {error}. '{command('sweep')}' writes it anew.") from error
    if not isinstance(content, dict) or content.get("schema") != SCHEMA_VERSION:
        raise ReportError(f"{path} is not of form {SCHEMA_VERSION}. '{command('sweep')}' writes it anew.")
    problem = _misfit(content) or next(
        contradictions(content["rows"], content.get("objective", "instructions"), _mark_equal), ""
    )
    problem = problem or _changed(content, path.with_name(ROWS_NAME))
    if problem:
        raise ReportError(f"{path} is no good: {problem}. '{command('sweep')}' writes it anew.")
    return content


def _changed(content: Mapping[str, Any], rows: Path) -> str:
    """What of a table is not as it was written: by its digest, if it has one, and by the rows that were kept."""
    whole = {key: value for key, value in content.items() if key != _DIGEST}
    if content.get(_DIGEST, kept_rows.digest(whole)) != kept_rows.digest(whole):
        return "it is not as it was written"
    kept: dict[str, list[dict[str, Any]]] = {}
    for row in kept_rows.whole(rows):
        kept.setdefault(row.get("label", ""), []).append(_measured_of(row))
    for number, row in enumerate(content["rows"]):
        known = kept.get(row["label"])
        if row["error"] is None and known and _measured_of(row) not in known:
            return f"rows/{number}: in {ROWS_NAME} {row['label']} has other numbers"
    return ""


def _measured_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without what the others of its table make of it."""
    return {key: value for key, value in row.items() if key not in ("pareto", "equals")}
