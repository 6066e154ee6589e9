# SPDX-License-Identifier: Apache-2.0
"""The database of a store, SQLite or PostgreSQL: how it is opened and locked, and what its errors mean.

Writers come one after the other: who will write says so when a transaction begins.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from springbok.support import packages
from springbok.support.errors import BenchError

MIGRATIONS = Path(__file__).with_name("migrations")
#: For another writer's end. What can't be written even then waits beside the store, and is not lost.
WAIT_SECONDS = 120
_CONNECT_SECONDS = 20
# A number that no other program's lock on the same database is likely to have.
_LOCK = 0x5B0C
_SQLITE_CAUSES = (
    ("disk is full", "the disk is full. Free some space"),
    ("disk I/O error", "the disk is full, or it fails. Free some space, or name another place: --history FILE"),
    ("is locked", "another process has kept it for long. Wait for its end"),
    ("not a database", "it is no SQLite file. Name another one: --history FILE"),
    ("malformed", "its content is broken. Move it away, and take a copy of it: --history FILE"),
    ("readonly database", "this user has no right to write it. Name another one: --history FILE"),
    ("already exists", "another program has tables of the same names in it. Name another one: --history FILE"),
    ("unable to open", "it, or its folder, can't be read or written. Name another one: --history FILE"),
)


class HistoryError(BenchError):
    """The history can't be read or written."""


class NoHistory(HistoryError):
    """There is no store at this place yet."""


class NewerHistory(HistoryError):
    """A later version of this project has changed the store."""


def is_url(place: str | Path) -> bool:
    """Whether a place is a database, not a file."""
    return "://" in str(place)


def shown_place(place: str | Path) -> str:
    """A place as it may be told: without the password."""
    return shown(url_of(place)) if is_url(place) else str(place)


def url_of(place: str | Path) -> sa.URL:
    """The URL of a place. Raises `HistoryError` for a database that is not known."""
    if not is_url(place):
        return sa.URL.create("sqlite", database=str(Path(place).absolute()))
    try:
        url = sa.make_url(str(place))
    except (
        sa.exc.ArgumentError,
        ValueError,
    ) as error:  # of a port, and of an address in brackets, Python says the other
        raise HistoryError(f"The history '{place}' is no URL. Write postgresql://user@host/database.") from error
    name = url.drivername.partition("+")[0]
    if name == "sqlite" and url.database:
        return url
    if name in ("postgresql", "postgres") and url.database:
        return url.set(drivername="postgresql+psycopg")
    raise HistoryError(
        f"The history '{url.render_as_string(hide_password=True)}' names no store: write a file, or postgresql://user@host/database."
    )


def migrate(connection: sa.Connection) -> None:
    from alembic import command
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    command.upgrade(config, "head")


def shown(url: sa.URL) -> str:
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return url.set(drivername=url.drivername.partition("+")[0]).render_as_string(hide_password=True)


def engine_of(url: sa.URL) -> sa.Engine:
    if url.get_backend_name() == "sqlite":
        _prepare_place(Path(url.database))
        engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args={"timeout": WAIT_SECONDS})
        sa.event.listen(engine, "connect", _set_up_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        packages.provide("postgresql", "the history is in PostgreSQL")
    except ImportError as error:
        raise HistoryError(str(error)) from error
    engine = sa.create_engine(url, poolclass=sa.NullPool, connect_args={"connect_timeout": _CONNECT_SECONDS})
    sa.event.listen(engine, "begin", _begin_postgresql)
    return engine


def _prepare_place(path: Path) -> None:
    """The folder of a file of SQLite's, which puts more files beside it: a device would get some too."""
    if path.exists() and not path.is_file():
        raise HistoryError(f"The history {path} is no file. Name another one: --history FILE.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise HistoryError(f"The history {path} can't be made: {error.strerror}: {error.filename}.") from error


def _set_up_sqlite(connection, _: object) -> None:
    connection.isolation_level = None  # transactions begin where they are said to, those that change tables too
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: sa.Connection) -> None:
    # A reader that begins to write could find that another has written meanwhile: who will write says so first.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if _writes(connection) else "BEGIN")


def _begin_postgresql(connection: sa.Connection) -> None:
    if _writes(connection):
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{WAIT_SECONDS}s'")
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")


def _writes(connection: sa.Connection) -> bool:
    return connection.get_execution_options().get("writes", False)


def sentence(error: DBAPIError, url: sa.URL) -> str:
    """What a database's error means to who reads it."""
    said = " ".join(str(error.orig).split()) or type(error.orig).__name__
    if url.get_backend_name() == "sqlite":
        cause = next((cause for text, cause in _SQLITE_CAUSES if text in said), said)
        return f"The history {url.database} can't be used: {cause}."
    if "already exists" in said:
        remedy = "Another program has tables of the same names in it. Name another database: --history URL"
    else:
        remedy = "Look whether the server runs, and whether URL, user and password are right: --history URL"
    return f"The history {shown(url)} can't be used: {said.rstrip('.?!')}. {remedy}."
