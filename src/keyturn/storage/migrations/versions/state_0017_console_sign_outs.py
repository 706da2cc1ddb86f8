"""Console sessions that were ended before their time."""

import sqlalchemy as sa
from alembic import op

revision = "state_0017"
down_revision = "state_0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "console_sign_outs",
        sa.Column("session_id", sa.String(64), primary_key=True),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
    )
    op.create_index("console_sign_outs_expired", "console_sign_outs", ["expires_at"])
