# SPDX-License-Identifier: Apache-2.0
"""Models compiled by several versions of the compiler, side by side: `./bench compilers`.

Each version is in an environment of its own (`springbok.compiler.versions`); each row is measured in a process of its
own, several at a time by Dask workers. A row that was measured is kept, so that a run which was interrupted goes on
where it was; one that failed is tried again.

>>> rows = compare(["3.12.0", "3.13.0"], [Path("m.tflite")], Path("results"))                # doctest: +SKIP
>>> rows[0]["metrics"]["instructions"]                                                       # doctest: +SKIP
7480000
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from springbok.chips.description import load
from springbok.compiler import finishing, importers, iree, versions
from springbok.compiler.compiled import Target
from springbok.compiler.compiler import DEFAULT_OUTPUT_DIR
from springbok.compiler.flags import check_flags
from springbok.compiler.importers.selection import Selection
from springbok.compiler.judgement import Tolerance
from springbok.compiler.optimizer import VERSION as OPTIMIZER_VERSION
from springbok.exploring import kept_rows
from springbok.exploring.compiler_row import Job, measured_apart, row_of
from springbok.exploring.sweep import Watcher
from springbok.exploring.workers import Job as Work
from springbok.exploring.workers import done, listen, workers
from springbok.firmware import build_firmware
from springbok.measuring import metrics
from springbok.support.cache import Cache, digest
from springbok.support.errors import BenchError

SCHEMA_VERSION = 1
#: Counts up when rows hold something else, so that none that was kept before is taken.
ROWS_VERSION = 2
FILE_NAME, ROWS_NAME = "compilers.json", "compilers-rows.jsonl"


def compare(
    wanted: Sequence[str],
    models: Sequence[Path],
    folder: Path,
    *,
    levels: Sequence[str] = ("none",),
    count: int | None = None,
    watcher: Watcher | None = None,
    **options: Any,
) -> list[dict[str, Any]]:
    """Measure each model with each version; rows by model, level and version, oldest first, each once.

    ``options`` are further fields of `Job`; ``count`` processes work at a time. The rows are in ``folder`` too, as
    compilers.json. Raises `BenchError` before anything is measured: where the registry has no such version, and for
    options that can't be used.
    """
    watcher = watcher or Watcher()
    wanted = versions.in_order(wanted)
    _check(wanted, Job("", "", None, **options))
    firmware = build_firmware()
    jobs: list[Job] = []
    rows: dict[int, dict[str, Any]] = {}  # by number of the job
    selection = Selection.of(options.get("shape"), options.get("signature"))
    names = titled(models)
    for number, (model, title) in enumerate(names.items(), 1):
        watcher.step("importing", f"{title}, {number} of {len(names)}")
        refused = ""
        try:
            imported = importers.import_model(model, Cache(DEFAULT_OUTPUT_DIR), selection)
        except BenchError as error:
            imported, refused = None, str(error)
        for level in levels:
            for version in wanted:
                jobs.append(Job(version, str(model), imported, level, title=title, **options))
                if refused:
                    rows[len(jobs) - 1] = row_of(jobs[-1], error=refused)
    keys = {number: _key(job, firmware.sha256) for number, job in enumerate(jobs) if number not in rows}
    checks = {key: partial(_problem_of, jobs[number]) for number, key in keys.items()}
    kept, damaged = kept_rows.read(folder / ROWS_NAME, checks)
    for number, key in keys.items():
        if key in damaged:
            watcher.damaged(jobs[number].name, damaged[key])
    refused = list(rows.items())
    rows |= {number: kept[key] for number, key in keys.items() if key in kept}
    watcher.begin(len(rows) - len(refused), len(jobs))
    for count_so_far, (number, row) in enumerate(refused, len(rows) - len(refused) + 1):
        watcher.row({**row, "label": jobs[number].name}, count_so_far, len(jobs))
    left = {number: job for number, job in enumerate(jobs) if number not in rows}
    for number, row in _measured(left, count, watcher):
        rows[number] = row
        kept_rows.add(folder / ROWS_NAME, keys[number], row)
        watcher.row({**row, "label": jobs[number].name}, len(rows), len(jobs))
    table = [rows[number] for number in range(len(jobs))]
    metrics.write(folder / FILE_NAME, {"schema": SCHEMA_VERSION, "firmware_sha256": firmware.sha256, "rows": table})
    return table


def _check(wanted: Sequence[str], job: Job) -> None:
    """Raise `BenchError` for what would fail in every row, or in all of a version, before any starts."""
    chip = load(job.chip)
    target = Target.of(job.variant, job.vlen, chip)
    if chip.vector_extension:
        chip.check_vlen(job.vlen)
    Tolerance.of(job.tolerance)
    folders = [versions.environment(version) for version in wanted]
    known = frozenset().union(*map(iree.compiler_flag_names, folders)) if job.flags else ()
    check_flags(target, job.flags, known)


def titled(models: Sequence[Path]) -> dict[Path, str]:
    """Each model file once, with as much of its path as tells it from the others.

    >>> list(titled([Path("/a/m.onnx"), Path("/b/m.onnx"), Path("/b/n.onnx")]).values())
    ['a/m.onnx', 'b/m.onnx', 'n.onnx']
    """
    files = list(dict.fromkeys(Path(model).resolve() for model in models))
    named = {}
    for file in files:
        tails = ("/".join(file.parts[-count:]) for count in range(1, len(file.parts) + 1))
        alone = (tail for tail in tails if sum(f"/{each}".endswith(f"/{tail}") for each in files) == 1)
        named[file] = next(alone, str(file))
    return named


def _measured(jobs: Mapping[int, Job], count: int | None, watcher: Watcher) -> Iterator[tuple[int, dict[str, Any]]]:
    if not jobs:
        return
    numbers = {f"{number} {job.name}": number for number, job in jobs.items()}
    works = [Work(name, measured_apart, (jobs[number],)) for name, number in numbers.items()]
    with workers(None, count or min(os.cpu_count() or 1, len(jobs))) as client:
        listen(client, watcher.step)
        for work, row in done(client, works):
            yield numbers[work.name], row


def _problem_of(job: Job, row: Any) -> str:
    """What is wrong with a row that was kept of a job; empty where nothing is."""
    expected = row_of(job)
    if not isinstance(row, dict) or not {*expected} <= {*row} or not isinstance(row["metrics"], dict):
        return "it is no row"
    for name in ("version", "model", "optimize", "variant", "vlen", "flags"):
        if row[name] != expected[name]:
            return f"{name}: it is of another configuration"
    for name, value in row["metrics"].items():
        if isinstance(value, int | float) and value < 0:
            return f"metrics/{name}: {value:.6g} is none"
    return ""


def _key(job: Job, firmware_sha256: str) -> str:
    """Names what a row was measured of."""
    imported = job.imported
    named = vars(replace(job, imported=None, model=job.model_name))
    arrays = [part for array in imported.probe_inputs for part in (array.shape, array.tobytes())]
    content = [imported.mlir.read_bytes(), imported.source_sha256, *arrays]
    timing = job.timing.sha256 if job.timing else None  # which is of how cycles are reckoned too
    parts = (ROWS_VERSION, OPTIMIZER_VERSION, finishing.is_needed(job.version), firmware_sha256, timing)
    return digest(sorted((name, repr(value)) for name, value in named.items()), *parts, *content)
