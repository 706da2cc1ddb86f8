"""Metrics of functions."""

import sqlalchemy as sa
from alembic import op

revision = "journal_0005"
down_revision = "journal_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "function_metrics",
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=128), nullable=False),
        sa.Column("function_name", sa.String(length=64), nullable=False),
        sa.Column("resource", sa.String(length=256), nullable=False),
        sa.Column("minute_at", sa.BigInteger(), nullable=False),
        sa.Column("part", sa.String(length=36), nullable=False),
        sa.Column("invocations", sa.Integer(), nullable=False),
        sa.Column("errors", sa.Integer(), nullable=False),
        sa.Column("throttles", sa.Integer(), nullable=False),
        sa.Column("total_ms", sa.Double(), nullable=False),
        sa.Column("shortest_ms", sa.Double(), nullable=True),
        sa.Column("longest_ms", sa.Double(), nullable=False),
        sa.Column("durations", sa.Text(), nullable=False),
        sa.Column("concurrency", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "region", "function_name", "resource", "minute_at", "part"),
        sqlite_with_rowid=False,
    )
    op.create_index("function_metrics_minute", "function_metrics", ["minute_at"])
