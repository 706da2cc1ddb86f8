"""Of each secret the rotation that failed last, if none has succeeded since: few of many have one."""

import sqlalchemy as sa
from alembic import op

revision = "state_0019"
down_revision = "state_0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("secrets", sa.Column("failed_rotation_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite")))
    op.execute(
        "UPDATE secrets SET failed_rotation_id = (SELECT max(failed.rotation_id) FROM rotations AS failed"
        " WHERE failed.secret_id = secrets.secret_id AND failed.kind = 'rotation' AND failed.status <> 'succeeded'"
        " AND failed.cause IS NOT NULL AND NOT EXISTS (SELECT 1 FROM rotations AS later"
        " WHERE later.secret_id = failed.secret_id AND later.rotation_id > failed.rotation_id"
        " AND later.kind = 'rotation' AND later.status = 'succeeded'))"
        " WHERE rotation_enabled IS NOT NULL"
    )
    failed = sa.text("failed_rotation_id IS NOT NULL")
    op.create_index("secrets_failed", "secrets", ["secret_id"], sqlite_where=failed, postgresql_where=failed)
