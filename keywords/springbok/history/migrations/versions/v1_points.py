# SPDX-License-Identifier: Apache-2.0
"""The first store: runs, and their numbers as points of series."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "1", None


def upgrade() -> None:
    """Makes the tables."""
    text = {"type_": sa.Text, "nullable": False}
    op.create_table(
        "bench_runs",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("uid", sa.String(32), nullable=False, unique=True),
        sa.Column("started", sa.DateTime(timezone=True), nullable=False),
        sa.Column("commit_id", sa.String(64), nullable=False),
        sa.Column("committed", sa.DateTime(timezone=True)),
        sa.Column("depth", sa.Integer),
        sa.Column("subject", **text),
        sa.Column("branch", **text),
        sa.Column("is_dirty", sa.Boolean, nullable=False),
        sa.Column("machine", **text),
        sa.Column("engine", **text),
        sa.Column("engine_version", **text),
        sa.Column("chip", **text),
        sa.Column("vlen_bits", sa.Integer),
        sa.Column("suites", **text),
        sa.Column("verdict", **text),
        sa.Column("tests", sa.Integer),
        sa.Column("failed", sa.Integer),
        sa.Column("skipped", sa.Integer),
        sa.Column("versions", **text),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "bench_configurations",
        sa.Column("id", sa.Integer, primary_key=True),
        *(sa.Column(name, **text) for name in ("model", "variant", "optimize", "dataset", "engine", "chip")),
        sa.Column("vlen_bits", sa.Integer, nullable=False),
        sa.UniqueConstraint("model", "variant", "optimize", "dataset", "engine", "chip", "vlen_bits"),
    )
    op.create_table(
        "bench_series",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("configuration", sa.Integer, sa.ForeignKey("bench_configurations.id"), nullable=False),
        sa.Column("metric", **text),
        sa.Column("layer", **text),
        sa.UniqueConstraint("configuration", "metric", "layer"),
    )
    op.create_table(
        "bench_points",
        sa.Column("series", sa.Integer, sa.ForeignKey("bench_series.id"), primary_key=True),
        sa.Column("run", sa.Integer, sa.ForeignKey("bench_runs.number", ondelete="CASCADE"), primary_key=True),
        sa.Column("value", sa.Double),
        sa.Column("text", sa.Text),
        sqlite_with_rowid=False,
    )
