# SPDX-License-Identifier: Apache-2.0
"""Digests of what was added: tell a run whose row, numbers or documents were changed in the store since.

A run has one digest of its numbers, one of each document, and one of its row, its failures and its other digests. Runs
that an earlier version added have none: they are those before the first one that has some.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple

import sqlalchemy as sa

from springbok.gate.accounts import ROUNDING
from springbok.history import tables
from springbok.history.record import METRICS_FILE, Configuration, digest_of, numbers_of, snapshots_of

#: Names of digests beside those of documents.
RUN, NUMBERS = "run", "numbers"
_TITLES = {RUN: "what is said of it", NUMBERS: "its numbers"}
_DIGESTS = "its digests"
_RUN_COLUMNS = (
    *("uid", "started", "commit_id", "committed", "depth", "subject", "branch", "is_dirty", "machine", "engine"),
    *("engine_version", "chip", "vlen_bits", "suites", "verdict", "tests", "failed", "skipped", "versions"),
)

Digests = dict[str, str]


def keep(connection: sa.Connection, run: int, numbers: Mapping[tuple, float | str]) -> None:
    """Write the digests of a run that is in the store as a whole, with ``numbers`` by configuration, metric, layer."""
    lines = (_line(_name(*astuple(of), metric, layer), value) for (of, metric, layer), value in numbers.items())
    found = {NUMBERS: _digest(sorted(lines)), **_of_documents(connection, [run])[run]}
    found |= _of_rows(connection, [run], {run: found})[run]
    connection.execute(tables.digests.insert(), [{"run": run, "name": name, "digest": found[name]} for name in found])


def known(connection: sa.Connection, runs: Sequence[int]) -> dict[int, Digests]:
    """The digests of runs as they were when these were added; a run of before has none."""
    found: dict[int, Digests] = {}
    table = tables.digests
    for run, name, digest in connection.execute(sa.select(table).where(_between(table.c.run, runs))):
        found.setdefault(run, {})[name] = digest
    return {run: found[run] for run in runs if run in found}


def changed(connection: sa.Connection, runs: Sequence[int]) -> dict[int, list[str]]:
    """Of each run that is not as it was added, what of it is otherwise.

    Of any one without digests, though those before it have some, that is told.
    """
    told = known(connection, runs)
    first = connection.execute(sa.select(sa.func.min(tables.digests.c.run))).scalar()
    lost = {run: [_DIGESTS] for run in runs if first is not None and run > first and run not in told}
    others = {run: {name: each for name, each in digests.items() if name != RUN} for run, digests in told.items()}
    of_documents, of_numbers = _of_documents(connection, [*told]), _of_numbers(connection, [*told])
    of_rows = _of_rows(connection, [*told], others)
    differing = {}
    for run, digests in told.items():
        now = of_documents[run] | of_numbers[run] | of_rows[run]
        looked = [*_TITLES, *sorted({*digests, *now} - _TITLES.keys())]
        differing[run] = [_TITLES.get(name, name) for name in looked if digests.get(name) != now.get(name)]
    return lost | {run: found for run, found in differing.items() if found}


def contradictions(numbers: Mapping[tuple, float | str], documents: Mapping[str, str]) -> Iterator[str]:
    """What a run's ``numbers``, by configuration, metric and layer, say against its own metrics, a sentence each."""
    first: dict[tuple, float | str] = {}  # what was measured twice counts as it was at first
    for configuration, measured in snapshots_of(documents.get(METRICS_FILE)):
        for metric, layer, number in numbers_of(measured):
            value = first.setdefault((configuration, metric, layer), number)
            given = numbers.get((configuration, metric, layer), value)
            if not _is_same(given, value):
                of = f"{configuration.title}: {metric}{f' of {layer}' if layer else ''}"
                yield f"{of}: {given} in the store, {value} in its {METRICS_FILE}"


def _is_same(given: float | str, value: float | str) -> bool:
    if isinstance(given, str) or isinstance(value, str):
        return given == value
    return abs(given - value) <= ROUNDING * max(1.0, abs(value))


def _between(column: sa.Column, runs: Sequence[int]) -> sa.ColumnElement:
    """Rows of runs and of those between: databases take no list of thousands."""
    return column.between(min(runs, default=0), max(runs, default=0))


def _of_numbers(connection: sa.Connection, runs: Sequence[int]) -> dict[int, Digests]:
    series, configurations, points = tables.series, tables.configurations, tables.points
    fields = [configurations.c[each.name] for each in dataclasses.fields(Configuration)]
    named = sa.select(series.c.id, *fields, series.c.metric, series.c.layer)
    named = named.join(configurations, configurations.c.id == series.c.configuration)
    names = {key: _name(*of) for key, *of in connection.execute(named)}
    lines: dict[int, list[str]] = {run: [] for run in runs}
    chosen = sa.select(points.c.series, points.c.run, points.c.value, points.c.text).where(_between(points.c.run, runs))
    for key, run, value, text in connection.execute(chosen):
        if run in lines:
            lines[run].append(_line(names[key], value if text is None else text))
    return {run: {NUMBERS: _digest(sorted(found))} for run, found in lines.items()}


def _name(*of: str | int) -> str:
    return json.dumps(of)


def _line(name: str, value: float | str) -> str:
    return f"{name} {value!r}"


def _of_documents(connection: sa.Connection, runs: Sequence[int]) -> dict[int, Digests]:
    table = tables.documents
    found: dict[int, Digests] = {run: {} for run in runs}
    for run, name, content in connection.execute(sa.select(table).where(_between(table.c.run, runs))):
        if run in found:
            found[run][name] = digest_of(zlib.decompress(content).decode("utf-8"))
    return found


def _of_rows(connection: sa.Connection, runs: Sequence[int], others: Mapping[int, Digests]) -> dict[int, Digests]:
    table, failures = tables.runs, tables.failures
    failed: dict[int, list[tuple]] = {}
    for run, *rest in connection.execute(
        sa.select(failures).where(_between(failures.c.run, runs)).order_by(failures.c.place)
    ):
        failed.setdefault(run, []).append(tuple(rest))
    columns = [table.c[name] for name in _RUN_COLUMNS]
    chosen = sa.select(table.c.number, *columns).where(_between(table.c.number, runs))
    found = {}
    for run, *values in connection.execute(chosen):
        if run in others:
            parts = (values, failed.get(run, []), sorted(others[run].items()))
            found[run] = {RUN: _digest(json.dumps(each, default=str) for each in parts)}
    return found


def _digest(lines: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()
