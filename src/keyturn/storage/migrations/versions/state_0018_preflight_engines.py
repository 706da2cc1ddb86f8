"""What secrets are for, as the last pre-flight saw it, and which it found something wrong with: few of many."""

import sqlalchemy as sa
from alembic import op

revision = "state_0018"
down_revision = "state_0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("preflights", sa.Column("engine", sa.String(32)))
    troubled = sa.text("verdict = 'will fail' OR heartbeat = 'drift'")
    op.create_index(
        "preflights_troubled", "preflights", ["secret_id"], sqlite_where=troubled, postgresql_where=troubled
    )
