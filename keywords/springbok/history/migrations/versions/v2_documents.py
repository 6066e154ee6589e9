# SPDX-License-Identifier: Apache-2.0
"""What a run left is kept, so that its reports can be made again, and what its failed tests said."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "2", "1"


def upgrade() -> None:
    """Adds the tables; runs of before have nothing in them."""
    op.create_table(
        "bench_documents",
        sa.Column("run", sa.Integer, sa.ForeignKey("bench_runs.number", ondelete="CASCADE"), primary_key=True),
        sa.Column("name", sa.String(64), primary_key=True),
        sa.Column("content", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "bench_failures",
        sa.Column("run", sa.Integer, sa.ForeignKey("bench_runs.number", ondelete="CASCADE"), primary_key=True),
        sa.Column("place", sa.Integer, primary_key=True),
        sa.Column("test", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
    )
