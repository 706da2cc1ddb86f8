"""An index of the secrets that rotate, for metrics: how many there are, and which waits longest."""

import sqlalchemy as sa
from alembic import op

revision = "state_0010"
down_revision = "state_0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "secrets_rotating",
        "secrets",
        ["last_rotated_at", "created_at"],
        sqlite_where=sa.text("rotation_enabled = 1 AND deleted_at IS NULL"),
        postgresql_where=sa.text("rotation_enabled AND deleted_at IS NULL"),
    )
