# SPDX-License-Identifier: Apache-2.0
"""Digests of what was added are kept, so that what was changed since is told."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "3", "2"


def upgrade() -> None:
    """Adds the table; runs of before have nothing in it."""
    op.create_table(
        "bench_digests",
        sa.Column("run", sa.Integer, sa.ForeignKey("bench_runs.number", ondelete="CASCADE"), primary_key=True),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("digest", sa.String(64), nullable=False),
    )
