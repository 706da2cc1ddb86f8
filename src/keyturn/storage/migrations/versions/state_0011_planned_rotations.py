"""When a rotation was planned, so that a clock that was ahead is found out, and plans in order of their moments."""

import sqlalchemy as sa
from alembic import op

revision = "state_0011"
down_revision = "state_0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("secrets", sa.Column("rotation_planned_at", sa.BigInteger(), nullable=True))
    op.create_index("secrets_planned_at", "secrets", ["rotation_planned_at"])
    op.create_index("secrets_planned", "secrets", ["account_id", "region", "next_rotation_at", "secret_id"])
