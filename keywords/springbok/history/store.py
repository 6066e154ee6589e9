# SPDX-License-Identifier: Apache-2.0
"""The store of runs: a SQLite file, or a team's PostgreSQL.

Each write is one transaction: a run is in the store as a whole or not at all. Writers come one after the other, so that
a store of an earlier version is changed once, whoever opens it first.

>>> with opened("results/history.db") as store:                                     # doctest: +SKIP
...     number = store.add(record)
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError

from springbok.history import database, guard, tables
from springbok.history.database import HistoryError, NewerHistory, NoHistory
from springbok.history.record import DATA, Configuration, Failure, Record, Tests
from springbok.support.places import command
from springbok.support.repository import Origin

_MOST = 5  # sentences on numbers of a run that contradict its documents


@dataclass(frozen=True)
class StoredRun:
    """A run in the store; the fields are those of `springbok.history.record.Record`."""

    number: int
    uid: str
    started: datetime
    commit: str
    committed: datetime | None
    depth: int | None
    subject: str
    branch: str
    is_dirty: bool
    machine: str
    engine: str
    engine_version: str
    chip: str
    vlen_bits: int | None
    suites: tuple[str, ...]
    verdict: str
    tests: int | None
    failed: int | None
    skipped: int | None
    versions: dict[str, str]

    def as_record(self, failures: Sequence[Failure], documents: dict[str, str]) -> Record:
        """The record that was added; the store does not know how long the run took."""
        origin = Origin(self.commit, self.committed, self.depth, self.subject, self.branch, self.is_dirty)
        tests = Tests(self.tests, self.skipped, tuple(failures))
        names = (
            "started",
            "machine",
            "engine",
            "engine_version",
            "chip",
            "vlen_bits",
            "suites",
            "verdict",
            "versions",
            "uid",
        )
        same = {name: getattr(self, name) for name in names}
        return Record(**same, origin=origin, tests=tests, documents=documents)

    @property
    def tests_text(self) -> str:
        """``10 of 11 passed``, with what failed and was skipped; ``unknown`` where nobody counted."""
        if self.tests is None:
            return "unknown"
        parts = [f"{self.tests - self.failed - self.skipped} of {self.tests} passed"]
        parts += [f"{count} {what}" for count, what in ((self.failed, "failed"), (self.skipped, "skipped")) if count]
        return ", ".join(parts)


class Evaluated(NamedTuple):
    """What a run evaluated of a configuration: how many samples, of the data of this digest."""

    samples: float | None = None
    data: str | None = None


@dataclass(frozen=True)
class Series:
    """A number of one configuration over runs: ``points`` are values (or digests) by the runs' numbers, in order.

    ``evaluated`` has by the same numbers how many samples of which data it is of; None is not known.
    """

    configuration: Configuration
    metric: str
    layer: str
    points: dict[int, float | str]
    evaluated: dict[int, Evaluated] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True)
class Filter:
    """Which runs and numbers are wanted; what is empty leaves nothing out. ``last`` takes the newest runs only."""

    branch: str = ""
    machine: str = ""
    chip: str = ""
    engine: str = ""
    model: str = ""
    metric: str = ""
    commit: str = ""
    last: int | None = None


@contextmanager
def opened(place: str | Path, create: bool = True) -> Iterator[Store]:
    """The store at ``place``: a file, or a URL of PostgreSQL. It is made, or brought to this version, if need be.

    Without ``create`` a file that is not there is `NoHistory`. Raises `HistoryError` for all that goes wrong within.
    """
    url = database.url_of(place)
    if url.get_backend_name() == "sqlite" and not create and not Path(url.database).exists():
        raise NoHistory(f"There is no history in {url.database} yet: '{command('run')}' begins it.")
    engine = database.engine_of(url)
    try:
        store = Store(engine, database.shown(url))
        store.bring_up_to_date()
        yield store
    except DBAPIError as error:
        raise HistoryError(database.sentence(error, url)) from error
    finally:
        engine.dispose()


class Store:
    """An open store. ``place`` is what people call it."""

    def __init__(self, engine: sa.Engine, place: str) -> None:
        self._engine = engine
        self.place = place

    @contextmanager
    def _reading(self) -> Iterator[sa.Connection]:
        """For reading, and for making values of what was read: those that are none of ours are `HistoryError`s."""
        with self._engine.connect() as connection, connection.begin():
            try:
                yield connection
            except (ValueError, TypeError, zlib.error) as error:
                raise HistoryError(
                    f"The history {self.place} can't be used: something in it is broken ({error}). Take a copy of it "
                    "from before: --history FILE."
                ) from error

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        with self._engine.connect().execution_options(writes=True) as connection, connection.begin():
            yield connection

    # ---- Its version

    def bring_up_to_date(self) -> None:
        """Make the tables, or change those of an earlier version. Raises `NewerHistory`."""
        with self._reading() as connection:
            if self._version(connection) == tables.VERSION:
                return
        with self._writing() as connection:
            if self._version(connection) != tables.VERSION:  # another process may have been first
                database.migrate(connection)

    def _version(self, connection: sa.Connection) -> int:
        """That of the store, 0 where there is none yet. Raises `NewerHistory`."""
        if not sa.inspect(connection).has_table(tables.VERSION_TABLE):
            return 0
        found = connection.exec_driver_sql(f"SELECT version_num FROM {tables.VERSION_TABLE}").scalar() or "0"
        if not found.isdecimal() or int(found) > tables.VERSION:
            raise NewerHistory(
                f"The history {self.place} is of version {found}, and this springbok-bench knows those up to "
                f"{tables.VERSION}: update springbok-bench, or name another history: --history STORE."
            )
        return int(found)

    # ---- Adding

    def add(self, record: Record) -> int:
        """Add a run; its number in the store. A run that is there already is left as it is."""
        return self.add_all([record])[0]

    def add_all(self, records: Sequence[Record]) -> list[int]:
        """Add runs in one transaction, all of them or none; their numbers. Of many that is much faster than each."""
        with self._writing() as connection:
            return [self._add(connection, each) for each in records]

    def _add(self, connection: sa.Connection, record: Record) -> int:
        number = connection.execute(
            self._new(tables.runs)
            .values(**_row_of(record))
            .on_conflict_do_nothing(index_elements=["uid"])
            .returning(tables.runs.c.number)
        ).scalar()
        if number is None:
            return connection.execute(
                sa.select(tables.runs.c.number).where(tables.runs.c.uid == record.uid)
            ).scalar_one()
        numbers: dict[tuple, float | str] = {}
        for configuration, measurements in record.measurements():
            self._add_points(connection, number, configuration, measurements)
            for each in measurements:
                value = each.value if isinstance(each.value, str) else float(each.value)
                numbers.setdefault((configuration, each.metric, _plain(each.layer)), value)
        documents = [
            {"run": number, "name": name, "content": zlib.compress(text.encode("utf-8", "replace"), 9)}
            for name, text in record.documents.items()
        ]
        failures = [
            {"run": number, "place": place, "test": _plain(test), "message": _plain(message)}
            for place, (test, message) in enumerate(record.tests.failures)
        ]
        for table, rows in ((tables.documents, documents), (tables.failures, failures)):
            if rows:
                connection.execute(table.insert(), rows)
        guard.keep(connection, number, numbers)
        return number

    def _add_points(self, connection: sa.Connection, number: int, configuration: Configuration, measurements) -> None:
        place = self._id_of(connection, tables.configurations, vars(configuration))
        names = [{"configuration": place, "metric": each.metric, "layer": _plain(each.layer)} for each in measurements]
        if not names:
            return
        connection.execute(self._new(tables.series).on_conflict_do_nothing(), names)
        found = connection.execute(
            sa.select(tables.series.c.metric, tables.series.c.layer, tables.series.c.id).where(
                tables.series.c.configuration == place
            )
        )
        ids = {(metric, layer): key for metric, layer, key in found}
        rows = [
            {"series": ids[name["metric"], name["layer"]], "run": number, **_value_or_text(each.value)}
            for name, each in zip(names, measurements, strict=True)
        ]
        # Of a model that two suites of a run have measured, the first counts.
        connection.execute(self._new(tables.points).on_conflict_do_nothing(), rows)

    def _id_of(self, connection: sa.Connection, table: sa.Table, values: dict) -> int:
        """The row with these values, which is made if it is not there."""
        connection.execute(self._new(table).values(**values).on_conflict_do_nothing())
        same = [table.c[name] == value for name, value in values.items()]
        return connection.execute(sa.select(table.c.id).where(*same)).scalar_one()

    def _new(self, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
        dialect = sqlite if self._engine.dialect.name == "sqlite" else postgresql
        return dialect.insert(table)

    # ---- Reading

    def compared(self, record: Record) -> tuple[int, list[str]] | None:
        """The number of the run with this one's id, and what of it is otherwise there; None where there is none."""
        with self._reading() as connection:
            row = connection.execute(sa.select(tables.runs).where(tables.runs.c.uid == record.uid)).first()
        if row is None:
            return None
        known, given = dict(row._mapping), _row_of(record)
        for name in ("suites", "versions"):  # whatever the order of their names
            known[name], given[name] = json.loads(known[name]), json.loads(given[name])
        if not record.machine:  # whose id is that of its results, and its time that of a file
            del given["started"]
        differing = [_CALLED.get(name, name) for name, value in given.items() if known[name] != value]
        if self.failures(known["number"]) != [Failure(*map(_plain, each)) for each in record.tests.failures]:
            differing.append("failures")
        there = self.documents(known["number"])
        differing += [
            name for name in sorted({*there, *record.documents}) if there.get(name) != record.documents.get(name)
        ]
        return known["number"], differing

    def runs(self, wanted: Filter | None = None) -> list[StoredRun]:
        """The runs, the oldest first."""
        wanted = wanted or Filter()
        table = tables.runs
        chosen = sa.select(table).order_by(table.c.started.desc(), table.c.number.desc())
        for name in ("branch", "machine"):
            if getattr(wanted, name):
                chosen = chosen.where(table.c[name] == getattr(wanted, name))
        if wanted.commit:
            chosen = chosen.where(table.c.commit_id.startswith(wanted.commit, autoescape=True))
        if named := _of_configuration(wanted):
            points, series, configurations = tables.points, tables.series, tables.configurations
            measured = (
                sa.select(points.c.run)
                .join(series, series.c.id == points.c.series)
                .join(configurations, configurations.c.id == series.c.configuration)
                .where(*named)
            )
            chosen = chosen.where(table.c.number.in_(measured))
        if wanted.last is not None:
            chosen = chosen.limit(wanted.last)
        with self._reading() as connection:
            found = [_stored(row) for row in connection.execute(chosen)]
        return found[::-1]

    def run(self, number: int) -> StoredRun:
        """One run. Raises `HistoryError` where there is none of this number."""
        with self._reading() as connection:
            row = connection.execute(sa.select(tables.runs).where(tables.runs.c.number == number)).first()
            found = row and _stored(row)
            last = connection.execute(sa.select(sa.func.max(tables.runs.c.number))).scalar()
        if found is None:
            there = f"its runs have numbers up to {last}" if last else "it is empty"
            raise HistoryError(f"There is no run {number} in {self.place}: {there}. '{command('history')}' lists them.")
        return found

    def documents(self, number: int) -> dict[str, str]:
        """What a run left, by the names of its files."""
        table = tables.documents
        with self._reading() as connection:
            rows = connection.execute(sa.select(table.c.name, table.c.content).where(table.c.run == number))
            return {name: zlib.decompress(content).decode("utf-8") for name, content in rows}

    def failures(self, number: int) -> list[Failure]:
        """The tests of a run that failed."""
        table = tables.failures
        chosen = sa.select(table.c.test, table.c.message).where(table.c.run == number).order_by(table.c.place)
        with self._reading() as connection:
            return [Failure(*row) for row in connection.execute(chosen)]

    def digests(self, number: int) -> dict[str, str]:
        """Of the documents of a run, as they were when it was added; nothing of one that an earlier version added."""
        with self._reading() as connection:
            found = guard.known(connection, [number]).get(number, {})
        return {name: digest for name, digest in found.items() if name not in (guard.RUN, guard.NUMBERS)}

    def changed(self, runs: Sequence[StoredRun]) -> dict[int, str]:
        """A sentence on each run that is not as it was added.

        Of runs that an earlier version added nothing is known.
        """
        with self._reading() as connection:
            found = guard.changed(connection, [run.number for run in runs])
        return {
            number: f"Run {number} is not as it was added to {self.place}: {', '.join(parts)} changed since"
            for number, parts in found.items()
        }

    def doubts(self, run: StoredRun, documents: dict[str, str]) -> list[str]:
        """What tells that a run, and its ``documents``, are not as they were added, or not of one run; a sentence each.

        That holds for the numbers of runs without digests too, as far as they have documents.
        """
        found = [*self.changed([run]).values()]
        numbers = {
            (each.configuration, each.metric, each.layer): each.points[run.number] for each in self.series([run])
        }
        wrong = [*guard.contradictions(numbers, documents)]
        more = [f"{len(wrong) - _MOST} numbers more"] if len(wrong) > _MOST else []
        return [*found, *wrong[:_MOST], *more]

    def series(self, runs: Sequence[StoredRun], wanted: Filter | None = None) -> list[Series]:
        """All numbers of ``runs``, of the configurations and metrics that are wanted; those of layers too."""
        wanted = wanted or Filter()
        numbers = [run.number for run in runs]
        if not numbers:
            return []
        series, configurations, points = tables.series, tables.configurations, tables.points
        named = sa.select(series.c.id, series.c.metric, series.c.layer, configurations).join(
            configurations, configurations.c.id == series.c.configuration
        )
        named = named.where(*_of_configuration(wanted))
        if wanted.metric:
            metrics = (wanted.metric, *_EVALUATED)
            named = named.where(sa.or_(series.c.metric.in_(metrics), series.c.layer != ""))
        order = {number: place for place, number in enumerate(numbers)}
        found: dict[int, Series] = {}
        with self._reading() as connection:
            for key, metric, layer, _, *fields in connection.execute(named):
                found[key] = Series(Configuration(*fields), metric, layer, {})
            values = sa.select(points.c.series, points.c.run, points.c.value, points.c.text).where(
                points.c.run.between(min(numbers), max(numbers))
            )
            for key, number, value, text in connection.execute(values):
                if key in found and number in order:
                    found[key].points[number] = value if text is None else text
        evaluated = _evaluated(found.values())
        kept = [
            replace(
                each,
                points=dict(sorted(each.points.items(), key=lambda point: order[point[0]])),
                evaluated=evaluated.get(each.configuration, {}),
            )
            for each in found.values()
            if each.points and (each.layer or not wanted.metric or each.metric == wanted.metric)
        ]
        return sorted(kept, key=lambda each: (astuple(each.configuration), each.metric, each.layer))


