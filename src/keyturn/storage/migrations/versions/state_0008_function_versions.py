"""Versions and aliases of functions."""

import sqlalchemy as sa
from alembic import op

revision = "state_0008"
down_revision = "state_0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("functions", sa.Column("last_version", sa.Integer(), nullable=True))
    op.add_column("functions", sa.Column("published_version", sa.Integer(), nullable=True))
    op.create_table(
        "function_versions",
        sa.Column("function_arn", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("runtime", sa.String(length=64), nullable=False),
        sa.Column("handler", sa.String(length=128), nullable=False),
        sa.Column("role_arn", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("timeout_seconds", sa.Integer(), nullable=False),
        sa.Column("memory_mb", sa.Integer(), nullable=False),
        sa.Column("ephemeral_storage_mb", sa.Integer(), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=True),
        sa.Column("code_sha256", sa.String(length=64), nullable=False),
        sa.Column("code_size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("revision_id", sa.String(length=36), nullable=False),
        sa.Column("last_modified_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["code_sha256"], ["packages.sha256"]),
        sa.ForeignKeyConstraint(["function_arn"], ["functions.arn"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("function_arn", "version"),
    )
    op.create_table(
        "function_aliases",
        sa.Column("function_arn", sa.Text(), nullable=False),
        sa.Column(
            "name",
            sa.String(length=128).with_variant(sa.String(length=128, collation="C"), "postgresql"),
            nullable=False,
        ),
        sa.Column("version", sa.Integer(), nullable=True),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("revision_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["function_arn"], ["functions.arn"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("function_arn", "name"),
    )
