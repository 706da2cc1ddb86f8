"""EC2's networks, one table for all kinds of objects."""

import sqlalchemy as sa
from alembic import op

revision = "state_0015"
down_revision = "state_0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "network_objects",
        sa.Column("account_id", sa.String(length=12), nullable=False),
        sa.Column("region", sa.String(length=128), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("object_id", sa.String(length=64), nullable=False),
        sa.Column("vpc_id", sa.String(length=64), nullable=True),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "region", "kind", "object_id"),
    )
    op.create_index("network_objects_of_vpc", "network_objects", ["account_id", "region", "vpc_id"])
