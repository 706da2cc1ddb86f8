"""What bounds, names and proves a rotation: its function and database, why it failed, who stored its value."""

import sqlalchemy as sa
from alembic import op

revision = "state_0009"
down_revision = "state_0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("rotations", sa.Column("function_arn", sa.Text(), nullable=True))
    op.add_column("rotations", sa.Column("database_lane", sa.String(length=64), nullable=True))
    op.add_column("rotations", sa.Column("cause", sa.String(length=64), nullable=True))
    op.add_column("rotations", sa.Column("offers_probe", sa.Boolean(), nullable=True))
    op.add_column("secret_versions", sa.Column("from_rotation", sa.Boolean(), nullable=True))
    op.add_column("rotation_steps", sa.Column("cause", sa.String(length=64), nullable=True))