#: How people call columns.
_CALLED = {"commit_id": "commit", "is_dirty": "whether files were changed", "vlen_bits": "VLEN"}


#: Series that tell what the others of their configuration are of: the fields of `Evaluated`.
_EVALUATED = ("samples", DATA)


def _evaluated(numbers: Iterable[Series]) -> dict[Configuration, dict[int, Evaluated]]:
    """By configuration and run."""
    found: dict[Configuration, dict[int, Evaluated]] = {}
    for each in numbers:
        if each.metric in _EVALUATED and not each.layer:
            own = found.setdefault(each.configuration, {})
            name = Evaluated._fields[_EVALUATED.index(each.metric)]
            for run, value in each.points.items():
                own[run] = own.get(run, Evaluated())._replace(**{name: value})
    return found


def _of_configuration(wanted: Filter) -> list[sa.ColumnElement]:
    names = ("chip", "engine", "model")
    return [tables.configurations.c[name] == getattr(wanted, name) for name in names if getattr(wanted, name)]


def _row_of(record: Record) -> dict:
    origin = record.origin
    texts = {
        "commit_id": origin.commit,
        "subject": origin.subject,
        "branch": origin.branch,
        "machine": record.machine,
        "engine": record.engine,
        "engine_version": record.engine_version,
        "chip": record.chip,
        "suites": json.dumps(record.suites),
        "versions": json.dumps(dict(record.versions)),
        "verdict": record.verdict,
    }
    return {
        "uid": record.uid,
        "started": record.started,
        "committed": origin.committed,
        "depth": origin.depth,
        "is_dirty": origin.is_dirty,
        "vlen_bits": record.vlen_bits,
        "tests": record.tests.count,
        "failed": record.tests.failed,
        "skipped": record.tests.skipped,
        **{name: _plain(text) for name, text in texts.items()},
    }


def _value_or_text(value: float | str) -> dict:
    return {"value": None, "text": value} if isinstance(value, str) else {"value": float(value), "text": None}


def _stored(row: sa.Row) -> StoredRun:
    values = dict(row._mapping)
    values["commit"] = values.pop("commit_id")
    for name in ("suites", "versions"):
        values[name] = json.loads(values[name])
    return StoredRun(**{**values, "suites": tuple(values["suites"])})


def _plain(text: str) -> str:
    """Text as every database takes it."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
