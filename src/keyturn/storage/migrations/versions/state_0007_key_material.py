"""KMS keys: their material in a table of its own, when they are rotated, and grants."""

import sqlalchemy as sa
from alembic import op

revision = "state_0007"
down_revision = "state_0006"
branch_labels = None
depends_on = None

_NAMES = {"uq": "%(table_name)s_%(column_0_name)s_key"}


def upgrade() -> None:
    op.create_table(
        "kms_materials",
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("rotated_at", sa.BigInteger(), nullable=True),
        sa.Column("rotation_type", sa.String(length=16), nullable=True),
        sa.ForeignKeyConstraint(["key_id"], ["kms_keys.key_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key_id", "number"),
    )
    op.execute("INSERT INTO kms_materials (key_id, number, wrapped) SELECT key_id, 0, wrapped FROM kms_keys")
    op.add_column("kms_keys", sa.Column("material_number", sa.Integer(), nullable=True))
    op.add_column("kms_keys", sa.Column("rotation_period_days", sa.Integer(), nullable=True))
    op.add_column("kms_keys", sa.Column("next_rotation_at", sa.BigInteger(), nullable=True))
    op.execute("UPDATE kms_keys SET material_number = 0")
    # Services' keys are rotated every year, counted from the day they were made.
    op.execute(
        "UPDATE kms_keys SET rotation_period_days = 365, next_rotation_at = created_at + 31536000000"
        " WHERE manager = 'AWS'"
    )
    with op.batch_alter_table("kms_keys", naming_convention=_NAMES) as keys:
        keys.alter_column("material_number", existing_type=sa.Integer(), nullable=False)
        keys.drop_column("wrapped")
    op.create_index("kms_keys_rotation", "kms_keys", ["next_rotation_at"])
    op.create_table(
        "kms_grants",
        sa.Column("grant_id", sa.String(length=64), nullable=False),
        sa.Column("key_id", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=256), nullable=True),
        sa.Column("issuing_account_id", sa.String(length=12), nullable=False),
        sa.Column("grantee_principal", sa.Text(), nullable=False),
        sa.Column("grantee_unique_id", sa.String(length=32), nullable=True),
        sa.Column("retiring_principal", sa.Text(), nullable=True),
        sa.Column("retiring_unique_id", sa.String(length=32), nullable=True),
        sa.Column("operations", sa.JSON(), nullable=False),
        sa.Column("constraints", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["key_id"], ["kms_keys.key_id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("grant_id"),
    )
    op.create_index("kms_grants_of_key", "kms_grants", ["key_id", "grant_id"])
    op.create_index("kms_grants_of_grantee", "kms_grants", ["key_id", "grantee_principal"])
    op.create_index("kms_grants_named", "kms_grants", ["key_id", "name"])
    op.create_index("kms_grants_retirable", "kms_grants", ["retiring_principal", "grant_id"])
