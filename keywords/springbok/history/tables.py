# SPDX-License-Identifier: Apache-2.0
"""The store's tables. What they were in earlier versions stands in ``migrations/``.

A point is one number of one run; its series says of what: a configuration's metric, of the whole inference or of a
layer. The names begin with ``bench_``: a team's database may hold other things.
"""

from __future__ import annotations

from datetime import datetime, timezone

from sqlalchemy import (
    Boolean,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.types import TypeDecorator

#: Of these tables: the last of ``migrations/versions/``.
VERSION = 3
VERSION_TABLE = "bench_version"
metadata = MetaData()


class Instant(TypeDecorator):
    """A time, in UTC; SQLite knows no time zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: object) -> datetime | None:
        """To the store."""
        del dialect
        return None if value is None else value.astimezone(timezone.utc)

    def process_result_value(self, value: datetime | None, dialect: object) -> datetime | None:
        """From the store."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value.astimezone(timezone.utc)


runs = Table(
    "bench_runs",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("uid", String(32), nullable=False, unique=True),
    Column("started", Instant, nullable=False),
    Column("commit_id", String(64), nullable=False),
    Column("committed", Instant),
    Column("depth", Integer),
    Column("subject", Text, nullable=False),
    Column("branch", Text, nullable=False),
    Column("is_dirty", Boolean, nullable=False),
    Column("machine", Text, nullable=False),
    Column("engine", Text, nullable=False),
    Column("engine_version", Text, nullable=False),
    Column("chip", Text, nullable=False),
    Column("vlen_bits", Integer),
    Column("suites", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    Column("tests", Integer),
    Column("failed", Integer),
    Column("skipped", Integer),
    Column("versions", Text, nullable=False),
    sqlite_autoincrement=True,  # a number is never another run's
)

configurations = Table(
    "bench_configurations",
    metadata,
    Column("id", Integer, primary_key=True),
    *(Column(name, Text, nullable=False) for name in ("model", "variant", "optimize", "dataset", "engine", "chip")),
    Column("vlen_bits", Integer, nullable=False),
    UniqueConstraint("model", "variant", "optimize", "dataset", "engine", "chip", "vlen_bits"),
)

series = Table(
    "bench_series",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("configuration", ForeignKey("bench_configurations.id"), nullable=False),
    Column("metric", Text, nullable=False),
    Column("layer", Text, nullable=False),
    UniqueConstraint("configuration", "metric", "layer"),
)

points = Table(
    "bench_points",
    metadata,
    Column("series", ForeignKey("bench_series.id"), primary_key=True),
    Column("run", ForeignKey("bench_runs.number", ondelete="CASCADE"), primary_key=True),
    Column("value", Double),
    Column("text", Text),
    sqlite_with_rowid=False,
)

documents = Table(
    "bench_documents",
    metadata,
    Column("run", ForeignKey("bench_runs.number", ondelete="CASCADE"), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("content", LargeBinary, nullable=False),  # zlib's
)

failures = Table(
    "bench_failures",
    metadata,
    Column("run", ForeignKey("bench_runs.number", ondelete="CASCADE"), primary_key=True),
    Column("place", Integer, primary_key=True),
    Column("test", Text, nullable=False),
    Column("message", Text, nullable=False),
)

digests = Table(
    "bench_digests",
    metadata,
    Column("run", ForeignKey("bench_runs.number", ondelete="CASCADE"), primary_key=True),
    Column("name", String(64), primary_key=True),
    Column("digest", String(64), nullable=False),
)
