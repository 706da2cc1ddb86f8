"""Lists of secrets: an index for each date they are sorted by, and the dates that secrets had before."""

import sqlalchemy as sa
from alembic import op

revision = "state_0004"
down_revision = "state_0003"
branch_labels = None
depends_on = None

_OWNER = ("account_id", "region")


def upgrade() -> None:
    op.create_index("secrets_created", "secrets", [*_OWNER, "created_at", "secret_id"])
    op.create_index("secrets_changed", "secrets", [*_OWNER, "last_changed_at", "secret_id"])
    op.create_index("secrets_accessed", "secrets", [*_OWNER, "last_accessed_at", "secret_id"])
    row_id = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "secret_moves",
        sa.Column("move_id", row_id, autoincrement=True, nullable=False),
        sa.Column("secret_id", row_id, nullable=False),
        sa.Column("sort_by", sa.String(length=32), nullable=False),
        sa.Column("moved_from", sa.BigInteger(), nullable=True),
        sa.Column("moved_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["secret_id"], ["secrets.secret_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("move_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("secret_moves_of_secret", "secret_moves", ["secret_id", "sort_by", "move_id"])
    op.create_index("secret_moves_sorted", "secret_moves", ["sort_by", "moved_from", "secret_id"])
