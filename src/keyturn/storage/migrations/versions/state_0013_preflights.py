"""What pre-flights of secrets that rotate have found, and when the next ones are due.

Secrets that rotate already are looked at within a day, one after the other.
"""

import time

import sqlalchemy as sa
from alembic import op

revision = "state_0013"
down_revision = "state_0012"
branch_labels = None
depends_on = None

_DAY_MS = 24 * 60 * 60 * 1000
# Prime, so that neighbours come at different hours.
_STEP_MS = 7_919_017


def upgrade() -> None:
    op.create_table(
        "preflights",
        sa.Column(
            "secret_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=False, nullable=False
        ),
        sa.Column("verdict", sa.String(length=16), nullable=True),
        sa.Column("heartbeat", sa.String(length=16), nullable=True),
        sa.Column("causes", sa.JSON(), nullable=True),
        sa.Column("items", sa.JSON(), nullable=True),
        sa.Column("checked_at", sa.BigInteger(), nullable=True),
        sa.Column("since", sa.BigInteger(), nullable=True),
        sa.Column("is_told", sa.Boolean(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=True),
        sa.Column("held_until", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["secret_id"], ["secrets.secret_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("secret_id"),
    )
    op.create_index("preflights_due", "preflights", ["due_at"])
    spread = sa.text(
        "INSERT INTO preflights (secret_id, is_told, due_at)"
        " SELECT secret_id, :no, :now + (secret_id * :step) % :day FROM secrets WHERE rotation_enabled"
    ).bindparams(no=False, now=int(time.time() * 1000), step=_STEP_MS, day=_DAY_MS)
    op.execute(spread)
