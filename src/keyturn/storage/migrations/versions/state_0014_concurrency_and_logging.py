"""How many invocations of a function may run at once, and how and where it logs."""

import sqlalchemy as sa
from alembic import op

revision = "state_0014"
down_revision = "state_0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("functions", sa.Column("reserved_concurrency", sa.Integer(), nullable=True))
    for table in ("functions", "function_versions"):
        op.add_column(table, sa.Column("logging", sa.JSON(), nullable=True))
