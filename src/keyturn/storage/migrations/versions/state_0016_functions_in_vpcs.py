"""The VPC that a function is attached to."""

import sqlalchemy as sa
from alembic import op

revision = "state_0016"
down_revision = "state_0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("functions", "function_versions"):
        op.add_column(table, sa.Column("vpc_config", sa.JSON(), nullable=True))
