"""Replicas: which secrets have some, and how these stand."""

import sqlalchemy as sa
from alembic import op

revision = "state_0005"
down_revision = "state_0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("secrets", sa.Column("primary_arn", sa.Text(), nullable=True))
    op.create_table(
        "replications",
        sa.Column(
            "replication_id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("primary_arn", sa.Text(), nullable=False),
        sa.Column("replica_arn", sa.Text(), nullable=False),
        sa.Column("kms_key_id", sa.Text(), nullable=True),
        sa.Column("status", sa.String(length=16), nullable=False),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("role_arn", sa.Text(), nullable=True),
        sa.Column("is_listed", sa.Boolean(), nullable=False),
        sa.Column("is_followed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("replication_id"),
        sa.UniqueConstraint("replica_arn"),
        sqlite_autoincrement=True,
    )
    op.create_index("replications_of_primary", "replications", ["primary_arn"])
